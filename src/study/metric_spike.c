// metric_spike: layers whose inputs spike - a few positions with values far beyond all others, which no grid of the
// inputs suits and which few weights see (Yang et al., Mitigating Quantization Errors Due to Activation Spikes in
// GLU-Based LLMs, arXiv 2405.14428, section 4.1: the max-median ratio of QFeM).
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The largest |x| of every position so far, over all groups of a convolution.
typedef struct tops {
    float *most;
    int64_t count, room, at;
} tops;

static bool add_rows(void *context, const float *x, int64_t rows, int64_t in, base_err *err) {
    tops *t = context;
    (void)err;
    if (t->at + rows > t->room) {
        t->room = t->at + rows > 2 * t->room ? t->at + rows : 2 * t->room;
        t->most = base_realloc(t->most, (size_t)t->room, sizeof *t->most);
    }
    for (int64_t r = 0; r < rows; r++, t->at++) {
        if (t->at == t->count) t->most[t->count++] = 0;
        for (int64_t c = 0; c < in; c++) t->most[t->at] = fmaxf(t->most[t->at], fabsf(x[r * in + c]));
    }
    return true;
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

// Positions where nothing arrives (borders, behind a relu) are not what the others are compared with.
static double max_median(tops *t) {
    int64_t n = 0;
    for (int64_t i = 0; i < t->count; i++)
        if (t->most[i] > 0) t->most[n++] = t->most[i];
    if (!n) return 1;
    qsort(t->most, (size_t)n, sizeof *t->most, rising);
    double median = ((double)t->most[(n - 1) / 2] + (double)t->most[n / 2]) / 2;
    return (double)t->most[n - 1] / median;
}

static bool measure_layer(engine_stream *stream, const model_layer *l, double *value, base_job *job, base_err *err) {
    tops t = {0};
    bool ok = engine_stream_advance(stream, l->node, job, err);
    for (int64_t g = 0; ok && g < l->groups; g++) {
        t.at = 0;
        ok = engine_stream_visit(stream, l->node, g, add_rows, &t, job, err);
    }
    if (ok) *value = max_median(&t);
    free(t.most);
    return ok;
}

static bool measure(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    (void)v;
    if (!study_table_new(t, s, "activation_spike", "", false, err)) return false;
    engine_stream *stream = engine_stream_open(s->m, s->m->weights, s->calib, err);
    bool ok = stream;
    for (int r = 0; ok && r < t->rows; r++) {
        const model_layer *l = &s->m->layers[study_layer(s, r)];
        double began = base_now();
        ok = base_go_on(job, err);
        if (ok && s->m->graph->nodes[l->node].op == MODEL_EMBEDDING)
            t->value[r] = 1; // its inputs are tokens: each is as large as any other
        else if (ok)
            ok = measure_layer(stream, l, &t->value[r], job, err);
        t->seconds[r] = base_now() - began;
        base_progress(job, "sensitivity", r + 1, t->rows, NAN);
    }
    engine_stream_close(stream);
    return ok;
}

static void one_pass(const study_subject *s, const base_value *v, double *forward, double *backward) {
    (void)s, (void)v, (void)backward;
    *forward = 1;
}

const study_metric metric_activation_spike = {
    .name = "activation_spike",
    .help = "how far the largest input of a layer stands above those of other positions",
    .about =
        "The max-median ratio: the largest |x| of every position (token, pixel) a layer reads; the largest of them "
        "over\n"
        "their median, positions where nothing arrives left out. Near 1 all positions are alike; layers far above "
        "the\n"
        "others are kept wide (recipe qfem). An embedding has 1. Does not look at the options.",
    .source = "Yang, Kim and Kim, Activation Spikes in GLU-Based LLMs (arXiv 2405.14428), section 4.1, QFeM",
    .cost = "calibration samples; one forward pass",
    .data = STUDY_CALIB,
    .alone = true,
    .work = one_pass,
    .measure = measure,
};
