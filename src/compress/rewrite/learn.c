// learn_rotation: a rotation of the residual stream and scales of the channels behind norms, up and value layers,
// learned so that rounding the weights costs least (Hu et al., OSTQuant, ICLR 2025, arXiv 2501.13987). The rotation
// moves along the orthogonal matrices by Cayley steps with momentum, the scales by their logarithms; a step that does
// not lower the error is halved or left. All of it is folded.
#include "compress/rewrite/learn.h"

#include "compress/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const base_arg args[] = {
    {"bits", BASE_INT, 4, 2, 8, NULL, NULL, "bits of the symmetric grid that the weights will be rounded to"},
    {"group", BASE_INT, 0, 0, 1 << 30, NULL, NULL, "neighbouring weights that share a scale; 0: a whole row"},
    {"steps", BASE_INT, 60, 0, 100000, NULL, NULL, "steps of the rotation and of the scales"},
    {"objective", BASE_TEXT, 0, 0, 0, "error", "error|kl",
     "kl: each layer's error counts by the divergence of the logits that rounding it alone causes; error: all the "
     "same"},
    {"scales", BASE_BOOL, 1, 0, 1, NULL, NULL, "learns scales of channels too"},
    {"start", BASE_TEXT, 0, 0, 0, "best", "best|identity|hadamard|random",
     "the first rotation; best: the one of identity and hadamard with the lower error"},
    {"seed", BASE_INT, 1, 0, 9007199254740992.0, NULL, NULL, "draws the first rotation"},
};

// ---- what counts -----------------------------------------------------------------------------------

static void learn_free(learn *l) {
    for (int k = 0; k < l->h_count; k++) base_big_free(l->h[k]);
    for (int k = 0; k < l->scale_count; k++) {
        rewrite_pair_free(&l->scale[k].pair);
        free(l->scale[k].log);
    }
    free(l->h);
    free(l->h_value);
    free(l->scale);
    free(l->layer);
    base_big_free(l->q);
}

static bool listed(const int *list, int count, int node) {
    for (int k = 0; k < count; k++)
        if (list[k] == node) return true;
    return false;
}

static void add_layer(learn *l, const model_draft *d, int node, int role) {
    const model_draft_param *p = &d->params[d->nodes[node].param[0]];
    l->layer[l->layer_count++] = (learn_layer){
        .role = role, .node = node, .w = p->x, .rows = p->shape.dim[0], .cols = p->shape.dim[1], .scale = -1};
}

static bool add_layers(learn *l, const model_draft *d, const rewrite_stream *s, base_err *err) {
    l->layer = base_calloc((size_t)d->node_count + 1, sizeof *l->layer);
    for (int k = 0; k < d->node_count; k++) {
        bool reads = listed(s->reader, s->reader_count, k), writes = listed(s->writer, s->writer_count, k);
        if (reads && writes)
            return base_fail(err, "'%s' reads and writes the residual stream; both sides at once are not learned",
                             d->nodes[k].name);
        if (reads) add_layer(l, d, k, LEARN_READER);
        if (writes && d->nodes[k].op == MODEL_LINEAR) add_layer(l, d, k, LEARN_WRITER);
        if (writes && d->nodes[k].op == MODEL_EMBEDDING) add_layer(l, d, k, LEARN_TABLE);
    }
    return true;
}

static learn_scale *new_scale(learn *l, int64_t count) {
    l->scale = base_realloc(l->scale, (size_t)l->scale_count + 1, sizeof *l->scale);
    l->scale[l->scale_count] =
        (learn_scale){.norm = -1, .count = count, .log = base_calloc((size_t)count + 1, sizeof(double))};
    return &l->scale[l->scale_count++];
}

static int layer_of(const learn *l, int node) {
    for (int k = 0; k < l->layer_count; k++)
        if (l->layer[k].node == node) return k;
    return -1;
}

// Scales behind each norm, in the stream's channels as they are rotated.
static void add_norm_scales(learn *l, const model_draft *d, const rewrite_stream *s) {
    for (int k = 0; k < s->norm_count; k++) {
        int value = d->nodes[s->norm[k]].out[0];
        new_scale(l, s->width)->norm = s->norm[k];
        for (int i = 0; i < l->layer_count; i++)
            if (l->layer[i].role == LEARN_READER && d->nodes[l->layer[i].node].in[0] == value)
                l->layer[i].scale = l->scale_count - 1;
    }
}

