#!/usr/bin/env python3
"""lint.py FILE - what kube-linter's checks would say of a rendering (those of its default list that check.py has not); prints it

Named as there: dangling-service, dangling-horizontalpodautoscaler, dangling-networkpolicy, dangling-networkpolicypeer, dangling-servicemonitor,
deprecated-service-account-field, env-var-secret, invalid-target-ports, job-ttl-seconds-after-finished, liveness-port, readiness-port, startup-port,
mismatching-selector, no-anti-affinity, no-extensions-v1beta, non-existent-service-account, pdb-max-unavailable, pdb-unhealthy-pod-eviction-policy,
ssh-port, unsafe-sysctls; and default-service-account and restart-policy of the others."""
import re, sys
import yaml

docs = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d]
bad = []
def say(d, check, text): bad.append("%s/%s: %s: %s" % (d["kind"], d["metadata"]["name"], check, text))
def of(*kinds): return [d for d in docs if d["kind"] in kinds]
def within(want, labels): return all(labels.get(k) == v for k, v in want.items())

# name, labels, spec, the object they come from
pods = []
for d in of("Deployment", "DaemonSet", "StatefulSet", "Job"):
    t = d["spec"]["template"]
    pods.append((t["metadata"]["labels"], t["spec"], d))
for d in of("Pod"):
    pods.append((d["metadata"]["labels"], d["spec"], d))
accounts = {d["metadata"]["name"] for d in of("ServiceAccount")}
scalable = {(d["kind"], d["metadata"]["name"]) for d in of("Deployment", "StatefulSet")}
OLD = re.compile(r"^(extensions/|apps/v1beta|policy/v1beta1|batch/v1beta|autoscaling/v2beta)")

for d in docs:
    if OLD.match(d["apiVersion"]): say(d, "no-extensions-v1beta", d["apiVersion"])
for labels, spec, d in pods:
    if "serviceAccount" in spec: say(d, "deprecated-service-account-field", spec["serviceAccount"])
    name = spec.get("serviceAccountName")
    if name and name not in accounts: say(d, "non-existent-service-account", name)
    if d["kind"] != "Pod" and not name: say(d, "default-service-account", "its own is missing")
    if spec.get("securityContext", {}).get("sysctls"): say(d, "unsafe-sysctls", "sets some")
    if d["kind"] == "Job" and not d["spec"].get("ttlSecondsAfterFinished"): say(d, "job-ttl-seconds-after-finished", "stays for ever")
    if d["kind"] in ("Job", "Pod") and spec.get("restartPolicy") not in ("Never", "OnFailure"): say(d, "restart-policy", "is started again after its end")
    if d["kind"] == "Deployment" and d["spec"].get("replicas", 2) > 1:
        spread = {c["topologyKey"] for c in spec.get("topologySpreadConstraints", []) if within(c["labelSelector"]["matchLabels"], labels)}
        if "kubernetes.io/hostname" not in spread and "podAntiAffinity" not in spec.get("affinity", {}): say(d, "no-anti-affinity", "its pods may all be on one node")
    if d["kind"] != "Pod" and not within(d["spec"].get("selector", {}).get("matchLabels", {}), labels): say(d, "mismatching-selector", "does not name its pods")
    for c in spec["containers"]:
        told = {p["name"] for p in c.get("ports", [])} | {p["containerPort"] for p in c.get("ports", [])}
        for p in c.get("ports", []):
            if p["containerPort"] == 22: say(d, "ssh-port", c["name"])
        for probe in ("liveness", "readiness", "startup"):
            port = c.get(probe + "Probe", {}).get("httpGet", {}).get("port")
            if port is not None and port not in told: say(d, probe + "-port", "%s is no port of it" % port)
        for e in c.get("env", []):
            if re.search("secret|password|token|key", e["name"], re.I) and "value" in e: say(d, "env-var-secret", e["name"])
for d in of("Service"):
    chosen = [spec for labels, spec, _ in pods if within(d["spec"]["selector"], labels)]
    if not chosen: say(d, "dangling-service", "no pod has these labels")
    for p in d["spec"]["ports"]:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", p["name"]): say(d, "invalid-target-ports", p["name"])
        for spec in chosen:
            if p["targetPort"] not in {x["name"] for c in spec["containers"] for x in c.get("ports", [])}: say(d, "invalid-target-ports", "no port %s" % p["targetPort"])
for d in of("HorizontalPodAutoscaler", "ScaledObject"):
    ref = d["spec"]["scaleTargetRef"]
    if (ref["kind"], ref["name"]) not in scalable: say(d, "dangling-horizontalpodautoscaler", ref["name"])
    if any("replicas" in x["spec"] for x in of("Deployment") if x["metadata"]["name"] == ref["name"]): say(d, "replicas", "of %s are set by the chart as well" % ref["name"])
for d in of("NetworkPolicy"):
    chosen = [spec for labels, spec, _ in pods if within(d["spec"]["podSelector"].get("matchLabels", {}), labels)]
    if not chosen: say(d, "dangling-networkpolicy", "no pod has these labels")
    for rule in d["spec"].get("ingress", []) + d["spec"].get("egress", []):
        for peer in rule.get("from", []) + rule.get("to", []):
            want = peer.get("podSelector", {}).get("matchLabels", {}) if "namespaceSelector" not in peer else {}
            if want and not any(within(want, labels) for labels, _, _ in pods): say(d, "dangling-networkpolicypeer", str(want))
for d in of("PodDisruptionBudget"):
    if not any(within(d["spec"]["selector"]["matchLabels"], labels) for labels, _, _ in pods): say(d, "dangling-poddisruptionbudget", "no pod has these labels")
    if d["spec"].get("maxUnavailable") in (0, "0", "0%"): say(d, "pdb-max-unavailable", "no pod may ever be evicted")
    if "unhealthyPodEvictionPolicy" not in d["spec"]: say(d, "pdb-unhealthy-pod-eviction-policy", "not said")
for d in of("ServiceMonitor"):
    chosen = [s for s in of("Service") if within(d["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])]
    for e in d["spec"]["endpoints"]:
        if sum(e["port"] in {p["name"] for p in s["spec"]["ports"]} for s in chosen) != 1: say(d, "dangling-servicemonitor", "port %s is not in one Service" % e["port"])
print("\n".join(bad))
sys.exit(bool(bad) or not pods)
