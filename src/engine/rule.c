// rule: ways back through the network that are not the gradient of its parameters - to the samples, to what noise on a
// layer's input does, to the relevance of weights, to samples that look like training data.
//
// Relevance, epsilon rule: with R = z c for each value z, the epsilon rule R_i = sum a_i w_ij R_j / (z_j + e sign z_j)
// is c_i = sum w_ij c_j |z_j| / (|z_j| + e): the gradient's own way back with the linear nodes' gradients scaled. A
// function y = f(x) passes R on whole where its slope is taken to be y / x; a product of two gives each half; weights
// of attention and the divisors of norms are taken for constants (Ancona et al., arXiv 1711.06104, proposition 1; Ali
// et al., arXiv 2202.07304, section 3). The relevance of a weight is the part of R_j that comes through it: w times its
// gradient. Alpha-beta rule: R_i = sum (alpha z+_ij / z+_j - beta z-_ij / z-_j) R_j, beta = alpha - 1, z+ and z- the
// positive and the negative parts a_i w_ij (the bias is one more of them). A part is positive where value and weight
// have one sign, so four products of positive and negative halves, each the layer's own kernels on them, give all sums.
#include "engine/backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool follow(const model *m, engine_weights w, const data_batch *batch, const backward_rule *rule,
                   float *const *grad, double *loss, base_job *job, base_err *err) {
    if (!exec_check_model(m, err) || !exec_check_batch(m->graph, batch, err)) return false;
    if (rule->input && m->graph->input_kind == DATA_TOKENS)
        return base_fail(err, "%s takes tokens: there is no gradient with respect to them", m->name);
    float **none = base_calloc((size_t)m->graph->param_count + 1, sizeof *none);
    backward *b = backward_make(m->graph, batch->count, batch->kind == DATA_TOKENS ? batch->length : 1, false, err);
    if (b) backward_follow(b, rule);
    bool ok = b && backward_run(b, w, batch, 0, grad ? grad : none, NULL, loss, job, err);
    backward_free(b);
    free(none);
    return ok;
}

// ---- inputs ----------------------------------------------------------------------------------------

typedef struct listening {
    double *noise; // [node_count x BACKWARD_BLOCKS]: blocks come from several threads
} listening;

static bool listen(void *context, engine_args *a, int node, int64_t block, float *dout) {
    listening *k = context;
    (void)dout;
    if (model_ops[a->node->op].weight_param < 0 || !a->in[0]) return false;
    size_t n = (size_t)model_shape_count(&a->in_shape[0]);
    float *real = a->din[0], *own = base_calloc(n, sizeof *own);
    a->din[0] = own;
    engine_kernels[a->node->op].backward(a);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double change = (double)a->in[0][i] * (double)own[i];
        sum += change * change;
        if (real) real[i] += own[i];
    }
    free(own);
    k->noise[node * BACKWARD_BLOCKS + block] = sum;
    return true;
}

bool engine_backward_inputs(const model *m, engine_weights w, const data_batch *batch, float *input, double *noise,
                            double *loss, base_job *job, base_err *err) {
    listening k = {0};
    backward_rule rule = {.context = &k, .input = input, .node = noise ? listen : NULL};
    if (!exec_check_model(m, err)) return false;
    k.noise = base_calloc((size_t)m->graph->node_count * BACKWARD_BLOCKS + 1, sizeof *k.noise);
    bool ok = follow(m, w, batch, &rule, NULL, loss, job, err);
    for (int i = 0; noise && i < m->graph->node_count; i++) {
        const model_node *node = &m->graph->nodes[i];
        bool tokens = node->in[0] == 0 && m->graph->input_kind == DATA_TOKENS;
        noise[i] = model_ops[node->op].weight_param >= 0 && tokens ? NAN : 0;
        for (int part = 0; part < BACKWARD_BLOCKS; part++) noise[i] += k.noise[i * BACKWARD_BLOCKS + part];
    }
    free(k.noise);
    return ok;
}

// ---- relevance -------------------------------------------------------------------------------------

static void seed_labels(void *context, const engine_args *a, int64_t targets) {
    (void)context;
    const model_shape *s = &a->in_shape[0];
    int64_t classes = s->dim[s->ndim - 1], rows = model_shape_count(s) / classes;
    for (int64_t r = 0; r < rows; r++)
        if (a->labels[r] >= 0 && a->labels[r] < classes)
            a->din[0][r * classes + a->labels[r]] = (float)(1 / (double)targets);
}

