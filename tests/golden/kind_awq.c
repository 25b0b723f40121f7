// awq files: the search for scales on one layer (W) or on several that share their inputs (Wq, Wk, Wv), and the search
// for clipping.
//
// Bits and group come from the variant's words; where it has none, from the loss at ratio 0, which is that of rounding
// as it is: the grid that gives it is the one. README, 7: losses 1e-3, the same ratio unless a tie, scales 1e-5,
// clip_max 88 % equal and clip_outerr within 1 %. README, 0: never more than what the search keeps of itself when its
// input changes by a rounding, which at 8 bits can be less (a zero point on a half).
#include "kinds.h"

#include "compress/solvers/awq.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Losses within 0.2 % decide by rounding: there the chosen one must be as good.
static const double tie = 2e-3, loss_tolerance = 1e-3;
enum { CLIP_SAMPLES = 512, SHAKES = 6 };

typedef struct awq_case {
    const golden_file *f;
    float *w, *x, *h, *clip_h, *mean_abs; // clip_h: of every (n / 512)th sample, as auto_clip.py takes them
    int64_t rows, cols, n;
} awq_case;

static grid_spec grid_of(int64_t bits, int64_t group, int64_t cols) {
    return (grid_spec){.bits = bits, .scheme = UNIFORM_ASYM, .group = group == cols ? 0 : group, .scale = NUM_F32};
}

static bool search(const awq_case *c, const char *v, const grid_spec *g, const float *w, const float *mean_abs,
                   awq_search *a, base_err *err) {
    *a = (awq_search){.layer = v,
                      .w = w,
                      .h = c->h,
                      .mean_abs = mean_abs,
                      .rows = c->rows,
                      .cols = c->cols,
                      .groups = 1,
                      .grid = *g,
                      .scales = a->scales};
    return awq_find_scales(a, err);
}

// W clipped at the thresholds (NULL: as it is) and rounded, as quantizer.py does. Caller frees.
static float *rounded(const awq_case *c, const float *most, int64_t length, int64_t bits) {
    float *q = base_calloc((size_t)(c->rows * c->cols), sizeof *q), top = (float)((1 << bits) - 1);
    for (int64_t at = 0; at < c->rows * c->cols; at += length) {
        float low = INFINITY, high = -INFINITY, limit = most ? *most++ : INFINITY;
        for (int64_t i = at; i < at + length; i++) {
            q[i] = fmaxf(-limit, fminf(limit, c->w[i]));
            low = fminf(low, q[i]);
            high = fmaxf(high, q[i]);
        }
        float scale = fmaxf(high - low, 1e-5f) / top, zero = fmaxf(0, fminf(top, -rintf(low / scale)));
        for (int64_t i = at; i < at + length; i++)
            q[i] = (fmaxf(0, fminf(top, rintf(q[i] / scale) + zero)) - zero) * scale;
    }
    return q;
}

// The mean squared output error of rounding without scales, which is that of ratio 0.
static double plain_loss(const awq_case *c, int64_t length, int64_t bits) {
    float *q = rounded(c, NULL, length, bits), *dh = base_calloc((size_t)c->cols, sizeof *dh);
    double sum = 0;
    for (int64_t r = 0; r < c->rows; r++) {
        float *d = q + r * c->cols;
        for (int64_t i = 0; i < c->cols; i++) d[i] = c->w[r * c->cols + i] - d[i];
        num_gemm(false, false, 1, c->cols, c->cols, 1, d, c->cols, c->h, c->cols, 0, dh, c->cols);
        sum += num_dot(d, dh, (size_t)c->cols);
    }
    free(q);
    free(dh);
    return sum / (double)c->rows;
}

// The grid that the name states, or the one whose loss at ratio 0 is the file's.
static bool find_grid(const awq_case *c, const char *v, const double *history, grid_spec *out) {
    int64_t bits = golden_number(v, "b", 0), group = golden_word(v, "gall") ? 0 : golden_number(v, "g", -1);
    if (bits >= 1 && bits <= 8 && group >= 0 && (!group || c->cols % group == 0)) {
        *out = grid_of(bits, group, c->cols);
        return true;
    }
    double nearest = loss_tolerance;
    for (int64_t b = 1; b <= 8; b++)
        for (int64_t g = 2; g <= c->cols; g++) {
            if (c->cols % g) continue;
            double off = fabs(plain_loss(c, g, b) / history[0] - 1);
            if (off < nearest) nearest = off, *out = grid_of(b, g, c->cols);
        }
    return nearest < loss_tolerance;
}

