// Bad input is normal input: broken files, recipes and options through the program itself. Each gives one sentence on
// standard error that names what is wrong, exit code 1 (2 where the command line is at fault), and leaves nothing
// behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/support.h"

static char program[4096];

// This program is BUILD/tests/cli/test_malformed; the one under test is BUILD/vise.
static void find_program(void) {
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 8);
    if (n < 0) abort();
    program[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(program, '/') = 0;
    strcat(program, "/vise");
}

// A safetensors file: 8 bytes of header length (as told, or the true one when told is 0), the header, `bytes` of zeros.
static const char *tensors(const char *name, const char *header, uint64_t told, size_t bytes) {
    const char *path = support_temp_path(name);
    size_t length = strlen(header);
    unsigned char *all = calloc(1, 8 + length + bytes);
    uint64_t stated = told ? told : length;
    for (int i = 0; i < 8; i++) all[i] = (unsigned char)(stated >> (8 * i));
    memcpy(all + 8, header, length);
    support_write(path, all, 8 + length + bytes);
    free(all);
    return path;
}

static const char *text(const char *name, const char *content) {
    const char *path = support_temp_path(name);
    support_write(path, content, strlen(content));
    return path;
}

// Run the program; standard error must hold exactly one sentence that contains `expected`.
static void refused(const char *arguments, int exit_code, const char *expected) {
    const char *state = support_temp_path("state"), *out = support_temp_path("out");
    char command[8192];
    const char *errors = support_temp_path("errors.txt");
    snprintf(command, sizeof command,
             "cd / && XDG_STATE_HOME=%s XDG_CACHE_HOME=%s timeout 60 %s %s > %s 2> %s < /dev/null", state, state,
             program, arguments, "/dev/null", errors);
    int code = support_run(command, NULL);
    size_t bytes;
    char *said = support_read(errors, &bytes);
    if (code != exit_code || !strstr(said, expected) || strncmp(said, "vise: ", 6) != 0 ||
        strchr(said, '\n') != said + bytes - 1) {
        print_error("vise %s\n  exit code %d, expected %d\n  said: %s  expected one line with: %s\n", arguments, code,
                    exit_code, said, expected);
        fail();
    }
    free(said);
    // Nothing half-written: the out folder holds nothing.
    struct stat st;
    if (stat(out, &st) == 0) assert_int_equal(support_count_entries(out), 0);
}

static void info_refuses(const char *path, const char *expected) {
    char arguments[4096];
    snprintf(arguments, sizeof arguments, "info '%s'", path);
    refused(arguments, 1, expected);
}

#define T(name, dtype, shape, from, to)                                                                                \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void test_checkpoints(void **state) {
    (void)state;
    info_refuses(support_temp_path("missing.safetensors"), "missing.safetensors");
    info_refuses("/", "/");
    info_refuses(text("empty.safetensors", ""), "empty.safetensors");
    info_refuses(text("short.safetensors", "abc"), "short.safetensors");
    info_refuses(tensors("past.safetensors", "{}", 1000000, 0), "header");
    info_refuses(tensors("huge.safetensors", "{}", UINT64_MAX, 0), "header");
    info_refuses(tensors("notjson.safetensors", "{hello", 0, 0), "JSON");
    info_refuses(tensors("list.safetensors", "[1,2]", 0, 0), "list.safetensors");
    info_refuses(tensors("dtype.safetensors", "{" T("w", "Q9", "[2,2]", "0", "16") "}", 0, 16), "Q9");
    info_refuses(tensors("size.safetensors", "{" T("w", "F32", "[2,3]", "0", "16") "}", 0, 16), "w");
    info_refuses(tensors("negative.safetensors", "{" T("w", "F32", "[-2,-2]", "0", "16") "}", 0, 16), "w");
    info_refuses(tensors("reversed.safetensors", "{" T("w", "F32", "[2,2]", "16", "0") "}", 0, 16), "w");
    info_refuses(tensors("beyond.safetensors", "{" T("w", "F32", "[2,2]", "0", "16") "}", 0, 8), "w");
    info_refuses(tensors("overlap.safetensors",
                         "{" T("a", "F32", "[2,2]", "0", "16") "," T("b", "F32", "[2,2]", "8", "24") "}", 0, 24),
                 "overlap");
    info_refuses(tensors("hole.safetensors",
                         "{" T("a", "F32", "[2,2]", "0", "16") "," T("b", "F32", "[2,2]", "32", "48") "}", 0, 48),
                 "hole.safetensors");
    info_refuses(
        tensors("overflow.safetensors", "{" T("w", "F32", "[4294967296,4294967296,4294967296]", "0", "16") "}", 0, 16),
        "w");
    info_refuses(tensors("twice.safetensors",
                         "{" T("a", "F32", "[2,2]", "0", "16") "," T("a", "F32", "[2,2]", "16", "32") "}", 0, 32),
                 "twice.safetensors");
    info_refuses(text("broken.npz", "PK\x03\x04 but no more"), "broken.npz");
    info_refuses(text("words.txt", "these are words, not weights\n"), "words.txt");
}