// dx += dy y / x, the limit where x is 0.
static void pass_ratio(const engine_args *a, float limit) {
    int64_t n = model_shape_count(&a->in_shape[0]);
    for (int64_t i = 0; a->din[0] && i < n; i++)
        a->din[0][i] += a->dout[0][i] * (fabsf(a->in[0][i]) > 1e-6f ? a->out[0][i] / a->in[0][i] : limit);
}

// Layer and RMS norm: y = weight (x - mean) / s + bias with s held.
static void pass_norm(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    bool centred = a->node->op == MODEL_LAYER_NORM;
    int64_t n = s->dim[s->ndim - 1], rows = model_shape_count(s) / n;
    for (int64_t r = 0; a->din[0] && r < rows; r++) {
        const float *x = a->in[0] + r * n, *dy = a->dout[0] + r * n;
        double mean = 0, square = 0, mean_d = 0;
        for (int64_t i = 0; centred && i < n; i++) {
            mean += (double)x[i] / (double)n;
            mean_d += (double)dy[i] * (a->param[0] ? (double)a->param[0][i] : 1) / (double)n;
        }
        for (int64_t i = 0; i < n; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
        double inverse = 1 / sqrt(square + a->node->attr[NORM_EPS]);
        for (int64_t i = 0; i < n; i++) {
            double d = (double)dy[i] * (a->param[0] ? (double)a->param[0][i] : 1);
            a->din[0][r * n + i] += (float)((d - mean_d) * inverse);
        }
    }
}

typedef struct relevance {
    const engine_relevance_rule *rule;
    atomic_bool no_memory;
} relevance;

// out = the positive (sign 1) or negative (-1) half of x.
static void half_of(const float *x, int64_t n, int sign, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (x[i] < 0) == (sign < 0) ? x[i] : 0;
}

// Halves of a layer's values, weights and bias, its sums and what they are given.
typedef struct halves {
    int64_t ins, outs, weights, channels;
    float *x, *w, *b, *dx, *dw, *sum[2], *share[2]; // sum, share: 0 of the positive parts, 1 of the negative
} halves;

static float *halves_lay(halves *h, const engine_args *a, base_err *err) {
    h->ins = model_shape_count(&a->in_shape[0]);
    h->outs = model_shape_count(&a->out_shape[0]);
    h->weights = model_shape_count(&a->param_shape[0]);
    h->channels = a->param[1] ? model_shape_count(&a->param_shape[1]) : 0;
    int64_t sizes[] = {h->ins, h->weights, h->channels, h->ins, h->weights, h->outs, h->outs, h->outs, h->outs},
            all = 0;
    float **parts[] = {&h->x, &h->w, &h->b, &h->dx, &h->dw, &h->sum[0], &h->sum[1], &h->share[0], &h->share[1]};
    enum { PARTS = sizeof parts / sizeof *parts, ALIGN = 16 };
    for (int k = 0; k < PARTS; k++) all += sizes[k] + ALIGN;
    float *room = base_big_alloc((size_t)all, sizeof *room, "halves of a layer for relevance", err), *at = room;
    for (int k = 0; room && k < PARTS; k++) {
        *parts[k] = at;
        at += (sizes[k] + ALIGN - 1) / ALIGN * ALIGN;
    }
    return room;
}

// One of four products: values of sign `of_x` with weights of sign `of_w`. Forward: their sum is added; back: what it
// is given goes to the values and weights of these signs.
static void product_of_halves(halves *h, const engine_args *a, int of_x, int of_w, bool back) {
    int part = of_x == of_w ? 0 : 1;
    const engine_kernel *kernel = &engine_kernels[a->node->op];
    engine_args half = *a;
    half_of(a->in[0], h->ins, of_x, h->x);
    half_of(a->param[0], h->weights, of_w, h->w);
    half.in[0] = h->x;
    half.param[0] = h->w;
    half.param[1] = NULL;
    half.prepared = NULL;
    if (!back) {
        // A bias is a part of its own sign: counted once, with the products of positive values.
        if (h->channels && of_x > 0) {
            half_of(a->param[1], h->channels, of_w, h->b);
            half.param[1] = h->b;
        }
        half.out[0] = h->share[0]; // room that is free until the sums are there
        kernel->forward(&half);
        for (int64_t i = 0; i < h->outs; i++) h->sum[part][i] += h->share[0][i];
        return;
    }
    memset(h->dx, 0, (size_t)h->ins * sizeof *h->dx);
    memset(h->dw, 0, (size_t)h->weights * sizeof *h->dw);
    half.dout[0] = h->share[part];
    half.din[0] = a->din[0] ? h->dx : NULL;
    half.dparam[0] = a->dparam[0] ? h->dw : NULL;
    half.dparam[1] = NULL;
    kernel->backward(&half);
    for (int64_t i = 0; a->din[0] && i < h->ins; i++)
        if ((a->in[0][i] < 0) == (of_x < 0)) a->din[0][i] += h->dx[i];
    for (int64_t i = 0; a->dparam[0] && i < h->weights; i++)
        if ((a->param[0][i] < 0) == (of_w < 0)) a->dparam[0][i] += h->dw[i];
}

// Written in the form c = R / z of the epsilon rule, so that the other nodes' ways back stay what they are.
static bool pass_halves(const engine_args *a, double alpha, const float *dout, base_err *err) {
    static const int signs[4][2] = {{1, 1}, {-1, -1}, {1, -1}, {-1, 1}};
    halves h;
    float *room = halves_lay(&h, a, err);
    if (!room) return false;
    for (int k = 0; k < 4; k++) product_of_halves(&h, a, signs[k][0], signs[k][1], false);
    for (int64_t i = 0; i < h.outs; i++) {
        double r = (double)dout[i] * (double)a->out[0][i], up = (double)h.sum[0][i], down = (double)h.sum[1][i];
        h.share[0][i] = up > 0 ? (float)(alpha * r / up) : 0;
        h.share[1][i] = down < 0 ? (float)((1 - alpha) * r / down) : 0;
    }
    for (int k = 0; k < 4; k++) product_of_halves(&h, a, signs[k][0], signs[k][1], true);
    base_big_free(room);
    return true;
}

static bool pass_relevance(void *context, engine_args *a, int node, int64_t block, float *dout) {
    relevance *k = context;
    const double epsilon = k->rule->epsilon;
    base_err err;
    (void)node, (void)block;
    int64_t n = model_shape_count(&a->out_shape[0]);
    switch (a->node->op) {
    case MODEL_LINEAR:
    case MODEL_CONV2D:
        if (k->rule->alpha_beta) {
            if (!pass_halves(a, k->rule->alpha, dout, &err)) atomic_store(&k->no_memory, true);
            return true;
        }
        for (int64_t i = 0; i < n; i++) {
            double z = fabs((double)a->out[0][i]);
            if (z + epsilon > 0) dout[i] = (float)((double)dout[i] * (z / (z + epsilon)));
        }
        return false;
    case MODEL_GELU:
    case MODEL_GELU_TANH:
    case MODEL_SILU:
        pass_ratio(a, 0.5f);
        return true;
    case MODEL_TANH:
        pass_ratio(a, 1.0f);
        return true;
    case MODEL_MUL:
        for (int64_t i = 0; i < n; i++) dout[i] *= 0.5f;
        return false;
    case MODEL_SOFTMAX:
        return true;
    case MODEL_ATTENTION:
        a->din[0] = a->din[1] = NULL;
        return false;
    case MODEL_LAYER_NORM:
    case MODEL_RMS_NORM:
        pass_norm(a);
        return true;
    default:
        return false;
    }
}

bool engine_relevance(const model *m, engine_weights w, const data_batch *batch, const engine_relevance_rule *how,
                      float *const *of_weights, base_job *job, base_err *err) {
    relevance k = {.rule = how};
    backward_rule rule = {.context = &k, .seed = seed_labels, .node = pass_relevance};
    double loss;
    if (!exec_check_model(m, err)) return false;
    if (m->graph->task == MODEL_RECONSTRUCT)
        return base_fail(err, "relevance is of the logit of a label, and %s reconstructs", m->name);
    if (!follow(m, w, batch, &rule, of_weights, &loss, job, err)) return false;
    if (atomic_load(&k.no_memory)) return base_fail(err, "relevance: there is no memory for the halves of a layer");
    for (int p = 0; p < m->graph->param_count; p++) {
        int64_t n = of_weights[p] ? model_shape_count(&m->graph->params[p].shape) : 0;
        for (int64_t i = 0; i < n; i++) of_weights[p][i] *= w[p][i];
    }
    return true;
}

// ---- distance to what batch norms remember -----------------------------------------------------------

typedef struct matching {
    const model_graph *g;
    double **slope; // [node_count + 1] two numbers a channel: gradient = shift + scale x; the last: the input
} matching;

// The distance of channel statistics of x [n, c, ..] to mean and variance (NULL: 0 and 1), and its gradient's numbers.
static double channel_distance(const float *x, const model_shape *s, const float *mean, const float *variance,
                               double *slope) {
    int64_t n = s->dim[0], c = s->dim[1], inner = model_shape_count(s) / (n * c);
    double count = (double)(n * inner), total = 0;
    for (int64_t k = 0; k < c; k++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < inner; j++) sum += (double)x[(i * c + k) * inner + j];
        double mu = sum / count;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < inner; j++) {
                double d = (double)x[(i * c + k) * inner + j] - mu;
                square += d * d;
            }
        double sigma = sqrt(square / count + 1e-6), dm = mu - (mean ? (double)mean[k] : 0);
        double ds = sigma - (variance ? sqrt((double)variance[k] + 1e-6) : 1);
        total += (dm * dm + ds * ds) / (double)c;
        slope[2 * k + 1] = 2 * ds / (sigma * count * (double)c);
        slope[2 * k] = 2 * dm / (count * (double)c) - slope[2 * k + 1] * mu;
    }
    return total;
}

