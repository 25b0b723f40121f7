// stream_pair: two streams with different weights taken on side by side, their outputs of one layer compared on the
// way. Block by block both run the whole stretch on one thread, so that what is compared is still in cache.
#include "engine/stream.h"

#include <stdlib.h>
#include <string.h>

// Activations that both streams may newly hold at once: taken one after the other, one frontier is freed before the
// next is made.
static const size_t most_bytes = (size_t)1 << 30;

typedef struct pair_run {
    stream_stretch l, lc;
    int value;           // the layer's output
    int64_t most;        // floats of it in a block
    float *memory;       // [workers] it, of both streams
    engine_error *sum;   // [blocks]
    int64_t out, inner;  // its channels, and values of each that lie together
    const float *b, *bc; // biases of both: no part of W x
} pair_run;

static void add(engine_error *e, const float *y, const float *yc, size_t count) {
    e->difference += num_diff_squares(y, yc, count);
    e->reference += num_sum_squares(y, count);
    e->product += num_dot(y, yc, count);
    e->compressed += num_sum_squares(yc, count);
}

// The same of y - b and yc - bc, value i of channel i / inner mod out.
static void add_unbiased(const pair_run *r, engine_error *e, const float *y, const float *yc, int64_t count) {
    enum { PIECE = 512 };
    float a[PIECE], ac[PIECE];
    for (int64_t from = 0; from < count; from += PIECE) {
        int64_t n = count - from < PIECE ? count - from : PIECE;
        for (int64_t i = 0; i < n; i++) {
            int64_t channel = (from + i) / r->inner % r->out;
            a[i] = y[from + i] - (r->b ? r->b[channel] : 0);
            ac[i] = yc[from + i] - (r->bc ? r->bc[channel] : 0);
        }
        add(e, a, ac, (size_t)n);
    }
}

static bool pair_item(void *context, int64_t item, int worker, base_err *err) {
    const pair_run *r = context;
    float *own = r->memory + 2 * worker * r->most;
    if (!stream_stretch_run(&r->l, item, worker, own, err) ||
        !stream_stretch_run(&r->lc, item, worker, own + r->most, err))
        return false;
    const float *y = r->l.workers[worker].outer[r->value], *yc = r->lc.workers[worker].outer[r->value];
    int64_t count = model_shape_count(&r->l.s->block[item].shapes[r->value]);
    if (r->b || r->bc)
        add_unbiased(r, &r->sum[item], y, yc, count);
    else
        add(&r->sum[item], y, yc, (size_t)count);
    return true;
}

static size_t frontier_bytes(const engine_stream *s, int to) {
    size_t floats = 0;
    for (int i = s->next; i < to; i++)
        for (int k = 0; k < s->g->nodes[i].out_count; k++) {
            int v = s->g->nodes[i].out[k];
            if (s->last_use[v] >= to) floats += stream_at(s, v, s->block_count);
        }
    return floats * sizeof(float);
}

static bool may_pair(const engine_stream *s, const engine_stream *c, int node, int to) {
    const model_node *n = &s->g->nodes[node];
    return (n->op == MODEL_LINEAR || n->op == MODEL_CONV2D) && s != c && s->next == node && c->next == node &&
           to > node && to <= s->g->node_count && s->block_count == c->block_count &&
           2 * frontier_bytes(s, to) <= most_bytes;
}

bool engine_stream_error_on(engine_stream *s, engine_stream *c, int node, int to, engine_error *e, bool *done,
                            base_job *job, base_err *err) {
    const model_node *n = &s->g->nodes[node];
    *done = may_pair(s, c, node, to);
    if (!*done) return true;
    pair_run r = {.value = n->out[0], .out = 1, .inner = 1};
    const model_shape *shape = model_graph_shape(s->g, r.value);
    bool conv = n->op == MODEL_CONV2D;
    r.out = shape->dim[conv ? 1 : shape->ndim - 1];
    for (int k = 2; conv && k < shape->ndim; k++) r.inner *= shape->dim[k];
    if (n->param_count > 1 && n->param[1] >= 0) r.b = s->w[n->param[1]], r.bc = c->w[n->param[1]];
    for (int64_t i = 0; i < s->block_count; i++) {
        int64_t count = model_shape_count(&s->block[i].shapes[r.value]);
        if (count > r.most) r.most = count;
    }
    bool ok = stream_stretch_open(&r.l, s, to, r.value, err);
    ok = ok && stream_stretch_open(&r.lc, c, to, r.value, err);
    if (ok) r.memory = base_big_alloc((size_t)(exec_workers() * 2 * r.most), sizeof(float), "layer outputs", err);
    r.sum = base_calloc((size_t)s->block_count + 1, sizeof *r.sum);
    ok = r.memory && exec_parallel(s->block_count, pair_item, &r, job, err);
    *e = (engine_error){0};
    for (int64_t i = 0; ok && i < s->block_count; i++) {
        e->difference += r.sum[i].difference;
        e->reference += r.sum[i].reference;
        e->product += r.sum[i].product;
        e->compressed += r.sum[i].compressed;
    }
    stream_stretch_close(&r.l, ok);
    stream_stretch_close(&r.lc, ok);
    if (ok) stream_arrive(s, job);
    if (ok) stream_arrive(c, job);
    base_big_free(r.memory);
    free(r.sum);
    return ok;
}
