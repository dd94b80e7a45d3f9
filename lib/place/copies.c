/* copies.c - speculative copies of stragglers.
 *
 * Who runs longer than one and a half times the 95th percentile of its family gets a second attempt on another node, when
 * there is room that nothing else asks for, and no more than a few in a thousand of what runs (Dolly, NSDI'13; Mantri,
 * OSDI'10). Due times stand in a wheel of 512 ticks of 134 ms, so adding and removing is constant; what is due later than
 * that stands in the last tick and is looked at again. The percentile is the mean and two and a half mean deviations. */
#include "lib/base/clock.h"
#include "lib/place/place_int.h"

#define MIN_DUE_NS (500 * GR_NS_PER_MS)
#define UNKNOWN_NS (2 * GR_NS_PER_S)      /* until it is asked again whether its family is known */

/* Three of a family are enough to say what is late. */
static bool is_known(const struct gr_place *p, const struct gr_place__placed *pl)
{
	const struct gr_place__family *f = gr_place__family(p, pl->family);

	return f->hash == pl->family && f->n >= 3;
}

static uint64_t due_ns(const struct gr_place *p, const struct gr_place__placed *pl)
{
	const struct gr_place__family *f = gr_place__family(p, pl->family);
	const struct gr_place__worker *w = &p->workers[pl->worker];
	uint64_t us = (pl->flags & P_UNKNOWN ? f->work_us : pl->work_us) + f->dev_us * 5ull / 2, ns;

	us = us * gr_place__contention(p, w, 0) / p->nodes[w->node].speed_permille * 3 / 2;
	ns = us * GR_NS_PER_US;
	return pl->start_ns + (ns < MIN_DUE_NS ? MIN_DUE_NS : ns);
}

static void insert(struct gr_place *p, uint32_t placed, uint64_t at_ns)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);
	uint64_t tick = at_ns >> WHEEL_SHIFT, last = p->wheel_tick + WHEEL_SLOTS - 1;
	uint32_t slot;

	if (tick <= p->wheel_tick)
		tick = p->wheel_tick + 1;
	if (tick > last)
		tick = last;
	slot = (uint32_t)(tick % WHEEL_SLOTS);
	pl->slot = (uint16_t)slot;
	pl->flags |= P_WHEEL;
	pl->wheel_prev = NIL;
	pl->wheel_next = p->wheel[slot];
	if (p->wheel[slot] != NIL)
		gr_place__at(p, p->wheel[slot])->wheel_prev = placed;
	p->wheel[slot] = placed;
	p->wheel_bits[slot / 64] |= 1ull << slot % 64;
}

APART void gr_place__wheel_add(struct gr_place *p, uint32_t placed)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);

	if (!pl->family || (pl->flags & (P_COPY | P_ALONE)))
		return;
	if (is_known(p, pl)) {
		insert(p, placed, due_ns(p, pl));
		return;
	}
	/* those that begin first of all may be late too, as the others will tell */
	pl->flags |= P_UNKNOWN;
	insert(p, placed, p->now_ns + UNKNOWN_NS);
}

APART void gr_place__wheel_del(struct gr_place *p, uint32_t placed)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);
	uint32_t *first = pl->flags & P_DUE ? &p->first_due : &p->wheel[pl->slot];

	if (!(pl->flags & (P_WHEEL | P_DUE)))
		return;
	if (pl->wheel_prev != NIL)
		gr_place__at(p, pl->wheel_prev)->wheel_next = pl->wheel_next;
	else
		*first = pl->wheel_next;
	if (pl->wheel_next != NIL)
		gr_place__at(p, pl->wheel_next)->wheel_prev = pl->wheel_prev;
	if ((pl->flags & P_WHEEL) && p->wheel[pl->slot] == NIL)
		p->wheel_bits[pl->slot / 64] &= ~(1ull << pl->slot % 64);
	pl->flags &= (uint16_t)~(P_WHEEL | P_DUE);
}

