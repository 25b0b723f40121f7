// npy: NumPy's array files (format 1.0 to 3.0, numpy.org "NEP 1"): a magic word, a Python dict as text, the values.
//
// The dict is read by a small strict parser: exactly the keys descr, fortran_order and shape, in any order. Values in
// the other byte order, in Fortran order, of unsigned 32 or 64 bits, or not aligned, are converted into a copy.
#include "numeric/npy.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define HEADER_MOST 65536 // NumPy writes under 200 bytes for plain arrays

typedef struct npy_info {
    num_dtype dtype;
    size_t stored; // bytes of one value in the file
    bool swapped, is_unsigned_wide, fortran;
    int ndim;
    int64_t dim[NUM_MAX_DIM];
} npy_info;

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) c->at++;
}

static bool take(cursor *c, char wanted) {
    skip_space(c);
    if (c->at == c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word) {
    skip_space(c);
    size_t n = strlen(word);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return false;
    c->at += n;
    return true;
}

static bool take_quoted(cursor *c, char *out, size_t size) {
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    const char quote = *c->at, *from = c->at + 1, *to = memchr(from, quote, (size_t)(c->end - from));
    if (!to || (size_t)(to - from) >= size) return false;
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
    c->at = to + 1;
    return true;
}

static bool take_size(cursor *c, int64_t *value) {
    skip_space(c);
    const char *from = c->at;
    int64_t v = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *c->at - '0', &v)) return false;
    if (c->at == from) return false;
    if (c->at < c->end && *c->at == 'L') c->at++; // Python 2 wrote long integers so
    *value = v;
    return true;
}

static bool read_shape(cursor *c, npy_info *info, base_err *err) {
    if (!take(c, '(')) return base_fail(err, "the npy header's shape is not a tuple");
    info->ndim = 0;
    while (!take(c, ')')) {
        if (info->ndim == NUM_MAX_DIM) return base_fail(err, "the array has more than %d dimensions", NUM_MAX_DIM);
        if (!take_size(c, &info->dim[info->ndim]))
            return base_fail(err, "dimension %d in the npy header is not a whole number from 0 to 2^63-1", info->ndim);
        info->ndim++;
        if (take(c, ',')) continue;
        if (take(c, ')')) break;
        return base_fail(err, "the npy header's shape is not closed");
    }
    return true;
}

typedef struct npy_type {
    const char *code;
    num_dtype dtype;
    size_t stored;
    bool is_unsigned_wide;
} npy_type;
static const npy_type types[] = {
    {"f8", NUM_F64, 8, false}, {"f4", NUM_F32, 4, false}, {"f2", NUM_F16, 2, false}, {"i8", NUM_I64, 8, false},
    {"i4", NUM_I32, 4, false}, {"i2", NUM_I16, 2, false}, {"i1", NUM_I8, 1, false},  {"u8", NUM_I64, 8, true},
    {"u4", NUM_I64, 4, true},  {"u2", NUM_U16, 2, false}, {"u1", NUM_U8, 1, false},  {"b1", NUM_BOOL, 1, false},
};

static bool read_descr(cursor *c, npy_info *info, base_err *err) {
    char text[32], shown[32];
    if (!take_quoted(c, text, sizeof text))
        return base_fail(err, "the npy header's descr is not one plain type (arrays of records are not read)");
    bool ordered = text[0] && strchr("<>|=", text[0]);
    for (size_t i = 0; ordered && i < sizeof types / sizeof *types; i++) {
        if (strcmp(text + 1, types[i].code) != 0) continue;
        info->dtype = types[i].dtype;
        info->stored = types[i].stored;
        info->is_unsigned_wide = types[i].is_unsigned_wide;
        info->swapped = text[0] == '>' && types[i].stored > 1;
        return true;
    }
    base_clean(shown, sizeof shown, text);
    return base_fail(err, "the array has type '%s', expected a float, integer or bool of at most 8 bytes", shown);
}

static bool read_fortran(cursor *c, npy_info *info, base_err *err) {
    info->fortran = take_word(c, "True");
    return info->fortran || take_word(c, "False") ||
           base_fail(err, "the npy header's fortran_order is neither True nor False");
}

static bool read_dict(const char *text, size_t length, npy_info *info, base_err *err) {
    static const struct {
        const char *name;
        bool (*read)(cursor *, npy_info *, base_err *);
    } keys[] = {{"descr", read_descr}, {"fortran_order", read_fortran}, {"shape", read_shape}};
    enum { KEYS = sizeof keys / sizeof *keys };
    cursor c = {text, text + length};
    unsigned seen = 0;
    if (!take(&c, '{')) return base_fail(err, "the npy header is not a dict");
    while (!take(&c, '}')) {
        char name[32];
        int k = 0;
        if (!take_quoted(&c, name, sizeof name) || !take(&c, ':')) return base_fail(err, "the npy header is torn");
        while (k < KEYS && strcmp(name, keys[k].name) != 0) k++;
        if (k == KEYS || (seen & 1u << k)) {
            char shown[32];
            base_clean(shown, sizeof shown, name);
            return base_fail(err, "the npy header has %s key '%s'", k == KEYS ? "an unknown" : "twice the", shown);
        }
        seen |= 1u << k;
        if (!keys[k].read(&c, info, err)) return false;
        if (!take(&c, ',') && !(c.at < c.end && *c.at == '}')) return base_fail(err, "the npy header is torn");
    }
    skip_space(&c);
    if (c.at != c.end) return base_fail(err, "the npy header goes on after its dict");
    for (int k = 0; k < KEYS; k++)
        if (!(seen & 1u << k)) return base_fail(err, "the npy header has no %s", keys[k].name);
    return true;
}

