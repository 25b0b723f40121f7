// One kernel against its float64 definition: forward, in place, with a prepared weight, and backward against central
// differences.
#ifndef VISE_TESTS_OP_CHECK_H
#define VISE_TESTS_OP_CHECK_H

#include "model/model.h"

typedef struct op_case {
    model_op op;
    const char *attrs;  // "kernel_h=3 bias=0", by the op table's names; the rest are defaults
    const char *shapes; // of the inputs, "2x3x5x5 2x3x1x1"
} op_case;

// Checks one case and fails the running test on a difference above the tolerance, naming case, tensor and place.
void op_check(const op_case *c);

#endif
