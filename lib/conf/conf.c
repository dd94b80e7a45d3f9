/* conf.c - see conf.h. A value remembers where it came from as text ("default", a file's path, "GRIDDLE_X", "--x"),
 * and the order of strength is read off that text, so that sources may be loaded in any order: --config is found while
 * the flags are read, after the environment. A second array of ranks was not kept: it could disagree with the text. */
#include "lib/conf/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/suggest.h"

#define MAX_FILE_BYTES (1u << 20)
#define MAX_KEYS 128

struct unit {
	const char *name;
	int64_t factor;
};
static const struct unit bytes_units[] = {
	{ "T", 1ll << 40 }, { "G", 1ll << 30 }, { "M", 1ll << 20 }, { "K", 1ll << 10 }, { "B", 1 }, { "", 1 },
};
static const struct unit ms_units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

enum rank { RANK_DEFAULT, RANK_FILE, RANK_ENV, RANK_FLAG };

static enum rank rank_of(const char *origin)
{
	if (!strcmp(origin, "default"))
		return RANK_DEFAULT;
	if (!strncmp(origin, "--", 2))
		return RANK_FLAG;
	return !strncmp(origin, "GRIDDLE_", 8) ? RANK_ENV : RANK_FILE;
}

static void *field(const struct gr_conf *c, size_t i) { return (char *)c->obj + c->keys[i].offset; }

static int find(const struct gr_conf *c, const char *key, size_t n)
{
	for (size_t i = 0; i < c->n_keys; i++)
		if (strlen(c->keys[i].key) == n && !memcmp(c->keys[i].key, key, n))
			return (int)i;
	return -1;
}

/* ---- text of values ---- */

/* The largest unit that divides @v: 65536 -> "64K". */
static void print_number(struct gr_buf *b, enum gr_conf_type type, int64_t v)
{
	const struct unit *u = type == GR_CONF_BYTES ? bytes_units : ms_units;

	if (type == GR_CONF_INT || v == 0) {
		gr_buf_printf(b, "%" PRId64, v);
		return;
	}
	while (v % u->factor)
		u++;
	gr_buf_printf(b, "%" PRId64 "%s", v / u->factor, u->factor == 1 && type == GR_CONF_BYTES ? "" : u->name);
}

static void print_wants(struct gr_buf *b, const struct gr_conf_key *k)
{
	switch (k->type) {
	case GR_CONF_STR:
		gr_buf_add_str(b, "text");
		break;
	case GR_CONF_BOOL:
		gr_buf_add_str(b, "true or false");
		break;
	case GR_CONF_ENUM:
		for (size_t i = 0; k->choices[i]; i++)
			gr_buf_printf(b, "%s%s", i ? "|" : "", k->choices[i]);
		break;
	case GR_CONF_INT: case GR_CONF_BYTES: case GR_CONF_MS:
		gr_buf_printf(b, "%s ", k->type == GR_CONF_BYTES ? "bytes" : k->type == GR_CONF_MS ? "a time" : "a number");
		print_number(b, k->type, k->min);
		gr_buf_add_str(b, "..");
		if (k->max == INT64_MAX)
			break;
		print_number(b, k->type, k->max);
		break;
	}
}

static void print_value(struct gr_buf *b, const struct gr_conf *c, size_t i)
{
	const struct gr_conf_key *k = &c->keys[i];

	switch (k->type) {
	case GR_CONF_STR: {
		const char *s = *(char **)field(c, i);

		gr_buf_add_str(b, s ? s : "");
		break;
	}
	case GR_CONF_BOOL:
		gr_buf_add_str(b, *(bool *)field(c, i) ? "true" : "false");
		break;
	case GR_CONF_ENUM:
		gr_buf_add_str(b, k->choices[*(int64_t *)field(c, i)]);
		break;
	default:
		print_number(b, k->type, *(int64_t *)field(c, i));
	}
}

/* ---- parsing ---- */

bool gr_conf_whole(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || v > max)
		return false;
	*out = v;
	return true;
}

static int parse_int(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno || end == text || *end ? GR_EINVAL : 0;
}

