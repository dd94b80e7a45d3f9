# griddle - one non-recursive Makefile. `make help` lists the targets.
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
SHELL := /bin/sh

VARIANT  ?= release
ERR      ?=
V        ?=
MAKECMDGOALS ?=
DESTDIR  ?=
PREFIX   ?= /usr/local
CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
CFLAGS   ?=
LDFLAGS  ?=
TESTS    ?=
VERSION  := 0.1.0

B := build/$(VARIANT)
Q := $(if $(V),,@)

PKGS := libzmq libuv jansson zlib libcrypto libssl libnghttp2 libmicrohttpd libseccomp sqlite3
PKGS_CLIENT := ncursesw
PKGS_COORD := libcurl
PKGS_TEST := cmocka
# These call make again once scripts/deps.sh has put everything there, or need nothing.
NEEDS_PKG := $(filter-out help clean distclean deps demo demo-load check unit e2e asan tsan fuzz bench bench-peers uninstall \
	kube-e2e kube-signals image-check ansible-check kernel-matrix load-hostile,$(or $(MAKECMDGOALS),all))
ifneq ($(NEEDS_PKG),)
MISSING := $(shell for p in $(PKGS) $(PKGS_CLIENT) $(PKGS_COORD); do pkg-config --exists $$p 2>/dev/null || echo $$p; done)
ifneq ($(strip $(MISSING)),)
$(error missing development packages: $(strip $(MISSING)); `make deps` installs them on Debian)
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) $(PKGS_CLIENT) $(PKGS_COORD))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS)) -lm
CLIENT_LIBS := $(shell pkg-config --libs $(PKGS_CLIENT))
COORD_LIBS := $(shell pkg-config --libs $(PKGS_COORD))
TEST_LIBS  := $(shell pkg-config --libs $(PKGS_TEST) 2>/dev/null)
else
PKG_CFLAGS :=
PKG_LIBS :=
CLIENT_LIBS :=
COORD_LIBS :=
TEST_LIBS :=
endif

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
        -Wno-unused-parameter -Wno-format-truncation -Wvla -Wundef $(if $(filter fuzz,$(VARIANT)),-Wno-unknown-warning-option) $(if $(ERR),-Werror)
OPT_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread
OPT_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
ifeq ($(VARIANT),fuzz)
CC := clang
endif
GR_CFLAGS  := -std=gnu11 -D_GNU_SOURCE -I. -DGR_VERSION='"$(VERSION)"' $(WARN) $(OPT_$(VARIANT)) -pthread $(PKG_CFLAGS) $(CFLAGS)
GR_LDFLAGS  = $(OPT_$(VARIANT)) $(WHOLE_LINK) -pthread $(LDFLAGS)

