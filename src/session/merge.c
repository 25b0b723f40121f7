// Joining histories: the ended runs of another database and every row that belongs to them, copied under new numbers,
// and the measured cells it keeps.
// Nothing is written to the other database; one transaction holds all that comes from it.
#include "session/history.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct names {
    char **list;
    size_t count;
} names;

typedef struct merging {
    session_history *h;
    const char *from; // for messages
    names run_columns;
    names children;      // tables whose rows belong to a run
    char **child_insert; // per child: INSERT ... SELECT with ?1 = new and ?2 = old number
} merging;

static bool from_fail(merging *g, base_err *err, const char *doing) {
    int code = sqlite3_extended_errcode(g->h->db) & 0xff;
    if (code == SQLITE_NOTADB) return base_fail(err, "%s: not a Vise history (not an SQLite database)", g->from);
    if (code == SQLITE_CORRUPT) return base_fail(err, "%s: the database is damaged: %s", g->from, doing);
    return base_fail(err, "%s: %s: %s", g->from, doing, sqlite3_errmsg(g->h->db));
}

static bool run_sql(merging *g, const char *sql, const char *doing, base_err *err) {
    return sqlite3_exec(g->h->db, sql, NULL, NULL, NULL) == SQLITE_OK || from_fail(g, err, doing);
}

// The first column of every row, as texts.
static bool read_names(merging *g, const char *sql, const char *bound, names *out, base_err *err) {
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(g->h->db, sql, -1, &st, NULL) != SQLITE_OK) return from_fail(g, err, "reading its tables");
    if (bound) sqlite3_bind_text(st, 1, bound, -1, SQLITE_TRANSIENT);
    int code;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        out->list = base_realloc(out->list, out->count + 1, sizeof *out->list);
        out->list[out->count++] = base_strdup(text ? text : "");
    }
    sqlite3_finalize(st);
    return code == SQLITE_DONE || from_fail(g, err, "reading its tables");
}

// Columns that both databases have; an older source lacks some, which then stay empty.
static bool common_columns(merging *g, const char *table, names *out, base_err *err) {
    return read_names(g,
                      "SELECT a.name FROM pragma_table_info(?1, 'main') a JOIN pragma_table_info(?1, 'other') b"
                      " ON a.name = b.name ORDER BY a.cid",
                      table, out, err);
}

// ---- the other database ------------------------------------------------------------------------------

static char *database_path(const char *from) {
    return base_is_dir(from) ? base_join(from, "history.db") : base_strdup(from);
}

