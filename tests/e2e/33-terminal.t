#!/bin/sh
# 33-terminal - messages on a terminal: the same bytes, colours, links and widths as from the compiler itself
. "$(dirname "$0")/cluster.sh"
HERE=$(cd "$(dirname "$0")" && pwd)
command -v script >/dev/null || skip_all "script(1) is not installed"
cl_coordinator; cl_worker w1; cl_agent --cache-bytes 0
sh "$HERE/torture_tree.sh" "$T/tree"; cd "$T/tree" || exit 1
wait_for 30 sh -c "GRIDDLE_VERBOSE=1 '$BIN/griddle-cc' gcc -c a.c -o first.o 2>&1 | grep -q remote"
units() { "$BIN/griddle" agent --status --socket "$GRIDDLE_SOCKET" | awk -F'[:,]' '/"units"/ { u = 1 } u && /"'"$1"'"/ { print $2 + 0; exit }'; }
on_tty() {       # on_tty COLUMNS COMMAND: its output on a terminal of that width
	SHELL=/bin/sh script -qec "stty cols $1 rows 50 2>/dev/null; $2" /dev/null </dev/null | tr -d '\r'
}
pair() {         # pair DESCRIPTION COLUMNS COMMAND remote|any
	rm -f x.o plain.o; on_tty "$2" "$3 -o x.o" >"$T/plain"; [ -e x.o ] && mv x.o plain.o
	r=$(units remote); on_tty "$2" "$BIN/griddle-cc $3 -o x.o" >"$T/ours"; r=$(($(units remote) - r))
	if cmp -s "$T/plain" "$T/ours" && { ! [ -e plain.o ] || cmp -s plain.o x.o; } && { [ "$4" = any ] || [ $r = 1 ]; }; then
		ok "$1"
	else
		not_ok "$1 (went: $r)"; diff "$T/plain" "$T/ours" | cat -v | head -n 10 | diag
	fi
}
clang=$(command -v clang || true)
for term in xterm-256color xterm linux vt100 dumb; do
	TERM=$term; export TERM
	pair "TERM=$term gcc, warnings" 200 'gcc -Wall -c warn.c' remote
	pair "TERM=$term gcc, warnings and debug information" 200 'gcc -Wall -g -c warn.c' any
	pair "TERM=$term gcc, errors" 200 'gcc -Wall -c bad.c' remote
	pair "TERM=$term g++, errors" 400 'g++ -c badcpp.cc' remote
	[ -z "$clang" ] || pair "TERM=$term clang, warnings" 200 'clang -Wall -g -c warn.c' any
done
TERM=xterm-256color; export TERM
COLORTERM=truecolor; export COLORTERM; pair 'COLORTERM=truecolor' 200 'gcc -Wall -c warn.c' remote
COLORTERM=gnome-terminal; pair 'COLORTERM=gnome-terminal' 200 'gcc -Wall -c warn.c' remote
unset COLORTERM
GCC_COLORS='error=01;32'; export GCC_COLORS; pair 'own GCC_COLORS' 200 'gcc -Wall -c bad.c' remote
GCC_COLORS=; pair 'empty GCC_COLORS' 200 'gcc -Wall -c bad.c' remote
unset GCC_COLORS
GCC_URLS=no; export GCC_URLS; pair 'GCC_URLS=no' 200 'gcc -Wall -c warn.c' any; unset GCC_URLS
pair '-fdiagnostics-color=never' 200 'gcc -Wall -fdiagnostics-color=never -c warn.c' remote
pair '-fdiagnostics-urls=never' 200 'gcc -Wall -fdiagnostics-urls=never -c warn.c' remote
pair '-fdiagnostics-plain-output' 200 'gcc -Wall -fdiagnostics-plain-output -c warn.c' remote
pair '-frecord-gcc-switches: the object has nothing of it' 200 'gcc -Wall -frecord-gcc-switches -c warn.c' any
pair 'narrow terminal, gcc' 40 'gcc -Wall -c warn.c' any
pair 'very narrow terminal, g++' 20 'g++ -c badcpp.cc' any
[ -z "$clang" ] || pair 'narrow terminal, clang' 40 'clang -Wall -c warn.c' any
COLUMNS=50; export COLUMNS; pair 'COLUMNS=50' 200 'gcc -Wall -c warn.c' any
[ -z "$clang" ] || pair 'COLUMNS=50, clang' 200 'clang -Wall -c warn.c' any
unset COLUMNS
pair 'no message: remote' 30 'gcc -c a.c' remote
kill -TERM "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
check 'the agent ended without a sanitizer'"'"'s complaint' sh -c "! grep -E 'Sanitizer|runtime error' '$T/agent.log'"
done_testing
