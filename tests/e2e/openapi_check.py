"""openapi_check.py URL TOKENS_URL TOKEN TORN_URL FULL_URL FULL_PID WORKER_PID OPENAPI API_C - asks live coordinators for each answer that the description
declares: says a TAP line a claim. URL runs jobs with the worker WORKER_PID, TOKENS_URL wants a token, TORN_URL has a job 1 that is
over and whose description cannot be read, FULL_URL (of FULL_PID, which is ended) has a
full disk ("-": there is none), an open job 1 of the token "again" and jobs 2 and 3 that are over. An answer that is declared and never came fails, unless NOT_MADE says why it is not made here."""
import http.client
import hashlib
import json
import os
import re
import signal
import sys
import time
import urllib.parse

import jsonschema

base, tokens_url, token, torn_url, full_url, full_pid, worker_pid, spec_path, table_path = sys.argv[1:10]
spec = json.load(open(spec_path))
host, tokens_host, torn_host, full_host = (urllib.parse.urlsplit(u).netloc for u in (base, tokens_url, torn_url, full_url))
n = 0
seen = set()                    # (method, path, status) that came and fits its description

DISK = "of a disk that fails with EIO: tests/unit/store_damage_test.c and 81-faults.t have these, below HTTP"
NOT_MADE = {
    ("GET", "/readyz", 503): "between the listener's opening and the coordinator's: milliseconds",
    ("POST", "/api/v1/jobs", 500): DISK,
    ("PUT", "/api/v1/blobs/{digest}", 500): DISK,
    ("GET", "/api/v1/jobs/{job}/tasks/{task}/logs/{stream}", 500): DISK,
}


def check(name, ok, more=""):
    global n
    n += 1
    print(("ok" if ok else "not ok") + f" {n} - {name}" + (f"\n# {more}" if more and not ok else ""), flush=True)


def ask(method, path, body=None, headers=None, at=None):
    c = http.client.HTTPConnection(at or host, timeout=60)
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
def begin(method, filled, body=None, headers=None, at=None):
    if isinstance(body, dict):
        body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
    c = http.client.HTTPConnection(at or host, timeout=60)
    c.request(method, filled, body, headers or {})
    return c


def hear(c, method, path, filled, want):
    """Of a connection that asked for @filled, which is of @path: wants the answer @want, as described. Return: its JSON, or None."""
    r = c.getresponse()
    kind = r.getheader("Content-Type", "").split(";")[0]
    data = b"" if kind == "text/event-stream" and r.status == 200 else r.read()
    c.close()
    why = judge(filled, spec["paths"][path][method.lower()], r.status, kind, data) or ("" if r.status == want else f"{r.status} came: {data[:200]}")
    check(f"{method} {path}: {want}, as described ({filled[:60]})", not why, why)
    if not why:
        seen.add((method, path, r.status))
    return json.loads(data) if kind.endswith("json") else None


def hit(method, path, filled, want, body=None, headers=None, at=None):
    return hear(begin(method, filled, body, headers, at), method, path, filled, want)


