// blockwise: the blocks of a network, and the loss of a window of them.
//
// A block ends where a single value is all that later nodes read: the graph is cut at such nodes, and a block takes
// all up to the last cut before the next layer. Inputs of a window come through the compressed network, targets from
// the original one; both are held for all samples while the window is learned, and only its own nodes are run.
//
// The weights of the squared differences are those of Li et al., BRECQ, ICLR 2021 (arXiv 2102.05426), equation 10: the
// squared gradients of the loss with respect to the block's output, sample by sample; the loss is the divergence
// KL(original || compressed up to this window), as in the authors' code (quant/data_utils.py, GetLayerGrad). Those
// gradients alone let the few samples that the network has got wrong decide everything; the code adds 1 to their
// magnitude, of a mean over a batch, before it squares (save_grad_data). That is BLOCK_FISHER, the bare one BLOCK_BARE.
#include "compress/blockwise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- blocks --------------------------------------------------------------------------------------

// cut[k]: after node k one value, its own, is all that later nodes and the output read.
static void find_cuts(const model_graph *g, uint8_t *cut) {
    int *last = base_calloc((size_t)g->value_count + 1, sizeof *last),
        *made = base_calloc((size_t)g->value_count + 1, sizeof *made);
    for (int v = 0; v < g->value_count; v++) last[v] = made[v] = -1;
    for (int i = 0; i < g->node_count; i++) {
        for (int k = 0; k < g->nodes[i].in_count; k++) last[g->nodes[i].in[k]] = i;
        for (int k = 0; k < g->nodes[i].out_count; k++) made[g->nodes[i].out[k]] = i;
    }
    last[g->output] = g->node_count;
    for (int i = 0; i < g->node_count; i++) {
        int alive = 0, own = 0;
        for (int v = 0; v < g->value_count; v++) {
            if (made[v] > i || last[v] <= i) continue;
            alive++;
            own += made[v] == i;
        }
        cut[i] = alive == 1 && own == 1;
    }
    free(last);
    free(made);
}

static int node_layer(const model *m, int node) {
    for (int i = 0; i < m->layer_count; i++)
        if (m->layers[i].node == node) return i;
    return -1;
}

static void find_blocks(blockwise *b) {
    const model *m = b->r->m;
    const model_graph *g = m->graph;
    uint8_t *cut = base_calloc((size_t)g->node_count + 1, 1);
    find_cuts(g, cut);
    b->block_of = base_calloc((size_t)g->node_count + 1, sizeof *b->block_of);
    b->end = base_calloc((size_t)g->node_count + 1, sizeof *b->end);
    int from = 0, last_cut = -1;
    bool holds = false;
    for (int i = 0; i < g->node_count; i++) {
        if (node_layer(m, i) >= 0) {
            if (holds && last_cut >= from) { // a layer behind a cut: the block ends there
                for (int j = from; j <= last_cut; j++) b->block_of[j] = b->blocks;
                b->end[b->blocks++] = last_cut;
                from = last_cut + 1;
            }
            holds = true;
        }
        if (cut[i] && holds) last_cut = i;
    }
    for (int j = from; j < g->node_count; j++) b->block_of[j] = b->blocks;
    b->end[b->blocks++] = g->node_count - 1;
    free(cut);
}

static int begin_of(const blockwise *b, int block) {
    return block ? b->end[block - 1] + 1 : 0;
}

static bool has_tokens(const blockwise *b) {
    return b->r->m->graph->input_kind == DATA_TOKENS;
}

bool blockwise_open(blockwise *b, compress_result *r, const data_view *calib, base_job *job, base_err *err) {
    *b = (blockwise){.r = r, .calib = calib, .job = job};
    if (!r->m->graph) return base_fail(err, "%s has no graph to compute activations", r->m->name);
    if (!calib || calib->count < 1)
        return base_fail(err, "it needs calibration data, and the part given has no samples");
    if (r->whole) return base_fail(err, "the network is cut; blocks are learned before cut(net, ...)");
    b->w = base_calloc((size_t)r->m->weight_count + 1, sizeof *b->w);
    for (int p = 0; p < r->m->weight_count; p++) b->w[p] = r->weights[p];
    b->first = base_calloc((size_t)calib->count + 1, sizeof *b->first);
    for (int64_t i = 0; i < calib->count; i++)
        b->first[i + 1] = b->first[i] + (has_tokens(b) ? data_longest(calib, i, 1) : 1);
    find_blocks(b);
    b->own = engine_stream_open(r->m, r->m->weights, calib, err);
    b->chain = b->own ? engine_stream_open(r->m, b->w, calib, err) : NULL;
    return b->chain != NULL;
}

void blockwise_close(blockwise *b) {
    engine_stream_close(b->own);
    engine_stream_close(b->chain);
    free(b->w);
    free(b->first);
    free(b->end);
    free(b->block_of);
    *b = (blockwise){0};
}

