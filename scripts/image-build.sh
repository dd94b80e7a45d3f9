#!/bin/bash
# image-build.sh [WORDS OF podman build...] - griddle-coordinator, -worker, -worker-slim and -client out of the Dockerfile, without a registry
# The base image the Dockerfile names is a debootstrap of the same release, imported under that name (kept; IMAGE_BASE=anew makes
# it anew). Ends with 77 and a reason on stdout where it cannot.
set -u
cd "$(dirname "$0")/.." || exit 36
why() { echo "$*"; exit 77; }
for tool in podman debootstrap; do command -v $tool >/dev/null || why "$tool is not installed (apt-get install podman debootstrap)"; done
[ "$(id -u)" = 0 ] || why "debootstrap needs root"
BASE=$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' Dockerfile)
case $BASE in debian:12*) SUITE=bookworm ;; *) echo "the Dockerfile's base is $BASE, not a Debian 12"; exit 1 ;; esac
T=$(mktemp -d "${TMPDIR:-/tmp}/griddle-image.XXXXXX") || exit 36
trap 'rm -rf "$T"' EXIT
if [ -n "${IMAGE_BASE:-}" ] || ! podman image exists "$BASE"; then
	debootstrap --variant=minbase $SUITE "$T/root" "${MIRROR:-http://deb.debian.org/debian}" >"$T/log" 2>&1 || why "debootstrap failed (no mirror?): $(tail -n 1 "$T/log")"
	tar -C "$T/root" -cf - . | podman import -q - "$BASE" >/dev/null || exit 1
	rm -rf "$T/root"
fi
# All targets of one state of the tree, also where somebody works in it meanwhile.
mkdir "$T/context" && tar --exclude=./build --exclude=./.git -cf - . | tar -C "$T/context" -xf - || exit 1
for target in coordinator worker-slim worker client; do
	podman build --pull=never --network=host --isolation=chroot --timestamp "${SOURCE_DATE_EPOCH:-0}" --target $target -t griddle-$target "$@" "$T/context" >"$T/log" 2>&1 ||
		{ tail -n 30 "$T/log"; echo "target $target does not build"; exit 1; }
done
