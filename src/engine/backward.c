// backward: the loss of a batch and its gradient. The batch is cut into a fixed number of sample blocks; each block
// runs through a stretch of nodes on one thread with gradients of its own, which are summed in block order, so the
// result does not depend on the thread count. Stretches end at nodes that must see the whole batch at once (batch norm
// while training); without such nodes the whole network is one stretch.
#include "engine/backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = BACKWARD_BLOCKS, ALIGN_FLOATS = 16 };
_Static_assert((int)ENGINE_APART <= (int)BLOCKS, "samples apart lie in blocks of their own");

typedef struct back_stretch {
    int from, to;
    bool whole; // one node, run once for the whole batch
} back_stretch;

struct backward {
    const model_graph *g;
    bool training;
    int64_t n, t, block_n, blocks;    // samples, positions, samples a block, blocks
    model_shape *whole, *full, *last; // [value_count] shapes of the batch, a block, the last block
    back_stretch *stretch;
    int stretches;
    bool apart;                     // every block's gradients lie in an arena of its own
    int *last_reader;               // [value_count] node, -1: none
    size_t *value_at, *grad_at;     // [value_count] floats into values, grads; value 0 is the batch's
    size_t *save_at, *save_block;   // [node_count] floats into saves; floats of one block's
    size_t *param_at, param_floats; // [param_count] floats into one block's parameter gradients
    float *values, *grads, *saves, *params, *scratch;
    size_t grad_floats, scratch_floats;
    // the run at hand
    engine_weights w;
    const data_batch *batch;
    float *const *mutable_w;
    float *const *result;
    const backward_rule *rule; // NULL: the gradient
    double smoothing;
    int64_t targets;
    double loss[BLOCKS];
    int current; // stretch
    int first; // the first node with a parameter whose gradient is wanted: nothing is asked of those before it; -1: all
    bool stops; // node `first` itself is not walked back: the gradient of what it makes is what is wanted
};

static size_t align_floats(size_t n) {
    return (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

// ---- planning ----------------------------------------------------------------------------------

static bool whole_node(const backward *b, int node) {
    return b->training && engine_kernels[b->g->nodes[node].op].whole_batch;
}

static void plan_stretches(backward *b) {
    b->stretch = base_calloc((size_t)b->g->node_count + 1, sizeof *b->stretch);
    for (int i = 0; i < b->g->node_count; i++) {
        bool whole = whole_node(b, i);
        back_stretch *previous = b->stretches ? &b->stretch[b->stretches - 1] : NULL;
        if (previous && !whole && !previous->whole)
            previous->to = i + 1;
        else
            b->stretch[b->stretches++] = (back_stretch){i, i + 1, whole};
    }
}

static bool has_whole(const backward *b) {
    for (int s = 0; s < b->stretches; s++)
        if (b->stretch[s].whole) return true;
    return false;
}

// All values are kept for the way back. A value's gradient lives from its last reader down to its maker. Where no node
// needs the whole batch, every block has an arena of its own and time is counted in nodes; otherwise gradients of the
// whole batch lie together and time is counted in stretches, whose blocks move at their own pace.
static void plan_values(backward *b) {
    const model_graph *g = b->g;
    size_t values = (size_t)g->value_count, at = 0;
    int *start = base_calloc(values, sizeof *start), *end = base_calloc(values, sizeof *end);
    size_t *size = base_calloc(values, sizeof *size);
    b->value_at = base_calloc(values, sizeof *b->value_at);
    b->grad_at = base_calloc(values, sizeof *b->grad_at);
    b->last_reader = base_calloc(values, sizeof *b->last_reader);
    b->apart = !has_whole(b);
    for (size_t v = 0; v < values; v++) b->last_reader[v] = -1;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].in_count; k++) b->last_reader[g->nodes[i].in[k]] = i;
    for (int s = 0, time = 0; s < b->stretches; s++, time += !b->apart)
        for (int i = b->stretch[s].from; i < b->stretch[s].to; i++, time += b->apart) {
            const model_node *node = &g->nodes[i];
            for (int k = 0; k < node->in_count; k++) end[node->in[k]] = time;
            for (int k = 0; k < node->out_count; k++) {
                int v = node->out[k];
                start[v] = end[v] = time;
                size[v] = align_floats((size_t)model_shape_count(b->apart ? &b->full[v] : &b->whole[v]));
                b->value_at[v] = at;
                at += align_floats((size_t)model_shape_count(&b->whole[v]));
            }
        }
    end[g->output] = g->node_count; // written by the loss, before any node runs back
    b->grad_floats = exec_place(g->value_count, size, start, end, b->grad_at);
    b->value_at[0] = at; // unused by the input; here: the floats of all values
    free(start);
    free(end);
    free(size);
}

