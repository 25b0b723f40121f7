// svdllm files: the output error of the whitened approximation of each rank against the closed form of the optimum.
//
// README, 11: at most 1e-4 above best_outerr, never more than 1e-6 below. Where the authors' own ref_outerr is further
// above (ranks that leave nothing but rounding, inputs whose moment's small eigenvalues float32 does not hold), more
// than theirs is not asked for: the excess must be below a float32's rounding of the outputs' energy.
// The rank is the name's, or the one whose closed form, the tail of the singular values of W X^T, the file states.
#include "kinds.h"

#include "compress/layer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double above = 1e-4, below = 1e-6, rounding = 1.0 / (1 << 24), factor_rounding = 1e-12;

typedef struct svd_case {
    const golden_file *f;
    float *w, *x, *h;
    int64_t rows, cols, n;
    double energy; // sum (W X^T)^2
} svd_case;

// The output error of lowrank{method, rank} as a recipe runs it; NaN with err when it fails.
static double error_of(const svd_case *c, const char *method, int64_t rank, base_err *err) {
    compress_step s = {.kind = compress_step_find("lowrank")};
    base_arg_defaults(s.kind->args, s.kind->arg_count, s.value);
    layer l = {.name = "golden", .rows = c->rows, .cols = c->cols, .groups = 1, .w = c->w, .h = c->h};
    float *q = base_calloc((size_t)(c->rows * c->cols), sizeof *q);
    double error = NAN;
    if (base_arg_set_text("lowrank", s.kind->args, s.kind->arg_count, s.value, "method", method, err) &&
        base_arg_set_number("lowrank", s.kind->args, s.kind->arg_count, s.value, "rank", (double)rank, err) &&
        s.kind->apply(&s, &l, err) && terms_decode(l.terms, l.term_count, c->rows, c->cols, q, err))
        error = golden_output_error(c->w, q, c->x, c->rows, c->cols, c->n);
    free(q);
    layer_close(&l);
    return error;
}

// The rank whose closed form, the sum of the squared singular values of W X^T behind it, is nearest `best`; 0: none is.
static int64_t rank_of(const svd_case *c, const char *v, double best) {
    int64_t named = golden_number(v, "r", 0), k = c->rows < c->n ? c->rows : c->n, found = 0;
    if (named >= 1) return named;
    double *y = base_calloc((size_t)(c->rows * c->n), sizeof *y), *u = base_calloc((size_t)(c->rows * k), sizeof *u);
    double *vt = base_calloc((size_t)(k * c->n), sizeof *vt), *s = base_calloc((size_t)k, sizeof *s), tail = 0;
    for (int64_t o = 0; o < c->rows; o++)
        for (int64_t i = 0; i < c->n; i++)
            for (int64_t j = 0; j < c->cols; j++)
                y[o * c->n + i] += (double)c->w[o * c->cols + j] * (double)c->x[i * c->cols + j];
    base_err err = {0};
    double nearest = 1e-6 * best + 1e-13 * c->energy;
    bool ok = num_dsvd(c->rows, c->n, y, u, s, vt, &err);
    for (int64_t r = k; ok && r >= 1; r--) { // `tail` is what rank r leaves
        if (fabs(tail - best) < nearest) nearest = fabs(tail - best), found = r;
        tail += s[r - 1] * s[r - 1];
    }
    free(y);
    free(u);
    free(vt);
    free(s);
    return found;
}

static void check_variant(const svd_case *c, const char *v) {
    base_err err = {0};
    double best = golden_scalar(c->f, v, "best_outerr"), reference = golden_scalar(c->f, v, "ref_outerr");
    double plain = golden_scalar(c->f, v, "plain_outerr");
    char why[160] = "";
    if (!(best >= 0)) {
        golden_verdict(c->f, v, NAN, NAN, false, "best_outerr is missing or less than 0");
        return;
    }
    int64_t rank = rank_of(c, v, best);
    if (!rank) {
        golden_skip(c->f, v, "the rank is not in the name, and best_outerr is that of no rank");
        return;
    }
    double white = error_of(c, "whitened", rank, &err), svd = error_of(c, "svd", rank, &err);
    bool beyond = !(reference <= best * (1 + above)); // no reference: only the closed form is left to tell
    double room = beyond ? rounding * c->energy : 0, ratio = best > 0 ? white / best : white <= room ? 1 : INFINITY;
    bool pass = white <= best * (1 + above) + room && white >= best * (1 - below) - 1e-14 * c->energy;
    int at = snprintf(why, sizeof why, "rank %lld", (long long)rank);
    if (!isnan(plain)) {
        pass = pass && fabs(svd - plain) <= 1e-3 * plain + factor_rounding * c->energy;
        at += snprintf(why + at, sizeof why - (size_t)at, ", plain svd off by %.1e of the outputs",
                       fabs(svd - plain) / c->energy);
    }
    if (beyond)
        snprintf(why + at, sizeof why - (size_t)at, ", above by %.1e of the outputs (the authors' by %.1e)",
                 (white - best) / c->energy, (reference - best) / c->energy);
    golden_verdict(c->f, v, NAN, ratio, pass && !err.text[0], err.text[0] ? err.text : why);
}

void golden_svdllm(const golden_file *f) {
    svd_case c = {.f = f};
    size_t count = 0;
    int64_t inputs = 0;
    base_err err = {0};
    c.w = golden_matrix(f, "W", &c.rows, &c.cols, &err);
    c.x = c.w ? golden_matrix(f, "X", &c.n, &inputs, &err) : NULL;
    if (c.x && inputs != c.cols)
        base_fail(&err, "W has %lld inputs, and X has %lld", (long long)c.cols, (long long)inputs);
    char **v = golden_variants_of(f, (const char *const[]){"best_outerr", "ref_outerr"}, 2, &count);
    if (!err.text[0] && !count) base_fail(&err, "the file has no variant");
    if (err.text[0]) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        float *none = base_calloc((size_t)(c.rows * c.cols), sizeof *none);
        c.energy = golden_output_error(c.w, none, c.x, c.rows, c.cols, c.n);
        free(none);
        c.h = golden_gram(c.x, c.n, c.cols);
        for (size_t i = 0; i < count; i++) check_variant(&c, v[i]);
    }
    base_names_free(v, count);
    base_big_free(c.w);
    base_big_free(c.x);
    base_big_free(c.h);
}
