#!/bin/bash
# 10-signals.t - the cluster's own signals and the built-in scaler, by a real control plane: pods and nodes are API objects, a
# worker is a process that claims a pod's UID. The chart's own Role and ClusterRole are all the rights the coordinator has.
. "$(dirname "$0")/../e2e/cluster.sh"
REAL_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
K8S=$(HOME=$REAL_HOME "$TOP/tests/kube/build.sh" 2>"$T/build.log") || skip_all "Kubernetes cannot be built here: $(tail -n 1 "$T/build.log")"
. "$TOP/tests/chart/tools.sh"
. "$TOP/tests/kube/control-plane.sh"
trap 'kp_stop; cl_cleanup' EXIT
G=$BIN/griddle
# nobody renews these nodes' leases: the controller that would call them unreachable stays out
kp_run() {
	_n=$1; shift
	[ "$_n" = kube-controller-manager ] && set -- "$@" '--controllers=*,-node-lifecycle-controller'
	"$K8S/$_n" "$@" >"$T/kp/$_n.log" 2>&1 & KP_PIDS="$! $KP_PIDS"
}
kp_start || { echo "Bail out! no API server"; diag <"$T/kp/kube-apiserver.log"; exit 1; }
k create namespace build >/dev/null
for n in n1 n2; do
	k apply -f - >/dev/null <<-Y
	apiVersion: v1
	kind: Node
	metadata: {name: $n, labels: {kubernetes.io/hostname: $n, topology.kubernetes.io/zone: zone-$n, node.kubernetes.io/instance-type: big}}
	Y
	k patch node $n --subresource=status --type=merge -p '{"status":{"capacity":{"cpu":"64","memory":"256Gi","ephemeral-storage":"1Ti","pods":"110"},"allocatable":{"cpu":"64","memory":"256Gi","ephemeral-storage":"1Ti","pods":"110"},"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":null,"lastTransitionTime":null}]}}' >/dev/null
	k taint node $n node.kubernetes.io/not-ready- >/dev/null 2>&1
done
cat >"$T/v.yaml" <<'Y'
kube: {pods: true, nodes: true}
coordinator: {persistence: {enabled: false}}
workerPools: [{name: a, autoscaling: {mode: builtin, minReplicas: 1, maxReplicas: 6}}]
Y
"$HELM" install r "$TOP/chart" -n build -f "$T/v.yaml" >"$T/out" 2>&1 || { echo "Bail out! no install"; diag <"$T/out"; exit 1; }
mkdir "$T/sa"; cp "$T/kp/ca.crt" "$T/sa/ca.crt"; printf build >"$T/sa/namespace"
token() { k -n build create token r-griddle-coordinator --duration=10m >"$T/sa/token.new" && mv "$T/sa/token.new" "$T/sa/token"; }
token
KUBE="--kube-api https://127.0.0.1:$KP_PORT --kube-account $T/sa --kube-nodes"
KUBE="$KUBE --kube-pods app.kubernetes.io/name=griddle,app.kubernetes.io/instance=r,app.kubernetes.io/component=worker"
D=r-griddle-worker-a
pods() { k -n build get pods -l app.kubernetes.io/component=worker -o json; }
bound() { [ "$(pods | jq '[.items[] | select(.spec.nodeName and (.metadata.deletionTimestamp | not))] | length')" = "$1" ]; }
claim() {       # claim WORKER [POD]: a process that is this pod, or one that nobody is yet
	_pod=${2:-$(pods | jq -r --arg had "${CLAIMED:-}" '[.items[] | select(.metadata.deletionTimestamp | not) | select(.metadata.name as $n | ($had | split(" ") | index($n)) | not)][0].metadata.name')}
	CLAIMED="${CLAIMED:-} $_pod"; eval "${1}_POD=$_pod"
	cl_worker "$1" --pod-uid "$(k -n build get pod "$_pod" -o jsonpath='{.metadata.uid}')" --node "$(k -n build get pod "$_pod" -o jsonpath='{.spec.nodeName}')" --grace 20s
}
state() { curl -s "http://$HTTP/api/v1/nodes" | jq -r ".nodes[] | select(.name == \"$1\") | \"\(.state) \(.zone) \(.why // \"\")\""; }
state_has() { state "$1" | grep -qE -- "$2"; }
done_by() { curl -s "http://$HTTP/api/v1/nodes" | jq ".nodes[] | select(.name == \"$1\") | .done"; }
running() { curl -s "http://$HTTP/api/v1/nodes" | jq ".nodes[] | select(.name == \"$1\") | .running"; }
said_is() { [ "$(grep -c -- "$1" "$T/coord.log")" = "$2" ]; }
job_is() { "$G" job show "$1" | grep -q "^state *$2"; }

