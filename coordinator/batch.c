/* batch.c - jobs as the coordinator has them: made, stored, taken up after a restart, ended, removed; see batch.h
 *
 * What a job is lies in the store; here is what it takes to run it. A job that is over keeps a line's worth of memory
 * until somebody looks at it (gr_bj_load), and is put away again a while later.
 */
#include "coordinator/batch_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define TICK_MS 100
#define KEEP_TICKS 10u
#define IDLE_NS (60 * GR_NS_PER_S)

/* ---- jobs ---- */

struct gr_bj *gr_bj_find(struct gr_batch *b, uint64_t id)
{
	if (!b->last || b->last->id != id)
		b->last = gr_map_get(&b->jobs, &id, sizeof(id));
	return b->last;
}

struct gr_bj *gr_bj_new(struct gr_batch *b, uint64_t id)
{
	struct gr_bj *j;

	GR_NEW(j);
	j->id = id;
	j->batch = b;
	gr_list_init(&j->ranges);
	gr_map_put(&b->jobs, &j->id, sizeof(j->id), j);
	return j;
}

void gr_bj_unload(struct gr_bj *j)
{
	if (!j->spec)
		return;
	for (int i = 0; i < GR_B_N; i++)
		j->counts[i] = j->b.states.count[i];
	gr_bj_unmap_lines(j);
	gr_bjob_fini(&j->b);
	gr_spec_free(&j->spec);
	gr_buf_fini(&j->spec_frame);
}

static void unpin_all(struct gr_bj *j)
{
	for (uint32_t i = 0; i < j->n_pins; i++)
		gr_cas_unpin(j->batch->cas, &j->pins[i].digest);
	free(j->pins);
	j->pins = NULL;
	j->n_pins = j->cap_pins = 0;
}

void gr_bj_free(struct gr_bj **jp)
{
	struct gr_bj *j = *jp;

	*jp = NULL;
	gr_bj_leave_placement(j);
	gr_bj_unload(j);
	unpin_all(j);
	gr_map_del(&j->batch->jobs, &j->id, sizeof(j->id));
	if (j->batch->last == j)
		j->batch->last = NULL;
	free(j->token);
	free(j->name);
	free(j->tenant);
	free(j->owner);
	free(j->reason);
	free(j);
}

void gr_bj_pin(struct gr_bj *j, const struct gr_digest *d, uint64_t size)
{
	if (j->n_pins == j->cap_pins) {
		j->cap_pins = j->cap_pins ? 2 * j->cap_pins : 16;
		j->pins = gr_xrealloc(j->pins, j->cap_pins * sizeof(*j->pins));
	}
	j->pins[j->n_pins++] = (struct gr_spec_blob){ *d, size };
	j->pin_bytes += size;
	gr_cas_pin(j->batch->cas, d);
}

void gr_bj_pin_once(struct gr_bj *j, const struct gr_digest *d, uint64_t size)
{
	for (uint32_t i = 0; i < j->n_pins; i++)
		if (gr_digest_eq(&j->pins[i].digest, d))
			return;
	gr_bj_pin(j, d, size);
}

static int pin_row(void *ctx, struct gr_slice digest, int64_t size)
{
	struct gr_digest d;

	memcpy(d.b, digest.p, sizeof(d.b));
	gr_bj_pin(ctx, &d, (uint64_t)size);
	return 0;
}

void gr_bj_pin_spec(struct gr_bj *j, const struct gr_spec *spec)
{
	for (uint32_t i = 0; !j->has_spec_pins && i < spec->n_blobs; i++)
		gr_bj_pin(j, &spec->blobs[i].digest, spec->blobs[i].size);
	j->has_spec_pins = true;
}

/* Everything the rows name, and the spec when it is there. */
int gr_bj_pin_all(struct gr_bj *j)
{
	if (j->spec)
		gr_bj_pin_spec(j, j->spec);
	return gr_store_each_digest(j->batch->store, (int64_t)j->id, pin_row, j);
}

/* ---- states of jobs ---- */