// ---- a window --------------------------------------------------------------------------------------

static int64_t positions_of(const blockwise *b, int64_t sample) {
    return b->first[sample + 1] - b->first[sample];
}

static int64_t longest_of(const blockwise *b, int64_t at, int64_t count) {
    int64_t longest = 1;
    for (int64_t i = at; i < at + count; i++) longest = positions_of(b, i) > longest ? positions_of(b, i) : longest;
    return longest;
}

// Values of a position of a value of the graph (tokens: of one token).
static int64_t width_of(const blockwise *b, int value) {
    const model_shape *s = &b->r->m->graph->shapes[value];
    int64_t width = 1;
    for (int d = has_tokens(b) ? 2 : 1; d < s->ndim; d++) width *= s->dim[d];
    return width;
}

static void find_channels(block_window *w, const model_shape *s) {
    w->stride = 1;
    if (s->ndim <= 3) w->channels = s->dim[s->ndim - 1];
    if (s->ndim <= 3) return;
    w->channels = s->dim[1];
    for (int d = 2; d < s->ndim; d++) w->stride *= s->dim[d];
}

// The window's nodes as a graph of their own, reading value 0 where they read what the block before has made.
static void cut_graph(block_window *w, int from, int to, int input) {
    const model_graph *g = w->b->r->m->graph;
    w->g = *g;
    w->g.node_count = to - from + 1;
    w->g.nodes = base_calloc((size_t)w->g.node_count + 1, sizeof *w->g.nodes);
    memcpy(w->g.nodes, g->nodes + from, (size_t)w->g.node_count * sizeof *w->g.nodes);
    w->g.output = g->nodes[to].out[0];
    if (input > 0) {
        w->g.input = g->shapes[input];
        for (int i = 0; i < w->g.node_count; i++)
            for (int k = 0; k < w->g.nodes[i].in_count; k++)
                if (w->g.nodes[i].in[k] == input) w->g.nodes[i].in[k] = 0;
    }
    w->m = *w->b->r->m;
    w->m.graph = &w->g;
}

// Both streams to where the window's inputs and targets are held.
static bool bring_samples(block_window *w, int from, int to, int input, base_err *err) {
    blockwise *b = w->b;
    for (int p = 0; p < b->r->m->weight_count; p++) engine_stream_set(b->chain, p, b->w[p]);
    if (!engine_stream_advance(b->chain, from, b->job, err) || !engine_stream_advance(b->own, to + 1, b->job, err))
        return false;
    size_t in = 0, out = 0, all = (size_t)b->first[b->calib->count];
    w->width = width_of(b, w->g.output);
    w->target = engine_stream_value(b->own, w->g.output, &out);
    BASE_CHECK(out == all * (size_t)w->width);
    if (input <= 0) return true;
    w->in_width = width_of(b, input);
    w->in = engine_stream_value(b->chain, input, &in);
    BASE_CHECK(in == all * (size_t)w->in_width);
    int64_t most = longest_of(b, 0, b->calib->count) * ENGINE_APART;
    w->room = base_big_alloc((size_t)(most * w->in_width), sizeof *w->room, "inputs of a block", err);
    return w->room != NULL;
}

// Samples [at, at + n) as a batch of the window's graph.
static bool fetch(block_window *w, int64_t at, int64_t n, data_batch *out, base_err *err) {
    const blockwise *b = w->b;
    if (!w->in) {
        if (!data_fetch(b->calib, at, n, &w->batch, err)) return false;
        *out = w->batch;
        out->labels = NULL;
        return true;
    }
    int64_t longest = longest_of(b, at, n);
    *out = (data_batch){.kind = w->g.input_kind, .count = n, .length = longest, .x = w->room};
    memset(w->room, 0, (size_t)(n * longest * w->in_width) * sizeof *w->room);
    for (int64_t i = 0; i < n; i++)
        memcpy(w->room + i * longest * w->in_width, w->in + b->first[at + i] * w->in_width,
               (size_t)(positions_of(b, at + i) * w->in_width) * sizeof *w->room);
    return true;
}

// ---- the loss of one position ------------------------------------------------------------------------

double block_log_sum(const float *x, int64_t n, int64_t stride) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, (double)x[i * stride]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i * stride] - most);
    return most + log(sum);
}

double block_divergence(const float *now, const float *own, int64_t n, int64_t stride, double over, float *dout) {
    double a = block_log_sum(own, n, stride), b = block_log_sum(now, n, stride), kl = 0;
    for (int64_t i = 0; i < n; i++) {
        double p = (double)own[i * stride] - a, q = (double)now[i * stride] - b;
        kl += exp(p) * (p - q);
        if (dout) dout[i * stride] += (float)(over * (exp(q) - exp(p)));
    }
    return kl;
}

