// The recipe as text: tokens, texts in quotes, rules found and changed in place, and the composer on shipped recipes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/support.h"
#include "ui/composer.h"

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
    ui_rule typed;
    assert_true(ui_rules_steps("x{ a = }, y{ b = 1 }", &typed, &err)); // no value: text that is not taken apart
    assert_null(typed.step[0].name);
    assert_string_equal(typed.step[1].arg[0].value, "1");
    ui_rule_free(&typed);
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
    } bad[] = {{"quantize{ bit = 3 }", "w4.lua:16: quantize has no argument 'bit'; the nearest is 'bits'"},
               {"quantize{ bits = 99 }", "w4.lua:16: "},
               {"quantize{ bits = 3", "w4.lua:1: "},
               {"quantise{ bits = 3 }", "w4.lua:16: "},
               {"quantize{ bits = 3 }), rule(\".*\"", ""},
               {"3", "w4.lua:16: "}};
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

// ---- commands of the composer, on the first rule -----------------------------------------------

static void expect_text(const ui_app *app, const char *part) {
    if (!strstr(app->recipe->text, part)) fail_msg("%s is not in\n%s\n%s", part, app->recipe->text, app->message);
}

static void rules_are_composed(void **state) {
    (void)state;
    ui_app *app = app_new("w4");
    ui_command_run(app, "rule-add first|last");
    expect_text(app, "  rule(\"first|last\", quantize{ bits = 4 }),\n  rule(\".*\"");
    ui_command_run(app, "step-set bits=8");
    ui_command_run(app, "step-set solver=gptq");
    expect_text(app, "rule(\"first|last\", quantize{ bits = 8, solver = \"gptq\" })");
    ui_command_run(app, "step-set bits=99");
    expect_text(app, "bits = 8, solver");
    assert_non_null(strstr(app->message, "w4.lua:16: quantize: bits = 99"));
    ui_command_run(app, "step-set solver=");
    expect_text(app, "rule(\"first|last\", quantize{ bits = 8 })");
    ui_command_run(app, "step-add lowrank");
    expect_text(app, "rule(\"first|last\", quantize{ bits = 8 }, lowrank{ rank = 8 })");
    ui_command_run(app, "step-add lowrunk");
    assert_non_null(strstr(app->message, "lowrunk"));
    ui_command_run(app, "rule-layers conv.*");
    expect_text(app, "rule(\"conv.*\", quantize{ bits = 8 }, lowrank{ rank = 8 })");
    ui_command_run(app, "rule-layers conv(");
    expect_text(app, "rule(\"conv.*\"");
    ui_command_run(app, "rule-down");
    expect_text(app, "rule(\".*\", quantize{ bits = bits }),\n  rule(\"conv.*\"");
    ui_command_run(app, "rule-remove");
    expect_text(app, "1),\n  rule(\"conv.*\", quantize{ bits = 8 }, lowrank{ rank = 8 }),\n})");
    ui_command_run(app, "rule-remove"); // the last one stays
    expect_text(app, "rule(\"conv.*\"");
    // Eight changes took place; undone, the file's own text stands there again.
    int steps = 0;
    for (; ui_recipe_of(app)->undo_count > 0; steps++) ui_command_run(app, "undo");
    assert_int_equal(steps, 8);
    assert_false(ui_recipe_of(app)->changed);
    for (; ui_recipe_of(app)->redo_count > 0; steps--) ui_command_run(app, "redo");
    assert_int_equal(steps, 0);
    expect_text(app, "1),\n  rule(\"conv.*\", quantize{ bits = 8 }, lowrank{ rank = 8 }),\n})");
    app_free(app);
}

static void an_argument_becomes_a_param(void **state) {
    (void)state;
    ui_app *app = app_new("first-last-8bit");
    ui_composer *c = ui_composer_now(app);
    assert_int_equal(c->rules.count, 2);
    c->open_rule = 1, c->open_step = 0;
    app->view_count = 1; // a panel with the composer's rows, its cursor on the argument `solver` of the second rule
    app->views[0] = (ui_view){.widget = "rules"};
    ui_composer_now(app);
    for (int i = 0; i < c->row_count; i++)
        if (c->row[i].arg >= 0 && strcmp(c->row[i].text, "solver") == 0) app->views[0].scroll.cursor = i;
    ui_command_run(app, "make-param");
    expect_text(app, "\nlocal solver = param(\"solver\", \"rtn\", {\"rtn\", \"gptq\", ");
    expect_text(app, "solver = solver })");
    assert_string_equal(app->state.params[0].name, "solver");
    ui_command_run(app, "rule-more"); // steps through the param's choices now
    assert_string_equal(app->state.params[0].text, "gptq");
    app->view_count = 0;
    app_free(app);
}

