// Real data: what ships in data/, and CIFAR-10, MNIST and TinyStories where the folder beside the checkout has them.
#include "data_support.h"

static data_set *shipped(const char *folder, const char *file, void (*more)(data_spec *)) {
    data_spec *s = spec_of(file, NULL);
    s->folder = base_sprintf("%s/data/%s", support_tree(), folder);
    more(s);
    return open_spec(s);
}

static void digits_spec(data_spec *s) {
    s->ndim = 3, s->dim[0] = 1, s->dim[1] = s->dim[2] = 8;
    s->scale = 1.0 / 16;
    s->seed = 1;
}

static void digits(void **state) {
    (void)state;
    data_set *set = shipped("digits", "digits.csv", digits_spec);
    assert_int_equal(set->count, 1797);
    assert_int_equal(set->classes, 10);
    assert_int_equal(set->sample_values, 64);
    int64_t sum = set->part_count[0] + set->part_count[1] + set->part_count[2];
    assert_int_equal(sum, 1797);
    assert_in_range(set->part_count[DATA_TEST], 358, 361);
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 2, &b, &err));
    assert_int_equal(b.labels[0], 0);
    assert_int_equal(b.labels[1], 1);
    assert_float_equal(b.x[2], 5.0f / 16, 0);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
}

static void text_spec(data_spec *s) {
    s->level = base_strdup("char");
    s->window = 256;
}

static void novel(void **state) {
    (void)state;
    data_set *set = shipped("text", "pride-and-prejudice.txt", text_spec);
    assert_int_equal(set->classes, 73);
    assert_int_equal(set->sample_values, 256);
    data_view *all = part_of(set, DATA_ALL);
    assert_int_equal(data_view_targets(all), 683553);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 1, &b, &err));
    char *text = data_text(set, b.tokens, 19);
    assert_string_equal(text, "PRIDE AND PREJUDICE");
    free(text);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
}

static data_set *real_set(const char *folder, data_spec *s) {
    const char *path = support_real(folder);
    if (!path) {
        data_spec_free(s);
        return NULL;
    }
    s->folder = base_strdup(path);
    return open_spec(s);
}

static void cifar10(void **state) {
    (void)state;
    data_spec *s = spec_of("calib2k_images_u8_nchw.npy", "calib2k_labels_u8.npy");
    spec_add(s, NULL, "test1k_images_u8_nchw.npy", "test1k_labels_u8.npy", DATA_TEST);
    s->fraction[0] = 4, s->fraction[1] = 1;
    data_set *set = real_set("datasets/cifar10", s);
    if (!set) skip();
    assert_int_equal(set->count, 3000);
    assert_int_equal(set->classes, 10);
    assert_int_equal(set->ndim, 3);
    assert_int_equal(set->part_count[0], 1600);
    assert_int_equal(set->part_count[1], 400);
    assert_int_equal(set->part_count[2], 1000);
    data_view *test = part_of(set, DATA_TEST);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(test, 0, 4, &b, &err));
    static const int32_t first[] = {3, 8, 8, 0}; // cat, ship, ship, airplane
    for (int i = 0; i < 4; i++) assert_int_equal(b.labels[i], first[i]);
    data_batch_free(&b);
    data_view_free(test);
    data_close(set);
}

static void mnist(void **state) {
    (void)state;
    data_spec *s = spec_of("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz");
    spec_add(s, NULL, "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", DATA_TEST);
    s->fraction[0] = 5, s->fraction[1] = 1;
    s->scale = 1.0 / 255;
    data_set *set = real_set("datasets/mnist", s);
    if (!set) skip();
    assert_int_equal(set->count, 70000);
    assert_int_equal(set->part_count[0], 50000);
    assert_int_equal(set->part_count[1], 10000);
    assert_int_equal(set->part_count[2], 10000);
    assert_int_equal(set->dim[0], 1);
    assert_int_equal(set->dim[2], 28);
    data_view *all = part_of(set, DATA_ALL), *test = part_of(set, DATA_TEST);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 3, &b, &err));
    assert_int_equal(b.labels[0], 5);
    assert_int_equal(b.labels[2], 4);
    assert_true(data_fetch(test, 0, 1, &b, &err));
    assert_int_equal(b.labels[0], 7);
    float most = 0;
    for (int i = 0; i < 784; i++) most = b.x[i] > most ? b.x[i] : most;
    assert_float_equal(most, 1, 1e-6);
    data_batch_free(&b);
    data_view_free(all);
    data_view_free(test);
    data_close(set);
}

static void tinystories(void **state) {
    (void)state;
    data_spec *s = spec_of("tok512_u16.npy", NULL);
    s->bos = 1;
    data_set *set = real_set("datasets/tinystories_val", s);
    if (!set) skip();
    assert_int_equal(set->count, 556);
    data_view *all = part_of(set, DATA_ALL);
    assert_int_equal(data_view_targets(all), 191147);
    data_view_free(all);
    data_close(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(digits), cmocka_unit_test(novel), cmocka_unit_test(cifar10),
                                       cmocka_unit_test(mnist), cmocka_unit_test(tinystories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
