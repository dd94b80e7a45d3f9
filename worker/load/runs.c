/* runs.c - see runs.h */
#include "worker/load/runs.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "worker/load/burn.h"
#include "worker/load/shard.h"
#include "worker/worker.h"

#define MAX_RUNS 8u
#define TICK_MS 50
#define NAMES_NS (10 * GR_NS_PER_S)              /* before the coordinator gives up by itself */
#define MAX_HELD_FRAMES 4096u

struct burn {
	enum { BURN_WAITS, BURN_ON, BURN_OVER } state;
	const struct gr_load_burn *b;
	pid_t pid;
};
struct run {
	struct gr_list link;
	struct gr_runs *all;
	uint64_t id, asked_ns, start_ns;
	uint16_t number;
	struct gr_load_plan *plan;
	struct gr_shard *shard;               /* NULL: burns alone */
	struct burn burns[GR_LOAD_MAX_BURNS];
	uint32_t n_burns;
	bool is_ready_said, is_stopping, is_cut;
	char note[200];
	struct gr_list frames;
	uint32_t n_frames;
};
struct frame {
	struct gr_list link;
	struct gr_buf b;
};
struct gr_runs {
	struct gr_worker *w;
	struct gr_list list;
	uint32_t n;
	uv_async_t async;
	uv_timer_t timer;
	uint64_t clock_ns, tick_ns;           /* when the last LOAD_CLOCK came; when the last tick was */
	int n_open;
};

static void pump(struct gr_runs *rs);

/* ---- speaking ---- */

static void say(struct run *r, const char *state, const char *why)
{
	struct gr_buf frame = { 0 };
	char id[17];
	json_t *o;

	snprintf(id, sizeof(id), "%016" PRIx64, r->id);
	o = json_pack("{s:s, s:i, s:s, s:b, s:s}", "run", id, "shard", (int)r->number, "state", state, "cut", r->is_cut, "why", why);
	gr_json_encode(&frame, GR_MSG_LOAD_STATE, o);
	json_decref(o);
	if (gr_link_send(r->all->w->link, &frame) < 0)
		gr_debug("load", "LOAD_STATE %s not sent", state);
	gr_buf_fini(&frame);
}

static void notify(void *ctx)
{
	uv_async_send(&((struct gr_runs *)ctx)->async);
}

/* ---- a test ---- */

static void run_free(struct run *r)
{
	struct gr_runs *rs = r->all;
	struct gr_list *l;

	gr_list_del(&r->link);
	rs->n--;
	for (uint32_t i = 0; i < r->n_burns; i++)
		if (r->burns[i].state == BURN_ON)
			gr_burn_end(r->burns[i].pid);
	if (r->shard) {
		rs->w->n_load -= r->plan->n_threads;      /* tasks that waited for these begin at the next tick */
		gr_shard_free(&r->shard);
	}
	gr_load_plan_free(&r->plan);
	while ((l = gr_list_pop(&r->frames))) {
		struct frame *f = GR_CONTAINER(l, struct frame, link);

		gr_buf_fini(&f->b);
		free(f);
	}
	free(r);
	if (gr_list_is_empty(&rs->list))
		uv_timer_stop(&rs->timer);
}

static void stop(struct run *r, bool is_cut, const char *why)
{
	if (r->is_stopping)
		return;
	r->is_stopping = true;
	r->is_cut = is_cut;
	if (why)
		snprintf(r->note, sizeof(r->note), "%s", why);
	if (r->shard)
		gr_shard_stop(r->shard);
	for (uint32_t i = 0; i < r->n_burns; i++) {
		if (r->burns[i].state == BURN_ON)
			gr_burn_end(r->burns[i].pid);
		r->burns[i].state = BURN_OVER;
	}
}

static void burn(struct run *r, uint64_t now)
{
	for (uint32_t i = 0; r->start_ns && i < r->n_burns; i++) {
		struct burn *b = &r->burns[i];
		struct gr_err err;
		int code;

		if (b->state == BURN_WAITS && now >= r->start_ns + b->b->at_ns) {
			b->state = BURN_ON;
			if (gr_burn_start(b->b, &b->pid, &err) < 0) {
				b->state = BURN_OVER;
				snprintf(r->note, sizeof(r->note), "burn %u: %.150s", i, err.text);
			}
		} else if (b->state == BURN_ON && now >= r->start_ns + b->b->at_ns + b->b->len_ns) {
			gr_burn_end(b->pid);
			b->state = BURN_OVER;
		} else if (b->state == BURN_ON && (code = gr_burn_poll(b->pid)) >= 0) {
			b->state = BURN_OVER;
			if (code)
				snprintf(r->note, sizeof(r->note), "burn %u: stress-ng ended with %d", i, code);
		}
	}
}

static bool is_burning(const struct run *r)
{
	for (uint32_t i = 0; i < r->n_burns; i++)
		if (r->burns[i].state != BURN_OVER)
			return true;
	return false;
}

