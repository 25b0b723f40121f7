// decoupleq: the integer part and the float part of a layer in turn (decoupleQ: Guo et al., 2024, arXiv 2404.12759,
// section 3).
//
// Minimise tr((Q-W) H (Q-W)^T) over codes and over (scale, zero) of every group, Q = scale (code - zero), the zero a
// real number. With scales and zeros held, the codes come from gptq's sweep, clamped to the grid, as in the authors'
// faster second level of approximation; with codes held, scales and zeros of all groups of a row solve one linear
// system: the normal equations under H of the columns `codes of group g` and `ones of group g`. A symmetric grid has no
// free zero. On levels that are not even (tables, signs, ternary) a group's column is that of the codes' levels; with a
// scale for each sign it falls into two. Each row keeps the best of all turns.
#include "compress/solvers/decoupleq.h"
#include "compress/solvers/gptq.h"
#include "compress/solvers/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS = 6 };

// ---- the float part ------------------------------------------------------------------------------

size_t decoupleq_room(int64_t cols, int64_t per_row) {
    return (size_t)(4 * per_row * per_row + 4 * per_row + 2 * cols * per_row);
}

static bool is_uneven(const grid_spec *g) {
    return g->table || g->scheme == UNIFORM_SIGN || g->scheme == UNIFORM_TERNARY;
}

// The column of unknown `kind` of its group at c: the level for a scale (of one sign only where each has its own), 1
// for an offset.
static double column_at(const solver_problem *p, int64_t row, const grid_code *codes, int64_t c, int64_t kind,
                        double zero) {
    const grid_spec *g = &p->grid;
    if (p->mask && !p->mask[row * p->cols + c]) return 0;
    if (!is_uneven(g)) return kind ? 1 : (double)codes[c] - zero;
    grid_param one = {1, g->scheme == UNIFORM_TERNARY || g->table ? 1 : 0};
    double level = (double)grid_value(g, one, codes[c]);
    return g->split && (level < 0) != (kind == 1) ? 0 : level;
}

bool decoupleq_floats(const solver_problem *p, int64_t row, const grid_code *codes, bool free_zero, float *scales,
                      float *zeros, double *room) {
    int64_t cols = p->cols, length = p->grid.group > 0 ? p->grid.group : cols, groups = (cols + length - 1) / length;
    bool split = p->grid.split;
    int64_t kinds = free_zero || split ? 2 : 1, n = kinds * groups;
    double *a = room, *b = a + n * n, *product = b + n; // product [n x cols]: each unknown's column times H
    const float *w = p->r + row * cols;
    memset(product, 0, (size_t)(n * cols) * sizeof *product);
    for (int64_t c = 0; c < cols; c++) {
        const float *h = p->h + c * cols;
        for (int64_t kind = 0; kind < kinds; kind++) {
            // With a free zero the level is the code itself, its offset the other unknown.
            double v = column_at(p, row, codes, c, kind, free_zero ? 0 : (double)zeros[c / length]);
            double *to = product + (kinds * (c / length) + kind) * cols;
            if (v != 0)
                for (int64_t j = 0; j < cols; j++) to[j] += v * (double)h[j];
        }
    }
    memset(a, 0, (size_t)(n * n + n) * sizeof *a);
    for (int64_t u = 0; u < n; u++)
        for (int64_t c = 0; c < cols; c++) {
            double x = product[u * cols + c];
            b[u] += x * (double)w[c];
            for (int64_t kind = 0; kind < kinds; kind++)
                a[u * n + kinds * (c / length) + kind] +=
                    x * column_at(p, row, codes, c, kind, free_zero ? 0 : (double)zeros[c / length]);
        }
    if (!learn_solve_system(a, b, n, 1e-9)) return false;
    for (int64_t g = 0; g < groups; g++) {
        const double *x = b + kinds * g;
        if (!isfinite(x[0]) || (kinds == 2 && !isfinite(x[1]))) return false;
        // The scale of a sign that no code of the group has is exactly 0 here, and stays.
        if (split ? x[0] < 0 || x[1] < 0 : !(x[0] > 0)) return false;
    }
    for (int64_t g = 0; g < groups; g++) {
        if (split) {
            if (b[2 * g] > 0) scales[g] = (float)b[2 * g];
            if (b[2 * g + 1] > 0) zeros[g] = (float)b[2 * g + 1];
            continue;
        }
        scales[g] = (float)b[kinds * g];
        if (free_zero) zeros[g] = (float)(-b[kinds * g + 1] / b[kinds * g]);
    }
    return true;
}

// ---- turns ---------------------------------------------------------------------------------------

typedef struct decouple {
    solver_problem try; // its own codes, scales and zeros
    double *error, *least;
    float *d;
    int64_t per_row;
    bool stays; // scales that are given, or one for the tensor
} decouple;

// As pack stores zeros: f16 while all of them are below 256, else f32, which holds these too.
static float stored_zero(const grid_spec *g, float zero) {
    return g->scheme == UNIFORM_REAL && fabsf(zero) < 256 ? num_f16_to_f32(num_f32_to_f16(zero)) : zero;
}

