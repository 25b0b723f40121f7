// select: the magnitude of a given rank among many numbers. Ranks of a sample bracket it, one pass counts what lies
// below the bracket and gathers what lies inside, and the few gathered are narrowed down by counting.
#include "numeric/select.h"

#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

BASE_CLONES static int64_t count_below(const float *x, int64_t n, uint32_t bits) {
    int64_t below = 0;
    for (int64_t from = 0; from < n; from += 4096) {
        uint32_t some = 0;
        int64_t end = n - from < 4096 ? n : from + 4096;
        for (int64_t i = from; i < end; i++) some += select_bits(x[i]) < bits;
        below += some;
    }
    return below;
}

BASE_CLONES static void score_all(const float *x, const float *by, int64_t n, float *score) {
    for (int64_t i = 0; i < n; i++) score[i] = fabsf(x[i]) * by[i];
}

// ---- one pass: count below, gather between -----------------------------------------------------------

typedef struct gathering {
    uint32_t low, high;
    int64_t below;
    float *out;
    int64_t most;
} gathering;

// From entry `i` on; out[count] is the next place.
static int64_t between_rest(const float *x, int64_t i, int64_t n, gathering *g, int64_t count) {
    for (; i < n; i++) {
        uint32_t bits = select_bits(x[i]);
        g->below += bits < g->low;
        if (bits < g->low || bits > g->high) continue;
        if (count == g->most) return -1;
        g->out[count++] = fabsf(x[i]);
    }
    return count;
}

#if defined(__x86_64__)
bool select_wide_unit(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

// With `by` of the scores |x| by.
SELECT_WIDE static inline int64_t between_wide(const float *x, const float *by, int64_t n, gathering *g,
                                               int64_t *done) {
    int64_t i = 0, count = 0;
    float *out = g->out;
    const int64_t most = g->most - 16;
    const __m512i sign = _mm512_set1_epi32(0x7fffffff), first = _mm512_set1_epi32((int32_t)g->low),
                  span = _mm512_set1_epi32((int32_t)(g->high - g->low));
    __m512i under = _mm512_setzero_si512();
    for (; i + 16 <= n && count <= most; i += 16) {
        __m512i bits = _mm512_and_si512(_mm512_loadu_si512(x + i), sign);
        if (by) {
            const __m512 score = _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_loadu_ps(by + i));
            bits = _mm512_and_si512(_mm512_castps_si512(score), sign);
            __builtin_prefetch(x + n + i, 0, 2); // the next row, while this one is worked on
        }
        const __m512i above = _mm512_sub_epi32(bits, first); // wraps around below the first
        const __mmask16 chosen = _mm512_cmple_epu32_mask(above, span);
        under = _mm512_add_epi32(under, _mm512_srli_epi32(above, 31));
        if (!by && !chosen) continue;
        _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi32(chosen, bits));
        count += __builtin_popcount(chosen);
    }
    g->below = _mm512_reduce_add_epi32(under);
    *done = i;
    return count;
}

SELECT_WIDE static int64_t between_plain(const float *x, int64_t n, gathering *g, int64_t *done) {
    return between_wide(x, NULL, n, g, done);
}
SELECT_WIDE static int64_t between_scored(const float *x, const float *by, int64_t n, gathering *g, int64_t *done) {
    return between_wide(x, by, n, g, done);
}
#else
bool select_wide_unit(void) {
    return false;
}
#endif

enum { PASS = 1 << 16 }; // values that a lane's 32-bit counter is read after

int64_t select_between(const float *x, int64_t n, uint32_t low, uint32_t high, int64_t *below, float *out,
                       int64_t most) {
    int64_t count = 0;
    *below = 0;
    for (int64_t from = 0; from < n; from += PASS) {
        gathering g = {low, high, 0, out + count, most - count};
        int64_t part = n - from < PASS ? n - from : PASS, done = 0, found = 0;
#if defined(__x86_64__)
        if (select_wide_unit()) found = between_plain(x + from, part, &g, &done);
#endif
        found = between_rest(x + from, done, part, &g, found);
        if (found < 0) return -1;
        count += found;
        *below += g.below;
    }
    return count;
}

// The same of the scores |x| by; where there is no such unit they are made in `score` first.
static int64_t between_scores(const float *x, const float *by, int64_t n, gathering *g, float *score) {
    int64_t done = 0, found = 0;
#if defined(__x86_64__)
    if (select_wide_unit()) found = between_scored(x, by, n, g, &done);
#endif
    score_all(x + done, by + done, n - done, score + done);
    return between_rest(score, done, n, g, found);
}

// ---- the k-th --------------------------------------------------------------------------------------

enum { FEW = 16, LEAST_SAMPLE = 1 << 13, MOST_SAMPLE = 1 << 17 };

