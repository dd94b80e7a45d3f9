/**
 * cas - blobs by SHA-256 in a folder, with a size cap and least-recently-used eviction
 *
 * DIR/ab/cdef... one file a blob, mode 0444 (0555 never: the execute bit belongs to a tree, not to content), written
 * to DIR/tmp/ and renamed. A file found at start-up is not trusted until it was read once (crash may leave a hole):
 * gr_cas_open_blob verifies the first time. Two processes may share a folder. A full disk is GR_ENOSPACE for that
 * call and nothing else. Thread: any one at a time.
 */
#pragma once
#include "lib/base/buf.h"
#include "lib/base/sha256.h"

struct gr_cas;
struct gr_cas_stats { uint64_t n_blobs, bytes, cap_bytes, hits, misses, evicted, corrupt; };

/* Makes the folder, clears its tmp/ of files older than an hour, takes stock. */
int gr_cas_open(const char *dir, uint64_t cap_bytes, struct gr_cas **out, struct gr_err *err) GR_MUST_CHECK;
void gr_cas_close(struct gr_cas **c);
/* From now on; evicts what is over. Who pins blobs opens with UINT64_MAX, pins, and then says what the cap is. */
void gr_cas_set_cap(struct gr_cas *c, uint64_t cap_bytes);
bool gr_cas_has(struct gr_cas *c, const struct gr_digest *d);
/* Whole blob; GR_ECORRUPT when @p does not have digest @d; fine when already there. Evicts to stay under the cap. */
int gr_cas_put(struct gr_cas *c, const struct gr_digest *d, const void *p, size_t n) GR_MUST_CHECK;
/* The same of what nobody has hashed yet: *@out is its digest, with an error too. */
int gr_cas_put_new(struct gr_cas *c, const void *p, size_t n, struct gr_digest *out) GR_MUST_CHECK;
/* Takes file @name of @dirfd, on the same file system, by renaming it; the caller has hashed it and nobody writes it any
 * more. Gone from @dirfd also when the blob was there already. */
int gr_cas_adopt(struct gr_cas *c, const struct gr_digest *d, int dirfd, const char *name) GR_MUST_CHECK;
/* Pieces: begin, add in order, commit (checks size and digest, GR_ECORRUPT) or abort. */
struct gr_cas_put;
int gr_cas_put_begin(struct gr_cas *c, const struct gr_digest *d, uint64_t total, struct gr_cas_put **out) GR_MUST_CHECK;
int gr_cas_put_add(struct gr_cas_put *p, struct gr_slice piece) GR_MUST_CHECK;
int gr_cas_put_commit(struct gr_cas_put **p) GR_MUST_CHECK;
void gr_cas_put_abort(struct gr_cas_put **p);
/* A read-only descriptor, O_CLOEXEC; verified as above (a damaged blob is removed: GR_ECORRUPT). GR_ENOENT. */
int gr_cas_open_blob(struct gr_cas *c, const struct gr_digest *d, uint64_t *size) GR_MUST_CHECK;
/* Appends the blob to @out; GR_ELIMIT above @max. Always verified. */
int gr_cas_read(struct gr_cas *c, const struct gr_digest *d, size_t max, struct gr_buf *out) GR_MUST_CHECK;
/* A private copy at @path (reflink where the file system can, else copied), which must not exist; never a hard link. */
int gr_cas_copy_out(struct gr_cas *c, const struct gr_digest *d, int dirfd, const char *path, unsigned mode) GR_MUST_CHECK;
/* Unlinks the oldest that nobody pinned, @bytes of them or all there are: the disk is needed for something else. */
void gr_cas_shrink(struct gr_cas *c, uint64_t bytes);
void gr_cas_remove(struct gr_cas *c, const struct gr_digest *d);
/* Blobs that must not be evicted while in use: counted. */
void gr_cas_pin(struct gr_cas *c, const struct gr_digest *d);
void gr_cas_unpin(struct gr_cas *c, const struct gr_digest *d);
void gr_cas_stats(const struct gr_cas *c, struct gr_cas_stats *out);
