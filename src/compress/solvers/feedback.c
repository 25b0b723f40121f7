// feedback: the sweep over blocks of columns and the descent that follows, for any coder of runs.
//
// The sweep is GPTQ's with blocks in the place of columns (Frantar et al., arXiv 2210.17323; QuIP#'s block LDLQ,
// arXiv 2402.04396, section 4.3, is the same update): with (H + damping)^-1 = U^T U and D the error of block B, the
// columns to come move by -D U_BB^-1 U[B, later]. What an error in the block costs, everything after it adapted, is
// |D U_BB^-1|^2: the diagonal of U_BB^-1 U_BB^-T is the weight of its columns.
//
// The descent codes a block again with all others held: its target is Q_B + (R H)_B H_BB^-1 with R = W - Q, and each
// run takes its new code only when the output error falls by it. Scales are least squares between passes.
#include "compress/solvers/feedback.h"
#include "compress/solvers/gptq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOGETHER = 64, PARTS = 8 }; // columns that wait for a large product; pieces of a block's runs

typedef struct sweep {
    feedback_problem *p;
    int64_t rows, cols, block, group_rows, per_block;
    float *u;                  // [groups x cols x cols]; NULL without h
    int64_t *order;            // [cols]: place to column, whole blocks
    float *t;                  // [rows x cols] targets, in places
    float *q;                  // [rows x cols] values of the codes, in columns
    float *e;                  // [rows x TOGETHER + block] errors that wait
    float *tile, *done;        // [rows x block] targets of a block over nothing, and what came of it
    float *metric;             // [groups x block x block]
    double *inverse;           // [2 x block x block]
    float *x, *weight, *value; // [runs of a block x length]
    uint16_t *trial;           // [runs of a block x words]
    uint8_t *rooms[PARTS];
} sweep;

static float scale_of(const feedback_problem *p, int64_t row) {
    return p->scales[p->one_scale ? 0 : row];
}

// ---- scales --------------------------------------------------------------------------------------

static float stored(num_dtype dtype, float scale) {
    return dtype == NUM_F16 ? num_f16_to_f32(num_f32_to_f16(scale)) : scale;
}

bool feedback_scales(feedback_problem *p, base_err *err) {
    int64_t rows = p->runs.rows, cols = p->runs.cols;
    p->scale_count = p->one_scale ? 1 : rows;
    base_big_free(p->scales);
    p->scales = base_big_alloc((size_t)p->scale_count, sizeof *p->scales, "scales of a layer", err);
    if (!p->scales) return false;
    p->scale_dtype = NUM_F16;
    for (int64_t r = 0; r < p->scale_count; r++) {
        int64_t n = p->one_scale ? rows * cols : cols;
        double s = p->fit * sqrt(num_sum_squares(p->w + r * cols, (size_t)n) / (double)n);
        p->scales[r] = (float)s;
        // Room for the scales to move when they are fitted.
        if (s > 0 && !(s >= 2e-4 && s <= 30000)) p->scale_dtype = NUM_F32;
    }
    for (int64_t r = 0; r < p->scale_count; r++) p->scales[r] = stored(p->scale_dtype, p->scales[r]);
    return true;
}

void feedback_gather(const feedback_problem *p, int64_t block, int64_t run, const float *from, float *x) {
    for (int64_t k = 0; k < p->runs.length; k++) {
        int64_t row, col;
        x[k] = 0;
        if (!lattice_place(&p->runs, block, run, k, &row, &col)) continue;
        float s = scale_of(p, row);
        if (s > 0) x[k] = from[row * p->runs.cols + col] / s;
    }
}

// ---- coding one block ----------------------------------------------------------------------------

