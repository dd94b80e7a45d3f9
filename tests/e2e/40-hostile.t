#!/bin/bash
# 40-hostile.t - peers that do what is forbidden: each is told so, leaves a line in the log, and nobody else notices.
# An honest task runs before and after each.
. "$(dirname "$0")/cluster.sh"
HOSTILE=${GRIDDLE_BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/hostile
[ -x "$HOSTILE" ] || skip_all "$HOSTILE is not built"
cl_coordinator
cl_worker w1 --prefetch 1

says() {                        # says MODE: what the peer was told, in $T/out
	timeout 60 "$HOSTILE" "$ENDPOINT" "$1" >"$T/out" 2>&1
}
# peer MODE ANSWER LOGGED: the last word to the peer, and a line in the coordinator's log (or "-")
peer() {
	: >"$T/mark"; n=$(wc -l <"$T/coord.log")
	says "$1"
	check "$1: is told \"$2\"" grep -qE "$2" "$T/out" || true
	grep -qE "$2" "$T/out" || diag <"$T/out"
	[ "$3" = - ] && return
	tail -n +$((n + 1)) "$T/coord.log" >"$T/lines"
	check "$1: the log says so" grep -qE "$3" "$T/lines"
	grep -qE "$3" "$T/lines" || diag <"$T/lines"
}
works() {                       # an honest task comes back
	says honest
	check "$1" grep -q '^RESULT done' "$T/out"
	grep -q '^RESULT done' "$T/out" || diag <"$T/out"
}

works "an honest task runs first"
peer garbage             '^BYE EPROTO' 'a stranger sent what is no frame of ours: malformed message'
peer garbage-after-hello '^BYE EPROTO' 'hostile .*dropped: malformed message'
peer empty               '^BYE ETRUNC' 'hostile .*dropped: message ends too early'
peer tcp                 '^CLOSED' -
peer truncated           '^BYE ETRUNC' 'hostile .*dropped: TASK: message ends too early'
peer short-frame         '^BYE ETRUNC' 'hostile .*dropped: message ends too early'
peer oversized           '^BYE ELIMIT' 'hostile .*dropped: over a limit'
peer two-parts           '^BYE EPROTO' 'hostile .*dropped: a message of several parts'
peer version             '^REJECT EVERSION .*speaks protocol 1; hostile .* 99 to 99' 'hostile refused: .*speaks protocol 1'
peer header-version      '^REJECT EVERSION' 'a stranger sent what is no frame of ours: protocol version not supported'
peer role                '^BYE EROLE a client may not send DRAIN' 'hostile .*dropped: a client may not send DRAIN'
peer worker-as-client    '^BYE EROLE a worker may not send SESSION_OPEN' 'hostile .*dropped: a worker may not send'
peer unknown-role        '^REJECT EPROTO' 'refused: HELLO: "role"'
peer hello-twice         '^BYE EPROTO a client may not send HELLO twice' 'dropped: a client may not send HELLO twice'
peer no-hello            '^BYE EGONE' -
works "an honest task runs after frames that are none"

peer climb               '^BYE EPATH' 'an output is not an absolute clean path'
peer relative            '^BYE EPATH' 'an output is not an absolute clean path'
check "no file was written where the task pointed" [ ! -e /etc/hostile.o ]
peer absolute            '^RESULT (done|refused)' -
check "an absolute output stays in the worker's tree" [ ! -e /etc/hostile.o ]
peer through-link        '^RESULT (refused|retry|done)' -
check "an output below a link stays in the worker's tree" [ ! -e /etc/hostile.o ]
peer onto-link           '^RESULT (refused|retry|done)' -
check "an output onto a link does not follow it" [ ! -e /etc/hostile.o ]
works "an honest task runs after paths that lead elsewhere"

# ---- beside a running command of another
"$BIN/griddle" run --coordinator "$ENDPOINT" -- sh -c 'echo true; sleep 600' >"$T/run.out" 2>"$T/run.err" & R=$!; CL_PIDS="$CL_PIDS $R"
if wait_for 30 grep -q true "$T/run.out"; then
	up=$(grep -c 'connected to' "$T/w1.log")
	peer foreign-output '^SILENCE' -
	check "nobody tells another's output" [ "$(cat "$T/run.out")" = true ]
	peer far-offset '^CTL EINVAL' -
	check "and no worker hung up" [ "$(grep -c 'connected to' "$T/w1.log")" = "$up" ]
else
	echo "# no commands here: $(tail -n 1 "$T/run.err")"
fi
kill -INT $R; wait $R
works "an honest task runs beside it"

rm -rf "$T/none"
kill -TERM "$w1_PID"; wait "$w1_PID" 2>/dev/null
kill -TERM "$COORD_PID"; wait "$COORD_PID"; rc=$?
check "the coordinator ends with 0 at SIGTERM" [ $rc = 0 ]
rm -rf "$T/coord" "$T/w1"       # so that nobody has the file yet
cl_coordinator; cl_worker w1
peer liar                '^RESULT refused .*changed or went away' 'cannot be stored: content does not match its digest'
peer bomb                '^BYE (EPROTO|ELIMIT) BLOB' 'cannot be unpacked'
works "an honest task runs after contents that are not what they say"
peer replay              '^RESULT done' -
check "a replayed task has one result" [ "$(grep -c '^RESULT done' "$T/out")" -ge 1 ]
check "and was run once" [ "$(metric griddle_attempts_total)" -le 5 ]
peer contradict          '^SESSION_CLOSE' 'sent record 5 again with other content'
peer forged-result       '^SILENCE' -
check "a forged result is fenced" [ "$(metric griddle_results_fenced_total)" -ge 1 ]
works "an honest task runs last"
check "the coordinator never ended" kill -0 "$COORD_PID"
check "no sanitizer or bug line in its log" [ -z "$(grep -iE 'bug:|sanitizer|assert' "$T/coord.log")" ]
done_testing
