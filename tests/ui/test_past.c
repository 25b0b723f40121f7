// The history on the screen: pins and notes that stay, filters and sorting, a run opened with its params, exports, two
// runs compared as vise compare has it, replays that come out equal and not, ten thousand runs, no history at all.
#include "golden.h"

#include <math.h>

#include "../support/past.h"
#include "session/history.h"
#include "ui/past.h"

static const char *open_story(screen *s, int w, int h) {
    const char *dir = support_temp_dir();
    past_story(dir);
    setenv("TZ", "UTC", 1);
    s->options.state_dir = dir;
    s->options.fresh = true;
    screen_open(s, w, h, "xterm-256color", "C.UTF-8", false);
    terminal_type(s->t, ":tab History\r");
    golden_await(s, "mixed");
    return dir;
}

static session_overview row_of(const char *dir, int64_t id) {
    base_err err = {0};
    session_history *h = session_history_open(dir, &err);
    session_overview *rows, found = {0};
    size_t count;
    int64_t total;
    assert_non_null(h);
    assert_true(session_history_overview(h, 0, &rows, &count, &total, NULL, &err));
    for (size_t i = 0; i < count; i++)
        if (rows[i].id == id) found = rows[i];
    free(rows);
    session_history_close(h);
    return found;
}

static void pins_and_notes(void **state) {
    (void)state;
    screen s = {0};
    const char *dir = open_story(&s, 160, 40);
    terminal_type(s.t, "p");                              // run 11
    terminal_type(s.t, "jpjpp");                          // 10; 9 and back
    terminal_type(s.t, "je\x15note stopped too early\r"); // 8
    golden_await(&s, "stopped too early");
    terminal_type(s.t, ":history-sort pinned\r");
    screen_quit(&s); // whatever was still to be written is
    assert_int_equal(row_of(dir, 11).pinned, 1);
    assert_int_equal(row_of(dir, 10).pinned, 1);
    assert_int_equal(row_of(dir, 9).pinned, 0);
    assert_int_equal(row_of(dir, 6).pinned, 1); // as it was
    assert_string_equal(row_of(dir, 8).note, "stopped too early");
}

// The number of the first run in the list.
static int first_run(screen *s) {
    char *text = terminal_text(s->t), *head = strstr(text, " run recipe");
    if (!head) head = strstr(text, "  run ");
    assert_non_null(head);
    int n = atoi(strchr(head, '\n') + 1 + strcspn(strchr(head, '\n') + 1, "0123456789s"));
    free(text);
    return n;
}

static void sorting_and_filters(void **state) {
    (void)state;
    static const struct {
        const char *keys;
        int first;
    } table[] = {{":history-sort kl\r", 1},
                 {":history-sort bytes\r", 4},
                 {"S", 11},
                 {"S:history-sort value\r", 1},
                 {":history-sort seconds\r", 11},
                 {":history-sort number\r", 11},
                 {"S", 1},
                 {"S:history-filter gptq\r", 8},
                 {":history-filter !w4|gptq\r", 10},
                 {":history-filter far for\r", 4},
                 {":history-filter\r", 11}};
    screen s = {0};
    open_story(&s, 120, 40);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        terminal_type(s.t, table[i].keys);
        if (first_run(&s) != table[i].first) {
            char *seen = terminal_text(s.t);
            for (char *at = strtok(seen, "\n"); at; at = strtok(NULL, "\n")) print_message("%s\n", at);
            fail_msg("after \"%s\" the first run is %d, not %d", table[i].keys, first_run(&s), table[i].first);
        }
    }
    terminal_type(s.t, ":history-filter (\r");
    assert_true(terminal_shows(s.t, "bad pattern"));
    assert_int_equal(first_run(&s), 11);
    terminal_type(s.t, ":history-sort kil\r");
    assert_true(terminal_shows(s.t, "did you mean kl"));
    terminal_type(s.t, ":pin 77\r");
    assert_true(terminal_shows(s.t, "there is no run \"77\""));
    screen_quit(&s);
}

