// The arithmetic of a layer's page: histograms, tiles, outliers, levels, singular values, second moments; the store of
// layers that a run made. Compared with plain loops on small matrices.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/support.h"
#include "ui/look.h"

static void near_to(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.17g is not %.17g", a, b);
}

static void histogram(void **state) {
    (void)state;
    const float w[] = {-1, -0.5f, 0, 0.5f, 1, 1, NAN, 0}, wc[] = {-1, 0, 0, 0, 1, 2, 0, 0};
    look_figures f = {.rows = 2, .cols = 4};
    base_err err = {0};
    assert_true(look_figure(&f, w, wc, NULL, &err));
    near_to(f.low, -1, 0);
    near_to(f.high, 2, 0); // one axis for both
    assert_int_equal(f.before.bad, 1);
    assert_int_equal(f.before.zeros, 2);
    near_to(f.before.mean, 1.0 / 7, 1e-7);
    int64_t before = 0, after = 0;
    for (int i = 0; i < LOOK_BINS; i++) before += f.bins_before[i], after += f.bins_after[i];
    assert_int_equal(before, 7);
    assert_int_equal(after, 8);
    assert_int_equal(f.bins_before[0], 1);
    assert_int_equal(f.bins_after[LOOK_BINS - 1], 1);
    assert_true(isnan(f.weight.most[6]));
    near_to(f.error.most[1], 0.5, 0);
    look_figures_free(&f);
}

static void gathers(void **state) {
    (void)state;
    int64_t bins[LOOK_BINS];
    double out[1000];
    for (int i = 0; i < LOOK_BINS; i++) bins[i] = 3;
    for (int n = 1; n <= 1000; n += 37) { // even bins give even columns, and nothing is lost
        double sum = 0;
        look_gather(bins, LOOK_BINS, out, n);
        for (int i = 0; i < n; i++) {
            near_to(out[i], 3.0 * LOOK_BINS / n, 1e-9);
            sum += out[i];
        }
        near_to(sum, 3.0 * LOOK_BINS, 1e-6);
    }
}

static void tiles(void **state) {
    (void)state;
    enum { M = 700, N = 900 };
    float *w = calloc((size_t)M * N, sizeof *w), out[6];
    support_fill(w, (size_t)M * N, 5);
    w[321 * N + 654] = -7;
    look_figures f = {.rows = M, .cols = N};
    base_err err = {0};
    assert_true(look_figure(&f, w, NULL, NULL, &err));
    assert_int_equal(f.weight.rows, LOOK_TILES);
    assert_int_equal(f.weight.cols, LOOK_TILES);
    assert_null(f.error.most);
    look_shrink(&f.weight, false, 2, 3, out); // the largest is never lost on the way
    near_to(out[2], 7, 0);
    assert_true(out[0] <= 1 && out[5] <= 1);
    look_shrink(&f.weight, true, 1, 1, out);
    double mean = 0;
    for (int i = 0; i < M * N; i++) mean += fabs(w[i]) / (M * N);
    near_to(out[0], mean, 0.02);
    assert_int_equal(f.outlier[0].row, 321);
    assert_int_equal(f.outlier[0].col, 654);
    near_to(f.outlier[0].value, -7, 0);
    for (int i = 1; i < f.outlier_count; i++) assert_true(f.outlier[i].sigmas <= f.outlier[i - 1].sigmas);
    assert_int_equal(f.beyond[3], 1);
    look_figures_free(&f);
    free(w);
}

static void one_value(void **state) {
    (void)state;
    static const float values[] = {0, 3, NAN};
    for (int i = 0; i < 3; i++) {
        look_figures f = {.rows = 1, .cols = 1};
        base_err err = {0};
        assert_true(look_figure(&f, &values[i], &values[i], NULL, &err));
        assert_true(look_spectrum(&f, &values[i], &values[i], NULL, &err));
        assert_int_equal(f.spectrum_count, 1);
        if (i < 2) near_to(f.spectrum[0][0], values[i], 1e-12);
        near_to(f.spectrum[2][0], 0, 0);
        look_figures_free(&f);
    }
}

static void levels(void **state) {
    (void)state;
    const float row[] = {0.5f, -0.0f, 0, NAN, -1, 0.5f, 0.5f, INFINITY};
    float level[8];
    int64_t uses[8];
    assert_int_equal(look_levels(row, 8, level, uses, 8), 3);
    assert_true(level[0] == -1 && level[1] == 0 && level[2] == 0.5f);
    assert_true(uses[0] == 1 && uses[1] == 2 && uses[2] == 3);
    assert_int_equal(look_levels(row, 8, level, uses, 2), 2);
}

