# Vise: `make setup run` to see it work, `make setup check` to test it. `make help` lists the targets.
.DEFAULT_GOAL := all
SHELL := /bin/sh

MODE = release
BUILD = $(if $(filter release,$(MODE)),build,build-$(MODE))
PREFIX = /usr/local
DESTDIR =
DIR = ../shared/golden
FUZZ_SECONDS = 60

# One goal compiles on every processor without being told -j; several keep the order they were typed in.
ifneq ($(filter 00 01,$(MAKELEVEL)$(words $(filter-out setup,$(MAKECMDGOALS)))),)
MAKEFLAGS += -j$(or $(shell getconf _NPROCESSORS_ONLN 2>/dev/null),1)
endif

# Looked up when first used, not when this file is read: `make setup check` installs the answers in between.
once = $(eval $(1) := $(2))$($(1))

# Homebrew keeps these beside the system's own and does not link them.
BREW = $(call once,BREW,$(shell [ "$$(uname)" = Darwin ] && brew --prefix 2>/dev/null))
export PKG_CONFIG_PATH := $(PKG_CONFIG_PATH)$(if $(wildcard /opt/homebrew /usr/local/Homebrew),:$(subst $() ,:,$(wildcard \
	/opt/homebrew/opt/openblas/lib/pkgconfig /opt/homebrew/opt/ncurses/lib/pkgconfig /opt/homebrew/opt/sqlite/lib/pkgconfig /opt/homebrew/opt/lua@5.4/lib/pkgconfig \
	/usr/local/opt/openblas/lib/pkgconfig /usr/local/opt/ncurses/lib/pkgconfig /usr/local/opt/sqlite/lib/pkgconfig /usr/local/opt/lua@5.4/lib/pkgconfig)))

# Lua's file is named differently everywhere; LAPACKE is a part of OpenBLAS on some systems; libcsv often has no file.
LUA_PC = $(call once,LUA_PC,$(shell for p in lua5.4 lua-5.4 lua54 lua; do \
	pkg-config --exists "$$p >= 5.4 $$p < 5.5" 2>/dev/null && echo $$p && break; done))
PKGS = $(or $(LUA_PC),lua5.4) ncursesw libpcre2-8 openblas sqlite3 jansson zlib libxxhash
MORE_PKGS = $(call once,MORE_PKGS,$(shell for p in lapacke libcsv; do pkg-config --exists $$p 2>/dev/null && echo $$p; done))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(shell pkg-config --cflags $(PKGS) $(MORE_PKGS) 2>/dev/null) $(if $(BREW),-I$(BREW)/include))
PKG_LIBS = $(call once,PKG_LIBS,$(shell pkg-config --libs $(PKGS) $(MORE_PKGS) 2>/dev/null) \
	$(if $(filter libcsv,$(MORE_PKGS)),,-lcsv) $(if $(BREW),-L$(BREW)/lib) -lm -ldl -lpthread)
OMP = $(call once,OMP,$(shell echo 'int main(void){return 0;}' > /tmp/vise-omp-$$$$.c; \
	if $(CC) -fopenmp -o /tmp/vise-omp-$$$$ /tmp/vise-omp-$$$$.c 2>/dev/null; then echo -fopenmp; \
	elif [ -e "$(BREW)/opt/libomp/lib" ]; then \
		echo -Xpreprocessor -fopenmp -I$(BREW)/opt/libomp/include -L$(BREW)/opt/libomp/lib -lomp; fi; \
	rm -f /tmp/vise-omp-$$$$ /tmp/vise-omp-$$$$.c))

WARN = -std=c17 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
# Products must not depend on what the compiler fuses, so contraction is off; -ffast-math is never used.
CFLAGS_release = -O3 -g -DNDEBUG -ffp-contract=off -fno-math-errno -fno-trapping-math
CFLAGS_debug = -O1 -g -ffp-contract=off
CFLAGS_coverage = -O0 -g -ffp-contract=off --coverage -DVISE_NO_CLONES
CFLAGS_asan = -O1 -g -ffp-contract=off -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -DVISE_NO_CLONES
CFLAGS_tsan = -O1 -g -ffp-contract=off -fno-omit-frame-pointer -fsanitize=thread -DVISE_NO_CLONES
CFLAGS_fuzz = -O1 -g -ffp-contract=off -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined -DVISE_NO_CLONES
# Short lines; the whole commands with V=1.
say = $(if $(V),,@echo "$(1) $(2)";)
ALL_CFLAGS = $(WARN) -D_GNU_SOURCE $(CFLAGS_$(MODE)) $(OMP) -I. -Isrc $(PKG_CFLAGS) $(CFLAGS)

