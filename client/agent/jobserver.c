/**
 * jobserver - make's token pipe, from the side of who made the pipe (docs/decisions/0005)
 *
 * While a unit is away, make may start something else: one token more lies in the pipe. Before the unit is answered
 * one is taken out again, so that what follows a compile in its recipe (objtool, fixdep) is bounded by the local
 * cores. The ends are opened anew through /proc/self/fd, which gives descriptions of our own: O_NONBLOCK on them is
 * not seen by make.
 *
 * A unit that finds no token waits for one; who waited too long is answered and the token is owed: the next that
 * appears and is not waited for is swallowed. So nothing can stand still because of a token.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "client/agent/agent.h"
#include "lib/base/alloc.h"

#define MAX_LENT 4096u

struct gr_jobserver {
	struct gr_agent *agent;
	int rfd, wfd;
	uint32_t n_lent, n_owed;
	char token;
	bool is_watching;
	struct gr_build *build;       /* borrowed while watching; the build frees us */
	uv_poll_t *poll;
};

static int open_again(int fd, int flags)
{
	char path[40];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_CLOEXEC);
}

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

struct gr_jobserver *gr_jobserver_new(struct gr_agent *a, int rfd, int wfd)
{
	struct gr_jobserver *j;
	int r = open_again(rfd, O_RDONLY), w = open_again(wfd, O_WRONLY);

	if (r < 0 || w < 0) {
		if (r >= 0)
			close(r);
		if (w >= 0)
			close(w);
		return NULL;
	}
	GR_NEW(j);
	j->agent = a;
	j->rfd = r;
	j->wfd = w;
	j->token = '+';
	GR_NEW(j->poll);
	if (uv_poll_init(gr_loop_uv(a->loop), j->poll, r) < 0) {
		free(j->poll);
		close(r);
		close(w);
		free(j);
		return NULL;
	}
	j->poll->data = j;
	return j;
}

void gr_jobserver_free(struct gr_jobserver **j)
{
	if (!*j)
		return;
	uv_poll_stop((*j)->poll);
	(*j)->poll->data = NULL;
	uv_close((uv_handle_t *)(*j)->poll, on_poll_closed);
	close((*j)->rfd);
	close((*j)->wfd);
	free(*j);
	*j = NULL;
}

bool gr_jobserver_lend(struct gr_jobserver *j)
{
	const struct gr_cluster *c = gr_uplink_cluster(j->agent);
	uint32_t limit = c->slots < MAX_LENT ? c->slots : MAX_LENT;

	if (j->n_lent >= limit)
		return false;
	if (j->n_owed) {              /* one that was never taken back is out there already */
		j->n_owed--;
		j->n_lent++;
		return true;
	}
	if (write(j->wfd, &j->token, 1) != 1)
		return false;
	j->n_lent++;
	return true;
}

static bool take_one(struct gr_jobserver *j)
{
	return read(j->rfd, &j->token, 1) == 1;
}

bool gr_jobserver_take(struct gr_jobserver *j)
{
	if (!take_one(j))
		return false;
	if (j->n_lent)
		j->n_lent--;
	return true;
}

static void stop_watching(struct gr_jobserver *j)
{
	if (j->is_watching)
		uv_poll_stop(j->poll);
	j->is_watching = false;
}

static struct gr_unit *first_waiting(struct gr_jobserver *j)
{
	GR_LIST_EACH(u, &j->agent->units[GR_UNIT_TOKEN], struct gr_unit, on)
		if (u->build == j->build)
			return u;
	return NULL;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
	struct gr_jobserver *j = h->data;
	struct gr_unit *u;

	if (!j)
		return;
	while ((u = first_waiting(j))) {
		if (!gr_jobserver_take(j))
			return;
		gr_unit_token(u);
	}
	while (j->n_owed && take_one(j))
		j->n_owed--;
	if (!j->n_owed)
		stop_watching(j);
}

static void start_watching(struct gr_jobserver *j)
{
	if (!j->is_watching && uv_poll_start(j->poll, UV_READABLE, on_readable) == 0)
		j->is_watching = true;
}

void gr_jobserver_watch(struct gr_jobserver *j, struct gr_build *b)
{
	j->build = b;
	start_watching(j);
}

void gr_jobserver_owe(struct gr_jobserver *j)
{
	if (j->n_lent)
		j->n_lent--;
	j->n_owed++;
	start_watching(j);
}
