// exec_plan: where values lie in memory. A plan covers a stretch of nodes; values made and used up inside it share one
// arena by liveness (a value's room is free again after its last reader), and an op that may work in place takes over
// its input's room when it is the last reader.
#include "engine/exec.h"

#include <stdlib.h>
#include <string.h>

// Half of a 2 MiB second-level cache, in floats. Fixed, not measured: the micro-batch size is part of the result's
// bits on a machine, and must not change with what else runs there.
enum { CACHE_FLOATS = 1 << 18, MOST_SAMPLES = 128, SHARES = 16, ALIGN_FLOATS = 16 };

static size_t align_floats(size_t n) {
    return (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

typedef struct placed {
    size_t size;
    int index;
} placed;

static int by_size(const void *a, const void *b) {
    const placed *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

// The lowest offset where `size` floats fit beside what is placed already and lives at the same time.
static size_t lowest_free(const placed *order, int done, const size_t *size, const int *start, const int *end,
                          const size_t *offset, int item) {
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < done; i++) {
            int o = order[i].index;
            bool together = start[o] <= end[item] && start[item] <= end[o];
            if (together && offset[o] < at + size[item] && at < offset[o] + size[o]) {
                at = offset[o] + size[o];
                moved = true;
            }
        }
    }
    return at;
}

size_t exec_place(int count, const size_t *size, const int *start, const int *end, size_t *offset) {
    placed *order = base_calloc((size_t)count + 1, sizeof *order);
    for (int i = 0; i < count; i++) order[i] = (placed){size[i], i};
    qsort(order, (size_t)count, sizeof *order, by_size);
    size_t whole = 0;
    for (int i = 0; i < count; i++) {
        int item = order[i].index;
        offset[item] = 0;
        if (!size[item]) continue;
        offset[item] = lowest_free(order, i, size, start, end, offset, item);
        if (offset[item] + size[item] > whole) whole = offset[item] + size[item];
    }
    free(order);
    return whole;
}

// ---- chains ------------------------------------------------------------------------------------

// What find_chains knows of each value: the node that makes it (-1: before the plan), the last node that reads it, and
// how many do.
typedef struct uses {
    int *maker, *reader, *readers;
} uses;

static uses uses_of(const exec_plan *p) {
    const model_graph *g = p->g;
    const size_t n = (size_t)g->value_count + 1;
    uses u = {base_calloc(n, sizeof(int)), base_calloc(n, sizeof(int)), base_calloc(n, sizeof(int))};
    for (int v = 0; v < g->value_count; v++) u.maker[v] = u.reader[v] = -1;
    for (int i = 0; i < g->node_count; i++) {
        const model_node *node = &g->nodes[i];
        for (int k = 0; k < node->in_count; k++) {
            u.reader[node->in[k]] = i;
            u.readers[node->in[k]]++;
        }
        for (int k = 0; k < node->out_count && i >= p->from; k++) u.maker[node->out[k]] = i;
    }
    return u;
}

// Takes over the node that reads `value`, if it is one of those that may come next.
static bool take_over(const exec_plan *p, const uses *u, int head, exec_chain *c, int value) {
    const int reader = u->reader[value];
    if (u->readers[value] != 1 || reader >= p->to || c->relu >= 0) return false;
    const model_node *node = &p->g->nodes[reader];
    if (node->op == MODEL_RELU) {
        c->relu = reader;
    } else if (node->op == MODEL_BATCH_NORM && c->norm < 0 && c->add < 0) {
        c->norm = reader;
    } else if (node->op == MODEL_ADD && c->add < 0 && node->in_count == 2) {
        const int other = node->in[node->in[0] == value];
        const int64_t count = model_shape_count(&p->shapes[value]);
        if (u->maker[other] >= head || model_shape_count(&p->shapes[other]) != count) return false;
        c->add = reader;
        c->other = other;
    } else {
        return false;
    }
    c->last = reader;
    return true;
}

static void find_chains(exec_plan *p, const bool *keep) {
    const model_graph *g = p->g;
    const uses u = uses_of(p);
    for (int i = 0; i < g->node_count; i++) p->chain[i] = (exec_chain){false, i, -1, -1, -1, -1};
    for (int i = p->from; i < p->to; i++) {
        exec_chain *c = &p->chain[i];
        if (g->nodes[i].op != MODEL_CONV2D) continue;
        for (;;) {
            const int value = g->nodes[c->last].out[0];
            if (value == g->output || (keep && keep[value]) || !take_over(p, &u, i, c, value)) break;
            p->chain[c->last].taken = true;
        }
    }
    free(u.maker);
    free(u.reader);
    free(u.readers);
}

// ---- places ------------------------------------------------------------------------------------

// What is known of each value while a plan is made.
typedef struct lives {
    int *root, *start, *end; // root: the value whose room it uses
    size_t *size;
} lives;

static lives lives_new(int count) {
    size_t n = (size_t)count + 1;
    return (lives){base_calloc(n, sizeof(int)), base_calloc(n, sizeof(int)), base_calloc(n, sizeof(int)),
                   base_calloc(n, sizeof(size_t))};
}

static void lives_free(lives *l) {
    free(l->root);
    free(l->start);
    free(l->end);
    free(l->size);
}

static void find_lives(lives *l, exec_plan *p, const bool *keep) {
    const model_graph *g = p->g;
    for (int v = 0; v < g->value_count; v++) {
        l->root[v] = v;
        l->start[v] = l->end[v] = -1;
        p->offset[v] = EXEC_OUTER;
    }
    for (int i = p->from; i < p->to; i++) {
        const model_node *node = &g->nodes[i];
        for (int k = 0; k < node->in_count; k++) l->end[node->in[k]] = i;
        if (p->chain[i].taken) continue;
        const model_node *maker = &g->nodes[p->chain[i].last]; // its result is written when node i runs
        for (int k = 0; k < maker->out_count; k++) {
            int v = maker->out[k];
            if (keep ? keep[v] : v == g->output) continue;
            p->offset[v] = 0;
            l->start[v] = l->end[v] = i;
            l->size[v] = align_floats((size_t)model_shape_count(&p->shapes[v]));
        }
    }
}

// A node that may work in place and is the last reader of its first input takes over that input's room.
static void share_rooms(lives *l, const exec_plan *p) {
    for (int i = p->from; i < p->to; i++) {
        const model_node *node = &p->g->nodes[i];
        if (p->chain[i].taken || !engine_kernels[node->op].in_place || node->in_count < 1 || node->out_count != 1)
            continue;
        int in = node->in[0], out = node->out[0];
        if (p->offset[in] == EXEC_OUTER || p->offset[out] == EXEC_OUTER) continue;
        if (l->end[in] != i || l->size[in] != l->size[out]) continue;
        int root = l->root[in];
        l->root[out] = root;
        if (l->end[out] > l->end[root]) l->end[root] = l->end[out];
        l->size[out] = 0;
    }
}

// A kernel asked for its scratch sees a prepared weight (any non-NULL pointer) where it will get one.
static size_t most_scratch(const exec_plan *p) {
    static const float prepared[1];
    size_t most = 0;
    for (int i = p->from; i < p->to; i++) {
        const engine_kernel *k = &engine_kernels[p->g->nodes[i].op];
        if (!k->scratch) continue;
        exec_call call;
        exec_call_fill(&call, p->g, i, p->shapes, NULL);
        if (k->prepared && k->prepared(&call.a)) call.a.prepared = prepared;
        size_t need = k->scratch(&call.a);
        if (need > most) most = need;
    }
    return align_floats(most);
}

bool exec_plan_make(exec_plan *p, const model_graph *g, int from, int to, const bool *keep, int64_t n, int64_t t,
                    base_err *err) {
    *p = (exec_plan){.g = g, .from = from, .to = to, .n = n, .t = t};
    p->shapes = base_calloc((size_t)g->value_count, sizeof *p->shapes);
    p->offset = base_calloc((size_t)g->value_count, sizeof *p->offset);
    p->chain = base_calloc((size_t)g->node_count + 1, sizeof *p->chain);
    if (!model_graph_shapes(g, n, t, p->shapes, err)) {
        exec_plan_free(p);
        return false;
    }
    find_chains(p, keep);
    lives l = lives_new(g->value_count);
    find_lives(&l, p, keep);
    share_rooms(&l, p);
    size_t *place = base_calloc((size_t)g->value_count, sizeof *place);
    p->arena = exec_place(g->value_count, l.size, l.start, l.end, place);
    for (int v = 0; v < g->value_count; v++)
        if (p->offset[v] != EXEC_OUTER) p->offset[v] = place[l.root[v]];
    p->scratch = most_scratch(p);
    free(place);
    lives_free(&l);
    return true;
}

void exec_plan_free(exec_plan *p) {
    free(p->shapes);
    free(p->offset);
    free(p->chain);
    p->shapes = NULL;
    p->offset = NULL;
    p->chain = NULL;
}

bool exec_micro(const model_graph *g, int from, int to, int64_t total, int64_t t, int64_t *micro, base_err *err) {
    exec_plan one;
    if (!exec_plan_make(&one, g, from, to, NULL, 1, t, err)) return false;
    int64_t live = (int64_t)one.arena;
    if (from == 0 && g->input_kind == DATA_FEATURES) live += model_shape_count(&one.shapes[0]);
    exec_plan_free(&one);
    int64_t fit = live > 0 ? CACHE_FLOATS / live : MOST_SAMPLES;
    int64_t share = (total + SHARES - 1) / SHARES;
    if (fit > MOST_SAMPLES) fit = MOST_SAMPLES;
    if (fit > share) fit = share;
    *micro = fit < 1 ? 1 : fit;
    return true;
}
