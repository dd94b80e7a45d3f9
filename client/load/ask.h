/**
 * ask - a connection to the coordinator for more than one question, one after another
 */
#pragma once
#include <jansson.h>
#include "client/cmd/target.h"

struct gr_ask;
int gr_ask_open(const struct gr_target *t, int limit_ms, struct gr_ask **out, struct gr_err *err) GR_MUST_CHECK;
/* @req: an object with "op"; taken. @rep: a new reference. What the coordinator refuses keeps its text and its code;
 * GR_EUSAGE for NULL, which is what text that is not UTF-8 makes of one. */
int gr_ask(struct gr_ask *a, json_t *req, int limit_ms, json_t **rep, struct gr_err *err) GR_MUST_CHECK;
/* From now on @n of SIGINT and SIGTERM end nothing of what waits (gr_ask_wait tells of them); the next does, with GR_EGONE. First: none. */
void gr_ask_bear(struct gr_ask *a, int n);
/* For so long, or until SIGINT or SIGTERM. Return: signals that came so far. */
int gr_ask_wait(struct gr_ask *a, int ms);
void gr_ask_close(struct gr_ask **a);