// What is written runs without the screen and gives the same bytes.
static void a_written_recipe_gives_the_same_bytes(void **state) {
    (void)state;
    ui_app *app = app_new("w4");
    base_err err = {0};
    char *file[2], *out[2], *written = base_join(support_temp_dir(), "mine");
    ui_command_run(app, "set bits=3");
    ui_command_run(app, "set samples=16");
    ui_command_run(app, "rule-for conv1 quantize{ bits = 2, group = 4 }");
    script_recipe *shown = script_recipe_text("shown.lua", app->recipe->text, &err);
    for (size_t i = 0; i < shown->param_count; i++) shown->params[i] = app->state.params[i];
    char *line = base_sprintf("write %s", written);
    ui_command_run(app, line);
    free(line);
    line = base_sprintf("%s.lua", written);
    assert_string_equal(app->recipe->path, line);
    assert_true(app->state.params[0].def == 3 && app->state.params[0].value == 3);
    assert_false(ui_recipe_of(app)->shipped || ui_recipe_of(app)->changed);
    script_recipe *loaded = script_recipe_load(line, &err);
    assert_non_null(loaded);
    free(line);
    for (int i = 0; i < 2; i++) {
        out[i] = base_strdup(support_temp_dir());
        script_run_options o = {.out = out[i]};
        file[i] = base_join(out[i], "w4.safetensors");
        if (!script_recipe_run(i ? loaded : shown, &o, NULL, &err)) fail_msg("%s", err.text);
    }
    assert_true(support_same_files(file[0], file[1]));
    for (int i = 0; i < 2; i++) free(file[i]), free(out[i]);
    script_recipe_free(shown);
    script_recipe_free(loaded);
    free(written);
    app_free(app);
}

static void nothing_is_overwritten(void **state) {
    (void)state;
    ui_app *app = app_new("w4");
    char *other = base_join(support_temp_dir(), "other.lua"), *line = base_sprintf("write %s", other);
    support_write(other, "-- mine", 7);
    ui_command_run(app, line);
    assert_non_null(strstr(app->message, "exists and is not this recipe's file"));
    size_t bytes;
    char *text = support_read(other, &bytes);
    assert_string_equal(text, "-- mine");
    free(text);
    free(line);
    line = base_sprintf("write %s/recipes/w4.lua", base_home());
    ui_command_run(app, line);
    assert_non_null(strstr(app->message, "one of Vise's own"));
    ui_command_run(app, "write model.safetensors");
    assert_non_null(strstr(app->message, "ends in .lua"));
    free(line);
    free(other);
    app_free(app);
}

static void values_become_the_recipes_own(void **state) {
    (void)state;
    base_param_row p[3] = {{.name = "a", .value = 2.5, .def = 1},
                           {.name = "b", .choices = "x|y", .text = "y"},
                           {.name = "c", .value = -4, .def = -3}};
    char *text =
        ui_recipe_with_values("local a = param(\"a\", 1, {0, 3}) -- param(\"a\", 7)\nlocal b = param('b', 'x', "
                              "{'x', 'y'})\nlocal c = param( [[c]] , -3 )\nlocal d = param(\"a\", 1 + 1)\n",
                              p, 3);
    assert_string_equal(text, "local a = param(\"a\", 2.5, {0, 3}) -- param(\"a\", 7)\nlocal b = param('b', \"y\", "
                              "{'x', 'y'})\nlocal c = param( [[c]] , -4 )\nlocal d = param(\"a\", 1 + 1)\n");
    free(text);
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
        cmocka_unit_test(rules_are_composed),
        cmocka_unit_test(an_argument_becomes_a_param),
        cmocka_unit_test(a_written_recipe_gives_the_same_bytes),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(values_become_the_recipes_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