// All runs of a block: targets in s->tile, metrics of its columns in s->metric. Codes to `words`, values over the
// scales to s->value.
static bool code_block(const sweep *s, int64_t block, uint16_t *words, base_err *err) {
    const feedback_problem *p = s->p;
    int64_t length = p->runs.length, b = s->block;
    int64_t parts = s->per_block < PARTS ? s->per_block : PARTS;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (parts > 1)
#endif
    for (int64_t part = 0; part < parts; part++)
        for (int64_t run = part * s->per_block / parts; run < (part + 1) * s->per_block / parts; run++) {
            float *x = s->x + run * length, *w = s->weight + run * length;
            const float *metric = NULL;
            if (base_cancelled(p->job)) break;
            for (int64_t k = 0; k < length; k++) {
                int64_t row, col;
                x[k] = w[k] = 0;
                if (!lattice_place(&p->runs, block, run, k, &row, &col)) continue;
                float scale = scale_of(p, row);
                int64_t c = col - block * b, g = row / s->group_rows;
                if (p->runs.by_row && length == b) metric = s->metric + g * b * b;
                if (scale > 0) {
                    x[k] = s->tile[row * b + c] / scale;
                    w[k] = s->metric[(g * b + c) * b + c] * scale * scale;
                }
            }
            p->coder->encode(p->coder->context, &(feedback_run){x, w, metric}, words + run * p->coder->words,
                             s->value + run * length, s->rooms[part]);
        }
    return base_go_on(p->job, err);
}

// Values of a run into a tile [rows x block], times the scales.
static void spread(const sweep *s, int64_t block, int64_t run, float *tile) {
    const float *v = s->value + run * s->p->runs.length;
    for (int64_t k = 0; k < s->p->runs.length; k++) {
        int64_t row, col;
        if (lattice_place(&s->p->runs, block, run, k, &row, &col))
            tile[row * s->block + col - block * s->block] = v[k] * scale_of(s->p, row);
    }
}

// ---- the sweep -----------------------------------------------------------------------------------

static int64_t width_of(const sweep *s, int64_t block) {
    int64_t left = s->cols - block * s->block;
    return left < s->block ? left : s->block;
}

typedef struct block_key {
    double moment;
    int64_t block;
} block_key;

static int falling(const void *a, const void *b) {
    const block_key *x = a, *y = b;
    if (x->moment != y->moment) return x->moment > y->moment ? -1 : 1;
    return x->block < y->block ? -1 : 1;
}

// Blocks by the mean of their diagonals; a narrower last block stays last, so that places of blocks stay aligned.
static void find_order(const sweep *s) {
    const feedback_problem *p = s->p;
    int64_t n = s->cols, whole = n / s->block;
    block_key *k = base_calloc((size_t)whole + 1, sizeof *k);
    for (int64_t b = 0; b < whole; b++) {
        k[b].block = b;
        for (int64_t g = 0; p->h && g < p->groups; g++)
            for (int64_t c = b * s->block; c < (b + 1) * s->block; c++)
                k[b].moment += (double)p->h[(g * n + c) * n + c];
    }
    if (p->act_order && p->h) qsort(k, (size_t)whole, sizeof *k, falling);
    for (int64_t b = 0; b < whole; b++)
        for (int64_t c = 0; c < s->block; c++) s->order[b * s->block + c] = k[b].block * s->block + c;
    for (int64_t c = whole * s->block; c < n; c++) s->order[c] = c;
    free(k);
}

static const float *u_of(const sweep *s, int64_t row) {
    return s->u + row / s->group_rows * s->cols * s->cols;
}

// U_BB^-1 of each group (float64, in place of s->inverse) and the metric U_BB^-1 U_BB^-T.
static void sweep_metric(const sweep *s, int64_t at, int64_t width) {
    int64_t b = s->block, n = s->cols;
    memset(s->metric, 0, (size_t)(s->p->groups * b * b) * sizeof *s->metric);
    for (int64_t g = 0; g < s->p->groups; g++) {
        float *m = s->metric + g * b * b;
        double *v = s->inverse;
        if (!s->u) {
            for (int64_t c = 0; c < width; c++) m[c * b + c] = 1;
            continue;
        }
        const float *u = s->u + g * n * n + at * n + at;
        memset(v, 0, (size_t)(b * b) * sizeof *v);
        for (int64_t j = 0; j < width; j++)
            for (int64_t i = j; i >= 0; i--) {
                double sum = i == j ? 1 : 0;
                for (int64_t k = i + 1; k <= j; k++) sum -= (double)u[i * n + k] * v[k * b + j];
                v[i * b + j] = sum / (double)u[i * n + i];
            }
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < width; j++) {
                double sum = 0;
                for (int64_t k = i > j ? i : j; k < width; k++) sum += v[i * b + k] * v[j * b + k];
                m[i * b + j] = (float)sum;
            }
    }
}

