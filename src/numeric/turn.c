// turn: rows become columns. Sixteen rows of sixteen values fit the registers of an AVX-512 unit, which exchanges them
// there in four rounds; elsewhere the same squares go value by value, so that both sides stay in the nearest cache.
#include "numeric/numeric.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { SIDE = 16 };

static void turn_values(int64_t rows, int64_t cols, const float *from, int64_t ld, float *to, int64_t ld_to) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) to[c * ld_to + r] = from[r * ld + c];
}

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx512f")))

// Rounds of Eklundh's transposition: of each pair of rows `apart` from each other the blocks beside the diagonal change
// places.
#define ROUND(apart, low, high)                                                                                        \
    _Pragma("GCC unroll 16") for (int i = 0; i < SIDE; i++) {                                                          \
        if (i & (apart)) continue;                                                                                     \
        const __m512 a = v[i], b = v[i + (apart)];                                                                     \
        v[i] = _mm512_permutex2var_ps(a, low, b);                                                                      \
        v[i + (apart)] = _mm512_permutex2var_ps(a, high, b);                                                           \
    }

WIDE static void turn_square(const float *from, int64_t ld, float *to, int64_t ld_to) {
    __m512 v[SIDE];
    const __m512i at = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
#define LOW(apart)                                                                                                     \
    _mm512_mask_add_epi32(at, _mm512_test_epi32_mask(at, _mm512_set1_epi32(apart)), at, _mm512_set1_epi32(16 - (apart)))
#define HIGH(apart)                                                                                                    \
    _mm512_mask_add_epi32(_mm512_add_epi32(at, _mm512_set1_epi32(apart)),                                              \
                          _mm512_test_epi32_mask(at, _mm512_set1_epi32(apart)), at, _mm512_set1_epi32(16))
    _Pragma("GCC unroll 16") for (int i = 0; i < SIDE; i++) v[i] = _mm512_loadu_ps(from + i * ld);
    ROUND(8, LOW(8), HIGH(8))
    ROUND(4, LOW(4), HIGH(4))
    ROUND(2, LOW(2), HIGH(2))
    ROUND(1, LOW(1), HIGH(1))
    _Pragma("GCC unroll 16") for (int i = 0; i < SIDE; i++) _mm512_storeu_ps(to + i * ld_to, v[i]);
}

static bool wide_unit(void) {
    return __builtin_cpu_supports("avx512f");
}
#else
static bool wide_unit(void) {
    return false;
}
static void turn_square(const float *from, int64_t ld, float *to, int64_t ld_to) {
    turn_values(SIDE, SIDE, from, ld, to, ld_to);
}
#endif

void num_turn(int64_t rows, int64_t cols, const float *from, int64_t ld, float *to, int64_t ld_to) {
    bool wide = wide_unit();
    for (int64_t r = 0; r < rows; r += SIDE)
        for (int64_t c = 0; c < cols; c += SIDE) {
            int64_t high = rows - r < SIDE ? rows - r : SIDE, broad = cols - c < SIDE ? cols - c : SIDE;
            if (wide && high == SIDE && broad == SIDE)
                turn_square(from + r * ld + c, ld, to + c * ld_to + r, ld_to);
            else
                turn_values(high, broad, from + r * ld + c, ld, to + c * ld_to + r, ld_to);
        }
}
