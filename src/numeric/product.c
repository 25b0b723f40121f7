// product: matrix products, Gram matrices and Cholesky factors, threaded over blocks of fixed sizes.
#include "numeric/numeric.h"

#include <cblas.h>
#include <lapacke.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static _Thread_local bool alone; // see num_stay_on_thread

bool num_stay_on_thread(bool yes) {
    bool before = alone;
    alone = yes;
    return before;
}

#define PRAGMA(text) _Pragma(#text)
#ifdef _OPENMP
// Inside a parallel region the same blocks run one after another on the calling thread.
#define PARALLEL_FOR(worth) PRAGMA(omp parallel for schedule(dynamic) num_threads(num_threads()) if ((worth) && may_thread()))
static bool may_thread(void) {
    return !alone && !omp_in_parallel() && num_threads() > 1;
}
#else
#define PARALLEL_FOR(worth)
#endif

static int64_t blocks_of(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}
static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// `n` cut into `pieces` equal ones of a multiple of 16 (the width of the kernels).
static int64_t piece_of(int64_t n, int64_t pieces) {
    return (blocks_of(n, pieces) + 15) / 16 * 16;
}

#define SIDE 1024 // longest side of a block of C

// How many blocks a product of so many multiplications is cut into at least: few, because each block packs its own
// copies of A and B (8 blocks of 1024^3 cost about a tenth), but enough for the threads of a usual machine.
static int64_t wanted_blocks(double work) {
    static const double from[] = {4e6, 48e6, 512e6, 16e9};
    int64_t wanted = 1;
    for (size_t i = 0; i < sizeof from / sizeof *from && work >= from[i]; i++) wanted *= 2;
    return wanted;
}

typedef struct block_plan {
    int64_t rows, columns, depth; // a block of C and the part of k summed at once
} block_plan;

static block_plan plan_blocks(int64_t m, int64_t n, int64_t k) {
    int64_t wanted = wanted_blocks((double)m * (double)n * (double)k);
    block_plan plan = {m, n, k > 0 ? k : 1};
    if (wanted < 2) return plan;
    // A small result of long sums: whole blocks over parts of k.
    if (m <= 384 && n <= 384 && k >= 2048) {
        plan.depth = piece_of(k, least(wanted, k / 512));
        return plan;
    }
    int64_t down = blocks_of(m, SIDE), across = blocks_of(n, SIDE);
    // Cut the longer side further until there are enough blocks, while blocks stay at least 64 wide.
    while (down * across < wanted) {
        int64_t high = m / down, wide = n / across;
        if (high >= wide && high >= 128)
            down *= 2;
        else if (wide >= 128)
            across *= 2;
        else
            break;
    }
    plan.rows = piece_of(m, down);
    plan.columns = piece_of(n, across);
    return plan;
}

typedef struct gram_plan {
    int64_t side, depth; // of the square blocks; rows of A summed at once
} gram_plan;

static gram_plan plan_gram(int64_t rows, int64_t n) {
    gram_plan plan = {n, rows > 0 ? rows : 1};
    int64_t wanted = wanted_blocks((double)rows * (double)n * (double)n / 2);
    if (wanted < 2) return plan;
    if (n > 512) // larger blocks pay where long sums repay their packing
        plan.side = piece_of(n, blocks_of(n, rows >= 1024 && n >= 2048 ? 768 : 384));
    else if (rows >= 2048)
        plan.depth = piece_of(rows, least(wanted, rows / 1024));
    else if (n > 128)
        plan.side = piece_of(n, 2);
    return plan;
}

#define REAL float
#define NAME(x) s_##x
#define BLAS(x) cblas_s##x
#define LAPACK(x) LAPACKE_s##x
#include "numeric/product.inc.h"
#undef REAL
#undef NAME
#undef BLAS
#undef LAPACK

#define REAL double
#define NAME(x) d_##x
#define BLAS(x) cblas_d##x
#define LAPACK(x) LAPACKE_d##x
#include "numeric/product.inc.h"

void num_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
              const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    s_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void num_gemm1(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    if (m > 0 && n > 0) s_tile(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void num_dgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
               const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
    d_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void num_gram(int64_t rows, int64_t n, float alpha, const float *a, int64_t lda, float *c, int64_t ldc, bool finish) {
    s_gram(rows, n, alpha, a, lda, c, ldc, finish);
}

void num_gram_columns(int64_t n, int64_t count, const float *a, int64_t lda, float *c, int64_t ldc) {
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (blasint)n, (blasint)count, 1, a, (blasint)lda, 1, c,
                (blasint)ldc);
}

bool num_cholesky(int64_t n, float *a, int64_t lda) {
    return s_cholesky(n, a, lda);
}
bool num_dcholesky(int64_t n, double *a, int64_t lda) {
    return d_cholesky(n, a, lda);
}

double num_peak_gflops(void) {
    enum { N = 1024, TRIES = 6 };
    base_err err;
    float *work = base_big_alloc(3 * N * N, sizeof *work, "sgemm measurement", &err);
    if (!work) return 0;
    num_rng rng = num_rng_seed(7, 7);
    for (int i = 0; i < 2 * N * N; i++) work[i] = (float)num_rng_unit(&rng) - 0.5f;
    double best = 1e30;
    for (int t = 0; t < TRIES; t++) {
        double start = base_now();
        num_gemm(false, false, N, N, N, 1, work, N, work + N * N, N, 0, work + 2 * N * N, N);
        double seconds = base_now() - start;
        if (t > 0 && seconds < best) best = seconds; // the first one wakes caches and threads
    }
    base_big_free(work);
    return 2.0 * N * N * N / best * 1e-9;
}