// E U_BB = D by columns; then the columns of this batch that are still to come.
static void carry_within(const sweep *s, int64_t at, int64_t width, int64_t from, int64_t end) {
    int64_t n = s->cols, wide = TOGETHER + s->block;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (s->rows * (end - at) * width > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < s->rows; r++) {
        const float *u = u_of(s, r);
        float *e = s->e + r * wide + at - from;
        for (int64_t c = 0; c < width; c++) {
            double sum = (double)s->t[r * n + at + c] - (double)s->done[r * s->block + c];
            for (int64_t k = 0; k < c; k++) sum -= (double)e[k] * (double)u[(at + k) * n + at + c];
            e[c] = (float)(sum / (double)u[(at + c) * n + at + c]);
        }
        for (int64_t k = 0; k < width; k++)
            for (int64_t c = at + width; c < end; c++) s->t[r * n + c] -= e[k] * u[(at + k) * n + c];
    }
}

static bool sweep_block(const sweep *s, int64_t at, int64_t from, int64_t end, base_err *err) {
    int64_t n = s->cols, b = s->block, block = s->order[at] / b, width = width_of(s, block);
    sweep_metric(s, at, width);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < width; c++) s->tile[r * b + c] = s->t[r * n + at + c];
    if (!code_block(s, block, s->p->codes + block * s->per_block * s->p->coder->words, err)) return false;
    for (int64_t run = 0; run < s->per_block; run++) spread(s, block, run, s->done);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < width; c++) s->q[r * n + block * b + c] = s->done[r * b + c];
    if (s->u) carry_within(s, at, width, from, end);
    return true;
}

static bool sweep_all(const sweep *s, base_err *err) {
    const feedback_problem *p = s->p;
    int64_t n = s->cols, wide = TOGETHER + s->block;
    int64_t step = (TOGETHER + s->block - 1) / s->block * s->block;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < n; c++) s->t[r * n + c] = p->w[r * n + s->order[c]];
    for (int64_t from = 0; from < n; from += step) {
        int64_t end = from + step < n ? from + step : n;
        for (int64_t at = from; at < end; at += s->block)
            if (!sweep_block(s, at, from, end, err)) return false;
        for (int64_t g = 0; s->u && end < n && g < p->groups; g++)
            num_gemm(false, false, s->group_rows, n - end, end - from, -1, s->e + g * s->group_rows * wide, wide,
                     s->u + (g * n + from) * n + end, n, 1, s->t + g * s->group_rows * n + end, n);
    }
    return true;
}

// ---- the output error ----------------------------------------------------------------------------

// out = (a - b) (H + damping) for the columns [at, at + width); b NULL: a alone.
static bool times_h(const sweep *s, const float *a, const float *b, int64_t at, int64_t width, float *out,
                    base_err *err) {
    int64_t n = s->cols, rows = s->group_rows;
    float *r = base_big_alloc((size_t)(s->rows * n), sizeof *r, "the remainder of a layer", err);
    if (!r) return false;
    for (int64_t i = 0; i < s->rows * n; i++) r[i] = b ? a[i] - b[i] : a[i];
    for (int64_t g = 0; g < s->p->groups; g++) {
        const float *h = s->p->h ? s->p->h + g * n * n : NULL;
        double mean = 0;
        for (int64_t c = 0; h && c < n; c++) mean += (double)h[c * n + c] / (double)n;
        float add = h ? (float)(s->p->damping * mean) : 1;
        if (h)
            num_gemm(false, false, rows, width, n, 1, r + g * rows * n, n, h + at, n, 0, out + g * rows * width, width);
        for (int64_t i = g * rows; i < (g + 1) * rows; i++)
            for (int64_t c = 0; c < width; c++)
                out[i * width + c] = (h ? out[i * width + c] : 0) + add * r[i * n + at + c];
    }
    base_big_free(r);
    return true;
}

static bool relative_error(const sweep *s, double *error, base_err *err) {
    int64_t n = s->rows * s->cols;
    const float *w = s->p->w;
    float *out = base_big_alloc((size_t)n, sizeof *out, "the output error of a layer", err);
    bool ok = out && times_h(s, w, s->q, 0, s->cols, out, err);
    double lost = 0, all = 0;
    for (int64_t i = 0; ok && i < n; i++) lost += ((double)w[i] - (double)s->q[i]) * (double)out[i];
    ok = ok && times_h(s, w, NULL, 0, s->cols, out, err);
    for (int64_t i = 0; ok && i < n; i++) all += (double)w[i] * (double)out[i];
    base_big_free(out);
    *error = all > 0 ? lost / all : 0;
    return ok;
}

