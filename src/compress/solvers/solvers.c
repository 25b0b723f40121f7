// solvers: finding one by name, and turning the codes it chose into a stored term.
#include "compress/layer.h"
#include "compress/solvers/hqq.h"

#include <math.h>
#include <string.h>

const compress_solver *const compress_solvers[] = {&solver_rtn, &solver_gptq, &solver_adaround, &solver_obq,
                                                   &solver_hqq};
const size_t compress_solver_count = sizeof compress_solvers / sizeof *compress_solvers;

double solver_number(const solver_problem *p, const char *arg, double otherwise) {
    return p->step ? compress_number(p->step, arg) : otherwise;
}

bool solver_is(const solver_problem *p, const char *arg, const char *text) {
    return p->step && strcmp(compress_text(p->step, arg), text) == 0;
}

const compress_solver *compress_solver_find(const char *name) {
    for (size_t i = 0; i < compress_solver_count; i++)
        if (!strcmp(compress_solvers[i]->name, name)) return compress_solvers[i];
    return NULL;
}

// A scale beyond that would be rounded coarsely or lost.
bool solver_scales_fit(const solver_problem *p, int64_t count) {
    if (p->grid.scale != NUM_F16) return true;
    for (int64_t i = 0; i < count; i++)
        if (!(p->scales[i] >= 6.104e-5f && p->scales[i] <= 65504)) return false;
    return true;
}

static bool solve_once(const compress_solver *s, solver_problem *p, base_err *err) {
    if (!s->solve(p, err)) return false;
    return !solver_is(p, "refine", "cd") || refine_cd(p, (int64_t)solver_number(p, "passes", 0), err);
}

static bool solve(const compress_solver *s, solver_problem *p, int64_t count, base_err *err) {
    if (!solve_once(s, p, err)) return false;
    if (!solver_scales_fit(p, count)) {
        base_log(p->job, BASE_INFO, "%s: scales do not fit f16, stored as f32", p->layer);
        p->grid.scale = NUM_F32;
        if (!solve_once(s, p, err)) return false;
    }
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(p->scales[i]))
            return base_fail(err, "%s: scale %lld is %g: the range of the weights is too wide for float32", p->layer,
                             (long long)i, (double)p->scales[i]);
    return true;
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
    uint8_t *codes = out ? base_big_alloc((size_t)count + 1, 1, "zero points", err) : NULL;
    if (!codes) return false;
    for (int64_t i = 0; i < count; i++) codes[i] = (uint8_t)p->zeros[i];
    codes_pack(codes, count, p->grid.bits, UNIFORM_ASYM, out);
    base_big_free(codes);
    return true;
}

term *solver_pack(const solver_problem *p, int64_t scales, int64_t kept, base_err *err) {
    const grid_spec *g = &p->grid;
    term *t = term_new(&term_uniform, p->rows, p->cols);
    t->stored = kept;
    t->attr[UNIFORM_BITS] = g->bits;
    t->attr[UNIFORM_SCHEME] = g->scheme;
    t->attr[UNIFORM_GROUP] = g->group;
    int64_t n = p->rows * p->cols, k = 0;
    for (int64_t i = 0; p->mask && i < n; i++)
        if (p->mask[i]) p->codes[k++] = p->codes[i];
    int64_t bytes = (int64_t)uniform_code_bytes(kept, g->bits, g->scheme);
    uint8_t *codes = term_blob_new(t, UNIFORM_CODES, NUM_U8, bytes, err);
    void *stored = codes ? term_blob_new(t, UNIFORM_SCALES, g->scale, scales, err) : NULL;
    if (!stored || !pack_zeros(p, scales, t, err)) {
        term_free(t);
        return NULL;
    }
    codes_pack(p->codes, kept, g->bits, g->scheme, codes);
    num_from_f32(g->scale, p->scales, stored, (size_t)scales);
    return t;
}

term *solver_quantize(const compress_solver *s, solver_problem *p, int64_t kept, base_err *err) {
    int64_t scales = uniform_scale_count(p->rows, p->cols, p->grid.group);
    p->codes = base_big_alloc((size_t)(p->rows * p->cols), 1, "codes of a layer", err);
    p->scales = p->codes ? base_big_alloc((size_t)scales, sizeof *p->scales, "scales of a layer", err) : NULL;
    p->zeros = p->scales ? base_big_alloc((size_t)scales, sizeof *p->zeros, "zero points of a layer", err) : NULL;
    term *t = p->zeros && solve(s, p, scales, err) ? solver_pack(p, scales, kept, err) : NULL;
    base_big_free(p->codes);
    base_big_free(p->scales);
    base_big_free(p->zeros);
    p->codes = NULL;
    p->scales = p->zeros = NULL;
    return t;
}
