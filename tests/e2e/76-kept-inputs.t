#!/bin/bash
# 76-kept-inputs.t - inputs of jobs are there after a restart: of one that is over and is to run again, of one that waits; and when
# one is gone all the same, the refusal names it
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
MIB=1048576
cd "$T" || exit 1
cl_coordinator --job-bytes 64M
export GRIDDLE_COORDINATOR=$ENDPOINT
cl_worker w1
size_of() { "$G" job logs -q "$1" 2>"$T/err"; }
is_failed() { "$G" job show "$1" | grep -q '^state *failed'; }
put() { curl -s -o /dev/null -w '%{http_code}' -T "$1" "http://$HTTP/api/v1/blobs/$(sha256sum "$1" | cut -d' ' -f1)"; }
for f in over waits; do head -c $((40 * MIB)) /dev/urandom >$f.bin; done
head -c $((20 * MIB)) /dev/urandom >small.bin
head -c $((60 * MIB)) /dev/urandom >filler.bin

over=$("$G" run -d --in small.bin 'wc -c <small.bin; exit 3')
check "a job with an input fails" wait_for 20 is_failed "$over"
kill "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator --job-bytes 64M
check "after a restart the room is taken by another upload" [ "$(put filler.bin)" = 204 ]
check "which the disk has room for: an older upload goes" [ "$(put filler.bin)$(put waits.bin)" = 204204 ]
"$G" job retry "$over" -q 2>"$T/err"; rc=$?
check "the job may run again" [ $rc = 0 ]
check "with its input" wait_for 20 is_failed "$over"
check "whole" [ "$(size_of "$over")" = $((20 * MIB)) ]

# more is pinned than there should be: nothing of it goes at a start
kill "$w1_PID"; wait "$w1_PID" 2>/dev/null
big=$("$G" run -d --in over.bin 'wc -c <over.bin')
waits=$("$G" run -d --in waits.bin 'wc -c <waits.bin')
kill "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
cl_coordinator --job-bytes 64M
cl_worker w2
check "a job that waited over a restart with too little room has its input" wait_for 20 sh -c '"$0" job show "$1" | grep -q "^state *done"' "$G" "$big"
check "so has the next" wait_for 20 sh -c '"$0" job show "$1" | grep -q "^state *done"' "$G" "$waits"
check "both whole" [ "$(size_of "$big")/$(size_of "$waits")" = "$((40 * MIB))/$((40 * MIB))" ]

kill "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
h=$(sha256sum small.bin | cut -d' ' -f1)
rm "$T/coord/blobs/${h:0:2}/${h:2}"
cl_coordinator --job-bytes 64M
"$G" job retry "$over" -q 2>"$T/err"; rc=$?
check "an input that is gone all the same is told by its name" sh -c '[ "$0" != 0 ] && grep -q "job $2 cannot run again: its input small.bin is not kept any more; submit it anew" "$1"' "$rc" "$T/err" "$over"
done_testing