// Scales between a layer and the one writer that reads it, channel by channel (up -> down; value -> output unless heads
// share values).
static void add_pair_scales(learn *l, const model_draft *d) {
    for (int k = 0; k < d->node_count; k++) {
        if (d->nodes[k].op != MODEL_LINEAR || !model_draft_live(d, k)) continue;
        rewrite_pair p;
        rewrite_pair_find(d, k, &p);
        int at = p.reader_count == 1 ? layer_of(l, p.reader[0].node) : -1;
        bool plain = at >= 0 && l->layer[at].role == LEARN_WRITER && p.free_channels == p.channels &&
                     p.reader[0].count == p.channels;
        for (int64_t c = 0; plain && c < p.channels; c++) plain = p.reader[0].from[c] == c;
        if (!plain) {
            rewrite_pair_free(&p);
            continue;
        }
        new_scale(l, p.channels)->pair = p;
        l->layer[at].scale = l->scale_count - 1;
    }
}

// Second moments of what the layers read, one for all that read the same value.
static bool measure(learn *l, rewrite *r, base_err *err) {
    const model *m = r->between;
    engine_stream *s = engine_stream_open(m, m->weights, r->calib, err);
    bool ok = s != NULL;
    l->h = base_calloc((size_t)l->layer_count + 1, sizeof *l->h);
    l->h_value = base_calloc((size_t)l->layer_count + 1, sizeof *l->h_value);
    for (int k = 0; ok && k < l->layer_count; k++) {
        learn_layer *y = &l->layer[k];
        int value = r->d->nodes[y->node].in[0], have = 0;
        while (have < l->h_count && l->h_value[have] != value) have++;
        if (have == l->h_count) {
            int64_t n = y->role == LEARN_TABLE ? y->rows : y->cols * y->cols;
            float *h = base_big_alloc((size_t)n, sizeof *h, "second moments", err);
            double *wide = base_big_alloc((size_t)n, sizeof *wide, "second moments", err);
            ok = h && wide && engine_stream_advance(s, y->node, r->job, err) &&
                 engine_stream_gram(s, y->node, h, r->job, err);
            // Rows of a table that the samples never read count a little too.
            for (int64_t i = 0; ok && i < n; i++)
                wide[i] = (double)h[i] + (y->role == LEARN_TABLE ? 0.01 / (double)n : 0);
            base_big_free(h);
            l->h[l->h_count] = wide;
            l->h_value[l->h_count++] = value;
            base_progress(r->job, "measuring inputs", k + 1, l->layer_count, NAN);
        }
        y->h = l->h[have];
    }
    if (s) engine_stream_close(s);
    return ok;
}

// tr(W H W^T)
static bool reference(learn_layer *y, base_err *err) {
    int64_t count = y->rows * y->cols;
    double *w = base_big_alloc((size_t)(2 * count), sizeof *w, "a weight", err);
    if (!w) return false;
    for (int64_t i = 0; i < count; i++) w[i] = (double)y->w[i];
    if (y->role != LEARN_TABLE)
        num_dgemm(false, false, y->rows, y->cols, y->cols, 1, w, y->cols, y->h, y->cols, 0, w + count, y->cols);
    for (int64_t i = 0; i < count; i++)
        y->reference += y->role == LEARN_TABLE ? y->h[i / y->cols] * w[i] * w[i] : w[i] * w[count + i];
    base_big_free(w);
    return true;
}

// KL(network || this layer alone rounded) over the layer's relative error: to second order the divergence grows as the
// error does, so the weighted errors add up to an estimate of it.
static bool weigh(learn *l, learn_layer *y, rewrite *r, const data_view *few, base_err *err) {
    const model *m = r->between;
    const float **w = base_calloc((size_t)m->weight_count + 1, sizeof *w);
    float *rounded = base_big_alloc((size_t)(y->rows * y->cols), sizeof *rounded, "a rounded weight", err);
    base_model_row row = {0};
    double error = 0;
    for (int k = 0; k < m->weight_count; k++) w[k] = m->weights[k];
    w[m->graph->nodes[y->node].param[0]] = rounded;
    bool ok = rounded && learn_rounded(l, y, rounded, &error, err) &&
              engine_measure(m, w, m->weights, few, &row, r->job, err);
    y->weight = ok && error > 0 && isfinite(row.kl) ? fmax(row.kl, 0) / error : 0;
    base_big_free(rounded);
    free(w);
    return ok;
}