const char *gr_bj_state_name(const struct gr_bj *j)
{
	switch (j->is_ending ? GR_J_OPEN : j->state) {
	case GR_J_DONE: return "done";
	case GR_J_FAILED: return "failed";
	case GR_J_CANCELLED: return "cancelled";
	case GR_J_OPEN: break;
	}
	if (j->spec && j->b.is_cancelled)
		return "cancelling";
	if (j->is_paused)
		return "paused";
	return j->started_ms ? "running" : "queued";
}

void gr_bj_save_state(struct gr_bj *j, struct gr_store_tx *tx)
{
	gr_store_add(tx, GR_SQL_JOB_STATE, (int64_t)j->id, (int64_t)j->state, j->reason, (int64_t)j->is_paused, j->started_ms, j->ended_ms);
}

static void save_counts(struct gr_bj *j, struct gr_store_tx *tx)
{
	json_t *o = json_object();
	char *text;

	for (int i = 0; i < GR_B_N; i++)
		json_object_set_new(o, gr_bstate_name((enum gr_bstate)i), json_integer(j->b.states.count[i]));
	text = json_dumps(o, JSON_COMPACT);
	gr_store_add(tx, GR_SQL_JOB_COUNTS, (int64_t)j->id, text);
	free(text);
	json_decref(o);
}

/* As it will be when it is on disk, which is when it is told. */
static json_t *ended_event(struct gr_bj *j)
{
	json_t *o;

	j->is_ending = false;
	o = gr_show_summary(j);
	j->is_ending = true;
	return o;
}

void gr_bj_settle(struct gr_bj *j, struct gr_store_tx *tx)
{
	struct gr_store_tx *own = NULL;
	const uint32_t *n = j->b.states.count;
	const char *state;

	if (j->state != GR_J_OPEN || !gr_bjob_is_over(&j->b))
		return;
	if (!tx)
		tx = own = gr_store_tx_new(j->batch->store);
	j->state = n[GR_B_DONE] == j->n_tasks ? GR_J_DONE : j->b.is_cancelled ? GR_J_CANCELLED : GR_J_FAILED;
	if (j->state == GR_J_FAILED && !j->reason) {
		struct gr_buf t = { 0 };

		if (n[GR_B_FAILED])
			gr_buf_printf(&t, "%u of %u tasks failed%s", n[GR_B_FAILED], j->n_tasks, j->b.is_stopping ? ": as many as were allowed" : "");
		else                      /* others of it were retried */
			gr_buf_printf(&t, "%u of %u tasks were cancelled before", n[GR_B_CANCELLED] + n[GR_B_SKIPPED], j->n_tasks);
		j->reason = gr_buf_take(&t, NULL);
	}
	j->ended_ms = (int64_t)gr_clock_real_ms();
	state = gr_bj_state_name(j);           /* of one that is ending it would say that it is running */
	j->is_ending = true;
	gr_bj_save_state(j, tx);
	save_counts(j, tx);
	gr_store_add(tx, GR_SQL_SECRET_RM, (int64_t)j->id);
	gr_bj_leave_placement(j);
	j->used_ns = gr_coord_now(j->batch->c);
	gr_info("batch", "job %" PRIu64 " (%s) is %s: %u done, %u failed, %u cancelled, %u skipped", j->id, j->name, state, n[GR_B_DONE],
		n[GR_B_FAILED], n[GR_B_CANCELLED], n[GR_B_SKIPPED]);
	GR_LIST_EACH(w, &j->batch->c->workers, struct gr_worker, link) {
		struct gr_buf f = { 0 };
		struct gr_bworker *bw = w->batch;
		uint64_t *key = bw ? gr_map_del(&bw->specs, &j->id, sizeof(j->id)) : NULL;

		if (!key)
			continue;
		free(key);
		bw->last_spec = bw->last_spec == j->id ? 0 : bw->last_spec;
		gr_session_encode(&f, GR_MSG_SESSION_CLOSE, j->id, 0);
		gr_peers_send(j->batch->c, w->peer, &f);
	}
	if (own) {
		struct gr_pend *p = gr_pend_new(j->batch);

		p->job = j->id;
		p->settles = true;
		gr_pend_event(p, "job.state", ended_event(j));
		gr_pend_commit(p, own, false);
	} else if (j->batch->pend) {
		j->batch->pend->settles = true;
		gr_pend_event(j->batch->pend, "job.state", ended_event(j));
	}
}

