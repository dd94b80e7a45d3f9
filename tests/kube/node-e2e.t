#!/bin/bash
# node-e2e.t - the chart on a real node: containers run, compile, do batch work, are killed, are rolled over
# Everything runs in namespaces of its own (own-machine.sh). The images are those of the Dockerfile (images.sh). A client outside the
# cluster is a process in no pod, on the client image's root (it needs the workers' compilers), through one port; the client
# pod has the kernel's source as a hostPath volume.
if [ -z "${KUBE_RUN:-}" ]; then
	export KUBE_PREPARE="$(dirname "$0")/images.sh"
	exec "$(dirname "$0")/own-machine.sh" "$0" "$@"
fi
. "$(dirname "$0")/../e2e/cluster.sh"
REAL_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
. "$TOP/tests/kernel.sh"
. "$TOP/tests/chart/tools.sh"
. "$TOP/tests/kube/control-plane.sh"
. "$TOP/tests/kube/node.sh"
. "$TOP/tests/kube/release.sh"
BG_PIDS=
finish() { [ -z "$BG_PIDS" ] || kill $BG_PIDS 2>/dev/null; kp_stop; cl_cleanup; }
trap finish EXIT
quiet() { "$@" >"$T/out" 2>&1; _r=$?; [ $_r = 0 ] || tail -n 20 "$T/out" | diag; return $_r; }
ms() { echo $(($(date +%s%N) / 1000000)); }
[ -s "$KUBE_RUN/images.tar" ] || skip_all "$(cat "$KUBE_RUN/why" 2>/dev/null || echo no images)"
lacks=$(kn_missing | tr '\n' ' '); [ -z "$lacks" ] || skip_all "a node needs the packages $lacks"
K8S=$(HOME=$REAL_HOME "$TOP/tests/kube/build.sh" $KP_PROGRAMS $KN_PROGRAMS 2>"$T/build.log") || skip_all "Kubernetes cannot be built here: $(tail -n 1 "$T/build.log")"
kernel_prepared || skip_all "no kernel source: apt-get install linux-source-6.1"
from=$(ms)
kn_network || { echo "Bail out! no network of its own"; exit 1; }
kp_start || { echo "Bail out! no API server"; diag <"$T/kp/kube-apiserver.log"; exit 1; }
kn_start n1 || { echo "Bail out! no node"; tail -n 20 "$T/kp/kubelet.log" | diag; exit 1; }
echo "# $(k get node n1 -o jsonpath='{.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion} {.status.nodeInfo.kernelVersion}'), Ready after $(($(ms) - from)) ms"
ctr images import "$KUBE_RUN/images.tar" >/dev/null || { echo "Bail out! the images do not go in"; exit 1; }
rm -f "$KUBE_RUN/images.tar"
for ns in build odd; do k create namespace $ns >/dev/null; k label namespace $ns pod-security.kubernetes.io/enforce=restricted >/dev/null; done
k create namespace dev >/dev/null

# ---- values, keys ----
release_volume
release_values >"$T/small.yaml"
mkdir "$T/keys"; cd "$T/keys" || exit 1
G=$BIN/griddle
for n in coordinator worker client other; do "$G" keys new --keys $n.key >/dev/null; done
"$G" keys allow --allow allow --roles worker "$("$G" keys show --keys worker.key)" workers >/dev/null
"$G" keys allow --allow allow --roles client "$("$G" keys show --keys client.key)" clients >/dev/null
"$G" keys show --keys coordinator.key | tr -d '\n' >server.pub
secrets() {                     # secrets NAMESPACE NAME WORKER-KEY
	k -n "$1" create secret generic "$2-coordinator-keys" --from-file=coordinator.key --from-file=allow >/dev/null
	k -n "$1" create secret generic "$2-worker-keys" --from-file=worker.key="$3" --from-file=server.pub >/dev/null
	k -n "$1" create secret generic "$2-client-keys" --from-file=client.key --from-file=server.pub >/dev/null
}

