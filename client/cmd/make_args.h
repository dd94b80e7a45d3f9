/**
 * make_args - the words and the environment `griddle make` gives to make
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "lib/base/err.h"

#define GR_MAKE_AUTO 0

struct gr_make_args {
	char **argv;              /* "make", then its words; NULL-terminated */
	char **envp;
	int n_job;                /* GR_MAKE_AUTO, or what make is told */
};

/**
 * gr_make_args_init - wrap the compilers, take -j out, leave the rest in order
 * @wrapper:  griddle-cc, as it is to be called
 * @jobs:     "auto" or a number; a -j among @words is stronger
 * @words:    what stands behind the options: flags, targets and assignments for make
 * @env:      the environment; MAKEFLAGS loses what belongs to an outer make's job server
 *
 * CC becomes "WRAPPER CC" and CXX alike, from (strongest first) an assignment among @words, the environment,
 * LLVM=1 (clang), CROSS_COMPILE= (its gcc), gcc. HOSTCC is left alone. A compiler that is already wrapped stays.
 * Errors: GR_EUSAGE for a bad job count.
 */
int gr_make_args_init(struct gr_make_args *m, const char *wrapper, const char *jobs, int n_words, char *const *words,
		      char *const *env, struct gr_err *err) GR_MUST_CHECK;
/* Adds "NAME=VALUE" to the environment, replacing what was there. */
void gr_make_args_setenv(struct gr_make_args *m, const char *name, const char *value);
/* -jN as a flag, or make as a client of the job server whose pipe these are (both >= 0). */
void gr_make_args_set_jobs(struct gr_make_args *m, int rfd, int wfd);
void gr_make_args_fini(struct gr_make_args *m);
