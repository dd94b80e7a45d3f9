#!/bin/bash
# 71-load-targets.t - the generator against good and hostile targets: every failure under its own name, none lost, none invented
. "$(dirname "$0")/cluster.sh"
command -v python3 >/dev/null || skip_all "python3 is not installed"
cd "$T" || exit 1
B=${BUILD_DIR:-$TOP/build/${VARIANT:-release}}
ENGINE=$B/bench/load_engine
started() { TARGET_PID=$!; CL_PIDS="$CL_PIDS $TARGET_PID"; wait_for 10 test -s "$T/port" || { echo "Bail out! no target $1"; exit 1; }; PORT=$(cat "$T/port"); }
target() { [ -n "${TARGET_PID:-}" ] && kill $TARGET_PID 2>/dev/null; rm -f port; "$B/helper/load_target" "$1" "$T/port" & started "$1"; }
peer() { kill $TARGET_PID 2>/dev/null; rm -f port; python3 "$TOP/tests/helper/load_peers.py" "$1" "$T/port" "${@:2}" & started "$1"; }
# plan SCHEME MEMBERS [REQUEST]: 100 arrivals in a fifth of a second
plan() { local extra=${2:-}; printf '{"stages":[{"rate":"500/s","for":"200ms"}],"timeout":"%s",%s"requests":[{"url":"%s://127.0.0.1:%s/"%s}]}' "${TIMEOUT:-400ms}" "$extra" "$1" "$PORT" "${3:-}" >plan.json; }
run() { "$ENGINE" plan.json >r.json 2>err || diag <err; }
ok_json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); f=d["fails"]; sys.exit(0 if eval(sys.argv[2]) else 1)' r.json "$1"; }
# fails MODE KIND: every one of the hundred fails with it
fails() {
	target "$1"; plan http "${3:-}"; run
	check "$1: $2" ok_json "d['due'] == 100 and d['requests'] == 0 and f == {'$2': 100}" || :
	ok_json "f == {'$2': 100}" || diag <r.json
}

fails silent timeout
fails half slow_answer
fails trickle slow_answer
plan http; "$ENGINE" plan.json >r.json 2>err & ENGINE_PID=$!; CL_PIDS="$CL_PIDS $!"
sleep .3; kill -STOP $ENGINE_PID; sleep 1.5; kill -CONT $ENGINE_PID; wait $ENGINE_PID
# those of which nothing had been read yet are timeouts
check "trickle: no answer when all of it is there once the generator goes on, too late" ok_json "d['requests'] == 0 and sum(f.values()) == 100 and set(f) <= {'slow_answer', 'timeout', 'connect_timeout'}" || diag <r.json
# what all that follow do is seen at once: on a busy machine it must not be overtaken by the time that ends the others
TIMEOUT=10s
fails close closed
fails reset reset
fails truncated truncated
fails flood header_flood
fails endless body_limit
fails chunk bad_chunk
fails garbage malformed
kill $TARGET_PID; wait $TARGET_PID 2>/dev/null; plan http; run
check "nobody there: refused" ok_json "f == {'refused': 100}"
plan https '' ; sed -i "s/127.0.0.1/no-such-host.invalid/" plan.json; "$ENGINE" plan.json >r.json 2>err
check "a name without an address is told before anything is sent" grep -q "no-such-host.invalid" err

