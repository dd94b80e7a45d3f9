/**
 * cache - off
 */
#include "client/agent/cache.h"
void gr_cache_open(struct gr_agent *a) {}
void gr_cache_close(struct gr_agent *a) {}
int gr_cache_find(struct gr_unit *u, struct gr_cached *out) { return 0; }
void gr_cached_fini(struct gr_cached *c) { gr_buf_fini(&c->bytes); }
void gr_cache_store(struct gr_unit *u, const struct gr_cached *what, struct gr_slice depfile) {}
json_t *gr_cache_json(const struct gr_agent *a) { return json_object(); }
