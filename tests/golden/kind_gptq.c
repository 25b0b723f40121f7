// gptq and rtn files: IST-DASLab's GPTQ and its Quantizer.
#include "layers.h"

#include "compress/solvers/gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHAKES = 4 };

// One run of the solver: what came of it, and how it compares.
typedef struct gptq_run {
    float *q;         // [rows x cols]
    grid_code *codes; // [rows x cols]
    double equal, error, ranges;
    int64_t taken;
} gptq_run;

static bool open_run(gptq_run *r, int64_t n) {
    *r = (gptq_run){.q = base_calloc((size_t)n, sizeof *r->q), .codes = base_calloc((size_t)n, sizeof *r->codes)};
    return true;
}
static void close_run(gptq_run *r) {
    free(r->q);
    free(r->codes);
}

static void zero_dead(const golden_layer *l, float *w) {
    for (int64_t i = 0; i < l->rows * l->cols; i++) {
        int64_t c = i % l->cols;
        if (l->h[c * l->cols + c] == 0) w[i] = 0;
    }
}

// Codes equal, or the same value with another zero point (an all-zero group has an arbitrary one).
static double equal_share(const golden_quant *t, const grid_code *ours, const float *q, int64_t n) {
    int64_t equal = 0;
    for (int64_t i = 0; i < n; i++) equal += ours[i] == t->code[i] || (q[i] == 0 && t->q[i] == 0);
    return (double)equal / (double)n;
}

// Solves for grid g on the weights and moment of l (maybe shaken). Ranges known beforehand are compared, and the file's
// taken where they are as good.
static bool solve(const golden_layer *l, const golden_quant *t, const golden_grid *g, const char *v, gptq_run *out,
                  base_err *err) {
    int64_t n = l->rows * l->cols, group = g->spec.group > 0 && g->spec.group < l->cols ? g->spec.group : l->cols,
            groups = (l->cols + group - 1) / group;
    bool known = groups == 1 || g->fixed;
    gptq_options o = {.damp = 0.01, .block = 128, .act_order = g->act, .static_groups = g->fixed};
    float *scales = base_calloc((size_t)(l->rows * groups), 2 * sizeof *scales), *zeros = scales + l->rows * groups;
    float *w = base_calloc((size_t)n, sizeof *w);
    int64_t *order = base_calloc((size_t)l->cols, 2 * sizeof *order), *place = order + l->cols;
    memcpy(w, l->w, (size_t)n * sizeof *w);
    if (g->spec.group > 0) zero_dead(l, w);
    out->ranges = known ? golden_ranges(t, g, w, l->rows, l->cols, scales, zeros, &out->taken) : 1;
    o.fitted = out->taken > 0; // otherwise the solver's own way is what is checked
    solver_problem p = {.layer = v,
                        .r = l->w,
                        .h = l->h,
                        .rows = l->rows,
                        .cols = l->cols,
                        .groups = 1,
                        .grid = g->spec,
                        .codes = out->codes,
                        .scales = scales,
                        .zeros = zeros};
    bool ok = gptq_solve(&p, &o, order, err);
    for (int64_t i = 0; ok && i < l->cols; i++) place[order[i]] = i;
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t col = i % l->cols, at = (o.act_order && !o.static_groups ? place[col] : col) / group;
        grid_param gp = {scales[i / l->cols * groups + at], zeros[i / l->cols * groups + at]};
        out->q[i] = grid_value(&g->spec, gp, out->codes[i]);
    }
    free(scales);
    free(w);
    free(order);
    return ok;
}

// How far our own answer moves when H and W are shaken as the vectors' own self_agree was measured: the least share of
// codes that stay, and the largest change of the error.
static void conditioning(const golden_layer *l, const golden_quant *t, const golden_grid *g, const char *v,
                         const gptq_run *ours, double *agree, double *spread) {
    int64_t n = l->rows * l->cols;
    for (uint64_t s = 1; s <= SHAKES; s++) {
        golden_layer shaken;
        gptq_run r;
        base_err err = {0};
        golden_layer_shake(l, s, &shaken, &err);
        open_run(&r, n);
        if (shaken.w && shaken.h && solve(&shaken, t, g, v, &r, &err)) {
            int64_t same = 0;
            for (int64_t i = 0; i < n; i++) same += r.codes[i] == ours->codes[i] || r.q[i] == ours->q[i];
            double off = fabs(golden_ratio(golden_layer_error(l, r.q), ours->error) - 1);
            *agree = fmin(*agree, (double)same / (double)n);
            *spread = fmax(*spread, off);
        }
        close_run(&r);
        base_big_free(shaken.w);
        base_big_free(shaken.h);
    }
}

