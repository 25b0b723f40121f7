// metric_loss: the truth that every other metric stands in for - the whole network measured with one layer compressed,
// or with all layers but one compressed.
#include "study/sensitivity.h"

#include <stdlib.h>
#include <string.h>

enum { LOSS_FIGURE };
static const base_arg args[] = {
    {"figure", BASE_TEXT, 0, 0, 0, "kl", "kl|loss|metric",
     "kl: divergence from the original's outputs; loss: rise of the task's loss; metric: fall of top-1 in points, or "
     "rise of perplexity or squared error"}};

typedef struct measuring {
    const study_subject *s;
    study_table *t;
    const char *figure;
    const float **w;
    base_model_row original;
    engine_probe *probe;
    base_job *job;
} measuring;

static double value_of(const measuring *k, const base_model_row *row) {
    if (!strcmp(k->figure, "kl")) return row->kl;
    if (!strcmp(k->figure, "loss")) return row->loss - k->original.loss;
    bool higher_is_better = !strcmp(row->metric, "top1");
    return higher_is_better ? k->original.value - row->value : row->value - k->original.value;
}

static const char *unit_of(const char *figure) {
    return strcmp(figure, "metric") ? "nats" : "points";
}

static bool open_probe(measuring *k, base_err *err) {
    const study_subject *s = k->s;
    const model *m = s->m;
    if (!strcmp(k->figure, "kl") && m->graph->task == MODEL_RECONSTRUCT)
        return base_fail(err,
                         "sensitivity: a network that reconstructs has no divergence; figure=\"loss\" has meaning");
    k->w = base_calloc((size_t)m->weight_count + 1, sizeof *k->w);
    for (int p = 0; p < m->weight_count; p++) k->w[p] = m->weights[p];
    k->probe = engine_probe_open(m, m->weights, s->select ? s->select : s->calib, k->job, err);
    // A divergence is from the original's outputs, which the probe holds; only other figures are compared with its own.
    return k->probe && (!strcmp(k->figure, "kl") || engine_probe_measure(k->probe, k->w, &k->original, k->job, err));
}

static bool measure_one(void *context, int row, int option, const float *decoded, const base_layer_row *figures,
                        base_err *err) {
    measuring *k = context;
    (void)figures;
    const model_layer *l = &k->s->m->layers[study_layer(k->s, row)];
    base_model_row found = {0};
    k->w[l->weight] = decoded;
    bool ok =
        engine_probe_stand(k->probe, l->node, k->job, err) && engine_probe_measure(k->probe, k->w, &found, k->job, err);
    k->w[l->weight] = k->s->m->weights[l->weight];
    if (ok) k->t->value[row * k->t->cols + option] = value_of(k, &found);
    if (ok) k->t->seconds[row * k->t->cols + option] += found.seconds;
    return ok;
}

static bool measure(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    measuring k = {.s = s, .t = t, .figure = v[LOSS_FIGURE].text, .job = job};
    bool ok = study_table_new(t, s, k.figure, unit_of(k.figure), true, err) && open_probe(&k, err) &&
              study_each(s, t, measure_one, &k, job, err);
    engine_probe_close(k.probe);
    free(k.w);
    return ok;
}

// ---- all but one -----------------------------------------------------------------------------------

typedef struct all_weights {
    const study_subject *s;
    float **decoded; // [rows x options]
    int cols;
} all_weights;

static bool hold(void *context, int row, int option, const float *decoded, const base_layer_row *figures,
                 base_err *err) {
    all_weights *a = context;
    (void)figures;
    size_t n = (size_t)a->s->m->layers[study_layer(a->s, row)].weights;
    float *copy = base_big_alloc(n, sizeof *copy, "the weights of a layer under an option", err);
    if (!copy) return false;
    memcpy(copy, decoded, n * sizeof *copy);
    a->decoded[row * a->cols + option] = copy;
    return true;
}

static int param_of(const study_subject *s, int row) {
    return s->m->layers[study_layer(s, row)].weight;
}

// All rows under option o, then each of them as it was.
static bool measure_column(measuring *k, const all_weights *a, int o, base_err *err) {
    study_table *t = k->t;
    base_model_row all = {0};
    for (int r = 0; r < t->rows; r++) k->w[param_of(k->s, r)] = a->decoded[r * t->cols + o];
    bool ok = engine_probe_measure(k->probe, k->w, &all, k->job, err);
    for (int r = 0; ok && r < t->rows; r++) {
        int p = param_of(k->s, r), at = r * t->cols + o;
        base_model_row found = {0};
        k->w[p] = k->s->m->weights[p];
        ok = engine_probe_measure(k->probe, k->w, &found, k->job, err);
        k->w[p] = a->decoded[at];
        if (!ok) break;
        t->value[at] = value_of(k, &all) - value_of(k, &found);
        t->seconds[at] += found.seconds;
        base_progress(k->job, "sensitivity", o * t->rows + r + 1, (int64_t)t->rows * t->cols, 0);
    }
    return ok;
}

static bool measure_but_one(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    measuring k = {.s = s, .t = t, .figure = v[LOSS_FIGURE].text, .job = job};
    all_weights a = {.s = s};
    bool ok = study_table_new(t, s, "but_one", unit_of(k.figure), true, err);
    a.cols = t->cols;
    if (ok) a.decoded = base_calloc((size_t)t->rows * (size_t)t->cols + 1, sizeof *a.decoded);
    ok = ok && open_probe(&k, err) && study_each(s, t, hold, &a, job, err);
    for (int o = 0; ok && o < t->cols; o++) ok = measure_column(&k, &a, o, err);
    for (int i = 0; a.decoded && i < t->rows * t->cols; i++) base_big_free(a.decoded[i]);
    free(a.decoded);
    engine_probe_close(k.probe);
    free(k.w);
    return ok;
}

static double layers_of(const study_subject *s) {
    return s->layers ? s->layer_count : s->m->layer_count;
}

// One layer on: half the network on average, after the first layer was reached.
static void half_passes(const study_subject *s, const base_value *v, double *forward, double *backward) {
    (void)v, (void)backward;
    *forward = 2 + 0.5 * s->option_count * layers_of(s);
}

static void whole_passes(const study_subject *s, const base_value *v, double *forward, double *backward) {
    (void)v, (void)backward;
    *forward = 2 + s->option_count * (layers_of(s) + 1);
}

const study_metric metric_loss = {
    .name = "measured",
    .help = "the network's loss, divergence or metric with only this layer compressed",
    .about =
        "One layer at a time takes the option, the rest stays original; the network is measured on the selection\n"
        "samples. What lies before the layer is run once. The truth for one layer; losses of several layers do not\n"
        "add up exactly.",
    .source = "one-on sensitivity, as in HAQ, ZeroQ (arXiv 2001.00281) and EvoPress (arXiv 2410.14649)",
    .cost = "selection samples; half a forward pass a cell on average",
    .data = STUDY_SELECT,
    .by_option = true,
    .alone = true,
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .work = half_passes,
    .measure = measure,
};

const study_metric metric_loss_but_one = {
    .name = "but_one",
    .help = "what is gained when all layers but this one are compressed",
    .about = "All layers take the option; then one at a time goes back to its original weights: the fall of the loss.",
    .source = "one-off sensitivity, as in EvoPress (arXiv 2410.14649), section 2",
    .cost = "selection samples; one forward pass a cell; all layers' weights are held for every option",
    .data = STUDY_SELECT,
    .by_option = true,
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .work = whole_passes,
    .measure = measure_but_one,
};
