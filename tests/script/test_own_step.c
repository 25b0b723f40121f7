// Steps of a recipe's own: matrices, the terms made of them, what is checked, and that they equal the built-in ones.
#include "tests/script/recipe_support.h"

#include <math.h>
#include <unistd.h>

// ---- matrices ------------------------------------------------------------------------------------

// Each line is Lua that must hold: `same(a, b)` compares two matrices value by value.
static const char prelude[] =
    HEADER "local function same(a, b) return a.rows == b.rows and a.cols == b.cols and a:eq(b):min() == 1 end\n"
           "local m = tensor.of{{1, -2, 3}, {4, 5, -6}}\n";

static void test_values(void **state) {
    (void)state;
    static const char *const holds[] = {
        "m.rows == 2 and m.cols == 3 and tostring(m) == 'matrix 2 x 3'",
        "same(m + 1, tensor.of{{2, -1, 4}, {5, 6, -5}}) and same(1 - m, -(m - 1)) and same(m * 2, m + m)",
        "same(m / 2 * 2, m) and same(m ^ 2, m * m) and same(2 ^ tensor.of{{3}}, tensor.of{{8}})",
        "same(m + tensor.of{{10}, {20}}, tensor.of{{11, 8, 13}, {24, 25, 14}})",
        "same(m + tensor.of{{1, 2, 3}}, tensor.of{{2, 0, 6}, {5, 7, -3}})",
        "same(tensor.of{{1}, {2}} * tensor.of{{3, 4}}, tensor.of{{3, 4}, {6, 8}})",
        "same(m:abs(), tensor.of{{1, 2, 3}, {4, 5, 6}}) and same(m:sign(), tensor.of{{1, -1, 1}, {1, 1, -1}})",
        "same(tensor.of{{0.5, 1.5, 2.5, -0.5, -1.5}}:round(), tensor.of{{0, 2, 2, 0, -2}})",
        "same(tensor.of{{1.5, -1.5}}:floor(), tensor.of{{1, -2}}) and same(tensor.of{{1.5}}:ceil(), tensor.of{{2}})",
        "same(m:clamp(-1, 2), tensor.of{{1, -1, 2}, {2, 2, -1}})",
        "same(tensor.of{{4, 9}}:sqrt(), tensor.of{{2, 3}}) and tensor.of{{2}}:log():exp():sum() - 2 < 1e-6",
        "same(m:minimum(0), tensor.of{{0, -2, 0}, {0, 0, -6}}) and same(m:maximum(m:t():t()), m)",
        "same(m:gt(1), tensor.of{{0, 0, 1}, {1, 1, 0}}) and same(m:le(1), 1 - m:gt(1)) and same(m:lt(1), 1 - m:ge(1))",
        "same(m:eq(3) + m:ne(3), tensor.fill(2, 3, 1))",
        "same(m:gt(0):where(m, 0), m:maximum(0)) and same(m:gt(0):where(1, -1), m:sign())",
        "m:sum() == 5 and m:mean() == 5 / 6 and m:min() == -6 and m:max() == 5 and m:argmax() == 5",
        "same(m:sum('row'), tensor.of{{2}, {3}}) and same(m:sum('col'), tensor.of{{5, 3, -3}})",
        "same(m:max('row'), tensor.of{{3}, {5}}) and same(m:min('col'), tensor.of{{1, -2, -6}})",
        "same(m:argmax('row'), tensor.of{{3}, {2}}) and same(m:argmin('col'), tensor.of{{1, 1, 2}})",
        "same(m:mean('row') * 3, m:sum('row'))",
        "m:get(2, 3) == -6 and same(m:row(2), tensor.of{{4, 5, -6}}) and same(m:col(2, 3), "
        "tensor.of{{-2, 3}, {5, -6}})",
        "same(m:copy():put(1, 2, 7), tensor.of{{1, 7, 3}, {4, 5, -6}})",
        "same(m:copy():put(1, 1, tensor.of{{8}, {9}}):col(1), tensor.of{{8}, {9}}) and m:get(1, 1) == 1",
        "same(m:t(), tensor.of{{1, 4}, {-2, 5}, {3, -6}}) and same(m:reshape(3, 2), tensor.of{{1, -2}, {3, 4}, {5, "
        "-6}})",
        "same(tensor.of{{1, 2, 3, 4}}:groups(2), tensor.of{{1, 2}, {3, 4}})",
        "same(m:row(1):below(m:row(2)), m) and same(m:col(1):beside(m:col(2, 3)), m)",
        "same(m:pick_cols(tensor.of{{3, 1}}), tensor.of{{3, 1}, {-6, 4}}) and same(m:pick_rows(tensor.of{{2}, {2}}), "
        "m:row(2):below(m:row(2)))",
        "same(m:sort(), tensor.of{{-2, 1, 3}, {-6, 4, 5}}) and same(m:argsort(), tensor.of{{2, 1, 3}, {3, 1, 2}})",
        "same(m:kth(2), tensor.of{{1}, {4}}) and same(m:topk(1), tensor.of{{0, 0, 1}, {0, 1, 0}})",
        "same(tensor.of{{1, 1, 1}}:topk(2), tensor.of{{1, 1, 0}}) and m:topk(0):sum() == 0",
        "same(tensor.identity(2), tensor.of{{1, 1}}:diag()) and same(tensor.identity(3):diag(), tensor.fill(3, 1, 1))",
        "same(m:matmul(m:t()), tensor.of{{14, -24}, {-24, 77}}) and same(m:matmul(tensor.identity(3)), m)",
        "same(tensor.of{{4, 2}, {2, 5}}:cholesky(), tensor.of{{2, 1}, {0, 2}})",
        "same(tensor.of{{2, 0}, {0, 4}}:inverse(), tensor.of{{0.5, 0}, {0, 0.25}})",
        "same(tensor.of{{1.00048828125, 0.1}}:as('f16'):as('f16'), tensor.of{{1, 0.0999755859375}})",
        "same(tensor.normal(4, 5, 1), tensor.normal(4, 5, 1)) and not same(tensor.uniform(4, 5, 1), tensor.uniform(4, "
        "5, 2))",
        "tensor.uniform(50, 50, 3):min() >= 0 and tensor.uniform(50, 50, 3):max() < 1",
    };
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        char *text = base_sprintf("%sassert(%s)\n", prelude, holds[i]);
        expect_recipe(text, "");
        free(text);
    }
    char *text = base_sprintf("%slocal u, s, vt = m:svd()\nlocal back = (u * s:t()):matmul(vt)\n"
                              "assert((back - m):abs():max() < 1e-5 and s:get(1, 1) >= s:get(2, 1))\n"
                              "for i = 1, 300 do local big = tensor.fill(1000, 1000, i) + 1 end\n",
                              prelude);
    expect_recipe(text, "");
    free(text);
}

