// Private to session/: the open database, shared by reading (history.c) and recording (recorder.c).
#ifndef VISE_SESSION_HISTORY_H
#define VISE_SESSION_HISTORY_H

#include "session/session.h"

#include <sqlite3.h>

struct session_history {
    sqlite3 *db;
    char *path;
};

enum { HISTORY_VERSION = 2 };

// Fills err from the database's last error, with the history's path and what was being done; returns false.
bool history_fail(session_history *h, base_err *err, const char *doing);
// A statement with its error text; every call returns false after filling err.
bool history_prepare(session_history *h, const char *sql, sqlite3_stmt **statement, base_err *err);
bool history_create_tables(session_history *h, base_err *err);                      // tables.c: of version 2
bool history_create_marks(session_history *h, base_err *err);                       // overview.c
bool history_process_gone(int64_t pid);                                             // nobody has this number any more
bool history_step_done(session_history *h, sqlite3_stmt *statement, base_err *err); // finalizes
// "INSERT INTO table(run, position, <fields>) VALUES(?1, ?2, ...)" with the row bound from the field table.
bool history_insert_row(session_history *h, const char *table, int64_t run, int64_t position, const void *row,
                        const base_field *fields, size_t count, base_err *err);

#endif
