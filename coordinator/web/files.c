/* files.c - see files.h. The assembler takes the bytes in (.incbin): no generated source, no program that makes one. */
#include "coordinator/web/files.h"

#include <stddef.h>
#include <string.h>

#define FILE_BYTES(name, path) \
	extern const char gr_web__##name[], gr_web__##name##_end[]; \
	__asm__(".section .rodata\n.balign 16\n" \
		"gr_web__" #name ":\n.incbin \"" path "\"\ngr_web__" #name "_end:\n.byte 0\n.previous\n");

/* X(name, file, path it is served at, content type) */
#define FILES(X) \
	X(page, "coordinator/web/index.html", "/", "text/html; charset=utf-8") \
	X(style, "coordinator/web/app.css", "/web/app.css", "text/css; charset=utf-8") \
	X(app, "coordinator/web/app.js", "/web/app.js", "text/javascript; charset=utf-8") \
	X(charts, "coordinator/web/charts.js", "/web/charts.js", "text/javascript; charset=utf-8") \
	X(live, "coordinator/web/live.js", "/web/live.js", "text/javascript; charset=utf-8") \
	X(load_page, "coordinator/web/load.html", "/load", "text/html; charset=utf-8") \
	X(load_app, "coordinator/web/load.js", "/web/load.js", "text/javascript; charset=utf-8") \
	X(icon, "coordinator/web/icon.svg", "/web/icon.svg", "image/svg+xml") \
	X(openapi, "docs/openapi.json", "/api/v1/openapi.json", "application/json")

#define X(name, file, path, type) FILE_BYTES(name, file)
FILES(X)
#undef X

const struct gr_web_file *gr_web_find(const char *path)
{
	static const struct gr_web_file files[] = {
#define X(name, file, path, type) { path, type, gr_web__##name, gr_web__##name##_end },
		FILES(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(files[i].path, path))
			return &files[i];
	return NULL;
}
