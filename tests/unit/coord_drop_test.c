/* coord_drop_test.c - what a peer must not say: it is dropped, and nobody else */
#include "tests/unit/coord_fixture.h"

static void expect_drop(struct world *w, struct fake *cl, int code)
{
	UNTIL(w, cl->n_down == 1);
	assert_int_equal(cl->down_code, code);
	UNTIL(w, w->c.m.peers_dropped == 1);
}

static void name_no_record(struct gr_task_msg *m) { m->n_records = 7; }
static void name_a_file_as_folder(struct gr_task_msg *m) { m->cwd = 5; }
static void name_a_word_as_folder(struct gr_task_msg *m) { m->cwd = 1; }
static void name_a_word_as_output(struct gr_task_msg *m) { m->outputs[0].path = 1; }
static void number_an_attempt(struct gr_task_msg *m) { m->attempt = 1; }
static void name_a_string_as_input(struct gr_task_msg *m)
{
	static uint8_t raw[] = { 3 };

	m->inputs.raw = gr_slice(raw, 1);
}

static void a_task_that_names_what_is_not_in_the_log_drops_its_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_no_record);
	expect_drop(w, cl, GR_EPROTO);
}

static void a_file_as_folder_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_file_as_folder);
	expect_drop(w, cl, GR_EPATH);
}

static void a_relative_folder_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_word_as_folder);
	expect_drop(w, cl, GR_EPATH);
}

static void a_relative_output_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_word_as_output);
	expect_drop(w, cl, GR_EPATH);
}

static void an_output_that_climbs_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl;

	start(w, NULL);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/../../etc/passwd");
	send_task(cl, 1);
	expect_drop(w, cl, GR_EPATH);
}

static void an_attempt_number_from_a_client_drops_it(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, number_an_attempt);
	expect_drop(w, cl, GR_EPROTO);
}

static void a_string_as_input_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_task_with(cl, 1, name_a_string_as_input);
	expect_drop(w, cl, GR_EPROTO);
}

static void a_gap_in_the_log_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);

	send_log(cl, 60, 6, gr_buf_slice(&w->log));
	expect_drop(w, cl, GR_EPROTO);
}

static void a_file_record_without_its_path_drops_the_client(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w);
	struct gr_record r = { .tag = GR_RECORD_FILE, .path = 0, .kind = GR_FILE_DIR };      /* "gcc" is no path */
	struct gr_buf b = { 0 };

	gr_record_encode(&b, &r);
	send_log(cl, 6, 1, gr_buf_slice(&b));
	expect_drop(w, cl, GR_EPATH);
	gr_buf_fini(&b);
}

static void more_tasks_than_twice_the_credits_drop_the_client_and_nobody_else(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--credits", "16", "--settle", "600s", NULL };
	struct fake *cl, *other;

	start(w, more);
	other = client(w, "other");
	cl = client(w, "agent");
	open_session(cl, SESSION);
	basic_log(w, cl, "/src/a.o");
	for (uint64_t i = 1; i <= 32; i++)
		send_task(cl, i);
	settle(cl);
	assert_true(cl->is_up);
	send_task(cl, 33);
	expect_drop(w, cl, GR_ELIMIT);
	settle(other);
	assert_true(other->is_up && !other->n_down);
}

static void a_log_that_grows_without_end_drops_the_client(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--session-log-bytes", "1M", NULL };
	struct gr_record r = { .tag = GR_RECORD_STR };
	struct gr_buf b = { 0 };
	static char text[60000];
	struct fake *cl;

	start(w, more);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	memset(text, 'x', sizeof(text));
	r.str = gr_slice(text, sizeof(text));
	gr_record_encode(&b, &r);
	for (uint32_t i = 0; i < 18; i++)
		send_log(cl, i, 1, gr_buf_slice(&b));
	expect_drop(w, cl, GR_ELIMIT);
	gr_buf_fini(&b);
}

