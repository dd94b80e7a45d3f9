#!/bin/bash
# 21-command - batch commands on one worker whose coordinator is tests/helper/commander: files in and out, limits, hostile
# commands, what is left of them, and a worker that is stopped, killed or drained
. "$(dirname "$0")/cluster.sh"
COMMANDER=${GRIDDLE_BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/commander
[ -x "$COMMANDER" ] || skip_all "tests/helper/commander is not built"
TIER=namespace

says() { case $2 in *"$1"*) return 0 ;; esac; echo "$2" | cut -c 1-600 | diag; return 1; }
lacks() { case $2 in *"$1"*) echo "$2" | cut -c 1-600 | diag; return 1 ;; esac; }
gone() { ! kill -0 "$1" 2>/dev/null; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
# stage ARGV-JSON [MORE-MEMBERS]; commands JSON: the spec of the next run. A .ID in them is this run's own, as processes are searched by it.
own() { echo "${1//.ID/.$$}"; }
stage() { S="{\"argv\":$1,\"count\":1${2:+,$2}}"; }
spec() { own "$(printf '{"spec":{"job":%s,"stages":[%s]},"commands":[%s]}' "${JOB:-5}" "$S" "${1:-{\}}")" > "$T/spec.json"; }
# sh_stage 'SCRIPT' [MORE-MEMBERS]; the script may hold no double quotes
sh_stage() { stage "[\"sh\",\"-c\",\"$1\"]" "${2:-}"; }

W=
worker() {                      # worker [ARGS...]: the worker that commander talks to; port $PORT
	"$BIN/griddle-worker" --coordinator "tcp://127.0.0.1:$PORT" --state "$T/w" --name w --slots 2 --toolchains /none --sandbox $TIER \
		--ready-file "$T/w.json" "$@" >>"$T/w.log" 2>&1 & W=$!; CL_PIDS="$CL_PIDS $W"
}
# Below those that outgoing connections are given: one of these, the waiting worker's own among them, would take it between two commanders.
free_port() { perl -MIO::Socket::INET -e 'for (1 .. 1000) { my $p = 10000 + int rand 20000; print($p), exit if IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => $p) }'; }
A=0
# The commander that stays: one connection for many runs. serve, unserve; run puts its lines into out.json.
serve() { coproc CMD { exec "$COMMANDER" --serve "tcp://127.0.0.1:$PORT" 2>>"$T/commander.err"; }; SERVER=$CMD_PID; CL_PIDS="$CL_PIDS $SERVER"; }
unserve() { [ -n "$SERVER" ] || return 0; kill $SERVER 2>/dev/null; wait $SERVER 2>/dev/null; SERVER=; }
SERVER=
run() {
	[ -n "$SERVER" ] || serve
	A=$((A + 1)) RC=1
	echo "--attempt $A --wait 40000 $* $T/spec.json" >&"${CMD[1]}"
	: > "$T/out.json"
	while IFS= read -r -t 60 line <&"${CMD[0]}"; do
		case $line in '{"over":'*) RC=${line#*:}; RC=${RC%\}}; break ;; esac
		printf '%s\n' "$line" >> "$T/out.json"
	done
	R=$(cat "$T/out.json"); return "$RC"
}
ended() { grep '"ended":'"${1:-0}"',"attempt":'"${2:-$A}", "$T/out.json" | head -n 1; }
none_left() { ! pgrep -f "$(own "$1")" >/dev/null; }

PORT=$(free_port)
worker
sh_stage 'echo hi'; spec
if ! run; then
	if gone $W || says '"commands":false' "$R" >/dev/null; then skip_all "no commands here: $(tail -n 1 "$T/w.log")"; fi
fi
check "a command runs and its output comes back" says '"out":"hi\n"' "$(ended)"

# ---- words, environment, exit codes
stage '["sh","-c","echo {} {1/.} {2} {#} $X $GRIDDLE_JOB.$GRIDDLE_TASK.$GRIDDLE_INDEX; exit {2}","{index}"]' '"env":{"X":"v{2}"}'
spec '{"values":["a/b.txt","3"]}'; run
check "values fill words and environment" says '"out":"a/b.txt 3 b 3 1 v3 5.0.0\n"' "$(ended)"
check "the exit code is told" says '"exit":3' "$(ended)"
stage '["no-such-program-xyz"]'; spec; run
check "a program that is not there is exit 127, with its name" says '"exit":127' "$(ended)"
check "on stderr" says 'no-such-program-xyz: No such file' "$(ended)"
stage '["/etc/passwd"]'; spec; run
check "a file that is no program is exit 126" says '"exit":126' "$(ended)"
sh_stage 'kill -ABRT $$'; spec; run
check "a signal is told" says '"signal":6' "$(ended)"
stage '["griddle:null"]'; spec; run --times 500
check "a null command is answered" [ "$(grep -c '"outcome":"done"' "$T/out.json")" = 500 ]

# ---- files
head -c 300000 /dev/urandom > "$T/big"; echo small > "$T/small"; printf '#!/bin/sh\necho I am a program\n' > "$T/prog"
B=$(sha "$T/big") SM=$(sha "$T/small") P=$(sha "$T/prog")
sh_stage './bin/prog; cat in/small; cmp in/big in/copy && echo same; stat -c %a bin/prog in/small; readlink l; cat; ls own' \
	'"inputs":[{"path":"in/small","blob":"'$SM'","size":6},{"path":"in/big","blob":"{1}","size":300000},{"path":"bin/prog","blob":"'$P'","mode":493},{"path":"l","link":"in/small"},{"path":"own","dir":true}],"stdin":{"blob":"'$SM'"}'
spec '{"values":["'$B'"],"inputs":[{"path":"in/copy","blob":"'$B'","size":300000,"mode":420},{"path":"own/x","blob":"'$SM'","size":6,"mode":420}]}'
run --blob "$T/big" --blob "$T/small" --blob "$T/prog"
check "files, modes, links, folders and standard input are there" says '"out":"I am a program\nsmall\nsame\n755\n644\nin/small\nsmall\nx\n"' "$(ended)"
spec '{"values":["'$B'"],"inputs":[{"path":"in/../../x","blob":"'$B'","size":300000,"mode":420}]}'; run --blob "$T/big" --wait 1500
check "a path that leads out never reaches a folder: the worker leaves who sends it" says '"hello"' "$R"
sh_stage 'echo x' '"inputs":[{"path":"a","blob":"'$SM'","size":6},{"path":"a","blob":"'$SM'","size":6}]'; spec; run --blob "$T/small"
check "two inputs of one name are refused" says '"outcome":"refused"' "$(ended)"
sh_stage 'echo x' '"inputs":[{"path":"l","link":"/etc"},{"path":"l/passwd","blob":"'$SM'","size":6}]'; spec; run --blob "$T/small"
check "an input through a link is refused" says '"outcome":"refused"' "$(ended)"
sh_stage 'echo x' '"inputs":[{"path":"a","blob":"'$(echo none | sha256sum | cut -d" " -f1)'","size":5}]'; spec; run
check "an input nobody has gives the command back" says '"outcome":"retry"' "$(ended)"

sh_stage 'mkdir -p d/e; echo one > o1; head -c 200000 /dev/zero > d/z; echo x > d/e/x; chmod 700 d/e/x; ln -s e/x d/l' \
	'"outputs":[{"path":"o1"},{"path":"d"},{"path":"sub/{1}","required":false}]'
spec '{"values":["q"]}'; run
check "outputs: a file, with its content" says '"path":"o1","data":"one\n"' "$(ended)"
check "a folder with what is in it" says '"path":"d/e/x","data":"x\n"' "$(ended)"
check "links that stay in it" says '"path":"d/l","target":"e/x"' "$(ended)"
check "modes" says '"mode":493,"path":"d/e/x"' "$(ended)"
check "large ones are fetched and whole" says '{"fetched":200000,"good":true}' "$R"
for bad in 'ln -s /etc/passwd o' 'mkdir o; ln -s ../../../etc o/l' 'mkfifo o' 'ln -s . p; mv p o'; do
	sh_stage "$bad" '"outputs":[{"path":"o"}]'; spec; run
	check "output \"$bad\" is refused" says '"flags":16' "$(ended)"
done
sh_stage 'mkdir p; ln -s p q; echo x > p/o' '"outputs":[{"path":"q/o"}]'; spec; run
check "an output through a link is refused" says '"flags":16' "$(ended)"
sh_stage 'true' '"outputs":[{"path":"o"}]'; spec; run
check "a required output that is not there is told" says '"flags":16' "$(ended)"
sh_stage 'exit 4' '"outputs":[{"path":"o"}]'; spec; run
check "but after a bad exit it is the exit that counts" says '"exit":4,"signal":0,"flags":0' "$(ended)"

# ---- secrets
sh_stage 'cat $GRIDDLE_SECRETS_DIR/token; stat -c %a $GRIDDLE_SECRETS_DIR/token; env | grep -c s3cret; (echo x > $GRIDDLE_SECRETS_DIR/y) 2>/dev/null || echo ro'
spec '{"secrets":{"token":"s3cret-value"}}'; run
check "a secret is a file for its owner alone, and nothing else" says '"out":"s3cret-value600\n0\nro\n"' "$(ended)"
check "it is gone afterwards" [ -z "$(grep -rl s3cret-value "$T/w/runs" "$T/w/stage" "$T/w/logs" "$T/w/cas" "$T/w.log" 2>/dev/null)" ]
sh_stage 'ls -A $PWD /secrets 2>/dev/null | wc -l'; spec; run
check "the next command does not have it" lacks s3cret "$R"

# ---- limits
sh_stage 'yes | head -c 3000000; exit 2' '"output_cap_bytes":100000'; spec; run
check "a flood is cut and does not stop the command" says '"exit":2,"signal":0,"flags":1' "$(ended)"
check "what was kept is fetched" says '"good":true' "$R"
sh_stage 'yes | head -c 70000; echo end' '"output_cap_bytes":50000'; spec; run
check "with a marker" says 'griddle: output cut here, 20004 bytes more' "$(ended)"
sh_stage 'trap exit TERM; sleep 1000 & wait'; spec '{"timeout_ms":300}'; run
check "a time limit ends it" says '"outcome":"timeout"' "$(ended)"
sh_stage "trap '' TERM; setsid sleep 98765.ID & setsid sh -c 'trap : TERM; while :; do sleep 1; done' & while :; do sleep 1; done"; spec '{"timeout_ms":300}'
kill -TERM $W; wait $W; worker --kill-grace 500ms; run
check "also one that ignores SIGTERM" says '"outcome":"timeout"' "$(ended)"
check "with all it started" none_left "sleep 98765.ID"
stage '["perl","-e","$s = q(x) x 10000000; push @a, $s . $_ for 1..1000; sleep 5"]'; spec '{"mem_limit_bytes":100000000}'; run
check "a memory limit ends it, and says so" says '"outcome":"out of memory"' "$(ended)"
check "its log says whether the kernel limits memory" grep -q "the memory of commands is" "$T/w.log"
sh_stage 'head -c 30000000 /dev/zero > big; exec sleep 98764.ID' '"resources":{"disk_bytes":10485760}'; spec; run
check "what takes more disk than it asked for is killed, and says so" says '"outcome":"over its disk"' "$(ended)"
check "all of it" none_left "sleep 98764.ID"
sh_stage 'mkdir -p a/b; head -c 30000000 /dev/zero > a/b/c; ln a/b/c d' '"resources":{"disk_bytes":10485760},"outputs":[{"path":"d"}]'; spec; run
check "also one that had ended before anybody looked" says '"outcome":"over its disk"' "$(ended)"
check "with nothing taken along" says '"outputs":[]' "$(ended)"
sh_stage 'head -c 6000000 /dev/zero > big; ln big other; truncate -s 1G sparse' '"resources":{"disk_bytes":10485760}'; spec; run
check "two names of a file and a hole are not twice and not a gigabyte" says '"outcome":"done"' "$(ended)"
sh_stage 'sleep 0.5; echo fine'; spec '{"timeout_ms":9000000000000000000}'; run
check "a time limit beyond what a clock counts is none" says '"outcome":"done"' "$(ended)"
stage '["sh","-c","b() { b | b & }; b; sleep 3; echo through"]'; spec '{"timeout_ms":1500}'; run
check "a fork bomb is ended at its time limit" says '"outcome":"timeout"' "$(ended)"
sh_stage 'echo fine'; spec; run
check "and the worker goes on" says '"out":"fine\n"' "$(ended)"
stage '["perl","-MSocket","-e","socket(S,PF_INET,SOCK_STREAM,0); print connect(S,sockaddr_in('$PORT',inet_aton(q(127.0.0.1)))) ? q(in) : q(no);"]'; spec; run
check "no network" says '"out":"no"' "$(ended)"
stage '["perl","-MSocket","-e","socket(S,PF_INET,SOCK_STREAM,0); print connect(S,sockaddr_in('$PORT',inet_aton(q(127.0.0.1)))) ? q(in) : q(no);"]' '"network":true'; spec; run
check "but for a job that may" says '"out":"in"' "$(ended)"
sh_stage "for p in / /usr /etc /task/.. /secrets $T/w; do (echo x > \$p/gr-escape) 2>/dev/null && echo wrote \$p; done; cat $T/w/ended 2>/dev/null; ls $T 2>/dev/null; echo end"; spec; run
check "nothing outside its folder can be written or read" says '"out":"end\n"' "$(ended)"

# ---- what it leaves
sh_stage '(setsid sh -c "exec sleep 87654.ID" &) ; (sleep 87654.ID &); echo left' ; S=${S//\"exec sleep 87654.ID\"/\\\"exec sleep 87654.ID\\\"}; spec; run
check "a command that leaves daemons ends" says '"out":"left\n"' "$(ended)"
check "without them" none_left "sleep 87654.ID"
sh_stage 'rm -rf $PWD $PWD/../task ./* ; mkdir -p a/b; chmod 0 a; echo ok'; spec; run
check "a command may spoil its folder" says '"out":"ok\n"' "$(ended)"
stage '["perl","-e","for (1..2000) { mkdir q(d); chdir q(d) or die } print q(deep)"]'; spec; run
check "or fill it with folders two thousand deep" says '"out":"deep"' "$(ended)"
sh_stage 'ls -A; ls -A /tmp; echo end'; spec; run
check "the next one's is empty" says '"out":"end\n"' "$(ended)"

# ---- stop, yield, retract, follow
sh_stage 'sleep 76543.ID'; spec; run --stop cancel:50
check "a cancelled command ends" says '"outcome":"cancelled"' "$(ended)"
check "at once and whole" none_left "sleep 76543.ID"
sh_stage "trap 'echo saved > ck/state; exit 77' TERM; echo up; sleep 1000 & wait" '"checkpoint":{"exit_code":77,"dir":"ck"}'; spec; run --stop yield:50:5000
check "one that yields by its checkpoint code has ended with it" says '"outcome":"done","exit":77' "$(ended)"
check "and its folder is carried" says '"index":65535,"kind":1,"mode":420,"path":"ck/state","data":"saved\n"' "$(ended)"
sh_stage 'cat ck/state; echo $GRIDDLE_CHECKPOINT_DIR' '"checkpoint":{"exit_code":77,"dir":"ck"}'
spec '{"inputs":[{"path":"ck/state","blob":"'$SM'","size":6,"mode":420}]}'; run --blob "$T/small"
check "to the next attempt" says '"out":"small\n/task/ck\n"' "$(ended)"
sh_stage "trap '' TERM; while :; do sleep 0.1; done"; spec; run --stop yield:50:300
check "one that does not yield is killed" says '"outcome":"cancelled"' "$(ended)"
sh_stage 'sleep 0.5'; spec; run --times 6 --stop retract:0
check "what has not begun is given back at once" [ "$(grep -c '"outcome":"cancelled".*"flags":4' "$T/out.json")" -ge 4 ]
check "what runs is not" says '"started":' "$R"
sh_stage 'echo a; sleep 0.2; echo b >&2; sleep 0.2; echo c'; spec; run --stream
check "followed output comes while it runs" [ "$(grep -n '"data":"a' "$T/out.json" | cut -d: -f1)" -lt "$(grep -n '"ended"' "$T/out.json" | cut -d: -f1)" ]
check "with offsets and ends" says '"offset":2,"flags":0,"data":"c\n"' "$R"

# ---- several slots
stage '["sh","-c","echo $(date +%s%N); sleep 0.3"]' '"resources":{"cpu_mcpu":2000}'; spec; run --times 2
a=$(ended 0 | sed -n 's/.*"out":"\([0-9]*\).*/\1/p') b=$(ended 1 | sed -n 's/.*"out":"\([0-9]*\).*/\1/p')
d=$((a > b ? a - b : b - a))
check "a command of two CPUs takes both slots ($((d / 1000000)) ms apart)" [ $d -gt 250000000 ]

# ---- the coordinator goes and comes back
sh_stage 'sleep 1; echo after'; spec
unserve; "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1001 "$T/spec.json" > "$T/first.json" 2>&1 & c=$!
wait_for 20 grep -q started "$T/first.json"; kill -9 $c; wait $c 2>/dev/null
stage '["griddle:null"]'; spec
timeout 60 "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1002 --linger 30000 --until 1 "$T/spec.json" > "$T/second.json" 2>&1
check "a running attempt is told to the next coordinator" grep -q '"hello":{"attempts":\[\[5,0,1001,1\]\]' "$T/second.json"
check "and its result comes" grep -q '"out":"after' "$T/second.json"

# ---- the worker is stopped for longer than it may be silent
sh_stage 'sleep 0.5; echo through'; spec
unserve; "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --dead 2000 --attempt 1003 "$T/spec.json" > "$T/stopped.json" 2>&1 & c=$!
wait_for 20 grep -q started "$T/stopped.json"
kill -STOP $W; wait_for 20 grep -q '"gone"' "$T/stopped.json"; kill -CONT $W
wait $c; rc=$?
check "a worker that was stopped brings the result when it goes on" [ $rc = 0 ]
check "of the same attempt" grep -q '"out":"through' "$T/stopped.json"

# ---- kill -9 of the worker
sh_stage 'setsid sleep 65432.ID & sleep 65432.ID'; spec
unserve; "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1004 "$T/spec.json" > "$T/killed.json" 2>&1 & c=$!
wait_for 20 grep -q started "$T/killed.json"
kill -9 $W; wait $W 2>/dev/null
check "kill -9 of a worker leaves no process of a command" wait_for 10 none_left "sleep 65432.ID"
check "nor of its own" wait_for 10 none_left "state $T/[w] "
kill $c; wait $c 2>/dev/null
head -c 100000 /dev/urandom > "$T/rnd"
sh_stage 'head -c 100000 /dev/zero > o; echo result' '"outputs":[{"path":"o"}]'; spec
worker; run --keep
check "a result that is not acknowledged" says '"out":"result' "$(ended)"
kill -9 $W; wait $W 2>/dev/null
worker
stage '["griddle:null"]'; spec
unserve; timeout 60 "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1005 --linger 20000 --until 1 "$T/spec.json" > "$T/again.json" 2>&1
check "is offered again by the worker's next life" grep -q '"out":"result' "$T/again.json"
check "with its files" grep -q '{"fetched":100000,"good":true}' "$T/again.json"
swept() { [ "$(find "$T/w/stage" "$T/w/outs" "$T/w/logs" -mindepth 1 | wc -l)" = 0 ]; }
check "the folders of the earlier life are swept" wait_for 10 swept

# ---- drain
kill -TERM $W; wait $W; worker --grace 4s
sh_stage 'sleep {1}; echo done'; spec '{"values":["0.7"]},{"values":["54321.ID"]},{"values":["1"]},{"values":["1"]}'
unserve; "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1006 "$T/spec.json" > "$T/drain.json" 2>&1 & c=$!
wait_for 20 sh -c "[ \$(grep -c started '$T/drain.json') -ge 2 ]"
kill -TERM $W; wait $W; rc=$?
check "a draining worker ends with 0" [ $rc = 0 ]
wait $c
cp "$T/drain.json" "$T/out.json"; A=1006
check "what fits into the grace is finished" says '"outcome":"done"' "$(ended 0)"
check "what does not is handed back" says '"outcome":"retry"' "$(ended 1)"
check "as drained" says '"flags":8' "$(ended 1)"
check "what had not begun too, at once" says '"flags":12' "$(ended 3)"
check "nothing of it is left" none_left "sleep 54321.ID"

# ---- many short ones, which a runner takes one behind the other: what some of them leave or last touches no other
worker
sh_stage 'ls -A .; ls -A $TMPDIR/.; case {1} in 17|43) echo x > left ;; 31) echo x > $TMPDIR/left ;; 52) sleep 0.2 ;; 60) kill -9 $$ ;; 71) exec /no/such ;; esac; echo {1}'
unserve; spec "$(for i in $(seq 0 99); do printf '%s{"values":["%d"]}' "${c_sep:-}" $i; c_sep=,; done)"; run
bad=
for i in $(seq 0 99); do
	want='"exit":0,' out="\"out\":\"$i\\n\""
	case $i in 60) want='"signal":9' out='"out":' ;; 71) want='"exit":127' out='"out":' ;; esac
	line=$(ended $i); case $line in *"$want"*"$out"*|*"$out"*"$want"*) ;; *) bad="$bad $i"; echo "$line" | cut -c 1-300 | diag ;; esac
