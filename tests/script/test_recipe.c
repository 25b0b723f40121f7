// The recipe language: declarations, params, handles, steps, rules, compress, evaluate, report, save.
#include "tests/script/recipe_support.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- declarations ------------------------------------------------------------------------------

static void test_header(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "has no recipe{ name"},
        {"local x = 1", "has no recipe{ name"},
        {"recipe{ name = 'x', about = 'y' }", "case.lua:1: recipe{} has no field 'source'"},
        {"recipe{ name = 'x', source = 'y' }", "has no field 'about'"},
        {"recipe{ about = 'x', source = 'y' }", "has no field 'name'"},
        {"recipe{ name = 'x', about = 'y', sorce = 'z' }", "has no field 'sorce'; the nearest is 'source'"},
        {"recipe{ name = 'x', about = 'y', source = 'z', 1 }", "has the fields name, about and source"},
        {"recipe{ name = 3, about = 'y', source = 'z' }", "recipe{ name = ... } must be text, not a number"},
        {"recipe{ name = '  ', about = 'y', source = 'z' }", "is empty"},
        {"recipe('x')", "table expected"},
        {HEADER HEADER, "case.lua:2: recipe{} is given twice"},
        {"local net = model('x')\n" HEADER, "model comes before recipe{"},
        {"local b = param('b', 1, {0, 2}, 'x')\n" HEADER, "param b comes before recipe{"},
        {"pcall(recipe, { name = 'x' })\n" HEADER, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err;
        script_recipe *r = script_recipe_text("case.lua", cases[i][0], &err);
        bool wrong = r ? *cases[i][1] : !*cases[i][1] || !strstr(err.text, cases[i][1]);
        if (wrong) fail_msg("%s\n  gave: %s", cases[i][0], r ? "(loads)" : err.text);
        script_recipe_free(r);
    }
}

static void test_params(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"param('b', 4, {2, 8}, 'x')", ""},
        {"param('b', 4)", "says in one line what it is"},
        {"param('b', 4, {8, 2}, 'x')", "8 .. 2 is the wrong way round"},
        {"param('b', 9, {2, 8}, 'x')", "default 9 is outside its range 2 .. 8"},
        {"param('b', 4, {2}, 'x')", "{lowest, highest}"},
        {"param('b', 4, {2, 'x'}, 'x')", "number 2 is a string"},
        {"param('b', 4, {0/0, 8}, 'x')", "no number"},
        {"param('b', 0/0, {0, 8}, 'x')", "no number"},
        {"param('b', 4, {2, 8}, 'x') param('b', 4, {2, 8}, 'x')", "param b is declared twice"},
        {"param('b', nil, {2, 8}, 'x')", "default must be a number, a text or true or false, not a nil"},
        {"param('b', {}, {2, 8}, 'x')", "not a table"},
        {"param('a b', 4, {2, 8}, 'x')", "letters, digits and _ only"},
        {"param('', 4, {2, 8}, 'x')", "letters, digits and _ only"},
        {"param(('n'):rep(100), 4, {2, 8}, 'x')", "longer than"},
        {"param('m', 'svd', {'svd', 'qr'}, 'x')", ""},
        {"param('m', 'lu', {'svd', 'qr'}, 'x')", "default 'lu' is not one of its choices svd|qr"},
        {"param('m', 'svd', nil, 'x')", "needs its choices"},
        {"param('m', 'svd', {'svd', 3}, 'x')", "choices must be texts"},
        {"param('m', 'a|b', {'a|b'}, 'x')", "cannot be a choice"},
        {"param('s', true, nil, 'x')", ""},
        {"param('s', true, {0, 1}, 'x')", "needs no range"},
        {"for i = 1, 65 do param('p' .. i, 1, nil, 'x') end", "at most 64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err;
        char *text = base_sprintf("%s%s", HEADER, cases[i][0]);
        script_recipe *r = script_recipe_text("case.lua", text, &err);
        bool wrong = r ? *cases[i][1] : !*cases[i][1] || !strstr(err.text, cases[i][1]);
        if (wrong) fail_msg("%s\n  gave: %s", cases[i][0], r ? "(loads)" : err.text);
        script_recipe_free(r);
        free(text);
    }
}

