/* note.c - see note.h */
#include "client/cc/note.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char *put(char *p, const char *end, const char *s)
{
	for (; *s && p < end; s++)
		*p++ = (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s;
	return p;
}

void gr_note_call(const char *path, bool is_unit, const char *reason, const char *source)
{
	char line[GR_NOTE_MAX_LINE], *p = line, *end = line + sizeof(line) - 1;
	int fd, saved = errno;
	off_t size;

	if (!path || !*path)
		return;
	/* O_NONBLOCK: what was put there need not be a file. A pipe or a device has no size and gets nothing. */
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		goto out;
	size = lseek(fd, 0, SEEK_END);
	if (size >= 0 && size < GR_NOTE_MAX_FILE) {
		*p++ = is_unit ? 'u' : 'c';
		p = put(p, end - 1, reason);
		*p++ = '\t';
		p = put(p, end, source);
		*p++ = '\n';
		if (write(fd, line, (size_t)(p - line)) < 0)
			goto close;
	}
close:
	close(fd);
out:
	errno = saved;
}
