#!/bin/bash
# two-nodes.t - two real nodes, each with a kubelet and a containerd of its own: the one that holds the coordinator is drained under load, then dies
# Namespaces, images and the network are those of node-e2e.t; the coordinator's volume is a folder that both nodes have.
if [ -z "${KUBE_RUN:-}" ]; then
	export KUBE_PREPARE="$(dirname "$0")/images.sh"
	exec "$(dirname "$0")/own-machine.sh" "$0" "$@"
fi
. "$(dirname "$0")/../e2e/cluster.sh"
REAL_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
. "$TOP/tests/chart/tools.sh"
. "$TOP/tests/kube/control-plane.sh"
. "$TOP/tests/kube/node.sh"
. "$TOP/tests/kube/release.sh"
BG_PIDS=
finish() { [ -z "$BG_PIDS" ] || kill $BG_PIDS 2>/dev/null; kp_stop; cl_cleanup; }
trap finish EXIT
quiet() { "$@" >"$T/out" 2>&1; _r=$?; [ $_r = 0 ] || tail -n 20 "$T/out" | diag; return $_r; }
[ -s "$KUBE_RUN/images.tar" ] || skip_all "$(cat "$KUBE_RUN/why" 2>/dev/null || echo no images)"
lacks=$(kn_missing | tr '\n' ' '); [ -z "$lacks" ] || skip_all "a node needs the packages $lacks"
K8S=$(HOME=$REAL_HOME "$TOP/tests/kube/build.sh" $KP_PROGRAMS $KN_PROGRAMS 2>"$T/build.log") || skip_all "Kubernetes cannot be built here: $(tail -n 1 "$T/build.log")"
kn_network || { echo "Bail out! no network of its own"; exit 1; }
kp_start || { echo "Bail out! no API server"; diag <"$T/kp/kube-apiserver.log"; exit 1; }
kn_start n1 || { echo "Bail out! no node"; tail -n 20 "$T/kp/kubelet.log" | diag; exit 1; }
kn_second n2 || { echo "Bail out! no second node"; tail -n 20 "$T/kp/kubelet-second.log" "$T/kp/containerd-second.log" | diag; exit 1; }
echo "# $(k get nodes -o json | jq -r '[.items[] | .metadata.name + " " + .status.nodeInfo.kubeletVersion + " " + .status.nodeInfo.containerRuntimeVersion + " " + (.status.addresses[] | select(.type == "InternalIP").address)] | join(", ")')"
ctr images import "$KUBE_RUN/images.tar" >/dev/null && kn_in ctr images import "$KUBE_RUN/images.tar" >/dev/null || { echo "Bail out! the images do not go in"; exit 1; }
rm -f "$KUBE_RUN/images.tar"
k create namespace build >/dev/null; k label namespace build pod-security.kubernetes.io/enforce=restricted >/dev/null
release_volume
release_values >"$T/small.yaml"
G=$BIN/griddle; cd "$T" || exit 1
check "helm install" quiet "$HELM" install r "$TOP/chart" -n build -f "$T/small.yaml" --set keys.generate=true,workerPools[0].name=a,workerPools[0].replicas=4
GRIDDLE_SERVER_KEY=$(PATH="$K8S:$PATH" "$G" keys import --from-kube build/r-griddle-client-keys --keys "$T/client.key")
export GRIDDLE_SERVER_KEY GRIDDLE_KEYS=$T/client.key GRIDDLE_COORDINATOR=tcp://$KP_ADDRESS:30420
rolled() { k -n build rollout status "$1" --timeout=300s; }
check "coordinator and workers are Running and ready" quiet eval 'rolled sts/r-griddle-coordinator && rolled deploy/r-griddle-worker-a'
nodes() { "$G" nodes -o json | jq -r "$1"; }
up_are() { [ "$(nodes '[.nodes[] | select(.state == "up") | .node + " " + .zone] | group_by(.) | map("\(length) \(.[0])") | join(", ")')" = "$1" ]; }
check "two workers on each node, with its zone" wait_for 120 up_are "2 n1 z1, 2 n2 z2" || nodes . | diag
of() { k -n build get pods -l app.kubernetes.io/component="$1" -o json | jq -r '.items[] | select(.metadata.deletionTimestamp | not) | .spec.nodeName'; }
HOME_NODE=$(of coordinator); OTHER=n1; [ "$HOME_NODE" = n1 ] && OTHER=n2
echo "# the coordinator is on $HOME_NODE"