enum { FEW_SEQUENCES = 16, FEW_SAMPLES = 128 };

static bool weigh_all(learn *l, rewrite *r, base_err *err) {
    for (int k = 0; k < l->layer_count; k++) l->layer[k].weight = 1.0 / l->layer_count;
    if (rewrite_is(r, "objective", "error")) return true;
    int64_t most = r->m->graph->input_kind == DATA_TOKENS ? FEW_SEQUENCES : FEW_SAMPLES;
    data_view *few = data_view_range(r->calib, 0, r->calib->count < most ? r->calib->count : most, err);
    bool ok = few != NULL;
    for (int k = 0; ok && k < l->layer_count; k++) {
        ok = weigh(l, &l->layer[k], r, few, err);
        base_progress(r->job, "weighing layers", k + 1, l->layer_count, NAN);
    }
    data_view_free(few);
    return ok;
}

static void identity(learn *l) {
    memset(l->q, 0, (size_t)(l->n * l->n) * sizeof *l->q);
    for (int64_t i = 0; i < l->n; i++) l->q[i * l->n + i] = 1;
}

static bool prepare(learn *l, rewrite *r, const rewrite_stream *s, base_err *err) {
    l->n = s->width;
    l->bits = (int64_t)rewrite_number(r, "bits");
    l->group = (int64_t)rewrite_number(r, "group");
    l->q = base_big_alloc((size_t)(l->n * l->n), sizeof *l->q, "a rotation", err);
    if (!l->q || !add_layers(l, r->d, s, err)) return false;
    if (rewrite_number(r, "scales") != 0) {
        add_norm_scales(l, r->d, s);
        add_pair_scales(l, r->d);
    }
    bool ok = measure(l, r, err);
    for (int k = 0; ok && k < l->layer_count; k++) ok = reference(&l->layer[k], err);
    identity(l);
    return ok && weigh_all(l, r, err);
}

// ---- the first rotation ----------------------------------------------------------------------------

static bool known_rotation(learn *l, int form, uint64_t seed, base_err *err) {
    rotation q;
    if (!rotation_open(&q, form, l->n, seed, err)) return false;
    double *spare = base_calloc((size_t)l->n, sizeof *spare);
    identity(l);
    for (int64_t i = 0; i < l->n; i++) rotation_apply(&q, l->q + i * l->n, spare, false);
    free(spare);
    rotation_close(&q);
    return true;
}

static bool start(learn *l, rewrite *r, double *plain, base_err *err) {
    uint64_t seed = (uint64_t)rewrite_number(r, "seed");
    double turned = INFINITY;
    identity(l);
    if (!learn_error(l, plain, NULL, NULL, r->job, err)) return false;
    if (rewrite_is(r, "start", "identity")) return true;
    if (rewrite_is(r, "start", "random")) return known_rotation(l, MAP_RANDOM, seed, err);
    base_err no_hadamard = {0};
    if (!known_rotation(l, map_hadamard_for(l->n), seed, &no_hadamard)) {
        identity(l);
        if (rewrite_is(r, "start", "hadamard")) return base_fail(err, "%s", no_hadamard.text);
        return true;
    }
    if (rewrite_is(r, "start", "hadamard")) return true;
    if (!learn_error(l, &turned, NULL, NULL, r->job, err)) return false;
    if (turned >= *plain) identity(l);
    return true;
}

// ---- descent ---------------------------------------------------------------------------------------

static const double momentum = 0.9;
enum { HALVINGS = 6 };

// Gradient, direction with momentum, and length of the steps along the rotation and along the scales.
typedef struct descent {
    learn *l;
    base_job *job;
    double error;
    double *gq, *skew, *along, *trial; // [n x n]
    double **gs, **ds;                 // [scale_count][count]
    double step, scale_step;           // 0: not known yet
} descent;

