// A recorded run read whole - the record, its layers and its figures - and what can be said of it.
#include "session/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool session_recorded_read(session_history *h, int64_t id, session_recorded *r, base_err *err) {
    *r = (session_recorded){0};
    if (session_history_get(h, id, &r->record, err) &&
        session_history_layers(h, id, &r->layers, &r->layer_count, err) &&
        session_history_models(h, id, &r->models, &r->model_count, err) &&
        session_history_tables(h, id, &r->tables, &r->table_count, err))
        return true;
    session_recorded_free(r);
    return false;
}

void session_recorded_free(session_recorded *r) {
    session_record_free(&r->record);
    free(r->layers);
    free(r->models);
    base_names_free(r->tables, r->table_count);
    *r = (session_recorded){0};
}

const base_model_row *session_recorded_figure(const session_recorded *r) {
    const base_model_row *original = NULL;
    for (size_t i = r->model_count; i-- > 0;) {
        const base_model_row *m = &r->models[i];
        if (!isfinite(m->value)) continue;
        if (strcmp(m->label, "original") != 0) return m;
        if (!original) original = m;
    }
    return original;
}

bool session_recorded_row_counts(const session_recorded *r, size_t row) {
    for (size_t i = row + 1; i < r->layer_count; i++)
        if (strcmp(r->layers[i].name, r->layers[row].name) == 0) return false;
    return true;
}

session_total session_recorded_sum(const session_recorded *r) {
    session_total t = {0};
    for (size_t i = 0; i < r->layer_count; i++) {
        if (!session_recorded_row_counts(r, i)) continue;
        t.weights += r->layers[i].weights;
        t.bytes += r->layers[i].bytes;
        t.bytes_before += r->layers[i].bytes_before;
    }
    t.bits = t.weights > 0 ? 8 * (double)t.bytes / (double)t.weights : NAN;
    return t;
}

bool session_metric_rises(const char *metric) {
    return strcmp(metric, "top1") == 0;
}

// One sample has a value but no interval.
static void put_interval(base_buf *b, int digits, double low, double high) {
    if (isfinite(low) && isfinite(high)) base_buf_printf(b, " [%.*f, %.*f]", digits, low, digits, high);
}

char *session_figures_text(const base_model_row *r) {
    base_buf b = {0};
    char size[24];
    if (isnan(r->value)) {
        base_buf_puts(&b, "not measured");
    } else {
        bool top1 = strcmp(r->metric, "top1") == 0;
        const char *unit = strcmp(r->metric, "perplexity") == 0 ? "token" : "sample";
        base_buf_printf(&b, "%s %.*f%s", top1 ? "top-1" : r->metric, top1 ? 2 : 4, r->value, top1 ? " %" : "");
        put_interval(&b, top1 ? 2 : 4, r->low, r->high);
        base_buf_printf(&b, " on %s (%lld %s%s)", r->data, (long long)r->samples, unit, r->samples == 1 ? "" : "s");
        base_buf_printf(&b, r->loss < 1e6 ? ", loss %.4f" : ", loss %.4g", r->loss);
        if (!isnan(r->kl)) {
            base_buf_printf(&b, ", KL %.5f", r->kl);
            put_interval(&b, 5, r->kl_low, r->kl_high);
        }
        if (r->flips >= 0)
            base_buf_printf(&b, ", %lld decision%s changed", (long long)r->flips, r->flips == 1 ? "" : "s");
    }
    base_buf_printf(&b, ", %s", base_bytes_text(size, (double)r->bytes));
    base_buf_printf(&b, " + %s header", base_bytes_text(size, (double)r->header_bytes));
    if (r->bits > 0) base_buf_printf(&b, ", %.3f bits a weight", r->bits);
    return b.text;
}
