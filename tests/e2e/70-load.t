#!/bin/bash
# 70-load.t - load tests through a cluster: exact merge, coordinated omission seen, thresholds, safety, hard stops, loss
. "$(dirname "$0")/cluster.sh"
command -v python3 >/dev/null || skip_all "python3 is not installed"
cd "$T" || exit 1
TARGET=${BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/load_target
target() {   # target MODE: sets PORT, TARGET_PID
	rm -f "$T/port"; "$TARGET" "$1" "$T/port" & TARGET_PID=$!; CL_PIDS="$CL_PIDS $TARGET_PID"
	wait_for 10 test -s "$T/port" || { echo "Bail out! no target"; exit 1; }
	PORT=$(cat "$T/port")
}
# ok_json FILE EXPRESSION: a Python expression over d
ok_json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(0 if eval(sys.argv[2]) else 1)' "$1" "$2"; }
load() { "$BIN/griddle" load "$@"; }
export GRIDDLE_LATE=2s                   # whether this machine has time to spare is not what is tested here

cl_coordinator
export GRIDDLE_COORDINATOR=$ENDPOINT
for w in a b c d; do cl_worker $w; done
target ok

# ---- safety: before anything leaves ----
load http http://127.0.0.1:$PORT/ --rate 2000/s --for 1s >out 2>err; rc=$?
check "more than 1000/s needs --yes" [ $rc = 2 ] && grep -q -- "--yes" err && check "and says so" grep -q "2000 arrivals a second" err
load http "127.0.0.1:$PORT" >out 2>err; check "an address without a scheme is bad usage" [ $? = 2 ]
check "with what an address is" grep -q '"127.0.0.1:.*" is no address: it begins with http://' err
load http >out 2>err; check "without one: it says what is wanted" grep -q "http wants the address to test" err
printf '{"target":"http://127.0.0.1:%s/","stages":[{"rate":"10/s","for":"1s"}],"thresholds":["nope.p99 < 1s"]}' $PORT >bad.json
load run bad.json >out 2>err; check "a bad plan is bad usage" [ $? = 2 ]
check "with file and path" grep -q 'bad.json: thresholds\[0\]: "nope"' err
load http http://127.0.0.1:$PORT/ --workers 9 >out 2>err; check "more workers than there are: none is used" [ $? = 1 ]
check "and it says who can" grep -q "9 workers are wanted and 4 can take part" err

refused() { _want=$1; shift; load "$@" >out 2>err; _rc=$?; [ $_rc = 2 ] && [ ! -s out ] && grep -q -- "$_want" err || { echo "# $_rc"; diag <err; return 1; }; }
check "a letter that is no option is refused, and so what stands behind it is not passed over" refused '-x: no such option' http http://127.0.0.1:$PORT/ -x --rate 5/s --for 1s
check "what a plan says is not said beside it" refused '--rate says nothing to run: its plan does' run bad.json --rate 500/s
check "nor is a file written that nobody asked to be made" refused '--junit says nothing to compare' compare a b --junit r.xml
check "a list is no CSV" refused 'ls prints a table or JSON' ls -o csv
check "what is written at the end wants the end" refused 'load show TEST --html FILE' http http://127.0.0.1:$PORT/ --for 1s --detach --html r.html
for o in threshold body header name for; do
	check "--$o that is not UTF-8 is refused, not passed over" refused "$o: wants text in UTF-8" http http://127.0.0.1:$PORT/ --for 1s --$o $'X: \377'
done
check "nor is such an address one" refused 'is no address: it is not UTF-8' http http://127.0.0.1:$PORT/$'\377'
load http http://127.0.0.1:$PORT/ --rate 20/s --for 1s -q --html /dev/full --junit r.xml >out 2>err; rc=$?
check "a report that cannot be written is no success" [ $rc = 36 ]; check "which says why" grep -q '/dev/full: No space left on device' err
check "and keeps no other from being written" grep -q '<testsuite' r.xml
load http http://127.0.0.1:$PORT/ --rate 20/s --for 1s -q --html "$T/none/r.html" --threshold 'rate > 1000000/s' >out 2>err; rc=$?
check "nor the verdict from the exit code" sh -c '[ $0 = 3 ] && grep -q "none/r.html: No such file or directory" err' $rc
kill -STOP $COORD_PID
"$BIN/griddle" load ls >out 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
listens() { [ $((0x$(awk '/^SigCgt/ { print $2 }' /proc/$P/status) & 2)) != 0 ]; }
wait_for 10 listens; kill -INT $P; wait $P; rc=$?
kill -CONT $COORD_PID
check "Ctrl-C ends what waits for a coordinator that does not answer" [ $rc = 8 ]

python3 -c 'import jsonschema' 2>/dev/null && for p in "$TOP"/examples/analytics/*.json; do
	check "docs/load.schema.json takes ${p##*/}" python3 -c 'import json,sys,jsonschema; jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))' "$TOP/docs/load.schema.json" "$p"
