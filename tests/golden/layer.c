// What kinds with a calibrated layer share: its weights, the second moment of its inputs, the output error, and how far
// a result moves when the moment is shaken.
#include "layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool golden_scalar_of(const golden_file *f, const char *v, const char *array, double *value, base_err *err) {
    if (!golden_array(f, v, array)) return true;
    double *x = golden_doubles(f, v, array, 1, err);
    if (x) *value = *x;
    free(x);
    return x != NULL;
}

// moment += x^T x, the upper half.
static void add_rows(double *moment, const float *x, int64_t n, int64_t in) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < in; i++) {
            double xi = (double)x[r * in + i];
            for (int64_t k = i; xi != 0 && k < in; k++) moment[i * in + k] += xi * (double)x[r * in + k];
        }
}

// Patches of one output row of an image, as nn.Unfold orders them: channel, row and column of the kernel.
static void unfold_row(const float *image, const int64_t *size, const int64_t *kernel, int64_t stride, int64_t padding,
                       int64_t y, int64_t wide, float *out) {
    for (int64_t x = 0; x < wide; x++)
        for (int64_t c = 0; c < size[0]; c++)
            for (int64_t i = 0; i < kernel[0]; i++)
                for (int64_t k = 0; k < kernel[1]; k++) {
                    int64_t at = y * stride + i - padding, across = x * stride + k - padding;
                    bool in = at >= 0 && at < size[1] && across >= 0 && across < size[2];
                    *out++ = in ? image[(c * size[1] + at) * size[2] + across] : 0;
                }
}

static bool add_images(golden_layer *l, base_err *err) {
    const num_tensor *w = golden_array(l->f, NULL, "W"), *t = golden_array(l->f, NULL, "X_nchw");
    double stride = 1, padding = 0;
    if (w->ndim != 4 || t->ndim != 4 || t->dim[1] != w->dim[1])
        return base_fail(err, "W and X_nchw do not fit each other");
    if (!golden_scalar_of(l->f, NULL, "stride", &stride, err) ||
        !golden_scalar_of(l->f, NULL, "padding", &padding, err))
        return false;
    if (!(stride >= 1 && stride <= 1024 && padding >= 0 && padding <= 1024))
        return base_fail(err, "a stride of %g or a padding of %g is not possible", stride, padding);
    int64_t s = (int64_t)stride, p = (int64_t)padding, image = t->dim[1] * t->dim[2] * t->dim[3];
    int64_t high = t->dim[2] + 2 * p - w->dim[2], wide = t->dim[3] + 2 * p - w->dim[3];
    float *x = golden_reals(l->f, NULL, "X_nchw", -1, err);
    if (!x) return false;
    if (high < 0 || wide < 0) {
        base_big_free(x);
        return base_fail(err, "the kernel is larger than its images");
    }
    high = high / s + 1;
    wide = wide / s + 1;
    float *patches = base_big_alloc((size_t)(wide * l->cols), sizeof *patches, "patches", err);
    for (int64_t i = 0; patches && i < t->dim[0]; i++)
        for (int64_t y = 0; y < high; y++) {
            unfold_row(x + i * image, t->dim + 1, w->dim + 2, s, p, y, wide, patches);
            add_rows(l->moment, patches, wide, l->cols);
        }
    l->n = t->dim[0] * high * wide;
    base_big_free(x);
    base_big_free(patches);
    return patches != NULL;
}

static bool add_inputs(golden_layer *l, base_err *err) {
    bool bytes = !golden_array(l->f, NULL, "X");
    int64_t in;
    float *x = golden_matrix(l->f, bytes ? "X_u8" : "X", &l->n, &in, err);
    if (!x) return false;
    for (int64_t i = 0; bytes && i < l->n * in; i++) x[i] /= 255.0f;
    if (in == l->cols) add_rows(l->moment, x, l->n, in);
    base_big_free(x);
    return in == l->cols ||
           base_fail(err, "the inputs have %lld columns, and W has %lld", (long long)in, (long long)l->cols);
}

