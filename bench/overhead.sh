#!/bin/sh
# bench/overhead.sh - CPU of the whole kernel build: plain make, through griddle, and through distcc and icecc when they
# are installed; two servers on the same cores. Ratios in one run, interleaved; RUNS (default 1) rounds.
#   asked: griddle total <= 1.08 x plain's CPU; client CPU <= 30 s (distcc 57, icecc 46; 23.4 s is no C compile at all)
. "$(dirname "$0")/lib.sh"
RUNS=${RUNS:-1} J=${J:-4} PEERS=${PEERS:-"plain griddle distcc icecc"}
RUN=$(mktemp -d); PIDS=
cleanup() {
	[ -n "${UP:-}" ] && "$BIN/griddle" down >/dev/null 2>&1
	for p in $PIDS; do kill "$p" 2>/dev/null; done
	wait 2>/dev/null; cg_end; rm -rf "$RUN"
}
trap cleanup EXIT; trap 'exit 8' INT TERM
kernel_tree linux; make -s -C "$K" mrproper; make -s -C "$K" tinyconfig >/dev/null; cp "$K/.config" "$WORK/tiny.config"
facts
start_griddle() {
	export GRIDDLE_RUNTIME_DIR=$RUN/rt GRIDDLE_STATE_DIR=$RUN/state; mkdir -p "$RUN/rt"; chmod 700 "$RUN/rt"
	cg_run daemons "$BIN/griddle" up --workers 2 --slots 2 --no-agent >/dev/null || exit 1; UP=1
}
stop_all() {
	[ -n "${UP:-}" ] && "$BIN/griddle" down >/dev/null 2>&1; UP=
	for p in $PIDS; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; PIDS=
}
one() {                         # one MODE: prints "MODE wall_ms client_ms daemons_ms differing"
	cp "$WORK/tiny.config" "$RUN/c"; make -s -C "$K" mrproper; cp "$RUN/c" "$K/.config"
	cg_new client; cg_new daemons; CCV=gcc; DRIVER=make; SERVE=
	case $1 in
	griddle) start_griddle; DRIVER="$BIN/griddle make --remote always --no-cache" ;;
	distcc)
		command -v distccd >/dev/null || return 1
		: > "$RUN/distccd.log"; chmod 666 "$RUN/distccd.log"      # distccd gives up root before it opens it
		for ip in 127.0.0.1 127.0.0.2; do
			spawn_in daemons distccd --no-detach --daemon --listen $ip --port 13632 --allow 127.0.0.0/8 --jobs 2 --enable-tcp-insecure --log-file "$RUN/distccd.log"
		done
		export DISTCC_DIR=$RUN/dcc DISTCC_HOSTS="127.0.0.1:13632/3 127.0.0.2:13632/3"; mkdir -p "$DISTCC_DIR"; sleep 1; CCV="distcc gcc" ;;
	icecc)
		command -v iceccd >/dev/null || return 1
		export ICECC_TESTS=1; mkdir -p "$RUN"/ice0 "$RUN"/ice1 "$RUN"/ice2 "$RUN/sock"; chmod 755 "$RUN"; chown icecc "$RUN"/ice? "$RUN/sock"
		spawn_in daemons icecc-scheduler -p 18765 -n griddlebench; sleep 1
		spawn_in client env ICECC_TEST_SOCKET=$RUN/sock/s0 iceccd -m 0 --no-remote -n griddlebench -s 127.0.0.1:18765 -N node0 -b "$RUN/ice0" -p 18800
		for i in 1 2; do spawn_in daemons env ICECC_TEST_SOCKET=$RUN/sock/s$i iceccd -m 3 -n griddlebench -s 127.0.0.1:18765 -N node$i -b "$RUN/ice$i" -p 1880$i; done
		sleep 7; export ICECC_TEST_SOCKET=$RUN/sock/s0 ICECC_TEST_REMOTEBUILD=1; CCV="icecc gcc" ;;
	esac
	t=$(now_ms); c0=$(cg_ms client); d0=$(cg_ms daemons)
	if [ "$1" = griddle ]; then cg_run client $DRIVER -s -C "$K" -j"$J" all >"$RUN/$1.log" 2>&1; else
		cg_run client make -s -C "$K" -j"$J" CC="$CCV" all >"$RUN/$1.log" 2>&1; fi || { echo "bench: $1 failed:" >&2; tail -n 5 "$RUN/$1.log" >&2; }
	w=$(($(now_ms) - t)); c=$(($(cg_ms client) - c0)); d=$(($(cg_ms daemons) - d0))
	stop_all
	hash_objects "$K" > "$RUN/$1.sha"; diffs=0
	[ -f "$RUN/plain.sha" ] && diffs=$(diff "$RUN/plain.sha" "$RUN/$1.sha" | grep -c '^>')
	echo "$1 $w $c $d $diffs $(wc -l < "$RUN/$1.sha")"
	cg_end
}
printf '%-8s %8s %10s %10s %10s %8s  %s\n' tool wall_s client_s servers_s total_s ratio 'objects differing'
r=0
while [ $r -lt "$RUNS" ]; do
	base=
	for m in $PEERS; do
		line=$(one "$m") || { echo "$m: not installed, skipped"; stop_all; cg_end; continue; }
		set -- $line; tot=$(($3 + $4)); [ "$m" = plain ] && base=$tot
		awk -v m="$1" -v w="$2" -v c="$3" -v d="$4" -v b="${base:-0}" -v x="$5" -v n="$6" 'BEGIN { t = c + d
			printf "%-8s %8.1f %10.1f %10.1f %10.1f %8s  %d of %d\n", m, w / 1e3, c / 1e3, d / 1e3, t / 1e3, b ? sprintf("%.3f", t / b) : "-", x, n }'
	done
	r=$((r + 1))
done
