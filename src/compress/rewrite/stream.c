// stream: the residual stream of a transformer - found in the graph, freed of its norms' weights, and rotated (Ashkboos
// et al., SliceGPT, arXiv 2401.15024, section 3; QuaRot, arXiv 2404.00456, section 3). RMS norm commutes with an
// orthogonal Q: rms(x Q) = rms(x) Q once its weight is in the layers behind it. Layer norm is RMS norm of x less its
// mean, so where all that writes to the stream writes vectors of mean 0 it is RMS norm too.
#include "compress/map.h"
#include "compress/rewrite/rewrite.h"

#include <stdlib.h>
#include <string.h>

// ---- finding ---------------------------------------------------------------------------------------

static bool is_norm(model_op op) {
    return op == MODEL_RMS_NORM || op == MODEL_LAYER_NORM;
}

static void push(int **list, int *count, int node) {
    *list = base_realloc(*list, (size_t)*count + 1, sizeof **list);
    (*list)[(*count)++] = node;
}

// Values that are the stream: what embeddings give, and everything that is added to it or is such a sum.
static bool *stream_values(const model_draft *d) {
    bool *in = base_calloc((size_t)d->value_count + 1, sizeof *in);
    for (bool grew = true; grew;) {
        grew = false;
        for (int k = 0; k < d->node_count; k++) {
            const model_node *n = &d->nodes[k];
            bool sums = n->op == MODEL_ADD || n->op == MODEL_POSITION, any = n->op == MODEL_EMBEDDING;
            if (!model_draft_live(d, k)) continue;
            for (int i = 0; sums && i < n->in_count; i++) any = any || in[n->in[i]];
            any = any || (sums && in[n->out[0]]);
            if (!any) continue;
            grew = grew || !in[n->out[0]];
            in[n->out[0]] = true;
            for (int i = 0; sums && i < n->in_count; i++) {
                grew = grew || !in[n->in[i]];
                in[n->in[i]] = true;
            }
        }
    }
    return in;
}

static int64_t last_of(const model_draft *d, int value) {
    const model_shape *s = model_graph_shape(d->from->graph, value);
    return s->dim[s->ndim - 1];
}

// All that read what the norm gives are linear layers; they read the stream.
static bool take_norm(const model_draft *d, int norm, rewrite_stream *s, base_err *err) {
    int value = d->nodes[norm].out[0];
    if (d->output == value)
        return base_fail(err, "the norm '%s' gives the network's output, so no layer takes its weight",
                         d->nodes[norm].name);
    for (int k = 0; k < d->node_count; k++) {
        const model_node *n = &d->nodes[k];
        bool reads = false;
        for (int i = 0; i < n->in_count; i++) reads = reads || n->in[i] == value;
        if (!reads || !model_draft_live(d, k)) continue;
        if (n->op != MODEL_LINEAR)
            return base_fail(err, "the norm '%s' is read by '%s' (%s); only linear layers take its weight",
                             d->nodes[norm].name, n->name, model_ops[n->op].name);
        push(&s->reader, &s->reader_count, k);
    }
    push(&s->norm, &s->norm_count, norm);
    return true;
}

static bool take_node(const model_draft *d, const bool *in, int node, rewrite_stream *s, base_err *err) {
    const model_node *n = &d->nodes[node];
    bool writes = in[n->out[0]], reads = false;
    for (int i = 0; i < n->in_count; i++) reads = reads || in[n->in[i]];
    if (!reads && !writes) return true;
    if (n->op == MODEL_ADD) return true;
    if (is_norm(n->op) && !writes) return take_norm(d, node, s, err);
    if (n->op == MODEL_LINEAR && reads) push(&s->reader, &s->reader_count, node);
    bool writer = n->op == MODEL_LINEAR || n->op == MODEL_EMBEDDING || n->op == MODEL_POSITION;
    if (writer && writes) push(&s->writer, &s->writer_count, node);
    if (writer) return true;
    return base_fail(err, "'%s' (%s) %s the residual stream and does not commute with a rotation", n->name,
                     model_ops[n->op].name, reads ? "reads" : "writes to");
}

