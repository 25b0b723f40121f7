// The table of kernels: one row an op, in the order of model_op. Adding an op is one file plus one row here and one in
// model_ops; tests/engine/test_ops.c walks the table and fails on an op without a gradient test.
#include "engine/kernels.h"

#include "engine/ops.h"

#define PAIR(name) .forward = engine_##name##_forward, .backward = engine_##name##_backward

const engine_kernel engine_kernels[MODEL_OPS] = {
    [MODEL_LINEAR] = {PAIR(linear)},
    [MODEL_CONV2D] = {PAIR(conv2d), .scratch = engine_conv2d_scratch, .prepared = engine_conv2d_prepared,
                      .prepare = engine_conv2d_prepare},
    [MODEL_BATCH_NORM] = {PAIR(batch_norm), .scratch = engine_batch_norm_scratch, .save = engine_batch_norm_save,
                          .whole_batch = true, .in_place = true},
    [MODEL_LAYER_NORM] = {PAIR(layer_norm), .save = engine_layer_norm_save, .in_place = true},
    [MODEL_RMS_NORM] = {PAIR(rms_norm), .save = engine_rms_norm_save, .in_place = true},
    [MODEL_EMBEDDING] = {PAIR(embedding)},
    [MODEL_POSITION] = {PAIR(position), .in_place = true},
    [MODEL_RELU] = {PAIR(relu), .in_place = true},
    [MODEL_GELU] = {PAIR(gelu), .in_place = true},
    [MODEL_GELU_TANH] = {PAIR(gelu_tanh), .in_place = true},
    [MODEL_SILU] = {PAIR(silu), .in_place = true},
    [MODEL_TANH] = {PAIR(tanh), .in_place = true},
    [MODEL_SIGMOID] = {PAIR(sigmoid), .in_place = true},
    [MODEL_SOFTMAX] = {PAIR(softmax), .in_place = true},
    [MODEL_ADD] = {PAIR(add), .in_place = true},
    [MODEL_MUL] = {PAIR(mul), .in_place = true},
    [MODEL_CONCAT] = {PAIR(concat)},
    [MODEL_SPLIT] = {PAIR(split)},
    [MODEL_RESHAPE] = {PAIR(reshape), .in_place = true},
    [MODEL_TRANSPOSE] = {PAIR(transpose)},
    [MODEL_SLICE] = {PAIR(slice)},
    [MODEL_PAD] = {PAIR(pad)},
    [MODEL_MAX_POOL] = {PAIR(max_pool), .scratch = engine_pool_scratch},
    [MODEL_AVG_POOL] = {PAIR(avg_pool), .scratch = engine_pool_scratch},
    [MODEL_GLOBAL_POOL] = {PAIR(global_pool)},
    [MODEL_ROPE] = {PAIR(rope), .scratch = engine_rope_scratch, .in_place = true},
    [MODEL_ATTENTION] = {PAIR(attention), .scratch = engine_attention_scratch, .save = engine_attention_save},
    [MODEL_CROSS_ENTROPY] = {PAIR(cross_entropy)},
    [MODEL_MSE] = {PAIR(mse)},
};
