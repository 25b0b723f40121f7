// lapack: inverse, triangular solves, singular values, eigenvalues - in double, through LAPACKE.
//
// LAPACK counts columns first. A row-major matrix is its own transpose there, so every call below is phrased for the
// transposed problem and nothing is copied around.
#include "numeric/numeric.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool num_dspd_inverse(int64_t n, double *a, int64_t lda) {
    if (n == 0) return true;
    if (!num_dcholesky(n, a, lda)) return false;
    if (LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', (lapack_int)n, a, (lapack_int)lda) != 0) return false;
    for (int64_t i = 1; i < n; i++) // the row-major upper triangle holds the result
        for (int64_t j = 0; j < i; j++) a[i * lda + j] = a[j * lda + i];
    return true;
}

void num_dtrsm(bool transposed, int64_t n, int64_t m, const double *u, int64_t ldu, double *b, int64_t ldb) {
    enum { COLUMNS = 128 };
    int64_t blocks = (m + COLUMNS - 1) / COLUMNS;
    bool worth = blocks > 1 && n * n * m > 2000000;
    (void)worth;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(num_threads()) if (worth)
#endif
    for (int64_t j = 0; j < blocks; j++) {
        int64_t from = j * COLUMNS, width = m - from < COLUMNS ? m - from : COLUMNS;
        cblas_dtrsm(CblasRowMajor, CblasLeft, CblasUpper, transposed ? CblasTrans : CblasNoTrans, CblasNonUnit,
                    (blasint)n, (blasint)width, 1, u, (blasint)ldu, b + from, (blasint)ldb);
    }
}

static bool all_finite(const double *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

// LAPACK's divide and conquer asks for about 4 k^2 numbers of workspace, counted in 32 bits.
static bool size_fits(const char *what, int64_t m, int64_t n, base_err *err) {
    int64_t k = m < n ? m : n, most = m < n ? n : m;
    if (most <= INT_MAX / 64 && k <= 23000) return true;
    return base_fail(err, "%s of a %lldx%lld matrix is too large, expected at most 23000 on the shorter side", what,
                     (long long)m, (long long)n);
}

bool num_dsvd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt, base_err *err) {
    if (m == 0 || n == 0) return true;
    if (!size_fits("singular value decomposition", m, n, err)) return false;
    size_t count = (size_t)m * (size_t)n;
    if (!all_finite(a, count))
        return base_fail(err, "singular value decomposition of a %lldx%lld matrix that holds NaN or Inf", (long long)m,
                         (long long)n);
    double *copy = base_big_alloc(count, sizeof *copy, "singular value decomposition", err);
    if (!copy) return false;
    memcpy(copy, a, count * sizeof *a);
    lapack_int rows = (lapack_int)n, columns = (lapack_int)m, k = rows < columns ? rows : columns;
    // A^T = V S U^T: LAPACK's "u" is our vt, its "vt" our u.
    lapack_int bad = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', rows, columns, a, rows, s, vt, rows, u, k);
    if (bad != 0) { // divide and conquer did not converge: the slower QR iteration on the kept copy
        double *spare = base_calloc((size_t)k, sizeof *spare);
        bad = LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'S', 'S', rows, columns, copy, rows, s, vt, rows, u, k, spare);
        free(spare);
    }
    base_big_free(copy);
    return bad == 0 || base_fail(err, "singular value decomposition of a %lldx%lld matrix did not converge (code %d)",
                                 (long long)m, (long long)n, (int)bad);
}

bool num_deigh(int64_t n, double *a, double *w, double *v, base_err *err) {
    if (n == 0) return true;
    if (!size_fits("eigenvalue decomposition", n, n, err)) return false;
    size_t count = (size_t)n * (size_t)n;
    if (!all_finite(a, count))
        return base_fail(err, "eigenvalues of a %lldx%lld matrix that holds NaN or Inf", (long long)n, (long long)n);
    double *work = base_big_alloc(count, sizeof *work, "eigenvalue decomposition", err);
    if (!work) return false;
    memcpy(work, a, count * sizeof *a);
    char job = v ? 'V' : 'N';
    lapack_int bad = LAPACKE_dsyevd(LAPACK_COL_MAJOR, job, 'L', (lapack_int)n, a, (lapack_int)n, w);
    if (bad != 0) {
        memcpy(a, work, count * sizeof *a);
        bad = LAPACKE_dsyev(LAPACK_COL_MAJOR, job, 'L', (lapack_int)n, a, (lapack_int)n, w);
    }
    base_big_free(work);
    if (bad != 0)
        return base_fail(err, "eigenvalues of a %lldx%lld matrix did not converge (code %d)", (long long)n,
                         (long long)n, (int)bad);
    if (v) memcpy(v, a, count * sizeof *v); // columns there are rows here
    return true;
}
