// What every op means, in float64 and straight loops written from its definition, so that kernels and their gradients
// can be compared with something that shares no code with them.
#ifndef VISE_TESTS_OP_REFERENCE_H
#define VISE_TESTS_OP_REFERENCE_H

#include "model/model.h"

typedef struct reference_args {
    const model_node *node;
    const model_shape *in_shape, *out_shape;
    const double *in[MODEL_MAX_IN];
    const int32_t *tokens, *labels;
    double *out[MODEL_MAX_OUT];
    const double *param[MODEL_MAX_PARAM]; // NULL: absent
    bool training;
    double smoothing;
    double running[2][64]; // training batch norm: the running statistics after the batch
} reference_args;

typedef void (*reference_op)(reference_args *a);
extern const reference_op reference_ops[MODEL_OPS];

#endif
