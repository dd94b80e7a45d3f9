/**
 * spec - what a job is asked to be: the normalised description a client submits, read and checked
 *
 * JSON in, one object out; every complaint names the place: "stages[1].retry.max: must be a number 0..1000". What only a
 * worker needs (argv, env, inputs, outputs) is checked here and stays JSON, to be passed on. docs/protocol.md#jobs lists
 * every member. Pure; thread: any.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/sha256.h"

#define GR_SPEC_MAX_TASKS (1u << 24)
#define GR_SPEC_MAX_STAGES 4096u
#define GR_SPEC_MAX_AMOUNT 0x3fffffff  /* of a resource: thousandths of a core or a GPU, MiB; what placement counts to */
#define GR_SPEC_MAX_VALUES 64u
#define GR_SPEC_MAX_GANG 256u
#define GR_SPEC_MAX_TERMS 6u
#define GR_SPEC_MAX_REPLICAS 8u

enum gr_array_kind { GR_ARRAY_NONE, GR_ARRAY_RANGE, GR_ARRAY_LIST, GR_ARRAY_LIST_BLOB, GR_ARRAY_MATRIX };
enum gr_keep { GR_KEEP_ALL, GR_KEEP_FAILED, GR_KEEP_NONE };
enum gr_retry_on { GR_RETRY_LOST = 1, GR_RETRY_OOM = 2, GR_RETRY_TIMEOUT = 4, GR_RETRY_EXIT = 8 };

struct gr_after { uint32_t stage; bool is_each; };
struct gr_from {                          /* an input that is another stage's output */
	uint32_t stage;
	bool is_each;
	const char *path, *output;        /* output NULL: all of them */
};
struct gr_term {                          /* borrowed from json */
	const char *label, *op;
	const json_t *values;
};
struct gr_stage {
	const json_t *json;
	const char *name;
	uint32_t first, count;            /* its tasks within the job */
	struct gr_after *after;
	uint32_t n_after;
	struct gr_from *from;
	uint32_t n_from;
	enum gr_array_kind array;
	int64_t range_first, range_step;
	const json_t *list;               /* LIST: the entries; MATRIX: [[name, [values]], ..] */
	struct gr_digest list_blob;
	uint32_t cpu_mcpu, gpu_milli;
	uint64_t mem_bytes, disk_bytes, mem_limit_bytes, timeout_ms;
	uint32_t left_ms;
	struct gr_term terms[GR_SPEC_MAX_TERMS];
	uint32_t n_terms;
	const json_t *prefer;             /* [{label, value, permille}] or NULL */
	const char *spread_by;            /* NULL none */
	uint32_t spread_max;
	bool is_spread_soft;
	uint32_t retry_max, retry_on;     /* bits of enum gr_retry_on */
	const json_t *exit_codes, *never_codes;   /* NULL: all, none */
	uint64_t backoff_ms, backoff_max_ms;
	bool has_checkpoint, is_gang;
	bool is_rerunnable;               /* may run twice at once: a slow one gets a second try elsewhere */
	int checkpoint_code;
	const char *checkpoint_dir;
	uint32_t replicas, quorum;        /* 0: no quorum */
	bool is_adaptive;
	const char *same;                 /* label whose value all copies' workers share; NULL any */
	const json_t *compare;            /* paths; NULL all outputs and stdout */
	struct gr_stage *check;           /* the comparator: a command beside the stage's; owned, NULL: by digest */
	uint32_t check_at;                /* which of the job's comparators it is */
	const json_t *secrets;            /* names, or NULL */
};
struct gr_spec_blob { struct gr_digest digest; uint64_t size; };
struct gr_spec {
	json_t *json;                     /* owned */
	const char *name, *tenant;
	uint32_t weight;
	int priority;                     /* -15..15, higher first */
	bool is_idle;
	uint64_t max_failures;            /* 0 no limit */
	int max_failures_permille;        /* -1 no limit */
	int64_t deadline_ms;              /* unix; 0 none */
	uint64_t keep_ms;                 /* 0: the coordinator's */
	enum gr_keep keep_logs;
	struct gr_stage *stages;
	uint32_t n_stages, n_tasks, n_checks;
	struct gr_spec_blob *blobs;
	uint32_t n_blobs;
};

/* Takes a reference of @json. GR_EINVAL, GR_ELIMIT with the place in @err. */
int gr_spec_parse(json_t *json, struct gr_spec **out, struct gr_err *err) GR_MUST_CHECK;
void gr_spec_free(struct gr_spec **s);
uint32_t gr_spec_stage_of(const struct gr_spec *s, uint32_t task);    /* index of the stage a task belongs to */
bool gr_spec_has_secret(const struct gr_stage *st, const char *name);
/**
 * gr_spec_values - the values of task @index of a stage
 * @text: holds numbers and joined text as long as @out is used
 * Return: how many, 0..GR_SPEC_MAX_VALUES. Not for LIST_BLOB, whose lines the caller has: gr_spec_line_values.
 */
uint32_t gr_spec_values(const struct gr_stage *st, uint32_t index, struct gr_slice out[GR_SPEC_MAX_VALUES], struct gr_buf *text);
uint32_t gr_spec_line_values(struct gr_slice line, struct gr_slice out[GR_SPEC_MAX_VALUES]);
