// Float64 definitions of the ops: see op_reference.h. Slow on purpose.
#include "tests/support/op_reference.h"

#include <math.h>

static int64_t attr(const reference_args *a, int i) {
    return (int64_t)a->node->attr[i];
}

static int64_t count_of(const model_shape *s) {
    int64_t count = 1;
    for (int i = 0; i < s->ndim; i++) count *= s->dim[i];
    return count;
}

// Index tuples of a shape: the i-th value's indices, and the place of indices.
static void indices_of(const model_shape *s, int64_t i, int64_t *index) {
    for (int d = s->ndim - 1; d >= 0; d--) {
        index[d] = i % s->dim[d];
        i /= s->dim[d];
    }
}

static int64_t place_of(const model_shape *s, const int64_t *index) {
    int64_t place = 0;
    for (int d = 0; d < s->ndim; d++) place = place * s->dim[d] + index[d];
    return place;
}

static int axis_of(const model_shape *s, int64_t axis) {
    return (int)(axis < 0 ? axis + s->ndim : axis);
}

static void ref_linear(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t in = s->dim[s->ndim - 1], out = attr(a, LINEAR_OUT), rows = count_of(s) / in;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) {
            double sum = a->param[1] ? a->param[1][o] : 0;
            for (int64_t i = 0; i < in; i++) sum += a->param[0][o * in + i] * a->in[0][r * in + i];
            a->out[0][r * out + o] = sum;
        }
}

static void ref_conv2d(reference_args *a) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int64_t groups = attr(a, CONV_GROUPS), cg = s->dim[1] / groups, og = o->dim[1] / groups;
    const int64_t kh = attr(a, CONV_KH), kw = attr(a, CONV_KW);
    for (int64_t i = 0; i < count_of(o); i++) {
        int64_t at[4];
        indices_of(o, i, at);
        double sum = a->param[1] ? a->param[1][at[1]] : 0;
        for (int64_t c = 0; c < cg; c++)
            for (int64_t p = 0; p < kh; p++)
                for (int64_t q = 0; q < kw; q++) {
                    const int64_t y =
                        at[2] * attr(a, CONV_STRIDE_H) - attr(a, CONV_PAD_TOP) + p * attr(a, CONV_DILATION_H);
                    const int64_t x =
                        at[3] * attr(a, CONV_STRIDE_W) - attr(a, CONV_PAD_LEFT) + q * attr(a, CONV_DILATION_W);
                    if (y < 0 || x < 0 || y >= s->dim[2] || x >= s->dim[3]) continue;
                    const int64_t from[4] = {at[0], at[1] / og * cg + c, y, x};
                    sum += a->param[0][((at[1] * cg + c) * kh + p) * kw + q] * a->in[0][place_of(s, from)];
                }
        a->out[0][i] = sum;
    }
}

static void ref_batch_norm(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t channels = s->dim[1], count = count_of(s), inner = count / s->dim[0] / channels;
    const double m = a->node->attr[NORM_MOMENTUM];
    for (int64_t c = 0; c < channels; c++) {
        double mean = a->param[2][c], var = a->param[3][c], used = 0, sum = 0, squares = 0;
        if (a->training) {
            for (int64_t i = 0; i < count; i++)
                if (i / inner % channels == c) sum += a->in[0][i], used++;
            mean = sum / used;
            for (int64_t i = 0; i < count; i++)
                if (i / inner % channels == c) squares += (a->in[0][i] - mean) * (a->in[0][i] - mean);
            var = squares / used;
            a->running[0][c] = (1 - m) * a->param[2][c] + m * mean;
            a->running[1][c] = (1 - m) * a->param[3][c] + m * squares / (used - 1);
        }
        for (int64_t i = 0; i < count; i++)
            if (i / inner % channels == c)
                a->out[0][i] =
                    (a->in[0][i] - mean) / sqrt(var + a->node->attr[NORM_EPS]) * (a->param[0] ? a->param[0][c] : 1) +
                    (a->param[1] ? a->param[1][c] : 0);
    }
}

