/*
 * seccomp.c - the system calls a task does not get
 *
 * A list of refusals (EPERM) and not of permissions: compilers and libcs take up new calls, and a filter that kills a
 * legitimate one breaks builds; what matters is refused by name, and the calls newer than this list by number
 * (ENOSYS, which every libc is ready for). Built once in the spawner, as a binary tree; installing it is one call.
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"

/* To a compile and a command alike. */
static const char *const refused[] = {
	/* other processes */
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_getfd",
	/* roots, mounts, namespaces */
	"mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_tree", "move_mount", "fsopen", "fsconfig",
	"fsmount", "fspick", "mount_setattr", "statmount", "listmount", "name_to_handle_at", "open_by_handle_at",
	/* the kernel's own doors */
	"bpf", "perf_event_open", "keyctl", "add_key", "request_key", "userfaultfd", "init_module", "finit_module",
	"delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm",
	"modify_ldt", "syslog", "vhangup", "fanotify_init", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"lookup_dcookie", "nfsservctl", "move_pages", "migrate_pages",
};

/* A compiler needs none of these; a batch's programs do. */
static const char *const refused_compile[] = {
	/* the network, and sockets of any kind */
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
	/* other processes */
	"pidfd_open", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "setsid", "setpgid", "tkill",
	"personality", "mbind", "set_mempolicy",
	/* programs that are no files, shared things that outlive a task */
	"memfd_create", "memfd_secret", "execveat", "shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop",
	"msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mknod", "mknodat",
};

/* Landlock does not cover these, and in its tier a task is the same user as the worker. */
static const char *const refused_beside_us[] = {
	"chmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr",
	"removexattr", "lremovexattr", "fremovexattr", "utime", "utimes", "futimesat", "setpriority",
	"sched_setscheduler", "sched_setaffinity", "sched_setattr", "sched_setparam", "ioprio_set",
};

/* Without an IPC namespace they are the machine's, and outlive the command. */
static const char *const refused_shared[] = {
	"shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl",
	"mq_open", "mq_unlink",
};

/* Ways to signal the worker and others of our user, where neither a namespace nor Landlock stands before them. */
static const char *const refused_signals[] = { "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal" };

static int refuse(scmp_filter_ctx ctx, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);
	int rc = nr < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);   /* < 0: not on this machine */

	return rc == -EEXIST ? 0 : rc;
}

static int refuse_all(scmp_filter_ctx ctx, const char *const *names, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = refuse(ctx, names[i]);
	return rc;
}

static int add_common(scmp_filter_ctx ctx, enum gr_tier tier)
{
	static const unsigned long ns[] = { CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
					    CLONE_NEWUTS, CLONE_NEWCGROUP };
	int rc = refuse_all(ctx, refused, GR_LEN(refused));

	if (rc == 0 && tier == GR_TIER_LANDLOCK)
		rc = refuse_all(ctx, refused_beside_us, GR_LEN(refused_beside_us));
	for (size_t i = 0; i < GR_LEN(ns) && rc == 0; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				      SCMP_A0(SCMP_CMP_MASKED_EQ, ns[i], ns[i]));
	/* its flags lie in memory, out of a filter's sight; libcs fall back to clone */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCLINUX));
	return rc;
}

static int export(scmp_filter_ctx ctx, int rc, struct sock_fprog *out, struct gr_err *err)
{
	struct gr_buf b = { 0 };
	int fd = -1;

	if (rc == 0 && (fd = memfd_create("filter", MFD_CLOEXEC)) < 0)
		rc = -errno;
	if (rc == 0)
		rc = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (rc == 0 && (lseek(fd, 0, SEEK_SET) < 0 || gr_file_read_fd(fd, 1 << 20, &b) < 0))
		rc = -EIO;
	if (fd >= 0)
		close(fd);
	if (rc < 0) {
		gr_buf_fini(&b);
		return gr_err_set(err, GR_ESANDBOX, "seccomp: no filter (%d)", rc);
	}
	out->len = (unsigned short)(b.n / sizeof(struct sock_filter));
	out->filter = (struct sock_filter *)(void *)gr_buf_take(&b, NULL);
	return 0;
}

static scmp_filter_ctx begin(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (ctx)
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return ctx;
}

int gr_sb_seccomp_build(enum gr_tier tier, bool may_signal, struct sock_fprog *out, struct gr_err *err)
{
	scmp_filter_ctx ctx = begin();
	int rc;

	if (!ctx)
		return gr_err_set(err, GR_ESANDBOX, "seccomp: out of memory");
	rc = add_common(ctx, tier);
	if (rc == 0)
		rc = refuse_all(ctx, refused_compile, GR_LEN(refused_compile));
	if (rc == 0 && (!may_signal || tier == GR_TIER_LANDLOCK))
		rc = refuse(ctx, "kill");
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0));
	return export(ctx, rc, out, err);
}

/* Without a network namespace only sockets inside the machine are made; what they may reach is Landlock's. */
static int refuse_network(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
}

int gr_sb_seccomp_build_runner(enum gr_tier tier, bool may_signal, bool has_net, struct sock_fprog *out, struct gr_err *err)
{
	scmp_filter_ctx ctx = begin();
	int rc;

	if (!ctx)
		return gr_err_set(err, GR_ESANDBOX, "seccomp: out of memory");
	rc = add_common(ctx, tier);
	if (rc == 0 && tier == GR_TIER_LANDLOCK)
		rc = refuse_all(ctx, refused_shared, GR_LEN(refused_shared));
	if (rc == 0 && tier == GR_TIER_LANDLOCK && !has_net)
		rc = refuse_network(ctx);
	if (rc == 0 && !may_signal)
		rc = refuse_all(ctx, refused_signals, GR_LEN(refused_signals));
	if (rc == 0 && tier == GR_TIER_LANDLOCK)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0));
	return export(ctx, rc, out, err);
}