/* Jobs that are over for long enough go; those that nobody looked at are put away; deadlines. */
static void look_at(struct gr_batch *b, struct gr_bj *j, uint64_t now_ns, int64_t now_ms)
{
	uint64_t keep = j->spec && j->spec->keep_ms ? j->spec->keep_ms : (uint64_t)b->c->cfg.keep_jobs_ms;

	if (j->is_ending)
		return;                           /* the store does not have all of it yet: put away, it would come back as cancelled */
	if (j->state != GR_J_OPEN) {
		if (now_ms - j->ended_ms > (int64_t)keep) {
			gr_info("batch", "job %" PRIu64 " (%s) is removed: over for longer than it is kept", j->id, j->name);
			gr_bj_remove(j, NULL);
		} else if (j->spec && now_ns > j->used_ns + IDLE_NS) {   /* a follower may have looked since @now_ns was read */
			gr_bj_unload(j);
		}
		return;
	}
	gr_bjob_tick(&j->b, now_ns);
	if (j->spec->deadline_ms && now_ms > j->spec->deadline_ms && !j->b.is_cancelled && !j->b.is_stopping) {
		gr_info("batch", "job %" PRIu64 " (%s) has reached its deadline", j->id, j->name);
		free(j->reason);
		j->reason = gr_xstrdup("its deadline passed");
		j->b.is_stopping = true;
		gr_bjob_cancel(&j->b, GR_BC_DEADLINE);
		gr_bj_settle(j, NULL);
	}
}

/* Over together for more than is kept: those that ended first go. */
static void keep_bytes(struct gr_batch *b)
{
	uint64_t bytes = 0, most = (uint64_t)b->c->cfg.keep_bytes;
	struct gr_bj *j, *oldest = NULL;
	size_t i = 0;

	while (most && (j = gr_map_each(&b->jobs, &i))) {
		if (j->state == GR_J_OPEN || j->is_ending)
			continue;
		bytes += j->pin_bytes;
		if (j->pin_bytes && (!oldest || j->ended_ms < oldest->ended_ms || (j->ended_ms == oldest->ended_ms && j->id < oldest->id)))
			oldest = j;
	}
	if (bytes <= most || !oldest)
		return;
	gr_info("batch", "job %" PRIu64 " (%s) is removed: files of jobs that are over take %" PRIu64 " MiB, --keep-bytes allows %" PRIu64 " MiB", oldest->id,
		oldest->name, bytes >> 20, most >> 20);
	gr_bj_remove(oldest, NULL);
}

static void on_tick(void *ctx)
{
	struct gr_batch *b = ctx;
	uint64_t now_ns = gr_coord_now(b->c);
	int64_t now_ms = (int64_t)gr_clock_real_ms();
	struct gr_bj **all;
	struct gr_bj *j;
	size_t i = 0, n = 0;

	gr_run_tick(b);
	gr_bworkers_tick(b);
	gr_logs_tick(b);
	gr_watch_tick(b);
	all = gr_xalloc((b->jobs.n + 1) * sizeof(struct gr_bj *));
	while ((j = gr_map_each(&b->jobs, &i)))
		if (j->is_committed)
			all[n++] = j;
	for (i = 0; i < n; i++)
		look_at(b, all[i], now_ns, now_ms);
	free(all);
	if (++b->n_looks % KEEP_TICKS == 0)
		keep_bytes(b);
}

/* ---- open and close ---- */

static void on_damage(void *ctx, const char *text)
{
	struct gr_batch *b = ctx;

	gr_error("batch", "%s", text);
	b->c->exit_rc = GR_ECORRUPT;
	gr_loop_stop(b->c->loop);
}

static const struct gr_store_ops store_ops = { .on_damage = on_damage };

