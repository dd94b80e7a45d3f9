/* json.c - the control messages: JSON objects with limits on size, depth and repeated keys, and the HELLO. */
#include "lib/wire/msg.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (1u << 20)
#define MAX_DEPTH 32

void gr_json_encode(struct gr_buf *b, enum gr_msg_type type, const json_t *body)
{
	size_t at = gr_frame_begin(b, type);
	char *text = json_dumps(body, JSON_COMPACT);

	gr_buf_add_str(b, text ? text : "{}");
	free(text);
	gr_frame_end(b, at);
}

/* jansson's own limit is 2,048 levels: deep enough to make every later walk expensive. Strings are skipped over. */
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
	json_error_t je;
	json_t *j;

	if (body.n > MAX_BYTES)
		return gr_err_set(err, GR_ELIMIT, "JSON of %zu bytes, %u are allowed", body.n, MAX_BYTES);
	if (is_too_deep(body))
		return gr_err_set(err, GR_ELIMIT, "JSON nested deeper than %d", MAX_DEPTH);
	j = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		return gr_err_set(err, GR_EPROTO, "bad JSON at byte %d: %s", je.position, je.text);
	if (!json_is_object(j)) {
		json_decref(j);
		return gr_err_set(err, GR_EPROTO, "JSON is not an object");
	}
	*out = j;
	return 0;
}

json_t *gr_hello_json(enum gr_role role, const char *name)
{
	return json_pack("{s:s, s:[ii], s:s, s:s}", "role", gr_role_name(role), "protocol", GR_WIRE_VERSION, GR_WIRE_VERSION,
			 "name", name, "version", GR_VERSION);
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 64 &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int gr_hello_decode(struct gr_slice body, struct gr_hello *out, struct gr_err *err)
{
	struct gr_hello h = { 0 };
	const char *role, *name, *version = "?";
	int lo, hi, rc;

	rc = gr_json_decode(body, &h.json, err);
	if (rc < 0)
		return rc;
	if (json_unpack(h.json, "{s:s, s:[ii!], s:s, s?s}", "role", &role, "protocol", &lo, &hi, "name", &name, "version", &version) < 0) {
		rc = gr_err_set(err, GR_EPROTO, "HELLO lacks role, protocol or name");
		goto out_json;
	}
	rc = gr_role_parse(role);
	if (rc < 0) {
		rc = gr_err_set(err, GR_EROLE, "unknown role \"%.32s\"", role);
		goto out_json;
	}
	h.role = (enum gr_role)rc;
	if (!is_name(name) || lo < 0 || hi < lo) {
		rc = gr_err_set(err, GR_EPROTO, "HELLO: bad name or protocol range");
		goto out_json;
	}
	h.version_min = (uint32_t)lo;
	h.version_max = (uint32_t)hi;
	strcpy(h.name, name);
	strncpy(h.version, version, sizeof(h.version) - 1);
	*out = h;
	return 0;
out_json:
	json_decref(h.json);
	return rc;
}

void gr_hello_fini(struct gr_hello *h)
{
	json_decref(h->json);
	h->json = NULL;
}