// How far losses move when the weights and the means change by one rounding.
static double shaken(const awq_case *c, const char *v, const grid_spec *g, const double *history) {
    int64_t n = c->rows * c->cols;
    float *w = base_calloc((size_t)(n + 2 * c->cols), sizeof *w), *mean_abs = w + n;
    awq_search a = {.scales = mean_abs + c->cols};
    num_rng r = num_rng_seed(1, 1);
    double most = 0;
    for (int k = 0; k < SHAKES; k++) {
        base_err err = {0};
        for (int64_t i = 0; i < n; i++) w[i] = c->w[i] * (1 + 6e-8f * (float)num_rng_normal(&r));
        for (int64_t i = 0; i < c->cols; i++) mean_abs[i] = c->mean_abs[i] * (1 + 6e-8f * (float)num_rng_normal(&r));
        if (!search(c, v, g, w, mean_abs, &a, &err)) continue;
        for (int i = 0; i < AWQ_RATIOS; i++) most = fmax(most, fabs(a.history[i] / history[i] - 1));
    }
    free(w);
    return most;
}

typedef struct agreement {
    double worst, off, chosen, best, second;
    bool same;
} agreement;

static agreement compare(const awq_search *a, const double *h, double ratio, const float *scales) {
    agreement g = {.chosen = NAN, .best = INFINITY, .second = INFINITY, .same = fabs(a->ratio - ratio) < 1e-6};
    for (int i = 0; i < AWQ_RATIOS; i++) {
        g.worst = fmax(g.worst, h[i] > 0 ? fabs(a->history[i] / h[i] - 1) : a->history[i] > 0 ? INFINITY : 0);
        if (h[i] < g.best)
            g.second = g.best, g.best = h[i];
        else if (h[i] < g.second)
            g.second = h[i];
        if (fabs((double)i / AWQ_RATIOS - a->ratio) < 1e-9) g.chosen = h[i];
    }
    for (int64_t i = 0; g.same && i < a->cols; i++)
        g.off = fmax(g.off, fabs((double)a->scales[i] / (double)scales[i] - 1));
    return g;
}

static void check_scales(const awq_case *c, const char *v) {
    base_err err = {0};
    char why[160] = "";
    double ratio = golden_scalar(c->f, v, "best_ratio"),
           *history = golden_doubles(c->f, v, "loss_history", AWQ_RATIOS, &err);
    float *theirs = history ? golden_reals(c->f, v, "scales", c->cols, &err) : NULL;
    awq_search a = {.scales = base_calloc((size_t)c->cols, sizeof *a.scales)};
    grid_spec grid = {0};
    if (theirs && isnan(ratio)) base_fail(&err, "best_ratio is missing");
    if (!err.text[0] && !find_grid(c, v, history, &grid)) {
        golden_skip(c->f, v, "bits and group are not in the name, and no grid has the loss at ratio 0");
    } else if (err.text[0] || !search(c, v, &grid, c->w, c->mean_abs, &a, &err)) {
        golden_verdict(c->f, v, NAN, NAN, false, err.text);
    } else {
        agreement g = compare(&a, history, ratio, theirs);
        double limit =
            g.worst <= loss_tolerance ? loss_tolerance : fmax(loss_tolerance, shaken(c, v, &grid, a.history));
        bool pass = g.worst <= limit && g.off <= 1e-5 &&
                    (g.same || (g.second <= g.best * (1 + tie) && g.chosen <= g.best * (1 + tie)));
        int at = snprintf(why, sizeof why, "scales: ratio %g%s, losses within %.1e, scales within %.1e", a.ratio,
                          g.same ? "" : " (a tie)", g.worst, g.off);
        if (limit > loss_tolerance)
            snprintf(why + at, sizeof why - (size_t)at, " (a rounding of W moves them by %.1e)", limit);
        golden_verdict(c->f, v, NAN, g.best > 0 ? g.chosen / g.best : 1, pass, why);
    }
    free(history);
    base_big_free(theirs);
    free(a.scales);
}

// The width in the name, or the one at which the file's own thresholds give its clip_outerr; 0: none does.
static int64_t bits_of(const awq_case *c, const char *v, const float *most, int64_t length, double wanted) {
    int64_t bits = golden_number(v, "b", 0);
    if (bits >= 1 && bits <= 8) return bits;
    double nearest = 1e-3;
    for (int64_t b = 1; b <= 8; b++) {
        float *q = rounded(c, most, length, b);
        double error = golden_output_error(c->w, q, c->x, c->rows, c->cols, c->n);
        double off = wanted > 0 ? fabs(error / wanted - 1) : INFINITY;
        free(q);
        if (off < nearest) nearest = off, bits = b;
    }
    return nearest < 1e-3 ? bits : 0;
}

