// own: steps that are defined elsewhere, such as in a recipe. The definition gives terms; here they are checked as
// those of a file would be, and put where the built-in steps put theirs.
#include "compress/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static unsigned needs(const compress_step *s) {
    return ((const compress_own_step *)s->kind)->data;
}

// A sparse term behind prune may only store weights that prune kept.
static bool within_mask(const layer *l, const term *t, base_err *err) {
    int64_t n = l->rows * l->cols, outside = 0, first = -1;
    uint8_t *stored = base_big_alloc((size_t)n, 1, "positions of a sparse term", err);
    bool ok = stored && positions_mask(t, stored, err);
    for (int64_t i = 0; ok && i < n; i++) {
        if (!stored[i] || l->mask[i]) continue;
        if (first < 0) first = i;
        outside++;
    }
    base_big_free(stored);
    if (!ok || !outside) return ok;
    return base_fail(err,
                     "its sparse term stores %lld weight%s that prune took, the first in row %lld, column %lld; "
                     "multiply its mask by ctx.mask",
                     (long long)outside, outside == 1 ? "" : "s", (long long)(first / l->cols + 1),
                     (long long)(first % l->cols + 1));
}

// Values go into the container of a pruned layer or take the place of float values; other terms are added.
static bool put(layer *l, term *t, base_err *err) {
    if (t->rows != l->rows || t->cols != l->cols) {
        int64_t rows = t->rows, cols = t->cols;
        term_free(t);
        return base_fail(err, "a term of %lld x %lld for a weight of %lld x %lld", (long long)rows, (long long)cols,
                         (long long)l->rows, (long long)l->cols);
    }
    if (l->mask && term_is_container(t) && !within_mask(l, t, err)) {
        term_free(t);
        return false;
    }
    if (l->did.length) base_buf_puts(&l->did, " + ");
    t->kind->describe(t, &l->did);
    if (!t->kind->element_wise) return layer_append(l, t, err);
    if (l->mask) {
        term *kept = t->kind->compact(t, l->mask, layer_kept(l), err);
        term_free(t);
        t = kept;
    }
    return t && layer_put_values(l, t, err);
}

// New codes take the place of float values, so the dense term of a step is put after its codes.
static bool put_all(layer *l, term **terms, int count, base_err *err) {
    int dense = 0;
    for (int i = 0; i < count; i++) dense += term_is_float(terms[i]);
    bool ok = dense < 2 || base_fail(err, "%d dense terms at once; add them up to one", dense);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) {
            if (!terms[i] || term_is_float(terms[i]) != (pass == 1)) continue;
            term *t = terms[i];
            terms[i] = NULL;
            if (ok)
                ok = put(l, t, err);
            else
                term_free(t);
        }
    return ok;
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    const compress_own_step *own = (const compress_own_step *)s->kind;
    compress_target t = {.layer = l->name,
                         .rows = l->rows,
                         .cols = l->cols,
                         .groups = l->groups,
                         .mask = l->mask,
                         .h = l->h,
                         .diagonal = l->diagonal,
                         .seed = l->seed,
                         .job = l->job};
    float *owned;
    term *terms[COMPRESS_OWN_TERMS];
    int count = 0;
    bool ok = layer_target(l, &t.w, &owned, err) && own->make(own->context, &t, terms, &count, err);
    base_big_free(owned);
    if (ok) return put_all(l, terms, count, err);
    for (int i = 0; i < count; i++) term_free(terms[i]);
    return false;
}

void compress_own_step_init(compress_own_step *s, const char *name, const char *about) {
    memset(s, 0, sizeof *s);
    s->kind = (compress_step_kind){
        .name = name, .help = about, .about = about, .source = "-", .cost = "-", .needs = needs, .apply = apply};
}

// ---- terms ---------------------------------------------------------------------------------------

void compress_term_free(compress_term *t) {
    term_free(t);
}

bool compress_term_decode(const compress_term *t, float *out, base_err *err) {
    memset(out, 0, (size_t)(t->rows * t->cols) * sizeof *out);
    return term_decode(t, out, err);
}

void compress_term_size(const compress_term *t, int64_t *rows, int64_t *cols, int64_t *bytes) {
    *rows = t->rows;
    *cols = t->cols;
    *bytes = term_bytes(t);
}

static term *checked(term *t, base_err *err) {
    if (t->kind->check(t, err)) return t;
    term_free(t);
    return NULL;
}

static bool holds(num_dtype dtype, const float *x, int64_t count) {
    uint8_t raw[4];
    for (int64_t i = 0; i < count; i++) {
        float back;
        num_from_f32(dtype, x + i, raw, 1);
        num_to_f32(dtype, raw, &back, 1);
        if (!(back == x[i])) return false;
    }
    return true;
}

static num_dtype shortest(const float *x, int64_t count) {
    if (holds(NUM_F16, x, count)) return NUM_F16;
    return holds(NUM_BF16, x, count) ? NUM_BF16 : NUM_F32;
}

