#!/bin/sh
# 01-deps.t - scripts/deps.sh on machines of other kinds: nothing missing, root, sudo, neither, no dpkg
TOP=$(cd "$(dirname "$0")/../.." && pwd)
T=$(mktemp -d "${TMPDIR:-/tmp}/griddle-deps.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
n=0
check() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$T/out"; fi; }

mkdir "$T/bin"
for tool in sh awk dirname cat grep; do ln -s "$(command -v $tool)" "$T/bin/$tool"; done
fake() { printf '#!/bin/sh\n%s\n' "$2" >"$T/bin/$1"; chmod +x "$T/bin/$1"; }
run() { : >"$T/log"; PATH=$T/bin sh "$TOP/scripts/deps.sh" "$@" </dev/null >"$T/out" 2>&1; rc=$?; }
has() { grep -q -- "$1" "$T/out"; }
calls() { grep -q -- "$1" "$T/log"; }

fake id 'echo 1000'
run build
[ $rc = 0 ] && has 'not a Debian system' && has 'libzmq3-dev'; check $? "says what is needed where there is no dpkg, and goes on"

fake dpkg-query 'echo installed'
fake apt-get "echo apt-get \"\$@\" >>$T/log"
run build test demo fuzz
[ $rc = 0 ] && [ ! -s "$T/out" ] && [ ! -s "$T/log" ]; check $? "says and does nothing when nothing is missing"

fake dpkg-query 'case $* in *libzmq3-dev*|*libuv1-dev*) exit 1 ;; *xz-utils*) echo config-files ;; *) echo installed ;; esac'
run build
[ $rc = 2 ] && has 'apt-get install -y --no-install-recommends libzmq3-dev libuv1-dev$'; check $? "prints the exact line and ends with 2 without root and sudo"
[ ! -s "$T/log" ]; check $? "and installs nothing then"
run demo
[ $rc = 2 ] && has 'recommends xz-utils$'; check $? "counts a removed package whose configuration is left as missing"

fake id 'echo 0'
run build
[ $rc = 0 ] && calls '^apt-get install -y --no-install-recommends libzmq3-dev libuv1-dev$'; check $? "installs as root"
[ "$(head -n 1 "$T/out")" = 'These Debian packages are missing: libzmq3-dev libuv1-dev' ]; check $? "lists the packages first"

fake id 'echo 1000'
fake sudo "[ \"\$1\" = -n ] && exit 0; echo sudo \"\$@\" >>$T/log; \"\$@\""
run build
[ $rc = 0 ] && calls '^sudo apt-get install .*libuv1-dev$'; check $? "installs through sudo"
fake sudo 'exit 1'
run build
[ $rc = 2 ] && has 'Not root and no sudo'; check $? "takes a sudo that asks for a password without a terminal as none"

fake id 'echo 0'
fake apt-get "echo apt-get \"\$@\" >>$T/log; [ \"\$1\" = update ] || [ \$(grep -c install $T/log) = 2 ]"
run build
[ $rc = 0 ] && calls '^apt-get update'; check $? "fetches the package lists when the first try does not find everything"
fake apt-get 'exit 100'
run build
[ $rc = 2 ] && has 'apt-get failed'; check $? "ends with 2 when apt-get fails"
echo "1..$n"
