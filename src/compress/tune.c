// tune: the two stages of GQSA (Zeng et al., arXiv 2412.17560) after its groups are pruned and the others quantised.
//
//   tune_blocks  BQPO, block quantisation-pruning optimisation: the weights behind the codes, the scales and the zero
//                points of a block's layers follow the gradient of the mean squared error of the block's output against
//                the original network's, inputs coming through the compressed blocks before.
//   tune_scales  E2E-OQP: codes and pruned positions stay, scales and zero points of the whole network follow the
//                gradient of its loss.
//
// Both are the stages of EfficientQAT (Chen et al., arXiv 2407.11062: Block-AP and E2E-QP) on the weights that pruning
// has kept; rates, passes and batches are that work's (main_block_ap.py, block_ap.py). After every pass over the
// samples the target is measured on all of them, with what would be stored; the best is kept, so that it never rises.
#include "compress/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const base_arg compress_tune_blocks_args[] = {
    {"epochs", BASE_INT, 2, 1, 100000, NULL, NULL, "passes over the samples for each block"},
    {"batch", BASE_INT, 2, 1, 4096, NULL, NULL, "samples of a step"},
    {"rate", BASE_NUM, 1e-5, 0, 1, NULL, NULL, "of Adam, for weights; falls to a twentieth"},
    {"quant_rate", BASE_NUM, 1e-4, 0, 1, NULL, NULL, "of Adam, for scales and zero points; falls to a twentieth"},
    {"window", BASE_INT, 1, 1, 16, NULL, NULL, "blocks that are learned together, each window one block on"},
    {"loss", BASE_TEXT, 0, 0, 0, "plain", BLOCK_LOSSES, "how differences of a block's output weigh (see reconstruct)"},
};
const size_t compress_tune_blocks_arg_count = sizeof compress_tune_blocks_args / sizeof *compress_tune_blocks_args;

const base_arg compress_tune_scales_args[] = {
    {"epochs", BASE_INT, 1, 1, 100000, NULL, NULL, "passes over the samples"},
    {"batch", BASE_INT, 32, 1, 4096, NULL, NULL, "samples of a step"},
    {"rate", BASE_NUM, 1e-5, 0, 1, NULL, NULL, "of Adam (authors of EfficientQAT: 2e-5 for 2 bits)"},
    {"zeros", BASE_BOOL, 1, 0, 1, NULL, NULL, "zero points too, where they are stored"},
    {"loss", BASE_TEXT, 0, 0, 0, "task", "task|kl", "of labels, or the divergence from the original network's outputs"},
};
const size_t compress_tune_scales_arg_count = sizeof compress_tune_scales_args / sizeof *compress_tune_scales_args;

typedef struct tuning {
    compress_result *r;
    const data_view *calib;
    base_job *job;
    const base_arg *args;
    const base_value *value;
    tuned *layers;
    int count;
    const float **w;
    int from, to; // blocks at work
    bool frozen;
} tuning;

static const base_value *value_of(const tuning *t, const char *arg) {
    size_t i = 0;
    while (strcmp(t->args[i].name, arg)) i++;
    return &t->value[i];
}

static double number(const tuning *t, const char *arg) {
    return value_of(t, arg)->number;
}

static bool at_work(const tuning *t, const tuned *l) {
    return l->block >= t->from && l->block <= t->to;
}

// block_of NULL: all layers are of block 0.
static bool open_layers(tuning *t, const int *block_of, base_err *err) {
    const model *m = t->r->m;
    t->layers = base_calloc((size_t)m->layer_count + 1, sizeof *t->layers);
    bool ok = true;
    for (int i = 0; ok && i < m->layer_count; i++) {
        if (!t->r->layers[i].term_count) continue;
        const char *why = tune_why_not(t->r, i);
        if (why)
            base_log(t->job, BASE_INFO, "%s: stays as it is (%s)", m->layers[i].name, why);
        else
            ok = tune_open(&t->layers[t->count++], t->r, i, block_of ? block_of[m->layers[i].node] : 0, t->frozen, err);
    }
    return ok && (t->count || base_fail(err, "no layer has a single term of even integer codes with plain scales, as "
                                             "quantize{} gives, alone or pruned"));
}

