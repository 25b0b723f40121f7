// run: the walk. Layers in the order of the graph, each with the steps of its rule; what they need (second moments,
// masks over all layers) is made when it is needed and dropped with the layer.
#include "compress/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const compress_rule *rule_of(const walk *w, int layer_index) {
    return w->rule[layer_index] < 0 ? NULL : &w->plan->rules[w->rule[layer_index]];
}

unsigned walk_step_needs(const compress_step *s) {
    return s->kind->needs ? s->kind->needs(s) : 0;
}

static unsigned layer_needs(const walk *w, int layer_index) {
    const compress_rule *rule = rule_of(w, layer_index);
    unsigned needs = 0;
    for (int k = 0; rule && k < rule->step_count; k++) needs |= walk_step_needs(&rule->steps[k]);
    return needs;
}

// ---- before the walk -------------------------------------------------------------------------------

bool walk_check_steps(const walk *w, base_err *err) {
    for (int r = 0; r < w->plan->rule_count; r++)
        for (int k = 0; k < w->plan->rules[r].step_count; k++) {
            const compress_step *s = &w->plan->rules[r].steps[k];
            if (s->kind->check && !s->kind->check(s, err))
                return base_wrap(err, "rule \"%s\", step %d: ", w->plan->rules[r].pattern, k + 1);
            unsigned data =
                COMPRESS_NEEDS_GRAM | COMPRESS_NEEDS_INPUTS | COMPRESS_NEEDS_GRADIENT | COMPRESS_NEEDS_STATS;
            if (!(walk_step_needs(s) & data)) continue;
            if (!w->m->graph)
                return base_fail(
                    err, "rule \"%s\": step %s needs the layers' inputs, and %s has no graph to compute them: %s",
                    w->plan->rules[r].pattern, s->kind->name, w->m->name,
                    w->m->why_no_arch ? w->m->why_no_arch : "its architecture is not known");
            if (!w->plan->calib)
                return base_fail(err, "rule \"%s\": step %s needs calibration data (calibrate = ...)",
                                 w->plan->rules[r].pattern, s->kind->name);
        }
    return true;
}

// Shows a step all layers of its rule; what it plans for each is kept for its apply.
static bool plan_step(walk *w, int rule, int step, base_err *err) {
    const model *m = w->m;
    const compress_step *s = &w->plan->rules[rule].steps[step];
    size_t most = (size_t)m->layer_count + 1;
    layer_set all = {.w = base_calloc(most, sizeof *all.w),
                     .fisher = base_calloc(most, sizeof *all.fisher),
                     .rows = base_calloc(most, sizeof *all.rows),
                     .cols = base_calloc(most, sizeof *all.cols),
                     .planned = base_calloc(most, sizeof *all.planned),
                     .job = w->job};
    for (int i = 0; i < m->layer_count; i++) {
        if (w->rule[i] != rule) continue;
        all.w[all.count] = m->weights[m->layers[i].weight];
        all.fisher[all.count] = w->fisher ? w->fisher[i].squares : NULL;
        all.rows[all.count] = m->layers[i].out;
        all.cols[all.count++] = m->layers[i].in;
    }
    bool ok = s->kind->plan(s, &all, err);
    for (int i = 0, k = 0; i < m->layer_count; i++) {
        if (w->rule[i] != rule) continue;
        if (!w->planned[i]) w->planned[i] = base_calloc((size_t)w->plan->rules[rule].step_count, sizeof(void *));
        w->planned[i][step] = all.planned[k++];
    }
    free(all.w);
    free(all.fisher);
    free(all.rows);
    free(all.cols);
    free(all.planned);
    return ok || (err->status != BASE_CANCELLED &&
                  base_wrap(err, "rule \"%s\", step %d (%s): ", w->plan->rules[rule].pattern, step + 1, s->kind->name));
}

static bool plan_all(walk *w, base_err *err) {
    for (int r = 0; r < w->plan->rule_count; r++)
        for (int k = 0; k < w->plan->rules[r].step_count; k++)
            if ((walk_step_needs(&w->plan->rules[r].steps[k]) & COMPRESS_NEEDS_ALL_LAYERS) && !plan_step(w, r, k, err))
                return false;
    return true;
}

