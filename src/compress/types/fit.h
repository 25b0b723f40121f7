// Private to compress/: completing a type with what depends on the layer.
#ifndef VISE_COMPRESS_FIT_H
#define VISE_COMPRESS_FIT_H

#include "compress/types/types.h"

// Sets type->param (power, tanh) or levels[2^bits] (quantile) from the weights of p, in p's groups.
bool type_fit(const solver_problem *p, table_type *type, float *levels, base_err *err) BASE_MUST_USE;

#endif
