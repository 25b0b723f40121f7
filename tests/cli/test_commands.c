// The commands as a user types them: what they print, their exit codes, what they leave behind when stopped or killed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/support.h"

static char program[4096];

// This program is BUILD/tests/cli/test_commands; the one under test is BUILD/vise.
static void find_program(void) {
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 8);
    if (n < 0) abort();
    program[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(program, '/') = 0;
    strcat(program, "/vise");
}

// Standard output of `vise arguments`; the exit code must be `code`. Caller frees.
static char *vise(int code, const char *arguments) {
    char command[8192];
    const char *state = support_temp_path("state");
    snprintf(command, sizeof command, "cd %s && XDG_STATE_HOME=%s timeout 100 %s %s 2> %s < /dev/null", support_tree(),
             state, program, arguments, support_temp_path("errors.txt"));
    char *out = NULL;
    int got = support_run(command, &out);
    if (got != code) {
        char *said = support_read(support_temp_path("errors.txt"), NULL);
        print_error("vise %s: exit code %d, expected %d\n%s%s\n", arguments, got, code, out, said);
        free(said);
    }
    assert_int_equal(got, code);
    return out;
}

static void says(int code, const char *arguments, const char *expected) {
    char *out = vise(code, arguments);
    if (!strstr(out, expected)) print_error("vise %s printed no '%s':\n%s\n", arguments, expected, out);
    assert_non_null(strstr(out, expected));
    free(out);
}

static void test_help(void **state) {
    (void)state;
    says(0, "--help", "vise run RECIPE");
    says(0, "--version", "vise ");
    says(0, "help run", "--set NAME=VALUE");
    const char *const commands[] = {"run", "recipes", "info", "eval", "methods", "history", "replay"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "%s --help", commands[i]);
        says(0, arguments, "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped.");
    }
}

static void test_tables(void **state) {
    (void)state;
    says(0, "methods", "quantize");
    says(0, "methods quantize", "Arguments:");
    says(0, "methods gptq", "arXiv 2210.17323");
    says(0, "recipes", "w4-group");
    says(0, "recipes w4", "param(\"bits\"");
    says(0, "info data/models/digits-cnn.safetensors", "architecture cnn");
    says(0, "eval data/models/digits-cnn.safetensors", "top-1 9");
    says(0, "eval data/models/digits-mlp.safetensors data/digits --part select", "digits/select");
}

// Every line of --json is an object with an event; the last one says how it ended.
static void test_json(void **state) {
    (void)state;
    char command[4200];
    snprintf(command, sizeof command, "run w4 --json --no-history --out %s", support_temp_path("json"));
    char *out = vise(0, command);
    int lines = 0, layers = 0;
    char last[32] = "";
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t trouble;
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &trouble);
        assert_non_null(o);
        const char *event = json_string_value(json_object_get(o, "event"));
        assert_non_null(event);
        layers += strcmp(event, "layer_end") == 0;
        snprintf(last, sizeof last, "%s", event);
        lines++;
        json_decref(o);
    }
    assert_true(lines > 10 && layers == 5);
    assert_string_equal(last, "run_end");
    free(out);
}

// Size in the file system = tensors + header as reported; packed layers say what they take in the file.
static void test_run_info_replay(void **state) {
    (void)state;
    char path[4096], command[4200];
    snprintf(path, sizeof path, "%s/w4.safetensors", support_temp_path("saved"));
    snprintf(command, sizeof command, "run w4 --set bits=3 --out %s", support_temp_path("saved"));
    says(0, command, "recorded as run");
    size_t bytes;
    free(support_read(path, &bytes));
    snprintf(command, sizeof command, "info %s --json", path);
    char *out = vise(0, command);
    json_error_t trouble;
    json_t *o = json_loads(out, 0, &trouble), *layer;
    assert_non_null(o);
    int64_t tensors = json_integer_value(json_object_get(o, "bytes")),
            header = json_integer_value(json_object_get(o, "header_bytes"));
    assert_int_equal(tensors + header, bytes);
    size_t i;
    int64_t sum = 0;
    json_array_foreach(json_object_get(o, "layers"), i, layer) {
        int64_t b = json_integer_value(json_object_get(layer, "bytes")),
                w = json_integer_value(json_object_get(layer, "weights"));
        assert_true(b * 8 >= w * 3 && b < w); // three bits and the scales
        sum += b;
    }
    assert_true(sum > 0 && sum < tensors);
    json_decref(o);
    free(out);
    snprintf(command, sizeof command, "eval %s", path);
    says(0, command, "top-1 ");
    says(0, "history", "w4");
    says(0, "history 1", "{\"bits\":3");
    says(0, "replay 1", "1 of 1 files have the recorded bytes");
    says(0, "history 1 --json", "\"output_hash\"");
}

