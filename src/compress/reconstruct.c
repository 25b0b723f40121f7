// reconstruct: rounding learned on the output of whole blocks, after a run - every weight of a block's layers goes to
// one of the two codes around it, all of them together, so that the block computes what the original one did.
//
// Li et al.: BRECQ, ICLR 2021 (arXiv 2102.05426), section 3.2, equation 10 and algorithm 1: inputs come through the
// compressed prefix, targets are the original network's, differences weigh as the Fisher diagonal says (blockwise.c).
// Soft codes and their schedule are AdaRound's (arXiv 2004.10568; solvers/adaround.c).
//
// With window > 1 blocks are learned in overlapping windows, as Ding et al., CBQ (arXiv 2312.07950), section 3.2, whose
// loss is `kl` and whose LoRA-rounding (section 3.3) is `rank`: the variables of a layer are what they begin with plus
// a product of two thin factors, one drawn, one zero at first.
//
// Scales stay. A block keeps its former codes where the new ones are no better on the calibration samples.
#include "compress/blockwise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ZETA 1.1f
#define GAMMA (-0.1f)

const base_arg compress_reconstruct_args[] = {
    {"iterations", BASE_INT, 300, 1, 1000000, NULL, NULL, "steps of the optimiser for each block (authors: 20,000)"},
    {"batch", BASE_INT, 32, 1, 4096, NULL, NULL, "samples of a step"},
    {"window", BASE_INT, 1, 1, 16, NULL, NULL, "blocks that are learned together, each window one block on (CBQ)"},
    {"rate", BASE_NUM, 0.1, 1e-6, 1, NULL, NULL, "of Adam"},
    {"weight", BASE_NUM, 0.05, 0, 1000, NULL, NULL, "of the regulariser that drives soft codes to 0 or 1"},
    {"loss", BASE_TEXT, 0, 0, 0, "fisher", BLOCK_LOSSES,
     "squared differences of the outputs, each times (1 + |gradient of the network's divergence|)^2 (fisher: BRECQ's "
     "code), the squared gradient alone (bare: its equation 10), 1, or 1 and with the divergence of their softmax (kl: "
     "CBQ)"},
    {"rank", BASE_INT, 0, 0, 4096, NULL, NULL,
     "of the factors that a layer's rounding is learned through (CBQ: 5); 0: every weight by itself"},
    {"seed", BASE_INT, 1, 0, 2147483647, NULL, NULL, "draws the batches"},
};
const size_t compress_reconstruct_arg_count = sizeof compress_reconstruct_args / sizeof *compress_reconstruct_args;

// A layer while its codes are learned; arrays of rows * cols.
typedef struct soft_layer {
    int layer, param, block;
    int64_t rows, cols;
    size_t n;
    float top;                  // largest code
    float *scale, *zero, *base; // base: the lower of the two codes
    float *v, *m1, *m2;         // variables and Adam's moments
    float *soft, *grad;         // the weight that the soft codes stand for; the gradient on it
    float *former_v, *start;    // v before this window; v as the window begins to learn
    int64_t rank;               // of the factors; 0: v itself is learned
    float *left, *right;        // factors [rows x rank], [rank x cols]; v = start + left right
    float *moments;             // Adam's of both factors: m1 of left, of right, then m2
    grid_code *former;          // codes of the run
    bool learned;               // a window has left it with better codes than the run's
} soft_layer;

typedef struct rebuild {
    blockwise b;
    const base_value *value;
    soft_layer *layers;
    int count;
    num_rng rng;
} rebuild;

static const base_value *value_of(const rebuild *k, const char *arg) {
    size_t i = 0;
    while (strcmp(compress_reconstruct_args[i].name, arg)) i++;
    return &k->value[i];
}

static double number(const rebuild *k, const char *arg) {
    return value_of(k, arg)->number;
}

// ---- soft codes ----------------------------------------------------------------------------------

static float stretch(float v) {
    float h = (ZETA - GAMMA) / (1 + expf(-v)) + GAMMA;
    return h < 0 ? 0 : h > 1 ? 1 : h;
}