done
check "a hundred short commands have each their own end and output" [ -z "$bad" ]
unserve; kill -TERM $W; wait $W

# ---- a sandbox that cannot be made for a while
worker
unserve; sh_stage 'echo up'; JOB=21 spec; run
check "a command before the trouble" says '"outcome":"done"' "$(ended)"
mv "$T/w/runs" "$T/w/runs.away"; : > "$T/w/runs"
JOB=22 spec; run; JOB=23 spec; run --times 8     # what is in stock is taken, then there is none
check "commands are handed back with the reason" grep -q 'failed 5 times in a row: runs/' "$T/out.json"
rm "$T/w/runs"; mv "$T/w/runs.away" "$T/w/runs"
well_again() { run; says '"outcome":"done"' "$(ended)"; }
check "and run again when it can be made" wait_for 60 well_again
unserve; kill -TERM $W; wait $W

# ---- ended at once, while a thread hashes what a command made
worker
sh_stage 'truncate -s 250M a b c d' '"outputs":[{"path":"a"},{"path":"b"},{"path":"c"},{"path":"d"}]'; spec
"$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1007 "$T/spec.json" > "$T/ended.json" 2>&1 & c=$!; CL_PIDS="$CL_PIDS $c"
wait_for 60 sh -c "[ \"\$(ls '$T/w/outs')\" ] || grep -q '\"ended\"' '$T/ended.json'"   # the first is taken, three are to come
n=$(grep -c draining "$T/w.log"); kill -TERM $W
wait_for 20 sh -c "[ \$(grep -c draining '$T/w.log') -gt $n ]"      # two signals at once may be one
kill -TERM $W 2>/dev/null; wait $W; rc=$?
check "a worker that is ended meanwhile ends well ($rc)" [ $rc = 0 ]
kill $c 2>/dev/null; wait $c 2>/dev/null
check "no sanitizer complains" sh -c "! grep -E 'Sanitizer|runtime error|handles still open' '$T/w.log'"

