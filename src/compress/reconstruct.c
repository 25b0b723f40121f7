// reconstruct: rounding learned on the output of whole blocks, after a run - every weight of a block's layers goes to
// one of the two codes around it, all of them together, so that the block computes what the original one did.
//
// Li et al.: BRECQ, ICLR 2021 (arXiv 2102.05426), section 3.2 and algorithm 1, with the plain squared error of their
// code's default: inputs come through the compressed prefix, targets are the original network's. Soft codes and their
// schedule are AdaRound's (arXiv 2004.10568; solvers/adaround.c). With window > 1 blocks are learned in overlapping
// windows, as Ding et al., CBQ (arXiv 2312.07950), section 3.2.
//
// A block ends where a single value is all that later nodes read: the graph is cut at such nodes, and a block takes
// all up to the last cut before the next layer. Scales stay. A block keeps its former codes where the new ones are no
// better on the calibration samples.
#include "compress/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ZETA 1.1f
#define GAMMA (-0.1f)

const base_arg compress_reconstruct_args[] = {
    {"iterations", BASE_INT, 300, 1, 1000000, NULL, NULL, "steps of the optimiser for each block (authors: 20,000)"},
    {"batch", BASE_INT, 32, 1, 4096, NULL, NULL, "samples of a step"},
    {"window", BASE_INT, 1, 1, 16, NULL, NULL, "blocks that are learned together, each window one block on (CBQ)"},
    {"rate", BASE_NUM, 0.1, 1e-6, 1, NULL, NULL, "of Adam"},
    {"weight", BASE_NUM, 0.05, 0, 1000, NULL, NULL, "of the regulariser that drives soft codes to 0 or 1"},
    {"seed", BASE_INT, 1, 0, 2147483647, NULL, NULL, "draws the batches"},
};
const size_t compress_reconstruct_arg_count = sizeof compress_reconstruct_args / sizeof *compress_reconstruct_args;

// A layer while its codes are learned; arrays of rows * cols.
typedef struct soft_layer {
    int layer, param, block;
    size_t n;
    float top;                  // largest code
    float *scale, *zero, *base; // base: the lower of the two codes
    float *v, *m1, *m2;         // variables and Adam's moments
    float *soft, *grad;         // the weight that the soft codes stand for; the gradient on it
    float *before;              // v before this window
    grid_code *former;          // codes of the run
    bool learned;               // a window has left it with better codes than the run's
} soft_layer;

typedef struct rebuild {
    compress_result *r;
    const data_view *calib;
    const base_value *value;
    base_job *job;
    soft_layer *layers;
    int count, blocks;
    int *end;        // [blocks] node after which the block has ended
    const float **w; // [weight_count] weights now
    num_rng rng;
} rebuild;

static double number(const rebuild *k, const char *arg) {
    size_t i = 0;
    while (strcmp(compress_reconstruct_args[i].name, arg)) i++;
    return k->value[i].number;
}

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

// Block of each node; k->end of each block.
static void find_blocks(rebuild *k, int *block_of) {
    const model *m = k->r->m;
    const model_graph *g = m->graph;
    uint8_t *cut = base_calloc((size_t)g->node_count + 1, 1);
    find_cuts(g, cut);
    k->end = base_calloc((size_t)g->node_count + 1, sizeof *k->end);
    int from = 0, last_cut = -1;
    bool holds = false;
    for (int i = 0; i < g->node_count; i++) {
        if (node_layer(m, i) >= 0) {
            if (holds && last_cut >= from) { // a layer behind a cut: the block ends there
                for (int j = from; j <= last_cut; j++) block_of[j] = k->blocks;
                k->end[k->blocks++] = last_cut;
                from = last_cut + 1;
            }
            holds = true;
        }
        if (cut[i] && holds) last_cut = i;
    }
    for (int j = from; j < g->node_count; j++) block_of[j] = k->blocks;
    k->end[k->blocks++] = g->node_count - 1;
    free(cut);
}

// ---- soft codes ----------------------------------------------------------------------------------

static float stretch(float v) {
    float h = (ZETA - GAMMA) / (1 + expf(-v)) + GAMMA;
    return h < 0 ? 0 : h > 1 ? 1 : h;
}

static void set_codes(term *t, const grid_code *codes) {
    grid_codes_pack(codes, t->stored, t->attr[UNIFORM_BITS], t->attr[UNIFORM_SCHEME], t->blob[UNIFORM_CODES].owned);
}