static void more_sessions_than_allowed_drop_the_client(void **state)
{
	struct world *w = *state;
	const char *const more[] = { "--max-sessions", "1", NULL };
	struct gr_buf b = { 0 };
	struct fake *cl;
	json_t *j = json_pack("{s:s}", "session", "aa00000000000000");

	start(w, more);
	cl = client(w, "agent");
	open_session(cl, SESSION);
	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	json_decref(j);
	send_frame(cl, &b);
	expect_drop(w, cl, GR_ELIMIT);
}

/* ---- whatever comes ---- */

struct frames { struct gr_buf f[16]; int n; };

static void keep(struct frames *x, struct gr_buf *b)
{
	x->f[x->n++] = *b;
	*b = (struct gr_buf){ 0 };
}

static void client_frames(struct world *w, struct frames *x)
{
	struct gr_log_msg log = { .session = SESSION, .n = 6, .bytes = gr_buf_slice(&w->log) };
	struct gr_blob_msg blob = { .session = SESSION, .total = 6, .raw_n = 6, .data = gr_slice_str("int a;") };
	struct gr_buf lists[3] = { 0 }, b = { 0 };
	struct gr_task_msg *m;
	json_t *j = json_pack("{s:s}", "session", "1122334455667788");

	gr_json_encode(&b, GR_MSG_SESSION_OPEN, j);
	keep(x, &b);
	json_decref(j);
	gr_log_encode(&b, &log);
	keep(x, &b);
	GR_NEW(m);
	for (uint64_t i = 1; i <= 3; i++) {
		fill_task(m, i, lists);
		gr_task_encode(&b, m);
		keep(x, &b);
		for (int k = 0; k < 3; k++)
			gr_buf_fini(&lists[k]);
	}
	free(m);
	digest_of("int a;", &blob.digest);
	gr_blob_encode(&b, &blob);
	keep(x, &b);
	gr_digests_encode(&b, GR_MSG_MISSING, SESSION, &blob.digest, 1);
	keep(x, &b);
	gr_taskref_encode(&b, GR_MSG_CANCEL, SESSION, 2, 0);
	keep(x, &b);
	gr_taskref_encode(&b, GR_MSG_RESULT_ACK, SESSION, 1, 0);
	keep(x, &b);
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, SESSION, 0);
	keep(x, &b);
	j = json_pack("{s:s, s:s, s:i}", "op", "explain", "session", "1122334455667788", "task", 3);
	gr_json_encode(&b, GR_MSG_CTL_REQ, j);
	keep(x, &b);
	json_decref(j);
}

static void worker_frames(struct frames *x)
{
	struct gr_ping ping = { .seq = 1, .n_signals = 2, .signals = { { GR_SIGNAL_SLOTS, 3 }, { GR_SIGNAL_CPU_PSI_PERMILLE, 300 } } };
	struct gr_result_msg *m;
	struct gr_buf b = { 0 };
	struct gr_digest d;

	GR_NEW(m);
	m->session = SESSION;
	for (int i = GR_OUTCOME_DONE; i <= GR_OUTCOME_OOM; i++) {
		m->task = 1 + (uint64_t)i % 3;
		m->attempt = 1 + (uint32_t)i / 3;
		m->outcome = (uint8_t)i;
		m->cpu_us = 777;
		gr_result_encode(&b, m);
		keep(x, &b);
	}
	free(m);
	digest_of("int a;", &d);
	gr_digests_encode(&b, GR_MSG_NEED, SESSION, &d, 1);
	keep(x, &b);
	gr_session_encode(&b, GR_MSG_SESSION_OK, SESSION, 2);
	keep(x, &b);
	gr_session_encode(&b, GR_MSG_SESSION_CLOSE, SESSION, 0);
	keep(x, &b);
	gr_ping_encode(&b, GR_MSG_PING, &ping);
	keep(x, &b);
}

