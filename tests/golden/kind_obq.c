// obq_obc files: exact greedy quantisation and pruning.
#include "layers.h"

#include "compress/solvers/obq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHAKES = 4 };

typedef struct obq_case {
    const golden_layer *l;
    const char *v;
    double damp;
    // Of codes.
    golden_quant t;
    golden_grid grid;
    // Of masks.
    int64_t *mask; // 1: gone
    float *wout;
    int64_t block, n, m, gone; // gone: blocks that go, unless n of every m
} obq_case;

typedef struct obq_result {
    float *q;
    double equal;
    int64_t taken;
} obq_result;

static bool solve_codes(const golden_layer *l, const obq_case *c, obq_result *out, base_err *err) {
    int64_t n = l->rows * l->cols;
    solver_problem p = {.layer = c->v, .r = l->w, .h = l->h, .rows = l->rows, .cols = l->cols, .groups = 1};
    p.grid = c->grid.spec;
    p.codes = base_calloc((size_t)n, sizeof *p.codes);
    p.scales = base_calloc((size_t)l->rows, 2 * sizeof *p.scales);
    p.zeros = p.scales + l->rows;
    float *w = base_calloc((size_t)n, sizeof *w);
    // Dead inputs are looked for behind the damping, and before the ranges.
    for (int64_t i = 0; i < n; i++) {
        int64_t col = i % l->cols;
        w[i] = c->damp <= 0 && l->h[col * l->cols + col] == 0 ? 0 : l->w[i];
    }
    golden_ranges(&c->t, &c->grid, w, l->rows, l->cols, p.scales, p.zeros, &out->taken);
    bool ok = obq_quantize(&p, c->damp, 1, out->taken > 0, err);
    int64_t equal = 0;
    for (int64_t i = 0; ok && i < n; i++) {
        out->q[i] = grid_value(&p.grid, (grid_param){p.scales[i / l->cols], p.zeros[i / l->cols]}, p.codes[i]);
        equal += p.codes[i] == c->t.code[i] || out->q[i] == c->t.q[i];
    }
    out->equal = (double)equal / (double)n;
    free(p.codes);
    free(p.scales);
    free(w);
    return ok;
}

static bool solve_mask(const golden_layer *l, const obq_case *c, obq_result *out, base_err *err) {
    int64_t n = l->rows * l->cols, equal = 0;
    obq_prune_problem p = {.layer = c->v,
                           .w = l->w,
                           .h = l->h,
                           .rows = l->rows,
                           .cols = l->cols,
                           .damp = c->damp,
                           .ridge = 1,
                           .block = c->block,
                           .n = c->n,
                           .m = c->m,
                           .out = out->q,
                           .sparsity = ((double)c->gone + 0.5) / ((double)n / (double)c->block)};
    p.mask = base_calloc((size_t)n, 1);
    bool ok = obq_prune(&p, err);
    for (int64_t i = 0; ok && i < n; i++) equal += p.mask[i] == !c->mask[i];
    out->equal = (double)equal / (double)n;
    free(p.mask);
    return ok;
}

static bool solve(const golden_layer *l, const obq_case *c, obq_result *out, base_err *err) {
    return c->mask ? solve_mask(l, c, out, err) : solve_codes(l, c, out, err);
}

static double spread_of(const obq_case *c, double error) {
    double spread = 0;
    obq_result r = {.q = base_calloc((size_t)(c->l->rows * c->l->cols), sizeof *r.q)};
    for (uint64_t s = 1; s <= SHAKES; s++) {
        golden_layer shaken;
        base_err err = {0};
        golden_layer_shake(c->l, s, &shaken, &err);
        if (shaken.w && shaken.h && solve(&shaken, c, &r, &err))
            spread = fmax(spread, fabs(golden_ratio(golden_layer_error(c->l, r.q), error) - 1));
        base_big_free(shaken.w);
        base_big_free(shaken.h);
    }
    free(r.q);
    return spread;
}

// Output error at most 1.01 of the reference's; where H is so ill-conditioned that our own moves by more when it is
// shaken, by no more than that.
static void run(const obq_case *c, const float *theirs) {
    obq_result r = {.q = base_calloc((size_t)(c->l->rows * c->l->cols), sizeof *r.q)};
    base_err err = {0};
    char why[96] = "";
    double reference = golden_layer_error(c->l, theirs);
    if ((c->l->n && !golden_agrees(c->l->f, c->v, "outerr", reference, c->l->whole, &err)) ||
        !solve(c->l, c, &r, &err)) {
        golden_verdict(c->l->f, c->v, NAN, NAN, false, err.text);
    } else {
        double error = golden_layer_error(c->l, r.q), ratio = golden_ratio(error, reference);
        bool good = ratio <= 1.01;
        if (r.taken)
            snprintf(why, sizeof why, "%lld ranges as in the file: ties of the search, or no negative weight",
                     (long long)r.taken);
        if (!good) {
            double spread = spread_of(c, error);
            good = ratio <= 1 + spread;
            if (good) snprintf(why, sizeof why, "ill-conditioned: shaken, ours moves by %.2g", spread);
        }
        golden_verdict(c->l->f, c->v, r.equal, ratio, good, why);
    }
    free(r.q);
}

