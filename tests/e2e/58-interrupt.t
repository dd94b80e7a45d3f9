#!/bin/sh
# Ctrl-C in the middle of `griddle make`: everything is cancelled everywhere, nothing is left behind, and the next build is right
. "$(dirname "$0")/fault.sh"
fault_cluster
names() { (cd "$T/o" && find . -type f | sed -E 's/.*(\.[^.\/]*)$/\1/' | LC_ALL=C sort -u); }
GRIDDLE_COORDINATOR=$ENDPOINT setsid "$BIN/griddle" make --remote always -s -C "$KSRC" O="$T/o" -j4 $KTARGETS >"$T/build.log" 2>&1 &
BUILD_PID=$!; CL_PIDS="$CL_PIDS $BUILD_PID"
check "the build is on its way" wait_objects 20
kill -INT -- -"$BUILD_PID" 2>/dev/null || kill -INT "$BUILD_PID"
wait "$BUILD_PID"; rc=$?
check "griddle make ends with exit code 8 (got $rc)" [ $rc -eq 8 ]
check "no task is left anywhere" wait_for 60 metric_is 'griddle_tasks_running' 0
no_compiler() { ! grep -lsz "$T" /proc/[0-9]*/cmdline 2>/dev/null | while read -r f; do tr '\0' ' ' < "$f" 2>/dev/null; echo; done | grep -E 'cc1|/as |gcc |make '; }
check "no compiler and no make is left" wait_for 60 no_compiler
check "no temporary file is left in the tree" [ -z "$(find "$T/o" -name '*tmp-*' -o -name '*.griddle*')" ]
build_start
build_finish "built again after the interrupt"
done_testing
