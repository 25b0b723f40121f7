// graph: building the list of nodes and keeping its promises - names unique, inputs known, attributes inside the
// ranges of the op table, shapes fitting, parameters named and sized.
#include "model/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 16384 };
#define MAX_VALUES ((int64_t)1 << 40) // values one sample of an intermediate result may have

model_graph *model_graph_new(void) {
    model_graph *g = base_alloc(sizeof *g);
    g->output = -1;
    return g;
}

void model_graph_free(model_graph *g) {
    if (!g) return;
    for (int k = 0; k < g->node_count; k++) free(g->nodes[k].name);
    for (int k = 0; k < g->param_count; k++) free(g->params[k].name);
    free(g->nodes);
    free(g->params);
    free(g->shapes);
    free(g);
}

static bool shape_fits(const model_shape *s) {
    int64_t count = 1;
    for (int d = 0; d < s->ndim; d++)
        if (s->dim[d] < 0 || __builtin_mul_overflow(count, s->dim[d], &count) || count > MAX_VALUES) return false;
    return true;
}

bool model_graph_input(model_graph *g, data_kind kind, int ndim, const int64_t *dim, base_err *err) {
    if (g->value_count) return base_fail(err, "the graph has its input already; it takes only one, before any node");
    int most = kind == DATA_TOKENS ? 1 : 4;
    if (ndim < 1 || ndim > most)
        return base_fail(err, "the input has %d dimensions without the batch, expected 1 to %d", ndim, most);
    model_shape s = {ndim + 1, {1}};
    for (int d = 0; d < ndim; d++) {
        if (dim[d] < 1)
            return base_fail(err, "dimension %d of the input is %lld, expected at least 1", d + 1, (long long)dim[d]);
        s.dim[d + 1] = dim[d];
    }
    if (!shape_fits(&s)) return base_fail(err, "the input's dimensions are too large");
    g->input_kind = kind;
    g->input = s;
    g->context = kind == DATA_TOKENS ? dim[0] : 0;
    g->shapes = base_realloc(g->shapes, 1, sizeof *g->shapes);
    g->shapes[0] = s;
    g->value_count = 1;
    g->output = 0;
    return true;
}

static bool check_attrs(const model_node *node, base_err *err) {
    const model_op_info *info = &model_ops[node->op];
    for (int k = 0; k < info->attr_count; k++) {
        const base_arg *a = &info->attrs[k];
        double v = node->attr[k];
        bool whole = a->type == BASE_INT || a->type == BASE_BOOL;
        if (!(v >= a->min && v <= a->max) || (whole && v != floor(v)))
            return ops_fail(node, err, "%s is %g, expected %s from %.10g to %.10g (%s)", a->name, v,
                            whole ? "a whole number" : "a number", a->min, a->max, a->help);
    }
    return true;
}

static bool check_name(const model_graph *g, const model_node *node, base_err *err) {
    if (!*node->name) return base_fail(err, "a %s node has an empty name", model_ops[node->op].name);
    if (strlen(node->name) > 100)
        return base_fail(err, "the node name '%.40s...' is longer than 100 bytes", node->name);
    for (int k = 0; k < g->node_count; k++)
        if (!strcmp(g->nodes[k].name, node->name))
            return base_fail(err, "two nodes are named '%s' (%s and %s)", node->name, model_ops[g->nodes[k].op].name,
                             model_ops[node->op].name);
    return true;
}

static bool check_inputs(const model_graph *g, const model_node *node, base_err *err) {
    const model_op_info *info = &model_ops[node->op];
    if (node->in_count < info->min_in || node->in_count > info->max_in) {
        char want[32];
        snprintf(want, sizeof want, info->min_in == info->max_in ? "%d" : "%d to %d", info->min_in, info->max_in);
        return ops_fail(node, err, "it has %d inputs, expected %s", node->in_count, want);
    }
    for (int k = 0; k < node->in_count; k++)
        if (node->in[k] < 0 || node->in[k] >= g->value_count)
            return ops_fail(node, err, "input %d is value %d, but the graph has values 0 to %d so far", k + 1,
                            node->in[k], g->value_count - 1);
    return true;
}

static bool infer(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!model_ops[node->op].infer(node, in, out, err)) return false;
    for (int k = 0; k < node->out_count; k++)
        if (!shape_fits(&out[k])) return ops_fail(node, err, "its result would have more than 2^40 values a sample");
    return true;
}

