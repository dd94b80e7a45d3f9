#!/bin/bash
# 41-http.t - /livez, /readyz, /version, /metrics, /api/v1: what they answer, to whom, and when the coordinator ends
. "$(dirname "$0")/cluster.sh"
command -v curl >/dev/null || skip_all "curl is not installed"
cl_coordinator
get() { curl -s -o "$T/body" -w '%{http_code} %{content_type}' "http://$HTTP$1"; }
is() { [ "$(get "$1")" = "$2" ]; }

check "/livez is 200" is /livez "200 text/plain; charset=utf-8"
check "/readyz is 200" is /readyz "200 text/plain; charset=utf-8"
check "/version is JSON" is /version "200 application/json"
check "with the version" grep -q '"version"' "$T/body"
check "/api/v1/status is JSON" is /api/v1/status "200 application/json"
check "that a parser takes" python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); assert d["ready"] is True and d["workers"] == 0' "$T/body"
check "/api/v1/nodes is JSON" is /api/v1/nodes "200 application/json"
check "with a list" python3 -c 'import json,sys; assert json.load(open(sys.argv[1]))["nodes"] == []' "$T/body"
check "an unknown path is a problem" is /etc/passwd "404 application/problem+json"
check "that tells its status" python3 -c 'import json,sys; assert json.load(open(sys.argv[1]))["status"] == 404' "$T/body"
check "a path that climbs is a problem too" [ "$(curl -s --path-as-is -o /dev/null -w '%{http_code}' "http://$HTTP/../../etc/passwd")" = 404 ]
check "POST is not served" [ "$(curl -s -X POST -d x -o /dev/null -w '%{http_code}' "http://$HTTP/livez")" = 405 ]
check "a large body is cut off" [ "$(head -c 10000000 /dev/zero | curl -s -m 10 -X POST --data-binary @- -H 'Expect:' -o /dev/null -w '%{http_code}' "http://$HTTP/livez")" != 200 ]
check "HEAD is served" [ "$(curl -s -I -o /dev/null -w '%{http_code}' "http://$HTTP/metrics")" = 200 ]

check "/metrics is Prometheus text" is /metrics "200 text/plain; version=0.0.4; charset=utf-8"
cp "$T/body" "$T/metrics"
cat >"$T/lint.py" <<'PY'
import re, sys
helps, types, seen, last = {}, {}, set(), None
for line in open(sys.argv[1]):
    line = line.rstrip("\n")
    m = re.match(r"# (HELP|TYPE) (\S+) (.+)$", line)
    if m:
        table = helps if m[1] == "HELP" else types
        assert m[2] not in table, "twice: " + line
        table[m[2]] = m[3]
        last = m[2]
        continue
    m = re.match(r'([a-z_]+)(\{[a-z_]+="[^"\\\n]*"\})? (\S+)$', line)
    assert m, "no sample: " + line
    base = re.sub(r"_(bucket|sum|count)$", "", m[1]) if types.get(last) == "histogram" else m[1]
    assert base == last, "outside its family: " + line
    assert (m[1], m[2]) not in seen, "twice: " + line
    seen.add((m[1], m[2]))
    float(m[3])
    assert base in helps and base in types, "no HELP or TYPE: " + line
    assert helps[base].endswith("."), "HELP is no sentence: " + helps[base]
    assert (types[base] == "counter") == base.endswith("_total"), "counters end in _total: " + base
    assert base.startswith("griddle_")
for name, kind in types.items():
    if kind == "histogram":
        b = [float(l.split()[-1]) for l in open(sys.argv[1]) if l.startswith(name + "_bucket")]
        n = [float(l.split()[-1]) for l in open(sys.argv[1]) if l.startswith(name + "_count")]
        assert b == sorted(b) and b[-1] == n[0], "buckets of " + name
print(len(types))
PY
check "families are whole, told once, and named as they should be" python3 "$T/lint.py" "$T/metrics"
if command -v promtool >/dev/null; then check "promtool finds nothing" promtool check metrics <"$T/metrics"; fi
for m in sessions workers slots slots_free tasks_queued tasks_running tasks_total attempts_total placement_decision_seconds_count; do
	check "there is griddle_$m" grep -q "^griddle_$m[ {]" "$T/metrics"
done

"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http 0.0.0.0:0 --state "$T/other" >"$T/out" 2>&1; rc=$?
check "an address beyond loopback is refused" [ $rc = 2 ]
check "with the reason" grep -q 'beyond loopback' "$T/out"
"$BIN/griddle-coordinator" --listen tcp://0.0.0.0:0 --http off --state "$T/other" >"$T/out" 2>&1; rc=$?
check "so is an endpoint beyond loopback without keys" [ $rc = 4 ]
check "with its reason" grep -q 'without keys only loopback' "$T/out"
"$BIN/griddle-coordinator" --listen "$ENDPOINT" --http off --state "$T/other" >"$T/out" 2>&1; rc=$?
check "a port that is taken is an error" [ $rc != 0 ]
check "that names it" grep -q "$ENDPOINT" "$T/out"

exec 3<>"/dev/tcp/${HTTP%:*}/${HTTP#*:}"; printf 'GET /livez HT' >&3
check "a request that never ends holds up nobody" is /livez "200 text/plain; charset=utf-8"
kill -TERM "$COORD_PID"; wait "$COORD_PID"; rc=$?
exec 3>&-
check "SIGTERM ends it with 0" [ $rc = 0 ]
done_testing
