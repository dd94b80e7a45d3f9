#!/bin/bash
# check, backup and export of a store that is in use: held in the middle by tests/helper/preload/gate.c, while jobs go on;
# ended there by kill -9, by the end of who asked, by the end of the coordinator, by a full disk
. "$(dirname "$0")/cluster.sh"
[ "${VARIANT:-release}" = release ] || skip_all "what is preloaded would come before the sanitizer's own"
GATE_SO=$BIN/../helper/gate.so G=$BIN/griddle
[ -f "$GATE_SO" ] || skip_all "$GATE_SO is not built"
mkdir "$T/gate"
start_coordinator() {
	rm -f "$T/coord.json"
	LD_PRELOAD=$GATE_SO GATE=$T/gate cl_coordinator --heartbeat 200ms --dead 1s --settle 500ms
}
start_coordinator
cl_worker w1 --slots 4 --toolchains none
export GRIDDLE_COORDINATOR=$ENDPOINT
N=100000
job=$("$G" submit --wait -q - <<J
{"name": "many", "command": ["griddle:null"], "array": "1-$N"}
J
)
check "a store of $N tasks, $(stat -c %s "$T/coord/jobs.db") bytes" sh -c '"$0" job show "$1" | grep -q "^state *done"' "$G" "$job"
hold() { rm -f "$T/gate/reached"; echo "$1" >"$T/gate/closed.new"; mv "$T/gate/closed.new" "$T/gate/closed"; }
let_go() { rm -f "$T/gate/closed"; }
reached() { wait_for 30 test -e "$T/gate/reached"; }
begin() { "$G" admin "$@" >"$T/out" 2>"$T/err" & ASK_PID=$!; CL_PIDS="$CL_PIDS $ASK_PID"; }      # begin OP [NAME]: sets ASK_PID
names() { (cd "$T/coord/backups" && echo $(ls -A)); }
names_are() { [ "$(names)" = "$1" ]; }
whole() {                       # whole FILE: a sound store with every outcome
	python3 - "$1" "$N" <<'P'
import sqlite3, sys
db = sqlite3.connect("file:%s?mode=ro&immutable=1" % sys.argv[1], uri=True)
assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
assert db.execute("SELECT (SELECT count(*) FROM outcomes) + (SELECT coalesce(sum(n), 0) FROM packs)").fetchone()[0] >= int(sys.argv[2])
P
}

for op in "check|open /coord/jobs.db" "backup|write .unfinished" "export|write export.unfinished"; do
	hold "${op#*|}"; begin "${op%|*}"
	check "${op%|*} is under way" reached
	check "a job is taken, dispatched, stored and answered meanwhile" [ "$(timeout 60 "$G" run -- echo on 2>"$T/run.err")" = on ]
	check "before ${op%|*} is over" sh -c 'kill -0 "$1" && [ ! -s "$0" ]' "$T/out" "$ASK_PID"
	let_go; wait "$ASK_PID"; rc=$?
	check "which then is answered (exit $rc)" [ $rc = 0 ]
	[ $rc = 0 ] || diag <"$T/err"