// Appends the node's parameters, or points it at the tied one.
static bool add_params(model_graph *g, model_node *node, const model_shape *in, const char *tied, base_err *err) {
    const model_op_info *info = &model_ops[node->op];
    model_shape shapes[MODEL_MAX_PARAM] = {{0}};
    int count = info->param_shapes(node, in, shapes), tie = -1;
    if (tied) {
        tie = model_graph_param(g, tied);
        if (tie < 0) return ops_fail(node, err, "it is tied to parameter '%s', which no earlier node has", tied);
        const model_shape *t = &g->params[tie].shape;
        bool same = info->weight_param >= 0 && count > 0 && t->ndim == shapes[info->weight_param].ndim;
        for (int d = 0; same && d < t->ndim; d++) same = t->dim[d] == shapes[info->weight_param].dim[d];
        char a[48], b[48];
        if (!same)
            return ops_fail(node, err, "it is tied to '%s' of shape %s, but needs a weight of shape %s", tied,
                            model_shape_text(a, t), model_shape_text(b, &shapes[0]));
    }
    for (int k = 0; k < count; k++)
        if (shapes[k].ndim && !shape_fits(&shapes[k]))
            return ops_fail(node, err, "its %s would have more than 2^40 values", info->params[k]);
    g->params = base_realloc(g->params, (size_t)g->param_count + MODEL_MAX_PARAM, sizeof *g->params);
    for (int k = 0; k < MODEL_MAX_PARAM; k++) node->param[k] = -1;
    node->param_count = count;
    for (int k = 0; k < count; k++) {
        if (!shapes[k].ndim) continue;
        if (tie >= 0 && k == info->weight_param) {
            node->param[k] = tie;
            continue;
        }
        bool turned = node->op == MODEL_LINEAR && k == 0 && node->attr[LINEAR_TRANSPOSED] != 0;
        node->param[k] = g->param_count;
        g->params[g->param_count++] = (model_param){base_sprintf("%s.%s", node->name, info->params[k]),
                                                    shapes[k],
                                                    !strncmp(info->params[k], "running_", 8),
                                                    turned,
                                                    k,
                                                    g->node_count};
    }
    return true;
}

bool model_graph_add(model_graph *g, model_op op, const char *name, int in_count, const int *in, const double *attr,
                     const char *tied, int *out, base_err *err) {
    if (op < 0 || op >= MODEL_OPS) return base_fail(err, "node '%s': there is no op %d", name, (int)op);
    if (!g->value_count) return base_fail(err, "node '%s': the graph has no input yet", name);
    if (g->node_count >= MAX_NODES) return base_fail(err, "node '%s': a graph has at most %d nodes", name, MAX_NODES);
    model_node node = {.op = op, .name = (char *)name, .in_count = in_count};
    if (in_count > MODEL_MAX_IN)
        return ops_fail(&node, err, "it has %d inputs, expected at most %d", in_count, MODEL_MAX_IN);
    for (int k = 0; k < in_count; k++) node.in[k] = in[k];
    if (attr) memcpy(node.attr, attr, sizeof node.attr);
    if (!check_name(g, &node, err) || !check_inputs(g, &node, err) || !check_attrs(&node, err)) return false;
    node.out_count = op == MODEL_SPLIT ? (int)node.attr[SPLIT_PARTS] : 1;
    model_shape ins[MODEL_MAX_IN] = {{0}}, outs[MODEL_MAX_OUT] = {{0}};
    for (int k = 0; k < in_count; k++) ins[k] = g->shapes[node.in[k]];
    if (!infer(&node, ins, outs, err) || !add_params(g, &node, ins, tied, err)) return false;
    g->shapes = base_realloc(g->shapes, (size_t)(g->value_count + node.out_count), sizeof *g->shapes);
    for (int k = 0; k < node.out_count; k++) {
        g->shapes[g->value_count] = outs[k];
        out[k] = node.out[k] = g->value_count++;
    }
    node.name = base_strdup(name);
    g->nodes = base_realloc(g->nodes, (size_t)g->node_count + 1, sizeof *g->nodes);
    g->nodes[g->node_count++] = node;
    g->output = out[0];
    return true;
}

bool model_graph_shapes(const model_graph *g, int64_t n, int64_t t, model_shape *shapes, base_err *err) {
    if (n < 1) return base_fail(err, "a batch of %lld samples: expected at least 1", (long long)n);
    if (g->input_kind == DATA_TOKENS && (t < 1 || t > g->context))
        return base_fail(err, "sequences of %lld tokens: expected 1 to the model's context, %lld", (long long)t,
                         (long long)g->context);
    shapes[0] = g->input;
    shapes[0].dim[0] = n;
    if (g->input_kind == DATA_TOKENS) shapes[0].dim[1] = t;
    for (int k = 0; k < g->node_count; k++) {
        const model_node *node = &g->nodes[k];
        model_shape ins[MODEL_MAX_IN] = {{0}}, outs[MODEL_MAX_OUT] = {{0}};
        for (int i = 0; i < node->in_count; i++) ins[i] = shapes[node->in[i]];
        if (!infer(node, ins, outs, err)) return false;
        for (int o = 0; o < node->out_count; o++) shapes[node->out[o]] = outs[o];
    }
    return true;
}

const model_shape *model_graph_shape(const model_graph *g, int value) {
    BASE_CHECK(value >= 0 && value < g->value_count);
    return &g->shapes[value];
}

int model_graph_param(const model_graph *g, const char *name) {
    for (int k = 0; k < g->param_count; k++)
        if (!strcmp(g->params[k].name, name)) return k;
    return -1;
}

double model_graph_flops(const model_graph *g, int64_t n, int64_t t) {
    base_err err;
    model_shape *shapes = base_calloc((size_t)g->value_count + 1, sizeof *shapes);
    double flops = 0;
    if (g->value_count && model_graph_shapes(g, n, t, shapes, &err))
        for (int k = 0; k < g->node_count; k++) {
            const model_node *node = &g->nodes[k];
            model_shape ins[MODEL_MAX_IN] = {{0}};
            for (int i = 0; i < node->in_count; i++) ins[i] = shapes[node->in[i]];
            flops += model_ops[node->op].flops(node, ins, &shapes[node->out[0]]);
        }
    free(shapes);
    return flops;
}