static void test_set(void **state) {
    (void)state;
    base_err err;
    script_recipe *r = script_recipe_text("case.lua",
                                          HEADER "local b = param('bits', 4, {2, 8}, 'width')\n"
                                                 "local s = param('sparsity', 0.5, {0, 1}, 'fraction')\n"
                                                 "local m = param('method', 'svd', {'svd', 'whitened'}, 'kind')\n"
                                                 "local q = param('sequential', false, nil, 'order')\n"
                                                 "local o = param('open', 1, nil, 'no range')\n"
                                                 "error(b .. ' ' .. s .. ' ' .. m .. ' ' .. tostring(q) .. ' ' .. o)\n",
                                          &err);
    assert_null(r);
    assert_non_null(strstr(err.text, "4 0.5 svd false 1"));
    r = script_recipe_text("case.lua",
                           HEADER "local b = param('bits', 4, {2, 8}, 'width')\n"
                                  "local s = param('sparsity', 0.5, {0, 1}, 'fraction')\n"
                                  "local m = param('method', 'svd', {'svd', 'whitened'}, 'kind')\n"
                                  "local q = param('sequential', false, nil, 'order')\n"
                                  "report(b .. ' ' .. s .. ' ' .. m .. ' ' .. tostring(q) .. ' ' .. math.type(b))\n",
                           &err);
    assert_non_null(r);
    assert_int_equal(r->param_count, 4);
    static const char *const bad[][3] = {
        {"bits", "9", "param bits = 9 is outside 2 .. 8"},
        {"bits", "3.5", "whole number, not '3.5'"},
        {"bits", "x", "is a number, not 'x'"},
        {"bits", "", "is a number"},
        {"bits", "nan", "is a number"},
        {"bits", "4 ", "is a number"},
        {"bit", "4", "no param 'bit'; the nearest is 'bits'"},
        {"zzzzzz", "4", "it has bits, sparsity, method, sequential"},
        {"method", "lu", "'lu' is not one of svd|whitened"},
        {"sequential", "yes", "not one of false|true"},
        {"sparsity", "-0.1", "outside 0 .. 1"},
        {"sparsity", "inf", "is a number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(script_recipe_set(r, bad[i][0], bad[i][1], &err));
        if (!strstr(err.text, bad[i][2])) fail_msg("%s=%s gave: %s", bad[i][0], bad[i][1], err.text);
    }
    assert_true(script_recipe_set(r, "bits", "3", &err) && script_recipe_set(r, "sparsity", "0.25", &err));
    assert_true(script_recipe_set(r, "method", "whitened", &err) && script_recipe_set(r, "sequential", "true", &err));
    said s = {0};
    base_job job = {.emit = hear, .context = &s};
    assert_true(script_recipe_run(r, NULL, &job, &err));
    assert_string_equal(s.log.text, "1 3 0.25 whitened true integer\n");
    assert_int_equal(s.params, 4);
    assert_string_equal(s.name, "case");
    said_free(&s);
    script_recipe_free(r);
}

// Declarations are read without doing anything, and quickly.
static void test_declaring(void **state) {
    (void)state;
    base_err err;
    double start = base_now();
    script_recipe *r = script_recipe_text("case.lua",
                                          HEADER "local b = param('b', 4, {2, 8}, 'x') log('not said')\n"
                                                 "pcall(model, 'nowhere.safetensors') while true do end\n",
                                          &err);
    if (!r) fail_msg("%s", err.text);
    assert_int_equal(r->param_count, 1);
    assert_true(base_now() - start < 5);
    script_recipe_free(r);
    r = script_recipe_text("case.lua", HEADER "while true do end", &err);
    assert_null(r);
    assert_non_null(strstr(err.text, "case.lua:2: the recipe ran 2 s of Lua"));
    expect_recipe(HEADER "log('x') report('y') param('late', 1, nil, 'x')", "param late must be declared before");
}

static void test_load(void **state) {
    (void)state;
    base_err err;
    assert_null(script_recipe_load("no-such-recipe", &err));
    assert_non_null(strstr(err.text, "no recipe 'no-such-recipe'"));
    assert_null(script_recipe_load("w44", &err));
    assert_non_null(strstr(err.text, "the nearest is 'w4"));
    assert_null(script_recipe_load("../recipes/w4", &err));
    assert_null(script_recipe_load("/tmp", &err));
    const char *path = support_temp_path("zero.lua");
    support_write(path, "recipe\0{}", 9);
    assert_null(script_recipe_load(path, &err));
    assert_non_null(strstr(err.text, "zero byte"));
    size_t count;
    char **names = script_recipe_names(&count, &err);
    assert_non_null(names);
    assert_true(count >= 12);
    for (size_t i = 0; i < count; i++) {
        script_recipe *r = script_recipe_load(names[i], &err);
        if (!r) fail_msg("%s: %s", names[i], err.text);
        assert_string_equal(r->name, names[i]);
        assert_true(strlen(r->about) > 10 && strlen(r->source) > 10 && strlen(r->hash) == 32);
        script_recipe_free(r);
    }
    base_names_free(names, count);
}

// ---- models, datasets, views -------------------------------------------------------------------

static char *with_net(const char *text) {
    return base_sprintf("%slocal net = model('%s')\nlocal data = dataset('data/digits')\n%s", HEADER, tiny_model(),
                        text);
}

static void expect_with_net(const char *text, const char *part) {
    char *whole = with_net(text);
    expect_recipe(whole, part);
    free(whole);
}

static void test_handles(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"assert(net.name == 'tiny' and net.arch == 'mlp' and #net.layers == 3)", ""},
        {"assert(net.layers[1].name == 'fc1' and net.layers[1].rows == 24 and net.layers[1].columns == 64)", ""},
        {"assert(net.weights == 24 * 65 + 16 * 25 + 10 * 17 and net.bytes == 4 * net.weights)", ""},
        {"return net.layer", "a model has no field 'layer'; the nearest is 'layers'"},
        {"return net.zzz", "it has name, arch, path, layers, weights, bytes"},
        {"net.name = 'x'", "attempt to index a model value"},
        {"assert(#data.test > 300 and #data.train == #data.calib and data.classes == 10)", ""},
        {"assert(#data.all == data.count and data.name == 'digits')", ""},
        {"return data.tests", "nearest is 'test'"},
        {"assert(#data.calib:sample(10, 3) == 10 and #data.calib:first(7) == 7)", ""},
        {"assert(data.calib:sample(5, 1).count == 5)", ""},
        {"data.calib:sample(0)", "at least one sample"},
        {"data.calib:sample(-1)", "at least one sample"},
        {"data.calib:sample(1.5)", "no integer representation"},
        {"data.calib:sample('many')", "number expected"},
        {"data.calib:sample(5, -1)", "a seed is not negative"},
        {"data.calib:smaple(5)", "nearest is 'sample'"},
        {"data.calib.sample(5)", "bad argument #1"},
        {"assert(#data.calib:sample(1000000) == #data.calib)", ""},
        {"getmetatable(net).__gc(net)", "attempt to index"},
        {"local m <close> = net", ""},
        {"do local m <close> = net end return net.name", "this model is closed"},
        {"model()", "no checkpoint was named; run the recipe with --model PATH"},
        {"model('')", "the path is empty"},
        {"model('no/such.safetensors')", "there is no 'no/such.safetensors'"},
        {"model('/etc/passwd')", "outside the folders a recipe may read"},
        {"model('../../../../../../../../etc/passwd')", "outside the folders a recipe may read"},
        {"dataset('/etc')", "outside the folders a recipe may read"},
        {"dataset{ name = 'x', folder = '/etc', data = 'passwd', level = 'byte' }", "outside"},
        {"dataset{ name = 'x', dta = 'y' }", "dta"},
        {"dataset('nowhere')", "there is no 'nowhere'"},
        {"dataset(42)", "there is no '42'"},
        {"model('recipes/w4.lua')", "w4.lua"},
        {"assert(model(arg.model).path == net.path and arg.data == nil)", ""},
        {"model(net.path, { arch = 'no-such-arch' })", "no-such-arch"},
        {"model(net.path, { arch = 3 })", "arch is a number"},
        {"model(net.path, { aerch = 'mlp' })", "not 'aerch'"},
        {"assert(default_data(net):match('data/digits$'))", ""},
        {"default_data(3)", "(model expected"},
        {"assert(tostring(net) == 'model tiny' and tostring(data) == 'dataset digits')", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_with_net(cases[i][0], cases[i][1]);
}

// ---- steps, rules, compress --------------------------------------------------------------------

static void test_steps(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"quantize{ bits = 4 }", ""},
        {"quantize()", ""},
        {"assert(quantize{ bits = 3 }.bits == 3 and quantize{}.solver == 'rtn' and quantize{}.sym == true)", ""},
        {"assert(tostring(quantize{ bits = 3 }):match('quantize'))", ""},
        {"return quantize{}.bitz", "quantize has no argument 'bitz'"},
        {"quantize{ bit = 4 }", "case.lua:2: quantize has no argument 'bit'; the nearest is 'bits'"},
        {"quantize{ zzzz = 4 }", "zzzz"},
        {"quantize{ bits = '4' }", "bits must be a whole number, not the text '4'"},
        {"quantize{ bits = true }", "bits must be a whole number, not the boolean"},
        {"quantize{ bits = 4.5 }", "bits"},
        {"quantize{ bits = 0 }", "bits"},
        {"quantize{ bits = 99 }", "bits"},
        {"quantize{ bits = 0/0 }", "bits"},
        {"quantize{ sym = 1 }", "sym must be true or false, not the number '1'"},
        {"quantize{ solver = 'nosuch' }", "solver"},
        {"quantize{ solver = 4 }", "solver must be a text, not the number '4'"},
        {"quantize{ 4 }", "takes named values, such as quantize{"},
        {"quantize(4)", "takes named values in braces"},
        {"quantize{ granularity = 'tensor', group = 64 }", "contradicts"},
        {"quantise{ bits = 4 }", "nothing is called 'quantise'; the nearest name is 'quantize'"},
        {"prune{ sparsity = 2 }", "sparsity"},
        {"prune{ n = 2 }", "must be given together"},
        {"lowrank{ }", "rank"},
        {"rule('fc1', quantize{})", ""},
        {"rule('fc1')", ""},
        {"rule(3, quantize{})", "its first argument is a pattern over layer names"},
        {"rule('fc1', 'quantize')", "argument 2 is a string; a step was expected"},
        {"rule('fc1', quantize)", "argument 2 is a function; a step was expected"},
        {"rule('fc1', { bits = 4 })", "argument 2 is a table; a step was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = base_sprintf("%s%s", HEADER, cases[i][0]);
        expect_recipe(text, cases[i][1]);
        free(text);
    }
}

