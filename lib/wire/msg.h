/**
 * msg - the messages of griddle's protocol 1: what travels between client, coordinator and worker
 *
 * One ZeroMQ message is one frame: an 8-byte header {'g', 'r', version u8, type u8, body length u32} and the body.
 * Encoders append a whole frame to a buffer; decoders take the body (frame checked by gr_frame_open) and borrow from
 * it. Every decoder checks each length before it uses it and refuses trailing bytes: GR_ETRUNC, GR_EPROTO, GR_ELIMIT,
 * all of class PEER. docs/protocol.md is the prose.
 *
 * The three parties:  client (the agent, or `griddle` itself)  <->  coordinator  <->  worker.
 *
 * A *session* is one client's build: a 64-bit random id, and a *log* of records, append-only, the index of a record
 * being its id. Records are strings (argv words, paths, environment entries) and facts about files (path, digest).
 * Tasks name records by id, so that file lists and argv words travel once a session and not once a task. The
 * coordinator keeps the log and forwards to each worker what that worker has not had.
 */
#pragma once
#include <jansson.h>
#include "lib/wire/codec.h"

#define GR_WIRE_VERSION 1
#define GR_WIRE_HEADER_BYTES 8
#define GR_WIRE_MAX_FRAME_BYTES (80u << 20)      /* a result with outputs; other types are held lower in msg.c */
#define GR_WIRE_MAX_OUTPUT_BYTES (64u << 20)     /* sum of a task's outputs */
#define GR_WIRE_CHUNK_BYTES (1u << 20)           /* raw bytes in one BLOB frame */
#define GR_WIRE_MAX_COMMAND_BYTES (24u << 20)    /* a COMMAND or an ENDED, with the names of many files */
#define GR_WIRE_MAX_BUNDLE_BYTES (64u << 10)     /* frames in one BUNDLE */
#define GR_WIRE_MAX_BLOB_BYTES (1ull << 30)
#define GR_WIRE_MAX_RECORDS (1u << 22)           /* a session's log */
#define GR_WIRE_MAX_LOG_BYTES (256u << 20)
#define GR_WIRE_MAX_STR_BYTES 65536u
#define GR_WIRE_MAX_ARGS 16384u
#define GR_WIRE_MAX_INPUTS 65536u
#define GR_WIRE_MAX_OUTPUTS 64u
#define GR_WIRE_MAX_STREAM_BYTES (8u << 20)      /* captured stdout or stderr of a task */
#define GR_WIRE_MAX_DIGESTS 4096u                /* in one NEED, FETCH or MISSING */

/* X(number, NAME, who sends it: C client, S coordinator, W worker, A any) */
#define GR_MSG_MAP(X) \
	X(1, HELLO, "CW") X(2, WELCOME, "S") X(3, REJECT, "S") X(4, PING, "CSW") X(5, PONG, "CSW") X(6, BYE, "CSW") \
	X(8, CTL_REQ, "CS") X(9, CTL_REP, "SW") X(10, CLUSTER, "S") X(11, BUNDLE, "CSW") \
	X(16, SESSION_OPEN, "CS") X(17, SESSION_OK, "SW") X(18, SESSION_CLOSE, "CSW") X(20, LOG, "CS") \
	X(24, TASK, "CS") X(25, CANCEL, "CS") X(26, RESULT, "SW") X(27, RESULT_ACK, "CS") \
	X(32, NEED, "CW") X(33, FETCH, "S") X(34, BLOB, "CSW") X(35, MISSING, "CSW") \
	X(40, DRAIN, "W") \
	X(48, SPEC, "S") X(49, COMMAND, "S") X(50, ENDED, "W") X(51, OUT, "SW") X(52, FOLLOW, "S") X(53, EVENT, "S") \
	X(54, STARTED, "W") X(55, STOP, "S") \
	X(96, LOAD_PREPARE, "S") X(97, LOAD_STATE, "W") X(98, LOAD_START, "S") X(99, LOAD_STOP, "S") \
	X(100, LOAD_CLOCK, "SW") X(101, LOAD_SHARE, "S") X(102, LOAD_STATS, "W")
enum gr_msg_type {
#define X(num, name, who) GR_MSG_##name = num,
	GR_MSG_MAP(X)
#undef X
};
const char *gr_msg_name(int type);                                     /* "TASK", or "?" */
bool gr_msg_may_send(int type, char who);                              /* who: 'C', 'S' or 'W' */