static void plan_nodes(backward *b, size_t *save_floats) {
    const model_graph *g = b->g;
    b->save_at = base_calloc((size_t)g->node_count + 1, sizeof *b->save_at);
    b->save_block = base_calloc((size_t)g->node_count + 1, sizeof *b->save_block);
    for (int i = 0; i < g->node_count; i++) {
        const engine_kernel *k = &engine_kernels[g->nodes[i].op];
        exec_call call;
        exec_call_fill(&call, g, i, whole_node(b, i) ? b->whole : b->full, NULL);
        call.a.training = b->training;
        b->save_at[i] = *save_floats;
        b->save_block[i] = k->save ? align_floats(k->save(&call.a)) : 0;
        *save_floats += b->save_block[i] * (size_t)(whole_node(b, i) ? 1 : b->blocks);
        size_t scratch = k->scratch ? align_floats(k->scratch(&call.a)) : 0;
        if (scratch > b->scratch_floats) b->scratch_floats = scratch;
    }
    b->param_at = base_calloc((size_t)g->param_count + 1, sizeof *b->param_at);
    for (int p = 0; p < g->param_count; p++) {
        b->param_at[p] = b->param_floats;
        b->param_floats += align_floats((size_t)model_shape_count(&g->params[p].shape));
    }
}

static bool plan_memory(backward *b, base_err *err) {
    size_t saves = 0;
    plan_stretches(b);
    plan_values(b);
    plan_nodes(b, &saves);
    b->values = base_big_alloc(b->value_at[0] + 1, sizeof(float), "values kept for the gradient", err);
    b->grads = b->values ? base_big_alloc(b->grad_floats * (size_t)(b->apart ? b->blocks : 1) + 1, sizeof(float),
                                          "gradients of values", err)
                         : NULL;
    b->saves = b->grads ? base_big_alloc(saves + 1, sizeof(float), "values kept for the gradient", err) : NULL;
    b->params = b->saves ? base_big_alloc(b->param_floats * (size_t)b->blocks + 1, sizeof(float),
                                          "gradients of parameters", err)
                         : NULL;
    b->scratch = b->params ? base_big_alloc(b->scratch_floats * (size_t)exec_workers() + 1, sizeof(float),
                                            "scratch of the gradient", err)
                           : NULL;
    return b->scratch;
}

backward *backward_make(const model_graph *g, int64_t n, int64_t t, bool training, base_err *err) {
    backward *b = base_alloc(sizeof *b);
    *b = (backward){.g = g, .training = training, .n = n, .t = t};
    b->block_n = (n + BLOCKS - 1) / BLOCKS;
    b->blocks = (n + b->block_n - 1) / b->block_n;
    b->whole = base_calloc((size_t)g->value_count, sizeof *b->whole);
    b->full = base_calloc((size_t)g->value_count, sizeof *b->full);
    b->last = base_calloc((size_t)g->value_count, sizeof *b->last);
    if (model_graph_shapes(g, n, t, b->whole, err) && model_graph_shapes(g, b->block_n, t, b->full, err) &&
        model_graph_shapes(g, n - (b->blocks - 1) * b->block_n, t, b->last, err) && plan_memory(b, err))
        return b;
    backward_free(b);
    return NULL;
}

