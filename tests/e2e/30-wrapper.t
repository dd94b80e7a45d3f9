#!/bin/sh
# 30-wrapper - griddle-cc runs the real compiler whatever stands, or does not stand, at the agent's socket
. "$(dirname "$0")/cluster.sh"
CC=$BIN/griddle-cc
FAKE=$(dirname "$BIN")/helper/fake_agent
[ -x "$FAKE" ] || skip_all "tests/helper/fake_agent is not built"
cd "$T" || exit 1
echo 'int f(void) { return 1; }' > a.c
gcc -c a.c -o plain.o
S=$T/s.sock; export GRIDDLE_SOCKET=$S
FAKE_PID=
fake() {
	[ -n "$FAKE_PID" ] && { kill "$FAKE_PID"; wait "$FAKE_PID"; } 2>/dev/null
	rm -f "$S"; "$FAKE" "$S" "$1" > fake.out 2>&1 & FAKE_PID=$!; CL_PIDS="$CL_PIDS $FAKE_PID"
	wait_for 10 test -S "$S"
}
compiles() { rm -f a.o; "$CC" gcc -c a.c -o a.o 2>err && cmp -s a.o plain.o && ! [ -s err ]; }
status() { "$@" >out 2>err; echo $? >status; }
is() { [ "$(cat status)" = "$1" ]; }

# two that take the wrapper's patience, beside all that follows: an agent that never answers, one that is slow but alive
patient() {                     # patient MODE: status, messages and object in MODE.*
	"$FAKE" "$T/$1.sock" "$1" >/dev/null 2>&1 & CL_PIDS="$CL_PIDS $!"
	wait_for 10 test -S "$T/$1.sock"
	( GRIDDLE_SOCKET=$T/$1.sock "$CC" gcc -c a.c -o "$1.o" 2>"$1.err"; echo $? >"$1.status" ) &
}
patient hang; HANG=$!
patient alive; ALIVE=$!

check 'no socket: the compiler runs here' compiles
mkfifo fifo notes.fifo; ln -s / notes.link
for notes in /nowhere/at/all notes.fifo notes.link / /dev/full "$(printf '/%05000d' 1)"; do
	GRIDDLE_CALLS=$notes; export GRIDDLE_CALLS
	check "notes cannot go to $(printf %.16s "$notes"): the compiler runs as ever" compiles
done
: > notes; GRIDDLE_CALLS=notes; compiles; unset GRIDDLE_CALLS
check 'what it keeps is noted where it is told to' sh -c '[ "$(cat notes)" = "$(printf "uno agent\ta.c")" ]'
GRIDDLE_SOCKET=$T/fifo; export GRIDDLE_SOCKET
check 'the socket is a pipe: the compiler runs here' compiles
GRIDDLE_SOCKET=$(printf '/%0200d' 1); export GRIDDLE_SOCKET
check 'a socket name that is too long: the compiler runs here' compiles
GRIDDLE_SOCKET=$S; export GRIDDLE_SOCKET
for mode in local eof garbage short version; do
	fake $mode
	check "an agent that answers with $mode: the compiler runs here" compiles
done
fake local; compiles
kill -9 "$FAKE_PID"; wait "$FAKE_PID" 2>/dev/null; FAKE_PID=
check 'an agent that was killed: the compiler runs here' compiles

