/*
 * group.c - cgroups of runners
 *
 *   OWN/griddle-ID.PID/        one life of one worker; ID is that of its state folder
 *       rN/                    a runner and all it starts
 *       worker/                v2: the worker itself, since a group with members may not limit its parts
 *
 * A group is a runner's and not a command's. To make one a command would cost each a mkdir, an rmdir, four opens and, in
 * v2, a move between groups, which waits for every CPU of the machine; so only the limit is written anew, when it changes.
 * The price: the runner is in there too. It is small, has been paid for elsewhere before it joined, and the kernel prefers
 * its commands (gr_sb_oom_offer); memory.oom.group would not, and so is left alone. The kernel
 * kills one process at the limit; the runner sees the counter and kills the rest, as when it watches.
 *
 * What counts is what the kernel counts: also files in a tmpfs, page tables and sockets, which no one sees by watching. The
 * cache of plain files is given back before anybody is killed, and memory.peak, which has it, is therefore not what a
 * command needs: that is sampled from memory.stat.
 *
 * Removal: a group is busy until its last process is quite gone, so it is tried again. A small process that outlives a
 * worker that was killed clears the life's folder; should it die too, the next life of the same state folder does.
 */
#include "worker/sandbox/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "worker/sandbox/memory.h"

enum { JOIN, LIMIT, EVENTS, STAT };
#define SLACK_BYTES (4u << 20)         /* the runner itself, page tables, what the kernel charges ahead */
#define MAX_TEXT 16384
#define MAX_MEMBERS 65536
#define KEEP_ROUNDS 3000

struct gr_groups {
	char base[4096], prefix[48], own[4000];
	bool is_v2;
	int n_made;
	char **dead;                   /* paths to be removed yet */
	uint32_t n_dead, cap_dead;
};

/* ---- one group ---- */

void gr_group_init(struct gr_group *g)
{
	for (uint32_t i = 0; i < GR_GROUP_FDS; i++)
		g->fds[i] = -1;
	g->is_v2 = false;
}

void gr_group_close(struct gr_group *g)
{
	for (uint32_t i = 0; i < GR_GROUP_FDS; i++)
		if (g->fds[i] >= 0)
			close(g->fds[i]);
	gr_group_init(g);
}

bool gr_group_is_open(const struct gr_group *g) { return g->fds[STAT] >= 0; }

bool gr_group_join(struct gr_group *g)
{
	if (!gr_group_is_open(g))
		return false;
	if (write(g->fds[JOIN], "0", 1) == 1)
		return true;
	gr_group_close(g);
	return false;
}

bool gr_group_limit(const struct gr_group *g, uint64_t bytes)
{
	char text[32];
	int n;

	if (!gr_group_is_open(g))
		return false;
	n = bytes ? snprintf(text, sizeof(text), "%" PRIu64, bytes + (uint64_t)SLACK_BYTES) :
	    snprintf(text, sizeof(text), "%s", g->is_v2 ? "max" : "-1");
	return pwrite(g->fds[LIMIT], text, (size_t)n, 0) == n;
}

static uint64_t value_of(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == ' ')
			return strtoull(p + n + 1, NULL, 10);
	return 0;
}

static const char *look_at(int fd, char text[MAX_TEXT])
{
	ssize_t n = pread(fd, text, MAX_TEXT - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return text;
}

void gr_group_count(const struct gr_group *g, struct gr_group_seen *out)
{
	char text[MAX_TEXT];

	memset(out, 0, sizeof(*out));
	if (!gr_group_is_open(g))
		return;
	look_at(g->fds[EVENTS], text);
	out->n_killed = value_of(text, "oom_kill");
	/* v2 counts at whose limit it was; v1 says only who was killed */
	out->n_full = g->is_v2 ? value_of(text, "oom") : out->n_killed;
}

void gr_group_look(const struct gr_group *g, struct gr_group_seen *out)
{
	char text[MAX_TEXT];

	gr_group_count(g, out);
	if (!gr_group_is_open(g))
		return;
	look_at(g->fds[STAT], text);
	out->resident_bytes = g->is_v2 ? value_of(text, "anon") + value_of(text, "file_mapped") :
			      value_of(text, "rss") + value_of(text, "mapped_file");
}

/* ---- files of the tree ---- */

static bool put(const char *dir, const char *name, const char *text)
{
	char path[4400];
	int fd;
	bool is_good;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return false;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	is_good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0) {
		int e = errno;

		close(fd);
		errno = e;
	}
	return is_good;
}