# ---- a full disk
if [ "$(id -u)" = 0 ] && mkdir -p "$T/small-disk" && mount -t tmpfs -o size=12m none "$T/small-disk" 2>/dev/null; then
	T_MOUNT=$T/small-disk
	unserve; PORT=$(free_port)
	"$BIN/griddle-worker" --coordinator "tcp://127.0.0.1:$PORT" --state "$T/small-disk/w" --name w --slots 1 --toolchains /none --sandbox $TIER \
		>>"$T/w.log" 2>&1 & W=$!; CL_PIDS="$CL_PIDS $W"
	sh_stage 'head -c 50000000 /dev/zero > fill; echo $?' '"outputs":[{"path":"fill"}]'; spec; run
	check "a command that fills the disk gets the error itself" says 'No space left on device' "$(ended)"
	sh_stage 'head -c 100000 /dev/zero > o; echo ok' '"outputs":[{"path":"o"}]'; spec; run
	check "the next one has room again" says '{"fetched":100000,"good":true}' "$R"
	kill -TERM $W; wait $W
	wait_for 10 umount "$T_MOUNT" && T_MOUNT=
else
	echo "# no tmpfs of our own: the full disk is not tried"
fi

# ---- the weaker tier keeps the same promises
unserve
TIER=landlock PORT=$(free_port)
rm -rf "$T/w"; worker
sh_stage "echo \$((1 + 1)); (echo x > $T/gr-escape) 2>/dev/null || echo refused; cat /etc/shadow 2>/dev/null; echo f > o; setsid sleep 43210.ID &" '"outputs":[{"path":"o"}]'; spec; run
if gone $W; then
	echo "# tier landlock is not possible here"
