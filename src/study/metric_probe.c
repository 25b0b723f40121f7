// metric_probe: scores from measuring the network with changed layers, beside the plain loss of metric_loss.
//
//   pruning    rise of the loss when the layer's smallest weights are zeroed (CPTQuant's pruning score, arXiv
//   2412.03599) decoupled  content and quality apart (after MixDQ, arXiv 2405.17873) pairs      what two compressed
//   layers do to the network beyond the sum of what each does
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const data_view *measured_on(const study_subject *s) {
    return s->select ? s->select : s->calib;
}

static double layers_of(const study_subject *s) {
    return s->layers ? s->layer_count : s->m->layer_count;
}

// What the network's row says under a figure: KL, or the rise of the loss.
typedef struct probing {
    const float **w;
    engine_probe *probe;
    bool kl;
    double base; // loss of the original
} probing;

static bool open_probe(probing *k, const study_subject *s, const char *figure, base_job *job, base_err *err) {
    const model *m = s->m;
    k->kl = !strcmp(figure, "kl");
    if (k->kl && m->graph->task == MODEL_RECONSTRUCT)
        return base_fail(err,
                         "sensitivity: a network that reconstructs has no divergence; figure=\"loss\" has meaning");
    k->w = base_calloc((size_t)m->weight_count + 1, sizeof *k->w);
    for (int p = 0; p < m->weight_count; p++) k->w[p] = m->weights[p];
    base_model_row row = {0};
    k->probe = engine_probe_open(m, m->weights, measured_on(s), job, err);
    bool ok = k->probe && engine_probe_measure(k->probe, k->w, &row, job, err);
    k->base = row.loss;
    return ok;
}

static void close_probe(probing *k) {
    engine_probe_close(k->probe);
    free(k->w);
}

static bool probe_now(probing *k, double *value, base_job *job, base_err *err) {
    base_model_row row = {0};
    if (!engine_probe_measure(k->probe, k->w, &row, job, err)) return false;
    *value = k->kl ? row.kl : row.loss - k->base;
    return true;
}

// ---- pruning ---------------------------------------------------------------------------------------

enum { PRUNE_SPARSITY, PRUNE_FIGURE };
static const base_arg prune_args[] = {
    {"sparsity", BASE_NUM, 0.5, 0.01, 1, NULL, NULL, "share of the layer's weights that is zeroed, the smallest first"},
    {"figure", BASE_TEXT, 0, 0, 0, "kl", "kl|loss", "divergence from the original's outputs, or rise of the loss"}};

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Zeroes exactly `count` of the smallest magnitudes; of equal ones the first go. `sorted` [n] is room.
static void zero_smallest(float *w, int64_t n, int64_t count, float *sorted) {
    if (count < 1) return;
    for (int64_t i = 0; i < n; i++) sorted[i] = fabsf(w[i]);
    qsort(sorted, (size_t)n, sizeof *sorted, rising);
    float limit = sorted[count - 1];
    int64_t left = count;
    for (int64_t i = 0; i < n; i++) left -= fabsf(w[i]) < limit;
    for (int64_t i = 0; i < n; i++)
        if (fabsf(w[i]) < limit || (fabsf(w[i]) <= limit && left-- > 0)) w[i] = 0;
}

static bool measure_pruning(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    probing k = {0};
    bool ok = study_table_new(t, s, "pruning", "nats", false, err) && open_probe(&k, s, v[PRUNE_FIGURE].text, job, err);
    for (int r = 0; ok && r < t->rows; r++) {
        const model_layer *l = &s->m->layers[study_layer(s, r)];
        double began = base_now();
        size_t n = (size_t)l->weights;
        float *room = base_big_alloc(2 * n + 1, sizeof *room, "a pruned layer", err);
        ok = room && base_go_on(job, err) && engine_probe_stand(k.probe, l->node, job, err);
        if (ok) {
            memcpy(room, s->m->weights[l->weight], n * sizeof *room);
            zero_smallest(room, l->weights, (int64_t)(v[PRUNE_SPARSITY].number * (double)n), room + n);
            k.w[l->weight] = room;
            ok = probe_now(&k, &t->value[r], job, err);
            k.w[l->weight] = s->m->weights[l->weight];
        }
        t->seconds[r] = base_now() - began;
        base_progress(job, "sensitivity", r + 1, t->rows, NAN);
        base_big_free(room);
    }
    close_probe(&k);
    return ok;
}

static void pruning_passes(const study_subject *s, const base_value *v, double *forward, double *backward) {
    (void)v, (void)backward;
    *forward = 2 + 0.5 * layers_of(s);
}

