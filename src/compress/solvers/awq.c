// awq: activation-aware weight quantisation - a search for the scales of the inputs, and one for the clipping of
// groups.
//
// After mit-han-lab/llm-awq (auto_scale.py, auto_clip.py, quantizer.py): scales s = mean|x|^ratio for the ratios
// i/20, at least 1e-4, over sqrt(max s min s); the ratio of least output error of Q(W s)/s wins. The quantiser's range
// is max - min of a group whether or not it holds 0, and the zero point is clamped to the codes. The output errors
// are d^T H d on the inputs' second moment. Scales and zero points are computed in float32 in the authors' order,
// because min/scale is often exactly a half and its rounding decides the zero point. Grids of other types (tables,
// signs, ternary), and those whose scales are bytes, are fitted to the clipped weights as they are without clipping.
#include "compress/solvers/awq.h"

#include <math.h>
#include <string.h>

enum { CLIP_GRID = 20, CLIP_STEPS = 10 }; // thresholds 1 - i/20, down to half

static int64_t group_length(const grid_spec *g, int64_t cols) {
    return g->group > 0 ? g->group : cols;
}

// The values of one group, clipped at `most`; pruned ones do not count.
typedef struct run {
    const float *x;
    const uint8_t *mask; // NULL: all count
    int64_t count;
    float most;
} run;

static float clipped(const run *r, int64_t i) {
    return r->x[i] > r->most ? r->most : r->x[i] < -r->most ? -r->most : r->x[i];
}

