#!/bin/bash
# own-machine.sh SCRIPT [WORDS...] - run a script that starts a Kubernetes node where nothing it does outlives or leaves it
#
# Own network, mount and process namespaces, and a cgroup of its own. The script is the first process there: however it
# ends, a crash and SIGKILL of this one too, the kernel ends every process below, and with the last one go interfaces, iptables rules and
# mounts. The kubelet sets three sysctls of the whole machine: files of this test lie over them, so that it sets those.
# What the kernel does not take away are the empty cgroups; they are removed at the end, and what a killed run left is
# removed by the next. Needs root. KUBE_PREPARE, a program, runs before, outside, with the folder as its argument. Sets KUBE_CGROUP (/griddle-kube-PID) and KUBE_RUN (a folder on this disk) for the script.
set -u
if [ "${1:-}" = --inside ]; then
	shift
	ip link set lo up
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p "$KUBE_RUN/cni" "$KUBE_RUN/sysctl" /var/lib/cni
	mount --bind "$KUBE_RUN/cni" /var/lib/cni
	for s in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
		[ -f /proc/sys/$s ] || continue
		f=$KUBE_RUN/sysctl/${s//\//.}
		cat "/proc/sys/$s" >"$f" && mount --bind "$f" "/proc/sys/$s"
	done
	exec "$@"
fi
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP a node needs root"; exit 0; }
cgroup_roots() { find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$1" 2>/dev/null; }
# A cgroup is busy for a moment after its last process: tried for some seconds.
cgroup_remove() {
	for _i in 1 2 3 4 5 6 7 8 9 10; do
		cgroup_roots "$1" | while read -r d; do find "$d" -depth -type d -exec rmdir {} + 2>/dev/null; done
		[ -n "$(cgroup_roots "$1")" ] || return 0
		sleep 0.5
	done
	echo "own-machine: left: $(cgroup_roots "$1" | tr '\n' ' ')" >&2
}
for old in $(cgroup_roots 'griddle-kube-*' | sed 's,.*/griddle-kube-,,' | sort -u); do
	kill -0 "$old" 2>/dev/null || { cgroup_remove "griddle-kube-$old"; rm -rf "/var/tmp/griddle-kube-$old"; }
done
export KUBE_CGROUP=/griddle-kube-$$ KUBE_RUN=/var/tmp/griddle-kube-$$ TMPDIR=/var/tmp/griddle-kube-$$
mkdir -m 755 "$KUBE_RUN" || exit 36
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
	mkdir "/sys/fs/cgroup$KUBE_CGROUP"
else
	for c in /sys/fs/cgroup/*/; do [ ! -f "$c/tasks" ] || mkdir "$c$KUBE_CGROUP" 2>/dev/null; done
	c=/sys/fs/cgroup/cpuset
	for f in cpuset.cpus cpuset.mems; do [ ! -f $c/$f ] || cat $c/$f >"$c$KUBE_CGROUP/$f"; done
fi
[ -z "${KUBE_PREPARE:-}" ] || "$KUBE_PREPARE" "$KUBE_RUN"
CHILD=
# unshare itself takes no SIGTERM; killed, it takes everything with it.
trap '[ -z "$CHILD" ] || kill -KILL "$CHILD" 2>/dev/null' TERM HUP INT
unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private "$(readlink -f "$0")" --inside "$@" &
CHILD=$!
while kill -0 "$CHILD" 2>/dev/null; do wait "$CHILD"; rc=$?; done
cgroup_remove "griddle-kube-$$"
rm -rf "$KUBE_RUN"
exit "$rc"
