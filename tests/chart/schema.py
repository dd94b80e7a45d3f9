#!/usr/bin/env python3
"""schema.py CHART - values.schema.json from values.yaml: every object closed but those that are passed through as they are

What goes into a program's configuration file has the names that docs/config.md lists for it; their values are the program's to judge."""
import json, re, sys
import yaml

v = yaml.safe_load(open(sys.argv[1] + "/values.yaml"))
SIZE = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?([KMGT]i?)?$"}
TIME = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)?$"}
NAME = "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"
PART = {"type": ["integer", "string"], "minimum": 0, "pattern": "^([0-9]|[1-9][0-9]|100)%$"}       # of a number of pods
STRS = {"type": "object", "additionalProperties": {"type": "string"}}
FREE = {"type": "object"}
OBJS = {"type": "array", "items": {"type": "object"}}
def count(lo=0, hi=100000): return {"type": "integer", "minimum": lo, "maximum": hi}
def one_of(*words): return {"type": "string", "enum": list(words)}
quantities = {"type": "object", "additionalProperties": False, "minProperties": 1, "patternProperties": {
    "^(cpu|memory|ephemeral-storage|[a-z0-9.-]+/[A-Za-z0-9._-]+)$": {"type": ["string", "number"]}}}
SPECIAL = {
    "imagePullSecrets": {"type": "array", "items": {"type": "string"}}, "config": FREE, "affinity": FREE, "nodeSelector": STRS,
    "commonLabels": STRS, "commonAnnotations": STRS, "annotations": STRS, "labels": STRS, "podLabels": STRS, "podAnnotations": STRS,
    "tolerations": OBJS, "extraEnv": OBJS, "extraVolumes": OBJS, "extraVolumeMounts": OBJS, "clientsFrom": OBJS, "metricsFrom": OBJS,
    "apiPorts": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}}, "workerEgress": OBJS, "topologySpreadConstraints": {"type": ["array", "null"], "items": {"type": "object"}},
    "accessModes": {"type": "array", "minItems": 1, "items": one_of("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany")},
    "loadBalancerSourceRanges": {"type": "array", "items": {"type": "string", "pattern": "/[0-9]+$"}},
    "resources": {"type": "object", "additionalProperties": False, "properties": {"requests": quantities, "limits": quantities}},
    "pullPolicy": one_of("Always", "IfNotPresent", "Never"), "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "tag": {"type": "string", "not": {"const": "latest"}}, "repository": {"type": "string", "minLength": 1},
    "kind": one_of("Deployment", "DaemonSet"), "mode": one_of("off", "hpa", "keda", "builtin"), "type": one_of("ClusterIP", "NodePort", "LoadBalancer"),
    "externalTrafficPolicy": one_of("", "Cluster", "Local"), "sandbox": one_of("auto", "namespace", "chroot", "landlock"),
    "requireSandbox": one_of("any", "landlock", "chroot", "namespace"), "hostUsers": {"type": ["boolean", "null"]},
    "nodePort": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535}, "port": count(1, 65535), "size": SIZE, "stateSize": SIZE,
    "emptyDirSize": SIZE, "workTarget": TIME, "interval": TIME, "maxUnavailable": PART, "maxSurge": PART,
    "low": {"type": "integer", "maximum": 1000000000}, "high": {"type": "integer", "maximum": 1000000000},
    "fullnameOverride": {"type": "string", "pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"},
    "nameOverride": {"type": "string", "pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"}, "clusterDomain": {"type": "string", "pattern": NAME, "minLength": 1},
    "coordinatorSecret": {"type": "string", "pattern": NAME}, "workerSecret": {"type": "string", "pattern": NAME}, "clientSecret": {"type": "string", "pattern": NAME},
}
def schema(node, name):
    if name in SPECIAL: return SPECIAL[name]
    if isinstance(node, dict):
        return {"type": "object", "additionalProperties": False, "properties": {k: schema(x, k) for k, x in node.items()}}
    if isinstance(node, bool): return {"type": "boolean"}
    if isinstance(node, int): return count()
    if isinstance(node, str): return {"type": "string"}
    sys.exit("values.yaml: no rule for " + name)
top = schema({k: x for k, x in v.items() if k != "workerPools"}, "")
pool = schema(dict(v["workerDefaults"], name=""), "")
pool["properties"]["name"] = {"type": "string", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$", "maxLength": 13}
pool["required"] = ["name"]
def settings(program):
    text = re.split("^## ", open(sys.argv[1] + "/../docs/config.md").read(), flags=re.M)
    table = [t for t in text if t.startswith(program + "\n")][0]
    return {"type": "object", "additionalProperties": False,
            "properties": {k: {"type": ["string", "number", "boolean"]} for k in re.findall(r"^\| `([a-z-]+)` \|", table, re.M)}}
top["properties"]["coordinator"]["properties"]["config"] = settings("griddle-coordinator")
for x in (top["properties"]["workerDefaults"], pool): x["properties"]["config"] = settings("griddle-worker")
# a budget of none would hold up every drain for ever
top["properties"]["podDisruptionBudget"]["properties"]["maxUnavailable"] = {"type": ["integer", "string"], "minimum": 1, "pattern": "^([1-9]|[1-9][0-9]|100)%$"}
top["properties"]["workerPools"] = {"type": "array", "items": pool}
top["properties"]["priorityClasses"]["properties"]["low"]["minimum"] = -2147483648
print(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "title": "griddle", **top}, indent=1))
