// groups: the spaces of channels that can be cut, with who makes and who reads them, and the cut itself.
#include "compress/shrink/couple.h"

#include <stdlib.h>
#include <string.h>

static bool has_matrix(const model_node *n) {
    return n->op == MODEL_LINEAR || n->op == MODEL_CONV2D;
}

// A depthwise or grouped convolution passes channels on.
static bool passes(const model_graph *g, const model_node *n) {
    return n->op == MODEL_CONV2D && n->attr[CONV_GROUPS] > 1 && g->shapes[n->in[0]].dim[1] > 1;
}

static void find_units(const couple *c, couple_group *o) {
    const model_graph *g = c->m->graph;
    uint8_t *seen = base_calloc((size_t)c->at[g->value_count] + 1, 1);
    for (int v = 0; v < g->value_count; v++) {
        if (couple_space(c, v) != o->space) continue;
        for (int64_t i = c->at[v]; i < c->at[v + 1]; i++) {
            int32_t root = couple_root(c, i);
            if (seen[root] || c->pinned[root]) continue;
            seen[root] = 1;
            o->unit = base_realloc(o->unit, (size_t)o->unit_count + 1, sizeof *o->unit);
            o->unit[o->unit_count++] = root;
        }
    }
    free(seen);
}

static bool has_unit(const couple *c, int value, const uint8_t *mine) {
    for (int64_t i = c->at[value]; i < c->at[value + 1]; i++)
        if (mine[couple_root(c, i)]) return true;
    return false;
}

static void find_nodes(const couple *c, couple_group *o) {
    const model_graph *g = c->m->graph;
    uint8_t *mine = base_calloc((size_t)c->at[g->value_count] + 1, 1);
    for (int u = 0; u < o->unit_count; u++) mine[o->unit[u]] = 1;
    for (int k = 0; k < g->node_count; k++) {
        const model_node *n = &g->nodes[k];
        if (!has_matrix(n) || passes(g, n)) continue;
        if (couple_space(c, n->out[0]) == o->space) {
            if (!o->maker_count) o->name = n->name;
            o->maker = base_realloc(o->maker, (size_t)o->maker_count + 1, sizeof *o->maker);
            o->maker[o->maker_count++] = k;
        }
        if (has_unit(c, n->in[0], mine)) { // perhaps beside channels of other spaces
            o->reader = base_realloc(o->reader, (size_t)o->reader_count + 1, sizeof *o->reader);
            o->reader[o->reader_count++] = k;
        }
    }
    free(mine);
}

static void group_free(couple_group *g) {
    free(g->unit);
    free(g->maker);
    free(g->reader);
}

couple_group *couple_groups(const couple *c, int *count) {
    const model_graph *g = c->m->graph;
    couple_group *list = NULL;
    *count = 0;
    for (int v = 0; v < g->value_count; v++) {
        if (couple_space(c, v) != v) continue;
        couple_group o = {.space = v, .residual = c->residual[v], .heads = c->heads[v]};
        find_units(c, &o);
        if (o.unit_count > 1) find_nodes(c, &o);
        if (o.maker_count && o.reader_count) {
            list = base_realloc(list, (size_t)*count + 1, sizeof *list);
            list[(*count)++] = o;
        } else {
            group_free(&o);
        }
    }
    return list;
}

void couple_groups_free(couple_group *g, int count) {
    for (int i = 0; i < count; i++) group_free(&g[i]);
    free(g);
}

bool couple_may_go(const couple *c, const couple_group *g, const uint8_t *out, int unit) {
    bool may = true;
    uint8_t *gone = base_calloc((size_t)c->at[c->m->graph->value_count] + 1, 1);
    for (int u = 0; u < g->unit_count; u++) gone[g->unit[u]] = out[u] || u == unit;
    for (int v = 0; may && v < c->m->graph->value_count; v++) {
        if (couple_space(c, v) != g->space) continue;
        may = false;
        for (int64_t i = c->at[v]; !may && i < c->at[v + 1]; i++) may = !gone[couple_root(c, i)];
    }
    free(gone);
    return may;
}

static int32_t unit_index(const couple *c, const couple_group *g, int64_t place) {
    int32_t root = couple_root(c, place);
    for (int i = 0; i < g->unit_count; i++)
        if (g->unit[i] == root) return i;
    return -1;
}

