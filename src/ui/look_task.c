// What the layer panel has computed beside the screen: weights from the newest run or from files, figures, singular
// values, the second moment of the inputs.
#include <stdlib.h>
#include <string.h>

#include "ui/look_part.h"
#include "ui/task.h"

typedef struct look_job {
    enum look_what what;
    look_store *store;
    look_files *files;
    char *model, *arch, *data, *saved; // paths; NULL or "": none
    int saved_run, samples;
    char layer[128], key[LOOK_KEY];
    look_entry *entry; // made here; of SPECTRA and MOMENTS only those figures
    int64_t id;
} look_job;

static void job_free(look_job *j) {
    if (j->entry) look_figures_free(&j->entry->f);
    free(j->entry);
    free(j->model);
    free(j->arch);
    free(j->data);
    free(j->saved);
    free(j);
}

// ---- files -----------------------------------------------------------------------------------------------

void look_files_close(look_files *f) {
    for (int i = 0; i < 2; i++) {
        if (f->m[i]) model_close(f->m[i]);
        free(f->key[i]);
        f->m[i] = NULL;
        f->key[i] = NULL;
    }
}

static model *open_file(look_files *f, int which, const char *path, const char *arch, int run, base_err *err) {
    char *key = base_sprintf("%s\n%d", path, run);
    if (f->m[which] && strcmp(f->key[which], key) == 0) {
        free(key);
        return f->m[which];
    }
    if (f->m[which]) model_close(f->m[which]);
    free(f->key[which]);
    f->m[which] = script_model_open(path, arch, err);
    f->key[which] = f->m[which] ? key : NULL;
    if (!f->m[which]) free(key);
    return f->m[which];
}

// ---- the weights -----------------------------------------------------------------------------------------

typedef struct weights {
    look_kept *kept;
    const float *before, *after;
    int64_t rows, cols;
} weights;

// From the run of this session that made the layer, else from the model's file and the last one saved.
static bool find_weights(look_job *j, weights *w, base_err *err) {
    look_figures *f = &j->entry->f;
    *w = (weights){.kept = look_store_hold(j->store, j->layer)};
    if (w->kept) {
        w->before = w->kept->before;
        w->after = w->kept->after;
        w->rows = w->kept->rows;
        w->cols = w->kept->cols;
        snprintf(f->from, sizeof f->from, "after: as the newest run made it");
        return true;
    }
    if (!j->model || !j->model[0]) return base_fail(err, "no model is open; :model PATH opens one");
    const model *m = open_file(j->files, 0, j->model, j->arch, 0, err);
    if (!m) return false;
    int at = model_find_layer(m, j->layer);
    if (at < 0) return base_fail(err, "%s has no layer \"%s\"", m->name, j->layer);
    const model_layer *l = &m->layers[at];
    w->before = m->weights[l->weight];
    w->rows = l->out;
    w->cols = l->in;
    if (!w->before) return base_fail(err, "layer %s holds no floats", j->layer);
    snprintf(f->from, sizeof f->from, "not compressed in this session%s", m->packed ? "; the file is packed" : "");
    if (!j->saved) return true;
    base_err trouble = {0};
    const model *c = open_file(j->files, 1, j->saved, j->arch, j->saved_run, &trouble);
    int there = c ? model_find_layer(c, j->layer) : -1;
    if (there < 0 || c->layers[there].out != l->out || c->layers[there].in != l->in) {
        snprintf(f->from, sizeof f->from, "the saved file has no such layer%s%.120s", trouble.text[0] ? ": " : "",
                 trouble.text);
        return true;
    }
    w->after = c->weights[c->layers[there].weight];
    snprintf(f->from, sizeof f->from, "after: %.120s", base_basename(j->saved));
    int tensor = c->param_tensor ? c->param_tensor[c->layers[there].weight] : -1;
    if (tensor >= 0 && c->tensors->items[tensor].entropy[0])
        snprintf(f->stored, sizeof f->stored,
                 "The file tells no codes apart; entropy of its arrays: %.90s bits a code.",
                 c->tensors->items[tensor].entropy);
    return true;
}

