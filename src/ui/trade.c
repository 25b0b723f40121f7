// The trade-off: commands, keys, the rows that views show, and what a view may ask.
#include "ui/trade.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/host.h"

// A cell is about twice as high as it is wide.
#define CELL_ASPECT 2.0

trade_own *trade_of(const ui_state *s) {
    return ui_part_own(s, &ui_part_trade);
}

static ui_view *view_of(ui_app *app) {
    int v = ui_view_find(app, "tradeoff");
    return v >= 0 ? &app->views[v] : NULL;
}

static double aspect(const trade_own *o) {
    return o->inner.w > 0 ? CELL_ASPECT * o->inner.h / o->inner.w : 1;
}

static int selected_index(const trade_own *o) {
    const trade_point *p = trade_selected(o);
    return p ? (int)(p - o->points) : -1;
}

static void say_point(ui_app *app, const trade_own *o) {
    const past_own *past = past_of(&app->state);
    const ui_past *r = past_find(past, o->selected);
    char label[400];
    if (r) ui_say(app, UI_NORMAL, "Run %s: %s", r->name, past_label(r, label, sizeof label));
}

// The selected point is the row under the panel's cursor, so that the search and g and G find points too; keys may come
// faster than frames, so commands look first.
static trade_own *own_here(ui_app *app) {
    trade_own *o = trade_of(&app->state);
    const ui_view *v = view_of(app);
    if (v && o->count && v->scroll.count == o->count && v->scroll.cursor >= 0 && v->scroll.cursor < o->count)
        o->selected = o->points[v->scroll.cursor].key;
    return o;
}

static void choose(ui_app *app, int index) {
    trade_own *o = trade_of(&app->state);
    ui_view *v = view_of(app);
    if (index < 0 || index >= o->count) return;
    o->selected = o->points[index].key;
    if (v) {
        v->scroll.count = o->count;
        ui_scroll_to(&v->scroll, index);
    }
    say_point(app, o);
}

// ---- axes --------------------------------------------------------------------------------------

static bool zoom(ui_app *app, double factor) {
    trade_own *o = own_here(app);
    const trade_point *p = trade_selected(o);
    double x = p ? trade_place(&o->x, p->x) : 0.5, y = p ? trade_place(&o->y, p->y) : 0.5;
    bool seen = x >= 0 && x <= 1 && y >= 0 && y <= 1; // around the crosshair when it is in sight
    trade_zoom(&o->x, seen ? x : 0.5, factor);
    trade_zoom(&o->y, seen ? y : 0.5, factor);
    return true;
}
ON(on_zoom_in) {
    UNUSED;
    return zoom(app, 0.7);
}
ON(on_zoom_out) {
    UNUSED;
    return zoom(app, 1 / 0.7);
}
ON(on_fit) {
    UNUSED;
    trade_of(&app->state)->stale = trade_of(&app->state)->fit = true;
    return true;
}

static const struct {
    const char *name;
    int dx, dy;
} directions[] = {{"left", -1, 0}, {"right", 1, 0}, {"up", 0, 1}, {"down", 0, -1}};
static int direction(const char *name) {
    for (int i = 0; i < 4; i++)
        if (strcmp(directions[i].name, name) == 0) return i;
    return -1;
}
OFFER(direction_offer) {
    (void)typed;
    for (int i = 0; i < 4; i++) ui_palette_offer(&app->palette, directions[i].name, NULL);
}
ON(on_pan) {
    trade_own *o = trade_of(&app->state);
    int d = direction(argument);
    if (d < 0) return base_fail(err, "pan takes left, right, up or down");
    trade_pan(&o->x, 0.15 * directions[d].dx);
    trade_pan(&o->y, 0.15 * directions[d].dy);
    return true;
}

