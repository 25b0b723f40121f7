// Planning and judging sweeps: values from text, combinations and shards, the front against its definition, and tables
// and charts of names that need escaping.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "study/study.h"

static base_param_row number_param(bool integer) {
    base_param_row p = {.name = "n", .integer = integer, .min = NAN, .max = NAN};
    return p;
}

static base_param_row choice_param(const char *choices) {
    base_param_row p = {.name = "c"};
    snprintf(p.choices, sizeof p.choices, "%s", choices);
    return p;
}

// The values joined by blanks, or what the error says.
static void reads(const base_param_row *p, const char *text, const char *expected) {
    study_axis a;
    base_err err = {0};
    base_buf b = {0};
    base_buf_puts(&b, "");
    if (study_axis_parse(p, text, &a, &err)) {
        for (size_t i = 0; i < a.count; i++) base_buf_printf(&b, "%s%s", i ? " " : "", a.value[i]);
        study_axis_free(&a);
        assert_string_equal(b.text, expected);
    } else {
        assert_int_equal(err.status, BASE_USAGE);
        if (!strstr(err.text, expected)) print_error("'%s': %s\n", text, err.text);
        assert_non_null(strstr(err.text, expected));
    }
    base_buf_free(&b);
}

static void test_values(void **state) {
    (void)state;
    base_param_row whole = number_param(true), real = number_param(false), choice = choice_param("zeta|a,b|a|x..y");
    reads(&whole, "2..8", "2 3 4 5 6 7 8");
    reads(&whole, "8,2..4,3,4.0,03", "2 3 4 8");
    reads(&whole, "-3..3:3", "-3 0 3");
    reads(&whole, "5..5", "5");
    reads(&whole, "0..10:4", "0 4 8");
    reads(&whole, "3..2", "its first value is above its last");
    reads(&whole, "1..2..3", "a range is written");
    reads(&whole, "..3", "a range is written");
    reads(&whole, "1..", "a range is written");
    reads(&whole, "1..3:", "a range is written");
    reads(&whole, "1..3:-1", "above 0");
    reads(&whole, "1..inf", "a range is written");
    reads(&whole, "1..1e300", "more than a sweep may have");
    reads(&whole, "0..1:1e-300", "more than a sweep may have");
    reads(&whole, "1..100000,200000", "more than 100000 values");
    reads(&whole, "", "a value is missing");
    reads(&whole, ",", "a value is missing");
    reads(&whole, "2,", "a value is missing");
    reads(&whole, "\x1b[31m..2", "?[31m..2"); // nothing typed reaches the terminal raw
    reads(&real, "0..1:0.1", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1");
    reads(&real, "0..1", "needs its step");
    reads(&real, "1e-3,0.001,1E-3", "0.001");
    reads(&choice, "a,zeta", "zeta a"); // in the order declared
    reads(&choice, "a,b,zeta", "zeta a,b");
    reads(&choice, "a,a,b", "a,b a");
    reads(&choice, "x..y", "x..y");
    reads(&choice, "other", "other"); // for the recipe to refuse
}

static void test_combinations(void **state) {
    (void)state;
    base_param_row p = number_param(true);
    study_axis a[3];
    base_err err = {0};
    assert_true(study_axis_parse(&p, "1..2", &a[0], &err));
    assert_true(study_axis_parse(&p, "10,20,30", &a[1], &err));
    assert_true(study_axis_parse(&p, "1..100000", &a[2], &err));
    size_t points;
    assert_true(study_axes_count(a, 2, &points, &err));
    assert_int_equal(points, 6);
    const char *const expected[6][2] = {{"1", "10"}, {"1", "20"}, {"1", "30"}, {"2", "10"}, {"2", "20"}, {"2", "30"}};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 2; k++) assert_string_equal(study_axes_value(a, 2, i, k), expected[i][k]);
    assert_false(study_axes_count(a, 3, &points, &err));
    assert_non_null(strstr(err.text, "600000 combinations"));
    assert_true(study_axes_count(&a[2], 1, &points, &err));
    assert_int_equal(points, 100000);
    for (int i = 0; i < 3; i++) study_axis_free(&a[i]);
    size_t part, parts;
    const char *const wrong[] = {"3/2", "0/1",   "1/0", "",     "/",    "1/",
                                 "/2",  "1/2/3", "a/b", "-1/2", "1 /2", "99999999/99999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(study_shard_parse(wrong[i], &part, &parts, &err));
    assert_true(study_shard_parse("12/16", &part, &parts, &err));
    assert_int_equal(part, 12);
    assert_int_equal(parts, 16);
}

// Against the definition: no other point is at least as small and better, or smaller and as good.
static void test_front(void **state) {
    (void)state;
    enum { MOST = 60 };
    float draw[2 * MOST];
    for (uint64_t seed = 0; seed < 200; seed++) {
        size_t count = seed % MOST;
        study_dot dots[MOST];
        support_fill(draw, 2 * MOST, seed);
        for (size_t i = 0; i < count; i++) // few different values, so that many are equal
            dots[i] = (study_dot){.x = floor(draw[2 * i] * 5), .y = floor(draw[2 * i + 1] * 5), .front = seed & 1};
        if (count > 3) {
            dots[1].y = NAN;
            dots[2].x = NAN;
            dots[3].y = INFINITY;
        }
        bool higher = seed % 2 == 0;
        study_front(dots, count, higher);
        for (size_t i = 0; i < count; i++) {
            bool expected = !isnan(dots[i].x) && !isnan(dots[i].y);
            for (size_t k = 0; expected && k < count; k++) {
                bool better = higher ? dots[k].y > dots[i].y : dots[k].y < dots[i].y;
                if ((dots[k].x <= dots[i].x && better) || (dots[k].x < dots[i].x && dots[k].y == dots[i].y))
                    expected = false;
            }
            assert_int_equal(dots[i].front, expected);
        }
    }
}

// What a writer prints; caller frees.
static char *written(void (*write)(const study_sweep *, FILE *), const study_sweep *s) {
    FILE *out = tmpfile();
    assert_non_null(out);
    write(s, out);
    long bytes = ftell(out);
    char *text = base_alloc((size_t)bytes + 1);
    rewind(out);
    assert_int_equal(fread(text, 1, (size_t)bytes, out), bytes);
    fclose(out);
    return text;
}

static void has(const char *text, const char *expected) {
    if (!strstr(text, expected)) print_error("'%s' is not in:\n%s\n", expected, text);
    assert_non_null(strstr(text, expected));
}

static void test_tables(void **state) {
    (void)state;
    base_param_row p = choice_param("<&>|\"q\"|x,y|last");
    study_axis a;
    base_err err = {0};
    assert_true(study_axis_parse(&p, "<&>,\"q\",x,y,last", &a, &err));
    assert_int_equal(a.count, 4);
    study_point points[4];
    for (size_t i = 0; i < 4; i++) {
        points[i] = (study_point){.index = i, .state = STUDY_DONE, .bytes = -1, .measured = i < 3};
        points[i].params = base_sprintf("c=%s", a.value[i]);
        base_model_row *f = &points[i].figure;
        snprintf(f->metric, sizeof f->metric, "perplexity");
        snprintf(f->data, sizeof f->data, "text/test");
        f->value = i == 1 ? INFINITY : 10 + (double)i;
        f->low = f->high = f->kl = f->kl_low = f->kl_high = NAN;
        f->flips = -1;
        points[i].bytes = 1000 * (int64_t)(i + 1);
    }
    points[3].state = STUDY_FAILED;
    points[3].bytes = -1;
    points[3].error = base_strdup("it \"broke\"\n\x1b[2J</text>");
    study_sweep s = {
        .recipe = "<script>", .recipe_hash = "h", .axes = &a, .axis_count = 1, .points = points, .count = 4, .all = 4};
    study_sweep_judge(&s);
    assert_string_equal(s.metric, "perplexity");
    assert_false(s.higher);
    assert_true(points[0].front && !points[1].front && !points[2].front && !points[3].front);
    char *csv = written(study_sweep_csv, &s), *json = written(study_sweep_json, &s),
         *svg = written(study_sweep_svg, &s);
    char *table = written(study_sweep_table, &s);
    has(csv, "\n<&>,done,perplexity,text/test,0,10,");
    has(csv, "\n\"\"\"q\"\"\",done,perplexity,text/test,0,inf,");
    has(csv, "\n\"x,y\",done,");
    has(csv, "\"it \"\"broke\"\"??[2J</text>\"\n");
    has(json, "\"value\":\"inf\"");
    has(svg, "sweep of &lt;script&gt;");
    has(svg, "c=&lt;&amp;&gt;");
    assert_null(strstr(svg, "<script"));
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
    has(table, "(lower is better): 1 of 4 points");
    char *const texts[] = {csv, json, svg, table};
    for (size_t i = 0; i < 4; i++) {
        for (const char *c = texts[i]; *c; c++) assert_true(*c == '\n' || (unsigned char)*c >= 32);
        free(texts[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        free(points[i].params);
        free(points[i].error);
    }
    study_axis_free(&a);
}

// Charts of extreme, equal and missing values are still well formed and stay within their frame.
static void test_charts(void **state) {
    (void)state;
    const double values[][2] = {{1, 1}, {1e-300, 1e300}, {-5, 5}, {0, 0}, {1e15, 1e15 + 1}, {NAN, 1}, {3, INFINITY}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        for (int log_scale = 0; log_scale < 2; log_scale++) {
            study_dot dots[2] = {{values[i][0], values[i][1], -INFINITY, NAN, false, "a"},
                                 {values[i][1], values[i][0], values[i][0] - 1, values[i][0] + 1, false, "b"}};
            study_front(dots, 2, true);
            study_scatter s = {"t", NULL, "x", "y", dots, 2, true, log_scale, false};
            char *svg = study_scatter_svg(&s);
            has(svg, "</svg>");
            assert_null(strstr(svg, "nan"));
            assert_null(strstr(svg, "inf"));
            double at;
            for (const char *c = svg; (c = strstr(c, "cx=\"")); c++) {
                assert_int_equal(sscanf(c, "cx=\"%lf\"", &at), 1);
                assert_true(at >= 0 && at <= 760);
            }
            free(svg);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_combinations), cmocka_unit_test(test_front),
        cmocka_unit_test(test_tables), cmocka_unit_test(test_charts),
    };
    return cmocka_run_group_tests_name("study/sweep", tests, NULL, NULL);
}