fake local; GRIDDLE_VERBOSE=1 "$CC" gcc -c a.c -o a.o 2>err
check 'GRIDDLE_VERBOSE says why' grep -q 'run here: told so' err
check 'the agent gets the folder, the compiler and the words' sh -c "
	[ \"\$(sed -n 1p fake.out)\" = '$T' ] && [ \"\$(sed -n 2p fake.out)\" = '$(command -v gcc)' ] && [ \"\$(sed -n '4,\$p' fake.out | tr '\n' ' ')\" = '-c a.c -o a.o ' ]"
: > fake.out; GRIDDLE_DISABLE=1; export GRIDDLE_DISABLE
check 'GRIDDLE_DISABLE=1: nobody is asked' sh -c "rm -f a.o; '$CC' gcc -c a.c -o a.o && cmp a.o plain.o && ! [ -s fake.out ]"
unset GRIDDLE_DISABLE

fake done; status "$CC" gcc -c a.c -o b.o
check 'exit code and both streams of a remote compile are passed on' sh -c "[ \$(cat status) = 7 ] && [ \"\$(cat out)\" = out ] && [ \"\$(cat err)\" = err ] && ! [ -e b.o ]"
fake long; status "$CC" gcc -c a.c -o b.o
check 'a long answer comes through a memfd' sh -c '[ $(cat status) = 0 ] && [ $(wc -c < err) = 600000 ]'
fake signal; ( exec "$CC" gcc -c a.c -o b.o ) 2>/dev/null; echo $? > status
check 'a compiler that died by a signal: the same death' is 137

# 200 KiB of words: more than a packet holds
fake local
long=$(seq 0 1999 | sed 's/.*/-DA&=0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789/')
printf '#!/bin/sh\nexec gcc -c a.c -o a.o\n' > mycc; chmod +x mycc    # gcc itself cannot take so many
rm -f a.o; "$CC" ./mycc $long -c a.c -o a.o 2>err
check 'a command line larger than a packet goes through a memfd, and compiles' sh -c 'cmp a.o plain.o && ! [ -s err ]'

# masquerade
kill "$FAKE_PID" 2>/dev/null; wait "$FAKE_PID" 2>/dev/null; FAKE_PID=; rm -f "$S"
mkdir m m2; ln -s "$CC" m/gcc; ln -s "$CC" m2/gcc; ln -s "$CC" m/no-such-compiler
check 'a link named gcc finds the gcc behind it in PATH' sh -c "rm -f a.o; PATH=$T/m:$T/m2:\$PATH gcc -c a.c -o a.o && cmp a.o plain.o"
check 'a link called by its path does too' sh -c "rm -f a.o; PATH=$T/m:\$PATH $T/m2/gcc -c a.c -o a.o && cmp a.o plain.o"
check 'griddle-cc LINK does too' sh -c "rm -f a.o; '$CC' $T/m/gcc -c a.c -o a.o && cmp a.o plain.o"
check 'gcc --version is the compiler'"'"'s own' sh -c "PATH=$T/m:\$PATH gcc --version | grep -qi 'free software'"
status "$T/m/no-such-compiler" -c a.c
check 'a compiler that is not there: 127 and a message' sh -c '[ $(cat status) = 127 ] && grep -q "no-such-compiler: compiler not found" err'
printf '#!/bin/sh\nexec %s gcc "$@"\n' "$CC" > m2/loop; chmod +x m2/loop; rm m2/gcc; mv m2/loop m2/gcc
status env PATH="$T/m2:$PATH" "$CC" gcc -c a.c -o a.o
check 'a script that calls griddle-cc again ends with a message' sh -c '[ $(cat status) = 1 ] && grep -q "again and again" err'
status "$CC"; check 'without words: usage and 2' sh -c '[ $(cat status) = 2 ] && grep -q ^usage err'
status "$CC" --version; check '--version is its own' grep -q '^griddle-cc ' out
status "$CC" gcc -c broken.c; gcc -c broken.c 2>plain.err; echo $? > plain.status
check 'the compiler'"'"'s own failure, byte for byte' sh -c 'cmp err plain.err && cmp status plain.status'
wait "$HANG"; wait "$ALIVE"
check 'an agent that never answers: the compiler runs here' sh -c '[ "$(cat hang.status)" = 0 ] && cmp hang.o plain.o && ! [ -s hang.err ]'
check 'an agent that is slow but alive is waited for' sh -c '[ "$(cat alive.status)" = 0 ] && ! [ -e alive.o ]'
done_testing
