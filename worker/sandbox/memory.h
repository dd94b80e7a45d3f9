/**
 * memory - what a tree of processes holds resident
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * gr_sb_memory - resident bytes of @n processes together, exact only where it decides
 * @procfd:  an open /proc
 * @pids:    listed just before; what has ended since counts nothing
 * @limit:   bytes; 0 none
 * Up to @limit the answer is the plain sum, in which shared pages count once a process. An answer over @limit is that
 * of one process, or has no page twice, whatever the processes do meanwhile: they really hold more than @limit.
 * Reads one short file a process; over @limit up to four more, each a walk of its page tables. Blocks so long.
 * Return: bytes.
 */
uint64_t gr_sb_memory(int procfd, const pid_t *pids, uint32_t n, uint64_t limit);

/* The first @size - 1 bytes of a file below @dirfd, ended by NUL. Return: false with errno when it cannot be read. */
bool gr_sb_read_at(int dirfd, const char *path, char *buf, size_t size);
/* @procfd: /proc. 0: no such process is seen there. */
pid_t gr_sb_parent(int procfd, pid_t pid);