done

# ---- four workers, one result ----
load http http://127.0.0.1:$PORT/ --rate 400/s --for 2s --threshold "errors < 1%, rate > 300/s" -o json --html r.html --junit r.xml >r.json 2>err
rc=$?; check "a test that holds ends with 0" [ $rc = 0 ]; [ $rc = 0 ] || diag <err
check "every arrival of the plan, once" ok_json r.json "d['counters']['due'] == 800 and d['latency']['count'] == 800 and d['errors'] == 0"
check "a quarter from each worker" ok_json r.json "sorted(w['due'] for w in d['workers']) == [200] * 4"
check "status by code" ok_json r.json "d['requests'][0]['status'] == {'200': 800}"
check "by class of status, and the parts of its time apart" ok_json r.json "[*d['requests'][0]['latency_by_class']] == ['2xx'] and d['first_byte']['count'] == d['send_late']['count'] == 800 and d['connect']['count'] == d['counters']['opened'] >= 4 and d['tls']['count'] == 0"
check "and by interval" ok_json r.json "sum(i['due'] for i in d['intervals']) == 800 and all(i['p50_ms'] <= i['p99_ms'] <= i['max_ms'] for i in d['intervals'] if i['rate_per_s'])"
check "started together, and how far apart is told" ok_json r.json "0 <= d['skew_ms'] < 500"       # bench/load_netns.sh has the figure
load http http://127.0.0.1:$PORT/ --ramp 1s --rate 40/s --for 1s --connections 2 --quiet -o json >r2.json 2>err
check "a ramp, and no more connections in all than were asked for" ok_json r2.json "d['counters']['due'] == 60 and max(i['open'] for i in d['intervals']) <= 2 and len(d['workers']) == 2"
cat >merge.py <<'PY'
# counters of the V2 encoding; the merged ones must be the sum of the workers', count for count
import base64, json, struct, sys, zlib
def counts(text):
    raw = base64.b64decode(text)
    assert struct.unpack(">I", raw[:4])[0] == 0x1c849314
    raw = zlib.decompress(raw[8:])
    assert struct.unpack(">I", raw[:4])[0] == 0x1c849313
    out, i, at = {}, 0, 40
    while at < len(raw):
        v = shift = 0
        for k in range(9):
            b = raw[at]; at += 1
            v |= (b if k == 8 else b & 127) << shift
            shift += 7
            if not b & 128: break
        v = (v >> 1) ^ -(v & 1)
        if v < 0: i -= v
        else: out[i] = v; i += 1
    return out
d = json.load(open(sys.argv[1]))
whole, parts = counts(d["latency"]["histogram"]), {}
for w in d["workers"]:
    for i, n in counts(w["latency"][0]).items():
        parts[i] = parts.get(i, 0) + n
assert whole == parts and sum(whole.values()) == d["latency"]["count"], "merged differs"
PY
check "the merged histogram is the sum of the four, count for count" python3 merge.py r.json
check "the report is one HTML file" grep -q "</html>" r.html
check "with charts" [ "$(grep -c '<svg' r.html)" = 5 ]
check "that needs nothing from elsewhere" sh -c '! grep -qE "(src|href)=" r.html'
if CHROMIUM=$(command -v chromium || command -v chromium-browser); then
	timeout 120 python3 "$TOP/tests/e2e/report_check.py" "$CHROMIUM" r.html >out 2>&1; rc=$?
	check "charts fit a desk and a phone, no label on another" [ $rc = 0 ]; [ $rc = 0 ] || diag <out
fi
check "JUnit has a case a threshold" python3 -c 'import xml.etree.ElementTree as e; r=e.parse("r.xml").getroot(); assert r.get("tests")=="3" and r.get("failures")=="0"'

