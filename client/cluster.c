/* cluster.c - see cluster.h. Waiting is by short naps and counting them: `griddle up` has no loop and needs no clock. */
#include "client/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

#define NAP_MS 20

extern char **environ;

void gr_cluster_nap(int ms)
{
	struct timespec t = { ms / 1000, (ms % 1000) * 1000000l };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* ---- the file ---- */

static char *dup_member(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? gr_xstrdup(s) : NULL;
}

static int read_proc(const json_t *o, struct gr_cluster_proc *p)
{
	const char *role = json_string_value(json_object_get(o, "role")), *name = json_string_value(json_object_get(o, "name"));
	json_int_t pid = json_integer_value(json_object_get(o, "pid")), start = json_integer_value(json_object_get(o, "start"));

	if (!role || !name || pid < 2 || pid > INT32_MAX || start < 1)
		return GR_ECONFIG;
	snprintf(p->role, sizeof(p->role), "%s", role);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->pid = (pid_t)pid;
	p->start = (uint64_t)start;
	return 0;
}

int gr_cluster_load(const char *path, struct gr_cluster *out, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	json_t *root, *procs, *p;
	size_t i;
	int rc;

	*out = (struct gr_cluster){ 0 };
	rc = gr_file_read(path, 1 << 20, &text, err);
	if (rc < 0) {
		gr_buf_fini(&text);
		return rc;
	}
	root = json_loadb((const char *)text.p, text.n, 0, NULL);
	gr_buf_fini(&text);
	out->endpoint = dup_member(root, "endpoint");
	out->http = dup_member(root, "http");
	out->server_key = dup_member(root, "server_key");
	procs = json_object_get(root, "pids");
	rc = out->endpoint && json_is_array(procs) ? 0 : GR_ECONFIG;
	json_array_foreach(procs, i, p) {
		if (rc < 0 || i == GR_CLUSTER_MAX_PROCS)
			break;
		rc = read_proc(p, &out->procs[out->n_procs++]);
	}
	json_decref(root);
	if (rc < 0) {
		gr_cluster_fini(out);
		return gr_err_set(err, rc, "%s: damaged; remove it, then `griddle up` again", path);
	}
	return 0;
}

int gr_cluster_save(const char *path, const struct gr_cluster *c, struct gr_err *err)
{
	json_t *procs = json_array(), *root;
	char *text;
	int rc;

	for (size_t i = 0; i < c->n_procs; i++)
		json_array_append_new(procs, json_pack("{s:s, s:s, s:i, s:I}", "role", c->procs[i].role, "name", c->procs[i].name,
						       "pid", (int)c->procs[i].pid, "start", (json_int_t)c->procs[i].start));
	root = json_pack("{s:s?, s:s?, s:s?, s:o}", "endpoint", c->endpoint, "http", c->http, "server_key", c->server_key,
			 "pids", procs);
	text = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	rc = gr_file_replace(path, text, strlen(text), 0600, false, err);
	free(text);
	json_decref(root);
	return rc;
}

void gr_cluster_fini(struct gr_cluster *c)
{
	free(c->endpoint);
	free(c->http);
	free(c->server_key);
	*c = (struct gr_cluster){ 0 };
}

/* ---- processes ---- */

uint64_t gr_cluster_start_time(pid_t pid)
{
	struct gr_buf b = { 0 };
	char path[64], state = 'Z';
	unsigned long long start = 0;
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (gr_file_read(path, 65536, &b, NULL) == 0) {
		p = strrchr(gr_buf_str(&b), ')');   /* the name may hold anything, brackets too */
		if (!p || sscanf(p + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
				 &state, &start) != 2)
			start = 0;
	}
	gr_buf_fini(&b);
	return state == 'Z' || state == 'X' ? 0 : start;
}

bool gr_cluster_is_alive(const struct gr_cluster_proc *p)
{
	return p->pid > 1 && p->start && gr_cluster_start_time(p->pid) == p->start;
}

size_t gr_cluster_n_alive(const struct gr_cluster *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_procs; i++)
		n += gr_cluster_is_alive(&c->procs[i]);
	return n;
}

/* What of our environment a process we start shall not take for its own settings: a user's GRIDDLE_KEYS for a cluster far
 * away must not reach the coordinator on loopback. An agent keeps its tuning and loses only what we give it as flags. */
