#!/bin/bash
# 15-demo.t - the demo on a part of the kernel, out of tree: a table, no object different, nothing left running
. "$(dirname "$0")/cluster.sh"
. "$TOP/tests/kernel.sh"
kernel_source || skip_all "no $KERNEL_TARBALL (package linux-source-6.1)"
unset GRIDDLE_SOCKET GRIDDLE_RUNTIME_DIR GRIDDLE_STATE_DIR MAKEFLAGS MFLAGS MAKELEVEL
BIN=$BIN DEMO_DIR=$T/demo TMPDIR=$T OUT_OF_TREE=1 TARGETS='kernel/time/ lib/zlib_inflate/' "$TOP/scripts/demo.sh" >"$T/out" 2>"$T/err"; rc=$?
check "the demo ends with 0" [ $rc = 0 ]; [ $rc = 0 ] || tail -n 30 "$T/err" | diag
diag <"$T/out"
check "it says what ran where" grep -qE '^translation units +[0-9]+ remote, 0 cached, [0-9]+ local' "$T/out"
check "a unit is not said to be local for what other calls are" [ "$(awk '/ local: / { n += $1 } END { print n + 0 }' "$T/out")" = "$(sed -n 's/^translation units.* \([0-9]*\) local$/\1/p' "$T/out")" ]
check "something ran remote" [ "$(sed -n 's/^translation units *\([0-9]*\) remote.*/\1/p' "$T/out")" -gt 5 ]
check "objects were compared" [ "$(sed -n 's/^objects compared *//p' "$T/out")" -gt 20 ]
check "none is different" grep -qE '^objects different +0$' "$T/out"
check "no process is left" [ -z "$(ps -eo args | grep -F "$T" | grep -v grep)" ]
check "no folder is left" [ -z "$(ls -d "$T"/griddle-demo.* 2>/dev/null)" ]

# the same, interrupted while griddle make runs
BIN=$BIN DEMO_DIR=$T/demo TMPDIR=$T OUT_OF_TREE=1 TARGETS='kernel/' setsid env --default-signal=INT "$TOP/scripts/demo.sh" >"$T/out" 2>"$T/err" & pid=$!
wait_for 120 sh -c "grep -q 'building with griddle' '$T/err' && grep -q '^  CC ' '$T/demo/griddle.log'"
kill -INT -- -$pid; wait $pid; rc=$?; check "Ctrl-C ends it with 8" [ $rc = 8 ]; [ $rc = 8 ] || tail -n 30 "$T/err" | diag
check "and no process is left" [ -z "$(ps -eo args | grep -F "$T" | grep -v grep)" ]; ps -eo pid,args | grep -F "$T" | grep -v grep | diag
check "and no folder" [ -z "$(ls -d "$T"/griddle-demo.* 2>/dev/null)" ]
done_testing
