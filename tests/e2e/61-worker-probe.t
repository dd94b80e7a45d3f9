#!/bin/bash
# 61-worker-probe.t - a worker's /livez and /readyz: alive whatever the coordinator does, ready only when it takes tasks
. "$(dirname "$0")/cluster.sh"
command -v curl >/dev/null || skip_all "curl is not installed"
code() { curl -s -m 5 -o "$T/body" -w '%{http_code}' "$@"; }
is() { [ "$(code "http://127.0.0.1:$PROBE$1")" = "$2" ]; }

cl_coordinator
cl_worker w1 --probe 127.0.0.1:0 --grace 60s
PROBE=$(sed -n 's/.*probes answered on port \([0-9]*\).*/\1/p' "$T/w1.log")
check "it says where" [ -n "$PROBE" ]
check "/livez is 200" is /livez 200
check "/readyz is 200" is /readyz 200
check "another path is 404" is /metrics 404
check "HEAD is served" [ "$(code -I "http://127.0.0.1:$PROBE/livez")" = 200 ]
check "POST is not" [ "$(code -X POST "http://127.0.0.1:$PROBE/livez")" = 405 ]
check "nor is a body" [ "$(head -c 100000 /dev/zero | code -X POST -H 'Expect:' --data-binary @- "http://127.0.0.1:$PROBE/livez")" != 200 ]
exec 3<>"/dev/tcp/127.0.0.1/$PROBE"; printf 'GET /livez HT' >&3
check "a request that never ends holds up nobody" is /livez 200
exec 3>&-
kill -TERM "$COORD_PID"; wait "$COORD_PID"
check "without a coordinator it is not ready" wait_for 10 is /readyz 503
check "and says why" grep -q 'not connected' "$T/body"
check "but alive" is /livez 200
cl_coordinator
check "with one it is ready again" wait_for 20 is /readyz 200
timeout 10 "$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/w2" --name w2 --probe "127.0.0.1:$PROBE" >"$T/out" 2>&1; rc=$?
check "a port that is taken is an error" [ $rc != 0 ]
check "that says which" grep -q "probe: cannot listen on 127.0.0.1:$PROBE" "$T/out"
timeout 10 "$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/w2" --name w2 --probe nowhere >"$T/out" 2>&1; rc=$?
check "so is what is no address" [ $rc = 2 ]
kill -TERM "$w1_PID"; wait "$w1_PID"; rc=$?
check "SIGTERM ends it with 0" [ $rc = 0 ]
done_testing
