/* placelog.c - the decision log on disk: what lib/place hands out goes to a file as it comes, up to a size. A full disk costs
 * the log, never a decision. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/coord.h"
#include "lib/base/log.h"

static void stop(struct gr_coord *c, const char *why)
{
	gr_warn("placelog", "%s ends after %llu bytes: %s", c->cfg.place_log, (unsigned long long)c->place_log_bytes, why);
	close(c->place_log_fd);
	c->place_log_fd = -1;
}

static void write_log(void *ctx, const void *bytes, size_t n)
{
	struct gr_coord *c = ctx;
	ssize_t rc;

	if (c->place_log_fd < 0)
		return;
	if (c->place_log_bytes + n > (uint64_t)c->cfg.place_log_bytes) {
		stop(c, "--place-log-bytes");
		return;
	}
	do
		rc = write(c->place_log_fd, bytes, n);
	while (rc < 0 && errno == EINTR);
	if (rc != (ssize_t)n) {
		stop(c, rc < 0 ? strerror(errno) : "no space left");
		return;
	}
	c->place_log_bytes += n;
}

int gr_placelog_open(struct gr_coord *c, struct gr_err *err)
{
	c->place_log_fd = -1;
	if (!c->cfg.place_log)
		return 0;
	c->place_log_fd = open(c->cfg.place_log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c->place_log_fd < 0)
		return gr_err_set(err, gr_err_errno(errno), "--place-log %s: %s", c->cfg.place_log, strerror(errno));
	c->place_log = (struct gr_place_log){ write_log, c };
	return 0;
}

void gr_placelog_close(struct gr_coord *c)
{
	if (c->place_log_fd >= 0)
		close(c->place_log_fd);
	c->place_log_fd = -1;
}
