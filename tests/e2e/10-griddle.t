#!/bin/bash
# 10-griddle.t - the command line without a cluster: help, typos, exit codes, completion, keys
. "$(dirname "$0")/cluster.sh"
G=$BIN/griddle
run() { "$G" "$@" </dev/null >"$T/out" 2>"$T/err"; rc=$?; }
is() { [ "$rc" = "$1" ]; }
out() { grep -qF -- "$1" "$T/out"; }
err() { grep -qF -- "$1" "$T/err"; }
run; is 2 && err 'usage: griddle COMMAND' && [ ! -s "$T/out" ]; check "without words: the list on stderr, exit 2" [ $? = 0 ]
run --help; is 0 && out 'griddle make -j auto'; check "--help: examples first" [ $? = 0 ]
run help; cp "$T/out" "$T/list"; run -h; check "help and -h are the same text" cmp -s "$T/out" "$T/list"
names=$("$G" completion bash | sed -n "s/^\t\twords='\(.*\)'$/\1/p" | head -n 1)
bad=; for c in $names; do run help "$c"; is 0 && out "usage: griddle $c" && [ "$(wc -l <"$T/out")" -gt 3 ] || bad="$bad $c"; done
check "help says more of each command ($(echo $names | wc -w))" [ -z "$bad" ]
bad=; for c in $names; do run "$c" --help; is 0 && out "usage: griddle $c" || bad="$bad $c"; done
check "COMMAND --help is the same" [ -z "$bad" ]
bad=; for c in "load http" "load http http://h/" "job show" "task ls" "admin backup" "keys new" "completion bash"; do run $c --help; is 0 && out "usage: griddle ${c%% *}" || bad="$bad $c"; done
check "COMMAND VERB --help too" [ -z "$bad" ]
bad=; for c in $names; do awk 'length > 120' < <("$G" help "$c" | sed '/^  /d') | grep -q . && bad="$bad $c"; done
check "help texts are not wider than 120 columns" [ -z "$bad" ]
run version; is 0 && out 'griddle 0.'; check "version" [ $? = 0 ]
run --version; is 0 && out 'griddle 0.'; check "--version" [ $? = 0 ]
run mkae; is 2 && err 'did you mean make?'; check "a typo: a suggestion, exit 2" [ $? = 0 ]
run help nods; is 2 && err 'did you mean nodes?'; check "a typo behind help" [ $? = 0 ]
run frobnicate; is 2 && ! err 'did you mean'; check "no suggestion when nothing is near" [ $? = 0 ]
run status --ouput json; is 2 && err 'did you mean --output?'; check "a typo in an option" [ $? = 0 ]
run status -o yaml; is 2 && err 'wants table|json|name'; check "a bad choice names the good ones" [ $? = 0 ]
run status extra; is 2 && err 'usage: griddle status'; check "words too many" [ $? = 0 ]
GRIDDLE_OUTPUT=yaml run status; is 2 && err 'GRIDDLE_OUTPUT'; check "a bad value from the environment says so" [ $? = 0 ]
GRIDDLE_TENANT=$'\377' run job ls --coordinator tcp://127.0.0.1:1; is 2 && err 'tenant: wants text in UTF-8, not "\xff" (from GRIDDLE_TENANT)'; check "text that is not UTF-8 is refused here" [ $? = 0 ]
run load ls --html $'\377'; ! err UTF-8; check "a file may be called so" [ $? = 0 ]
run admin backup --coordinator tcp://127.0.0.1:1 $'\377'; is 2 && err 'not UTF-8'; check "nor is a word that is not UTF-8 sent" [ $? = 0 ]
for n in -1 1x 99999999999999999999 ''; do run explain --coordinator tcp://127.0.0.1:1 00c0ffee00c0ffee "$n"; is 2 && err 'usage: griddle explain'; check "\"$n\" is no task's number" [ $? = 0 ]; done
for c in status nodes make; do
	run $c; is 32 && err 'run `griddle up` first'; check "$c without a cluster says what to do, exit 32" [ $? = 0 ]
done
run status --coordinator tcp://127.0.0.1:1; is 32 && err 'tcp://127.0.0.1:1'; check "a coordinator that is not there: exit 32" [ $? = 0 ]
run status --coordinator tcp://192.0.2.1:7420; is 4 && err 'key'; check "plain beyond loopback is refused, exit 4" [ $? = 0 ]
run status --coordinator nonsense; is 2; check "a malformed endpoint: exit 2" [ $? = 0 ]
run down; is 0 && out 'not up'; check "down when nothing is up" [ $? = 0 ]
run doctor; is 1 && out 'coordinator' && out 'griddle up'; check "doctor names the missing coordinator and the remedy" [ $? = 0 ]
run doctor -o json; python3 -c 'import json,sys; d=json.load(sys.stdin); assert any(r["verdict"]=="fail" and r["remedy"] for r in d)' <"$T/out"; check "doctor prints JSON" [ $? = 0 ]
chmod 755 "$T/rt"; run status; is 4 && err 'chmod 700'; check "a runtime folder open to others is refused" [ $? = 0 ]; chmod 700 "$T/rt"
printf '{' >"$T/rt/cluster.json"; run status; is 2 && err 'damaged'; check "a damaged cluster.json: exit 2" [ $? = 0 ]
run down; is 2 && err 'damaged' && err 'nothing was ended' && [ -e "$T/rt/cluster.json" ]; check "down does not say that all is well then" [ $? = 0 ]; rm -f "$T/rt/cluster.json"

