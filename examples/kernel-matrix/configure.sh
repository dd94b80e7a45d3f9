#!/bin/sh
# configure.sh CONFIG - the kernel's .config for CONFIG, as "config"
set -eu
mkdir src
tar -xf "$LINUX" -C src --strip-components=1
make -s -C src "$1"
cp src/.config config
