/* worker_runner_test.c - a runner's commands: what they may do, what is left of them, what is told about them
 *
 * Every test runs in the namespace tier and in the landlock tier; one the machine forbids is skipped with its reason. Those
 * of memory run twice more, with real cgroups in place of watching, where this process may make some. */
#include "tests/unit/worker_runner_fixture.h"

static void gives_the_exit_code_and_both_streams(void **state)
{
	struct ran r;

	TIER(f);
	sh(f, "echo out; echo err >&2; exit 7", &r);
	assert_int_equal(r.ev.code, 0);
	assert_true(WIFEXITED(r.ev.status));
	assert_int_equal(WEXITSTATUS(r.ev.status), 7);
	assert_string_equal(r.out, "out\n");
	assert_string_equal(r.err, "err\n");
	assert_true(r.ev.max_rss_bytes > 100000);
}

static void runs_one_command_after_another(void **state)
{
	struct ran r;

	TIER(f);
	for (int i = 0; i < 50; i++) {
		sh(f, "exit 3", &r);
		assert_int_equal(WEXITSTATUS(r.ev.status), 3);
		assert_int_equal(r.n_out, 0);
	}
}

static void tells_the_signal(void **state)
{
	struct ran r;

	TIER(f);
	sh(f, "kill -SEGV $$", &r);
	if (WIFEXITED(r.ev.status) && f->tier == GR_TIER_LANDLOCK)
		return;                /* without a scope for signals a command may send none */
	assert_true(WIFSIGNALED(r.ev.status));
	assert_int_equal(WTERMSIG(r.ev.status), SIGSEGV);
}

static void a_program_that_is_not_there_is_an_error_with_its_name(void **state)
{
	const char *argv[] = { "no-such-program" }, *env[] = { "PATH=/usr/bin" };
	struct gr_runner_task t = { .argv = argv, .n_argv = 1, .env = env, .n_env = 1, .cwd = "", .stdin_fd = -1 };
	struct ran r;

	TIER(f);
	assert_int_equal(gr_runner_start(f->fd, &t), 0);
	finish(f, &r);
	assert_int_equal(r.ev.code, GR_ENOENT);
	assert_non_null(strstr(r.ev.text, "no-such-program"));
	sh(f, "exit 0", &r);
	assert_int_equal(r.ev.code, 0);
}

static void a_script_without_an_interpreter_line_is_the_shells(void **state)
{
	const char *argv[] = { "./script", "word" }, *env[] = { "PATH=/usr/bin:/bin" };
	struct gr_runner_task t = { .argv = argv, .n_argv = 2, .env = env, .n_env = 1, .cwd = "", .stdin_fd = -1, .out_bytes = 100 };
	char path[256];
	struct ran r;

	TIER(f);
	snprintf(path, sizeof(path), "%s/task/script", f->root);
	assert_int_equal(gr_file_replace(path, "echo got $1\n", 12, 0755, false, NULL), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(gr_runner_start(f->fd, &t), 0);
	finish(f, &r);
	assert_string_equal(r.out, "got word\n");
}

static void output_beyond_the_limit_is_counted_and_does_not_stop_the_command(void **state)
{
	struct gr_runner_task t = { .out_bytes = 100000 };
	struct ran r;

	TIER(f);
	start_sh(f, "head -c 5000000 /dev/zero; exit 4", &t);
	finish(f, &r);
	assert_int_equal(WEXITSTATUS(r.ev.status), 4);
	assert_int_equal(r.n_bytes, 100000);
	assert_int_equal(r.ev.n_dropped[0], 4900000);
	assert_int_equal(r.ev.n_dropped[1], 0);
}

static void merged_streams_keep_their_order(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .is_merged = true };
	struct ran r;

	TIER(f);
	start_sh(f, "echo 1; echo 2 >&2; echo 3", &t);
	finish(f, &r);
	assert_string_equal(r.out, "1\n2\n3\n");
}

static void writes_in_its_folder_and_nowhere_else(void **state)
{
	struct ran r;

	TIER(f);
	sh(f, "echo x > file && mkdir -p a/b && mv file a/b/ && ln -s /etc/passwd l && cat a/b/file && exit 5", &r);
	assert_int_equal(WEXITSTATUS(r.ev.status), 5);
	assert_string_equal(r.out, "x\n");
	sh(f, "for p in / /usr /usr/bin /etc /var/tmp /home /secrets .. ../secrets ../..; do echo x > $p/gr-write-test && echo WROTE $p; done 2>/dev/null; exit 6", &r);
	assert_int_equal(WEXITSTATUS(r.ev.status), 6);
	assert_string_equal(r.out, "");
}