static void expect_step(const char *body, const char *rules, const char *part);

// Published methods written with what recipes have: each compares itself with what it must be.
static void test_methods(void **state) {
    (void)state;
    // GPTQ: column by column with the Cholesky factor of the damped inverse; less output error than rounding.
    expect_step("local n, s = ctx.cols, w:abs():max('row') / 7\n"
                "local function at(x) return (x / s):round():clamp(-7, 7) end\n"
                "if not ctx.H or ctx.groups > 1 then return ctx.codes{ codes = at(w) + 8, scales = s } end\n"
                "local damp = 0.01 * ctx.H:diag():mean() + 1e-6\n"
                "local u = (ctx.H + tensor.identity(n) * damp):inverse():cholesky()\n"
                "local q, x = tensor.fill(ctx.rows, n, 0), w:copy()\n"
                "for j = 1, n do\n"
                "  local c = at(x:col(j)); q:put(1, j, c)\n"
                "  local e = (x:col(j) - c * s) / u:get(j, j)\n"
                "  if j < n then x:put(1, j + 1, x:col(j + 1, n) - e:matmul(u:row(j):col(j + 1, n))) end\n"
                "end\n"
                "local function err(v) local d = w - v * s; return (d:matmul(ctx.H) * d):sum() end\n"
                "assert(err(q) <= err(at(w)) * 1.0001, 'gptq is worse than rounding')\n"
                "return ctx.codes{ codes = q + 8, scales = s:as('f32'), dtype = 'f32' }",
                "rule('.*', own)", "");
    // Ternary with a mean scale, and the same as levels of its own.
    expect_step("local s = w:abs():mean('row')\n"
                "local q = (w / s):round():clamp(-1, 1)\n"
                "local t = ctx.levels{ codes = q + 1, bits = 2, dtype = 'f32',\n"
                "  levels = (s * -1):beside(s * 0):beside(s):beside(s * 0) }\n"
                "assert((t:decode() - q * s):abs():max() == 0)\n"
                "return t",
                "rule('.*', own)", "");
    // Low rank by the singular values.
    expect_step("local u, s, vt = w:svd()\n"
                "local r = math.min(4, s.rows)\n"
                "return ctx.lowrank(u:col(1, r) * s:row(1, r):t(), vt:row(1, r), 'f32')",
                "rule('.*', own)", "");
    static const char *const refused[][2] = {
        {"return ctx.levels{ codes = w * 0, levels = tensor.fill(1, 3, 0), bits = 2 }", "need 1 x 4"},
        {"return ctx.levels{ codes = w * 0 + 4, levels = tensor.fill(1, 4, 0), bits = 2 }", "the code in row 1"},
        {"return ctx.levels{ codes = w * 0, levels = tensor.fill(1, 4, 0) / 0, bits = 2 }", "not finite"},
        {"return ctx.levels{ codes = w * 0, levels = tensor.fill(1, 4, 0), bits = 2, dtype = 'bf16' }", "f16 or f32"},
        {"return ctx.levels{ levels = tensor.fill(1, 4, 0), bits = 2 }", "codes must be a matrix"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_step(refused[i][0], "rule('.*', own)", refused[i][1]);
}

static void test_errors(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"m + tensor.fill(2, 2, 1)", "+: 2 x 3 and 2 x 2 do not fit each other"},
        {"m + 'x'", "a matrix or a number was expected, not a string"},
        {"m:matmul(m)", "matmul: 2 x 3 times 2 x 3: the inner sizes 3 and 2 differ"},
        {"m:get(3, 1)", "get: the row is 3, expected 1 .. 2"},
        {"m:get(1.5, 1)", "get: the row is 1.5, expected a whole number"},
        {"m:col(3, 2)", "the last column is 2, expected 3 .. 3"},
        {"m:put(2, 2, m)", "put: 2 x 3 at row 2, column 2 does not fit into 2 x 3"},
        {"m:reshape(4, 2)", "reshape: 4 x 2 is 8 values, the matrix of 2 x 3 holds 6"},
        {"m:groups(2)", "groups: runs of 2 do not divide the 3 columns"},
        {"m:sum('rows')", "the axis is nothing (all values), \"row\""},
        {"m:clamp(2, 1)", "the bounds 2 .. 1 are the wrong way round"},
        {"m:kth(4)", "kth: the count is 4, expected 1 .. 3"},
        {"m:cholesky()", "cholesky: the matrix of 2 x 3 is not square"},
        {"tensor.of{{1, 2}, {2, 1}}:cholesky()", "not positive definite"},
        {"(m / 0):svd()", "svd: the matrix holds NaN or Inf"},
        {"m:where(m:t(), 1)", "where: a choice of 3 x 2 does not fit the condition of 2 x 3"},
        {"m:pick_rows(tensor.of{{3}})", "entry 1 of the list is 3, expected a whole number 1 .. 2"},
        {"m:below(m:t())", "below: 3 x 2 under 2 x 3"},
        {"m:round_up()", "a matrix has no field or method 'round_up'"},
        {"m.rows()", "attempt to call"},
        {"tensor.of{{1, 2}, {3}}", "row 2 is not a list of 2 numbers"},
        {"tensor.of{}", "expected a list of rows"},
        {"tensor.fill(0, 1, 1)", "the number of rows is 0"},
        {"tensor.fill(2000000000, 2000000000, 1)", "would be too much"},
        {"m:as('int8')", "invalid option 'int8'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = base_sprintf("%slocal x = %s\n", prelude, cases[i][0]);
        expect_recipe(text, cases[i][1]);
        free(text);
    }
}

// ---- steps ---------------------------------------------------------------------------------------

static said run_step(const char *step, const char *rules, const char *more) {
    char *text = base_sprintf("%slocal net = model('%s')\nlocal data = dataset('data/digits')\n%s\n"
                              "compress(net, { %s%s })\nsave(net, 'own.safetensors')\n",
                              HEADER, tiny_model(), step, more, rules);
    said s = run_recipe(text, NULL);
    free(text);
    return s;
}

static void expect_step(const char *body, const char *rules, const char *part) {
    char *step = base_sprintf("local own = step{ name = 'own', apply = function(w, ctx) %s end }", body);
    said s = run_step(step, rules, "");
    if (s.ok ? *part : !*part || !strstr(s.err.text, part))
        fail_msg("%s\n  gave: %s\n  expected: %s", body, s.ok ? "(ran)" : s.err.text, *part ? part : "(runs)");
    said_free(&s);
    free(step);
}

// The same steps in Lua and built in give the same file.
static void expect_equal(const char *body, const char *own, const char *built_in) {
    char *step = base_sprintf("local own = step{ name = 'own', apply = function(w, ctx) %s end }", body);
    said a = run_step(step, own, ""), b = run_step(step, built_in, "");
    if (!a.ok || !b.ok) fail_msg("%s: %s%s", body, a.ok ? "" : a.err.text, b.ok ? "" : b.err.text);
    assert_true(a.saved_bytes > 0 && a.layers == 3);
    if (strcmp(a.hash, b.hash) != 0) fail_msg("%s: not the bytes of %s", body, built_in);
    for (int i = 0; i < a.layers; i++) {
        assert_true(a.layer[i].bytes == b.layer[i].bytes);
        assert_true(a.layer[i].weight_error == b.layer[i].weight_error);
    }
    said_free(&a);
    said_free(&b);
    free(step);
}

static void test_equal_to_built_in(void **state) {
    (void)state;
    expect_equal("local s = (w:abs():max('row') / 7):as('f16')\n"
                 "return ctx.codes{ codes = (w / s):clamp(-8, 7):round() + 8, scales = s, bits = 4 }",
                 "rule('.*', own)", "rule('.*', quantize{ bits = 4 })");
    expect_equal("local s = (w:abs():max() / 3):as('f16') return nil", "rule('.*', keep{})", "rule('.*', keep{})");
    expect_equal("local s = (tensor.of{{w:abs():max() / 3}}):as('f16')\n"
                 "return ctx.codes{ codes = (w / s):clamp(-4, 3):round() + 4, scales = s, bits = 3 }",
                 "rule('.*', own)", "rule('.*', quantize{ bits = 3, granularity = 'tensor' })");
    expect_equal("local g = w:groups(8)\nlocal lo, hi = g:min('row'):minimum(0), g:max('row'):maximum(0)\n"
                 "local s = ((hi - lo) / 15)\nlocal z = (-lo / s):round()\ns = s:as('f16')\n"
                 "local q = (g / s):clamp(-16, 16):round() + z\n"
                 "return ctx.codes{ codes = q:clamp(0, 15):reshape(w.rows, w.cols), bits = 4, group = 8,\n"
                 "  scales = s:reshape(w.rows, w.cols // 8), zeros = z:reshape(w.rows, w.cols // 8) }",
                 "rule('.*', own)", "rule('.*', quantize{ bits = 4, group = 8, sym = false })");
    expect_equal("return ctx.dense(w, 'bf16')", "rule('.*', own)", "rule('.*', keep{ dtype = 'bf16' })");
    expect_equal("return ctx.dense(w)", "rule('.*', own, quantize{ bits = 3 })", "rule('.*', quantize{ bits = 3 })");
    // After pruning the mask holds, and what pruned weights are given means nothing.
    expect_equal("return ctx.dense(w + (1 - ctx.mask) * 5, 'f16')", "rule('.*', prune{ sparsity = 0.5 }, own)",
                 "rule('.*', prune{ sparsity = 0.5 }, keep{ dtype = 'f16' })");
}

// What prune took stays away: a sparse term that brings it back fails the run, one within the mask does not.
static void test_mask_holds(void **state) {
    (void)state;
    static const char *const rules[] = {"rule('.*', prune{ sparsity = 0.5 }, own)",
                                        "rule('.*', prune{ sparsity = 0.5 }, quantize{ bits = 4 }, own)",
                                        "rule('.*', prune{ n = 2, m = 4 }, outliers{ fraction = 0.05 }, own)"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        expect_step("return ctx.sparse(1 - ctx.mask, w + 1)", rules[i], "that prune took, the first in row 1, column ");
        expect_step("return ctx.sparse(w:abs():ge(0), w)", rules[i], "multiply its mask by ctx.mask");
        expect_step("return ctx.sparse(ctx.mask * w:abs():ge(w:abs():max()), w)", rules[i], "");
    }
}

static void test_context(void **state) {
    (void)state;
    expect_step("assert(w.rows == ctx.rows and w.cols == ctx.cols and #ctx.layer > 0 and ctx.groups == 1)\n"
                "assert(ctx.H == nil and ctx.mask == nil and math.type(ctx.seed) == 'integer')\n"
                "w:put(1, 1, 1e9) return ctx.dense(w * 0, 'f16')",
                "rule('.*', own)", "");
    // The terms of one step add up, and t:decode() tells what a term stands for.
    expect_step("local s = (w:abs():max('row') / 1):as('f16')\n"
                "local q = ctx.codes{ codes = (w / s):clamp(-2, 1):round() + 2, scales = s, bits = 2 }\n"
                "local r = w - q:decode()\nassert(r:abs():max() > 0 and q.bytes > 0)\n"
                "local u, d, vt = r:svd()\nlocal k = 2\n"
                "return q, ctx.lowrank(u:col(1, k) * d:row(1, k):t(), vt:row(1, k), 'f32'),\n"
                "  ctx.sparse(r:abs():ge(r:abs():max()), r), ctx.dense(r * 0)",
                "rule('.*', own, quantize{ bits = 8 })", "");
    said s = run_step("local own = step{ name = 'own', about = 'x', inputs = 'needed', apply = function(w, ctx)\n"
                      "  assert(ctx.H.rows == w.cols and ctx.H.cols == w.cols and ctx.H:diag():min() >= 0)\n"
                      "  ctx.H:matmul(w:t()) return ctx.dense(w) end }",
                      "rule('.*', own)", "calibrate = data.calib:first(64), ");
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_string_equal(s.layer[0].steps, "own");
    assert_true(s.layer[0].bits == 16 && s.layer[0].output_error < 1e-6);
    said_free(&s);
}

static void test_step_errors(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"return w", "step own returned a matrix; it returns terms"},
        {"return", "step own returned nothing for"},
        {"return ctx.dense(w:t())", "the weight is 24 x 64"},
        {"return ctx.dense(w / 0)", "the values to store hold NaN or Inf"},
        {"return ctx.dense(w * 0 + 1e6)", "beyond the range of f16"},
        {"return ctx.dense(w, 'f8')", "the type is 'f8', expected f16, bf16 or f32"},
        {"local t = ctx.dense(w) return t, t", "the same term twice"},
        {"return ctx.dense(w), ctx.dense(w)", "2 dense terms at once"},
        {"return ctx.codes{ codes = w, scales = 1, bits = 4 }", "expected a whole number from 0 to 15"},
        {"return ctx.codes{ codes = w * 0 + 16, scales = 1, bits = 4 }",
         "the code in row 1, column 1 is 16, expected a whole number from 0 to 15"},
        {"return ctx.codes{ codes = w * 0, scales = -1, bits = 4 }", "scale 1 is -1"},
        {"return ctx.codes{ codes = w * 0, scales = w, bits = 4 }", "needs 24 x 1 or 1 x 1, or group"},
        {"return ctx.codes{ codes = w * 0, scales = w, group = 8 }", "groups of 8 in a weight of 24 x 64 need 24 x 8"},
        {"return ctx.codes{ codes = w * 0, scales = 1, zeros = w:col(1) }", "zeros are 24 x 1, scales are 1 x 1"},
        {"return ctx.codes{ codes = w * 0, scales = 1, zeros = tensor.fill(1, 1, 99) }", "zero point in row 1"},
        {"return ctx.codes{ codes = w * 0, scale = 1 }", "has no argument 'scale'; the nearest is 'scales'"},
        {"return ctx.codes{ codes = w * 0, scales = 1, bits = 17 }", "bits = 17"},
        {"return ctx.codes{ codes = 3, scales = 1 }", "codes must be a matrix, not a number"},
        {"return ctx.lowrank(w, w)", "do not make the weight of 24 x 64"},
        {"return ctx.sparse(w:t(), w)", "the mask is 64 x 24"},
        {"return ctx.dense(w + ctx.H)", "a matrix or a number was expected, not a nil"},
        {"keep_it = 1", "keep_it"},
        {"compress(net, { rule('.*', keep{}) })", "compress cannot be called inside a step"},
        {"coroutine.yield() return ctx.dense(w)", "yield"},
        {"error('my own words')", "my own words"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_step(cases[i][0], "rule('.*', own)", cases[i][1]);
    expect_step("return ctx.sparse(w:ne(0), w)", "rule('.*', prune{ sparsity = 0.5 }, own)", "");
    static const char *const makes[][2] = {
        {"step{ apply = function() end }", "step: name must be a text, not a nil"},
        {"step{ name = 'a b', apply = print }", "is not made of at most"},
        {"step{ name = 'quantize', apply = print }", "'quantize' is a step already"},
        {"step{ name = 'x' }", "step x: apply must be a function(w, ctx), not a nil"},
        {"step{ name = 'x', apply = print, inputs = 'all' }", "inputs"},
        {"step{ name = 'x', aply = print }", "has no argument 'aply'; the nearest is 'apply'"},
        {"local c local s = step{ name = 'x', apply = function(w, ctx) c = ctx return ctx.dense(w) end }\n"
         "compress(net, { rule('.*', s) }) c.dense(tensor.fill(1, 1, 1))",
         "ctx.dense: is called outside of a step's function"},
        {"local s = step{ name = 'x', inputs = 'needed', apply = function(w, ctx) return ctx.dense(w) end }\n"
         "compress(net, { rule('.*', s) })",
         "needs calibration data"},
        {"local s = step{ name = 'x', apply = function(w, ctx) while true do end end }\n"
         "pcall(compress, net, { rule('.*', s) })",
         ":3: layer fc1, step x: the recipe ran 10 s of Lua without doing any work and was stopped (an endless loop?)"},
        {"local s = step{ name = 'x', apply = function(w, ctx)\nreturn string.rep('x', 1e9) end }\n"
         "compress(net, { rule('.*', s) })",
         ":3: the recipe needs more than"},
    };
    for (size_t i = 0; i < sizeof makes / sizeof *makes; i++) {
        char *text = base_sprintf("%slocal net = model('%s')\n%s\n", HEADER, tiny_model(), makes[i][0]);
        expect_recipe(text, makes[i][1]);
        free(text);
    }
}

// The shipped exercise equals the shipped baseline, on a convolutional network.
static void test_my_rtn(void **state) {
    (void)state;
    base_layer_row rows[2][SAID_ROWS];
    float *weights[2][SAID_ROWS];
    static const char *const names[] = {"w4", "my-rtn"};
    int layers = 0;
    for (int k = 0; k < 2; k++) {
        said s = {0};
        script_recipe *r = script_recipe_load(names[k], &s.err);
        if (!r) fail_msg("%s", s.err.text);
        base_job job = {.emit = hear, .context = &s, .start = base_now()};
        char *out = base_sprintf("%s/own-%d", support_temp_path("out"), k);
        script_run_options o = {.out = out};
        if (!script_recipe_run(r, &o, &job, &s.err)) fail_msg("%s", s.err.text);
        model *m = script_model_open(s.saved, NULL, &s.err);
        if (!m) fail_msg("%s", s.err.text);
        layers = s.layers;
        assert_int_equal(layers, m->layer_count);
        for (int i = 0; i < layers; i++) {
            rows[k][i] = s.layer[i];
            size_t bytes = (size_t)m->layers[i].weights * sizeof(float);
            weights[k][i] = malloc(bytes);
            assert_non_null(weights[k][i]);
            memcpy(weights[k][i], m->weights[m->layers[i].weight], bytes);
        }
        model_close(m);
        script_recipe_free(r);
        said_free(&s);
        free(out);
    }
    assert_true(layers > 2);
    for (int i = 0; i < layers; i++) {
        assert_true(rows[0][i].bytes == rows[1][i].bytes && rows[0][i].output_error == rows[1][i].output_error);
        assert_memory_equal(weights[0][i], weights[1][i], (size_t)rows[0][i].weights * sizeof(float));
        free(weights[0][i]);
        free(weights[1][i]);
    }
}

int main(void) {
    if (chdir(support_tree()) != 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),      cmocka_unit_test(test_errors),
        cmocka_unit_test(test_methods),     cmocka_unit_test(test_equal_to_built_in),
        cmocka_unit_test(test_mask_holds),  cmocka_unit_test(test_context),
        cmocka_unit_test(test_step_errors), cmocka_unit_test(test_my_rtn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
