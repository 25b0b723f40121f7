// npy, npz and gz files: round trips, every layout NumPy writes, and files made to break a reader.
#include "numeric/numeric.h"
#include "tests/support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

// An npy file in memory: the header text, then values.
static size_t make_npy(uint8_t *out, const char *dict, const void *values, size_t bytes) {
    size_t length = strlen(dict);
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    memcpy(out + 10, dict, length);
    if (bytes) memcpy(out + 10 + length, values, bytes);
    return 10 + length + bytes;
}

static const char *write_npy(const char *name, const char *dict, const void *values, size_t bytes) {
    uint8_t *file = malloc(strlen(dict) + bytes + 10);
    size_t n = make_npy(file, dict, values, bytes);
    const char *path = support_temp_path(name);
    support_write(path, file, n);
    free(file);
    return path;
}

static void round_trips(void **state) {
    (void)state;
    num_npz_item items[NUM_DTYPES];
    int count = 0;
    uint8_t raw[480];
    for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)(i * 37 + 11);
    static const int64_t dims[] = {3, 1, 5, 2};
    base_err err = {0};
    for (int d = 0; d < NUM_DTYPES; d++) {
        if (d == NUM_BF16) continue;
        num_tensor t = {.dtype = (num_dtype)d, .ndim = d % 5, .data = raw};
        memcpy(t.dim, dims, sizeof dims);
        items[count++] = (num_npz_item){base_sprintf("layer.%s", num_dtypes[d].name), t};
        const char *path = support_temp_path("one.npy");
        assert_true(num_npy_save(path, &t, &err));
        num_npz z;
        assert_true(num_npz_open(&z, path, &err));
        assert_int_equal(z.count, 1);
        assert_string_equal(z.items[0].name, "");
        const num_tensor *back = num_npz_find(&z, "");
        size_t bytes;
        assert_true(num_count(t.ndim, t.dim, t.dtype, NULL, &bytes));
        assert_int_equal(back->dtype, t.dtype);
        assert_int_equal(back->ndim, t.ndim);
        assert_memory_equal(back->dim, t.dim, (size_t)t.ndim * sizeof *t.dim);
        assert_memory_equal(back->data, raw, bytes);
        assert_int_equal((uintptr_t)back->data % num_dtypes[d].bytes, 0);
        num_npz_close(&z);
        num_npz_close(&z);
    }
    for (int compress = 0; compress < 2; compress++) {
        const char *path = support_temp_path(compress ? "all-c.npz" : "all.npz");
        const char *again = support_temp_path("again.npz");
        assert_true(num_npz_save(path, items, (size_t)count, compress, &err));
        assert_true(num_npz_save(again, items, (size_t)count, compress, &err));
        assert_true(support_same_files(path, again));
        num_npz z;
        if (!num_npz_open(&z, path, &err)) fail_msg("%s", err.text);
        assert_int_equal(z.count, count);
        for (int i = 0; i < count; i++) {
            const num_tensor *back = num_npz_find(&z, items[i].name), *t = &items[i].tensor;
            size_t bytes;
            assert_non_null(back);
            assert_true(num_count(t->ndim, t->dim, t->dtype, NULL, &bytes));
            assert_memory_equal(back->data, raw, bytes);
            assert_int_equal((uintptr_t)back->data % num_dtypes[t->dtype].bytes, 0);
        }
        assert_null(num_npz_find(&z, "layer"));
        num_npz_close(&z);
    }
    for (int i = 0; i < count; i++) free(items[i].name);
    num_tensor brain = {.dtype = NUM_BF16, .data = raw};
    assert_false(num_npy_save(support_temp_path("b.npy"), &brain, &err));
    assert_non_null(strstr(err.text, "npy has no type for bf16"));
    assert_true(num_npz_save(support_temp_path("none.npz"), NULL, 0, true, &err));
    num_npz z;
    assert_true(num_npz_open(&z, support_temp_path("none.npz"), &err));
    assert_int_equal(z.count, 0);
    num_npz_close(&z);
}

