/* outbox.c - see outbox.h; one frame alone goes as it is, without a BUNDLE around it */
#include "lib/net/outbox.h"

#include "lib/wire/msg.h"

#define FIT_BYTES 2048u                   /* longer ones gain nothing */

bool gr_outbox_fits(const struct gr_buf *frame) { return frame->n <= FIT_BYTES; }

int gr_outbox_add(struct gr_outbox *o, struct gr_sock *s, struct gr_slice id, struct gr_gate *gate, struct gr_buf *frame)
{
	int rc = o->bundle.n + frame->n > GR_WIRE_MAX_BUNDLE_BYTES ? gr_outbox_send(o, s, id, gate) : 0;

	if (rc < 0)
		return rc;
	if (!o->n) {
		gr_buf_clear(&o->bundle);
		gr_frame_begin(&o->bundle, GR_MSG_BUNDLE);
	}
	gr_buf_add(&o->bundle, frame->p, frame->n);
	o->n++;
	gr_buf_fini(frame);
	return 0;
}

int gr_outbox_send(struct gr_outbox *o, struct gr_sock *s, struct gr_slice id, struct gr_gate *gate)
{
	struct gr_buf one = { 0 };
	int rc;

	if (!o->n)
		return 0;
	if (o->n == 1) {
		gr_buf_add(&one, o->bundle.p + GR_WIRE_HEADER_BYTES, o->bundle.n - GR_WIRE_HEADER_BYTES);
		rc = gr_sock_send(s, id, gate, &one);
		gr_buf_fini(&one);
	} else {
		gr_frame_end(&o->bundle, 0);
		rc = gr_sock_send(s, id, gate, &o->bundle);
	}
	if (rc == 0)
		o->n = 0;
	return rc;
}

void gr_outbox_fini(struct gr_outbox *o)
{
	gr_buf_fini(&o->bundle);
	o->n = 0;
}