// What a layer's term can tell: decoded with all codes 0 and all codes 1 it gives every weight's scale and zero point.
static bool read_grid(soft_layer *s, const term *t, base_err *err) {
    term *copy = term_copy(t, err);
    bool ok = copy != NULL;
    for (int c = 0; ok && c < 2; c++) {
        for (size_t i = 0; i < s->n; i++) s->former[i] = (grid_code)c;
        set_codes(copy, s->former);
        memset(c ? s->scale : s->zero, 0, s->n * sizeof(float));
        ok = term_decode(copy, c ? s->scale : s->zero, err);
    }
    for (size_t i = 0; ok && i < s->n; i++) {
        s->scale[i] -= s->zero[i];
        s->zero[i] = s->scale[i] > 0 ? -s->zero[i] / s->scale[i] : 0;
    }
    term_free(copy);
    if (ok)
        grid_codes_unpack(t->blob[UNIFORM_CODES].data, 0, t->stored, t->attr[UNIFORM_BITS], t->attr[UNIFORM_SCHEME],
                          s->former);
    return ok;
}

static void begin(soft_layer *s, const float *w) {
    for (size_t i = 0; i < s->n; i++) {
        float t = s->scale[i] > 0 ? w[i] / s->scale[i] + s->zero[i] : s->zero[i], now = (float)s->former[i];
        // The code of the run and its neighbour on the weight's side.
        float down = t >= now ? now : now - 1;
        down = down < 0 ? 0 : down > s->top - 1 ? s->top - 1 : down;
        float rest = t - down;
        rest = rest < 0.01f ? 0.01f : rest > 0.99f ? 0.99f : rest;
        s->base[i] = down;
        s->v[i] = -logf((ZETA - GAMMA) / (rest - GAMMA) - 1);
    }
}

static void soften(soft_layer *s, bool hard) {
    for (size_t i = 0; i < s->n; i++) {
        float h = stretch(s->v[i]);
        if (hard) h = h >= 0.5f;
        s->soft[i] = s->scale[i] * (s->base[i] + h - s->zero[i]);
    }
}

// One step of Adam; b 0: without the regulariser.
static void update(soft_layer *s, int64_t step_no, float b, double rate, double weight) {
    double c1 = 1 - pow(0.9, (double)step_no), c2 = sqrt(1 - pow(0.999, (double)step_no));
    float step = (float)(rate * c2 / c1);
    for (size_t i = 0; i < s->n; i++) {
        float sigma = 1 / (1 + expf(-s->v[i])), h = (ZETA - GAMMA) * sigma + GAMMA, slope = 0;
        if (h > 0 && h < 1) slope = (ZETA - GAMMA) * sigma * (1 - sigma);
        float gradient = s->grad[i] * s->scale[i] * slope;
        if (b > 0 && slope > 0) {
            float u = 2 * h - 1;
            gradient -= (float)weight * b * 2 * copysignf(powf(fabsf(u), b - 1), u) * slope;
        }
        s->m1[i] = 0.9f * s->m1[i] + 0.1f * gradient;
        s->m2[i] = 0.999f * s->m2[i] + 0.001f * gradient * gradient;
        s->v[i] -= step * s->m1[i] / (sqrtf(s->m2[i]) + 1e-12f);
    }
}

// ---- which layers --------------------------------------------------------------------------------

static const char *why_not(const rebuild *k, int index) {
    const model_layer *l = &k->r->m->layers[index];
    const result_layer *own = &k->r->layers[index];
    const model_graph *g = k->r->m->graph;
    int users = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int p = 0; p < g->nodes[i].param_count; p++) users += g->nodes[i].param[p] == l->weight;
    if (g->nodes[l->node].op == MODEL_EMBEDDING) return "an embedding";
    if (own->term_count != 1 || own->terms[0]->kind != &term_uniform ||
        own->terms[0]->attr[UNIFORM_SCHEME] > UNIFORM_ASYM)
        return "no single term of even integer codes";
    if (own->terms[0]->blob[UNIFORM_CODES].coded) return "its codes are entropy-coded already";
    if (users != 1) return "its weight is shared";
    return NULL;
}