// Of at most FEW bits, by the rank of each.
BASE_CLONES static uint32_t kth_of_few(const float *x, int64_t n, int64_t k) {
    uint32_t bits[FEW], less[FEW] = {0}, kth = 0;
    for (int i = 0; i < FEW; i++) bits[i] = i < n ? select_bits(x[i]) : UINT32_MAX;
    for (int j = 0; j < FEW; j++)
        for (int i = 0; i < FEW; i++) less[i] += bits[j] < bits[i];
    for (int i = 0; i < FEW; i++) kth = i < n && less[i] <= k && bits[i] > kth ? bits[i] : kth;
    return kth;
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

// Where the entry of rank `aim` above at_low would lie if values were even between the bounds; the middle of the bits
// where that says nothing.
static uint32_t guess(const bracket *b, double aim) {
    double all = (double)(b->at_high - b->at_low), from = (double)as_float(b->low), to = (double)as_float(b->high);
    uint32_t bits = select_bits((float)(from + (to - from) * aim / all));
    return aim > 0 && aim < all && bits > b->low && bits < b->high ? bits : b->low + (b->high - b->low) / 2;
}

enum { GUESSES = 16 }; // halving the bits ends after 31 passes in any case

// Narrows the bracket by counting until few are left in it, or all in it are equal. Each count is a pass at the speed
// of a vector unit. Guesses are a little off towards the bound that is further away, so that this becomes the near one;
// bolder ones where it stayed far.
static void narrow(const float *x, int64_t n, int64_t k, bracket *b) {
    double slack = 1;
    for (int pass = 0; b->at_high - b->at_low > FEW && b->high - b->low > 1; pass++) {
        int64_t below = k - b->at_low, all = b->at_high - b->at_low;
        double off = slack * ((double)all / 32 + 4);
        bool low_is_far = 2 * below > all;
        uint32_t middle = guess(b, pass < GUESSES ? (double)below + (low_is_far ? -off : off) : -1);
        int64_t count = count_below(x, n, middle);
        if (count <= k)
            b->low = middle, b->at_low = count;
        else
            b->high = middle, b->at_high = count;
        slack = (count <= k) == low_is_far ? 1 : 4 * slack;
    }
}

// Narrows it to a bound below which at least `from` and at most `to` entries lie, which low and high then both are; or
// until all in it are equal.
static void narrow_to_rank(const float *x, int64_t n, int64_t from, int64_t to, bracket *b) {
    for (int pass = 0; b->high - b->low > 1; pass++) {
        uint32_t middle = guess(b, pass < GUESSES ? (double)(from + to) / 2 - (double)b->at_low : -1);
        int64_t count = count_below(x, n, middle);
        if (count <= to) b->low = middle, b->at_low = count;
        if (count >= from) b->high = middle, b->at_high = count;
    }
}

BASE_CLONES static uint32_t most_bits(const float *x, int64_t n) {
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) most = select_bits(x[i]) > most ? select_bits(x[i]) : most;
    return most;
}

static uint32_t kth_within(const float *x, int64_t n, int64_t k, bracket b, int64_t *less) {
    float few[FEW + 16] = {0};
    narrow(x, n, k, &b);
    *less = b.at_low;
    if (b.high - b.low == 1) return b.low;
    int64_t below, count = select_between(x, n, b.low, b.high - 1, &below, few, FEW + 16);
    uint32_t bits = kth_of_few(few, count, k - b.at_low);
    for (int64_t i = 0; i < count; i++) *less += select_bits(few[i]) < bits;
    return bits;
}

static uint32_t kth_by_counting(const float *x, int64_t n, int64_t k, int64_t *less) {
    return kth_within(x, n, k, (bracket){0, most_bits(x, n) + 1, 0, n}, less);
}

// m values spread over all, TOGETHER neighbours of each stretch, not always at the same place of it, because columns
// may have a period. m a multiple of TOGETHER.
enum { TOGETHER = 4 };
static void draw(const float *x, const float *by, int64_t n, int64_t m, float *sample) {
    int64_t stretch = n / m * TOGETHER, off = 0, step = 11 % (stretch - TOGETHER + 1);
    for (int64_t i = 0; i < m; i += TOGETHER) {
        const float *from = x + i / TOGETHER * stretch + off, *times = by ? by + (from - x) : NULL;
        for (int j = 0; j < TOGETHER; j++) sample[i + j] = by ? fabsf(from[j]) * times[j] : from[j];
        off += step;
        if (off > stretch - TOGETHER) off -= stretch - TOGETHER + 1;
    }
}

// Bits that the k-th of n lies between in all likelihood, by the m of a sample.
static void bracket_by_sample(const float *sample, int64_t m, int64_t n, int64_t k, gathering *g) {
    int64_t at = (int64_t)((double)k * (double)m / (double)n), off = 2 + (int64_t)(1.6 * sqrt((double)m)),
            room = off / 2;
    bracket low = {0, most_bits(sample, m) + 1, 0, m}, high = low;
    g->low = 0;
    g->high = 0x7fffffffu;
    if (at >= off) narrow_to_rank(sample, m, at - off - room, at - off, &low), g->low = low.low;
    if (at + off < m) narrow_to_rank(sample, m, at + off, at + off + room, &high), g->high = high.high;
}

