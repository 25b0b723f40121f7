// Private to engine/: what one op does to one micro-batch, on one thread. Each op's forward and backward are rows of
// engine_kernels, in the order of model_op.
//
// Conventions between kernels and the executor:
// - Shapes are taken as model_ops[].infer made them; kernels do not check them again.
// - Backward sees the same in, out, param, tokens, labels, training and save as forward did.
// - Losses write ONE float, the SUM over labelled targets (mse: over all values) of the micro-batch, to out[0][0] and
//   multiply their gradient by dout[0][0]; the executor passes 1 / (targets of the whole batch) there, so that the sum
//   over micro-batches is the mean. Labels outside [0, classes) are ignored. `smoothing` mixes the one-hot target with
//   the uniform one (Szegedy et al. 2016, section 7); 0 for measuring.
// - Parameters stand at the place of their suffix; param[k] and dparam[k] are NULL where node->param[k] is -1 or
//   k >= param_count (no bias, a batch norm that is not affine).
// - add and mul broadcast as numpy does: shapes aligned at the last dimension, sizes equal or 1.
// - A token outside the embedding's table gives a row of NaN, which the executor reports as it does any NaN.
// - `prepared` depends on node, shapes and param only; forward works with NULL too (then it packs into scratch).
//   scratch is asked for after `prepared` is set or left NULL, with the same shapes as the call that follows.
#ifndef VISE_ENGINE_KERNELS_H
#define VISE_ENGINE_KERNELS_H

#include "engine/engine.h"

// What conv2d may do to its result before it is stored, in this order (inference): the executor lets it take over a
// batch norm, an add and a relu that follow.
typedef struct engine_fuse {
    const float *scale, *shift; // [channels] y = y scale + shift; NULL: none
    const float *add;           // [as out] y = y + add; NULL: none. Not the output's own memory
    bool relu;
} engine_fuse;

typedef struct engine_args {
    const model_node *node;
    const model_shape *in_shape;    // [in_count], with the micro-batch's N (and T)
    const model_shape *out_shape;   // [out_count]
    const model_shape *param_shape; // [param_count]
    const float *in[MODEL_MAX_IN];  // float inputs; NULL where the input is tokens
    const int32_t *tokens;          // [N x T] when input 0 is the token input
    const int32_t *labels;          // losses: [N] or [N x T], -1 ignored
    float *out[MODEL_MAX_OUT];
    const float *param[MODEL_MAX_PARAM];
    // backward only; NULL where not wanted; all are ADDED to (the executor zeroes them)
    const float *dout[MODEL_MAX_OUT];
    float *din[MODEL_MAX_IN];
    float *dparam[MODEL_MAX_PARAM];
    float smoothing;   // cross-entropy: label smoothing
    bool training;     // batch norm over the batch (then called once for the whole batch)
    float *running[2]; // training batch norm: running mean, variance to update, or NULL
    float *save;       // [save_count] written by forward, read by backward; NULL in inference
    float *scratch;    // [scratch_count] floats, 64-byte aligned
    // Prepared form of the weight (packed for the kernel), made once per weight set by `prepare`; NULL when none.
    const float *prepared;
    const engine_fuse *fuse; // conv2d only; NULL: nothing
} engine_args;

typedef struct engine_kernel {
    void (*forward)(const engine_args *a);
    void (*backward)(const engine_args *a);
    size_t (*scratch)(const engine_args *a);  // floats needed by either; NULL: none
    size_t (*save)(const engine_args *a);     // floats kept for backward; NULL: none
    size_t (*prepared)(const engine_args *a); // floats of the prepared weight; NULL: none
    void (*prepare)(const engine_args *a, float *prepared);
    bool whole_batch; // training: must see the whole batch at once (batch norm)
    bool in_place;    // inference: out may alias in[0]
} engine_kernel;
extern const engine_kernel engine_kernels[MODEL_OPS];

// Scale and shift [channels] that a batch norm with its running statistics comes to.
void engine_batch_norm_fold(const engine_args *a, float *scale, float *shift);

// Patches of images [n, c, h, w] of channels [c0, c0+cg) for a convolution node: rows [positions x cg*kh*kw].
void engine_unfold(const model_node *node, const model_shape *in, const float *x, int64_t image, int64_t c0, int64_t cg,
                   float *rows);

#endif
