// learn: tiles of rows for solvers that learn codes (see learn.h).
#include "compress/solvers/learn.h"
#include "compress/solvers/gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t learn_iterations(const solver_problem *p, int64_t otherwise) {
    int64_t asked = (int64_t)solver_number(p, "iterations", 0);
    return asked > 0 ? asked : otherwise;
}

double learn_rate(const solver_problem *p, double otherwise) {
    double asked = solver_number(p, "rate", 0);
    return asked > 0 ? asked : otherwise;
}

float learn_stored_scale(const grid_spec *g, float scale) {
    float least = g->scale == NUM_F16 && g->form == SCALE_PLAIN ? 6.104e-5f : 1e-30f;
    return scales_round(g->form, g->scale, g->outer, scale > least ? scale : least);
}

void learn_differences(learn_tile *t) {
    const solver_problem *p = t->p;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            int64_t at = r * p->cols + c, s = r * t->per_row + c / t->length;
            float q = grid_value(&p->grid, (grid_param){t->scales[s], t->zeros[s]}, t->codes[at]);
            t->d[at] = (learn_kept(t, r, c) ? q : 0) - p->r[t->row * p->cols + at];
        }
}

void learn_product(learn_tile *t) {
    int64_t n = t->p->cols;
    num_gemm1(false, false, t->rows, n, n, 1, t->d, n, t->p->h, n, 0, t->dh, n);
}

static double row_error(const learn_tile *t, int64_t r) {
    const float *d = t->d + r * t->p->cols, *dh = t->dh + r * t->p->cols;
    double e = 0;
    for (int64_t c = 0; c < t->p->cols; c++) e += (double)d[c] * (double)dh[c];
    return e;
}

void learn_offer(learn_tile *t) {
    const solver_problem *p = t->p;
    for (int64_t r = 0; r < t->rows; r++) {
        double e = row_error(t, r);
        if (!(e < t->least[r])) continue;
        int64_t row = t->row + r;
        t->least[r] = e;
        memcpy(p->codes + row * p->cols, t->codes + r * p->cols, (size_t)p->cols * sizeof(grid_code));
        if (t->fixed) continue;
        memcpy(p->scales + row * t->per_row, t->scales + r * t->per_row, (size_t)t->per_row * sizeof *p->scales);
        memcpy(p->zeros + row * t->per_row, t->zeros + r * t->per_row, (size_t)t->per_row * sizeof *p->zeros);
    }
}

bool learn_solve_system(double *a, double *b, int64_t n, double ridge) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += a[i * n + i] / (double)n;
    for (int64_t i = 0; i < n; i++) a[i * n + i] += ridge * mean + 1e-300;
    if (!num_dcholesky(n, a, n)) return false;
    for (int64_t i = 0; i < n; i++) { // U^T y = b
        for (int64_t k = 0; k < i; k++) b[i] -= a[k * n + i] * b[k];
        b[i] /= a[i * n + i];
    }
    for (int64_t i = n - 1; i >= 0; i--) { // U x = y
        for (int64_t k = i + 1; k < n; k++) b[i] -= a[i * n + k] * b[k];
        b[i] /= a[i * n + i];
    }
    return true;
}

void learn_row_errors(const solver_problem *p, const grid_code *codes, const float *scales, const float *zeros,
                      float *d, float *dh, double *error) {
    learn_tile t = {.p = (solver_problem *)p, .rows = p->rows, .scales = (float *)scales, .zeros = (float *)zeros};
    t.codes = (grid_code *)codes;
    t.d = d;
    t.dh = dh;
    t.length = p->grid.group > 0 ? p->grid.group : p->cols;
    t.per_row = p->grid.group == GROUP_TENSOR ? 1 : uniform_groups_per_row(p->cols, p->grid.group);
    learn_differences(&t);
    num_gemm(false, false, p->rows, p->cols, p->cols, 1, d, p->cols, p->h, p->cols, 0, dh, p->cols);
    for (int64_t r = 0; r < p->rows; r++) error[r] = row_error(&t, r);
}

bool learn_from_gptq(solver_problem *p, base_err *err) {
    int64_t n = p->rows * p->cols;
    float *d = base_big_alloc((size_t)n, 2 * sizeof *d, "learning a layer", err);
    grid_code *before = d ? base_big_alloc((size_t)n, sizeof(grid_code), "learning a layer", err) : NULL;
    double *error = base_calloc((size_t)p->rows, 2 * sizeof *error);
    gptq_options o = {.damp = solver_number(p, "damp", 0.01),
                      .block = (int64_t)solver_number(p, "block", 128),
                      .act_order = solver_is(p, "order", "act"),
                      .group_order = solver_is(p, "order", "group"),
                      .static_groups = true,
                      .fitted = true};
    bool ok = before != NULL;
    if (ok) {
        memcpy(before, p->codes, (size_t)n * sizeof(grid_code));
        learn_row_errors(p, before, p->scales, p->zeros, d, d + n, error);
        ok = gptq_solve(p, &o, NULL, err);
    }
    if (ok) learn_row_errors(p, p->codes, p->scales, p->zeros, d, d + n, error + p->rows);
    for (int64_t r = 0; ok && r < p->rows; r++)
        if (!(error[p->rows + r] < error[r]))
            memcpy(p->codes + r * p->cols, before + r * p->cols, (size_t)p->cols * sizeof(grid_code));
    base_big_free(d);
    base_big_free(before);
    free(error);
    return ok;
}

