/* Tokens of make's pipe: lent while a unit is away, taken back before it is answered, never lost and never made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "client/agent/agent.h"

/* ---- what jobserver.c asks of the rest of the agent ---- */
static struct gr_cluster cluster;
static int n_answered;

const struct gr_cluster *gr_uplink_cluster(const struct gr_agent *a) { return &cluster; }
void gr_unit_token(struct gr_unit *u)
{
	n_answered++;
	gr_list_del(&u->on);
}

struct fixture {
	struct gr_agent agent;
	struct gr_build build;
	struct gr_unit units[8];
	struct gr_jobserver *j;
	int fds[2];
};

static int tokens(const struct fixture *f)
{
	int n = 0;

	assert_int_equal(ioctl(f->fds[0], FIONREAD, &n), 0);
	return n;
}

static int enter(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(pipe(f.fds), 0);
	f.agent.loop = gr_loop_new(1);
	gr_list_init(&f.agent.units[GR_UNIT_TOKEN]);
	f.j = gr_jobserver_new(&f.agent, f.fds[0], f.fds[1]);
	assert_non_null(f.j);
	cluster.slots = 3;
	n_answered = 0;
	*state = &f;
	return 0;
}

static int leave(void **state)
{
	struct fixture *f = *state;

	gr_jobserver_free(&f->j);
	while (uv_run(gr_loop_uv(f->agent.loop), UV_RUN_NOWAIT))
		;
	gr_loop_free(&f->agent.loop);
	close(f->fds[0]);
	close(f->fds[1]);
	return 0;
}

static void wait_for_token(struct fixture *f, int i)
{
	gr_list_init(&f->units[i].on);
	f->units[i].build = &f->build;
	gr_list_push(&f->agent.units[GR_UNIT_TOKEN], &f->units[i].on);
	gr_jobserver_watch(f->j, &f->build);
}

static void turn(struct fixture *f)
{
	uv_run(gr_loop_uv(f->agent.loop), UV_RUN_NOWAIT);
}

static void as_many_are_lent_as_the_cluster_has_slots(void **state)
{
	struct fixture *f = *state;

	assert_true(gr_jobserver_lend(f->j));
	assert_true(gr_jobserver_lend(f->j));
	assert_true(gr_jobserver_lend(f->j));
	assert_false(gr_jobserver_lend(f->j));
	assert_int_equal(tokens(f), 3);
}

static void a_token_that_is_taken_back_may_be_lent_again(void **state)
{
	struct fixture *f = *state;

	cluster.slots = 1;
	assert_true(gr_jobserver_lend(f->j));
	assert_true(gr_jobserver_take(f->j));
	assert_int_equal(tokens(f), 0);
	assert_false(gr_jobserver_take(f->j));
	assert_true(gr_jobserver_lend(f->j));
	assert_int_equal(tokens(f), 1);
}

static void makes_own_descriptors_stay_blocking(void **state)
{
	struct fixture *f = *state;

	assert_false(fcntl(f->fds[0], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(f->fds[1], F_GETFL) & O_NONBLOCK);
}

static void a_waiting_unit_gets_the_next_token(void **state)
{
	struct fixture *f = *state;

	assert_true(gr_jobserver_lend(f->j));
	assert_int_equal(read(f->fds[0], &(char){ 0 }, 1), 1);      /* make starts a job with it */
	wait_for_token(f, 0);
	wait_for_token(f, 1);
	turn(f);
	assert_int_equal(n_answered, 0);
	assert_int_equal(write(f->fds[1], "+", 1), 1);              /* a job of make ends */
	turn(f);
	assert_int_equal(n_answered, 1);
	assert_int_equal(tokens(f), 0);
	assert_int_equal(write(f->fds[1], "++", 2), 2);
	turn(f);
	assert_int_equal(n_answered, 2);
	turn(f);
	assert_int_equal(tokens(f), 1);
}

static void a_token_that_is_owed_is_taken_when_it_appears(void **state)
{
	struct fixture *f = *state;

	assert_true(gr_jobserver_lend(f->j));
	assert_int_equal(read(f->fds[0], &(char){ 0 }, 1), 1);
	gr_jobserver_owe(f->j);                                     /* waited too long, or its wrapper died */
	assert_int_equal(write(f->fds[1], "+", 1), 1);
	turn(f);
	assert_int_equal(tokens(f), 0);
	assert_int_equal(write(f->fds[1], "+", 1), 1);
	turn(f);
	assert_int_equal(tokens(f), 1);
}

static void an_owed_token_counts_as_the_next_one_lent(void **state)
{
	struct fixture *f = *state;

	assert_true(gr_jobserver_lend(f->j));
	assert_int_equal(read(f->fds[0], &(char){ 0 }, 1), 1);
	gr_jobserver_owe(f->j);
	assert_true(gr_jobserver_lend(f->j));
	assert_int_equal(tokens(f), 0);
}

static void what_is_no_pipe_is_refused(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/null", O_RDWR);

	assert_null(gr_jobserver_new(&f->agent, fd, fd));
	close(fd);
	assert_null(gr_jobserver_new(&f->agent, -1, -1));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(as_many_are_lent_as_the_cluster_has_slots), TEST(a_token_that_is_taken_back_may_be_lent_again),
		TEST(makes_own_descriptors_stay_blocking), TEST(a_waiting_unit_gets_the_next_token),
		TEST(a_token_that_is_owed_is_taken_when_it_appears), TEST(an_owed_token_counts_as_the_next_one_lent),
		TEST(what_is_no_pipe_is_refused),
	};
	return cmocka_run_group_tests_name("agent_jobserver", tests, NULL, NULL);
}