static void test_compress(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"compress(net, { rule('.*', quantize{}) })", ""},
        {"assert(compress(net, { rule('.*', quantize{}) }) == net)", ""},
        {"compress(net, { rule('fc1', quantize{}), rule('first|last', keep{}) })", ""},
        {"compress(net, { calibrate = data.calib:sample(32), rule('.*', quantize{}) })", ""},
        {"compress(net, { calibrate = data.calib:sample(32), held = false, rule('.*', quantize{}) })", ""},
        {"compress(net, { calibrate = data.calib:sample(32), held = data.select, rule('.*', quantize{}) })", ""},
        {"compress(net, { calibrate = data.calib:sample(32), sequential = true, rule('.*', quantize{}) })", ""},
        {"compress(net, {})", "no rules; give at least one"},
        {"compress(net)", "table expected"},
        {"compress({}, { rule('.*', quantize{}) })", "(model expected"},
        {"compress(net, { quantize{} })", "entry 1 is a step on its own; say which layers: rule(\".*\", quantize{"},
        {"compress(net, { 'fc1' })", "entry 1 is a string; a rule was expected"},
        {"compress(net, { setmetatable({ pattern = 'x' }, {}) })", "a rule was expected"},
        {"local r = rule('fc1', quantize{}) r[1] = 7 compress(net, { r })", "holds something that is no step"},
        {"local r = rule('fc1', quantize{}) r.pattern = nil compress(net, { r })", "lost its pattern"},
        {"compress(net, { rule('conv9', quantize{}) })", "conv9"},
        {"compress(net, { rule('(', quantize{}) })", "("},
        {"compress(net, { rule('.*', quantize{}), calibrat = data.calib })", "nearest is 'calibrate'"},
        {"compress(net, { rule('.*', quantize{}), calibrate = data })", "is a whole dataset; name a part of it"},
        {"compress(net, { rule('.*', quantize{}), calibrate = 5 })", "calibrate is a number; a part of a dataset"},
        {"compress(net, { rule('.*', quantize{}), sequential = 1 })", "sequential must be true or false"},
        {"compress(net, { rule('.*', quantize{}), seed = 'x' })", "seed must be a whole number"},
        {"compress(net, { rule('.*', lowrank{ method = 'whitened', ratio = 0.5 }) })",
         "lowrank of rule \".*\" needs calibration data, and there is none: give calibrate ="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_with_net(cases[i][0], cases[i][1]);
}

