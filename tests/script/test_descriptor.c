// Dataset descriptors: what a table may say, the shipped and the real ones, and every refusal in one sentence.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/support.h"
#include "script/script.h"

static const char *folder(void) {
    return support_temp_dir();
}

static char *write_in(const char *dir, const char *name, const char *text) {
    char *path = base_join(dir, name);
    support_write(path, text, strlen(text));
    return path;
}

static data_spec *spec_from(const char *text, base_err *err) {
    const char *dir = folder();
    free(write_in(dir, "a.csv", "1,2,0\n3,4,1\n5,6,0\n7,8,1\n"));
    char *path = write_in(dir, "dataset.lua", text);
    data_spec *s = script_dataset_spec(path, err);
    free(path);
    return s;
}

static void everything_said(void **state) {
    (void)state;
    base_err err = {0};
    data_spec *s = spec_from(
        "return { name = 'n', about = 'x', data = { 'a.csv', { file = 'b.csv', format = 'csv' } }, shape = {1, 2},"
        "scale = 1/16, mean = {1, 2}, std = 4, classes = {'no', 'yes'}, header = false, label = -1,"
        "delimiter = ';', skip_lines = 3, split = {2, 1, 1}, seed = 9, window = 5, bos = 1 }",
        &err);
    assert_non_null(s);
    assert_string_equal(s->name, "n");
    assert_int_equal(s->source_count, 2);
    assert_string_equal(s->sources[0].path, "a.csv");
    assert_string_equal(s->sources[1].format, "csv");
    assert_int_equal(s->sources[1].part, DATA_ALL);
    assert_int_equal(s->ndim, 2);
    assert_int_equal(s->dim[1], 2);
    assert_float_equal(s->scale, 1.0 / 16, 0);
    assert_int_equal(s->channels, 2);
    assert_float_equal(s->mean[1], 2, 0);
    assert_float_equal(s->std[1], 4, 0);
    assert_int_equal(s->classes, 2);
    assert_string_equal(s->class_names[1], "yes");
    assert_int_equal(s->header, 0);
    assert_string_equal(s->label_column, "-1");
    assert_int_equal(s->delimiter, ';');
    assert_int_equal(s->skip_lines, 3);
    assert_float_equal(s->fraction[0], 2, 0);
    assert_int_equal(s->seed, 9);
    assert_int_equal(s->window, 5);
    assert_int_equal(s->bos, 1);
    data_spec_free(s);
}