enum gr_role { GR_ROLE_CLIENT = 1, GR_ROLE_WORKER = 2, GR_ROLE_ADMIN = 4 };   /* a bit mask in allow lists */
const char *gr_role_name(enum gr_role role);                           /* "client", "worker", "admin" */
int gr_role_parse(const char *text);                                   /* a role, or GR_EINVAL */

/* ---- frames ---- */
/**
 * gr_frame_open - check a received frame's header
 * Return: the type; GR_ETRUNC, GR_EPROTO (bad magic, unknown type, length differs), GR_EVERSION, GR_ELIMIT.
 * @body is set also for GR_EVERSION when the frame is a HELLO or a REJECT, so that both sides can say what is wrong.
 */
int gr_frame_open(struct gr_slice frame, struct gr_slice *body) GR_MUST_CHECK;
/* Appends a header; returns its offset for gr_frame_end, which fills in the body's length. */
size_t gr_frame_begin(struct gr_buf *b, enum gr_msg_type type);
void gr_frame_end(struct gr_buf *b, size_t at);
/**
 * gr_bundle_check - a BUNDLE's body: two frames or more, whole, one behind the other
 * What begins or refuses a conversation (HELLO, WELCOME, REJECT) and other bundles are not in it.
 * Return: how many; GR_ETRUNC, GR_EPROTO, GR_EVERSION, GR_ELIMIT. The frames' bodies are not looked into.
 */
int gr_bundle_check(struct gr_slice body) GR_MUST_CHECK;
/* Takes the next frame off a checked body; false when there is none. To make one: gr_frame_begin, the frames, gr_frame_end. */
bool gr_bundle_next(struct gr_slice *body, struct gr_slice *frame);

/* ---- JSON bodies: HELLO, WELCOME, REJECT, BYE, CTL_REQ, CTL_REP, CLUSTER, SESSION_OPEN, EVENT; SPEC ---- */
void gr_json_encode(struct gr_buf *b, enum gr_msg_type type, const json_t *body);
/* A new reference in *out; an object, <= 1 MiB, depth <= 32, no duplicate keys. */
int gr_json_decode(struct gr_slice body, json_t **out, struct gr_err *err) GR_MUST_CHECK;
/* The same with another limit: a job's description. */
int gr_json_decode_max(struct gr_slice body, size_t max, json_t **out, struct gr_err *err) GR_MUST_CHECK;
#define GR_WIRE_MAX_SPEC_BYTES (64u << 20)

struct gr_hello {                 /* HELLO's fixed part; the rest stays in `json` */
	enum gr_role role;
	uint32_t version_min, version_max;
	char name[64];            /* [A-Za-z0-9._-]+ */
	char version[32];         /* the program's, for people */
	json_t *json;             /* whole body, owned */
};
int gr_hello_decode(struct gr_slice body, struct gr_hello *out, struct gr_err *err) GR_MUST_CHECK;
void gr_hello_fini(struct gr_hello *h);
/* A new object with the fixed part filled in; the caller adds the rest. */
json_t *gr_hello_json(enum gr_role role, const char *name);

/* ---- heartbeats ---- */
#define GR_MAX_SIGNALS 32u
/* X(number, NAME, unit) - what a worker says of its machine; only changed values travel */
#define GR_SIGNAL_MAP(X) \
	X(1, CPU_QUOTA_MCPU, "mcpu") X(2, CPU_THROTTLED_PERMILLE, "permille of periods") X(3, CPU_STEAL_PERMILLE, "permille") \
	X(4, CPU_PSI_PERMILLE, "permille some avg10") X(5, MEM_LIMIT_BYTES, "bytes") X(6, MEM_USED_BYTES, "bytes") \
	X(7, MEM_PSI_PERMILLE, "permille some avg10") X(8, SLOTS, "tasks") X(9, RUNNING, "tasks") X(10, QUEUED, "tasks") \
	X(11, CACHE_BYTES, "bytes") X(12, DISK_FREE_BYTES, "bytes") X(13, IO_PSI_PERMILLE, "permille some avg10") \
	X(14, CPU_USED_MCPU, "mcpu") X(15, NODE_BUSY_MCPU, "mcpu") X(16, MEM_PEAK_BYTES, "bytes") X(17, OOM_KILLS, "processes") \
	X(18, NODE_CPU_PSI_PERMILLE, "permille some avg10") X(19, NODE_MEM_PSI_PERMILLE, "permille some avg10") \
	X(20, NODE_IO_PSI_PERMILLE, "permille some avg10")
