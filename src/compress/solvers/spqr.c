// spqr: the weights that quantisation with feedback would pay most for.
//
// Dettmers et al., SpQR (ICLR 2024, arXiv 2306.03078), algorithm 1, in the order of events of the authors' code
// (Vahe1994/SpQR, spqr_engine.py): a sweep as GPTQ's in which a weight whose squared error over U_cc^2 exceeds
// threshold * mean_c(var(w_:c) / U_cc^2) stays a float. A group's grid spans its weights without the likely outliers,
// those whose absence lowers the group's error (grid fitted again without them) by more than the threshold; their place
// takes the mean of the others. U is the upper Cholesky factor of H^-1. The grid is that of the authors: extremes of
// the group, a real zero point. Here weights of inputs that never fire are no outliers.
#include "compress/solvers/spqr.h"
#include "compress/solvers/factor.h"

#include <math.h>
#include <stdlib.h>

enum { TILE = 8 }; // rows that share a pass over U

typedef struct work {
    const spqr_problem *p;
    const float *u; // [cols x cols]
    double limit;
    int64_t group;
} work;

typedef struct span {
    double scale, zero;
} span;

static span span_of(const spqr_problem *p, double low, double high) {
    double top = (double)((int64_t)1 << p->bits) - 1;
    if (p->sym) {
        high = fmax(fabs(low), high);
        if (low < 0) low = -high;
    }
    if (low == high) low = -1, high = 1;
    double scale = (high - low) / top;
    return (span){scale, p->sym ? (top + 1) / 2 : -low / scale};
}

static double nearest(const spqr_problem *p, span s, double x) {
    double top = (double)((int64_t)1 << p->bits) - 1, code = rint(x / fmax(s.scale, 1e-9) + s.zero);
    return s.scale * (fmin(fmax(code, 0), top) - s.zero);
}

static double squared_error(const work *k, span s, const double *x, int64_t at, int64_t i) {
    double e = (x[i] - nearest(k->p, s, x[i])) / (double)k->u[(at + i) * k->p->cols + at + i];
    return e * e;
}

// Extremes of x[0..n) without x[out]; out -1: of all.
static void extremes(const double *x, int64_t n, int64_t out, double *low, double *high) {
    *low = INFINITY, *high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (i == out) continue;
        *low = fmin(*low, x[i]);
        *high = fmax(*high, x[i]);
    }
    if (*low > *high) *low = *high = 0;
}

// The grid of columns [at, at + n) of a row without its likely outliers. Leaving a weight out changes the grid only
// where it is the one extreme, so all others are judged by their own error.
static span group_span(const work *k, const double *x, int64_t at, int64_t n) {
    double low, high, sum = 0, base = 0, least = INFINITY, most = -INFINITY;
    extremes(x, n, -1, &low, &high);
    span s = span_of(k->p, low, high);
    int64_t stay = 0;
    for (int64_t i = 0; i < n; i++) base += squared_error(k, s, x, at, i);
    for (int64_t i = 0; i < n; i++) {
        double gain = squared_error(k, s, x, at, i);
        if (x[i] == low || x[i] == high) {
            double a, b, without = 0;
            extremes(x, n, i, &a, &b);
            span t = span_of(k->p, a, b);
            for (int64_t j = 0; j < n; j++) without += j == i ? 0 : squared_error(k, t, x, at, j);
            gain = base - without;
        }
        if (gain > k->limit) continue;
        stay++;
        sum += x[i];
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
    }
    if (stay == n) return s;
    // The mean of none is 0, as the authors divide by at least one.
    double mean = stay ? sum / (double)stay : 0;
    return span_of(k->p, fmin(least, mean), fmax(most, mean));
}

