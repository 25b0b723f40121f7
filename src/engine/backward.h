// Private to engine/: a training step's memory, kept from step to step.
#ifndef VISE_BACKWARD_H
#define VISE_BACKWARD_H

#include "engine/exec.h"

typedef struct backward backward;
// For batches of exactly n samples and t positions.
backward *backward_make(const model_graph *g, int64_t n, int64_t t, bool training, base_err *err) BASE_MUST_USE;
void backward_free(backward *b);
bool backward_fits(const backward *b, const data_batch *batch, bool training);
// grad[p] is overwritten with the gradient of the mean loss (NULL: not wanted).
bool backward_run(backward *b, engine_weights w, const data_batch *batch, double label_smoothing, float *const *grad,
                  float *const *mutable_w, double *loss, base_job *job, base_err *err) BASE_MUST_USE;

#endif
