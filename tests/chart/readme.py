#!/usr/bin/env python3
"""readme.py CHART - the values table of CHART/README.md from the "# --" comments of values.yaml; fails on a leaf without one"""
import json, re, sys
import yaml

chart = sys.argv[1]
values = yaml.safe_load(open(chart + "/values.yaml"))
path, notes, pending = [], {}, None
for line in open(chart + "/values.yaml"):
    m = re.match(r"\s*# -- (.*)$", line)
    if m:
        pending = m[1]
        continue
    m = re.match(r"( *)([A-Za-z]+):", line)
    if m:
        depth = len(m[1]) // 2
        path[depth:] = [m[2]]
        if pending:
            notes[".".join(path)] = pending
    pending = None

def leaves(node, name):
    if name in notes or not isinstance(node, dict) or not node:
        yield name, node
        return
    for key, value in node.items():
        yield from leaves(value, name + "." + key if name else key)

rows, bare = [], []
for name, value in leaves(values, ""):
    if name not in notes:
        bare.append(name)
        continue
    text = json.dumps(value, separators=(",", ":"))
    rows.append("| `%s` | `%s` | %s |" % (name, text.replace("|", "\\|"), notes[name].replace("|", "\\|")))
if bare:
    sys.exit("values.yaml: no \"# --\" comment: " + ", ".join(bare))
print("""# griddle's chart

Printed by `make chart-docs` from the comments of values.yaml.

    helm install griddle chart/ --set global.imageRegistry=REGISTRY --set keys.generate=true

needs the images of the Dockerfile (`docker build --target coordinator|worker|client .`) in REGISTRY. Three Secrets hold the keys:
`keys.generate` makes those that are not there, once, by a hook that has the right to create Secrets for as long as it runs; without
it the notes after the installation print the commands that make them by hand. Upgrades, rollbacks and `helm uninstall` leave them
as they are; new keys are made once the Secrets are deleted, and all pods want a restart then. profiles/ has values for some kinds of
clusters (`-f chart/profiles/gke.yaml`).

| Value | Default | Is |
|---|---|---|""")
print("\n".join(rows))
