// The safetensors reader against files made to break it, shards, npz, and what the writer promises.
#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/support.h"

// Writes a file of a header (length filled in, no padding) and `data_bytes` bytes that count up.
static const char *make_file(const char *name, const char *header, size_t data_bytes) {
    size_t length = strlen(header);
    uint8_t *file = calloc(1, 8 + length + data_bytes + 1);
    for (int k = 0; k < 8; k++) file[k] = (uint8_t)(length >> 8 * k);
    memcpy(file + 8, header, length);
    for (size_t k = 0; k < data_bytes; k++) file[8 + length + k] = (uint8_t)(k % 64);
    const char *path = support_temp_path(name);
    support_write(path, file, 8 + length + data_bytes);
    free(file);
    return path;
}

static void expect_refused(const char *path, const char *message) {
    base_err err = {0};
    model_tensors *t = model_tensors_open(path, &err);
    model *m = t ? model_bind(NULL, t, NULL, &err) : NULL;
    if (m) fail_msg("%s was accepted, expected an error with '%s'", path, message);
    if (!strstr(err.text, message)) fail_msg("the error is '%s', expected '%s' in it", err.text, message);
    if (strchr(err.text, '\n')) fail_msg("the error has more than one line: %s", err.text);
    assert_non_null(strstr(err.text, base_basename(path)));
}

typedef struct bad_header {
    const char *header;
    size_t data_bytes;
    const char *message;
} bad_header;

#define T(dtype, shape, a, b) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #a "," #b "]}"

static const bad_header bad_headers[] = {
    {"[1,2]", 0, "does not begin with '{'"},
    {"{not json", 0, "not valid JSON"},
    {"{\"a\":1", 0, "not valid JSON"},
    {"{\"a\":1}", 0, "entry of tensor 'a' is not a JSON object"},
    {"{} {}", 0, "not valid JSON"},
    {"{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", 0, "nests 19 levels deep"},
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 4, 12) "}", 12, "tensors 'a' and 'b' overlap"},
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 0, 8) "}", 8, "tensors 'a' and 'b' overlap"},
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 12, 20) "}", 20,
     "bytes 8 to 12 of the data, before tensor 'b'"},
    {"{\"a\":" T("F32", "[2]", 4, 12) "}", 12, "bytes 0 to 4"},
    {"{\"a\":" T("F32", "[2]", 0, 8) "}", 12, "its tensors end at byte 8"},
    {"{\"a\":" T("F32", "[2]", 0, 8) "}", 7, "truncated"},
    {"{\"a\":" T("F32", "[2]", 8, 0) "}", 8, "data_offsets of tensor 'a'"},
    {"{\"a\":" T("F32", "[2]", -8, 0) "}", 8, "data_offsets of tensor 'a'"},
    {"{\"a\":" T("F32", "[2]", 0.0, 8.0) "}", 8, "data_offsets of tensor 'a'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 8, "data_offsets of tensor 'a'"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets of tensor 'a'"},
    {"{\"a\":" T("F32", "[3]", 0, 8) "}", 8,
     "tensor 'a' of shape 3 and dtype F32 needs 12 bytes, but its data_offsets span 8"},
    {"{\"a\":" T("F31", "[2]", 0, 8) "}", 8, "tensor 'a' has dtype 'F31', expected F64 F32"},
    {"{\"a\":" T("F\\u001b[31m", "[2]", 0, 8) "}", 8, "has dtype 'F?[31m'"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor 'a' has no dtype"},
    {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor 'a' has no dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "tensor 'a' has no shape"},
    {"{\"a\":" T("F32", "[-2]", 0, 8) "}", 8, "dimension 1 of tensor 'a'"},
    {"{\"a\":" T("F32", "[2.5]", 0, 8) "}", 8, "dimension 1 of tensor 'a'"},
    {"{\"a\":" T("F32", "[1,\"2\"]", 0, 8) "}", 8, "dimension 2 of tensor 'a'"},
    {"{\"a\":" T("F32", "[4294967296,4294967296]", 0, 0) "}", 0, "is too large"},
    {"{\"a\":" T("F64", "[2305843009213693952]", 0, 0) "}", 0, "is too large"},
    {"{\"a\":" T("F32", "[99999999999999999999]", 0, 8) "}", 8, "not valid JSON"},
    {"{\"a\":" T("F32", "[2]", 0, 99999999999999999999) "}", 8, "not valid JSON"},
    {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", 8, "tensor 'a' has 9 dimensions"},
    {"{\"a\":" T("F32", "[1]", 0, 4) ",\"a\":" T("F32", "[1]", 4, 8) "}", 8, "duplicate object key"},
    {"{\"a\\u001b[2J\":" T("F32", "[2]", 0, 8) "}", 8, "the tensor name 'a?[2J' has control characters"},
    {"{\"a\\nb\":" T("F32", "[2]", 0, 8) "}", 8, "control characters"},
    {"{\"a\\u0000b\":" T("F32", "[2]", 0, 8) "}", 8, "not valid JSON"},
    {"{\"\":" T("F32", "[2]", 0, 8) "}", 8, "empty name"},
    {"{\"a\xff\":" T("F32", "[2]", 0, 8) "}", 8, "not valid JSON"},
    {"{\"__metadata__\":[],\"a\":" T("F32", "[2]", 0, 8) "}", 8, "__metadata__ is not a JSON object"},
    {"{\"__metadata__\":{\"k\":1},\"a\":" T("F32", "[2]", 0, 8) "}", 8, "value of 'k' in __metadata__ is not text"},
};

static void bad_headers_are_refused(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof bad_headers / sizeof bad_headers[0]; k++)
        expect_refused(make_file("bad.safetensors", bad_headers[k].header, bad_headers[k].data_bytes),
                       bad_headers[k].message);
}

