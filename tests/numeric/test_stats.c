// Random numbers, statistics and long sums against published or independently computed values.
#include "numeric/numeric.h"
#include "tests/support/support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// The output of O'Neill's own demo program, pcg32-demo, for its fixed seed 42, sequence 54.
static void pcg32(void **state) {
    (void)state;
    static const uint32_t want[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
    num_rng rng = num_rng_seed(42, 54);
    for (int i = 0; i < 6; i++) assert_int_equal(num_rng_next(&rng), want[i]);
    num_rng a = num_rng_seed(1, 1), b = num_rng_seed(1, 2), c = num_rng_seed(2, 1);
    uint32_t first = num_rng_next(&a);
    assert_int_not_equal(first, num_rng_next(&b));
    assert_int_not_equal(first, num_rng_next(&c));
}

// Chi-squared over the cells of `below`, moments of the others; the seeds are fixed, so this cannot flicker.
static void distributions(void **state) {
    (void)state;
    enum { N = 200000, CELLS = 7 };
    num_rng rng = num_rng_seed(9, 9);
    int count[CELLS] = {0};
    for (int i = 0; i < N; i++) {
        uint32_t x = num_rng_below(&rng, CELLS);
        assert_in_range(x, 0, CELLS - 1);
        count[x]++;
    }
    double chi = 0;
    for (int c = 0; c < CELLS; c++) chi += pow(count[c] - N / (double)CELLS, 2) / (N / (double)CELLS);
    assert_true(chi < 22.5); // 0.1 % point with 6 degrees of freedom
    assert_int_equal(num_rng_below(&rng, 0), 0);
    assert_int_equal(num_rng_below(&rng, 1), 0);
    double sum = 0, squares = 0, fourth = 0, unit = 0;
    for (int i = 0; i < N; i++) {
        double u = num_rng_unit(&rng), z = num_rng_normal(&rng);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        unit += u, sum += z, squares += z * z, fourth += z * z * z * z;
    }
    assert_true(fabs(unit / N - 0.5) < 0.003);
    assert_true(fabs(sum / N) < 0.01 && fabs(squares / N - 1) < 0.015 && fabs(fourth / N - 3) < 0.12);
}

static void shuffle(void **state) {
    (void)state;
    enum { N = 5, ROUNDS = 60000 };
    num_rng rng = num_rng_seed(4, 2);
    int place[N][N] = {{0}};
    for (int r = 0; r < ROUNDS; r++) {
        int64_t items[N] = {0, 1, 2, 3, 4};
        num_rng_shuffle(&rng, items, N);
        int seen = 0;
        for (int i = 0; i < N; i++) {
            seen |= 1 << items[i];
            place[items[i]][i]++;
        }
        assert_int_equal(seen, 31);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) assert_true(abs(place[i][j] - ROUNDS / N) < 450); // 4.6 standard deviations
    num_rng_shuffle(&rng, NULL, 0);
}

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance;
}

// The ends of Wilson's interval solve (p - end)^2 = z^2 end (1 - end) / n: the definition, not the formula in use.
static bool solves(double p, double end, double n) {
    return near(pow(p - end, 2), pow(1.959963984540054, 2) * end * (1 - end) / n, 1e-12);
}

static void wilson(void **state) {
    (void)state;
    static const int64_t cases[][2] = {{915, 1000}, {1, 3}, {5, 10}, {99, 100}, {500000, 1000000}};
    num_interval w;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double n = (double)cases[i][1], p = (double)cases[i][0] / n;
        w = num_wilson(cases[i][0], cases[i][1]);
        assert_true(w.value == p && w.low < p && w.high > p && solves(p, w.low, n) && solves(p, w.high, n));
    }
    w = num_wilson(5, 10); // as R's prop.test(5, 10, correct = FALSE) prints it
    assert_true(near(w.low, 0.236593, 1e-6) && near(w.high, 0.763407, 1e-6));
    w = num_wilson(0, 10);
    assert_true(w.low == 0 && near(w.high, 0.277533, 1e-6));
    w = num_wilson(10, 10);
    assert_true(near(w.low, 0.722467, 1e-6) && w.high == 1);
    w = num_wilson(0, 0);
    assert_true(isnan(w.value) && w.low == 0 && w.high == 1);
}

static num_clusters clusters_of(const double *y, const int64_t *n, int count) {
    num_clusters c = {0};
    for (int i = 0; i < count; i++) num_clusters_add(&c, n ? n[i] : 1, y[i]);
    return c;
}

