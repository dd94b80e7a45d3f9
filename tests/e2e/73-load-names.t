#!/bin/bash
# 73-load-names.t - a resolver that never answers holds up nothing but the test that asks it
. "$(dirname "$0")/cluster.sh"
command -v python3 >/dev/null || skip_all "python3 is not installed"
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip_all "wants root and a mount namespace"
cd "$T" || exit 1
# a name server that takes questions and gives no answers, on a loopback address of its own
python3 - "$T/dns" <<'PY' & CL_PIDS="$CL_PIDS $!"
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.9.%d.%d" % (os.getpid() >> 8 & 255, os.getpid() & 255 or 1), 53))
n = 0
while True:
    with open(sys.argv[1] + ".tmp", "w") as f: f.write("%s %d\n" % (s.getsockname()[0], n))
    os.rename(sys.argv[1] + ".tmp", sys.argv[1])
    s.recv(4096)
    n += 1
PY
wait_for 20 test -s dns || { echo "Bail out! no name server"; exit 1; }
read -r SERVER _ <dns
printf 'nameserver %s\noptions timeout:30 attempts:3\n' "$SERVER" >resolv.conf
printf 'hosts: files dns\npasswd: files\ngroup: files\n' >nsswitch.conf
cl_coordinator
export GRIDDLE_COORDINATOR=$ENDPOINT GRIDDLE_LATE=2s
unshare -m sh -c 'mount --bind resolv.conf "$(readlink -f /etc/resolv.conf)" && mount --bind nsswitch.conf /etc/nsswitch.conf && exec "$@"' sh \
	"$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/w" --name w --slots 2 --ready-file "$T/w.json" >>"$T/w.log" 2>&1 & W=$!
CL_PIDS="$CL_PIDS $W"
wait_for 30 test -s w.json || { echo "Bail out! no worker"; diag <w.log; exit 1; }

"$BIN/griddle" load http http://hangs.example/ --rate 10/s --for 1s >out 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
asked() { read -r _ n <dns; [ "$n" -ge 1 ]; }
check "the worker asks for the name" wait_for 30 asked
check "meanwhile it runs tasks" [ "$("$BIN/griddle" run -- echo here 2>err2)" = here ]
kill -0 $P 2>/dev/null; check "while the test still waits" [ $? = 0 ]
wait $P; check "the test ends with 1" [ $? = 1 ]
check "and says why" grep -q "worker w: looking up the names of its hosts takes longer than 10 s" out err
"$BIN/griddle" load http http://hangs.example/ --rate 10/s --for 1s >out 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
waits() { "$BIN/griddle" load ls -o json | python3 -c 'import json,sys; sys.exit(not any("summary" not in r for r in json.load(sys.stdin)["runs"]))'; }
wait_for 30 waits
kill -INT $P; wait $P; rc=$?; check "one that waits for a name ends on Ctrl-C" [ $rc = 8 ]
"$BIN/griddle" load http http://127.0.0.1:1/ --rate 10/s --for 1s -o json >r.json 2>err
check "one that does not need the resolver runs" python3 -c 'import json; assert json.load(open("r.json"))["errors_by_kind"] == {"refused": 10}'
"$BIN/griddle" load http http://hangs.example/ --rate 10/s --for 1s >out 2>err & P=$!; CL_PIDS="$CL_PIDS $P"
wait_for 30 waits
kill -TERM $W; gone() { ! kill -0 $W 2>/dev/null; }
check "the worker ends although a look-up does not" wait_for 20 gone
kill $P 2>/dev/null
done_testing
