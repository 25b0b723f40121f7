// sensitivity: tables of layers x options, the table of metrics, and the call that measures one.
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const study_metric *const study_metrics[] = {
    &metric_loss,
    &metric_loss_but_one,
    &metric_decoupled,
    &metric_pairs,
    &metric_pruning,
    &metric_output_error,
    &metric_canonical_correlation,
    &metric_activation_variance,
    &metric_activation_spike,
    &metric_fisher,
    &metric_first_order,
    &metric_taylor,
    &metric_relevance,
    &metric_distilled,
    &metric_weight_error,
    &metric_heavy_tail,
    &metric_pq_index,
    &metric_hessian_trace,
    &metric_trace_noise,
    &metric_top_eigenvalue,
    &metric_eigenvalue_spread,
    &metric_time,
};
const size_t study_metric_count = sizeof study_metrics / sizeof *study_metrics;

const study_metric *study_metric_find(const char *name) {
    for (size_t i = 0; i < study_metric_count; i++)
        if (!strcmp(study_metrics[i]->name, name)) return study_metrics[i];
    return NULL;
}

int study_layer(const study_subject *s, int row) {
    return s->layers ? s->layers[row] : row;
}

static int rows_of(const study_subject *s) {
    return s->layers ? s->layer_count : s->m->layer_count;
}

static double operations_of(const model *m, const model_layer *l) {
    if (l->node < 0) return NAN;
    const model_node *n = &m->graph->nodes[l->node];
    return model_ops[n->op].flops(n, model_graph_shape(m->graph, n->in[0]), model_graph_shape(m->graph, n->out[0])) / 2;
}

// All steps of an option, ", " between them; NULL when one of them is a recipe's own.
static char *lua_of(const study_option *o) {
    base_buf b = {0};
    for (int k = 0; k < o->step_count; k++) {
        char *one = compress_step_lua(&o->steps[k]);
        if (!one) {
            base_buf_free(&b);
            return NULL;
        }
        base_buf_printf(&b, "%s%s", k ? ", " : "", one);
        free(one);
    }
    return b.text;
}

bool study_table_new(study_table *t, const study_subject *s, const char *metric, const char *unit, bool by_option,
                     base_err *err) {
    *t = (study_table){.rows = rows_of(s), .cols = by_option ? s->option_count : 1};
    if (t->rows < 1 || t->cols < 1)
        return base_fail(err, "sensitivity: %s", t->rows < 1 ? "there is no layer to look at" : "no option was given");
    snprintf(t->metric, sizeof t->metric, "%s", metric);
    snprintf(t->unit, sizeof t->unit, "%s", unit);
    size_t cells = (size_t)t->rows * (size_t)t->cols;
    t->row = base_calloc((size_t)t->rows, sizeof *t->row);
    t->col = base_calloc((size_t)t->cols, sizeof *t->col);
    t->value = base_calloc(cells, sizeof *t->value);
    t->error = base_calloc(cells, sizeof *t->error);
    t->seconds = base_calloc(cells, sizeof *t->seconds);
    if (by_option) t->bytes = base_calloc(cells, sizeof *t->bytes);
    t->weights = base_calloc((size_t)t->rows, sizeof *t->weights);
    t->operations = base_calloc((size_t)t->rows, sizeof *t->operations);
    t->steps = base_calloc((size_t)t->cols, sizeof *t->steps);
    for (int c = 0; c < t->cols; c++) {
        t->col[c] = base_strdup(by_option ? s->options[c].name : "layer");
        if (by_option) t->steps[c] = lua_of(&s->options[c]);
    }
    for (int r = 0; r < t->rows; r++) {
        const model_layer *l = &s->m->layers[study_layer(s, r)];
        t->row[r] = base_strdup(l->name);
        t->weights[r] = (double)l->weights;
        t->operations[r] = operations_of(s->m, l);
    }
    for (size_t i = 0; i < cells; i++) t->value[i] = t->error[i] = t->seconds[i] = NAN;
    return true;
}

void study_table_free(study_table *t) {
    for (int r = 0; t->row && r < t->rows; r++) free(t->row[r]);
    for (int c = 0; t->col && c < t->cols; c++) free(t->col[c]);
    free(t->row);
    for (int c = 0; t->steps && c < t->cols; c++) free(t->steps[c]);
    free(t->col);
    free(t->steps);
    free(t->value);
    free(t->error);
    free(t->bytes);
    free(t->seconds);
    free(t->weights);
    free(t->operations);
    *t = (study_table){0};
}

typedef struct each_cell {
    const study_subject *s;
    study_table *t;
    study_cell cell; // one of the two
    study_stored_cell stored_cell;
    void *context;
} each_cell;

static bool on_option(void *context, int layer, int rule, const float *decoded, const compress_stored *stored,
                      const base_layer_row *row, base_err *err) {
    const each_cell *e = context;
    int r = 0;
    while (study_layer(e->s, r) != layer) r++;
    int at = r * e->t->cols + rule;
    e->t->bytes[at] = row->bytes;
    e->t->seconds[at] = row->seconds;
    if (e->s->have && e->s->have[at]) return true;
    bool ok = e->cell ? e->cell(e->context, r, rule, decoded, row, err)
                      : e->stored_cell(e->context, r, rule, decoded, stored, err);
    if (!ok) return false;
    if (e->s->measured) e->s->measured(e->s->measured_context, e->t, r, rule);
    return true;
}