target ok; plan http; run
check "ok: a hundred answers" ok_json "d['requests'] == 100 and f == {} and d['due'] == 100"
TIMEOUT=1s plan https; run     # it waits for more
check "TLS with a peer that speaks none" ok_json "f == {'tls': 100}"
plan http '"http":"2",'; run
check "HTTP/2 with a peer that speaks none" ok_json "sum(f.values()) == 100 and d['requests'] == 0 and set(f) <= {'h2_protocol', 'closed', 'truncated', 'timeout', 'reset'}"
plan ws '' ',"body":"x"'; run
check "WebSocket with a peer that speaks none" ok_json "f == {'upgrade': 100}"
plan http '"keepalive":false,'; run
check "without keep-alive: a connection each" ok_json "d['requests'] == 100 and d['opened'] == 100"
printf '{"stages":[{"rate":"200/s","for":"500ms"}],"timeout":"10s","connections":1,"scenarios":[{"name":"a","requests":["http://127.0.0.1:%s/a"]},{"name":"b","requests":["http://127.0.0.2:%s/b"]}]}' $PORT $PORT >plan.json; run
check "one connection for two hosts: neither waits for ever" ok_json "d['requests'] == 100 and f == {}"
ok_json "f == {}" || diag <r.json
target noclose; plan http; run
check "a body until the connection's end is whole" ok_json "d['requests'] == 100 and f == {}"
target once; plan http; run
check "a server that closes after each answer without saying so costs no request" ok_json "d['requests'] == 100 and f == {}"
target error; plan http; run
check "503 is an answer" ok_json "d['requests'] == 100 and f == {}"
target echo; plan tcp '' ',"body":"PING {{seq}}\n","until":"\n"'; run
check "raw TCP to a delimiter" ok_json "d['requests'] == 100 and f == {}"
plan tcp '' ',"body":"12345678","receive":8'; run
check "raw TCP, so many bytes" ok_json "d['requests'] == 100 and f == {}"

# ---- expressions ----
# (a|b)*a(a|b){300} has hundreds of states alive at each of a million bytes
peer big
printf '{"model":"closed","stages":[{"users":1,"for":"200ms"}],"timeout":"10s","requests":[{"url":"http://127.0.0.1:%s/","checks":[{"status":200},{"regex":"%s"},{"body":"no such"}]}]}' \
	$PORT '(a|b)*a(a|b){300}c' >plan.json; run
check "an expression that takes too much of an answer: regex_limit, and the generator goes on" ok_json "d['requests'] == 0 and set(f) == {'regex_limit'} and f['regex_limit'] > 0"
ok_json "set(f) == {'regex_limit'}" || diag <r.json
sed -i 's/"regex":"[^"]*"/"regex":"[b-y]+$|z$"/' plan.json; run
check "one over a mebibyte that is moderate" ok_json "d['requests'] > 0 and f == {}"
ok_json "f == {}" || diag <r.json

peer cookies
cat >plan.json <<EOF2
{"stages":[{"rate":"100/s","for":"200ms"}],"timeout":"10s","target":"http://127.0.0.1:$PORT","cookies":true,"requests":[{"url":"/set"},
 {"url":"/","capture":[{"as":"x","regex":"^a=1; b=2; c=3; d=4\$"}]},{"url":"/only/x?/","capture":[{"as":"x","regex":"^e=5; a=1; b=2; c=3; d=4\$"}]},{"url":"/take"},{"url":"/after","capture":[{"as":"x","regex":"^a=1; b=2\$"}]},
 {"url":"http://127.0.0.2:$PORT/other","capture":[{"as":"x","regex":"^none\$"}]},{"url":"/again","capture":[{"as":"x","regex":"^a=1; b=2\$"}]}]}
EOF2
run; check "cookies: given to the paths they are for, taken back by age or date, and not sent to another host" ok_json "d['requests'] > 20 and f == {}"
ok_json "f == {}" || diag <r.json

sed -i 's/"cookies":true/"cookies":false/; s/"\^[^"]*"/"^none$"/g' plan.json; run
check "without cookies none is kept" ok_json "d['requests'] > 20 and f == {}"
ok_json "f == {}" || diag <r.json

