// The history database: one table of runs, one of layer rows, one of model rows, one of saved files. Columns of the row
// tables come from the field tables in base.h, so a new figure is recorded by adding one row there; an older database
// gains the column when it is opened.
#include "session/history.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_MS = 10000 };

bool history_fail(session_history *h, base_err *err, const char *doing) {
    int code = sqlite3_extended_errcode(h->db);
    if ((code & 0xff) == SQLITE_NOTADB)
        return base_fail(err,
                         "history %s: not a Vise history (not an SQLite database); move it away or name another folder "
                         "with --state",
                         h->path);
    return base_fail(err, "history %s: %s: %s", h->path, doing, sqlite3_errmsg(h->db));
}

bool history_prepare(session_history *h, const char *sql, sqlite3_stmt **statement, base_err *err) {
    *statement = NULL;
    if (sqlite3_prepare_v2(h->db, sql, -1, statement, NULL) == SQLITE_OK) return true;
    return history_fail(h, err, "preparing a query");
}

bool history_step_done(session_history *h, sqlite3_stmt *statement, base_err *err) {
    int code = sqlite3_step(statement);
    bool ok = code == SQLITE_DONE || code == SQLITE_ROW;
    if (!ok) history_fail(h, err, "writing");
    sqlite3_finalize(statement);
    return ok;
}

static bool run_sql(session_history *h, const char *sql, base_err *err) {
    if (sqlite3_exec(h->db, sql, NULL, NULL, NULL) == SQLITE_OK) return true;
    return history_fail(h, err, "setting up");
}

static const char *const sql_types[] = {[BASE_F_TEXT] = "TEXT", [BASE_F_INT] = "INTEGER", [BASE_F_REAL] = "REAL"};

// Column names are quoted: "index" is a word of SQL.
static bool create_row_table(session_history *h, const char *table, const base_field *fields, size_t count,
                             base_err *err) {
    base_buf sql = {0};
    base_buf_printf(&sql, "CREATE TABLE IF NOT EXISTS %s(run INTEGER NOT NULL, position INTEGER NOT NULL", table);
    for (size_t i = 0; i < count; i++) base_buf_printf(&sql, ", \"%s\" %s", fields[i].name, sql_types[fields[i].type]);
    base_buf_puts(&sql, ", PRIMARY KEY(run, position)) WITHOUT ROWID");
    bool ok = run_sql(h, sql.text, err);
    for (size_t i = 0; ok && i < count; i++) {
        if (sqlite3_table_column_metadata(h->db, NULL, table, fields[i].name, NULL, NULL, NULL, NULL, NULL) ==
            SQLITE_OK)
            continue;
        base_buf_clear(&sql);
        base_buf_printf(&sql, "ALTER TABLE %s ADD COLUMN \"%s\" %s", table, fields[i].name, sql_types[fields[i].type]);
        ok = run_sql(h, sql.text, err);
    }
    base_buf_free(&sql);
    return ok;
}

static bool read_number(session_history *h, const char *sql, int *number, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, sql, &st, err)) return false;
    int step = sqlite3_step(st);
    *number = step == SQLITE_ROW ? sqlite3_column_int(st, 0) : 0;
    if (step != SQLITE_ROW) history_fail(h, err, "reading its version");
    sqlite3_finalize(st);
    return step == SQLITE_ROW;
}