enum gr_signal {
#define X(num, name, unit) GR_SIGNAL_##name = num,
	GR_SIGNAL_MAP(X)
#undef X
};
struct gr_ping {                  /* PING; PONG carries seq and t_ns back unchanged, no signals */
	uint64_t seq, t_ns;       /* the sender's monotonic clock */
	uint32_t n_signals;
	struct { uint8_t key; uint64_t value; } signals[GR_MAX_SIGNALS];
};
void gr_ping_encode(struct gr_buf *b, enum gr_msg_type ping_or_pong, const struct gr_ping *m);
int gr_ping_decode(struct gr_slice body, struct gr_ping *m) GR_MUST_CHECK;

/* ---- sessions ---- */
/* SESSION_OK {session, n_records the sender already has}; SESSION_CLOSE {session}: both by this pair */
void gr_session_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, uint32_t n_records);
int gr_session_decode(struct gr_slice body, uint64_t *session, uint32_t *n_records) GR_MUST_CHECK;
/* SESSION_OPEN is JSON: {"session": "<16 hex>"}; the coordinator passes it to a worker unchanged. */

enum gr_file_kind { GR_FILE_REG = 1, GR_FILE_DIR, GR_FILE_LINK, GR_FILE_ABSENT };
enum gr_record_tag { GR_RECORD_STR = 1, GR_RECORD_FILE = 2 };
struct gr_record {
	enum gr_record_tag tag;
	struct gr_slice str;              /* STR: the bytes, no NUL.  FILE of kind LINK: the target */
	uint32_t path;                    /* FILE: id of an earlier STR, an absolute clean path (gr_path_is_safe) */
	enum gr_file_kind kind;
	bool is_exec;
	uint64_t size;                    /* REG */
	struct gr_digest digest;          /* REG */
};
/* LOG {session, first id, count, bytes}: encode the records with gr_record_encode into @bytes first. */
struct gr_log_msg {
	uint64_t session;
	uint32_t first, n;
	struct gr_slice bytes;
};
void gr_record_encode(struct gr_buf *bytes, const struct gr_record *r);
/* Reads one record from @r. Return: 1, 0 at the end, or an error. Does not know earlier records: the caller checks path. */
int gr_record_next(struct gr_rd *r, struct gr_record *out) GR_MUST_CHECK;
void gr_log_encode(struct gr_buf *b, const struct gr_log_msg *m);
int gr_log_decode(struct gr_slice body, struct gr_log_msg *m) GR_MUST_CHECK;   /* checks every record's form and the count */

/* ---- tasks ---- */
struct gr_ids {                   /* a list of record ids inside a message; iterate with gr_ids_next */
	struct gr_slice raw;
	uint32_t n;
	bool is_sorted;           /* delta coded, strictly rising */
};
struct gr_ids_it { struct gr_rd rd; uint32_t left, last; bool is_sorted, is_begun; };
struct gr_ids_it gr_ids_begin(const struct gr_ids *ids);
bool gr_ids_next(struct gr_ids_it *it, uint32_t *id);
/* Build the raw form. For a sorted list @ids must be strictly rising. */
void gr_ids_encode(struct gr_buf *raw, const uint32_t *ids, uint32_t n, bool is_sorted);

