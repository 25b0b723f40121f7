// factor: what the solvers that go column by column need of the second moment.
//
// Everything starts from the Cholesky factor of H with rows and columns reversed, V^T V: reversing V again gives R
// lower triangular with R^T R = H, which the sweep uses as it is, and inverting V first gives U with U^T U = H^-1
// without forming the inverse, half the work of inverting H.
#include "compress/solvers/factor.h"

#include <math.h>
#include <string.h>

enum { FLOAT64_UP_TO = 1024, INVERSE_LEAF = 96, PANEL = 256 };

// V^-1 of an upper triangular V, in place, by halves: the upper right block becomes -A^-1 B D^-1. The products skip the
// zero parts of the triangles by panels; small triangles are solved column by column in float64. What is below the
// diagonal serves as room for the products.
static bool invert_upper(int64_t n, float *v, int64_t ld, base_job *job, base_err *err) {
    if (!base_go_on(job, err)) return false;
    if (n <= INVERSE_LEAF) {
        float copy[INVERSE_LEAF * INVERSE_LEAF];
        for (int64_t i = 0; i < n; i++) memcpy(copy + i * n, v + i * ld, (size_t)n * sizeof *v);
        // Column by column of X = V^-1: V X = I, solved upwards in float64.
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = j; i >= 0; i--) {
                double sum = i == j ? 1 : 0;
                for (int64_t k = i + 1; k <= j; k++) sum -= (double)copy[i * n + k] * (double)v[k * ld + j];
                v[i * ld + j] = (float)(sum / (double)copy[i * n + i]);
            }
        return true;
    }
    int64_t a = (n / 2 + 15) / 16 * 16, d = n - a;
    if (!invert_upper(a, v, ld, job, err) || !invert_upper(d, v + a * ld + a, ld, job, err)) return false;
    float *b = v + a, *room = v + a * ld;
    // room[d x a] = (A^-1 B)^T, columns of a panel need those of A^-1 from its first on.
    for (int64_t r = 0; r < a; r += PANEL) {
        int64_t rows = a - r < PANEL ? a - r : PANEL;
        num_gemm(true, true, d, rows, a - r, 1, b + r * ld, ld, v + r * ld + r, ld, 0, room + r, ld);
    }
    // B = -room^T D^-1, columns of a panel need rows up to its last.
    for (int64_t c = 0; c < d; c += PANEL) {
        int64_t cols = d - c < PANEL ? d - c : PANEL;
        num_gemm(true, false, a, cols, c + cols, -1, room, ld, v + a * ld + a + c, ld, 0, b + c, ld);
    }
    for (int64_t i = 0; i < d; i++) memset(room + i * ld, 0, (size_t)a * sizeof *room); // the panels above read it
    return true;
}

BASE_CLONES static void reverse(const float *x, int64_t n, float *out) {
    for (int64_t j = 0; j < n; j++) out[j] = x[n - 1 - j];
}

// Reversed, damped, ordered copy of H, the upper triangle; true diagonal value 1 for dead inputs.
static void reversed_copy(int64_t n, const float *h, const int64_t *order, double add, float *out) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 16) if (n * n > TERM_PARALLEL)
#endif
    for (int64_t i = 0; i < n; i++) {
        int64_t from = order ? order[n - 1 - i] : n - 1 - i;
        const float *row = h + from * n;
        if (order)
            for (int64_t j = i; j < n; j++) out[i * n + j] = row[order[n - 1 - j]];
        else
            reverse(row, n - i, out + i * n + i);
        float diagonal = row[from] == 0 ? 1.0f : row[from];
        out[i * n + i] = (float)((double)diagonal + add);
    }
}

// In float64 while the layer is small, where it costs nothing; in float32 with a second chance in float64 above.
static bool factor_once(int64_t n, float *v, bool wide, bool *ok, base_err *err) {
    if (!wide) {
        *ok = num_cholesky(n, v, n);
        return true;
    }
    double *d = base_big_alloc((size_t)(n * n), sizeof *d, "a factorisation in float64", err);
    if (!d) return false;
    for (int64_t i = 0; i < n * n; i++) d[i] = (double)v[i];
    *ok = num_dcholesky(n, d, n);
    for (int64_t i = 0; i < n * n; i++) v[i] = (float)d[i];
    base_big_free(d);
    return true;
}

