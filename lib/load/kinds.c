/* kinds.c - see kinds.h */
#include "lib/load/kinds.h"

static const struct { const char *name, *text; } fails[GR_LOAD_N_FAILS] = {
#define X(num, name_, json, text_) [num] = { json, text_ },
	GR_LOAD_FAIL_MAP(X)
#undef X
};

const char *gr_load_fail_name(uint32_t fail) { return fail < GR_LOAD_N_FAILS ? fails[fail].name : "?"; }
const char *gr_load_fail_text(uint32_t fail) { return fail < GR_LOAD_N_FAILS ? fails[fail].text : "?"; }

const char *gr_load_counter_name(uint32_t c)
{
	static const char *const names[] = {
#define X(name, json) json,
		GR_LOAD_COUNTER_MAP(X)
#undef X
	};

	return c < GR_LOAD_N_COUNTERS ? names[c] : "?";
}

const char *gr_load_gauge_name(uint32_t g)
{
	static const char *const names[] = { "open", "in_flight", "users" };

	return g < GR_LOAD_N_GAUGES ? names[g] : "?";
}

const char *gr_load_series_name(uint32_t r)
{
	static const char *const names[] = { "first_byte", "other", "2xx", "3xx", "4xx", "5xx", "failed" };

	return r <= GR_LOAD_R_FAILED ? names[r] : "?";
}
