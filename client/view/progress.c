/* progress.c - see progress.h. Piping make's output through us would keep lines apart too, but then the compilers would
 * see no terminal and print other bytes than in a plain build. */
#include "client/view/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

#define PLAIN_EVERY_MS 10000

struct gr_progress {
	int fd;
	bool is_tty, is_set;
	struct winsize size;
	uint64_t last_ms;
};

struct gr_progress *gr_progress_new(int fd, int other_fd)
{
	const char *term = getenv("TERM");
	struct gr_progress *v;

	GR_NEW(v);
	v->fd = fd;
	v->is_tty = isatty(fd) && isatty(other_fd) && term && *term && strcmp(term, "dumb");
	return v;
}

static void put(const struct gr_progress *v, struct gr_buf *b)
{
	if (gr_write_all(v->fd, b->p, b->n) < 0)
		b->n = 0;   /* a closed terminal: the build goes on without a line */
	gr_buf_fini(b);
}

/* The scrolling region is all rows but the last; a newline first, so that the last row is free. */
static void set_region(struct gr_progress *v, const struct winsize *size)
{
	struct gr_buf b = { 0 };

	v->size = *size;
	v->is_set = true;
	gr_buf_printf(&b, "\n\0337\033[1;%dr\0338\033[1A", size->ws_row - 1);
	put(v, &b);
}

static void text_of(struct gr_buf *b, const struct gr_control_progress *p, uint64_t elapsed_ms)
{
	char bytes[24], secs[24];

	gr_view_seconds(elapsed_ms, secs);
	if (!p) {
		gr_buf_printf(b, "griddle: %s, the agent is gone: compiling here", secs);
		return;
	}
	gr_buf_printf(b, "griddle: %s, %" PRIu64 " units: %" PRIu64 " remote, %" PRIu64 " cached, %" PRIu64 " local; %" PRIu64 " away, ",
		      secs, p->remote + p->cached + p->local, p->remote, p->cached, p->local, p->in_flight);
	if (p->is_connected)
		gr_buf_printf(b, "%u worker%s, %u slots, ", p->workers, p->workers == 1 ? "" : "s", p->slots);
	else
		gr_buf_add_str(b, "coordinator not connected, ");
	gr_buf_printf(b, "%s sent", gr_view_bytes(p->bytes_sent, bytes));
}

void gr_progress_update(struct gr_progress *v, const struct gr_control_progress *p, uint64_t elapsed_ms)
{
	struct gr_buf b = { 0 }, line = { 0 };
	struct winsize size;

	if (!v->is_tty) {
		if (elapsed_ms < v->last_ms + PLAIN_EVERY_MS)
			return;
		v->last_ms = elapsed_ms;
		text_of(&line, p, elapsed_ms);
		gr_buf_add_byte(&line, '\n');
		put(v, &line);
		return;
	}
	if (ioctl(v->fd, TIOCGWINSZ, &size) < 0 || size.ws_row < 4 || size.ws_col < 20)
		return;
	if (!v->is_set || size.ws_row != v->size.ws_row || size.ws_col != v->size.ws_col)
		set_region(v, &size);
	text_of(&line, p, elapsed_ms);
	gr_buf_printf(&b, "\0337\033[%d;1H\033[2K%.*s\0338", size.ws_row, size.ws_col - 1, gr_buf_str(&line));
	gr_buf_fini(&line);
	put(v, &b);
}

void gr_progress_free(struct gr_progress **v)
{
	struct gr_buf b = { 0 };

	if (!*v)
		return;
	if ((*v)->is_set) {
		gr_buf_printf(&b, "\0337\033[r\033[%d;1H\033[2K\0338", (*v)->size.ws_row);
		put(*v, &b);
	}
	free(*v);
	*v = NULL;
}
