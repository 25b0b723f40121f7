// A sensitivity table as the screen keeps it: read from the JSON of its event, filled cell by cell while it is
// measured, summed, ordered, and chosen from.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/heat.h"

// ---- reading -----------------------------------------------------------------------------------

static double number_of(const json_t *j) {
    return json_is_number(j) ? json_number_value(j) : NAN;
}

static heat_table *table_new(size_t rows, size_t cols) {
    heat_table *t = base_alloc(sizeof *t);
    size_t cells = rows * cols;
    t->rows = (int)rows;
    t->cols = (int)cols;
    t->row = base_calloc(rows, sizeof *t->row);
    t->col = base_calloc(cols, sizeof *t->col);
    t->steps = base_calloc(cols, sizeof *t->steps);
    t->value = base_calloc(cells, sizeof *t->value);
    t->error = base_calloc(cells, sizeof *t->error);
    t->bytes = base_calloc(cells, sizeof *t->bytes);
    t->seconds = base_calloc(cells, sizeof *t->seconds);
    t->weights = base_calloc(rows, sizeof *t->weights);
    t->choice = base_calloc(rows, sizeof *t->choice);
    for (size_t r = 0; r < rows; r++) t->choice[r] = -1;
    return t;
}

void heat_table_free(heat_table *t) {
    if (!t) return;
    for (int c = 0; c < t->cols; c++) free(t->steps[c]);
    free(t->steps);
    free(t->row);
    free(t->col);
    free(t->value);
    free(t->error);
    free(t->bytes);
    free(t->seconds);
    free(t->weights);
    free(t->choice);
    free(t);
}

heat_table *heat_table_copy(const heat_table *from) {
    size_t rows = (size_t)from->rows, cols = (size_t)from->cols, cells = rows * cols;
    heat_table *t = table_new(rows, cols);
    memcpy(t->metric, from->metric, sizeof t->metric);
    memcpy(t->unit, from->unit, sizeof t->unit);
    memcpy(t->from, from->from, sizeof t->from);
    memcpy(t->row, from->row, rows * sizeof *t->row);
    memcpy(t->col, from->col, cols * sizeof *t->col);
    for (size_t c = 0; c < cols; c++) t->steps[c] = base_strdup(from->steps[c]);
    memcpy(t->value, from->value, cells * sizeof *t->value);
    memcpy(t->error, from->error, cells * sizeof *t->error);
    memcpy(t->bytes, from->bytes, cells * sizeof *t->bytes);
    memcpy(t->seconds, from->seconds, cells * sizeof *t->seconds);
    memcpy(t->weights, from->weights, rows * sizeof *t->weights);
    memcpy(t->choice, from->choice, rows * sizeof *t->choice);
    t->known = from->known;
    t->growing = from->growing;
    return t;
}

// A list of rows, each a list of numbers; what is not there stays NaN.
static bool read_figure(const json_t *object, const char *key, const heat_table *t, double *out) {
    const json_t *rows = json_object_get(object, key);
    for (int i = 0; i < t->rows * t->cols; i++) out[i] = NAN;
    if (!json_is_array(rows)) return true;
    if (json_array_size(rows) != (size_t)t->rows) return false;
    for (int r = 0; r < t->rows; r++) {
        const json_t *row = json_array_get(rows, (size_t)r);
        if (json_array_size(row) != (size_t)t->cols) return false;
        for (int c = 0; c < t->cols; c++) out[r * t->cols + c] = number_of(json_array_get(row, (size_t)c));
    }
    return true;
}

static void clean_text(char *out, size_t size, const json_t *text) {
    base_clean(out, size, json_is_string(text) ? json_string_value(text) : "");
}

static void count_known(heat_table *t) {
    t->known = 0;
    for (int i = 0; i < t->rows * t->cols; i++) t->known += !isnan(t->value[i]);
}

