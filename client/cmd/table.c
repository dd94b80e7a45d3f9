/* table.c - the one list of commands, and what every command does with its words. The order is the order of the help. */
#include <string.h>

#include "client/cmd/cmd.h"
#include "client/cmd/commands.h"
#include "client/view/table.h"
#include "lib/base/utf8.h"

const struct gr_cmd *const gr_cmds[] = {
	&gr_cmd_up, &gr_cmd_down, &gr_cmd_make, &gr_cmd_cc,
	&gr_cmd_run, &gr_cmd_map, &gr_cmd_submit, &gr_cmd_job, &gr_cmd_task, &gr_cmd_admin,
	&gr_cmd_load, &gr_cmd_status, &gr_cmd_nodes, &gr_cmd_top, &gr_cmd_explain, &gr_cmd_place, &gr_cmd_doctor, &gr_cmd_keys,
	&gr_cmd_agent_entry, &gr_cmd_completion, &gr_cmd_version, &gr_cmd_help,
	NULL,
};

const struct gr_cmd *gr_cmd_find(const char *name)
{
	for (size_t i = 0; gr_cmds[i]; i++)
		if (!strcmp(gr_cmds[i]->name, name))
			return gr_cmds[i];
	return NULL;
}

/* The key that "-x" stands for: shorts is "o=output j=jobs". */
static const struct gr_conf_key *short_key(const struct gr_cmd *cmd, char letter)
{
	for (const char *s = cmd->shorts; s && *s; s += strcspn(s, " "), s += *s == ' ') {
		size_t n = strcspn(s + 2, " ");

		if (s[0] != letter)
			continue;
		for (size_t i = 0; i < gr_cmd_n_keys(cmd); i++)
			if (strlen(cmd->keys[i].key) == n && !memcmp(cmd->keys[i].key, s + 2, n))
				return &cmd->keys[i];
	}
	return NULL;
}

/* What becomes part of a question to the coordinator must be text; a file's name may be any bytes. */
static int check_texts(const struct gr_conf *conf, struct gr_err *err)
{
	for (size_t i = 0; i < conf->n_keys; i++) {
		const struct gr_conf_key *k = &conf->keys[i];
		const char *value = k->type == GR_CONF_STR ? *(char **)((char *)conf->obj + k->offset) : NULL;

		if (value && strcmp(k->unit, "FILE") && strcmp(k->unit, "DIR") && strcmp(k->unit, "PATH") && !gr_utf8_is(gr_slice_str(value)))
			return gr_err_set(err, GR_EUSAGE, "%s: wants text in UTF-8, not \"%.200s\" (from %s)", k->key, value, conf->origin[i]);
	}
	return 0;
}

int gr_cmd_options(const struct gr_cmd *cmd, int argc, char **argv, struct gr_conf *conf, void *obj, struct gr_err *err)
{
	extern char **environ;
	int i = 1, rc;

	gr_conf_init(conf, cmd->keys, gr_cmd_n_keys(cmd), obj);
	rc = gr_conf_load_env(conf, environ, err);
	while (rc >= 0) {
		const struct gr_conf_key *k;
		const char *value;
		char origin[80];
		int start = i;

		rc = gr_conf_load_args(conf, argc - i + 1, argv + i - 1, err);
		if (rc < 0)
			break;
		i += rc - 1;
		k = i >= argc || (i > start && !strcmp(argv[i - 1], "--")) || argv[i][0] != '-' || !argv[i][1] ? NULL : short_key(cmd, argv[i][1]);
		if (!k) {
			rc = check_texts(conf, err);
			break;
		}
		value = argv[i][2] ? argv[i] + 2 : k->type == GR_CONF_BOOL ? "true" : argv[++i];
		if (i >= argc || !value) {
			rc = gr_err_set(err, GR_EUSAGE, "-%c: wants a value", argv[argc - 1][1]);
			break;
		}
		snprintf(origin, sizeof(origin), "--%s", k->key);
		rc = gr_conf_set(conf, k->key, value, origin, err);
		i++;
	}
	if (rc >= 0)
		return i;
	gr_conf_fini(conf);
	return rc;
}

int gr_cmd_fail(const struct gr_cmd *cmd, const struct gr_err *err)
{
	fprintf(stderr, "griddle %s: ", cmd->name);
	gr_view_text(err->text, stderr);
	fputc('\n', stderr);
	return gr_err_exit(err->code);
}

int gr_cmd_usage(const struct gr_cmd *cmd, const char *word)
{
	if (word)
		fprintf(stderr, "griddle %s: %s: not understood\n", cmd->name, word);
	fprintf(stderr, "usage: griddle %s%s%s%s\n`griddle help %s` says more.\n", cmd->name, gr_cmd_n_keys(cmd) ? " [OPTIONS]" : "",
		*cmd->args ? " " : "", cmd->args, cmd->name);
	return GR_EXIT_USAGE;
}
