/* batch_restart_test.c - a store is taken up by a whole coordinator on one loop, asked by its own functions; nobody is connected */
#include "tests/unit/batch_fixture.h"

#define JOB 1
#define GROWN 2
#define GANG 3
#define WORKER 77

/* What a life before left: @fill's rows of job 1. */
static void leave(struct life *w, void (*fill)(struct gr_store_tx *tx))
{
	struct gr_store *s = life_store(w);
	struct gr_store_tx *tx = gr_store_tx_new(s);

	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)2);
	fill(tx);
	life_commit(w, &tx);
	gr_store_close(&s);
}

/* Job 1, of two stages of three, each task of the second behind one of the first, whose task 0 was begun. */
static void fill_stages(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"two\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[1,3]}},"
				   "{\"name\":\"b\",\"argv\":[\"true\"],\"array\":{\"range\":[1,3]},\"after\":[{\"stage\":\"a\",\"each\":true}]}]}";

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "two", "t", (int64_t)0, (int64_t)6, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, (int64_t)0, (int64_t)1, (int64_t)1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
		     (int64_t)0, (int64_t)0);
}

static void leave_oom(struct gr_store_tx *tx, int64_t job, int64_t task, int64_t attempt)
{
	gr_store_add(tx, GR_SQL_BEGIN, job, task, attempt, attempt, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000, (int64_t)0, (int64_t)0);
	gr_store_add(tx, GR_SQL_END_LATE, job, task, attempt, (int64_t)2000, (int64_t)GR_BC_OOM, (int64_t)1, (int64_t)1, (int64_t)1);
}

/* Jobs 2 and 3, of eight tasks each, the second a gang: tasks 2, 3 and 5 were killed for want of memory, 5 twice. */
static void fill_grown(struct gr_store_tx *tx)
{
	char spec[256];

	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)GANG + 1);
	for (int64_t job = GROWN; job <= GANG; job++) {
		snprintf(spec, sizeof(spec), "{\"name\":\"oom\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[1,8]},%s"
			 "\"resources\":{\"mem_bytes\":104857600},\"retry\":{\"max\":5,\"on\":[\"oom\"]}}]}", job == GANG ? "\"gang\":true," : "");
		gr_store_add(tx, GR_SQL_JOB, job, NULL, spec, "oom", "t", (int64_t)0, (int64_t)8, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
		leave_oom(tx, job, 2, 1);
		leave_oom(tx, job, 3, 1);
		leave_oom(tx, job, 5, 1);
		leave_oom(tx, job, 5, 2);
	}
}

/* An attempt that ended; @text: what it printed, whose digest its copies are compared by. */
static void add_attempt(struct gr_store_tx *tx, int64_t task, int64_t attempt, int64_t worker, enum gr_bcause cause, const char *text, int64_t of,
			int64_t against)
{
	const struct gr_slice none = { NULL, 0 }, out = gr_slice_str(text);
	char name[16];
	struct gr_digest d;

	snprintf(name, sizeof(name), "w%d", (int)worker);
	gr_sha256_of(out.p, out.n, &d);
	gr_store_add(tx, GR_SQL_ATTEMPT, (int64_t)JOB, task, attempt, attempt, name, name, worker, worker, (int64_t)1000, (int64_t)2000, (int64_t)cause,
		     (int64_t)(cause == GR_BC_COMPARE), (int64_t)(cause == GR_BC_COMPARE ? 2 : 0), (int64_t)0, (int64_t)1, (int64_t)1, (int64_t)1, (int64_t)1,
		     (int64_t)0, NULL, (int64_t)0, (int64_t)out.n, (int64_t)0, out, none, none, none,
		     cause == GR_BC_DONE ? gr_slice(d.b, sizeof(d.b)) : none, of, against);
}

/* Job 1, whose copies are compared: of task 0 one result is there and one copy was begun; task 1 failed by its comparator; of task 2
 * one result is there; task 3 is done by attempt 1, and another copy said something else. */
static void fill_copies(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"copies\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[0,3]},"
				   "\"quorum\":{\"replicas\":2,\"compare\":{\"argv\":[\"cmp\"],\"retries\":0}}}]}";

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "copies", "t", (int64_t)0, (int64_t)4, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	add_attempt(tx, 0, 1, 1, GR_BC_DONE, "x", 0, 0);
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, (int64_t)0, (int64_t)2, (int64_t)2, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
		     (int64_t)0, (int64_t)0);
	add_attempt(tx, 1, 1, 1, GR_BC_DONE, "x", 0, 0);
	add_attempt(tx, 1, 2, 2, GR_BC_DONE, "y", 0, 0);
	add_attempt(tx, 1, 3, 3, GR_BC_COMPARE, "", 2, 1);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)JOB, (int64_t)1, (int64_t)GR_B_FAILED, (int64_t)3);
	add_attempt(tx, 2, 1, 1, GR_BC_DONE, "x", 0, 0);
	add_attempt(tx, 3, 1, 1, GR_BC_DONE, "true", 0, 0);
	add_attempt(tx, 3, 2, 2, GR_BC_DONE, "false", 0, 0);
	add_attempt(tx, 3, 3, 3, GR_BC_DONE, "true too", 0, 0);
	add_attempt(tx, 3, 4, 4, GR_BC_EQUAL, "", 3, 1);
	add_attempt(tx, 3, 5, 5, GR_BC_SUPERFLUOUS, "", 0, 0);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)JOB, (int64_t)3, (int64_t)GR_B_DONE, (int64_t)1);
}

