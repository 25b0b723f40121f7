// options: each layer under each of many rules alone, everything else as it was; what a table of sensitivities and an
// allocator need. Second moments of a layer are shared by its options.
#include "compress/run.h"

#include <stdlib.h>
#include <string.h>

typedef struct option_walk {
    walk w;
    fisher_layer **fisher; // [rules] gradients of those that need them
    base_job quiet;        // the caller's stop flag and cache, without its listener
    compress_each each;
    void *context;
} option_walk;

struct compress_stored {
    const result_layer *layer;
    int64_t rows, cols;
};

bool compress_stored_decode(const compress_stored *s, float *out, base_err *err) {
    const result_layer *l = s->layer;
    return l->term_count > 0 && (!out || terms_decode(l->terms, l->term_count, s->rows, s->cols, out, err));
}

static unsigned needs_of(const compress_rule *rule) {
    unsigned needs = 0;
    for (int k = 0; k < rule->step_count; k++) needs |= walk_step_needs(&rule->steps[k]);
    return needs;
}

static void set_rule(walk *w, int rule) {
    for (int i = 0; i < w->m->layer_count; i++) w->rule[i] = rule;
}

static bool prepare_options(option_walk *o, base_job *job, base_err *err) {
    walk *w = &o->w;
    o->fisher = base_calloc((size_t)w->plan->rule_count + 1, sizeof *o->fisher);
    for (int r = 0; r < w->plan->rule_count; r++) {
        unsigned needs = needs_of(&w->plan->rules[r]);
        if (needs & COMPRESS_NEEDS_ALL_LAYERS)
            return base_fail(err, "option %d has a step that looks at all layers of its rule: alone it means nothing",
                             r + 1);
        set_rule(w, r);
        if ((needs & COMPRESS_NEEDS_GRADIENT) && !fisher_make(w->m, w->plan, w->rule, &o->fisher[r], job, err))
            return false;
    }
    w->prepared = true;
    return true;
}

static bool run_option(option_walk *o, int i, int rule, base_err *err) {
    walk *w = &o->w;
    char own[33], chained[33];
    base_layer_row row;
    bool found = false;
    w->rule[i] = rule;
    w->fisher = o->fisher[rule];
    row = walk_start_row(w, i);
    const model_layer *l = &w->m->layers[i];
    double began = base_now();
    bool keep = keep_keys(&w->keep, w->m, w->plan, w->rule, i, w->m->weights, w->job, own, chained);
    bool ok = !keep || walk_take_layer(w, i, own, chained, &row, &found, err);
    if (ok && !found) {
        keep_record record = {0};
        if (keep) keep_listen(&record, w->job);
        ok = walk_make_layer(w, i, &row, err);
        keep_unlisten(&record);
        if (ok && keep) keep_store(w->job, own, &row, &w->r->layers[i], &record);
        base_buf_free(&record.events);
    }
    row.seconds = base_now() - began;
    compress_stored stored = {&w->r->layers[i], l->out, l->in};
    ok = ok && o->each(o->context, i, rule, w->r->weights[l->weight], &stored, &row, err);
    walk_undo(w, i);
    return ok;
}

static bool walk_options(option_walk *o, const int *layers, int count, base_job *job, base_err *err) {
    walk *w = &o->w;
    int rules = w->plan->rule_count;
    for (int k = 0; k < count; k++) {
        int i = layers ? layers[k] : k;
        for (int r = 0; r < rules; r++) {
            if (!base_go_on(job, err) || !run_option(o, i, r, err)) return false;
            double done = (double)k * rules + r + 1, all = (double)count * rules;
            base_progress(job, "options", (int64_t)done, (int64_t)all,
                          (base_work_time(job) - w->began) * (all - done) / done);
        }
        base_big_free(w->gram);
        w->gram = NULL;
    }
    return true;
}

bool compress_options(const model *m, const compress_plan *plan, const int *layers, int count, compress_each each,
                      void *context, base_job *job, base_err *err) {
    compress_plan parallel = *plan; // what is upstream is the original
    parallel.sequential = false;
    option_walk o = {.each = each, .context = context};
    walk *w = &o.w;
    if (job) o.quiet = (base_job){.start = job->start, .cache = job->cache, .over = job};
    *w = (walk){.m = m, .plan = &parallel, .job = &o.quiet, .r = result_new(m), .options = true};
    w->began = base_work_time(job);
    w->rule = base_calloc((size_t)m->layer_count + 1, sizeof *w->rule);
    w->planned = base_calloc((size_t)m->layer_count + 1, sizeof *w->planned);
    bool graph = m->graph != NULL;
    bool ok = walk_check_steps(w, err) && prepare_options(&o, job, err);
    set_rule(w, -1);
    if (ok) keep_open(&w->keep, m, &parallel, &o.quiet);
    ok = ok && measure_open(m, graph ? plan->calib : NULL, graph ? plan->held : NULL, &w->s, err) &&
         walk_options(&o, layers, layers ? count : m->layer_count, job, err);
    base_big_free(w->gram);
    keep_close(&w->keep);
    measure_close(&w->s);
    for (int r = 0; o.fisher && r < plan->rule_count; r++) fisher_free(m, o.fisher[r]);
    free(o.fisher);
    compress_result_free(w->r);
    free(w->planned);
    free(w->rule);
    return ok;
}
