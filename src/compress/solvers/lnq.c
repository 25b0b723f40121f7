// lnq: books of values and codes under the whole second moment of the inputs: LNQ (layer-wise non-uniform quantisation;
// Kim et al., GuidedQuant, ICML 2025, arXiv 2505.07004, section 4), which begins with the books of SqueezeLLM.
//
// Rows are problems of their own: the least (w - q) H (w - q)^T with q_j = book[code_j]. In turn each value of the book
// moves to its optimum with the codes and other values held (their closed form by Gauss-Seidel), and each code to the
// value that is best with all other weights held; both only ever lower the error. Codes by feedback (as gptq) are the
// better start where they have the lower error.
#include "compress/solvers/lnq.h"
#include "compress/solvers/factor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct room {
    lnq_work *k;
    float *e, *g;     // [rows x cols] W - Q, and that times H
    float *x;         // [rows x cols] moved weights; later the products of one value's weights with H
    float *u;         // [cols x cols] of the group at hand
    int64_t *order;   // [cols]
    uint8_t *started; // [rows x cols] the given codes
} room;

static bool kept(const lnq_work *k, int64_t at) {
    return !k->mask || k->mask[at];
}

static float value_at(const lnq_work *k, int64_t row, int64_t col) {
    int64_t at = row * k->cols + col;
    return kept(k, at) ? k->centers[row * k->levels + k->codes[at]] : 0;
}

static uint8_t nearest(const float *book, int64_t levels, float x) {
    int64_t best = 0;
    for (int64_t i = 1; i < levels; i++)
        if (fabsf(book[i] - x) < fabsf(book[best] - x)) best = i;
    return (uint8_t)best;
}

// e and g of the codes as they are.
static void measure(const room *o) {
    lnq_work *k = o->k;
    int64_t rows = k->rows / k->groups, n = rows * k->cols;
    for (int64_t r = 0; r < k->rows; r++)
        for (int64_t c = 0; c < k->cols; c++) {
            int64_t at = r * k->cols + c;
            o->e[at] = kept(k, at) ? k->w[at] - value_at(k, r, c) : 0;
        }
    for (int64_t g = 0; g < k->groups; g++)
        num_gemm(false, false, rows, k->cols, k->cols, 1, o->e + g * n, k->cols, k->h + g * k->cols * k->cols, k->cols,
                 0, o->g + g * n, k->cols);
}

static double row_error(const room *o, int64_t row) {
    return num_dot(o->e + row * o->k->cols, o->g + row * o->k->cols, (size_t)o->k->cols);
}

// ---- the start by feedback -----------------------------------------------------------------------

static void feed_row(const room *o, int64_t row) {
    lnq_work *k = o->k;
    int64_t n = k->cols;
    const float *book = k->centers + row * k->levels;
    float *x = o->x + row * n;
    for (int64_t i = 0; i < n; i++) x[i] = kept(k, row * n + i) ? k->w[row * n + i] : 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = o->order[i];
        if (kept(k, row * n + j)) k->codes[row * n + j] = nearest(book, k->levels, x[j]);
        float error = (x[j] - value_at(k, row, j)) / o->u[i * n + i];
        for (int64_t a = i + 1; a < n; a++) x[o->order[a]] -= error * o->u[i * n + a];
    }
}

typedef struct entry {
    float h;
    int64_t col;
} entry;

static int falling(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->h != y->h) return x->h > y->h ? -1 : 1;
    return x->col < y->col ? -1 : x->col > y->col;
}

static bool feed(const room *o, base_err *err) {
    lnq_work *k = o->k;
    int64_t rows = k->rows / k->groups, n = k->cols;
    entry *d = base_calloc((size_t)n, sizeof *d);
    bool ok = true;
    for (int64_t g = 0; ok && g < k->groups; g++) {
        const float *h = k->h + g * n * n;
        for (int64_t i = 0; i < n; i++) d[i] = (entry){h[i * n + i], i};
        qsort(d, (size_t)n, sizeof *d, falling);
        for (int64_t i = 0; i < n; i++) o->order[i] = d[i].col;
        double used = NAN;
        ok = base_go_on(k->job, err) && gptq_factor(k->layer, n, h, o->order, k->damp, o->u, &used, k->job, err);
        if (!(k->damping > used)) k->damping = used; // NaN at first
        if (!ok) break;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (rows * n > TERM_PARALLEL)
#endif
        for (int64_t r = g * rows; r < (g + 1) * rows; r++) feed_row(o, r);
    }
    free(d);
    return ok;
}

// ---- turns ---------------------------------------------------------------------------------------

