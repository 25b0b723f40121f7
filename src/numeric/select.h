// Private to numeric/: what choosing by size (select.c) and keeping the chosen (keep.c) share. Magnitudes are compared
// as the bits of |x|, which order as the numbers do.
#ifndef VISE_NUMERIC_SELECT_H
#define VISE_NUMERIC_SELECT_H

#include "numeric/numeric.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
// AVX-512 moves the chosen lanes of a vector together in one instruction, which compilers do not find by themselves.
#define SELECT_WIDE __attribute__((target("avx512f,avx512bw,avx512vl,popcnt")))
#endif
bool select_wide_unit(void); // this CPU has that unit

static inline uint32_t select_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

enum { SELECT_IN_CACHE = 1 << 16 }; // values of a row that stay in the nearest caches

// Counts the |x| below `low` and gathers those from there up to `high` (bits of magnitudes); -1: more than `most`.
int64_t select_between(const float *x, int64_t n, uint32_t low, uint32_t high, int64_t *below, float *out,
                       int64_t most);
// Bits that the magnitude of rank k lies between in all likelihood, by the ranks of a sample. false: no memory.
bool select_bracket(const float *x, int64_t n, int64_t k, uint32_t *low, uint32_t *high);
// The bits of rank k among magnitudes that all lie from `low` up to `high`, and how many are less.
uint32_t select_kth_gathered(const float *in, int64_t found, int64_t k, uint32_t low, uint32_t high, int64_t *less);
// The same of any row; with `by` of the scores |x| by, which `score` is room for.
uint32_t select_kth_of_row(const float *x, const float *by, int64_t n, int64_t k, float *score, int64_t *less);

#endif
