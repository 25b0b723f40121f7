// permute_channels: channels, hidden units and heads put in the order of their importance, in every layer that makes or
// reads them at once, so that the function stays and nothing is stored. Groups of inputs that share a scale then hold
// inputs of one size (the reorder of RPTQ, Yuan et al., arXiv 2304.01089, section 4.2, and of GPTQ's act-order with
// groups, arXiv 2210.17323; here folded as RPTQ folds it).
#include "compress/rewrite/rewrite.h"
#include "compress/shrink/couple.h"

#include <math.h>
#include <stdlib.h>

static const base_arg args[] = {
    {"order", BASE_TEXT, 0, 0, 0, "auto", "auto|act|weight|random",
     "falling second moment of what the readers get, their largest |w|, or any; auto: act with samples, else weight"},
    {"seed", BASE_INT, 1, 0, 9007199254740992.0, NULL, NULL, "order=random: of the order"},
};

typedef struct permute_work {
    rewrite *r;
    const couple *c;
    engine_stream *stream; // NULL: no samples are looked at
    int32_t *rank;         // [places]
} permute_work;

static const char *order_of(const rewrite *r) {
    if (rewrite_is(r, "order", "auto")) return r->calib ? "act" : "weight";
    return rewrite_is(r, "order", "act") ? "act" : rewrite_is(r, "order", "weight") ? "weight" : "random";
}

static const model_layer *layer_at(const model *m, int node) {
    for (int i = 0; i < m->layer_count; i++)
        if (m->layers[i].weight == m->graph->nodes[node].param[0]) return &m->layers[i];
    return NULL;
}

// key[unit] of one reader: summed second moments of its inputs, or its largest |w|.
static bool add_reader(permute_work *k, const couple_group *g, int node, double *key, base_err *err) {
    const model *m = k->r->m;
    const model_layer *l = layer_at(m, node);
    int32_t *unit = base_calloc((size_t)l->in + 1, sizeof *unit);
    const float *w = m->weights[l->weight];
    couple_inputs(k->c, g, node, unit);
    bool ok = true;
    if (k->stream) {
        float *h = base_big_alloc((size_t)(l->in * l->in), sizeof *h, "the second moment of a layer's inputs", err);
        ok = h && engine_stream_gram(k->stream, node, h, k->r->job, err);
        for (int64_t i = 0; ok && i < l->in; i++)
            if (unit[i] >= 0) key[unit[i]] += (double)h[i * l->in + i];
        base_big_free(h);
    }
    for (int64_t i = 0; !k->stream && i < l->out * l->in; i++) {
        int32_t u = unit[i % l->in];
        if (u >= 0) key[u] = fmax(key[u], fabs((double)w[i]));
    }
    free(unit);
    return ok;
}

typedef struct ranked {
    double key;
    int unit;
} ranked;

// Falling key; equal ones stay in order.
static int by_key(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key ? -1 : 1) : x->unit < y->unit ? -1 : x->unit > y->unit;
}

// Units of one layout by falling key; the others keep no rank.
static void rank_layout(permute_work *k, const couple_group *g, const double *key, const int32_t *layout, int which) {
    ranked *list = base_calloc((size_t)g->unit_count, sizeof *list);
    int n = 0;
    for (int u = 0; u < g->unit_count; u++)
        if (layout[u] == which) list[n++] = (ranked){key[u], u};
    qsort(list, (size_t)n, sizeof *list, by_key);
    for (int i = 0; i < n; i++) k->rank[g->unit[list[i].unit]] = i;
    free(list);
}

static bool order_group(permute_work *k, const couple_group *g, const double *key, base_err *err) {
    int64_t places = k->c->at[k->r->m->graph->value_count];
    int32_t *layout = base_calloc((size_t)g->unit_count, sizeof *layout);
    int layouts = couple_layouts(k->c, g, layout);
    bool ok = true;
    for (int u = 0; ok && u < g->unit_count; u++)
        ok = isfinite(key[u]) || base_fail(err, "%s: the importance of its channels is NaN or too large", g->name);
    for (int i = 0; ok && i < layouts; i++) {
        for (int64_t p = 0; p < places; p++) k->rank[p] = -1;
        rank_layout(k, g, key, layout, i);
        ok = couple_reorder(k->c, k->rank, k->r->d, err);
    }
    free(layout);
    if (!ok) return false;
    base_log(k->r->job, BASE_INFO, "permute_channels: %s: %d %s in order%s", g->name, g->unit_count,
             g->heads ? "heads" : "channels", layouts > 1 ? ", those of each layout among themselves" : "");
    k->r->folded++;
    return true;
}

