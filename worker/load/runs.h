/**
 * runs - load tests on a worker: messages of the coordinator to shards and burns, reports back
 *
 * A test here lives as long as its lease: a LOAD_CLOCK at least every plan.lease. A connection that goes, or a coordinator
 * that falls silent, ends all of them within that time.
 */
#pragma once
#include "lib/base/buf.h"

struct gr_worker;
struct gr_runs;
struct gr_runs *gr_runs_new(struct gr_worker *w);
void gr_runs_free(struct gr_runs **r);                /* before the loop is: it has handles there */
int gr_runs_message(struct gr_runs *r, int type, struct gr_slice body);
void gr_runs_down(struct gr_runs *r);                 /* the connection is gone */
bool gr_runs_can_burn(void);                          /* stress-ng is here */
