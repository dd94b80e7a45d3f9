#!/bin/bash
# bench/peers - what others cost on the same machine: icecc-scheduler's placement beside lib/place's on one stream of
# requests, and tasks that do nothing through gearmand, dask and Slurm. What is not installed is skipped with a reason.
# usage: bench/peers.sh [icecc|gearman|dask|slurm|griddle]...     TASKS=20000
# Everything runs in a network namespace of its own (icecc broadcasts otherwise), which needs root. CPU is counted by
# cgroup for all processes of a row. A row for griddle comes from every bench/peers/griddle*.sh that is there: it prints
# "name tasks seconds cpu_us_per_task".
if [ -z "${PEERS_IN_NS:-}" ]; then
	PEERS_IN_NS=1 exec unshare -n bash "$0" "$@"
fi
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/bench/lib.sh"
set +u
ip link set lo up || exit 36
ip addr add 10.99.0.1/24 dev lo
ulimit -n 20000
. "$TOP/bench/peers/slurm.sh"
HERE=$TOP/bench/peers PLACE=${BIN:-$TOP/build/release/bin}/../bench/peers_place
RUN=$(mktemp -d "${TMPDIR:-/tmp}/griddle-peers.XXXXXX")
TASKS=${TASKS:-20000}
PIDS=
end_all() {
	for p in $(printf '%s\n' $PIDS | tac); do kill "$p" 2>/dev/null; done
	wait $PIDS 2>/dev/null
	PIDS=
}
trap 'end_all; cg_end; rm -rf "$RUN"' EXIT
skip() { printf '%-44s skipped: %s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null; }
wait_port() { for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0; sleep 0.1; done; return 1; }
row() { awk -v name="$1" -v n="$2" -v ms="$3" -v cpu="$4" 'BEGIN { printf "%-44s %9d %9.0f %14.1f\n", name, n, n * 1000 / ms, cpu * 1000 / n }'; }
head_row() { printf '%-44s %9s %9s %14s\n' "tasks that do nothing" tasks tasks/s "CPU us a task"; }

icecc() {
	local libs="-licecc -lcap-ng -llzo2 -lzstd -larchive -ldl -lpthread" n try ice mine window
	has icecc-scheduler || { skip icecc "icecc-scheduler is not installed (icecc)"; return; }
	has g++ && g++ -O2 -w -o "$RUN/icecc" "$HERE/icecc.cc" $libs 2>"$RUN/log" ||
		{ skip icecc "its driver does not build (libicecc-dev libcap-ng-dev liblzo2-dev libzstd-dev libarchive-dev g++)"; return; }
	[ -x "$PLACE" ] || { skip icecc "$PLACE is not built"; return; }
	printf '%-12s %16s %16s %12s %9s\n' "placement" "icecc CPU us" "decisions" "lib/place us" ratio
	for n in 1 10 100 1000; do
		window=$((n * 8 < 400 ? n * 8 : 400)) ice=
		for try in 1 2 3; do
			icecc-scheduler -p 18765 -n gbench -l "$RUN/ice.log" & PIDS=$!
			sleep 1.5     # a connection to try it would be taken for a daemon's
			ice=$(timeout 240 "$RUN/icecc" 18765 $PIDS $n 16 $window 8 2>"$RUN/log" | tail -n 1 | sed 's/.*connected[^0-9]*//')
			end_all
			[ -n "$ice" ] && break
		done
		[ -n "$ice" ] || { skip "icecc, $n hosts" "$(tail -n 1 "$RUN/log")"; continue; }
		mine=$("$PLACE" $n 16 $window 400000)
		echo "$ice $mine" | awk '{ printf "%5d hosts  %16.1f %16d %12.3f %8.0fx\n", $1, $3, $2, $7, $3 / $7 }'
	done
}

gearman() {
	has gearmand || { skip gearmand "not installed (gearman-job-server)"; return; }
	gcc -O2 -o "$RUN/gearman" "$HERE/gearman.c" -lgearman 2>"$RUN/log" || { skip gearmand "its driver does not build (libgearman-dev)"; return; }
	for n in 1 8; do
		cg_new "gear$n"
		spawn_in "gear$n" gearmand -p 14730 -L 127.0.0.1 -t 4 -l "$RUN/gearmand.log" -P "$RUN/gearmand.pid"
		wait_port 14730 || { skip gearmand "does not listen"; end_all; return; }
		for _ in $(seq $n); do spawn_in "gear$n" "$RUN/gearman" 14730 worker; done
		sleep 0.5
		c0=$(cg_ms "gear$n") t0=$(now_ms)
		cg_run "gear$n" timeout 120 "$RUN/gearman" 14730 client "$TASKS" 64 || { skip gearmand "its client failed"; end_all; return; }
		row "gearmand, $n workers that do not exec" "$TASKS" $(($(now_ms) - t0)) $(($(cg_ms "gear$n") - c0))
		end_all
	done
}

dask() {
	has dask-scheduler && /usr/bin/python3 -c 'import distributed' 2>/dev/null || { skip dask "not installed (python3-distributed)"; return; }
	cg_new dask
	spawn_in dask dask-scheduler --host 127.0.0.1 --port 18786 --no-dashboard
	wait_port 18786 || { skip dask "its scheduler does not listen"; end_all; return; }
	c0=$(cg_ms dask)
	out=$(cg_run dask timeout 200 /usr/bin/python3 "$HERE/dask_noop.py" 18786 $((TASKS / 4)) 8 2>"$RUN/log" | tail -n 1)
	[ -n "$out" ] || { skip dask "$(tail -n 1 "$RUN/log")"; end_all; return; }
	# its start is in the CPU, which the tasks outweigh
	row "dask, 8 workers in one process" "${out% *}" "$(echo "$out" | awk '{ print int($2 * 1000) }')" $(($(cg_ms dask) - c0))
	end_all
}

slurm() {
	has slurmctld && has slurmd && has munged || { skip Slurm "not installed (slurmctld slurmd slurm-client munge)"; return; }
	local n=$((TASKS / 10)) d=$RUN/slurm
	cg_new slurm
	slurm_up "$d" slurm
	printf '#!/bin/sh\n:\n' >"$d/job.sh"
	c0=$(cg_ms slurm) t0=$(now_ms)
	if cg_run slurm timeout 300 sbatch -W -Q --array=1-$n -o /dev/null -e /dev/null "$d/job.sh" >"$RUN/log" 2>&1; then
		row "Slurm, 8 nodes x 64, an array" $n $(($(now_ms) - t0)) $(($(cg_ms slurm) - c0))
	else
		skip Slurm "$(tail -n 1 "$RUN/log" "$d/ctld.log" | tail -n 1)"
	fi
	end_all
}

griddle() {
	local s found=
	for s in "$HERE"/griddle*.sh; do
		[ -x "$s" ] || continue
		found=1
		TASKS=$TASKS "$s" | awk '{ printf "%-44s %9d %9.0f %14.1f\n", $1, $2, $2 / $3, $4 }'
	done
	[ -n "$found" ] || skip griddle "no bench/peers/griddle*.sh"
}

[ $# -gt 0 ] || set -- icecc griddle gearman dask slurm
facts
for what; do
	case $what in
	icecc) icecc ;;
	gearman | dask | slurm | griddle)
		[ -n "$headed" ] || { head_row; headed=1; }
		$what ;;
	*) echo "usage: bench/peers.sh [icecc|gearman|dask|slurm|griddle]..." >&2; exit 2 ;;
	esac
done