static bool has_word(const char *dir, const char *name, const char *word)
{
	struct gr_buf text = { 0 };
	char path[4400], *save, *w;
	bool is_in = false;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) && gr_file_read(path, MAX_TEXT, &text, NULL) == 0)
		for (w = strtok_r((char *)(uintptr_t)gr_buf_str(&text), " \n", &save); w && !is_in; w = strtok_r(NULL, " \n", &save))
			is_in = !strcmp(w, word);
	gr_buf_fini(&text);
	return is_in;
}

static uint32_t list_members(const char *dir, pid_t *pids, uint32_t max)
{
	char path[4400];
	uint32_t n = 0;
	long pid;
	FILE *f;

	snprintf(path, sizeof(path), "%.4300s/cgroup.procs", dir);
	f = fopen(path, "re");
	while (f && n < max && fscanf(f, "%ld", &pid) == 1)
		pids[n++] = (pid_t)pid;
	if (f)
		fclose(f);
	return n;
}

static void kill_members(const char *dir)
{
	pid_t *pids;
	uint32_t n;

	if (put(dir, "cgroup.kill", "1"))
		return;
	pids = gr_tryalloc(MAX_MEMBERS * sizeof(*pids));
	n = pids ? list_members(dir, pids, MAX_MEMBERS) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (pids[i] > 1 && pids[i] != getpid())
			kill(pids[i], SIGKILL);
	free(pids);
}

uint32_t gr_groups_clear(const char *path)
{
	struct dirent *de;
	char below[4400];
	DIR *dir = opendir(path);
	uint32_t n_left = 0;

	while (dir && (de = readdir(dir)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.' &&
		    snprintf(below, sizeof(below), "%s/%s", path, de->d_name) < (int)sizeof(below))
			n_left += rmdir(below) < 0 && strcmp(de->d_name, "worker");
	if (dir)
		closedir(dir);
	if (!n_left)
		rmdir(path);
	return n_left;
}

int gr_groups_keep(const char *path)
{
	int fds[2];
	pid_t pid;
	char c;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid != 0) {
		close(fds[0]);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		if (pid > 0)
			return fds[1];
		close(fds[1]);
		return -1;
	}
	if (fork() != 0)
		_exit(0);              /* nobody's child: no zombie stays for it */
	prctl(PR_SET_NAME, "griddle-keeper", 0, 0, 0);
	setsid();
	for (int signum = 1; signum < NSIG; signum++)
		signal(signum, SIG_IGN);
	dup2(fds[0], 0);
	if (chdir("/") < 0)
		_exit(1);
	close_range(1, ~0u, 0);
	while (read(0, &c, 1) > 0 || errno == EINTR)
		errno = 0;
	for (int i = 0; i < KEEP_ROUNDS && gr_groups_clear(path); i++)
		usleep(10000);
	_exit(0);
}