static void mean_interval(void **state) {
    (void)state;
    static const double five[] = {1, 2, 3, 4, 5}, large[] = {1e8, 1e8, 1e8};
    num_clusters c = clusters_of(five, NULL, 5);
    num_interval m = num_clusters_mean(&c); // mean 3, sample deviation sqrt(2.5)
    assert_true(near(m.value, 3, 1e-12) && near(m.high - 3, 1.959964 * sqrt(0.5), 1e-6) &&
                near(m.low + m.high, 6, 1e-12));
    c = clusters_of(NULL, NULL, 0);
    assert_true(isnan(num_clusters_mean(&c).value));
    c = clusters_of(five + 2, NULL, 1);
    m = num_clusters_mean(&c);
    assert_true(m.value == 3 && isnan(m.low) && isnan(m.high));
    c = clusters_of(large, NULL, 3); // rounding must not make the variance negative
    m = num_clusters_mean(&c);
    assert_true(near(m.low, 1e8, 1) && near(m.high, 1e8, 1));
    // Four sequences of 2, 3, 0 and 5 tokens: residuals 4 - 1.3 x 2, 3 - 1.3 x 3, 6 - 1.3 x 5 over the three counted.
    static const double y[] = {4, 3, 0, 6};
    static const int64_t n[] = {2, 3, 0, 5};
    c = clusters_of(y, n, 3);
    num_clusters last = clusters_of(y + 3, n + 3, 1);
    num_clusters_merge(&c, &last);
    m = num_clusters_mean(&c);
    assert_int_equal(c.count, 3);
    assert_true(near(m.value, 1.3, 1e-12));
    double half = 1.959964 * sqrt((1.4 * 1.4 + 0.9 * 0.9 + 0.5 * 0.5) * 3 / 2) / 10;
    assert_true(near(m.high - m.value, half, 1e-6) && near(m.value - m.low, half, 1e-6));
    // Values that repeat within a sequence widen the interval by the root of the sequence's length.
    double thirty[30];
    num_clusters alone = {0}, together = {0};
    for (int i = 0; i < 30; i++) thirty[i] = (i / 10) * (i / 10);
    for (int i = 0; i < 30; i++) num_clusters_add(&alone, 1, thirty[i]);
    for (int i = 0; i < 3; i++) num_clusters_add(&together, 10, 10 * thirty[10 * i]);
    num_interval a = num_clusters_mean(&alone), t = num_clusters_mean(&together);
    double ratio = (t.high - t.low) / (a.high - a.low);
    assert_true(near(ratio, sqrt(29. / 30 * 3 / 2 * 10), 1e-6));
}

// Exact binomial, from the definition in long double.
static double mcnemar_by_definition(int a, int b) {
    int n = a + b, k = a < b ? a : b;
    long double sum = 0, term = powl(0.5L, n);
    for (int i = 0; i <= k; i++) {
        sum += term;
        term = term * (n - i) / (i + 1);
    }
    return (double)fminl(1, 2 * sum);
}

static void mcnemar(void **state) {
    (void)state;
    assert_true(near(num_mcnemar_p(0, 0), 1, 0));
    assert_true(near(num_mcnemar_p(5, 5), 1, 0));
    assert_true(near(num_mcnemar_p(0, 5), 0.0625, 1e-12));      // 2 / 2^5
    assert_true(near(num_mcnemar_p(1, 9), 0.021484375, 1e-12)); // 2 (1 + 10) / 2^10
    for (int a = 0; a < 60; a += 7)
        for (int b = 0; b < 400; b += 13) {
            double want = mcnemar_by_definition(a, b);
            assert_true(fabs(num_mcnemar_p(a, b) - want) <= 1e-9 * want + 1e-300);
            assert_true(num_mcnemar_p(a, b) == num_mcnemar_p(b, a));
        }
    double big = num_mcnemar_p(499000, 501000);
    assert_true(big > 0.045 && big < 0.0461); // normal approximation 0.0455, continuity 0.0457
}

static void half_even(void **state) {
    (void)state;
    static const double in[] = {0.5, 1.5, 2.5, -0.5, -1.5, 2.4999, 7, 1e300, -1e300, NAN};
    static const int out[] = {0, 2, 2, 0, -2, 2, 7, INT32_MAX, INT32_MIN, 0};
    for (int i = 0; i < 10; i++) assert_int_equal(num_half_even(in[i]), out[i]);
}