// The second text is in the log.
static void expect_log(const char *text, const char *part) {
    char *whole = with_net(text);
    said s = run_recipe(whole, NULL);
    if (!s.ok) fail_msg("%s\n  gave: %s", text, s.err.text);
    const char *log = s.log.text ? s.log.text : "";
    if (*part ? !strstr(log, part) : *log) fail_msg("%s\n  said: %s\n  expected: %s", text, log, part);
    said_free(&s);
    free(whole);
}

static void test_evaluate(void **state) {
    (void)state;
    char *text =
        with_net("compress(net, { rule('.*', quantize{ bits = 8 }) })\n"
                 "local f = evaluate(net, data.test, 'eight')\n"
                 "assert(f.label == 'eight' and f.metric == 'top1' and f.samples == #data.test)\n"
                 "assert(f.low <= f.value and f.value <= f.high and f.kl >= 0 and f.flips >= 0)\n"
                 "assert(f.original.label == 'original' and f.original.kl == nil and f.original.flips == nil)\n"
                 "assert(f.bytes < f.original.bytes / 3 and f.bits < 10 and f.original.bits == 32)\n"
                 "report(f) report(f)\n"
                 "report(evaluate(net, data.test, 'again'))\n");
    said s = run_recipe(text, NULL);
    if (!s.ok) fail_msg("%s", s.err.text);
    free(text);
    assert_int_equal(s.rows, 3); // the original and a table once each, however often they are reported
    assert_string_equal(s.row[0].label, "original");
    assert_string_equal(s.row[1].label, "eight");
    assert_string_equal(s.row[2].label, "again");
    assert_true(s.row[1].value == s.row[2].value && s.row[1].bytes == s.row[2].bytes);
    assert_string_equal(s.row[1].data, "digits/test");
    said_free(&s);
    expect_with_net("evaluate(net, data)", "is a whole dataset; name a part of it");
    expect_with_net("evaluate(net, 5)", "part of a dataset, such as data.test expected");
    expect_with_net("evaluate()", "(model expected");
    // Nothing to measure on is said, not hidden; the sizes are still there.
    expect_log("local f = evaluate(net) assert(f.value == nil and f.bytes > 0 and f.bits == 32)",
               "2 evaluate: the accuracy of tiny was not measured");
    expect_log("local f = evaluate(net, dataset(nil).test) assert(f.value == nil)", "name one with --data");
    expect_log("compress(net, { calibrate = dataset(nil).calib:sample(9), rule('.*', quantize{}) })", "");
}

