#!/bin/bash
# 62-kube.t - what the coordinator makes of the cluster's API, by an API server that can be made to misbehave over real TLS
# (tests/helper/api_server.py). The same with a real control plane: tests/kube/10-signals.t.
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
mkdir "$T/api" "$T/sa"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/api/tls.key" -subj /CN=api -days 2 -out "$T/api/tls.crt" -addext subjectAltName=IP:127.0.0.1 2>/dev/null
cp "$T/api/tls.crt" "$T/sa/ca.crt"; echo one >"$T/sa/token"; printf build >"$T/sa/namespace"
python3 "$TOP/tests/helper/api_server.py" "$T/api" >"$T/api.log" 2>&1 & CL_PIDS="$CL_PIDS $!"
wait_for 30 test -s "$T/api/ready.json" || { echo "Bail out! no API server"; diag <"$T/api.log"; exit 1; }
API=$(json_get "$T/api/ready.json" api); CONTROL=$(json_get "$T/api/ready.json" control)

do_() { curl -s -o "$T/do" -d "$1" "$CONTROL"; }                            # a line to the server's second port
ask() { curl -s "$CONTROL" | jq -r "$1"; }
asked() { ask "[.log[] | select(. == \"$1\")] | length"; }
asked_is() { [ "$(asked "$1")" = "$2" ]; }
asked_more() { [ "$(asked "$1")" -gt "$2" ]; }
watching() { [ "$(ask '.watches | join(" ")')" = "$1" ]; }
pod() {         # pod NAME UID NODE [METADATA] [STATUS]
	do_ "{\"op\":\"put\",\"kind\":\"pods\",\"object\":{\"metadata\":{\"name\":\"$1\",\"uid\":\"$2\",\"ownerReferences\":[{\"kind\":\"ReplicaSet\",\"name\":\"workers-5f\"}]${4:-}},\"spec\":{\"nodeName\":\"$3\",\"terminationGracePeriodSeconds\":40},\"status\":{\"phase\":\"Running\"${5:-}}}}"
}
node() {        # node NAME [SPEC]
	do_ "{\"op\":\"put\",\"kind\":\"nodes\",\"object\":{\"metadata\":{\"name\":\"$1\",\"labels\":{\"topology.kubernetes.io/zone\":\"zone-$1\",\"node.kubernetes.io/instance-type\":\"big.$1\"}},\"spec\":{${2:-}},\"status\":{\"capacity\":{\"cpu\":\"16\"}}}}"
}
state() { curl -s "http://$HTTP/api/v1/nodes" | jq -r ".nodes[] | select(.name == \"$1\") | \"\(.state) \(.why // \"\")\""; }
state_has() { state "$1" | grep -qE -- "$2"; }
status() { curl -s "http://$HTTP/api/v1/status" | jq -r ".kube$1"; }
status_is() { [ "$(status "$1")" = "$2" ]; }
said() { grep -c -- "$1" "$T/coord.log"; }
said_is() { [ "$(said "$1")" = "$2" ]; }
sees() { node n1 '"unschedulable":true' && wait_for 60 state_has w1 ^cordoned && node n1 && wait_for 60 state_has w1 ^up; }   # changes come through
end() { kill -TERM "$1"; wait "$1"; }

node n1; node n2; pod p1 u1 n1; pod p2 u2 n2
for i in $(seq 40); do node "other-$i"; done
KUBE="--kube-api $API --kube-account $T/sa --kube-pods app=worker --kube-nodes --kube-timeout 5s"
cl_coordinator $KUBE
check "both are listed and watched" wait_for 60 watching 'nodes pods'
check "in pages" [ "$(asked list-nodes)" = 2 ]
check "status tells" status_is '| "\(.namespace) \(.reachable) \(.pods_known) \(.nodes_known) \(.pods) \(.nodes)"' 'build true true true 2 42'
cl_worker w1 --node n1 --pod-uid u1
cl_worker w2 --node n2 --pod-uid u2
facts() { curl -s "http://$HTTP/api/v1/nodes" | jq -r '.nodes[] | select(.name == "w1") | "\(.zone) \(.machine)"'; }
check "a worker's zone and machine are its node's" [ "$(facts)" = 'zone-n1 big.n1' ]
export GRIDDLE_COORDINATOR=$ENDPOINT; cd "$T" || exit 1

