// Private to engine/: exp, tanh, sigmoid and erf of float32 as plain arithmetic, so that the compiler turns loops over
// them into vector code. Errors are at most 2 units in the last place of the result (sigmoid: 2.5; erf: 2.5 times
// 2^-24), checked over their ranges by tests/engine/test_ops_math.c. NaN stays NaN.
//
// exp and the middle of tanh use the polynomials of the Cephes library (Moshier 1989); erf a series near zero from the
// same and, further out, a polynomial for log(erfc) fitted by us to 1e-8.
#ifndef VISE_ENGINE_VECMATH_H
#define VISE_ENGINE_VECMATH_H

#include <stdint.h>
#include <string.h>

#define VECMATH static inline __attribute__((always_inline))

VECMATH float vec_from_bits(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

VECMATH int32_t vec_bits(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// 2^n for -126 <= n <= 127; unsigned, because n is anything when it comes from NaN.
VECMATH float vec_power(int32_t n) {
    return vec_from_bits((int32_t)(((uint32_t)n + 127u) << 23));
}

VECMATH float vec_abs(float x) {
    return vec_from_bits(vec_bits(x) & 0x7fffffff);
}

VECMATH float vec_exp(float x) {
    // Beyond these exp is infinite or 0; the comparisons let NaN through.
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    // x = n ln 2 + r; adding 1.5 * 2^23 rounds to a whole number and leaves n in the low bits.
    const float shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    // 2^n in two factors, so that results below the normal range and at the top come out right.
    const int32_t whole = vec_bits(shifted) - 0x4b400000, half = whole >> 1;
    return p * vec_power(half) * vec_power(whole - half);
}

VECMATH float vec_sigmoid(float x) {
    const float e = vec_exp(-vec_abs(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

VECMATH float vec_tanh(float x) {
    const float a = vec_abs(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float near = p * z * x + x, far = 1.0f - 2.0f / (vec_exp(2.0f * a) + 1.0f);
    const float big = x < 0.0f ? -far : far;
    return a < 0.625f ? near : big;
}

VECMATH float vec_erf(float x) {
    const float a = vec_abs(x), z = x * x;
    float p = 7.853861353153693e-5f;
    p = p * z - 8.010193625184903e-4f;
    p = p * z + 5.188327685732524e-3f;
    p = p * z - 2.685381193529856e-2f;
    p = p * z + 1.128358514861418e-1f;
    p = p * z - 3.761262582423300e-1f;
    p = p * z + 1.128379165726710f;
    const float near = p * x, t = (a > 4.0f ? 4.0f : a) - 2.5f;
    float q = 1.36073286e-6f;
    q = q * t - 1.41852307e-5f;
    q = q * t + 7.70775069e-5f;
    q = q * t - 4.1838855e-4f;
    q = q * t + 2.16692044e-3f;
    q = q * t - 1.08588412e-2f;
    q = q * t - 9.4389441e-1f;
    q = q * t - 5.3526808f;
    q = q * t - 7.80681525f;
    const float far = 1.0f - vec_exp(q), big = x < 0.0f ? -far : far;
    return a < 1.0f ? near : big;
}

#endif
