#!/bin/bash
# kill -9 of coordinator and worker at random moments of a job: every task has one outcome, and the waiting client never notices
. "$(dirname "$0")/cluster.sh"
ROUNDS=${ROUNDS:-6} SEED=${SEED:-$RANDOM} TASKS=${TASKS:-150}
RANDOM=$SEED
start_coordinator() { cl_coordinator --history "$T/history" --heartbeat 200ms --dead 1s --settle 2s; }
start_coordinator
cl_worker w1 --slots 4 --toolchains none
cl_worker w2 --slots 4 --toolchains none
export GRIDDLE_COORDINATOR=$ENDPOINT

seq "$TASKS" | timeout $((120 + ROUNDS * 5)) "$BIN/griddle" map -q -- sh -c 'sleep 0.1; echo out{}' >"$T/out" 2>"$T/err" &
MAP_PID=$!; CL_PIDS="$CL_PIDS $MAP_PID"
for i in $(seq "$ROUNDS"); do
	sleep 0.$((RANDOM % 9 + 1))
	if [ $((RANDOM % 3)) -gt 0 ]; then
		kill -KILL "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
		start_coordinator
	else
		eval "p=\$w$((i % 2 + 1))_PID"
		kill -KILL "$p"; wait "$p" 2>/dev/null
		cl_worker w$((i % 2 + 1)) --slots 4 --toolchains none
	fi
done
wait "$MAP_PID"; rc=$?
check "the waiting client ends with 0 after $ROUNDS kills (rc $rc, seed $SEED)" [ $rc = 0 ]
check "every task's output is there" [ "$(sort -u "$T/out" | wc -l)" = "$TASKS" ]
check "and once" [ "$(wc -l < "$T/out")" = "$TASKS" ]
check "the log says what became of it" grep -q " is done: $TASKS done" "$T/coord.log"
kill -TERM "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
python3 "$TOP/tests/helper/history.py" "$T/history" "$T/coord/jobs.db" > "$T/proof"; rc=$?
diag < "$T/proof"
check "the history proves one outcome a task" [ $rc = 0 ]

# a million tasks are one record
start_coordinator
kill -TERM "$w1_PID" "$w2_PID"
wait_for 10 sh -c "'$BIN/griddle' status -o json | grep -q '\"workers\": *0'"
echo '{"name":"big","command":["true"],"array":"0-999999"}' > "$T/big.json"
# judged by the coordinator's CPU, which no load beside it adds to: how long it takes is the disk's matter and the machine's
# (bench/store.sh submit). A record a task would be seconds of it; it is about a millisecond
cpu_us() { cat /proc/"$COORD_PID"/task/*/schedstat | awk '{ ns += $1 } END { print int(ns / 1000) }'; }
limit=200000; [ "${VARIANT:-release}" = release ] || limit=2000000
from=$(cpu_us); job=$("$BIN/griddle" submit "$T/big.json"); rc=$?; used=$(($(cpu_us) - from))
check "a million tasks are submitted (exit $rc) for $used us of the coordinator's CPU" [ $rc = 0 -a $used -gt 0 -a $used -lt $limit ]
rss=$(awk '/VmRSS/ { print $2 }' "/proc/$COORD_PID/status")
[ "${VARIANT:-release}" = release ] && check "and held in $rss KiB" [ "$rss" -lt 102400 ]
from=$(cpu_us); "$BIN/griddle" job cancel "$job" >"$T/cancel" 2>&1; rc=$?; used=$(($(cpu_us) - from))
check "cancelled (exit $rc) for $used us" [ $rc = 0 -a $used -gt 0 -a $used -lt $limit ]

# damage is said, and what can be read is saved
kill -KILL "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
dd if=/dev/urandom of="$T/coord/jobs.db" bs=4096 seek=2 count=2 conv=notrunc 2>/dev/null
rm -f "$T/coord/jobs.db-wal"
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http off --state "$T/coord" >"$T/damaged" 2>&1; rc=$?
check "a damaged store is no empty queue: exit $rc" [ $rc = 36 ]
check "and says what to do" grep -q -- --recover "$T/damaged"
"$BIN/griddle-coordinator" --state "$T/coord" --recover >"$T/recovered" 2>&1; rc=$?
diag < "$T/recovered"
check "what can be read is saved (exit $rc)" [ $rc = 0 ]
start_coordinator
check "and taken up" "$BIN/griddle" job ls
done_testing