// Rows of the candidate that are better than what p holds go there.
static void offer(const decouple *k, solver_problem *p) {
    const solver_problem *t = &k->try;
    learn_row_errors(t, t->codes, t->scales, t->zeros, k->d, k->d + p->rows * p->cols, k->error);
    for (int64_t r = 0; r < p->rows; r++) {
        if (!(k->error[r] < k->least[r])) continue;
        k->least[r] = k->error[r];
        memcpy(p->codes + r * p->cols, t->codes + r * p->cols, (size_t)p->cols * sizeof(grid_code));
        memcpy(p->scales + r * k->per_row, t->scales + r * k->per_row, (size_t)k->per_row * sizeof *p->scales);
        memcpy(p->zeros + r * k->per_row, t->zeros + r * k->per_row, (size_t)k->per_row * sizeof *p->zeros);
    }
}

// The float part of every row, rounded to what will be stored.
static bool floats(const decouple *k, base_err *err) {
    const solver_problem *p = &k->try;
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel
#endif
    {
        base_err own = {0};
        double *room = base_big_alloc(decoupleq_room(p->cols, k->per_row), sizeof *room, "scales and zeros", &own);
        bool good = room != NULL;
#ifdef _OPENMP
#pragma omp for schedule(dynamic)
#endif
        for (int64_t r = 0; r < p->rows; r++) {
            if (!good || !(good = base_go_on(p->job, &own))) continue;
            float *s = p->scales + r * k->per_row, *z = p->zeros + r * k->per_row;
            decoupleq_floats(p, r, p->codes + r * p->cols, p->grid.scheme == UNIFORM_REAL, s, z, room);
            for (int64_t g = 0; g < k->per_row; g++) {
                s[g] = learn_stored_scale(&p->grid, s[g]);
                z[g] = p->grid.split ? learn_stored_scale(&p->grid, z[g]) : stored_zero(&p->grid, z[g]);
            }
        }
        base_big_free(room);
        if (!good) {
#ifdef _OPENMP
#pragma omp critical(decoupleq_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
    }
    return ok;
}

static bool take_turns(decouple *k, solver_problem *p, float *factor, base_err *err) {
    gptq_options o = {.damp = solver_number(p, "damp", 0.01),
                      .block = (int64_t)solver_number(p, "block", 128),
                      .act_order = solver_is(p, "order", "act"),
                      .static_groups = true,
                      .fitted = true,
                      .factor = factor};
    int64_t turns = learn_iterations(p, TURNS);
    offer(k, p); // rounding to nearest
    for (int64_t turn = 0; turn < turns; turn++) {
        if (turn && !k->stays) {
            if (!floats(k, err)) return false;
            offer(k, p);
        }
        if (!gptq_solve(&k->try, &o, NULL, err)) return false;
        o.factored = true;
        p->damping = k->try.damping;
        offer(k, p);
        if (k->stays) break;
    }
    if (k->stays) return true;
    if (!floats(k, err)) return false;
    offer(k, p);
    return true;
}

static bool solve_group(solver_problem *p, void *tensor, base_err *err) {
    int64_t n = p->rows * p->cols;
    bool one = *(bool *)tensor;
    decouple k = {.try = *p, .stays = one || p->fitted};
    k.per_row = one ? 1 : uniform_groups_per_row(p->cols, p->grid.group);
    size_t scales = (size_t)(p->rows * k.per_row);
    k.d = base_big_alloc(2 * (size_t)(n + p->rows * k.per_row) + (size_t)(p->cols * p->cols), sizeof *k.d,
                         "the turns of decoupleq", err);
    k.try.codes = k.d ? base_big_alloc((size_t)n, sizeof(grid_code), "the turns of decoupleq", err) : NULL;
    k.error = base_calloc((size_t)p->rows, 2 * sizeof *k.error);
    k.least = k.error + p->rows;
    bool ok = k.try.codes != NULL;
    if (ok) {
        k.try.scales = k.d + 2 * n;
        k.try.zeros = k.try.scales + scales;
        memcpy(k.try.codes, p->codes, (size_t)n * sizeof(grid_code));
        memcpy(k.try.scales, p->scales, scales * sizeof(float));
        memcpy(k.try.zeros, p->zeros, scales * sizeof(float));
        for (int64_t r = 0; r < p->rows; r++) k.least[r] = INFINITY;
        ok = take_turns(&k, p, k.try.zeros + scales, err);
    }
    base_big_free(k.d);
    base_big_free(k.try.codes);
    free(k.error);
    return ok;
}

static bool solve(solver_problem *p, base_err *err) {
    bool tensor = p->grid.group == GROUP_TENSOR;
    if (!p->grid.table && p->grid.scheme == UNIFORM_ASYM) p->grid.scheme = UNIFORM_REAL;
    if (!solver_rtn.solve(p, err)) return false;
    if (p->diagonal) return true;
    return solver_each_group(p, solve_group, &tensor, err);
}

const compress_solver solver_decoupleq = {
    .name = "decoupleq",
    .help = "integer part and float part of the layer in turn",
    .about = "Codes by gptq's sweep for the scales and zeros there are; then scales and real zeros of all groups of a "
             "row from\n"
             "the normal equations under H for these codes; `iterations` turns (6). sym: scales only. The best turn of "
             "each\n"
             "row is kept. quantize{solver=\"decoupleq\", bits=2, sym=false, group=64}",
    .source = "decoupleQ (Guo et al., 2024, arXiv 2404.12759)",
    .cost = "calibration inputs; inputs^3, and (1 + 2 groups) outputs inputs^2 operations a turn",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
