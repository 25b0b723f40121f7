// Private to ui/: a grid of character cells and the few ways to write into it.
//
// Widgets draw into an area (a clipped rectangle of the grid); nothing here knows the terminal. Text is UTF-8 and
// measured in columns. A grid for a terminal without UTF-8 turns every character into its nearest ASCII one as it is
// written, so widgets use one set of glyphs only.
#ifndef VISE_UI_CELLS_H
#define VISE_UI_CELLS_H

#include "ui/ui.h"

// What a cell means, never what colour it has: theme.c decides that.
enum { UI_MARK_COUNT = 6, UI_RAMP_COUNT = 12 };
typedef enum ui_style {
    UI_NORMAL,
    UI_DIM,
    UI_STRONG,
    UI_ACCENT,
    UI_HEADING,      // title of a panel
    UI_HEADING_HERE, // of the panel with the focus
    UI_BAR,          // the title bar
    UI_BAR_STRONG,
    UI_KEY,
    UI_GOOD,
    UI_WARN,
    UI_BAD,
    UI_RULE,
    UI_FOUND, // what the search found
    UI_PROMPT,
    UI_PROMPT_BAD,
    UI_MARK,                           // + 0..UI_MARK_COUNT-1: one run in a chart
    UI_RAMP = UI_MARK + UI_MARK_COUNT, // + 0..UI_RAMP_COUNT-1: low to high
    UI_STYLES = UI_RAMP + UI_RAMP_COUNT,
    UI_PAINTED = UI_STYLES // colours of its own: heatmaps and images; never in a theme
} ui_style;

typedef struct ui_cell {
    uint32_t ch;    // 0: the right half of a wide character
    int32_t fg, bg; // 0xRRGGBB of a painted cell, -1: the terminal's own
    uint8_t style;
    uint8_t reverse; // the cursor's row
} ui_cell;

typedef struct ui_grid {
    int w, h;
    bool ascii;
    ui_cell *cells; // [h x w]
} ui_grid;

typedef struct ui_rect {
    int x, y, w, h;
} ui_rect;

typedef struct ui_area {
    ui_grid *grid;
    ui_rect r;
} ui_area;

typedef enum ui_align { UI_LEFT, UI_RIGHT, UI_CENTRE, UI_LEFT_TAIL } ui_align; // LEFT_TAIL: when cut, the end stays

void ui_grid_resize(ui_grid *g, int w, int h); // cleared
void ui_grid_clear(ui_grid *g);
void ui_grid_free(ui_grid *g);               // contents, not g
ui_area ui_grid_area(ui_grid *g, ui_rect r); // clipped to the grid
// A part of an area, clipped to it; x, y relative to it.
ui_area ui_sub(ui_area a, int x, int y, int w, int h);

// All return the column after the text; nothing leaves the area.
int ui_put(ui_area a, int x, int y, ui_style style, const char *text);
int ui_putf(ui_area a, int x, int y, ui_style style, const char *fmt, ...) BASE_PRINTF(5, 6);
// In exactly `width` columns: padded, or cut with a visible mark.
int ui_fit(ui_area a, int x, int y, int width, ui_align align, ui_style style, const char *text);
void ui_char(ui_area a, int x, int y, ui_style style, uint32_t ch);
// A cell with colours of its own, 0xRRGGBB or -1 for the terminal's. What it says must also be in the character where
// there are fewer than 256 colours (ui_theme_depth).
void ui_paint(ui_area a, int x, int y, uint32_t ch, int32_t fg, int32_t bg);
void ui_fill(ui_area a, int x, int y, int w, int h, ui_style style, uint32_t ch);
void ui_reverse(ui_area a, int x, int y, int w);
// Text over several lines, broken at spaces; returns the lines used (also when they do not fit).
int ui_wrap(ui_area a, int y, ui_style style, const char *text);
// Horizontal bar of `fraction` (0..1) of `width` columns, with eighths; `more` >= fraction is shaded behind it.
void ui_bar_draw(ui_area a, int x, int y, int width, ui_style style, double fraction, double more);

// Next character of UTF-8 text, 0 at the end; broken bytes are '?'.
uint32_t ui_next_char(const char **text);
int ui_char_width(uint32_t ch); // columns: 0, 1 or 2
uint32_t ui_ascii_of(uint32_t ch);
size_t ui_encode(uint32_t ch, char out[5]); // UTF-8, NUL-terminated; returns bytes

#endif