SRC := $(wildcard src/*/*.c src/*/*/*.c)
OBJ = $(SRC:%.c=$(BUILD)/%.o)
TEST_SRC := $(wildcard tests/*/test_*.c)
TEST_BIN = $(TEST_SRC:%.c=$(BUILD)/%)
TEST_SH := $(wildcard tests/*/test_*.sh)
BENCH_SRC := $(wildcard tests/bench/bench_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
HELP_OBJ = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
# With `make -j setup check` nothing compiles before the packages are there.
FIRST := $(filter setup,$(MAKECMDGOALS))

.PHONY: all tests setup run check bench asan tsan fuzz coverage golden facts debug docs install uninstall clean help always

all: $(BUILD)/vise ## build the program: build/vise (default)

$(BUILD)/vise: $(BUILD)/src/main.o $(BUILD)/libvise.a
	$(call say,link,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/libvise.a: $(OBJ)
	$(call say,pack,$@)rm -f $@ && $(AR) rcs $@ $(OBJ)
$(BUILD)/%.o: %.c $(BUILD)/flags | $(FIRST)
	@mkdir -p $(@D)
	$(call say,compile,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(HELP_OBJ) $(BUILD)/libvise.a
	$(call say,link,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka -lvterm $(PKG_LIBS)
# Only one file knows the prefix, so that `make install PREFIX=...` after `make` compiles one file again.
$(BUILD)/src/base/file.o: $(BUILD)/prefix
$(BUILD)/src/base/file.o: private CFLAGS += -DVISE_PREFIX='"$(PREFIX)"'
# Files that change only when what they hold does.
note = @mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' > $@.new; \
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
$(BUILD)/flags: always | $(FIRST)
	$(call note,$(CC) $(ALL_CFLAGS) $(PKG_LIBS))
$(BUILD)/prefix: always
	$(call note,$(PREFIX))
GOLDEN_OBJ = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/golden/*.c))
$(BUILD)/tests/golden/golden: $(GOLDEN_OBJ) $(BUILD)/libvise.a
	$(call say,link,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
.SECONDARY:
-include $(patsubst %.c,$(BUILD)/%.d,src/main.c $(SRC) $(TEST_SRC) $(BENCH_SRC) $(FUZZ_SRC) $(wildcard tests/soak/*.c tests/tour/*.c tests/support/*.c tests/golden/*.c tests/real/*.c))

setup: ## install every package needed to build and test, through the system's package manager
	@sh .ci/setup

run: all ## open the workbench; without a terminal, replay its default recipe as plain lines
	@if [ -t 1 ]; then $(BUILD)/vise; else $(BUILD)/vise run recipes/w4.lua; fi

tests: $(TEST_BIN)

check: $(BUILD)/vise tests $(BUILD)/tests/golden/golden $(BUILD)/tests/real/tables ## structure, format and all tests, side by side; ends with N passed, N failed, N skipped
	@VISE_BUILD=$(BUILD) sh tests/check/run.sh $(TEST_BIN) $(TEST_SH)

bench: $(BUILD)/vise $(BENCH_SRC:%.c=$(BUILD)/%) ## measure products, ops and models against this machine's peak
	@for b in $(sort $(filter %/bench_numeric,$(BENCH_SRC:%.c=$(BUILD)/%))) \
		$(filter-out %/bench_numeric,$(BENCH_SRC:%.c=$(BUILD)/%)); do echo "== $${b##*/}"; $$b || exit 1; done

debug: ## build with assertions and little optimisation, into build-debug
	@$(MAKE) MODE=debug all

asan: ## the whole check under the address and undefined-behaviour sanitizers, leaks included
	@ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1 \
		UBSAN_OPTIONS=print_stacktrace=1 CHECK_SECONDS=3600 $(MAKE) MODE=asan check

# Without OpenMP, whose run-time library the sanitizer cannot see into and reports falsely.
THREAD_TESTS := $(if $(TEST_SRC),$(shell grep -lE 'pthread_|session/session\.h|ui/ui\.h|atomic_' $(TEST_SRC)))
tsan: ## the tests that involve threads under the thread sanitizer
	@TSAN_OPTIONS=exitcode=66:die_after_fork=0:second_deadlock_stack=1:suppressions=$(CURDIR)/tests/check/tsan.supp $(MAKE) MODE=tsan OMP= TEST_SH= \
		TEST_SRC='$(THREAD_TESTS)' check

