#!/bin/bash
# 17-explain.t - why tasks wait and where they went, from a real cluster; its decision log replays to the same decisions
. "$(dirname "$0")/cluster.sh"

cl_coordinator --place-log "$T/place.log"
cl_worker w1
cl_agent
mkdir "$T/src"
for i in 1 2 3 4 5 6; do printf 'int f%d(int x) { return x * %d; }\n' $i $i > "$T/src/f$i.c"; done
echo 'int slow;' > "$T/src/slow.h"
cd "$T/src" || exit 1

griddle() { _c=$1; shift; "$BIN/griddle" "$_c" --coordinator "$ENDPOINT" "$@"; }
# a stopped worker holds what it has, so that there is something to ask about
kill -STOP "$w1_PID"
pids=
for i in 1 2 3 4 5 6; do "$BIN/griddle-cc" gcc -O2 -c f$i.c -o f$i.o & pids="$pids $!"; done
has_tasks() { [ "$(griddle explain -o name | wc -l)" -ge 6 ]; }
check "the six compiles are listed" wait_for 20 has_tasks
griddle explain > "$T/list"
check "those with the worker name it" grep -q 'running.* w1' "$T/list"
check "one that waits says what for" grep -q 'queued.*no worker that could run it has room' "$T/list"
set -- $(griddle explain -o name | head -n 1)
griddle explain "$1" "$2" > "$T/one"
check "a waiting task: the reason" grep -q '^waits because no worker that could run it has room' "$T/one"
check "a waiting task: each worker's answer" grep -qE '^w1 +holds enough tasks: [0-9]+ of [0-9]+' "$T/one"
griddle explain -o json > "$T/json"
check "as JSON it is JSON" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); assert d["n"]==6 and len(d["tasks"])==6' "$T/json"
griddle explain nonsense 2>"$T/err"; check "one word is bad usage" [ $? = 2 ]
griddle explain 0000000000000001 5 2>"$T/err"; rc=$?
check "an unknown task is said to be unknown" grep -q 'no task 5 in session' "$T/err"
check "  and fails" [ $rc != 0 ]
kill -CONT "$w1_PID"
for p in $pids; do wait "$p" || not_ok "a compile ended with $?"; done
check "every object is there" [ "$(ls f?.o | wc -l)" = 6 ]

kill -TERM "$COORD_PID"; wait "$COORD_PID"
"$BIN/griddle" place replay "$T/place.log" 2>"$T/err"; check "the decision log replays" [ $? = 0 ]
check "  to the same decisions" grep -q 'every decision came out the same' "$T/err"
"$BIN/griddle" place --decisions replay "$T/place.log" 2>/dev/null > "$T/d1"
"$BIN/griddle" place --decisions replay "$T/place.log" 2>/dev/null > "$T/d2"
check "  byte for byte, twice" cmp -s "$T/d1" "$T/d2"
check "  and shows at least six" [ "$(grep -c ' run task ' "$T/d1")" -ge 6 ]
printf 'x' | dd of="$T/place.log" bs=1 seek=0 conv=notrunc 2>/dev/null
"$BIN/griddle" place replay "$T/place.log" 2>"$T/err"; rc=$?
check "a damaged log is refused with the place" grep -q 'at byte 0 of' "$T/err"
check "  and an exit code" [ $rc != 0 ]
"$BIN/griddle" place replay "$T/nowhere" 2>"$T/err"; check "a log that is not there is said so" grep -q 'No such file' "$T/err"
done_testing
