/*
 * gate.c - preloaded into a program to hold it, or to fail it, at one place, for as long as a test wants
 *
 * In folder GATE: as long as file `closed` holds "open TEXT" or "write TEXT", a thread that opens a file whose path contains
 * TEXT, or writes to one, waits there and `reached` is made; as long as `full` holds TEXT, writing to such a file fails with
 * ENOSPC. Other threads go on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ({ static __typeof__(&name) fn; if (!fn) fn = (__typeof__(&name))dlsym(RTLD_NEXT, #name); fn; })

static const char *gate;

__attribute__((constructor)) static void begin(void) { gate = getenv("GATE"); }

/* The one line of a file of the gate; NULL: there is none. */
static const char *line_of(const char *name, char *out, size_t cap)
{
	char path[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", gate, name);
	fd = REAL(open)(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, out, cap - 1);
	close(fd);
	if (n <= 0)
		return NULL;
	out[n] = 0;
	out[strcspn(out, "\n")] = 0;
	return out;
}

static void pass(const char *what, const char *path)
{
	const struct timespec moment = { 0, 5000000 };
	char line[256], reached[4096];
	const char *closed;
	size_t n = strlen(what);

	while (gate && (closed = line_of("closed", line, sizeof(line))) && !strncmp(closed, what, n) && closed[n] == ' ' && strstr(path, closed + n + 1)) {
		snprintf(reached, sizeof(reached), "%s/reached", gate);
		close(REAL(open)(reached, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		nanosleep(&moment, NULL);
	}
}

static int may_write(int fd)
{
	char link[64], path[4096], line[256];
	const char *full;
	ssize_t n;

	if (!gate)
		return 1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 1;
	path[n] = 0;
	if (!strncmp(path, gate, strlen(gate)))
		return 1;
	pass("write", path);
	full = line_of("full", line, sizeof(line));
	if (!full || !strstr(path, full))
		return 1;
	errno = ENOSPC;
	return 0;
}

static mode_t mode_of(int flags, va_list ap) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0; }

int open(const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	pass("open", path);
	return REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	pass("open", path);
	return REAL(open64)(path, flags, mode);
}

ssize_t write(int fd, const void *p, size_t n) { return may_write(fd) ? REAL(write)(fd, p, n) : -1; }
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset) { return may_write(fd) ? REAL(pwrite64)(fd, p, n, offset) : -1; }
ssize_t pwrite(int fd, const void *p, size_t n, off_t offset) { return pwrite64(fd, p, n, offset); }
