/* agent.c - the table's entry for `griddle agent`; the agent itself and its settings are client/agent */
#include <string.h>

#include "client/agent/config.h"
#include "client/cmd/commands.h"

static int run_agent(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_conf view = { gr_agent_keys, gr_agent_n_keys, NULL, NULL };

	(void)cmd;
	if (argc == 2 && !strcmp(argv[1], "--help-config")) {
		gr_conf_print_help(&view, stdout);
		return GR_EXIT_OK;
	}
	if (argc == 2 && !strcmp(argv[1], "--help-config-markdown")) {
		gr_conf_print_markdown(&view, stdout);
		return GR_EXIT_OK;
	}
	return gr_cmd_agent(argc, argv);
}

const struct gr_cmd gr_cmd_agent_entry = {
	.name = "agent", .args = "", .summary = "the per-user daemon beside a build, in the foreground",
	.help = "  griddle agent --coordinator tcp://127.0.0.1:7420\n"
		"  griddle agent --status\n"
		"  griddle agent --stop\n\n"
		"Finds what a compile reads, sends it, keeps results in a cache. `griddle up` and `griddle make` start one\n"
		"when none runs; start it by hand for builds that call griddle-cc themselves, or to watch what it says.\n",
	.keys = gr_agent_keys, .n_keys_of = &gr_agent_n_keys, .run = run_agent,
};