# ---- from nothing to the first compile, from outside through the node's port ----
export GRIDDLE_COORDINATOR=tcp://$KP_ADDRESS:30420 GRIDDLE_KEYS=$T/imported
mkdir "$T/first"; echo 'int first(int a) { return a + 1; }' >"$T/first/a.c"; printf 'a.o: a.c\n\t$(CC) -O2 -c -o $@ $<\n' >"$T/first/Makefile"
OUT=$KUBE_RUN/outside
mkdir -p "$OUT$KERNEL_CACHE" "$OUT$T"; mount --bind "$KERNEL_CACHE" "$OUT$KERNEL_CACHE"; mount --bind "$T" "$OUT$T"; mount -t proc proc "$OUT/proc"; mount --rbind /dev "$OUT/dev"
outside() { chroot "$OUT" /usr/bin/env "$@"; }
agent_end() { outside griddle agent --stop >/dev/null 2>&1; wait_for 30 test ! -S "$T/rt/agent.sock"; }           # it serves one coordinator
outside sh -c "cd '$T/first' && gcc -O2 -c -o plain.o a.c"
number() { sed -n 's/^  "'"$1"'": *\([0-9a-z]*\).*/\1/p' "$2" | head -n 1; }
first() { rm -f "$T/first/a.o"; outside griddle make --remote always --no-cache --summary-json "$T/first.json" -C "$T/first" >"$T/out" 2>&1; [ "$(number remote "$T/first.json")" = 1 ]; }
from=$(ms)
check "helm install" quiet "$HELM" install r "$TOP/chart" -n build -f "$T/small.yaml" --set keys.generate=true
installed=$(ms); cp "$T/out" "$T/installed"
made() { k -n build get secrets -o json | jq -S '[.items[] | select(.metadata.name | endswith("-keys")) | {(.metadata.name): .data}]'; }
made >"$T/made"; check "its hook made the keys, and is gone" [ "$(jq length "$T/made") $(k -n build get job,sa,role,rolebinding -o name | grep -c keys)" = "3 0" ]
k -n build get secret r-griddle-client-keys -o json | jq '{apiVersion, kind, metadata: {name: .metadata.name}, data}' | k -n dev apply -f - >/dev/null
check "griddle keys import takes the client's key out of the Secret" eval 'GRIDDLE_SERVER_KEY=$(PATH="$K8S:$PATH" "$G" keys import --from-kube build/r-griddle-client-keys --keys "$T/imported")'
export GRIDDLE_SERVER_KEY
check "a client outside reaches the cluster through the node's port" quiet "$G" status --wait 120s
unset GRIDDLE_SOCKET
check "and compiles there" wait_for 60 first
echo "# first compile done $(($(ms) - from)) ms after helm install began, $(($(ms) - installed)) ms after it ended"
check "byte for byte" cmp -s "$T/first/a.o" "$T/first/plain.o"
rolled() { k -n build rollout status "$1" --timeout=180s; }
check "coordinator and workers are Running and ready" quiet eval 'rolled sts/r-griddle-coordinator && rolled deploy/r-griddle-worker-a'
mkdir "$T/notes.d"; sed -n '/^A build from outside/,/griddle make/{/griddle make/d;s/^  //p}' "$T/installed" >"$T/notes.d/first"
as_noted() { (cd "$T/notes.d" && unset GRIDDLE_COORDINATOR GRIDDLE_KEYS GRIDDLE_SERVER_KEY && PATH="$K8S:$BIN:$PATH" bash -ec 'trap "kill \$!" EXIT; . ./first'); }
check "the notes' first commands, word for word, reach it" quiet as_noted
check "they are four" [ "$(grep -c . "$T/notes.d/first")" = 4 ]
check "no pod was forbidden by restricted Pod Security" [ -z "$(k -n build get events -o json | jq -r '.items[] | select(.reason == "FailedCreate") | .message')" ]
nodes() { "$G" nodes -o json | jq -r "$1"; }
pods() { k -n build get pods -l app.kubernetes.io/component=worker --field-selector=status.phase=Running -o jsonpath="{range .items[*]}{.metadata.$1}{'\n'}{end}" | sort; }
workers_are() { [ "$(nodes '[.nodes[] | select(.state == "up")] | length')" = "$1" ]; }
check "three workers are registered" wait_for 60 workers_are 3
check "with the name of their node and zone" [ "$(nodes '[.nodes[] | .node + " " + .zone + " " + .namespace] | unique | join(",")')" = "n1 z1 build" ]
check "with their pods' uids" [ "$(nodes '.nodes[].pod_uid' | sort)" = "$(pods uid)" ]
echo "# sandbox of a restricted pod: $(nodes '[.nodes[].tier] | unique | join(",")')"
tells() { k get --raw /api/v1/namespaces/build/services/r-griddle-coordinator-headless:http/proxy/metrics | awk -v m="$1" '$1 == m { print $2 }'; }
watches() { [ "$(tells 'griddle_kube_watch_up{resource="pods"}')$(tells 'griddle_kube_watch_up{resource="nodes"}') $(tells griddle_kube_pods) $(tells griddle_kube_nodes)" = "11 3 1" ]; }
check "with the token of its pod the coordinator watches the workers' pods and the node" wait_for 60 watches
check "helm test" quiet "$HELM" test r -n build --timeout 180s

