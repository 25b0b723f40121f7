// wanda_magnitude files: masks of wanda, its variant, magnitude, each unstructured or N:M.
#include "layers.h"

#include "compress/steps/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct wanda_case {
    const golden_file *f;
    const golden_layer *l; // NULL: the file has no inputs, and no output error is known
    const float *w, *norm;
    int64_t rows, cols;
    bool wanda, variant;
    double sparsity; // unless n
    int64_t n, m;
} wanda_case;

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// How many go of all: those up to the threshold sorted[int(all * sparsity)], ties included.
static int64_t layer_count(const float *score, int64_t total, double sparsity) {
    float *sorted = base_calloc((size_t)total, sizeof *sorted);
    for (int64_t i = 0; i < total; i++) sorted[i] = fabsf(score[i]);
    qsort(sorted, (size_t)total, sizeof *sorted, rising);
    int64_t at = (int64_t)((double)total * sparsity), count;
    if (at >= total) at = total - 1;
    for (count = at + 1; count < total && sorted[count] == sorted[at];) count++;
    free(sorted);
    return count;
}

// Of the last, shorter run of a row n go as well, where there are so many.
static void choose_runs(const wanda_case *c, const float *score, uint8_t *mask) {
    int64_t tail = c->cols % c->m, from = c->cols - tail;
    float *part = base_calloc((size_t)c->cols, sizeof *part);
    uint8_t *kept = base_calloc((size_t)c->cols, 1);
    for (int64_t r = 0; r < c->rows; r++) {
        memset(kept, 1, (size_t)c->cols);
        memcpy(part, score + r * c->cols, (size_t)c->cols * sizeof *part);
        prune_runs(part, 1, from, c->m - c->n, c->m, kept);
        if (tail) prune_runs(part + from, 1, tail, tail > c->n ? tail - c->n : 0, tail, kept + from);
        memcpy(mask + r * c->cols, kept, (size_t)c->cols);
    }
    free(part);
    free(kept);
}

static bool choose(const wanda_case *c, float *score, uint8_t *mask, base_err *err) {
    int64_t total = c->rows * c->cols;
    memset(mask, 1, (size_t)total);
    if (c->wanda)
        prune_wanda_scores(c->w, c->norm, c->rows, c->cols, score);
    else
        memcpy(score, c->w, (size_t)total * sizeof *score);
    if (c->n)
        choose_runs(c, score, mask);
    else if (c->variant)
        return prune_wanda_variant(score, c->rows, c->cols, c->sparsity, mask, err);
    else if (c->wanda)
        prune_rows(score, c->rows, c->cols, c->sparsity, mask);
    else
        prune_select(score, total, layer_count(score, total, c->sparsity), mask);
    return true;
}

// In N:M runs the authors take the least by topk, whose choice among equal scores is its own: another mask with the
// same scores in the run is the same answer.
static bool tied(const wanda_case *c, const float *score, const uint8_t *mask, const int64_t *theirs, int64_t i) {
    int64_t r = i / c->cols, from = r * c->cols + i % c->cols / c->m * c->m, end = (r + 1) * c->cols, ours = 0,
            gone = 0;
    if (!c->n) return false;
    for (int64_t k = from; k < end && k < from + c->m; k++)
        if (fabsf(score[k]) == fabsf(score[i])) ours += !mask[k], gone += theirs[k];
    return ours == gone;
}

// The output error of W without what a mask (1: gone) takes.
static double error_of(const wanda_case *c, const int64_t *gone) {
    int64_t total = c->rows * c->cols;
    float *q = base_calloc((size_t)total, sizeof *q);
    for (int64_t i = 0; i < total; i++) q[i] = gone[i] ? 0 : c->w[i];
    double error = golden_layer_error(c->l, q);
    free(q);
    return error;
}

// The share of the mask that is equal, and our own (1: gone).
static double check(const wanda_case *c, const int64_t *theirs, int64_t *ours, base_err *err) {
    int64_t total = c->rows * c->cols, equal = 0;
    float *score = base_calloc((size_t)total, sizeof *score);
    uint8_t *mask = base_calloc((size_t)total, 1);
    bool ok = choose(c, score, mask, err);
    for (int64_t i = 0; ok && i < total; i++) {
        equal += mask[i] == !theirs[i] || tied(c, score, mask, theirs, i);
        ours[i] = !mask[i];
    }
    free(score);
    free(mask);
    return ok ? (double)equal / (double)total : NAN;
}

