/*
 * cas.c - the index, look-ups, reading and eviction; put.c writes
 *
 * The folder is the truth, the index in memory a picture of it: blobs found by the stock-taking at start, those put
 * here, and those another process put, which are noticed when asked for. The picture also holds what `stat` said when
 * the content was last checked (inode, size, mtime, ctime). A blob whose stat differs, or that was never checked in
 * this life, is read and hashed before it is handed out. So a hole left by a crash and a byte changed by hand are both
 * found, and the usual case costs one fstat.
 *
 * Eviction drops the least recently used until what is to be written fits under the cap. As another process may write
 * too, stock is taken anew whenever this one has written an eighth of the cap since it last did; the folder can
 * therefore be over by an eighth a process, for a moment.
 *
 * Not kept: an index file (one more thing to be wrong after a crash; the stock-taking of 10,000 blobs is 15 ms),
 * fsync on put (verifying on first read gives the same safety for less), touching mtime on use (it changes ctime and
 * would cost a hash; over a restart the order is that of atime and mtime, which is near enough).
 */
#include "lib/cas/cas_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define TMP_MAX_AGE_S 3600
#define COPY_BYTES (128u << 10)

void gr_cas__name(const struct gr_digest *d, char out[GR_CAS__NAME])
{
	char hex[GR_DIGEST_HEX];

	gr_digest_hex(d, hex);
	out[0] = hex[0];
	out[1] = hex[1];
	out[2] = '/';
	memcpy(out + 3, hex + 2, GR_DIGEST_HEX - 2);
}

static struct entry *find(struct gr_cas *c, const struct gr_digest *d)
{
	return gr_map_get(&c->map, d->b, sizeof(d->b));
}

struct entry *gr_cas__add(struct gr_cas *c, const struct gr_digest *d, uint64_t size)
{
	struct entry *e = find(c, d);

	if (!e) {
		GR_NEW(e);
		e->digest = *d;
		e->size = size;
		gr_list_init(&e->lru);
		gr_map_put(&c->map, e->digest.b, sizeof(e->digest.b), e);
		c->n_blobs++;
	} else {
		c->bytes -= e->size;
		e->size = size;
		gr_list_del(&e->lru);
	}
	c->bytes += size;
	gr_list_push(&c->lru, &e->lru);
	return e;
}

static void forget(struct gr_cas *c, struct entry *e)
{
	gr_map_del(&c->map, e->digest.b, sizeof(e->digest.b));
	gr_list_del(&e->lru);
	c->n_blobs--;
	c->bytes -= e->size;
	free(e);
}

/* The file is gone but somebody pinned the blob: the entry stays as a place for the count. */
static void drop(struct gr_cas *c, struct entry *e)
{
	if (!e->n_pins) {
		forget(c, e);
		return;
	}
	c->bytes -= e->size;
	e->size = 0;
	e->is_checked = false;
	e->is_gone = true;
}

struct found {
	struct gr_digest digest;
	uint64_t size;
	struct timespec used;
};

