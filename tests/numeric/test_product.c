// Products, Gram matrices, factorisations: against plain loops in double, at odd sizes, with the same bits at any
// number of threads.
#include "numeric/numeric.h"
#include "tests/support/support.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static double product_at(bool ta, bool tb, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                         int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t p = 0; p < k; p++)
        sum += (double)a[ta ? p * lda + i : i * lda + p] * (double)b[tb ? j * ldb + p : p * ldb + j];
    return sum;
}

#define GUARD 12345.0f

// One product at 1, 2 and 3 threads: right at up to 400 places, equal bits, and nothing written between the rows.
static void check_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, float beta, int64_t slack) {
    int64_t lda = (ta ? m : k) + slack, ldb = (tb ? k : n) + slack, ldc = n + slack;
    size_t na = (size_t)((ta ? k : m) * lda), nb = (size_t)((tb ? n : k) * ldb), nc = (size_t)(m * ldc);
    float *a = malloc((na + 1) * sizeof *a), *b = malloc((nb + 1) * sizeof *b), *c0 = malloc((nc + 1) * sizeof *c0);
    float *c[3];
    support_fill(a, na, 1);
    support_fill(b, nb, 2);
    support_fill(c0, nc, 3);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = n; j < ldc; j++) c0[i * ldc + j] = GUARD;
    for (int t = 0; t < 3; t++) {
        c[t] = malloc((nc + 1) * sizeof **c);
        memcpy(c[t], c0, nc * sizeof **c);
        num_set_threads(t + 1);
        num_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c[t], ldc);
        assert_memory_equal(c[t], c[0], nc * sizeof **c);
    }
    num_rng rng = num_rng_seed(4, 4);
    int64_t all = m * n, tries = all < 400 ? all : 400;
    for (int64_t t = 0; t < tries; t++) {
        int64_t at = all < 400 ? t : (int64_t)num_rng_below(&rng, (uint32_t)all), i = at / n, j = at % n;
        double want = (double)alpha * product_at(ta, tb, k, a, lda, b, ldb, i, j);
        if (beta != 0) want += (double)beta * (double)c0[i * ldc + j];
        double got = (double)c[0][i * ldc + j];
        if (!(fabs(got - want) < 3e-6 * (2 + sqrt((double)k))))
            fail_msg("%d%d %ldx%ldx%ld at %ld,%ld: %.9g, expected %.9g", ta, tb, (long)m, (long)n, (long)k, (long)i,
                     (long)j, got, want);
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = n; j < ldc; j++) assert_true(c[0][i * ldc + j] == GUARD);
    for (int t = 0; t < 3; t++) free(c[t]);
    free(a);
    free(b);
    free(c0);
    num_set_threads(0);
}

static void gemm(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},      {3, 5, 7},       {17, 33, 65},   {127, 129, 131}, {257, 63, 300},
                                       {513, 511, 9},  {700, 701, 129}, {5000, 16, 27}, {13, 6001, 40},  {9, 11, 20011},
                                       {33, 65, 9001}, {1, 3000, 500},  {3000, 1, 500}, {1, 1, 50001},   {7, 9, 0}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int form = 0; form < 4; form++) {
            check_gemm(form & 1, form & 2, sizes[s][0], sizes[s][1], sizes[s][2], 1, 0, 0);
            check_gemm(form & 1, form & 2, sizes[s][0], sizes[s][1], sizes[s][2], -0.5f, 0.75f, 3);
        }
}

