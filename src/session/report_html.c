// The page of a report: one HTML file without scripts, links or anything outside of itself. Everything that came from
// a file or a history is escaped on its way in.
#include "session/report.h"

#include "study/study.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char style[] =
    "body{font:14px/1.45 sans-serif;max-width:1100px;margin:24px auto;padding:0 16px;color:#222}"
    "h1{font-size:24px}h2{font-size:19px;margin-top:40px;border-bottom:1px solid #ccc}h3{font-size:15px}"
    "table{border-collapse:collapse;font-size:12px}th,td{padding:3px 8px;border-bottom:1px solid #e2e2e2}"
    "th{text-align:left;background:#f4f4f4}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "pre{background:#f6f6f6;padding:10px;overflow:auto;font-size:12px}.wide{overflow-x:auto}"
    "svg{max-width:100%;height:auto}.bad{color:#a01818}"
    "@media print{h2{page-break-before:always}}";

static void put(base_buf *b, const char *text) {
    svg_lines(b, text);
}

static void put_row(base_buf *b, const char *name, const char *value) {
    if (!value || !*value) return;
    base_buf_puts(b, "<tr><th>");
    put(b, name);
    base_buf_puts(b, "</th><td>");
    put(b, value);
    base_buf_puts(b, "</td></tr>\n");
}

// Relative errors and other real figures keep four digits; what was not measured is a dash.
static void put_field(base_buf *b, const void *row, const base_field *f) {
    const char *at = (const char *)row + f->offset;
    if (f->type == BASE_F_TEXT) {
        base_buf_puts(b, "<td>");
        put(b, at);
    } else if (f->type == BASE_F_INT) {
        int64_t v;
        memcpy(&v, at, sizeof v);
        base_buf_printf(b, "<td class=\"n\">%lld", (long long)v);
    } else {
        double v;
        memcpy(&v, at, sizeof v);
        if (isfinite(v))
            base_buf_printf(b, "<td class=\"n\">%.5g", v);
        else
            base_buf_puts(b, "<td class=\"n\">-");
    }
    base_buf_puts(b, "</td>");
}

static void put_table(base_buf *b, const void *rows, size_t count, size_t size, const base_field *fields,
                      size_t field_count) {
    base_buf_puts(b, "<div class=\"wide\"><table>\n<tr>");
    for (size_t k = 0; k < field_count; k++) {
        base_buf_puts(b, "<th title=\"");
        put(b, fields[k].help);
        base_buf_puts(b, "\">");
        put(b, fields[k].name);
        if (fields[k].unit[0]) {
            base_buf_puts(b, " [");
            put(b, fields[k].unit);
            base_buf_puts(b, "]");
        }
        base_buf_puts(b, "</th>");
    }
    base_buf_puts(b, "</tr>\n");
    for (size_t i = 0; i < count; i++) {
        base_buf_puts(b, "<tr>");
        for (size_t k = 0; k < field_count; k++) put_field(b, (const char *)rows + i * size, &fields[k]);
        base_buf_puts(b, "</tr>\n");
    }
    base_buf_puts(b, "</table></div>\n");
}

static void put_summary(base_buf *b, const session_recorded *runs, int count) {
    base_buf_puts(b, "<table>\n<tr><th>run</th><th>recipe</th><th>model</th><th>status</th><th>seconds</th>"
                     "<th>layer bytes</th><th>bits a weight</th><th>file bytes</th><th>figure</th></tr>\n");
    for (int i = 0; i < count; i++) {
        const session_record *r = &runs[i].record;
        session_total t = session_recorded_sum(&runs[i]);
        const base_model_row *m = session_recorded_figure(&runs[i]);
        base_buf_printf(b, "<tr><td><a href=\"#run%lld\">%lld</a></td><td>", (long long)r->id, (long long)r->id);
        put(b, r->recipe);
        base_buf_puts(b, "</td><td>");
        put(b, base_basename(r->model));
        base_buf_puts(b, "</td><td>");
        put(b, r->status);
        base_buf_printf(b, "</td><td class=\"n\">%.2f</td><td class=\"n\">%lld</td>", r->seconds, (long long)t.bytes);
        if (isfinite(t.bits))
            base_buf_printf(b, "<td class=\"n\">%.4f</td>", t.bits);
        else
            base_buf_puts(b, "<td class=\"n\">-</td>");
        base_buf_printf(b, "<td class=\"n\">%lld</td><td>", (long long)r->output_bytes);
        char *text = m ? session_figures_text(m) : NULL;
        put(b, text ? text : "none measured");
        free(text);
        base_buf_puts(b, "</td></tr>\n");
    }
    base_buf_puts(b, "</table>\n");
}

// {"bits": 3} as rows of a table; what is not an object is shown as it is.
static void put_object(base_buf *b, const char *title, const char *text) {
    json_t *o = json_loads(text, 0, NULL), *value;
    const char *key;
    if (!json_is_object(o) || !json_object_size(o)) {
        if (text && *text && strcmp(text, "{}") != 0 && strcmp(text, "[]") != 0) put_row(b, title, text);
        json_decref(o);
        return;
    }
    json_object_foreach(o, key, value) {
        char *name = base_sprintf("%s: %s", title, key), *v = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        put_row(b, name, json_is_string(value) ? json_string_value(value) : v);
        free(name);
        free(v);
    }
    json_decref(o);
}

static void put_facts(base_buf *b, const session_recorded *run) {
    const session_record *r = &run->record;
    char started[40] = "?", peak[24], number[64];
    time_t when = (time_t)r->started;
    struct tm utc;
    if (gmtime_r(&when, &utc)) strftime(started, sizeof started, "%Y-%m-%d %H:%M:%S UTC", &utc);
    base_buf_puts(b, "<table>\n");
    put_row(b, "status", r->status);
    put_row(b, "message", r->message);
    put_row(b, "started", started);
    snprintf(number, sizeof number, "%.2f s", r->seconds);
    put_row(b, "took", number);
    put_row(b, "peak memory for data", base_bytes_text(peak, (double)r->peak_bytes));
    put_row(b, "model", r->model);
    put_row(b, "model, xxh128", r->model_hash);
    put_row(b, "data", r->data);
    put_row(b, "data, xxh128", r->data_hash);
    put_row(b, "saved", r->output);
    put_row(b, "saved, xxh128", r->output_hash);
    snprintf(number, sizeof number, "%lld, of which header %lld", (long long)r->output_bytes,
             (long long)r->output_header_bytes);
    if (r->output[0]) put_row(b, "saved, bytes", number);
    put_object(b, "param", r->params);
    put_object(b, "setting", r->settings);
    put_row(b, "seeds", strcmp(r->seeds, "[]") ? r->seeds : "");
    put_object(b, "made by", r->environment);
    base_buf_puts(b, "</table>\n");
}

static void put_replay(base_buf *b, const session_record *r) {
    base_buf_puts(b, "<h3>How to replay</h3>\n<pre>");
    base_buf_printf(b, "vise replay %lld --check    # runs it again and compares the hash of every file it saved\n",
                    (long long)r->id);
    base_buf_puts(b, "</pre>\n<p>The history that holds the run is needed; elsewhere save the recipe text below as a "
                     "file and run it with the params and settings above. The model and data must have the hashes "
                     "named.</p>\n");
}

static void put_run(base_buf *b, const session_recorded *run, bool alone) {
    const session_record *r = &run->record;
    base_buf_printf(b, "<h2 id=\"run%lld\">Run %lld: ", (long long)r->id, (long long)r->id);
    put(b, r->recipe);
    base_buf_puts(b, "</h2>\n");
    if (strcmp(r->status, "done") != 0) {
        base_buf_puts(b, "<p class=\"bad\">This run did not finish (");
        put(b, r->status);
        base_buf_puts(b, "); what it had finished is shown.</p>\n");
    }
    put_facts(b, run);
    base_buf_puts(b, "<h3>Figures</h3>\n");
    if (run->model_count)
        put_table(b, run->models, run->model_count, sizeof *run->models, base_model_fields, base_model_field_count);
    else
        base_buf_puts(b, "<p>None were reported.</p>\n");
    base_buf_puts(b, "<h3>Layers</h3>\n");
    if (run->layer_count) {
        put_table(b, run->layers, run->layer_count, sizeof *run->layers, base_layer_fields, base_layer_field_count);
        if (!alone) report_heat(b, run, 1);
        report_bound_chart(b, run);
    } else {
        base_buf_puts(b, "<p>None were compressed.</p>\n");
    }
    report_tables(b, run);
    put_replay(b, r);
    base_buf_puts(b, "<h3>Recipe</h3>\n<p>");
    put(b, r->recipe_path);
    base_buf_puts(b, ", xxh128 ");
    put(b, r->recipe_hash);
    base_buf_puts(b, "</p>\n<pre>");
    put(b, r->recipe_text);
    base_buf_puts(b, "</pre>\n");
}

void session_report_html(base_buf *b, const session_recorded *runs, int count) {
    base_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                     "<meta name=\"viewport\" content=\"width=device-width\"/><title>Vise: ");
    if (count == 1) {
        base_buf_printf(b, "run %lld, ", (long long)runs->record.id);
        put(b, runs->record.recipe);
    } else {
        base_buf_printf(b, "%d runs", count);
    }
    base_buf_printf(b, "</title><style>%s</style></head><body>\n<h1>%d recorded run%s</h1>\n", style, count,
                    count == 1 ? "" : "s");
    put_summary(b, runs, count);
    report_size_chart(b, runs, count);
    report_heat(b, runs, count);
    report_predicted_chart(b, runs, count);
    for (int i = 0; i < count; i++) put_run(b, &runs[i], count == 1);
    base_buf_printf(b, "<p>Written by Vise %s.</p>\n</body></html>\n", VISE_VERSION);
}
