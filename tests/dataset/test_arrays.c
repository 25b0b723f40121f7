// idx and npy: values, shapes and labels of every type, and what is refused.
#include <unistd.h>
#include <zlib.h>

#include "data_support.h"

typedef struct bytes {
    uint8_t data[4096];
    size_t count;
} bytes;

static bytes idx(uint8_t type, int ndim, const uint32_t *dim, const void *values, size_t size) {
    bytes b = {.data = {0, 0, type, (uint8_t)ndim}, .count = 4};
    for (int i = 0; i < ndim; i++)
        for (int k = 3; k >= 0; k--) b.data[b.count++] = (uint8_t)(dim[i] >> (8 * k));
    if (size) memcpy(b.data + b.count, values, size);
    b.count += size;
    return b;
}

static const char *put(const char *name, bytes b) {
    return file_of(name, b.data, b.count);
}

static const char *put_gz(const char *name, bytes b) {
    const char *path = support_temp_path(name);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, b.data, (unsigned)b.count), b.count);
    assert_int_equal(gzclose(f), Z_OK);
    return path;
}

static bytes labels_idx(uint32_t n, uint8_t first) {
    uint8_t v[64];
    for (uint32_t i = 0; i < n; i++) v[i] = (uint8_t)(first + i);
    return idx(0x08, 1, &n, v, n);
}

static void first_is(data_set *set, const float *x, int64_t n, int32_t label) {
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 1, &b, &err));
    assert_int_equal(set->sample_values, n);
    for (int64_t i = 0; i < n; i++) assert_float_equal(b.x[i], x[i], 0);
    assert_int_equal(b.labels[0], label);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
}

static void idx_types(void **state) {
    (void)state;
    static const struct {
        uint8_t type;
        uint8_t raw[16];
        size_t width;
    } types[] = {
        {0x08, {7, 200}, 1},
        {0x0B, {0, 7, 0, 200}, 2},
        {0x0C, {0, 0, 0, 7, 0, 0, 0, 200}, 4},
        {0x0D, {0x40, 0xE0, 0, 0, 0x43, 0x48, 0, 0}, 4},
        {0x0E, {0x40, 0x1C, 0, 0, 0, 0, 0, 0, 0x40, 0x69, 0, 0, 0, 0, 0, 0}, 8},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint32_t dim[] = {1, 1, 2};
        const char *labels = put("l.idx", labels_idx(1, 3));
        data_spec *s = spec_of(put("i.idx", idx(types[i].type, 3, dim, types[i].raw, 2 * types[i].width)), labels);
        data_set *set = open_spec(s);
        assert_int_equal(set->ndim, 3);
        assert_int_equal(set->classes, 4);
        first_is(set, (float[]){7, 200}, 2, 3);
    }
    uint32_t dim[] = {2, 1, 2};
    int8_t v[] = {-1, 5, 0, 0};
    data_spec *s = spec_of(put("i.idx", idx(0x09, 3, dim, v, 4)), put("l.idx", labels_idx(2, 0)));
    first_is(open_spec(s), (float[]){-1, 5}, 2, 0);
}

static void idx_gz(void **state) {
    (void)state;
    uint32_t dim[] = {2, 2, 2};
    uint8_t v[] = {0, 255, 51, 102, 1, 2, 3, 4};
    data_spec *s = spec_of(put_gz("train-images-idx3-ubyte.gz", idx(8, 3, dim, v, 8)),
                           put_gz("train-labels-idx1-ubyte.gz", labels_idx(2, 1)));
    s->scale = 1.0 / 255;
    first_is(open_spec(s), (float[]){0, 255 * (float)(1.0 / 255), 51 * (float)(1.0 / 255), 102 * (float)(1.0 / 255)}, 4,
             1);
}