static bool is_dropped(const char *entry, bool is_agent)
{
	static const char *const folders[] = { "RUNTIME_DIR=", "STATE_DIR=", "CONFIG_DIR=" };
	static const char *const given[] = { "COORDINATOR=", "KEYS=", "SERVER_KEY=", "SOCKET=", "STATE=", "READY_FILE=", "BUILD=",
					     "STATUS=", "STOP=" };
	const char *const *list = is_agent ? given : folders;
	size_t n = is_agent ? GR_LEN(given) : GR_LEN(folders);

	if (!strncmp(entry, "MAKEFLAGS=", 10) || !strncmp(entry, "MAKELEVEL=", 10))
		return true;
	if (strncmp(entry, "GRIDDLE_", 8))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strncmp(entry + 8, list[i], strlen(list[i])))
			return is_agent;
	return !is_agent;
}

int gr_cluster_spawn(const char *const *argv, const char *log, struct gr_cluster_proc *p, struct gr_err *err)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	size_t n_env = 0, n = 0;
	sigset_t none, dflt;
	char **env;
	int rc;

	while (environ[n_env])
		n_env++;
	env = gr_xalloc((n_env + 1) * sizeof(*env));
	for (size_t i = 0; i < n_env; i++)
		if (!is_dropped(environ[i], !strcmp(p->role, "agent")))
			env[n++] = environ[i];
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	posix_spawn_file_actions_addchdir_np(&fa, "/");
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&dflt);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &dflt);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&p->pid, argv[0], &fa, &attr, (char *const *)argv, env);
	free(env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	if (rc)
		return gr_err_set(err, gr_err_errno(rc), "%s: cannot start: %s (log %s)", argv[0], strerror(rc), log);
	p->start = gr_cluster_start_time(p->pid);
	return 0;
}

/* The end of a log, for the error that a person reads. */
static void last_lines(const char *log, struct gr_buf *out)
{
	struct gr_buf b = { 0 };
	size_t at, lines = 0;

	if (gr_file_read(log, 64 << 20, &b, NULL) < 0 || !b.n) {
		gr_buf_fini(&b);
		return;
	}
	while (b.n && b.p[b.n - 1] == '\n')
		b.p[--b.n] = 0;
	for (at = b.n; at > 0 && b.n - at < 600; at--)
		if (b.p[at - 1] == '\n' && ++lines == 3)
			break;
	gr_buf_add(out, b.p + at, b.n - at);
	gr_buf_fini(&b);
}

int gr_cluster_wait_ready(const struct gr_cluster_proc *p, const char *path, const char *log, int limit_ms, struct gr_err *err)
{
	struct gr_buf tail = { 0 };
	bool is_dead = false;
	int status;

	for (int ms = 0; ms < limit_ms && !is_dead; ms += NAP_MS) {
		if (access(path, F_OK) == 0)
			return 0;
		is_dead = waitpid(p->pid, &status, WNOHANG) == p->pid || !gr_cluster_is_alive(p);
		if (!is_dead)
			gr_cluster_nap(NAP_MS);
	}
	if (is_dead && access(path, F_OK) == 0)
		return 0;
	last_lines(log, &tail);
	if (is_dead)
		gr_err_set(err, GR_EIO, "%s ended at once; %s says:\n%s", p->name, log, gr_buf_str(&tail));
	else
		gr_err_set(err, GR_ETIME, "%s is not ready after %d s; %s says:\n%s", p->name, limit_ms / 1000, log, gr_buf_str(&tail));
	gr_buf_fini(&tail);
	return is_dead ? GR_EIO : GR_ETIME;
}

static size_t signal_role(const struct gr_cluster *c, const char *role, int signum)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_procs; i++)
		if ((!role || !strcmp(c->procs[i].role, role)) && gr_cluster_is_alive(&c->procs[i]) &&
		    kill(c->procs[i].pid, signum) == 0)
			n++;
	return n;
}

size_t gr_cluster_end(const struct gr_cluster *c, int limit_ms)
{
	static const char *const order[] = { "agent", "worker", "coordinator" };
	size_t n_ended = 0;

	for (size_t r = 0; r < GR_LEN(order); r++) {
		size_t n = signal_role(c, order[r], SIGTERM);

		n_ended += n;
		for (int ms = 0; n && ms < limit_ms && signal_role(c, order[r], 0); ms += NAP_MS) {
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
			gr_cluster_nap(NAP_MS);
		}
		signal_role(c, order[r], SIGKILL);
	}
	return n_ended;
}