# ---- a piece of the kernel: a client pod, and outside through a port-forward ----
k -n dev apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  enableServiceLinks: false
  containers:
    - name: client
      image: localhost/griddle-kernel:0.1.0
      imagePullPolicy: Never
      command: [sleep, "100000"]
      env:
        - {name: GRIDDLE_COORDINATOR, value: "tcp://r-griddle.build.svc.cluster.local:7420"}
        - {name: GRIDDLE_KEYS, value: /etc/griddle/client.key}
        - {name: GRIDDLE_SERVER_KEY, valueFrom: {secretKeyRef: {name: r-griddle-client-keys, key: server.pub}}}
        - {name: KBUILD_BUILD_TIMESTAMP, value: "$KBUILD_BUILD_TIMESTAMP"}
        - {name: KBUILD_BUILD_USER, value: u}
        - {name: KBUILD_BUILD_HOST, value: h}
      volumeMounts:
        - {name: kernel, mountPath: $KERNEL_CACHE, readOnly: true}
        - {name: keys, mountPath: /etc/griddle, readOnly: true}
        - {name: work, mountPath: /var/lib/griddle}
  securityContext: {runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532}
  volumes:
    - {name: kernel, hostPath: {path: $KERNEL_CACHE}}
    - {name: keys, secret: {secretName: r-griddle-client-keys, defaultMode: 0400}}
    - {name: work, emptyDir: {}}
Y
check "a client pod starts" quiet k -n dev wait --for=condition=Ready pod/client --timeout=180s
build='cp -a --no-preserve=ownership '$KPREP' /var/lib/griddle/k && griddle make --remote always --no-cache --summary-json /var/lib/griddle/s.json -s -j 6 -C '$KSRC' O=/var/lib/griddle/k '$KTARGETS' >/var/lib/griddle/log 2>&1 || tail -n 20 /var/lib/griddle/log'
from=$(ms)
k -n dev exec client -- sh -c "$build" 2>&1 | diag
took=$(($(ms) - from))
k -n dev exec client -- cat /var/lib/griddle/s.json >"$T/pod.json"
k -n dev exec client -- sh -c "$(declare -f kernel_hashes); kernel_hashes /var/lib/griddle/k" >"$T/pod.sha"
check "a client pod builds $(wc -l <"$KPLAIN") kernel objects with the plain build's bytes ($took ms, $(number remote "$T/pod.json") compiled remotely)" cmp -s "$KPLAIN" "$T/pod.sha"
remotely() { [ "$(number remote "$1")" -gt 50 ] || { diag <"$1"; k -n build logs r-griddle-coordinator-0 --tail=20 | diag; return 1; }; }
check "remotely" remotely "$T/pod.json"
k -n build port-forward svc/r-griddle 17420:7420 >"$T/forward" 2>&1 & BG_PIDS="$BG_PIDS $!"
wait_for 30 grep -q Forwarding "$T/forward"
cp -a "$KPREP" "$T/k"
from=$(ms)
agent_end
outside GRIDDLE_COORDINATOR=tcp://127.0.0.1:17420 griddle make --remote always --no-cache --summary-json "$T/out.json" -s -j 6 -C "$KSRC" O="$T/k" $KTARGETS >"$T/log" 2>&1 || tail -n 20 "$T/log" | diag
took=$(($(ms) - from)); kernel_hashes "$T/k" >"$T/out.sha"
check "so does one outside, through a port-forward: all $(wc -l <"$T/out.sha") objects ($took ms, $(number remote "$T/out.json") compiled remotely)" cmp -s "$KPLAIN" "$T/out.sha"
check "remotely as well" remotely "$T/out.json"
kill $BG_PIDS; BG_PIDS=; agent_end; rm -rf "$T/k"; k -n dev delete pod client --grace-period=0 --force >/dev/null 2>&1