int gr_batch_open(struct gr_coord *c, struct gr_err *err)
{
	struct gr_digest commands;
	struct gr_batch *b;
	char path[4200];
	int rc;

	GR_NEW(b);
	c->batch = b;
	b->c = c;
	b->log_fd = -1;
	b->jobs.seed = gr_rng_u64(gr_loop_rng(c->loop));
	b->ranges.seed = gr_rng_u64(gr_loop_rng(c->loop));
	b->uses.seed = gr_rng_u64(gr_loop_rng(c->loop));
	b->tenants.seed = gr_rng_u64(gr_loop_rng(c->loop));
	gr_trust_init(&b->trust, gr_rng_u64(gr_loop_rng(c->loop)));
	gr_list_init(&b->subscribers);
	gr_list_init(&b->followers);
	gr_list_init(&b->uploads);
	gr_list_init(&b->outboxes);
	gr_list_init(&b->waits);
	gr_list_init(&b->asked);
	gr_list_init(&b->owing);
	gr_list_init(&b->pends);
	b->settle_until_ns = gr_coord_now(c) + (uint64_t)c->cfg.settle_ms * GR_NS_PER_MS;
	gr_sha256_of("griddle commands", 16, &commands);
	rc = gr_place_env(c->place, &commands);
	if (rc < 0)
		return gr_err_set(err, rc, "placement takes no environment");
	b->commands_env = (uint32_t)rc;
	gr_place_env_hold(c->place, b->commands_env, true);
	snprintf(path, sizeof(path), "%s/blobs", c->cfg.state);
	rc = gr_cas_open(path, UINT64_MAX, &b->cas, err);
	if (rc < 0)
		return gr_err_wrap(err, "blobs");
	if (c->cfg.history) {
		b->log_fd = open(c->cfg.history, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		if (b->log_fd < 0)
			return gr_err_set(err, gr_err_errno(errno), "history: %s cannot be opened", c->cfg.history);
		gr_history(b, "start", 0, -1, 0, "");
	}
	rc = gr_store_open(c->loop, c->cfg.state, &store_ops, b, &b->store, err);
	if (rc >= 0)
		rc = gr_batch_load(b, err);
	if (rc < 0)
		return rc;
	gr_cas_set_cap(b->cas, (uint64_t)c->cfg.job_bytes);       /* what jobs need is pinned by now */
	gr_begun_init(b);
	gr_care_open(b);
	gr_remove_open(b);
	b->tick = gr_timer_start(c->loop, TICK_MS, TICK_MS, on_tick, b);
	return 0;
}

void gr_batch_close(struct gr_coord *c)
{
	struct gr_batch *b = c->batch;
	struct gr_bj *j;
	size_t i;

	if (!b)
		return;
	b->is_closing = true;
	gr_timer_stop(&b->tick);
	gr_begun_close(b);
	gr_care_close(b);
	gr_store_close(&b->store);
	gr_pends_close(b);
	gr_ops_close(b);
	gr_logs_close(b);
	gr_watch_close(b);
	gr_bblobs_close(b);
	while (i = 0, (j = gr_map_each(&b->jobs, &i)))
		gr_bj_free(&j);
	gr_map_fini(&b->jobs);
	gr_map_fini(&b->ranges);
	gr_batch_free_tenants(b);
	gr_batch_free_uses(b);
	gr_trust_fini(&b->trust);
	gr_cas_close(&b->cas);
	gr_buf_fini(&b->scratch);
	if (b->log_fd >= 0)
		close(b->log_fd);
	free(b);
	c->batch = NULL;
}

void gr_batch_stats(const struct gr_coord *c, struct gr_batch_stats *out)
{
	const struct gr_batch *b = c->batch;
	struct gr_cas_stats cas;
	struct gr_bj *j;
	size_t i = 0;

	memset(out, 0, sizeof(*out));
	if (!b)
		return;
	while ((j = gr_map_each(&b->jobs, &i))) {
		out->n_jobs++;
		out->n_open += j->state == GR_J_OPEN;
		for (int k = 0; k < GR_B_N; k++)
			out->counts[k] += j->spec ? j->b.states.count[k] : j->counts[k];
	}
	out->submitted = b->submitted;
	out->attempts = b->attempts;
	out->fenced = b->fenced;
	out->adopted = b->adopted;
	memcpy(out->causes, b->causes, sizeof(out->causes));
	out->cpu_us = b->cpu_us;
	out->wasted_us = b->wasted_us;
	out->in_bytes = b->in_bytes;
	out->out_bytes = b->out_bytes;
	out->trouble = gr_store_trouble(b->store);
	gr_store_stats(b->store, &out->store);
	gr_cas_stats(b->cas, &cas);
	out->blobs = cas.n_blobs;
	out->blob_bytes = cas.bytes;
}
