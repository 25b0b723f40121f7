// Batch norm (Ioffe and Szegedy 2015), layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019).
//
// Batch norm works on channel 1 of [N, C, ...]. In training it uses the batch's mean and biased variance and moves
// the running ones by the momentum, the running variance with the unbiased estimate (as PyTorch does); otherwise the
// running statistics are constants, also for the gradient. Layer and RMS norm work over the last dimension.
#include "engine/ops.h"
#include "engine/tile.h"

#include <math.h>

// Sum of v(i) in sixteen lanes of float, and of squares of differences from `mean`: enough for rows of a few thousand.
BASE_CLONES static float row_sum(const float *x, int64_t n) {
    float lane[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += x[i + j];
    for (; i < n; i++) sum += x[i];
    for (int j = 0; j < 16; j++) sum += lane[j];
    return sum;
}

BASE_CLONES static float row_square_sum(const float *x, float mean, int64_t n) {
    float lane[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
    for (; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    for (int j = 0; j < 16; j++) sum += lane[j];
    return sum;
}

BASE_CLONES static float row_dot(const float *x, const float *y, int64_t n) {
    float lane[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += x[i + j] * y[i + j];
    for (; i < n; i++) sum += x[i] * y[i];
    for (int j = 0; j < 16; j++) sum += lane[j];
    return sum;
}

// ---- batch norm --------------------------------------------------------------------------------

typedef struct batch {
    int64_t n, c, inner; // [N, C, inner]
    const float *weight, *bias, *mean, *var;
    float *dweight, *dbias;
    double eps;
} batch;

static batch batch_of(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    return (batch){s->dim[0],   s->dim[1],   op_span(s, 2, s->ndim), a->param[0],  a->param[1],
                   a->param[2], a->param[3], a->dparam[0],           a->dparam[1], a->node->attr[NORM_EPS]};
}

size_t engine_batch_norm_scratch(const engine_args *a) {
    return 2 * (size_t)a->in_shape[0].dim[1];
}
size_t engine_batch_norm_save(const engine_args *a) {
    return 2 * (size_t)a->in_shape[0].dim[1];
}

// Mean and biased variance of channel c, in double over images.
static void channel_statistics(const batch *b, const float *x, int64_t c, double *mean, double *var) {
    const double count = (double)(b->n * b->inner);
    double sum = 0, squares = 0;
    for (int64_t n = 0; n < b->n; n++) sum += (double)row_sum(x + (n * b->c + c) * b->inner, b->inner);
    *mean = sum / count;
    for (int64_t n = 0; n < b->n; n++)
        squares += (double)row_square_sum(x + (n * b->c + c) * b->inner, (float)*mean, b->inner);
    *var = squares / count;
}

static void move_running(const engine_args *a, int64_t c, double count, double mean, double var) {
    const double m = a->node->attr[NORM_MOMENTUM];
    const double unbiased = count > 1 ? var * count / (count - 1) : var;
    if (a->running[0]) a->running[0][c] = (float)((1 - m) * (double)a->running[0][c] + m * mean);
    if (a->running[1]) a->running[1][c] = (float)((1 - m) * (double)a->running[1][c] + m * unbiased);
}

static void fold(const batch *b, int64_t c, double mean, double inverse, float *scale, float *shift) {
    const double factor = b->weight ? inverse * (double)b->weight[c] : inverse;
    *scale = (float)factor;
    *shift = (float)((b->bias ? (double)b->bias[c] : 0) - mean * factor);
}

void engine_batch_norm_fold(const engine_args *a, float *scale, float *shift) {
    const batch b = batch_of(a);
    for (int64_t c = 0; c < b.c; c++)
        fold(&b, c, (double)b.mean[c], 1 / sqrt((double)b.var[c] + b.eps), &scale[c], &shift[c]);
}

void engine_batch_norm_forward(const engine_args *a) {
    const batch b = batch_of(a);
    float *scale = a->scratch, *shift = scale + b.c;
    for (int64_t c = 0; c < b.c; c++) {
        double mean, var;
        if (a->training) {
            channel_statistics(&b, a->in[0], c, &mean, &var);
            move_running(a, c, (double)(b.n * b.inner), mean, var);
        } else {
            mean = (double)b.mean[c];
            var = (double)b.var[c];
        }
        const double inverse = 1 / sqrt(var + b.eps);
        if (a->save) {
            a->save[c] = (float)mean;
            a->save[b.c + c] = (float)inverse;
        }
        fold(&b, c, mean, inverse, &scale[c], &shift[c]);
    }
    // The vector unit's function, because a fused convolution rounds the same way.
    const tile_unit *u = tile_best_unit();
    for (int64_t p = 0; p < b.n * b.c; p++)
        u->affine(a->out[0] + p * b.inner, a->in[0] + p * b.inner, scale[p % b.c], shift[p % b.c], b.inner);
}

// With x^ = (x - mean) inverse and m values a channel, in training
//   dx = weight inverse / m (m dy - sum dy - x^ sum dy x^); otherwise dx = weight inverse dy.
void engine_batch_norm_backward(const engine_args *a) {
    const batch b = batch_of(a);
    const double count = (double)(b.n * b.inner);
    for (int64_t c = 0; c < b.c; c++) {
        const float mean = a->save[c], inverse = a->save[b.c + c];
        double sum = 0, dot = 0;
        for (int64_t n = 0; n < b.n; n++) {
            const int64_t at = (n * b.c + c) * b.inner;
            const double part = (double)row_sum(a->dout[0] + at, b.inner);
            sum += part;
            double products = 0;
            for (int64_t i = 0; i < b.inner; i++)
                products += (double)a->dout[0][at + i] * (double)((a->in[0][at + i] - mean) * inverse);
            dot += products;
        }
        if (b.dweight) b.dweight[c] += (float)dot;
        if (b.dbias) b.dbias[c] += (float)sum;
        if (!a->din[0]) continue;
        const float scale = b.weight ? inverse * b.weight[c] : inverse;
        const float mean_dy = a->training ? (float)(sum / count) : 0, mean_dot = a->training ? (float)(dot / count) : 0;
        for (int64_t n = 0; n < b.n; n++) {
            const int64_t at = (n * b.c + c) * b.inner;
            const float *x = a->in[0] + at, *dy = a->dout[0] + at;
            float *dx = a->din[0] + at;
            for (int64_t i = 0; i < b.inner; i++)
                dx[i] += scale * (dy[i] - mean_dy - (x[i] - mean) * inverse * mean_dot);
        }
    }
}

// ---- layer norm, RMS norm ----------------------------------------------------------------------

size_t engine_layer_norm_save(const engine_args *a) {
    return 2 * (size_t)op_rows(&a->in_shape[0]);
}
size_t engine_rms_norm_save(const engine_args *a) {
    return (size_t)op_rows(&a->in_shape[0]);
}

BASE_CLONES static void scale_row(float *y, const float *x, float mean, float inverse, const float *weight,
                                  const float *bias, int64_t n) {
    if (weight && bias)
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
    else if (weight)
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * weight[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse;
}

void engine_layer_norm_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), n = s->dim[s->ndim - 1];
    for (int64_t r = 0; r < rows; r++) {
        const float *x = a->in[0] + r * n;
        const float mean = row_sum(x, n) / (float)n, var = row_square_sum(x, mean, n) / (float)n;
        const float inverse = (float)(1 / sqrt((double)var + a->node->attr[NORM_EPS]));
        if (a->save) {
            a->save[2 * r] = mean;
            a->save[2 * r + 1] = inverse;
        }
        scale_row(a->out[0] + r * n, x, mean, inverse, a->param[0], a->param[1], n);
    }
}

// Gradient of one row of layer norm; RMS norm is the same with mean 0 and without the term of the mean.
static void norm_row_backward(const engine_args *a, int64_t r, int64_t n, float mean, float inverse, bool centred) {
    const float *x = a->in[0] + r * n, *dy = a->dout[0] + r * n, *weight = a->param[0];
    float *dweight = a->dparam[0], *dbias = a->dparam[1];
    double sum = 0, dot = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = weight ? dy[i] * weight[i] : dy[i], unit = (x[i] - mean) * inverse;
        sum += (double)d;
        dot += (double)d * (double)unit;
        if (dweight) dweight[i] += dy[i] * unit;
        if (dbias) dbias[i] += dy[i];
    }
    if (!a->din[0]) return;
    const float mean_d = centred ? (float)(sum / (double)n) : 0, mean_dot = (float)(dot / (double)n);
    for (int64_t i = 0; i < n; i++) {
        const float d = weight ? dy[i] * weight[i] : dy[i], unit = (x[i] - mean) * inverse;
        a->din[0][r * n + i] += inverse * (d - mean_d - unit * mean_dot);
    }
}

void engine_layer_norm_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), n = s->dim[s->ndim - 1];
    for (int64_t r = 0; r < rows; r++) norm_row_backward(a, r, n, a->save[2 * r], a->save[2 * r + 1], true);
}

void engine_rms_norm_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), n = s->dim[s->ndim - 1];
    for (int64_t r = 0; r < rows; r++) {
        const float *x = a->in[0] + r * n;
        const float square = row_dot(x, x, n) / (float)n;
        const float inverse = (float)(1 / sqrt((double)square + a->node->attr[NORM_EPS]));
        if (a->save) a->save[r] = inverse;
        scale_row(a->out[0] + r * n, x, 0, inverse, a->param[0], NULL, n);
    }
}

void engine_rms_norm_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), n = s->dim[s->ndim - 1];
    for (int64_t r = 0; r < rows; r++) norm_row_backward(a, r, n, 0, a->save[r], false);
}