void backward_free(backward *b) {
    if (!b) return;
    base_big_free(b->values);
    base_big_free(b->grads);
    base_big_free(b->saves);
    base_big_free(b->params);
    base_big_free(b->scratch);
    free(b->whole);
    free(b->full);
    free(b->last);
    free(b->stretch);
    free(b->last_reader);
    free(b->value_at);
    free(b->grad_at);
    free(b->save_at);
    free(b->save_block);
    free(b->param_at);
    free(b);
}

bool backward_fits(const backward *b, const data_batch *batch, bool training) {
    int64_t t = batch->kind == DATA_TOKENS ? batch->length : b->t;
    return b->n == batch->count && b->t == t && b->training == training;
}

void backward_follow(backward *b, const backward_rule *rule) {
    b->rule = rule;
}

engine_weights backward_weights(const backward *b) {
    return b->w;
}

// ---- nodes of one block ------------------------------------------------------------------------

// Where `block`'s part of a whole-batch array begins; block -1: the whole batch.
static size_t block_at(const backward *b, int value, int64_t block) {
    return block < 0 ? 0 : (size_t)(model_shape_count(&b->full[value]) * block);
}

static const model_shape *block_shapes(const backward *b, int64_t block) {
    if (block < 0) return b->whole;
    return block == b->blocks - 1 ? b->last : b->full;
}

static float *value_of(const backward *b, int value, int64_t block) {
    float *base = value == 0 ? b->batch->x : b->values + b->value_at[value];
    return base ? base + block_at(b, value, block) : NULL;
}

const float *backward_value(const backward *b, int value, const model_shape **shape) {
    *shape = &b->whole[value];
    return value_of(b, value, -1);
}

static float *grad_of(const backward *b, int value, int64_t block) {
    if (value == 0) return b->rule && b->rule->input ? b->rule->input + block_at(b, 0, block) : NULL;
    size_t at = b->apart ? b->grad_floats * (size_t)block : block_at(b, value, block);
    return b->grads + b->grad_at[value] + at;
}

static void fill_call(const backward *b, int i, int64_t block, int worker, exec_call *call) {
    const model_node *node = &b->g->nodes[i];
    exec_call_fill(call, b->g, i, block_shapes(b, block), b->w);
    engine_args *a = &call->a;
    a->training = b->training;
    if (b->batch->tokens) a->tokens = b->batch->tokens + (block < 0 ? 0 : block * b->block_n * b->t);
    for (int k = 0; k < node->in_count; k++) a->in[k] = value_of(b, node->in[k], block);
    for (int k = 0; k < node->out_count; k++) a->out[k] = value_of(b, node->out[k], block);
    if (b->save_block[i]) a->save = b->saves + b->save_at[i] + b->save_block[i] * (size_t)(block < 0 ? 0 : block);
    a->scratch = b->scratch + b->scratch_floats * (size_t)worker;
    if (!b->training || !b->mutable_w || node->op != MODEL_BATCH_NORM) return;
    for (int k = 2; k < node->param_count; k++) // weight, bias, running_mean, running_var
        if (node->param[k] >= 0) a->running[k - 2] = b->mutable_w[node->param[k]];
}

static void forward_node(const backward *b, int i, int64_t block, int worker) {
    exec_call call;
    fill_call(b, i, block, worker, &call);
    engine_kernels[b->g->nodes[i].op].forward(&call.a);
}

static void backward_node(const backward *b, int i, int64_t block, int worker) {
    const model_node *node = &b->g->nodes[i];
    exec_call call;
    fill_call(b, i, block, worker, &call);
    call.a.running[0] = call.a.running[1] = NULL;
    for (int k = 0; k < node->in_count && i > b->first; k++) call.a.din[k] = grad_of(b, node->in[k], block);
    for (int k = 0; k < node->out_count; k++) call.a.dout[k] = grad_of(b, node->out[k], block);
    float *params = b->params + b->param_floats * (size_t)(block < 0 ? 0 : block);
    for (int k = 0; k < node->param_count; k++) {
        int p = node->param[k];
        if (p >= 0 && !b->g->params[p].buffer && (!b->result || b->result[p]))
            call.a.dparam[k] = params + b->param_at[p];
    }
    if (b->rule && b->rule->node &&
        b->rule->node(b->rule->context, &call.a, i, block < 0 ? 0 : block, grad_of(b, node->out[0], block)))
        return;
    engine_kernels[node->op].backward(&call.a);
}

