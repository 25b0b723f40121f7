// Private to compress/: which weights SpQR keeps as floats.
#ifndef VISE_COMPRESS_SPQR_H
#define VISE_COMPRESS_SPQR_H

#include "compress/layer.h"

typedef struct spqr_problem {
    const char *layer;
    const float *w; // [rows x cols]
    const float *h; // [cols x cols]
    int64_t rows, cols;
    int64_t bits, group; // of the grid the others will go to; group 0: a whole row
    bool sym;
    double threshold; // times the mean over inputs of var(w) / U_cc^2
    double damp;
    base_job *job;
    // Results.
    uint8_t *mask; // [rows x cols] 1: an outlier
    double damping;
} spqr_problem;
bool spqr_mark(spqr_problem *p, base_err *err) BASE_MUST_USE;

#endif