static void reads_the_programs_and_not_the_rest_of_the_machine(void **state)
{
	char secret[256], script[400];
	struct ran r;

	TIER(f);
	snprintf(secret, sizeof(secret), "%s/other", f->dir);
	assert_int_equal(gr_file_replace(secret, "other", 5, 0666, false, NULL), 0);
	assert_int_equal(chmod(secret, 0666), 0);
	snprintf(script, sizeof(script), "for p in %s /root /var/log /etc/shadow /etc/hostname /var/lib /proc/1/environ; do cat $p/* $p && echo READ $p; ls $p/ && echo LISTED $p; done 2>/dev/null; ls /usr/bin/env", secret);
	sh(f, script, &r);
	assert_string_equal(r.out, "/usr/bin/env\n");
}

static void what_it_leaves_behind_is_killed(void **state)
{
	char alive[256];
	struct ran r;

	TIER(f);
	sh(f, "setsid sh -c '(while :; do echo alive >> alive; sleep 0.02; done) & exec sleep 1000' >/dev/null 2>&1 </dev/null & "
	      "while [ ! -s alive ]; do sleep 0.01; done; exit 9", &r);
	assert_int_equal(WEXITSTATUS(r.ev.status), 9);
	assert_true(r.ev.n_killed >= 2);
	snprintf(alive, sizeof(alive), "%s/task/alive", f->root);
	assert_int_equal(unlink(alive), 0);
	sh(f, "sleep 0.2", &r);
	assert_int_equal(access(alive, F_OK), -1);
}

static void a_killed_command_goes_with_its_tree(void **state)
{
	struct gr_runner_event ev;
	struct ran r;

	TIER(f);
	start_sh(f, "trap '' TERM; setsid sleep 1000 & sleep 1000 & echo up; wait", &plain);
	assert_true(next(f, &ev));
	assert_int_equal(ev.kind, GR_RUNNER_OUTPUT);
	assert_int_equal(gr_runner_signal(f->fd, 0, SIGKILL), 0);
	finish(f, &r);
	assert_true(WIFSIGNALED(r.ev.status));
	assert_int_equal(WTERMSIG(r.ev.status), SIGKILL);
}

static void a_signal_reaches_its_process_group(void **state)
{
	struct gr_runner_event ev;
	struct ran r;

	TIER(f);
	start_sh(f, "trap 'echo bye; exit 3' TERM; echo up; sleep 1000 & wait", &plain);
	assert_true(next(f, &ev));
	assert_int_equal(gr_runner_signal(f->fd, 0, SIGTERM), 0);
	finish(f, &r);
	assert_int_equal(WEXITSTATUS(r.ev.status), 3);
	assert_string_equal(r.out, "bye\n");
}

static void a_memory_hog_is_killed_at_its_limit(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = 64 << 20 };
	struct ran r;

	TIER(f);
	/* Three processes. Where the kernel takes them one by one, their shell sees the last one die before the runner
	   does: it sleeps, so that it can only tell of it when nobody ends it. */
	start_sh(f, "hog() { perl -e '$s = \"x\" x (40 << 20); sleep 100'; }; hog & hog & hog & wait; sleep 100; echo survived", &t);
	finish(f, &r);
	assert_int_equal(r.ev.is_oom, 1);
	assert_true(r.ev.max_rss_bytes >= 64 << 20);
	assert_string_equal(r.out, "");
}

/* Perl has its 40 MB twice, as a constant and in the variable: above that, and far below a third copy of both. */
#define HOG_LIMIT_MB 110u

static void memory_that_is_shared_counts_once(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = HOG_LIMIT_MB << 20 };
	struct ran r;

	TIER(f);
	start_sh(f, "perl -e '$s = \"x\" x (40 << 20); for (1..4) { fork or do { sleep 1; exit } } wait for 1..4; print \"ok\"'", &t);
	finish(f, &r);
	assert_int_equal(r.ev.is_oom, 0);
	assert_string_equal(r.out, "ok");
}

