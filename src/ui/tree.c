// The order of layers on the screen: names split at their dots become modules, modules get the sums of their layers,
// and what is folded, filtered out or sorted decides the lines. Made anew when something of that changed, in time that
// grows with the number of layers (and its logarithm, where they are sorted).
#include "ui/tree.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- sets of names -----------------------------------------------------------------------------

// Where the name is or would be.
static int place_of(const ui_names *n, const char *name) {
    int low = 0, high = n->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(n->name[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ui_names_has(const ui_names *n, const char *name) {
    int at = place_of(n, name);
    return at < n->count && strcmp(n->name[at], name) == 0;
}

void ui_names_set(ui_names *n, const char *name, bool in) {
    int at = place_of(n, name);
    bool there = at < n->count && strcmp(n->name[at], name) == 0;
    if (there == in) return;
    if (!in) {
        free(n->name[at]);
        memmove(n->name + at, n->name + at + 1, (size_t)(--n->count - at) * sizeof *n->name);
        return;
    }
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 16;
        n->name = base_realloc(n->name, (size_t)n->capacity, sizeof *n->name);
    }
    memmove(n->name + at + 1, n->name + at, (size_t)(n->count++ - at) * sizeof *n->name);
    n->name[at] = base_strdup(name);
}

void ui_names_clear(ui_names *n) {
    for (int i = 0; i < n->count; i++) free(n->name[i]);
    free(n->name);
    *n = (ui_names){0};
}

// ---- the tree ----------------------------------------------------------------------------------

typedef struct node {
    int parent, first, last, next, children; // -1: none; children in the order of the walk
    int source;                              // layer, -1: a module
    int prefix;                              // bytes of the name that are the module's
    const char *name;                        // of the layer, or of one in the module
    uint32_t hash;
    int shown, finished, marked; // layers that pass the filter, finished and marked ones of them
    int states[UI_LAYER_STATES];
    ui_layer sum;
    double known, bits; // weights whose bits are known, and all their bits
} node;

typedef struct forest {
    node *node;
    int count, capacity;
    int *bucket, *chain; // modules by the hash of their prefix; chain [capacity]
    int buckets;
} forest;

static int node_new(forest *f, int parent, int source, const char *name, int prefix) {
    if (f->count == f->capacity) {
        f->capacity = f->capacity * 2 + 64;
        f->node = base_realloc(f->node, (size_t)f->capacity, sizeof *f->node);
        f->chain = base_realloc(f->chain, (size_t)f->capacity, sizeof *f->chain);
    }
    int at = f->count++;
    node *n = &f->node[at];
    memset(n, 0, sizeof *n);
    *n = (node){.parent = parent, .first = -1, .last = -1, .next = -1, .source = source, .name = name};
    n->prefix = prefix;
    if (parent >= 0) {
        node *p = &f->node[parent];
        if (p->last >= 0)
            f->node[p->last].next = at;
        else
            p->first = at;
        p->last = at;
        p->children++;
    }
    return at;
}

static int module_of(forest *f, int parent, const char *name, int prefix, uint32_t hash) {
    int *bucket = &f->bucket[hash % (uint32_t)f->buckets];
    for (int i = *bucket; i >= 0; i = f->chain[i]) {
        const node *n = &f->node[i];
        if (n->hash == hash && n->prefix == prefix && memcmp(n->name, name, (size_t)prefix) == 0) return i;
    }
    int at = node_new(f, parent, -1, name, prefix);
    f->node[at].hash = hash;
    f->chain[at] = *bucket;
    *bucket = at;
    return at;
}

static void plant(forest *f, const ui_layer *layers, int count) {
    f->buckets = count * 2 + 16;
    f->bucket = base_calloc((size_t)f->buckets, sizeof *f->bucket);
    for (int i = 0; i < f->buckets; i++) f->bucket[i] = -1;
    node_new(f, -1, -1, "", 0);
    for (int i = 0; i < count; i++) {
        const char *name = layers[i].row.name;
        uint32_t hash = 2166136261u; // FNV-1a
        int at = 0;
        for (int k = 0; name[k]; k++) {
            if (name[k] == '.' && k > 0 && name[k + 1]) at = module_of(f, at, name, k, hash);
            hash = (hash ^ (uint8_t)name[k]) * 16777619u;
        }
        node_new(f, at, i, name, (int)strlen(name));
    }
}

static void uproot(forest *f) {
    free(f->node);
    free(f->bucket);
    free(f->chain);
}

// ---- sums --------------------------------------------------------------------------------------

static double worst(double a, double b) {
    return isnan(a) || b > a ? b : a;
}

static double least(double a, double b) {
    return isnan(a) || b < a ? b : a;
}

static double added(double a, double b) {
    return isnan(a) ? b : isnan(b) ? a : a + b;
}

static void nothing_yet(base_layer_row *r) {
    memset(r, 0, sizeof *r);
    r->bytes = -1;
    r->bits = r->weight_error = r->output_error = r->output_error_held = r->chained_error = NAN;
    r->chained_error_held = r->sqnr_db = r->cosine = r->damping = r->d_of_r = r->seconds = NAN;
}

// What finished layers have is gathered; parameters and bytes before are known of all.
static void gather(base_layer_row *to, const base_layer_row *r) {
    to->index = r->index; // of the first in the end: they come last to first
    to->weights += r->weights;
    to->bytes_before += r->bytes_before;
    if (r->bytes >= 0) to->bytes = (to->bytes < 0 ? 0 : to->bytes) + r->bytes;
    to->weight_error = worst(to->weight_error, r->weight_error);
    to->output_error = worst(to->output_error, r->output_error);
    to->output_error_held = worst(to->output_error_held, r->output_error_held);
    to->chained_error = worst(to->chained_error, r->chained_error);
    to->chained_error_held = worst(to->chained_error_held, r->chained_error_held);
    to->damping = worst(to->damping, r->damping);
    to->sqnr_db = least(to->sqnr_db, r->sqnr_db);
    to->cosine = least(to->cosine, r->cosine);
    to->seconds = added(to->seconds, r->seconds);
    if (!r->steps[0]) return;
    if (!to->steps[0])
        snprintf(to->steps, sizeof to->steps, "%s", r->steps);
    else if (strcmp(to->steps, r->steps) != 0)
        snprintf(to->steps, sizeof to->steps, "several");
}

static ui_layer_state state_of(const node *n) {
    if (n->states[UI_BROKEN]) return UI_BROKEN;
    if (n->states[UI_HELD]) return UI_HELD;
    if (n->states[UI_WORKING]) return UI_WORKING;
    if (n->states[UI_WAITING]) return UI_WAITING;
    return n->states[UI_DONE] ? UI_DONE : UI_LEFT_OVER;
}

static void leaf_counts(node *n, const ui_layer *l, const ui_tree_order *o) {
    bool hit = !o->filter || ui_search_hit(o->filter, l->row.name) != o->negate;
    n->shown = hit;
    n->finished = hit && l->state == UI_DONE;
    n->marked = hit && o->marked.count && ui_names_has(&o->marked, l->row.name);
    n->states[l->state >= 0 && l->state < UI_LAYER_STATES ? l->state : 0] = hit;
}

// Children stand behind their parents, so going backwards each module is complete when it is added to its own.
static void sum_up(forest *f, const ui_layer *layers, const ui_tree_order *o) {
    for (int i = 0; i < f->count; i++)
        if (f->node[i].source < 0) {
            nothing_yet(&f->node[i].sum.row);
            f->node[i].sum.baseline = NAN;
        }
    for (int i = f->count - 1; i >= 0; i--) {
        node *n = &f->node[i];
        const ui_layer *own = n->source >= 0 ? &layers[n->source] : &n->sum;
        if (n->source >= 0) {
            leaf_counts(n, own, o);
            n->known = isnan(own->row.bits) ? 0 : (double)own->row.weights;
            n->bits = n->known > 0 ? n->known * own->row.bits : 0;
        } else {
            n->sum.row.bits = n->known > 0 ? n->bits / n->known : NAN;
            n->sum.row.d_of_r = pow(2, -2 * n->sum.row.bits);
            n->sum.state = state_of(n);
        }
        if (n->parent < 0 || !n->shown) continue;
        node *p = &f->node[n->parent];
        p->shown += n->shown;
        p->finished += n->finished;
        p->marked += n->marked;
        p->known += n->known;
        p->bits += n->bits;
        for (int s = 0; s < UI_LAYER_STATES; s++) p->states[s] += n->states[s];
        gather(&p->sum.row, &own->row);
        p->sum.baseline = worst(p->sum.baseline, own->baseline);
    }
}

// ---- sorting -----------------------------------------------------------------------------------

// Digits count as numbers: layer2 before layer10.
static int compare_names(const char *a, const char *b) {
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            size_t x = strspn(a, "0"), y = strspn(b, "0");
            a += x, b += y;
            size_t m = strspn(a, "0123456789"), n = strspn(b, "0123456789");
            int order = m != n ? (m < n ? -1 : 1) : strncmp(a, b, m);
            if (order) return order;
            a += m, b += n;
        } else if (*a != *b) {
            break;
        } else {
            a++, b++;
        }
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

typedef struct sorting {
    double key; // NaN: nothing known, last in either direction
    const char *text;
    int index, node;
    bool down;
} sorting;

static int by_key(const void *a, const void *b) {
    const sorting *x = a, *y = b;
    int order = 0;
    if (x->text && y->text)
        order = compare_names(x->text, y->text);
    else if (isnan(x->key) || isnan(y->key))
        return isnan(x->key) == isnan(y->key) ? x->index - y->index : isnan(x->key) ? 1 : -1;
    else if (x->key != y->key)
        order = x->key < y->key ? -1 : 1;
    if (x->down) order = -order;
    return order ? order : x->index - y->index;
}

static sorting sorting_of(const ui_layer *l, const ui_tree_order *o, int index, int at) {
    sorting s = {.key = index, .index = index, .node = at, .down = o->down};
    const char *field = (const char *)l + (o->sort ? o->sort->offset : 0);
    if (!o->sort) {
        s.down = false;
    } else if (o->sort->type == BASE_F_TEXT) {
        s.text = field;
    } else if (o->sort->type == BASE_F_REAL) {
        memcpy(&s.key, field, sizeof s.key);
    } else {
        int64_t whole;
        memcpy(&whole, field, sizeof whole);
        s.key = whole < 0 ? NAN : (double)whole; // a count below zero is one that is not known
    }
    return s;
}

// ---- lines -------------------------------------------------------------------------------------

typedef struct writer {
    ui_tree *t;
    forest *f;
    const ui_layer *layers;
    const ui_tree_order *o;
    bool room; // a place for the sign in front of names
} writer;

// "  ▾ layer1", "    ● conv1": the part of the name that its module does not have.
static void label(const writer *w, ui_tree_row *r, int from) {
    const char *sign = "", *name = r->layer.row.name + from;
    if (r->source < 0)
        sign = r->folded ? "\xe2\x96\xb8 " : "\xe2\x96\xbe ";
    else if (w->room)
        sign = r->marked ? "\xe2\x97\x8f " : "  ";
    const char *tail = r->source >= 0 || !r->mark_count ? "" : r->marked ? " \xe2\x97\x8f" : " \xe2\x97\x8b";
    snprintf(r->label, sizeof r->label, "%*s%s%s%s", (int)(r->depth < 20 ? r->depth : 20) * 2, "", sign, name, tail);
}

static ui_tree_row *line_new(ui_tree *t) {
    if (t->count == t->capacity) {
        t->capacity = t->capacity * 2 + 64;
        t->line = base_realloc(t->line, (size_t)t->capacity, sizeof *t->line);
    }
    return &t->line[t->count++];
}

static void write_layer(const writer *w, const node *n, int depth, int from) {
    ui_tree_row *r = line_new(w->t);
    *r = (ui_tree_row){.layer = w->layers[n->source], .source = n->source, .depth = depth, .layers = 1};
    r->finished = n->finished;
    r->marked = r->mark_count = n->marked;
    label(w, r, from);
}

static bool write_module(const writer *w, const node *n, int depth, int from) {
    ui_tree_row *r = line_new(w->t);
    *r = (ui_tree_row){.layer = n->sum, .source = -1, .depth = depth, .layers = n->shown, .finished = n->finished};
    snprintf(r->layer.row.name, sizeof r->layer.row.name, "%.*s", n->prefix, n->name);
    snprintf(r->layer.row.kind, sizeof r->layer.row.kind, "module");
    snprintf(r->layer.row.shape, sizeof r->layer.row.shape, "%d layer%s", n->shown, n->shown == 1 ? "" : "s");
    r->mark_count = n->marked;
    r->marked = n->marked == n->shown;
    r->folded = !w->o->filter && ui_names_has(&w->o->folded, r->layer.row.name); // a filter looks into everything
    label(w, r, from);
    return !r->folded;
}

static void write_children(const writer *w, int at, int depth) {
    const node *n = &w->f->node[at];
    sorting *list = base_calloc((size_t)n->children + 1, sizeof *list);
    int count = 0, from = n->prefix + (n->prefix > 0);
    for (int i = n->first; i >= 0; i = w->f->node[i].next) {
        const node *c = &w->f->node[i];
        if (!c->shown) continue;
        list[count] = sorting_of(c->source >= 0 ? &w->layers[c->source] : &c->sum, w->o, count, i);
        if (w->o->sort && w->o->sort->offset == offsetof(base_layer_row, name)) list[count].text = c->name;
        count++;
    }
    if (w->o->sort) qsort(list, (size_t)count, sizeof *list, by_key);
    for (int i = 0; i < count; i++) {
        int child = list[i].node;
        // A module of one thing is a name with a dot in it.
        while (w->f->node[child].source < 0 && w->f->node[child].children == 1) child = w->f->node[child].first;
        if (w->f->node[child].source >= 0)
            write_layer(w, &w->f->node[child], depth, from);
        else if (write_module(w, &w->f->node[child], depth, from))
            write_children(w, child, depth + 1);
    }
    free(list);
}

static void write_flat(const writer *w) {
    sorting *list = base_calloc((size_t)w->f->count + 1, sizeof *list);
    int count = 0;
    for (int i = 0; i < w->f->count; i++) {
        const node *n = &w->f->node[i];
        if (n->source < 0 || !n->shown) continue;
        list[count] = sorting_of(&w->layers[n->source], w->o, count, i);
        count++;
    }
    if (w->o->sort) qsort(list, (size_t)count, sizeof *list, by_key);
    for (int i = 0; i < count; i++) write_layer(w, &w->f->node[list[i].node], 0, 0);
    free(list);
}

static int module_count(const forest *f) {
    int count = 0;
    for (int i = 1; i < f->count; i++) count += f->node[i].source < 0 && f->node[i].children > 1;
    return count;
}

void ui_tree_build(ui_tree *t, const ui_layer *layers, int count, const ui_tree_order *order) {
    forest f = {0};
    plant(&f, layers, count);
    sum_up(&f, layers, order);
    t->count = 0;
    t->matching = f.node[0].shown;
    t->modules = module_count(&f);
    writer w = {.t = t, .f = &f, .layers = layers, .o = order};
    w.room = (t->modules && !order->flat) || order->marked.count > 0;
    if (order->flat)
        write_flat(&w);
    else
        write_children(&w, 0, 0);
    uproot(&f);
}

void ui_tree_free(ui_tree *t) {
    free(t->line);
    *t = (ui_tree){0};
}

bool ui_tree_within(const char *name, const char *module) {
    size_t n = strlen(module);
    return strncmp(name, module, n) == 0 && name[n] == '.';
}

int ui_tree_line_of(const ui_tree *t, const char *name) {
    int best = -1;
    for (int i = 0; i < t->count; i++) {
        const ui_tree_row *r = &t->line[i];
        if (r->source >= 0 && strcmp(r->layer.row.name, name) == 0) return i;
        if (r->source < 0 && r->folded && ui_tree_within(name, r->layer.row.name)) best = i;
    }
    return best;
}

ui_names ui_tree_modules(const ui_layer *layers, int count) {
    forest f = {0};
    ui_names all = {0};
    plant(&f, layers, count);
    for (int i = 1; i < f.count; i++) {
        const node *n = &f.node[i];
        if (n->source >= 0 || n->children < 2) continue;
        char name[sizeof layers->row.name];
        snprintf(name, sizeof name, "%.*s", n->prefix, n->name);
        ui_names_set(&all, name, true);
    }
    uproot(&f);
    return all;
}
