// product (private to numeric): matrix products, Gram matrices and Cholesky factors over either float type.
//
// Included twice by product.c with REAL, and with NAME() and BLAS() that make the names. Every product is cut into
// blocks whose sizes follow from the shape alone; threads only decide who computes which block. So the bits do not
// depend on the number of threads.

static void NAME(tile)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, REAL alpha, const REAL *a, int64_t lda,
                       const REAL *b, int64_t ldb, REAL beta, REAL *c, int64_t ldc) {
    BLAS(gemm)
    (CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k,
     alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}

// row = beta row + the parts that lie `stride` apart, in order.
static void NAME(add_parts)(int64_t n, const REAL *parts, int64_t count, int64_t stride, REAL beta, REAL *row) {
    for (int64_t j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];
    for (int64_t p = 0; p < count; p++)
        for (int64_t j = 0; j < n; j++) row[j] += parts[p * stride + j];
}

// Few results, long sums: the inner dimension is cut, each part summed apart, the parts added in order.
static bool NAME(gemm_split)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, REAL alpha, const REAL *a, int64_t lda,
                             const REAL *b, int64_t ldb, REAL beta, REAL *c, int64_t ldc, int64_t depth) {
    int64_t count = blocks_of(k, depth);
    base_err ignored;
    REAL *parts = base_big_alloc((size_t)(count * m * n), sizeof *parts, "partial sums", &ignored);
    if (!parts) return false;
    PARALLEL_FOR(count > 1)
    for (int64_t p = 0; p < count; p++) {
        int64_t from = p * depth, part = k - from < depth ? k - from : depth;
        NAME(tile)
        (ta, tb, m, n, part, alpha, a + (ta ? from * lda : from), lda, b + (tb ? from : from * ldb), ldb, 0,
         parts + p * m * n, n);
    }
    for (int64_t i = 0; i < m; i++) NAME(add_parts)(n, parts + i * n, count, m * n, beta, c + i * ldc);
    base_big_free(parts);
    return true;
}

static void NAME(gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, REAL alpha, const REAL *a, int64_t lda,
                       const REAL *b, int64_t ldb, REAL beta, REAL *c, int64_t ldc) {
    if (m <= 0 || n <= 0) return;
    block_plan plan = plan_blocks(m, n, k);
    if (plan.depth < k && NAME(gemm_split)(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, plan.depth)) return;
    int64_t down = blocks_of(m, plan.rows), across = blocks_of(n, plan.columns);
    PARALLEL_FOR(down * across > 1)
    for (int64_t t = 0; t < down * across; t++) {
        int64_t i = t / across * plan.rows, j = t % across * plan.columns;
        int64_t rows = m - i < plan.rows ? m - i : plan.rows, columns = n - j < plan.columns ? n - j : plan.columns;
        NAME(tile)
        (ta, tb, rows, columns, k, alpha, a + (ta ? i : i * lda), lda, b + (tb ? j * ldb : j), ldb, beta,
         c + i * ldc + j, ldc);
    }
}

static void NAME(mirror)(int64_t n, REAL *c, int64_t ldc) {
    enum { TILE = 64 }; // both sides of the copy stay in cache
    int64_t tiles = blocks_of(n, TILE);
    PARALLEL_FOR(n > 512)
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t u = 0; u <= t; u++)
            for (int64_t i = t * TILE; i < n && i < (t + 1) * TILE; i++)
                for (int64_t j = u * TILE; j < i && j < (u + 1) * TILE; j++) c[i * ldc + j] = c[j * ldc + i];
}

// One block of the upper triangle of beta C + alpha A^T A; blocks on the diagonal leave what is below it alone.
static void NAME(gram_tile)(int64_t rows, REAL alpha, const REAL *a, int64_t lda, int64_t i, int64_t j, int64_t high,
                            int64_t wide, REAL beta, REAL *c, int64_t ldc) {
    if (i == j) BLAS(syrk)
    (CblasRowMajor, CblasUpper, CblasTrans, (blasint)high, (blasint)rows, alpha, a + i, (blasint)lda, beta, c,
     (blasint)ldc);
    else NAME(tile)(true, false, high, wide, rows, alpha, a + i, lda, a + j, lda, beta, c, ldc);
}

