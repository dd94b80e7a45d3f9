/* worker_sandbox_test.c - each tier keeps a task in, and compiles to the same bytes
 *
 * The tasks are a small static program that tries one thing and says what errno it got, and the machine's gcc. A tier
 * the machine forbids is skipped, with the reason it gave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "worker/sandbox/sandbox.h"

#define LIMIT_MS 60000

static const char probe_source[] =
	"#define _GNU_SOURCE\n"
	"#include <errno.h>\n#include <fcntl.h>\n#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
	"#include <sys/mman.h>\n#include <sys/mount.h>\n#include <sys/ptrace.h>\n#include <sys/resource.h>\n#include <sys/socket.h>\n"
	"#include <sys/stat.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n#include <sched.h>\n#include <dirent.h>\n"
	"static int rd(const char *p) { return open(p, O_RDONLY); }\n"
	"int main(int c, char **v) {\n"
	"	const char *w = v[1], *a = c > 2 ? v[2] : \"\"; long r = -1; errno = 0;\n"
	"	if (!strcmp(w, \"read\")) r = rd(a);\n"
	"	else if (!strcmp(w, \"list\")) r = opendir(a) ? 0 : -1;\n"
	"	else if (!strcmp(w, \"write\")) r = open(a, O_WRONLY | O_CREAT, 0644);\n"
	"	else if (!strcmp(w, \"trunc\")) r = truncate(a, 0);\n"
	"	else if (!strcmp(w, \"unlink\")) r = unlink(a);\n"
	"	else if (!strcmp(w, \"link\")) r = link(a, v[3]);\n"
	"	else if (!strcmp(w, \"exec\")) { execl(a, a, \"exit\", (char *)0); }\n"
	"	else if (!strcmp(w, \"tmp\")) { char p[4096]; snprintf(p, sizeof p, \"%s/x\", getenv(\"TMPDIR\")); r = open(p, O_RDWR | O_CREAT, 0600); }\n"
	"	else if (!strcmp(w, \"inet\")) r = socket(AF_INET, SOCK_STREAM, 0);\n"
	"	else if (!strcmp(w, \"unix\")) r = socket(AF_UNIX, SOCK_STREAM, 0);\n"
	"	else if (!strcmp(w, \"ptrace\")) r = ptrace(PTRACE_TRACEME, 0, 0, 0);\n"
	"	else if (!strcmp(w, \"mount\")) r = mount(\"none\", \"/\", \"tmpfs\", 0, 0);\n"
	"	else if (!strcmp(w, \"unshare\")) r = unshare(CLONE_NEWUSER);\n"
	"	else if (!strcmp(w, \"clone\")) r = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);\n"
	"	else if (!strcmp(w, \"memfd\")) r = memfd_create(\"x\", 0);\n"
	"	else if (!strcmp(w, \"setsid\")) r = setsid();\n"
	"	else if (!strcmp(w, \"setpgid\")) r = setpgid(0, 0);\n"
	"	else if (!strcmp(w, \"kill\")) r = kill(atoi(a), SIGKILL);\n"
	"	else if (!strcmp(w, \"uid\")) { printf(\"%d %d\", (int)getuid(), (int)geteuid()); return 0; }\n"
	"	else if (!strcmp(w, \"fds\")) { for (int i = 0; i < 1024; i++) if (fcntl(i, F_GETFD) >= 0) printf(\"%d \", i); return 0; }\n"
	"	else if (!strcmp(w, \"caps\")) { unsigned h[2] = { 0x20080522, 0 }, d[6] = { 0 }; syscall(SYS_capget, h, d); printf(\"%x%x%x%x\", d[0], d[1], d[3], d[4]); return 0; }\n"
	"	else if (!strcmp(w, \"cwd\")) { char p[4096]; printf(\"%s\", getcwd(p, sizeof p)); return 0; }\n"
	"	else if (!strcmp(w, \"exit\")) return 42;\n"
	"	else if (!strcmp(w, \"spin\")) { if (!fork()) for (;;) pause(); for (;;) pause(); }\n"
	"	else if (!strcmp(w, \"leave\")) { if (!fork()) { printf(\"%d\", (int)getpid()); fflush(stdout); for (;;) pause(); } usleep(1); return 0; }\n"
	"	printf(\"%s\", r < 0 ? strerrorname_np(errno) : \"done\"); return 0; }\n";

/* Made once for all tests: the probe, and the copies that the chroot tier links its files from (a worker keeps them, too,
 * from one session to the next; the first test of the tier makes them). */
