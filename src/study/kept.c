// kept: sensitivity tables through a store of cells, so that what was measured once is asked for ever after; and tables
// as JSON.
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- keys ------------------------------------------------------------------------------------------

static void add_text(base_hash *h, const char *text) {
    base_hash_add(h, text, strlen(text) + 1);
}

// given: whether it was written out counts too (a step may choose by that, a metric does not).
static void add_values(base_hash *h, const base_arg *args, size_t count, const base_value *v, bool given) {
    for (size_t i = 0; i < count; i++) {
        if (given) base_hash_add(h, &v[i].given, sizeof v[i].given);
        if (args[i].type == BASE_TEXT)
            add_text(h, v[i].text);
        else
            base_hash_add(h, &v[i].number, sizeof v[i].number);
    }
}

// false: a step whose code is not this program's, or that reads another file.
static bool add_option(base_hash *h, const study_option *o) {
    for (int k = 0; k < o->step_count; k++) {
        const compress_step *s = &o->steps[k];
        if (compress_step_find(s->kind->name) != s->kind) return false;
        if (s->kind->needs && (s->kind->needs(s) & COMPRESS_OUTSIDE)) return false;
        add_text(h, s->kind->name);
        add_values(h, s->kind->args, s->kind->arg_count, s->value, true);
    }
    return true;
}

// The samples and the whole network behind them.
static bool add_view(base_hash *h, const model *m, const data_view *view) {
    char key[33] = "none";
    if (view && m->graph) {
        engine_prefix *p = engine_prefix_new(m, view);
        if (!p) return false;
        engine_prefix_add(p, m->weights, m->graph->node_count);
        engine_prefix_key(p, "sensitivity", key);
        engine_prefix_free(p);
    }
    add_text(h, key);
    return true;
}

// Everything that all cells depend on; NULL: nothing can be kept.
static base_hash *common_key(const study_subject *s, const study_metric *metric, const base_value *values) {
    base_hash *h = base_hash_new();
    add_text(h, base_program_hash());
    add_text(h, num_blas_kernel());
    add_text(h, metric->name);
    if (metric->machine) add_text(h, base_machine());
    add_values(h, metric->args, metric->arg_count, values, false);
    base_hash_add(h, &s->seed, sizeof s->seed);
    for (int i = 0; i < s->m->layer_count; i++) {
        const model_layer *l = &s->m->layers[i];
        add_text(h, l->name);
        base_hash_add(h, s->m->weights[l->weight], (size_t)l->weights * sizeof(float));
    }
    if (add_view(h, s->m, s->calib) && add_view(h, s->m, s->select)) return h;
    char unused[33];
    base_hash_end(h, unused);
    return NULL;
}

// All layers and options, for metrics whose cells are not alone.
static bool add_subject(base_hash *h, const study_subject *s, const study_metric *metric, int rows) {
    for (int r = 0; r < rows; r++) {
        int layer = study_layer(s, r);
        base_hash_add(h, &layer, sizeof layer);
    }
    for (int o = 0; metric->by_option && o < s->option_count; o++) {
        add_text(h, "option");
        if (!add_option(h, &s->options[o])) return false;
    }
    return true;
}

static char *table_json(const study_table *t, const char *kind);

typedef struct keeper {
    const study_subject *s;
    const study_metric *metric;
    const study_store *store;
    base_hash *common; // NULL: nothing is kept
    int rows, cols;
    const struct missing *missing; // what is being measured
    bool *written;                 // [rows x cols] kept already
    base_job *job;
} keeper;

static bool cell_key(const keeper *k, int row, int col, char key[33]) {
    if (!k->common) return false;
    base_hash *h = base_hash_copy(k->common);
    int layer = study_layer(k->s, row);
    base_hash_add(h, &layer, sizeof layer);
    bool ok = !k->metric->by_option || add_option(h, &k->s->options[col]);
    base_hash_end(h, key);
    return ok;
}

static void open_keeper(keeper *k, const base_value *values) {
    k->common = k->store ? common_key(k->s, k->metric, values) : NULL;
    if (!k->common || k->metric->alone || add_subject(k->common, k->s, k->metric, k->rows)) return;
    char unused[33];
    base_hash_end(k->common, unused);
    k->common = NULL;
}

static char *steps_text(const study_option *o) {
    base_buf b = {0};
    for (int k = 0; k < o->step_count; k++) {
        char *one = compress_step_text(&o->steps[k]);
        base_buf_printf(&b, "%s%s", k ? "; " : "", one);
        free(one);
    }
    return b.text ? b.text : base_strdup("");
}