static double inner(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// along = momentum * along + gradient, or the gradient where that would climb.
static void carry(double *along, const double *gradient, int64_t n) {
    for (int64_t i = 0; i < n; i++) along[i] = momentum * along[i] + gradient[i];
    if (inner(along, gradient, n) <= 0) memcpy(along, gradient, (size_t)n * sizeof *along);
}

// Skew part of the gradient, G Q^T - Q G^T; the error falls along -skew Q.
static void make_skew(descent *t) {
    int64_t n = t->l->n;
    num_dgemm(false, true, n, n, n, 1, t->gq, n, t->l->q, n, 0, t->trial, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) t->skew[i * n + j] = t->trial[i * n + j] - t->trial[j * n + i];
}

static bool turn(descent *t, bool *moved, base_err *err) {
    learn *l = t->l;
    int64_t n = l->n, all = n * n;
    make_skew(t);
    carry(t->along, t->skew, all);
    double length = sqrt(inner(t->along, t->along, all)), error;
    if (!(length > 0)) return true;
    if (t->step <= 0) t->step = 0.1 * sqrt((double)n) / length;
    for (int k = 0; k < HALVINGS; k++, t->step /= 2) {
        if (!learn_cayley(n, t->along, t->step, l->q, t->trial, err)) return false;
        double *was = l->q;
        l->q = t->trial;
        bool ok = learn_error(l, &error, NULL, NULL, t->job, err);
        t->trial = was;
        if (ok && error < t->error) {
            t->error = error;
            t->step *= 1.5;
            *moved = true;
            return true;
        }
        t->trial = l->q;
        l->q = was;
        if (!ok) return false;
    }
    memset(t->along, 0, (size_t)all * sizeof *t->along);
    return true;
}

static void add_scales(learn *l, double *const *direction, double step) {
    for (int k = 0; k < l->scale_count; k++)
        for (int64_t i = 0; i < l->scale[k].count; i++) l->scale[k].log[i] += step * direction[k][i];
}

static bool stretch(descent *t, bool *moved, base_err *err) {
    learn *l = t->l;
    double most = 0, error;
    for (int k = 0; k < l->scale_count; k++) {
        carry(t->ds[k], t->gs[k], l->scale[k].count);
        for (int64_t i = 0; i < l->scale[k].count; i++) most = fmax(most, fabs(t->ds[k][i]));
    }
    if (!(most > 0)) return true;
    if (t->scale_step <= 0) t->scale_step = 0.1 / most;
    for (int k = 0; k < HALVINGS; k++, t->scale_step /= 2) {
        add_scales(l, t->ds, -t->scale_step);
        if (!learn_error(l, &error, NULL, NULL, t->job, err)) return false;
        if (error < t->error) {
            t->error = error;
            t->scale_step *= 1.5;
            *moved = true;
            return true;
        }
        add_scales(l, t->ds, t->scale_step);
    }
    for (int k = 0; k < l->scale_count; k++) memset(t->ds[k], 0, (size_t)l->scale[k].count * sizeof **t->ds);
    return true;
}

static bool descend(descent *t, int64_t steps, base_err *err) {
    learn *l = t->l;
    bool ok = learn_error(l, &t->error, NULL, NULL, t->job, err);
    int still = 0;
    for (int64_t k = 0; ok && k < steps && still < 3; k++) {
        bool moved = false;
        double error;
        ok = learn_error(l, &error, t->gq, t->gs, t->job, err) && turn(t, &moved, err) &&
             (!l->scale_count || stretch(t, &moved, err));
        still = moved ? 0 : still + 1;
        base_progress(t->job, "learning the rotation", k + 1, steps, NAN);
    }
    return ok;
}

static bool descent_run(learn *l, int64_t steps, double *error, base_job *job, base_err *err) {
    size_t all = (size_t)(l->n * l->n);
    descent t = {.l = l, .job = job};
    t.gs = base_calloc((size_t)l->scale_count + 1, sizeof *t.gs);
    t.ds = base_calloc((size_t)l->scale_count + 1, sizeof *t.ds);
    for (int k = 0; k < l->scale_count; k++) {
        t.gs[k] = base_calloc((size_t)l->scale[k].count + 1, sizeof **t.gs);
        t.ds[k] = base_calloc((size_t)l->scale[k].count + 1, sizeof **t.ds);
    }
    t.gq = base_big_alloc(3 * all, sizeof *t.gq, "the gradient of a rotation", err);
    t.trial = t.gq ? base_big_alloc(all, sizeof *t.trial, "a rotation", err) : NULL;
    bool ok = t.trial != NULL;
    if (ok) {
        t.skew = t.gq + all;
        t.along = t.skew + all;
        ok = descend(&t, steps, err);
        *error = t.error;
    }
    for (int k = 0; k < l->scale_count; k++) {
        free(t.gs[k]);
        free(t.ds[k]);
    }
    free(t.gs);
    free(t.ds);
    base_big_free(t.gq);
    base_big_free(t.trial);
    return ok;
}

// ---- quantisation space utilisation ----------------------------------------------------------------

// QSUR of N(0, cov) (section 3.1): volume of its ellipsoid over that of the cube that a common grid spans, here the
// least cube that holds the ellipsoid; its d-th root, which is 1 / 2 (ball of volume 1 over its diameter) at best.
static bool qsur(double *cov, int64_t d, double *value, base_err *err) {
    double *w = base_big_alloc((size_t)d, sizeof *w, "eigenvalues", err), most = 0, trace = 0, logs = 0;
    if (!w) return false;
    for (int64_t i = 0; i < d; i++) {
        most = fmax(most, cov[i * d + i]);
        trace += cov[i * d + i];
    }
    bool ok = num_deigh(d, cov, w, NULL, err);
    for (int64_t i = 0; ok && i < d; i++) logs += log(fmax(w[i], 1e-9 * trace / (double)d)) / 2;
    double n = (double)d, ball = n / 2 * log(acos(-1)) - lgamma(n / 2 + 1);
    *value = ok && most > 0 ? exp((ball + logs) / n) / (2 * sqrt(most)) : NAN;
    base_big_free(w);
    return ok;
}

// Mean over readers of the QSUR of their inputs x Q / t and of their weight's rows W Q t.
static bool utilisation(const learn *l, double *inputs, double *weights, base_err *err) {
    int64_t n = l->n, count = 0;
    double *memory = base_big_alloc((size_t)(3 * n * n), sizeof *memory, "second moments", err), value;
    double *cov = memory, *left = memory + n * n, *gram = left + n * n;
    bool ok = memory != NULL;
    *inputs = *weights = 0;
    for (int k = 0; ok && k < l->layer_count; k++) {
        const learn_layer *y = &l->layer[k];
        if (y->role != LEARN_READER) continue;
        const double *logs = y->scale >= 0 ? l->scale[y->scale].log : NULL;
        count++;
        for (int pass = 0; ok && pass < 2; pass++) {
            memset(gram, 0, (size_t)(n * n) * sizeof *gram);
            for (int64_t i = 0; pass && i < y->rows; i++)
                for (int64_t a = 0; a < n; a++)
                    for (int64_t b = 0; b < n; b++)
                        gram[a * n + b] += (double)y->w[i * n + a] * (double)y->w[i * n + b];
            num_dgemm(true, false, n, n, n, 1, l->q, n, pass ? gram : y->h, n, 0, left, n);
            num_dgemm(false, false, n, n, n, 1, left, n, l->q, n, 0, cov, n);
            for (int64_t i = 0; logs && i < n * n; i++) cov[i] *= exp((pass ? 1 : -1) * (logs[i / n] + logs[i % n]));
            ok = qsur(cov, n, &value, err);
            *(pass ? weights : inputs) += value;
        }
    }
    *inputs /= (double)count;
    *weights /= (double)count;
    base_big_free(memory);
    return ok;
}

// ---- folding ---------------------------------------------------------------------------------------

static bool fold_scale(rewrite *r, const learn *l, int which, base_err *err) {
    const learn_scale *s = &l->scale[which];
    double *t = base_calloc((size_t)s->count + 1, sizeof *t);
    for (int64_t i = 0; i < s->count; i++) t[i] = exp(s->log[i]);
    bool ok = true;
    if (s->norm < 0) {
        ok = rewrite_pair_scale(r->d, &s->pair, t, err);
    } else {
        float *gain = model_draft_gain(r->d, s->norm, err);
        for (int64_t i = 0; gain && i < s->count; i++) gain[i] = (float)((double)gain[i] / t[i]);
        ok = gain != NULL;
        for (int k = 0; ok && k < l->layer_count; k++) {
            if (l->layer[k].scale != which) continue;
            float *w = model_draft_write(r->d, r->d->nodes[l->layer[k].node].param[0], err);
            ok = w != NULL;
            for (int64_t i = 0; ok && i < l->layer[k].rows * s->count; i++)
                w[i] = (float)((double)w[i] * t[i % s->count]);
        }
    }
    free(t);
    return ok;
}

static bool fold(rewrite *r, const learn *l, const rewrite_stream *s, base_err *err) {
    rewrite_turn q = {.dense = l->q};
    bool ok = rewrite_stream_turn(r->d, s, &q, err);
    for (int k = 0; ok && k < l->scale_count; k++) ok = fold_scale(r, l, k, err);
    r->folded = s->reader_count + s->writer_count;
    return ok;
}

// The norms' weights go first, into a model between, whose inputs are then measured.
static bool strip(rewrite *r, base_err *err) {
    rewrite_stream s;
    if (!rewrite_stream_find(r->d, &s, err)) return false;
    bool ok = rewrite_stream_strip(r->d, &s, NULL, err);
    rewrite_stream_free(&s);
    r->between = ok ? model_draft_finish(r->d, err) : NULL;
    model_draft_free(r->d);
    r->d = r->between ? model_draft_new(r->between, err) : NULL;
    return r->d != NULL;
}

static bool apply(rewrite *r, base_err *err) {
    rewrite_stream s = {0};
    learn l = {0};
    double plain, error, inputs[2], weights[2];
    bool ok = strip(r, err) && rewrite_stream_find(r->d, &s, err) && prepare(&l, r, &s, err);
    ok = ok && utilisation(&l, &inputs[0], &weights[0], err) && start(&l, r, &plain, err) &&
         descent_run(&l, (int64_t)rewrite_number(r, "steps"), &error, r->job, err) &&
         utilisation(&l, &inputs[1], &weights[1], err) && fold(r, &l, &s, err);
    if (ok) {
        base_log(r->job, BASE_INFO, "learn_rotation: %s of %lld-bit rounding over %d layers %.3e -> %.3e",
                 rewrite_is(r, "objective", "kl") ? "sum of the divergences that layers cause" : "mean output error",
                 (long long)l.bits, l.layer_count, plain, error);
        base_log(
            r->job, BASE_INFO,
            "learn_rotation: QSUR (d-th root, mean over the layers that read the stream) of inputs %.4f -> %.4f, of "
            "weights %.4f -> %.4f",
            inputs[0], inputs[1], weights[0], weights[1]);
    }
    learn_free(&l);
    rewrite_stream_free(&s);
    return ok;
}

const compress_rewrite rewrite_learn = {
    .name = "learn_rotation",
    .help = "OSTQuant: a rotation of the residual stream and scales of channels, learned and folded",
    .about =
        "Minimises the weighted sum over layers of tr(E H E^T) / tr(W H W^T), E the error of rounding the rotated and "
        "scaled\n"
        "weight to nearest on a symmetric grid (gptq's: range = \"minmax\"), over an orthogonal Q (the stream x "
        "becomes x Q) and scales behind "
        "each\n"
        "norm and between layers (up -> down, value -> output). The gradient holds the codes fixed; Q moves by Cayley\n"
        "steps Q := (I + X)^-1 (I - X) Q, X skew, with momentum; a step that does not lower the error is halved. Norm\n"
        "weights are folded first, and come back as the inverse scales. The log has the error and the quantisation "
        "space\n"
        "utilisation rate (QSUR) before and after. The authors train on the KL of the logits with activations "
        "quantised too;\n"
        "here weights only, and objective = \"kl\" weighs each layer's error by the divergence that rounding it alone\n"
        "causes, so that the sum estimates the whole.",
    .source = "Hu et al., OSTQuant, ICLR 2025, arXiv 2501.13987; Cayley steps: Wen and Yin, Math. Programming 2013",
    .cost = "calibration samples; a step costs about four products of every weight with the rotation",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .data = COMPRESS_DATA_NEEDED,
    .apply = apply,
};
