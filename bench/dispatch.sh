#!/bin/bash
# bench/dispatch - what it costs to have a command run: /bin/true by a bare posix_spawn loop, xargs, GNU parallel, gearmand with a
# worker that executes, Slurm and griddle; commands that do nothing by gearmand and griddle; and how long one command takes from
# the start of its submitter to its own start. One run, one after the other; CPU of all processes of a row by cgroup.
# usage: bench/dispatch.sh [turns]     TASKS=3000 NULLS=60000 SINGLES=50 ROUNDS=5; SLURM_TASKS=300 SLURM_SINGLES=15
# The machine's speed wanders within a run, so griddle's ratio to the bare loop is that of ROUNDS turns of both, one after the
# other, and its median is what counts; "turns" does no more than that.
# It makes a network namespace of its own for the peers' ports, which needs root. What is not installed is skipped with a reason
# (scripts/deps.sh peers).
if [ -z "${DISPATCH_IN_NS:-}" ]; then
	DISPATCH_IN_NS=1 exec unshare -n bash "$0" "$@"
fi
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/bench/lib.sh"
. "$TOP/bench/peers/slurm.sh"
set +u
ip link set lo up || exit 36
ip addr add 10.99.0.1/24 dev lo
ONLY=${1:-} ROUNDS=${ROUNDS:-5}
TASKS=${TASKS:-3000} NULLS=${NULLS:-60000} SINGLES=${SINGLES:-50} SLURM_TASKS=${SLURM_TASKS:-300} SLURM_SINGLES=${SLURM_SINGLES:-15}
CORES=$(nproc)
RUN=$(mktemp -d "${TMPDIR:-/tmp}/griddle-dispatch.XXXXXX")
chmod 755 "$RUN"
PIDS=
end_all() {
	for p in $(printf '%s\n' $PIDS | tac); do kill "$p" 2>/dev/null; done
	wait $PIDS 2>/dev/null
	PIDS=
}
finish() { "$BIN/griddle" down >/dev/null 2>&1; end_all; cg_end; rm -rf "$RUN"; }
export HOME=$RUN GRIDDLE_RUNTIME_DIR=$RUN/rt GRIDDLE_STATE_DIR=$RUN/state GRIDDLE_CONFIG_DIR=$RUN/config
trap finish EXIT
trap 'exit 130' INT TERM
has() { command -v "$1" >/dev/null; }
skip() { printf '%-44s skipped: %s\n' "$1" "$2"; }
cg_us() {
	if [ -f "$CG/griddle-bench-$$-$1/cpuacct.usage" ]; then echo $(($(cat "$CG/griddle-bench-$$-$1/cpuacct.usage") / 1000))
	else awk '/^usage_usec/ { print $2 }' "$CG/griddle-bench-$$-$1/cpu.stat"; fi
}
now_us() { local t=$EPOCHREALTIME; echo "${t/[.,]/}"; }
wait_port() { for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0; sleep 0.1; done; return 1; }

# row NAME GROUP TASKS COMMAND...: runs it in GROUP; BASE is the first row's CPU a task
BASE=
row() {
	local name=$1 group=$2 n=$3 c0 t0 c t; shift 3
	c0=$(cg_us "$group") t0=$(now_us)
	cg_run "$group" timeout 300 "$@" >"$RUN/out" 2>&1 || { skip "$name" "$(tail -n 1 "$RUN/out")"; return 1; }
	t=$(($(now_us) - t0)) c=$(($(cg_us "$group") - c0))
	BASE=${BASE:-$(awk -v c=$c -v n="$n" 'BEGIN { print c / n }')}
	awk -v name="$name" -v n="$n" -v t=$t -v c=$c -v base="$BASE" 'BEGIN {
		printf "%-44s %8d %10.0f %12.1f %8s\n", name, n, n * 1e6 / t, c / n, (base > 0 ? sprintf("%.2fx", c / n / base) : "") }'
}
# cost GROUP TASKS COMMAND...: its CPU in us a task
cost() {
	local group=$1 n=$2 c0; shift 2
	c0=$(cg_us "$group")
	cg_run "$group" timeout 300 "$@" >"$RUN/out" 2>&1 || { tail -n 1 "$RUN/out" >&2; return 1; }
	awk -v c=$(($(cg_us "$group") - c0)) -v n="$n" 'BEGIN { print c / n }'
}
# turns: bare loop and griddle in turns
turns() {
	local i bare griddle
	: >"$RUN/turns"
	for i in $(seq "$ROUNDS"); do
		bare=$(cost bare "$TASKS" "$BIN/../bench/spawn" "$TASKS") && griddle=$(cost griddle "$TASKS" "$BIN/griddle" submit "$RUN/true.json" --wait) || return 1
		echo "$bare $griddle $(awk -v b="$bare" -v g="$griddle" 'BEGIN { print g / b }')" >>"$RUN/turns"
	done
	awk -v b="$(cut -d' ' -f1 "$RUN/turns" | median)" -v g="$(cut -d' ' -f2 "$RUN/turns" | median)" -v r="$(cut -d' ' -f3 "$RUN/turns" | median)" -v n="$TASKS" \
		'{ all = all sprintf(" %.2f", $3) } END { printf "%-44s %8d %10s %12.1f %8s\n%-44s %8d %10s %12.1f   turns:%s\n", "griddle, median of " NR " turns", n, "", g, sprintf("%.2fx", r), "bare loop in these turns", n, "", b, all }' "$RUN/turns"
}
griddle_up() {
	cg_new griddle
	cg_run griddle "$BIN/griddle" up --workers 2 >"$RUN/up" 2>&1 || { cat "$RUN/up"; exit 1; }
	"$BIN/griddle" submit "$RUN/warm.json" --wait >/dev/null 2>&1      # sandboxes stand
}
job() { printf '{ "name": "bench", "array": { "range": [1, %d] }, "command": ["%s"], "resources": { "cpus": 1 } }\n' "$2" "$1" >"$RUN/$3.json"; }
job /bin/true "$TASKS" true; job griddle:null "$NULLS" null; job /bin/true 20 warm
# single NAME N COMMAND...: each prints when it started, in ns since the epoch; from our start of the submitter to that
single() {
	local name=$1 n=$2 i t0 at; shift 2
	: >"$RUN/lat"
	for i in $(seq "$n"); do
		t0=$(now_us)
		at=$("$@" 2>"$RUN/err" </dev/null) && [ "$at" -gt 0 ] || { skip "$name" "$(tail -n 1 "$RUN/err")"; return 1; }
		echo $((at / 1000 - t0)) >>"$RUN/lat"
	done
	sort -n "$RUN/lat" | awk -v name="$name" '{ a[NR] = $1 } END {
		printf "%-44s %8d %10.1f %12.1f\n", name, NR, a[int((NR + 1) / 2)] / 1000, a[int(NR * 0.99 + 0.999)] / 1000 }'
}