const study_metric metric_pruning = {
    .name = "pruning",
    .help = "the network's divergence or loss with the layer's smallest weights zeroed",
    .about =
        "One layer at a time loses its smallest weights, the rest stays original; the network is measured. A layer\n"
        "that feels sparsity is given more bits. Does not look at the options.",
    .source = "CPTQuant (arXiv 2412.03599), PMPQ: the precision of a layer from its sensitivity to sparsity",
    .cost = "selection samples; half a forward pass a layer on average",
    .data = STUDY_SELECT,
    .alone = true,
    .args = prune_args,
    .arg_count = sizeof prune_args / sizeof *prune_args,
    .work = pruning_passes,
    .measure = measure_pruning,
};

// ---- content and quality -----------------------------------------------------------------------------

enum { DECOUPLED_SIDE };
static const base_arg decoupled_args[] = {
    {"side", BASE_TEXT, 0, 0, 0, "content", "content|quality",
     "content: share of decisions that change, percent; quality: divergence of the outputs, nats"}};

typedef struct decoupling {
    const study_subject *s;
    study_table *t;
    probing k;
    bool content;
    base_job *job;
} decoupling;

static bool decouple(void *context, int row, int option, const float *decoded, const base_layer_row *figures,
                     base_err *err) {
    decoupling *d = context;
    (void)figures;
    const model_layer *l = &d->s->m->layers[study_layer(d->s, row)];
    base_model_row found = {0};
    d->k.w[l->weight] = decoded;
    bool ok = engine_probe_stand(d->k.probe, l->node, d->job, err) &&
              engine_probe_measure(d->k.probe, d->k.w, &found, d->job, err);
    d->k.w[l->weight] = d->s->m->weights[l->weight];
    if (!ok) return false;
    int at = row * d->t->cols + option;
    d->t->value[at] = d->content ? 100.0 * (double)found.flips / (double)found.samples : found.kl;
    double p = (double)found.flips / (double)found.samples;
    d->t->error[at] = d->content ? 100 * sqrt(p * (1 - p) / (double)found.samples) : (found.kl_high - found.kl) / 1.96;
    d->t->seconds[at] += found.seconds;
    return true;
}

static bool measure_decoupled(const study_subject *s, const base_value *v, study_table *t, base_job *job,
                              base_err *err) {
    decoupling d = {.s = s, .t = t, .content = !strcmp(v[DECOUPLED_SIDE].text, "content"), .job = job};
    if (s->m->graph->task == MODEL_RECONSTRUCT)
        return base_fail(err, "sensitivity: decoupled compares decisions, and a network that reconstructs makes none");
    bool ok = study_table_new(t, s, d.content ? "content" : "quality", d.content ? "percent" : "nats", true, err) &&
              open_probe(&d.k, s, "kl", job, err) && study_each(s, t, decouple, &d, job, err);
    close_probe(&d.k);
    return ok;
}

static void cell_passes(const study_subject *s, const base_value *v, double *forward, double *backward) {
    (void)v, (void)backward;
    *forward = 2 + 0.5 * s->option_count * layers_of(s);
}

const study_metric metric_decoupled = {
    .name = "decoupled",
    .help = "changed decisions (content) and divergence (quality) with only this layer compressed, apart",
    .about = "Two questions of one layer under one option: does the network still say the same (top-1 class, or next\n"
             "token: share of decisions that differ from the original's, percent), and how faithfully does it say it\n"
             "(KL divergence). Layers that rank high on one side only are what the two tables show when compared.\n"
             "The paper judges images by content and quality; of networks that decide these are the nearest pair.",
    .source = "after Zhao et al. 2024, MixDQ (arXiv 2405.17873), metric-decoupled sensitivity",
    .cost = "selection samples; half a forward pass a cell on average",
    .data = STUDY_SELECT,
    .by_option = true,
    .alone = true,
    .args = decoupled_args,
    .arg_count = sizeof decoupled_args / sizeof *decoupled_args,
    .work = cell_passes,
    .measure = measure_decoupled,
};

// ---- pairs -----------------------------------------------------------------------------------------

enum { PAIRS_OPTION, PAIRS_FIGURE };
static const base_arg pair_args[] = {
    {"option", BASE_INT, 1, 1, 4096, NULL, NULL, "which of the options, from 1"},
    {"figure", BASE_TEXT, 0, 0, 0, "kl", "kl|loss", "divergence from the original's outputs, or rise of the loss"}};

typedef struct pairing {
    const study_subject *s;
    float **decoded; // [rows]
} pairing;

static bool hold(void *context, int row, int option, const float *decoded, const base_layer_row *figures,
                 base_err *err) {
    pairing *p = context;
    (void)option, (void)figures;
    size_t n = (size_t)p->s->m->layers[study_layer(p->s, row)].weights;
    p->decoded[row] = base_big_alloc(n, sizeof **p->decoded, "the weights of a layer under an option", err);
    if (p->decoded[row]) memcpy(p->decoded[row], decoded, n * sizeof **p->decoded);
    return p->decoded[row];
}

