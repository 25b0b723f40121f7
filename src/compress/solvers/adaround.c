// adaround: learn for every weight whether to round down or up.
//
// Nagel et al.: Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020 (arXiv 2004.10568). Codes are
// floor(w/s) + h(V), h a stretched sigmoid clipped to [0, 1] (zeta 1.1, gamma -0.1); V minimises
//     tr(D H D^T) + weight * sum(1 - |2 h(V) - 1|^b),   D = Q(V) - W,
// with Adam, the exponent b falling from 20 to 2 after a warm-up without the regulariser, as in the authors' and
// BRECQ's code. Those draw batches of inputs; here the whole calibration set enters through H, so a step has no noise
// and fewer are needed. A last pass flips single roundings while that lowers the true error. On levels that are not
// even (tables, signs, ternary) down and up are the two levels around a weight.
#include "compress/solvers/adaround.h"
#include "compress/solvers/levels.h"

#include <math.h>
#include <string.h>

#define ZETA 1.1f
#define GAMMA (-0.1f)
enum { ROW_CHUNK = 4, FLIP_PASSES = 20, WORTH_THREADS = 1 << 14 };

typedef struct ada_work {
    const solver_problem *p;
    const adaround_options *o;
    int64_t length, per_row;  // columns that share a scale; scales a row (0: one in all)
    float *v, *m1, *m2;       // [rows x cols] variables and Adam's moments
    float *d, *dh;            // [rows x cols] D, and D H
    float *base;              // [rows x cols] floor(w/s) as a code, clamped; of uneven levels their place in `levels`
    const level_list *levels; // NULL: an even grid
    float *low, *gap;         // [rows x cols] of uneven levels: the value below, and the distance of that above
} ada_work;

static grid_param param_of(const ada_work *k, int64_t row, int64_t col) {
    int64_t at = k->per_row ? row * k->per_row + col / k->length : 0;
    return (grid_param){k->p->scales[at], k->p->zeros[at]};
}

// What rounding up instead of down adds.
static float step_of(const ada_work *k, int64_t at) {
    return k->levels ? k->gap[at] : param_of(k, at / k->p->cols, at % k->p->cols).scale;
}

static float stretch(float v) {
    float h = (ZETA - GAMMA) / (1 + expf(-v)) + GAMMA;
    return h < 0 ? 0 : h > 1 ? 1 : h;
}

static bool is_kept(const solver_problem *p, int64_t at) {
    return !p->mask || p->mask[at];
}

// V with h(V) = the fraction that is left.
static float start_of(float rest) {
    rest = rest < 0.001f ? 0.001f : rest > 0.999f ? 0.999f : rest;
    return -logf((ZETA - GAMMA) / (rest - GAMMA) - 1);
}

static void begin_levels(const ada_work *k) {
    const solver_problem *p = k->p;
    const level_list *l = k->levels;
    for (int64_t at = 0; at < p->rows * p->cols; at++) {
        grid_param g = param_of(k, at / p->cols, at % p->cols);
        int below = levels_below(l, levels_unit(l, g, p->r[at]));
        k->base[at] = (float)below;
        k->low[at] = levels_value(l, g, below);
        k->gap[at] = levels_value(l, g, below + 1) - k->low[at];
        k->v[at] = start_of(k->gap[at] > 0 ? (p->r[at] - k->low[at]) / k->gap[at] : 0);
    }
}

static void begin(const ada_work *k) {
    const solver_problem *p = k->p;
    if (k->levels) {
        begin_levels(k);
        return;
    }
    float top = (float)grid_max_code(&p->grid);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            int64_t at = r * p->cols + c;
            grid_param g = param_of(k, r, c);
            float t = g.scale > 0 ? p->r[at] / g.scale + g.zero : g.zero, down = floorf(t);
            down = down < 0 ? 0 : down > top - 1 ? top - 1 : down;
            k->base[at] = down;
            k->v[at] = start_of(t - down);
        }
}

