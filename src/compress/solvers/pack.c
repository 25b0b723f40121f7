// pack: the codes and scales a solver chose become a uniform or a table term.
#include "compress/solvers/pack.h"
#include "compress/solvers/hqq.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

void solver_outer_scale(solver_problem *p) {
    if (p->grid.form != SCALE_E4M3) return;
    float most = 0;
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        if ((!p->mask || p->mask[i]) && fabsf(p->r[i]) > most) most = fabsf(p->r[i]);
    // The largest scale that a group can have comes to 448, the largest e4m3.
    const grid_spec *g = &p->grid;
    float top = g->table                                  ? g->table->top
                : g->scheme == UNIFORM_ASYM               ? (float)grid_max_code(g) / 2
                : g->scheme == UNIFORM_SYM && g->bits > 1 ? (float)((int64_t)1 << (g->bits - 1)) - 1
                                                          : 1;
    p->grid.outer = most > 0 ? most / (top * 448) : 1;
}

// The codes of every weight for the scales as they decode.
static void encode_again(const solver_problem *p, const term *t, scale_place at, int64_t scales) {
    const grid_spec *g = &p->grid;
    int64_t per_row = uniform_groups_per_row(p->cols, g->group), length = g->group > 0 ? g->group : p->cols;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0, k = 0; c < p->cols; c += length, k++) {
            int64_t n = p->cols - c < length ? p->cols - c : length, s = per_row ? r * per_row + k : 0;
            grid_param q = {scales_at(t, at, s), g->split ? scales_at(t, at, scales + s) : p->zeros[s]};
            grid_encode(g, q, p->r + r * p->cols + c, n, p->codes + r * p->cols + c);
        }
}

static bool pack_real_zeros(const solver_problem *p, int64_t count, term *t, base_err *err) {
    num_dtype dtype = hqq_zero_dtype(p->zeros, count);
    void *out = term_blob_new(t, UNIFORM_ZEROS, dtype, count, err);
    if (out) num_from_f32(dtype, p->zeros, out, (size_t)count);
    return out != NULL;
}

static bool pack_zeros(const solver_problem *p, int64_t count, term *t, base_err *err) {
    if (p->grid.scheme == UNIFORM_REAL) return pack_real_zeros(p, count, t, err);
    if (p->grid.scheme != UNIFORM_ASYM) return true;
    int64_t bytes = (int64_t)num_packed_bytes((size_t)count, (int)p->grid.bits);
    uint8_t *out = term_blob_new(t, UNIFORM_ZEROS, NUM_U8, bytes, err);
    grid_code *codes = out ? base_big_alloc((size_t)count + 1, sizeof *codes, "zero points", err) : NULL;
    if (!codes) return false;
    for (int64_t i = 0; i < count; i++) codes[i] = (grid_code)p->zeros[i];
    grid_codes_pack(codes, count, p->grid.bits, UNIFORM_ASYM, out);
    base_big_free(codes);
    return true;
}

static bool pack_scales(const solver_problem *p, scale_place at, int64_t count, term *t, base_err *err) {
    const grid_spec *g = &p->grid;
    if (!g->split) return scales_store(t, at, g->scale, p->scales, count, g->outer, err);
    float *both = base_big_alloc((size_t)count, 2 * sizeof *both, "scales of a layer", err);
    if (!both) return false;
    memcpy(both, p->scales, (size_t)count * sizeof *both);
    memcpy(both + count, p->zeros, (size_t)count * sizeof *both);
    bool ok = scales_store(t, at, g->scale, both, 2 * count, g->outer, err);
    base_big_free(both);
    return ok;
}

static bool pack_levels(const grid_table *table, term *t, base_err *err) {
    const table_type *type = &table->type;
    int64_t count = type->kind == TABLE_QUANTILE ? table->codes : table_has_param(type->kind) ? 1 : 0;
    float *out = count ? term_blob_new(t, TABLE_LEVELS, NUM_F32, count, err) : NULL;
    if (count && !out) return false;
    if (count == 1)
        *out = type->param;
    else
        for (int64_t i = 0; i < count; i++) out[i] = table->value[i];
    return true;
}