static void kill_below(const char *path)
{
	struct dirent *de;
	char below[4400];
	DIR *dir = opendir(path);

	kill_members(path);
	while (dir && (de = readdir(dir)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.' &&
		    snprintf(below, sizeof(below), "%s/%s", path, de->d_name) < (int)sizeof(below))
			kill_members(below);
	if (dir)
		closedir(dir);
}

/* ---- whether there can be any ---- */

/* To whoever is not root a folder of its own says so. Root may write everywhere: what systemd has marked is given away, and
 * so is the top of a cgroup namespace, which a container has for itself. */
static bool is_delegated(const char *own, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	struct stat sb;
	char mark[4];
	bool is_top;

	if (geteuid() != 0) {
		if (stat(own, &sb) == 0 && sb.st_uid == geteuid())
			return true;
		gr_err_set(err, GR_ESANDBOX, "%s is not this user's", own);
		return false;
	}
	if ((getxattr(own, "trusted.delegate", mark, sizeof(mark)) == 1 || getxattr(own, "user.delegate", mark, sizeof(mark)) == 1) &&
	    mark[0] == '1')
		return true;
	is_top = gr_file_read("/proc/self/cgroup", MAX_TEXT, &text, NULL) == 0 && strstr(gr_buf_str(&text), "0::/\n");
	gr_buf_fini(&text);
	if (!is_top)
		gr_err_set(err, GR_ESANDBOX, "%s is not delegated", own);
	return is_top;
}

/* Everybody who is in @own goes to @leaf: this process and its children, or nobody. */
static bool move_down(const char *own, const char *leaf, struct gr_err *err)
{
	pid_t pids[64], self = getpid();
	uint32_t n = list_members(own, pids, GR_LEN(pids)), n_others = 0;
	int procfd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[24];

	for (uint32_t i = 0; i < n; i++)
		n_others += pids[i] != self && gr_sb_parent(procfd, pids[i]) != self;
	if (procfd >= 0)
		close(procfd);
	if (n_others) {
		gr_err_set(err, GR_ESANDBOX, "%s has other processes in it", own);
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%d", (int)pids[i]);
		if (!put(leaf, "cgroup.procs", text)) {
			gr_err_set(err, GR_ESANDBOX, "%s: %s", leaf, strerror(errno));
			return false;
		}
	}
	return true;
}

static void move_back(const char *own, const char *leaf)
{
	pid_t pids[64];
	uint32_t n = list_members(leaf, pids, GR_LEN(pids));
	char text[24];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%d", (int)pids[i]);
		put(own, "cgroup.procs", text);
	}
}

static int enable_v2(struct gr_groups *s, struct gr_err *err)
{
	char leaf[4400];

	snprintf(leaf, sizeof(leaf), "%s/worker", s->base);
	if (mkdir(leaf, 0755) < 0)
		return gr_err_set(err, GR_ESANDBOX, "%s: %s", leaf, strerror(errno));
	if (!move_down(s->own, leaf, err)) {
		move_back(s->own, leaf);
		return GR_ESANDBOX;
	}
	if (!put(s->own, "cgroup.subtree_control", "+memory") || !put(s->base, "cgroup.subtree_control", "+memory")) {
		gr_err_set(err, GR_ESANDBOX, "%s: cgroup.subtree_control: %s", s->own, strerror(errno));
		move_back(s->own, leaf);
		return GR_ESANDBOX;
	}
	return 0;
}

/* The folder, and of its files those that who makes and joins groups must write. */
static bool give(const struct gr_groups *s, uid_t uid, gid_t gid)
{
	static const char *const files[] = { "", "/cgroup.procs", "/cgroup.subtree_control", "/tasks" };
	char path[4400];

	for (size_t i = 0; i < GR_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s%s", s->base, files[i]);
		if (chown(path, uid, gid) < 0 && errno != ENOENT)
			return false;
	}
	return true;
}

static void add_dead(struct gr_groups *s, const char *path)
{
	GR_GROW(s->dead, s->cap_dead, s->n_dead + 1);
	s->dead[s->n_dead++] = gr_xstrdup(path);
}

static void find_left(struct gr_groups *s)
{
	size_t n = strlen(s->prefix);
	DIR *dir = opendir(s->own);
	struct dirent *de;
	char path[4400];

	while (dir && (de = readdir(dir)))
		if (!strncmp(de->d_name, s->prefix, n) &&
		    snprintf(path, sizeof(path), "%s/%s", s->own, de->d_name) < (int)sizeof(path) && strcmp(path, s->base))
			add_dead(s, path);
	if (dir)
		closedir(dir);
}

struct gr_groups *gr_groups_open(const char *own, bool is_v2, uint64_t id, uid_t uid, gid_t gid, struct gr_err *err)
{
	struct gr_groups *s;
	bool is_good = true;