static char shared_dir[64];

struct fix {
	enum gr_tier tier;
	char dir[64], root[128], secret[128];
	int spawner, session, rootfd, cachefd;
	uid_t uid;
	bool is_skipped;
};

static struct gr_sandbox_event wait_event(struct fix *f)
{
	struct gr_sandbox_event ev = { 0 };
	struct pollfd p = { f->session, POLLIN, 0 };
	int rc;

	while ((rc = gr_sandbox_next(f->session, &ev)) == 0)
		assert_true(poll(&p, 1, LIMIT_MS) > 0);
	if (rc < 0)
		snprintf(ev.text, sizeof(ev.text), "server gone");
	return ev;
}

static void own(struct fix *f, const char *path)
{
	if (geteuid() == 0)
		assert_int_equal(lchown(path, f->uid, f->uid), 0);
}

static void put(struct fix *f, const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", f->root, path);
	assert_int_equal(gr_file_replace(full, text, strlen(text), 0644, false, NULL), 0);
	own(f, full);
}

static void make_dir(struct fix *f, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", f->root, path);
	assert_int_equal(gr_mkdir_p(full, 0755, NULL), 0);
	own(f, full);
}

static const char *const shown_fixed[] = {
	"@/lib", "@/lib64", "@/bin", "/usr/lib/gcc", "/usr/bin/gcc", "/usr/bin/as", "/usr/bin/x86_64-linux-gnu-as", "/lib64/ld-linux-x86-64.so.2",
	"/usr/lib/x86_64-linux-gnu", "/usr/libexec/gcc",
};

static int open_session(struct fix *f, bool has_userns)
{
	char probe[128];
	const char *shown[GR_LEN(shown_fixed) + 1];
	struct gr_sandbox_spec spec = {
		.tier = f->tier, .has_userns = has_userns, .rootfd = f->rootfd, .cachefd = f->cachefd, .uid = f->uid,
		.gid = f->uid, .tmp_bytes = 64 << 20, .shown = shown, .n_shown = GR_LEN(shown),
		.root_path = f->tier == GR_TIER_LANDLOCK ? f->root : NULL,
	};

	snprintf(probe, sizeof(probe), "%s/probe", shared_dir);
	memcpy(shown, shown_fixed, sizeof(shown_fixed));
	shown[GR_LEN(shown_fixed)] = probe;
	return gr_sandbox_open(f->spawner, &spec, NULL);
}

static int build_shared(void **state)
{
	char src[128], exe[128];
	const char *argv[] = { "gcc", "-static", "-O1", "-w", "-o", exe, src, NULL };
	struct gr_buf out = { 0 };

	strcpy(shared_dir, "/tmp/sandbox-test-XXXXXX");
	assert_non_null(mkdtemp(shared_dir));
	assert_int_equal(chmod(shared_dir, 0755), 0);
	snprintf(src, sizeof(src), "%s/copies", shared_dir);
	assert_int_equal(mkdir(src, 0700), 0);
	snprintf(src, sizeof(src), "%s/probe.c", shared_dir);
	snprintf(exe, sizeof(exe), "%s/probe", shared_dir);
	assert_int_equal(gr_file_replace(src, probe_source, strlen(probe_source), 0644, false, NULL), 0);
	if (gr_proc_capture(argv, NULL, NULL, 1 << 20, NULL, &out, NULL) != 0)
		fail_msg("probe: %s", gr_buf_str(&out));
	gr_buf_fini(&out);
	return 0;
}

static int remove_shared(void **state)
{
	gr_rm_rf(shared_dir);
	return 0;
}

