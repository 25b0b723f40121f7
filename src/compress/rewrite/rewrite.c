// rewrite: folding maps into a network. A rewrite changes a draft of the model; the new model is used only after its
// outputs were compared with the original's.
#include "compress/rewrite/rewrite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const compress_rewrite *const compress_rewrites[] = {&rewrite_norms,  &rewrite_equalise, &rewrite_absorb,
                                                     &rewrite_smooth, &rewrite_rotate,   &rewrite_learn,
                                                     &rewrite_permute};
const size_t compress_rewrite_count = sizeof compress_rewrites / sizeof *compress_rewrites;

const compress_rewrite *compress_rewrite_find(const char *name) {
    for (size_t i = 0; i < compress_rewrite_count; i++)
        if (!strcmp(compress_rewrites[i]->name, name)) return compress_rewrites[i];
    return NULL;
}

static const base_value *value_of(const rewrite *r, const char *arg) {
    size_t i = 0;
    while (i < r->kind->arg_count && strcmp(r->kind->args[i].name, arg) != 0) i++;
    BASE_CHECK(i < r->kind->arg_count);
    return &r->value[i];
}

double rewrite_number(const rewrite *r, const char *arg) {
    return value_of(r, arg)->number;
}

bool rewrite_is(const rewrite *r, const char *arg, const char *text) {
    return !strcmp(value_of(r, arg)->text, text);
}

void rewrite_leave(rewrite *r, const char *fmt, ...) {
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    base_log(r->job, BASE_INFO, "%s: not folded: %s", r->kind->name, text);
    size_t have = strlen(r->why);
    if (r->left++ < 3) snprintf(r->why + have, sizeof r->why - have, "%s%s", have ? "; " : "", text);
}

// ---- comparing -------------------------------------------------------------------------------------

// What both networks are given.
typedef struct probe {
    data_batch batch;
    float *out[2];
    size_t count;
} probe;
enum { PROBE_IMAGES = 16, PROBE_SEQUENCES = 4, PROBE_TOKENS = 128 };
static const double exact = 1e-5; // of the largest |logit|: what a rewrite that changes nothing may differ by

static void probe_free(probe *p) {
    data_batch_free(&p->batch);
    base_big_free(p->out[0]);
    base_big_free(p->out[1]);
}

static int64_t vocabulary(const model_graph *g) {
    int64_t least = INT32_MAX;
    for (int k = 0; k < g->node_count; k++)
        if (g->nodes[k].op == MODEL_EMBEDDING && g->nodes[k].in[0] == 0 &&
            g->nodes[k].attr[EMBEDDING_COUNT] < (double)least)
            least = (int64_t)g->nodes[k].attr[EMBEDDING_COUNT];
    return least;
}

// Normal values, or tokens all equally likely: for a model that comes without data.
static bool draw(const model *m, data_batch *b, base_err *err) {
    const model_graph *g = m->graph;
    num_rng rng = num_rng_seed(1, 71);
    b->kind = g->input_kind;
    b->count = g->input_kind == DATA_TOKENS ? PROBE_SEQUENCES : PROBE_IMAGES;
    if (g->input_kind == DATA_FEATURES) {
        size_t n = (size_t)(b->count * model_shape_count(&g->input));
        b->x = base_big_alloc(n, sizeof *b->x, "drawn samples", err);
        for (size_t i = 0; b->x && i < n; i++) b->x[i] = (float)num_rng_normal(&rng);
        return b->x != NULL;
    }
    b->length = g->context < PROBE_TOKENS ? g->context : PROBE_TOKENS;
    int64_t n = b->count * b->length, words = vocabulary(g);
    b->tokens = base_big_alloc((size_t)n, sizeof *b->tokens, "drawn samples", err);
    b->lengths = base_big_alloc((size_t)b->count, sizeof *b->lengths, "drawn samples", err);
    if (!b->tokens || !b->lengths) return false;
    for (int64_t i = 0; i < n; i++) b->tokens[i] = (int32_t)num_rng_below(&rng, (uint32_t)words);
    for (int64_t i = 0; i < b->count; i++) b->lengths[i] = (int32_t)b->length;
    return true;
}

static bool probe_open(const model *m, const data_view *calib, probe *p, base_err *err) {
    bool tokens = m->graph->input_kind == DATA_TOKENS;
    int64_t most = tokens ? PROBE_SEQUENCES : PROBE_IMAGES;
    bool ok = calib ? data_fetch(calib, 0, calib->count < most ? calib->count : most, &p->batch, err)
                    : draw(m, &p->batch, err);
    if (!ok) return false;
    model_shape shapes = *model_graph_shape(m->graph, m->graph->output);
    shapes.dim[0] = p->batch.count;
    if (tokens) shapes.dim[1] = p->batch.length;
    p->count = (size_t)model_shape_count(&shapes);
    for (int k = 0; ok && k < 2; k++)
        ok = (p->out[k] = base_big_alloc(p->count, sizeof(float), "outputs to compare", err)) != NULL;
    return ok;
}

