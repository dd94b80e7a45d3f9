#!/bin/bash
# kube-e2e.t - the chart on a real Kubernetes control plane (etcd, API server, controller manager, scheduler; no kubelet)
# What is shown: every object is admitted by the server's strict validation, in a namespace that enforces restricted Pod
# Security; controllers make the pods; install, upgrade, rollback, uninstall. What is not: no container runs here.
. "$(dirname "$0")/../e2e/cluster.sh"
REAL_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
K8S=$(HOME=$REAL_HOME "$TOP/tests/kube/build.sh" 2>"$T/build.log") || skip_all "Kubernetes cannot be built here: $(tail -n 1 "$T/build.log")"
. "$TOP/tests/chart/tools.sh"
. "$TOP/tests/kube/control-plane.sh"
trap 'kp_stop; cl_cleanup' EXIT
quiet() { "$@" >"$T/out" 2>&1; _r=$?; [ $_r = 0 ] || diag <"$T/out"; return $_r; }
from=$(date +%s%N)
kp_start || { echo "Bail out! no API server"; diag <"$T/kp/kube-apiserver.log"; exit 1; }
echo "# control plane $(k version -o json | jq -r .serverVersion.gitVersion) ready after $((($(date +%s%N) - from) / 1000000)) ms"
k create namespace build >/dev/null
k label namespace build pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted >/dev/null

# Every profile, by the server itself: unknown fields and wrong types are errors, Pod Security warnings too.
for f in "$TOP"/chart/profiles/*.yaml "$TOP"/chart/ci/{default,minimal,builtin,generate}-values.yaml; do
	"$HELM" template r "$TOP/chart" -n build -f "$f" --kube-version 1.36.3 >"$T/r.yaml"
	check "${f##*/}: the server takes every object" quiet k apply --server-side --dry-run=server --validate=strict -f "$T/r.yaml"
	check "${f##*/}: and warns of nothing" [ "$(grep -ci warning "$T/out")" = 0 ]
done
cat >"$T/crd.yaml" <<'Y'
coordinator: {persistence: {enabled: false}}
workerPools:
  - {name: a, replicas: 3}
  - {name: b, autoscaling: {mode: hpa}}
priorityClasses: {create: true}
metrics: {dashboard: {enabled: true}}
Y
mkdir "$T/keys"; cd "$T/keys" || exit 1
G=$BIN/griddle

check "install" quiet "$HELM" install r "$TOP/chart" -n build -f "$T/crd.yaml"
check "without Secrets the notes say which and how" grep -q 'no Secret r-griddle-coordinator-keys, r-griddle-worker-keys, r-griddle-client-keys' "$T/out"
# the hook's own objects; what its container would do is done here, with the hook's token
hook() { "$HELM" template r "$TOP/chart" -n build -f "$T/crd.yaml" --set keys.generate=true --kube-version 1.36.3 --show-only templates/keys.yaml; }
hook | k apply --server-side --validate=strict -f - >"$T/out" 2>&1 || diag <"$T/out"
check "the hook that makes the keys: Pod Security admits its pod" wait_for 60 eval '[ "$(k -n build get pods -l app.kubernetes.io/component=keys -o name | wc -l)" = 1 ]'
args=$(k -n build get job r-griddle-keys -o jsonpath='{.spec.template.spec.containers[0].args[1]}')
k -n build delete job r-griddle-keys --cascade=foreground --wait --timeout=60s >/dev/null
mkdir "$T/sa"; cp "$T/kp/ca.crt" "$T/sa/"; printf build >"$T/sa/namespace"; k -n build create token r-griddle-keys >"$T/sa/token"
make_keys() { "$BIN/griddle-coordinator" --kube-api "https://127.0.0.1:$KP_PORT" --kube-account "$T/sa" --kube-keys "$args"; }
secrets() { k -n build get secrets -o json | jq -S '[.items[] | select(.metadata.name | endswith("-keys")) | {(.metadata.name): .data}]'; }
check "its rights are enough" quiet make_keys
secrets >"$T/secrets"; check "for three Secrets" [ "$(jq length "$T/secrets")" = 3 ]
check "run again, as an upgrade does, it changes none" eval 'quiet make_keys && [ "$(secrets)" = "$(cat "$T/secrets")" ]'
for verb in list update patch delete; do check "it may not $verb them" [ "$(k -n build auth can-i $verb secrets --as=system:serviceaccount:build:r-griddle-keys)" = no ]; done
check "nor read another" [ "$(k -n build auth can-i get secret/r-griddle-worker-keys --as=system:serviceaccount:build:r-griddle-keys)" = no ]
hook | k delete -f - >/dev/null 2>&1
for f in client.key server.pub; do k -n build get secret r-griddle-client-keys -o json | jq -r ".data[\"$f\"]" | base64 -d >$f; done
imported() { PATH="$K8S:$PATH" "$G" keys import --from-kube build/r-griddle-client-keys --keys "$T/imported" >"$T/out" && cmp -s "$T/imported" client.key && grep -qxF "$(cat server.pub)" "$T/out"; }
check "griddle keys import takes the client's key out of the Secret" imported
pods() { k -n build get pods -l "app.kubernetes.io/component=$1" -o name 2>/dev/null | wc -l; }
pods_are() { [ "$(pods "$1")" = "$2" ]; }
check "the controllers make the coordinator's pod, which Pod Security admits" wait_for 60 pods_are coordinator 1
check "and the workers' of both pools" wait_for 60 pods_are worker 4
check "no pod was forbidden" [ -z "$(k -n build get events -o json | jq -r '.items[] | select(.reason == "FailedCreate") | .message')" ]
unschedulable() { [ "$(k -n build get pods -o json | jq '[.items[] | select(.status.conditions[]? | .reason == "Unschedulable")] | length')" = 5 ]; }
check "the scheduler has seen them all, and has no node" wait_for 60 unschedulable
check "the budget selects a pool's pods" wait_for 60 eval '[ "$(k -n build get pdb r-griddle-worker-a -o jsonpath={.status.expectedPods})" = 3 ]'