static bool close_layers(tuning *t, bool ok, base_err *err) {
    for (int i = 0; i < t->count; i++) {
        if (ok && t->layers[i].better) ok = tune_store(&t->layers[i], t->r, err);
        tune_close(&t->layers[i]);
    }
    free(t->layers);
    return ok;
}

static bool *wanted_layers(const tuning *t) {
    bool *wanted = base_calloc((size_t)t->r->m->weight_count + 1, sizeof *wanted);
    for (int i = 0; i < t->count; i++)
        if (at_work(t, &t->layers[i])) wanted[t->layers[i].param] = true;
    return wanted;
}

static void add_gradients(void *context, const engine_apart *a, int64_t samples) {
    const tuning *t = context;
    for (int i = 0; i < t->count; i++)
        for (int64_t j = 0; at_work(t, &t->layers[i]) && j < samples; j++)
            tune_gather(&t->layers[i], engine_apart_gradient(a, j, t->layers[i].param), t->frozen);
}

static void each_layer(tuning *t, void (*act)(tuned *l)) {
    for (int i = 0; i < t->count; i++)
        if (at_work(t, &t->layers[i])) act(&t->layers[i]);
}

static void round_layers(tuning *t) {
    for (int i = 0; i < t->count; i++)
        if (at_work(t, &t->layers[i])) tune_round(&t->layers[i], t->frozen);
}

static void clear_layers(tuning *t) {
    for (int i = 0; i < t->count; i++)
        if (at_work(t, &t->layers[i])) tune_clear(&t->layers[i], t->frozen);
}

static void use_soft(tuning *t) {
    for (int i = 0; i < t->count; i++)
        if (at_work(t, &t->layers[i])) t->w[t->layers[i].param] = t->layers[i].soft;
}

// ---- one stage ---------------------------------------------------------------------------------------

// What is learned: the target on all samples, and its gradients of a batch.
typedef struct target {
    bool (*measure)(void *context, double *out, base_err *err);
    bool (*gradients)(void *context, int64_t at, int64_t count, base_err *err);
    void *context;
    double rate, quant_rate, least; // least: to what part of themselves the rates fall
    bool zeros;
} target;

// Passes over the samples in order; the best that any pass ends with stays.
static bool learn(tuning *t, const target *g, double *before, double *best, base_err *err) {
    const double pi = 3.14159265358979323846;
    int64_t epochs = (int64_t)number(t, "epochs"), batch = (int64_t)number(t, "batch"), all = t->calib->count, step = 0;
    int64_t steps = epochs * ((all + batch - 1) / batch);
    use_soft(t);
    bool ok = g->measure(g->context, before, err);
    *best = *before;
    for (int64_t e = 0; ok && e < epochs; e++) {
        for (int64_t at = 0; ok && at < all; at += batch, step++) {
            double fall = g->least + (1 - g->least) * (1 + cos(pi * (double)step / (double)steps)) / 2;
            clear_layers(t);
            ok = g->gradients(g->context, at, all - at < batch ? all - at : batch, err);
            for (int i = 0; ok && i < t->count; i++)
                if (at_work(t, &t->layers[i]))
                    tune_step(&t->layers[i], step + 1, g->rate * fall, g->quant_rate * fall, g->zeros, t->frozen);
            round_layers(t);
        }
        double now = 0;
        ok = ok && g->measure(g->context, &now, err);
        if (ok && now < *best) {
            *best = now;
            each_layer(t, tune_keep);
        }
    }
    if (ok) each_layer(t, tune_restore);
    return ok;
}

// ---- blocks ----------------------------------------------------------------------------------------

static bool window_measure(void *context, double *out, base_err *err) {
    return block_window_error(((void **)context)[0], out, err);
}

static bool window_gradients(void *context, int64_t at, int64_t count, base_err *err) {
    return block_window_gradients(((void **)context)[0], at, count, add_gradients, ((void **)context)[1], NULL, err);
}

