// split, views, batches: the same every time, nothing in two parts, nothing lost, each class in proportion.
#include "data_support.h"

// n rows of which row i has label i % classes; the feature is the row number.
static data_spec *rows(int n, int classes, uint64_t seed) {
    base_buf b = {0};
    for (int i = 0; i < n; i++) base_buf_printf(&b, "%d,%d\n", i, i % classes);
    data_spec *s = spec_of(text_file("rows.csv", b.text), NULL);
    base_buf_free(&b);
    s->seed = seed;
    return s;
}

static void disjoint_and_whole(const data_set *set) {
    data_view *part[3] = {0};
    base_err err = {0};
    int64_t sum = 0;
    for (int p = 0; p < 3; p++) {
        if (!set->part_count[p]) continue;
        part[p] = data_view_part(set, (data_part)p, &err);
        sum += part[p]->count;
        for (int64_t i = 1; i < part[p]->count; i++) assert_true(part[p]->index[i] > part[p]->index[i - 1]);
    }
    assert_int_equal(sum, set->count);
    for (int p = 0; p < 3; p++)
        for (int q = 0; q < p; q++)
            if (part[p] && part[q]) assert_int_equal(data_view_overlap(part[p], part[q]), 0);
    for (int p = 0; p < 3; p++) data_view_free(part[p]);
}