static void parts_of_roles(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int parts[3];
        double fraction[3];
    } cases[] = {
        {"return { data = 'a.csv' }", {DATA_ALL}, {.7, .1, .2}},
        {"return { test = 't.csv', calib = 'a.csv' }", {DATA_ALL, DATA_TEST}, {.7, .1, 0}},
        {"return { train = 'a.csv', select = 's.csv', split = { calib = 3, test = 1 } }",
         {DATA_ALL, DATA_SELECT},
         {3, 0, 1}},
        {"return { test = 't.csv', select = 's.csv', calib = 'c.csv' }", {DATA_CALIB, DATA_SELECT, DATA_TEST}, {0}},
        {"return { data = 'a.csv', calib = 'c.csv' }", {DATA_ALL, DATA_CALIB}, {0, .1, .2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err = {0};
        data_spec *s = spec_from(cases[i].text, &err);
        if (!s) print_error("%s\n", err.text);
        assert_non_null(s);
        for (size_t k = 0; k < s->source_count; k++) assert_int_equal(s->sources[k].part, cases[i].parts[k]);
        for (int p = 0; p < 3; p++) assert_float_equal(s->fraction[p], cases[i].fraction[p], 1e-12);
        data_spec_free(s);
    }
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"return 7", "a table|number"},
        {"return {}", "no files"},
        {"return { dta = 'a.csv' }", "'dta'|nearest is 'data'"},
        {"return { data = 'a.csv', xyzzyx = 1 }", "'xyzzyx'|its keys are: name"},
        {"return { 'a.csv' }", "without a name"},
        {"return { data = 7 }", "data|file name"},
        {"return { data = '' }", "data|text"},
        {"return { data = {} }", "names no file"},
        {"return { data = { labels = 'x' } }", "names no file"},
        {"return { data = { file = 'a', imags = 'x' } }", "data|'imags'|'images'"},
        {"return { data = { file = 'a', images = 'x' } }", "both file and images"},
        {"return { data = 'a\\0b' }", "zero byte"},
        {"return { data = 'a.csv', shape = {0} }", "shape|dimension 1"},
        {"return { data = 'a.csv', shape = {1,1,1,1,1} }", "shape|1 to 4"},
        {"return { data = 'a.csv', shape = {1,nil,3} }", "shape"},
        {"return { data = 'a.csv', shape = {1.5} }", "shape|1.5"},
        {"return { data = 'a.csv', shape = 'big' }", "shape|'big'"},
        {"return { data = 'a.csv', scale = 0/0 }", "scale|finite"},
        {"return { data = 'a.csv', scale = 0 }", "scale"},
        {"return { data = 'a.csv', mean = {1,2,3}, std = {1,2} }", "mean has 3|std 2"},
        {"return { data = 'a.csv', classes = 0 }", "classes|0"},
        {"return { data = 'a.csv', classes = {'a', 2} }", "classes|2|text"},
        {"return { data = 'a.csv', header = 'yes' }", "header|'yes'|true or false"},
        {"return { data = 'a.csv', label = 0 }", "label|0|from 1"},
        {"return { data = 'a.csv', delimiter = ', ' }", "delimiter|one character"},
        {"return { data = 'a.csv', skip_lines = -1 }", "skip_lines|-1"},
        {"return { data = 'a.csv', level = 'word' }", "level|'word'|\"char\""},
        {"return { data = 'a.csv', split = {1, -1, 0} }", "split|-1|select"},
        {"return { data = 'a.csv', split = {0, 0} }", "split"},
        {"return { data = 'a.csv', split = { tset = 1 } }", "split|'tset'|'test'"},
        {"return { calib = 'a.csv', test = 'b.csv', split = {.5, .2, .3} }", "split|0.3|test|of its own"},
        {"return { data = 'a', calib = 'b', select = 'c', test = 'd' }", "nothing is left"},
        {"return { data = 'a.csv', seed = 0.5 }", "seed|0.5"},
        {"return { data = 'a.csv', window = 0 }", "window|0"},
        {"return { data = '/etc/passwd', level = 'byte' }", "/etc/passwd|outside"},
        {"return { data = '../../../../../../etc/passwd' }", "/etc/passwd|outside"},
        {"return { data = 'a.csv', folder = 'nowhere' }", "nowhere|does not exist"},
        {"return { data = 'a.csv', folder = real('no/such/thing') }", "dataset.lua:1|VISE_REAL"},
        {"return { data = io.open('/etc/passwd'):read('a') }", "dataset.lua:1|io"},
        {"while true do end", "dataset.lua:1"},
        {"local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) .. i end", "memory"},
        {"return {", "dataset.lua:1"},
        {"\033Lua", "dataset.lua"},
        {"error('\033[31mred')", "dataset.lua:1|?[31mred"},
        {"return setmetatable({}, { __index = function() error('no') end })", "no files"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err = {0};
        data_spec *s = spec_from(cases[i].text, &err);
        if (s) print_error("accepted: %s\n", cases[i].text);
        assert_null(s);
        char *list = base_strdup(cases[i].words), *save = NULL;
        for (char *w = strtok_r(list, "|", &save); w; w = strtok_r(NULL, "|", &save)) {
            if (!strstr(err.text, w)) print_error("%s\n  '%s' is not in: %s\n", cases[i].text, w, err.text);
            assert_non_null(strstr(err.text, w));
        }
        free(list);
        assert_null(strchr(err.text, '\033'));
    }
}

