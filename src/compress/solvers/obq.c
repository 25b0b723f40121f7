// obq: Optimal Brain Quantization and Surgeon, row by row in the exact greedy order.
//
// Frantar, Singh, Alistarh: Optimal Brain Compression, NeurIPS 2022 (arXiv 2208.11580), after the authors' trueobs.py.
// Of the weights of a row still free, the one that costs least, (w - q)^2 / [H^-1]_pp, is fixed; the free ones move by
// -[H^-1]_:p (w_p - q_p) / [H^-1]_pp, and row and column p leave the inverse by one step of Gaussian elimination.
// Quantising, a weight more than half a step off its grid goes first. Pruning (q = 0), every row is traced to the end
// and the weights that go are then chosen over all rows together: by the least next cost (the paper), or by the least
// of all costs (its code), whichever loses less.
#include "compress/solvers/obq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct row_state {
    int64_t n;
    double *w;       // [n]
    double *inverse; // [n x n], of the free weights
    uint8_t *done;   // [n]
} row_state;

// Whether H + damping can be factored in the arithmetic of the authors' code, float32. Where it cannot, float64 would
// still find an inverse, of rounding errors.
static bool full_rank(const double *h, int64_t n, base_err *err, bool *yes) {
    float *f = base_big_alloc((size_t)(n * n), sizeof *f, "a trial factor of the second moment", err);
    if (!f) return false;
    for (int64_t i = 0; i < n * n; i++) f[i] = (float)h[i];
    *yes = num_cholesky(n, f, n);
    base_big_free(f);
    return true;
}

// (H + damping)^-1 in float64. Damping comes before dead inputs are looked for, which get a diagonal of 1; where H is
// singular then, `ridge` is added to its diagonal (0: the damping is raised instead, which does not depend on the scale
// of H).
static bool invert(const char *layer_name, const float *h, int64_t n, double damp, double ridge, double *inverse,
                   double *damping, base_job *job, base_err *err) {
    double mean = 0, used = damp, more = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)h[i * n + i];
    mean /= (double)n;
    for (int tries = 0; tries < 10; tries++) {
        if (tries == 1 && ridge > 0)
            more = ridge;
        else if (tries)
            used = used > 0 ? used * 10 : 1e-6;
        for (int64_t i = 0; i < n * n; i++) inverse[i] = (double)h[i];
        for (int64_t i = 0; i < n; i++) {
            double diagonal = (double)h[i * n + i] + used * mean;
            inverse[i * n + i] = (diagonal == 0 ? 1 : diagonal) + more;
        }
        bool yes;
        if (!base_go_on(job, err) || !full_rank(inverse, n, err, &yes)) return false;
        if (yes && num_dspd_inverse(n, inverse, n)) {
            if (used > damp)
                base_log(job, BASE_WARN,
                         "%s: damping raised from %g to %g of the mean diagonal before it could be inverted",
                         layer_name, damp, used);
            *damping = used;
            return true;
        }
    }
    return base_fail(err, "%s: the second moment of its inputs cannot be inverted even with damping %g", layer_name,
                     used);
}

BASE_CLONES static void subtract_scaled(double *x, const double *y, double a, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] -= a * y[i];
}

// Weight p becomes q, the free ones make up for it, p leaves the inverse.
static void fix(row_state *s, int64_t p, double q) {
    int64_t n = s->n;
    double *row = s->inverse + p * n, d = row[p];
    subtract_scaled(s->w, row, (s->w[p] - q) / d, n);
    s->w[p] = q;
    s->done[p] = 1;
    for (int64_t i = 0; i < n; i++) {
        if (i == p || row[i] == 0) continue;
        subtract_scaled(s->inverse + i * n, row, s->inverse[i * n + p] / d, n);
        s->inverse[i * n + p] = 0;
    }
    memset(row, 0, (size_t)n * sizeof *row);
    row[p] = 1; // never read again as a cost; keeps the diagonal positive
}

static bool row_open(row_state *s, int64_t n, base_err *err) {
    s->n = n;
    s->w = base_calloc((size_t)n, sizeof *s->w);
    s->done = base_calloc((size_t)n, 1);
    s->inverse = base_big_alloc((size_t)(n * n), sizeof *s->inverse, "obq's inverse", err);
    return s->inverse != NULL;
}

static void row_close(row_state *s) {
    free(s->w);
    free(s->done);
    base_big_free(s->inverse);
}