// Each value of a row's book in turn; g follows.
static void fit_book(const room *o, int64_t row) {
    lnq_work *k = o->k;
    int64_t n = k->cols;
    const float *h = k->h + row / (k->rows / k->groups) * n * n;
    float *g = o->g + row * n, *product = o->x + row * n;
    for (int64_t level = 0; level < k->levels; level++) {
        double along = 0, curve = 0;
        memset(product, 0, (size_t)n * sizeof *product);
        for (int64_t j = 0; j < n; j++) {
            if (k->codes[row * n + j] != level || !kept(k, row * n + j)) continue;
            along += (double)g[j];
            for (int64_t c = 0; c < n; c++) product[c] += h[j * n + c];
        }
        for (int64_t j = 0; j < n; j++)
            if (k->codes[row * n + j] == level && kept(k, row * n + j)) curve += (double)product[j];
        float step = curve > 0 ? (float)(along / curve) : 0;
        if (!isfinite(step) || step == 0) continue;
        k->centers[row * k->levels + level] += step;
        for (int64_t c = 0; c < n; c++) g[c] -= step * product[c];
    }
}

// Each code in turn; whether any changed.
static bool descend(const room *o, int64_t row) {
    lnq_work *k = o->k;
    int64_t n = k->cols;
    const float *h = k->h + row / (k->rows / k->groups) * n * n, *book = k->centers + row * k->levels;
    float *g = o->g + row * n;
    bool changed = false;
    for (int64_t j = 0; j < n; j++) {
        float curve = h[j * n + j], now = value_at(k, row, j);
        if (!kept(k, row * n + j) || !(curve > 0)) continue;
        uint8_t code = nearest(book, k->levels, now + g[j] / curve);
        float step = book[code] - now;
        if (step == 0 || code == k->codes[row * n + j]) continue;
        // In float32 a step may look better that is not: what it gains is asked for.
        if (!(step * (2 * g[j] - step * curve) > 0)) continue;
        k->codes[row * n + j] = code;
        for (int64_t c = 0; c < n; c++) g[c] -= step * h[j * n + c];
        changed = true;
    }
    return changed;
}

enum { CYCLES = 4 }; // of descent a turn, as the authors

static void turn_row(const room *o, int64_t row, bool books) {
    if (books) fit_book(o, row);
    for (int i = 0; i < CYCLES && descend(o, row); i++) continue;
}

static bool turn(const room *o, bool books, base_err *err) {
    const lnq_work *k = o->k;
    if (!base_go_on(k->job, err)) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (k->rows * k->cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < k->rows; r++) turn_row(o, r, books);
    return true;
}

// The given codes again for rows that feedback did no good.
static void choose_start(const room *o, const double *given) {
    lnq_work *k = o->k;
    for (int64_t r = 0; r < k->rows; r++)
        if (!(row_error(o, r) <= given[r])) memcpy(k->codes + r * k->cols, o->started + r * k->cols, (size_t)k->cols);
}

static bool solve(const room *o, double *given, base_err *err) {
    lnq_work *k = o->k;
    memcpy(o->started, k->codes, (size_t)(k->rows * k->cols));
    measure(o);
    for (int64_t r = 0; r < k->rows; r++) k->before += given[r] = row_error(o, r);
    if (!feed(o, err)) return false;
    measure(o);
    choose_start(o, given);
    for (int64_t t = 0; t < k->turns; t++) {
        measure(o); // also what float32 lost on the way
        if (!turn(o, true, err)) return false;
    }
    for (int64_t i = 0; k->half && i < k->rows * k->levels; i++)
        k->centers[i] = num_f16_to_f32(num_f32_to_f16(k->centers[i]));
    measure(o);
    if (!turn(o, false, err)) return false;
    measure(o);
    for (int64_t r = 0; r < k->rows; r++) k->after += row_error(o, r);
    return true;
}

bool lnq_solve(lnq_work *k, base_err *err) {
    size_t n = (size_t)(k->rows * k->cols);
    const char *what = "books under the second moment";
    room o = {.k = k};
    k->before = k->after = 0;
    k->damping = NAN;
    double *given = NULL;
    bool ok = (o.e = base_big_alloc(3 * n, sizeof *o.e, what, err)) &&
              (o.u = base_big_alloc((size_t)(k->cols * k->cols), sizeof *o.u, what, err)) &&
              (o.order = base_big_alloc((size_t)k->cols, sizeof *o.order, what, err)) &&
              (o.started = base_big_alloc(n, 1, what, err)) &&
              (given = base_big_alloc((size_t)k->rows, sizeof *given, what, err));
    if (ok) {
        o.g = o.e + n;
        o.x = o.g + n;
        ok = solve(&o, given, err);
    }
    base_big_free(o.e);
    base_big_free(o.u);
    base_big_free(o.order);
    base_big_free(o.started);
    base_big_free(given);
    return ok;
}
