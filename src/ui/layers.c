// The layers on the screen: what the tree of modules is made from - folded modules, the column it is sorted by, the
// filter, the marks, the columns that are shown - with the commands that change it, and the widget ui.layers.
#include "ui/layers.h"

#include <stdlib.h>
#include <string.h>

#include "ui/host.h"

static ui_layers *own_of(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_layers);
}

// ---- the tree as it is now ---------------------------------------------------------------------

static const ui_source *tree_source(void) {
    return ui_source_find("tree");
}

static bool shows_tree(const ui_view *v) {
    return v->source && strcmp(v->source->name, "tree") == 0;
}

// The cursor of each panel stays on its layer or module when the lines move; on what it is folded into; else where it
// was.
static void keep_cursors(ui_app *app, const ui_tree *old, const ui_tree *now) {
    for (int i = 0; i < app->view_count; i++) {
        ui_view *v = &app->views[i];
        if (!shows_tree(v) || v->scroll.cursor < 0 || v->scroll.cursor >= old->count) continue;
        const ui_tree_row *was = &old->line[v->scroll.cursor];
        int at = -1;
        for (int k = 0; k < now->count && at < 0; k++)
            if ((now->line[k].source < 0) == (was->source < 0) &&
                strcmp(now->line[k].layer.row.name, was->layer.row.name) == 0)
                at = k;
        if (at < 0) at = ui_tree_line_of(now, was->layer.row.name);
        if (at >= 0) v->scroll.cursor = at;
    }
}

// The filter of the line being typed counts while it is typed.
static void choose_filter(ui_app *app, ui_layers *l) {
    bool typing = app->prompt.kind == UI_PROMPT_COMMAND && strncmp(app->prompt.text, "filter ", 7) == 0;
    if (!typing && l->preview) {
        ui_search_free(l->preview);
        l->preview = NULL;
        l->stale = true;
    }
    const char *pattern = l->preview ? l->previewed : l->pattern;
    l->order.filter = l->preview ? l->preview : l->filter;
    l->order.negate = pattern[0] == '!';
}

ui_layers *ui_layers_now(ui_app *app) {
    ui_layers *l = own_of(app);
    choose_filter(app, l);
    if (!l->stale && l->seen == app->state.changes) return l;
    l->stale = false;
    l->seen = app->state.changes;
    ui_tree old = l->tree;
    l->tree = (ui_tree){0};
    ui_tree_build(&l->tree, app->state.layers, app->state.layer_count, &l->order);
    keep_cursors(app, &old, &l->tree);
    ui_tree_free(&old);
    return l;
}

static int tree_count(const ui_state *s) {
    const ui_layers *l = ui_part_own(s, &ui_part_layers);
    return l ? l->tree.count : 0;
}

static const void *tree_rows(const ui_state *s) {
    const ui_layers *l = ui_part_own(s, &ui_part_layers);
    return l ? l->tree.line : NULL;
}

// The panel with the focus when it shows the tree, else the first that does.
static ui_view *tree_view(ui_app *app) {
    if (app->view_count && shows_tree(&app->views[app->focus])) return &app->views[app->focus];
    for (int i = 0; i < app->view_count; i++)
        if (shows_tree(&app->views[i])) return &app->views[i];
    return NULL;
}

static ui_tree_row *line_here(ui_app *app) {
    ui_layers *l = ui_layers_now(app);
    const ui_view *v = tree_view(app);
    return v && v->scroll.cursor >= 0 && v->scroll.cursor < l->tree.count ? &l->tree.line[v->scroll.cursor] : NULL;
}

int ui_layer_here(ui_app *app) {
    const ui_tree_row *r = line_here(app);
    return r ? (int)r->source : -1;
}

const ui_names *ui_layers_marked(const ui_app *app) {
    return &own_of(app)->order.marked;
}

void ui_layers_filter_set(ui_layers *l, ui_search *filter, const char *pattern) {
    ui_search_free(l->filter);
    l->filter = filter;
    snprintf(l->pattern, sizeof l->pattern, "%s", pattern);
    l->stale = true;
}

