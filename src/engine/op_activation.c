// Pointwise activations and softmax. GELU: Hendrycks and Gimpel 2016; SiLU: Elfwing et al. 2017. Gradients are written
// from the input, so that forward may work in place only in inference.
#include "engine/ops.h"
#include "engine/vecmath.h"

static const float root_half = 0.70710678118654752f;
static const float root_two_over_pi = 0.79788456080286536f;
static const float inverse_root_two_pi = 0.39894228040143268f;

VECMATH float relu(float x) {
    return x < 0 ? 0 : x;
}
VECMATH float relu_slope(float x) {
    return x > 0 ? 1.0f : 0.0f;
}
VECMATH float sigmoid_slope(float x) {
    const float s = vec_sigmoid(x);
    return s * (1 - s);
}
VECMATH float tanh_slope(float x) {
    const float t = vec_tanh(x);
    return 1 - t * t;
}
VECMATH float silu(float x) {
    return x * vec_sigmoid(x);
}
VECMATH float silu_slope(float x) {
    const float s = vec_sigmoid(x);
    return s * (1 + x * (1 - s));
}
VECMATH float gelu(float x) {
    return 0.5f * x * (1 + vec_erf(x * root_half));
}
VECMATH float gelu_slope(float x) {
    return 0.5f * (1 + vec_erf(x * root_half)) + x * inverse_root_two_pi * vec_exp(-0.5f * x * x);
}
VECMATH float gelu_tanh(float x) {
    return 0.5f * x * (1 + vec_tanh(root_two_over_pi * (x + 0.044715f * x * x * x)));
}
VECMATH float gelu_tanh_slope(float x) {
    const float t = vec_tanh(root_two_over_pi * (x + 0.044715f * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * root_two_over_pi * (1 + 3 * 0.044715f * x * x);
}

#define POINTWISE(name, value, slope)                                                                                  \
    BASE_CLONES static void name##_values(float *y, const float *x, int64_t count) {                                   \
        for (int64_t i = 0; i < count; i++) y[i] = value(x[i]);                                                        \
    }                                                                                                                  \
    BASE_CLONES static void name##_slopes(float *restrict dx, const float *restrict x, const float *restrict dy,       \
                                          int64_t count) {                                                             \
        for (int64_t i = 0; i < count; i++) dx[i] += dy[i] * slope(x[i]);                                              \
    }                                                                                                                  \
    void engine_##name##_forward(const engine_args *a) {                                                               \
        name##_values(a->out[0], a->in[0], op_count(&a->in_shape[0]));                                                 \
    }                                                                                                                  \
    void engine_##name##_backward(const engine_args *a) {                                                              \
        if (a->din[0]) name##_slopes(a->din[0], a->in[0], a->dout[0], op_count(&a->in_shape[0]));                      \
    }

POINTWISE(relu, relu, relu_slope)
POINTWISE(gelu, gelu, gelu_slope)
POINTWISE(gelu_tanh, gelu_tanh, gelu_tanh_slope)
POINTWISE(silu, silu, silu_slope)
POINTWISE(tanh, vec_tanh, tanh_slope)
POINTWISE(sigmoid, vec_sigmoid, sigmoid_slope)

// ---- softmax -----------------------------------------------------------------------------------

// Columns of a softmax across rows that are worked on together.
enum { LANES = 16, COLUMNS = 64 };

// One row: the largest entry is taken off before exp. Maximum and sum run in lanes, so that they are vector code and
// always the same order.
BASE_CLONES static void soften_row(float *y, const float *x, int64_t n) {
    float top[LANES], sum[LANES] = {0}, highest, total = 0;
    const int64_t whole = n / LANES * LANES;
    for (int j = 0; j < LANES; j++) top[j] = x[0];
    for (int64_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) top[j] = x[i + j] > top[j] ? x[i + j] : top[j];
    highest = top[0];
    for (int j = 1; j < LANES; j++) highest = top[j] > highest ? top[j] : highest;
    for (int64_t i = whole; i < n; i++) highest = x[i] > highest ? x[i] : highest;
    for (int64_t i = 0; i < n; i++) y[i] = vec_exp(x[i] - highest);
    for (int64_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) sum[j] += y[i + j];
    for (int64_t i = whole; i < n; i++) total += y[i];
    for (int j = 0; j < LANES; j++) total += sum[j];
    const float share = 1 / total;
    for (int64_t i = 0; i < n; i++) y[i] *= share;
}

// `count` columns of [n x inner].
BASE_CLONES static void soften_columns(float *y, const float *x, int64_t n, int64_t inner, int64_t count) {
    float top[COLUMNS], sum[COLUMNS];
    for (int64_t j = 0; j < count; j++) {
        top[j] = x[j];
        sum[j] = 0;
    }
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = 0; j < count; j++) top[j] = x[i * inner + j] > top[j] ? x[i * inner + j] : top[j];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < count; j++) {
            const float e = vec_exp(x[i * inner + j] - top[j]);
            y[i * inner + j] = e;
            sum[j] += e;
        }
    for (int64_t j = 0; j < count; j++) sum[j] = 1 / sum[j];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < count; j++) y[i * inner + j] *= sum[j];
}

// Along `axis` the value is [outer, n, inner].
void engine_softmax_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = op_axis(s, op_attr(a, SOFTMAX_AXIS));
    const int64_t outer = op_span(s, 0, axis), n = s->dim[axis], inner = op_span(s, axis + 1, s->ndim);
    for (int64_t o = 0; o < outer; o++) {
        const float *x = a->in[0] + o * n * inner;
        float *y = a->out[0] + o * n * inner;
        if (inner == 1) soften_row(y, x, n);
        for (int64_t j = 0; inner > 1 && j < inner; j += COLUMNS)
            soften_columns(y + j, x + j, n, inner, op_min(COLUMNS, inner - j));
    }
}

// dx = y (dy - sum dy y)
void engine_softmax_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = op_axis(s, op_attr(a, SOFTMAX_AXIS));
    const int64_t outer = op_span(s, 0, axis), n = s->dim[axis], inner = op_span(s, axis + 1, s->ndim);
    for (int64_t o = 0; a->din[0] && o < outer; o++)
        for (int64_t j = 0; j < inner; j++) {
            const int64_t at = o * n * inner + j;
            double dot = 0;
            for (int64_t i = 0; i < n; i++)
                dot += (double)a->dout[0][at + i * inner] * (double)a->out[0][at + i * inner];
            for (int64_t i = 0; i < n; i++) {
                const int64_t k = at + i * inner;
                a->din[0][k] += a->out[0][k] * (a->dout[0][k] - (float)dot);
            }
        }
}
