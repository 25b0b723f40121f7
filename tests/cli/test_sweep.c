// vise sweep and vise merge as a user types them: tables that are equal however the work was cut up - resumed, killed,
// spread over shards - and what is said about arguments and databases that are wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/support.h"

static char program[4096];

// This program is BUILD/tests/cli/test_sweep; the one under test is BUILD/vise.
static void find_program(void) {
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 8);
    if (n < 0) abort();
    program[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(program, '/') = 0;
    strcat(program, "/vise");
}

// Both outputs of `vise <format>`; the exit code must be `code`. Caller frees.
static char *vise(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *vise(int code, const char *format, ...) {
    char arguments[4096], command[9000], *out = NULL;
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "cd %s && timeout 100 %s %s < /dev/null", support_tree(), program, arguments);
    int got = support_run(command, &out);
    if (got != code) print_error("vise %s: exit code %d, expected %d\n%s\n", arguments, got, code, out);
    assert_int_equal(got, code);
    return out;
}

static void says(const char *out, const char *expected) {
    if (!strstr(out, expected)) print_error("'%s' is not in:\n%s\n", expected, out);
    assert_non_null(strstr(out, expected));
}

static void refuses(const char *expected, const char *arguments) {
    char *out = vise(2, "%s --state %s", arguments, support_temp_path("unused"));
    says(out, expected);
    free(out);
}

static bool same_text_files(const char *a, const char *b) {
    bool same = support_same_files(support_temp_path(a), support_temp_path(b));
    if (!same) {
        char *left = support_read(support_temp_path(a), NULL), *right = support_read(support_temp_path(b), NULL);
        print_error("%s:\n%s\n%s:\n%s\n", a, left, b, right);
        free(left);
        free(right);
    }
    return same;
}

// A sweep with its history in `state` and its table in `csv`, both in this program's folder.
#define SWEEP "sweep w4-group bits=2..4 group=32,64 --threads 1 --state %s/%s --csv %s/%s"

static char *sweep(int code, const char *state, const char *csv, const char *more) {
    return vise(code, SWEEP " %s", support_temp_path(""), state, support_temp_path(""), csv, more);
}

// One number out of a history; -1 for a statement without an answer.
static int64_t count_in(const char *state, const char *sql) {
    char path[4200];
    sqlite3 *db;
    sqlite3_stmt *st;
    snprintf(path, sizeof path, "%s/%s/history.db", support_temp_path(""), state);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    int code = sqlite3_step(st);
    assert_true(code == SQLITE_ROW || code == SQLITE_DONE);
    int64_t value = code == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_finalize(st);
    sqlite3_close(db);
    return value;
}

static void test_whole_and_resumed(void **state) {
    (void)state;
    char *out = sweep(0, "whole", "whole.csv", "");
    says(out, "[1/6] bits=2 group=32: top-1");
    says(out, "front of bytes against top-1 on digits/test (higher is better)");
    says(out, "6 points run");
    free(out);
    char *table = support_read(support_temp_path("whole.csv"), NULL);
    says(table, "bits,group,state,metric,");
    says(table, "\n4,64,done,top1,digits/test,");
    free(table);
    out = sweep(0, "whole", "resumed.csv", "--resume");
    says(out, "as in run 1\n");
    says(out, "0 points run");
    free(out);
    assert_true(same_text_files("whole.csv", "resumed.csv"));
    assert_int_equal(count_in("whole", "SELECT count(*) FROM runs"), 6);
    // Another seed is another sweep.
    out = sweep(0, "whole", "seeded.csv", "--resume --seed 1");
    says(out, "6 points run");
    free(out);
}

