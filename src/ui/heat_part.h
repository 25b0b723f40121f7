// Private to ui/: what the sensitivity panel keeps, for its files.
#ifndef VISE_UI_HEAT_PART_H
#define VISE_UI_HEAT_PART_H

#include "ui/heat.h"
#include "ui/host.h"

enum { HEAT_TABLES = 64 }; // kept in a session; the oldest goes first

// A layer of the table as a row, in the order shown.
typedef struct heat_row {
    char layer[128], chosen[64];
    double weights, value, bytes, sum; // of the chosen option; the sum of the row
} heat_row;
typedef struct heat_cell {
    char layer[128], option[64], unit[24];
    double value, error, bytes, seconds;
    int64_t chosen;
} heat_cell;

typedef struct heat_part {
    heat_table *table[HEAT_TABLES];
    int count, shown; // shown: index, count 0: none
    char asked[512];  // the model that the history was searched for
    bool searched;
    // As it is looked at.
    study_colours map;
    bool even, by_sum; // even: not logarithmic
    int col, left;
    char told[200];
    heat_place place;
    int *undo, undo_rows; // choices before the last change; NULL: none
    // Rows for other panels and for CSV, made anew when `stale`.
    heat_row *row;
    heat_cell *cell;
    int *order;
    int row_count, cell_count;
    bool stale;
} heat_part;

heat_part *heat_own(const ui_app *app);
heat_table *heat_shown(const ui_app *app); // NULL: there is no table
void heat_add(heat_part *own, heat_table *t, bool show);
void heat_refresh(heat_part *own); // rows and order from the table that is shown

// heat_run.c
bool heat_measure(ui_app *app, const char *metric, base_err *err);
void heat_search(ui_app *app, heat_part *own); // the history for tables of the model that is open
bool heat_send(ui_app *app, base_err *err);
bool heat_budget(ui_app *app, double bits, base_err *err);

#endif
