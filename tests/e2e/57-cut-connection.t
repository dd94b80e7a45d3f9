#!/bin/sh
# connections that are cut again and again while blobs and results travel
. "$(dirname "$0")/fault.sh"
fault_tree
cl_coordinator --heartbeat 200ms --dead 1500ms
"$BIN/../helper/cut_proxy" "${ENDPOINT#tcp://127.0.0.1:}" 400000 8 > "$T/proxy.port" 2>"$T/proxy.log" &
PROXY_PID=$!; CL_PIDS="$CL_PIDS $PROXY_PID"
wait_for 10 test -s "$T/proxy.port" || { echo "Bail out! proxy did not start"; exit 1; }
real=$ENDPOINT; ENDPOINT=tcp://127.0.0.1:$(cat "$T/proxy.port")
cl_worker w1; cl_worker w2
ENDPOINT=$real; cl_agent --reconnect-wait 8s
build_start
build_finish "connections cut eight times"
check "the proxy did cut ($(grep -c cut "$T/proxy.log") times)" [ "$(grep -c cut "$T/proxy.log")" -ge 3 ]
done_testing