run keys new; is 0 && [ "$(wc -c <"$T/out")" = 41 ]; check "keys new prints a public key" [ $? = 0 ]
key=$(cat "$T/out"); f=$XDG_CONFIG_HOME/griddle/client.key
check "the key file is closed to others" [ "$(stat -c %a "$f")" = 600 ]
run keys show; check "keys show prints it again" [ "$(cat "$T/out")" = "$key" ]
run keys new; is 36 || is 2; err 'exist'; check "keys new does not overwrite" [ $? = 0 ]
run keys allow --allow "$T/allow" --roles client,admin "$key" anna; is 0 && grep -qF "$key client,admin anna" "$T/allow"; check "keys allow adds a line" [ $? = 0 ]
dash='-123456789.abcdefghij.ABCDEFGHIJ.0000000'; run keys allow --allow "$T/allow" --roles worker "$dash" dora; is 0 && grep -qF -- "$dash worker dora" "$T/allow"; check "a key may begin with a dash" [ $? = 0 ]
hash='0#23456789.abcdefghij.ABCDEFGHIJ.0000000'; run keys allow --allow "$T/allow" --roles worker "$hash" hugo; is 0 && grep -qF -- "$hash worker hugo" "$T/allow"; check "or hold what begins a comment elsewhere" [ $? = 0 ]
run keys allow --allow "$T/allow" notakey anna; is 2 && err 'not a public key'; check "keys allow refuses what is no key" [ $? = 0 ]
run keys allow --allow "$T/allow" --roles king "$key"; is 2 && err 'wants client, worker or admin'; check "keys allow refuses other roles" [ $? = 0 ]
run keys forge; is 2; check "keys wants a known verb" [ $? = 0 ]
run keys import; is 2 && err 'keys import: wants --from-kube'; check "keys import says what it wants" [ $? = 0 ]
run keys allow; is 2 && err 'keys allow: wants a KEY'; check "so does keys allow" [ $? = 0 ]
run keys token; is 2 && err 'keys token: wants a NAME'; check "and keys token" [ $? = 0 ]
XDG_CONFIG_HOME=$T/fresh run keys token first; is 0 && grep -q ' client first$' "$T/fresh/griddle/tokens"; check "the first token makes its folder, as the first key does" [ $? = 0 ]
pids=; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "$G" keys token --tokens "$T/many" "t$i" >/dev/null & pids="$pids $!"; done; wait $pids
check "tokens made at once are all kept" [ "$(grep -cE '^[0-9a-f]{64} client t[0-9]+$' "$T/many")" = 12 ]
: >"$T/empty"; run place replay "$T/empty"; is 2 && err 'holds no decision' && ! err 'came out the same'; check "an empty decision log is not the same as anything" [ $? = 0 ]
chmod 644 "$f"; run keys show; ! is 0 && err 'client.key'; check "a key file that others can read is refused" [ $? = 0 ]

for r in , ''; do run keys token --tokens "$T/tokens" --roles "$r" bob; is 2 && err 'wants viewer, client or admin' && [ ! -e "$T/tokens" ]; check "a token of no role (\"$r\") is none: its line would keep everybody out" [ $? = 0 ]; done
run keys token --tokens "$T/tokens" ''; is 2 && err 'a name has 1 to 63' && [ ! -e "$T/tokens" ]; check "nor one of no name" [ $? = 0 ]

mkdir "$T/a b" && cp "$G" "$BIN/griddle-cc" "$T/a b" && "$T/a b/griddle" make --coordinator tcp://127.0.0.1:1 >"$T/out" 2>"$T/err"; rc=$?; rm -r "$T/a b"
is 2 && err 'make cannot call a program with such letters in its path'; check "make says where it cannot be called from" [ $? = 0 ]
mkdir "$T/gone"; (cd "$T/gone" && rmdir "$T/gone" && run run true; exit $rc); rc=$?; is 36 && err 'the current folder is gone'; check "run in a folder that is gone" [ $? = 0 ]
"$G" submit - <"$T" >"$T/out" 2>"$T/err"; rc=$?; ! is 0 && ! is 37 && err 'standard input: input/output error'; check "submit of a standard input that cannot be read" [ $? = 0 ]

run submit "$T"; is 36 && err "$T: is a folder, not a file"; check "a folder where a file is wanted is said to be one" [ $? = 0 ]
echo '{"command":["true"]}' >"$T/job.json"; run submit "$T/job.json" --show; is 2 && err 'show wants --dry-run'; check "submit --show alone submits nothing" [ $? = 0 ]

run cc; is 2; check "cc without a compiler: exit 2" [ $? = 0 ]
echo 'int x;' >"$T/x.c"; (cd "$T" && "$G" cc gcc -c x.c -o x.o && gcc -c x.c -o y.o && cmp -s x.o y.o); check "cc without an agent compiles here" [ $? = 0 ]
echo 'int x' >"$T/x.c"; (cd "$T" && "$G" cc gcc -c x.c -o x.o) 2>"$T/err"; check "cc passes on the compiler's code" [ $? = 1 ]

"$G" completion bash >"$T/completion"; bash -n "$T/completion"; check "the completion script is bash" [ $? = 0 ]
complete_words() { bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _griddle; echo "${COMPREPLY[*]}"' "$T/completion" "$@"; }
check "completes commands" [ "$(complete_words griddle st)" = status ]
check "completes choices" [ "$(complete_words griddle status -o j)" = json ]
check "completes options" [ "$(complete_words griddle up --wor)" = --workers ]
check "completes verbs" [ "$(complete_words griddle keys sh)" = show ]
done_testing
