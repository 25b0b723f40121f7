// exec: runs planned nodes. Weights are prepared once for a weight set, every worker has its own arena, and each
// micro-batch goes through all nodes on one thread, so that its values stay in cache and the result does not depend on
// the number of threads.
#include "engine/exec.h"

#include <stdlib.h>
#include <string.h>

// ---- weights and workers -----------------------------------------------------------------------

void exec_call_fill(exec_call *c, const model_graph *g, int node, const model_shape *shapes, engine_weights w) {
    const model_node *n = &g->nodes[node];
    memset(&c->a, 0, sizeof c->a);
    c->a.node = n;
    c->a.in_shape = c->in;
    c->a.out_shape = c->out;
    c->a.param_shape = c->param;
    for (int k = 0; k < n->in_count; k++) c->in[k] = shapes[n->in[k]];
    for (int k = 0; k < n->out_count; k++) c->out[k] = shapes[n->out[k]];
    for (int k = 0; k < n->param_count; k++) {
        if (n->param[k] < 0) continue;
        c->param[k] = g->params[n->param[k]].shape;
        c->a.param[k] = w ? w[n->param[k]] : NULL;
    }
}

// Scale and shift of a batch norm, [2 x channels].
static float *fold_norm(const exec_plan *p, int node, engine_weights w) {
    exec_call call;
    exec_call_fill(&call, p->g, node, p->shapes, w);
    const int64_t channels = call.in[0].dim[1];
    float *folded = base_calloc(2 * (size_t)channels, sizeof *folded);
    engine_batch_norm_fold(&call.a, folded, folded + channels);
    return folded;
}

bool exec_weights_make(exec_weights *x, const exec_plan *p, engine_weights w, base_err *err) {
    const model_graph *g = p->g;
    *x = (exec_weights){.w = w, .node_count = g->node_count};
    x->prepared = base_calloc((size_t)g->node_count + 1, sizeof *x->prepared);
    x->folded = base_calloc((size_t)g->node_count + 1, sizeof *x->folded);
    for (int i = p->from; i < p->to; i++) {
        const engine_kernel *k = &engine_kernels[g->nodes[i].op];
        if (p->chain[i].norm >= 0) x->folded[i] = fold_norm(p, p->chain[i].norm, w);
        if (!k->prepared || !k->prepare) continue;
        exec_call call;
        exec_call_fill(&call, g, i, p->shapes, w);
        size_t need = k->prepared(&call.a);
        if (!need) continue;
        x->prepared[i] = base_big_alloc(need, sizeof(float), "prepared weights", err);
        if (!x->prepared[i]) {
            exec_weights_free(x);
            return false;
        }
        k->prepare(&call.a, x->prepared[i]);
    }
    return true;
}

void exec_weights_free(exec_weights *x) {
    for (int i = 0; x->prepared && i < x->node_count; i++) {
        base_big_free(x->prepared[i]);
        free(x->folded[i]);
    }
    free(x->prepared);
    free(x->folded);
    x->prepared = x->folded = NULL;
}

exec_worker *exec_workers_make(const exec_plan *p, base_err *err) {
    int count = exec_workers();
    exec_worker *workers = base_calloc((size_t)count + 1, sizeof *workers);
    for (int i = 0; i < count; i++) {
        exec_worker *w = &workers[i];
        w->arena = base_big_alloc(p->arena + p->scratch + 16, sizeof(float), "activations", err);
        if (!w->arena) {
            exec_workers_free(workers);
            return NULL;
        }
        w->scratch = w->arena + p->arena;
        w->shapes = base_calloc((size_t)p->g->value_count, sizeof *w->shapes);
        w->outer = base_calloc((size_t)p->g->value_count, sizeof *w->outer);
    }
    return workers;
}

void exec_workers_free(exec_worker *workers) {
    for (exec_worker *w = workers; w && w->arena; w++) { // one more than the workers is allocated, all zero
        base_big_free(w->arena);
        free(w->shapes);
        free(w->outer);
        data_batch_free(&w->batch);
    }
    free(workers);
}

// ---- running -----------------------------------------------------------------------------------

const model_shape *exec_shapes(const exec_plan *p, exec_worker *worker, int64_t n, int64_t t, base_err *err) {
    if (n == p->n && t == p->t) return p->shapes;
    if (n != worker->n || t != worker->t) {
        worker->n = worker->t = 0;
        if (!model_graph_shapes(p->g, n, t, worker->shapes, err)) return NULL;
        worker->n = n;
        worker->t = t;
    }
    return worker->shapes;
}

static float *value_at(const exec_plan *p, const exec_worker *worker, int value) {
    return p->offset[value] == EXEC_OUTER ? worker->outer[value] : worker->arena + p->offset[value];
}