static void set_codes(term *t, const grid_code *codes) {
    grid_codes_pack(codes, t->stored, t->attr[UNIFORM_BITS], t->attr[UNIFORM_SCHEME], t->blob[UNIFORM_CODES].owned);
}

// What a layer's term can tell: decoded with all codes 0 and all codes 1 it gives every weight's scale and zero point.
static bool read_grid(soft_layer *s, const term *t, base_err *err) {
    term *copy = term_copy(t, err);
    bool ok = copy != NULL;
    for (int c = 0; ok && c < 2; c++) {
        for (size_t i = 0; i < s->n; i++) s->former[i] = (grid_code)c;
        set_codes(copy, s->former);
        memset(c ? s->scale : s->zero, 0, s->n * sizeof(float));
        ok = term_decode(copy, c ? s->scale : s->zero, err);
    }
    for (size_t i = 0; ok && i < s->n; i++) {
        s->scale[i] -= s->zero[i];
        s->zero[i] = s->scale[i] > 0 ? -s->zero[i] / s->scale[i] : 0;
    }
    term_free(copy);
    if (ok)
        grid_codes_unpack(t->blob[UNIFORM_CODES].data, 0, t->stored, t->attr[UNIFORM_BITS], t->attr[UNIFORM_SCHEME],
                          s->former);
    return ok;
}

static void begin(soft_layer *s, const float *w) {
    for (size_t i = 0; i < s->n; i++) {
        float t = s->scale[i] > 0 ? w[i] / s->scale[i] + s->zero[i] : s->zero[i], now = (float)s->former[i];
        // The code of the run and its neighbour on the weight's side.
        float down = t >= now ? now : now - 1;
        down = down < 0 ? 0 : down > s->top - 1 ? s->top - 1 : down;
        float rest = t - down;
        rest = rest < 0.01f ? 0.01f : rest > 0.99f ? 0.99f : rest;
        s->base[i] = down;
        s->v[i] = -logf((ZETA - GAMMA) / (rest - GAMMA) - 1);
    }
}

static void soften(soft_layer *s, bool hard) {
    for (size_t i = 0; i < s->n; i++) {
        float h = stretch(s->v[i]);
        if (hard) h = h >= 0.5f;
        s->soft[i] = s->scale[i] * (s->base[i] + h - s->zero[i]);
    }
}

// ---- a step of the optimiser -----------------------------------------------------------------------

// Adam of `n` values of x whose gradients are g.
static void adam(float *x, const float *g, float *m1, float *m2, size_t n, int64_t step_no, double rate) {
    double c1 = 1 - pow(0.9, (double)step_no), c2 = sqrt(1 - pow(0.999, (double)step_no));
    float step = (float)(rate * c2 / c1);
    for (size_t i = 0; i < n; i++) {
        m1[i] = 0.9f * m1[i] + 0.1f * g[i];
        m2[i] = 0.999f * m2[i] + 0.001f * g[i] * g[i];
        x[i] -= step * m1[i] / (sqrtf(m2[i]) + 1e-12f);
    }
}

// Gradients on the weights to those on the variables, in place; b 0: without the regulariser.
static void through_codes(soft_layer *s, float b, double weight) {
    for (size_t i = 0; i < s->n; i++) {
        float sigma = 1 / (1 + expf(-s->v[i])), h = (ZETA - GAMMA) * sigma + GAMMA, slope = 0;
        if (h > 0 && h < 1) slope = (ZETA - GAMMA) * sigma * (1 - sigma);
        float gradient = s->grad[i] * s->scale[i] * slope;
        if (b > 0 && slope > 0) {
            float u = 2 * h - 1;
            gradient -= (float)weight * b * 2 * copysignf(powf(fabsf(u), b - 1), u) * slope;
        }
        s->grad[i] = gradient;
    }
}

// CBQ: v = start + left right; left is drawn, right begins as zero, so that nothing moves at first.
static void begin_factors(rebuild *k, soft_layer *l) {
    size_t left = (size_t)(l->rows * l->rank), right = (size_t)(l->rank * l->cols);
    for (size_t i = 0; i < left; i++) l->left[i] = (float)(num_rng_normal(&k->rng) / sqrt((double)l->rank));
    if (right) memset(l->right, 0, right * sizeof *l->right);
    if (l->rank) memset(l->moments, 0, 2 * (left + right) * sizeof *l->moments);
}

