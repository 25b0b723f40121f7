// The study's part of a report: sensitivity tables as heat maps, allocations with what they chose and what was
// predicted of them, and the same as CSV. The tables are JSON out of a history, so nothing in them is taken for
// granted.
#include "session/report.h"

#include "study/study.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 1024, MOST_COLS = 128 };

// Members of a table; NaN and "" where it has none.
static double real_of(const json_t *table, const char *key) {
    const json_t *v = json_object_get(table, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *text_of(const json_t *table, const char *key) {
    const char *text = json_string_value(json_object_get(table, key));
    return text ? text : "";
}

static bool is_kind(const json_t *table, const char *kind) {
    return strcmp(text_of(table, "kind"), kind) == 0;
}

static int names_of(const json_t *list, int most, const char **names) {
    int n = (int)json_array_size(list);
    n = n < most ? n : most;
    for (int i = 0; i < n; i++) {
        names[i] = json_string_value(json_array_get(list, (size_t)i));
        if (!names[i]) names[i] = "?";
    }
    return n;
}

static double cell_of(const json_t *table, const char *figure, int row, int col) {
    const json_t *v = json_array_get(json_array_get(json_object_get(table, figure), (size_t)row), (size_t)col);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

// ---- pages -----------------------------------------------------------------------------------------

static void put_heat(base_buf *out, const json_t *table) {
    const char *rows[MOST_ROWS], *cols[MOST_COLS];
    int r = names_of(json_object_get(table, "rows"), MOST_ROWS, rows),
        c = names_of(json_object_get(table, "options"), MOST_COLS, cols);
    double *value = base_calloc((size_t)(r * c) + 1, sizeof *value);
    bool log = true;
    for (int i = 0; i < r * c; i++) {
        value[i] = cell_of(table, "value", i / c, i % c);
        log &= !(value[i] < 0);
    }
    char title[80];
    snprintf(title, sizeof title, "Sensitivity: %.40s of each layer", text_of(table, "metric"));
    svg_heat h = {.title = title,
                  .unit = text_of(table, "unit"),
                  .rows = r,
                  .cols = c,
                  .row = rows,
                  .col = cols,
                  .value = value,
                  .log = log};
    base_buf_puts(out, "<div class=\"wide\">\n");
    svg_heat_put(out, &h);
    base_buf_puts(out, "</div>\n");
    free(value);
}

static void put_number(base_buf *out, const char *name, double x, const char *unit) {
    if (!isfinite(x)) return;
    base_buf_printf(out, "<tr><th>%s</th><td class=\"n\">%.8g ", name, x);
    svg_lines(out, unit);
    base_buf_puts(out, "</td></tr>\n");
}

// Options in the order of their first layer, each with the layers that took it.
static void put_choices(base_buf *out, const json_t *table) {
    const char *rows[MOST_ROWS], *taken[MOST_ROWS];
    int n = names_of(json_object_get(table, "rows"), MOST_ROWS, rows),
        m = names_of(json_object_get(table, "choice"), MOST_ROWS, taken);
    n = n < m ? n : m;
    for (int i = 0; i < n; i++) {
        bool first = true;
        for (int k = 0; k < i; k++) first &= strcmp(taken[k], taken[i]) != 0;
        if (!first) continue;
        base_buf_puts(out, "<tr><th>");
        svg_lines(out, taken[i]);
        base_buf_puts(out, "</th><td>");
        for (int k = i; k < n; k++) {
            if (strcmp(taken[k], taken[i]) != 0) continue;
            svg_lines(out, rows[k]);
            base_buf_puts(out, " ");
        }
        base_buf_puts(out, "</td></tr>\n");
    }
}

static void put_allocation(base_buf *out, const json_t *table) {
    const char *unit = text_of(table, "unit"), *metric = text_of(table, "metric");
    base_buf_puts(out, "<h3>Allocation by ");
    svg_lines(out, text_of(table, "solver"));
    base_buf_puts(out, "</h3>\n<table>\n");
    put_number(out, "cost", real_of(table, "cost"), unit);
    put_number(out, "budget", real_of(table, "budget"), unit);
    put_number(out, "outside the table", real_of(table, "outside"), unit);
    put_number(out, "bits a weight", real_of(table, "bits"), "");
    put_number(out, "predicted", real_of(table, "loss"), metric);
    put_number(out, "measured", real_of(table, "measured"), metric);
    put_number(out, "gap to the optimum or its bound", real_of(table, "gap"), metric);
    put_choices(out, table);
    base_buf_puts(out, "</table>\n");
}

void report_tables(base_buf *out, const session_recorded *run) {
    for (size_t i = 0; i < run->table_count; i++) {
        json_t *t = json_loads(run->tables[i], 0, NULL);
        if (is_kind(t, "sensitivity")) put_heat(out, t);
        if (is_kind(t, "allocation")) put_allocation(out, t);
        json_decref(t);
    }
}

// ---- predicted and measured --------------------------------------------------------------------------

typedef struct predictions {
    study_dot *dots;
    char **labels, metric[32];
    size_t count, others;
} predictions;

static void add_prediction(predictions *p, const session_recorded *run, const json_t *t) {
    double predicted = real_of(t, "loss"), measured = real_of(t, "measured");
    if (!is_kind(t, "allocation") || !isfinite(predicted) || !isfinite(measured)) return;
    if (!p->count) snprintf(p->metric, sizeof p->metric, "%s", text_of(t, "metric"));
    if (strcmp(p->metric, text_of(t, "metric")) != 0) {
        p->others++;
        return;
    }
    p->dots = base_realloc(p->dots, p->count + 1, sizeof *p->dots);
    p->labels = base_realloc(p->labels, p->count + 1, sizeof *p->labels);
    char *label = base_sprintf("%lld %.24s, %.0f %.24s", (long long)run->record.id, text_of(t, "solver"),
                               real_of(t, "cost"), text_of(t, "unit"));
    p->labels[p->count] = label;
    p->dots[p->count++] = (study_dot){.x = predicted, .y = measured, .low = NAN, .high = NAN, .label = label};
}

void report_predicted_chart(base_buf *out, const session_recorded *runs, int count) {
    predictions p = {0};
    char axis[2][80];
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < runs[i].table_count; k++) {
            json_t *t = json_loads(runs[i].tables[k], 0, NULL);
            add_prediction(&p, &runs[i], t);
            json_decref(t);
        }
    snprintf(axis[0], sizeof axis[0], "predicted %s (layers alone, added up)", p.metric);
    snprintf(axis[1], sizeof axis[1], "measured %s of the whole", p.metric);
    study_scatter s = {.title = "Allocations: predicted and measured loss",
                       .note = "on the line: losses of layers add up; above it: layers hurt each other",
                       .x_label = axis[0],
                       .y_label = axis[1],
                       .dots = p.dots,
                       .count = p.count,
                       .y_log = true,
                       .equal = true};
    char *svg = p.count ? study_scatter_svg(&s) : NULL;
    base_buf_puts(out, svg ? svg : "");
    if (p.others) base_buf_printf(out, "<p>%zu allocations in another metric are not drawn.</p>\n", p.others);
    for (size_t i = 0; i < p.count; i++) free(p.labels[i]);
    free(p.labels);
    free(p.dots);
    free(svg);
}

// ---- CSV -------------------------------------------------------------------------------------------

void session_csv_cell(base_buf *out, const char *text) {
    char clean[512];
    base_clean(clean, sizeof clean, text);
    if (!strpbrk(clean, ",\"")) {
        base_buf_puts(out, clean);
        return;
    }
    base_buf_puts(out, "\"");
    for (const char *c = clean; *c; c++) base_buf_add(out, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    base_buf_puts(out, "\"");
}

static void put_real(base_buf *b, double x) {
    base_buf_puts(b, ",");
    if (isfinite(x)) base_buf_printf(b, "%.17g", x);
}

// run, table, kind, metric, unit, layer, option
static void begin_line(base_buf *b, int64_t run, size_t table, const char *kind, const json_t *t, const char *unit,
                       const char *layer, const char *option) {
    const char *cells[] = {kind, text_of(t, "metric"), unit, layer, option};
    base_buf_printf(b, "%lld,%zu", (long long)run, table + 1);
    for (int i = 0; i < 5; i++) {
        base_buf_puts(b, ",");
        session_csv_cell(b, cells[i]);
    }
}

static void sensitivity_csv(base_buf *b, int64_t run, size_t table, const json_t *t) {
    static const char *const figures[] = {"value", "error", "bytes", "seconds"};
    const char *rows[MOST_ROWS], *cols[MOST_COLS];
    int r = names_of(json_object_get(t, "rows"), MOST_ROWS, rows),
        c = names_of(json_object_get(t, "options"), MOST_COLS, cols);
    for (int i = 0; i < r * c; i++) {
        begin_line(b, run, table, "sensitivity", t, text_of(t, "unit"), rows[i / c], cols[i % c]);
        for (int f = 0; f < 4; f++) put_real(b, cell_of(t, figures[f], i / c, i % c));
        base_buf_puts(b, "\n");
    }
}

// What is said of the whole choice (layer empty, option the solver; bytes of all arrays), then a line a layer.
static void allocation_csv(base_buf *b, int64_t run, size_t table, const json_t *t) {
    static const char *const whole[][2] = {
        {"predicted", "loss"}, {"measured", "measured"}, {"cost", "cost"}, {"budget", "budget"}};
    const char *rows[MOST_ROWS], *taken[MOST_ROWS];
    int n = names_of(json_object_get(t, "rows"), MOST_ROWS, rows),
        m = names_of(json_object_get(t, "choice"), MOST_ROWS, taken);
    for (int k = 0; k < 4; k++) {
        begin_line(b, run, table, whole[k][0], t, k < 2 ? "" : text_of(t, "unit"), "", text_of(t, "solver"));
        put_real(b, real_of(t, whole[k][1]));
        put_real(b, NAN);
        put_real(b, real_of(t, "bytes"));
        base_buf_puts(b, ",\n");
    }
    for (int i = 0; i < n && i < m; i++) {
        begin_line(b, run, table, "chosen", t, "", rows[i], taken[i]);
        base_buf_puts(b, ",,,,\n");
    }
}

void session_report_tables_csv(base_buf *b, const session_recorded *runs, int count) {
    bool any = false;
    for (int i = 0; i < count; i++) any |= runs[i].table_count > 0;
    if (!any) return;
    base_buf_puts(b, "\nrun,table,kind,metric,unit,layer,option,value,error,bytes,seconds\n");
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < runs[i].table_count; k++) {
            json_t *t = json_loads(runs[i].tables[k], 0, NULL);
            if (is_kind(t, "sensitivity")) sensitivity_csv(b, runs[i].record.id, k, t);
            if (is_kind(t, "allocation")) allocation_csv(b, runs[i].record.id, k, t);
            json_decref(t);
        }
}
