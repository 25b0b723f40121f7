// The arithmetic of sensitivity tables: reading, cells as they come, colours, numbers, sums, order, choices by
// threshold and by the allocator - with odd tables: one cell, no numbers, all alike, too many of everything.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ui/heat.h"

static void near_to(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.17g is not %.17g", a, b);
}

static const char small[] = "{\"kind\":\"sensitivity\",\"metric\":\"kl\",\"unit\":\"nats\",\"rows\":[\"a\",\"b\",\"c\"]"
                            ",\"options\":[\"2\",\"4\"],"
                            "\"steps\":[\"quantize{ bits = 2 }\",null],\"value\":[[0.9,0.1],[0.2,null],[0.5,0.05]],"
                            "\"error\":[[0.1,null],[null,null],[null,null]],\"bytes\":[[100,200],[50,90],[100,200]],"
                            "\"seconds\":[[1,1],[1,1],[1,1]],\"weights\":[400,200,400],\"operations\":[1,1,1]}";

static heat_table *read_ok(const char *json) {
    base_err err = {0};
    heat_table *t = heat_table_read(json, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static void reads(void **state) {
    (void)state;
    heat_table *t = read_ok(small);
    assert_int_equal(t->rows, 3);
    assert_int_equal(t->cols, 2);
    assert_int_equal(t->known, 5);
    assert_false(t->growing);
    assert_string_equal(t->row[2], "c");
    assert_string_equal(t->steps[0], "quantize{ bits = 2 }");
    assert_null(t->steps[1]);
    assert_true(isnan(t->value[3]) && isnan(t->error[1]));
    near_to(t->error[0], 0.1, 0);
    near_to(t->bytes[3], 90, 0);
    for (int r = 0; r < 3; r++) assert_int_equal(t->choice[r], -1);
    heat_table *copy = heat_table_copy(t);
    assert_string_equal(copy->steps[0], t->steps[0]);
    near_to(copy->value[4], 0.5, 0);
    heat_table_free(copy);
    heat_table_free(t);
}

static void refuses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "7",
        "{\"kind\":\"allocation\"}",
        "{\"kind\":\"sensitivity\"}",
        "{\"kind\":\"sensitivity\",\"rows\":[],\"options\":[\"2\"]}",
        "{\"kind\":\"sensitivity\",\"rows\":[\"a\"],\"options\":[\"2\"],\"value\":[[1,2]]}",
        "{\"kind\":\"sensitivity\",\"rows\":[\"a\",\"b\"],\"options\":[\"2\"],\"value\":[[1]]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        base_err err = {0};
        assert_null(heat_table_read(bad[i], &err));
        assert_true(err.text[0]);
    }
    base_err err = {0};
    assert_null(heat_table_read(NULL, &err));
    // Names of the wrong type are empty, numbers of the wrong type are none.
    heat_table *t =
        read_ok("{\"kind\":\"sensitivity\",\"rows\":[7],\"options\":[\"a\\u001b[2J\"],\"value\":[[\"x\"]]}");
    assert_string_equal(t->row[0], "");
    assert_null(strchr(t->col[0], 27));
    assert_true(isnan(t->value[0]));
    heat_table_free(t);
}

static void grows(void **state) {
    (void)state;
    heat_table *t =
        read_ok("{\"kind\":\"sensitivity_begun\",\"metric\":\"measured\",\"unit\":\"\",\"rows\":[\"a\",\"b\"],"
                "\"options\":[\"2\",\"4\"],\"value\":[[1.5,null],[null,null]],\"bytes\":[[7,0],[0,0]]}");
    assert_true(t->growing);
    assert_int_equal(t->known, 1);
    assert_true(isnan(t->bytes[1])); // a size before the cell is measured means nothing
    assert_true(heat_table_take_cell(t, "{\"kind\":\"sensitivity_cell\",\"metric\":\"kl\",\"unit\":\"nats\",\"row\":1,"
                                        "\"option\":0,\"value\":0.25,\"error\":null,\"bytes\":12,\"seconds\":0.5}"));
    assert_int_equal(t->known, 2);
    near_to(t->value[2], 0.25, 0);
    near_to(t->bytes[2], 12, 0);
    assert_string_equal(t->unit, "nats");
    static const char *const bad[] = {"{\"kind\":\"sensitivity_cell\",\"row\":2,\"option\":0,\"value\":1}",
                                      "{\"kind\":\"sensitivity_cell\",\"row\":0,\"option\":-1,\"value\":1}",
                                      "{\"kind\":\"other\",\"row\":0,\"option\":0,\"value\":1}", "x"};
    for (int i = 0; i < 4; i++) assert_false(heat_table_take_cell(t, bad[i]));
    assert_int_equal(t->known, 2);
    heat_table_free(t);
}

