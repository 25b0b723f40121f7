// generate: text continued by a language model, one token at a time. Each step runs the window of tokens so far
// through the graph again: slower than keeping keys and values, but the same for every architecture that a graph can
// describe, and the logits are exactly those of engine_forward.
#include "engine/exec.h"

#include <math.h>
#include <stdlib.h>

typedef struct generate_run {
    exec_plan plan;
    exec_weights weights;
    exec_worker *workers;
    float *logits; // [context x vocabulary]
} generate_run;

static bool generate_open(generate_run *r, const model *m, engine_weights w, int64_t window, base_err *err) {
    const model_graph *g = m->graph;
    if (!exec_plan_make(&r->plan, g, 0, g->node_count, NULL, 1, window, err)) return false;
    if (!exec_weights_make(&r->weights, &r->plan, w, err)) return false;
    r->workers = exec_workers_make(&r->plan, err);
    if (!r->workers) return false;
    r->logits = base_big_alloc((size_t)model_shape_count(&r->plan.shapes[g->output]), sizeof(float), "logits", err);
    return r->logits;
}

static void generate_close(generate_run *r) {
    base_big_free(r->logits);
    exec_workers_free(r->workers);
    exec_weights_free(&r->weights);
    exec_plan_free(&r->plan);
}

// The likeliest entry, or one drawn from softmax(logits / temperature).
static int64_t choose(const float *logits, int64_t count, double temperature, num_rng *rng) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    if (temperature <= 0) return best;
    double total = 0, sum = 0;
    for (int64_t i = 0; i < count; i++) total += exp(((double)logits[i] - (double)logits[best]) / temperature);
    double mark = num_rng_unit(rng) * total;
    for (int64_t i = 0; i < count; i++) {
        sum += exp(((double)logits[i] - (double)logits[best]) / temperature);
        if (mark < sum) return i;
    }
    return best;
}

static bool next_token(generate_run *r, const int32_t *tokens, int64_t t, double temperature, num_rng *rng,
                       int32_t *next, base_err *err) {
    const model_graph *g = r->plan.g;
    exec_worker *w = &r->workers[0];
    data_batch batch = {.kind = DATA_TOKENS, .count = 1, .length = t, .tokens = (int32_t *)tokens};
    if (!exec_check_batch(g, &batch, err)) return false;
    w->outer[g->output] = r->logits;
    if (!exec_run(&r->plan, &r->weights, w, 1, t, tokens, err)) return false;
    const model_shape *s = model_graph_shape(g, g->output);
    int64_t vocabulary = s->dim[s->ndim - 1];
    *next = (int32_t)choose(r->logits + (t - 1) * vocabulary, vocabulary, temperature, rng);
    return true;
}

bool engine_generate(const model *m, engine_weights w, int32_t *tokens, int64_t *count, int64_t limit,
                     double temperature, uint64_t seed, base_job *job, base_err *err) {
    if (!exec_check_model(m, err)) return false;
    if (m->graph->task != MODEL_LANGUAGE) return base_fail(err, "%s is not a language model", m->name);
    if (*count < 1) return base_fail(err, "generating needs at least one token to start from");
    int64_t window = m->graph->context < limit ? m->graph->context : limit;
    num_rng rng = num_rng_seed(seed, 0);
    generate_run r = {0};
    bool ok = generate_open(&r, m, w, window, err);
    while (ok && *count < limit) {
        int64_t t = *count < window ? *count : window;
        ok = base_go_on(job, err) && next_token(&r, tokens + *count - t, t, temperature, &rng, &tokens[*count], err);
        if (ok) (*count)++;
    }
    generate_close(&r);
    return ok;
}
