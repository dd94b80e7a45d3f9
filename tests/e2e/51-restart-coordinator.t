#!/bin/sh
# kill -9 of the coordinator in the middle of a kernel build, and a new one on the same port
. "$(dirname "$0")/fault.sh"
fault_cluster
build_start
check "the build is on its way" wait_objects 20
before=$(units remote)
kill -KILL "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator --heartbeat 200ms --dead 1500ms
build_finish "coordinator restarted"
remote=$(units remote)
check "units went remote again afterwards (remote: $before, then ${remote:-?})" [ "${remote:-0}" -ge $((${before:-0} + 10)) ]
done_testing
