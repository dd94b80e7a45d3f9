#!/bin/bash
# 73-job-service.t - what the coordinator does for jobs beside running them: second tries of stragglers, copies among like
# workers alone, the reason of pending in lists, files over HTTP, metrics, CPU of pipelines, files kept by size
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
cl_coordinator --keep-bytes 8M
cl_worker w1 --node n1 --labels cpu=a
cl_worker w2 --node n2 --labels cpu=b
cl_worker w3 --node n3 --labels cpu=a --command-show /usr,/bin,/lib,/lib64
export GRIDDLE_COORDINATOR=$ENDPOINT
cd "$T" || exit 1
submit() { "$G" submit "$@" -; }
over() { wait_for 60 sh -c '"$0" job show "$1" | grep -Eq "^state *(done|failed|cancelled)"' "$G" "$1"; }
api() { curl -s -o "$T/body" -w '%{http_code}' "http://$HTTP/api/v1$1" "${@:2}"; }
of() { python3 -c "import json,sys; d=json.load(open('$T/body')); print($1)"; }
each() {        # each JOB N: of each of its N tasks the attempts, WORKER:CAUSE, a line a task
	curl -s "http://$HTTP/api/v1/jobs/$1/tasks/[0-$(($2 - 1))]" | python3 -c 'import json,sys
text, d = sys.stdin.read(), json.JSONDecoder()
while text.strip():
    task, n = d.raw_decode(text.lstrip())
    text = text.lstrip()[n:]
    print(*[a["worker"] + ":" + a.get("cause", "") for a in task["attempts"] if a.get("cause") != "unsent"])'
}

# w3 does not see what the others see, and would be at it for ever
slow=$(submit <<'J'
{"name": "slow", "array": 12, "rerunnable": true, "command": "cat /etc/hosts >/dev/null 2>&1 || sleep 600; echo done"}
J
)
over "$slow"; each "$slow" 12 >"$T/rows"
check "what may run twice is tried elsewhere when it takes long" grep -q 'w3:another copy was first w[12]:done' "$T/rows"
check "and every task has one outcome" [ "$(grep -o ':done' "$T/rows" | wc -l)" = 12 ]
check "the first try is ended, and its room is there again" wait_for 30 sh -c '[ "$("$0" status -o json | python3 -c "import json,sys; print(json.load(sys.stdin)[\"tasks\"][\"running\"])")" = 0 ]' "$G"

same=$(submit <<<'{"name": "same", "array": 8, "command": "echo 1", "quorum": {"replicas": 2, "same": "cpu"}, "constraints": {"cpu": "a"}}')
over "$same"; each "$same" 8 >"$T/rows"
check "copies are compared among like workers alone" sh -c '[ "$(grep -c "w1.*w3\|w3.*w1" "$0")" = 8 ] && ! grep -q w2 "$0"' "$T/rows"
never=$(submit --name never <<<'{"command": "true", "constraints": {"cpu": "z"}}')
check "job ls tells why a job waits" wait_for 30 sh -c '"$0" job ls | grep "never" | grep -q "no worker could run it"' "$G"
check "and job show" sh -c '"$0" job show "$1" | grep -q "^pending *no worker could run it"' "$G" "$never"
check "so does the API" [ "$(api "/jobs?newest=true&limit=1")/$(of 'd["jobs"][0]["pending"]')" = "200/no worker could run it" ]

# more kinds of tasks than placement tells apart: what it refused is offered again later, and the coordinator lives
kinds() { python3 -c 'import json,sys
first, n = int(sys.argv[1]), int(sys.argv[2])
print(json.dumps({"spec": {"name": "kinds", "stages": [{"name": "s%d" % i, "argv": ["true"], "constraints": [{"label": "cpu", "op": "in", "values": ["y"]}],
    "resources": {"mem_bytes": (first + i) << 20}} for i in range(n)]}}))' "$@" >"$T/kinds.json"; api /jobs -d "@$T/kinds.json" >/dev/null; of 'd["job"]'; }
some=$(kinds 1 3000); rest=$(kinds 4000 1500)
refused() { api "/jobs/$rest/tasks/$1" >/dev/null; [ "$(of 'd.get("pending")')" = "placement has no room for it yet" ]; }
check "a task that placement had no room for says so" wait_for 60 refused 1499
"$G" job cancel "$some" -q
check "and is queued when there is room" wait_for 60 sh -c 'curl -s "http://$0/api/v1/jobs/$1/tasks/1499" | grep -q "no worker could run it"' "$HTTP" "$rest"
"$G" job cancel "$rest" -q
for over in cpu_mcpu:1073741824 gpu_milli:1073741824 mem_bytes:1125899906842624 disk_bytes:1125899906842624; do
	check "more ${over%:*} than placement counts is refused" [ "$(api /jobs -d "{\"spec\":{\"stages\":[{\"argv\":[\"true\"],\"resources\":{\"${over%:*}\":${over#*:}}}]}}")" = 422 ]
done

# files over HTTP: up under their digest, then a job that names one, then down
head -c 1500000 /dev/urandom >"$T/in.bin"; sum=$(sha256sum <"$T/in.bin" | cut -d ' ' -f 1)
check "a file goes up under its digest" [ "$(api "/blobs/$sum" -T "$T/in.bin")" = 204 ]
check "not under another" [ "$(api "/blobs/$(printf %064d 0)" -T "$T/in.bin")" = 422 ]
check "a bad digest is a 400" [ "$(api /blobs/x -T "$T/in.bin")" = 400 ]
check "a job that names it is taken" [ "$(api /jobs -d '{"spec":{"name":"web","tenant":"webshop","blobs":[["'"$sum"'",1500000]],"stages":[{"argv":["sh","-c","cat in.bin in.bin >out.bin; head -c 100000000 /dev/zero | sha256sum"],"inputs":[{"path":"in.bin","blob":"'"$sum"'"}],"outputs":[{"path":"out.bin"}]}]}}')" = 201 ]
web=$(of 'd["job"]'); over "$web"
check "what it made comes down" sh -c 'curl -s "http://$0/api/v1/jobs/$1/tasks/0/outputs/0" | cmp - "$2"' "$HTTP" "$web" <(cat "$T/in.bin" "$T/in.bin")
check "what it did not make is a 404" [ "$(api "/jobs/$web/tasks/0/outputs/1")" = 404 ]
api "/jobs/$web/tasks/0" >/dev/null
check "the CPU time of a pipeline is all of its parts'" [ "$(of 'd["attempts"][-1]["cpu_us"] > 100000')" = True ]
curl -s "http://$HTTP/metrics" >"$T/metrics"
check "metrics tell of open jobs" grep -q "^griddle_job_tasks_waiting{job=\"$never\",tenant=\"default\"} 1$" "$T/metrics"
check "and of tenants" grep -q '^griddle_tenant_tasks_done_total{tenant="webshop"} 1$' "$T/metrics"
if command -v promtool >/dev/null; then check "promtool finds nothing" sh -c 'promtool check metrics <"$0" >"$0.lint" 2>&1' "$T/metrics"; fi

# over --keep-bytes together: what ended first goes
more=$(submit <<<'{"name": "more", "command": "head -c 6000000 /dev/zero >out.bin", "outputs": ["out.bin"]}')
over "$more"
check "jobs that are over go when their files are too many, the first first" wait_for 30 sh -c '! "$0" job show "$1" >/dev/null 2>&1' "$G" "$web"
check "the one that ended last stays" sh -c '"$0" job show "$1" | grep -q "^state *done"' "$G" "$more"
check "one without files stays" sh -c '"$0" job show "$1" | grep -q "^state *done"' "$G" "$same"
done_testing
