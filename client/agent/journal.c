/**
 * journal - an append-only file of checked records
 *
 * One write a record; the check is gr_hash64 over the bytes, which finds torn writes and not attackers: the folder is
 * the user's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "client/agent/journal.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/map.h"

#define MAX_FILE_BYTES (512u << 20)
#define MAX_RECORD_BYTES (4u << 20)
#define HEAD_BYTES 8u

struct gr_journal {
	int fd;
	uint64_t n_bytes;
	struct gr_buf record;
};

static uint32_t check_of(const void *p, size_t n)
{
	return (uint32_t)gr_hash64(p, n, 0x6a6f75726e616cull);
}

int gr_journal_open(const char *path, void (*each)(void *ctx, struct gr_slice record), void *ctx, struct gr_journal **out,
		    struct gr_err *err)
{
	struct gr_journal *j;
	struct gr_buf all = { 0 };
	size_t at = 0;
	int rc, fd;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return gr_err_set(err, GR_EBUSY, "%s: another agent uses it", path);
	}
	rc = gr_file_read_fd(fd, MAX_FILE_BYTES, &all);
	if (rc < 0 && rc != GR_ELIMIT) {
		close(fd);
		return gr_err_set(err, rc, "%s: cannot be read", path);
	}
	while (rc >= 0 && all.n - at >= HEAD_BYTES) {
		uint32_t head[2];

		memcpy(head, all.p + at, sizeof(head));
		if (head[0] > MAX_RECORD_BYTES || head[0] > all.n - at - HEAD_BYTES || check_of(all.p + at + HEAD_BYTES, head[0]) != head[1])
			break;
		each(ctx, gr_slice(all.p + at + HEAD_BYTES, head[0]));
		at += HEAD_BYTES + head[0];
	}
	gr_buf_fini(&all);
	if (ftruncate(fd, (off_t)at) < 0 || lseek(fd, (off_t)at, SEEK_SET) < 0) {
		rc = gr_err_set(err, gr_err_errno(errno), "%s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	GR_NEW(j);
	j->fd = fd;
	j->n_bytes = at;
	*out = j;
	return 0;
}

void gr_journal_close(struct gr_journal **j)
{
	if (!*j)
		return;
	close((*j)->fd);
	gr_buf_fini(&(*j)->record);
	free(*j);
	*j = NULL;
}

int gr_journal_add(struct gr_journal *j, struct gr_slice record)
{
	uint32_t head[2] = { (uint32_t)record.n, check_of(record.p, record.n) };
	int rc;

	if (record.n > MAX_RECORD_BYTES || j->n_bytes + record.n + HEAD_BYTES > MAX_FILE_BYTES)
		return GR_ELIMIT;
	gr_buf_clear(&j->record);
	gr_buf_add(&j->record, head, sizeof(head));
	gr_buf_add(&j->record, record.p, record.n);
	rc = gr_write_all(j->fd, j->record.p, j->record.n);
	if (rc < 0) {
		/* Half a record would hide all behind it. */
		if (ftruncate(j->fd, (off_t)j->n_bytes) < 0 || lseek(j->fd, (off_t)j->n_bytes, SEEK_SET) < 0)
			j->n_bytes = MAX_FILE_BYTES;
		return rc;
	}
	j->n_bytes += j->record.n;
	return 0;
}

uint64_t gr_journal_bytes(const struct gr_journal *j) { return j->n_bytes; }

int gr_journal_reset(struct gr_journal *j)
{
	if (ftruncate(j->fd, 0) < 0 || lseek(j->fd, 0, SEEK_SET) < 0)
		return gr_err_errno(errno);
	j->n_bytes = 0;
	return 0;
}
