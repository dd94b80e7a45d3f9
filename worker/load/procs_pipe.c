/* procs_pipe.c - see procs_pipe.h */
#include "worker/load/procs_pipe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void gr_procs__add(struct gr_buf *b, struct gr_slice frame)
{
	uint8_t head[4] = { (uint8_t)frame.n, (uint8_t)(frame.n >> 8), (uint8_t)(frame.n >> 16), (uint8_t)(frame.n >> 24) };

	gr_buf_add(b, head, 4);
	gr_buf_add(b, frame.p, frame.n);
}

bool gr_procs__put(int fd, struct gr_slice frame, int flags)
{
	struct gr_buf b = { 0 };
	size_t at = 0;

	gr_procs__add(&b, frame);
	while (at < b.n) {
		ssize_t n = send(fd, b.p + at, b.n - at, MSG_NOSIGNAL | (at ? 0 : flags));

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	at -= b.n;
	gr_buf_fini(&b);
	return !at;
}

bool gr_procs__fill(int fd, struct gr_buf *b)
{
	ssize_t n;

	gr_buf_reserve(b, 65536);
	n = recv(fd, b->p + b->n, 65536, MSG_DONTWAIT);
	if (n > 0)
		b->n += (size_t)n;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

long gr_procs__peek(const struct gr_buf *b, size_t at, struct gr_slice *frame)
{
	const uint8_t *p = b->p + at;
	size_t n;

	if (b->n - at < 4)
		return 0;
	n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
	if (n > GR_PROCS_MAX_MESSAGE_BYTES)
		return -1;
	if (b->n - at < 4 + n)
		return 0;
	*frame = gr_slice(p + 4, n);
	return (long)(4 + n);
}

void gr_procs__drop(struct gr_buf *b, size_t n)
{
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}
