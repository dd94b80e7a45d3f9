#!/bin/bash
# 70-jobs.t - batch jobs as their users meet them: run, map, submit, job, task, the API and the page's data, over a restart
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
cl_coordinator
cl_worker w1
cl_worker w2
export GRIDDLE_COORDINATOR=$ENDPOINT
cd "$T" || exit 1
is() { _w=$1; shift; "$@" >"$T/is" 2>"$T/is.err"; [ "$(cat "$T/is")" = "$_w" ]; }
api() { curl -s -o "$T/body" -w '%{http_code}' "http://$HTTP/api/v1$1" "${@:2}"; }

"$G" run -- sh -c 'echo out; echo err >&2; exit 7' >"$T/out" 2>"$T/err"; rc=$?
check "run ends with the command's code" [ $rc = 7 ]
check "and gives its output" [ "$(cat "$T/out")/$(cat "$T/err")" = out/err ]
"$G" run -- sh -c 'kill -9 $$' >"$T/out" 2>&1; check "a signal is 128 and its number" [ $? = 137 ]
"$G" run -- /no/such/program >"$T/out" 2>&1; check "a program that is not there is 127" [ $? = 127 ]
check "standard input goes along" is 3 sh -c 'printf "a\nb\nc\n" | "$0" run --stdin -- wc -l' "$G"
echo 41 >in.txt
check "files go along and come back" "$G" run --in in.txt --out out.txt --to got 'expr $(cat in.txt) + 1 > out.txt'
"$G" run --out d --to bytes 'mkdir d; echo x >d/$(printf "caf\\351")' >"$T/out" 2>"$T/err"; rc=$?
check "an output whose name JSON cannot hold is no success" [ $rc != 0 ]; check "and is told" grep -q 'd/caf\\xe9: a name that is not UTF-8 cannot be brought back' "$T/err" || diag <"$T/err"
check "as they were made" [ "$(cat got/out.txt)" = 42 ]
check "env goes along, and no more than is asked for" is 'x-' env A=x B=y "$G" run --env A 'echo $A-$B'
"$G" job ls >/dev/full 2>"$T/err"; check "a list that a full disk did not take is no success" [ $? = 36 ]; check "and is told" grep -q 'standard output could not be written: No space left on device' "$T/err" || diag <"$T/err"
# unwritten WHERE WHAT CODE: the code is that of trouble here, and what was not written, why and what brings it again is told
unwritten() { check "$2, exit 36" [ "$3" = 36 ]; check "and is told, with what to do" grep -q "standard output could not be written: $1; \`griddle job logs [0-9]*\` prints" "$T/err" || diag <"$T/err"; }
"$G" map -q echo ::: 1 2 >/dev/full 2>"$T/err"; unwritten 'No space left on device' "nor is a map's output" $?
"$G" map -q --tag echo ::: 1 2 >/dev/full 2>"$T/err"; unwritten 'No space left on device' "nor one with tags" $?
"$G" run -- echo x >/dev/full 2>"$T/err"; unwritten 'No space left on device' "nor a run's" $?
check "which is no reader's doing" sh -c '! grep -q "nobody reads" "$0"' "$T/err"
"$G" run -- echo x >&- 2>"$T/err"; unwritten 'Bad file descriptor' "nor where there is no standard output" $?
"$G" run 'echo x >&2' 2>/dev/full; check "nor a run whose standard error is lost" [ $? = 36 ]
"$G" map -q 'echo {} >&2' ::: 1 2 2>/dev/full; check "nor a map's" [ $? = 36 ]
"$G" map -q 'echo out{}; echo err{} >&2' ::: 1 2 3 >"$T/out" 2>&1; many=$("$G" job ls -o name --limit 1)
for l in "$many" "$many 1" "$many -f"; do
	"$G" job logs $l -q >/dev/full 2>"$T/err"; rc=$?
	check "nor what job logs ${l#$many} prints" sh -c '[ $0 = 36 ] && grep -q "standard output could not be written: No space left on device" "$1"' $rc "$T/err"
