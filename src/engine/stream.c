// stream: a set of samples carried through the network, stretch by stretch. Only values that a later node still reads
// are held for all samples (the frontier); what lives and dies inside a stretch stays in the workers' arenas.
#include "engine/stream.h"

#include <stdlib.h>
#include <string.h>

// ---- opening -----------------------------------------------------------------------------------

static const model_shape *shapes_for(engine_stream *s, int64_t n, int64_t t, base_err *err) {
    for (int64_t i = 0; i < s->shape_count; i++)
        if (s->shapes[i].n == n && s->shapes[i].t == t) return s->shapes[i].shapes;
    model_shape *shapes = base_calloc((size_t)s->g->value_count, sizeof *shapes);
    if (!model_graph_shapes(s->g, n, t, shapes, err)) {
        free(shapes);
        return NULL;
    }
    s->shapes = base_realloc(s->shapes, (size_t)s->shape_count + 1, sizeof *s->shapes);
    s->shapes[s->shape_count++] = (stream_shapes){n, t, shapes};
    return shapes;
}

static bool add_block(engine_stream *s, int64_t from, int64_t n, int64_t t, base_err *err) {
    s->block = base_realloc(s->block, (size_t)s->block_count + 1, sizeof *s->block);
    s->token_at = base_realloc(s->token_at, (size_t)s->block_count + 1, sizeof *s->token_at);
    const model_shape *shapes = shapes_for(s, n, t, err);
    if (!shapes) return false;
    s->block[s->block_count] = (stream_block){from, n, t, shapes};
    s->token_at[s->block_count++] = s->token_count;
    s->token_count += n * t;
    if (n > s->most_n) s->most_n = n;
    if (t > s->most_t) s->most_t = t;
    return true;
}

// Neighbouring samples of one length share a block, up to what a micro-batch may hold.
static bool make_blocks(engine_stream *s, const data_view *view, base_err *err) {
    bool tokens = s->g->input_kind == DATA_TOKENS;
    int64_t longest = tokens ? data_longest(view, 0, view->count) : 1, micro;
    if (tokens && (longest < 1 || longest > s->g->context))
        return base_fail(err, "%s holds a sequence of %lld tokens; the network's context is %lld", view->label,
                         (long long)longest, (long long)s->g->context);
    if (!exec_micro(s->g, 0, s->g->node_count, view->count, longest, &micro, err)) return false;
    for (int64_t from = 0; from < view->count;) {
        int64_t t = tokens ? data_longest(view, from, 1) : 1, n = 1;
        if (t < 1) return base_fail(err, "%s: sequence %lld is empty", view->label, (long long)from);
        while (n < micro && from + n < view->count && (!tokens || data_longest(view, from + n, 1) == t)) n++;
        if (!add_block(s, from, n, t, err)) return false;
        from += n;
    }
    return true;
}

static size_t whole_count(const engine_stream *s, int value) {
    size_t count = 0;
    for (int64_t b = 0; b < s->block_count; b++) count += (size_t)model_shape_count(&s->block[b].shapes[value]);
    return count;
}

size_t stream_at(const engine_stream *s, int value, int64_t block) {
    size_t at = 0;
    for (int64_t b = 0; b < block; b++) at += (size_t)model_shape_count(&s->block[b].shapes[value]);
    return at;
}

static bool hold(engine_stream *s, int value, base_err *err) {
    s->value_count[value] = whole_count(s, value);
    s->value[value] = base_big_room(s->value_count[value], sizeof(float), "activations of the samples", err);
    return s->value[value];
}

static void drop(engine_stream *s, int value) {
    base_big_free(s->value[value]);
    s->value[value] = NULL;
    s->value_count[value] = 0;
}

static bool read_samples(engine_stream *s, const data_view *view, base_err *err) {
    bool tokens = s->g->input_kind == DATA_TOKENS, ok = true;
    if (tokens) {
        s->tokens = base_big_alloc((size_t)s->token_count, sizeof *s->tokens, "tokens of the samples", err);
        if (!s->tokens) return false;
    } else if (!hold(s, 0, err)) {
        return false;
    }
    data_batch batch = {0};
    int64_t values = model_shape_count(&s->g->input);
    for (int64_t b = 0; ok && b < s->block_count; b++) {
        const stream_block *k = &s->block[b];
        ok = data_fetch(view, k->from, k->n, &batch, err) && exec_check_batch(s->g, &batch, err);
        if (!ok) break;
        if (tokens)
            memcpy(s->tokens + s->token_at[b], batch.tokens, (size_t)(k->n * k->t) * sizeof *s->tokens);
        else
            memcpy(s->value[0] + k->from * values, batch.x, (size_t)(k->n * values) * sizeof(float));
    }
    data_batch_free(&batch);
    return ok;
}