# ---- thresholds ----
load http http://127.0.0.1:$PORT/ --rate 50/s --for 1s --threshold "rate > 900/s" >out 2>err; check "a broken threshold ends with 3" [ $? = 3 ]
check "and is named" grep -q "BROKEN: rate > 900/s" out
cat >abort.json <<EOF2
{"target":"http://127.0.0.1:1/","stages":[{"rate":"100/s","for":"30s"}],"interval":"200ms","thresholds":[{"is":"errors < 10%","abort":true,"after":"400ms"}]}
EOF2
t0=$(date +%s); load run abort.json -o json >r.json 2>err; rc=$?; t1=$(date +%s)
check "one that aborts ends the test with 3" [ $rc = 3 ]
check "long before its time" [ $((t1 - t0)) -lt 15 ]
check "refused connections are called that" ok_json r.json "set(d['errors_by_kind']) <= {'refused', 'cancelled'} and d['errors_by_kind']['refused'] > 10"

printf '{"target":"http://127.0.0.1:1/","late":"5s","stages":[{"rate":"20/s","for":"500ms"}],"thresholds":["http.p99 < 10s"]}' >none.json
load run none.json --quiet >out 2>err; rc=$?; check "of no answer at all no quantile holds" [ $rc = 3 ]
check "and it says which" grep -q "verdict .*http.p99 < 10s does not hold" out
load http http://127.0.0.1:1/ --rate 20/s --for 500ms --quiet >out 2>err; rc=$?; check "nobody answered, and no threshold said so: nothing that counts" [ $rc = 1 ]
check "and it says so" grep -q "verdict .*error: none of 10 requests was answered" out
check "without a line of no status" sh -c '! grep -q "^status" out'
for scale in 'd["latency"]["p50_ms"]' 'd["requests"][0]["latency"]["max_ms"]' 'd["intervals"][0]["p99_ms"]'; do
	load show http -o json >r.json 2>err; check "of no answer there is no percentile, $scale" ok_json r.json "$scale is None"
done
load show http -o csv >out 2>err; check "nor in the CSV" grep -qE '^0,[0-9]+,0,0\.000,[0-9]+,[0-9]+,[0-9]+,,,,,$' out
check "its columns are those of docs/load.md" [ "$(head -n 1 out)" = "$(sed -n 's/^    \(t_s,.*\)/\1/p' "$TOP/docs/load.md")" ]
check "nor in the list" sh -c '"$1" load ls | grep -qE " 0 +- +- +10 +error"' sh "$BIN/griddle"
check "nor in the metrics, which promtool takes" sh -c 'curl -s "http://$1/metrics" >m && grep -q "^griddle_load_latency_p99_seconds{.*} NaN$" m && { ! command -v promtool >/dev/null || promtool check metrics <m; }' sh "$HTTP"
check "errors stand in the list" sh -c '"$1" load ls | grep -qE " 10 +threshold"' sh "$BIN/griddle"

printf '{"late":"5s","stages":[{"kind":"ramp","from":0,"to":20,"for":"2s"}],"requests":[{"url":"http://127.0.0.1:1/"}]}' >p.json; load run p.json --quiet -o json >r.json 2>err
check "how far apart they began is told of refused ones as of others" ok_json r.json "len([w for w in d['workers'] if 'first_ms' in w]) == 4"

