// quantize_mix: bits that differ inside a layer. Runs of inputs (SliM-LLM) or outputs (MixLLM, the row-sparse expansion
// of REx) belong to classes; a solver quantises the layer and each class becomes a term of its own in a mixed term.
#include "compress/steps/quantize_mix.h"
#include "compress/solvers/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is(const compress_step *s, const char *arg, const char *text) {
    return strcmp(compress_text(s, arg), text) == 0;
}

static bool some_rows(const compress_step *s) {
    return compress_number(s, "rows") < 1;
}

bool quantize_is_mixed(const compress_step *s) {
    return !is(s, "mix", "none") || some_rows(s);
}

unsigned quantize_mix_needs(const compress_step *s) {
    if (is(s, "mix", "salience") || is(s, "mix", "mask")) return COMPRESS_NEEDS_GRAM;
    return is(s, "mix", "rows") ? COMPRESS_NEEDS_GRADIENT | COMPRESS_NEEDS_ALL_LAYERS : 0;
}

static int64_t high_bits(const compress_step *s) {
    int64_t high = (int64_t)compress_number(s, "high");
    return high ? high : is(s, "mix", "mask") ? 4 : 8;
}

static bool check_widths(const compress_step *s, const grid_spec *g, base_err *err) {
    if (is(s, "mix", "salience") && (g->bits < 2 || g->bits > 7))
        return base_fail(
            err, "quantize: mix=\"salience\" moves between bits - 1 and bits + 1: bits is %lld, expected 2 to 7",
            (long long)g->bits);
    if (is(s, "mix", "salience") && g->group <= 0)
        return base_fail(err, "quantize: mix=\"salience\" gives bits to groups of inputs: it needs group > 0");
    if (is(s, "mix", "rows") && high_bits(s) <= g->bits)
        return base_fail(err,
                         "quantize: mix=\"rows\" gives high=%lld bits to some outputs, which is no more than bits=%lld",
                         (long long)high_bits(s), (long long)g->bits);
    return true;
}

bool quantize_mix_check(const compress_step *s, const grid_spec *g, const type_choice *choice, base_err *err) {
    if (!quantize_is_mixed(s)) return true;
    if (compress_number(s, "rows") <= 0)
        return base_fail(err, "quantize: rows=0 codes no output, expected a share above 0 and up to 1");
    const char *solver = compress_text(s, "solver");
    if (!is(s, "mix", "none") && some_rows(s))
        return base_fail(err, "quantize: mix=\"%s\" codes every output, rows=%g only some: give one of them",
                         compress_text(s, "mix"), compress_number(s, "rows"));
    if (!choice->even || choice->block || !choice->integer || g->bits > 8)
        return base_fail(err,
                         "quantize: bits that differ inside a layer are those of integers of 1 to 8 bits (dtype=int)");
    if (g->group == GROUP_TENSOR)
        return base_fail(err, "quantize: one scale for the tensor does not go with bits that differ inside a layer");
    if (is(s, "mix", "salience") && strcmp(solver, "rtn") && strcmp(solver, "gptq"))
        return base_fail(err, "quantize: mix=\"salience\" goes with solver rtn or gptq, not %s", solver);
    if (is(s, "mix", "salience") && !is(s, "refine", "none"))
        return base_fail(err, "quantize: mix=\"salience\" does not go with refine");
    if (is(s, "mix", "mask") && strcmp(solver, "rtn"))
        return base_fail(err, "quantize: mix=\"mask\" has a procedure of its own, solver=\"%s\" does not go with it",
                         solver);
    if (!strcmp(solver, "hqq") || !strcmp(solver, "awq") || compress_solver_find(solver)->make)
        return base_fail(err,
                         "quantize: solver %s chooses a grid of its own, which does not go with bits that differ "
                         "inside a layer",
                         solver);
    return check_widths(s, g, err);
}

// ---- shared --------------------------------------------------------------------------------------

grid_spec mix_grid(const grid_spec *g, int64_t bits) {
    grid_spec n = *g;
    n.bits = bits;
    if (bits == 1) n.scheme = UNIFORM_SIGN;
    return n;
}