static void sums_and_order(void **state) {
    (void)state;
    heat_table *t = read_ok(small);
    near_to(heat_row_sum(t, 0), 1.0, 1e-12);
    near_to(heat_row_sum(t, 1), 0.2, 1e-12); // what is missing adds nothing
    near_to(heat_col_sum(t, 0), 1.6, 1e-12);
    int order[3];
    heat_order(t, false, order);
    assert_true(order[0] == 0 && order[1] == 1 && order[2] == 2);
    heat_order(t, true, order);
    assert_true(order[0] == 0 && order[1] == 2 && order[2] == 1);
    t->value[0] = t->value[1] = NAN;
    assert_true(isnan(heat_row_sum(t, 0)));
    heat_order(t, true, order); // rows without a number come last
    assert_true(order[0] == 2 && order[1] == 1 && order[2] == 0);
    heat_table_free(t);
}

static void scales(void **state) {
    (void)state;
    const double v[] = {0.001, 0.1, 10, NAN, 0, -1};
    heat_scale s = heat_scale_of(v, 3, true, false);
    near_to(heat_share(&s, 0.1), 0.5, 1e-12); // even in decades
    near_to(heat_value_at(&s, 0.5), 0.1, 1e-12);
    near_to(heat_share(&s, 1000), 1, 0);
    near_to(heat_share(&s, 0), 0, 0);
    assert_true(isnan(heat_share(&s, NAN)));
    near_to(heat_share(&s, INFINITY), 1, 0);
    near_to(heat_share(&s, -INFINITY), 0, 0);
    s = heat_scale_of(v, 6, true, false);
    assert_int_equal(s.missing, 1);
    assert_int_equal(s.below, 2);
    s = heat_scale_of(v, 6, false, true); // both signs: the middle is 0, and both sides reach equally far
    near_to(s.middle, 0, 0);
    near_to(heat_share(&s, 0), 0.5, 0);
    near_to(heat_share(&s, 10), 1, 0);
    near_to(heat_share(&s, -1), 0.45, 1e-12);
    s = heat_scale_of(v, 3, false, true); // one sign: the median
    near_to(s.middle, 0.1, 0);
    const double same[] = {3, 3, 3};
    s = heat_scale_of(same, 3, false, false);
    near_to(heat_share(&s, 3), 0.5, 0);
    const double none[] = {NAN, NAN};
    s = heat_scale_of(none, 2, true, true);
    assert_true(s.empty && isnan(heat_value_at(&s, 0.5)));
    const double huge[] = {-1.7e308, 1.7e308};
    s = heat_scale_of(huge, 2, false, false);
    assert_in_range((int)(heat_share(&s, 1.7e308) * 100), 0, 100);
}

static void colours(void **state) {
    (void)state;
    assert_int_equal(study_colour(STUDY_VIRIDIS, 0), 0x440154);
    assert_int_equal(study_colour(STUDY_VIRIDIS, 1), 0xFDE725);
    assert_int_equal(study_colour(STUDY_VIRIDIS, 7), 0xFDE725);
    assert_int_equal(study_colour(STUDY_VIRIDIS, NAN), 0x440154);
    assert_int_equal(study_colour(STUDY_DIVERGING, 0.5), 0xF7F7F7);
    double before = -1; // viridis reads in grey: lightness only rises
    for (int i = 0; i <= 100; i++) {
        int32_t c = study_colour(STUDY_VIRIDIS, i / 100.0);
        double light = 0.2126 * (c >> 16) + 0.7152 * (c >> 8 & 255) + 0.0722 * (c & 255);
        assert_true(light > before);
        before = light;
    }
    assert_int_equal(heat_ink(0x000000), 0xFFFFFF);
    assert_int_equal(heat_ink(0xFFFFFF), 0x000000);
    assert_int_equal(heat_shade(0, true), '.');
    assert_int_equal(heat_shade(1, true), '@');
    assert_int_equal(heat_shade(NAN, true), ' ');
}

