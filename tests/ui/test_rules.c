// The recipe as text: tokens, texts in quotes, rules found and changed in place, and the composer on shipped recipes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ui/recipe.h"

static char *kinds_of(const char *text) {
    static const char signs[] = "$ nkscdx!";
    base_buf b = {0};
    for (ui_lua_token t = {0}; (t = ui_lua_next(text, t.to)).kind != UI_LUA_END;) base_buf_add(&b, &signs[t.kind], 1);
    return b.text;
}
static void expect_kinds(const char *text, const char *kinds) {
    char *found = kinds_of(text);
    assert_string_equal(found, kinds);
    free(found);
}

static void tokens_are_luas(void **state) {
    (void)state;
    expect_kinds("local x = 1", "k n x d");
    expect_kinds("a.b..c...", "nxnxnx");
    expect_kinds("x=0x1p-3+.5e+2//3", "nxdxdxd");
    expect_kinds("'a\\'b' \"\\\"\" [[x\n]]..[==[ ]] ]==]", "s s sxs");
    expect_kinds("--[[ a\nb ]] x -- y", "c n c");
    expect_kinds("--[ x\ny", "c n");
    expect_kinds("'open\nx", "! n");
    expect_kinds("[[open", "!");
    expect_kinds("--[[open", "!");
    expect_kinds("\"a\\z  \n b\"", "s");
    expect_kinds("$ \xc3\xa4", "! !!");
    expect_kinds("if x ~= y then goto z end", "k n x n k k n k");
}

// Tokens follow each other without gaps and always move on, whatever the bytes.
static void tokens_cover_anything(void **state) {
    (void)state;
    uint32_t seed = 7;
    static const char bits[] = "[]=-\"'\\\n az09._xe+{}()#~";
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t n = 0;
        for (; n < 39; n++) {
            seed = seed * 1664525u + 1013904223u;
            text[n] = bits[(seed >> 16) % (sizeof bits - 1)];
        }
        text[n] = 0;
        size_t at = 0;
        for (ui_lua_token t; (t = ui_lua_next(text, at)).kind != UI_LUA_END; at = t.to) {
            assert_true(t.from == at && t.to > at && t.to <= n);
            free(ui_lua_unquote(text, t));
        }
        assert_true(at == n);
    }
}

static void quotes_go_round(void **state) {
    (void)state;
    static const char *const texts[] = {"", "plain", "a\"b\\c\nd\te\x01g", "\xc3\xa4\xe4\xb8\xad", "\\Q\\E ]] %s 'x'"};
    for (size_t i = 0; i < 5; i++) {
        base_buf b = {0};
        ui_lua_quote(&b, texts[i]);
        assert_null(strchr(b.text, '\n'));
        char *back = ui_lua_unquote(b.text, ui_lua_next(b.text, 0));
        assert_string_equal(back, texts[i]);
        free(back);
        base_buf_free(&b);
    }
    static const struct {
        const char *lua, *text;
    } more[] = {{"'\\65\\x42\\u{43}\\z  \n D'", "ABCD"},
                {"[==[\na]]b]==]", "a]]b"},
                {"'\\q'", NULL},
                {"'\\0'", NULL},
                {"'\\u{20AC}'", "\xe2\x82\xac"}};
    for (size_t i = 0; i < 5; i++) {
        char *back = ui_lua_unquote(more[i].lua, ui_lua_next(more[i].lua, 0));
        if (more[i].text)
            assert_string_equal(back, more[i].text);
        else
            assert_null(back);
        free(back);
    }
}

static const char recipe_text[] = "local c = compress\n"
                                  "compress(net(1, 2), {\n"
                                  "  calibrate = f(1, { 2, 3 }), -- rule(\"no\")\n"
                                  "  rule('first|last', keep{}), -- ends\n"
                                  "  rule([[fc\\d]], quantize{ bits = n + 1, solver = \"gptq\" },\n"
                                  "       lowrank{ rank = 8 }),\n"
                                  "  rule(all, table.unpack(steps)),\n"
                                  "  best.rules,\n"
                                  "  rule(\".*\", step{ apply = function(x) local a, b = 1, 2; return a end })\n"
                                  "})\n";

static void rules_are_found(void **state) {
    (void)state;
    ui_rules r;
    base_err err;
    assert_true(ui_rules_read(recipe_text, &r, &err));
    assert_int_equal(r.count, 5);
    assert_string_equal(r.rule[0].pattern, "first|last");
    assert_int_equal(r.rule[0].line, 4);
    assert_string_equal(r.rule[0].step[0].name, "keep");
    assert_string_equal(r.rule[1].pattern, "fc\\d");
    assert_int_equal(r.rule[1].step_count, 2);
    assert_string_equal(r.rule[1].step[0].arg[0].value, "n + 1");
    assert_string_equal(r.rule[1].step[0].arg[1].value, "\"gptq\"");
    assert_string_equal(r.rule[1].step[1].name, "lowrank");
    assert_null(r.rule[2].pattern);
    assert_string_equal(r.rule[2].expression, "all");
    assert_null(r.rule[2].step[0].name);
    assert_null(r.rule[3].expression);
    assert_string_equal(r.rule[3].text, "best.rules");
    assert_int_equal(r.rule[4].step_count, 1);
    assert_int_equal(r.rule[4].step[0].arg_count, 1);
    ui_rules_free(&r);
    static const char *const without[] = {"",
                                          "compress",
                                          "compress(",
                                          "compress(net, rules)",
                                          "compress(net, { rule(",
                                          "x = 'compress(net, {})'",
                                          "compress{}"};
    for (size_t i = 0; i < 7; i++) assert_false(ui_rules_read(without[i], &r, &err));
}

