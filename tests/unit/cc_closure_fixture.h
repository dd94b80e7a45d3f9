/* cc_closure_fixture.h - a closer over a made-up file system, and the closure of a command line */
#pragma once
#include "tests/unit/cc_fixture.h"

#include "lib/cc/closure.h"

struct rig {
	struct world *w;
	struct gr_cc_closer *closer;
	struct gr_cc_closure cl;
	struct gr_cc_cmd cmd;
	struct gr_cc_search search;
	char *search_dirs[4];
	char buf[2048];
	char *argv[64];
	const char *cwd;
	const char *const *known;
	uint32_t n_known;
	uint8_t tool;
};

static inline int setup(void **state)
{
	struct rig *r;

	GR_NEW(r);
	r->w = world_new();
	r->closer = gr_cc_closer_new(r->w->files);
	r->cwd = "/w";
	put_dir(r->w, "/w");
	*state = r;
	return 0;
}

static inline int teardown(void **state)
{
	struct rig *r = *state;

	gr_cc_cmd_fini(&r->cmd);
	gr_cc_closure_fini(&r->cl);
	gr_cc_closer_free(&r->closer);
	world_free(r->w);
	free(r);
	return 0;
}

/* The closure of a command line, as "verdict: paths in order". */
static inline void close_over(struct rig *r, const char *line)
{
	struct gr_cc_closure_in in = { &r->cmd, r->cwd, &r->search, r->tool, r->known, r->n_known };
	int argc = 0;

	gr_cc_cmd_fini(&r->cmd);
	snprintf(r->buf, sizeof(r->buf), "%s", line);
	for (char *p = strtok(r->buf, " "); p; p = strtok(NULL, " "))
		r->argv[argc++] = p;
	r->argv[argc] = NULL;
	gr_cc_args_parse(&r->cmd, strstr(line, "clang") ? GR_CC_CLANG : GR_CC_GCC, argc, r->argv, NULL);
	assert_int_equal(r->cmd.verdict, GR_CC_REMOTE);
	drain(r->w);
	gr_cc_closure_of(r->closer, &in, &r->cl);
}