static void row_begin(row_state *s, const float *w, const float *h, const double *inverse) {
    BASE_CHECK(s->n > 0);
    for (int64_t i = 0; i < s->n; i++) s->w[i] = h[i * s->n + i] == 0 ? 0 : (double)w[i];
    memcpy(s->inverse, inverse, (size_t)(s->n * s->n) * sizeof *inverse);
    memset(s->done, 0, (size_t)s->n);
}

// ---- quantisation --------------------------------------------------------------------------------

// The grid of a column: its group's, or the row's.
static grid_param grid_at(const solver_problem *p, int64_t row, int64_t col) {
    int64_t group = p->grid.group > 0 && p->grid.group < p->cols ? p->grid.group : p->cols;
    int64_t at = row * ((p->cols + group - 1) / group) + col / group;
    return (grid_param){p->scales[at], p->zeros[at]};
}

static float round_to(const solver_problem *p, grid_param g, double w, grid_code *code) {
    float x = (float)w;
    grid_encode(&p->grid, g, &x, 1, code);
    return grid_value(&p->grid, g, *code);
}

static void quantize_row(const solver_problem *p, row_state *s, int64_t row) {
    const uint8_t *mask = p->mask ? p->mask + row * s->n : NULL;
    int64_t left = s->n;
    // What is 0 stays 0: pruned weights, dead inputs, and weights that a zero point holds without error.
    for (int64_t i = 0; i < s->n; i++) {
        bool pruned = mask && !mask[i];
        if (!pruned && s->w[i] != 0) continue;
        grid_code code = 0;
        float value = pruned ? 0 : round_to(p, grid_at(p, row, i), 0, &code);
        if (value != 0) continue; // a grid without a zero
        p->codes[row * s->n + i] = code;
        fix(s, i, 0);
        left--;
    }
    for (; left > 0; left--) {
        int64_t cheapest = -1, farthest = -1;
        double least = INFINITY;
        float most = 0;
        grid_code code;
        for (int64_t i = 0; i < s->n; i++) {
            if (s->done[i]) continue;
            grid_param g = grid_at(p, row, i);
            // In float32: the largest weight of a symmetric grid is just half a step off, and rounding decides about it
            // as in the authors' code.
            float off = (float)s->w[i] - round_to(p, g, s->w[i], &code), square = off * off;
            float limit = 0.25f * (g.scale * g.scale);
            double cost = (double)square / s->inverse[i * s->n + i];
            if (cheapest < 0 || cost < least) least = cost, cheapest = i;
            if (square > limit && square > most) most = square, farthest = i;
        }
        int64_t pick = farthest >= 0 ? farthest : cheapest;
        float value = round_to(p, grid_at(p, row, pick), s->w[pick], &code);
        p->codes[row * s->n + pick] = code;
        fix(s, pick, (double)value);
    }
}

// Grids of rows or groups, over the kept weights; without damping dead inputs are 0 by then.
static bool fit_grids(solver_problem *p, double damp, base_err *err) {
    int64_t n = p->cols, group = p->grid.group > 0 && p->grid.group < n ? p->grid.group : n, at = 0;
    bool weighted = p->grid.search == SEARCH_GOLDEN || p->grid.search == SEARCH_IMATRIX;
    float *kept = base_calloc((size_t)n, 2 * sizeof *kept), *weight = kept + n;
    bool ok = true;
    for (int64_t r = 0; ok && r < p->rows; r++)
        for (int64_t c = 0; ok && c < n; c += group, at++) {
            int64_t count = 0;
            for (int64_t i = c; i < n && i < c + group; i++)
                if (!p->mask || p->mask[r * n + i]) {
                    weight[count] = p->h[i * n + i];
                    kept[count++] = damp <= 0 && p->h[i * n + i] == 0 ? 0 : p->r[r * n + i];
                }
            grid_param g;
            ok = grid_fit_weighted(&p->grid, kept, weighted ? weight : NULL, count, p->job, &g, err);
            p->scales[at] = g.scale;
            p->zeros[at] = g.zero;
        }
    free(kept);
    return ok;
}

