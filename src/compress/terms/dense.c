// Dense term: the values themselves, as f32, f16, bf16 or f64. Inside a sparse or masked term only the kept ones.
#include "compress/layer.h"

#include <string.h>

enum { DATA };
enum { CHUNK = 4096 }; // values converted at a time, so that the float copy stays in cache

static bool check(const term *t, base_err *err) {
    const term_blob *b = &t->blob[DATA];
    if (b->count && b->dtype > NUM_BF16)
        return base_fail(err, "array data of a dense term is %s, expected f64, f32, f16 or bf16",
                         num_dtypes[b->dtype].name);
    if (!term_blob_is(t, DATA, b->dtype, t->stored, err)) return false;
    float part[CHUNK];
    size_t width = num_dtypes[b->dtype].bytes;
    for (int64_t i = 0; i < b->count; i += CHUNK) {
        int64_t n = b->count - i < CHUNK ? b->count - i : CHUNK;
        num_to_f32(b->dtype, (const uint8_t *)b->data + (size_t)i * width, part, (size_t)n);
        if (!num_all_finite(part, (size_t)n))
            return base_fail(err, "array data of a dense term holds NaN or Inf near value %lld", (long long)i);
    }
    return true;
}

static void add(const term *t, int64_t first, int64_t count, float *out) {
    const term_blob *b = &t->blob[DATA];
    size_t width = num_dtypes[b->dtype].bytes;
    float part[CHUNK];
    for (int64_t i = 0; i < count; i += CHUNK) {
        int64_t n = count - i < CHUNK ? count - i : CHUNK;
        num_to_f32(b->dtype, (const uint8_t *)b->data + (size_t)(first + i) * width, part, (size_t)n);
        for (int64_t k = 0; k < n; k++) out[i + k] += part[k];
    }
}

static bool decode(const term *t, float *out, base_err *err) {
    (void)err;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (t->rows * t->cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < t->rows; r++) add(t, r * t->cols, t->cols, out + r * t->cols);
    return true;
}

static void gather(const term *t, int64_t row, int64_t first, int64_t count, const uint32_t *col, float *out) {
    (void)row, (void)col; // a stored float stands for itself wherever it is
    add(t, first, count, out);
}

static term *compact(const term *t, const uint8_t *keep, int64_t kept, base_err *err) {
    const term_blob *b = &t->blob[DATA];
    size_t width = num_dtypes[b->dtype].bytes;
    term *n = term_new(&term_dense, t->rows, t->cols);
    n->stored = kept;
    // A spare value past the end lets the copy go without branches, which would be guessed wrong half the time.
    uint8_t *out = term_blob_new(n, DATA, b->dtype, kept + 1, err);
    if (!out) {
        term_free(n);
        return NULL;
    }
    n->blob[DATA].count = kept;
    n->blob[DATA].bytes = (size_t)kept * width;
    const uint8_t *in = b->data;
    size_t k = 0;
    if (width == 4)
        for (int64_t i = 0; i < b->count; k += 4 * (size_t)keep[i++]) memcpy(out + k, in + 4 * i, 4);
    else
        for (int64_t i = 0; i < b->count; k += width * (size_t)keep[i++])
            memcpy(out + k, in + (size_t)i * width, width);
    return n;
}

static void describe(const term *t, base_buf *b) {
    base_buf_printf(b, "dense %s", num_dtypes[t->blob[DATA].dtype].name);
}

const term_kind term_dense = {
    .name = "dense",
    .help = "values as f64, f32, f16 or bf16",
    .blob = {"data"},
    .element_wise = true,
    .check = check,
    .decode = decode,
    .gather = gather,
    .compact = compact,
    .describe = describe,
};

term *term_dense_new(num_dtype dtype, const float *values, int64_t rows, int64_t cols, base_err *err) {
    term *t = term_new(&term_dense, rows, cols);
    void *data = term_blob_new(t, DATA, dtype, t->stored, err);
    if (!data) {
        term_free(t);
        return NULL;
    }
    num_from_f32(dtype, values, data, (size_t)t->stored);
    // A float16 that overflowed would be found only when the model is run; it is said here, with the cure.
    base_err why;
    if (!check(t, &why)) {
        base_fail(err, "a value is beyond the range of %s (use bf16 or f32)", num_dtypes[dtype].name);
        term_free(t);
        return NULL;
    }
    return t;
}