static term *open_term(const solver_problem *p, scale_place *at, int64_t *bits, int64_t *scheme) {
    const grid_spec *g = &p->grid;
    term *t = term_new(g->table ? &term_table : &term_uniform, p->rows, p->cols);
    *bits = g->table ? g->table->type.bits : g->bits;
    *scheme = g->table ? UNIFORM_SYM : g->scheme;
    at->form = g->form;
    if (!g->table) {
        *at = (scale_place){UNIFORM_SCALES, UNIFORM_OUTER, g->form};
        t->attr[UNIFORM_BITS] = g->bits;
        t->attr[UNIFORM_SCHEME] = g->scheme;
        t->attr[UNIFORM_GROUP] = g->group;
        t->attr[UNIFORM_FORM] = g->form;
        t->attr[UNIFORM_NESTED] = g->nested;
        return t;
    }
    *at = (scale_place){TABLE_SCALES, TABLE_OUTER, g->form};
    t->attr[TABLE_KIND] = (int64_t)g->table->type.kind;
    t->attr[TABLE_BITS] = *bits;
    t->attr[TABLE_MANTISSA] = g->table->type.mantissa;
    t->attr[TABLE_GROUP] = g->group;
    t->attr[TABLE_FORM] = g->form;
    t->attr[TABLE_SPLIT] = g->split;
    return t;
}

term *solver_pack_scales(const solver_problem *p, int64_t scales, int64_t kept, base_err *err) {
    scale_place at;
    int64_t bits, scheme;
    term *t = open_term(p, &at, &bits, &scheme);
    t->stored = kept;
    if (pack_scales(p, at, scales, t, err)) return t;
    term_free(t);
    return NULL;
}

void solver_read_scales(solver_problem *p, const term *t, int64_t scales) {
    scale_place at = p->grid.table ? (scale_place){TABLE_SCALES, TABLE_OUTER, p->grid.form}
                                   : (scale_place){UNIFORM_SCALES, UNIFORM_OUTER, p->grid.form};
    for (int64_t i = 0; i < scales; i++) {
        p->scales[i] = scales_at(t, at, i);
        if (p->grid.split) p->zeros[i] = scales_at(t, at, scales + i);
    }
}

term *solver_pack_codes(const solver_problem *p, term *t, int64_t scales, base_err *err) {
    const grid_spec *g = &p->grid;
    int64_t bits = g->table ? g->table->type.bits : g->bits, scheme = g->table ? UNIFORM_SYM : g->scheme;
    int64_t n = p->rows * p->cols, k = 0;
    uint8_t *codes = term_blob_new(t, 0, NUM_U8, (int64_t)uniform_code_bytes(t->stored, bits, scheme), err);
    if (!codes || !(g->table ? pack_levels(g->table, t, err) : pack_zeros(p, scales, t, err))) {
        term_free(t);
        return NULL;
    }
    for (int64_t i = 0; p->mask && i < n; i++)
        if (p->mask[i]) p->codes[k++] = p->codes[i];
    grid_codes_pack(p->codes, t->stored, bits, scheme, codes);
    return t;
}

term *solver_pack(const solver_problem *p, int64_t scales, int64_t kept, base_err *err) {
    term *t = solver_pack_scales(p, scales, kept, err);
    if (!t) return NULL;
    scale_place at = {p->grid.table ? TABLE_SCALES : UNIFORM_SCALES, p->grid.table ? TABLE_OUTER : UNIFORM_OUTER,
                      p->grid.form};
    if (p->nearest && p->grid.form >= SCALE_DOUBLE) encode_again(p, t, at, scales);
    return solver_pack_codes(p, t, scales, err);
}