// Rows [from, from + n) column by column; x [n x cols] holds them, moved by the columns before.
static void mark_rows(const work *k, int64_t from, int64_t n, double *x) {
    const spqr_problem *p = k->p;
    span s[TILE];
    for (int64_t c = 0; c < p->cols; c++) {
        const float *u = k->u + c * p->cols;
        for (int64_t r = 0; r < n; r++) {
            double *row = x + r * p->cols;
            int64_t left = p->cols - c < k->group ? p->cols - c : k->group;
            if (c % k->group == 0) s[r] = group_span(k, row + c, c, left);
            double e = (row[c] - nearest(p, s[r], row[c])) / (double)u[c];
            bool out = e * e > k->limit && p->h[c * p->cols + c] != 0;
            p->mask[(from + r) * p->cols + c] = out;
            for (int64_t j = c + 1; !out && j < p->cols; j++) row[j] -= e * (double)u[j];
        }
    }
}

// Mean over inputs of the variance of their weights over U_cc^2; one row has no variance, so its squares stand for it.
static double outlier_scale(const spqr_problem *p, const float *u) {
    double total = 0;
    for (int64_t c = 0; c < p->cols; c++) {
        double sum = 0, squares = 0, d = (double)u[c * p->cols + c];
        if (p->h[c * p->cols + c] == 0) continue;
        for (int64_t r = 0; r < p->rows; r++) sum += (double)p->w[r * p->cols + c];
        double mean = p->rows > 1 ? sum / (double)p->rows : 0;
        for (int64_t r = 0; r < p->rows; r++) {
            double x = (double)p->w[r * p->cols + c] - mean;
            squares += x * x;
        }
        total += squares / (double)(p->rows > 1 ? p->rows - 1 : 1) / (d * d);
    }
    return total / (double)p->cols;
}

static void mark_tile(const work *k, int64_t from, double *x) {
    const spqr_problem *p = k->p;
    int64_t n = p->rows - from < TILE ? p->rows - from : TILE;
    for (int64_t i = 0; i < n * p->cols; i++) {
        int64_t c = i % p->cols;
        x[i] = p->h[c * p->cols + c] == 0 ? 0 : (double)p->w[from * p->cols + i];
    }
    mark_rows(k, from, n, x);
}

static bool mark_all(const work *k, base_err *err) {
    const spqr_problem *p = k->p;
    bool enough = true;
#ifdef _OPENMP
#pragma omp parallel reduction(&& : enough)
#endif
    {
        base_err own = {0};
        double *x = base_big_alloc((size_t)(TILE * p->cols), sizeof *x, "rows of a layer", &own);
        enough = x != NULL;
#ifdef _OPENMP
#pragma omp for schedule(dynamic)
#endif
        for (int64_t r = 0; r < p->rows; r += TILE)
            if (x && !base_cancelled(p->job)) mark_tile(k, r, x);
        base_big_free(x);
    }
    if (!enough) return base_fail(err, "%s: out of memory for rows of %lld weights", p->layer, (long long)p->cols);
    return base_go_on(p->job, err);
}

// The authors take the mean for the damping before dead inputs get 1, gptq_factor (as GPTQ) after.
static double damp_of(const spqr_problem *p) {
    double sum = 0, dead = 0;
    for (int64_t c = 0; c < p->cols; c++) {
        sum += (double)p->h[c * p->cols + c];
        dead += p->h[c * p->cols + c] == 0;
    }
    return sum > 0 ? p->damp * sum / (sum + dead) : p->damp;
}

bool spqr_mark(spqr_problem *p, base_err *err) {
    float *u = base_big_alloc((size_t)(p->cols * p->cols), sizeof *u, "the inverse of the second moment", err);
    bool ok = u && gptq_factor(p->layer, p->cols, p->h, NULL, damp_of(p), u, &p->damping, p->job, err);
    if (ok) {
        work k = {.p = p, .u = u, .limit = p->threshold * outlier_scale(p, u)};
        k.group = p->group > 0 && p->group < p->cols ? p->group : p->cols;
        ok = mark_all(&k, err);
    }
    base_big_free(u);
    return ok;
}
