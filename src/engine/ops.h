// Private to engine/: the kernels that kernels.c puts in its table, and the small helpers they share. Each op's maths
// stands in its own op_*.c or conv*.c file.
#ifndef VISE_ENGINE_OPS_H
#define VISE_ENGINE_OPS_H

#include "engine/kernels.h"

#define ENGINE_OP(name)                                                                                                \
    void engine_##name##_forward(const engine_args *a);                                                                \
    void engine_##name##_backward(const engine_args *a)

ENGINE_OP(linear);
ENGINE_OP(conv2d);
ENGINE_OP(batch_norm);
ENGINE_OP(layer_norm);
ENGINE_OP(rms_norm);
ENGINE_OP(embedding);
ENGINE_OP(position);
ENGINE_OP(relu);
ENGINE_OP(gelu);
ENGINE_OP(gelu_tanh);
ENGINE_OP(silu);
ENGINE_OP(tanh);
ENGINE_OP(sigmoid);
ENGINE_OP(softmax);
ENGINE_OP(add);
ENGINE_OP(mul);
ENGINE_OP(concat);
ENGINE_OP(split);
ENGINE_OP(reshape);
ENGINE_OP(transpose);
ENGINE_OP(slice);
ENGINE_OP(pad);
ENGINE_OP(max_pool);
ENGINE_OP(avg_pool);
ENGINE_OP(global_pool);
ENGINE_OP(rope);
ENGINE_OP(attention);
ENGINE_OP(cross_entropy);
ENGINE_OP(mse);

size_t engine_conv2d_scratch(const engine_args *a);
size_t engine_conv2d_prepared(const engine_args *a);
void engine_conv2d_prepare(const engine_args *a, float *prepared);
size_t engine_batch_norm_scratch(const engine_args *a);
size_t engine_batch_norm_save(const engine_args *a);
size_t engine_layer_norm_save(const engine_args *a);
size_t engine_rms_norm_save(const engine_args *a);
size_t engine_pool_scratch(const engine_args *a);
size_t engine_rope_scratch(const engine_args *a);
size_t engine_attention_scratch(const engine_args *a);
size_t engine_attention_save(const engine_args *a);

static inline int64_t op_attr(const engine_args *a, int i) {
    return (int64_t)a->node->attr[i];
}

// An axis attribute as an index; negative counts from the end.
static inline int op_axis(const model_shape *s, int64_t axis) {
    return (int)(axis < 0 ? axis + s->ndim : axis);
}

// Product of dims [from, to).
static inline int64_t op_span(const model_shape *s, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= s->dim[i];
    return product;
}

static inline int64_t op_count(const model_shape *s) {
    return op_span(s, 0, s->ndim);
}

static inline int64_t op_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t op_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// Rows of a value seen as [rows x last dimension].
static inline int64_t op_rows(const model_shape *s) {
    return op_span(s, 0, s->ndim - 1);
}

#endif