static void ref_layer_norm(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t n = s->dim[s->ndim - 1];
    for (int64_t i = 0; i < count_of(s); i++) {
        const double *row = a->in[0] + i / n * n;
        double mean = 0, var = 0;
        for (int64_t j = 0; j < n; j++) mean += row[j] / (double)n;
        for (int64_t j = 0; j < n; j++) var += (row[j] - mean) * (row[j] - mean) / (double)n;
        a->out[0][i] =
            (a->in[0][i] - mean) / sqrt(var + a->node->attr[NORM_EPS]) * (a->param[0] ? a->param[0][i % n] : 1) +
            (a->param[1] ? a->param[1][i % n] : 0);
    }
}

static void ref_rms_norm(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t n = s->dim[s->ndim - 1];
    for (int64_t i = 0; i < count_of(s); i++) {
        const double *row = a->in[0] + i / n * n;
        double square = 0;
        for (int64_t j = 0; j < n; j++) square += row[j] * row[j] / (double)n;
        a->out[0][i] = a->in[0][i] / sqrt(square + a->node->attr[NORM_EPS]) * (a->param[0] ? a->param[0][i % n] : 1);
    }
}

static void ref_embedding(reference_args *a) {
    const int64_t width = attr(a, EMBEDDING_WIDTH);
    for (int64_t i = 0; i < count_of(&a->out_shape[0]); i++)
        a->out[0][i] = a->param[0][a->tokens[i / width] * width + i % width];
}

static void ref_position(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    for (int64_t i = 0; i < count_of(s); i++) {
        int64_t at[3];
        indices_of(s, i, at);
        a->out[0][i] = a->in[0][i] + a->param[0][at[1] * s->dim[2] + at[2]];
    }
}

#define POINTWISE(name, value)                                                                                         \
    static void ref_##name(reference_args *a) {                                                                        \
        for (int64_t i = 0; i < count_of(&a->in_shape[0]); i++) {                                                      \
            const double x = a->in[0][i];                                                                              \
            a->out[0][i] = value;                                                                                      \
        }                                                                                                              \
    }
POINTWISE(relu, fmax(x, 0))
POINTWISE(gelu, x *erfc(-x / sqrt(2)) / 2)
POINTWISE(gelu_tanh, x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3)))))
POINTWISE(silu, x / (1 + exp(-x)))
POINTWISE(tanh, tanh(x))
POINTWISE(sigmoid, 1 / (1 + exp(-x)))
POINTWISE(reshape, x)

static void ref_softmax(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = axis_of(s, attr(a, SOFTMAX_AXIS));
    for (int64_t i = 0; i < count_of(s); i++) {
        int64_t at[5];
        indices_of(s, i, at);
        double sum = 0;
        for (at[axis] = 0; at[axis] < s->dim[axis]; at[axis]++) sum += exp(a->in[0][place_of(s, at)] - a->in[0][i]);
        a->out[0][i] = 1 / sum;
    }
}

static double broadcast(const reference_args *a, int k, int64_t i) {
    const model_shape *o = &a->out_shape[0], *s = &a->in_shape[k];
    int64_t at[5];
    indices_of(o, i, at);
    for (int d = 0; d < s->ndim; d++)
        if (s->dim[d] == 1) at[d] = 0;
    return a->in[k][place_of(s, at)];
}

static void ref_add(reference_args *a) {
    for (int64_t i = 0; i < count_of(&a->out_shape[0]); i++) {
        a->out[0][i] = 0;
        for (int k = 0; k < a->node->in_count; k++) a->out[0][i] += broadcast(a, k, i);
    }
}

static void ref_mul(reference_args *a) {
    for (int64_t i = 0; i < count_of(&a->out_shape[0]); i++) {
        a->out[0][i] = 1;
        for (int k = 0; k < a->node->in_count; k++) a->out[0][i] *= broadcast(a, k, i);
    }
}

static void ref_concat(reference_args *a) {
    const model_shape *o = &a->out_shape[0];
    const int axis = axis_of(o, attr(a, CONCAT_AXIS));
    for (int64_t i = 0; i < count_of(o); i++) {
        int64_t at[5];
        indices_of(o, i, at);
        int k = 0;
        while (at[axis] >= a->in_shape[k].dim[axis]) at[axis] -= a->in_shape[k++].dim[axis];
        a->out[0][i] = a->in[k][place_of(&a->in_shape[k], at)];
    }
}

static void ref_split(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = axis_of(s, attr(a, SPLIT_AXIS));
    for (int64_t i = 0; i < count_of(s); i++) {
        int64_t at[5];
        indices_of(s, i, at);
        const int64_t part = s->dim[axis] / attr(a, SPLIT_PARTS), k = at[axis] / part;
        at[axis] %= part;
        a->out[k][place_of(&a->out_shape[k], at)] = a->in[0][i];
    }
}

