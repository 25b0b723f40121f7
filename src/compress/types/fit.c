// fit: the tables that depend on the layer. power searches its exponent, tanh takes its range, quantile its levels.
//
// power: NUPES (Yvinec et al., arXiv 2308.05600): x -> sign(x) |x|^a, an even grid, and back; one a for a layer, here
// by golden section on the squared error. tanh: DoReFa-Net (Zhou et al., arXiv 1606.06160), equation 9: weights are
// even after tanh(w) / max |tanh(w)|; the inverse of that map makes the levels (dorefa: 2^bits of them, as the equation
// has it; tanh: one fewer, around a zero). quantile: Dettmers et al., 8-bit
// Optimizers via Block-wise Quantization (arXiv 2110.02861), equation 4: the middle of neighbouring quantiles of the
// weights, each divided by its group's largest magnitude.
#include "compress/types/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 1 << 16 };

// Calls for groups of the layer, spread evenly where it is large; values that were pruned are left out.
typedef struct group_walk {
    const solver_problem *p;
    float *room;
    int64_t length, per_row, groups, stride, next;
} group_walk;

static bool walk_open(group_walk *w, const solver_problem *p, base_err *err) {
    int64_t g = p->grid.group;
    *w = (group_walk){.p = p, .length = g == GROUP_ROW || g > p->cols ? p->cols : g, .stride = 1};
    if (g == GROUP_TENSOR) w->length = p->rows * p->cols;
    w->per_row = g == GROUP_TENSOR ? 1 : (p->cols + w->length - 1) / w->length;
    w->groups = g == GROUP_TENSOR ? 1 : p->rows * w->per_row;
    int64_t wanted = SAMPLE / w->length + 1;
    if (w->groups > wanted) w->stride = w->groups / wanted;
    w->room = base_big_alloc((size_t)w->length, sizeof *w->room, "a group of weights", err);
    return w->room != NULL;
}

static bool walk_next(group_walk *w, int64_t *count) {
    const solver_problem *p = w->p;
    if (w->next >= w->groups) return false;
    int64_t row = w->next / w->per_row, at = w->next % w->per_row * w->length;
    int64_t end = p->grid.group == GROUP_TENSOR ? p->rows * p->cols : row * p->cols + p->cols, n = 0;
    for (int64_t i = row * p->cols + at; i < end && i < row * p->cols + at + w->length; i++)
        if (!p->mask || p->mask[i]) w->room[n++] = p->r[i];
    w->next += w->stride;
    *count = n;
    return true;
}

static float most_of(const float *x, int64_t count) {
    float most = 0;
    for (int64_t i = 0; i < count; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

static bool power_error(const solver_problem *p, table_type type, double *error, base_err *err) {
    grid_table table;
    grid_spec g = p->grid;
    group_walk w;
    int64_t n;
    if (!table_build(&type, NULL, &table, err) || !walk_open(&w, p, err)) return false;
    g.table = &table;
    g.mse = false;
    g.search = SEARCH_NONE;
    *error = 0;
    bool ok = base_go_on(p->job, err);
    while (ok && walk_next(&w, &n)) {
        grid_param q;
        ok = grid_fit(&g, w.room, n, p->job, &q, err);
        for (int64_t i = 0; ok && i < n; i++) {
            grid_code code;
            grid_encode(&g, q, w.room + i, 1, &code);
            double d = (double)w.room[i] - (double)grid_value(&g, q, code);
            *error += d * d;
        }
    }
    base_big_free(w.room);
    return ok;
}

static bool fit_power(const solver_problem *p, table_type *type, base_err *err) {
    const float ratio = 0.61803399f;
    float a = 0.25f, b = 1.25f;
    table_type c = *type, d = *type;
    double at_c, at_d;
    c.param = b - ratio * (b - a);
    d.param = a + ratio * (b - a);
    if (!power_error(p, c, &at_c, err) || !power_error(p, d, &at_d, err)) return false;
    for (int i = 0; i < 14; i++) {
        bool left = at_c <= at_d;
        table_type *moved = left ? &c : &d;
        if (left)
            b = d.param, d = c, at_d = at_c, c.param = b - ratio * (b - a);
        else
            a = c.param, c = d, at_c = at_d, d.param = a + ratio * (b - a);
        if (!power_error(p, *moved, left ? &at_c : &at_d, err)) return false;
    }
    type->param = at_c <= at_d ? c.param : d.param;
    return true;
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

// Quantile q of sorted values, linear between neighbours.
static double quantile(const float *x, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    return i >= n - 1 ? (double)x[n - 1] : (double)x[i] + (at - (double)i) * ((double)x[i + 1] - (double)x[i]);
}

static void quantile_levels(const float *x, int64_t n, int codes, float *levels) {
    double most = 0;
    for (int i = 0; i < codes; i++) {
        double a = quantile(x, n, (i + 0.5) / (codes + 1)), b = quantile(x, n, (i + 1.5) / (codes + 1));
        levels[i] = (float)((a + b) / 2);
        if (fabs((double)levels[i]) > most) most = fabs((double)levels[i]);
    }
    for (int i = 0; i < codes; i++) levels[i] = most > 0 ? (float)((double)levels[i] / most) : (float)i;
}

static bool fit_quantile(const solver_problem *p, int codes, float *levels, base_err *err) {
    group_walk w;
    int64_t n, total = 0, room = SAMPLE * 4;
    if (!walk_open(&w, p, err)) return false;
    if (room < 2 * w.length) room = 2 * w.length;
    float *x = base_big_alloc((size_t)room, sizeof *x, "a sample of weights", err);
    while (x && walk_next(&w, &n)) {
        float most = most_of(w.room, n);
        for (int64_t i = 0; i < n && most > 0 && total < room; i++) x[total++] = w.room[i] / most;
    }
    base_big_free(w.room);
    if (!x) return false;
    if (total) qsort(x, (size_t)total, sizeof *x, rising);
    if (total)
        quantile_levels(x, total, codes, levels);
    else
        for (int i = 0; i < codes; i++) levels[i] = (float)i / (float)codes;
    base_big_free(x);
    return true;
}

bool type_fit(const solver_problem *p, table_type *type, float *levels, base_err *err) {
    if (type->kind == TABLE_POWER) return fit_power(p, type, err);
    if (type->kind == TABLE_QUANTILE) return fit_quantile(p, table_codes(type), levels, err);
    if (type->kind == TABLE_TANH || type->kind == TABLE_DOREFA) {
        float most = 0;
        for (int64_t i = 0; i < p->rows * p->cols; i++)
            if ((!p->mask || p->mask[i]) && fabsf(p->r[i]) > most) most = fabsf(p->r[i]);
        type->param = tanhf(most);
        // tanh is a line at one end and a step at the other; both would lose the levels between.
        if (type->param < 1e-3f) type->param = 1e-3f;
        if (type->param > 0.9999f) type->param = 0.9999f;
    }
    return true;
}
