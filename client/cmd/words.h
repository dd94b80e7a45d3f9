/**
 * words - options wherever they stand among a command's words, for commands with verbs: `griddle job logs 12 -f`
 */
#pragma once
#include "client/cmd/cmd.h"

/* Moves options and their values in front of the other words, each kind in its order; "--" ends options. @argv is changed. */
void gr_words_sort(const struct gr_cmd *cmd, int argc, char **argv);
/* Whether the option takes no value. @name without dashes, or one letter with @is_letter. */
bool gr_words_is_bool(const struct gr_cmd *cmd, const char *name, bool is_letter);