/* Job 1, whose copies go to workers alike: one result is there, of a worker whose label cpu was b. */
static void fill_alike(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"alike\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"quorum\":{\"replicas\":2,\"same\":\"cpu\"}}]}";

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "alike", "t", (int64_t)0, (int64_t)1, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	add_attempt(tx, 0, 1, 1, GR_BC_DONE, "x", 0, 0);
	gr_store_add(tx, GR_SQL_SAME, (int64_t)JOB, (int64_t)0, (int64_t)1, "b");
}

/* The same of three tasks, with nothing but copies that were begun: two of task 0 on workers whose cpu was b, one of each other. */
static void fill_alike_begun(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"alike\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[0,2]},"
				   "\"quorum\":{\"replicas\":2,\"same\":\"cpu\"}}]}";

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "alike", "t", (int64_t)0, (int64_t)3, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	for (int64_t i = 0; i < 4; i++) {
		int64_t task = i / 2 + (i > 2), attempt = 1 + (i == 1);

		gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, task, attempt, attempt, "w", "n", WORKER + i, WORKER + i, (int64_t)1000, (int64_t)0, (int64_t)0);
		gr_store_add(tx, GR_SQL_SAME, (int64_t)JOB, task, attempt, "b");
	}
}

/* Job 1 of two tasks, of which the second had everything that may happen to one, and failed. */
static void fill_failed(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"two\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[0,1]},"
				   "\"quorum\":{\"replicas\":2,\"compare\":{\"argv\":[\"cmp\"],\"retries\":1}},\"retry\":{\"max\":5,\"on\":[\"oom\"]},"
				   "\"resources\":{\"mem_bytes\":104857600}}]}";
	int64_t n = 0;

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "two", "t", (int64_t)0, (int64_t)2, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	add_attempt(tx, 1, ++n, 1, GR_BC_OOM, "", 0, 0);
	add_attempt(tx, 1, ++n, 1, GR_BC_OOM, "", 0, 0);
	add_attempt(tx, 1, ++n, 1, GR_BC_LOST, "", 0, 0);
	add_attempt(tx, 1, ++n, 1, GR_BC_CHECKPOINT, "", 0, 0);
	add_attempt(tx, 1, ++n, 1, GR_BC_DONE, "x", 0, 0);
	add_attempt(tx, 1, ++n, 2, GR_BC_DONE, "y", 0, 0);
	for (uint32_t i = 0; i <= GR_BATCH_MAX_LOST; i++)
		add_attempt(tx, 1, ++n, 3, GR_BC_LOST, "", 6, 5);
	gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, (int64_t)1, n + 1, n + 1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
		     (int64_t)0, (int64_t)0);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)JOB, (int64_t)1, (int64_t)GR_B_FAILED, n);
}

/* Job 1 of four tasks was cancelled before any of them ran. */
static void fill_cancelled(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"four\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[0,3]}}]}";

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "four", "t", (int64_t)0, (int64_t)4, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	gr_store_add(tx, GR_SQL_CANCEL, (int64_t)JOB);
	gr_store_add(tx, GR_SQL_JOB_STATE, (int64_t)JOB, (int64_t)GR_J_CANCELLED, "cancelled", (int64_t)0, (int64_t)0, (int64_t)gr_clock_real_ms());
}

/* Job 1: a task is done that brought more files than the next, which is for all of them, may have. */
static void fill_many(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"many\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"outputs\":[{\"path\":\"d\"}]},"
				   "{\"name\":\"b\",\"argv\":[\"true\"],\"array\":{\"range\":[0,1]},\"after\":[{\"stage\":\"a\"}],"
				   "\"inputs\":[{\"path\":\"in\",\"from\":{\"stage\":\"a\"}}]}]}";
	char path[24];

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "many", "t", (int64_t)0, (int64_t)3, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	add_attempt(tx, 0, 1, 1, GR_BC_DONE, "x", 0, 0);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)JOB, (int64_t)0, (int64_t)GR_B_DONE, (int64_t)1);
	for (int64_t i = 0; i <= GR_WIRE_MAX_PLACED_FILES; i++) {
		snprintf(path, sizeof(path), "d/%d", (int)i);
		gr_store_add(tx, GR_SQL_OUTPUT, (int64_t)JOB, (int64_t)0, (int64_t)1, i, (int64_t)0, (int64_t)GR_PLACED_DIR, path, (int64_t)0755, (int64_t)0,
			     gr_slice(NULL, 0), NULL);
	}
}

/* Job 1, a gang whose three tasks were begun. */
static void fill_gang(struct gr_store_tx *tx)
{
	static const char spec[] = "{\"name\":\"gang\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"gang\":true,\"array\":{\"range\":[0,2]}}]}";

	gr_store_add(tx, GR_SQL_JOB, (int64_t)JOB, NULL, spec, "gang", "t", (int64_t)0, (int64_t)3, (int64_t)gr_clock_real_ms(), (int64_t)0, "loopback");
	for (int64_t task = 0; task < 3; task++)
		gr_store_add(tx, GR_SQL_BEGIN, (int64_t)JOB, task, (int64_t)1, (int64_t)1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
			     (int64_t)0, (int64_t)0);
}