# Floor 0 and 1 libraries, then net; archives are linked in floor order so that a call upwards does not link.
LIBS := net wire conf job place cas cc load stats base
lib_src = $(wildcard lib/$(1)/*.c)
SRC_coordinator := $(wildcard coordinator/*.c coordinator/*/*.c)
SRC_worker      := $(wildcard worker/*.c worker/*/*.c)
SRC_client      := $(wildcard client/*.c client/agent/*.c client/cmd/*.c client/job/*.c client/load/*.c client/view/*.c)
SRC_cc          := $(wildcard client/cc/*.c)
SRC_UNIT        := $(wildcard tests/unit/*_test.c)
SRC_FUZZ        := $(wildcard tests/fuzz/*_fuzz.c)
SRC_HELP        := $(wildcard tests/helper/*.c bench/*.c)
SRC_SIM         := $(wildcard tests/sim/*.c)
SRC_CSIM        := $(wildcard tests/csim/*.c)
ALL_SRC := $(foreach l,$(LIBS),$(call lib_src,$(l))) $(SRC_coordinator) $(SRC_worker) $(SRC_client) $(SRC_cc) $(SRC_UNIT) $(SRC_FUZZ) $(SRC_HELP) $(SRC_SIM) $(SRC_CSIM)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
ARCHIVES := $(foreach l,$(LIBS),$(B)/lib$(l).a)
PROGRAMS := $(B)/bin/griddle-coordinator $(B)/bin/griddle-worker $(B)/bin/griddle $(B)/bin/griddle-cc
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/unit/%,$(SRC_UNIT))
HELP_BIN := $(patsubst tests/helper/%.c,$(B)/helper/%,$(wildcard tests/helper/*.c)) $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c)) \
            $(patsubst tests/helper/preload/%.c,$(B)/helper/%.so,$(wildcard tests/helper/preload/*.c))

.PHONY: all programs help check unit e2e asan tsan fuzz bench demo deps install uninstall clean distclean headers FORCE
all: programs  ## build the four programs into build/release/bin
programs: $(PROGRAMS)

# A decision goes through most files of lib/place: what is installed, and timed, has it compiled as one and for speed, as it is
# linked (docs/placement.md). Tests take it file by file, from the same objects: a link takes seconds less.
WHOLE := $(if $(filter release,$(VARIANT)),$(if $(findstring clang,$(CC)),,1))
WHOLE_CFLAGS :=
WHOLE_LINK := -fno-lto

# Stamps change only when their text does: changed flags rebuild the objects, a deleted file the archives and programs.
# -Werror is no part of it: it changes no object.
STAMP := $(B)/flags
LISTS := $(B)/sources
FLAGS_TEXT := $(CC) $(subst ',\'',$(filter-out -Werror,$(GR_CFLAGS)) $(GR_LDFLAGS))
stamp = @mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
$(STAMP): FORCE
	$(call stamp,$(FLAGS_TEXT))
$(LISTS): FORCE
	$(call stamp,$(ALL_SRC))
FORCE:

$(B)/obj/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $<')
	$(Q)$(CC) $(GR_CFLAGS) $(TEST_CFLAGS) $(WHOLE_CFLAGS) -MMD -MP -c -o $@ $<
# Tables of argv in tests are lists of literals.
TEST_CFLAGS :=
UNIT_LIBS :=
$(B)/obj/tests/%.o: TEST_CFLAGS := -Wno-write-strings

$(B)/obj/lib/place/%.o: WHOLE_CFLAGS := $(if $(WHOLE),-O3 -flto=1 -ffat-lto-objects)
$(B)/bin/% $(B)/bench/place $(B)/bench/coordinator: WHOLE_LINK := $(if $(WHOLE),-flto=1 -flto-partition=one)
define archive_rule
$(B)/lib$(1).a: $$(call obj,$$(call lib_src,$(1))) $$(LISTS)
	@rm -f $$@
	$$(Q)ar cDr $$@ $$(filter %.o,$$^)
endef
$(foreach l,$(LIBS),$(eval $(call archive_rule,$(l))))

define program_rule
$(B)/bin/$(1): $$(call obj,$$(SRC_$(2))) $$(ARCHIVES) $$(LISTS)
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo '  LINK    $$@')
	$$(Q)$$(CC) -o $$@ $$(filter %.o,$$^) $$(ARCHIVES) $$(GR_LDFLAGS) $$(PKG_LIBS) $(3)
endef
$(eval $(call program_rule,griddle-coordinator,coordinator,$(COORD_LIBS)))
$(eval $(call program_rule,griddle-worker,worker,))
$(eval $(call program_rule,griddle,client,$(CLIENT_LIBS)))

# The wrapper stands alone: static, no sanitizer runtime in front of every compile, nothing but libc.
CC_OBJ := $(patsubst %.c,$(B)/ccobj/%.o,$(SRC_cc))
$(B)/ccobj/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $<')
	$(Q)gcc -std=gnu11 -D_GNU_SOURCE -I. -DGR_VERSION='"$(VERSION)"' $(WARN) -O2 -g -MMD -MP -c -o $@ $<
$(B)/bin/griddle-cc: $(CC_OBJ)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@')
	$(Q)gcc -static -o $@ $^

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(ARCHIVES) $(GR_LDFLAGS) $(PKG_LIBS) $(TEST_LIBS) $(UNIT_LIBS)
$(B)/helper/%: $(B)/obj/tests/helper/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $< $(ARCHIVES) $(GR_LDFLAGS) $(PKG_LIBS)
# Preloaded into the programs: nothing of ours in it, and no sanitizer.
$(B)/helper/%.so: tests/helper/preload/%.c
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 -D_GNU_SOURCE $(WARN) -Wno-missing-prototypes -O2 -shared -fPIC -o $@ $<
$(B)/bench/%: $(B)/obj/bench/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(ARCHIVES) $(GR_LDFLAGS) $(PKG_LIBS) $(UNIT_LIBS) -lm
# What the coordinator says of a load test.
$(B)/unit/load_verdict_test: $(call obj,$(filter-out coordinator/main.c,$(SRC_coordinator)))
$(B)/unit/load_verdict_test: UNIT_LIBS := $(COORD_LIBS)
# The simulated cluster: programs of its own, and what benchmarks are made with.
SIM_MAIN := tests/sim/main.c tests/sim/drf.c
SIM_BIN  := $(B)/sim/sim $(B)/sim/drf $(B)/sim/csim
SIM_OBJ  := $(call obj,$(filter-out $(SIM_MAIN),$(SRC_SIM)))
$(B)/bench/quality $(B)/bench/optimum $(B)/sim/sim: $(SIM_OBJ)
$(B)/sim/sim: $(B)/obj/tests/sim/main.o
$(B)/sim/drf: $(B)/obj/tests/sim/drf.o
# The whole coordinator on a clock, a wire and a store's thread of tests/csim: they define what lib/net's archive would.
CSIM_OBJ := $(call obj,$(filter-out tests/csim/main.c,$(SRC_CSIM)) $(filter-out coordinator/main.c,$(SRC_coordinator)))
$(B)/sim/csim: $(B)/obj/tests/csim/main.o $(CSIM_OBJ)
$(B)/bench/coordinator: $(B)/obj/tests/csim/world.o $(call obj,$(filter-out coordinator/main.c,$(SRC_coordinator)))
$(B)/bench/store: $(call obj,$(filter-out coordinator/main.c,$(SRC_coordinator)))
$(B)/sim/csim $(B)/bench/coordinator $(B)/bench/store: UNIT_LIBS := $(COORD_LIBS)
$(SIM_BIN): $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(ARCHIVES) $(GR_LDFLAGS) $(PKG_LIBS) $(UNIT_LIBS) -lm

include tests/rules.mk
-include tests/fuzz.mk

help:  ## print this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | awk -F'\t' '{printf "  %-12s %s\n", $$1, $$2}'

clean:  ## remove build/
	rm -rf build
distclean: clean

-include $(wildcard $(B)/obj/*/*.d $(B)/obj/*/*/*.d $(B)/obj/*/*/*/*.d $(B)/ccobj/*/*/*.d)
