/*
 * priv.c - giving privileges up
 *
 * Raw capset(2), so that no library is needed in the spawner. After it returns there is no way back: real, effective
 * and saved ids are the user's, no supplementary groups, empty capability sets and bounding set, no_new_privs.
 */
#include "worker/sandbox/sandbox_int.h"

#include <errno.h>
#include <grp.h>
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

int gr_sb_drop_all(uid_t uid, gid_t gid)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	drop_bounding(0);
	if (geteuid() != uid || getegid() != gid || getuid() != uid || getgid() != gid) {
		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
			return errno;
	} else {
		setgroups(0, NULL);   /* allowed or not: in a user namespace the groups are nobody's */
	}
	if (set_caps(0))
		return EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}
