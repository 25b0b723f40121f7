// sparsegpt: prune column by column, the columns still to come make up for what is lost.
//
// Frantar, Alistarh: SparseGPT, ICML 2023 (arXiv 2301.00774), algorithm 1, in the order of events of the authors' code:
// per block of columns the scores w^2 / U_ii^2 of all rows together choose an unstructured mask (at or below the score
// at int(count * sparsity) in rising order); N:M chooses the n least scores of every m columns of a row when the first
// of them comes up; a joint quantiser rounds what is kept, on the grid of the dense rows.
#include "compress/solvers/sparsegpt.h"
#include "compress/solvers/gptq.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_CHUNK = 32, MOST_COLUMNS = 1024 };

typedef struct sparse_work {
    sparsegpt_problem *p;
    int64_t group, groups; // columns that share a scale, groups of a row
    float *w;              // [rows x cols], updated
    float *error;          // [rows x block]
    float *score;          // [rows x block], also sorted in place of a copy
    const float *u;        // [cols x cols]
} sparse_work;

BASE_CLONES static void carry(float *w, const float *u, float error, int64_t count) {
    for (int64_t k = 0; k < count; k++) w[k] -= error * u[k];
}

static float score_of(const sparse_work *k, float w, int64_t column) {
    float d = k->u[column * k->p->cols + column];
    return w * w / (d * d);
}

// Weights that went before come first.
static float block_score(const sparse_work *k, int64_t row, int64_t column) {
    int64_t at = row * k->p->cols + column;
    return k->p->alive && !k->p->alive[at] ? -1 : score_of(k, k->w[at], column);
}

// The k-th smallest (from 0) of n values; reorders them (Hoare's selection).
static float kth_smallest(float *x, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i <= j) {
                float swap = x[i];
                x[i++] = x[j];
                x[j--] = swap;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return x[k];
}

// mask of one block, all rows together.
static void choose_block(const sparse_work *k, int64_t from, int64_t count) {
    sparsegpt_problem *p = k->p;
    int64_t n = 0, total = p->rows * count;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < count; i++) k->score[n++] = block_score(k, r, from + i);
    int64_t at = (int64_t)((double)total * p->sparsity);
    if (at == 0) return; // nothing is to go; what went before is marked already
    if (at >= total) at = total - 1;
    float threshold = kth_smallest(k->score, total, at);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < count; i++)
            p->mask[r * p->cols + from + i] = block_score(k, r, from + i) > threshold ? 1 : 0;
}

// The least scores among the next m weights of a row go until m - n stay; the first of equal ones goes first.
static void choose_some(const sparse_work *k, const float *here, uint8_t *mask, int64_t column, int64_t count) {
    int64_t stay = 0;
    for (int64_t i = 0; i < count; i++) stay += mask[i];
    for (; stay > k->p->m - k->p->n; stay--) {
        int64_t least = -1;
        float value = 0;
        for (int64_t i = 0; i < count; i++) {
            float s = score_of(k, here[i], column + i);
            if (mask[i] && (least < 0 || s < value)) least = i, value = s;
        }
        mask[least] = 0;
    }
}

static void solve_row(const sparse_work *k, int64_t row, int64_t from, int64_t count) {
    sparsegpt_problem *p = k->p;
    int64_t cols = p->cols;
    float here[MOST_COLUMNS];
    uint8_t *mask = p->mask + row * cols + from;
    memcpy(here, k->w + row * cols + from, (size_t)count * sizeof *here);
    for (int64_t i = 0; i < count; i++) {
        if (p->n && !p->fixed && i % p->m == 0)
            choose_some(k, here + i, mask + i, from + i, count - i < p->m ? count - i : p->m);
        float q = mask[i] ? here[i] : 0;
        if (p->grid && mask[i]) {
            uint8_t code;
            int64_t s = row * k->groups + (from + i) / k->group;
            grid_param g = {p->scales[s], p->zeros[s]};
            grid_encode(p->grid, g, &q, 1, &code);
            p->codes[row * cols + from + i] = code;
            q = grid_value(p->grid, g, code);
        }
        const float *u = k->u + (from + i) * cols + from + i;
        float e = (here[i] - q) / u[0];
        p->out[row * cols + from + i] = q;
        k->error[row * p->block + i] = e;
        carry(here + i + 1, u + 1, e, count - i - 1);
    }
}

