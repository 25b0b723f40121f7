// measure: one pass over a view, micro-batch after micro-batch, through one weight set or two at once. A micro-batch's
// logits live in its worker's arena and are gone with it.
//
// With a cache the result itself is kept under the hash of all it depends on; so are, for features, the reference's
// logits and the activations at a few cuts, from which a later measurement of weights that agree up to a cut starts.
#include "engine/resume.h"
#include "engine/tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// One of the two weight sets: run from node `plan.from` on, or with logits that are known.
typedef struct side {
    const model *m; // the reference may be another network
    const model_graph *g;
    engine_weights w;
    exec_plan plan;
    exec_weights weights;
    exec_worker *workers;
    const float *known; // logits of all samples; NULL: it is run
    resume_cut cut;     // where it starts
    const float **held; // [value_count] whole views of the values across the cut; NULL: from the input
    float **save;       // [value_count] whole views of values to be kept; NULL entries: not kept
    float *save_logits; // [samples x values]; NULL: not kept
    base_map map, map_known;
    base_slot slot[RESUME_MOST_CUTS], slot_logits;
    resume_cut kept[RESUME_MOST_CUTS];
    int kept_count;
    engine_prefix *prefix;
} side;

typedef struct measure_run {
    const model *m;
    const model_graph *g;
    side own, reference;
    bool compared;
    const data_view *view;
    int64_t micro, t;
    float *logits;                      // [workers x 2 x logits_each]
    int64_t logits_each, logits_sample; // floats of a micro-batch, of a sample
    tally *tallies;                     // [micro-batches]
    engine_sample *samples;             // [samples of the view]; NULL: not asked for
    atomic_llong done;
    base_job *job;
    double begun;
} measure_run;

static bool run_side(const measure_run *r, side *d, int worker, int64_t from, const data_batch *batch, float *logits,
                     base_err *err) {
    exec_worker *w = &d->workers[worker];
    for (int v = 0; v < d->g->value_count; v++) {
        const float *whole = d->held && d->held[v] ? d->held[v] : d->save ? d->save[v] : NULL;
        if (!whole) continue;
        w->outer[v] = (float *)whole + from * model_shape_count(model_graph_shape(d->g, v));
    }
    if (!d->held || d->held[0]) w->outer[0] = batch->x;
    w->outer[d->g->output] = logits;
    if (!exec_run(&d->plan, &d->weights, w, batch->count, batch->length, batch->tokens, err)) return false;
    if (d->save_logits)
        memcpy(d->save_logits + from * r->logits_sample, logits,
               (size_t)(batch->count * r->logits_sample) * sizeof(float));
    return true;
}

static bool measure_item(void *context, int64_t item, int worker, base_err *err) {
    measure_run *r = context;
    exec_worker *w = &r->own.workers[worker];
    int64_t from = item * r->micro, n = r->view->count - from < r->micro ? r->view->count - from : r->micro;
    if (!data_fetch(r->view, from, n, &w->batch, err) || !exec_check_batch(r->g, &w->batch, err)) return false;
    float *logits = r->logits + worker * 2 * r->logits_each;
    const float *ref = NULL;
    if (!run_side(r, &r->own, worker, from, &w->batch, logits, err)) return false;
    if (r->compared) {
        ref = r->reference.known ? r->reference.known + from * r->logits_sample : logits + r->logits_each;
        if (!r->reference.known && !run_side(r, &r->reference, worker, from, &w->batch, logits + r->logits_each, err))
            return base_wrap(err, "the reference: ");
    }
    const model_shape *shapes = exec_shapes(&r->own.plan, w, n, w->batch.length, err);
    if (!shapes || !tally_batch(&r->tallies[item], r->g, &shapes[r->g->output], logits, ref, &w->batch, n,
                                r->samples ? r->samples + from : NULL, err))
        return false;
    int64_t done = atomic_fetch_add(&r->done, n) + n;
    if (worker == 0) { // events come from the job's thread only
        double spent = base_now() - r->begun;
        base_progress(r->job, "evaluating", done, r->view->count,
                      spent * (double)(r->view->count - done) / (double)done);
    }
    return true;
}

// ---- what is known and what is kept ----------------------------------------------------------------

static const double kept_shares[RESUME_MOST_CUTS] = {0.02, 0.15, 0.36}; // of the operations still to come