else
	check "landlock: runs, writes in its folder alone" says '"out":"2\nrefused\n"' "$(ended)"
	check "landlock: outputs" says '"path":"o","data":"f\n"' "$(ended)"
	check "landlock: leaves nothing" none_left "sleep 43210.ID"
	sh_stage 'setsid sleep 32109.ID & sleep 32109.ID'; spec
	# a name of its own: what the run above left in killed.json would be found before the shell has emptied it
	unserve; "$COMMANDER" --listen "tcp://127.0.0.1:$PORT" --attempt 1008 "$T/spec.json" > "$T/lost.json" 2>&1 & c=$!
	check "landlock: a command begins that is to lose its runner" wait_for 60 grep -q '"started"' "$T/lost.json" || diag <"$T/lost.json"
	kill -9 $(pgrep -x griddle-runner -P "$(pgrep -x griddle-spawner -P $W)")
	check "landlock: a runner that is killed leaves nothing" wait_for 10 none_left "sleep 32109.ID"
	wait $c
	check "landlock: and its command is given back" grep -q '"outcome":"retry"' "$T/lost.json" || diag <"$T/lost.json"
	kill -9 $W; wait $W 2>/dev/null
	check "landlock: kill -9 of the worker leaves nothing" wait_for 10 none_left "state $T/[w] "
fi
done_testing
