// metric_reverse: scores of a layer, whatever the option, from a way back through the network.
//
//   taylor     root mean square first-order change of the loss when each value of the layer's input gets noise in
//              proportion to it: sqrt(sum over x of (x d loss / d x)^2), mean over samples (CPTQuant, arXiv 2412.03599,
//              TDMPQ: a Taylor expansion of the loss in perturbations of a layer's input)
//   relevance  sum over weights of |R|, R the relevance of the weight for the right answer, by layer-wise relevance
//              propagation (Bach et al. 2015; of weights for quantisation: Becking et al., ECQx, arXiv 2109.04236,
//              section 4.1)
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES, EPSILON, RULE, ALPHA };
static const base_arg args[] = {
    {"samples", BASE_INT, 128, 1, 1 << 20, NULL, NULL, "calibration samples, the first ones"},
    {"epsilon", BASE_NUM, 1e-3, 0, 1e3, NULL, NULL,
     "added to |z| of a layer's outputs: the larger, the more that weak and contradictory outputs absorb"},
    {"rule", BASE_TEXT, 0, 0, 0, "epsilon", "epsilon|alpha_beta",
     "epsilon: in proportion to the parts; alpha_beta: what raises an output and what lowers it apart"},
    {"alpha", BASE_NUM, 2, 1, 100, NULL, NULL,
     "alpha_beta: share of the parts that raise an output; beta = alpha - 1; 1: they alone count (z+ rule)"}};

typedef struct reversing {
    const study_subject *s;
    study_table *t;
    engine_relevance_rule rule;
    double *noise, *squares; // noise [node_count]; squares [rows]
    float **one;             // [param_count] relevance for one sample
    double **sum;            // [param_count] of all samples
} reversing;

typedef bool (*take_sample)(reversing *k, const data_batch *batch, base_job *job, base_err *err);

static bool each_sample(reversing *k, int64_t samples, take_sample take, base_job *job, base_err *err) {
    const data_view *calib = k->s->calib;
    data_batch batch = {0};
    bool ok = true;
    double began = base_now();
    if (samples > calib->count) samples = calib->count;
    for (int64_t i = 0; ok && i < samples; i++) {
        ok = base_go_on(job, err) && data_fetch(calib, i, 1, &batch, err) && take(k, &batch, job, err);
        base_progress(job, "sensitivity", i + 1, samples, NAN);
    }
    data_batch_free(&batch);
    if (!ok && err->status != BASE_CANCELLED) base_wrap(err, "sensitivity: the way back from calibration samples: ");
    for (int r = 0; ok && r < k->t->rows; r++) k->t->seconds[r] = (base_now() - began) / k->t->rows;
    return ok;
}

// Mean of `samples` scores with its standard error.
static void settle(study_table *t, int row, double sum, double squares, double samples) {
    double mean = sum / samples, spread = fmax(0, squares / samples - mean * mean);
    t->value[row] = mean;
    if (samples > 1) t->error[row] = sqrt(spread / (samples - 1));
}

static double sample_count(const study_subject *s, const base_value *v) {
    return fmin(v[SAMPLES].number, (double)s->calib->count);
}

static void passes(const study_subject *s, const base_value *v, double *forward, double *backward) {
    (void)forward;
    *backward = s->calib && s->calib->count ? sample_count(s, v) / (double)s->calib->count : 0;
}

// ---- taylor ----------------------------------------------------------------------------------------

static bool take_noise(reversing *k, const data_batch *batch, base_job *job, base_err *err) {
    const model *m = k->s->m;
    double loss;
    if (!engine_backward_inputs(m, m->weights, batch, NULL, k->noise, &loss, job, err)) return false;
    for (int r = 0; r < k->t->rows; r++) {
        double score = sqrt(k->noise[m->layers[study_layer(k->s, r)].node]);
        k->t->value[r] = (isnan(k->t->value[r]) ? 0 : k->t->value[r]) + score;
        k->squares[r] += score * score;
    }
    return true;
}

static bool measure_taylor(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    reversing k = {.s = s, .t = t};
    bool ok = study_table_new(t, s, "taylor", "nats", false, err);
    k.noise = base_calloc((size_t)s->m->graph->node_count + 1, sizeof *k.noise);
    k.squares = base_calloc((size_t)t->rows + 1, sizeof *k.squares);
    ok = ok && each_sample(&k, (int64_t)v[SAMPLES].number, take_noise, job, err);
    for (int r = 0; ok && r < t->rows; r++) {
        settle(t, r, t->value[r], k.squares[r], sample_count(s, v));
        if (isnan(t->value[r]))
            base_log(job, BASE_WARN, "taylor: the input of %s is tokens, which cannot move a little", t->row[r]);
    }
    free(k.noise);
    free(k.squares);
    return ok;
}