# ---- nothing that went well is no pass; tests/unit/load_verdict_test.c has the rest ----
aim() { kill $TARGET_PID; target "$1"; }
small() { printf '{"late":"5s","target":"http://127.0.0.1:%s/",%s}' "$1" "$2" >p.json; load run p.json --quiet -o json --junit r.xml >r.json 2>err; rc=$?; }
aim error
small $PORT '"stages":[{"rate":"20/s","for":"500ms"}],"thresholds":["p99 < 10s"]'
check "503 alone is no pass, however fast" [ $rc = 1 ] && check "and says so" ok_json r.json "d['verdict'] == 'error' and d['why'] == 'none of 10 requests was answered but with a status of class 5xx'"
small $PORT '"stages":[{"rate":"20/s","for":"500ms"}],"thresholds":["errors > 99%"]'; check "unless a threshold has it so" [ $rc = 0 ]
aim ok
small $PORT '"stages":[{"rate":"20/s","for":"500ms"}],"requests":[{"checks":[{"body":"nope"}]}]'
check "nor are answers of which no check holds" [ $rc = 1 ] && check "and it says so" ok_json r.json "d['why'] == 'none of 10 checks held'"
small 1 '"stages":[{"rate":"20/s","for":"500ms"}],"requests":[{"checks":[{"status":200}]}],"thresholds":["checks < 1%"]'
check "of checks that were never made none holds" [ $rc = 3 ] && check "and there is no value" ok_json r.json "d['thresholds'][0]['value'] is None"
small 1 '"model":"closed","stages":[{"users":2,"for":"300ms"}]'; check "users whom nobody answers are no pass" [ $rc = 1 ]
check "JUnit has the verdict as a failure" python3 -c 'import xml.etree.ElementTree as e; r=e.parse("r.xml").getroot(); assert r.get("failures") == "1" and "none of" in r.find("testcase/failure").get("message")'
small $PORT '"model":"closed","stages":[{"kind":"ramp","from":4,"to":0,"for":"500ms"}]'; check "users who go one by one" [ $rc = 0 ] && check "end by themselves" ok_json r.json "d['errors'] == 0 and d['latency']['count'] > 4"
small $PORT '"interval":"100ms","stages":[{"rate":"10/s","for":"200ms"},{"rate":"0/s","for":"600ms"},{"rate":"10/s","for":"200ms"}]'
check "a pause in the schedule is no fault" [ $rc = 0 ] && check "its intervals have no percentiles" ok_json r.json "d['latency']['count'] == 4 and d['intervals'][4]['p50_ms'] is None and d['intervals'][4]['due'] == 0"

# ---- names; a narrow terminal ----
load http "http://127.0.0.1:$PORT/{{rand 1 9}}" --rate 20/s --for 500ms --name named --quiet -o json >r1.json 2>err; load http http://127.0.0.1:$PORT/ --rate 20/s --for 500ms --name named --quiet -o json >r2.json 2>err
load show named -o json >r.json 2>err; check "a test is told by its name, the last one" [ "$(python3 -c 'import json; print(json.load(open("r.json"))["run"] == json.load(open("r2.json"))["run"], json.load(open("r1.json"))["latency"]["count"])')" = "True 10" ]
load compare named named >out 2>err; check "to compare too" grep -q "^p50_ms" out
check "half a second tells of no difference" sh -c 'grep -qE "^p50_ms +[0-9.]+ +[0-9.]+ +- +- +too little to tell" out && ! grep -q "chance" out'
load compare named named -o json >r.json 2>err; check "in JSON too" ok_json r.json "all(c['low'] is None and not c['judged'] and not c['real'] for c in d)"
check "of one plan nothing differs" sh -c '! grep -q "plans differ" out'
load compare "$(python3 -c 'import json; print(json.load(open("r1.json"))["run"])')" named --html r.html >out 2>err; check "where plans differ it says in what" grep -q "^the plans differ in requests$" out
check "in the report too" grep -q "The plans differ in requests" r.html
load show nobody >out 2>err; check "one that is none" [ $? = 2 ] && check "is named" grep -q '"nobody" is no load test' err
cat >narrow.py <<'PY'
# the live line on a terminal of 40 columns: what is written over at once must not be longer
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if not pid:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    os.execv(sys.argv[1], [*sys.argv[1:]])
said = b""
try:
    while more := os.read(fd, 65536):
        said += more
except OSError:
    pass
lines = [l for l in said.split(b"\r\x1b[K") if b"/s  p50" in l]
sys.exit(0 if os.waitpid(pid, 0)[1] == 0 and lines and all(len(l) < 40 for l in lines) else print(said) or 1)
PY
check "on a narrow terminal the live line is cut" python3 narrow.py "$BIN/griddle" load http http://127.0.0.1:$PORT/ --rate 20/s --for 2s

# ---- a plan with everything ----
kill $TARGET_PID; target json
cat >plan.json <<EOF2
{"name":"shop","late":"2s","target":"http://127.0.0.1:$PORT","seed":5,
 "stages":[{"kind":"ramp","from":"0/s","to":"80/s","for":"1s"},{"kind":"hold","rate":"80/s","for":"1s"}],
 "csv":{"users":{"file":"users.csv"}},
 "scenarios":[
  {"name":"buy","weight":3,"cookies":true,"requests":[
   {"name":"login","method":"POST","url":"/login","body":{"user":"{{csv users name}}"},"capture":[{"as":"tok","json":"/token"},{"as":"h","header":"X-Token"}],
    "checks":[{"status":200},{"json":"/list/1","equals":"2"},{"header":"X-Token","contains":"x"}]},
   {"name":"cart","url":"/cart/{{seq}}?r={{rand 1 9}}&t={{tok}}","headers":{"Authorization":"Bearer {{h}}"},"think":["1ms","5ms"],"checks":[{"body":"token"},{"status":404}]}]},
  {"name":"browse","requests":[{"name":"home","url":"/?id={{uuid}}"}]}]}
