// gptq: quantise column by column, and let the columns still to come make up for each column's error.
//
// Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, ICLR 2023 (arXiv 2210.17323), algorithm 1, in the order of events of the
// authors' code: parameters of whole rows are found before anything else; dead inputs (H_ii = 0) are then set to zero;
// damping is a fraction of the mean diagonal after that; parameters of a moving group come from the weights as of the
// last block boundary.
//
// The authors move the rest by -err_i U[i, i+1:], err_i = (w_i - q_i) / U_ii, after each column, where (H +
// damping)^-1 = U^T U. Here each column takes the same place from the errors so far, through the factor of H itself
// (sweep.h): Chen et al., The Geometry of LLM Quantization: GPTQ as Babai's Nearest Plane Algorithm, 2025 (arXiv
// 2507.18553), theorem 1.
//
// Group-aware order: Gafni et al., Dual Precision Quantization (arXiv 2505.14638), section 3.4: groups in the order of
// their largest diag H, columns in the order of theirs inside the group, so that scales follow the moved weights and
// still belong to runs of neighbouring inputs.
#include "compress/solvers/gptq.h"
#include "compress/solvers/sweep.h"

#include <stdlib.h>
#include <string.h>

// ---- the solver ----------------------------------------------------------------------------------

typedef struct gptq_work {
    solver_problem *p;
    const gptq_options *o;
    int64_t group, groups; // columns that share parameters; groups of a row
    const int64_t *order;  // [cols] processing order to original column
    float *w;              // [rows x cols], columns in processing order, as those before have moved them
    float *kept;           // [rows x 2 cols] room for a group's kept weights and their counts; NULL without a mask
    float *diagonal;       // of H, [cols] in processing order, then [cols] as it is; NULL: the range does not ask
} gptq_work;

// The group of parameters that column `at` of the processing order takes.
static int64_t group_at(const gptq_work *k, int64_t at) {
    bool by_place = k->o->static_groups || k->o->group_order;
    return k->group >= k->p->cols ? 0 : (by_place ? k->order[at] : at) / k->group;
}

// x: the weights of group g of a row as they are now, in processing order from column `at`. Pruned ones do not widen
// the range.
static bool fit(const gptq_work *k, int64_t row, int64_t g, const float *x, int64_t at, int64_t count, bool ordered,
                base_err *err) {
    grid_param q;
    const float *weight = k->diagonal ? k->diagonal + (ordered ? 0 : k->p->cols) + at : NULL;
    if (k->p->mask) {
        const uint8_t *mask = k->p->mask + row * k->p->cols;
        float *kept = k->kept + 2 * row * k->p->cols, *counts = kept + k->p->cols;
        int64_t n = 0;
        for (int64_t i = 0; i < count; i++)
            if (mask[ordered ? k->order[at + i] : at + i]) {
                counts[n] = weight ? weight[i] : 1;
                kept[n++] = x[i];
            }
        x = kept;
        if (weight) weight = counts;
        count = n;
    }
    if (!grid_fit_weighted(solver_grid(k->p, g), x, weight, count, k->p->job, &q, err)) return false;
    k->p->scales[row * k->groups + g] = q.scale;
    k->p->zeros[row * k->groups + g] = q.zero;
    return true;
}

// Parameters of moving groups come from the weights as of the last block boundary: up to the end of the last group that
// starts in this block.
static int64_t span_of_groups(void *work, int64_t from, int64_t count) {
    const gptq_work *k = work;
    int64_t first = (from + k->group - 1) / k->group * k->group,
            end = (from + count - 1) / k->group * k->group + k->group;
    if (k->group >= k->p->cols || k->o->static_groups || k->p->fitted || first >= from + count) return 0;
    return (end < k->p->cols ? end : k->p->cols) - from;
}

