#!/bin/bash
# load_netns.sh - how far apart four workers in four network namespaces begin, over a bridge with 2 ms on the way of one of them
# (tc netem, when the kernel has it), CURVE on. Also the way to the target is real: what leaves is captured by time at the target.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
B=${BUILD_DIR:-$TOP/build/release} BIN=${BIN:-$TOP/build/release/bin}
[ "$(id -u)" = 0 ] && ip netns list >/dev/null 2>&1 || { echo "load_netns.sh: wants root and iproute2"; exit 0; }
T=$(mktemp -d); chmod 755 "$T"; PIDS=; N=gl$$
cleanup() {
	for p in $PIDS; do kill "$p" 2>/dev/null; done; wait 2>/dev/null
	for i in b 0 1 2 3; do ip netns del $N$i 2>/dev/null; done
	rm -rf "$T"
}
trap cleanup EXIT; trap 'exit 130' INT TERM
in_ns() { ns=$1; shift; ip netns exec $N$ns "$@"; }
# start NAMESPACE COMMAND...: in the background; its number is the command's own, not that of a shell around it
start() { ns=$1; shift; exec ip netns exec $N$ns "$@"; }
wait_for() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; echo "load_netns.sh: timed out: $*"; exit 1; }
ip netns add ${N}b || { echo "load_netns.sh: no network namespaces here"; exit 0; }
in_ns b ip link set lo up; in_ns b ip link add name lan type bridge; in_ns b ip addr add 10.77.0.1/24 dev lan; in_ns b ip link set dev lan up
for i in 0 1 2 3; do
	ip netns add $N$i; in_ns b ip link add name v$i type veth peer name e netns $N$i
	in_ns b ip link set dev v$i master lan up; in_ns $i ip link set lo up; in_ns $i ip addr add 10.77.0.1$i/24 dev e; in_ns $i ip link set dev e up
done
netem="no delay"; in_ns 3 tc qdisc add dev e root netem delay 2ms 2>/dev/null && netem="2 ms more for one of them"
export XDG_CONFIG_HOME=$T GRIDDLE_RUNTIME_DIR=$T/rt; mkdir "$T/rt"; chmod 700 "$T/rt"
for k in server client worker; do "$BIN/griddle" keys new --keys "$T/$k" >/dev/null; done
pub() { "$BIN/griddle" keys show --keys "$T/$1"; }
"$BIN/griddle" keys allow --allow "$T/allow" --roles client "$(pub client)" c >/dev/null
"$BIN/griddle" keys allow --allow "$T/allow" --roles worker "$(pub worker)" w >/dev/null
start b "$BIN/griddle-coordinator" --listen tcp://10.77.0.1:7420 --http off --state "$T/c" --keys "$T/server" --allow "$T/allow" --ready-file "$T/c.json" 2>"$T/c.log" & PIDS="$PIDS $!"
wait_for test -s "$T/c.json"
start b "$B/helper/load_target" ok "$T/port" & PIDS="$PIDS $!"; wait_for test -s "$T/port"
for i in 0 1 2 3; do
	start $i "$BIN/griddle-worker" --coordinator tcp://10.77.0.1:7420 --keys "$T/worker" --server-key "$(pub server)" --state "$T/w$i" --name w$i --node n$i \
		--slots 1 --ready-file "$T/w$i.json" 2>"$T/w$i.log" & PIDS="$PIDS $!"
done
for i in 0 1 2 3; do wait_for test -s "$T/w$i.json"; done
for round in 1 2 3; do
	in_ns b "$BIN/griddle" load http http://10.77.0.1:$(cat "$T/port")/ --rate 400/s --for 2s --late 1s --quiet -o json --coordinator tcp://10.77.0.1:7420 --keys "$T/client" \
		--server-key "$(pub server)" >"$T/r.json" || { cat "$T"/*.log; exit 1; }
	python3 - "$T/r.json" "$netem" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
w = d["workers"]
print("four namespaces (%s): first requests within %.3f ms; workers' clock error at most %.0f us; %d answers of 800, %d errors; p50 %.3f ms" % (
    sys.argv[2], d["skew_ms"], max(x["clock_error_us"] for x in w), d["latency"]["count"], d["errors"], d["latency"]["p50_ms"]))
PY
done