/* "1.5G": a decimal number and a unit, any case; "Ki", "KiB" and "KB" all mean 1024. */
static int parse_scaled(const char *text, enum gr_conf_type type, int64_t *out)
{
	const struct unit *u = type == GR_CONF_BYTES ? bytes_units : ms_units;
	size_t n_units = type == GR_CONF_BYTES ? GR_LEN(bytes_units) : GR_LEN(ms_units);
	char *end, unit[8];
	double v;
	size_t n;

	if (!isdigit((unsigned char)*text) || text[1] == 'x' || text[1] == 'X')
		return GR_EINVAL;
	v = strtod(text, &end);
	while (*end == ' ')
		end++;
	n = strlen(end);
	if (n >= sizeof(unit))
		return GR_EINVAL;
	memcpy(unit, end, n + 1);
	if (type == GR_CONF_BYTES && n > 1) {
		if (unit[n - 1] == 'B' || unit[n - 1] == 'b')
			unit[--n] = 0;
		if (n > 1 && unit[n - 1] == 'i')
			unit[--n] = 0;
	}
	if (type == GR_CONF_MS && !n && v == 0) {       /* any other time without a unit is seconds to one and milliseconds to another */
		*out = 0;
		return 0;
	}
	for (size_t i = 0; i < n_units; i++) {
		if (strcasecmp(unit, u[i].name))
			continue;
		v *= (double)u[i].factor;
		if (!isfinite(v) || v >= 9.2e18)
			return GR_EINVAL;
		*out = (int64_t)(v + 0.5);
		return 0;
	}
	return GR_EINVAL;
}

static int parse_bool(const char *text, bool *out)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

	for (size_t i = 0; i < GR_LEN(words); i++)
		if (!strcasecmp(text, words[i])) {
			*out = i & 1;
			return 0;
		}
	return GR_EINVAL;
}

static int put(struct gr_conf *c, size_t i, const char *text)
{
	const struct gr_conf_key *k = &c->keys[i];
	int64_t v = 0;
	bool flag;
	int rc;

	switch (k->type) {
	case GR_CONF_STR: {
		char **s = field(c, i);
		char *old = *s;

		*s = text ? gr_xstrdup(text) : NULL;
		free(old);
		return 0;
	}
	case GR_CONF_BOOL:
		rc = parse_bool(text, &flag);
		if (rc == 0)
			*(bool *)field(c, i) = flag;
		return rc;
	case GR_CONF_ENUM:
		for (; k->choices[v]; v++)
			if (!strcmp(k->choices[v], text)) {
				*(int64_t *)field(c, i) = v;
				return 0;
			}
		return GR_EINVAL;
	default:
		rc = k->type == GR_CONF_INT ? parse_int(text, &v) : parse_scaled(text, k->type, &v);
		if (rc < 0 || v < k->min || v > k->max)
			return GR_EINVAL;
		*(int64_t *)field(c, i) = v;
		return 0;
	}
}

static void set_origin(struct gr_conf *c, size_t i, const char *origin)
{
	char *fresh = gr_xstrdup(origin);

	free((char *)c->origin[i]);
	c->origin[i] = fresh;
}

static int set_at(struct gr_conf *c, size_t i, const char *value, const char *origin, struct gr_err *err)
{
	struct gr_buf wants = { 0 };
	int rc;

	if (rank_of(origin) < rank_of(c->origin[i]))
		return 0;
	rc = put(c, i, value);
	if (rc == 0) {
		set_origin(c, i, origin);
		return 0;
	}
	print_wants(&wants, &c->keys[i]);
	if (c->keys[i].type == GR_CONF_MS && *value && strspn(value, "0123456789.") == strlen(value))
		gr_buf_printf(&wants, ": is it %.20ss or %.20sms?", value, value);
	gr_err_set(err, GR_ECONFIG, "%s: bad value \"%.200s\": wants %s (from %s)", c->keys[i].key, value,
		   gr_buf_str(&wants), origin);
	gr_buf_fini(&wants);
	return GR_ECONFIG;
}

static int unknown(const struct gr_conf *c, const char *key, const char *dashes, const char *origin, struct gr_err *err)
{
	const char *names[MAX_KEYS], *near;
	size_t n = c->n_keys < MAX_KEYS ? c->n_keys : MAX_KEYS;

	for (size_t i = 0; i < n; i++)
		names[i] = c->keys[i].key;
	near = gr_suggest(key, names, n);
	return gr_err_set(err, GR_ECONFIG, "%s%.200s: no such setting%s%s%s%s (from %s)", dashes, key,
			  near ? "; did you mean " : "", near ? dashes : "", near ? near : "", near ? "?" : "", origin);
}

void gr_conf_init(struct gr_conf *c, const struct gr_conf_key *keys, size_t n_keys, void *obj)
{
	*c = (struct gr_conf){ keys, n_keys, obj, gr_xalloc((n_keys + 1) * sizeof(*c->origin)) };
	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].type == GR_CONF_STR)
			*(char **)field(c, i) = NULL;
		set_origin(c, i, "default");
		if (put(c, i, keys[i].def) < 0) {
			fprintf(stderr, "bug: default of setting %s is not valid\n", keys[i].key);
			abort();
		}
	}
}