static void free_plans(walk *w) {
    for (int i = 0; i < w->m->layer_count; i++) {
        for (int k = 0; w->planned[i] && k < w->plan->rules[w->rule[i]].step_count; k++) free(w->planned[i][k]);
        free(w->planned[i]);
    }
    free(w->planned);
}

// "quantize rtn bits=4; lowrank svd rank=8" into the row, cut to fit.
static void name_steps(const compress_rule *rule, base_layer_row *row) {
    base_buf b = {0};
    for (int k = 0; rule && k < rule->step_count; k++) {
        char *text = compress_step_text(&rule->steps[k]);
        base_buf_printf(&b, "%s%s", k ? "; " : "", text);
        free(text);
    }
    base_clean(row->steps, sizeof row->steps, b.text ? b.text : "");
    base_buf_free(&b);
}

base_layer_row walk_start_row(const walk *w, int i) {
    base_layer_row row = result_row(w->m, i, i);
    name_steps(rule_of(w, i), &row);
    return row;
}

static void emit_row(const walk *w, base_event_kind kind, const base_layer_row *row, const char *text) {
    base_emit(w->job,
              (base_event){.kind = kind, .layer = row, .text = text, .index = row->index, .total = w->m->layer_count});
}

// ---- one layer -------------------------------------------------------------------------------------

static float *make_gram(const walk *w, const model_layer *l, engine_stream *s, base_err *err) {
    bool counts = w->m->graph->nodes[l->node].op == MODEL_EMBEDDING;
    size_t n = counts ? (size_t)l->out : (size_t)(l->groups * l->in * l->in);
    float *h = base_big_alloc(n, sizeof *h, "the second moment of a layer's inputs", err);
    if (!h) return NULL;
    bool ok = engine_stream_gram(s, l->node, h, w->job, err);
    if (ok && !num_all_finite(h, n)) ok = base_fail(err, "the second moment of its inputs holds NaN or Inf");
    if (ok) return h;
    base_big_free(h);
    return NULL;
}

// Applies one step, brings the row up to date and tells. `decoded` is scratch for the sum of terms.
static bool apply_step(const walk *w, int i, int k, layer *l, base_layer_row *row, float *decoded, base_err *err) {
    const compress_step *s = &rule_of(w, i)->steps[k];
    l->planned = w->planned[i] ? w->planned[i][k] : NULL;
    base_buf_clear(&l->did);
    bool ok = base_go_on(w->job, err);
    if (ok && (walk_step_needs(s) & COMPRESS_NEEDS_GRADIENT) && !l->fisher)
        ok = base_fail(err, "squared gradients are not known behind a rotation");
    ok = ok && s->kind->apply(s, l, err);
    if (ok && l->term_count) {
        ok = layer_decode(l, decoded, err);
        if (ok && !num_all_finite(decoded, (size_t)(l->rows * l->cols)))
            ok = base_fail(err, "the weight it leaves holds NaN or Inf");
    }
    if (!ok) {
        if (err->status == BASE_CANCELLED) return false;
        return base_wrap(err, "layer %s, step %d (%s): ", row->name, k + 1, s->kind->name);
    }
    if (l->term_count) {
        row->bytes = layer_bytes(l);
        measure_weights(row, layer_original(l), decoded);
    }
    row->damping = l->damping;
    base_buf entropy = {0};
    for (int t = 0; t < l->term_count; t++) coding_describe(l->terms[t], &entropy);
    if (entropy.length) base_buf_printf(&l->did, "; entropy of the codes %s bits", entropy.text);
    base_buf_free(&entropy);
    emit_row(w, BASE_EV_STEP, row, l->did.text ? l->did.text : s->kind->name);
    return true;
}

static void move_terms(layer *l, result_layer *to, float *decoded) {
    to->terms = base_calloc((size_t)l->term_count + 1, sizeof(term *));
    memcpy(to->terms, l->terms, (size_t)l->term_count * sizeof(term *));
    to->term_count = l->term_count;
    to->decoded = decoded;
    l->term_count = 0;
}