bool ui_layers_go(ui_app *app, int layer, base_err *err) {
    ui_layers *l = own_of(app);
    const char *name = app->state.layers[layer].row.name;
    ui_view *v = tree_view(app);
    if (!v) return base_fail(err, "no panel shows layers");
    for (int i = l->order.folded.count - 1; i >= 0; i--) {
        if (!ui_tree_within(name, l->order.folded.name[i])) continue;
        ui_names_set(&l->order.folded, l->order.folded.name[i], false);
        l->stale = true;
    }
    int at = ui_tree_line_of(&ui_layers_now(app)->tree, name);
    if (at < 0) {
        ui_layers_filter_set(l, NULL, "");
        at = ui_tree_line_of(&ui_layers_now(app)->tree, name);
    }
    ui_view_focus(app, (int)(v - app->views));
    v->scroll.count = l->tree.count;
    ui_scroll_to(&v->scroll, at);
    return true;
}

// ---- folding -----------------------------------------------------------------------------------

static bool fold(ui_app *app, const char *module, bool in) {
    ui_layers *l = own_of(app);
    ui_names_set(&l->order.folded, module, in);
    l->stale = true;
    ui_layers_now(app);
    return true;
}

static const char *needs_tree(const ui_app *app) {
    const ui_layers *l = own_of(app);
    return !l->tree.modules  ? "the names of these layers make no modules"
           : l->order.flat   ? "the layers are shown as a list; t shows the tree"
           : l->order.filter ? "a filter shows what is in modules; Esc takes it off"
                             : NULL;
}

// The module that a layer or module stands in as a line, "" at the top.
static void module_around(ui_app *app, char *out, size_t size) {
    const ui_layers *l = ui_layers_now(app);
    const ui_view *v = tree_view(app);
    out[0] = 0;
    if (!v) return;
    int at = v->scroll.cursor;
    if (at >= l->tree.count) return;
    int64_t depth = l->tree.line[at].depth;
    while (at >= 0 && (l->tree.line[at].source >= 0 || l->tree.line[at].depth >= depth)) at--;
    if (at >= 0) snprintf(out, size, "%s", l->tree.line[at].layer.row.name);
}

static void cursor_to(ui_app *app, const char *module) {
    const ui_layers *l = ui_layers_now(app);
    ui_view *v = tree_view(app);
    for (int i = 0; v && i < l->tree.count; i++)
        if (l->tree.line[i].source < 0 && strcmp(l->tree.line[i].layer.row.name, module) == 0)
            ui_scroll_to(&v->scroll, i);
}

// A module by name, the one under the cursor, or the one around the layer under it.
ON(on_fold) {
    char name[sizeof app->state.layers->row.name];
    const ui_tree_row *r = line_here(app);
    if (argument[0]) return fold(app, argument, !ui_names_has(&own_of(app)->order.folded, argument));
    if (!r) return base_fail(err, "there are no layers yet");
    if (r->source < 0) {
        snprintf(name, sizeof name, "%s", r->layer.row.name);
        return fold(app, name, !r->folded);
    }
    module_around(app, name, sizeof name);
    if (!name[0]) return base_fail(err, "%s is in no module", r->layer.row.name);
    cursor_to(app, name);
    return fold(app, name, true);
}
OFFER(fold_offer) {
    (void)typed;
    ui_names all = ui_tree_modules(app->state.layers, app->state.layer_count);
    for (int i = 0; i < all.count; i++)
        ui_palette_offer(&app->palette, all.name[i],
                         ui_names_has(&own_of(app)->order.folded, all.name[i]) ? "folded" : "");
    ui_names_clear(&all);
}