static bool create_tables(session_history *h, base_err *err) {
    int version, tables;
    // Both in one transaction: another process may be creating the tables right now.
    if (!run_sql(h, "BEGIN", err) || !read_number(h, "PRAGMA user_version", &version, err) ||
        !read_number(h, "SELECT count(*) FROM sqlite_master", &tables, err) || !run_sql(h, "COMMIT", err))
        return false;
    if (version == 0 && tables > 0)
        return base_fail(err,
                         "history %s: not a Vise history (another program's SQLite database); move it away or name "
                         "another folder with --state",
                         h->path);
    if (version > HISTORY_VERSION)
        return base_fail(err, "history %s: made by a newer Vise (version %d, this one writes %d)", h->path, version,
                         HISTORY_VERSION);
    return run_sql(
               h,
               "BEGIN IMMEDIATE;"
               "CREATE TABLE IF NOT EXISTS runs(id INTEGER PRIMARY KEY AUTOINCREMENT, recipe TEXT, recipe_path TEXT,"
               " recipe_text TEXT, recipe_hash TEXT, model TEXT, model_hash TEXT, data TEXT, data_hash TEXT,"
               " params TEXT, settings TEXT, seeds TEXT, environment TEXT, output TEXT, output_hash TEXT,"
               " output_bytes INTEGER, output_header_bytes INTEGER, started INTEGER, seconds REAL, status TEXT,"
               " message TEXT, peak_bytes INTEGER, pid INTEGER);"
               "CREATE TABLE IF NOT EXISTS saved(run INTEGER NOT NULL, position INTEGER NOT NULL, path TEXT,"
               " hash TEXT, file_bytes INTEGER, header_bytes INTEGER, PRIMARY KEY(run, position)) WITHOUT ROWID;"
               "CREATE TABLE IF NOT EXISTS inputs(run INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT, path "
               "TEXT,"
               " hash TEXT, PRIMARY KEY(run, position)) WITHOUT ROWID;"
               "CREATE INDEX IF NOT EXISTS runs_content ON runs(recipe_hash, started, seconds);",
               err) &&
           history_create_tables(h, err) && history_create_marks(h, err) &&
           create_row_table(h, "layers", base_layer_fields, base_layer_field_count, err) &&
           create_row_table(h, "models", base_model_fields, base_model_field_count, err) &&
           run_sql(h, "PRAGMA user_version = 2; COMMIT;", err);
}

session_history *session_history_open(const char *dir, base_err *err) {
    char *folder = dir ? base_strdup(dir) : base_state_dir();
    if (!folder) {
        base_fail(err, "no place for the history: neither XDG_STATE_HOME nor HOME is set; use --state DIR");
        return NULL;
    }
    session_history *h = base_alloc(sizeof *h);
    h->path = base_join(folder, "history.db");
    bool ok = base_mkdirs(folder, err), fresh = access(h->path, F_OK) != 0;
    if (ok && sqlite3_open_v2(h->path, &h->db,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_URI,
                              NULL) != SQLITE_OK)
        ok = base_fail(err, "history %s: cannot open: %s", h->path, h->db ? sqlite3_errmsg(h->db) : "no memory");
    if (ok) {
        sqlite3_busy_timeout(h->db, BUSY_MS);
        // WAL: readers and writers of several processes do not block each other, and a killed writer loses only what
        // it had not committed. A file system without shared memory refuses WAL; the default journal serves there.
        sqlite3_exec(h->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        ok = create_tables(h, err);
        if (!ok) sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
    }
    free(folder);
    if (!ok) {
        // A full disk lets a file begin and nothing be written to it; what others have written since stays.
        char *path = base_strdup(h->path);
        struct stat left;
        session_history_close(h);
        if (fresh && stat(path, &left) == 0 && left.st_size == 0) unlink(path);
        free(path);
        base_err cause = *err;
        base_fail_as(err, cause.status, "%s; --state DIR keeps the history elsewhere", cause.text);
        return NULL;
    }
    return h;
}

void session_history_close(session_history *h) {
    if (!h) return;
    sqlite3_close(h->db);
    free(h->path);
    free(h);
}

void session_record_free(session_record *r) {
    char *texts[] = {r->recipe, r->recipe_path, r->recipe_text, r->recipe_hash, r->model, r->model_hash,
                     r->data,   r->data_hash,   r->params,      r->settings,    r->seeds, r->environment,
                     r->output, r->output_hash, r->status,      r->message};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) free(texts[i]);
    memset(r, 0, sizeof *r);
}

#define RUN_COLUMNS                                                                                                    \
    "id, recipe, recipe_path, recipe_text, recipe_hash, model, model_hash, data, data_hash, params, settings, seeds,"  \
    " environment, output, output_hash, output_bytes, output_header_bytes, started, seconds, status, message, "        \
    "peak_bytes, pid"

static char *column_text(sqlite3_stmt *st, int column) {
    const char *text = (const char *)sqlite3_column_text(st, column);
    return base_strdup(text ? text : "");
}

