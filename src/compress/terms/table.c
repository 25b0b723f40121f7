// Table term: value = scale * level(code), the levels those of a data type (types/types.h): minifloats, normal-float
// and other code tables. Groups as in a uniform term. With `split` codes of negative levels have scales of their own
// (asymmetric float; Zhang et al., AFPQ, arXiv 2311.01792).
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

static scale_place scales_of(const term *t) {
    return (scale_place){TABLE_SCALES, TABLE_OUTER, t->attr[TABLE_FORM]};
}

static bool open_levels(const term *t, float *value, base_err *err) {
    table_type type = {.kind = (table_kind)t->attr[TABLE_KIND],
                       .bits = (int)t->attr[TABLE_BITS],
                       .mantissa = (int)t->attr[TABLE_MANTISSA]};
    const void *levels = t->blob[TABLE_LEVELS].data;
    if (table_has_param(type.kind)) memcpy(&type.param, levels, sizeof type.param);
    return table_values(&type, levels, value, err);
}

static bool check_levels(const term *t, int codes, base_err *err) {
    table_kind kind = (table_kind)t->attr[TABLE_KIND];
    int64_t count = kind == TABLE_QUANTILE ? codes : table_has_param(kind) ? 1 : 0;
    if (!term_blob_is(t, TABLE_LEVELS, NUM_F32, count, err)) return false;
    for (int64_t i = 0; i < count; i++) {
        float v;
        memcpy(&v, (const uint8_t *)t->blob[TABLE_LEVELS].data + (size_t)i * sizeof v, sizeof v);
        if (!isfinite(v)) return base_fail(err, "level %lld of a table term is not finite", (long long)i);
    }
    return true;
}

static bool check(const term *t, base_err *err) {
    int64_t bits = t->attr[TABLE_BITS];
    table_type type = {
        .kind = (table_kind)t->attr[TABLE_KIND], .bits = (int)bits, .mantissa = (int)t->attr[TABLE_MANTISSA]};
    int codes = table_codes(&type);
    if (!codes)
        return base_fail(err, "a table term states %lld bits with %d mantissa bits, which its type cannot have",
                         (long long)bits, type.mantissa);
    int64_t scales = uniform_scale_count(t->rows, t->cols, t->attr[TABLE_GROUP]) * (t->attr[TABLE_SPLIT] ? 2 : 1);
    if (!term_blob_is(t, TABLE_CODES, NUM_U8, (int64_t)uniform_code_bytes(t->stored, bits, UNIFORM_SYM), err) ||
        !check_levels(t, codes, err) || !scales_check(t, scales_of(t), scales, err))
        return false;
    size_t bytes = t->blob[TABLE_CODES].bytes;
    unsigned spare = (unsigned)(bytes * 8 - (size_t)(t->stored * bits));
    if (bytes && spare && ((const uint8_t *)t->blob[TABLE_CODES].data)[bytes - 1] >> (8 - spare))
        return base_fail(err, "unused bits at the end of the codes of a table term are not zero");
    float value[TABLE_MOST];
    return open_levels(t, value, err);
}

// The levels of a group, scaled.
static void scaled_levels(const term *t, const float *value, int64_t index, float *out) {
    int64_t count = uniform_scale_count(t->rows, t->cols, t->attr[TABLE_GROUP]);
    float up = scales_at(t, scales_of(t), index);
    float down = t->attr[TABLE_SPLIT] ? scales_at(t, scales_of(t), count + index) : up;
    for (int c = 0; c < 1 << t->attr[TABLE_BITS]; c++) out[c] = value[c] * (value[c] < 0 ? down : up);
}

enum { CHUNK = 1024 };

static void decode_row(const term *t, const float *value, int64_t r, float *out) {
    int64_t group = t->attr[TABLE_GROUP], per_row = uniform_groups_per_row(t->cols, group);
    int64_t length = group > 0 ? group : t->cols;
    uint8_t codes[CHUNK];
    float level[TABLE_MOST];
    for (int64_t g = 0, c = 0; c < t->cols; g++) {
        scaled_levels(t, value, per_row ? r * per_row + g : 0, level);
        int64_t end = t->cols - c < length ? t->cols : c + length;
        while (c < end) {
            int64_t n = end - c < CHUNK ? end - c : CHUNK;
            codes_unpack(t->blob[TABLE_CODES].data, r * t->cols + c, n, t->attr[TABLE_BITS], UNIFORM_SYM, codes);
            for (int64_t i = 0; i < n; i++) out[c + i] += level[codes[i]];
            c += n;
        }
    }
}

static bool decode(const term *t, float *out, base_err *err) {
    float value[TABLE_MOST];
    if (!open_levels(t, value, err)) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (t->rows * t->cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < t->rows; r++) decode_row(t, value, r, out + r * t->cols);
    return true;
}

static void gather(const term *t, int64_t row, int64_t first, int64_t count, const uint32_t *col, float *out) {
    int64_t group = t->attr[TABLE_GROUP], per_row = uniform_groups_per_row(t->cols, group), now = -1;
    base_err ignored;
    float value[TABLE_MOST], level[TABLE_MOST] = {0};
    uint8_t codes[CHUNK];
    if (!open_levels(t, value, &ignored)) return; // check has built it before
    for (int64_t i = 0; i < count; i++) {
        if (i % CHUNK == 0)
            codes_unpack(t->blob[TABLE_CODES].data, first + i, count - i < CHUNK ? count - i : CHUNK,
                         t->attr[TABLE_BITS], UNIFORM_SYM, codes);
        int64_t g = per_row ? row * per_row + (group > 0 ? (int64_t)col[i] / group : 0) : 0;
        if (g != now) scaled_levels(t, value, now = g, level);
        out[i] += level[codes[i % CHUNK]];
    }
}

static term *compact(const term *t, const uint8_t *keep, int64_t kept, base_err *err) {
    return codes_compact(t, t->attr[TABLE_BITS], UNIFORM_SYM, keep, kept, err);
}

static void describe(const term *t, base_buf *b) {
    table_type type = {.kind = (table_kind)t->attr[TABLE_KIND],
                       .bits = (int)t->attr[TABLE_BITS],
                       .mantissa = (int)t->attr[TABLE_MANTISSA]};
    int64_t group = t->attr[TABLE_GROUP];
    table_describe(&type, b);
    if (group > 0) base_buf_printf(b, " g%lld", (long long)group);
    if (group == GROUP_TENSOR) base_buf_puts(b, " per tensor");
    if (t->attr[TABLE_SPLIT]) base_buf_puts(b, " split");
    scales_describe(t->attr[TABLE_FORM], b);
}

const term_kind term_table = {
    .name = "table",
    .help = "codes of a data type's table of levels, a scale a group",
    .attr = {{"type", 0, TABLE_KINDS - 1, TABLE_NAMES},
             {"bits", 1, 8, NULL},
             {"mantissa", 0, 6, NULL},
             {"group", -1, INT32_MAX, NULL},
             {"scale", 0, 4, SCALE_FORMS},
             {"split", 0, 1, NULL}},
    .optional = 1u << TABLE_MANTISSA | 1u << TABLE_FORM | 1u << TABLE_SPLIT,
    .blob = {"codes", "scales", "levels", "outer"},
    .element_wise = true,
    .check = check,
    .decode = decode,
    .gather = gather,
    .compact = compact,
    .describe = describe,
};
