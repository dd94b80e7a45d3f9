/**
 * plan - a load test as data: stages, scenarios of requests, templates, checks, thresholds
 *
 * A plan is JSON (docs/load.md, docs/load.schema.json). gr_load_plan_parse checks all of it and says with the path of the
 * member what is wrong: "scenarios[1].requests[0].url: ...". After that the plan is read only and may be used by several
 * threads. Client, coordinator and worker parse the same text, so nothing of it is trusted twice.
 *
 * The arrivals of a test are numbered 0, 1, 2...; number k belongs to share k mod S, and everything random in it comes from
 * the plan's seed and k. So S shares together make exactly the plan's arrivals, whatever S is and whoever has which share.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/load/regex.h"

#define GR_LOAD_MAX_SCENARIOS 64u
#define GR_LOAD_MAX_REQUESTS 128u                /* of all scenarios together */
#define GR_LOAD_MAX_STAGES 64u
#define GR_LOAD_MAX_SEGMENTS 1024u
#define GR_LOAD_MAX_HEADERS 64u
#define GR_LOAD_MAX_CHECKS 16u                   /* of one request */
#define GR_LOAD_MAX_CAPTURES 16u
#define GR_LOAD_MAX_VARS 32u
#define GR_LOAD_MAX_POINTER_NAME 255u           /* with its slash */
#define GR_LOAD_MAX_CSV 8u
#define GR_LOAD_MAX_COLUMNS 64u
#define GR_LOAD_MAX_THRESHOLDS 32u
#define GR_LOAD_MAX_ORIGINS 64u
#define GR_LOAD_WARM_NS 10000000000ull           /* at the most, for connections that are opened before the start */
#define GR_LOAD_MAX_BURNS 16u
#define GR_LOAD_MAX_RATE 10000000.0
#define GR_LOAD_MAX_SHARDS 256u
#define GR_LOAD_MAX_NS (7ull * 86400 * 1000000000)

/* ---- schedule ---- */
enum gr_load_curve { GR_LOAD_HOLD, GR_LOAD_RAMP, GR_LOAD_SINE };
struct gr_load_segment {
	enum gr_load_curve curve;
	double start_s, len_s;
	double from, to;                         /* HOLD: from. RAMP: from..to. SINE: from is the mean, to the amplitude */
	double period_s;
	double n_before;                         /* arrivals planned before it */
};
struct gr_load_sched {
	struct gr_load_segment *segs;
	uint32_t n_segs;
	double len_s, n_total, peak;
};
/* Arrivals of the whole plan: k = 0 .. that - 1. */
uint64_t gr_load_n_arrivals(const struct gr_load_sched *s);
/* When arrival @k is due, ns from the start; never earlier than a smaller k's. @i_seg: cursor for rising k, start with 0. */
uint64_t gr_load_when(const struct gr_load_sched *s, uint32_t *i_seg, uint64_t k);
double gr_load_count_at(const struct gr_load_sched *s, double t_s);    /* arrivals due before t */
double gr_load_level_at(const struct gr_load_sched *s, double t_s);    /* rate, or users; 0 outside */

/* ---- templates ---- */
enum gr_load_piece_kind { GR_LOAD_TEXT, GR_LOAD_UUID, GR_LOAD_SEQ, GR_LOAD_RAND, GR_LOAD_CSV_CELL, GR_LOAD_VAR };
struct gr_load_piece {
	enum gr_load_piece_kind kind;
	struct gr_slice text;                    /* owned */
	int64_t lo, hi;
	uint32_t csv, column, var;
};
struct gr_load_tmpl {
	struct gr_load_piece *pieces;
	uint32_t n_pieces;
	bool is_json;                            /* what is put in stands within JSON text, and is escaped for it */
};
struct gr_load_plan;
struct gr_load_ctx {                             /* of one visit */
	const struct gr_load_plan *plan;
	uint64_t seq;                            /* its number */
	struct gr_rng rng;
	struct gr_slice *vars;                   /* plan->n_vars of them, the caller's; NULL: none */
};
void gr_load_ctx_init(struct gr_load_ctx *c, const struct gr_load_plan *p, uint64_t seq);
void gr_load_render(const struct gr_load_tmpl *t, struct gr_load_ctx *c, struct gr_buf *out);   /* appends */
bool gr_load_tmpl_is_static(const struct gr_load_tmpl *t);

