/* keys.c - `griddle keys`: CURVE key pairs and the list of who may connect, for clusters beyond loopback */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sys/random.h>

#include "client/cmd/commands.h"
#include "client/paths.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"
#include "lib/base/proc.h"
#include "lib/net/keys.h"

#define MAX_SECRET_BYTES (4u << 20)
#define KUBECTL_SILENT_MS 60000

struct keys_opts {
	char *from_kube;
	char *file, *allow, *roles, *tokens;
};
#define AT(f) offsetof(struct keys_opts, f)
static const struct gr_conf_key keys_keys[] = {
	{ "keys", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "The key pair. Default: client.key in the configuration folder.",
	  AT(file), NULL },
	{ "allow", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "The list of authorised keys, as the coordinator reads it. Default: allow in the configuration folder.", AT(allow), NULL },
	{ "from-kube", GR_CONF_STR, "[NAMESPACE/]SECRET", NULL, 0, 0, NULL,
	  "For import: the Secret with client.key and server.pub, read by the kubectl that is here.", AT(from_kube), NULL },
	{ "roles", GR_CONF_STR, "ROLES", "client", 0, 0, NULL, "For allow: client, worker, admin, for token: viewer, client, admin; with commas between them.",
	  AT(roles), NULL },
	{ "tokens", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "The list of HTTP tokens, as the coordinator reads it (--http-tokens). Default: tokens in the configuration folder.",
	  AT(tokens), NULL },
};

static int make_folder_of(const char *path, struct gr_err *err)
{
	struct gr_slice dir = gr_path_dir(gr_slice_str(path));
	char *d = gr_xstrndup((const char *)dir.p, dir.n);
	int rc = gr_mkdir_p(d, 0700, err);

	free(d);
	return rc;
}

static int make_new(const char *path, struct gr_err *err)
{
	struct gr_keypair k;
	int rc = make_folder_of(path, err);

	if (rc == 0)
		rc = gr_keypair_make(&k, err);
	if (rc == 0)
		rc = gr_keypair_save(path, &k, err);
	if (rc == 0)
		printf("%s\n", k.public_key);
	explicit_bzero(&k, sizeof(k));
	return rc;
}

/* "[NAMESPACE/]SECRET", by the kubectl that is here: it knows every way to log in. Nothing is written before all is good. */
static int import_kube(const char *path, const char *from, struct gr_err *err)
{
	const char *slash = strchr(from, '/'), *name = slash ? slash + 1 : from;
	char *ns = gr_xstrndup(from, slash ? (size_t)(slash - from) : 0);
	const char *argv[] = { "kubectl", "get", "secret", "-o", "json", "--", name, NULL };
	const char *argv_ns[] = { "kubectl", "get", "secret", "-o", "json", "--namespace", ns, "--", name, NULL };
	struct gr_buf out = { 0 }, said = { 0 }, key = { 0 }, server = { 0 };
	struct gr_keypair k = { 0 };
	json_t *secret = NULL;
	int rc;

	rc = gr_proc_capture_for(slash ? argv_ns : argv, NULL, NULL, MAX_SECRET_BYTES, KUBECTL_SILENT_MS, &out, &said, err);
	if (rc < 0) {
		gr_err_wrap(err, "kubectl");
		goto out;
	}
	if (rc > 0) {
		((char *)said.p)[strcspn(gr_buf_str(&said), "\n")] = 0;
		rc = gr_err_set(err, GR_ECONFIG, "kubectl ended with %d: %.300s", rc, said.n ? (char *)said.p : "it said nothing");
		goto out;
	}
	secret = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	if (!secret) {
		rc = gr_err_set(err, GR_ECONFIG, "kubectl gave no JSON");
		goto out;
	}
	rc = gr_secret_value(secret, "client.key", &key, err);
	if (rc == 0)
		rc = gr_secret_value(secret, "server.pub", &server, err);
	if (rc == 0)
		rc = gr_keypair_parse(gr_buf_str(&key), &k, err);
	if (rc == 0 && !gr_key_is_valid(gr_buf_str(&server)))
		rc = gr_err_set(err, GR_ECONFIG, "the Secret's \"server.pub\" is not a public key");
	if (rc == 0)
		rc = make_folder_of(path, err);
	if (rc == 0)
		rc = gr_keypair_save(path, &k, err);
	if (rc == 0)
		printf("%s\n", gr_buf_str(&server));
out:
	if (rc < 0)
		gr_err_wrap(err, "%.200s", from);
	explicit_bzero(&k, sizeof(k));
	if (key.n)
		explicit_bzero(key.p, key.n);
	if (out.n)
		explicit_bzero(out.p, out.n);
	json_decref(secret);
	gr_buf_fini(&out);
	gr_buf_fini(&said);
	gr_buf_fini(&key);
	gr_buf_fini(&server);
	free(ns);
	return rc;
}