static void a_run_opens_with_its_params(void **state) {
    (void)state;
    screen s = {0};
    open_story(&s, 190, 40);
    terminal_type(s.t, ":history-filter bits=3 group=32\r\r");
    golden_await(&s, "of run 6 is open");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Params")); // there one more Enter runs it
    assert_true(terminal_shows(s.t, "bits=3 group=32"));
    terminal_type(s.t, "\r");
    golden_await(&s, "done in");
    terminal_type(s.t, ":tab History\r:history-filter s1\r");
    golden_await(&s, "bits=3 group=32"); // the run of this session
    terminal_type(s.t, ":open-run 7\r"); // its params are not what the recipe allows
    golden_await(&s, "9");
    screen_quit(&s);
}

static void exports(void **state) {
    (void)state;
    screen s = {0};
    open_story(&s, 120, 40);
    char *lua = base_sprintf("%s/run.lua", support_temp_dir()), *html = base_sprintf("%s/run.html", support_temp_dir());
    char *line = base_sprintf(":history-filter ^gptq.*group=32 digits.*done\r:export %s\r", lua);
    base_err err = {0};
    terminal_type(s.t, line);
    golden_await(&s, "Exported");
    script_recipe *r = script_recipe_load(lua, &err);
    assert_non_null(r);
    assert_int_equal(r->param_count, 2);
    assert_true(r->params[0].value == 3 && r->params[1].value == 32);
    assert_non_null(strstr(r->text, "param(\"bits\", 3, {1, 8}")); // written where the default stood
    script_recipe_free(r);
    free(line);
    line = base_sprintf("x%s\r", html);
    terminal_type(s.t, line);
    golden_await(&s, "run.html");
    size_t bytes;
    char *page = support_read(html, &bytes);
    assert_non_null(strstr(page, "Run 6: gptq"));
    assert_non_null(strstr(page, "stage3.conv"));
    terminal_type(s.t, ":export /tmp/run.doc\r");
    assert_true(terminal_shows(s.t, "ends in .lua"));
    terminal_type(s.t, ":export /no/such/place\x15\x1b");
    free(page);
    free(line);
    free(lua);
    free(html);
    screen_quit(&s);
}

// A recipe whose default is computed, and a value that needs care.
static void recipes_with_params(void **state) {
    (void)state;
    base_err err = {0};
    session_record record = {.recipe_path = "x.lua",
                             .recipe_text =
                                 "recipe{ name = 'x', about = 'x', source = 'x' }\nlocal d = 2 * 2\nlocal b = "
                                 "param('bits', d, {1, 8}, 'width')\n"
                                 "local k = param(\"how\", 'plain \"x\"', {'plain \"x\"', 'y\\\\z'}, 'way')\n"
                                 "for _, n in ipairs{ 'a', 'c' } do param(n, 0.25, {-1, 1}, 'n') end\n",
                             .params = "{\"bits\":7,\"how\":\"y\\\\z\",\"a\":0.1,\"c\":-1e-7}"};
    char *text = past_recipe_with(&record, &err);
    if (!text) fail_msg("%s", err.text);
    script_recipe *r = script_recipe_text("y.lua", text, &err);
    assert_non_null(r);
    assert_true(r->params[0].value == 7 && r->params[2].value == 0.1 && r->params[3].value == -1e-7);
    assert_string_equal(r->params[1].text, "y\\z");
    script_recipe_free(r);
    free(text);
    record.params = "{\"bits\":12}";
    assert_null(past_recipe_with(&record, &err));
    record.params = "[]";
    assert_null(past_recipe_with(&record, &err));
}