ON(on_fold_all) {
    UNUSED;
    ui_layers *l = own_of(app);
    ui_names all = ui_tree_modules(app->state.layers, app->state.layer_count);
    bool any_open = false;
    for (int i = 0; i < all.count; i++) any_open |= !ui_names_has(&l->order.folded, all.name[i]);
    ui_names_clear(&l->order.folded);
    if (any_open)
        l->order.folded = all;
    else
        ui_names_clear(&all);
    l->stale = true;
    return true;
}

// Left folds the module under the cursor, then goes to the one around; at the top it is the panel's way to the left.
ON(on_fold_left) {
    (void)argument, (void)err;
    const ui_tree_row *r = line_here(app);
    char name[sizeof app->state.layers->row.name] = "";
    if (r && !needs_tree(app)) {
        snprintf(name, sizeof name, "%s", r->layer.row.name);
        if (r->source < 0 && !r->folded) return fold(app, name, true);
        module_around(app, name, sizeof name);
    }
    if (name[0])
        cursor_to(app, name);
    else
        ui_command_run(app, "left");
    return true;
}
ON(on_unfold_right) {
    (void)argument, (void)err;
    const ui_tree_row *r = line_here(app);
    char name[sizeof app->state.layers->row.name];
    if (!r || !r->folded) {
        ui_command_run(app, "right");
        return true;
    }
    snprintf(name, sizeof name, "%s", r->layer.row.name);
    return fold(app, name, false);
}

ON(on_tree) {
    UNUSED;
    ui_layers *l = own_of(app);
    l->order.flat = !l->order.flat;
    l->stale = true;
    ui_say(app, UI_NORMAL, l->order.flat ? "Layers as a list." : "Layers as a tree of modules.");
    return true;
}

// ---- sorting -----------------------------------------------------------------------------------

static const char *title_of(const ui_layers *l, const base_field *f) {
    for (int i = 0; i < l->column_count; i++)
        if (l->column[i].field == f && l->column[i].title[0]) return l->column[i].title;
    return f->name;
}

static bool sort_by(ui_app *app, const base_field *f, bool down) {
    ui_layers *l = own_of(app);
    l->order.sort = f;
    l->order.down = f && down;
    l->stale = true;
    if (f)
        ui_say(app, UI_NORMAL, "Sorted by %s, %s first%s.", title_of(l, f),
               f->type == BASE_F_TEXT ? (down ? "last in the alphabet" : "first in the alphabet")
               : down                 ? "largest"
                                      : "smallest",
               l->order.flat || !l->tree.modules ? "" : ", within each module");
    else
        ui_say(app, UI_NORMAL, "In the order of the walk.");
    return true;
}

// Columns that can be sorted by, as they stand: each field once, the sign of the state left out.
static int sortable(const ui_layers *l, const base_field **list) {
    int count = 0;
    for (int i = 0; i < l->column_count; i++) {
        const ui_layer_column *c = &l->column[i];
        bool seen = strcmp(c->field->name, "state") == 0 || !ui_layers_column_shown(l, c);
        for (int k = 0; k < count; k++) seen |= list[k] == c->field;
        if (!seen) list[count++] = c->field;
    }
    return count;
}

static bool natural(const base_field *f) { // the direction one wants first
    return f->type != BASE_F_TEXT && strcmp(f->name, "sqnr_db") != 0 && strcmp(f->name, "cosine") != 0;
}