static void make_due(struct gr_place *p, uint32_t placed)
{
	struct gr_place__placed *pl = gr_place__at(p, placed);

	pl->flags |= P_DUE;
	pl->wheel_prev = NIL;
	pl->wheel_next = p->first_due;
	if (p->first_due != NIL)
		gr_place__at(p, p->first_due)->wheel_prev = placed;
	p->first_due = placed;
}

/* The next tick, after wheel_tick, that has something; NIL: none. As a distance. */
static uint32_t next_tick(const struct gr_place *p)
{
	for (uint32_t d = 1; d < WHEEL_SLOTS;) {
		uint32_t slot = (uint32_t)((p->wheel_tick + d) % WHEEL_SLOTS);
		uint64_t bits = p->wheel_bits[slot / 64] >> slot % 64;

		if (bits)
			return d + (uint32_t)__builtin_ctzll(bits) < WHEEL_SLOTS ? d + (uint32_t)__builtin_ctzll(bits) : NIL;
		d += 64 - slot % 64;
	}
	return NIL;
}

APART void gr_place__wheel_turn(struct gr_place *p, uint64_t now_ns)
{
	uint64_t now = now_ns >> WHEEL_SHIFT;

	while (p->wheel_tick < now) {
		uint32_t d = next_tick(p), i;

		if (d == NIL || p->wheel_tick + d > now) {
			p->wheel_tick = now;
			return;
		}
		p->wheel_tick += d;
		while ((i = p->wheel[p->wheel_tick % WHEEL_SLOTS]) != NIL) {
			struct gr_place__placed *pl = gr_place__at(p, i);
			uint64_t at;

			gr_place__wheel_del(p, i);
			at = is_known(p, pl) ? due_ns(p, pl) : now_ns + UNKNOWN_NS;
			if (at >> WHEEL_SHIFT > p->wheel_tick)
				insert(p, i, at);
			else
				make_due(p, i);
		}
	}
}

uint64_t gr_place__wheel_ns(const struct gr_place *p)
{
	uint32_t d = next_tick(p);

	return d == NIL ? UINT64_MAX : (p->wheel_tick + d) << WHEEL_SHIFT;
}

APART uint32_t gr_place__copies(struct gr_place *p, uint64_t now_ns, struct gr_place_decision *out, uint32_t n, uint32_t max)
{
	uint32_t i, next;

	for (i = p->first_due; i != NIL && n < max; i = next) {
		struct gr_place__placed *pl = gr_place__at(p, i);
		const struct gr_place__asked *k = gr_place__asked(p, i);
		struct gr_place_task t = { .family = pl->family, .input_set = k->input_set };
		struct gr_place__search s = {
			.t = &t, .owner = pl->owner, .class_id = pl->class, .class = &p->classes[pl->class], .work_us = pl->work_us,
			.input_kib = k->input_kib, .avoid_node = p->workers[pl->worker].node, .reserved_for = NIL, .now_ns = now_ns,
		};
		uint32_t copy;

		next = pl->wheel_next;
		if (pl->twin != NIL || (pl->flags & P_LEAVING)) {
			gr_place__wheel_del(p, i);
			continue;
		}
		/* room that others ask for is not spare; later, then */
		if (p->open || p->has_closed || !gr_place__may_more(p, &p->owners[pl->owner]) ||
		    !gr_place__quota_allows(p, &p->tenants[p->owners[pl->owner].spec.tenant], s.class, p->owners[pl->owner].spec.band, 1) ||
		    p->n_copies * 1000ull >= p->tasks_placed * p->cfg.copy_permille + 999) {
			gr_place__wheel_del(p, i);
			insert(p, i, now_ns + MIN_DUE_NS);
			continue;
		}
		gr_place__files(p, &s);
		gr_place__search(p, &s);
		if (s.worker == NIL) {
			gr_place__wheel_del(p, i);
			insert(p, i, now_ns + MIN_DUE_NS);
			continue;
		}
		gr_place__wheel_del(p, i);
		copy = gr_place__commit(p, &s, k->tag, pl->nth, 1, GR_PLACE_COPY, &out[n]);
		out[n++].other = gr_place__handle(p, i);
		p->n_copies++;
		pl->twin = copy;
		gr_place__at(p, copy)->twin = i;
	}
	return n;
}
