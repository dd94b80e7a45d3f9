#!/bin/sh
# kill -9 of the agent in the middle of a kernel build
. "$(dirname "$0")/fault.sh"
fault_cluster
build_start
check "the build is on its way" wait_objects 20
kill -KILL "$AGENT_PID"
build_finish "agent killed"
check "the dead client's tasks end everywhere" wait_for 30 metric_is 'griddle_tasks_running' 0
done_testing