/* Runs this program itself in the sandbox, as what main makes of @word. */
static void run_self(struct fix *f, const char *word, struct ran *r)
{
	const char *argv[] = { "./self", word }, *env[] = { "PATH=/usr/bin:/bin" };
	struct gr_runner_task t = { .argv = argv, .n_argv = 2, .env = env, .n_env = 1, .cwd = "", .stdin_fd = -1, .out_bytes = 1000,
				    .mem_bytes = HOG_LIMIT_MB << 20 };
	struct gr_buf self = { 0 };
	char path[256];

	assert_int_equal(gr_file_read("/proc/self/exe", 256 << 20, &self, NULL), 0);
	snprintf(path, sizeof(path), "%s/task/self", f->root);
	assert_int_equal(gr_file_replace(path, self.p, self.n, 0755, false, NULL), 0);
	assert_int_equal(chmod(path, 0755), 0);
	gr_buf_fini(&self);
	assert_int_equal(gr_runner_start(f->fd, &t), 0);
	finish(f, r);
}

static char *touched(size_t n)
{
	char *p = malloc(n);

	if (!p)
		_exit(1);
	memset(p, 'x', n);
	return p;
}

/* While its child has not exec'd, both have the same memory. */
static int lend_memory(void)
{
	size_t n = (HOG_LIMIT_MB * 7 / 10) << 20;
	char *p = touched(n);
	pid_t pid = vfork();

	if (pid == 0) {
		poll(NULL, 0, 1000);
		_exit(p[n - 1] != 'x');
	}
	waitpid(pid, NULL, 0);
	return write(1, "ok", 2) != 2;
}

static void memory_lent_to_a_child_before_its_exec_counts_once(void **state)
{
	struct ran r;

	TIER(f);
	run_self(f, "lend-memory", &r);
	assert_int_equal(r.ev.is_oom, 0);
	assert_string_equal(r.out, "ok");
	assert_true(r.ev.max_rss_bytes > (HOG_LIMIT_MB * 6 / 10) << 20);
}

/* Two processes, each below the limit, that even their own user may not look into. */
static int hide_memory(void)
{
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (fork() < 0)
		return 1;
	touched((HOG_LIMIT_MB * 7 / 10) << 20);
	poll(NULL, 0, LIMIT_MS);
	return write(1, "survived", 8) != 8;
}

static void memory_of_those_that_hide_it_counts(void **state)
{
	struct ran r;

	TIER(f);
	run_self(f, "hide-memory", &r);
	assert_int_equal(r.ev.is_oom, 1);
	assert_string_equal(r.out, "");
}

/* ---- only where the kernel limits ---- */

static void one_child_at_the_limit_takes_the_whole_tree_with_it(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = 64 << 20 };
	struct ran r;

	TIER(f);
	start_sh(f, "trap '' TERM; perl -e '$s = \"x\" x (90 << 20); sleep 100'; echo next; exec sleep 1000", &t);
	finish(f, &r);
	assert_int_equal(r.ev.is_oom, 1);
	assert_true(r.ev.max_rss_bytes >= 64 << 20);
}

static void a_command_that_swallows_its_childs_end_is_out_of_memory_all_the_same(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = 64 << 20 };
	struct ran r;

	TIER(f);
	start_sh(f, "perl -e '$s = \"x\" x (90 << 20)'; exit 0", &t);
	finish(f, &r);
	/* killed with its child when the runner saw it first */
	assert_true(r.ev.status == 0 || r.ev.status == SIGKILL);
	assert_int_equal(r.ev.is_oom, 1);
}

static void a_shell_between_small_processes_is_taken_before_the_runner(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = 24 << 20 };
	struct ran r;

	TIER(f);
#ifdef __SANITIZE_ADDRESS__
	skip();         /* the sanitizer's memory makes the runner larger than all the small processes together */
#endif
	start_sh(f, "i=0; while [ $i -lt 200 ]; do sleep 100 & i=$((i + 1)); done; wait; echo survived", &t);
	finish(f, &r);
	assert_int_equal(r.ev.is_oom, 1);
	start_sh(f, "echo still here", &t);
	finish(f, &r);
	assert_string_equal(r.out, "still here\n");
	assert_int_equal(r.ev.is_oom, 0);
}

static void each_command_has_its_own_limit(void **state)
{
	static const char hog[] = "perl -e '$s = \"x\" x (40 << 20); print \"ok\"'";
	static const uint64_t limits[] = { 200 << 20, 30 << 20, 200 << 20, 0 };
	struct ran r;

	TIER(f);
	for (size_t i = 0; i < GR_LEN(limits); i++) {
		struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = limits[i] };

		start_sh(f, hog, &t);
		finish(f, &r);
		assert_int_equal(r.ev.is_oom, i == 1);
		assert_string_equal(r.out, i == 1 ? "" : "ok");
	}
}

