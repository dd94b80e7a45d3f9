/**
 * terminal - what a compiler does differently when its messages go to a terminal
 *
 * A worker's compiler writes into a pipe. So that the bytes are the same, the agent asks for colours (and gcc's links)
 * where the compiler would have used them, and knows when the terminal's width would have changed the layout.
 */
#pragma once
#include <stdbool.h>
#include "client/agent/agent.h"
#include "lib/cc/args.h"

/* The environment's value, or NULL. */
const char *gr_request_env(const struct gr_request *req, const char *name);
/* Flags to add for a terminal: at most 2, constant strings, into @out. @gcc_major: 0 for clang.
 * Return: how many; -1 when it is not known what the compiler would do, or a flag would show in the object: then nothing
 * is added, and messages, if there are any, must be made here. */
int gr_terminal_flags(const struct gr_request *req, const struct gr_cc_cmd *cmd, int gcc_major, const char *out[2]);
/* True when no line of @text reaches the terminal's width, or the messages do not go to one. */
bool gr_terminal_fits(const struct gr_request *req, struct gr_slice text);