static bool check_stream(const model_draft *d, const bool *in, rewrite_stream *s, base_err *err) {
    int rms = 0;
    for (int v = 0; v < d->value_count; v++) {
        if (!in[v]) continue;
        if (!s->width) s->width = last_of(d, v);
        if (last_of(d, v) != s->width)
            return base_fail(err, "the residual stream has values of %lld and of %lld channels", (long long)s->width,
                             (long long)last_of(d, v));
    }
    if (in[0] || in[d->output]) return base_fail(err, "the residual stream is the network's input or output itself");
    for (int k = 0; k < s->norm_count; k++) rms += d->nodes[s->norm[k]].op == MODEL_RMS_NORM;
    s->centres = rms < s->norm_count;
    if (!s->norm_count || !s->reader_count) return base_fail(err, "nothing reads the residual stream through a norm");
    if (s->centres && rms) return base_fail(err, "the residual stream has RMS norms and layer norms");
    for (int k = 0; s->centres && k < s->reader_count; k++)
        if (in[d->nodes[s->reader[k]].in[0]])
            return base_fail(err, "'%s' reads the residual stream directly, beside layer norms that centre it",
                             d->nodes[s->reader[k]].name);
    return true;
}

bool rewrite_stream_find(const model_draft *d, rewrite_stream *s, base_err *err) {
    *s = (rewrite_stream){0};
    bool *in = stream_values(d), any = false, ok = true;
    for (int v = 0; v < d->value_count; v++) any = any || in[v];
    if (!any) ok = base_fail(err, "the network has no residual stream that starts at an embedding");
    for (int k = 0; ok && k < d->node_count; k++) ok = !model_draft_live(d, k) || take_node(d, in, k, s, err);
    ok = ok && check_stream(d, in, s, err);
    free(in);
    if (!ok) rewrite_stream_free(s);
    return ok;
}

void rewrite_stream_free(rewrite_stream *s) {
    free(s->norm);
    free(s->reader);
    free(s->writer);
    *s = (rewrite_stream){0};
}

// ---- norms -----------------------------------------------------------------------------------------

// Every layer of the stream has its tables for itself.
static bool untie(model_draft *d, const rewrite_stream *s, base_buf *untied, base_err *err) {
    for (int pass = 0; pass < 2; pass++) {
        const int *list = pass ? s->writer : s->reader;
        for (int k = 0; k < (pass ? s->writer_count : s->reader_count); k++)
            for (int suffix = 0; suffix < 2; suffix++) {
                const model_node *n = &d->nodes[list[k]];
                if (n->param[suffix] < 0 || model_draft_sharers(d, n->param[suffix]) < 2) continue;
                if (untied) base_buf_printf(untied, "%s%s", untied->length ? ", " : "", n->name);
                if (!model_draft_untie(d, list[k], suffix, err)) return false;
            }
    }
    return true;
}

// One reader takes the norm's weight g and bias: W diag(g), b + W bias.
static bool take_weight(model_draft *d, int node, const float *g, const float *bias, int64_t n, base_err *err) {
    float *w = model_draft_write(d, d->nodes[node].param[0], err);
    float *b = w && bias ? model_draft_bias(d, node, err) : NULL;
    if (!w || (bias && !b)) return false;
    int64_t rows = d->params[d->nodes[node].param[0]].shape.dim[0];
    for (int64_t o = 0; o < rows; o++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += bias ? (double)w[o * n + i] * (double)bias[i] : 0;
            w[o * n + i] = (float)((double)w[o * n + i] * (double)g[i]);
        }
        if (b) b[o] = (float)((double)b[o] + sum);
    }
    return true;
}

static bool strip_norm(model_draft *d, const rewrite_stream *s, int norm, base_err *err) {
    model_node *n = &d->nodes[norm];
    const float *g = n->param[0] < 0 ? NULL : d->params[n->param[0]].x;
    const float *bias = n->param[1] < 0 ? NULL : d->params[n->param[1]].x;
    for (int k = 0; g && k < s->reader_count; k++)
        if (d->nodes[s->reader[k]].in[0] == n->out[0] && !take_weight(d, s->reader[k], g, bias, s->width, err))
            return false;
    n->attr[NORM_AFFINE] = 0;
    n->param[0] = n->param[1] = -1;
    n->op = MODEL_RMS_NORM;
    return true;
}

// Vectors x[0], x[step], ..: `count` of them, `between` apart, of n values: their mean comes off.
static void centre(float *x, int64_t count, int64_t between, int64_t n, int64_t step) {
    for (int64_t v = 0; v < count; v++, x += between) {
        double mean = 0;
        for (int64_t i = 0; i < n; i++) mean += (double)x[i * step];
        mean /= (double)n;
        for (int64_t i = 0; i < n; i++) x[i * step] = (float)((double)x[i * step] - mean);
    }
}

