// Private to compress/: learned rounding.
#ifndef VISE_COMPRESS_ADAROUND_H
#define VISE_COMPRESS_ADAROUND_H

#include "compress/layer.h"

typedef struct adaround_options {
    int64_t iterations; // full-batch steps of Adam
    double rate;        // learning rate
    double weight;      // of the regulariser
    double start, end;  // annealed exponent, 20 to 2
    double warmup;      // fraction of the steps without the regulariser
} adaround_options;

// p->scales and p->zeros hold fitted parameters (one a row or group, as uniform_groups_per_row); p->h one moment.
bool adaround_solve(solver_problem *p, const adaround_options *o, base_err *err) BASE_MUST_USE;

#endif