// The same bytes at one thread and two.
static void test_threads(void **state) {
    (void)state;
    char command[4200], a[4096], b[4096];
    for (int threads = 1; threads <= 2; threads++) {
        snprintf(command, sizeof command, "run low-rank-then-w4 --threads %d --no-history --out %s", threads,
                 support_temp_path(threads == 1 ? "one" : "two"));
        free(vise(0, command));
    }
    snprintf(a, sizeof a, "%s/low-rank-then-w4.safetensors", support_temp_path("one"));
    snprintf(b, sizeof b, "%s/low-rank-then-w4.safetensors", support_temp_path("two"));
    assert_true(support_same_files(a, b));
}

// Start a long training, wait for its first line, send the signal; the exit status of the process.
static int interrupted(int signal_number, const char *out_folder) {
    int lines[2];
    assert_int_equal(pipe(lines), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(lines[1], STDOUT_FILENO);
        if (!freopen("/dev/null", "w", stderr)) _exit(99);
        setenv("XDG_STATE_HOME", support_temp_path("state"), 1);
        execl(program, "vise", "run", "train-digits-mlp", "--set", "epochs=1000", "--out", out_folder, (char *)NULL);
        _exit(98);
    }
    close(lines[1]);
    // "best so far" on a line: there is something to keep.
    FILE *f = fdopen(lines[0], "r");
    char line[1024];
    while (fgets(line, sizeof line, f))
        if (strstr(line, "best so far")) break;
    kill(child, signal_number);
    while (fgets(line, sizeof line, f)) {}
    fclose(f);
    int status;
    waitpid(child, &status, 0);
    return status;
}