static void test_shards(void **state) {
    (void)state;
    const char *const parts[] = {"1/4", "2/4", "3/4", "4/4"};
    for (int i = 0; i < 4; i++) {
        char name[16], more[32];
        snprintf(name, sizeof name, "part%d", i);
        snprintf(more, sizeof more, "--quiet --shard %s", parts[i]);
        free(sweep(0, name, "part.csv", more));
    }
    const char *dir = support_temp_path("");
    char *out =
        vise(0, "merge %s/part0 %s/part1 %s/part2/history.db %s/part3 --state %s/joined", dir, dir, dir, dir, dir);
    says(out, "part0: 2 runs added");
    says(out, "part3: 1 run added");
    free(out);
    int64_t layers = count_in("joined", "SELECT count(*) FROM layers");
    assert_int_equal(count_in("joined", "SELECT count(*) FROM runs"), 6);
    assert_true(layers > 6);
    assert_int_equal(count_in("joined", "SELECT count(*) FROM models WHERE run NOT IN (SELECT id FROM runs)"), 0);
    out = vise(0, "merge %s/part1 %s/part0 --state %s/joined", dir, dir, dir);
    says(out, "part1: 0 runs added, 2 here already");
    free(out);
    assert_int_equal(count_in("joined", "SELECT count(*) FROM runs"), 6);
    assert_int_equal(count_in("joined", "SELECT count(*) FROM layers"), layers);
    out = sweep(0, "joined", "joined.csv", "--resume");
    says(out, "0 points run");
    free(out);
    assert_true(same_text_files("whole.csv", "joined.csv"));
}

// Starts `vise sweep ...` (words separated by blanks); its standard output is at *out.
static pid_t start(FILE **out, const char *format, const char *state, const char *csv) {
    char arguments[4096], *words[64];
    const char *dir = support_temp_path("");
    snprintf(arguments, sizeof arguments, format, dir, state, dir, csv);
    int count = 0, ends[2];
    words[count++] = program;
    for (char *word = strtok(arguments, " "); word; word = strtok(NULL, " ")) words[count++] = word;
    words[count] = NULL;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        freopen("/dev/null", "w", stderr);
        if (chdir(support_tree()) == 0) execv(program, words);
        _exit(99);
    }
    close(ends[1]);
    *out = fdopen(ends[0], "r");
    assert_non_null(*out);
    return child;
}

// Killed again and again at moments that fall on every part of the work: what was done stays, and the table is the
// same in the end. The cache is off, so that every point is work.
static void test_killed(void **state) {
    (void)state;
    int64_t done = 0, kills = 0;
    for (int moment = 40; moment < 4000; moment += 97) {
        FILE *out;
        pid_t child = start(&out, SWEEP " --resume --no-cache --quiet", "killed", "killed.csv");
        usleep((useconds_t)(moment % 400 + moment / 8) * 1000);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        fclose(out);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        kills++;
        int64_t now = done;
        char path[4200];
        snprintf(path, sizeof path, "%s/killed/history.db", support_temp_path(""));
        if (access(path, F_OK) == 0 && count_in("killed", "SELECT 1 FROM sqlite_master WHERE name = 'layers'") == 1)
            now = count_in("killed", "SELECT count(*) FROM runs WHERE status = 'done'");
        assert_true(now >= done && now <= 6);
        done = now;
    }
    assert_true(kills > 0);
    char *out = sweep(0, "killed", "killed.csv", "--resume --no-cache");
    free(out);
    assert_int_equal(count_in("killed", "SELECT count(DISTINCT params) FROM runs WHERE status = 'done'"), 6);
    assert_int_equal(count_in("killed", "SELECT count(*) FROM runs WHERE status = 'done'"), 6); // none computed twice
    assert_true(same_text_files("whole.csv", "killed.csv"));
}

static void test_interrupted(void **state) {
    (void)state;
    FILE *out;
    pid_t child = start(&out, SWEEP " --no-cache", "stopped", "stopped.csv");
    char line[1024], all[8192] = "";
    assert_non_null(fgets(line, sizeof line, out)); // the first point is done
    kill(child, SIGINT);
    while (fgets(line, sizeof line, out)) strncat(all, line, sizeof all - strlen(all) - 1);
    fclose(out);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    says(all, "not run\n");
    says(all, "--resume goes on");
    char *table = support_read(support_temp_path("stopped.csv"), NULL);
    says(table, "\n2,32,done,");
    says(table, "\n4,64,not run,");
    free(table);
    free(sweep(0, "stopped", "stopped.csv", "--resume"));
    assert_true(same_text_files("whole.csv", "stopped.csv"));
}

