#!/bin/bash
# whatever can be done to a cluster at random moments: kill -9 of each program, power cut, SIGSTOP, partition between network
# namespaces, a wall clock that jumps, disks that fail; tests/helper/faults.py says what must hold behind each
. "$(dirname "$0")/cluster.sh"
POINTS=${POINTS:-13} SEED=${SEED:-$RANDOM}
PRELOAD=${GRIDDLE_BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/fault.so
[ "${VARIANT:-release}" = release ] || skip_all "what is preloaded would come before the sanitizer's own"
[ -r "$PRELOAD" ] || skip_all "$PRELOAD is not built"
WORK=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "$T")/griddle-faults.XXXXXX"); chmod 755 "$WORK"
trap 'cl_cleanup; [ -n "${KEEP:-}" ] || rm -rf "$WORK"' EXIT
faults() {
	python3 "$TOP/tests/helper/faults.py" "$BIN" "$WORK/$1" "$PRELOAD" --seed "$SEED" "${@:2}" >"$T/told" 2>&1 &
	CL_PIDS="$CL_PIDS $!"; wait $!; rc=$?
	diag <"$T/told"
	return $rc
}

check "what ran through a coordinator's kill -9 was adopted, and executed once" faults adoption --scene adoption
check "an end that is not on disk is told to nobody, and as it was once it is" faults held --scene held-end
check "$POINTS faults of every kind: one outcome a task, nothing twice, no orphan, the queue goes on (SEED=$SEED)" \
	faults campaign --points "$POINTS" --chapter "${CHAPTER:-40}"
done_testing