static void ref_transpose(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int p = axis_of(s, attr(a, TRANSPOSE_A)), q = axis_of(s, attr(a, TRANSPOSE_B));
    for (int64_t i = 0; i < count_of(s); i++) {
        int64_t at[5];
        indices_of(s, i, at);
        const int64_t swap = at[p];
        at[p] = at[q];
        at[q] = swap;
        a->out[0][place_of(&a->out_shape[0], at)] = a->in[0][i];
    }
}

static void ref_slice(reference_args *a) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int axis = axis_of(s, attr(a, SLICE_AXIS));
    int64_t start = attr(a, SLICE_START);
    if (start < 0) start += s->dim[axis];
    if (start < 0) start = 0;
    for (int64_t i = 0; i < count_of(o); i++) {
        int64_t at[5];
        indices_of(o, i, at);
        at[axis] = start + at[axis] * attr(a, SLICE_STEP);
        a->out[0][i] = a->in[0][place_of(s, at)];
    }
}

static void ref_pad(reference_args *a) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int axis = axis_of(s, attr(a, PAD_AXIS));
    for (int64_t i = 0; i < count_of(o); i++) {
        int64_t at[5];
        indices_of(o, i, at);
        at[axis] -= attr(a, PAD_BEFORE);
        const bool inside = at[axis] >= 0 && at[axis] < s->dim[axis];
        a->out[0][i] = inside ? a->in[0][place_of(s, at)] : a->node->attr[PAD_VALUE];
    }
}

static void pool(reference_args *a, bool highest) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int64_t kh = attr(a, POOL_KH), kw = attr(a, POOL_KW);
    const int64_t sh = attr(a, POOL_STRIDE_H) ? attr(a, POOL_STRIDE_H) : kh;
    const int64_t sw = attr(a, POOL_STRIDE_W) ? attr(a, POOL_STRIDE_W) : kw;
    for (int64_t i = 0; i < count_of(o); i++) {
        int64_t at[4];
        indices_of(o, i, at);
        double sum = 0, top = -INFINITY;
        int64_t inside = 0, padded = 0;
        for (int64_t p = 0; p < kh; p++)
            for (int64_t q = 0; q < kw; q++) {
                const int64_t y = at[2] * sh - attr(a, POOL_PAD_TOP) + p, x = at[3] * sw - attr(a, POOL_PAD_LEFT) + q;
                padded += y < s->dim[2] + attr(a, POOL_PAD_BOTTOM) && x < s->dim[3] + attr(a, POOL_PAD_RIGHT);
                if (y < 0 || x < 0 || y >= s->dim[2] || x >= s->dim[3]) continue;
                const int64_t from[4] = {at[0], at[1], y, x};
                inside++;
                sum += a->in[0][place_of(s, from)];
                top = fmax(top, a->in[0][place_of(s, from)]);
            }
        a->out[0][i] = highest ? top : sum / (double)(attr(a, POOL_COUNT_PAD) ? padded : inside);
    }
}

static void ref_max_pool(reference_args *a) {
    pool(a, true);
}
static void ref_avg_pool(reference_args *a) {
    pool(a, false);
}

static void ref_global_pool(reference_args *a) {
    const int64_t planes = count_of(&a->out_shape[0]), size = count_of(&a->in_shape[0]) / planes;
    for (int64_t p = 0; p < planes; p++) {
        double sum = 0, top = -INFINITY;
        for (int64_t i = 0; i < size; i++) {
            sum += a->in[0][p * size + i];
            top = fmax(top, a->in[0][p * size + i]);
        }
        a->out[0][p] = attr(a, GLOBAL_MAX) ? top : sum / (double)size;
    }
}

static void ref_rope(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t dim = attr(a, ROPE_HEAD_DIM);
    for (int64_t i = 0; i < count_of(s); i++) {
        int64_t at[3];
        indices_of(s, i, at);
        const int64_t j = at[2] % dim;
        const bool inter = attr(a, ROPE_INTERLEAVED) != 0, second = inter ? j % 2 == 1 : j >= dim / 2;
        const int64_t pair = inter ? j / 2 : j % (dim / 2), apart = inter ? 1 : dim / 2;
        const double angle = (double)at[1] * pow(a->node->attr[ROPE_BASE], -2.0 * (double)pair / (double)dim);
        a->out[0][i] = second ? a->in[0][i] * cos(angle) + a->in[0][i - apart] * sin(angle)
                              : a->in[0][i] * cos(angle) - a->in[0][i + apart] * sin(angle);
    }
}

