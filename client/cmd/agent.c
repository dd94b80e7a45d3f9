/* agent.c - the table's entry for `griddle agent`; the agent itself is client/agent */
#include "client/cmd/commands.h"

static int run_agent(const struct gr_cmd *cmd, int argc, char **argv)
{
	(void)cmd;
	return gr_cmd_agent(argc, argv);
}

const struct gr_cmd gr_cmd_agent_entry = {
	.name = "agent", .args = "[OPTIONS]", .summary = "the per-user daemon beside a build, in the foreground",
	.help = "  griddle agent --coordinator tcp://127.0.0.1:7420\n"
		"  griddle agent --help-config\n\n"
		"Finds what a compile reads, sends it, keeps results in a cache. `griddle up` and `griddle make` start one\n"
		"when none runs; start it by hand for builds that call griddle-cc themselves, or to watch what it says.\n"
		"`griddle agent --help-config` lists its settings.\n",
	.run = run_agent,
};