static int show(const char *path, struct gr_err *err)
{
	struct gr_keypair k;
	int rc = gr_keypair_load(path, &k, err);

	if (rc == 0)
		printf("%s\n", k.public_key);
	explicit_bzero(&k, sizeof(k));
	return rc;
}

static int parse_roles(const char *text, struct gr_err *err)
{
	int mask = 0;

	while (*text) {
		size_t n = strcspn(text, ",");
		char *word = gr_xstrndup(text, n);
		int role = gr_role_parse(word);

		if (role < 0) {
			gr_err_set(err, GR_EUSAGE, "--roles: %s: wants client, worker or admin", word);
			free(word);
			return GR_EUSAGE;
		}
		free(word);
		mask |= role;
		text += n + (text[n] == ',');
	}
	return mask ? mask : gr_err_set(err, GR_EUSAGE, "--roles: wants client, worker or admin");
}

static int allow(const char *path, const char *key, const char *name, const char *roles, struct gr_err *err)
{
	int mask = parse_roles(roles, err), rc;

	if (mask < 0)
		return mask;
	if (!gr_key_is_valid(key))
		return gr_err_set(err, GR_EUSAGE, "%.60s: not a public key: wants the 40 characters `griddle keys show` prints", key);
	rc = make_folder_of(path, err);
	return rc < 0 ? rc : gr_allow_add(path, key, mask, name, err);
}

/* A new token, printed once; the file keeps its hash alone. */
static int token(const char *path, const char *name, const char *roles, struct gr_err *err)
{
	static const char *const known[] = { "viewer", "client", "admin" };
	uint8_t secret[32];
	char text[2 * sizeof(secret) + 8] = "gr_", hex[GR_DIGEST_HEX], *list = gr_xstrdup(roles), *save = NULL;
	size_t n_roles = 0;
	struct gr_digest d;
	struct gr_buf b = { 0 };
	int rc = 0;

	for (char *one = strtok_r(list, ",", &save); one && rc == 0; one = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < GR_LEN(known) && strcmp(known[i], one))
			i++;
		if (i == GR_LEN(known))
			rc = gr_err_set(err, GR_EUSAGE, "--roles: %s: wants viewer, client or admin", one);
		n_roles++;
	}
	free(list);
	if (rc == 0 && !n_roles)
		rc = gr_err_set(err, GR_EUSAGE, "--roles: wants viewer, client or admin");
	/* one line that the coordinator cannot read keeps everybody out */
	if (rc == 0 && (!*name || strlen(name) > 63 || name[strcspn(name, " \t\n\r#")]))
		rc = gr_err_set(err, GR_EUSAGE, "\"%s\": a name has 1 to 63 characters, none of them blank or #", name);
	if (rc < 0)
		return rc;
	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return gr_err_set(err, GR_EIO, "no random numbers");
	for (size_t i = 0; i < sizeof(secret); i++)
		snprintf(text + 3 + 2 * i, 3, "%02x", secret[i]);
	gr_sha256_of(text, strlen(text), &d);
	gr_digest_hex(&d, hex);
	gr_buf_printf(&b, "%s %s %s", hex, roles, name);
	rc = make_folder_of(path, err);
	if (rc == 0)
		rc = gr_file_add_line(path, gr_buf_str(&b), 0600, err);
	if (rc == 0)
		printf("%s\n", text);
	gr_buf_fini(&b);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
	return rc;
}