static void check_clip(const awq_case *c, const char *v) {
    base_err err = {0};
    char name[96];
    snprintf(name, sizeof name, "%s.clip", v);
    const num_tensor *t = golden_array(c->f, v, "clip_max");
    float *theirs = golden_reals(c->f, v, "clip_max", -1, &err);
    double wanted = golden_scalar(c->f, v, "clip_outerr");
    int64_t n = c->rows * c->cols, per_row = t->ndim == 2 && t->dim[0] == c->rows ? t->dim[1] : 0;
    if (theirs && (per_row < 1 || c->cols % per_row))
        base_fail(&err, "clip_max is not one threshold a group of each of %lld rows", (long long)c->rows);
    if (theirs && isnan(wanted)) base_fail(&err, "clip_outerr is missing");
    int64_t length = err.text[0] ? 1 : c->cols / per_row;
    int64_t bits = err.text[0] ? 0 : bits_of(c, v, theirs, length, wanted);
    if (!bits) {
        if (err.text[0])
            golden_verdict(c->f, name, NAN, NAN, false, err.text);
        else
            golden_skip(c->f, name, "the width is not in the name, and none gives clip_outerr at clip_max");
        base_big_free(theirs);
        return;
    }
    int64_t count = c->rows * per_row, equal = 0;
    solver_problem p = {.layer = v, .r = c->w, .h = c->clip_h, .rows = c->rows, .cols = c->cols, .groups = 1};
    p.grid = grid_of(bits, length, c->cols);
    float *memory = base_calloc((size_t)(3 * count), sizeof *memory), *q = base_calloc((size_t)n, sizeof *q);
    p.codes = base_calloc((size_t)n, sizeof *p.codes);
    p.scales = memory;
    p.zeros = memory + count;
    float *most = memory + 2 * count;
    bool ok = awq_clip(&p, most, &err);
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t g = i / c->cols * per_row + i % c->cols / length;
        q[i] = grid_value(&p.grid, (grid_param){p.scales[g], p.zeros[g]}, p.codes[i]);
    }
    for (int64_t i = 0; ok && i < count; i++) equal += fabsf(most[i] - theirs[i]) <= 1e-6f * theirs[i];
    double share = (double)equal / (double)count, error = golden_output_error(c->w, q, c->x, c->rows, c->cols, c->n);
    double ratio = wanted > 0 ? error / wanted : error > 0 ? INFINITY : 1;
    golden_verdict(c->f, name, share, ratio, ok && ((share >= 0.88 && ratio <= 1.01) || ratio <= 1),
                   ok ? NULL : err.text);
    base_big_free(theirs);
    free(memory);
    free(q);
    free(p.codes);
}

// W, or every array W? of two dimensions with X's inputs, one below the other in the order of the file.
static float *weights_of(const golden_file *f, int64_t in, int64_t *rows, base_err *err) {
    float *w = NULL;
    *rows = 0;
    for (size_t i = 0; i < f->z.count; i++) {
        const char *name = f->z.items[i].name;
        int64_t more, cols;
        if (name[0] != 'W' || strchr(name, '.')) continue;
        float *one = golden_matrix(f, name, &more, &cols, err);
        if (one && cols != in)
            base_fail(err, "%s has %lld inputs, and X has %lld", name, (long long)cols, (long long)in);
        if (!err->text[0]) {
            w = base_realloc(w, (size_t)((*rows + more) * in), sizeof *w);
            memcpy(w + *rows * in, one, (size_t)(more * in) * sizeof *w);
            *rows += more;
        }
        base_big_free(one);
        if (err->text[0]) break;
    }
    if (!w && !err->text[0]) base_fail(err, "the array W is missing");
    return w;
}

// The second moment of the samples that the authors' clipping looks at.
static float *clip_gram(const awq_case *c) {
    int64_t step = c->n / CLIP_SAMPLES > 1 ? c->n / CLIP_SAMPLES : 1, kept = 0;
    float *some = base_calloc((size_t)(c->n * c->cols), sizeof *some);
    for (int64_t i = 0; i < c->n; i += step)
        memcpy(some + kept++ * c->cols, c->x + i * c->cols, (size_t)c->cols * sizeof *some);
    float *h = golden_gram(some, kept, c->cols);
    free(some);
    return h;
}

void golden_awq(const golden_file *f) {
    awq_case c = {.f = f};
    size_t count;
    base_err err = {0};
    c.x = golden_matrix(f, "X", &c.n, &c.cols, &err);
    c.w = c.x ? weights_of(f, c.cols, &c.rows, &err) : NULL;
    c.mean_abs = err.text[0] ? NULL : golden_reals(f, NULL, "x_mean_abs", c.cols, &err);
    if (err.text[0]) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        c.h = golden_gram(c.x, c.n, c.cols);
        c.clip_h = clip_gram(&c);
        char **v = golden_variants(f, "loss_history", &count);
        for (size_t i = 0; i < count; i++) check_scales(&c, v[i]);
        base_names_free(v, count);
        size_t clips;
        v = golden_variants(f, "clip_max", &clips);
        for (size_t i = 0; i < clips; i++) check_clip(&c, v[i]);
        base_names_free(v, clips);
        if (!count && !clips) golden_verdict(f, NULL, NAN, NAN, false, "the file has no variant");
    }
    base_big_free(c.x);
    base_big_free(c.h);
    base_big_free(c.clip_h);
    base_big_free(c.mean_abs);
    free(c.w);
}
