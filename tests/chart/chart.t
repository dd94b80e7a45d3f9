#!/bin/bash
# chart.t - the Helm chart: lint, schema, every rendering against tests/chart/check.py, the programs read its configuration
. "$(dirname "$0")/../e2e/cluster.sh"
LINT=
REAL_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
. "$TOP/tests/chart/tools.sh"
C=$TOP/chart
case $("$HELM" lint --help) in *--kube-version*) LINT="--kube-version 1.36.3" ;; esac
PY=/usr/bin/python3
quiet() { "$@" >"$T/out" 2>&1; _r=$?; [ $_r = 0 ] || diag <"$T/out"; return $_r; }
says() { _t=$1; shift; ! "$@" >"$T/out" 2>&1 && grep -q -- "$_t" "$T/out" || { diag <"$T/out"; return 1; }; }   # fails, and says
echo "# $("$HELM" version --short 2>/dev/null)"

KUBECONFORM=$(kube_schemas "$T/schemas")

check "every value is described" quiet $PY "$TOP/tests/chart/readme.py" "$C"
check "README.md is what its comments say" cmp -s "$T/out" "$C/README.md"
$PY "$TOP/tests/chart/schema.py" "$C" >"$T/schema.json"
check "values.schema.json is what its rules say" cmp -s "$T/schema.json" "$C/values.schema.json"
check "Chart.yaml and the programs have one version" grep -q "^appVersion: $("$BIN/griddle-worker" --version | cut -d' ' -f2)$" "$C/Chart.yaml"
check "yamllint is content" quiet yamllint -d '{extends: relaxed, rules: {line-length: disable}}' "$C/Chart.yaml" "$C/values.yaml" "$C/ci" "$C/profiles" "$C/files/rules.yaml"

for f in "$C"/ci/*-values.yaml "$C"/profiles/*.yaml; do
	n=$(basename "$f" .yaml)
	check "$n: lint --strict" quiet "$HELM" lint --strict "$C" -f "$f" $LINT
	render -f "$f" >"$T/$n.yaml" 2>"$T/err" || diag <"$T/err"
	check "$n: holds what every rendering must" quiet $PY "$TOP/tests/chart/check.py" "$T/$n.yaml"
	check "$n: nothing that kube-linter would say" quiet $PY "$TOP/tests/chart/lint.py" "$T/$n.yaml"
	[ -z "$KUBECONFORM" ] || check "$n: kubeconform -strict" quiet "$KUBECONFORM" -strict -skip ScaledObject,ServiceMonitor,PrometheusRule \
		-schema-location "$T/schemas/{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json" "$T/$n.yaml"
	check "$n: rendered twice is the same" [ "$(render -f "$f" | sha256sum)" = "$(sha256sum <"$T/$n.yaml")" ]
	$PY - "$T/$n.yaml" "$T" <<'PY'
import sys, yaml
for d in yaml.safe_load_all(open(sys.argv[1])):
    if d and d["kind"] == "ConfigMap" and "config.json" in d["data"]:
        part = "coordinator" if d["metadata"]["name"].endswith("-coordinator") else "worker"
        open("%s/%s.%s.conf" % (sys.argv[2], d["metadata"]["name"], part), "w").write(d["data"]["config.json"])
PY
	for conf in "$T"/*.conf; do
		p=${conf%.conf}; p=${p##*.}
		check "$n: griddle-$p takes ${conf##*/}" quiet "$BIN/griddle-$p" --check-config --config "$conf"
		rm -f "$conf"
	done