// A megabyte of repetition and of noise: long streams, both ways.
static void large_members(void **state) {
    (void)state;
    enum { N = 300000 };
    float *x = malloc(2 * N * sizeof *x);
    support_fill(x, N, 5);
    for (int i = 0; i < N; i++) x[N + i] = (float)(i % 7);
    num_npz_item items[2] = {{(char *)"noise", {NUM_F32, 2, {N / 100, 100}, x}},
                             {(char *)"ramp", {NUM_F32, 1, {N}, x + N}}};
    base_err err = {0};
    const char *path = support_temp_path("large.npz");
    assert_true(num_npz_save(path, items, 2, true, &err));
    num_npz z;
    if (!num_npz_open(&z, path, &err)) fail_msg("%s", err.text);
    assert_true(z.map.bytes < N * 4 * 11 / 10);
    assert_memory_equal(num_npz_find(&z, "noise")->data, x, N * sizeof *x);
    assert_memory_equal(num_npz_find(&z, "ramp")->data, x + N, N * sizeof *x);
    num_npz_close(&z);
    free(x);
}

static void layouts(void **state) {
    (void)state;
    base_err err = {0};
    num_npz z;
    const uint8_t big[] = {0x3F, 0x80, 0, 0, 0xC0, 0x20, 0, 0}; // 1, -2.5
    const char *path = write_npy("big.npy", "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }\n", big, 8);
    assert_true(num_npz_open(&z, path, &err));
    const float *f = z.items[0].tensor.data;
    assert_true(f[0] == 1 && f[1] == -2.5f);
    num_npz_close(&z);
    const uint8_t halves[] = {0x3C, 0x00, 0xC0, 0x00};
    path = write_npy("big2.npy", "{'shape': (2,), \"fortran_order\":False,'descr':'>f2'}", halves, 4);
    assert_true(num_npz_open(&z, path, &err));
    assert_int_equal(((const uint16_t *)z.items[0].tensor.data)[1], 0xC000);
    num_npz_close(&z);
    int16_t columns[24], value = 0;
    for (int k = 0; k < 4; k++) // Fortran order: the first index runs fastest
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 2; i++) columns[value++] = (int16_t)(100 * i + 10 * j + k);
    path = write_npy("fortran.npy", "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 4), }", columns, 48);
    assert_true(num_npz_open(&z, path, &err));
    const int16_t *rows = z.items[0].tensor.data;
    for (int i = 0; i < 24; i++) assert_int_equal(rows[i], 100 * (i / 12) + 10 * (i / 4 % 3) + i % 4);
    num_npz_close(&z);
    const uint32_t wide[] = {7, UINT32_MAX};
    path = write_npy("u4.npy", "{'descr': '<u4', 'fortran_order': False, 'shape': (2,), }", wide, 8);
    assert_true(num_npz_open(&z, path, &err));
    assert_int_equal(z.items[0].tensor.dtype, NUM_I64);
    assert_int_equal(((const int64_t *)z.items[0].tensor.data)[1], UINT32_MAX);
    num_npz_close(&z);
    const uint64_t wider[] = {7, 1ULL << 63};
    path = write_npy("u8.npy", "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", wider, 8);
    assert_true(num_npz_open(&z, path, &err));
    num_npz_close(&z);
    path = write_npy("u8b.npy", "{'descr': '<u8', 'fortran_order': False, 'shape': (2,), }", wider, 16);
    assert_false(num_npz_open(&z, path, &err));
    assert_non_null(strstr(err.text, "value 1 of the array is 9223372036854775808, expected at most 2^63-1"));
    // Format 2.0 has a longer header length; scalars and empty arrays.
    uint8_t two[100] = "\x93NUMPY\2\0";
    const char *dict = "{'descr': '|b1', 'fortran_order': False, 'shape': (), }";
    two[8] = (uint8_t)strlen(dict);
    memcpy(two + 12, dict, strlen(dict));
    two[12 + strlen(dict)] = 1;
    support_write(support_temp_path("two.npy"), two, 13 + strlen(dict));
    assert_true(num_npz_open(&z, support_temp_path("two.npy"), &err));
    assert_int_equal(z.items[0].tensor.ndim, 0);
    num_npz_close(&z);
    path = write_npy("empty.npy", "{'descr': '<f8', 'fortran_order': True, 'shape': (0, 5), }", NULL, 0);
    assert_true(num_npz_open(&z, path, &err));
    assert_int_equal(z.items[0].tensor.dim[1], 5);
    num_npz_close(&z);
}

