// allocate: what all allocators share - checking, tying, dropping dominated options, hull, relaxation - and the call.
#include "study/allocate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *unit_of(const study_problem *p) {
    return p->unit ? p->unit : "units";
}

static void name_of(const study_problem *p, int layer, char out[160]) {
    if (p->names && p->names[layer])
        base_clean(out, 160, p->names[layer]);
    else
        snprintf(out, 160, "%d", layer + 1);
}

static bool check_layer(const study_problem *p, int i, base_err *err) {
    char name[160];
    name_of(p, i, name);
    if (p->options[i] < 1) return base_fail(err, "allocate: layer %s has no option", name);
    for (int k = 0; k < p->options[i]; k++) {
        if (!isfinite(p->loss[i][k]))
            return base_fail(err, "allocate: layer %s, option %d: its loss is %g, expected a finite number", name,
                             k + 1, p->loss[i][k]);
        if (p->cost[i][k] < 0 || p->cost[i][k] > INT64_MAX / 4 / p->layers)
            return base_fail(err, "allocate: layer %s, option %d: its cost is %lld %s, expected 0 to %lld", name, k + 1,
                             (long long)p->cost[i][k], unit_of(p), (long long)(INT64_MAX / 4 / p->layers));
    }
    return true;
}

// Layers of a tie go to the class of the first of them.
static bool tie_layers(const study_problem *p, study_prepared *s, base_err *err) {
    s->class_of = base_calloc((size_t)p->layers, sizeof *s->class_of);
    for (int i = 0; i < p->layers; i++) {
        int first = i;
        if (p->tie && p->tie[i] >= 0)
            for (first = 0; first < i && p->tie[first] != p->tie[i];) first++;
        if (first == i) {
            s->class_of[i] = s->count++;
            continue;
        }
        char a[160], b[160];
        name_of(p, first, a);
        name_of(p, i, b);
        if (p->options[first] != p->options[i])
            return base_fail(err, "allocate: layers %s and %s share a choice but have %d and %d options", a, b,
                             p->options[first], p->options[i]);
        s->class_of[i] = s->class_of[first];
    }
    return true;
}

static int by_cost(const void *a, const void *b) {
    const alloc_item *x = a, *y = b;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    if (x->loss != y->loss) return x->loss < y->loss ? -1 : 1;
    return x->option - y->option;
}

static void drop_dominated(alloc_class *c) {
    qsort(c->items, (size_t)c->count, sizeof *c->items, by_cost);
    int kept = 0;
    for (int k = 0; k < c->count; k++)
        if (kept == 0 || c->items[k].loss < c->items[kept - 1].loss) c->items[kept++] = c->items[k];
    c->count = kept;
}

// Gain a cost from item a to item b.
static double slope(const alloc_class *c, int a, int b) {
    return (c->items[a].loss - c->items[b].loss) / (double)(c->items[b].cost - c->items[a].cost);
}

static void make_hull(alloc_class *c) {
    c->hull = base_calloc((size_t)c->count, sizeof *c->hull);
    for (int k = 0; k < c->count; k++) {
        while (c->hull_count >= 2 && slope(c, c->hull[c->hull_count - 2], c->hull[c->hull_count - 1]) <=
                                         slope(c, c->hull[c->hull_count - 1], k))
            c->hull_count--;
        c->hull[c->hull_count++] = k;
    }
}

static int by_slope(const void *a, const void *b) {
    const alloc_rise *x = a, *y = b;
    double p = x->gain / (double)x->cost, q = y->gain / (double)y->cost;
    if (p != q) return p > q ? -1 : 1;
    if (x->class != y->class) return x->class - y->class;
    return x->from - y->from;
}

static void make_rises(study_prepared *s) {
    for (int i = 0; i < s->count; i++) s->rise_count += s->classes[i].hull_count - 1;
    s->rises = base_calloc((size_t)s->rise_count + 1, sizeof *s->rises);
    int n = 0;
    for (int i = 0; i < s->count; i++) {
        const alloc_class *c = &s->classes[i];
        for (int k = 0; k + 1 < c->hull_count; k++) {
            int from = c->hull[k], to = c->hull[k + 1];
            s->rises[n++] = (alloc_rise){.class = i,
                                         .from = from,
                                         .to = to,
                                         .cost = c->items[to].cost - c->items[from].cost,
                                         .gain = c->items[from].loss - c->items[to].loss};
        }
    }
    qsort(s->rises, (size_t)n, sizeof *s->rises, by_slope);
}

