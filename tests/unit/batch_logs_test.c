/* batch_logs_test.c - a reader of a task's output that is slower than the task: what it did not take comes later, once, and then the end
 *
 * A whole coordinator on one loop with a job of a life before, whose only task runs; nobody is connected. */
#include "lib/net/link.h"
#include "tests/unit/batch_fixture.h"

#define JOB 1
#define WORKER 77
#define TEXT "what it printed"

struct reader {
	bool is_full;
	int n_refused, n_ended;
	struct gr_buf text;
};
struct world {
	struct life life;
	struct reader reader;
	struct gr_follower *follower;
};

static void until_n(struct world *w, const int *n, int least)
{
	uint64_t limit = life_limit(&w->life);

	while (*n < least)
		life_turn(&w->life, limit);
}

static void leave_a_job(struct world *w)
{
	static const char spec[] = "{\"name\":\"one\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"]}]}";
	struct gr_store *s = life_store(&w->life);
	struct gr_store_tx *tx = gr_store_tx_new(s);

	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)JOB + 1);
	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "one", "t", (int64_t)0, (int64_t)1, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, (int64_t)0, (int64_t)1, (int64_t)1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
		     (int64_t)0, (int64_t)0);
	life_commit(&w->life, &tx);
	gr_store_close(&s);
}

static int take(void *ctx, struct gr_slice data)
{
	struct reader *r = ctx;

	assert_int_equal(r->n_ended, 0);
	if (r->is_full) {
		r->n_refused++;
		return GR_EBUSY;
	}
	gr_buf_add(&r->text, data.p, data.n);
	return 0;
}

static void end(void *ctx) { ((struct reader *)ctx)->n_ended++; }

static const struct gr_log_sink sink = { take, end };

static int set_up(void **state)
{
	struct world *w;

	GR_NEW(w);
	life_init(&w->life, "logs");
	leave_a_job(w);
	life_begin(&w->life, 600000);
	assert_int_equal(gr_batch_log_follow(&w->life.c, JOB, 0, GR_STREAM_OUT, 0, &sink, &w->reader, &w->follower), 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	life_fini(&w->life);
	gr_buf_fini(&w->reader.text);
	free(w);
	return 0;
}

/* The task ends, having printed TEXT; the follower is told when that is on disk. */
static void end_the_task(struct world *w)
{
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 1, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out = { .has_data = true, .size = sizeof(TEXT) - 1, .data = gr_slice_str(TEXT) }, .err.has_data = true };

	gr_run_end(gr_bj_find(w->life.c.batch, JOB), NULL, WORKER, &m, GR_BC_DONE);
}

static void assert_has_all(const struct world *w)
{
	assert_int_equal(w->reader.n_ended, 1);
	assert_int_equal(w->reader.text.n, sizeof(TEXT) - 1);
	assert_memory_equal(w->reader.text.p, TEXT, sizeof(TEXT) - 1);
}

/* ---- a client of the wire ---- */

struct client {
	struct gr_link *link;
	int n_up, n_answers;
	size_t n_junk, n_out;
	char state[16];
};

static json_t *make_hello(void *ctx)
{
	(void)ctx;
	return gr_hello_json(GR_ROLE_CLIENT, "reader");
}

static void on_up(void *ctx, const json_t *welcome)
{
	(void)welcome;
	((struct client *)ctx)->n_up++;
}

static void on_down(void *ctx, int code, const char *why)
{
	(void)ctx;
	fail_msg("%d: %s", code, why);
}

static int on_msg(void *ctx, int type, struct gr_slice body)
{
	struct client *f = ctx;
	struct gr_out_msg m;
	struct gr_err err;
	json_t *rep;

	if (type == GR_MSG_OUT) {
		assert_int_equal(gr_out_decode(body, &m), 0);
		f->n_out += m.job == JOB;
		f->n_junk += m.job != JOB;
	} else if (type == GR_MSG_CTL_REP) {
		assert_int_equal(gr_json_decode(body, &rep, &err), 0);
		snprintf(f->state, sizeof(f->state), "%s", json_string_value(json_object_get(rep, "state")));
		json_decref(rep);
		f->n_answers++;
	}
	return 0;
}

/* Its queue takes nothing more until the loop turns, an answer neither. */
static size_t fill(struct world *w, struct gr_peer *peer)
{
	char *text = gr_xalloc(GR_WIRE_CHUNK_BYTES / 2);
	struct gr_out_msg junk = { JOB + 1, 0, 1, GR_STREAM_OUT, 0, 0, { (const uint8_t *)text, GR_WIRE_CHUNK_BYTES / 2 } };
	size_t n = 0;

	while (junk.data.n) {
		struct gr_buf f = { 0 };
		int rc;

		gr_out_encode(&f, &junk);
		rc = gr_peers_send(&w->life.c, peer, &f);
		assert_true(rc >= 0 || rc == GR_EBUSY);
		assert_true(n < 1000000);
		n += rc >= 0;
		if (rc < 0)
			junk.data.n /= 2;
	}
	free(text);
	return n;
}