static heat_table *read_object(const json_t *o, base_err *err) {
    const char *kind = json_string_value(json_object_get(o, "kind"));
    bool begun = kind && strcmp(kind, "sensitivity_begun") == 0;
    if (!begun && !(kind && strcmp(kind, "sensitivity") == 0)) {
        base_fail(err, "this table is no sensitivity table");
        return NULL;
    }
    const json_t *rows = json_object_get(o, "rows"), *cols = json_object_get(o, "options");
    const json_t *steps = json_object_get(o, "steps"), *weights = json_object_get(o, "weights");
    size_t m = json_array_size(rows), n = json_array_size(cols), cells;
    if (m < 1 || n < 1 || !base_mul(m, n, &cells) || cells > HEAT_MOST) {
        base_fail(err, "a sensitivity table of %zu layers and %zu options cannot be shown (1 to %d cells)", m, n,
                  HEAT_MOST);
        return NULL;
    }
    heat_table *t = table_new(m, n);
    clean_text(t->metric, sizeof t->metric, json_object_get(o, "metric"));
    clean_text(t->unit, sizeof t->unit, json_object_get(o, "unit"));
    for (size_t r = 0; r < m; r++) {
        clean_text(t->row[r], sizeof t->row[r], json_array_get(rows, r));
        t->weights[r] = number_of(json_array_get(weights, r));
    }
    for (size_t c = 0; c < n; c++) {
        clean_text(t->col[c], sizeof t->col[c], json_array_get(cols, c));
        t->steps[c] = base_strdup(json_string_value(json_array_get(steps, c)));
    }
    if (!read_figure(o, "value", t, t->value) || !read_figure(o, "error", t, t->error) ||
        !read_figure(o, "bytes", t, t->bytes) || !read_figure(o, "seconds", t, t->seconds)) {
        base_fail(err, "a sensitivity table has rows of different lengths, or not as many as layers");
        heat_table_free(t);
        return NULL;
    }
    t->growing = begun;
    // Bytes of a table that has begun mean nothing before the cell is measured.
    for (int i = 0; begun && i < t->rows * t->cols; i++)
        if (isnan(t->value[i])) t->bytes[i] = NAN;
    count_known(t);
    return t;
}

heat_table *heat_table_read(const char *json, base_err *err) {
    json_error_t where;
    json_t *o = json ? json_loads(json, 0, &where) : NULL;
    if (!o) {
        base_fail(err, "a table is no JSON object");
        return NULL;
    }
    heat_table *t = read_object(o, err);
    json_decref(o);
    return t;
}

bool heat_table_take_cell(heat_table *t, const char *json) {
    json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    const char *kind = json_string_value(json_object_get(o, "kind"));
    json_int_t row = json_integer_value(json_object_get(o, "row")),
               col = json_integer_value(json_object_get(o, "option"));
    bool fits = kind && strcmp(kind, "sensitivity_cell") == 0 && row >= 0 && row < t->rows && col >= 0 && col < t->cols;
    if (fits) {
        int at = (int)row * t->cols + (int)col;
        clean_text(t->metric, sizeof t->metric, json_object_get(o, "metric"));
        clean_text(t->unit, sizeof t->unit, json_object_get(o, "unit"));
        t->known += isnan(t->value[at]);
        t->value[at] = number_of(json_object_get(o, "value"));
        t->known -= isnan(t->value[at]);
        t->error[at] = number_of(json_object_get(o, "error"));
        t->bytes[at] = number_of(json_object_get(o, "bytes"));
        t->seconds[at] = number_of(json_object_get(o, "seconds"));
    }
    json_decref(o);
    return fits;
}

// ---- sums and order ----------------------------------------------------------------------------

static double sum_of(const double *v, int count, int stride) {
    double sum = 0;
    int finite = 0;
    for (int i = 0; i < count; i++)
        if (isfinite(v[i * stride])) sum += v[i * stride], finite++;
    return finite ? sum : NAN;
}

double heat_row_sum(const heat_table *t, int row) {
    return sum_of(t->value + row * t->cols, t->cols, 1);
}

double heat_col_sum(const heat_table *t, int col) {
    return sum_of(t->value + col, t->rows, t->cols);
}

typedef struct ranked {
    double sum;
    int row;
} ranked;

