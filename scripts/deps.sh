#!/bin/sh
# deps.sh USE... - see that the Debian packages for build, test, demo or fuzz are there (scripts/packages.txt)
#
# Lists what is missing first; installs it with apt-get as root or through sudo; without either it prints the exact
# line to run and ends with 2. On a system without dpkg it only says what is needed and goes on.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- build test demo

wanted=$(awk -v uses=" $* " '!/^#/ && index(uses, " " $1 " ") && !seen[$2]++ { print $2 }' scripts/packages.txt)
if ! command -v dpkg-query >/dev/null; then
	echo "deps: not a Debian system; these packages or their like must be there:" $wanted >&2
	exit 0
fi
missing=
for package in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "These Debian packages are missing:$missing"
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
	as=
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
	as=sudo
else
	echo "Not root and no sudo. Install them with this line, then try again:" >&2
	echo "    apt-get update && $line" >&2
	exit 2
fi
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# Lists may be old or absent on a fresh machine: fetch them when the first try does not find everything.
$as $line 2>/dev/null || { $as apt-get update -q && $as $line; } || {
	echo "deps: apt-get failed; the line was: $line" >&2
	exit 2
}