// Clears the gradients that begin to live at node i on the way back: of inputs it is the last to read, and of results
// that nobody reads. The output's is written by the loss.
static void clear_grads(const backward *b, int i, int64_t block) {
    const model_node *node = &b->g->nodes[i];
    const model_shape *shapes = block_shapes(b, block);
    for (int k = 0; k < node->in_count + node->out_count; k++) {
        bool reads = k < node->in_count;
        int v = reads ? node->in[k] : node->out[k - node->in_count];
        if (v == 0 || v == b->g->output || b->last_reader[v] != (reads ? i : -1)) continue;
        memset(grad_of(b, v, block), 0, (size_t)model_shape_count(&shapes[v]) * sizeof(float));
    }
}

// ---- loss --------------------------------------------------------------------------------------

// The loss and the gradient of the output, through the kernels of the loss ops; both are of the mean over all targets.
static bool loss_block(void *context, int64_t block, int worker, base_err *err) {
    (void)err;
    backward *b = context;
    int output = b->g->output;
    bool classes = b->g->task != MODEL_RECONSTRUCT;
    const model_shape shapes[2] = {block_shapes(b, block)[output], block_shapes(b, block)[output]};
    float sum = 0, scale = (float)(1 / (double)b->targets), *dx = grad_of(b, output, block);
    const engine_kernel *kernel = &engine_kernels[classes ? MODEL_CROSS_ENTROPY : MODEL_MSE];
    engine_args a = {.in_shape = shapes,
                     .in = {value_of(b, output, block)},
                     .out = {&sum},
                     .dout = {&scale},
                     .din = {dx},
                     .smoothing = (float)b->smoothing};
    a.scratch = b->scratch + b->scratch_floats * (size_t)worker;
    if (classes && b->batch->labels)
        a.labels = b->batch->labels + block * b->block_n * b->t;
    else if (!classes)
        a.in[1] = b->batch->x + block_at(b, output, block);
    memset(dx, 0, (size_t)model_shape_count(&shapes[0]) * sizeof *dx);
    b->loss[block] = 0;
    if (b->rule && b->rule->seed) b->rule->seed(b->rule->context, &a, b->targets);
    if (b->rule && (b->rule->seed || b->rule->aim)) return true;
    kernel->forward(&a);
    kernel->backward(&a);
    b->loss[block] = (double)sum / (double)b->targets;
    return true;
}

static bool count_targets(backward *b, base_err *err) {
    const data_batch *batch = b->batch;
    b->targets = 0;
    if (b->rule && b->rule->aim) return true;
    if (b->g->task == MODEL_RECONSTRUCT) {
        b->targets = model_shape_count(&b->whole[b->g->output]);
        if (b->targets == model_shape_count(&b->whole[0])) return true;
        return base_fail(err, "the reconstruction has %lld values but the input %lld", (long long)b->targets,
                         (long long)model_shape_count(&b->whole[0]));
    }
    if (!batch->labels) return base_fail(err, "training needs labels, and this batch has none");
    int64_t count = batch->count * (batch->kind == DATA_TOKENS ? batch->length : 1);
    for (int64_t i = 0; i < count; i++) b->targets += batch->labels[i] >= 0;
    if (b->targets) return true;
    return base_fail(err, "the batch has no labelled target");
}

// ---- running -----------------------------------------------------------------------------------

static bool forward_block(void *context, int64_t block, int worker, base_err *err) {
    (void)err;
    backward *b = context;
    const back_stretch *s = &b->stretch[b->current];
    for (int i = s->from; i < s->to; i++) forward_node(b, i, s->whole ? -1 : block, worker);
    return true;
}

static bool backward_block(void *context, int64_t block, int worker, base_err *err) {
    (void)err;
    backward *b = context;
    const back_stretch *s = &b->stretch[b->current];
    if (s->whole) block = -1;
    for (int i = s->to - 1; i >= s->from && i >= b->first + b->stops; i--) {
        clear_grads(b, i, block);
        backward_node(b, i, block, worker);
    }
    return true;
}