static int by_age(const void *a, const void *b)
{
	const struct timespec *x = &((const struct found *)a)->used, *y = &((const struct found *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static void scan_fan(struct gr_cas *c, const char *fan, struct found **list, size_t *n, size_t *cap)
{
	int fd = openat(c->dirfd, fan, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(dir))) {
		char hex[GR_DIGEST_HEX];
		struct found f;
		struct stat st;

		if (strlen(de->d_name) != GR_DIGEST_HEX - 3)
			continue;
		snprintf(hex, sizeof(hex), "%.2s%.62s", fan, de->d_name);
		if (gr_digest_parse(hex, &f.digest) < 0 || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		f.size = (uint64_t)st.st_size;
		f.used = by_age(&(struct found){ .used = st.st_atim }, &(struct found){ .used = st.st_mtim }) > 0 ?
			 st.st_atim : st.st_mtim;
		GR_GROW(*list, *cap, *n + 1);
		(*list)[(*n)++] = f;
	}
	closedir(dir);
}

/* What is in the folder and not in the picture becomes the oldest; what is in the picture and not there goes. */
static void take_stock(struct gr_cas *c)
{
	struct found *list = NULL;
	struct gr_map seen = { 0 };
	size_t n = 0, cap = 0;
	char fan[3];

	for (unsigned i = 0; i < 256; i++) {
		snprintf(fan, sizeof(fan), "%02x", i);
		scan_fan(c, fan, &list, &n, &cap);
	}
	if (n)
		qsort(list, n, sizeof(*list), by_age);
	for (size_t i = n; i-- > 0;) {
		struct entry *e = find(c, &list[i].digest);

		gr_map_put(&seen, list[i].digest.b, GR_DIGEST_BYTES, &list[i]);
		if (e && !e->is_gone)
			continue;
		e = gr_cas__add(c, &list[i].digest, list[i].size);
		e->is_gone = false;
		gr_list_del(&e->lru);
		gr_list_push_front(&c->lru, &e->lru);
	}
	GR_LIST_EACH_SAFE(e, &c->lru, struct entry, lru)
		if (!e->is_gone && !gr_map_get(&seen, e->digest.b, GR_DIGEST_BYTES))
			drop(c, e);
	gr_map_fini(&seen);
	free(list);
	c->written_since_stock = 0;
}

static void clear_tmp(struct gr_cas *c)
{
	int fd = openat(c->dirfd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		struct stat st;

		if (de->d_name[0] == '.' || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (c->now_s - (int64_t)st.st_mtim.tv_sec > TMP_MAX_AGE_S)
			unlinkat(fd, de->d_name, 0);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

/* The file system's idea of now, taken from a file made this moment: ages compare on one clock only. */
static int64_t folder_now(struct gr_cas *c)
{
	char name[64];
	struct stat st = { 0 };
	int fd;

	snprintf(name, sizeof(name), "tmp/now-%d", (int)getpid());
	fd = openat(c->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		st.st_mtim.tv_sec = 0;
	close(fd);
	unlinkat(c->dirfd, name, 0);
	return (int64_t)st.st_mtim.tv_sec;
}

int gr_cas_open(const char *dir, uint64_t cap_bytes, struct gr_cas **out, struct gr_err *err)
{
	struct gr_cas *c;
	int rc = gr_mkdir_p(dir, 0700, err);

	if (rc < 0)
		return rc;
	GR_NEW(c);
	gr_list_init(&c->lru);
	c->cap = cap_bytes;
	c->can_reflink = true;
	c->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dirfd < 0 || (mkdirat(c->dirfd, "tmp", 0700) < 0 && errno != EEXIST)) {
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", dir, strerror(errno));
		gr_cas_close(&c);
		return rc;
	}
	c->now_s = folder_now(c);
	clear_tmp(c);
	take_stock(c);
	gr_cas__evict(c, 0);
	*out = c;
	return 0;
}

void gr_cas_close(struct gr_cas **cp)
{
	struct gr_cas *c = *cp;

	if (!c)
		return;
	GR_LIST_EACH_SAFE(e, &c->lru, struct entry, lru)
		free(e);
	gr_map_fini(&c->map);
	gr_sha256_free(&c->hash);
	if (c->dirfd >= 0)
		close(c->dirfd);
	free(c);
	*cp = NULL;
}

void gr_cas__evict(struct gr_cas *c, uint64_t more)
{
	char name[GR_CAS__NAME];

	if (c->written_since_stock > c->cap / 8)
		take_stock(c);
	if (c->bytes + more <= c->cap)
		return;
	GR_LIST_EACH_SAFE(e, &c->lru, struct entry, lru) {
		if (c->bytes + more <= c->cap)
			break;
		if (e->n_pins || e->is_gone)
			continue;
		gr_cas__name(&e->digest, name);
		unlinkat(c->dirfd, name, 0);
		forget(c, e);
		c->evicted++;
	}
}

void gr_cas_set_cap(struct gr_cas *c, uint64_t cap_bytes)
{
	c->cap = cap_bytes;
	gr_cas__evict(c, 0);
}

void gr_cas_shrink(struct gr_cas *c, uint64_t bytes)
{
	uint64_t cap = c->cap;

	c->cap = c->bytes > bytes ? c->bytes - bytes : 0;
	gr_cas__evict(c, 0);
	c->cap = cap;
}

static bool same_stat(const struct entry *e, const struct stat *st)
{
	return e->is_checked && e->ino == st->st_ino && e->size == (uint64_t)st->st_size &&
	       e->mtime.tv_sec == st->st_mtim.tv_sec && e->mtime.tv_nsec == st->st_mtim.tv_nsec &&
	       e->ctime.tv_sec == st->st_ctim.tv_sec && e->ctime.tv_nsec == st->st_ctim.tv_nsec;
}

void gr_cas__checked(struct gr_cas *c, struct entry *e, const struct stat *st)
{
	c->bytes += (uint64_t)st->st_size - e->size;
	e->size = (uint64_t)st->st_size;
	e->ino = st->st_ino;
	e->mtime = st->st_mtim;
	e->ctime = st->st_ctim;
	e->is_checked = true;
	e->is_gone = false;
}

static int open_raw(struct gr_cas *c, const struct gr_digest *d, struct stat *st)
{
	char name[GR_CAS__NAME];
	int fd;

	gr_cas__name(d, name);
	fd = openat(c->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return gr_err_errno(errno == ELOOP ? EIO : errno);
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(fd);
		return GR_EIO;
	}
	return fd;
}

int gr_cas_open_blob(struct gr_cas *c, const struct gr_digest *d, uint64_t *size)
{
	struct entry *e = find(c, d);
	struct gr_digest got;
	struct stat st;
	int fd = open_raw(c, d, &st), rc;

	if (fd < 0) {
		if (fd == GR_ENOENT && e && !e->is_gone)
			drop(c, e);
		c->misses++;
		return fd;
	}
	if (!e)
		e = gr_cas__add(c, d, (uint64_t)st.st_size);
	if (!same_stat(e, &st)) {
		rc = gr_sha256_fd(fd, &got, NULL);
		if (rc < 0 || !gr_digest_eq(&got, d)) {
			close(fd);
			if (rc < 0)
				return rc;
			c->corrupt++;
			gr_cas_remove(c, d);
			return GR_ECORRUPT;
		}
		if (lseek(fd, 0, SEEK_SET) < 0) {
			close(fd);
			return GR_EIO;
		}
		gr_cas__checked(c, e, &st);
	}
	gr_list_del(&e->lru);
	gr_list_push(&c->lru, &e->lru);
	c->hits++;
	*size = (uint64_t)st.st_size;
	return fd;
}

bool gr_cas_has(struct gr_cas *c, const struct gr_digest *d)
{
	struct entry *e = find(c, d);
	char name[GR_CAS__NAME];
	struct stat st;

	if (e && !e->is_gone)
		return true;
	gr_cas__name(d, name);
	if (fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	e = gr_cas__add(c, d, (uint64_t)st.st_size);   /* another process put it there */
	e->is_gone = false;
	return true;
}

int gr_cas_read(struct gr_cas *c, const struct gr_digest *d, size_t max, struct gr_buf *out)
{
	size_t base = out->n;
	struct gr_digest got;
	uint64_t size;
	int fd = gr_cas_open_blob(c, d, &size), rc;

	if (fd < 0)
		return fd;
	if (size > max) {
		close(fd);
		return GR_ELIMIT;
	}
	rc = gr_file_read_fd(fd, max, out);
	close(fd);
	if (rc >= 0) {
		gr_sha256_of(out->p + base, out->n - base, &got);
		if (gr_digest_eq(&got, d))
			return 0;
		c->corrupt++;
		gr_cas_remove(c, d);
		rc = GR_ECORRUPT;
	}
	out->n = base;
	return rc;
}

static int copy_bytes(struct gr_cas *c, int from, int to, uint64_t size)
{
	uint8_t *chunk;
	int rc = 0;

	if (c->can_reflink) {
		if (ioctl(to, FICLONE, from) == 0)
			return 0;
		c->can_reflink = false;
	}
	chunk = gr_xalloc(size < COPY_BYTES ? size + 1 : COPY_BYTES);
	while (size && rc == 0) {
		ssize_t n = read(from, chunk, size < COPY_BYTES ? size : COPY_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n < 0 ? gr_err_errno(errno) : GR_ECORRUPT;
			break;
		}
		rc = gr_write_all(to, chunk, (size_t)n);
		size -= (uint64_t)n;
	}
	free(chunk);
	return rc;
}

int gr_cas_copy_out(struct gr_cas *c, const struct gr_digest *d, int dirfd, const char *path, unsigned mode)
{
	uint64_t size;
	int to, rc, from = gr_cas_open_blob(c, d, &size);

	if (from < 0)
		return from;
	to = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (to < 0) {
		rc = gr_err_errno(errno);
		close(from);
		return rc;
	}
	rc = copy_bytes(c, from, to, size);
	if (close(to) < 0 && rc == 0)
		rc = gr_err_errno(errno);
	close(from);
	if (rc < 0)
		unlinkat(dirfd, path, 0);
	return rc;
}

void gr_cas_remove(struct gr_cas *c, const struct gr_digest *d)
{
	struct entry *e = find(c, d);
	char name[GR_CAS__NAME];

	gr_cas__name(d, name);
	unlinkat(c->dirfd, name, 0);
	if (e && !e->is_gone)
		drop(c, e);
}

void gr_cas_pin(struct gr_cas *c, const struct gr_digest *d)
{
	struct entry *e = find(c, d);

	if (!e) {
		e = gr_cas__add(c, d, 0);
		e->is_gone = true;
	}
	e->n_pins++;
}

void gr_cas_unpin(struct gr_cas *c, const struct gr_digest *d)
{
	struct entry *e = find(c, d);

	if (!e || !e->n_pins)
		return;
	if (--e->n_pins == 0 && e->is_gone)
		forget(c, e);
}

void gr_cas_stats(const struct gr_cas *c, struct gr_cas_stats *out)
{
	*out = (struct gr_cas_stats){ .n_blobs = c->n_blobs, .bytes = c->bytes, .cap_bytes = c->cap, .hits = c->hits,
				      .misses = c->misses, .evicted = c->evicted, .corrupt = c->corrupt };
}
