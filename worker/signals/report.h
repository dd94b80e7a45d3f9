/**
 * report - which signals a heartbeat carries: those that changed by more than means anything
 *
 * Each signal has a step: smaller changes are not told. What was never told on this connection is told, and so is
 * everything once a minute, so that a coordinator's picture is never older than that. Pure.
 */
#pragma once
#include "lib/wire/msg.h"

struct gr_report {
	uint64_t told[GR_MAX_SIGNALS];
	uint64_t told_ns[GR_MAX_SIGNALS];     /* 0 never */
};
/* A new connection: nothing is known there. */
void gr_report_reset(struct gr_report *r);
/* Puts @value into @ping when it is to be told. @now_ns: monotonic, not 0. */
void gr_report_add(struct gr_report *r, uint64_t now_ns, enum gr_signal key, uint64_t value, struct gr_ping *ping);