static bool run_stretches(backward *b, bool forward, base_job *job, base_err *err) {
    for (int k = 0; k < b->stretches; k++) {
        b->current = forward ? k : b->stretches - 1 - k;
        int64_t blocks = b->stretch[b->current].whole ? 1 : b->blocks;
        if (!exec_parallel(blocks, forward ? forward_block : backward_block, b, job, err)) return false;
    }
    return true;
}

static bool clear_params(void *context, int64_t block, int worker, base_err *err) {
    (void)worker, (void)err;
    backward *b = context;
    float *params = b->params + b->param_floats * (size_t)block;
    for (int p = 0; p < b->g->param_count; p++)
        if (!b->result || b->result[p])
            memset(params + b->param_at[p], 0, (size_t)model_shape_count(&b->g->params[p].shape) * sizeof *params);
    return true;
}

static int first_wanted(const backward *b) {
    for (int i = 0; i < b->g->node_count; i++)
        for (int k = 0; k < b->g->nodes[i].param_count; k++) {
            int p = b->g->nodes[i].param[k];
            if (p >= 0 && !b->g->params[p].buffer && b->result[p]) return i;
        }
    return b->g->node_count;
}

static bool reduce_param(void *context, int64_t p, int worker, base_err *err) {
    (void)worker, (void)err;
    backward *b = context;
    if (!b->result[p]) return true;
    size_t count = (size_t)model_shape_count(&b->g->params[p].shape);
    float *out = b->result[p];
    memcpy(out, b->params + b->param_at[p], count * sizeof *out);
    for (int64_t k = 1; k < b->blocks; k++) {
        const float *part = b->params + b->param_floats * (size_t)k + b->param_at[p];
        for (size_t i = 0; i < count; i++) out[i] += part[i];
    }
    return true;
}

// Names the first node whose result is not finite.
static bool blame_node(const backward *b, base_err *err) {
    for (int i = 0; i < b->g->node_count; i++) {
        const model_node *node = &b->g->nodes[i];
        for (int k = 0; k < node->out_count; k++) {
            int v = node->out[k];
            if (!num_all_finite(value_of(b, v, -1), (size_t)model_shape_count(&b->whole[v])))
                return base_fail(err, "%s (%s) produced a value that is not finite (NaN or Inf)", node->name,
                                 model_ops[node->op].name);
        }
    }
    return base_fail(err, "the loss is not finite (NaN or Inf)");
}

bool backward_run(backward *b, engine_weights w, const data_batch *batch, double label_smoothing, float *const *grad,
                  float *const *mutable_w, double *loss, base_job *job, base_err *err) {
    b->w = w;
    b->batch = batch;
    b->mutable_w = mutable_w;
    b->result = grad;
    b->smoothing = label_smoothing;
    if (!exec_check_batch(b->g, batch, err) || !count_targets(b, err)) return false;
    if (!run_stretches(b, true, job, err) || !exec_parallel(b->blocks, loss_block, b, job, err)) return false;
    *loss = 0;
    for (int64_t k = 0; k < b->blocks; k++) *loss += b->loss[k];
    if (b->rule && b->rule->aim && !b->rule->aim(b->rule->context, b, loss, err)) return false;
    if (!isfinite(*loss)) return blame_node(b, err);
    if (!grad) return true;
    if (b->rule && b->rule->input) memset(b->rule->input, 0, (size_t)model_shape_count(&b->whole[0]) * sizeof(float));
    b->first = b->rule ? -1 : first_wanted(b);
    return exec_parallel(b->blocks, clear_params, b, job, err) && run_stretches(b, false, job, err) &&
           exec_parallel(b->g->param_count, reduce_param, b, job, err);
}

bool engine_backward(const model *m, engine_weights w, const data_batch *batch, bool training, float *const *grad,
                     float *const *mutable_w, double *loss, base_job *job, base_err *err) {
    if (!exec_check_model(m, err) || !exec_check_batch(m->graph, batch, err)) return false;
    backward *b = backward_make(m->graph, batch->count, batch->kind == DATA_TOKENS ? batch->length : 1, training, err);
    bool ok = b && backward_run(b, w, batch, 0, grad, mutable_w, loss, job, err);
    backward_free(b);
    return ok;
}

