// Which columns the layers have: chosen in a popup or by name, against what the view says; and everything about how
// layers are shown as a session keeps it.
#include <stdlib.h>
#include <string.h>

#include "ui/layers.h"

// ---- columns -----------------------------------------------------------------------------------

bool ui_layers_column_shown(const ui_layers *l, const ui_layer_column *c) {
    return c->hidden ? ui_names_has(&l->on, c->key) : !ui_names_has(&l->off, c->key);
}

void ui_layers_column_toggle(ui_layers *l, const ui_layer_column *c) {
    bool shown = ui_layers_column_shown(l, c);
    ui_names_set(&l->on, c->key, c->hidden && !shown);
    ui_names_set(&l->off, c->key, !c->hidden && shown);
}

void ui_layers_columns_reset(ui_layers *l) {
    ui_names_clear(&l->on);
    ui_names_clear(&l->off);
}

// Remembers what the view offers, and leaves out what is not wanted; the names of layers are always there.
int ui_layers_columns_choose(ui_layers *l, ui_column *columns, const bool *hidden, int count) {
    static const char *const heads[] = {"\xe2\x96\xb2", "\xe2\x96\xbc"};
    const base_field *label = ui_source_field(ui_source_find("tree"), "label");
    bool told = false;
    int kept = 0;
    l->column_count = count;
    for (int i = 0; i < count; i++) {
        ui_layer_column *c = &l->column[i];
        ui_column *to = &columns[kept];
        const bool is_name = strcmp(columns[i].field->name, "name") == 0;
        *c = (ui_layer_column){.field = columns[i].field, .bar = columns[i].as == UI_AS_BAR, .hidden = hidden[i]};
        snprintf(c->key, sizeof c->key, "%s%s", c->field->name, c->bar ? "-bar" : "");
        memcpy(c->title, columns[i].title, sizeof c->title);
        if (!is_name && !ui_layers_column_shown(l, c)) continue;
        *to = columns[i];
        kept++;
        if (to->field == l->order.sort && !told) {
            snprintf(to->title, sizeof to->title, "%.24s%s", c->title, heads[l->order.down]);
            if (to->width < base_columns(to->title)) to->width = base_columns(to->title);
            told = true;
        }
        if (!is_name) continue;
        to->field = label;
        to->align = l->order.flat ? UI_LEFT_TAIL : UI_LEFT; // the end of a long name is what tells it from the others
    }
    return kept;
}

// ---- the popup ---------------------------------------------------------------------------------

static ui_layers *own_of(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_layers);
}

// The names of layers are always there.
static bool fixed(const ui_layer_column *c) {
    return strcmp(c->key, "name") == 0;
}

static const char *words_of(const ui_layer_column *c) {
    return c->bar ? "its error as a bar, with what arrives from upstream" : c->field->help;
}

void ui_layers_columns_draw(ui_app *app, ui_area a) {
    const ui_layers *l = own_of(app);
    ui_scroll *s = &app->popup_scroll;
    ui_scroll_fit(s, l->column_count, a.r.h);
    for (int i = 0; i < a.r.h && s->top + i < l->column_count; i++) {
        const ui_layer_column *c = &l->column[s->top + i];
        bool shown = fixed(c) || ui_layers_column_shown(l, c);
        int x = ui_put(a, 0, i, fixed(c) ? UI_DIM : UI_KEY, shown ? "[x] " : "[ ] ");
        x = ui_fit(a, x, i, 20, UI_LEFT, shown ? UI_STRONG : UI_NORMAL, c->key);
        ui_fit(a, x + 1, i, a.r.w - x - 1, UI_LEFT, UI_NORMAL, words_of(c));
        if (s->top + i == s->cursor) ui_reverse(a, 0, i, a.r.w);
    }
}

static bool toggle(ui_app *app, int index, base_err *err) {
    ui_layers *l = own_of(app);
    const ui_layer_column *c = &l->column[index];
    if (index >= l->column_count) return true;
    if (fixed(c)) return base_fail(err, "the names of layers are always shown");
    ui_layers_column_toggle(l, c);
    ui_say(app, UI_NORMAL, "%s is %s.", c->key, ui_layers_column_shown(l, c) ? "shown, where there is room" : "hidden");
    return true;
}