bool obq_quantize(solver_problem *p, double damp, double ridge, bool fitted, base_err *err) {
    int64_t n = p->cols;
    if (n > OBQ_MOST_COLUMNS)
        return base_fail(err,
                         "%s: obq costs the cube of the inputs for every row; %lld inputs are more than %d, use gptq",
                         p->layer, (long long)n, OBQ_MOST_COLUMNS);
    double *inverse = base_big_alloc((size_t)(n * n), sizeof *inverse, "the inverse of the second moment", err);
    bool ok = inverse && invert(p->layer, p->h, n, damp, ridge, inverse, &p->damping, p->job, err);
    ok = ok && (fitted || fit_grids(p, damp, err));
    bool stopped = false;
#ifdef _OPENMP
#pragma omp parallel if ((double)(p->rows * n) * (double)(n * n) > 1e6)
#endif
    {
        base_err own = {0};
        row_state s = {0};
        bool good = ok && row_open(&s, n, &own);
#ifdef _OPENMP
#pragma omp for schedule(dynamic)
#endif
        for (int64_t r = 0; r < p->rows; r++) {
            if (!good || base_cancelled(p->job)) continue;
            row_begin(&s, p->r + r * n, p->h, inverse);
            quantize_row(p, &s, r);
        }
        row_close(&s);
        if (ok && !good) {
#ifdef _OPENMP
#pragma omp critical(obq_failed)
#endif
            {
                stopped = true;
                *err = own;
            }
        }
    }
    base_big_free(inverse);
    return ok && !stopped && base_go_on(p->job, err);
}

// ---- pruning -------------------------------------------------------------------------------------

// A run of `block` neighbours that go together: cost w_b^T ([H^-1]_bb)^-1 w_b; a single weight is the block of one.
static double block_cost(const row_state *s, int64_t first, int64_t size) {
    if (size == 1) return s->w[first] * s->w[first] / s->inverse[first * s->n + first];
    double a[64][65];
    for (int64_t i = 0; i < size; i++) {
        for (int64_t k = 0; k < size; k++) a[i][k] = s->inverse[(first + i) * s->n + first + k];
        a[i][size] = s->w[first + i];
    }
    double cost = 0;
    // Gaussian elimination of a positive definite matrix needs no pivoting; w^T A^-1 w = sum of y_i^2 / d_i.
    for (int64_t i = 0; i < size; i++) {
        cost += a[i][size] * a[i][size] / a[i][i];
        for (int64_t k = i + 1; k < size; k++) {
            double f = a[k][i] / a[i][i];
            for (int64_t c = i; c <= size; c++) a[k][c] -= f * a[i][c];
        }
    }
    return cost;
}

// How many weights of the run that begins at `first` may go.
static int64_t may_go(const obq_prune_problem *p, int64_t first) {
    int64_t run = p->cols - first < p->m ? p->cols - first : p->m, stay = p->m - p->n;
    return run > stay ? run - stay : 0;
}

static bool went_before(const obq_prune_problem *p, int64_t row, int64_t first, int64_t size) {
    for (int64_t i = first; p->alive && i < first + size; i++)
        if (p->alive[row * p->cols + i]) return false;
    return p->alive != NULL;
}

// Blocks that went before come first and cost nothing.
static int64_t cheapest_block(const obq_prune_problem *p, const row_state *s, int64_t row, const int64_t *gone,
                              double *cost) {
    int64_t best = -1, size = p->block;
    *cost = INFINITY;
    for (int64_t i = 0; i < s->n; i += size) {
        if (s->done[i]) continue;
        int64_t here = s->n - i < size ? s->n - i : size;
        bool before = went_before(p, row, i, here);
        if (!before && p->n && gone[i / p->m] >= may_go(p, i / p->m * p->m)) continue;
        double c = before ? -1 : block_cost(s, i, here);
        if (best < 0 || c < *cost) *cost = c, best = i;
    }
    return best;
}

typedef struct trace {
    float *cost;    // [rows x steps] of each block in the order it goes, 0-based
    int32_t *first; // [rows x steps] its first column
    int64_t steps;
} trace;

// Prune a row, all the way or `limit` steps; the order and costs go to the trace when it is given.
static void prune_row(const obq_prune_problem *p, row_state *s, int64_t row, int64_t limit, trace *t) {
    int64_t *gone = base_calloc((size_t)(p->n ? s->n / p->m + 1 : 1), sizeof *gone);
    for (int64_t step = 0; step < limit; step++) {
        double cost;
        int64_t first = cheapest_block(p, s, row, gone, &cost);
        if (first < 0) break;
        if (p->n) gone[first / p->m]++;
        for (int64_t i = first; i < s->n && i < first + p->block; i++) fix(s, i, 0);
        if (t) {
            t->cost[row * t->steps + step] = (float)cost;
            t->first[row * t->steps + step] = (int32_t)first;
        }
    }
    free(gone);
}