// A sensitivity table killed while it is measured: the cells it had are kept, none is measured twice, the next run has
// the rest.
static void test_killed_table(void **state) {
    (void)state;
    char path[4200];
    snprintf(path, sizeof path, "%s/table.lua", support_temp_path(""));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("recipe{ name = 'table', about = 'a table', source = 'this test' }\n"
          "local data = dataset('data/digits') local options = {}\n"
          "for b = 2, 8 do options[tostring(b)] = quantize{ bits = b } end\n"
          "local t = sensitivity(model('data/models/digits-cnn.safetensors'), { options = options,\n"
          "  measure = data.select })\n"
          "report(t)\nlog('measured now: ' .. t.measured)\n",
          f);
    fclose(f);
    int64_t cells = 0;
    for (int moment = 60; moment < 2000; moment += 60) {
        FILE *out;
        pid_t child = start(&out, "run %s/%s --threads 1 --state %s/%s", "table.lua", "tables");
        usleep((useconds_t)moment * 1000);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        fclose(out);
        if (WIFEXITED(status)) break;
        snprintf(path, sizeof path, "%s/tables/history.db", support_temp_path(""));
        if (access(path, F_OK) != 0 || count_in("tables", "SELECT 1 FROM sqlite_master WHERE name = 'models'") != 1)
            continue;
        int64_t now = count_in("tables", "SELECT count(*) FROM cells");
        assert_true(now >= cells && now <= 35);
        cells = now;
        if (cells) break;
    }
    assert_true(cells > 0);
    char *out = vise(0, "run %s/table.lua --state %s/tables", support_temp_path(""), support_temp_path(""));
    char expected[64];
    snprintf(expected, sizeof expected, "measured now: %d", (int)(35 - cells));
    says(out, expected);
    free(out);
    assert_int_equal(count_in("tables", "SELECT count(*) FROM cells"), 35);
}

static void test_budget(void **state) {
    (void)state;
    char *out = sweep(0, "budget", "budget.csv", "--budget 0.02");
    says(out, "[1/6] "); // nothing is known of the first point's time
    says(out, "1 points run");
    says(out, "5 not run; --resume goes on");
    free(out);
    free(sweep(0, "budget", "budget.csv", "--resume --budget 1000"));
    assert_true(same_text_files("whole.csv", "budget.csv"));
}

