// fisher: the diagonal of the empirical Fisher information - for every weight the sum over calibration samples of its
// squared gradient of the loss, with the network as it came (Kim et al., SqueezeLLM, arXiv 2306.07629, equation 4).
#include "compress/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 128 }; // where a step does not say

static int64_t samples_of(const compress_step *s) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (!strcmp(s->kind->args[i].name, "samples")) return (int64_t)s->value[i].number;
    return SAMPLES;
}

// The most samples that a step of this rule asks for; 0: none needs gradients.
static int64_t wanted(const compress_rule *rule) {
    int64_t most = 0;
    for (int k = 0; rule && k < rule->step_count; k++) {
        const compress_step *s = &rule->steps[k];
        unsigned needs = s->kind->needs ? s->kind->needs(s) : 0;
        if ((needs & COMPRESS_NEEDS_GRADIENT) && samples_of(s) > most) most = samples_of(s);
    }
    return most;
}

void fisher_free(const model *m, float **fisher) {
    for (int i = 0; fisher && i < m->layer_count; i++) base_big_free(fisher[i]);
    free(fisher);
}

static bool add_sample(const model *m, const data_batch *batch, float *const *grad, float **fisher, base_job *job,
                       base_err *err) {
    double loss;
    if (!engine_backward(m, m->weights, batch, false, grad, NULL, &loss, job, err)) return false;
    for (int i = 0; i < m->layer_count; i++) {
        const float *g = fisher[i] ? grad[m->layers[i].weight] : NULL;
        for (int64_t k = 0; g && k < m->layers[i].weights; k++) fisher[i][k] += g[k] * g[k];
    }
    return true;
}

// Room for the gradients of the layers that want them; a weight that two layers share has one.
static bool open_room(const model *m, const bool *needed, float **grad, float **fisher, base_err *err) {
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *l = &m->layers[i];
        if (!needed[i]) continue;
        fisher[i] = base_big_alloc((size_t)l->weights, sizeof **fisher, "squared gradients", err);
        if (fisher[i] && !grad[l->weight])
            grad[l->weight] = base_big_alloc((size_t)l->weights, sizeof **grad, "gradients", err);
        if (!fisher[i] || !grad[l->weight]) return false;
    }
    return true;
}

bool fisher_make(const model *m, const compress_plan *plan, const int *rule, float ***out, base_job *job,
                 base_err *err) {
    bool *needed = base_calloc((size_t)m->layer_count + 1, sizeof *needed);
    int64_t samples = 0;
    for (int i = 0; i < m->layer_count; i++) {
        int64_t n = rule[i] < 0 ? 0 : wanted(&plan->rules[rule[i]]);
        needed[i] = n > 0;
        if (n > samples) samples = n;
    }
    *out = NULL;
    if (!samples) {
        free(needed);
        return true;
    }
    float **fisher = base_calloc((size_t)m->layer_count + 1, sizeof *fisher);
    float **grad = base_calloc((size_t)m->graph->param_count + 1, sizeof *grad);
    data_batch batch = {0};
    bool ok = open_room(m, needed, grad, fisher, err);
    if (samples > plan->calib->count) samples = plan->calib->count;
    for (int64_t i = 0; ok && i < samples; i++) {
        ok = base_go_on(job, err) && data_fetch(plan->calib, i, 1, &batch, err) &&
             add_sample(m, &batch, grad, fisher, job, err);
        base_progress(job, "gradients", i + 1, samples, NAN);
    }
    if (!ok && err->status != BASE_CANCELLED) base_wrap(err, "squared gradients of the calibration samples: ");
    data_batch_free(&batch);
    for (int p = 0; p < m->graph->param_count; p++) base_big_free(grad[p]);
    free(grad);
    free(needed);
    if (ok)
        *out = fisher;
    else
        fisher_free(m, fisher);
    return ok;
}