# ---- nodes ----
node n1 '"unschedulable":true'
check "a cordon is seen" wait_for 60 state_has w1 '^cordoned its node takes nothing new: unschedulable'
ran_on() { "$G" map -q -- 'echo $GRIDDLE_WORKER' ::: 1 2 3 4 5 6 >"$T/ran" && curl -s "http://$HTTP/api/v1/nodes" | jq -r '.nodes[] | "\(.name) \(.done)"' | tr '\n' ' '; }
check "nothing new goes there" [ "$(ran_on)" = 'w1 0 w2 6 ' ]
check "the metric counts it" metric_is griddle_kube_nodes_cordoned 1
node n1; check "and the end of it" wait_for 60 state_has w1 ^up
node n1 '"taints":[{"key":"node.kubernetes.io/disk-pressure","effect":"NoSchedule"}]'
check "pressure is as a cordon" wait_for 60 state_has w1 'cordoned.*disk-pressure'
node n1 '"taints":[{"key":"aws-node-termination-handler/spot-itn","effect":"NoSchedule"}]'
check "a spot notice drains" wait_for 60 state_has w1 '^draining its node leaves: aws-node-termination-handler/spot-itn'
node n1; check "one that is taken back does not" wait_for 60 state_has w1 ^up
node n1 '"taints":[{"key":"dedicated","value":"build","effect":"NoSchedule"}]'; node n2 '"unschedulable":true'
wait_for 60 state_has w2 ^cordoned; node n2; wait_for 60 state_has w2 ^up
check "other taints say nothing of workers that tolerate them" state_has w1 ^up

# ---- pods ----
pod p1 u1 n1 '' ',"conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}]'
check "a pod that is to be preempted drains" wait_for 60 state_has w1 '^draining its pod is to go: PreemptionByScheduler'
pod p1 u1 n1; check "until it is not" wait_for 60 state_has w1 ^up
pod new u9 '' '' ',"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/3 nodes are available"}]'
check "an unschedulable pod is told, and why" wait_for 60 status_is '| "\(.pending) \(.unschedulable) \(.unschedulable_why)"' '1 1 0/3 nodes are available'
do_ '{"op":"delete","kind":"pods","object":{"metadata":{"name":"new","uid":"u9"}}}'
check "until it is gone" wait_for 60 status_is .unschedulable 0
curl -s "http://$HTTP/metrics" >"$T/metrics"; check "promtool likes the metrics" promtool check metrics <"$T/metrics"

# ---- what servers do ----
lists=$(asked list-pods)
do_ '{"op":"bookmark"}'; do_ '{"op":"cut"}'
check "a watch that ends is taken up again" wait_for 60 asked_is watch-pods 2
check "and tells" sees
check "without a new list" asked_is list-pods "$lists"
do_ '{"op":"expire"}'
check "one that is too old begins with a list" wait_for 60 asked_more list-pods "$lists"
check "and tells too" sees
do_ '{"op":"fault","kind":"nodes","fault":"trickle"}'
check "events that come byte by byte are events" sees
do_ '{"op":"fault","kind":"nodes","fault":null}'
check "so far nothing was amiss" said_is 'WARN.*kube\|kube.*cannot' 0

do_ '{"op":"token","token":"two"}'; do_ '{"op":"cut"}'
check "a token that is good no more is said" wait_for 60 said_is 'API server cannot be used: 401' 1
check "status tells" status_is .reachable false
echo two >"$T/sa/token.new"; mv "$T/sa/token.new" "$T/sa/token"
check "the new one is read" wait_for 60 said_is 'API server is back' 1
check "and serves" sees
check "the old one was told of once" said_is 'cannot be used' 1

