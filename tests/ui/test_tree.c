// The order of layers: modules and their sums, folding, sorting, filtering, marks, and that many layers stay quick.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/support.h"
#include "ui/tree.h"

static ui_layer layer(const char *name, int64_t weights, int64_t bytes, double error, ui_layer_state state) {
    ui_layer l = {.row = {.weights = weights, .bytes = bytes, .bytes_before = weights * 4}, .state = state};
    base_layer_row *r = &l.row;
    snprintf(r->name, sizeof r->name, "%s", name);
    r->bits = bytes < 0 ? NAN : 8.0 * (double)bytes / (double)weights;
    r->weight_error = r->output_error = error;
    r->output_error_held = r->chained_error = r->chained_error_held = error * 2;
    r->sqnr_db = -10 * log10(error);
    r->cosine = 1 - error;
    r->damping = r->d_of_r = NAN;
    r->seconds = bytes < 0 ? NAN : 0.5;
    return l;
}

enum { COUNT = 7 };
static void network(ui_layer l[COUNT]) {
    l[0] = layer("conv1", 100, 50, 0.01, UI_DONE);
    l[1] = layer("layer1.0.conv1", 400, 100, 0.04, UI_DONE);
    l[2] = layer("layer1.0.conv2", 400, 300, 0.02, UI_DONE);
    l[3] = layer("layer1.10.conv1", 200, -1, NAN, UI_WORKING);
    l[4] = layer("layer1.2.shortcut.0", 100, -1, NAN, UI_WAITING);
    l[5] = layer("layer2.conv", 50, -1, NAN, UI_WAITING);
    l[6] = layer("fc", 10, 10, 0.5, UI_DONE);
}

static void near(double found, double expected) {
    assert_true(fabs(found - expected) <= 1e-12);
}

static char *labels(const ui_tree *t) {
    base_buf b = {0};
    for (int i = 0; i < t->count; i++) base_buf_printf(&b, "%s\n", t->line[i].label);
    return b.text ? b.text : base_strdup("");
}

static void shows(const ui_tree *t, const char *expected) {
    char *found = labels(t);
    assert_string_equal(found, expected);
    free(found);
}

#define OPEN "\xe2\x96\xbe "
#define SHUT "\xe2\x96\xb8 "
#define FULL "\xe2\x97\x8f"
#define SOME "\xe2\x97\x8b"

static void modules_and_sums(void **state) {
    (void)state;
    ui_layer l[COUNT];
    ui_tree t = {0};
    ui_tree_order o = {0};
    network(l);
    ui_tree_build(&t, l, COUNT, &o);
    // A module of one thing is no module.
    shows(&t, "  conv1\n" OPEN "layer1\n  " OPEN "0\n      conv1\n      conv2\n    10.conv1\n    2.shortcut.0\n"
              "  layer2.conv\n  fc\n");
    const ui_tree_row *m = &t.line[1];
    assert_int_equal(m->source, -1);
    assert_string_equal(m->layer.row.name, "layer1");
    assert_int_equal(m->layer.row.weights, 1100);
    assert_int_equal(m->layer.row.bytes_before, 4400);
    assert_int_equal(m->layer.row.bytes, 400); // of what is finished
    near(m->layer.row.bits, 8 * 400 / 800.0);
    near(m->layer.row.output_error, 0.04);
    near(m->layer.row.chained_error, 0.08);
    near(m->layer.row.sqnr_db, -10 * log10(0.04));
    near(m->layer.row.cosine, 0.96);
    near(m->layer.row.seconds, 1);
    assert_int_equal(m->layer.state, UI_WORKING);
    assert_int_equal(m->layers, 4);
    assert_int_equal(m->finished, 2);
    assert_int_equal(t.line[2].layer.state, UI_DONE);
    assert_int_equal(t.modules, 2);
    assert_int_equal(t.line[3].source, 1);
    assert_int_equal(ui_tree_line_of(&t, "layer1.2.shortcut.0"), 6);
    l[4].state = UI_BROKEN;
    ui_tree_build(&t, l, COUNT, &o);
    assert_int_equal(t.line[1].layer.state, UI_BROKEN);
    ui_tree_free(&t);
}

static void folding(void **state) {
    (void)state;
    ui_layer l[COUNT];
    ui_tree t = {0};
    ui_tree_order o = {0};
    network(l);
    ui_names_set(&o.folded, "layer1.0", true);
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "  conv1\n" OPEN "layer1\n  " SHUT "0\n    10.conv1\n    2.shortcut.0\n  layer2.conv\n  fc\n");
    assert_int_equal(ui_tree_line_of(&t, "layer1.0.conv2"), 2);
    ui_names_set(&o.folded, "layer1", true);
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "  conv1\n" SHUT "layer1\n  layer2.conv\n  fc\n");
    assert_int_equal(t.line[1].layers, 4);
    assert_int_equal(t.line[1].layer.row.weights, 1100); // sums are those of all that is folded away
    assert_int_equal(ui_tree_line_of(&t, "layer1.0.conv2"), 1);
    assert_int_equal(ui_tree_line_of(&t, "layer10.0.conv2"), -1);
    o.flat = true;
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "conv1\nlayer1.0.conv1\nlayer1.0.conv2\nlayer1.10.conv1\nlayer1.2.shortcut.0\nlayer2.conv\nfc\n");
    ui_names all = ui_tree_modules(l, COUNT);
    assert_int_equal(all.count, 2);
    assert_string_equal(all.name[0], "layer1");
    assert_string_equal(all.name[1], "layer1.0");
    ui_names_clear(&all);
    ui_names_clear(&o.folded);
    ui_tree_free(&t);
}