static void find_start(measure_run *r, side *d, const resume_cut *cuts, int count) {
    engine_prefix *walk = engine_prefix_copy(d->prefix);
    char(*keys)[33] = base_calloc((size_t)count + 1, sizeof *keys);
    for (int i = 0; i < count; i++) {
        engine_prefix_add(walk, d->w, cuts[i].node);
        engine_prefix_key(walk, "measured", keys[i]);
    }
    for (int i = count - 1; i > 0 && !d->held; i--) {
        const void *data;
        size_t bytes, want = (size_t)(cuts[i].floats * r->view->count) * sizeof(float);
        if (!base_cache_get(r->job->cache, keys[i], &d->map, &data, &bytes)) continue;
        if (bytes != want) {
            base_map_close(&d->map);
            continue;
        }
        d->cut = cuts[i];
        d->held = base_calloc((size_t)d->g->value_count, sizeof *d->held);
        const float *at = data;
        for (int k = 0; k < cuts[i].count; k++) {
            d->held[cuts[i].value[k]] = at;
            at += model_shape_count(model_graph_shape(d->g, cuts[i].value[k])) * r->view->count;
        }
    }
    free(keys);
    engine_prefix_free(walk);
}

// The first cut behind which at most `share` of the work is left, if it lies behind where this side starts.
static const resume_cut *cut_for(const side *d, const resume_cut *cuts, int count, double share) {
    for (int i = 0; i < count; i++)
        if (cuts[i].rest <= share) return cuts[i].node > d->cut.node && cuts[i].node > 0 ? &cuts[i] : NULL;
    return NULL;
}

static void plan_keeping(measure_run *r, side *d, const resume_cut *cuts, int count) {
    size_t room = base_cache_look(r->job->cache).limit / 4;
    for (int s = 0; s < RESUME_MOST_CUTS; s++) {
        const resume_cut *c = cut_for(d, cuts, count, kept_shares[s]);
        size_t bytes = c ? (size_t)(c->floats * r->view->count) * sizeof(float) : 0;
        bool again = false;
        for (int k = 0; c && k < d->kept_count; k++) again = again || d->kept[k].node == c->node;
        if (!c || again || bytes > room || !base_cache_reserve(r->job->cache, bytes, &d->slot[d->kept_count])) continue;
        room -= bytes;
        if (!d->save) d->save = base_calloc((size_t)d->g->value_count, sizeof *d->save);
        float *at = d->slot[d->kept_count].data;
        bool free_of_others = true;
        for (int k = 0; k < c->count; k++) free_of_others = free_of_others && !d->save[c->value[k]] && c->value[k] != 0;
        if (!free_of_others) { // one value lies across both cuts: only the later one is kept
            base_cache_drop(&d->slot[d->kept_count]);
            continue;
        }
        for (int k = 0; k < c->count; k++) {
            d->save[c->value[k]] = at;
            at += model_shape_count(model_graph_shape(d->g, c->value[k])) * r->view->count;
        }
        d->kept[d->kept_count++] = *c;
    }
}

static void keep_all(measure_run *r, side *d, bool ok) {
    engine_prefix *walk = engine_prefix_copy(d->prefix);
    for (int k = d->kept_count - 1; k >= 0; k--) { // the shares rise: the last is the earliest cut
        char key[33];
        if (ok) {
            engine_prefix_add(walk, d->w, d->kept[k].node);
            engine_prefix_key(walk, "measured", key);
            base_cache_commit(r->job->cache, &d->slot[k], key);
        } else {
            base_cache_drop(&d->slot[k]);
        }
    }
    engine_prefix_free(walk);
}

static void logits_key(const side *d, char key[33]) {
    engine_prefix *walk = engine_prefix_copy(d->prefix);
    engine_prefix_add(walk, d->w, d->g->node_count);
    engine_prefix_key(walk, "logits", key);
    engine_prefix_free(walk);
}

// The reference's logits, if they are known; else room to keep them.
static void find_logits(measure_run *r, side *d) {
    char key[33];
    const void *data;
    size_t bytes, want = (size_t)(r->logits_sample * r->view->count) * sizeof(float);
    logits_key(d, key);
    if (base_cache_get(r->job->cache, key, &d->map_known, &data, &bytes)) {
        if (bytes == want)
            d->known = data;
        else
            base_map_close(&d->map_known);
    }
    if (!d->known && want <= (size_t)64 << 20 && base_cache_reserve(r->job->cache, want, &d->slot_logits))
        d->save_logits = d->slot_logits.data;
}

