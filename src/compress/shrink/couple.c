// couple: channel dependencies of a graph. Each op says which channels of its outputs are those of its inputs; what a
// sum, a product, attention or a flattened image ties together ends up under one root (disjoint sets). After Fang et
// al., DepGraph: Towards Any Structural Pruning (CVPR 2023, arXiv 2301.12900), for a graph of known ops.
#include "compress/shrink/couple.h"

#include <stdlib.h>
#include <string.h>

int32_t couple_root(const couple *c, int64_t place) {
    int32_t *p = c->parent, i = (int32_t)place;
    while (p[i] != i) i = p[i] = p[p[i]];
    return i;
}

int couple_space(const couple *c, int value) {
    while (c->space[value] != value) value = c->space[value] = c->space[c->space[value]];
    return value;
}

int64_t couple_channels(const couple *c, int value) {
    return c->at[value + 1] - c->at[value];
}

// The lower root stays, so that results do not depend on the order of unions.
static void tie(couple *c, int64_t a, int64_t b) {
    int32_t x = couple_root(c, a), y = couple_root(c, b);
    if (x == y) return;
    int32_t low = x < y ? x : y, high = x < y ? y : x;
    c->parent[high] = low;
    c->pinned[low] |= c->pinned[high];
}

static void tie_spaces(couple *c, int a, int b) {
    int x = couple_space(c, a), y = couple_space(c, b);
    int low = x < y ? x : y, high = x < y ? y : x;
    c->space[high] = low;
    c->residual[low] |= c->residual[high];
    c->heads[low] |= c->heads[high];
}

// Channel for channel, `shift` of the second value's before the first's.
static void tie_values(couple *c, int a, int b, int64_t shift) {
    int64_t n = couple_channels(c, a), m = couple_channels(c, b);
    for (int64_t i = 0; i < n && i + shift < m; i++) tie(c, c->at[a] + i, c->at[b] + i + shift);
    tie_spaces(c, a, b);
}

static void pin(couple *c, int value) {
    for (int64_t i = c->at[value]; i < c->at[value + 1]; i++) c->pinned[couple_root(c, i)] = 1;
}

static void pin_node(couple *c, const model_node *n) {
    for (int i = 0; i < n->in_count; i++) pin(c, n->in[i]);
    for (int i = 0; i < n->out_count; i++) pin(c, n->out[i]);
}

static int channel_axis(const model_shape *s) {
    return s->ndim == 4 ? 1 : s->ndim - 1;
}

static int axis_of(double attr, int ndim) {
    return attr < 0 ? (int)attr + ndim : (int)attr;
}

// ---- ops -------------------------------------------------------------------------------------------

typedef void (*rule)(couple *c, const model_node *n, const model_shape *in, const model_shape *out);

static void same(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    (void)in, (void)out;
    tie_values(c, n->in[0], n->out[0], 0);
}

static void apart(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    (void)c, (void)n, (void)in, (void)out; // a full matrix in between: nothing is tied
}

static void pinned(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    (void)in, (void)out;
    pin_node(c, n);
}

// Norms over channels: fewer of them would be another norm.
static void norm(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    same(c, n, in, out);
    pin(c, n->in[0]);
}

// A group of a grouped convolution goes as a whole, its inputs with its outputs: each group has as many as the others.
static void conv(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    int64_t groups = (int64_t)n->attr[CONV_GROUPS];
    if (groups <= 1) return;
    int64_t reads = in->dim[1] / groups, gives = out->dim[1] / groups, first = c->at[n->in[0]];
    for (int64_t i = 0; i < in->dim[1]; i++) tie(c, first + i / reads * reads, first + i);
    for (int64_t i = 0; i < out->dim[1]; i++) tie(c, first + i / gives * reads, c->at[n->out[0]] + i);
    tie_spaces(c, n->in[0], n->out[0]);
}

static bool is_same_shape(const model_shape *a, const model_shape *b) {
    bool equal = a->ndim == b->ndim;
    for (int k = 0; equal && k < a->ndim; k++) equal = a->dim[k] == b->dim[k];
    return equal;
}

