/*
 * put.c - writing blobs: a temporary name, the digest checked on the way, one rename
 *
 * A whole blob is hashed before a byte is written; pieces are hashed as they come and the file only gets its name when
 * size and digest are right. A crash leaves at most a file in tmp/. When the disk is full the oldest blobs nobody
 * pinned make room once, then the call fails with GR_ENOSPACE and leaves nothing behind.
 */
#include "lib/cas/cas_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/file.h"

struct gr_cas_put {
	struct gr_cas *c;
	struct gr_digest digest;
	struct gr_sha256 *hash;
	uint64_t total, n;
	int fd, rc;
	char tmp[64];
};

static int open_tmp(struct gr_cas *c, char tmp[64])
{
	int fd;

	do {
		snprintf(tmp, 64, "tmp/%d-%llu", (int)getpid(), (unsigned long long)c->n_tmp++);
		fd = openat(c->dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	} while (fd < 0 && errno == EEXIST);
	return fd < 0 ? gr_err_errno(errno) : fd;
}

/* Gives the written file @tmp in @from its name and enters it as checked. */
static int adopt(struct gr_cas *c, const struct gr_digest *d, int fd, int from, const char *tmp)
{
	char name[GR_CAS__NAME];
	struct stat st;
	int rc = 0;

	gr_cas__name(d, name);
	if (renameat(from, tmp, c->dirfd, name) < 0) {
		name[2] = 0;
		if (errno == ENOENT && (mkdirat(c->dirfd, name, 0700) == 0 || errno == EEXIST)) {
			name[2] = '/';
			rc = renameat(from, tmp, c->dirfd, name) < 0 ? gr_err_errno(errno) : 0;
		} else {
			rc = gr_err_errno(errno);
		}
	}
	if (rc == 0 && fstat(fd, &st) < 0)
		rc = gr_err_errno(errno);
	if (rc < 0)
		return rc;
	gr_cas__checked(c, gr_cas__add(c, d, (uint64_t)st.st_size), &st);
	c->written_since_stock += (uint64_t)st.st_size;
	return 0;
}

static int write_room(struct gr_cas *c, int fd, struct gr_slice s)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	int rc = gr_write_all(fd, s.p, s.n);
	uint64_t cap = c->cap;

	if (rc != GR_ENOSPACE || c->bytes == 0 || at < 0)
		return rc;
	c->cap = c->bytes > 2 * s.n + (1u << 20) ? c->bytes - 2 * s.n - (1u << 20) : 0;
	gr_cas__evict(c, 0);
	c->cap = cap;
	if (lseek(fd, at, SEEK_SET) < 0)
		return GR_EIO;
	return gr_write_all(fd, s.p, s.n);
}

static void hash(struct gr_cas *c, const void *p, size_t n, struct gr_digest *out)
{
	if (!c->hash)
		c->hash = gr_sha256_new();
	gr_sha256_add(c->hash, p, n);
	gr_sha256_end(c->hash, out);
}

/* Whose digest is known to be @d. */
static int put(struct gr_cas *c, const struct gr_digest *d, const void *p, size_t n)
{
	char tmp[64];
	int fd, rc;

	if (gr_cas_has(c, d))
		return 0;
	gr_cas__evict(c, n);
	fd = open_tmp(c, tmp);
	if (fd < 0)
		return fd;
	rc = write_room(c, fd, gr_slice(p, n));
	if (rc >= 0)
		rc = adopt(c, d, fd, c->dirfd, tmp);
	close(fd);
	if (rc < 0)
		unlinkat(c->dirfd, tmp, 0);
	return rc;
}

int gr_cas_put(struct gr_cas *c, const struct gr_digest *d, const void *p, size_t n)
{
	struct gr_digest got;

	hash(c, p, n, &got);
	return gr_digest_eq(&got, d) ? put(c, d, p, n) : GR_ECORRUPT;
}

int gr_cas_put_new(struct gr_cas *c, const void *p, size_t n, struct gr_digest *out)
{
	hash(c, p, n, out);
	return put(c, out, p, n);
}

int gr_cas_adopt(struct gr_cas *c, const struct gr_digest *d, int dirfd, const char *name)
{
	int fd, rc = 0;
	struct stat st;

	if (gr_cas_has(c, d))
		return unlinkat(dirfd, name, 0) < 0 ? gr_err_errno(errno) : 0;
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return gr_err_errno(errno);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = GR_EIO;
	else if ((uint64_t)st.st_size > c->cap)
		rc = GR_ENOSPACE;
	else if (fchmod(fd, 0444) < 0)
		rc = gr_err_errno(errno);
	if (rc == 0) {
		gr_cas__evict(c, (uint64_t)st.st_size);
		rc = adopt(c, d, fd, dirfd, name);
	}
	close(fd);
	return rc;
}

int gr_cas_put_begin(struct gr_cas *c, const struct gr_digest *d, uint64_t total, struct gr_cas_put **out)
{
	struct gr_cas_put *p;
	char tmp[64];
	int fd;

	if (total > c->cap)
		return GR_ENOSPACE;
	gr_cas__evict(c, total);
	fd = open_tmp(c, tmp);
	if (fd < 0)
		return fd;
	GR_NEW(p);
	p->c = c;
	p->digest = *d;
	p->hash = gr_sha256_new();
	p->total = total;
	p->fd = fd;
	memcpy(p->tmp, tmp, sizeof(tmp));
	*out = p;
	return 0;
}

int gr_cas_put_add(struct gr_cas_put *p, struct gr_slice piece)
{
	if (p->rc < 0)
		return p->rc;
	if (piece.n > p->total - p->n)
		return p->rc = GR_ECORRUPT;
	p->rc = write_room(p->c, p->fd, piece);
	if (p->rc < 0)
		return p->rc;
	gr_sha256_add(p->hash, piece.p, piece.n);
	p->n += piece.n;
	return 0;
}

int gr_cas_put_commit(struct gr_cas_put **pp)
{
	struct gr_cas_put *p = *pp;
	struct gr_digest got;
	int rc = p->rc;

	if (rc >= 0) {
		gr_sha256_end(p->hash, &got);
		if (p->n != p->total || !gr_digest_eq(&got, &p->digest))
			rc = GR_ECORRUPT;
	}
	if (rc >= 0)
		rc = adopt(p->c, &p->digest, p->fd, p->c->dirfd, p->tmp);
	if (rc >= 0)
		p->tmp[0] = 0;
	gr_cas_put_abort(pp);
	return rc < 0 ? rc : 0;
}

void gr_cas_put_abort(struct gr_cas_put **pp)
{
	struct gr_cas_put *p = *pp;

	if (!p)
		return;
	if (p->tmp[0])
		unlinkat(p->c->dirfd, p->tmp, 0);
	close(p->fd);
	gr_sha256_free(&p->hash);
	free(p);
	*pp = NULL;
}
