/* learn.c - what ended tasks teach: work by family, speed by node, memory by family, hosts that fail fast.
 *
 * log(CPU time) = family + node + noise. A sample moves the log of a node's speed by a sixteenth of what it says, clamped
 * to half an octave off, and only once its family is known from three runs. CPU time, never output bytes: those misjudge hosts
 * that build debug code. A host that fails fast is suspected by how rarely that owner fails elsewhere, so a job that is
 * broken itself takes no host out. */
#include "lib/place/place.h"

#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define MAX_TOGETHER 31u              /* ends at one time that are counted */
#define MAX_QUARANTINES 4u            /* in a row, each twice as long as the one before */
#define SUSPECT 180u                  /* as many fast failures as the settings say, of owners that never fail elsewhere */

struct gr_place__family *gr_place__family(const struct gr_place *p, uint64_t hash)
{
	return &p->families[(hash ^ hash >> 29) % FAMILY_SLOTS];
}

uint32_t gr_place__work_us(const struct gr_place *p, uint64_t family, uint32_t work_ms)
{
	const struct gr_place__family *f = gr_place__family(p, family);
	uint64_t us;

	if (family && f->hash == family && f->n)
		return f->work_us;
	us = work_ms ? (uint64_t)work_ms * 1000 : p->mean_work_us;
	return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

uint32_t gr_place_mem_hint(const struct gr_place *p, uint64_t family, uint32_t asked_mib)
{
	const struct gr_place__family *f = gr_place__family(p, family);
	uint32_t hint;

	if (!family || f->hash != family || !f->mem_mib)
		return asked_mib;
	hint = f->mem_mib + f->mem_mib / 4;
	return hint > GR_PLACE_MAX_AMOUNT ? GR_PLACE_MAX_AMOUNT : hint;
}

static struct gr_place__family *family_for(struct gr_place *p, uint64_t hash)
{
	struct gr_place__family *f = gr_place__family(p, hash);

	if (f->hash != hash)
		*f = (struct gr_place__family){ .hash = hash };
	return f;
}

/* log2 in 256ths: the linear part of each octave, and most of what bends it. */
static inline int32_t log_256(uint32_t v)
{
	uint32_t zeros = (uint32_t)__builtin_clz(v | !v), x = (v | !v) << zeros >> 23 & 255;

	return (int32_t)((31 - zeros) * 256 + x + x * (256 - x) * 11 / 8192);
}

/* In logarithms: the mean of ratios would grow with the noise. Clamped evenly to both sides. */
static void learn_speed(struct gr_place *p, uint32_t node, int32_t off)
{
	struct gr_place__node *n = &p->nodes[node];
	/* the first samples of a node count more: it starts as the typical one, which it need not be */
	int32_t weight = n->n_samples < 14 ? n->n_samples + 2 : 16, most = n->n_samples < 4 ? 512 : 128;
	int32_t speed;

	off = off > most ? most : off < -most ? -most : off;
	/* 2^(off / 256 / weight) to the second order: 0.6931 and its half square */
	off = off * 256 / weight;
	speed = n->speed_permille + (int32_t)((int64_t)n->speed_permille * ((int64_t)off * 177 + (int64_t)off * off / 256 * 61 / 256) / (256 * 65536));
	n->speed_permille = (uint16_t)(speed < 100 ? 100 : speed > 10000 ? 10000 : speed);
	n->is_speed_new = true;               /* priced together with the load, which changes next: gr_place_end */
	if (n->n_samples < UINT16_MAX)
		n->n_samples++;
}

/* Above the mean or below it is a toss-up: no branch hangs on it. */
static uint32_t nearer(uint32_t mean, uint32_t sample, uint32_t n)
{
	uint32_t below = sample < mean ? UINT32_MAX : 0, off = ((sample - mean) ^ below) - below;

	return mean + ((off / n ^ below) - below);
}

static void learn_time(struct gr_place *p, const struct gr_place__placed *pl, uint64_t now_ns, uint64_t cpu_us)
{
	struct gr_place__node *n = &p->nodes[pl->node];
	struct gr_place__family *f;
	uint64_t norm = cpu_us * n->speed_permille / 1000;
	int32_t log_norm;
	uint32_t off;

	if (norm > UINT32_MAX)
		norm = UINT32_MAX;
	p->mean_work_us = nearer(p->mean_work_us, (uint32_t)norm, 64);
	n->sample_s = (uint32_t)((now_ns - p->epoch_ns) / GR_NS_PER_S);
	if (!pl->family)
		return;
	f = family_for(p, pl->family);
	log_norm = log_256(cpu_us > UINT32_MAX ? UINT32_MAX : (uint32_t)cpu_us) + log_256(n->speed_permille) - log_256(1000);
	if (f->n >= 3 && f->work_us)
		learn_speed(p, pl->node, f->log_256 - log_norm);
	if (f->n < 16)
		f->n++;
	if (f->n == 1) {
		f->work_us = (uint32_t)norm;
		f->log_256 = log_norm;
		return;
	}
	f->log_256 += (log_norm - f->log_256) / (int32_t)f->n;
	off = norm > f->work_us ? (uint32_t)norm - f->work_us : f->work_us - (uint32_t)norm;
	f->dev_us = nearer(f->dev_us, off, f->n);
	f->work_us = nearer(f->work_us, (uint32_t)norm, f->n);
}

static void learn_memory(struct gr_place *p, const struct gr_place__placed *pl, const struct gr_place_ended *e)
{
	uint32_t asked, mib;
	uint64_t rss = (e->max_rss_bytes + (1 << 20) - 1) >> 20;
	struct gr_place__family *f;

	if (!pl->family || (e->how != GR_PLACE_OOM && !rss))
		return;
	asked = p->classes[pl->class].spec.need.v[GR_PLACE_MEM_MIB];
	f = family_for(p, pl->family);
	mib = rss > GR_PLACE_MAX_AMOUNT / 2 ? GR_PLACE_MAX_AMOUNT / 2 : (uint32_t)rss;
	/* the hint adds a quarter, so 1.2 times what was too little makes it 1.5 times */
	if (e->how == GR_PLACE_OOM && mib < asked + asked / 5)
		mib = asked + asked / 5;
	if (mib > f->mem_mib)
		f->mem_mib = mib;
	else if (e->how == GR_PLACE_DONE && mib < f->mem_mib)
		f->mem_mib -= (f->mem_mib - mib) / 64;    /* a peak is forgotten slowly */
}

/* When something ends, what waits behind it follows: the mean time between ends says how much must be under way. Those that
 * are told together come at one time: they share the time since those before them. */
static void learn_pace(struct gr_place__worker *w, struct gr_place__holds *h, uint64_t now_ns)
{
	uint32_t now_us = (uint32_t)(now_ns / GR_NS_PER_US), n = h->n_together + 1u, gap = (now_us - h->last_us) / 8 / n;

	if (h->done && now_us == h->last_us) {
		h->n_together = (uint8_t)(n < MAX_TOGETHER ? n : MAX_TOGETHER) & 31;
		return;
	}
	h->last_us = now_us;
	h->n_together = 0;
	if (!h->done)
		return;
	gap = gap > UINT16_MAX ? UINT16_MAX : gap ? gap : 1;
	if (!w->gap_8us)
		w->gap_8us = (uint16_t)gap;
	else if (n > 1)                           /* a mean already */
		w->gap_8us = (uint16_t)((w->gap_8us + gap + 1) / 2);
	else
		w->gap_8us = (uint16_t)((w->gap_8us * 7u + gap + 4) / 8);
}

static void failed(struct gr_place *p, const struct gr_place__placed *pl, uint64_t now_ns)
{
	struct gr_place__worker *w = &p->workers[pl->worker];
	struct gr_place__holds *h = &p->holds[pl->worker];
	struct gr_place__owner *o = &p->owners[pl->owner];
	bool is_fast = now_ns - pl->start_ns < p->cfg.fast_fail_ns;
	uint32_t step = SUSPECT / p->cfg.fast_fails + 1, n;

	if (h->failed < UINT16_MAX)
		h->failed++;
	if (is_fast)
		h->suspicion = (uint8_t)gr_place__min(255, h->suspicion + (1000 - o->fail_permille) * step / 1000);
	else
		h->suspicion = 0;
	o->fail_permille += (1000 - o->fail_permille) / 8;
	/* a sixth less than that many whole ones: the owner's own first failures made them count less */
	if (h->suspicion < SUSPECT - SUSPECT / 6)
		return;
	/* one more fast failure after it is enough to go back: the first task is the probe */
	h->suspicion = (uint8_t)(SUSPECT - SUSPECT / 6 - (step < 4 ? 1 : step / 4));
	n = h->quarantines;
	if (n < MAX_QUARANTINES)
		h->quarantines = (uint8_t)((n + 1) & 7);
	w->flags |= W_QUARANTINED;
	gr_place__block(p, pl->worker, now_ns + (p->cfg.quarantine_ns << n));
}

void gr_place__learn(struct gr_place *p, const struct gr_place__placed *pl, uint64_t now_ns, const struct gr_place_ended *e)
{
	struct gr_place__worker *w = &p->workers[pl->worker];
	struct gr_place__holds *h = &p->holds[pl->worker];
	struct gr_place__owner *o = &p->owners[pl->owner];

	learn_memory(p, pl, e);
	if (e->how == GR_PLACE_FAILED) {
		failed(p, pl, now_ns);
		return;
	}
	if (e->how != GR_PLACE_DONE)
		return;
	learn_pace(w, h, now_ns);
	h->done++;
	h->suspicion = 0;
	h->quarantines = 0;
	o->fail_permille -= o->fail_permille / 8;
	if (e->cpu_us)
		learn_time(p, pl, now_ns, e->cpu_us);
}