// Whole numbers from 0 to `top`, packed; false names the first that is not.
static bool pack_whole(const char *what, const float *x, int64_t cols, int64_t count, int bits, uint8_t *out,
                       base_err *err) {
    grid_code *codes = base_big_alloc((size_t)count + 1, sizeof *codes, what, err);
    if (!codes) return false;
    int top = (1 << bits) - 1;
    for (int64_t i = 0; i < count; i++) {
        if (!(x[i] >= 0 && x[i] <= (float)top && x[i] == floorf(x[i]))) {
            base_big_free(codes);
            return base_fail(err, "the %s in row %lld, column %lld is %g, expected a whole number from 0 to %d", what,
                             (long long)(i / cols + 1), (long long)(i % cols + 1), (double)x[i], top);
        }
        codes[i] = (grid_code)x[i];
    }
    grid_codes_pack(codes, count, bits, UNIFORM_ASYM, out);
    base_big_free(codes);
    return true;
}

static bool store_scales(term *t, const float *scales, int64_t count, num_dtype dtype, base_err *err) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(scales[i]) || scales[i] < 0)
            return base_fail(err, "scale %lld is %g, expected a finite number from 0", (long long)(i + 1),
                             (double)scales[i]);
    void *stored = term_blob_new(t, UNIFORM_SCALES, dtype == NUM_DTYPES ? shortest(scales, count) : dtype, count, err);
    if (stored) num_from_f32(t->blob[UNIFORM_SCALES].dtype, scales, stored, (size_t)count);
    return stored != NULL;
}

compress_term *compress_term_codes(int64_t rows, int64_t cols, int64_t group, int bits, const float *codes,
                                   const float *scales, const float *zeros, num_dtype dtype, base_err *err) {
    term *t = term_new(&term_uniform, rows, cols);
    t->attr[UNIFORM_BITS] = bits;
    t->attr[UNIFORM_SCHEME] = zeros ? UNIFORM_ASYM : UNIFORM_SYM;
    t->attr[UNIFORM_GROUP] = group;
    int64_t count = uniform_scale_count(rows, cols, group), per_row = group == GROUP_TENSOR ? 1 : count / rows;
    uint8_t *packed =
        term_blob_new(t, UNIFORM_CODES, NUM_U8, (int64_t)uniform_code_bytes(rows * cols, bits, UNIFORM_SYM), err);
    bool ok = packed && pack_whole("code", codes, cols, rows * cols, bits, packed, err) &&
              store_scales(t, scales, count, dtype, err);
    if (ok && zeros) {
        uint8_t *z = term_blob_new(t, UNIFORM_ZEROS, NUM_U8, (int64_t)num_packed_bytes((size_t)count, bits), err);
        ok = z && pack_whole("zero point", zeros, per_row, count, bits, z, err);
    }
    if (ok) return checked(t, err);
    term_free(t);
    return NULL;
}

compress_term *compress_term_levels(int64_t rows, int64_t cols, int bits, const float *codes, int64_t tables,
                                    const float *levels, num_dtype dtype, base_err *err) {
    int64_t count = tables << bits;
    if (dtype == NUM_DTYPES) dtype = holds(NUM_F16, levels, count) ? NUM_F16 : NUM_F32;
    if (dtype != NUM_F16 && dtype != NUM_F32) {
        base_fail(err, "levels are stored as f16 or f32, not %s", num_dtypes[dtype].name);
        return NULL;
    }
    term *t = term_codebook_new(rows, cols, rows * cols, bits, tables == 1 ? CODEBOOK_LAYER : CODEBOOK_ROW, dtype, err);
    if (!t) return NULL;
    num_from_f32(dtype, levels, t->blob[1].owned, (size_t)count);
    if (pack_whole("code", codes, cols, rows * cols, bits, t->blob[0].owned, err)) return checked(t, err);
    term_free(t);
    return NULL;
}

compress_term *compress_term_dense(int64_t rows, int64_t cols, const float *values, num_dtype dtype, base_err *err) {
    if (!num_all_finite(values, (size_t)(rows * cols))) {
        base_fail(err, "the values to store hold NaN or Inf");
        return NULL;
    }
    return term_dense_new(dtype, values, rows, cols, err);
}

compress_term *compress_term_lowrank(int64_t rows, int64_t cols, int64_t rank, const float *u, const float *v,
                                     num_dtype dtype, base_err *err) {
    term *a = compress_term_dense(rows, rank, u, dtype, err);
    term *b = a ? compress_term_dense(rank, cols, v, dtype, err) : NULL;
    if (b) return term_lowrank_new(a, b);
    term_free(a);
    return NULL;
}

compress_term *compress_term_sparse(int64_t rows, int64_t cols, const float *keep, const float *values, num_dtype dtype,
                                    base_err *err) {
    int64_t n = rows * cols, kept = 0;
    uint8_t *mask = base_big_alloc((size_t)n + 1, 1, "the positions of a sparse term", err);
    if (!mask) return NULL;
    for (int64_t i = 0; i < n; i++) kept += mask[i] = keep[i] != 0;
    term *all = compress_term_dense(rows, cols, values, dtype, err);
    term *some = all ? term_dense.compact(all, mask, kept, err) : NULL;
    term *t = some ? positions_build(mask, rows, cols, -1, 0, 0, err) : NULL;
    term_free(all);
    base_big_free(mask);
    if (!t) {
        term_free(some);
        return NULL;
    }
    t->child[0] = some;
    t->child_count = 1;
    t->stays = true;
    return checked(t, err);
}
