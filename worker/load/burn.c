/* burn.c - see burn.h. posix_spawn, since the loop and libzmq do not survive fork. The stressors are limited by their own
 * --timeout too, so that a worker that was killed leaves nothing burning. */
#include "worker/load/burn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"

extern char **environ;

const char *gr_burn_program(void)
{
	static const char *const places[] = { "/usr/bin/stress-ng", "/usr/local/bin/stress-ng" };

	for (size_t i = 0; i < GR_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* stress-ng that finds no room says nothing, waits for its end and exits with 0. */
static int has_room(const struct gr_load_burn *b, struct gr_err *err)
{
	unsigned long long kib = 0;
	struct gr_buf text = { 0 };
	const char *at;
	int rc = 0;

	if (!b->n_vm || gr_file_read("/proc/meminfo", 65536, &text, NULL) < 0)
		return 0;
	at = strstr(gr_buf_str(&text), "MemAvailable:");
	if (at && sscanf(at, "MemAvailable: %llu", &kib) == 1 && b->vm_bytes / 1024 > kib)
		rc = gr_err_set(err, GR_ELIMIT, "vm_bytes: %llu are wanted and %llu free", (unsigned long long)b->vm_bytes, kib * 1024);
	gr_buf_fini(&text);
	return rc;
}

int gr_burn_start(const struct gr_load_burn *b, pid_t *pid, struct gr_err *err)
{
	const char *argv[32] = { gr_burn_program(), "--quiet", "--timeout" };
	char cpu[12], percent[12], vm[12], bytes[24], io[12], hdd[12], seconds[16];
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	size_t n = 3;
	int rc;

	if (!argv[0])
		return gr_err_set(err, GR_ENOENT, "stress-ng is not installed here");
	rc = has_room(b, err);
	if (rc < 0)
		return rc;
	snprintf(seconds, sizeof(seconds), "%llus", (unsigned long long)((b->len_ns + 999999999) / 1000000000));
	argv[n++] = seconds;
	if (b->n_cpu) {
		snprintf(cpu, sizeof(cpu), "%u", b->n_cpu);
		snprintf(percent, sizeof(percent), "%u", b->cpu_percent);
		argv[n++] = "--cpu", argv[n++] = cpu, argv[n++] = "--cpu-load", argv[n++] = percent;
	}
	if (b->n_vm) {
		snprintf(vm, sizeof(vm), "%u", b->n_vm);
		snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)b->vm_bytes);
		argv[n++] = "--vm", argv[n++] = vm, argv[n++] = "--vm-bytes", argv[n++] = bytes;
	}
	if (b->n_io) {
		snprintf(io, sizeof(io), "%u", b->n_io);
		argv[n++] = "--io", argv[n++] = io;
	}
	if (b->n_hdd) {
		snprintf(hdd, sizeof(hdd), "%u", b->n_hdd);
		argv[n++] = "--hdd", argv[n++] = hdd;
	}
	argv[n] = NULL;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(pid, argv[0], &fa, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	return rc ? gr_err_set(err, GR_EIO, "%s: %s", argv[0], strerror(rc)) : 0;
}

int gr_burn_poll(pid_t pid)
{
	int status;
	pid_t got = waitpid(pid, &status, WNOHANG);

	if (got != pid)
		return got < 0 && errno == ECHILD ? 0 : -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void gr_burn_end(pid_t pid)
{
	kill(-pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
