#!/bin/sh
# 12-install.t - make install with DESTDIR and PREFIX, also with blanks in them; uninstall leaves nothing
. "$(dirname "$0")/cluster.sh"
D="$T/a dest"
unset MAKEFLAGS MFLAGS MAKELEVEL
mk() { make -s -C "$TOP" --no-print-directory VARIANT="${VARIANT:-release}" "$@" >"$T/out" 2>&1; }
mk install DESTDIR="$D" PREFIX=/opt/griddle; check "make install works into a folder with a blank" [ $? = 0 ]
for p in griddle griddle-cc griddle-coordinator griddle-worker; do
	check "$p is installed" [ -x "$D/opt/griddle/bin/$p" ]
done
check "the man page is installed" [ -s "$D/opt/griddle/share/man/man1/griddle.1" ]
check "the completion is installed" [ -s "$D/opt/griddle/share/bash-completion/completions/griddle" ]
echo 'int x;' >"$T/x.c"
(cd "$T" && "$D/opt/griddle/lib/griddle/bin/gcc" -c x.c -o x.o && gcc -c x.c -o y.o && cmp -s x.o y.o); check "the masquerade gcc compiles" [ $? = 0 ]
(cd "$T" && PATH="$D/opt/griddle/lib/griddle/bin:$PATH" gcc -c x.c -o z.o && cmp -s z.o y.o); check "and does not find itself in PATH" [ $? = 0 ]
mk uninstall DESTDIR="$D" PREFIX=/opt/griddle; check "make uninstall works" [ $? = 0 ]
check "and leaves no file" [ -z "$(find "$D" ! -type d)" ]
done_testing
