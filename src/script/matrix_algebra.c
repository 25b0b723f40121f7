// matrix_algebra: products and factorisations of matrices in recipes. See matrix.h.
#include "script/matrix.h"

#include <stdlib.h>

static int m_matmul(lua_State *L) {
    script_matrix *a = matrix_check(L, 1, "matmul"), *b = matrix_check(L, 2, "matmul");
    if (a->cols != b->rows)
        script_error(L, "matmul: %lld x %lld times %lld x %lld: the inner sizes %lld and %lld differ",
                     (long long)a->rows, (long long)a->cols, (long long)b->rows, (long long)b->cols, (long long)a->cols,
                     (long long)b->rows);
    script_matrix *c = matrix_new(L, "matmul", a->rows, b->cols);
    num_gemm(false, false, a->rows, b->cols, a->cols, 1, a->data, a->cols, b->data, b->cols, 0, c->data, c->cols);
    return 1;
}

// A copy in float64, to be freed; raises when memory is out or a value is not finite.
static double *widen(lua_State *L, const script_matrix *m, const char *what) {
    size_t n = (size_t)(m->rows * m->cols);
    if (!num_all_finite(m->data, n)) script_error(L, "%s: the matrix holds NaN or Inf", what);
    base_err err;
    double *a = base_big_alloc(n, sizeof *a, "a matrix in float64", &err);
    if (!a) script_raise(L, &err);
    for (size_t i = 0; i < n; i++) a[i] = (double)m->data[i];
    return a;
}

static void narrow(const double *from, script_matrix *to) {
    for (int64_t i = 0; i < to->rows * to->cols; i++) to->data[i] = (float)from[i];
}

static int m_svd(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "svd");
    int64_t k = m->rows < m->cols ? m->rows : m->cols;
    script_matrix *u = matrix_new(L, "svd", m->rows, k), *s = matrix_new(L, "svd", k, 1);
    script_matrix *vt = matrix_new(L, "svd", k, m->cols);
    double *a = widen(L, m, "svd");
    base_err err;
    double *out = base_big_alloc((size_t)(k * (m->rows + m->cols + 1)), sizeof *out, "singular vectors", &err);
    double *v = out ? out + m->rows * k : NULL, *w = out ? v + k * m->cols : NULL;
    bool ok = out && num_dsvd(m->rows, m->cols, a, out, w, v, &err);
    if (ok) {
        narrow(out, u);
        narrow(v, vt);
        narrow(w, s);
    }
    base_big_free(out);
    base_big_free(a);
    if (!ok) script_raise(L, &err);
    return 3;
}

static script_matrix *square(lua_State *L, const char *what) {
    script_matrix *m = matrix_check(L, 1, what);
    if (m->rows != m->cols)
        script_error(L, "%s: the matrix of %lld x %lld is not square", what, (long long)m->rows, (long long)m->cols);
    return m;
}

static int factor(lua_State *L, const char *what, bool (*f)(int64_t n, double *a, int64_t lda)) {
    script_matrix *m = square(L, what), *out = matrix_new(L, what, m->rows, m->rows);
    double *a = widen(L, m, what);
    bool ok = f(m->rows, a, m->rows);
    if (ok) narrow(a, out);
    base_big_free(a);
    if (!ok) script_error(L, "%s: the matrix is not positive definite; add a little to its diagonal", what);
    return 1;
}
static int m_cholesky(lua_State *L) {
    return factor(L, "cholesky", num_dcholesky);
}

static bool invert(int64_t n, double *a, int64_t lda) {
    return num_dspd_inverse(n, a, lda);
}
static int m_inverse(lua_State *L) {
    return factor(L, "inverse", invert);
}

const matrix_function matrix_algebra[] = {
    {"matmul", "m:matmul(b)", "The matrix product (`*` is value by value).", m_matmul},
    {"svd", "m:svd()", "`u, s, vt`: singular values `s` falling, as a column; m = u * s:t() times vt.", m_svd},
    {"cholesky", "m:cholesky()", "The upper factor U of a symmetric positive definite m = U^T U.", m_cholesky},
    {"inverse", "m:inverse()", "The inverse of a symmetric positive definite matrix.", m_inverse},
    {0},
};