// D of the soft codes.
static void differences(const ada_work *k, int64_t from, int64_t to) {
    const solver_problem *p = k->p;
    for (int64_t r = from; r < to; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            int64_t at = r * p->cols + c;
            grid_param g = param_of(k, r, c);
            float h = stretch(k->v[at]);
            float q = k->levels ? k->low[at] + h * k->gap[at] : g.scale * (k->base[at] + h - g.zero);
            k->d[at] = (is_kept(p, at) ? q : 0) - p->r[at];
        }
}

// One step of Adam on rows [from, to); b 0: without the regulariser.
static void update(const ada_work *k, int64_t from, int64_t to, float b, float rate) {
    const solver_problem *p = k->p;
    for (int64_t at = from * p->cols; at < to * p->cols; at++) {
        if (!is_kept(p, at)) continue;
        float step = step_of(k, at);
        float sigma = 1 / (1 + expf(-k->v[at])), h = (ZETA - GAMMA) * sigma + GAMMA, slope = 0;
        if (h > 0 && h < 1) slope = (ZETA - GAMMA) * sigma * (1 - sigma);
        float gradient = 2 * k->dh[at] * step * slope;
        if (b > 0 && slope > 0) {
            float u = 2 * h - 1, size = fabsf(u);
            gradient -= (float)k->o->weight * b * 2 * copysignf(powf(size, b - 1), u) * slope;
        }
        k->m1[at] = 0.9f * k->m1[at] + 0.1f * gradient;
        k->m2[at] = 0.999f * k->m2[at] + 0.001f * gradient * gradient;
        k->v[at] -= rate * k->m1[at] / (sqrtf(k->m2[at]) + 1e-12f);
    }
}

static void gradient_product(const ada_work *k) {
    int64_t n = k->p->cols;
    num_gemm(false, false, k->p->rows, n, n, 1, k->d, n, k->p->h, n, 0, k->dh, n);
}

static bool learn(const ada_work *k, base_err *err) {
    const adaround_options *o = k->o;
    int64_t chunks = (k->p->rows + ROW_CHUNK - 1) / ROW_CHUNK;
    double first = o->warmup * (double)o->iterations;
    for (int64_t it = 0; it < o->iterations; it++) {
        if (!base_go_on(k->p->job, err)) return false;
        double progress = ((double)it - first) / ((double)o->iterations - first);
        float b = progress < 0 ? 0 : (float)(o->end + (o->start - o->end) * (1 - progress));
        // Bias correction of Adam's two moments.
        double c1 = 1 - pow(0.9, (double)it + 1), c2 = sqrt(1 - pow(0.999, (double)it + 1));
        float rate = (float)(o->rate * c2 / c1);
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (k->p->rows * k->p->cols >= WORTH_THREADS)
#endif
        for (int64_t c = 0; c < chunks; c++) {
            int64_t to = (c + 1) * ROW_CHUNK < k->p->rows ? (c + 1) * ROW_CHUNK : k->p->rows;
            differences(k, c * ROW_CHUNK, to);
        }
        gradient_product(k);
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (k->p->rows * k->p->cols >= WORTH_THREADS)
#endif
        for (int64_t c = 0; c < chunks; c++) {
            int64_t to = (c + 1) * ROW_CHUNK < k->p->rows ? (c + 1) * ROW_CHUNK : k->p->rows;
            update(k, c * ROW_CHUNK, to, b, rate);
        }
    }
    return true;
}

static grid_code code_of(const ada_work *k, int64_t at, bool up) {
    int place = (int)k->base[at] + up;
    return k->levels ? k->levels->code[place] : (grid_code)place;
}

// Flip single roundings of one row while the error falls: the change of flipping by e is 2 e (D H)_c + e^2 H_cc.
static void flip_row(const ada_work *k, int64_t row) {
    const solver_problem *p = k->p;
    int64_t n = p->cols;
    float *dh = k->dh + row * n;
    for (int pass = 0; pass < FLIP_PASSES; pass++) {
        bool changed = false;
        for (int64_t c = 0; c < n; c++) {
            int64_t at = row * n + c;
            float e = step_of(k, at);
            if (!is_kept(p, at)) continue;
            bool up = p->codes[at] != code_of(k, at, false);
            if (up) e = -e;
            if (2 * e * dh[c] + e * e * p->h[c * n + c] >= -1e-12f) continue;
            p->codes[at] = code_of(k, at, !up);
            for (int64_t i = 0; i < n; i++) dh[i] += e * p->h[c * n + i];
            changed = true;
        }
        if (!changed) return;
    }
}