ON(on_sort_next) {
    UNUSED;
    const ui_layers *l = own_of(app);
    const base_field *list[UI_MAX_COLUMNS];
    int count = sortable(l, list), at = -1;
    for (int i = 0; i < count; i++)
        if (list[i] == l->order.sort) at = i;
    const base_field *to = at + 1 < count ? list[at + 1] : NULL;
    return sort_by(app, to, to && natural(to));
}
ON(on_sort_turn) {
    (void)argument;
    const ui_layers *l = own_of(app);
    if (!l->order.sort) return base_fail(err, "the layers are not sorted; s sorts them by a column");
    return sort_by(app, l->order.sort, !l->order.down);
}
ON(on_sort) {
    char name[64];
    size_t n = strcspn(argument, " ");
    snprintf(name, sizeof name, "%.*s", (int)(n < 63 ? n : 63), argument);
    const char *way = argument + n + strspn(argument + n, " ");
    if (!name[0]) return sort_by(app, NULL, false);
    const base_field *f = ui_source_field(ui_source_find("layers"), name);
    if (!f) return base_fail(err, "layers have no column \"%s\"; Tab after :sort lists them", name);
    if (way[0] && strcmp(way, "up") != 0 && strcmp(way, "down") != 0)
        return base_fail(err, "sort takes a column and up or down, not \"%s\"", way);
    return sort_by(app, f, way[0] ? way[0] == 'd' : natural(f));
}
OFFER(sort_offer) {
    (void)typed;
    const base_field *f;
    for (int i = 0; (f = ui_source_field_at(ui_source_find("layers"), i)); i++)
        ui_palette_offer(&app->palette, f->name, f->help);
}

// ---- the filter --------------------------------------------------------------------------------

// "!conv": what does not match.
ui_search *ui_layers_filter_new(const char *pattern, base_err *err) {
    const char *rest = pattern + (pattern[0] == '!');
    return ui_search_new(rest, err);
}

ON(on_filter) {
    ui_layers *l = own_of(app);
    bool empty = !argument[0] || strcmp(argument, "!") == 0;
    ui_search *filter = empty ? NULL : ui_layers_filter_new(argument, err);
    if (!empty && !filter) return false;
    ui_layers_filter_set(l, filter, empty ? "" : argument);
    ui_layers_now(app);
    if (empty)
        ui_say(app, UI_NORMAL, "All layers.");
    else
        ui_say(app, l->tree.matching ? UI_NORMAL : UI_WARN, "%d of %d layers; Esc shows all again.", l->tree.matching,
               app->state.layer_count);
    return true;
}
ON(on_filter_start) {
    (void)argument, (void)err;
    char text[300];
    snprintf(text, sizeof text, "filter %s", own_of(app)->pattern);
    ui_typing_start(app, UI_PROMPT_COMMAND, text, false);
    return true;
}
// Called with each key while the pattern is typed: the rows follow at once; a bad pattern colours the line.
OFFER(filter_offer) {
    ui_layers *l = own_of(app);
    base_err err = {0};
    bool empty = !typed[0] || strcmp(typed, "!") == 0;
    ui_search *filter = empty ? NULL : ui_layers_filter_new(typed, &err);
    app->prompt.bad = !empty && !filter;
    base_clean(app->prompt.trouble, sizeof app->prompt.trouble, app->prompt.bad ? err.text : "");
    if (app->prompt.bad) return;
    ui_search_free(l->preview);
    l->preview = filter;
    snprintf(l->previewed, sizeof l->previewed, "%s", typed);
    l->stale = true;
}

bool ui_layers_back(ui_app *app) {
    ui_layers *l = own_of(app);
    if (!l || !l->filter || !app->view_count || !shows_tree(&app->views[app->focus])) return false;
    ui_layers_filter_set(l, NULL, "");
    ui_say(app, UI_NORMAL, app->state.job == UI_RUNNING ? "All layers; Esc again stops the run." : "All layers.");
    return true;
}

// ---- marks -------------------------------------------------------------------------------------

// Of a module: all layers in it that are shown; when all have the mark it is taken off.
static void mark_line(ui_app *app, const ui_tree_row *r) {
    ui_layers *l = own_of(app);
    bool on = !r->marked;
    for (int i = 0; i < app->state.layer_count; i++) {
        const char *name = app->state.layers[i].row.name;
        bool mine = r->source >= 0 ? i == r->source : ui_tree_within(name, r->layer.row.name);
        if (mine && l->order.filter && ui_search_hit(l->order.filter, name) == l->order.negate) mine = false;
        if (mine) ui_names_set(&l->order.marked, name, on);
    }
    l->stale = true;
}