k -n build scale deploy $D --replicas=2 >/dev/null
wait_for 90 bound 2
# ---- a right that comes later ----
k get clusterrolebinding build-r-griddle-nodes -o json | jq '{apiVersion, kind, metadata: {name: .metadata.name}, roleRef, subjects}' >"$T/binding.json"
k delete clusterrolebinding build-r-griddle-nodes >/dev/null
cl_coordinator $KUBE
watched_are() { [ "$(curl -s "http://$HTTP/api/v1/status" | jq -c '[.kube.pods_known, .kube.nodes_known]')" = "[$1]" ]; }
check "nodes that may not be watched: said" wait_for 60 said_is 'nodes cannot be watched: 403' 1
check "pods are watched all the same" wait_for 60 watched_are true,false
check "the metric tells" [ "$(metric 'griddle_kube_watch_up{resource="pods"}')$(metric 'griddle_kube_watch_up{resource="nodes"}')" = 10 ]
k create -f "$T/binding.json" >/dev/null
check "given the right, it watches them without a restart" wait_for 180 watched_are true,true
check "said as well" said_is 'nodes are watched again' 1
export GRIDDLE_COORDINATOR=$ENDPOINT; cd "$T" || exit 1
claim w1; claim w2
check "the chart's rights are enough: pods and nodes are watched" wait_for 60 eval '[ "$(curl -s "http://$HTTP/api/v1/status" | jq -c "[.kube.reachable, .kube.pods_known, .kube.nodes_known, .kube.nodes]")" = "[true,true,true,2]" ]'
n1=$(k -n build get pod "$w1_POD" -o jsonpath='{.spec.nodeName}'); n2=$(k -n build get pod "$w2_POD" -o jsonpath='{.spec.nodeName}')
check "two nodes, a pod on each" [ "$n1" != "$n2" ]
check "a worker's zone is its node's" state_has w1 "^up zone-$n1"

k cordon "$n1" >/dev/null
check "cordon: the worker takes nothing new" wait_for 60 state_has w1 '^cordoned .*unschedulable'
"$G" map -q -- true ::: 1 2 3 4 5 6 7 8
check "all work goes to the other" [ "$(done_by w1)/$(done_by w2)" = 0/8 ]
k uncordon "$n1" >/dev/null
check "uncordon takes it back" wait_for 60 state_has w1 ^up

# ---- drain: evictions within the chart's budget; the test is the kubelet: a pod is gone when its process is ----
ready() { k -n build patch pod "$1" --subresource=status --type=merge -p '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"},{"type":"ContainersReady","status":"True"}]}}' >/dev/null; }
ready "$w1_POD"; ready "$w2_POD"
check "the budget lets one pod go" wait_for 60 eval '[ "$(k -n build get pdb $D -o jsonpath={.status.disruptionsAllowed})" = 1 ]'
"$G" map -q --detach -- tail -f ::: /dev/null /dev/null /dev/null >"$T/job"                       # they do not end
wait_for 60 eval '[ "$(running w1)" -gt 0 ] && [ "$(($(running w1) + $(running w2)))" = 3 ]'
done1=$(done_by w1); from=$SECONDS
while [ $((SECONDS - from)) -lt 5 ]; do sleep 0.5; done                   # by now it is known that they are none of those that end at once
k drain "$n1" --pod-selector=app.kubernetes.io/component=worker --delete-emptydir-data --grace-period=1 --timeout=300s >"$T/drain" 2>&1 & DRAIN=$!; CL_PIDS="$CL_PIDS $DRAIN"
check "kubectl drain: the eviction is seen" wait_for 60 state_has w1 '^draining .*its pod is to go: EvictionByEvictionAPI'
check "its work moves" wait_for 60 eval '[ "$(running w1)/$(running w2)" = 0/2 ]'
check "while its pod is still there" eval 'kill -0 $w1_PID && kill -0 $DRAIN && [ -n "$(k -n build get pod "$w1_POD" -o jsonpath="{.metadata.deletionTimestamp}")" ]'
check "nothing ended there, nothing failed" eval '[ "$(done_by w1)" = "$done1" ] && [ "$("$G" job show "$(cat "$T/job")" -o json | jq .counts.failed)" = 0 ]'
kill -TERM "$w1_PID"; wait "$w1_PID"; check "SIGTERM then ends it in order" [ $? = 0 ]
k -n build delete pod "$w1_POD" --force >/dev/null 2>&1
wait "$DRAIN"; rc=$?; check "and kubectl drain ends with 0" [ $rc = 0 ] || diag <"$T/drain"
"$G" job cancel "$(cat "$T/job")" -q; k uncordon "$n1" >/dev/null
wait_for 90 bound 2; claim w1; n1=$(k -n build get pod "$w1_POD" -o jsonpath='{.spec.nodeName}')

"$G" map -q --detach -- sleep ::: 3 3 3 3 3 3 3 3 3 3 >"$T/job"
wait_for 60 eval '[ "$(running w1)" = 2 ]'
k -n build delete pod "$w1_POD" --wait=false --grace-period=40 >/dev/null
check "delete: the worker drains before any signal" wait_for 60 state_has w1 '^draining .*its pod is being deleted'
kill -TERM "$w1_PID"; wait "$w1_PID"; check "SIGTERM then ends it in order" [ $? = 0 ]
check "the job is done, with no retries allowed" wait_for 120 job_is "$(cat "$T/job")" 'done\|succeeded'
k -n build delete pod "$w1_POD" --force >/dev/null 2>&1

# ---- the API server away for a minute, the token another one, and the watches too far behind ----
said_is 'cannot be used' 0 || diag <"$T/coord.log"
api=$(for p in $KP_PIDS; do tr '\0' '\n' <"/proc/$p/cmdline" | grep -q 'kube-apiserver$' && echo "$p"; done)
tr '\0' '\n' <"/proc/$api/cmdline" | tail -n +2 >"$T/api.args"
was=$(k get --raw /api/v1/nodes | jq -r .metadata.resourceVersion) lists=$(metric griddle_kube_relists_total)
kill "$api"; wait "$api" 2>/dev/null; from=$SECONDS
# The store goes on meanwhile and forgets what was: etcd is compacted, as an API server has it done every five minutes.
etcd() { curl -s "http://127.0.0.1:$KP_ETCD/v3/kv/$1" -d "$2"; }
rev=$(etcd put '{"key": "Z3JpZGRsZQ==", "value": "eA=="}' | jq -r .header.revision)
etcd compaction "{\"revision\": \"$rev\", \"physical\": true}" >"$T/compacted"
check "API gone: said" wait_for 60 said_is 'API server cannot be used' 1
"$G" map -q --detach -- sleep ::: 1 1 1 1 1 1 >"$T/job"
check "work goes on" wait_for 60 job_is "$(cat "$T/job")" 'done\|succeeded'
while [ $((SECONDS - from)) -lt 60 ]; do sleep 1; done
echo invalid >"$T/sa/token"
mapfile -t args <"$T/api.args"; kp_run kube-apiserver "${args[@]}"
wait_for 120 k get --raw /readyz
k get --raw "/api/v1/nodes?watch=1&timeoutSeconds=10&resourceVersion=$was" >"$T/gone" 2>&1
check "what the watches went by is gone at this server: 410" grep -qE 'too old resource version|"code":410' "$T/gone" || diag <"$T/gone"
k cordon "$n2" >/dev/null                                                 # nobody is watching: with that token it may not
token
check "back with a new token: said" wait_for 90 said_is 'API server is back' 1
check "each once" said_is 'API server cannot be used' 1
check "what changed meanwhile is learned" wait_for 60 state_has w2 ^cordoned
check "by a new list of each, the one answer to 410" wait_for 60 metric_is griddle_kube_relists_total $((lists + 2))
k uncordon "$n2" >/dev/null; check "and what changes then is seen" wait_for 60 state_has w2 ^up
check "by the watches, without another list" metric_is griddle_kube_relists_total $((lists + 2))

# ---- the scaler ----
kill "$COORD_PID"; wait "$COORD_PID"
replicas() { k -n build get deploy $D -o jsonpath='{.spec.replicas}'; }
replicas_are() { [ "$(replicas)" = "$1" ]; }
k -n build scale deploy $D --replicas=1 >/dev/null
alive() { pods | jq -r '.items[] | select(.metadata.deletionTimestamp | not) | .metadata.name'; }
wait_for 60 eval '[ "$(alive | wc -l)" = 1 ]'
kill "$w2_PID"; wait "$w2_PID"; CLAIMED=
cl_coordinator $KUBE --kube-scale $D=1..6 --kube-scale-down 4s --work-target 1s
claim w3
"$G" map -q --detach -- tail -f ::: /dev/null >"$T/long"               # one that is there for long
wait_for 60 eval '[ "$(running w3)" = 1 ]'
seq 2000 | "$G" map -q --detach -- timeout 600 tail -f /dev/null >"$T/job"
from=$SECONDS
check "1 -> 6 with the work" wait_for 60 replicas_are 6
echo "# after $((SECONDS - from)) s"
check "six pods" wait_for 60 bound 6
"$G" job cancel "$(cat "$T/job")" -q
claim w4
check "6 -> 1 when little is left" wait_for 180 replicas_are 1
k -n build get pods -o json | jq -r '.items[] | "\(.metadata.name) cost \(.metadata.annotations["controller.kubernetes.io/pod-deletion-cost"] // "none") \(if .metadata.deletionTimestamp then "goes" else "stays" end)"' | grep worker | diag
check "one stays" wait_for 60 eval '[ "$(alive | grep -c worker)" = 1 ]'
check "it has a deletion cost" [ "$(k -n build get pod "$(alive | grep worker)" -o json | jq -r '.metadata.annotations["controller.kubernetes.io/pod-deletion-cost"] | tonumber > 100')" = true ]
check "it is the one that was busy" [ "$(alive | grep worker)" = "$w3_POD" ]
check "and its work goes on" [ "$(running w3)" = 1 ]
check "no rights were lacking, but the one that came later" [ "$(grep -cE 'forbidden|cannot be scaled|cannot be watched' "$T/coord.log")" = 1 ]
done_testing
