/*
 * runner_ahead.c - commands that wait in the runner, and events that wait for company
 *
 * The end of a short command would cost the worker a wake-up and the next one's start the runner another, each with a switch
 * of processes: more than the commands' own share of both. So the worker sends some ahead, the runner goes from one to the
 * next by itself, and while others wait it keeps what there is to tell for a moment and tells it in one call.
 */
#include "worker/sandbox/runner_ahead.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/base/alloc.h"

#define MAX_HELD 32u

bool gr_sb_ahead_push(struct sb_ahead *a, const char *p, size_t n)
{
	if (a->n == GR_LEN(a->packets))
		return false;
	a->packets[a->n++] = (struct sb_packet){ gr_xmemdup(p, n), n };
	return true;
}

struct sb_packet gr_sb_ahead_pop(struct sb_ahead *a)
{
	struct sb_packet first = { 0 };

	if (!a->n)
		return first;
	first = a->packets[0];
	memmove(a->packets, a->packets + 1, --a->n * sizeof(a->packets[0]));
	return first;
}

void gr_sb_post_flush(struct sb_post *p)
{
	struct iovec iov[MAX_HELD];
	struct mmsghdr m[MAX_HELD] = { 0 };
	uint32_t n = p->n;
	size_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct gr_runner_event ev;

		memcpy(&ev, p->held.p + at, sizeof(ev));
		iov[i] = (struct iovec){ p->held.p + at, sizeof(ev) + ev.n_data };
		m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		at += iov[i].iov_len;
	}
	for (uint32_t i = 0; i < n;) {
		int rc = sendmmsg(p->ctl, m + i, n - i, MSG_NOSIGNAL);

		if (rc > 0) {
			i += (uint32_t)rc;
		} else if (errno == EAGAIN) {
			struct pollfd pf = { p->ctl, POLLOUT, 0 };

			poll(&pf, 1, -1);
		} else if (errno != EINTR) {
			break;                 /* the worker is gone, as the next read says */
		}
	}
	gr_buf_clear(&p->held);
	p->n = 0;
}

void gr_sb_post_add(struct sb_post *p, const struct gr_runner_event *ev, const void *data, uint64_t now_ns)
{
	if (p->n == MAX_HELD)
		gr_sb_post_flush(p);
	if (!p->n++)
		p->since_ns = now_ns;
	gr_buf_add(&p->held, ev, sizeof(*ev));
	if (ev->n_data)
		gr_buf_add(&p->held, data, ev->n_data);
}