// out [n x m] = a b, where a is [n x r] (or its transpose is given) and b [r x m] (likewise).
static void multiply(int64_t n, int64_t m, int64_t r, const float *a, bool a_turned, const float *b, bool b_turned,
                     float *out) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            float sum = 0;
            for (int64_t q = 0; q < r; q++)
                sum += a[a_turned ? q * n + i : i * r + q] * b[b_turned ? j * r + q : q * m + j];
            out[i * m + j] = sum;
        }
}

static void update(rebuild *k, soft_layer *s, int64_t step_no, float b) {
    double rate = number(k, "rate");
    through_codes(s, b, number(k, "weight"));
    if (!s->rank) {
        adam(s->v, s->grad, s->m1, s->m2, s->n, step_no, rate);
        return;
    }
    size_t left = (size_t)(s->rows * s->rank), right = (size_t)(s->rank * s->cols);
    // m1 and m2 are free here: they take the factors' gradients and then their product.
    multiply(s->rows, s->rank, s->cols, s->grad, false, s->right, true, s->m1);
    multiply(s->rank, s->cols, s->rows, s->left, true, s->grad, false, s->m2);
    adam(s->left, s->m1, s->moments, s->moments + left + right, left, step_no, rate);
    adam(s->right, s->m2, s->moments + left, s->moments + 2 * left + right, right, step_no, rate);
    multiply(s->rows, s->cols, s->rank, s->left, false, s->right, false, s->m1);
    for (size_t i = 0; i < s->n; i++) s->v[i] = s->start[i] + s->m1[i];
}

// ---- which layers --------------------------------------------------------------------------------

static const char *why_not(const rebuild *k, int index) {
    const model_layer *l = &k->b.r->m->layers[index];
    const result_layer *own = &k->b.r->layers[index];
    const model_graph *g = k->b.r->m->graph;
    int users = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int p = 0; p < g->nodes[i].param_count; p++) users += g->nodes[i].param[p] == l->weight;
    if (g->nodes[l->node].op == MODEL_EMBEDDING) return "an embedding";
    if (own->term_count != 1 || own->terms[0]->kind != &term_uniform ||
        own->terms[0]->attr[UNIFORM_SCHEME] > UNIFORM_ASYM)
        return "no single term of even integer codes";
    if (own->terms[0]->blob[UNIFORM_CODES].coded) return "its codes are entropy-coded already";
    if (users != 1) return "its weight is shared";
    return NULL;
}

static bool open_layer(rebuild *k, int index, int block, base_err *err) {
    const model *m = k->b.r->m;
    const model_layer *l = &m->layers[index];
    const term *t = k->b.r->layers[index].terms[0];
    soft_layer *s = &k->layers[k->count++];
    *s = (soft_layer){.layer = index,
                      .param = l->weight,
                      .block = block,
                      .rows = l->out,
                      .cols = l->in,
                      .n = (size_t)(l->out * l->in)};
    s->top = (float)((1 << t->attr[UNIFORM_BITS]) - 1);
    float *room = base_big_alloc(s->n, 10 * sizeof *room, "learning a block", err);
    s->former = room ? base_big_alloc(s->n, sizeof *s->former, "learning a block", err) : NULL;
    s->scale = room;
    if (!s->former) return false;
    s->zero = room + s->n;
    s->base = room + 2 * s->n;
    s->v = room + 3 * s->n;
    s->m1 = room + 4 * s->n;
    s->m2 = room + 5 * s->n;
    s->soft = room + 6 * s->n;
    s->grad = room + 7 * s->n;
    s->former_v = room + 8 * s->n;
    s->start = room + 9 * s->n;
    int64_t least = l->out < l->in ? l->out : l->in, rank = (int64_t)number(k, "rank");
    s->rank = rank < least ? rank : least;
    if (s->rank) {
        size_t left = (size_t)(l->out * s->rank), right = (size_t)(s->rank * l->in);
        s->left = base_big_alloc(left + right, 3 * sizeof *s->left, "factors of a layer's rounding", err);
        if (!s->left) return false;
        s->right = s->left + left;
        s->moments = s->right + right;
    }
    if (!read_grid(s, t, err)) return false;
    begin(s, m->weights[l->weight]);
    return true;
}

