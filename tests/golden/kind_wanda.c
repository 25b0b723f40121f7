// wanda_magnitude files: masks of wanda, its variant, magnitude, each unstructured or N:M.
#include "kinds.h"

#include "compress/steps/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// "nm2_4" splits at the underscore: of every second number the first goes.
static bool pattern_of(const char *v, int64_t *n, int64_t *m) {
    const char *at = strstr(v, "nm");
    char *end;
    if (!at) return false;
    *n = strtoll(at + 2, &end, 10);
    *m = *end == '_' ? strtoll(end + 1, NULL, 10) : 0;
    return *n > 0 && *m > *n;
}

static bool choose(const char *v, const float *w, const float *norm, int64_t rows, int64_t cols, uint8_t *mask,
                   base_err *err) {
    int64_t total = rows * cols, n, m;
    double sparsity = (double)golden_number(v, "u", 0) / 100;
    bool wanda = golden_word(v, "wanda"), ok = true;
    float *score = base_calloc((size_t)total, sizeof *score);
    memset(mask, 1, (size_t)total);
    if (wanda)
        prune_wanda_scores(w, norm, rows, cols, score);
    else
        memcpy(score, w, (size_t)total * sizeof *score);
    if (pattern_of(v, &n, &m))
        prune_runs(score, rows, cols, m - n, m, mask);
    else if (golden_word(v, "variant"))
        ok = prune_wanda_variant(score, rows, cols, sparsity, mask, err);
    else if (wanda)
        prune_rows(score, rows, cols, sparsity, mask);
    else
        prune_select(score, total, (int64_t)((double)total * sparsity) + 1, mask); // theirs takes the threshold too
    free(score);
    return ok;
}

static void check_variant(const golden_file *f, const float *w, const float *norm, int64_t rows, int64_t cols,
                          const char *v) {
    const num_tensor *theirs = golden_array(f, v, "mask");
    uint8_t *mask = base_calloc((size_t)(rows * cols), 1);
    base_err err = {0};
    if (theirs->dtype != NUM_U8 || theirs->ndim != 2 || theirs->dim[0] != rows || theirs->dim[1] != cols) {
        golden_verdict(f, v, NAN, NAN, false, "its mask does not have the shape of W");
    } else if (!choose(v, w, norm, rows, cols, mask, &err)) {
        golden_verdict(f, v, NAN, NAN, false, err.text);
    } else {
        int64_t equal = 0;
        for (int64_t i = 0; i < rows * cols; i++) equal += mask[i] == !((const uint8_t *)theirs->data)[i];
        double share = (double)equal / (double)(rows * cols);
        golden_verdict(f, v, share, NAN, share >= 0.9999, NULL);
    }
    free(mask);
}

void golden_wanda(const golden_file *f) {
    const num_tensor *w = golden_array(f, NULL, "W");
    size_t count, inputs = 0;
    float *weights = golden_floats(f, NULL, "W", NULL), *norm = golden_floats(f, NULL, "scaler_row", &inputs);
    char **variants = golden_variants(f, "mask", &count);
    if (!weights || !norm || w->ndim != 2 || (int64_t)inputs != w->dim[1]) {
        golden_verdict(f, NULL, NAN, NAN, false, "W or scaler_row is missing, or they do not fit");
    } else {
        for (size_t i = 0; i < inputs; i++) norm[i] = sqrtf(norm[i]);
        for (size_t i = 0; i < count; i++) check_variant(f, weights, norm, w->dim[0], w->dim[1], variants[i]);
    }
    base_names_free(variants, count);
    base_big_free(weights);
    base_big_free(norm);
}