static double difference_of(const probe *p) {
    double most = 0, difference = 0;
    for (size_t i = 0; i < p->count; i++) {
        most = fmax(most, fabs((double)p->out[0][i]));
        difference = fmax(difference, fabs((double)p->out[0][i] - (double)p->out[1][i]));
    }
    return difference == 0 ? 0 : most > 0 ? difference / most : INFINITY;
}

bool compress_rewrite_compare(const model *a, const model *b, const data_view *calib, double *difference, base_job *job,
                              base_err *err) {
    probe p = {0};
    bool ok = probe_open(a, calib, &p, err) && engine_forward(a, a->weights, &p.batch, p.out[0], job, err) &&
              engine_forward(b, b->weights, &p.batch, p.out[1], job, err);
    if (ok) *difference = difference_of(&p);
    probe_free(&p);
    return ok;
}

// How far the original's own logits move when each weight is moved by half a unit in its last place, up or down: the
// rounding that no rewrite can avoid.
static bool rounding_of(const model *m, const data_view *calib, double *difference, base_job *job, base_err *err) {
    probe p = {0};
    float **w = base_calloc((size_t)m->weight_count + 1, sizeof *w);
    num_rng rng = num_rng_seed(1, 72);
    bool ok = probe_open(m, calib, &p, err);
    for (int k = 0; ok && k < m->weight_count; k++) {
        size_t n = (size_t)model_shape_count(&m->graph->params[k].shape);
        w[k] = base_big_alloc(n ? n : 1, sizeof **w, "weights to compare", err);
        ok = w[k] != NULL;
        for (size_t i = 0; ok && i < n; i++)
            w[k][i] = m->weights[k][i] * (1 + (num_rng_next(&rng) >> 31 ? 1.2e-7F : -1.2e-7F));
    }
    ok = ok && engine_forward(m, m->weights, &p.batch, p.out[0], job, err) &&
         engine_forward(m, (engine_weights)w, &p.batch, p.out[1], job, err);
    if (ok) *difference = difference_of(&p);
    for (int k = 0; k < m->weight_count; k++) base_big_free(w[k]);
    free(w);
    probe_free(&p);
    return ok;
}

// The limit is 1e-5; a network so deep or so ill-conditioned that rounding alone goes further is held to four times
// what its own rounding does, and that is said.
static bool check(rewrite *r, const model *now, base_err *err) {
    double difference = 0, rounding = 0, limit = r->limit;
    if (!compress_rewrite_compare(r->m, now, r->calib, &difference, r->job, err)) return false;
    if (!(difference <= limit) && r->limit == exact) {
        if (!rounding_of(r->m, r->calib, &rounding, r->job, err)) return false;
        limit = fmax(limit, 4 * rounding);
        if (difference <= limit)
            base_log(r->job, BASE_WARN,
                     "%s: moving the original's weights by one rounding already moves its logits by %.1e of the "
                     "largest; the limit is four times that instead of %.0e",
                     r->kind->name, rounding, exact);
    }
    const char *on = r->calib ? r->calib->label : "drawn samples";
    if (!(difference <= limit))
        return base_fail(err,
                         "the rewritten network's logits on %s differ by %.2e of the largest |logit|, more than the "
                         "%.1e allowed%s",
                         on, difference, limit,
                         r->limit != exact ? "" : "; this is an error of the rewrite, the network stays as it was");
    base_log(r->job, BASE_INFO,
             "%s: %d folded, %d left; logits on %s differ by %.1e of the largest |logit| (limit %.0e)", r->kind->name,
             r->folded, r->left, on, difference, limit);
    return true;
}

// ---- public ----------------------------------------------------------------------------------------

model *compress_rewrite_model(const compress_rewrite *kind, const model *m, const data_view *calib,
                              const base_value *values, base_job *job, base_err *err) {
    rewrite r = {.kind = kind, .m = m, .calib = calib, .value = values, .job = job, .limit = exact};
    if (calib && calib->count < 1) {
        base_fail(err, "%s: the part of the dataset has no samples", kind->name);
        return NULL;
    }
    if (!calib && kind->data == COMPRESS_DATA_NEEDED) {
        base_fail(err, "%s: it needs samples: give a part of a dataset, such as data.calib:sample(256)", kind->name);
        return NULL;
    }
    r.d = model_draft_new(m, err);
    bool ok = r.d && kind->apply(&r, err);
    if (ok && !r.folded && !r.none_needed)
        ok = base_fail(err, "there is nothing to fold in %s%s%s", m->name, r.why[0] ? ": " : "", r.why);
    model *now = ok ? model_draft_finish(r.d, err) : NULL;
    model_draft_free(r.d);
    model_close(r.between);
    if (now && !check(&r, now, err)) {
        model_close(now);
        now = NULL;
    }
    if (!now) base_wrap(err, "%s: ", kind->name);
    return now;
}