// ---- the pass --------------------------------------------------------------------------------------

static bool side_open(measure_run *r, side *d, bool is_reference, base_err *err) {
    const model_graph *g = d->g;
    bool cached = r->job && r->job->cache && d->prefix && g->input_kind == DATA_FEATURES;
    if (!exec_plan_make(&d->plan, g, 0, g->node_count, NULL, r->micro, r->t, err)) return false;
    if (cached && is_reference) find_logits(r, d);
    if (cached && !d->known) {
        resume_cut *cuts;
        int count;
        resume_cuts(&d->plan, &cuts, &count);
        find_start(r, d, cuts, count);
        if (!is_reference) plan_keeping(r, d, cuts, count);
        free(cuts);
        bool *keep = base_calloc((size_t)g->value_count, sizeof *keep);
        for (int v = 0; d->save && v < g->value_count; v++) keep[v] = d->save[v] != NULL;
        keep[g->output] = true;
        exec_plan_free(&d->plan);
        bool ok = exec_plan_make(&d->plan, g, d->cut.node, g->node_count, keep, r->micro, r->t, err);
        free(keep);
        if (!ok) return false;
    }
    if (d->known) return true;
    d->workers = exec_workers_make(&d->plan, err);
    return d->workers && exec_weights_make(&d->weights, &d->plan, d->w, err);
}

static void side_close(measure_run *r, side *d, bool ok) {
    keep_all(r, d, ok);
    if (ok && d->slot_logits.data) {
        char key[33];
        logits_key(d, key);
        base_cache_commit(r->job->cache, &d->slot_logits, key);
    } else {
        base_cache_drop(&d->slot_logits);
    }
    if (d->held) base_map_close(&d->map);
    if (d->known) base_map_close(&d->map_known);
    exec_workers_free(d->workers);
    exec_weights_free(&d->weights);
    exec_plan_free(&d->plan);
    free(d->held);
    free(d->save);
}

