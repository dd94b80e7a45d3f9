#!/bin/sh
# kill -9 of a worker in the middle of a kernel build
. "$(dirname "$0")/fault.sh"
fault_cluster
build_start
check "the build is on its way" wait_objects 25
kill -KILL "$w1_PID"
check "the coordinator sees that the worker is gone" wait_for 60 metric_is 'griddle_workers' 1
build_finish "one worker killed"
done_testing