static void test_warnings(void **state) {
    (void)state;
    expect_log("evaluate(net, data.test)", "");
    expect_log("local c = data.test:sample(40, 1) compress(net, { calibrate = c, rule('.*', quantize{}) })\n"
               "evaluate(net, data.test)",
               "2 evaluate: 40 of the ");
    expect_log("local c = data.calib:sample(40, 1) compress(net, { calibrate = c, rule('.*', quantize{}) })\n"
               "evaluate(net, data.test)",
               "");
    expect_log("local c = data.calib:sample(40, 1) compress(net, { calibrate = c, rule('.*', quantize{}) })\n"
               "evaluate(net, c)",
               "40 of the 40 samples of digits/calib");
    expect_log("local c = data.calib:sample(40, 1)\n"
               "compress(net, { calibrate = c, held = c, rule('.*', quantize{}) })",
               "40 held-out samples served for calibration too");
    // One sample is too little to learn from for a step that needs second moments, and enough for one that does not.
    expect_log("compress(net, { calibrate = data.calib:first(1), rule('.*', quantize{ solver = 'gptq', bits = 3 }) })",
               "1 row of calibration inputs for");
    expect_log("compress(net, { calibrate = data.calib:first(1), rule('.*', quantize{ bits = 3 }) })", "");
    expect_log("evaluate(net, data.select) evaluate(net, data.select)", "");
    expect_log("evaluate(net, data.select) evaluate(net, data.all)", "served for selection");
    expect_log("data.test:first(1000000)", "fewer than the 1000000 asked for");
}

