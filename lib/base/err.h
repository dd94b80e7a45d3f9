/**
 * err - the one table of errors: code, name, text, exit status and class
 *
 * Functions return 0 or a useful positive count, or one of these, negative. A compiler's exit code is data and
 * never appears here. The class says what the caller does with it:
 *   LOCAL  ours: log it, fail the operation        PEER  theirs: drop the peer
 *   BUSY   try again later                         TIME  a deadline passed
 *   GONE   cancelled, or the object is no longer there
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>

#define GR_MUST_CHECK __attribute__((warn_unused_result))
#define GR_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum gr_err_class { GR_CLASS_LOCAL, GR_CLASS_PEER, GR_CLASS_BUSY, GR_CLASS_TIME, GR_CLASS_GONE };

/* Exit statuses of `griddle` and the daemons (docs/operations.md). */
enum gr_exit {
	GR_EXIT_OK = 0, GR_EXIT_FAILED = 1, GR_EXIT_USAGE = 2, GR_EXIT_THRESHOLD = 3, GR_EXIT_AUTH = 4,
	GR_EXIT_INTERRUPTED = 8, GR_EXIT_UNREACHABLE = 32, GR_EXIT_LOCAL = 36, GR_EXIT_BUG = 37,
};

/* X(number, NAME, text, exit, class); numbers are stable: they travel on the wire. */
#define GR_ERR_MAP(X) \
	X(1,  ENOMEM,    "out of memory",                         LOCAL,       LOCAL) \
	X(2,  EINVAL,    "invalid argument",                      USAGE,       LOCAL) \
	X(3,  EIO,       "input/output error",                    LOCAL,       LOCAL) \
	X(4,  ENOSPACE,  "no space left",                         LOCAL,       LOCAL) \
	X(5,  ENOENT,    "not found",                             LOCAL,       LOCAL) \
	X(6,  EEXIST,    "already exists",                        LOCAL,       LOCAL) \
	X(7,  EPROTO,    "malformed message",                     UNREACHABLE, PEER) \
	X(8,  EVERSION,  "protocol version not supported",        UNREACHABLE, PEER) \
	X(9,  EAUTH,     "key not authorised",                    AUTH,        PEER) \
	X(10, EROLE,     "not allowed in this role",              AUTH,        PEER) \
	X(11, ELIMIT,    "over a limit",                          FAILED,      PEER) \
	X(12, ETRUNC,    "message ends too early",                UNREACHABLE, PEER) \
	X(13, EBUSY,     "busy, try again later",                 FAILED,      BUSY) \
	X(14, ETIME,     "deadline passed",                       FAILED,      TIME) \
	X(15, EGONE,     "cancelled",                             INTERRUPTED, GONE) \
	X(16, ECONFIG,   "bad configuration",                     USAGE,       LOCAL) \
	X(17, EUSAGE,    "bad usage",                             USAGE,       LOCAL) \
	X(18, EUNREACH,  "cannot be reached",                     UNREACHABLE, BUSY) \
	X(19, ECORRUPT,  "content does not match its digest",     LOCAL,       LOCAL) \
	X(20, ESANDBOX,  "sandbox cannot be set up",              LOCAL,       LOCAL) \
	X(21, ESTATE,    "not possible in this state",            BUG,         LOCAL) \
	X(22, ENOTOOL,   "no worker has this toolchain",          FAILED,      BUSY) \
	X(23, ELOST,     "worker lost",                           FAILED,      BUSY) \
	X(24, EUNSUP,    "not supported",                         USAGE,       LOCAL) \
	X(25, EPATH,     "path not allowed",                      FAILED,      PEER)

enum gr_err_code {
#define X(num, name, text, exit, class) GR_##name = -(num),
	GR_ERR_MAP(X)
#undef X
};

/* Where a person will read it: code and a sentence, innermost cause last. */
struct gr_err {
	int code;
	char text[1024];
};

/* Each takes a code from the table; an unknown one gives "EUNKNOWN" / LOCAL / GR_EXIT_BUG. Constant strings. */
const char *gr_err_name(int code);
const char *gr_err_text(int code);
enum gr_err_class gr_err_class(int code);
int gr_err_exit(int code);

/**
 * gr_err_set - the lowest layer says what failed
 * @err: may be NULL
 * Return: @code, so that `return gr_err_set(err, GR_EIO, ...)` works.
 */
int gr_err_set(struct gr_err *err, int code, const char *fmt, ...) GR_PRINTF(3, 4);

/* gr_err_wrap - a caller prepends what it was doing: "fmt...: old text". Return: err's code. @err may be NULL. */
int gr_err_wrap(struct gr_err *err, const char *fmt, ...) GR_PRINTF(2, 3);

/* gr_err_errno - the table's code for a libc errno (ENOSPC -> GR_ENOSPACE, ENOENT -> GR_ENOENT, ...; else GR_EIO). */
int gr_err_errno(int errno_value);
