/* replay.c - reads a decision log and makes its calls again. What those calls write to a log of their own is compared with
 * the original as it comes; decisions stand in the log as what a call wrote, so they are not acted on here. */
#include "lib/place/replay.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/place/place_int.h"

#define MAX_NUMBERS 256u
#define MAX_BYTES 4096u

struct record { uint32_t op, n, n_bytes; uint64_t v[MAX_NUMBERS]; const uint8_t *bytes; };
struct replay {
	const uint8_t *log;
	size_t n, at;                         /* at: what was compared already */
	struct gr_place *p;
	struct gr_place_log sink;
	struct gr_place_replay *out;
	struct gr_place_decision *d;
	uint32_t cap_d;
	void (*on_decision)(void *ctx, uint64_t now_ns, const struct gr_place_decision *d);
	void *ctx;
};

static void compare(void *ctx, const void *bytes, size_t n)
{
	struct replay *r = ctx;
	size_t most = r->n - r->at < n ? r->n - r->at : n;

	if (r->out->is_same && memcmp(r->log + r->at, bytes, most)) {
		size_t i = 0;

		while (r->log[r->at + i] == ((const uint8_t *)bytes)[i])
			i++;
		r->out->is_same = false;
		r->out->differs_at = r->at + i;
	}
	r->at += most;
}

static bool number(const uint8_t **b, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (uint32_t shift = 0; *b < end && shift < 64; shift += 7) {
		uint8_t c = *(*b)++;

		*v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80)
			return true;
	}
	return false;
}

/* Return: 1, 0 (the log ends before the record does), GR_EPROTO. */
static int read_record(const uint8_t **b, const uint8_t *end, struct record *rec)
{
	uint64_t op, n, n_bytes;

	if (!number(b, end, &op) || !number(b, end, &n))
		return *b == end ? 0 : GR_EPROTO;
	if (!op || op >= OP_N || n > MAX_NUMBERS)
		return GR_EPROTO;
	memset(rec->v, 0, sizeof(rec->v));
	for (uint32_t i = 0; i < n; i++)
		if (!number(b, end, &rec->v[i]))
			return *b == end ? 0 : GR_EPROTO;
	if (!number(b, end, &n_bytes))
		return *b == end ? 0 : GR_EPROTO;
	if (n_bytes > MAX_BYTES)
		return GR_EPROTO;
	if (n_bytes > (size_t)(end - *b))
		return 0;
	rec->op = (uint32_t)op;
	rec->n = (uint32_t)n;
	rec->n_bytes = (uint32_t)n_bytes;
	rec->bytes = *b;
	return 1;
}

static int do_new(struct replay *r, const uint64_t *v)
{
	struct gr_place_config c = {
		.seed = v[1], .n_sample = (uint32_t)v[2], .max_credits = (uint32_t)v[3], .fast_fails = (uint32_t)v[4], .fast_fail_ns = v[5],
		.quarantine_ns = v[6], .reserve_after_ns = v[7], .min_run_ns = v[8], .copy_permille = (uint32_t)v[9],
		.bandwidth_kib_per_ms = (uint32_t)v[10], .acts = (uint32_t)v[11], .is_node_blind = v[12], .is_fair_preempt = v[13],
		.log = &r->sink,
	};

	if (v[0] != LOG_VERSION)
		return GR_EVERSION;
	if (r->p)
		return GR_EPROTO;
	r->out->seed = v[1];
	r->p = gr_place_new(&c);
	return 0;
}

static int do_class(struct gr_place *p, const uint64_t *v)
{
	struct gr_place_class c;
	uint32_t n = 1;
	uint64_t by;

	memset(&c, 0, sizeof(c));
	for (int i = 0; i < GR_PLACE_N_RES; i++)
		c.need.v[i] = (uint32_t)v[n++];
	c.env = (uint32_t)v[n++];
	c.zone = (uint32_t)v[n++];
	for (uint32_t k = 0; k < GR_PLACE_MAX_TERMS; k++) {
		c.term[k].op = (uint8_t)v[n++];
		c.term[k].n = (uint8_t)v[n++];
		c.term[k].key = (uint32_t)v[n++];
		for (uint32_t i = 0; i < GR_PLACE_MAX_TERM_VALUES; i++)
			c.term[k].label[i] = (uint32_t)v[n++];
	}
	for (uint32_t k = 0; k < GR_PLACE_MAX_PREFER; k++) {
		c.prefer[k].label = (uint32_t)v[n++];
		c.prefer[k].permille = (int32_t)(uint32_t)v[n++] - 1000;
	}
	by = v[n++];
	c.spread_by = (uint8_t)by;
	c.near_by = (uint8_t)(by >> 8);
	c.is_spread_soft = by >> 16 & 1;
	c.spread_max = (uint32_t)v[n++];
	c.spread_ms = (uint32_t)v[n++];
	c.near_ms = (uint32_t)v[n++];
	c.left_ms = (uint32_t)v[n++];
	return gr_place_class(p, &c);
}