// Two processes write one history at the same time.
static void test_side_by_side(void **state) {
    (void)state;
    FILE *out[2];
    pid_t child[2];
    child[0] = start(&out[0], SWEEP " --shard 1/2", "shared", "one.csv");
    child[1] = start(&out[1], SWEEP " --shard 2/2", "shared", "two.csv");
    for (int i = 0; i < 2; i++) {
        char line[1024];
        int status;
        while (fgets(line, sizeof line, out[i])) continue;
        fclose(out[i]);
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    char *said = sweep(0, "shared", "shared.csv", "--resume");
    says(said, "0 points run");
    free(said);
    assert_true(same_text_files("whole.csv", "shared.csv"));
}

static const char recipe_text[] =
    "recipe{ name = 'odd <b>&', about = 'fails at three', source = 'a test' }\n"
    "local bits = param('bits', 4, {1, 8}, 'width')\n"
    "local kind = param('kind', 'a,b', {'a,b', 'c d', '<&>'}, 'a choice')\n"
    "local share = param('share', 0.5, {0, 1}, 'not a whole number')\n"
    "local net = model(arg.model or 'data/models/digits-cnn.safetensors')\n"
    "local data = dataset('data/digits')\n"
    "if bits == 3 then error('three, \"never\"') end\n"
    "if bits == 5 then return end\n"
    "compress(net, { calibrate = data.calib:sample(16, 1), rule('.*', quantize{ bits = bits }) })\n"
    "report(evaluate(net, data.test))\n"
    "save(net, 'odd.safetensors')\n";

static void write_recipe(const char *more) {
    char text[4096];
    snprintf(text, sizeof text, "%s%s", recipe_text, more);
    char *at = text;
    while ((at = strstr(at, "'data/"))) { // relative paths count from the recipe's folder
        char rest[4096];
        snprintf(rest, sizeof rest, "%s", at + 1);
        snprintf(at + 1, sizeof text - (size_t)(at + 1 - text), "%s/%s", support_tree(), rest);
        at += strlen(support_tree());
    }
    support_write(support_temp_path("odd.lua"), text, strlen(text));
}

// A point that fails, one without a figure, names that need escaping; exit code 1, and everything else is there.
static void test_failing_points(void **state) {
    (void)state;
    const char *dir = support_temp_path("");
    write_recipe("");
    char *out = vise(1,
                     "sweep %s/odd.lua bits=4,2,3,5 'kind=<&>,a,b' share=0.25..0.5:0.25 --state %s/odd --threads 1 "
                     "--csv %s/odd.csv --json %s/odd.json --svg %s/odd.svg --out %s/saved",
                     dir, dir, dir, dir, dir, dir);
    says(out, "[1/16] bits=2 kind=a,b share=0.25: top-1");
    says(out, "failed: ");
    says(out, "no figure");
    says(out, "4 of 16 points failed");
    free(out);
    char *csv = support_read(support_temp_path("odd.csv"), NULL);
    says(csv, "\n2,\"a,b\",0.25,done,top1,");
    says(csv, "three, \"\"never\"\"");
    says(csv, "\n5,<&>,0.5,done,,,,");
    free(csv);
    json_error_t trouble;
    json_t *json = json_load_file(support_temp_path("odd.json"), JSON_REJECT_DUPLICATES, &trouble);
    assert_non_null(json);
    json_t *points = json_object_get(json, "points");
    assert_int_equal(json_array_size(points), 16);
    assert_string_equal(json_string_value(json_object_get(json, "figure")), "top1");
    int front = 0;
    for (size_t i = 0; i < 16; i++) front += json_is_true(json_object_get(json_array_get(points, i), "front"));
    assert_int_equal(front, 8); // two widths, each four times with equal bytes and figure
    json_decref(json);
    char *svg = support_read(support_temp_path("odd.svg"), NULL);
    says(svg, "sweep of odd &lt;b&gt;&amp;");
    says(svg, "kind=&lt;&amp;&gt;");
    assert_null(strstr(svg, "<b>"));
    free(svg);
    char path[4300];
    snprintf(path, sizeof path, "%s/saved/bits=2,kind=a,b,share=0.25/odd.safetensors", dir);
    assert_int_equal(access(path, F_OK), 0);
    // A file that is gone is made again; failed points are tried again.
    unlink(path);
    out =
        vise(1, "sweep %s/odd.lua bits=2,3 kind=a,b share=0.25 --state %s/odd --out %s/saved --resume", dir, dir, dir);
    says(out, "2 points run");
    assert_int_equal(access(path, F_OK), 0);
    free(out);
}

// What a point is: recipe text, values and the content of its files, wherever they lie.
static void test_identity(void **state) {
    (void)state;
    const char *dir = support_temp_path(""), *tree = support_tree();
    char command[9000];
    write_recipe("");
    snprintf(command, sizeof command,
             "cp %s/data/models/digits-cnn.safetensors %s/a.safetensors; cp %s/a.safetensors %s/b.safetensors", tree,
             dir, dir, dir);
    assert_int_equal(support_run(command, NULL), 0);
    const struct {
        const char *more, *model, *expected;
    } steps[] = {
        {"", "a", "2 points run"},
        {"", "a", "0 points run"},
        {"", "b", "0 points run"}, // the same content under another name
        {"-- changed\n", "b", "2 points run"},
        {"-- changed\n", "b", "0 points run"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        write_recipe(steps[i].more);
        char *out = vise(0, "sweep %s/odd.lua bits=2,4 --model %s/%s.safetensors --state %s/same --resume --threads 1",
                         dir, dir, steps[i].model, dir);
        says(out, steps[i].expected);
        free(out);
    }
    snprintf(command, sizeof command, "cp %s/data/models/digits-mlp.safetensors %s/b.safetensors", tree, dir);
    assert_int_equal(support_run(command, NULL), 0);
    char *out = vise(0, "sweep %s/odd.lua bits=2,4 --model %s/b.safetensors --state %s/same --resume --threads 1", dir,
                     dir, dir);
    says(out, "2 points run");
    free(out);
}

static void test_merge_refusals(void **state) {
    (void)state;
    const char *dir = support_temp_path("");
    free(sweep(0, "source", "source.csv", "--quiet --shard 1/6"));
    count_in("source", "INSERT INTO runs(recipe, status, pid) VALUES('x', 'running', 1)");
    count_in("source", "INSERT INTO cells(key, metric, value) VALUES('k', 'kl', 0.25)");
    char *out = vise(0, "merge %s/source --state %s/target", dir, dir);
    says(out, "1 run added, 1 unfinished left out, 1 measured cell added");
    assert_int_equal(count_in("target", "SELECT count(*) FROM cells WHERE key = 'k' AND value = 0.25"), 1);
    free(out);
    // An older history has fewer tables.
    count_in("source", "DROP TABLE inputs");
    count_in("source", "DROP TABLE cells");
    count_in("source", "PRAGMA user_version = 1");
    out = vise(0, "merge %s/source --state %s/target2", dir, dir);
    says(out, "1 run added");
    free(out);
    count_in("source", "PRAGMA user_version = 99");
    out = vise(1, "merge %s/source %s/part0 --state %s/target", dir, dir, dir);
    says(out, "made by a newer Vise (version 99, this one reads ");
    says(out, "part0: 2 runs added"); // the others are merged all the same
    free(out);
    support_write(support_temp_path("text.db"), "this is no database at all, only text", 37);
    out = vise(1, "merge %s/text.db %s/nowhere %s/target --state %s/target", dir, dir, dir, dir);
    says(out, "not a Vise history (not an SQLite database)");
    says(out, "there is no history there");
    says(out, "is the history to merge into");
    free(out);
    assert_int_equal(access(support_temp_path("nowhere"), F_OK), -1);
    // Damage in the middle of the file.
    char path[4300];
    size_t bytes;
    count_in("part1", "PRAGMA wal_checkpoint(TRUNCATE)");
    snprintf(path, sizeof path, "%s/part1/history.db", dir);
    char *file = support_read(path, &bytes);
    assert_true(bytes > 20000);
    memset(file + 8192, 0x5a, bytes - 12288);
    support_write(support_temp_path("damaged.db"), file, bytes);
    free(file);
    int64_t before = count_in("target", "SELECT count(*) FROM runs");
    out = vise(1, "merge %s/damaged.db --state %s/target", dir, dir);
    says(out, "the database is damaged");
    assert_null(strstr(out, "***"));
    free(out);
    assert_int_equal(count_in("target", "SELECT count(*) FROM runs"), before);
}

// What a stopped run saved is half of the work: that the whole has other bytes says nothing about the machine.
static void test_replay_of_stopped(void **state) {
    (void)state;
    const char *dir = support_temp_path("");
    free(sweep(0, "stopped", "stopped.csv", "--quiet --shard 1/6"));
    count_in("stopped", "UPDATE runs SET status = 'cancelled'");
    count_in("stopped", "UPDATE saved SET hash = 'of the half'");
    char *out = vise(1, "replay 1 --state %s/stopped", dir);
    says(out, "run 1 did not end (cancelled), so there are no bytes to compare; its replay did, with 1 file saved");
    assert_null(strstr(out, "DIFFERENT"));
    free(out);
}

// A database that some other program made is left alone.
static void test_foreign_history(void **state) {
    (void)state;
    const char *dir = support_temp_path("");
    mkdir(support_temp_path("foreign"), 0755);
    support_write(support_temp_path("foreign/history.db"), "", 0);
    count_in("foreign", "CREATE TABLE bookmarks(url TEXT)");
    char *out = vise(1, "run w4 --quiet --state %s/foreign", dir);
    says(out, "not a Vise history (another program's SQLite database)");
    free(out);
    assert_int_equal(count_in("foreign", "SELECT count(*) FROM sqlite_master"), 1);
}

// Without a place for the cache everything works, and that there is none is told.
static void test_no_cache_folder(void **state) {
    (void)state;
    const char *dir = support_temp_path("");
    mkdir(support_temp_path("crowded"), 0755);
    support_write(support_temp_path("crowded/cache"), "x", 1);
    char *out = vise(0, "sweep w4 bits=2 --quiet --state %s/crowded", dir);
    says(out, "everything is computed anew");
    free(out);
}

// The histories merged from have no files beside them afterwards that were not there before.
static void test_merge_leaves_sources(void **state) {
    (void)state;
    const char *dir = support_temp_path("");
    free(sweep(0, "clean", "clean.csv", "--quiet --shard 1/6"));
    int before = support_count_entries(support_temp_path("clean"));
    free(vise(0, "merge %s/clean --state %s/clean-target", dir, dir));
    assert_int_equal(support_count_entries(support_temp_path("clean")), before);
}

static void test_refusals(void **state) {
    (void)state;
    refuses("has no param 'bit'; the nearest is 'bits'", "sweep w4-group bit=2");
    refuses("param bits = 9 is outside 2 .. 8", "sweep w4-group bits=2..9");
    refuses("its first value is above its last", "sweep w4-group bits=8..2");
    refuses("a value is missing", "sweep w4-group bits=2,,3");
    refuses("a value is missing", "sweep w4-group bits=");
    refuses("is not NAME=VALUES", "sweep w4-group bits");
    refuses("more than a sweep may have", "sweep w4-group samples=1..1e9");
    refuses("1.017e+06 combinations", "sweep w4-group bits=2 group=8..1024 samples=1..1000");
    refuses("given twice", "sweep w4-group bits=2 bits=3");
    refuses("swept and --set at once", "sweep w4-group bits=2 --set bits=3");
    refuses("is not one of false|true", "sweep w4-group sym=maybe");
    refuses("is a whole number, not '2.5'", "sweep w4-group bits=2..3:0.5");
    refuses("the step of a range must be above 0", "sweep w4-group bits=2..3:0");
    refuses("the parts of 2 are 1/2 to 2/2", "sweep w4-group bits=2 --shard 3/2");
    refuses("the parts of 2 are", "sweep w4-group bits=2 --shard 0/2");
    refuses("takes I/N", "sweep w4-group bits=2 --shard -1/2");
    refuses("above 0, not '-3'", "sweep w4-group bits=2 --budget -3");
    char *out = vise(2, "sweep w4-group bits=2 --json");
    says(out, "--json needs a value: FILE");
    free(out);
    refuses("0 arguments were given", "merge");
    assert_false(support_count_entries(support_temp_path("unused")) > 0); // nothing was opened for any of them
}

int main(void) {
    find_program();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_resumed),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_killed_table),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_failing_points),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_merge_refusals),
        cmocka_unit_test(test_replay_of_stopped),
        cmocka_unit_test(test_foreign_history),
        cmocka_unit_test(test_no_cache_folder),
        cmocka_unit_test(test_merge_leaves_sources),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("cli/sweep", tests, NULL, NULL);
}
