// select: choosing among many numbers by size, and moving the chosen together. Magnitudes are compared as the bits of
// |x|, which order as the numbers do.
#include "numeric/numeric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint32_t magnitude_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

BASE_CLONES int64_t num_count_ones(const uint8_t *x, int64_t n) {
    int64_t ones = 0;
    for (int64_t from = 0; from < n; from += 4096) {
        uint32_t some = 0;
        int64_t end = n - from < 4096 ? n : from + 4096;
        for (int64_t i = from; i < end; i++) some += x[i];
        ones += some;
    }
    return ones;
}

BASE_CLONES static int64_t count_below(const float *x, int64_t n, uint32_t bits) {
    int64_t below = 0;
    for (int64_t from = 0; from < n; from += 4096) {
        uint32_t some = 0;
        int64_t end = n - from < 4096 ? n : from + 4096;
        for (int64_t i = from; i < end; i++) some += magnitude_bits(x[i]) < bits;
        below += some;
    }
    return below;
}

// ---- moving together -----------------------------------------------------------------------------

// What both do from entry `i` on; out[count] is the next place.
static int64_t compact_rest(const float *x, const uint8_t *keep, int64_t i, int64_t n, float *out, int64_t count,
                            int64_t kept) {
    // The last kept value ends the walk: behind it nothing may be written, not even to be overwritten.
    for (; i < n && count < kept; i++) {
        out[count] = x[i];
        count += keep[i];
    }
    return count;
}

static int64_t between_rest(const float *x, int64_t i, int64_t n, uint32_t low, uint32_t high, int64_t *below,
                            float *out, int64_t count, int64_t most) {
    for (; i < n; i++) {
        uint32_t bits = magnitude_bits(x[i]);
        *below += bits < low;
        if (bits < low || bits > high) continue;
        if (count == most) return -1;
        out[count++] = fabsf(x[i]);
    }
    return count;
}

#if defined(__x86_64__)
// AVX-512 moves the chosen lanes of a vector together in one instruction, which compilers do not find by themselves.
#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,popcnt")))

static bool wide_unit(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

WIDE static int64_t compact_wide(const float *x, const uint8_t *keep, int64_t n, float *out, int64_t kept,
                                 int64_t *done) {
    int64_t i = 0, count = 0;
    for (; i + 16 <= n && count + 16 <= kept; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(keep + i));
        __mmask16 chosen = _mm_test_epi8_mask(bytes, bytes);
        _mm512_storeu_ps(out + count, _mm512_maskz_compress_ps(chosen, _mm512_loadu_ps(x + i)));
        count += __builtin_popcount(chosen);
    }
    *done = i;
    return count;
}

WIDE static int64_t between_wide(const float *x, int64_t n, uint32_t low, uint32_t high, int64_t *below, float *out,
                                 int64_t most, int64_t *done) {
    int64_t i = 0, count = 0, under = 0;
    const __m512i sign = _mm512_set1_epi32(0x7fffffff), first = _mm512_set1_epi32((int32_t)low),
                  last = _mm512_set1_epi32((int32_t)high);
    for (; i + 16 <= n && count + 16 <= most; i += 16) {
        __m512i bits = _mm512_and_si512(_mm512_loadu_si512(x + i), sign);
        __mmask16 less = _mm512_cmplt_epu32_mask(bits, first), more = _mm512_cmpgt_epu32_mask(bits, last);
        __mmask16 chosen = (__mmask16) ~(less | more);
        under += __builtin_popcount(less);
        if (!chosen) continue;
        _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi32(chosen, bits));
        count += __builtin_popcount(chosen);
    }
    *below = under;
    *done = i;
    return count;
}
#endif

void num_compact(const float *x, const uint8_t *keep, int64_t n, float *out, int64_t kept) {
    int64_t i = 0, count = 0;
#if defined(__x86_64__)
    if (wide_unit()) count = compact_wide(x, keep, n, out, kept, &i);
#endif
    compact_rest(x, keep, i, n, out, count, kept);
}

// Counts the |x| below `low` and gathers those from there up to `high` (bits of magnitudes); -1: more than `most`.
static int64_t between(const float *x, int64_t n, uint32_t low, uint32_t high, int64_t *below, float *out,
                       int64_t most) {
    int64_t i = 0, count = 0;
    *below = 0;
#if defined(__x86_64__)
    if (wide_unit()) count = between_wide(x, n, low, high, below, out, most, &i);
#endif
    return between_rest(x, i, n, low, high, below, out, count, most);
}

// ---- the k-th --------------------------------------------------------------------------------------