static void files_that_were_read_and_written_are_no_need_of_memory(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = 32 << 20 };
	struct ran r;

	TIER(f);
	start_sh(f, "dd if=/dev/zero of=big bs=1M count=100 2>/dev/null && cat big | wc -c && sleep 0.5", &t);
	finish(f, &r);
	assert_int_equal(r.ev.is_oom, 0);
	assert_string_equal(r.out, "104857600\n");
	assert_true(r.ev.max_rss_bytes < 64 << 20);    /* a sanitizer's own memory, before the exec, is about 30 MB */
}

static void its_group_goes_with_its_worker(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .mem_bytes = 64 << 20 };
	struct gr_runner_event ev;
	char path[4400];
	int keeper;

	TIER(f);
	snprintf(path, sizeof(path), "%s/r%d", gr_groups_path(groups), f->group);
	assert_int_equal(access(path, F_OK), 0);
	keeper = gr_groups_keep(gr_groups_path(groups));
	assert_true(keeper >= 0);
	start_sh(f, "sleep 1000 & setsid sleep 1000 & wait", &t);
	close(keeper);                         /* as the kernel does when the worker is killed */
	shutdown(f->fd, SHUT_RDWR);
	while (next(f, &ev))
		;
	for (int i = 0; i < LIMIT_MS / 10 && access(path, F_OK) == 0; i++)
		poll(NULL, 0, 10);
	assert_int_equal(access(path, F_OK), -1);
	/* The new folder has the same name: the keeper must be through with the old one. In v2 this process stays in it. */
	for (int i = 0; i < 100 && access(gr_groups_path(groups), F_OK) == 0; i++)
		poll(NULL, 0, 10);
	close_groups(NULL);
	open_groups(NULL);
	f->group = -1;
}