static bool visit(each_cell *e, base_job *job, base_err *err) {
    const study_subject *s = e->s;
    compress_rule *rules = base_calloc((size_t)s->option_count, sizeof *rules);
    for (int o = 0; o < s->option_count; o++)
        rules[o] = (compress_rule){.pattern = (char *)s->options[o].name,
                                   .steps = (compress_step *)s->options[o].steps,
                                   .step_count = s->options[o].step_count};
    compress_plan plan = {.rules = rules, .rule_count = s->option_count, .calib = s->calib, .seed = s->seed};
    bool ok = compress_options(s->m, &plan, s->layers, s->layer_count, on_option, e, job, err);
    free(rules);
    return ok;
}

bool study_each(const study_subject *s, study_table *t, study_cell cell, void *context, base_job *job, base_err *err) {
    each_cell e = {.s = s, .t = t, .cell = cell, .context = context};
    return visit(&e, job, err);
}

bool study_each_stored(const study_subject *s, study_table *t, study_stored_cell cell, void *context, base_job *job,
                       base_err *err) {
    each_cell e = {.s = s, .t = t, .stored_cell = cell, .context = context};
    return visit(&e, job, err);
}

// ---- measuring -------------------------------------------------------------------------------------

bool study_has_data(const study_subject *s, const study_metric *m, base_err *err) {
    if (m->data && !s->m->graph)
        return base_fail(err, "sensitivity: metric %s runs the network, and no architecture fits %s", m->name,
                         s->m->name);
    if ((m->data & STUDY_CALIB) && !s->calib)
        return base_fail(err, "sensitivity: metric %s needs calibration samples (calibrate = ...)", m->name);
    if ((m->data & STUDY_SELECT) && !s->select && !s->calib)
        return base_fail(err, "sensitivity: metric %s needs samples to measure on (measure = ...)", m->name);
    return true;
}

enum { MOST_ARGS = 16 };

bool study_sensitivity(const study_subject *s, const study_metric *metric, const base_value *values, study_table *t,
                       base_job *job, base_err *err) {
    base_value own[MOST_ARGS];
    BASE_CHECK(metric->arg_count <= MOST_ARGS);
    *t = (study_table){0};
    if (!study_has_data(s, metric, err)) return false;
    if (!values) {
        base_arg_defaults(metric->args, metric->arg_count, own);
        values = own;
    }
    double forward = 0, backward = 0;
    if (metric->work) metric->work(s, values, &forward, &backward);
    base_log(job, BASE_INFO,
             "sensitivity %s of %d layer%s: about %.0f forward and %.0f backward passes over the samples", metric->name,
             rows_of(s), rows_of(s) == 1 ? "" : "s", forward, backward);
    if (metric->measure(s, values, t, job, err)) return true;
    study_table_free(t);
    return false;
}

// ---- rank correlation ------------------------------------------------------------------------------

static const double *sorted_by;
static int by_value(const void *a, const void *b) {
    double x = sorted_by[*(const int *)a], y = sorted_by[*(const int *)b];
    return x < y ? -1 : x > y;
}

// Ranks from 1, equal values sharing their mean rank.
static void ranks(const double *x, int n, double *rank) {
    int *order = base_calloc((size_t)n + 1, sizeof *order);
    for (int i = 0; i < n; i++) order[i] = i;
    sorted_by = x;
    qsort(order, (size_t)n, sizeof *order, by_value);
    for (int i = 0; i < n;) {
        int j = i;
        while (j < n && x[order[j]] == x[order[i]]) j++;
        for (int k = i; k < j; k++) rank[order[k]] = (i + 1 + j) / 2.0;
        i = j;
    }
    free(order);
}

double study_rank_correlation(const study_table *a, const study_table *b) {
    if (a->rows != b->rows || (a->cols != b->cols && a->cols != 1 && b->cols != 1)) return NAN;
    int cols = a->cols > b->cols ? a->cols : b->cols, n = 0;
    size_t most = (size_t)a->rows * (size_t)cols;
    double *x = base_calloc(most * 4, sizeof *x), *y = x + most, *rx = y + most, *ry = rx + most;
    for (int r = 0; r < a->rows; r++)
        for (int c = 0; c < cols; c++) {
            double p = a->value[r * a->cols + (a->cols == 1 ? 0 : c)],
                   q = b->value[r * b->cols + (b->cols == 1 ? 0 : c)];
            if (!isfinite(p) || !isfinite(q)) continue;
            x[n] = p;
            y[n++] = q;
        }
    double sxy = 0, sxx = 0, syy = 0;
    if (n >= 3) {
        ranks(x, n, rx);
        ranks(y, n, ry);
        for (int i = 0; i < n; i++) {
            double dx = rx[i] - (n + 1) / 2.0, dy = ry[i] - (n + 1) / 2.0;
            sxy += dx * dy, sxx += dx * dx, syy += dy * dy;
        }
    }
    free(x);
    return sxx > 0 && syy > 0 ? sxy / sqrt(sxx * syy) : NAN;
}
