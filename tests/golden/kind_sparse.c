// sparsegpt files: masks, updated weights and joint quantisation.
#include "kinds.h"

#include "compress/solvers/sparsegpt.h"

#include <math.h>
#include <stdlib.h>

// Share of equal mask entries over live columns, and the largest relative difference of kept weights.
static void compare(const sparsegpt_problem *p, const uint8_t *theirs, const float *wout, double *equal, double *off) {
    int64_t same = 0, counted = 0;
    double difference = 0, size = 0;
    for (int64_t i = 0; i < p->rows * p->cols; i++) {
        int64_t c = i % p->cols;
        if (p->h[c * p->cols + c] == 0) continue;
        counted++;
        same += p->mask[i] == !theirs[i];
        double d = (double)p->out[i] - (double)wout[i];
        difference += d * d;
        size += (double)wout[i] * (double)wout[i];
    }
    *equal = counted ? (double)same / (double)counted : 1;
    *off = size > 0 ? sqrt(difference / size) : 0;
}

static void check_variant(const golden_file *f, const float *w, const float *x, const float *h, int64_t rows,
                          int64_t cols, int64_t n_rows, const char *v) {
    int64_t n = rows * cols, bits = golden_number(v, "q", 0);
    grid_spec grid = {.bits = bits, .scheme = UNIFORM_ASYM, .group = GROUP_ROW, .scale = NUM_F32};
    sparsegpt_problem p = {.layer = v,
                           .w = w,
                           .h = h,
                           .rows = rows,
                           .cols = cols,
                           .damp = 0.01,
                           .block = 128,
                           .sparsity = (double)golden_number(v, "u", 0) / 100,
                           .m = 1};
    // "nm2_4" splits at the underscore: the first number goes, the second is the group.
    for (int64_t k = 1; k <= 64 && p.sparsity == 0; k++) {
        char word[32];
        snprintf(word, sizeof word, "nm%lld", (long long)k);
        if (golden_word(v, word)) p.n = k, p.m = 2 * k;
    }
    for (const char *c = v; p.n && *c; c++)
        if (c[0] == '_' && c[1] >= '1' && c[1] <= '9') {
            p.m = strtoll(c + 1, NULL, 10);
            break;
        }
    float *out = base_calloc((size_t)n, sizeof *out);
    p.out = out;
    p.mask = base_calloc((size_t)n, 1);
    p.codes = base_calloc((size_t)n, sizeof *p.codes);
    p.scales = base_calloc((size_t)rows, sizeof *p.scales);
    p.zeros = base_calloc((size_t)rows, sizeof *p.zeros);
    if (bits) p.grid = &grid;
    base_err err = {0};
    float *wout = golden_floats(f, v, "Wout", NULL);
    const num_tensor *mask = golden_array(f, v, "mask");
    if (!wout || !mask) {
        golden_verdict(f, v, NAN, NAN, false, "no Wout or mask");
    } else if (!sparsegpt_solve(&p, &err)) {
        golden_verdict(f, v, NAN, NAN, false, err.text);
    } else {
        double equal, off, ours = golden_output_error(w, out, x, rows, cols, n_rows);
        double ratio = ours / golden_output_error(w, wout, x, rows, cols, n_rows);
        compare(&p, mask->data, wout, &equal, &off);
        char why[64];
        snprintf(why, sizeof why, "weights off by %.1e", off);
        bool close = equal >= 0.999 && fabs(ratio - 1) <= 0.005 && (bits || off <= 1e-3);
        golden_verdict(f, v, equal, ratio, close || ratio <= 1, why);
    }
    base_big_free(wout);
    free(out);
    free(p.mask);
    free(p.codes);
    free(p.scales);
    free(p.zeros);
}

void golden_sparsegpt(const golden_file *f) {
    const num_tensor *w = golden_array(f, NULL, "W");
    int64_t n = 0, in = 0;
    size_t count;
    float *weights = golden_floats(f, NULL, "W", NULL), *x = golden_inputs(f, &n, &in),
          *h = golden_floats(f, NULL, "H", NULL);
    if (!h && x) h = golden_gram(x, n, in);
    char **variants = golden_variants(f, "Wout", &count);
    if (!weights || !x || !h) golden_verdict(f, NULL, NAN, NAN, false, "W, X or H is missing");
    for (size_t i = 0; weights && x && h && i < count; i++)
        check_variant(f, weights, x, h, w->dim[0], w->dim[1], n, variants[i]);
    base_names_free(variants, count);
    base_big_free(weights);
    base_big_free(x);
    base_big_free(h);
}
