/* keys.c - see keys.h
 *
 * The allow list is small and read rarely, so it is kept as an array and re-read as a whole when the file's identity,
 * size or time changed: editing it (or `griddle keys allow`) takes effect for the next peer, without a restart. The
 * list is looked at from the loop's thread and from the ZAP thread, hence the lock.
 */
#include "lib/net/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define MAX_KEY_FILE_BYTES 4096u
#define MAX_ALLOW_BYTES (4u << 20)
#define MAX_SECRET_BYTES (4u << 20)

/* ---- key pairs ---- */

bool gr_key_is_valid(const char *z85)
{
	uint8_t raw[32];

	if (strlen(z85) != 40)
		return false;
	for (const char *c = z85; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
			return false;
	return zmq_z85_decode(raw, z85) != NULL;
}

int gr_keypair_make(struct gr_keypair *out, struct gr_err *err)
{
	if (!zmq_has("curve"))
		return gr_err_set(err, GR_EUNSUP, "this libzmq was built without CURVE");
	if (zmq_curve_keypair(out->public_key, out->secret_key) < 0)
		return gr_err_set(err, GR_EIO, "key pair: %s", zmq_strerror(errno));
	return 0;
}

/* The value behind "@name " at the start of a line. */
static bool find_line(const char *text, const char *name, char out[41])
{
	size_t n = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) || line[n] != ' ')
			continue;
		if (strcspn(line + n + 1, " \r\n") != 40)
			return false;
		memcpy(out, line + n + 1, 40);
		out[40] = 0;
		return gr_key_is_valid(out);
	}
	return false;
}

int gr_keypair_parse(const char *text, struct gr_keypair *out, struct gr_err *err)
{
	struct gr_keypair k;
	char derived[41];

	if (!find_line(text, "public", k.public_key) || !find_line(text, "secret", k.secret_key))
		return gr_err_set(err, GR_ECONFIG, "needs the lines \"public KEY\" and \"secret KEY\", 40 characters each");
	if (zmq_curve_public(derived, k.secret_key) < 0 || strcmp(derived, k.public_key))
		return gr_err_set(err, GR_ECONFIG, "the two keys do not belong together");
	*out = k;
	return 0;
}

void gr_keypair_print(const struct gr_keypair *k, struct gr_buf *out)
{
	gr_buf_printf(out, "public %s\nsecret %s\n", k->public_key, k->secret_key);
}

int gr_secret_value(const json_t *secret, const char *key, struct gr_buf *out, struct gr_err *err)
{
	const char *text = json_string_value(json_object_get(json_object_get(secret, "data"), key));
	size_t n = text ? strlen(text) : 0;
	int n_raw;

	if (!n || n % 4 || n > MAX_SECRET_BYTES)
		return gr_err_set(err, GR_ECONFIG, "the Secret has no \"%s\"", key);
	gr_buf_reserve(out, n / 4 * 3 + 1);
	n_raw = EVP_DecodeBlock(out->p, (const uint8_t *)text, (int)n);
	if (n_raw < 0)
		return gr_err_set(err, GR_ECONFIG, "the Secret's \"%s\" is not base64", key);
	out->n = (size_t)n_raw - (text[n - 1] == '=') - (text[n - 2] == '=');
	return 0;
}

static bool is_our_group(gid_t gid)
{
	gid_t list[256];
	int n = getgroups((int)(sizeof(list) / sizeof(list[0])), list);

	if (gid == getegid())
		return true;
	for (int i = 0; i < n; i++)
		if (list[i] == gid)
			return true;
	return false;
}

/* Others have no business in it. A group may read when root owns the file and the group is ours: so a key is given to a
 * service, and so a Kubernetes Secret is mounted for a pod that is not root. */
static bool is_private(const struct stat *st)
{
	if (st->st_mode & S_IRWXO)
		return false;
	if (!(st->st_mode & S_IRWXG))
		return true;
	return (st->st_mode & S_IRWXG) == S_IRGRP && st->st_uid == 0 && st->st_gid != 0 && is_our_group(st->st_gid);
}

