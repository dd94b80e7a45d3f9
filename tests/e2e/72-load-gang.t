#!/bin/bash
# 72-load-gang.t - the shards of a load test as a gang: spread over nodes, off the target's node, all at once or none, cores taken
. "$(dirname "$0")/cluster.sh"
command -v python3 >/dev/null || skip_all "python3 is not installed"
command -v curl >/dev/null || skip_all "curl is not installed"
cd "$T" || exit 1
TARGET=${BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/load_target
ok_json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); n=sorted(w["node"] for w in d["workers"] if w["traffic"]); sys.exit(0 if eval(sys.argv[2]) else 1)' "$1" "$2"; }
load() { "$BIN/griddle" load "$@"; }
export GRIDDLE_LATE=2s
cl_coordinator
export GRIDDLE_COORDINATOR=$ENDPOINT
cl_worker a --slots 1 --node n1 --labels node-ip=127.0.0.7
cl_worker b --slots 1 --node n1 --labels node-ip=127.0.0.7
cl_worker c --slots 1 --node n2
cl_worker d --slots 1 --node n2
"$TARGET" ok "$T/port" & CL_PIDS="$CL_PIDS $!"; wait_for 20 test -s port || { echo "Bail out! no target"; exit 1; }
URL=http://127.0.0.1:$(cat port)/

# ---- where ----
load http "$URL" --rate 100/s --for 300ms --workers 2 -o json >r.json 2>err || diag <err
check "two shards go to two nodes" ok_json r.json "n == ['n1', 'n2']"
load http "$URL" --rate 100/s --for 300ms -o json >r.json 2>err || diag <err
check "all workers have one each" ok_json r.json "n == ['n1', 'n1', 'n2', 'n2']"
plan() { printf '{"late":"2s","stages":[{"rate":"100/s","for":"%s"}],"requests":[{"url":"%s"}]%s}' "$1" "$2" "${3:-}" >plan.json; }
plan 300ms "$URL" ',"target_node":"n1"'; load run plan.json -o json >r.json 2>err || diag <err
check "not beside the target when the plan names its node" ok_json r.json "n == ['n2', 'n2']"
plan 300ms "http://127.0.0.7:$(cat port)/"; load run plan.json -o json >r.json 2>err || diag <err
check "nor when a label does" ok_json r.json "n == ['n2', 'n2']"
plan 300ms "$URL" ',"target_node":"n1","workers":3'; load run plan.json >out 2>err; rc=$?
check "what cannot be placed whole is refused at once" [ $rc = 1 ]
check "with why" grep -q "3 workers are wanted and 2 can take part (4 connected, 0 draining, 2 on the target's node" err
plan 300ms "$URL" ',"threads":2'; load run plan.json >out 2>err; check "a worker with fewer cores than threads takes none" grep -q "4 too small" err

# ---- all at once or none ----
state_of() { curl -s "http://$HTTP/api/v1/load" | python3 -c 'import json,sys; print([r["state"] for r in json.load(sys.stdin)["runs"] if r["run"]==sys.argv[1]][0])' "$1"; }
is_in() { [ "$(state_of "$1")" = "$2" ]; }
A=$(load http "$URL" --rate 20/s --for 50s --workers 3 --detach 2>err) || diag <err
check "three of four workers run a test" wait_for 30 is_in "$A" running
B=$(load http "$URL" --rate 20/s --for 50s --workers 2 --detach 2>err) || diag <err
check "a second one for two waits" is_in "$B" placing
C=$(load http "$URL" --rate 20/s --for 50s --workers 1 --detach 2>err) || diag <err
check "and takes nothing meanwhile: one for one goes ahead of it" wait_for 30 is_in "$C" running
"$BIN/griddle" run -- echo done >ran 2>err & R=$!; CL_PIDS="$CL_PIDS $R"
jobs() { curl -s "http://$HTTP/api/v1/jobs" | grep -q '"tasks"\|"state"'; }
wait_for 30 jobs
check "the second still waits" is_in "$B" placing
check "a task has no core of a worker that generates load" [ ! -s ran ]
load stop "$A" 2>err
check "it begins when the first has ended" wait_for 30 is_in "$B" running
wait $R; check "so does the task" [ "$(cat ran)" = "done" ]
load stop "$B" 2>err; load stop "$C" 2>err
D=$(load http "$URL" --rate 20/s --for 50s --detach 2>err) || diag <err
check "rooms are given back: all four run one" wait_for 30 is_in "$D" running
E=$(load http "$URL" --rate 20/s --for 50s --detach 2>err) || diag <err
is_in "$E" placing; load stop "$E" 2>err
check "one that waits can be stopped" wait_for 30 is_in "$E" ended
load stop "$D" 2>err

# ---- burns want stress-ng ----
if [ "$(id -u)" = 0 ] && [ -x /usr/bin/stress-ng ] && unshare -m true 2>/dev/null; then
	"$BIN/griddle-worker" --version >/dev/null
	unshare -m sh -c 'mount --bind /dev/null /usr/bin/stress-ng && exec "$@"' sh "$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/e" --name e --slots 1 \
		--ready-file "$T/e.json" >>"$T/e.log" 2>&1 & CL_PIDS="$CL_PIDS $!"
	wait_for 30 test -s e.json
	plan 2s "$URL" ',"workers":1,"burns":[{"for":"1s","cpu":1,"cpu_percent":10,"workers":["e"]}]'; load run plan.json >out 2>err; rc=$?
	check "a worker without stress-ng is no candidate for a burn" [ $rc != 0 ]
	check "and it says so" grep -q "burns\[0\]: worker e has no stress-ng" err
	plan 2s "$URL" ',"workers":1,"burns":[{"for":"1s","cpu":1,"cpu_percent":10,"workers":5}]'; load run plan.json >out 2>err
	check "also by number" grep -q "burns\[0\]: 5 workers are wanted and 4 can burn (1 have no stress-ng)" err
else
	ok "burns without stress-ng # SKIP wants root, stress-ng and a mount namespace"
fi
done_testing