// With beta 0 what was in C before does not matter, not even NaN; empty products leave C alone.
static void gemm_edges(void **state) {
    (void)state;
    float a[64 * 70], b[70 * 9], c[64 * 9];
    support_fill(a, 64 * 70, 1);
    support_fill(b, 70 * 9, 2);
    for (int i = 0; i < 64 * 9; i++) c[i] = NAN;
    num_gemm(false, false, 64, 9, 70, 1, a, 70, b, 9, 0, c, 9);
    assert_true(num_all_finite(c, 64 * 9));
    num_gemm(false, false, 0, 9, 70, 1, a, 70, b, 9, 0, c, 9);
    num_gemm(false, false, 64, 0, 70, 1, a, 70, b, 1, 0, c, 1);
    assert_true(num_all_finite(c, 64 * 9));
    float *long_a = malloc(200000 * sizeof *long_a), out[400]; // the split path
    support_fill(long_a, 200000, 3);
    for (int i = 0; i < 400; i++) out[i] = NAN;
    num_gemm(true, false, 20, 20, 10000, 1, long_a, 20, long_a, 20, 0, out, 20);
    assert_true(num_all_finite(out, 400) && fabs((double)out[1] - (double)out[20]) < 1e-3);
    free(long_a);
    float one[64 * 9];
    num_gemm1(false, false, 64, 9, 70, 1, a, 70, b, 9, 0, one, 9);
    assert_true(support_max_diff(one, c, 64 * 9) < 1e-5);
}

static void dgemm(void **state) {
    (void)state;
    enum { M = 301, N = 205, K = 407 };
    double *a = malloc(M * K * sizeof *a), *b = malloc(K * N * sizeof *b), *c = malloc(M * N * sizeof *c);
    num_rng rng = num_rng_seed(8, 8);
    for (int i = 0; i < M * K; i++) a[i] = num_rng_normal(&rng);
    for (int i = 0; i < K * N; i++) b[i] = num_rng_normal(&rng);
    for (int form = 0; form < 4; form++) {
        bool ta = form & 1, tb = form & 2;
        for (int i = 0; i < M * N; i++) c[i] = i;
        num_dgemm(ta, tb, M, N, K, 2, a, ta ? M : K, b, tb ? K : N, -1, c, N);
        for (int t = 0; t < 500; t++) {
            int at = (int)num_rng_below(&rng, M * N), i = at / N, j = at % N;
            double want = -at;
            for (int p = 0; p < K; p++) want += 2 * a[ta ? p * M + i : i * K + p] * b[tb ? j * K + p : p * N + j];
            assert_true(fabs(c[at] - want) < 1e-9);
        }
    }
    free(a);
    free(b);
    free(c);
}

// Products asked for inside a parallel loop, and from several threads of our own at once.
static void gemm_nested(void **state) {
    (void)state;
    enum { N = 300, JOBS = 4 };
    float *a = malloc(N * N * sizeof *a), *want = malloc(N * N * sizeof *want), *c = malloc(JOBS * N * N * sizeof *c);
    support_fill(a, N * N, 1);
    num_gemm(false, true, N, N, N, 1, a, N, a, N, 0, want, N);
#ifdef _OPENMP
#pragma omp parallel for num_threads(2)
#endif
    for (int j = 0; j < JOBS; j++) num_gemm(false, true, N, N, N, 1, a, N, a, N, 0, c + j * N * N, N);
    for (int j = 0; j < JOBS; j++) assert_memory_equal(c + j * N * N, want, N * N * sizeof *c);
    free(a);
    free(want);
    free(c);
}

typedef struct shared_job {
    const float *a;
    float *c;
    int n;
} shared_job;
static void *multiply(void *argument) {
    shared_job *job = argument;
    for (int i = 0; i < 5; i++)
        num_gemm(false, true, job->n, job->n, job->n, 1, job->a, job->n, job->a, job->n, 0, job->c, job->n);
    return NULL;
}

static void gemm_from_threads(void **state) {
    (void)state;
    enum { N = 257, JOBS = 3 };
    float *a = malloc(N * N * sizeof *a), *want = malloc(N * N * sizeof *want), *c = malloc(JOBS * N * N * sizeof *c);
    support_fill(a, N * N, 1);
    num_gemm(false, true, N, N, N, 1, a, N, a, N, 0, want, N);
    pthread_t threads[JOBS];
    shared_job jobs[JOBS];
    for (int j = 0; j < JOBS; j++) {
        jobs[j] = (shared_job){a, c + j * N * N, N};
        pthread_create(&threads[j], NULL, multiply, &jobs[j]);
    }
    for (int j = 0; j < JOBS; j++) pthread_join(threads[j], NULL);
    for (int j = 0; j < JOBS; j++) assert_memory_equal(c + j * N * N, want, N * N * sizeof *c);
    free(a);
    free(want);
    free(c);
}

