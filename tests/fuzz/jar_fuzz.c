/* jar_fuzz.c - lines of Set-Cookie from a few hosts and paths: the jar keeps its bounds, and gives only what a header may hold
 *
 * A line's first byte says where it comes from and how late; what is given is asked for there after each. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/load/jar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool claim)
{
	if (!claim)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const hosts[] = { "a.example.org", "example.org", "10.0.0.1", "localhost" };
	static const char *const paths[] = { "/a/b?x=/", "/", "", "/a/bc#d" };
	struct gr_jar j = { 0 };
	struct gr_buf out = { 0 };
	int64_t now_s = 1800000000;

	while (n) {
		const uint8_t *end = memchr(data, '\n', n);
		size_t len = end ? (size_t)(end - data) : n;

		if (len) {
			const char *path = paths[(*data >> 2) & 3];
			struct gr_jar_url url = { .host = hosts[*data & 3], .path = gr_slice(path, strlen(path)), .is_tls = *data >> 4 & 1 };

			now_s += *data >> 5;
			gr_jar_take(&j, gr_slice(data + 1, len - 1), &url, now_s);
			gr_buf_clear(&out);
			gr_jar_give(&j, &url, now_s, &out);
			must(j.n <= GR_JAR_MAX_COOKIES && j.b.n <= GR_JAR_MAX_BYTES && !j.n == !j.b.n);
			for (size_t i = 0; i < out.n; i++)
				must((out.p[i] >= ' ' || out.p[i] == '\t') && out.p[i] != 127);
		}
		data += end ? len + 1 : len;
		n -= end ? len + 1 : len;
	}
	gr_buf_fini(&out);
	gr_jar_fini(&j);
	return 0;
}
