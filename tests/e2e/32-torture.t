#!/bin/sh
# 32-torture - every command of torture.list leaves the same with griddle-cc as without: exit code, streams, all files
. "$(dirname "$0")/cluster.sh"
HERE=$(cd "$(dirname "$0")" && pwd)
ONLY=${TORTURE:-}                # a pattern: only lines that match it
cl_coordinator; cl_worker w1 ${SANDBOX:+--sandbox $SANDBOX}   # SANDBOX=landlock: the same through another tier
cl_agent --cache-bytes 200M
sh "$HERE/torture_tree.sh" "$T/tree"
has_clang=$(command -v clang || true)
has_32=$(echo 'int x;' | gcc -m32 -x c -c -o "$T/m32.o" - 2>/dev/null && echo yes)
W=$T/w

count() {        # remote + cached units so far
	"$BIN/griddle" agent --status --socket "$GRIDDLE_SOCKET" | awk -F'[:,]' '/"units"/ { u = 1 } u && /"'"$1"'"/ { print $2 + 0; exit }'
}
run() {          # run COMMAND G DIR: in a fresh tree; what it leaves into DIR
	rm -rf "$W" "$3"; cp -a "$T/tree" "$W"; mkdir "$3"
	(cd "$W" && PWD=$W && export PWD && G=$2 && export G && eval "$1") >"$3/stdout" 2>"$3/stderr" </dev/null
	echo $? >"$3/code"
	(cd "$W" && find . -printf '%p %y %m %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$3/files"
}
wait_for 30 sh -c "cd '$T/tree' && GRIDDLE_VERBOSE=1 '$BIN/griddle-cc' gcc -c a.c -o '$T/first.o' 2>&1 | grep -q remote"

n_hit=0 n_could=0
while read -r kind command; do
	case $kind in R|L|E) ;; *) continue ;; esac
	case $command in *clang*) [ -n "$has_clang" ] || continue ;; esac
	case $command in *-m32*|*-m16*|*i386*) [ -n "$has_32" ] || continue ;; esac
	if [ -n "$ONLY" ]; then echo "$command" | grep -q -e "$ONLY" || continue; fi
	run "$command" '' "$T/plain"
	r0=$(count remote) c0=$(count cached)
	run "$command" "$BIN/griddle-cc" "$T/first"
	r1=$(count remote) c1=$(count cached)
	run "$command" "$BIN/griddle-cc" "$T/again"
	c2=$(count cached)
	went=$((r1 + c1 - r0 - c0)) why=
	diff -r "$T/plain" "$T/first" >"$T/diff" || why=differs
	if [ -z "$why" ]; then diff -r "$T/plain" "$T/again" >"$T/diff" || why='differs the second time'; fi
	if [ -z "$why" ]; then
		[ "$kind" = R ] && [ -z "${SANDBOX:-}" ] && [ $went = 0 ] && why='was not remote'
		[ "$kind" = L ] && [ $went != 0 ] && why='was remote'
	fi
	if [ "$kind" = R ] && [ "$(cat "$T/plain/code")" = 0 ]; then
		n_could=$((n_could + 1)); n_hit=$((n_hit + c2 - c1))
	fi
	if [ -z "$why" ]; then ok "$command"; else not_ok "$command ($why)"; head -n 12 "$T/diff" | diag; fi
done < "$HERE/torture.list"
[ -n "$ONLY${SANDBOX:-}" ] || check "the second time nine in ten come from the cache ($n_hit of $n_could)" [ $((n_hit * 10)) -ge $((n_could * 9)) ]
kill -TERM "$AGENT_PID"; wait "$AGENT_PID" 2>/dev/null
check 'the agent ended without a sanitizer'"'"'s complaint' sh -c "! grep -E 'Sanitizer|runtime error' '$T/agent.log'"
done_testing
