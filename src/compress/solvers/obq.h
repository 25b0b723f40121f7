// Private to compress/: exact greedy order, one weight of a row at a time.
#ifndef VISE_COMPRESS_OBQ_H
#define VISE_COMPRESS_OBQ_H

#include "compress/layer.h"

enum { OBQ_MOST_COLUMNS = 2048 }; // a row costs cols^3

// Quantise on the grids in p->scales and p->zeros, of rows or groups of a row, fitted here unless `fitted` (one a row
// then). Pruned weights (mask 0) become 0 before anything is rounded. p->codes as for every solver. ridge: added to the
// diagonal of a singular H, as the authors add 1 to theirs of 2 / batches X^T X; 0: the damping is raised until it is
// not.
bool obq_quantize(solver_problem *p, double damp, double ridge, bool fitted, base_err *err) BASE_MUST_USE;

typedef struct obq_prune_problem {
    const char *layer;
    const float *w, *h; // [rows x cols], [cols x cols]
    int64_t rows, cols;
    double sparsity, damp; // fraction of all weights; damping as a fraction of the mean diagonal
    double ridge;          // as for obq_quantize
    int64_t n, m;          // n of every m go (n > 0; of a shorter last run so many that m - n stay), else unstructured
                           // over all rows together
    const uint8_t *alive;  // 0 = pruned before: goes again, and counts; NULL: all are alive
    int64_t block;         // weights that go together (1: single ones)
    base_job *job;
    float *out;    // [rows x cols]
    uint8_t *mask; // 1 = kept
    double damping;
} obq_prune_problem;
bool obq_prune(obq_prune_problem *p, base_err *err) BASE_MUST_USE;

#endif