/* Jobs that are over: 1, two of whose three tasks failed where one may; 2 has a secret; 3 a deadline that has passed. */
static void fill_over(struct gr_store_tx *tx)
{
	static const char *const specs[] = {
		"{\"name\":\"over\",\"max_failures\":1,\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[0,2]}}]}",
		"{\"name\":\"over\",\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"secrets\":[\"KEY\"],\"array\":{\"range\":[0,2]}}]}",
		"{\"name\":\"over\",\"deadline_ms\":1000,\"stages\":[{\"name\":\"a\",\"argv\":[\"true\"],\"array\":{\"range\":[0,2]}}]}",
	};

	gr_store_add(tx, GR_SQL_META, "next_job", (int64_t)4);
	for (int64_t job = 1; job <= 3; job++) {
		gr_store_add(tx, GR_SQL_JOB, job, NULL, specs[job - 1], "over", "t", (int64_t)0, (int64_t)3, (int64_t)gr_clock_real_ms(), (int64_t)0,
			     "loopback");
		for (int64_t task = 0; task < 2; task++) {
			gr_store_add(tx, GR_SQL_BEGIN, job, task, (int64_t)1, (int64_t)1, "w", "n", (int64_t)WORKER, (int64_t)WORKER, (int64_t)1000,
				     (int64_t)0, (int64_t)0);
			gr_store_add(tx, GR_SQL_END_LATE, job, task, (int64_t)1, (int64_t)2000, (int64_t)GR_BC_EXIT, (int64_t)1, (int64_t)1, (int64_t)1);
			gr_store_add(tx, GR_SQL_OUTCOME, job, task, (int64_t)GR_B_FAILED, (int64_t)1);
		}
		gr_store_add(tx, GR_SQL_JOB_STATE, job, (int64_t)GR_J_FAILED, "failed", (int64_t)0, (int64_t)0, (int64_t)gr_clock_real_ms());
	}
}

static int set_up_of(void **state, void (*fill)(struct gr_store_tx *tx))
{
	struct life *w;

	GR_NEW(w);
	life_init(w, "restart");
	leave(w, fill);
	life_begin(w, 600000);
	*state = w;
	return 0;
}

static int set_up(void **state) { return set_up_of(state, fill_stages); }
static int set_up_cancelled(void **state) { return set_up_of(state, fill_cancelled); }
static int set_up_copies(void **state) { return set_up_of(state, fill_copies); }
static int set_up_alike(void **state) { return set_up_of(state, fill_alike); }
static int set_up_alike_begun(void **state) { return set_up_of(state, fill_alike_begun); }
static int set_up_failed(void **state) { return set_up_of(state, fill_failed); }
static int set_up_over(void **state) { return set_up_of(state, fill_over); }
static int set_up_many(void **state) { return set_up_of(state, fill_many); }
static int set_up_gang(void **state) { return set_up_of(state, fill_gang); }
static int set_up_grown(void **state) { return set_up_of(state, fill_grown); }

static int tear_down(void **state)
{
	struct life *w = *state;

	life_fini(w);
	free(w);
	return 0;
}

static uint32_t n_ranges_with(const struct gr_bj *j, uint32_t task)
{
	uint32_t n = 0;

	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		n += task - r->place.first < r->place.count;
	return n;
}

/* Seed 9000 of the simulated clusters, the 1,000 workers of it: a worker that came back at once told of an end while the attempt
 * numbers of this life were on their way to the disk; when they were there, everything that may run was offered, and so
 * what only this end made ready, whose row was not on disk. Here it shows as the same task offered twice. */
static void what_an_end_made_ready_is_offered_when_the_end_is_on_disk_and_once(void **state)
{
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 1, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out.has_data = true, .err.has_data = true };
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_store_tx *tx;
	int64_t stored = 0;

	assert_non_null(j);
	assert_true(j->is_raising);
	assert_int_equal(gr_states_get(&j->b.states, 3), GR_B_BLOCKED);
	gr_run_end(j, NULL, WORKER, &m, GR_BC_DONE);
	assert_int_equal(gr_states_get(&j->b.states, 3), GR_B_READY);
	assert_int_equal(n_ranges_with(j, 3), 0);
	tx = gr_store_tx_new(w->c.batch->store);          /* behind it */
	gr_store_add(tx, GR_SQL_TRUST, (int64_t)7, (int64_t)7, (int64_t)1);
	life_commit(w, &tx);
	assert_false(j->is_raising);
	assert_true(gr_store_outcome_attempt(w->c.batch->store, JOB, 0, &stored) > 0);
	assert_int_equal(stored, GR_B_DONE);
	assert_int_equal(n_ranges_with(j, 3), 1);
	assert_int_equal(n_ranges_with(j, 1), 1);         /* what could run before too */
	assert_int_equal(n_ranges_with(j, 2), 1);
	assert_int_equal(n_ranges_with(j, 4), 0);
}

/* Everything handed to the store so far is on disk. */
static void sync_store(struct life *w)
{
	struct gr_store_tx *tx = gr_store_tx_new(w->c.batch->store);

	gr_store_add(tx, GR_SQL_TRUST, (int64_t)7, (int64_t)7, (int64_t)1);
	life_commit(w, &tx);
}

/* A copy after a restart went to any worker, and that one's label was what further ones must share. */
static void copies_go_on_to_workers_like_those_of_the_life_before(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_btask *t;

	sync_store(w);
	t = gr_bjob_find(&j->b, 0);
	assert_non_null(t);
	assert_int_equal(t->same, gr_place_label(w->c.place, "cpu", "b"));
	assert_int_equal(n_ranges_with(j, 0), 1);
	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		assert_int_not_equal(r->queued, gr_run_class(j, &j->spec->stages[0], NULL));
}

static uint32_t n_checks_of(const struct gr_bj *j, uint32_t task)
{
	uint32_t n = 0;

	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		n += r->is_check && r->place.first == task;
	return n;
}

/* The same for what is to be compared: a copy is told of while the attempt numbers are on their way to the disk. Its comparison was
 * offered with everything else when they were there, before its result was, and then a second time. */
