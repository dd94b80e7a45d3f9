/*
 * priv.c - giving privileges up
 *
 * Raw capset(2), so that no library is needed in the spawner, and raw setgroups(2), setresgid(2), setresuid(2) beside it:
 * the process has one thread here, and glibc's own would have every thread of its list do the same, which after a fork
 * hangs for ever when a library (ThreadSanitizer's) had one. After it returns there is no way back: real, effective
 * and saved ids are the user's, no supplementary groups, empty capability sets and bounding set, no_new_privs.
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_caps(uint64_t mask)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)mask, (uint32_t)mask, 0 },
		{ (uint32_t)(mask >> 32), (uint32_t)(mask >> 32), 0 },
	};

	return syscall(SYS_capset, &h, d) < 0 ? errno : 0;
}

static void drop_bounding(uint64_t keep)
{
	for (int cap = 0; cap < 64; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno == EINVAL)
			break;
}

int gr_sb_keep_caps(uint64_t mask)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	drop_bounding(mask);
	return set_caps(mask);
}

#ifdef SYS_setresuid32          /* 32-bit machines, where the plain names take 16 bits */
#define SET_GROUPS SYS_setgroups32
#define SET_GID SYS_setresgid32
#define SET_UID SYS_setresuid32
#else
#define SET_GROUPS SYS_setgroups
#define SET_GID SYS_setresgid
#define SET_UID SYS_setresuid
#endif

int gr_sb_drop_all(uid_t uid, gid_t gid)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	drop_bounding(0);
	if (geteuid() != uid || getegid() != gid || getuid() != uid || getgid() != gid) {
		if (syscall(SET_GROUPS, 0, NULL) < 0 || syscall(SET_GID, gid, gid, gid) < 0 || syscall(SET_UID, uid, uid, uid) < 0)
			return errno;
	} else {
		syscall(SET_GROUPS, 0, NULL);   /* allowed or not: in a user namespace the groups are nobody's */
	}
	if (set_caps(0))
		return EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}
