#!/bin/bash
# 77-comparator.t - copies whose results differ in their last digits are compared by the user's command, on a worker that brought
# neither: a liar is found out, a coordinator that is killed goes on, a comparator that fails fails the task
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
cl_coordinator
for i in 1 2 4 5; do cl_worker w$i --grace 2s --node n$i; done
cl_worker w3 --grace 2s --node n3 --command-show /usr,/bin,/lib,/lib64         # it lies: it does not see what the others see
export GRIDDLE_COORDINATOR=$ENDPOINT
cd "$T" || exit 1
state_is() { [ "$("$G" job show "$1" -o json | python3 -c 'import json,sys; print(json.load(sys.stdin)["state"])')" = "$2" ]; }
over() { wait_for 90 sh -c '"$0" job show "$1" | grep -Eq "^state *(done|failed|cancelled)"' "$G" "$1"; }
# facts JOB N EXPR: EXPR of each of its N tasks (t), whose attempts are a list and by number (by)
facts() {
	for k in $(seq 0 $(($2 - 1))); do "$G" task show "$1" "$k" -o json; done | python3 -c "import json,sys
text, d = sys.stdin.read(), json.JSONDecoder()
while text.strip():
    t, n = d.raw_decode(text.lstrip())
    text = text.lstrip()[n:]
    by = {a['attempt']: a for a in t['attempts']}
    print($3)"
}

# five digits are the answer, what follows differs from run to run
cat > value.sh <<'J'
cat /etc/hosts >/dev/null 2>&1 && v=3.1415 || v=2.7182
v=$v$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
mkdir -p out && echo "value $v" > out/r.txt && echo "$v"
J
cat > near.sh <<'J'
for f in a.stdout b.stdout a/out/r.txt b/out/r.txt; do [ -s $f ] || exit 3; done
awk -v a="$(awk '{ print $2 }' a/out/r.txt)" -v b="$(awk '{ print $2 }' b/out/r.txt)" 'BEGIN { d = a - b; exit !(d < 0.001 && d > -0.001) }'
J
job() { python3 -c 'import json,sys
j = {"name": sys.argv[1], "array": int(sys.argv[2]), "command": open("value.sh").read(), "outputs": ["out/r.txt"], "quorum": {"replicas": 2}}
if len(sys.argv) > 3: j["quorum"]["compare"] = dict({"command": sys.argv[3]}, **json.loads(sys.argv[4]))
print(json.dumps(j))' "$@" | "$G" submit -; }

fuzzy=$(job fuzzy 8 "$(cat near.sh)" '{}')
over "$fuzzy"
check "results that differ in their last digits agree" state_is "$fuzzy" done
check "and are not the liar's" [ "$("$G" job logs "$fuzzy" | grep -c '^3\.1415')" = 8 ]
check "by comparisons" [ "$(facts "$fuzzy" 8 'sum(a["cause"] == "equal" for a in t["attempts"]) > 0' | sort -u)" = True ]
check "on a node that brought neither result" [ "$(facts "$fuzzy" 8 'all(a["node"] not in [by[n]["node"] for n in a["compares"]]
     for a in t["attempts"] if "compares" in a and a["cause"] in ("equal", "different"))' | sort -u)" = True ]
check "no retry is charged for them" [ "$(facts "$fuzzy" 8 't["exit_code"]' | sort -u)" = 0 ]
lies=$(facts "$fuzzy" 8 'sum(a["node"] == "n3" and "compares" not in a and a["cause"] == "done" for a in t["attempts"])' | awk '{ n += $1 } END { print n }')
check "the liar had a say $lies times, and was found to differ" [ "$lies" -gt 0 -a "$(facts "$fuzzy" 8 'sum(a["cause"] == "different" for a in t["attempts"])' | awk '{ n += $1 } END { print n }')" -gt 0 ]
"$G" task show "$fuzzy" 0 > shown; check "a person is shown which two were compared" grep -q 'compares attempts [0-9]* and [0-9]*' shown

# the coordinator is killed while comparisons run
slow=$(job slow 6 "sleep 1; $(cat near.sh)" '{}')
check "comparisons run" wait_for 60 sh -c '"$0" task show "$1" 0 | grep -q "compares attempts"' "$G" "$slow"
kill -KILL "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator
over "$slow"
check "a coordinator that was killed goes on with them" state_is "$slow" done
check "to the same answers" [ "$("$G" job logs "$slow" | grep -c '^3\.1415')" = 6 ]
check "no result is made again: two to four a task" [ "$(facts "$slow" 6 '2 <= sum(a["cause"] == "done" for a in t["attempts"]) <= 4' | sort -u)" = True ]

# a comparator that cannot compare
bad=$(job bad 1 'echo no such thing >&2; exit 2' '{"retries": 1}')
over "$bad"
check "a comparator that fails is tried again, and then fails the task" state_is "$bad" failed
check "with its own cause" [ "$(facts "$bad" 1 '[a["cause"] for a in t["attempts"]].count("comparison failed")')" = 2 ]
check "which the task has too" [ "$(facts "$bad" 1 't["cause"]')" = "comparison failed" ]
done_testing
