// rtn: round to nearest. Every group is fitted and rounded by itself; no data is needed.
#include "compress/solvers/range_golden.h"

#include <string.h>

// Rows are worked on in blocks of about this many weights, with a look at the cancel flag between blocks.
enum { BLOCK_WEIGHTS = 1 << 18 };

// The kept values of one group side by side.
static int64_t gather(const solver_problem *p, int64_t first, int64_t count, float *out) {
    int64_t n = 0;
    for (int64_t i = first; i < first + count; i++)
        if (p->mask[i]) out[n++] = p->r[i];
    return n;
}

// What errors in these columns of a row cost: the diagonal of H, for searches that weigh; beside `scratch`'s values.
static const float *gather_weights(const solver_problem *p, int64_t row, int64_t col, int64_t count, float *out) {
    if (!p->h || p->diagonal || (p->grid.search != SEARCH_GOLDEN && p->grid.search != SEARCH_IMATRIX)) return NULL;
    const float *h = p->h + row / (p->rows / p->groups) * p->cols * p->cols;
    int64_t n = 0;
    for (int64_t c = col; c < col + count; c++)
        if (!p->mask || p->mask[row * p->cols + c]) out[n++] = h[c * p->cols + c];
    return out;
}

static bool fit_row(solver_problem *p, int64_t row, float *scratch, base_err *err) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group);
    int64_t length = p->grid.group > 0 ? p->grid.group : p->cols;
    for (int64_t g = 0; g < per_row; g++) {
        int64_t c = g * length, n = p->cols - c < length ? p->cols - c : length, first = row * p->cols + c;
        const float *x = p->r + first, *weight = gather_weights(p, row, c, n, scratch + p->cols);
        if (p->mask) {
            n = gather(p, first, n, scratch);
            x = scratch;
        }
        grid_param q;
        if (!grid_fit_weighted(solver_grid(p, g), x, weight, n, p->job, &q, err)) return false;
        p->scales[row * per_row + g] = q.scale;
        p->zeros[row * per_row + g] = q.zero;
    }
    return true;
}

static void encode_row(solver_problem *p, int64_t row) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group);
    int64_t length = p->grid.group > 0 ? p->grid.group : p->cols;
    for (int64_t c = 0, g = 0; c < p->cols; c += length, g++) {
        int64_t n = p->cols - c < length ? p->cols - c : length, s = per_row ? row * per_row + g : 0;
        grid_encode(solver_grid(p, g), (grid_param){p->scales[s], p->zeros[s]}, p->r + row * p->cols + c, n,
                    p->codes + row * p->cols + c);
    }
}

// What each kept weight counts: the diagonal of H at its input, or how often its row of an embedding is read. NULL: all
// alike.
static float *tensor_weights(const solver_problem *p, base_err *err) {
    float *weight = base_big_alloc((size_t)(p->rows * p->cols) + 1, sizeof *weight, "weights of a search", err);
    int64_t n = 0;
    for (int64_t i = 0; weight && i < p->rows * p->cols; i++) {
        int64_t r = i / p->cols, c = i % p->cols, g = r / (p->rows / p->groups);
        if (!p->mask || p->mask[i]) weight[n++] = p->diagonal ? p->h[r] : p->h[(g * p->cols + c) * p->cols + c];
    }
    return weight;
}

static bool fit_tensor(solver_problem *p, base_err *err) {
    int64_t n = p->rows * p->cols;
    const float *x = p->r;
    float *kept = NULL, *weight = NULL;
    bool weighted = p->h && (p->grid.search == SEARCH_GOLDEN || p->grid.search == SEARCH_IMATRIX);
    if (weighted && !(weight = tensor_weights(p, err))) return false;
    if (p->mask) {
        kept = base_big_alloc((size_t)n + 1, sizeof *kept, "kept weights", err);
        if (!kept) {
            base_big_free(weight);
            return false;
        }
        n = gather(p, 0, n, kept);
        x = kept;
    }
    grid_param q = {0, 0};
    bool ok = grid_fit_weighted(&p->grid, x, weight, n, p->job, &q, err);
    base_big_free(weight);
    p->scales[0] = q.scale;
    p->zeros[0] = q.zero;
    base_big_free(kept);
    return ok;
}

static bool solve_block(solver_problem *p, int64_t first, int64_t end, base_err *err) {
    bool ok = true, fit = p->grid.group != GROUP_TENSOR && !p->fitted;
#ifdef _OPENMP
#pragma omp parallel if ((end - first) * p->cols > TERM_PARALLEL)
#endif
    {
        base_err own = {0};
        float *scratch = fit ? base_big_alloc((size_t)p->cols + 1, 2 * sizeof *scratch, "kept weights", &own) : NULL;
        bool good = scratch || !fit;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t r = first; r < end; r++) {
            if (good && fit) good = fit_row(p, r, scratch, &own);
            if (good) encode_row(p, r);
        }
        base_big_free(scratch);
        if (!good) {
#ifdef _OPENMP
#pragma omp critical(rtn_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
    }
    return ok;
}

static bool nearest(solver_problem *p, base_err *err) {
    if (p->grid.group == GROUP_TENSOR && !p->fitted && !fit_tensor(p, err)) return false;
    // The mse search costs eighty passes, so its blocks are smaller.
    int64_t step = BLOCK_WEIGHTS / (p->grid.mse || p->grid.search ? 8 : 1) / p->cols + 1;
    step = (step + 7) / 8 * 8;
    for (int64_t r = 0; r < p->rows; r += step) {
        if (!base_go_on(p->job, err)) return false;
        if (!solve_block(p, r, r + step < p->rows ? r + step : p->rows, err)) return false;
    }
    return base_go_on(p->job, err);
}

static bool solve(solver_problem *p, base_err *err) {
    return nearest(p, err) && (p->fitted || p->grid.search != SEARCH_GOLDEN || !p->h || range_golden(p, err));
}

const compress_solver solver_rtn = {
    .name = "rtn",
    .help = "round to nearest",
    .about =
        "Each weight goes to the nearest point of its group's grid, half to even. The grid's range is the smallest "
        "and largest weight with 0 (range=minmax), or the shrunk range with the least sum |w - q|^2.4 of 80 tried "
        "(range=mse).",
    .source = "the grid and search of GPTQ's Quantizer: Frantar et al., GPTQ, ICLR 2023 (arXiv 2210.17323)",
    .cost = "no data; one pass over the weights (80 with range=mse)",
    .solve = solve,
};
