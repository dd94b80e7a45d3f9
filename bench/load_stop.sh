#!/bin/bash
# load_stop.sh - how long after a stop the last request reaches the target, 4 workers at 2000 requests a second together: Ctrl-C, the
# coordinator killed, the coordinator stopped with its connections standing (the workers' lease of 0.9 s runs out). Asked: 1 s.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
B=${BUILD_DIR:-$TOP/build/release} BIN=${BIN:-$TOP/build/release/bin}
T=$(mktemp -d); chmod 755 "$T"; PIDS=; cd "$T" || exit 1
cleanup() { for p in $PIDS; do kill -CONT "$p" 2>/dev/null; kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$T"; }
trap cleanup EXIT; trap 'exit 130' INT TERM
wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; echo "load_stop.sh: timed out: $*"; exit 1; }
export GRIDDLE_RUNTIME_DIR=$T/rt; mkdir "$T/rt"; chmod 700 "$T/rt"
"$B/helper/load_target" last "$T/port" & PIDS="$PIDS $!"; wait_for test -s port
round() {   # round NAME SIGNAL WHO
	rm -f c.json w?.json
	"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http off --state "$T/c" --ready-file "$T/c.json" 2>c.log & C=$!; PIDS="$PIDS $C"
	wait_for test -s c.json
	export GRIDDLE_COORDINATOR=$(sed -n 's/.*"endpoint": *"\([^"]*\).*/\1/p' c.json)
	W=
	for i in 1 2 3 4; do
		"$BIN/griddle-worker" --coordinator "$GRIDDLE_COORDINATOR" --state "$T/w$i" --name w$i --slots 1 --ready-file "$T/w$i.json" 2>w$i.log & W="$W $!"
	done
	PIDS="$PIDS $W"
	for i in 1 2 3 4; do wait_for test -s w$i.json; done
	rm -f port.seen; cp port.last port.seen 2>/dev/null || echo 0 >port.seen
	"$BIN/griddle" load http "http://127.0.0.1:$(cat port)/" --rate 2000/s --for 60s --yes --late 5s --quiet >out 2>err & L=$!; PIDS="$PIDS $L"
	wait_for sh -c '! cmp -s port.last port.seen'
	sleep 1
	eval "p=\$$3"; t=$(date +%s.%N); kill -"$2" "$p"; sleep 2
	python3 -c 'import sys; print("stop: %s: the last request %.0f ms after it" % (sys.argv[1], (float(open("port.last").read()) - float(sys.argv[2])) * 1e3))' "$1" "$t"
	kill -CONT $C 2>/dev/null; kill $L $C $W 2>/dev/null; wait $L $C $W 2>/dev/null
}
for i in 1 2 3; do
	round "Ctrl-C" INT L
	round "coordinator killed" KILL C
	round "coordinator silent" STOP C
done
