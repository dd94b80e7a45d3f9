# torture_tree.sh DIR - writes the small tree that tests/e2e/torture.list compiles
set -e
mkdir -p "$1"; cd "$1"
mkdir -p out sub/deep inc 'inc/od d' next1 next2 lnkreal
ln -s inc lnk; ln -s lnkreal lnkdir; ln -s inc/v.h lnkv.h
cat > a.c <<'X'
#include <stdio.h>
#include <stdlib.h>
#include "up.h"
static inline int twice(int x) { return UP(x) + __LINE__; }
int f(int argc, char **argv) { printf("%d %s\n", twice(argc), argv[0]); return argc > 3 ? abs(argc) : 0; }
X
echo '#define UP(x) ((x) * 2)' > up.h
cat > free.c <<'X'
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>
size_t g(uint32_t n, ...) { va_list ap; va_start(ap, n); n += va_arg(ap, int); va_end(ap); return offsetof(struct { char a; long b; }, b) + n; }
X
cat > main.c <<'X'
int f(int argc, char **argv);
int main(int argc, char **argv) { return f(argc, argv); }
X
cat > warn.c <<'X'
#include <string.h>
static int never(void) { int unused; char c = 300; return c; }
int f(int x) { if (x = 1) return strlen("ä quoted 'name'"); }
X
cat > bad.c <<'X'
#include "up.h"
int f(void) { return UP(undeclared) + no_such_function_at_all(1; }
struct s { int a; } int g(struct s *p) { return p->b; }
X
echo 'int f(int x) { __asm__("no_such_instruction %0" :: "r"(x)); return x; }' > badas.c
printf '#include "up.h"\n#error this is wrong\n#warning and this\nint x = UP(;\n' > badpp.c
cat > cond.c <<'X'
#include "up.h"
#ifdef BROKEN
int f( {
#endif
#ifdef S
const char *s = S;
#endif
#ifdef USE_F
int v = F(3);
#endif
#ifdef X
int x = X;
#endif
#ifdef KBUILD_MODNAME
const char *name = KBUILD_MODNAME;
#endif
int z;
X
printf '#include "no/such/file.h"\nint x;\n' > missing.c
printf -- '-O2 -DX="a b" %s\n-c a.c\n' "'-DY=it is'" > words.rsp
: > empty.rsp
printf -- '-o x.o @words.rsp\n' > nested.rsp
cp a.c 'sp ace.c'
printf '#include "../../up.h"\n#include "beside.h"\nint deep(void) { return UP(BESIDE); }\n' > sub/deep/deep.c
echo '#define BESIDE 7' > sub/deep/beside.h
echo 'const char *where(void) { return __FILE__ " " __BASE_FILE__; }' > macro.c
# includes
printf '#pragma once\n#define V 1\nstatic int from_v(void) { int unused; return 3; }\n' > inc/v.h
printf '#include <v.h>\n#include "../up.h"\n#define W UP(V)\n' > inc/w.h
printf '#include <w.h>\nint uses(void) { return W + from_v(); }\n' > uses.c
printf '#include <n.h>\nint n = N1 + N2;\n' > next.c
printf '#ifndef NH1\n#define NH1\n#include_next <n.h>\n#endif\n#define N1 1\n#ifndef N2\n#define N2 3\n#endif\n' > next1/n.h
printf '#ifndef NH2\n#define NH2\n#if __has_include_next(<n.h>)\n#include_next <n.h>\n#endif\n#endif\n#define N2 2\n#ifndef N1\n#define N1 9\n#endif\n' > next2/n.h
cat > hasinc.c <<'X'
#if __has_include("v.h")
#include "v.h"
int has = 1;
#elif __has_include(<stdbool.h>)
#include <stdbool.h>
bool has;
#endif
#if defined __has_include && __has_include(<no_such_header_here.h>)
#error no
#endif
X
cat > computed.c <<'X'
#ifndef WHICH
#define WHICH 1
#endif
#define STR2(x) #x
#define STR(x) STR2(x)
#define NAME(x) STR(which##x.h)
#define PICK(x) NAME(x)
#include PICK(WHICH)
#define SYS <v.h>
#include SYS
int c = CHOSEN + V;
X
# only a preprocessor knows these: its own macros, and a count
cat > predef.c <<'X'
#define STR2(x) #x
#define STR(x) STR2(x)
#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)
#include STR(CAT(ptr, __SIZEOF_POINTER__).h)
#if __OPTIMIZE__
#include STR(CAT(opt, __OPTIMIZE__).h)
#endif
#include "v.h"
int p = PTR + V;
X
cp predef.c predef.cc
printf '#define PTR 8\n#include "w.h"\n' > inc/ptr8.h; echo '#define PTR 4' > inc/ptr4.h; echo '#error optimised' > inc/opt1.h
printf '#include <nowhere/at_all.h>\n' > predef_lost.h; { cat predef.c; echo '#include "predef_lost.h"'; } > predef_lost.c
echo '#define CHOSEN 1' > which1.h; echo '#define CHOSEN 2' > inc/which2.h
printf '#line 100 "renamed.c"\n#include <w.h>\nint l = __LINE__;\n# 7 "other.c"\nint m = W;\n' > lines.c
printf '#include "co,mma.h"\n#include "$dollar.h"\nint odd = COMMA + DOLLAR;\n' > odd.c
echo '#define COMMA 1' > 'inc/od d/co,mma.h'; echo '#define DOLLAR 2' > 'inc/od d/$dollar.h'
printf '#import "v.h"\n#import "v.h"\nint i = V;\n' > import.c
printf '#include "lnkv.h"\n#include "lnk/w.h"\nint l = W;\n' > lnk.c
printf 'const char *d = __DATE__ " " __TIME__;\n' > date.c
echo 'int conftest;' > conftest.c
# assembly
printf '#include "up.h"\n#ifdef __i386__\n#define R %%eax\n#else\n#define R %%rax\n#endif\n\t.text\n\t.globl go\ngo:\tmov $UP(3), R\n\tret\n\t.section .note.GNU-stack,"",@progbits\n' > asm.S
cp asm.S asm.txt
printf '#include "up.h"\n\t.text\n\tno_such_instruction UP(1)\n' > badasm.S
printf '\t.text\n\t.globl p\np:\tret\n' > plain.s
printf '\t.data\n\t.incbin "blob.bin"\n\t.incbin "inc/blob2.bin", 1, 3\n' > incbin.S
printf 'binary\001\002data' > blob.bin; printf 'second blob' > inc/blob2.bin
printf '__asm__(".section .rodata\\n.incbin \\"blob.bin\\"\\n.previous\\n");\nint b;\n' > incbin.c
printf '__asm__(".include \\"inc/part.inc\\"\\n");\nint b;\n' > incasm.c
printf '\t.section .part,"a"\n\t.byte 1\n\t.previous\n' > inc/part.inc
# C++
cat > cpp.cc <<'X'
#include <map>
#include <string>
#include <vector>
#include "up.h"
template <class T> struct box { T t; T get() const { return UP(t); } };
std::map<std::string, std::vector<int>> m;
int f(const std::string &s) { try { return box<int>{3}.get() + static_cast<int>(m.at(s).size()); } catch (...) { return -1; } }
X
printf '#include <vector>\nstd::vector<int> v;\nint f() { return v.no_such_member(1) + std::vector<void>().size(); }\n' > badcpp.cc
printf 'template <int N> struct f { static const int v = N * f<N - 1>::v; };\ntemplate <> struct f<0> { static const int v = 1; };\nint x = f<5>::v;\n' > nostd.cc
printf '#include <v.h>\n#include <cstdio>\nint f() { return std::puts("x") + V; }\n' > usescpp.cc
# what a failed compile must treat as the compiler does
for f in o d dwo gcno su; do echo stale > stale.$f; done
