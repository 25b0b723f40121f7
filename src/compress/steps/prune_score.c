// prune_score: the importance of single weights under each criterion, as scores that add up over a unit, and the
// criteria that have nothing but such a score.
//
//   magnitude  w^2                 l1     |w| (Li et al., Pruning Filters, arXiv 1608.08710)
//   wanda      w^2 E[x^2]          taylor sum over samples of (g w)^2 (Molchanov et al., arXiv 1906.10771, eq. 8); for
//                                         a unit of (sum of g w)^2 (eq. 9)
//   saliency   w^2 / [H^-1]_cc     the loss of Optimal Brain Surgeon
//   gqsa       w^2 / [H^-1]_cc^2   GQSA's salience (Zeng et al., arXiv 2412.17560, equation 1), averaged over groups
#include "compress/solvers/gptq.h"
#include "compress/steps/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool score_magnitude(const prune_work *p, float *score, base_err *err) {
    (void)err;
    for (int64_t i = 0; i < p->l->rows * p->l->cols; i++) score[i] = p->target[i] * p->target[i];
    return true;
}

static bool score_l1(const prune_work *p, float *score, base_err *err) {
    (void)err;
    for (int64_t i = 0; i < p->l->rows * p->l->cols; i++) score[i] = fabsf(p->target[i]);
    return true;
}

// score = w^2 factor of its column; one factor array a convolution group.
static void score_columns(const prune_work *p, int64_t group, const float *factor, float *score) {
    int64_t cols = p->l->cols, per = p->l->rows / p->l->groups;
    for (int64_t r = group * per; r < (group + 1) * per; r++)
        for (int64_t c = 0; c < cols; c++)
            score[r * cols + c] = p->target[r * cols + c] * p->target[r * cols + c] * factor[c];
}

// An embedding: the inputs choose a row each, h holds how often.
static bool score_rows(const prune_work *p, float *score) {
    int64_t cols = p->l->cols;
    for (int64_t i = 0; i < p->l->rows * cols; i++) score[i] = p->target[i] * p->target[i] * p->l->h[i / cols];
    return true;
}

static bool score_wanda(const prune_work *p, float *score, base_err *err) {
    (void)err;
    const layer *l = p->l;
    if (l->diagonal) return score_rows(p, score);
    float *factor = base_calloc((size_t)l->cols, sizeof *factor);
    for (int64_t g = 0; g < l->groups; g++) {
        for (int64_t c = 0; c < l->cols; c++) {
            float x = l->h[(g * l->cols + c) * l->cols + c];
            factor[c] = x > 0 ? x : 0;
        }
        score_columns(p, g, factor, score);
    }
    free(factor);
    return true;
}

static bool score_inverse(const prune_work *p, int power, float *score, base_err *err) {
    const layer *l = p->l;
    int64_t n = l->cols;
    if (l->diagonal) return score_rows(p, score);
    float *u = base_big_alloc((size_t)(n * n), sizeof *u, "the factor of the inverse second moment", err);
    double *inverse = base_calloc((size_t)n, sizeof *inverse), damping = NAN;
    float *factor = base_calloc((size_t)n, sizeof *factor);
    bool ok = u != NULL;
    for (int64_t g = 0; ok && g < l->groups; g++) {
        const float *h = l->h + g * n * n;
        ok = gptq_factor(l->name, n, h, NULL, compress_number(p->step, "damp"), u, &damping, l->job, err);
        if (!ok) break;
        memset(inverse, 0, (size_t)n * sizeof *inverse);
        for (int64_t r = 0; r < n; r++) // H^-1 = U^T U, its diagonal the sums of squares of U's columns
            for (int64_t c = r; c < n; c++) inverse[c] += (double)u[r * n + c] * (double)u[r * n + c];
        for (int64_t c = 0; c < n; c++) factor[c] = h[c * n + c] > 0 ? (float)pow(inverse[c], -power) : 0;
        score_columns(p, g, factor, score);
    }
    base_big_free(u);
    free(inverse);
    free(factor);
    return ok;
}

static bool score_saliency(const prune_work *p, float *score, base_err *err) {
    return score_inverse(p, 1, score, err);
}

static bool score_gqsa(const prune_work *p, float *score, base_err *err) {
    return score_inverse(p, 2, score, err);
}

// A unit's joint figure is given to its weights in equal parts, so that it comes back as their sum.
static bool score_joint(const prune_work *p, prune_unit u, float *score, base_err *err) {
    const layer *l = p->l;
    if (!l->taylor || l->taylor_height != u.height || l->taylor_length != u.length)
        return base_fail(err,
                         "gradients of units are known for one pattern a rule, and not behind a map: give this step "
                         "a rule of its own, before any scale, permute or rotate");
    for (int64_t r = 0; r < l->rows; r++) {
        int64_t tall = l->rows - r / u.height * u.height;
        if (tall > u.height) tall = u.height;
        for (int64_t c = 0; c < l->cols; c++) {
            int64_t wide = l->cols - c / u.length * u.length;
            if (wide > u.length) wide = u.length;
            score[r * l->cols + c] = l->taylor[prune_unit_at(u, l->cols, r, c)] / (float)(tall * wide);
        }
    }
    return true;
}

static bool score_taylor(const prune_work *p, float *score, base_err *err) {
    prune_unit u;
    if (prune_unit_of(p->step, p->l->rows, p->l->cols, p->l->groups, &u)) return score_joint(p, u, score, err);
    for (int64_t i = 0; i < p->l->rows * p->l->cols; i++) score[i] = p->target[i] * p->target[i] * p->l->fisher[i];
    return true;
}

bool prune_scores(const prune_work *p, float *score, base_err *err) {
    static const struct {
        const char *name;
        bool (*score)(const prune_work *p, float *score, base_err *err);
    } scores[] = {{"magnitude", score_magnitude}, {"l1", score_l1},    {"wanda", score_wanda}, {"taylor", score_taylor},
                  {"saliency", score_saliency},   {"gqsa", score_gqsa}};
    size_t i = 0, count = sizeof scores / sizeof *scores;
    while (i < count && strcmp(scores[i].name, compress_text(p->step, "criterion"))) i++;
    BASE_CHECK(i < count);
    if (!scores[i].score(p, score, err)) return false;
    if (num_all_finite(score, (size_t)(p->l->rows * p->l->cols))) return true;
    return base_fail(err, "the importance of a weight under %s is NaN or too large for float32", scores[i].name);
}

static bool choose(prune_work *p, const float *score, base_err *err) {
    const layer *l = p->l;
    int64_t m = (int64_t)compress_number(p->step, "m"), total = l->rows * l->cols;
    double sparsity = compress_number(p->step, "sparsity");
    prune_unit u;
    if (prune_unit_of(p->step, l->rows, l->cols, l->groups, &u))
        return prune_units(score, l->rows, l->cols, u, sparsity, p->mask, err);
    if (m)
        prune_runs(score, l->rows, l->cols, (int64_t)compress_number(p->step, "n"), m, p->mask);
    else
        prune_select(score, total, l->planned ? *(const int64_t *)l->planned : (int64_t)floor((double)total * sparsity),
                     p->mask);
    return true;
}

bool prune_by_score(prune_work *p, base_err *err) {
    float *score = base_big_alloc((size_t)(p->l->rows * p->l->cols), sizeof *score, "scores of weights", err);
    bool ok = score && prune_scores(p, score, err) && choose(p, score, err);
    base_big_free(score);
    return ok;
}