static void finish(const ada_work *k) {
    const solver_problem *p = k->p;
    for (int64_t at = 0; at < p->rows * p->cols; at++) {
        grid_param g = param_of(k, at / p->cols, at % p->cols);
        p->codes[at] = code_of(k, at, stretch(k->v[at]) >= 0.5f);
        k->d[at] = (is_kept(p, at) ? grid_value(&p->grid, g, p->codes[at]) : 0) - p->r[at];
    }
    gradient_product(k);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
    for (int64_t r = 0; r < p->rows; r++) flip_row(k, r);
}

bool adaround_solve(solver_problem *p, const adaround_options *o, base_err *err) {
    level_list levels;
    size_t n = (size_t)(p->rows * p->cols);
    ada_work k = {.p = p, .o = o, .length = p->grid.group > 0 ? p->grid.group : p->cols};
    k.per_row = uniform_groups_per_row(p->cols, p->grid.group);
    k.levels = levels_of(&p->grid, &levels) ? &levels : NULL;
    float *room = base_big_alloc((k.levels ? 8 : 6) * n, sizeof *room, "adaround's variables", err);
    if (!room) return false;
    k.v = room;
    k.m1 = room + n;
    k.m2 = room + 2 * n;
    k.d = room + 3 * n;
    k.dh = room + 4 * n;
    k.base = room + 5 * n;
    k.low = k.levels ? room + 6 * n : NULL;
    k.gap = k.levels ? room + 7 * n : NULL;
    begin(&k);
    bool ok = learn(&k, err);
    if (ok) finish(&k);
    base_big_free(room);
    return ok;
}

// ---- as a solver of quantize ---------------------------------------------------------------------

static bool solve(solver_problem *p, base_err *err) {
    // The grid comes from rounding to nearest, which is an embedding's minimum already.
    if (!solver_rtn.solve(p, err)) return false;
    if (p->diagonal) return true;
    int64_t asked = (int64_t)solver_number(p, "iterations", 0);
    adaround_options o = {
        .iterations = asked > 0 ? asked : 2000, .rate = 1e-2, .weight = 0.01, .start = 20, .end = 2, .warmup = 0.2};
    int64_t rows = p->rows / p->groups, cols = p->cols, per_row = uniform_groups_per_row(cols, p->grid.group);
    for (int64_t g = 0; g < p->groups; g++) {
        solver_problem one = *p;
        one.rows = rows;
        one.groups = 1;
        one.r += g * rows * cols;
        one.h += g * cols * cols;
        one.codes += g * rows * cols;
        one.scales += g * rows * per_row;
        one.zeros += g * rows * per_row;
        if (one.mask) one.mask += g * rows * cols;
        if (!adaround_solve(&one, &o, err)) return false;
    }
    return true;
}

const compress_solver solver_adaround = {
    .name = "adaround",
    .help = "learn for each weight whether to round down or up",
    .about = "Codes floor(w/s) + h(V), h a stretched sigmoid clipped to [0, 1]; V minimises tr(D H D^T) + 0.01 sum(1 - "
             "|2h - 1|^b)\n"
             "by Adam on the whole calibration set, b falling from 20 to 2 after a fifth of the steps; single "
             "roundings are\n"
             "then flipped while the error falls. Of levels that are not even the two around each weight. The grid is "
             "that of rounding to nearest (range=mse suits it best).\n"
             "quantize{solver=\"adaround\", bits=3, sym=false, range=\"mse\"}",
    .source = "AdaRound (Nagel et al., ICML 2020, arXiv 2004.10568); options as in BRECQ (Li et al., ICLR 2021)",
    .cost = "calibration inputs; iterations * outputs * inputs^2 operations a layer",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