static void expect_change(char *text, const char *expected) {
    assert_string_equal(text, expected);
    free(text);
}

static void rules_change_in_place(void **state) {
    (void)state;
    static const char t[] = "compress(n, {\n  seed = 1,\n  rule('a', x{}), -- one\n  rule('b', y{})\n})";
    ui_rules r;
    base_err err;
    assert_true(ui_rules_read(t, &r, &err));
    expect_change(ui_rules_insert(t, &r, 0, "Q"),
                  "compress(n, {\n  seed = 1,\n  Q,\n  rule('a', x{}), -- one\n  rule('b', y{})\n})");
    expect_change(ui_rules_insert(t, &r, 2, "Q"),
                  "compress(n, {\n  seed = 1,\n  rule('a', x{}), -- one\n  rule('b', y{}),\n  Q\n})");
    expect_change(ui_rules_replace(t, &r, 1, "Q"), "compress(n, {\n  seed = 1,\n  rule('a', x{}), -- one\n  Q\n})");
    expect_change(ui_rules_remove(t, &r, 0), "compress(n, {\n  seed = 1,\n  rule('b', y{})\n})");
    expect_change(ui_rules_remove(t, &r, 1), "compress(n, {\n  seed = 1,\n  rule('a', x{}), -- one\n})");
    expect_change(ui_rules_swap(t, &r, 0),
                  "compress(n, {\n  seed = 1,\n  rule('b', y{}), -- one\n  rule('a', x{})\n})");
    ui_rules_free(&r);
    static const char one[] = "compress(n, { rule('a', x{}), rule('b') })";
    assert_true(ui_rules_read(one, &r, &err));
    expect_change(ui_rules_insert(one, &r, 1, "Q"), "compress(n, { rule('a', x{}), Q, rule('b') })");
    expect_change(ui_rules_insert(one, &r, 2, "Q"), "compress(n, { rule('a', x{}), rule('b'), Q })");
    expect_change(ui_rules_remove(one, &r, 0), "compress(n, { rule('b') })");
    ui_rules_free(&r);
}

// ---- with an app, without a terminal -----------------------------------------------------------

static ui_app *app_new(const char *recipe) {
    static const ui_options options = {0};
    ui_app *app = base_alloc(sizeof *app);
    base_err err = {0};
    app->options = &options;
    ui_state_init(&app->state);
    if (recipe) assert_true(ui_recipe_open(app, recipe, &err));
    ui_parts_open(app);
    return app;
}
static void app_free(ui_app *app) {
    ui_parts_close(app);
    script_recipe_free(app->recipe);
    ui_state_free(&app->state);
    free(app);
}

// Names that would break out of a pattern or a text in quotes: each rule fits its own layer and no other.
static void hostile_names_stay_names(void **state) {
    (void)state;
    static const char *const names[] = {"layer1.0.conv1", "layer1x0xconv1", "a\"b",        "%d%s", "x\\E.*",
                                        "line\nbreak",    "]]--",           "(",           "^$",   "\xe5\xb1\x82",
                                        "x\\Q",           "last",           "#no comment", "a|b",  "a"};
    enum { N = sizeof names / sizeof *names };
    ui_app *app = app_new("w4");
    base_err err = {0};
    for (int i = 0; i < N; i++) assert_true(ui_composer_set(app, names[i], "quantize{ bits = 3 }", &err));
    ui_rules r;
    assert_true(ui_rules_read(app->recipe->text, &r, &err));
    assert_int_equal(r.count, N + 1);
    model_layer layers[N + 2] = {0};
    model net = {.name = "net", .layers = layers, .layer_count = N + 2};
    layers[0].name = layers[N + 1].name = "other"; // the first and the last answer to other names too
    for (int i = 0; i < N; i++) layers[i + 1].name = (char *)(uintptr_t)names[i];
    compress_rule rules[N + 1] = {0};
    compress_plan plan = {.rules = rules, .rule_count = N + 1};
    for (int i = 0; i <= N; i++) rules[i].pattern = r.rule[i].pattern;
    int of[N + 2];
    assert_true(compress_match(&net, &plan, of, &err));
    for (int i = 0; i < N; i++) assert_int_equal(of[i + 1], N - 1 - i); // the last that was set stands first
    assert_int_equal(of[0], N);
    ui_rules_free(&r);
    char *all = ui_rules_pattern(names, N);
    for (int i = 0; i <= N; i++) rules[i].pattern = i ? ".*" : all;
    assert_true(compress_match(&net, &plan, of, &err));
    for (int i = 0; i < N; i++) assert_int_equal(of[i + 1], 0);
    assert_int_equal(of[0], 1);
    free(all);
    app_free(app);
}