bool alloc_prepare(const study_problem *p, study_prepared *s, base_err *err) {
    memset(s, 0, sizeof *s);
    s->p = p;
    if (p->layers < 1) return base_fail(err, "allocate: there is no layer to choose for");
    for (int i = 0; i < p->layers; i++)
        if (!check_layer(p, i, err)) return false;
    if (!tie_layers(p, s, err)) {
        alloc_release(s);
        return false;
    }
    s->classes = base_calloc((size_t)s->count, sizeof *s->classes);
    for (int i = 0; i < p->layers; i++) {
        alloc_class *c = &s->classes[s->class_of[i]];
        if (!c->items) {
            c->count = p->options[i];
            c->items = base_calloc((size_t)c->count, sizeof *c->items);
            for (int k = 0; k < c->count; k++) c->items[k].option = k;
        }
        for (int k = 0; k < c->count; k++) {
            c->items[k].cost += p->cost[i][k];
            c->items[k].loss += p->loss[i][k];
        }
        if (p->weights) c->weights += p->weights[i];
    }
    for (int i = 0; i < s->count; i++) {
        drop_dominated(&s->classes[i]);
        make_hull(&s->classes[i]);
        s->min_cost += s->classes[i].items[0].cost;
    }
    make_rises(s);
    if (s->min_cost <= p->budget) return true;
    base_fail(err, "allocate: no choice fits %lld %s; the smallest these options allow is %lld %s",
              (long long)p->budget, unit_of(p), (long long)s->min_cost, unit_of(p));
    alloc_release(s);
    return false;
}

void alloc_release(study_prepared *s) {
    for (int i = 0; s->classes && i < s->count; i++) {
        free(s->classes[i].items);
        free(s->classes[i].hull);
    }
    free(s->classes);
    free(s->class_of);
    free(s->rises);
    memset(s, 0, sizeof *s);
}

int64_t alloc_cost(const study_prepared *s, const int *choice) {
    int64_t sum = 0;
    for (int i = 0; i < s->count; i++) sum += s->classes[i].items[choice[i]].cost;
    return sum;
}

double alloc_loss(const study_prepared *s, const int *choice) {
    double sum = 0;
    for (int i = 0; i < s->count; i++) sum += s->classes[i].items[choice[i]].loss;
    return sum;
}

double alloc_relax(const study_prepared *s, int *choice, double *broke) {
    memset(choice, 0, (size_t)s->count * sizeof *choice);
    int64_t left = s->p->budget - s->min_cost;
    double loss = alloc_loss(s, choice);
    *broke = 0;
    for (int k = 0; k < s->rise_count; k++) {
        const alloc_rise *r = &s->rises[k];
        if (r->cost > left) {
            *broke = r->gain / (double)r->cost;
            return loss - *broke * (double)left;
        }
        left -= r->cost;
        loss -= r->gain;
        choice[r->class] = r->to;
    }
    return loss;
}

void alloc_fill(const study_prepared *s, int *choice) {
    int64_t left = s->p->budget - alloc_cost(s, choice);
    for (;;) {
        int best = -1, to = 0;
        double gain = 0;
        for (int i = 0; i < s->count; i++) {
            const alloc_class *c = &s->classes[i];
            for (int k = choice[i] + 1; k < c->count; k++) {
                double g = c->items[choice[i]].loss - c->items[k].loss;
                if (c->items[k].cost - c->items[choice[i]].cost > left || g <= gain) continue;
                gain = g;
                best = i;
                to = k;
            }
        }
        if (best < 0) return;
        left -= s->classes[best].items[to].cost - s->classes[best].items[choice[best]].cost;
        choice[best] = to;
    }
}

// The best exchange that takes class i to another item and any one other class up with what that frees.
static bool exchange(const study_prepared *s, int *choice, int i, int64_t *left) {
    const alloc_class *a = &s->classes[i];
    double best = 1e-15;
    int from = -1, other = -1, to = -1;
    for (int k = 0; k < a->count; k++) {
        if (k == choice[i]) continue;
        double lost = a->items[k].loss - a->items[choice[i]].loss;
        int64_t room = *left + a->items[choice[i]].cost - a->items[k].cost;
        for (int j = 0; j < s->count; j++) {
            const alloc_class *b = &s->classes[j];
            if (j == i) continue;
            for (int t = 0; t < b->count; t++) {
                double gain = b->items[choice[j]].loss - b->items[t].loss - lost;
                if (gain <= best || b->items[t].cost - b->items[choice[j]].cost > room) continue;
                best = gain;
                from = k;
                other = j;
                to = t;
            }
        }
    }
    if (from < 0) return false;
    *left += a->items[choice[i]].cost - a->items[from].cost;
    *left += s->classes[other].items[choice[other]].cost - s->classes[other].items[to].cost;
    choice[i] = from;
    choice[other] = to;
    return true;
}

