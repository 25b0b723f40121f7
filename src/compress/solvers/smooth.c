// smooth: the exponents of smoothing, found by trying them with everything that comes after.
//
// Li et al., SVDQuant (ICLR 2025, arXiv 2411.05007), with the settings of the authors' code
// (mit-han-lab/deepcompressor, examples/diffusion/configs/svdquant: GridSearch, spans AbsMax, alpha 0.5, beta -2,
// num_grids 20, allow_low_rank): s = max|x|^alpha / max|w|^beta of each input, (alpha, beta) from (0, 0), (a, 0) and
// (a, 1 - a), a = 1/20 .. 19/20; W s gets its low-rank branch by SVD, the rest is rounded to nearest, and the pair of
// least output error is taken, the first of equal ones. The authors' inputs are rounded too; here only weights are.
#include "compress/solvers/smooth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct smooth_work {
    smooth_search *s;
    solver_problem p;      // rounds `left`
    float *scaled, *left;  // [rows x cols] W s; what the branch leaves
    float *error, *moved;  // [rows x cols] errors behind the scales; times H
    double *a, *g, *v, *e; // the branch: W s in double, [k x k] its square, eigenvectors and values; also a product
    double *product;       // [rows x cols]
} smooth_work;

// 1 for inputs that never fire or have no weights. The middle of their range at 1, as float16 holds them.
static void smooth_scales(smooth_search *s, double alpha, double beta) {
    int64_t rows = s->rows / s->groups, n = s->groups * s->cols;
    float least = INFINITY, most = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *w = s->w + i / s->cols * rows * s->cols + i % s->cols;
        double span = 0, x = (double)s->max_abs[i];
        for (int64_t r = 0; r < rows; r++) span = fmax(span, fabs((double)w[r * s->cols]));
        double value = pow(x, alpha) / pow(span, beta);
        s->scales[i] = value > 0 && isfinite(value) ? (float)value : 1;
        least = fminf(least, s->scales[i]);
        most = fmaxf(most, s->scales[i]);
    }
    float middle = sqrtf(least * most);
    for (int64_t i = 0; i < n; i++) {
        float value = scales_round(SCALE_PLAIN, NUM_F16, 0, s->scales[i] / middle);
        s->scales[i] = value > 0 && isfinite(value) ? value : s->scales[i] / middle;
    }
}

// left = scaled - its best approximation of rank `rank`.
static bool take_branch(smooth_work *k, base_err *err) {
    const smooth_search *s = k->s;
    int64_t rows = s->rows, cols = s->cols, n = rows * cols, side = rows < cols ? rows : cols, r = s->rank;
    if (r >= side) {
        memset(k->left, 0, (size_t)n * sizeof *k->left);
        return true;
    }
    for (int64_t i = 0; i < n; i++) k->a[i] = (double)k->scaled[i];
    bool wide = rows <= cols;
    num_dgemm(!wide, wide, side, side, wide ? cols : rows, 1, k->a, cols, k->a, cols, 0, k->g, side);
    if (!num_deigh(side, k->g, k->e, k->v, err)) return false;
    const double *top = k->v + (side - r) * side; // rows of rising eigenvalues
    num_dgemm(true, false, side, side, r, 1, top, side, top, side, 0, k->g, side);
    if (wide)
        num_dgemm(false, false, rows, cols, side, 1, k->g, side, k->a, cols, 0, k->product, cols);
    else
        num_dgemm(false, false, rows, cols, side, 1, k->a, cols, k->g, side, 0, k->product, cols);
    for (int64_t i = 0; i < n; i++) k->left[i] = (float)(k->a[i] - k->product[i]);
    return true;
}

static bool error_at(smooth_work *k, double alpha, double beta, double *error, base_err *err) {
    smooth_search *s = k->s;
    solver_problem *p = &k->p;
    int64_t n = s->rows * s->cols, rows = s->rows / s->groups, per_row = uniform_groups_per_row(s->cols, p->grid.group);
    int64_t length = p->grid.group > 0 ? p->grid.group : s->cols;
    smooth_scales(s, alpha, beta);
    for (int64_t i = 0; i < n; i++) {
        int64_t g = i / s->cols / rows;
        k->scaled[i] = k->left[i] = s->w[i] * s->scales[g * s->cols + i % s->cols];
    }
    if ((s->rank && !take_branch(k, err)) || !solver_rtn.solve(p, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        int64_t r = i / s->cols, c = i % s->cols, at = r * per_row + c / length;
        float q = grid_value(&p->grid, (grid_param){p->scales[at], p->zeros[at]}, p->codes[i]);
        k->error[i] = (k->left[i] - q) / s->scales[r / rows * s->cols + c];
    }
    *error = 0;
    for (int64_t g = 0; g < s->groups; g++) {
        const float *e = k->error + g * rows * s->cols;
        num_gemm(false, false, rows, s->cols, s->cols, 1, e, s->cols, s->h + g * s->cols * s->cols, s->cols, 0,
                 k->moved, s->cols);
        for (int64_t r = 0; r < rows; r++) *error += num_dot(k->moved + r * s->cols, e + r * s->cols, (size_t)s->cols);
    }
    return base_go_on(s->job, err);
}

static bool open_work(smooth_work *k, smooth_search *s, base_err *err) {
    size_t n = (size_t)(s->rows * s->cols), side = (size_t)(s->rows < s->cols ? s->rows : s->cols);
    size_t scales = (size_t)uniform_scale_count(s->rows, s->cols, s->grid.group);
    *k = (smooth_work){.s = s};
    k->scaled = base_big_alloc(4 * n + 2 * scales, sizeof *k->scaled, "the search for scales", err);
    k->a =
        k->scaled ? base_big_alloc(2 * n + 2 * side * side + side, sizeof *k->a, "the search for scales", err) : NULL;
    grid_code *codes = k->a ? base_big_alloc(n, sizeof *codes, "the search for scales", err) : NULL;
    if (!codes) return false;
    k->left = k->scaled + n, k->error = k->left + n, k->moved = k->error + n;
    k->product = k->a + n, k->g = k->product + n, k->v = k->g + side * side, k->e = k->v + side * side;
    k->p = (solver_problem){.layer = s->layer,
                            .r = k->left,
                            .rows = s->rows,
                            .cols = s->cols,
                            .groups = s->groups,
                            .grid = s->grid,
                            .job = s->job,
                            .codes = codes,
                            .scales = k->moved + n,
                            .zeros = k->moved + n + scales};
    return true;
}

bool smooth_find_scales(smooth_search *s, base_err *err) {
    smooth_work k;
    bool ok = open_work(&k, s, err) && error_at(&k, 0, 0, &s->plain, err);
    s->alpha = s->beta = 0;
    s->best = s->plain;
    for (int64_t i = 1; ok && i < 2 * s->grids - 1; i++) {
        double a = (double)(i < s->grids ? i : i - s->grids + 1) / (double)s->grids, b = i < s->grids ? 0 : 1 - a;
        double error = INFINITY;
        ok = error_at(&k, a, b, &error, err);
        if (error < s->best) s->best = error, s->alpha = a, s->beta = b;
    }
    if (ok) smooth_scales(s, s->alpha, s->beta);
    base_big_free(k.scaled);
    base_big_free(k.a);
    base_big_free(k.p.codes);
    return ok;
}
