// Private to ui/: the sensitivity heat map - a table of layers x options as it is shown, its arithmetic, and how it is
// drawn. The arithmetic knows neither the screen nor Lua.
#ifndef VISE_UI_HEAT_H
#define VISE_UI_HEAT_H

#include "study/study.h"
#include "ui/widget.h"

enum { HEAT_MOST = 1 << 22 }; // cells

typedef struct heat_table {
    char metric[32], unit[24];
    char from[96]; // "run 2", "run 14 of the history"
    int rows, cols;
    char (*row)[128], (*col)[64]; // names, clean
    char **steps;                 // [cols] as a recipe says them; NULL: not known
    double *value, *error;        // [rows x cols]; NaN: not measured
    double *bytes, *seconds;      // [rows x cols]; NaN: none
    double *weights;              // [rows]
    int *choice;                  // [rows] option, -1: none
    int known;                    // cells with a number
    bool growing;                 // cells still come
} heat_table;

// From the JSON text of a table or cell event. NULL with a sentence when it is no sensitivity table; what is too large
// or of uneven rows is refused.
heat_table *heat_table_read(const char *json, base_err *err);
bool heat_table_take_cell(heat_table *t, const char *json); // of a cell event; false: it does not fit
void heat_table_free(heat_table *t);
double heat_row_sum(const heat_table *t, int row); // of what is finite; NaN: nothing is
double heat_col_sum(const heat_table *t, int col);
// order[rows]: positions to rows; by_sum: the largest sum first, rows without one last, equal ones in layer order.
void heat_order(const heat_table *t, bool by_sum, int *order);

// ---- colours ----

typedef struct heat_scale {
    double low, high, middle; // of the finite values (log: of the positive ones); middle: of the diverging map
    bool log, diverging, empty;
    int below;   // log: values at or below 0, which take the lowest colour
    int missing; // neither finite nor infinite
} heat_scale;
heat_scale heat_scale_of(const double *value, size_t count, bool log, bool diverging);
// Place on the colour map, 0..1; NaN stays, infinities take the ends, all-equal values the middle.
double heat_share(const heat_scale *s, double value);
double heat_value_at(const heat_scale *s, double share); // back, for the legend
// At most `width` columns: "0.012", "1.2e-3", "1e-3"; a dash for NaN.
char *heat_number(double value, int width, char out[24]);
// How a share looks: characters 0..levels-1 where there are few colours or none.
uint32_t heat_shade(double share, bool ascii);
int32_t heat_ink(int32_t rgb); // black or white, what reads on that colour
// One cell of a map: a colour where there are many, else a shade; NaN is a dash. `ch` 0: nothing but the colour.
void heat_paint(ui_area a, int x, int y, study_colours map, double share, uint32_t ch);
// "0.001 ####### 0.1": the map itself with numbers at the ends and in the middle; returns the column after it.
int heat_legend(ui_area a, int x, int y, int width, study_colours map, const heat_scale *s);

// ---- choices ----

typedef struct heat_total {
    int chosen;
    double bytes, weights, loss; // of the chosen layers
} heat_total;
heat_total heat_choice_total(const heat_table *t, const int *choice);
// Each row's cheapest option (then least loss) whose value is at most `most`; returns the rows that have none.
int heat_under(const heat_table *t, double most, int *choice);
// The exact least sum of values within `bits` of storage a weight over the table's rows; rows without a finite value
// get -1 and no share of the budget. `loss`, `bytes`: of the answer.
typedef struct heat_answer {
    double bits, loss, bytes, weights;
    int left_out; // rows without a value
    bool proved;
} heat_answer;
bool heat_allocate(const heat_table *t, double bits, int *choice, heat_answer *answer, base_job *job, base_err *err);
heat_table *heat_table_copy(const heat_table *t); // without steps and names' owners shared: a whole copy

// ---- drawing ----

typedef struct heat_look {
    const ui_look *look;
    const int *order; // [rows]
    study_colours map;
    bool log;
    int *col, *left;  // cursor and first column shown
    const char *told; // what the allocator or the threshold said; ""
} heat_look;
typedef struct heat_place { // where cells are, for the mouse; relative to the area
    int x, y, cell, columns, rows;
} heat_place;
void heat_draw(ui_area a, const heat_look *h, const heat_table *t, heat_place *place);

#endif
