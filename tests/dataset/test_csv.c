// csv: what is read, and that everything malformed is refused with file, line and column.
#include <math.h>

#include "data_support.h"

static data_spec *csv(const char *text) {
    static int n;
    char name[32];
    snprintf(name, sizeof name, "t%d.csv", n++);
    return spec_of(text_file(name, text), NULL);
}

static void values_are(const data_set *set, int64_t count, const float *x, const int32_t *labels) {
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_int_equal(all->count, count);
    assert_true(data_fetch(all, 0, count, &b, &err));
    for (int64_t i = 0; i < count * set->sample_values; i++) assert_float_equal(b.x[i], x[i], 0);
    for (int64_t i = 0; labels && i < count; i++) assert_int_equal(b.labels[i], labels[i]);
    if (!labels) assert_null(b.labels);
    data_batch_free(&b);
    data_view_free(all);
}

static void plain(void **state) {
    (void)state;
    data_set *set = open_spec(csv("1,2.5,0\n-3,4e1,1\n"));
    values_are(set, 2, (float[]){1, 2.5f, -3, 40}, (int32_t[]){0, 1});
    assert_int_equal(set->classes, 2);
    assert_int_equal(set->ndim, 1);
    assert_int_equal(set->dim[0], 2);
    data_close(set);
}

static void header_is_found(void **state) {
    (void)state;
    data_set *set = open_spec(csv("a,b,digit\r\n1,2,3\r\n\r\n4,5,6\r\n"));
    values_are(set, 2, (float[]){1, 2, 4, 5}, (int32_t[]){3, 6});
    assert_int_equal(set->classes, 7);
    data_close(set);
    set = open_spec(csv("0,1,digit\n1,2,3\n4,5,6\n")); // columns named by numbers
    values_are(set, 2, (float[]){1, 2, 4, 5}, (int32_t[]){3, 6});
    data_close(set);
    set = open_spec(csv("0.5,1,red\n1,2,green\n4,5,red\n")); // words are labels, not names of columns
    values_are(set, 3, (float[]){0.5f, 1, 1, 2, 4, 5}, (int32_t[]){1, 0, 1});
    assert_string_equal(set->class_names[0], "green");
    data_close(set);
}

static void header_is_said(void **state) {
    (void)state;
    data_spec *s = csv("7,8,9\n1,2,3\n");
    s->header = 1;
    data_set *set = open_spec(s);
    values_are(set, 1, (float[]){1, 2}, (int32_t[]){3});
    data_close(set);
    s = csv("7,8,1\n1,2,3\n");
    s->header = 0;
    set = open_spec(s);
    values_are(set, 2, (float[]){7, 8, 1, 2}, (int32_t[]){1, 3});
    data_close(set);
}

static void label_columns(void **state) {
    (void)state;
    static const struct {
        const char *column;
        int32_t label;
        float x[2];
    } cases[] = {{"kind", 5, {1, 2}}, {"2", 5, {1, 2}}, {"-1", 2, {1, 5}}, {"1", 1, {5, 2}}, {"-3", 1, {5, 2}}};
    for (size_t i = 0; i < 5; i++) {
        data_spec *s = csv("w,kind,h\n1,5,2\n");
        s->label_column = base_strdup(cases[i].column);
        data_set *set = open_spec(s);
        values_are(set, 1, cases[i].x, &cases[i].label);
        data_close(set);
    }
}

static void quotes_blanks_delimiters(void **state) {
    (void)state;
    data_set *set = open_spec(csv("\xEF\xBB\xBF\"a,b\",\"two\nlines\",c\n\"1\", 2 ,\"say \"\"hi\"\"\"\n\n3,\"4\",x\n"));
    values_are(set, 2, (float[]){1, 2, 3, 4}, (int32_t[]){0, 1});
    assert_string_equal(set->class_names[0], "say \"hi\"");
    data_close(set);
    data_spec *s = csv("1;2;0\n");
    s->delimiter = ';';
    set = open_spec(s);
    values_are(set, 1, (float[]){1, 2}, (int32_t[]){0});
    data_close(set);
    set = open_spec(spec_of(text_file("t.tsv", "1\t2\t0\n"), NULL));
    values_are(set, 1, (float[]){1, 2}, (int32_t[]){0});
    data_close(set);
    set = open_spec(csv("1,2,0\r3,4,1\r")); // line ends of old Macs, no newline anywhere
    values_are(set, 2, (float[]){1, 2, 3, 4}, (int32_t[]){0, 1});
    data_close(set);
}

