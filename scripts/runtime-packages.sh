#!/bin/sh
# scripts/runtime-packages.sh PROGRAM... - the Debian packages that have the shared libraries these programs are linked with
set -eu
for p; do ldd "$p" 2>/dev/null || true; done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | while read -r lib; do
	real=$(readlink -f "$lib")
	# a package may list a library below /lib that lies below /usr/lib
	dpkg -S "$real" 2>/dev/null || dpkg -S "${real#/usr}" 2>/dev/null || dpkg -S "$lib" 2>/dev/null || { echo "$0: no package has $lib" >&2; exit 1; }
done | sed 's/:.*//' | sort -u
