// tune_bias: the biases of a compressed network learned so that its outputs are the original's.
//
// The last step of AdaQuant's pipelines (Hubara et al., arXiv 2006.10518, section 3.5): with all weights fixed, the
// biases follow the gradient of the distillation loss KL(original || compressed) of the outputs. There batch norms are
// folded, so that every layer has a bias; here the bias of a norm behind a layer is the same thing and is learned as it
// stands. Adam over passes of the samples in order; after every pass the divergence is measured on all samples with
// the biases as they will be stored, and the best is kept: it never rises.
#include "compress/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const base_arg compress_tune_biases_args[] = {
    {"epochs", BASE_INT, 8, 1, 100000, NULL, NULL, "passes over the samples"},
    {"batch", BASE_INT, 32, 1, 4096, NULL, NULL, "samples of a step"},
    {"rate", BASE_NUM, 1e-3, 0, 1, NULL, NULL, "of Adam; falls to a twentieth by a cosine"},
};
const size_t compress_tune_biases_arg_count = sizeof compress_tune_biases_args / sizeof *compress_tune_biases_args;

typedef struct bias {
    int param;
    size_t n;
    num_dtype stored;
    float *x, *grad, *m1, *m2, *now, *best; // now: x as it would be stored
} bias;

typedef struct biases {
    compress_result *r;
    bias *each;
    int count;
    const float **w;
    whole_net net;
} biases;

static void add_gradients(void *context, const engine_apart *a, int64_t samples) {
    const biases *b = context;
    for (int i = 0; i < b->count; i++)
        for (int64_t j = 0; j < samples; j++) {
            const float *g = engine_apart_gradient(a, j, b->each[i].param);
            for (size_t c = 0; c < b->each[i].n; c++) b->each[i].grad[c] += g[c];
        }
}

// Of linear layers, convolutions and norms the second parameter is the bias.
static int bias_of(const model_node *node) {
    static const model_op with[] = {MODEL_LINEAR, MODEL_CONV2D, MODEL_BATCH_NORM, MODEL_LAYER_NORM};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        if (node->op == with[i] && node->param_count > 1) return node->param[1];
    return -1;
}

static bool open_bias(biases *b, int param, base_err *err) {
    bias *x = &b->each[b->count];
    *x = (bias){.param = param, .n = (size_t)model_shape_count(&b->r->m->graph->params[param].shape)};
    x->stored = result_stored_type(b->r, b->r->m->param_tensor[param]);
    x->x = base_big_alloc(x->n, 6 * sizeof *x->x, "learning biases", err);
    if (!x->x) return false;
    float **const parts[] = {&x->grad, &x->m1, &x->m2, &x->now, &x->best};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) *parts[i] = x->x + (i + 1) * x->n;
    memcpy(x->x, b->w[param], x->n * sizeof *x->x);
    memcpy(x->best, x->x, x->n * sizeof *x->x);
    b->count++;
    return true;
}

static bool open_biases(biases *b, base_err *err) {
    const model_graph *g = b->r->m->graph;
    b->each = base_calloc((size_t)g->node_count + 1, sizeof *b->each);
    bool ok = true;
    for (int i = 0; ok && i < g->node_count; i++) {
        int param = bias_of(&g->nodes[i]);
        bool known = param < 0 || g->params[param].buffer;
        for (int k = 0; k < b->count; k++) known |= b->each[k].param == param;
        if (!known) ok = open_bias(b, param, err);
    }
    return ok;
}

// The biases as they would be stored, rounded once through that type; `learned`: or as they are learned.
static bool use(biases *b, bool learned, base_err *err) {
    for (int i = 0; i < b->count; i++) {
        bias *x = &b->each[i];
        b->w[x->param] = learned ? x->x : x->now;
        if (learned) continue;
        uint8_t *bytes = base_big_alloc(x->n, num_dtypes[x->stored].bytes, "biases", err);
        if (!bytes) return false;
        num_from_f32(x->stored, x->x, bytes, x->n);
        num_to_f32(x->stored, bytes, x->now, x->n);
        base_big_free(bytes);
        if (!num_all_finite(x->now, x->n))
            return base_fail(err, "%s: a value does not fit %s", b->r->m->graph->params[x->param].name,
                             num_dtypes[x->stored].name);
    }
    return true;
}