done
[ -n "$KUBECONFORM" ] || echo "# no kubeconform here: the server's own validation is in make kube-e2e"
sed 's/replicas: 2/replcas: 2/' "$T/default-values.yaml" >"$T/typo.yaml"
[ -z "$KUBECONFORM" ] || check "kubeconform sees a misspelt field" eval '! "$KUBECONFORM" -strict -schema-location "$T/schemas/{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json" "$T/typo.yaml" >"$T/out"'
sed -e 's/targetPort: http/targetPort: htp/' -e '/unhealthyPodEvictionPolicy/d' -e 's/serviceAccountName: .*-worker$/serviceAccountName: nobody/' "$T/default-values.yaml" >"$T/typo.yaml"
$PY "$TOP/tests/chart/lint.py" "$T/typo.yaml" >"$T/out"
check "lint.py sees what kube-linter sees" [ "$(cut -d' ' -f2 "$T/out" | sort -u | tr -d '\n')" = "invalid-target-ports:non-existent-service-account:pdb-unhealthy-pod-eviction-policy:" ]
$PY - "$T/full-values.yaml" <<'PY'
import sys, yaml
d = [x for x in yaml.safe_load_all(open(sys.argv[1])) if x]
rules = [x for x in d if x["kind"] == "NetworkPolicy" and x["metadata"]["name"].endswith("-coordinator")][0]["spec"]["ingress"]
mine = [p["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for p in rules[0]["from"]]
sys.exit(mine != ["worker", "test"] or rules[0]["ports"][0]["port"] != "griddle" or "namespaceSelector" not in rules[1]["from"][0])
PY
check "where clients are named, workers and \`helm test\` come in all the same" [ $? = 0 ]
full() { grep -q -- "$1" "$T/full-values.yaml"; }
for want in 'sha256:aaaa' 'runtimeClassName: gvisor' 'runtimeClassName: kata' 'hostUsers: false' 'loadBalancerClass: example.com/lb' 'kind: ScaledObject' \
	'kind: HorizontalPodAutoscaler' 'kind: ServiceMonitor' 'kind: PrometheusRule' 'grafana_dashboard: "1"' 'kind: DaemonSet' 'priorityClassName: build-r-griddle-low' \
	'priorityClassName: build-r-griddle-high' 'mountPath: /more' 'name: TZ' 'team: build' 'note: ci' 'cidr: 198.51.100.0/24' 'registry.test:5000/griddle/' '- name: pull' 'preStop:' 'griddle.dev/spot: "true"'; do
	check "everything on has \"$want\"" full "$want"
done
has() { grep -q -- "$1" "$T/minimal-values.yaml"; }
for no in NetworkPolicy PodDisruptionBudget volumeClaimTemplates ScaledObject HorizontalPodAutoscaler ServiceMonitor PriorityClass Role; do
	check "as little as can be has no $no" eval "! has $no"
done
check "Secrets go by the names given" has 'secretName: w$'
render -f "$C/ci/full-values.yaml" --set commonLabels.x=y | grep -A14 'matchLabels' | grep -q 'x: y'; check "no label of the user's is in a selector" [ $? != 0 ]

for bad in coordinater.x=1 coordinator.persistance.enabled=true workerDefaults.replicas=two service.type=Cluster 'workerPools[0].nam=x' \
	coordinator.image.tag=latest coordinator.image.digest=sha256:1 workerDefaults.autoscaling.mode=on 'workerPools[0].name=A_b' workTarget=soon \
	coordinator.resources.limits.cpus=1 networkPolicy.enable=true coordinator.config.lisen=x workerDefaults.config.lables=x 'workerPools[0].config.http=x' \
	podDisruptionBudget.maxUnavailable=0 podDisruptionBudget.maxUnavailable=0% workerDefaults.maxSurge=some keys.workerSecret=A_b nameOverride=A_b clusterDomain=; do
	check "a mistake is said: $bad" says "values don't meet the specifications" render --set "$bad"
done
check "two pools of one name are refused" says 'two pools are called' render --set 'workerPools[0].name=a,workerPools[1].name=a'
check "a DaemonSet cannot be scaled" says 'is a DaemonSet' render --set 'workerPools[0].name=a,workerPools[0].kind=DaemonSet,workerPools[0].autoscaling.mode=keda'
check "a roll-out that could replace nothing is refused" says 'both 0' render --set workerDefaults.maxSurge=0
check "parts of a pool will do" eval 'render --set workerDefaults.maxSurge=25%,workerDefaults.maxUnavailable=10% | grep -qF "{maxSurge: 25%, maxUnavailable: 10%}"'
check "hpa does not go to zero" says 'does not scale to zero' render --set 'workerPools[0].name=a,workerPools[0].autoscaling.mode=hpa,workerPools[0].autoscaling.minReplicas=0'
check "KEDA has to be there" says 'needs KEDA' "$HELM" template r "$C" --kube-version 1.36.3 --set 'workerPools[0].name=a,workerPools[0].autoscaling.mode=keda'
check "so has the Prometheus operator" says 'needs the Prometheus operator' "$HELM" template r "$C" --kube-version 1.36.3 --set metrics.serviceMonitor.enabled=true
check "so has autoscaling/v2" says 'needs the API autoscaling/v2' "$HELM" template r "$C" --kube-version 1.22.0 --set 'workerPools[0].name=a,workerPools[0].autoscaling.mode=hpa'
check "an old cluster is refused" says 'incompatible with Kubernetes' "$HELM" template r "$C" --kube-version 1.20.0

names() { $PY -c 'import sys, yaml; [print(d["kind"], d["metadata"]["name"]) for d in yaml.safe_load_all(sys.stdin) if d]'; }
RELEASE=one render -f "$C/ci/full-values.yaml" | names >"$T/one"; RELEASE=two render -f "$C/ci/full-values.yaml" | names >"$T/two"
check "two releases in one namespace do not meet" [ -s "$T/one" -a -z "$(sort "$T/one" "$T/two" | uniq -d)" ]
NS=one render -f "$C/ci/full-values.yaml" --set kube.nodes=true | names | grep -E '^(Cluster|Priority)' >"$T/one"
NS=two render -f "$C/ci/full-values.yaml" --set kube.nodes=true | names | grep -E '^(Cluster|Priority)' >"$T/two"
check "nor do two of one name in two namespaces, in what the whole cluster shares" [ "$(wc -l <"$T/one")" = 4 -a -z "$(sort "$T/one" "$T/two" | uniq -d)" ]
for i in one two; do NS=$(printf 'n%.0s' $(seq 60))$i render --set kube.nodes=true | names | grep ^Cluster >"$T/$i"; done
check "not even with long names" [ -z "$(sort "$T/one" "$T/two" | uniq -d)" -a "$(awk '{ print length($2) }' "$T/one" | sort -n | tail -n 1)" -le 63 ]

# ---- disk: what fills up has a limit below that of its volume, and no kubelet takes the pod away before (check.py has the rule) ----
disk() { render "$@" >"$T/disk.yaml" && quiet $PY "$TOP/tests/chart/check.py" "$T/disk.yaml"; }
limits() { $PY -c 'import sys, yaml
for d in yaml.safe_load_all(open(sys.argv[1])):
    if d and d["kind"] in ("StatefulSet", "Deployment"): print(d["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"], end=" ")' "$T/disk.yaml"; }
check "a coordinator without a volume of its own may fill its emptyDir" disk --set coordinator.persistence.enabled=false
check "so may a worker with a larger one" disk --set coordinator.persistence.size=1.5Gi,workerDefaults.stateSize=50Gi
check "its limit is raised to that, and the other's stays" [ "$(limits)" = "$(((50 + 1) * 1024 + 64))Mi 1Gi " ] || limits | diag
check "what is large enough stays as it is" disk --set workerDefaults.resources.limits.ephemeral-storage=100G
check "to the letter" [ "$(limits)" = "100G 1Gi " ]
check "as bytes too" eval 'disk --set workerDefaults.resources.limits.ephemeral-storage=99000000000 && [ "$(limits)" = "99000000000 1Gi " ]'
check "what is no size is said" says 'is no number of bytes' render --set workerDefaults.resources.limits.ephemeral-storage=much
check "the caches can be set by hand" eval 'render --set workerDefaults.config.cache-bytes=1G | grep -q "\"cache-bytes\": \"1G\""'

# ---- spot pools ----
spot() { render --set 'workerPools[0].name=a,workerPools[0].spot=true' "$@" >"$T/spot.yaml"; }
spot; check "a spot pool goes where GKE and AKS let only spot pods go" [ "$(grep -cE 'key: (cloud.google.com/gke-spot|kubernetes.azure.com/scalesetpriority)$' "$T/spot.yaml")" = 2 ]
check "its grace is shorter than the notice" eval 'grep -q "\"grace\": \"15s\"" "$T/spot.yaml" && grep -q "terminationGracePeriodSeconds: 20$" "$T/spot.yaml"'
check "jobs may ask for it, or for what is not" grep -q '"labels": "spot=true"' "$T/spot.yaml"
spot --set 'workerPools[0].graceSeconds=90,workerPools[0].config.labels=gpu=no,workerPools[0].tolerations[0].key=mine,workerPools[0].tolerations[0].operator=Exists'
check "what the pool names itself stays" eval 'grep -q "\"grace\": \"90s\"" "$T/spot.yaml" && grep -q "\"labels\": \"gpu=no,spot=true\"" "$T/spot.yaml" && grep -q "key: mine" "$T/spot.yaml"'
RELEASE=$(printf 'r%.0s' $(seq 53)) render -f "$C/ci/full-values.yaml" >"$T/long.yaml" 2>&1
check "the longest release name fits" quiet $PY "$TOP/tests/chart/check.py" "$T/long.yaml"
a=$(render | grep checksum | sort -u | wc -l); check "coordinator and worker have each their checksum" [ "$a" = 2 ]
check "a changed setting rolls its pods alone" [ "$(render --set workerDefaults.config.prefetch=7 | grep checksum | cat - <(render | grep checksum) | sort | uniq -c | awk '$1 == 1' | wc -l)" = 2 ]

# ---- the cluster's API: rights, token and a way there exactly where something uses them ----
cat >"$T/rights.py" <<'PY'
import sys, yaml
d = [x for x in yaml.safe_load_all(sys.stdin) if x]
rules = ["%s:%s%s:%s" % (x["kind"], ",".join(r["resources"]), "=" + ",".join(r["resourceNames"]) if "resourceNames" in r else "", ",".join(r["verbs"]))
         for x in d if x["kind"] in ("Role", "ClusterRole") for r in x["rules"]]
sts = [x for x in d if x["kind"] == "StatefulSet"][0]["spec"]["template"]["spec"]
token = any("projected" in v for v in sts["volumes"]) and any(m["name"] == "account" for m in sts["containers"][0]["volumeMounts"])
egress = [x for x in d if x["kind"] == "NetworkPolicy" and x["metadata"]["name"].endswith("coordinator")][0]["spec"]["egress"]
conf = [x["data"]["config.json"] for x in d if x["kind"] == "ConfigMap" and x["metadata"]["name"].endswith("-coordinator")][0]
import json
print(" ".join(rules) or "none", "token" if token else "-", "egress" if egress else "-", " ".join(sorted(k[5:] for k in json.loads(conf) if k.startswith("kube-"))))
PY
rights() { _w=$1; shift; render "$@" | $PY "$T/rights.py" >"$T/out"; [ "$(cat "$T/out")" = "$_w" ] || { diag <"$T/out"; return 1; }; }
B='workerPools[0].name=a,workerPools[0].autoscaling.mode=builtin'
check "by default there are no rights, no token, no way out" rights 'none - - '
check "pods: to see pods" rights 'Role:pods:list,watch token egress pods' --set kube.pods=true
check "nodes: to see nodes" rights 'ClusterRole:nodes:list,watch token egress nodes' --set kube.nodes=true
check "both" rights 'ClusterRole:nodes:list,watch Role:pods:list,watch token egress nodes pods' --set kube.pods=true,kube.nodes=true
check "builtin: to scale its own pools and to mark pods" \
	rights 'Role:pods:list,watch,patch Role:deployments/scale=r-griddle-worker-a:get,patch token egress pods scale scale-down' --set "$B"
check "a pool that something else scales is not among them" rights \
	'Role:pods:list,watch,patch Role:deployments/scale=r-griddle-worker-a:get,patch token egress pods scale scale-down' --set "$B,workerPools[1].name=b,workerPools[1].autoscaling.mode=hpa"
render --set "$B,workerPools[0].autoscaling.minReplicas=2,workerPools[0].autoscaling.maxReplicas=9,workerPools[0].autoscaling.scaleDownSeconds=60" >"$T/builtin.yaml"
check "builtin: its bounds are told" grep -q '"kube-scale": "r-griddle-worker-a=2..9"' "$T/builtin.yaml"
check "and its window" grep -q '"kube-scale-down": "60s"' "$T/builtin.yaml"
check "the pool's replicas are left to it" [ "$(grep -c '^  replicas:' "$T/builtin.yaml")" = 1 ]
check "a worker knows its pod" grep -q 'GRIDDLE_POD_UID' "$T/builtin.yaml"
check "a DaemonSet has no builtin scaler either" says 'is a DaemonSet' render --set 'workerPools[0].name=a,workerPools[0].kind=DaemonSet,workerPools[0].autoscaling.mode=builtin'
check "keys.generate: to make Secrets and to read one, while the hook runs" \
	rights 'Role:secrets:create Role:secrets=r-griddle-coordinator-keys:get - - ' --set keys.generate=true
render -f "$C/ci/generate-values.yaml" >"$T/generate.yaml"
$PY - "$T/generate.yaml" >"$T/out" <<'PY'
import sys, yaml
d = [x for x in yaml.safe_load_all(open(sys.argv[1])) if x]
hooks = [x for x in d if x["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-install,pre-upgrade"]
last = [x for x in hooks if "helm.sh/hook-weight" not in x["metadata"]["annotations"]]
print(len(hooks), [x["kind"] for x in last], last[0]["spec"]["template"]["spec"]["containers"][0]["args"][1], "priorityClassName" in str(last))
PY
check "its Job comes last, names the Secrets, and wants nothing that the chart makes later" grep -qxF "5 ['Job'] r-griddle-coordinator-keys,r-griddle-worker-keys,people False" "$T/out"
check "a typo in kube is said" says "values don't meet the specifications" render --set kube.pod=true

# ---- what the dashboard and the rules ask for is what a coordinator tells ----
# one that watches and scales, though no API server answers it: what it tells has all names
mkdir "$T/sa"; echo none >"$T/sa/token"
cl_coordinator --kube-api https://127.0.0.1:1 --kube-account "$T/sa" --kube-pods app=worker --kube-nodes --kube-scale workers=1..2
curl -s "http://$HTTP/metrics" >"$T/metrics"
check "promtool likes /metrics" quiet promtool check metrics <"$T/metrics"
check "promtool likes the rules" quiet promtool check rules "$C/files/rules.yaml"
cp "$C/files/rules.yaml" "$TOP/tests/chart/rules.test.yaml" "$T/"
check "alerts about the cluster fire when they should" quiet promtool test rules "$T/rules.test.yaml"
cat >"$T/names.py" <<'PY'
import re, sys
told = {l.split()[2] for l in open(sys.argv[1]) if l.startswith("# TYPE")}
asked = set(re.findall(r"griddle_[a-z_]+", open(sys.argv[2]).read()))
lost = [n for n in asked if n not in told and re.sub("_(bucket|sum|count)$", "", n) not in told]
print(len(asked), "asked; not told:", lost)
sys.exit(bool(lost) or not asked)
PY
for f in files/dashboard.json files/rules.yaml; do
	check "every metric of $f is told" quiet $PY "$T/names.py" "$T/metrics" "$C/$f"
done
check "the scalers' metric is told" grep -q '^griddle_workers_desired 0$' "$T/metrics"
# KEDA reads the coordinator's own page; an HPA reads what an adapter makes of Prometheus' series: each name and label it goes by is there
$PY - "$T/full-values.yaml" "$TOP/examples/prometheus-adapter.yaml" >"$T/scalers" <<'PY'
import re, sys, yaml
d = [x for x in yaml.safe_load_all(open(sys.argv[1])) if x]
def one(kind): return [x for x in d if x["kind"] == kind][0]["spec"]
keda = one("ScaledObject")["triggers"][0]["metadata"]
host, port, path = re.fullmatch(r"http://([a-z0-9-]+)\.build\.svc\.cluster\.local:([0-9]+)(/.*)", keda["url"]).groups()
metric = one("HorizontalPodAutoscaler")["metrics"][0]["external"]["metric"]
rule = yaml.safe_load(open(sys.argv[2]))["rules"]["external"][0]
service = [x for x in d if x["kind"] == "Service" and x["metadata"]["name"] == host][0]
ports = {p["name"]: str(p["port"]) for p in service["spec"]["ports"]}
assert ports["http"] == port and one("ServiceMonitor")["endpoints"][0]["port"] == "http"
assert metric["selector"]["matchLabels"] == {"namespace": "build", "service": host}
assert rule["name"]["as"] == metric["name"] and "<<.LabelMatchers>>" in rule["metricsQuery"]
assert rule["resources"]["overrides"] == {"namespace": {"resource": "namespace"}}
print("keda_path=%s keda_format=%s keda_value=%s series=%s" % (path, keda["format"], keda["valueLocation"], re.match("[a-z_]+", rule["seriesQuery"])[0]))
PY
. "$T/scalers"
check "KEDA's and the adapter's names go together with the chart's" [ -s "$T/scalers" ]
check "KEDA finds its number at its url" eval 'curl -s "http://$HTTP$keda_path" | grep -qE "^$keda_value [0-9]+\$" && [ "$keda_format" = prometheus ]'
check "the adapter's series is one" grep -qE "^$series [0-9]+\$" "$T/metrics"
check "the dashboard is JSON with panels" quiet jq -e '.panels | length > 5' "$C/files/dashboard.json"
check "status --wait says what it waited for" says 'no worker that takes tasks after 0 s' "$BIN/griddle" status --wait 300ms --coordinator "$ENDPOINT"
cl_worker w1
check "with a worker it ends at once" quiet "$BIN/griddle" status --wait 10s --coordinator "$ENDPOINT"
done_testing