static void classes_in_proportion(void **state) {
    (void)state;
    static const struct {
        int n, classes;
        double f[3];
    } cases[] = {{1000, 10, {.7, .1, .2}}, {1797, 10, {.7, .1, .2}}, {100, 7, {.5, .25, .25}}, {31, 10, {.6, .2, .2}},
                 {50, 5, {0, .5, .5}},     {50, 5, {0, 0, 1}},       {50, 5, {1, 0, 0}},       {9, 3, {2, 0, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_spec *s = rows(cases[i].n, cases[i].classes, 3);
        memcpy(s->fraction, cases[i].f, sizeof s->fraction);
        double total = cases[i].f[0] + cases[i].f[1] + cases[i].f[2];
        data_set *set = open_spec(s);
        disjoint_and_whole(set);
        for (int p = 0; p < 3; p++) {
            assert_float_equal((float)set->part_count[p], (float)(cases[i].n * cases[i].f[p] / total), 1.01f);
            if (!set->part_count[p]) continue;
            data_view *v = part_of(set, (data_part)p);
            data_batch b = {0};
            base_err err = {0};
            assert_true(data_fetch(v, 0, v->count, &b, &err));
            double expected = cases[i].f[p] / total * cases[i].n / cases[i].classes;
            for (int c = 0; c < cases[i].classes; c++) {
                int has = 0;
                for (int64_t k = 0; k < v->count; k++) has += b.labels[k] == c;
                assert_true(has > expected - 2 && has < expected + 2);
            }
            data_batch_free(&b);
            data_view_free(v);
        }
        data_close(set);
    }
}

static void same_every_time(void **state) {
    (void)state;
    data_set *a = open_spec(rows(500, 5, 7)), *b = open_spec(rows(500, 5, 7)), *c = open_spec(rows(500, 5, 8));
    assert_string_equal(a->hash, b->hash);
    assert_string_not_equal(a->hash, c->hash);
    size_t test = (size_t)a->part_count[2] * sizeof(int64_t);
    assert_memory_equal(a->part[2], b->part[2], test);
    assert_true(memcmp(a->part[2], c->part[2], test) != 0);
    data_close(a);
    data_close(b);
    data_close(c);
}

static void hash_sees_what_matters(void **state) {
    (void)state;
    data_set *a = open_spec(rows(50, 5, 7));
    data_spec *s = rows(50, 5, 7);
    s->scale = 0.5;
    data_set *b = open_spec(s);
    s = rows(51, 5, 7);
    data_set *c = open_spec(s);
    s = rows(50, 5, 7);
    s->name = base_strdup("another name");
    data_set *d = open_spec(s);
    assert_string_not_equal(a->hash, b->hash);
    assert_string_not_equal(a->hash, c->hash);
    assert_string_equal(a->hash, d->hash);
    data_close(a);
    data_close(b);
    data_close(c);
    data_close(d);
}

static void windows_stay_in_order(void **state) {
    (void)state;
    char long_text[5001];
    memset(long_text, 'x', 5000);
    long_text[5000] = 0;
    data_spec *s = spec_of(text_file("long.txt", long_text), NULL);
    s->window = 10;
    data_set *set = open_spec(s);
    assert_int_equal(set->count, 500);
    assert_int_equal(set->part_count[0], 350);
    assert_int_equal(set->part[0][349], 349);
    assert_int_equal(set->part[1][0], 350);
    assert_int_equal(set->part[2][99], 499);
    disjoint_and_whole(set);
    data_close(set);
}

static void documents_stay_whole(void **state) {
    (void)state;
    uint16_t ids[3000];
    for (int i = 0; i < 3000; i++) ids[i] = (uint16_t)(i % 30 ? 2 + i / 30 : 1); // 100 documents of 30
    num_tensor t = {.dtype = NUM_U16, .ndim = 1, .dim = {3000}, .data = ids};
    base_err err = {0};
    const char *path = support_temp_path("docs.npy");
    assert_true(num_npy_save(path, &t, &err));
    data_spec *s = spec_of(path, NULL);
    s->bos = 1, s->window = 10; // three pieces a document
    data_set *set = open_spec(s);
    assert_int_equal(set->count, 300);
    disjoint_and_whole(set);
    int in[100];
    memset(in, -1, sizeof in);
    for (int p = 0; p < 3; p++)
        for (int64_t i = 0; i < set->part_count[p]; i++) {
            int64_t document = set->part[p][i] / 3;
            assert_true(in[document] < 0 || in[document] == p);
            in[document] = p;
        }
    assert_int_equal(set->part_count[2], 60);
    bool shuffled = false;
    for (int k = 1; k < 100; k++) shuffled = shuffled || in[k] < in[k - 1];
    assert_true(shuffled);
    data_close(set);
}

static void files_with_a_role(void **state) {
    (void)state;
    data_spec *s = spec_of(text_file("a.csv", "1,0\n2,1\n3,0\n4,1\n"), NULL);
    spec_add(s, NULL, text_file("b.csv", "5,0\n6,1\n"), NULL, DATA_TEST);
    s->fraction[0] = s->fraction[1] = 1;
    data_set *set = open_spec(s);
    assert_int_equal(set->part_count[0], 2);
    assert_int_equal(set->part_count[1], 2);
    assert_int_equal(set->part[2][0], 4);
    assert_int_equal(set->part[2][1], 5);
    disjoint_and_whole(set);
    data_close(set);
}

static void views(void **state) {
    (void)state;
    base_err err = {0};
    data_spec *s = rows(100, 2, 1);
    s->name = base_strdup("rows");
    s->fraction[0] = 1;
    data_set *set = open_spec(s);
    assert_null(data_view_part(set, DATA_TEST, &err));
    assert_non_null(strstr(err.text, "'rows' has no samples in its test part"));
    data_view *all = part_of(set, DATA_CALIB);
    data_view *small = data_view_sample(all, 10, 5, &err), *large = data_view_sample(all, 30, 5, &err);
    assert_string_equal(all->label, "rows/calib");
    assert_string_equal(small->label, "rows/calib[10 of 100, seed 5]");
    assert_memory_equal(small->index, large->index, 10 * sizeof(int64_t));
    assert_int_equal(data_view_overlap(small, large), 10);
    assert_int_equal(data_view_overlap(large, all), 30);
    data_view *other = data_view_sample(all, 10, 6, &err);
    assert_true(memcmp(small->index, other->index, 10 * sizeof(int64_t)) != 0);
    data_view *range = data_view_range(all, 20, 5, &err);
    assert_int_equal(range->index[0], 20);
    data_view *rest = data_view_range(all, 25, 75, &err);
    assert_int_equal(data_view_overlap(range, rest), 0);
    assert_null(data_view_sample(all, 101, 1, &err));
    assert_non_null(strstr(err.text, "101"));
    assert_null(data_view_sample(all, 0, 1, &err));
    assert_null(data_view_range(all, 99, 2, &err));
    assert_null(data_view_range(all, -1, 2, &err));
    assert_null(data_view_range(all, INT64_MAX, 2, &err));
    data_batch b = {0};
    assert_false(data_fetch(all, 99, 2, &b, &err));
    assert_false(data_fetch(all, 0, 0, &b, &err));
    assert_false(data_fetch(all, 1, INT64_MAX, &b, &err));
    assert_true(data_fetch(range, 4, 1, &b, &err));
    assert_float_equal(b.x[0], 24, 0);
    data_view *copy = data_view_copy(range);
    assert_memory_equal(copy->index, range->index, 5 * sizeof(int64_t));
    data_batch_free(&b);
    data_view *views[] = {all, small, large, other, range, rest, copy};
    for (size_t i = 0; i < 7; i++) data_view_free(views[i]);
    data_close(set);
}

static void batches_are_reused(void **state) {
    (void)state;
    data_set *features = open_spec(rows(100, 2, 1));
    data_spec *s = rows(100, 2, 1);
    s->unlabelled = true;
    data_set *plain = open_spec(s), *text = open_spec(spec_of(text_file("a.txt", "hello world"), NULL));
    data_view *v[] = {part_of(features, DATA_ALL), part_of(text, DATA_ALL), part_of(plain, DATA_ALL)};
    data_batch b = {0};
    base_err err = {0};
    for (int round = 0; round < 9; round++) {
        data_view *now = v[round % 3];
        int64_t n = round < 3 || now->count == 1 ? 1 : 20 + round;
        assert_true(data_fetch(now, 0, n, &b, &err));
        assert_int_equal(b.count, n);
        assert_int_equal(b.kind, now->set->kind);
        assert_true((b.labels == NULL) == (round % 3 == 2));
        assert_true((b.x == NULL) == (round % 3 == 1));
        if (b.x) assert_float_equal(b.x[(n - 1) * now->set->sample_values], (double)n - 1, 0);
    }
    size_t held = base_big_now();
    data_batch_free(&b);
    assert_true(base_big_now() < held);
    for (int i = 0; i < 3; i++) data_view_free(v[i]);
    data_close(features);
    data_close(plain);
    data_close(text);
    assert_int_equal(base_big_now(), 0);
}

// ---- guessing -----------------------------------------------------------------------------------------------------

static void guesses(void **state) {
    (void)state;
    static const struct {
        const char *files[5];
        int sources;
        const char *format, *labels;
        int part;
    } cases[] = {
        {{"x.csv"}, 1, "csv", NULL, DATA_ALL},
        {{"train.csv", "test.csv"}, 2, "csv", NULL, DATA_TEST},
        {{"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"},
         1,
         "idx",
         "train-labels-idx1-ubyte.gz",
         DATA_ALL},
        {{"c_images_u8_nchw.npy", "c_labels_u8.npy"}, 1, "npy", "c_labels_u8.npy", DATA_ALL},
        {{"x_test.npy", "y_test.npy"}, 1, "npy", "y_test.npy", DATA_TEST},
        {{"book.txt", "README.md", "LICENSE.txt"}, 1, "text", NULL, DATA_ALL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = support_temp_dir();
        for (int f = 0; f < 5 && cases[i].files[f]; f++) {
            char *path = base_join(dir, cases[i].files[f]);
            support_write(path, "1,2\n", 4);
            free(path);
        }
        base_err err = {0};
        data_spec *s = data_spec_guess(dir, &err);
        if (!s) print_error("%s\n", err.text);
        assert_non_null(s);
        assert_int_equal(s->source_count, cases[i].sources);
        assert_string_equal(s->sources[0].format, cases[i].format);
        assert_int_equal(s->sources[0].part, cases[i].part);
        if (cases[i].labels) assert_string_equal(s->sources[0].labels, cases[i].labels);
        data_spec_free(s);
    }
}

static void no_guess(void **state) {
    (void)state;
    static const struct {
        const char *files[3], *words;
    } cases[] = {
        {{"README.md"}, "looked for"},
        {{"a.csv", "b.txt"}, "both csv and text"},
        {{"a.csv", "b.csv"}, "2 csv files|a.csv"},
        {{"a.txt", "b_valid.txt"}, "2 text files|a.txt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = support_temp_dir();
        for (int f = 0; f < 3 && cases[i].files[f]; f++) {
            char *path = base_join(dir, cases[i].files[f]);
            support_write(path, "1,2\n", 4);
            free(path);
        }
        base_err err = {0};
        assert_null(data_spec_guess(dir, &err));
        char *list = base_strdup(cases[i].words), *save = NULL;
        for (char *w = strtok_r(list, "|", &save); w; w = strtok_r(NULL, "|", &save))
            assert_non_null(strstr(err.text, w));
        free(list);
    }
    base_err err = {0};
    assert_null(data_spec_guess("/no/such/place", &err));
    assert_non_null(strstr(err.text, "no such"));
    assert_null(data_spec_guess("/dev/null", &err));
    assert_non_null(strstr(err.text, "neither a file nor a folder"));
    assert_null(data_spec_guess(text_file("model.bin", "x"), &err));
    assert_non_null(strstr(err.text, "model.bin"));
    assert_null(data_spec_guess(text_file("t10k-images-idx3-ubyte", "x"), &err));
    assert_non_null(strstr(err.text, "no file of labels"));
}

static void cancelled(void **state) {
    (void)state;
    base_job job = {0};
    atomic_store(&job.cancel, 1);
    base_err err = {0};
    data_spec *s = rows(100, 2, 1);
    assert_null(data_open(s, &job, &err));
    assert_int_equal(err.status, BASE_CANCELLED);
    data_spec_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_in_proportion),
        cmocka_unit_test(same_every_time),
        cmocka_unit_test(hash_sees_what_matters),
        cmocka_unit_test(windows_stay_in_order),
        cmocka_unit_test(documents_stay_whole),
        cmocka_unit_test(files_with_a_role),
        cmocka_unit_test(views),
        cmocka_unit_test(batches_are_reused),
        cmocka_unit_test(guesses),
        cmocka_unit_test(no_guess),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