static void test_report(void **state) {
    (void)state;
    expect_log("report('a text', 3)", "1 a text\n1 3\n");
    expect_log("report{ b = 2, a = 1.5, c = 'x' }", "1 a 1.5, b 2, c x\n");
    expect_log("report{ { k = 1 }, { k = 2 } }", "1 k 1\n1 k 2\n");
    expect_log("log('bits', 4, nil, true)", "1 bits 4 nil true\n");
    expect_log("print('x', 1)", "1 x\t1\n");
    expect_with_net("report()", "nothing to report");
    expect_log("local t = {} t[1] = t report(t)", "1 1 table");
}

// ---- save --------------------------------------------------------------------------------------

static void test_save(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"save(net, '/tmp/x.safetensors')", "would leave the out folder"},
        {"save(net, '../x.safetensors')", "would leave the out folder"},
        {"save(net, 'a/../../x.safetensors')", "would leave the out folder"},
        {"save(net, 'a/..')", "must end in .safetensors"},
        {"save(net, '')", "must end in .safetensors"},
        {"save(net, 'x.bin')", "must end in .safetensors"},
        {"save(net, 'sub/')", "must end in .safetensors"},
        {"save(net)", "string expected"},
        {"save('x.safetensors', net)", "(model expected"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect_with_net(bad[i][0], bad[i][1]);
    char *text = with_net("compress(net, { rule('.*', quantize{ bits = 4 }) })\n"
                          "local s = save(net, 'out/deep/er.safetensors')\n"
                          "assert(s.bytes > 0 and s.header_bytes < s.bytes and #s.hash == 32)\n"
                          "local f = evaluate(net, data.test) local again = evaluate(model(s.path), data.test)\n"
                          "assert(f.loss == again.loss and f.value == again.value)\n");
    script_run_options o = {.out = support_temp_path("saves")};
    said s = run_recipe(text, &o);
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_non_null(strstr(s.saved, "saves/deep/er.safetensors"));
    char hash[33];
    assert_true(base_hash_file(s.saved, hash, &s.err));
    assert_string_equal(hash, s.hash);
    said_free(&s);
    // A replay that only checks writes nothing and finds the same hash.
    script_run_options dry = {.out = support_temp_path("dry"), .no_save = true};
    char *once = with_net("compress(net, { rule('.*', quantize{ bits = 4 }) }) save(net, 'deep/er.safetensors')");
    s = run_recipe(once, &dry);
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_string_equal(s.hash, hash);
    assert_false(base_is_dir(dry.out));
    said_free(&s);
    free(once);
    free(text);
}