enum { FEW = 64, IN_CACHE = 1 << 16, LEAST_SAMPLE = 1 << 13, MOST_SAMPLE = 1 << 17 };

// Of few magnitudes (Hoare's selection); reorders them.
static float kth_of_few(float *x, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        uint32_t pivot = magnitude_bits(x[low + (high - low) / 2]);
        int64_t i = low, j = high;
        while (i <= j) {
            while (magnitude_bits(x[i]) < pivot) i++;
            while (magnitude_bits(x[j]) > pivot) j--;
            if (i <= j) {
                float swap = x[i];
                x[i++] = x[j];
                x[j--] = swap;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return x[k];
}

// A bracket of the k-th: at_low entries lie below `low`, at_high below `high`, and k is one of those between.
typedef struct bracket {
    uint32_t low, high;
    int64_t at_low, at_high;
} bracket;

static float as_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Where the k-th would lie if values were even between the bounds, moved a little towards the bound that is further
// off, so that this becomes the near one; the middle of the bits where that says nothing.
static uint32_t guess(const bracket *b, int64_t k, bool even) {
    int64_t below = k - b->at_low, above = b->at_high - k;
    double aim = below > above ? (double)below - (double)below / 8 - 2 : (double)below + (double)above / 8 + 2;
    double from = (double)as_float(b->low), to = (double)as_float(b->high);
    float at = (float)(from + (to - from) * aim / (double)(b->at_high - b->at_low));
    uint32_t bits = magnitude_bits(at);
    return even && bits > b->low && bits < b->high ? bits : b->low + (b->high - b->low) / 2;
}

// Narrows the bracket by counting until few are left in it, or all in it are equal. Each count is a pass at the speed
// of a vector unit; even guesses come near in a handful, and halving the bits ends after 31 in any case.
static void narrow(const float *x, int64_t n, int64_t k, bracket *b) {
    for (int pass = 0; b->at_high - b->at_low > FEW && b->high - b->low > 1; pass++) {
        uint32_t middle = guess(b, k, pass < 12);
        int64_t below = count_below(x, n, middle);
        if (below <= k)
            b->low = middle, b->at_low = below;
        else
            b->high = middle, b->at_high = below;
    }
}

BASE_CLONES static uint32_t most_bits(const float *x, int64_t n) {
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) most = magnitude_bits(x[i]) > most ? magnitude_bits(x[i]) : most;
    return most;
}

static uint32_t kth_by_counting(const float *x, int64_t n, int64_t k, int64_t *less) {
    bracket b = {0, most_bits(x, n) + 1, 0, n};
    float few[FEW + 16] = {0};
    narrow(x, n, k, &b);
    *less = b.at_low;
    if (b.high - b.low == 1) return b.low;
    int64_t count = between(x, n, b.low, b.high - 1, less, few, FEW + 16);
    uint32_t bits = magnitude_bits(kth_of_few(few, count, k - b.at_low));
    for (int64_t i = 0; i < count; i++) *less += magnitude_bits(few[i]) < bits;
    return bits;
}

// Ranks of a sample at even distances bracket the k-th: one pass counts what lies below and gathers what lies between,
// and only that is ranked.
static bool kth_by_sample(const float *x, int64_t n, int64_t k, uint32_t *bits, int64_t *less) {
    int64_t m = n / 64 < LEAST_SAMPLE ? LEAST_SAMPLE : n / 64 < MOST_SAMPLE ? n / 64 : MOST_SAMPLE, most = n / 16;
    int64_t at = (int64_t)((double)k * (double)m / (double)n), off = 2 + (int64_t)(1.6 * sqrt((double)m)), ignored;
    float *sample = malloc((size_t)(m + most) * sizeof *sample), *in = sample + m;
    if (!sample) return false;
    for (int64_t i = 0; i < m; i++) sample[i] = x[(int64_t)((double)i * (double)n / (double)m)];
    uint32_t low = at < off ? 0 : kth_by_counting(sample, m, at - off, &ignored);
    uint32_t high = at + off >= m ? 0x7fffffffu : kth_by_counting(sample, m, at + off, &ignored);
    int64_t below, found = between(x, n, low, high, &below, in, most);
    bool ok = found > 0 && below <= k && k < below + found;
    if (ok) *bits = kth_by_counting(in, found, k - below, less);
    *less += ok ? below : 0;
    free(sample);
    return ok;
}

uint32_t num_kth_magnitude(const float *x, int64_t n, int64_t k, int64_t *less) {
    uint32_t bits;
    *less = 0;
    if (n > IN_CACHE && kth_by_sample(x, n, k, &bits, less)) return bits;
    return kth_by_counting(x, n, k, less);
}
