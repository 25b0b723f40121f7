// The study in recipes: tables, choices within budgets that the saved file keeps to the byte, cells measured once.
#include "tests/script/recipe_support.h"

#include <math.h>
#include <unistd.h>

#define NET                                                                                                            \
    HEADER "local net = model('data/models/digits-cnn.safetensors')\n"                                                 \
           "local data = dataset('data/digits') local calib = data.calib:sample(48, 1)\n"                              \
           "local options = { ['2'] = quantize{ bits = 2 }, ['3'] = quantize{ bits = 3 },\n"                           \
           "  ['10'] = {}, ['4'] = { quantize{ solver = 'gptq', bits = 4 } } }\n"
#define TABLE                                                                                                          \
    NET "local t = sensitivity(net, { options = options, calibrate = calib, measure = data.select:first(60) })\n"

static void test_table(void **state) {
    (void)state;
    static const char *const holds[] = {
        "table.concat(t.options, ' ') == '2 3 4 10' and #t.rows == 5 and t.rows[1] == 'conv1'",
        "t.metric == 'kl' and t.unit == 'nats' and t.measured == 20",
        "t:value('conv1', '2') == t.value(1, '2') and t:value('conv1', '2') > t:value('conv1', '4')",
        "t:bytes('conv2', '10') == net.layers[2].weights * 4 and t:value('conv2', '10') == 0",
        "t:error('conv1', '2') == nil and t:seconds('conv1', '2') >= 0",
        "rank_correlation(t, t) == 1",
    };
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        char *text = base_sprintf("%sassert(%s)\n", TABLE, holds[i]);
        expect_recipe(text, "");
        free(text);
    }
    // Each cell is what a run of that rule alone measures.
    expect_recipe(TABLE "compress(net, { calibrate = calib, rule('^conv2$', quantize{ solver = 'gptq', bits = 4 }) })\n"
                        "local f = evaluate(net, data.select:first(60))\n"
                        "assert(math.abs(f.kl - t:value('conv2', '4')) < 1e-12)\n",
                  "");
    expect_recipe(NET
                  "local t = sensitivity(net, { metric = 'weight_error', options = { quantize{ bits = 2 }, { name = "
                  "'two', prune{ sparsity = 0.5 }, quantize{ bits = 3 } } }, layers = 'conv', except = 'conv3' })\n"
                  "assert(#t.rows == 2 and t.options[2] == 'two' and t.options[1]:find('bits=2'))\n",
                  "");
}

// A metric that does not look at options has one column, which needs no name.
static void test_one_column(void **state) {
    (void)state;
    expect_recipe(NET "local t = sensitivity(net, { metric = 'activation_spike', calibrate = calib })\n"
                      "assert(t:value('conv1') >= 1 and t.value('conv1') == t.value(1) and t:seconds('conv2') >= 0)\n",
                  "");
}

// Pairs: columns are layers; the diagonal is each layer's own loss. Nothing can be chosen from it.
static void test_pairs(void **state) {
    (void)state;
    expect_recipe(
        NET
        "local pick = { options = { quantize{ bits = 2 } }, measure = data.select:first(60), layers = 'fc|conv3' }\n"
        "local own = sensitivity(net, pick)\n"
        "pick.metric = 'pairs' local t = sensitivity(net, pick)\n"
        "assert(#t.rows == 3 and #t.options == 3 and t.options[2] == t.rows[2] and t.measured == 9)\n"
        "for i, name in ipairs(t.rows) do\n"
        "  assert(math.abs(t.value(name, name) - own.value(name, 1)) < 1e-9)\n"
        "  assert(t.value(name, t.rows[1]) == t.value(t.rows[1], name))\n"
        "end\n"
        "assert(not pcall(allocate, t, { budget = { bits = 4 } }))\n",
        "");
    expect_recipe(NET "sensitivity(net, { metric = 'pairs', measure = data.select })\n", "there are 0");
}