// w H q and q H q over the weights [from, to) of one scale; out = q H.
static void scale_products(const sweep *s, const float *out, int64_t from, int64_t to, double *wq, double *qq) {
    *wq = *qq = 0;
    for (int64_t i = from; i < to; i++) {
        *wq += (double)s->p->w[i] * (double)out[i];
        *qq += (double)s->q[i] * (double)out[i];
    }
}

// Least-squares scales for the codes there are: f = w H q / q H q; kept where the stored scale lowers the error.
static bool fit_scales(const sweep *s, base_err *err) {
    feedback_problem *p = s->p;
    int64_t n = s->cols, share = p->one_scale ? s->rows : 1;
    float *out = base_big_alloc((size_t)(s->rows * n), sizeof *out, "the fit of a layer's scales", err);
    bool ok = out && times_h(s, s->q, NULL, 0, n, out, err);
    for (int64_t r = 0; ok && r < p->scale_count; r++) {
        double wq, qq;
        scale_products(s, out, r * n, (r + share) * n, &wq, &qq);
        double f = qq > 0 ? wq / qq : 1;
        if (!(f > 0.25 && f < 4) || !(p->scales[r] > 0)) continue;
        float now = stored(p->scale_dtype, (float)((double)p->scales[r] * f));
        f = (double)now / (double)p->scales[r];
        if (!(f * f * qq - 2 * f * wq < qq - 2 * wq)) continue;
        p->scales[r] = now;
        for (int64_t i = r * n; i < (r + share) * n; i++) s->q[i] = (float)((double)s->q[i] * f);
    }
    base_big_free(out);
    return ok;
}

// What adds to the error of w = 0, as codes of a book that suits few of the runs can, is scaled down to where it does
// not: the least-squares scale, or 0. So no term is worse than none.
static bool settle_scales(const sweep *s, base_err *err) {
    feedback_problem *p = s->p;
    int64_t n = s->cols, share = p->one_scale ? s->rows : 1;
    float *out = base_big_alloc((size_t)(s->rows * n), sizeof *out, "the fit of a layer's scales", err);
    bool ok = out && times_h(s, s->q, NULL, 0, n, out, err);
    for (int64_t r = 0; ok && r < p->scale_count; r++) {
        double wq, qq;
        scale_products(s, out, r * n, (r + share) * n, &wq, &qq);
        if (!(qq > 2 * wq) || !(p->scales[r] > 0)) continue;
        float now = wq > 0 ? stored(p->scale_dtype, (float)((double)p->scales[r] * (wq / qq))) : 0;
        double f = (double)now / (double)p->scales[r];
        if (!(f * qq < 2 * wq)) now = 0, f = 0;
        p->scales[r] = now;
        for (int64_t i = r * n; i < (r + share) * n; i++) s->q[i] = (float)((double)s->q[i] * f);
    }
    base_big_free(out);
    return ok;
}

// ---- the descent ---------------------------------------------------------------------------------

typedef struct descent {
    float *g;      // [rows x wide] (R H) of the columns in hand
    float *change; // [rows x block]
    int64_t from, wide;
} descent;

// H_BB + damping of every group into s->metric; inputs that never fire have no metric.
static void descent_metric(const sweep *s, int64_t block, int64_t width) {
    int64_t b = s->block, n = s->cols;
    memset(s->metric, 0, (size_t)(s->p->groups * b * b) * sizeof *s->metric);
    for (int64_t g = 0; g < s->p->groups; g++) {
        const float *h = s->p->h + g * n * n;
        double mean = 0;
        for (int64_t c = 0; c < n; c++) mean += (double)h[c * n + c] / (double)n;
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < width; j++)
                s->metric[(g * b + i) * b + j] =
                    h[(block * b + i) * n + block * b + j] + (i == j ? (float)(s->p->damping * mean) : 0);
    }
}