static void sums(void **state) {
    (void)state;
    static const size_t counts[] = {0, 1, 15, 16, 17, 31, 1000, 65537, 200003};
    float *x = malloc(200004 * sizeof *x), *y = malloc(200004 * sizeof *y);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int shift = 0; shift < 2; shift++) {
            size_t n = counts[c];
            support_fill(x, n + 1, 1);
            support_fill(y, n + 1, 2);
            float *a = x + shift, *b = y + shift;
            long double dot = 0, squares = 0, diff = 0;
            for (size_t i = 0; i < n; i++) {
                dot += (long double)a[i] * (long double)b[i];
                squares += (long double)a[i] * (long double)a[i];
                diff += ((long double)a[i] - (long double)b[i]) * ((long double)a[i] - (long double)b[i]);
            }
            double tolerance = 1e-13 * (1 + (double)n);
            assert_true(near(num_dot(a, b, n), (double)dot, tolerance));
            assert_true(near(num_sum_squares(a, n), (double)squares, tolerance));
            assert_true(near(num_diff_squares(a, b, n), (double)diff, tolerance));
            assert_true(num_all_finite(a, n));
            if (n == 0) continue;
            float kept = a[n - 1];
            a[n - 1] = NAN;
            assert_false(num_all_finite(a, n));
            a[n - 1] = -INFINITY;
            assert_false(num_all_finite(a, n));
            a[n - 1] = 3.4e38f;
            assert_true(num_all_finite(a, n));
            a[n - 1] = kept;
        }
    // In double, a large term does not swallow the small ones.
    for (int i = 0; i < 1000; i++) x[i] = i == 0 ? 1e10f : 1e-3f, y[i] = 1;
    assert_true(near(num_dot(x, y, 1000) - 1e10, 0.999, 1e-4));
    free(x);
    free(y);
}

static int rising_bits(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static float drawn(num_rng *rng, int kind) {
    double z = num_rng_normal(rng);
    if (kind == 1) return (float)num_rng_below(rng, 5) - 2; // few levels, many ties
    if (kind == 2) return 0.25f;
    if (kind == 3) return (float)(z * exp(30 * num_rng_normal(rng))); // from denormal to infinite
    if (kind == 4) return num_rng_below(rng, 8) ? -0.0f : (float)z;
    return (float)z;
}

// Every rank asked for is the one that sorting gives, in rows and in matrices, whatever the values.
static void ranks(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 3, 17, 64, 65, 100, 1000, 4096, 65536, 65537, 300007};
    num_rng rng = num_rng_seed(5, 1);
    float *x = calloc(300007, sizeof *x);
    uint32_t *sorted = calloc(300007, sizeof *sorted);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int kind = 0; kind < 5; kind++) {
            int64_t n = sizes[k], ranks_of[] = {0, n / 100, n / 4, n / 2, n - 1 - n / 100, n - 1};
            for (int64_t i = 0; i < n; i++) x[i] = drawn(&rng, kind);
            for (int64_t i = 0; i < n; i++) memcpy(&sorted[i], &x[i], sizeof *x), sorted[i] &= 0x7fffffffu;
            qsort(sorted, (size_t)n, sizeof *sorted, rising_bits);
            for (int r = 0; r < 6; r++) {
                int64_t less, want = ranks_of[r];
                assert_int_equal(num_kth_magnitude(x, n, ranks_of[r], &less), sorted[ranks_of[r]]);
                while (want > 0 && sorted[want - 1] == sorted[ranks_of[r]]) want--;
                assert_int_equal(less, want);
            }
        }
    free(x);
    free(sorted);
}

static void compacted(void **state) {
    (void)state;
    num_rng rng = num_rng_seed(6, 1);
    for (int n = 0; n < 200; n++) {
        float x[200], out[201], want[200];
        uint8_t keep[200];
        int64_t kept = 0;
        for (int i = 0; i < n; i++) {
            x[i] = (float)i;
            keep[i] = num_rng_below(&rng, 1 + (uint32_t)n % 5) == 0;
            if (keep[i]) want[kept++] = x[i];
        }
        assert_int_equal(num_count_ones(keep, n), kept);
        out[kept] = -7; // is not to be written
        num_compact(x, keep, n, out, kept);
        assert_memory_equal(out, want, (size_t)kept * sizeof *out);
        assert_true(out[kept] == -7);
    }
}

typedef struct ranked {
    uint32_t bits;
    int32_t index;
} ranked;
static int first_to_go(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->bits != y->bits) return x->bits < y->bits ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