# ---- 1,000 tasks, a worker pod deleted every 5 s, the coordinator's once ----
tasks() { seq "$2" | timeout 900 "$G" map -q --name "$1" -- sh -c 'sleep 0.2; echo out{}' >"$T/$1.out" 2>"$T/$1.err"; }
job_of() { "$G" job ls -o json | jq -r --arg n "$1" '[.. | objects | select(.name? == $n) | .job // .id][0]'; }
tasks deleted 1000 & MAP_PID=$!; BG_PIDS=$MAP_PID
killed=0
while kill -0 $MAP_PID 2>/dev/null; do
	sleep 5
	kill -0 $MAP_PID 2>/dev/null || break
	killed=$((killed + 1))
	k -n build delete "$(k -n build get pods -l app.kubernetes.io/component=worker --field-selector=status.phase=Running -o name | shuf -n 1)" --wait=false >/dev/null
	[ $killed != 3 ] || k -n build delete pod r-griddle-coordinator-0 --wait=false >/dev/null
done
wait $MAP_PID; rc=$?; BG_PIDS=
[ $rc = 0 ] || tail -n 5 "$T/deleted.err" | diag
check "a job of 1,000 tasks ends with 0 while $killed worker pods and the coordinator's are deleted" [ $rc = 0 -a $killed -gt 3 ]
check "every task's output is there, once (no --retries: a lost attempt that counted would have failed its task)" [ "$(sort -u "$T/deleted.out" | wc -l) $(wc -l <"$T/deleted.out")" = "1000 1000" ]
drained() { k -n build logs r-griddle-coordinator-0 | grep -c 'drains, .* left to it: its pod is being deleted'; }
check "pods that are deleted drain by the cluster's word" [ "$(drained)" -gt 0 ]
J=$(job_of deleted); "$G" job show "$J" -o json >"$T/job.json" 2>&1; "$G" task ls "$J" -o json >"$T/tasks.json" 2>&1
quiet k -n build scale sts/r-griddle-coordinator --replicas=0; wait_for 60 eval '! k -n build get pod r-griddle-coordinator-0'
python3 "$TOP/tests/helper/history.py" "$KUBE_RUN/volume/history" "$KUBE_RUN/volume/coordinator/jobs.db" >"$T/proof"; rc=$?
diag <"$T/proof"
check "the history proves one outcome a task" [ $rc = 0 ]
k -n build scale sts/r-griddle-coordinator --replicas=1 >/dev/null; quiet rolled sts/r-griddle-coordinator

