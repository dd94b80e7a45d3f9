/* procs_child.c - a generator process: a shard of its own, told what to do by the worker's side (procs.c)
 *
 * One thread listens and reports; the shard's own generate. It ends with its shard, or at once when the worker is gone. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/net/loop.h"
#include "lib/wire/msg.h"
#include "worker/load/procs.h"
#include "worker/load/procs_pipe.h"

struct child {
	struct gr_buf in;
	struct gr_load_plan *plan;
	struct gr_shard *shard;
	uint64_t heard_ns, tick_ns;
	int wake_fd;
	bool is_ready_said, is_cut;
};

static void say(const char *state, const char *why)
{
	struct gr_buf frame = { 0 };
	json_t *o = json_pack("{s:s, s:s}", "state", state, "why", why);

	gr_json_encode(&frame, GR_MSG_LOAD_STATE, o);
	json_decref(o);
	gr_procs__put(GR_PROCS_CHILD_FD, gr_buf_slice(&frame), 0);
	gr_buf_fini(&frame);
}

static void notify(void *ctx)
{
	uint64_t one = 1;

	if (write(((struct child *)ctx)->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static int prepare(struct child *c, struct gr_slice body)
{
	struct gr_shard_spec spec = { .notify = notify, .ctx = c };
	struct gr_err err = { 0 };
	const char *hex;
	json_t *o;
	int rc = gr_json_decode_max(body, GR_PROCS_MAX_MESSAGE_BYTES, &o, &err);

	if (rc >= 0) {
		hex = json_string_value(json_object_get(o, "run"));
		spec.run = strtoull(hex ? hex : "", NULL, 16);
		spec.shard = (uint16_t)json_integer_value(json_object_get(o, "shard"));
		spec.index = (uint32_t)json_integer_value(json_object_get(o, "index"));
		spec.of = (uint32_t)json_integer_value(json_object_get(o, "of"));
		spec.part = (uint32_t)json_integer_value(json_object_get(o, "part"));
		spec.n_parts = (uint32_t)json_integer_value(json_object_get(o, "parts"));
		rc = gr_load_plan_from_json(json_object_get(o, "plan"), &c->plan, &err);
		json_decref(o);
	}
	spec.plan = c->plan;
	if (rc >= 0)
		rc = gr_shard_new(&spec, &c->shard, &err);
	if (rc < 0)
		say("failed", err.text);
	return rc;
}

static int hear_one(struct child *c, struct gr_slice frame)
{
	struct gr_load_share share;
	struct gr_slice body;
	uint64_t run, start_ns;
	int type = gr_frame_open(frame, &body);

	if (type == GR_MSG_LOAD_PREPARE && !c->shard)
		return prepare(c, body);
	if (!c->shard)
		return 0;
	if (type == GR_MSG_LOAD_START && gr_load_start_decode(body, &run, &start_ns) >= 0)
		gr_shard_start(c->shard, start_ns);
	else if (type == GR_MSG_LOAD_SHARE && gr_load_share_decode(body, &share) >= 0)
		gr_shard_share(c->shard, share.from, share.index, share.of);
	else if (type == GR_MSG_LOAD_STOP)
		gr_shard_stop(c->shard);
	return 0;
}

/* 0 go on, else the process is done. */
static int child_turn(struct child *c)
{
	uint64_t now = gr_clock_mono_ns();
	enum gr_shard_state st;
	struct gr_buf report;

	if (now > c->tick_ns + 3 * GR_PROCS_BEAT_MS * GR_NS_PER_MS)      /* this process was stopped, not the worker */
		c->heard_ns = now;
	c->tick_ns = now;
	if (!c->shard)
		return 0;
	if (!c->is_cut && now > c->heard_ns + c->plan->lease_ns) {
		c->is_cut = true;
		gr_shard_stop(c->shard);
	}
	st = gr_shard_state(c->shard);           /* before the reports: it is set after the last one */
	while (gr_shard_take_report(c->shard, &report)) {
		gr_procs__put(GR_PROCS_CHILD_FD, gr_buf_slice(&report), 0);
		gr_buf_fini(&report);
	}
	if (st == GR_SHARD_FAILED) {
		say("failed", gr_shard_error(c->shard));
		return 1;
	}
	if (st == GR_SHARD_READY && !c->is_ready_said) {
		c->is_ready_said = true;
		say("ready", "");
	}
	if (st != GR_SHARD_ENDED)
		return 0;
	say("ended", c->is_cut ? "a generator process heard nothing of its worker" : "");
	return 1;
}

int gr_procs_child(void)
{
	struct child c = { .wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	int done = c.wake_fd < 0;

	prctl(PR_SET_NAME, "griddle-load");      /* else "exe", after what was started */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);                 /* a terminal's goes to the worker, which tells */
	fcntl(GR_PROCS_CHILD_FD, F_SETFD, FD_CLOEXEC);
	c.heard_ns = c.tick_ns = gr_clock_mono_ns();
	while (!done) {
		struct pollfd fds[] = { { .fd = GR_PROCS_CHILD_FD, .events = POLLIN }, { .fd = c.wake_fd, .events = POLLIN } };
		struct gr_slice frame;
		uint64_t n_wakes;
		size_t at = 0;
		long n;

		poll(fds, 2, GR_PROCS_BEAT_MS / 2);
		if (read(c.wake_fd, &n_wakes, sizeof(n_wakes)) < 0)
			n_wakes = 0;
		if (fds[0].revents && !gr_procs__fill(GR_PROCS_CHILD_FD, &c.in))
			break;                   /* the worker is gone: so is this, at once, with all it has open */
		while ((n = gr_procs__peek(&c.in, at, &frame)) > 0 && !done) {
			c.heard_ns = gr_clock_mono_ns();
			done = hear_one(&c, frame) < 0;
			at += (size_t)n;
		}
		gr_procs__drop(&c.in, at);
		done = done || n < 0 || child_turn(&c);
	}
	_exit(0);
}