// The mask is held against the terms, then the maps go around them; what is measured is what a file will decode to.
static bool finish(layer *l, float *decoded, base_err *err) {
    if (!l->term_count) return true;
    if (!l->map_count) return layer_check_mask(l, decoded, err) && (!l->container || units_gather(l->container, err));
    return terms_decode(l->terms, l->term_count, l->rows, l->cols, decoded, err) && layer_check_mask(l, decoded, err) &&
           (!l->container || units_gather(l->container, err)) && layer_wrap(l, err) &&
           terms_decode(l->terms, l->term_count, l->rows, l->cols, decoded, err);
}

// A layer as its steps find it.
static layer open_layer(const walk *w, int i, const float *h, const layer_stats *stats, const char *name) {
    const model_layer *ml = &w->m->layers[i];
    layer l = {.name = name,
               .tensor = result_tensor(w->m, ml)->name,
               .shape = ml->shape,
               .base = &w->r->base,
               .rows = ml->out,
               .cols = ml->in,
               .groups = ml->groups,
               .h = h,
               .fisher = w->fisher ? w->fisher[i].squares : NULL,
               .taylor = w->fisher ? w->fisher[i].taylor : NULL,
               .taylor_height = w->fisher ? w->fisher[i].height : 0,
               .taylor_length = w->fisher ? w->fisher[i].length : 0,
               .stats = stats,
               .damping = NAN,
               .w = w->m->weights[ml->weight],
               .dtype = result_tensor(w->m, ml)->t.dtype,
               .seed = w->plan->seed + (uint64_t)i,
               .job = w->job};
    l.diagonal = ml->node >= 0 && w->m->graph->nodes[ml->node].op == MODEL_EMBEDDING;
    return l;
}

static bool run_steps(walk *w, int i, const float *h, const layer_stats *stats, base_layer_row *row, base_err *err) {
    const model_layer *ml = &w->m->layers[i];
    const compress_rule *rule = rule_of(w, i);
    int64_t n = ml->out * ml->in;
    layer l = open_layer(w, i, h, stats, row->name);
    float *decoded = base_big_alloc((size_t)n, sizeof *decoded, "a decoded weight", err);
    bool ok = decoded;
    for (int k = 0; ok && k < rule->step_count; k++) ok = apply_step(w, i, k, &l, row, decoded, err);
    if (ok) ok = finish(&l, decoded, err);
    if (ok && l.term_count) {
        move_terms(&l, &w->r->layers[i], decoded);
        w->r->weights[ml->weight] = decoded;
    } else {
        base_big_free(decoded);
    }
    layer_close(&l);
    return ok;
}

// A layer that failed or was cancelled after its terms were taken must not stay in the result half measured.
void walk_undo(walk *w, int i) {
    result_layer *l = &w->r->layers[i];
    for (int k = 0; k < l->term_count; k++) term_free(l->terms[k]);
    free(l->terms);
    base_big_free(l->decoded);
    *l = (result_layer){0};
    w->r->weights[w->m->layers[i].weight] = w->m->weights[w->m->layers[i].weight];
}

// What a step would learn of a layer's inputs, as if they were all alike and independent: second moments are the
// identity, magnitudes 1, squared gradients 1.
static float *plain_gram(const walk *w, const model_layer *l, base_err *err) {
    bool counts = l->node >= 0 && w->m->graph->nodes[l->node].op == MODEL_EMBEDDING;
    size_t n = counts ? (size_t)l->out : (size_t)(l->groups * l->in * l->in);
    float *h = base_big_alloc(n, sizeof *h, "the second moment of a layer's inputs", err);
    size_t step = counts ? 1 : (size_t)l->in + 1, square = counts ? n : (size_t)(l->in * l->in);
    for (size_t g = 0; h && g < n; g += square)
        for (size_t i = 0; i < square; i += step) h[g + i] = 1;
    return h;
}

