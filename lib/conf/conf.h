/**
 * conf - one table of settings: key, type, unit, default, range and text; parsing, --help-config and docs from it
 *
 * Order of strength: flag > environment (GRIDDLE_ + upper-case key, '-' as '_') > file (JSON object) > default.
 * A key is lower-case words with '-'. Values go into the caller's struct at `offset`.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "lib/base/err.h"

enum gr_conf_type { GR_CONF_STR, GR_CONF_INT, GR_CONF_BYTES, GR_CONF_MS, GR_CONF_BOOL, GR_CONF_ENUM };
struct gr_conf_key {
	const char *key;
	enum gr_conf_type type;       /* field: STR char * (owned); INT, BYTES, MS, ENUM int64_t; BOOL bool */
	const char *unit;             /* for people: "bytes", "ms", "" */
	const char *def;              /* as text; NULL: a STR that may be unset */
	int64_t min, max;             /* INT, BYTES, MS */
	const char *const *choices;   /* ENUM: NULL-terminated; the value is the index */
	const char *text;             /* one sentence */
	size_t offset;
	const char *origin_hint;      /* unused by the parser; NULL */
};
struct gr_conf {                      /* a view over the caller's struct; origin[i] tells where value i came from */
	const struct gr_conf_key *keys;
	size_t n_keys;
	void *obj;
	const char **origin;
};
void gr_conf_init(struct gr_conf *c, const struct gr_conf_key *keys, size_t n_keys, void *obj);   /* defaults */
void gr_conf_fini(struct gr_conf *c);
/* "12" -> 12: digits alone, 0 to @max; a number that a person or a request gives. False: @out is as it was. */
bool gr_conf_whole(const char *text, uint64_t max, uint64_t *out);
/* "64M", "1.5G", "10s", "250ms", "true"... GR_ECONFIG with "KEY: bad value \"x\": wants bytes 1M..1T (from --cache)". */
int gr_conf_set(struct gr_conf *c, const char *key, const char *value, const char *origin, struct gr_err *err) GR_MUST_CHECK;
/* JSON object; unknown keys are errors with a suggestion. A missing file is GR_ENOENT. */
int gr_conf_load_file(struct gr_conf *c, const char *path, struct gr_err *err) GR_MUST_CHECK;
int gr_conf_load_env(struct gr_conf *c, char *const *environ_, struct gr_err *err) GR_MUST_CHECK;
/* Reads "--key value", "--key=value", "--bool", "--no-bool" from argv[1] on; stops behind "--" or at the first word that
 * does not start with "--". "--config FILE" loads that file (weaker than environment and flags wherever it stands).
 * Values stronger than a source stay, so the sources may be loaded in any order. Return: index of the first word left. */
int gr_conf_load_args(struct gr_conf *c, int argc, char **argv, struct gr_err *err) GR_MUST_CHECK;
void gr_conf_print_help(const struct gr_conf *c, FILE *out);        /* --help-config */
void gr_conf_print_markdown(const struct gr_conf *c, FILE *out);    /* docs/config.md */
void gr_conf_print_values(const struct gr_conf *c, FILE *out);      /* value and origin a line */
/* What a daemon answers instead of running: --help (by @print_help), --help-config, --help-config-markdown, --version.
 * Return: true when one of them was there and its text is on stdout. */
bool gr_conf_tell(const struct gr_conf *c, int argc, char **argv, const char *program, void (*print_help)(FILE *out));
/* Takes @flag out of @argv (and *argc) wherever it stands before a "--". Return: whether it was there. For what is no
 * setting: --check-config, with which a daemon reads its settings, says "ok" or what is wrong, and ends. */
bool gr_conf_take(int *argc, char **argv, const char *flag);
