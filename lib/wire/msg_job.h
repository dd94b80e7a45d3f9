/**
 * msg_job - the messages of batch jobs between coordinator and worker: SPEC, COMMAND, ENDED, OUT, FOLLOW, STARTED, STOP
 *
 * A job is named by its number, below GR_WIRE_MAX_JOB, so that it can stand where a session's id stands (NEED, FETCH, BLOB,
 * MISSING, SESSION_CLOSE, RESULT_ACK). What is the same for a job's tasks travels once a connection in SPEC (JSON); a COMMAND
 * holds what is its own: values for the templates, outputs of other tasks, secrets. Decoders and encoders as in msg.h:
 * lists inside a message are walked once by the decoder, so that the _next functions cannot fail afterwards.
 */
#pragma once
#include "lib/wire/msg.h"

#define GR_WIRE_MAX_JOB 0xffffffffull
#define GR_WIRE_ALL_TASKS UINT64_MAX
#define GR_WIRE_MAX_VALUES 64u                   /* of one task */
#define GR_WIRE_MAX_SECRETS 32u
#define GR_WIRE_MAX_PLACED_FILES 65536u          /* inputs of a COMMAND, outputs of an ENDED */
#define GR_WIRE_MAX_INLINE_BYTES (64u << 10)     /* an item inside ENDED */
#define GR_WIRE_CHECKPOINT 0xffffu               /* as an output's index: a file of the checkpoint folder */

struct gr_list_msg {              /* entries inside a message; walk with the _next of their kind */
	struct gr_slice raw;
	uint32_t n;
};
struct gr_list_it {
	struct gr_rd rd;
	uint32_t left;
};
static inline struct gr_list_it gr_list_begin(const struct gr_list_msg *l)
{
	return (struct gr_list_it){ gr_rd_init(l->raw), l->n };
}

/* Bytes that travel with the message (has_data), or are named by their digest. */
struct gr_item {
	uint64_t size;
	bool has_data;
	struct gr_digest digest;  /* when !has_data */
	struct gr_slice data;     /* when has_data; data.n == size */
};
enum gr_place_kind { GR_PLACED_FILE = 1, GR_PLACED_DIR, GR_PLACED_LINK };
struct gr_placed_file {           /* a file, folder or link below a task's folder */
	uint32_t index;           /* ENDED: of the declared output, or GR_WIRE_CHECKPOINT; COMMAND: 0, does not travel */
	uint8_t kind;             /* enum gr_place_kind */
	uint16_t mode;            /* permission bits */
	struct gr_slice path;     /* relative, clean (gr_path_is_below) */
	struct gr_item item;      /* FILE; in a COMMAND always by digest */
	struct gr_slice target;   /* LINK */
};
struct gr_secret {
	struct gr_slice name, value;
};

/* ---- COMMAND ---- */
enum gr_command_flag { GR_COMMAND_F_STREAM = 1 };     /* OUT frames from the start, as if it were followed */
struct gr_command_msg {
	uint64_t job, task;
	uint32_t attempt;
	uint32_t stage, index, ordinal;       /* ordinal: 1 for the first attempt, for people */
	uint32_t flags;
	uint64_t timeout_ms, mem_limit_bytes, mem_bytes;   /* 0 none */
	struct gr_list_msg values;            /* gr_value_next */
	struct gr_list_msg inputs;            /* gr_placed_next(.., false) */
	struct gr_list_msg secrets;           /* gr_secret_next */
};
/* Append one entry to the raw form of a list and count it. */
void gr_value_add(struct gr_buf *raw, uint32_t *n, struct gr_slice value);
void gr_placed_add(struct gr_buf *raw, uint32_t *n, const struct gr_placed_file *f, bool is_output);
void gr_secret_add(struct gr_buf *raw, uint32_t *n, const struct gr_secret *s);
bool gr_value_next(struct gr_list_it *it, struct gr_slice *out);
bool gr_placed_next(struct gr_list_it *it, struct gr_placed_file *out, bool is_output);
bool gr_secret_next(struct gr_list_it *it, struct gr_secret *out);
void gr_command_encode(struct gr_buf *b, const struct gr_command_msg *m);
int gr_command_decode(struct gr_slice body, struct gr_command_msg *m) GR_MUST_CHECK;

/* ---- ENDED ---- */
enum gr_ended_flag {
	GR_ENDED_F_OUT_CUT = 1, GR_ENDED_F_ERR_CUT = 2, GR_ENDED_F_NOT_STARTED = 4, GR_ENDED_F_DRAINED = 8,
	GR_ENDED_F_NO_OUTPUT = 16,            /* exit code 0, and a required output is not there */
};
struct gr_ended_msg {
	uint64_t job, task;
	uint32_t attempt;
	uint8_t outcome;                      /* enum gr_outcome */
	int32_t exit_code, term_signal;
	uint32_t flags;
	uint64_t cpu_us, wall_us, max_rss_bytes, wait_us, in_bytes;
	struct gr_slice reason;
	struct gr_item out, err;
	struct gr_list_msg outputs;           /* gr_placed_next(.., true) */
};
void gr_ended_encode(struct gr_buf *b, const struct gr_ended_msg *m);
int gr_ended_decode(struct gr_slice body, struct gr_ended_msg *m) GR_MUST_CHECK;

/* ---- OUT, FOLLOW ---- */
enum gr_stream { GR_STREAM_OUT = 1, GR_STREAM_ERR = 2 };
enum gr_out_flag { GR_OUT_F_END = 1 };
struct gr_out_msg {
	uint64_t job, task;
	uint32_t attempt;
	uint8_t stream, flags;
	uint64_t offset;
	struct gr_slice data;                 /* at most GR_WIRE_CHUNK_BYTES; empty only with GR_OUT_F_END */
};
void gr_out_encode(struct gr_buf *b, const struct gr_out_msg *m);
int gr_out_decode(struct gr_slice body, struct gr_out_msg *m) GR_MUST_CHECK;
struct gr_follow_msg {
	uint64_t job, task;
	uint32_t attempt;
	bool is_on;
	uint64_t out, err;                    /* offsets to begin at */
};
void gr_follow_encode(struct gr_buf *b, const struct gr_follow_msg *m);
int gr_follow_decode(struct gr_slice body, struct gr_follow_msg *m) GR_MUST_CHECK;

/* ---- STARTED {job, task, attempt}: gr_taskref_encode, gr_taskref_decode.  STOP: ---- */
enum gr_stop_how { GR_STOP_CANCEL = 1, GR_STOP_YIELD = 2, GR_STOP_RETRACT = 3 };
struct gr_stop_msg {
	uint64_t job, task;                   /* task: GR_WIRE_ALL_TASKS for all of the job */
	uint32_t attempt;                     /* 0: whichever */
	uint8_t how;                          /* enum gr_stop_how */
	uint32_t grace_ms;
};
void gr_stop_encode(struct gr_buf *b, const struct gr_stop_msg *m);
int gr_stop_decode(struct gr_slice body, struct gr_stop_msg *m) GR_MUST_CHECK;