static void check_gram(int64_t rows, int64_t n, int64_t slack, bool finish) {
    int64_t lda = n + slack, ldc = n + 2 * slack;
    float *a = malloc((size_t)(rows * lda + 1) * sizeof *a), *c0 = malloc((size_t)(n * ldc) * sizeof *c0), *c[3];
    support_fill(a, (size_t)(rows * lda), 6);
    support_fill(c0, (size_t)(n * ldc), 7);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) c0[i * ldc + j] = c0[j * ldc + i];
    for (int t = 0; t < 3; t++) {
        c[t] = malloc((size_t)(n * ldc) * sizeof **c);
        memcpy(c[t], c0, (size_t)(n * ldc) * sizeof **c);
        num_set_threads(t + 1);
        num_gram(rows, n, 0.25f, a, lda, c[t], ldc, finish);
        assert_memory_equal(c[t], c[0], (size_t)(n * ldc) * sizeof **c);
    }
    num_rng rng = num_rng_seed(9, 9);
    for (int t = 0; t < 300; t++) {
        int64_t i = num_rng_below(&rng, (uint32_t)n), j = num_rng_below(&rng, (uint32_t)n);
        double want = (double)c0[i * ldc + j] + 0.25 * product_at(true, false, rows, a, lda, a, lda, i, j);
        if (i <= j || finish) assert_true(fabs((double)c[0][i * ldc + j] - want) < 2e-6 * (2 + (double)rows / 30));
        if (finish) assert_true(c[0][i * ldc + j] == c[0][j * ldc + i]);
    }
    for (int64_t i = 0; slack && i < n; i++) assert_true(c[0][i * ldc + n] == c0[i * ldc + n]);
    for (int t = 0; t < 3; t++) free(c[t]);
    free(a);
    free(c0);
    num_set_threads(0);
}

static void gram(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},     {5, 3},      {0, 7},     {300, 64},   {9001, 27}, {5003, 144},
                                       {100, 300}, {3000, 300}, {700, 577}, {257, 1153}, {65, 2100}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        check_gram(sizes[s][0], sizes[s][1], 0, true);
        check_gram(sizes[s][0], sizes[s][1], 5, false);
    }
}

// A positive definite matrix of size n with leading dimension lda.
static float *definite(int64_t n, int64_t lda) {
    int64_t rows = n + 20;
    float *x = malloc((size_t)(rows * n) * sizeof *x), *a = calloc((size_t)(n * lda), sizeof *a);
    support_fill(x, (size_t)(rows * n), 11);
    num_gram(rows, n, 1 / (float)rows, x, n, a, lda, true);
    for (int64_t i = 0; i < n; i++) a[i * lda + i] += 0.1f;
    free(x);
    return a;
}

