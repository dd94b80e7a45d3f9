#!/bin/sh
# compile.sh CONFIG TARGET... - compile the targets with "config"; sizes.txt says how large they came out
set -eu
name=$1
shift
mkdir src
tar -xf "$LINUX" -C src --strip-components=1
cp config src/.config
make -s -C src olddefconfig
make -s -C src "$@"
find src -name '*.o' -exec size {} + | awk -v name="$name" 'NR > 1 && $1 != "text" { t += $1; n++ } { print } END { print name, n, "objects", t, "bytes of text" }' >sizes.txt