static void refused(const char *path, const char *why) {
    base_err err = {0};
    num_npz z;
    size_t before = base_big_now();
    if (num_npz_open(&z, path, &err)) fail_msg("%s was read, expected: %s", path, why);
    if (!strstr(err.text, why)) fail_msg("'%s' does not say '%s'", err.text, why);
    assert_non_null(strstr(err.text, path));
    assert_null(strchr(err.text, '\n'));
    assert_int_equal(z.count, 0);
    assert_int_equal(base_big_now(), before);
}

static void bad_npy(void **state) {
    (void)state;
    static const struct {
        const char *dict, *why;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
         "the array 3 needs 12 bytes of values, the file has 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
         "the array 1 needs 4 bytes of values, the file has 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }",
         "larger than can be addressed"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,), }", "larger than can be addressed"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
         "dimension 0 in the npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", "dimension 0 in the npy header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,), }", "shape is not closed"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }", "more than 8 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 2, }", "shape is not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2", "shape is not closed"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "the array has type '<c8'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "the array has type '|O'"},
        {"{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", "the array has type '<U2'"},
        {"{'descr': '\x1b[1m', 'fortran_order': False, 'shape': (1,), }", "the array has type '?[1m'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2,), }", "the array has type ''"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "arrays of records are not read"},
        {"{'descr': '<f4', 'fortran_order': 1, 'shape': (2,), }", "neither True nor False"},
        {"{'descr': '<f4', 'fortran_order': False, }", "has no shape"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "twice the key 'descr'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "unknown key 'x'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } import os", "goes on after its dict"},
        {"['descr']", "is not a dict"},
        {"{'descr': '<f4' 'fortran_order': False}", "is torn"},
        {"{'descr", "is torn"},
        {"", "is not a dict"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(write_npy("bad.npy", cases[i].dict, "12345678", 8), cases[i].why);
    const char *path = support_temp_path("bad.npy");
    support_write(path, "\x93NUMPY\1\0\xff\xff{", 11);
    refused(path, "says it has 65535 bytes, the file has 1 left");
    support_write(path, "\x93NUMPY\2\0\xff\xff\xff\xff{", 13);
    refused(path, "says it has 4294967295 bytes");
    support_write(path, "\x93NUMPY\2\0\xff\xff", 10);
    refused(path, "cut short");
    support_write(path, "\x93NUMPY\7\0\1\0{", 11);
    refused(path, "npy format 7.0 is not known");
    support_write(path, "\x93NUMPY", 6);
    refused(path, "not an npy file");
    support_write(path, "hello world", 11);
    refused(path, "neither an npy nor an npz file");
    support_write(path, "", 0);
    refused(path, "neither an npy nor an npz file");
}

// ---- zip files, built byte by byte -------------------------------------------------------------

typedef struct member {
    const char *name;
    const void *data;     // as stored
    size_t packed, bytes; // as said
    unsigned method, flags;
    uint32_t crc;
    long at; // offset of the header as the directory says; -1: where it is
} member;

static void little(base_buf *b, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++, v >>= 8) base_buf_add(b, &(char){(char)v}, 1);
}

typedef struct zip_lies {
    long count, directory_bytes, directory_from; // -1: the truth
    size_t stored;                               // of each member; 0: packed
} zip_lies;

