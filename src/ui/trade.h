// Private to ui/: the trade-off - size against what is lost, a point a run - its arithmetic (trade_axis.c), its points
// (trade_points.c), how it is drawn (trade_draw.c), the budget and the allocator's answer to it (trade_budget.c).
#ifndef VISE_UI_TRADE_H
#define VISE_UI_TRADE_H

#include "ui/heat.h"
#include "ui/past.h"

// ---- axes: knows neither the screen nor runs ----

typedef struct trade_axis {
    double low, high; // of what is shown; low < high, both above 0 when log
    bool log;
} trade_axis;
double trade_place(const trade_axis *a, double value); // 0 at low, 1 at high; NaN where a log axis has no place
double trade_value(const trade_axis *a, double place);
// The range of the finite values (log: of the positive ones) with a little air; equal ones get a range of their own.
trade_axis trade_fit(const double *values, size_t count, bool log);
void trade_zoom(trade_axis *a, double place,
                double factor);              // the value at `place` stays where it is; factor < 1: closer
void trade_pan(trade_axis *a, double share); // by a share of what is shown
// Round values in the range, at most `limit`: on a log axis 1, 2 and 5 times powers of ten, fewer when they are many,
// and even steps when the range is narrower than those.
int trade_ticks(const trade_axis *a, int wanted, double *ticks, int limit);

typedef struct trade_point {
    double x, y, low, high; // low, high: the interval of y, NaN: none
    int64_t key;            // of the run
    int index;              // in the list of runs
    bool front, session;    // on the front; of this session
} trade_point;
// The nearest of points by what is seen (a share of the height counts `aspect` times a share of the width); -1: none.
int trade_nearest(const trade_point *p, int count, const trade_axis *x, const trade_axis *y, double x_place,
                  double y_place, double aspect);
// The nearest point in a direction (-1, 0, 1 each, y upwards) from a place, at most 45 degrees off; `from` is not it.
int trade_toward(const trade_point *p, int count, int from, const trade_axis *x, const trade_axis *y, int dx, int dy,
                 double aspect);

// ---- the part ----

// A line of what is told of the selected run beside the base.
typedef struct trade_line {
    char name[32], here[64], base[64], difference[64];
    int64_t differs; // 1: not the same in both
    int64_t param;   // 1: a param, 0: a figure
} trade_line;
// A point as a row, for search and CSV.
typedef struct trade_row {
    char name[24], recipe[64], params[256];
    double x, y, low, high;
    int64_t front;
} trade_row;

enum { TRADE_LINES = 48 };

typedef struct trade_own {
    // What is shown.
    bool kl, bits, x_log, y_log, all_models;
    char filter[200];
    ui_search *pattern;
    bool inverted;
    // Points, by size.
    trade_point *points;
    trade_row *rows;
    int count, unmeasured, others; // others: of another metric or model content
    unsigned version;              // of the list of runs they are from
    bool stale, fit;               // to be made anew; to be fitted when they are
    char model[96], metric[24];
    bool rises;    // more of y is better
    double before; // y of the original, NaN: not known
    trade_axis x, y;
    int64_t selected;
    ui_rect inner; // where points are, relative to the panel, as last drawn
    trade_line line[TRADE_LINES];
    int line_count;
    // The budget, in the unit of x; NaN: none.
    double budget;
    double solved; // the budget that the answer is for, bits a weight; NaN: none
    bool solving;
    heat_table *table; // that the answer is of
    int *choice, *before_choice;
    heat_answer answer;
    char trouble[400], trouble_of[96]; // why there is none, and of which table
    double rest;                       // bytes of the model that are not in the table's layers; NaN: not known
} trade_own;

trade_own *trade_of(const ui_state *s);
bool trade_points_make(ui_app *app, trade_own *o); // when something changed: true
void trade_points_free(trade_own *o);
void trade_lines_make(ui_app *app, trade_own *o);
bool trade_filter(trade_own *o, const char *pattern, base_err *err);
const trade_point *trade_selected(const trade_own *o);
void trade_draw(ui_app *app, ui_area a, const ui_look *look);
// trade_budget.c
void trade_budget_set(ui_app *app, trade_own *o, double budget);
void trade_budget_look(ui_app *app, trade_own *o); // asks the allocator when the answer is not of this budget
bool trade_budget_parse(const char *text, bool *bits, double *value, base_err *err); // "40kB", "3.5bit", "40000"
void trade_budget_draw(ui_app *app, trade_own *o, ui_area a);
bool trade_budget_send(ui_app *app, trade_own *o, base_err *err);
void trade_budget_turn(trade_own *o); // x changes its unit
void trade_budget_free(trade_own *o);

#endif