// What stays is what sorting by size and place says: as bytes, as bits, and moved together, with nothing written
// beyond.
static void check_kept(const float *x, const float *by, int64_t n, int64_t gone, const ranked *order) {
    num_kept out = {calloc((size_t)n + 1, 1), calloc((size_t)n / 8 + 2, 1), calloc((size_t)n + 1, sizeof(float))};
    uint8_t *mask = calloc((size_t)n, 1), *bits = calloc((size_t)n / 8 + 2, 1);
    float *values = calloc((size_t)n + 1, sizeof *values), *score = calloc((size_t)n, sizeof *score);
    int64_t kept = 0;
    memset(out.mask, 7, (size_t)n + 1);
    memset(out.bits, 0xff, (size_t)n / 8 + 2);
    for (int64_t i = gone; i < n; i++) mask[order[i].index] = 1;
    for (int64_t i = 0; i < n; i++) {
        bits[i / 8] = (uint8_t)(bits[i / 8] | mask[i] << i % 8);
        if (mask[i]) values[kept++] = x[i];
    }
    out.values[kept] = values[kept] = -7;
    if (by)
        num_keep_largest_by(x, by, n, gone, score, &out);
    else
        num_keep_largest(x, n, gone, &out);
    assert_memory_equal(out.mask, mask, (size_t)n);
    assert_int_equal(out.mask[n], 7);
    assert_memory_equal(out.bits, bits, (size_t)(n + 7) / 8);
    assert_int_equal(out.bits[(n + 7) / 8], 0xff);
    assert_memory_equal(out.values, values, (size_t)(kept + 1) * sizeof *values);
    if (!by) { // the mask alone
        memset(out.mask, 7, (size_t)n);
        num_keep_largest(x, n, gone, &(num_kept){.mask = out.mask});
        assert_memory_equal(out.mask, mask, (size_t)n);
    }
    free(out.mask), free(out.bits), free(out.values), free(mask), free(bits), free(values), free(score);
}

static void kept_largest(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 7, 8, 63, 64, 65, 511, 512, 777, 4096, 4099, 65536, 65537, 200003};
    num_rng rng = num_rng_seed(7, 1);
    float *x = calloc(200003, sizeof *x), *by = calloc(200003, sizeof *by);
    ranked *order = calloc(200003, sizeof *order);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int kind = 0; kind < 12; kind++) {
            int64_t n = sizes[k], gone[] = {0, 1, n / 7, n / 2, n - 1, n};
            for (int64_t i = 0; i < n; i++)
                x[i] = drawn(&rng, kind % 6), by[i] = fabsf(drawn(&rng, i % 2 ? 0 : kind % 6));
            // A few rows far larger than the others: their part of a long list is all between the bounds, or none is.
            for (int64_t i = 0; kind % 6 == 5 && i < n; i++) x[i] = i < n / 20 ? x[i] : (float)(i / 5000 + 1) * 1e6f;
            for (int64_t i = 0; i < n; i++) {
                float score = kind < 6 ? fabsf(x[i]) : fabsf(x[i]) * by[i];
                memcpy(&order[i].bits, &score, sizeof score);
                order[i].bits &= 0x7fffffffu;
                order[i].index = (int32_t)i;
            }
            qsort(order, (size_t)n, sizeof *order, first_to_go);
            for (int g = 0; g < 6; g++) check_kept(x, kind < 6 ? NULL : by, n, gone[g], order);
        }
    free(x);
    free(by);
    free(order);
}

static void turned(void **state) {
    (void)state;
    enum { MOST = 40 };
    float x[MOST * MOST], out[MOST * MOST];
    for (int i = 0; i < MOST * MOST; i++) x[i] = (float)i;
    for (int rows = 1; rows < MOST - 2; rows += 3)
        for (int cols = 1; cols < MOST - 2; cols++) {
            memset(out, 0, sizeof out);
            num_turn(rows, cols, x, MOST, out, MOST - 1);
            for (int r = 0; r < MOST - 2; r++)
                for (int c = 0; c < MOST - 2; c++)
                    assert_true(out[c * (MOST - 1) + r] == (r < rows && c < cols ? x[r * MOST + c] : 0));
        }
    num_turn(16, 16, x + 15 * MOST, -MOST, out + 15 * MOST, -MOST); // from the last rows: in the other diagonal
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 16; c++) assert_true(out[(15 - c) * MOST + 15 - r] == x[r * MOST + c]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcg32),        cmocka_unit_test(distributions), cmocka_unit_test(shuffle),
        cmocka_unit_test(wilson),       cmocka_unit_test(mean_interval), cmocka_unit_test(mcnemar),
        cmocka_unit_test(kept_largest), cmocka_unit_test(turned),        cmocka_unit_test(half_even),
        cmocka_unit_test(sums),         cmocka_unit_test(ranks),         cmocka_unit_test(compacted),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