done
"$G" job logs "$many" 1 --stderr 2>/dev/full; check "nor its standard error" [ $? = 36 ]
for l in "" -f; do
	check "job logs $l --stderr is what went there alone" is / sh -c '"$0" job logs "$1" $2 -q --stderr 2>err >out; echo "$(cat out)/$(grep -v err <err)"' "$G" "$many" "$l"
	check "job logs $l --stdout too" is '/out1 out2 out3' sh -c '"$0" job logs "$1" $2 -q --stdout 2>err >out; echo "$(cat err)/$(sort out | xargs)"' "$G" "$many" "$l"
done
(trap '' PIPE; wait_for 20 test -e gone; "$G" job logs "$many" -f -q 2>"$T/err"; echo $? >"$T/code") | { exec <&-; touch gone; }
check "job logs without a reader is no error" sh -c '[ "$(cat "$0")" = 0 ] && ! grep . "$1"' "$T/code" "$T/err"
"$G" --help >/dev/full 2>"$T/err"; check "nor the help" [ $? = 36 ]
check "a time limit is kept" sh -c '! timeout 20 "$0" run --timeout 300ms -- sleep 30 2>/dev/null' "$G"

check "map keeps the order of values" is '3
1
2' "$G" map -q -k 'sleep 0.{}; echo {}' ::: 3 1 2
check "values come whole, whatever is in them" is 'a b
$(id)
'"it's; rm" "$G" map -q -k 'echo {}' ::: 'a b' '$(id)' "it's; rm"
check "blocks of standard input" is '1000' sh -c 'seq 1000 | "$0" map -q --pipe --block 500 -- wc -l | awk "{ n += \$1 } END { print n }"' "$G"
seq 3 | "$G" map -q --tag -k -- echo v >"$T/out"
check "tags name the values" [ "$(head -n 1 "$T/out")" = "1	v 1" ]
"$G" map -q 'test {} != 2' ::: 1 2 3 2>/dev/null; check "one that fails makes it 1" [ $? = 1 ]
# as GNU parallel's users know it, or told why not
check "a value may stand in parts of a path" is 'd/a.txt d/a a.txt d a 1' "$G" map -q echo {} {.} {/} {//} {/.} {#} ::: d/a.txt
check "--dry-run prints what would be typed" is "echo 'a b' | wc
echo c | wc" "$G" map --dry-run 'echo {} | wc' ::: 'a b' c
for j in -j4 '-j 4' '--jobs 4' --jobs=4; do
	"$G" map $j echo ::: 1 >"$T/out" 2>"$T/err"; rc=$?
	check "$j is told that there is none" sh -c '[ $0 = 2 ] && [ ! -s "$1" ] && grep -q "as many tasks run at once as" "$2"' $rc "$T/out" "$T/err"
done
for c in map run; do
	"$G" $c -x echo </dev/null >"$T/out" 2>"$T/err"; rc=$?
	check "an option that $c does not have is no command" sh -c '[ $0 = 2 ] && grep -q -- "-x: no such option" "$1"' $rc "$T/err"
done
"$G" run -- -x >"$T/out" 2>&1; check "but behind --" [ $? = 127 ]
check "--halt as there" sh -c '! "$0" map -q --halt soon,fail=1 "exit {}" ::: 1 0 2>/dev/null' "$G"
printf 'a\377b\nc\n' | "$G" map -q -k echo >"$T/out"; printf 'a\377b\nc\n' | cmp -s - "$T/out"; check "lines that are not UTF-8 come as they are" [ $? = 0 ]
"$G" map -q echo ::: $'a\377b' >"$T/out" 2>"$T/err"; rc=$?
check "a word that is not is refused, and never another value" sh -c '[ $0 = 2 ] && [ ! -s "$1" ] && grep -q "value 1 is not UTF-8" "$2"' $rc "$T/out" "$T/err"
"$G" map 'echo {}; test {} = 1 || sleep {}' ::: 1 1 1 1 600 600 2>"$T/err" | head -n 1 >"$T/out"
check "a map whose reader is gone is cancelled" wait_for 20 sh -c '"$0" job ls | awk "NR == 2" | grep -q "cancelled.*nobody reads its output"' "$G"
timeout 60 "$G" run -- sh -c 'while echo x; do sleep 0.1; done' 2>"$T/err" | head -n 1 >"$T/out"
check "so is a run" wait_for 20 sh -c '"$0" job ls | awk "NR == 2" | grep -q "cancelled.*nobody reads its output"' "$G"
timeout 60 "$G" run -- sh -c 'while echo x >&2; do sleep 0.1; done' 2>&1 >"$T/out" | head -n 1 >"$T/err"
check "and one whose standard error nobody reads" wait_for 20 sh -c '"$0" job ls | awk "NR == 2" | grep -q "cancelled.*nobody reads its output"' "$G"
"$G" job show >"$T/out" 2>&1; rc=$?
check "a verb without its job says what it wants" sh -c '[ $0 = 2 ] && grep -q "job show: wants a job.s number" "$1"' $rc "$T/out"

for i in 1 2 3; do echo "$i" >"f$i.txt"; done
check "a file for each value" "$G" map -q --in '{}' --out '{.}.sq' --to sq 'expr $(cat {}) \* $(cat {}) > {.}.sq' ::: f1.txt f2.txt f3.txt
check "and what each made" [ "$(cat sq/f1.sq sq/f2.sq sq/f3.sq | tr '\n' ' ')" = "1 4 9 " ]
# more tasks and files than are on their way at a time; of each task one file that all make alike, a larger one, a link, a folder
seq 40 | "$G" map -q --out d --out 'big{}' --to many 'mkdir d; echo same >d/same{}; ln -s same{} d/link{}; yes {} | head -c 1500000 >big{}'; rc=$?
check "many files of many tasks" [ "$rc/$(ls many/d | wc -l)/$(cat many/d/link* | sort | uniq -c | xargs)" = "0/80/40 same" ]
check "each with what its own task made" sh -c 'for i in $(seq 40); do yes $i | head -c 1500000 | cmp - many/big$i || exit 1; done'
check "and nothing else is left there" [ -z "$(find many -name '*.griddle-*')" ]
: >blocked
"$G" map -q --out 'o{}' --to blocked 'echo {} >o{}' ::: 1 2 3 2>"$T/err"; rc=$?
check "files that cannot be put there end it with 36" [ $rc = 36 ]
check "and each is told" [ "$(grep -c '^griddle: task [012]: output o[123]: ' "$T/err")" = 3 ]
check "of two with one path the later task's stays" sh -c '"$0" map -q -k --out o --to same "sleep 0.{}; echo {} >o" ::: 3 2 1 && [ "$(cat same/o)" = 1 ]' "$G"
seq 2500 | "$G" map -q -- true; check "thousands of lines travel as one file" [ $? = 0 ]

# what tasks print is not held in the client beyond a bound, one task's or many's: small ones open its window, then large ones come together
large() { python3 - "$@" <<'PY'
import os, resource, subprocess, sys
env = dict(os.environ)
if "ASAN_OPTIONS" in env: env["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
out = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, env=env)
n = 0
while data := out.stdout.read(1 << 20): n += len(data)
print(out.wait(), n, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
PY
}
seq 24 | "$G" map -q --output-cap 1G 'test {} -le 20 && exit; test {} = 24 && b=256M; head -c ${b:-64M} /dev/zero' | wc -c >"$T/out"
check "a task prints as much as it may" [ "$(cat "$T/out")" = $((448 << 20)) ]
job=$("$G" job ls -o name | sort -n | tail -n 1)
read -r rc n mib < <(large "$G" job logs "$job" -q)
check "logs of 64 and 256 MiB come whole" [ "$rc/$n" = "0/$((448 << 20))" ]
check "and the client holds few of them at a time ($mib MiB)" [ "$mib" -lt 200 ]

job=$("$G" submit - <<'J'
{"name": "some", "tasks": [{"name": "a", "array": 4, "command": "echo task {}; test {} != 2"}, {"name": "b", "after": "a", "command": "echo b"}]}
J
)
check "submit prints the number" [ "$job" -gt 0 ]
check "job logs -f stays to its end" sh -c '"$0" job logs "$1" -f -q >"$2"' "$G" "$job" "$T/out"
check "with what each printed" grep -q 'task 3' "$T/out"
check "the job failed" [ "$("$G" job show "$job" -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["state"])')" = failed ]
check "task ls finds the one" [ "$("$G" task ls "$job" --state failed -o name)" = 2 ]
check "task show tells its exit code" sh -c '"$0" task show "$1" 2 | grep -q "exit 1"' "$G" "$job"
check "one task's log" is 'task 1' "$G" job logs "$job" 1
# refused CODE WHAT TEXT WORDS...: griddle with these words ends with CODE, prints nothing and says TEXT
refused() { "$G" "${@:4}" >"$T/out" 2>"$T/err"; rc=$?; check "$2" sh -c '[ $0 = $1 ] && [ ! -s "$2/out" ] && grep -qF -e "$3" "$2/err"' $rc $1 "$T" "$3" || diag <"$T/err"; }
check "its first attempt's is the same" is 'task 1' "$G" job logs "$job" 1 --attempt 1
refused 36 "an attempt that there is not is said to be none" "task 1 has no attempt 7" job logs "$job" 1 --attempt 7
refused 36 "so it is by one who stays" "task 1 has no attempt 7" job logs "$job" 1 -f --attempt 7
refused 2 "an attempt of all tasks is refused" "--attempt wants a task's number" job logs "$job" --attempt 1
refused 2 "retry of those that failed and of one named is refused" "not both" job retry "$job" 0 --failed
refused 2 "a state that there is not is refused, with those there are" "there are queued, running, paused, cancelling, done, failed, cancelled" job ls --state nosuch
refused 2 "so it is of a task" '"odd" is no state of a task; there are blocked, ready, backoff, running, done, failed, cancelled, skipped, sent' task ls "$job" --state odd
refused 2 "an option of another verb is not passed over" "show: --attempt is for logs" job show "$job" --attempt 3
refused 2 "nor is one of several" "logs: --tenant is for ls, usage" job logs "$job" --tenant t
refused 2 "nor is one that takes nothing" "show: --state is for ls" task show "$job" 1 --state done
check "retry runs it again" sh -c '"$0" job retry "$1" --failed | grep -q " 1 tasks\| 2 tasks"' "$G" "$job"
wait_for 10 sh -c '"$0" job show "$1" | grep -q "^state *failed"' "$G" "$job"
check "whose second attempt has its own" is 'task 2' "$G" job logs "$job" 2 --attempt 2
refused 36 "and no third" "task 2 has no attempt 3" job logs "$job" 2 --attempt 3
slow=$("$G" map --detach -- sleep ::: 60 60 60 60 60 60)
check "a task runs" wait_for 10 sh -c '"$0" task show "$1" 0 | grep -q "^state *running"' "$G" "$slow"
check "and nothing says how it ended" sh -c '! "$0" task show "$1" 0 | grep "^ended" && "$0" task show "$1" 0 -o json | python3 -c "import json,sys; d=json.load(sys.stdin); assert not {\"exit_code\", \"signal\", \"cause\"} & set(d), d"' "$G" "$slow"
# of what workers were handed ahead only what began is told as running
runs() { "$G" job show "$slow" -o json | python3 -c 'import json,sys
d = json.load(sys.stdin); c = d["counts"]; s = d["stages"][0]["counts"]
assert c == s and sum(c.values()) == 6, c
print(c["running"])'; }
check "as many run as there is room for" wait_for 10 sh -c "[ \"\$($(declare -f runs); G='$G'; slow=$slow; runs)\" = 4 ]"
check "and are listed as such" is '0
1
2
3' "$G" task ls "$slow" --state running -o name
check "what has not begun waits, wherever it is" sh -c '"$0" job ls | awk "\$1 == $1 && \$7 == 4 && \$8 == 2 { n = 1 } END { exit !n }"' "$G" "$slow"
check "pause" sh -c '"$0" job pause "$1" | grep -q paused' "$G" "$slow"
check "resume" "$G" job resume "$slow" -q
check "job ls shows it" sh -c '"$0" job ls | grep -q "^ *$1 "' "$G" "$slow"
check "cancel" "$G" job cancel "$slow" -q --reason test
check "ends what runs" wait_for 10 sh -c '"$0" job show "$1" | grep -q "^state *cancelled (test)"' "$G" "$slow"
check "rm forgets it" "$G" job rm "$slow" -q
"$G" job show "$slow" >"$T/out" 2>&1; check "then it is not there" [ $? != 0 ]
check "usage is CSV" sh -c '"$0" job usage | head -n 1 | grep -q "^tenant,job,cpu_s"' "$G"
"$G" job shwo 1 >"$T/out" 2>&1; rc=$?
check "a mistyped verb is told" sh -c '[ $0 = 2 ] && grep -q "did you mean show" "$1"' "$rc" "$T/out"

check "the API lists jobs, newest first" sh -c '[ "$1" = 200 ] && python3 -c "import json,sys; d=json.load(open(sys.argv[1])); assert len(d[\"jobs\"]) == 2 and d[\"jobs\"][0][\"job\"] > d[\"jobs\"][1][\"job\"] and d[\"next\"]" "$0"' "$T/body" "$(api '/jobs?limit=2&newest=true')"
check "a job that is not there is a 404" [ "$(api /jobs/99999)" = 404 ]
check "a bad number a 400" [ "$(api /jobs/x)" = 400 ]
check "a bad spec a 422 that names the place" sh -c '[ "$1" = 422 ] && grep -q "stages" "$0"' "$T/body" "$(api /jobs -d '{"spec":{"stages":[{"argv":[]}]}}')"
check "and the member that may have been meant" sh -c '[ "$1" = 422 ] && grep -q "did you mean .*retry" "$0"' "$T/body" "$(api /jobs -d '{"spec":{"stages":[{"argv":["true"],"retires":1}]}}')"
check "a submit is a 201" [ "$(api /jobs -d '{"spec":{"stages":[{"argv":["echo","by http"]}]}}')" = 201 ]
web=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["job"])' "$T/body")
check "and runs" wait_for 10 sh -c 'curl -s "http://$0/api/v1/jobs/$1/tasks/0/logs/stdout" | grep -q "by http"' "$HTTP" "$web"
check "what is over cannot be cancelled: 409" [ "$(api "/jobs/$web/cancel" -d '{}')" = 409 ]
check "accounting as CSV" sh -c '[ "$1" = 200 ] && grep -q "^tenant,job" "$0"' "$T/body" "$(api '/usage?format=csv')"

"$G" map -k -- sh -c 'sleep 0.4; echo {}' ::: 1 2 3 4 5 6 7 8 9 10 >"$T/out" 2>"$T/err" & pid=$!
"$G" run -- sh -c 'for i in 1 2 3 4; do echo $i; sleep 0.5; done; exit 5' >"$T/out2" 2>"$T/err2" & pid2=$!
wait_for 10 sh -c '"$0" job ls | grep -q running' "$G"; wait_for 10 test -s "$T/out2"
kill -9 "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator
wait "$pid"; rc=$?
check "a map that waits carries on over a killed coordinator" [ $rc = 0 ]
check "with each line once, in order" [ "$(tr '\n' ' ' <"$T/out")" = "1 2 3 4 5 6 7 8 9 10 " ]
wait "$pid2"; rc=$?
check "so does a run, with its code" [ $rc = 5 ]
check "and its output once" [ "$(tr '\n' ' ' <"$T/out2")" = "1 2 3 4 " ]
"$G" map -q -- sleep ::: 30 30 >"$T/out" 2>"$T/err" & pid=$!
wait_for 10 sh -c '"$0" job ls --state running -o name | grep -q .' "$G"
kill -INT "$pid"; wait "$pid"; rc=$?
check "Ctrl-C cancels and ends with 8" [ $rc = 8 ]
check "nothing of it runs on" wait_for 10 sh -c '! "$0" job ls --state running -o name | grep -q .' "$G"
check "admin check finds the store sound" "$G" admin check
check "admin backup" "$G" admin backup
check "admin export prints records" sh -c '"$0" admin export | head -n 1 | grep -q "^{"' "$G"

sed -e 's/0-47/0-5/g' -e 's/ 48/ 6/g; s/"48"/"6"/' -e 's/640 360/64 36/g' "$TOP/examples/mandelbrot/movie.json" >"$T/movie.json"
cp "$TOP/examples/mandelbrot/render.c" "$TOP/examples/mandelbrot/assemble.sh" "$T"
job=$("$G" submit "$T/movie.json" --wait -q); rc=$?
check "the Mandelbrot movie is made: compiled, rendered, put together" [ $rc = 0 ]
check "and fetched" "$G" job fetch "$job" --to "$T/movie" -q
check "it is a movie" sh -c 'test -s "$0/movie/movie.mp4" || test -s "$0/movie/movie.ppm"' "$T/movie"
check "and each frame in its place" [ "$(ls "$T"/movie/frame/*/frame.ppm | wc -l)" = 6 ]

# runners are killed under short commands, of which some wait in them for the ones before
seq 1000 | "$G" map -q --keep-order -- 'echo {}' >"$T/out" 2>"$T/err" & m=$!
n_killed=0
while kill -0 $m 2>/dev/null; do
	r=$(pgrep -x griddle-runner -P "$(pgrep -d, -x griddle-spawner -P "$w1_PID,$w2_PID")" | head -n 1)
	[ -n "$r" ] && kill -9 "$r" 2>/dev/null && n_killed=$((n_killed + 1))
	sleep 0.03
done
wait $m; rc=$?
check "short commands outlive $n_killed of their runners" [ $rc = 0 -a $n_killed -gt 0 ]; [ $rc = 0 ] || diag <"$T/err"
check "and each is there once" cmp "$T/out" <(seq 1000)
"$G" job show $'x\e[2J' >"$T/out" 2>"$T/err"; check "what would move a terminal's cursor is escaped" grep -q 'x\\x1b\[2J' "$T/err" || diag <"$T/err"
# what one task left as a link does not lead another's file out of the folder
mkdir -p "$T/elsewhere" "$T/got"
job=$("$G" submit --wait -q - <<'J'
{"name": "below", "command": "mkdir out && echo no >out/file", "outputs": ["out"]}
J
)
"$G" job fetch "$job" --to "$T/got" -q
check "an output is fetched" [ "$(cat "$T/got/out/file")" = no ]
rm -rf "$T/got/out"; ln -s "$T/elsewhere" "$T/got/out"
check "and not through a link" sh -c '! "$0" job fetch "$1" --to "$2" -q 2>"$2.err" && grep -q "is a symbolic link" "$2.err"' "$G" "$job" "$T/got"
check "nothing was written there" [ -z "$(ls "$T/elsewhere")" ]
done_testing