static void a_comparison_is_offered_when_both_results_are_on_disk_and_once(void **state)
{
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 2, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out = { .has_data = true, .size = 1, .data = gr_slice_str("y") }, .err.has_data = true };
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_btask *t = gr_bjob_find(&j->b, 0);

	assert_true(j->is_raising);
	gr_run_end(j, NULL, WORKER, &m, GR_BC_DONE);
	assert_true(t->is_check_queued);
	assert_int_equal(gr_states_get(&j->b.states, 0), GR_B_RUNNING);
	assert_int_equal(n_checks_of(j, 0), 0);
	sync_store(w);
	assert_false(j->is_raising);
	assert_int_equal(n_checks_of(j, 0), 1);
}

static void assert_shown(struct gr_bj *j, uint32_t task, const char *state, const char *pending)
{
	json_t *o = gr_show_task(j, task);

	assert_string_equal(json_string_value(json_object_get(o, "state")), state);
	if (!json_object_get(o, "pending"))
		fail_msg("task %u is %s, nothing says why", task, state);
	assert_int_equal(strncmp(json_string_value(json_object_get(o, "pending")), pending, strlen(pending)), 0);
	json_decref(o);
}

static void on_listed(void *ctx, json_t *rep, const struct gr_err *err)
{
	if (err)
		fail_msg("%s", err->text);
	*(json_int_t *)ctx = (json_int_t)json_array_size(json_object_get(rep, "tasks"));
	json_decref(rep);
}

static json_int_t n_listed(struct life *w, const char *state)
{
	const struct gr_batch_who who = { .name = "loopback", .is_admin = true };
	json_t *req = json_pack("{s:i, s:s}", "job", JOB, "state", state);
	json_int_t n = -1;

	gr_batch_op(&w->c, &who, "task.ls", req, on_listed, &n);
	json_decref(req);
	return n;
}

/* A task whose copies are done, or one of them, and that is with no worker, was told to be sent to one. */
static void what_waits_for_a_copy_or_a_comparison_is_shown_as_ready_and_says_so(void **state)
{
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 2, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out = { .has_data = true, .size = 1, .data = gr_slice_str("y") }, .err.has_data = true };
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	json_t *o, *counts;

	sync_store(w);
	gr_run_end(j, NULL, WORKER, &m, GR_BC_DONE);
	sync_store(w);
	assert_shown(j, 0, "ready", "its results are to be compared on a node that brought neither: ");
	assert_shown(j, 2, "ready", "no worker");
	o = gr_show_job(j);
	counts = json_object_get(o, "counts");
	assert_int_equal(json_integer_value(json_object_get(counts, "ready")), 2);
	assert_int_equal(json_integer_value(json_object_get(counts, "sent")) + json_integer_value(json_object_get(counts, "running")), 0);
	assert_true(json_equal(counts, json_object_get(json_array_get(json_object_get(o, "stages"), 0), "counts")));
	assert_non_null(json_object_get(o, "pending"));
	json_decref(o);
	assert_int_equal(n_listed(w, "ready"), 2);
	assert_int_equal(n_listed(w, "sent"), 0);
	assert_int_equal(n_listed(w, "running"), 0);
	assert_int_equal(n_listed(w, "done"), 1);
}

/* A copy that waits for a place is not taken for the comparison that waits for the disk. */
static void a_copy_is_offered_beside_a_comparison(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_btask *t = gr_bjob_find(&j->b, 2);
	struct gr_pend *p = gr_pend_new(w->c.batch);

	assert_true(j->is_raising);
	assert_int_equal(t->n_queued, 1);
	p->job = JOB;
	w->c.batch->pend = p;
	gr_batch_job_ops.check(j, t);
	gr_pend_commit(p, gr_store_tx_new(w->c.batch->store), false);
	sync_store(w);
	assert_int_equal(n_ranges_with(j, 2), 1);
}

struct forgotten {
	uint32_t n_digests[4], n_counts[4];
};

static int on_attempt(void *ctx, const struct gr_store_attempt_row *r)
{
	struct forgotten *x = ctx;

	x->n_digests[r->task] += r->digest.n == GR_DIGEST_BYTES;
	x->n_counts[r->task] += r->counts > 0;
	return 0;
}

static void on_retried(void *ctx, json_t *rep, const struct gr_err *err)
{
	if (err)
		fail_msg("%s", err->text);
	assert_int_equal(json_integer_value(json_object_get(rep, "n")), 1);
	json_decref(rep);
	*(bool *)ctx = true;
}

/* One task, or all that failed (-1), and it is one that runs again; told when that is on disk. */
static void retry(struct life *w, int task)
{
	const struct gr_batch_who who = { .name = "loopback", .is_admin = true };
	json_t *req = task < 0 ? json_pack("{s:i}", "job", JOB) : json_pack("{s:i, s:[[i,i]]}", "job", JOB, "tasks", task, 1);
	bool is_told = false;

	gr_batch_op(&w->c, &who, "job.retry", req, on_retried, &is_told);
	json_decref(req);
	life_until(w, &is_told);
}

/* One task of an open job is retried: it begins anew, the others keep the results they have, also in the store. */
static void a_retry_forgets_of_an_open_job_what_failed_alone(void **state)
{
	struct forgotten x = { { 0 }, { 0 } };
	struct life *w = *state;

	assert_int_equal(gr_states_get(&gr_bj_find(w->c.batch, JOB)->b.states, 1), GR_B_FAILED);
	retry(w, -1);
	assert_int_equal(gr_store_each_attempt(w->c.batch->store, JOB, -1, false, on_attempt, &x), 0);
	assert_int_equal(x.n_digests[0], 1);
	assert_int_equal(x.n_digests[1], 0);
	assert_int_equal(x.n_counts[1], 0);
	assert_int_equal(x.n_digests[2], 1);
}

