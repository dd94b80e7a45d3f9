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
# nothing comes, for which each waits; all three at once
refused() { timeout 30 "$HOSTILE" "$ENDPOINT" plain "${@:2}" >"$T/$1.out" 2>&1 & CL_PIDS="$CL_PIDS $!"; REFUSED="$REFUSED $!"; }
REFUSED=
refused unknown "$S" "$(pub stranger)" "$(sec stranger)"
refused keyless
refused elsewhere "$(pub stranger)" "$(pub client)" "$(sec client)"
wait $REFUSED
silent() { [ -s "$T/$1.out" ] && ! grep -q WELCOME "$T/$1.out"; }
check "an unknown key is not" silent unknown
check "nor is one without a key" silent keyless
check "nor one that takes another for the server" silent elsewhere
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

# ---- from a Secret: kubectl's answers by a script here, its real ones in tests/kube/kube-e2e.t ----
mkdir "$T/bin"; printf '#!/bin/sh\necho "$*" >%s/asked\ncat %s/secret.json\n' "$T" "$T" >"$T/bin/kubectl"; chmod 755 "$T/bin/kubectl"
import() { PATH="$T/bin:$PATH" "$G" keys import "$@" >"$T/out" 2>&1; }
secret() { printf '{"data":{"client.key":"%s","server.pub":"%s"}}' "$1" "$2" >"$T/secret.json"; }
K64=$(base64 -w0 <"$T/k/client") S64=$(printf %s "$S" | base64 -w0)
secret "$K64" "$S64"
import --from-kube build/r-griddle-client-keys --keys "$T/k/imported"; rc=$?
check "a key comes out of a Secret" [ $rc = 0 ]
check "as it went in" cmp -s "$T/k/imported" "$T/k/client"
check "for us alone" [ "$(stat -c %a "$T/k/imported")" = 600 ]
check "and the server's is printed" [ "$(cat "$T/out")" = "$S" ]
check "the namespace was asked for" grep -q -- '--namespace build -- r-griddle-client-keys$' "$T/asked"
import --from-kube build/x --keys "$T/k/imported"; rc=$?
check "a key that is there is not overwritten" [ $rc != 0 ]
refused() { _t=$1; shift; import --from-kube x --keys "$T/k/no"; _r=$?; [ $_r = 2 -a ! -e "$T/k/no" ] && grep -q "$_t" "$T/out" || { diag <"$T/out"; return 1; }; }
secret "$(base64 -w0 <"$T/k/client" | cut -c2-)" "$S64"; check "half a base64 is refused" refused 'no "client.key"'
secret "!!!!" "$S64"; check "so is none" refused 'not base64'
secret "$(echo nonsense | base64)" "$S64"; check "so is what is no key" refused 'needs the lines'
secret "$K64" "$(echo x | base64)"; check "so is no server key" refused 'not a public key'
echo '{' >"$T/secret.json"; check "so is no JSON" refused 'no JSON'
printf '#!/bin/sh\necho "Error from server (NotFound): secrets x not found" >&2; exit 1\n' >"$T/bin/kubectl"
check "what kubectl says is passed on" refused 'NotFound'
done_testing