static int setup_tier(void **state, enum gr_tier tier, bool has_userns)
{
	struct gr_sandbox_event ev;
	struct fix *f;
	char path[128];

	GR_NEW(f);
	*state = f;
	f->tier = tier;
	f->uid = geteuid() == 0 ? 65532 : geteuid();
	f->spawner = gr_spawner_fork(NULL);
	assert_true(f->spawner >= 0);
	strcpy(f->dir, "/tmp/sandbox-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	snprintf(f->root, sizeof(f->root), "%s/root", f->dir);
	make_dir(f, "");
	snprintf(path, sizeof(path), "%s/copies", shared_dir);
	f->cachefd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->rootfd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(f->secret, sizeof(f->secret), "%s/secret", f->dir);
	assert_int_equal(gr_file_replace(f->secret, "secret", 6, 0666, false, NULL), 0);
	f->session = open_session(f, has_userns);
	assert_true(f->session >= 0);
	ev = wait_event(f);
	if (ev.kind != GR_SANDBOX_READY) {
		print_message("# tier %s is not possible here: %s\n", gr_tier_name(tier), ev.text);
		f->is_skipped = true;
		return 0;
	}
	assert_int_equal(gr_spawner_settle(f->spawner, tier, has_userns, f->uid, f->uid), 0);
	make_dir(f, "/home");
	make_dir(f, "/home/u");
	make_dir(f, "/home/u/src");
	make_dir(f, "/home/u/obj");
	put(f, "/home/u/src/a.h", "static inline int one(void) { return 1; }\n");
	put(f, "/home/u/src/a.c", "#include <a.h>\n#include <stddef.h>\nint f(size_t n) { return one() + (int)n; }\n"
				  "const char *name = __FILE__;\n");
	return 0;
}

static int setup_namespace(void **state) { return setup_tier(state, GR_TIER_NAMESPACE, true); }
static int setup_namespace_root(void **state) { return setup_tier(state, GR_TIER_NAMESPACE, false); }
static int setup_chroot(void **state) { return setup_tier(state, GR_TIER_CHROOT, false); }
static int setup_landlock(void **state) { return setup_tier(state, GR_TIER_LANDLOCK, false); }

static int teardown(void **state)
{
	struct fix *f = *state;

	close(f->session);
	close(f->spawner);
	close(f->rootfd);
	close(f->cachefd);
	gr_rm_rf(f->dir);
	free(f);
	return 0;
}

static char *slurp(int fd, size_t max)
{
	char *text = gr_xalloc(max + 1);

	assert_true(pread(fd, text, max, 0) >= 0);
	return text;
}

struct run {
	struct gr_sandbox_event ev;
	char *out, *err;
};

static void run_fini(struct run *r)
{
	free(r->out);
	free(r->err);
}

static void start(struct fix *f, uint32_t slot, const char *const *argv, uint32_t n, int fds[2])
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C" };
	static const char *const writable[] = { "/home/u/obj" };
	struct gr_sandbox_task t = {
		.slot = slot, .program = argv[0], .argv = argv, .n_argv = n, .env = env, .n_env = 2, .cwd = "/home/u",
		.writable = writable, .n_writable = 1, .fsize_bytes = 1 << 26, .cpu_s = 60,
	};

	t.out_fd = fds[0] = memfd_create("out", MFD_CLOEXEC);
	t.err_fd = fds[1] = memfd_create("err", MFD_CLOEXEC);
	assert_int_equal(gr_sandbox_spawn(f->session, &t), 0);
}

static struct run run_argv(struct fix *f, const char *const *argv, uint32_t n)
{
	struct run r;
	int fds[2];

	start(f, 3, argv, n, fds);
	r.ev = wait_event(f);
	assert_int_equal(r.ev.kind, GR_SANDBOX_EXIT);
	r.out = slurp(fds[0], 1 << 16);
	r.err = slurp(fds[1], 1 << 16);
	close(fds[0]);
	close(fds[1]);
	return r;
}

/* What the probe answers for @what, e.g. "EACCES". */
static struct run probe(struct fix *f, const char *what, const char *arg, const char *arg2)
{
	char exe[128];
	const char *argv[] = { exe, what, arg, arg2 };
	struct run r;