static void classes_by_name(void **state) {
    (void)state;
    data_spec *s = csv("2,1,0,cat,dog\n1,2,cat\n3,4,dog\n5,6,1\n");
    s->skip_lines = 1;
    s->classes = 2;
    s->class_names = base_calloc(2, sizeof(char *));
    s->class_names[0] = base_strdup("dog");
    s->class_names[1] = base_strdup("cat");
    data_set *set = open_spec(s);
    values_are(set, 3, (float[]){1, 2, 3, 4, 5, 6}, (int32_t[]){1, 0, 1});
    data_close(set);
}

static void scale_and_shape(void **state) {
    (void)state;
    data_spec *s = csv("2,4,6,8,0\n");
    s->ndim = 3, s->dim[0] = 2, s->dim[1] = 1, s->dim[2] = 2;
    s->scale = 0.5;
    s->channels = 2;
    s->mean[0] = 1, s->mean[1] = 2, s->std[0] = 2, s->std[1] = 4;
    data_set *set = open_spec(s);
    values_are(set, 1, (float[]){0, 0.5f, 0.25f, 0.5f}, (int32_t[]){0});
    assert_int_equal(set->ndim, 3);
    data_close(set);
}

static void unlabelled(void **state) {
    (void)state;
    data_spec *s = csv("1,2\n3,4\n");
    s->unlabelled = true;
    data_set *set = open_spec(s);
    values_are(set, 2, (float[]){1, 2, 3, 4}, NULL);
    data_close(set);
    s = csv("1,2.5,9\n3,4.5,8\n");
    s->unlabelled = true;
    s->label_column = base_strdup("2"); // a column to leave out
    set = open_spec(s);
    values_are(set, 2, (float[]){1, 9, 3, 8}, NULL);
    data_close(set);
}

// Numbers written in every usual way are the floats that strtod reads.
static void numbers(void **state) {
    (void)state;
    enum { N = 4000 };
    static const char *const forms[] = {"%.3f", "%.17g", "%.6e", "%g", "%+.9g", "%.0f", "%.15g", "%#.0f"};
    static float expected[N];
    base_buf text = {0};
    num_rng rng = num_rng_seed(1, 0);
    for (int i = 0; i < N; i++) {
        char word[64];
        double scale = pow(10, (double)num_rng_below(&rng, 30) - 15);
        snprintf(word, sizeof word, forms[i % 8], num_rng_normal(&rng) * scale);
        expected[i] = (float)strtod(word, NULL);
        base_buf_printf(&text, "%s,0\n", word);
    }
    data_set *set = open_spec(csv(text.text));
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, N, &b, &err));
    assert_memory_equal(b.x, expected, sizeof expected);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
    base_buf_free(&text);
    static const char *const bad[] = {"1.2.3", "--1", "+", ".", "1e", "1e+", "e5", "1-2", "-.", "1,"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *row = base_sprintf("1,2,0\n%s,2,0\n", bad[i]);
        refuse_spec(csv(row), "line 2");
        free(row);
    }
}

