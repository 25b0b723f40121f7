// sparsegpt: prune column by column, the columns still to come make up for what is lost.
//
// Frantar, Alistarh: SparseGPT, ICML 2023 (arXiv 2301.00774), algorithm 1, in the order of events of the authors' code:
// per block of columns the scores w^2 / U_ii^2 = (w R_ii)^2 of all rows together choose an unstructured mask (at or
// below the score at int(count * sparsity) in rising order); N:M chooses the n least scores of every m columns of a row
// when the first of them comes up; a joint quantiser rounds what is kept, on the grid of the dense rows.
#include "compress/solvers/sparsegpt.h"
#include "compress/solvers/factor.h"
#include "compress/solvers/sweep.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 1024 };

typedef struct sparse_work {
    sparsegpt_problem *p;
    int64_t group, groups; // columns that share a scale, groups of a row
    float *w;              // [rows x cols], as the columns before have moved them
    float *score;          // [rows x block], also sorted in place of a copy
    const float *f;        // [cols x cols], sweep_factor
    const sweep *s;
} sparse_work;

static float score_of(const sparse_work *k, float w, int64_t column) {
    float d = k->f[column * k->p->cols + column];
    return w * w * (d * d);
}

// Weights that went before come first.
static float block_score(const sparse_work *k, int64_t row, int64_t column, float w) {
    int64_t at = row * k->p->cols + column;
    return k->p->alive && !k->p->alive[at] ? -1 : score_of(k, w, column);
}

static int64_t span_of_block(void *work, int64_t from, int64_t count) {
    (void)from;
    const sparse_work *k = work;
    return k->p->n || k->p->fixed ? 0 : count;
}

// mask of one block, all rows together.
static bool choose_block(void *work, int64_t from, int64_t count, const float *ahead, int64_t span, base_err *err) {
    (void)err;
    const sparse_work *k = work;
    sparsegpt_problem *p = k->p;
    int64_t n = 0, gone = 0, total = p->rows * count, less;
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < count; i++) {
            float score = block_score(k, r, from + i, ahead[r * span + i]);
            gone += score < 0;
            k->score[n++] = score < 0 ? 0 : score;
        }
    int64_t at = (int64_t)((double)total * p->sparsity);
    if (at == 0) return true; // nothing is to go; what went before is marked already
    if (at >= total) at = total - 1;
    uint32_t bits = num_kth_magnitude(k->score, total, at, &less);
    float threshold = -1; // when as many went before
    if (at >= gone) memcpy(&threshold, &bits, sizeof threshold);
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t i = 0; i < count; i++)
            p->mask[r * p->cols + from + i] = block_score(k, r, from + i, ahead[r * span + i]) > threshold ? 1 : 0;
    return true;
}

// The least scores among the next weights of a lane go until m - n stay; the first of equal ones goes first.
static void choose_some(const sparse_work *k, const float *here, uint8_t *mask, int64_t column, int64_t count) {
    int64_t stay = 0, most = (k->p->tail ? count : k->p->m) - k->p->n;
    for (int64_t i = 0; i < count; i++) stay += mask[i];
    for (; stay > most && stay > 0; stay--) {
        int64_t least = -1;
        float value = 0;
        for (int64_t i = 0; i < count; i++) {
            float s = score_of(k, here[i * SWEEP_LANES], column + i);
            if (mask[i] && (least < 0 || s < value)) least = i, value = s;
        }
        mask[least] = 0;
    }
}