/* ---- tests ---- */

/* Its answer came when the task was over, which it had not asked to wait for. */
static void one_that_does_not_follow_is_answered_while_the_task_runs(void **state)
{
	static const struct gr_link_ops link_ops = { .make_hello = make_hello, .on_up = on_up, .on_down = on_down, .on_msg = on_msg };
	json_t *req = json_pack("{s:i, s:i, s:i, s:i, s:i}", "id", 5, "job", JOB, "task", 0, "out", 0, "err", 0);
	struct world *w = *state;
	struct gr_link_config cfg = { .endpoint = w->life.c.endpoint };
	struct client f = { .n_up = 0 };
	struct gr_client *client;
	struct gr_err err;
	size_t n;

	if (gr_link_new(w->life.loop, &cfg, &link_ops, &f, &f.link, &err) < 0)
		fail_msg("%s", err.text);
	until_n(w, &f.n_up, 1);
	client = GR_CONTAINER(w->life.c.clients.next, struct gr_client, link);
	n = fill(w, client->peer);
	gr_logs_read(w->life.c.batch, client->peer, req);
	json_decref(req);
	until_n(w, &f.n_answers, 1);
	assert_string_equal(f.state, "backoff");  /* its worker has not come back yet */
	assert_int_equal(f.n_junk, n);
	assert_int_equal(f.n_out, 0);
	gr_link_close(&f.link);
}

static void what_a_full_reader_refused_at_the_end_comes_with_a_tick_and_once(void **state)
{
	struct world *w = *state;

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 3);      /* when the end was on disk, and with ticks */
	assert_int_equal(w->reader.n_ended, 0);
	assert_int_equal(w->reader.text.n, 0);
	w->reader.is_full = false;
	until_n(w, &w->reader.n_ended, 1);
	assert_has_all(w);
	for (uint32_t n = w->life.c.batch->n_ticks + 3; w->life.c.batch->n_ticks < n;)
		uv_run(gr_loop_uv(w->life.loop), UV_RUN_ONCE);
	assert_has_all(w);
}

/* tail.c: its reader has taken what was held. */
static void or_when_the_reader_asks_for_more(void **state)
{
	struct world *w = *state;

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 1);
	gr_batch_log_more(&w->life.c, w->follower);
	assert_int_equal(w->reader.n_refused, 2);
	assert_int_equal(w->reader.n_ended, 0);
	w->reader.is_full = false;
	gr_batch_log_more(&w->life.c, w->follower);
	assert_has_all(w);
}

static void of_one_that_follows_from_an_offset_from_there_on(void **state)
{
	struct world *w = *state;

	gr_batch_log_stop(&w->follower);
	assert_int_equal(gr_batch_log_follow(&w->life.c, JOB, 0, GR_STREAM_OUT, 5, &sink, &w->reader, &w->follower), 0);
	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 2);
	w->reader.is_full = false;
	until_n(w, &w->reader.n_ended, 1);
	assert_int_equal(w->reader.text.n, sizeof(TEXT) - 1 - 5);
	assert_memory_equal(w->reader.text.p, &TEXT[5], sizeof(TEXT) - 1 - 5);
}

static void a_full_reader_of_a_job_that_is_removed_is_let_go(void **state)
{
	struct world *w = *state;
	struct gr_bj *j = gr_bj_find(w->life.c.batch, JOB);

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 1);
	assert_int_equal(w->reader.n_ended, 0);
	gr_bj_remove(j, NULL);
	until_n(w, &w->reader.n_ended, 1);
	assert_int_equal(w->reader.text.n, 0);
}

static void one_that_goes_away_while_it_is_full_is_told_nothing(void **state)
{
	struct world *w = *state;

	w->reader.is_full = true;
	end_the_task(w);
	until_n(w, &w->reader.n_refused, 1);
	gr_batch_log_stop(&w->follower);
	assert_null(w->follower);
	for (uint32_t n = w->life.c.batch->n_ticks + 3; w->life.c.batch->n_ticks < n;)
		uv_run(gr_loop_uv(w->life.loop), UV_RUN_ONCE);
	assert_int_equal(w->reader.n_refused, 1);
	assert_int_equal(w->reader.n_ended, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(one_that_does_not_follow_is_answered_while_the_task_runs),
		T(what_a_full_reader_refused_at_the_end_comes_with_a_tick_and_once),
		T(or_when_the_reader_asks_for_more),
		T(of_one_that_follows_from_an_offset_from_there_on),
		T(a_full_reader_of_a_job_that_is_removed_is_let_go),
		T(one_that_goes_away_while_it_is_full_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
