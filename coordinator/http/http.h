/**
 * http - the coordinator's small HTTP side: health, metrics, and what there is to look at
 */
#pragma once
#include "lib/base/buf.h"

struct gr_coord;
struct gr_reply {
	unsigned status;
	const char *type;          /* content type; constant */
	struct gr_buf body;
};
/* Answers one request: always a reply. @path without the query. Nothing is changed by it. */
void gr_api_answer(const struct gr_coord *c, const char *method, const char *path, struct gr_reply *r);