static void test_broken_weights(void **state) {
    (void)state;
    // The shipped CNN with one weight turned into NaN, and cut off in the middle.
    char shipped[4096];
    snprintf(shipped, sizeof shipped, "%s/data/models/digits-cnn.safetensors", support_tree());
    size_t bytes;
    char *all = support_read(shipped, &bytes);
    const char *cut = support_temp_path("cut.safetensors");
    support_write(cut, all, bytes / 2);
    info_refuses(cut, "cut.safetensors");
    float bad = NAN;
    memcpy(all + bytes - 4, &bad, 4);
    const char *nan = support_temp_path("nan.safetensors");
    support_write(nan, all, bytes);
    free(all);
    char arguments[4096];
    snprintf(arguments, sizeof arguments, "run w4 --model '%s' --out '%s'", nan, support_temp_path("out"));
    refused(arguments, 1, "NaN");
}

static void eval_refuses(const char *data, int code, const char *expected) {
    char arguments[8192];
    snprintf(arguments, sizeof arguments, "eval '%s/data/models/digits-cnn.safetensors' '%s'", support_tree(), data);
    refused(arguments, code, expected);
}

static const char *digit_lines(const char *name, int lines, const char *tail) {
    static char all[1 << 16];
    size_t n = 0;
    for (int i = 0; i < lines; i++) {
        for (int k = 0; k < 64; k++) n += (size_t)snprintf(all + n, sizeof all - n, "%d,", (i * 7 + k) % 17);
        n += (size_t)snprintf(all + n, sizeof all - n, "%d\n", i % 10);
    }
    snprintf(all + n, sizeof all - n, "%s", tail);
    return text(name, all);
}

static void test_datasets(void **state) {
    (void)state;
    eval_refuses(support_temp_path("nothing.csv"), 1, "nothing.csv");
    eval_refuses(text("empty.csv", ""), 1, "empty.csv");
    eval_refuses(digit_lines("ragged.csv", 30, "1,2,3\n"), 1, "31");
    eval_refuses(digit_lines("word.csv", 30, "1,2,x"), 1, "31");
    eval_refuses(digit_lines("quote.csv", 3, "\"never closed,1,2\n3,4\n"), 1, "quote.csv");
    eval_refuses(text("bad-idx3-ubyte", "\x01\x02\x03\x04 no magic"), 1, "bad-idx3-ubyte");
    eval_refuses(text("cut.npy", "\x93NUMPY\x01"), 1, "cut.npy");
    eval_refuses(text("looping.lua", "while true do end"), 1, "looping.lua");
    eval_refuses(text("unknown.lua", "return { nmae = 'x' }"), 1, "nmae");
    eval_refuses(text("syntax.lua", "return {{"), 1, "syntax.lua");
    eval_refuses(text("number.lua", "return 42"), 1, "number.lua");
    eval_refuses(text("escape.lua", "return { name = 'x', folder = os.getenv('HOME') }"), 1, "escape.lua");
    digit_lines("small.csv", 40, "");
    eval_refuses(text("shape.lua", "return { name='s', csv='small.csv', shape={1,9,9} }"), 1, "shape");
    char tail[1024] = "";
    for (int k = 0; k < 64; k++) strcat(tail, "0,");
    strcat(tail, "123456789012\n");
    eval_refuses(digit_lines("far.csv", 40, tail), 1, "41");
}

