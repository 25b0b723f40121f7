// Private to compress/: quantisation column by column.
#ifndef VISE_COMPRESS_GPTQ_H
#define VISE_COMPRESS_GPTQ_H

#include "compress/solvers/factor.h"

typedef struct gptq_options {
    double damp;      // added to the diagonal, as a fraction of its mean; raised (and reported) until H factors
    int64_t block;    // columns between two updates of the rest; group parameters see the weights as of then
    bool act_order;   // columns in order of falling diag H
    bool group_order; // groups by their largest diag H, and columns inside each by theirs: groups stay runs of columns
    bool static_groups; // group parameters from the weights before any column is done
    bool fitted;        // p->scales and p->zeros hold the parameters of whole rows, or of static groups, already
    float *factor;      // room [cols x cols] for f of sweep_factor, so that a next call can use it; NULL: own room
    bool factored;      // `factor` holds it already, for the same H, damp and act_order
} gptq_options;

// p->scales and p->zeros must have room for rows x groups, groups = ceil(cols / group) (1 for a whole row). With
// act_order and moving groups the groups are runs of the processing order; `order` (may be NULL, [cols]) receives it.
bool gptq_solve(solver_problem *p, const gptq_options *o, int64_t *order, base_err *err) BASE_MUST_USE;

#endif