enum gr_output_flag { GR_OUTPUT_REQUIRED = 1 };   /* must exist when the exit code is 0 */
enum gr_task_flag { GR_TASK_F_GCOV = 1, GR_TASK_F_SPLIT_DWARF = 2, GR_TASK_F_PLUGIN = 4, GR_TASK_F_DEBUG = 8 };
struct gr_task_msg {              /* TASK: client -> coordinator with attempt 0; coordinator -> worker numbered from 1 */
	uint64_t session, task;   /* task: chosen by the client, unique and rising within the session */
	uint32_t attempt;
	uint32_t n_records;       /* the log must hold at least so many */
	uint32_t flags;           /* enum gr_task_flag: what a sandbox tier may not be able to do */
	struct gr_digest toolchain;
	uint32_t cpu_ms;          /* expected, 0 unknown */
	uint64_t mem_bytes;       /* expected peak, 0 unknown */
	uint64_t family;          /* hash of what learned times are kept by, 0 none */
	uint32_t timeout_ms;      /* 0: the worker's default */
	uint32_t cwd;             /* STR */
	struct gr_ids argv;       /* STR; argv[0] is only the name shown in messages */
	struct gr_ids env;        /* STR "K=V" */
	struct gr_ids inputs;     /* FILE, sorted */
	uint32_t n_outputs;
	struct { uint32_t path; uint8_t flags; } outputs[GR_WIRE_MAX_OUTPUTS];   /* path: STR, absolute clean */
};
void gr_task_encode(struct gr_buf *b, const struct gr_task_msg *m);
int gr_task_decode(struct gr_slice body, struct gr_task_msg *m) GR_MUST_CHECK;
/* Overwrites the attempt inside an encoded TASK frame (fixed offset), so that forwarding needs no re-encoding. */
void gr_task_patch_attempt(struct gr_buf *frame, uint32_t attempt);

enum gr_outcome {                 /* numbers travel */
	GR_OUTCOME_DONE = 1,      /* the compiler ran to its end: exit_code or term_signal say how */
	GR_OUTCOME_REFUSED,       /* not run, and would not be elsewhere: run it locally; reason says why */
	GR_OUTCOME_RETRY,         /* not run or not finished here (draining, disk full, cache damage): another worker may */
	GR_OUTCOME_CANCELLED,
	GR_OUTCOME_TIMEOUT,       /* killed at its time limit */
	GR_OUTCOME_OOM,           /* killed for its memory */
	GR_OUTCOME_DISK,          /* its folder took more disk than it asked for; of commands only */
};
const char *gr_outcome_name(int outcome);
struct gr_result_out {
	uint32_t index;           /* into the task's outputs */
	uint32_t mode;            /* 0644 or 0755 */
	uint8_t enc;              /* enum gr_enc */
	uint64_t size;            /* decoded */
	struct gr_slice data;
};
struct gr_result_msg {
	uint64_t session, task;
	uint32_t attempt;
	uint8_t outcome;
	int32_t exit_code, term_signal;
	uint64_t cpu_us, wall_us, max_rss_bytes, wait_us;   /* wait: from receipt to start */
	struct gr_slice reason, out, err;                   /* out, err: the compiler's stdout and stderr */
	uint32_t n_outputs;
	struct gr_result_out outputs[GR_WIRE_MAX_OUTPUTS];
};
void gr_result_encode(struct gr_buf *b, const struct gr_result_msg *m);
int gr_result_decode(struct gr_slice body, struct gr_result_msg *m) GR_MUST_CHECK;

/* CANCEL, RESULT_ACK {session, task, attempt (0: any)} */
void gr_taskref_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, uint64_t task, uint32_t attempt);
int gr_taskref_decode(struct gr_slice body, uint64_t *session, uint64_t *task, uint32_t *attempt) GR_MUST_CHECK;

/* ---- blobs ---- */
/* NEED (worker, client -> coordinator), FETCH (coordinator -> client, worker), MISSING (either way back): {session, n, digests} */
struct gr_digests_msg {
	uint64_t session;
	uint32_t n;
	const uint8_t *digests;   /* n * 32 bytes, borrowed */
};
void gr_digests_encode(struct gr_buf *b, enum gr_msg_type type, uint64_t session, const struct gr_digest *d, uint32_t n);
int gr_digests_decode(struct gr_slice body, struct gr_digests_msg *m) GR_MUST_CHECK;
struct gr_digest gr_digests_at(const struct gr_digests_msg *m, uint32_t i);

enum gr_enc { GR_ENC_RAW = 0, GR_ENC_ZLIB = 1 };
struct gr_blob_msg {              /* one piece, in order; offset 0 starts a blob anew; raw_n <= GR_WIRE_CHUNK_BYTES */
	uint64_t session;
	struct gr_digest digest;
	uint64_t total, offset;
	uint8_t enc;
	uint32_t raw_n;           /* decoded bytes in this piece */
	struct gr_slice data;
};
void gr_blob_encode(struct gr_buf *b, const struct gr_blob_msg *m);
int gr_blob_decode(struct gr_slice body, struct gr_blob_msg *m) GR_MUST_CHECK;