def until(what, condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    check(f"{what} within a minute", False)


JOBS, JOB = "/api/v1/jobs", "/api/v1/jobs/{job}"
TASKS, TASK = JOB + "/tasks", JOB + "/tasks/{task}"
LOG, OUTPUT = TASK + "/logs/{stream}", TASK + "/outputs/{n}"
BLOB, USAGE, EVENTS = "/api/v1/blobs/{digest}", "/api/v1/usage", "/api/v1/events"


def fill(path, **values):
    for p in re.findall(r"\{(\w+)\}", path):
        path = path.replace("{" + p + "}", str(values.get(p, 999999)))
    return path


def job_state(job, at=None):
    return json.loads(ask("GET", f"{JOBS}/{job}", at=at)[2])["state"]


def submit(argv, **more):
    return hit("POST", JOBS, JOBS, 201, {"spec": {"stages": [{"argv": argv, **more}]}})["job"]


# every row once, with what is not there
operations = [(m.upper(), p, op) for p, ops in spec["paths"].items() for m, op in ops.items() if m != "parameters"]
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
        if not why:
            seen.add((method.upper(), path, status))
        check(f"{method.upper()} {path}: no sniffing, no storing", r.getheader("X-Content-Type-Options") == "nosniff" and r.getheader("Cache-Control") == "no-store")
    status, kind, data, r = ask("BREW", re.sub(r"\{[^}]*\}", "1", path) if "/web/" not in path else "/web/app.js")
    check(f"BREW {path} is a problem that names what is allowed", status == 405 and kind == "application/problem+json" and bool(r.getheader("Allow")), f"{status} {kind}")
for path in ("/api/v1/nothing", "/api/v2/status", "/api/v1/status/", "/%2e%2e/etc/passwd", "/web/..", "/" + "a" * 8000):
    status, kind, data, _ = ask("GET", path)
    check(f"{path[:30]} is a problem", 400 <= status < 500, f"{status} {data[:100]}")
for q in ("?after=-1", "?after=x", "?after=" + "9" * 400, "?after", "?" + "&".join(f"k{i}=1" for i in range(100))):
    status, kind, data, _ = ask("GET", "/api/v1/timeline" + q)
    check(f"/api/v1/timeline{q[:20]} does no harm", status in (200, 400), f"{status}")

# who asks
for method, path, op in operations:
    if op.get("x-griddle-role"):
        filled = fill(path, job=1, task=0, stream="stdout", n=0, digest="0" * 64)
        body = {} if method == "POST" else "" if method == "PUT" else None
        hit(method, path, filled, 403, body, {"Origin": "http://elsewhere.example"})
        hit(method, path, filled, 401, body, at=tokens_host)
hit("GET", JOBS, JOBS, 200, headers={"Authorization": "Bearer " + token}, at=tokens_host)

# files
content = b"to be told apart"
digest = hashlib.sha256(content).hexdigest()
hit("PUT", BLOB, fill(BLOB, digest=digest), 204, content)
hit("PUT", BLOB, fill(BLOB, digest="zz"), 400, content)
hit("PUT", BLOB, fill(BLOB, digest=digest), 411, iter([content]), {"Transfer-Encoding": "chunked"})
hit("PUT", BLOB, fill(BLOB, digest=digest), 413, None, {"Content-Length": str(1 << 62)})
hit("PUT", BLOB, fill(BLOB, digest="1" * 64), 422, content)
hit("GET", "/web/{file}", "/web/app.js", 200)
hit("GET", "/web/{file}", "/web/nothing", 404)

# jobs: one is over and left a file, one runs, one waits for a worker that it will not find
over = submit(["sh", "-c", "echo out; echo file >f"], outputs=[{"path": "f"}])
running = submit(["sleep", "600"])
waiting = submit(["true"], constraints=[{"label": "no", "op": "in", "values": ["such"]}])
until("a job is over", lambda: job_state(over) == "done")
until("another runs", lambda: json.loads(ask("GET", f"{JOBS}/{running}/tasks/0")[2])["state"] == "running")
hit("POST", JOBS, JOBS, 200, {"spec": {"stages": [{"argv": ["true"]}]}, "dry_run": True})
hit("POST", JOBS, JOBS, 400, "{", {"Content-Type": "application/json"})
hit("POST", JOBS, JOBS, 404, {"spec_blob": "2" * 64})
hit("POST", JOBS, JOBS, 413, None, {"Content-Length": str(9 << 20)})
hit("POST", JOBS, JOBS, 422, {"spec": {"stages": []}})
hit("GET", JOBS, JOBS, 200)
hit("GET", JOBS, JOBS + "?limit=x", 400)
hit("GET", JOBS, JOBS + "?state=odd", 422)
hit("GET", JOB, fill(JOB, job=over), 200)
hit("GET", TASKS, fill(TASKS, job=over), 200)
hit("GET", TASKS, fill(TASKS, job=over) + "?state=odd", 422)
hit("GET", TASK, fill(TASK, job=over, task=0), 200)
hit("GET", LOG, fill(LOG, job=over, task=0, stream="stdout"), 200)
hit("GET", OUTPUT, fill(OUTPUT, job=over, task=0, n=0), 200)
hit("GET", USAGE, USAGE, 200)
hit("GET", USAGE, USAGE + "?format=csv", 200)
hit("GET", USAGE, USAGE + "?job=x", 400)
hit("GET", USAGE, USAGE + "?job=999999", 404)
for method, path, op in operations:
    if "{job}" in path:
        values = {"task": 0, "n": 0, "stream": "stdout"}
        body = {} if method == "POST" else None
        hit(method, path, fill(path, job="x", **values), 400, body)
        hit(method, path, fill(path, job=999999, **values), 404, body)
        if "422" in op["responses"]:
            hit(method, path, fill(path, job=0, **values), 422, body)
for verb in ("pause", "resume", "cancel"):
    hit("POST", f"{JOB}/{verb}", f"{JOBS}/{waiting}/{verb}", 200, {})
    hit("POST", f"{JOB}/{verb}", f"{JOBS}/{over}/{verb}", 409, {})
hit("POST", JOB + "/retry", f"{JOBS}/{over}/retry", 422, {"tasks": [[7, 1]]})
hit("POST", JOB + "/retry", f"{JOBS}/{over}/retry", 200, {})
until("it is over once more", lambda: job_state(over) == "done")
hit("DELETE", JOB, fill(JOB, job=running), 409)
os.kill(int(worker_pid), signal.SIGSTOP)        # the end of what is cancelled is not told
hit("POST", JOB + "/cancel", f"{JOBS}/{running}/cancel", 200, {})
hit("POST", JOB + "/retry", f"{JOBS}/{running}/retry", 409, {})
os.kill(int(worker_pid), signal.SIGCONT)
hit("DELETE", JOB, fill(JOB, job=over), 200)

# a description that cannot be read any more
for method, path, op in operations:
    if "500" in op["responses"] and "{job}" in path and path != LOG:
        hit(method, path, fill(path, job=1, task=0), 500, {} if method == "POST" else None, at=torn_host)


def crowd(n, ways):
    """To each of @ways as many connections as may stay, and one more; all from this one address, which may ask as before with them. That
    they are gone is noticed with a ping."""
    held = []
    for path, filled in ways:
        for _ in range(n):
            c = http.client.HTTPConnection(host, timeout=60)
            c.request("GET", filled)
            held.append((c, c.getresponse()))
        check(f"{n} connections to {path} stay", all(r.status == 200 for _, r in held))
        hit("GET", path, filled, 503)
    check(f"beside {len(held)} that stay others are answered", all(ask("GET", "/livez")[0] == 200 for _ in range(n // 2)))
    for c, r in held:
        r.close()
        c.close()
    for path, filled in ways:
        until("there is room again", lambda: begin("GET", filled).getresponse().status == 200)


waiting = submit(["true"], constraints=[{"label": "no", "op": "in", "values": ["such"]}])
crowd(64, [(EVENTS, EVENTS), (LOG, fill(LOG, job=waiting, task=0, stream="stdout") + "?follow=true")])

# a disk that is full: what changes a job waits until there is room, or the coordinator ends
if full_host:
    hit("PUT", BLOB, fill(BLOB, digest=hashlib.sha256(b"x" * 100000).hexdigest()), 507, b"x" * 100000, at=full_host)
    hit("POST", JOBS, JOBS, 507, {"spec": {"stages": [{"argv": ["true"]}]}}, at=full_host)
    waits = [("POST", f"{JOB}/{verb}", f"{JOBS}/{job}/{verb}", {}) for verb, job in (("pause", 1), ("resume", 1), ("cancel", 1), ("retry", 2))]
    waits += [("DELETE", JOB, f"{JOBS}/3", None), ("POST", JOBS, JOBS, {"token": "again"})]
    asked = [(begin(method, filled, body, at=full_host), method, path, filled) for method, path, filled, body in waits]
    for _ in range(10):         # answered behind those
        ask("GET", "/livez", at=full_host)
    os.kill(int(full_pid), signal.SIGTERM)
    for c, method, path, filled in asked:
        hear(c, method, path, filled, 503)
check("and it lives", ask("GET", "/livez")[0] == 200)

declared = {(m, p, int(code)) for m, p, op in operations for code in op["responses"]}
if not full_host:
    NOT_MADE.update({t: "no full disk: it wants root and a tmpfs" for t in declared - seen if t[2] in (503, 507)})
missing = declared - seen - set(NOT_MADE)
print(f"# {len(declared)} answers are declared, {len(declared & seen)} came")
for method, path, status in sorted(declared - seen):
    print(f"# {method} {path} {status} did not: {NOT_MADE.get((method, path, status), 'NO REASON')}")
check("every answer that is declared came, or it is said why not", not missing, str(sorted(missing)))
check("and no reason is of one that came or is not declared", not (set(NOT_MADE) & seen or set(NOT_MADE) - declared),
      str(sorted(set(NOT_MADE) & seen) + sorted(set(NOT_MADE) - declared)))
print(f"1..{n}")
