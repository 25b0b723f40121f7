// measure: one pass over a view, micro-batch after micro-batch, through one weight set or two at once. Only sums are
// kept: loss, hits, and against the reference the Kullback-Leibler divergence and the decisions that changed. A
// micro-batch's logits live in its worker's arena and are gone with it.
#include "engine/exec.h"
#include "engine/vexp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Sums over the targets of one micro-batch; for the intervals a sample (an image, a sequence of tokens) is a cluster.
typedef struct tally {
    int64_t targets, hits, flips;
    num_clusters loss, kl;
} tally;

typedef struct measure_run {
    const exec_plan *plan;
    const exec_weights *weights, *reference;
    exec_worker *workers;
    const data_view *view;
    int64_t micro;
    float *logits; // [workers x 2 x logits_each]
    int64_t logits_each;
    tally *tallies; // [micro-batches]
    atomic_llong done;
    base_job *job;
    double begun;
} measure_run;

// The largest logit's place (the first of equals) and log(sum(exp)).
static int64_t log_sum(const float *x, int64_t n, double *log_total) {
    const float top = vexp_max(x, n);
    int64_t best = 0;
    while (best + 1 < n && x[best] < top) best++;
    *log_total = (double)top + log(vexp_sum(x, n, top));
    return best;
}

// One target; its loss and divergence are added to its sample's.
static void tally_target(tally *t, const float *x, const float *ref, int64_t classes, int32_t label, double *loss,
                         double *kl) {
    double total, ref_total;
    int64_t best = log_sum(x, classes, &total);
    t->targets++;
    t->hits += best == label;
    *loss += total - (double)x[label];
    if (!ref) return;
    t->flips += log_sum(ref, classes, &ref_total) != best;
    *kl += vexp_divergence(ref, ref_total, x, total, classes);
}

// The targets of one sample: logits [rows x classes], labels [rows], -1 where there is none.
static void tally_decisions(tally *t, const float *x, const float *ref, int64_t rows, int64_t classes,
                            const int32_t *labels) {
    double loss = 0, kl = 0;
    int64_t before = t->targets;
    for (int64_t i = 0; i < rows; i++)
        if (labels[i] >= 0)
            tally_target(t, x + i * classes, ref ? ref + i * classes : NULL, classes, labels[i], &loss, &kl);
    num_clusters_add(&t->loss, t->targets - before, loss);
    if (ref) num_clusters_add(&t->kl, t->targets - before, kl);
}

static void tally_sample(tally *t, const float *out, const float *target, int64_t values) {
    t->targets++;
    num_clusters_add(&t->loss, 1, num_diff_squares(out, target, (size_t)values) / (double)values);
}

static bool run_set(const measure_run *r, const exec_weights *weights, exec_worker *w, float *logits, base_err *err) {
    w->outer[0] = w->batch.x;
    w->outer[r->plan->g->output] = logits;
    return exec_run(r->plan, weights, w, w->batch.count, w->batch.length, w->batch.tokens, err);
}

static bool measure_item(void *context, int64_t item, int worker, base_err *err) {
    measure_run *r = context;
    exec_worker *w = &r->workers[worker];
    const model_graph *g = r->plan->g;
    int64_t from = item * r->micro, n = r->view->count - from < r->micro ? r->view->count - from : r->micro;
    if (!data_fetch(r->view, from, n, &w->batch, err) || !exec_check_batch(g, &w->batch, err)) return false;
    float *logits = r->logits + worker * 2 * r->logits_each, *ref = r->reference ? logits + r->logits_each : NULL;
    if (!run_set(r, r->weights, w, logits, err)) return false;
    if (ref && !run_set(r, r->reference, w, ref, err)) return base_wrap(err, "the reference: ");
    tally *t = &r->tallies[item];
    const model_shape *shapes = exec_shapes(r->plan, w, n, w->batch.length, err);
    if (!shapes) return false;
    const model_shape *s = &shapes[g->output];
    int64_t values = model_shape_count(s), classes = s->dim[s->ndim - 1];
    if (g->task == MODEL_RECONSTRUCT) {
        for (int64_t i = 0; i < n; i++)
            tally_sample(t, logits + i * (values / n), w->batch.x + i * (values / n), values / n);
    } else {
        if (!w->batch.labels) return base_fail(err, "%s has no labels to measure against", r->view->label);
        int64_t rows = values / classes / n; // of one sample
        for (int64_t i = 0; i < n; i++)
            tally_decisions(t, logits + i * rows * classes, ref ? ref + i * rows * classes : NULL, rows, classes,
                            w->batch.labels + i * rows);
    }
    int64_t done = atomic_fetch_add(&r->done, n) + n;
    if (worker == 0) { // events come from the job's thread only
        double spent = base_now() - r->begun;
        base_progress(r->job, "evaluating", done, r->view->count,
                      spent * (double)(r->view->count - done) / (double)done);
    }
    return true;
}

// ---- the row -----------------------------------------------------------------------------------

