#!/bin/bash
# 75-log-http.t - a task's output over HTTP with follow=true: while it is written, until the task is over, each byte once
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
cl_coordinator
export GRIDDLE_COORDINATOR=$ENDPOINT
cd "$T" || exit 1
log() { echo "http://$HTTP/api/v1/jobs/$1/tasks/0/logs/$2?follow=true"; }
code() { curl -s -m 60 -o "$T/body" -w '%{http_code}' "$1"; }
follow() {      # follow NAME URL CURL_ARGS...: in the background; CURL_PID
	curl -s -N -m 300 "${@:3}" "$2" >"$T/$1" 2>"$T/$1.err" & CURL_PID=$!; CL_PIDS="$CL_PIDS $CURL_PID"
}

# followed before it began: there is no worker yet
early=$("$G" submit - <<<'{"command": "echo first; echo aside >&2; sleep 600"}')
follow out "$(log "$early" stdout)"; out_pid=$CURL_PID
follow err "$(log "$early" stderr)"; err_pid=$CURL_PID
follow gone "$(log "$early" stdout)"; gone_pid=$CURL_PID
check "a task that waits can be followed" sh -c 'kill -0 "$0" && kill -0 "$1"' "$out_pid" "$err_pid"
cl_worker w1
check "what it prints comes while it runs" wait_for 60 grep -q first "$T/out"
check "and of the other stream that stream's" wait_for 60 grep -q aside "$T/err"
check "without follow there is nothing kept yet" [ "$(code "http://$HTTP/api/v1/jobs/$early/tasks/0/logs/stdout")" = 404 ]
check "it is followed still" sh -c 'kill -0 "$0" && kill -0 "$1"' "$out_pid" "$err_pid"
follow late "$(log "$early" stdout)&offset=2"; late_pid=$CURL_PID
check "who comes later has it from where he asks" wait_for 60 grep -q '^rst$' "$T/late"
kill "$gone_pid"; wait "$gone_pid" 2>/dev/null
"$G" job cancel "$early" -q
wait "$out_pid"; check "and to its end" [ $? = 0 ]
wait "$err_pid"; check "that of the other too" [ $? = 0 ]
wait "$late_pid"; check "and of the later one" [ $? = 0 ]
check "each byte came once" [ "$(cat "$T/out" "$T/err" "$T/late")" = 'first
aside
rst' ]
check "a reader that went away is no harm" [ "$(curl -s "http://$HTTP/livez")" = ok ]

# more than is held for a reader that is slower than the task, and more than one answer without follow gives
large=$("$G" submit - <<<'{"command": "for i in $(seq 60); do head -c 65536 /dev/zero | tr \"\\\\0\" x; echo \"line $i\"; done"}')
follow slow "$(log "$large" stdout)" --limit-rate 1M; slow_pid=$CURL_PID
wait "$slow_pid"; check "a slow reader is waited for" [ $? = 0 ]
"$G" job logs "$large" 0 >"$T/want"
check "and has every byte" cmp "$T/slow" "$T/want"
check "of what is over all there is comes" sh -c '[ "$1" = 200 ] && cmp "$0/body" "$0/want"' "$T" "$(code "$(log "$large" stdout)")"
check "which is more than without" [ "$(wc -c <"$T/want")" = 3932631 ]
check "from an offset on" sh -c '[ "$1" = 200 ] && [ "$(cat "$0/body")" = "$(tail -c 8 "$0/want")" ]' "$T" "$(code "$(log "$large" stdout)&offset=3932623")"

check "a job that is not there is a 404" [ "$(code "$(log 99999 stdout)")" = 404 ]
check "a task too" [ "$(code "http://$HTTP/api/v1/jobs/$large/tasks/7/logs/stdout?follow=true")" = 404 ]
check "follow is true or false" [ "$(code "http://$HTTP/api/v1/jobs/$large/tasks/0/logs/stdout?follow=yes")" = 400 ]
check "and not of a numbered attempt" [ "$(code "$(log "$large" stdout)&attempt=1")" = 400 ]

# as many as there is room for, and the coordinator's end
more=$("$G" submit - <<<'{"command": "echo first; sleep 600"}')
pids=
for i in $(seq 64); do follow "many$i" "$(log "$more" stdout)"; pids="$pids $CURL_PID"; done
check "64 follow at a time" wait_for 60 sh -c '[ "$(cat "$0"/many? "$0"/many?? | grep -c first)" = 64 ]' "$T"
check "one more is told so" [ "$(code "$(log "$more" stdout)")" = 503 ]
kill "$COORD_PID"; wait "$COORD_PID"; check "the coordinator ends all the same" [ $? = 0 ]
n=0
for p in $pids; do wait "$p"; [ $? = 18 ] && n=$((n + 1)); done
check "and no log that was cut short looks whole" [ $n = 64 ]
done_testing