static void add_slope(const float *x, const model_shape *s, const double *slope, float *dx) {
    int64_t n = s->dim[0], c = s->dim[1], inner = model_shape_count(s) / (n * c);
    for (int64_t i = 0; i < n * c; i++)
        for (int64_t j = 0; j < inner; j++) {
            const double *at = slope + 2 * (i % c);
            dx[i * inner + j] += (float)(at[0] + at[1] * (double)x[i * inner + j]);
        }
}

static bool aim_at_norms(void *context, const backward *b, double *loss, base_err *err) {
    matching *k = context;
    engine_weights w = backward_weights(b);
    const model_shape *s;
    (void)err;
    *loss = 0;
    for (int i = 0; i < k->g->node_count; i++) {
        const model_node *node = &k->g->nodes[i];
        if (node->op != MODEL_BATCH_NORM) continue;
        const float *x = backward_value(b, node->in[0], &s);
        k->slope[i] = base_calloc(2 * (size_t)s->dim[1], sizeof **k->slope);
        *loss += channel_distance(x, s, w[node->param[2]], w[node->param[3]], k->slope[i]);
    }
    const float *x = backward_value(b, 0, &s);
    if (s->ndim < 2) return true;
    k->slope[k->g->node_count] = base_calloc(2 * (size_t)s->dim[1], sizeof **k->slope);
    *loss += channel_distance(x, s, NULL, NULL, k->slope[k->g->node_count]);
    return true;
}