void gr_conf_fini(struct gr_conf *c)
{
	for (size_t i = 0; i < c->n_keys; i++) {
		if (c->keys[i].type == GR_CONF_STR) {
			free(*(char **)field(c, i));
			*(char **)field(c, i) = NULL;
		}
		free((char *)c->origin[i]);
	}
	free(c->origin);
	*c = (struct gr_conf){ 0 };
}

int gr_conf_set(struct gr_conf *c, const char *key, const char *value, const char *origin, struct gr_err *err)
{
	int i = find(c, key, strlen(key));

	if (i < 0)
		return unknown(c, key, "", origin, err);
	return set_at(c, (size_t)i, value, origin, err);
}

/* ---- sources ---- */

/* A JSON value as the text a flag would carry; a list of texts is joined with ','. False for what has no such form. */
static bool json_text(const json_t *v, struct gr_buf *out)
{
	size_t i;
	json_t *e;

	if (json_is_string(v)) {
		gr_buf_add_str(out, json_string_value(v));
	} else if (json_is_integer(v)) {
		gr_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	} else if (json_is_real(v)) {
		gr_buf_printf(out, "%.17g", json_real_value(v));
	} else if (json_is_boolean(v)) {
		gr_buf_add_str(out, json_is_true(v) ? "true" : "false");
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, e) {
			if (!json_is_string(e))
				return false;
			gr_buf_printf(out, "%s%s", i ? "," : "", json_string_value(e));
		}
	} else {
		return false;
	}
	return true;
}

static int load_object(struct gr_conf *c, json_t *root, const char *path, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach(root, key, value) {
		int i = find(c, key, strlen(key));

		gr_buf_clear(&text);
		if (i < 0)
			rc = unknown(c, key, "", path, err);
		else if (!json_text(value, &text))
			rc = gr_err_set(err, GR_ECONFIG, "%s: wants a string, number, true, false or a list of strings (from %s)",
					key, path);
		else
			rc = set_at(c, (size_t)i, gr_buf_str(&text), path, err);
		if (rc < 0)
			break;
	}
	gr_buf_fini(&text);
	return rc;
}

int gr_conf_load_file(struct gr_conf *c, const char *path, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	json_error_t je;
	json_t *root;
	int rc;

	rc = gr_file_read(path, MAX_FILE_BYTES, &text, err);
	if (rc < 0)
		goto out_text;
	root = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &je);
	if (!root) {
		rc = gr_err_set(err, GR_ECONFIG, "%s: line %d, column %d: %s", path, je.line, je.column, je.text);
		goto out_text;
	}
	if (json_is_object(root))
		rc = load_object(c, root, path, err);
	else
		rc = gr_err_set(err, GR_ECONFIG, "%s: not a JSON object", path);
	json_decref(root);
out_text:
	gr_buf_fini(&text);
	return rc;
}