static void malformed(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "no rows|0 bytes"},
        {"\n\n  \n", "no rows"},
        {"a,b,c\n", "no rows|only a header"},
        {"1,2,0\n1,2\n", "line 2|2 columns|expected 3|line 1"},
        {"1,2,0\n\n\n1,2,3,0\n", "line 4|4 columns"},
        {"a,b,c\n1,2,0\n1,,0\n", "line 3|column 2|is empty"},
        {"1,2,0\n1,x2,0\n", "line 2|column 2|'x2'|not a number"},
        {"1,2,0\n1,nan,0\n", "line 2|column 2|finite"},
        {"1,2,0\n-inf,2,0\n", "line 2|column 1|finite"},
        {"1,2,0\n1e39,2,0\n", "line 2|column 1|float32"},
        {"1,2,0\n0x10,2,0\n", "line 2|column 1|not a number"},
        {"1,2,0\n1 2,2,0\n", "line 2|column 1|not a number"},
        {"1,2,0\n1,2,\n", "line 2|column 3|label was expected"},
        {"1,2,0\n1,2,-1\n", "line 2|column 3|'-1'|out of range"},
        {"1,2,0\n1,2,2.5\n", "line 2|column 3|'2.5'|no class number"},
        {"1,2,0\n1,2,cat\n", "line 1|'0'|while other labels are words"},
        {"1,2,0\n1,2,99999999\n", "line 2|out of range"},
        {"1,\"2,0\n1,2,0\n", "line 1|never closed"},
        {"1,2,0\n1,a\"2,0\n", "line 2|quote"},
        {"1,2,0\n\"1\"x,2,0\n", "line 2|quote"},
        {"150,4,setosa\n1,2,0\n", "line 1|column 3|'setosa'"},
        {"150,x,0\n1,2,0\n", "line 1|column 2|skip_lines"},
        {"5\n6\n", "line 1|only one column"},
        {"1,2,0\n\xff\xfe,2,0\n", "line 2|column 1|'?\?'"},
        {"1,2,0\n\033[31m,2,0\n", "line 2|column 1|'?[31m'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_spec *s = csv(cases[i].text);
        if (i == 20) s->header = 0;
        if (i == 20) free(s->label_column), s->label_column = base_strdup("1");
        refuse_spec(s, cases[i].words);
    }
    refuse_spec(spec_of(file_of("zero.csv", "1,2,\0 3\n", 9), NULL), "line 1|column 3|zero byte");
}

static void malformed_by_spec(void **state) {
    (void)state;
    data_spec *s = csv("a,kind,c\n1,2,3\n");
    s->label_column = base_strdup("kidn");
    refuse_spec(s, "line 1|'kidn'|nearest is 'kind'");
    s = csv("1,2,3\n");
    s->label_column = base_strdup("kind");
    s->header = 0;
    refuse_spec(s, "by name|header = true");
    s = csv("1,2,3\n");
    s->label_column = base_strdup("4");
    refuse_spec(s, "label column 4|3 columns");
    s = csv("1,2,3\n");
    s->skip_lines = 2;
    refuse_spec(s, "skip_lines = 2|has 1 lines");
    s = csv("1,2,3\n");
    s->classes = 3;
    refuse_spec(s, "line 1|'3'|there are 3 classes");
    s = csv("1,2,3\n");
    s->ndim = 2, s->dim[0] = 2, s->dim[1] = 2;
    refuse_spec(s, "expected 2x2");
    s = csv("1,2,3\n");
    s->ndim = 2, s->dim[0] = INT64_MAX, s->dim[1] = INT64_MAX;
    refuse_spec(s, "shape|memory");
    s = csv("1,2,3\n");
    s->ndim = 1, s->dim[0] = -2;
    refuse_spec(s, "shape|-2");
    s = csv("1,2,3\n");
    s->channels = 1, s->std[0] = 0;
    refuse_spec(s, "channel 1|std 0");
    s = csv("1,2,3\n");
    s->fraction[0] = -1;
    refuse_spec(s, "split|calib|-1");
    refuse_spec(spec_of("/nonexistent/a.csv", NULL), "/nonexistent/a.csv");
    refuse_spec(spec_of("a.weights", NULL), "format");
    refuse_spec(data_spec_new(), "no files");
}

static void rows_of_many_files(void **state) {
    (void)state;
    data_spec *s = csv("1,2,b\n");
    spec_add(s, "csv", text_file("more.csv", "3,4,a\n5,6,c\n"), NULL, DATA_TEST);
    data_set *set = open_spec(s);
    values_are(set, 3, (float[]){1, 2, 3, 4, 5, 6}, (int32_t[]){1, 0, 2});
    assert_int_equal(set->part_count[DATA_TEST], 2);
    data_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(header_is_found),
        cmocka_unit_test(header_is_said),
        cmocka_unit_test(label_columns),
        cmocka_unit_test(quotes_blanks_delimiters),
        cmocka_unit_test(classes_by_name),
        cmocka_unit_test(scale_and_shape),
        cmocka_unit_test(unlabelled),
        cmocka_unit_test(numbers),
        cmocka_unit_test(malformed),
        cmocka_unit_test(malformed_by_spec),
        cmocka_unit_test(rows_of_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
