// adjust: what is changed beside the layers' weights after a run - biases and running statistics of batch norms, so
// that means (and variances) are as they were although the weights are not.
#include "compress/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The parameter as it is stored and computed with from now on: rounded to the type it has in the file.
float *result_own_param(compress_result *r, int param, base_err *err) {
    const model_param *p = &r->m->graph->params[param];
    if (r->adjusted[param]) return r->adjusted[param];
    size_t n = (size_t)model_shape_count(&p->shape);
    float *x = base_big_alloc(n, sizeof *x, p->name, err);
    if (!x) return NULL;
    memcpy(x, r->weights[param], n * sizeof *x);
    r->adjusted[param] = x;
    r->weights[param] = x;
    return x;
}

static bool round_param(const compress_result *r, int param, base_err *err) {
    const model_param *p = &r->m->graph->params[param];
    num_dtype dtype = result_stored_type(r, r->m->param_tensor[param]);
    size_t n = (size_t)model_shape_count(&p->shape);
    uint8_t *stored = base_big_alloc(n, num_dtypes[dtype].bytes, p->name, err);
    if (!stored) return false;
    num_from_f32(dtype, r->adjusted[param], stored, n);
    num_to_f32(dtype, stored, r->adjusted[param], n);
    base_big_free(stored);
    return num_all_finite(r->adjusted[param], n) ||
           base_fail(err, "%s: a value does not fit %s", p->name, num_dtypes[dtype].name);
}

static bool is_layer_weight(const model *m, int param) {
    for (int i = 0; i < m->layer_count; i++)
        if (m->param_tensor[m->layers[i].weight] == m->param_tensor[param]) return true;
    return false;
}

bool result_round_others(compress_result *r, base_job *job, base_err *err) {
    const model *m = r->m;
    if (r->others && !m->graph)
        base_log(job, BASE_WARN,
                 "others: the architecture is not known, so tensors beside the layers stay as they came");
    for (int k = 0; r->others && m->graph && k < m->weight_count; k++) {
        int tensor = m->param_tensor[k];
        if (m->graph->params[k].transposed || is_layer_weight(m, k) ||
            result_stored_type(r, tensor) == m->tensors->items[tensor].t.dtype)
            continue;
        if (!result_own_param(r, k, err) || !round_param(r, k, err)) return false;
    }
    return true;
}

static bool check_ready(const compress_result *r, const data_view *view, base_err *err) {
    if (!r->m->graph)
        return base_fail(err, "%s has no graph to compute activations: %s", r->m->name,
                         r->m->why_no_arch ? r->m->why_no_arch : "its architecture is not known");
    if (view && view->count > 0) return true;
    return base_fail(err, "it needs calibration data, and the part given has no samples");
}

// ---- bias correction -------------------------------------------------------------------------------

// What takes a shift of the layer's output: its bias, or the running mean of the one batch norm that reads it; -1.
static int shift_param(const model *m, const model_layer *l, float *sign) {
    const model_graph *g = m->graph;
    *sign = 1;
    if (l->bias >= 0) return l->bias;
    int reader = -1, readers = g->output == g->nodes[l->node].out[0];
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].in_count; k++)
            if (g->nodes[i].in[k] == g->nodes[l->node].out[0]) reader = i, readers++;
    if (readers != 1 || g->nodes[reader].op != MODEL_BATCH_NORM) return -1;
    *sign = -1;
    return g->nodes[reader].param[2];
}

// Nodes that use a parameter: one that several share cannot serve one of them.
static int users_of(const model_graph *g, int param) {
    int users = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].param_count; k++) users += g->nodes[i].param[k] == param;
    return users;
}

// shift[out] += sign (W E[x])
static void add_means(const model_layer *l, const float *w, const float *mean, double sign, double *shift) {
    for (int64_t o = 0; o < l->out; o++) {
        const float *x = mean + o / (l->out / l->groups) * l->in;
        double sum = 0;
        for (int64_t i = 0; i < l->in; i++) sum += (double)w[o * l->in + i] * (double)x[i];
        shift[o] += sign * sum;
    }
}