static grid_param fit(const grid_spec *g, const run *r) {
    float low = INFINITY, high = -INFINITY, top = (float)grid_max_code(g);
    for (int64_t i = 0; i < r->count; i++) {
        float x = clipped(r, i);
        if (r->mask && !r->mask[i]) continue;
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    if (low > high) low = high = 0;
    grid_param p;
    if (g->scheme == UNIFORM_SYM) {
        float most = -low > high ? -low : high, middle = (float)((int64_t)1 << (g->bits - 1));
        p = (grid_param){(most > 1e-5f ? most : 1e-5f) / (middle > 1 ? middle - 1 : 1), middle};
    } else {
        p.scale = (high - low > 1e-5f ? high - low : 1e-5f) / top;
        p.zero = 0; // after the scale is rounded to its stored type
    }
    p.scale = scales_round(g->form, g->scale, g->outer, p.scale);
    if (g->scheme != UNIFORM_SYM && p.scale > 0) {
        float zero = -rintf(low / p.scale);
        p.zero = zero < 0 ? 0 : zero > top ? top : zero;
    }
    return p;
}

static grid_code encode(const grid_spec *g, grid_param p, float x) {
    float top = (float)grid_max_code(g), code = p.scale > 0 ? rintf(x / p.scale) + p.zero : p.zero;
    return (grid_code)(code < 0 ? 0 : code > top ? top : code);
}

static float decode(grid_param p, grid_code code) {
    return ((float)code - p.zero) * p.scale;
}

// sum over rows of d H d^T per row into e (NULL: the sum of all is returned).
static double row_errors(const float *d, const float *h, int64_t ldh, int64_t rows, int64_t n, float *dh, double *e) {
    double total = 0;
    num_gemm(false, false, rows, n, n, 1, d, n, h, ldh, 0, dh, n);
    for (int64_t r = 0; r < rows; r++) {
        double one = num_dot(dh + r * n, d + r * n, (size_t)n);
        if (e) e[r] = one;
        total += one;
    }
    return total;
}

// ---- scales ----------------------------------------------------------------------------------------

static void ratio_scales(const float *mean_abs, int64_t n, double ratio, float *s) {
    float least = INFINITY, most = 0;
    for (int64_t i = 0; i < n; i++) {
        float v = powf(mean_abs[i], (float)ratio);
        s[i] = v > 1e-4f ? v : 1e-4f;
        least = s[i] < least ? s[i] : least;
        most = s[i] > most ? s[i] : most;
    }
    float middle = sqrtf(most * least);
    for (int64_t i = 0; i < n; i++) s[i] /= middle;
}

// d = W - Q(W s) / s for the rows of one convolution group; x is a row of scratch.
static void scaled_error(const awq_search *a, const float *w, const float *s, int64_t rows, float *x, float *d) {
    int64_t length = group_length(&a->grid, a->cols);
    for (int64_t r = 0; r < rows; r++, w += a->cols, d += a->cols) {
        for (int64_t c = 0; c < a->cols; c++) x[c] = w[c] * s[c];
        for (int64_t c = 0; c < a->cols; c += length) {
            run one = {x + c, NULL, a->cols - c < length ? a->cols - c : length, INFINITY};
            grid_param p = fit(&a->grid, &one);
            for (int64_t i = c; i < c + one.count; i++) d[i] = w[i] - decode(p, encode(&a->grid, p, x[i])) / s[i];
        }
    }
}

static double error_at(const awq_search *a, double ratio, float *d, float *dh, float *x) {
    int64_t rows = a->rows / a->groups;
    double total = 0;
    for (int64_t g = 0; g < a->groups; g++) {
        float *s = a->scales + g * a->cols;
        ratio_scales(a->mean_abs + g * a->cols, a->cols, ratio, s);
        scaled_error(a, a->w + g * rows * a->cols, s, rows, x, d);
        total += row_errors(d, a->h + g * a->cols * a->cols, a->cols, rows, a->cols, dh, NULL);
    }
    return total / (double)a->rows;
}

bool awq_find_scales(awq_search *a, base_err *err) {
    if (a->grid.scheme != UNIFORM_SYM && a->grid.scheme != UNIFORM_ASYM)
        return base_fail(err, "awq searches scales for integer grids only");
    int64_t n = a->rows / a->groups * a->cols;
    float *d = base_big_alloc((size_t)(2 * n + a->cols), sizeof *d, "the search for scales", err);
    if (!d) return false;
    double best = INFINITY;
    bool ok = true;
    for (int i = 0; ok && i < AWQ_RATIOS; i++) {
        ok = base_go_on(a->job, err);
        if (!ok) break;
        a->history[i] = error_at(a, i / (double)AWQ_RATIOS, d, d + n, d + 2 * n);
        if (a->history[i] < best) best = a->history[i], a->ratio = i / (double)AWQ_RATIOS;
    }
    if (ok && !isfinite(best))
        ok = base_fail(err, "%s: every ratio gives an output error that is not finite", a->layer);
    for (int64_t g = 0; ok && g < a->groups; g++)
        ratio_scales(a->mean_abs + g * a->cols, a->cols, a->ratio, a->scales + g * a->cols);
    base_big_free(d);
    return ok;
}

// ---- clipping --------------------------------------------------------------------------------------

// One group of inputs of one convolution group: all its rows at once.
typedef struct clip {
    solver_problem *p;
    int64_t row, rows, at, count; // rows from `row`, inputs from `at`
    int64_t index, per_row;       // which scale of a row
    const float *h;               // [cols x cols] of the convolution group
    float *most, *best;           // [rows] largest |w|, and the threshold taken
    double *error, *least;        // [rows]
    float *d, *dh;                // [rows x count]
    bool integers;                // the authors' quantiser, else the grid as it is
    float *kept;                  // [count]
} clip;

static run row_run(const clip *k, int64_t r, float most) {
    int64_t first = (k->row + r) * k->p->cols + k->at;
    return (run){k->p->r + first, k->p->mask ? k->p->mask + first : NULL, k->count, most};
}

static bool fit_clipped(const clip *k, const run *one, grid_param *q, base_err *err) {
    int64_t n = 0;
    if (k->integers) {
        *q = fit(&k->p->grid, one);
        return true;
    }
    for (int64_t i = 0; i < one->count; i++)
        if (!one->mask || one->mask[i]) k->kept[n++] = clipped(one, i);
    return grid_fit(&k->p->grid, k->kept, n, k->p->job, q, err);
}

static grid_code encode_clipped(const clip *k, const run *one, grid_param q, int64_t i) {
    float x = clipped(one, i);
    grid_code code;
    if (k->integers) return encode(&k->p->grid, q, x);
    grid_encode(&k->p->grid, q, &x, 1, &code);
    return code;
}

static bool try_threshold(clip *k, int step, base_err *err) {
    for (int64_t r = 0; r < k->rows; r++) {
        run one = row_run(k, r, k->most[r] * (float)(1 - step / (double)CLIP_GRID));
        grid_param q = {0, 0};
        float *d = k->d + r * k->count;
        if (!fit_clipped(k, &one, &q, err)) return false;
        for (int64_t i = 0; i < k->count; i++) {
            grid_code code = encode_clipped(k, &one, q, i);
            float value = k->integers ? decode(q, code) : grid_value(&k->p->grid, q, code);
            d[i] = one.mask && !one.mask[i] ? 0 : one.x[i] - value;
        }
    }
    row_errors(k->d, k->h + k->at * k->p->cols + k->at, k->p->cols, k->rows, k->count, k->dh, k->error);
    for (int64_t r = 0; r < k->rows; r++)
        if (k->error[r] < k->least[r]) {
            k->least[r] = k->error[r];
            k->best[r] = k->most[r] * (float)(1 - step / (double)CLIP_GRID);
        }
    return true;
}

static bool clip_group(clip *k, float *most, base_err *err) {
    solver_problem *p = k->p;
    for (int64_t r = 0; r < k->rows; r++) {
        run one = row_run(k, r, INFINITY);
        k->most[r] = 0;
        for (int64_t i = 0; i < one.count; i++)
            if (!one.mask || one.mask[i]) k->most[r] = fabsf(one.x[i]) > k->most[r] ? fabsf(one.x[i]) : k->most[r];
        k->best[r] = k->most[r];
        k->least[r] = INFINITY;
    }
    for (int step = 0; step < CLIP_STEPS; step++) {
        if (!base_go_on(p->job, err) || !try_threshold(k, step, err)) return false;
    }
    for (int64_t r = 0; r < k->rows; r++) {
        int64_t slot = (k->row + r) * k->per_row + k->index, first = (k->row + r) * p->cols + k->at;
        run one = row_run(k, r, k->best[r]);
        grid_param q = {0, 0};
        if (!fit_clipped(k, &one, &q, err)) return false;
        p->scales[slot] = q.scale;
        p->zeros[slot] = q.zero;
        if (most) most[slot] = k->best[r];
        for (int64_t i = 0; i < k->count; i++) p->codes[first + i] = encode_clipped(k, &one, q, i);
    }
    return true;
}

bool awq_clip(solver_problem *p, float *most, base_err *err) {
    if (p->grid.group == GROUP_TENSOR)
        return base_fail(err, "awq clips the weights that share a scale within a row; one scale for the whole matrix "
                              "leaves it nothing to choose");
    int64_t rows = p->rows / p->groups, length = group_length(&p->grid, p->cols);
    bool integers = !p->grid.table && (p->grid.scheme == UNIFORM_SYM || p->grid.scheme == UNIFORM_ASYM) &&
                    p->grid.form != SCALE_E8M0 && p->grid.form != SCALE_E4M3;
    clip k = {.p = p, .rows = rows, .per_row = uniform_groups_per_row(p->cols, p->grid.group), .integers = integers};
    k.d = base_big_alloc((size_t)(2 * rows * length + 2 * rows + length), sizeof *k.d, "the search for clipping", err);
    k.error = k.d ? base_big_alloc((size_t)rows, 2 * sizeof *k.error, "the search for clipping", err) : NULL;
    bool ok = k.error != NULL;
    if (ok) {
        k.dh = k.d + rows * length;
        k.most = k.dh + rows * length;
        k.best = k.most + rows;
        k.kept = k.best + rows;
        k.least = k.error + rows;
    }
    for (int64_t g = 0; ok && g < p->groups; g++)
        for (int64_t c = 0, index = 0; ok && c < p->cols; c += length, index++) {
            k.row = g * rows;
            k.at = c;
            k.index = index;
            k.count = p->cols - c < length ? p->cols - c : length;
            k.h = p->h + g * p->cols * p->cols;
            ok = clip_group(&k, most, err);
        }
    base_big_free(k.d);
    base_big_free(k.error);
    return ok;
}

static bool solve(solver_problem *p, base_err *err) {
    if (p->diagonal) return solver_rtn.solve(p, err); // within a row of an embedding no input outweighs another
    if (p->fitted) return solver_rtn.solve(p, err);   // what a clipped weight goes to is the grid's last level
    return awq_clip(p, NULL, err);
}

const compress_solver solver_awq = {
    .name = "awq",
    .help = "round to nearest on groups clipped for least output error",
    .about =
        "AWQ's second half: each group is clipped at max|w| (1 - i/20), i = 0..9, whichever gives the least\n"
        "d^T H d on the group's own inputs. Its first half is the step scale{method=\"awq\"}, which goes before.\n"
        "rule(\".*\", scale{method=\"awq\", bits=4, group=64}, quantize{solver=\"awq\", sym=false, bits=4, group=64})",
    .source = "AWQ (Lin et al., MLSys 2024, arXiv 2306.00978); auto_clip.py of mit-han-lab/llm-awq",
    .cost = "calibration inputs; 10 outputs inputs group operations a layer",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
