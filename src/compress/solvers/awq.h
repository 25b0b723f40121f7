// Private to compress/: activation-aware scales and clipping.
#ifndef VISE_COMPRESS_AWQ_H
#define VISE_COMPRESS_AWQ_H

#include "compress/layer.h"

enum { AWQ_RATIOS = 20 };

typedef struct awq_search {
    const char *layer;
    const float *w;        // [rows x cols]; layers that share their inputs one below the other
    const float *h;        // [groups x cols x cols]
    const float *mean_abs; // [groups x cols] mean |x|
    int64_t rows, cols, groups;
    grid_spec grid; // sym or asym integers
    base_job *job;
    // Results.
    float *scales;              // [groups x cols]
    double history[AWQ_RATIOS]; // mean squared output error at ratio i / 20
    double ratio;
} awq_search;
bool awq_find_scales(awq_search *s, base_err *err) BASE_MUST_USE;

// Clips each group at the threshold of least output error of its own inputs, then rounds; p as for every solver.
// most (may be NULL, [rows x groups]): the thresholds.
bool awq_clip(solver_problem *p, float *most, base_err *err) BASE_MUST_USE;

#endif