static void spectra(void **state) {
    (void)state;
    // Rank one: |u||v|; the error of half of it has half of that. Both ways up.
    for (int turn = 0; turn < 2; turn++) {
        int m = turn ? 5 : 3, n = turn ? 3 : 5;
        float w[15], wc[15];
        double u = 0, v = 0;
        for (int i = 0; i < m; i++) u += (i + 1) * (i + 1);
        for (int j = 0; j < n; j++) v += (j - 1) * (j - 1);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) w[i * n + j] = (float)((i + 1) * (j - 1)), wc[i * n + j] = w[i * n + j] / 2;
        look_figures f = {.rows = m, .cols = n};
        base_err err = {0};
        assert_true(look_spectrum(&f, w, wc, NULL, &err));
        assert_int_equal(f.spectrum_count, 3);
        near_to(f.spectrum[0][0], sqrt(u * v), 1e-9);
        near_to(f.spectrum[1][0], sqrt(u * v) / 2, 1e-9);
        near_to(f.spectrum[2][0], sqrt(u * v) / 2, 1e-9);
        assert_true(f.spectrum[0][1] < 1e-6);
        assert_int_equal(f.spectrum_note[0], 0);
        look_figures_free(&f);
    }
    enum { BIG = 1000 };
    float *w = calloc((size_t)BIG * BIG, sizeof *w);
    for (int i = 0; i < BIG; i++) w[i * BIG + i] = 2;
    look_figures f = {.rows = BIG, .cols = BIG};
    base_err err = {0};
    assert_true(look_spectrum(&f, w, NULL, NULL, &err)); // of a part, and it says so
    assert_true(strstr(f.spectrum_note, "500 x 500") != NULL);
    near_to(f.spectrum[0][499], 2, 1e-9);
    assert_null(f.spectrum[1]);
    look_figures_free(&f);
    free(w);
}

static void moments(void **state) {
    (void)state;
    const float h[] = {2, 1, 1, 2, 5, 0, 0, 7}; // two groups; eigenvalues 3, 1 and 5, 7
    look_figures f = {0};
    base_err err = {0};
    assert_true(look_moments(&f, h, 2, 2, false, NULL, &err));
    assert_int_equal(f.diagonal_count, 4);
    assert_true(f.diagonal[0] == 2 && f.diagonal[1] == 2 && f.diagonal[2] == 5 && f.diagonal[3] == 7);
    const double eigen[] = {7, 5, 3, 1};
    assert_int_equal(f.eigen_count, 4);
    for (int i = 0; i < 4; i++) near_to(f.eigen[i], eigen[i], 1e-9);
    look_figures_free(&f);
    assert_true(look_moments(&f, h, 1, 8, true, NULL, &err)); // counts of an embedding
    assert_int_equal(f.diagonal_count, 8);
    assert_int_equal(f.eigen_count, 0);
    look_figures_free(&f);
}

static void stored(void **state) {
    (void)state;
    const float w[] = {1, 2, 3, 4}, wc[] = {1, 2, 3, 5};
    const int64_t use[] = {1, 3};
    const compress_codes codes = {.what = "uniform", .bits = 1, .count = 4, .entropy = 0.8, .use = use};
    compress_made made = {"a", 2, 2, w, wc, &codes, 1};
    look_store s;
    look_store_init(&s);
    assert_null(look_store_hold(&s, "a"));
    assert_int_equal(look_store_stamp(&s, "a"), 0);
    look_store_made(&s, &made);
    int64_t first = look_store_stamp(&s, "a");
    look_kept *k = look_store_hold(&s, "a");
    assert_non_null(k);
    assert_true(k->after[3] == 5 && k->codes[0].use[1] == 3);
    look_store_made(&s, &made); // made again: another stamp, while the old one is still held
    assert_true(look_store_stamp(&s, "a") > first);
    assert_true(k->before[0] == 1);
    look_store_clear(&s);
    assert_null(look_store_hold(&s, "a"));
    assert_true(k->after[3] == 5);
    look_store_release(&s, k);
    assert_int_equal(s.bytes, 0);
    made.rows = made.cols = 1 << 15; // has no room and is not touched
    look_store_made(&s, &made);
    assert_int_equal(s.left_out, 1);
    assert_int_equal(s.bytes, 0);
    look_store_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram), cmocka_unit_test(gathers), cmocka_unit_test(tiles),   cmocka_unit_test(one_value),
        cmocka_unit_test(levels),    cmocka_unit_test(spectra), cmocka_unit_test(moments), cmocka_unit_test(stored)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
