# rules.mk - tests, demo, benchmarks and installation; included by the Makefile.
# What needs packages is split in two: the target a person types calls scripts/deps.sh and then make again, so that on
# a fresh machine nothing asks pkg-config before it is there.
, := ,
TIMEOUT_S ?= 1500
FUZZ_S    ?= 60
KILLS     ?=
CONFIG    ?=
SEED      ?=
FIRST     ?=
SOURCE_DATE_EPOCH ?=
AGAIN = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

SUITE_UNIT := $(UNIT_BIN)
SUITE_E2E  := tests/floors.t $(sort $(wildcard tests/e2e/*.t tests/chart/*.t))
SUITE_SIM  := $(SIM_BIN)
SUITE_FUZZ := $(patsubst tests/fuzz/%.c,$(B)/replay/%,$(SRC_FUZZ))
# TESTS="tests/e2e/20-worker.t ..." runs only these.
SUITE = $(or $(TESTS),$(SUITE_UNIT) $(SUITE_FUZZ) $(SUITE_SIM) $(SUITE_E2E))

export ASAN_OPTIONS ?= detect_leaks=1:allocator_may_return_null=1:abort_on_error=0:exitcode=99:handle_abort=1
export UBSAN_OPTIONS ?= print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS ?= suppressions=$(CURDIR)/tests/tsan.supp:second_deadlock_stack=1
# End-to-end scripts that mostly wait or keep one core busy: two at a time, as all that is built. Those that measure, or build with all
# cores, run alone: side by side they take as long. The chart's runs beside them from the start: on a new machine it builds Helm first.
BESIDE = 10,13,14,20,21,30,32,33,40,41,42,43,44,45,46,60,61,62,73,75,76,77,81
PROVE = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL BIN='$(CURDIR)/$(B)/bin' BUILD_DIR='$(CURDIR)/$(B)' VARIANT=$(VARIANT) \
        CMOCKA_MESSAGE_OUTPUT=TAP TIMEOUT_S=$(TIMEOUT_S) prove --timer --exec tests/helper/run_one.sh -j2 --rules 'par=build/**' --rules 'par=tests/chart/*.t' --rules 'par=tests/e2e/{$(BESIDE)}-*.t' --rules 'seq=**'

.PHONY: check-built unit-built e2e-built bench-built deps-check tests-built docs
check:  ## install what is missing, build, run every test (TESTS="files" for some)
	@scripts/deps.sh build test
	@+$(AGAIN) check-built
unit:  ## the unit tests alone
	@scripts/deps.sh build test
	@+$(AGAIN) unit-built
e2e:  ## the end-to-end tests alone
	@scripts/deps.sh build test demo
	@+$(AGAIN) e2e-built
asan:  ## every test again with AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/deps.sh build test
	@+$(AGAIN) VARIANT=asan check-built
tsan:  ## the unit tests with ThreadSanitizer
	@scripts/deps.sh build test
	@+$(AGAIN) VARIANT=tsan unit-built
demo:  ## build the Linux kernel through griddle and plainly, compare every object
	@scripts/deps.sh build demo
	@+$(AGAIN) programs
	@CONFIG='$(CONFIG)' BIN='$(CURDIR)/$(B)/bin' scripts/demo.sh
.PHONY: demo-load
demo-load:  ## a web analytics service from npm under load from two workers, and the report
	@scripts/deps.sh build; command -v npm >/dev/null || scripts/deps.sh demo-load
	@+$(AGAIN) programs
	@BIN='$(CURDIR)/$(B)/bin' examples/analytics/run.sh '$(CURDIR)/build/analytics.html'
.PHONY: kube-signals
kube-signals: TIMEOUT_S = 3600
kube-signals:  ## cordon, deletion, an API server away and the scaler, on a real control plane (as kube-e2e builds it)
	@scripts/deps.sh build test
	@+$(AGAIN) programs
	@tests/kube/build.sh >/dev/null || echo "kube-signals: Kubernetes cannot be built here; the test says what it lacks"
	$(PROVE) --verbose tests/kube/10-signals.t
torture-batch: programs $(B)/helper/fault.so  ## KILLS (1000) faults of every kind at random moments, SEED=n; every history proved (root for partitions)
	POINTS=$(or $(KILLS),1000) $(if $(SEED),SEED=$(SEED)) BIN='$(CURDIR)/$(B)/bin' tests/e2e/81-faults.t
	ROUNDS=$(or $(KILLS),1000) TASKS=$(or $(KILLS),1000)00 BIN='$(CURDIR)/$(B)/bin' tests/e2e/80-batch-kill.t
N ?= 1000000
.PHONY: load-hostile load-hostile-built
load-hostile:  ## N=1000000 hostile answers of every kind for the load generator: counts and memory at each tenth (5 to 20 minutes)
	@scripts/deps.sh build test
	@+$(AGAIN) load-hostile-built
load-hostile-built: $(B)/bench/load_engine $(B)/helper/load_target
	N=$(N) BUILD_DIR='$(CURDIR)/$(B)' nice -n 19 tests/load_hostile.sh
bench:  ## the benchmarks, as a table
	@scripts/deps.sh build demo bench
	@+$(AGAIN) bench-built
deps:  ## install the Debian packages that building, testing and the demo need
	@scripts/deps.sh build test demo

tests-built: programs $(UNIT_BIN) $(HELP_BIN) $(SUITE_FUZZ) $(SIM_BIN) $(if $(filter release,$(VARIANT)),headers)
check-built: tests-built
	$(PROVE) $(SUITE)
unit-built: $(UNIT_BIN)
	$(PROVE) $(or $(TESTS),$(UNIT_BIN))
e2e-built: tests-built
	$(PROVE) $(or $(TESTS),$(SUITE_E2E))
bench-built: programs $(HELP_BIN)
	@for b in $(sort $(filter-out bench/lib.sh bench/peers%,$(wildcard bench/*.sh))); do \
	  echo "== $$b"; BIN='$(CURDIR)/$(B)/bin' $$b || exit 1; done

# Nothing is installed for it: what is not there is skipped, with the reason and the package's name.
.PHONY: bench-peers bench-peers-built
bench-peers:  ## icecc-scheduler, gearmand, dask and Slurm beside griddle, what of them is installed (root)
	@scripts/deps.sh build
	@+$(AGAIN) bench-peers-built
bench-peers-built: programs $(HELP_BIN)
	@BIN='$(CURDIR)/$(B)/bin' bench/peers.sh

SECONDS ?= 60
.PHONY: sim
sim: $(B)/sim/sim  ## simulated clusters with every invariant checked, for SECONDS=60 of CPU (SEED=n alone: one of them, told)
	$(if $(SEED),SEED=$(SEED) $< -v,$< -t $(SECONDS) -f $$(date +%s)000)

SEEDS ?= 2000
.PHONY: csim
csim: $(B)/sim/csim  ## whole clusters with the coordinator's own code, SEEDS=2000 of them from FIRST=1 (SEED=n alone: one of them, told)
	$(if $(SEED),SEED=$(SEED) $< -v,$< -n $(SEEDS) -f $(or $(FIRST),1) -l 4)

# A kept corpus replayed under the ordinary compiler: the fuzz target and a main that feeds it files.
$(B)/replay/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/replay.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(ARCHIVES) $(GR_LDFLAGS) $(PKG_LIBS) $(FUZZ_LIBS)
# The load generator, on sockets, an epoll and a clock of the fuzzer's own.
FUZZ_LIBS :=
$(B)/fuzz/generator_fuzz $(B)/replay/generator_fuzz: $(call obj,$(addprefix worker/load/,answer.c conn.c count.c gen.c h1.c h2.c stream.c tls.c visit.c))
$(B)/fuzz/generator_fuzz $(B)/replay/generator_fuzz: FUZZ_LIBS := \
	$(addprefix -Wl$(,)--wrap=,socket connect setsockopt getsockopt read send close SSL_set_fd epoll_create1 epoll_ctl epoll_pwait2 gr_clock_mono_ns)

# The page and the API's description are taken into the coordinator by the assembler, which tells no dependencies.
$(B)/obj/coordinator/web/files.o: $(filter-out %.c %.h,$(wildcard coordinator/web/*)) docs/openapi.json

# Unit tests of a program's parts: the objects they need besides the libraries.
$(B)/unit/client_test: $(call obj,client/cluster.c client/paths.c client/cmd/make_args.c client/cmd/calls.c client/cc/note.c client/view/summary.c client/view/table.c)
# The whole coordinator.
COORD_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/coord_*_test.c tests/unit/batch_*_test.c) tests/unit/http_test.c)
$(COORD_TESTS): $(call obj,$(filter-out coordinator/main.c,$(SRC_coordinator)))
$(COORD_TESTS): UNIT_LIBS := $(COORD_LIBS)
$(B)/unit/store_test $(B)/unit/store_pack_test $(B)/unit/store_damage_test: $(call obj,$(wildcard coordinator/store/*.c))
$(B)/unit/client_job_test: $(call obj,$(addprefix client/job/,inputs.c jobfile.c jobfile_io.c jobfile_place.c jobfile_task.c jobfile_units.c shell.c map_values.c) client/view/top.c client/view/top_sim.c client/view/table.c)
$(B)/unit/client_rpc_test: $(call obj,client/rpc.c client/rpc_take.c client/cluster.c client/paths.c client/cmd/target.c client/view/table.c $(filter-out client/job/taskopts.c client/job/follow.c,$(wildcard client/job/*.c)))
$(B)/unit/kube_facts_test: $(call obj,coordinator/kube/facts.c)
$(B)/unit/worker_sandbox_test: $(call obj,$(wildcard worker/sandbox/*.c))
$(B)/unit/worker_runner_test $(B)/unit/worker_ahead_test: $(call obj,$(wildcard worker/sandbox/*.c) worker/signals/cgroup.c)
$(B)/unit/worker_memory_test: $(call obj,worker/sandbox/memory.c)
$(B)/unit/worker_signals_test: $(call obj,$(wildcard worker/signals/*.c))
$(B)/unit/load_compare_test: $(call obj,client/load/compare.c client/load/html.c client/load/result.c client/load/show.c client/view/table.c)
$(B)/bench/load_engine: $(call obj,$(wildcard worker/load/*.c))
$(B)/unit/worker_files_test: $(call obj,worker/files.c)
$(B)/unit/worker_map_test: $(call obj,worker/map_paths.c)
$(B)/unit/agent_control_test: $(call obj,client/agent/control.c)
$(B)/unit/agent_jobserver_test: $(call obj,client/agent/jobserver.c)
$(B)/unit/agent_session_test: $(call obj,client/agent/session.c)
$(B)/unit/agent_files_test: $(call obj,client/agent/outputs.c client/agent/journal.c)

HEADERS := $(sort $(wildcard lib/*/*.h coordinator/*.h coordinator/*/*.h worker/*.h worker/*/*.h client/*.h client/*/*.h))
headers: $(addprefix $(B)/headers/,$(HEADERS:.h=.ok))  ## compile each header alone
$(B)/headers/%.ok: %.h $(STAMP)
	@mkdir -p $(@D)
	$(Q)printf '#include "%s"\n' $< | $(CC) $(GR_CFLAGS) -fsyntax-only -x c - && touch $@