static void bad_lengths_are_refused(void **state) {
    (void)state;
    static const struct {
        uint64_t length;
        size_t bytes;
        const char *message;
    } cases[] = {
        {0, 8, "the header length is 0"},
        {2, 8, "the header is 2 bytes long, but the file ends after 0"},
        {100, 60, "the header is 100 bytes long, but the file ends after 52"},
        {100000001, 60, "above the limit of 100000000 bytes"},
        {UINT64_MAX, 60, "above the limit"},
        {UINT64_MAX - 7, 60, "above the limit"},
        {0x8000000000000000u, 60, "above the limit"},
        {7, 7, "too few for a safetensors file"},
        {0, 0, ""},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        uint8_t file[64] = {0};
        for (int b = 0; b < 8; b++) file[b] = (uint8_t)(cases[k].length >> 8 * b);
        const char *path = support_temp_path("length.safetensors");
        support_write(path, file, cases[k].bytes);
        expect_refused(path, cases[k].message);
    }
    expect_refused(support_temp_path("absent.safetensors"), "absent.safetensors");
    expect_refused(support_temp_dir(), "the folder has no checkpoint");
}

// Every prefix of a good file is refused, and every single changed byte of its header is refused or still consistent.
static void truncations_and_flips(void **state) {
    (void)state;
    const char *good =
        make_file("good.safetensors", "{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("I16", "[3]", 8, 14) "}", 14);
    size_t bytes;
    char *file = support_read(good, &bytes);
    const char *path = support_temp_path("cut.safetensors");
    for (size_t n = 0; n < bytes; n++) {
        support_write(path, file, n);
        base_err err = {0};
        assert_null(model_tensors_open(path, &err));
        assert_true(strlen(err.text) > 10);
    }
    for (size_t n = 0; n < bytes - 14; n++)
        for (int bit = 0; bit < 8; bit++) {
            file[n] ^= (char)(1 << bit);
            support_write(path, file, bytes);
            base_err err = {0};
            model_tensors *t = model_tensors_open(path, &err);
            assert_true(t != NULL || strlen(err.text) > 10);
            for (int k = 0; t && k < t->count; k++) {
                size_t count, size;
                assert_true(num_count(t->items[k].t.ndim, t->items[k].t.dim, t->items[k].t.dtype, &count, &size));
                assert_int_equal(size, t->items[k].bytes);
            }
            model_tensors_close(t);
            file[n] ^= (char)(1 << bit);
        }
    free(file);
}

