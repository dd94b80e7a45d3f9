#!/bin/bash
# 43-openapi.t - docs/openapi.json against live coordinators: every path answers as it says, each answer it declares comes, and nothing
# else is there
. "$(dirname "$0")/cluster.sh"
python3 -c 'import jsonschema' 2>/dev/null || skip_all "python3-jsonschema is not installed"
cl_coordinator
cl_worker w1
plain=$HTTP; ENDPOINT= HTTP=
token=$("$BIN/griddle" keys token --tokens "$T/tokens" --roles admin anna)
cl_coordinator --state "$T/tokened" --http-tokens "$T/tokens"
tokened=$HTTP; ENDPOINT= HTTP= full=- full_pid=0
cl_coordinator --state "$T/torn"
curl -s -o "$T/body" "http://$HTTP/api/v1/jobs" -d '{"spec":{"stages":[{"argv":["true"]}]}}'
curl -s -o "$T/body" "http://$HTTP/api/v1/jobs/1/cancel" -d '{}'
kill "$COORD_PID"; wait "$COORD_PID"
python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("UPDATE jobs SET spec = substr(spec, 1, 9)"); d.commit()' "$T/torn/jobs.db"
cl_coordinator --state "$T/torn"
torn=$HTTP; ENDPOINT= HTTP=
mkdir -p "$T/full"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=24m,mode=755 tmpfs "$T/full" 2>/dev/null; then
	T_MOUNT=$T/full
	cl_coordinator --state "$T/full"
	curl -s -o "$T/body" "http://$HTTP/api/v1/jobs" -d '{"token":"again","spec":{"stages":[{"argv":["true"]}]}}'
	for job in 2 3; do
		curl -s -o "$T/body" "http://$HTTP/api/v1/jobs" -d '{"spec":{"stages":[{"argv":["true"]}]}}'
		curl -s -o "$T/body" "http://$HTTP/api/v1/jobs/$job/cancel" -d '{}'
	done
	cat /dev/zero >"$T/full/fill" 2>/dev/null
	full=http://$HTTP full_pid=$COORD_PID
fi
timeout 600 python3 "$TOP/tests/e2e/openapi_check.py" "http://$plain" "http://$tokened" "$token" "http://$torn" "$full" "$full_pid" "$w1_PID" "$TOP/docs/openapi.json" \
	"$TOP/coordinator/http/api.c"
