// Charts of a report: what a smaller file costs, which layers hurt, and what theory expects against what came out.
#include "session/report.h"

#include "study/study.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_scatter(base_buf *out, const study_scatter *s) {
    if (!s->count) return;
    char *svg = study_scatter_svg(s);
    base_buf_puts(out, svg);
    free(svg);
}

// ---- size against the metric -------------------------------------------------------------------

// {"bits":3,"group":64} as "bits=3 group=64"; caller frees.
static char *params_text(const session_record *r) {
    json_t *o = json_loads(r->params, 0, NULL), *value;
    const char *key;
    base_buf b = {0};
    json_object_foreach(o, key, value) {
        char *v = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        base_buf_printf(&b, "%s%s=%s", b.length ? " " : "", key, json_is_string(value) ? json_string_value(value) : v);
        free(v);
    }
    json_decref(o);
    return b.text ? b.text : base_strdup("");
}

// Runs of one recipe are told apart by their params, others by their recipe.
static char *label_of(const session_recorded *runs, int count, int i, const base_model_row *m) {
    bool one_recipe = count > 1;
    for (int k = 1; k < count; k++) one_recipe &= strcmp(runs[k].record.recipe_hash, runs[0].record.recipe_hash) == 0;
    char *params = one_recipe ? params_text(&runs[i].record) : NULL;
    char *label = base_sprintf("%lld %.24s %.64s", (long long)runs[i].record.id, m->label,
                               params && *params ? params : runs[i].record.recipe);
    free(params);
    return label;
}

// Every measured row with the metric and the data of the first one that has any; others cannot share the axis.
void report_size_chart(base_buf *out, const session_recorded *runs, int count) {
    const base_model_row *like = NULL;
    for (int i = 0; i < count && !like; i++) like = session_recorded_figure(&runs[i]);
    if (!like) return;
    size_t most = 0, left_out = 0;
    for (int i = 0; i < count; i++) most += runs[i].model_count;
    study_dot *dots = base_calloc(most + 1, sizeof *dots);
    char y_name[256], **labels = base_calloc(most + 1, sizeof *labels);
    study_scatter s = {.title = "Size and accuracy",
                       .x_label = "bytes of the file, header included",
                       .y_label = y_name,
                       .note = "with 95 % intervals; the line joins what nothing smaller reaches",
                       .dots = dots,
                       .higher = session_metric_rises(like->metric)};
    snprintf(y_name, sizeof y_name, "%s on %s (%s is better)", like->metric, like->data, s.higher ? "more" : "less");
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < runs[i].model_count; k++) {
            const base_model_row *m = &runs[i].models[k];
            if (!isfinite(m->value) || m->bytes <= 0) continue;
            if (strcmp(m->metric, like->metric) != 0 || strcmp(m->data, like->data) != 0) {
                left_out++;
                continue;
            }
            labels[s.count] = label_of(runs, count, i, m);
            dots[s.count] = (study_dot){.x = (double)(m->bytes + m->header_bytes),
                                        .y = m->value,
                                        .low = m->low,
                                        .high = m->high,
                                        .label = labels[s.count]};
            s.count++;
        }
    study_front(dots, s.count, s.higher);
    put_scatter(out, &s);
    if (left_out) base_buf_printf(out, "<p>%zu figures of another metric or other data are not drawn.</p>\n", left_out);
    for (size_t i = 0; i < s.count; i++) free(labels[i]);
    free(labels);
    free(dots);
}

// ---- errors of layers --------------------------------------------------------------------------

enum { MOST_ROWS = 256, MOST_COLS = 32 };

static double error_of(const session_recorded *r, const char *layer) {
    for (size_t i = r->layer_count; i-- > 0;)
        if (strcmp(r->layers[i].name, layer) == 0)
            return isfinite(r->layers[i].output_error) ? r->layers[i].output_error : r->layers[i].weight_error;
    return NAN;
}

static int layer_names(const session_recorded *runs, int count, const char **names) {
    int n = 0;
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < runs[i].layer_count && n < MOST_ROWS; k++) {
            bool known = false;
            for (int j = 0; j < n && !known; j++) known = strcmp(names[j], runs[i].layers[k].name) == 0;
            if (!known) names[n++] = runs[i].layers[k].name;
        }
    return n;
}

static void heat_of_runs(base_buf *out, const session_recorded *runs, int count) {
    const char *names[MOST_ROWS], *columns[MOST_COLS];
    char text[MOST_COLS][32];
    int cols = count < MOST_COLS ? count : MOST_COLS, rows = layer_names(runs, cols, names);
    double *value = base_calloc((size_t)(rows * cols) + 1, sizeof *value);
    for (int c = 0; c < cols; c++) {
        snprintf(text[c], sizeof text[c], "%lld %.20s", (long long)runs[c].record.id, runs[c].record.recipe);
        columns[c] = text[c];
        for (int r = 0; r < rows; r++) value[r * cols + c] = error_of(&runs[c], names[r]);
    }
    svg_heat h = {.title = "Relative output error of each layer (weight error where no outputs were measured)",
                  .rows = rows,
                  .cols = cols,
                  .row = names,
                  .col = columns,
                  .value = value,
                  .log = true};
    svg_heat_put(out, &h);
    free(value);
}

static void heat_of_figures(base_buf *out, const session_recorded *run) {
    static const char *const columns[] = {"weight", "output", "held-out", "arriving", "arriv. held"};
    enum { COLS = 5 };
    int rows = run->layer_count < MOST_ROWS ? (int)run->layer_count : MOST_ROWS;
    const char *names[MOST_ROWS];
    double *value = base_calloc((size_t)(rows * COLS) + 1, sizeof *value);
    for (int r = 0; r < rows; r++) {
        const base_layer_row *l = &run->layers[r];
        const double row[COLS] = {l->weight_error, l->output_error, l->output_error_held, l->chained_error,
                                  l->chained_error_held};
        names[r] = l->name;
        memcpy(value + r * COLS, row, sizeof row);
    }
    svg_heat h = {.title = "Relative errors of each layer",
                  .rows = rows,
                  .cols = COLS,
                  .row = names,
                  .col = columns,
                  .value = value,
                  .log = true};
    svg_heat_put(out, &h);
    free(value);
}

void report_heat(base_buf *out, const session_recorded *runs, int count) {
    if (count == 1)
        heat_of_figures(out, runs);
    else
        heat_of_runs(out, runs, count);
}

// ---- the bound ---------------------------------------------------------------------------------

void report_bound_chart(base_buf *out, const session_recorded *run) {
    study_dot *dots = base_calloc(run->layer_count + 1, sizeof *dots);
    study_scatter s = {.title = "Weight error: what independent Gaussian weights allow, and what came out",
                       .note = "on the line: equal",
                       .x_label = "bound 2^(-2 bits) at the layer's stored bits",
                       .y_label = "relative weight error",
                       .dots = dots,
                       .y_log = true,
                       .equal = true};
    for (size_t i = 0; i < run->layer_count; i++) {
        const base_layer_row *l = &run->layers[i];
        if (!(l->weight_error > 0) || !(l->d_of_r > 1e-15) || !isfinite(l->weight_error) || !isfinite(l->d_of_r))
            continue;
        dots[s.count++] = (study_dot){.x = l->d_of_r, .y = l->weight_error, .low = NAN, .high = NAN, .label = l->name};
    }
    put_scatter(out, &s);
    free(dots);
}