// tile = Q_B + G_B M^-1, in float64; where M cannot be factored, by its diagonal alone.
static void descent_targets(const sweep *s, const descent *d, int64_t block, int64_t width) {
    int64_t b = s->block, n = s->cols, at = block * b - d->from;
    double *m = s->inverse, *v = m + b * b;
    for (int64_t g = 0; g < s->p->groups; g++) {
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < width; j++) m[i * width + j] = (double)s->metric[(g * b + i) * b + j];
        bool ok = num_dcholesky(width, m, width);
        for (int64_t r = g * s->group_rows; r < (g + 1) * s->group_rows; r++) {
            const float *gr = d->g + r * d->wide + at;
            for (int64_t c = 0; c < width; c++) {
                double diagonal = (double)s->metric[(g * b + c) * b + c];
                v[c] = ok ? (double)gr[c] : diagonal > 0 ? (double)gr[c] / diagonal : 0;
            }
            if (ok) {
                num_dtrsm(true, width, 1, m, width, v, 1);
                num_dtrsm(false, width, 1, m, width, v, 1);
            }
            for (int64_t c = 0; c < width; c++)
                s->tile[r * b + c] = (float)((double)s->q[r * n + block * b + c] + v[c]);
        }
    }
}

// What the output error changes by when this run's values become those of its new code: D M D^T - 2 D G, with D in
// d->change (rows and columns of the run only).
static double run_change(const sweep *s, const descent *d, int64_t block, int64_t run, int64_t width) {
    int64_t b = s->block, n = s->cols, row, col;
    const lattice_runs *l = &s->p->runs;
    const float *v = s->value + run * l->length;
    double sum = 0;
    for (int64_t k = 0; k < l->length; k++)
        if (lattice_place(l, block, run, k, &row, &col))
            d->change[row * b + col - block * b] = v[k] * scale_of(s->p, row) - s->q[row * n + col];
    for (int64_t k = 0; k < l->length; k++) {
        if (!lattice_place(l, block, run, k, &row, &col)) continue;
        const float *line = d->change + row * b, *m = s->metric + (row / s->group_rows * b + col - block * b) * b;
        double own = 0;
        for (int64_t c = 0; c < width; c++) own += (double)m[c] * (double)line[c];
        sum += (double)line[col - block * b] * (own - 2 * (double)d->g[row * d->wide + col - d->from]);
    }
    return sum;
}

// Takes the new code: values, and G of all columns in hand.
static void take(const sweep *s, const descent *d, int64_t block, int64_t run) {
    int64_t b = s->block, n = s->cols, row, col;
    for (int64_t k = 0; k < s->p->runs.length; k++) {
        if (!lattice_place(&s->p->runs, block, run, k, &row, &col)) continue;
        float change = d->change[row * b + col - block * b];
        const float *h = s->p->h + (row / s->group_rows * n + col) * n + d->from;
        float *g = d->g + row * d->wide;
        s->q[row * n + col] += change;
        for (int64_t c = 0; change != 0 && c < d->wide; c++) g[c] -= change * h[c];
        // The metric's own diagonal holds the damping, which H does not.
        g[col - d->from] -= change * (s->metric[((row / s->group_rows) * b + col - block * b) * b + col - block * b] -
                                      h[col - d->from]);
    }
}

static bool descend_block(const sweep *s, const descent *d, int64_t block, base_err *err) {
    const feedback_problem *p = s->p;
    int64_t width = width_of(s, block), words = p->coder->words, row, col;
    uint16_t *codes = p->codes + block * s->per_block * words;
    descent_metric(s, block, width);
    descent_targets(s, d, block, width);
    if (!code_block(s, block, s->trial, err)) return false;
    for (int64_t run = 0; run < s->per_block; run++) {
        const uint16_t *trial = s->trial + run * words;
        if (!memcmp(trial, codes + run * words, (size_t)words * sizeof *trial)) continue;
        if (run_change(s, d, block, run, width) < 0) {
            take(s, d, block, run);
            memcpy(codes + run * words, trial, (size_t)words * sizeof *trial);
        }
        for (int64_t k = 0; k < p->runs.length; k++)
            if (lattice_place(&p->runs, block, run, k, &row, &col))
                d->change[row * s->block + col - block * s->block] = 0;
    }
    return true;
}

static bool descend(const sweep *s, base_err *err) {
    int64_t n = s->cols, step = (TOGETHER + s->block - 1) / s->block * s->block;
    if (step > n) step = n;
    descent d = {.g = base_big_alloc((size_t)(s->rows * step), sizeof *d.g, "a layer's errors", err)};
    d.change = d.g ? base_big_alloc((size_t)(s->rows * s->block), sizeof *d.change, "a layer's errors", err) : NULL;
    bool ok = d.change != NULL;
    for (d.from = 0; ok && d.from < n; d.from += step) {
        d.wide = n - d.from < step ? n - d.from : step;
        ok = times_h(s, s->p->w, s->q, d.from, d.wide, d.g, err);
        for (int64_t c = d.from; ok && c < d.from + d.wide; c += s->block) ok = descend_block(s, &d, c / s->block, err);
    }
    base_big_free(d.g);
    base_big_free(d.change);
    return ok;
}

