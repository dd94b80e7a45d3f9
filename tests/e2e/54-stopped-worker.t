#!/bin/sh
# SIGSTOP of a worker in the middle of a kernel build; it wakes up late, with results nobody waits for any more
. "$(dirname "$0")/fault.sh"
fault_cluster
build_start
check "the build is on its way" wait_objects 20
kill -STOP "$w1_PID"
n=$(n_objects)
check "the build goes on without it" wait_for 120 has_objects $((n + 20))
kill -CONT "$w1_PID"
build_finish "one worker stopped and woken"
check "the woken worker is back" wait_for 60 metric_is 'griddle_workers' 2
done_testing