EOF2
printf 'name,pw\nann,a1\nbob,b2\n' >users.csv
load run plan.json -o json >r.json 2>err; rc=$?; check "a plan of scenarios, tables, captures and checks runs" [ $rc = 0 ]; [ $rc = 0 ] || diag <err
check "all its arrivals" ok_json r.json "d['counters']['due'] == 120 and d['errors'] == 0"
check "a cart for each login but those that think when the plan is over" ok_json r.json "(lambda n: 0 <= n['login'] - n['cart'] <= 20 and n['home'] + n['login'] == 120)({q['name']: q['latency']['count'] for q in d['requests']})"
check "failed checks are counted by name, kept ones not" ok_json r.json "(lambda q: q['checks_failed'] == {'status 404': q['latency']['count']})([q for q in d['requests'] if q['name'] == 'cart'][0])"

if python3 -c 'import jsonschema' 2>/dev/null; then
	cat >agree.py <<'PY'
# a plan is what both the parser and docs/load.schema.json take, or neither: argv GRIDDLE SCHEMA PLAN
import copy, json, subprocess, sys, jsonschema
schema, plan, first = json.load(open(sys.argv[2])), json.load(open(sys.argv[3])), lambda p: p["scenarios"][0]["requests"][0]
def made(change):
    p = copy.deepcopy(plan)
    p["stages"] = [{"rate": "2000/s", "for": "1s"}]      # refused without --yes, after everything else
    change(p)
    return p
bad = {
    "a check of two kinds": lambda p: first(p)["checks"].append({"status": 200, "body": "x"}), "a check of none": lambda p: first(p)["checks"].append({}),
    "equals without json": lambda p: first(p)["checks"].append({"header": "X", "equals": "1"}), "a pointer": lambda p: first(p)["checks"].append({"json": "/a~2"}),
    "a capture of two kinds": lambda p: first(p)["capture"].append({"as": "q", "json": "/a", "header": "X"}), "a member": lambda p: p.update(nope=1),
    "a stage": lambda p: p["stages"].append({"kind": "ramp", "from": 1, "for": "1s"}), "a time": lambda p: p.update(timeout="soon"),
    "a model": lambda p: p.update(model="half"), "a weight": lambda p: p["scenarios"][0].update(weight=0), "no scenario": lambda p: p.update(scenarios=[]),
    "a threshold": lambda p: p.update(thresholds=["p99"]), "a status": lambda p: first(p)["checks"].append({"status": 20}),
}
for name, change in [("all of it", lambda p: None), *bad.items()]:
    p = made(change)
    json.dump(p, open("agree.json", "w"))
    said = subprocess.run([sys.argv[1], "load", "run", "agree.json"], capture_output=True, text=True).stderr
    takes = [jsonschema.Draft202012Validator(schema).is_valid(p), "--yes" in said]
    assert takes == [name not in bad] * 2, f"{name}: schema and parser take it: {takes}; {said}"
PY
	check "the parser and the schema take and refuse the same" python3 agree.py "$BIN/griddle" "$TOP/docs/load.schema.json" plan.json
fi

