// Private to ui/: layers in the order they are shown - a tree by module or a flat list, folded, sorted, filtered,
// marked. Plain data in, plain data out; knows neither the terminal nor Lua.
#ifndef VISE_UI_TREE_H
#define VISE_UI_TREE_H

#include "ui/widget.h"

// A set of names, kept sorted.
typedef struct ui_names {
    char **name;
    int count, capacity;
} ui_names;
bool ui_names_has(const ui_names *n, const char *name);
void ui_names_set(ui_names *n, const char *name, bool in);
void ui_names_clear(ui_names *n); // also frees

// How the layers are shown.
typedef struct ui_tree_order {
    bool flat;              // a list by full names, no modules
    const base_field *sort; // a field of ui_layer; NULL: the order of the walk
    bool down;              // largest first
    const ui_search *filter;
    bool negate;             // show what does not match
    ui_names folded, marked; // modules by their full name; layers by name
} ui_tree_order;

// A line: a layer, or a module with the sums of the layers in it that are shown - parameters and bytes added, mean
// bits, the worst error, one state. Starts with a ui_layer, so that the fields of layers hold.
typedef struct ui_tree_row {
    ui_layer layer; // of a module: name is the full prefix, bytes and errors of its finished layers only
    char label[176];
    int64_t source;             // index of the layer, -1: a module
    int64_t depth;              // of modules above it that are shown
    int64_t folded;             // a module whose layers are not shown
    int64_t layers, finished;   // of a module: in it; 1 and 0 or 1 of a layer
    int64_t marked, mark_count; // 1: the layer, or all layers of the module; of a module also how many
} ui_tree_row;

typedef struct ui_tree {
    ui_tree_row *line;
    int count, capacity;
    int matching, modules; // layers that pass the filter, folded away or not; modules there are
} ui_tree;

void ui_tree_build(ui_tree *t, const ui_layer *layers, int count, const ui_tree_order *order);
void ui_tree_free(ui_tree *t); // contents, not t
// The line of a layer, or of the innermost module shown that it is folded into; -1: filtered out.
int ui_tree_line_of(const ui_tree *t, const char *name);
// Every module's name, also of those folded away; free with ui_names_clear.
ui_names ui_tree_modules(const ui_layer *layers, int count);
bool ui_tree_within(const char *name, const char *module); // "layer1.0.conv1" in "layer1"

#endif
