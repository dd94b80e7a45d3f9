#!/usr/bin/env python3
"""faults.py BIN DIR PRELOAD - whatever can be done to a small cluster, at random moments, and what must hold behind each of it

  --points N     so many faults (60)       --seed N    what is drawn: kinds, lengths and jobs; moments are the machine's
  --chapter N    faults between two looks at everything, each chapter with a cluster of its own (30)
  --kinds A,B    only these                --keep      leave the folders
  --until TIME   no chapter begins after   --scene S     instead: adoption, held-end; see there

A chapter: a coordinator, two workers (one in a network namespace of its own when we are root) and clients that submit and
wait, all the time. Points come in bursts of one to four, with random gaps of 0 to 200 ms, so that a fault meets what another left
behind, a coordinator that only begins for instance. Behind each burst what was stopped or cut is well again and
  - a job of one task, submitted then, ends with its output: the queue goes on;
  - no process carries our mark that does not descend from a program that is to live: no orphans.
At the end of a chapter, with every client gone:
  - each client that nobody killed ended with 0, and printed the output of every task once;
  - whoever took the place of a killed one, by the job's number, saw its end and its output too;
  - nothing with the mark is left;
  - tests/helper/history.py proves the history and the store: also that every job that a client was told of is there, that
    no command was executed more often than attempts were begun, and that none is begun while an adopted one runs.
Prints what was done; exit 0 when all of it held, and else the chapter's folder stays."""
import argparse
import errno
import json
import mmap
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HEARTBEAT, DEAD = "100ms", 0.6
LIMIT = 90          # seconds for anything to happen at all
N_DIRTY, N_STARTS = 4096, 262144
HEAD = struct.Struct("=iiqQQIIII")
SHARED_BYTES = HEAD.size + N_DIRTY * 24 + N_STARTS * 16


class Wrong(Exception):
    pass


class Shared:
    """What preload/fault.c reads and writes, of one program."""
    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.truncate(SHARED_BYTES)
        os.chmod(path, 0o666)
        with open(path, "r+b") as f:
            self.m = mmap.mmap(f.fileno(), SHARED_BYTES)

    def fail(self, err, permille=1000):
        struct.pack_into("=ii", self.m, 0, err, permille)

    def clock(self, ms):
        struct.pack_into("=q", self.m, 8, ms)

    def failed(self):
        return HEAD.unpack_from(self.m)[3]

    def take_dirty(self):
        """Writes nobody synced, oldest first, and forgets them. None: there were more than are known."""
        *_, n, more, _ = HEAD.unpack_from(self.m)
        got = [struct.unpack_from("=QQQ", self.m, HEAD.size + i * 24) for i in range(n)]
        struct.pack_into("=III", self.m, HEAD.size - 16, 0, 0, 0)
        return None if more else got

    def starts(self):
        n = HEAD.unpack_from(self.m)[-1]
        base = HEAD.size + N_DIRTY * 24
        if n > N_STARTS:
            raise Wrong("more starts than there is room for: a smaller chapter")
        return [struct.unpack_from("=QII", self.m, base + i * 16) for i in range(n)]


class Client:
    """Somebody who waits for a job."""
    def __init__(self, w, verb, name, n_tasks, argv, stdin=None, n_lines=None):
        self.verb, self.name, self.n, self.w = verb, name, n_tasks, w
        self.n_lines = n_tasks if n_lines is None else n_lines
        self.out_path, self.err_path = (os.path.join(w.dir, f"{name}.{x}") for x in ("out", "err"))
        self.was_killed, self.job = False, None
        self.began_s = time.monotonic()
        self.p = w.spawn(argv, self.out_path, self.err_path, stdin)

    def out(self):
        with open(self.out_path, errors="replace") as f:
            return f.read()

    def err(self):
        with open(self.err_path, errors="replace") as f:
            return f.read()[-600:]

    def number(self):
        """The job's number if the client was told it."""
        first = self.out().split("\n", 1)
        if self.verb in ("submit", "detach") and len(first) == 2 and first[0].isdigit():
            return int(first[0])
        return None