static void judge(const golden_layer *l, const golden_quant *t, const golden_grid *g, const char *v,
                  const gptq_run *r) {
    double theirs = golden_layer_error(l, t->q), ratio = golden_ratio(r->error, theirs), self = 1, moved = 1;
    // Codes 99 %, error 0.5 % (1 % where H is nearly singular); never more than the reference has with itself.
    double wanted = 0.99, slack = l->dead || (l->n && l->n < l->cols) ? 0.01 : 0.005;
    base_err err = {0};
    if ((l->n && !golden_agrees(l->f, v, "outerr", theirs, l->whole, &err)) ||
        !golden_scalar_of(l->f, v, "self_agree", &self, &err) ||
        !golden_scalar_of(l->f, v, "self_outerr_ratio", &moved, &err)) {
        golden_verdict(l->f, v, NAN, NAN, false, err.text);
        return;
    }
    wanted = fmin(wanted, self);
    slack = fmax(slack, fabs(moved - 1));
    char why[96] = "";
    bool close = r->equal >= wanted && fabs(ratio - 1) <= slack, good = r->ranges == 1;
    if (r->taken)
        snprintf(why, sizeof why, "%lld ranges as in the file: ties of the search, or no negative weight",
                 (long long)r->taken);
    if (!close && ratio <= 1) {
        snprintf(why, sizeof why, "better");
    } else if (!close) {
        double agree = 1, spread = 0;
        conditioning(l, t, g, v, r, &agree, &spread);
        close = r->equal >= fmin(wanted, agree) && fabs(ratio - 1) <= fmax(slack, spread);
        if (close)
            snprintf(why, sizeof why, "ill-conditioned: shaken, ours keeps %.2f %% and moves by %.2g", 100 * agree,
                     spread);
        else
            snprintf(why, sizeof why, "neither equal nor better");
    } else if (!good) {
        snprintf(why, sizeof why, "%.2f %% of the ranges equal", 100 * r->ranges);
    }
    golden_verdict(l->f, v, r->equal, ratio, (close && good) || ratio <= 1, why);
}

// Runs every grid that comes into question and keeps the one nearest to the file.
static bool check_grids(const golden_layer *l, const golden_quant *t, const char *v, const golden_grid *grids,
                        int count, base_err *err) {
    int64_t n = l->rows * l->cols;
    int best = -1;
    gptq_run kept = {0};
    for (int i = 0; i < count; i++) {
        gptq_run r;
        open_run(&r, n);
        if (!solve(l, t, &grids[i], v, &r, err)) {
            close_run(&r);
            close_run(&kept);
            return false;
        }
        r.equal = equal_share(t, r.codes, r.q, n);
        if (best < 0 || r.equal > kept.equal) {
            gptq_run swap = kept;
            kept = r;
            r = swap;
            best = i;
        }
        close_run(&r);
    }
    kept.error = golden_layer_error(l, kept.q);
    judge(l, t, &grids[best], v, &kept);
    close_run(&kept);
    return true;
}

static void check_variant(const golden_layer *l, const float *zeroed, const char *v) {
    golden_quant t;
    golden_grid grids[GOLDEN_GRIDS];
    base_err err = {0};
    if (!golden_quant_open(&t, l->f, v, l->rows, l->cols, &err)) {
        golden_verdict(l->f, v, NAN, NAN, false, err.text);
    } else if (!t.group) {
        golden_skip(l->f, v, "options not stated: the width of its groups");
    } else {
        int count = golden_grids(&t, v, l->w, zeroed, l->rows, l->cols, false, grids);
        if (!count)
            golden_skip(l->f, v, "options not stated: no grid of 1 to 8 bits gives its scales");
        else if (!check_grids(l, &t, v, grids, count, &err))
            golden_verdict(l->f, v, NAN, NAN, false, err.text);
    }
    golden_quant_close(&t);
}

void golden_gptq(const golden_file *f) {
    golden_layer l;
    base_err err = {0};
    size_t count;
    if (!golden_layer_open(&l, f, &err)) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        float *zeroed = base_calloc((size_t)(l.rows * l.cols), sizeof *zeroed);
        memcpy(zeroed, l.w, (size_t)(l.rows * l.cols) * sizeof *zeroed);
        zero_dead(&l, zeroed);
        char **v = golden_variants_of(f, (const char *const[]){"code", "scale", "zero"}, 3, &count);
        for (size_t i = 0; i < count; i++) check_variant(&l, zeroed, v[i]);
        if (!count) golden_skip(f, NULL, "the file has no variant");
        base_names_free(v, count);
        free(zeroed);
    }
    golden_layer_close(&l);
}