static enum block_loss loss_of(const tuning *t) {
    static const char *const names[] = {"fisher", "bare", "plain", "kl"};
    int i = 0;
    while (strcmp(names[i], value_of(t, "loss")->text)) i++;
    return (enum block_loss)i;
}

static bool visit_window(tuning *t, blockwise *b, int *changed, base_err *err) {
    block_window w;
    double before = 0, after = 0;
    bool *wanted = wanted_layers(t);
    void *both[] = {&w, t};
    target g = {window_measure, window_gradients, both, number(t, "rate"), number(t, "quant_rate"), 1.0 / 20, true};
    bool ok = block_window_open(&w, b, t->from, t->to, loss_of(t), (int64_t)number(t, "batch"), wanted, err) &&
              learn(t, &g, &before, &after, err);
    free(wanted);
    block_window_close(&w);
    if (!ok) return false;
    *changed += after < before;
    base_log(t->job, BASE_INFO, "block %d%s to %s: error of its output %.5f -> %.5f%s", t->from + 1,
             t->to > t->from ? " and those after it" : "", t->r->m->graph->nodes[b->end[t->to]].name, before, after,
             after < before ? "" : ", it stays as it was");
    return true;
}

bool compress_tune_blocks(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) {
    *changed = 0;
    blockwise b;
    tuning t = {.r = r, .calib = calib, .job = job, .args = compress_tune_blocks_args, .value = values};
    bool ok = blockwise_open(&b, r, calib, job, err) && open_layers(&t, b.block_of, err);
    t.w = b.w;
    int window = (int)number(&t, "window"), last = b.blocks > window ? b.blocks - window : 0;
    for (t.from = 0; ok && t.from <= last; t.from++) {
        int holds = 0;
        t.to = t.from + window - 1 < b.blocks ? t.from + window - 1 : b.blocks - 1;
        for (int i = 0; i < t.count; i++) holds += at_work(&t, &t.layers[i]);
        if (holds) ok = visit_window(&t, &b, changed, err);
        base_progress(job, "blocks", t.from + 1, last + 1, NAN);
    }
    ok = close_layers(&t, ok, err);
    blockwise_close(&b);
    return ok;
}

// ---- the whole network -------------------------------------------------------------------------------

typedef struct whole {
    tuning *t;
    engine_apart *apart;
    data_batch batch;
    float *own, *dout;
    size_t room;
    bool divergence;
} whole;

static bool make_room(whole *h, size_t need, base_err *err) {
    if (need <= h->room) return true;
    base_big_free(h->own);
    h->own = base_big_alloc(need, 2 * sizeof *h->own, "outputs of the network", err);
    h->dout = h->own ? h->own + need : NULL;
    h->room = h->own ? need : 0;
    return h->own != NULL;
}

// Of one target; its gradient times `over` goes to dout.
static double target_loss(const whole *h, const float *now, const float *own, int32_t label, int64_t n, double over,
                          float *dout) {
    if (h->divergence) return block_divergence(now, own, n, 1, over, dout);
    double all = block_log_sum(now, n, 1);
    for (int64_t i = 0; i < n; i++) dout[i] = (float)(over * (exp((double)now[i] - all) - (i == label)));
    return all - (double)now[label];
}