facts
if [ "$ONLY" = turns ]; then
	cg_new bare; griddle_up
	turns
	exit
fi
printf '%-44s %8s %10s %12s %8s\n' "/bin/true" tasks tasks/s "CPU us/task" "of bare"
cg_new bare; row "bare posix_spawn loop, one process" bare "$TASKS" "$BIN/../bench/spawn" "$TASKS"
cg_new xargs; row "xargs -n1 -P$CORES" xargs "$TASKS" sh -c "seq $TASKS | xargs -n1 -P$CORES /bin/true"
cg_new parallel
if has parallel && parallel --version 2>&1 | grep -q GNU; then
	row "GNU parallel -j$CORES" parallel $((TASKS / 10)) sh -c "seq $((TASKS / 10)) | parallel --will-cite -j$CORES /bin/true"
else
	skip "GNU parallel" "not installed (parallel)"
fi

gearman_up() {                  # gearman_up GROUP MODE WORKERS
	has gearmand || { skip "gearmand" "not installed (gearman-job-server)"; return 1; }
	gcc -O2 -o "$RUN/gearman" "$TOP/bench/peers/gearman.c" -lgearman 2>"$RUN/err" || { skip gearmand "its driver does not build (libgearman-dev)"; return 1; }
	spawn_in "$1" gearmand -p 14730 -L 127.0.0.1 -t 4 -l "$RUN/gearmand.log" -P "$RUN/gearmand.pid"
	wait_port 14730 || { skip gearmand "does not listen"; return 1; }
	for _ in $(seq "$3"); do spawn_in "$1" "$RUN/gearman" 14730 "$2"; done
	sleep 0.5
}
cg_new gexec
gearman_up gexec exec "$CORES" && row "gearmand, $CORES workers that exec" gexec "$TASKS" "$RUN/gearman" 14730 client "$TASKS" 64
end_all
cg_new slurm
if has slurmctld && has slurmd && has munged; then
	slurm_up "$RUN/slurm" slurm
	printf '#!/bin/sh\nexec /bin/true\n' >"$RUN/slurm/job.sh"
	row "Slurm, 8 nodes x 64, an array" slurm "$SLURM_TASKS" sbatch -W -Q --array=1-"$SLURM_TASKS" -o /dev/null -e /dev/null "$RUN/slurm/job.sh"
	single "Slurm, srun" "$SLURM_SINGLES" srun -Q -n1 date +%s%N >"$RUN/slurm.single"
	end_all
else
	skip Slurm "not installed (slurmctld slurmd slurm-client munge)"
fi
griddle_up
row "griddle, 2 workers, sandboxed, durable" griddle "$TASKS" "$BIN/griddle" submit "$RUN/true.json" --wait
turns

BASE=0
printf '\n%-44s %8s %10s %12s\n' "commands that do nothing" tasks tasks/s "CPU us/task"
cg_new gnull
gearman_up gnull worker 2 && row "gearmand, 2 workers, kept in memory" gnull $((NULLS / 3)) "$RUN/gearman" 14730 client $((NULLS / 3)) 64
end_all
row "griddle, 2 workers, each outcome on disk" griddle "$NULLS" "$BIN/griddle" submit "$RUN/null.json" --wait

printf '\n%-44s %8s %10s %12s\n' "from submitter's start to the command's" commands "p50 ms" "p99 ms"
single "nothing between: date itself" "$SINGLES" date +%s%N
single "griddle run" "$SINGLES" "$BIN/griddle" run -- date +%s%N
has parallel && single "GNU parallel" "$SINGLES" sh -c 'echo +%s%N | parallel --will-cite date'
if has gearman && has gearmand; then
	cg_new gone
	spawn_in gone gearmand -p 14731 -L 127.0.0.1 -l "$RUN/gearmand.log" -P "$RUN/gearmand.pid"
	wait_port 14731 && spawn_in gone gearman -h 127.0.0.1 -p 14731 -w -f when date +%s%N
	single "gearman's own client and worker" "$SINGLES" gearman -h 127.0.0.1 -p 14731 -f when x
	end_all
else
	skip gearman "not installed (gearman-tools)"
fi
[ -s "$RUN/slurm.single" ] && cat "$RUN/slurm.single"
exit 0