static void find_last_uses(engine_stream *s) {
    const model_graph *g = s->g;
    for (int v = 0; v < g->value_count; v++) s->last_use[v] = -1;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].in_count; k++) s->last_use[g->nodes[i].in[k]] = i;
    s->last_use[g->output] = g->node_count;
}

engine_stream *engine_stream_open(const model *m, engine_weights w, const data_view *view, base_err *err) {
    if (!exec_check_model(m, err) || !exec_check_view(m->graph, view, err)) return NULL;
    const model_graph *g = m->graph;
    engine_stream *s = base_alloc(sizeof *s);
    s->m = m;
    s->g = g;
    s->w = base_calloc((size_t)g->param_count + 1, sizeof *s->w);
    for (int p = 0; p < g->param_count; p++) s->w[p] = w[p];
    s->value = base_calloc((size_t)g->value_count, sizeof *s->value);
    s->value_count = base_calloc((size_t)g->value_count, sizeof *s->value_count);
    s->last_use = base_calloc((size_t)g->value_count, sizeof *s->last_use);
    find_last_uses(s);
    s->prefix = engine_prefix_new(m, view);
    if (make_blocks(s, view, err) && read_samples(s, view, err)) return s;
    engine_stream_close(s);
    return NULL;
}

void engine_stream_close(engine_stream *s) {
    if (!s) return;
    for (int v = 0; v < s->g->value_count; v++) base_big_free(s->value[v]);
    for (int64_t i = 0; i < s->shape_count; i++) free(s->shapes[i].shapes);
    base_big_free(s->tokens);
    engine_prefix_free(s->prefix);
    free(s->shapes);
    free(s->block);
    free(s->token_at);
    free(s->value);
    free(s->value_count);
    free(s->last_use);
    free(s->w);
    free(s);
}

static void *copy_of(const void *p, size_t count, size_t size) {
    void *q = base_calloc(count + 1, size);
    if (count) memcpy(q, p, count * size);
    return q;
}

engine_stream *engine_stream_copy(const engine_stream *s, base_err *err) {
    engine_stream *c = base_alloc(sizeof *c);
    size_t values = (size_t)s->g->value_count;
    c->m = s->m;
    c->g = s->g;
    c->next = s->next;
    c->kept = s->kept;
    c->prefix = engine_prefix_copy(s->prefix);
    c->token_count = s->token_count;
    c->w = copy_of(s->w, (size_t)s->g->param_count, sizeof *s->w);
    c->value = base_calloc(values, sizeof *c->value);
    c->value_count = copy_of(s->value_count, values, sizeof *s->value_count);
    c->last_use = copy_of(s->last_use, values, sizeof *s->last_use);
    bool ok = true;
    for (int64_t b = 0; ok && b < s->block_count; b++) {
        int64_t counted = s->token_at[b];
        ok = add_block(c, s->block[b].from, s->block[b].n, s->block[b].t, err);
        if (ok) c->token_at[b] = counted;
    }
    c->token_count = s->token_count;
    for (size_t v = 0; ok && v < values; v++) {
        if (!s->value[v]) continue;
        ok = hold(c, (int)v, err);
        if (ok) memcpy(c->value[v], s->value[v], s->value_count[v] * sizeof(float));
    }
    if (ok && s->tokens) {
        c->tokens = base_big_alloc((size_t)s->token_count, sizeof *c->tokens, "tokens of the samples", err);
        ok = c->tokens;
        if (ok) memcpy(c->tokens, s->tokens, (size_t)s->token_count * sizeof *c->tokens);
    }
    if (ok) return c;
    engine_stream_close(c);
    return NULL;
}

// ---- moving on ---------------------------------------------------------------------------------

void engine_stream_set(engine_stream *s, int param, const float *w) {
    s->w[param] = w;
}

// The start of every block within every value that is held.
static size_t *all_starts(const engine_stream *s) {
    size_t *start = base_calloc((size_t)s->g->value_count * (size_t)s->block_count + 1, sizeof *start);
    for (int v = 0; v < s->g->value_count; v++) {
        if (!s->value[v]) continue;
        size_t at = 0;
        for (int64_t b = 0; b < s->block_count; b++) {
            start[(int64_t)v * s->block_count + b] = at;
            at += (size_t)model_shape_count(&s->block[b].shapes[v]);
        }
    }
    return start;
}

