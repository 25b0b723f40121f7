// keep: the largest of many magnitudes stay - as a mask of bytes, a mask of bits and the values moved together, all
// written in one pass, part by part while it is in the cache.
#include "numeric/select.h"

#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#if defined(__x86_64__)
SELECT_WIDE static int64_t compact_wide(const float *x, const uint8_t *keep, int64_t n, float *out, int64_t kept,
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
#endif

void num_compact(const float *x, const uint8_t *keep, int64_t n, float *out, int64_t kept) {
    int64_t i = 0, count = 0;
#if defined(__x86_64__)
    if (select_wide_unit()) count = compact_wide(x, keep, n, out, kept, &i);
#endif
    compact_rest(x, keep, i, n, out, count, kept);
}

// ---- the last pass -------------------------------------------------------------------------------

// A stretch of values and what becomes of it.
typedef struct stretch {
    const float *x, *by; // ranked by |x| by; NULL: |x|
    int64_t n;
    uint8_t *mask, *bits;
    float *values;
    int64_t room; // values that may be written
} stretch;

static inline uint32_t score_bits(const stretch *s, int64_t i) {
    return select_bits(s->by ? fabsf(s->x[i]) * s->by[i] : s->x[i]);
}

// From entry `i` on.
BASE_CLONES static void write_mask(const stretch *s, int64_t i, uint32_t least) {
    const float *x = s->x, *by = s->by;
    uint8_t *mask = s->mask;
    if (by)
        for (; i < s->n; i++) mask[i] = select_bits(fabsf(x[i]) * by[i]) >= least;
    else
        for (; i < s->n; i++) mask[i] = select_bits(x[i]) >= least;
}

static void write_bits(const uint8_t *mask, int64_t n, uint8_t *bits) {
    for (int64_t i = 0; i < n / 8; i++) {
        uint64_t eight;
        memcpy(&eight, mask + 8 * i, sizeof eight);
        // Bit 8k of the eight comes to bit 56 + k of the product, and no two bits meet.
        bits[i] = (uint8_t)(eight * UINT64_C(0x0102040810204080) >> 56);
    }
    if (n % 8) bits[n / 8] = 0;
    for (int64_t i = n / 8 * 8; i < n; i++) bits[i / 8] = (uint8_t)(bits[i / 8] | mask[i] << (i % 8));
}

// Bits and values by a mask that is written already, from entry `i` on (a multiple of 8), `count` values gone before.
static void put_by_mask(const stretch *s, int64_t i, int64_t count) {
    if (s->bits) write_bits(s->mask + i, s->n - i, s->bits + i / 8);
    if (s->values) num_compact(s->x + i, s->mask + i, s->n - i, s->values + count, s->room - count);
}

#if defined(__x86_64__)
// Lines that will be written are asked for a little ahead.
SELECT_WIDE static int64_t put_wide(const stretch *s, uint32_t least, int64_t *done) {
    enum { LANES = 16, FOUR = 4 * LANES, AHEAD = 512 };
    const __m512i sign = _mm512_set1_epi32(0x7fffffff), low = _mm512_set1_epi32((int32_t)least);
    const float *const x = s->x, *const by = s->by;
    uint8_t *const mask = s->mask, *const bits = s->bits;
    float *const values = s->values;
    const int64_t last = s->n - FOUR, room = s->room - FOUR;
    int64_t i = 0, count = 0;
    for (; i <= last && (!values || count <= room); i += FOUR) {
        uint64_t all = 0;
        __builtin_prefetch(mask + i + AHEAD, 1);
        for (int j = 0; values && j < FOUR / 2; j += LANES) __builtin_prefetch(values + count + AHEAD / 2 + j, 1);
        for (int j = 0; j < FOUR; j += LANES) {
            const __m512 value = _mm512_loadu_ps(x + i + j);
            __m512i here = _mm512_and_si512(_mm512_castps_si512(value), sign);
            if (by) {
                const __m512 score = _mm512_mul_ps(_mm512_castsi512_ps(here), _mm512_loadu_ps(by + i + j));
                here = _mm512_and_si512(_mm512_castps_si512(score), sign);
            }
            const __mmask16 stays = _mm512_cmpge_epu32_mask(here, low);
            all |= (uint64_t)stays << j;
            if (!values) continue;
            _mm512_storeu_ps(values + count, _mm512_maskz_compress_ps(stays, value));
            count += __builtin_popcount(stays);
        }
        _mm512_storeu_si512(mask + i, _mm512_maskz_set1_epi8(all, 1));
        if (bits) memcpy(bits + i / 8, &all, sizeof all);
    }
    *done = i;
    return count;
}
#endif

// Those from `least` on stay.
static void put(const stretch *s, uint32_t least) {
    int64_t done = 0, count = 0;
#if defined(__x86_64__)
    if (select_wide_unit()) count = put_wide(s, least, &done);
#endif
    write_mask(s, done, least);
    put_by_mask(s, done, count);
}

// The same, but the first `ties` of those equal to `value` go, of `equal`.
static void put_ties(const stretch *s, uint32_t value, int64_t ties, int64_t equal) {
    if (ties == 0 || ties == equal) {
        put(s, value + (ties > 0));
        return;
    }
    write_mask(s, 0, value);
    for (int64_t i = 0; i < s->n && ties > 0; i++)
        if (score_bits(s, i) == value) {
            s->mask[i] = 0;
            ties--;
        }
    put_by_mask(s, 0, 0);
}

// All stay, or none.
static void put_alike(const float *x, int64_t n, bool stay, const num_kept *out) {
    memset(out->mask, stay, (size_t)n);
    if (out->bits) write_bits(out->mask, n, out->bits);
    if (out->values && stay) memcpy(out->values, x, (size_t)n * sizeof *x);
}

static void keep_row(const float *x, const float *by, int64_t n, int64_t gone, float *score, const num_kept *out) {
    int64_t less;
    uint32_t value = select_kth_of_row(x, by, n, gone, score, &less);
    const stretch s = {x, by, n, out->mask, out->bits, out->values, n - gone};
    put_ties(&s, value, gone - less, -1);
}

void num_keep_largest_by(const float *x, const float *by, int64_t n, int64_t gone, float *score, const num_kept *out) {
    if (gone <= 0 || gone >= n)
        put_alike(x, n, gone <= 0, out);
    else
        keep_row(x, by, n, gone, score, out);
}

// ---- many values: in parts ---------------------------------------------------------------------------

enum { PART = 1 << 15, MOST_SHARE = 16 }; // values of a part; one of so many may lie between the bounds

typedef struct part {
    int64_t less, equal;  // than the value where the cut is
    int64_t found, below; // between the bounds, below both
} part;

typedef struct parts {
    const float *x;
    int64_t n, count; // values, parts
    part *part;
    float *in; // [count x PART / MOST_SHARE] gathered of each part
} parts;

static int64_t size_of(const parts *p, int64_t i) {
    return p->n - i * PART < PART ? p->n - i * PART : PART;
}

BASE_CLONES static void count_equal(const float *x, int64_t n, uint32_t value, part *p) {
    uint32_t less = 0, equal = 0;
    for (int64_t i = 0; i < n; i++) {
        less += select_bits(x[i]) < value;
        equal += select_bits(x[i]) == value;
    }
    p->less = less;
    p->equal = equal;
}

// The value where the cut is, by a bracket; false: it missed, or held too many.
static bool cut_by_bracket(parts *p, int64_t gone, uint32_t *value) {
    enum { MOST = PART / MOST_SHARE };
    uint32_t low, high;
    int64_t below = 0, found = 0, less;
    bool fits = true;
    if (!select_bracket(p->x, p->n, gone, &low, &high)) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 4) reduction(&& : fits)
#endif
    for (int64_t i = 0; i < p->count; i++) {
        part *k = &p->part[i];
        k->found = select_between(p->x + i * PART, size_of(p, i), low, high, &k->below, p->in + i * MOST, MOST);
        fits = fits && k->found >= 0;
    }
    for (int64_t i = 0; fits && i < p->count; i++) {
        memmove(p->in + found, p->in + i * MOST, (size_t)p->part[i].found * sizeof *p->in);
        found += p->part[i].found;
        below += p->part[i].below;
    }
    if (!fits || found == 0 || below > gone || gone >= below + found) return false;
    *value = select_kth_gathered(p->in, found, gone - below, low, high, &less);
    for (int64_t i = 0, at = 0; i < p->count; at += p->part[i++].found) {
        count_equal(p->in + at, p->part[i].found, *value, &p->part[i]);
        p->part[i].less += p->part[i].below;
    }
    return true;
}

