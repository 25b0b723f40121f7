// ops (private to model/): what the op table's row is made of, written in infer.c and used by ops.c.
#ifndef VISE_MODEL_OPS_H
#define VISE_MODEL_OPS_H

#include "model/model.h"

typedef bool ops_infer(const model_node *node, const model_shape *in, model_shape *out, base_err *err);
ops_infer ops_infer_linear, ops_infer_conv2d, ops_infer_batch_norm, ops_infer_last_norm, ops_infer_embedding,
    ops_infer_position, ops_infer_same, ops_infer_softmax, ops_infer_broadcast, ops_infer_concat, ops_infer_split,
    ops_infer_reshape, ops_infer_transpose, ops_infer_slice, ops_infer_pad, ops_infer_pool, ops_infer_global_pool,
    ops_infer_rope, ops_infer_attention, ops_infer_cross_entropy, ops_infer_mse;

// Axis `a` of a value with ndim dimensions, negative from the end; -1 when it is the batch or outside.
int ops_axis(double a, int ndim);
// Fails with "node 'NAME' (OP): ..." and returns false.
bool ops_fail(const model_node *node, base_err *err, const char *fmt, ...) BASE_PRINTF(3, 4);

#endif