static bool usable(const float *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(v[i * n + i] > 0) || !isfinite(v[i * n + i])) return false;
    return true;
}

enum { TILE = 16 };

// The square at (i0, j0) and its reflection, where neither meets a diagonal: rows taken and put from the last to the
// first make the transposition one in the other diagonal.
static void turn_tile(int64_t n, float *u, int64_t i0, int64_t j0) {
    float *x = u + i0 * n + j0, *y = u + (n - TILE - j0) * n + n - TILE - i0, turned[TILE * TILE];
    const int64_t last = (TILE - 1) * n;
    num_turn(TILE, TILE, x + last, -n, turned + (TILE - 1) * TILE, -TILE);
    num_turn(TILE, TILE, y + last, -n, x + last, -n);
    for (int64_t i = 0; i < TILE; i++) memcpy(y + i * n, turned + i * TILE, TILE * sizeof *y);
}

static void turn_tiles(int64_t n, float *u, int64_t i0) {
    for (int64_t j0 = i0; j0 + i0 < n; j0 += TILE) {
        if (j0 > i0 && i0 + j0 + 2 * TILE <= n) {
            turn_tile(n, u, i0, j0);
            continue;
        }
        for (int64_t i = i0; i < i0 + TILE; i++)
            for (int64_t j = j0 > i ? j0 : i; j < j0 + TILE && i + j < n - 1; j++) {
                float *a = u + i * n + j, *b = u + (n - 1 - j) * n + n - 1 - i, swap = *a;
                *a = *b;
                *b = swap;
            }
    }
}

// The upper triangle becomes its reflection in the other diagonal, in squares that stay in cache.
static void turn_back(int64_t n, float *u) {
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) if (n * n > TERM_PARALLEL)
#endif
    for (int64_t i = 0; i < n; i += TILE) turn_tiles(n, u, i);
}

// u = V upper triangular with V^T V = the reversed H.
static bool factor_reversed(const char *layer_name, int64_t n, const float *h, const int64_t *order, double damp,
                            float *u, double *damping, base_job *job, base_err *err) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += h[i * n + i] == 0 ? 1 : (double)h[i * n + i];
    mean /= (double)n;
    if (!isfinite(mean)) return base_fail(err, "%s: the second moment of its inputs is not finite", layer_name);
    bool ok = false;
    double used = damp;
    for (int tries = 0; tries < 10 && !ok; tries++) {
        if (tries) used = used > 0 ? used * 10 : 1e-6;
        for (int wide = n <= FLOAT64_UP_TO; wide < 2 && !ok; wide++) {
            reversed_copy(n, h, order, used * mean, u);
            if (!base_go_on(job, err) || !factor_once(n, u, wide, &ok, err)) return false;
            ok = ok && usable(u, n);
        }
    }
    if (!ok)
        return base_fail(err,
                         "%s: the second moment of its inputs cannot be factored even with damping %g of its mean "
                         "diagonal",
                         layer_name, used);
    if (used > damp)
        base_log(job, BASE_WARN, "%s: damping raised from %g to %g of the mean diagonal before it could be factored",
                 layer_name, damp, used);
    *damping = used;
    return true;
}

bool gptq_factor(const char *layer_name, int64_t n, const float *h, const int64_t *order, double damp, float *u,
                 double *damping, base_job *job, base_err *err) {
    if (!factor_reversed(layer_name, n, h, order, damp, u, damping, job, err) || !invert_upper(n, u, n, job, err))
        return false;
    turn_back(n, u);
    return true;
}

BASE_CLONES static void scale(float *x, int64_t n, float by) {
    for (int64_t i = 0; i < n; i++) x[i] *= by;
}

bool sweep_factor(const char *layer_name, int64_t n, const float *h, const int64_t *order, double damp, float *f,
                  double *damping, base_job *job, base_err *err) {
    if (!factor_reversed(layer_name, n, h, order, damp, f, damping, job, err)) return false;
    for (int64_t i = 0; i < n; i++) scale(f + i * n + i + 1, n - i - 1, 1 / f[i * n + i]);
    turn_back(n, f);
    return true;
}
