# Vise: `make setup run` to see it work, `make setup check` to test it. `make help` lists the targets.
CC ?= cc
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
MODE ?= release
PKGS := ncursesw lua5.4 libpcre2-8 openblas lapacke sqlite3 jansson zlib libxxhash
WARN := -std=c17 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
DEFS := -D_GNU_SOURCE -DVISE_PREFIX='"$(PREFIX)"'
OMP ?= -fopenmp
CFLAGS_release := -O3 -g -DNDEBUG -ffp-contract=off -fno-math-errno -fno-trapping-math
CFLAGS_debug := -O1 -g -ffp-contract=off
SAN_debug :=
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lcsv -lm -ldl -lpthread
ALL_CFLAGS = $(WARN) $(DEFS) $(CFLAGS_$(MODE)) $(SAN) $(OMP) -I. -Isrc $(PKG_CFLAGS) $(CFLAGS)
SRC := $(wildcard src/*/*.c src/*/*/*.c)
OBJ := $(SRC:%.c=$(BUILD)/%.o)
TEST_SRC := $(wildcard tests/*/test_*.c)
TEST_BIN := $(TEST_SRC:%.c=$(BUILD)/%)
TEST_HELP := $(wildcard tests/support/*.c)
TEST_HELP_OBJ := $(TEST_HELP:%.c=$(BUILD)/%.o)

.PHONY: all run check tests clean
all: $(BUILD)/vise
$(BUILD)/vise: $(BUILD)/src/main.o $(BUILD)/libvise.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/libvise.a: $(OBJ)
	@rm -f $@
	ar rcs $@ $(OBJ)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_HELP_OBJ) $(BUILD)/libvise.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka -lvterm $(PKG_LIBS)
.SECONDARY:
tests: $(TEST_BIN)
check: $(BUILD)/vise tests
	@for t in $(TEST_BIN); do $$t || exit 1; done
clean:
	rm -rf $(BUILD)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
