// tally: from logits to figures. Only sums are kept: loss, hits, Kullback-Leibler divergence, changed decisions.
#include "engine/tally.h"
#include "engine/vexp.h"

#include <math.h>
#include <string.h>

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
                            const int32_t *labels, engine_sample *each) {
    double loss = 0, kl = 0;
    int64_t before = t->targets, hits = t->hits;
    for (int64_t i = 0; i < rows; i++)
        if (labels[i] >= 0)
            tally_target(t, x + i * classes, ref ? ref + i * classes : NULL, classes, labels[i], &loss, &kl);
    num_clusters_add(&t->loss, t->targets - before, loss);
    if (ref) num_clusters_add(&t->kl, t->targets - before, kl);
    if (each) *each = (engine_sample){t->targets - before, t->hits - hits, loss, ref ? kl : NAN};
}

static void tally_sample(tally *t, const float *out, const float *target, int64_t values, engine_sample *each) {
    double loss = num_diff_squares(out, target, (size_t)values) / (double)values;
    t->targets++;
    num_clusters_add(&t->loss, 1, loss);
    if (each) *each = (engine_sample){1, 0, loss, NAN};
}

bool tally_batch(tally *t, const model_graph *g, const model_shape *output, const float *logits, const float *reference,
                 const data_batch *batch, int64_t n, engine_sample *each, base_err *err) {
    int64_t values = model_shape_count(output), classes = output->dim[output->ndim - 1];
    if (g->task == MODEL_RECONSTRUCT) {
        for (int64_t i = 0; i < n; i++)
            tally_sample(t, logits + i * (values / n), batch->x + i * (values / n), values / n, each ? each + i : NULL);
        return true;
    }
    if (!batch->labels) return base_fail(err, "it has no labels to measure against");
    int64_t rows = values / classes / n; // of one sample
    for (int64_t i = 0; i < n; i++)
        tally_decisions(t, logits + i * rows * classes, reference ? reference + i * rows * classes : NULL, rows,
                        classes, batch->labels + i * rows, each ? each + i : NULL);
    return true;
}

void tally_row(const tally *t, const model_graph *g, bool compared, base_model_row *row) {
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

void tally_sum(const tally *parts, int64_t count, tally *sum) {
    *sum = (tally){0};
    for (int64_t i = 0; i < count; i++) {
        const tally *k = &parts[i];
        sum->targets += k->targets, sum->hits += k->hits, sum->flips += k->flips;
        num_clusters_merge(&sum->loss, &k->loss);
        num_clusters_merge(&sum->kl, &k->kl);
    }
}
