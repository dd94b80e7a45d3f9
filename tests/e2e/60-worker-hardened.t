#!/bin/bash
# the worker as it runs in a restricted pod: uid 65532, no capability, no new privileges, a read-only root; and what its
# compilers inherit: nothing
. "$(dirname "$0")/cluster.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root to build the restricted surroundings"
unshare -m true 2>/dev/null || skip_all "mount namespaces are not allowed here"
command -v setpriv >/dev/null || skip_all "setpriv (util-linux) is missing"

cl_coordinator
mkdir -p "$T/w1" "$T/src"; chown 65532:65532 "$T/w1"; install -m 755 "$BIN/griddle-worker" "$T"   # the checkout may lie below /root
cat > "$T/restricted" <<EOF
#!/bin/sh
# / and the test folder (its own mount when /tmp is one) become read-only for this process tree; only the state folder stays writable
mount --make-rprivate / && mount --bind "$T" "$T" && mount --bind "$T/w1" "$T/w1" && mount -o remount,bind,ro "$T" && mount -o remount,bind,ro / || exit 9
if touch "$T/should-fail" 2>/dev/null; then echo "the root is still writable" >&2; exit 9; fi
exec setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set -all --inh-caps -all --no-new-privs \\
	env -u HOME "$T/griddle-worker" --coordinator "$ENDPOINT" --state "$T/w1" --name w1 --slots 2 --ready-file "$T/w1/ready.json"
EOF
chmod 755 "$T/restricted"
unshare -m "$T/restricted" >"$T/w1.log" 2>&1 &
W=$!; CL_PIDS="$CL_PIDS $W"
check "a worker without privileges on a read-only root starts" wait_for 20 test -s "$T/w1/ready.json"
diag < "$T/w1.log"
check "its uid is 65532" grep -q '^Uid:.65532.65532.65532.65532' "/proc/$W/status"
check "it has no capability, effective, permitted or bounding" [ "$(grep -cE '^Cap(Eff|Prm|Bnd):.0+$' "/proc/$W/status")" = 3 ]
check "it cannot gain privileges" grep -q '^NoNewPrivs:.1' "/proc/$W/status"

cl_agent
cat > "$T/src/a.c" <<'EOF'
#include <stdio.h>
int main(void) { return printf("%d\n", 42) < 0; }
EOF
cd "$T/src" || exit 1
gcc -O2 -g -c -o plain.o a.c && mv plain.o ../plain.o
gcc -O2 -g -c -o a.o a.c && mv a.o ../plain.o
check "it compiles" "$BIN/griddle-cc" gcc -O2 -g -c -o a.o a.c
check "the object is the plain one" cmp -s a.o ../plain.o
check "and it was compiled there" wait_for 5 sh -c "'$BIN/griddle' agent --status --socket '$GRIDDLE_SOCKET' | grep -q '\"remote\": *1'"

# A unit that takes a while, so that its processes can be looked at.
{ for i in $(seq 1 6000); do echo "int f$i(int a, int b) { int s = 0; for (int i = a; i < b; i++) s += i * $i ^ (s >> 3); return s; }"; done; } > slow.c
"$BIN/griddle-cc" gcc -O2 -c -o slow.o slow.c & CC_PID=$!
below() { for p in /proc/[0-9]*; do [ "$(sed -n 's/^NSpid:.*//; s/^PPid:\t//p' "$p/status" 2>/dev/null)" = "$1" ] && { echo "${p#/proc/}"; below "${p#/proc/}"; }; done; }
running() { COMPILERS=; for p in $(below "$W"); do case $(cat "/proc/$p/comm" 2>/dev/null) in cc1*|gcc*|as) COMPILERS="$COMPILERS $p" ;; esac; done; [ -n "$COMPILERS" ] && echo "$COMPILERS" | grep -q ' .* '; }
check "a compiler process is seen on the worker" wait_for 20 running
running; bad=; n=0
for p in $COMPILERS; do
	n=$((n + 1))
	for f in /proc/$p/fd/*; do
		l=$(readlink "$f" 2>/dev/null) || continue
		case $l in socket:*|anon_inode:*|*.lock|*.db|*/cas/*) bad="$bad $p:${f##*/}=$l" ;; esac
	done
	grep -q "^Uid:.65532" "/proc/$p/status" 2>/dev/null || [ ! -d "/proc/$p" ] || bad="$bad $p:uid"
	grep -qE '^Seccomp:.2' "/proc/$p/status" 2>/dev/null || [ ! -d "/proc/$p" ] || bad="$bad $p:no-seccomp"
	grep -qE '^CapEff:.0+$' "/proc/$p/status" 2>/dev/null || [ ! -d "/proc/$p" ] || bad="$bad $p:caps"
	grep -q " $p " /proc/locks && bad="$bad $p:lock"