static void start_again(struct life *w)
{
	life_end(w);
	life_begin(w, 600000);
}

/* One task of a cancelled job is retried, and the coordinator restarts: the others stay what they were. */
static void what_is_not_retried_stays_cancelled(void **state)
{
	struct life *w = *state;

	retry(w, 1);
	for (int lives = 0; lives < 2; lives++) {
		const struct gr_bj *j = gr_bj_find(w->c.batch, JOB);

		assert_int_equal(j->state, GR_J_OPEN);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(gr_states_get(&j->b.states, i), i == 1 ? GR_B_READY : GR_B_CANCELLED);
		start_again(w);
	}
}

static void on_answered(void *ctx, json_t *rep, const struct gr_err *err)
{
	if (err)
		fail_msg("%s", err->text);
	*(json_int_t *)ctx = json_integer_value(json_object_get(rep, "n"));
	json_decref(rep);
}

/* A job that was cancelled with one task done had failed, "0 of 4 tasks failed", when that one was to be retried. */
static void a_retry_of_nothing_changes_nothing(void **state)
{
	const struct gr_batch_who who = { .name = "loopback", .is_admin = true };
	json_t *req = json_pack("{s:i, s:[[i,i]]}", "job", JOB, "tasks", 1, 1);
	struct life *w = *state;
	struct gr_store_tx *tx = gr_store_tx_new(w->c.batch->store);
	json_int_t n = -1;
	struct gr_bj *j;

	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)JOB, (int64_t)1, (int64_t)GR_B_DONE, (int64_t)1);
	life_commit(w, &tx);
	start_again(w);
	gr_batch_op(&w->c, &who, "job.retry", req, on_answered, &n);
	sync_store(w);
	j = gr_bj_find(w->c.batch, JOB);
	assert_int_equal(n, 0);
	assert_int_equal(j->state, GR_J_CANCELLED);
	json_decref(req);
	/* one of those that were cancelled is, and done: the others were no failures */
	req = json_pack("{s:i, s:[[i,i]]}", "job", JOB, "tasks", 2, 1);
	gr_batch_op(&w->c, &who, "job.retry", req, on_answered, &n);
	sync_store(w);
	assert_int_equal(n, 1);
	assert_int_equal(j->state, GR_J_OPEN);
	gr_bjob_restore(&j->b, 2, GR_B_DONE);
	gr_bj_settle(j, NULL);
	assert_string_equal(j->reason, "2 of 4 tasks were cancelled before");
	json_decref(req);
}

/* Of a task that is done its result is shown and printed, not the last of its copies, which may be a liar's or have been late. */
static void what_stands_is_shown(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	json_t *row = gr_show_task(j, 3);
	struct gr_buf out = { 0 };
	uint64_t total;

	assert_string_equal(json_string_value(json_object_get(row, "cause")), "done");
	assert_string_equal(json_string_value(json_object_get(row, "worker")), "w1");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(row, "logs"), "out_bytes")), 4);
	assert_int_equal(gr_batch_log_read(&w->c, JOB, 3, 0, GR_STREAM_OUT, 0, 100, &out, &total), 0);
	assert_string_equal(gr_buf_str(&out), "true");
	json_decref(row);
	gr_buf_fini(&out);
}

/* What a comparator has for inputs is there, and stays: a short output is in no file otherwise. One that is not there is said. */
static void the_inputs_of_a_comparison_stay(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_check_files files = { .n = 0 };
	struct gr_store_tx *tx;
	struct gr_digest d;

	assert_int_equal(gr_check_gather(j, 3, 3, 1, &files), 0);
	assert_int_equal(files.n, 4);
	gr_cas_shrink(w->c.batch->cas, UINT64_MAX);
	gr_sha256_of("true too", 8, &d);
	assert_true(gr_cas_has(w->c.batch->cas, &d));
	gr_sha256_of("true", 4, &d);
	assert_true(gr_cas_has(w->c.batch->cas, &d));
	gr_buf_clear(&files.raw);
	files.n = 0;
	assert_int_equal(gr_check_gather(j, 3, 5, 1, &files), GR_EBUSY);       /* it brought no result */
	tx = gr_store_tx_new(w->c.batch->store);
	gr_store_add(tx, GR_SQL_OUTPUT, (int64_t)JOB, (int64_t)3, (int64_t)3, (int64_t)0, (int64_t)0, (int64_t)GR_PLACED_FILE, "gone", (int64_t)0644,
		     (int64_t)3, gr_slice("0123456789abcdef0123456789abcdef", 32), NULL);
	life_commit(w, &tx);
	gr_buf_clear(&files.raw);
	files.n = 0;
	assert_int_equal(gr_check_gather(j, 3, 3, 1, &files), GR_ENOENT);
	gr_buf_fini(&files.raw);
}