// The cell at `at` of t, which is row `row` and column `col` of the whole table.
static void put(const keeper *k, const study_table *t, int at, int row, int col) {
    char key[33];
    if (k->written[row * k->cols + col] || !cell_key(k, row, col, key)) return;
    k->written[row * k->cols + col] = true;
    const data_view *seen = (k->metric->data & STUDY_SELECT) && k->s->select ? k->s->select : k->s->calib;
    char *steps = k->metric->by_option ? steps_text(&k->s->options[col]) : base_strdup("");
    study_record r = {.model = k->s->m->name,
                      .layer = t->row[at / t->cols],
                      .option = t->col[at % t->cols],
                      .steps = steps,
                      .metric = k->metric->name,
                      .samples = seen ? seen->label : "",
                      .value = t->value[at],
                      .error = t->error[at],
                      .seconds = t->seconds[at],
                      .bytes = t->bytes ? t->bytes[at] : -1};
    memcpy(r.figure, t->metric, sizeof r.figure);
    memcpy(r.unit, t->unit, sizeof r.unit);
    k->store->put(k->store->context, key, &r);
    free(steps);
}

static bool get(const keeper *k, study_record *r, int row, int col) {
    char key[33];
    return k->store && k->store->get && cell_key(k, row, col, key) && k->store->get(k->store->context, key, r);
}

// ---- the call --------------------------------------------------------------------------------------

typedef struct missing {
    int *layers, *row; // layers to measure, and their rows
    study_option *options;
    int *col;
    int layer_count, option_count, cells;
    bool *have; // [layer_count x option_count] cells between them that are there
} missing;

static void find_missing(const keeper *k, study_record *records, bool *have, missing *m) {
    m->layers = base_calloc((size_t)k->rows + 1, sizeof *m->layers);
    m->row = base_calloc((size_t)k->rows + 1, sizeof *m->row);
    m->options = base_calloc((size_t)k->cols + 1, sizeof *m->options);
    m->col = base_calloc((size_t)k->cols + 1, sizeof *m->col);
    bool all = true;
    for (int i = 0; i < k->rows * k->cols; i++) all &= have[i] = get(k, &records[i], i / k->cols, i % k->cols);
    // Cells that are not alone mean something only together.
    for (int i = 0; !all && !k->metric->alone && i < k->rows * k->cols; i++) have[i] = false;
    for (int r = 0; r < k->rows; r++) {
        bool whole = true;
        for (int c = 0; c < k->cols; c++) whole &= have[r * k->cols + c];
        if (whole) continue;
        m->row[m->layer_count] = r;
        m->layers[m->layer_count++] = study_layer(k->s, r);
    }
    for (int c = 0; c < k->cols; c++) {
        bool whole = true;
        for (int r = 0; r < k->rows; r++) whole &= have[r * k->cols + c];
        if (whole) continue;
        m->col[m->option_count] = c;
        if (k->metric->by_option) m->options[m->option_count] = k->s->options[c];
        m->option_count++;
    }
    m->have = base_calloc((size_t)m->layer_count * (size_t)m->option_count + 1, sizeof *m->have);
    for (int r = 0; r < m->layer_count; r++)
        for (int c = 0; c < m->option_count; c++) {
            m->have[r * m->option_count + c] = have[m->row[r] * k->cols + m->col[c]];
            m->cells += !m->have[r * m->option_count + c];
        }
}

// The table before the first cell is measured, with those that were there.
static void tell_begun(const keeper *k, const study_table *t) {
    char *json = table_json(t, "sensitivity_begun");
    base_emit(k->job, (base_event){.kind = BASE_EV_CELL, .text = json});
    free(json);
}

static void tell_cell(const keeper *k, const study_table *t, int at, int row, int col) {
    base_buf b = {0};
    base_buf_puts(&b, "{\"kind\":\"sensitivity_cell\",\"metric\":");
    study_json_text(&b, t->metric);
    base_buf_puts(&b, ",\"unit\":");
    study_json_text(&b, t->unit);
    base_buf_printf(&b, ",\"row\":%d,\"option\":%d,\"value\":", row, col);
    study_json_number(&b, t->value[at]);
    base_buf_puts(&b, ",\"error\":");
    study_json_number(&b, t->error[at]);
    base_buf_puts(&b, ",\"bytes\":");
    study_json_number(&b, t->bytes ? (double)t->bytes[at] : NAN);
    base_buf_puts(&b, ",\"seconds\":");
    study_json_number(&b, t->seconds[at]);
    base_buf_puts(&b, "}");
    base_emit(k->job, (base_event){.kind = BASE_EV_CELL, .text = b.text});
    base_buf_free(&b);
}

static void free_missing(missing *m) {
    free(m->layers);
    free(m->row);
    free(m->options);
    free(m->col);
    free(m->have);
}

static void keep_now(void *context, const study_table *t, int row, int col) {
    const keeper *k = context;
    if (!k->metric->alone) return; // others may still change
    int at = row * t->cols + col;
    put(k, t, at, k->missing->row[row], k->missing->col[col]);
    tell_cell(k, t, at, k->missing->row[row], k->missing->col[col]);
}