static void send_reports(struct run *r)
{
	struct gr_link *link = r->all->w->link;
	struct gr_buf b;

	while (r->shard && gr_shard_take_report(r->shard, &b)) {
		struct frame *f;

		if (r->n_frames == MAX_HELD_FRAMES) {
			gr_buf_fini(&b);
			stop(r, true, "its reports could not be sent");
			continue;
		}
		GR_NEW(f);
		f->b = b;
		gr_list_push(&r->frames, &f->link);
		r->n_frames++;
	}
	while (!gr_list_is_empty(&r->frames)) {
		struct frame *f = GR_CONTAINER(r->frames.next, struct frame, link);

		if (gr_link_send(link, &f->b) < 0)
			return;
		gr_list_del(&f->link);
		gr_buf_fini(&f->b);
		free(f);
		r->n_frames--;
	}
}

/* One look at one test. true: it is over and gone. */
static bool look(struct run *r, uint64_t now)
{
	enum gr_shard_state st = r->shard ? gr_shard_state(r->shard) : r->start_ns || r->is_stopping ? GR_SHARD_ENDED : GR_SHARD_READY;

	if (!r->is_ready_said && st == GR_SHARD_READY && !r->is_stopping) {
		r->is_ready_said = true;
		say(r, "ready", "");
	}
	if (st == GR_SHARD_FAILED) {
		say(r, "failed", gr_shard_error(r->shard));
		run_free(r);
		return true;
	}
	if (st == GR_SHARD_PREPARING && now > r->asked_ns + NAMES_NS + (r->plan->is_warm ? GR_LOAD_WARM_NS : 0) && !r->is_stopping) {
		say(r, "failed", r->plan->is_warm ? "its hosts' names and its connections take longer than 20 s" :
						    "looking up the names of its hosts takes longer than 10 s");
		run_free(r);
		return true;
	}
	if (st == GR_SHARD_ENDED && r->shard && *gr_shard_error(r->shard))
		stop(r, true, gr_shard_error(r->shard));
	if (!r->is_stopping)
		burn(r, now);
	send_reports(r);
	if (st != GR_SHARD_ENDED || (is_burning(r) && !r->is_stopping))
		return false;
	send_reports(r);                         /* the state is set after the last report */
	if (!gr_list_is_empty(&r->frames) && gr_link_is_up(r->all->w->link))
		return false;
	say(r, "ended", r->note);
	run_free(r);
	return true;
}

static void pump(struct gr_runs *rs)
{
	uint64_t now = gr_clock_mono_ns();

	GR_LIST_EACH_SAFE(r, &rs->list, struct run, link)
		look(r, now);
}

static void on_async(uv_async_t *a)
{
	pump(a->data);
}

/* The lease. A tick that comes far too late says that this process was stopped, not the coordinator. */
static void on_timer(uv_timer_t *t)
{
	struct gr_runs *rs = t->data;
	uint64_t now = gr_clock_mono_ns();

	if (now > rs->tick_ns + 6 * TICK_MS * GR_NS_PER_MS)
		rs->clock_ns = now;
	rs->tick_ns = now;
	GR_LIST_EACH(r, &rs->list, struct run, link)
		if (r->start_ns && now > rs->clock_ns + r->plan->lease_ns && now > r->start_ns)
			stop(r, true, "the coordinator fell silent");
	pump(rs);
}

/* ---- hearing ---- */

static int prepare(struct gr_runs *rs, struct gr_slice body)
{
	struct gr_shard_spec spec = { .notify = notify, .ctx = rs };
	const json_t *plan;
	const char *hex;
	struct gr_err err = { 0 };
	json_int_t burns;
	struct run *r;
	json_t *o;
	int rc = gr_json_decode(body, &o, NULL);

	if (rc < 0)
		return rc;
	hex = json_string_value(json_object_get(o, "run"));
	plan = json_object_get(o, "plan");
	if (!hex || !json_is_object(plan)) {
		json_decref(o);
		return GR_EPROTO;
	}
	GR_NEW(r);
	r->all = rs;
	r->asked_ns = gr_clock_mono_ns();
	r->id = strtoull(hex, NULL, 16);
	r->number = (uint16_t)json_integer_value(json_object_get(o, "shard"));
	gr_list_init(&r->frames);
	gr_list_push(&rs->list, &r->link);
	rs->n++;
	spec.run = r->id;
	spec.shard = r->number;
	spec.index = (uint32_t)json_integer_value(json_object_get(o, "index"));
	spec.of = (uint32_t)json_integer_value(json_object_get(o, "of"));
	if (rs->n > MAX_RUNS)
		rc = gr_err_set(&err, GR_EBUSY, "runs %u load tests already", MAX_RUNS);
	if (rc >= 0 && rs->w->is_draining)
		rc = gr_err_set(&err, GR_EBUSY, "is draining");
	if (rc >= 0)
		rc = gr_load_plan_from_json(plan, &r->plan, &err);
	if (rc >= 0 && (!spec.of || spec.of > GR_LOAD_MAX_SHARDS || spec.index >= spec.of))
		rc = gr_err_set(&err, GR_EPROTO, "share %u of %u is none", spec.index, spec.of);
	burns = json_integer_value(json_object_get(o, "burns"));
	for (uint32_t i = 0; rc >= 0 && i < r->plan->n_burns; i++)
		if (burns & 1 << i)
			r->burns[r->n_burns++].b = &r->plan->burns[i];
	if (rc >= 0 && r->n_burns && !gr_burn_program())
		rc = gr_err_set(&err, GR_ENOENT, "has no stress-ng");
	spec.plan = r->plan;
	spec.plan_json = plan;
	if (rc >= 0 && json_is_true(json_object_get(o, "traffic")))
		rc = gr_shard_new(&spec, &r->shard, &err);
	if (r->shard)
		rs->w->n_load += r->plan->n_threads;
	json_decref(o);
	if (rc < 0) {
		say(r, "failed", err.text);
		run_free(r);
		return 0;
	}
	gr_info("load", "test %016" PRIx64 ": share %u of %u%s", r->id, spec.index, spec.of, r->n_burns ? ", burns" : "");
	rs->clock_ns = rs->tick_ns = gr_clock_mono_ns();
	uv_timer_start(&rs->timer, on_timer, TICK_MS, TICK_MS);
	pump(rs);
	return 0;
}