void alloc_polish(const study_prepared *s, int *choice, base_job *job) {
    alloc_fill(s, choice);
    int64_t left = s->p->budget - alloc_cost(s, choice);
    int64_t work = 0;
    // Pairs are worth it for a network's few dozens of layers; on thousands the exact solver's bound does the same.
    for (bool again = s->count <= 200; again && !base_cancelled(job) && work < 2000;) {
        again = false;
        for (int i = 0; i < s->count; i++, work++)
            if (exchange(s, choice, i, &left)) again = true;
    }
}

bool alloc_measure(const study_prepared *s, const int *choice, double effort, double *loss, base_err *err) {
    if (!s->p->measure) {
        *loss = alloc_loss(s, choice);
        return true;
    }
    int *full = base_calloc((size_t)s->p->layers, sizeof *full);
    for (int i = 0; i < s->p->layers; i++) full[i] = s->classes[s->class_of[i]].items[choice[s->class_of[i]]].option;
    bool ok = s->p->measure(s->p->context, full, effort, loss, err);
    free(full);
    return ok;
}

void study_answer_free(study_answer *a) {
    free(a->choice);
    a->choice = NULL;
}

const study_allocator *study_allocator_find(const char *name) {
    for (size_t i = 0; i < study_allocator_count; i++)
        if (!strcmp(study_allocators[i].name, name)) return &study_allocators[i];
    return NULL;
}

enum { MOST_ARGS = 16 };

// What the exact solver says of the same problem; NaN when it gave up at its state limit.
static bool find_optimum(const study_prepared *s, study_answer *a, base_job *job, base_err *err) {
    const study_allocator *exact = study_allocator_find("exact");
    base_value v[MOST_ARGS];
    base_arg_defaults(exact->args, exact->arg_count, v);
    int *choice = base_calloc((size_t)s->count, sizeof *choice);
    study_answer best = {.bound = a->bound};
    bool ok = exact->solve(s, v, choice, &best, job, err);
    if (ok && best.optimal) {
        a->optimum = alloc_loss(s, choice);
        a->bound = fmax(a->bound, a->optimum);
    }
    free(choice);
    return ok;
}

bool study_allocate(const study_problem *p, const study_allocator *solver, const base_value *values, study_answer *a,
                    base_job *job, base_err *err) {
    study_prepared s;
    base_value own[MOST_ARGS];
    BASE_CHECK(solver->arg_count <= MOST_ARGS);
    memset(a, 0, sizeof *a);
    a->measured = a->optimum = NAN;
    if (solver->in_bits && p->unit && strcmp(p->unit, "bytes") != 0)
        return base_fail(err,
                         "allocate: solver %s reckons in bits a weight and takes budgets in bytes or bits, not in %s; "
                         "exact, ilp, hull and greedy take any",
                         solver->name, p->unit);
    if (!alloc_prepare(p, &s, err)) return false;
    if (!values) {
        base_arg_defaults(solver->args, solver->arg_count, own);
        values = own;
    }
    int *choice = base_calloc((size_t)s.count, sizeof *choice);
    double slope_at, begin = base_now();
    a->bound = alloc_relax(&s, choice, &slope_at);
    bool ok = solver->solve(&s, values, choice, a, job, err);
    a->seconds = base_now() - begin;
    if (ok && alloc_cost(&s, choice) > p->budget) base_bug(__FILE__, __LINE__, "an allocator kept its budget");
    if (ok && p->measure) ok = alloc_measure(&s, choice, 1, &a->measured, err);
    if (ok) {
        a->choice = base_calloc((size_t)p->layers, sizeof *a->choice);
        for (int i = 0; i < p->layers; i++) a->choice[i] = s.classes[s.class_of[i]].items[choice[s.class_of[i]]].option;
        a->loss = alloc_loss(&s, choice);
        a->cost = alloc_cost(&s, choice);
        if (a->optimal) a->optimum = a->bound = a->loss;
        if (!a->optimal) ok = find_optimum(&s, a, job, err);
        if (!ok) study_answer_free(a);
    }
    free(choice);
    alloc_release(&s);
    return ok;
}

bool study_hull(const study_problem *p, int64_t **cost, double **loss, int *count, base_err *err) {
    study_prepared s;
    study_problem open = *p;
    open.budget = INT64_MAX;
    if (!alloc_prepare(&open, &s, err)) return false;
    int *choice = base_calloc((size_t)s.count, sizeof *choice);
    *count = s.rise_count + 1;
    *cost = base_calloc((size_t)*count, sizeof **cost);
    *loss = base_calloc((size_t)*count, sizeof **loss);
    (*cost)[0] = s.min_cost;
    (*loss)[0] = alloc_loss(&s, choice);
    for (int k = 0; k < s.rise_count; k++) {
        (*cost)[k + 1] = (*cost)[k] + s.rises[k].cost;
        (*loss)[k + 1] = (*loss)[k] - s.rises[k].gain;
    }
    free(choice);
    alloc_release(&s);
    return true;
}