static bool open_layer(rebuild *k, int index, int block, base_err *err) {
    const model *m = k->r->m;
    const model_layer *l = &m->layers[index];
    const term *t = k->r->layers[index].terms[0];
    soft_layer *s = &k->layers[k->count++];
    *s = (soft_layer){.layer = index, .param = l->weight, .block = block, .n = (size_t)(l->out * l->in)};
    s->top = (float)((1 << t->attr[UNIFORM_BITS]) - 1);
    float *room = base_big_alloc(s->n, 9 * sizeof *room, "learning a block", err);
    s->former = room ? base_big_alloc(s->n, sizeof *s->former, "learning a block", err) : NULL;
    s->scale = room;
    if (!s->former) return false;
    s->zero = room + s->n;
    s->base = room + 2 * s->n;
    s->v = room + 3 * s->n;
    s->m1 = room + 4 * s->n;
    s->m2 = room + 5 * s->n;
    s->soft = room + 6 * s->n;
    s->grad = room + 7 * s->n;
    s->before = room + 8 * s->n;
    if (!read_grid(s, t, err)) return false;
    begin(s, m->weights[l->weight]);
    return true;
}

static bool open_layers(rebuild *k, base_err *err) {
    const model *m = k->r->m;
    int *block_of = base_calloc((size_t)m->graph->node_count + 1, sizeof *block_of);
    find_blocks(k, block_of);
    k->layers = base_calloc((size_t)m->layer_count + 1, sizeof *k->layers);
    bool ok = true;
    for (int i = 0; ok && i < m->layer_count; i++) {
        const char *why = k->r->layers[i].term_count ? why_not(k, i) : NULL;
        if (why) base_log(k->job, BASE_INFO, "%s: stays as it is (%s)", m->layers[i].name, why);
        if (!why && k->r->layers[i].term_count) ok = open_layer(k, i, block_of[m->layers[i].node], err);
    }
    free(block_of);
    return ok && (k->count || base_fail(err, "no layer has a single term of integer codes, as quantize{} gives"));
}

static void close_layers(rebuild *k) {
    for (int i = 0; i < k->count; i++) {
        base_big_free(k->layers[i].scale);
        base_big_free(k->layers[i].former);
    }
    free(k->layers);
    free(k->end);
    free(k->w);
}

// ---- one window of blocks ------------------------------------------------------------------------

// The network up to a node, its output what that node makes: the engine looks at no more of a graph than this.
typedef struct stump {
    model_graph g;
    model m;
    engine_apart *own, *now; // with the original weights, and with today's
    data_batch batch;        // the last one without its labels, which are of the whole network's outputs
} stump;

static bool stump_open(const rebuild *k, int from, int to, stump *s, base_err *err) {
    const model *m = k->r->m;
    *s = (stump){.g = *m->graph, .m = *m};
    s->g.node_count = k->end[to] + 1;
    s->g.output = m->graph->nodes[k->end[to]].out[0];
    s->m.graph = &s->g;
    bool *want = base_calloc((size_t)m->graph->param_count + 1, sizeof *want);
    s->own = engine_apart_open(&s->m, want, err);
    for (int i = 0; i < k->count; i++)
        if (k->layers[i].block >= from && k->layers[i].block <= to) want[k->layers[i].param] = true;
    s->now = s->own ? engine_apart_open(&s->m, want, err) : NULL;
    free(want);
    return s->now != NULL;
}

static void stump_close(stump *s) {
    engine_apart_close(s->own);
    engine_apart_close(s->now);
}

// Squared error over a few samples, over that of the original outputs' squares if `square`; dout, where not NULL, gets
// 2 (now - own) times `over`, 0 where a sequence is padded.
static bool part_error(const rebuild *k, stump *s, const data_batch *batch, float *dout, double over, double *error,
                       double *square, base_err *err) {
    s->batch = *batch;
    s->batch.labels = NULL;
    const float *own = engine_apart_forward(s->own, k->r->m->weights, &s->batch, k->job, err);
    const float *now = own ? engine_apart_forward(s->now, k->w, &s->batch, k->job, err) : NULL;
    if (!now) return false;
    const model_shape *shape = &s->g.shapes[s->g.output];
    int64_t tokens = batch->kind == DATA_TOKENS ? batch->length : 1, width = 1;
    for (int d = batch->kind == DATA_TOKENS ? 2 : 1; d < shape->ndim; d++) width *= shape->dim[d];
    for (int64_t i = 0; i < batch->count * tokens; i++) {
        bool padded = batch->lengths && i % tokens >= batch->lengths[i / tokens];
        for (int64_t c = i * width; c < (i + 1) * width; c++) {
            double d = padded ? 0 : (double)now[c] - (double)own[c];
            *error += d * d;
            if (square && !padded) *square += (double)own[c] * (double)own[c];
            if (dout) dout[c] = (float)(2 * over * d);
        }
    }
    return true;
}