# ---- what is put in, and what is taken out ----
peer web
cat >plan.json <<EOF2
{"stages":[{"rate":"100/s","for":"200ms"}],"timeout":"10s","target":"http://127.0.0.1:$PORT","csv":{"u":"name\r\n\"O \"\"Hara\"\"\"\r\n#\u00e4 \\\\\"\r\n"},"requests":[
 {"name":"json","url":"/json","body":{"who":"{{csv u name}}","a/b":{"m~n":[{"01":7},{"":"deep"}]}},"capture":[{"as":"who","json":"/who"},{"as":"x","json":"/a~1b/m~0n/1/"},
  {"as":"seven","json":"/a~1b/m~0n/0/01"},{"as":"h","header":"x-cased-name"}]},
 {"name":"again","url":"/json2","body":{"who":"{{who}}","x":"{{x}} {{seven}}"},"capture":[{"as":"x","json":"/who"},{"as":"y","regex":"\"x\":\"deep 7\""}]},
 {"name":"path","url":"/p/{{who}}","capture":[{"as":"x","regex":"^/p/(O%20\"Hara\"|%23%C3%A4%20.+)\$"}]},
 {"name":"head","url":"/h","method":"POST","headers":{"X-A":"{{who}}"},"body":"{{csv u name}}","capture":[{"as":"x","regex":"^(O \"Hara\"|#\u00e4 .+)\$"}]}]}
EOF2
run; check "templates in address, header, text and JSON; JSON pointers with ~0, ~1 and empty names; a header's case" ok_json "d['requests'] > 50 and f == {}"
ok_json "f == {}" || diag <r.json
printf '{"stages":[{"rate":"100/s","for":"200ms"}],"timeout":"10s","target":"http://127.0.0.1:%s","requests":[{"url":"/x","body":[[1]],"capture":[{"as":"x","json":"/00"}]}]}' $PORT >plan.json; run
check "an index with a nought in front is none" ok_json "d['requests'] == 0 and f == {'capture': 20}"
printf '{"stages":[{"rate":"100/s","for":"200ms"}],"timeout":"10s","keepalive":false,"target":"http://127.0.0.1:%s","csv":{"u":"n\\na b\\n"},"requests":[{"url":"/token/{{uuid}}","capture":[{"as":"t","regex":"/token/(.*)"}]},{"url":"ws://127.0.0.1:%s/{{csv u n}}","headers":{"Authorization":"{{t}}"},"body":"hello","capture":[{"as":"x","regex":"^ok$"}]}]}' $PORT $PORT >plan.json; run
check "a WebSocket's address and headers are those of the visit that opened it" ok_json "d['requests'] > 20 and f == {}"
ok_json "f == {}" || diag <r.json
check "and each ends with Close 1000" sh -c 'sort -u "$1" | grep -qx 1000 && ! grep -qvx 1000 "$1"' sh port.closed

# ---- more than HTTP/1.1 ----
peer ws; plan ws '' ',"body":"hello {{seq}}"'; run
check "WebSocket: a message for a message, pings answered, fragments joined" ok_json "d['requests'] == 100 and f == {}"
python3 -c 'import json; p=json.load(open("plan.json")); p["model"]="closed"; p["stages"]=[{"users":1,"for":"200ms"}]; json.dump(p, open("plan.json","w"))'; run
check "a ping behind the message does not cost the connection" ok_json "d['requests'] > 1 and d['opened'] == 1"
peer ws-torn; plan ws '' ',"body":"hello {{seq}}"'; run
check "a message in the middle of another is malformed" ok_json "f == {'malformed': 100}"
peer ws-refuse; plan ws '' ',"body":"x"'; run
check "a proof that is none is no upgrade" ok_json "f == {'upgrade': 100}"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
	-addext "subjectAltName=IP:127.0.0.1,DNS:localhost" >/dev/null 2>&1
