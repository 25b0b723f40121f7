// adaround_brecq files: a value to reach. The grid is the file's own.
#include "layers.h"

#include "compress/solvers/adaround.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Bits whose mse search over the row (its range without 0, as BRECQ's) gives most of the file's steps; 0: none does.
// delta is the whole range over 2^bits - 1 times 1 - i/100.
static int64_t bits_of(const golden_layer *l, const char *v, const float *delta, int64_t most) {
    int64_t named = golden_number(v, "b", 0), first = 1, best = -1, found = 0;
    while (first < 8 && most >> first) first++;
    if (named >= first && named <= 8) return named;
    for (int64_t b = first; b <= 8; b++) {
        int64_t fit = 0;
        for (int64_t r = 0; r < l->rows; r++) {
            const float *w = l->w + r * l->cols;
            float low = w[0], high = w[0];
            for (int64_t i = 1; i < l->cols; i++) {
                low = w[i] < low ? w[i] : low;
                high = w[i] > high ? w[i] : high;
            }
            double step = 100 * (1 - (double)delta[r] * (double)((1 << b) - 1) / ((double)high - (double)low));
            fit += fabs(step - rint(step)) < 1e-3 && step > -0.5 && step < 79.5;
        }
        if (fit > best) best = fit, found = b;
    }
    return 2 * best >= l->rows ? found : 0;
}

static void check_variant(const golden_layer *l, const float *h, const char *v) {
    int64_t n = l->rows * l->cols, most = 0;
    base_err err = {0};
    float *scales = golden_reals(l->f, v, "delta", l->rows, &err),
          *zeros = scales ? golden_reals(l->f, v, "zero_point", l->rows, &err) : NULL;
    int64_t *theirs = zeros ? golden_codes(l->f, v, "code", n, 256, &err) : NULL;
    float *q = base_calloc((size_t)n, sizeof *q);
    for (int64_t i = 0; theirs && i < n; i++) {
        int64_t r = i / l->cols;
        most = theirs[i] > most ? theirs[i] : most;
        q[i] = ((float)theirs[i] - zeros[r]) * scales[r];
    }
    solver_problem p = {.layer = v,
                        .r = l->w,
                        .h = h,
                        .rows = l->rows,
                        .cols = l->cols,
                        .groups = 1,
                        .grid = {.scheme = UNIFORM_ASYM, .group = GROUP_ROW, .scale = NUM_F32},
                        .codes = base_calloc((size_t)n, sizeof(grid_code)),
                        .scales = scales,
                        .zeros = zeros};
    adaround_options o = {.iterations = 2000, .rate = 1e-2, .weight = 0.01, .start = 20, .end = 2, .warmup = 0.2};
    double reference = theirs ? golden_layer_error(l, q) : 0;
    if (!theirs || (l->n && !golden_agrees(l->f, v, "outerr", reference, l->whole, &err))) {
        golden_verdict(l->f, v, NAN, NAN, false, err.text);
    } else if (!(p.grid.bits = bits_of(l, v, scales, most))) {
        golden_skip(l->f, v, "options not stated: no grid of 1 to 8 bits gives its steps");
    } else if (!adaround_solve(&p, &o, &err)) {
        golden_verdict(l->f, v, NAN, NAN, false, err.text);
    } else {
        int64_t equal = 0;
        for (int64_t i = 0; i < n; i++) {
            q[i] = grid_value(&p.grid, (grid_param){scales[i / l->cols], zeros[i / l->cols]}, p.codes[i]);
            equal += p.codes[i] == theirs[i];
        }
        double ratio = golden_ratio(golden_layer_error(l, q), reference);
        golden_verdict(l->f, v, (double)equal / (double)n, ratio, ratio <= 1.03, NULL);
    }
    base_big_free(scales);
    base_big_free(zeros);
    free(theirs);
    free(p.codes);
    free(q);
}

void golden_adaround(const golden_file *f) {
    golden_layer l;
    base_err err = {0};
    size_t count;
    if (!golden_layer_open(&l, f, &err)) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        // The mean over inputs, as the authors' loss is: the regulariser is weighed against it.
        size_t n = (size_t)(l.cols * l.cols);
        float *h = base_calloc(n, sizeof *h);
        for (size_t i = 0; i < n; i++) h[i] = (float)(l.moment[i] / (double)(l.n ? l.n : 1));
        char **v = golden_variants_of(f, (const char *const[]){"delta", "zero_point", "code"}, 3, &count);
        for (size_t i = 0; i < count; i++) check_variant(&l, h, v[i]);
        if (!count) golden_skip(f, NULL, "the file has no variant");
        base_names_free(v, count);
        free(h);
    }
    golden_layer_close(&l);
}