// Relative error of the window's output on all samples.
static bool window_error(rebuild *k, stump *s, double *relative, base_err *err) {
    data_batch batch = {0};
    double error = 0, square = 0;
    bool ok = true;
    for (int64_t i = 0; ok && i < k->calib->count; i += ENGINE_APART) {
        int64_t n = k->calib->count - i < ENGINE_APART ? k->calib->count - i : ENGINE_APART;
        ok = base_go_on(k->job, err) && data_fetch(k->calib, i, n, &batch, err) &&
             part_error(k, s, &batch, NULL, 0, &error, &square, err);
    }
    data_batch_free(&batch);
    *relative = square > 0 ? error / square : error;
    return ok;
}

// Gradients of one batch of neighbouring samples from a random place, added up in the order of the samples. The error
// is the sum over a sample's values and the mean over samples, as the authors have it.
static bool batch_gradients(rebuild *k, stump *s, int from, int to, data_batch *batch, float **dout, size_t *room,
                            base_err *err) {
    int64_t all = k->calib->count, size = (int64_t)number(k, "batch");
    if (size > all) size = all;
    int64_t at = (int64_t)(num_rng_unit(&k->rng) * (double)(all - size + 1));
    for (int i = 0; i < k->count; i++)
        if (k->layers[i].block >= from && k->layers[i].block <= to)
            memset(k->layers[i].grad, 0, k->layers[i].n * sizeof(float));
    for (int64_t b = 0; b < size; b += ENGINE_APART) {
        int64_t n = size - b < ENGINE_APART ? size - b : ENGINE_APART;
        double error = 0;
        if (!base_go_on(k->job, err) || !data_fetch(k->calib, at + b, n, batch, err)) return false;
        int64_t tokens = batch->kind == DATA_TOKENS ? batch->length : 1, width = 1;
        const model_shape *shape = &s->g.shapes[s->g.output];
        for (int d = batch->kind == DATA_TOKENS ? 2 : 1; d < shape->ndim; d++) width *= shape->dim[d];
        size_t need = (size_t)(n * tokens * width);
        if (need > *room) {
            base_big_free(*dout);
            *dout = base_big_alloc(need, sizeof **dout, "gradients of a block", err);
            *room = *dout ? need : 0;
            if (!*dout) return false;
        }
        if (!part_error(k, s, batch, *dout, 1.0 / (double)(size * tokens), &error, NULL, err) ||
            !engine_apart_backward(s->now, *dout, k->job, err))
            return false;
        for (int i = 0; i < k->count; i++) {
            soft_layer *l = &k->layers[i];
            for (int64_t j = 0; l->block >= from && l->block <= to && j < n; j++) {
                const float *g = engine_apart_gradient(s->now, j, l->param);
                for (size_t c = 0; c < l->n; c++) l->grad[c] += g[c];
            }
        }
    }
    return true;
}

static bool learn_window(rebuild *k, stump *s, int from, int to, base_err *err) {
    int64_t steps = (int64_t)number(k, "iterations"), first = steps / 5;
    data_batch batch = {0};
    float *dout = NULL;
    size_t room = 0;
    bool ok = true;
    for (int64_t it = 0; ok && it < steps; it++) {
        double progress = (double)(it - first) / (double)(steps - first);
        float b = it < first ? 0 : (float)(2 + 18 * (1 - progress));
        for (int i = 0; i < k->count; i++)
            if (k->layers[i].block >= from && k->layers[i].block <= to) soften(&k->layers[i], false);
        ok = batch_gradients(k, s, from, to, &batch, &dout, &room, err);
        for (int i = 0; ok && i < k->count; i++)
            if (k->layers[i].block >= from && k->layers[i].block <= to)
                update(&k->layers[i], it + 1, b, number(k, "rate"), number(k, "weight"));
    }
    data_batch_free(&batch);
    base_big_free(dout);
    return ok;
}

