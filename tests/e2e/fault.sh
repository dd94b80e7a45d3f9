# tests/e2e/fault.sh - sourced by the 5x scripts: a kernel build through griddle that something happens to, and the
# question whether its bytes are still a plain build's. Each script stands alone.
. "$(dirname "$0")/cluster.sh"
. "$TOP/tests/kernel.sh"

fault_tree() {                  # a fresh prepared output folder in $T/o
	kernel_prepared || skip_all "no kernel source: install linux-source-6.1 (make deps)"
	rm -rf "$T/o"; cp -a "$KPREP" "$T/o"
}
fault_cluster() {               # coordinator, two workers, agent; extra arguments go to the workers
	fault_tree
	cl_coordinator --heartbeat 200ms --dead 1500ms
	cl_worker w1 "$@"; cl_worker w2 "$@"
	cl_agent --reconnect-wait 8s
}
build_start() {                 # sets BUILD_PID
	make -s -C "$KSRC" O="$T/o" -j4 CC="$BIN/griddle-cc gcc" $KTARGETS >"$T/build.log" 2>&1 &
	BUILD_PID=$!
}
n_objects() { find "$T/o/kernel" "$T/o/mm" -name '*.o' 2>/dev/null | wc -l; }
has_objects() { [ "$(n_objects)" -ge "$1" ]; }
wait_objects() {                # until the build has made @1 objects; the build must still be running then
	wait_for 120 has_objects "$1" && kill -0 "$BUILD_PID" 2>/dev/null
}
build_finish() {                # TAP: the build ended well and its bytes are the plain build's
	wait "$BUILD_PID"; _rc=$?
	check "$1: the build ends with exit code 0" [ $_rc -eq 0 ]
	[ $_rc -eq 0 ] || tail -n 20 "$T/build.log" | diag
	kernel_hashes "$T/o" > "$T/got.sha"
	check "$1: all $(wc -l < "$KPLAIN") objects are the plain build's" cmp -s "$KPLAIN" "$T/got.sha"
	diff "$KPLAIN" "$T/got.sha" | head -n 10 | diag
}
units() { "$BIN/griddle" agent --status --socket "$GRIDDLE_SOCKET" 2>/dev/null | sed -n 's/.*"'"$1"'": *\([0-9]*\).*/\1/p' | head -n 1; }
