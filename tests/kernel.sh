# tests/kernel.sh - sourced: the real kernel the tests and the demo build. Debian's linux-source-6.1 is unpacked once into
# a cache folder; nothing ever writes into it afterwards, every build is out of tree or in a copy.
KERNEL_TARBALL=${KERNEL_TARBALL:-/usr/src/linux-source-6.1.tar.xz}
KERNEL_CACHE=${GRIDDLE_KERNEL_CACHE:-$TOP/build/kernel}

kernel_source() {               # sets KSRC; returns 1 when there is no source to unpack
	KSRC=$KERNEL_CACHE/linux-6.1
	[ -f "$KSRC/.griddle-complete" ] && return 0
	[ -f "$KERNEL_TARBALL" ] || return 1
	mkdir -p "$KERNEL_CACHE"
	(
		flock 9
		[ -f "$KSRC/.griddle-complete" ] && exit 0
		rm -rf "$KSRC" "$KSRC.tmp"; mkdir "$KSRC.tmp" &&
		tar xJf "$KERNEL_TARBALL" -C "$KSRC.tmp" --strip-components=1 && : > "$KSRC.tmp/.griddle-complete" && mv "$KSRC.tmp" "$KSRC"
	) 9>"$KERNEL_CACHE/lock"
}

# kernel_prepared: sets KPREP, an O= folder with tinyconfig, everything up to `make prepare` done, and KPLAIN, the hashes
# of KTARGETS built plainly there. Made once; tests copy the folder.
KTARGETS=${KTARGETS:-kernel/time/ kernel/irq/ kernel/events/ mm/}   # 77 objects: enough to be in the middle of
kernel_prepared() {
	kernel_source || return 1
	KPREP=$KERNEL_CACHE/tiny-prepared KPLAIN=$KERNEL_CACHE/tiny-plain-$(echo "$KTARGETS" | tr -dc a-z).sha
	[ -s "$KPLAIN" ] && return 0
	(
		flock 9
		[ -s "$KPLAIN" ] && exit 0
		rm -rf "$KPREP" "$KPREP.plain"; mkdir -p "$KPREP"
		make -s -C "$KSRC" O="$KPREP" tinyconfig >/dev/null && make -s -C "$KSRC" O="$KPREP" -j2 prepare >/dev/null 2>&1 || exit 1
		cp -a "$KPREP" "$KPREP.plain"
		make -s -C "$KSRC" O="$KPREP.plain" -j2 $KTARGETS >"$KERNEL_CACHE/plain.log" 2>&1 || exit 1
		kernel_hashes "$KPREP.plain" > "$KPLAIN.tmp" && mv "$KPLAIN.tmp" "$KPLAIN"; rm -rf "$KPREP.plain"
	) 9>"$KERNEL_CACHE/lock"
}
kernel_hashes() {               # every object below $1, sorted; .o only from the targets so that tools do not count
	(cd "$1" && find . -path ./scripts -prune -o -path ./tools -prune -o \( -name '*.o' -o -name vmlinux -o -name bzImage \) -type f -print | LC_ALL=C sort | xargs -r sha256sum)
}
