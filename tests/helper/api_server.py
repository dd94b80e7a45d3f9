#!/usr/bin/env python3
"""api_server.py FOLDER - an API server that can be made to misbehave: pods, nodes, scales, over TLS on a socket of loopback.

FOLDER holds tls.crt and tls.key; ready.json is written there with both ports. What it serves and how it fails is told to a
second port, POST / with one JSON object:
  {"op": "put"|"delete", "kind": "pods"|"nodes", "object": {...}}     {"op": "scale", "name": ..., "replicas": N}
  {"op": "token", "token": T}      only this bearer token is good from now on
  {"op": "fault", "kind": "pods"|"nodes"|"patch", "fault": F}         F: null, forbidden, garbage, endless, trickle, close, broken
  {"op": "fault", "kind": "secrets", "fault": F}                      F: null, forbidden, cut (the connection, behind the first Secret made)
  {"op": "secret", "name": ..., "object": {...}|null}                 is there; null: is not
  {"op": "expire"}                 every watch is told 410, and older resourceVersions are from now on
  {"op": "cut"}                    every watch is closed in order
  {"op": "gone", "gone": true}     connections are refused and those there cut
  {"op": "clock", "ahead": S}      the Date of its answers from now on
  {"op": "bookmark"}               a bookmark to every watch
GET / answers what was asked so far, by kind.
"""
import base64, http.server, json, os, queue, socket, ssl, sys, threading, time

lock = threading.RLock()
store = {"pods": {}, "nodes": {}}
scales, secrets, log, faults = {}, {}, [], {}
watches, conns, history = [], set(), []
state = {"ahead": 0, "rv": 100, "oldest": 0, "token": "one", "gone": False}


def bump():
    state["rv"] += 1
    return str(state["rv"])