/* Who was found to lie is asked when nobody else came for a while; when there is nobody else, at once. */
static void liars_are_offered_copies_last(void **state)
{
	struct life *w = *state;
	struct gr_batch *b = w->c.batch;
	struct gr_bj *j = gr_bj_find(b, JOB);
	uint64_t tool = gr_run_toolchain(&j->spec->stages[0]);
	struct gr_worker *honest, *liar;
	struct gr_jrange *r;

	sync_store(w);
	GR_NEW(honest);
	GR_NEW(liar);
	honest->identity = 1001;
	honest->place = 41;
	liar->identity = 1002;
	liar->place = 42;
	gr_trust_tell(&b->trust, honest->identity, tool, true);
	gr_trust_tell(&b->trust, liar->identity, tool, false);
	gr_list_push(&w->c.workers, &liar->link);
	gr_run_drop_ranges(j);
	gr_run_offer(j, 2, 1, gr_bjob_find(&j->b, 2));
	r = GR_CONTAINER(j->ranges.next, struct gr_jrange, link);
	assert_int_equal(r->place.n_exclude, 0);
	gr_list_push(&w->c.workers, &honest->link);
	gr_run_drop_ranges(j);
	gr_run_offer(j, 2, 1, gr_bjob_find(&j->b, 2));
	r = GR_CONTAINER(j->ranges.next, struct gr_jrange, link);
	assert_int_equal(r->place.n_exclude, 1);
	assert_int_equal(r->place.exclude[0], 42);
	gr_run_tick(b);
	assert_int_equal(r->place.n_exclude, 1);
	r->relax_ns = 1;
	gr_run_tick(b);
	assert_int_equal(r->place.n_exclude, 0);
	assert_int_equal(n_ranges_with(j, 2), 1);
	gr_list_del(&liar->link);
	gr_list_del(&honest->link);
	free(liar);
	free(honest);
}

static void assert_range(struct gr_bj *j, uint32_t first, uint32_t count, uint32_t as_task)
{
	uint32_t class = (uint32_t)gr_run_class(j, &j->spec->stages[0], gr_bjob_find(&j->b, as_task));

	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		if (r->place.first == first) {
			assert_int_equal(r->place.count, count);
			assert_int_equal(r->place.class, class);
			assert_true(r->queued >= 0);
			return;
		}
	fail_msg("no range begins with task %u", first);
}

static uint32_t n_ranges(const struct gr_bj *j)
{
	uint32_t n = 0;

	for (const struct gr_list *l = j->ranges.next; l != &j->ranges; l = l->next)
		n++;
	return n;
}

/* Their range had the stage's class: they were placed where they had been killed, and killed again. */
static void what_was_killed_for_want_of_memory_is_offered_with_more_after_a_restart(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, GROWN);

	sync_store(w);
	assert_int_equal(j->b.n_grown, 3);
	assert_true(gr_run_class(j, &j->spec->stages[0], gr_bjob_find(&j->b, 2)) != gr_run_class(j, &j->spec->stages[0], NULL));
	assert_true(gr_run_class(j, &j->spec->stages[0], gr_bjob_find(&j->b, 5)) != gr_run_class(j, &j->spec->stages[0], gr_bjob_find(&j->b, 2)));
	assert_range(j, 0, 2, 0);
	assert_range(j, 2, 2, 3);
	assert_range(j, 4, 1, 4);
	assert_range(j, 5, 1, 5);
	assert_range(j, 6, 2, 6);
	assert_int_equal(n_ranges(j), 5);
	gr_run_drop_ranges(j);                    /* few of them, and those one by one */
	gr_run_offer(j, 3, 2, NULL);
	assert_range(j, 3, 1, 3);
	assert_range(j, 4, 1, 4);
	assert_int_equal(n_ranges(j), 2);
}

static void a_gang_is_offered_whole_as_its_neediest(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, GANG);

	sync_store(w);
	assert_range(j, 0, 8, 5);
	assert_int_equal(n_ranges(j), 1);
}

/* What had failed before was a reason to stop the job again when the coordinator was restarted, not before. */
static void what_is_retried_in_spite_of_the_limit_of_failures_goes_on_over_a_restart(void **state)
{
	struct life *w = *state;
	struct gr_store_tx *tx;

	retry(w, 0);
	for (int lives = 0; lives < 2; lives++) {
		const struct gr_bj *j = gr_bj_find(w->c.batch, JOB);

		assert_int_equal(j->state, GR_J_OPEN);
		assert_int_equal(gr_states_get(&j->b.states, 0), GR_B_READY);
		assert_int_equal(gr_states_get(&j->b.states, 1), GR_B_FAILED);
		start_again(w);
	}
	/* one more, in a life that ended before it could stop the job */
	tx = gr_store_tx_new(w->c.batch->store);
	gr_store_add(tx, GR_SQL_OUTCOME, (int64_t)JOB, (int64_t)0, (int64_t)GR_B_FAILED, (int64_t)1);
	gr_store_add(tx, GR_SQL_OUTCOME_RM, (int64_t)JOB, (int64_t)2, (int64_t)3);
	life_commit(w, &tx);
	start_again(w);
	assert_int_equal(gr_bj_find(w->c.batch, JOB)->state, GR_J_FAILED);
}

static void on_refused(void *ctx, json_t *rep, const struct gr_err *err)
{
	if (!err)
		fail_msg("it runs again: %s", json_dumps(rep, 0));
	if (!strstr(err->text, ctx))
		fail_msg("%s", err->text);
}

/* It ran without its secrets; it was cancelled with the next tick. */
static void what_cannot_run_again_is_not_retried(void **state)
{
	static const char *const why[] = { "its secrets are not kept", "its deadline has passed" };
	const struct gr_batch_who who = { .name = "loopback", .is_admin = true };
	struct life *w = *state;

	for (int job = 2; job <= 3; job++) {
		json_t *req = json_pack("{s:i}", "job", job);

		gr_batch_op(&w->c, &who, "job.retry", req, on_refused, (void *)(uintptr_t)why[job - 2]);
		assert_int_equal(gr_bj_find(w->c.batch, (uint64_t)job)->state, GR_J_FAILED);
		json_decref(req);
	}
}