static bool match_node(void *context, engine_args *a, int node, int64_t block, float *dout) {
    const matching *k = context;
    (void)dout, (void)block;
    if (k->slope[node] && a->din[0]) add_slope(a->in[0], &a->in_shape[0], k->slope[node], a->din[0]);
    return false;
}

bool engine_norm_distance(const model *m, engine_weights w, const data_batch *batch, float *input, double *distance,
                          base_job *job, base_err *err) {
    if (!exec_check_model(m, err)) return false;
    const model_graph *g = m->graph;
    int norms = 0;
    for (int i = 0; i < g->node_count; i++) norms += g->nodes[i].op == MODEL_BATCH_NORM;
    if (!norms)
        return base_fail(err, "%s has no batch norm, so it remembers no statistics of its training data", m->name);
    matching k = {.g = g};
    k.slope = base_calloc((size_t)g->node_count + 1, sizeof *k.slope);
    backward_rule rule = {.context = &k, .input = input, .aim = aim_at_norms, .node = match_node};
    bool ok = follow(m, w, batch, &rule, NULL, distance, job, err);
    if (ok && input && k.slope[g->node_count]) {
        model_shape s = g->input;
        s.dim[0] = batch->count;
        add_slope(batch->x, &s, k.slope[g->node_count], input);
    }
    for (int i = 0; i <= g->node_count; i++) free(k.slope[i]);
    free(k.slope);
    return ok;
}
