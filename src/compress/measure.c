// measure: the figures of a layer's row. Relative errors are ||a - b||^2 / ||a||^2; the output error of a layer is
// tr((W-Wc) H (W-Wc)^T) / tr(W H W^T) on its own inputs, and ||W X - Wc Xc||^2 / ||W X||^2 with what arrives through
// the compressed prefix.
#include "compress/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- streams ---------------------------------------------------------------------------------------

bool measure_open(const model *m, const data_view *calib, const data_view *held, measure_streams *s, base_err *err) {
    memset(s, 0, sizeof *s);
    if (calib) s->calib.own = s->calib.chain = engine_stream_open(m, m->weights, calib, err);
    if (calib && !s->calib.own) return false;
    if (held) s->held.own = s->held.chain = engine_stream_open(m, m->weights, held, err);
    if (!held || s->held.own) return true;
    measure_close(s);
    return false;
}

static void close_pair(measure_pair *p) {
    if (p->chain && p->chain != p->own) engine_stream_close(p->chain);
    if (p->own) engine_stream_close(p->own);
    *p = (measure_pair){0};
}

void measure_close(measure_streams *s) {
    close_pair(&s->calib);
    close_pair(&s->held);
    free(s->nodes);
    s->nodes = NULL;
}

static bool advance_pair(const measure_streams *s, measure_pair *p, base_job *job, base_err *err) {
    if (!p->own) return true;
    return engine_stream_advance_all(p->own, s->nodes, s->node_count, job, err) &&
           (p->chain == p->own || engine_stream_advance_all(p->chain, s->nodes, s->node_count, job, err));
}

void measure_pass(measure_streams *s, int node) {
    if (s->node_count && s->nodes[s->node_count - 1] >= node) return;
    s->nodes = base_realloc(s->nodes, (size_t)s->node_count + 1, sizeof *s->nodes);
    s->nodes[s->node_count++] = node;
}

bool measure_advance(measure_streams *s, int node, base_job *job, base_err *err) {
    measure_pass(s, node);
    return advance_pair(s, &s->calib, job, err) && advance_pair(s, &s->held, job, err);
}

static bool replace_pair(measure_pair *p, int param, const float *w, base_err *err) {
    if (!p->own) return true;
    if (p->chain == p->own) p->chain = engine_stream_copy(p->own, err);
    if (!p->chain) {
        p->chain = p->own;
        return false;
    }
    engine_stream_set(p->chain, param, w);
    return true;
}

bool measure_replace(measure_streams *s, int param, const float *w, base_err *err) {
    return replace_pair(&s->calib, param, w, err) && replace_pair(&s->held, param, w, err);
}

// ---- figures ---------------------------------------------------------------------------------------

static double ratio(double difference, double reference) {
    if (difference <= 0) return 0;
    return reference > 0 ? difference / reference : INFINITY;
}

void measure_weights(base_layer_row *row, const float *w, const float *wc) {
    size_t n = (size_t)row->weights;
    row->bits = n ? 8.0 * (double)row->bytes / (double)n : NAN;
    row->d_of_r = pow(2, -2 * row->bits);
    row->weight_error = w == wc ? 0 : ratio(num_diff_squares(w, wc, n), num_sum_squares(w, n));
    row->sqnr_db = row->weight_error > 0 ? -10 * log10(row->weight_error) : NAN;
}

// sum over rows of a . (b H): tr(A H B^T) for one group.
static double trace(const float *a, const float *b, const float *h, int64_t rows, int64_t in, float *scratch) {
    num_gemm(false, false, rows, in, in, 1, a, in, h, in, 0, scratch, in);
    return num_dot(scratch, b, (size_t)(rows * in));
}

static bool error_from_gram(const model_layer *l, const float *w, const float *wc, const float *h, engine_error *e,
                            base_err *err) {
    int64_t rows = l->out / l->groups, n = rows * l->in;
    float *d = base_big_alloc((size_t)n, 2 * sizeof *d, "the error of a layer", err);
    if (!d) return false;
    *e = (engine_error){0};
    for (int64_t g = 0; g < l->groups; g++) {
        const float *a = w + g * n, *b = wc + g * n, *hg = h + g * l->in * l->in;
        for (int64_t i = 0; i < n; i++) d[i] = a[i] - b[i];
        e->difference += trace(d, d, hg, rows, l->in, d + n);
        e->reference += trace(a, a, hg, rows, l->in, d + n);
        e->product += trace(a, b, hg, rows, l->in, d + n);
        e->compressed += trace(b, b, hg, rows, l->in, d + n);
    }
    base_big_free(d);
    return true;
}

static double cosine(const engine_error *e) {
    double norm = sqrt(e->reference) * sqrt(e->compressed);
    return norm > 0 ? e->product / norm : NAN;
}

// ||W x - Wc xc||^2 with what arrives through the compressed prefix. The outputs that it takes are what the next
// layer's inputs are made of: the streams go on from them.
static bool chained(const measure_pair *p, const model_layer *l, int next, const float *w, const float *wc,
                    double *error, base_job *job, base_err *err) {
    engine_error e = {0};
    bool done = false;
    engine_stream_set(p->chain, l->weight, wc);
    if (next > l->node && !engine_stream_error_on(p->own, p->chain, l->node, next, &e, &done, job, err)) return false;
    if (!done && !engine_stream_error(p->own, p->chain, l->node, w, wc, &e, job, err)) return false;
    *error = ratio(e.difference, e.reference);
    return true;
}

bool measure_own(const measure_streams *s, const model_layer *l, const float *w, const float *wc, const float *h,
                 double *error, base_job *job, base_err *err) {
    engine_error e = {0};
    *error = NAN;
    if (l->node < 0 || !s->calib.own) return true;
    bool ok = h ? error_from_gram(l, w, wc, h, &e, err)
                : engine_stream_error(s->calib.own, s->calib.own, l->node, w, wc, &e, job, err);
    if (ok) *error = ratio(e.difference, e.reference);
    return ok;
}

bool measure_outputs(const measure_streams *s, const model_layer *l, int next, const float *w, const float *wc,
                     const float *h, base_layer_row *row, base_job *job, base_err *err) {
    if (l->node < 0) return true;
    engine_error e = {0};
    if (s->calib.own) {
        bool ok = h ? error_from_gram(l, w, wc, h, &e, err)
                    : engine_stream_error(s->calib.own, s->calib.own, l->node, w, wc, &e, job, err);
        if (!ok) return false;
        row->output_error = ratio(e.difference, e.reference);
        row->cosine = cosine(&e);
        row->chained_error = row->output_error;
        if (s->calib.chain != s->calib.own && !chained(&s->calib, l, next, w, wc, &row->chained_error, job, err))
            return false;
    }
    if (s->held.own) {
        if (!engine_stream_error(s->held.own, s->held.own, l->node, w, wc, &e, job, err)) return false;
        row->output_error_held = row->chained_error_held = ratio(e.difference, e.reference);
        if (s->held.chain != s->held.own && !chained(&s->held, l, next, w, wc, &row->chained_error_held, job, err))
            return false;
    }
    return true;
}