// Marks what nodes [from, to) make and a node from `to` on reads, and makes room for it.
static bool hold_frontier(engine_stream *s, int from, int to, bool *keep, base_err *err) {
    for (int i = from; i < to; i++) {
        const model_node *node = &s->g->nodes[i];
        for (int k = 0; k < node->out_count; k++) {
            int v = node->out[k];
            keep[v] = s->last_use[v] >= to;
            if (keep[v] && !hold(s, v, err)) return false;
        }
    }
    return true;
}

bool stream_stretch_open(stream_stretch *r, engine_stream *s, int to, int shown, base_err *err) {
    *r = (stream_stretch){.s = s, .to = to, .shown = shown};
    r->made = base_calloc((size_t)s->g->value_count, sizeof *r->made);
    r->outer = base_calloc((size_t)s->g->value_count, sizeof *r->outer);
    if (to > s->g->node_count || to < 0)
        return base_fail(err, "node %d is not one of the network's %d", to, s->g->node_count);
    if (!hold_frontier(s, s->next, to, r->made, err)) return false;
    memcpy(r->outer, r->made, (size_t)s->g->value_count * sizeof *r->outer);
    if (shown >= 0) r->outer[shown] = true;
    if (!exec_plan_make(&r->plan, s->g, s->next, to, r->outer, s->most_n, s->most_t, err)) return false;
    if (!exec_weights_make(&r->weights, &r->plan, s->w, err)) return false;
    r->start = all_starts(s);
    r->workers = exec_workers_make(&r->plan, err);
    return r->workers;
}

bool stream_stretch_run(const stream_stretch *r, int64_t block, int worker, float *shown, base_err *err) {
    const engine_stream *s = r->s;
    const stream_block *k = &s->block[block];
    exec_worker *w = &r->workers[worker];
    for (int v = 0; v < s->g->value_count; v++)
        w->outer[v] = s->value[v] ? s->value[v] + r->start[(int64_t)v * s->block_count + block] : NULL;
    if (r->shown >= 0 && !w->outer[r->shown]) w->outer[r->shown] = shown;
    const int32_t *tokens = s->tokens ? s->tokens + s->token_at[block] : NULL;
    return exec_run(&r->plan, &r->weights, w, k->n, k->t, tokens, err);
}

void stream_stretch_close(stream_stretch *r, bool ok) {
    engine_stream *s = r->s;
    if (!s) return; // never opened
    if (ok) s->next = r->to;
    for (int v = 0; v < s->g->value_count; v++)
        if (s->value[v] && (ok ? s->last_use[v] < r->to : r->made[v])) drop(s, v);
    exec_workers_free(r->workers);
    exec_weights_free(&r->weights);
    exec_plan_free(&r->plan);
    free(r->start);
    free(r->made);
    free(r->outer);
}

static bool stretch_item(void *context, int64_t item, int worker, base_err *err) {
    return stream_stretch_run(context, item, worker, NULL, err);
}

bool stream_run_to(engine_stream *s, int node, base_job *job, base_err *err) {
    if (node <= s->next && node >= 0) return true;
    stream_stretch r;
    bool ok = stream_stretch_open(&r, s, node, -1, err) && exec_parallel(s->block_count, stretch_item, &r, job, err);
    stream_stretch_close(&r, ok);
    return ok;
}

bool stream_has(const engine_stream *s, int node, base_err *err) {
    const model_node *n = &s->g->nodes[node];
    bool there = node < s->g->node_count && node >= 0 && n->in_count > 0;
    there = there && (s->value[n->in[0]] || (s->tokens && n->in[0] == 0));
    if (there) return true;
    return base_fail(err, "the input of %s is not held: the stream stands before node %d", n->name, s->next);
}

size_t engine_stream_bytes(const engine_stream *s) {
    size_t bytes = s->tokens ? (size_t)s->token_count * sizeof *s->tokens : 0;
    for (int v = 0; v < s->g->value_count; v++) bytes += s->value_count[v] * sizeof(float);
    return bytes;
}

const float *engine_stream_value(const engine_stream *s, int value, size_t *count) {
    *count = s->value[value] ? s->value_count[value] : 0;
    return s->value[value];
}
