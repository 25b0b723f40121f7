// vise report: recorded runs as one HTML page, as CSV (a line a layer) or as JSON (an object a run).
#include "cli/runs.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- CSV -------------------------------------------------------------------------------------------

static void put_field(base_buf *b, const void *row, const base_field *f) {
    const char *at = (const char *)row + f->offset;
    double real;
    int64_t whole;
    if (f->type == BASE_F_TEXT) {
        session_csv_cell(b, at);
    } else if (f->type == BASE_F_INT) {
        memcpy(&whole, at, sizeof whole);
        base_buf_printf(b, "%lld", (long long)whole);
    } else {
        memcpy(&real, at, sizeof real);
        if (isfinite(real)) base_buf_printf(b, "%.17g", real);
    }
}

static void report_csv(base_buf *b, const session_recorded *runs, int count) {
    base_buf_puts(b, "run,recipe,status");
    for (size_t k = 0; k < base_layer_field_count; k++) base_buf_printf(b, ",%s", base_layer_fields[k].name);
    base_buf_puts(b, "\n");
    for (int i = 0; i < count; i++)
        for (size_t l = 0; l < runs[i].layer_count; l++) {
            base_buf_printf(b, "%lld,", (long long)runs[i].record.id);
            session_csv_cell(b, runs[i].record.recipe);
            base_buf_puts(b, ",");
            session_csv_cell(b, runs[i].record.status);
            for (size_t k = 0; k < base_layer_field_count; k++) {
                base_buf_puts(b, ",");
                put_field(b, &runs[i].layers[l], &base_layer_fields[k]);
            }
            base_buf_puts(b, "\n");
        }
    session_report_tables_csv(b, runs, count);
}

// ---- JSON ------------------------------------------------------------------------------------------

static json_t *row_json(const void *row, const base_field *fields, size_t count) {
    json_t *o = json_object();
    for (size_t k = 0; k < count; k++) {
        const char *at = (const char *)row + fields[k].offset;
        double real;
        int64_t whole;
        char clean[512];
        if (fields[k].type == BASE_F_TEXT) {
            base_clean(clean, sizeof clean, at);
            json_object_set_new(o, fields[k].name, json_string(clean));
        } else if (fields[k].type == BASE_F_INT) {
            memcpy(&whole, at, sizeof whole);
            json_object_set_new(o, fields[k].name, json_integer((json_int_t)whole));
        } else {
            memcpy(&real, at, sizeof real);
            json_object_set_new(o, fields[k].name, isfinite(real) ? json_real(real) : json_null());
        }
    }
    return o;
}

static void report_json(base_buf *b, const session_recorded *runs, int count) {
    for (int i = 0; i < count; i++) {
        json_t *o = cli_record_json(&runs[i].record), *layers = json_array(), *models = json_array();
        for (size_t k = 0; k < runs[i].layer_count; k++)
            json_array_append_new(layers, row_json(&runs[i].layers[k], base_layer_fields, base_layer_field_count));
        for (size_t k = 0; k < runs[i].model_count; k++)
            json_array_append_new(models, row_json(&runs[i].models[k], base_model_fields, base_model_field_count));
        json_object_set_new(o, "recipe_text", json_string(runs[i].record.recipe_text));
        json_object_set_new(o, "layers", layers);
        json_object_set_new(o, "models", models);
        json_t *tables = json_array();
        for (size_t k = 0; k < runs[i].table_count; k++) {
            json_t *t = json_loads(runs[i].tables[k], 0, NULL);
            if (t) json_array_append_new(tables, t);
        }
        json_object_set_new(o, "tables", tables);
        char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
        base_buf_printf(b, "%s\n", text ? text : "{}");
        free(text);
        json_decref(o);
    }
}

static bool write_text(const char *path, const base_buf *text, base_err *err) {
    base_out out;
    if (!base_out_open(&out, path, err)) return false;
    fwrite(text->text, 1, text->length, out.file);
    return base_out_commit(&out, err);
}

base_status cli_report(const cli_options *o, base_err *err) {
    if (o->csv && o->json) {
        base_fail_as(err, BASE_USAGE, "vise report writes --csv or --json, not both at once");
        return BASE_USAGE;
    }
    int count;
    session_recorded *runs = cli_runs_open(o, "report", &count, err);
    if (!runs) return cli_failed(err);
    base_buf text = {0};
    (o->csv ? report_csv : o->json ? report_json : session_report_html)(&text, runs, count);
    bool page = !o->csv && !o->json, ok = true;
    const char *path = o->out ? o->out : page ? "out/report.html" : NULL;
    if (path)
        ok = write_text(path, &text, err);
    else
        fwrite(text.text, 1, text.length, stdout);
    if (ok && path) printf("%s: %zu bytes\n", path, text.length);
    base_buf_free(&text);
    cli_runs_close(runs, count);
    return ok ? BASE_OK : cli_failed(err);
}
