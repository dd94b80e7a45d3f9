#!/bin/bash
# demo.sh - build the Linux kernel through griddle, then plainly, at the same path; compare every object
#
# Called by `make demo`, which has built the programs. By environment or as make's variables:
#   KERNEL=dir        another source tree; it is copied, never changed        CONFIG=x86_64_defconfig   default tinyconfig
#   TARGETS="mm/ ..." what to build, default everything                       EXTRA_CONFIG="DEBUG_INFO_DWARF5 ..."
#   OUT_OF_TREE=1     build with O=                                           WORKERS=2  J=auto  KEEP=1 (leave the objects)
# Ends with a table; 0 only when both builds passed and no object differs. All of its processes end with it.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
BIN=${BIN:-$TOP/build/release/bin}
DEMO=${DEMO_DIR:-$TOP/build/demo}
CONFIG=${CONFIG:-tinyconfig} TARGETS=${TARGETS:-} EXTRA_CONFIG=${EXTRA_CONFIG:-} OUT_OF_TREE=${OUT_OF_TREE:-}
WORKERS=${WORKERS:-2} J=${J:-auto} KERNEL=${KERNEL:-}
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=u KBUILD_BUILD_HOST=h LC_ALL=C
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CC CXX LLVM CROSS_COMPILE
export -n CONFIG TARGETS EXTRA_CONFIG OUT_OF_TREE WORKERS J KERNEL BIN

say() { echo "demo: $*" >&2; }
die() { say "$*"; exit 1; }
case $DEMO in *[[:space:]:]*) die "the kernel cannot be built below $DEMO: no blanks or colons in its path; set DEMO_DIR" ;; esac

RUN=$(mktemp -d "${TMPDIR:-/tmp}/griddle-demo.XXXXXX") || exit 36
export GRIDDLE_RUNTIME_DIR=$RUN/runtime GRIDDLE_STATE_DIR=$RUN/state GRIDDLE_CONFIG_DIR=$RUN/config
unset GRIDDLE_SOCKET GRIDDLE_COORDINATOR GRIDDLE_DISABLE GRIDDLE_BUILD
child=
finish() {
	trap - EXIT INT TERM HUP
	[ -n "$child" ] && kill "$child" 2>/dev/null && wait "$child" 2>/dev/null
	"$BIN/griddle" down >/dev/null 2>&1
	[ "$1" = 0 ] || for log in "$GRIDDLE_STATE_DIR"/*/*.log; do
		[ -s "$log" ] && { say "last lines of ${log##*/}:"; tail -n 5 "$log" >&2; }
	done
	rm -rf "$RUN"
	exit "$1"
}
trap 'finish $?' EXIT
trap 'say interrupted; finish 8' INT TERM HUP

# ---- the source: $SRC is never built in; in-tree builds use a copy ----
mkdir -p "$DEMO" || exit 36
exec 9>"$DEMO/lock"
flock -w 20 9 || die "another demo runs in $DEMO"
if [ -n "$KERNEL" ]; then
	[ -f "$KERNEL/Kbuild" ] || die "KERNEL=$KERNEL: no kernel source there"
	SRC=$(cd "$KERNEL" && pwd)
	rm -rf "$DEMO/tree"
else
	. "$TOP/tests/kernel.sh"
	[ -f "$KERNEL_CACHE/linux-6.1/.griddle-complete" ] || say "unpacking $KERNEL_TARBALL"
	kernel_source || die "no $KERNEL_TARBALL: install linux-source-6.1 or set KERNEL=dir"
	SRC=$KSRC
fi
TREE=$DEMO/tree
if [ -n "$OUT_OF_TREE" ] && [ -z "$KERNEL" ]; then
	TREE=$SRC        # nothing is written there
elif [ ! -f "$TREE/.griddle-copied" ]; then
	say "copying the source to $TREE"
	rm -rf "$TREE"
	mkdir "$TREE" && (cd "$SRC" && tar cf - --exclude=./.git .) | tar xf - -C "$TREE" && touch "$TREE/.griddle-copied" ||
		die "cannot copy the source (disk full?)"
	[ -z "$KERNEL" ] || rm -f "$TREE/.griddle-copied"    # another tree: copied anew each time
