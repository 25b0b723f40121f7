// Private to engine/: the parts of training beside the loop.
#ifndef VISE_TRAIN_H
#define VISE_TRAIN_H

#include "engine/backward.h"

// ---- optimizers --------------------------------------------------------------------------------

typedef struct train_update {
    double rate, momentum, beta1, beta2, epsilon, decay;
    int64_t step; // from 1
    float scale;  // gradients are multiplied by it (clipping)
} train_update;

typedef struct train_optimizer {
    const char *name, *help;
    int states; // arrays of the weights' size it keeps
    void (*update)(const train_update *u, int64_t count, const float *grad, float *w, float *const *state);
} train_optimizer;
extern const train_optimizer train_optimizers[];
const train_optimizer *train_optimizer_find(const char *name, base_err *err);

// Rate at step (from 0) of `steps`: a linear rise over the first `warmup` of them, then half a cosine down to
// final_rate * rate (Loshchilov and Hutter 2017, SGDR, eq. 5 without restarts).
double train_rate(const engine_train_options *o, int64_t step, int64_t steps);

// ---- samples -----------------------------------------------------------------------------------

// Moves, mirrors and disturbs each image of a batch [C, H, W]; what is done depends on the seed and the step alone.
void train_augment(const engine_train_options *o, const data_set *set, int64_t step, data_batch *batch);

#endif
