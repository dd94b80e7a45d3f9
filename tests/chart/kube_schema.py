#!/usr/bin/env python3
"""kube_schema.py SWAGGER FOLDER - JSON schemas for kubeconform out of an API server's swagger.json; closed, but for what is free-form there

One file a kind, FOLDER/GROUP_VERSION_KIND.json (of the core group as kubeconform has it: v1_v1_pod.json), with every definition it refers to beneath it."""
import json, os, sys

defs = json.load(open(sys.argv[1]))["definitions"]

def closed(node):
    if isinstance(node, list):
        return [closed(x) for x in node]
    if not isinstance(node, dict):
        return node
    out = {k: closed(v) for k, v in node.items() if k in ("type", "items", "additionalProperties", "required", "$ref", "enum", "allOf")}
    if "properties" in node:
        out["properties"] = {k: closed(v) for k, v in node["properties"].items()}
        out.setdefault("additionalProperties", False)
    if node.get("format") == "int-or-string":
        out["type"] = ["string", "integer"]
    return out

flat = {}
for name, d in defs.items():
    flat[name] = closed(d)
    if name.endswith("api.resource.Quantity"):
        flat[name] = {"type": ["string", "number"]}
def needed(name, have):
    if name in have:
        return have
    have[name] = flat[name]
    todo = [flat[name]]
    while todo:
        x = todo.pop()
        if isinstance(x, dict):
            if isinstance(x.get("$ref"), str):
                needed(x["$ref"].rsplit("/", 1)[1], have)
            todo += list(x.values())
        elif isinstance(x, list):
            todo += x
    return have
os.makedirs(sys.argv[2], exist_ok=True)
for name, d in defs.items():
    for gvk in d.get("x-kubernetes-group-version-kind", []):
        if len(d["x-kubernetes-group-version-kind"]) > 1:
            continue
        top = dict(flat[name], definitions=needed(name, {}))
        file = "%s_%s_%s.json" % (gvk["group"] or gvk["version"], gvk["version"], gvk["kind"].lower())
        json.dump(top, open(os.path.join(sys.argv[2], file), "w"))
