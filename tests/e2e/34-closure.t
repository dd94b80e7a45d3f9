#!/bin/sh
# The include closure beside what gcc really read, on units of the real kernel (built here plainly, in an O= folder).
TOP=$(cd "$(dirname "$0")/../.." && pwd)
CHECK=${GRIDDLE_BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/kernel_closure_check
. "$TOP/tests/kernel.sh"
[ -x "$CHECK" ] || { echo "1..0 # SKIP $CHECK is not built"; exit 0; }
kernel_prepared || { echo "1..0 # SKIP no kernel source ($KERNEL_TARBALL)"; exit 0; }
T=$(mktemp -d "${TMPDIR:-/tmp}/griddle-e2e.XXXXXX")
trap 'rm -rf "$T"' EXIT
cp -a "$KPREP" "$T/o"
if make -s -C "$KSRC" O="$T/o" -j2 mm/ kernel/sched/ >"$T/build.log" 2>&1; then
	echo "ok 1 - the units are built"
else
	sed 's/^/# /' "$T/build.log" | tail -20
	echo "not ok 1 - the units are built"
fi
if "$CHECK" "$T/o" 2 >"$T/out" 2>&1; then
	echo "ok 2 - every file that gcc read is in the closure"
else
	echo "not ok 2 - every file that gcc read is in the closure"
fi
grep -vE '^# local' "$T/out" | tail -30 | sed 's/^/# /'
if awk '/^units/ { n = $2 + 0; for (i = 1; i < NF; i++) if ($i == "ratio") r = $(i + 1) + 0 } END { exit !(n >= 30 && r > 0 && r < 1.35) }' "$T/out"; then
	echo "ok 3 - the closure is little more than that"
else
	echo "not ok 3 - the closure is little more than that"
fi
echo "1..3"
