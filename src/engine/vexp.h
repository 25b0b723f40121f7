// Private to engine/: e^x without branches or calls, so that loops over it are vectorised (glibc's expf is not, short
// of -ffast-math), and the row loops built on it. Same bits on every instruction set, because nothing contracts.
#ifndef VISE_ENGINE_VEXP_H
#define VISE_ENGINE_VEXP_H

#include "base/base.h"

#include <string.h>

static inline float vexp_power(int32_t n) { // 2^n, -126 <= n <= 127
    const int32_t bits = (n + 127) * (1 << 23);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// Within 2 units in the last place; Inf, 0 and NaN as expf. x = n ln 2 + r, |r| <= ln 2 / 2, e^r by Cephes' polynomial
// (S. Moshier, expf.c); n by adding 1.5 * 2^23, which leaves the integer in the low bits.
static inline float vexp(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float shifted = x * 1.44269504088896341f + 12582912.0f, whole = shifted - 12582912.0f;
    int32_t n;
    memcpy(&n, &shifted, sizeof n);
    n -= 0x4B400000;
    n = n > 128 ? 128 : n < -151 ? -151 : n; // only NaN is outside
    const float r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t half = n >> 1;
    return p * vexp_power(half) * vexp_power(n - half);
}

float vexp_max(const float *x, int64_t n);               // largest; NaN are passed over
float vexp_row(float *x, int64_t n, float shift);        // x = exp(x - shift) in place; returns the sum
double vexp_sum(const float *x, int64_t n, float shift); // sum of exp(x - shift)
// KL(p || q) in nats of two softmax distributions, given as logits and the logarithms of their sums.
double vexp_divergence(const float *p, double p_total, const float *q, double q_total, int64_t n);
void vexp_sigmoid(const float *x, float *y, int64_t n);
void vexp_silu(const float *x, float *y, int64_t n);                            // y may be x
void vexp_silu_slope(const float *x, const float *dy, float *dx, int64_t n);    // dx += dy silu'(x)
void vexp_sigmoid_slope(const float *x, const float *dy, float *dx, int64_t n); // dx += dy sigmoid'(x)

#endif
