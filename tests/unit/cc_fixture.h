/**
 * cc_fixture - a file system in memory for the tests of lib/cc: files, folders, links, and inotify's events
 *
 * Changes advance a clock of a millisecond a step; world_settle() lets a second pass, so that files are not young.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/cc/files.h"

struct world_entry {
	char path[256];
	uint8_t kind;
	char text[4096];          /* content, or a link's target */
	uint64_t ino;
	int64_t time_ns;
	uint32_t nlink;
	bool is_denied;
};
struct world_event {
	int wd;
	uint8_t flags;
	char name[256];
};
struct world {
	struct world_entry e[1024];
	size_t n;
	char watched[1024][256];
	bool with_content[1024];
	int n_watched;
	struct world_event events[4096];
	int n_events, at_event;
	bool watch_fails, loses_events;
	uint64_t next_ino;
	int64_t now_ns;
	unsigned n_stat, n_read;
	struct gr_cc_files *files;
};

static inline struct world_entry *world_find(struct world *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->e[i].kind != GR_CC_ABSENT && !strcmp(w->e[i].path, path))
			return &w->e[i];
	return NULL;
}

static inline void world_event(struct world *w, const char *path, uint8_t flag)
{
	const char *slash = strrchr(path, '/');
	char dir[256];

	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	for (int i = 0; i < w->n_watched && !w->loses_events; i++) {
		if (strcmp(w->watched[i], dir) || (flag == GR_CC_EV_CONTENT && !w->with_content[i]))
			continue;
		assert_true(w->n_events < 4096);
		w->events[w->n_events].wd = i;
		w->events[w->n_events].flags = flag;
		snprintf(w->events[w->n_events++].name, 256, "%s", slash + 1);
	}
}

static inline struct world_entry *world_put(struct world *w, const char *path, uint8_t kind, const char *text)
{
	struct world_entry *e = world_find(w, path);
	bool is_new = !e || e->kind != kind || kind == GR_CC_LINK;

	if (!e) {
		assert_true(w->n < 1024);
		e = &w->e[w->n++];
		memset(e, 0, sizeof(*e));
	}
	if (is_new)
		e->ino = ++w->next_ino;
	e->kind = kind;
	e->nlink = 1;
	e->time_ns = w->now_ns += 1000000;
	snprintf(e->path, sizeof(e->path), "%s", path);
	snprintf(e->text, sizeof(e->text), "%s", text ? text : "");
	world_event(w, path, is_new ? GR_CC_EV_NAME : GR_CC_EV_CONTENT);
	return e;
}

/* A file, the folders above it made as needed. */
static inline void put(struct world *w, const char *path, const char *text)
{
	char dir[256];

	for (const char *s = strchr(path + 1, '/'); s; s = strchr(s + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(s - path), path);
		if (!world_find(w, dir))
			world_put(w, dir, GR_CC_DIR, NULL);
	}
	world_put(w, path, GR_CC_REG, text);
}

static inline void put_dir(struct world *w, const char *path) { put(w, path, ""); world_put(w, path, GR_CC_DIR, NULL); }
static inline void put_link(struct world *w, const char *path, const char *target)
{
	put(w, path, "");
	world_put(w, path, GR_CC_LINK, target);
}

static inline void take_away(struct world *w, const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < w->n; i++)
		if (!strncmp(w->e[i].path, path, n) && (w->e[i].path[n] == '/' || !w->e[i].path[n]))
			w->e[i].kind = GR_CC_ABSENT;
	w->now_ns += 1000000;
	world_event(w, path, GR_CC_EV_NAME);
}

/* The kernel follows links in all components but the last. */
static inline struct world_entry *world_look(struct world *w, const char *path, int depth)
{
	char dir[256], full[1024];
	const char *slash = strrchr(path, '/');
	struct world_entry *d;

	if (slash == path || depth > 20)
		return world_find(w, path);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	d = world_look(w, dir, depth + 1);
	if (!d)
		return NULL;
	if (d->kind == GR_CC_LINK) {
		snprintf(full, sizeof(full), "%s%s", d->text, slash);
		return d->text[0] == '/' ? world_look(w, full, depth + 1) : NULL;
	}
	return d->kind == GR_CC_DIR ? world_find(w, path) : NULL;
}

