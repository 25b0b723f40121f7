// The recorder: a listener that writes one run into the history as it happens. Every row is its own transaction, so a
// run killed at any moment leaves everything that was finished; the run itself then still says "running", and the next
// process that lists it sees from its process id that nobody is working on it any more.
#include "session/history.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session_recorder {
    session_history *h;
    int64_t id;
    double start;
    int64_t layers, models, saved, inputs, tables;
    json_t *params, *seeds;
    char *text;              // of the recipe as given
    base_buf changes;        // lines that were added to it by hand while it ran
    double held, held_since; // seconds paused; when the pause began, 0: it goes on
    int64_t peak;
    bool ended, troubled;
};

static void trouble(session_recorder *r, const base_err *err) {
    if (r->troubled) return;
    r->troubled = true;
    fprintf(stderr, "vise: the run goes on, but it is not recorded: %s\n", err->text);
}

static char *environment_text(int threads) {
    json_t *o = json_object();
    json_object_set_new(o, "vise", json_string(VISE_VERSION));
    json_object_set_new(o, "blas", json_string(num_blas_version()));
    json_object_set_new(o, "kernel", json_string(num_blas_kernel()));
    json_object_set_new(o, "threads", json_integer(threads));
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static void bind(sqlite3_stmt *st, int slot, const char *text) {
    sqlite3_bind_text(st, slot, text ? text : "", -1, SQLITE_TRANSIENT);
}

session_recorder *session_recorder_new(session_history *h, const session_start_info *info, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h,
                         "INSERT INTO runs(recipe, recipe_path, recipe_text, recipe_hash, model, data, settings,"
                         " environment, started, status, pid, params, seeds)"
                         " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'running', ?10, '{}', '[]')",
                         &st, err))
        return NULL;
    char hash[33] = "";
    if (info->recipe_text) base_hash_of(info->recipe_text, strlen(info->recipe_text), hash);
    char *environment = environment_text(info->threads);
    const char *texts[] = {info->recipe, info->recipe_path, info->recipe_text, hash,
                           info->model,  info->data,        info->settings,    environment};
    for (int i = 0; i < 8; i++) bind(st, i + 1, texts[i]);
    sqlite3_bind_int64(st, 9, base_wall());
    sqlite3_bind_int64(st, 10, getpid());
    bool ok = history_step_done(h, st, err);
    free(environment);
    if (!ok) return NULL;
    session_recorder *r = base_alloc(sizeof *r);
    r->h = h;
    r->id = sqlite3_last_insert_rowid(h->db);
    r->start = base_now();
    r->text = base_strdup(info->recipe_text);
    r->params = json_object();
    r->seeds = json_array();
    return r;
}

// UPDATE runs SET a = ?1, b = ?2 ... WHERE id = ?last with text values.
static void update_texts(session_recorder *r, const char *assignments, const char *const *values, int count) {
    base_err err = {0};
    char *sql = base_sprintf("UPDATE runs SET %s WHERE id = ?%d", assignments, count + 1);
    sqlite3_stmt *st;
    bool ok = history_prepare(r->h, sql, &st, &err);
    free(sql);
    if (ok) {
        for (int i = 0; i < count; i++) bind(st, i + 1, values[i]);
        sqlite3_bind_int64(st, count + 1, r->id);
        ok = history_step_done(r->h, st, &err);
    }
    if (!ok) trouble(r, &err);
}

static void update_json(session_recorder *r, const char *column, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER);
    char *assignment = base_sprintf("%s = ?1", column);
    update_texts(r, assignment, (const char *const[]){text}, 1);
    free(assignment);
    free(text);
}

static void on_param(session_recorder *r, const base_event *e) {
    const base_param_row *p = e->param;
    json_t *value = p->choices[0] ? json_string(p->text)
                    : p->integer  ? json_integer((json_int_t)p->value)
                                  : json_real(p->value);
    json_object_set_new(r->params, p->name, value);
    update_json(r, "params", r->params);
}

static void on_seed(session_recorder *r, const base_event *e) {
    json_t *seed = json_object();
    json_object_set_new(seed, "for", json_string(e->text ? e->text : ""));
    json_object_set_new(seed, "seed", json_integer((json_int_t)e->done));
    json_array_append_new(r->seeds, seed);
    update_json(r, "seeds", r->seeds);
}

static void on_layer(session_recorder *r, const base_event *e) {
    base_err err = {0};
    if (!history_insert_row(r->h, "layers", r->id, r->layers++, e->layer, base_layer_fields, base_layer_field_count,
                            &err))
        trouble(r, &err);
}

static void on_model(session_recorder *r, const base_event *e) {
    base_err err = {0};
    if (e->model->peak_bytes > r->peak) r->peak = e->model->peak_bytes;
    if (!history_insert_row(r->h, "models", r->id, r->models++, e->model, base_model_fields, base_model_field_count,
                            &err))
        trouble(r, &err);
}