static void step(bias *x, int64_t step_no, double rate) {
    double c1 = 1 - pow(0.9, (double)step_no), c2 = sqrt(1 - pow(0.999, (double)step_no));
    float by = (float)(rate * c2 / c1);
    for (size_t i = 0; i < x->n; i++) {
        x->m1[i] = 0.9f * x->m1[i] + 0.1f * x->grad[i];
        x->m2[i] = 0.999f * x->m2[i] + 0.001f * x->grad[i] * x->grad[i];
        x->x[i] -= by * x->m1[i] / (sqrtf(x->m2[i]) + 1e-12f);
    }
}

static bool pass(biases *b, int64_t batch, int64_t *done, int64_t steps, double rate, base_err *err) {
    const double pi = 3.14159265358979323846;
    int64_t all = b->net.calib->count;
    if (!use(b, true, err)) return false;
    for (int64_t at = 0; at < all; at += batch) {
        for (int i = 0; i < b->count; i++) memset(b->each[i].grad, 0, b->each[i].n * sizeof(float));
        if (!whole_gradients(&b->net, at, all - at < batch ? all - at : batch, add_gradients, b, err)) return false;
        double fall = 0.05 + 0.95 * (1 + cos(pi * (double)*done / (double)steps)) / 2;
        ++*done;
        for (int i = 0; i < b->count; i++) step(&b->each[i], *done, rate * fall);
    }
    return use(b, false, err);
}

static bool learn(biases *b, const base_value *values, double *before, double *best, base_err *err) {
    int64_t epochs = (int64_t)values[0].number, batch = (int64_t)values[1].number, done = 0;
    int64_t steps = epochs * ((b->net.calib->count + batch - 1) / batch);
    bool ok = whole_measure(&b->net, before, err);
    *best = *before;
    for (int64_t e = 0; ok && e < epochs; e++) {
        double now = 0;
        ok = pass(b, batch, &done, steps, values[2].number, err) && whole_measure(&b->net, &now, err);
        base_progress(b->net.job, "learning biases", e + 1, epochs, now);
        if (!ok || !(now < *best)) continue;
        *best = now;
        for (int i = 0; i < b->count; i++) memcpy(b->each[i].best, b->each[i].now, b->each[i].n * sizeof(float));
    }
    return ok;
}

static bool keep(biases *b, base_err *err) {
    for (int i = 0; i < b->count; i++) {
        float *own = result_own_param(b->r, b->each[i].param, err);
        if (!own) return false;
        memcpy(own, b->each[i].best, b->each[i].n * sizeof *own);
    }
    return true;
}

bool compress_tune_biases(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) {
    *changed = 0;
    if (!r->m->graph) return base_fail(err, "%s has no graph to compute activations", r->m->name);
    biases b = {.r = r};
    b.w = base_calloc((size_t)r->m->weight_count + 1, sizeof *b.w);
    for (int p = 0; p < r->m->weight_count; p++) b.w[p] = r->weights[p];
    bool *wanted = base_calloc((size_t)r->m->weight_count + 1, sizeof *wanted), ok = open_biases(&b, err);
    for (int i = 0; i < b.count; i++) wanted[b.each[i].param] = true;
    double before = 0, best = 0;
    // A transformer may have none, and then there is nothing to learn: told, as correct_bias does, and no failure.
    if (ok && !b.count) base_log(job, BASE_WARN, "the network has no biases: none learned");
    if (ok && b.count)
        ok = whole_open(&b.net, r, calib, b.w, wanted, true, job, err) && learn(&b, values, &before, &best, err);
    if (ok && best < before) {
        ok = keep(&b, err);
        *changed = b.count;
    }
    if (ok && b.count)
        base_log(job, BASE_INFO, "divergence on the samples %.5f -> %.5f%s", before, best,
                 best < before ? "" : ", biases stay as they were");
    whole_close(&b.net);
    for (int i = 0; i < b.count; i++) base_big_free(b.each[i].x);
    free(b.each);
    free(b.w);
    free(wanted);
    return ok;
}