static bool measure_missing(const keeper *k, const base_value *values, const missing *m, study_table *t, base_job *job,
                            base_err *err) {
    study_subject part = *k->s;
    part.layers = m->layers;
    part.layer_count = m->layer_count;
    if (k->metric->by_option) {
        part.options = m->options;
        part.option_count = m->option_count;
        part.have = m->have;
        part.measured = keep_now;
        part.measured_context = (void *)(uintptr_t)k;
    }
    study_table found;
    if (!study_sensitivity(&part, k->metric, values, &found, job, err)) return false;
    snprintf(t->metric, sizeof t->metric, "%s", found.metric);
    snprintf(t->unit, sizeof t->unit, "%s", found.unit);
    for (int r = 0; r < m->layer_count; r++)
        for (int c = 0; c < m->option_count; c++) {
            int from = r * found.cols + c, to = m->row[r] * t->cols + m->col[c];
            if (m->have[from]) continue;
            t->value[to] = found.value[from];
            t->error[to] = found.error[from];
            t->seconds[to] = found.seconds[from];
            if (t->bytes && found.bytes) t->bytes[to] = found.bytes[from];
            put(k, t, to, m->row[r], m->col[c]);
        }
    study_table_free(&found);
    return true;
}

static void take_records(study_table *t, const study_record *records, const bool *have) {
    for (int i = 0; i < t->rows * t->cols; i++) {
        if (!have[i]) continue;
        memcpy(t->metric, records[i].figure, sizeof t->metric);
        memcpy(t->unit, records[i].unit, sizeof t->unit);
        t->value[i] = records[i].value;
        t->error[i] = records[i].error;
        t->seconds[i] = records[i].seconds;
        if (t->bytes && records[i].bytes >= 0) t->bytes[i] = records[i].bytes;
    }
}

enum { MOST_ARGS = 16 };

bool study_sensitivity_kept(const study_subject *s, const study_metric *metric, const base_value *values,
                            const study_store *store, study_table *t, int *fresh, base_job *job, base_err *err) {
    base_value own[MOST_ARGS];
    BASE_CHECK(metric->arg_count <= MOST_ARGS);
    *t = (study_table){0};
    *fresh = 0;
    if (!values) {
        base_arg_defaults(metric->args, metric->arg_count, own);
        values = own;
    }
    if (metric->square) {
        if (!study_sensitivity(s, metric, values, t, job, err)) return false;
        *fresh = t->rows * t->cols;
        return true;
    }
    if (!study_table_new(t, s, metric->name, "", metric->by_option, err)) return false;
    size_t cells = (size_t)t->rows * (size_t)t->cols;
    missing m = {0};
    keeper k = {.s = s, .metric = metric, .store = store, .rows = t->rows, .cols = t->cols, .missing = &m, .job = job};
    k.written = base_calloc(cells, sizeof *k.written);
    open_keeper(&k, values);
    study_record *records = base_calloc(cells, sizeof *records);
    bool *have = base_calloc(cells, sizeof *have);
    find_missing(&k, records, have, &m);
    *fresh = m.cells;
    bool ok = true;
    if (*fresh && metric->by_option && metric->alone) {
        take_records(t, records, have);
        tell_begun(&k, t);
    }
    if (*fresh) ok = measure_missing(&k, values, &m, t, job, err);
    if (ok) take_records(t, records, have);
    if (!ok) study_table_free(t);
    free_missing(&m);
    free(k.written);
    free(records);
    free(have);
    char unused[33];
    if (k.common) base_hash_end(k.common, unused);
    return ok;
}

// ---- foretold --------------------------------------------------------------------------------------

// Bytes of every cell, and the seconds that making them will take.
static bool foretell_bytes(const study_subject *s, const compress_speed *speed, study_table *t, study_foretold *f,
                           base_job *job, base_err *err) {
    for (int c = 0; c < t->cols; c++) {
        compress_rule rule = {(char *)(uintptr_t) ".*", (compress_step *)(uintptr_t)s->options[c].steps,
                              s->options[c].step_count};
        compress_plan plan = {.rules = &rule, .rule_count = 1, .calib = s->calib, .seed = s->seed};
        compress_result *r = NULL;
        compress_estimate e = {0};
        if (!compress_foretell(s->m, &plan, speed, job, &r, &e, err))
            return base_wrap(err, "sensitivity: option %s: ", s->options[c].name);
        for (int k = 0; k < t->rows; k++) t->bytes[k * t->cols + c] = compress_row(r, study_layer(s, k))->bytes;
        f->seconds += e.seconds * t->rows / (double)s->m->layer_count;
        compress_result_free(r);
    }
    return true;
}