static bool open_layers(rebuild *k, base_err *err) {
    const model *m = k->b.r->m;
    k->layers = base_calloc((size_t)m->layer_count + 1, sizeof *k->layers);
    bool ok = true;
    for (int i = 0; ok && i < m->layer_count; i++) {
        const char *why = k->b.r->layers[i].term_count ? why_not(k, i) : NULL;
        if (why) base_log(k->b.job, BASE_INFO, "%s: stays as it is (%s)", m->layers[i].name, why);
        if (!why && k->b.r->layers[i].term_count) ok = open_layer(k, i, k->b.block_of[m->layers[i].node], err);
    }
    return ok && (k->count || base_fail(err, "no layer has a single term of integer codes, as quantize{} gives"));
}

static void close_layers(rebuild *k) {
    for (int i = 0; i < k->count; i++) {
        base_big_free(k->layers[i].scale);
        base_big_free(k->layers[i].former);
        base_big_free(k->layers[i].left);
    }
    free(k->layers);
}

// ---- one window of blocks ------------------------------------------------------------------------

static bool in_window(const soft_layer *l, const block_window *w) {
    return l->block >= w->from && l->block <= w->to;
}

// Of a few samples, added up in their order.
static void add_gradients(void *context, const engine_apart *a, int64_t samples) {
    rebuild *k = ((rebuild **)context)[0];
    const block_window *w = ((block_window **)context)[1];
    for (int i = 0; i < k->count; i++) {
        soft_layer *l = &k->layers[i];
        for (int64_t j = 0; in_window(l, w) && j < samples; j++) {
            const float *g = engine_apart_gradient(a, j, l->param);
            for (size_t c = 0; c < l->n; c++) l->grad[c] += g[c];
        }
    }
}

// Gradients of one batch of neighbouring samples from a random place.
static bool batch_gradients(rebuild *k, block_window *w, base_err *err) {
    int64_t all = k->b.calib->count, size = (int64_t)number(k, "batch");
    if (size > all) size = all;
    int64_t at = (int64_t)(num_rng_unit(&k->rng) * (double)(all - size + 1));
    for (int i = 0; i < k->count; i++)
        if (in_window(&k->layers[i], w)) memset(k->layers[i].grad, 0, k->layers[i].n * sizeof(float));
    return block_window_gradients(w, at, size, add_gradients, (void *[]){k, w}, NULL, err);
}

static bool learn_window(rebuild *k, block_window *w, base_err *err) {
    int64_t steps = (int64_t)number(k, "iterations"), first = steps / 5;
    bool ok = true;
    for (int64_t it = 0; ok && it < steps; it++) {
        double progress = (double)(it - first) / (double)(steps - first);
        float b = it < first ? 0 : (float)(2 + 18 * (1 - progress));
        for (int i = 0; i < k->count; i++)
            if (in_window(&k->layers[i], w)) soften(&k->layers[i], false);
        ok = batch_gradients(k, w, err);
        for (int i = 0; ok && i < k->count; i++)
            if (in_window(&k->layers[i], w)) update(k, &k->layers[i], it + 1, b);
    }
    return ok;
}

// The layers of a window from here on with the weights of `soft`.
static void begin_window(rebuild *k, const block_window *w) {
    for (int i = 0; i < k->count; i++) {
        soft_layer *l = &k->layers[i];
        if (!in_window(l, w)) continue;
        memcpy(l->former_v, l->v, l->n * sizeof *l->v);
        memset(l->m1, 0, l->n * sizeof *l->m1);
        memset(l->m2, 0, l->n * sizeof *l->m2);
        // What an earlier window has decided can still move.
        for (size_t c = 0; l->learned && c < l->n; c++) l->v[c] = fmaxf(-1.5f, fminf(1.5f, l->v[c]));
        memcpy(l->start, l->v, l->n * sizeof *l->v);
        begin_factors(k, l);
        k->b.w[l->param] = l->soft;
    }
}

