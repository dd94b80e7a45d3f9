/* report.c - see report.h */
#include "worker/signals/report.h"

#include <string.h>
#include "lib/base/clock.h"

#define AGAIN_NS (60 * GR_NS_PER_S)

/* A change is told when it is at least @step, and at least @permille of the value told before. */
static const struct { uint64_t step; uint32_t permille; } steps[GR_MAX_SIGNALS] = {
	[GR_SIGNAL_CPU_QUOTA_MCPU] = { 1, 0 },
	[GR_SIGNAL_CPU_THROTTLED_PERMILLE] = { 20, 0 },
	[GR_SIGNAL_CPU_STEAL_PERMILLE] = { 20, 0 },
	[GR_SIGNAL_CPU_PSI_PERMILLE] = { 30, 0 },
	[GR_SIGNAL_MEM_LIMIT_BYTES] = { 1, 0 },
	[GR_SIGNAL_MEM_USED_BYTES] = { 16u << 20, 30 },
	[GR_SIGNAL_MEM_PSI_PERMILLE] = { 10, 0 },
	[GR_SIGNAL_SLOTS] = { 1, 0 },
	[GR_SIGNAL_RUNNING] = { 1, 0 },
	[GR_SIGNAL_QUEUED] = { 1, 0 },
	[GR_SIGNAL_CACHE_BYTES] = { 16u << 20, 10 },
	[GR_SIGNAL_DISK_FREE_BYTES] = { 64u << 20, 10 },
	[GR_SIGNAL_IO_PSI_PERMILLE] = { 30, 0 },
	[GR_SIGNAL_CPU_USED_MCPU] = { 100, 50 },
	[GR_SIGNAL_NODE_BUSY_MCPU] = { 100, 50 },
	[GR_SIGNAL_MEM_PEAK_BYTES] = { 16u << 20, 10 },
	[GR_SIGNAL_OOM_KILLS] = { 1, 0 },
	[GR_SIGNAL_NODE_CPU_PSI_PERMILLE] = { 30, 0 },
	[GR_SIGNAL_NODE_MEM_PSI_PERMILLE] = { 10, 0 },
	[GR_SIGNAL_NODE_IO_PSI_PERMILLE] = { 30, 0 },
};

void gr_report_reset(struct gr_report *r)
{
	memset(r, 0, sizeof(*r));
}

void gr_report_add(struct gr_report *r, uint64_t now_ns, enum gr_signal key, uint64_t value, struct gr_ping *ping)
{
	uint64_t told = r->told[key], change = value > told ? value - told : told - value;

	if (ping->n_signals == GR_MAX_SIGNALS)
		return;
	/* back at nothing is told however small it was: it ends a state */
	if (r->told_ns[key] && now_ns - r->told_ns[key] < AGAIN_NS && !(told && !value) &&
	    (change < steps[key].step || change < told / 1000 * steps[key].permille))
		return;
	ping->signals[ping->n_signals].key = (uint8_t)key;
	ping->signals[ping->n_signals++].value = value;
	r->told[key] = value;
	r->told_ns[key] = now_ns;
}