static bool plain_stats(const model_layer *l, layer_stats *out, base_err *err) {
    size_t n = (size_t)(l->groups * l->in);
    out->mean = base_big_alloc(n, sizeof(float), "the mean of inputs", err);
    out->mean_abs = out->mean ? base_big_alloc(n, sizeof(float), "the magnitude of inputs", err) : NULL;
    out->max_abs = out->mean_abs ? base_big_alloc(n, sizeof(float), "the magnitude of inputs", err) : NULL;
    for (size_t i = 0; out->max_abs && i < n; i++) out->mean_abs[i] = out->max_abs[i] = 1;
    return out->max_abs != NULL;
}

static bool plain_fisher(walk *w, base_err *err) {
    w->fisher = base_calloc((size_t)w->m->layer_count + 1, sizeof *w->fisher);
    for (int i = 0; i < w->m->layer_count; i++) {
        if (!(layer_needs(w, i) & COMPRESS_NEEDS_GRADIENT)) continue;
        size_t n = (size_t)w->m->layers[i].weights;
        float *g = w->fisher[i].squares = base_big_alloc(n, sizeof *g, "squared gradients", err);
        for (size_t k = 0; g && k < n; k++) g[k] = 1;
        if (!g) return false;
    }
    return true;
}

// Gradients and plans over all layers, when the first layer is worked on: a run that finds everything needs neither.
static bool prepare(walk *w, base_err *err) {
    if (w->prepared) return true;
    w->prepared = true;
    bool ok = w->sizes ? plain_fisher(w, err) : fisher_make(w->m, w->plan, w->rule, &w->fisher, w->job, err);
    return ok && plan_all(w, err);
}

static bool size_layer(walk *w, int i, base_layer_row *row, base_err *err) {
    const model_layer *l = &w->m->layers[i];
    unsigned needs = layer_needs(w, i);
    layer_stats stats = {0};
    float *h = NULL;
    bool ok = true;
    if (!num_all_finite(w->m->weights[l->weight], (size_t)l->weights))
        return base_fail(err, "layer %s: its weight holds NaN or Inf", row->name);
    if (needs & (COMPRESS_NEEDS_GRAM | COMPRESS_NEEDS_INPUTS)) ok = (h = plain_gram(w, l, err)) != NULL;
    if (ok && (needs & COMPRESS_NEEDS_STATS)) ok = plain_stats(l, &stats, err);
    if (ok && rule_of(w, i)) ok = run_steps(w, i, h, &stats, row, err);
    base_big_free(h);
    layer_stats_free(&stats);
    return ok;
}

// Where the streams go after layer i; -1: nowhere.
static int next_node(const walk *w, int i) {
    while (++i < w->m->layer_count)
        if (w->m->layers[i].node >= 0) return w->m->layers[i].node;
    return -1;
}

// What round to nearest would give in as many bytes is told where somebody asked for it: before the layer's outputs are
// measured, which moves the streams on, or after, where it is the layer's own error.
static bool tell_baseline(walk *w, int i, const float *h, const base_layer_row *row, bool measured, base_err *err) {
    double error = row->output_error;
    int bits = 0;
    const compress_rule *rule = rule_of(w, i);
    if (!w->plan->baseline || !rule || !w->r->layers[i].term_count || baseline_is_itself(rule) != measured) return true;
    if (!measured) {
        layer blank = open_layer(w, i, NULL, NULL, row->name);
        const baseline_request q = {.blank = &blank,
                                    .ml = &w->m->layers[i],
                                    .rule = rule,
                                    .bytes = row->bytes,
                                    .streams = &w->s,
                                    .h = h,
                                    .job = w->job};
        if (!baseline_measure(&q, &error, &bits, err)) return false;
    }
    base_emit(w->job, (base_event){.kind = BASE_EV_BASELINE, .layer = row, .value = error, .done = bits});
    return true;
}

// Second moments of fewer inputs than they have rows say nothing of most directions: a solver that trusts them can ruin
// the layer, and nothing else would tell.
enum { THIN = 4 }; // inputs a row from which on it is told
static void warn_if_thin(const walk *w, const model_layer *l, const engine_stream *s, const char *name) {
    int64_t rows = w->m->graph->nodes[l->node].op == MODEL_EMBEDDING ? l->in : engine_stream_rows(s, l->node);
    if (rows * THIN < l->in)
        base_log(
            w->job, BASE_WARN,
            "%s: %lld row%s of calibration inputs for %lld inputs; its steps learn from too little, give them more "
            "samples",
            name, (long long)rows, rows == 1 ? "" : "s", (long long)l->in);
}

