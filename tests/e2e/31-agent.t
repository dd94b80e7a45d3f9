#!/bin/sh
# 31-agent - the agent beside a build: what goes away, what stays and why, files that change, ends of all kinds
. "$(dirname "$0")/cluster.sh"
CC=$BIN/griddle-cc
mkdir "$T/p"; cd "$T/p" || exit 1
status() { "$BIN/griddle" agent --status --socket "$GRIDDLE_SOCKET"; }
units() { status | awk -F'[:,]' '/"units"/ { u = 1 } u && /"'"$1"'"/ { print $2 + 0; exit }'; }
verbose() { GRIDDLE_VERBOSE=1 "$CC" "$@" 2>&1; }
same() { gcc "$@" -o plain.o && "$CC" gcc "$@" -o ours.o && cmp plain.o ours.o; }
stop_agent() { kill -TERM "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null; }
echo 'int f(void) { return 1; }' > a.c

# ---- without a coordinator
ENDPOINT=tcp://127.0.0.1:9 cl_agent --reconnect-wait 1s
check 'no coordinator: compiled here, with the reason' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -c a.c 2>&1 | grep -q 'run here: coordinator tcp://127.0.0.1:9'"
check 'status says it is not connected, and why' sh -c "'$BIN/griddle' agent --status | grep -q '\"connected\": false' && '$BIN/griddle' agent --status | grep -q '\"why\": \"coordinator'"
"$BIN/griddle" agent --socket "$GRIDDLE_SOCKET" --coordinator "" >second.log 2>&1; rc=$?
check 'a second agent at the same socket says so and ends' sh -c "[ $rc = 36 ] || [ $rc = 1 ] && grep -q 'another agent listens' second.log"
"$BIN/griddle" agent --stop
check 'agent --stop ends it and removes the socket' wait_for 10 sh -c "! kill -0 $AGENT_PID 2>/dev/null && ! [ -e $GRIDDLE_SOCKET ]"
check 'status without an agent: 32 and a message' sh -c "'$BIN/griddle' agent --status >out 2>&1; [ \$? = 32 ] && grep -q 'no agent at' out"

# ---- with a cluster
unset ENDPOINT
cl_coordinator; cl_worker w1
cl_agent --cache-bytes 0
check 'a compile goes to the worker' wait_for 30 sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -c a.c 2>&1 | grep -q remote"
printf '#!/bin/sh\nexec gcc "$@"\n' > mycc; chmod +x mycc
check 'a compiler that is a script: here, with the reason' sh -c "GRIDDLE_VERBOSE=1 '$CC' ./mycc -c a.c 2>&1 | grep -q 'run here: compiler not known'"
check 'a flag that only this machine can answer: here, with the reason' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -march=native -c a.c 2>&1 | grep -q 'run here: .*march=native'"

# ---- files that change
mkdir i1 i2
echo '#include <h.h>
int v = H;' > u.c
echo '#define H 1' > i2/h.h
check 'a header is found on the second folder' same -Ii1 -Ii2 -c u.c
echo '#define H 2' > i2/h.h
check 'a changed header is seen' same -Ii1 -Ii2 -c u.c
echo '#define H 3' > i1/h.h
check 'a header that appears earlier on the path is seen' same -Ii1 -Ii2 -c u.c
rm i1/h.h
check 'a header that goes away is seen' same -Ii1 -Ii2 -c u.c
mv i2/h.h i2/real.h; ln -s real.h i2/h.h
check 'a header that becomes a link is seen' same -Ii1 -Ii2 -c u.c
echo '#define H 4' > i2/other.h; ln -sfn other.h i2/h.h
check 'a link that points elsewhere is seen' same -Ii1 -Ii2 -c u.c
echo '#define H 5' > i2/other.h.new; mv i2/other.h.new i2/other.h
check 'a header replaced by rename is seen' same -Ii1 -Ii2 -c u.c
mv i2 i3; mkdir i2; echo '#define H 6' > i2/h.h
check 'a folder replaced by another is seen' same -Ii1 -Ii2 -c u.c
rm -r i1; ln -s i3 i1
check 'a folder that becomes a link is seen' same -Ii1 -Ii2 -c u.c
touch -d '2020-01-01' keep.h; printf '#include "keep.h"\nint k = K;\n' > k.c
printf '#define K 1\n' > keep.h; touch -d '2020-01-01' keep.h; same -c k.c >/dev/null
printf '#define K 2\n' > keep.h; touch -d '2020-01-01' keep.h
check 'a header with the same size and time but other bytes is seen' same -c k.c
# an include that only the compiler's -M can tell: what is looked for is not known, and must be true all the same
mkdir c1 c2; r=$(units remote)
cat > c.c <<'X'
#define STR2(x) #x
#define STR(x) STR2(x)
#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)
#include STR(CAT(sub/h, __SIZEOF_POINTER__).h)
int c = C;
X
mkdir c1/sub c2/sub; echo '#define C 1' > c2/sub/h8.h
check 'an include that needs the preprocessor is found' same -Ic1 -Ic2 -c c.c
echo '#define C 2' > c2/sub/h8.h
check 'its file changes' same -Ic1 -Ic2 -c c.c
echo '#define C 3' > c1/sub/h8.h
check 'one appears earlier on the path' same -Ic1 -Ic2 -c c.c
rm c1/sub/h8.h
check 'and goes away again' same -Ic1 -Ic2 -c c.c
mv c1/sub c3; ln -s ../c3 c1/sub; echo '#define C 4' > c3/h8.h
check 'one lies behind a link' same -Ic1 -Ic2 -c c.c
rm c1/sub; mkdir c1/sub
check 'and the link becomes a folder' same -Ic1 -Ic2 -c c.c
n=0; i=0
while [ $i -lt 10 ]; do echo "#define C 1$i" > c2/sub/h8.h; same -Ic1 -Ic2 -c c.c || n=$((n + 1)); i=$((i + 1)); done
check "ten times generated and compiled at once: always the new text ($n stale)" [ $n = 0 ]
check 'all of these went to the worker' [ "$(units remote)" = $((r + 16)) ]
n=0; i=0
while [ $i -lt 60 ]; do
	echo "#define H $i" > i2/h.h; echo "int n$i = $i;" > gen.h; printf '#include <h.h>\n#include "gen.h"\nint v = H;\n' > g.c
	rm -f i1; same -Ii2 -c g.c || n=$((n + 1)); i=$((i + 1))
done
check "sixty times generated and compiled at once: always the new text ($n stale)" [ $n = 0 ]
check 'all of these went to the worker' [ "$(units remote)" -ge 70 ]

# ---- many at once
i=0; while [ $i -lt 40 ]; do printf '#include <stdio.h>\nint f%d(void) { return puts("%d"); }\n' $i $i > m$i.c; i=$((i + 1)); done
cat > Makefile <<'X'
all: $(patsubst %.c,%.o,$(wildcard m*.c))
%.o: %.c; $(W) gcc -g -O2 -c $< -o $@
X
make -s -j16 W="$CC" >/dev/null 2>make.err; rc=$?
mkdir ours; mv m*.o ours; make -s -j2 W= >/dev/null 2>&1
check 'forty compiles at -j16: all the same bytes' sh -c "[ $rc = 0 ] && ! [ -s make.err ] && for o in m*.o; do cmp \$o ours/\$o || exit 1; done"

# ---- wrappers that die
SLOW=slow-$$        # its compilers are searched by it, and others may run this test beside us
cat > $SLOW.c <<'X'
#define A(n) int f##n(int x) { switch (x) { case 1: return x * n; case 2: return x / (n + 1); } return n; }
#define B(n) A(n##0) A(n##1) A(n##2) A(n##3) A(n##4) A(n##5) A(n##6) A(n##7) A(n##8) A(n##9)
#define C(n) B(n##0) B(n##1) B(n##2) B(n##3) B(n##4) B(n##5) B(n##6) B(n##7) B(n##8) B(n##9)
#define D(n) C(n##0) C(n##1) C(n##2) C(n##3) C(n##4)
D(1)
X
in_flight() { status | awk -F'[:,]' '/"in_flight"/ { print $2 + 0; exit }'; }
"$CC" gcc -O2 -c $SLOW.c & p=$!
check 'a long compile is in flight' wait_for 20 sh -c "'$BIN/griddle' agent --status | grep -q '\"in_flight\": 1'"
kill -INT $p 2>/dev/null; kill -KILL $p; wait $p 2>/dev/null
check 'its wrapper killed: it is not in flight any more' wait_for 20 sh -c "'$BIN/griddle' agent --status | grep -q '\"in_flight\": 0'"
check 'and no compiler is left on the worker' wait_for 20 sh -c "! ps -eo args | grep -v grep | grep -q 'cc1.*$SLOW\.c'"
check 'nothing was written' [ ! -e $SLOW.o ]
"$CC" gcc -O2 -c $SLOW.c -o s1.o & p=$!
wait_for 20 sh -c "'$BIN/griddle' agent --status | grep -q '\"in_flight\": 1'"
stop_agent
wait $p; rc=$?
gcc -O2 -c $SLOW.c -o s2.o
check 'the agent ends in the middle of a compile: it is done here' sh -c "[ $rc = 0 ] && cmp s1.o s2.o"

# ---- large and packed files, a file that changes while it is away
cl_agent --cache-bytes 0 --compress always
awk 'BEGIN { for (i = 0; i < 60000; i++) printf "/* line %d of a long header, 64 bytes or so, nothing to compile */\n", i; print "#define BIG 1" }' > big.h
printf '#include "big.h"\nint big = BIG;\n' > big.c
r=$(units remote)
check 'a header of four megabytes goes there, packed' same -c big.c
: > empty.h; printf '#include "empty.h"\nint e;\n' > e.c
check 'an empty header goes there' same -c e.c
check 'both were compiled there' [ "$(units remote)" = $((r + 2)) ]
printf '#define M 1\n' > moving.h; printf '#include "moving.h"\nint m = M;\n' > moving.c
kill -STOP "$COORD_PID"
"$CC" gcc -c moving.c -o ours.o & p=$!
wait_for 20 sh -c "'$BIN/griddle' agent --status | grep -q '\"in_flight\": 1'"
printf '#define M 2\n' > moving.h
kill -CONT "$COORD_PID"; wait $p; gcc -c moving.c -o plain.o
check 'a header that changes between its digest and its journey: what is there is compiled' cmp ours.o plain.o
stop_agent

# ---- policies
cl_agent --cache-bytes 0 --remote never
check '--remote never' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -c a.c 2>&1 | grep -q 'run here: --remote never'"
stop_agent
cl_agent --cache-bytes 0 --remote auto --local-slots 8
check '--remote auto keeps a single compile here' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -c a.c 2>&1 | grep -q 'run here: few compiles in flight'"
rm -f m*.o; make -s -j32 W="$CC" >/dev/null 2>&1
check '--remote auto sends most of many' [ "$(units remote)" -ge 20 ]
stop_agent

# ---- the cache
cl_agent --cache-bytes 100M
same -MMD -c u.c -Ii2; rm -f ours.o u.d
check 'the same again comes from the cache' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -MMD -c u.c -Ii2 -o ours.o 2>&1 | grep -q cached && cmp ours.o plain.o"
stop_agent; cl_agent --cache-bytes 100M; rm -f ours.o
check 'also after the agent was started anew' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -MMD -c u.c -Ii2 -o ours.o 2>&1 | grep -q cached && cmp ours.o plain.o"
echo '#define H 77' > i2/h.h
check 'a changed header is no hit' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -MMD -c u.c -Ii2 -o ours.o 2>&1 | grep -q remote && gcc -c u.c -Ii2 -o plain.o && cmp ours.o plain.o"
mkdir -p i0; same -MMD -Ii0 -Ii2 -c u.c; echo '#define H 99' > i0/h.h
check 'a header that appears earlier on the path is no hit' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -MMD -Ii0 -Ii2 -c u.c -o ours.o 2>&1 | grep -q remote && gcc -c u.c -Ii0 -Ii2 -o plain.o && cmp ours.o plain.o"
rm i0/h.h
check 'when it is gone again the old result is a hit' sh -c "GRIDDLE_VERBOSE=1 '$CC' gcc -MMD -Ii0 -Ii2 -c u.c -o ours.o 2>&1 | grep -q cached && gcc -c u.c -Ii0 -Ii2 -o plain.o && cmp ours.o plain.o"
mkdir sys; echo '#define H 1' > sys/h.h; same -MMD -isystem sys -c u.c; echo '#define H 2' > sys/h.h
check 'a system header that -MMD does not name is seen to change' sh -c "'$CC' gcc -MMD -isystem sys -c u.c -o ours.o && gcc -c u.c -isystem sys -o plain.o && cmp ours.o plain.o"
printf '#pragma GCC system_header\n#define H 1\n' > prag.h; printf '#include "prag.h"\nint v = H;\n' > prag.c
same -MMD -c prag.c; printf '#pragma GCC system_header\n#define H 2\n' > prag.h
check 'a header with #pragma GCC system_header is seen to change' sh -c "'$CC' gcc -MMD -c prag.c -o ours.o && gcc -c prag.c -o plain.o && cmp ours.o plain.o"
printf 'one' > blob.bin; printf '__asm__(".section .rodata\\n.incbin \\"blob.bin\\"\\n.previous\\n");\n' > blob.c
same -MD -c blob.c; printf 'two' > blob.bin
check 'a file that .incbin reads is seen to change' sh -c "'$CC' gcc -MD -c blob.c -o ours.o && gcc -c blob.c -o plain.o && cmp ours.o plain.o"
find "$T/agent/blobs" -type f -exec sh -c 'chmod 600 "$1"; printf x >> "$1"' _ {} \;
stop_agent; cl_agent --cache-bytes 100M
check 'damaged blobs are no hits' sh -c "'$CC' gcc -MMD -c u.c -Ii2 -o ours.o && gcc -c u.c -Ii2 -o plain.o && cmp ours.o plain.o"
kill -TERM "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
check 'the agent ended without a sanitizer'"'"'s complaint' sh -c "! grep -E 'Sanitizer|runtime error' '$T/agent.log'"
done_testing
