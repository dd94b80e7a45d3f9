#!/bin/bash
# griddle.sh - griddle's own row of bench/peers.sh: one job of TASKS commands that do nothing ("griddle:null" ends at once,
# nothing is executed), through a real coordinator (SQLite, group commit, every outcome on disk) and WORKERS real workers.
# Prints "name tasks seconds cpu_us_per_task": CPU of coordinator and workers from /proc, of the client from times.
set -u
BIN=${BIN:-$(cd "$(dirname "$0")/../.." && pwd)/build/release/bin}
TASKS=${TASKS:-20000} WORKERS=${WORKERS:-2}
RUN=$(mktemp -d "${TMPDIR:-/tmp}/griddle-null.XXXXXX")
export HOME=$RUN GRIDDLE_RUNTIME_DIR=$RUN/rt GRIDDLE_STATE_DIR=$RUN/state GRIDDLE_CONFIG_DIR=$RUN/config
finish() { "$BIN/griddle" down >/dev/null 2>&1; rm -rf "$RUN"; }
trap finish EXIT
trap 'exit 130' INT TERM
"$BIN/griddle" up --workers "$WORKERS" >"$RUN/up" 2>&1 || { cat "$RUN/up" >&2; exit 1; }
# User and system time, ms, of the coordinator, the workers and what they started: those with RUN in their words.
cluster_ms() {
	pgrep -f "griddle-(coordinator|worker).*$RUN" | while read -r p; do cut -d' ' -f14,15 "/proc/$p/stat" 2>/dev/null; done |
		awk -v hz="$(getconf CLK_TCK)" '{ s += $1 + $2 } END { printf "%d", s * 1000 / hz }'
}
cat >"$RUN/null.json" <<JOB
{ "name": "null", "array": { "range": [1, $TASKS] }, "command": ["griddle:null"], "resources": { "cpus": 1 } }
JOB
times >"$RUN/times"
up=$(sed -n 2p "$RUN/times" | awk '{ for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += t[1] * 60 + t[2] } printf "%d", s * 1000 }')
before=$(cluster_ms) from=$(date +%s%N)
"$BIN/griddle" submit "$RUN/null.json" --wait >"$RUN/out" 2>&1 || { tail -n 3 "$RUN/out" >&2; exit 1; }
to=$(date +%s%N) after=$(cluster_ms)
times >"$RUN/times"        # not in a pipe: that would be a process of its own, which had no children
client=$(sed -n 2p "$RUN/times" | awk -v up="$up" '{ for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += t[1] * 60 + t[2] } printf "%d", s * 1000 - up }')
awk -v n="$TASKS" -v ns="$((to - from))" -v ms="$((after - before + client))" \
	'BEGIN { printf "griddle_durable %d %.3f %.1f\n", n, ns / 1e9, ms * 1000 / n }'
