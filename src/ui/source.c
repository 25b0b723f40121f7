// Sources: arrays of rows described by field tables, so that tables, charts, search and views read layers, runs,
// params, recipes and the log in one way.
#include "ui/part.h"

#include <math.h>
#include <string.h>

#define F_TEXT(s, name, help)                                                                                          \
    { #name, "", help, BASE_F_TEXT, offsetof(s, name), sizeof(((s *)0)->name) }
#define F_INT(s, name, unit, help)                                                                                     \
    { #name, unit, help, BASE_F_INT, offsetof(s, name), sizeof(int64_t) }
#define F_REAL(s, name, unit, help)                                                                                    \
    { #name, unit, help, BASE_F_REAL, offsetof(s, name), sizeof(double) }

// Fields of a layer: base's own (ui_layer starts with the row), then the state.
static const base_field layer_extra[] = {
    F_INT(ui_layer, state, "", "waiting, working, done, left as it was, broken, waited before"),
    F_REAL(ui_layer, baseline, "", "output error of round to nearest in as many bytes"),
    F_INT(ui_layer, changed, "", "1: its steps were changed by hand in this run"),
};

static const base_field run_fields[] = {
    F_INT(ui_run, number, "", "run of this session"),
    F_TEXT(ui_run, recipe, "name of the recipe"),
    F_TEXT(ui_run, settings, "its params"),
    F_TEXT(ui_run, model, "model file"),
    F_TEXT(ui_run, data, "dataset and part"),
    F_TEXT(ui_run, metric, "what value measures"),
    F_TEXT(ui_run, state, "running, done, stopped, failed"),
    F_TEXT(ui_run, message, "closing sentence or error"),
    F_TEXT(ui_run, saved, "last file written"),
    F_TEXT(ui_run, hash, "its hash"),
    F_REAL(ui_run, before, "", "metric of the original"),
    F_REAL(ui_run, before_low, "", "lower end of its 95 % interval"),
    F_REAL(ui_run, before_high, "", "upper end of its 95 % interval"),
    F_REAL(ui_run, value, "", "metric after compression"),
    F_REAL(ui_run, low, "", "lower end of its 95 % interval"),
    F_REAL(ui_run, high, "", "upper end of its 95 % interval"),
    F_REAL(ui_run, kl, "nat", "mean KL divergence from the original"),
    F_REAL(ui_run, kl_low, "nat", "lower end of its 95 % interval"),
    F_REAL(ui_run, kl_high, "nat", "upper end of its 95 % interval"),
    F_INT(ui_run, flips, "", "changed decisions"),
    F_INT(ui_run, samples, "", "samples evaluated"),
    F_INT(ui_run, bytes, "B", "bytes of all tensors"),
    F_INT(ui_run, bytes_before, "B", "bytes of the original's tensors"),
    F_REAL(ui_run, ratio, "", "bytes before / bytes after"),
    F_REAL(ui_run, bits, "bit", "bits per weight"),
    F_REAL(ui_run, seconds, "s", "time of the run"),
    F_REAL(ui_run, held, "s", "beside that, the time it was paused"),
    F_INT(ui_run, peak_bytes, "B", "most memory held for data"),
    F_INT(ui_run, status, "", "exit status, -1 while it runs"),
};
static const base_field log_fields[] = {
    F_REAL(ui_log_line, time, "s", "since the run began"),
    F_INT(ui_log_line, level, "", "debug, info, warning, error"),
    F_TEXT(ui_log_line, text, "what was said"),
};
static const base_field param_fields[] = {
    F_TEXT(base_param_row, name, "name"),           F_TEXT(base_param_row, help, "what it does"),
    F_TEXT(base_param_row, choices, "its choices"), F_TEXT(base_param_row, text, "value of a choice"),
    F_REAL(base_param_row, value, "", "value"),     F_REAL(base_param_row, def, "", "default"),
    F_REAL(base_param_row, min, "", "least"),       F_REAL(base_param_row, max, "", "most"),
};
static const base_field recipe_fields[] = {
    F_TEXT(ui_recipe_name, name, "name"),
    F_TEXT(ui_recipe_name, about, "what it does"),
};

static int layer_count(const ui_state *s) {
    return s->layer_count;
}
static int run_count(const ui_state *s) {
    return s->run_count;
}
static int log_count(const ui_state *s) {
    return s->log_count;
}
static int param_count(const ui_state *s) {
    return s->param_count;
}
static int recipe_count(const ui_state *s) {
    return s->recipe_count;
}
static const void *layer_rows(const ui_state *s) {
    return s->layers;
}
static const void *run_rows(const ui_state *s) {
    return s->runs;
}
static const void *log_rows(const ui_state *s) {
    return s->log;
}
static const void *param_rows(const ui_state *s) {
    return s->params;
}
static const void *recipe_rows(const ui_state *s) {
    return s->recipes;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))
static const ui_source sources[] = {
    {"layers", NULL, 0, sizeof(ui_layer), layer_count, layer_rows, "name"}, // base_layer_fields, then layer_extra
    {"runs", run_fields, COUNT(run_fields), sizeof(ui_run), run_count, run_rows, "recipe"},
    {"log", log_fields, COUNT(log_fields), sizeof(ui_log_line), log_count, log_rows, "text"},
    {"params", param_fields, COUNT(param_fields), sizeof(base_param_row), param_count, param_rows, "name"},
    {"recipes", recipe_fields, COUNT(recipe_fields), sizeof(ui_recipe_name), recipe_count, recipe_rows, "name"},
};

const ui_source *ui_source_at(size_t index) {
    return index < COUNT(sources) ? &sources[index] : ui_part_source(index - COUNT(sources));
}

const ui_source *ui_source_find(const char *name) {
    const ui_source *s;
    for (size_t i = 0; (s = ui_source_at(i)); i++)
        if (strcmp(s->name, name) == 0) return s;
    return NULL;
}

static const base_field *field_in(const base_field *fields, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

const base_field *ui_source_field(const ui_source *source, const char *name) {
    if (source->fields) return field_in(source->fields, source->field_count, name);
    const base_field *f = field_in(base_layer_fields, base_layer_field_count, name);
    return f ? f : field_in(layer_extra, COUNT(layer_extra), name);
}

const base_field *ui_source_field_at(const ui_source *source, int index) {
    size_t i = (size_t)index, layers = base_layer_field_count;
    if (source->fields) return i < source->field_count ? &source->fields[i] : NULL;
    return i < layers ? &base_layer_fields[i] : i - layers < COUNT(layer_extra) ? &layer_extra[i - layers] : NULL;
}

static const char *row_at(const ui_source *source, const ui_state *s, int row) {
    if (row < 0 || row >= source->count(s)) return NULL;
    return (const char *)source->rows(s) + (size_t)row * source->stride;
}

bool ui_source_number(const ui_source *source, const ui_state *s, int row, const base_field *f, double *number) {
    const char *at = row_at(source, s, row);
    if (!at || f->type == BASE_F_TEXT) return false;
    if (f->type == BASE_F_REAL) {
        memcpy(number, at + f->offset, sizeof *number);
    } else {
        int64_t whole;
        memcpy(&whole, at + f->offset, sizeof whole);
        *number = (double)whole;
    }
    return true;
}

const char *ui_source_text(const ui_source *source, const ui_state *s, int row, const base_field *f) {
    const char *at = row_at(source, s, row);
    return at && f->type == BASE_F_TEXT ? at + f->offset : NULL;
}
