#!/bin/bash
# 45-top.t - griddle top: a simulated cluster, a real one, keys and a lost coordinator, on a terminal of tmux
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
export LANG=C.UTF-8
COLUMNS=100 "$G" top --simulate 7 --once >"$T/one"
COLUMNS=100 "$G" top --simulate 7 --once >"$T/two"
check "the same seed shows the same" cmp -s "$T/one" "$T/two"
check "another seed another" sh -c '! COLUMNS=100 "$0" top --simulate 8 --once | cmp -s - "$1"' "$G" "$T/one"
check "jobs, nodes and slots are there" sh -c 'grep -q "JOB.*PROGRESS" "$0" && grep -q "NODE.*SLOTS" "$0" && grep -q "slots .*running" "$0"' "$T/one"
LANG=C "$G" top --simulate 7 --once >"$T/ascii"
check "an ASCII terminal gets ASCII" sh -c '! LC_ALL=C grep -q "[^ -~]" "$0"' "$T/ascii"
"$G" top --simulate 7 </dev/null >"$T/out" 2>&1; rc=$?
check "without a terminal it says what to do" [ $rc = 2 ]
check "namely --once" grep -q -- --once "$T/out"
"$G" top --coordinator tcp://127.0.0.1:1 --once >"$T/out" 2>&1; rc=$?
check "without a coordinator it ends with 32" [ $rc = 32 ]
cl_coordinator
cl_worker w1
"$G" top --coordinator "$ENDPOINT" --once --interval 100ms >"$T/out" 2>&1
check "a real cluster has its worker's node" grep -q "  1 worker *$" "$T/out"
"$G" submit --coordinator "$ENDPOINT" --name "a job with a name" - <<<'{"command": "true", "constraints": {"cpu": "z"}}' >"$T/job"
shown() { COLUMNS=80 "$G" top --coordinator "$ENDPOINT" --once --interval 100ms >"$T/out" 2>&1 && grep -q "$1" "$T/out"; }
check "a job that waits says why" wait_for 20 shown '^ *waits: no worker could run it'
check "80 columns leave room for its name" grep -q '^> *1  a job with a na' "$T/out"
check "and for the whole of the numbers" sh -c 'grep -q "WAIT     TIME *$" "$0"' "$T/out"
command -v tmux >/dev/null || { N_TEST=$((N_TEST + 1)); echo "ok $N_TEST - keys # SKIP tmux is not installed"; done_testing; exit 0; }
tm() { tmux -S "$T/tmux" -f /dev/null "$@"; }
seen() { tm capture-pane -p -t t >"$T/screen" 2>/dev/null && grep -q -- "$1" "$T/screen"; }
gone() { ! tm has-session -t t 2>/dev/null; }
tm new-session -d -s t -x 110 -y 36 "LANG=C.UTF-8 $G top --simulate 7 --interval 200ms"
check "the screen shows jobs" wait_for 20 seen 'STATE'
check "and nodes" seen 'node-0'
tm send-keys -t t w; check "w shows each worker" wait_for 20 seen 'worker-0-0'
tm send-keys -t t j; check "j picks the next job" wait_for 20 sh -c 'tmux -S "$0" capture-pane -p -t t | grep "^>" | grep -qv "^> *[0-9]*3 "' "$T/tmux"
tm send-keys -t t s; check "s changes the order, and says so" wait_for 20 seen 'order: load'
tm send-keys -t t '?'; check "? shows the keys" wait_for 20 seen 'PgUp PgDn'
tm send-keys -t t c; check "c asks first" wait_for 20 seen 'y or n'
tm send-keys -t t n
tm resize-window -t t -x 60 -y 12; check "a small terminal is used as it is" wait_for 20 seen 'griddle simulated'
tm send-keys -t t q; check "q ends it" wait_for 20 gone
tm new-session -d -s t -x 110 -y 30 "LANG=C.UTF-8 $G top --coordinator $ENDPOINT --interval 200ms"
check "a real cluster is shown" wait_for 20 seen '  1 worker *$'
tm send-keys -t t c; wait_for 20 seen 'Cancel job 1? y or n'
tm send-keys -t t C-c; check "Ctrl-C ends it while it asks" wait_for 20 gone
gone || tm kill-session -t t
tm new-session -d -s t -x 110 -y 30 "LANG=C.UTF-8 $G top --coordinator $ENDPOINT --interval 200ms"
wait_for 20 seen '  1 worker *$'; tm send-keys -t t c; wait_for 20 seen 'Cancel job 1? y or n'
"$G" submit --coordinator "$ENDPOINT" --name "one that comes meanwhile" - <<<'{"command": "true", "constraints": {"cpu": "z"}}' >"$T/job"
check "it follows the cluster while it asks" wait_for 20 seen 'one that comes'
tm resize-window -t t -x 100 -y 28; check "a terminal of another size is no answer" wait_for 20 seen 'Cancel job 1? y or n'
tm send-keys -t t y; check "and y cancels the job that was asked about" wait_for 20 sh -c '"$0" job show --coordinator "$1" 1 | grep -q "^state *cancelled"' "$G" "$ENDPOINT"
kill "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
check "a lost coordinator is said" wait_for 20 seen 'trying again'
cl_coordinator
check "and found again" wait_for 20 sh -c '! tmux -S "$0" capture-pane -p -t t | grep -q "trying again"' "$T/tmux"
tm send-keys -t t q; check "q ends that too" wait_for 20 gone
tm kill-server 2>/dev/null
cat >"$T/slots.py" <<'PY'
import json, subprocess, sys, time, urllib.request
g, endpoint, http = sys.argv[1:]
get = lambda path: json.load(urllib.request.urlopen(http + path))
job = subprocess.Popen([g, "map", "-q", "--coordinator", endpoint, "--", "true", ":::"] + [str(i) for i in range(1500)])
most = slots = n = 0
while job.poll() is None:
    s = get("/api/v1/status")
    most, slots, n = max(most, s["tasks"]["running"]), s["slots"], n + 1
    time.sleep(0.005)
print("of", slots, "slots", most, "ran at once in", n, "looks")
sys.exit(not (n > 3 and 0 < most <= slots and job.returncode == 0))
PY
python3 "$T/slots.py" "$G" "$ENDPOINT" "http://$HTTP" >"$T/out" 2>&1; rc=$?
check "what waits at a worker is not told as running" [ $rc = 0 ]; [ $rc = 0 ] || diag <"$T/out"
done_testing
