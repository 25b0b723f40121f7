// probe: many weight sets measured on one view. The reference is run once; its logits are kept. While the weight sets
// agree with the reference up to a layer, the samples are carried to the last cut before it and only the rest is run.
#include "engine/resume.h"
#include "engine/stream.h"
#include "engine/tally.h"

#include <stdlib.h>
#include <string.h>

struct engine_probe {
    const model *m;
    const data_view *view;
    engine_weights reference;
    engine_stream *stream; // with the reference's weights
    exec_plan whole;       // of the graph, for its cuts
    float *logits;         // of the reference, all blocks one after another
    size_t *logits_at;     // [blocks]
    data_batch *labels;    // [blocks] without samples but for reconstruction
};

static bool read_labels(engine_probe *p, base_err *err) {
    p->labels = base_calloc((size_t)p->stream->block_count + 1, sizeof *p->labels);
    for (int64_t b = 0; b < p->stream->block_count; b++) {
        const stream_block *k = &p->stream->block[b];
        data_batch *batch = &p->labels[b];
        if (!data_fetch(p->view, k->from, k->n, batch, err) || !exec_check_batch(p->m->graph, batch, err)) return false;
        if (p->m->graph->task == MODEL_RECONSTRUCT) continue;
        base_big_free(batch->x); // the stream has the samples; of a batch only labels are read
        batch->x = NULL;
    }
    return true;
}

typedef struct pass {
    engine_probe *p;
    const exec_plan *plan;
    const exec_weights *weights;
    exec_worker *workers;
    float *logits, *scratch; // all, or one block's a worker
    int64_t scratch_each;
    tally *tallies; // NULL: logits are kept, nothing is counted
} pass;

static bool pass_item(void *context, int64_t item, int worker, base_err *err) {
    const pass *r = context;
    const engine_probe *p = r->p;
    const engine_stream *s = p->stream;
    const stream_block *k = &s->block[item];
    exec_worker *w = &r->workers[worker];
    for (int v = 0; v < s->g->value_count; v++) w->outer[v] = s->value[v] ? s->value[v] + stream_at(s, v, item) : NULL;
    float *logits = r->logits ? r->logits + p->logits_at[item] : r->scratch + worker * r->scratch_each;
    w->outer[s->g->output] = logits;
    const int32_t *tokens = s->tokens ? s->tokens + s->token_at[item] : NULL;
    if (!exec_run(r->plan, r->weights, w, k->n, k->t, tokens, err)) return false;
    if (!r->tallies) return true;
    return tally_batch(&r->tallies[item], s->g, &k->shapes[s->g->output], logits, p->logits + p->logits_at[item],
                       &p->labels[item], k->n, NULL, err);
}

// From where the stream stands to the end.
static bool run_rest(engine_probe *p, engine_weights w, tally *tallies, base_job *job, base_err *err) {
    const engine_stream *s = p->stream;
    exec_plan plan = {0};
    exec_weights weights = {0};
    pass r = {.p = p, .plan = &plan, .weights = &weights, .tallies = tallies, .logits = tallies ? NULL : p->logits};
    bool ok = exec_plan_make(&plan, s->g, s->next, s->g->node_count, NULL, s->most_n, s->most_t, err) &&
              exec_weights_make(&weights, &plan, w, err);
    if (ok) r.workers = exec_workers_make(&plan, err);
    ok = ok && r.workers;
    if (ok && tallies) {
        r.scratch_each = model_shape_count(&plan.shapes[s->g->output]);
        r.scratch = base_big_alloc((size_t)(exec_workers() * r.scratch_each), sizeof(float), "logits", err);
        ok = r.scratch != NULL;
    }
    ok = ok && exec_parallel(s->block_count, pass_item, &r, job, err);
    base_big_free(r.scratch);
    exec_workers_free(r.workers);
    exec_weights_free(&weights);
    exec_plan_free(&plan);
    return ok;
}

static bool open_rest(engine_probe *p, base_job *job, base_err *err) {
    const model_graph *g = p->m->graph;
    engine_stream *s = p->stream;
    size_t count = 0;
    if (!exec_plan_make(&p->whole, g, 0, g->node_count, NULL, s->most_n, s->most_t, err)) return false;
    p->logits_at = base_calloc((size_t)s->block_count + 1, sizeof *p->logits_at);
    for (int64_t b = 0; b < s->block_count; b++) {
        p->logits_at[b] = count;
        count += (size_t)model_shape_count(&s->block[b].shapes[g->output]);
    }
    p->logits = base_big_alloc(count, sizeof(float), "the original's outputs", err);
    return p->logits && read_labels(p, err) && run_rest(p, p->reference, NULL, job, err);
}

engine_probe *engine_probe_open(const model *m, engine_weights reference, const data_view *view, base_job *job,
                                base_err *err) {
    engine_probe *p = base_alloc(sizeof *p);
    p->m = m;
    p->view = view;
    p->reference = reference;
    p->stream = engine_stream_open(m, reference, view, err);
    if (p->stream && open_rest(p, job, err)) return p;
    base_wrap(err, "measuring %s: ", view->label);
    engine_probe_close(p);
    return NULL;
}

void engine_probe_close(engine_probe *p) {
    if (!p) return;
    for (int64_t b = 0; p->labels && b < p->stream->block_count; b++) data_batch_free(&p->labels[b]);
    free(p->labels);
    free(p->logits_at);
    base_big_free(p->logits);
    exec_plan_free(&p->whole);
    engine_stream_close(p->stream);
    free(p);
}

bool engine_probe_stand(engine_probe *p, int node, base_job *job, base_err *err) {
    resume_cut c = resume_before(&p->whole, node);
    return c.node <= p->stream->next || stream_run_to(p->stream, c.node, job, err);
}

bool engine_probe_measure(engine_probe *p, engine_weights w, base_model_row *row, base_job *job, base_err *err) {
    double begun = base_now();
    int64_t blocks = p->stream->block_count;
    tally *tallies = base_calloc((size_t)blocks + 1, sizeof *tallies), sum;
    bool ok = run_rest(p, w, tallies, job, err);
    tally_sum(tallies, blocks, &sum);
    free(tallies);
    if (ok && !sum.targets) ok = base_fail(err, "it has no labelled targets to measure");
    if (!ok) return base_wrap(err, "measuring %s: ", p->view->label);
    snprintf(row->data, sizeof row->data, "%s", p->view->label);
    tally_row(&sum, p->m->graph, true, row);
    row->peak_bytes = (int64_t)base_big_peak();
    row->seconds = base_now() - begun;
    return true;
}