// ---- samples apart -----------------------------------------------------------------------------

struct engine_apart {
    const model *m;
    backward *b;      // for batches as the last one; NULL: none yet
    float **wanted;   // [param_count] not NULL: wanted (they point nowhere of use)
    int value, maker; // the value whose gradient is wanted instead, and the node that makes it; -1: none
    const float *dout;
    size_t sample_out; // floats of one sample's output
};

engine_apart *engine_apart_open(const model *m, const bool *wanted, base_err *err) {
    if (!exec_check_model(m, err)) return NULL;
    engine_apart *a = base_alloc(sizeof *a);
    a->m = m;
    a->value = a->maker = -1;
    a->wanted = base_calloc((size_t)m->graph->param_count + 1, sizeof *a->wanted);
    static float mark;
    for (int p = 0; p < m->graph->param_count; p++) a->wanted[p] = wanted && wanted[p] ? &mark : NULL;
    return a;
}

engine_apart *engine_apart_open_value(const model *m, int value, base_err *err) {
    engine_apart *a = engine_apart_open(m, NULL, err);
    if (!a) return NULL;
    a->value = value;
    for (int i = 0; i < m->graph->node_count; i++)
        for (int k = 0; k < m->graph->nodes[i].out_count; k++)
            if (m->graph->nodes[i].out[k] == value) a->maker = i;
    if (a->maker >= 0) return a;
    engine_apart_close(a);
    base_fail(err, "value %d is not made by any node of the network", value);
    return NULL;
}

void engine_apart_close(engine_apart *a) {
    if (!a) return;
    backward_free(a->b);
    free(a->wanted);
    free(a);
}

const float *engine_apart_forward(engine_apart *a, engine_weights w, const data_batch *batch, base_job *job,
                                  base_err *err) {
    const model_graph *g = a->m->graph;
    if (!exec_check_batch(g, batch, err)) return NULL;
    BASE_CHECK(batch->count >= 1 && batch->count <= ENGINE_APART);
    if (a->b && !backward_fits(a->b, batch, false)) {
        backward_free(a->b);
        a->b = NULL;
    }
    if (!a->b) a->b = backward_make(g, batch->count, batch->kind == DATA_TOKENS ? batch->length : 1, false, err);
    backward *b = a->b;
    if (!b) return NULL;
    b->w = w;
    b->batch = batch;
    b->mutable_w = NULL;
    b->result = a->wanted;
    b->first = a->maker >= 0 ? a->maker : first_wanted(b);
    b->stops = a->maker >= 0;
    size_t count = (size_t)model_shape_count(&b->whole[g->output]);
    a->sample_out = count / (size_t)batch->count;
    if (!run_stretches(b, true, job, err)) return NULL;
    if (num_all_finite(value_of(b, g->output, -1), count)) return value_of(b, g->output, -1);
    blame_node(b, err);
    return NULL;
}

static bool copy_dout(void *context, int64_t block, int worker, base_err *err) {
    (void)worker, (void)err;
    const engine_apart *a = context;
    memcpy(grad_of(a->b, a->m->graph->output, block), a->dout + a->sample_out * (size_t)block,
           a->sample_out * sizeof *a->dout);
    return true;
}

bool engine_apart_backward(engine_apart *a, const float *dout, base_job *job, base_err *err) {
    a->dout = dout;
    return exec_parallel(a->b->blocks, clear_params, a->b, job, err) &&
           exec_parallel(a->b->blocks, copy_dout, a, job, err) && run_stretches(a->b, false, job, err);
}

const float *engine_apart_gradient(const engine_apart *a, int64_t sample, int param) {
    return a->b->params + a->b->param_floats * (size_t)sample + a->b->param_at[param];
}

const float *engine_apart_value_gradient(const engine_apart *a, int64_t sample) {
    BASE_CHECK(a->maker >= 0);
    return grad_of(a->b, a->value, sample);
}