// A link inside the out folder does not lead out of it.
static void test_save_links(void **state) {
    (void)state;
    const char *out = support_temp_path("linked"), *outside = support_temp_path("outside");
    base_err err;
    assert_true(base_mkdirs(out, &err) && base_mkdirs(outside, &err));
    char *link_path = base_join(out, "way");
    assert_int_equal(symlink(outside, link_path), 0);
    char *text = with_net("save(net, 'way/x.safetensors')");
    script_run_options o = {.out = out};
    said s = run_recipe(text, &o);
    assert_false(s.ok);
    assert_non_null(strstr(s.err.text, "through a link"));
    assert_int_equal(support_count_entries(outside), 0);
    said_free(&s);
    free(text);
    free(link_path);
}

// What has no effect is told: a coder with nothing before it, a checkpoint of another network, as many samples as one.
static void test_told(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"compress(net, { rule('fc1', code{}, quantize{}) })", "fc1: no step before this code{} has stored anything"},
        {"compress(net, { rule('fc1', quantize{}, code{ against = 'data/models/text-llama.safetensors' }) })",
         "text-llama.safetensors predicts nothing of it"},
        {"data.calib:first(1):sample(2, 1)", "1 sample, fewer than the 2 asked for"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = with_net(cases[i][0]);
        said s = run_recipe(text, NULL);
        if (!s.ok || !s.log.text || !strstr(s.log.text, cases[i][1]))
            fail_msg("%s: %s%s", cases[i][0], s.err.text, s.log.text ? s.log.text : "");
        said_free(&s);
        free(text);
    }
}

// ---- seeds, options, training ------------------------------------------------------------------

static void test_seeds(void **state) {
    (void)state;
    char *text = with_net("data.calib:sample(5) data.calib:sample(5, 9) compress(net, { rule('.*', quantize{}) })");
    said a = run_recipe(text, NULL);
    script_run_options o = {.seed = 100};
    said b = run_recipe(text, &o);
    assert_true(a.ok && b.ok);
    assert_int_equal(a.seeds, 3);
    assert_int_equal(a.seed[0], 1);
    assert_int_equal(a.seed[1], 9);
    assert_int_equal(b.seed[0], 101);
    assert_int_equal(b.seed[1], 9);
    said_free(&a);
    said_free(&b);
    free(text);
}

