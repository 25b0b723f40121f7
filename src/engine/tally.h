// Private to engine/: figures of a task summed over samples - loss, hits, and against a reference the divergence and
// the decisions that changed.
#ifndef VISE_TALLY_H
#define VISE_TALLY_H

#include "engine/exec.h"

// Sums over the targets of one micro-batch; for the intervals a sample (an image, a sequence of tokens) is a cluster.
typedef struct tally {
    int64_t targets, hits, flips;
    num_clusters loss, kl;
} tally;

// The n samples of a micro-batch: logits [n x rows x classes] of the weight set and (or NULL) of the reference, or, for
// reconstruction, outputs, with the batch's labels or inputs. each (may be NULL): [n] the samples' own parts.
bool tally_batch(tally *t, const model_graph *g, const model_shape *output, const float *logits, const float *reference,
                 const data_batch *batch, int64_t n, engine_sample *each, base_err *err) BASE_MUST_USE;
// Adds them in order.
void tally_sum(const tally *parts, int64_t count, tally *sum);
// The metric of the task with its intervals; `compared`: also against the reference.
void tally_row(const tally *t, const model_graph *g, bool compared, base_model_row *row);

#endif
