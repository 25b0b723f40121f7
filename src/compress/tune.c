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

static bool measure_whole(void *context, double *out, base_err *err) {
    return whole_measure(((void **)context)[0], out, err);
}

static bool gradients_whole(void *context, int64_t at, int64_t count, base_err *err) {
    return whole_gradients(((void **)context)[0], at, count, add_gradients, ((void **)context)[1], err);
}

bool compress_tune_scales(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) {
    *changed = 0;
    tuning t = {.r = r, .calib = calib, .job = job, .args = compress_tune_scales_args, .value = values, .frozen = true};
    t.w = base_calloc((size_t)r->m->weight_count + 1, sizeof *t.w);
    for (int p = 0; p < r->m->weight_count; p++) t.w[p] = r->weights[p];
    whole_net h = {0};
    double before = 0, after = 0;
    bool divergence = !strcmp(value_of(&t, "loss")->text, "kl"), *wanted = NULL;
    bool ok = (r->m->graph || base_fail(err, "%s has no graph to compute activations", r->m->name)) &&
              open_layers(&t, NULL, err);
    if (ok) wanted = wanted_layers(&t);
    void *both[] = {&h, &t};
    target g = {measure_whole, gradients_whole, both, 0, number(&t, "rate"), 1, number(&t, "zeros") != 0};
    ok = ok && whole_open(&h, r, calib, t.w, wanted, divergence, job, err) && learn(&t, &g, &before, &after, err);
    free(wanted);
    whole_close(&h);
    if (ok) *changed = after < before ? t.count : 0;
    if (ok)
        base_log(job, BASE_INFO, "%s on the samples %.5f -> %.5f%s", divergence ? "divergence" : "loss", before, after,
                 after < before ? "" : ", all stays as it was");
    ok = close_layers(&t, ok, err);
    free(t.w);
    return ok;
}