static void sorting(void **state) {
    (void)state;
    ui_layer l[COUNT];
    ui_tree t = {0};
    base_field error = {.name = "output_error", .type = BASE_F_REAL, .offset = offsetof(base_layer_row, output_error)};
    base_field bytes = {.name = "bytes", .type = BASE_F_INT, .offset = offsetof(base_layer_row, bytes)};
    base_field name = {.name = "name", .type = BASE_F_TEXT, .offset = offsetof(base_layer_row, name)};
    ui_tree_order o = {.sort = &error, .down = true};
    network(l);
    ui_tree_build(&t, l, COUNT, &o);
    // Within each module; modules by their worst; what is not known last.
    shows(&t, "  fc\n" OPEN "layer1\n  " OPEN "0\n      conv1\n      conv2\n    10.conv1\n    2.shortcut.0\n  conv1\n"
              "  layer2.conv\n");
    o.down = false;
    o.flat = true;
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "conv1\nlayer1.0.conv2\nlayer1.0.conv1\nfc\nlayer1.10.conv1\nlayer1.2.shortcut.0\nlayer2.conv\n");
    o.sort = &bytes;
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "fc\nconv1\nlayer1.0.conv1\nlayer1.0.conv2\nlayer1.10.conv1\nlayer1.2.shortcut.0\nlayer2.conv\n");
    o.sort = &name; // 2 before 10
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "conv1\nfc\nlayer1.0.conv1\nlayer1.0.conv2\nlayer1.2.shortcut.0\nlayer1.10.conv1\nlayer2.conv\n");
    ui_tree_free(&t);
}

static void filtering_and_marks(void **state) {
    (void)state;
    ui_layer l[COUNT];
    ui_tree t = {0};
    base_err err = {0};
    ui_search *search = ui_search_new("conv1$", &err);
    ui_tree_order o = {.filter = search};
    network(l);
    ui_names_set(&o.folded, "layer1", true); // a filter looks into what is folded
    ui_names_set(&o.marked, "layer1.0.conv1", true);
    ui_tree_build(&t, l, COUNT, &o);
    shows(&t, "  conv1\n" OPEN "layer1 " SOME "\n  " OPEN "0 " FULL "\n    " FULL " conv1\n    10.conv1\n");
    assert_int_equal(t.matching, 3);
    assert_int_equal(t.line[1].layer.row.weights, 600); // sums are of what is shown
    assert_int_equal(t.line[1].mark_count, 1);
    o.negate = true;
    ui_tree_build(&t, l, COUNT, &o);
    assert_int_equal(t.matching, COUNT - 3);
    assert_int_equal(ui_tree_line_of(&t, "layer1.0.conv1"), -1);
    ui_search_free(search);
    ui_names_clear(&o.folded);
    ui_names_clear(&o.marked);
    ui_tree_free(&t);
}

static void sets_of_names(void **state) {
    (void)state;
    ui_names n = {0};
    static const char *const words[] = {"b", "a", "c", "a.b", "a", ""};
    for (int i = 0; i < 6; i++) ui_names_set(&n, words[i], true);
    assert_int_equal(n.count, 5);
    for (int i = 1; i < n.count; i++) assert_true(strcmp(n.name[i - 1], n.name[i]) < 0);
    ui_names_set(&n, "a", false);
    ui_names_set(&n, "nothing", false);
    assert_false(ui_names_has(&n, "a"));
    assert_true(ui_names_has(&n, "a.b"));
    ui_names_clear(&n);
}

static void odd_names(void **state) {
    (void)state;
    static const char *const names[] = {
        "", ".", "a.", ".b", "a..b", "a", "a.b", "a.b", "\xe5\xb1\x82.1", "\xe5\xb1\x82.2"};
    enum { MANY = sizeof names / sizeof *names };
    ui_layer l[MANY];
    ui_tree t = {0};
    ui_tree_order o = {0};
    for (int i = 0; i < MANY; i++) l[i] = layer(names[i], 1, 1, 0.1, UI_DONE);
    for (o.flat = false;; o.flat = true) {
        ui_tree_build(&t, l, MANY, &o);
        int found = 0;
        for (int i = 0; i < t.count; i++) found += t.line[i].source >= 0;
        assert_int_equal(found, MANY);
        if (o.flat) break;
    }
    ui_tree_build(&t, l, 0, &o);
    assert_int_equal(t.count, 0);
    ui_tree_free(&t);
}

// The best of three, so that a busy machine does not decide.
static void many_layers_are_quick(void **state) {
    (void)state;
    enum { MANY = 20000 };
    ui_layer *l = base_calloc(MANY, sizeof *l);
    ui_tree t = {0};
    base_field bits = {.name = "bits", .type = BASE_F_REAL, .offset = offsetof(base_layer_row, bits)};
    ui_tree_order o = {.sort = &bits, .down = true};
    for (int i = 0; i < MANY; i++) { // each expert a module of its own: as bad as it gets
        char name[64];
        snprintf(name, sizeof name, "blocks.experts.%d.w%d", i / 2, i % 2);
        l[i] = layer(name, 100 + i % 97, 50 + i % 53, 0.01, UI_DONE);
    }
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        double began = base_now();
        ui_tree_build(&t, l, MANY, &o);
        if (base_now() - began < best) best = base_now() - began;
    }
    assert_int_equal(t.count, MANY + MANY / 2 + 1); // blocks and experts are one line
    print_message("%d layers in %.1f ms\n", (int)MANY, best * 1000);
    assert_true(best < 0.5 * SUPPORT_SLOWER);
    ui_tree_free(&t);
    free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_and_sums),     cmocka_unit_test(folding),       cmocka_unit_test(sorting),
        cmocka_unit_test(filtering_and_marks),  cmocka_unit_test(sets_of_names), cmocka_unit_test(odd_names),
        cmocka_unit_test(many_layers_are_quick)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