// Readers in the order of the graph, since samples stream past them once. key[group] -> [units].
static bool measure(permute_work *k, const couple_group *g, int groups, double **key, base_err *err) {
    for (int node = 0; node < k->r->m->graph->node_count; node++)
        for (int i = 0; i < groups; i++)
            for (int r = 0; r < g[i].reader_count; r++) {
                if (g[i].reader[r] != node) continue;
                if (k->stream && !engine_stream_advance(k->stream, node, k->r->job, err)) return false;
                if (!base_go_on(k->r->job, err) || !add_reader(k, &g[i], node, key[i], err)) return false;
            }
    return true;
}

static bool order_groups(permute_work *k, const couple_group *g, int groups, base_err *err) {
    double **key = base_calloc((size_t)groups + 1, sizeof *key);
    num_rng rng = num_rng_seed((uint64_t)rewrite_number(k->r, "seed"), 73);
    bool random = rewrite_is(k->r, "order", "random"), ok = true;
    for (int i = 0; i < groups; i++) {
        key[i] = base_calloc((size_t)g[i].unit_count, sizeof **key);
        for (int u = 0; random && u < g[i].unit_count; u++) key[i][u] = num_rng_unit(&rng);
    }
    ok = random || measure(k, g, groups, key, err);
    for (int i = 0; ok && i < groups; i++) ok = order_group(k, &g[i], key[i], err);
    for (int i = 0; i < groups; i++) free(key[i]);
    free(key);
    return ok;
}

static bool apply(rewrite *r, base_err *err) {
    couple c;
    if (!couple_make(&c, r->m, err)) return false;
    permute_work k = {.r = r, .c = &c};
    int64_t places = c.at[r->m->graph->value_count];
    bool act = order_of(r)[0] == 'a', ok = true;
    if (act && !r->calib) ok = base_fail(err, "order = \"act\" needs samples: give a part of a dataset");
    if (ok && act) ok = (k.stream = engine_stream_open(r->m, r->m->weights, r->calib, err)) != NULL;
    k.rank = base_calloc((size_t)places + 1, sizeof *k.rank);
    int count = 0;
    couple_group *g = couple_groups(&c, &count);
    ok = ok && order_groups(&k, g, count, err);
    if (ok && !count)
        ok = base_fail(err, "no layer's outputs can be put in another order: norms, sums with the input or the output "
                            "hold all of them");
    couple_groups_free(g, count);
    if (k.stream) engine_stream_close(k.stream);
    free(k.rank);
    couple_free(&c);
    return ok;
}

const compress_rewrite rewrite_permute = {
    .name = "permute_channels",
    .help = "channels, hidden units and heads in the order of their importance, in all layers that share them",
    .about =
        "Rows of the layers that make the channels, entries of the batch norms between, inputs of the layers that read "
        "them\n"
        "change places together: the function stays, no order is stored. act: falling second moment of what the "
        "readers "
        "get;\n"
        "weight: falling largest |w| of the readers. With quantize{group=...} groups then hold inputs of one size.\n"
        "Channels that a residual sum ties move in all its layers; those of the stream of a transformer, which norms "
        "hold,\n"
        "stay. A key and value head moves with the query heads that use it. The step permute does it to one layer and "
        "stores the order.",
    .source = "RPTQ (Yuan et al., arXiv 2304.01089), section 4.2; act-order: GPTQ (arXiv 2210.17323)",
    .cost = "weight: no data (samples only serve the check); act: calibration samples, one forward pass",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .data = COMPRESS_DATA_CHECKS,
    .apply = apply,
};