static bool fit_row_ahead(const gptq_work *k, int64_t r, int64_t from, int64_t count, const float *x, base_err *err) {
    for (int64_t at = (from + k->group - 1) / k->group * k->group; at < from + count; at += k->group) {
        int64_t left = k->p->cols - at < k->group ? k->p->cols - at : k->group;
        if (!fit(k, r, group_at(k, at), x + at - from, at, left, true, err)) return false;
    }
    return true;
}

static bool fit_groups(void *work, int64_t from, int64_t count, const float *ahead, int64_t span, base_err *err) {
    const gptq_work *k = work;
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (k->p->rows * span > TERM_PARALLEL / 8)
#endif
    for (int64_t r = 0; r < k->p->rows; r++) {
        base_err own = {0};
        if (fit_row_ahead(k, r, from, count, ahead + r * span, &own)) continue;
#ifdef _OPENMP
#pragma omp critical(gptq_failed)
#endif
        {
            ok = false;
            *err = own;
        }
    }
    return ok;
}

// A tile's codes go to their rows when all its columns are settled: column by column each would be a far place.
static void put_codes(const gptq_work *k, const sweep_tile *t) {
    for (int64_t r = 0; r < t->lanes; r++) {
        grid_code *row = k->p->codes + (t->row + r) * k->p->cols;
        for (int64_t i = 0; i < t->count; i++) row[k->order[t->from + i]] = t->codes[i * SWEEP_LANES + r];
    }
}

// One column of a tile onto its grid.
static bool settle(void *work, sweep_tile *t, int64_t i, float *values, base_err *err) {
    (void)err;
    const gptq_work *k = work;
    const solver_problem *p = k->p;
    int64_t at = t->from + i;
    grid_code *codes = t->codes + i * SWEEP_LANES;
    int64_t group = group_at(k, at);
    t->grid.grid = solver_grid(p, group);
    for (int64_t r = 0; (i == 0 || k->group < p->cols) && r < t->lanes; r++) {
        t->grid.scale[r] = p->scales[(t->row + r) * k->groups + group];
        t->grid.zero[r] = p->zeros[(t->row + r) * k->groups + group];
    }
    sweep_round(&t->grid, t->lanes, t->x + i * SWEEP_LANES, codes, values);
    for (int64_t r = 0; p->mask && r < t->lanes; r++)
        if (!p->mask[(t->row + r) * p->cols + k->order[at]]) codes[r] = 0, values[r] = 0;
    if (i + 1 == t->count) put_codes(k, t);
    return true;
}

static bool fit_row(const gptq_work *k, int64_t r, const float *w, base_err *err) {
    for (int64_t g = 0; g < k->groups; g++) {
        int64_t from = g * k->group, left = k->p->cols - from;
        if (!fit(k, r, g, w + from, from, left < k->group ? left : k->group, false, err)) return false;
    }
    return true;
}

// Parameters that do not wait for the columns: those of whole rows (before dead inputs are zeroed), or static groups.
static bool fit_ahead(const gptq_work *k, const float *w, base_err *err) {
    const solver_problem *p = k->p;
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (p->rows * p->cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < p->rows; r++) {
        base_err own = {0};
        if (fit_row(k, r, w + r * p->cols, &own)) continue;
#ifdef _OPENMP
#pragma omp critical(gptq_failed)
#endif
        {
            ok = false;
            *err = own;
        }
    }
    return ok && base_go_on(p->job, err);
}

typedef struct diagonal_entry {
    float group, value; // largest of the column's group, where that counts; its own
    int64_t index;
} diagonal_entry;

