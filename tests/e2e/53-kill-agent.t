#!/bin/sh
# kill -9 of the agent in the middle of a kernel build
. "$(dirname "$0")/fault.sh"
fault_cluster
build_start
check "the build is on its way" wait_objects 20
kill -KILL "$AGENT_PID"
build_finish "agent killed"
check "the workers drop the dead client's session" wait_for 90 sh -c "[ \$(ls '$T/w1/sessions' 2>/dev/null | wc -l) = 0 ] || [ \$(curl -s http://$HTTP/metrics | awk '\$1 == \"griddle_tasks_running\" { print \$2 }') = 0 ]"
done_testing