do_ '{"op":"gone","gone":true}'
check "an API that is gone is said" wait_for 60 said_is 'cannot be used' 2
check "work goes on" [ "$("$G" map -q -k -- echo ::: 1 2 3 | tr -d '\n')" = 123 ]
node n1 '"unschedulable":true'
failed=$(metric griddle_kube_requests_failed_total); more_failed() { [ "$(metric griddle_kube_requests_failed_total)" -gt $((failed + 3)) ]; }
check "it is tried again" wait_for 60 more_failed
check "in silence" said_is 'cannot be used' 2
do_ '{"op":"gone","gone":false}'
check "what happened meanwhile is learned" wait_for 60 state_has w1 ^cordoned
check "that it is back is said" said_is 'API server is back' 2
node n1; wait_for 60 state_has w1 ^up

for fault in garbage endless broken; do
	before=$(asked watch-nodes)
	do_ "{\"op\":\"fault\",\"kind\":\"nodes\",\"fault\":\"$fault\"}"; do_ '{"op":"cut"}'
	check "$fault: it is tried again" wait_for 60 asked_more watch-nodes $((before + 2))
	do_ '{"op":"fault","kind":"nodes","fault":null}'
	check "$fault: then changes are seen again" sees
done
check "each was said once" said_is 'nodes cannot be watched: \(a line of the watch is no event\|an event of more than 4194304 bytes\|transfer closed.*\);' 3
check "and is over" said_is 'nodes are watched again' 3
rss() { awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$COORD_PID/status"; }
[ "${VARIANT:-release}" != release ] || check "an endless line took no endless memory" [ "$(rss)" -lt 200 ]

do_ '{"op":"fault","kind":"nodes","fault":"forbidden"}'; n=$(said 'nodes cannot be watched'); do_ '{"op":"cut"}'
check "what is forbidden is said" wait_for 60 said_is 'nodes cannot be watched: 403: nodes is forbidden' 1
check "once" said_is 'nodes cannot be watched' $((n + 1))
check "pods go on being watched" wait_for 60 watching pods
check "status tells" status_is '| "\(.reachable) \(.pods_known) \(.nodes_known)"' 'true true false'

# ---- the end of a pod, with work on it ----
"$G" map -q --detach -- 'sleep 0.5; echo' ::: $(seq 12) >"$T/job"
busy() { [ "$(curl -s "http://$HTTP/api/v1/nodes" | jq '[.nodes[] | select(.name == "w1") | .running] | add')" -gt 0 ]; }
wait_for 60 busy
pod p1 u1 n1 ',"deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":40'
check "a deleted pod drains" wait_for 60 state_has w1 '^draining its pod is being deleted'
check "for its grace, whatever the clocks say" grep -qE 'worker w1 drains, (39|40) s left to it: its pod is being deleted' "$T/coord.log"
end "$w1_PID"
check "the job is done without it" wait_for 120 sh -c '"$0" job show "$1" | grep -q "^state *\(done\|succeeded\)"' "$G" "$(cat "$T/job")"
check "none of its tasks failed, with no retries allowed" [ "$("$G" job show "$(cat "$T/job")" -o json | jq -c "[.accounting.tasks_done, .accounting.tasks_failed]")" = "[12,0]" ]
end "$COORD_PID"

# ---- the scaler ----
do_ '{"op":"fault","kind":"nodes","fault":null}'
do_ '{"op":"fault","kind":"patch","fault":"forbidden"}'
pod p1 u1 n1; do_ '{"op":"scale","name":"workers","replicas":3}'
mv "$T/coord.log" "$T/first.log"
cl_coordinator $KUBE --kube-scale workers=1..6 --kube-scale-down 1s --work-target 1s
cl_worker w1 --node n1 --pod-uid u1
wait_for 60 state_has w2 ^up
running() { curl -s "http://$HTTP/api/v1/nodes" | jq -r '.nodes[] | select(.running > 0) | .name'; }
scale_is() { [ "$(ask .scales.workers)" = "$1" ]; }
check "a scale that may not be set is said" wait_for 60 said_is 'deployment workers cannot be scaled: 403: deployments.apps is forbidden' 1
"$G" map -q --detach -- sleep ::: 100 >"$T/job"
wait_for 60 eval '[ -n "$(running)" ]'; busy=$(running)
do_ '{"op":"fault","kind":"patch","fault":null}'
check "then fewer workers are enough" wait_for 60 scale_is 1
check "the busy one has been given a cost before, the idle one none" [ "$(ask '.log[] | select(startswith("cost") or startswith("scale"))')" = "cost p${busy#w} 101
scale workers 1" ]
check "it was said once" said_is 'cannot be scaled' 1
n_asked() { ask '[.log[] | select(test("scale|cost"))] | length'; }
before=$(n_asked); metric griddle_kube_scale_replicas >/dev/null
"$G" job cancel "$(cat "$T/job")" -q
check "at rest nothing is asked" [ "$(n_asked)" = "$before" ]
"$G" map -q --detach -- sleep ::: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 >"$T/job"
check "with work the scale goes up" wait_for 60 eval '[ "$(ask .scales.workers)" -gt 1 ]'
check "and down again" wait_for 120 scale_is 1
check "status tells" wait_for 60 status_is '.scale[0] | "\(.deployment) \(.min) \(.max) \(.replicas)"' 'workers 1 6 1'
check "the metric too" metric_is 'griddle_kube_scale_replicas{deployment="workers"}' 1
end "$COORD_PID"

# one that is not there holds up none of the others; the server's clock is an hour ahead, and a pod that is deleting by a list is so by it
: >"$T/coord.log"
do_ '{"op":"clock","ahead":3600}'
pod p1 u1 n1 ",\"deletionTimestamp\":\"$(date -u -d '+3630 seconds' +%Y-%m-%dT%H:%M:%SZ)\",\"deletionGracePeriodSeconds\":40"
cl_coordinator $KUBE --kube-scale absent=1..2,workers=2..6
check "a server whose clock is off: said" wait_for 60 said_is "the API server's clock is \(3600\|3599\|3601\) s off ours" 1
cl_worker w1 --node n1 --pod-uid u1
check "a grace that began before is reckoned by it" wait_for 60 eval 'grep -qE "worker w1 drains, ([12][0-9]|[0-9]|30|31) s left to it" "$T/coord.log"'
check "a deployment that is not there is said" wait_for 60 said_is 'deployment absent cannot be scaled: 404: deployments.apps absent not found' 1
check "and the next is scaled all the same" wait_for 60 scale_is 2
check "the clock was told of once" said_is "s off ours" 1
check "of the first no replicas are told" sh -c '! curl -s "http://$0/metrics" | grep -q "griddle_kube_scale_replicas{deployment=.absent"' "$HTTP"
end "$COORD_PID"

# ---- keys, made once ----
keys() { "$BIN/griddle-coordinator" --kube-api "$API" --kube-account "$T/sa" --kube-keys c,w,u >"$T/keys.log" 2>&1; }
secret() { ask ".secrets.$1.data[\"$2\"] // \"\"" | base64 -d; }
all_secrets() { ask '.secrets | to_entries[] | "\(.key) \(.value.data)"' | sort; }
do_ '{"op":"fault","kind":"secrets","fault":"forbidden"}'
check "keys: without the right to make Secrets it fails" sh -c '! "$@"' - "$BIN/griddle-coordinator" --kube-api "$API" --kube-account "$T/sa" --kube-keys c,w,u
keys; check "and says what it may not" grep -q 'kube-keys: Secret build/c: 403: secrets is forbidden' "$T/keys.log"
do_ '{"op":"fault","kind":"secrets","fault":"cut"}'
keys; check "keys: a run that is cut short fails" [ $? != 0 ]
half=$(secret c worker.key)
do_ '{"op":"fault","kind":"secrets","fault":null}'
check "the next one ends it" keys
check "with the keys of the first" [ -n "$half" -a "$(secret w worker.key)" = "$half" ]
for f in c:coordinator.key c:allow w:worker.key w:server.pub u:client.key u:server.pub; do (umask 077; secret "${f%:*}" "${f#*:}" >"$T/${f#*:}"); done
check "workers and clients have no key but theirs" [ "$(ask '[.secrets.w.data, .secrets.u.data] | map(keys | join(" ")) | join(",")')" = "server.pub worker.key,client.key server.pub" ]
check "the server's key is the coordinator's" [ "$("$G" keys show --keys "$T/coordinator.key")" = "$(cat "$T/server.pub")" ]
before=$(all_secrets); posted() { ask '[.log[] | select(startswith("post-secret"))] | length'; }
keys; check "a second run changes nothing" [ "$before" = "$(all_secrets)" -a "$(posted)" = 3 ]
cl_coordinator --keys "$T/coordinator.key" --allow "$T/allow"
GRIDDLE_SERVER_KEY=$(cat "$T/server.pub"); export GRIDDLE_SERVER_KEY
cl_worker w1 --coordinator "$ENDPOINT" --keys "$T/worker.key"
check "a cluster runs on them" [ "$("$G" map -q --coordinator "$ENDPOINT" --keys "$T/client.key" -- echo ::: yes)" = yes ]
unset GRIDDLE_SERVER_KEY; end "$w1_PID"; end "$COORD_PID"
do_ '{"op":"secret","name":"w","object":null}'
keys; check "one that was removed comes back as it was" [ "$before" = "$(all_secrets)" ]
do_ "{\"op\":\"secret\",\"name\":\"c\",\"object\":{\"data\":{\"coordinator.key\":\"$(base64 -w0 "$T/coordinator.key")\"}}}"; do_ '{"op":"secret","name":"w","object":null}'
check "one made by hand is left alone" keys
check "and nothing is made beside it" eval 'grep -q "made by hand: nothing is made" "$T/keys.log" && [ "$(ask ".secrets | keys | join(\" \")")" = "c u" ]'
do_ '{"op":"secret","name":"c","object":{"data":{"coordinator.key":"eA==","worker.key":"eA==","client.key":"eA=="}}}'
keys; check "a damaged one is said" grep -q 'Secret build/c: its coordinator.key: needs the lines' "$T/keys.log"
end_of_api() { "$BIN/griddle-coordinator" --kube-api https://127.0.0.1:1 --kube-account "$T/sa" --kube-keys c,w,u >"$T/keys.log" 2>&1; }
end_of_api; check "an API server that is not there as well" [ $? != 0 -a "$(grep -c 'kube-keys: Secret build/c' "$T/keys.log")" = 1 ]

# ---- settings ----
conf() { "$BIN/griddle-coordinator" --check-config "$@" 2>&1; }
for bad in workers workers=1 workers=3..1 workers=0..0 'Workers=1..2' 'a=1..2,b'; do
	check "kube-scale $bad is refused" sh -c 'echo "$1" | grep -q "kube-scale: bad value"' - "$(conf --kube-scale "$bad")"
done
for bad in c c,w c,w,u,x c,w,w C,w,u ,,; do
	check "kube-keys $bad is refused" sh -c 'echo "$1" | grep -q "kube-keys: bad value"' - "$(conf --kube-keys "$bad")"
done
check "so is an API without TLS" sh -c 'echo "$1" | grep -q "wants https://"' - "$(conf --kube-api http://127.0.0.1:1)"
: >"$T/coord.log"
unset KUBERNETES_SERVICE_HOST; cl_coordinator --kube-nodes
check "outside a cluster it runs, and says what it lacks" said_is 'not in a pod' 1
end "$COORD_PID"
: >"$T/coord.log"; rm "$T/sa/token"
cl_coordinator $KUBE
check "without a token too" wait_for 60 said_is 'cannot be used: .*no token there' 1
done_testing