static inline void world_stat(const struct world_entry *e, struct gr_cc_stat *st)
{
	*st = (struct gr_cc_stat){ .kind = GR_CC_ABSENT };
	if (e && e->is_denied)
		st->kind = GR_CC_DENIED;
	else if (e)
		*st = (struct gr_cc_stat){ e->kind, false, e->nlink, strlen(e->text), e->ino, 1, e->time_ns, e->time_ns };
}

static inline int world_lstat(void *ctx, const char *path, struct gr_cc_stat *st)
{
	struct world *w = ctx;

	w->n_stat++;
	if (!strcmp(path, "/"))
		*st = (struct gr_cc_stat){ .kind = GR_CC_DIR };
	else
		world_stat(world_look(w, path, 0), st);
	return 0;
}

static inline int world_readlink(void *ctx, const char *path, struct gr_buf *out)
{
	struct world_entry *e = world_look(ctx, path, 0);

	if (!e || e->kind != GR_CC_LINK)
		return GR_ENOENT;
	gr_buf_add_str(out, e->text);
	return 0;
}

static inline int world_read(void *ctx, const char *path, size_t max, struct gr_buf *out, struct gr_cc_stat *st)
{
	struct world *w = ctx;
	struct world_entry *e = world_look(w, path, 0);

	w->n_read++;
	if (!e || e->kind != GR_CC_REG)
		return GR_ENOENT;
	if (e->is_denied)
		return GR_EIO;
	gr_buf_add_str(out, e->text);
	world_stat(e, st);
	return 0;
}

static inline int world_watch(void *ctx, const char *path, bool with_content)
{
	struct world *w = ctx;
	int i;

	if (w->watch_fails)
		return GR_EUNSUP;
	for (i = 0; i < w->n_watched && strcmp(w->watched[i], path); i++)
		;
	assert_true(i < 1024);
	if (i == w->n_watched)
		w->n_watched++;
	snprintf(w->watched[i], 256, "%s", path);
	w->with_content[i] |= with_content;
	return i;
}

static inline int world_cannot_watch(void *ctx, const char *path, bool with_content) { return GR_EUNSUP; }

static inline void world_unwatch(void *ctx, int wd)
{
	struct world *w = ctx;

	w->watched[wd][0] = 0;
	w->with_content[wd] = false;
}

static inline int world_events(void *ctx, struct gr_cc_event *out, int max)
{
	struct world *w = ctx;
	int n = 0;

	for (; n < max && w->at_event < w->n_events; n++, w->at_event++)
		out[n] = (struct gr_cc_event){ w->events[w->at_event].wd, w->events[w->at_event].flags, w->events[w->at_event].name };
	if (!n)
		w->n_events = w->at_event = 0;
	return n;
}

static inline int world_fd(void *ctx) { return -1; }
static inline void world_fini(void *ctx) { }

static inline struct world *world_new(void)
{
	struct world *w;
	struct gr_cc_fs fs;

	GR_NEW(w);
	w->now_ns = 1000000000000000000ll;
	fs = (struct gr_cc_fs){ w, world_lstat, world_readlink, world_read, world_watch, world_unwatch, world_events, world_fd, world_fini };
	w->files = gr_cc_files_new(&fs);
	return w;
}

static inline void world_free(struct world *w)
{
	gr_cc_files_free(&w->files);
	free(w);
}

static inline void world_settle(struct world *w) { w->now_ns += 10000000000ll; }
static inline void drain(struct world *w) { gr_cc_files_drain(w->files, w->now_ns); }
static inline struct gr_cc_node *entry(struct world *w, const char *path) { return gr_cc_files_entry(w->files, NULL, path); }