// Values that fall with the bytes as those of Gaussian weights would, so that choosing from them fills a budget.
static void guess_values(study_table *t) {
    for (int i = 0; i < t->rows * t->cols; i++) {
        double n = t->weights[i / t->cols];
        t->value[i] = t->bytes ? n * exp2(-16 * (double)t->bytes[i] / n) : n;
    }
}

bool study_sensitivity_foretell(const study_subject *s, const study_metric *metric, const base_value *values,
                                const study_store *store, const compress_speed *speed, study_table *t,
                                study_foretold *f, base_job *job, base_err *err) {
    *f = (study_foretold){0};
    *t = (study_table){0};
    if (!study_has_data(s, metric, err)) return false;
    if (!study_table_new(t, s, metric->name, "", metric->by_option, err)) return false;
    size_t cells = (size_t)t->rows * (size_t)t->cols;
    missing m = {0};
    keeper k = {.s = s, .metric = metric, .store = store, .rows = t->rows, .cols = t->cols, .missing = &m};
    k.written = base_calloc(cells, sizeof *k.written);
    open_keeper(&k, values);
    study_record *records = base_calloc(cells, sizeof *records);
    bool *have = base_calloc(cells, sizeof *have), ok = true;
    find_missing(&k, records, have, &m);
    f->missing = m.cells;
    if (m.cells && metric->work) {
        metric->work(s, values, &f->forward, &f->backward);
        f->forward *= m.cells / (double)cells;
    }
    if (!m.cells) {
        take_records(t, records, have);
    } else {
        if (metric->by_option) ok = foretell_bytes(s, speed, t, f, job, err);
        f->seconds *= m.cells / (double)cells;
        if (ok) guess_values(t);
    }
    if (!ok) study_table_free(t);
    free_missing(&m);
    free(k.written);
    free(records);
    free(have);
    char unused[33];
    if (k.common) base_hash_end(k.common, unused);
    return ok;
}

// ---- JSON ------------------------------------------------------------------------------------------

void study_json_number(base_buf *b, double x) {
    if (isfinite(x))
        base_buf_printf(b, "%.9g", x);
    else
        base_buf_puts(b, "null");
}

void study_json_text(base_buf *b, const char *text) {
    char clean[512];
    base_clean(clean, sizeof clean, text);
    base_buf_puts(b, "\"");
    for (const char *p = clean; *p; p++) {
        if (*p == '"' || *p == '\\') base_buf_puts(b, "\\");
        base_buf_add(b, p, 1);
    }
    base_buf_puts(b, "\"");
}

static void add_names(base_buf *b, const char *key, char *const *names, int count) {
    base_buf_printf(b, ",\"%s\":[", key);
    for (int i = 0; i < count; i++) {
        if (i) base_buf_puts(b, ",");
        study_json_text(b, names[i]);
    }
    base_buf_puts(b, "]");
}

static double cell_of(const study_table *t, int what, int at) {
    if (what == 0) return t->value[at];
    if (what == 1) return t->error[at];
    if (what == 2) return t->bytes ? (double)t->bytes[at] : NAN;
    return t->seconds[at];
}

static char *table_json(const study_table *t, const char *kind) {
    static const char *const figures[] = {"value", "error", "bytes", "seconds"};
    base_buf b = {0};
    base_buf_printf(&b, "{\"kind\":\"%s\",\"metric\":", kind);
    study_json_text(&b, t->metric);
    base_buf_puts(&b, ",\"unit\":");
    study_json_text(&b, t->unit);
    add_names(&b, "rows", t->row, t->rows);
    add_names(&b, "options", t->col, t->cols);
    base_buf_puts(&b, ",\"steps\":[");
    for (int c = 0; c < t->cols; c++) {
        if (c) base_buf_puts(&b, ",");
        if (t->steps && t->steps[c])
            study_json_text(&b, t->steps[c]);
        else
            base_buf_puts(&b, "null");
    }
    base_buf_puts(&b, "]");
    for (int f = 0; f < 4; f++) {
        base_buf_printf(&b, ",\"%s\":[", figures[f]);
        for (int i = 0; i < t->rows * t->cols; i++) {
            base_buf_puts(&b, i % t->cols ? "," : i ? "],[" : "[");
            study_json_number(&b, cell_of(t, f, i));
        }
        base_buf_puts(&b, "]]");
    }
    for (int f = 0; f < 2; f++) {
        base_buf_printf(&b, ",\"%s\":[", f ? "operations" : "weights");
        for (int r = 0; r < t->rows; r++) {
            if (r) base_buf_puts(&b, ",");
            study_json_number(&b, f ? t->operations[r] : t->weights[r]);
        }
        base_buf_puts(&b, "]");
    }
    base_buf_puts(&b, "}");
    return b.text;
}

char *study_table_json(const study_table *t) {
    return table_json(t, "sensitivity");
}
