/**
 * cas_int - what cas.c and put.c share; not for other modules
 */
#pragma once
#include <sys/stat.h>
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/cas/cas.h"

#define GR_CAS__NAME (GR_DIGEST_HEX + 1)   /* "ab/cdef..." and its NUL */

struct entry {
	struct gr_digest digest;
	uint64_t size;
	struct gr_list lru;            /* front is the oldest */
	ino_t ino;                     /* with size and times: the stat of the content that was checked */
	struct timespec mtime, ctime;
	uint32_t n_pins;
	bool is_checked;
	bool is_gone;                  /* no file: only a place for pins */
};

struct gr_cas {
	int dirfd;
	struct gr_map map;             /* digest -> entry */
	struct gr_list lru;
	uint64_t n_blobs, bytes, cap, hits, misses, evicted, corrupt;
	uint64_t written_since_stock;
	uint64_t n_tmp;                /* for temporary names */
	int64_t now_s;                 /* the folder's clock when it was opened */
	bool can_reflink;
	struct gr_sha256 *hash;        /* for whole puts; made at the first */
};

void gr_cas__name(const struct gr_digest *d, char out[GR_CAS__NAME]);
/* The entry, newest of all, with @size counted. */
struct entry *gr_cas__add(struct gr_cas *c, const struct gr_digest *d, uint64_t size);
/* Unlinks the oldest until @more bytes fit under the cap. */
void gr_cas__evict(struct gr_cas *c, uint64_t more);
void gr_cas__checked(struct gr_cas *c, struct entry *e, const struct stat *st);
