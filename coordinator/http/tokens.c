/* tokens.c - see tokens.h. A file that becomes unusable keeps nobody in: better a loud 401 than a stale list. */
#include "coordinator/http/tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/sha256.h"

#define MAX_TOKENS 4096u
#define MAX_FILE_BYTES (1u << 20)

struct row {
	struct gr_digest hash;
	int roles;
	char name[64];
};
struct gr_tokens {
	char *path;
	struct row *rows;
	size_t n, cap;
	struct stat seen;
	bool is_bad;
};

static int parse_roles(char *text)
{
	static const struct { const char *name; int bits; } roles[] = {
		{ "viewer", GR_HTTP_VIEWER }, { "client", GR_HTTP_CLIENT }, { "admin", GR_HTTP_ADMIN },
	};
	char *save = NULL;
	int bits = 0;

	for (char *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < GR_LEN(roles) && strcmp(roles[i].name, one))
			i++;
		if (i == GR_LEN(roles))
			return 0;
		bits |= roles[i].bits;
	}
	return bits;
}

static bool parse_line(char *line, struct row *out)
{
	char *save = NULL, *hash = strtok_r(line, " \t\r", &save), *roles = strtok_r(NULL, " \t\r", &save),
	     *name = strtok_r(NULL, " \t\r", &save);

	if (!name || strtok_r(NULL, " \t\r", &save) || strlen(name) >= sizeof(out->name) || gr_digest_parse(hash, &out->hash) < 0)
		return false;
	out->roles = parse_roles(roles);
	strcpy(out->name, name);
	return out->roles != 0;
}

static int load(struct gr_tokens *t, struct gr_err *err)
{
	struct gr_buf text = { 0 };
	struct stat st;
	char *line, *next;
	int rc = 0, n_line = 0;

	t->n = 0;
	if (stat(t->path, &st) < 0)
		return gr_err_set(err, gr_err_errno(errno), "%s: %s", t->path, strerror(errno));
	t->seen = st;
	if (st.st_mode & S_IWOTH)
		return gr_err_set(err, GR_ECONFIG, "%s: others may write it; chmod o-w", t->path);
	rc = gr_file_read(t->path, MAX_FILE_BYTES, &text, err);
	for (line = rc < 0 ? NULL : (char *)text.p; line && rc >= 0; line = next) {
		struct row r;

		n_line++;
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		line[strcspn(line, "#")] = 0;
		if (!line[strspn(line, " \t\r")])
			continue;
		if (t->n == MAX_TOKENS)
			rc = gr_err_set(err, GR_ECONFIG, "%s: more than %u tokens", t->path, MAX_TOKENS);
		else if (!parse_line(line, &r))
			rc = gr_err_set(err, GR_ECONFIG, "%s:%d: wants \"SHA256 ROLES NAME\", roles of viewer, client, admin", t->path,
					n_line);
		else {
			GR_GROW(t->rows, t->cap, t->n + 1);
			t->rows[t->n++] = r;
		}
	}
	gr_buf_fini(&text);
	if (rc < 0)
		t->n = 0;
	return rc < 0 ? rc : 0;
}

int gr_tokens_open(const char *path, struct gr_tokens **out, struct gr_err *err)
{
	struct gr_tokens *t;
	int rc;

	GR_NEW(t);
	t->path = gr_xstrdup(path);
	rc = load(t, err);
	if (rc < 0) {
		gr_tokens_free(&t);
		return rc;
	}
	*out = t;
	return 0;
}

void gr_tokens_free(struct gr_tokens **t)
{
	if (!*t)
		return;
	free((*t)->rows);
	free((*t)->path);
	free(*t);
	*t = NULL;
}

static void refresh(struct gr_tokens *t)
{
	struct gr_err err = { 0 };
	struct stat st;
	bool was_bad = t->is_bad;

	if (stat(t->path, &st) == 0 && st.st_ino == t->seen.st_ino && st.st_size == t->seen.st_size &&
	    st.st_mode == t->seen.st_mode && !memcmp(&st.st_mtim, &t->seen.st_mtim, sizeof(st.st_mtim)))
		return;
	t->is_bad = load(t, &err) < 0;
	if (t->is_bad && !was_bad)
		gr_error("http", "tokens: %s: nobody is let in until it is mended", err.text);
	else if (!t->is_bad)
		gr_info("http", "tokens: %zu read from %s", t->n, t->path);
}

int gr_tokens_find(struct gr_tokens *t, const char *token, char name[64])
{
	struct gr_digest d;
	int roles = 0;

	refresh(t);
	if (strlen(token) > GR_TOKEN_MAX_BYTES)
		return 0;
	gr_sha256_of(token, strlen(token), &d);
	for (size_t i = 0; i < t->n; i++) {
		uint8_t diff = 0;

		for (size_t k = 0; k < sizeof(d.b); k++)
			diff |= d.b[k] ^ t->rows[i].hash.b[k];
		if (!diff) {
			roles = t->rows[i].roles;
			memcpy(name, t->rows[i].name, sizeof(t->rows[i].name));
		}
	}
	return roles;
}