static void cholesky(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 17, 129, 191, 193, 385, 701};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s], lda = n + 3;
        float *a = definite(n, lda), *u = malloc((size_t)(n * lda) * sizeof *u),
              *v = malloc((size_t)(n * lda) * sizeof *v);
        memcpy(u, a, (size_t)(n * lda) * sizeof *u);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < i; j++) u[i * lda + j] = NAN; // only the upper triangle is read
        memcpy(v, u, (size_t)(n * lda) * sizeof *u);
        num_set_threads(1);
        assert_true(num_cholesky(n, u, lda));
        num_set_threads(2);
        assert_true(num_cholesky(n, v, lda));
        num_set_threads(0);
        assert_memory_equal(u, v, (size_t)(n * lda) * sizeof *u);
        double worst = 0;
        for (int64_t i = 0; i < n; i++) {
            assert_true(u[i * lda + i] > 0);
            for (int64_t j = 0; j < i; j++) assert_true(u[i * lda + j] == 0);
        }
        num_rng rng = num_rng_seed(1, 1);
        for (int t = 0; t < 500; t++) {
            int64_t i = num_rng_below(&rng, (uint32_t)n), j = num_rng_below(&rng, (uint32_t)n);
            double sum = 0;
            for (int64_t p = 0; p < n; p++) sum += (double)u[p * lda + i] * (double)u[p * lda + j];
            worst = fmax(worst, fabs(sum - (double)a[i * lda + j]));
        }
        assert_true(worst < 2e-6);
        a[(n - 1) * lda + n - 1] = -1;
        assert_false(num_cholesky(n, a, lda));
        free(a);
        free(u);
        free(v);
    }
    float nan[4] = {NAN, 0, 0, 1};
    assert_false(num_cholesky(2, nan, 2));
    assert_true(num_cholesky(0, nan, 2));
}

static void inverse_and_solve(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 3, 64, 201, 333};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s], m = n + 170;
        float *single = definite(n, n);
        double *a = malloc((size_t)(n * n) * sizeof *a), *inverse = malloc((size_t)(n * n) * sizeof *a);
        for (int64_t i = 0; i < n * n; i++) a[i] = inverse[i] = (double)single[i];
        assert_true(num_dspd_inverse(n, inverse, n));
        double worst = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t p = 0; p < n; p++) sum += a[i * n + p] * inverse[p * n + j];
                worst = fmax(worst, fabs(sum - (i == j)));
                assert_true(inverse[i * n + j] == inverse[j * n + i]);
            }
        assert_true(worst < 1e-10);
        assert_true(num_dcholesky(n, a, n)); // a is now U
        double *b = malloc((size_t)(n * m) * sizeof *b), *x = malloc((size_t)(n * m) * sizeof *x);
        num_rng rng = num_rng_seed(2, 2);
        for (int64_t i = 0; i < n * m; i++) b[i] = num_rng_normal(&rng);
        for (int transposed = 0; transposed < 2; transposed++) {
            memcpy(x, b, (size_t)(n * m) * sizeof *x);
            num_dtrsm(transposed, n, m, a, n, x, m);
            for (int t = 0; t < 400; t++) {
                int64_t i = num_rng_below(&rng, (uint32_t)n), j = num_rng_below(&rng, (uint32_t)m);
                double sum = 0;
                for (int64_t p = 0; p < n; p++) sum += (transposed ? a[p * n + i] : a[i * n + p]) * x[p * m + j];
                assert_true(fabs(sum - b[i * m + j]) < 1e-9);
            }
        }
        free(single);
        free(a);
        free(inverse);
        free(b);
        free(x);
    }
    double indefinite[4] = {1, 2, 2, 1};
    assert_false(num_dspd_inverse(2, indefinite, 2));
}

static void check_svd(int64_t m, int64_t n) {
    int64_t k = m < n ? m : n;
    double *a = malloc((size_t)(m * n) * sizeof *a), *kept = malloc((size_t)(m * n) * sizeof *a);
    double *u = malloc((size_t)(m * k) * sizeof *u), *s = malloc((size_t)k * sizeof *s),
           *vt = malloc((size_t)(k * n) * sizeof *vt);
    num_rng rng = num_rng_seed(31, 1);
    for (int64_t i = 0; i < m * n; i++) a[i] = kept[i] = num_rng_normal(&rng);
    base_err err = {0};
    assert_true(num_dsvd(m, n, a, u, s, vt, &err));
    double worst = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++) sum += u[i * k + p] * s[p] * vt[p * n + j];
            worst = fmax(worst, fabs(sum - kept[i * n + j]));
        }
    for (int64_t p = 0; p < k; p++)
        for (int64_t q = 0; q < k; q++) {
            double uu = 0, vv = 0;
            for (int64_t i = 0; i < m; i++) uu += u[i * k + p] * u[i * k + q];
            for (int64_t j = 0; j < n; j++) vv += vt[p * n + j] * vt[q * n + j];
            worst = fmax(worst, fmax(fabs(uu - (p == q)), fabs(vv - (p == q))));
        }
    for (int64_t p = 0; p < k; p++) assert_true(s[p] >= 0 && (p == 0 || s[p] <= s[p - 1]));
    assert_true(worst < 1e-11);
    free(a);
    free(kept);
    free(u);
    free(s);
    free(vt);
}