static void a_layers_rule_is_set_and_replaced(void **state) {
    (void)state;
    ui_app *app = app_new("w4");
    base_err err = {0};
    assert_true(ui_composer_set(app, "conv1", "quantize{ bits = 3 }", &err));
    assert_true(ui_composer_set(app, "conv1", "lowrank{ rank = 2 }, quantize{ bits = bits }", &err));
    assert_non_null(strstr(app->recipe->text,
                           "\n  rule(\"^conv1$\", lowrank{ rank = 2 }, quantize{ bits = bits }),\n  rule(\".*\""));
    ui_recipe_settle(app);
    // Both were one step of undo; the params' values stay.
    assert_true(ui_param_set(app, "bits", "3", &err));
    ui_recipe_settle(app);
    ui_command_run(app, "undo");
    assert_true(app->state.params[0].value == 4);
    assert_non_null(strstr(app->recipe->text, "lowrank"));
    ui_command_run(app, "undo");
    assert_null(strstr(app->recipe->text, "lowrank"));
    assert_false(ui_recipe_of(app)->changed);
    ui_command_run(app, "redo");
    ui_command_run(app, "redo");
    assert_non_null(strstr(app->recipe->text, "lowrank"));
    assert_true(app->state.params[0].value == 3);
    assert_true(ui_recipe_of(app)->changed && ui_recipe_of(app)->shipped);
    app_free(app);
}

static void wrong_steps_change_nothing(void **state) {
    (void)state;
    static const struct {
        const char *steps, *message;
    } bad[] = {{"quantize{ bit = 3 }", "w4.lua:15: quantize has no argument 'bit'; the nearest is 'bits'"},
               {"quantize{ bits = 99 }", "w4.lua:15: "},
               {"quantize{ bits = 3", "w4.lua:1: "},
               {"quantise{ bits = 3 }", "w4.lua:15: "},
               {"quantize{ bits = 3 }), rule(\".*\"", ""},
               {"3", "w4.lua:15: "}};
    ui_app *app = app_new("w4");
    char *before = base_strdup(app->recipe->text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        base_err err = {0};
        assert_false(ui_composer_set(app, "conv1", bad[i].steps, &err));
        if (!strstr(err.text, bad[i].message)) fail_msg("%s: %s", bad[i].steps, err.text);
        assert_string_equal(app->recipe->text, before);
    }
    free(before);
    app_free(app);
}

// Every shipped recipe whose rules can be read takes one more and still loads; the others give way to a new recipe.
static void every_shipped_recipe_takes_a_rule(void **state) {
    (void)state;
    base_err err = {0};
    size_t count = 0;
    char **names = script_recipe_names(&count, &err);
    int own = 0;
    for (size_t i = 0; i < count; i++) {
        ui_app *app = app_new(names[i]);
        if (!ui_composer_set(app, "conv1", "quantize{ bits = 3 }", &err)) fail_msg("%s: %s", names[i], err.text);
        own += strstr(app->recipe->path, names[i]) != NULL;
        ui_rules r;
        assert_true(ui_rules_read(app->recipe->text, &r, &err));
        assert_string_equal(r.rule[0].pattern, "^conv1$");
        ui_rules_free(&r);
        app_free(app);
    }
    base_names_free(names, count);
    assert_true(own > 60);
}

static void a_text_that_does_not_load_is_shown(void **state) {
    (void)state;
    ui_app *app = app_new("w4");
    base_err err = {0};
    assert_false(
        ui_run_recipe_text(app, "given.lua", "recipe{ name = 'x', about = 'y', source = 'z' }\nlocal = 3\n", &err));
    assert_int_equal(ui_recipe_of(app)->error_line, 2);
    assert_string_equal(ui_recipe_path(app), "given.lua");
    assert_false(ui_run_start(app, &err));
    assert_non_null(strstr(err.text, "given.lua:2:"));
    ui_command_run(app, "undo");
    assert_non_null(strstr(ui_recipe_path(app), "w4.lua"));
    assert_int_equal(ui_recipe_of(app)->error_line, 0);
    app_free(app);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_luas),
        cmocka_unit_test(tokens_cover_anything),
        cmocka_unit_test(quotes_go_round),
        cmocka_unit_test(rules_are_found),
        cmocka_unit_test(rules_change_in_place),
        cmocka_unit_test(hostile_names_stay_names),
        cmocka_unit_test(a_layers_rule_is_set_and_replaced),
        cmocka_unit_test(wrong_steps_change_nothing),
        cmocka_unit_test(every_shipped_recipe_takes_a_rule),
        cmocka_unit_test(a_text_that_does_not_load_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
