#!/bin/sh
# every blob in a worker's cache is damaged between two builds: found, fetched again, same bytes
. "$(dirname "$0")/fault.sh"
fault_tree
cl_coordinator; cl_worker w1; cl_agent --no-cache
build_start
build_finish "before the damage"
kill -TERM "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
n=0
for f in $(find "$T/w1" -type f -path '*/cas/*' -size +0 | grep -v /cas/tmp/); do
	chmod u+w "$f"; printf '#error damaged\n' | dd of="$f" conv=notrunc bs=1 seek=0 2>/dev/null; n=$((n + 1))
done
check "there were blobs to damage ($n)" [ $n -gt 100 ]
kill -KILL "$w1_PID"; wait "$w1_PID" 2>/dev/null; rm -rf "$T/w1/sessions"
cl_worker w1
fault_tree; cl_agent --no-cache
build_start
build_finish "after the damage"
remote=$(units remote)
check "the second build was remote, too (remote: ${remote:-?})" [ "${remote:-0}" -ge 40 ]
done_testing
