/* argv_fuzz - command lines: one word a line; the first line's first byte chooses the family and whether the rest is an
 * @file's text. What the parser promises is checked: places lie inside their words, outputs are named, and what the
 * wrapper keeps at home the agent keeps too. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/cc/args.h"
#include "lib/cc/key.h"
#include "lib/cc/triage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_WORDS 512
#define CHECK(x) do { if (!(x)) abort(); } while (0)

static void parse(int argc, char **argv, enum gr_cc_family family, char **envp)
{
	const char *why = gr_cc_triage(argc, argv);
	struct gr_digest d = { { 0 } }, key;
	struct gr_buf words = { 0 };
	struct gr_cc_cmd cmd;

	gr_cc_args_parse(&cmd, family, argc, argv, envp);
	CHECK(cmd.verdict == GR_CC_LOCAL || cmd.verdict == GR_CC_REMOTE);
	CHECK(!why || cmd.verdict == GR_CC_LOCAL);
	if (cmd.verdict == GR_CC_LOCAL) {
		CHECK(cmd.reason && *cmd.reason);
	} else {
		CHECK(cmd.source && cmd.argv[cmd.source_arg] == cmd.source && cmd.lang != GR_CC_LANG_NONE);
		CHECK(cmd.n_outputs >= 1 && cmd.outputs[0].kind == GR_CC_OUT_OBJECT && cmd.outputs[0].is_required);
		for (uint32_t i = 0; i < cmd.n_outputs; i++)
			CHECK(*cmd.outputs[i].path && strcmp(cmd.outputs[i].path, cmd.source));
		for (uint32_t i = 0; i < cmd.n_paths; i++)
			CHECK(cmd.paths[i].arg < (uint32_t)argc &&
			      (size_t)cmd.paths[i].off + cmd.paths[i].len <= strlen(argv[cmd.paths[i].arg]));
		for (uint32_t i = 0; i < cmd.n_dirs; i++)
			CHECK(cmd.dirs[i].n_path == strlen(cmd.dirs[i].path) && cmd.dirs[i].n_path);
		gr_cc_cmd_normal(&cmd, &words);
		CHECK(!words.n || words.p[words.n - 1] == 0);
		gr_cc_key1(&d, &cmd, "/", envp, false, &d, &key);
	}
	gr_buf_fini(&words);
	gr_cc_cmd_fini(&cmd);
}

static void parse_file(const uint8_t *data, size_t n)
{
	int fd = memfd_create("argv_fuzz", MFD_CLOEXEC);
	char at[64];
	char *argv[] = { (char *)(uintptr_t)"gcc", at, NULL };
	struct gr_cc_argv out;

	if (fd < 0 || write(fd, data, n) != (ssize_t)n) {
		close(fd);
		return;
	}
	snprintf(at, sizeof(at), "@/proc/self/fd/%d", fd);
	if (gr_cc_args_expand(2, argv, "/", &out, NULL) == 0) {
		CHECK(out.argv[out.argc] == NULL && out.argc >= 1);
		parse(out.argc, out.argv, GR_CC_GCC, NULL);
		gr_cc_argv_fini(&out);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *argv[MAX_WORDS + 2], *envp[] = { (char *)(uintptr_t)"CPATH=a::b", (char *)(uintptr_t)"LC_ALL=C", NULL }, *text, *next;
	int argc = 0;

	if (!n)
		return 0;
	if (data[0] & 4) {
		parse_file(data + 1, n - 1);
		return 0;
	}
	text = gr_xstrndup((const char *)data + 1, strnlen((const char *)data + 1, n - 1));
	argv[argc++] = (char *)(uintptr_t)(data[0] & 2 ? "g++" : "gcc");
	for (char *p = text; p && argc < MAX_WORDS; p = next) {
		next = strchr(p, '\n');
		if (next)
			*next++ = 0;
		argv[argc++] = p;
	}
	argv[argc] = NULL;
	parse(argc, argv, data[0] & 1 ? GR_CC_CLANG : GR_CC_GCC, data[0] & 8 ? envp : NULL);
	free(text);
	return 0;
}
