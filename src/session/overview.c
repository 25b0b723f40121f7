// The history as a list for people: a row a run with the figures it is judged by, what was noted about it, and whether
// it is pinned. Notes and pins are a table of their own, so that a database without it only lacks those.
#include "session/history.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool history_create_marks(session_history *h, base_err *err) {
    static const char sql[] = "CREATE TABLE IF NOT EXISTS marks(run INTEGER NOT NULL PRIMARY KEY, pinned INTEGER NOT "
                              "NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '') WITHOUT ROWID;";
    if (sqlite3_exec(h->db, sql, NULL, NULL, NULL) == SQLITE_OK) return true;
    return base_fail(err, "history %s: making the table of pins and notes: %s", h->path, sqlite3_errmsg(h->db));
}

// ---- pins and notes --------------------------------------------------------------------------------

static bool exists(session_history *h, int64_t id, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, "SELECT 1 FROM runs WHERE id = ?1", &st, err)) return false;
    sqlite3_bind_int64(st, 1, id);
    int code = sqlite3_step(st);
    bool ok = code == SQLITE_ROW;
    if (code == SQLITE_DONE)
        base_fail(err, "run %lld is not in %s", (long long)id, h->path);
    else if (!ok)
        history_fail(h, err, "looking for a run");
    sqlite3_finalize(st);
    return ok;
}

bool session_history_pin(session_history *h, int64_t id, bool pinned, base_err *err) {
    sqlite3_stmt *st;
    if (!exists(h, id, err)) return false;
    if (!history_prepare(h, "INSERT INTO marks(run, pinned) VALUES(?1, ?2) ON CONFLICT(run) DO UPDATE SET pinned = ?2",
                         &st, err))
        return false;
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_int(st, 2, pinned);
    return history_step_done(h, st, err);
}

bool session_history_note(session_history *h, int64_t id, const char *note, base_err *err) {
    sqlite3_stmt *st;
    if (!exists(h, id, err)) return false;
    if (!history_prepare(h, "INSERT INTO marks(run, note) VALUES(?1, ?2) ON CONFLICT(run) DO UPDATE SET note = ?2", &st,
                         err))
        return false;
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_text(st, 2, note, -1, SQLITE_TRANSIENT);
    return history_step_done(h, st, err);
}

// ---- the list --------------------------------------------------------------------------------------

static const char *text_at(sqlite3_stmt *st, int column) {
    const char *text = (const char *)sqlite3_column_text(st, column);
    return text ? text : "";
}

void session_params_text(const char *json, char *out, size_t size) {
    json_t *o = json_loads(json, 0, NULL), *value;
    const char *name;
    base_buf b = {0};
    json_object_foreach(o, name, value) {
        base_buf_printf(&b, "%s%s=", b.length ? " " : "", name);
        if (json_is_string(value))
            base_buf_puts(&b, json_string_value(value));
        else
            base_buf_printf(&b, "%.9g", json_number_value(value));
    }
    base_clean(out, size, b.text ? b.text : "");
    base_buf_free(&b);
    json_decref(o);
}

static void read_run(sqlite3_stmt *st, session_overview *r) {
    *r = (session_overview){.flips = -1, .samples = -1, .bytes = -1, .bytes_before = -1};
    r->before = r->before_low = r->before_high = r->value = r->low = r->high = NAN;
    r->kl = r->kl_low = r->kl_high = r->bits = NAN;
    r->id = sqlite3_column_int64(st, 0);
    base_clean(r->recipe, sizeof r->recipe, text_at(st, 1));
    session_params_text(text_at(st, 2), r->params, sizeof r->params);
    base_clean(r->model, sizeof r->model, base_basename(text_at(st, 3)));
    base_clean(r->model_hash, sizeof r->model_hash, text_at(st, 4));
    base_clean(r->data, sizeof r->data, base_basename(text_at(st, 5)));
    r->started = sqlite3_column_int64(st, 6);
    bool timed = sqlite3_column_type(st, 7) != SQLITE_NULL;
    r->seconds = timed ? sqlite3_column_double(st, 7) : NAN;
    const char *status = text_at(st, 8);
    bool gone = strcmp(status, "running") == 0 && history_process_gone(sqlite3_column_int64(st, 9));
    base_clean(r->state, sizeof r->state, gone ? "killed" : strcmp(status, "cancelled") == 0 ? "stopped" : status);
    base_clean(r->message, sizeof r->message, text_at(st, 10));
    r->peak_bytes = sqlite3_column_int64(st, 11);
    r->pinned = sqlite3_column_int64(st, 12);
    base_clean(r->note, sizeof r->note, text_at(st, 13));
    base_clean(r->saved, sizeof r->saved, text_at(st, 14));
    base_clean(r->hash, sizeof r->hash, text_at(st, 15));
}

static double real_at(sqlite3_stmt *st, int column) {
    return sqlite3_column_type(st, column) == SQLITE_NULL ? NAN : sqlite3_column_double(st, column);
}