/* ---- requests ---- */
enum gr_load_scheme { GR_LOAD_HTTP, GR_LOAD_HTTPS, GR_LOAD_WS, GR_LOAD_WSS, GR_LOAD_TCP };
struct gr_load_origin {
	enum gr_load_scheme scheme;
	char *host, *port, *authority;           /* authority: for Host, without a default port */
	bool is_tls;
};
enum gr_load_check_kind { GR_LOAD_C_STATUS, GR_LOAD_C_HEADER, GR_LOAD_C_BODY, GR_LOAD_C_REGEX, GR_LOAD_C_JSON, GR_LOAD_C_MAX };
struct gr_load_check {
	enum gr_load_check_kind kind;
	char *label;                             /* as shown in results */
	uint16_t status_lo, status_hi;
	char *name, *value;                      /* HEADER name, JSON pointer; value NULL: is there */
	struct gr_regex *re;
	uint64_t max_ns;
};
enum gr_load_capture_kind { GR_LOAD_CAP_JSON, GR_LOAD_CAP_HEADER, GR_LOAD_CAP_REGEX };
struct gr_load_capture {
	enum gr_load_capture_kind kind;
	uint32_t var;
	char *expr;
	struct gr_regex *re;
};
struct gr_load_request {
	char *name, *method;
	uint32_t origin, id;                     /* id: of all requests of the plan */
	struct gr_load_tmpl path, body;
	struct { char *name; struct gr_load_tmpl value; } headers[GR_LOAD_MAX_HEADERS];
	uint32_t n_headers;
	bool has_body, is_static;
	uint64_t think_lo_ns, think_hi_ns;       /* after it */
	struct gr_load_check checks[GR_LOAD_MAX_CHECKS];
	struct gr_load_capture captures[GR_LOAD_MAX_CAPTURES];
	uint32_t n_checks, n_captures;
	bool wants_headers, wants_body;          /* for checks, captures and cookies */
	/* WS, TCP: body is what is sent; the answer is a message, so many bytes, or all up to a delimiter */
	uint64_t n_receive;
	char *until;
	bool is_text;
};
struct gr_load_scenario {
	char *name;
	double weight;
	bool has_cookies;
	struct gr_load_request *requests;
	uint32_t n_requests;
};
struct gr_load_csv {
	char *name, *columns[GR_LOAD_MAX_COLUMNS];
	uint32_t n_columns, n_rows;
	struct gr_slice *cells;                  /* row after row; owned */
};

/* ---- thresholds ---- */
enum gr_load_subject { GR_LOAD_S_ALL, GR_LOAD_S_REQUEST, GR_LOAD_S_CONNECT, GR_LOAD_S_TLS, GR_LOAD_S_FIRST_BYTE, GR_LOAD_S_SEND };
enum gr_load_stat {
	GR_LOAD_Q, GR_LOAD_MEAN, GR_LOAD_COUNT, GR_LOAD_RATE, GR_LOAD_ERRORS, GR_LOAD_ERROR_SHARE, GR_LOAD_CHECKS, GR_LOAD_CHECK_SHARE,
	GR_LOAD_LATE_SHARE
};
struct gr_load_threshold {
	char *text;
	enum gr_load_subject subject;
	uint32_t request;                        /* id */
	enum gr_load_stat stat;
	double q;                                /* 0..1 */
	char op[3];                              /* "<" "<=" ">" ">=" */
	double limit;                            /* ns, per second, share or count */
	bool is_abort;                           /* ends the test */
	uint64_t after_ns;                       /* not judged before, as an abort */
};
bool gr_load_holds(const struct gr_load_threshold *t, double value);
/* "p99", "p99.9", "max", "min" -> 0..1; negative: none of them. */
double gr_load_quantile_of(const char *stat, size_t n);

/* ---- burns ---- */
struct gr_load_burn {
	uint64_t at_ns, len_ns;
	uint32_t n_cpu, cpu_percent, n_vm, n_io, n_hdd;
	uint64_t vm_bytes;
	uint32_t n_workers;                      /* so many, 0: those named */
	char *workers[32];
	uint32_t n_named;
};

