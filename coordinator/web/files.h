/**
 * files - the page's files and docs/openapi.json, inside the program
 */
#pragma once

struct gr_web_file {
	const char *path, *type;
	const char *begin, *end;
};
const struct gr_web_file *gr_web_find(const char *path);   /* NULL when there is none */