static bool read_moment(golden_layer *l, base_err *err) {
    const golden_file *f = l->f;
    int64_t in = l->cols;
    bool x = golden_array(f, NULL, "X") || golden_array(f, NULL, "X_u8"), images = golden_array(f, NULL, "X_nchw"),
         h = golden_array(f, NULL, "H");
    double batches = 1;
    if (!x && !images && !h) return base_fail(err, "the file has neither inputs (X, X_u8, X_nchw) nor their moment H");
    if (!golden_scalar_of(f, NULL, "nbatches", &batches, err)) return false;
    if (!(batches >= 1)) return base_fail(err, "nbatches is %g, and at least 1 is expected", batches);
    if (h && !(l->h = golden_reals(f, NULL, "H", in * in, err))) return false;
    if ((x && !add_inputs(l, err)) || (images && !x && !add_images(l, err))) return false;
    if (!h && !(l->h = base_big_alloc((size_t)(in * in), sizeof *l->h, "H", err))) return false;
    for (int64_t i = 0; i < in; i++)
        for (int64_t k = i; k < in; k++) {
            double *m = l->moment + i * in + k;
            if (!x && !images) *m = batches / 2 * (double)l->h[i * in + k];
            l->moment[k * in + i] = *m;
            if (!h) l->h[i * in + k] = l->h[k * in + i] = (float)(2 / batches * *m);
        }
    for (int64_t i = 0; i < in; i++) {
        if (!(l->h[i * in + i] >= 0)) return base_fail(err, "the diagonal of H is negative at %lld", (long long)i);
        l->dead |= l->h[i * in + i] == 0;
    }
    float *none = base_calloc((size_t)(l->rows * in), sizeof *none);
    l->whole = golden_layer_error(l, none);
    free(none);
    return true;
}

float *golden_weights(const golden_file *f, int64_t *rows, int64_t *cols, base_err *err) {
    const num_tensor *t = golden_array(f, NULL, "W");
    if (t->ndim < 2) {
        base_fail(err, "the array W has %d dimensions, and at least 2 are expected", t->ndim);
        return NULL;
    }
    float *w = golden_reals(f, NULL, "W", -1, err);
    *rows = t->dim[0];
    *cols = 1;
    for (int i = 1; i < t->ndim; i++) *cols *= t->dim[i];
    return w;
}

bool golden_layer_open(golden_layer *l, const golden_file *f, base_err *err) {
    *l = (golden_layer){.f = f};
    if (!(l->w = golden_weights(f, &l->rows, &l->cols, err))) return false;
    if (l->cols > 16384) return base_fail(err, "%lld inputs are more than the check can hold", (long long)l->cols);
    l->moment = base_calloc((size_t)(l->cols * l->cols), sizeof *l->moment);
    return read_moment(l, err);
}

void golden_layer_close(golden_layer *l) {
    base_big_free(l->w);
    base_big_free(l->h);
    free(l->moment);
}

double golden_layer_error(const golden_layer *l, const float *q) {
    double sum = 0, *d = base_calloc((size_t)l->cols, sizeof *d);
    for (int64_t r = 0; r < l->rows; r++) {
        for (int64_t i = 0; i < l->cols; i++) d[i] = (double)l->w[r * l->cols + i] - (double)q[r * l->cols + i];
        for (int64_t i = 0; i < l->cols; i++) {
            double row = 0;
            for (int64_t k = 0; d[i] != 0 && k < l->cols; k++) row += d[k] * l->moment[i * l->cols + k];
            sum += d[i] * row;
        }
    }
    free(d);
    return sum;
}

bool golden_agrees(const golden_file *f, const char *v, const char *array, double error, double whole, base_err *err) {
    double said = error;
    if (!golden_scalar_of(f, v, array, &said, err)) return false;
    return fabs(error - said) <= 1e-3 * fabs(said) + 1e-13 * whole ||
           base_fail(err, "what the file holds has an error of %g, and its own %s.%s says %g", error, v, array, said);
}

double golden_ratio(double ours, double theirs) {
    return theirs > 0 ? ours / theirs : ours > 0 ? INFINITY : 1;
}

void golden_layer_shake(const golden_layer *l, uint64_t seed, golden_layer *out, base_err *err) {
    num_rng r = num_rng_seed(seed, 0);
    int64_t n = l->rows * l->cols, in = l->cols;
    *out = *l;
    out->w = base_big_alloc((size_t)n, sizeof *out->w, "shaken weights", err);
    out->h = base_big_alloc((size_t)(in * in), sizeof *out->h, "a shaken H", err);
    out->moment = NULL;
    for (int64_t i = 0; out->w && i < n; i++) out->w[i] = (float)((double)l->w[i] * (1 + 6e-8 * num_rng_normal(&r)));
    for (int64_t i = 0; out->h && i < in; i++)
        for (int64_t k = i; k < in; k++)
            out->h[i * in + k] = out->h[k * in + i] =
                (float)((double)l->h[i * in + k] * (1 + 1e-6 * num_rng_normal(&r)));
}