// What the name does not say: runs and shares are counted in the mask, and every criterion they allow is tried.
static double try_all(const wanda_case *c, const int64_t *theirs, int64_t *ours, base_err *err) {
    int64_t total = c->rows * c->cols, gone = 0, first = 0;
    double best = 0;
    int64_t *one = base_calloc((size_t)total, sizeof *one);
    wanda_case found = *c;
    bool runs = golden_runs(theirs, c->rows, c->cols, &found.n, &found.m), even = true;
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t here = 0;
        for (int64_t i = 0; i < c->cols; i++) here += theirs[r * c->cols + i];
        if (r == 0) first = here;
        even &= here == first;
        gone += here;
    }
    for (int k = 0; k < 5; k++) {
        wanda_case t = *c;
        t.wanda = k == 0 || k == 2 || k == 4;
        t.variant = k == 4;
        t.sparsity = 0;
        if (k < 2) t.n = found.n, t.m = found.m;
        if (k == 2) t.sparsity = ((double)first + 0.5) / (double)c->cols;
        if (k == 3) t.sparsity = ((double)gone - 0.5) / (double)total;
        if ((k < 2 && !runs) || (k == 2 && !even)) continue;
        // The bisection stops near the share that was asked for, which the layout gives in whole percent.
        for (int p = -3; p <= 3; p++) {
            if (k == 4) t.sparsity = (rint(100 * (double)gone / (double)total) + p) / 100;
            if ((k != 4 && p) || !(t.sparsity >= 0 && t.sparsity < 1)) continue;
            double share = check(&t, theirs, one, err);
            if (!(share > best)) continue;
            best = share;
            memcpy(ours, one, (size_t)total * sizeof *ours);
        }
    }
    free(one);
    return best;
}

static void check_variant(wanda_case c, const char *v) {
    base_err err = {0};
    int64_t percent = golden_number(v, "u", -1);
    int64_t *theirs = golden_codes(c.f, v, "mask", c.rows * c.cols, 2, &err);
    if (!theirs) {
        golden_verdict(c.f, v, NAN, NAN, false, err.text);
        return;
    }
    c.m = 1;
    c.wanda = golden_word(v, "wanda");
    c.variant = golden_word(v, "variant");
    bool pair = golden_pair(v, "nm", &c.n, &c.m) && c.n >= 1 && c.m > c.n,
         stated = (c.wanda || golden_word(v, "mag")) && (pair || (percent > 0 && percent < 100));
    if (!pair) c.n = 0, c.m = 1;
    c.sparsity = (double)percent / 100;
    int64_t *ours = base_calloc((size_t)(c.rows * c.cols), sizeof *ours);
    double share = stated ? check(&c, theirs, ours, &err) : try_all(&c, theirs, ours, &err);
    double error = c.l ? error_of(&c, theirs) : 0, ratio = c.l ? golden_ratio(error_of(&c, ours), error) : NAN;
    if (err.text[0] || (c.l && c.l->n && !golden_agrees(c.f, v, "outerr", error, c.l->whole, &err)))
        golden_verdict(c.f, v, NAN, NAN, false, err.text);
    else if (!stated && share < 0.9999)
        golden_skip(c.f, v, "options not stated: neither wanda nor magnitude gives its mask");
    else
        golden_verdict(c.f, v, share, ratio, share >= 0.9999, NULL);
    free(ours);
    free(theirs);
}

// The norms of the inputs: the root of scaler_row, or of the sum of squares.
static float *read_norms(const golden_file *f, const golden_layer *l, int64_t cols, base_err *err) {
    bool stated = golden_array(f, NULL, "scaler_row") || !l;
    float *norm = stated ? golden_reals(f, NULL, "scaler_row", cols, err)
                         : base_big_alloc((size_t)cols, sizeof *norm, "norms", err);
    for (int64_t i = 0; norm && i < cols; i++)
        norm[i] = stated ? sqrtf(norm[i] > 0 ? norm[i] : 0) : (float)sqrt(l->moment[i * cols + i]);
    return norm;
}

void golden_wanda(const golden_file *f) {
    base_err err = {0};
    golden_layer l = {0};
    wanda_case c = {.f = f};
    size_t count = 0;
    bool inputs = golden_array(f, NULL, "X") || golden_array(f, NULL, "X_u8") || golden_array(f, NULL, "H");
    float *w = golden_weights(f, &c.rows, &c.cols, &err), *norm = NULL;
    if (w && (!inputs || golden_layer_open(&l, f, &err))) norm = read_norms(f, inputs ? &l : NULL, c.cols, &err);
    if (!norm) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        c.w = w;
        c.norm = norm;
        c.l = inputs ? &l : NULL;
        char **v = golden_variants(f, "mask", &count);
        for (size_t i = 0; i < count; i++) check_variant(c, v[i]);
        if (!count) golden_skip(f, NULL, "the file has no variant");
        base_names_free(v, count);
    }
    golden_layer_close(&l);
    base_big_free(w);
    base_big_free(norm);
}
