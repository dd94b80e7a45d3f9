#!/bin/sh
# a worker whose disk is full: its tasks go elsewhere, nothing else happens
. "$(dirname "$0")/fault.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root to mount a small tmpfs"
fault_tree
mkdir -p "$T/w1"; mount -t tmpfs -o size=5m,mode=755 tmpfs "$T/w1" 2>/dev/null || skip_all "cannot mount a tmpfs here"
T_MOUNT=$T/w1
cl_coordinator; cl_worker w1; cl_worker w2; cl_agent
build_start
build_finish "one worker's disk full"
check "the full worker still lives" kill -0 "$w1_PID"
done_testing