void couple_inputs(const couple *c, const couple_group *g, int node, int32_t *unit_of) {
    const model_node *n = &c->m->graph->nodes[node];
    int64_t each = n->op == MODEL_CONV2D ? (int64_t)(n->attr[CONV_KH] * n->attr[CONV_KW]) : 1;
    int64_t channels = couple_channels(c, n->in[0]);
    for (int64_t i = 0; i < channels; i++) {
        int32_t u = unit_index(c, g, c->at[n->in[0]] + i);
        for (int64_t k = 0; k < each; k++) unit_of[i * each + k] = u;
    }
}

void couple_outputs(const couple *c, const couple_group *g, int node, int32_t *unit_of) {
    int value = c->m->graph->nodes[node].out[0];
    for (int64_t i = 0; i < couple_channels(c, value); i++) unit_of[i] = unit_index(c, g, c->at[value] + i);
}

// ---- the cut ---------------------------------------------------------------------------------------

typedef struct cut {
    const couple *c;
    const uint8_t *gone;
    const int32_t *rank; // [places] at the roots; NULL: what stays keeps its order
    model_draft *d;
    int64_t *keep; // room for the channels of any value
} cut;

// The channels of a value that stay, of those in [from, to).
static int64_t kept(const cut *k, int value, int64_t from, int64_t to) {
    int64_t n = 0;
    for (int64_t i = from; i < to; i++)
        if (!k->gone[couple_root(k->c, k->c->at[value] + i)]) k->keep[n++] = i;
    return n;
}

typedef struct place {
    int32_t run, rank;
    int64_t at;
} place;

static int by_rank(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->run != y->run) return x->run < y->run ? -1 : 1;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

// The places of a value that belong to ranked units, numbered by which run of neighbours of its unit each is in: the
// heads of q, k and v side by side are three runs of one unit. list [channels]; NULL: only counted.
static int64_t ranked_places(const couple *c, const int32_t *rank, int value, place *list) {
    int64_t n = 0, channels = couple_channels(c, value);
    int32_t *runs = base_calloc((size_t)c->at[c->m->graph->value_count] + 1, sizeof *runs), last = -1;
    for (int64_t i = 0; i < channels; i++) {
        int32_t root = couple_root(c, c->at[value] + i);
        if (root != last) runs[root]++;
        last = root;
        if (rank[root] < 0) continue;
        list[n++] = (place){runs[root], rank[root], i};
    }
    free(runs);
    return n;
}

// keep = the channels of the value, those of ranked units in the order of their ranks, run by run.
static void reorder(const cut *k, int value) {
    int64_t channels = couple_channels(k->c, value);
    place *list = base_calloc((size_t)channels + 1, sizeof *list);
    int64_t n = ranked_places(k->c, k->rank, value, list);
    place *sorted = base_calloc((size_t)n + 1, sizeof *sorted);
    memcpy(sorted, list, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_rank);
    for (int64_t i = 0; i < channels; i++) k->keep[i] = i;
    for (int64_t i = 0; i < n; i++) k->keep[list[i].at] = sorted[i].at;
    free(list);
    free(sorted);
}

// Two units share a class when each value holds them in as many runs of neighbours, as long, in the same turn.
static uint64_t mixed(uint64_t hash, uint64_t x) {
    return (hash ^ x) * 1099511628211u + (hash >> 29);
}

int couple_layouts(const couple *c, const couple_group *g, int32_t *layout) {
    size_t places = (size_t)c->at[c->m->graph->value_count] + 1;
    int32_t *rank = base_calloc(places, sizeof *rank);
    place *list = base_calloc(places, sizeof *list);
    uint64_t *hash = base_calloc((size_t)g->unit_count, sizeof *hash);
    int classes = 0;
    for (size_t i = 0; i < places; i++) rank[i] = -1;
    for (int u = 0; u < g->unit_count; u++) rank[g->unit[u]] = u;
    for (int v = 0; v < c->m->graph->value_count; v++) {
        int64_t n = ranked_places(c, rank, v, list);
        for (int64_t i = 0; i < n; i++)
            hash[list[i].rank] = mixed(hash[list[i].rank], ((uint64_t)v << 32) + (uint64_t)list[i].run);
    }
    for (int u = 0; u < g->unit_count; u++) {
        int first = 0;
        while (hash[first] != hash[u]) first++;
        layout[u] = first == u ? classes++ : layout[first];
    }
    free(rank);
    free(list);
    free(hash);
    return classes;
}

static int64_t all_kept(const cut *k, int value) {
    return kept(k, value, 0, couple_channels(k->c, value));
}