// How many steps each row takes when the cheapest next step of all rows is taken `total` times: the paper's
// algorithm 2.
static void walk_out(const trace *t, int64_t rows, int64_t total, int64_t *steps) {
    for (int64_t k = 0; k < total; k++) {
        int64_t best = -1;
        for (int64_t r = 0; r < rows; r++)
            if (steps[r] < t->steps &&
                (best < 0 || t->cost[r * t->steps + steps[r]] < t->cost[best * t->steps + steps[best]]))
                best = r;
        if (best < 0) return;
        steps[best]++;
    }
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// As many steps of each row as it has among the `total` cheapest of all: the authors' code.
static bool sort_out(const trace *t, int64_t rows, int64_t total, int64_t *steps, base_err *err) {
    int64_t n = rows * t->steps, below = 0;
    if (total <= 0) return true;
    float *sorted = base_big_alloc((size_t)n, sizeof *sorted, "obq's sorted costs", err);
    if (!sorted) return false;
    memcpy(sorted, t->cost, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, rising);
    float last = sorted[total - 1];
    base_big_free(sorted);
    for (int64_t i = 0; i < n; i++) below += t->cost[i] < last;
    for (int64_t i = 0, ties = total - below; i < n; i++)
        if (t->cost[i] < last || (t->cost[i] == last && ties-- > 0)) steps[i / t->steps]++;
    return true;
}

typedef struct prune_pass {
    obq_prune_problem *p;
    const double *inverse;
    const int64_t *steps; // [rows]; NULL: `all` for every row
    int64_t all;
    trace *t; // first pass; NULL: the results are wanted
} prune_pass;

static bool run_pass(const prune_pass *a, base_err *err) {
    obq_prune_problem *p = a->p;
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel
#endif
    {
        base_err own = {0};
        row_state s = {0};
        bool good = row_open(&s, p->cols, &own);
#ifdef _OPENMP
#pragma omp for schedule(dynamic)
#endif
        for (int64_t r = 0; r < p->rows; r++) {
            if (!good || base_cancelled(p->job)) continue;
            row_begin(&s, p->w + r * p->cols, p->h, a->inverse);
            prune_row(p, &s, r, a->steps ? a->steps[r] : a->all, a->t);
            for (int64_t i = 0; !a->t && i < p->cols; i++) {
                p->out[r * p->cols + i] = s.done[i] ? 0 : (float)s.w[i];
                p->mask[r * p->cols + i] = !s.done[i];
            }
        }
        row_close(&s);
        if (!good) {
#ifdef _OPENMP
#pragma omp critical(obq_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
    }
    return ok && base_go_on(p->job, err);
}

// tr(D H D^T), D what these rows lose.
static double lost(const obq_prune_problem *p) {
    int64_t n = p->cols;
    double sum = 0, *d = base_calloc((size_t)n, sizeof *d);
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t i = 0; i < n; i++) d[i] = (double)p->w[r * n + i] - (double)p->out[r * n + i];
        for (int64_t i = 0; i < n; i++) {
            double row = 0;
            for (int64_t k = 0; d[i] != 0 && k < n; k++) row += d[k] * (double)p->h[i * n + k];
            sum += d[i] * row;
        }
    }
    free(d);
    return sum;
}

// Whether the rows to which the two counts give different steps lose less with the second. Costs cannot tell: they
// count the damping.
static bool second_loses_less(const obq_prune_problem *p, const double *inverse, const int64_t *first,
                              const int64_t *second, bool *yes, base_err *err) {
    int64_t n = p->cols, rows = 0;
    for (int64_t r = 0; r < p->rows; r++) rows += first[r] != second[r];
    *yes = false;
    if (!rows) return true;
    float *w = base_big_alloc((size_t)(rows * n), 2 * sizeof *w, "obq's rows", err);
    if (!w) return false;
    obq_prune_problem some = *p;
    int64_t *steps = base_calloc((size_t)rows, 2 * sizeof *steps), at = 0;
    some.w = w;
    some.out = w + rows * n;
    some.mask = base_calloc((size_t)(rows * n), 1);
    some.rows = rows;
    uint8_t *alive = p->alive ? base_calloc((size_t)(rows * n), 1) : NULL;
    some.alive = alive;
    for (int64_t r = 0; r < p->rows; r++) {
        if (first[r] == second[r]) continue;
        memcpy(w + at * n, p->w + r * n, (size_t)n * sizeof *w);
        if (alive) memcpy(alive + at * n, p->alive + r * n, (size_t)n);
        steps[at] = first[r];
        steps[rows + at++] = second[r];
    }
    double loss[2] = {0, 0};
    bool ok = true;
    for (int k = 0; ok && k < 2; k++) {
        ok = run_pass(&(prune_pass){&some, inverse, steps + k * rows, 0, NULL}, err);
        loss[k] = ok ? lost(&some) : 0;
    }
    *yes = loss[1] < loss[0];
    base_big_free(w);
    free(steps);
    free(some.mask);
    free(alive);
    return ok;
}