static int do_up(struct gr_place *p, const struct record *rec)
{
	const uint64_t *v = rec->v;
	uint32_t envs[GR_PLACE_MAX_WORKER_ENVS], labels[GR_PLACE_MAX_WORKER_LABELS], n = 3;
	struct gr_place_worker w = { .tag = v[2], .envs = envs, .labels = labels };

	for (int r = 0; r < GR_PLACE_N_RES; r++)
		w.cap.v[r] = (uint32_t)v[n++];
	w.slots = (uint32_t)v[n++];
	w.prefetch = (uint32_t)v[n++];
	w.node = (uint32_t)v[n++];
	w.node_cpu_mcpu = (uint32_t)v[n++];
	w.zone = (uint32_t)v[n++];
	w.n_envs = (uint32_t)v[n++];
	if (w.n_envs > GR_PLACE_MAX_WORKER_ENVS)
		return GR_EPROTO;
	for (uint32_t i = 0; i < w.n_envs; i++)
		envs[i] = (uint32_t)v[n++];
	w.n_labels = (uint32_t)v[n++];
	if (w.n_labels > GR_PLACE_MAX_WORKER_LABELS)
		return GR_EPROTO;
	for (uint32_t i = 0; i < w.n_labels; i++)
		labels[i] = (uint32_t)v[n++];
	return gr_place_worker_up(p, v[0], &w);
}

static int do_ready(struct gr_place *p, const struct record *rec)
{
	const uint64_t *v = rec->v;
	struct gr_place_task t = {
		.tag = v[1], .owner = (uint32_t)v[2], .class = (uint32_t)v[3], .first = (uint32_t)v[4], .count = (uint32_t)v[5],
		.work_ms = (uint32_t)v[6], .is_gang = v[7], .family = v[8], .input_bytes = v[9], .input_set = v[10],
	};
	uint32_t n = 12;
	int64_t rc;

	if (v[11] > GR_PLACE_MAX_EXCLUDES)
		return GR_EPROTO;
	t.n_exclude = (uint8_t)v[11];
	for (uint32_t i = 0; i < t.n_exclude; i++)
		t.exclude[i] = (uint32_t)v[n++];
	if (v[n] > GR_PLACE_MAX_EXCLUDES)
		return GR_EPROTO;
	t.n_exclude_node = (uint8_t)v[n++];
	for (uint32_t i = 0; i < t.n_exclude_node; i++)
		t.exclude_node[i] = (uint32_t)v[n++];
	rc = gr_place_ready(p, v[0], &t);
	return rc < 0 ? (int)rc : 0;
}

static int do_next(struct replay *r, uint64_t now_ns, uint64_t max)
{
	int n;

	if (max > 1u << 14)
		return GR_EPROTO;
	GR_GROW(r->d, r->cap_d, max);
	n = gr_place_next(r->p, now_ns, r->d, (uint32_t)max);
	for (int i = 0; i < n && r->on_decision; i++)
		r->on_decision(r->ctx, now_ns, &r->d[i]);
	r->out->n_decisions += n > 0 ? (uint64_t)n : 0;
	return n;
}

static int do_label(struct gr_place *p, const struct record *rec)
{
	char text[256];
	uint32_t n_key = (uint32_t)rec->v[1];

	if (rec->n_bytes >= sizeof(text) || n_key > rec->n_bytes)
		return GR_EPROTO;
	memcpy(text, rec->bytes, rec->n_bytes);
	text[rec->n_bytes] = 0;
	if (rec->op == OP_KEY) {
		text[n_key] = 0;
		return gr_place_label_key(p, text);
	}
	return strlen(text) == n_key && n_key < rec->n_bytes ? gr_place_label(p, text, text + n_key + 1) : GR_EPROTO;
}

static int do_tenant(struct gr_place *p, const struct record *rec)
{
	struct gr_place_tenant t = { .weight = (uint32_t)rec->v[1] };

	for (int r = 0; r < GR_PLACE_N_RES; r++)
		t.quota.v[r] = (uint32_t)rec->v[2 + r];
	return rec->op == OP_TENANT ? gr_place_tenant_add(p, &t) : gr_place_tenant_set(p, (uint32_t)rec->v[0], &t);
}

static int do_names(struct replay *r, const struct record *rec)
{
	struct gr_digest d;
	char name[256];

	if (rec->op == OP_ENV) {
		if (rec->n_bytes != sizeof(d.b))
			return GR_EPROTO;
		memcpy(d.b, rec->bytes, sizeof(d.b));
		return gr_place_env(r->p, &d);
	}
	if (!rec->n_bytes || rec->n_bytes >= sizeof(name) || memchr(rec->bytes, 0, rec->n_bytes))
		return GR_EPROTO;
	memcpy(name, rec->bytes, rec->n_bytes);
	name[rec->n_bytes] = 0;
	return gr_place_node(r->p, name);
}

