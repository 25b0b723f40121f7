// Grids: the scale and zero point of a group of weights, and rounding to them.
//
// sym and asym follow the Quantizer of IST-DASLab/gptq (quant.py), as the golden vectors do: the range always
// contains 0; asym scale = (max - min) / (2^b - 1), zero = round(-min / scale); sym zero = 2^(b-1),
// scale = 2 max|w| / (2^b - 1), or with absmax, the common choice elsewhere, max|w| / (2^(b-1) - 1); rounding is half
// to even; the mse search shrinks the range by p = 1 - i/100, i = 0..79, and keeps the first p with the least sum |w -
// q|^2.4. sign takes the mean of |w| (the exact minimiser of the squared error; XNOR-Net, Rastegari et al. 2016,
// section 3.1). ternary takes the mean of |w| (BitNet b1.58, Ma et al. 2024), or with mse the exact minimiser: of the k
// largest |w|, scale = S_k / k for the k that maximises S_k^2 / k (Ternary Weight Networks, Li and Liu 2016, equation
// 5), where errors count by weights as well (imatrix, golden); or of the range as ParetoQ divides it (Liu et al. 2025,
// arXiv 2502.02631: three even parts of -max .. max, whose middles are the levels: scale = 2/3 max|w|); or with
// range=median the median of |w| (BitNet b1.58 Reloaded, Nielsen and Schneider-Kamp 2024, arXiv 2407.09527; the mean
// where the median is 0).
#include "compress/solvers/grid.h"
#include "compress/types/types.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES = 16,
    BLOCK = 1 << 15,
    SORT_FEW = 256
}; // lanes: partial sums at fixed places, the same for every vector width

bool grid_is_even(const grid_spec *g) {
    return !g->table;
}

int64_t grid_max_code(const grid_spec *g) {
    if (g->table) return g->table->codes - 1;
    return g->scheme == UNIFORM_TERNARY ? 2 : ((int64_t)1 << g->bits) - 1;
}

float grid_value(const grid_spec *g, grid_param p, unsigned code) {
    if (g->table) {
        float level = g->table->value[code];
        return level * (g->split && level < 0 ? p.zero : p.scale);
    }
    return p.scale * (g->scheme == UNIFORM_SIGN ? 2 * (float)code - 1 : (float)code - p.zero);
}

// Adding and taking away 1.5 * 2^23 rounds to the nearest integer, half to even, for |t| < 2^22: plain arithmetic that
// every vector unit has.
static inline float round_even(float t) {
    return (t + 12582912.0f) - 12582912.0f;
}
static inline float clamp(float t, float low, float high) {
    return t < low ? low : t > high ? high : t;
}

BASE_CLONES static void encode_even(const float *x, int64_t count, float scale, float zero, float top,
                                    grid_code *codes) {
    for (int64_t i = 0; i < count; i++)
        codes[i] = (grid_code)(int)(round_even(clamp(x[i] / scale, -zero, top - zero)) + zero);
}

BASE_CLONES static void encode_real(const float *x, int64_t count, float scale, float zero, float top,
                                    grid_code *codes) {
    for (int64_t i = 0; i < count; i++) codes[i] = (grid_code)(int)round_even(clamp(x[i] / scale + zero, 0, top));
}

void grid_encode(const grid_spec *g, grid_param p, const float *x, int64_t count, grid_code *codes) {
    if (g->table) {
        grid_table_encode(g, p, x, count, codes);
    } else if (g->scheme == UNIFORM_SIGN) {
        for (int64_t i = 0; i < count; i++) codes[i] = x[i] >= 0;
    } else if (g->scheme == UNIFORM_REAL) {
        encode_real(x, count, p.scale, p.zero, (float)grid_max_code(g), codes);
    } else if (p.scale <= 0) {
        for (int64_t i = 0; i < count; i++) codes[i] = (grid_code)p.zero; // nothing but zeros in the group
    } else {
        encode_even(x, count, p.scale, p.zero, (float)grid_max_code(g), codes);
    }
}

BASE_CLONES static void range_block(const float *x, int64_t count, float *low, float *high) {
    float a[LANES] = {0}, b[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES; k++) {
            a[k] = x[i + k] < a[k] ? x[i + k] : a[k];
            b[k] = x[i + k] > b[k] ? x[i + k] : b[k];
        }
    for (; i < count; i++) {
        a[0] = x[i] < a[0] ? x[i] : a[0];
        b[0] = x[i] > b[0] ? x[i] : b[0];
    }
    for (int k = 0; k < LANES; k++) {
        *low = a[k] < *low ? a[k] : *low;
        *high = b[k] > *high ? b[k] : *high;
    }
}

// |w - q|^2.4 over unit^2.4. Multiplying by 1/scale instead of dividing can only turn a tie, where both neighbours
// have the same error.
static inline float error_of(float x, float scale, float step, float low, float high, float over) {
    float d = (scale * round_even(clamp(x * step, low, high)) - x) * over, a = d * d;
    a = a > 1e-30f ? a : 1e-30f;
    return a * grid_fifth_root(a);
}