bool history_process_gone(int64_t pid) {
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static void read_record(sqlite3_stmt *st, session_record *r) {
    memset(r, 0, sizeof *r);
    r->id = sqlite3_column_int64(st, 0);
    char **texts[] = {&r->recipe,     &r->recipe_path, &r->recipe_text, &r->recipe_hash, &r->model,
                      &r->model_hash, &r->data,        &r->data_hash,   &r->params,      &r->settings,
                      &r->seeds,      &r->environment, &r->output,      &r->output_hash};
    for (int i = 0; i < 14; i++) *texts[i] = column_text(st, i + 1);
    r->output_bytes = sqlite3_column_int64(st, 15);
    r->output_header_bytes = sqlite3_column_int64(st, 16);
    r->started = sqlite3_column_int64(st, 17);
    r->seconds = sqlite3_column_double(st, 18);
    r->status = column_text(st, 19);
    r->message = column_text(st, 20);
    r->peak_bytes = sqlite3_column_int64(st, 21);
    // A run that says "running" although its process is gone was killed; what it had finished is in the tables.
    if (strcmp(r->status, "running") == 0 && history_process_gone(sqlite3_column_int64(st, 22))) {
        free(r->status);
        r->status = base_strdup("killed");
    }
}

static bool read_records(session_history *h, sqlite3_stmt *st, session_record **records, size_t *count, base_err *err) {
    session_record *list = NULL;
    size_t n = 0;
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        list = base_realloc(list, n + 1, sizeof *list);
        read_record(st, &list[n++]);
    }
    if (code != SQLITE_DONE) {
        history_fail(h, err, "reading runs");
        for (size_t i = 0; i < n; i++) session_record_free(&list[i]);
        free(list);
    }
    sqlite3_finalize(st);
    if (code != SQLITE_DONE) return false;
    *records = list;
    *count = n;
    return true;
}

bool session_history_list(session_history *h, int64_t limit, session_record **records, size_t *count, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, "SELECT " RUN_COLUMNS " FROM runs ORDER BY id DESC LIMIT ?1", &st, err)) return false;
    sqlite3_bind_int64(st, 1, limit > 0 ? limit : -1);
    return read_records(h, st, records, count, err);
}

bool session_history_done(session_history *h, const char *recipe_hash, session_record **records, size_t *count,
                          base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h,
                         "SELECT " RUN_COLUMNS " FROM runs WHERE recipe_hash = ?1 AND status = 'done' ORDER BY id DESC",
                         &st, err))
        return false;
    sqlite3_bind_text(st, 1, recipe_hash, -1, SQLITE_TRANSIENT);
    return read_records(h, st, records, count, err);
}

bool session_history_get(session_history *h, int64_t id, session_record *record, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, "SELECT " RUN_COLUMNS " FROM runs WHERE id = ?1", &st, err)) return false;
    sqlite3_bind_int64(st, 1, id);
    int code = sqlite3_step(st);
    bool ok = code == SQLITE_ROW;
    if (ok)
        read_record(st, record);
    else if (code == SQLITE_DONE)
        base_fail(err, "run %lld is not in %s; `vise history` lists the runs there", (long long)id, h->path);
    else
        history_fail(h, err, "reading a run");
    sqlite3_finalize(st);
    return ok;
}

static void read_row(sqlite3_stmt *st, void *row, const base_field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char *at = (char *)row + fields[i].offset;
        int column = (int)i;
        if (fields[i].type == BASE_F_INT) {
            *(int64_t *)(void *)at = sqlite3_column_int64(st, column);
        } else if (fields[i].type == BASE_F_REAL) {
            bool null = sqlite3_column_type(st, column) == SQLITE_NULL;
            *(double *)(void *)at = null ? NAN : sqlite3_column_double(st, column);
        } else {
            const char *text = (const char *)sqlite3_column_text(st, column);
            snprintf(at, fields[i].size, "%s", text ? text : "");
        }
    }
}

static bool read_rows(session_history *h, const char *table, int64_t id, size_t size, const base_field *fields,
                      size_t field_count, void **rows, size_t *count, base_err *err) {
    base_buf sql = {0};
    base_buf_puts(&sql, "SELECT ");
    for (size_t i = 0; i < field_count; i++) base_buf_printf(&sql, "%s\"%s\"", i ? ", " : "", fields[i].name);
    base_buf_printf(&sql, " FROM %s WHERE run = ?1 ORDER BY position", table);
    sqlite3_stmt *st;
    bool ok = history_prepare(h, sql.text, &st, err);
    base_buf_free(&sql);
    if (!ok) return false;
    sqlite3_bind_int64(st, 1, id);
    char *list = NULL;
    size_t n = 0;
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        list = base_realloc(list, n + 1, size);
        memset(list + n * size, 0, size);
        read_row(st, list + n * size, fields, field_count);
        n++;
    }
    if (code != SQLITE_DONE) {
        history_fail(h, err, "reading rows");
        free(list);
    }
    sqlite3_finalize(st);
    if (code != SQLITE_DONE) return false;
    *rows = list;
    *count = n;
    return true;
}