static void weights_that_are_not_finite(void **state) {
    (void)state;
    float x[6] = {1, 2, 3, NAN, 5, 6};
    model_tensor item = {.name = "layer.weight", .t = {NUM_F32, 2, {2, 3}, x}};
    const char *path = support_temp_path("nan.safetensors");
    base_err err;
    assert_true(model_safetensors_save(path, &item, 1, NULL, NULL, NULL, NULL, &err));
    expect_refused(path, "value 3 of tensor 'layer.weight' is NaN");
    x[3] = 4, x[0] = -INFINITY;
    assert_true(model_safetensors_save(path, &item, 1, NULL, NULL, NULL, NULL, &err));
    expect_refused(path, "value 0 of tensor 'layer.weight' is infinite");
    uint16_t half[2] = {0x3c00, 0x7c00}; // 1, Inf
    item = (model_tensor){.name = "h", .t = {NUM_F16, 1, {2}, half}};
    assert_true(model_safetensors_save(path, &item, 1, NULL, NULL, NULL, NULL, &err));
    expect_refused(path, "value 1 of tensor 'h' is infinite");
    double wide = 1e300;
    item = (model_tensor){.name = "d", .t = {NUM_F64, 1, {1}, &wide}};
    assert_true(model_safetensors_save(path, &item, 1, NULL, NULL, NULL, NULL, &err));
    expect_refused(path, "value 0 of tensor 'd' is infinite");
}

static void every_type_comes_back(void **state) {
    (void)state;
    uint8_t raw[NUM_DTYPES][48];
    model_tensor items[NUM_DTYPES];
    char names[NUM_DTYPES][16];
    for (int k = 0; k < NUM_DTYPES; k++) {
        for (int b = 0; b < 48; b++) raw[k][b] = (uint8_t)(num_dtypes[k].bytes == 1 ? b % 2 : 16 + b % 8);
        snprintf(names[k], sizeof names[k], "t.%s", num_dtypes[k].name);
        items[k] = (model_tensor){.name = names[k], .t = {(num_dtype)k, 2, {2, 3}, raw[k]}};
    }
    const char *a = support_temp_path("types.safetensors"), *b = support_temp_path("types2.safetensors");
    char hash[33], again[33];
    size_t file_bytes, header_bytes, planned;
    base_err err;
    const char *meta = "{\"z\":\"1\",\"a\":\"caf\xc3\xa9 \\\"quoted\\\"\"}";
    assert_true(model_safetensors_save(a, items, NUM_DTYPES, meta, &file_bytes, &header_bytes, hash, &err));
    assert_true(model_safetensors_header(items, NUM_DTYPES, meta, &planned, &err));
    assert_int_equal(header_bytes, planned);
    assert_int_equal(header_bytes % 8, 0);
    size_t length;
    char *text = support_read(a, &length);
    assert_int_equal(length, file_bytes);
    free(text);
    model_tensors *t = model_tensors_open(a, &err);
    assert_non_null(t);
    assert_string_equal(t->hash, hash);
    assert_int_equal(t->header_bytes, header_bytes);
    assert_int_equal(t->count, NUM_DTYPES);
    for (int k = 0; k < NUM_DTYPES; k++) {
        const model_tensor *x = model_tensors_find(t, names[k]);
        assert_non_null(x);
        assert_int_equal(x->t.dtype, k);
        assert_int_equal(x->bytes, 6 * num_dtypes[k].bytes);
        assert_memory_equal(x->t.data, raw[k], x->bytes);
    }
    char *value = model_tensors_meta(t, "a");
    assert_string_equal(value, "caf\xc3\xa9 \"quoted\"");
    free(value);
    assert_null(model_tensors_meta(t, "missing"));
    assert_true(model_safetensors_save(b, t->items, t->count, t->metadata, NULL, NULL, again, &err));
    assert_string_equal(hash, again);
    assert_true(support_same_files(a, b));
    model_tensors_close(t);
}

static void the_writer_refuses(void **state) {
    (void)state;
    base_err err;
    float x[2] = {1, 2};
    const char *path = support_temp_path("refused.safetensors");
    model_tensor twice[2] = {{.name = "a", .t = {NUM_F32, 1, {2}, x}}, {.name = "a", .t = {NUM_F32, 1, {2}, x}}};
    assert_false(model_safetensors_save(path, twice, 2, NULL, NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "'a' is taken"));
    twice[0].name = "__metadata__";
    assert_false(model_safetensors_save(path, twice, 2, NULL, NULL, NULL, NULL, &err));
    twice[0].name = "b";
    assert_false(model_safetensors_save(path, twice, 2, "{\"n\":3}", NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "value of 'n'"));
    assert_false(model_safetensors_save(path, twice, 2, "{", NULL, NULL, NULL, &err));
    twice[0].name = "\xff\xfe";
    assert_false(model_safetensors_save(path, twice, 2, NULL, NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "UTF-8"));
    assert_false(base_is_file(path));
    twice[0].name = "b";
    assert_false(model_safetensors_save("/proc/nowhere/x.safetensors", twice, 2, NULL, NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "/proc/nowhere"));
}