static double lanes_total(const float *sum) {
    double total = 0;
    for (int k = 0; k < LANES; k++) total += (double)sum[k];
    return total;
}

// Sum of error_of over one block. Sums only grow, so a block that has passed `limit` is given up: the result is then
// some value that is not below the limit.
BASE_CLONES static double error_block(const float *x, int64_t count, float scale, float low, float high, float unit,
                                      double limit) {
    float sum[LANES] = {0}, over = 1 / unit, step = 1 / scale;
    int64_t i = 0, even = count / LANES * LANES;
    while (i < even) {
        int64_t end = even - i < 512 ? even : i + 512;
        for (; i < end; i += LANES)
            for (int k = 0; k < LANES; k++) sum[k] += error_of(x[i + k], scale, step, low, high, over);
        if (i < even && lanes_total(sum) >= limit) return limit;
    }
    double total = lanes_total(sum);
    for (; i < count; i++) total += (double)error_of(x[i], scale, step, low, high, over);
    return total;
}

// Blocks have a fixed size and are added in order, so that a whole tensor gives the same sum at any thread count.
static double error_sum(const float *x, int64_t count, float scale, float low, float high, float unit, double limit) {
    if (count <= BLOCK) return error_block(x, count, scale, low, high, unit, limit);
    int64_t blocks = (count + BLOCK - 1) / BLOCK;
    double total = 0, part[256];
    for (int64_t b0 = 0; b0 < blocks && total < limit; b0 += 256) {
        int64_t n = blocks - b0 < 256 ? blocks - b0 : 256;
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
        for (int64_t b = 0; b < n; b++) {
            int64_t at = (b0 + b) * BLOCK;
            part[b] = error_block(x + at, count - at < BLOCK ? count - at : BLOCK, scale, low, high, unit, limit);
        }
        for (int64_t b = 0; b < n; b++) total += part[b];
    }
    return total;
}

static void fit_even(const grid_spec *g, const float *x, int64_t count, const base_job *job, grid_param *p) {
    float low = 0, high = 0, top = (float)grid_max_code(g);
    for (int64_t i = 0; i < count; i += BLOCK) range_block(x + i, count - i < BLOCK ? count - i : BLOCK, &low, &high);
    if (low == 0 && high == 0) low = -1, high = 1; // an empty or all-zero group: any grid with a zero will do
    if (g->scheme == UNIFORM_SYM) {
        high = -low > high ? -low : high;
        low = -high;
    }
    float middle = (float)((int64_t)1 << (g->bits - 1));
    p->scale = (high - low) / top;
    if (g->scheme == UNIFORM_SYM && g->absmax && !g->mse) p->scale = high / (middle - 1);
    p->zero = g->scheme == UNIFORM_SYM ? middle : round_even(-low / p->scale);
    if (!g->mse) return;
    float unit = high > -low ? high : -low;
    double best = INFINITY;
    for (int i = 0; i < 80 && !base_cancelled(job); i++) {
        float shrink = (float)(1 - i / 100.0), a = shrink * low, b = shrink * high;
        grid_param q = {(b - a) / top, middle};
        if (g->scheme != UNIFORM_SYM) q.zero = round_even(-a / q.scale);
        double e = error_sum(x, count, q.scale, -q.zero, top - q.zero, unit, best);
        if (e < best) best = e, *p = q;
    }
}

BASE_CLONES static double sum_abs(const float *x, int64_t count) {
    double sum[LANES] = {0}, total = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES; k++) sum[k] += (double)fabsf(x[i + k]);
    for (int k = 0; k < LANES; k++) total += sum[k];
    for (; i < count; i++) total += (double)fabsf(x[i]);
    return total;
}

static double mean_abs(const float *x, int64_t count) {
    return count ? sum_abs(x, count) / (double)count : 0;
}

static void insertion_sort(uint32_t *key, int64_t count) {
    for (int64_t i = 1; i < count; i++) {
        uint32_t k = key[i];
        int64_t j = i;
        for (; j > 0 && key[j - 1] > k; j--) key[j] = key[j - 1];
        key[j] = k;
    }
}

// Ascending order of the bit patterns, which is the order of non-negative floats: three passes of eleven bits.
static void radix_sort(uint32_t *key, uint32_t *other, int64_t count) {
    for (int pass = 0; pass < 3; pass++) {
        int64_t at[2049] = {0};
        for (int64_t i = 0; i < count; i++) at[(key[i] >> (11 * pass) & 2047) + 1]++;
        for (int k = 0; k < 2048; k++) at[k + 1] += at[k];
        for (int64_t i = 0; i < count; i++) other[at[key[i] >> (11 * pass) & 2047]++] = key[i];
        uint32_t *swap = key;
        key = other;
        other = swap;
    }
    // An odd number of passes leaves the result in the second array.
}