// Adds the loss of samples [at, at + n) and how many targets they have; leaves the gradient in dout.
static bool whole_part(whole *h, int64_t at, int64_t n, double over, double *loss, int64_t *targets, base_err *err) {
    const tuning *t = h->t;
    const model *m = t->r->m;
    const model_graph *g = m->graph;
    if (!base_go_on(t->job, err) || !data_fetch(t->calib, at, n, &h->batch, err)) return false;
    data_batch *b = &h->batch;
    bool tokens = b->kind == DATA_TOKENS, gives_back = g->task == MODEL_RECONSTRUCT;
    const model_shape *s = &g->shapes[g->output];
    int64_t rows = n * (tokens ? b->length : 1), width = s->dim[s->ndim - 1];
    if (gives_back) width = model_shape_count(s);
    if (!h->divergence && !gives_back && !b->labels)
        return base_fail(err, "the samples have no labels: use loss = \"kl\"");
    if (!make_room(h, (size_t)(rows * width), err)) return false;
    const float *x = NULL;
    if (h->divergence) {
        x = engine_apart_forward(h->apart, m->weights, b, t->job, err);
        if (!x) return false;
        memcpy(h->own, x, (size_t)(rows * width) * sizeof *x);
    }
    x = engine_apart_forward(h->apart, t->w, b, t->job, err);
    if (!x) return false;
    memset(h->dout, 0, (size_t)(rows * width) * sizeof *h->dout);
    for (int64_t i = 0; i < rows; i++) {
        const float *now = x + i * width, *own = h->divergence ? h->own + i * width : b->x + i * width;
        float *dout = h->dout + i * width;
        bool valid = !tokens || i % b->length < b->lengths[i / b->length];
        if (gives_back) {
            for (int64_t c = 0; c < width; c++) {
                double d = (double)now[c] - (double)own[c];
                *loss += d * d / (double)width;
                dout[c] = (float)(2 * over * d / (double)width);
            }
        } else if (valid && (h->divergence || b->labels[i] >= 0)) {
            *loss += target_loss(h, now, own, h->divergence ? 0 : b->labels[i], width, over, dout);
        } else {
            continue;
        }
        ++*targets;
    }
    return true;
}

static bool whole_measure(void *context, double *out, base_err *err) {
    whole *h = context;
    int64_t all = h->t->calib->count, targets = 0;
    double loss = 0;
    for (int64_t i = 0; i < all; i += ENGINE_APART)
        if (!whole_part(h, i, all - i < ENGINE_APART ? all - i : ENGINE_APART, 1, &loss, &targets, err)) return false;
    if (!targets) return base_fail(err, "no sample has a target");
    *out = loss / (double)targets;
    return true;
}

// Summed over the batch: Adam does not mind the factor of its mean.
static bool whole_gradients(void *context, int64_t at, int64_t count, base_err *err) {
    whole *h = context;
    double loss = 0;
    int64_t targets = 0;
    for (int64_t i = 0; i < count; i += ENGINE_APART) {
        int64_t n = count - i < ENGINE_APART ? count - i : ENGINE_APART;
        if (!whole_part(h, at + i, n, 1 / (double)count, &loss, &targets, err) ||
            !engine_apart_backward(h->apart, h->dout, h->t->job, err))
            return false;
        add_gradients(h->t, h->apart, n);
    }
    return true;
}

static bool tune_whole(tuning *t, int *changed, base_err *err) {
    bool *wanted = wanted_layers(t);
    whole h = {.t = t, .apart = engine_apart_open(t->r->m, wanted, err)};
    h.divergence = !strcmp(value_of(t, "loss")->text, "kl");
    double before = 0, after = 0, rate = number(t, "rate");
    target g = {whole_measure, whole_gradients, &h, 0, rate, 1, number(t, "zeros") != 0};
    bool ok = h.apart && learn(t, &g, &before, &after, err);
    free(wanted);
    engine_apart_close(h.apart);
    base_big_free(h.own);
    data_batch_free(&h.batch);
    if (!ok) return false;
    *changed = after < before ? t->count : 0;
    base_log(t->job, BASE_INFO, "%s on the samples %.5f -> %.5f%s", h.divergence ? "divergence" : "loss", before, after,
             after < before ? "" : ", all stays as it was");
    return true;
}

bool compress_tune_scales(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) {
    *changed = 0;
    if (!r->m->graph) return base_fail(err, "%s has no graph to compute its loss", r->m->name);
    if (!calib || calib->count < 1)
        return base_fail(err, "it needs calibration data, and the part given has no samples");
    if (r->whole) return base_fail(err, "the network is cut; scales are learned before cut(net, ...)");
    tuning t = {.r = r, .calib = calib, .job = job, .args = compress_tune_scales_args, .value = values, .frozen = true};
    t.w = base_calloc((size_t)r->m->weight_count + 1, sizeof *t.w);
    for (int p = 0; p < r->m->weight_count; p++) t.w[p] = r->weights[p];
    bool ok = open_layers(&t, NULL, err) && tune_whole(&t, changed, err);
    ok = close_layers(&t, ok, err);
    free(t.w);
    return ok;
}