static bool tell_marks(ui_app *app) {
    int count = own_of(app)->order.marked.count;
    ui_say(app, UI_NORMAL, "%d layer%s marked.", count, count == 1 ? "" : "s");
    return true;
}

ON(on_mark_layer) {
    ui_layers *l = own_of(app);
    if (argument[0]) {
        for (int i = 0; i < app->state.layer_count; i++) {
            const char *name = app->state.layers[i].row.name;
            if (strcmp(name, argument) != 0) continue;
            ui_names_set(&l->order.marked, name, !ui_names_has(&l->order.marked, name));
            l->stale = true;
            return tell_marks(app);
        }
        return base_fail(err, "the model has no layer \"%s\"", argument);
    }
    const ui_tree_row *r = line_here(app);
    ui_view *v = tree_view(app);
    if (!r) return base_fail(err, "there are no layers yet");
    int to = v->scroll.cursor + 1; // to the next line, behind a module's own
    while (r->source < 0 && to + 1 < l->tree.count && l->tree.line[to].depth > r->depth) to++;
    mark_line(app, r);
    ui_layers_now(app);
    ui_scroll_to(&v->scroll, to);
    return tell_marks(app);
}
OFFER(mark_offer) {
    (void)typed;
    for (int i = 0; i < app->state.layer_count; i++) {
        const char *name = app->state.layers[i].row.name;
        ui_palette_offer(&app->palette, name, ui_names_has(ui_layers_marked(app), name) ? "marked" : "");
    }
}
ON(on_mark_all) {
    UNUSED;
    ui_layers *l = ui_layers_now(app);
    for (int i = 0; i < app->state.layer_count; i++) {
        const char *name = app->state.layers[i].row.name;
        if (!l->order.filter || ui_search_hit(l->order.filter, name) != l->order.negate)
            ui_names_set(&l->order.marked, name, true);
    }
    l->stale = true;
    return tell_marks(app);
}
ON(on_mark_none) {
    UNUSED;
    ui_layers *l = own_of(app);
    ui_names_clear(&l->order.marked);
    l->stale = true;
    return tell_marks(app);
}

// A rule of its own in the recipe for each marked layer; without marks for the one under the cursor.
ON(on_rule_marked) {
    const ui_names *marked = ui_layers_marked(app);
    int here = marked->count ? -1 : ui_layer_here(app), count = 0;
    if (!argument[0]) return base_fail(err, "rule-marked takes steps: quantize{ bits = 3 }");
    if (!marked->count && here < 0) return base_fail(err, "no layer is marked; Space marks the one under the cursor");
    for (int i = 0; i < app->state.layer_count; i++) {
        const char *name = app->state.layers[i].row.name;
        if (i != here && !ui_names_has(marked, name)) continue;
        if (!ui_composer_set(app, name, argument, err)) return false;
        count++;
    }
    if (!count) return base_fail(err, "no marked layer is in this model");
    ui_say(app, UI_NORMAL, "%d layer%s: %s", count, count == 1 ? " gets" : "s get", argument);
    return true;
}

// ---- the widget --------------------------------------------------------------------------------

HOST(h_layers) {
    APP;
    static ui_column columns[UI_MAX_COLUMNS];
    bool hidden[UI_MAX_COLUMNS] = {false};
    if (!ui_host_drawing(app, err)) return false;
    int count = script_list_count(c, 0, "columns");
    if (count < 1 || count > UI_MAX_COLUMNS)
        return base_fail(err, "ui.layers has 1 to %d columns, not %d", UI_MAX_COLUMNS, count);
    for (int i = 0; i < count; i++) {
        double flag = 0;
        if (!ui_host_column(c, i + 1, ui_source_find("layers"), &columns[i], err)) return false;
        hidden[i] = script_list_number(c, 0, "columns", i + 1, "hidden", &flag) && flag != 0;
    }
    const char *empty = script_field_text(c, 0, "empty");
    ui_layers *l = ui_layers_now(app);
    count = ui_layers_columns_choose(l, columns, hidden, count);
    ui_look look = ui_host_look(app, "layers", tree_source());
    if (look.scroll->follows && app->state.current >= 0) {
        int at = ui_tree_line_of(&l->tree, app->state.layers[app->state.current].row.name);
        if (at >= 0) look.scroll->cursor = at;
    }
    if (app->state.layer_count && !l->tree.count) empty = "No layer matches the filter; Esc shows all again.";
    ui_table_draw(ui_host_take(app), &look, tree_source(), columns, count, empty ? empty : "No layers yet.");
    return true;
}