// The least-squares scale of -1, 0, 1: see the head of this file.
static float best_of_sorted(const uint32_t *key, int64_t count) {
    double sum = 0, best = 0;
    float scale = 0, a;
    for (int64_t k = 1; k <= count; k++) {
        memcpy(&a, key + count - k, sizeof a);
        sum += (double)a;
        if (sum * sum / (double)k > best) best = sum * sum / (double)k, scale = (float)(sum / (double)k);
    }
    return scale;
}

// The same where each error counts by a weight: codes are still 1 beyond half of the scale, so the k largest are tried.
typedef struct weighed {
    float size, weight;
} weighed;

static int falling_size(const void *a, const void *b) {
    const weighed *x = a, *y = b;
    return x->size > y->size ? -1 : x->size < y->size;
}

static bool ternary_weighed(const float *x, const float *weight, int64_t count, float *scale, base_err *err) {
    weighed *list = base_big_alloc((size_t)count + 1, sizeof *list, "sorted weights", err);
    double cross = 0, square = 0, best = 0;
    if (!list) return false;
    for (int64_t i = 0; i < count; i++) list[i] = (weighed){fabsf(x[i]), weight[i]};
    qsort(list, (size_t)count, sizeof *list, falling_size);
    for (int64_t i = 0; i < count; i++) {
        cross += (double)list[i].weight * (double)list[i].size;
        square += (double)list[i].weight;
        if (square > 0 && cross * cross / square > best)
            best = cross * cross / square, *scale = (float)(cross / square);
    }
    base_big_free(list);
    return true;
}

static double mean_weighed(const float *x, const float *weight, int64_t count) {
    double sum = 0, total = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)weight[i] * (double)fabsf(x[i]);
        total += (double)weight[i];
    }
    return total > 0 ? sum / total : 0;
}

// The middle one, or the mean of the middle two.
static float median_of_sorted(const uint32_t *key, int64_t count) {
    float a, b;
    if (!count) return 0;
    memcpy(&a, key + (count - 1) / 2, sizeof a);
    memcpy(&b, key + count / 2, sizeof b);
    return 0.5f * a + 0.5f * b;
}

static bool ternary_scale(const float *x, int64_t count, float (*of_sorted)(const uint32_t *, int64_t), float *scale,
                          base_err *err) {
    uint32_t few[SORT_FEW], *key = few;
    if (count > SORT_FEW && !(key = base_big_alloc((size_t)count, 2 * sizeof *key, "sorted weights", err)))
        return false;
    for (int64_t i = 0; i < count; i++) {
        float a = fabsf(x[i]);
        memcpy(key + i, &a, sizeof a);
    }
    if (key == few) {
        insertion_sort(few, count);
        *scale = of_sorted(few, count);
    } else {
        radix_sort(key, key + count, count);
        *scale = of_sorted(key + count, count);
        base_big_free(key);
    }
    return true;
}

bool grid_fit(const grid_spec *g, const float *x, int64_t count, const base_job *job, grid_param *p, base_err *err) {
    return grid_fit_weighted(g, x, NULL, count, job, p, err);
}

bool grid_fit_weighted(const grid_spec *g, const float *x, const float *weight, int64_t count, const base_job *job,
                       grid_param *p, base_err *err) {
    // Real zero points start from whole ones; their own solver moves them.
    bool by_weight = weight && (g->search == SEARCH_IMATRIX || g->search == SEARCH_GOLDEN);
    bool parts = g->scheme == UNIFORM_TERNARY &&
                 (g->search == SEARCH_LARGEST || g->search == SEARCH_FAST || g->search == SEARCH_NEAR ||
                  g->search == SEARCH_PERCENTILE || g->search == SEARCH_CFP);
    bool even = !g->table && (g->scheme == UNIFORM_SYM || g->scheme == UNIFORM_ASYM || g->scheme == UNIFORM_REAL);
    if (g->table || parts || (even && (g->search || g->form == SCALE_E8M0 || g->form == SCALE_E4M3))) {
        if (!grid_search_fit(g, x, weight, count, job, p, err)) return false;
    } else if (even) {
        fit_even(g, x, count, job, p);
    } else if (g->scheme == UNIFORM_SIGN) {
        *p = (grid_param){(float)(by_weight ? mean_weighed(x, weight, count) : mean_abs(x, count)), 0};
    } else {
        p->zero = 1;
        p->scale = (float)mean_abs(x, count);
        float found = 0;
        bool exact = g->mse || g->search == SEARCH_GOLDEN || g->search == SEARCH_IMATRIX;
        if (by_weight && !ternary_weighed(x, weight, count, &found, err)) return false;
        if (exact && !by_weight && !ternary_scale(x, count, best_of_sorted, &found, err)) return false;
        if (g->search == SEARCH_MEDIAN && !ternary_scale(x, count, median_of_sorted, &found, err)) return false;
        if (found > 0) p->scale = found;
    }
    p->scale = scales_round(g->form, g->scale, g->outer, p->scale);
    if (g->split) p->zero = scales_round(g->form, g->scale, g->outer, p->zero);
    return true;
}
