#!/usr/bin/env python3
"""load_peers.py MODE READY-FILE [CERT KEY]: peers of load tests that need more than load_target: ws (echo), ws-refuse, ws-torn (a message
in another), tls (HTTP/1.1), h2-rst (resets every stream), h2-goaway (goes away at once), h2-garbage, h2-trailers (80 KiB and a trailer), h2-late
(TLS, and the first connection is never spoken to), cookies (gives some, takes some back, says what was sent), web (HTTP: the request's body,
or else its path, back; WebSocket: says of the upgrade's address and Authorization what is wrong, or "ok"; READY-FILE.paths and .closed have a line a path and a
WebSocket's close code). READY-FILE gets the port. A thread a connection."""
import base64, hashlib, os, socket, ssl, struct, sys, threading

mode, ready = sys.argv[1:3]
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("0.0.0.0" if mode == "cookies" else "127.0.0.1", 0))
server.listen(4096)
ctx = None
if mode in ("tls", "h2-late"):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(*sys.argv[3:5])
    ctx.set_alpn_protocols(["http/1.1" if mode == "tls" else "h2"])


def exactly(c, n):
    b = b""
    while len(b) < n:
        more = c.recv(n - len(b))
        if not more:
            raise EOFError
        b += more
    return b


def head(c):
    b = b""
    while b"\r\n\r\n" not in b:
        more = c.recv(4096)
        if not more:
            raise EOFError
        b += more
    return b


def http(c):
    while True:
        head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


def big(c):
    while True:
        head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"a" * 1048575 + b"z")


def cookies(c):
    while True:
        h = head(c).decode()
        path, sent = h.split()[1], [l[8:] for l in h.split("\r\n") if l.startswith("Cookie: ")]
        fields = {"/set": "Set-Cookie: a=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\nSet-Cookie: b=2; Expires=Fri, 01 Jan 2100 00:00:00 GMT\r\n"
                          "Set-Cookie: c=3; Path=/\r\nSet-Cookie: d=4\r\nSet-Cookie: e=5; path=/only\r\nSet-Cookie: f=6; Secure\r\n"
                          "Set-Cookie: g=7; Domain=example.org\r\n",
                  "/take": "Set-Cookie: c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\nSet-Cookie: d=; path=/; max-age=0\r\n"}.get(path, "")
        body = sent[0] if sent else "none"
        c.sendall(f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(body)}\r\n\r\n{body}".encode())


def ws(c):
    key = [l.split(b": ")[1] for l in head(c).split(b"\r\n") if l.lower().startswith(b"sec-websocket-key")][0]
    proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    if mode == "ws-refuse":
        proof = b"no"
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n")
    while True:
        a, b = exactly(c, 2)
        n = b & 127
        if n == 126:
            n = struct.unpack(">H", exactly(c, 2))[0]
        mask = exactly(c, 4)
        data = bytes(x ^ mask[i & 3] for i, x in enumerate(exactly(c, n)))
        if a & 15 == 1:
            # a ping in front and one behind, and the message in two frames
            more = b"\x80" if mode == "ws" else b"\x81"
            c.sendall(b"\x89\x01p" + b"\x01" + bytes([1]) + data[:1] + more + bytes([len(data) - 1]) + data[1:] + b"\x89\x00")


tokens = set()


def web(c):
    while True:
        h = head(c)
        h, body = h[:h.index(b"\r\n\r\n")].decode(), h[h.index(b"\r\n\r\n") + 4:]
        path, fields = h.split()[1], {l.split(": ")[0].lower(): l.split(": ", 1)[1] for l in h.split("\r\n")[1:]}
        with open(ready + ".paths", "a") as f:
            f.write(path + "\n")
        if "upgrade" in fields:
            return web_socket(c, path, fields)
        body += exactly(c, int(fields.get("content-length", 0)) - len(body))
        if path.startswith("/token/"):
            tokens.add(path[7:])
        body = body or path.encode()
        c.sendall(b"HTTP/1.1 200 OK\r\nX-Cased-NAME: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def web_socket(c, path, fields):
    proof = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n")
    token, said = fields.get("authorization", ""), path
    if path == "/a%20b" and token in tokens:
        tokens.remove(token)
        said = "ok"
    code = 1006                           # as those have it who see no Close
    try:
        while True:
            a, b = exactly(c, 2)
            mask = exactly(c, 4)
            data = bytes(x ^ mask[i & 3] for i, x in enumerate(exactly(c, b & 127)))
            if a & 15 == 8:
                code = int.from_bytes(data[:2], "big")
                break
            c.sendall(b"\x81" + bytes([len(said)]) + said.encode())
    finally:
        with open(ready + ".closed", "a") as f:
            f.write(f"{code}\n")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def h2(c):
    exactly(c, 24)
    c.sendall(b"this is no frame at all, but long enough for one" * 40 if mode == "h2-garbage" else frame(4, 0, 0))
    while True:
        h = exactly(c, 9)
        exactly(c, int.from_bytes(h[:3], "big"))
        stream = int.from_bytes(h[5:], "big")
        if h[3] == 4 and not h[4] & 1:
            c.sendall(frame(4, 1, 0))
        elif h[3] == 1 and mode == "h2-rst":
            c.sendall(frame(3, 0, stream, struct.pack(">I", 2)))
        elif h[3] == 1 and mode == "h2-trailers":
            c.sendall(frame(1, 4, stream, b"\x88") + frame(0, 0, stream, b"x" * 16384) * 5 + frame(1, 5, stream, b"\x40\x01t\x01v"))
        elif h[3] == 1 and mode == "h2-late":
            c.sendall(frame(1, 5, stream, b"\x88"))
        elif h[3] == 1:
            c.sendall(frame(7, 0, 0, struct.pack(">II", 0, 0)))
            return


def serve(c):
    try:
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ctx:
            c = ctx.wrap_socket(c, server_side=True)
        {"tls": http, "big": big, "cookies": cookies, "web": web, "ws": ws, "ws-refuse": ws, "ws-torn": ws}.get(mode, h2)(c)
    except (EOFError, OSError, ssl.SSLError):
        pass
    finally:
        c.close()


with open(ready + ".tmp", "w") as f:
    f.write(str(server.getsockname()[1]))
os.rename(ready + ".tmp", ready)
unspoken = [server.accept()[0]] if mode == "h2-late" else []
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