static void on_saved(session_recorder *r, const base_event *e) {
    base_err err = {0};
    sqlite3_stmt *st;
    bool ok = history_prepare(r->h, "INSERT INTO saved VALUES(?1, ?2, ?3, ?4, ?5, ?6)", &st, &err);
    if (ok) {
        sqlite3_bind_int64(st, 1, r->id);
        sqlite3_bind_int64(st, 2, r->saved++);
        bind(st, 3, e->text);
        bind(st, 4, e->hash);
        sqlite3_bind_int64(st, 5, e->done);
        sqlite3_bind_int64(st, 6, e->of);
        ok = history_step_done(r->h, st, &err);
    }
    if (ok) {
        ok = history_prepare(r->h,
                             "UPDATE runs SET output = ?1, output_hash = ?2, output_bytes = ?3,"
                             " output_header_bytes = ?4 WHERE id = ?5",
                             &st, &err);
        if (ok) {
            bind(st, 1, e->text);
            bind(st, 2, e->hash);
            sqlite3_bind_int64(st, 3, e->done);
            sqlite3_bind_int64(st, 4, e->of);
            sqlite3_bind_int64(st, 5, r->id);
            ok = history_step_done(r->h, st, &err);
        }
    }
    if (!ok) trouble(r, &err);
}

static void on_table(session_recorder *r, const base_event *e) {
    base_err err = {0};
    sqlite3_stmt *st;
    bool ok = history_prepare(r->h, "INSERT INTO tables VALUES(?1, ?2, ?3)", &st, &err);
    if (ok) {
        sqlite3_bind_int64(st, 1, r->id);
        sqlite3_bind_int64(st, 2, r->tables++);
        bind(st, 3, e->text);
        ok = history_step_done(r->h, st, &err);
    }
    if (!ok) trouble(r, &err);
}

// The text becomes that of a recipe with which the run is the same without anybody's hand.
static void on_change(session_recorder *r, const base_event *e) {
    if (e->status != BASE_OK || !e->text || !r->text) return;
    char hash[33];
    base_buf_printf(&r->changes, "%s%s\n", r->changes.length ? "" : "-- Changed by hand while it ran:\n", e->text);
    char *text = base_sprintf("%s\n%s", r->changes.text, r->text);
    base_hash_of(text, strlen(text), hash);
    update_texts(r, "recipe_text = ?1, recipe_hash = ?2", (const char *const[]){text, hash}, 2);
    free(text);
}

static void on_pause(session_recorder *r, const base_event *e) {
    if (e->index && r->held_since == 0) r->held_since = base_now();
    if (e->index || r->held_since == 0) return;
    r->held += base_now() - r->held_since;
    r->held_since = 0;
}

static void finish(session_recorder *r, const char *status, const char *message) {
    base_err err = {0};
    sqlite3_stmt *st;
    r->ended = true;
    on_pause(r, &(base_event){.index = 0}); // a run that is stopped while it is paused
    bool ok = history_prepare(
        r->h, "UPDATE runs SET status = ?1, message = ?2, seconds = ?3, peak_bytes = ?4 WHERE id = ?5", &st, &err);
    if (ok) {
        bind(st, 1, status);
        bind(st, 2, message);
        sqlite3_bind_double(st, 3, base_now() - r->start - r->held);
        int64_t peak = (int64_t)base_big_peak();
        sqlite3_bind_int64(st, 4, peak > r->peak ? peak : r->peak);
        sqlite3_bind_int64(st, 5, r->id);
        ok = history_step_done(r->h, st, &err);
    }
    if (!ok) trouble(r, &err);
}

static void on_end(session_recorder *r, const base_event *e) {
    finish(r, e->status == BASE_OK ? "done" : e->status == BASE_CANCELLED ? "cancelled" : "failed", e->text);
}

static void (*const handlers[BASE_EV_KINDS])(session_recorder *, const base_event *) = {
    [BASE_EV_PARAM] = on_param, [BASE_EV_SEED] = on_seed,   [BASE_EV_LAYER_END] = on_layer,
    [BASE_EV_MODEL] = on_model, [BASE_EV_SAVED] = on_saved, [BASE_EV_RUN_END] = on_end,
    [BASE_EV_TABLE] = on_table, [BASE_EV_PAUSE] = on_pause, [BASE_EV_CHANGE] = on_change,
};

void session_recorder_event(void *recorder, const base_event *event) {
    session_recorder *r = recorder;
    if (handlers[event->kind]) handlers[event->kind](r, event);
}

static void add_input(session_recorder *r, const char *kind, const char *path, const char *hash) {
    base_err err = {0};
    sqlite3_stmt *st;
    bool ok = history_prepare(r->h, "INSERT INTO inputs VALUES(?1, ?2, ?3, ?4, ?5)", &st, &err);
    if (ok) {
        sqlite3_bind_int64(st, 1, r->id);
        sqlite3_bind_int64(st, 2, r->inputs++);
        bind(st, 3, kind);
        bind(st, 4, path);
        bind(st, 5, hash);
        ok = history_step_done(r->h, st, &err);
    }
    if (!ok) trouble(r, &err);
}

void session_recorder_inputs(session_recorder *r, const char *model_path, const char *model_hash, const char *data,
                             const char *data_hash) {
    if (model_path) update_texts(r, "model = ?1, model_hash = ?2", (const char *const[]){model_path, model_hash}, 2);
    if (data) update_texts(r, "data = ?1, data_hash = ?2", (const char *const[]){data, data_hash}, 2);
    if (model_hash) add_input(r, "model", model_path, model_hash);
    if (data_hash) add_input(r, "data", data, data_hash);
}

int64_t session_recorder_id(const session_recorder *r) {
    return r->id;
}

void session_recorder_free(session_recorder *r) {
    if (!r) return;
    if (!r->ended) finish(r, "failed", "the run ended without a closing event");
    json_decref(r->params);
    json_decref(r->seeds);
    base_buf_free(&r->changes);
    free(r->text);
    free(r);
}
