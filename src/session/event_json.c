// Events as JSON: one object a line, fields from the same tables that fill the history and the screen's columns. A
// figure that was not measured (NaN) is left out; an infinite one is written as the text "inf" or "-inf".
#include "session/session.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_number(json_t *object, const char *key, double value) {
    if (isnan(value)) return;
    if (isinf(value)) {
        json_object_set_new(object, key, json_string(value > 0 ? "inf" : "-inf"));
        return;
    }
    if (value == floor(value) && fabs(value) < 9e15)
        json_object_set_new(object, key, json_integer((json_int_t)value));
    else
        json_object_set_new(object, key, json_real(value));
}

static void put_text(json_t *object, const char *key, const char *text) {
    json_t *value = json_string(text);
    if (!value) { // not UTF-8
        char clean[1024];
        base_clean(clean, sizeof clean, text);
        value = json_string(clean);
    }
    json_object_set_new(object, key, value ? value : json_null());
}

static json_t *row_json(const void *row, const base_field *fields, size_t count) {
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        const char *at = (const char *)row + fields[i].offset;
        if (fields[i].type == BASE_F_TEXT)
            put_text(object, fields[i].name, at);
        else if (fields[i].type == BASE_F_INT)
            json_object_set_new(object, fields[i].name, json_integer((json_int_t) * (const int64_t *)(const void *)at));
        else
            put_number(object, fields[i].name, *(const double *)(const void *)at);
    }
    return object;
}

static json_t *param_json(const base_param_row *p) {
    json_t *object = json_object();
    put_text(object, "name", p->name);
    if (p->choices[0]) {
        put_text(object, "value", p->text);
        put_text(object, "choices", p->choices);
    } else {
        put_number(object, "value", p->value);
        put_number(object, "default", p->def);
        put_number(object, "min", p->min);
        put_number(object, "max", p->max);
    }
    if (p->help[0]) put_text(object, "help", p->help);
    return object;
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static const char *status_name(base_status status) {
    return status == BASE_OK ? "done" : status == BASE_CANCELLED ? "cancelled" : "failed";
}

char *session_event_json(const base_event *e) {
    json_t *object = json_object();
    put_text(object, "event", base_event_names[e->kind]);
    json_object_set_new(object, "time", json_real(floor(e->time * 1e4 + .5) / 1e4));
    if (e->kind == BASE_EV_LOG) put_text(object, "level", level_names[e->level]);
    if (e->kind == BASE_EV_RUN_END) put_text(object, "status", status_name(e->status));
    if ((e->kind == BASE_EV_TABLE || e->kind == BASE_EV_CELL) && e->text) {
        json_t *table = json_loads(e->text, 0, NULL);
        json_object_set_new(object, base_event_names[e->kind], table ? table : json_null());
    } else if (e->text)
        put_text(object, e->kind == BASE_EV_PROGRESS ? "phase" : e->kind == BASE_EV_SAVED ? "path" : "text", e->text);
    if (e->hash) put_text(object, "hash", e->hash);
    if (e->total > 0) {
        json_object_set_new(object, "index", json_integer((json_int_t)e->index));
        json_object_set_new(object, "total", json_integer((json_int_t)e->total));
    }
    if (e->kind == BASE_EV_PROGRESS) {
        json_object_set_new(object, "done", json_integer((json_int_t)e->done));
        json_object_set_new(object, "of", json_integer((json_int_t)e->of));
        put_number(object, "eta", e->eta);
    }
    if (e->kind == BASE_EV_SAVED) {
        json_object_set_new(object, "file_bytes", json_integer((json_int_t)e->done));
        json_object_set_new(object, "header_bytes", json_integer((json_int_t)e->of));
    }
    if (e->kind == BASE_EV_SEED) json_object_set_new(object, "seed", json_integer((json_int_t)e->done));
    if (e->kind == BASE_EV_TRAIN) {
        put_number(object, "loss", e->value);
        put_number(object, "rate", e->value2);
        put_number(object, "eta", e->eta);
    }
    if (e->layer) json_object_set_new(object, "layer", row_json(e->layer, base_layer_fields, base_layer_field_count));
    if (e->model) json_object_set_new(object, "model", row_json(e->model, base_model_fields, base_model_field_count));
    if (e->param) json_object_set_new(object, "param", param_json(e->param));
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (!text) return base_strdup("{}");
    char *copy = base_strdup(text);
    free(text);
    return copy;
}