static const char *write_zip(const char *name, const member *m, size_t count, zip_lies lies) {
    base_buf file = {0}, directory = {0};
    for (size_t i = 0; i < count; i++) {
        long at = m[i].at >= 0 ? m[i].at : (long)file.length;
        const char *magic[2] = {"PK\3\4", "PK\1\2"};
        base_buf *to[2] = {&file, &directory};
        for (int k = 0; k < 2; k++) {
            base_buf_puts(to[k], magic[k]);
            little(to[k], 20, k ? 4 : 2);
            little(to[k], m[i].flags, 2), little(to[k], m[i].method, 2), little(to[k], 0, 4);
            little(to[k], m[i].crc, 4), little(to[k], m[i].packed, 4), little(to[k], m[i].bytes, 4);
            little(to[k], strlen(m[i].name), 2), little(to[k], 0, 2);
            if (k) little(to[k], 0, 2), little(to[k], 0, 4), little(to[k], 0, 4), little(to[k], (uint64_t)at, 4);
            base_buf_puts(to[k], m[i].name);
        }
        base_buf_add(&file, m[i].data, lies.stored ? lies.stored : m[i].packed);
    }
    size_t from = file.length;
    base_buf_add(&file, directory.text ? directory.text : "", directory.length);
    base_buf_puts(&file, "PK\5\6");
    little(&file, 0, 4), little(&file, 0, 2);
    little(&file, lies.count >= 0 ? (uint64_t)lies.count : count, 2);
    little(&file, lies.directory_bytes >= 0 ? (uint64_t)lies.directory_bytes : directory.length, 4);
    little(&file, lies.directory_from >= 0 ? (uint64_t)lies.directory_from : from, 4), little(&file, 0, 2);
    const char *path = support_temp_path(name);
    support_write(path, file.text, file.length);
    base_buf_free(&file);
    base_buf_free(&directory);
    return path;
}

static const zip_lies truth = {-1, -1, -1, 0};
static uint8_t array[200];
static size_t array_bytes;
static uint32_t array_crc;

static member honest(const char *name) {
    return (member){name, array, array_bytes, array_bytes, 0, 0, array_crc, -1};
}

static int make_array(void **state) {
    (void)state;
    array_bytes = make_npy(array, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "12345678", 8);
    array_crc = (uint32_t)crc32(0, array, (uInt)array_bytes);
    return 0;
}

static void good_zip(void **state) {
    (void)state;
    member m[3] = {honest("a.npy"), honest("notes.txt"), honest("b/c.npy")};
    base_err err = {0};
    num_npz z;
    if (!num_npz_open(&z, write_zip("good.npz", m, 3, truth), &err)) fail_msg("%s", err.text);
    assert_int_equal(z.count, 2);
    assert_string_equal(z.items[1].name, "b/c");
    assert_memory_equal(z.items[1].tensor.data, "12345678", 8);
    assert_int_equal((uintptr_t)z.items[0].tensor.data % 4, 0);
    num_npz_close(&z);
}

