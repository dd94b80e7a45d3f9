/* worker_ahead_test.c - commands that are sent ahead to a runner: their order, and what brings back those that wait */
#include "tests/unit/worker_runner_fixture.h"

static void start_as(struct fix *f, const char *script, uint32_t id)
{
	struct gr_runner_task t = plain;

	t.id = id;
	t.is_ahead = id > 1;
	start_sh(f, script, &t);
}

static void expect_event(struct fix *f, uint32_t kind, uint32_t id, struct gr_runner_event *ev)
{
	assert_true(next(f, ev));
	if (ev->kind != kind || ev->id != id)
		fail_msg("event %u of %u, not %u of %u", ev->kind, ev->id, kind, id);
}

static void start_one_of_five(struct fix *f, uint32_t id)
{
	const char *argv[] = { "/no/such" };
	struct gr_runner_task t = { .argv = argv, .n_argv = 1, .cwd = "", .stdin_fd = -1, .id = id, .is_ahead = true };

	if (id == 3)
		assert_int_equal(gr_runner_start(f->fd, &t), 0);
	else
		start_as(f, id == 2 ? "echo two" : id == 4 ? "kill -9 $$" : "exit 3", id);
}

/* What comes back, where a machine is slow and one lasts 20 ms, is sent again. */
static void next_of_five(struct fix *f, uint32_t kind, uint32_t id, struct gr_runner_event *ev)
{
	for (;;) {
		assert_true(next(f, ev));
		if (ev->kind != GR_RUNNER_RETURNED)
			break;
		start_one_of_five(f, ev->id);
	}
	if (ev->kind != kind || ev->id != id)
		fail_msg("event %u of %u, not %u of %u", ev->kind, ev->id, kind, id);
}

static void those_sent_ahead_run_one_behind_the_other(void **state)
{
	struct gr_runner_event ev;
	uint64_t ended_ns = 0;

	TIER(f);
	for (uint32_t id = 1; id <= 5; id++)
		start_one_of_five(f, id);
	for (uint32_t id = 1; id <= 5; id++) {
		if (id == 2) {
			next_of_five(f, GR_RUNNER_OUTPUT, 2, &ev);
			assert_memory_equal(f->data, "two\n", 4);
		}
		next_of_five(f, GR_RUNNER_EXIT, id, &ev);
		assert_int_equal(ev.code, id == 3 ? GR_ENOENT : 0);
		if (id == 3)           /* stops none behind it */
			continue;
		assert_int_equal(ev.status, id == 2 ? 0 : id == 4 ? SIGKILL : 3 << 8);
		assert_true(ev.is_clean);
		assert_true(ev.began_ns >= ended_ns && ev.ended_ns >= ev.began_ns);
		ended_ns = ev.ended_ns;
	}
}

static void what_is_left_brings_back_those_that_wait(void **state)
{
	static const char *const leaves[] = { "echo x > left", "echo x > $TMPDIR/left", "mkdir left && rmdir left", "mkdir d; ln -s / d/l; mv d e" };
	struct gr_runner_event ev;
	char tmp[256];
	struct ran r;

	TIER(f);
	snprintf(tmp, sizeof(tmp), "TMPDIR=%s" GR_RUNNER_TMP "; ", f->tier == GR_TIER_NAMESPACE ? "" : f->root);
	for (size_t i = 0; i < GR_LEN(leaves); i++) {
		char script[512], path[256];
		int fd;

		snprintf(script, sizeof(script), "%s%s", tmp, leaves[i]);
		start_as(f, script, 1);
		start_as(f, "exit 3", 2);
		start_as(f, "exit 3", 3);
		for (uint32_t seen = 0; seen != 0xe; seen |= 1u << ev.id) {
			assert_true(next(f, &ev));
			assert_int_equal(ev.kind, ev.id == 1 ? GR_RUNNER_EXIT : GR_RUNNER_RETURNED);
			assert_int_equal(ev.status, 0);
			assert_false(ev.is_clean);
			assert_false(seen >> ev.id & 1);
		}
		snprintf(path, sizeof(path), "%s" GR_RUNNER_TASK, f->root);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(gr_remove_in(fd), 0);
		snprintf(script, sizeof(script), "%sls -A . $TMPDIR/.", tmp);
		sh(f, script, &r);     /* sees none of it, and is clean itself */
		assert_null(strstr(r.out, "left"));
		assert_true(r.ev.is_clean);
	}
}

static void one_that_lasts_brings_back_those_that_wait(void **state)
{
	struct gr_runner_event ev;

	TIER(f);
	start_as(f, "exec sleep 1000", 1);
	start_as(f, "exit 3", 2);
	start_as(f, "exit 3", 3);
	expect_event(f, GR_RUNNER_RETURNED, 2, &ev);
	expect_event(f, GR_RUNNER_RETURNED, 3, &ev);
	assert_int_equal(gr_runner_signal(f->fd, 2, SIGKILL), 0);      /* is not it */
	assert_int_equal(gr_runner_signal(f->fd, 1, SIGTERM), 0);
	expect_event(f, GR_RUNNER_EXIT, 1, &ev);
	assert_int_equal(ev.status, SIGTERM);
}

static void each_that_is_called_back_has_one_answer(void **state)
{
	struct gr_runner_event ev;

	TIER(f);
	for (uint32_t round = 0; round < 50; round++) {
		uint32_t seen = 0, last = 0;

		for (uint32_t id = 1; id <= 8; id++)
			start_as(f, "exit 0", id);
		assert_int_equal(gr_runner_recall(f->fd), 0);
		while (seen != 0x1fe) {
			assert_true(next(f, &ev));
			assert_in_range(ev.id, 1, 8);
			assert_false(seen >> ev.id & 1);
			seen |= 1u << ev.id;
			if (ev.kind == GR_RUNNER_RETURNED)
				continue;
			assert_true(ev.kind == GR_RUNNER_EXIT && !ev.code && !ev.status && ev.id > last);
			last = ev.id;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(those_sent_ahead_run_one_behind_the_other),
		BOTH(what_is_left_brings_back_those_that_wait),
		BOTH(one_that_lasts_brings_back_those_that_wait),
		BOTH(each_that_is_called_back_has_one_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