static int falling(const void *a, const void *b) {
    const diagonal_entry *x = a, *y = b;
    if (x->group != y->group) return x->group > y->group ? -1 : 1;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

// Columns of groups that share their largest value must not mix, and a shorter last group must stay last: ranks, not
// values, decide between groups.
static void rank_groups(diagonal_entry *d, int64_t n, int64_t group) {
    int64_t whole = n / group;
    diagonal_entry *g = base_calloc((size_t)whole + 1, sizeof *g);
    for (int64_t i = 0; i < whole; i++) {
        g[i] = (diagonal_entry){0, d[i * group].value, i};
        for (int64_t c = i * group; c < (i + 1) * group; c++)
            if (d[c].value > g[i].value) g[i].value = d[c].value;
    }
    qsort(g, (size_t)whole, sizeof *g, falling);
    for (int64_t i = 0; i < whole; i++)
        for (int64_t c = 0; c < group; c++) d[g[i].index * group + c].group = (float)(whole - i);
    free(g);
}

static void find_order(const gptq_work *k, int64_t *order) {
    const solver_problem *p = k->p;
    int64_t n = p->cols;
    for (int64_t i = 0; i < n; i++) order[i] = i;
    if (!k->o->act_order && !k->o->group_order) return;
    diagonal_entry *d = base_calloc((size_t)n, sizeof *d);
    // The authors of act-order give dead inputs a diagonal of 1 first; a group must not come early for a dead one.
    float dead = k->o->group_order ? 0 : 1;
    for (int64_t i = 0; i < n; i++) d[i] = (diagonal_entry){0, p->h[i * n + i] == 0 ? dead : p->h[i * n + i], i};
    if (k->o->group_order) rank_groups(d, n, k->group);
    qsort(d, (size_t)n, sizeof *d, falling);
    for (int64_t i = 0; i < n; i++) order[i] = d[i].index;
    free(d);
}

// The weights in the order of processing, dead inputs 0.
static void put_in_order(const gptq_work *k) {
    const solver_problem *p = k->p;
    for (int64_t c = 0; c < p->cols; c++) {
        int64_t from = k->order[c];
        bool dead = p->h[from * p->cols + from] == 0;
        if (!dead && from == c) continue;
        for (int64_t r = 0; r < p->rows; r++) k->w[r * p->cols + c] = dead ? 0 : p->r[r * p->cols + from];
    }
}

static bool run(gptq_work *k, int64_t *order, float *f, sweep *s, base_err *err) {
    solver_problem *p = k->p;
    int64_t rows = p->rows, cols = p->cols;
    // A group as wide as the row or wider is fitted with the groups, behind the dead inputs; a row before them.
    bool moving = k->group < cols && !k->o->static_groups, row = p->grid.group <= 0;
    bool fixed = k->o->fitted || p->fitted;
    memcpy(k->w, p->r, (size_t)(rows * cols) * sizeof *k->w);
    find_order(k, order);
    for (int64_t c = 0; k->diagonal && c < cols; c++) {
        k->diagonal[c] = p->h[order[c] * cols + order[c]];
        k->diagonal[cols + c] = p->h[c * cols + c];
    }
    if (row && !fixed && !fit_ahead(k, k->w, err)) return false;
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; p->h[c * cols + c] == 0 && r < rows; r++) k->w[r * cols + c] = 0;
    if (!row && !moving && !fixed && !fit_ahead(k, k->w, err)) return false;
    if (k->o->act_order || k->o->group_order) put_in_order(k);
    return (k->o->factored || sweep_factor(p->layer, cols, p->h, s->order, k->o->damp, f, &p->damping, p->job, err)) &&
           sweep_run(s, err);
}

// Four blocks wait together, which makes the large update a better product, unless a moving group would reach beyond
// them: its parameters see every column up to date.
static int64_t wait_columns(const gptq_work *k) {
    int64_t wide = 4 * k->o->block;
    bool whole = k->group >= k->p->cols || k->o->static_groups;
    return whole || wide % k->group == 0 ? wide : k->o->block;
}