ON(on_y) {
    (void)argument;
    (void)err;
    trade_own *o = trade_of(&app->state);
    o->kl = !o->kl;
    o->stale = o->fit = true;
    ui_say(app, UI_NORMAL, "Up: %s.", o->kl ? "KL divergence from the original" : "the metric of the task");
    return true;
}
ON(on_x) {
    (void)argument;
    (void)err;
    trade_own *o = trade_of(&app->state);
    o->bits = !o->bits;
    trade_budget_turn(o);
    o->stale = o->fit = true;
    ui_say(app, UI_NORMAL, "Across: %s.",
           o->bits ? "bits a weight of the compressible layers" : "bytes of all tensors");
    return true;
}
ON(on_log) {
    trade_own *o = trade_of(&app->state);
    bool *which = strcmp(argument, "x") == 0 ? &o->x_log : strcmp(argument, "y") == 0 ? &o->y_log : NULL;
    if (!which) return base_fail(err, "trade-log takes x or y");
    *which = !*which;
    o->stale = o->fit = true;
    ui_say(app, UI_NORMAL, "The %s axis is %s.", argument, *which ? "logarithmic" : "even");
    return true;
}

// ---- points ------------------------------------------------------------------------------------

static const char *needs_points(const ui_app *app) {
    return trade_of(&app->state)->count ? NULL : "there are no points";
}

ON(on_point) {
    trade_own *o = own_here(app);
    int at = selected_index(o), d = direction(argument), to;
    if (d >= 0)
        to = at < 0
                 ? trade_nearest(o->points, o->count, &o->x, &o->y, 0.5, 0.5, aspect(o))
                 : trade_toward(o->points, o->count, at, &o->x, &o->y, directions[d].dx, directions[d].dy, aspect(o));
    else if (strcmp(argument, "next") == 0)
        to = at + 1 < o->count ? at + 1 : at;
    else if (strcmp(argument, "previous") == 0)
        to = at > 0 ? at - 1 : 0;
    else if (strcmp(argument, "nearest") == 0)
        to = trade_nearest(o->points, o->count, &o->x, &o->y, 0.5, 0.5, aspect(o));
    else
        return base_fail(err, "point takes left, right, up, down, next, previous or nearest");
    if (to < 0)
        ui_say(app, UI_DIM, "There is no point further %s.", argument);
    else
        choose(app, to);
    return true;
}
OFFER(point_offer) {
    direction_offer(app, typed);
    ui_palette_offer(&app->palette, "next", "larger");
    ui_palette_offer(&app->palette, "previous", "smaller");
    ui_palette_offer(&app->palette, "nearest", "to the middle");
}

ON(on_open) {
    (void)argument;
    trade_own *o = own_here(app);
    if (!trade_selected(o)) return base_fail(err, "no point is selected");
    return past_open(app, o->selected, err);
}
ON(on_base) {
    (void)argument;
    const ui_past *p = past_find(past_of(&app->state), own_here(app)->selected);
    char line[64];
    if (!p) return base_fail(err, "no point is selected");
    snprintf(line, sizeof line, "base %s", p->name);
    ui_command_run(app, line);
    return true;
}
ON(on_compare) {
    (void)argument;
    past_own *past = past_of(&app->state);
    trade_own *o = own_here(app);
    if (!trade_selected(o)) return base_fail(err, "no point is selected");
    if (!past->base || past->base == o->selected)
        return base_fail(err, "b on another point makes it the base of the comparison first");
    past_go(app, o->selected);
    int view = ui_view_find(app, "compare");
    if (view >= 0) ui_view_focus(app, view);
    return true;
}

ON(on_filter) {
    trade_own *o = trade_of(&app->state);
    if (!trade_filter(o, argument, err)) return false;
    ui_say(app, UI_NORMAL, o->filter[0] ? "Points of runs that match \"%s\"." : "Points of all runs.%s",
           o->filter[0] ? o->filter : "");
    return true;
}
ON(on_filter_typed) {
    UNUSED;
    ui_typing_start(app, UI_PROMPT_COMMAND, "trade-filter ", false);
    return true;
}
ON(on_models) {
    UNUSED;
    trade_own *o = trade_of(&app->state);
    o->all_models = !o->all_models;
    o->stale = o->fit = true;
    ui_say(app, UI_NORMAL, o->all_models ? "Runs of all models with this metric." : "Runs of this model alone.");
    return true;
}