static void test_train(void **state) {
    (void)state;
    static const char make[] = "local net = new_model('mlp', { input = {1, 8, 8}, hidden = {16}, classes = 10 }, 3)\n"
                               "local data = dataset('data/digits')\n";
    static const char *const cases[][2] = {
        {"train(net, { train = data.train:first(200), check = data.select, epochs = 8, rate = 0.01, seed = 1 })\n"
         "local f = evaluate(net, data.test) assert(f.value > 50, f.value) assert(f.label == 'trained')",
         ""},
        {"train(net, { train = data.train:first(64), epochs = 1, augment = function(batch, step)\n"
         "  local x = batch:get(1) x[1] = 0.5 batch:set(1, x) batch:scale(1, 0.9)\n"
         "  assert(batch.values == 64 and batch.count >= 1) end })",
         ""},
        {"local kept train(net, { train = data.train:first(64), epochs = 1, augment = function(b) kept = b end })\n"
         "return kept.count",
         "this batch is over"},
        {"train(net, { train = data.train:first(64), epochs = 1, augment = function(b) b:get(1000000) end })",
         "outside 1 .. "},
        {"train(net, { train = data.train:first(64), epochs = 1, augment = function(b) b:set(1, {1}) end })",
         "has 64 values"},
        {"train(net, { train = data.train:first(64), epochs = 1, augment = function() error('in the hook') end })",
         "in the hook"},
        {"train(net, { train = data.train:first(64), epochs = 1, augment = function() coroutine.yield() end })",
         "yield"},
        {"train(net, { train = data.train, augment = 5 })", "augment is a number"},
        {"train(net, { epochs = 1 })", "give the samples to learn from"},
        {"train(net, { train = data.train, epoch = 1 })", "nearest is 'epochs'"},
        {"train(net, { train = data.train, optimizer = 'adm' })", "optimizer"},
        {"train(model('"
         "TINY"
         "'), { train = data.train })",
         "cannot be trained; make one with new_model"},
        {"new_model('no-such-arch', {})", "no-such-arch"},
        {"new_model('mlp', 5)", "table expected"},
        {"new_model('mlp', { input = print }, 1)", "function"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *mark = strstr(cases[i][0], "TINY");
        char *body = mark ? base_sprintf("%.*s%s%s", (int)(mark - cases[i][0]), cases[i][0], tiny_model(), mark + 4)
                          : base_strdup(cases[i][0]);
        char *text = base_sprintf("%s%s%s", HEADER, make, body);
        expect_recipe(text, cases[i][1]);
        free(text);
        free(body);
    }
    // A new network is compressed and measured like any other, and saved with notes.
    expect_recipe(HEADER "local net = new_model('mlp', { input = {1, 8, 8}, hidden = {16}, classes = 10 }, 3)\n"
                         "local data = dataset('data/digits')\n"
                         "train(net, { train = data.train, epochs = 2 })\n"
                         "local f = evaluate(net, data.test) assert(f.bytes == 4 * net.weights and f.bits == 32)\n"
                         "local s = save(net, 'noted.safetensors', { seed = 3, about = 'x' })\n"
                         "assert(s.bytes == s.header_bytes + f.bytes)\n"
                         "local again = evaluate(model(s.path), data.test) assert(again.loss == f.loss)\n"
                         "compress(net, { calibrate = data.calib:first(20), rule('.*', quantize{ bits = 8 }) })\n"
                         "local g = evaluate(net, data.test) assert(g.kl < 0.01 and g.original.loss == f.loss)\n",
                  "");
    // Nothing but the seed decides: the same bytes twice.
    char *text = base_sprintf(
        "%s%strain(net, { train = data.train:first(100), epochs = 2 }) save(net, 't.safetensors')", HEADER, make);
    said a = run_recipe(text, NULL), b = run_recipe(text, NULL);
    assert_true(a.ok && b.ok);
    assert_string_equal(a.hash, b.hash);
    said_free(&a);
    said_free(&b);
    free(text);
}

// ---- cancelling --------------------------------------------------------------------------------

typedef struct canceller {
    base_job job;
    int after;
} canceller;

static void cancel_later(void *context, const base_event *e) {
    canceller *c = context;
    if (e->kind == BASE_EV_LAYER_END && --c->after == 0) atomic_store(&c->job.cancel, 1);
}

static void test_cancel(void **state) {
    (void)state;
    char *text = with_net("while true do pcall(compress, net, { rule('.*', quantize{}) }) end");
    base_err err;
    script_recipe *r = script_recipe_text("case.lua", text, &err);
    assert_non_null(r);
    canceller c = {.job = {.emit = cancel_later}, .after = 5};
    c.job.context = &c;
    script_run_options o = {.model = tiny_model()};
    assert_false(script_recipe_run(r, &o, &c.job, &err));
    assert_int_equal(err.status, BASE_CANCELLED);
    script_recipe_free(r);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),     cmocka_unit_test(test_params),   cmocka_unit_test(test_set),
        cmocka_unit_test(test_declaring),  cmocka_unit_test(test_load),     cmocka_unit_test(test_handles),
        cmocka_unit_test(test_steps),      cmocka_unit_test(test_compress), cmocka_unit_test(test_evaluate),
        cmocka_unit_test(test_warnings),   cmocka_unit_test(test_report),   cmocka_unit_test(test_save),
        cmocka_unit_test(test_save_links), cmocka_unit_test(test_told),     cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_train),      cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
