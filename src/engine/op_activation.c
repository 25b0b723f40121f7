// Pointwise activations and softmax. GELU: Hendrycks and Gimpel 2016; SiLU: Elfwing et al. 2017. Gradients are written
// from the input, so that forward may work in place only in inference.
#include "engine/ops.h"
#include "engine/vexp.h"

#include <math.h>

static const float root_half = 0.70710678118654752f;
static const float root_two_over_pi = 0.79788456080286536f;
static const float inverse_root_two_pi = 0.39894228040143268f;

static float relu(float x) {
    return x < 0 ? 0 : x;
}
static float relu_slope(float x) {
    return x > 0 ? 1 : 0;
}
static float tanh_slope(float x) {
    const float t = tanhf(x);
    return 1 - t * t;
}
static float gelu(float x) {
    return 0.5f * x * (1 + erff(x * root_half));
}
static float gelu_slope(float x) {
    return 0.5f * (1 + erff(x * root_half)) + x * inverse_root_two_pi * expf(-0.5f * x * x);
}
static float gelu_tanh(float x) {
    return 0.5f * x * (1 + tanhf(root_two_over_pi * (x + 0.044715f * x * x * x)));
}
static float gelu_tanh_slope(float x) {
    const float t = tanhf(root_two_over_pi * (x + 0.044715f * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * root_two_over_pi * (1 + 3 * 0.044715f * x * x);
}

#define POINTWISE(name, value, slope)                                                                                  \
    void engine_##name##_forward(const engine_args *a) {                                                               \
        const int64_t count = op_count(&a->in_shape[0]);                                                               \
        for (int64_t i = 0; i < count; i++) a->out[0][i] = value(a->in[0][i]);                                         \
    }                                                                                                                  \
    void engine_##name##_backward(const engine_args *a) {                                                              \
        const int64_t count = op_count(&a->in_shape[0]);                                                               \
        for (int64_t i = 0; a->din[0] && i < count; i++) a->din[0][i] += a->dout[0][i] * slope(a->in[0][i]);           \
    }

POINTWISE(relu, relu, relu_slope)
POINTWISE(gelu, gelu, gelu_slope)
POINTWISE(gelu_tanh, gelu_tanh, gelu_tanh_slope)
POINTWISE(tanh, tanhf, tanh_slope)

void engine_silu_forward(const engine_args *a) {
    vexp_silu(a->in[0], a->out[0], op_count(&a->in_shape[0]));
}

void engine_silu_backward(const engine_args *a) {
    if (a->din[0]) vexp_silu_slope(a->in[0], a->dout[0], a->din[0], op_count(&a->in_shape[0]));
}

void engine_sigmoid_forward(const engine_args *a) {
    vexp_sigmoid(a->in[0], a->out[0], op_count(&a->in_shape[0]));
}

void engine_sigmoid_backward(const engine_args *a) {
    if (a->din[0]) vexp_sigmoid_slope(a->in[0], a->dout[0], a->din[0], op_count(&a->in_shape[0]));
}

// Along `axis` the value is [outer, n, inner]; the largest entry is taken off before exp.
void engine_softmax_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = op_axis(s, op_attr(a, SOFTMAX_AXIS));
    const int64_t outer = op_span(s, 0, axis), n = s->dim[axis], inner = op_span(s, axis + 1, s->ndim);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t j = 0; j < inner; j++) {
            const float *x = a->in[0] + o * n * inner + j;
            float *y = a->out[0] + o * n * inner + j;
            float top = x[0], sum = 0;
            for (int64_t i = 1; i < n; i++) top = x[i * inner] > top ? x[i * inner] : top;
            for (int64_t i = 0; i < n; i++) sum += y[i * inner] = expf(x[i * inner] - top);
            for (int64_t i = 0; i < n; i++) y[i * inner] /= sum;
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