static void bad_zip(void **state) {
    (void)state;
    const struct {
        member m[2];
        size_t count;
        zip_lies lies;
        const char *why;
    } cases[] = {
        {{{"a.npy", array, array_bytes, array_bytes, 0, 0, 1, -1}}, 1, truth, "member 'a.npy' is damaged"},
        {{{"a.npy", array, array_bytes, array_bytes, 0, 1, array_crc, -1}}, 1, truth, "member 'a.npy' is encrypted"},
        {{{"a.npy", array, array_bytes, array_bytes, 12, 0, array_crc, -1}}, 1, truth, "is packed by method 12"},
        {{{"a.npy", array, array_bytes, array_bytes + 1, 0, 0, array_crc, -1}}, 1, truth, "stored bytes become"},
        {{{"a.npy", array, 1000000, 1000000, 0, 0, array_crc, -1}}, 1, {-1, -1, -1, 100}, "reaches past the end"},
        {{{"a.npy", array, array_bytes, array_bytes, 0, 0, array_crc, 5}}, 1, truth, "has no header at offset 5"},
        {{{"a.npy", array, array_bytes, array_bytes, 0, 0, array_crc, 4000000000}},
         1,
         truth,
         "has no header at offset"},
        {{{"a.npy", array, 50, 4000000000, 8, 0, array_crc, -1}}, 1, truth, "50 stored bytes become 4000000000"},
        {{{"a.npy", array, 60, 100, 8, 0, array_crc, -1}}, 1, truth, "does not inflate to the 100 bytes"},
        {{honest("a.npy"), honest("a.npy")}, 2, truth, "member 'a.npy' is there twice"},
        {{honest("a.npy"), {"b.npy", array, array_bytes, array_bytes, 0, 0, array_crc, 0}}, 2, truth, "overlap"},
        {{honest("a.npy")}, 1, {2, -1, -1, 0}, "says it has 2 members"},
        {{honest("a.npy")}, 1, {65535, -1, -1, 0}, "says it has 65535 members"},
        {{honest("a.npy")}, 1, {-1, -1, 100000, 0}, "reaches past its end"},
        {{honest("a.npy")}, 1, {-1, 4000000000, -1, 0}, "reaches past its end"},
        {{honest("a.npy")}, 1, {-1, -1, 3, 0}, "is torn"},
        {{{"\x1b]0;x.npy", array, array_bytes, array_bytes, 0, 0, 1, -1}}, 1, truth, "member '?]0;x.npy' is damaged"},
        {{{"a.npy", "garbage", 7, 7, 0, 0, (uint32_t)crc32(0, (const Bytef *)"garbage", 7), -1}},
         1,
         truth,
         "array 'a': this is not an npy file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(write_zip("bad.npz", cases[i].m, cases[i].count, cases[i].lies), cases[i].why);
}

// A member that deflates to more, or less, than its directory row says.
static void lying_deflate(void **state) {
    (void)state;
    uint8_t packed[400];
    z_stream z = {.next_in = array, .avail_in = (uInt)array_bytes, .next_out = packed, .avail_out = sizeof packed};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out;
    deflateEnd(&z);
    for (int off = -2; off <= 2; off++) {
        member m = {"a.npy", packed, n, array_bytes + (size_t)off, 8, 0, array_crc, -1};
        const char *path = write_zip("lying.npz", &m, 1, truth);
        if (off != 0) {
            refused(path, "does not inflate to");
            continue;
        }
        base_err err = {0};
        num_npz npz;
        if (!num_npz_open(&npz, path, &err)) fail_msg("%s", err.text);
        assert_memory_equal(npz.items[0].tensor.data, "12345678", 8);
        num_npz_close(&npz);
    }
    member m = {"a.npy", packed, n - 3, array_bytes, 8, 0, array_crc, -1};
    refused(write_zip("cut.npz", &m, 1, truth), "does not inflate to");
}

// Our own files, cut at every length and with every byte changed: an error or the same arrays, never a crash.
static void cut_and_bent(void **state) {
    (void)state;
    float values[6] = {1, 2, 3, 4, 5, 6};
    num_npz_item items[2] = {{(char *)"w", {NUM_F32, 2, {2, 3}, values}}, {(char *)"b", {NUM_I16, 1, {3}, values}}};
    base_err err = {0};
    for (int compress = 0; compress < 2; compress++) {
        const char *path = support_temp_path("whole.npz"), *bent = support_temp_path("bent.npz");
        assert_true(num_npz_save(path, items, 2, compress, &err));
        size_t n;
        char *text = support_read(path, &n);
        num_npz z;
        for (size_t i = 0; i < n; i++) {
            support_write(bent, text, i);
            assert_false(num_npz_open(&z, bent, &err));
        }
        for (size_t i = 0; i < n; i++) {
            char kept = text[i];
            text[i] = (char)(kept ^ (1 << i % 8));
            support_write(bent, text, n);
            if (num_npz_open(&z, bent, &err)) num_npz_close(&z);
            text[i] = kept;
        }
        free(text);
    }
    // 64-bit directory pointing behind itself, or to nowhere.
    const char *path = support_temp_path("whole.npz");
    size_t n;
    char *text = support_read(path, &n);
    memset(text + n - 22 - 12, 0xFF, 8);
    support_write(path, text, n);
    refused(path, "the 64-bit zip directory is not where the file says");
    free(text);
}

static void gz_files(void **state) {
    (void)state;
    enum { N = 500000 };
    uint8_t *data = malloc(N);
    for (int i = 0; i < N; i++) data[i] = (uint8_t)((unsigned)i * (unsigned)i >> 7);
    const char *path = support_temp_path("x.gz"), *two = support_temp_path("two.gz");
    gzFile gz = gzopen(path, "wb9");
    gzwrite(gz, data, N);
    gzclose(gz);
    base_err err = {0};
    size_t n = 0;
    uint8_t *back = num_gunzip(path, N, &n, &err);
    assert_non_null(back);
    assert_int_equal(n, N);
    assert_memory_equal(back, data, N);
    base_big_free(back);
    assert_null(num_gunzip(path, N - 1, &n, &err));
    assert_non_null(strstr(err.text, "inflates to more than 500.0 kB"));
    size_t packed;
    char *text = support_read(path, &packed);
    char *doubled = malloc(2 * packed);
    memcpy(doubled, text, packed);
    memcpy(doubled + packed, text, packed);
    support_write(two, doubled, 2 * packed); // members one after the other
    back = num_gunzip(two, 2 * N, &n, &err);
    assert_non_null(back);
    assert_int_equal(n, 2 * N);
    assert_memory_equal(back + N, data, N);
    base_big_free(back);
    assert_null(num_gunzip(two, 2 * N - 1, &n, &err));
    for (size_t cut = 3; cut < packed; cut += cut < 40 ? 1 : 997) {
        support_write(two, text, cut);
        assert_null(num_gunzip(two, N, &n, &err));
        assert_non_null(strstr(err.text, "ends too early"));
    }
    text[packed / 2] ^= 0x55;
    support_write(two, text, packed);
    assert_null(num_gunzip(two, N, &n, &err));
    text[packed / 2] ^= 0x55;
    memset(text + packed - 4, 0xFF, 4); // the trailer lies about the length
    support_write(two, text, packed);
    assert_null(num_gunzip(two, N, &n, &err));
    assert_non_null(strstr(err.text, "damaged"));
    free(text);
    free(doubled);
    support_write(two, "plain", 5);
    back = num_gunzip(two, 5, &n, &err);
    assert_non_null(back);
    assert_int_equal(n, 5);
    assert_memory_equal(back, "plain", 5);
    base_big_free(back);
    assert_null(num_gunzip(two, 4, &n, &err));
    assert_null(num_gunzip(support_temp_path("absent.gz"), 4, &n, &err));
    free(data);
}

static void numpys_own(void **state) {
    (void)state;
    const char *path = support_golden("gptq_gauss_48x192.npz");
    if (!path) skip();
    base_err err = {0};
    num_npz z;
    if (!num_npz_open(&z, path, &err)) fail_msg("%s", err.text);
    const num_tensor *w = num_npz_find(&z, "W"), *x = num_npz_find(&z, "X");
    assert_non_null(w);
    assert_true(w->dtype == NUM_F32 && w->ndim == 2 && w->dim[0] == 48 && w->dim[1] == 192);
    assert_true(x && x->dim[1] == 192);
    assert_true(num_all_finite(w->data, 48 * 192));
    num_npz_close(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),   cmocka_unit_test(large_members), cmocka_unit_test(layouts),
        cmocka_unit_test(bad_npy),       cmocka_unit_test(good_zip),      cmocka_unit_test(bad_zip),
        cmocka_unit_test(lying_deflate), cmocka_unit_test(cut_and_bent),  cmocka_unit_test(gz_files),
        cmocka_unit_test(numpys_own),
    };
    return cmocka_run_group_tests_name("npy", tests, make_array, NULL);
}
