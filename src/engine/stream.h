// Private to engine/: what a stream holds. Samples are grouped in blocks; the sequences of a block have one length, so
// there is no padding anywhere in a stream.
#ifndef VISE_STREAM_H
#define VISE_STREAM_H

#include "engine/exec.h"

typedef struct stream_block {
    int64_t from, n, t;        // samples [from, from + n) of the view, t positions each (1 for features)
    const model_shape *shapes; // [value_count] at n, t; owned by stream_shapes
} stream_block;

typedef struct stream_shapes {
    int64_t n, t;
    model_shape *shapes;
} stream_shapes;

struct engine_stream {
    const model *m;
    const model_graph *g;
    const float **w;       // [param_count]
    int next;              // the first node not yet run
    int kept;              // the last position that is in the cache
    engine_prefix *prefix; // up to `next`; NULL: the samples have no hash
    stream_block *block;
    int64_t block_count;
    int64_t most_n, most_t; // of any block
    stream_shapes *shapes;  // the distinct (n, t)
    int64_t shape_count;
    int32_t *tokens; // all sequences one after another, or NULL
    int64_t token_count;
    int64_t *token_at;   // [blocks] where each block's tokens begin
    float **value;       // [value_count] all blocks one after another; NULL: not held
    size_t *value_count; // [value_count] floats in it
    int *last_use;       // [value_count] the last node reading it; node_count for the output
};

// Where block b's part of a value begins, in floats.
size_t stream_at(const engine_stream *s, int value, int64_t block);

// A stream on its way from where it stands to `to`, block by block.
typedef struct stream_stretch {
    engine_stream *s;
    int to, shown;
    bool *made, *outer; // [value_count] held from here on; left outside of the workers' arenas
    exec_plan plan;
    exec_weights weights;
    exec_worker *workers;
    size_t *start; // [value_count x blocks] where a block's part of a value begins
} stream_stretch;
// shown: a value made on the way that the caller wants to see (-1: none). To be closed also when opening failed.
bool stream_stretch_open(stream_stretch *r, engine_stream *s, int to, int shown, base_err *err) BASE_MUST_USE;
// Where `shown` is not held anyway it is left in the given memory, else in worker's `outer`.
bool stream_stretch_run(const stream_stretch *r, int64_t block, int worker, float *shown, base_err *err) BASE_MUST_USE;
void stream_stretch_close(stream_stretch *r, bool ok); // ok: the stream now stands before `to`
// engine_stream_advance without looking into the cache.
bool stream_run_to(engine_stream *s, int node, base_job *job, base_err *err) BASE_MUST_USE;
// What two streams that have taken a stretch side by side owe their prefixes and the cache.
void stream_arrive(engine_stream *s, base_job *job);
// The value is there to be read (the stream stands before `node`, which reads it).
bool stream_has(const engine_stream *s, int node, base_err *err) BASE_MUST_USE;

#endif
