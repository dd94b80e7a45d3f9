"""openapi_check.py URL OPENAPI API_C - asks a live coordinator for each operation of its description: says a TAP line a claim"""
import http.client
import json
import re
import sys
import urllib.parse

import jsonschema

base, spec_path, table_path = sys.argv[1:4]
spec = json.load(open(spec_path))
host = urllib.parse.urlsplit(base).netloc
n = 0


def check(name, ok, more=""):
    global n
    n += 1
    print(("ok" if ok else "not ok") + f" {n} - {name}" + (f"\n# {more}" if more and not ok else ""), flush=True)


def ask(method, path, body=None, headers=None):
    c = http.client.HTTPConnection(host, timeout=5)
    c.request(method, path, body, headers or {})
    r = c.getresponse()
    kind = r.getheader("Content-Type", "").split(";")[0]
    data = b"" if kind == "text/event-stream" and r.status == 200 else r.read()
    c.close()
    return r.status, kind, data, r


def fits(schema, value):
    resolver = {**schema, "components": spec["components"]}
    errors = list(jsonschema.Draft202012Validator(resolver).iter_errors(value))
    return "; ".join(f"{e.json_path}: {e.message[:120]}" for e in errors[:3])


def response_of(op, status):
    r = op["responses"].get(str(status))
    return spec["components"]["responses"][r["$ref"].rsplit("/", 1)[1]] if r and "$ref" in r else r


def judge(name, op, status, kind, data):
    r = response_of(op, status)
    if r is None:
        return f"status {status} is not described: {data[:200]}"
    content = r.get("content", {})
    if not content:
        return ""
    if kind not in content:
        return f"{kind} is not described, only {list(content)}"
    if kind.endswith("json"):
        return fits(content[kind]["schema"], json.loads(data))
    return ""


rows = set(re.findall(r'^\t\{ "([A-Z]+)", "([^"]+)"', open(table_path).read(), re.M))
described = {(m.upper(), p) for p, ops in spec["paths"].items() for m in ops if m != "parameters"}
check("the table of routes and the description have the same rows", rows == described, str(rows ^ described))
s, kind, data, _ = ask("GET", "/api/v1/openapi.json")
check("the coordinator serves the same description", json.loads(data) == spec)
for path, ops in spec["paths"].items():
    for method, op in ops.items():
        if method == "parameters":
            continue
        filled = path
        for p in op.get("parameters", []):
            if p["in"] == "path":
                filled = filled.replace("{" + p["name"] + "}", str(p["schema"].get("enum", ["999999"])[0]))
        body = json.dumps({}) if method in ("post", "put") else None
        status, kind, data, r = ask(method.upper(), filled, body, {"Content-Type": "application/json"} if body else {})
        why = judge(filled, op, status, kind, data)
        check(f"{method.upper()} {path} answers as described ({status})", not why, why)
        check(f"{method.upper()} {path}: no sniffing, no storing", r.getheader("X-Content-Type-Options") == "nosniff" and r.getheader("Cache-Control") == "no-store")
    status, kind, data, r = ask("BREW", re.sub(r"\{[^}]*\}", "1", path) if "/web/" not in path else "/web/app.js")
    check(f"BREW {path} is a problem that names what is allowed", status == 405 and kind == "application/problem+json" and bool(r.getheader("Allow")), f"{status} {kind}")
for path in ("/api/v1/nothing", "/api/v2/status", "/api/v1/status/", "/%2e%2e/etc/passwd", "/web/..", "/" + "a" * 8000):
    status, kind, data, _ = ask("GET", path)
    check(f"{path[:30]} is a problem", 400 <= status < 500, f"{status} {data[:100]}")
for q in ("?after=-1", "?after=x", "?after=" + "9" * 400, "?after", "?" + "&".join(f"k{i}=1" for i in range(100))):
    status, kind, data, _ = ask("GET", "/api/v1/timeline" + q)
    check(f"/api/v1/timeline{q[:20]} does no harm", status in (200, 400), f"{status}")
check("and it lives", ask("GET", "/livez")[0] == 200)
print(f"1..{n}")