bool mix_nearest(const grid_spec *g, const solver_problem *p, float *values, base_err *err) {
    int64_t length = g->group > 0 ? g->group : p->cols;
    grid_code *codes = base_big_alloc((size_t)length, sizeof *codes, "codes of a group", err);
    bool ok = codes != NULL;
    for (int64_t r = 0; ok && r < p->rows; r++) {
        ok = base_go_on(p->job, err);
        for (int64_t c = 0; ok && c < p->cols; c += length) {
            int64_t n = p->cols - c < length ? p->cols - c : length;
            grid_param q = {0, 0};
            ok = grid_fit(g, p->r + r * p->cols + c, n, p->job, &q, err);
            if (ok) grid_encode(g, q, p->r + r * p->cols + c, n, codes);
            for (int64_t i = 0; ok && i < n; i++) values[r * p->cols + c + i] = grid_value(g, q, codes[i]);
        }
    }
    base_big_free(codes);
    return ok;
}

bool mix_output_error(const solver_problem *p, const float *values, double *error, base_err *err) {
    int64_t n = p->rows * p->cols, rows = p->rows / p->groups;
    float *d = base_big_alloc((size_t)n, 2 * sizeof *d, "errors of a layer", err);
    if (!d) return false;
    float *dh = d + n;
    *error = 0;
    for (int64_t i = 0; i < n; i++) d[i] = p->r[i] - values[i];
    for (int64_t g = 0; g < p->groups && !p->diagonal; g++)
        num_gemm(false, false, rows, p->cols, p->cols, 1, d + g * rows * p->cols, p->cols, p->h + g * p->cols * p->cols,
                 p->cols, 0, dh + g * rows * p->cols, p->cols);
    for (int64_t i = 0; i < n; i++)
        *error += (double)d[i] * (p->diagonal ? (double)d[i] * (double)p->h[i / p->cols] : (double)dh[i]);
    base_big_free(d);
    return base_go_on(p->job, err);
}

term *mix_pack(const solver_problem *p, base_err *err) {
    int64_t scales = uniform_scale_count(p->rows, p->cols, p->grid.group);
    solver_problem q = *p;
    q.mask = NULL;
    q.nearest = false;
    for (int64_t i = 0; i < scales; i++)
        if (!isfinite(p->scales[i])) {
            base_fail(err, "%s: scale %lld is %g: the range of the weights is too wide for float32", p->layer,
                      (long long)i, (double)p->scales[i]);
            return NULL;
        }
    // 0, of signs that are best left out, is exact in any type.
    for (int64_t i = 0; q.grid.scale == NUM_F16 && i < scales; i++)
        if (p->scales[i] != 0 && !(p->scales[i] >= 6.104e-5f && p->scales[i] <= 65504)) q.grid.scale = NUM_F32;
    return solver_pack(&q, scales, p->rows * p->cols, err);
}

// Rows at[0..n) of a solved problem, or its groups of inputs at[0..n), as a term with the grid g.
static term *part_of(const solver_problem *p, const grid_spec *g, bool rows, const int64_t *at, int64_t n,
                     base_err *err) {
    int64_t per_row = uniform_groups_per_row(p->cols, g->group), length = g->group > 0 ? g->group : p->cols;
    solver_problem q = *p;
    q.grid = *g;
    q.rows = rows ? n : p->rows;
    q.cols = p->cols;
    if (!rows) {
        q.cols = 0;
        for (int64_t k = 0; k < n; k++) q.cols += p->cols - at[k] * length < length ? p->cols - at[k] * length : length;
    }
    int64_t groups = rows ? per_row : n;
    q.codes = base_big_alloc((size_t)(q.rows * q.cols), sizeof *q.codes, "codes of a layer", err);
    q.scales =
        q.codes ? base_big_alloc((size_t)(q.rows * groups), 2 * sizeof *q.scales, "scales of a layer", err) : NULL;
    if (!q.scales) {
        base_big_free(q.codes);
        return NULL;
    }
    q.zeros = q.scales + q.rows * groups;
    for (int64_t r = 0, put = 0; r < q.rows; r++) {
        int64_t from = rows ? at[r] : r;
        for (int64_t k = 0; k < groups; k++) {
            int64_t group = rows ? k : at[k], c = group * length, m = p->cols - c < length ? p->cols - c : length;
            q.scales[r * groups + k] = p->scales[from * per_row + group];
            q.zeros[r * groups + k] = p->zeros[from * per_row + group];
            memcpy(q.codes + put, p->codes + from * p->cols + c, (size_t)m * sizeof *q.codes);
            put += m;
        }
    }
    term *t = mix_pack(&q, err);
    base_big_free(q.codes);
    base_big_free(q.scales);
    return t;
}