struct last_row {
	int64_t attempt, ordinal, cause;
	char reason[200];
};

static int on_last(void *ctx, const struct gr_store_attempt_row *r)
{
	struct last_row *x = ctx;

	x->attempt = r->attempt;
	x->ordinal = r->ordinal;
	x->cause = r->cause;
	snprintf(x->reason, sizeof(x->reason), "%s", r->reason ? r->reason : "");
	return 0;
}

/* Task 1 of job 1, which has more files than a worker takes, is placed and fails. Return: its last attempt, as stored. */
static struct last_row fail_at_once(struct life *w)
{
	struct gr_worker worker = { .identity = 1001 };
	struct gr_place_decision d = { .act = GR_PLACE_RUN, .tag = GR_BATCH_TAG(JOB), .nth = 1, .worker_tag = (uintptr_t)&worker, .placed = GR_UNPLACED };
	struct last_row x = { .attempt = 0 };
	uint64_t *told;

	sync_store(w);
	GR_NEW(told);
	*told = JOB;
	gr_map_put(&gr_bworker_of(w->c.batch, &worker)->specs, told, sizeof(*told), told);
	w->c.is_ending = true;                    /* nothing leaves */
	(void)gr_batch_act(&w->c, &d);
	w->c.is_ending = false;
	sync_store(w);
	assert_true(gr_store_each_attempt(w->c.batch->store, JOB, 1, false, on_last, &x) >= 0);
	gr_bworker_unref(&(struct gr_bworker *){ worker.batch });
	return x;
}

/* Each worker in turn took the COMMAND for a mistake and hung up. */
static void a_task_with_more_files_than_a_worker_takes_fails_and_says_so(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct last_row x = fail_at_once(w);
	int64_t stored = 0;

	assert_int_equal(gr_states_get(&j->b.states, 1), GR_B_FAILED);
	assert_int_equal(gr_states_get(&j->b.states, 2), GR_B_READY);
	assert_int_equal(x.cause, GR_BC_REFUSED);
	assert_non_null(strstr(x.reason, "more files than a task can have"));
	assert_int_equal(gr_store_outcome_attempt(w->c.batch->store, JOB, 1, &stored), x.attempt);
}

/* The first attempt behind a retry was the task's first one again, unless the coordinator had been restarted: `logs --attempt 1` could
 * be either of two. */
static void attempts_behind_a_retry_are_counted_on_in_this_life_as_in_the_next(void **state)
{
	struct life *w = *state;

	assert_int_equal(fail_at_once(w).ordinal, 1);
	retry(w, 1);
	assert_int_equal(fail_at_once(w).ordinal, 2);
	retry(w, 1);
	start_again(w);
	assert_int_equal(fail_at_once(w).ordinal, 3);
	start_again(w);
	retry(w, 1);
	assert_int_equal(fail_at_once(w).ordinal, 4);
}

/* Its tasks were offered one by one, and could be placed in part. */
static void a_gang_none_of_whose_workers_came_back_is_a_gang_again(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	const struct gr_jrange *r;

	sync_store(w);
	assert_int_equal(n_ranges(j), 0);
	gr_bjob_tick(&j->b, gr_coord_now(&w->c) + 3600 * GR_NS_PER_S);
	assert_int_equal(j->b.states.count[GR_B_READY], 3);
	assert_int_equal(n_ranges(j), 1);
	r = GR_CONTAINER(j->ranges.next, struct gr_jrange, link);
	assert_int_equal(r->place.count, 3);
	assert_true(r->place.is_gang);
}

/* A worker with the label @key=@value, or none. Return: how many decisions placement has for it. */
static int n_placed_on(struct life *w, const char *node, const char *key, const char *value)
{
	struct gr_place *p = w->c.place;
	uint32_t label = key ? (uint32_t)gr_place_label(p, key, value) : 0;
	const struct gr_place_worker spec = { .tag = 1, .slots = 1, .cap.v = { 1000, 1024 }, .node = (uint32_t)gr_place_node(p, node),
					      .envs = &w->c.batch->commands_env, .n_envs = 1, .labels = &label, .n_labels = key != NULL };
	struct gr_place_decision d[4];

	assert_true(gr_place_worker_up(p, gr_coord_now(&w->c), &spec) >= 0);
	return gr_place_next(p, gr_coord_now(&w->c), d, 4);
}

/* Copies of such a task were for workers with an empty label, whom there are none of; and a zone was none, which placement knows as a label. */
static void workers_without_the_label_are_alike_too(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	struct gr_worker zoned = { .zone = "b" }, bare = { .zone = "" };
	struct gr_bworker of_zoned = { .w = &zoned }, of_bare = { .w = &bare };
	const char *zone = "topology.kubernetes.io/zone";

	assert_string_equal(gr_bworker_label(&of_zoned, zone), "b");
	assert_string_equal(gr_bworker_label(&of_bare, zone), "");
	assert_string_equal(gr_bworker_label(&of_zoned, "cpu"), "");
	sync_store(w);
	gr_run_drop_ranges(j);
	gr_bjob_find(&j->b, 0)->same = gr_run_same(j, &j->spec->stages[0], "");
	gr_run_offer(j, 0, 1, gr_bjob_find(&j->b, 0));
	assert_int_equal(n_placed_on(w, "n1", "cpu", "b"), 0);
	assert_int_equal(n_placed_on(w, "n2", NULL, NULL), 1);
}

