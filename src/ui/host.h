// Private to ui/: what the functions that views call have in common (host.c and the parts' own).
#ifndef VISE_UI_HOST_H
#define VISE_UI_HOST_H

#include "ui/part.h"

// A function of the Lua table `ui`: HOST(h_name) { APP; ... }.
#define HOST(name) static bool name(void *context, script_call *c, base_err *err)
#define APP ui_app *app = context

bool ui_host_drawing(const ui_app *app, base_err *err); // fails outside draw()
ui_area ui_host_take(ui_app *app);                      // all that is left of the innermost piece
ui_area ui_host_take_rows(ui_app *app, int rows);       // rows off its top
// What a widget needs to know. The first widget of a panel that asks becomes its main one and gets the keys.
ui_look ui_host_look(ui_app *app, const char *widget, const ui_source *source);
// Names to values; NULL is the default of each where it has one. Fail with the names that exist.
bool ui_host_style(const char *name, ui_style *style, base_err *err);
bool ui_host_align(const char *name, ui_align *align, base_err *err);
bool ui_host_as(const char *name, ui_as otherwise, ui_as *as, base_err *err);
bool ui_host_source(const char *name, const ui_source **source, base_err *err);
// Column `item` (from 1) of the list `columns` of a table argument.
bool ui_host_column(script_call *c, int item, const ui_source *source, ui_column *col, base_err *err);
bool ui_host_field(const ui_source *source, const char *name, const base_field **f, base_err *err);

#endif
