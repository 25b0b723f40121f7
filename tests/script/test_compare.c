// compare() in recipes: differences of two evaluations sample by sample.
#include "tests/script/recipe_support.h"

#define NETS                                                                                                           \
    HEADER "local net = model('data/models/digits-cnn.safetensors')\n"                                                 \
           "local data = dataset('data/digits')\n"                                                                     \
           "local function at(bits, part) compress(net, { rule('.*', quantize{ bits = bits }) })\n"                    \
           "  return evaluate(net, part or data.test, bits .. ' bits') end\n"                                          \
           "local function near(x, y) return math.abs(x - y) < 1e-9 end\n"

static void test_differences(void **state) {
    (void)state;
    static const char *const holds[] = {
        "near(d.kl, a.kl - b.kl) and near(d.loss, a.loss - b.loss) and near(d.top1, a.value - b.value)",
        "d.kl_low < d.kl and d.kl < d.kl_high and near(d.kl - d.kl_low, d.kl_high - d.kl)",
        // Pairs know more than two intervals: what is hard for one is hard for the other.
        "d.kl_high - d.kl_low < (a.kl_high - a.kl_low) + (b.kl_high - b.kl_low)",
        "near(e.kl, -d.kl) and near(e.kl_low, -d.kl_high) and near(e.top1_high, -d.top1_low)",
        "same.kl == 0 and same.kl_low == 0 and same.kl_high == 0 and same.top1 == 0",
        "own.kl == nil and near(own.loss, a.loss - a.original.loss) and near(own.top1, a.value - a.original.value)",
    };
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        char *text = base_sprintf(NETS "local a, b = at(2), at(3)\n"
                                       "local d, e, same, own = compare(a, b), compare(b, a), compare(a, a), "
                                       "compare(a, a.original)\n"
                                       "assert(%s)\n",
                                  holds[i]);
        expect_recipe(text, "");
        free(text);
    }
}

// The interval of the paired mean, by hand: one compressed layer against none, samples one at a time.
static void test_by_hand(void **state) {
    (void)state;
    expect_recipe(NETS "local few = data.test:first(12)\n"
                       "local a, b = at(2, few), at(3, few)\n"
                       "local d = compare(a, b)\n"
                       "local x, sum, squares = {}, 0, 0\n"
                       "local last = { 0, 0 }\n"
                       "for i = 1, 12 do\n"
                       "  local part = data.test:first(i)\n"
                       "  local s, t = at(2, part).kl * i, at(3, part).kl * i\n"
                       "  x[i] = (s - last[1]) - (t - last[2]) last = { s, t } sum = sum + x[i]\n"
                       "end\n"
                       "for i = 1, 12 do squares = squares + (x[i] - sum / 12) ^ 2 end\n"
                       "local half = 1.959964 * math.sqrt(squares / 11 / 12)\n"
                       "assert(near(d.kl, sum / 12) and math.abs(d.kl_high - d.kl - half) < 1e-6 * half + 1e-9)\n",
                  "");
}

// What the cache gives back is what was measured.
static void test_cached(void **state) {
    (void)state;
    base_err err;
    base_cache *cache = base_cache_open(support_temp_dir(), (size_t)64 << 20, &err);
    assert_non_null(cache);
    char text[2][512];
    int64_t missed = 0;
    for (int k = 0; k < 2; k++) {
        said s = {0};
        script_recipe *r = script_recipe_text("case.lua", NETS "compare(at(2), at(3))", &s.err);
        assert_non_null(r);
        script_run_options o = {.out = support_temp_path("out"), .cache = cache};
        base_job job = {.emit = hear, .context = &s, .start = base_now()};
        assert_true(script_recipe_run(r, &o, &job, &s.err));
        const char *line = strstr(s.log.text, " of samples: ");
        assert_non_null(line);
        assert_true(k == 0 || base_cache_look(cache).misses == missed); // all of it was there
        missed = base_cache_look(cache).misses;
        snprintf(text[k], sizeof text[k], "%.*s", (int)strcspn(line, "\n"), line);
        script_recipe_free(r);
        said_free(&s);
    }
    assert_string_equal(text[0], text[1]);
    assert_true(base_cache_look(cache).hits > 0);
    base_cache_close(cache);
}

static void test_errors(void **state) {
    (void)state;
    expect_recipe(NETS "compare(at(2), at(3, data.select))", "are not the same samples");
    expect_recipe(NETS "compare(at(2, data.test:first(20)), at(3, data.test:sample(20, 3)))",
                  "are not the same samples");
    expect_recipe(NETS "compare(at(2), { kl = 1 })", "give two tables that evaluate returned");
    expect_recipe(NETS "compare(at(2), 1)", "table");
    expect_recipe(NETS "local f = evaluate(net, nil) compare(f, f)", "give two tables that evaluate returned");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_cached),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
