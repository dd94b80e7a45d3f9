#!/bin/sh
# 11-docs.t - what is printed from tables and kept in the tree is what the programs print today
. "$(dirname "$0")/cluster.sh"
cd "$TOP" || exit 1
same() { cmp -s "$2" "$3"; rc=$?; check "$1 (make docs prints it anew)" [ $rc = 0 ]; [ $rc = 0 ] || diff "$2" "$3" | head -n 20 | diag; }
"$BIN/griddle" help --man >"$T/man"
same "packaging/griddle.1 is up to date" packaging/griddle.1 "$T/man"
"$BIN/griddle" completion bash >"$T/bash"
same "packaging/griddle.bash is up to date" packaging/griddle.bash "$T/bash"
scripts/config-doc.sh "$BIN" >"$T/config"
same "docs/config.md is up to date" docs/config.md "$T/config"
if command -v man >/dev/null; then
	LC_ALL=C MANWIDTH=100 man --warnings -l "$T/man" >"$T/text" 2>"$T/warn"; check "man shows the page without warnings" [ ! -s "$T/warn" ]
fi
bad=$(grep -ohE '\]\([^)#]+' README.md docs/*.md docs/decisions/*.md | sed 's/^](//' | grep -v '^http' | sort -u |
	while read -r link; do [ -e "$link" ] || [ -e "docs/$link" ] || [ -e "docs/decisions/$link" ] || echo "$link"; done)
check "links between the documents lead somewhere $bad" [ -z "$bad" ]
bad=$(grep -oE '^    griddle [a-z]+|`griddle [a-z]+' README.md docs/operations.md | sed 's/.*griddle //' | sort -u |
	while read -r word; do "$BIN/griddle" help "$word" >/dev/null 2>&1 || echo "$word"; done)
check "commands the documents name exist $bad" [ -z "$bad" ]
check "the changelog has this version" grep -q "^## $("$BIN/griddle" version | cut -d' ' -f2)" CHANGELOG.md
done_testing
