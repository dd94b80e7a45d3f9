#!/bin/sh
# floors.t - the house of docs/architecture.md: who may include whom, who may read a clock, what lib/place may call
cd "$(dirname "$0")/.." || exit 1
n=0
# result DESCRIPTION OFFENDERS: ok when there are none
result() {
	n=$((n + 1))
	if [ -z "$2" ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; echo "$2" | sed 's/^/# /'; fi
}
# includes FOLDER PATTERN: the files below FOLDER that include something matching PATTERN
includes() { grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$2" $1 2>/dev/null; }

floor1='conf wire job place cas cc load stats'
result "base includes nothing above itself" "$(includes lib/base '(lib/(conf|wire|job|place|cas|cc|load|stats|net)|coordinator|worker|client|tests)/')"
for lib in $floor1; do
	others=$(for o in $floor1 net; do [ "$o" = "$lib" ] || printf '%s|' "$o"; done)
	[ -d "lib/$lib" ] || continue
	result "lib/$lib includes base and itself alone" "$(includes "lib/$lib" "(lib/(${others%|})|coordinator|worker|client|tests)/")"
done
result "lib/net includes base, wire and itself alone" "$(includes lib/net '(lib/(conf|job|place|cas|cc|load|stats)|coordinator|worker|client|tests)/')"
for program in coordinator worker client; do
	others=$(for o in coordinator worker client tests bench; do [ $o = $program ] || printf '%s|' $o; done)
	result "$program does not reach into another program" "$(includes $program "(${others%|})/")"
done
result "only lib/net includes zmq.h" "$(includes 'lib coordinator worker client bench' 'zmq' | grep -v '^lib/net/')"
result "only lib/net/loop.c reads a clock" "$(grep -rnE --include='*.[ch]' '(^|[^a-z_A-Z])(clock_gettime|gettimeofday|time|clock|uv_hrtime|uv_now|uv_clock_gettime|timespec_get|ftime) *\((CLOCK|NULL|&|uv_|\)|0\))' lib coordinator worker client | grep -vE '^lib/net/loop\.c|^[^:]*:[0-9]+:[[:space:]]*(/?\*|//)')"
result "the wrapper stands alone: libc, the triage header and the agent's packets" "$(includes client/cc '(lib/|client/)' | grep -vE 'lib/cc/triage\.h|client/agent/proto\.h|client/cc/')"
result "no file is called util" "$(find lib coordinator worker client tests bench -name 'util*.[ch]' 2>/dev/null)"
result "includes are written from the root" "$(includes 'lib coordinator worker client' '(\.\.?/)' )"
find lib coordinator worker client -name '*.[ch]' | xargs wc -l | awk '$2 != "total" && $1 > 800 { print "# warning: " $2 ": " $1 " lines: look for the second idea in it" }'

# Pure: bytes and integers, memory from base; no input, output, clock, environment, log or randomness.
place=${BUILD_DIR:-build/release}/libplace.a
if [ ! -f "$place" ]; then
	n=$((n + 1)); echo "ok $n - lib/place is pure # SKIP $place is not built"
elif [ "${VARIANT:-release}" != release ]; then
	n=$((n + 1)); echo "ok $n - lib/place is pure # SKIP the sanitizers add their own calls"
else
	own=$(nm --defined-only "$place" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u)
	called=$(nm -u "$place" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u |
		grep -vE '^(mem(cpy|set|move|cmp|chr)|__mem(cpy|set|move)_chk|str(len|cmp|ncmp|chr|nlen)|__stack_chk_fail|__assert_fail|__popcount[sd]i2|abort|free|realloc|malloc|calloc|qsort|bsearch|_GLOBAL_OFFSET_TABLE_|gr_(xalloc|xtable|xtable_grow|xlines|xspan|xspan_use|xspan_free|xrealloc|xstrdup|xstrndup|xmemdup|xgrow_sz|tryalloc|hash64|heap_[a-z_]*|map_[a-z_]*|buf_[a-z_]*|slice_[a-z_]*|err_set|err_wrap|err_text|err_name))$')
	result "lib/place is pure" "$(printf '%s\n' "$called" | grep -vxF "$own" | grep -v '^$')"
fi
echo "1..$n"