static void end_window(rebuild *k, const block_window *w, bool better) {
    for (int i = 0; i < k->count; i++) {
        soft_layer *l = &k->layers[i];
        if (!in_window(l, w)) continue;
        if (better) l->learned = true;
        if (!better) memcpy(l->v, l->former_v, l->n * sizeof *l->v);
        soften(l, true);
        if (!l->learned) k->b.w[l->param] = k->b.r->weights[l->param];
    }
}

static enum block_loss loss_of(const rebuild *k) {
    static const char *const names[] = {"fisher", "bare", "plain", "kl"};
    int i = 0;
    while (strcmp(names[i], value_of(k, "loss")->text)) i++;
    return (enum block_loss)i;
}

static bool visit_window(rebuild *k, int from, int to, int *changed, base_err *err) {
    block_window w;
    double before = 0, after = 0;
    bool *wanted = base_calloc((size_t)k->b.r->m->weight_count + 1, sizeof *wanted);
    for (int i = 0; i < k->count; i++)
        if (k->layers[i].block >= from && k->layers[i].block <= to) wanted[k->layers[i].param] = true;
    bool ok = block_window_open(&w, &k->b, from, to, loss_of(k), (int64_t)number(k, "batch"), wanted, err) &&
              block_window_error(&w, &before, err);
    free(wanted);
    if (ok) begin_window(k, &w);
    ok = ok && learn_window(k, &w, err);
    for (int i = 0; ok && i < k->count; i++)
        if (in_window(&k->layers[i], &w)) soften(&k->layers[i], true);
    ok = ok && block_window_error(&w, &after, err);
    bool better = after < before;
    if (ok) end_window(k, &w, better);
    block_window_close(&w);
    if (!ok) return false;
    *changed += better;
    base_log(k->b.job, BASE_INFO, "block %d%s to %s: error of its output %.5f -> %.5f%s", from + 1,
             to > from ? " and those after it" : "", k->b.r->m->graph->nodes[k->b.end[to]].name, before, after,
             better ? "" : ", former codes stay");
    return true;
}

// ---- the call ------------------------------------------------------------------------------------

// The codes that k->w stands for, into the result.
static bool keep_layer(rebuild *k, soft_layer *l, base_err *err) {
    result_layer *own = &k->b.r->layers[l->layer];
    if (!l->learned) return true;
    term *t = term_copy(own->terms[0], err);
    float *w = t ? base_big_alloc(l->n, sizeof *w, "a decoded weight", err) : NULL;
    bool ok = w != NULL;
    if (ok) {
        for (size_t i = 0; i < l->n; i++) l->former[i] = (grid_code)(l->base[i] + (stretch(l->v[i]) >= 0.5f));
        set_codes(t, l->former);
        ok = term_decode(t, w, err);
    }
    if (!ok) {
        base_big_free(w);
        term_free(t);
        return false;
    }
    term_free(own->terms[0]);
    own->terms[0] = t;
    base_big_free(own->decoded);
    own->decoded = w;
    k->b.r->weights[l->param] = w;
    return true;
}

static bool holds_layer(const rebuild *k, int from, int to) {
    for (int i = 0; i < k->count; i++)
        if (k->layers[i].block >= from && k->layers[i].block <= to) return true;
    return false;
}

bool compress_reconstruct(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) {
    *changed = 0;
    rebuild k = {.value = values};
    k.rng = num_rng_seed((uint64_t)number(&k, "seed"), 77);
    bool ok = blockwise_open(&k.b, r, calib, job, err) && open_layers(&k, err);
    int window = (int)number(&k, "window"), last = k.b.blocks > window ? k.b.blocks - window : 0;
    for (int b = 0; ok && b <= last; b++) {
        int to = b + window - 1 < k.b.blocks ? b + window - 1 : k.b.blocks - 1;
        if (holds_layer(&k, b, to)) ok = visit_window(&k, b, to, changed, err);
        base_progress(job, "blocks", b + 1, last + 1, NAN);
    }
    for (int i = 0; ok && i < k.count; i++) ok = keep_layer(&k, &k.layers[i], err);
    close_layers(&k);
    blockwise_close(&k.b);
    return ok;
}
