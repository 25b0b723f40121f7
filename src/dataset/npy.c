// npy: arrays of samples with an array of labels beside them, and arrays of token ids; mapped, not read.
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

// The one array of a file, at least one dimension and no empty one.
static const num_tensor *only_array(num_npz *z, const char *path, const char *shown, base_err *err) {
    if (!num_npz_open(z, path, err)) return NULL;
    const num_tensor *t = z->count == 1 ? &z->items[0].tensor : NULL;
    if (!t) {
        base_fail(err, "%s: %zu arrays; a file with exactly one was expected", shown, z->count);
        return NULL;
    }
    size_t count, bytes;
    if (t->ndim >= 1 && num_count(t->ndim, t->dim, t->dtype, &count, &bytes) && count) return t;
    char shape[48];
    base_fail(err, "%s: the array is %s: no samples", shown, num_shape_text(shape, t->ndim, t->dim));
    return NULL;
}

static bool read_labels(data_reader *r, data_chunk *chunk, const char *name, base_err *err) {
    char shown[200];
    base_clean(shown, sizeof shown, name);
    char *path = base_join(r->spec->folder ? r->spec->folder : ".", name);
    num_npz z = {0};
    const num_tensor *t = only_array(&z, path, shown, err);
    bool ok = t != NULL;
    char shape[48];
    if (ok && !(t->ndim == 1 || (t->ndim == 2 && t->dim[1] == 1)))
        ok = base_fail(err, "%s: the labels are %s; one a sample was expected", shown,
                       num_shape_text(shape, t->ndim, t->dim));
    if (ok && t->dim[0] != chunk->count)
        ok = base_fail(err, "%s: %lld labels, but %s has %lld samples", shown, (long long)t->dim[0], chunk->shown,
                       (long long)chunk->count);
    ok = ok && data_labels_from(r, chunk, t->dtype, t->data, name, err);
    num_npz_close(&z);
    free(path);
    return ok;
}

static bool all_finite(const data_reader *r, const data_chunk *c, size_t values, base_err *err) {
    if (data_is_integer(c->dtype)) return true;
    enum { BLOCK = 1 << 16 };
    float *block = base_alloc(BLOCK * sizeof *block);
    size_t width = num_dtypes[c->dtype].bytes, each = values / (size_t)c->count;
    bool ok = true;
    for (size_t at = 0; at < values && ok; at += BLOCK) {
        size_t n = values - at < BLOCK ? values - at : BLOCK;
        num_to_f32(c->dtype, c->values + at * width, block, n);
        if (!base_go_on(r->job, err)) ok = false;
        if (!ok || num_all_finite(block, n)) continue;
        size_t i = 0;
        while (num_all_finite(block + i, 1)) i++;
        ok = base_fail(err, "%s: value %zu of sample %zu is NaN, infinite or too large for float32", c->shown,
                       (at + i) % each, (at + i) / each);
    }
    free(block);
    return ok;
}

bool data_read_npy(data_reader *r, const data_source *source, data_chunk *chunk, base_err *err) {
    chunk->mapped = true;
    const num_tensor *t = only_array(&chunk->npz, chunk->path, chunk->shown, err);
    if (!t) return false;
    char shape[48];
    if (t->ndim > 5)
        return base_fail(err, "%s: the array is %s; samples of at most 4 dimensions were expected", chunk->shown,
                         num_shape_text(shape, t->ndim, t->dim));
    chunk->values = t->data;
    chunk->dtype = t->dtype;
    chunk->count = t->dim[0];
    chunk->ndim = t->ndim > 1 ? t->ndim - 1 : 1;
    chunk->dim[0] = 1;
    size_t values = (size_t)t->dim[0];
    for (int i = 1; i < t->ndim; i++) {
        chunk->dim[i - 1] = t->dim[i];
        values *= (size_t)t->dim[i];
    }
    if (!all_finite(r, chunk, values, err) || !base_map_intact(&chunk->npz.map, err)) return false;
    if (r->spec->unlabelled) return true;
    if (!source->labels)
        return base_fail(err, "%s: no file of labels is given (labels = ..., or unlabelled = true)", chunk->shown);
    return read_labels(r, chunk, source->labels, err);
}

bool data_read_tokens(data_reader *r, const data_source *source, data_chunk *chunk, base_err *err) {
    (void)source;
    num_npz z = {0};
    const num_tensor *t = only_array(&z, chunk->path, chunk->shown, err);
    bool ok = t != NULL;
    char shape[48];
    if (ok && t->ndim != 1)
        ok = base_fail(err, "%s: the array is %s; one long row of token ids was expected", chunk->shown,
                       num_shape_text(shape, t->ndim, t->dim));
    if (ok && !data_is_integer(t->dtype))
        ok =
            base_fail(err, "%s: token ids of type %s; integers were expected", chunk->shown, num_dtypes[t->dtype].name);
    if (ok) {
        chunk->token_count = t->dim[0];
        chunk->tokens = chunk->owned = base_big_alloc((size_t)t->dim[0], sizeof(int32_t), "token ids", err);
        ok = chunk->owned != NULL;
    }
    int64_t limit = r->spec->vocabulary_size ? r->spec->vocabulary_size : DATA_MAX_CLASSES;
    for (int64_t i = 0; ok && i < chunk->token_count; i++) {
        int64_t v = data_integer(t->dtype, t->data, (size_t)i);
        if (v < 0 || v >= limit)
            ok = base_fail(err, "%s: token %lld at position %lld is out of range: the vocabulary has %lld ids",
                           chunk->shown, (long long)v, (long long)i, (long long)limit);
        else
            chunk->tokens[i] = (int32_t)v;
    }
    ok = ok && base_map_intact(&z.map, err);
    num_npz_close(&z);
    return ok;
}