/* The last worker of a kind had left, for good: the copies that were to be like its own waited for ever, and nothing said for what. */
static void copies_of_a_kind_that_is_gone_begin_anew_or_say_what_they_wait_for(void **state)
{
	struct life *w = *state;
	struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
	uint32_t b = (uint32_t)gr_place_label(w->c.place, "cpu", "b"), a = (uint32_t)gr_place_label(w->c.place, "cpu", "a");
	const struct gr_ended_msg m = { .job = JOB, .task = 0, .attempt = 1, .outcome = GR_OUTCOME_DONE, .reason = { NULL, 0 },
					.out.has_data = true, .err.has_data = true };
	struct gr_blive *l;

	sync_store(w);
	assert_int_equal(gr_bjob_find(&j->b, 1)->same, b);        /* they may still come */
	gr_run_end(j, NULL, WORKER, &m, GR_BC_DONE);              /* of task 0 one has */
	sync_store(w);
	gr_bjob_tick(&j->b, gr_coord_now(&w->c) + 3600 * GR_NS_PER_S);
	assert_int_equal(gr_bjob_find(&j->b, 0)->same, b);
	assert_int_equal(gr_bjob_find(&j->b, 1)->same, 0);
	assert_int_equal(gr_bjob_find(&j->b, 2)->same, 0);
	assert_int_equal(n_placed_on(w, "n1", "cpu", "a"), 1);    /* it has room for one */
	assert_shown(j, 0, "ready", "no worker could run it on another node that has the cpu of its other copies, \"b\"");
	/* task 1 begins there; task 2 comes back, and what was offered for any kind is for its own now */
	gr_bjob_find(&j->b, 1)->same = a;
	assert_false(gr_bjob_adopt(&j->b, 1, 1, WORKER + 2, NULL, GR_UNPLACED, &l));
	assert_true(gr_bjob_adopt(&j->b, 2, 1, WORKER + 3, NULL, GR_UNPLACED, &l));
	assert_int_equal(gr_bjob_find(&j->b, 2)->same, b);
	assert_true(n_ranges_with(j, 2) > 0);
	gr_run_tick(w->c.batch);
	GR_LIST_EACH(r, &j->ranges, struct gr_jrange, link)
		assert_int_equal(r->same, gr_bjob_find(&j->b, r->place.first)->same);
}

/* Losses were counted again in the next life, a comparison of before failed the task with its first loss, and memory was asked for
 * that the coordinator which was not restarted did not ask for; a copy that had not ended was waited for. */
static void what_is_retried_begins_anew_in_the_next_life_as_in_this_one(void **state)
{
	struct life *w = *state;

	retry(w, 1);
	for (int lives = 0; lives < 2; lives++) {
		struct gr_bj *j = gr_bj_find(w->c.batch, JOB);
		const struct gr_stage *st = &j->spec->stages[0];
		const struct gr_btask *t = gr_bjob_find(&j->b, 1);

		sync_store(w);
		assert_int_equal(gr_states_get(&j->b.states, 1), GR_B_READY);
		assert_int_equal(gr_run_mem(st, t), st->mem_bytes);
		assert_int_equal(j->b.n_grown, 0);
		assert_int_equal(n_ranges_with(j, 1), 1);
		if (t) {
			assert_int_equal(t->n_tries + t->n_lost + t->n_check_tries + t->n_check_lost, 0);
			assert_int_equal(t->n_lives + t->n_results, 0);
			assert_false(t->has_checkpoint);
		}
		start_again(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
		T(what_an_end_made_ready_is_offered_when_the_end_is_on_disk_and_once),
#define C(fn) cmocka_unit_test_setup_teardown(fn, set_up_copies, tear_down)
		C(a_comparison_is_offered_when_both_results_are_on_disk_and_once),
		C(what_waits_for_a_copy_or_a_comparison_is_shown_as_ready_and_says_so),
		C(a_copy_is_offered_beside_a_comparison),
		C(a_retry_forgets_of_an_open_job_what_failed_alone),
		C(what_stands_is_shown),
		C(the_inputs_of_a_comparison_stay),
		C(liars_are_offered_copies_last),
#define G(fn) cmocka_unit_test_setup_teardown(fn, set_up_grown, tear_down)
		G(what_was_killed_for_want_of_memory_is_offered_with_more_after_a_restart),
		G(a_gang_is_offered_whole_as_its_neediest),
		cmocka_unit_test_setup_teardown(copies_go_on_to_workers_like_those_of_the_life_before, set_up_alike, tear_down),
		cmocka_unit_test_setup_teardown(what_is_retried_in_spite_of_the_limit_of_failures_goes_on_over_a_restart, set_up_over, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_run_again_is_not_retried, set_up_over, tear_down),
		cmocka_unit_test_setup_teardown(a_task_with_more_files_than_a_worker_takes_fails_and_says_so, set_up_many, tear_down),
		cmocka_unit_test_setup_teardown(attempts_behind_a_retry_are_counted_on_in_this_life_as_in_the_next, set_up_many, tear_down),
		cmocka_unit_test_setup_teardown(a_retry_of_nothing_changes_nothing, set_up_cancelled, tear_down),
		cmocka_unit_test_setup_teardown(a_gang_none_of_whose_workers_came_back_is_a_gang_again, set_up_gang, tear_down),
		cmocka_unit_test_setup_teardown(workers_without_the_label_are_alike_too, set_up_alike, tear_down),
		cmocka_unit_test_setup_teardown(copies_of_a_kind_that_is_gone_begin_anew_or_say_what_they_wait_for, set_up_alike_begun, tear_down),
		cmocka_unit_test_setup_teardown(what_is_retried_begins_anew_in_the_next_life_as_in_this_one, set_up_failed, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_retried_stays_cancelled, set_up_cancelled, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