static void compare(const block_window *w, const float *now, int64_t position, double over, float *dout, double *error,
                    double *square) {
    const float *own = w->target + position * w->width, *f = w->fisher ? w->fisher + position * w->width : NULL;
    for (int64_t c = 0; c < w->width; c++) {
        double d = (double)now[c] - (double)own[c], by = f ? (double)f[c] : 1;
        *error += by * d * d;
        *square += by * (double)own[c] * (double)own[c];
        if (dout) dout[c] = (float)(2 * over * by * d);
    }
    if (w->loss != BLOCK_KL) return;
    for (int64_t at = 0; at < w->width; at += w->channels * w->stride)
        for (int64_t s = 0; s < w->stride; s++)
            *error +=
                block_divergence(now + at + s, own + at + s, w->channels, w->stride, over, dout ? dout + at + s : NULL);
}

static bool part(block_window *w, int64_t at, int64_t n, double over, float *dout, double *error, double *square,
                 base_err *err) {
    const blockwise *b = w->b;
    data_batch batch;
    if (!base_go_on(b->job, err) || !fetch(w, at, n, &batch, err)) return false;
    const float *now = engine_apart_forward(w->now, b->w, &batch, b->job, err);
    if (!now) return false;
    int64_t longest = has_tokens(b) ? batch.length : 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t valid = positions_of(b, at + i);
        for (int64_t p = 0; p < valid; p++) {
            int64_t to = (i * longest + p) * w->width;
            compare(w, now + to, b->first[at + i] + p, over, dout ? dout + to : NULL, error, square);
        }
        if (dout)
            memset(dout + (i * longest + valid) * w->width, 0, (size_t)((longest - valid) * w->width) * sizeof *dout);
    }
    return true;
}

bool block_window_error(block_window *w, double *relative, base_err *err) {
    double error = 0, square = 0;
    int64_t all = w->b->calib->count;
    for (int64_t i = 0; i < all; i += ENGINE_APART)
        if (!part(w, i, all - i < ENGINE_APART ? all - i : ENGINE_APART, 0, NULL, &error, &square, err)) return false;
    *relative = square > 0 ? error / square : error;
    return true;
}

bool block_window_gradients(block_window *w, int64_t at, int64_t count, block_gradient each, void *context,
                            double *error, base_err *err) {
    const blockwise *b = w->b;
    double sum = 0, square = 0, over = 1 / (double)(b->first[at + count] - b->first[at]);
    for (int64_t i = 0; i < count; i += ENGINE_APART) {
        int64_t n = count - i < ENGINE_APART ? count - i : ENGINE_APART;
        size_t need = (size_t)(n * longest_of(b, at + i, n) * w->width);
        if (need > w->dout_room) {
            base_big_free(w->dout);
            w->dout = base_big_alloc(need, sizeof *w->dout, "gradients of a block", err);
            w->dout_room = w->dout ? need : 0;
            if (!w->dout) return false;
        }
        if (!part(w, at + i, n, over, w->dout, &sum, &square, err) ||
            !engine_apart_backward(w->now, w->dout, b->job, err))
            return false;
        each(context, w->now, n);
    }
    if (error) *error = sum * over;
    return true;
}

// ---- gradients of the whole network's divergence -----------------------------------------------------

// Compressed up to the window's end, original behind it. A weight that both read is compressed.
static const float **mixed_weights(const block_window *w) {
    const blockwise *b = w->b;
    const model *m = b->r->m;
    const float **mixed = base_calloc((size_t)m->weight_count + 1, sizeof *mixed);
    for (int p = 0; p < m->weight_count; p++) mixed[p] = b->w[p];
    for (int i = 0; i < m->layer_count; i++)
        if (b->block_of[m->layers[i].node] > w->to) mixed[m->layers[i].weight] = m->weights[m->layers[i].weight];
    for (int i = 0; i < m->layer_count; i++)
        if (b->block_of[m->layers[i].node] <= w->to) mixed[m->layers[i].weight] = b->w[m->layers[i].weight];
    return mixed;
}

// The gradient of KL(own || now) summed over positions; of a network that gives its input back, of the squared error.
static void output_gradient(const model_graph *g, const float *own, const float *now, int64_t rows, float *dout) {
    const model_shape *s = &g->shapes[g->output];
    int64_t n = s->dim[s->ndim - 1];
    memset(dout, 0, (size_t)(rows * n) * sizeof *dout);
    for (int64_t i = 0; i < rows * n; i += n) {
        if (g->task != MODEL_RECONSTRUCT) block_divergence(now + i, own + i, n, 1, 1, dout + i);
        for (int64_t c = i; g->task == MODEL_RECONSTRUCT && c < i + n; c++) dout[c] = 2 * (now[c] - own[c]);
    }
}