static void folders_and_files(void **state) {
    (void)state;
    base_err err = {0};
    const char *dir = folder();
    free(write_in(dir, "points.csv", "1,2,0\n3,4,1\n5,6,0\n7,8,1\n"));
    data_set *set = script_dataset_open(dir, NULL, &err); // no descriptor: guessed
    if (!set) print_error("%s\n", err.text);
    assert_non_null(set);
    assert_int_equal(set->count, 4);
    data_close(set);
    char *file = base_join(dir, "points.csv");
    set = script_dataset_open(file, NULL, &err);
    assert_non_null(set);
    assert_string_equal(set->name, "points");
    data_close(set);
    free(file);
    free(write_in(dir, "dataset.lua", "return { name = 'said', data = 'points.csv', classes = 5 }"));
    set = script_dataset_open(dir, NULL, &err);
    assert_non_null(set);
    assert_string_equal(set->name, "said");
    assert_int_equal(set->classes, 5);
    data_close(set);
    assert_null(script_dataset_open("/no/such/folder", NULL, &err));
    assert_non_null(strstr(err.text, "/no/such/folder"));
}

static void ships(void **state) {
    (void)state;
    base_err err = {0};
    data_set *digits = script_dataset_open("data/digits", NULL, &err);
    if (!digits) print_error("%s\n", err.text);
    assert_non_null(digits);
    assert_int_equal(digits->count, 1797);
    assert_int_equal(digits->dim[2], 8);
    assert_int_equal(digits->part_count[0] + digits->part_count[1] + digits->part_count[2], 1797);
    assert_string_equal(digits->class_names[9], "9");
    data_close(digits);
    data_set *text = script_dataset_open("data/text", NULL, &err);
    if (!text) print_error("%s\n", err.text);
    assert_non_null(text);
    assert_int_equal(text->classes, 73);
    assert_int_equal(strlen(text->vocabulary), 73);
    assert_int_equal(text->count, (683553 + 255) / 256);
    data_close(text);
}

static data_set *real_set(const char *name, const char *needs) {
    if (!support_real(needs)) return NULL;
    base_err err = {0};
    char *path = base_sprintf("%s/tests/real/%s", support_tree(), name);
    data_set *set = script_dataset_open(path, NULL, &err);
    if (!set) print_error("%s\n", err.text);
    assert_non_null(set);
    free(path);
    return set;
}

static void parts_are(const data_set *set, int64_t calib, int64_t select, int64_t test) {
    assert_int_equal(set->part_count[0], calib);
    assert_int_equal(set->part_count[1], select);
    assert_int_equal(set->part_count[2], test);
}

static void real_cifar10(void **state) {
    (void)state;
    data_set *set = real_set("cifar10.lua", "datasets/cifar10");
    if (!set) skip();
    parts_are(set, 1600, 400, 1000);
    base_err err = {0};
    data_view *test = data_view_part(set, DATA_TEST, &err);
    data_batch b = {0};
    assert_true(data_fetch(test, 0, 2, &b, &err));
    assert_string_equal(set->class_names[b.labels[0]], "cat");
    assert_string_equal(set->class_names[b.labels[1]], "ship");
    for (int i = 0; i < 2 * 3 * 32 * 32; i++) assert_true(b.x[i] > -2.2f && b.x[i] < 2.7f);
    data_batch_free(&b);
    data_view_free(test);
    data_close(set);
}

static void real_mnist(void **state) {
    (void)state;
    data_set *set = real_set("mnist.lua", "datasets/mnist");
    if (!set) skip();
    parts_are(set, 50000, 10000, 10000);
    data_close(set);
}

static void real_tinystories(void **state) {
    (void)state;
    data_set *set = real_set("tinystories.lua", "datasets/tinystories_val");
    if (!set) skip();
    assert_int_equal(set->classes, 512);
    assert_int_equal(set->sample_values, 511);
    base_err err = {0};
    data_view *all = data_view_part(set, DATA_ALL, &err);
    assert_int_equal(data_view_targets(all), 191147);
    data_view_free(all);
    data_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_said), cmocka_unit_test(parts_of_roles),
        cmocka_unit_test(refusals),        cmocka_unit_test(folders_and_files),
        cmocka_unit_test(ships),           cmocka_unit_test(real_cifar10),
        cmocka_unit_test(real_mnist),      cmocka_unit_test(real_tinystories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