bool gptq_solve(solver_problem *p, const gptq_options *o, int64_t *order, base_err *err) {
    BASE_CHECK(o->block >= 1 && o->block <= 1024);
    int64_t n = p->rows * p->cols;
    gptq_work k = {.p = p, .o = o, .group = p->grid.group > 0 && p->grid.group < p->cols ? p->grid.group : p->cols};
    k.groups = (p->cols + k.group - 1) / k.group;
    int64_t *own = base_calloc((size_t)p->cols, sizeof *own);
    k.order = own;
    k.w = base_big_room((size_t)n, sizeof *k.w, "gptq's weights", err);
    float *f = o->factor;
    if (k.w && !f) f = base_big_alloc((size_t)(p->cols * p->cols), sizeof *f, "gptq's factor", err);
    if (k.w && f && p->mask) k.kept = base_big_alloc((size_t)n, 2 * sizeof *k.kept, "gptq's kept weights", err);
    if (p->grid.search == SEARCH_GOLDEN || p->grid.search == SEARCH_IMATRIX)
        k.diagonal = base_calloc((size_t)p->cols, 2 * sizeof *k.diagonal);
    sweep s = {.rows = p->rows,
               .cols = p->cols,
               .block = o->block,
               .wide = wait_columns(&k),
               .w = p->r,
               .order = o->act_order || o->group_order ? own : NULL,
               .moved = k.w,
               .f = f,
               .span = span_of_groups,
               .begin = fit_groups,
               .settle = settle,
               .context = &k,
               .job = p->job};
    bool ok = k.w && f && (k.kept || !p->mask) && run(&k, own, f, &s, err);
    if (ok && order) memcpy(order, own, (size_t)p->cols * sizeof *order);
    base_big_free(k.w);
    if (f != o->factor) base_big_free(f);
    base_big_free(k.kept);
    free(k.diagonal);
    free(own);
    return ok;
}

// ---- as a solver of quantize ---------------------------------------------------------------------

static bool solve_group(solver_problem *p, void *options, base_err *err) {
    return gptq_solve(p, options, NULL, err);
}

static bool solve(solver_problem *p, base_err *err) {
    if (p->diagonal) {
        // An embedding's inputs choose one row each: within a row H is a multiple of 1, where rounding to nearest is
        // already the minimum.
        return solver_rtn.solve(p, err);
    }
    gptq_options o = {.damp = solver_number(p, "damp", 0.01),
                      .block = (int64_t)solver_number(p, "block", 128),
                      .act_order = solver_is(p, "order", "act"),
                      .group_order = solver_is(p, "order", "group"),
                      .static_groups = solver_number(p, "static", 0) != 0,
                      .fitted = p->grid.group == GROUP_TENSOR || p->grid.search == SEARCH_GOLDEN};
    // Groups that follow the order of processing would have to be stored with it; these are runs of columns.
    // The golden search looks at the whole row before any column is done.
    o.static_groups |= o.act_order || p->grid.search == SEARCH_GOLDEN;
    if (o.fitted && !solver_rtn.solve(p, err)) return false;
    return solver_each_group(p, solve_group, &o, err);
}

const compress_solver solver_gptq = {
    .name = "gptq",
    .help = "column by column, later columns make up for each error",
    .about =
        "Minimises tr((W-Q) H (W-Q)^T): column i is rounded to its grid, and the columns still to come move by\n"
        "-(w_i - q_i) / U_ii U[i, i+1:], where (H + damp mean(diag H) 1)^-1 = U^T U. Inputs that never fire get "
        "weight\n"
        "0. order=act takes columns by falling diag H (group scales are then static), order=group groups by their\n"
        "largest diag H and columns by theirs inside each (group-aware order). Convolutions use their\n"
        "unfolded inputs, grouped ones a moment a group; an embedding is rounded to nearest, which is its minimum.\n"
        "quantize{solver=\"gptq\", bits=3, group=64, order=\"act\"}",
    .source = "GPTQ (Frantar et al., ICLR 2023, arXiv 2210.17323); order=group: Gafni et al. (arXiv 2505.14638)",
    .cost = "calibration inputs; inputs^3 + outputs inputs^2 operations a layer",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