static bool correct_layer(compress_result *r, const model_layer *l, int param, float sign, engine_stream *own,
                          engine_stream *chain, base_job *job, base_err *err) {
    layer_stats a = {0}, b = {0};
    double *shift = base_calloc((size_t)l->out, sizeof *shift);
    bool ok = layer_stats_make(own, r->m, l, &a, job, err) && layer_stats_make(chain, r->m, l, &b, job, err);
    float *x = ok ? result_own_param(r, param, err) : NULL;
    if (x) {
        add_means(l, r->m->weights[l->weight], a.mean, 1, shift);
        add_means(l, r->weights[l->weight], b.mean, -1, shift);
        for (int64_t o = 0; o < l->out; o++) x[o] += sign * (float)shift[o];
        ok = round_param(r, param, err);
        if (ok) engine_stream_set(chain, param, x);
    }
    free(shift);
    layer_stats_free(&a);
    layer_stats_free(&b);
    return ok && x;
}

static bool correct_all(compress_result *r, engine_stream *own, engine_stream *chain, int *changed, base_job *job,
                        base_err *err) {
    const model *m = r->m;
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *l = &m->layers[i];
        if (!r->layers[i].term_count || m->graph->nodes[l->node].op == MODEL_EMBEDDING) continue;
        float sign;
        int param = shift_param(m, l, &sign);
        if (param < 0 || users_of(m->graph, param) != 1 || users_of(m->graph, l->weight) != 1) {
            base_log(job, BASE_INFO, "%s: there is no bias or batch norm of its own to take a correction", l->name);
            continue;
        }
        if (!engine_stream_advance(own, l->node, job, err) || !engine_stream_advance(chain, l->node, job, err) ||
            !correct_layer(r, l, param, sign, own, chain, job, err))
            return false;
        ++*changed;
        base_progress(job, "correcting biases", i + 1, m->layer_count, NAN);
    }
    return true;
}

bool compress_correct_bias(compress_result *r, const data_view *calib, int *changed, base_job *job, base_err *err) {
    *changed = 0;
    if (!check_ready(r, calib, err)) return false;
    engine_stream *own = engine_stream_open(r->m, r->m->weights, calib, err);
    engine_stream *chain = own ? engine_stream_open(r->m, r->weights, calib, err) : NULL;
    bool ok = chain && correct_all(r, own, chain, changed, job, err);
    if (chain) engine_stream_close(chain);
    if (own) engine_stream_close(own);
    return ok;
}

// ---- statistics of batch norms ---------------------------------------------------------------------

static bool estimate_node(compress_result *r, const model_node *node, int index, engine_stream *s, base_job *job,
                          base_err *err) {
    int64_t n = model_shape_count(&r->m->graph->params[node->param[2]].shape);
    double *mean = base_calloc((size_t)n, 2 * sizeof *mean), *variance = mean + n;
    bool ok = engine_stream_advance(s, index, job, err) && engine_stream_moments(s, index, mean, variance, job, err);
    float *to_mean = ok ? result_own_param(r, node->param[2], err) : NULL;
    float *to_variance = to_mean ? result_own_param(r, node->param[3], err) : NULL;
    if (to_variance) {
        for (int64_t c = 0; c < n; c++) to_mean[c] = (float)mean[c], to_variance[c] = (float)variance[c];
        ok = round_param(r, node->param[2], err) && round_param(r, node->param[3], err);
        engine_stream_set(s, node->param[2], to_mean);
        engine_stream_set(s, node->param[3], to_variance);
    }
    free(mean);
    return ok && to_variance;
}

bool compress_reestimate_norms(compress_result *r, const data_view *calib, int *changed, base_job *job, base_err *err) {
    *changed = 0;
    if (!check_ready(r, calib, err)) return false;
    engine_stream *s = engine_stream_open(r->m, r->weights, calib, err);
    const model_graph *g = r->m->graph;
    bool ok = s != NULL;
    for (int i = 0; ok && i < g->node_count; i++) {
        if (g->nodes[i].op != MODEL_BATCH_NORM) continue;
        ok = estimate_node(r, &g->nodes[i], i, s, job, err);
        *changed += ok;
        base_progress(job, "batch norms", i + 1, g->node_count, NAN);
    }
    if (s) engine_stream_close(s);
    return ok;
}
