#!/bin/bash
# 46-jobfile.t - job files: the examples, and the parser and docs/job.schema.json of one mind; map --dry-run
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
cd "$TOP" || exit 1
for f in examples/mandelbrot/*.json examples/sweep/*.json examples/kernel-matrix/*.json; do
	case $f in
	*sweep*) [ -e /usr/share/perl/5.36/unicore/Name.pl ] || continue ;;
	esac
	check "$f is fine" "$G" submit "$f" --dry-run
done >"$T/out"
grep -v ' tasks, ' "$T/out"
cd "$T" || exit 1
python3 - "$TOP/docs/job.schema.json" >"$T/cases" <<'PY'
import itertools, json, os, sys
def case(good, o):
    json.dump(o, open(f"case-{case.n}.json", "w"))
    print(case.n, "good" if good else "bad")
    case.n += 1
case.n = 0
open("a.txt", "w").write("a\n")
c = {"command": "x"}
for o in ({"command": ["ls"]}, {"tasks": [c]}, {**c, "array": 3}, {**c, "array": "0-9:3"}, {**c, "array": {"matrix": {"a": [1, "b"]}}}, {**c, "array": {"file": "a.txt"}},
          {**c, "array": [1, ["a", 2]]}, {**c, "timeout": "1h30m"}, {**c, "resources": {"cpus": "500m", "mem": 1024, "disk": "1GiB"}}, {**c, "retry": 3},
          {**c, "retry": {"exit_codes": 75, "backoff": "1s"}}, {**c, "stop_after_failures": "5%"}, {**c, "deadline": "2h"}, {**c, "inputs": ["a.txt", {"file": "a.txt", "as": "b"}, {"text": "", "as": "e"}]},
          {**c, "constraints": {"arch": ["x", "y"], "gpu": True}}, {**c, "checkpoint": {"exit_code": 77, "dir": "ck"}}, {**c, "quorum": {"replicas": 2, "min": 2}},
          {**c, "quorum": {"compare": ["r"]}}, {**c, "quorum": {"compare": {"command": ["./c", "a/r", "b/r"], "inputs": ["a.txt", {"text": "x", "as": "c"}], "timeout": "1m", "retries": 0,
           "constraints": {"own": True}, "resources": {"cpus": 0.5}, "paths": ["r"], "network": True, "env": {"A": 1}}}},
          {"tasks": [{"name": "a", **c}, {**c, "after": ["a", {"task": "a", "each": True}]}]}, {"$schema": "x", "description": "y", "defaults": {"network": True}, "tasks": [c]}):
    case(True, o)
for o in ([], {}, {"tasks": []}, {"tasks": {}}, {"tasks": [1]}, {"tasks": [{}]}, {"command": ""}, {"command": []}, {"command": 7}, {**c, "x": 1}, {**c, "array": 0}, {**c, "array": "x"},
          {**c, "array": []}, {**c, "array": {"matrix": {}}}, {**c, "array": {"matrix": {"a.b": [1]}}}, {**c, "array": {"list": [1], "file": "a.txt"}}, {**c, "timeout": 5}, {**c, "timeout": "5"},
          {**c, "resources": {"mem": "12Q"}}, {**c, "resources": {"ram": 1}}, {**c, "retry": -1}, {**c, "retry": {"max": "x"}}, {**c, "priority": 16}, {**c, "weight": 0}, {**c, "idle": "yes"},
          {**c, "inputs": "a.txt"}, {**c, "inputs": [{"file": "a.txt", "ass": "b"}]}, {**c, "inputs": [{"text": "x"}]}, {**c, "outputs": [{"required": True}]}, {**c, "env": {"A=": "x"}},
          {**c, "env": {"A": []}}, {**c, "constraints": {"a": 1}}, {**c, "stop_after_failures": "x"}, {**c, "secrets": {"a": {}}},
          {**c, "quorum": {"compare": {}}}, {**c, "quorum": {"compare": 1}}, {**c, "quorum": {"compare": {"command": "x", "retries": 101}}}, {**c, "quorum": {"compare": {"command": "x", "outputs": ["r"]}}},
          {**c, "quorum": {"compare": {"command": "x", "inputs": [{"from": "a"}]}}}, {"tasks": [c], "command": "x"}, {"tasks": [c], "timeout": "1s"}):
    case(False, o)
PY
judge() { python3 - "$TOP/docs/job.schema.json" <<'PY'
import json, sys
try:
    import jsonschema
except ImportError:
    print("none"); sys.exit()
v = jsonschema.Draft202012Validator(json.load(open(sys.argv[1])))
for line in open("cases"):
    n = line.split()[0]
    print(n, "good" if v.is_valid(json.load(open(f"case-{n}.json"))) else "bad")
PY
}
while read -r n _; do "$G" submit "case-$n.json" --dry-run >/dev/null 2>&1; case $? in 0) echo "$n good" ;; 2) echo "$n bad" ;; *) echo "$n odd" ;; esac; done <"$T/cases" >"$T/parser"
check "the parser takes what is good and refuses what is not, with 2" cmp -s "$T/cases" "$T/parser"; diff "$T/cases" "$T/parser" | diag
judge >"$T/schema"
if grep -q none "$T/schema"; then N_TEST=$((N_TEST + 1)); echo "ok $N_TEST - the schema agrees # SKIP python3-jsonschema is not installed"
else check "the schema agrees" cmp -s "$T/cases" "$T/schema"; diff "$T/cases" "$T/schema" | diag; fi

# names of inputs that JSON cannot hold: told with the name, and no job without them
nobytes() { mkdir in; eval "$1"; "$G" submit in.json --dry-run >"$T/out" 2>"$T/err"; _rc=$?; rm -r in; [ $_rc = 2 ] && grep -q "$2: a name that is not UTF-8 cannot be sent" "$T/err" || { echo "# $_rc"; diag <"$T/err"; return 1; }; }
printf '{"command":["true"],"inputs":["in"]}' >in.json
check "a file whose name is not UTF-8 is refused" nobytes "echo x >in/$'caf\\351'" 'in/caf\\xe9'
check "a link that points to such a name" nobytes "ln -s $'caf\\351' in/link" 'in/link'
check "a folder with nothing in it too" nobytes "mkdir in/$'d\\351'" 'in/d\\xe9'
check "and one with a file" nobytes "mkdir in/$'d\\351'; echo x >in/$'d\\351'/a" 'in/d\\xe9'

is() { _w=$1; shift; [ "$("$@" 2>&1)" = "$_w" ]; }
check "map takes combinations" is 'echo a 1
echo a 2
echo b 1
echo b 2' "$G" map --dry-run -- echo '{1}' '{2}' ::: a b ::: 1 2
check "and lists that go along" is 'echo 1-x
echo 2-y' "$G" map --dry-run -- echo '{1}-{2}' ::: 1 2 :::+ x y
check "a value without a place goes behind" is 'ls a' "$G" map --dry-run -- ls ::: a
check "values are quoted for the shell" is "cat 'a b' > 'a b'.out" "$G" map --dry-run 'cat {} > {}.out' ::: 'a b'
check "parts of a path" is 'x /d/e.f/g.tar /d/e.f g.tar.gz g.tar 1' "$G" map --dry-run -- x '{.}' '{//}' '{/}' '{/.}' '{#}' ::: /d/e.f/g.tar.gz
check "lines of standard input, two a task" is "echo 'a b'
echo c" sh -c 'printf "a\nb\nc" | "$0" map --dry-run -n 2 -- echo' "$G"
"$G" map --dry-run -- echo ::: >"$T/out" 2>&1; check "a list without values is bad usage" [ $? = 2 ]
"$G" map --dry-run -- echo '{3}' ::: a >"$T/out" 2>&1; check "so is a place beyond the values" [ $? = 2 ]
done_testing
