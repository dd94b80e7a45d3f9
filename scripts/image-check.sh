#!/bin/bash
# image-check.sh - build the images of the Dockerfile from a Debian root made here, and run them as a restricted pod would
#
# scripts/image-build.sh makes them without a registry. Each runs as uid 65532 with a read-only root and no capability. A coordinator and a worker
# container form a cluster on loopback, and a client container compiles on that worker, byte for byte as it does itself. AGAIN=1 builds all
# once more, in a store of its own that has the base image alone, and compares digests.
# Needs root, podman and debootstrap, and Debian's mirror; without them it says so and ends with 0.
set -u
cd "$(dirname "$0")/.." || exit 36
skip() { echo "image-check: SKIP $*"; exit 0; }
die() { echo "image-check: $*" >&2; exit 1; }
ok() { echo "ok - $*"; }
T=$(mktemp -d "${TMPDIR:-/tmp}/griddle-image.XXXXXX") || exit 36
NAME=griddle-check-$$
finish() {
	trap - EXIT
	for c in coordinator worker client; do podman rm -f $NAME-$c >/dev/null 2>&1; done
	umount "$T/store/overlay" 2>/dev/null
	rm -rf "$T"
	exit "$1"
}
trap 'finish $?' EXIT; trap 'finish 130' INT TERM

said=$(scripts/image-build.sh); rc=$?
[ $rc != 77 ] || skip "$said"
[ $rc = 0 ] || die "$said"
# An image's id is the digest of its configuration, which names every layer by its content's. (The manifest's digest counts how a store
# keeps a layer as well: that of the base image changes by being saved and loaded.)
digests() { for i in coordinator worker worker-slim client; do podman image inspect -f "$i {{.Id}}" griddle-$i; done; }
if [ -n "${AGAIN:-}" ]; then
	digests >"$T/first"
	# `--no-cache` would build the stages that the targets share once for each of them.
	base=$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' Dockerfile)
	printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' "$(podman info -f '{{.Store.GraphDriverName}}')" "$T/store" "$T/run" >"$T/storage.conf"
	podman save -q -o "$T/base.tar" "$base" >/dev/null || die "the base image cannot be saved"
	again() { CONTAINERS_STORAGE_CONF=$T/storage.conf "$@"; }
	again podman load -q -i "$T/base.tar" >/dev/null || die "no store of its own"
	rm -f "$T/base.tar"
	said=$(again scripts/image-build.sh) || die "$said"
	again digests >"$T/second"
	umount "$T/store/overlay" 2>/dev/null; rm -rf "$T/store"
	diff "$T/first" "$T/second" || die "built twice, the digests differ"
	ok "built twice, the digests are equal"
fi
for target in coordinator worker worker-slim client; do
	[ "$(podman image inspect -f '{{.Config.User}}' griddle-$target)" = 65532:65532 ] || die "$target does not run as 65532"
	ok "target $target builds, and runs as uid 65532"
	sbom=$(podman image inspect -f '{{index .Config.Labels "dev.griddle.sbom"}}' griddle-$target)
	inside() { podman run --rm --network=none --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --entrypoint "$1" griddle-$target "${@:2}"; }
	inside cat "$sbom" >"$T/sbom" || die "$target has no $sbom"
	inside dpkg-query -W -f '${Package} ${Version}\n' >"$T/packages"
	python3 - "$T/sbom" "$T/packages" <<'PY' || die "$target: its list of parts is not what is installed"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["spdxVersion"] == "SPDX-2.3" and len({p["SPDXID"] for p in d["packages"]}) == len(d["packages"])
assert {"%s %s" % (p["name"], p["versionInfo"]) for p in d["packages"][1:]} == set(open(sys.argv[2]).read().splitlines())
PY
	ok "its SPDX document lists its $(wc -l <"$T/packages") packages"
done

