/**
 * plan - what one unit would be as a task: its parsed command line, outputs, inputs, and the TASK frame
 */
#pragma once
#include "client/agent/agent.h"
#include "client/agent/outputs.h"
#include "lib/cc/args.h"
#include "lib/cc/closure.h"
#include "lib/cc/toolchain.h"

struct gr_plan_output {
	enum gr_cc_output_kind kind;
	bool is_required;
	const char *path;                 /* as the compiler opens it; in the plan's command */
	char *absolute;                   /* for the task */
	char *local;                      /* absolute, as the client would open it */
};
struct gr_plan_seen {                     /* an entry of the closure as it was when the task was made */
	uint32_t id, version;
};
struct gr_plan {
	struct gr_cc_argv words;
	struct gr_cc_cmd cmd;
	struct gr_plan_output outputs[GR_CC_MAX_SIDE_OUTPUTS];
	uint32_t n_outputs;
	struct gr_plan_seen *seen;
	uint32_t n_seen;
	const struct gr_cc_search *search;
	struct gr_digest toolchain, source, key1;
	char **env;                       /* what the task carries, NULL-terminated */
	uint32_t n_env;
	const char *added[2];             /* flags for a terminal */
	int n_added;
	bool has_odd_messages;            /* they may be worded or shown otherwise elsewhere */
	char *source_path;                /* absolute, physical */
};
/**
 * gr_plan_parse - the command line; u->plan is there after it, also when the verdict is LOCAL
 * u->toolchain->t is probed. Return: 0; GR_EUNSUP with *reason and *detail (borrowed from the plan).
 */
int gr_plan_parse(struct gr_unit *u, const char **reason, const char **detail) GR_MUST_CHECK;
/* The closure, into agent->closure; gr_cc_files_drain was called. Errors as gr_plan_parse; GR_EBUSY when only the
 * compiler's -M can tell (gr_depends_start). */
int gr_plan_close(struct gr_unit *u, const char **reason, const char **detail) GR_MUST_CHECK;
/* The scratch gr_plan_close fills; good until it is called again. */
struct gr_cc_closure *gr_plan_closure(struct gr_agent *a);
/* The TASK, into u->frame, with new records in the session. u->task is set. Errors as gr_plan_parse. */
int gr_plan_encode(struct gr_unit *u, const char **reason) GR_MUST_CHECK;
/* After a drain: no file of the closure has changed since gr_plan_close. */
bool gr_plan_is_true(struct gr_unit *u);
/* An input turned out to be other than it was believed to be: every one of them is looked at anew next time. */
void gr_plan_doubt(struct gr_unit *u);
/* The session has other ids: forget which facts it was told. */
void gr_plan_new_session(struct gr_agent *a);
void gr_plan_free(struct gr_plan **p);
void gr_plan_open(struct gr_agent *a);
void gr_plan_finish(struct gr_agent *a);