	if (is_v2 ? !has_word(own, "cgroup.controllers", "memory") : access(own, W_OK) < 0) {
		gr_err_set(err, GR_ESANDBOX, is_v2 ? "%s has no memory controller" : "%s may not be written", own);
		return NULL;
	}
	if (is_v2 && !is_delegated(own, err))
		return NULL;
	GR_NEW(s);
	s->is_v2 = is_v2;
	snprintf(s->prefix, sizeof(s->prefix), "griddle-%016" PRIx64 ".", id);
	if (snprintf(s->own, sizeof(s->own), "%s", own) >= (int)sizeof(s->own) ||
	    snprintf(s->base, sizeof(s->base), "%s/%s%d", own, s->prefix, (int)getpid()) >= (int)sizeof(s->base) ||
	    (mkdir(s->base, 0755) < 0 && errno != EEXIST)) {
		gr_err_set(err, GR_ESANDBOX, "%s: %s", s->base, strerror(errno));
		gr_groups_free(&s);
		return NULL;
	}
	if (is_v2)
		is_good = enable_v2(s, err) == 0;
	if (is_good && geteuid() == 0 && uid && !give(s, uid, gid)) {
		gr_err_set(err, GR_ESANDBOX, "%s: chown: %s", s->base, strerror(errno));
		is_good = false;
	}
	if (!is_good) {
		gr_groups_clear(s->base);
		gr_groups_free(&s);
		return NULL;
	}
	find_left(s);
	return s;
}

void gr_groups_free(struct gr_groups **sp)
{
	struct gr_groups *s = *sp;

	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_dead; i++)
		free(s->dead[i]);
	free(s->dead);
	free(s);
	*sp = NULL;
}

const char *gr_groups_path(const struct gr_groups *s) { return s->base; }

/* ---- making and removing ---- */

static void group_path(const struct gr_groups *s, int number, char out[4400])
{
	snprintf(out, 4400, "%s/r%d", s->base, number);
}

int gr_groups_make(struct gr_groups *s, struct gr_group *out, struct gr_err *err)
{
	static const struct { const char *v1, *v2; int flags; } files[GR_GROUP_FDS] = {
		/* v1's "tasks" moves one thread, which needs no lock over all processes */
		[JOIN] = { "tasks", "cgroup.procs", O_WRONLY }, [LIMIT] = { "memory.limit_in_bytes", "memory.max", O_WRONLY },
		[EVENTS] = { "memory.oom_control", "memory.events", O_RDONLY }, [STAT] = { "memory.stat", "memory.stat", O_RDONLY },
	};
	char dir[4400], path[4440];
	struct gr_group g;
	int number = s->n_made++;

	gr_group_init(&g);
	g.is_v2 = s->is_v2;
	group_path(s, number, dir);
	if (mkdir(dir, 0755) < 0)
		return gr_err_set(err, GR_ESANDBOX, "%s: %s", dir, strerror(errno));
	for (uint32_t i = 0; i < GR_GROUP_FDS; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, s->is_v2 ? files[i].v2 : files[i].v1);
		g.fds[i] = open(path, files[i].flags | O_CLOEXEC);
		if (g.fds[i] < 0) {
			gr_err_set(err, GR_ESANDBOX, "%s: %s", path, strerror(errno));
			gr_group_close(&g);
			rmdir(dir);
			return GR_ESANDBOX;
		}
	}
	/* a limit that can be swapped away is none; not everywhere is there swap */
	if (!put(dir, s->is_v2 ? "memory.swap.max" : "memory.swappiness", "0"))
		gr_debug("group", "%s: swap cannot be kept off: %s", dir, strerror(errno));
	*out = g;
	return number;
}

void gr_groups_remove(struct gr_groups *s, int number)
{
	char dir[4400];

	group_path(s, number, dir);
	if (rmdir(dir) < 0 && errno != ENOENT)
		add_dead(s, dir);
}

void gr_groups_tick(struct gr_groups *s)
{
	for (uint32_t i = 0; i < s->n_dead;) {
		gr_groups_clear(s->dead[i]);
		if (access(s->dead[i], F_OK) == 0) {
			kill_below(s->dead[i]);
			i++;
			continue;
		}
		free(s->dead[i]);
		s->dead[i] = s->dead[--s->n_dead];
	}
}
