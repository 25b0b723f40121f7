// Two recorded runs side by side, layer by layer and in total.
//
// A layer is better in one run when neither its bytes nor its error is larger there and one is smaller; else the two
// are a trade, and which one is better depends on what the bytes are worth. Everything said is the same, mirrored, when
// the runs are named the other way round.
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const session_better_names[] = {"unknown", "trade", "equal", "first", "second"};

static const base_layer_row *find_row(const session_recorded *r, const char *name) {
    for (size_t i = r->layer_count; i-- > 0;)
        if (strcmp(r->layers[i].name, name) == 0) return &r->layers[i];
    return NULL;
}

static int sign_of(double a, double b) {
    return a < b ? -1 : a > b ? 1 : 0;
}

static session_pair judge(const base_layer_row *a, const base_layer_row *b) {
    session_pair p = {.row = {a, b}, .better = SESSION_UNKNOWN, .value = {NAN, NAN}};
    const struct {
        const char *name;
        double value[2];
    } figures[] = {{"output_error", {a->output_error, b->output_error}},
                   {"weight_error", {a->weight_error, b->weight_error}}};
    for (size_t i = 0; i < 2 && !p.error; i++) {
        if (!isfinite(figures[i].value[0]) || !isfinite(figures[i].value[1])) continue;
        p.error = figures[i].name;
        memcpy(p.value, figures[i].value, sizeof p.value);
    }
    if (!p.error) return p;
    int bytes = sign_of((double)a->bytes, (double)b->bytes), error = sign_of(p.value[0], p.value[1]);
    p.better = bytes == 0 && error == 0   ? SESSION_EQUAL
               : bytes <= 0 && error <= 0 ? SESSION_FIRST
               : bytes >= 0 && error >= 0 ? SESSION_SECOND
                                          : SESSION_TRADE;
    return p;
}

static void match(session_comparison *c) {
    c->pairs = base_calloc(c->run[0]->layer_count + 1, sizeof *c->pairs);
    for (int side = 0; side < 2; side++) {
        const session_recorded *here = c->run[side], *there = c->run[1 - side];
        c->alone[side] = base_calloc(here->layer_count + 1, sizeof *c->alone[side]);
        for (size_t i = 0; i < here->layer_count; i++) {
            if (!session_recorded_row_counts(here, i)) continue;
            const base_layer_row *other = find_row(there, here->layers[i].name);
            if (!other)
                c->alone[side][c->alone_count[side]++] = &here->layers[i];
            else if (side == 0)
                c->pairs[c->pair_count++] = judge(&here->layers[i], other);
        }
    }
}

void session_difference(const double first[3], const double second[3], double difference[3]) {
    const double *a = first, *b = second;
    difference[0] = b[0] - a[0];
    difference[1] = difference[0] - hypot(b[0] - b[1], a[2] - a[0]);
    difference[2] = difference[0] + hypot(b[2] - b[0], a[0] - a[1]);
}

static void compare_figures(session_comparison *c) {
    c->figure[0] = session_recorded_figure(c->run[0]);
    c->figure[1] = session_recorded_figure(c->run[1]);
    c->difference = c->low = c->high = NAN;
    c->better = SESSION_UNKNOWN;
    const base_model_row *a = c->figure[0], *b = c->figure[1];
    if (!a || !b)
        c->why_not = "not both runs measured the model";
    else if (strcmp(a->metric, b->metric) != 0)
        c->why_not = "the runs measured different metrics";
    else if (strcmp(a->data, b->data) != 0)
        c->why_not = "the runs measured on different data";
    if (c->why_not) return;
    double d[3];
    session_difference((double[3]){a->value, a->low, a->high}, (double[3]){b->value, b->low, b->high}, d);
    c->difference = d[0], c->low = d[1], c->high = d[2];
    c->known = isfinite(a->low) && isfinite(a->high) && isfinite(b->low) && isfinite(b->high);
    c->overlap = c->known && a->low <= b->high && b->low <= a->high;
    int order = sign_of(a->value, b->value) * (session_metric_rises(a->metric) ? -1 : 1);
    c->better = order == 0 ? SESSION_EQUAL : order < 0 ? SESSION_FIRST : SESSION_SECOND;
}

void session_compare(const session_recorded *first, const session_recorded *second, session_comparison *c) {
    *c = (session_comparison){.run = {first, second}};
    match(c);
    c->total[0] = session_recorded_sum(first);
    c->total[1] = session_recorded_sum(second);
    compare_figures(c);
}

void session_comparison_free(session_comparison *c) {
    free(c->pairs);
    free(c->alone[0]);
    free(c->alone[1]);
    *c = (session_comparison){0};
}