bool walk_make_layer(walk *w, int i, base_layer_row *row, base_err *err) {
    const model_layer *l = &w->m->layers[i];
    const float *weight = w->m->weights[l->weight];
    float *h = NULL;
    layer_stats stats = {0};
    bool ok = prepare(w, err) && (l->node < 0 || measure_advance(&w->s, l->node, w->job, err));
    if (ok && !num_all_finite(weight, (size_t)l->weights))
        ok = base_fail(err, "layer %s: its weight holds NaN or Inf", row->name);
    bool own_inputs = !w->plan->sequential || w->s.calib.chain == w->s.calib.own;
    bool wanted = (layer_needs(w, i) & COMPRESS_WANTS_GRAM) && l->node >= 0 && w->s.calib.own;
    if (ok && (wanted || (layer_needs(w, i) & COMPRESS_NEEDS_GRAM))) {
        h = w->gram ? w->gram : make_gram(w, l, own_inputs ? w->s.calib.own : w->s.calib.chain, err);
        ok = h || (err->status != BASE_CANCELLED && base_wrap(err, "layer %s: ", row->name));
        if (ok && (layer_needs(w, i) & COMPRESS_NEEDS_GRAM))
            warn_if_thin(w, l, own_inputs ? w->s.calib.own : w->s.calib.chain, row->name);
    }
    if (ok && (layer_needs(w, i) & COMPRESS_NEEDS_STATS))
        ok = layer_stats_make(own_inputs ? w->s.calib.own : w->s.calib.chain, w->m, l, &stats, w->job, err);
    if (ok && rule_of(w, i)) ok = run_steps(w, i, h, &stats, row, err);
    const float *now = w->r->weights[l->weight];
    if (ok) {
        measure_weights(row, weight, now);
        bool usable = h && own_inputs && w->m->graph->nodes[l->node].op != MODEL_EMBEDDING;
        ok = tell_baseline(w, i, usable ? h : NULL, row, false, err) &&
             measure_outputs(&w->s, l, next_node(w, i), weight, now, usable ? h : NULL, row, w->job, err) &&
             tell_baseline(w, i, NULL, row, true, err);
        if (!ok) walk_undo(w, i);
    }
    if (!w->options)
        base_big_free(h);
    else if (h) // an option that does without leaves it to those behind
        w->gram = h;
    layer_stats_free(&stats);
    return ok;
}

// The layer as it was made before; only its figures behind another prefix may have to be measured.
bool walk_take_layer(walk *w, int i, const char own[33], const char chained[33], base_layer_row *row, bool *found,
                     base_err *err) {
    const model_layer *l = &w->m->layers[i];
    result_layer *to = &w->r->layers[i];
    *found = keep_load(w->job, own, l, w->m->layer_count, row, to, err);
    if (!*found) {
        err->text[0] = 0; // an entry that cannot be read is one that is not there
        return true;
    }
    w->kept++;
    if (to->decoded) w->r->weights[l->weight] = to->decoded;
    if (l->node >= 0) measure_pass(&w->s, l->node);
    if (keep_load_chained(w->job, chained, row)) return true;
    base_layer_row fresh = *row;
    bool ok = l->node < 0 || (measure_advance(&w->s, l->node, w->job, err) &&
                              measure_outputs(&w->s, l, next_node(w, i), w->m->weights[l->weight],
                                              w->r->weights[l->weight], NULL, &fresh, w->job, err));
    if (!ok) {
        walk_undo(w, i);
        return false;
    }
    if (w->s.calib.chain != w->s.calib.own) row->chained_error = fresh.chained_error;
    if (w->s.held.chain != w->s.held.own) row->chained_error_held = fresh.chained_error_held;
    if (w->s.calib.chain == w->s.calib.own) row->chained_error = row->output_error;
    if (w->s.held.chain == w->s.held.own) row->chained_error_held = row->output_error_held;
    keep_store_chained(w->job, chained, row);
    return true;
}

