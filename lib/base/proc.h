/**
 * proc - run a short helper program and take what it prints (posix_spawn; never fork)
 */
#pragma once
#include "lib/base/buf.h"
#include "lib/base/err.h"

/**
 * gr_proc_capture_for - run @argv (argv[0] looked up in PATH when it has no slash), wait for it
 * @envp: NULL for the own environment      @cwd: NULL for the own
 * @out, @errout: appended, at most @max bytes each; NULL sends that stream to /dev/null. stdin is /dev/null.
 * @silent_ms: when it has printed nothing for so long it is killed: GR_ETIME; -1: never
 * Blocks until the program ends. Return: its exit code 0..255 (128+N for a signal); GR_EIO, GR_ENOENT, GR_ELIMIT.
 */
int gr_proc_capture_for(const char *const *argv, char *const *envp, const char *cwd, size_t max, int silent_ms,
			struct gr_buf *out, struct gr_buf *errout, struct gr_err *err) GR_MUST_CHECK;
/* As above, however long it takes. */
int gr_proc_capture(const char *const *argv, char *const *envp, const char *cwd, size_t max,
		    struct gr_buf *out, struct gr_buf *errout, struct gr_err *err) GR_MUST_CHECK;
