/* tail.c - see tail.h. Output is held up to HELD_BYTES for a reader that is slow; what comes meanwhile is left to the store, from which the
 * rest is read when the task is over and the reader has taken what was held. A connection that has nothing to get is suspended. */
#include "coordinator/http/tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "coordinator/batch.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/list.h"

#define MAX_TAILS 64u
#define HELD_BYTES (1u << 20)

struct gr_tails {
	struct gr_coord *c;
	struct gr_list list;
	uint32_t n;
	void (*turn)(void *ctx);
	void *ctx;
};
struct gr_tail {
	struct gr_list link;
	struct gr_tails *all;
	struct gr_follower *follower;       /* NULL: all there will be is in text */
	struct MHD_Connection *conn;
	struct gr_buf text;
	size_t at;
	bool is_asleep, is_cut;
};

struct gr_tails *gr_tails_new(struct gr_coord *c, void (*turn)(void *ctx), void *ctx)
{
	struct gr_tails *t;

	GR_NEW(t);
	t->c = c;
	t->turn = turn;
	t->ctx = ctx;
	gr_list_init(&t->list);
	return t;
}

void gr_tails_free(struct gr_tails **t)
{
	free(*t);
	*t = NULL;
}

static void wake(struct gr_tail *t)
{
	if (!t->is_asleep)
		return;
	t->is_asleep = false;
	MHD_resume_connection(t->conn);
	t->all->turn(t->all->ctx);
}

static int take(void *ctx, struct gr_slice data)
{
	struct gr_tail *t = ctx;

	if (t->text.n - t->at + data.n > HELD_BYTES)
		return GR_EBUSY;
	if (t->at == t->text.n) {
		gr_buf_clear(&t->text);
		t->at = 0;
	}
	gr_buf_add(&t->text, data.p, data.n);
	wake(t);
	return 0;
}

static void end(void *ctx)
{
	struct gr_tail *t = ctx;

	t->follower = NULL;
	wake(t);
}

int gr_tail_new(struct gr_tails *all, uint64_t job, uint32_t task, int stream, uint64_t offset, struct gr_tail **out)
{
	static const struct gr_log_sink sink = { take, end };
	struct gr_tail *t;
	int rc;

	if (all->n >= MAX_TAILS)
		return GR_EBUSY;
	GR_NEW(t);
	rc = gr_batch_log_follow(all->c, job, task, stream, offset, &sink, t, &t->follower);
	if (rc < 0) {
		free(t);
		return rc;
	}
	t->all = all;
	gr_list_init(&t->link);
	gr_list_push(&all->list, &t->link);
	all->n++;
	*out = t;
	return 0;
}

void gr_tail_free(struct gr_tail **tp)
{
	struct gr_tail *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	gr_batch_log_stop(&t->follower);
	gr_list_del(&t->link);
	t->all->n--;
	gr_buf_fini(&t->text);
	free(t);
}

static ssize_t on_read(void *ctx, uint64_t pos, char *out, size_t max)
{
	struct gr_tail *t = ctx;
	size_t n;

	(void)pos;
	if (t->is_cut)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (t->at == t->text.n && t->follower)
		gr_batch_log_more(t->all->c, t->follower);
	n = t->text.n - t->at;
	if (!n && !t->follower)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!n) {
		t->is_asleep = true;
		MHD_suspend_connection(t->conn);
		return 0;
	}
	if (n > max)
		n = max;
	memcpy(out, t->text.p + t->at, n);
	t->at += n;
	return (ssize_t)n;
}

static void on_free(void *ctx)
{
	struct gr_tail *t = ctx;

	gr_tail_free(&t);
}

struct MHD_Response *gr_tail_respond(struct gr_tail **t, struct MHD_Connection *conn)
{
	struct MHD_Response *resp = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, on_read, *t, on_free);

	if (!resp)
		return NULL;
	(*t)->conn = conn;
	*t = NULL;
	return resp;
}

static bool is_reader_gone(const struct gr_tail *t)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(t->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	char byte;
	ssize_t n;

	if (!info)
		return false;
	n = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void gr_tails_ping(struct gr_tails *all)
{
	GR_LIST_EACH(t, &all->list, struct gr_tail, link)
		if (t->is_asleep && is_reader_gone(t)) {
			t->is_cut = true;
			wake(t);
		}
}

void gr_tails_end(struct gr_tails *all)
{
	GR_LIST_EACH(t, &all->list, struct gr_tail, link) {
		gr_batch_log_stop(&t->follower);
		t->is_cut = true;
		wake(t);
	}
}