static bool same_file(const char *a, const char *b) {
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

// A path as a file: URI; everything but plain characters is written as %XX.
static char *uri_of(const char *path, const char *query) {
    base_buf b = {0};
    char *whole = base_absolute(path);
    base_buf_puts(&b, "file://");
    for (const unsigned char *c = (const unsigned char *)whole; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                     strchr("/-_.~", *c) != NULL;
        base_buf_printf(&b, plain ? "%c" : "%%%02X", *c);
    }
    base_buf_puts(&b, query);
    free(whole);
    return b.text;
}

static bool attach_as(merging *g, const char *path, const char *query, base_err *err) {
    sqlite3_stmt *st;
    if (!history_prepare(g->h, "ATTACH ?1 AS other", &st, err)) return false;
    char *uri = uri_of(path, query);
    sqlite3_bind_text(st, 1, uri, -1, SQLITE_TRANSIENT);
    bool ok = sqlite3_step(st) == SQLITE_DONE;
    if (!ok) from_fail(g, err, "cannot open");
    sqlite3_finalize(st);
    free(uri);
    // Opening reads nothing yet.
    if (ok && !run_sql(g, "SELECT count(*) FROM other.sqlite_master", "cannot be read", err)) {
        sqlite3_exec(g->h->db, "DETACH other", NULL, NULL, NULL);
        return false;
    }
    return ok;
}

static bool attach(merging *g, const char *path, base_err *err) {
    // Not mode=ro: only a connection that may write takes the log and its index away again when it is the last one.
    if (attach_as(g, path, "?mode=rw", err)) return true;
    // A folder that cannot be written has no place for the log's index; without a log the file alone is the whole.
    char *log = base_sprintf("%s-wal", path);
    bool alone = access(log, F_OK) != 0 && sqlite3_errcode(g->h->db) == SQLITE_CANTOPEN;
    free(log);
    return alone && attach_as(g, path, "?mode=ro&immutable=1", err);
}

static bool check_version(merging *g, base_err *err) {
    names version = {0}, tables = {0}, check = {0};
    bool ok = read_names(g, "PRAGMA other.user_version", NULL, &version, err) &&
              read_names(g, "SELECT name FROM other.sqlite_master WHERE type = 'table' AND name = 'runs'", NULL,
                         &tables, err);
    int number = ok && version.count ? atoi(version.list[0]) : 0;
    if (ok && number > HISTORY_VERSION)
        ok = base_fail(err, "%s: made by a newer Vise (version %d, this one reads %d)", g->from, number,
                       HISTORY_VERSION);
    if (ok && (!tables.count || number < 1)) ok = base_fail(err, "%s: not a Vise history (it has no runs)", g->from);
    ok = ok && read_names(g, "PRAGMA other.quick_check(1)", NULL, &check, err);
    if (ok && (!check.count || strcmp(check.list[0], "ok") != 0)) {
        // The first line only says in which of the attached databases.
        const char *found = check.count ? check.list[0] : "no answer", *second = strchr(found, '\n');
        char clean[200];
        base_clean(clean, sizeof clean, second ? second + 1 : found);
        ok = base_fail(err, "%s: the database is damaged: %s", g->from, clean);
    }
    base_names_free(version.list, version.count);
    base_names_free(tables.list, tables.count);
    base_names_free(check.list, check.count);
    return ok;
}

// ---- copying -----------------------------------------------------------------------------------------

static void put_columns(base_buf *b, const names *columns, const char *but, const char *but_too) {
    bool first = true;
    for (size_t i = 0; i < columns->count; i++) {
        const char *name = columns->list[i];
        if (strcmp(name, but) == 0 || (but_too && strcmp(name, but_too) == 0)) continue;
        base_buf_printf(b, "%s\"%s\"", first ? "" : ", ", name);
        first = false;
    }
}

static bool plan_children(merging *g, base_err *err) {
    // Names come from this database, so that a source cannot put SQL into the statements.
    if (!read_names(g,
                    "SELECT m.name FROM main.sqlite_master m WHERE m.type = 'table' AND EXISTS (SELECT 1 FROM"
                    " other.sqlite_master o WHERE o.type = 'table' AND o.name = m.name) AND EXISTS (SELECT 1 FROM"
                    " pragma_table_info(m.name, 'main') WHERE name = 'run') AND EXISTS (SELECT 1 FROM"
                    " pragma_table_info(m.name, 'other') WHERE name = 'run') ORDER BY m.name",
                    NULL, &g->children, err))
        return false;
    g->child_insert = base_calloc(g->children.count + 1, sizeof *g->child_insert);
    for (size_t i = 0; i < g->children.count; i++) {
        names columns = {0};
        if (!common_columns(g, g->children.list[i], &columns, err)) return false;
        base_buf b = {0};
        base_buf_printf(&b, "INSERT INTO main.\"%s\"(run, ", g->children.list[i]);
        put_columns(&b, &columns, "run", NULL);
        base_buf_puts(&b, ") SELECT ?1, ");
        put_columns(&b, &columns, "run", NULL);
        base_buf_printf(&b, " FROM other.\"%s\" WHERE run = ?2", g->children.list[i]);
        g->child_insert[i] = b.text;
        base_names_free(columns.list, columns.count);
    }
    return true;
}

// Equal in every column but number and process: the same run, merged before.
static char *known_sql(const merging *g) {
    base_buf b = {0};
    base_buf_puts(&b,
                  "SELECT m.id FROM main.runs m JOIN other.runs o ON o.id = ?1 WHERE m.recipe_hash IS o.recipe_hash "
                  "AND m.started IS o.started AND m.seconds IS o.seconds");
    for (size_t i = 0; i < g->run_columns.count; i++) {
        const char *name = g->run_columns.list[i];
        if (strcmp(name, "id") && strcmp(name, "pid")) base_buf_printf(&b, " AND m.\"%s\" IS o.\"%s\"", name, name);
    }
    base_buf_puts(&b, " LIMIT 1");
    return b.text;
}

static char *insert_sql(const merging *g) {
    base_buf b = {0};
    base_buf_puts(&b, "INSERT INTO main.runs(");
    put_columns(&b, &g->run_columns, "id", "pid");
    base_buf_puts(&b, ") SELECT ");
    put_columns(&b, &g->run_columns, "id", "pid");
    base_buf_puts(&b, " FROM other.runs WHERE id = ?1");
    return b.text;
}

static bool copy_children(merging *g, int64_t new_id, int64_t old_id, base_err *err) {
    for (size_t i = 0; i < g->children.count; i++) {
        sqlite3_stmt *st;
        if (!history_prepare(g->h, g->child_insert[i], &st, err)) return false;
        sqlite3_bind_int64(st, 1, new_id);
        sqlite3_bind_int64(st, 2, old_id);
        if (!history_step_done(g->h, st, err)) return false;
    }
    return true;
}

typedef struct statements {
    sqlite3_stmt *each, *known, *insert;
} statements;

static bool copy_one(merging *g, statements *s, int64_t id, session_merged *m, base_err *err) {
    sqlite3_reset(s->known);
    sqlite3_bind_int64(s->known, 1, id);
    int code = sqlite3_step(s->known);
    sqlite3_reset(s->known);
    if (code == SQLITE_ROW) {
        m->known++;
        return true;
    }
    if (code != SQLITE_DONE) return from_fail(g, err, "reading a run");
    sqlite3_reset(s->insert);
    sqlite3_bind_int64(s->insert, 1, id);
    code = sqlite3_step(s->insert);
    sqlite3_reset(s->insert);
    if (code != SQLITE_DONE) return history_fail(g->h, err, "writing a run");
    m->added++;
    return copy_children(g, sqlite3_last_insert_rowid(g->h->db), id, err);
}

static bool copy_runs(merging *g, base_job *job, session_merged *m, base_err *err) {
    statements s = {0};
    char *known = known_sql(g), *insert = insert_sql(g);
    bool ok = history_prepare(g->h, "SELECT id, status FROM other.runs ORDER BY id", &s.each, err) &&
              history_prepare(g->h, known, &s.known, err) && history_prepare(g->h, insert, &s.insert, err);
    int code = SQLITE_ROW;
    while (ok && (code = sqlite3_step(s.each)) == SQLITE_ROW) {
        const char *status = (const char *)sqlite3_column_text(s.each, 1);
        if (!base_go_on(job, err))
            ok = false;
        else if (!status || strcmp(status, "running") == 0)
            m->unfinished++;
        else
            ok = copy_one(g, &s, sqlite3_column_int64(s.each, 0), m, err);
    }
    if (ok && code != SQLITE_DONE) ok = from_fail(g, err, "reading its runs");
    sqlite3_finalize(s.each);
    sqlite3_finalize(s.known);
    sqlite3_finalize(s.insert);
    free(known);
    free(insert);
    return ok;
}

// What is kept under the hash of what it depends on (measured cells) belongs to no run: what is not here yet comes
// over.
static bool copy_kept(merging *g, session_merged *m, base_err *err) {
    names tables = {0};
    bool ok = read_names(g,
                         "SELECT m.name FROM main.sqlite_master m WHERE m.type = 'table' AND EXISTS (SELECT 1 FROM"
                         " other.sqlite_master o WHERE o.type = 'table' AND o.name = m.name) AND EXISTS (SELECT 1 FROM"
                         " pragma_table_info(m.name, 'main') WHERE name = 'key' AND pk = 1) AND EXISTS (SELECT 1 FROM"
                         " pragma_table_info(m.name, 'other') WHERE name = 'key') ORDER BY m.name",
                         NULL, &tables, err);
    for (size_t i = 0; ok && i < tables.count; i++) {
        names columns = {0};
        base_buf b = {0};
        ok = common_columns(g, tables.list[i], &columns, err);
        base_buf_printf(&b, "INSERT OR IGNORE INTO main.\"%s\"(", tables.list[i]);
        put_columns(&b, &columns, "", NULL);
        base_buf_puts(&b, ") SELECT ");
        put_columns(&b, &columns, "", NULL);
        base_buf_printf(&b, " FROM other.\"%s\"", tables.list[i]);
        ok = ok && run_sql(g, b.text, "copying what was measured", err);
        if (ok) m->cells += sqlite3_changes(g->h->db);
        base_buf_free(&b);
        base_names_free(columns.list, columns.count);
    }
    base_names_free(tables.list, tables.count);
    return ok;
}

static bool copy_all(merging *g, base_job *job, session_merged *m, base_err *err) {
    if (!run_sql(g, "BEGIN IMMEDIATE", "writing", err)) return false;
    bool ok = common_columns(g, "runs", &g->run_columns, err) && plan_children(g, err) && copy_runs(g, job, m, err) &&
              copy_kept(g, m, err) && run_sql(g, "COMMIT", "writing", err);
    if (!ok) sqlite3_exec(g->h->db, "ROLLBACK", NULL, NULL, NULL);
    base_names_free(g->run_columns.list, g->run_columns.count);
    for (size_t i = 0; g->child_insert && i < g->children.count; i++) free(g->child_insert[i]);
    free(g->child_insert);
    base_names_free(g->children.list, g->children.count);
    return ok;
}

bool session_history_merge(session_history *h, const char *from, base_job *job, session_merged *merged, base_err *err) {
    merging g = {.h = h, .from = from};
    session_merged m = {0};
    char *path = database_path(from);
    bool ok;
    if (!base_is_file(path))
        ok = base_fail(err, "%s: there is no history there (no file %s)", from, path);
    else if (same_file(path, h->path))
        ok = base_fail(err, "%s: is the history to merge into", from);
    else
        ok = attach(&g, path, err);
    if (ok) {
        ok = check_version(&g, err) && copy_all(&g, job, &m, err);
        sqlite3_exec(h->db, "DETACH other", NULL, NULL, NULL);
    }
    free(path);
    if (ok) *merged = m;
    return ok;
}