static void test_stop_keeps_what_is_finished(void **state) {
    (void)state;
    char out[4096], file[4200];
    snprintf(out, sizeof out, "%s", support_temp_path("stopped"));
    int status = interrupted(SIGINT, out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_int_equal(support_count_entries(out), 1);
    snprintf(file, sizeof file, "eval %s/train-digits-mlp-stopped.safetensors data/digits", out);
    says(0, file, "top-1 ");
    says(0, "history --limit 1", "cancelled");
}

static void test_kill_leaves_nothing(void **state) {
    (void)state;
    char out[4096];
    snprintf(out, sizeof out, "%s", support_temp_path("killed"));
    int status = interrupted(SIGKILL, out);
    assert_true(WIFSIGNALED(status));
    if (access(out, F_OK) == 0) assert_int_equal(support_count_entries(out), 0);
    says(0, "history --limit 1", "killed");
}

// A shell line in the folder `folder` with VISE and the state set; the exit code must be `code`. Caller frees the
// output.
static char *shell(int code, const char *folder, const char *line) {
    char command[16384], state[4096];
    snprintf(state, sizeof state, "%s", support_temp_path("state"));
    snprintf(command, sizeof command, "cd %s && export XDG_STATE_HOME=%s VISE=%s TREE=$(realpath %s) && { %s; } 2>&1",
             folder, state, program, support_tree(), line);
    char *out = NULL;
    int got = support_run(command, &out);
    if (got != code) print_error("%s: exit code %d, expected %d\n%s\n", line, got, code, out);
    assert_int_equal(got, code);
    return out;
}

// The recipe's own model is found from the tree; the replay starts somewhere else.
static void test_replay_elsewhere(void **state) {
    (void)state;
    free(vise(0, "run w4 --quiet --out elsewhere-out && rm -r elsewhere-out"));
    char *out = shell(0, support_temp_dir(), "$VISE replay $($VISE history --limit 1 | awk 'END { print $1 }')");
    assert_non_null(strstr(out, "1 of 1 files have the recorded bytes"));
    free(out);
}

// A link is read under its own name and with what stands beside it, and stays a link when something is saved there.
static void test_links(void **state) {
    (void)state;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", support_temp_dir());
    char *out = shell(0, folder,
                      "mkdir -p store links && cp $TREE/data/models/digits-cnn.safetensors store/0a1b && "
                      "ln -sf ../store/0a1b links/named.safetensors && "
                      "$VISE eval links/named.safetensors $TREE/data/digits");
    assert_non_null(strstr(out, "named: top-1 99.44 %"));
    free(out);
    out = shell(0, folder,
                "$VISE run w4 --model links/named.safetensors --data $TREE/data/digits --out l && "
                "$VISE history $($VISE history --limit 1 | awk 'END { print $1 }')");
    assert_non_null(strstr(out, "/links/named.safetensors"));
    assert_null(strstr(out, "0a1b"));
    free(out);
}

static void test_output_lost(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    const char *const lines[] = {"$VISE run w4 --no-history --out l >/dev/full",
                                 "$VISE run w4 --no-history --out l --json >/dev/full", "$VISE recipes >/dev/full"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char *out = shell(1, support_temp_dir(), lines[i]);
        assert_non_null(strstr(out, "vise: cannot write to standard output"));
        free(out);
    }
}

// Into a pipe, lines come as they are made, in order with what goes to standard error.
static void test_order_of_lines(void **state) {
    (void)state;
    char *out = shell(1, support_temp_dir(),
                      "printf 'recipe{ name = \"b\", about = \"b\", source = \"b\" }\n"
                      "local n = param(\"n\", 1, {1, 2}, \"n\")\nmodel(\"nowhere\")\n' > b.lua; "
                      "$VISE run b.lua --no-history");
    const char *param = strstr(out, "  n = 1"), *error = strstr(out, "vise: ");
    assert_true(param && error && param < error);
    free(out);
}

static void test_hangup_keeps_what_is_finished(void **state) {
    (void)state;
    char out[4096];
    snprintf(out, sizeof out, "%s", support_temp_path("hung"));
    int status = interrupted(SIGHUP, out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_int_equal(support_count_entries(out), 1);
}

// One sample has a figure but no interval; nothing prints as nan, and a divergence is not negative.
// What a recipe says and calls its files is text, whatever a terminal would make of it.
static void test_control_characters(void **state) {
    (void)state;
    const char *path = support_temp_path("escape.lua");
    static const char source[] = "recipe{ name = 'e', about = 'a', source = 's' } -- \x1b[31m\n"
                                 "print('x\\27[2Jy') log('\\27]0;title\\7')\n"
                                 "save(model('data/models/digits-mlp.safetensors'), 'a\\27b.safetensors')\n";
    support_write(path, source, sizeof source - 1);
    char command[8192];
    snprintf(command, sizeof command, "run %s --out %s", path, support_temp_path("escaped"));
    char *out = vise(0, command);
    assert_non_null(strstr(out, "x?[2Jy"));
    assert_null(strchr(out, '\x1b'));
    free(out);
    out = vise(0, "history --limit 1");
    long long newest = strtoll(strchr(out, '\n'), NULL, 10);
    free(out);
    snprintf(command, sizeof command, "history %lld", newest);
    out = vise(0, command);
    assert_non_null(strstr(out, "-- ?[31m"));
    assert_null(strchr(out, '\x1b'));
    free(out);
}

static void test_few_samples(void **state) {
    (void)state;
    char *out = shell(0, support_temp_dir(),
                      "head -4 $TREE/data/digits/*.csv > few.csv; "
                      "$VISE run w4 --no-history --data few.csv --out l");
    assert_null(strstr(out, "nan"));
    assert_null(strstr(out, "[-"));
    assert_non_null(strstr(out, "(1 sample)"));
    free(out);
}

// Characters numbered by another text are not the network's tokens; its own text is.
static void test_text_of_other_ids(void **state) {
    (void)state;
    char *out = shell(0, support_temp_dir(),
                      "printf 'to be or not to be that is the question\nto be or not to be\n' > t.txt && "
                      "printf 'return { data = \"t.txt\", level = \"char\", window = 4 }' > t.lua && "
                      "$VISE eval $TREE/data/models/text-llama.safetensors t.lua");
    assert_non_null(strstr(out, "warning: t/test is text in 1"));
    free(out);
}

// A run that opened neither model nor data says so, and its neighbours are named as they are.
static void test_run_of_nothing(void **state) {
    (void)state;
    char *out = shell(0, support_temp_dir(),
                      "printf 'recipe{ name = \"hello\", about = \"x\", source = \"y\" } print(1)' > h.lua && "
                      "$VISE run h.lua && $VISE history $($VISE history --limit 1 | awk 'END { print $1 }')");
    assert_non_null(strstr(out, "model   none was opened\n"));
    assert_non_null(strstr(out, "data    none was opened\n"));
    free(out);
    out = shell(2, support_temp_dir(), "$VISE compare this that");
    assert_non_null(strstr(out, "the name of a recipe"));
    assert_null(strstr(out, "range"));
    free(out);
}

// Where nothing can be written, no empty database is left behind.
static void test_no_room_for_history(void **state) {
    (void)state;
    char *out = shell(0, support_temp_dir(),
                      "( trap '' XFSZ; ulimit -f 0; $VISE history --state s >/dev/null; test $? = 1 ) && ls -A s && "
                      "$VISE history --state s >/dev/null && ls s");
    assert_non_null(strstr(out, "disk I/O error; --state DIR keeps the history elsewhere\nhistory.db\n"));
    free(out);
}

int main(void) {
    find_program();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_run_info_replay),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_stop_keeps_what_is_finished),
        cmocka_unit_test(test_kill_leaves_nothing),
        cmocka_unit_test(test_replay_elsewhere),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_output_lost),
        cmocka_unit_test(test_order_of_lines),
        cmocka_unit_test(test_hangup_keeps_what_is_finished),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_few_samples),
        cmocka_unit_test(test_text_of_other_ids),
        cmocka_unit_test(test_run_of_nothing),
        cmocka_unit_test(test_no_room_for_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
