/**
 * taskopts - the options that `griddle run` and `griddle map` share, and the job file they stand for
 */
#pragma once
#include <jansson.h>
#include "client/cmd/cmd.h"
#include "client/cmd/target.h"

struct gr_task_opts {
	struct gr_target_opts target;
	char *name, *tenant, *cpus, *gpus, *in, *out, *env, *where, *to;
	int64_t priority, mem_bytes, timeout_ms, retries, output_cap_bytes;
	bool idle, network, detach, quiet, is_shell;
};
/* Options that may be given several times; taken out of argv before the others are read. */
struct gr_task_lists {
	json_t *in, *out, *env, *where;
};
#define GR_TASK_KEYS(type) \
	{ "in", GR_CONF_STR, "PATH", NULL, 0, 0, NULL, \
	  "A file, folder or glob to take along, by the same relative path; again for more.", offsetof(type, task.in), NULL }, \
	{ "out", GR_CONF_STR, "PATH", NULL, 0, 0, NULL, \
	  "A file or folder the command makes, brought back when it ends with 0; again for more.", offsetof(type, task.out), NULL }, \
	{ "to", GR_CONF_STR, "DIR", ".", 0, 0, NULL, "Where what was made is put.", offsetof(type, task.to), NULL }, \
	{ "env", GR_CONF_STR, "K=V", NULL, 0, 0, NULL, \
	  "A variable of the command's environment; K alone takes the value it has here; again for more.", offsetof(type, task.env), NULL }, \
	{ "cpus", GR_CONF_STR, "CPUS", "1", 0, 0, NULL, "Cores a task takes, e.g. 2 or 0.5.", offsetof(type, task.cpus), NULL }, \
	{ "mem", GR_CONF_BYTES, "bytes", "0", 0, 1ll << 50, NULL, "Memory a task takes, and is held to; 0 says nothing.", \
	  offsetof(type, task.mem_bytes), NULL }, \
	{ "gpus", GR_CONF_STR, "GPUS", "0", 0, 0, NULL, "Graphics processors a task takes.", offsetof(type, task.gpus), NULL }, \
	{ "timeout", GR_CONF_MS, "ms", "0", 0, 31536000000ll, NULL, "A task is ended after so long; 0 never.", \
	  offsetof(type, task.timeout_ms), NULL }, \
	{ "retries", GR_CONF_INT, "TIMES", "0", 0, 1000, NULL, \
	  "A task that fails is run again so often; one whose worker was lost is in any case.", offsetof(type, task.retries), NULL }, \
	{ "output-cap", GR_CONF_BYTES, "bytes", "8M", 1, 1ll << 30, NULL, \
	  "So much of what a task prints is kept, of stdout and of stderr; the rest is cut, with a line that says so.", \
	  offsetof(type, task.output_cap_bytes), NULL }, \
	{ "where", GR_CONF_STR, "LABEL[=V]", NULL, 0, 0, NULL, \
	  "Only workers with this label; again for more.", offsetof(type, task.where), NULL }, \
	{ "network", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Let the command use the network.", offsetof(type, task.network), NULL }, \
	{ "shell", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Join the words and let sh run them.", offsetof(type, task.is_shell), NULL }, \
	{ "name", GR_CONF_STR, "NAME", NULL, 0, 0, NULL, "The job's name. Default: the command's.", offsetof(type, task.name), NULL }, \
	{ "tenant", GR_CONF_STR, "TENANT", NULL, 0, 0, NULL, "Whose share of the cluster it takes.", offsetof(type, task.tenant), NULL }, \
	{ "priority", GR_CONF_INT, "", "0", -15, 15, NULL, "Higher goes first.", offsetof(type, task.priority), NULL }, \
	{ "idle", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Run only where nothing else wants to; give way at once.", \
	  offsetof(type, task.idle), NULL }, \
	{ "detach", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print the job's number and do not wait for it.", offsetof(type, task.detach), NULL }, \
	{ "quiet", GR_CONF_BOOL, "", "false", 0, 0, NULL, "No progress, no summary.", offsetof(type, task.quiet), NULL }, \
	GR_TARGET_KEYS_AT(type, task.target)

/* Takes the options that may stand several times out of @argv. Return: the new argc. GR_EUSAGE: one lacks its value, or
 * is -j, which there is none of. */
int gr_task_lists_take(const struct gr_cmd *cmd, int argc, char **argv, struct gr_task_lists *l, struct gr_err *err) GR_MUST_CHECK;
void gr_task_lists_fini(struct gr_task_lists *l);
/* Of what gr_cmd_options left from @i on: an option that is none, and no command behind "--", is GR_EUSAGE. */
int gr_task_check_words(char *const *argv, int i, struct gr_err *err) GR_MUST_CHECK;
/**
 * gr_task_file - the job file that the options and @words stand for; the caller adds an array
 * One word with blanks or signs of the shell, or --shell: a script for sh. Else the program and its arguments.
 * @script: set to the script (borrowed from the result), or NULL
 */
json_t *gr_task_file(const struct gr_task_opts *o, const struct gr_task_lists *l, char *const *words, int n_words, const char **script,
		     struct gr_err *err);
