/* keep.c - the file of a test: STATE/load/RUN.jsonl, a JSON object a line, appended as the test goes
 *
 *   {"type": "run", ...}  {"type": "plan", ...}  {"type": "interval", ...}...  {"type": "end", ...}  {"type": "summary", ...}
 *
 * A test whose coordinator died has no end: `griddle load ls` shows it as cut. Lines are ASCII. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/load/load.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define MAX_LISTED 1000
#define TAIL_BYTES 16384
#define PAGE_BYTES (256u << 10)

int gr_keep_open(struct gr_run *r, struct gr_err *err)
{
	char dir[4096];
	int rc;

	snprintf(dir, sizeof(dir), "%s/load", r->c->cfg.state);
	rc = gr_mkdir_p(dir, 0700, err);
	if (rc < 0)
		return rc;
	snprintf(r->path, sizeof(r->path), "%s/%016llx.jsonl", dir, (unsigned long long)r->id);
	r->fd = open(r->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (r->fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", r->path, strerror(errno));
	return 0;
}

void gr_keep_line(struct gr_run *r, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
	size_t n = text ? strlen(text) : 0;

	json_decref(o);
	if (text && r->fd >= 0) {
		text[n] = '\n';                  /* over the NUL: the length is known */
		if (gr_write_all(r->fd, text, n + 1) < 0) {
			gr_error("load", "%s: cannot be written; the test goes on and is not kept", r->path);
			close(r->fd);
			r->fd = -1;
		}
	}
	free(text);
}

static json_t *line_at(const char *path, bool is_last)
{
	char *buf = gr_xalloc(TAIL_BYTES + 1), *line = buf, *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	json_t *o = NULL;
	struct stat st;
	ssize_t n;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		off_t at = is_last && st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;

		n = pread(fd, buf, TAIL_BYTES, at);
		n = n < 0 ? 0 : n;
		if (is_last) {
			while (n && buf[n - 1] == '\n')
				n--;
			buf[n] = 0;
			line = memrchr(buf, '\n', (size_t)n);
			line = line ? line + 1 : buf;
		} else {
			end = memchr(buf, '\n', (size_t)n);
			buf[end ? end - buf : n] = 0;
		}
		o = json_loads(line, 0, NULL);
	}
	if (fd >= 0)
		close(fd);
	free(buf);
	return o;
}

static int is_test(const struct dirent *e) { return strlen(e->d_name) == 22 && !strcmp(e->d_name + 16, ".jsonl"); }

json_t *gr_keep_list(const struct gr_coord *c)
{
	json_t *list = json_array();
	struct dirent **names;
	char path[4400], dir[4096];
	int n;

	snprintf(dir, sizeof(dir), "%s/load", c->cfg.state);
	n = scandir(dir, &names, is_test, alphasort);
	for (int i = 0; i < n; free(names[i++])) {
		json_t *first, *last;

		if (n - i > MAX_LISTED)          /* the last ones: names sort by time */
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		first = line_at(path, false);
		last = line_at(path, true);
		if (json_is_object(first)) {
			const char *type = json_string_value(json_object_get(last, "type"));

			if (type && !strcmp(type, "summary"))
				json_object_set(first, "summary", last);
			json_array_append(list, first);
		}
		json_decref(first);
		json_decref(last);
	}
	if (n >= 0)
		free(names);
	return list;
}

int gr_keep_read(const struct gr_coord *c, const char *id, uint64_t offset, struct gr_buf *out, uint64_t *size, struct gr_err *err)
{
	char path[4200];
	struct stat st;
	ssize_t n;
	int fd;

	if (strlen(id) != 16 || id[strspn(id, "0123456789abcdef")])
		return gr_err_set(err, GR_EUSAGE, "\"%.40s\" is no load test: its id is 16 hex digits", id);
	snprintf(path, sizeof(path), "%s/load/%s.jsonl", c->cfg.state, id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (fd >= 0)
			close(fd);
		return gr_err_set(err, GR_ENOENT, "there is no load test %s", id);
	}
	gr_buf_reserve(out, PAGE_BYTES);
	n = offset < (uint64_t)st.st_size ? pread(fd, out->p + out->n, PAGE_BYTES, (off_t)offset) : 0;
	close(fd);
	if (n < 0)
		return gr_err_set(err, GR_EIO, "%s: %s", path, strerror(errno));
	out->n += (size_t)n;
	*size = (uint64_t)st.st_size;
	return 0;
}
