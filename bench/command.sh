#!/bin/sh
# bench/command - CPU of a worker per batch command that costs nothing itself, beside a bare posix_spawn loop in the same
# run. The worker is driven by tests/helper/commander over loopback TCP: what all of it costs is bench/dispatch.sh's.
# usage: bench/command.sh [TASKS [SLOTS]]      (root: CPU is counted by a cgroup)
. "$(dirname "$0")/lib.sh"
TASKS=${1:-4000} SLOTS=${2:-1}
RUN=$(mktemp -d "${TMPDIR:-/tmp}/griddle-bench.XXXXXX"); PIDS=
trap 'for _p in $PIDS; do kill $_p 2>/dev/null; done; wait 2>/dev/null; cg_end; rm -rf "$RUN"' EXIT
chmod 755 "$RUN"
spec() { printf '{"spec":{"job":1,"stages":[{"count":1,"argv":["%s"]}]},"commands":[{}]}' "$1" > "$RUN/spec.json"; }
row() { awk -v what="$1" -v n="$2" -v ms="$3" -v base="$4" -v s="$5" 'BEGIN { printf "%-46s %8d %10.3f %8s %10.0f\n", what, n, ms / n, (base > 0 ? sprintf("%.2fx", ms / n / base) : ""), n / s }'; }
# griddle NAME PROGRAM TASKS: sets MS (of the worker and all it runs) and S
griddle() {
	spec "$2"; rm -f "$RUN/ready.json"
	cg_new "$1"
	"$BIN/../helper/commander" --ready "$RUN/ready.json" --quiet --times "$3" --window 64 "$RUN/spec.json" > "$RUN/out" & c=$!
	while [ ! -s "$RUN/ready.json" ]; do sleep 0.05; done
	e=$(sed 's/.*"endpoint":"\([^"]*\)".*/\1/' "$RUN/ready.json")
	spawn_in "$1" "$BIN/griddle-worker" --coordinator "$e" --state "$RUN/w-$1" --slots "$SLOTS" --prefetch 64 --toolchains /none --log-level error
	w=$!
	wait $c || { echo "bench: $1 failed"; cat "$RUN/daemons.log"; exit 1; }
	MS=$(cg_us "$1"); S=$(cut -d' ' -f2 "$RUN/out")
	kill $w; wait $w 2>/dev/null
}
cg_us() {
	if [ -f "$CG/griddle-bench-$$-$1/cpuacct.usage" ]; then awk '{ print $1 / 1e6 }' "$CG/griddle-bench-$$-$1/cpuacct.usage"
	else awk '/^usage_usec/ { print $2 / 1000 }' "$CG/griddle-bench-$$-$1/cpu.stat"; fi
}
facts
printf "%-46s %8s %10s %8s %10s\n" "/bin/true" tasks "CPU ms" ratio "tasks/s"
cg_new bare
out=$(cg_run bare "$BIN/../bench/spawn" "$TASKS"); BARE=$(cg_us bare)
PER=$(awk -v a="$BARE" -v n="$TASKS" 'BEGIN { print a / n }')
row "bare posix_spawn loop" "$TASKS" "$BARE" 0 "$(echo $out | cut -d' ' -f2)"
griddle few /bin/true 10; few=$MS
griddle true /bin/true "$TASKS"
row "worker, sandboxed, $SLOTS slot(s)" "$TASKS" "$(awk -v a="$MS" -v b="$few" 'BEGIN { print a - b }')" "$PER" "$S"
griddle null griddle:null $((TASKS * 20))
row "worker, nothing executed" $((TASKS * 20)) "$(awk -v a="$MS" -v b="$few" 'BEGIN { print a - b }')" "$PER" "$S"
