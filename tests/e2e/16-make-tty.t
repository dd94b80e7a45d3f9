#!/bin/sh
# 16-make-tty.t - griddle make on a terminal: make has it, the line stays in the last row, Ctrl-C and Ctrl-Z reach make
. "$(dirname "$0")/cluster.sh"
unset GRIDDLE_SOCKET MAKEFLAGS MFLAGS MAKELEVEL
G=$BIN/griddle
down() { "$G" down >/dev/null 2>&1; cl_cleanup; }
trap down EXIT
"$G" up >"$T/out" 2>&1 || { diag <"$T/out"; echo "Bail out! no cluster"; exit 1; }
cat >"$T/Makefile" <<'MK'
quick:
	@test -t 0 && test -t 2 && echo has-a-terminal; while [ ! -e go ]; do sleep 0.1; done; echo end
hold:
	@echo holding; exec sleep 1000
MK
cat >"$T/on_terminal.py" <<'PY'
"""on_terminal.py FOLDER GRIDDLE: run griddle make on a pseudo-terminal, act on what it prints, print TAP lines"""
import fcntl, os, pty, select, signal, struct, sys, termios, time
folder, griddle = sys.argv[1:]
n = 0
def check(what, good, out=b""):
    global n
    n += 1
    print(("ok" if good else "not ok") + " %d - %s" % (n, what), flush=True)
    if not good: print("# " + repr(out[-600:]), flush=True)
class Run:
    def __init__(self, target):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(griddle, ["griddle", "make", "-C", folder, target])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self.out = b""
    def until(self, good, limit=60):
        end = time.monotonic() + limit
        while time.monotonic() < end and not good(self.out):
            if select.select([self.fd], [], [], 0.1)[0]:
                try: d = os.read(self.fd, 65536)
                except OSError: break
                if not d: break
                self.out += d
        return good(self.out)
    def end(self):
        self.until(lambda out: False, 60)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
r = Run("quick")
check("make has the terminal", r.until(lambda o: b"has-a-terminal" in o), r.out)
check("a line in the last row", r.until(lambda o: b"\x1b[24;1H\x1b[2Kgriddle: " in o), r.out)
check("which says how the cluster is", r.until(lambda o: b"1 worker, " in o), r.out)
open(folder + "/go", "w").close()
check("the exit code", r.end() == 0, r.out)
check("the scrolling region is given back", r.out.rfind(b"\x1b[r") > r.out.rfind(b"\x1b[1;23r"), r.out)
check("and the summary comes behind it", r.out.rfind(b"griddle: wall") > r.out.rfind(b"\x1b[r"), r.out)
r = Run("hold")
r.until(lambda o: b"holding" in o)
os.write(r.fd, b"\x1a")
def state():
    return open("/proc/%d/stat" % r.pid).read().rsplit(")", 1)[1].split()[0]
end = time.monotonic() + 60
while state() != "T" and time.monotonic() < end: time.sleep(0.05)
check("Ctrl-Z stops both", state() == "T", r.out)
os.kill(r.pid, signal.SIGCONT)
end = time.monotonic() + 60
while os.tcgetpgrp(r.fd) == r.pid and time.monotonic() < end: time.sleep(0.05)
check("and make gets the terminal back", os.tcgetpgrp(r.fd) != r.pid, r.out)
os.write(r.fd, b"\x03")
check("Ctrl-C: exit 8", r.end() == 8, r.out)
# GNU make 4.3's own words, the second when its handler has lost the child (plain make does the same)
check("make said so itself", b"Interrupt" in r.out or b"wait: No child processes" in r.out, r.out)
print("1..%d" % n)
PY
python3 "$T/on_terminal.py" "$T" "$G"