// ---- round to nearest ------------------------------------------------------------------------------

typedef struct rtn_result {
    double equal, ratio, ranges;
    int64_t taken;
} rtn_result;

static bool nearest(const golden_file *f, const golden_quant *t, const golden_grid *g, const float *w, int64_t rows,
                    int64_t cols, const char *v, rtn_result *out, base_err *err) {
    int64_t n = rows * cols, ranges = t->tensor ? 1 : rows * t->groups;
    solver_problem p = {.layer = v, .r = w, .rows = rows, .cols = cols, .groups = 1, .grid = g->spec};
    p.codes = base_calloc((size_t)n, sizeof *p.codes);
    p.scales = base_calloc((size_t)ranges, sizeof *p.scales);
    p.zeros = base_calloc((size_t)ranges, sizeof *p.zeros);
    float *q = base_calloc((size_t)n, sizeof *q);
    out->ranges = golden_ranges(t, g, w, rows, cols, p.scales, p.zeros, &out->taken);
    p.fitted = out->taken > 0; // otherwise the solver's own way is what is checked
    bool ok = compress_solver_find("rtn")->solve(&p, err);
    double ours = 0, theirs = 0;
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t at = t->tensor ? 0 : i / cols * t->groups + t->index[i % cols];
        q[i] = grid_value(&p.grid, (grid_param){p.scales[at], p.zeros[at]}, p.codes[i]);
        ours += ((double)w[i] - (double)q[i]) * ((double)w[i] - (double)q[i]);
        theirs += ((double)w[i] - (double)t->q[i]) * ((double)w[i] - (double)t->q[i]);
    }
    ok = ok && golden_agrees(f, v, "sqerr", theirs, 0, err);
    out->equal = equal_share(t, p.codes, q, n);
    out->ratio = golden_ratio(ours, theirs);
    free(p.codes);
    free(p.scales);
    free(p.zeros);
    free(q);
    return ok;
}

static bool check_nearest(const golden_file *f, const golden_quant *t, const float *w, int64_t rows, int64_t cols,
                          const char *v, base_err *err) {
    golden_grid grids[GOLDEN_GRIDS];
    rtn_result best = {.equal = -1}, r;
    bool mse = false;
    int count = golden_grids(t, v, w, w, rows, cols, true, grids);
    for (int i = 0; i < count; i++) {
        if (!nearest(f, t, &grids[i], w, rows, cols, v, &r, err)) return false;
        if (r.equal > best.equal) best = r, mse = grids[i].spec.mse;
    }
    if (!count) {
        golden_skip(f, v, "options not stated: no grid of 1 to 8 bits gives its scales");
        return true;
    }
    bool good = best.equal >= (mse ? 0.999 : 0.9999) && fabs(best.ratio - 1) <= 1e-3 && best.ranges == 1;
    char why[96] = "";
    if (best.taken)
        snprintf(why, sizeof why, "%lld ranges as in the file: ties of the search, or no negative weight",
                 (long long)best.taken);
    else if (best.ranges < 1)
        snprintf(why, sizeof why, "%.2f %% of the ranges equal", 100 * best.ranges);
    golden_verdict(f, v, best.equal, best.ratio, good || best.ratio <= 1, why);
    return true;
}

void golden_rtn(const golden_file *f) {
    base_err err = {0};
    int64_t rows, cols;
    size_t count;
    float *w = golden_weights(f, &rows, &cols, &err);
    if (!w) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
        return;
    }
    char **v = golden_variants_of(f, (const char *const[]){"code", "scale", "zero"}, 3, &count);
    for (size_t i = 0; i < count; i++) {
        golden_quant t;
        base_err own = {0};
        bool open = golden_quant_open(&t, f, v[i], rows, cols, &own);
        if (open && !t.group)
            golden_skip(f, v[i], "options not stated: the width of its groups");
        else if (!open || !check_nearest(f, &t, w, rows, cols, v[i], &own))
            golden_verdict(f, v[i], NAN, NAN, false, own.text);
        golden_quant_close(&t);
    }
    if (!count) golden_skip(f, NULL, "the file has no variant");
    base_names_free(v, count);
    base_big_free(w);
}