static bool run_layer(walk *w, int i, base_layer_row *row, base_err *err) {
    const model_layer *l = &w->m->layers[i];
    char own[33], chained[33];
    bool keep = keep_keys(&w->keep, w->m, w->plan, w->rule, i, w->r->weights, w->job, own, chained), found = false;
    if (keep && !walk_take_layer(w, i, own, chained, row, &found, err)) return false;
    if (!found) {
        keep_record record = {0};
        if (keep) keep_listen(&record, w->job);
        bool ok = walk_make_layer(w, i, row, err);
        keep_unlisten(&record);
        if (ok && keep) {
            keep_store(w->job, own, row, &w->r->layers[i], &record);
            keep_store_chained(w->job, chained, row);
        }
        base_buf_free(&record.events);
        if (!ok) return false;
    }
    const float *now = w->r->weights[l->weight];
    if (now == w->m->weights[l->weight] || l->node < 0 || measure_replace(&w->s, l->weight, now, err)) return true;
    walk_undo(w, i);
    return false;
}

// ---- the walk --------------------------------------------------------------------------------------

// Steps that were typed for the layer the walk waits before: they are taken, or refused with a reason and nothing is
// changed.
static void change_steps(walk *w, int i, const char *text) {
    base_err why = {0};
    char *line = NULL;
    compress_rule rule = {0};
    base_layer_row row = walk_start_row(w, i);
    compress_plan one = *w->plan;
    walk checked = {.m = w->m, .plan = &one};
    bool ok = w->plan->read_steps
                  ? w->plan->read_steps(w->plan->read_context, row.name, text, &rule, &line, &why)
                  : base_fail(&why, "the steps of this walk are not a recipe's, so they cannot be changed");
    one.rules = &rule;
    one.rule_count = 1;
    ok = ok && change_allowed(rule_of(w, i), &rule, &why) && walk_check_steps(&checked, &why);
    if (ok) {
        change_take(&w->changes, &w->plan, &rule, &w->rule[i]);
        row = walk_start_row(w, i);
        base_log(w->job, BASE_WARN, "changed by hand: %s", line);
    } else {
        free(rule.pattern);
        free(rule.steps);
    }
    base_emit(w->job, (base_event){.kind = BASE_EV_CHANGE,
                                   .layer = &row,
                                   .index = i,
                                   .total = w->m->layer_count,
                                   .status = ok ? BASE_OK : BASE_FAILED,
                                   .text = ok ? line : why.text});
    free(line);
}

// Whoever watches the run may hold it here, and change what comes.
static bool before_layer(walk *w, int i, base_err *err) {
    base_job *job = w->job;
    char *typed = NULL;
    while (job && job->before_layer && job->before_layer(job, w->m->layers[i].name, &typed) && typed) {
        change_steps(w, i, typed);
        free(typed);
        typed = NULL;
    }
    return base_go_on(job, err);
}

// What share of the walk a layer takes: its operations where there is a graph (capturing and comparing outputs
// outweighs the steps), else its weights.
static double cost_of(const model *m, const model_layer *l) {
    if (l->node < 0) return (double)l->weights;
    const model_node *node = &m->graph->nodes[l->node];
    const model_shape *in = model_graph_shape(m->graph, node->in[0]), *out = model_graph_shape(m->graph, node->out[0]);
    return (double)l->weights + model_ops[node->op].flops(node, in, out);
}

static bool walk_layers(walk *w, base_err *err) {
    int total = w->m->layer_count;
    double done = 0, all = 0;
    for (int i = 0; i < total; i++) all += cost_of(w->m, &w->m->layers[i]);
    for (int i = 0; i < total; i++) {
        if (!before_layer(w, i, err)) return false;
        double began = base_work_time(w->job);
        base_layer_row row = walk_start_row(w, i);
        emit_row(w, BASE_EV_LAYER_BEGIN, &row, NULL);
        if (!run_layer(w, i, &row, err)) return false;
        row.seconds = base_work_time(w->job) - began;
        w->r->rows[w->r->row_count++] = row;
        made_tell(w->plan, w->m, w->r, i);
        emit_row(w, BASE_EV_LAYER_END, &row, NULL);
        done += cost_of(w->m, &w->m->layers[i]);
        double spent = base_work_time(w->job) - w->began;
        base_progress(w->job, "compressing", i + 1, total, done > 0 ? spent * (all - done) / done : NAN);
    }
    return model_tensors_intact(w->m->tensors, err);
}

