#!/bin/bash
# run.sh - a web analytics service under load, as the CNCF demo of 2016 had it, with what npm has: micro-analytics-cli. A cluster
# of two workers on loopback, the service in a scratch folder, plan.json against it, and the report.
#   BIN=build/release/bin examples/analytics/run.sh [REPORT.html]
set -u
HERE=$(cd "$(dirname "$0")" && pwd) TOP=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$TOP/build/release/bin}
REPORT=${1:-$TOP/build/analytics.html}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/griddle/analytics
command -v npm >/dev/null || { echo "run.sh: npm is not installed (apt-get install npm)"; exit 1; }
if [ ! -x "$CACHE/node_modules/.bin/micro-analytics" ]; then
	echo "installing micro-analytics-cli 3.1.0 from npm into $CACHE"
	mkdir -p "$CACHE" && (cd "$CACHE" && npm install --legacy-peer-deps --no-audit --no-fund micro-analytics-cli@3.1.0 >npm.log 2>&1) ||
		{ echo "run.sh: npm install failed:"; tail -n 5 "$CACHE/npm.log"; exit 1; }
fi
T=$(mktemp -d); PIDS=
cleanup() { for p in $PIDS; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$T"; }
trap cleanup EXIT; trap 'exit 130' INT TERM
wait_for() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; return 1; }
member() { sed -n 's/.*"'"$2"'": *"\([^"]*\).*/\1/p' "$1"; }
PORT=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
export GRIDDLE_RUNTIME_DIR=$T/rt; mkdir -p "$T/rt" "$T/app"; chmod 700 "$T/rt"
(cd "$T/app" && exec env PORT=$PORT NO_UPDATE_NOTIFIER=1 "$CACHE/node_modules/.bin/micro-analytics" -p $PORT -H 127.0.0.1 >"$T/app.log" 2>&1) & PIDS="$PIDS $!"
wait_for curl -s "http://127.0.0.1:$PORT/_healthcheck" || { echo "run.sh: micro-analytics did not start:"; tail -n 5 "$T/app.log"; exit 1; }
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --state "$T/c" --ready-file "$T/c.json" 2>"$T/c.log" & PIDS="$PIDS $!"
wait_for test -s "$T/c.json" || { cat "$T/c.log"; exit 1; }
export GRIDDLE_COORDINATOR=$(member "$T/c.json" endpoint)
for w in east west; do
	"$BIN/griddle-worker" --coordinator "$GRIDDLE_COORDINATOR" --state "$T/$w" --name $w --ready-file "$T/$w.json" 2>"$T/$w.log" & PIDS="$PIDS $!"
done
wait_for test -s "$T/east.json" -a -s "$T/west.json" || { cat "$T/east.log"; exit 1; }
sed "s|http://127.0.0.1:3900|http://127.0.0.1:$PORT|" "$HERE/plan.json" >"$T/plan.json"; cp "$HERE/pages.csv" "$T/"
echo "live: http://$(member "$T/c.json" http)/load"
mkdir -p "$(dirname "$REPORT")"
"$BIN/griddle" load run "$T/plan.json" --html "$REPORT"; rc=$?
echo "views of /home as the service counted them: $(curl -s "http://127.0.0.1:$PORT/home?inc=false")"
echo "report: $REPORT"
exit $rc
