/* keys.c - `griddle keys`: CURVE key pairs and the list of who may connect, for clusters beyond loopback */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd/commands.h"
#include "client/paths.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/path.h"
#include "lib/net/keys.h"

struct keys_opts {
	char *file, *allow, *roles;
};
#define AT(f) offsetof(struct keys_opts, f)
static const struct gr_conf_key keys_keys[] = {
	{ "keys", GR_CONF_STR, "FILE", NULL, 0, 0, NULL, "The key pair. Default: client.key in the configuration folder.",
	  AT(file), NULL },
	{ "allow", GR_CONF_STR, "FILE", NULL, 0, 0, NULL,
	  "The list of authorised keys, as the coordinator reads it. Default: allow in the configuration folder.", AT(allow), NULL },
	{ "roles", GR_CONF_STR, "ROLES", "client", 0, 0, NULL, "For allow: client, worker, admin, with commas between them.",
	  AT(roles), NULL },
};

static int make_new(const char *path, struct gr_err *err)
{
	struct gr_slice dir = gr_path_dir(gr_slice_str(path));
	char *d = gr_xstrndup((const char *)dir.p, dir.n);
	struct gr_keypair k;
	int rc = gr_mkdir_p(d, 0700, err);

	free(d);
	if (rc == 0)
		rc = gr_keypair_make(&k, err);
	if (rc == 0)
		rc = gr_keypair_save(path, &k, err);
	if (rc == 0)
		printf("%s\n", k.public_key);
	explicit_bzero(&k, sizeof(k));
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
	struct gr_slice dir = gr_path_dir(gr_slice_str(path));
	int mask = parse_roles(roles, err), rc;
	char *d;

	if (mask < 0)
		return mask;
	if (!gr_key_is_valid(key))
		return gr_err_set(err, GR_EUSAGE, "%.60s: not a public key: wants the 40 characters `griddle keys show` prints", key);
	d = gr_xstrndup((const char *)dir.p, dir.n);
	rc = gr_mkdir_p(d, 0700, err);
	free(d);
	return rc < 0 ? rc : gr_allow_add(path, key, mask, name, err);
}

static int run_keys(const struct gr_cmd *cmd, int argc, char **argv)
{
	char *file, *list;
	struct gr_paths paths;
	struct keys_opts o;
	struct gr_conf conf;
	struct gr_err err = { 0 };
	const char *verb;
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
	rc = gr_paths_init(&paths, &err);
	if (rc < 0) {
		gr_conf_fini(&conf);
		return gr_cmd_fail(cmd, &err);
	}
	file = o.file ? gr_xstrdup(o.file) : gr_paths_below(paths.config, "client.key");
	list = o.allow ? gr_xstrdup(o.allow) : gr_paths_below(paths.config, "allow");
	if (verb && !strcmp(verb, "new") && i == argc)
		rc = make_new(file, &err);
	else if (verb && !strcmp(verb, "show") && i == argc)
		rc = show(file, &err);
	else if (verb && !strcmp(verb, "allow") && (i + 1 == argc || i + 2 == argc))
		rc = allow(list, argv[i], i + 2 == argc ? argv[i + 1] : "unnamed", o.roles, &err);
	else
		rc = 1;
	free(file);
	free(list);
	gr_paths_fini(&paths);
	gr_conf_fini(&conf);
	return rc < 0 ? gr_cmd_fail(cmd, &err) : rc ? gr_cmd_usage(cmd, i < argc ? argv[i] : verb) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_keys = {
	.name = "keys", .args = "new|show|allow [KEY [NAME]]", .summary = "make a key pair, show it, authorise one",
	.help = "  griddle keys new                                   a key pair for this user; prints the public key\n"
		"  griddle keys show                                  the public key again\n"
		"  griddle keys allow --allow /etc/griddle/allow --roles client KEY anna\n"
		"  griddle keys new --keys /etc/griddle/coordinator.key\n\n"
		"Beyond loopback every connection is CURVE: each side has a key pair, the coordinator has a list of the\n"
		"public keys that may connect and as what. The coordinator reads the list again when it changes.\n",
	.keys = keys_keys, .n_keys = GR_LEN(keys_keys), .run = run_keys,
};