static void fill_row(base_model_row *row, const model_graph *g, const tally *t, bool compared) {
    static const char *const metrics[] = {"top1", "perplexity", "mse"};
    num_interval loss = num_clusters_mean(&t->loss);
    snprintf(row->metric, sizeof row->metric, "%s", metrics[g->task]);
    row->samples = t->targets;
    row->loss = loss.value;
    if (g->task == MODEL_CLASSIFY) {
        num_interval top = num_wilson(t->hits, t->targets);
        row->value = 100 * top.value, row->low = 100 * top.low, row->high = 100 * top.high;
    } else if (g->task == MODEL_LANGUAGE) {
        row->value = exp(loss.value), row->low = exp(loss.low), row->high = exp(loss.high);
    } else {
        row->value = loss.value, row->low = isnan(loss.low) ? NAN : fmax(0, loss.low), row->high = loss.high;
    }
    row->kl = row->kl_low = row->kl_high = NAN;
    row->flips = -1;
    if (!compared || g->task == MODEL_RECONSTRUCT) return;
    num_interval kl = num_clusters_mean(&t->kl);
    row->kl = kl.value, row->kl_high = kl.high;
    row->kl_low = isnan(kl.low) ? NAN : fmax(0, kl.low); // a divergence is never negative
    row->flips = t->flips;
}

static void sum_up(measure_run *r, int64_t items, tally *t) {
    *t = (tally){0};
    for (int64_t i = 0; i < items; i++) {
        const tally *k = &r->tallies[i];
        t->targets += k->targets, t->hits += k->hits, t->flips += k->flips;
        num_clusters_merge(&t->loss, &k->loss);
        num_clusters_merge(&t->kl, &k->kl);
    }
}

static bool measure_pass(measure_run *r, engine_weights w, engine_weights reference, int64_t items, base_err *err) {
    exec_weights a = {0}, b = {0};
    bool ok = exec_weights_make(&a, r->plan, w, err) && (!reference || exec_weights_make(&b, r->plan, reference, err));
    r->weights = &a;
    r->reference = reference ? &b : NULL;
    r->logits_each = model_shape_count(&r->plan->shapes[r->plan->g->output]);
    r->workers = ok ? exec_workers_make(r->plan, err) : NULL;
    if (r->workers)
        r->logits = base_big_alloc((size_t)(exec_workers() * 2 * r->logits_each), sizeof(float), "logits", err);
    ok = r->logits && exec_parallel(items, measure_item, r, r->job, err);
    base_big_free(r->logits);
    exec_workers_free(r->workers);
    exec_weights_free(&a);
    exec_weights_free(&b);
    return ok;
}

static void warn_of_other_ids(const model_graph *g, const data_view *view, base_job *job) {
    const model_shape *s = model_graph_shape(g, g->output);
    int64_t tokens = s->dim[s->ndim - 1];
    if (!view->set->plain_text || view->set->classes == tokens) return;
    base_log(job, BASE_WARN,
             "%s is text in %lld bytes or characters, the network has %lld tokens: unless it was trained on these very "
             "ids the figures mean nothing; give it an array of its own tokens",
             view->label, (long long)view->set->classes, (long long)tokens);
}

bool engine_measure(const model *m, engine_weights w, engine_weights reference, const data_view *view,
                    base_model_row *row, base_job *job, base_err *err) {
    if (!exec_check_model(m, err) || !exec_check_view(m->graph, view, err)) return false;
    const model_graph *g = m->graph;
    measure_run r = {.view = view, .job = job, .begun = base_now()};
    int64_t t = g->input_kind == DATA_TOKENS ? data_longest(view, 0, view->count) : 1;
    if (g->input_kind == DATA_TOKENS && t > g->context)
        return base_fail(err, "%s holds a sequence of %lld tokens; the network's context is %lld", view->label,
                         (long long)t, (long long)g->context);
    if (!reference) warn_of_other_ids(g, view, job); // against a reference the model was measured before
    if (!exec_micro(g, 0, g->node_count, view->count, t, &r.micro, err)) return false;
    exec_plan plan;
    if (!exec_plan_make(&plan, g, 0, g->node_count, NULL, r.micro, t, err)) return false;
    r.plan = &plan;
    int64_t items = (view->count + r.micro - 1) / r.micro;
    r.tallies = base_calloc((size_t)items, sizeof *r.tallies);
    bool ok = measure_pass(&r, w, reference, items, err);
    tally sum;
    sum_up(&r, items, &sum);
    free(r.tallies);
    exec_plan_free(&plan);
    if (ok && !sum.targets) return base_fail(err, "%s has no labelled targets to measure", view->label);
    if (!ok) return base_wrap(err, "measuring %s: ", view->label);
    snprintf(row->data, sizeof row->data, "%s", view->label);
    fill_row(row, g, &sum, reference);
    row->peak_bytes = (int64_t)base_big_peak();
    row->seconds = base_now() - r.begun;
    return true;
}