// Rows come newest first.
static session_overview *row_of(session_overview *rows, size_t count, int64_t id) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows[middle].id == id) return &rows[middle];
        if (rows[middle].id > id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// A run's later figures of the compressed model take the place of earlier ones, as in session_recorded_figure.
static void read_figure(sqlite3_stmt *st, session_overview *r) {
    double value = real_at(st, 4);
    if (strcmp(text_at(st, 1), "original") == 0) {
        r->before = value;
        r->before_low = real_at(st, 5);
        r->before_high = real_at(st, 6);
        r->bytes_before = sqlite3_column_int64(st, 11);
        return;
    }
    if (!isfinite(value) && isfinite(r->value)) return;
    base_clean(r->data, sizeof r->data, text_at(st, 2));
    base_clean(r->metric, sizeof r->metric, text_at(st, 3));
    r->value = value;
    r->low = real_at(st, 5);
    r->high = real_at(st, 6);
    r->kl = real_at(st, 7);
    r->kl_low = real_at(st, 8);
    r->kl_high = real_at(st, 9);
    r->flips = sqlite3_column_type(st, 10) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 10);
    r->bytes = sqlite3_column_int64(st, 11);
    r->bits = real_at(st, 12);
    r->samples = sqlite3_column_int64(st, 13);
}

// A run that was not measured has the bits of its layers, each counted once.
static void read_layers(sqlite3_stmt *st, session_overview *r) {
    int64_t weights = sqlite3_column_int64(st, 2);
    if (!isfinite(r->bits) && weights > 0) r->bits = 8 * (double)sqlite3_column_int64(st, 1) / (double)weights;
}

// Every row of a query whose first column is a run's number, from the lowest number of the list on.
static bool each_row(session_history *h, const char *sql, session_overview *rows, size_t count,
                     void (*read)(sqlite3_stmt *, session_overview *), base_job *job, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, sql, &st, err)) return false;
    sqlite3_bind_int64(st, 1, rows[count - 1].id);
    sqlite3_bind_int64(st, 2, rows[0].id);
    int code;
    bool ok = true;
    for (int n = 0; ok && (code = sqlite3_step(st)) == SQLITE_ROW; n++) {
        session_overview *r = row_of(rows, count, sqlite3_column_int64(st, 0));
        if (r) read(st, r);
        ok = n % 256 || base_go_on(job, err);
    }
    if (ok && code != SQLITE_DONE) ok = history_fail(h, err, "reading figures of runs");
    sqlite3_finalize(st);
    return ok;
}

static bool read_runs(session_history *h, int64_t limit, session_overview **rows, size_t *count, base_job *job,
                      base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h,
                         "SELECT id, recipe, params, model, model_hash, data, started, seconds, status, pid, message,"
                         " peak_bytes, IFNULL(pinned, 0), note, output, output_hash FROM runs LEFT JOIN marks ON"
                         " marks.run = id ORDER BY id DESC LIMIT ?1",
                         &st, err))
        return false;
    sqlite3_bind_int64(st, 1, limit > 0 ? limit : -1);
    size_t room = 0;
    int code;
    bool ok = true;
    while (ok && (code = sqlite3_step(st)) == SQLITE_ROW) {
        if (*count == room) {
            room = room ? room * 2 : 64;
            *rows = base_realloc(*rows, room, sizeof **rows);
        }
        read_run(st, &(*rows)[(*count)++]);
        ok = *count % 256 || base_go_on(job, err);
    }
    if (ok && code != SQLITE_DONE) ok = history_fail(h, err, "reading runs");
    sqlite3_finalize(st);
    return ok;
}

static bool count_runs(session_history *h, int64_t *total, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, "SELECT COUNT(*) FROM runs", &st, err)) return false;
    bool ok = sqlite3_step(st) == SQLITE_ROW;
    *total = ok ? sqlite3_column_int64(st, 0) : 0;
    if (!ok) history_fail(h, err, "counting runs");
    sqlite3_finalize(st);
    return ok;
}

bool session_history_overview(session_history *h, int64_t limit, session_overview **rows, size_t *count, int64_t *total,
                              base_job *job, base_err *err) {
    session_overview *list = NULL;
    size_t n = 0;
    bool ok = count_runs(h, total, err) && read_runs(h, limit, &list, &n, job, err);
    if (ok && n > 0)
        ok = each_row(h,
                      "SELECT run, label, data, metric, value, low, high, kl, kl_low, kl_high, flips, bytes, bits,"
                      " samples FROM models WHERE run BETWEEN ?1 AND ?2 ORDER BY run, position",
                      list, n, read_figure, job, err) &&
             // SQLite takes the other columns of a group from the row that has the MAX.
             each_row(h,
                      "SELECT run, SUM(bytes), SUM(weights) FROM (SELECT run, name, bytes, weights, MAX(position) FROM"
                      " layers WHERE run BETWEEN ?1 AND ?2 GROUP BY run, name) GROUP BY run",
                      list, n, read_layers, job, err);
    if (!ok) {
        free(list);
        return false;
    }
    *rows = list;
    *count = n;
    return true;
}