int gr_keypair_load(const char *path, struct gr_keypair *out, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	struct stat st;
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "key file %s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		rc = gr_err_set(err, GR_ECONFIG, "key file %s: not a regular file", path);
		goto out_fd;
	}
	if (!is_private(&st)) {
		rc = gr_err_set(err, GR_EAUTH, "key file %s: others may read it (mode %03o); chmod 600 it", path,
				(unsigned)(st.st_mode & 0777));
		goto out_fd;
	}
	rc = gr_file_read_fd(fd, MAX_KEY_FILE_BYTES, &text);
	if (rc < 0) {
		rc = gr_err_set(err, rc, "key file %s: %s", path, gr_err_text(rc));
		goto out_fd;
	}
	rc = gr_keypair_parse(gr_buf_str(&text), out, err);
	if (rc < 0)
		gr_err_wrap(err, "key file %s", path);
	explicit_bzero(text.p, text.n);
	gr_buf_fini(&text);
out_fd:
	close(fd);
	return rc;
}

int gr_keypair_save(const char *path, const struct gr_keypair *k, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	int fd, rc;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "key file %s: %s", path, strerror(errno));
	gr_keypair_print(k, &text);
	rc = gr_write_all(fd, text.p, text.n);
	if (rc == 0 && fsync(fd) < 0)
		rc = gr_err_errno(errno);
	if (close(fd) < 0 && rc == 0)
		rc = gr_err_errno(errno);
	explicit_bzero(text.p, text.n);
	gr_buf_fini(&text);
	if (rc < 0) {
		unlink(path);
		return gr_err_set(err, rc, "key file %s: %s", path, gr_err_text(rc));
	}
	return 0;
}

/* ---- the allow list ---- */

struct entry {
	char key[41], name[64];
	int roles;
};

struct gr_allow {
	char *path;
	pthread_mutex_t lock;
	struct stat st;           /* of what was read; st_nlink 0: no file */
	struct entry *entries;
	size_t n, cap;
	uint64_t version;
};

static int parse_roles(char *text)
{
	int roles = 0;
	char *save = NULL;

	for (char *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		int role = gr_role_parse(one);

		if (role < 0)
			return role;
		roles |= role;
	}
	return roles > 0 ? roles : GR_EINVAL;
}

/* One line, changed in place. Return: 1 an entry, 0 nothing on it, GR_EINVAL. */
static int parse_line(char *line, struct entry *e)
{
	char *save = NULL, *key, *roles, *name;

	line[strcspn(line, "\r\n")] = 0;
	/* '#' is a Z85 character, but no key starts with it: 84 * 85^4 is above 2^32. */
	key = strtok_r(line, " \t", &save);
	if (!key || key[0] == '#')
		return 0;
	roles = strtok_r(NULL, " \t", &save);
	name = strtok_r(NULL, " \t", &save);
	if (!gr_key_is_valid(key) || !roles)
		return GR_EINVAL;
	e->roles = parse_roles(roles);
	if (e->roles < 0)
		return GR_EINVAL;
	if (!name || name[0] == '#')
		name = key;
	snprintf(e->key, sizeof(e->key), "%s", key);
	snprintf(e->name, sizeof(e->name), "%s", name);
	return 1;
}

