#!/bin/sh
# bench/relay - CPU of the coordinator per task that costs nothing itself: over loopback TCP, with a kernel unit's
# lists (100 words, 450 inputs, a 4 KiB object). usage: bench/relay.sh [TASKS [WORKERS]]
. "$(dirname "$0")/lib.sh" 2>/dev/null
TOP=$(cd "$(dirname "$0")/.." && pwd)
BIN=${BIN:-$TOP/build/release/bin}
TASKS=${1:-20000} WORKERS=${2:-16}
T=$(mktemp -d "${TMPDIR:-/tmp}/griddle-bench.XXXXXX")
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --state "$T/c" --ready-file "$T/r" --log-level error 2>"$T/log" &
PID=$!
trap 'kill $PID 2>/dev/null; wait $PID 2>/dev/null; rm -rf "$T"' EXIT
while [ ! -s "$T/r" ]; do kill -0 $PID || { cat "$T/log"; exit 1; }; sleep 0.05; done
E=$(sed 's/.*"endpoint":"\([^"]*\)".*/\1/' "$T/r") H=$(sed 's/.*"http":"\([^"]*\)".*/\1/' "$T/r")
cpu() { curl -s "http://$H/metrics" | awk '$1 == "griddle_cpu_seconds_total" { print $2 }'; }
a=$(cpu)
out=$("$BIN/../bench/relay" "$E" "$TASKS" "$WORKERS" 450) || exit 1
b=$(cpu)
set -- $out
awk -v a="$a" -v b="$b" -v n="$1" -v s="$2" -v w="$WORKERS" 'BEGIN {
	printf "%-34s %10s %14s %10s\n", "relay: tasks that cost nothing", "tasks", "coordinator us", "tasks/s"
	printf "%-34s %10d %14.1f %10.0f\n", w " workers", n, (b - a) * 1e6 / n, n / s }'
curl -s "http://$H/metrics" | awk '/placement_decision_seconds_(sum|count)/ { v[$1] = $2 } END { printf "%-34s %25.2f\n", "placement, us a decision", v["griddle_placement_decision_seconds_sum"] * 1e6 / v["griddle_placement_decision_seconds_count"] }'
