/**
 * local - compiles that run on this machine: how many at once, and how many there are
 *
 * A unit that runs here is answered LOCAL and its wrapper becomes the compiler; the same process, so a pidfd says when
 * it ends. That bounds local compiles to the slots even when make was told -j64 for the cluster, and it tells
 * --remote auto how busy this machine is.
 *
 * A wrapper may sit inside another one (a compiler that is a script which calls a compiler): the outer holds a slot
 * while the inner waits for one. Therefore no unit waits for ever: when no local compile has ended for a while, the
 * oldest waiting unit starts beyond the slots.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "client/agent/agent.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

bool gr_local_prefers(const struct gr_agent *a, const struct gr_build *b)
{
	int64_t remote = b->remote >= 0 ? b->remote : a->conf->remote;
	uint32_t n_here = a->n_units[GR_UNIT_LOCAL] + a->n_units[GR_UNIT_SLOT];
	uint32_t n_flight = n_here + a->n_units[GR_UNIT_AWAY] + a->n_units[GR_UNIT_QUEUED] + a->n_units[GR_UNIT_UPLINK];

	return remote == GR_REMOTE_AUTO && n_flight * 2 < (uint64_t)a->conf->local_slots;
}

void gr_local_request(struct gr_unit *u)
{
	gr_unit_move(u, GR_UNIT_SLOT);
	gr_local_ended(u->agent);
}

void gr_local_ended(struct gr_agent *a)
{
	while (!gr_list_is_empty(&a->units[GR_UNIT_SLOT]) &&
	       (a->n_units[GR_UNIT_LOCAL] < (uint64_t)a->conf->local_slots || a->is_ending))
		gr_unit_start_local(GR_CONTAINER(a->units[GR_UNIT_SLOT].next, struct gr_unit, on));
}

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

void gr_local_forget(struct gr_unit *u)
{
	if (u->pid_poll) {
		uv_poll_stop(u->pid_poll);
		u->pid_poll->data = NULL;
		uv_close((uv_handle_t *)u->pid_poll, on_poll_closed);
		u->pid_poll = NULL;
	}
	if (u->pidfd >= 0)
		close(u->pidfd);
	u->pidfd = -1;
}

static void on_exit_seen(uv_poll_t *h, int status, int events)
{
	struct gr_unit *u = h->data;
	struct gr_agent *a;

	if (!u)
		return;
	a = u->agent;
	gr_local_forget(u);
	gr_unit_hung_up(u);
	a->slot_progress_ns = gr_loop_now_ns(a->loop);
	gr_local_ended(a);
}

void gr_local_watch(struct gr_unit *u)
{
	struct gr_agent *a = u->agent;

	if (u->pidfd < 0) {
		gr_unit_hung_up(u);     /* another pid namespace: nothing to watch, nothing to count */
		return;
	}
	GR_NEW(u->pid_poll);
	if (uv_poll_init(gr_loop_uv(a->loop), u->pid_poll, u->pidfd) < 0) {
		free(u->pid_poll);
		u->pid_poll = NULL;
		gr_local_forget(u);
		gr_unit_hung_up(u);
		return;
	}
	u->pid_poll->data = u;
	if (uv_poll_start(u->pid_poll, UV_READABLE, on_exit_seen) < 0) {
		gr_local_forget(u);
		gr_unit_hung_up(u);
	}
}
