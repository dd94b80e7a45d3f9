/* place.c - `griddle place replay`: a coordinator's decision log again, call by call, and whether it decides the same */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd/commands.h"
#include "client/view/table.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/place/replay.h"

#define MAX_LOG_BYTES (4ull << 30)

struct place_opts { bool decisions; };
static const struct gr_conf_key keys[] = {
	{ "decisions", GR_CONF_BOOL, "", "false", 0, 0, NULL, "Print every decision, one a line.", offsetof(struct place_opts, decisions), NULL },
};

static void print_decision(void *ctx, uint64_t now_ns, const struct gr_place_decision *d)
{
	if (!*(const bool *)ctx)
		return;
	printf("%.6f %s task %" PRIx64 " nth %" PRIu32 " placed %" PRIx64 " worker %" PRIu32 " looked %" PRIu32 " finish_us %" PRIu64 "\n",
	       (double)now_ns / GR_NS_PER_S, gr_place_act_name(d->act), d->tag, d->nth, d->placed, d->worker, d->n_looked, d->finish_us);
}

static int replay(const char *path, bool decisions, struct gr_err *err)
{
	struct gr_place_replay r;
	struct gr_buf b = { 0 };
	int rc = gr_file_read(path, MAX_LOG_BYTES, &b, err);

	if (rc < 0)
		return rc;
	rc = gr_place_replay((const uint8_t *)b.p, b.n, print_decision, &decisions, &r);
	if (rc < 0)
		rc = gr_err_set(err, GR_ECONFIG, "%s: %s at byte %zu of %zu: no decision log of this version, or damaged", path, gr_err_text(rc), r.n_bytes, b.n);
	else if (!r.n_records)
		rc = gr_err_set(err, GR_ECONFIG, "%s: holds no decision, nothing was compared", path);
	else if (!r.is_same)
		rc = gr_err_set(err, GR_EINVAL, "%s: the decisions differ from byte %zu on", path, r.differs_at);
	fprintf(stderr, "%s: %" PRIu64 " records, %" PRIu64 " decisions, seed %" PRIu64 "%s\n", path, r.n_records, r.n_decisions, r.seed,
		rc < 0 ? "" : ": every decision came out the same");
	gr_buf_fini(&b);
	return rc;
}

static int run_place(const struct gr_cmd *cmd, int argc, char **argv)
{
	struct gr_err err = { 0 };
	struct place_opts o;
	struct gr_conf conf;
	int rc, i = gr_cmd_options(cmd, argc, argv, &conf, &o, &err);

	if (i < 0)
		return gr_cmd_fail(cmd, &err);
	if (argc - i != 2 || strcmp(argv[i], "replay")) {
		gr_conf_fini(&conf);
		return gr_cmd_usage(cmd, i < argc ? argv[i] : NULL);
	}
	rc = replay(argv[i + 1], o.decisions, &err);
	gr_conf_fini(&conf);
	if (rc == GR_EINVAL) {
		gr_cmd_fail(cmd, &err);
		return GR_EXIT_FAILED;
	}
	return rc < 0 ? gr_cmd_fail(cmd, &err) : GR_EXIT_OK;
}

const struct gr_cmd gr_cmd_place = {
	.name = "place", .args = "replay LOG", .summary = "replay a coordinator's decision log",
	.help = "  griddle-coordinator --place-log /tmp/place.log\n  griddle place replay /tmp/place.log\n"
		"  griddle place --decisions replay /tmp/place.log\n\n"
		"Makes the logged calls again and compares every id and decision, byte for byte. Exit code 1 when one differs,\n"
		"2 when the file is no such log or holds nothing.\n",
	.keys = keys, .n_keys = GR_LEN(keys), .run = run_place,
};
