// What a compressed network gets wrong and its original right, sample by sample: both are run by the engine on the test
// part, and the samples whose decision changed are kept with the probabilities before and after.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/samples.h"

enum { BATCH = 32 };

void ui_samples_result_free(ui_samples_result *r) {
    if (!r) return;
    for (int i = 0; i < r->count && r->text; i++) {
        free(r->text[i].prompt);
        free(r->text[i].before);
        free(r->text[i].after);
    }
    if (r->class_names) base_names_free(r->class_names, (size_t)r->classes);
    free(r->text);
    free(r->row);
    free(r->before);
    free(r->after);
    free(r->pixels);
    free(r);
}

void ui_softmax(const float *logits, int64_t count, float *out) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, (double)logits[i]);
    for (int64_t i = 0; i < count; i++) sum += exp((double)logits[i] - most);
    for (int64_t i = 0; i < count; i++) out[i] = (float)(exp((double)logits[i] - most) / sum);
}

static double log_sum(const float *logits, int64_t count) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, (double)logits[i]);
    for (int64_t i = 0; i < count; i++) sum += exp((double)logits[i] - most);
    return most + log(sum);
}

// From the logits, since probabilities that are too small for a float would count as none at all.
double ui_divergence(const float *p, const float *q, int64_t count) {
    double p_sum = log_sum(p, count), q_sum = log_sum(q, count), sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double log_p = (double)p[i] - p_sum, log_q = (double)q[i] - q_sum;
        sum += exp(log_p) * (log_p - log_q);
    }
    return sum > 0 ? sum : 0;
}

static int64_t best(const float *p, int64_t count) {
    int64_t at = 0;
    for (int64_t i = 1; i < count; i++)
        if (p[i] > p[at]) at = i;
    return at;
}

ui_sample *ui_samples_add(ui_samples_result *r, bool arrays) {
    if (r->count == UI_SAMPLES_KEPT) return NULL;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 64;
        size_t n = (size_t)r->capacity;
        r->row = base_realloc(r->row, n, sizeof *r->row);
        if (arrays) {
            r->before = base_realloc(r->before, n, (size_t)r->classes * sizeof *r->before);
            r->after = base_realloc(r->after, n, (size_t)r->classes * sizeof *r->after);
            r->pixels = base_realloc(r->pixels, n, (size_t)r->values * sizeof *r->pixels);
        }
    }
    ui_sample *s = &r->row[r->count];
    *s = (ui_sample){.at = r->count++, .label = -1, .before = -1, .after = -1, .same = -1, .kl = NAN};
    return s;
}

// ---- one sample --------------------------------------------------------------------------------

static void name_of(const ui_samples_result *r, int64_t class, char out[40]) {
    if (class < 0)
        snprintf(out, 40, "-");
    else if (r->class_names && class < r->classes)
        base_clean(out, 40, r->class_names[class]);
    else
        snprintf(out, 40, "%lld", (long long)class);
}

static void keep_arrays(ui_samples_result *r, const ui_sample *s, const float *x, const float *before,
                        const float *after) {
    size_t n = (size_t)r->classes, v = (size_t)r->values, at = (size_t)s->at;
    memcpy(r->before + at * n, before, n * sizeof *before);
    memcpy(r->after + at * n, after, n * sizeof *after);
    memcpy(r->pixels + at * v, x, v * sizeof *x);
}

// p and q: logits of the original and the compressed network; they become probabilities.
static void decide(ui_samples_result *r, int64_t number, const float *x, int64_t label, float *p, float *q) {
    double kl = ui_divergence(p, q, r->classes);
    int64_t a = best(p, r->classes), b = best(q, r->classes); // probabilities may tie where logits do not
    ui_softmax(p, r->classes, p);
    ui_softmax(q, r->classes, q);
    bool known = label >= 0 && label < r->classes;
    bool wrong = known && a == label && b != label, right = known && b == label && a != label;
    r->newly_wrong += wrong;
    r->newly_right += right;
    r->flips += a != b;
    ui_sample *s = a != b ? ui_samples_add(r, true) : NULL;
    if (!s) return;
    s->number = number;
    s->label = label;
    s->before = a;
    s->after = b;
    s->kl = kl;
    int64_t of = known ? label : a;
    s->own_before = (double)p[of];
    s->own_after = (double)q[of];
    s->change = s->own_before - s->own_after;
    snprintf(s->what, sizeof s->what, "%s", wrong ? "newly wrong" : right ? "newly right" : "other");
    name_of(r, label, s->label_name);
    name_of(r, a, s->before_name);
    name_of(r, b, s->after_name);
    keep_arrays(r, s, x, p, q);
}

// Outputs that are no classes: every sample is a row, told by its squared error before and after.
static void predict(ui_samples_result *r, int64_t number, const float *x, const float *before, const float *after) {
    ui_sample *s = ui_samples_add(r, true);
    if (!s) return;
    double far = 0, error_before = 0, error_after = 0;
    for (int64_t i = 0; i < r->classes; i++) {
        double target = i < r->values ? (double)x[i] : 0;
        far += pow((double)before[i] - (double)after[i], 2);
        error_before += pow((double)before[i] - target, 2);
        error_after += pow((double)after[i] - target, 2);
    }
    double n = (double)r->classes;
    s->number = number;
    s->own_before = error_before / n;
    s->own_after = error_after / n;
    s->change = sqrt(far / n);
    snprintf(s->what, sizeof s->what, "prediction");
    keep_arrays(r, s, x, before, after);
}

// ---- all of them -------------------------------------------------------------------------------

