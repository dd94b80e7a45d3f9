/* calls.c - see calls.h */
#include "client/cmd/calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cc/note.h"
#include "client/cluster.h"
#include "client/paths.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"

#define SUFFIX ".calls"
#define MAX_REASONS 500u
#define MAX_LOCALS 10000u

struct gr_calls {
	char *path;
	int fd;
	char line[GR_NOTE_MAX_LINE];
	size_t n_line;
	bool is_skipping;                 /* a line longer than any of ours */
	uint64_t n_units, n_other;
	json_t *reasons, *locals, *other_reasons;
};

/* A build's file outlives its `griddle make` only when that was killed. */
static void remove_stale(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		uint64_t start;
		int pid, n = 0;

		if (sscanf(e->d_name, "make-%d-%" SCNx64 "%n", &pid, &start, &n) == 2 && n && !strcmp(e->d_name + n, SUFFIX) &&
		    gr_cluster_start_time(pid) != start)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

int gr_calls_open(const char *dir, const char *id, struct gr_calls **out, struct gr_err *err)
{
	struct gr_buf path = { 0 };
	struct gr_calls *c;
	int fd;

	remove_stale(dir);
	gr_buf_printf(&path, "%s/%s" SUFFIX, dir, id);
	fd = open(gr_buf_str(&path), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		int rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", gr_buf_str(&path), strerror(errno));

		gr_buf_fini(&path);
		return rc;
	}
	GR_NEW(c);
	c->path = gr_buf_take(&path, NULL);
	c->fd = fd;
	c->reasons = json_object();
	c->locals = json_array();
	c->other_reasons = json_object();
	*out = c;
	return 0;
}

void gr_calls_close(struct gr_calls **pc)
{
	struct gr_calls *c = *pc;

	if (!c)
		return;
	*pc = NULL;
	unlink(c->path);
	close(c->fd);
	free(c->path);
	json_decref(c->reasons);
	json_decref(c->locals);
	json_decref(c->other_reasons);
	free(c);
}

const char *gr_calls_path(const struct gr_calls *c) { return c->path; }
uint64_t gr_calls_n_units(const struct gr_calls *c) { return c->n_units; }

static void add_count(json_t *reasons, const char *reason, json_int_t n)
{
	json_t *old = json_object_get(reasons, reason);

	if (!old && json_object_size(reasons) >= MAX_REASONS) {
		reason = "other reasons";
		old = json_object_get(reasons, reason);
	}
	if (old)
		json_integer_set(old, json_integer_value(old) + n);
	else
		json_object_set_new(reasons, reason, json_integer(n));
}

static void on_line(struct gr_calls *c)
{
	char *tab = memchr(c->line, '\t', c->n_line);
	const char *reason = c->line + 1;
	json_t *source;

	if (!tab || tab == reason || (c->line[0] != 'u' && c->line[0] != 'c'))
		return;
	*tab = 0;
	if (c->line[0] == 'c') {
		c->n_other++;
		add_count(c->other_reasons, reason, 1);
		return;
	}
	c->n_units++;
	add_count(c->reasons, reason, 1);
	if (json_array_size(c->locals) >= MAX_LOCALS)
		return;
	/* A name that is no UTF-8 gives NULL. */
	source = json_stringn(tab + 1, c->n_line - (size_t)(tab + 1 - c->line));
	json_array_append_new(c->locals, json_pack("{s:o, s:s}", "source", source ? source : json_string("?"), "reason", reason));
}

void gr_calls_read(struct gr_calls *c)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(c->fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (chunk[i] == '\n') {
				if (!c->is_skipping && c->n_line)
					on_line(c);
				c->n_line = 0;
				c->is_skipping = false;
			} else if (!chunk[i] || c->n_line == sizeof(c->line)) {
				c->is_skipping = true;
			} else {
				c->line[c->n_line++] = chunk[i];
			}
		}
}

static void merge(json_t *into, const json_t *from)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)from, key, v)
		add_count(into, key, json_integer_value(v));
}

void gr_calls_add_to(struct gr_calls *c, json_t *s)
{
	json_t *reasons = json_object_get(s, "reasons"), *locals = json_object_get(s, "locals"), *v;
	size_t i;

	if (!reasons)
		json_object_set_new(s, "reasons", reasons = json_object());
	if (!locals)
		json_object_set_new(s, "locals", locals = json_array());
	json_object_set_new(s, "local", json_integer(json_integer_value(json_object_get(s, "local")) + (json_int_t)c->n_units));
	merge(reasons, c->reasons);
	json_array_foreach(c->locals, i, v)
		if (json_array_size(locals) < MAX_LOCALS)
			json_array_append(locals, v);
	json_object_set_new(s, "other", json_integer((json_int_t)c->n_other));
	json_object_set(s, "other_reasons", c->other_reasons);
}