// ---- the budget --------------------------------------------------------------------------------

ON(on_budget) {
    trade_own *o = trade_of(&app->state);
    bool bits;
    double value;
    if (!argument[0] || strcmp(argument, "off") == 0) {
        trade_budget_set(app, o, NAN);
        ui_say(app, UI_NORMAL, "No budget; :budget 40kB sets one.");
        return true;
    }
    if (!trade_budget_parse(argument, &bits, &value, err)) return false;
    if (bits != o->bits) { // the axis follows the unit
        o->bits = bits;
        o->stale = o->fit = true;
    }
    trade_budget_set(app, o, value);
    int view = ui_view_find(app, "tradeoff");
    if (view >= 0) ui_view_focus(app, view);
    return true;
}
ON(on_budget_typed) {
    UNUSED;
    ui_typing_start(app, UI_PROMPT_COMMAND, "budget ", false);
    return true;
}
// By a hundredth of what is seen, so that the line moves as the eye expects; the first key puts it in the middle.
static bool move_budget(ui_app *app, int by) {
    trade_own *o = trade_of(&app->state);
    double at = isfinite(o->budget) ? trade_place(&o->x, o->budget) : 0.5 - 0.01 * by;
    double to = trade_value(&o->x, at + 0.01 * by);
    if (to > 0) trade_budget_set(app, o, to);
    return true;
}
ON(on_budget_less) {
    UNUSED;
    return move_budget(app, -1);
}
ON(on_budget_more) {
    UNUSED;
    return move_budget(app, 1);
}
ON(on_send) {
    (void)argument;
    return trade_budget_send(app, trade_of(&app->state), err);
}

static const ui_command commands[] = {
    {"zoom-in", "", "the trade-off closer, around the selected point", on_zoom_in, NULL, NULL},
    {"zoom-out", "", "the trade-off from further away", on_zoom_out, NULL, NULL},
    {"fit", "", "all points of the trade-off in sight", on_fit, NULL, NULL},
    {"pan", "DIRECTION", "move over the trade-off", on_pan, NULL, direction_offer},
    {"trade-y", "", "the trade-off's height: the metric or the KL divergence", on_y, NULL, NULL},
    {"trade-x", "", "the trade-off's width: bytes or bits a weight", on_x, NULL, NULL},
    {"trade-log", "AXIS", "the trade-off's x or y axis logarithmic or even", on_log, NULL, NULL},
    {"point", "WHICH", "select the nearest point in a direction, the next or previous by size", on_point, needs_points,
     point_offer},
    {"trade-open", "", "open the selected point's recipe with its params; Enter then runs it", on_open, needs_points,
     NULL},
    {"trade-base", "", "compare the other points with the selected one", on_base, needs_points, NULL},
    {"trade-compare", "", "the selected point and the base layer by layer", on_compare, needs_points, NULL},
    {"trade-filter", "[PATTERN]", "points of runs whose recipe, params, model, state or note match; !: that do not",
     on_filter, NULL, NULL},
    {"trade-filter-type", "", "type a pattern that filters the points", on_filter_typed, NULL, NULL},
    {"trade-models", "", "points of this model or of all models", on_models, NULL, NULL},
    {"budget", "[SIZE]", "a size that must not be passed: 40kB, 1.5MB, 3.2bit; the allocator says how; off: none",
     on_budget, NULL, NULL},
    {"budget-type", "", "type a budget", on_budget_typed, NULL, NULL},
    {"budget-less", "", "the budget a little smaller", on_budget_less, NULL, NULL},
    {"budget-more", "", "the budget a little larger", on_budget_more, NULL, NULL},
    {"send-allocation", "", "write the allocator's answer to the budget into the recipe", on_send, NULL, NULL},
};