static void compared(void **state) {
    (void)state;
    screen s = {0};
    open_story(&s, 160, 50);
    terminal_type(s.t, ":compare 5 6\r");
    golden_await(&s, "all layers");
    assert_true(terminal_shows(s.t, "A run 5 gptq bits=4 group=64"));
    assert_true(terminal_shows(s.t, "B run 6 gptq bits=3 group=32"));
    assert_true(terminal_shows(s.t, "98.06 \xe2\x86\x92 96.94"));
    assert_true(terminal_shows(s.t, "not settled by these samples"));
    terminal_type(s.t, ":compare 1 4\r");
    golden_await(&s, "A is better");
    terminal_type(s.t, ":compare 2 7\r"); // a run that compressed nothing
    golden_await(&s, "only A");
    terminal_type(s.t, ":compare 7 9\r");
    golden_await(&s, "Neither run compressed a layer");
    terminal_type(s.t, ":compare 3 3\r");
    golden_await(&s, "This is the base itself");
    terminal_type(s.t, ":compare 3\r");
    assert_true(terminal_shows(s.t, "compare takes two runs"));
    terminal_type(s.t, ":run\r"); // beside one of this session
    golden_await(&s, "done in");
    terminal_type(s.t, ":tab History\r");
    golden_await(&s, " s1 ");
    terminal_type(s.t, ":compare 2 s1\r");
    golden_await(&s, "B run s1");
    golden_await(&s, "all layers");
    screen_quit(&s);
}

static int real_child(void *context) {
    screen *s = context;
    base_err err = {0};
    base_status status = ui_main(&s->options, &err);
    if (status != BASE_OK) fprintf(stderr, "vise: %s\n", err.text);
    return (int)status;
}

static void await_slowly(screen *s, const char *text) {
    double until = base_now() + 60;
    while (!terminal_shows(s->t, text) && base_now() < until) terminal_await_mark(s->t, 0.05), terminal_sync(s->t);
    golden_await(s, text);
}

// The shipped network and recipe, for real: replayed the bytes are the same; with another hash in the history they are
// said to differ.
static void replays(void **state) {
    (void)state;
    const char *dir = support_temp_dir();
    char *recipe = base_sprintf("%s/tiny.lua", dir), *out = base_sprintf("%s/out", dir);
    static const char text[] = "recipe{ name = \"tiny\", about = \"two layers\", source = \"a test\" }\n"
                               "local bits = param(\"bits\", 4, {1, 8}, \"width\")\n"
                               "local net = model(arg.model or \"data/models/digits-cnn.safetensors\")\n"
                               "compress(net, { rule(\".*\", quantize{ bits = bits }) })\n"
                               "save(net, \"tiny.safetensors\")\n";
    support_write(recipe, text, sizeof text - 1);
    screen s = {.options = {.state_dir = dir, .fresh = true, .recipe = recipe, .out = out}};
    s.t = terminal_start(130, 40, "xterm-256color", "C.UTF-8", real_child, &s);
    terminal_sync(s.t);
    terminal_type(s.t, ":set bits=3\r:run\r");
    await_slowly(&s, "done in");
    terminal_type(s.t, ":tab History\r");
    await_slowly(&s, "1 of 1");
    terminal_type(s.t, ":set bits=4\r:replay 1\r");
    await_slowly(&s, "Run 1 replayed: 1 of 1 files have the same bytes");
    base_err err = {0};
    session_history *h = session_history_open(dir, &err);
    assert_non_null(h);
    session_record *records;
    size_t count;
    assert_true(session_history_list(h, 0, &records, &count, &err));
    assert_int_equal(count, 1); // a replay is no run of its own
    session_record_free(records);
    free(records);
    assert_int_equal(sqlite3_exec(h->db, "UPDATE saved SET hash = '0123'", NULL, NULL, NULL), SQLITE_OK);
    terminal_type(s.t, ":replay 1\r");
    await_slowly(&s, "DIFFERENT bytes, 0 of 1 files");
    assert_int_equal(sqlite3_exec(h->db, "UPDATE runs SET model_hash = 'ffff'", NULL, NULL, NULL), SQLITE_OK);
    terminal_type(s.t, ":replay 1\r");
    await_slowly(&s, "has changed since run 1");
    session_history_close(h);
    terminal_send(s.t, "q");
    assert_int_equal(terminal_wait(s.t, 10), 0);
    terminal_free(s.t);
    free(recipe);
    free(out);
}

