/* kinds.c - see kinds.h */
#include "lib/load/kinds.h"

static const struct { const char *name, *text; } fails[GR_LOAD_N_FAILS] = {
#define X(num, name_, json, text_) [num] = { json, text_ },
	GR_LOAD_FAIL_MAP(X)
#undef X
};

const char *gr_load_fail_name(uint32_t fail) { return fail < GR_LOAD_N_FAILS ? fails[fail].name : "?"; }
const char *gr_load_fail_text(uint32_t fail) { return fail < GR_LOAD_N_FAILS ? fails[fail].text : "?"; }