static bool run(walk *w, base_err *err) {
    if (!compress_match(w->m, w->plan, w->rule, err) || !walk_check_steps(w, err)) return false;
    for (int i = 0; i < w->m->layer_count; i++) {
        base_layer_row row = walk_start_row(w, i);
        emit_row(w, BASE_EV_PLAN, &row, NULL);
    }
    if (!base_go_on(w->job, err)) return false;
    bool graph = w->m->graph != NULL;
    if (!graph && w->plan->calib)
        base_log(w->job, BASE_INFO, "%s has no graph: output errors are not measured", w->m->name);
    keep_open(&w->keep, w->m, w->plan, w->job);
    bool ok = (w->keep.own_calib || prepare(w, err)) &&
              measure_open(w->m, graph ? w->plan->calib : NULL, graph ? w->plan->held : NULL, &w->s, err) &&
              walk_layers(w, err);
    keep_close(&w->keep);
    if (ok && w->kept)
        base_log(w->job, BASE_INFO,
                 "%d of %d layers were as before and came from the cache (--no-cache makes them anew)", w->kept,
                 w->m->layer_count);
    measure_close(&w->s);
    fisher_free(w->m, w->fisher);
    w->fisher = NULL;
    return ok;
}

bool compress_check(const model *m, const compress_plan *plan, base_err *err) {
    walk w = {.m = m, .plan = plan};
    w.rule = base_calloc((size_t)m->layer_count + 1, sizeof *w.rule);
    bool ok = compress_match(m, plan, w.rule, err) && walk_check_steps(&w, err);
    free(w.rule);
    return ok;
}

bool compress_sizes_only(const model *m, const compress_plan *plan, base_job *job, compress_result **out,
                         base_err *err) {
    walk w = {.m = m, .plan = plan, .job = job, .r = result_new(m), .began = base_now(), .sizes = true};
    w.rule = base_calloc((size_t)m->layer_count + 1, sizeof *w.rule);
    w.planned = base_calloc((size_t)m->layer_count + 1, sizeof *w.planned);
    if (plan->about) base_clean(w.r->about, sizeof w.r->about, plan->about);
    bool ok = compress_match(m, plan, w.rule, err) && prepare(&w, err);
    for (int i = 0; ok && i < m->layer_count; i++) {
        double began = base_now();
        base_layer_row row = walk_start_row(&w, i);
        ok = base_go_on(job, err) && size_layer(&w, i, &row, err);
        row.seconds = base_now() - began;
        w.r->rows[w.r->row_count++] = row;
    }
    fisher_free(m, w.fisher);
    free_plans(&w);
    free(w.rule);
    if (!ok) compress_result_free(w.r);
    *out = ok ? w.r : NULL;
    return ok;
}

bool compress_run(const model *m, const compress_plan *plan, base_job *job, compress_result **out, base_err *err) {
    walk w = {.m = m, .plan = plan, .job = job, .r = result_new(m), .began = base_work_time(job)};
    w.rule = base_calloc((size_t)m->layer_count + 1, sizeof *w.rule);
    w.planned = base_calloc((size_t)m->layer_count + 1, sizeof *w.planned);
    if (plan->about) base_clean(w.r->about, sizeof w.r->about, plan->about);
    w.r->others = plan->others;
    w.r->compact = plan->compact;
    *out = NULL;
    bool ok = run(&w, err) && result_round_others(w.r, job, err);
    if (ok || err->status == BASE_CANCELLED) {
        *out = w.r;
    } else {
        compress_result_free(w.r);
    }
    free_plans(&w);
    change_free(&w.changes);
    free(w.rule);
    return ok;
}
