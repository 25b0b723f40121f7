// hqq: zero points that minimise a sparse norm of the error, without data.
//
// Badri, Shaji: Half-Quadratic Quantization of Large Machine Learning Models, 2023 (mobiusml/hqq), the authors' legacy
// proximal solver: minimise |W - Wq|_p^p, p = 0.7, by turns over the error E (generalised soft threshold) and the zero
// point (the mean that E leaves). The scale stays that of the min-max range; the split weight beta stays constant, as
// in the authors' code. It stops when the mean |W - Wq| over the whole tensor no longer falls, keeping the zero of the
// step that failed.
#include "compress/solvers/hqq.h"
#include "compress/solvers/grid.h"

#include <math.h>
#include <stdlib.h>

typedef struct hqq_work {
    const float *x;
    int64_t groups;
    const int64_t *start;        // [groups + 1]
    float top, over_beta, power; // largest code, 1 / beta, p - 1
    float *inverse, *zeros;      // [groups] 1 / scale, zero
} hqq_work;

static float nearest(float t, float top) {
    float r = rintf(t);
    return r < 0 ? 0 : r > top ? top : r;
}

static void fit_range(const hqq_work *k, int64_t g) {
    const float *x = k->x + k->start[g];
    int64_t length = k->start[g + 1] - k->start[g];
    float low = length ? x[0] : 0, high = low;
    for (int64_t i = 1; i < length; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    // The authors' guards for half precision: a range of at most 1e-4 (a constant group) counts as one constant.
    float inverse = high - low <= 1e-4f ? 1 : k->top / (high - low);
    if (!(inverse < 2e4f)) inverse = 2e4f;
    k->inverse[g] = inverse;
    k->zeros[g] = -low * inverse;
}

// One turn on one group: the sum of |w - wq| with the old zero, and the new zero.
static double turn(const hqq_work *k, int64_t g) {
    const float *x = k->x + k->start[g];
    int64_t length = k->start[g + 1] - k->start[g];
    if (!length) return 0;
    float s = k->inverse[g], z = k->zeros[g];
    double error = 0, mean = 0;
    for (int64_t i = 0; i < length; i++) {
        float q = nearest(x[i] * s + z, k->top), d = x[i] - (q - z) / s, size = fabsf(d);
        error += (double)size;
        // Shrinkage of the generalised soft threshold; a zero difference has an infinite threshold.
        float e = size > 0 ? size - k->over_beta * powf(size, k->power) : 0;
        e = e > 0 ? copysignf(e, d) : 0;
        mean += (double)(q - (x[i] - e) * s);
    }
    k->zeros[g] = (float)(mean / (double)length);
    return error;
}

static bool improve(const hqq_work *k, const hqq_options *o, double *part, base_job *job, base_err *err) {
    double best = INFINITY;
    for (int64_t it = 0; it < o->iterations; it++) {
        if (!base_go_on(job, err)) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
        for (int64_t g = 0; g < k->groups; g++) part[g] = turn(k, g);
        double error = 0;
        for (int64_t g = 0; g < k->groups; g++) error += part[g];
        // Compared in single precision, as the authors' mean is.
        double mean = (double)(float)(error / (double)k->start[k->groups]);
        if (!(mean < best)) return true;
        best = mean;
    }
    return true;
}

bool hqq_solve_runs(const float *x, int64_t groups, const int64_t *start, int64_t bits, const hqq_options *o,
                    grid_code *codes, float *scales, float *zeros, base_job *job, base_err *err) {
    hqq_work k = {x,      groups, start, (float)((1 << bits) - 1), (float)(1 / o->beta), (float)(o->norm - 1),
                  scales, zeros};
    double *part = base_big_alloc((size_t)groups, sizeof *part, "hqq's errors", err);
    if (!part) return false;
    for (int64_t g = 0; g < groups; g++) fit_range(&k, g);
    bool ok = improve(&k, o, part, job, err);
    base_big_free(part);
    if (!ok) return false;
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = start[g]; i < start[g + 1]; i++)
            codes[i] = (grid_code)nearest(x[i] * scales[g] + zeros[g], k.top);
        scales[g] = 1 / scales[g];
    }
    return true;
}

