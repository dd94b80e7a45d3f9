#!/bin/sh
# bench/client_cpu.sh - client CPU per translation unit: the same C units of a configured and built kernel, compiled once
# more through each tool with make -j64; everything the client runs (make, sh, wrapper, agent or local daemon) is counted
# in one cgroup, the servers in another. "floor" replaces wrapper and compiler by /bin/true.
#   asked: griddle at most 3 ms a unit above the floor, the wrapper alone at most 0.6 ms
. "$(dirname "$0")/lib.sh"
J=${J:-64} PEERS=${PEERS:-"floor griddle griddle-warm distcc icecc"} UNITS=${UNITS:-}
RUN=$(mktemp -d); PIDS=
cleanup() {
	[ -n "${UP:-}" ] && "$BIN/griddle" down >/dev/null 2>&1
	for p in $PIDS; do kill "$p" 2>/dev/null; done
	wait 2>/dev/null; cg_end; rm -rf "$RUN"
}
trap cleanup EXIT; trap 'exit 8' INT TERM
chmod 755 "$RUN"
kernel_tree linux
[ -f "$K/arch/x86/boot/bzImage" ] || { make -s -C "$K" tinyconfig >/dev/null && make -s -C "$K" -j4 all >/dev/null 2>&1; }
N=$(tu_makefile "$K" "$RUN/tu.mk")
if [ -n "$UNITS" ] && [ "$UNITS" -lt "$N" ]; then N=$UNITS; sed -i "1s/.*/all: $(seq -s' ' -f 't%.0f' 1 "$N")/" "$RUN/tu.mk"; fi
facts; echo "units: $N, make -j$J"
measure() {                     # measure LABEL WRAP
	c0=$(cg_ms client); d0=$(cg_ms daemons); t=$(now_ms)
	cg_run client make -s -k -j"$J" -f "$RUN/tu.mk" WRAP="$2" >"$RUN/$1.log" 2>&1 || echo "$1: some units failed: $(tail -n 1 "$RUN/$1.log")"
	c=$(($(cg_ms client) - c0)); d=$(($(cg_ms daemons) - d0)); w=$(($(now_ms) - t))
	[ "$1" = floor ] && FLOOR=$c
	awk -v l="$1" -v n="$N" -v c="$c" -v d="$d" -v w="$w" -v f="${FLOOR:-0}" 'BEGIN {
		printf "%-14s client %7.2f ms/unit  above floor %7.2f  servers %7.2f ms/unit  wall %6.1f s\n", l, c / n, (c - f) / n, d / n, w / 1e3 }'
}
FLOOR=0
cg_new client; cg_new daemons
for m in $PEERS; do
	case $m in
	floor) measure floor /bin/true ;;
	griddle|griddle-warm)
		if [ -z "${UP:-}" ]; then
			export GRIDDLE_RUNTIME_DIR=$RUN/rt GRIDDLE_STATE_DIR=$RUN/state; mkdir -p "$RUN/rt"; chmod 700 "$RUN/rt"
			cg_run daemons "$BIN/griddle" up --workers 2 --slots 2 >/dev/null || exit 1; UP=1
			CLUSTER=$(sed -n 's/.*"endpoint": *"\([^"]*\)".*/\1/p' "$RUN/rt/cluster.json" | head -n 1)
			export GRIDDLE_SOCKET=$RUN/client.sock      # not the one of `griddle up`, which counts as a server
			spawn_in client "$BIN/griddle" agent --coordinator "$CLUSTER" --socket "$GRIDDLE_SOCKET" --state "$RUN/agent" --remote always --no-cache
			i=0; while [ ! -S "$GRIDDLE_SOCKET" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
			sleep 1
		fi
		measure "$m" "$BIN/griddle-cc" ;;
	distcc)
		command -v distccd >/dev/null || { echo "distcc: not installed, skipped"; continue; }
		: > "$RUN/distccd.log"; chmod 666 "$RUN/distccd.log"      # distccd gives up root before it opens it
		for ip in 127.0.0.1 127.0.0.2; do
			spawn_in daemons distccd --no-detach --daemon --listen $ip --port 13632 --allow 127.0.0.0/8 --jobs 2 --enable-tcp-insecure --log-file "$RUN/distccd.log"
		done
		export DISTCC_DIR=$RUN/dcc DISTCC_HOSTS="127.0.0.1:13632/32 127.0.0.2:13632/32"; mkdir -p "$DISTCC_DIR"; sleep 1
		measure distcc distcc ;;
	icecc)
		command -v iceccd >/dev/null || { echo "icecc: not installed, skipped"; continue; }
		export ICECC_TESTS=1; mkdir -p "$RUN"/ice0 "$RUN"/ice1 "$RUN"/ice2 "$RUN/sock"; chown icecc "$RUN"/ice? "$RUN/sock"
		spawn_in daemons icecc-scheduler -p 18765 -n griddlebench; sleep 1
		spawn_in client env ICECC_TEST_SOCKET=$RUN/sock/s0 iceccd -m 0 --no-remote -n griddlebench -s 127.0.0.1:18765 -N node0 -b "$RUN/ice0" -p 18800
		for i in 1 2; do spawn_in daemons env ICECC_TEST_SOCKET=$RUN/sock/s$i iceccd -m 3 -n griddlebench -s 127.0.0.1:18765 -N node$i -b "$RUN/ice$i" -p 1880$i; done
		sleep 7; export ICECC_TEST_SOCKET=$RUN/sock/s0 ICECC_TEST_REMOTEBUILD=1
		measure icecc icecc ;;
	esac
done