# a fake node with room, which nobody runs: the scheduler binds, so that selectors, resources and priorities are real
k apply -f - >/dev/null <<'Y'
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {kubernetes.io/hostname: n1, topology.kubernetes.io/zone: z1}}
Y
k patch node n1 --subresource=status --type=merge -p '{"status":{"capacity":{"cpu":"64","memory":"256Gi","ephemeral-storage":"1Ti","pods":"110"},"allocatable":{"cpu":"64","memory":"256Gi","ephemeral-storage":"1Ti","pods":"110"},"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":null,"lastTransitionTime":null}]}}' >/dev/null
k taint node n1 node.kubernetes.io/not-ready- >/dev/null 2>&1
bound() { [ "$(k -n build get pods -o json | jq '[.items[] | select(.spec.nodeName == "n1")] | length')" = 5 ]; }
check "with a node the scheduler binds them" wait_for 90 bound
check "the coordinator is Guaranteed" [ "$(k -n build get pod r-griddle-coordinator-0 -o jsonpath='{.status.qosClass}')" = Guaranteed ]
check "and above the workers" [ "$(k -n build get pod r-griddle-coordinator-0 -o jsonpath='{.spec.priority}')" = 100000 ]
check "workers give way" [ "$(k -n build get pods -l app.kubernetes.io/component=worker -o jsonpath='{.items[0].spec.priority}')" = -10 ]

check "upgrade" quiet "$HELM" upgrade r "$TOP/chart" -n build -f "$T/crd.yaml" --set 'workerPools[0].name=a,workerPools[0].replicas=5,workerPools[1].name=b,workerPools[1].autoscaling.mode=hpa'
check "the notes are content with the Secrets" [ "$(grep -c 'wait for keys' "$T/out")" = 0 ]
check "it scales the pool" wait_for 60 eval '[ "$(k -n build get deploy r-griddle-worker-a -o jsonpath={.spec.replicas})" = 5 ]'
check "and leaves alone what an autoscaler owns" [ "$(k -n build get deploy r-griddle-worker-b -o jsonpath='{.spec.replicas}')" = 1 ]
check "the keys are those of before" [ "$(secrets)" = "$(cat "$T/secrets")" ]
check "rollback" quiet "$HELM" rollback r 1 -n build
check "leaves the keys as well" [ "$(secrets)" = "$(cat "$T/secrets")" ]
check "takes the pool back" wait_for 60 eval '[ "$(k -n build get deploy r-griddle-worker-a -o jsonpath={.spec.replicas})" = 3 ]'
bad_upgrade() { ! "$HELM" upgrade r "$TOP/chart" -n build --set 'workerPools[0].name=a,workerPools[0].replica=1' >"$T/out" 2>&1; }
check "an upgrade with a mistake is refused" bad_upgrade
check "and changes nothing" [ "$(k -n build get deploy r-griddle-worker-a -o jsonpath='{.spec.replicas}')" = 3 ]
check "uninstall" quiet "$HELM" uninstall r -n build
left() { [ "$(k -n build get deploy,sts,svc,cm,pdb,hpa,networkpolicy,role,sa -l app.kubernetes.io/instance=r -o name | wc -l)" = 0 ]; }
check "leaves none of its objects" wait_for 60 left
check "but the keys" quiet k -n build get secret r-griddle-client-keys
done_testing