	snprintf(exe, sizeof(exe), "%s/probe", shared_dir);
	r = run_argv(f, argv, arg2 ? 4 : arg ? 3 : 2);
	if (r.ev.code)
		fail_msg("%s", r.ev.text);
	return r;
}

static void answers(struct fix *f, const char *what, const char *arg, const char *expected)
{
	struct run r = probe(f, what, arg, NULL);

	if (!strstr(expected, r.out) || !r.out[0])
		fail_msg("%s %s: %s, not %s", what, arg ? arg : "", r.out, expected);
	run_fini(&r);
}

static const char *in_root(struct fix *f, const char *path, char out[512])
{
	snprintf(out, 512, "%s%s", f->tier == GR_TIER_LANDLOCK ? f->root : "", path);
	return out;
}

#define TIER(f) struct fix *f = *state; if (f->is_skipped) skip()

static void cannot_read_what_is_not_shown(void **state)
{
	TIER(f);
	answers(f, "read", "/etc/passwd", "ENOENT EACCES");
	answers(f, "read", "/etc/shadow", "ENOENT EACCES");
	answers(f, "read", "/proc/self/environ", "ENOENT EACCES");
	answers(f, "read", "/proc/1/cmdline", "ENOENT EACCES");
	answers(f, "list", "/proc", "ENOENT EACCES");
	answers(f, "list", "/var", "ENOENT EACCES");
	answers(f, "read", f->secret, "ENOENT EACCES");
	answers(f, "read", "/home/u/../../etc/passwd", "ENOENT EACCES");
}

static void cannot_write_but_in_its_folders(void **state)
{
	char path[512];

	TIER(f);
	answers(f, "write", in_root(f, "/home/u/obj/x", path), "done");
	answers(f, "tmp", NULL, "done");
	answers(f, "write", in_root(f, "/home/u/src/x", path), "EACCES");
	answers(f, "write", in_root(f, "/home/u/src/a.c", path), "EACCES");
	answers(f, "trunc", in_root(f, "/home/u/src/a.c", path), "EACCES");
	answers(f, "unlink", in_root(f, "/home/u/src/a.c", path), "EACCES");
	answers(f, "write", in_root(f, "/x", path), "EACCES");
	answers(f, "write", f->secret, "ENOENT EACCES");
	answers(f, "write", "/usr/bin/as", "EACCES EROFS ETXTBSY");
	answers(f, "write", "/usr/lib/gcc/x", "EACCES EROFS");
	answers(f, "unlink", "/usr/bin/as", "EACCES EROFS EBUSY");
}

static void a_symlink_made_by_a_task_leads_nowhere(void **state)
{
	char path[512], full[512];

	TIER(f);
	snprintf(full, sizeof(full), "%s/home/u/obj/link", f->root);
	assert_int_equal(symlink("/etc/passwd", full), 0);
	answers(f, "read", in_root(f, "/home/u/obj/link", path), "ENOENT EACCES");
}

static void cannot_link_inputs_into_its_outputs_from_elsewhere(void **state)
{
	char a[512], b[512];
	struct run r;

	TIER(f);
	r = probe(f, "link", f->secret, in_root(f, "/home/u/obj/secret", b));
	assert_string_not_equal(r.out, "done");
	run_fini(&r);
	(void)a;
}

static void cannot_open_a_socket(void **state)
{
	TIER(f);
	answers(f, "inet", NULL, "EPERM");
	answers(f, "unix", NULL, "EPERM");
}

static void cannot_reach_for_the_kernel_or_other_processes(void **state)
{
	char pid[16];

	TIER(f);
	answers(f, "ptrace", NULL, "EPERM");
	answers(f, "mount", NULL, "EPERM");
	answers(f, "unshare", NULL, "EPERM");
	answers(f, "clone", NULL, "EPERM");
	answers(f, "memfd", NULL, "EPERM");
	answers(f, "setsid", NULL, "EPERM");
	answers(f, "setpgid", NULL, "EPERM");
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	answers(f, "kill", pid, "EPERM ESRCH");
}

