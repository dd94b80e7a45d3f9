# fuzz.mk - libFuzzer over every tests/fuzz/NAME_fuzz.c; included by the Makefile.
# New inputs go to build/fuzz/new/NAME (libFuzzer writes into its first folder); the kept corpus is only read.
# A finding is left as build/fuzz/found/NAME-crash-... : put it into tests/fuzz/corpus/NAME with its fix.
# FUZZ_S seconds a fuzzer; FUZZ="wire pack" runs only these.
FUZZ ?=
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(SRC_FUZZ))

.PHONY: fuzz-built
fuzz:  ## every fuzzer for FUZZ_S seconds (60), with clang
	@scripts/deps.sh build fuzz
	@+$(AGAIN) VARIANT=fuzz fuzz-built

$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(ARCHIVES) $(GR_LDFLAGS) $(PKG_LIBS) $(FUZZ_LIBS)

fuzz-built: $(patsubst %,$(B)/fuzz/%_fuzz,$(or $(FUZZ),$(FUZZ_NAMES)))
	@mkdir -p build/fuzz/found
	@for n in $(or $(FUZZ),$(FUZZ_NAMES)); do \
	  mkdir -p build/fuzz/new/$$n tests/fuzz/corpus/$$n; \
	  echo "== $$n: $(FUZZ_S) s"; \
	  $(B)/fuzz/$${n}_fuzz -max_total_time=$(FUZZ_S) -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
	    -verbosity=0 -artifact_prefix=build/fuzz/found/$$n- build/fuzz/new/$$n tests/fuzz/corpus/$$n \
	    2>build/fuzz/$$n.log || { tail -40 build/fuzz/$$n.log; exit 1; }; \
	  grep -E 'number_of_executed_units|new_units_added|peak_rss' build/fuzz/$$n.log || true; \
	done
