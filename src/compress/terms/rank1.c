// Rank1 term: value = min(rows[i], columns[j]) * v[i, j], v the value of its one child: the largest magnitudes of the
// rows and of the columns stand for a scale of every single weight (rank-1 normalisation: Li, Chen and Zhu, Memory
// Efficient Optimizers with 4-bit States, NeurIPS 2023, arXiv 2309.01507, section 4.2). Without rows the scales are
// those of the columns alone.
#include "compress/layer.h"

#include <math.h>

enum { ROWS, COLUMNS };

static float scale_at(const term_blob *b, int64_t i) {
    float v;
    num_to_f32(b->dtype, (const uint8_t *)b->data + (size_t)i * num_dtypes[b->dtype].bytes, &v, 1);
    return v;
}

static bool check_scales(const term *t, int index, int64_t count, base_err *err) {
    const term_blob *b = &t->blob[index];
    const char *name = t->kind->blob[index];
    if (b->dtype != NUM_F32 && b->dtype != NUM_F16 && b->dtype != NUM_BF16)
        return base_fail(err, "%s of a rank1 term are %s, expected f32, f16 or bf16", name, num_dtypes[b->dtype].name);
    if (!term_blob_is(t, index, b->dtype, count, err)) return false;
    for (int64_t i = 0; i < count; i++) {
        float v = scale_at(b, i);
        if (!isfinite(v) || v < 0)
            return base_fail(err, "value %lld of the %s of a rank1 term is %g, expected a finite number >= 0",
                             (long long)i, name, (double)v);
    }
    return true;
}

static bool has_rows(const term *t) {
    return t->blob[ROWS].count > 0;
}

static bool check(const term *t, base_err *err) {
    if (!has_rows(t)) return check_scales(t, COLUMNS, t->cols, err);
    return check_scales(t, ROWS, t->rows, err) && check_scales(t, COLUMNS, t->cols, err);
}

static bool child_size(const term *t, int index, int64_t *rows, int64_t *cols, int64_t *stored, base_err *err) {
    (void)index, (void)err;
    *rows = t->rows;
    *cols = t->cols;
    *stored = t->stored;
    return true;
}

static bool decode(const term *t, float *out, base_err *err) {
    int64_t n = t->rows * t->cols;
    float *v = base_big_alloc((size_t)n, sizeof *v, "a normalised weight", err);
    float *column = v ? base_big_alloc((size_t)t->cols, sizeof *column, "scales of columns", err) : NULL;
    bool ok = column && term_decode(t->child[0], v, err);
    if (ok) num_to_f32(t->blob[COLUMNS].dtype, t->blob[COLUMNS].data, column, (size_t)t->cols);
    for (int64_t r = 0; ok && r < t->rows; r++) {
        float row = has_rows(t) ? scale_at(&t->blob[ROWS], r) : INFINITY;
        for (int64_t c = 0; c < t->cols; c++) out[r * t->cols + c] += fminf(row, column[c]) * v[r * t->cols + c];
    }
    base_big_free(v);
    base_big_free(column);
    return ok;
}

static void gather(const term *t, int64_t row, int64_t first, int64_t count, const uint32_t *col, float *out) {
    enum { RUN = 256 };
    float scale = has_rows(t) ? scale_at(&t->blob[ROWS], row) : INFINITY;
    for (int64_t at = 0; at < count; at += RUN) {
        int64_t n = count - at < RUN ? count - at : RUN;
        float v[RUN] = {0};
        t->child[0]->kind->gather(t->child[0], row, first + at, n, col + at, v);
        for (int64_t i = 0; i < n; i++) out[at + i] += fminf(scale, scale_at(&t->blob[COLUMNS], col[at + i])) * v[i];
    }
}

static term *compact(const term *t, const uint8_t *keep, int64_t kept, base_err *err) {
    term *child = t->child[0]->kind->compact(t->child[0], keep, kept, err);
    if (!child) return NULL;
    term *n = term_new(&term_rank1, t->rows, t->cols);
    n->stored = kept;
    n->child[0] = child;
    n->child_count = 1;
    if ((!has_rows(t) || term_blob_copy(t, n, ROWS, err)) && term_blob_copy(t, n, COLUMNS, err)) return n;
    term_free(n);
    return NULL;
}

term *term_rank1_new(term *values, const float *rows, const float *columns, num_dtype dtype, base_err *err) {
    term *t = term_new(&term_rank1, values->rows, values->cols);
    t->stored = values->stored;
    t->child[0] = values;
    t->child_count = 1;
    void *r = rows ? term_blob_new(t, ROWS, dtype, t->rows, err) : NULL;
    void *c = r || !rows ? term_blob_new(t, COLUMNS, dtype, t->cols, err) : NULL;
    if (!c) {
        term_free(t);
        return NULL;
    }
    if (rows) num_from_f32(dtype, rows, r, (size_t)t->rows);
    num_from_f32(dtype, columns, c, (size_t)t->cols);
    return t;
}

static void describe(const term *t, base_buf *b) {
    base_buf_puts(b, has_rows(t) ? "row x column " : "column ");
    t->child[0]->kind->describe(t->child[0], b);
}

const term_kind term_rank1 = {
    .name = "rank1",
    .help = "codes of a weight divided by the lesser of its row's and its column's largest magnitude",
    .blob = {"rows", "columns"},
    .min_child = 1,
    .max_child = 1,
    .element_wise = true,
    .check = check,
    .child_size = child_size,
    .decode = decode,
    .gather = gather,
    .compact = compact,
    .describe = describe,
};