/* A body as it is, or with some bytes changed, or cut short, given to the coordinator as this peer's. */
static void say(struct world *w, struct gr_peer *peer, const struct frames *x, struct gr_rng *rng)
{
	const struct gr_buf *f = &x->f[gr_rng_below(rng, (uint32_t)x->n)];
	struct gr_slice body;
	struct gr_buf b = { 0 };
	int type = gr_frame_open(gr_buf_slice(f), &body);

	if (type == GR_MSG_SESSION_CLOSE && gr_rng_below(rng, 32))
		return;         /* else little else would happen */
	gr_buf_add(&b, body.p, body.n);
	if (type == GR_MSG_TASK || type == GR_MSG_RESULT || type == GR_MSG_RESULT_ACK || type == GR_MSG_CANCEL)
		b.p[8] = (uint8_t)(1 + gr_rng_below(rng, 30));      /* the task's number */
	if (b.n && gr_rng_below(rng, 2)) {
		for (uint32_t k = 1 + gr_rng_below(rng, 3); k; k--)
			b.p[gr_rng_below(rng, (uint32_t)b.n)] = (uint8_t)gr_rng_u64(rng);
		if (!gr_rng_below(rng, 8))
			b.n = gr_rng_below(rng, (uint32_t)b.n);
	}
	gr_peers_ops.on_msg(&w->c, peer, type, gr_buf_slice(&b));
	gr_buf_fini(&b);
}

static void no_words_in_whatever_order_hurt_anybody(void **state)
{
	struct world *w = *state;
	struct fake *cl = begin(w), *other;
	struct frames from_client = { .n = 0 }, from_worker = { .n = 0 };
	struct gr_rng rng = { 4711 };

	other = client(w, "other");
	worker_of(w, "w1", 2, 2, 'g');
	worker_of(w, "w2", 1, 0, 'g');
	client_frames(w, &from_client);
	worker_frames(&from_worker);
	for (int i = 0; i < 30000; i++) {
		struct gr_list *list = gr_rng_below(&rng, 2) ? &w->c.workers : &w->c.clients;
		struct gr_list *who = gr_rng_below(&rng, 2) ? list->next : list->prev;

		if (list == &w->c.workers)
			say(w, GR_CONTAINER(who, struct gr_worker, link)->peer, &from_worker, &rng);
		else
			say(w, GR_CONTAINER(who, struct gr_client, link)->peer, &from_client, &rng);
		if (!gr_rng_below(&rng, 16))
			uv_run(gr_loop_uv(w->loop), UV_RUN_NOWAIT);
	}
	settle(other);
	assert_true(cl->is_up && other->is_up);
	print_message("# %u sessions, %u tasks, %u attempts, %u results fenced\n", (unsigned)w->c.m.sessions_opened,
		      (unsigned)w->c.m.tasks_accepted, (unsigned)w->c.m.attempts, (unsigned)w->c.m.results_fenced);
	assert_true(w->c.m.tasks_accepted > 100 && w->c.m.attempts > 50 && w->c.m.sessions_opened > 10);
	for (int i = 0; i < from_client.n; i++)
		gr_buf_fini(&from_client.f[i]);
	for (int i = 0; i < from_worker.n; i++)
		gr_buf_fini(&from_worker.f[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_task_that_names_what_is_not_in_the_log_drops_its_client),
		T(a_file_as_folder_drops_the_client),
		T(a_relative_folder_drops_the_client),
		T(a_relative_output_drops_the_client),
		T(an_output_that_climbs_drops_the_client),
		T(an_attempt_number_from_a_client_drops_it),
		T(a_string_as_input_drops_the_client),
		T(a_gap_in_the_log_drops_the_client),
		T(a_file_record_without_its_path_drops_the_client),
		T(more_tasks_than_twice_the_credits_drop_the_client_and_nobody_else),
		T(a_log_that_grows_without_end_drops_the_client),
		T(more_sessions_than_allowed_drop_the_client),
		T(no_words_in_whatever_order_hurt_anybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
