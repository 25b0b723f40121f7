// terms: the table of term kinds and what every kind shares - making, freeing, counting bytes, decoding a sum.
#include "compress/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const term_kind *const term_kinds[] = {
    &term_dense,  &term_uniform, &term_table, &term_lowrank, &term_sparse, &term_masked,  &term_codebook, &term_mapped,
    &term_blocks, &term_vq,      &term_mixed, &term_signed,  &term_units,  &term_trellis, &term_e8,       &term_books,
    &term_planes, &term_rank1,   &term_pvq,   &term_qjl,     &term_basis,  &term_split,   &term_points};
const size_t term_kind_count = sizeof term_kinds / sizeof *term_kinds;

term *term_new(const term_kind *kind, int64_t rows, int64_t cols) {
    term *t = base_alloc(sizeof *t);
    t->kind = kind;
    t->rows = rows;
    t->cols = cols;
    t->stored = rows * cols;
    return t;
}

void term_free(term *t) {
    if (!t) return;
    for (int i = 0; i < t->child_count; i++) term_free(t->child[i]);
    for (int i = 0; i < TERM_MAX_BLOB; i++) {
        base_big_free(t->blob[i].owned);
        base_big_free(t->blob[i].coded);
    }
    free(t);
}

static void *new_blob(term *t, int index, num_dtype dtype, int64_t count, bool clear, base_err *err) {
    term_blob *b = &t->blob[index];
    size_t width = num_dtypes[dtype].bytes;
    // One value at least, so that an empty array is still a pointer; it is not counted and not written.
    void *data = (clear ? base_big_alloc : base_big_room)(count ? (size_t)count : 1, width,
                                                          "the packed weights of a layer", err);
    if (!data) return NULL;
    base_big_free(b->owned);
    base_big_free(b->coded);
    *b = (term_blob){.dtype = dtype, .count = count, .bytes = (size_t)count * width, .data = data, .owned = data};
    return data;
}

void *term_blob_new(term *t, int index, num_dtype dtype, int64_t count, base_err *err) {
    return new_blob(t, index, dtype, count, true, err);
}

void *term_blob_room(term *t, int index, num_dtype dtype, int64_t count, base_err *err) {
    return new_blob(t, index, dtype, count, false, err);
}

bool term_blob_floats(const term *t, int index, int64_t count, base_err *err) {
    const term_blob *b = &t->blob[index];
    const char *what = t->kind->blob[index];
    if (b->dtype != NUM_F32 && b->dtype != NUM_F16)
        return base_fail(err, "%s of a %s term are %s, expected f32 or f16", what, t->kind->name,
                         num_dtypes[b->dtype].name);
    if (!term_blob_is(t, index, b->dtype, count, err)) return false;
    size_t width = num_dtypes[b->dtype].bytes;
    for (int64_t i = 0; i < count; i++) {
        float v;
        num_to_f32(b->dtype, (const uint8_t *)b->data + (size_t)i * width, &v, 1);
        if (!isfinite(v))
            return base_fail(err, "value %lld of the %s of a %s term is not finite", (long long)i, what, t->kind->name);
    }
    return true;
}

bool term_blob_copy(const term *from, term *to, int index, base_err *err) {
    const term_blob *b = &from->blob[index];
    if (!b->count) return true;
    void *data = term_blob_new(to, index, b->dtype, b->count, err);
    if (data) memcpy(data, b->data, b->bytes);
    return data != NULL;
}

int64_t term_bytes(const term *t) {
    int64_t bytes = 0;
    for (int i = 0; i < TERM_MAX_BLOB; i++)
        bytes += (int64_t)(t->blob[i].coded_bytes ? t->blob[i].coded_bytes : t->blob[i].bytes);
    for (int i = 0; i < t->child_count; i++) bytes += term_bytes(t->child[i]);
    return bytes;
}

bool term_decode(const term *t, float *out, base_err *err) {
    return t->kind->decode(t, out, err);
}

bool terms_decode(term *const *terms, int count, int64_t rows, int64_t cols, float *out, base_err *err) {
    memset(out, 0, (size_t)(rows * cols) * sizeof *out);
    for (int i = 0; i < count; i++)
        if (!term_decode(terms[i], out, err)) return false;
    return true;
}

bool term_is_float(const term *t) {
    return t->kind == &term_dense;
}

bool term_is_container(const term *t) {
    return t->kind == &term_sparse || t->kind == &term_masked || t->kind == &term_units;
}

void terms_describe(term *const *terms, int count, base_buf *b) {
    for (int i = 0; i < count; i++) {
        if (i) base_buf_puts(b, " + ");
        terms[i]->kind->describe(terms[i], b);
    }
}

bool term_blob_is(const term *t, int index, num_dtype dtype, int64_t count, base_err *err) {
    const term_blob *b = &t->blob[index];
    const char *name = t->kind->blob[index];
    if (b->count != count)
        return base_fail(err, "array %s of a %s term holds %lld values, expected %lld", name, t->kind->name,
                         (long long)b->count, (long long)count);
    if (count && b->dtype != dtype)
        return base_fail(err, "array %s of a %s term is %s, expected %s", name, t->kind->name,
                         num_dtypes[b->dtype].name, num_dtypes[dtype].name);
    return true;
}
