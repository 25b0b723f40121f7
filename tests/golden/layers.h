// Private to the golden runner: layers with their inputs, and what variants of codes and masks ask for.
#ifndef VISE_TESTS_GOLDEN_LAYERS_H
#define VISE_TESTS_GOLDEN_LAYERS_H

#include "compress/layer.h"
#include "kinds.h"

// A scalar array, left as it is where the file has none; false: it is not one finite number.
bool golden_scalar_of(const golden_file *f, const char *v, const char *array, double *value, base_err *err);

// ---- layer.c: a layer and its inputs ------------------------------------------------------------------------

// W, its rows flattened. base_big_free.
float *golden_weights(const golden_file *f, int64_t *rows, int64_t *cols, base_err *err);

typedef struct golden_layer {
    const golden_file *f;
    int64_t rows, cols, n; // n: inputs seen; 0 when the file has only H
    float *w;              // [rows x cols]
    float *h;              // [cols x cols] the file's H, or as the authors' add_batch scales it: 2 / nbatches X^T X
    double *moment;        // [cols x cols] X^T X
    double whole;          // sum (W x)^2
    bool dead;             // some input never fires
} golden_layer;
bool golden_layer_open(golden_layer *l, const golden_file *f, base_err *err);
void golden_layer_close(golden_layer *l);                         // also after a failure
double golden_layer_error(const golden_layer *l, const float *q); // sum ((W - Q) x)^2 in float64
// Whether the error found in the file's own result is the one it states, but for what float64 loses of `whole`; true
// where it states none.
bool golden_agrees(const golden_file *f, const char *v, const char *array, double error, double whole, base_err *err);
double golden_ratio(double ours, double theirs); // 1 where both are 0
// The layer with H (1 + 1e-6 N) and W (1 + 6e-8 N), which is how the vectors' own self_agree was measured: no more can
// be asked of a variant than that our own answer keeps under it. base_big_free its w and h.
void golden_layer_shake(const golden_layer *l, uint64_t seed, golden_layer *out, base_err *err);

// ---- options.c: what a variant asks for, by its name, or by its arrays where the name does not say ----------

typedef struct golden_quant { // codes on a grid
    int64_t groups, group;    // groups of a row; columns of one, 0: not known
    int64_t most;             // largest code
    int64_t *code;            // [rows x cols]
    float *scale, *zero;      // [rows x groups], or one of each for all
    bool tensor;
    int64_t *index; // [cols] group of each column
    int64_t *perm;  // [cols] order of processing; NULL: not stored
    float *q;       // [rows x cols] scale (code - zero)
} golden_quant;
bool golden_quant_open(golden_quant *q, const golden_file *f, const char *v, int64_t rows, int64_t cols, base_err *err);
void golden_quant_close(golden_quant *q); // also after a failure

typedef struct golden_grid {
    grid_spec spec;
    bool act, fixed; // fixed: groups are those of the original columns, fitted before anything moves
    double fit;      // share of the ranges known beforehand that this grid gives
} golden_grid;
enum { GOLDEN_GRIDS = 128 };
// All grids that the name allows and that give the file's ranges best; 0: none gives them. w: [rows x cols] as the
// ranges of rows see it, zeroed: as those of groups do (dead inputs 0). plain: every range is known beforehand.
int golden_grids(const golden_quant *q, const char *v, const float *w, const float *zeroed, int64_t rows, int64_t cols,
                 bool plain, golden_grid *grids);
// The ranges of whole rows, or of fixed groups, into scales and zeros [rows x groups] as our quantiser finds them.
// Where the file has a neighbouring step of the mse search of the same error within 1e-5, or the authors' symmetric
// range of weights none of which is negative (half as wide), that is taken, and counted.
// Returns the share of ranges that the file has too, groups of nothing but zeros apart.
double golden_ranges(const golden_quant *q, const golden_grid *g, const float *w, int64_t rows, int64_t cols,
                     float *scales, float *zeros, int64_t *taken);

typedef struct golden_sparse { // what goes
    double sparsity;           // of all, unless n
    int64_t n, m, block;       // n of every m; runs of `block` go together
    int64_t bits;              // of the joint quantisation; 0: none
} golden_sparse;
// The numbers of a word and the next: golden_pair("nm2_4", "nm", &n, &m).
bool golden_pair(const char *v, const char *prefix, int64_t *a, int64_t *b);
// n of every m in all whole runs of the mask (1: gone), m the least that holds.
bool golden_runs(const int64_t *mask, int64_t rows, int64_t cols, int64_t *n, int64_t *m);

#endif