bool session_history_layers(session_history *h, int64_t id, base_layer_row **rows, size_t *count, base_err *err) {
    void *list;
    bool ok = read_rows(h, "layers", id, sizeof **rows, base_layer_fields, base_layer_field_count, &list, count, err);
    if (ok) *rows = list;
    return ok;
}

bool session_history_models(session_history *h, int64_t id, base_model_row **rows, size_t *count, base_err *err) {
    void *list;
    bool ok = read_rows(h, "models", id, sizeof **rows, base_model_fields, base_model_field_count, &list, count, err);
    if (ok) *rows = list;
    return ok;
}

bool session_history_saved(session_history *h, int64_t id, char ***paths, char ***hashes, size_t *count,
                           base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, "SELECT path, hash FROM saved WHERE run = ?1 ORDER BY position", &st, err)) return false;
    sqlite3_bind_int64(st, 1, id);
    char **path_list = NULL, **hash_list = NULL;
    size_t n = 0;
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        path_list = base_realloc(path_list, n + 1, sizeof *path_list);
        hash_list = base_realloc(hash_list, n + 1, sizeof *hash_list);
        path_list[n] = column_text(st, 0);
        hash_list[n++] = column_text(st, 1);
    }
    sqlite3_finalize(st);
    if (code != SQLITE_DONE) {
        base_names_free(path_list, n);
        base_names_free(hash_list, n);
        return history_fail(h, err, "reading saved files");
    }
    *paths = path_list;
    *hashes = hash_list;
    *count = n;
    return true;
}

bool session_history_inputs(session_history *h, int64_t id, session_input **inputs, size_t *count, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(h, "SELECT kind, path, hash FROM inputs WHERE run = ?1 ORDER BY position", &st, err))
        return false;
    sqlite3_bind_int64(st, 1, id);
    session_input *list = NULL;
    size_t n = 0;
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        list = base_realloc(list, n + 1, sizeof *list);
        const char *kind = (const char *)sqlite3_column_text(st, 0);
        snprintf(list[n].kind, sizeof list[n].kind, "%s", kind ? kind : "");
        list[n].path = column_text(st, 1);
        list[n++].hash = column_text(st, 2);
    }
    sqlite3_finalize(st);
    if (code != SQLITE_DONE) {
        session_inputs_free(list, n);
        return history_fail(h, err, "reading inputs");
    }
    *inputs = list;
    *count = n;
    return true;
}

void session_inputs_free(session_input *inputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(inputs[i].path);
        free(inputs[i].hash);
    }
    free(inputs);
}

bool history_insert_row(session_history *h, const char *table, int64_t run, int64_t position, const void *row,
                        const base_field *fields, size_t count, base_err *err) {
    base_buf sql = {0};
    base_buf_printf(&sql, "INSERT OR REPLACE INTO %s(run, position", table);
    for (size_t i = 0; i < count; i++) base_buf_printf(&sql, ", \"%s\"", fields[i].name);
    base_buf_puts(&sql, ") VALUES(?1, ?2");
    for (size_t i = 0; i < count; i++) base_buf_printf(&sql, ", ?%zu", i + 3);
    base_buf_puts(&sql, ")");
    sqlite3_stmt *st;
    bool ok = history_prepare(h, sql.text, &st, err);
    base_buf_free(&sql);
    if (!ok) return false;
    sqlite3_bind_int64(st, 1, run);
    sqlite3_bind_int64(st, 2, position);
    for (size_t i = 0; i < count; i++) {
        const char *at = (const char *)row + fields[i].offset;
        int slot = (int)i + 3;
        if (fields[i].type == BASE_F_TEXT) {
            sqlite3_bind_text(st, slot, at, -1, SQLITE_TRANSIENT);
        } else if (fields[i].type == BASE_F_INT) {
            sqlite3_bind_int64(st, slot, *(const int64_t *)(const void *)at);
        } else {
            double value = *(const double *)(const void *)at;
            if (isnan(value))
                sqlite3_bind_null(st, slot);
            else
                sqlite3_bind_double(st, slot, value);
        }
    }
    return history_step_done(h, st, err);
}
