#!/bin/bash
# 14-make.t - griddle make on a small project: same bytes, exit codes, summary, job server, interrupt
. "$(dirname "$0")/cluster.sh"
unset GRIDDLE_SOCKET MAKEFLAGS MFLAGS MAKELEVEL CC CXX HOSTCC
G=$BIN/griddle
down() { "$G" down >/dev/null 2>&1; cl_cleanup; }
trap down EXIT
"$G" up --workers 2 --slots 2 >"$T/out" 2>&1 || { diag <"$T/out"; echo "Bail out! no cluster"; exit 1; }

P=$T/project; mkdir -p "$P/include"
cat >"$P/Makefile" <<'MK'
CFLAGS = -O2 -Wall -Iinclude -MD
SRCS := $(wildcard *.c)
prog: $(SRCS:.c=.o)
	$(CC) -o $@ $^
%.o: %.c
	$(CC) $(CFLAGS) -c -o $@ $<
env:
	@echo "$(CC)|$(CXX)|$(HOSTCC)|$$GRIDDLE_BUILD|$$GRIDDLE_SOCKET"
fail:
	@exit 7
hold:
	@touch held; sleep 1000
stubborn:
	@sh -c 'trap "" INT TERM; : stubborn-mark $(CURDIR); touch stub; while :; do sleep 0.2; done' & wait
clean:
	rm -f *.o *.d prog
