// Private to engine/: plans of memory for a stretch of nodes, weights prepared for the kernels, and work spread over
// threads. Everything that runs a graph forward (engine_forward, measuring, streams, generating) stands on this.
#ifndef VISE_EXEC_H
#define VISE_EXEC_H

#include "engine/kernels.h"

// ---- threads -----------------------------------------------------------------------------------

typedef bool (*exec_item)(void *context, int64_t item, int worker, base_err *err);
int exec_workers(void); // workers are numbered 0 .. exec_workers()-1
// Runs item 0 .. count-1, handed out in order to the workers; each runs on one thread. Stops at the first failure (the
// error of the lowest failing item is kept) and when the job is cancelled.
bool exec_parallel(int64_t count, exec_item item, void *context, base_job *job, base_err *err) BASE_MUST_USE;

// ---- plans -------------------------------------------------------------------------------------

#define EXEC_OUTER SIZE_MAX // the value lies in the caller's memory

// A convolution may take over a batch norm, an add and a relu that follow it (engine_fuse), when nothing else reads
// the values between: these then never lie in memory. Indices of nodes; -1: none.
typedef struct exec_chain {
    bool taken;                 // this node runs as part of an earlier one
    int last;                   // the last node this one takes over; itself when none
    int norm, add, other, relu; // other: the value that is added
} exec_chain;

// Where each value of nodes [from, to) lies while a micro-batch of at most n samples (t positions) runs through them.
typedef struct exec_plan {
    const model_graph *g;
    int from, to;
    int64_t n, t;
    model_shape *shapes;      // [value_count] at n, t
    size_t *offset;           // [value_count] floats into the arena, or EXEC_OUTER
    struct exec_chain *chain; // [node_count] what a convolution takes over, and which nodes are taken over
    size_t arena, scratch;    // floats
} exec_plan;

// `keep[value]` marks the results that the caller wants in its own memory (NULL: the graph's output only); values made
// before `from` are the caller's anyway.
bool exec_plan_make(exec_plan *p, const model_graph *g, int from, int to, const bool *keep, int64_t n, int64_t t,
                    base_err *err) BASE_MUST_USE;
void exec_plan_free(exec_plan *p);
// Gives each of `count` intervals of time [start, end] with a size a place such that no two that meet in time overlap
// (largest first, at the lowest offset that is free). Sizes and offsets are floats; returns the size of the whole.
size_t exec_place(int count, const size_t *size, const int *start, const int *end, size_t *offset);
// Samples in a micro-batch: what keeps the live values of nodes [from, to) in half a 2 MiB second-level cache, at least
// 1, and few enough that `total` samples give sixteen micro-batches to share out. Independent of the thread count.
bool exec_micro(const model_graph *g, int from, int to, int64_t total, int64_t t, int64_t *micro,
                base_err *err) BASE_MUST_USE;

// ---- weights and workers -----------------------------------------------------------------------

// A weight set with what its kernels want prepared (packed or transformed weights), for nodes [from, to).
typedef struct exec_weights {
    engine_weights w;
    float **prepared; // [node_count], NULL entries where a kernel wants none
    float **folded;   // [node_count] scale and shift of the batch norm a convolution takes over, else NULL
    int node_count;
} exec_weights;
bool exec_weights_make(exec_weights *x, const exec_plan *p, engine_weights w, base_err *err) BASE_MUST_USE;
void exec_weights_free(exec_weights *x);

// One worker's memory: the arena, the kernels' scratch, and shapes of micro-batches smaller than the plan's.
typedef struct exec_worker {
    float *arena, *scratch;
    model_shape *shapes;
    int64_t n, t;
    float **outer;    // [value_count] the caller's values for the micro-batch at hand
    data_batch batch; // samples fetched by this worker
} exec_worker;
exec_worker *exec_workers_make(const exec_plan *p, base_err *err) BASE_MUST_USE; // exec_workers() of them
void exec_workers_free(exec_worker *workers);

// Runs the plan's nodes for n samples (t positions each) with worker->outer set. When a value left in the caller's
// memory is not finite, runs again looking at every node and names the first that made it so.
bool exec_run(const exec_plan *p, const exec_weights *w, exec_worker *worker, int64_t n, int64_t t,
              const int32_t *tokens, base_err *err) BASE_MUST_USE;
// Shapes of all values for n samples of t positions (cached in the worker).
const model_shape *exec_shapes(const exec_plan *p, exec_worker *worker, int64_t n, int64_t t, base_err *err);

// Everything about a call but the pointers to values: node, shapes, parameters. `shapes` and `a` must outlive it.
typedef struct exec_call {
    engine_args a;
    model_shape in[MODEL_MAX_IN], out[MODEL_MAX_OUT], param[MODEL_MAX_PARAM];
} exec_call;
void exec_call_fill(exec_call *c, const model_graph *g, int node, const model_shape *shapes, engine_weights w);

// ---- input -------------------------------------------------------------------------------------

// The view's samples fit the graph's input; the batch's tokens and labels are within the tables they index.
bool exec_check_view(const model_graph *g, const data_view *view, base_err *err) BASE_MUST_USE;
bool exec_check_batch(const model_graph *g, const data_batch *batch, base_err *err) BASE_MUST_USE;
bool exec_check_model(const model *m, base_err *err) BASE_MUST_USE; // it has a graph

#endif
