// vector: sums over long float arrays, accumulated in double.
//
// Sixteen lanes and a fixed order of adding them up: the compiler turns the lanes into vector registers of any width
// and the result has the same bits on every CPU.
#include "numeric/numeric.h"

#include <string.h>

#define LANES 16

static double add_lanes(double *lane) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

#define SUM(name, parameters, term)                                                                                    \
    BASE_CLONES double name parameters {                                                                               \
        double lane[LANES] = {0};                                                                                      \
        size_t i = 0;                                                                                                  \
        for (; i + LANES <= count; i += LANES)                                                                         \
            for (size_t l = 0; l < LANES; l++) {                                                                       \
                const size_t at = i + l;                                                                               \
                lane[l] += term;                                                                                       \
            }                                                                                                          \
        for (size_t at = i; at < count; at++) lane[at - i] += term;                                                    \
        return add_lanes(lane);                                                                                        \
    }

SUM(num_dot, (const float *x, const float *y, size_t count), (double)x[at] * (double)y[at])
SUM(num_sum_squares, (const float *x, size_t count), (double)x[at] * (double)x[at])
SUM(num_diff_squares, (const float *x, const float *y, size_t count),
    ((double)x[at] - (double)y[at]) * ((double)x[at] - (double)y[at]))

// Inf and NaN are the values whose exponent bits are all ones.
BASE_CLONES static bool block_finite(const float *x, size_t count) {
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        bad |= (u & 0x7F800000u) == 0x7F800000u;
    }
    return !bad;
}

bool num_all_finite(const float *x, size_t count) {
    for (size_t i = 0; i < count; i += 65536)
        if (!block_finite(x + i, count - i < 65536 ? count - i : 65536)) return false;
    return true;
}
