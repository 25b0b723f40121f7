// Private to compress/: pruning with weight update, alone or jointly with quantisation.
#ifndef VISE_COMPRESS_SPARSEGPT_H
#define VISE_COMPRESS_SPARSEGPT_H

#include "compress/layer.h"

typedef struct sparsegpt_problem {
    const char *layer;
    const float *w;       // [rows x cols]
    const float *ranges;  // [rows x cols] what the scales of a grid are made for; NULL: w
    const float *h;       // [cols x cols]
    const uint8_t *fixed; // 1 = kept: a mask already chosen; NULL: choose one
    const uint8_t *alive; // 0 = pruned before: goes again, and counts; NULL: all are alive
    int64_t rows, cols;
    double sparsity; // fraction of each block of columns, unless n > 0
    int64_t n, m;    // n of every m weights in a row go (of a shorter last run: so many that m - n stay); n = 0: any
    bool tail;       // n go of a shorter last run as well, as in the authors' code
    double damp;
    int64_t block;
    const grid_spec *grid; // quantise what is kept on the grids of the dense rows or groups; NULL: prune only
    base_job *job;
    // Results.
    float *out;            // [rows x cols], 0 where pruned
    uint8_t *mask;         // [rows x cols], 1 = kept
    grid_code *codes;      // [rows x cols] with a grid, else NULL
    float *scales, *zeros; // [rows x groups] with a grid
    double damping;
} sparsegpt_problem;

bool sparsegpt_solve(sparsegpt_problem *p, base_err *err) BASE_MUST_USE;

#endif