def tell(kind, event):
    if kind:
        history.append((state["rv"], kind, json.loads(json.dumps(event))))
    for k, q in list(watches):
        if kind in (k, None):
            q.put(event)


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + state["ahead"])

    def status(self, code, message):
        self.answer(code, {"kind": "Status", "status": "Failure", "message": message, "code": code})

    def answer(self, code, obj):
        body = json.dumps(obj).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def note(self, what):
        with lock:
            log.append(what)

    def may(self):
        if self.headers.get("Authorization") == "Bearer " + state["token"]:
            return True
        self.note("unauthorized")
        self.status(401, "Unauthorized")
        return False

    def parts(self):
        path, _, query = self.path.partition("?")
        args = dict(a.split("=", 1) for a in query.split("&") if "=" in a)
        return path.strip("/").split("/"), args

    def do_GET(self):
        if not self.may():
            return
        path, args = self.parts()
        if path[-1] == "scale":
            self.note("get-scale")
            if path[-2] not in scales:
                self.status(404, "deployments.apps %s not found" % path[-2])
                return
            self.answer(200, {"kind": "Scale", "spec": {"replicas": scales[path[-2]]}})
            return
        if path[-2] == "secrets":
            self.note("get-secret " + path[-1])
            if path[-1] in secrets:
                self.answer(200, secrets[path[-1]])
            else:
                self.status(404, 'secrets "%s" not found' % path[-1])
            return
        kind = path[-1]
        fault = faults.get(kind)
        if fault == "forbidden":
            self.note("forbidden-" + kind)
            self.status(403, kind + ' is forbidden: User "system:serviceaccount:build:g" cannot list resource')
        elif "watch" in args:
            self.watch(kind, args, fault)
        else:
            self.list(kind, args)

    def list(self, kind, args):
        with lock:
            self.note("list-" + kind)
            items, n = list(store[kind].values()), int(args.get("limit", 500))
            at = int(args.get("continue", "0"))
            meta = {"resourceVersion": str(state["rv"])}
            if at + n < len(items):
                meta["continue"] = str(at + n)
            self.answer(200, {"kind": "List", "metadata": meta, "items": items[at:at + n]})

    def watch(self, kind, args, fault):
        q = queue.Queue()
        with lock:
            self.note("watch-" + kind)
            old = int(args["resourceVersion"]) < state["oldest"]
            watches.append((kind, q))
            for rv, k, event in history:
                if k == kind and rv > int(args["resourceVersion"]):
                    q.put(event)
        try:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if old:
                self.chunk(json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}).encode() + b"\n")
                self.chunk(b"")
                return
            if fault == "garbage":
                self.chunk(b'{"type": "ADDED", "object": {]]\n')
            while fault == "endless":
                self.chunk(b"x" * 65536)
            if fault == "broken":
                self.chunk(b'{"type": "ADD')
                self.connection.close()
                return
            if fault == "close":
                self.chunk(b"")
                return
            while True:
                event = q.get()
                if event is None:
                    self.chunk(b"")
                    return
                data = json.dumps(event).encode() + b"\n"
                if faults.get(kind) == "trickle":
                    for i in range(0, len(data), 7):
                        self.chunk(data[i:i + 7])
                        time.sleep(0.001)
                else:
                    self.chunk(data)
        except OSError:
            pass
        finally:
            self.close_connection = True
            with lock:
                watches.remove((kind, q))

    def do_POST(self):
        o = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may():
            return
        name = o["metadata"]["name"]
        if faults.get("secrets") == "forbidden" or self.headers["Content-Type"] != "application/json":
            self.status(403, "secrets is forbidden")
            return
        with lock:
            if faults.get("secrets") == "cut" and secrets:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if name in secrets:
                self.status(409, 'secrets "%s" already exists' % name)
                return
            o["data"] = {k: base64.b64encode(v.encode()).decode() for k, v in o.pop("stringData").items()}
            secrets[name] = o
            self.note("post-secret " + name)
            self.answer(201, o)

    def do_PATCH(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may():
            return
        path, _ = self.parts()
        if faults.get("patch") == "forbidden":
            self.note("forbidden-patch")
            self.status(403, "deployments.apps is forbidden")
            return
        with lock:
            if path[-1] == "scale":
                scales[path[-2]] = body["spec"]["replicas"]
                self.note("scale %s %d" % (path[-2], scales[path[-2]]))
                self.answer(200, {"kind": "Scale", "spec": body["spec"]})
                return
            pod = store["pods"].get(path[-1])
            if not pod:
                self.status(404, "no such pod")
                return
            pod["metadata"].setdefault("annotations", {}).update(body["metadata"]["annotations"])
            pod["metadata"]["resourceVersion"] = bump()
            self.note("cost %s %s" % (path[-1], list(body["metadata"]["annotations"].values())[0]))
            tell("pods", {"type": "MODIFIED", "object": pod})
            self.answer(200, pod)


class Control(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a):
        pass

    def reply(self, obj):
        body = (json.dumps(obj) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with lock:
            self.reply({"log": log, "watches": sorted(k for k, _ in watches), "scales": scales, "secrets": secrets, "rv": state["rv"]})

    def do_POST(self):
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            op = m["op"]
            if op in ("put", "delete"):
                obj, items = m["object"], store[m["kind"]]
                name = obj["metadata"]["name"]
                was = items.pop(name, None)
                obj["metadata"]["resourceVersion"] = bump()
                if op == "put":
                    items[name] = obj
                tell(m["kind"], {"type": "DELETED" if op == "delete" else "MODIFIED" if was else "ADDED", "object": obj})
            elif op == "scale":
                scales[m["name"]] = m["replicas"]
            elif op == "secret":
                secrets.pop(m["name"], None)
                if m["object"]:
                    secrets[m["name"]] = m["object"]
            elif op == "clock":
                state["ahead"] = m["ahead"]
            elif op == "token":
                state["token"] = m["token"]
            elif op == "fault":
                faults[m["kind"]] = m["fault"]
            elif op == "expire":
                state["oldest"] = int(bump()) + 1
                bump()
                tell(None, {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
            elif op == "cut":
                tell(None, None)
            elif op == "bookmark":
                rv = bump()
                tell(None, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": rv}}})
            elif op == "gone":
                state["gone"] = m["gone"]
                for c in list(conns) if m["gone"] else []:
                    try:
                        c.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
        self.reply({})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls = None

    def process_request_thread(self, request, client):
        if self.tls and state["gone"]:
            request.close()
            return
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            with lock:
                conns.add(request)
            super().process_request_thread(request, client)
        except (OSError, ssl.SSLError):
            request.close()
        finally:
            conns.discard(request)

    def handle_error(self, request, client):
        pass


folder = sys.argv[1]
api, control = Server(("127.0.0.1", 0), Api), Server(("127.0.0.1", 0), Control)
api.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
api.tls.load_cert_chain(folder + "/tls.crt", folder + "/tls.key")
with open(folder + "/ready.new", "w") as f:
    json.dump({"api": "https://127.0.0.1:%d" % api.server_address[1], "control": "http://127.0.0.1:%d" % control.server_address[1]}, f)
os.rename(folder + "/ready.new", folder + "/ready.json")
threading.Thread(target=api.serve_forever, daemon=True).start()
control.serve_forever()