// The layers of a window from here on with the weights of `soft`.
static void begin_window(rebuild *k, int from, int to) {
    for (int i = 0; i < k->count; i++) {
        soft_layer *l = &k->layers[i];
        if (l->block < from || l->block > to) continue;
        memcpy(l->before, l->v, l->n * sizeof *l->v);
        memset(l->m1, 0, l->n * sizeof *l->m1);
        memset(l->m2, 0, l->n * sizeof *l->m2);
        // What an earlier window has decided can still move.
        for (size_t c = 0; l->learned && c < l->n; c++) l->v[c] = fmaxf(-1.5f, fminf(1.5f, l->v[c]));
        k->w[l->param] = l->soft;
    }
}

static void harden(rebuild *k, int from, int to) {
    for (int i = 0; i < k->count; i++)
        if (k->layers[i].block >= from && k->layers[i].block <= to) soften(&k->layers[i], true);
}

static void end_window(rebuild *k, int from, int to, bool better) {
    for (int i = 0; i < k->count; i++) {
        soft_layer *l = &k->layers[i];
        if (l->block < from || l->block > to) continue;
        if (better) l->learned = true;
        if (!better) memcpy(l->v, l->before, l->n * sizeof *l->v);
        soften(l, true);
        if (!l->learned) k->w[l->param] = k->r->weights[l->param];
    }
}

static bool visit_window(rebuild *k, int from, int to, int *changed, base_err *err) {
    stump s;
    double before = 0, after = 0;
    bool ok = stump_open(k, from, to, &s, err) && window_error(k, &s, &before, err);
    if (ok) begin_window(k, from, to);
    ok = ok && learn_window(k, &s, from, to, err);
    if (ok) harden(k, from, to);
    ok = ok && window_error(k, &s, &after, err);
    stump_close(&s);
    if (!ok) return false;
    bool better = after < before;
    end_window(k, from, to, better);
    *changed += better;
    base_log(k->job, BASE_INFO, "block %d%s to %s: error of its output %.5f -> %.5f%s", from + 1,
             to > from ? " and those after it" : "", k->r->m->graph->nodes[k->end[to]].name, before, after,
             better ? "" : ", former codes stay");
    return true;
}

// ---- the call ------------------------------------------------------------------------------------

// The codes that k->w stands for, into the result.
static bool keep_layer(rebuild *k, soft_layer *l, base_err *err) {
    result_layer *own = &k->r->layers[l->layer];
    if (!l->learned) return true;
    term *t = term_copy(own->terms[0], err);
    float *w = t ? base_big_alloc(l->n, sizeof *w, "a decoded weight", err) : NULL;
    bool ok = w != NULL;
    if (ok) {
        for (size_t i = 0; i < l->n; i++) l->former[i] = (grid_code)(l->base[i] + (stretch(l->v[i]) >= 0.5f));
        set_codes(t, l->former);
        ok = term_decode(t, w, err);
    }
    if (!ok) {
        base_big_free(w);
        term_free(t);
        return false;
    }
    term_free(own->terms[0]);
    own->terms[0] = t;
    base_big_free(own->decoded);
    own->decoded = w;
    k->r->weights[l->param] = w;
    return true;
}

static bool holds_layer(const rebuild *k, int from, int to) {
    for (int i = 0; i < k->count; i++)
        if (k->layers[i].block >= from && k->layers[i].block <= to) return true;
    return false;
}

bool compress_reconstruct(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) {
    *changed = 0;
    if (!r->m->graph) return base_fail(err, "%s has no graph to compute activations", r->m->name);
    if (!calib || calib->count < 1)
        return base_fail(err, "it needs calibration data, and the part given has no samples");
    if (r->whole) return base_fail(err, "the network is cut; codes are learned before cut(net, ...)");
    rebuild k = {.r = r, .calib = calib, .value = values, .job = job};
    k.rng = num_rng_seed((uint64_t)number(&k, "seed"), 77);
    k.w = base_calloc((size_t)r->m->weight_count + 1, sizeof *k.w);
    for (int p = 0; p < r->m->weight_count; p++) k.w[p] = r->weights[p];
    bool ok = open_layers(&k, err);
    int window = (int)number(&k, "window"), last = k.blocks > window ? k.blocks - window : 0;
    for (int b = 0; ok && b <= last; b++) {
        int to = b + window - 1 < k.blocks ? b + window - 1 : k.blocks - 1;
        if (holds_layer(&k, b, to)) ok = visit_window(&k, b, to, changed, err);
        base_progress(job, "blocks", b + 1, last + 1, NAN);
    }
    for (int i = 0; ok && i < k.count; i++) ok = keep_layer(&k, &k.layers[i], err);
    close_layers(&k);
    return ok;
}
