#!/bin/bash
# 42-keys.t - CURVE end to end: who has no key, an unknown key, or a key of another role; and who may
. "$(dirname "$0")/cluster.sh"
HOSTILE=${GRIDDLE_BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/hostile
[ -x "$HOSTILE" ] || skip_all "$HOSTILE is not built"
G=$BIN/griddle
mkdir -p "$T/k"
pub() { sed -n 's/^public //p' "$T/k/$1"; }
sec() { sed -n 's/^secret //p' "$T/k/$1"; }
for k in server client worker stranger; do "$G" keys new --keys "$T/k/$k" >/dev/null; done
check "key files are ours alone" [ "$(stat -c %a "$T/k/server")" = 600 ]
"$G" keys allow --allow "$T/allow" --roles client "$(pub client)" anna >/dev/null
"$G" keys allow --allow "$T/allow" --roles worker "$(pub worker)" farm-1 >/dev/null
cl_coordinator --keys "$T/k/server" --allow "$T/allow" --heartbeat 200ms --dead 1500ms
S=$(pub server)
check "the ready file tells the public key" grep -qF "\"public_key\":\"$S\"" "$T/coord.json"
says() { timeout 30 "$HOSTILE" "$ENDPOINT" "$@" >"$T/out" 2>&1; }

says plain "$S" "$(pub client)" "$(sec client)"
check "an allowed key is welcome" grep -q '^WELCOME' "$T/out"
says plain "$S" "$(pub stranger)" "$(sec stranger)"
check "an unknown key is not" [ "$(grep -c WELCOME "$T/out")" = 0 ]
says plain
check "nor is one without a key" [ "$(grep -c WELCOME "$T/out")" = 0 ]
says plain "$(pub stranger)" "$(pub client)" "$(sec client)"
check "nor one that takes another for the server" [ "$(grep -c WELCOME "$T/out")" = 0 ]
says worker-as-client "$S" "$(pub client)" "$(sec client)"
check "a client's key does not make a worker" grep -q '^REJECT EROLE .*anna.*not allowed as worker' "$T/out"
check "and the log says so" grep -q 'not allowed as worker' "$T/coord.log"
says honest "$S" "$(pub worker)" "$(sec worker)"
check "a worker's key does not make a client" grep -q '^REJECT EROLE .*farm-1.*not allowed as client' "$T/out"

"$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/wx" --name wx --slots 1 --keys "$T/k/stranger" --server-key "$S" >"$T/wx.log" 2>&1 &
CL_PIDS="$CL_PIDS $!"
check "a worker with an unknown key says why it cannot connect" wait_for 20 grep -q 'not authorised' "$T/wx.log"
cl_worker w1 --keys "$T/k/worker" --server-key "$S"
check "a worker with its key is there" wait_for 20 [ "$(metric griddle_workers)" = 1 ]
says honest "$S" "$(pub client)" "$(sec client)"
check "a task runs over encrypted links" grep -q '^RESULT done' "$T/out"
grep -q '^RESULT done' "$T/out" || diag <"$T/out"

"$G" keys allow --allow "$T/allow" --roles client,admin "$(pub stranger)" bob >/dev/null
says plain "$S" "$(pub stranger)" "$(sec stranger)"
check "a key that is added is known without a restart" grep -q '^WELCOME' "$T/out"
check "a key in use makes a worker in no other way" [ "$(metric griddle_workers)" = 1 ]
chmod 644 "$T/k/server"
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http off --state "$T/other" --keys "$T/k/server" --allow "$T/allow" >"$T/out" 2>&1; rc=$?
check "a key file that others can read is refused" [ $rc != 0 ]
check "with the reason" grep -qi 'read' "$T/out"
"$BIN/griddle-coordinator" --listen tcp://127.0.0.1:0 --http off --state "$T/other" --keys "$T/k/server" >"$T/out" 2>&1; rc=$?
check "keys without an allow list are refused" [ $rc = 2 ]
done_testing
