// Losses: softmax cross-entropy against class labels, and squared error. Both give the sum over the micro-batch (see
// kernels.h); sums are taken in double.
#include "engine/ops.h"
#include "engine/vecmath.h"
#include "engine/vexp.h"

#include <math.h>

// With smoothing e the target is (1-e) onehot + e/classes, so the loss is lse - (1-e) x[label] - e mean(x).
void engine_cross_entropy_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), classes = s->dim[s->ndim - 1];
    const double e = (double)a->smoothing;
    double total = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t label = a->labels[r];
        if (label < 0 || label >= classes) continue;
        const float *x = a->in[0] + r * classes;
        const float top = vexp_max(x, classes);
        const double sum = vexp_sum(x, classes, top);
        double target = (double)x[label];
        if (e > 0) {
            double mean = 0;
            for (int64_t i = 0; i < classes; i++) mean += (double)x[i];
            target = (1 - e) * target + e * mean / (double)classes;
        }
        total += log(sum) + (double)top - target;
    }
    a->out[0][0] = (float)total;
}

// dx += scale (exp(x - top) share - spread)
BASE_CLONES static void add_softmax(float *restrict dx, const float *restrict x, int64_t n, float top, float share,
                                    float spread, float scale) {
    for (int64_t i = 0; i < n; i++) dx[i] += scale * (vec_exp(x[i] - top) * share - spread);
}

void engine_cross_entropy_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), classes = s->dim[s->ndim - 1];
    const float scale = a->dout[0][0], spread = a->smoothing / (float)classes;
    if (!a->din[0]) return;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t label = a->labels[r];
        if (label < 0 || label >= classes) continue;
        const float *x = a->in[0] + r * classes;
        float *dx = a->din[0] + r * classes;
        const float top = vexp_max(x, classes);
        add_softmax(dx, x, classes, top, (float)(1 / vexp_sum(x, classes, top)), spread, scale);
        dx[label] -= scale * (1 - a->smoothing);
    }
}

void engine_mse_forward(const engine_args *a) {
    a->out[0][0] = (float)num_diff_squares(a->in[0], a->in[1], (size_t)op_count(&a->in_shape[0]));
}

void engine_mse_backward(const engine_args *a) {
    const int64_t count = op_count(&a->in_shape[0]);
    const float scale = 2 * a->dout[0][0];
    for (int64_t i = 0; i < count; i++) {
        const float d = scale * (a->in[0][i] - a->in[1][i]);
        if (a->din[0]) a->din[0][i] += d;
        if (a->din[1]) a->din[1][i] -= d;
    }
}