// A row's later step can be cheaper than its next one but must wait for it, so that the walk and the sort are not the
// same, nor either always the better.
static bool share_out(const obq_prune_problem *p, const double *inverse, const trace *t, int64_t *steps,
                      base_err *err) {
    int64_t total = (int64_t)((double)(p->rows * t->steps) * p->sparsity), *other;
    bool sorted;
    other = base_calloc((size_t)p->rows, sizeof *other);
    walk_out(t, p->rows, total, steps);
    bool ok = sort_out(t, p->rows, total, other, err) && second_loses_less(p, inverse, steps, other, &sorted, err);
    if (ok && sorted) memcpy(steps, other, (size_t)p->rows * sizeof *steps);
    free(other);
    return ok;
}

static bool prune_unstructured(obq_prune_problem *p, const double *inverse, base_err *err) {
    int64_t blocks = (p->cols + p->block - 1) / p->block;
    trace t = {.steps = blocks};
    size_t size = (size_t)(p->rows * blocks);
    t.cost = base_big_alloc(size, sizeof *t.cost, "obq's costs", err);
    t.first = t.cost ? base_big_alloc(size, sizeof *t.first, "obq's order", err) : NULL;
    int64_t *steps = base_calloc((size_t)p->rows, sizeof *steps);
    bool ok = t.first && run_pass(&(prune_pass){p, inverse, NULL, blocks, &t}, err);
    if (ok) {
        ok = share_out(p, inverse, &t, steps, err) && run_pass(&(prune_pass){p, inverse, steps, 0, NULL}, err);
    }
    base_big_free(t.cost);
    base_big_free(t.first);
    free(steps);
    return ok;
}

bool obq_prune(obq_prune_problem *p, base_err *err) {
    int64_t n = p->cols;
    BASE_CHECK(p->block >= 1 && p->block <= 64 && (!p->n || (p->block == 1 && p->n <= p->m)));
    if (n > OBQ_MOST_COLUMNS)
        return base_fail(
            err, "%s: obs costs the cube of the inputs for every row; %lld inputs are more than %d, use sparsegpt",
            p->layer, (long long)n, OBQ_MOST_COLUMNS);
    double *inverse = base_big_alloc((size_t)(n * n), sizeof *inverse, "the inverse of the second moment", err);
    bool ok = inverse && invert(p->layer, p->h, n, p->damp, p->ridge, inverse, &p->damping, p->job, err);
    if (ok && p->n)
        ok = run_pass(&(prune_pass){p, inverse, NULL, n, NULL}, err);
    else if (ok)
        ok = prune_unstructured(p, inverse, err);
    base_big_free(inverse);
    return ok;
}

// ---- as a solver of quantize ---------------------------------------------------------------------------

static bool solve_group(solver_problem *p, void *context, base_err *err) {
    (void)context;
    bool fitted = p->grid.group == GROUP_TENSOR;
    solver_problem rows = *p;
    if (fitted) rows.grid.group = GROUP_ROW;
    bool ok = obq_quantize(&rows, solver_number(p, "damp", 0.01), 0, fitted || p->fitted, err);
    p->damping = rows.damping;
    return ok;
}

static bool solve(solver_problem *p, base_err *err) {
    // An embedding: within a row H is a multiple of 1, and nearest is the minimum. A scale of the tensor is rtn's.
    if ((p->diagonal || p->grid.group == GROUP_TENSOR) && !solver_rtn.solve(p, err)) return false;
    return p->diagonal || solver_each_group(p, solve_group, NULL, err);
}

const compress_solver solver_obq = {
    .name = "obq",
    .help = "the exact greedy order, every other weight of the row makes up for each error",
    .about =
        "Of the weights of a row still free the one with the least (w - q)^2 / [H^-1]_pp is rounded (one more than "
        "half\n"
        "a step off its grid goes first), the others move by -(w_p - q_p) / [H^-1]_pp [H^-1]_:p, and p leaves the\n"
        "inverse. Group scales come from the weights before any is rounded. At most 2,048 inputs: use gptq above.\n"
        "quantize{solver=\"obq\", bits=3}",
    .source = "Optimal Brain Compression (Frantar, Singh, Alistarh, NeurIPS 2022, arXiv 2208.11580)",
    .cost = "calibration inputs; outputs inputs^3 operations a layer",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