static bool open_results(solver_problem *p, base_err *err) {
    size_t scales = (size_t)uniform_scale_count(p->rows, p->cols, p->grid.group);
    p->codes = base_big_alloc((size_t)(p->rows * p->cols), sizeof *p->codes, "codes of a layer", err);
    p->scales = p->codes ? base_big_alloc(scales, sizeof *p->scales, "scales of a layer", err) : NULL;
    p->zeros = p->scales ? base_big_alloc(scales, sizeof *p->zeros, "zero points of a layer", err) : NULL;
    return p->zeros != NULL;
}

static void close_results(solver_problem *p) {
    base_big_free(p->codes);
    base_big_free(p->scales);
    base_big_free(p->zeros);
    p->codes = NULL;
    p->scales = p->zeros = NULL;
}

// ---- runs in classes -----------------------------------------------------------------------------

// What each class is stored as; skip: class 0 is not coded at all.
typedef struct classes {
    bool rows, skip;
    int64_t run, runs; // rows or inputs in a run; runs in all
    int count;         // classes that there are
    uint8_t *of_run;
    grid_spec grid[3];
} classes;

// Classes without a run are left out: numbers move together.
static void close_gaps(classes *c) {
    int number[3] = {-1, -1, -1}, n = 0;
    grid_spec grid[3];
    for (int k = 0; k < c->count; k++) {
        bool used = false;
        for (int64_t i = 0; i < c->runs; i++) used |= c->of_run[i] == k;
        if (!used && k == 0) c->skip = false;
        if (used) grid[n] = c->grid[k], number[k] = n++;
    }
    for (int64_t i = 0; i < c->runs; i++) c->of_run[i] = (uint8_t)number[c->of_run[i]];
    memcpy(c->grid, grid, (size_t)n * sizeof *grid);
    c->count = n;
}

static term *class_term(const compress_solver *solver, solver_problem *p, const classes *c, int class, int64_t *at,
                        base_err *err) {
    int64_t n = 0;
    for (int64_t i = 0; i < c->runs; i++)
        if (c->of_run[i] == class) at[n++] = i;
    if (c->rows) {
        // Every output is solved at this width: rows do not depend on each other, so those of the class come out right.
        p->grid = c->grid[class];
        if (!solver_run(solver, p, uniform_scale_count(p->rows, p->cols, p->grid.group), err)) return NULL;
    }
    return part_of(p, c->rows ? &p->grid : &c->grid[class], c->rows, at, n, err);
}

static term *build(const compress_solver *solver, solver_problem *p, classes *c, base_err *err) {
    close_gaps(c);
    int64_t *at = base_calloc((size_t)c->runs + 1, sizeof *at);
    bool one = c->count == 1;
    term *t = one ? NULL
                  : term_mixed_new(p->rows, p->cols, c->rows ? MIXED_ROWS : MIXED_COLUMNS, c->run, c->count, c->skip,
                                   c->of_run, err);
    bool ok = one || t;
    for (int k = c->skip; ok && k < c->count; k++) {
        term *part = class_term(solver, p, c, k, at, err);
        if (one) t = part;
        ok = one ? part != NULL : part && term_mixed_add(t, part, err);
    }
    free(at);
    if (ok) return t;
    term_free(t);
    return NULL;
}

