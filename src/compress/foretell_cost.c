// What a walk will cost: the time of its forward passes, second moments and solvers, and the most memory it holds.
//
// Forward passes are counted in samples at the speed measured just before; matrix products in operations at the
// machine's measured rate; solvers by the operations of their papers, times a factor for how far from a plain product
// their inner loops are (fitted once on ResNet-20's layers, one thread).
#include "compress/foretell.h"
#include "compress/layer.h"
#include "compress/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Operations of one layer [out x in], second moment in x in, `steps` turns of the optimiser:
// cube * in^3 + square * out * in^2 + turn * steps * out * in^2 + each * steps * out * in.
typedef struct cost_row {
    const char *step, *arg, *value; // the step, where an argument has this value
    const char *turns;              // argument that says how many turns; NULL: one
    double usual;                   // turns where the argument is 0 or less
    double cube, square, turn, each;
} cost_row;

static const cost_row cost_rows[] = {
    {"quantize", "solver", "gptq", NULL, 1, 8, 12, 0, 0},
    {"quantize", "solver", "obq", NULL, 1, 8, 0, 120, 0},
    {"quantize", "solver", "adaround", "iterations", 2000, 0, 0, 4, 3200},
    {"quantize", "solver", "adaquant", "iterations", 500, 0, 0, 4, 400},
    {"quantize", "solver", "signround", "iterations", 200, 0, 0, 4, 400},
    {"quantize", "solver", "gsq", "iterations", 300, 0, 0, 4, 10000},
    {"quantize", "solver", "decoupleq", "iterations", 6, 8, 0, 200, 2000},
    {"quantize", "solver", "bpdq", "iterations", 10, 8, 0, 60, 20000},
    {"quantize", "solver", "awq", NULL, 1, 0, 100, 0, 20000},
    {"quantize", "solver", "hqq", "turns", 20, 0, 0, 0, 400},
    {"quantize", "refine", "cd", "passes", 8, 0, 0, 40, 200},
    {"prune", "criterion", "sparsegpt", NULL, 1, 8, 12, 0, 0},
    {"prune", "criterion", "obs", NULL, 1, 8, 60, 0, 0},
    {"prune", "criterion", "icbs", "passes", 50, 8, 0, 60, 0},
    {"outliers", "criterion", "spqr", NULL, 1, 8, 12, 0, 0},
    {"lowrank", "method", "whitened", NULL, 1, 20, 0, 0, 0},
    {"lowrank", "method", "lord", NULL, 1, 20, 0, 0, 0},
    {"codebook", "weight", "hessian", "iterations", 100, 0, 0, 0, 200},
    {"codebook", "refine", "lnq", "turns", 1, 8, 20, 12, 0},
    {"vq", "feedback", "ldlq", NULL, 1, 8, 40, 0, 0},
    {"vq", "solver", "kmeans", "iterations", 50, 0, 0, 0, 8000},
    {"vq", "solver", "vptq", "iterations", 50, 8, 40, 0, 6000},
    {"vq", "solver", "aqlm", "iterations", 50, 0, 2000, 0, 32000},
    {"vq", "solver", "vq4dit", "iterations", 50, 0, 2000, 0, 32000},
    {"signs", "weight", "inputs", NULL, 1, 20, 60, 0, 0},
    {"trellis", "feedback", "auto", "passes", 2, 8, 0, 40, 40000},
    {"e8", "feedback", "auto", "passes", 2, 8, 0, 40, 20000},
    {"scale", "method", "awq", NULL, 1, 0, 60, 0, 4000},
    {"scale", "method", "dual", NULL, 1, 0, 60, 0, 4000},
    {"scale", "method", "svdquant", NULL, 1, 0, 80, 0, 4000},
};

static const base_value *value_of(const compress_step *s, const char *arg) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (strcmp(s->kind->args[i].name, arg) == 0) return &s->value[i];
    return NULL;
}

static double solver_operations(const compress_step *s, const model_layer *l) {
    double all = 0, out = (double)l->out, in = (double)l->in, groups = (double)l->groups;
    for (size_t i = 0; i < sizeof cost_rows / sizeof *cost_rows; i++) {
        const cost_row *c = &cost_rows[i];
        if (strcmp(c->step, s->kind->name) != 0) continue;
        const base_value *v = value_of(s, c->arg), *turns = c->turns ? value_of(s, c->turns) : NULL;
        if (!v || strcmp(v->text, c->value) != 0) continue;
        double n = turns && turns->number > 0 ? turns->number : c->usual;
        all += groups * c->cube * in * in * in + c->square * out * in * in +
               n * (c->turn * out * in * in + c->each * out * in);
    }
    return all;
}