class World:
    def __init__(self, args, rng, folder, has_netns):
        self.bin, self.rng, self.dir, self.args, self.has_netns = args.bin, rng, folder, args, has_netns
        os.makedirs(os.path.join(folder, "rt"), 0o700)
        os.chmod(folder, 0o755)
        self.mark = f"{folder} {os.getpid()} {time.time_ns()}"
        self.env = dict(os.environ, FAULT_MARK=self.mark, HOME=folder, XDG_CONFIG_HOME=folder + "/config", GRIDDLE_RUNTIME_DIR=folder + "/rt",
                        GRIDDLE_STATE_DIR=folder + "/own")
        self.all, self.clients, self.told = [], [], {}
        self.endpoint, self.keys, self.holder, self.settle = None, {}, None, "1s"
        self.coord, self.workers = None, {}
        self.shared = {n: Shared(os.path.join(folder, n + ".shared")) for n in ("coord", "w1", "w2")}
        self.n_disk = self.n_jobs = self.n_probes = 0
        self.disk_fails, self.disk_until_s = False, 0
        self.wall_ms = 0
        self.deck = None                                   # each kind once, then by weight

    # ---- processes ----
    def spawn(self, argv, out, err, stdin=None, **env):
        with open(out, "ab") as o, open(err, "ab") as e:
            p = subprocess.Popen(argv, stdout=o, stderr=e, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                 env=dict(self.env, **env))
        if stdin is not None:
            p.stdin.write(stdin.encode())
            p.stdin.close()
        self.all.append(p)
        return p

    def program(self, name, argv, prefix=()):
        log = os.path.join(self.dir, name + ".log")
        return self.spawn([*prefix, *argv], log, log, LD_PRELOAD=self.args.preload, FAULT_SHARED=self.shared["coord" if name == "coord" else name].path,
                          FAULT_UNDER=os.path.join(self.dir, name))

    def griddle(self, *words):
        return [self.bin + "/griddle", words[0], *self.connection("client"), *words[1:]]

    def connection(self, role):
        words = ["--coordinator", self.endpoint]
        return words + ["--keys", self.keys[role], "--server-key", self.keys["public"]] if self.keys else words

    def start_coordinator(self, must_be_up=True):
        ready = os.path.join(self.dir, "coord.json")
        if os.path.exists(ready):
            os.unlink(ready)
        listen = self.endpoint or ("tcp://10.97.0.1:7420" if self.has_netns else "tcp://127.0.0.1:0")
        self.coord = self.program("coord", [
            self.bin + "/griddle-coordinator", "--listen", listen, "--http", "off", "--state", self.dir + "/coord", "--ready-file", ready,
            "--history", self.dir + "/history", "--heartbeat", HEARTBEAT, "--dead", f"{int(DEAD * 1000)}ms", "--settle", self.settle,
            *(["--keys", self.keys["server"], "--allow", self.keys["allow"]] if self.keys else [])])
        if not must_be_up or self.disk_fails:
            return
        self.wait_for("the coordinator", lambda: self.is_ready(ready) or self.coord.poll() is not None)
        if self.coord.poll() is not None:
            raise Wrong(f"the coordinator does not start again: exit {self.coord.returncode}: {self.tail('coord.log')}")

    def is_ready(self, path):
        try:
            with open(path) as f:
                self.endpoint = json.load(f)["endpoint"]
            return True
        except (OSError, ValueError, KeyError):
            return False

    def start_worker(self, name):
        prefix = ["nsenter", "-t", str(self.holder.pid), "-n", "--"] if self.holder and name == "w1" else []
        self.workers[name] = self.program(name, [
            self.bin + "/griddle-worker", *self.connection("worker"), "--state", f"{self.dir}/{name}", "--name", name, "--slots", "3",
            "--toolchains", "none", "--grace", "2s"], prefix)

    def tail(self, name):
        with open(os.path.join(self.dir, name), errors="replace") as f:
            return " | ".join(f.read().splitlines()[-4:])

    def wait_for(self, what, fn, limit=LIMIT):
        until = time.monotonic() + limit
        while not fn():
            if time.monotonic() > until:
                raise Wrong(f"{what}: not within {limit} s")
            time.sleep(0.01)

    @staticmethod
    def end(p, sig=signal.SIGKILL, limit=LIMIT):
        if p.poll() is None:
            p.send_signal(signal.SIGCONT)
            p.send_signal(sig)
        try:
            p.wait(limit)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            raise Wrong(f"{p.args[0]} did not end by signal {sig} within {limit} s")

    # ---- network ----
    def make_network(self):
        if not self.has_netns:
            return
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], env=os.environ)
        own = os.readlink("/proc/self/ns/net")
        self.wait_for("a network namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own)
        pid = str(self.holder.pid)
        for words in (["ip", "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", pid],
                      ["ip", "addr", "add", "10.97.0.1/24", "dev", "va"], ["ip", "link", "set", "va", "up"],
                      ["nsenter", "-t", pid, "-n", "ip", "addr", "add", "10.97.0.2/24", "dev", "vb"],
                      ["nsenter", "-t", pid, "-n", "ip", "link", "set", "vb", "up"]):
            subprocess.run(words, check=True)
        os.makedirs(self.dir + "/keys")
        for role in ("server", "client", "worker"):
            subprocess.run([self.bin + "/griddle", "keys", "new", "--keys", f"{self.dir}/keys/{role}"], check=True, stdout=subprocess.DEVNULL, env=self.env)
            self.keys[role] = f"{self.dir}/keys/{role}"
        self.keys["allow"] = self.dir + "/keys/allow"
        for role in ("client", "worker"):
            subprocess.run([self.bin + "/griddle", "keys", "allow", "--allow", self.keys["allow"], "--roles", role, self.public(role), role],
                           check=True, stdout=subprocess.DEVNULL, env=self.env)
        self.keys["public"] = self.public("server")

    def public(self, role):
        with open(f"{self.dir}/keys/{role}") as f:
            return next(x.split()[1] for x in f if x.startswith("public "))

    def link(self, is_up):
        subprocess.run(["ip", "link", "set", "va", "up" if is_up else "down"], check=True)

    def deaf(self, is_deaf):
        """One way alone: the worker hears all, and nothing it says arrives."""
        subprocess.run(["nsenter", "-t", str(self.holder.pid), "-n", "ip", "route", "add" if is_deaf else "del", "blackhole", "10.97.0.1/32"],
                       check=True)

    # ---- jobs ----
    def new_client(self):
        rng, n = self.rng, self.rng.choice((1, 3, 10, 25, 60))
        self.n_jobs += 1
        verb, name = rng.choice(("submit", "map", "map", "detach")), f"j{self.n_jobs}"
        says = "echo o{}" if rng.random() < .8 else "echo o{}; head -c 70000 /dev/zero >&2"      # more than is held in a row: a file
        first = "[ $GRIDDLE_ATTEMPT = 1 ] && exit 3; " if rng.random() < .2 else ""
        script = f"{first}sleep {rng.choice(('0', '0.02', '0.05', '0.2', '0.7'))}; {says}"
        if verb == "map":
            argv = self.griddle("map", "-q", "--name", name, "--env", "FAULT_MARK=" + self.mark, "--retries", "1000", "--", "sh", "-c", script)
            return Client(self, verb, name, n, argv, "".join(f"{i}\n" for i in range(n)))
        path = os.path.join(self.dir, name + ".json")
        is_chain = rng.random() < .3
        common = {"array": n, "env": {"FAULT_MARK": self.mark}, "retry": 1000}      # a worker whose disk fails uses up many
        job = dict(common, command=["sh", "-c", script.replace("{}", "$GRIDDLE_INDEX")])
        if is_chain:               # files that go in, come out and go on
            with open(os.path.join(self.dir, name + ".in"), "w") as f:
                f.write(name * 20000)
            job = {"tasks": [
                dict(common, name="make", command=["sh", "-c", f"cat {name}.in >made; echo $GRIDDLE_INDEX >>made"], inputs=[name + ".in"], outputs=["made"]),
                dict(common, name="take", inputs=[{"from": "make", "output": "made", "each": True}],
                     command=["sh", "-c", f"echo o$(tail -c +{len(name) * 20000 + 1} made)"])]}
        with open(path, "w") as f:
            json.dump(dict(job, name=name), f)
        argv = self.griddle("submit", path, *(["--wait"] if verb == "submit" else []))
        return Client(self, verb, name, 2 * n if is_chain else n, argv, n_lines=n)

    def keep_busy(self):
        while sum(c.p.poll() is None for c in self.clients) < 4:
            self.clients.append(self.new_client())

    def look_at_all(self):
        """Asks the coordinator where a client was killed: not while it cannot answer."""
        for c in list(self.clients):
            self.look_at(c)
        self.clients = [c for c in self.clients if not c.job == "over"]

    def look_at(self, c):
        """A client that is gone: was all as it should be?"""
        if c.p.poll() is None or c.job == "over":
            return
        told = c.number()
        if told is not None:
            self.told[told] = c.n
        if c.was_killed:
            self.attach(c, told)
        elif c.p.returncode != 0:
            # a store that cannot be written refuses new jobs, and says so; files of a job may be the first that cannot be kept
            if c.began_s > self.disk_until_s or not any(x in c.err() for x in ("be stored", "files are not here")):
                raise Wrong(f"{c.verb} {c.name} ended with {c.p.returncode}: {c.err()}")
        elif c.verb in ("map", "follow"):
            self.check_output(c)
        c.job = "over"

    def check_output(self, c):
        got = sorted(x for x in c.out().split("\n") if x.startswith("o"))
        if got != sorted(f"o{i}" for i in range(c.n_lines)):
            raise Wrong(f"{c.verb} {c.name}: {len(got)} lines of output, {len(set(got))} of them different, of {c.n_lines} tasks")

    def attach(self, c, told):
        """Somebody killed it; another carries on by the job's number, which it was told or finds by the name."""
        number = told if told is not None else self.find(c.name)
        if number is None:
            return                # it never got so far
        self.told[number] = c.n
        again = Client(self, "follow", f"{c.name}-again", c.n, self.griddle("job", "logs", str(number), "-f", "--stdout"), n_lines=c.n_lines)
        again.began_s = c.began_s
        self.clients.append(again)

    def jobs(self):
        """What `job ls` tells; None: it got no answer."""
        out = os.path.join(self.dir, "ls")
        open(out, "w").close()
        p = self.spawn(self.griddle("job", "ls", "-o", "json", "--limit", "100000"), out, out + ".err")
        try:
            p.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.end(p)
        if p.returncode != 0:
            return None
        with open(out) as f:
            jobs = json.load(f)
        return jobs["jobs"] if isinstance(jobs, dict) else jobs

    def find(self, name):
        for _ in range(20):
            jobs = self.jobs()
            if jobs is not None:
                return next((int(j["job"]) for j in jobs if j["name"] == name), None)
            time.sleep(0.1)
        raise Wrong("job ls gets no answer")

    def probe(self):
        """The queue goes on: a job of now ends. A store that could not be written is tried again each half second, and says so until then."""
        until = time.monotonic() + 10
        while not self.try_probe(time.monotonic() < until):
            time.sleep(0.1)

    def try_probe(self, may_be_refused):
        self.n_probes += 1
        out, err = self.dir + "/probe.out", self.dir + "/probe.err"
        open(out, "w").close()
        open(err, "w").close()
        p = self.spawn(self.griddle("run", "-q", "--env", "FAULT_MARK=" + self.mark, "--", "echo", f"probe{self.n_probes}"), out, err)
        try:
            p.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.end(p)
            raise Wrong(f"the queue does not go on: a new task was not done within {LIMIT} s")
        with open(out) as f:
            text = f.read()
        if may_be_refused and self.n_disk and p.returncode and "nothing can be stored now" in self.tail("probe.err"):
            return False
        if p.returncode != 0 or text != f"probe{self.n_probes}\n":
            raise Wrong(f"a new task ended with {p.returncode} and {text!r}: {self.tail('probe.err')}")
        return True

    # ---- orphans ----
    def marked(self):
        """pid -> parent of all processes that carry our mark."""
        mark, found = ("FAULT_MARK=" + self.mark).encode(), {}
        self.keepers = {}                                  # pid -> the worker whose groups it removes behind it
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    words = f.read().split(b"\0")
                if mark not in words:
                    continue
                with open(f"/proc/{pid}/stat") as f:
                    head, tail = f.read().rsplit(")", 1)
                found[int(pid)] = int(tail.split()[1])
                if head.endswith("(griddle-keeper"):
                    self.keepers[int(pid)] = next((w.rsplit(b"/", 1)[1].decode() for w in words if w.startswith(b"FAULT_UNDER=")), None)
            except OSError:
                pass
        return found

    def orphans(self):
        alive = {p.pid for p in self.all if p.poll() is None}
        found = self.marked()

        def is_ours(pid):
            while pid in found:
                if pid in alive:
                    return True
                pid = found[pid]
            return False
        left = [pid for pid in found if not is_ours(pid)]
        for name, p in self.workers.items():               # one a living worker is as it should be
            kept = [pid for pid in left if self.keepers.get(pid) == name]
            if p.poll() is None and kept:
                left.remove(kept[0])
        return left

    def no_orphans(self, why):
        try:
            self.wait_for("orphans", lambda: not self.orphans(), 20)
        except Wrong:
            told = []
            for pid in self.orphans():
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    told.append(f"{pid} {f.read().replace(bytes(1), b' ')[:120].decode(errors='replace')}")
            raise Wrong(f"{why}: left over: {told}") from None

    # ---- faults: each is one point; what it returns makes it well again, at the end of the burst ----
    def kill_coordinator(self):
        self.end(self.coord)
        self.start_coordinator(self.rng.random() < .6)       # or the next point meets it while it begins

    def end_coordinator(self):
        self.end(self.coord, signal.SIGTERM)
        self.start_coordinator(self.rng.random() < .6)

    def cut_power(self):
        """kill -9, and what no sync followed is there, torn, or not."""
        self.end(self.coord)
        dirty = self.shared["coord"].take_dirty()
        for file, offset, n in dirty or []:
            path = self.dir + ("/coord/jobs.db" if file == 2 else "/coord/jobs.db-wal")
            kind = self.rng.random()
            if kind < .4 or not os.path.exists(path) or os.path.getsize(path) <= offset:
                continue
            with open(path, "r+b") as f:
                if kind < .6:
                    f.seek(offset)
                    f.write(bytes(n))
                elif kind < .8:                              # sectors of it
                    for at in range(offset, offset + n, 512):
                        if self.rng.random() < .5:
                            f.seek(at)
                            f.write(self.rng.randbytes(min(512, offset + n - at)))
                elif file == 3:
                    f.truncate(max(0, offset + self.rng.randrange(n)))
        if os.path.exists(self.dir + "/coord/jobs.db-shm"):
            os.unlink(self.dir + "/coord/jobs.db-shm")
        self.start_coordinator(True)

    def kill_worker(self):
        name = self.rng.choice(("w1", "w2"))
        self.end(self.workers[name])
        if self.rng.random() < .2:
            self.no_orphans(f"{name} was killed")
            shutil.rmtree(f"{self.dir}/{name}", ignore_errors=True)
        self.start_worker(name)

    def end_worker(self):
        name = self.rng.choice(("w1", "w2"))
        self.end(self.workers[name], signal.SIGTERM)
        self.start_worker(name)

    def kill_client(self):
        c = self.rng.choice(self.clients)
        if c.p.poll() is not None or c.verb == "follow":
            return                                         # too late: no point, but one all the same
        c.was_killed = True
        self.end(c.p)

    def nap(self):
        time.sleep(self.rng.choice((.1, .3, DEAD + .3, DEAD + 1)))

    def stop_worker(self):
        p = self.workers[self.rng.choice(("w1", "w2"))]
        p.send_signal(signal.SIGSTOP)
        self.nap()
        return lambda: p.poll() is None and p.send_signal(signal.SIGCONT)

    def stop_coordinator(self):
        p = self.coord
        p.send_signal(signal.SIGSTOP)
        self.nap()
        return lambda: p.poll() is None and p.send_signal(signal.SIGCONT)

    def partition(self):
        self.link(False)
        self.nap()
        return lambda: self.link(True)

    def half_partition(self):
        self.deaf(True)
        self.nap()
        return lambda: self.deaf(False)

    def jump(self):
        # less than the week for which jobs that are over are kept
        self.wall_ms = self.rng.randrange(-3, 4) * 86400000 if self.rng.random() < .3 else self.wall_ms + self.rng.randrange(-7200, 7200) * 1000
        self.shared["coord"].clock(self.wall_ms)
        if self.rng.random() < .5:
            self.shared[self.rng.choice(("w1", "w2"))].clock(self.rng.randrange(-7200, 7200) * 1000)

    def disk(self):
        self.n_disk += 1
        self.disk_fails, self.disk_until_s = True, time.monotonic() + 1e9
        self.shared["coord"].fail(self.rng.choice((errno.EIO, errno.ENOSPC)), self.rng.choice((1000, 1000, 300, 30)))
        self.nap()

        def well():
            self.shared["coord"].fail(0)
            self.disk_fails, self.disk_until_s = False, time.monotonic() + 5
        return well

    def worker_disk(self):
        name = self.rng.choice(("w1", "w2"))
        self.shared[name].fail(self.rng.choice((errno.EIO, errno.ENOSPC)), self.rng.choice((1000, 300)))
        self.nap()
        return lambda: self.shared[name].fail(0)

    KINDS = {"kill-coordinator": kill_coordinator, "end-coordinator": end_coordinator, "cut-power": cut_power, "kill-worker": kill_worker,
             "end-worker": end_worker, "kill-client": kill_client, "stop-worker": stop_worker, "stop-coordinator": stop_coordinator,
             "partition": partition, "half-partition": half_partition, "jump": jump, "disk": disk, "worker-disk": worker_disk}
    WEIGHT = {"kill-coordinator": 4, "kill-worker": 3, "kill-client": 3, "cut-power": 3}
    WANTS_NETNS = ("partition", "half-partition")

    def burst(self, kinds, count):
        heal, done = {}, []
        for _ in range(count):
            time.sleep(self.rng.random() * .2)
            if self.deck is None:
                self.deck = self.rng.sample(kinds, len(kinds))
            kind = self.deck.pop() if self.deck else self.rng.choices(kinds, [self.WEIGHT.get(k, 1) for k in kinds])[0]
            if kind in heal:
                continue
            self.keep_busy()
            done.append(kind)
            if self.coord.poll() is not None and "disk" not in heal:
                self.check_coordinator_end(done)
            fn = self.KINDS[kind](self)
            if fn:
                heal[kind] = fn
        for fn in heal.values():
            fn()
        if self.coord.poll() is not None:                  # a disk that failed while it began
            if not {"disk"} & set(done):
                self.check_coordinator_end(done)
            self.start_coordinator()
        for name, p in self.workers.items():
            if p.poll() is not None:
                if "worker-disk" not in done:
                    raise Wrong(f"{name} ended with {p.returncode}: {self.tail(name + '.log')}")
                self.start_worker(name)
        self.probe()
        self.look_at_all()
        self.keep_busy()
        self.no_orphans(" ".join(done))
        self.all = [p for p in self.all if p.poll() is None]
        return done

    def check_coordinator_end(self, done):
        raise Wrong(f"the coordinator ended with {self.coord.returncode} by itself behind {done}: {self.tail('coord.log')}")

    def finish(self):
        """Every client comes to its end, the programs too, and the history is looked at."""
        until = time.monotonic() + 2 * LIMIT
        while True:
            self.look_at_all()
            if not self.clients:
                break
            if time.monotonic() > until:
                c = self.clients[0]
                raise Wrong(f"{c.verb} {c.name} is still there: {c.err()}")
            time.sleep(0.02)
        self.wait_for("every job's end", self.is_quiet)
        for p in self.workers.values():
            self.end(p, signal.SIGTERM)
        self.end(self.coord, signal.SIGTERM)
        self.no_orphans("at the end")
        with open(self.dir + "/starts", "w") as f:
            for job, task, ordinal in self.starts():
                f.write(f"{job} {task} {ordinal}\n")
        with open(self.dir + "/told", "w") as f:
            for job, n in self.told.items():
                f.write(f"{job} {n}\n")
        p = subprocess.run([sys.executable, HERE + "/history.py", self.dir + "/history", self.dir + "/coord/jobs.db", "--starts", self.dir + "/starts",
                            "--told", self.dir + "/told"], capture_output=True, text=True)
        if p.returncode:
            raise Wrong(p.stdout + p.stderr)
        return p.stdout.strip()

    def is_quiet(self):
        jobs = self.jobs()
        return jobs is not None and all(j["state"] in ("done", "failed", "cancelled") for j in jobs)

    # ---- single scenes, told in full ----
    def sleepers(self, n):
        """A client that waits for @n commands which run until they are woken."""
        c = Client(self, "map", "sleepers", n, self.griddle("map", "-q", "--name", "sleepers", "--env", "FAULT_MARK=" + self.mark, "--", "sh", "-c",
                                                            "sleep 1000; echo o{}"), "".join(f"{i}\n" for i in range(n)))
        self.clients.append(c)
        self.wait_for("rows of what runs", lambda: self.n_running() == n and len(self.starts()) == n)

    def wake(self):
        for pid in self.marked():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f.read() == b"sleep\x001000\0":
                        os.kill(pid, signal.SIGTERM)       # the shell behind it goes on
            except OSError:
                pass

    def adoption(self):
        """What runs while its coordinator is killed goes on, and is not begun again. Its row is on disk then: what was sent less than
        a moment ago is not known to the next life, and is stopped where it runs."""
        self.sleepers(4)
        self.end(self.coord)
        self.start_coordinator()
        self.wait_for("adoption", lambda: self.n_said("adopted") == 4)
        self.wake()
        told = self.finish()
        if len(self.starts()) != 4:
            raise Wrong(f"{len(self.starts())} commands were executed of 4 tasks")
        return told

    def held_end(self):
        """An end that cannot be written is told to nobody, and as it was once it can be."""
        out = [os.path.join(self.dir, "live." + x) for x in ("out", "err")]
        self.sleepers(1)
        live = self.spawn(self.griddle("job", "logs", "1", "0", "-f"), *out)
        self.shared["coord"].fail(errno.EIO)
        self.wake()
        self.wait_for("the end", lambda: self.n_said("done") == 1)
        n = self.shared["coord"].failed()
        self.wait_for("the store's tries", lambda: self.shared["coord"].failed() >= n + 4)
        if self.clients[0].p.poll() is not None or live.poll() is not None:
            raise Wrong("a client was told of an end that is not on disk: " + self.tail("live.err") + self.clients[0].err())
        self.shared["coord"].fail(0)
        if live.wait(LIMIT) != 0:
            raise Wrong(f"who follows the log ended with {live.returncode}: {self.tail('live.err')}")
        return self.finish()

    SCENES = {"adoption": adoption, "held-end": held_end}

    def starts(self):
        return self.shared["w1"].starts() + self.shared["w2"].starts()

    def n_running(self):
        db = sqlite3.connect(f"file:{self.dir}/coord/jobs.db?mode=ro", uri=True)
        try:
            return db.execute("SELECT count(*) FROM attempts WHERE end_ms IS NULL").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
        finally:
            db.close()

    def n_said(self, what):
        with open(self.dir + "/history") as f:
            return sum(line.split(" ")[1] == what for line in f)

    def close(self):
        for p in self.all + [x for x in (self.holder,) if x]:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.kill()
        for p in self.all + [x for x in (self.holder,) if x]:
            p.wait()
        if self.has_netns:
            subprocess.run(["ip", "link", "del", "va"], stderr=subprocess.DEVNULL)
        for pid in self.marked():                          # what should have gone by itself
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


def can_netns():
    if os.geteuid() != 0:
        return "a partition wants root"
    if not shutil.which("ip") or not shutil.which("nsenter"):
        return "a partition wants iproute2 and nsenter"
    p = subprocess.run(["unshare", "-n", "sh", "-c", "ip link add va type veth peer name vb"], capture_output=True, text=True)
    return None if p.returncode == 0 else "a partition wants network namespaces: " + p.stderr.strip()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("bin"), p.add_argument("dir"), p.add_argument("preload")
    p.add_argument("--points", type=int, default=60), p.add_argument("--chapter", type=int, default=30)
    p.add_argument("--seed", type=int, default=None), p.add_argument("--kinds", default=""), p.add_argument("--keep", action="store_true")
    p.add_argument("--until", type=float, default=0)
    p.add_argument("--scene", choices=World.SCENES)
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))        # what was started is ended
    why_not = can_netns()
    if not why_not and not os.environ.get("FAULTS_IN_NS"):
        os.environ["FAULTS_IN_NS"] = "1"                   # addresses and links of our own
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv, *(["--seed", str(random.randrange(1 << 31))] if args.seed is None else [])])
    if not why_not:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    seed = args.seed if args.seed is not None else random.randrange(1 << 31)
    kinds = [k for k in World.KINDS if (not args.kinds or k in args.kinds.split(",")) and not (why_not and k in World.WANTS_NETNS)]
    print(f"seed {seed}" + (f"; no partitions: {why_not}" if why_not else ""), flush=True)
    counts, n, chapter, n_bad, n_failed = {k: 0 for k in kinds}, 0, 0, 0, 0
    begin = time.monotonic()
    while n < args.points and not (args.until and time.time() > args.until):
        folder = os.path.join(args.dir, f"c{chapter}")
        os.makedirs(folder)
        w = World(args, random.Random(f"{seed}/{chapter}"), folder, not why_not)
        try:
            m = 0
            w.make_network()
            if args.scene:
                w.settle = "60s"
            w.start_coordinator()
            w.start_worker("w1")
            w.start_worker("w2")
            if args.scene:
                print(f"{args.scene}: {w.SCENES[args.scene](w)}")
                return 0
            w.keep_busy()
            while m < min(args.chapter, args.points - n):
                for kind in w.burst(kinds, min(w.rng.randint(1, 4), args.points - n - m)):
                    counts[kind] += 1
                    m += 1
            told = w.finish()
            print(f"chapter {chapter}: {m} points; {told}", flush=True)
            is_well = True
        except Wrong as e:
            n_bad += 1
            is_well = False
            print(f"WRONG: seed {seed} chapter {chapter} in {folder}: {e}", flush=True)
        finally:
            w.close()
        n_failed += sum(x.failed() for x in w.shared.values())
        n += m
        chapter += 1
        if is_well and not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
        if n_bad >= 10 or args.scene:
            break
    print(f"{n} points in {time.monotonic() - begin:.0f} s: " + ", ".join(f"{k} {c}" for k, c in counts.items()) + f"; {n_failed} calls were made to fail")
    return 1 if n_bad else 0


sys.exit(main())