static void other_formats_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *message;
    } cases[] = {
        {"GGUF\3\0\0\0\0\0\0\0", "is a GGUF file, expected safetensors"},
        {"PK\3\4aaaaaaaaaaaa", "is a zip archive"},
        {"\x89HDF\r\n\x1a\naaaa", "is an HDF5 file"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const char *path = support_temp_path("other.bin");
        support_write(path, cases[k].bytes, 12);
        expect_refused(path, cases[k].message);
    }
}

// Real files were written by other programs; ours writes the same bytes from what it read.
static void real_files_come_back_byte_for_byte(void **state) {
    (void)state;
    static const char *const names[] = {"models/resnet20_cifar10.safetensors", "models/silero_vad_16k.safetensors",
                                        "models/stories260K/model.safetensors"};
    for (int k = 0; k < 3; k++) {
        const char *path = support_real(names[k]), *copy = support_temp_path("copy.safetensors");
        if (!path) skip();
        base_err err;
        model_tensors *t = model_tensors_open(path, &err);
        assert_non_null(t);
        assert_true(model_safetensors_save(copy, t->items, t->count, t->metadata, NULL, NULL, NULL, &err));
        assert_true(support_same_files(path, copy));
        model_tensors_close(t);
    }
}

// ---- shards ------------------------------------------------------------------------------------

static const char *shard_dir(const char *name, const char *index) {
    char path[512];
    base_err err;
    const char *dir = support_temp_path(name);
    assert_true(base_mkdirs(dir, &err));
    float x[4] = {1, 2, 3, 4};
    model_tensor a[2] = {{.name = "a.weight", .t = {NUM_F32, 2, {2, 2}, x}},
                         {.name = "a.bias", .t = {NUM_F32, 1, {2}, x}}};
    model_tensor b = {.name = "b.weight", .t = {NUM_F32, 2, {1, 4}, x}};
    snprintf(path, sizeof path, "%s/model-00001-of-00002.safetensors", dir);
    assert_true(model_safetensors_save(path, a, 2, NULL, NULL, NULL, NULL, &err));
    snprintf(path, sizeof path, "%s/model-00002-of-00002.safetensors", dir);
    assert_true(model_safetensors_save(path, &b, 1, NULL, NULL, NULL, NULL, &err));
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    support_write(path, index, strlen(index));
    return dir;
}

#define S1 "\"model-00001-of-00002.safetensors\""
#define S2 "\"model-00002-of-00002.safetensors\""
#define AW "\"a.weight\":"
#define AB "\"a.bias\":"
#define BW "\"b.weight\":"