peer tls cert.pem key.pem; plan https '"keepalive":false,'; run
check "TLS, a connection each" ok_json "d['requests'] == 100 and f == {}"
# one user, so that the first connection's session is there when the second begins
python3 -c 'import json; p=json.load(open("plan.json")); p["model"]="closed"; p["stages"]=[{"users":1,"for":"1s"}]; json.dump(p, open("closed.json","w"))'
"$ENGINE" closed.json >r.json 2>err || diag <err
check "TLS, sessions taken again" ok_json "d['opened'] > 1 and f == {} and d['sessions_reused'] == d['opened'] - 1"
python3 -c 'import json; p=json.load(open("plan.json")); p["verify"]=True; p["ca"]=open("cert.pem").read(); json.dump(p, open("plan.json","w"))'; run
check "TLS with a certificate that is checked" ok_json "d['requests'] == 100 and f == {}"
python3 -c 'import json; p=json.load(open("plan.json")); del p["ca"]; json.dump(p, open("plan.json","w"))'; run
check "one nobody vouches for is refused" ok_json "f == {'tls': 100}"
plan https '"http":"2",'; run
check "TLS without HTTP/2 is told" ok_json "f == {'alpn': 100}"
peer h2-rst; plan http '"http":"2",'; run
check "HTTP/2: a storm of resets" ok_json "f == {'stream_reset': 100}"
peer h2-goaway; plan http '"http":"2",'; run
check "HTTP/2: a storm of GOAWAY" ok_json "f == {'goaway': 100}"
ok_json "f == {'goaway': 100}" || diag <r.json
peer h2-trailers; plan http '"http":"2",'; run
check "HTTP/2: trailers behind a long body are no flood of fields" ok_json "d['requests'] == 100 and f == {}"
plan http '"http":"2",' ',"capture":[{"as":"x","header":"T"}],"checks":[{"header":"t","contains":"v"}]'; run
check "HTTP/2: a check and a capture find a trailer" ok_json "d['requests'] == 100 and f == {}"
peer h2-late cert.pem key.pem; TIMEOUT=500ms; plan https '"http":"2","streams":1000,'; sed -i 's/200ms/1500ms/' plan.json; run; TIMEOUT=10s
check "HTTP/2: a handshake that does not end is given up, and another connection opened" ok_json "d['requests'] > 0 and 'tls' in f"
peer h2-garbage; plan http '"http":"2",'; run
check "HTTP/2: no frames" ok_json "d['requests'] == 0 and sum(f.values()) == 100 and set(f) <= {'h2_protocol', 'reset', 'closed', 'timeout'}"
if command -v nginx >/dev/null; then
	mkdir -p ng; port2=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
	cat >ng/nginx.conf <<EOF2
worker_processes 1; daemon off; master_process off; error_log $T/ng/err; pid $T/ng/pid; events { worker_connections 1024; }
http { access_log off; client_body_temp_path $T/ng/b; proxy_temp_path $T/ng/p; fastcgi_temp_path $T/ng/f; uwsgi_temp_path $T/ng/u; scgi_temp_path $T/ng/s;
 server { listen 127.0.0.1:$port2 ssl http2; ssl_certificate $T/cert.pem; ssl_certificate_key $T/key.pem; location / { return 200 "ok\n"; } location /p { return 200 "\$request_uri"; } } }
EOF2
	nginx -c "$T/ng/nginx.conf" 2>/dev/null & CL_PIDS="$CL_PIDS $!"
	wait_for 10 test -s ng/pid; PORT=$port2
	plan https '"http":"2","connections":2,'; run
	cp r.json r2.json
	printf '{"stages":[{"rate":"100/s","for":"200ms"}],"timeout":"10s","http":"2","target":"https://127.0.0.1:%s","csv":{"u":"n\\na b\\n#\\u00e4\\n"},"requests":[{"url":"/p/{{csv u n}}","capture":[{"as":"x","regex":"^/p/(a%%20b|%%23%%C3%%A4)$"}]}]}' $PORT >plan.json; run
	check "HTTP/2: a path with blanks and umlauts" ok_json "d['requests'] == 20 and f == {}"
	ok_json "f == {}" || diag <r.json
	mv r2.json r.json
	check "HTTP/2 over TLS with nginx" ok_json "d['requests'] == 100 and f == {} and d['opened'] <= 2"
else
	ok "HTTP/2 over TLS with nginx # SKIP nginx is not installed"
fi
done_testing
