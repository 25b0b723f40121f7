// tune_whole: the loss of a whole compressed network on samples, and its gradients with respect to any parameters: of
// the labels, or the divergence KL(original || compressed) of the outputs.
#include "compress/tune.h"

#include <math.h>
#include <string.h>

static bool make_room(whole_net *h, size_t need, base_err *err) {
    if (need <= h->room) return true;
    base_big_free(h->own);
    h->own = base_big_alloc(need, 2 * sizeof *h->own, "outputs of the network", err);
    h->dout = h->own ? h->own + need : NULL;
    h->room = h->own ? need : 0;
    return h->own != NULL;
}

// Of one target; its gradient times `over` goes to dout.
static double target_loss(const whole_net *h, const float *now, const float *own, int32_t label, int64_t n, double over,
                          float *dout) {
    if (h->divergence) return block_divergence(now, own, n, 1, over, dout);
    double all = block_log_sum(now, n, 1);
    for (int64_t i = 0; i < n; i++) dout[i] = (float)(over * (exp((double)now[i] - all) - (i == label)));
    return all - (double)now[label];
}

// Adds the loss of samples [at, at + n) and how many targets they have; leaves the gradient in dout.
static bool whole_part(whole_net *h, int64_t at, int64_t n, double over, double *loss, int64_t *targets,
                       base_err *err) {
    const model *m = h->m;
    const model_graph *g = m->graph;
    if (!base_go_on(h->job, err) || !data_fetch(h->calib, at, n, &h->batch, err)) return false;
    data_batch *b = &h->batch;
    bool tokens = b->kind == DATA_TOKENS, gives_back = g->task == MODEL_RECONSTRUCT;
    const model_shape *s = &g->shapes[g->output];
    int64_t rows = n * (tokens ? b->length : 1), width = s->dim[s->ndim - 1];
    if (gives_back) width = model_shape_count(s);
    if (!h->divergence && !gives_back && !b->labels)
        return base_fail(err, "the samples have no labels: use loss = \"kl\"");
    if (!make_room(h, (size_t)(rows * width), err)) return false;
    const float *x = NULL;
    if (h->divergence) {
        x = engine_apart_forward(h->apart, m->weights, b, h->job, err);
        if (!x) return false;
        memcpy(h->own, x, (size_t)(rows * width) * sizeof *x);
    }
    x = engine_apart_forward(h->apart, h->w, b, h->job, err);
    if (!x) return false;
    memset(h->dout, 0, (size_t)(rows * width) * sizeof *h->dout);
    for (int64_t i = 0; i < rows; i++) {
        const float *now = x + i * width, *own = h->divergence ? h->own + i * width : b->x + i * width;
        float *dout = h->dout + i * width;
        bool valid = !tokens || i % b->length < b->lengths[i / b->length];
        if (gives_back) {
            for (int64_t c = 0; c < width; c++) {
                double d = (double)now[c] - (double)own[c];
                *loss += d * d / (double)width;
                dout[c] = (float)(2 * over * d / (double)width);
            }
        } else if (valid && (h->divergence || b->labels[i] >= 0)) {
            *loss += target_loss(h, now, own, h->divergence ? 0 : b->labels[i], width, over, dout);
        } else {
            continue;
        }
        ++*targets;
    }
    return true;
}

bool whole_measure(whole_net *h, double *out, base_err *err) {
    int64_t all = h->calib->count, targets = 0;
    double loss = 0;
    for (int64_t i = 0; i < all; i += ENGINE_APART)
        if (!whole_part(h, i, all - i < ENGINE_APART ? all - i : ENGINE_APART, 1, &loss, &targets, err)) return false;
    if (!targets) return base_fail(err, "no sample has a target");
    *out = loss / (double)targets;
    return true;
}

bool whole_gradients(whole_net *h, int64_t at, int64_t count, block_gradient each, void *context, base_err *err) {
    double loss = 0;
    int64_t targets = 0;
    for (int64_t i = 0; i < count; i += ENGINE_APART) {
        int64_t n = count - i < ENGINE_APART ? count - i : ENGINE_APART;
        if (!whole_part(h, at + i, n, 1 / (double)count, &loss, &targets, err) ||
            !engine_apart_backward(h->apart, h->dout, h->job, err))
            return false;
        each(context, h->apart, n);
    }
    return true;
}

bool whole_open(whole_net *h, const compress_result *r, const data_view *calib, const float *const *w,
                const bool *wanted, bool divergence, base_job *job, base_err *err) {
    *h = (whole_net){.m = r->m, .calib = calib, .w = w, .divergence = divergence, .job = job};
    if (!r->m->graph) return base_fail(err, "%s has no graph to compute activations", r->m->name);
    if (!calib || calib->count < 1)
        return base_fail(err, "it needs calibration data, and the part given has no samples");
    if (r->whole) return base_fail(err, "the network is cut; this comes before cut(net, ...)");
    h->apart = engine_apart_open(r->m, wanted, err);
    return h->apart != NULL;
}

void whole_close(whole_net *h) {
    engine_apart_close(h->apart);
    base_big_free(h->own);
    data_batch_free(&h->batch);
    *h = (whole_net){0};
}