fi
OUT=${OUT_OF_TREE:+$DEMO/out}
in_tree=(-C "$TREE" ${OUT:+O="$OUT"})

fresh() {       # an unbuilt, configured tree
	rm -rf "$DEMO/out"
	[ "$TREE" = "$SRC" ] || make -s -C "$TREE" mrproper >"$DEMO/mrproper.log" 2>&1 || die "mrproper failed: $DEMO/mrproper.log"
	[ -z "$OUT" ] || mkdir -p "$OUT"
	make -s "${in_tree[@]}" "$CONFIG" >"$DEMO/config.log" 2>&1 || { tail -n 5 "$DEMO/config.log" >&2; die "make $CONFIG failed"; }
	[ -n "$EXTRA_CONFIG" ] || return 0
	for option in $EXTRA_CONFIG; do
		case $option in
		*=n) "$TREE/scripts/config" --file "${OUT:-$TREE}/.config" -d "${option%=*}" ;;
		*=[!y]*) "$TREE/scripts/config" --file "${OUT:-$TREE}/.config" --set-val "${option%%=*}" "${option#*=}" ;;
		*) "$TREE/scripts/config" --file "${OUT:-$TREE}/.config" -e "${option%=y}" ;;
		esac || die "EXTRA_CONFIG: $option"
	done
	make -s "${in_tree[@]}" olddefconfig >>"$DEMO/config.log" 2>&1 || die "olddefconfig failed: $DEMO/config.log"
}
objects() {     # digests of all that was built
	(cd "${OUT:-$TREE}" && find . \( -name '*.o' -o -name '*.ko' -o -name '*.dwo' -o -name '*.gcno' -o -name vmlinux -o -name bzImage \) -type f -print0 |
		sort -z | xargs -0 -r sha256sum) >"$1"
}
ticks() {       # CPU in ms of the daemons and all they waited for: every process of the sessions `griddle up` made
	local pids
	pids=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$GRIDDLE_RUNTIME_DIR/cluster.json" | tr '\n' ' ')
	cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) (.*) /\1 x /' |
		awk -v pids=" $pids" -v hz="$(getconf CLK_TCK)" 'index(pids, " " $6 " ") { t += $14 + $15 + $16 + $17 } END { printf "%d\n", t * 1000 / hz }'
}
number() { sed -n 's/^  "'"$1"'": *\([0-9]*\).*/\1/p' "$DEMO/summary.json" | head -n 1; }
seconds() { awk -v ms="$1" 'BEGIN { printf "%.1f s", ms / 1000 }'; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

version=$(make -s -C "$TREE" kernelversion)
say "linux $version, $CONFIG${EXTRA_CONFIG:+ with $EXTRA_CONFIG}${TARGETS:+, $TARGETS}${OUT:+, O=}"

# ---- through griddle ----
fresh
"$BIN/griddle" up --workers "$WORKERS" >&2 || die "the cluster did not start"
say "building with griddle make (log: $DEMO/griddle.log)"
"$BIN/griddle" make -j "$J" --remote always --no-summary --summary-json "$DEMO/summary.json" "${in_tree[@]}" $TARGETS >"$DEMO/griddle.log"
rc=$?
[ $rc = 0 ] || { tail -n 20 "$DEMO/griddle.log" >&2; say "griddle make ended with $rc"; [ $rc = 8 ] && finish 8; exit 1; }
daemons_ms=$(ticks)
"$BIN/griddle" down >/dev/null 2>&1
objects "$DEMO/griddle.sha"
if [ -n "${KEEP:-}" ]; then
	rm -rf "$DEMO/kept"; mkdir "$DEMO/kept"
	(cd "${OUT:-$TREE}" && awk '{ print $2 }' "$DEMO/griddle.sha" | cpio -pdm --quiet "$DEMO/kept" 2>/dev/null || tar cf - $(awk '{ print $2 }' "$DEMO/griddle.sha") | tar xf - -C "$DEMO/kept")
fi

# ---- plainly, at the same path ----
fresh
say "building plainly (log: $DEMO/plain.log)"
start=$(now_ms)
TIMEFORMAT='%U %S'
{ time make -j "$(nproc)" "${in_tree[@]}" $TARGETS >"$DEMO/plain.log" 2>"$DEMO/plain.err" 9>&-; echo $? >"$DEMO/plain.rc"; } 2>"$DEMO/plain.time" &
child=$!
while kill -0 $child 2>/dev/null; do
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 $child 2>/dev/null || break; sleep 0.5; done
	kill -0 $child 2>/dev/null && say "plain: $(grep -c '^  CC ' "$DEMO/plain.log") compiled, $(seconds $(($(now_ms) - start)))"
done
wait $child
child=
plain_wall=$(($(now_ms) - start))
[ "$(cat "$DEMO/plain.rc")" = 0 ] || { tail -n 20 "$DEMO/plain.err" >&2; die "the plain build failed"; }
plain_cpu=$(awk '{ printf "%d", ($1 + $2) * 1000 }' "$DEMO/plain.time")
objects "$DEMO/plain.sha"

# ---- the table ----
compared=$(wc -l <"$DEMO/plain.sha")
differ=$(diff <(awk '{ print $2, $1 }' "$DEMO/griddle.sha") <(awk '{ print $2, $1 }' "$DEMO/plain.sha") | awk '/^[<>]/ { print $2 }' | sort -u)
n_differ=$(printf '%s' "$differ" | grep -c .)
here_ms=$(number make_cpu_ms) agent_ms=$(number agent_cpu_ms)
if [ "$daemons_ms" -lt "$(number remote_cpu_ms)" ]; then daemons_ms=$(number remote_cpu_ms); fi
daemons_ms=$((daemons_ms > agent_ms ? daemons_ms - agent_ms : daemons_ms))
echo
echo "linux $version, $CONFIG${EXTRA_CONFIG:+ with $EXTRA_CONFIG}${TARGETS:+, $TARGETS}${OUT:+, O=}; $(nproc) cores, 1 coordinator, $WORKERS workers on loopback"
printf '%-20s %s\n' 'translation units' "$(number remote) remote, $(number cached) cached, $(number local) local"
reasons() {     # reasons LIST TEXT: one line for each reason of that list of the summary
	awk -v list="$1" -v text="$2" 'index($0, "  \"" list "\": {") == 1 { if (/\{$/) on = 1; else exit; next } on && /^  \}/ { exit }
		on && match($0, /": *[0-9]+,?$/) { n = substr($0, RSTART + 2); gsub(/[^0-9]/, "", n); t = substr($0, 6, RSTART - 6); gsub(/\\"/, "\"", t); printf "%8d %s: %s\n", n, text, t }' "$DEMO/summary.json" | sort -rn
}
reasons reasons local
printf '%-20s %s\n' 'other calls, here' "$(number other)"
reasons other_reasons 'no unit'
printf '%-20s %s\n' 'bytes sent' "$(number bytes_sent)" 'bytes received' "$(number bytes_received)"
printf '%-20s %12s %12s\n' '' griddle plain
printf '%-20s %12s %12s\n' wall "$(seconds "$(number wall_ms)")" "$(seconds "$plain_wall")"
printf '%-20s %12s %12s\n' 'CPU, all processes' "$(seconds $((here_ms + agent_ms + daemons_ms)))" "$(seconds "$plain_cpu")"
printf '%-20s %12s %12s\n' '  make and children' "$(seconds "$here_ms")" "$(seconds "$plain_cpu")"
printf '%-20s %12s\n' '  agent' "$(seconds "$agent_ms")" '  cluster' "$(seconds "$daemons_ms")"
printf '%-20s %s\n' 'objects compared' "$compared" 'objects different' "$n_differ"
[ "$n_differ" = 0 ] || printf '%s\n' "$differ" | head -n 40 | sed 's/^/  /'
[ "$compared" -gt 0 ] && [ "$n_differ" = 0 ]