static void run_refuses(const char *recipe, const char *more, int code, const char *expected) {
    char arguments[8192];
    snprintf(arguments, sizeof arguments, "run '%s' --out '%s' %s", recipe, support_temp_path("out"), more);
    refused(arguments, code, expected);
}

#define HEAD "recipe{ name = 'bad', about = 'a bad recipe', source = 'this test' }\n"
#define OPEN "local net = model(arg.model or 'data/models/digits-cnn.safetensors')\n"
#define DATA "local data = dataset(arg.data or 'data/digits')\n"

static void test_recipes(void **state) {
    (void)state;
    run_refuses(support_temp_path("none.lua"), "", 1, "none.lua");
    run_refuses("no-such-recipe", "", 1, "no-such-recipe");
    run_refuses(text("syntax-recipe.lua", HEAD "local x = = 3\n"), "", 1, "syntax-recipe.lua:2");
    run_refuses(text("headless.lua", OPEN), "", 1, "recipe{");
    run_refuses(text("nameless.lua", "recipe{ about = 'a', source = 's' }\n"), "", 1, "name");
    run_refuses(text("loop.lua", HEAD "while true do end\n"), "", 1, "loop.lua:2");
    run_refuses(text("memory.lua", HEAD "local t = 'x' while true do t = t .. t end\n"), "", 1, "memory.lua");
    run_refuses(text("recursion.lua", HEAD "local function f() return 1 + f() end f()\n"), "", 1, "recursion.lua:2");
    run_refuses(text("pcall.lua", HEAD "while true do pcall(function() while true do end end) end\n"), "", 1,
                "pcall.lua:2");
    run_refuses(text("globals.lua", HEAD "local x = colour_of_magic\n"), "", 1, "colour_of_magic");
    run_refuses(text("io.lua", HEAD "io.open('/etc/passwd')\n"), "", 1, "io");
    run_refuses(text("raise.lua", HEAD "error({})\n"), "", 1, "raise.lua");
    run_refuses(text("layer.lua", HEAD OPEN DATA "compress(net, { rule('conv99', quantize{ bits = 4 }) })\n"), "", 1,
                "conv99");
    run_refuses(text("pattern.lua", HEAD OPEN "compress(net, { rule('(conv', quantize{ bits = 4 }) })\n"), "", 1,
                "(conv");
    run_refuses(text("argument.lua", HEAD OPEN "compress(net, { rule('.*', quantize{ bist = 4 }) })\n"), "", 1, "bits");
    run_refuses(text("range.lua", HEAD OPEN "compress(net, { rule('.*', quantize{ bits = 77 }) })\n"), "", 1, "77");
    run_refuses(text("kind.lua", HEAD OPEN "compress(net, { rule('.*', quantize{ bits = 'four' }) })\n"), "", 1,
                "four");
    run_refuses(text("nomodel.lua", HEAD "model('no/such/model.safetensors')\n"), "", 1, "no/such/model.safetensors");
    run_refuses(text("nodata.lua", HEAD OPEN "dataset('no/such/data')\n"), "", 1, "no/such/data");
    run_refuses(text("escape-save.lua", HEAD OPEN "save(net, '../../escaped.safetensors')\n"), "", 1, "../../escaped");
    run_refuses(text("twice.lua", HEAD "param('b', 1, {0, 2}, 'x') param('b', 1, {0, 2}, 'x')\n"), "", 1, "'b'");
    run_refuses(text("reversed.lua", HEAD "param('b', 1, {2, 0}, 'x')\n"), "", 1, "b");
    run_refuses("w4", "--set bist=3", 2, "bist");
    run_refuses("w4", "--set bits=99", 2, "99");
    run_refuses("w4", "--set bits", 2, "NAME=VALUE");
    run_refuses("w4", "--arch no-such-arch", 1, "no-such-arch");
}

