/* json.c - the messages whose body is a JSON object, and HELLO's fixed part; see msg.h
 *
 * Text is checked for its depth before jansson sees it: jansson's own limit is 2048, and it recurses. Keys are sorted
 * on the way out so that a message has one form.
 */
#include "lib/wire/msg.h"

#include <string.h>

#define MAX_BYTES (1u << 20)
#define MAX_DEPTH 32

static int add_text(const char *text, size_t n, void *ctx)
{
	gr_buf_add(ctx, text, n);
	return 0;
}

void gr_json_encode(struct gr_buf *b, enum gr_msg_type type, const json_t *body)
{
	size_t at = gr_frame_begin(b, type);

	json_dump_callback(body, add_text, b, JSON_COMPACT | JSON_SORT_KEYS);
	gr_frame_end(b, at);
}

static bool is_too_deep(struct gr_slice s)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > MAX_DEPTH)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

int gr_json_decode(struct gr_slice body, json_t **out, struct gr_err *err)
{
	return gr_json_decode_max(body, MAX_BYTES, out, err);
}

int gr_json_decode_max(struct gr_slice body, size_t max, json_t **out, struct gr_err *err)
{
	json_error_t je;
	json_t *j;

	if (body.n > max)
		return gr_err_set(err, GR_ELIMIT, "JSON body of %zu bytes, %zu allowed", body.n, max);
	if (is_too_deep(body))
		return gr_err_set(err, GR_ELIMIT, "JSON body is nested deeper than %d", MAX_DEPTH);
	j = json_loadb(body.n > 0 ? (const char *)body.p : "", body.n, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		return gr_err_set(err, GR_EPROTO, "JSON body: %s at byte %d", je.text, je.position);
	if (!json_is_object(j)) {
		json_decref(j);
		return gr_err_set(err, GR_EPROTO, "JSON body is not an object");
	}
	*out = j;
	return 0;
}

/* ---- HELLO ---- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static int copy_text(const json_t *j, const char *key, char *out, size_t room, struct gr_err *err)
{
	const char *s = json_string_value(json_object_get(j, key));
	size_t n = s ? strlen(s) : 0;

	if (n == 0 || n >= room)
		return gr_err_set(err, GR_EPROTO, "HELLO: \"%s\" must be text of 1 to %zu bytes", key, room - 1);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] >= 0x7f)
			return gr_err_set(err, GR_EPROTO, "HELLO: \"%s\" holds a character that is not plain ASCII", key);
	memcpy(out, s, n + 1);
	return 0;
}

static int read_version(const json_t *j, const char *key, uint32_t *out, struct gr_err *err)
{
	const json_t *v = json_object_get(j, key);
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 1 || n > 255)
		return gr_err_set(err, GR_EPROTO, "HELLO: \"%s\" must be a number from 1 to 255", key);
	*out = (uint32_t)n;
	return 0;
}

static int read_hello(const json_t *j, struct gr_hello *h, struct gr_err *err)
{
	const char *role = json_string_value(json_object_get(j, "role"));
	int rc = role ? gr_role_parse(role) : GR_EINVAL;

	if (rc < 0)
		return gr_err_set(err, GR_EPROTO, "HELLO: \"role\" must be client, worker or admin");
	h->role = (enum gr_role)rc;
	rc = copy_text(j, "name", h->name, sizeof(h->name), err);
	if (rc < 0)
		return rc;
	for (const char *c = h->name; *c; c++)
		if (!is_name_char(*c))
			return gr_err_set(err, GR_EPROTO, "HELLO: \"name\" may hold letters, digits, '.', '_' and '-'");
	rc = copy_text(j, "version", h->version, sizeof(h->version), err);
	if (rc < 0)
		return rc;
	rc = read_version(j, "wire_min", &h->version_min, err);
	if (rc < 0)
		return rc;
	rc = read_version(j, "wire_max", &h->version_max, err);
	if (rc < 0)
		return rc;
	if (h->version_min > h->version_max)
		return gr_err_set(err, GR_EPROTO, "HELLO: \"wire_min\" is above \"wire_max\"");
	return 0;
}

int gr_hello_decode(struct gr_slice body, struct gr_hello *out, struct gr_err *err)
{
	struct gr_hello h = { 0 };
	int rc = gr_json_decode(body, &h.json, err);

	if (rc < 0)
		return rc;
	rc = read_hello(h.json, &h, err);
	if (rc < 0) {
		json_decref(h.json);
		return rc;
	}
	*out = h;
	return 0;
}

void gr_hello_fini(struct gr_hello *h)
{
	json_decref(h->json);
	*h = (struct gr_hello){ 0 };
}

json_t *gr_hello_json(enum gr_role role, const char *name)
{
	char clean[sizeof(((struct gr_hello *)0)->name)];
	size_t n = 0;

	for (; name[n] && n + 1 < sizeof(clean); n++)
		clean[n] = is_name_char(name[n]) ? name[n] : '-';
	if (n == 0)
		clean[n++] = '-';
	clean[n] = 0;
	return json_pack("{s:s, s:s, s:s, s:i, s:i}", "role", gr_role_name(role), "name", clean, "version", GR_VERSION,
			 "wire_min", GR_WIRE_VERSION, "wire_max", GR_WIRE_VERSION);
}
