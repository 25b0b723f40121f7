// Private to compress/: the inner loop of solvers that go column by column - sixteen rows side by side.
//
// A tile holds one block of columns of sixteen rows, turned so that a column's sixteen values are one vector: rounding
// them, and moving the columns to come, is then plain vector arithmetic without waiting for the row's last result.
//
// Column k is settled at its value moved by the errors of all before it, w_k + sum_j f[j, k] (w_j - q_j): with R^T R =
// H and f = R_kj / R_kk this is where the k-th entry of R (w - q) is 0, and settling columns in turn is Babai's nearest
// plane. Errors reach the columns of the same tile at once, those of a few blocks after each block, all others after
// these blocks, by products.
#ifndef VISE_COMPRESS_SWEEP_H
#define VISE_COMPRESS_SWEEP_H

#include "compress/layer.h"

enum { SWEEP_LANES = 16 };

// The grids that the lanes are on now.
typedef struct sweep_grid {
    const grid_spec *grid;
    float scale[SWEEP_LANES], zero[SWEEP_LANES];
} sweep_grid;

// Codes of one column's values x, and the values that they stand for.
void sweep_round(const sweep_grid *g, int64_t lanes, const float *x, grid_code *codes, float *values);

typedef struct sweep_tile {
    int64_t row, lanes;  // rows [row, row + lanes)
    int64_t from, count; // columns, in the order of processing
    float *x;            // [count x SWEEP_LANES] weights of the columns, moved by those before
    const float *first;  // [count x SWEEP_LANES] as they were at first
    sweep_grid grid;     // for the solver to keep
    grid_code *codes;    // [count x SWEEP_LANES] room for the solver
} sweep_tile;

typedef struct sweep {
    int64_t rows, cols;
    int64_t block, wide;  // columns of a tile; columns whose errors wait together for those behind, whole blocks
    const float *w;       // [rows x cols] the weights
    const int64_t *order; // [cols] column of w that is processed at each place; NULL: as they are
    float *moved;         // [rows x cols] w in the order of processing, moved by the columns before
    const float *f;       // sweep_factor
    // How many columns from `from` on are wanted at their best before the block is worked on, and what to do with them
    // (ahead [rows x span]; by one thread). NULL: none.
    int64_t (*span)(void *context, int64_t from, int64_t count);
    bool (*begin)(void *context, int64_t from, int64_t count, const float *ahead, int64_t span, base_err *err);
    // values[lanes] = what column t->from + i becomes.
    bool (*settle)(void *context, sweep_tile *t, int64_t i, float *values, base_err *err);
    bool at_once; // settle looks at columns behind t->from + i (sweep_ahead): they must know of every error before
    void *context;
    base_job *job;
} sweep;
// out[count x SWEEP_LANES]: the tile's columns from i on where the errors so far put them all together.
void sweep_ahead(const sweep *s, const sweep_tile *t, int64_t i, int64_t count, float *out);
bool sweep_run(const sweep *s, base_err *err) BASE_MUST_USE;

#endif
