// whole: the loss of a whole choice - every layer under its option at once - for solvers that look at the network.
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROBES = 8 };

struct study_whole {
    const study_subject *s;
    char figure[32]; // "kl", "loss" or "metric"
    float **decoded; // [rows x options]
    const float **w; // of the network now
    int rows;
    base_job *job;
    data_view *view[MOST_PROBES]; // the first samples of the selection, fewer of them first
    engine_probe *probe[MOST_PROBES];
    base_model_row original[MOST_PROBES];
    int probes;
    int64_t measured;
};

static bool hold(void *context, int layer, int rule, const float *decoded, const compress_stored *stored,
                 const base_layer_row *figures, base_err *err) {
    study_whole *k = context;
    (void)figures, (void)stored;
    int row = 0;
    while (study_layer(k->s, row) != layer) row++;
    size_t n = (size_t)k->s->m->layers[layer].weights;
    float *copy = base_big_alloc(n, sizeof *copy, "the weights of a layer under an option", err);
    if (!copy) return false;
    memcpy(copy, decoded, n * sizeof *copy);
    k->decoded[row * k->s->option_count + rule] = copy;
    return true;
}

study_whole *study_whole_open(const study_subject *s, const char *figure, engine_weights others, base_job *job,
                              base_err *err) {
    if (strcmp(figure, "kl") && strcmp(figure, "loss") && strcmp(figure, "metric")) {
        base_fail(err, "a whole choice is measured as kl, loss or metric, and the table holds %s", figure);
        return NULL;
    }
    if (!s->select || !s->m->graph) {
        base_fail(err, "there are no samples to measure a whole choice on");
        return NULL;
    }
    study_whole *k = base_alloc(sizeof *k);
    k->s = s;
    k->job = job;
    k->rows = s->layers ? s->layer_count : s->m->layer_count;
    snprintf(k->figure, sizeof k->figure, "%s", figure);
    k->decoded = base_calloc((size_t)k->rows * (size_t)s->option_count + 1, sizeof *k->decoded);
    k->w = base_calloc((size_t)s->m->weight_count + 1, sizeof *k->w);
    for (int p = 0; p < s->m->weight_count; p++) k->w[p] = others ? others[p] : s->m->weights[p];
    compress_rule *rules = base_calloc((size_t)s->option_count, sizeof *rules);
    for (int o = 0; o < s->option_count; o++)
        rules[o] = (compress_rule){.pattern = (char *)(uintptr_t)s->options[o].name,
                                   .steps = (compress_step *)(uintptr_t)s->options[o].steps,
                                   .step_count = s->options[o].step_count};
    compress_plan plan = {.rules = rules, .rule_count = s->option_count, .calib = s->calib, .seed = s->seed};
    bool ok = compress_options(s->m, &plan, s->layers, s->layer_count, hold, k, job, err);
    free(rules);
    if (ok) return k;
    study_whole_close(k);
    return NULL;
}

void study_whole_close(study_whole *k) {
    if (!k) return;
    for (int i = 0; i < k->rows * k->s->option_count; i++) base_big_free(k->decoded[i]);
    for (int i = 0; i < k->probes; i++) {
        engine_probe_close(k->probe[i]);
        data_view_free(k->view[i]);
    }
    free(k->decoded);
    free(k->w);
    free(k);
}

// The probe on the first `count` samples; -1 on failure.
static int probe_for(study_whole *k, int64_t count, base_err *err) {
    for (int i = 0; i < k->probes; i++)
        if (k->view[i]->count == count) return i;
    if (k->probes == MOST_PROBES) {
        engine_probe_close(k->probe[--k->probes]);
        data_view_free(k->view[k->probes]);
    }
    int i = k->probes;
    const model *m = k->s->m;
    k->view[i] = data_view_range(k->s->select, 0, count, err);
    if (!k->view[i]) return -1;
    k->probe[i] = engine_probe_open(m, m->weights, k->view[i], k->job, err);
    if (k->probe[i] && engine_probe_measure(k->probe[i], m->weights, &k->original[i], k->job, err)) {
        k->probes++;
        return i;
    }
    engine_probe_close(k->probe[i]);
    data_view_free(k->view[i]);
    return -1;
}

bool study_whole_measure(void *context, const int *choice, double effort, double *loss, base_err *err) {
    study_whole *k = context;
    int64_t all = k->s->select->count, count = (int64_t)ceil((double)all * effort);
    int i = probe_for(k, count < 1 ? 1 : count > all ? all : count, err);
    if (i < 0) return false;
    for (int r = 0; r < k->rows; r++)
        k->w[k->s->m->layers[study_layer(k->s, r)].weight] = k->decoded[r * k->s->option_count + choice[r]];
    base_model_row row = {0};
    if (!engine_probe_measure(k->probe[i], k->w, &row, k->job, err)) return false;
    base_progress(k->job, "measuring whole choices", ++k->measured, 0, NAN);
    const base_model_row *was = &k->original[i];
    if (!strcmp(k->figure, "kl"))
        *loss = row.kl;
    else if (!strcmp(k->figure, "loss"))
        *loss = row.loss - was->loss;
    else
        *loss = strcmp(row.metric, "top1") ? row.value - was->value : was->value - row.value;
    return true;
}
