// Private to compress/: what the solvers that learn share - rows in tiles, the error of a candidate, the best one kept.
//
// Rows do not touch each other in tr((W-Q) H (W-Q)^T), so a few of them go through all iterations together on one
// thread: the same products whatever the number of threads. p->codes, p->scales and p->zeros always hold the best
// candidate so far, which is rounding to nearest before anything was learned: no row can end worse than that.
#ifndef VISE_COMPRESS_LEARN_H
#define VISE_COMPRESS_LEARN_H

#include "compress/layer.h"

enum { LEARN_TILE = 16 };

typedef struct learn_tile {
    solver_problem *p; // of one convolution group
    int64_t row, rows; // the rows of this tile
    int64_t length;    // columns that share a scale
    int64_t per_row;   // scales a row
    bool fixed;        // one scale for the whole tensor, or scales that are given: they must stay as they are
    // A candidate: codes [rows x cols], scales and zeros [rows x per_row].
    grid_code *codes;
    float *scales, *zeros;
    float *d, *dh;  // [rows x cols] Q - W, and (Q - W) H
    double *least;  // [rows] error of the best candidate
    double *start;  // [rows] error of rounding to nearest
    float *room;    // what the method asked for: room_per_row * rows floats
    uint64_t index; // of the tile in the layer, for seeds
} learn_tile;

typedef struct learn_method {
    const char *name;
    int64_t (*room_per_row)(const solver_problem *p);           // floats
    bool (*begin)(solver_problem *p, void *own, base_err *err); // once a group, before its tiles; NULL: nothing
    bool (*learn)(learn_tile *t, void *own, base_err *err);
} learn_method;

// rtn, then `m` on every tile of every group (an embedding stays with rtn, its minimum). Rows that learning did not
// improve stay rounded to nearest and are reported. `own` is handed through.
bool learn_solve(solver_problem *p, const learn_method *m, void *own, base_err *err) BASE_MUST_USE;

// Nearest whole number, half to even, below 2^22.
static inline float learn_round(float x) {
    return (x + 12582912.0f) - 12582912.0f;
}
// The same from codes, scales and zeros that are there; says nothing when `m` has no name.
bool learn_improve(solver_problem *p, const learn_method *m, void *own, base_err *err) BASE_MUST_USE;
// For a method's `begin`: gptq on the scales that are there; each row keeps the better of what it had and gptq's codes.
bool learn_from_gptq(solver_problem *p, base_err *err) BASE_MUST_USE;
// tr(D H D^T) of each row for the codes, scales and zeros of one group; d and dh are room for [rows x cols].
void learn_row_errors(const solver_problem *p, const grid_code *codes, const float *scales, const float *zeros,
                      float *d, float *dh, double *error);
// x of A x = b, A [n x n] symmetric positive definite once `ridge` of its mean diagonal is added; false when it is not.
// In place, the answer in b.
bool learn_solve_system(double *a, double *b, int64_t n, double ridge) BASE_MUST_USE;
// The candidate's scale of a group as it will be stored; not below what float16 holds where that is the type.
float learn_stored_scale(const grid_spec *g, float scale);
// d and dh of the tile from its codes, scales and zeros.
void learn_differences(learn_tile *t);
void learn_product(learn_tile *t);
// Keeps the rows of the candidate whose error, of d and dh as they are, is the least so far.
void learn_offer(learn_tile *t);
static inline bool learn_kept(const learn_tile *t, int64_t r, int64_t c) {
    return !t->p->mask || t->p->mask[(t->row + r) * t->p->cols + c];
}
// Steps the step asks for, or the solver's own number.
int64_t learn_iterations(const solver_problem *p, int64_t otherwise);
double learn_rate(const solver_problem *p, double otherwise);

#endif
