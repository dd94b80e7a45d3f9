#!/bin/sh
# image-tidy.sh NAME VERSION - the end of a step that installs packages into an image: what tells the time of the build goes,
# and the image's list of parts is written. The same packages then make the same layer.
set -eu
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/dpkg.log /var/log/alternatives.log /var/log/apt
mkdir -p /usr/share/griddle
"$(dirname "$0")/sbom.sh" "$@" >/usr/share/griddle/sbom.spdx.json