static void ref_attention(reference_args *a) {
    const model_shape *q = &a->in_shape[0], *k = &a->in_shape[1];
    const int64_t heads = attr(a, ATTENTION_HEADS), d = q->dim[2] / heads, keys = k->dim[1];
    const int64_t kv = attr(a, ATTENTION_KV_HEADS) ? attr(a, ATTENTION_KV_HEADS) : heads;
    const double given = a->node->attr[ATTENTION_SCALE], scale = given != 0 ? given : 1 / sqrt((double)d);
    for (int64_t i = 0; i < count_of(q); i++) {
        int64_t at[3];
        indices_of(q, i, at);
        const int64_t head = at[2] / d, shared = head / (heads / kv);
        double sum = 0, value = 0, top = -INFINITY;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < (attr(a, ATTENTION_CAUSAL) ? at[1] + 1 : keys); j++) {
                double score = 0;
                const int64_t key = (at[0] * keys + j) * k->dim[2] + shared * d;
                for (int64_t c = 0; c < d; c++)
                    score +=
                        scale * a->in[0][(at[0] * q->dim[1] + at[1]) * q->dim[2] + head * d + c] * a->in[1][key + c];
                if (pass == 0) {
                    top = fmax(top, score);
                    continue;
                }
                sum += exp(score - top);
                value += exp(score - top) * a->in[2][key + at[2] % d];
            }
        a->out[0][i] = value / sum;
    }
}

static void ref_cross_entropy(reference_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t classes = s->dim[s->ndim - 1];
    double total = 0;
    for (int64_t r = 0; r < count_of(s) / classes; r++) {
        if (a->labels[r] < 0) continue;
        double sum = 0;
        for (int64_t c = 0; c < classes; c++) sum += exp(a->in[0][r * classes + c]);
        for (int64_t c = 0; c < classes; c++) {
            const double target = (c == a->labels[r]) * (1 - a->smoothing) + a->smoothing / (double)classes;
            total -= target * log(exp(a->in[0][r * classes + c]) / sum);
        }
    }
    a->out[0][0] = total;
}

static void ref_mse(reference_args *a) {
    a->out[0][0] = 0;
    for (int64_t i = 0; i < count_of(&a->in_shape[0]); i++) a->out[0][0] += pow(a->in[0][i] - a->in[1][i], 2);
}

const reference_op reference_ops[MODEL_OPS] = {
    [MODEL_LINEAR] = ref_linear,
    [MODEL_CONV2D] = ref_conv2d,
    [MODEL_BATCH_NORM] = ref_batch_norm,
    [MODEL_LAYER_NORM] = ref_layer_norm,
    [MODEL_RMS_NORM] = ref_rms_norm,
    [MODEL_EMBEDDING] = ref_embedding,
    [MODEL_POSITION] = ref_position,
    [MODEL_RELU] = ref_relu,
    [MODEL_GELU] = ref_gelu,
    [MODEL_GELU_TANH] = ref_gelu_tanh,
    [MODEL_SILU] = ref_silu,
    [MODEL_TANH] = ref_tanh,
    [MODEL_SIGMOID] = ref_sigmoid,
    [MODEL_SOFTMAX] = ref_softmax,
    [MODEL_ADD] = ref_add,
    [MODEL_MUL] = ref_mul,
    [MODEL_CONCAT] = ref_concat,
    [MODEL_SPLIT] = ref_split,
    [MODEL_RESHAPE] = ref_reshape,
    [MODEL_TRANSPOSE] = ref_transpose,
    [MODEL_SLICE] = ref_slice,
    [MODEL_PAD] = ref_pad,
    [MODEL_MAX_POOL] = ref_max_pool,
    [MODEL_AVG_POOL] = ref_avg_pool,
    [MODEL_GLOBAL_POOL] = ref_global_pool,
    [MODEL_ROPE] = ref_rope,
    [MODEL_ATTENTION] = ref_attention,
    [MODEL_CROSS_ENTROPY] = ref_cross_entropy,
    [MODEL_MSE] = ref_mse,
};