static void idx_refused(void **state) {
    (void)state;
    uint32_t dim[] = {2, 1, 2}, huge[] = {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, none[] = {0, 1, 2};
    uint8_t v[8] = {1, 2, 3, 4};
    bytes ok = idx(8, 3, dim, v, 4), bad;
    const char *labels = put("l.idx", labels_idx(2, 0)), *images = put("ok.idx", ok);
    const struct {
        bytes b;
        const char *words;
    } cases[] = {
        {idx(8, 3, dim, v, 3), "truncated|3 bytes|2x1x2|asks for 4"},
        {idx(8, 3, dim, v, 6), "too long|6 bytes"},
        {idx(8, 3, huge, v, 4), "memory"},
        {idx(0x0E, 3, huge, v, 4), "memory"},
        {idx(8, 3, none, v, 0), "dimension 1 is 0"},
        {idx(0x0A, 3, dim, v, 4), "bad magic|0x0a"},
        {idx(8, 0, dim, v, 4), "0 dimensions"},
        {idx(8, 3, dim, v, 0), "truncated|0 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_spec(spec_of(put("bad.idx", cases[i].b), labels), cases[i].words);
    bad = ok;
    bad.data[0] = 1;
    refuse_spec(spec_of(put("bad.idx", bad), labels), "bad magic 01000803");
    bad = ok;
    bad.count = 9;
    refuse_spec(spec_of(put("bad.idx", bad), labels), "too short");
    bad.count = 2;
    refuse_spec(spec_of(put("bad.idx", bad), labels), "too short|4");
    bad.count = 0;
    refuse_spec(spec_of(put("bad.idx", bad), labels), "0 bytes");
    refuse_spec(spec_of(images, put("l3.idx", labels_idx(3, 0))), "3 labels|2 samples");
    refuse_spec(spec_of(images, images), "a file of labels has one");
    refuse_spec(spec_of(images, NULL), "no file of labels");
    refuse_spec(spec_of(images, "/nonexistent/labels.idx"), "/nonexistent/labels.idx");
    float half[] = {0.5f, 0.5f};
    uint32_t two = 2;
    refuse_spec(spec_of(images, put("lf.idx", idx(0x0D, 1, &two, half, 8))), "f32|integers");
    data_spec *s = spec_of(images, put("l9.idx", labels_idx(2, 9)));
    s->classes = 10;
    refuse_spec(s, "l9.idx|label 10 of sample 1|there are 10 classes, 0 to 9");
    s = spec_of(images, labels);
    s->ndim = 1, s->dim[0] = 3;
    refuse_spec(s, "1x1x2|expected 3");
    // A gzip stream cut in the middle, and one with a flipped byte.
    const char *gz = put_gz("whole.idx.gz", ok);
    size_t n;
    char *packed = support_read(gz, &n);
    refuse_spec(spec_of(file_of("cut.idx.gz", packed, n - 6), labels), "cut.idx.gz");
    packed[n / 2] ^= 0x55;
    refuse_spec(spec_of(file_of("flip.idx.gz", packed, n), labels), "flip.idx.gz");
    free(packed);
}

// ---- npy ----------------------------------------------------------------------------------------------------------

static const char *npy(const char *name, num_dtype type, int ndim, const int64_t *dim, const void *data) {
    const char *path = support_temp_path(name);
    num_tensor t = {.dtype = type, .ndim = ndim, .data = data};
    for (int i = 0; i < ndim; i++) t.dim[i] = dim[i];
    base_err err = {0};
    assert_true(num_npy_save(path, &t, &err));
    return path;
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static void npy_pairs(void **state) {
    (void)state;
    uint8_t u8[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    float f32[] = {0.5f, -1, 2, 3};
    int64_t wide[] = {4, 2};
    uint8_t narrow[] = {1, 0};
    data_set *set =
        open_spec(spec_of(npy("a.npy", NUM_U8, 4, DIMS(2, 3, 1, 2), u8), npy("l.npy", NUM_I64, 1, DIMS(2), wide)));
    assert_int_equal(set->ndim, 3);
    assert_int_equal(set->dim[0], 3);
    assert_int_equal(set->classes, 5);
    first_is(set, (float[]){0, 1, 2, 3, 4, 5}, 6, 4);
    set = open_spec(spec_of(npy("a.npy", NUM_F32, 2, DIMS(2, 2), f32), npy("l.npy", NUM_U8, 2, DIMS(2, 1), narrow)));
    first_is(set, (float[]){0.5f, -1}, 2, 1);
    data_spec *s = spec_of(npy("a.npy", NUM_U8, 4, DIMS(2, 3, 1, 2), u8), npy("l.npy", NUM_I64, 1, DIMS(2), wide));
    s->scale = 0.5, s->channels = 3;
    for (int c = 0; c < 3; c++) s->mean[c] = c, s->std[c] = 1 << c;
    set = open_spec(s);
    first_is(set, (float[]){0, 0.5f, 0, 0.25f, 0, 0.125f}, 6, 4);
    s = spec_of(npy("a.npy", NUM_F32, 2, DIMS(2, 2), f32), NULL);
    s->unlabelled = true;
    set = open_spec(s);
    assert_int_equal(set->classes, 0);
    assert_int_equal(set->count, 2);
    data_close(set);
}

static void npy_refused(void **state) {
    (void)state;
    float nan[] = {1, 2, 3, 0.0f / 0.0f}, good[] = {1, 2, 3, 4};
    uint8_t one[] = {0, 1, 2};
    int64_t negative[] = {0, -3};
    const char *labels = npy("l.npy", NUM_U8, 1, DIMS(2), one), *x = npy("x.npy", NUM_F32, 2, DIMS(2, 2), good);
    refuse_spec(spec_of(npy("nan.npy", NUM_F32, 2, DIMS(2, 2), nan), labels), "value 1 of sample 1|NaN");
    refuse_spec(spec_of(npy("deep.npy", NUM_F32, 6, DIMS(1, 1, 1, 1, 2, 2), good), labels), "4 dimensions");
    refuse_spec(spec_of(npy("none.npy", NUM_F32, 2, DIMS(0, 2), good), labels), "no samples");
    refuse_spec(spec_of(npy("scalar.npy", NUM_F32, 0, NULL, good), labels), "no samples");
    refuse_spec(spec_of(x, npy("l3.npy", NUM_U8, 1, DIMS(3), one)), "3 labels|2 samples");
    refuse_spec(spec_of(x, npy("lf.npy", NUM_F32, 1, DIMS(2), good)), "f32|integers");
    refuse_spec(spec_of(x, npy("l2.npy", NUM_F32, 2, DIMS(1, 2), good)), "one a sample");
    refuse_spec(spec_of(x, npy("ln.npy", NUM_I64, 1, DIMS(2), negative)), "label -3 of sample 1");
    size_t n;
    char *whole = support_read(x, &n);
    refuse_spec(spec_of(file_of("cut.npy", whole, n - 1), labels), "cut.npy");
    refuse_spec(spec_of(file_of("head.npy", whole, 20), labels), "head.npy");
    refuse_spec(spec_of(file_of("empty.npy", "", 0), labels), "empty.npy");
    whole[1] = 'X';
    refuse_spec(spec_of(file_of("magic.npy", whole, n), labels), "magic.npy");
    free(whole);
    data_spec *s = spec_of(x, labels);
    s->channels = 3;
    for (int c = 0; c < 3; c++) s->std[c] = 1;
    refuse_spec(s, "3 entries|1 or 2");
    s = spec_of(x, labels);
    spec_add(s, "text", text_file("a.txt", "hello"), NULL, DATA_ALL);
    refuse_spec(s, "not both");
}

// A file that shrinks while it is mapped is an error of the next batch, never a crash.
static void npy_shrinks(void **state) {
    (void)state;
    enum { N = 4096 };
    static float x[4 * N];
    static uint8_t labels[N];
    const char *path = npy("long.npy", NUM_F32, 2, DIMS(N, 4), x);
    data_set *set = open_spec(spec_of(path, npy("l.npy", NUM_U8, 1, DIMS(N), labels)));
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, N, &b, &err));
    assert_int_equal(truncate(path, 256), 0);
    assert_false(data_fetch(all, 0, N, &b, &err));
    assert_non_null(strstr(err.text, "long.npy"));
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
}

static void npy_tokens(void **state) {
    (void)state;
    uint16_t ids[] = {1, 5, 6, 1, 7, 1, 1, 8, 9, 3};
    data_spec *s = spec_of(npy("t.npy", NUM_U16, 1, DIMS(10), ids), NULL);
    s->bos = 1;
    data_set *set = open_spec(s);
    assert_int_equal(set->kind, DATA_TOKENS);
    assert_int_equal(set->count, 3); // the document of a BOS alone predicts nothing
    assert_int_equal(set->classes, 10);
    assert_int_equal(set->sample_values, 3);
    data_view *all = part_of(set, DATA_ALL);
    assert_int_equal(data_view_targets(all), 6);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 3, &b, &err));
    assert_int_equal(b.length, 3);
    assert_memory_equal(b.tokens, ((int32_t[]){1, 5, 0, 1, 0, 0, 1, 8, 9}), 36);
    assert_memory_equal(b.labels, ((int32_t[]){5, 6, -1, 7, -1, -1, 8, 9, 3}), 36);
    assert_memory_equal(b.lengths, ((int32_t[]){2, 1, 3}), 12);
    assert_int_equal(data_longest(all, 0, 2), 2);
    assert_true(data_fetch(all, 1, 1, &b, &err));
    assert_int_equal(b.length, 1);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
    s = spec_of(npy("t.npy", NUM_U16, 1, DIMS(10), ids), NULL);
    s->bos = 1, s->window = 2; // longer documents are cut and stay together
    set = open_spec(s);
    assert_int_equal(set->count, 4);
    all = part_of(set, DATA_ALL);
    assert_int_equal(data_view_targets(all), 6);
    data_view_free(all);
    data_close(set);
    s = spec_of(npy("t.npy", NUM_U16, 1, DIMS(10), ids), NULL);
    s->window = 4;
    set = open_spec(s);
    assert_int_equal(set->count, 3);
    all = part_of(set, DATA_ALL);
    assert_int_equal(data_view_targets(all), 9);
    data_view_free(all);
    data_close(set);
}

static void tokens_refused(void **state) {
    (void)state;
    uint16_t ids[] = {1, 5, 6, 1};
    int64_t negative[] = {1, -1};
    float f[] = {1, 2};
    data_spec *s = spec_of(npy("t.npy", NUM_U16, 1, DIMS(4), ids), NULL);
    s->vocabulary_size = 6;
    refuse_spec(s, "token 6 at position 2|6 ids");
    s = spec_of(npy("t.npy", NUM_U16, 1, DIMS(4), ids), NULL);
    s->bos = 5;
    refuse_spec(s, "first token is 1|begin with 5");
    s = spec_of(npy("b.npy", NUM_U16, 1, DIMS(1), ids), NULL);
    refuse_spec(s, "1 tokens|at least 2");
    uint16_t only[] = {1, 1, 1};
    s = spec_of(npy("o.npy", NUM_U16, 1, DIMS(3), only), NULL);
    s->bos = 1;
    refuse_spec(s, "no document");
    refuse_spec(spec_of(npy("n.npy", NUM_I64, 1, DIMS(2), negative), NULL), "token -1 at position 1");
    refuse_spec(spec_of(npy("f.npy", NUM_F32, 1, DIMS(2), f), NULL), "f32|integers");
    refuse_spec(spec_of(npy("r.npy", NUM_U16, 2, DIMS(2, 2), ids), NULL), "2x2|one long row");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx_types),   cmocka_unit_test(idx_gz),         cmocka_unit_test(idx_refused),
        cmocka_unit_test(npy_pairs),   cmocka_unit_test(npy_refused),    cmocka_unit_test(npy_tokens),
        cmocka_unit_test(npy_shrinks), cmocka_unit_test(tokens_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
