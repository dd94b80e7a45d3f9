/**
 * ask - a connection to the coordinator for more than one question, one after another
 */
#pragma once
#include <jansson.h>
#include "client/cmd/target.h"

struct gr_ask;
int gr_ask_open(const struct gr_target *t, int limit_ms, struct gr_ask **out, struct gr_err *err) GR_MUST_CHECK;
/* @req: an object with "op"; taken. @rep: a new reference. What the coordinator refuses keeps its text and its code. */
int gr_ask(struct gr_ask *a, json_t *req, int limit_ms, json_t **rep, struct gr_err *err) GR_MUST_CHECK;
/* For so long, or until SIGINT or SIGTERM. Return: signals that came so far. */
int gr_ask_wait(struct gr_ask *a, int ms);
void gr_ask_close(struct gr_ask **a);
