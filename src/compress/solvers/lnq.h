// Private to compress/: books of values, one for each row, and codes into them under the whole second moment (lnq.c).
#ifndef VISE_COMPRESS_LNQ_H
#define VISE_COMPRESS_LNQ_H

#include "compress/layer.h"

typedef struct lnq_work {
    const char *layer;
    base_job *job;
    const float *w;      // [rows x cols] target; where the mask is 0 the value stays 0, whatever w is
    const uint8_t *mask; // [rows x cols] or NULL: all are kept
    const float *h;      // [groups x cols x cols]
    int64_t rows, cols, groups, levels;
    float *centers;       // [rows x levels] in and out
    uint8_t *codes;       // [rows x cols] in and out; those of pruned weights mean nothing
    bool half;            // centers end as float16 holds them
    double damp;          // of the start by feedback
    double damping;       // out: what it took
    int64_t turns;        // of books and codes
    double before, after; // out: tr((W - Q) H (W - Q)^T) of the given codes, and in the end
} lnq_work;

// Never raises the error of a row, but for what float16 rounds.
bool lnq_solve(lnq_work *k, base_err *err) BASE_MUST_USE;

#endif