static void together(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    for (int i = 0; i < n->in_count; i++)
        if (!is_same_shape(&in[i], out)) {
            pin_node(c, n); // one is spread over the other
            return;
        }
    for (int i = 0; i < n->in_count; i++) tie_values(c, n->in[i], n->out[0], 0);
    if (n->op == MODEL_ADD) c->residual[couple_space(c, n->out[0])] = 1;
}

// Channels side by side stay those of their own spaces.
static void join(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    bool across = axis_of(n->attr[CONCAT_AXIS], out->ndim) == channel_axis(out);
    int64_t shift = 0;
    for (int i = 0; i < n->in_count; i++) {
        int64_t channels = in[i].dim[channel_axis(&in[i])];
        for (int64_t k = 0; k < channels; k++) tie(c, c->at[n->in[i]] + k, c->at[n->out[0]] + shift + k);
        if (across)
            shift += channels;
        else
            tie_spaces(c, n->in[i], n->out[0]);
    }
}

// Equal parts stay equal: the same channels of each go.
static void split(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    bool across = axis_of(n->attr[SPLIT_AXIS], in->ndim) == channel_axis(in);
    int64_t part = out->dim[channel_axis(out)];
    for (int i = 0; i < n->out_count; i++) {
        for (int64_t k = 0; k < part; k++) tie(c, c->at[n->in[0]] + (across ? i * part : 0) + k, c->at[n->out[i]] + k);
        tie_spaces(c, n->in[0], n->out[i]);
        tie_values(c, n->out[0], n->out[i], 0);
    }
}

static void slice(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    if (axis_of(n->attr[SLICE_AXIS], in->ndim) == channel_axis(in))
        pin_node(c, n);
    else
        same(c, n, in, out);
}

static void pad(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    (void)out;
    bool across = axis_of(n->attr[PAD_AXIS], in->ndim) == channel_axis(in);
    tie_values(c, n->in[0], n->out[0], across ? (int64_t)n->attr[PAD_BEFORE] : 0);
}

static void transpose(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    int axis = channel_axis(in), a = axis_of(n->attr[TRANSPOSE_A], in->ndim),
        b = axis_of(n->attr[TRANSPOSE_B], in->ndim);
    if (a == axis || b == axis)
        pin_node(c, n);
    else
        same(c, n, in, out);
}

// An image made a row: channel c becomes its H W inputs.
static void reshape(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    int64_t channels = in->dim[channel_axis(in)], wide = out->dim[out->ndim - 1];
    bool flat = out->ndim == 2 && (in->ndim == 4 || in->ndim == 2) && wide % channels == 0;
    if (!flat) {
        pin_node(c, n);
        return;
    }
    for (int64_t i = 0; i < wide; i++) tie(c, c->at[n->in[0]] + i / (wide / channels), c->at[n->out[0]] + i);
    tie_spaces(c, n->in[0], n->out[0]);
}

static void tie_heads(couple *c, int value, int64_t dim, int64_t each) {
    for (int64_t i = 0; i < couple_channels(c, value); i++)
        tie(c, c->at[value] + i / (dim * each) * (dim * each), c->at[value] + i);
}

static void rope(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    same(c, n, in, out);
    tie_heads(c, n->in[0], (int64_t)n->attr[ROPE_HEAD_DIM], 1);
}

// A key and value head goes with all query heads that use it.
static void attention(couple *c, const model_node *n, const model_shape *in, const model_shape *out) {
    (void)out;
    int64_t heads = (int64_t)n->attr[ATTENTION_HEADS], kv = (int64_t)n->attr[ATTENTION_KV_HEADS];
    if (!kv) kv = heads;
    int64_t dim = in[0].dim[in[0].ndim - 1] / heads, each = heads / kv;
    tie_heads(c, n->in[0], dim, each);
    tie_heads(c, n->in[1], dim, 1);
    tie_heads(c, n->in[2], dim, 1);
    for (int64_t k = 0; k < kv; k++) {
        tie(c, c->at[n->in[0]] + k * dim * each, c->at[n->in[1]] + k * dim);
        tie(c, c->at[n->in[0]] + k * dim * each, c->at[n->in[2]] + k * dim);
    }
    tie_spaces(c, n->in[0], n->in[1]);
    tie_spaces(c, n->in[0], n->in[2]);
    tie_values(c, n->in[0], n->out[0], 0);
    c->heads[couple_space(c, n->out[0])] = 1;
}

