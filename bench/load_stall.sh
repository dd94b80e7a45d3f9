#!/bin/bash
# load_stall.sh - coordinated omission: a server that stands still for 1 s in every 4, at 500 arrivals a second, through a cluster with one
# worker and with four. By arithmetic a quarter of the arrivals wait, evenly between 0 and 1000 ms: p90 600, p99 960, max 1000.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
B=${BUILD_DIR:-$TOP/build/release} BIN=${BIN:-$TOP/build/release/bin}
T=$(mktemp -d); chmod 755 "$T"; PIDS=
cleanup() { for p in $PIDS; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$T"; }
trap cleanup EXIT; trap 'exit 130' INT TERM
wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; echo "load_stall.sh: timed out: $*"; exit 1; }
export GRIDDLE_RUNTIME_DIR=$T/rt; mkdir "$T/rt"; chmod 700 "$T/rt"
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http off --state "$T/c" --ready-file "$T/c.json" 2>"$T/c.log" & PIDS="$PIDS $!"
wait_for test -s "$T/c.json"
export GRIDDLE_COORDINATOR=$(sed -n 's/.*"endpoint": *"\([^"]*\).*/\1/p' "$T/c.json")
for i in 1 2 3 4; do
	"$BIN/griddle-worker" --coordinator "$GRIDDLE_COORDINATOR" --state "$T/w$i" --name w$i --slots 1 --ready-file "$T/w$i.json" 2>"$T/w$i.log" & PIDS="$PIDS $!"
done
for i in 1 2 3 4; do wait_for test -s "$T/w$i.json"; done
for n in 1 4; do
	rm -f "$T/port"; "$B/helper/load_target" stall "$T/port" & P=$!; PIDS="$PIDS $P"; wait_for test -s "$T/port"
	"$BIN/griddle" load http "http://127.0.0.1:$(cat "$T/port")/" --rate 500/s --for 12s --workers $n --late 1s --quiet -o json >"$T/r.json" || { cat "$T/c.log"; exit 1; }
	python3 - "$T/r.json" $n <<'PY'
import json, sys
d = json.load(open(sys.argv[1])); l = d["latency"]
print("stall server, %s worker(s): p50 %.3f  p90 %.1f  p99 %.1f  max %.1f ms; %d answers, sum over workers %d, %d errors, %d late" % (
    sys.argv[2], l["p50_ms"], l["p90_ms"], l["p99_ms"], l["max_ms"], l["count"], sum(w["answered"] for w in d["workers"]), d["errors"], d["counters"]["late"]))
PY
	kill $P
done