# As a restricted pod: no capability, no new privileges, a read-only root; what is written goes to one volume.
pod() {         # pod NAME IMAGE [PODMAN'S WORDS...] -- WORDS...
	local name=$1 image=$2 more=(); shift 2
	rm -rf "$T/state-$name"; mkdir -m 777 "$T/state-$name"; chmod 777 "$T/state-$name"     # as an emptyDir is
	while [ "$1" != -- ]; do more+=("$1"); shift; done; shift
	podman run --name "$NAME-$name" --network=host --read-only --cap-drop=all --security-opt=no-new-privileges --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 \
		-v "$T/state-$name:/var/lib/griddle" "${more[@]}" "griddle-$image" "$@"
}
for image in coordinator worker client; do
	entry=(); [ $image = client ] || entry=(--entrypoint /usr/bin/griddle)
	said=$(pod client $image --rm "${entry[@]}" -- version) || die "griddle version in $image: $said"
	ok "$image: $said"
done
wait_for() { local i=0; until "$@" >/dev/null 2>&1; do [ $i -lt 300 ] || return 1; sleep 0.1; i=$((i + 1)); done; }
pod coordinator coordinator -d -- --listen tcp://127.0.0.1:0 --http 127.0.0.1:0 --ready-file /var/lib/griddle/ready >/dev/null || die "the coordinator does not start"
ready() { podman exec $NAME-coordinator cat /var/lib/griddle/ready; }
wait_for ready || { podman logs $NAME-coordinator; die "the coordinator is not ready"; }
ENDPOINT=$(ready | sed -n 's/.*"endpoint": *"\([^"]*\)".*/\1/p')
pod worker worker -d -- --coordinator "$ENDPOINT" --name w1 --slots 2 --ready-file /var/lib/griddle/ready >/dev/null || die "the worker does not start"
wait_for podman exec $NAME-worker test -s /var/lib/griddle/ready || { podman logs $NAME-worker; die "the worker is not ready"; }
ok "a worker in its image joins: $(podman logs $NAME-worker 2>&1 | sed -n 's/.*sandbox: \(tier [^,]*\),.*/\1/p')"
pid=$(podman inspect -f '{{.State.Pid}}' $NAME-worker)
grep -q '^Uid:.65532.65532.65532.65532' "/proc/$pid/status" && grep -qE '^CapEff:.0+$' "/proc/$pid/status" || die "the worker is not uid 65532 without capabilities"
ok "as uid 65532 without capabilities"
cat >"$T/compile" <<'SH'
set -eu
cd /var/lib/griddle; mkdir p; cd p
printf '#include <stdio.h>\nint main(void) { return puts("x") < 0; }\n' >a.c
griddle agent --coordinator "$1" --socket /var/lib/griddle/s --state /var/lib/griddle/agent --remote always >../agent.log 2>&1 &
i=0; until [ -S /var/lib/griddle/s ] || [ $i -gt 100 ]; do sleep 0.1; i=$((i + 1)); done
export GRIDDLE_SOCKET=/var/lib/griddle/s GRIDDLE_VERBOSE=1
i=0; until griddle-cc gcc -g -O2 -c a.c -o a.o 2>err && grep -q remote err || [ $i -gt 50 ]; do sleep 0.2; i=$((i + 1)); done
cat err
gcc -g -O2 -c a.c -o b.o; mv b.o plain.o; gcc -g -O2 -c a.c -o b.o; griddle-cc gcc -g -O2 -c a.c -o b2.o 2>/dev/null
cmp a.o plain.o
SH
said=$(pod client client --rm -i --entrypoint /bin/sh -- -s "$ENDPOINT" <"$T/compile" 2>&1) || { echo "$said"; podman logs $NAME-worker | tail -n 5; die "a client container does not get its object from the worker"; }
case $said in *remote*) ok "a client in its image compiles there, byte for byte: ${said#griddle-cc: }" ;; *) echo "$said"; die "the compile did not go to the worker" ;; esac
podman stop -t 20 $NAME-worker >/dev/null && [ "$(podman inspect -f '{{.State.ExitCode}}' $NAME-worker)" = 0 ] || die "the worker does not drain at SIGTERM"
ok "the worker drains and ends with 0"