static void the_next_life_clears_what_the_last_one_left(void **state)
{
	char old[4400], *dot;
	pid_t pid;

	(void)state;
	if (!groups)
		skip();
	snprintf(old, sizeof(old), "%s", gr_groups_path(groups));
	dot = strrchr(old, '.');
	snprintf(dot, 40, ".1");
	assert_int_equal(mkdir(old, 0755), 0);
	strcat(old, "/r0");
	assert_int_equal(mkdir(old, 0755), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd;

		strcat(old, "/cgroup.procs");
		fd = open(old, O_WRONLY);
		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	*strrchr(old, '/') = 0;
	gr_groups_free(&groups);
	open_groups(NULL);
	assert_non_null(groups);
	for (int i = 0; i < LIMIT_MS / 10 && access(old, F_OK) == 0; i++) {
		gr_groups_tick(groups);
		poll(NULL, 0, 10);
	}
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_fork_bomb_meets_its_limit_and_dies(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .n_proc = 100 };
	struct gr_runner_event ev;
	struct ran r;

	TIER(f);
	start_sh(f, "echo up; b() { b | b & }; b 2>/dev/null; sleep 1000", &t);
	assert_true(next(f, &ev));
	usleep(200000);
	assert_int_equal(gr_runner_signal(f->fd, 0, SIGKILL), 0);
	finish(f, &r);
	sh(f, "echo fine", &r);
	assert_string_equal(r.out, "fine\n");
}

static void has_no_network(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	char script[256];
	struct ran r;

	TIER(f);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	snprintf(script, sizeof(script), "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) && connect(S, sockaddr_in(%d, inet_aton(\"127.0.0.1\"))) && print \"CONNECTED\"; "
		 "socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) and print \"pair\"'", ntohs(a.sin_port));
	sh(f, script, &r);
	close(fd);
	assert_string_equal(r.out, "pair");
}

static void cannot_touch_its_runner_or_the_outside(void **state)
{
	struct ran r;

	TIER(f);
	sh(f, "kill -9 $PPID 2>/dev/null; kill -9 -1 2>/dev/null; exit 0", &r);
	sh(f, "(unshare -U true || unshare -n true || mount -t tmpfs x /tmp || chroot / true) 2>/dev/null && echo DONE; exit 0", &r);
	assert_string_equal(r.out, "");
	assert_int_equal(kill(getpid(), 0), 0);
}

static void its_temporary_files_are_gone_before_the_next(void **state)
{
	struct ran r;

	TIER(f);
	sh(f, "mkdir -p /tmp/a/b/c; echo x > /tmp/a/b/c/f; echo y > /dev/shm/z; chmod 0 /tmp/a/b; exit 0", &r);
	assert_int_equal(WEXITSTATUS(r.ev.status), 0);
	sh(f, "ls -A /tmp /dev/shm", &r);
	assert_string_equal(r.out, "/dev/shm:\n\n/tmp:\n");
}

static void a_folder_of_work_never_leads_out(void **state)
{
	struct gr_runner_task t = { .out_bytes = 1000, .cwd = "out/../../.." };
	char path[256];
	struct ran r;

	TIER(f);
	snprintf(path, sizeof(path), "%s/task/link", f->root);
	assert_int_equal(symlink("/", path), 0);
	start_sh(f, "pwd", &t);
	finish(f, &r);
	assert_true(r.ev.code == GR_ENOENT);
	t.cwd = "link/usr";
	start_sh(f, "pwd", &t);
	finish(f, &r);
	assert_true(r.ev.code == GR_ENOENT);
}

static void closing_the_socket_ends_everything(void **state)
{
	struct gr_runner_event ev;
	char alive[256];

	TIER(f);
	start_sh(f, "setsid sh -c 'while :; do echo x > alive; sleep 0.02; done' & echo up; wait", &plain);
	assert_true(next(f, &ev));
	close(f->fd);
	f->fd = -1;
	snprintf(alive, sizeof(alive), "%s/task/alive", f->root);
	for (int i = 0; i < 100; i++) {
		unlink(alive);
		usleep(100000);
		if (access(alive, F_OK) < 0)
			return;
	}
	fail_msg("it still runs");
}

#define GROUPED(name) { #name " (namespace, cgroup)", name, setup_grouped_namespace, teardown, NULL }, \
	{ #name " (landlock, cgroup)", name, setup_grouped_landlock, teardown, NULL }

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BOTH(gives_the_exit_code_and_both_streams),
		BOTH(runs_one_command_after_another),
		BOTH(tells_the_signal),
		BOTH(a_program_that_is_not_there_is_an_error_with_its_name),
		BOTH(a_script_without_an_interpreter_line_is_the_shells),
		BOTH(output_beyond_the_limit_is_counted_and_does_not_stop_the_command),
		BOTH(merged_streams_keep_their_order),
		BOTH(writes_in_its_folder_and_nowhere_else),
		BOTH(reads_the_programs_and_not_the_rest_of_the_machine),
		BOTH(what_it_leaves_behind_is_killed),
		BOTH(a_killed_command_goes_with_its_tree),
		BOTH(a_signal_reaches_its_process_group),
		BOTH(a_memory_hog_is_killed_at_its_limit),
		BOTH(memory_that_is_shared_counts_once),
		BOTH(memory_lent_to_a_child_before_its_exec_counts_once),
		BOTH(memory_of_those_that_hide_it_counts),
		GROUPED(gives_the_exit_code_and_both_streams),
		GROUPED(a_memory_hog_is_killed_at_its_limit),
		GROUPED(memory_that_is_shared_counts_once),
		GROUPED(memory_lent_to_a_child_before_its_exec_counts_once),
		GROUPED(memory_of_those_that_hide_it_counts),
		GROUPED(one_child_at_the_limit_takes_the_whole_tree_with_it),
		GROUPED(a_command_that_swallows_its_childs_end_is_out_of_memory_all_the_same),
		GROUPED(a_shell_between_small_processes_is_taken_before_the_runner),
		GROUPED(each_command_has_its_own_limit),
		GROUPED(files_that_were_read_and_written_are_no_need_of_memory),
		GROUPED(its_group_goes_with_its_worker),
		{ "the_next_life_clears_what_the_last_one_left", the_next_life_clears_what_the_last_one_left, NULL, NULL, NULL },
		BOTH(a_fork_bomb_meets_its_limit_and_dies),
		BOTH(has_no_network),
		BOTH(cannot_touch_its_runner_or_the_outside),
		{ "its_temporary_files_are_gone_before_the_next", its_temporary_files_are_gone_before_the_next, setup_namespace, teardown, NULL },
		BOTH(a_folder_of_work_never_leads_out),
		BOTH(closing_the_socket_ends_everything),
	};

	if (argc > 1 && !strcmp(argv[1], "lend-memory"))
		return lend_memory();
	if (argc > 1 && !strcmp(argv[1], "hide-memory"))
		return hide_memory();
	return cmocka_run_group_tests(tests, open_groups, close_groups);
}