static void solve_columns(const sparse_work *k, int64_t from, int64_t count) {
    int64_t rows = k->p->rows, chunks = (rows + ROW_CHUNK - 1) / ROW_CHUNK;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
    for (int64_t c = 0; c < chunks; c++)
        for (int64_t r = c * ROW_CHUNK; r < rows && r < (c + 1) * ROW_CHUNK; r++) solve_row(k, r, from, count);
}

static bool run(sparse_work *k, float *u, base_err *err) {
    sparsegpt_problem *p = k->p;
    int64_t rows = p->rows, cols = p->cols;
    memcpy(k->w, p->w, (size_t)(rows * cols) * sizeof *k->w);
    for (int64_t r = 0; p->grid && r < rows; r++)
        for (int64_t g = 0; g < k->groups; g++) {
            int64_t at = g * k->group, left = cols - at < k->group ? cols - at : k->group;
            grid_param q;
            if ((r & 63) == 0 && !base_go_on(p->job, err)) return false;
            if (!grid_fit(p->grid, p->w + r * cols + at, left, p->job, &q, err)) return false;
            p->scales[r * k->groups + g] = q.scale;
            p->zeros[r * k->groups + g] = q.zero;
        }
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; p->h[c * cols + c] == 0 && r < rows; r++) k->w[r * cols + c] = 0;
    if (!gptq_factor(p->layer, cols, p->h, NULL, p->damp, u, &p->damping, p->job, err)) return false;
    if (p->fixed || p->alive)
        memmove(p->mask, p->fixed ? p->fixed : p->alive, (size_t)(rows * cols));
    else
        memset(p->mask, 1, (size_t)(rows * cols));
    for (int64_t from = 0; from < cols; from += p->block) {
        if (!base_go_on(p->job, err)) return false;
        int64_t count = cols - from < p->block ? cols - from : p->block, next = from + count;
        if (!p->n && !p->fixed) choose_block(k, from, count);
        solve_columns(k, from, count);
        num_gemm(false, false, rows, cols - next, count, -1, k->error, p->block, u + from * cols + next, cols, 1,
                 k->w + next, cols);
    }
    return true;
}

bool sparsegpt_solve(sparsegpt_problem *p, base_err *err) {
    BASE_CHECK(p->block >= 1 && p->block <= MOST_COLUMNS && p->n >= 0 && (!p->n || p->n <= p->m));
    // N:M groups must not straddle two blocks.
    if (p->n && p->block % p->m) p->block = p->block < p->m ? p->m : p->block / p->m * p->m;
    sparse_work k = {.p = p,
                     .group = p->grid && p->grid->group > 0 && p->grid->group < p->cols ? p->grid->group : p->cols};
    k.groups = (p->cols + k.group - 1) / k.group;
    k.w = base_big_alloc((size_t)(p->rows * p->cols), sizeof *k.w, "sparsegpt's weights", err);
    k.error = k.w ? base_big_alloc((size_t)(p->rows * p->block), sizeof *k.error, "sparsegpt's errors", err) : NULL;
    k.score = k.error ? base_big_alloc((size_t)(p->rows * p->block), sizeof *k.score, "sparsegpt's scores", err) : NULL;
    float *u = k.score ? base_big_alloc((size_t)(p->cols * p->cols), sizeof *u, "sparsegpt's factor", err) : NULL;
    k.u = u;
    bool ok = u && run(&k, u, err);
    base_big_free(k.w);
    base_big_free(k.error);
    base_big_free(k.score);
    base_big_free(u);
    return ok;
}