bool select_bracket(const float *x, int64_t n, int64_t k, uint32_t *low, uint32_t *high) {
    int64_t m = n / 64 < LEAST_SAMPLE ? LEAST_SAMPLE : n / 64 < MOST_SAMPLE ? n / 64 : MOST_SAMPLE;
    float *sample = malloc((size_t)m * sizeof *sample);
    gathering g = {0};
    if (!sample) return false;
    draw(x, NULL, n, m, sample);
    bracket_by_sample(sample, m, n, k, &g);
    free(sample);
    *low = g.low;
    *high = g.high;
    return true;
}

uint32_t select_kth_gathered(const float *in, int64_t found, int64_t k, uint32_t low, uint32_t high, int64_t *less) {
    return kth_within(in, found, k, (bracket){low, high + 1, 0, found}, less);
}

static bool kth_by_sample(const float *x, int64_t n, int64_t k, uint32_t *bits, int64_t *less) {
    int64_t most = n / 16, below;
    uint32_t low, high;
    float *in = malloc((size_t)most * sizeof *in);
    if (!in || !select_bracket(x, n, k, &low, &high)) {
        free(in);
        return false;
    }
    int64_t found = select_between(x, n, low, high, &below, in, most);
    bool ok = found > 0 && below <= k && k < below + found;
    if (ok) *bits = select_kth_gathered(in, found, k - below, low, high, less);
    *less += ok ? below : 0;
    free(in);
    return ok;
}

enum { ROW_FROM = 512, ROW_SAMPLE = 16, ROW_MOST = 1 << 14 }; // a value of so many is drawn

// Neighbouring rows are often alike: the last cut of this thread in a row as long, and how far from it the next is
// looked for (both as bits; 0: not at all). This decides how soon the answer is found, never which it is.
static _Thread_local struct {
    int64_t n, k;
    uint32_t bits, reach;
} last;

static void remember(int64_t n, int64_t k, uint32_t bits) {
    const uint32_t first = 1u << 20, least = 1u << 17, most = 1u << 21; // an eighth, a 64th, a quarter of a value
    uint32_t reach = first;
    if (last.n == n && last.k == k) {
        uint32_t off = bits > last.bits ? bits - last.bits : last.bits - bits, faded = last.reach - last.reach / 4;
        reach = off > most ? 0 : 3 * off > faded ? 3 * off : faded;
        if (reach > most) reach = 0;
        if (reach && reach < least) reach = least;
    }
    last.n = n, last.k = k, last.bits = bits, last.reach = reach;
}

// The k-th where it lies in the bracket g; false: it does not, or the bracket holds too many.
static bool kth_in_bracket(const float *x, const float *by, int64_t n, int64_t k, float *score, gathering *g,
                           uint32_t *bits, int64_t *less) {
    int64_t found =
        by ? between_scores(x, by, n, g, score) : select_between(x, n, g->low, g->high, &g->below, g->out, g->most);
    if (found <= 0 || g->below > k || k >= g->below + found) return false;
    *bits = select_kth_gathered(g->out, found, k - g->below, g->low, g->high, less);
    *less += g->below;
    remember(n, k, *bits);
    return true;
}

uint32_t select_kth_of_row(const float *x, const float *by, int64_t n, int64_t k, float *score, int64_t *less) {
    float sample[SELECT_IN_CACHE / ROW_SAMPLE], in[ROW_MOST];
    uint32_t bits;
    if (n >= ROW_FROM && n <= SELECT_IN_CACHE) {
        if (last.n == n && last.k == k && last.reach) {
            gathering g = {.low = last.bits > last.reach ? last.bits - last.reach : 0,
                           .high = last.bits + last.reach,
                           .out = in,
                           .most = ROW_MOST};
            if (kth_in_bracket(x, by, n, k, score, &g, &bits, less)) return bits;
        }
        gathering g = {.out = in, .most = ROW_MOST};
        int64_t m = n / ROW_SAMPLE / TOGETHER * TOGETHER;
        draw(x, by, n, m, sample);
        bracket_by_sample(sample, m, n, k, &g);
        if (kth_in_bracket(x, by, n, k, score, &g, &bits, less)) return bits;
    }
    if (by) score_all(x, by, n, score);
    return kth_by_counting(by ? score : x, n, k, less);
}

uint32_t num_kth_magnitude(const float *x, int64_t n, int64_t k, int64_t *less) {
    uint32_t bits;
    *less = 0;
    if (n <= SELECT_IN_CACHE) return select_kth_of_row(x, NULL, n, k, NULL, less);
    if (kth_by_sample(x, n, k, &bits, less)) return bits;
    return kth_by_counting(x, n, k, less);
}