static void shards(void **state) {
    (void)state;
    base_err err;
    const char *dir =
        shard_dir("shards", "{\"metadata\":{\"total_size\":40},\"weight_map\":{" AW S1 "," AB S1 "," BW S2 "}}");
    model_tensors *t = model_tensors_open(dir, &err);
    assert_non_null(t);
    assert_int_equal(t->count, 3);
    assert_int_equal(t->files != NULL, 1);
    assert_true(((const float *)model_tensors_find(t, "b.weight")->t.data)[3] == 4);
    model *m = model_bind(NULL, t, NULL, &err);
    assert_string_equal(m->name, "shards");
    assert_int_equal(m->layer_count, 2);
    model_close(m);
    static const struct {
        const char *index, *message;
    } bad[] = {
        {"{\"weight_map\":{" AW S1 "," AB S1 "," BW "\"model-00003-of-00002.safetensors\"}}",
         "shard model-00003-of-00002.safetensors, which the index names, is missing"},
        {"{\"weight_map\":{" AW S1 "," AB S1 "," BW S2 ",\"c.weight\":" S2 "}}",
         "puts tensor 'c.weight' in shard model-00002"},
        {"{\"weight_map\":{" AW S1 "," BW S2 "}}",
         "tensor 'a.bias' of shard model-00001-of-00002.safetensors is not in the index"},
        {"{\"weight_map\":{" AW S1 "," AB S2 "," BW S2 "}}",
         "'a.bias' is in shard model-00001-of-00002.safetensors, but the index says"},
        {"{\"weight_map\":{" AW "\"../escape.safetensors\"}}", "expected the name of a file in the same folder"},
        {"{\"weight_map\":{" AW "7}}", "expected the name of a file"},
        {"{\"weight_map\":{}}", "weight_map lists no tensor"},
        {"{\"weights\":{}}", "the index has no weight_map"},
        {"[]", "the index is not a JSON object"},
        {"{", "the index is not valid JSON"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        err = (base_err){0};
        t = model_tensors_open(shard_dir("bad_shards", bad[k].index), &err);
        assert_null(t);
        if (!strstr(err.text, bad[k].message)) fail_msg("'%s' has no '%s'", err.text, bad[k].message);
    }
}

static void loose_files_of_a_folder(void **state) {
    (void)state;
    base_err err;
    float x[2] = {1, 2};
    char path[512];
    const char *dir = support_temp_path("loose");
    assert_true(base_mkdirs(dir, &err));
    model_tensor a = {.name = "a.weight", .t = {NUM_F32, 2, {1, 2}, x}};
    snprintf(path, sizeof path, "%s/one.safetensors", dir);
    assert_true(model_safetensors_save(path, &a, 1, NULL, NULL, NULL, NULL, &err));
    model_tensors *t = model_tensors_open(dir, &err);
    assert_non_null(t);
    model_tensors_close(t);
    snprintf(path, sizeof path, "%s/two.safetensors", dir);
    assert_true(model_safetensors_save(path, &a, 1, NULL, NULL, NULL, NULL, &err));
    expect_refused(dir, "tensor 'a.weight' is in more than one file");
}

// ---- changing a table, npz ---------------------------------------------------------------------

static void put_and_drop(void **state) {
    (void)state;
    base_err err;
    const char *path =
        make_file("put.safetensors", "{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[1]", 8, 12) "}", 12);
    model_tensors *t = model_tensors_open(path, &err);
    float *x = base_big_alloc(6, sizeof *x, "x", &err), *y = base_big_alloc(1, sizeof *y, "y", &err);
    x[5] = 7;
    model_tensors_put(t, "a", NUM_F32, 2, (int64_t[]){2, 3}, x);
    model_tensors_put(t, "c", NUM_F32, 1, (int64_t[]){1}, y);
    assert_int_equal(t->count, 3);
    assert_int_equal(model_tensors_find(t, "a")->bytes, 24);
    assert_true(model_tensors_find(t, "a")->graph_order);
    assert_false(model_tensors_find(t, "b")->graph_order);
    model_tensors_drop(t, "b");
    model_tensors_drop(t, "nothing");
    assert_int_equal(t->count, 2);
    assert_null(model_tensors_find(t, "b"));
    assert_true(((const float *)model_tensors_find(t, "a")->t.data)[5] == 7);
    assert_true(model_tensors_intact(t, &err));
    model_tensors_close(t);
}

static void npz_checkpoints(void **state) {
    (void)state;
    base_err err;
    float w[6] = {1, 2, 3, 4, 5, 6}, b[2] = {7, 8};
    num_npz_item items[2] = {{"fc.weight", {NUM_F32, 2, {2, 3}, w}}, {"fc.bias", {NUM_F32, 1, {2}, b}}};
    const char *path = support_temp_path("net.npz"), *out = support_temp_path("again.npz");
    assert_true(num_npz_save(path, items, 2, true, &err));
    model_tensors *t = model_tensors_open(path, &err);
    assert_non_null(t);
    assert_string_equal(t->format, "npz");
    model *m = model_bind(NULL, t, NULL, &err);
    assert_non_null(m);
    assert_int_equal(m->layer_count, 1);
    assert_string_equal(m->layers[0].name, "fc.weight");
    assert_int_equal(m->layers[0].in, 3);
    size_t bytes = 0;
    char hash[33];
    assert_true(model_save(m, NULL, out, NULL, hash, &bytes, &err));
    assert_true(bytes > 32);
    model_close(m);
    t = model_tensors_open(out, &err);
    assert_non_null(t);
    assert_string_equal(t->hash, hash);
    assert_memory_equal(model_tensors_find(t, "fc.weight")->t.data, w, sizeof w);
    model_tensors_close(t);
    size_t length;
    char *file = support_read(path, &length);
    support_write(path, file, length / 2);
    free(file);
    err = (base_err){0};
    assert_null(model_tensors_open(path, &err));
    assert_non_null(strstr(err.text, "net.npz"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(bad_lengths_are_refused),
        cmocka_unit_test(truncations_and_flips),
        cmocka_unit_test(weights_that_are_not_finite),
        cmocka_unit_test(every_type_comes_back),
        cmocka_unit_test(the_writer_refuses),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(real_files_come_back_byte_for_byte),
        cmocka_unit_test(shards),
        cmocka_unit_test(loose_files_of_a_folder),
        cmocka_unit_test(put_and_drop),
        cmocka_unit_test(npz_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