# Random keys, sizes and commands on the screen during real runs, under both sanitizers (SOAK_KEYS, SOAK_SEED).
soak: ## 10,000 random keys and resizes during runs under the address and thread sanitizers
	@ASAN_OPTIONS=detect_stack_use_after_return=1:log_path=$(CURDIR)/build-asan/soak-report \
		UBSAN_OPTIONS=print_stacktrace=1:log_path=$(CURDIR)/build-asan/soak-report $(MAKE) MODE=asan soak-run
	@TSAN_OPTIONS=exitcode=66:die_after_fork=0:log_path=$(CURDIR)/build-tsan/soak-report:suppressions=$(CURDIR)/tests/check/tsan.supp \
		$(MAKE) MODE=tsan OMP= soak-run
.PHONY: soak soak-run
soak-run: $(BUILD)/vise $(BUILD)/tests/soak/soak_screen
	@rm -f $(BUILD)/soak-report*; $(BUILD)/tests/soak/soak_screen || { cat $(BUILD)/soak-report* 2>/dev/null; exit 1; }

tour: $(BUILD)/tests/tour/tour ## play the tour of docs/tour.md and draw its pictures anew
	@$(BUILD)/tests/tour/tour && ls docs/tour
.PHONY: tour

fuzz: ## fuzz every reader with libFuzzer, FUZZ_SECONDS each (60), from tests/fuzz/corpus
	@command -v clang >/dev/null || { echo "make fuzz needs clang (Debian: apt-get install clang)"; exit 1; }
	@$(MAKE) MODE=fuzz CC=clang OMP= fuzz-run
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/libvise.a
	$(call say,link,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)
.PHONY: fuzz-run
fuzz-run: $(FUZZ_SRC:%.c=$(BUILD)/%)
	@for f in $^; do name=$${f##*/fuzz_}; mkdir -p $(BUILD)/corpus/$$name tests/fuzz/corpus/$$name; \
		echo "== fuzz_$$name, $(FUZZ_SECONDS) s"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=10 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(BUILD)/$$name- $(BUILD)/corpus/$$name tests/fuzz/corpus/$$name || exit 1; done

coverage: ## run the tests with line counters and print what they reach, room by room
	@find build-coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) MODE=coverage check; status=$$?; sh tests/check/coverage.sh build-coverage; exit $$status

golden: $(BUILD)/tests/golden/golden ## check methods against the vectors in DIR (make golden DIR=../shared/golden)
	@$(BUILD)/tests/golden/golden "$(DIR)"

facts: $(BUILD)/tests/real/tables $(BUILD)/tests/compress/test_facts ## methods on the real models: others' tables cell by cell, then what must hold on every layer for every method
	@$(BUILD)/tests/real/tables && VISE_FACTS=all $(BUILD)/tests/compress/test_facts

docs: $(BUILD)/tests/script/print_reference ## write the reference part of docs/recipes.md from the tables of the program
	@sed '/^<!-- reference/q' docs/recipes.md > $(BUILD)/recipes.md && echo >> $(BUILD)/recipes.md && \
		$< >> $(BUILD)/recipes.md && mv $(BUILD)/recipes.md docs/recipes.md

SHARED = lua recipes views data
install: all ## install to PREFIX (/usr/local), below DESTDIR when given
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/vise" "$(DESTDIR)$(PREFIX)/share/doc/vise"
	install -m 755 $(BUILD)/vise "$(DESTDIR)$(PREFIX)/bin/vise"
	for d in $(SHARED); do cp -R $$d "$(DESTDIR)$(PREFIX)/share/vise/" || exit 1; done
	cp -R README.md LICENSE docs/. "$(DESTDIR)$(PREFIX)/share/doc/vise/"
	find "$(DESTDIR)$(PREFIX)/share/vise" "$(DESTDIR)$(PREFIX)/share/doc/vise" -type d -exec chmod 755 {} +
	find "$(DESTDIR)$(PREFIX)/share/vise" "$(DESTDIR)$(PREFIX)/share/doc/vise" -type f -exec chmod 644 {} +
uninstall: ## remove what install put there
	rm -f "$(DESTDIR)$(PREFIX)/bin/vise"
	rm -rf "$(DESTDIR)$(PREFIX)/share/vise" "$(DESTDIR)$(PREFIX)/share/doc/vise"

compile_commands.json: always ## for editors and clang tools
	@{ echo '['; first=; for f in src/main.c $(SRC) $(TEST_SRC) $(wildcard tests/support/*.c); do \
		[ -z "$$first" ] || echo ','; first=no; \
		printf '{"directory": "%s", "file": "%s", "command": "$(CC) $(ALL_CFLAGS) -c %s"}' "$(CURDIR)" "$$f" "$$f"; \
	done; echo; echo ']'; } > $@

clean: ## remove everything that was built
	rm -rf build build-debug build-asan build-tsan build-fuzz build-coverage compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z_.]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-28s %s\n", $$1, $$2}'
