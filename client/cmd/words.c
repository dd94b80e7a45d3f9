/* words.c - see words.h */
#include "client/cmd/words.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

bool gr_words_is_bool(const struct gr_cmd *cmd, const char *name, bool is_letter)
{
	const char *s = cmd->shorts;
	size_t n = strlen(name);

	if (is_letter) {
		while (s && *s && s[0] != *name) {
			s += strcspn(s, " ");
			s += *s == ' ';
		}
		if (!s || !*s)
			return false;
		name = s + 2;
		n = strcspn(name, " ");
	}
	for (size_t i = 0; i < gr_cmd_n_keys(cmd); i++)
		if (strlen(cmd->keys[i].key) == n && !memcmp(cmd->keys[i].key, name, n))
			return cmd->keys[i].type == GR_CONF_BOOL;
	return !is_letter && !strncmp(name, "no-", 3);
}

void gr_words_sort(const struct gr_cmd *cmd, int argc, char **argv)
{
	char *dashes = NULL, **words = gr_xalloc(((size_t)argc + 1) * sizeof(*words));
	int n_options = 1, n_words = 0, i;

	for (i = 1; i < argc; i++) {
		bool is_long = argv[i][0] == '-' && argv[i][1] == '-', has_value;
		char letter[2] = { argv[i][1], 0 };

		if (is_long && !argv[i][2]) {
			dashes = argv[i++];
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			words[n_words++] = argv[i];
			continue;
		}
		has_value = is_long ? !strchr(argv[i], '=') && !gr_words_is_bool(cmd, argv[i] + 2, false) :
			    !argv[i][2] && !gr_words_is_bool(cmd, letter, true);
		argv[n_options++] = argv[i];
		if (has_value && i + 1 < argc) {
			argv[n_options] = argv[i + 1];
			n_options++;
			i++;
		}
	}
	for (; i < argc; i++)
		words[n_words++] = argv[i];
	memcpy(argv + argc - n_words, words, (size_t)n_words * sizeof(*words));
	if (dashes)
		argv[n_options] = dashes;
	free(words);
}
