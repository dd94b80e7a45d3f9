#!/bin/sh
# 70-optimum.t - makespans of lib/place beside cbc's exact optimum, on a few cases (bench/placement.sh optimum has 1000)
. "$(dirname "$0")/cluster.sh"
if ! command -v cbc >/dev/null; then
	echo "1..0 # SKIP cbc is not installed (coinor-cbc)"
	exit 0
fi
# a makespan below the optimum ends it too: then the simulation or the model is wrong
"$BUILD_DIR/bench/optimum" -n 5 -s 10 -g 25 >"$T/out" 2>&1
check "within a quarter of the optimum in the mean, and never below it" [ $? = 0 ]
diag <"$T/out"
done_testing
