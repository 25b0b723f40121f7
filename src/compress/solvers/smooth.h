// Private to compress/: smoothing scales searched on a grid.
#ifndef VISE_COMPRESS_SMOOTH_H
#define VISE_COMPRESS_SMOOTH_H

#include "compress/layer.h"

typedef struct smooth_search {
    const char *layer;
    const float *w, *h;   // [rows x cols], [groups x cols x cols]
    const float *max_abs; // [groups x cols] largest |x|
    int64_t rows, cols, groups;
    grid_spec grid; // of the rounding that follows
    int64_t rank;   // of the low-rank branch that goes before it; 0: none
    int64_t grids;  // exponents are multiples of 1 / grids
    base_job *job;
    // Results.
    float *scales;      // [groups x cols] what the columns are multiplied with
    double alpha, beta; // 0, 0: no scales
    double plain, best; // output error without and with them
} smooth_search;
bool smooth_find_scales(smooth_search *s, base_err *err) BASE_MUST_USE;

#endif