# ---- the node with the coordinator is drained while a job runs ----
tasks() { seq "$2" | timeout 1800 "$G" map -q --name "$1" -- sh -c 'sleep 0.3; echo out{}' >"$T/$1.out" 2>"$T/$1.err"; }
tasks drained 600 & MAP_PID=$!; BG_PIDS=$MAP_PID
wait_for 60 eval '[ "$(nodes "[.nodes[].running] | add")" -gt 4 ]'
k -n build logs -f r-griddle-coordinator-0 >"$T/coord.first" 2>&1 & BG_PIDS="$BG_PIDS $!"
from=$(date +%s%N)
check "kubectl drain of $HOME_NODE, with coordinator and workers, ends with 0" quiet k drain "$HOME_NODE" --pod-selector='app.kubernetes.io/instance=r' --delete-emptydir-data --timeout=600s
echo "# drained after $((($(date +%s%N) - from) / 1000000)) ms"
wait "$MAP_PID"; rc=$?; [ $rc = 0 ] || tail -n 5 "$T/drained.err" | diag
check "the job ends with 0" [ $rc = 0 ]
check "every task's output is there, once (no --retries: a lost attempt that counted would have failed its task)" [ "$(sort -u "$T/drained.out" | wc -l) $(wc -l <"$T/drained.out")" = "600 600" ]
check "coordinator and workers are on the other node" wait_for 300 eval '[ "$(of coordinator) $(of worker | sort -u | tr -d "\n") $(of worker | wc -l)" = "$OTHER $OTHER 4" ]'
check "and serve there" wait_for 120 up_are "4 $OTHER z${OTHER#n}" || nodes . | diag
check "the cordon or the eviction was known before a pod ended" grep -qE 'EvictionByEvictionAPI|takes nothing new: unschedulable' "$T/coord.first"
grep -m 3 -E 'EvictionByEvictionAPI|takes nothing new' "$T/coord.first" | diag
k uncordon "$HOME_NODE" >/dev/null

# ---- a node dies: its kubelet, its containerd and all that runs there, at once ----
# n2 is the one whose namespace can be emptied. Workers move there first.
k -n build delete pods -l app.kubernetes.io/component=worker --wait=false >/dev/null
check "new workers take their places on both" wait_for 300 up_are "2 n1 z1, 2 n2 z2" || nodes . | diag
if [ "$(of coordinator)" = n2 ]; then
	k cordon n2 >/dev/null; k -n build delete pod r-griddle-coordinator-0 >/dev/null; quiet rolled sts/r-griddle-coordinator; k uncordon n2 >/dev/null
	wait_for 120 up_are "2 n1 z1, 2 n2 z2"
fi
tasks died 400 & MAP_PID=$!; BG_PIDS="$BG_PIDS $MAP_PID"
wait_for 60 eval '[ "$(nodes "[.nodes[] | select(.node == \"n2\") | .running] | add")" -gt 1 ]'
# The node's own processes, and all below them: its shims have the containers.
in_namespace() { for _p in /proc/[0-9]*; do [ "$(readlink "$_p/ns/mnt")" != "$1" ] || echo "${_p#/proc/}"; done; }
below() { echo "$1"; for _c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do below "$_c"; done; }
gone=$(for p in $(in_namespace "$(readlink "/proc/$KN_HOLDER/ns/mnt")"); do below "$p"; done | sort -un | grep -vx "$KN_HOLDER")
for p in $gone; do disown "$p" 2>/dev/null; done                        # bash would tell of each
kill -KILL $gone 2>/dev/null
echo "# $(echo "$gone" | wc -l) processes of n2 killed"
wait "$MAP_PID"; rc=$?; [ $rc = 0 ] || tail -n 5 "$T/died.err" | diag
check "a node that dies with work on it fails none of it" [ "$rc $(sort -u "$T/died.out" | wc -l) $(wc -l <"$T/died.out")" = "0 400 400" ]
check "the cluster says the node is gone" wait_for 180 eval '! kn_ready n2'
check "and griddle has nothing there" wait_for 180 eval '[ "$(nodes "[.nodes[] | select(.state == \"up\") | .node] | unique | join(\",\")")" = n1 ]'
quiet k -n build scale sts/r-griddle-coordinator --replicas=0; wait_for 120 eval '! k -n build get pod r-griddle-coordinator-0'
python3 "$TOP/tests/helper/history.py" "$KUBE_RUN/volume/history" "$KUBE_RUN/volume/coordinator/jobs.db" >"$T/proof"; rc=$?
diag <"$T/proof"
check "the history proves one outcome a task, over both" [ $rc = 0 ]
done_testing
