// hqq: zero points that minimise a sparse norm of the error, without data.
//
// Badri, Shaji: Half-Quadratic Quantization of Large Machine Learning Models, 2023 (mobiusml/hqq), the authors' legacy
// proximal solver: minimise |W - Wq|_p^p, p = 0.7, by turns over the error E (generalised soft threshold) and the zero
// point (the mean that E leaves). The scale stays that of the min-max range; the split weight beta stays constant, as
// in the authors' code. It stops when the mean |W - Wq| over the whole tensor no longer falls, keeping the zero of the
// step that failed.
#include "compress/solvers/hqq.h"

#include <math.h>

typedef struct hqq_work {
    const float *x;
    int64_t groups, length;
    float top, over_beta, power; // largest code, 1 / beta, p - 1
    float *inverse, *zeros;      // [groups] 1 / scale, zero
} hqq_work;

static float nearest(float t, float top) {
    float r = rintf(t);
    return r < 0 ? 0 : r > top ? top : r;
}

static void fit_range(const hqq_work *k, int64_t g) {
    const float *x = k->x + g * k->length;
    float low = x[0], high = x[0];
    for (int64_t i = 1; i < k->length; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float inverse = k->top / (high - low);
    if (!(inverse < 2e4f)) inverse = 2e4f; // the authors' guard for half precision; also constant groups
    k->inverse[g] = inverse;
    k->zeros[g] = -low * inverse;
}

// One turn on one group: the sum of |w - wq| with the old zero, and the new zero.
static double turn(const hqq_work *k, int64_t g) {
    const float *x = k->x + g * k->length;
    float s = k->inverse[g], z = k->zeros[g];
    double error = 0, mean = 0;
    for (int64_t i = 0; i < k->length; i++) {
        float q = nearest(x[i] * s + z, k->top), d = x[i] - (q - z) / s, size = fabsf(d);
        error += (double)size;
        // Shrinkage of the generalised soft threshold; a zero difference has an infinite threshold.
        float e = size > 0 ? size - k->over_beta * powf(size, k->power) : 0;
        e = e > 0 ? copysignf(e, d) : 0;
        mean += (double)(q - (x[i] - e) * s);
    }
    k->zeros[g] = (float)(mean / (double)k->length);
    return error;
}

static bool improve(const hqq_work *k, const hqq_options *o, double *part, base_job *job, base_err *err) {
    double best = 1e4;
    for (int64_t it = 0; it < o->iterations; it++) {
        if (!base_go_on(job, err)) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
        for (int64_t g = 0; g < k->groups; g++) part[g] = turn(k, g);
        double error = 0;
        for (int64_t g = 0; g < k->groups; g++) error += part[g];
        // Compared in single precision, as the authors' mean is.
        double mean = (double)(float)(error / (double)(k->groups * k->length));
        if (!(mean < best)) return true;
        best = mean;
    }
    return true;
}

bool hqq_solve(const float *x, int64_t groups, int64_t length, int64_t bits, const hqq_options *o, uint8_t *codes,
               float *scales, float *zeros, base_job *job, base_err *err) {
    hqq_work k = {x,      groups, length, (float)((1 << bits) - 1), (float)(1 / o->beta), (float)(o->norm - 1),
                  scales, zeros};
    double *part = base_big_alloc((size_t)groups, sizeof *part, "hqq's errors", err);
    if (!part) return false;
    for (int64_t g = 0; g < groups; g++) fit_range(&k, g);
    bool ok = improve(&k, o, part, job, err);
    base_big_free(part);
    if (!ok) return false;
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = 0; i < length; i++)
            codes[g * length + i] = (uint8_t)nearest(x[g * length + i] * scales[g] + zeros[g], k.top);
        scales[g] = 1 / scales[g];
    }
    return true;
}