# ---- while it runs: HTTP ----
load http http://127.0.0.1:$PORT/ --rate 50/s --for 3s --detach >id 2>err; check "a detached test prints its id" grep -qE '^[0-9a-f]{16}$' id
points() { curl -s "http://$HTTP/api/v1/load" | python3 -c 'import json,sys; r=[r for r in json.load(sys.stdin)["runs"] if r["run"]==sys.argv[1]]; sys.exit(not (r and r[0]["points"] and r[0]["points"][0]["rate_per_s"] > 10))' "$(cat id)"; }
if command -v curl >/dev/null; then
	check "the API shows it while it runs" wait_for 15 points
	check "so do the metrics" sh -c 'curl -s "http://$1/metrics" | grep -q "griddle_load_answers_total{test=\"$2\"} [1-9]"' sh "$HTTP" "$(cat id)"
	if [ -n "${CHROMIUM:-}" ]; then
		timeout 120 python3 "$TOP/tests/e2e/load_page_check.py" "$CHROMIUM" "http://$HTTP/load" "$(cat id)" >out 2>&1; rc=$?
		check "the live page draws it" [ $rc = 0 ]; [ $rc = 0 ] || diag <out
	fi
	check "and there is a page" [ "$(curl -s -o /dev/null -w '%{http_code}' "http://$HTTP/load")" = 200 ]
fi
load stop "$(cat id)" 2>/dev/null; ended() { load show "$(cat id)" -o json 2>/dev/null | grep -qE '"verdict": "(stopped|passed)"'; }
check "it can be stopped by its id" wait_for 15 ended
load compare "$(cat id)" "$(cat id)" >out 2>err; check "compared with itself nothing differs" sh -c 'grep -q "p99_ms" out && ! grep -q "real" out'

# ended tests are remembered for a minute, and are in nobody's way
many() { for _ in $(seq 18); do load http http://127.0.0.1:$PORT/ --rate 5/s --for 20s --detach >id 2>err && load stop "$(cat id)" 2>err || return 1; done; }
check "eighteen tests one after another" many || diag <err

# ---- burns ----
if [ -x /usr/bin/stress-ng ]; then
	printf '{"target":"http://127.0.0.1:%s/","late":"5s","workers":2,"stages":[{"rate":"50/s","for":"3s"}],"burns":[{"at":"500ms","for":"1s","cpu":1,"cpu_percent":20,"workers":["c"]}]}' $PORT >burn.json
	load run burn.json --quiet -o json >r.json 2>err & P=$!
	burning() { pgrep -P $c_PID stress-ng; }
	check "stress-ng runs below the worker that was named" wait_for 15 burning
	wait $P; rc=$?; check "a test with a burn ends with 0" [ $rc = 0 ]; [ $rc = 0 ] || diag <err
	check "and leaves nothing burning" sh -c '! pgrep -P "$1" stress-ng' sh $c_PID
	check "while it burns traffic goes on" ok_json r.json "d['verdict'] == 'passed' and d['latency']['count'] == 150"
	sed 's/"cpu":1,"cpu_percent":20/"vm":1,"vm_bytes":1099511627776/; s/3s/2s/' burn.json >vast.json; load run vast.json --quiet >out 2>err; rc=$?
	check "a burn for which there is no room is no pass" [ $rc = 1 ]; check "and it says so" grep -q "verdict .*error: worker c: burn 0: vm_bytes: 1099511627776 are wanted and" out
	cl_worker f
	sed 's/\["c"\]/["f"]/; s/"for":"1s"/"for":"2s"/' burn.json >lose.json; load run lose.json --quiet >out 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
	burns_f() { pgrep -P $f_PID stress-ng; }
	wait_for 15 burns_f; kill -KILL $f_PID; wait $P; rc=$?
	check "nor is one whose worker is lost" [ $rc = 1 ]; check "and it says so too" grep -q "verdict .*error: worker f was lost before burn 0 was over" out
	check "three workers took part, two with traffic" ok_json r.json "len(d['workers']) == 3 and sum(w['traffic'] for w in d['workers']) == 2"
else
	ok "burns # SKIP stress-ng is not installed"
fi
sed -i 's/"workers":\["c"\]/"workers":["nobody"]/' burn.json 2>/dev/null || printf '{"target":"http://127.0.0.1:%s/","stages":[{"rate":"5/s","for":"1s"}],"burns":[{"cpu":1,"workers":["nobody"]}]}' $PORT >burn.json
load run burn.json >out 2>err; check "a burn on a worker that is not there is refused" grep -q "there is no worker nobody" err

# ---- hard stops: bench/load_stop.sh has the figures, which are below a second; here a loaded machine passes too ----
kill $TARGET_PID; target last
since_last() { python3 -c 'import sys; print(int((float(sys.argv[2]) - float(open(sys.argv[1]).read())) * 1000))' port.last "$1"; }   # ms from the last request to @1
"$BIN/griddle" load http http://127.0.0.1:$PORT/ --rate 200/s --for 60s --quiet -o json >r.json 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
running() { [ "$(load ls -o json | python3 -c 'import json,sys; print(sum("summary" not in r for r in json.load(sys.stdin)["runs"]))')" = 1 ]; }
wait_for 10 running; sleep 1
t0=$(date +%s%N); kill -INT $P; wait $P; rc=$?; t1=$(date +%s%N)
check "Ctrl-C ends it with 8" [ $rc = 8 ]
check "in a moment, with what there is" ok_json r.json "d['verdict'] == 'stopped' and d['latency']['count'] > 20"
check "within 10 s: $(((t1 - t0) / 1000000)) ms" [ $((t1 - t0)) -lt 10000000000 ]
late=$((0 - $(since_last "${t0%?????????}.${t0#??????????}")))
check "no request leaves 5 s after it: the last after $late ms" [ $late -lt 5000 ]

# the coordinator says nothing any more, its connections stand: the workers' lease runs out
n_open() { ss -Htn state established "( dport = :$PORT )" | wc -l; }
are_quiet() { [ "$(n_open)" = 0 ]; }
"$BIN/griddle" load http http://127.0.0.1:$PORT/ --rate 200/s --for 60s --quiet -o json >r.json 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
wait_for 10 running; are_open() { [ "$(n_open)" -gt 0 ]; }
if command -v ss >/dev/null; then
	wait_for 30 are_open
	kill -STOP $COORD_PID; check "a silent coordinator ends every shard" wait_for 30 are_quiet; kill -CONT $COORD_PID
	wait $P; check "which fails the test" [ $? = 1 ]
	check "with what its workers say" ok_json r.json "d['verdict'] == 'lost'"
else
	ok "a silent coordinator # SKIP ss is not installed"; kill $P; load stop "$(load ls -o json | sed -n 's/.*"run": *"\([0-9a-f]*\).*/\1/p' | tail -1)"
fi

# a lost worker: its share goes to the others, and what it owed counts as lost
cat >lost.json <<EOF2
{"target":"http://127.0.0.1:$PORT/","stages":[{"rate":"200/s","for":"3s"}],"interval":"200ms","late":"2s"}
EOF2
"$BIN/griddle" load run lost.json --quiet -o json >r.json 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
wait_for 10 running; sleep 1; kill -KILL $d_PID; wait $P; rc=$?
check "a test that loses a worker goes on" [ $rc = 0 ]; [ $rc = 0 ] || diag <err
check "and says whom" ok_json r.json "[e['worker'] for e in d['events']] == ['d']"
check "every arrival is answered or lost" ok_json r.json "d['latency']['count'] + d['errors_by_kind'].get('lost', 0) + d['errors_by_kind'].get('cancelled', 0) == 600"
check "few are lost" ok_json r.json "0 <= d['errors_by_kind'].get('lost', 0) < 100"
sed -i 's/"interval"/"on_lost":"fail","interval"/' lost.json
"$BIN/griddle" load run lost.json --quiet -o json >r.json 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
wait_for 10 running; sleep 1; kill -KILL $c_PID; wait $P; rc=$?
check "a plan may say that a loss fails it" [ $rc = 1 ]
check "and the verdict is lost" ok_json r.json "d['verdict'] == 'lost'"

# closed: what its users count by goes on elsewhere, and no number comes twice
python3 "$TOP/tests/helper/load_peers.py" web "$T/web" & CL_PIDS="$CL_PIDS $!"; wait_for 10 test -s web
printf '{"model":"closed","late":"5s","interval":"200ms","stages":[{"users":6,"for":"3s"}],"target":"http://127.0.0.1:%s","requests":[{"url":"/{{seq}}","think":"5ms"}]}' "$(cat web)" >p.json
cl_worker e
"$BIN/griddle" load run p.json --quiet -o json >r.json 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
wait_for 10 running; sleep 1; kill -KILL $e_PID; wait $P; rc=$?
check "users of a lost worker are others'" [ $rc = 0 ] && check "it says whom" ok_json r.json "[e['worker'] for e in d['events']] == ['e']"
check "of $(wc -l <web.paths) numbers none came twice" [ -z "$(sort web.paths | uniq -d)" ]

# the coordinator dies: no request leaves a second later
"$BIN/griddle" load http http://127.0.0.1:$PORT/ --rate 200/s --for 60s --quiet >out 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
wait_for 10 running; sleep 1
kill -KILL $COORD_PID
if command -v ss >/dev/null; then check "after the coordinator's death nothing is connected to the target" wait_for 30 are_quiet; fi
check "the workers say why" grep -q "test .*: share" "$T/a.log"
kill $P 2>/dev/null; wait $P 2>/dev/null
done_testing
