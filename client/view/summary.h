/**
 * summary - how a build went: what ran where, why not elsewhere, and what it cost
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

struct gr_summary_cost {
	uint64_t wall_ms, cpu_ms;     /* of make and its children, here; the agent's and the workers' are in the summary */
};
/* @summary: gr_control_summary's with gr_calls_add_to's; "agent_lost": true when the former is missing. */
void gr_summary_print(const json_t *summary, const struct gr_summary_cost *cost, FILE *out);