// What one group's tiles need to know.
typedef struct learn_work {
    const learn_method *method;
    void *own;
    int64_t stayed; // rows that learning did not improve
    int64_t rows;   // of all groups
    bool fixed;
} learn_work;

static bool open_tile(learn_tile *t, int64_t room, base_err *err) {
    int64_t n = t->p->cols, per_row = t->per_row, rows = LEARN_TILE;
    t->d = base_big_alloc((size_t)(rows * (2 * n + 2 * per_row + room) + 1), sizeof(float), "learning a layer", err);
    t->least = t->d ? base_big_alloc((size_t)(2 * rows), sizeof(double), "learning a layer", err) : NULL;
    t->codes = t->least ? base_big_alloc((size_t)(rows * n), sizeof(grid_code), "learning a layer", err) : NULL;
    if (!t->codes) return false;
    t->dh = t->d + rows * n;
    t->scales = t->dh + rows * n;
    t->zeros = t->scales + rows * per_row;
    t->room = t->zeros + rows * per_row;
    t->start = t->least + rows;
    return true;
}

static void close_tile(learn_tile *t) {
    base_big_free(t->d);
    base_big_free(t->least);
    base_big_free(t->codes);
}

// The tile starts from what the group has: codes of rounding to nearest, or of what `begin` made of them.
static void load_tile(learn_tile *t) {
    const solver_problem *p = t->p;
    memcpy(t->codes, p->codes + t->row * p->cols, (size_t)(t->rows * p->cols) * sizeof(grid_code));
    memcpy(t->scales, p->scales + t->row * t->per_row, (size_t)(t->rows * t->per_row) * sizeof *t->scales);
    memcpy(t->zeros, p->zeros + t->row * t->per_row, (size_t)(t->rows * t->per_row) * sizeof *t->zeros);
    for (int64_t r = 0; r < t->rows; r++) t->least[r] = INFINITY;
    learn_differences(t);
    learn_product(t);
    learn_offer(t);
    memcpy(t->start, t->least, (size_t)t->rows * sizeof *t->least);
}

static bool learn_group(solver_problem *p, void *context, base_err *err) {
    learn_work *w = context;
    int64_t tiles = (p->rows + LEARN_TILE - 1) / LEARN_TILE, stayed = 0;
    int64_t room = w->method->room_per_row ? w->method->room_per_row(p) : 0;
    bool ok = true;
    if (w->method->begin && !w->method->begin(p, w->own, err)) return false;
#ifdef _OPENMP
#pragma omp parallel reduction(+ : stayed) if (tiles > 1)
#endif
    {
        base_err own = {0};
        learn_tile t = {.p = p, .fixed = w->fixed || p->fitted};
        t.length = p->grid.group > 0 ? p->grid.group : p->cols;
        t.per_row = w->fixed ? 1 : uniform_groups_per_row(p->cols, p->grid.group);
        bool good = open_tile(&t, room, &own);
#ifdef _OPENMP
#pragma omp for schedule(dynamic)
#endif
        for (int64_t i = 0; i < tiles; i++) {
            if (!good || !(good = base_go_on(p->job, &own))) continue;
            t.row = i * LEARN_TILE;
            t.rows = p->rows - t.row < LEARN_TILE ? p->rows - t.row : LEARN_TILE;
            t.index = (uint64_t)(w->rows + i);
            load_tile(&t);
            good = w->method->learn(&t, w->own, &own);
            for (int64_t r = 0; r < t.rows; r++) stayed += t.start[r] > 0 && !(t.least[r] < t.start[r]);
        }
        close_tile(&t);
        if (!good) {
#ifdef _OPENMP
#pragma omp critical(learn_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
    }
    w->stayed += stayed;
    w->rows += p->rows;
    return ok;
}

bool learn_solve(solver_problem *p, const learn_method *m, void *own, base_err *err) {
    return solver_rtn.solve(p, err) && learn_improve(p, m, own, err);
}

bool learn_improve(solver_problem *p, const learn_method *m, void *own, base_err *err) {
    if (p->diagonal) return true; // an embedding's nearest codes are its minimum
    learn_work w = {.method = m, .own = own, .fixed = p->grid.group == GROUP_TENSOR};
    if (!solver_each_group(p, learn_group, &w, err)) return false;
    if (w.stayed && m->name)
        base_log(p->job, BASE_INFO, "%s: %s found nothing better than its start for %lld of %lld rows", p->layer,
                 m->name, (long long)w.stayed, (long long)w.rows);
    return true;
}