static void run_node(const exec_plan *p, const exec_weights *w, exec_worker *worker, const model_shape *shapes, int i,
                     const int32_t *tokens) {
    const model_node *node = &p->g->nodes[i];
    exec_call call;
    exec_call_fill(&call, p->g, i, shapes, w->w);
    call.a.tokens = tokens;
    for (int k = 0; k < node->in_count; k++) call.a.in[k] = value_at(p, worker, node->in[k]);
    if (p->g->input_kind == DATA_TOKENS && node->in_count && node->in[0] == 0) call.a.in[0] = NULL;
    for (int k = 0; k < node->out_count; k++) call.a.out[k] = value_at(p, worker, node->out[k]);
    const exec_chain *c = &p->chain[i];
    engine_fuse fuse = {.relu = c->relu >= 0};
    if (c->last != i) {
        call.a.out[0] = value_at(p, worker, p->g->nodes[c->last].out[0]);
        call.a.fuse = &fuse;
        if (w->folded[i]) {
            fuse.scale = w->folded[i];
            fuse.shift = fuse.scale + call.out[0].dim[1];
        }
        if (c->add >= 0) fuse.add = value_at(p, worker, c->other);
    }
    call.a.scratch = worker->scratch;
    call.a.prepared = w->prepared[i];
    engine_kernels[node->op].forward(&call.a);
}

// Results of a node are finite; `outer_only`: those in the caller's memory (arena rooms may be used again already).
static bool node_finite(const exec_plan *p, const exec_worker *worker, const model_shape *shapes, int i,
                        bool outer_only) {
    const model_node *node = &p->g->nodes[p->chain[i].last];
    for (int k = 0; k < node->out_count; k++) {
        int v = node->out[k];
        if (outer_only && p->offset[v] != EXEC_OUTER) continue;
        if (!num_all_finite(value_at(p, worker, v), (size_t)model_shape_count(&shapes[v]))) return false;
    }
    return true;
}

// The node of a chain whose result is the first that is not finite: they run one by one, in memory of their own.
static const model_node *first_not_finite(const exec_plan *p, const exec_weights *w, exec_worker *worker,
                                          const model_shape *shapes, int head) {
    const model_node *nodes = p->g->nodes, *node = &nodes[head];
    const int last = p->chain[head].last;
    if (last == head) return node;
    const size_t count = (size_t)model_shape_count(&shapes[node->out[0]]);
    base_err ignored;
    float *result = base_big_alloc(count, sizeof *result, "activations", &ignored);
    int value = -1;
    for (int i = head; result && i <= last; i++) {
        const bool reads = nodes[i].in[0] == value || (nodes[i].in_count > 1 && nodes[i].in[1] == value);
        if (i > head && !reads) continue;
        node = &nodes[i];
        exec_call call;
        exec_call_fill(&call, p->g, i, shapes, w->w);
        for (int k = 0; k < node->in_count; k++)
            call.a.in[k] = node->in[k] == value ? result : value_at(p, worker, node->in[k]);
        call.a.out[0] = result;
        call.a.scratch = worker->scratch;
        call.a.prepared = w->prepared[i];
        engine_kernels[node->op].forward(&call.a);
        if (!num_all_finite(result, count)) break;
        value = node->out[0];
    }
    base_big_free(result);
    return node;
}

bool exec_run(const exec_plan *p, const exec_weights *w, exec_worker *worker, int64_t n, int64_t t,
              const int32_t *tokens, base_err *err) {
    const model_shape *shapes = exec_shapes(p, worker, n, t, err);
    if (!shapes) return false;
    bool finite = true;
    for (int i = p->from; i < p->to; i++)
        if (!p->chain[i].taken) run_node(p, w, worker, shapes, i, tokens);
    for (int i = p->from; finite && i < p->to; i++)
        finite = p->chain[i].taken || node_finite(p, worker, shapes, i, true);
    if (finite) return true;
    for (int i = p->from; i < p->to; i++) {
        if (p->chain[i].taken) continue;
        run_node(p, w, worker, shapes, i, tokens);
        if (node_finite(p, worker, shapes, i, false)) continue;
        const model_node *node = first_not_finite(p, w, worker, shapes, i);
        return base_fail(err, "%s (%s) produced a value that is not finite (NaN or Inf)", node->name,
                         model_ops[node->op].name);
    }
    return base_fail(err, "the network's results changed between two runs: its weights are being overwritten");
}

// ---- input -------------------------------------------------------------------------------------

bool exec_check_model(const model *m, base_err *err) {
    if (m->graph) return true;
    return base_fail(err, "%s has no known architecture, so it can not be run: %s", m->name,
                     m->why_no_arch ? m->why_no_arch : "no architecture was given");
}

static int64_t embedding_entries(const model_graph *g) {
    int64_t least = 0;
    for (int i = 0; i < g->node_count; i++) {
        const model_node *node = &g->nodes[i];
        if (node->op != MODEL_EMBEDDING || node->in[0] != 0) continue;
        int64_t entries = (int64_t)node->attr[EMBEDDING_COUNT];
        if (!least || entries < least) least = entries;
    }
    return least;
}

