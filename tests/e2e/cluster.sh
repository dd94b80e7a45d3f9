# tests/e2e/cluster.sh - sourced by the end-to-end scripts: a private cluster of real processes on loopback.
# Every process is started by this shell and ended by pid, also when the test is interrupted; nothing outside the
# test's own folder is touched. Needs: BIN (folder of the programs), default build/release/bin.
set -u
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$TOP/build/${VARIANT:-release}/bin}
T=$(mktemp -d "${TMPDIR:-/tmp}/griddle-e2e.XXXXXX"); chmod 755 "$T"
N_TEST=0 CL_PIDS= COORD_PID= AGENT_PID=
export GRIDDLE_RUNTIME_DIR=$T/rt GRIDDLE_STATE_DIR=$T/state GRIDDLE_SOCKET=$T/agent.sock
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=u KBUILD_BUILD_HOST=h
export XDG_CONFIG_HOME=$T/config HOME=$T
mkdir -p "$T/rt" "$T/state"; chmod 700 "$T/rt"

cl_cleanup() {
	for _p in $CL_PIDS; do kill -CONT "$_p" 2>/dev/null; kill -TERM "$_p" 2>/dev/null; done
	_i=0
	for _p in $CL_PIDS; do
		while kill -0 "$_p" 2>/dev/null && [ $_i -lt 50 ]; do sleep 0.1; _i=$((_i + 1)); done
		kill -KILL "$_p" 2>/dev/null
	done
	wait 2>/dev/null
	[ -n "${T_MOUNT:-}" ] && umount "$T_MOUNT" 2>/dev/null
	[ -n "${KEEP:-}" ] || rm -rf "$T"
}
trap cl_cleanup EXIT
trap 'exit 130' INT; trap 'exit 143' TERM HUP

ok() { N_TEST=$((N_TEST + 1)); echo "ok $N_TEST - $*"; }
not_ok() { N_TEST=$((N_TEST + 1)); echo "not ok $N_TEST - $*"; }
check() { _d=$1; shift; if "$@"; then ok "$_d"; else not_ok "$_d"; return 1; fi; }   # check NAME CMD...: as CMD ends
skip_all() { echo "1..0 # SKIP $*"; exit 0; }
done_testing() { echo "1..$N_TEST"; }
diag() { sed 's/^/# /'; }

# wait_for SECONDS CMD...: until CMD succeeds
wait_for() {
	_lim=$(($1 * 10)); shift; _i=0
	while ! "$@" >/dev/null 2>&1; do
		[ $_i -ge $_lim ] && return 1
		sleep 0.1; _i=$((_i + 1))
	done
}
json_get() { sed -n 's/.*"'"$2"'": *"\{0,1\}\([^",}]*\).*/\1/p' "$1" | head -n 1; }   # one member of a flat JSON file

cl_coordinator() {              # cl_coordinator [ARGS...]: sets COORD_PID, ENDPOINT, HTTP; a second call re-uses the port
	rm -f "$T/coord.json"
	"$BIN/griddle-coordinator" --listen "${ENDPOINT:-tcp://127.0.0.1:0}" --http "${HTTP:-127.0.0.1:0}" --state "$T/coord" \
		--ready-file "$T/coord.json" "$@" >>"$T/coord.log" 2>&1 &
	COORD_PID=$!; CL_PIDS="$CL_PIDS $COORD_PID"
	wait_for 20 test -s "$T/coord.json" || { echo "Bail out! coordinator did not start"; diag < "$T/coord.log"; exit 1; }
	ENDPOINT=$(json_get "$T/coord.json" endpoint); HTTP=$(json_get "$T/coord.json" http)
}
cl_worker() {                   # cl_worker NAME [ARGS...]: sets WORKER_PID and <NAME>_PID
	_n=$1; shift; rm -f "$T/$_n.json"
	"$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/$_n" --name "$_n" --slots 2 --ready-file "$T/$_n.json" "$@" >>"$T/$_n.log" 2>&1 &
	WORKER_PID=$!; CL_PIDS="$CL_PIDS $WORKER_PID"; eval "${_n}_PID=$WORKER_PID"
	wait_for 20 test -s "$T/$_n.json" || { echo "Bail out! worker $_n did not start"; diag < "$T/$_n.log"; exit 1; }
}
cl_agent() {                    # cl_agent [ARGS...]: sets AGENT_PID
	"$BIN/griddle" agent --coordinator "$ENDPOINT" --socket "$GRIDDLE_SOCKET" --state "$T/agent" --remote always "$@" >>"$T/agent.log" 2>&1 &
	AGENT_PID=$!; CL_PIDS="$CL_PIDS $AGENT_PID"
	wait_for 20 test -S "$GRIDDLE_SOCKET" || { echo "Bail out! agent did not start"; diag < "$T/agent.log"; exit 1; }
}
metric() { curl -s "http://$HTTP/metrics" | awk -v m="$1" '$1 == m { print $2; f = 1 } END { if (!f) print 0 }'; }   # metric 'name{labels}'
metric_is() { [ "$(metric "$1")" = "$2" ]; }
