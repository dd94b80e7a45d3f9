#!/bin/bash
# bench/store - what a commit of the job store costs and how long it takes, by tasks a commit and by what is synced, beside
# SQLite in a plain loop on the same disk; then, of a store of CARE_TASKS, what check, backup, export, a job's removal and vacuum
# do to the loop and to commits meanwhile; then the first submits of a fresh coordinator.
# usage: bench/store.sh [commit] [care] [submit]    COMMITS=300 BATCHES="1 10 100 1000" CARE_TASKS=1000000 SUBMITS=5
# The database lies below BENCH_DIR (default build/bench-data). Wall times are that disk's; load is told with the machine.
. "$(dirname "$0")/lib.sh"
P=$BIN/../bench/store
what=${*:-commit care submit}
export TMPDIR=$WORK
facts
echo "disk: $(df --output=source,fstype "$WORK" | tail -n 1)"
case " $what " in *" commit "*)
	for b in ${BATCHES:-1 10 100 1000}; do
		n=${COMMITS:-300}
		"$P" commit -b "$b" -n "$n" && "$P" commit -b "$b" -n "$n" -p && "$P" commit -b "$b" -n "$n" -f || exit 1
		for mode in full normal off; do "$P" plain -b "$b" -n "$n" -s $mode || exit 1; done
	done
esac
case " $what " in *" care "*) "$P" care -n "${CARE_TASKS:-1000000}" check backup export rm vacuum check || exit 1 ;; esac
case " $what " in *" submit "*)
	RUN=$(mktemp -d) PID=
	trap '[ -n "$PID" ] && kill "$PID"; rm -rf "$RUN"' EXIT
	export XDG_CONFIG_HOME=$RUN HOME=$RUN GRIDDLE_RUNTIME_DIR=$RUN/rt GRIDDLE_STATE_DIR=$RUN/state
	echo '{"name":"big","command":["true"],"array":"0-999999"}' >"$RUN/big.json"
	cpu_us() { cat /proc/"$PID"/task/*/schedstat | awk '{ ns += $1 } END { print int(ns / 1000) }'; }
	faults() { awk '{ sub(/.*\) /, ""); print $8 }' "/proc/$PID/stat"; }
	printf '%-44s %8s %12s %10s %10s\n' "a million-task submit, life of coordinator" "wall ms" "coord. CPU us" "faults" "RSS MiB"
	for life in 1 2; do
		rm -f "$RUN/ready"
		"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http off --state "$RUN/coord" --ready-file "$RUN/ready" 2>"$RUN/log" & PID=$!
		until [ -s "$RUN/ready" ]; do sleep 0.05; done
		GRIDDLE_COORDINATOR=$(sed -n 's/.*"endpoint": *"\([^"]*\)".*/\1/p' "$RUN/ready"); export GRIDDLE_COORDINATOR
		for i in $(seq "${SUBMITS:-5}"); do
			c0=$(cpu_us) f0=$(faults) t0=$(now_ms)
			"$BIN/griddle" submit "$RUN/big.json" >"$RUN/job" || exit 1
			printf '%-44s %8d %12d %10d %10d\n' "life $life, submit $i" $(($(now_ms) - t0)) $(($(cpu_us) - c0)) \
				$(($(faults) - f0)) $(($(awk '/VmRSS/ { print $2 }' "/proc/$PID/status") / 1024))
			"$BIN/griddle" job cancel "$(cat "$RUN/job")" -q
		done
		kill "$PID"; wait "$PID"; PID=
	done
esac
exit 0