static void test_errors(void **state) {
    (void)state;
    static const struct {
        const char *lua, *part;
    } cases[] = {
        {"sensitivity(net, {})", "options is a nil"},
        {"sensitivity(net, { options = {} })", "no option was given"},
        {"sensitivity(net, { options = { 4 } })", "a step or a list of steps"},
        {"sensitivity(net, { options = { a = { 4 } } })", "entry 1 of an option"},
        {"sensitivity(net, { options = { { name = 'a' }, { name = 'a' } } })", "two options are called 'a'"},
        {"sensitivity(net, { options = options, metric = 'mesured' })", "the nearest is 'measured'"},
        {"sensitivity(net, { options = options, metric = 4 })", "metric is a number"},
        {"sensitivity(net, { options = options, metric = 'kl' })", "metric = \"measured\", figure = \"kl\""},
        {"sensitivity(net, { options = options, layer = 'x' })", "the nearest is 'layers'"},
        {"sensitivity(net, { options = options, layers = 'nope' })", "nope"},
        {"sensitivity(net, { options = options, layers = '(' })", "("},
        {"sensitivity(net, { options = options, except = '.*' })", "leave no layer"},
        {"sensitivity(net, { options = { quantize{ bits = 2 } } })", "needs samples to measure on"},
        {"sensitivity(net, { options = options, seed = -1, measure = data.select })", "seed"},
        {"allocate(1, {})", "(sensitivity table expected"},
        {"t.nothing()", "no field 'nothing'"},
        {"t:value('conv9', '2')", "no layer 'conv9'; the nearest is 'conv1'"},
        {"t:value('conv1', '5')", "no option '5'"},
        {"t:value('conv1')", "no option"},
        {"allocate(t, {})", "budget is a nil"},
        {"allocate(t, { budget = {} })", "names 0 units"},
        {"allocate(t, { budget = { bits = 0 / 0 } })", "bits of the budget is nan;"},
        {"allocate(t, { budget = { bytes = 1, bits = 2 } })", "names 2 units"},
        {"allocate(t, { budget = { kilos = 1 } })", "no unit 'kilos'"},
        {"allocate(t, { budget = { bits = -1 } })", "at least 0"},
        {"allocate(t, { budget = { bits = 3 }, solver = 'exakt' })", "the nearest is 'exact'"},
        {"allocate(t, { budget = { bits = 3 }, groups = { { 'x9' } } })",
         "the pattern 'x9' of a group matches no layer"},
        {"allocate(t, { budget = { bits = 3 }, groups = { { 'conv1', 'x9' } } })", "the pattern 'x9' of a group"},
        {"allocate(t, { budget = { bits = 3 }, groups = { conv = { 'conv1' } } })",
         "is a list, but something in it is named"},
        {"allocate(t, { budget = { bits = 3 }, fixed = { fc1 = '9' } })",
         "allocate: fixed is a list, but something in it is named: 'fc1'"},
        {"allocate(t, { budget = { bits = 3 }, wat = 1 })", "budget, solver, groups, fixed, measure"},
        {"allocate(t, { budget = { bits = 3 }, groups = { { '(' } } })", "does not compile"},
        {"allocate(t, { budget = { bits = 3 }, groups = { 'conv' } })", "entry 1 of groups"},
        {"allocate(t, { budget = { bits = 3 }, fixed = { rule('fc1', quantize{ bits = 8 }) } })",
         "in the table and in a rule of fixed"},
        {"allocate(t, { budget = { bytes = 5000 } })", "the smallest these options allow is"},
        {"allocate(t, { budget = { bits = 1 } })", "the smallest these options allow is 2."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool table = cases[i].lua[0] == 't' || strstr(cases[i].lua, "(t,");
        char *text = base_sprintf("%s%s\n", table ? TABLE : NET, cases[i].lua);
        expect_recipe(text, cases[i].part);
        free(text);
    }
}

static int64_t number_after(const char *text, const char *mark) {
    const char *at = strstr(text, mark);
    return at ? strtoll(at + strlen(mark), NULL, 10) : -1;
}

// What the infeasible message names is feasible, and one byte less is not.
static void test_nearest_is_feasible(void **state) {
    (void)state;
    said s = run_recipe(TABLE "allocate(t, { budget = { bytes = 100 } })\n", NULL);
    assert_false(s.ok);
    int64_t least = number_after(s.err.text, "options allow is ");
    assert_true(least > 5000);
    said_free(&s);
    for (int under = 0; under < 2; under++) {
        char *text = base_sprintf("%slocal c = allocate(t, { budget = { bytes = %lld } }) assert(c.bytes == %lld)\n",
                                  TABLE, (long long)least - under, (long long)least);
        expect_recipe(text, under ? "no choice fits" : "");
        free(text);
    }
}

// Every solver keeps the budget, and the saved file's arrays have the bytes that were predicted.
static void test_budget_to_the_byte(void **state) {
    (void)state;
    static const char *const solvers[] = {"exact",     "ilp",    "hull",     "greedy", "baq",
                                          "waterfill", "lgreco", "evopress", "rco",    "anneal"};
    char *text = base_sprintf("%slocal best\n",
                              NET "local t = sensitivity(net, { options = options, calibrate = calib, measure = "
                                  "data.select:first(60), except = 'last' })\n"
                                  "local fixed = { rule('last', quantize{ bits = 8 }) }\n");
    base_buf all = {0};
    base_buf_puts(&all, text);
    for (size_t i = 0; i < sizeof solvers / sizeof *solvers; i++)
        base_buf_printf(&all,
                        "do local c = allocate(t, { budget = { bytes = 12000 }, solver = '%s', fixed = fixed })\n"
                        "assert(c.bytes <= 12000 and c.cost == c.bytes and c.solver == '%s')\n"
                        "best = best or c assert(c.loss >= best.loss - 1e-12 and c.bound <= c.loss + 1e-12)\n"
                        "compress(net, { calibrate = calib, c }) local f = evaluate(net, data.select:first(60))\n"
                        "assert(f.bytes == c.bytes and math.abs(f.bits - c.bits) < 1e-9)\n"
                        "report(f, c) local s = save(net, 'kept.safetensors')\n"
                        "assert(s.bytes - s.header_bytes == c.bytes) end\n",
                        solvers[i], solvers[i]);
    said s = run_recipe(all.text, NULL);
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_non_null(strstr(s.log.text, "the least there is (proved)"));
    assert_non_null(strstr(s.log.text, "predicted kl"));
    assert_non_null(strstr(s.log.text, "measured"));
    assert_true(number_after(s.log.text, "stored ") > 0 && number_after(s.log.text, "stored ") <= 12000);
    said_free(&s);
    base_buf_free(&all);
    free(text);
}

static void test_units_and_ties(void **state) {
    (void)state;
    expect_recipe(TABLE "local c = allocate(t, { budget = { bits = 3.5 } })\n"
                        "compress(net, { calibrate = calib, c }) local f = evaluate(net, data.select:first(60))\n"
                        "assert(f.bits <= 3.5 and math.abs(f.bits - c.bits) < 1e-9 and f.bytes == c.bytes)\n",
                  "");
    // conv1, conv2 and conv3 differ in what the pattern matches only; fc1 and fc2 are free.
    expect_recipe(TABLE "local c = allocate(t, { budget = { bits = 3.5 }, groups = { { 'conv.' } } })\n"
                        "assert(c.options.conv1 == c.options.conv2 and c.options.conv2 == c.options.conv3)\n"
                        "local free = allocate(t, { budget = { bits = 3.5 } })\n"
                        "assert(free.loss <= c.loss and free.options.conv1 ~= free.options.conv3)\n",
                  "");
    // Bit operations: all at 2 bits cost half of all at 4; `{}` is float.
    expect_recipe(
        NET "local t = sensitivity(net, { metric = 'weight_error', options = { ['2'] = quantize{ bits = 2 } } })\n"
            "local a = allocate(t, { budget = { bitops = 1e15, activations = 4 } })\n"
            "local u = sensitivity(net, { metric = 'weight_error', options = { ['4'] = quantize{ bits = 4 } } })\n"
            "local b = allocate(u, { budget = { bitops = 1e15, activations = 4 } })\n"
            "local x = allocate(u, { budget = { bitops = 1e15 } })\n"
            "assert(b.cost == 2 * a.cost and x.cost == 2 * b.cost and x.unit == 'bit operations')\n",
        "");
}

// Budgets in seconds: the sum of measured times, layers outside included; the least feasible budget is named and taken.
static void test_seconds(void **state) {
    (void)state;
    base_err err = {0};
    session_history *h = session_history_open(support_temp_path("times"), &err);
    if (!h) fail_msg("%s", err.text);
    study_store store = session_history_store(h);
    script_run_options o = {.store = &store};
    static const char text[] =
        NET "local part = data.select:first(40)\n"
            "local t = sensitivity(net, { options = options, calibrate = calib, measure = part, except = 'last' })\n"
            "local s = sensitivity(net, { metric = 'time', options = options, calibrate = calib, except = 'last' })\n"
            "assert(s.unit == 'seconds' and s.measured == 16)\n"
            "for _, l in ipairs(s.rows) do for _, o in ipairs(s.options) do\n"
            "  assert(s:value(l, o) > 0 and s:value(l, o) < 1 and s:error(l, o) >= 0) end end\n"
            "local fixed = { rule('last', quantize{ bits = 8 }) }\n"
            "local all = allocate(t, { budget = { seconds = 10 }, fixed = fixed })\n"
            "assert(all.unit == 'nanoseconds' and all.cost <= 1e10 and all.outside > 0)\n"
            "local sum = all.outside\n"
            "for l, o in pairs(all.options) do sum = sum + 1e9 * s:value(l, o) end\n"
            "assert(math.abs(sum - all.cost) <= 5)\n" // the kept times, rounded to nanoseconds
            "local ok, why = pcall(allocate, t, { budget = { seconds = 1e-9 }, fixed = fixed })\n"
            "assert(not ok) local least = tonumber(why:match('on this machine is ([%d.e-]+)'))\n"
            "for _, solver in ipairs{ 'exact', 'ilp', 'hull', 'greedy', 'lgreco', 'anneal', 'rco', 'evopress' } do\n"
            "  local c = allocate(t, { budget = { seconds = least * 1.00001 }, fixed = fixed, solver = solver })\n"
            "  assert(c.cost <= least * 1.00001e9 and c.loss >= all.loss)\n"
            "end\n"
            "compress(net, { calibrate = calib, all }) report(evaluate(net, part), all)\n";
    said s = run_recipe(text, &o);
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_non_null(strstr(s.log.text, "nanoseconds of at most 10000000000"));
    said_free(&s);
    expect_recipe(TABLE "allocate(t, { budget = { seconds = 1 }, solver = 'baq' })\n", "reckons in bits a weight");
    expect_recipe(TABLE "allocate(t, { budget = { seconds = 1, samples = 0 } })\n", "samples of the budget is 0");
    expect_recipe(TABLE "allocate(t, { budget = { bitops = 1e15 }, solver = 'waterfill' })\n", "reckons in bits");
    session_history_close(h);
}

// Solvers that look at whole choices: what they found is measured, and the budget holds with fixed layers in place.
static void test_whole_choices(void **state) {
    (void)state;
    expect_recipe(NET
                  "local part = data.select:first(40)\n"
                  "local t = sensitivity(net, { options = options, calibrate = calib, measure = part, except = "
                  "'last' })\n"
                  "local c = allocate(t, { budget = { bits = 3.2 }, solver = 'evopress', generations = 4, offspring "
                  "= 6, measure = part, fixed = { rule('last', quantize{ bits = 8 }) } })\n"
                  "compress(net, { calibrate = calib, c }) local f = evaluate(net, part)\n"
                  "assert(f.bits <= 3.2 and math.abs(f.kl - c.measured) < 1e-9)\n",
                  "");
    expect_recipe(TABLE "allocate(t, { budget = { bits = 3.5 }, measure = data.select })\n", "sees the table alone");
}

// What was used for choosing is told.
static void test_test_part_is_told(void **state) {
    (void)state;
    said s = run_recipe(NET "sensitivity(net, { options = { quantize{ bits = 2 } }, measure = data.test:first(20) })\n"
                            "evaluate(net, data.test)\n",
                        NULL);
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_non_null(strstr(s.log.text, "is of the test part"));
    assert_non_null(strstr(s.log.text, "served for selection"));
    said_free(&s);
}

// ---- measured once ---------------------------------------------------------------------------------

static said with_store(const study_store *store, const char *text) {
    script_run_options o = {.store = store};
    return run_recipe(text, &o);
}

static void test_cells_are_kept(void **state) {
    (void)state;
    base_err err = {0};
    session_history *h = session_history_open(support_temp_path("cells"), &err);
    if (!h) fail_msg("%s", err.text);
    study_store store = session_history_store(h);
#define MEASURE(options, extra)                                                                                        \
    "local t = sensitivity(net, { options = " options ", calibrate = calib, measure = data.select:first(60)" extra     \
    " })\n"
    static const struct {
        const char *lua;
        int fresh;
    } calls[] = {
        {MEASURE("options", ""), 20},
        {MEASURE("options", ""), 0},
        {MEASURE("{ three = quantize{ bits = 3 } }", ", layers = 'conv'"), 0}, // a part, under another name
        {MEASURE("{ quantize{ bits = 3 }, quantize{ bits = 5 } }", ""), 5},    // one option more
        {MEASURE("options", ", seed = 2"), 20},                                // another seed
        {MEASURE("options", ", figure = 'loss'"), 20},                         // another figure
        {MEASURE("options", ", metric = 'weight_error'"), 20},                 // another metric
        {"calib = data.calib:sample(40, 1)\n" MEASURE("options", ""), 20},     // other samples
        {"net = model('data/models/digits-mlp.safetensors')\n" MEASURE("options", ""), -1}, // another network
        {MEASURE("options", ""), 0},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char *text = base_sprintf("%s%slog('fresh ' .. t.measured .. ' metric ' .. t.metric .. ' ' .. t.unit)\n"
                                  "log('cell ' .. string.format('%%.17g', t:value(1, 1)))\n",
                                  NET, calls[i].lua);
        said s = with_store(&store, text), alone = run_recipe(text, NULL);
        if (!s.ok || !alone.ok) fail_msg("%s", s.ok ? alone.err.text : s.err.text);
        int64_t fresh = number_after(s.log.text, "fresh ");
        if (calls[i].fresh >= 0 ? fresh != calls[i].fresh : fresh <= 0)
            fail_msg("%s: %lld cells measured, expected %d", calls[i].lua, (long long)fresh, calls[i].fresh);
        // The same table as without a store, names included.
        assert_string_equal(strstr(s.log.text, " metric "), strstr(alone.log.text, " metric "));
        said_free(&s);
        said_free(&alone);
        free(text);
    }
    session_cells *rows;
    size_t count;
    assert_true(session_history_cells(h, &rows, &count, &err));
    assert_true(count >= 4 && rows[0].cells >= 5);
    session_cells_free(rows, count);
    session_history_close(h);
}

// A store that stops the run at the seventh cell of a table.
typedef struct stopping {
    study_store inner;
    base_job *job; // NULL: does not stop
    int cells;
} stopping;

static bool stopping_get(void *context, const char *key, study_record *r) {
    stopping *k = context;
    return k->inner.get(k->inner.context, key, r);
}

static void stopping_put(void *context, const char *key, const study_record *r) {
    stopping *k = context;
    k->inner.put(k->inner.context, key, r);
    if (++k->cells == 7 && k->job) atomic_store(&k->job->cancel, true);
}

// What was measured before the run was stopped is there: the next one measures the rest, and has the same table.
static void test_stopped_tables_go_on(void **state) {
    (void)state;
    base_err err = {0};
    session_history *h = session_history_open(support_temp_path("stopped"), &err);
    if (!h) fail_msg("%s", err.text);
    static const char text[] = TABLE "log('fresh ' .. t.measured)\n"
                                     "for _, l in ipairs(t.rows) do for _, o in ipairs(t.options) do\n"
                                     "log(string.format('%s %s %.17g %d', l, o, t:value(l, o), t:bytes(l, o))) end end";
    stopping k = {.inner = session_history_store(h)};
    study_store store = {stopping_get, stopping_put, &k};
    said s = {0}, alone = run_recipe(text, NULL);
    base_job job = {.emit = hear, .context = &s, .start = base_now()};
    script_run_options o = {.store = &store, .out = support_temp_path("out")};
    script_recipe *r = script_recipe_text("case.lua", text, &err);
    assert_non_null(r);
    k.job = &job;
    assert_false(script_recipe_run(r, &o, &job, &err));
    assert_int_equal(err.status, BASE_CANCELLED);
    script_recipe_free(r);
    assert_int_equal(k.cells, 7);
    k.job = NULL;
    said again = with_store(&store, text);
    if (!again.ok) fail_msg("%s", again.err.text);
    assert_int_equal(number_after(again.log.text, "fresh "), 13);
    assert_int_equal(k.cells, 20);
    assert_string_equal(strstr(again.log.text, "conv1 2 "), strstr(alone.log.text, "conv1 2 "));
    said_free(&s);
    said_free(&again);
    said_free(&alone);
    session_history_close(h);
}

int main(void) {
    if (chdir(support_tree()) != 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_column),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_budget_to_the_byte),
        cmocka_unit_test(test_nearest_is_feasible),
        cmocka_unit_test(test_units_and_ties),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_test_part_is_told),
        cmocka_unit_test(test_cells_are_kept),
        cmocka_unit_test(test_stopped_tables_go_on),
        cmocka_unit_test(test_whole_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