// The list to choose from, or one column by name.
ON(on_columns) {
    const ui_layers *l = own_of(app);
    if (!l->column_count) return base_fail(err, "no panel has shown layers yet");
    for (int i = 0; i < l->column_count; i++)
        if (strcmp(l->column[i].key, argument) == 0) return toggle(app, i, err);
    if (argument[0]) return base_fail(err, "layers have no column '%s'; Tab after :columns lists them", argument);
    app->popup = UI_COLUMNS;
    app->popup_scroll = (ui_scroll){.count = l->column_count};
    return true;
}
OFFER(columns_offer) {
    const ui_layers *l = own_of(app);
    (void)typed;
    for (int i = 0; i < l->column_count; i++)
        ui_palette_offer(&app->palette, l->column[i].key, words_of(&l->column[i]));
}
ON(on_column_toggle) {
    (void)argument;
    if (app->popup != UI_COLUMNS) return base_fail(err, "C lists the columns to choose from");
    return toggle(app, app->popup_scroll.cursor, err);
}
ON(on_columns_reset) {
    UNUSED;
    ui_layers_columns_reset(own_of(app));
    ui_say(app, UI_NORMAL, "The view's own columns.");
    return true;
}

static const ui_command commands[] = {
    {"columns", "[NAME]", "choose the columns of layers, or show and hide one by name", on_columns, NULL,
     columns_offer},
    {"column-toggle", "", "show or hide the column under the cursor", on_column_toggle, NULL, NULL},
    {"columns-reset", "", "the view's own columns of layers", on_columns_reset, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"C", "columns", "layers", NULL},
    {"Space", "column-toggle", "columns", "show or hide"},
    {"Enter", "column-toggle", "columns", NULL},
    {"0", "columns-reset", "columns", "reset"},
    {"q", "back", "columns", "close"},
};
static const ui_place places[] = {{"columns", "Keys in the list of columns"}, {NULL, NULL}};

const ui_part ui_part_columns = {
    .name = "columns", UI_LIST(command, commands), UI_LIST(binding, bindings), .places = places};

// ---- what a session keeps ----------------------------------------------------------------------

static json_t *list_of(const ui_names *n) {
    json_t *list = json_array();
    for (int i = 0; i < n->count; i++) json_array_append_new(list, json_string(n->name[i]));
    return list;
}

static void take_list(ui_names *n, const json_t *list) {
    enum { MOST = 100000 };
    for (size_t i = 0; i < json_array_size(list) && i < MOST; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && strlen(name) < sizeof((base_layer_row *)0)->name) ui_names_set(n, name, true);
    }
}

json_t *ui_layers_keep(const ui_app *app, const void *own) {
    const ui_layers *l = own;
    (void)app;
    json_t *o = json_object();
    json_object_set_new(o, "list", json_boolean(l->order.flat));
    if (l->order.sort) json_object_set_new(o, "sort", json_string(l->order.sort->name));
    json_object_set_new(o, "down", json_boolean(l->order.down));
    if (l->pattern[0]) json_object_set_new(o, "filter", json_string(l->pattern));
    json_object_set_new(o, "folded", list_of(&l->order.folded));
    json_object_set_new(o, "marked", list_of(&l->order.marked));
    json_object_set_new(o, "shown", list_of(&l->on));
    json_object_set_new(o, "hidden", list_of(&l->off));
    return o;
}

void ui_layers_restore(ui_app *app, void *own, const json_t *kept) {
    ui_layers *l = own;
    base_err broken;
    (void)app;
    const char *sort = json_string_value(json_object_get(kept, "sort"));
    const char *pattern = json_string_value(json_object_get(kept, "filter"));
    l->order.flat = json_is_true(json_object_get(kept, "list"));
    l->order.sort = sort ? ui_source_field(ui_source_find("layers"), sort) : NULL;
    l->order.down = l->order.sort && json_is_true(json_object_get(kept, "down"));
    ui_search *filter = pattern && pattern[0] ? ui_layers_filter_new(pattern, &broken) : NULL;
    if (filter) ui_layers_filter_set(l, filter, pattern);
    take_list(&l->order.folded, json_object_get(kept, "folded"));
    take_list(&l->order.marked, json_object_get(kept, "marked"));
    take_list(&l->on, json_object_get(kept, "shown"));
    take_list(&l->off, json_object_get(kept, "hidden"));
    l->stale = true;
}