static void test_command_line(void **state) {
    (void)state;
    refused("frobnicate", 2, "frobnicate");
    refused("run", 2, "vise run RECIPE");
    refused("run w4 --modle x", 2, "--model");
    refused("run w4 --threads 0", 2, "--threads");
    refused("run w4 --threads many", 2, "many");
    refused("run w4 --model", 2, "--model");
    refused("run w4 --model ''", 2, "the value of --model is empty; expected PATH");
    refused("run w4 --data=", 2, "the value of --data is empty");
    refused("info ''", 2, "argument 1 is empty");
    refused("run w4 --base no/such/base", 1, "--base: there is no 'no/such/base'");
    refused("info data/models/digits-cnn.safetensors --base no/such/base", 1, "--base: there is no 'no/such/base'");
    refused("sweep w4 bits=2 --csv /tmp/x --svg /tmp/x", 2, "two tables would be written to one file, /tmp/x");
    refused("run w4 -x", 2, "-x");
    refused("replay one", 2, "one");
    refused("replay 12345", 1, "12345");
    refused("methods gtpq-of-doom", 2, "gtpq-of-doom");
    refused("history x", 2, "'x'");
    refused("eval data/models/digits-cnn.safetensors x y", 2, "vise eval");
    refused("run w4 --state /dev/null/state", 1, "/dev/null");
    refused("run w4 --out /dev/null/out", 1, "--out /dev/null/out: /dev/null is not a folder");
    refused("run w4 --out /dev/full", 1, "--out /dev/full: /dev/full is not a folder");
    refused("sweep w4 bits=2 --out /dev/full", 1, "/dev/full is not a folder");
    refused("replay 1 --out /dev/full", 1, "/dev/full is not a folder");
    refused("run w4 --data /dev/zero", 1, "/dev/zero: neither a file nor a folder");
}

// A file system that is full, or a file larger than allowed: the sentence names the file, and nothing is left of it.
static void test_full_disk(void **state) {
    (void)state;
    const char *out = support_temp_path("full");
    mkdir(out, 0755);
    char command[8192];
    const char *errors = support_temp_path("full-errors.txt");
    snprintf(
        command, sizeof command,
        "mount -t tmpfs -o size=4k none %s 2>/dev/null || exit 99; %s run w8 --no-history --out %s > /dev/null 2> %s; "
        "code=$?; ls -A %s | wc -l | grep -qx 0 || code=77; umount %s; exit $code",
        out, program, out, errors, out, out);
    int code = support_run(command, NULL);
    if (code == 99) {
        snprintf(command, sizeof command, "ulimit -f 2; %s run w8 --no-history --out %s > /dev/null 2> %s", program,
                 out, errors);
        code = support_run(command, NULL);
        assert_int_equal(support_count_entries(out), 0);
    }
    size_t bytes;
    char *said = support_read(errors, &bytes);
    if (code != 1) print_error("exit code %d, said: %s\n", code, said);
    assert_int_equal(code, 1);
    assert_non_null(strstr(said, out));
    free(said);
    // Standard output that cannot be written is a failure too.
    snprintf(command, sizeof command, "%s methods > /dev/full 2> %s", program, errors);
    assert_int_equal(support_run(command, NULL), 1);
}

int main(void) {
    find_program();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_line), cmocka_unit_test(test_checkpoints), cmocka_unit_test(test_broken_weights),
        cmocka_unit_test(test_datasets),     cmocka_unit_test(test_recipes),     cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
