#!/bin/bash
# load_hostile.sh - N (1,000,000) hostile answers for the load generator: every kind of failure there is, mixed, in two processes (HTTP/1.1,
# TLS, WebSocket, TCP in one, HTTP/2 in the other). Prints memory and counts at each tenth; fails when memory grew after the first.
#   N=1000000 tests/load_hostile.sh        (make load-hostile: 5 to 20 minutes)
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
B=${BUILD_DIR:-$TOP/build/release}
N=${N:-1000000}
command -v python3 >/dev/null || { echo "load_hostile.sh: python3 is not installed"; exit 1; }
T=$(mktemp -d); PIDS=
cleanup() { for p in $PIDS; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$T"; }
trap cleanup EXIT; trap 'exit 130' INT TERM
cp "$B/bench/load_engine" "$B/helper/load_target" "$T/"       # a build meanwhile changes nothing
started() { PIDS="$PIDS $!"; for _ in $(seq 100); do [ -s "$T/$1" ] && return; sleep .1; done; echo "load_hostile.sh: no target $1"; exit 1; }
for m in close reset truncated chunk garbage flood endless silent half trickle; do "$T/load_target" $m "$T/$m" & started $m; done
for m in ws-refuse ws-torn h2-rst h2-goaway h2-garbage; do python3 "$TOP/tests/helper/load_peers.py" $m "$T/$m" & started $m; done
python3 - "$T" <<'PY'
import json, sys
T = sys.argv[1]
port = lambda m: int(open(f"{T}/{m}").read())
def plan(name, kinds, more):
    s = [{"name": n, "weight": w, "requests": [{"name": n, "url": u, **x}]} for n, w, u, x in kinds]
    json.dump({"model": "closed", "stages": [{"users": 200, "for": "24h"}], "timeout": "300ms", "body_limit": 65536, "scenarios": s, **more},
              open(f"{T}/{name}.json", "w"))
h = lambda m, w: (m, w, f"http://127.0.0.1:{port(m)}/", {})
plan("one", [h(m, 10) for m in ("close", "reset", "truncated", "chunk", "garbage")] + [h(m, 2) for m in ("flood", "endless", "silent", "half", "trickle")] + [
    ("refused", 10, "http://127.0.0.1:1/", {}), ("tls", 10, f"https://127.0.0.1:{port('garbage')}/", {}),
    ("ws-refuse", 3, f"ws://127.0.0.1:{port('ws-refuse')}/", {"body": "x"}), ("ws-torn", 3, f"ws://127.0.0.1:{port('ws-torn')}/", {"body": "hello"}),
    ("tcp", 5, f"tcp://127.0.0.1:{port('close')}/", {"body": "\r\n\r\n", "receive": 9})], {})
plan("two", [h(m, w) for m, w in (("h2-rst", 6), ("h2-goaway", 2), ("h2-garbage", 1))], {"http": "2", "streams": 20})
PY
rc=0
for part in "one $((N * 8 / 10))" "two $((N - N * 8 / 10))"; do
	set -- $part
	STOP_AT=$2 "$T/load_engine" "$T/$1.json" 2>&1 >"$T/r.json" | tee "$T/steps"
	[ "${PIPESTATUS[0]}" = 0 ] || rc=1
	# memory in use when a tenth was done, and at the most: arenas and buffers are there by then
	awk -v part="$1" '/^[0-9]+ failed/ { r[++n] = $4 } END { printf "%s: %d KiB at the first tenth, %d at the last\n", part, r[1], r[n]; exit !(n >= 10 && r[n] <= r[1] + 2048) }' "$T/steps" || { echo "memory grew"; rc=1; }
done
exit $rc
