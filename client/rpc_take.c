/* rpc_take.c - files that come from the coordinator, many beside each other; see rpc.h
 *
 * Pieces of different files come mixed, those of one in order. A content that is wanted several times is asked for once and each gets its
 * pieces, as the coordinator would send it as often as it is asked for and nothing says which piece answers which question. Who wants it
 * when part of it has come waits for its end.
 */
#include "client/rpc_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

struct gr_rpc_file {
	struct gr_rpc *r;
	struct gr_list link;                    /* of r->files until it is over or dropped */
	uint64_t job, at;
	struct gr_digest digest;
	struct gr_sha256 *hash;
	int fd, rc;
	bool is_asked, is_over;
	struct gr_err err;
};

static void end(struct gr_rpc_file *f, int rc)
{
	f->rc = rc;
	f->is_over = true;
	gr_list_del(&f->link);
	if (f->r->file_awaited == f)
		gr_loop_stop(f->r->loop);
}

/* One that is asked for and has the same content; NULL none. */
static const struct gr_rpc_file *twin_of(const struct gr_rpc *r, const struct gr_rpc_file *f)
{
	GR_LIST_EACH(x, &r->files, struct gr_rpc_file, link)
		if (x != f && x->is_asked && gr_digest_eq(&x->digest, &f->digest))
			return x;
	return NULL;
}

void gr_rpc__files_up(struct gr_rpc *r)
{
	if (!gr_link_is_up(r->link))
		return;
	GR_LIST_EACH(f, &r->files, struct gr_rpc_file, link) {
		const struct gr_rpc_file *twin = f->is_asked ? NULL : twin_of(r, f);
		struct gr_buf b = { 0 };

		if (f->is_asked || (twin && twin->at))
			continue;
		if (twin) {
			f->is_asked = true;
			continue;
		}
		gr_digests_encode(&b, GR_MSG_NEED, f->job, &f->digest, 1);
		f->is_asked = gr_link_send(r->link, &b) >= 0;
		gr_buf_fini(&b);
	}
}

static void begin_anew(struct gr_rpc_file *f)
{
	struct gr_digest none;

	if (!f->at)
		return;
	gr_sha256_end(f->hash, &none);
	f->at = 0;
	if (lseek(f->fd, 0, SEEK_SET) < 0 || ftruncate(f->fd, 0) < 0)
		f->rc = gr_err_set(&f->err, gr_err_errno(errno), "cannot write: %s", strerror(errno));
}

void gr_rpc__files_down(struct gr_rpc *r, int code)
{
	GR_LIST_EACH_SAFE(f, &r->files, struct gr_rpc_file, link) {
		f->is_asked = false;
		begin_anew(f);
		if (f->rc < 0 || gr_rpc__is_final(code))
			end(f, f->rc < 0 ? f->rc : gr_err_set(&f->err, code, "%s", r->why));
	}
}

static void take(struct gr_rpc_file *f, const struct gr_blob_msg *m, const struct gr_buf *raw)
{
	struct gr_digest got;

	gr_sha256_add(f->hash, raw->p, raw->n);
	f->at += raw->n;
	if (gr_write_all(f->fd, raw->p, raw->n) < 0) {
		end(f, gr_err_set(&f->err, gr_err_errno(errno), "cannot write: %s", strerror(errno)));
	} else if (f->at == m->total) {
		gr_sha256_end(f->hash, &got);
		end(f, gr_digest_eq(&got, &f->digest) ? 0 : gr_err_set(&f->err, GR_ECORRUPT, "arrived damaged"));
	}
}

int gr_rpc__file_piece(struct gr_rpc *r, struct gr_slice body)
{
	struct gr_buf raw = { 0 };
	struct gr_blob_msg m;
	bool is_over = false;
	int rc = gr_blob_decode(body, &m);

	if (rc >= 0)
		rc = gr_unpack(m.data, m.enc, m.raw_n, GR_WIRE_CHUNK_BYTES, &raw);
	if (rc >= 0)
		GR_LIST_EACH_SAFE(f, &r->files, struct gr_rpc_file, link) {
			/* one that is further, or not there yet, is of an earlier question that was given up */
			if (!f->is_asked || !gr_digest_eq(&m.digest, &f->digest) || m.offset != f->at)
				continue;
			take(f, &m, &raw);
			is_over |= f->is_over;
		}
	gr_buf_fini(&raw);
	if (is_over)
		gr_rpc__files_up(r);
	return rc;
}

int gr_rpc__file_missing(struct gr_rpc *r, struct gr_slice body)
{
	struct gr_digests_msg m;
	int rc = gr_digests_decode(body, &m);

	for (uint32_t i = 0; rc >= 0 && i < m.n; i++) {
		struct gr_digest d = gr_digests_at(&m, i);

		GR_LIST_EACH_SAFE(f, &r->files, struct gr_rpc_file, link)
			if (f->is_asked && gr_digest_eq(&d, &f->digest))
				end(f, gr_err_set(&f->err, GR_ENOENT, "the coordinator does not have it any more"));
	}
	gr_rpc__files_up(r);
	return rc;
}

struct gr_rpc_file *gr_rpc_file_ask(struct gr_rpc *r, uint64_t job, const struct gr_digest *digest, int fd)
{
	struct gr_rpc_file *f;

	GR_NEW(f);
	f->r = r;
	f->job = job;
	f->digest = *digest;
	f->fd = fd;
	f->hash = gr_sha256_new();
	gr_list_push(&r->files, &f->link);
	gr_rpc__files_up(r);
	return f;
}

void gr_rpc_file_drop(struct gr_rpc_file **fp)
{
	struct gr_rpc_file *f = *fp;
	struct gr_rpc *r;

	*fp = NULL;
	if (!f)
		return;
	r = f->r;
	gr_list_del(&f->link);
	gr_sha256_free(&f->hash);
	free(f);
	gr_rpc__files_up(r);                    /* whoever waited for its end */
}

int gr_rpc_file_wait(struct gr_rpc *r, struct gr_rpc_file **fp, struct gr_err *err)
{
	struct gr_rpc_file *f = *fp;
	int rc = 0;

	r->file_awaited = f;
	while (!f->is_over && !r->signum)
		gr_loop_run(r->loop);
	r->file_awaited = NULL;
	if (!f->is_over)
		rc = gr_err_set(err, GR_EGONE, "interrupted");
	else if (f->rc < 0)
		rc = gr_err_set(err, f->rc, "%s", f->err.text);
	gr_rpc_file_drop(fp);
	return rc;
}

int gr_rpc_download(struct gr_rpc *r, uint64_t job, const struct gr_digest *digest, int fd, struct gr_err *err)
{
	struct gr_rpc_file *f = gr_rpc_file_ask(r, job, digest, fd);

	return gr_rpc_file_wait(r, &f, err);
}