// ui.marked(): how many layers have a mark; ui.filter(): the pattern, or nil.
HOST(h_shown) {
    APP;
    (void)err;
    const ui_layers *l = ui_layers_now(app);
    script_push_number(c, l->tree.matching);
    script_push_number(c, l->order.marked.count);
    const char *pattern = l->preview ? l->previewed : l->pattern;
    if (l->order.filter)
        script_push_text(c, pattern);
    else
        script_push_nil(c);
    return true;
}

static bool on_click(ui_app *app, void *own, ui_view *v, int x, int y) {
    ui_layers *l = own;
    if (!shows_tree(v) || y < 1) return false;
    int at = v->scroll.top + y - 1;
    if (at >= l->tree.count || y > v->scroll.page) return false;
    const ui_tree_row *r = &l->tree.line[at];
    bool again = at == v->scroll.cursor;
    ui_scroll_to(&v->scroll, at);
    // The sign of a module folds it; so does a second click on its line.
    int sign = 2 + (int)r->depth * 2;
    if (r->source < 0 && !l->order.filter && (again || (x >= sign && x < sign + 2))) {
        char name[sizeof r->layer.row.name];
        snprintf(name, sizeof name, "%s", r->layer.row.name);
        fold(app, name, !r->folded);
    }
    return true;
}

static void on_close(ui_app *app, void *own) {
    ui_layers *l = own;
    (void)app;
    ui_tree_free(&l->tree);
    ui_search_free(l->filter);
    ui_search_free(l->preview);
    ui_names_clear(&l->order.folded);
    ui_names_clear(&l->order.marked);
    ui_names_clear(&l->on);
    ui_names_clear(&l->off);
}

// ---- the part ----------------------------------------------------------------------------------