static void copy_codes(look_figures *f, const look_kept *k) {
    for (int i = 0; k && i < k->code_count; i++) {
        size_t symbols = (size_t)1 << k->codes[i].bits;
        int64_t *use = base_calloc(symbols, sizeof *use);
        memcpy(use, k->codes[i].use, symbols * sizeof *use);
        f->codes[i] = k->codes[i];
        f->codes[i].use = use;
        f->code_count++;
    }
}

static bool work_weights(look_job *j, base_job *job, base_err *err) {
    look_figures *f = &j->entry->f;
    weights w;
    if (!find_weights(j, &w, err)) return false;
    f->rows = w.rows;
    f->cols = w.cols;
    bool ok = w.rows > 0 && w.cols > 0;
    if (!ok) base_fail(err, "layer %s is empty", j->layer);
    if (ok && j->what == LOOK_ALL) {
        copy_codes(f, w.kept);
        ok = look_figure(f, w.before, w.after, job, err);
    } else if (ok) {
        ok = look_spectrum(f, w.before, w.after, job, err);
    }
    look_store_release(j->store, w.kept);
    return ok;
}

// ---- the second moment -----------------------------------------------------------------------------------

enum { MOST_MOMENT = 1 << 26 }; // floats of H

static bool moments_of(look_job *j, const model *m, const model_layer *l, const data_view *view, base_job *job,
                       base_err *err) {
    look_figures *f = &j->entry->f;
    bool counts = m->graph->nodes[l->node].op == MODEL_EMBEDDING;
    int64_t n = counts ? l->out : l->in, groups = counts ? 1 : l->groups;
    double values = counts ? (double)n : (double)groups * (double)n * (double)n;
    if (values > MOST_MOMENT)
        return base_fail(err, "the second moment of %s would have %.3g values, more than %d", l->name, values,
                         MOST_MOMENT);
    float *h = base_big_alloc((size_t)values, sizeof *h, "the second moment of a layer's inputs", err);
    engine_stream *s = h ? engine_stream_open(m, m->weights, view, err) : NULL;
    bool ok = s && engine_stream_advance(s, l->node, job, err) && engine_stream_gram(s, l->node, h, job, err);
    if (ok) {
        ok = look_moments(f, h, groups, n, counts, job, err);
        snprintf(f->hessian_note, sizeof f->hessian_note, "H = X^T X / n over %lld rows of %.60s%s",
                 (long long)(counts ? view->count : engine_stream_rows(s, l->node)), view->label,
                 counts ? " (an embedding: how often each entry occurs)" : "");
    }
    engine_stream_close(s);
    base_big_free(h);
    return ok;
}

static bool work_moments(look_job *j, base_job *job, base_err *err) {
    if (!j->model || !j->model[0]) return base_fail(err, "no model is open; :model PATH opens one");
    const model *m = open_file(j->files, 0, j->model, j->arch, 0, err);
    if (!m) return false;
    int at = model_find_layer(m, j->layer);
    if (at < 0) return base_fail(err, "%s has no layer \"%s\"", m->name, j->layer);
    if (!m->graph || m->layers[at].node < 0)
        return base_fail(err, "no architecture fits %s, so no inputs reach its layers", m->name);
    char *own = j->data && j->data[0] ? base_strdup(j->data) : script_dataset_for(m);
    if (!own) return base_fail(err, "no dataset is known for %s; :data PATH names one", m->name);
    data_set *set = script_dataset_open(own, job, err);
    free(own);
    data_view *part = set ? data_view_part(set, DATA_CALIB, err) : NULL;
    int64_t count = part && part->count < j->samples ? part->count : j->samples;
    data_view *view = part ? data_view_sample(part, count, 1, err) : NULL;
    bool ok = view && moments_of(j, m, &m->layers[at], view, job, err);
    if (view) data_view_free(view);
    if (part) data_view_free(part);
    if (set) data_close(set);
    return ok;
}

static bool work(void *own, base_job *job, base_err *err) {
    look_job *j = own;
    return j->what == LOOK_MOMENTS ? work_moments(j, job, err) : work_weights(j, job, err);
}

// ---- back on the screen's thread -------------------------------------------------------------------------