static void check_codes(obq_case *c) {
    const golden_layer *l = c->l;
    golden_grid grids[GOLDEN_GRIDS];
    base_err err = {0};
    int64_t n = l->rows * l->cols;
    float *zeroed = base_calloc((size_t)n, sizeof *zeroed);
    for (int64_t i = 0; i < n; i++) {
        int64_t col = i % l->cols;
        zeroed[i] = c->damp <= 0 && l->h[col * l->cols + col] == 0 ? 0 : l->w[i];
    }
    if (!golden_quant_open(&c->t, l->f, c->v, l->rows, l->cols, &err))
        golden_verdict(l->f, c->v, NAN, NAN, false, err.text);
    else if (c->t.groups != 1 || c->t.tensor)
        golden_skip(l->f, c->v, "options not stated: its scales are not one a row");
    else if (!golden_grids(&c->t, c->v, zeroed, zeroed, l->rows, l->cols, true, grids))
        golden_skip(l->f, c->v, "options not stated: no grid of 1 to 8 bits gives its scales");
    else {
        c->grid = grids[0];
        run(c, c->t.q);
    }
    golden_quant_close(&c->t);
    free(zeroed);
}

// Whether aligned runs of `size` of each row go or stay as a whole.
static bool whole_blocks(const int64_t *mask, int64_t n, int64_t cols, int64_t size) {
    for (int64_t i = 0; cols % size == 0 && i < n; i++)
        if (mask[i] != mask[i / size * size]) return false;
    return cols % size == 0;
}

static void check_mask(obq_case *c) {
    int64_t n = c->l->rows * c->l->cols, cols = c->l->cols, percent = 0;
    base_err err = {0};
    c->block = c->m = 1;
    c->mask = golden_codes(c->l->f, c->v, "mask", n, 2, &err);
    c->wout = c->mask ? golden_reals(c->l->f, c->v, "Wout", n, &err) : NULL;
    for (int64_t i = 0; c->mask && i < n; i++) c->gone += c->mask[i];
    // Of a share the authors take the number of blocks that is not less; what was 0 before is in the mask as well.
    bool pair = golden_pair(c->v, "nm", &c->n, &c->m), blocks = golden_pair(c->v, "blk", &c->block, &percent);
    if (!c->wout) {
        golden_verdict(c->l->f, c->v, NAN, NAN, false, err.text);
    } else {
        if (!blocks) percent = golden_number(c->v, "u", 0);
        bool named = pair || (percent > 0 && percent <= 100);
        if (!named && !golden_runs(c->mask, c->l->rows, cols, &c->n, &c->m)) c->n = 0, c->m = 1;
        for (int64_t size = 2; !named && !c->n && size <= 64 && 2 * size <= cols; size++)
            if (whole_blocks(c->mask, n, cols, size)) c->block = size;
        if (named)
            c->gone = (int64_t)ceil((double)(c->l->rows * (cols / c->block)) * ((double)percent / 100));
        else
            c->gone /= c->block;
        if ((c->n && cols % c->m) || cols % c->block || c->block > 64)
            golden_skip(c->l->f, c->v, "its runs do not divide the inputs, which the reference is not made for");
        else
            run(c, c->wout);
    }
    base_big_free(c->wout);
    free(c->mask);
}

void golden_obq(const golden_file *f) {
    golden_layer l;
    base_err err = {0};
    size_t count;
    double damp = 0;
    if (!golden_layer_open(&l, f, &err) || !golden_scalar_of(f, NULL, "rel_damp", &damp, &err)) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        char **v = golden_variants_of(f, (const char *const[]){"code", "mask", "Wout", "scale"}, 4, &count);
        for (size_t i = 0; i < count; i++) {
            obq_case c = {.l = &l, .v = v[i], .damp = damp};
            if (golden_array(f, v[i], "code") || golden_array(f, v[i], "scale"))
                check_codes(&c);
            else
                check_mask(&c);
        }
        if (!count) golden_skip(f, NULL, "the file has no variant");
        base_names_free(v, count);
    }
    golden_layer_close(&l);
}
