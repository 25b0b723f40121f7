// Mapped term: terms of a weight whose inputs or outputs were scaled, permuted or rotated; decoding adds them up and
// maps back. The maps themselves are in map.c.
#include "compress/map.h"

#include <math.h>
#include <string.h>

enum { FORM, SIDE, GROUPS, SEED };
enum { SCALES, ORDER };

static int64_t length_of(const term *t) {
    return t->attr[SIDE] == MAP_IN ? t->cols : t->rows / t->attr[GROUPS];
}

bool term_mapped_read(const term *t, map *m, void **owned, base_err *err) {
    *m = (map){.form = (int)t->attr[FORM],
               .side = (int)t->attr[SIDE],
               .groups = t->attr[GROUPS],
               .rows = t->rows,
               .cols = t->cols,
               .seed = (uint64_t)t->attr[SEED]};
    *owned = NULL;
    if (m->form >= MAP_HADAMARD) return true;
    int64_t count = m->groups * length_of(t);
    const term_blob *b = &t->blob[m->form == MAP_SCALE ? SCALES : ORDER];
    float *values = base_big_alloc((size_t)count, sizeof *values, "a stored map", err);
    if (!values) return false;
    *owned = values;
    if (m->form == MAP_PERMUTE) {
        int32_t *from = *owned;
        if (b->dtype == NUM_I32)
            memcpy(from, b->data, (size_t)count * sizeof *from);
        else
            for (int64_t i = 0; i < count; i++) from[i] = ((const uint16_t *)b->data)[i];
        m->from = from;
    } else {
        num_to_f32(b->dtype, b->data, values, (size_t)count);
        m->scale = values;
    }
    return true;
}

// Every group's order names each place once.
static bool is_permutation(const map *m, int64_t n, base_err *err) {
    uint8_t *seen = base_big_alloc((size_t)n, 1, "a stored order", err);
    bool ok = seen != NULL;
    for (int64_t g = 0; ok && g < m->groups; g++) {
        memset(seen, 0, (size_t)n);
        for (int64_t i = 0; ok && i < n; i++) {
            int32_t at = m->from[g * n + i];
            ok = (at >= 0 && at < n && !seen[at]++) ||
                 base_fail(err, "array order of a mapped term is no permutation of %lld places (value %lld is %d)",
                           (long long)n, (long long)(g * n + i), at);
        }
    }
    base_big_free(seen);
    return ok;
}

static bool check(const term *t, base_err *err) {
    int64_t form = t->attr[FORM], n;
    if (t->stored != t->rows * t->cols) return base_fail(err, "a mapped term cannot stand inside a sparse one");
    if (t->attr[GROUPS] > t->rows || t->rows % t->attr[GROUPS])
        return base_fail(err, "%lld groups of a mapped term do not divide %lld rows", (long long)t->attr[GROUPS],
                         (long long)t->rows);
    n = t->attr[GROUPS] * length_of(t);
    const term_blob *s = &t->blob[SCALES], *o = &t->blob[ORDER];
    if (!term_blob_is(t, SCALES, s->dtype == NUM_F32 ? NUM_F32 : NUM_F16, form == MAP_SCALE ? n : 0, err) ||
        !term_blob_is(t, ORDER, o->dtype == NUM_I32 ? NUM_I32 : NUM_U16, form == MAP_PERMUTE ? n : 0, err))
        return false;
    void *owned;
    map m;
    rotation r = {0};
    bool ok = term_mapped_read(t, &m, &owned, err);
    for (int64_t i = 0; ok && form == MAP_SCALE && i < n; i++)
        if (!(isfinite(m.scale[i]) && m.scale[i] > 0))
            ok = base_fail(err, "array scales of a mapped term: value %lld is %g, expected a positive number",
                           (long long)i, (double)m.scale[i]);
    if (ok && form == MAP_PERMUTE) ok = is_permutation(&m, length_of(t), err);
    if (ok && form >= MAP_HADAMARD) ok = rotation_open(&r, m.form, length_of(t), m.seed, err);
    rotation_close(&r);
    base_big_free(owned);
    return ok;
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
    void *owned = NULL;
    map m;
    float *w = base_big_alloc((size_t)n, sizeof *w, "a mapped weight", err);
    bool ok = w && terms_decode(t->child, t->child_count, t->rows, t->cols, w, err) &&
              term_mapped_read(t, &m, &owned, err) && map_weight(&m, true, w, err);
    for (int64_t i = 0; ok && i < n; i++) out[i] += w[i];
    base_big_free(w);
    base_big_free(owned);
    return ok;
}

static void describe(const term *t, base_buf *b) {
    static const char *const names[] = {"scaled", "permuted", "hadamard", "rotated", "hadamard"};
    base_buf_printf(b, "%s%s (", names[t->attr[FORM]], t->attr[SIDE] == MAP_OUT ? " outputs" : "");
    terms_describe(t->child, t->child_count, b);
    base_buf_puts(b, ")");
}

const term_kind term_mapped = {
    .name = "mapped",
    .help = "terms of a weight whose inputs or outputs were scaled, permuted or rotated",
    .attr = {{"form", 0, 4, "scale|permute|hadamard|haar|paley"},
             {"side", 0, 1, "in|out"},
             {"groups", 1, INT32_MAX, NULL},
             {"seed", 0, INT32_MAX, NULL}},
    // Reflections along normal vectors, which were not Haar distributed: today's would decode to other weights.
    .retired = "random",
    .blob = {"scales", "order"},
    .min_child = 1,
    .max_child = TERM_MAX_CHILD,
    .check = check,
    .child_size = child_size,
    .decode = decode,
    .describe = describe,
};

// float16 keeps eleven bits of a scale between 6.1e-5 and 65504; beyond, float32.
static bool put_scales(term *t, const map *m, int64_t n, base_err *err) {
    num_dtype dtype = NUM_F16;
    for (int64_t i = 0; i < n; i++)
        if (!(m->scale[i] >= 6.104e-5f && m->scale[i] <= 65504)) dtype = NUM_F32;
    void *out = term_blob_new(t, SCALES, dtype, n, err);
    if (!out) return false;
    num_from_f32(dtype, m->scale, out, (size_t)n);
    return true;
}

static bool put_order(term *t, const map *m, int64_t n, base_err *err) {
    bool narrow = length_of(t) <= 65536;
    void *out = term_blob_new(t, ORDER, narrow ? NUM_U16 : NUM_I32, n, err);
    for (int64_t i = 0; out && i < n; i++) {
        if (narrow)
            ((uint16_t *)out)[i] = (uint16_t)m->from[i];
        else
            ((int32_t *)out)[i] = m->from[i];
    }
    return out != NULL;
}

term *term_mapped_new(const map *m, base_err *err) {
    term *t = term_new(&term_mapped, m->rows, m->cols);
    t->attr[FORM] = m->form;
    t->attr[SIDE] = m->side;
    t->attr[GROUPS] = m->groups;
    t->attr[SEED] = (int64_t)m->seed;
    int64_t n = m->groups * length_of(t);
    bool ok = true;
    if (m->form == MAP_SCALE) ok = put_scales(t, m, n, err);
    if (m->form == MAP_PERMUTE) ok = put_order(t, m, n, err);
    if (ok && check(t, err)) return t;
    term_free(t);
    return NULL;
}
