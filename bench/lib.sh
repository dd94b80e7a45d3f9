# bench/lib.sh - shared by the benchmark scripts: machine facts, CPU accounting by cgroup, the kernel tree.
# Sourced, not run. CPU is counted by a cgroup (v1 cpuacct or v2), because daemons are nobody's children; without a
# writable cgroup the script says so and stops: a figure from wall time would mean nothing on a shared machine.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
BIN=${BIN:-$TOP/build/release/bin}
WORK=${BENCH_DIR:-$TOP/build/bench-data}
mkdir -p "$WORK"

if [ -d /sys/fs/cgroup/cpuacct ]; then CG=/sys/fs/cgroup/cpuacct; else CG=/sys/fs/cgroup; fi
CG_MADE=
cg_new() {                      # cg_new NAME: an empty group of our own
	mkdir -p "$CG/griddle-bench-$$-$1" 2>/dev/null || { echo "bench: cannot make a cgroup below $CG (root?)" >&2; exit 36; }
	CG_MADE="$CG_MADE griddle-bench-$$-$1"
}
cg_run() {                      # cg_run NAME CMD...: run CMD inside
	_g="$CG/griddle-bench-$$-$1"; shift
	sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$_g" "$@"
}
spawn_in() {                    # spawn_in NAME CMD...: in the background; $! and PIDS are the command itself, so that it can be ended
	_g="$CG/griddle-bench-$$-$1"; shift
	(exec sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$_g" "$@") >>"$RUN/daemons.log" 2>&1 & PIDS="$PIDS $!"
}
cg_ms() {                       # CPU milliseconds used inside so far
	if [ -f "$CG/griddle-bench-$$-$1/cpuacct.usage" ]; then
		echo $(($(cat "$CG/griddle-bench-$$-$1/cpuacct.usage") / 1000000))
	else
		awk '/^usage_usec/ { print int($2 / 1000) }' "$CG/griddle-bench-$$-$1/cpu.stat"
	fi
}
cg_end() { for _g in $CG_MADE; do rmdir "$CG/$_g" 2>/dev/null; done; CG_MADE=; }

facts() {
	echo "machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), $(uname -sr), $(gcc --version | head -n 1), load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u +%Y-%m-%d)"
}
now_ms() { date +%s%3N; }
median() { sort -n | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# The kernel: Debian's source, tinyconfig, built once plainly at a fixed path. $1 = folder name below $WORK.
KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026'; KBUILD_BUILD_USER=u; KBUILD_BUILD_HOST=h
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER KBUILD_BUILD_HOST
kernel_tree() {
	K=$WORK/$1
	[ -f "$K/Makefile" ] && return 0
	[ -f /usr/src/linux-source-6.1.tar.xz ] || { echo "bench: install linux-source-6.1 first (make deps)" >&2; exit 36; }
	mkdir -p "$K" && tar xJf /usr/src/linux-source-6.1.tar.xz -C "$K" --strip-components=1
}
hash_objects() { (cd "$1" && find . \( -name '*.o' -o -name vmlinux -o -name bzImage \) -type f | LC_ALL=C sort | xargs sha256sum); }

# The C units of a built tree as a makefile: target t<N> compiles one through $(WRAP). From Kbuild's own .cmd files.
tu_makefile() {                 # tu_makefile TREE OUT.mk
	find "$1" -name '.*.o.cmd' | LC_ALL=C sort | xargs -n 64 awk -v tree="$1" '
		FNR == 1 && /:= gcc .* -c -o [^ ]+\.o [^ ]+\.c *(;|$)/ {
			sub(/^[^=]*:= /, ""); sub(/ ; .*/, ""); gsub(/\$/, "$$")
			print "\t@cd " tree " && $(WRAP) " $0
		}' | awk '{ print "t" NR ":\n" $0 > "'"$2"'.rules" } END { printf "all:"; for (i = 1; i <= NR; i++) printf " t%d", i; print "" }' > "$2.head"
	cat "$2.head" "$2.rules" > "$2"; rm -f "$2.head" "$2.rules"
	grep -c '^t[0-9]*:$' "$2"
}