static unsigned rule_needs(const compress_rule *r) {
    unsigned needs = 0;
    for (int k = 0; r && k < r->step_count; k++)
        needs |= r->steps[k].kind->needs ? r->steps[k].kind->needs(&r->steps[k]) : 0;
    return needs;
}

// Values of one sample that the streams hold between two layers: made before `node`, read there or later.
static double held_at(const model_graph *g, int node) {
    double all = 0;
    for (int v = 0; v < g->value_count; v++) {
        int made = -1, last = -1;
        for (int i = 0; i < g->node_count; i++) {
            for (int k = 0; k < g->nodes[i].out_count; k++)
                if (g->nodes[i].out[k] == v) made = i;
            for (int k = 0; k < g->nodes[i].in_count; k++)
                if (g->nodes[i].in[k] == v) last = i;
        }
        if (made < node && last >= node) all += (double)model_shape_count(model_graph_shape(g, v));
    }
    return all;
}

static double positions_of(const model *m, const model_layer *l) {
    const model_shape *out = model_graph_shape(m->graph, m->graph->nodes[l->node].out[0]);
    return (double)model_shape_count(out) / (double)(l->out > 0 ? l->out : 1);
}

// Longest sequence as a share of the context, since shapes of tokens are those of the whole context.
static double share_of_context(const model_graph *g, const data_view *view) {
    if (g->input_kind != DATA_TOKENS || g->context < 1) return 1;
    double tokens = 0;
    int64_t look = view->count < 64 ? view->count : 64;
    for (int64_t i = 0; i < look; i++) tokens += (double)data_longest(view, i, 1);
    return look ? tokens / (double)look / (double)g->context : 1;
}

bool foretell_costs(const model *m, const compress_plan *plan, const compress_result *r, const compress_speed *speed,
                    compress_estimate *e, base_err *err) {
    int *rule = base_calloc((size_t)m->layer_count + 1, sizeof *rule);
    bool ok = compress_match(m, plan, rule, err);
    double samples = 0, calib = 0, memory = 0, operations = 0, gradient = 0;
    if (m->graph && plan->calib) calib = (double)plan->calib->count * share_of_context(m->graph, plan->calib);
    samples = calib + (m->graph && plan->held ? (double)plan->held->count * share_of_context(m->graph, plan->held) : 0);
    for (int i = 0; ok && i < r->row_count; i++) {
        const model_layer *l = &m->layers[i];
        const compress_rule *of = rule[i] < 0 ? NULL : &plan->rules[rule[i]];
        unsigned needs = rule_needs(of);
        double square = (double)(l->groups * l->in * l->in), here = 0;
        bool embedding = l->node >= 0 && m->graph->nodes[l->node].op == MODEL_EMBEDDING;
        bool gram = (needs & COMPRESS_NEEDS_GRAM) || ((needs & COMPRESS_WANTS_GRAM) && calib > 0);
        e->seconds += r->rows[i].seconds;
        for (int k = 0; of && k < of->step_count && !embedding; k++) operations += solver_operations(&of->steps[k], l);
        if (needs & COMPRESS_NEEDS_GRADIENT) gradient = 1;
        if (gram && l->node >= 0 && !embedding) {
            operations += 2 * calib * positions_of(m, l) * square;
            double parts = fmin(16, fmax(1, (double)(1 << 26) / square)); // of engine/stream_rows.c
            // The sum, its parts, and a factorisation in double with its inverse.
            here = 4 * square + 4 * square * parts + 8 * 2 * (double)(l->in * l->in);
        }
        if (l->node >= 0 && samples > 0) here += 2 * 4 * samples * held_at(m->graph, l->node);
        memory = fmax(memory, here);
    }
    e->peak_bytes += memory;
    // Both the original and the compressed prefix are carried along, and every layer's outputs compared.
    e->seconds += 5 * samples * speed->forward + 4 * gradient * calib * speed->forward;
    if (speed->flops > 0) e->seconds += operations / speed->flops;
    free(rule);
    return ok;
}