static int64_t output_classes(const model_graph *g) {
    const model_shape *s = model_graph_shape(g, g->output);
    return s->dim[s->ndim - 1];
}

bool exec_check_view(const model_graph *g, const data_view *view, base_err *err) {
    const data_set *set = view->set;
    if (set->kind != g->input_kind)
        return base_fail(err, "%s holds %s but the network reads %s", view->label,
                         set->kind == DATA_TOKENS ? "sequences of tokens" : "features",
                         g->input_kind == DATA_TOKENS ? "sequences of tokens" : "features");
    if (view->count < 1) return base_fail(err, "%s has no samples", view->label);
    if (g->input_kind == DATA_FEATURES) {
        int64_t want = model_shape_count(&g->input);
        if (set->sample_values != want)
            return base_fail(err, "%s has %lld values a sample but the network reads %lld%s", view->label,
                             (long long)set->sample_values, (long long)want,
                             set->classes > 0 && set->sample_values + 1 == want
                                 ? "; one more is taken as the label: where the files have none, say unlabelled = true "
                                   "in a dataset.lua"
                                 : "");
    }
    if (g->task != MODEL_RECONSTRUCT && set->classes > output_classes(g))
        return base_fail(err, "%s has %lld %s but the network gives %lld", view->label, (long long)set->classes,
                         set->kind == DATA_TOKENS ? "tokens in its vocabulary" : "classes",
                         (long long)output_classes(g));
    return true;
}

static bool check_ids(const char *what, const int32_t *id, int64_t count, int32_t low, int64_t high, base_err *err) {
    for (int64_t i = 0; i < count; i++)
        if (id[i] < low || id[i] >= high)
            return base_fail(err, "%s %d is outside 0..%lld", what, (int)id[i], (long long)(high - 1));
    return true;
}

bool exec_check_batch(const model_graph *g, const data_batch *batch, base_err *err) {
    if (batch->kind != g->input_kind || batch->count < 1)
        return base_fail(err, "a batch of %lld samples of the wrong kind was given to the network",
                         (long long)batch->count);
    bool tokens = batch->kind == DATA_TOKENS;
    if (tokens && batch->length > g->context)
        return base_fail(err, "a sequence of %lld tokens is longer than the network's context of %lld",
                         (long long)batch->length, (long long)g->context);
    int64_t entries = embedding_entries(g), ids = batch->count * (tokens ? batch->length : 1);
    if (tokens && entries && !check_ids("token", batch->tokens, ids, 0, entries, err)) return false;
    if (g->task == MODEL_RECONSTRUCT || !batch->labels) return true;
    return check_ids("label", batch->labels, ids, -1, output_classes(g), err);
}

// ---- a batch forward ---------------------------------------------------------------------------

typedef struct forward_run {
    const exec_plan *plan;
    const exec_weights *weights;
    exec_worker *workers;
    const data_batch *batch;
    float *out;
    int64_t micro, in_values, out_values; // values a sample
} forward_run;

static bool forward_item(void *context, int64_t item, int worker, base_err *err) {
    const forward_run *r = context;
    exec_worker *w = &r->workers[worker];
    const model_graph *g = r->plan->g;
    int64_t from = item * r->micro, n = r->batch->count - from, t = r->batch->length;
    if (n > r->micro) n = r->micro;
    const int32_t *tokens = r->batch->tokens ? r->batch->tokens + from * t : NULL;
    w->outer[0] = r->batch->x ? r->batch->x + from * r->in_values : NULL;
    w->outer[g->output] = r->out + from * r->out_values;
    return exec_run(r->plan, r->weights, w, n, t, tokens, err);
}

bool engine_forward(const model *m, engine_weights w, const data_batch *batch, float *out, base_job *job,
                    base_err *err) {
    if (!exec_check_model(m, err) || !exec_check_batch(m->graph, batch, err)) return false;
    const model_graph *g = m->graph;
    int64_t t = batch->length;
    forward_run r = {.batch = batch, .out = out};
    if (!exec_micro(g, 0, g->node_count, batch->count, t, &r.micro, err)) return false;
    exec_plan plan;
    if (!exec_plan_make(&plan, g, 0, g->node_count, NULL, r.micro, t, err)) return false;
    r.plan = &plan;
    r.in_values = model_shape_count(&g->input);
    r.out_values = model_shape_count(&plan.shapes[g->output]) / r.micro;
    exec_weights weights = {0};
    bool ok = exec_weights_make(&weights, &plan, w, err);
    r.weights = &weights;
    r.workers = ok ? exec_workers_make(&plan, err) : NULL;
    ok = ok && r.workers;
    ok = ok && exec_parallel((batch->count + r.micro - 1) / r.micro, forward_item, &r, job, err);
    exec_workers_free(r.workers);
    exec_weights_free(&weights);
    exec_plan_free(&plan);
    return ok;
}