// The codes' values, to judge them by.
static void values_of(const solver_problem *p, float *out) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group),
            length = p->grid.group > 0 ? p->grid.group : p->cols;
    for (int64_t i = 0; i < p->rows * p->cols; i++) {
        int64_t g = i % p->cols / length, k = i / p->cols * per_row + g;
        out[i] = grid_value(solver_grid(p, g), (grid_param){p->scales[k], p->zeros[k]}, p->codes[i]);
    }
}

typedef struct salience_try {
    const compress_solver *solver;
    classes *c;
    const mix_order *order;
    float *values;
} salience_try;

// Solves with n groups a bit lower and n a bit higher.
static bool try_bits(const salience_try *t, solver_problem *p, int64_t n, double *error, base_err *err) {
    mix_give(t->order, n, t->c->of_run);
    for (int64_t i = 0; i < t->c->runs; i++) p->grids[i] = t->c->grid[t->c->of_run[i]];
    if (!solver_run(t->solver, p, uniform_scale_count(p->rows, p->cols, p->grid.group), err)) return false;
    for (int k = 0; k < 3; k++) t->c->grid[k].scale = p->grid.scale;
    if (!error) return true;
    values_of(p, t->values);
    return mix_output_error(p, t->values, error, err);
}

static bool choose_bits(const salience_try *t, solver_problem *p, base_err *err) {
    int64_t best = t->order->best, last = best;
    double least = INFINITY, error;
    if (t->solver == &solver_rtn) return try_bits(t, p, best, NULL, err);
    for (int64_t n = best;; n /= 2) {
        if (!try_bits(t, p, last = n, &error, err)) return false;
        if (error < least) least = error, best = n;
        if (n == 0) break;
    }
    return best == last || try_bits(t, p, best, NULL, err);
}

static term *by_salience(const compress_solver *solver, solver_problem *p, base_err *err) {
    classes c = {.run = p->grid.group, .count = 3};
    c.runs = (p->cols + c.run - 1) / c.run;
    for (int k = 0; k < 3; k++) c.grid[k] = mix_grid(&p->grid, p->grid.bits - 1 + k);
    mix_order order = {.groups = c.runs, .order = base_calloc((size_t)c.runs + 1, sizeof *order.order)};
    c.of_run = base_calloc((size_t)c.runs + 1, 1);
    p->grids = base_calloc((size_t)c.runs + 1, sizeof *p->grids);
    salience_try t = {solver, &c, &order, base_big_alloc((size_t)(p->rows * p->cols), sizeof(float), "weights", err)};
    bool ok = t.values && mix_salience(p, &order, c.of_run, err) && choose_bits(&t, p, err);
    term *made = ok ? build(solver, p, &c, err) : NULL;
    base_big_free(t.values);
    free(p->grids);
    p->grids = NULL;
    free(order.order);
    free(c.of_run);
    return made;
}

static term *by_rows(const compress_step *s, const compress_solver *solver, solver_problem *p, const layer *l,
                     base_err *err) {
    classes c = {.rows = true, .run = 1, .runs = p->rows, .count = 2};
    c.grid[0] = p->grid;
    c.grid[1] = mix_grid(&p->grid, high_bits(s));
    c.of_run = base_calloc((size_t)p->rows, 1);
    if (l->planned) memcpy(c.of_run, l->planned, (size_t)p->rows);
    term *t = build(solver, p, &c, err);
    free(c.of_run);
    return t;
}

// ---- rows that matter most -----------------------------------------------------------------------

typedef struct ranked {
    double gain;
    int layer;
    int64_t row;
} ranked;

static int falling(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->gain != y->gain) return x->gain > y->gain ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