static void cannot_execute_what_a_client_ships(void **state)
{
	char path[512], exe[512], to[512];
	struct gr_buf b = { 0 };

	TIER(f);
	snprintf(exe, sizeof(exe), "%s/probe", shared_dir);
	snprintf(to, sizeof(to), "%s/home/u/src/tool", f->root);
	assert_int_equal(gr_file_read(exe, 1 << 24, &b, NULL), 0);
	assert_int_equal(gr_file_replace(to, b.p, b.n, 0755, false, NULL), 0);
	own(f, to);
	gr_buf_fini(&b);
	answers(f, "exec", in_root(f, "/home/u/src/tool", path), "EACCES");
}

static void runs_as_nobody_special_with_three_descriptors(void **state)
{
	char expected[512];
	struct run r;

	TIER(f);
	r = probe(f, "fds", NULL, NULL);
	assert_string_equal(r.out, "0 1 2 ");
	run_fini(&r);
	r = probe(f, "caps", NULL, NULL);
	assert_string_equal(r.out, "0000");
	run_fini(&r);
	snprintf(expected, sizeof(expected), "%u %u", f->uid, f->uid);
	r = probe(f, "uid", NULL, NULL);
	assert_string_equal(r.out, expected);
	run_fini(&r);
	r = probe(f, "cwd", NULL, NULL);
	assert_string_equal(r.out, in_root(f, "/home/u", expected));
	run_fini(&r);
}

static void the_exit_code_and_the_usage_come_back(void **state)
{
	struct run r;

	TIER(f);
	r = probe(f, "exit", NULL, NULL);
	assert_true(WIFEXITED(r.ev.status));
	assert_int_equal(WEXITSTATUS(r.ev.status), 42);
	assert_true(r.ev.max_rss_bytes > 0);
	run_fini(&r);
}

static void what_cannot_be_started_says_why(void **state)
{
	const char *argv[] = { "/usr/bin/no-such-compiler" };
	struct run r;

	TIER(f);
	r = run_argv(f, argv, 1);
	assert_int_equal(r.ev.code, GR_ESANDBOX);
	assert_non_null(strstr(r.ev.text, "exec: No such file"));
	run_fini(&r);
}

/* The pipe's end tells that every process that held it is gone. */
static bool group_ends(struct fix *f, const char *what, bool do_kill)
{
	static const char *const env[] = { "A=b" };
	char exe[128], c;
	const char *argv[] = { exe, what };
	struct gr_sandbox_task t = { .slot = 1, .program = exe, .argv = argv, .n_argv = 2, .env = env, .n_env = 1, .cwd = "/home/u" };
	struct gr_sandbox_event ev;
	struct pollfd p;
	int fds[2];
	ssize_t n;

	snprintf(exe, sizeof(exe), "%s/probe", shared_dir);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	t.out_fd = t.err_fd = fds[1];
	assert_int_equal(gr_sandbox_spawn(f->session, &t), 0);
	close(fds[1]);
	if (do_kill)
		assert_int_equal(gr_sandbox_kill(f->session, 1), 0);
	ev = wait_event(f);
	assert_int_equal(ev.kind, GR_SANDBOX_EXIT);
	if (do_kill)
		assert_int_equal(WTERMSIG(ev.status), SIGKILL);
	p = (struct pollfd){ fds[0], POLLIN, 0 };
	do {
		assert_true(poll(&p, 1, LIMIT_MS) > 0);
		n = read(fds[0], &c, 1);
	} while (n > 0);
	close(fds[0]);
	return n == 0;
}

static void a_task_is_killed_with_all_it_started(void **state)
{
	TIER(f);
	assert_true(group_ends(f, "spin", true));
}

static void what_a_task_leaves_behind_is_ended(void **state)
{
	TIER(f);
	assert_true(group_ends(f, "leave", false));
}

static void closing_the_session_ends_its_tasks(void **state)
{
	char exe[128], c;
	const char *argv[] = { exe, "spin" };
	struct gr_sandbox_task t = { .slot = 1, .program = exe, .argv = argv, .n_argv = 2, .cwd = "/home/u" };
	struct pollfd p;
	int fds[2];

	TIER(f);
	snprintf(exe, sizeof(exe), "%s/probe", shared_dir);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	t.out_fd = t.err_fd = fds[1];
	assert_int_equal(gr_sandbox_spawn(f->session, &t), 0);
	close(fds[1]);
	close(f->session);
	p = (struct pollfd){ fds[0], POLLIN, 0 };
	assert_true(poll(&p, 1, LIMIT_MS) > 0);
	assert_int_equal(read(fds[0], &c, 1), 0);
	close(fds[0]);
	f->session = -1;
}

