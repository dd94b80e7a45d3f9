/* h1.c - answers of HTTP/1.1 on a connection: the parser is lib/load/http1.c, here is what its steps mean to a visit */
#include "worker/load/gen.h"

static bool refuse(struct gr_gen *g, struct gr_conn *c, enum gr_load_fail why)
{
	struct gr_visit *v = c->visit;

	c->visit = NULL;
	gr_conn_close(g, c);
	gr_visit_failed(g, v, why);
	return false;
}

static bool whole(struct gr_gen *g, struct gr_conn *c, bool has_more)
{
	struct gr_visit *v = c->visit;

	/* what comes behind an answer belongs to no request, and what is not yet written is of one already answered */
	gr_conn_free_for_next(g, c, !c->h1.is_close && !has_more && !c->n_out && g->plan->is_keepalive);
	gr_visit_answered(g, v);
	return c->state != GR_CONN_GONE;
}

bool gr_h1_input(struct gr_gen *g, struct gr_conn *c, struct gr_slice in)
{
	bool is_carried = c->carry.n > 0;
	struct gr_slice data = { 0 };
	size_t used;

	if (!c->visit) {                         /* an idle connection says something: a 408, most likely, before it closes */
		gr_conn_close(g, c);
		return false;
	}
	if (is_carried) {
		gr_buf_add(&c->carry, in.p, in.n);
		in = gr_buf_slice(&c->carry);
	}
	for (;;) {
		enum gr_http1_step step = gr_http1_feed(&c->h1, in, &used, &data);

		in.p += used;
		in.n -= used;
		switch (step) {
		case GR_HTTP1_HEAD:
			c->visit->status = c->h1.status;
			if (c->visit->request->wants_headers)
				gr_answer_head(c->visit, c->h1.head);
			break;
		case GR_HTTP1_BODY:
			if (!gr_visit_body(g, c->visit, data))
				return refuse(g, c, GR_LOAD_F_BODY_LIMIT);
			break;
		case GR_HTTP1_DONE:
			return whole(g, c, in.n > 0);
		case GR_HTTP1_MORE:
			if (used && in.n)
				break;
			if (gr_http1_is_in_body(&c->h1) || !in.n)
				gr_buf_fini(&c->carry);
			else if (!is_carried)
				gr_buf_add(&c->carry, in.p, in.n);
			else if (in.p != c->carry.p) {   /* an interim answer lies in front */
				struct gr_buf rest = { 0 };

				gr_buf_add(&rest, in.p, in.n);
				gr_buf_fini(&c->carry);
				c->carry = rest;
			}
			return true;
		case GR_HTTP1_BAD_HEAD:
			return refuse(g, c, GR_LOAD_F_MALFORMED);
		case GR_HTTP1_BAD_CHUNK:
			return refuse(g, c, GR_LOAD_F_BAD_CHUNK);
		case GR_HTTP1_FLOOD:
			return refuse(g, c, GR_LOAD_F_HEADER_FLOOD);
		}
	}
}
