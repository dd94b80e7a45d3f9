/* paths.c - see paths.h. A runtime folder in /tmp can be made by anybody first, so it is only used when it is a real
 * folder, ours, and closed to others; it is never repaired, because then it may already hold somebody's socket. */
#include "client/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

char *gr_paths_below(const char *dir, const char *name)
{
	struct gr_buf b = { 0 };

	gr_buf_printf(&b, "%s/%s", dir, name);
	return gr_buf_take(&b, NULL);
}

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static const char *home(void)
{
	const char *h = env("HOME");
	struct passwd *pw;

	if (h)
		return h;
	pw = getpwuid(geteuid());
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
}

/* @own, else @xdg/griddle, else HOME/@below/griddle. */
static int folder(const char *own, const char *xdg, const char *below, char **out, struct gr_err *err)
{
	const char *h = home();

	if (env(own))
		*out = gr_xstrdup(env(own));
	else if (env(xdg))
		*out = gr_paths_below(env(xdg), "griddle");
	else if (h) {
		char *dir = gr_paths_below(h, below);

		*out = gr_paths_below(dir, "griddle");
		free(dir);
	} else
		return gr_err_set(err, GR_ECONFIG, "no home folder: set HOME or %s", own);
	if ((*out)[0] != '/')
		return gr_err_set(err, GR_ECONFIG, "%s: not an absolute path (from %s)", *out, env(own) ? own : xdg);
	return 0;
}

static int check_runtime(const char *path, struct gr_err *err)
{
	struct stat st;
	int rc;

	if (path[0] != '/')
		return gr_err_set(err, GR_ECONFIG, "runtime folder %s: not an absolute path", path);
	if (strlen(path) + sizeof("/agent.sock") > sizeof(((struct sockaddr_un *)0)->sun_path))
		return gr_err_set(err, GR_ECONFIG, "runtime folder %s: too long for a socket; set GRIDDLE_RUNTIME_DIR", path);
	rc = gr_mkdir_p(path, 0700, err);
	if (rc < 0)
		return gr_err_wrap(err, "runtime folder (set GRIDDLE_RUNTIME_DIR to choose another)");
	if (lstat(path, &st) < 0)
		return gr_err_set(err, gr_err_errno(errno), "runtime folder %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return gr_err_set(err, GR_EAUTH, "runtime folder %s belongs to somebody else: set GRIDDLE_RUNTIME_DIR", path);
	if (st.st_mode & 077)
		return gr_err_set(err, GR_EAUTH, "runtime folder %s is open to others (mode %03o): chmod 700 it, or set "
				  "GRIDDLE_RUNTIME_DIR", path, (unsigned int)(st.st_mode & 0777));
	return 0;
}

int gr_paths_init(struct gr_paths *p, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	int rc;

	*p = (struct gr_paths){ 0 };
	if (env("GRIDDLE_RUNTIME_DIR"))
		gr_buf_add_str(&b, env("GRIDDLE_RUNTIME_DIR"));
	else if (env("XDG_RUNTIME_DIR"))
		gr_buf_printf(&b, "%s/griddle", env("XDG_RUNTIME_DIR"));
	else
		gr_buf_printf(&b, "/tmp/griddle-%u", (unsigned int)geteuid());
	while (b.n > 1 && b.p[b.n - 1] == '/')
		b.p[--b.n] = 0;
	p->runtime = gr_buf_take(&b, NULL);
	rc = check_runtime(p->runtime, err);
	if (rc == 0)
		rc = folder("GRIDDLE_STATE_DIR", "XDG_STATE_HOME", ".local/state", &p->state, err);
	if (rc == 0)
		rc = folder("GRIDDLE_CONFIG_DIR", "XDG_CONFIG_HOME", ".config", &p->config, err);
	if (rc < 0) {
		gr_paths_fini(p);
		return rc;
	}
	p->socket = env("GRIDDLE_SOCKET") ? gr_xstrdup(env("GRIDDLE_SOCKET")) : gr_paths_below(p->runtime, "agent.sock");
	p->cluster = gr_paths_below(p->runtime, "cluster.json");
	return 0;
}

void gr_paths_fini(struct gr_paths *p)
{
	free(p->runtime);
	free(p->state);
	free(p->config);
	free(p->socket);
	free(p->cluster);
	*p = (struct gr_paths){ 0 };
}

int gr_paths_sibling(const char *program, char **out, struct gr_err *err)
{
	const char *path = env("PATH");
	struct gr_buf b = { 0 };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = 0;
		*strrchr(self, '/') = 0;
		gr_buf_printf(&b, "%s/%s", self, program);
		if (access(gr_buf_str(&b), X_OK) == 0)
			goto found;
	}
	while (path) {
		size_t len = strcspn(path, ":");

		gr_buf_clear(&b);
		gr_buf_printf(&b, "%.*s/%s", (int)len, len ? path : ".", program);
		if (len && access(gr_buf_str(&b), X_OK) == 0)
			goto found;
		path = path[len] ? path + len + 1 : NULL;
	}
	gr_buf_fini(&b);
	return gr_err_set(err, GR_ENOENT, "%s: not found beside griddle nor in PATH", program);
found:
	*out = gr_buf_take(&b, NULL);
	return 0;
}
