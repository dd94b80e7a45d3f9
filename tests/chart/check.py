#!/usr/bin/env python3
"""check.py FILE [CHECK...] - what every rendering of the chart must hold; prints what does not"""
import json, re, sys
import yaml

docs = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d]
bad = []
def say(d, text): bad.append("%s/%s: %s" % (d["kind"], d["metadata"]["name"], text))
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
LABELS = ["app.kubernetes.io/" + x for x in ("name", "instance", "version", "managed-by", "component", "part-of")] + ["helm.sh/chart"]
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
def number(quantity):
    n, unit = re.fullmatch(r"([0-9.]+)([KMGT]?i?)", str(quantity)).groups()
    return float(n) * UNITS[unit]
CLUSTER = {"PriorityClass", "ClusterRole", "ClusterRoleBinding"}

def pod(d, spec, where):
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key): say(d, key)
    if spec.get("automountServiceAccountToken") is not False: say(d, "mounts a service account's token")
    if spec.get("enableServiceLinks") is not False: say(d, "takes service links into its environment")
    names = set()
    for v in spec.get("volumes", []):
        kind = (set(v) - {"name"}).pop()
        names.add(v["name"])
        if kind not in VOLUMES: say(d, "volume of kind " + kind)
        if kind == "emptyDir" and not v[kind].get("sizeLimit"): say(d, "emptyDir %s without a limit" % v["name"])
        if kind == "secret" and v[kind].get("defaultMode") != 0o400: say(d, "secret %s is not mode 0400" % v["name"])
    names |= {t["metadata"]["name"] for t in d["spec"].get("volumeClaimTemplates", [])}
    # a kubelet evicts a pod whose containers and emptyDirs together outgrow its limit of ephemeral storage
    dirs = sum(number(v["emptyDir"]["sizeLimit"]) for v in spec.get("volumes", []) if v.get("emptyDir", {}).get("sizeLimit"))
    limits = [c["resources"]["limits"].get("ephemeral-storage") for c in spec["containers"]]
    if None not in limits and sum(map(number, limits)) < dirs: say(d, "may be evicted before its emptyDirs are full")
    for c in spec["containers"] + spec.get("initContainers", []):
        s, p = c.get("securityContext", {}), spec.get("securityContext", {})
        def get(key): return s.get(key, p.get(key))
        if get("runAsNonRoot") is not True: say(d, "may run as root")
        if not get("runAsUser"): say(d, "no user")
        if s.get("allowPrivilegeEscalation") is not False: say(d, "may gain privileges")
        if s.get("privileged"): say(d, "privileged")
        if s.get("capabilities", {}).get("drop") != ["ALL"] or s["capabilities"].get("add"): say(d, "keeps capabilities")
        if (get("seccompProfile") or {}).get("type") != "RuntimeDefault": say(d, "no seccomp profile")
        if s.get("readOnlyRootFilesystem") is not True: say(d, "writable root")
        for kind in ("requests", "limits"):
            for res in ("cpu", "memory", "ephemeral-storage"):
                if res not in c.get("resources", {}).get(kind, {}): say(d, "no %s of %s" % (kind, res))
        image = c["image"]
        if image.endswith(":latest") or not re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", image): say(d, "image " + image)
        for port in c.get("ports", []):
            if "hostPort" in port: say(d, "host port")
        for m in c.get("volumeMounts", []):
            if m["name"] not in names: say(d, "mounts %s, which is no volume" % m["name"])
        env = [e["name"] for e in c.get("env", [])]
        if len(env) != len(set(env)): say(d, "a variable of the environment twice")
        for e in c.get("env", []):
            ref = e.get("valueFrom", {}).get("secretKeyRef")
            if ref and ref["key"] != "server.pub": say(d, "a secret in the environment: " + e["name"])
        if c["name"] == "worker":
            told = {e["name"] for e in c["env"]}
            for want in ("POD", "POD_UID", "NAMESPACE", "NODE", "ZONE"):
                if "GRIDDLE_" + want not in told: say(d, "does not tell its workers their " + want)
        if not where:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                path = c.get(probe, {}).get("httpGet", {}).get("path")
                if path != ("/readyz" if probe == "readinessProbe" else "/livez"): say(d, "%s asks %s" % (probe, path))
            config = [x for x in docs if x["kind"] == "ConfigMap" and x["metadata"]["name"] == d["metadata"]["name"]][0]
            settings = json.loads(config["data"]["config.json"])
            claims = d["spec"].get("volumeClaimTemplates", [])
            held = [v["emptyDir"]["sizeLimit"] for v in spec["volumes"] if v["name"] == "state"] + [t["spec"]["resources"]["requests"]["storage"] for t in claims]
            told = [int(settings[k]) for k in ("cache-bytes", "tree-bytes", "job-bytes") if str(settings.get(k, "")).isdigit()]
            if len(told) == 2 and not 0 < sum(told) <= 0.81 * number(held[0]): say(d, "caches of %s on a volume of %s" % (told, held[0]))
            if "grace" in settings and int(settings["grace"][:-1]) >= spec["terminationGracePeriodSeconds"]:
                say(d, "is killed before its grace is over")

seen = set()
for d in docs:
    key = (d["kind"], d["metadata"]["name"])
    if key in seen: say(d, "twice")
    seen.add(key)
    if len(d["metadata"]["name"]) > 63: say(d, "name is too long")
    if d["kind"] in CLUSTER: pass
    elif d["metadata"].get("namespace") != "build": say(d, "namespace is not the release's")
    for label in LABELS:
        v = d["metadata"].get("labels", {}).get(label)
        if not v or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", v): say(d, "label %s is %r" % (label, v))
    if d["kind"] in ("Deployment", "DaemonSet", "StatefulSet"):
        t = d["spec"]["template"]
        want = d["spec"]["selector"]["matchLabels"]
        if any("version" in k or "chart" in k for k in want): say(d, "its selector changes with the version")
        if any(t["metadata"]["labels"].get(k) != v for k, v in want.items()): say(d, "selector does not match its pods")
        if "checksum/config" not in t["metadata"]["annotations"]: say(d, "no checksum of its configuration")
        pod(d, t["spec"], "")
    if d["kind"] == "StatefulSet":
        if d["spec"]["replicas"] != 1: say(d, "more than one coordinator")
        if ("Service", d["spec"]["serviceName"]) not in {(x["kind"], x["metadata"]["name"]) for x in docs}: say(d, "no headless service")
        r = d["spec"]["template"]["spec"]["containers"][0]["resources"]
        if any(r["requests"][k] != r["limits"][k] for k in ("cpu", "memory")): say(d, "not Guaranteed")
    if d["kind"] == "Pod": pod(d, d["spec"], "test")
    if d["kind"] == "Job": pod(d, d["spec"]["template"]["spec"], "job")
    if d["kind"] in ("Role", "ClusterRole"):
        for rule in d["rules"]:
            if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]: say(d, "a rule with *")
    if d["kind"] == "ClusterRole" and d["rules"] != [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}]:
        say(d, "a ClusterRole for more than looking at nodes")
    if d["kind"] in ("RoleBinding", "ClusterRoleBinding"):
        if (d["roleRef"]["kind"], d["roleRef"]["name"]) not in {(x["kind"], x["metadata"]["name"]) for x in docs}: say(d, "binds no role")
        for s in d["subjects"]:
            if ("ServiceAccount", s["name"]) not in {(x["kind"], x["metadata"]["name"]) for x in docs}: say(d, "binds nobody")
print("\n".join(bad))
sys.exit(bool(bad))
