/* inputs.c - see inputs.h. Folders are walked in the order of their names, so that the same folder always gives the same job. */
#include "client/job/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"
#include "lib/wire/msg.h"

#define MAX_DEPTH 64

void gr_inputs_fini(struct gr_inputs *in)
{
	struct gr_input *x;
	size_t i = 0;

	gr_map_fini(&in->by_path);
	while ((x = gr_map_each(&in->by_digest, &i))) {
		free(x->path);
		free(x->data);
		free(x);
	}
	gr_map_fini(&in->by_digest);
}

char *gr_inputs_path(const char *base, const char *path)
{
	struct gr_buf b = { 0 };

	gr_path_join(&b, gr_slice_str(base), gr_slice_str(path));
	return gr_buf_take(&b, NULL);
}

static struct gr_input *put(struct gr_inputs *in, const struct gr_digest *d, uint64_t size)
{
	struct gr_input *x;

	GR_NEW(x);
	x->digest = *d;
	x->size = size;
	x->mode = 0644;
	in->bytes += size;
	gr_map_put(&in->by_digest, &x->digest, sizeof(x->digest), x);
	return x;
}

int gr_inputs_file(struct gr_inputs *in, const char *path, const struct gr_input **out, struct gr_err *err)
{
	struct gr_input *x = gr_map_get(&in->by_path, path, strlen(path));
	struct gr_digest d;
	struct stat st;
	uint64_t size;
	int fd, rc;

	if (x) {
		*out = x;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	rc = fstat(fd, &st) < 0 ? gr_err_errno(errno) : !S_ISREG(st.st_mode) ? GR_EINVAL : 0;
	if (rc == 0 && (uint64_t)st.st_size > GR_WIRE_MAX_BLOB_BYTES)
		rc = GR_ELIMIT;
	if (rc == 0)
		rc = gr_sha256_fd(fd, &d, &size);
	close(fd);
	if (rc == GR_ELIMIT)
		return gr_err_set(err, rc, "%s: %lld bytes; a file of at most %llu MiB can be sent", path, (long long)st.st_size,
				  GR_WIRE_MAX_BLOB_BYTES >> 20);
	if (rc == GR_EINVAL)
		return gr_err_set(err, rc, "%s: not a regular file", path);
	if (rc < 0)
		return gr_err_set(err, rc, "%s: cannot be read", path);
	x = gr_map_get(&in->by_digest, &d, sizeof(d));
	if (!x) {
		if (in->by_digest.n >= GR_INPUTS_MAX_FILES)
			return gr_err_set(err, GR_ELIMIT, "%s: more than %u different files", path, GR_INPUTS_MAX_FILES);
		x = put(in, &d, size);
		x->path = gr_xstrdup(path);
		x->mode = st.st_mode & 0111 ? 0755 : 0644;
		gr_map_put(&in->by_path, x->path, strlen(x->path), x);
	}
	*out = x;
	return 0;
}

const struct gr_input *gr_inputs_data(struct gr_inputs *in, const void *p, size_t n)
{
	struct gr_input *x;
	struct gr_digest d;

	gr_sha256_of(p, n, &d);
	x = gr_map_get(&in->by_digest, &d, sizeof(d));
	if (!x) {
		x = put(in, &d, n);
		x->data = gr_xmemdup(p, n);
	}
	return x;
}

/* ---- entries ---- */

static json_t *file_json(const char *as, const struct gr_input *x, unsigned mode)
{
	char hex[GR_DIGEST_HEX];

	gr_digest_hex(&x->digest, hex);
	return json_pack("{s:s, s:s, s:I, s:i}", "path", as, "blob", hex, "size", (json_int_t)x->size, "mode", (int)mode);
}

static int add_one(struct gr_inputs *in, const char *path, const char *as, json_t *list, int depth, struct gr_err *err);

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int no_text(const char *path, struct gr_err *err)
{
	return gr_err_set(err, GR_EPATH, "%s: a name that is not UTF-8 cannot be sent", path);
}

static int add_folder(struct gr_inputs *in, const char *path, const char *as, json_t *list, int depth, struct gr_err *err)
{
	struct dirent **names = NULL;
	int n, rc = 0, sum = 1;

	if (strcmp(as, ".") && json_array_append_new(list, json_pack("{s:s, s:b}", "path", as, "dir", true)) < 0)
		return no_text(path, err);
	n = scandir(path, &names, NULL, by_name);
	if (n < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (rc >= 0 && strcmp(name, ".") && strcmp(name, "..")) {
			char *child = gr_inputs_path(path, name), *child_as = strcmp(as, ".") ? gr_inputs_path(as, name) : gr_xstrdup(name);

			rc = add_one(in, child, child_as, list, depth + 1, err);
			sum += rc > 0 ? rc : 0;
			free(child);
			free(child_as);
		}
		free(names[i]);
	}
	free(names);
	return rc < 0 ? rc : sum;
}

static int add_one(struct gr_inputs *in, const char *path, const char *as, json_t *list, int depth, struct gr_err *err)
{
	const struct gr_input *x;
	char target[4096];
	struct stat st;
	ssize_t n;
	json_t *o;
	int rc;

	if (depth > MAX_DEPTH)
		return gr_err_set(err, GR_ELIMIT, "%s: folders more than %d deep", path, MAX_DEPTH);
	if ((depth ? lstat(path, &st) : stat(path, &st)) < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return add_folder(in, path, as, list, depth, err);
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			return gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
		target[n] = 0;
		o = json_pack("{s:s, s:s}", "path", as, "link", target);
	} else {
		rc = gr_inputs_file(in, path, &x, err);
		if (rc < 0)
			return rc;
		o = file_json(as, x, st.st_mode & 0111 ? 0755 : 0644);
	}
	if (!o)
		return no_text(path, err);
	json_array_append_new(list, o);
	return 1;
}

/* Relative names keep their place; absolute ones, and those that leave the base, go by their last part. */
static char *place_of(const char *path)
{
	struct gr_buf b = { 0 };
	struct gr_slice base;
	char *clean;

	gr_path_join(&b, gr_slice_str("."), gr_slice_str(path));
	clean = gr_buf_take(&b, NULL);
	if (clean[0] != '/' && strncmp(clean, "..", 2))
		return clean;
	base = gr_path_base(gr_slice_str(clean));
	b = (struct gr_buf){ 0 };
	gr_buf_add(&b, base.p, base.n);
	free(clean);
	return gr_buf_take(&b, NULL);
}

static int add_glob(struct gr_inputs *in, const char *base, const char *pattern, const char *as, json_t *list, struct gr_err *err)
{
	char *full = gr_inputs_path(base, pattern);
	size_t skip = pattern[0] == '/' || !strcmp(base, "/") ? 0 : strlen(base) + 1;
	glob_t g = { 0 };
	int rc = glob(full, GLOB_BRACE, NULL, &g), sum = 0;

	if (rc == GLOB_NOMATCH || (rc == 0 && !g.gl_pathc))
		rc = gr_err_set(err, GR_ENOENT, "%s: no file fits", pattern);
	else if (rc)
		rc = gr_err_set(err, GR_EIO, "%s: cannot be looked up", pattern);
	for (size_t i = 0; rc >= 0 && i < g.gl_pathc; i++) {
		const char *path = g.gl_pathv[i];
		struct gr_slice name = gr_path_base(gr_slice_str(path));
		char *last = gr_xstrndup((const char *)name.p, name.n), *to = as ? gr_inputs_path(as, last) : place_of(path + skip);

		rc = add_one(in, path, to, list, 0, err);
		sum += rc > 0 ? rc : 0;
		free(last);
		free(to);
	}
	globfree(&g);
	free(full);
	return rc < 0 ? rc : sum;
}

int gr_inputs_add(struct gr_inputs *in, const char *base, const char *path, const char *as, json_t *list, struct gr_err *err)
{
	char *full = gr_inputs_path(base, path), *to;
	int rc;

	if (access(full, F_OK) < 0 && path[strcspn(path, "*?[{")]) {
		free(full);
		return add_glob(in, base, path, as, list, err);
	}
	to = as ? gr_inputs_path(".", as) : place_of(path);
	if (!*to || to[0] == '/' || !strncmp(to, "..", 2))
		rc = gr_err_set(err, GR_EPATH, "%s: not a place below the task's folder", to);
	else
		rc = add_one(in, full, to, list, 0, err);
	free(to);
	free(full);
	return rc;
}

json_t *gr_inputs_json(const struct gr_inputs *in)
{
	json_t *list = json_array();
	char hex[GR_DIGEST_HEX];
	struct gr_input *x;
	size_t i = 0;

	while ((x = gr_map_each(&in->by_digest, &i))) {
		gr_digest_hex(&x->digest, hex);
		json_array_append_new(list, json_pack("[s, I]", hex, (json_int_t)x->size));
	}
	return list;
}

int gr_inputs_open(const struct gr_inputs *in, const struct gr_digest *digest, uint64_t *size)
{
	const struct gr_input *x = gr_map_get(&in->by_digest, digest, sizeof(*digest));
	struct gr_digest now;
	uint64_t now_size;
	int fd;

	if (!x)
		return GR_ENOENT;
	if (x->data) {
		fd = memfd_create("griddle-input", MFD_CLOEXEC);
		if (fd < 0)
			return gr_err_errno(errno);
		if (gr_write_all(fd, x->data, x->size) < 0) {
			close(fd);
			return GR_EIO;
		}
		*size = x->size;
		return fd;
	}
	fd = open(x->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return gr_err_errno(errno);
	if (gr_sha256_fd(fd, &now, &now_size) < 0 || !gr_digest_eq(&now, digest)) {
		close(fd);
		return GR_ECORRUPT;             /* it changed since it was looked at */
	}
	*size = now_size;
	return fd;
}
