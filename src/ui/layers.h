// Private to ui/: the layers as they are shown (layers.c), for the other parts of the screen.
#ifndef VISE_UI_LAYERS_H
#define VISE_UI_LAYERS_H

#include "ui/part.h"
#include "ui/tree.h"

extern const ui_part ui_part_layers, ui_part_columns;

typedef struct ui_layer_column { // one that the view offers
    char key[48], title[32];
    const base_field *field;
    bool bar, hidden; // hidden: not shown unless it is asked for
} ui_layer_column;

typedef struct ui_layers {
    ui_tree tree;
    ui_tree_order order;
    ui_search *filter, *preview; // preview: of the line being typed
    char pattern[256], previewed[256];
    ui_layer_column column[UI_MAX_COLUMNS]; // as last drawn
    int column_count;
    ui_names on, off; // columns by key, against what the view says
    int64_t seen;     // changes of the state when the tree was made
    bool stale;
} ui_layers;

// The tree as it is now.
ui_layers *ui_layers_now(ui_app *app);
// The layer under the cursor of the panel in focus, else of the first panel that shows layers: an index into
// state.layers; -1: none, or a module.
int ui_layer_here(ui_app *app);
// The cursor goes to a layer: its modules are unfolded and a filter that hides it is taken off.
bool ui_layers_go(ui_app *app, int layer, base_err *err);
// Marks are kept by name, also of layers the model does not have just now. Sorted; lent until the next change.
const ui_names *ui_layers_marked(const ui_app *app);
bool ui_layers_back(ui_app *app); // Esc: takes the filter off; false: there is none in the panel in focus
bool ui_layers_column_shown(const ui_layers *l, const ui_layer_column *c);
void ui_layers_column_toggle(ui_layers *l, const ui_layer_column *c);
void ui_layers_columns_reset(ui_layers *l);
// layers_columns.c: those that are wanted, moved to the front of `columns`; returns how many.
int ui_layers_columns_choose(ui_layers *l, ui_column *columns, const bool *hidden, int count);
void ui_layers_columns_draw(ui_app *app, ui_area a); // the popup's list
json_t *ui_layers_keep(const ui_app *app, const void *own);
void ui_layers_restore(ui_app *app, void *own, const json_t *kept);
// "conv", "!conv": what does not match.
ui_search *ui_layers_filter_new(const char *pattern, base_err *err);
void ui_layers_filter_set(ui_layers *l, ui_search *filter, const char *pattern); // owned from now on

#endif
