// Private to compress/: second-order solvers that go column by column, and the factor they share.
#ifndef VISE_COMPRESS_GPTQ_H
#define VISE_COMPRESS_GPTQ_H

#include "compress/layer.h"

typedef struct gptq_options {
    double damp;        // added to the diagonal, as a fraction of its mean; raised (and reported) until H factors
    int64_t block;      // columns between two updates of the rest; group parameters see the weights as of then
    bool act_order;     // columns in order of falling diag H
    bool static_groups; // group parameters from the weights before any column is done
    bool fitted;        // p->scales and p->zeros hold the parameters of whole rows already
} gptq_options;

// U upper triangular with (H + damping)^-1 = U^T U, the order of columns given by `order` (NULL: as they are); rows of
// U carry the error of a column to the later ones. Columns with H_ii = 0 are given H_ii = 1. u is [n x n] float32.
bool gptq_factor(const char *layer_name, int64_t n, const float *h, const int64_t *order, double damp, float *u,
                 double *damping, base_job *job, base_err *err) BASE_MUST_USE;

// p->scales and p->zeros must have room for rows x groups, groups = ceil(cols / group) (1 for a whole row). With
// act_order and moving groups the groups are runs of the processing order; `order` (may be NULL, [cols]) receives it.
bool gptq_solve(solver_problem *p, const gptq_options *o, int64_t *order, base_err *err) BASE_MUST_USE;

#endif