static void ten_thousand_runs(void **state) {
    (void)state;
    const char *dir = support_temp_dir();
    past_many(dir, 10000);
    screen s = {.options = {.state_dir = dir, .fresh = true}};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    double start = base_now();
    terminal_type(s.t, ":tab History\r"); // keys are answered while it reads
    double answered = base_now() - start;
    golden_await(&s, "1000 of 10000");
    double there = base_now() - start;
    terminal_type(s.t, "O");
    golden_await(&s, "2000 of 10000");
    terminal_type(s.t, ":tab Trade-off\r");
    golden_await(&s, "2000 points");
    start = base_now();
    for (int i = 0; i < 20; i++) terminal_type(s.t, i % 2 ? "l" : "\033OC");
    double key = (base_now() - start) / 20;
    print_message("10 000 runs: tab answered in %.0f ms, list in %.0f ms, a key on 2 000 points %.1f ms\n",
                  answered * 1e3, there * 1e3, key * 1e3);
    assert_true(answered < SUPPORT_SLOWER &&
                key < 0.2 * SUPPORT_SLOWER); // far above what is measured: other programs run beside the tests
    screen_quit(&s);
}

// A click selects the nearest point; keys that come in one burst act one after the other.
static void points_are_chosen(void **state) {
    (void)state;
    screen s = {0};
    open_story(&s, 120, 40);
    terminal_type(s.t, ":tab Trade-off\r");
    golden_await(&s, "6 on the front");
    terminal_send(s.t, "\033[<0;74;8M\033[<0;74;8m"); // top right: the largest and best
    for (int i = 0; i < 500 && !terminal_shows(s.t, "Run 1: w8"); i++) terminal_await_mark(s.t, 0.01);
    assert_true(terminal_shows(s.t, "Run 1: w8 bits=8 group=64"));
    terminal_type(s.t, ",,b..");
    assert_true(terminal_shows(s.t, "against run"));
    terminal_type(s.t, "g");
    assert_true(terminal_shows(s.t, "run 4 against run"));
    terminal_type(s.t, "C");
    golden_await(&s, "all layers");
    assert_true(terminal_shows(s.t, "B run 4 w4 bits=2"));
    screen_quit(&s);
}

static void no_history(void **state) {
    (void)state;
    screen s = {0}; // a screen without a folder
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, ":tab History\r");
    golden_await(&s, "No runs yet");
    terminal_type(s.t, "pebcrSO\rx");
    terminal_type(s.t, "\x1b:note x\r:pin\r:compare 1 2\r:replay\r");
    assert_true(terminal_shows(s.t, "replay: there are no runs yet"));
    terminal_type(s.t, ":tab Trade-off\r");
    golden_await(&s, "No runs of this model");
    terminal_type(s.t, "hjkl++--0yxLKbC<>>w\r");
    screen_quit(&s);
    const char *dir = support_temp_dir(); // a broken one
    char *path = base_sprintf("%s/history.db", dir);
    support_write(path, "this is not a database, and long enough to be looked at", 55);
    s = (screen){.options = {.state_dir = dir, .fresh = true}};
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, ":tab History\r");
    golden_await(&s, "not a Vise history");
    screen_quit(&s);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pins_and_notes),
                                       cmocka_unit_test(sorting_and_filters),
                                       cmocka_unit_test(a_run_opens_with_its_params),
                                       cmocka_unit_test(exports),
                                       cmocka_unit_test(recipes_with_params),
                                       cmocka_unit_test(compared),
                                       cmocka_unit_test(replays),
                                       cmocka_unit_test(ten_thousand_runs),
                                       cmocka_unit_test(points_are_chosen),
                                       cmocka_unit_test(no_history)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
