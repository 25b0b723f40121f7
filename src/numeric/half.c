// half: IEEE 754 binary16 and bfloat16 to and from float32, exact one way, round to nearest even the other.
//
// Everything is integer work plus float operations that are exact or rounded once, without branches, so that the
// loops vectorise and give the same bits on every CPU. NaN payloads survive as far as they fit.
#include "numeric/half.h"
#include "numeric/numeric.h"

#include <string.h>

static inline uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = (uint32_t)(h & 0x7FFFu) << 13;
    // Exponent and fraction now sit where float32 has them, 112 too low; a power of two mends that exactly, and turns
    // half's subnormals into normal floats on the way.
    uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);
    uint32_t special = magnitude | 0x7F800000u;
    return float_of(sign | ((h & 0x7C00u) == 0x7C00u ? special : finite));
}

static inline uint16_t float_to_half(float f) {
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000u, a = u & 0x7FFFFFFFu;
    // Normal: rebias the exponent, then round the 13 dropped bits to nearest even; a carry may reach Inf, rightly.
    uint32_t normal = (a - 0x38000000u + 0xFFFu + (a >> 13 & 1u)) >> 13;
    // Below 2^-14: adding 0.5 makes the float unit round at 2^-24, half's smallest step.
    uint32_t tiny = bits_of(float_of(a < 0x38800000u ? a : 0) + 0.5f) - 0x3F000000u;
    uint32_t payload = a >> 13 & 0x3FFu;
    uint32_t special = a > 0x7F800000u ? 0x7C00u | (payload ? payload : 0x200u) : 0x7C00u;
    uint32_t r = a >= 0x47800000u ? special : a < 0x38800000u ? tiny : normal;
    return (uint16_t)(sign | r);
}

static inline float brain_to_float(uint16_t h) {
    return float_of((uint32_t)h << 16);
}

static inline uint16_t float_to_brain(float f) {
    uint32_t u = bits_of(f);
    uint32_t rounded = (u + 0x7FFFu + (u >> 16 & 1u)) >> 16;
    uint32_t cut = u >> 16;
    uint32_t nan = cut & 0x7Fu ? cut : cut | 0x40u;
    return (uint16_t)((u & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}

float num_f16_to_f32(uint16_t h) {
    return half_to_float(h);
}
uint16_t num_f32_to_f16(float f) {
    return float_to_half(f);
}
float num_bf16_to_f32(uint16_t h) {
    return brain_to_float(h);
}
uint16_t num_f32_to_bf16(float f) {
    return float_to_brain(f);
}

#define BULK(kind, to_float, from_float)                                                                               \
    BASE_CLONES void num_##kind##_load(const void *src, float *dst, size_t count) {                                    \
        const uint8_t *bytes = src;                                                                                    \
        for (size_t i = 0; i < count; i++) {                                                                           \
            uint16_t h;                                                                                                \
            memcpy(&h, bytes + 2 * i, sizeof h);                                                                       \
            dst[i] = to_float(h);                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    BASE_CLONES void num_##kind##_store(const float *src, void *dst, size_t count) {                                   \
        uint8_t *bytes = dst;                                                                                          \
        for (size_t i = 0; i < count; i++) {                                                                           \
            uint16_t h = from_float(src[i]);                                                                           \
            memcpy(bytes + 2 * i, &h, sizeof h);                                                                       \
        }                                                                                                              \
    }
BULK(half, half_to_float, float_to_half)
BULK(brain, brain_to_float, float_to_brain)