// Finds the dict and where the values begin.
static bool read_head(const uint8_t *data, size_t bytes, npy_info *info, size_t *start, base_err *err) {
    if (bytes < 10 || memcmp(data, MAGIC, MAGIC_BYTES) != 0) return base_fail(err, "this is not an npy file");
    int major = data[6];
    if (major < 1 || major > 3) return base_fail(err, "npy format %d.%d is not known, expected 1 to 3", major, data[7]);
    size_t length = data[8] | (size_t)data[9] << 8, from = 10;
    if (major > 1) {
        if (bytes < 12) return base_fail(err, "the npy header is cut short");
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
        from = 12;
    }
    if (length > HEADER_MOST)
        return base_fail(err, "the npy header says it has %zu bytes, expected at most %d", length, HEADER_MOST);
    if (length > bytes - from)
        return base_fail(err, "the npy header says it has %zu bytes, the file has %zu left", length, bytes - from);
    *start = from + length;
    return read_dict((const char *)data + from, length, info, err);
}

static uint64_t load_value(const uint8_t *p, size_t size, bool swapped) {
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) v |= (uint64_t)p[swapped ? size - 1 - i : i] << 8 * i;
    return v;
}

// The place, counted in values, that comes after `at` when the last index runs fastest here and the first in the file.
static size_t next_fortran(const npy_info *info, const size_t *stride, int64_t *index, size_t at) {
    for (int d = info->ndim - 1; d >= 0; d--) {
        at += stride[d];
        if (++index[d] < info->dim[d]) return at;
        at -= stride[d] * (size_t)info->dim[d];
        index[d] = 0;
    }
    return at;
}

static bool convert(const npy_info *info, const uint8_t *from, size_t count, uint8_t *to, base_err *err) {
    size_t stride[NUM_MAX_DIM], width = num_dtypes[info->dtype].bytes, at = 0;
    int64_t index[NUM_MAX_DIM] = {0};
    for (int d = 0; d < info->ndim; d++) stride[d] = d ? stride[d - 1] * (size_t)info->dim[d - 1] : 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t v = load_value(from + (info->fortran ? at : i) * info->stored, info->stored, info->swapped);
        if (info->is_unsigned_wide && v > INT64_MAX)
            return base_fail(err, "value %zu of the array is %llu, expected at most 2^63-1", i, (unsigned long long)v);
        memcpy(to + i * width, &v, width); // little-endian: the low bytes come first
        if (info->fortran) at = next_fortran(info, stride, index, at);
    }
    return true;
}

bool npy_parse(const uint8_t *data, size_t bytes, num_tensor *tensor, void **owned, base_err *err) {
    npy_info info = {0};
    size_t start = 0, count, values, width;
    *owned = NULL;
    if (!read_head(data, bytes, &info, &start, err)) return false;
    char shape[48];
    num_shape_text(shape, info.ndim, info.dim);
    if (!num_count(info.ndim, info.dim, info.dtype, &count, &values))
        return base_fail(err, "the array's shape %s is larger than can be addressed", shape);
    width = num_dtypes[info.dtype].bytes;
    size_t want = count * info.stored, have = bytes - start;
    if (want != have)
        return base_fail(err, "the array %s needs %zu bytes of values, the file has %zu", shape, want, have);
    tensor->dtype = info.dtype;
    tensor->ndim = info.ndim;
    memcpy(tensor->dim, info.dim, sizeof info.dim);
    tensor->data = data + start;
    bool flat = !info.fortran || info.ndim < 2;
    bool aligned = (uintptr_t)(data + start) % width == 0;
    if (flat && aligned && !info.swapped && info.stored == width && !info.is_unsigned_wide) return true;
    *owned = base_big_alloc(values, 1, "an array", err);
    if (!*owned) return false;
    tensor->data = *owned;
    if (flat && !info.swapped && info.stored == width && !info.is_unsigned_wide) {
        if (values) memcpy(*owned, data + start, values);
        return true;
    }
    if (convert(&info, data + start, count, *owned, err)) return true;
    base_big_free(*owned);
    *owned = NULL;
    return false;
}

bool npy_header(const num_tensor *t, base_buf *header, base_err *err) {
    const char *descr = num_dtypes[t->dtype].npy;
    if (!descr)
        return base_fail(err, "npy has no type for %s, save it as f32 or in a safetensors file",
                         num_dtypes[t->dtype].name);
    base_buf dict = {0};
    base_buf_printf(&dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int d = 0; d < t->ndim; d++) base_buf_printf(&dict, d + 1 < t->ndim ? "%lld, " : "%lld", (long long)t->dim[d]);
    base_buf_puts(&dict, t->ndim == 1 ? ",), }" : "), }");
    while ((10 + dict.length + 1) % 64 != 0) base_buf_puts(&dict, " ");
    base_buf_puts(&dict, "\n");
    const char head[10] = {
        MAGIC[0], 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(dict.length & 255), (char)(dict.length >> 8)};
    base_buf_add(header, head, sizeof head);
    base_buf_add(header, dict.text, dict.length);
    base_buf_free(&dict);
    return true;
}

bool num_npy_save(const char *path, const num_tensor *t, base_err *err) {
    base_buf header = {0};
    size_t bytes;
    base_out out;
    if (!num_count(t->ndim, t->dim, t->dtype, NULL, &bytes)) return base_fail(err, "writing %s: bad shape", path);
    if (!npy_header(t, &header, err)) return base_wrap(err, "writing %s: ", path);
    bool good = base_out_open(&out, path, err);
    if (good) {
        fwrite(header.text, 1, header.length, out.file);
        if (bytes) fwrite(t->data, 1, bytes, out.file);
        good = base_out_commit(&out, err); // sees failed writes
    }
    base_buf_free(&header);
    return good;
}