// The t-th block of the upper triangle, row by row of blocks.
static void NAME(gram_block)(int64_t t, int64_t rows, int64_t n, REAL alpha, const REAL *a, int64_t lda, REAL beta,
                             REAL *c, int64_t ldc, int64_t side) {
    int64_t blocks = blocks_of(n, side), row = 0;
    for (; t >= blocks - row; row++) t -= blocks - row;
    int64_t i = row * side, j = (row + t) * side;
    int64_t high = n - i < side ? n - i : side, wide = n - j < side ? n - j : side;
    NAME(gram_tile)(rows, alpha, a, lda, i, j, high, wide, beta, c + i * ldc + j, ldc);
}

static void NAME(gram)(int64_t rows, int64_t n, REAL alpha, const REAL *a, int64_t lda, REAL *c, int64_t ldc,
                       bool finish) {
    if (n <= 0) return;
    gram_plan plan = plan_gram(rows, n);
    int64_t blocks = blocks_of(n, plan.side), triangle = blocks * (blocks + 1) / 2;
    int64_t parts = blocks_of(rows, plan.depth);
    REAL *sums = NULL;
    base_err ignored;
    if (parts > 1) sums = base_big_alloc((size_t)(parts * n * n), sizeof *sums, "partial sums", &ignored);
    if (sums) {
        PARALLEL_FOR(true)
        for (int64_t t = 0; t < parts * triangle; t++) {
            int64_t p = t / triangle, from = p * plan.depth;
            int64_t part = rows - from < plan.depth ? rows - from : plan.depth;
            NAME(gram_block)(t % triangle, part, n, alpha, a + from * lda, lda, 0, sums + p * n * n, n, plan.side);
        }
        for (int64_t i = 0; i < n; i++) NAME(add_parts)(n - i, sums + i * n + i, parts, n * n, 1, c + i * ldc + i);
        base_big_free(sums);
    } else {
        PARALLEL_FOR(triangle > 1)
        for (int64_t t = 0; t < triangle; t++) NAME(gram_block)(t, rows, n, alpha, a, lda, 1, c, ldc, plan.side);
    }
    if (finish) NAME(mirror)(n, c, ldc);
}

// Blocked right-looking Cholesky (Golub and Van Loan, Matrix Computations, section 4.2): factor a diagonal block,
// solve for the rows to its right, take their Gram matrix off what remains. Only the upper triangle is read.
static bool NAME(cholesky)(int64_t n, REAL *a, int64_t lda) {
    enum { PANEL = 192, COLUMNS = 384 };
    for (int64_t i = 0; i < n; i += PANEL) {
        int64_t high = n - i < PANEL ? n - i : PANEL, right = n - i - high;
        REAL *diagonal = a + i * lda + i, *beside = diagonal + high;
        // Row-major upper is LAPACK's lower.
        if (LAPACK(potrf)(LAPACK_COL_MAJOR, 'L', (lapack_int)high, diagonal, (lapack_int)lda) != 0) return false;
        int64_t strips = blocks_of(right, COLUMNS);
        PARALLEL_FOR(strips > 1)
        for (int64_t s = 0; s < strips; s++) {
            int64_t from = s * COLUMNS, wide = right - from < COLUMNS ? right - from : COLUMNS;
            BLAS(trsm)
            (CblasRowMajor, CblasLeft, CblasUpper, CblasTrans, CblasNonUnit, (blasint)high, (blasint)wide, 1, diagonal,
             (blasint)lda, beside + from, (blasint)lda);
        }
        NAME(gram)(high, right, -1, beside, lda, diagonal + high * lda + high, lda, false);
    }
    for (int64_t i = 1; i < n; i++) memset(a + i * lda, 0, (size_t)i * sizeof *a);
    return true;
}