/* A damaged line authorises nobody, and is said; the good ones still count. */
static void parse_list(struct gr_allow *a, char *text)
{
	int n_line = 0;

	a->n = 0;
	for (char *line = text, *next; line; line = next) {
		struct entry e;
		int rc;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		n_line++;
		rc = parse_line(line, &e);
		if (rc < 0)
			gr_warn("keys", "%s: line %d: expected \"KEY ROLES NAME\", roles of client, worker, admin", a->path, n_line);
		if (rc != 1)
			continue;
		GR_GROW(a->entries, a->cap, a->n + 1);
		a->entries[a->n++] = e;
	}
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_nlink == b->st_nlink && a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void forget(struct gr_allow *a)
{
	a->version += a->n > 0;
	a->n = 0;
	a->st = (struct stat){ 0 };
}

static int reload(struct gr_allow *a, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	struct stat st;
	int rc;

	if (stat(a->path, &st) < 0) {
		if (errno != ENOENT)
			return gr_err_set(err, gr_err_errno(errno), "allow list %s: %s", a->path, strerror(errno));
		forget(a);
		return 0;
	}
	if (is_same_file(&st, &a->st))
		return 0;
	if (st.st_mode & S_IWOTH)
		return gr_err_set(err, GR_EAUTH, "allow list %s: anyone may write it; chmod o-w it", a->path);
	rc = gr_file_read(a->path, MAX_ALLOW_BYTES, &text, err);
	if (rc == 0) {
		gr_buf_str(&text);
		parse_list(a, (char *)text.p);
		a->st = st;
		a->version++;
	}
	gr_buf_fini(&text);
	return rc;
}

struct gr_allow *gr_allow_open(const char *path, struct gr_err *err)
{
	struct gr_allow *a;

	GR_NEW(a);
	a->path = gr_xstrdup(path);
	pthread_mutex_init(&a->lock, NULL);
	if (reload(a, err) < 0)
		gr_allow_free(&a);
	return a;
}

void gr_allow_free(struct gr_allow **ap)
{
	struct gr_allow *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	pthread_mutex_destroy(&a->lock);
	free(a->entries);
	free(a->path);
	free(a);
}

/* Unreadable is not empty: say so, and let nobody in on what it said before. */
static void refresh(struct gr_allow *a)
{
	struct gr_err err = { 0 };

	if (reload(a, &err) == 0)
		return;
	gr_error("keys", "%s", err.text);
	forget(a);
}

uint64_t gr_allow_version(struct gr_allow *a)
{
	uint64_t version;

	pthread_mutex_lock(&a->lock);
	refresh(a);
	version = a->version;
	pthread_mutex_unlock(&a->lock);
	return version;
}

int gr_allow_find(struct gr_allow *a, const char *public_key, char name[64])
{
	int roles = 0;

	pthread_mutex_lock(&a->lock);
	refresh(a);
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->entries[i].key, public_key))
			continue;
		if (roles == 0)
			memcpy(name, a->entries[i].name, 64);
		roles |= a->entries[i].roles;
	}
	pthread_mutex_unlock(&a->lock);
	return roles;
}

static void print_roles(struct gr_buf *b, int roles)
{
	const char *comma = "";

	for (int role = GR_ROLE_CLIENT; role <= GR_ROLE_ADMIN; role <<= 1) {
		if (!(roles & role))
			continue;
		gr_buf_printf(b, "%s%s", comma, gr_role_name((enum gr_role)role));
		comma = ",";
	}
}

int gr_allow_add(const char *path, const char *public_key, int roles, const char *name, struct gr_err *err)
{
	struct gr_buf line = { 0 };
	int rc;

	if (!gr_key_is_valid(public_key))
		return gr_err_set(err, GR_EINVAL, "not a public key (40 characters of Z85): %s", public_key);
	if (roles <= 0 || roles > (GR_ROLE_CLIENT | GR_ROLE_WORKER | GR_ROLE_ADMIN))
		return gr_err_set(err, GR_EINVAL, "a key needs at least one role");
	if (!*name || strlen(name) > 63 || name[0] == '#' || name[strcspn(name, " \t\r\n")])
		return gr_err_set(err, GR_EINVAL, "not a name for a key (1 to 63 characters, no blanks): \"%s\"", name);
	gr_buf_printf(&line, "%s ", public_key);
	print_roles(&line, roles);
	gr_buf_printf(&line, " %s", name);
	rc = gr_file_add_line(path, gr_buf_str(&line), 0600, err);
	gr_buf_fini(&line);
	if (rc < 0)
		gr_err_wrap(err, "allow list");
	return rc;
}
