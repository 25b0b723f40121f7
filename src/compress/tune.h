// Private to compress/: layers of integer codes whose weights, scales and zero points are learned (tune.c).
#ifndef VISE_TUNE_H
#define VISE_TUNE_H

#include "compress/blockwise.h"

// One layer: codes on an even grid, in a term by themselves or in a container of kept weights. Arrays of `n` are of
// the stored weights, of `groups` of the scales.
typedef struct tuned {
    int layer, param, block;
    term *root, *leaf; // a copy of the layer's term, and what in it holds the codes
    size_t n, groups;
    int64_t *at;                 // [n] place in the weight [out x in]
    int32_t *group;              // [n]
    float *w;                    // [n] weights behind the codes
    float *scale, *zero;         // [groups] as they are learned
    float *scale_now, *zero_now; // [groups] as they would be stored
    float least, top;            // smallest scale; largest code
    float *code;                 // [n]
    float *soft;                 // [out x in] what all this stands for
    float *dw, *ds, *dz;         // gradients
    float *moments;              // Adam's: m1 and m2 of dw, ds, dz, one after another
    float *best_code, *best_scale, *best_zero;
    bool zeros;  // zero points are stored
    bool better; // something better than the run's was found
} tuned;

// NULL: the layer can take part; else why not.
const char *tune_why_not(const compress_result *r, int index);
// frozen: codes stay (no room for weights' gradients is made).
bool tune_open(tuned *t, const compress_result *r, int index, int block, bool frozen, base_err *err) BASE_MUST_USE;
void tune_close(tuned *t);
// soft (and, unless frozen, codes) from the weights, scales and zero points.
void tune_round(tuned *t, bool frozen);
void tune_clear(tuned *t, bool frozen);
// Adds the gradients that a gradient [out x in] of the weight gives.
void tune_gather(tuned *t, const float *gradient, bool frozen);
// One step of Adam; rates of weights and of scales and zero points.
void tune_step(tuned *t, int64_t step_no, double rate, double quant_rate, bool zeros, bool frozen);
void tune_keep(tuned *t);    // what it is now is the best so far
void tune_restore(tuned *t); // back to the best: codes, scales and zero points
// The best into the result; the layer's row follows.
bool tune_store(tuned *t, compress_result *r, base_err *err) BASE_MUST_USE;

// The whole network (tune_whole.c), with `w` as its weights: they may change between calls.
typedef struct whole_net {
    const model *m;
    const data_view *calib;
    base_job *job;
    const float *const *w;
    engine_apart *apart;
    data_batch batch;
    float *own, *dout; // outputs of a few samples, their gradient
    size_t room;
    bool divergence; // KL to the original's outputs, else the loss of the labels
} whole_net;
bool whole_open(whole_net *h, const compress_result *r, const data_view *calib, const float *const *w,
                const bool *wanted, bool divergence, base_job *job, base_err *err) BASE_MUST_USE;
void whole_close(whole_net *h);
bool whole_measure(whole_net *h, double *out, base_err *err) BASE_MUST_USE; // the mean over all targets
// Of the sum over the targets of samples [at, at + count), over their count; `each` as in block_window_gradients.
bool whole_gradients(whole_net *h, int64_t at, int64_t count, block_gradient each, void *context,
                     base_err *err) BASE_MUST_USE;

#endif
