// alone: one node run by itself on made-up inputs, for measuring how long it takes.
#include "engine/exec.h"

#include <stdlib.h>
#include <string.h>

struct engine_alone {
    const model *m;
    exec_call call;
    const float **weights; // [weight_count], the node's own replaced at each pass
    float *in[MODEL_MAX_IN], *out[MODEL_MAX_OUT], *scratch;
    int32_t *tokens;
    int param; // of the weight
};

// Small numbers of both signs; how long a product takes does not depend on them.
static float *made_up(int64_t count, base_err *err) {
    float *x = base_big_alloc((size_t)count, sizeof *x, "made-up inputs of a layer", err);
    for (int64_t i = 0; x && i < count; i++) x[i] = (float)(i % 17) / 8 - 1;
    return x;
}

static bool lay(engine_alone *a, int node, int64_t samples, const model_shape *shapes, base_err *err) {
    const model_graph *g = a->m->graph;
    const model_node *n = &g->nodes[node];
    exec_call_fill(&a->call, g, node, shapes, a->weights);
    engine_args *args = &a->call.a;
    for (int k = 0; k < n->in_count; k++) {
        if (n->in[k] == 0 && g->input_kind == DATA_TOKENS) {
            a->tokens = base_calloc((size_t)(samples * g->input.dim[1]) + 1, sizeof *a->tokens);
            args->tokens = a->tokens;
            continue;
        }
        if (!(a->in[k] = made_up(model_shape_count(&a->call.in[k]), err))) return false;
        args->in[k] = a->in[k];
    }
    for (int k = 0; k < n->out_count; k++) {
        a->out[k] = base_big_alloc((size_t)model_shape_count(&a->call.out[k]), sizeof(float), "a layer's outputs", err);
        if (!a->out[k]) return false;
        args->out[k] = a->out[k];
    }
    const engine_kernel *kernel = &engine_kernels[n->op];
    size_t floats = kernel->scratch ? kernel->scratch(args) : 0;
    a->scratch = base_big_alloc(floats + 1, sizeof(float), "a layer's scratch", err);
    args->scratch = a->scratch;
    return a->scratch;
}

engine_alone *engine_alone_open(const model *m, int node, int64_t samples, base_err *err) {
    if (!exec_check_model(m, err)) return NULL;
    engine_alone *a = base_alloc(sizeof *a);
    *a = (engine_alone){.m = m, .param = m->graph->nodes[node].param[model_ops[m->graph->nodes[node].op].weight_param]};
    a->weights = base_calloc((size_t)m->weight_count + 1, sizeof *a->weights);
    for (int p = 0; p < m->weight_count; p++) a->weights[p] = m->weights[p];
    exec_plan plan = {0};
    int64_t t = m->graph->input_kind == DATA_TOKENS ? m->graph->input.dim[1] : 1;
    bool ok = exec_plan_make(&plan, m->graph, node, node + 1, NULL, samples, t, err);
    ok = ok && lay(a, node, samples, plan.shapes, err);
    exec_plan_free(&plan);
    if (ok) return a;
    engine_alone_close(a);
    return NULL;
}

void engine_alone_close(engine_alone *a) {
    if (!a) return;
    for (int k = 0; k < MODEL_MAX_IN; k++) base_big_free(a->in[k]);
    for (int k = 0; k < MODEL_MAX_OUT; k++) base_big_free(a->out[k]);
    base_big_free(a->scratch);
    free(a->tokens);
    free(a->weights);
    free(a);
}

void engine_alone_run(engine_alone *a, const float *weight) {
    const model_node *n = a->call.a.node;
    for (int k = 0; k < n->param_count; k++)
        if (n->param[k] == a->param) a->call.a.param[k] = weight;
    engine_kernels[n->op].forward(&a->call.a);
}