// Slices of a parameter along an axis that stands for the channels of a value.
static bool pick(const cut *k, int param, int axis, int value, base_err *err) {
    if (param < 0) return true;
    int64_t n = all_kept(k, value), have = couple_channels(k->c, value);
    if ((n == have && !k->rank) || k->d->params[param].shape.dim[axis] != have) return true;
    if (k->rank) reorder(k, value);
    return model_draft_pick(k->d, param, axis, k->keep, n, err);
}

static bool cut_matrix(const cut *k, model_node *n, base_err *err) {
    bool conv = n->op == MODEL_CONV2D, deep = passes(k->c->m->graph, n);
    if (!pick(k, n->param[0], 0, n->out[0], err) || !pick(k, n->param[1], 0, n->out[0], err)) return false;
    if (!deep && !pick(k, n->param[0], 1, n->in[0], err)) return false;
    n->attr[conv ? CONV_OUT : LINEAR_OUT] = (double)all_kept(k, n->out[0]);
    if (deep) n->attr[CONV_GROUPS] *= (double)all_kept(k, n->in[0]) / (double)couple_channels(k->c, n->in[0]);
    return true;
}

static void cut_pad(const cut *k, model_node *n, const model_shape *in) {
    int axis = n->attr[PAD_AXIS] < 0 ? (int)n->attr[PAD_AXIS] + in->ndim : (int)n->attr[PAD_AXIS];
    if (axis != (in->ndim == 4 ? 1 : in->ndim - 1)) return;
    int64_t before = (int64_t)n->attr[PAD_BEFORE], end = couple_channels(k->c, n->out[0]);
    n->attr[PAD_BEFORE] = (double)kept(k, n->out[0], 0, before);
    n->attr[PAD_AFTER] = (double)kept(k, n->out[0], before + couple_channels(k->c, n->in[0]), end);
}

static bool cut_node(const cut *k, model_node *n, base_err *err) {
    const model_shape *in = &k->c->m->graph->shapes[n->in[0]];
    switch (n->op) {
    case MODEL_LINEAR:
    case MODEL_CONV2D:
        return cut_matrix(k, n, err);
    case MODEL_BATCH_NORM:
        for (int s = 0; s < n->param_count; s++)
            if (!pick(k, n->param[s], 0, n->out[0], err)) return false;
        return true;
    case MODEL_EMBEDDING:
    case MODEL_POSITION:
        n->attr[EMBEDDING_WIDTH] = (double)all_kept(k, n->out[0]);
        return pick(k, n->param[0], 1, n->out[0], err);
    case MODEL_PAD:
        cut_pad(k, n, in);
        return true;
    case MODEL_RESHAPE:
        if (all_kept(k, n->out[0]) < couple_channels(k->c, n->out[0])) n->attr[RESHAPE_0] = -1;
        return true;
    case MODEL_ATTENTION: {
        double heads = n->attr[ATTENTION_HEADS], dim = (double)couple_channels(k->c, n->in[0]) / heads;
        n->attr[ATTENTION_HEADS] = (double)all_kept(k, n->in[0]) / dim;
        // 0 means as many as heads, and stays so.
        if (n->attr[ATTENTION_KV_HEADS] > 0) n->attr[ATTENTION_KV_HEADS] = (double)all_kept(k, n->in[1]) / dim;
        return true;
    }
    default:
        return true;
    }
}

static bool cut_all(const couple *c, const uint8_t *gone, const int32_t *rank, model_draft *d, base_err *err) {
    int64_t most = 1;
    for (int v = 0; v < c->m->graph->value_count; v++)
        if (couple_channels(c, v) > most) most = couple_channels(c, v);
    cut k = {c, gone, rank, d, base_calloc((size_t)most, sizeof *k.keep)};
    bool ok = true;
    for (int i = 0; ok && i < d->node_count; i++) ok = cut_node(&k, &d->nodes[i], err);
    free(k.keep);
    return ok;
}

bool couple_cut(const couple *c, const uint8_t *gone, model_draft *d, base_err *err) {
    return cut_all(c, gone, NULL, d, err);
}

bool couple_reorder(const couple *c, const int32_t *rank, model_draft *d, base_err *err) {
    uint8_t *gone = base_calloc((size_t)c->at[c->m->graph->value_count] + 1, 1);
    bool ok = cut_all(c, gone, rank, d, err);
    free(gone);
    return ok;
}
