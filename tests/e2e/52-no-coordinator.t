#!/bin/sh
# kill -9 of the coordinator in the middle of a kernel build, for good
. "$(dirname "$0")/fault.sh"
fault_cluster
build_start
check "the build is on its way" wait_objects 20
kill -KILL "$COORD_PID"
build_finish "coordinator gone for good"
done_testing
