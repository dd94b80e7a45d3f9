#!/bin/bash
# load.sh - the load generator: cost of a request beside wrk, h2load, hey and ab on the same nginx; accuracy of the schedule;
# the stall server; what the tool itself adds; the cost of a connection. CPU figures are getrusage's of each program.
# RT="chrt -f 10" gives generator and target a core each on a busy machine (root; with DURATION=.9, for the kernel takes 5 % of each
# second back).
#   ROUNDS=5 DURATION=5 CONNECTIONS=64 bench/load.sh [cost|schedule|stall|delay|regex|connections|hostile]...
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
B=${BUILD_DIR:-$TOP/build/release}
ENGINE=$B/bench/load_engine TARGET=$B/helper/load_target
D=${DURATION:-4} C=${CONNECTIONS:-64}
[ -x "$ENGINE" ] && [ -x "$TARGET" ] || { echo "load.sh: build them first: make tests-built"; exit 0; }
T=$(mktemp -d); PIDS=
cleanup() { for p in $PIDS; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$T"; }
trap cleanup EXIT; trap 'exit 130' INT TERM
wants() { [ -z "$PARTS" ] || case " $PARTS " in *" $1 "*) true ;; *) false ;; esac; }
PARTS=$* RT=${RT:-}
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
get() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(*[eval(e, {"d": d}) for e in sys.argv[2:]])' "$T/r.json" "$@"; }
target() { rm -f "$T/port"; ${RT:-} "$TARGET" "$1" "$T/port" & TARGET_PID=$!; PIDS="$PIDS $!"; while [ ! -s "$T/port" ]; do sleep .05; done; PORT=$(cat "$T/port"); }
# cost NAME REQUESTS SECONDS-OF-CPU
cost() { awk -v n="$1" -v r="$2" -v c="$3" -v d="$D" 'BEGIN { printf "%-28s %9.0f req/s %9.0f req/CPU-s %6.2f us/req\n", n, r / d, r / c, c / r * 1e6 }'; }
cpu_of() { local t=$(awk '/^user|^sys/ { s += $2 } END { print s }' "$T/time"); echo "$t"; }
timed() { { TIMEFORMAT='user %U
sys %S'; time "$@" >"$T/out" 2>"$T/errout"; } 2>"$T/time"; }

echo "# $(nproc) CPUs, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1 /proc/loadavg), nginx $(nginx -v 2>&1 | sed 's/.*nginx.//')"
if wants cost && command -v nginx >/dev/null; then
	P1=$(free_port) P2=$(free_port)
	cat >"$T/nginx.conf" <<EOF2
worker_processes 1; daemon off; master_process off; error_log $T/err; pid $T/pid; worker_rlimit_nofile 65536; events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_temp_path $T/b; proxy_temp_path $T/p; fastcgi_temp_path $T/f;
 uwsgi_temp_path $T/u; scgi_temp_path $T/s; server { listen 127.0.0.1:$P1 backlog=4096; location / { return 200 "ok\n"; } }
 server { listen 127.0.0.1:$P2 http2; location / { return 200 "ok\n"; } } }
EOF2
	nginx -c "$T/nginx.conf" 2>/dev/null & PIDS="$PIDS $!"; sleep .5
	U=http://127.0.0.1:$P1/
	for round in $(seq "${ROUNDS:-2}"); do
		"$ENGINE" $U $C $D >"$T/r.json"; cost "griddle ($round)" $(get 'd["requests"]' 'd["cpu_s"]')
		if command -v wrk >/dev/null; then timed wrk -t1 -c$C -d${D}s $U; cost "wrk ($round)" "$(awk '/requests in/ { print $1 }' "$T/out")" "$(cpu_of)"; fi
		if command -v h2load >/dev/null; then timed h2load --h1 -t1 -c$C -D $D $U; cost "h2load --h1 ($round)" "$(awk '/^status codes:/ { print $3 }' "$T/out")" "$(cpu_of)"; fi
		if command -v ab >/dev/null; then timed ab -k -c$C -t$D -n 100000000 $U; cost "ab -k ($round)" "$(awk '/Complete requests/ { print $3 }' "$T/out")" "$(cpu_of)"; fi
		if command -v hey >/dev/null; then timed hey -c $C -z ${D}s -cpus 1 $U; cost "hey ($round)" "$(awk '/responses$/ { n += $2 } END { print n }' "$T/out")" "$(cpu_of)"; fi
	done
	printf '{"target":"http://127.0.0.1:%s/","http":"2","model":"closed","connections":6,"streams":10,"stages":[{"users":60,"for":"%ss"}]}' $P2 $D >"$T/h2.json"
	for round in $(seq "${ROUNDS:-2}"); do
		"$ENGINE" "$T/h2.json" >"$T/r.json"; cost "griddle h2 -c6 -m10 ($round)" $(get 'd["requests"]' 'd["cpu_s"]')
		if command -v h2load >/dev/null; then timed h2load -t1 -c6 -m10 -D $D http://127.0.0.1:$P2/; cost "h2load -c6 -m10 ($round)" "$(awk '/^status codes:/ { print $3 }' "$T/out")" "$(cpu_of)"; fi
	done
fi
if wants schedule; then
	for r in 1000 10000 50000; do
		for spin in false true; do
			target ok
			printf '{"target":"http://127.0.0.1:%s/","warm":true,"connections":200,"spin":%s,"stages":[{"rate":"%s/s","for":"%ss"}]}' $PORT $spin $r $D >"$T/p.json"
			$RT "$ENGINE" "$T/p.json" >"$T/r.json"
			echo "schedule $r/s, spin $spin: due, answers, answers a second, send late us p50 p99 max:" $(get 'd["due"]' 'd["requests"]' 'd["rate_per_s"]' 'd["send_late_us"]["p50"]' 'd["send_late_us"]["p99"]' 'd["send_late_us"]["max"]')
			kill $TARGET_PID
		done
	done
fi
if wants stall; then
	target stall
	printf '{"target":"http://127.0.0.1:%s/","stages":[{"rate":"500/s","for":"12s"}]}' $PORT >"$T/p.json"
	"$ENGINE" "$T/p.json" >"$T/r.json"
	echo "stall server 500/s, ms p50 p90 p99 max (by arithmetic 0 600 960 1000):" $(get 'd["latency_us"]["p50"]/1e3' 'd["latency_us"]["p90"]/1e3' 'd["latency_us"]["p99"]/1e3' 'd["latency_us"]["max"]/1e3')
	kill $TARGET_PID
fi
if wants delay; then
	# At 100/s a request costs more than at 500/s wherever it comes from, as everybody's caches are cold: what a bare socket that polls
	# adds stands beside what the generator adds.
	for rate in 500 100; do
		target spin                      # answers 200 us after it read the request, and spends a core on that
		echo "server of 200 us, $rate/s, a bare socket that polls: added us p50 p90 p99:" $($RT "$B/bench/load_bare" $PORT $rate $D | awk '{ print $1 - 200, $2 - 200, $3 - 200 }')
		for spin in false true; do
			printf '{"target":"http://127.0.0.1:%s/","warm":true,"connections":4,"spin":%s,"stages":[{"rate":"%s/s","for":"%ss"}]}' $PORT $spin $rate $D >"$T/p.json"
			$RT "$ENGINE" "$T/p.json" >"$T/r.json"
			echo "server of 200 us, $rate/s, spin $spin: added us p50 p90 p99, of that send late p50 p99, share of a core:" $(get 'round(d["latency_us"]["p50"]-200,1)' 'round(d["latency_us"]["p90"]-200,1)' 'round(d["latency_us"]["p99"]-200,1)' 'd["send_late_us"]["p50"]' 'd["send_late_us"]["p99"]' "round(d['cpu_s']/$D,3)")
		done
		kill $TARGET_PID
	done
fi
if wants regex; then                             # what a check costs at the most, and what that does to the schedule
	for pattern in none 'z$' '"id":[0-9]+' '(a+)+$' 'a*[bc]' '(a*a*a*a*a*a*a*a*)*b'; do
		rm -f "$T/port"; python3 "$TOP/tests/helper/load_peers.py" big "$T/port" & PID=$!; PIDS="$PIDS $PID"
		while [ ! -s "$T/port" ]; do sleep .05; done
		python3 - "$(cat "$T/port")" "$pattern" $D >"$T/p.json" <<'PY'
import json, sys
port, pattern, s = sys.argv[1:]
print(json.dumps({"stages": [{"rate": "50/s", "for": s + "s"}], "timeout": "5s",
  "requests": [{"url": "http://127.0.0.1:%s/" % port, "checks": [] if pattern == "none" else [{"regex": pattern}]}]}))
PY
		$RT "$ENGINE" "$T/p.json" >"$T/r.json"
		echo "1 MiB of a, 50/s, $pattern: answers, CPU ms each, send late us p50 p99 max, errors:" \
			$(get 'd["requests"]' 'round(d["cpu_s"]*1e3/max(1,d["due"]),2)' 'd["send_late_us"]["p50"]' 'd["send_late_us"]["p99"]' 'd["send_late_us"]["max"]' 'd["fails"]')
		kill $PID
	done
fi
if wants connections; then
	# Several processes there and here, each within its limit of descriptors; 28,000 ports a destination address: several of this
	# host's. All are opened first; then 2000/s go over them. What a process costs by itself is measured with one connection each.
	N=${N_CONNECTIONS:-50000} FILES=$(ulimit -Hn)
	[ "$FILES" = unlimited ] && FILES=1000000
	ulimit -n "$FILES"; K=$((N / (FILES - 256) + 1))
	PROCS=$((K + 1)) target ok
	for n in $K $N; do
		python3 - "$PORT" "$n" >"$T/p.json" <<'PY'
import json, sys
port, n = sys.argv[1], int(sys.argv[2])
print(json.dumps({"warm": True, "connections": n, "timeout": "60s", "stages": [{"rate": "2000/s", "for": "5s"}],
  "scenarios": [{"name": str(i), "requests": [{"name": str(i), "url": "http://127.0.0.%d:%s/" % (i + 1, port)}]} for i in range(4)]}))
PY
		PROCS=$K "$ENGINE" "$T/p.json" >"$T/r.json"
		[ $n = $K ] && KIB=$(get 'd["rss_kib"][1]')
	done
	echo "connections: processes, open at most, answers, failed, bytes of the generator a connection:" $K $(get 'd["open_most"]' 'd["requests"]' 'd["failed"]' "(d['rss_kib'][1]-$KIB)*1024//max(1,d['open_most']-$K)" 'd["fails"]')
	kill $TARGET_PID
fi
if wants hostile; then
	for m in close reset garbage chunk truncated; do
		target $m
		printf '{"target":"http://127.0.0.1:%s/","model":"closed","stages":[{"users":64,"for":"%ss"}]}' $PORT $D >"$T/p.json"
		"$ENGINE" "$T/p.json" >"$T/r.json"
		echo "hostile $m: failed, by kind, RSS before and most (KiB):" $(get 'd["failed"]' 'd["fails"]' 'd["rss_kib"]')
		kill $TARGET_PID
	done
fi