# ---- a rolling upgrade under load; rollback; uninstall ----
wait_for 60 workers_are 3
from=$(ms); tasks calm 300; calm=$(($(ms) - from))
from=$(ms); tasks rolling 300 & MAP_PID=$!; BG_PIDS=$MAP_PID
check "helm upgrade rolls the workers" quiet "$HELM" upgrade r "$TOP/chart" -n build -f "$T/small.yaml" --set keys.generate=true,workerDefaults.config.prefetch=3
quiet rolled deploy/r-griddle-worker-a; rollout=$(($(ms) - from))
wait $MAP_PID; rc=$?; rolling=$(($(ms) - from)); BG_PIDS=
check "work goes on and loses nothing" [ "$rc $(sort -u "$T/rolling.out" | wc -l) $(wc -l <"$T/rolling.out")" = "0 300 300" ]
echo "# 300 tasks: $calm ms undisturbed, $rolling ms while all workers are replaced ($rollout ms): $((100 - 100 * calm / (rolling > 0 ? rolling : 1))) % of the throughput lost"
check "the pods are new ones" quiet eval '[ "$(k -n build get cm r-griddle-worker-a -o jsonpath={.data} | grep -c prefetch)" = 1 ]'
check "helm rollback" quiet "$HELM" rollback r 1 -n build
check "takes the setting back, and the workers with it" quiet eval 'rolled deploy/r-griddle-worker-a && ! k -n build get cm r-griddle-worker-a -o jsonpath={.data} | grep -q prefetch'
check "and they take work" wait_for 120 first
check "the keys are those of before, upgraded and rolled back" [ "$(made)" = "$(cat "$T/made")" ]
bad_upgrade() { ! "$HELM" upgrade r "$TOP/chart" -n build -f "$T/small.yaml" --set workerDefaults.replica=1 >"$T/out" 2>&1 && grep -q 'Additional property replica is not allowed\|additional properties' "$T/out"; }
check "a mistaken value is refused by name" bad_upgrade
check "helm uninstall" quiet "$HELM" uninstall r -n build
gone() { [ "$(k -n build get pods -l 'app.kubernetes.io/component in (coordinator,worker)' -o name | wc -l)" = 0 ]; }       # helm keeps the test's
check "all its pods end" wait_for 120 gone

# ---- what goes wrong says so ----
cat >"$T/no-volume.yaml" <<'Y'
coordinator: {persistence: {enabled: false}, config: {}}
service: {nodePort: null}
workerPools: [{name: a, replicas: 1}]
Y
"$HELM" install odd "$TOP/chart" -n odd -f "$T/small.yaml" -f "$T/no-volume.yaml" >"$T/notes" 2>&1
check "missing Secrets: the notes name them" grep -q 'no Secret odd-griddle-coordinator-keys, odd-griddle-worker-keys' "$T/notes"
told() { k -n odd get events -o json | jq -r '.items[].message' | grep -q 'secret "odd-griddle-coordinator-keys" not found'; }
check "and so does the kubelet" wait_for 60 told
secrets odd odd-griddle other.key
log_says() { k -n odd logs "$1" --tail=200 2>&1 | grep -qE "$2"; }
check "a worker with a wrong key says what it is" wait_for 180 log_says deploy/odd-griddle-worker-a 'not authorised'
k -n odd logs deploy/odd-griddle-worker-a --tail=3 2>&1 | diag
k -n odd delete secret odd-griddle-worker-keys >/dev/null
k -n odd create secret generic odd-griddle-worker-keys --from-file=worker.key --from-file=server.pub >/dev/null
"$HELM" upgrade odd "$TOP/chart" -n odd -f "$T/small.yaml" -f "$T/no-volume.yaml" --set workerDefaults.image.repository=griddle-worker-slim >/dev/null
GRIDDLE_KEYS=$PWD/client.key GRIDDLE_COORDINATOR=tcp://$KP_ADDRESS:$(k -n odd get svc odd-griddle -o jsonpath='{.spec.ports[0].nodePort}'); GRIDDLE_SERVER_KEY=$(cat server.pub)
check "with the right one, and an image without compilers, it joins" quiet "$G" status --wait 120s
agent_end; first
check "a compile stays here, and says why" grep -q 'no worker has toolchain gcc' "$T/first.json"
grep -m 1 'no worker has' "$T/first.json" | diag
"$HELM" uninstall odd -n odd >/dev/null
done_testing