static int by_sum_down(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (isnan(x->sum) != isnan(y->sum)) return isnan(x->sum) ? 1 : -1;
    if (x->sum != y->sum && !isnan(x->sum)) return x->sum > y->sum ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

void heat_order(const heat_table *t, bool by_sum, int *order) {
    ranked *r = base_calloc((size_t)t->rows, sizeof *r);
    for (int i = 0; i < t->rows; i++) r[i] = (ranked){by_sum ? heat_row_sum(t, i) : 0, i};
    qsort(r, (size_t)t->rows, sizeof *r, by_sum_down);
    for (int i = 0; i < t->rows; i++) order[i] = r[i].row;
    free(r);
}

// ---- choices -----------------------------------------------------------------------------------

heat_total heat_choice_total(const heat_table *t, const int *choice) {
    heat_total sum = {0};
    for (int r = 0; r < t->rows; r++) {
        if (choice[r] < 0 || choice[r] >= t->cols) continue;
        int at = r * t->cols + choice[r];
        sum.chosen++;
        sum.bytes += t->bytes[at];
        sum.weights += t->weights[r];
        sum.loss += t->value[at];
    }
    return sum;
}

// Bytes decide; options without a size are told apart by their value alone.
static bool is_better(const heat_table *t, int at, int than) {
    if (t->bytes[at] != t->bytes[than] && !isnan(t->bytes[at]) && !isnan(t->bytes[than]))
        return t->bytes[at] < t->bytes[than];
    return t->value[at] < t->value[than];
}

int heat_under(const heat_table *t, double most, int *choice) {
    int none = 0;
    for (int r = 0; r < t->rows; r++) {
        int best = -1;
        for (int c = 0; c < t->cols; c++) {
            int at = r * t->cols + c;
            if (t->value[at] <= most && (best < 0 || is_better(t, at, r * t->cols + best))) best = c;
        }
        choice[r] = best;
        none += best < 0;
    }
    return none;
}

typedef struct knapsack {
    int *row, *options, *column; // layers of the problem: their row; number of options; [layers x cols] which column
    double *loss;                // [layers x cols]
    int64_t *cost;
    const double **losses;
    const int64_t **costs;
    const char **names;
    int layers;
    double weights;
} knapsack;

static void knapsack_free(knapsack *k) {
    free(k->row);
    free(k->options);
    free(k->column);
    free(k->loss);
    free(k->cost);
    free(k->losses);
    free(k->costs);
    free(k->names);
}

// Rows with at least one option that has a finite value and a size.
static void knapsack_fill(knapsack *k, const heat_table *t) {
    size_t rows = (size_t)t->rows, cells = rows * (size_t)t->cols;
    k->row = base_calloc(rows, sizeof *k->row);
    k->options = base_calloc(rows, sizeof *k->options);
    k->column = base_calloc(cells, sizeof *k->column);
    k->loss = base_calloc(cells, sizeof *k->loss);
    k->cost = base_calloc(cells, sizeof *k->cost);
    k->losses = base_calloc(rows, sizeof *k->losses);
    k->costs = base_calloc(rows, sizeof *k->costs);
    k->names = base_calloc(rows, sizeof *k->names);
    for (int r = 0; r < t->rows; r++) {
        int base = k->layers * t->cols, n = 0;
        for (int c = 0; c < t->cols; c++) {
            int at = r * t->cols + c;
            bool usable = isfinite(t->value[at]) && t->bytes[at] >= 0 && t->bytes[at] < 9e15;
            if (!usable) continue;
            k->column[base + n] = c;
            k->loss[base + n] = t->value[at];
            k->cost[base + n++] = llround(t->bytes[at]);
        }
        if (!n) continue;
        k->row[k->layers] = r;
        k->options[k->layers] = n;
        k->losses[k->layers] = k->loss + base;
        k->costs[k->layers] = k->cost + base;
        k->names[k->layers++] = t->row[r];
        k->weights += t->weights[r];
    }
}

bool heat_allocate(const heat_table *t, double bits, int *choice, heat_answer *answer, base_job *job, base_err *err) {
    knapsack k = {0};
    knapsack_fill(&k, t);
    for (int r = 0; r < t->rows; r++) choice[r] = -1;
    *answer = (heat_answer){.bits = bits, .left_out = t->rows - k.layers};
    bool ok = true;
    if (!(bits > 0) || !isfinite(bits))
        ok = base_fail(err, "a budget is a number of bits a weight above 0");
    else if (!k.layers)
        ok = base_fail(err, "no option of this table has both a value and a size, so there is nothing to allocate");
    else if (!(k.weights > 0))
        ok = base_fail(err, "the table does not say how many weights its layers have, so bits a weight mean nothing");
    study_problem p = {.layers = k.layers,
                       .options = k.options,
                       .loss = k.losses,
                       .cost = k.costs,
                       .budget = (int64_t)floor(fmin(bits * k.weights / 8, 9e15) + 1e-9),
                       .names = k.names,
                       .unit = "bytes"};
    study_answer a = {0};
    ok = ok && study_allocate(&p, study_allocator_find("exact"), NULL, &a, job, err);
    for (int i = 0; ok && i < k.layers; i++) choice[k.row[i]] = k.column[i * t->cols + a.choice[i]];
    if (ok) {
        answer->loss = a.loss;
        answer->bytes = (double)a.cost;
        answer->weights = k.weights;
        answer->proved = a.optimal;
    }
    study_answer_free(&a);
    knapsack_free(&k);
    return ok;
}