static const ui_command commands[] = {
    {"fold", "[MODULE]", "fold or unfold a module of layers: the one under the cursor without a name", on_fold,
     needs_tree, fold_offer},
    {"fold-all", "", "fold all modules, or unfold them when all are folded", on_fold_all, needs_tree, NULL},
    {"fold-or-left", "", "fold the module, go to the one around it, or to the panel on the left", on_fold_left, NULL,
     NULL},
    {"unfold-or-right", "", "unfold the module, or go to the panel on the right", on_unfold_right, NULL, NULL},
    {"tree", "", "layers as a tree of modules, or as a list", on_tree, NULL, NULL},
    {"sort", "[COLUMN WAY]", "sort layers by a column, up or down; nothing: by the walk", on_sort, NULL, sort_offer},
    {"sort-next", "", "sort layers by the next column", on_sort_next, NULL, NULL},
    {"sort-turn", "", "turn the direction of the sort", on_sort_turn, NULL, NULL},
    {"filter", "[PATTERN]", "show only layers whose name matches; !PATTERN those that do not; nothing: all", on_filter,
     NULL, filter_offer},
    {"filter-type", "", "type a filter for layers; rows follow with each key", on_filter_start, NULL, NULL},
    {"mark-layer", "[LAYER]", "mark a layer, or take its mark off: the one under the cursor without a name",
     on_mark_layer, NULL, mark_offer},
    {"mark-all", "", "mark all layers that are shown", on_mark_all, NULL, NULL},
    {"mark-none", "", "take all marks off", on_mark_none, NULL, NULL},
    {"rule-marked", "STEPS...", "marked layers get these steps in the recipe: quantize{ bits = 3 }", on_rule_marked,
     NULL, NULL},
};
static const ui_binding bindings[] = {
    {"-", "fold", "layers", "fold"},
    {"_", "fold-all", "layers", NULL},
    {"Left", "fold-or-left", "layers", NULL},
    {"h", "fold-or-left", "layers", NULL},
    {"Right", "unfold-or-right", "layers", NULL},
    {"l", "unfold-or-right", "layers", NULL},
    {"t", "tree", "layers", NULL},
    {"s", "sort-next", "layers", "sort"},
    {"S", "sort-turn", "layers", NULL},
    {"f", "filter-type", "layers", "filter"},
    {"Space", "mark-layer", "layers", "mark"},
    {"*", "mark-all", "layers", NULL},
    {"U", "mark-none", "layers", NULL},
};
static const script_function functions[] = {
    {"layers", "{columns={ {field=, hidden=1, ... as in ui.table}, ... }, empty=}: the layers as a tree of modules",
     h_layers},
    {"shown", "() layers that pass the filter, marked ones, and the filter or nil", h_shown},
};
static const base_field extra[] = {
    {"state", "", "waiting, working, done, left as it was, broken", BASE_F_INT, offsetof(ui_tree_row, layer.state),
     sizeof(int64_t)},
    {"baseline", "", "output error of round to nearest in as many bytes", BASE_F_REAL,
     offsetof(ui_tree_row, layer.baseline), sizeof(double)},
    {"changed", "", "1: its steps were changed by hand in this run", BASE_F_INT, offsetof(ui_tree_row, layer.changed),
     sizeof(int64_t)},
    {"label", "", "as it stands in the tree", BASE_F_TEXT, offsetof(ui_tree_row, label),
     sizeof((ui_tree_row *)0)->label},
    {"source", "", "row of the layer from 0, -1: a module", BASE_F_INT, offsetof(ui_tree_row, source), sizeof(int64_t)},
    {"depth", "", "modules around it", BASE_F_INT, offsetof(ui_tree_row, depth), sizeof(int64_t)},
    {"folded", "", "1: a module whose layers are folded away", BASE_F_INT, offsetof(ui_tree_row, folded),
     sizeof(int64_t)},
    {"layers", "", "layers in it", BASE_F_INT, offsetof(ui_tree_row, layers), sizeof(int64_t)},
    {"finished", "", "finished layers in it", BASE_F_INT, offsetof(ui_tree_row, finished), sizeof(int64_t)},
    {"marked", "", "1: marked, or all layers in it are", BASE_F_INT, offsetof(ui_tree_row, marked), sizeof(int64_t)},
};
// Fields of layers, then those: one list, made when the screen opens.
static base_field fields[64];
static ui_source sources[] = {{.name = "tree",
                               .fields = fields,
                               .stride = sizeof(ui_tree_row),
                               .count = tree_count,
                               .rows = tree_rows,
                               .key = "name"}};

static void on_open(ui_app *app, void *own) {
    size_t count = sizeof extra / sizeof *extra;
    (void)app;
    BASE_CHECK(base_layer_field_count + count <= sizeof fields / sizeof *fields);
    memcpy(fields, base_layer_fields, base_layer_field_count * sizeof *fields);
    memcpy(fields + base_layer_field_count, extra, sizeof extra);
    sources[0].field_count = base_layer_field_count + count;
    ((ui_layers *)own)->stale = true;
}
static const ui_place places[] = {{"layers", "Keys on layers"}, {NULL, NULL}};

const ui_part ui_part_layers = {.name = "layers",
                                UI_LIST(command, commands),
                                UI_LIST(binding, bindings),
                                UI_LIST(function, functions),
                                UI_LIST(source, sources),
                                .bytes = sizeof(ui_layers),
                                .open = on_open,
                                .close = on_close,
                                .click = on_click,
                                .places = places,
                                .keep = ui_layers_keep,
                                .restore = ui_layers_restore};