static const ui_binding bindings[] = {
    {"Enter", "trade-open", "trade", "open"},
    {"h", "point left", "trade", NULL},
    {"j", "point down", "trade", NULL},
    {"k", "point up", "trade", NULL},
    {"l", "point right", "trade", "hjkl point"},
    {",", "point previous", "trade", NULL},
    {".", "point next", "trade", "next"},
    {"c", "point nearest", "trade", NULL},
    {"Left", "pan left", "trade", NULL},
    {"Right", "pan right", "trade", NULL},
    {"Up", "pan up", "trade", NULL},
    {"Down", "pan down", "trade", NULL},
    {"+", "zoom-in", "trade", "zoom"},
    {"=", "zoom-in", "trade", NULL},
    {"-", "zoom-out", "trade", NULL},
    {"0", "fit", "trade", "fit"},
    {"y", "trade-y", "trade", "y axis"},
    {"x", "trade-x", "trade", "x axis"},
    {"L", "trade-log x", "trade", "log"},
    {"K", "trade-log y", "trade", NULL},
    {"b", "trade-base", "trade", "base"},
    {"C", "trade-compare", "trade", NULL},
    {"f", "trade-filter-type", "trade", "filter"},
    {"m", "trade-models", "trade", NULL},
    {"<", "budget-less", "trade", "budget"},
    {">", "budget-more", "trade", NULL},
    {"B", "budget-type", "trade", NULL},
    {"w", "send-allocation", "trade", "to recipe"},
};
static const ui_place places[] = {{"trade", "Keys on the trade-off"}, {NULL, NULL}};

// ---- rows and functions ------------------------------------------------------------------------

#define R_TEXT(s, field, help)                                                                                         \
    { #field, "", help, BASE_F_TEXT, offsetof(s, field), sizeof(((s *)0)->field) }
#define R_REAL(s, field, help)                                                                                         \
    { #field, "", help, BASE_F_REAL, offsetof(s, field), sizeof(double) }
#define R_INT(s, field, help)                                                                                          \
    { #field, "", help, BASE_F_INT, offsetof(s, field), sizeof(int64_t) }
static const base_field row_fields[] = {
    R_TEXT(trade_row, name, "number of the run"),
    R_TEXT(trade_row, recipe, "name of the recipe"),
    R_TEXT(trade_row, params, "its params"),
    R_REAL(trade_row, x, "bytes or bits a weight"),
    R_REAL(trade_row, y, "the metric or KL"),
    R_REAL(trade_row, low, "lower end of y's 95 % interval"),
    R_REAL(trade_row, high, "upper end of y's 95 % interval"),
    R_INT(trade_row, front, "1: no other is smaller and better"),
};
static const base_field line_fields[] = {
    R_TEXT(trade_line, name, "param or figure"),   R_TEXT(trade_line, here, "of the selected run"),
    R_TEXT(trade_line, base, "of the base"),       R_TEXT(trade_line, difference, "selected - base, with interval"),
    R_INT(trade_line, differs, "1: not the same"), R_INT(trade_line, param, "1: a param, 0: a figure"),
};
static int row_count(const ui_state *s) {
    return trade_of(s) ? trade_of(s)->count : 0;
}
static const void *rows(const ui_state *s) {
    return trade_of(s)->rows;
}
static int line_count(const ui_state *s) {
    return trade_of(s) ? trade_of(s)->line_count : 0;
}
static const void *lines(const ui_state *s) {
    return trade_of(s)->line;
}
static const ui_source sources[] = {
    {"tradeoff", row_fields, sizeof row_fields / sizeof *row_fields, sizeof(trade_row), row_count, rows, "params"},
    {"selected", line_fields, sizeof line_fields / sizeof *line_fields, sizeof(trade_line), line_count, lines, "name"},
};

// After points were made anew the cursor goes to the point that was selected, else to the newest of the front.
static void keep_selected(ui_app *app, trade_own *o) {
    const past_own *past = past_of(&app->state);
    ui_view *v = view_of(app);
    int64_t newest = 0, best = 0;
    if (!v || !o->count) return;
    if (!trade_selected(o)) {
        int least = past->count, least_front = past->count;
        for (int k = 0; k < o->count; k++) {
            const trade_point *p = &o->points[k];
            if (p->index < least) least = p->index, newest = p->key;
            if (p->front && p->index < least_front) least_front = p->index, best = p->key;
        }
        o->selected = best ? best : newest;
    }
    v->scroll.count = o->count;
    v->scroll.cursor = selected_index(o);
}

static void refresh(ui_app *app, trade_own *o) {
    past_look(app);
    own_here(app);
    if (trade_points_make(app, o)) keep_selected(app, o);
    trade_budget_look(app, o);
    trade_lines_make(app, o);
}

// ui.trade(name): of the trade-off.
HOST(h_trade) {
    APP;
    trade_own *o = trade_of(&app->state);
    const char *name = script_arg_text(c, 0);
    refresh(app, o);
    const past_own *past = past_of(&app->state);
    const ui_past *here = past_find(past, o->selected), *base = past_find(past, past->base);
    int front = 0;
    for (int i = 0; i < o->count; i++) front += o->points[i].front;
    const struct {
        const char *name, *text;
        double number;
    } table[] = {
        {"count", NULL, o->count},
        {"front", NULL, front},
        {"model", o->all_models ? "all models" : o->model, 0},
        {"filter", o->filter, 0},
        {"selected", here && trade_selected(o) ? here->name : "", 0},
        {"when", here ? here->when : "", 0},
        {"note", here ? here->row.note : "", 0},
        {"base", base && base != here ? base->name : "", 0},
        {"budget", NULL, o->budget},
        {"loading", NULL, past->loading},
    };
    for (size_t i = 0; name && i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) != 0) continue;
        if (table[i].text)
            script_push_text(c, table[i].text);
        else if (isnan(table[i].number))
            script_push_nil(c);
        else
            script_push_number(c, table[i].number);
        return true;
    }
    return base_fail(err, "ui.trade knows no \"%s\"", name ? name : "");
}

HOST(h_trade_chart) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    trade_own *o = trade_of(&app->state);
    refresh(app, o);
    ui_look look = ui_host_look(app, "trade", ui_source_find("tradeoff"));
    trade_draw(app, ui_host_take(app), &look);
    return true;
}