/* What @verb wants and was not given; NULL nothing. */
static const char *lacks(const char *verb, int n_words, const struct keys_opts *o)
{
	if (!strcmp(verb, "import") && !o->from_kube)
		return "--from-kube [NAMESPACE/]SECRET";
	if (!strcmp(verb, "allow") && !n_words)
		return "a KEY, as `griddle keys show` prints it";
	if (!strcmp(verb, "token") && !n_words)
		return "a NAME for whom the token is";
	return NULL;
}

static int run_keys(const struct gr_cmd *cmd, int argc, char **argv)
{
	char *file, *list, *tokens;
	struct gr_paths paths;
	struct keys_opts o;
	struct gr_conf conf;
	struct gr_err err = { 0 };
	const char *verb, *lack;
	int i, rc, n_before_key;

	/* the verb may stand before or behind the options */
	verb = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
	/* options end where a key stands: a Z85 key may begin with '-' */
	for (n_before_key = 1; n_before_key < argc && !gr_key_is_valid(argv[n_before_key]); n_before_key++)
		;
	i = gr_cmd_options(cmd, n_before_key - (verb != NULL), argv + (verb != NULL), &conf, &o, &err);
	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	i += verb != NULL;
	if (!verb && i < argc)
		verb = argv[i++];
	lack = verb ? lacks(verb, argc - i, &o) : NULL;
	if (lack) {
		fprintf(stderr, "griddle keys %s: wants %s\n", verb, lack);
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, NULL);
	}
	rc = gr_paths_init(&paths, &err);
	if (rc < 0) {
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	file = o.file ? gr_xstrdup(o.file) : gr_paths_below(paths.config, "client.key");
	list = o.allow ? gr_xstrdup(o.allow) : gr_paths_below(paths.config, "allow");
	tokens = o.tokens ? gr_xstrdup(o.tokens) : gr_paths_below(paths.config, "tokens");
	if (verb && !strcmp(verb, "new") && i == argc)
		rc = make_new(file, &err);
	else if (verb && !strcmp(verb, "import") && i == argc)
		rc = import_kube(file, o.from_kube, &err);
	else if (verb && !strcmp(verb, "show") && i == argc)
		rc = show(file, &err);
	else if (verb && !strcmp(verb, "allow") && (i + 1 == argc || i + 2 == argc))
		rc = allow(list, argv[i], i + 2 == argc ? argv[i + 1] : "unnamed", o.roles, &err);
	else if (verb && !strcmp(verb, "token") && i + 1 == argc)
		rc = token(tokens, argv[i], o.roles, &err);
	else
		rc = 1;
	free(tokens);
	free(file);
	free(list);
	gr_paths_fini(&paths);
	gr_conf_fini(&conf);
	return rc < 0 ? gr_cmd_fail(cmd, &err) : rc ? gr_cmd_usage(cmd, i < argc ? argv[i] : verb) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_keys = {
	.name = "keys", .args = "new|import|show|allow|token [KEY [NAME]]", .summary = "make a key pair, show it, authorise one; make an HTTP token",
	.help = "  griddle keys new                                   a key pair for this user; prints the public key\n"
		"  griddle keys show                                  the public key again\n"
		"  griddle keys allow --allow /etc/griddle/allow --roles client KEY anna\n"
		"  griddle keys new --keys /etc/griddle/coordinator.key\n"
		"  griddle keys token --tokens /etc/griddle/tokens --roles viewer wallboard\n\n"
		"Beyond loopback every connection is CURVE: each side has a key pair, the coordinator has a list of the\n"
		"public keys that may connect and as what. The coordinator reads the list again when it changes.\n"
		"token prints a new bearer token for the HTTP API, once; the file of --http-tokens gets its hash, name and roles:\n"
		"viewer looks, client submits and changes its own jobs, admin changes all.\n",
	.keys = keys_keys, .n_keys = GR_LEN(keys_keys), .run = run_keys,
};