static void env_name(const char *key, char out[80])
{
	size_t n = (size_t)snprintf(out, 80, "GRIDDLE_%s", key);

	for (size_t i = 8; i < n && i < 79; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

int gr_conf_load_env(struct gr_conf *c, char *const *environ_, struct gr_err *err)
{
	char name[80];

	for (size_t i = 0; i < c->n_keys; i++) {
		size_t n;

		env_name(c->keys[i].key, name);
		n = strlen(name);
		for (char *const *e = environ_; *e; e++) {
			int rc;

			if (strncmp(*e, name, n) || (*e)[n] != '=' || !(*e)[n + 1])
				continue;
			rc = set_at(c, i, *e + n + 1, name, err);
			if (rc < 0)
				return rc;
			break;
		}
	}
	return 0;
}

struct option {
	char key[80], flag[84];   /* flag: as written, without its value */
	const char *value;        /* NULL for a bare bool */
	bool is_no;
	int i_key;                /* -1: unknown */
	int next;                 /* index of the word behind it */
};

/* Splits argv[at], a word that starts with "--". */
static int read_option(const struct gr_conf *c, int argc, char **argv, int at, struct option *o, struct gr_err *err)
{
	const char *word = argv[at] + 2, *eq = strchr(word, '=');
	size_t n = eq ? (size_t)(eq - word) : strlen(word);

	if (n >= sizeof(o->key))
		return gr_err_set(err, GR_EUSAGE, "%.40s...: no such option", argv[at]);
	*o = (struct option){ .value = eq ? eq + 1 : NULL, .next = at + 1 };
	memcpy(o->key, word, n);
	snprintf(o->flag, sizeof(o->flag), "--%s", o->key);
	o->i_key = find(c, o->key, n);
	if (o->i_key < 0 && !strncmp(o->key, "no-", 3) && !eq) {
		o->i_key = find(c, o->key + 3, n - 3);
		if (o->i_key >= 0 && c->keys[o->i_key].type == GR_CONF_BOOL) {
			o->is_no = true;
			return 0;
		}
		o->i_key = -1;
	}
	if (o->i_key < 0 && strcmp(o->key, "config"))
		return unknown(c, o->key, "--", "the command line", err);
	if (o->value || (o->i_key >= 0 && c->keys[o->i_key].type == GR_CONF_BOOL))
		return 0;
	if (at + 1 >= argc)
		return gr_err_set(err, GR_EUSAGE, "%s: wants a value", o->flag);
	o->value = argv[at + 1];
	o->next = at + 2;
	return 0;
}

int gr_conf_load_args(struct gr_conf *c, int argc, char **argv, struct gr_err *err)
{
	struct option o;
	int rc, i = 1;

	while (i < argc && !strncmp(argv[i], "--", 2)) {
		if (!argv[i][2])
			return i + 1;
		rc = read_option(c, argc, argv, i, &o, err);
		if (rc < 0)
			return rc;
		if (o.i_key < 0)
			rc = gr_conf_load_file(c, o.value, err);
		else
			rc = set_at(c, (size_t)o.i_key, o.value ? o.value : o.is_no ? "false" : "true", o.flag, err);
		if (rc < 0)
			return rc;
		i = o.next;
	}
	return i;
}

/* ---- print-outs ---- */

void gr_conf_print_help(const struct gr_conf *c, FILE *out)
{
	struct gr_buf b = { 0 };
	char name[80];

	for (size_t i = 0; i < c->n_keys; i++) {
		const struct gr_conf_key *k = &c->keys[i];

		env_name(k->key, name);
		gr_buf_clear(&b);
		gr_buf_printf(&b, "  --%s", k->key);
		if (k->type == GR_CONF_BOOL)
			gr_buf_printf(&b, ", --no-%s", k->key);
		else if (k->type == GR_CONF_STR)
			gr_buf_printf(&b, " %s", k->unit && *k->unit ? k->unit : "TEXT");
		else {
			gr_buf_add_byte(&b, ' ');
			print_wants(&b, k);
		}
		fprintf(out, "%s\n      %s", gr_buf_str(&b), k->text);
		if (k->def && *k->def) {
			const char *quote = k->def[strlen(k->def) - 1] == '.' ? "\"" : "";     /* "." would read as ".." */

			fprintf(out, " Default: %s%s%s.", quote, k->def, quote);
		}
		fprintf(out, " [%s]\n", name);
	}
	gr_buf_fini(&b);
}

static void print_cell(FILE *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			fputc('\\', out);
		fputc(*s, out);
	}
}

void gr_conf_print_markdown(const struct gr_conf *c, FILE *out)
{
	struct gr_buf b = { 0 };
	char name[80];

	fprintf(out, "| Key | Wants | Default | Environment | Meaning |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < c->n_keys; i++) {
		const struct gr_conf_key *k = &c->keys[i];

		env_name(k->key, name);
		gr_buf_clear(&b);
		if (k->type == GR_CONF_STR && k->unit && *k->unit)
			gr_buf_add_str(&b, k->unit);
		else
			print_wants(&b, k);
		fprintf(out, "| `%s` | ", k->key);
		print_cell(out, gr_buf_str(&b));
		fprintf(out, " | %s%s%s | `%s` | ", k->def && *k->def ? "`" : "", k->def && *k->def ? k->def : "none",
			k->def && *k->def ? "`" : "", name);
		print_cell(out, k->text);
		fprintf(out, " |\n");
	}
	gr_buf_fini(&b);
}

void gr_conf_print_values(const struct gr_conf *c, FILE *out)
{
	struct gr_buf b = { 0 };

	for (size_t i = 0; i < c->n_keys; i++) {
		gr_buf_clear(&b);
		print_value(&b, c, i);
		fprintf(out, "%s=%s  (%s)\n", c->keys[i].key, gr_buf_str(&b), c->origin[i]);
	}
	gr_buf_fini(&b);
}

bool gr_conf_tell(const struct gr_conf *c, int argc, char **argv, const char *program, void (*print_help)(FILE *out))
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			print_help(stdout);
		else if (!strcmp(argv[i], "--help-config"))
			gr_conf_print_help(c, stdout);
		else if (!strcmp(argv[i], "--help-config-markdown"))
			gr_conf_print_markdown(c, stdout);
		else if (!strcmp(argv[i], "--version"))
			printf("%s %s\n", program, GR_VERSION);
		else
			continue;
		return true;
	}
	return false;
}

bool gr_conf_take(int *argc, char **argv, const char *flag)
{
	for (int i = 1; i < *argc && strcmp(argv[i], "--"); i++) {
		if (strcmp(argv[i], flag))
			continue;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
		(*argc)--;
		return true;
	}
	return false;
}
