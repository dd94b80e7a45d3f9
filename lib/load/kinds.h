/**
 * kinds - the names of what a load test counts; numbers travel in LOAD_STATS and stand in kept runs
 */
#pragma once
#include <stdint.h>

/* How a request may fail. X(number, NAME, name in JSON, text) */
#define GR_LOAD_FAIL_MAP(X) \
	X(0, RESOLVE, "resolve", "the host's name has no address") \
	X(1, REFUSED, "refused", "connection refused") \
	X(2, UNREACHABLE, "unreachable", "no way to the host") \
	X(3, CONNECT_TIMEOUT, "connect_timeout", "no connection in time") \
	X(4, TLS, "tls", "the TLS handshake failed") \
	X(5, RESET, "reset", "the peer reset the connection") \
	X(6, CLOSED, "closed", "the peer closed before it answered") \
	X(7, TRUNCATED, "truncated", "the peer closed in the middle of its answer") \
	X(8, TIMEOUT, "timeout", "no answer in time") \
	X(9, SLOW, "slow_answer", "the answer began but was not whole in time") \
	X(10, MALFORMED, "malformed", "the answer is not what the protocol allows") \
	X(11, HEADER_FLOOD, "header_flood", "the answer's header is beyond 64 KiB") \
	X(12, BAD_CHUNK, "bad_chunk", "malformed chunked encoding") \
	X(13, BODY_LIMIT, "body_limit", "the answer's body is beyond the plan's limit") \
	X(14, GOAWAY, "goaway", "HTTP/2: the peer sent GOAWAY") \
	X(15, STREAM_RESET, "stream_reset", "HTTP/2: the peer reset the stream") \
	X(16, H2_PROTOCOL, "h2_protocol", "HTTP/2: protocol error") \
	X(17, NO_CONNECTION, "no_connection", "all connections were in use until the time was over") \
	X(18, CAPTURE, "capture", "a value to capture is not in the answer") \
	X(19, LOCAL, "local", "no descriptor or port left on the generator") \
	X(20, CANCELLED, "cancelled", "the test was stopped meanwhile") \
	X(21, UPGRADE, "upgrade", "the WebSocket upgrade was not granted") \
	X(22, ALPN, "alpn", "the peer does not speak HTTP/2") \
	X(23, LOST, "lost", "was due on a shard that was lost") \
	X(24, REGEX_LIMIT, "regex_limit", "its regular expressions took more steps than one answer may")
enum gr_load_fail {
#define X(num, name, json, text) GR_LOAD_F_##name = num,
	GR_LOAD_FAIL_MAP(X)
#undef X
	GR_LOAD_N_FAILS
};
const char *gr_load_fail_name(uint32_t fail);            /* "?" for none */
const char *gr_load_fail_text(uint32_t fail);

/* What is counted, over an interval. X(NAME, name in JSON): numbers travel in this order. */
#define GR_LOAD_COUNTER_MAP(X) \
	X(N_DUE, "due")                       /* arrivals of the plan that came due */ \
	X(N_STARTED, "started")               /* requests that were begun */ \
	X(N_DONE, "answered") \
	X(N_FAILED, "failed")                 /* not answered */ \
	X(N_LATE, "late")                     /* begun more than plan.late after their moment, by the generator's own fault */ \
	X(N_DROPPED, "dropped")               /* arrivals for which there was no room: failed with NO_CONNECTION at once */ \
	X(N_CHECKS, "checks") \
	X(N_CHECKS_FAILED, "checks_failed") \
	X(N_OPENED, "opened")                 /* connections */ \
	X(N_RETRIED, "retried")               /* sent again on a new connection, as the old one was closing */ \
	X(BYTES_IN, "bytes_in") \
	X(BYTES_OUT, "bytes_out") \
	X(CPU_US, "cpu_us")                   /* of the generators' threads */ \
	X(N_SESSIONS_REUSED, "tls_reused")
enum gr_load_counter {
#define X(name, json) GR_LOAD_##name,
	GR_LOAD_COUNTER_MAP(X)
#undef X
	GR_LOAD_N_COUNTERS
};
const char *gr_load_counter_name(uint32_t c);
/* Values at an interval's end. */
enum gr_load_gauge { GR_LOAD_G_OPEN, GR_LOAD_G_IN_FLIGHT, GR_LOAD_G_USERS, GR_LOAD_N_GAUGES };
const char *gr_load_gauge_name(uint32_t g);

/* Keys of numbers in LOAD_STATS. */
#define GR_LOAD_KEY_COUNTER(c) (uint32_t)(c)
#define GR_LOAD_KEY_GAUGE(g) (32u + (uint32_t)(g))
#define GR_LOAD_KEY_FAIL(req, f) (0x1000u + (uint32_t)(req) * 32 + (uint32_t)(f))
#define GR_LOAD_KEY_STATUS(req, status) (0x10000u + (uint32_t)(req) * 512 + (uint32_t)(status) - 100)
#define GR_LOAD_KEY_CHECK(req, i) (0x40000u + (uint32_t)(req) * 16 + (uint32_t)(i))      /* failed checks */
#define GR_LOAD_KEY_LIMIT 0x50000u

/* Keys of histograms: first those of the whole, then 8 a request. */
enum gr_load_series {
	GR_LOAD_H_CONNECT, GR_LOAD_H_TLS, GR_LOAD_H_SEND,        /* SEND: how late the generator itself was */
	GR_LOAD_H_REQUESTS = 8,
};
enum gr_load_request_series {
	GR_LOAD_R_FIRST_BYTE,       /* from the actual sending */
	GR_LOAD_R_OTHER, GR_LOAD_R_2XX, GR_LOAD_R_3XX, GR_LOAD_R_4XX, GR_LOAD_R_5XX,     /* from the planned moment to the end */
	GR_LOAD_R_FAILED, GR_LOAD_N_R = 8
};
const char *gr_load_series_name(uint32_t r);             /* of a request's: "first_byte", "2xx", "failed" */
#define GR_LOAD_SERIES(req, r) (GR_LOAD_H_REQUESTS + (uint32_t)(req) * GR_LOAD_N_R + (uint32_t)(r))
static inline uint32_t gr_load_class(uint32_t status)
{
	return status >= 200 && status < 600 ? GR_LOAD_R_2XX + status / 100 - 2 : GR_LOAD_R_OTHER;
}