MK
echo '#define N 3' >"$P/include/n.h"
for i in $(seq 1 24); do printf '#include <stdio.h>\n#include "n.h"\nint f%d(int a) { return a * N + %d; }\n' $i $i >"$P/f$i.c"; done
printf 'int f7(int);\nint main(void) { return f7(1) != 10; }\n' >"$P/main.c"
hashes() { (cd "$P" && sha256sum ./*.o ./*.d prog); }
number() { sed -n 's/^  "'"$1"'": *\([0-9a-z]*\).*/\1/p' "$T/s.json" | head -n 1; }
mk() { "$G" make "$@" >"$T/out" 2>"$T/err"; rc=$?; }

make -s -C "$P" >/dev/null && hashes >"$T/plain"; make -s -C "$P" clean >/dev/null
mk --remote always --summary-json "$T/s.json" -C "$P"; check "griddle make builds" [ $rc = 0 ]; [ $rc = 0 ] || diag <"$T/err"
hashes >"$T/ours"; check "objects, dependency files and program are the same bytes" cmp -s "$T/plain" "$T/ours"
check "every compile went remote" [ "$(number remote)" = 25 ]; diag <"$T/err"
check "no unit stayed" [ "$(number local)" = 0 ]
check "the link is counted as another call, with its reason" grep -qE '^ +1  other call  link$' "$T/err"
check "the summary says how many" grep -q '25 remote, 0 cached' "$T/err"
check "make's own output is on stdout alone" [ "$(grep -c griddle-cc "$T/out")" = 26 ]
check "bytes and CPU are counted" [ "$(number bytes_sent)" -gt 100 -a "$(number wall_ms)" -gt 0 -a "$(number make_cpu_ms)" -gt 0 ]
make -s -C "$P" clean >/dev/null
mk --remote always --summary-json "$T/s.json" -C "$P"; hashes >"$T/ours"
check "again: all from the cache" [ "$(number cached)" = 25 ]
check "with the same bytes" cmp -s "$T/plain" "$T/ours"
make -s -C "$P" clean >/dev/null
mk --remote always --no-cache --summary-json "$T/s.json" -j 4 -C "$P"; check "--no-cache compiles anew" [ "$(number remote)" = 25 ]
make -s -C "$P" clean >/dev/null
mk --remote never --no-cache --summary-json "$T/s.json" -C "$P"; check "--remote never compiles here" [ "$(number remote)" = 0 ]
hashes >"$T/ours"; check "with the same bytes again" cmp -s "$T/plain" "$T/ours"

# what the wrapper keeps by itself: units and other calls, each with its reason
Q=$T/here; mkdir -p "$Q"
for n in a b c d; do echo "int $n;" >"$Q/$n.c"; done; echo 'int main(void) { return 0; }' >"$Q/one.c"
cat >"$Q/Makefile" <<'MK'
all:
	$(CC) -c a.c b.c
	$(CC) -c -x c - -o s.o < a.c
	$(CC) -march=native -c c.c
	$(CC) one.c -o one
	$(CC) -c d.c
	$(CC) -S c.c -o c.s && $(CC) -S c.c -o - >c2.s
	$(CC) -E c.c >c.i
	$(CC) -M c.c >c.d
	$(CC) -c -x c /dev/null -o p.o
	$(CC) -o conftest.o -c conftest.c 2>/dev/null || true
	$(CC) --version >v
	$(CC) -shared -o x.so a.o b.o
MK
mk --remote always --summary-json "$T/s.json" -C "$Q"; check "a project of calls that stay here builds" [ $rc = 0 ]
row() { grep -qE "^ +$1  $2 +$3\$" "$T/err"; }
check "several sources, -march=native and compile-and-link are units here" eval 'row 1 unit "several sources" && row 1 unit "-march=native" && row 1 unit "compile and link in one call"'
check "stdin, -S, -E, -M, probes, --version and links are other calls" eval 'row 1 "other call" stdin && row 2 "other call" -S && row 1 "other call" -E && row 1 "other call" -M && row 1 "other call" "source is a device" && row 1 "other call" "configure probe" && row 1 "other call" --version && row 1 "other call" link'
check "the counts agree" [ "$(number remote) $(number local) $(number other)" = "1 3 9" ]; diag <"$T/err"
check "the JSON names the sources" eval "grep -q '\"source\": \"b.c\"' '$T/s.json' && grep -q '\"other_reasons\"' '$T/s.json'"
check "no file of counts is left" [ -z "$(ls "$GRIDDLE_RUNTIME_DIR" | grep '\.calls$')" ]

mk -s -C "$P" env; check "CC and CXX are wrapped, HOSTCC is not, the build has an id" grep -qE '^[^ |]*griddle-cc gcc\|[^ |]*griddle-cc g\+\+\|\|make-[0-9]+-[0-9a-f]+\|.*/rt/agent.sock$' "$T/out"
mk -s -C "$P" env CC=clang; check "CC= on the command line is wrapped" grep -q 'griddle-cc clang|' "$T/out"
mk -C "$P" fail; check "make's exit code is passed on" [ $rc = 2 ]
mk --no-summary -C "$P" prog; check "--no-summary is quiet" [ ! -s "$T/err" ]
echo 'int broken' >"$P/broken.c"
make -s -C "$P" >/dev/null 2>"$T/plain.err"; "$G" make --no-summary --remote always -s -C "$P" >/dev/null 2>"$T/our.err"; rc=$?
check "a broken file: the same exit code" [ $rc = 2 ]
check "and the same messages" cmp -s <(grep -v '^make' "$T/plain.err") <(grep -v '^make' "$T/our.err"); diff "$T/plain.err" "$T/our.err" | head | diag
check "and no object" [ ! -e "$P/broken.o" ]
mk -k -C "$P"; rm -f "$P/broken.c"
mk -j0 -C "$P"; check "-j 0 is refused" [ $rc = 2 ]
mk --keep-going; check "make's long options go behind --" grep -q 'behind --' "$T/err"
mk -- --version; check "and reach make there" grep -q '^GNU Make' "$T/out"

"$G" make -C "$P" hold >"$T/out" 2>"$T/err" & pid=$!
wait_for 20 test -e "$P/held"; held=$(ps -o pid= -C sleep --ppid "$(ps -o pid= --ppid $pid | head -n 1 | tr -d ' ')" 2>/dev/null | head -n 1)
kill -INT $pid; wait $pid; check "an interrupt: exit 8" [ $? = 8 ]
check "and nothing of make is left" [ -z "$(ps -eo args | grep -F "$P hold" | grep -v grep)" ]
"$G" status -o json | python3 -c 'import json,sys; d=json.load(sys.stdin); assert not d["agent"]["builds"], d["agent"]["builds"]'; check "and the agent has forgotten the build" [ $? = 0 ]

"$G" make -C "$P" stubborn >"$T/out" 2>"$T/err" & pid=$!
wait_for 20 test -e "$P/stub"
kill -INT $pid; wait $pid; check "an interrupt that a command does not listen to: exit 8 all the same" [ $? = 8 ]
check "and that command is gone too, at once" [ -z "$(ps -eo args | grep -F "stubborn-mark $P;" | grep -v grep)" ]

make -s -C "$P" clean >/dev/null
(cd "$P" && GRIDDLE_RUNTIME_DIR=$T/rt make -s CC="$BIN/griddle-cc gcc" -j4 >/dev/null 2>&1) && hashes >"$T/ours"; check "plain make with CC=griddle-cc goes through the agent too" cmp -s "$T/plain" "$T/ours"
"$G" down >/dev/null 2>&1
make -s -C "$P" clean >/dev/null; (cd "$P" && make -s CC="$BIN/griddle-cc gcc" >/dev/null 2>&1) && hashes >"$T/ours"; check "and without an agent" cmp -s "$T/plain" "$T/ours"
"$G" down >/dev/null 2>&1
check "no sanitizer has anything to say" [ -z "$(grep -lE 'ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer' -r "$T/state" --include='*.log')" ]
done_testing
