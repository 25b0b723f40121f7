// Private to compress/: what the criteria of the prune step share.
#ifndef VISE_COMPRESS_PRUNE_H
#define VISE_COMPRESS_PRUNE_H

#include "compress/layer.h"

// A layer while a criterion decides about it.
typedef struct prune_work {
    const compress_step *step;
    const layer *l;
    const float *target;  // [rows x cols] what is pruned
    uint8_t *mask;        // [rows x cols] in: 1 = not pruned before; out: 1 = kept
    bool first;           // nothing was pruned before, and the mask holds nothing yet
    bool gather;          // what stays is stored as float32 of the target
    term *kept;           // with `gather`: what stays, gathered while it was chosen; NULL: not yet. Owned
    term *positions;      // the mask in the form it is stored in, where the choice made it; NULL: not yet. Owned
    float *values;        // [rows x cols] the kept weights as the criterion changed them; NULL: as they were. Owned
    solver_problem joint; // codes, scales and zeros (owned), grid: what is kept, quantised by the criterion; codes
                          // NULL: it did not
    double damping;
} prune_work;

typedef struct prune_criterion {
    const char *name;
    unsigned needs; // COMPRESS_NEEDS_*
    bool updates;   // changes the weights it keeps
    bool starts;    // writes a first mask itself
    bool (*choose)(prune_work *p, base_err *err);
} prune_criterion;

// Units that stay or go as a whole: rows, columns of a convolution group, groups of inputs, blocks. false: no pattern.
typedef struct prune_unit {
    int64_t height, length;
} prune_unit;
bool prune_unit_of(const compress_step *s, int64_t rows, int64_t cols, int64_t groups, prune_unit *u);
int64_t prune_unit_count(prune_unit u, int64_t rows, int64_t cols);
int64_t prune_unit_at(prune_unit u, int64_t cols, int64_t row, int64_t col); // the unit a weight belongs to
// The floor(units * sparsity) units with the least mean score go; those already gone first, then in order.
bool prune_units(const float *score, int64_t rows, int64_t cols, prune_unit u, double sparsity, uint8_t *mask,
                 base_err *err) BASE_MUST_USE;

// Scores add up over a unit. score [rows x cols].
bool prune_scores(const prune_work *p, float *score, base_err *err) BASE_MUST_USE;
bool prune_by_score(prune_work *p, base_err *err); // the criteria that have nothing but a score
bool prune_by_icbs(prune_work *p, base_err *err);
// Changes the kept weights so that they make up for those that went (sparsegpt's sweep on the mask as it is).
bool prune_update(prune_work *p, base_err *err) BASE_MUST_USE;
// How many weights each of `layers` matrices loses by the PQ index of its weights (prune_share.c).
bool prune_pq_counts(const compress_step *s, const float *const *w, const int64_t *n, int layers, int64_t *counts,
                     base_err *err) BASE_MUST_USE;
double prune_pq_index(const float *magnitude, int64_t n, double p, double q); // 0: dense and even .. 1: one weight
bool prune_by_magnitude(prune_work *p, base_err *err);
bool prune_by_wanda(prune_work *p, base_err *err);
bool prune_by_sparsegpt(prune_work *p, base_err *err);
bool prune_by_obs(prune_work *p, base_err *err);

// Keeps the n largest of every m neighbours of a row; of equal ones the later.
void prune_runs(const float *score, int64_t rows, int64_t cols, int64_t n, int64_t m, uint8_t *mask);
// The int(cols * sparsity) smallest of each row go; of equal ones the first.
void prune_rows(const float *score, int64_t rows, int64_t cols, double sparsity, uint8_t *mask);
// The same of the scores |w| norm of its input, made row by row.
// first: the mask holds nothing yet, and what else is wanted is written with it; else the mask alone is changed.
void prune_wanda_rows(const float *w, const float *norm, int64_t rows, int64_t cols, double sparsity, bool first,
                      const num_kept *out);
// score = |w| norm of its input.
void prune_wanda_scores(const float *w, const float *norm, int64_t rows, int64_t cols, float *score);
// From each row the smallest scores go that make up a share alpha of the row's sum; alpha by bisection (0 to 0.8,
// within 0.001 of the sparsity), as the authors' use_variant.
bool prune_wanda_variant(const float *score, int64_t rows, int64_t cols, double sparsity, uint8_t *mask,
                         base_err *err) BASE_MUST_USE;

#endif