typedef struct pair { // both networks and what a batch of them fills
    const model *a, *b;
    float *before, *after; // [BATCH x classes]
    data_batch batch;
} pair;

static bool one_batch(ui_samples_result *r, pair *p, const data_view *view, int64_t from, int64_t count, base_job *job,
                      base_err *err) {
    if (!data_fetch(view, from, count, &p->batch, err) ||
        !engine_forward(p->a, p->a->weights, &p->batch, p->before, job, err) ||
        !engine_forward(p->b, p->b->weights, &p->batch, p->after, job, err))
        return false;
    for (int64_t i = 0; i < count; i++) {
        float *before = p->before + i * r->classes, *after = p->after + i * r->classes;
        const float *x = p->batch.x + i * r->values;
        if (r->task != MODEL_CLASSIFY) {
            predict(r, from + i + 1, x, before, after);
            continue;
        }
        decide(r, from + i + 1, x, p->batch.labels ? p->batch.labels[i] : -1, before, after);
    }
    r->looked += count;
    return true;
}

static void shape_of(ui_samples_result *r, const model *m, const data_set *set) {
    const model_shape *out = model_graph_shape(m->graph, m->graph->output);
    r->classes = 1;
    for (int i = 1; i < out->ndim; i++) r->classes *= out->dim[i];
    r->values = set->sample_values;
    int at = set->ndim == 3 ? 1 : 0;
    bool picture = set->ndim == 2 || (set->ndim == 3 && (set->dim[0] == 1 || set->dim[0] == 3));
    if (picture && set->dim[at] <= 1024 && set->dim[at + 1] <= 1024 && set->dim[at] > 1) {
        r->channels = at ? (int)set->dim[0] : 1;
        r->height = (int)set->dim[at];
        r->width = (int)set->dim[at + 1];
    }
    if (!set->class_names || set->classes != r->classes) return;
    r->class_names = base_calloc((size_t)r->classes, sizeof *r->class_names);
    for (int64_t i = 0; i < r->classes; i++) r->class_names[i] = base_strdup(set->class_names[i]);
}

static bool look_through(ui_samples_ask *ask, const model *a, const model *b, const data_view *view, base_job *job,
                         base_err *err) {
    ui_samples_result *r = ask->result;
    shape_of(r, a, view->set);
    if (r->classes < 1 || r->classes > 100000 || r->values < 1 || r->values > 1 << 20)
        return base_fail(err, "samples of %lld values with %lld outputs are too large to be kept", (long long)r->values,
                         (long long)r->classes);
    pair p = {.a = a, .b = b};
    p.before = base_calloc((size_t)(BATCH * r->classes), sizeof *p.before);
    p.after = base_calloc((size_t)(BATCH * r->classes), sizeof *p.after);
    bool ok = true;
    for (int64_t at = 0; ok && at < view->count; at += BATCH) {
        int64_t n = view->count - at < BATCH ? view->count - at : BATCH;
        ok = base_go_on(job, err) && one_batch(r, &p, view, at, n, job, err);
        base_progress(job, "samples", at + n, view->count, 0);
    }
    data_batch_free(&p.batch);
    free(p.before);
    free(p.after);
    return ok;
}

static bool fitting(const model *a, const model *b, const char *saved, base_err *err) {
    if (!a->graph) return base_fail(err, "%s: %s", a->name, a->why_no_arch ? a->why_no_arch : "no architecture fits");
    if (!b->graph) return base_fail(err, "%s: %s", saved, b->why_no_arch ? b->why_no_arch : "no architecture fits");
    const model_shape *x = model_graph_shape(a->graph, a->graph->output);
    const model_shape *y = model_graph_shape(b->graph, b->graph->output);
    bool same = x->ndim == y->ndim && a->graph->task == b->graph->task;
    for (int i = 1; same && i < x->ndim; i++) same = x->dim[i] == y->dim[i];
    return same || base_fail(err, "%s has other outputs than %s, so that they cannot be compared", saved, a->name);
}

bool ui_samples_work(void *context, base_job *job, base_err *err) {
    ui_samples_ask *ask = context;
    ui_samples_result *r = ask->result;
    data_set *set = NULL;
    data_view *part = NULL, *view = NULL;
    model *a = script_model_open(ask->model, ask->arch, err), *b = NULL;
    char *own = a && !ask->data ? script_dataset_for(a) : NULL;
    const char *data = ask->data ? ask->data : own;
    bool ok = a && (b = script_model_open_on(ask->saved, NULL, ask->model, err)) && fitting(a, b, ask->saved, err);
    ok = ok && (data || base_fail(err, "there is no dataset for %s; :data PATH names one", a->name));
    ok = ok && (set = script_dataset_open(data, job, err)) && (part = data_view_part(set, DATA_TEST, err));
    if (ok && part->count > UI_SAMPLES_LOOKED)
        view = data_view_range(part, 0, UI_SAMPLES_LOOKED, err);
    else if (ok)
        view = data_view_copy(part);
    ok = ok && view;
    if (ok) {
        r->task = a->graph->task;
        snprintf(r->title, sizeof r->title, "%lld of %lld test sample%s of %s", (long long)view->count,
                 (long long)part->count, part->count == 1 ? "" : "s", set->name);
        bool text = r->task == MODEL_LANGUAGE;
        ok = text ? ui_samples_text(ask, a, b, view, job, err) : look_through(ask, a, b, view, job, err);
    }
    data_view_free(view);
    data_view_free(part);
    data_close(set);
    if (b) model_close(b);
    if (a) model_close(a);
    free(own);
    return ok;
}