static bool centre_writer(model_draft *d, int node, int64_t n, base_err *err) {
    for (int suffix = 0; suffix < 2; suffix++) {
        int param = d->nodes[node].param[suffix];
        if (param < 0) continue;
        float *x = model_draft_write(d, param, err);
        if (!x) return false;
        int64_t count = model_shape_count(&d->params[param].shape) / n;
        bool columns = d->nodes[node].op == MODEL_LINEAR && suffix == 0;
        centre(x, count, columns ? 1 : n, n, columns ? count : 1);
    }
    return true;
}

bool rewrite_stream_strip(model_draft *d, const rewrite_stream *s, base_buf *untied, base_err *err) {
    bool ok = untie(d, s, untied, err);
    for (int k = 0; ok && s->centres && k < s->writer_count; k++) ok = centre_writer(d, s->writer[k], s->width, err);
    for (int k = 0; ok && k < s->norm_count; k++) ok = strip_norm(d, s, s->norm[k], err);
    return ok;
}

// ---- turning ---------------------------------------------------------------------------------------

// w[rows x n] = w Q, in float64.
static bool dense_right(const double *q, float *w, int64_t rows, int64_t n, base_err *err) {
    double *x = base_big_alloc((size_t)(2 * rows * n), sizeof *x, "a rotated weight", err);
    if (!x) return false;
    for (int64_t i = 0; i < rows * n; i++) x[i] = (double)w[i];
    num_dgemm(false, false, rows, n, n, 1, x, n, q, n, 0, x + rows * n, n);
    for (int64_t i = 0; i < rows * n; i++) w[i] = (float)x[rows * n + i];
    base_big_free(x);
    return true;
}

// w[n x cols] = Q^T w.
static bool dense_left(const double *q, float *w, int64_t n, int64_t cols, base_err *err) {
    double *x = base_big_alloc((size_t)(2 * n * cols), sizeof *x, "a rotated weight", err);
    if (!x) return false;
    for (int64_t i = 0; i < n * cols; i++) x[i] = (double)w[i];
    num_dgemm(true, false, n, cols, n, 1, q, n, x, cols, 0, x + n * cols, cols);
    for (int64_t i = 0; i < n * cols; i++) w[i] = (float)x[n * cols + i];
    base_big_free(x);
    return true;
}

// A rotation that is folded leaves no trace in the file: of Hadamard matrices the true one where there is any.
static int form_of(const rewrite_turn *q, int64_t n) {
    return q->form == MAP_HADAMARD ? map_hadamard_for(n) : q->form;
}

bool rewrite_turn_right(const rewrite_turn *q, float *w, int64_t rows, int64_t cols, base_err *err) {
    if (q->dense) return dense_right(q->dense, w, rows, cols, err);
    map m = {.form = form_of(q, cols), .side = MAP_IN, .groups = 1, .rows = rows, .cols = cols, .seed = q->seed};
    return map_weight(&m, false, w, err);
}

bool rewrite_turn_left(const rewrite_turn *q, float *w, int64_t rows, int64_t cols, int64_t groups, base_err *err) {
    int64_t n = rows / groups;
    for (int64_t g = 0; q->dense && g < groups; g++)
        if (!dense_left(q->dense, w + g * n * cols, n, cols, err)) return false;
    if (q->dense) return true;
    map m = {.form = form_of(q, n), .side = MAP_OUT, .groups = groups, .rows = rows, .cols = cols, .seed = q->seed};
    return map_weight(&m, false, w, err);
}

static bool turn_writer(model_draft *d, int node, int64_t n, const rewrite_turn *q, base_err *err) {
    for (int suffix = 0; suffix < 2; suffix++) {
        int param = d->nodes[node].param[suffix];
        if (param < 0) continue;
        float *x = model_draft_write(d, param, err);
        if (!x) return false;
        int64_t count = model_shape_count(&d->params[param].shape) / n;
        bool columns = d->nodes[node].op == MODEL_LINEAR && suffix == 0;
        if (!(columns ? rewrite_turn_left(q, x, n, count, 1, err) : rewrite_turn_right(q, x, count, n, err)))
            return false;
    }
    return true;
}

bool rewrite_stream_turn(model_draft *d, const rewrite_stream *s, const rewrite_turn *q, base_err *err) {
    bool ok = true;
    for (int k = 0; ok && k < s->writer_count; k++) ok = turn_writer(d, s->writer[k], s->width, q, err);
    for (int k = 0; ok && k < s->reader_count; k++) {
        int param = d->nodes[s->reader[k]].param[0];
        float *w = model_draft_write(d, param, err);
        ok = w && rewrite_turn_right(q, w, d->params[param].shape.dim[0], s->width, err);
    }
    return ok;
}