static void svd(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {5, 5}, {37, 91}, {91, 37}, {130, 130}, {129, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_svd(sizes[i][0], sizes[i][1]);
    double bad[4] = {1, NAN, 0, 1}, u[4], s[2], vt[6];
    base_err err = {0};
    assert_false(num_dsvd(2, 2, bad, u, s, vt, &err));
    assert_non_null(strstr(err.text, "2x2 matrix that holds NaN or Inf"));
    double zero[6] = {0};
    assert_true(num_dsvd(2, 3, zero, u, s, vt, &err));
    assert_true(s[0] == 0 && s[1] == 0);
    assert_false(num_dsvd(50000, 50000, bad, u, s, vt, &err));
    assert_true(num_dsvd(0, 5, bad, u, s, vt, &err));
}

static void eigenvalues(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 33, 129};
    base_err err = {0};
    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
        int64_t n = sizes[t];
        double *a = malloc((size_t)(n * n) * sizeof *a), *kept = malloc((size_t)(n * n) * sizeof *a);
        double *w = malloc((size_t)n * sizeof *w), *w2 = malloc((size_t)n * sizeof *w),
               *v = malloc((size_t)(n * n) * sizeof *v);
        num_rng rng = num_rng_seed(32, 1);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i; j < n; j++) kept[i * n + j] = kept[j * n + i] = num_rng_normal(&rng);
        memcpy(a, kept, (size_t)(n * n) * sizeof *a);
        assert_true(num_deigh(n, a, w, v, &err));
        double worst = 0;
        for (int64_t i = 0; i < n; i++) {
            assert_true(i == 0 || w[i] >= w[i - 1]);
            for (int64_t r = 0; r < n; r++) { // A v = w v, v being row i
                double sum = 0;
                for (int64_t p = 0; p < n; p++) sum += kept[r * n + p] * v[i * n + p];
                worst = fmax(worst, fabs(sum - w[i] * v[i * n + r]));
            }
        }
        assert_true(worst < 1e-11);
        memcpy(a, kept, (size_t)(n * n) * sizeof *a);
        assert_true(num_deigh(n, a, w2, NULL, &err));
        for (int64_t i = 0; i < n; i++) assert_true(fabs(w[i] - w2[i]) < 1e-11);
        free(a);
        free(kept);
        free(w);
        free(w2);
        free(v);
    }
    double bad[1] = {INFINITY}, w;
    assert_false(num_deigh(1, bad, &w, NULL, &err));
}

static void threads_and_kernel(void **state) {
    (void)state;
    num_set_threads(3);
#ifdef _OPENMP
    assert_int_equal(num_threads(), 3);
#endif
    num_set_threads(0);
    assert_true(num_threads() >= 1);
    assert_true(strlen(num_blas_kernel()) > 0);
    assert_non_null(strstr(num_blas_version(), "OpenBLAS"));
    assert_true(num_peak_gflops() > 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm),        cmocka_unit_test(gemm_edges),         cmocka_unit_test(dgemm),
        cmocka_unit_test(gemm_nested), cmocka_unit_test(gemm_from_threads),  cmocka_unit_test(gram),
        cmocka_unit_test(cholesky),    cmocka_unit_test(inverse_and_solve),  cmocka_unit_test(svd),
        cmocka_unit_test(eigenvalues), cmocka_unit_test(threads_and_kernel),
    };
    return cmocka_run_group_tests_name("product", tests, NULL, NULL);
}
