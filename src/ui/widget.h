// Private to ui/: the widgets. Each draws into an area from plain data; none keeps anything but its scroll position.
#ifndef VISE_UI_WIDGET_H
#define VISE_UI_WIDGET_H

#include "ui/cells.h"
#include "ui/state.h"

// ---- numbers as text ---------------------------------------------------------------------------

// "bytes" 12.3 kB, "count" 12 345, "percent" of a fraction, "bits", "ratio" 5.1x, "seconds", "number", "state",
// "level", "text". NaN and counts below zero are a dash.
typedef enum ui_as {
    UI_AS_TEXT,
    UI_AS_NUMBER,
    UI_AS_COUNT,
    UI_AS_BYTES,
    UI_AS_PERCENT,
    UI_AS_BITS,
    UI_AS_RATIO,
    UI_AS_SECONDS,
    UI_AS_STATE,
    UI_AS_BAR,
    UI_AS_KINDS
} ui_as;
bool ui_as_find(const char *name, ui_as *as);
char *ui_format(ui_as as, double value, char *out, size_t size);
const char *ui_layer_glyph(int64_t state);
ui_style ui_layer_style(int64_t state);

// ---- search ------------------------------------------------------------------------------------

typedef struct ui_search ui_search;
ui_search *ui_search_new(const char *pattern, base_err *err); // PCRE2, without case when it has no capital
void ui_search_free(ui_search *s);
bool ui_search_hit(const ui_search *s, const char *text); // NULL search: false

// ---- scrolling ---------------------------------------------------------------------------------

typedef struct ui_scroll {
    int cursor, top; // rows
    int count, page; // as last drawn
    bool at_end;     // the cursor sticks to the last row (logs)
    bool follows;    // the cursor goes with the layer in hand until it is moved
} ui_scroll;
void ui_scroll_fit(ui_scroll *s, int count, int page);
void ui_scroll_move(ui_scroll *s, int delta);
void ui_scroll_to(ui_scroll *s, int row);

// ---- widgets -----------------------------------------------------------------------------------

typedef struct ui_look { // what every widget needs to know
    const ui_state *state;
    ui_scroll *scroll;
    const ui_search *search;
    bool focused;
    double now;
    char dots; // 'b'raille, 'l' blocks, 'a'scii
} ui_look;

enum { UI_MAX_COLUMNS = 24 };
typedef struct ui_column {
    char title[32];
    const base_field *field, *with; // with: of a bar, the value shaded behind it
    ui_as as;
    ui_align align;
    int width, grow;  // least columns; share of the spare ones
    int drop;         // the highest goes first when there is no room; 0 never
    double low, high; // range of a bar; logarithmic when low > 0
} ui_column;

// Widths for `room` columns, one between each; dropped columns get 0.
void ui_columns_fit(const ui_column *columns, int count, int room, int *widths);
void ui_table_draw(ui_area a, const ui_look *look, const ui_source *source, const ui_column *columns, int count,
                   const char *empty);
void ui_log_draw(ui_area a, const ui_look *look);
void ui_params_draw(ui_area a, const ui_look *look);
void ui_progress_draw(ui_area a, ui_style style, double done, double of, const char *text);
// One cell a row of the source, shaded by the field between low and high (logarithmic when low > 0).
void ui_strip_draw(ui_area a, const ui_look *look, const ui_source *source, const base_field *field, double low,
                   double high);
double ui_fraction(double value, double low, double high); // place in the range, 0..1, NaN stays

typedef struct ui_chart {
    const ui_source *source;
    const base_field *x, *y, *low, *high; // a point a row; low and high may be NULL
    const base_field *base_x, *base_y;    // of the first row that has them: where everything starts; may be NULL
    ui_as x_as, y_as;
    char x_title[48], y_title[48];
    bool x_log;
} ui_chart;
void ui_chart_draw(ui_area a, const ui_look *look, const ui_chart *chart);
// At most `limit` round tick values in low..high, returns how many.
int ui_chart_ticks(double low, double high, int wanted, double *ticks, int limit);
// The mark of run `index`: the same for as long as the run is shown.
uint32_t ui_chart_mark(int index);

#endif
