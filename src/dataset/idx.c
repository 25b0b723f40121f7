// idx: the format of MNIST (Y. LeCun, "THE MNIST DATABASE": 2 zero bytes, a type byte, the number of dimensions, each
// dimension as a big-endian u32, then the values, big-endian), plain or gzipped.
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

typedef struct idx_array {
    uint8_t *file; // base_big_alloc
    uint8_t *values;
    num_dtype dtype;
    int ndim;
    int64_t dim[5];
    size_t count;
} idx_array;

static const struct {
    uint8_t code;
    num_dtype dtype;
} idx_types[] = {{0x08, NUM_U8}, {0x09, NUM_I8}, {0x0B, NUM_I16}, {0x0C, NUM_I32}, {0x0D, NUM_F32}, {0x0E, NUM_F64}};

// Values are big-endian in the file; the host is little-endian (checked where num reads npy the same way).
static void swap_bytes(uint8_t *p, size_t count, size_t width) {
    for (size_t i = 0; i < count; i++, p += width)
        for (size_t k = 0; k < width / 2; k++) {
            uint8_t t = p[k];
            p[k] = p[width - 1 - k];
            p[width - 1 - k] = t;
        }
}

static bool idx_parse(idx_array *a, size_t bytes, const char *shown, base_err *err) {
    const uint8_t *p = a->file;
    if (bytes < 4) return base_fail(err, "%s: %zu bytes, too short for an IDX header of 4", shown, bytes);
    if (p[0] || p[1])
        return base_fail(err, "%s: bad magic %02x%02x%02x%02x: an IDX file begins with two zero bytes", shown, p[0],
                         p[1], p[2], p[3]);
    size_t known = 0;
    while (known < sizeof idx_types / sizeof *idx_types && idx_types[known].code != p[2]) known++;
    if (known == sizeof idx_types / sizeof *idx_types)
        return base_fail(err, "%s: bad magic: value type 0x%02x; expected 08, 09, 0b, 0c, 0d or 0e", shown, p[2]);
    a->dtype = idx_types[known].dtype;
    a->ndim = p[3];
    if (a->ndim < 1 || a->ndim > 5)
        return base_fail(err, "%s: %d dimensions in the header; 1 to 5 were expected", shown, a->ndim);
    size_t header = 4 + 4 * (size_t)a->ndim, value_bytes;
    if (bytes < header) return base_fail(err, "%s: %zu bytes, too short for its header of %zu", shown, bytes, header);
    for (int i = 0; i < a->ndim; i++) {
        const uint8_t *d = p + 4 + 4 * i;
        a->dim[i] = (int64_t)d[0] << 24 | (int64_t)d[1] << 16 | (int64_t)d[2] << 8 | (int64_t)d[3];
        if (a->dim[i] == 0) return base_fail(err, "%s: dimension %d is 0: no values", shown, i + 1);
    }
    if (!num_count(a->ndim, a->dim, a->dtype, &a->count, &value_bytes))
        return base_fail(err, "%s: the dimensions in the header multiply to more than memory can address", shown);
    if (value_bytes != bytes - header) {
        char shape[48];
        return base_fail(err, "%s: %s: %zu bytes of values, but the header (%s of %s) asks for %zu", shown,
                         bytes - header < value_bytes ? "truncated" : "too long", bytes - header,
                         num_shape_text(shape, a->ndim, a->dim), num_dtypes[a->dtype].name, value_bytes);
    }
    a->values = a->file + header;
    if (num_dtypes[a->dtype].bytes > 1) swap_bytes(a->values, a->count, num_dtypes[a->dtype].bytes);
    return true;
}

static bool idx_open(idx_array *a, const char *path, const char *shown, base_err *err) {
    size_t bytes;
    *a = (idx_array){0};
    a->file = num_gunzip(path, DATA_MAX_FILE, &bytes, err);
    return a->file && idx_parse(a, bytes, shown, err);
}

static bool read_labels(data_reader *r, data_chunk *chunk, const char *name, base_err *err) {
    char shown[200];
    base_clean(shown, sizeof shown, name);
    char *path = base_join(r->spec->folder ? r->spec->folder : ".", name);
    idx_array labels;
    bool ok = idx_open(&labels, path, shown, err);
    if (ok && labels.ndim != 1) ok = base_fail(err, "%s: %d dimensions; a file of labels has one", shown, labels.ndim);
    if (ok && labels.dim[0] != chunk->count)
        ok = base_fail(err, "%s: %lld labels, but %s has %lld samples", shown, (long long)labels.dim[0], chunk->shown,
                       (long long)chunk->count);
    ok = ok && data_labels_from(r, chunk, labels.dtype, labels.values, name, err);
    base_big_free(labels.file);
    free(path);
    return ok;
}

bool data_read_idx(data_reader *r, const data_source *source, data_chunk *chunk, base_err *err) {
    idx_array images;
    bool ok = idx_open(&images, chunk->path, chunk->shown, err);
    chunk->owned = images.file;
    if (!ok) return false;
    chunk->values = images.values;
    chunk->dtype = images.dtype;
    chunk->count = images.dim[0];
    if (images.ndim == 3) { // pictures without a channel axis have one channel
        chunk->ndim = 3;
        chunk->dim[0] = 1, chunk->dim[1] = images.dim[1], chunk->dim[2] = images.dim[2];
    } else {
        chunk->ndim = images.ndim > 1 ? images.ndim - 1 : 1;
        chunk->dim[0] = 1;
        for (int i = 1; i < images.ndim; i++) chunk->dim[i - 1] = images.dim[i];
    }
    if (r->spec->unlabelled) return true;
    if (!source->labels)
        return base_fail(err, "%s: no file of labels is given (labels = ..., or unlabelled = true)", chunk->shown);
    return read_labels(r, chunk, source->labels, err);
}