static void cut_by_counting(parts *p, int64_t gone, uint32_t *value) {
    int64_t less;
    *value = num_kth_magnitude(p->x, p->n, gone, &less);
    for (int64_t i = 0; i < p->count; i++) count_equal(p->x + i * PART, size_of(p, i), *value, &p->part[i]);
}

static void keep_parts(parts *p, int64_t gone, const num_kept *out) {
    uint32_t value;
    if (!p->in || !cut_by_bracket(p, gone, &value)) cut_by_counting(p, gone, &value);
    int64_t ties = gone;
    for (int64_t i = 0; i < p->count; i++) ties -= p->part[i].less;
    // In order: how many of the equal ones each part loses (in `found`), and what stays before it (in `below`).
    for (int64_t i = 0, stay = 0; i < p->count; i++) {
        part *k = &p->part[i];
        k->found = ties < k->equal ? ties : k->equal;
        ties -= k->found;
        k->below = stay;
        stay += size_of(p, i) - k->less - k->found;
    }
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 4)
#endif
    for (int64_t i = 0; i < p->count; i++) {
        const part *k = &p->part[i];
        int64_t at = i * PART, n = size_of(p, i);
        const stretch s = {p->x + at,
                           NULL,
                           n,
                           out->mask + at,
                           out->bits ? out->bits + at / 8 : NULL,
                           out->values ? out->values + k->below : NULL,
                           n - k->less - k->found};
        put_ties(&s, value, k->found, k->equal);
    }
}

void num_keep_largest(const float *x, int64_t n, int64_t gone, const num_kept *out) {
    if (gone <= 0 || gone >= n || n <= SELECT_IN_CACHE) {
        num_keep_largest_by(x, NULL, n, gone, NULL, out);
        return;
    }
    base_err ignored;
    parts p = {.x = x, .n = n, .count = (n + PART - 1) / PART};
    p.part = base_calloc((size_t)p.count, sizeof *p.part);
    p.in = base_big_room((size_t)p.count, PART / MOST_SHARE * sizeof *p.in, "values near the cut", &ignored);
    keep_parts(&p, gone, out);
    base_big_free(p.in);
    free(p.part);
}
