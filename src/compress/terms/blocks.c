// Block term: whole rows in one of ggml's block formats (types/ggml.h), as a GGUF file has them. A row that the block
// length does not divide is filled up with zeros, which are stored and counted.
#include "compress/types/ggml.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

enum { FORMAT };
enum { DATA };

static const ggml_type *format_of(const term *t) {
    return &ggml_types[t->attr[FORMAT]];
}

static int64_t blocks_per_row(const ggml_type *f, int64_t cols) {
    return (cols + f->length - 1) / f->length;
}

static bool check(const term *t, base_err *err) {
    const ggml_type *f = format_of(t);
    if (t->stored != t->rows * t->cols)
        return base_fail(err, "a blocks term holds %lld values of a %lld x %lld matrix, expected all of them",
                         (long long)t->stored, (long long)t->rows, (long long)t->cols);
    return term_blob_is(t, DATA, NUM_U8, t->rows * blocks_per_row(f, t->cols) * f->bytes, err);
}

static void decode_row(const term *t, int64_t r, float *out) {
    const ggml_type *f = format_of(t);
    int64_t count = blocks_per_row(f, t->cols);
    const uint8_t *block = (const uint8_t *)t->blob[DATA].data + r * count * f->bytes;
    float values[GGML_MOST];
    for (int64_t c = 0; c < t->cols; c += f->length, block += f->bytes) {
        int64_t n = t->cols - c < f->length ? t->cols - c : f->length;
        ggml_decode(f, block, 1, values);
        for (int64_t i = 0; i < n; i++) out[c + i] += values[i];
    }
}

static bool decode(const term *t, float *out, base_err *err) {
    (void)err;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (t->rows * t->cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < t->rows; r++) decode_row(t, r, out + r * t->cols);
    return true;
}

static void describe(const term *t, base_buf *b) {
    base_buf_printf(b, "ggml %s", format_of(t)->name);
}

const term_kind term_blocks = {
    .name = "blocks",
    .help = "rows in one of ggml's block formats",
    .attr = {{"format", 0, 15,
              "q4_0|q4_1|q5_0|q5_1|q8_0|q2_K|q3_K|q4_K|q5_K|q6_K|iq4_nl|iq4_xs|mxfp4|nvfp4|tq1_0|tq2_0"}},
    .blob = {"data"},
    .check = check,
    .decode = decode,
    .describe = describe,
};

// What the importance of a row's inputs is: the diagonal of its group's H.
static const float *importance_of(const solver_problem *p, int64_t row, float *out) {
    if (!p->h || p->diagonal) return NULL;
    const float *h = p->h + row / (p->rows / p->groups) * p->cols * p->cols;
    for (int64_t c = 0; c < p->cols; c++) out[c] = h[c * p->cols + c];
    return out;
}

static bool encode_rows(const solver_problem *p, const ggml_type *f, bool weighted, int64_t first, int64_t end,
                        uint8_t *data, base_err *err) {
    int64_t count = blocks_per_row(f, p->cols), padded = count * f->length;
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel
#endif
    {
        base_err own = {0};
        float *room = base_big_alloc((size_t)padded, 2 * sizeof *room, "a row in blocks", &own);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t r = first; r < end; r++) {
            if (!room) continue;
            memset(room, 0, (size_t)padded * 2 * sizeof *room);
            memcpy(room, p->r + r * p->cols, (size_t)p->cols * sizeof *room);
            const float *weight = weighted ? importance_of(p, r, room + padded) : NULL;
            ggml_encode(f, room, weight, padded, data + r * count * f->bytes);
        }
        if (!room) {
#ifdef _OPENMP
#pragma omp critical(blocks_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
        base_big_free(room);
    }
    return ok;
}

// A scale that float16 cannot hold would decode to Inf or NaN.
static bool all_finite(const solver_problem *p, const term *t, base_err *err) {
    float *row = base_big_alloc((size_t)p->cols, sizeof *row, "a row in blocks", err);
    if (!row) return false;
    bool ok = true;
    for (int64_t r = 0; ok && r < p->rows; r++) {
        memset(row, 0, (size_t)p->cols * sizeof *row);
        decode_row(t, r, row);
        ok = num_all_finite(row, (size_t)p->cols) ||
             base_fail(err, "%s: row %lld is too wide for %s, whose scales are float16", p->layer, (long long)r,
                       format_of(t)->name);
    }
    base_big_free(row);
    return ok;
}

term *term_blocks_encode(const solver_problem *p, const ggml_type *f, bool weighted, base_err *err) {
    term *t = term_new(&term_blocks, p->rows, p->cols);
    t->attr[FORMAT] = f - ggml_types;
    int64_t step = (1 << 17) / p->cols + 8;
    uint8_t *data = term_blob_new(t, DATA, NUM_U8, p->rows * blocks_per_row(f, p->cols) * f->bytes, err);
    bool ok = data != NULL;
    for (int64_t r = 0; ok && r < p->rows; r += step)
        ok = base_go_on(p->job, err) &&
             encode_rows(p, f, weighted, r, p->rows - r < step ? p->rows : r + step, data, err);
    if (ok && all_finite(p, t, err)) return t;
    term_free(t);
    return NULL;
}