static bool measure_pass(measure_run *r, int64_t items, base_err *err) {
    r->logits_sample = model_shape_count(model_graph_shape(r->g, r->g->output));
    bool ok = side_open(r, &r->own, false, err) && (!r->compared || side_open(r, &r->reference, true, err));
    if (ok) {
        r->logits_each = model_shape_count(&r->own.plan.shapes[r->g->output]);
        r->logits = base_big_alloc((size_t)(exec_workers() * 2 * r->logits_each), sizeof(float), "logits", err);
        ok = r->logits && exec_parallel(items, measure_item, r, r->job, err);
        base_big_free(r->logits);
    }
    side_close(r, &r->own, ok);
    side_close(r, &r->reference, ok);
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

// ---- the row ---------------------------------------------------------------------------------------

static void row_key(const measure_run *r, const char *what, char key[33]) {
    char a[33], b[33] = "alone";
    logits_key(&r->own, a);
    if (r->compared) logits_key(&r->reference, b);
    char *text = base_sprintf("%s %s %s", what, a, b);
    base_hash_of(text, strlen(text), key);
    free(text);
}

// The figures as they were measured before; label, data and sizes stay the caller's.
static bool known_row(base_cache *cache, const char key[33], base_model_row *row) {
    base_map map;
    const void *data;
    size_t bytes;
    if (!base_cache_get(cache, key, &map, &data, &bytes)) return false;
    bool ok = bytes == sizeof *row;
    if (ok) {
        base_model_row had;
        memcpy(&had, data, sizeof had);
        memcpy(row->metric, had.metric, sizeof row->metric);
        row->samples = had.samples, row->value = had.value, row->low = had.low, row->high = had.high;
        row->loss = had.loss, row->kl = had.kl, row->kl_low = had.kl_low, row->kl_high = had.kl_high;
        row->flips = had.flips;
    }
    base_map_close(&map);
    return ok;
}

// The samples' parts as they were measured before.
static bool known_samples(const measure_run *r, const char key[33]) {
    base_map map;
    const void *data;
    size_t bytes, want = (size_t)r->view->count * sizeof *r->samples;
    if (!base_cache_get(r->job->cache, key, &map, &data, &bytes)) return false;
    bool ok = bytes == want;
    if (ok) memcpy(r->samples, data, want);
    base_map_close(&map);
    return ok;
}

static bool measure(measure_run *r, base_model_row *row, base_err *err) {
    int64_t items = (r->view->count + r->micro - 1) / r->micro;
    r->tallies = base_calloc((size_t)items, sizeof *r->tallies);
    bool ok = measure_pass(r, items, err);
    tally sum;
    tally_sum(r->tallies, items, &sum);
    free(r->tallies);
    if (ok && !sum.targets) return base_fail(err, "it has no labelled targets to measure");
    if (ok) tally_row(&sum, r->g, r->compared, row);
    return ok;
}

static bool measure_or_find(measure_run *r, base_model_row *row, base_err *err) {
    bool cached = r->job && r->job->cache;
    if (cached) r->own.prefix = engine_prefix_new(r->m, r->view);
    if (cached && r->compared) r->reference.prefix = engine_prefix_new(r->reference.m, r->view);
    char key[33] = "", samples_key[33] = "";
    if (r->own.prefix) row_key(r, "row", key);
    if (r->own.prefix && r->samples) row_key(r, "samples", samples_key);
    bool known = r->own.prefix && (!r->samples || known_samples(r, samples_key)) && known_row(r->job->cache, key, row);
    bool ok = known || measure(r, row, err);
    if (ok && !known && r->own.prefix) {
        base_cache_put(r->job->cache, key, &(base_part){row, sizeof *row}, 1);
        base_part samples = {r->samples, (size_t)r->view->count * sizeof *r->samples};
        if (r->samples) base_cache_put(r->job->cache, samples_key, &samples, 1);
    }
    engine_prefix_free(r->own.prefix);
    engine_prefix_free(r->reference.prefix);
    return ok;
}

static bool same_outputs(const model_graph *a, const model_graph *b, base_err *err) {
    const model_shape *x = model_graph_shape(a, a->output), *y = model_graph_shape(b, b->output);
    bool same =
        a->task == b->task && a->input_kind == b->input_kind && x->ndim == y->ndim && a->input.ndim == b->input.ndim;
    for (int k = 0; same && k < x->ndim; k++) same = x->dim[k] == y->dim[k];
    for (int k = 0; same && k < a->input.ndim; k++) same = a->input.dim[k] == b->input.dim[k];
    return same || base_fail(err, "two networks with other inputs, outputs or tasks cannot be compared");
}

bool engine_measure_samples(const model *m, engine_weights w, const model *other, engine_weights reference,
                            const data_view *view, base_model_row *row, engine_sample *samples, base_job *job,
                            base_err *err) {
    if (!exec_check_model(m, err) || !exec_check_view(m->graph, view, err)) return false;
    const model_graph *g = m->graph;
    if (!reference) other = m;
    if (other != m && (!exec_check_model(other, err) || !same_outputs(g, other->graph, err))) return false;
    measure_run r = {.m = m, .g = g, .view = view, .samples = samples, .job = job, .begun = base_now()};
    r.compared = reference != NULL;
    r.own = (side){.m = m, .g = g, .w = w};
    r.reference = (side){.m = other, .g = other->graph, .w = reference};
    r.t = g->input_kind == DATA_TOKENS ? data_longest(view, 0, view->count) : 1;
    if (g->input_kind == DATA_TOKENS && r.t > g->context)
        return base_fail(err, "%s holds a sequence of %lld tokens; the network's context is %lld", view->label,
                         (long long)r.t, (long long)g->context);
    if (!reference) warn_of_other_ids(g, view, job); // against a reference the model was measured before
    int64_t micro;                                   // of the reference
    if (!exec_micro(g, 0, g->node_count, view->count, r.t, &r.micro, err) ||
        !exec_micro(other->graph, 0, other->graph->node_count, view->count, r.t, &micro, err))
        return false;
    if (micro < r.micro) r.micro = micro;
    if (!measure_or_find(&r, row, err)) return base_wrap(err, "measuring %s: ", view->label);
    snprintf(row->data, sizeof row->data, "%s", view->label);
    row->peak_bytes = (int64_t)base_big_peak();
    row->seconds = base_now() - r.begun;
    return true;
}

bool engine_measure_against(const model *m, engine_weights w, const model *other, engine_weights reference,
                            const data_view *view, base_model_row *row, base_job *job, base_err *err) {
    return engine_measure_samples(m, w, other, reference, view, row, NULL, job, err);
}

bool engine_measure(const model *m, engine_weights w, engine_weights reference, const data_view *view,
                    base_model_row *row, base_job *job, base_err *err) {
    return engine_measure_against(m, w, m, reference, view, row, job, err);
}
