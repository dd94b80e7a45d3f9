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
check "POST is not served there" [ "$(curl -s -X POST -d x -o /dev/null -w '%{http_code}' "http://$HTTP/livez")" = 405 ]
check "a large body is cut off" [ "$(head -c 10000000 /dev/zero | curl -s -m 10 -X POST --data-binary @- -H 'Expect:' -o /dev/null -w '%{http_code}' "http://$HTTP/livez")" != 200 ]
check "a foreign Origin is refused" [ "$(curl -s -H 'Origin: http://evil.example' -o /dev/null -w '%{http_code}' "http://$HTTP/api/v1/status")" = 403 ]
check "a Host that is no loopback name is refused" [ "$(curl -s -H 'Host: evil.example' -o /dev/null -w '%{http_code}' "http://$HTTP/api/v1/status")" = 403 ]
check "a cross-site fetch is refused" [ "$(curl -s -H 'Sec-Fetch-Site: cross-site' -o /dev/null -w '%{http_code}' "http://$HTTP/api/v1/status")" = 403 ]
check "the page's own origin is fine" [ "$(curl -s -H "Origin: http://$HTTP" -o /dev/null -w '%{http_code}' "http://$HTTP/api/v1/status")" = 200 ]
check "/ is the page" is / "200 text/html; charset=utf-8"
curl -s -D "$T/head" -o /dev/null "http://$HTTP/"
check "with a strict policy" grep -qi "^content-security-policy: default-src 'self'" "$T/head"
check "and nothing inline or from elsewhere in it" python3 -c '
import re, sys
page = open(sys.argv[1]).read()
assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)
assert all(u.startswith("/") or u.startswith("#") for u in re.findall(r"(?:src|href)=\"([^\"]*)\"", page))' "$T/body"
for f in $(grep -oE '/web/[a-z.]+' "$T/body" | sort -u) /web/live.js /web/charts.js; do
	check "$f is served" [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$HTTP$f")" = 200 ]
done
curl -sN "http://$HTTP/api/v1/events" >"$T/events" & CURL_PID=$!; CL_PIDS="$CL_PIDS $CURL_PID"
check "events begin with what a reader without a past is told" wait_for 5 grep -q '^event: reset' "$T/events"
cl_worker early
check "a worker that comes is an event" wait_for 5 grep -q '^event: worker.up' "$T/events"
kill "$CURL_PID"
last=$(sed -n 's/^id: //p' "$T/events" | head -n 1)
curl -sN -m 1 -H "Last-Event-ID: $last" "http://$HTTP/api/v1/events" >"$T/again"
check "who comes back gets what it missed" grep -q '^event: worker.up' "$T/again"
check "and nothing twice" [ "$(grep -c '^event: reset' "$T/again")" = 0 ]
kill "$early_PID"; wait_for 10 metric_is griddle_workers 0
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
    m = re.match(r'([a-z_]+)(\{[a-z_]+="[^"\\\n]*"(?:,[a-z_]+="[^"\\\n]*")*\})? (\S+)$', line)
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
check "with the two ways out" grep -q 'http-tokens.*http-anywhere' "$T/out"

viewer=$("$BIN/griddle" keys token --tokens "$T/tokens" --roles viewer wall)
admin=$("$BIN/griddle" keys token --tokens "$T/tokens" --roles admin anna)
check "a token file holds no token" sh -c '! grep -qE "$1|$2" "$3"' _ "$viewer" "$admin" "$T/tokens"
kill "$COORD_PID"; wait_for 10 sh -c '! kill -0 $0 2>/dev/null' "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator --http-tokens "$T/tokens"
code() { curl -s -o "$T/body" -w '%{http_code}' -H "Authorization: Bearer $2" "http://$HTTP$1"; }
check "without a token the API is closed" is /api/v1/status "401 application/problem+json"
check "and so are events" is /api/v1/events "401 application/problem+json"
check "with an unknown one too" [ "$(code /api/v1/status gr_0000)" = 401 ]
check "a viewer looks" [ "$(code /api/v1/status "$viewer")" = 200 ]
check "health, metrics and the page's files stay open" sh -c 'for p in /livez /metrics / /api/v1/openapi.json; do [ "$(curl -s -o /dev/null -w "%{http_code}" "http://$0$p")" = 200 ] || exit 1; done' "$HTTP"
grep -v ' wall$' "$T/tokens" >"$T/tokens.new"; chmod 600 "$T/tokens.new"; mv "$T/tokens.new" "$T/tokens"
check "a token that was taken out is unknown at once" [ "$(code /api/v1/status "$viewer")" = 401 ]
check "the others stay" [ "$(code /api/v1/status "$admin")" = 200 ]
chmod o+w "$T/tokens"
check "a file others may write lets nobody in" [ "$(code /api/v1/status "$admin")" = 401 ]
chmod o-w "$T/tokens"
check "until it is mended" [ "$(code /api/v1/status "$admin")" = 200 ]
echo "not a line" >"$T/tokens.bad"
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --http-tokens "$T/tokens.bad" --state "$T/other" >"$T/out" 2>&1; rc=$?
check "a damaged token file ends it" [ $rc = 2 ]
check "and is told with its line" grep -q "tokens.bad:1:" "$T/out"
HTTP=0.0.0.0:0 ENDPOINT=tcp://127.0.0.1:0
kill "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator --http-anywhere
HTTP=127.0.0.1:${HTTP##*:}
check "beyond loopback without tokens there is health" is /livez "200 text/plain; charset=utf-8"
check "and metrics" [ "$(get /metrics | cut -d' ' -f1)" = 200 ]
check "and nothing else" is /api/v1/status "403 application/problem+json"
"$BIN/griddle-coordinator" --listen tcp://0.0.0.0:0 --http off --state "$T/other" >"$T/out" 2>&1; rc=$?
check "so is an endpoint beyond loopback without keys" [ $rc = 4 ]
check "with its reason" grep -q 'without keys only loopback' "$T/out"
"$BIN/griddle-coordinator" --listen "$ENDPOINT" --http off --state "$T/other" >"$T/out" 2>&1; rc=$?
check "a port that is taken is an error" [ $rc != 0 ]
check "that names it" grep -q "$ENDPOINT" "$T/out"

timeout 10 "$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http "$HTTP" --state "$T/other" >"$T/out" 2>&1; rc=$?
check "so is an HTTP port that is taken" [ $rc = 36 ]
check "that names it as well" grep -q "cannot listen on $HTTP" "$T/out"

exec 3<>"/dev/tcp/${HTTP%:*}/${HTTP#*:}"; printf 'GET /livez HT' >&3
check "a request that never ends holds up nobody" is /livez "200 text/plain; charset=utf-8"
kill -TERM "$COORD_PID"; wait "$COORD_PID"; rc=$?
exec 3>&-
check "SIGTERM ends it with 0" [ $rc = 0 ]
done_testing