static void numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        int width;
        const char *text;
    } cases[] = {{0.0123456, 7, ".01235"}, {0.5, 7, "0.5"},       {1234567, 6, "1.23e6"},
                 {1.2e-5, 6, "1.2e-5"},    {1.2e-5, 4, "1e-5"},   {NAN, 7, "-"},
                 {INFINITY, 7, "inf"},     {-INFINITY, 3, "-in"}, {0, 3, "0"},
                 {-0.25, 5, "-0.25"},      {1e300, 5, "1e300"},   {123456, 1, "+"},
                 {-123456, 1, "-"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[24];
        heat_number(cases[i].value, cases[i].width, out);
        if (i) assert_string_equal(out, cases[i].text);
        assert_true((int)strlen(out) <= cases[i].width);
    }
    for (int e = -320; e < 308; e += 7)
        for (int w = 1; w < 12; w++) {
            char out[24];
            assert_true((int)strlen(heat_number(-3.14159 * pow(10, e), w, out)) <= w);
        }
}

static void thresholds(void **state) {
    (void)state;
    heat_table *t = read_ok(small);
    int choice[3];
    assert_int_equal(heat_under(t, 0.3, choice), 0);
    assert_true(choice[0] == 1 && choice[1] == 0 && choice[2] == 1);
    assert_int_equal(heat_under(t, 0.06, choice), 2);
    assert_true(choice[0] == -1 && choice[1] == -1 && choice[2] == 1);
    assert_int_equal(heat_under(t, 5, choice), 0); // the smallest, not the best
    assert_true(choice[0] == 0 && choice[1] == 0 && choice[2] == 0);
    heat_total sum = heat_choice_total(t, choice);
    assert_int_equal(sum.chosen, 3);
    near_to(sum.bytes, 250, 0);
    near_to(sum.loss, 1.6, 1e-12);
    near_to(sum.weights, 1000, 0);
    heat_table_free(t);
}

// Every choice tried one by one.
static double brute(const heat_table *t, double budget) {
    double best = INFINITY;
    int n = 1;
    for (int r = 0; r < t->rows; r++) n *= t->cols;
    for (int k = 0; k < n; k++) {
        double bytes = 0, loss = 0;
        for (int r = 0, rest = k; r < t->rows; r++, rest /= t->cols) {
            int at = r * t->cols + rest % t->cols;
            bytes += t->bytes[at];
            loss += t->value[at]; // NaN never wins
        }
        if (bytes <= budget && loss < best) best = loss;
    }
    return best;
}

static void allocates(void **state) {
    (void)state;
    heat_table *t = read_ok(small);
    for (double bits = 2.0; bits < 5; bits += 0.4) {
        int choice[3];
        heat_answer a;
        base_err err = {0};
        assert_true(heat_allocate(t, bits, choice, &a, NULL, &err));
        near_to(a.loss, brute(t, floor(bits * 1000 / 8 + 1e-9)), 1e-12);
        heat_total sum = heat_choice_total(t, choice);
        near_to(sum.loss, a.loss, 1e-12);
        near_to(sum.bytes, a.bytes, 0);
        assert_true(a.bytes <= bits * 1000 / 8 + 1e-9 && a.proved && a.left_out == 0);
    }
    int choice[3];
    heat_answer a;
    base_err err = {0};
    assert_false(heat_allocate(t, 0.1, choice, &a, NULL, &err)); // nothing is that small
    assert_true(err.text[0]);
    assert_false(heat_allocate(t, NAN, choice, &a, NULL, &err));
    t->value[2] = NAN; // a layer without any value is left out and said so
    assert_true(heat_allocate(t, 4, choice, &a, NULL, &err));
    assert_int_equal(a.left_out, 1);
    assert_int_equal(choice[1], -1);
    for (int i = 0; i < 6; i++) t->value[i] = NAN;
    assert_false(heat_allocate(t, 4, choice, &a, NULL, &err));
    heat_table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),   cmocka_unit_test(refuses),    cmocka_unit_test(grows),
        cmocka_unit_test(scales),  cmocka_unit_test(colours),    cmocka_unit_test(sums_and_order),
        cmocka_unit_test(numbers), cmocka_unit_test(thresholds), cmocka_unit_test(allocates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