static void merge(look_figures *to, look_figures *from, enum look_what what) {
    if (what == LOOK_SPECTRA) {
        for (int i = 0; i < 3; i++) {
            free(to->spectrum[i]);
            to->spectrum[i] = from->spectrum[i];
            from->spectrum[i] = NULL;
        }
        to->spectrum_count = from->spectrum_count;
        memcpy(to->spectrum_note, from->spectrum_note, sizeof to->spectrum_note);
        return;
    }
    free(to->diagonal);
    free(to->eigen);
    to->diagonal = from->diagonal;
    to->eigen = from->eigen;
    from->diagonal = from->eigen = NULL;
    to->diagonal_count = from->diagonal_count;
    to->eigen_count = from->eigen_count;
    memcpy(to->hessian_note, from->hessian_note, sizeof to->hessian_note);
}

static void take(look_part *part, look_job *j) {
    look_entry *there = look_find(part, j->key);
    if (j->what != LOOK_ALL) {
        if (there) merge(&there->f, &j->entry->f, j->what);
        return;
    }
    if (there) return;
    if (part->count == LOOK_CACHED) {
        look_figures_free(&part->entry[0]->f);
        free(part->entry[0]);
        memmove(part->entry, part->entry + 1, (size_t)--part->count * sizeof(part->entry[0]));
    }
    part->entry[part->count++] = j->entry;
    j->entry = NULL;
}

static void done(ui_app *app, void *own, base_status status, const char *message) {
    look_job *j = own;
    look_part *part = look_own(app);
    bool mine = part && part->asked == j->id;
    if (mine) part->asking[0] = 0;
    if (part && status == BASE_OK) take(part, j);
    if (mine && status == BASE_FAILED) {
        memcpy(part->failed, j->key, sizeof part->failed);
        part->failed_what = (int)j->what;
        base_clean(part->trouble, sizeof part->trouble, message);
    }
    job_free(j);
}

// The newest run that saved a file, NULL: none.
static const ui_run *saved_run(const ui_app *app) {
    for (int i = app->state.run_count; i-- > 0;)
        if (app->state.runs[i].saved[0]) return &app->state.runs[i];
    return NULL;
}

void look_key(const ui_app *app, look_part *own, const char *layer, char key[LOOK_KEY]) {
    const ui_run *r = saved_run(app);
    snprintf(key, LOOK_KEY, "%s\n%lld\n%s\n%d", layer, (long long)look_store_stamp(&own->store, layer),
             app->state.model, r ? (int)r->number : 0);
}

static void read_shape(const char *text, model_shape *s) {
    *s = (model_shape){0};
    for (char *end; *text && s->ndim < 5; text = *end == 'x' ? end + 1 : end) {
        s->dim[s->ndim++] = strtoll(text, &end, 10);
        if (end == text) break;
    }
}

void look_ask(ui_app *app, look_part *own, const ui_layer *layer, const char *key, enum look_what what) {
    bool failed = strcmp(own->failed, key) == 0 && own->failed_what == (int)what;
    if (failed || (strcmp(own->asking, key) == 0 && own->asking_what == (int)what)) return;
    const ui_run *r = saved_run(app);
    look_job *j = base_calloc(1, sizeof *j);
    *j = (look_job){.what = what,
                    .store = &own->store,
                    .files = &own->files,
                    .model = base_strdup(app->state.model),
                    .arch = base_strdup(app->arch),
                    .data = base_strdup(app->data),
                    .saved = r ? base_strdup(r->saved) : NULL,
                    .saved_run = r ? (int)r->number : 0,
                    .samples = own->samples,
                    .id = ++own->asked};
    snprintf(j->layer, sizeof j->layer, "%s", layer->row.name);
    memcpy(j->key, key, sizeof j->key);
    j->entry = base_calloc(1, sizeof *j->entry);
    memcpy(j->entry->key, key, sizeof j->entry->key);
    look_figures *f = &j->entry->f;
    snprintf(f->layer, sizeof f->layer, "%s", layer->row.name);
    snprintf(f->kind, sizeof f->kind, "%s", layer->row.kind);
    read_shape(layer->row.shape, &f->shape);
    memcpy(own->asking, key, sizeof own->asking);
    own->asking_what = (int)what;
    own->failed[0] = 0;
    static const char *const words[] = {"reading", "singular values of", "inputs of"};
    char text[160];
    snprintf(text, sizeof text, "%s %.120s", words[what], layer->row.name);
    ui_task task = {.kind = "look", .what = text, .own = j, .work = work, .done = done};
    ui_task_start(app, &task);
}