static struct run *find(struct gr_runs *rs, uint64_t id)
{
	GR_LIST_EACH(r, &rs->list, struct run, link)
		if (r->id == id)
			return r;
	return NULL;
}

static int on_clock(struct gr_runs *rs, struct gr_slice body)
{
	struct gr_load_clock m;
	struct gr_buf frame = { 0 };
	int rc = gr_load_clock_decode(body, &m);

	if (rc < 0)
		return rc;
	m.received_ns = rs->clock_ns = gr_clock_mono_ns();
	m.back_ns = gr_clock_mono_ns();
	gr_load_clock_encode(&frame, &m);
	if (gr_link_send(rs->w->link, &frame) < 0)
		gr_debug("load", "LOAD_CLOCK not sent");
	gr_buf_fini(&frame);
	return 0;
}

int gr_runs_message(struct gr_runs *rs, int type, struct gr_slice body)
{
	struct gr_load_share share;
	uint64_t id, start_ns;
	struct run *r;
	int rc;

	switch (type) {
	case GR_MSG_LOAD_PREPARE:
		return prepare(rs, body);
	case GR_MSG_LOAD_CLOCK:
		return on_clock(rs, body);
	case GR_MSG_LOAD_START:
		rc = gr_load_start_decode(body, &id, &start_ns);
		r = rc < 0 ? NULL : find(rs, id);
		if (r && !r->start_ns && !r->is_stopping) {
			r->start_ns = start_ns;
			rs->clock_ns = gr_clock_mono_ns();
			if (r->shard)
				gr_shard_start(r->shard, start_ns);
		}
		return rc;
	case GR_MSG_LOAD_SHARE:
		rc = gr_load_share_decode(body, &share);
		r = rc < 0 ? NULL : find(rs, share.run);
		if (r && r->shard)
			gr_shard_share(r->shard, share.from, share.index, share.of);
		return rc;
	case GR_MSG_LOAD_STOP:
		rc = gr_load_stop_decode(body, &id);
		r = rc < 0 ? NULL : find(rs, id);
		if (r) {
			stop(r, false, NULL);
			pump(rs);
		}
		return rc;
	default:
		return 0;
	}
}

void gr_runs_down(struct gr_runs *rs)
{
	GR_LIST_EACH(r, &rs->list, struct run, link)
		stop(r, true, "the connection to the coordinator is gone");
	pump(rs);
}

bool gr_runs_can_burn(void) { return gr_burn_program() != NULL; }

struct gr_runs *gr_runs_new(struct gr_worker *w)
{
	struct gr_runs *rs;

	GR_NEW(rs);
	rs->w = w;
	gr_list_init(&rs->list);
	uv_async_init(gr_loop_uv(w->loop), &rs->async, on_async);
	uv_timer_init(gr_loop_uv(w->loop), &rs->timer);
	rs->async.data = rs->timer.data = rs;
	rs->n_open = 2;
	uv_unref((uv_handle_t *)&rs->async);
	return rs;
}

static void on_closed(uv_handle_t *h)
{
	struct gr_runs *rs = h->data;

	if (!--rs->n_open)
		free(rs);
}

void gr_runs_free(struct gr_runs **rp)
{
	struct gr_runs *rs = *rp;

	*rp = NULL;
	if (!rs)
		return;
	GR_LIST_EACH_SAFE(r, &rs->list, struct run, link)
		run_free(r);
	uv_close((uv_handle_t *)&rs->async, on_closed);
	uv_close((uv_handle_t *)&rs->timer, on_closed);
}
