#!/bin/bash
# 20-worker - one worker with a client that sends what it likes: tiers, hostile tasks, cancelling, limits, draining
. "$(dirname "$0")/cluster.sh"
ONE=${GRIDDLE_BUILD_DIR:-$TOP/build/${VARIANT:-release}}/helper/one_task
[ -x "$ONE" ] || skip_all "tests/helper/one_task is not built"
SLOW=slow-$$.c         # processes are searched by it, and others may run this test beside us
S=$T/src; mkdir -p "$S" "$T/out"
cat > "$S/a.h" <<'EOF'
static inline int one(void) { return 1; }
EOF
cat > "$S/a.c" <<'EOF'
#include "a.h"
#include <stddef.h>
int f(size_t n) { return one() + (int)n; }
const char *name = __FILE__;
EOF
printf '#include "a.h"\nint f(void) { return one() + y; }\n' > "$S/bad.c"
{ for i in $(seq 1 1200); do echo "int f$i(int a, int b) { int s = 0; for (int i = a; i < b; i++) s += i * $i ^ (s >> 3); return s; }"; done; } > "$S/$SLOW"
(cd "$S" && PWD=$S gcc -g -O2 -MMD -c -o a.o a.c && mkdir ../plain && mv a.o a.d ../plain)

toolchain() { tr '{' '\n' < "$T/$1.json" | sed -n 's/.*"digest":"\([0-9a-f]*\)".*"name":"gcc.*/\1/p' | head -n 1; }
# one ARGS... : a task of gcc in $S with the usual inputs
one() { "$ONE" --coordinator "$ENDPOINT" --toolchain "$TC" --cwd "$S" --input "$S" --input "$S/a.c" --input "$S/bad.c" \
	--input "$S/$SLOW" --input "$S/a.h" --input /usr/include/stdc-predef.h --to "$T/out" "$@"; }
says() { case $2 in *"$1"*) return 0 ;; esac; echo "$2" | diag; return 1; }
field() { echo "$1" | sed -n "s/.* $2=\([^ ]*\).*/\1/p" | head -n 1; }
gone() { ! kill -0 "$1" 2>/dev/null; }
sessions() { find "$T/$1/sessions" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }

cl_coordinator --session-linger 2s
# ---- each tier: the plain build's bytes
for tier in namespace chroot landlock; do
	"$BIN/griddle-worker" --coordinator "$ENDPOINT" --state "$T/$tier" --name "$tier" --slots 2 --sandbox $tier --toolchains /usr/bin/gcc \
		--ready-file "$T/$tier.json" >"$T/$tier.log" 2>&1 & W=$!; CL_PIDS="$CL_PIDS $W"
	if ! wait_for 60 test -s "$T/$tier.json"; then
		if gone $W; then
			wait $W; rc=$?
			why=$(sed -n 's/.*error: main: //p' "$T/$tier.log")
			check "tier $tier is not possible here and the exit code says so ($rc)" [ $rc = 36 ]
			echo "# $why"
			continue
		fi
		not_ok "a worker of tier $tier starts"; diag < "$T/$tier.log"; continue
	fi
	TC=$(toolchain "$tier"); rm -f "$T/out"/*
	r=$(one --output "$S/a.o" --optional "$S/a.d" --times 3 -- gcc -g -O2 -MMD -c -o a.o a.c)
	check "$tier: compiles" says "done exit=0" "$r"
	check "$tier: the object is the plain one" cmp -s "$T/out/a.o" "$T/plain/a.o"
	check "$tier: the depfile is the plain one" cmp -s "$T/out/a.d" "$T/plain/a.d"
	kill -TERM $W; wait $W; rc=$?
	check "$tier: SIGTERM ends it with 0" [ $rc = 0 ]
done

r=$("$BIN/griddle-worker" --state "$T/none" --sandbox landlock --require-sandbox namespace 2>&1); rc=$?
check "less than what is required is refused with a reason" says "no sandbox as asked for" "$r"
check "and the exit code of local trouble" [ $rc = 36 ]

# ---- what a hostile or mistaken client gets
cl_worker w1 --toolchains /usr/bin/gcc --grace 200s
TC=$(toolchain w1)
r=$(one --output "$S/bad.o" --show -- gcc -c -o bad.o bad.c)
check "an error in the source is a result" says "done exit=1" "$r"
check "with its message" says "'y' undeclared" "$r"
r=$(one --output "$S/a.o" -- gcc -c -o a.o none.c --sysroot=/)
check "a file that is not there is the compiler's error" says "done exit=1" "$r"
for path in "$S/../../../etc/x.o" "relative.o" "//x/y.o" "/"; do
	r=$(one --output "$path" -- gcc -c -o a.o a.c)
	check "output path $path never reaches a worker" says "dropped" "$r"
done
r=$(one --output /.griddle/tmp/x.o -- gcc -c -o a.o a.c)
check "an output among the sandbox's own files is refused" says "refused" "$r"
r=$(one --output "$S/l/x.o" --link "$S/l=/etc" -- gcc -c -o l/x.o a.c)
check "an output through a link stays in the tree" [ ! -e /etc/x.o ]
r=$(one --output "$S/passwd" --link "$S/passwd=/etc/passwd" -- gcc -c -o /dev/null a.c)
case $r in *"outputs=0"*) ok "a link as an output is not followed" ;; *) not_ok "a link as an output is not followed"; echo "$r" | diag ;; esac
r=$(one --output "$S/a.o" --env LD_PRELOAD=/x.so -- gcc -c -o a.o a.c)
check "an environment variable that is not a compiler's is refused" says "refused" "$r"
printf '#!/bin/sh\necho pwned\n' > "$S/as"; chmod 755 "$S/as"
r=$(one --input "$S/as" --output "$S/a.o" --show -- gcc -c -o a.o a.c -B.)
case $r in *pwned*) not_ok "a program the client ships does not run"; echo "$r" | diag ;; *) ok "a program the client ships does not run" ;; esac
printf '#include "/etc/passwd"\n' > "$S/steal.c"
r=$(one --input "$S/steal.c" --show --output "$S/a.o" -- gcc -c -o a.o steal.c)
case $r in *root:*) not_ok "the worker's own files cannot be read" ;; *) ok "the worker's own files cannot be read" ;; esac
printf '#include "a.h"\n__asm__(".incbin \\"/etc/passwd\\"");\n' > "$S/incbin.c"
r=$(one --input "$S/incbin.c" --output "$S/a.o" -- gcc -c -o a.o incbin.c)
check "nor by the assembler" says "exit=1" "$r"

# ---- the same path with another content; what is absent
printf 'static inline int one(void) { return 2; }\n' > "$T/a2.h"
rm -f "$T/out/a.o"
r=$("$ONE" --coordinator "$ENDPOINT" --toolchain "$TC" --cwd "$S" --input "$S" --input "$S/a.c" --lie "$S/a.h=$T/a2.h" \
	--input /usr/include/stdc-predef.h --to "$T/out" --output "$S/a.o" -- gcc -O2 -c -o a.o a.c)
cp "$T/a2.h" "$T/keep.h"; (mkdir -p "$T/p2" && cd "$S" && cp a.h "$T/a1.h" && cp "$T/a2.h" a.h && gcc -O2 -c -o "$T/p2/a.o" a.c; cp "$T/a1.h" a.h)
check "the content that is named is the content that is compiled" cmp -s "$T/out/a.o" "$T/p2/a.o"
r=$(one --absent "$S/a.h" --output "$S/a.o" -- gcc -c -o a.o a.c)
check "two facts about one path are refused" says "refused" "$r"
r=$("$ONE" --coordinator "$ENDPOINT" --toolchain "$TC" --cwd "$S" --input "$S" --input "$S/a.c" --absent "$S/a.h" --output "$S/a.o" -- gcc -c -o a.o a.c)
check "a path that is said to be absent is not there" says "done exit=1" "$r"

# ---- time limits, cancelling
r=$(one --output "$S/slow.o" --timeout-ms 300 -- gcc -O3 -c -o slow.o "$SLOW")
check "a task over its time is ended" says "timeout" "$r"
one --output "$S/slow.o" -- gcc -O3 -c -o slow.o "$SLOW" >/dev/null 2>&1 & p=$!
busy() { [ "$(metric griddle_tasks_running)" = 1 ]; }
wait_for 20 busy
pkill -KILL -P $p; kill -KILL $p; wait $p 2>/dev/null
idle() { [ "$(metric griddle_tasks_running)" = 0 ] && ! pgrep -P "$(pgrep -P "$w1_PID" | head -n 1)" cc1; }
check "a client that dies takes its task with it" wait_for 20 idle
one --output "$S/slow.o" --cancel -- gcc -O3 -c -o slow.o "$SLOW" >/dev/null 2>&1 & p=$!
check "a cancelled task is ended" wait_for 20 idle
kill $p; wait $p 2>/dev/null
r=$(one --output "$S/a.o" -- gcc -c -o a.o a.c)
check "after a cancelled task the next one runs" says "done exit=0" "$r"

# ---- trees come and go
check "trees of closed sessions are removed" wait_for 90 sh -c "[ \$(find '$T/w1/sessions' -mindepth 1 -maxdepth 1 | wc -l) -le 1 ]"

# ---- a blob damaged in the running worker's cache
b=$(find "$T/w1/cas" -type f -size +100k | grep -v /cas/tmp/ | head -n 1)
check "there is a blob to damage" [ -n "$b" ]
chmod u+w "$b"; printf 'damaged' | dd of="$b" conv=notrunc bs=1 2>/dev/null
r=$(one --output "$S/slow.o" --timeout-ms 60000 -- gcc -fsyntax-only "$SLOW")
check "a damaged blob is noticed and fetched again" says "exit=0" "$r"

# ---- draining
one --output "$S/slow.o" -- gcc -O1 -c -o slow.o "$SLOW" > "$T/drain.out" 2>&1 & p=$!
wait_for 20 sh -c "pgrep -f '$SLOW' | xargs -r -n1 -I{} cat /proc/{}/comm 2>/dev/null | grep -q cc1"
kill -TERM "$w1_PID"; wait "$w1_PID"; rc=$?
check "a draining worker ends with 0" [ $rc = 0 ]
wait $p
check "after what ran was finished" says "done exit=0" "$(cat "$T/drain.out")"
left() { pgrep -f -- "--state $T/[w]1 "; }
none() { ! "$@" >/dev/null; }
check "no process of it is left" wait_for 5 none left

# ---- much to read and to compress is a thread's, and the loop goes on
cl_worker w2 --compress on --log-level debug --toolchains /usr/bin/gcc
head -c 24000000 /dev/urandom >"$S/noise.bin"; head -c 3000000 /dev/zero >"$S/zero.bin"
printf '__asm__(".section .rodata\\n.incbin \\"noise.bin\\"\\n.incbin \\"zero.bin\\"\\n.previous");\n' >"$S/big.c"
(cd "$S" && PWD=$S gcc -c -o ../plain/big.o big.c)
big() { one --input "$S/big.c" --input "$S/noise.bin" --input "$S/zero.bin" --output "$S/big.o" -- gcc -c -o big.o big.c; }
r=$(big); check "an object of 27 MB comes back" says "done exit=0" "$r"
check "with the same bytes" cmp "$T/plain/big.o" "$T/out/big.o"
check "made by a thread" grep -q 'made by a thread, 27' "$T/w2.log"
r=$(one --output "$S/a.o" -- gcc -c -o a.o a.c); check "a small one comes back too" says "done exit=0" "$r"
check "which needed none" [ "$(grep -c 'made by a thread' "$T/w2.log")" = 1 ]
big >/dev/null 2>&1 & p=$!
wait_for 20 sh -c "[ -e /proc/$w2_PID/task ] && [ \"\$(curl -s http://$HTTP/metrics | awk '/^griddle_tasks_running / { print \$2 }')\" = 1 ]"
kill -TERM "$w2_PID"; kill -TERM "$w2_PID"; wait "$w2_PID"; rc=$?
check "a worker that is ended with such a result under way ends well ($rc)" [ $rc = 0 ]
kill $p; wait $p 2>/dev/null
check "no sanitizer complains" sh -c "! grep -E 'Sanitizer|runtime error' '$T/w2.log'"
done_testing
