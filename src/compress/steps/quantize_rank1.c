// quantize with granularity="column": all weights of an input share a scale, found by the range search over the column;
// and with granularity="rank1": every weight has the scale min(r_i, c_j) / top, r_i the largest magnitude in its
// row, c_j that in its column, as stored. Solvers see groups of one weight whose scales are given (terms/rank1.c).
#include "compress/solvers/pack.h"
#include "compress/steps/quantize_grid.h"
#include "compress/steps/quantize_mix.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

static bool is_column(const compress_step *s) {
    return !strcmp(compress_text(s, "granularity"), "column");
}

bool quantize_is_rank1(const compress_step *s) {
    return is_column(s) || !strcmp(compress_text(s, "granularity"), "rank1");
}

bool quantize_check_rank1(const compress_step *s, const grid_spec *g, bool even, base_err *err) {
    static const char *const solvers[] = {"hqq", "awq", "bpdq", "deepcabac"};
    const char *solver = compress_text(s, "solver"), *range = compress_text(s, "range");
    const char *gran = compress_text(s, "granularity");
    for (size_t i = 0; i < sizeof solvers / sizeof *solvers; i++)
        if (!strcmp(solver, solvers[i]))
            return base_fail(err,
                             "quantize: solver %s finds the scales of rows or groups itself, granularity %s gives "
                             "them",
                             solver, gran);
    if (is_column(s) && !strcmp(range, "golden"))
        return base_fail(err,
                         "quantize: range=\"golden\" searches a scale for the output error of its row, a column has "
                         "a part in every row; range=\"mse\" searches columns");
    if (!is_column(s) && strcmp(range, "auto") != 0 && strcmp(range, "absmax") != 0)
        return base_fail(err,
                         "quantize: granularity rank1 has its ranges from rows and columns; range=\"%s\" does not go "
                         "with it",
                         range);
    if (quantize_is_mixed(s)) return base_fail(err, "quantize: granularity %s has one width for all weights", gran);
    if (g->group > 0 || g->split || g->form != SCALE_PLAIN ||
        (even && (is_column(s) ? g->scheme == UNIFORM_ASYM : g->scheme != UNIFORM_SYM)))
        return base_fail(err,
                         "quantize: granularity %s is for symmetric grids and tables without groups of their own, "
                         "with float scales and no zero points",
                         gran);
    return true;
}

// rows[i], columns[j]: the largest kept magnitudes.
static void find_scales(const solver_problem *p, float *rows, float *columns) {
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->cols; j++) {
            float a = !p->mask || p->mask[i * p->cols + j] ? fabsf(p->r[i * p->cols + j]) : 0;
            rows[i] = a > rows[i] ? a : rows[i];
            columns[j] = a > columns[j] ? a : columns[j];
        }
}

static bool fits_half(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0 && !(x[i] >= 6.104e-5f && x[i] <= 65504)) return false;
    return true;
}

static void round_scales(num_dtype dtype, float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = scales_round(SCALE_PLAIN, dtype, 0, x[i]);
}

// columns[j]: what the range search finds for the kept weights of a column, in steps of 1.
static bool find_columns(const solver_problem *p, float *columns, base_err *err) {
    float *x = base_big_alloc((size_t)p->rows + 1, sizeof *x, "a column", err);
    bool ok = x != NULL;
    grid_spec g = p->grid;
    g.scale = NUM_F32;
    for (int64_t j = 0; ok && j < p->cols; j++) {
        int64_t n = 0;
        for (int64_t i = 0; i < p->rows; i++)
            if (!p->mask || p->mask[i * p->cols + j]) x[n++] = p->r[i * p->cols + j];
        grid_param q = {0, 0};
        ok = base_go_on(p->job, err) && grid_fit(&g, x, n, p->job, &q, err);
        columns[j] = q.scale;
    }
    base_big_free(x);
    return ok;
}

static term *solve(const compress_solver *solver, solver_problem *p, float *rows, float *columns, int64_t kept,
                   base_err *err) {
    grid_spec *g = &p->grid;
    int64_t n = p->rows * p->cols;
    bool column = is_column(p->step), sym = !g->table && g->scheme == UNIFORM_SYM;
    float zero = sym ? (float)((int64_t)1 << (g->bits - 1)) : !g->table && g->scheme == UNIFORM_TERNARY ? 1 : 0;
    float unit = column ? 1 : 1 / (g->table ? g->table->top : zero - 1);
    if (column && !find_columns(p, columns, err)) return NULL;
    if (!column) find_scales(p, rows, columns);
    if (g->scale == NUM_F16 && !(fits_half(rows, column ? 0 : p->rows) && fits_half(columns, p->cols)))
        g->scale = NUM_F32;
    round_scales(g->scale, rows, column ? 0 : p->rows);
    round_scales(g->scale, columns, p->cols);
    for (int64_t i = 0; i < n; i++) {
        float least = column ? columns[i % p->cols] : fminf(rows[i / p->cols], columns[i % p->cols]);
        p->scales[i] = least > 0 ? least * unit : 1e-30f; // only zeros there
        p->zeros[i] = zero;
    }
    num_dtype dtype = g->scale;
    g->group = 1;
    g->scale = NUM_F32;
    p->fitted = true;
    if (!solver_run(solver, p, n, err)) return NULL;
    solver_problem whole = *p; // its codes on one grid for all
    whole.grid.group = GROUP_TENSOR;
    whole.scales = &unit;
    whole.zeros = &zero;
    term *values = solver_pack(&whole, 1, kept, err);
    return values ? term_rank1_new(values, column ? NULL : rows, columns, dtype, err) : NULL;
}

term *quantize_rank1(const compress_solver *solver, solver_problem *p, int64_t kept, base_err *err) {
    size_t n = (size_t)(p->rows * p->cols);
    p->codes = base_big_alloc(n, sizeof *p->codes, "codes of a layer", err);
    float *room =
        p->codes ? base_big_alloc(2 * n + (size_t)(p->rows + p->cols), sizeof *room, "scales of a layer", err) : NULL;
    term *t = NULL;
    if (room) {
        p->scales = room;
        p->zeros = room + n;
        t = solve(solver, p, room + 2 * n, room + 2 * n + p->rows, kept, err);
    }
    base_big_free(p->codes);
    base_big_free(room);
    p->codes = NULL;
    p->scales = p->zeros = NULL;
    return t;
}