// REx, section 3.3: only the outputs whose remainder is largest are expanded; in the inputs' second moment where the
// solver has one.
static term *by_remainder(const compress_step *s, const compress_solver *solver, solver_problem *p, base_err *err) {
    int64_t keep = (int64_t)ceil(compress_number(s, "rows") * (double)p->rows);
    classes c = {.rows = true, .skip = true, .run = 1, .runs = p->rows, .count = 2};
    c.grid[0] = c.grid[1] = p->grid;
    c.of_run = base_calloc((size_t)p->rows, 1);
    ranked *list = base_calloc((size_t)p->rows, sizeof *list);
    for (int64_t r = 0; r < p->rows; r++)
        list[r] = (ranked){num_sum_squares(p->r + r * p->cols, (size_t)p->cols), 0, r};
    qsort(list, (size_t)p->rows, sizeof *list, falling);
    for (int64_t k = 0; k < keep; k++) c.of_run[list[k].row] = 1;
    free(list);
    term *t = build(solver, p, &c, err);
    free(c.of_run);
    return t;
}

// What more bits are worth to each row: sum F ((w - q_low)^2 - (w - q_high)^2) a weight.
static bool row_gains(const compress_step *s, const grid_spec *g, const layer_set *all, int i, ranked *out,
                      base_err *err) {
    int64_t rows = all->rows[i], cols = all->cols[i];
    solver_problem p = {.r = all->w[i], .rows = rows, .cols = cols, .groups = 1, .job = all->job};
    float *low = base_big_alloc((size_t)(rows * cols), 2 * sizeof *low, "quantised weights", err), *high = low;
    if (low) high = low + rows * cols;
    grid_spec more = mix_grid(g, high_bits(s));
    bool ok = low && mix_nearest(g, &p, low, err) && mix_nearest(&more, &p, high, err);
    for (int64_t r = 0; ok && r < rows; r++) {
        double gain = 0;
        for (int64_t k = r * cols; k < (r + 1) * cols; k++) {
            double a = (double)p.r[k] - (double)low[k], b = (double)p.r[k] - (double)high[k];
            gain += (all->fisher[i] ? (double)all->fisher[i][k] : 1) * (a * a - b * b);
        }
        out[r] = (ranked){gain / (double)cols, i, r};
    }
    base_big_free(low);
    return ok;
}

bool quantize_mix_plan(const compress_step *s, layer_set *all, base_err *err) {
    grid_spec g;
    type_choice choice;
    int64_t rows = 0, at = 0;
    double weights = 0, taken = 0, share = compress_number(s, "share");
    if (!quantize_grid(s, &g, &choice, err)) return false;
    if (share <= 0) share = 0.1;
    for (int i = 0; i < all->count; i++) {
        rows += all->rows[i];
        weights += (double)(all->rows[i] * all->cols[i]);
        all->planned[i] = base_calloc((size_t)all->rows[i], 1);
    }
    ranked *list = base_calloc((size_t)rows + 1, sizeof *list);
    bool ok = true;
    for (int i = 0; ok && i < all->count; at += all->rows[i++]) ok = row_gains(s, &g, all, i, list + at, err);
    if (ok) qsort(list, (size_t)rows, sizeof *list, falling);
    for (int64_t k = 0; ok && k < rows; k++) {
        taken += (double)all->cols[list[k].layer];
        if (taken > share * weights) break;
        ((uint8_t *)all->planned[list[k].layer])[list[k].row] = 1;
    }
    free(list);
    return ok;
}

term *quantize_mixed(const compress_step *s, const compress_solver *solver, solver_problem *p, const layer *l,
                     base_err *err) {
    if (l->mask) {
        base_fail(err, "bits that differ inside a layer do not go with a pruned one");
        return NULL;
    }
    if (p->grid.form == SCALE_E4M3) { // scales of all widths, those of one bit the largest, times one float
        solver_problem widest = *p;
        widest.grid.scheme = UNIFORM_ASYM;
        widest.grid.bits = 1;
        solver_outer_scale(&widest);
        p->grid.outer = widest.grid.outer;
    }
    if (is(s, "mix", "mask")) return mix_mask(s, p, err);
    term *t = !open_results(p, err)      ? NULL
              : is(s, "mix", "salience") ? by_salience(solver, p, err)
              : is(s, "mix", "rows")     ? by_rows(s, solver, p, l, err)
                                         : by_remainder(s, solver, p, err);
    close_results(p);
    return t;
}