bool hqq_solve(const float *x, int64_t groups, int64_t length, int64_t bits, const hqq_options *o, grid_code *codes,
               float *scales, float *zeros, base_job *job, base_err *err) {
    int64_t *start = base_calloc((size_t)groups + 1, sizeof *start);
    for (int64_t g = 0; g <= groups; g++) start[g] = g * length;
    bool ok = hqq_solve_runs(x, groups, start, bits, o, codes, scales, zeros, job, err);
    free(start);
    return ok;
}

// ---- as a solver of quantize ---------------------------------------------------------------------------

num_dtype hqq_zero_dtype(const float *zeros, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(zeros[i]) < 256)) return NUM_F32;
    return NUM_F16;
}

// The kept values of every group side by side, groups in the order of their scales.
static void gather(const solver_problem *p, int64_t length, float *x, int64_t *start) {
    int64_t n = 0, g = 0;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            if (length ? c % length == 0 : r == 0 && c == 0) start[g++] = n;
            int64_t at = r * p->cols + c;
            if (!p->mask || p->mask[at]) x[n++] = p->r[at];
        }
    start[g] = n;
}

static void encode(solver_problem *p, int64_t length) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t c = 0, g = 0; c < p->cols; g++) {
            int64_t run = length && length < p->cols - c ? length : p->cols - c, s = per_row ? r * per_row + g : 0;
            grid_encode(&p->grid, (grid_param){p->scales[s], p->zeros[s]}, p->r + r * p->cols + c, run,
                        p->codes + r * p->cols + c);
            c += run;
        }
}

// Scales and zeros as they will be stored, and the codes nearest on that grid.
static void settle(solver_problem *p, int64_t count, int64_t length) {
    for (int64_t i = 0; i < count; i++) {
        if (p->grid.form == SCALE_E8M0 || p->grid.form == SCALE_E4M3) { // the lower end stays where it is
            float step = grid_step_up(&p->grid, p->scales[i]);
            p->zeros[i] *= step > 0 ? p->scales[i] / step : 1;
            p->scales[i] = step;
        } else {
            p->scales[i] = scales_round(p->grid.form, p->grid.scale, p->grid.outer, p->scales[i]);
        }
    }
    num_dtype type = hqq_zero_dtype(p->zeros, count);
    for (int64_t i = 0; i < count; i++) {
        if (type == NUM_F16) p->zeros[i] = num_f16_to_f32(num_f32_to_f16(p->zeros[i]));
    }
    encode(p, length);
}

static bool solve(solver_problem *p, base_err *err) {
    int64_t n = p->rows * p->cols, count = uniform_scale_count(p->rows, p->cols, p->grid.group);
    int64_t length = p->grid.group == GROUP_TENSOR ? 0 : p->grid.group == GROUP_ROW ? p->cols : p->grid.group;
    hqq_options o = {solver_number(p, "norm", 0.7), solver_number(p, "beta", 10),
                     (int64_t)solver_number(p, "turns", 20)};
    p->grid.scheme = UNIFORM_REAL;
    if (p->fitted) {
        encode(p, length);
        return base_go_on(p->job, err);
    }
    float *x = base_big_alloc((size_t)n + 1, sizeof *x, "hqq's weights", err);
    grid_code *codes = x ? base_big_alloc((size_t)n + 1, sizeof *codes, "hqq's codes", err) : NULL;
    int64_t *start = base_calloc((size_t)count + 1, sizeof *start);
    if (codes) gather(p, length, x, start);
    bool ok = codes && hqq_solve_runs(x, count, start, p->grid.bits, &o, codes, p->scales, p->zeros, p->job, err);
    if (ok) settle(p, count, length);
    base_big_free(x);
    base_big_free(codes);
    free(start);
    return ok;
}

const compress_solver solver_hqq = {
    .name = "hqq",
    .help = "zero points that minimise a sparse norm of the error, without data",
    .about =
        "Minimises sum |w - q|^norm (norm 0.7, which forgives outliers) over the zero point of each group, a real\n"
        "number, by turns over the error and the zero; the scale is that of the range. beta 10, at most 20 turns.\n"
        "quantize{solver=\"hqq\", bits=4, group=64}",
    .source = "Half-Quadratic Quantization (Badri and Shaji, 2023, mobiusml/hqq), the authors' legacy proximal solver",
    .cost = "no data; at most 20 passes over the weights",
    .even_only = true,
    .solve = solve,
};