// ---- all of it -----------------------------------------------------------------------------------

static bool reserve(sweep *s, base_err *err) {
    feedback_problem *p = s->p;
    size_t n = (size_t)(s->rows * s->cols), b = (size_t)s->block, runs = (size_t)(s->per_block * p->runs.length);
    const char *what = "codes of a layer";
    size_t words = (size_t)p->coder->words;
    bool ok = (s->t = base_big_alloc(n, sizeof *s->t, what, err)) &&
              (s->q = base_big_alloc(n, sizeof *s->q, what, err)) &&
              (s->e = base_big_alloc((size_t)s->rows, (TOGETHER + b) * sizeof *s->e, what, err)) &&
              (s->tile = base_big_alloc((size_t)s->rows, b * sizeof *s->tile, what, err)) &&
              (s->done = base_big_alloc((size_t)s->rows, b * sizeof *s->done, what, err)) &&
              (s->metric = base_big_alloc((size_t)p->groups, b * b * sizeof *s->metric, what, err)) &&
              (s->inverse = base_big_alloc(b * b + b, 2 * sizeof *s->inverse, what, err)) &&
              (s->x = base_big_alloc(runs, sizeof *s->x, what, err)) &&
              (s->weight = base_big_alloc(runs, sizeof *s->weight, what, err)) &&
              (s->value = base_big_alloc(runs, sizeof *s->value, what, err)) &&
              (s->trial = base_big_alloc((size_t)s->per_block * words, sizeof *s->trial, what, err)) &&
              (p->codes = base_big_alloc((size_t)lattice_run_count(&p->runs) * words, sizeof *p->codes, what, err));
    for (int i = 0; ok && i < PARTS && i < s->per_block; i++)
        ok = (s->rooms[i] = base_big_alloc(p->coder->room + 1, 1, what, err)) != NULL;
    return ok;
}

static bool factor(sweep *s, base_err *err) {
    feedback_problem *p = s->p;
    int64_t n = s->cols;
    p->damping = p->h ? p->damp : NAN;
    if (!p->h) return true;
    s->u = base_big_alloc((size_t)(p->groups * n * n), sizeof *s->u, "the factor of a layer's inputs", err);
    for (int64_t g = 0; s->u && g < p->groups; g++) {
        double used;
        if (!gptq_factor(p->layer, n, p->h + g * n * n, s->order, p->damp, s->u + g * n * n, &used, p->job, err))
            return false;
        p->damping = used > p->damping ? used : p->damping;
    }
    return s->u != NULL;
}

static bool solve(sweep *s, base_err *err) {
    feedback_problem *p = s->p;
    find_order(s);
    if (!factor(s, err) || !sweep_all(s, err) || !relative_error(s, &p->before, err)) return false;
    for (int64_t pass = 0; pass < p->passes; pass++)
        if (!fit_scales(s, err) || (p->h && !descend(s, err))) return false;
    return fit_scales(s, err) && settle_scales(s, err) && relative_error(s, &p->after, err);
}

bool feedback_solve(feedback_problem *p, base_err *err) {
    sweep s = {.p = p,
               .rows = p->runs.rows,
               .cols = p->runs.cols,
               .block = p->runs.block,
               .group_rows = p->runs.rows / p->groups,
               .per_block = lattice_runs_of_block(&p->runs)};
    s.order = base_calloc((size_t)s.cols, sizeof *s.order);
    bool ok = (p->scales || feedback_scales(p, err)) && reserve(&s, err) && solve(&s, err);
    void *all[] = {s.u, s.t, s.q, s.e, s.tile, s.done, s.metric, s.inverse, s.x, s.weight, s.value, s.trial};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) base_big_free(all[i]);
    for (int i = 0; i < PARTS; i++) base_big_free(s.rooms[i]);
    free(s.order);
    if (!ok) feedback_free(p);
    return ok;
}

void feedback_free(feedback_problem *p) {
    base_big_free(p->codes);
    base_big_free(p->scales);
    p->codes = NULL;
    p->scales = NULL;
}
