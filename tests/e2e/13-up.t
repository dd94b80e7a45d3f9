#!/bin/bash
# 13-up.t - griddle up, status, nodes, doctor, down: real processes on loopback, nothing left, only its own ended
. "$(dirname "$0")/cluster.sh"
unset GRIDDLE_SOCKET
G=$BIN/griddle
down() { "$G" down >/dev/null 2>&1; cl_cleanup; }
trap down EXIT
pids() { sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$T/rt/cluster.json"; }
"$G" up --workers 2 --slots 3 >"$T/out" 2>"$T/err"; rc=$?
[ $rc = 0 ] || diag <"$T/err"
check "up starts a cluster" [ $rc = 0 ]
check "and prints one line" [ "$(wc -l <"$T/out")" = 1 ]
check "which names endpoint, workers and slots" grep -qE 'tcp://127\.0\.0\.1:[0-9]+, 2 workers, 6 slots' "$T/out"
all=$(pids); check "cluster.json lists coordinator, workers and agent" [ "$(echo "$all" | wc -l)" = 4 ]
check "cluster.json is ours alone" [ "$(stat -c %a "$T/rt/cluster.json")" = 600 ]
check "they listen on loopback alone" [ -z "$(for p in $all; do ls -l /proc/$p/fd 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]/\1/p'; done | sort -u | while read -r ino; do awk -v i="$ino" '$10 == i && $4 == "0A" && $2 !~ /^0100007F/' /proc/net/tcp; done)" ]
"$G" status >"$T/out" 2>&1; check "status prints the coordinator" grep -q '^coordinator  *tcp://127' "$T/out"
check "status prints the agent" grep -q '^agent  *pid' "$T/out"
"$G" status -o json | python3 -c 'import json,sys; d=json.load(sys.stdin); assert d["workers"]==2 and d["slots"]==6 and d["agent"]["pid"]'; check "status prints JSON" [ $? = 0 ]
"$G" nodes >"$T/out"; check "nodes prints a line a worker" [ "$(grep -c '^worker-[12] ' "$T/out")" = 2 ]
check "nodes names the toolchain" grep -q 'gcc 12' "$T/out"
check "nodes -o name" [ "$("$G" nodes -o name | sort | tr '\n' ' ')" = "worker-1 worker-2 " ]
cat >"$T/signals.py" <<'PY'
import json, os, sys, time, urllib.request
n = len(os.sched_getaffinity(0))
for _ in range(100):
    nodes = json.loads(os.popen(sys.argv[1] + " nodes -o json").read())["nodes"]
    if all(x["signals"].get("slots") == 3 and x["signals"].get("mem_limit_bytes") for x in nodes): break
    time.sleep(0.1)
for x in nodes:
    assert x["cpus"] == n and x["node_cpu_mcpu"] >= 1000 * n and "qos" in x and x["signals"]["disk_free_bytes"], x
PY
check "nodes have told their signals" python3 "$T/signals.py" "$G"
HTTP=$(sed -n 's/.*"http": *"\([^"]*\)".*/\1/p' "$T/rt/cluster.json")
check "and /metrics has a gauge a worker" [ "$(curl -s "http://${HTTP#http://}/metrics" | grep -c '^griddle_worker_slots{worker="worker-[12]",node="[^"]*"} 3$')" = 2 ]
"$G" doctor >"$T/out"; rc=$?; check "doctor finds all well" [ $rc = 0 ]; [ $rc = 0 ] || diag <"$T/out"
check "doctor finds the compiler on both workers" grep -qE '^ok  *gcc .*on 2 workers' "$T/out"
"$G" up >"$T/out" 2>&1; rc=$?; check "a second up says it is up" grep -q 'already up' "$T/out"
check "and exits with 0" [ $rc = 0 ]
check "and starts nothing" [ "$(pids)" = "$all" ]
check "and how many run" grep -q '2 workers, 4 processes' "$T/out"; check "no more than that" [ "$(wc -l <"$T/out")" = 1 ]
"$G" up --workers 3 >"$T/out" 2>&1; check "one for more says what to do" grep -qF '2 workers run, not 3; for that `griddle down`, then `griddle up --workers 3`' "$T/out"

sleep 1000 & mine=$!
python3 - "$T/rt/cluster.json" $mine <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
d["pids"].append({"role": "worker", "name": "not-ours", "pid": int(sys.argv[2]), "start": 12345})
json.dump(d, open(sys.argv[1], "w"), indent=2)
PY
"$G" down >"$T/out" 2>&1; rc=$?; check "down ends it" [ $rc = 0 ]
check "down spares a process whose start time differs" kill -0 $mine; kill $mine
alive=; for p in $all; do [ -d /proc/$p ] && ! grep -q '^State:.Z' /proc/$p/status 2>/dev/null && alive="$alive $p"; done
check "no process is left$alive" [ -z "$alive" ]
check "no socket is left" [ ! -e "$T/rt/agent.sock" ]
"$G" status >"$T/out" 2>&1; check "status then says what to do, exit 32" [ $? = 32 ]

"$G" up >"$T/out" 2>&1; check "up works again" [ $? = 0 ]
kill -9 "$(pids | head -n 1)"; wait_for 10 sh -c "! kill -0 $(pids | head -n 1)"; old=$(pids)
"$G" up >"$T/out" 2>&1; check "up after a crash replaces what is gone" [ $? = 0 ]
alive=; for p in $old; do [ -d /proc/$p ] && ! grep -q '^State:.Z' /proc/$p/status 2>/dev/null && alive="$alive $p"; done
check "and ends the rest of the old one$alive" [ -z "$alive" ]
"$G" down >/dev/null 2>&1
mkdir "$T/bin"; cp "$G" "$T/bin"; (PATH=/usr/bin:/bin; "$T/bin/griddle" up >"$T/out" 2>"$T/err"); rc=$?
check "up without the daemons beside it or in PATH says which is missing" [ $rc != 0 ] 
check "and leaves no cluster.json" [ ! -e "$T/rt/cluster.json" ]
"$G" down >/dev/null 2>&1
check "no sanitizer has anything to say" [ -z "$(grep -lE 'ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer' -r "$T/state" --include='*.log')" ]
done_testing
