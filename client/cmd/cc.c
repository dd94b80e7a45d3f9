/* cc.c - `griddle cc COMPILER ARGS...`: the wrapper, for those who do not want to name griddle-cc */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd/commands.h"
#include "client/paths.h"

static int run_cc(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_err err;
	char *wrapper;

	if (argc < 2)
		return gr_cmd_usage(cmd, NULL);
	if (gr_paths_sibling("griddle-cc", &wrapper, &err) < 0)
		return gr_cmd_fail(cmd, &err);
	argv[0] = (char *)"griddle-cc";
	execv(wrapper, argv);
	gr_err_set(&err, GR_EIO, "%s: %s", wrapper, strerror(errno));
	free(wrapper);
	return gr_cmd_fail(cmd, &err);
}

const struct gr_cmd gr_cmd_cc = {
	.name = "cc", .args = "COMPILER ARGS...", .summary = "run one compile, on a worker when it can go there",
	.help = "  griddle cc gcc -O2 -c hello.c -o hello.o\n"
		"  make CC=\"griddle-cc gcc\" CXX=\"griddle-cc g++\"\n"
		"  cmake -DCMAKE_C_COMPILER_LAUNCHER=griddle-cc -DCMAKE_CXX_COMPILER_LAUNCHER=griddle-cc ...\n\n"
		"The same as griddle-cc, which starts faster and is what builds should name. Object, messages and exit\n"
		"code are those of a local run. What cannot travel, or has no agent to go through, is compiled here.\n"
		"GRIDDLE_VERBOSE=1 says why a compile stayed here; GRIDDLE_DISABLE=1 keeps all of them here.\n",
	.run = run_cc,
};
