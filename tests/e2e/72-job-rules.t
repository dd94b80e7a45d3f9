#!/bin/bash
# 72-job-rules.t - what a job may ask for, each seen to be kept by real workers: gang, copies that are compared, checkpoint,
# idle, spread, constraints, secrets, deadline, time left, limits of failures, retry by cause, back-off
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
cl_coordinator --history "$T/history"
cl_worker w1 --grace 2s --node n1 --labels disk=ssd,fast
cl_worker w2 --grace 2s --node n2 --labels disk=hdd
export GRIDDLE_COORDINATOR=$ENDPOINT
cd "$T" || exit 1
submit() { "$G" submit "$@" -; }
json() { "$G" job show "$1" -o json | python3 -c "import json,sys; d=json.load(sys.stdin); print($2)"; }
state_is() { [ "$(json "$1" 'd["state"]')" = "$2" ]; }
is_log() { [ "$("$G" job logs "$1" "$2" | tail -n 1)" = "$3" ]; }
over() { wait_for 60 sh -c '"$0" job show "$1" | grep -Eq "^state *(done|failed|cancelled)"' "$G" "$1"; }
# tasks JOB EXPR: of each task's rows (t) what EXPR says, one line
tasks() { "$G" task ls "$1" -o json | python3 -c "import json,sys; print(*[$2 for t in json.load(sys.stdin)])"; }
# each JOB N: of each of its N tasks the nodes of its attempts, a line a task
each() {
	curl -s "http://$HTTP/api/v1/jobs/$1/tasks/[0-$(($2 - 1))]" | python3 -c 'import json,sys
text, d = sys.stdin.read(), json.JSONDecoder()
while text.strip():
    task, n = d.raw_decode(text.lstrip())
    text = text.lstrip()[n:]
    print(*[a["node"] for a in task["attempts"] if a["cause"] != "unsent"])'
}
# attempts JOB TASK EXPR: of each attempt (a), oldest first
# ; what was sent and taken back before it began is left out
attempts() {
	"$G" task show "$1" "$2" -o json |
		python3 -c "import json,sys; print(*[$3 for a in json.load(sys.stdin)['attempts'] if a['cause'] != 'unsent'])"
}

