/* replay.c - feed kept inputs to a fuzz target without libFuzzer, so that `make check` covers them with any compiler
 *
 * NAME_fuzz [FILE|FOLDER...]: default tests/fuzz/corpus/NAME. Each input goes in whole, then, while it is short, cut at
 * each length and with each byte changed once: cheap, and the same every time. Prints TAP. A crash is the failure.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

#define MAX_BYTES (16u << 20)
#define MUTATE_BYTES 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A copy of its own size, so that a sanitizer sees the first byte read too far. */
static void feed(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	if (n)
		memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void feed_variants(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		feed(p, i);
	for (size_t i = 0; i < n; i++) {
		uint8_t was = p[i];

		p[i] = (uint8_t)(was ^ (1u << (i % 8)));
		feed(p, n);
		p[i] = 0xff;
		feed(p, n);
		p[i] = was;
	}
}

static int replay_file(const char *path, unsigned *n_inputs)
{
	struct gr_buf b = { 0 };
	struct gr_err err;
	int rc = gr_file_read(path, MAX_BYTES, &b, &err);

	if (rc < 0) {
		printf("# %s\n", err.text);
		return rc;
	}
	gr_buf_reserve(&b, 0);
	feed(b.p, b.n);
	if (b.n <= MUTATE_BYTES)
		feed_variants(b.p, b.n);
	gr_buf_fini(&b);
	(*n_inputs)++;
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int replay(const char *path, unsigned *n_inputs)
{
	struct dirent **names;
	struct stat st;
	int n, rc = 0;

	if (stat(path, &st) < 0) {
		printf("# %s: not there\n", path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, n_inputs);
	n = scandir(path, &names, NULL, by_name);
	for (int i = 0; i < n; i++) {
		char file[4096];

		if (names[i]->d_name[0] != '.') {
			snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
			if (replay_file(file, n_inputs) < 0)
				rc = -1;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return rc;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	unsigned n_inputs = 0;
	char folder[256];
	int rc = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..1\n");
	snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%.*s", (int)strcspn(name, "_"), name);
	if (argc < 2)
		rc = replay(folder, &n_inputs);
	for (int i = 1; i < argc; i++)
		rc |= replay(argv[i], &n_inputs);
	printf("%sok 1 - %s: %u kept inputs and their variants\n", rc < 0 || n_inputs == 0 ? "not " : "", name, n_inputs);
	return rc < 0 || n_inputs == 0;
}
