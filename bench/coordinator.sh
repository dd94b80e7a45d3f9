#!/bin/sh
# bench/coordinator - CPU of the whole coordinator for a durable task that does nothing, with null workers in its process.
# usage: bench/coordinator.sh   (TASKS=1000000 WORKERS=100 RUNS=3: the least of so many)
. "$(dirname "$0")/lib.sh" 2>/dev/null
P=${BIN:-$TOP/build/release/bin}/../bench
facts
i=0
while [ $i -lt "${RUNS:-3}" ]; do
	"$P/coordinator" -n "${TASKS:-1000000}" -w "${WORKERS:-100}" || exit 1
	i=$((i + 1))
done