# gang: one slot is held, so that the four of the gang do not fit at once: none of them may begin
hold=$(submit <<<'{"name": "hold", "command": "sleep 600", "constraints": {"disk": "ssd"}}')
wait_for 30 state_is "$hold" running
gang=$(submit <<<'{"name": "gang", "gang": true, "array": 4, "command": "sleep 0.3"}')
check "a gang that does not fit at once says so" wait_for 30 sh -c '"$0" task show "$1" 0 | grep -q "free at once"' "$G" "$gang"
check "and none of it begins" [ "$(json "$gang" 'd["counts"]["ready"]')" = 4 ]
"$G" job cancel "$hold" -q
over "$gang"; check "with room for all it runs" state_is "$gang" done
check "all at once" [ "$("$G" task ls "$gang" -o json | python3 -c 'import json,sys
t = json.load(sys.stdin); print(max(x["start_ms"] for x in t) <= min(x["end_ms"] for x in t))')" = True ]
check "over both workers" [ "$(tasks "$gang" 't["worker"]' | tr ' ' '\n' | sort | uniq -c | tr -s ' \n' ' ')" = " 2 w1 2 w2 " ]

# copies: w3 lies, which it does by not seeing what the others see
ANSWER='cat /etc/hosts >/dev/null 2>&1 && echo 42 || echo 41'
cl_worker w3 --grace 2s --node n3 --command-show /usr,/bin,/lib,/lib64
copies=$(submit <<J
{"name": "copies", "array": 12, "command": "$ANSWER", "quorum": {"replicas": 2}}
J
)
rules=$(submit <<'J'
{"name": "rules", "tasks": [
 {"name": "back", "command": "exit 3", "retry": {"max": 2, "exit_codes": [3], "backoff": "150ms"}},
 {"name": "never", "command": "exit 4", "retry": {"max": 5, "on": ["exit"], "never": [4]}},
 {"name": "time", "command": "sleep 60", "timeout": "200ms", "retry": {"max": 1, "on": ["timeout"]}},
 {"name": "other", "command": "exit 1", "retry": {"max": 5, "on": ["timeout", "lost", "oom"]}},
 {"name": "oom", "command": ["/usr/bin/python3", "-c", "import time; x = bytearray(90 << 20); time.sleep(2)"], "mem_limit": "70M",
  "retry": {"max": 2, "on": ["oom"]}},
 {"name": "ssd", "array": 3, "command": "true", "constraints": {"disk": "ssd"}},
 {"name": "slow", "array": 3, "command": "true", "constraints": {"fast": false}},
 {"name": "apart", "array": 3, "command": "sleep 0.3", "spread": {"by": "node"}},
 {"name": "saved", "retry": {"max": 0}, "checkpoint": {"dir": "ck"},
  "command": "n=$(cat ck/n 2>/dev/null || echo 0); n=$((n + 1)); echo $n >ck/n; test $n = 4 || exit 77; echo made $n"},
 {"name": "disk", "resources": {"disk": "4M"}, "command": "head -c 20000000 /dev/zero >big; sleep 60", "retry": {"max": 2, "on": ["exit", "oom"]}},
 {"name": "ends", "resources": {"disk": "4M"}, "command": "head -c 20000000 /dev/zero >big", "retry": {"max": 0}},
 {"name": "fits", "resources": {"disk": "4M"}, "command": "mkdir d && head -c 2000000 /dev/zero >d/small"}]}
J
)
stop=$(submit <<<'{"name": "stop", "stop_after_failures": 3, "array": 200, "command": "exit 1"}')
share=$(submit <<<'{"name": "share", "stop_after_failures": "10%", "array": 100, "command": "exit 1"}')
over "$copies"; check "a lying worker is outvoted" state_is "$copies" done
check "in every task" [ "$("$G" job logs "$copies" | sort -u)" = 42 ]
each "$copies" 12 >"$T/nodes"
check "two copies or more of each" [ "$(awk 'NF >= 2' "$T/nodes" | wc -l)" = 12 ]
check "never two on one node" awk '{ split("", s); for (i = 1; i <= NF; i++) if (s[$i]++) exit 1 }' "$T/nodes"
check "the liar had a say" grep -q n3 "$T/nodes"
over "$rules"
check "back-off: three tries" [ "$(attempts "$rules" 0 'a["cause"]')" = "exit exit exit" ]
# The wait counts from the turn of the loop, which on a busy machine is long before the times written down: the unit tests
# have it exactly, here a fifth of it is enough.
check "150 ms, then 300" [ "$("$G" task show "$rules" 0 -o json | python3 -c 'import json,sys
a = [x["start_ms"] for x in json.load(sys.stdin)["attempts"] if x["cause"] != "unsent"]; print(a[1] - a[0] >= 30 and a[2] - a[1] >= 60)')" = True ]
check "a code that is never tried again is not" [ "$(attempts "$rules" 1 'a["exit_code"]')" = 4 ]
check "a timeout is tried again where it may" [ "$(attempts "$rules" 2 'a["cause"]')" = "timeout timeout" ]
check "an exit is not where only others may" [ "$(attempts "$rules" 3 'a["cause"]')" = exit ]
check "after an OOM it is given more memory" [ "$(attempts "$rules" 4 'a["cause"]')" = "oom done" ]
of() { tasks "$rules" "t['state'] + ' ' + t['cause'] if t['stage'] == '$1' else ''" | xargs; }
check "what takes more disk than it asked for is killed, once" [ "$(of disk)" = "failed disk" ]
check "and found out when it ended before" [ "$(of ends)" = "failed disk" ]
check "what stays within is done" [ "$(of fits)" = "done done" ]
check "constraint by label" [ "$(tasks "$rules" 't["worker"] if t["stage"] == "ssd" else ""' | xargs)" = "w1 w1 w1" ]
check "constraint against a label" sh -c '! echo "$0" | grep -q w1' "$(tasks "$rules" 't["worker"] if t["stage"] == "slow" else ""' | xargs)"
check "spread over nodes" [ "$(tasks "$rules" 't["worker"] if t["stage"] == "apart" else ""' | xargs -n 1 | sort | xargs)" = "w1 w2 w3" ]
saved=$("$G" task ls "$rules" --state done -o json | python3 -c 'import json,sys; print([t["task"] for t in json.load(sys.stdin) if t["stage"] == "saved"][0])')
check "checkpointed: run again with what it saved, at no cost of tries" [ "$(attempts "$rules" "$saved" 'a["cause"]')" = "checkpointed checkpointed checkpointed done" ]
check "the folder came along each time" is_log "$rules" "$saved" "made 4"
over "$stop"; check "as many failures as may" [ "$(json "$stop" 'd["state"], d["counts"]["failed"] < 40, d["counts"]["cancelled"] > 150')" = "failed True True" ]
over "$share"; check "or a share of them" [ "$(json "$share" '10 < d["counts"]["failed"] < 40, d["reason"]')" = "True $(json "$share" 'd["reason"]')" ]

# trust: who was right ten times in a row goes alone, mostly; who lied does not
trust=$(submit <<J
{"name": "trust", "array": 60, "command": "$ANSWER", "quorum": {"replicas": 2, "trust": true}}
J
)
over "$trust"; check "with trust" state_is "$trust" done
check "nothing wrong is taken" [ "$("$G" job logs "$trust" | sort -u)" = 42 ]
each "$trust" 60 >"$T/nodes"
check "and not everything is run twice" [ "$(awk 'NF == 1' "$T/nodes" | wc -l)" -gt 0 ]
check "alone went only who is trusted" sh -c '! awk "NF == 1" "$0" | grep -q n3' "$T/nodes"

# secrets: a file the task alone reads; in no argv, environment, log, answer or store that stays
echo "s3cr3t-of-mine-$$" >"$T/token"
sum=$(sha256sum <"$T/token")
cat >"$T/secret.json" <<'J'
{"name": "secret", "secrets": {"token": {"file": "token"}},
 "command": "sha256sum <$GRIDDLE_SECRETS_DIR/token; env; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; ls -la $GRIDDLE_SECRETS_DIR"}
J
secret=$("$G" submit "$T/secret.json"); over "$secret"
"$G" job logs "$secret" >"$T/out"
check "a secret is read from its file" [ "$(head -n 1 "$T/out")" = "$sum" ]
"$G" job show "$secret" -o json >>"$T/out"; curl -s "http://$HTTP/api/v1/jobs/$secret/tasks/0" >>"$T/out"
check "and is in no argv, environment, log or answer" sh -c '! grep -q s3cr3t-of "$0"' "$T/out"
mv "$T/token" "$T/secret.json" "$T/rt"
check "nor in what the programs keep or log" sh -c '! grep -rq s3cr3t-of "$0"/coord "$0"/coord.log "$0"/history "$0"/w1 "$0"/w2 "$0"/w3 "$0"/w1.log "$0"/w2.log "$0"/w3.log' "$T"

late=$(submit <<<'{"name": "late", "deadline": "500ms", "array": 8, "command": "sleep 600"}')
over "$late"; check "at its deadline a job is over, whatever ran" [ "$(json "$late" 'd["reason"], sum(d["counts"][s] for s in ("cancelled", "skipped"))')" = "its deadline passed 8" ]

# idle: it has all six slots, and gives them to whoever wants them
idle=$(submit <<<'{"name": "idle", "idle": true, "array": 6, "command": "sleep 600", "retry": {"max": 0}}')
wait_for 30 sh -c '[ "$("$0" task ls "$1" --state running -o name | wc -l)" = 6 ]' "$G" "$idle"
check "what is not idle gets their place" timeout 60 "$G" run -q -- true
all() { "$G" task ls "$idle" -o name | while read -r i; do attempts "$idle" "$i" 'a["cause"] or "runs"'; done | xargs; }
check "they are stopped" sh -c 'echo "$0" | grep -q preempted' "$(all)"
check "which is no failure, and they begin again" wait_for 30 sh -c '[ "$("$0" task ls "$1" --state running -o name | wc -l)" = 6 ]' "$G" "$idle"

# a worker is killed: what it ran is lost there, and goes on elsewhere
"$G" job cancel "$idle" -q; over "$idle"
lost=$(submit <<<'{"name": "lost", "command": "test $GRIDDLE_ATTEMPT -gt 1 || sleep 600", "constraints": {"fast": false}, "retry": {"max": 1, "on": ["lost"]}}')
wait_for 30 state_is "$lost" running
victim=$(tasks "$lost" 't["worker"]'); eval "pid=\$${victim}_PID"
kill -9 "$pid"; wait "$pid" 2>/dev/null
over "$lost"; check "lost with its worker: tried again elsewhere" [ "$(attempts "$lost" 0 'a["cause"]')/$(json "$lost" 'd["state"]')" = "lost done/done" ]
check "on another" [ "$(attempts "$lost" 0 'a["worker"]')" != "$victim $victim" ]

# drained with a checkpoint: saved on SIGTERM, taken up by another worker
moves=$(submit <<'J'
{"name": "moves", "checkpoint": {"dir": "ck"}, "retry": {"max": 0},
 "command": "if test -e ck/n; then cat ck/n; exit 0; fi; trap 'echo saved >ck/n; exit 77' TERM; echo ready; sleep 600 & wait"}
J
)
wait_for 30 state_is "$moves" running
first=$(tasks "$moves" 't["worker"]'); eval "pid=\$${first}_PID"
"$G" job logs "$moves" 0 -f -q >"$T/followed" & follow=$!
wait_for 30 grep -q ready "$T/followed"
kill -TERM "$pid"
over "$moves"; check "a drained worker's task saves, and goes on elsewhere with what it saved" is_log "$moves" 0 saved
wait "$follow"; check "and whoever follows its log sees both" [ "$(xargs <"$T/followed")" = "ready saved" ]
check "as no failure" [ "$(attempts "$moves" 0 'a["cause"]')/$(attempts "$moves" 0 'a["worker"] == "'"$first"'"')" = "checkpointed done/True False" ]
done_testing