// What stays of one column: on its grid when there is one, and 0 where the mask says so.
static bool settle(void *work, sweep_tile *t, int64_t i, float *values, base_err *err) {
    (void)err;
    const sparse_work *k = work;
    const sparsegpt_problem *p = k->p;
    int64_t column = t->from + i, left = t->count - i;
    float *here = t->x + i * SWEEP_LANES;
    grid_code codes[SWEEP_LANES] = {0};
    if (p->n && !p->fixed && i % p->m == 0) {
        int64_t count = left < p->m ? left : p->m;
        float ahead[MOST_COLUMNS * SWEEP_LANES];
        sweep_ahead(k->s, t, i, count, ahead);
        for (int64_t r = 0; r < t->lanes; r++)
            choose_some(k, ahead + r, p->mask + (t->row + r) * p->cols + column, column, count);
    }
    memcpy(values, here, SWEEP_LANES * sizeof *values);
    if (p->grid) {
        for (int64_t r = 0; (i == 0 || column % k->group == 0) && r < t->lanes; r++) {
            t->grid.scale[r] = p->scales[(t->row + r) * k->groups + column / k->group];
            t->grid.zero[r] = p->zeros[(t->row + r) * k->groups + column / k->group];
        }
        t->grid.grid = p->grid;
        sweep_round(&t->grid, t->lanes, here, codes, values);
    }
    for (int64_t r = 0; r < t->lanes; r++) {
        int64_t at = (t->row + r) * p->cols + column;
        if (!p->mask[at]) codes[r] = 0, values[r] = 0;
        if (p->grid) p->codes[at] = codes[r];
        p->out[at] = values[r];
    }
    return true;
}

static bool run(sparse_work *k, float *f, base_err *err) {
    sparsegpt_problem *p = k->p;
    int64_t rows = p->rows, cols = p->cols;
    memcpy(k->w, p->w, (size_t)(rows * cols) * sizeof *k->w);
    for (int64_t r = 0; p->grid && r < rows; r++)
        for (int64_t g = 0; g < k->groups; g++) {
            int64_t at = g * k->group, left = cols - at < k->group ? cols - at : k->group;
            grid_param q;
            if ((r & 63) == 0 && !base_go_on(p->job, err)) return false;
            if (!grid_fit(p->grid, (p->ranges ? p->ranges : p->w) + r * cols + at, left, p->job, &q, err)) return false;
            p->scales[r * k->groups + g] = q.scale;
            p->zeros[r * k->groups + g] = q.zero;
        }
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; p->h[c * cols + c] == 0 && r < rows; r++) k->w[r * cols + c] = 0;
    if (!sweep_factor(p->layer, cols, p->h, NULL, p->damp, f, &p->damping, p->job, err)) return false;
    if (p->fixed || p->alive)
        memmove(p->mask, p->fixed ? p->fixed : p->alive, (size_t)(rows * cols));
    else
        memset(p->mask, 1, (size_t)(rows * cols));
    sweep s = {.rows = rows,
               .cols = cols,
               .block = p->block,
               .wide = 4 * p->block,
               .w = p->w,
               .moved = k->w,
               .f = f,
               .span = span_of_block,
               .begin = choose_block,
               .settle = settle,
               .at_once = p->n > 0,
               .context = k,
               .job = p->job};
    k->s = &s;
    return sweep_run(&s, err);
}

bool sparsegpt_solve(sparsegpt_problem *p, base_err *err) {
    BASE_CHECK(p->block >= 1 && p->block <= MOST_COLUMNS && p->n >= 0 && (!p->n || p->n <= p->m));
    // N:M groups must not straddle two blocks.
    if (p->n && p->block % p->m) p->block = p->block < p->m ? p->m : p->block / p->m * p->m;
    sparse_work k = {.p = p,
                     .group = p->grid && p->grid->group > 0 && p->grid->group < p->cols ? p->grid->group : p->cols};
    k.groups = (p->cols + k.group - 1) / k.group;
    k.w = base_big_alloc((size_t)(p->rows * p->cols), sizeof *k.w, "sparsegpt's weights", err);
    k.score = k.w ? base_big_alloc((size_t)(p->rows * p->block), sizeof *k.score, "sparsegpt's scores", err) : NULL;
    float *f = k.score ? base_big_alloc((size_t)(p->cols * p->cols), sizeof *f, "sparsegpt's factor", err) : NULL;
    k.f = f;
    bool ok = f && run(&k, f, err);
    base_big_free(k.w);
    base_big_free(k.score);
    base_big_free(f);
    return ok;
}