HOST(h_trade_budget) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    trade_budget_draw(app, trade_of(&app->state), ui_host_take(app));
    return true;
}

static const script_function functions[] = {
    {"trade", "(name) of the trade-off: count front model filter selected when note base budget loading", h_trade},
    {"trade_chart", "() size against what is lost, a point a run; the sources tradeoff and selected tell of it",
     h_trade_chart},
    {"trade_budget", "() the budget and the allocator's answer to it", h_trade_budget},
};

// ---- the part ----------------------------------------------------------------------------------

static void trade_open_part(ui_app *app, void *own) {
    trade_own *o = own;
    (void)app;
    o->stale = o->fit = true;
    o->budget = o->solved = o->rest = o->before = NAN;
    o->x = o->y = (trade_axis){0, 1, false};
}
static void trade_close_part(ui_app *app, void *own) {
    (void)app;
    trade_points_free(own);
    trade_budget_free(own);
}

static bool trade_click(ui_app *app, void *own, ui_view *view, int x, int y) {
    trade_own *o = own;
    if (strcmp(view->widget, "trade") != 0 || !o->count || o->inner.w < 2 || o->inner.h < 2) return false;
    double px = (x - o->inner.x + 0.5) / o->inner.w, py = 1 - (y - o->inner.y + 0.5) / o->inner.h;
    if (px < 0 || px > 1 || py < 0 || py > 1) return false;
    choose(app, trade_nearest(o->points, o->count, &o->x, &o->y, px, py, aspect(o)));
    return true;
}

const ui_part ui_part_trade = {.name = "trade",
                               UI_LIST(command, commands),
                               UI_LIST(binding, bindings),
                               UI_LIST(function, functions),
                               UI_LIST(source, sources),
                               .bytes = sizeof(trade_own),
                               .open = trade_open_part,
                               .close = trade_close_part,
                               .click = trade_click,
                               .places = places};