done
check "$n compiler processes inherited no socket, event descriptor or lock, and are confined" [ -z "$bad" ]
[ -z "$bad" ] || echo "$bad" | diag
wait $CC_PID; rc=$?
check "the slow unit compiles" [ $rc = 0 ]

# The same by what the kernel is asked: every system call about descriptors, from the spawner's fork to the compiler's end.
if command -v strace >/dev/null; then
	attach=; for p in $(below "$W"); do attach="$attach -p $p"; done
	strace -ff -yy -qq -s 120 -e trace=execve,close_range,desc,network -o "$T/strace.log" $attach -p "$W" >"$T/strace.err" 2>&1 & STRACE=$!; CL_PIDS="$CL_PIDS $STRACE"
	wait_for 20 sh -c "grep -q '^TracerPid:.$STRACE\$' /proc/$W/status"
	"$BIN/griddle-cc" gcc -O1 -g -c -o traced.o a.c; rc=$?
	kill "$STRACE"; wait "$STRACE" 2>/dev/null
	check "a unit compiles under strace" [ $rc = 0 ]
	cat >"$T/traced.py" <<'PY'
import glob, re, sys
COMPILER = re.compile(r'execve\("[^"]*/(gcc|cc1|as|x86_64-linux-gnu-(gcc|as))[^/"]*", .* = 0$')
execs, first_open, bad, closed = {}, {}, [], set()
lines = ((name.rsplit(".", 1)[1], line.strip()) for name in glob.glob(sys.argv[1] + ".[0-9]*") for line in open(name, errors="replace"))
for pid, text in lines:
    if text.startswith("close_range(3, ") and text.endswith("= 0"):
        closed.add(pid)
    if COMPILER.search(text):
        execs[pid] = text.split('"')[1]
        first_open.pop(pid, None)
        continue
    if pid not in execs:
        continue
    if re.search(r"<(socket|TCP|UDP|UNIX|NETLINK|anon_inode)|^(socket|connect|flock)\(|F_(OFD_)?SETLKW?\b|/cas/|\.lock>", text):
        bad.append(f"{pid} {execs[pid]}: {text}")
    m = re.match(r"open(at)?\(.* = (\d+)<", text)
    if m and pid not in first_open:
        first_open[pid] = int(m.group(2))
names = {n.rsplit("/", 1)[1].split("-")[-1] if n.endswith("as") else n.rsplit("/", 1)[1] for n in execs.values()}
assert len(execs) >= 3 and any("cc1" in n for n in names) and "as" in names, execs
assert any(p in closed for p in execs), "nobody closed what it inherited"
assert first_open and set(first_open.values()) == {3}, first_open      # the lowest free number: 0 to 2 is all there was
assert not bad, "\n".join(bad)
print("# traced:", len(execs), "programs,", ", ".join(sorted(names)))
PY
	check "strace sees no inherited socket and no lock in gcc, cc1 and as" python3 "$T/traced.py" "$T/strace.log"
else
	N_TEST=$((N_TEST + 1)); echo "ok $N_TEST - strace sees no inherited socket or lock # SKIP strace is not installed"
fi
cd /
done_testing
