// Private to compress/: a network cut into blocks, and windows of blocks whose outputs are compared with the original
// network's while their weights are learned (reconstruct.c, tune.c).
#ifndef VISE_BLOCKWISE_H
#define VISE_BLOCKWISE_H

#include "compress/result.h"

typedef struct blockwise {
    compress_result *r;
    const data_view *calib;
    base_job *job;
    const float **w; // [weight_count] weights as they are now
    int blocks;
    int *end;       // [blocks] node after which the block has ended
    int *block_of;  // [node_count]
    int64_t *first; // [samples + 1] positions (tokens) of all samples before; features: one a sample
    engine_stream *own, *chain;
} blockwise;

// Blocks of the result's network, all samples before its first node.
bool blockwise_open(blockwise *b, compress_result *r, const data_view *calib, base_job *job,
                    base_err *err) BASE_MUST_USE;
void blockwise_close(blockwise *b);

// How the outputs of a window are compared.
enum block_loss {
    BLOCK_FISHER, // squared differences, each times (1 + |gradient of the network's divergence|)^2, as BRECQ's code
    BLOCK_BARE,   // each times the squared gradient alone (mean 1), as BRECQ's equation 10
    BLOCK_PLAIN,  // squared differences
    BLOCK_KL      // squared differences and the divergence of the softmax over channels (CBQ)
};
#define BLOCK_LOSSES "fisher|bare|plain|kl"

typedef struct block_window {
    blockwise *b;
    int from, to; // blocks
    enum block_loss loss;
    model_graph g;
    model m;
    const float *in, *target; // of all samples; in NULL: the samples themselves
    int64_t in_width, width;  // values of a position
    int64_t channels, stride; // of the output: channels of a position, values between them
    float *fisher;            // [as target] or NULL
    float *room;              // inputs of a few samples
    engine_apart *now;        // the window's nodes, with gradients of the wanted parameters
    data_batch batch;
    float *dout;
    size_t dout_room;
} block_window;

// wanted[param]: its gradient is asked for. batch: samples that the authors' code takes a mean over (BLOCK_FISHER).
bool block_window_open(block_window *w, blockwise *b, int from, int to, enum block_loss loss, int64_t batch,
                       const bool *wanted, base_err *err) BASE_MUST_USE;
void block_window_close(block_window *w);
// The loss of the window's output on all samples, relative to that of an output of zeros (its squares).
bool block_window_error(block_window *w, double *relative, base_err *err) BASE_MUST_USE;
// Calls `each` after every few samples of [at, at + count) with gradients of the loss, summed over a sample's values
// and `mean` over its positions and the samples. *error, if not NULL, gets that loss.
typedef void (*block_gradient)(void *context, const engine_apart *a, int64_t samples);
bool block_window_gradients(block_window *w, int64_t at, int64_t count, block_gradient each, void *context,
                            double *error, base_err *err) BASE_MUST_USE;

// ln sum exp of n values; KL(softmax own || softmax now), whose gradient times `over` is added to dout (NULL: none).
double block_log_sum(const float *x, int64_t n, int64_t stride);
double block_divergence(const float *now, const float *own, int64_t n, int64_t stride, double over, float *dout);

#endif
