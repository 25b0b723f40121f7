// Private to compress/: one-dimensional weighted k-means.
#ifndef VISE_COMPRESS_KMEANS_H
#define VISE_COMPRESS_KMEANS_H

#include "compress/layer.h"

typedef struct kmeans_options {
    int64_t centers;    // k
    bool exact;         // the global optimum by dynamic programming (up to KMEANS_EXACT_MOST values), else Lloyd
    int64_t iterations; // Lloyd: at most this many
} kmeans_options;
enum { KMEANS_EXACT_MOST = 16384 };

// Minimises sum weight_i (x_i - center[label_i])^2. weight NULL: all 1; entries of weight 0 do not count but are
// labelled. Centers rise; fewer distinct values than k repeat the last one. labels [count]; *inertia may be NULL.
bool kmeans_solve(const float *x, const float *weight, int64_t count, const kmeans_options *o, float *centers,
                  uint16_t *labels, double *inertia, base_job *job, base_err *err) BASE_MUST_USE;

#endif
