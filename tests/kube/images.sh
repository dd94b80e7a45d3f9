#!/bin/bash
# images.sh FOLDER - the images of the Dockerfile for a node: FOLDER/images.tar, and FOLDER/outside, the root of a client
# that runs in no pod. What is missing goes to FOLDER/why. KUBE_IMAGE_TAG=x takes the images of that tag instead of making them.
set -u
cd "$(dirname "$0")/../.." || exit 36
if [ -z "${KUBE_IMAGE_TAG:-}" ]; then
	scripts/image-build.sh >"$1/why" || { [ $? = 77 ] || { cat "$1/why"; echo "Bail out! the images do not build"; } >&2; exit 0; }
fi
names=
for i in coordinator worker worker-slim client; do
	podman tag "localhost/griddle-$i:${KUBE_IMAGE_TAG:-latest}" "localhost/griddle-$i:0.1.0" && names="$names localhost/griddle-$i:0.1.0" || { echo "no image griddle-$i" >"$1/why"; exit 0; }
done
# The kernel's makefiles ask bc; the client image has a compiler and make alone.
printf 'FROM localhost/griddle-client:0.1.0\nUSER 0\nRUN apt-get update && apt-get install -y --no-install-recommends bc\nUSER 65532:65532\n' |
	podman build -q --pull=never --network=host --isolation=chroot -t localhost/griddle-kernel:0.1.0 -f - "$1" >/dev/null || { echo "no bc for the client image" >"$1/why"; exit 0; }
names="$names localhost/griddle-kernel:0.1.0"
# shellcheck disable=SC2086
podman save -q -m --format docker-archive -o "$1/images.new" $names >/dev/null
c=$(podman create --network=none localhost/griddle-kernel:0.1.0) && mkdir "$1/outside" && podman export "$c" | tar -C "$1/outside" -xf - --exclude='dev/*'
podman rm "$c" >/dev/null
mv "$1/images.new" "$1/images.tar"
