/* path.c - see path.h */
#include "lib/base/path.h"

#include <string.h>

static void add_part(struct gr_buf *out, size_t base, struct gr_slice part)
{
	bool is_abs = out->n > base && out->p[base] == '/';

	if (part.n == 0 || (part.n == 1 && part.p[0] == '.'))
		return;
	if (part.n == 2 && part.p[0] == '.' && part.p[1] == '.') {
		size_t i = out->n;

		while (i > base && out->p[i - 1] != '/')
			i--;
		/* nothing to take back: stays ".." when relative, stays "/" when absolute */
		if (out->n - i > 0 && !(out->n - i == 2 && out->p[i] == '.' && out->p[i + 1] == '.')) {
			out->n = i > base + (is_abs ? 1 : 0) ? i - 1 : i;
			out->p[out->n] = 0;
			return;
		}
		if (is_abs && out->n == base + 1)
			return;
	}
	if (out->n > base && out->p[out->n - 1] != '/')
		gr_buf_add_byte(out, '/');
	gr_buf_add(out, part.p, part.n);
}

static void add_path(struct gr_buf *out, size_t base, struct gr_slice path)
{
	size_t i = 0;

	while (i < path.n) {
		size_t start = i;

		while (i < path.n && path.p[i] != '/')
			i++;
		add_part(out, base, gr_slice(path.p + start, i - start));
		i++;
	}
}

void gr_path_join(struct gr_buf *out, struct gr_slice dir, struct gr_slice name)
{
	size_t base = out->n;
	bool name_is_abs = name.n && name.p[0] == '/';

	if (name_is_abs || (dir.n && dir.p[0] == '/'))
		gr_buf_add_byte(out, '/');
	if (!name_is_abs)
		add_path(out, base, dir);
	add_path(out, base, name);
	if (out->n == base)
		gr_buf_add_byte(out, '.');
}

bool gr_path_is_below(struct gr_slice path, struct gr_slice dir)
{
	if (dir.n == 1 && dir.p[0] == '/')
		return path.n && path.p[0] == '/';
	return path.n >= dir.n && !memcmp(path.p, dir.p, dir.n) && (path.n == dir.n || path.p[dir.n] == '/');
}

bool gr_path_is_safe(struct gr_slice path)
{
	size_t i = 1;

	if (path.n < 2 || path.n > 4095 || path.p[0] != '/' || memchr(path.p, 0, path.n))
		return false;
	while (i <= path.n) {
		size_t start = i;

		while (i < path.n && path.p[i] != '/')
			i++;
		if (i == start || i - start > 255 || (i - start == 1 && path.p[start] == '.') ||
		    (i - start == 2 && path.p[start] == '.' && path.p[start + 1] == '.'))
			return false;
		i++;
	}
	return true;
}

struct gr_slice gr_path_dir(struct gr_slice path)
{
	size_t n = path.n;

	while (n && path.p[n - 1] != '/')
		n--;
	if (n == 0)
		return gr_slice(".", 1);
	return gr_slice(path.p, n > 1 ? n - 1 : 1);
}

struct gr_slice gr_path_base(struct gr_slice path)
{
	size_t n = path.n;

	while (n && path.p[n - 1] != '/')
		n--;
	return gr_slice(path.p + n, path.n - n);
}

struct gr_slice gr_path_ext(struct gr_slice path)
{
	struct gr_slice b = gr_path_base(path);

	for (size_t i = b.n; i > 1; i--)
		if (b.p[i - 1] == '.')
			return gr_slice(b.p + i - 1, b.n - i + 1);
	return gr_slice(b.p + b.n, 0);
}
