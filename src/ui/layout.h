// Private to ui/: where the panels are, a pure function of the screen's size.
#ifndef VISE_UI_LAYOUT_H
#define VISE_UI_LAYOUT_H

#include "ui/cells.h"

enum { UI_MAX_VIEWS = 24 };
enum { UI_MIN_WIDTH = 30, UI_MIN_HEIGHT = 6 }; // below: one line that says so

// What a view asks for. Rows count the panel's title line.
typedef struct ui_slot {
    int column;      // 0: left, 1: right when the screen is wide enough
    double priority; // who goes first when there is no room: the lowest
    double weight;   // share of the rows left over
    int min_w, min_h;
    int max_h;  // 0: any
    bool away;  // on another tab: not shown
    int want_h; // rows the user gave it, 0: as many as its weight says
} ui_slot;

typedef struct ui_layout {
    bool too_small;              // only `title` is there, for the line that says so
    ui_rect title, status, keys; // h 0: not there
    ui_rect panel[UI_MAX_VIEWS]; // w 0: not shown
    ui_rect divider;             // between the columns, one column wide; w 0: one column of panels
    int shown;
} ui_layout;

// `focus` is always shown; `zoom` shows nothing else. slots may be empty. `split`: share of the width that the user
// gave the left column, 0: none; both columns keep the widths they need.
void ui_layout_make(ui_layout *out, int w, int h, const ui_slot *slots, int count, int focus, bool zoom, double split);
// A box of at most w x h in the middle of the screen, never outside it.
ui_rect ui_layout_popup(int screen_w, int screen_h, int w, int h);

#endif
