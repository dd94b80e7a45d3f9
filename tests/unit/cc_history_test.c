/* The closure after any history of changes: the warm answer is that of a table which knows nothing yet. */
#include "tests/unit/cc_closure_fixture.h"

#include "lib/base/rng.h"

static void append_paths(struct gr_buf *b, struct gr_cc_node *const *list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		gr_buf_add_byte(b, ' ');
		gr_cc_node_path(list[i], b);
		if (list[i]->has_digest && list[i]->kind == GR_CC_REG) {
			char hex[GR_DIGEST_HEX];

			gr_digest_hex(&list[i]->digest, hex);
			gr_buf_printf(b, "=%.8s", hex);
		}
	}
	gr_buf_add_byte(b, '|');
}

static void sorted(struct gr_cc_node **list, uint32_t n)
{
	/* by path, so that two tables compare */
	for (uint32_t i = 1; i < n; i++)
		for (uint32_t k = i; k > 0; k--) {
			struct gr_buf a = { 0 }, b = { 0 };
			struct gr_cc_node *t = list[k];
			int c;

			gr_cc_node_path(list[k - 1], &a);
			gr_cc_node_path(list[k], &b);
			c = strcmp(gr_buf_str(&a), gr_buf_str(&b));
			gr_buf_fini(&a);
			gr_buf_fini(&b);
			if (c <= 0)
				break;
			list[k] = list[k - 1];
			list[k - 1] = t;
		}
}

static char *told(struct gr_cc_closure *cl)
{
	struct gr_buf b = { 0 };

	gr_buf_printf(&b, "%d %s %s|", cl->verdict, cl->reason, cl->detail);
	if (cl->verdict == GR_CC_CLOSURE_OK) {
		sorted(cl->files, cl->n_files);
		sorted(cl->links, cl->n_links);
		sorted(cl->dirs, cl->n_dirs);
		append_paths(&b, cl->files, cl->n_files);
		append_paths(&b, cl->links, cl->n_links);
		append_paths(&b, cl->dirs, cl->n_dirs);
	}
	return gr_buf_take(&b, NULL);
}

static void change_something(struct world *w, struct gr_rng *rng)
{
	static const char *const dirs[] = { "/w", "/w/i1", "/w/i2", "/w/i2/sub", "/o", "/o/sub" };
	static const char *const names[] = { "a.h", "b.h", "sub/a.h", "sub/b.h", "x.c", "c.h" };
	static const char *const forms[] = { "#include <%s>\n", "#include \"%s\"\n", "#include \"../%s\"\n", "#include_next <%s>\n",
		"#if __has_include(<%s>)\n", "#define M \"%s\"\n#include M\n", "#define M <%s>\n", "#include \"sub/../%s\"\n", "// %s\n" };
	static const char *const targets[] = { "i2", "../o", "/o", "/w/i2/sub", "a.h", "b.h", "../a.h", "/w/i1/b.h", "sub", "loop" };
	char path[128], text[512] = "";

	snprintf(path, sizeof(path), "%s/%s", dirs[gr_rng_below(rng, GR_LEN(dirs))], names[gr_rng_below(rng, GR_LEN(names))]);
	switch (gr_rng_below(rng, 8)) {
	case 0:
		take_away(w, path);
		break;
	case 1:
		if (world_find(w, path) && world_find(w, path)->kind == GR_CC_LINK)
			world_put(w, path, GR_CC_LINK, targets[gr_rng_below(rng, GR_LEN(targets))]);
		else if (!world_find(w, path) && world_look(w, path, 0) == NULL)
			put_link(w, path, targets[gr_rng_below(rng, GR_LEN(targets))]);
		break;
	case 2: {
		const char *d = dirs[1 + gr_rng_below(rng, GR_LEN(dirs) - 1)];

		take_away(w, d);
		if (gr_rng_below(rng, 2))
			world_put(w, d, GR_CC_LINK, targets[gr_rng_below(rng, GR_LEN(targets))]);
		break;
	}
	case 3:
		world_settle(w);
		break;
	default:
		for (uint32_t i = gr_rng_below(rng, 4); i > 0; i--) {
			size_t n = strlen(text);

			snprintf(text + n, sizeof(text) - n, forms[gr_rng_below(rng, GR_LEN(forms))], names[gr_rng_below(rng, GR_LEN(names))]);
		}
		/* every folder above must be one, not a link or a file */
		for (char *s = strchr(path + 1, '/'); s; s = strchr(s + 1, '/')) {
			struct world_entry *e;

			*s = 0;
			e = world_find(w, path);
			*s = '/';
			if (e && e->kind != GR_CC_DIR)
				return;
		}
		if (world_find(w, path) && world_find(w, path)->kind != GR_CC_REG)
			take_away(w, path);
		put(w, path, text);
	}
}

static void history(struct rig *r, uint64_t seed)
{
	struct gr_rng rng = { seed };
	struct gr_cc_closure_in in = { &r->cmd, "/w", &r->search, 0, NULL, 0 };

	put(r->w, "/w/x.c", "#include <a.h>\n#include \"b.h\"\n");
	for (int step = 0; step < 60; step++) {
		struct gr_cc_closure fresh = { 0 };
		struct gr_cc_closer *closer;
		struct gr_cc_files *files;
		struct gr_cc_fs fs = { r->w, world_lstat, world_readlink, world_read, world_watch, world_unwatch, world_events, world_fd,
				       world_fini };
		char *warm, *cold;

		for (uint32_t i = gr_rng_below(&rng, 3); i > 0; i--)
			change_something(r->w, &rng);
		close_over(r, "gcc -Ii1 -I./i2 -iquote sub -isystem /o -o y.o -c x.c");
		warm = told(&r->cl);
		/* a table of its own that knows nothing; it must not take the other's watches */
		fs.watch = world_cannot_watch;
		files = gr_cc_files_new(&fs);
		closer = gr_cc_closer_new(files);
		gr_cc_files_drain(files, r->w->now_ns);
		gr_cc_closure_of(closer, &in, &fresh);
		cold = told(&fresh);
		if (strcmp(warm, cold)) {
			print_error("seed %llu step %d\nwarm %s\ncold %s\n", (unsigned long long)seed, step, warm, cold);
			fail();
		}
		free(warm);
		free(cold);
		gr_cc_closure_fini(&fresh);
		gr_cc_closer_free(&closer);
		gr_cc_files_free(&files);
	}
}

static void after_any_history_the_warm_answer_is_a_fresh_ones(void **state)
{
	for (uint64_t seed = 1; seed <= 150; seed++) {
		void *s = NULL;

		setup(&s);
		((struct rig *)s)->w->watch_fails = seed % 5 == 0;
		history(s, seed);
		teardown(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(after_any_history_the_warm_answer_is_a_fresh_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
