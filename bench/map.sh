#!/bin/bash
# bench/map - `seq N | griddle map -- echo {}` beside GNU parallel, and `griddle job logs` of that job: wall time and CPU of all
# processes of a row (coordinator and worker too), by cgroup. ROUNDS of each, one after the other.
# "files" are tasks that each make one, fetched into a folder here. Rows with "ms away" are of a client that is RTT_MS away
# (bench/peers/delay.py between).
# usage: bench/map.sh     TASKS=2000 ROUNDS=3 SLOTS=2 RTT_MS=20 OTHER=FOLDER (programs of another build, for a figure before a change)
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/bench/lib.sh"
TASKS=${TASKS:-2000} ROUNDS=${ROUNDS:-3} SLOTS=${SLOTS:-2} RTT_MS=${RTT_MS:-20}
RUN=$(mktemp -d "${TMPDIR:-/tmp}/griddle-map.XXXXXX")
chmod 755 "$RUN"
PIDS=
end_all() { for p in $PIDS; do kill "$p" 2>/dev/null; done; wait $PIDS 2>/dev/null; PIDS=; }
trap 'end_all; cg_end; rm -rf "$RUN"' EXIT
trap 'exit 130' INT TERM
export HOME=$RUN GRIDDLE_RUNTIME_DIR=$RUN/rt GRIDDLE_STATE_DIR=$RUN/state GRIDDLE_CONFIG_DIR=$RUN/config
cg_us() {
	if [ -f "$CG/griddle-bench-$$-$1/cpuacct.usage" ]; then echo $(($(cat "$CG/griddle-bench-$$-$1/cpuacct.usage") / 1000))
	else awk '/^usage_usec/ { print $2 }' "$CG/griddle-bench-$$-$1/cpu.stat"; fi
}
# row NAME GROUP CLIENT_GROUP COMMAND: its output must be the values, once each
row() {
	local c0 k0 t0 t c k
	c0=$(cg_us "$2") k0=$(cg_us "$3") t0=$(now_ms)
	cg_run "$3" bash -c "$4" >"$RUN/out" 2>"$RUN/err" || { echo "bench: $1: $(tail -n 1 "$RUN/err")"; exit 1; }
	t=$(($(now_ms) - t0)) k=$(($(cg_us "$3") - k0)) c=$(($(cg_us "$2") - c0))
	[ "$2" = "$3" ] || c=$((c + k))
	[ "$(sort -n "$RUN/out" | md5sum)" = "$(seq "$TASKS" | md5sum)" ] || { echo "bench: $1: another output"; exit 1; }
	awk -v what="$1" -v n="$TASKS" -v t="$t" -v c="$c" -v k="$k" 'BEGIN { printf "%-34s %8.2f %14.0f %16.0f\n", what, t / 1000, c / n, k / n }'
}
# griddle NAME PROGRAMS
griddle() {
	local d="$RUN/$1" j
	mkdir -p "$d"; cg_new "$1"; cg_new "$1-client"
	spawn_in "$1" "$2/griddle-coordinator" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --state "$d/coord" --ready-file "$d/coord.json"
	while [ ! -s "$d/coord.json" ]; do sleep 0.05; done
	GRIDDLE_COORDINATOR=$(sed 's/.*"endpoint": *"\([^"]*\)".*/\1/' "$d/coord.json"); export GRIDDLE_COORDINATOR
	spawn_in "$1" "$2/griddle-worker" --coordinator "$GRIDDLE_COORDINATOR" --state "$d/w" --name w --slots "$SLOTS" --ready-file "$d/w.json"
	while [ ! -s "$d/w.json" ]; do sleep 0.05; done
	for _ in $(seq "$ROUNDS"); do
		row "$1: map" "$1" "$1-client" "seq $TASKS | $2/griddle map -q -- echo {}"
		row "$1: map --keep-order" "$1" "$1-client" "seq $TASKS | $2/griddle map -q --keep-order -- echo {}"
		j=$("$2/griddle" job ls -o name | sort -n | tail -n 1)
		row "$1: job logs, all ended" "$1" "$1-client" "$2/griddle job logs $j"
	done
	row "$1: map, files" "$1" "$1-client" "seq $TASKS | $2/griddle map -q --out 'o{}' --to $d/got 'echo {} | tee o{}'"
	(exec python3 "$TOP/bench/peers/delay.py" "${GRIDDLE_COORDINATOR##*:}" "$RTT_MS" "$d/port") & PIDS="$PIDS $!"
	while [ ! -s "$d/port" ]; do sleep 0.05; done
	GRIDDLE_COORDINATOR=tcp://127.0.0.1:$(cat "$d/port")
	row "$1: map, $RTT_MS ms away" "$1" "$1-client" "seq $TASKS | $2/griddle map -q -- echo {}"
	row "$1: job logs, $RTT_MS ms away" "$1" "$1-client" "$2/griddle job logs $j"
	row "$1: map, files, $RTT_MS ms away" "$1" "$1-client" "seq $TASKS | $2/griddle map -q --out 'o{}' --to $d/far 'echo {} | tee o{}'"
	[ "$(cat "$d"/far/o* | sort -n | md5sum)" = "$(seq "$TASKS" | md5sum)" ] || { echo "bench: other files"; exit 1; }
	j=$("$2/griddle" job ls -o name | sort -n | tail -n 1)
	row "$1: job fetch, $RTT_MS ms away" "$1" "$1-client" "$2/griddle job fetch $j -q --to $d/all && find $d/all -type f | xargs cat"
	end_all
}
facts
printf '%-34s %8s %14s %16s\n' "$TASKS x echo" "wall s" "CPU us a task" "of it the client"
[ -z "${OTHER:-}" ] || griddle before "$OTHER"
griddle griddle "$BIN"
if command -v parallel >/dev/null && parallel --version 2>&1 | grep -q GNU; then
	cg_new parallel
	row "GNU parallel -j$SLOTS" parallel parallel "seq $TASKS | parallel --will-cite -j$SLOTS echo {}"
else
	echo "GNU parallel: skipped, not installed"
fi