// What one window's gradients are worked out with.
typedef struct fisher_run {
    engine_apart *apart;
    const float **mixed;
    float *own, *dout; // outputs of a few samples
    data_batch batch;
} fisher_run;

static bool fisher_part(block_window *w, fisher_run *f, int64_t at, int64_t n, base_err *err) {
    const blockwise *b = w->b;
    const model *m = b->r->m;
    if (!base_go_on(b->job, err) || !data_fetch(b->calib, at, n, &f->batch, err)) return false;
    data_batch batch = f->batch;
    batch.labels = NULL;
    int64_t longest = has_tokens(b) ? batch.length : 1, out = width_of(b, m->graph->output);
    const float *x = engine_apart_forward(f->apart, m->weights, &batch, b->job, err);
    if (!x) return false;
    memcpy(f->own, x, (size_t)(n * longest * out) * sizeof *x);
    x = engine_apart_forward(f->apart, f->mixed, &batch, b->job, err);
    if (!x) return false;
    const model_shape *s = &m->graph->shapes[m->graph->output];
    output_gradient(m->graph, f->own, x, n * longest * out / s->dim[s->ndim - 1], f->dout);
    for (int64_t i = 0; i < n; i++) {
        int64_t valid = positions_of(b, at + i);
        memset(f->dout + (i * longest + valid) * out, 0, (size_t)((longest - valid) * out) * sizeof *f->dout);
    }
    if (!engine_apart_backward(f->apart, f->dout, b->job, err)) return false;
    for (int64_t i = 0; i < n; i++)
        memcpy(w->fisher + b->first[at + i] * w->width, engine_apart_value_gradient(f->apart, i),
               (size_t)(positions_of(b, at + i) * w->width) * sizeof *w->fisher);
    return true;
}

static void square_gradients(block_window *w, int64_t batch) {
    size_t n = (size_t)w->b->first[w->b->calib->count] * (size_t)w->width;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double g = (double)w->fisher[i];
        if (w->loss == BLOCK_FISHER) g = fabs(g) / (double)batch + 1;
        sum += g * g;
    }
    // Where both networks agree there is nothing to weigh: all differences count the same.
    double by = w->loss == BLOCK_FISHER || !(sum > 0) ? 1 : (double)n / sum;
    for (size_t i = 0; i < n; i++) {
        double g = (double)w->fisher[i];
        if (w->loss == BLOCK_FISHER) g = fabs(g) / (double)batch + 1;
        w->fisher[i] = sum > 0 ? (float)(by * g * g) : 1;
    }
}

static bool make_fisher(block_window *w, int64_t batch, base_err *err) {
    const blockwise *b = w->b;
    const model *m = b->r->m;
    int64_t all = b->calib->count;
    size_t outputs = (size_t)(ENGINE_APART * longest_of(b, 0, all) * width_of(b, m->graph->output));
    fisher_run f = {.apart = engine_apart_open_value(m, w->g.output, err)};
    w->fisher = base_big_alloc((size_t)(b->first[all] * w->width), sizeof *w->fisher, "gradients of a block", err);
    f.own = w->fisher ? base_big_alloc(outputs, 2 * sizeof *f.own, "outputs of the network", err) : NULL;
    bool ok = f.apart && f.own;
    if (ok) f.dout = f.own + outputs;
    if (ok) f.mixed = mixed_weights(w);
    for (int64_t i = 0; ok && i < all; i += ENGINE_APART)
        ok = fisher_part(w, &f, i, all - i < ENGINE_APART ? all - i : ENGINE_APART, err);
    if (ok) square_gradients(w, batch);
    engine_apart_close(f.apart);
    base_big_free(f.own);
    free(f.mixed);
    data_batch_free(&f.batch);
    return ok;
}

// ---- opening ---------------------------------------------------------------------------------------

bool block_window_open(block_window *w, blockwise *b, int from, int to, enum block_loss loss, int64_t batch,
                       const bool *wanted, base_err *err) {
    *w = (block_window){.b = b, .from = from, .to = to, .loss = loss};
    const model_graph *g = b->r->m->graph;
    int input = from ? g->nodes[b->end[from - 1]].out[0] : 0;
    cut_graph(w, begin_of(b, from), b->end[to], input);
    find_channels(w, &g->shapes[w->g.output]);
    if (!bring_samples(w, begin_of(b, from), b->end[to], input, err)) return false;
    if (loss == BLOCK_FISHER || loss == BLOCK_BARE)
        if (!make_fisher(w, batch, err)) return false;
    w->now = engine_apart_open(&w->m, wanted, err);
    return w->now != NULL;
}

void block_window_close(block_window *w) {
    engine_apart_close(w->now);
    base_big_free(w->room);
    base_big_free(w->fisher);
    base_big_free(w->dout);
    data_batch_free(&w->batch);
    free(w->g.nodes);
    *w = (block_window){0};
}