static int play(struct replay *r, const struct record *rec)
{
	const uint64_t *v = rec->v;
	struct gr_place *p = r->p;
	uint32_t id = (uint32_t)v[0];

	if (!p && rec->op != OP_NEW)
		return GR_EPROTO;
	switch ((enum gr_place__op)rec->op) {
	case OP_NEW:
		return do_new(r, v);
	case OP_ENV: case OP_NODE:
		return do_names(r, rec);
	case OP_HOLD:
		return gr_place_env_hold(p, id, v[1]);
	case OP_LABEL: case OP_KEY:
		return do_label(p, rec);
	case OP_CLASS:
		return do_class(p, v);
	case OP_UP:
		return do_up(p, rec);
	case OP_DOWN:
		return gr_place_worker_down(p, v[0], (uint32_t)v[1]);
	case OP_DRAIN:
		return gr_place_worker_drain(p, v[0], (uint32_t)v[1], v[2], v[3]);
	case OP_PAUSE:
		return gr_place_worker_pause(p, v[0], (uint32_t)v[1], v[2]);
	case OP_SIGNALS: {
		struct gr_place_signals s = {
			.quota_mcpu = (uint32_t)v[1], .throttled_permille = (uint32_t)v[2], .steal_permille = (uint32_t)v[3],
			.cpu_psi_permille = (uint32_t)v[4], .mem_psi_permille = (uint32_t)v[5], .io_psi_permille = (uint32_t)v[6],
			.node_foreign_mcpu = (uint32_t)v[7], .slots = (uint32_t)v[8], .rtt_ns = v[9],
		};

		return gr_place_worker_signals(p, id, &s);
	}
	case OP_NODE_SET:
		return gr_place_node_set(p, id, (uint32_t)v[1], v[2]);
	case OP_ZONE:
		return gr_place_zone_bandwidth(p, id, (uint32_t)v[1]);
	case OP_TENANT: case OP_TENANT_SET:
		return do_tenant(p, rec);
	case OP_TENANT_DEL:
		return gr_place_tenant_remove(p, id);
	case OP_OWNER: {
		struct gr_place_owner o = {
			.tag = v[1], .tenant = (uint32_t)v[2], .weight = (uint32_t)v[3], .max_placed = (uint32_t)v[4], .band = (uint8_t)v[5],
			.is_preemptible = v[6], .is_whole = v[7],
		};

		return gr_place_owner_add(p, &o);
	}
	case OP_OWNER_DEL:
		return gr_place_owner_remove(p, id);
	case OP_OWNER_PAUSE:
		return gr_place_owner_pause(p, id, v[1]);
	case OP_OWNER_BYTES:
		return gr_place_owner_bytes(p, id, v[1]);
	case OP_READY:
		return do_ready(p, rec);
	case OP_CANCEL:
		return gr_place_cancel(p, (int64_t)v[0]) < 0 ? GR_EPROTO : 0;
	case OP_NEXT:
		r->out->now_ns = v[0];
		return do_next(r, v[0], v[1]);
	case OP_DECIDED:
		return 0;
	case OP_END: {
		struct gr_place_ended e = { .how = (enum gr_place_how)v[2], .cpu_us = v[3], .max_rss_bytes = v[4] };

		return gr_place_end(p, v[0], v[1], &e);
	}
	case OP_KEPT:
		return gr_place_kept(p, v[0]);
	case OP_STARTED:
		return gr_place_started(p, v[0], v[1]);
	case OP_ADOPT: {
		uint64_t placed;

		return gr_place_adopt(p, v[0], (uint32_t)v[1], (uint32_t)v[2], (uint32_t)v[3], v[4], (uint32_t)v[5], (uint32_t)v[6], &placed);
	}
	case OP_N:
		break;
	}
	return GR_EPROTO;
}

int gr_place_replay(const uint8_t *log, size_t n, void (*on_decision)(void *ctx, uint64_t now_ns, const struct gr_place_decision *d),
		    void *ctx, struct gr_place_replay *out)
{
	struct replay r = { .log = log, .n = n, .out = out, .on_decision = on_decision, .ctx = ctx };
	const uint8_t *b = log, *end = log + n;
	struct record *rec;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	out->is_same = true;
	r.sink = (struct gr_place_log){ compare, &r };
	GR_NEW(rec);
	while (b < end) {
		const uint8_t *from = b;

		rc = read_record(&b, end, rec);
		if (rc <= 0)
			break;
		b += rec->n_bytes;
		rc = play(&r, rec);
		/* a call that was made then cannot fail now, unless this is no log of ours */
		if (rc == GR_EVERSION || rc < 0) {
			rc = rc == GR_EVERSION ? rc : GR_EPROTO;
			out->n_bytes = (size_t)(from - log);
			break;
		}
		rc = 0;
		out->n_records++;
		out->n_bytes = (size_t)(b - log);
	}
	if (r.p)
		gr_place_free(&r.p);
	free(r.d);
	free(rec);
	return rc;
}
