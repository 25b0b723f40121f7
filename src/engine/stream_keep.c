// stream_keep: positions of a stream that are kept in the job's cache and taken up again. A key holds the whole way to
// a position, with the nodes the stream stopped at: a stretch's end can keep a convolution from taking over what
// follows it, and with it the last bits.
#include "engine/stream.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VALUES = 16 };
static const size_t most_bytes = (size_t)40 << 20; // of one position
static const double least_share = 0.07;            // of the network's operations between two positions kept

static double flops_of(const model_graph *g, int from, int to) {
    double sum = 0;
    for (int i = from; i < to; i++) {
        model_shape in[MODEL_MAX_IN], out[MODEL_MAX_OUT];
        const model_node *n = &g->nodes[i];
        for (int k = 0; k < n->in_count; k++) in[k] = *model_graph_shape(g, n->in[k]);
        for (int k = 0; k < n->out_count; k++) out[k] = *model_graph_shape(g, n->out[k]);
        sum += model_ops[n->op].flops(n, in, out);
    }
    return sum;
}

// Values held when the stream stands before `node`, in order; -1: more than can be.
static int frontier(const engine_stream *s, int node, int value[MOST_VALUES]) {
    int n = 0;
    if (!s->tokens && s->last_use[0] >= node) value[n++] = 0;
    for (int i = 0; i < node; i++)
        for (int k = 0; k < s->g->nodes[i].out_count; k++) {
            int v = s->g->nodes[i].out[k];
            if (s->last_use[v] < node) continue;
            if (n == MOST_VALUES) return -1;
            value[n++] = v;
        }
    return n;
}

// Takes up the position before `node` as it lies in the cache.
static bool take_up(engine_stream *s, int node, const char key[33], base_job *job, base_err *err) {
    int value[MOST_VALUES], n = frontier(s, node, value);
    base_map map;
    const void *data;
    size_t bytes, want = 0;
    if (n < 0 || !base_cache_get(job->cache, key, &map, &data, &bytes)) return false;
    for (int i = 0; i < n; i++) want += stream_at(s, value[i], s->block_count) * sizeof(float);
    bool ok = want == bytes;
    for (int v = 0; ok && v < s->g->value_count; v++) {
        base_big_free(s->value[v]);
        s->value[v] = NULL;
        s->value_count[v] = 0;
    }
    const char *at = data;
    for (int i = 0; ok && i < n; i++) {
        size_t count = stream_at(s, value[i], s->block_count);
        s->value[value[i]] = base_big_room(count, sizeof(float), "activations of the samples", err);
        ok = s->value[value[i]] != NULL;
        if (!ok) break;
        s->value_count[value[i]] = count;
        memcpy(s->value[value[i]], at, count * sizeof(float));
        at += count * sizeof(float);
    }
    if (ok) s->next = s->kept = node;
    base_map_close(&map);
    return ok;
}

static void keep(engine_stream *s, const char key[33], base_job *job) {
    int value[MOST_VALUES], n = frontier(s, s->next, value);
    size_t bytes = 0;
    base_part parts[MOST_VALUES];
    for (int i = 0; i < n; i++) {
        parts[i] = (base_part){s->value[value[i]], s->value_count[value[i]] * sizeof(float)};
        bytes += parts[i].bytes;
    }
    if (n <= 0 || bytes > most_bytes) return;
    if (flops_of(s->g, s->kept, s->next) < least_share * flops_of(s->g, 0, s->g->node_count)) return;
    base_cache_put(job->cache, key, parts, (size_t)n);
    s->kept = s->next;
}

bool engine_stream_advance_all(engine_stream *s, const int *nodes, int count, base_job *job, base_err *err) {
    int first = 0;
    while (first < count && nodes[first] <= s->next) first++;
    bool cached = job && job->cache && s->prefix;
    char(*keys)[33] = base_calloc((size_t)count + 1, sizeof *keys);
    for (int i = first; s->prefix && i < count; i++) { // also without a cache, so that the way is complete
        if (nodes[i] > s->g->node_count) break;        // told by the advance below
        engine_prefix_add(s->prefix, s->w, nodes[i]);
        engine_prefix_mark(s->prefix, "stop");
        engine_prefix_key(s->prefix, "position", keys[i]);
    }
    for (int i = count - 1; cached && i >= first; i--)
        if (take_up(s, nodes[i], keys[i], job, err)) first = i + 1;
    bool ok = true;
    for (int i = first; ok && i < count; i++) {
        ok = stream_run_to(s, nodes[i], job, err);
        if (ok && cached && nodes[i] < s->g->node_count) keep(s, keys[i], job);
    }
    free(keys);
    return ok;
}

void stream_arrive(engine_stream *s, base_job *job) {
    char key[33];
    if (!s->prefix) return;
    engine_prefix_add(s->prefix, s->w, s->next);
    engine_prefix_mark(s->prefix, "stop");
    engine_prefix_key(s->prefix, "position", key);
    if (job && job->cache && s->next < s->g->node_count) keep(s, key, job);
}

bool engine_stream_advance(engine_stream *s, int node, base_job *job, base_err *err) {
    return engine_stream_advance_all(s, &node, 1, job, err);
}