static void many_arguments_travel_in_a_memfd(void **state)
{
	const char **argv;
	char exe[128];
	struct run r;

	TIER(f);
	snprintf(exe, sizeof(exe), "%s/probe", shared_dir);
	argv = gr_xalloc(8000 * sizeof(*argv));
	for (int i = 0; i < 8000; i++)
		argv[i] = "a-word-of-some-length";
	argv[0] = exe;
	argv[1] = "exit";
	r = run_argv(f, argv, 8000);
	assert_int_equal(WEXITSTATUS(r.ev.status), 42);
	run_fini(&r);
	free(argv);
}

static void compiles_to_the_same_bytes_as_outside(void **state)
{
	char map[256], inc[256], out[300], sysroot[256];
	const char *remote[] = { "/usr/bin/gcc", "-O2", "-g", "-c", "-o", "obj/a.o", "src/a.c", inc, map, sysroot };
	const char *local[] = { "gcc", "-O2", "-g", "-c", "-o", out, "src/a.c", "-Isrc", map, NULL };
	struct gr_buf a = { 0 }, b = { 0 }, err = { 0 };
	char cwd[256];
	struct run r;

	TIER(f);
	snprintf(map, sizeof(map), "-ffile-prefix-map=%s=", f->root);
	snprintf(inc, sizeof(inc), "-Isrc");
	snprintf(sysroot, sizeof(sysroot), "--sysroot=%s", f->root);
	snprintf(out, sizeof(out), "%s/home/u/obj/b.o", f->root);
	snprintf(cwd, sizeof(cwd), "%s/home/u", f->root);
	r = run_argv(f, remote, f->tier == GR_TIER_LANDLOCK ? 10 : 9);
	if (r.ev.code || r.ev.status)
		fail_msg("%s %s", r.ev.text, r.err);
	run_fini(&r);
	assert_int_equal(gr_proc_capture(local, NULL, cwd, 1 << 20, NULL, &err, NULL), 0);
	assert_int_equal(gr_file_read(out, 1 << 24, &b, NULL), 0);
	snprintf(out, sizeof(out), "%s/home/u/obj/a.o", f->root);
	assert_int_equal(gr_file_read(out, 1 << 24, &a, NULL), 0);
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.p, b.p, a.n);
	gr_buf_fini(&a);
	gr_buf_fini(&b);
	gr_buf_fini(&err);
}

#define IN_TIER(name, tier) { #name "_in_" #tier, name, setup_##tier, teardown, NULL }
#define IN_ALL(name) IN_TIER(name, namespace), IN_TIER(name, namespace_root), IN_TIER(name, chroot), IN_TIER(name, landlock)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_ALL(cannot_read_what_is_not_shown),
		IN_ALL(cannot_write_but_in_its_folders),
		IN_ALL(a_symlink_made_by_a_task_leads_nowhere),
		IN_ALL(cannot_link_inputs_into_its_outputs_from_elsewhere),
		IN_ALL(cannot_open_a_socket),
		IN_ALL(cannot_reach_for_the_kernel_or_other_processes),
		IN_ALL(cannot_execute_what_a_client_ships),
		IN_ALL(runs_as_nobody_special_with_three_descriptors),
		IN_ALL(the_exit_code_and_the_usage_come_back),
		IN_ALL(what_cannot_be_started_says_why),
		IN_ALL(a_task_is_killed_with_all_it_started),
		IN_ALL(what_a_task_leaves_behind_is_ended),
		IN_ALL(closing_the_session_ends_its_tasks),
		IN_ALL(many_arguments_travel_in_a_memfd),
		IN_ALL(compiles_to_the_same_bytes_as_outside),
	};

	return cmocka_run_group_tests(tests, build_shared, remove_shared);
}