done
check "the export has a line for each task and more" [ "$(grep -c '"table":"outcomes"' "$T/out")" -ge $N ]
check "the backup is whole" whole "$T/coord/backups/$(names)"
rm -f "$T"/coord/backups/*

# one after the other: who asks second waits, and goes on when the first was let go
hold "write .unfinished"; begin backup a.db; first=$ASK_PID; reached
"$G" admin check >"$T/second" 2>&1 & second=$!; CL_PIDS="$CL_PIDS $second"
check "a check asked for meanwhile waits for its turn" sh -c '"$0" run -- true && kill -0 "$1" && [ ! -s "$2" ]' "$G" "$second" "$T/second"
let_go; wait "$first"; wait "$second"; rc=$?
check "and is done then" [ $rc = 0 ]
check "a name that is there is not written over" sh -c '! "$0" admin backup a.db 2>"$1" && grep -q "is there already" "$1"' "$G" "$T/err"

# kill -9 in the middle
hold "write .unfinished"; begin backup killed.db; reached
kill -KILL "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
check "kill -9 in a backup leaves nothing under its name" names_are ".unfinished a.db"
hold "write nothing"; start_coordinator
wait "$ASK_PID"; rc=$?
check "the client that waits is answered by the next life (exit $rc)" [ $rc = 0 ]
check "the backup it names is whole" whole "$T/coord/backups/killed.db"
check "and the half one is gone" names_are "a.db killed.db"
hold "write export.unfinished"; begin export; reached
kill -KILL "$COORD_PID"; wait "$COORD_PID" 2>/dev/null
hold "write nothing"; start_coordinator
wait "$ASK_PID"; rc=$?
check "kill -9 in an export: the client has it whole from the next life (exit $rc)" [ "$rc $(grep -c '"table":"outcomes"' "$T/out")" = "0 $(python3 -c '
import sqlite3, sys
print(sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True).execute("SELECT (SELECT count(*) FROM outcomes) + (SELECT coalesce(sum(n), 0) FROM packs)").fetchone()[0])' "$T/coord/jobs.db")" ]
check "and the half of it is gone" [ ! -e "$T/coord/export.unfinished" ]
check "the store is sound" "$G" admin check

# who asked goes away
hold "write .unfinished"; begin backup gone.db; reached
kill -INT "$ASK_PID"; wait "$ASK_PID"; rc=$?
check "Ctrl-C ends the client with 8" [ $rc = 8 ]
check "the coordinator has heard of it" "$G" run -- true
let_go
check "what it asked for is dropped" wait_for 30 names_are "a.db killed.db"
check "the next one is taken" "$G" admin backup next.db

# a full disk
echo .unfinished >"$T/gate/full"
"$G" admin backup full.db >"$T/out" 2>"$T/err"; rc=$?
check "a full disk is told (exit $rc)" sh -c '[ "$0" = 36 ] && grep -q "no space left" "$1"' "$rc" "$T/err"
[ $rc = 36 ] || diag <"$T/err"
"$G" admin export >"$T/out" 2>"$T/err"; rc=$?
check "an export too (exit $rc)" sh -c '[ "$0" = 36 ] && grep -q "no space left" "$1"' "$rc" "$T/err"
rm "$T/gate/full"
check "and leaves nothing" sh -c '[ "$1" = "a.db killed.db next.db" ] && [ ! -e "$0/export.unfinished" ]' "$T/coord" "$(names)"
check "jobs go on" "$G" run -- true

# vacuum: what a removed job held is given back. Until the log is taken in, the file is a page long: when that was is SQLite's to say
"$G" job rm "$job" -q
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=60).execute("PRAGMA wal_checkpoint(FULL)")' "$T/coord/jobs.db"
before=$(stat -c %s "$T/coord/jobs.db"); "$G" admin vacuum >"$T/out"; after=$(stat -c %s "$T/coord/jobs.db")
check "a vacuum after a job's removal makes the file smaller: $before to $after bytes" [ "$after" -lt $((before / 2)) ]
check "and tells how much" grep -q '^freed_bytes *[1-9]' "$T/out"
check "the store is sound behind it" "$G" admin check

# the coordinator's end waits for it, and leaves nothing half
hold "write .unfinished"; begin backup term.db; reached
kill -TERM "$COORD_PID"; let_go; wait "$COORD_PID"; rc=$?
check "SIGTERM in the middle of a backup ends with 0 (exit $rc)" [ $rc = 0 ]
check "with nothing half under any name" sh -c 'case "$0" in *unfinished*) exit 1;; esac' "$(names)"
[ ! -e "$T/coord/backups/term.db" ] || check "and what has its name is whole" python3 -c '
import sqlite3, sys
assert sqlite3.connect("file:%s?mode=ro&immutable=1" % sys.argv[1], uri=True).execute("PRAGMA integrity_check").fetchone()[0] == "ok"' "$T/coord/backups/term.db"
done_testing
