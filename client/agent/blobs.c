/**
 * blobs - the coordinator asks for contents, the agent reads the files anew and sends them in pieces
 *
 * A digest is looked up in the session (which file had this content last), the file is read and hashed again, and
 * only bytes that have the digest are sent; a file that changed meanwhile is answered MISSING, and the units that
 * named it are planned anew when their tasks come back. One file is in memory at a time; what the link does not take
 * now is tried again shortly, so a slow line holds back reading, not the loop.
 */
#include <stdlib.h>
#include <string.h>
#include "client/agent/agent.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define AGAIN_MS 2
#define MAX_TURN_BYTES (4u << 20)      /* sent in one turn of the loop */
#define MAX_WANTED 262144u

struct gr_blobs {
	struct gr_agent *agent;
	struct gr_digest *wanted;      /* a ring of what is still to send, first at i */
	size_t i, n, cap;
	struct gr_buf file;            /* wanted[i], being sent */
	uint64_t offset;
	bool is_open;
	struct gr_timer *again;
};

void gr_blobs_open(struct gr_agent *a)
{
	GR_NEW(a->blobs);
	a->blobs->agent = a;
}

void gr_blobs_forget(struct gr_agent *a)
{
	struct gr_blobs *b = a->blobs;

	if (!b)
		return;
	b->i = b->n = 0;
	b->is_open = false;
	gr_buf_fini(&b->file);
	gr_timer_stop(&b->again);
}

void gr_blobs_close(struct gr_agent *a)
{
	if (!a->blobs)
		return;
	gr_blobs_forget(a);
	free(a->blobs->wanted);
	free(a->blobs);
	a->blobs = NULL;
}

static void send_missing(struct gr_agent *a, const struct gr_digest *d)
{
	struct gr_buf b = { 0 };

	gr_digests_encode(&b, GR_MSG_MISSING, gr_session_id(a->session), d, 1);
	if (gr_uplink_send(a, &b) < 0)
		gr_debug("blobs", "MISSING not sent: the link is down");
	gr_buf_fini(&b);
}

/* Return: 0 with the bytes in b->file; an error when nobody has this content any more. */
static int open_next(struct gr_blobs *b, const struct gr_digest *d)
{
	struct gr_slice path = gr_session_path_of(b->agent->session, d);
	struct gr_digest now;
	char *name;
	int rc;

	if (!path.n)
		return GR_ENOENT;
	name = gr_xstrndup((const char *)path.p, path.n);
	gr_buf_clear(&b->file);
	rc = gr_file_read(name, GR_WIRE_MAX_BLOB_BYTES, &b->file, NULL);
	free(name);
	if (rc < 0)
		return rc;
	gr_sha256_of(b->file.p, b->file.n, &now);
	return gr_digest_eq(&now, d) ? 0 : GR_ECORRUPT;
}

static int send_piece(struct gr_blobs *b, const struct gr_digest *d)
{
	struct gr_agent *a = b->agent;
	size_t left = b->file.n - b->offset, n = left < GR_WIRE_CHUNK_BYTES ? left : GR_WIRE_CHUNK_BYTES;
	struct gr_blob_msg m = { .session = gr_session_id(a->session), .digest = *d, .total = b->file.n, .offset = b->offset,
				 .enc = GR_ENC_RAW, .raw_n = (uint32_t)n, .data = gr_slice(b->file.p + b->offset, n) };
	struct gr_buf packed = { 0 }, frame = { 0 };
	size_t n_frame;
	int rc;

	if (gr_uplink_wants_zlib(a) && n) {
		m.enc = (uint8_t)gr_pack(m.data, &packed);
		m.data = gr_buf_slice(&packed);
	}
	gr_blob_encode(&frame, &m);
	n_frame = frame.n;
	rc = gr_uplink_send(a, &frame);
	if (rc >= 0) {
		struct gr_build *build;
		size_t i = 0;

		a->total.bytes_sent += n_frame;
		/* Files belong to no one unit: the builds that are under way share them. */
		build = gr_map_each(&a->builds, &i);
		if (build)
			build->n.bytes_sent += n_frame;
		b->offset += n;
	}
	gr_buf_fini(&frame);
	gr_buf_fini(&packed);
	return rc;
}

static void pump(void *ctx)
{
	struct gr_blobs *b = ctx;
	size_t n_sent = 0;

	gr_timer_stop(&b->again);
	while (b->n && b->agent->session && n_sent < MAX_TURN_BYTES && !gr_uplink_is_choked(b->agent)) {
		struct gr_digest d = b->wanted[b->i];

		if (!b->is_open) {
			b->offset = 0;
			if (open_next(b, &d) < 0) {
				send_missing(b->agent, &d);
				b->i = (b->i + 1) % b->cap;
				b->n--;
				continue;
			}
			b->is_open = true;
		}
		if (send_piece(b, &d) < 0)
			break;
		n_sent += b->file.n - b->offset < GR_WIRE_CHUNK_BYTES ? 4096 : GR_WIRE_CHUNK_BYTES;
		if (b->offset < b->file.n)
			continue;
		b->is_open = false;
		if (b->file.cap > 8 * GR_WIRE_CHUNK_BYTES)
			gr_buf_fini(&b->file);
		b->i = (b->i + 1) % b->cap;
		b->n--;
	}
	if (b->n)
		b->again = gr_timer_start(b->agent->loop, n_sent ? 0 : AGAIN_MS, 0, pump, b);
}

void gr_blobs_fetch(struct gr_agent *a, const struct gr_digests_msg *m)
{
	struct gr_blobs *b = a->blobs;
	uint32_t k;

	if (!a->session || m->session != gr_session_id(a->session))
		return;
	for (k = 0; k < m->n; k++) {
		if (b->n == b->cap) {
			size_t cap = b->cap ? 2 * b->cap : 256, j;
			struct gr_digest *w;

			if (cap > MAX_WANTED) {
				gr_warn("blobs", "more than %u contents asked for at once", MAX_WANTED);
				break;
			}
			w = gr_xalloc(cap * sizeof(*w));
			for (j = 0; j < b->n; j++)
				w[j] = b->wanted[(b->i + j) % b->cap];
			free(b->wanted);
			b->wanted = w;
			b->i = 0;
			b->cap = cap;
		}
		b->wanted[(b->i + b->n) % b->cap] = gr_digests_at(m, k);
		b->n++;
	}
	pump(b);
}