# ---- what is generated from the tables in the programs ----
docs: programs  ## print man page, bash completion and docs/config.md from the tables in the programs
	@mkdir -p packaging
	$(B)/bin/griddle help --man > packaging/griddle.1
	$(B)/bin/griddle completion bash > packaging/griddle.bash
	scripts/config-doc.sh $(B)/bin > docs/config.md
.PHONY: chart-docs
chart-docs:  ## print the chart's README and schema from its values.yaml
	python3 tests/chart/readme.py chart > chart/README.md.new && mv chart/README.md.new chart/README.md
	python3 tests/chart/schema.py chart > chart/values.schema.json.new && mv chart/values.schema.json.new chart/values.schema.json

# ---- installation ----
BINDIR   = $(DESTDIR)$(PREFIX)/bin
MASQDIR  = $(DESTDIR)$(PREFIX)/lib/griddle/bin
MANDIR   = $(DESTDIR)$(PREFIX)/share/man/man1
COMPDIR  = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
DOCDIR   = $(DESTDIR)$(PREFIX)/share/doc/griddle
MASQ    := gcc g++ cc c++ clang clang++
install: programs  ## install under DESTDIR and PREFIX (/usr/local)
	install -d "$(BINDIR)" "$(MASQDIR)" "$(MANDIR)" "$(COMPDIR)" "$(DOCDIR)"
	install -m 755 $(PROGRAMS) "$(BINDIR)"
	install -m 644 packaging/griddle.1 "$(MANDIR)"
	install -m 644 packaging/griddle.bash "$(COMPDIR)/griddle"
	install -m 644 README.md CHANGELOG.md LICENSE docs/*.md "$(DOCDIR)"
	for name in $(MASQ); do ln -sf ../../../bin/griddle-cc "$(MASQDIR)/$$name" || exit 1; done
uninstall:  ## remove what install put there
	for p in $(notdir $(PROGRAMS)); do rm -f "$(BINDIR)/$$p"; done
	for name in $(MASQ); do rm -f "$(MASQDIR)/$$name"; done
	rm -f "$(MANDIR)/griddle.1" "$(COMPDIR)/griddle"
	rm -rf "$(DOCDIR)"
	-rmdir "$(MASQDIR)" "$(DESTDIR)$(PREFIX)/lib/griddle" 2>/dev/null

# Owner, order and times are fixed, so that the same programs give the same tarball.
DIST = build/griddle-$(VERSION)-linux-$(shell dpkg --print-architecture 2>/dev/null || uname -m).tar.gz
.PHONY: dist
dist: programs  ## a tarball of an installation below /usr with the systemd units, for packaging/ansible
	rm -rf build/dist && $(MAKE) -s --no-print-directory install DESTDIR=build/dist PREFIX=/usr
	install -d build/dist/usr/lib/systemd/system build/dist/usr/share/griddle
	install -m 644 packaging/systemd/*.service build/dist/usr/lib/systemd/system
	scripts/runtime-packages.sh $(PROGRAMS) > build/dist/usr/share/griddle/packages
	tar -C build/dist --sort=name --owner=0 --group=0 --numeric-owner --mode=u+w,go-w --mtime=@$(or $(SOURCE_DATE_EPOCH),0) -cf - . | gzip -n > $(DIST).new && mv $(DIST).new $(DIST)
	@echo $(DIST)
.PHONY: ansible-check
ansible-check:  ## the Ansible playbook against two hosts in chroots, reached by ssh on loopback (ansible-core, debootstrap, root; 3 minutes)
	@scripts/deps.sh build test
	@+$(AGAIN) dist
	$(PROVE) tests/ansible/hosts.t

.PHONY: image-check
image-check:  ## build the Dockerfile's images from a Debian root made here, and run them (podman, debootstrap, root; 3 minutes)
	@scripts/deps.sh image || true
	@scripts/image-check.sh

.PHONY: kernel-matrix
kernel-matrix:  ## byte identity of defconfig objects with and without DWARF 5, in-tree and O= (10 minutes)
	@scripts/deps.sh build demo
	@+$(AGAIN) programs
	@BIN='$(CURDIR)/$(B)/bin' scripts/kernel-matrix.sh

.PHONY: kube-e2e
kube-e2e: TIMEOUT_S = 3600
kube-e2e:  ## the chart and the cluster's signals on a real Kubernetes control plane, one real node and two (20 minutes; once 10 to 40 more to build it)
	@scripts/deps.sh build test
	@scripts/deps.sh kube || true
	@+$(AGAIN) programs
	@bash -c '. tests/kube/control-plane.sh; . tests/kube/node.sh; tests/kube/build.sh $$KP_PROGRAMS $$KN_PROGRAMS' >/dev/null || echo "kube-e2e: Kubernetes cannot be built here; the tests say what they lack"
	$(PROVE) --verbose tests/kube/kube-e2e.t tests/kube/10-signals.t tests/kube/node-e2e.t tests/kube/two-nodes.t
