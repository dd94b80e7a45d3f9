#!/bin/sh
# kernel-matrix.sh - byte identity over configurations: x86_64_defconfig's mm/ fs/ext4/ net/ipv4/, with and without DWARF 5,
# in-tree and with O=; each is one demo (griddle, then plain, at the same path). One line each; 0 only when none differs.
# About 10 minutes on two cores.  VARIANTS="in-tree o= in-tree-dwarf5 o=-dwarf5" to run only some.
set -u
cd "$(dirname "$0")/.." || exit 36
VARIANTS=${VARIANTS:-in-tree o= in-tree-dwarf5 o=-dwarf5}
log=build/kernel-matrix.log
mkdir -p build; : > "$log"; rc=0
for v in $VARIANTS; do
	case $v in *dwarf5) extra="DEBUG_KERNEL DEBUG_INFO DEBUG_INFO_NONE=n DEBUG_INFO_DWARF5" ;; *) extra= ;; esac
	case $v in o=*) out=1 ;; *) out= ;; esac
	CONFIG=x86_64_defconfig TARGETS=${TARGETS:-mm/ fs/ext4/ net/ipv4/} EXTRA_CONFIG=$extra OUT_OF_TREE=$out scripts/demo.sh > build/kernel-matrix.out 2>>"$log"
	this=$?; [ $this = 0 ] || rc=1
	cat build/kernel-matrix.out >> "$log"
	awk -v v="$v" '/^translation units/ { u = $0; sub(/translation units */, "", u) } /^objects compared/ { c = $3 } /^objects different/ { d = $3 }
		END { printf "%-16s %s; %s objects compared, %s different\n", v, u, c, d }' build/kernel-matrix.out
done
rm -f build/kernel-matrix.out
exit $rc