const study_metric metric_taylor = {
    .name = "taylor",
    .help = "first-order change of the loss under relative noise on a layer's input, nats a unit of noise",
    .about =
        "Every value x of the layer's input becomes x (1 + e n), n independent with variance 1: to first order the\n"
        "loss then moves by e sqrt(sum (x d loss / d x)^2), which is the score, averaged over samples with its\n"
        "standard error. A layer whose output a tied or parallel branch also feeds is judged by its own way only.\n"
        "Embeddings of tokens have none. Does not look at the options.",
    .source = "CPTQuant (arXiv 2412.03599), TDMPQ: sensitivity to input perturbation by Taylor decomposition",
    .cost = "labelled calibration samples; one backward pass a sample",
    .data = STUDY_CALIB | STUDY_LABELS,
    .alone = true,
    .args = args,
    .arg_count = 1,
    .work = passes,
    .measure = measure_taylor,
};

// ---- relevance ---------------------------------------------------------------------------------------

static bool open_relevance(reversing *k, base_err *err) {
    const model *m = k->s->m;
    k->one = base_calloc((size_t)m->graph->param_count + 1, sizeof *k->one);
    k->sum = base_calloc((size_t)m->graph->param_count + 1, sizeof *k->sum);
    for (int r = 0; r < k->t->rows; r++) {
        const model_layer *l = &m->layers[study_layer(k->s, r)];
        k->one[l->weight] = base_big_alloc((size_t)l->weights, sizeof **k->one, "relevance of weights", err);
        k->sum[l->weight] = base_big_alloc((size_t)l->weights, sizeof **k->sum, "relevance of weights", err);
        if (!k->one[l->weight] || !k->sum[l->weight]) return false;
    }
    return true;
}

static bool take_relevance(reversing *k, const data_batch *batch, base_job *job, base_err *err) {
    const model *m = k->s->m;
    if (!engine_relevance(m, m->weights, batch, &k->rule, k->one, job, err)) return false;
    for (int r = 0; r < k->t->rows; r++) {
        const model_layer *l = &m->layers[study_layer(k->s, r)];
        for (int64_t i = 0; i < l->weights; i++) k->sum[l->weight][i] += (double)k->one[l->weight][i];
    }
    return true;
}

static bool measure_relevance(const study_subject *s, const base_value *v, study_table *t, base_job *job,
                              base_err *err) {
    reversing k = {.s = s, .t = t};
    k.rule = (engine_relevance_rule){!strcmp(v[RULE].text, "alpha_beta"), v[EPSILON].number, v[ALPHA].number};
    bool ok = study_table_new(t, s, "relevance", "logit", false, err) && open_relevance(&k, err) &&
              each_sample(&k, (int64_t)v[SAMPLES].number, take_relevance, job, err);
    for (int r = 0; ok && r < t->rows; r++) {
        const model_layer *l = &s->m->layers[study_layer(s, r)];
        double total = 0;
        for (int64_t i = 0; i < l->weights; i++) total += fabs(k.sum[l->weight][i]);
        t->value[r] = total / sample_count(s, v);
    }
    for (int p = 0; k.one && p < s->m->graph->param_count; p++) {
        base_big_free(k.one[p]);
        base_big_free(k.sum[p]);
    }
    free(k.one);
    free(k.sum);
    return ok;
}

const study_metric metric_relevance = {
    .name = "relevance",
    .help = "sum of |relevance| of a layer's weights for the right answers, by relevance propagation",
    .about =
        "The logit of the label is handed back through the network: every output gives its relevance to the weights\n"
        "and inputs it was summed from, in proportion (rule \"epsilon\"), or what raised the output apart from\n"
        "what lowered it (\"alpha_beta\", four times the work). What comes through a weight, summed over samples, is "
        "the weight's relevance; signed sums are nearly equal in all layers, so sizes are added up.\n"
        "Activations, gates, attention and norms as Ali et al. 2022. Does not look at the options.",
    .source = "Bach et al. 2015 (LRP, equation 58); Becking et al. 2021, ECQx (arXiv 2109.04236); Ali et al. 2022",
    .cost = "labelled calibration samples; one backward pass a sample",
    .data = STUDY_CALIB | STUDY_LABELS,
    .alone = true,
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .work = passes,
    .measure = measure_relevance,
};