// A table of rows x rows: columns are the layers again.
static bool square_table(study_table *t, const study_subject *s, base_err *err) {
    if (!study_table_new(t, s, "pairs", "nats", false, err)) return false;
    size_t cells = (size_t)t->rows * (size_t)t->rows;
    free(t->col[0]);
    t->col = base_realloc(t->col, (size_t)t->rows, sizeof *t->col);
    t->value = base_realloc(t->value, cells, sizeof *t->value);
    t->error = base_realloc(t->error, cells, sizeof *t->error);
    t->seconds = base_realloc(t->seconds, cells, sizeof *t->seconds);
    t->steps = base_realloc(t->steps, (size_t)t->rows, sizeof *t->steps);
    memset(t->steps, 0, (size_t)t->rows * sizeof *t->steps);
    t->cols = t->rows;
    for (int c = 0; c < t->cols; c++) t->col[c] = base_strdup(t->row[c]);
    for (size_t i = 0; i < cells; i++) t->value[i] = t->error[i] = t->seconds[i] = NAN;
    return true;
}

// The upper triangle in order of the first layer: what lies before it is run once.
static bool measure_triangle(probing *k, const pairing *p, study_table *t, base_job *job, base_err *err) {
    const model *m = p->s->m;
    int n = t->rows;
    int64_t done = 0, all = (int64_t)n * (n + 1) / 2;
    for (int i = 0; i < n; i++) {
        const model_layer *a = &m->layers[study_layer(p->s, i)];
        if (!engine_probe_stand(k->probe, a->node, job, err)) return false;
        k->w[a->weight] = p->decoded[i];
        for (int j = i; j < n; j++) {
            const model_layer *b = &m->layers[study_layer(p->s, j)];
            double began = base_now();
            k->w[b->weight] = p->decoded[j];
            if (!probe_now(k, &t->value[i * n + j], job, err)) return false;
            if (j != i) k->w[b->weight] = m->weights[b->weight];
            t->seconds[i * n + j] = t->seconds[j * n + i] = base_now() - began;
            base_progress(job, "sensitivity", ++done, all, NAN);
        }
        k->w[a->weight] = m->weights[a->weight];
    }
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            t->value[j * n + i] = t->value[i * n + j] -= t->value[i * n + i] + t->value[j * n + j];
    return true;
}

static bool measure_pairs(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    int option = (int)v[PAIRS_OPTION].number;
    if (option > s->option_count)
        return base_fail(err, "sensitivity: pairs was asked for option %d, and there are %d", option, s->option_count);
    study_subject one = *s;
    one.options = s->options + option - 1;
    one.option_count = 1;
    study_table sizes = {0};
    probing k = {0};
    pairing p = {.s = s};
    bool ok = square_table(t, s, err) && study_table_new(&sizes, &one, "pairs", "nats", true, err);
    if (ok) p.decoded = base_calloc((size_t)t->rows + 1, sizeof *p.decoded);
    ok = ok && open_probe(&k, s, v[PAIRS_FIGURE].text, job, err) && study_each(&one, &sizes, hold, &p, job, err) &&
         measure_triangle(&k, &p, t, job, err);
    for (int r = 0; p.decoded && r < t->rows; r++) base_big_free(p.decoded[r]);
    free(p.decoded);
    study_table_free(&sizes);
    close_probe(&k);
    return ok;
}

static void pair_passes(const study_subject *s, const base_value *v, double *forward, double *backward) {
    double n = layers_of(s);
    (void)v, (void)backward;
    *forward = 2 + n * (n + 1) / 3; // the first of two layers lies a third of the way in on average
}

const study_metric metric_pairs = {
    .name = "pairs",
    .help = "layers x layers under one option: the pair's loss beyond the sum of the two alone",
    .about =
        "On the diagonal each layer's own loss under the option; off it L(i and j) - L(i) - L(j). Positive: the two\n"
        "hurt each other; negative: their errors cancel. Allocators that add losses up are blind to both. The\n"
        "columns of the table are layers, not options.",
    .source = "pairwise interactions, as the quadratic terms of Deng et al. 2023, CLADO (arXiv 2307.05657), section 3",
    .cost = "selection samples; n (n + 1) / 2 measurements of n layers, two thirds of a forward pass each",
    .data = STUDY_SELECT,
    .square = true,
    .args = pair_args,
    .arg_count = sizeof pair_args / sizeof *pair_args,
    .work = pair_passes,
    .measure = measure_pairs,
};