/* ---- DRAIN {grace_ms} ---- */
void gr_drain_encode(struct gr_buf *b, uint32_t grace_ms);
int gr_drain_decode(struct gr_slice body, uint32_t *grace_ms) GR_MUST_CHECK;

/* ---- load tests (lib/wire/msg_load.c) ---- */
#define GR_LOAD_MAX_KEY 0x4ffffu
#define GR_LOAD_MAX_NUMBERS 65536u               /* in one LOAD_STATS */
#define GR_LOAD_MAX_SERIES 2048u
#define GR_LOAD_MAX_HDR_BYTES (256u << 10)
/* LOAD_PREPARE and LOAD_STATE are JSON. LOAD_START {run, start in the worker's clock}; LOAD_STOP {run}. */
void gr_load_start_encode(struct gr_buf *b, uint64_t run, uint64_t start_ns);
int gr_load_start_decode(struct gr_slice body, uint64_t *run, uint64_t *start_ns) GR_MUST_CHECK;
void gr_load_stop_encode(struct gr_buf *b, uint64_t run);
int gr_load_stop_decode(struct gr_slice body, uint64_t *run) GR_MUST_CHECK;
/* LOAD_CLOCK: the coordinator sends its clock; the worker sends it back with its own at receiving and at answering. While
 * a shard runs it is also the lease: without one for plan.lease the shard stops. */
struct gr_load_clock { uint64_t sent_ns, received_ns, back_ns; };
void gr_load_clock_encode(struct gr_buf *b, const struct gr_load_clock *m);
int gr_load_clock_decode(struct gr_slice body, struct gr_load_clock *m) GR_MUST_CHECK;
/* LOAD_SHARE: from arrival @from on the shard has those whose number is @index modulo @of. */
struct gr_load_share { uint64_t run, from; uint32_t index, of; };
void gr_load_share_encode(struct gr_buf *b, const struct gr_load_share *m);
int gr_load_share_decode(struct gr_slice body, struct gr_load_share *m) GR_MUST_CHECK;
/* LOAD_STATS: what part @part (a thread) of a shard counted in an interval. Numbers and series in rising order of key. */
struct gr_load_stats {
	uint64_t run;
	uint32_t interval;
	uint16_t shard, part, n_parts;
	uint8_t is_last;          /* the part ended */
	uint64_t first_ns;        /* when its first request left, the worker's clock; 0 not yet */
	uint32_t n_numbers, n_series;
	struct gr_slice rest;     /* borrowed; read it with gr_load_stats_read */
};
struct gr_load_series_msg {
	uint32_t key;
	uint64_t min, max;
	double sum;
	struct gr_slice hdr;      /* HdrHistogram V2, uncompressed */
};
/* Encoding: begin with the counts of what follows, then so many numbers, then so many series, then gr_frame_end(b, at). */
void gr_load_stats_begin(struct gr_buf *b, const struct gr_load_stats *m, size_t *at);
void gr_load_stats_number(struct gr_buf *b, uint32_t key, uint64_t value);
void gr_load_stats_series(struct gr_buf *b, const struct gr_load_series_msg *s);
int gr_load_stats_decode(struct gr_slice body, struct gr_load_stats *m) GR_MUST_CHECK;     /* checks every entry's form */
/* First all numbers, then all series. */
struct gr_rd gr_load_stats_read(const struct gr_load_stats *m);
bool gr_load_stats_next_number(struct gr_rd *r, uint32_t *key, uint64_t *value);
bool gr_load_stats_next_series(struct gr_rd *r, struct gr_load_series_msg *s);

/* ---- compression (lib/wire/pack.c) ---- */
/* zlib level 1 when it makes @in smaller by an eighth, else raw. Appends to @out. Return: enum gr_enc. */
int gr_pack(struct gr_slice in, struct gr_buf *out);
/* Appends exactly @raw_n bytes. GR_EPROTO when the data is damaged or gives another size; GR_ELIMIT when raw_n > @max.
 * Memory is bounded by raw_n, whatever the data claims. */
int gr_unpack(struct gr_slice in, uint8_t enc, uint64_t raw_n, uint64_t max, struct gr_buf *out) GR_MUST_CHECK;