static const rule rules[MODEL_OPS] = {
    [MODEL_LINEAR] = apart,        [MODEL_CONV2D] = conv,
    [MODEL_BATCH_NORM] = same,     [MODEL_LAYER_NORM] = norm,
    [MODEL_RMS_NORM] = norm,       [MODEL_EMBEDDING] = apart,
    [MODEL_POSITION] = same,       [MODEL_RELU] = same,
    [MODEL_GELU] = same,           [MODEL_GELU_TANH] = same,
    [MODEL_SILU] = same,           [MODEL_TANH] = same,
    [MODEL_SIGMOID] = same,        [MODEL_SOFTMAX] = pinned,
    [MODEL_ADD] = together,        [MODEL_MUL] = together,
    [MODEL_CONCAT] = join,         [MODEL_SPLIT] = split,
    [MODEL_RESHAPE] = reshape,     [MODEL_TRANSPOSE] = transpose,
    [MODEL_SLICE] = slice,         [MODEL_PAD] = pad,
    [MODEL_MAX_POOL] = same,       [MODEL_AVG_POOL] = same,
    [MODEL_GLOBAL_POOL] = same,    [MODEL_ROPE] = rope,
    [MODEL_ATTENTION] = attention, [MODEL_CROSS_ENTROPY] = pinned,
    [MODEL_MSE] = pinned,
};

static bool is_shared(const model_graph *g, const model_node *n) {
    for (int s = 0; s < n->param_count; s++)
        for (int k = 0; n->param[s] >= 0 && k < g->node_count; k++)
            for (int t = 0; &g->nodes[k] != n && t < g->nodes[k].param_count; t++)
                if (g->nodes[k].param[t] == n->param[s]) return true;
    return false;
}

bool couple_make(couple *c, const model *m, base_err *err) {
    const model_graph *g = m->graph;
    *c = (couple){.m = m};
    c->at = base_calloc((size_t)g->value_count + 1, sizeof *c->at);
    for (int v = 0; v < g->value_count; v++) c->at[v + 1] = c->at[v] + g->shapes[v].dim[channel_axis(&g->shapes[v])];
    int64_t places = c->at[g->value_count];
    if (places > INT32_MAX) {
        couple_free(c);
        return base_fail(err, "%s has %lld channels in all, more than can be looked at", m->name, (long long)places);
    }
    c->parent = base_calloc((size_t)places + 1, sizeof *c->parent);
    c->pinned = base_calloc((size_t)places + 1, 1);
    c->space = base_calloc((size_t)g->value_count + 1, sizeof *c->space);
    c->residual = base_calloc((size_t)g->value_count + 1, 1);
    c->heads = base_calloc((size_t)g->value_count + 1, 1);
    for (int64_t i = 0; i < places; i++) c->parent[i] = (int32_t)i;
    for (int v = 0; v < g->value_count; v++) c->space[v] = v;
    for (int k = 0; k < g->node_count; k++) {
        const model_node *n = &g->nodes[k];
        model_shape in[MODEL_MAX_IN];
        for (int i = 0; i < n->in_count; i++) in[i] = g->shapes[n->in[i]];
        (rules[n->op] ? rules[n->op] : pinned)(c, n, in, &g->shapes[n->out[0]]);
        if (is_shared(g, n)) pin_node(c, n);
    }
    pin(c, 0);
    pin(c, g->output);
    return true;
}

void couple_free(couple *c) {
    free(c->at);
    free(c->parent);
    free(c->pinned);
    free(c->space);
    free(c->residual);
    free(c->heads);
    *c = (couple){0};
}