/* ---- the whole ---- */
struct gr_load_plan {
	char *name;
	bool is_closed, is_http2, is_verified, is_keepalive;
	char *ca;                                /* PEM text */
	struct gr_load_sched sched;
	struct gr_load_scenario scenarios[GR_LOAD_MAX_SCENARIOS];
	uint32_t n_scenarios, n_requests;
	double weight_sum;
	const struct gr_load_request *by_id[GR_LOAD_MAX_REQUESTS];
	struct gr_load_origin origins[GR_LOAD_MAX_ORIGINS];
	uint32_t n_origins;
	struct gr_load_csv csv[GR_LOAD_MAX_CSV];
	uint32_t n_csv;
	char *vars[GR_LOAD_MAX_VARS];
	uint32_t n_vars, vars_seen;              /* seen: a bit each that was captured, while a scenario is read */
	struct gr_load_threshold thresholds[GR_LOAD_MAX_THRESHOLDS];
	uint32_t n_thresholds;
	struct gr_load_burn burns[GR_LOAD_MAX_BURNS];
	uint32_t n_burns;
	uint32_t n_workers;                      /* 0: all */
	uint32_t n_threads;                      /* of each worker */
	uint32_t n_connections;                  /* of all shards */
	uint32_t n_streams;                      /* of one HTTP/2 connection */
	uint64_t timeout_ns, interval_ns, late_ns, lease_ns;
	bool is_lost_fatal;                      /* a lost shard fails the test; else its share goes to the others */
	bool is_warm;                            /* connections are opened before the start */
	bool is_spinning;                        /* generator threads do not sleep */
	char *target_node;                       /* shards keep away from it; NULL: the host of the target */
	uint64_t seed, body_limit;
};
/* Text with its length; GR_ECONFIG with the path in @err. */
int gr_load_plan_parse(const char *text, size_t n, struct gr_load_plan **out, struct gr_err *err) GR_MUST_CHECK;
int gr_load_plan_from_json(const json_t *root, struct gr_load_plan **out, struct gr_err *err) GR_MUST_CHECK;
void gr_load_plan_free(struct gr_load_plan **p);
/* The scenario of arrival @k. */
const struct gr_load_scenario *gr_load_pick(const struct gr_load_plan *p, uint64_t k);
/* Share @index of @of a whole number: the parts differ by one at most and add up to it. */
uint32_t gr_load_part(uint32_t whole, uint32_t index, uint32_t of);

/* "60s", "250ms", "2m", "1h", "80us", or bare seconds -> ns. GR_ECONFIG. */
int gr_load_time(const char *text, uint64_t *ns);
/* "500/s", "30/min", "2/h" or a bare number a second. */
int gr_load_rate(const char *text, double *per_s);
/* "http://host:port/path?query" taken apart; @path owned by the caller, "/" when there is none. */
int gr_load_url(const char *url, struct gr_load_origin *origin, char **path, struct gr_err *err) GR_MUST_CHECK;
void gr_load_origin_fini(struct gr_load_origin *o);

/* private to lib/load */
struct gr_load__at {                             /* where in the document, for messages */
	struct gr_err *err;
	char path[256];
};
int gr_load__bad(const struct gr_load__at *at, const char *fmt, ...) GR_PRINTF(2, 3);
int gr_load__stages(struct gr_load_plan *p, const json_t *stages, struct gr_load__at *at);
int gr_load__tmpl(struct gr_load_plan *p, const char *text, struct gr_load_tmpl *out, struct gr_load__at *at);
void gr_load__tmpl_fini(struct gr_load_tmpl *t);
int gr_load__csv(struct gr_load_plan *p, const json_t *o, struct gr_load__at *at);
int gr_load__scenarios(struct gr_load_plan *p, const json_t *root, const char *target, struct gr_load__at *at);
void gr_load__scenarios_fini(struct gr_load_plan *p);
int gr_load__thresholds(struct gr_load_plan *p, const json_t *list, struct gr_load__at *at);
int gr_load__burns(struct gr_load_plan *p, const json_t *list, struct gr_load__at *at);
/* Members of @o: only these names (NULL-terminated) may be there. */
int gr_load__only(const json_t *o, const char *const *names, const struct gr_load__at *at);
/* @at one member or element deeper; the old length to cut back to. */
size_t gr_load__in(struct gr_load__at *at, const char *key);
size_t gr_load__nth(struct gr_load__at *at, const char *key, size_t i);
int gr_load__get_time(const json_t *o, const char *key, uint64_t lo, uint64_t hi, uint64_t *ns, struct gr_load__at *at);
int gr_load__get_int(const json_t *o, const char *key, int64_t lo, int64_t hi, int64_t *out, struct gr_load__at *at);
int gr_load__get_bool(const json_t *o, const char *key, bool *out, struct gr_load__at *at);
int gr_load__get_str(const json_t *o, const char *key, const char **out, struct gr_load__at *at);
