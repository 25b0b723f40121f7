// The sensitivity panel: its commands and keys, tables as events bring them, and its rows for other panels.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/heat_part.h"

heat_part *heat_own(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_heat);
}

heat_table *heat_shown(const ui_app *app) {
    const heat_part *own = heat_own(app);
    return own && own->count ? own->table[own->shown] : NULL;
}

// ---- tables ------------------------------------------------------------------------------------

static void forget_undo(heat_part *own) {
    free(own->undo);
    own->undo = NULL;
}

static void drop(heat_part *own, int index) {
    heat_table_free(own->table[index]);
    memmove(&own->table[index], &own->table[index + 1], (size_t)(--own->count - index) * sizeof *own->table);
    if (own->shown > index || own->shown >= own->count) own->shown = own->shown > 0 ? own->shown - 1 : 0;
}

static void show(heat_part *own, int index) {
    own->shown = index;
    own->stale = true;
    own->told[0] = 0;
    forget_undo(own);
}

void heat_add(heat_part *own, heat_table *t, bool newest) {
    if (own->count == HEAT_TABLES) drop(own, 0);
    int at = newest ? own->count : 0;
    memmove(&own->table[at + 1], &own->table[at], (size_t)(own->count - at) * sizeof *own->table);
    own->table[at] = t;
    own->count++;
    if (newest)
        show(own, at);
    else if (own->count > 1)
        own->shown++;
    own->stale = true;
}

static bool same_names(const heat_table *a, const heat_table *b) {
    bool same = a->rows == b->rows && a->cols == b->cols && strcmp(a->metric, b->metric) == 0;
    for (int r = 0; same && r < a->rows; r++) same = strcmp(a->row[r], b->row[r]) == 0;
    for (int c = 0; same && c < a->cols; c++) same = strcmp(a->col[c], b->col[c]) == 0;
    return same;
}

// The whole table in the place of the one that grew to it: choices, cursor and rows stay.
static void take_table(ui_app *app, heat_part *own, const char *text) {
    base_err err = {0};
    heat_table *t = heat_table_read(text, &err);
    if (!t) return; // an allocation, or a table of another kind
    const ui_run *r = ui_state_run(&app->state);
    snprintf(t->from, sizeof t->from, "run %d", r ? (int)r->number : 0);
    heat_table *last = own->count ? own->table[own->count - 1] : NULL;
    if (last && last->growing && strcmp(last->from, t->from) == 0 && (t->growing || same_names(last, t))) {
        if (same_names(last, t)) memcpy(t->choice, last->choice, (size_t)t->rows * sizeof *t->choice);
        heat_table_free(last);
        own->table[own->count - 1] = t;
        own->stale = true;
        return;
    }
    heat_add(own, t, true);
}

static void on_event(ui_app *app, void *state, const base_event *e) {
    heat_part *own = state;
    heat_table *last = own->count ? own->table[own->count - 1] : NULL;
    if (e->kind == BASE_EV_TABLE && e->text) {
        take_table(app, own, e->text);
    } else if (e->kind == BASE_EV_CELL && e->text) {
        if (!(last && last->growing && heat_table_take_cell(last, e->text))) take_table(app, own, e->text);
        own->stale = true;
    } else if (e->kind == BASE_EV_RUN_END && last) {
        last->growing = false; // what a stopped run measured stays
    }
}

static void on_close(ui_app *app, void *state) {
    heat_part *own = state;
    (void)app;
    while (own->count) drop(own, own->count - 1);
    forget_undo(own);
    free(own->row);
    free(own->cell);
    free(own->order);
}

// ---- rows --------------------------------------------------------------------------------------

static void fill_row(const heat_table *t, int r, heat_row *row) {
    *row = (heat_row){.weights = t->weights[r], .value = NAN, .bytes = NAN, .sum = heat_row_sum(t, r)};
    snprintf(row->layer, sizeof row->layer, "%s", t->row[r]);
    if (t->choice[r] < 0) return;
    int at = r * t->cols + t->choice[r];
    snprintf(row->chosen, sizeof row->chosen, "%s", t->col[t->choice[r]]);
    row->value = t->value[at];
    row->bytes = t->bytes[at];
}

static void fill_cell(const heat_table *t, int at, heat_cell *cell) {
    int r = at / t->cols, c = at % t->cols;
    *cell = (heat_cell){.value = t->value[at],
                        .error = t->error[at],
                        .bytes = t->bytes[at],
                        .seconds = t->seconds[at],
                        .chosen = t->choice[r] == c};
    snprintf(cell->layer, sizeof cell->layer, "%s", t->row[r]);
    snprintf(cell->option, sizeof cell->option, "%s", t->col[c]);
    snprintf(cell->unit, sizeof cell->unit, "%s", t->unit);
}

void heat_refresh(heat_part *own) {
    if (!own->stale) return;
    own->stale = false;
    const heat_table *t = own->count ? own->table[own->shown] : NULL;
    own->row_count = t ? t->rows : 0;
    own->cell_count = t ? t->rows * t->cols : 0;
    own->row = base_realloc(own->row, (size_t)own->row_count + 1, sizeof *own->row);
    own->order = base_realloc(own->order, (size_t)own->row_count + 1, sizeof *own->order);
    if (!t) return;
    heat_order(t, own->by_sum, own->order);
    for (int i = 0; i < t->rows; i++) fill_row(t, own->order[i], &own->row[i]);
    free(own->cell); // made when somebody asks for them
    own->cell = NULL;
}

#define F(struct_, type_, field, unit, help)                                                                           \
    { #field, unit, help, type_, offsetof(struct_, field), sizeof(((struct_ *)0)->field) }
static const base_field row_fields[] = {
    F(heat_row, BASE_F_TEXT, layer, "", "layer"),
    F(heat_row, BASE_F_TEXT, chosen, "", "option chosen for it"),
    F(heat_row, BASE_F_REAL, weights, "", "weights of the layer"),
    F(heat_row, BASE_F_REAL, value, "", "value of the chosen option"),
    F(heat_row, BASE_F_REAL, bytes, "B", "bytes of the chosen option"),
    F(heat_row, BASE_F_REAL, sum, "", "sum of the row's values"),
};
static const base_field cell_fields[] = {
    F(heat_cell, BASE_F_TEXT, layer, "", "layer"),
    F(heat_cell, BASE_F_TEXT, option, "", "option"),
    F(heat_cell, BASE_F_REAL, value, "", "sensitivity"),
    F(heat_cell, BASE_F_TEXT, unit, "", "unit of the value"),
    F(heat_cell, BASE_F_REAL, error, "", "standard error of the value"),
    F(heat_cell, BASE_F_REAL, bytes, "B", "bytes of the layer under the option"),
    F(heat_cell, BASE_F_REAL, seconds, "s", "time it took to make and measure"),
    F(heat_cell, BASE_F_INT, chosen, "", "1: the layer's choice"),
};

static heat_part *fresh(const ui_state *s) {
    heat_part *own = ui_part_own(s, &ui_part_heat);
    if (own) heat_refresh(own);
    return own;
}
static int row_count(const ui_state *s) {
    const heat_part *own = fresh(s);
    return own ? own->row_count : 0;
}
static const void *row_rows(const ui_state *s) {
    return fresh(s)->row;
}
static int cell_count(const ui_state *s) {
    const heat_part *own = fresh(s);
    return own ? own->cell_count : 0;
}
static const void *cell_rows(const ui_state *s) {
    heat_part *own = fresh(s);
    const heat_table *t = own->table[own->shown];
    if (!own->cell) {
        own->cell = base_calloc((size_t)own->cell_count + 1, sizeof *own->cell);
        for (int i = 0; i < own->cell_count; i++) fill_cell(t, i, &own->cell[i]);
    }
    return own->cell;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))
static const ui_source sources[] = {
    {"sensitivity", row_fields, COUNT(row_fields), sizeof(heat_row), row_count, row_rows, "layer"},
    {"sensitivity-all", cell_fields, COUNT(cell_fields), sizeof(heat_cell), cell_count, cell_rows, "layer"},
};

// ---- the widget --------------------------------------------------------------------------------

static void draw_empty(ui_app *app, ui_area a, const heat_part *own) {
    bool measuring = app->state.job == UI_RUNNING && app->state.phase[0];
    int y = ui_wrap(a, 0, UI_DIM,
                    own->searched ? "No sensitivity table yet." : "Looking for tables of this model in the history.");
    ui_wrap(ui_sub(a, 0, y, a.r.w, a.r.h - y), 1, UI_DIM,
            measuring ? "A run is going; a table it measures appears here cell by cell."
                      : "m measures one of this model on its data (:sensitivity METRIC takes another metric). Tables "
                        "that recipes report appear here too.");
}

HOST(h_heat) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    heat_part *own = heat_own(app);
    heat_search(app, own);
    heat_refresh(own);
    ui_look look = ui_host_look(app, "heat", ui_source_find("sensitivity"));
    ui_area a = ui_host_take(app);
    const heat_table *t = heat_shown(app);
    if (!t) {
        ui_scroll_fit(look.scroll, 0, 1);
        draw_empty(app, a, own);
        return true;
    }
    char more[40] = "";
    if (own->count > 1) snprintf(more, sizeof more, " (%d of %d)", own->shown + 1, own->count);
    if (t->growing)
        snprintf(app->drawing->note, sizeof app->drawing->note, "%s, %d of %d cells", t->metric, t->known,
                 t->rows * t->cols);
    else
        snprintf(app->drawing->note, sizeof app->drawing->note, "%s, %.30s%s", t->metric, t->from, more);
    heat_look h = {.look = &look,
                   .order = own->order,
                   .map = own->map,
                   .log = !own->even,
                   .col = &own->col,
                   .left = &own->left,
                   .told = own->told};
    heat_draw(a, &h, t, &own->place);
    own->place.x += a.r.x - app->drawing->inside.x; // the mouse counts from the panel's inside
    own->place.y += a.r.y - app->drawing->inside.y;
    return true;
}

static bool on_click(ui_app *app, void *state, ui_view *v, int x, int y) {
    heat_part *own = state;
    const heat_place *p = &own->place;
    const heat_table *t = heat_shown(app);
    if (strcmp(v->widget, "heat") != 0 || !t || p->cell < 1) return false;
    int row = v->scroll.top + y - p->y, col = own->left + (x - p->x) / p->cell;
    if (y < p->y || y >= p->y + p->rows || row >= t->rows) return true;
    ui_scroll_to(&v->scroll, row);
    if (x >= p->x && (x - p->x) / p->cell < p->columns) own->col = col;
    return true;
}

// ---- commands ----------------------------------------------------------------------------------

static heat_table *table_or(const ui_app *app, base_err *err) {
    heat_table *t = heat_shown(app);
    if (!t) base_fail(err, "there is no sensitivity table; :sensitivity measures one");
    return t;
}

// Row of the table under the cursor of the panel; -1: the panel is not there.
static int row_here(ui_app *app) {
    heat_part *own = heat_own(app);
    heat_refresh(own);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < app->view_count; i++) {
            const ui_view *v = &app->views[i];
            if ((pass == 0 && i != app->focus) || strcmp(v->widget, "heat") != 0) continue;
            if (v->scroll.cursor >= 0 && v->scroll.cursor < own->row_count) return own->order[v->scroll.cursor];
        }
    return -1;
}

static bool step_column(ui_app *app, int by, base_err *err) {
    heat_part *own = heat_own(app);
    const heat_table *t = table_or(app, err);
    if (!t) return false;
    own->col += by;
    if (own->col >= t->cols) own->col = t->cols - 1;
    if (own->col < 0) own->col = 0;
    return true;
}
ON(on_left) {
    (void)argument;
    return step_column(app, -1, err);
}
ON(on_right) {
    (void)argument;
    return step_column(app, 1, err);
}

// Remembers the choices for :unchoose before they change.
static void before_change(heat_part *own, const heat_table *t) {
    forget_undo(own);
    own->undo = base_calloc((size_t)t->rows, sizeof *own->undo);
    own->undo_rows = t->rows;
    memcpy(own->undo, t->choice, (size_t)t->rows * sizeof *own->undo);
    own->stale = true;
}

ON(on_choose) {
    (void)argument;
    heat_part *own = heat_own(app);
    heat_table *t = table_or(app, err);
    int row = t ? row_here(app) : -1;
    if (!t) return false;
    if (row < 0) return base_fail(err, "no panel shows the table; :view sensitivity does");
    int at = row * t->cols + own->col;
    if (isnan(t->value[at]) && t->choice[row] != own->col)
        return base_fail(err, "%s under %s has no value, so it cannot be chosen", t->row[row], t->col[own->col]);
    before_change(own, t);
    t->choice[row] = t->choice[row] == own->col ? -1 : own->col;
    own->told[0] = 0;
    return true;
}

ON(on_clear) {
    (void)argument;
    heat_part *own = heat_own(app);
    heat_table *t = table_or(app, err);
    if (!t) return false;
    before_change(own, t);
    for (int r = 0; r < t->rows; r++) t->choice[r] = -1;
    own->told[0] = 0;
    return true;
}

ON(on_undo) {
    (void)argument;
    heat_part *own = heat_own(app);
    heat_table *t = table_or(app, err);
    if (!t) return false;
    if (!own->undo || own->undo_rows != t->rows) return base_fail(err, "no choice was changed in this table");
    for (int r = 0; r < t->rows; r++) { // a second time brings the change back
        int now = t->choice[r];
        t->choice[r] = own->undo[r];
        own->undo[r] = now;
    }
    own->told[0] = 0;
    own->stale = true;
    return true;
}

ON(on_under) {
    heat_part *own = heat_own(app);
    heat_table *t = table_or(app, err);
    char *end;
    double most = strtod(argument, &end);
    if (!t) return false;
    if (!argument[0]) {
        char text[64];
        int row = row_here(app);
        double v = row >= 0 ? t->value[row * t->cols + own->col] : NAN;
        snprintf(text, sizeof text, isnan(v) ? "under " : "under %.3g", v);
        ui_typing_start(app, UI_PROMPT_COMMAND, text, false);
        return true;
    }
    if (*end || isnan(most))
        return base_fail(err, "under takes a value of the table, such as 0.01, not \"%s\"", argument);
    before_change(own, t);
    int none = heat_under(t, most, t->choice);
    snprintf(own->told, sizeof own->told, "Each layer's smallest option with at most %.3g; %d of %d layers have none.",
             most, none, t->rows);
    return true;
}

ON(on_budget) {
    heat_table *t = table_or(app, err);
    char *end;
    double bits = strtod(argument, &end);
    if (!t) return false;
    if (!argument[0]) {
        ui_typing_start(app, UI_PROMPT_COMMAND, "within 3.0", false);
        return true;
    }
    if (strcmp(end, "bit") == 0 || strcmp(end, "bits") == 0) end += strlen(end);
    if (*end || !(bits > 0) || !isfinite(bits))
        return base_fail(err, "within takes bits a weight above 0, such as 3.0, not \"%s\"", argument);
    before_change(heat_own(app), t);
    return heat_budget(app, bits, err);
}

ON(on_colours) {
    heat_part *own = heat_own(app);
    int to = -1;
    (void)err;
    for (int i = 0; i < STUDY_COLOUR_MAPS; i++)
        if (strcmp(argument, study_colour_names[i]) == 0) to = i;
    if (argument[0] && to < 0) return base_fail(err, "there is no colour map \"%s\" (viridis, diverging)", argument);
    own->map = (study_colours)(to >= 0 ? to : ((int)own->map + 1) % STUDY_COLOUR_MAPS);
    return true;
}
OFFER(colour_offer) {
    (void)typed;
    for (int i = 0; i < STUDY_COLOUR_MAPS; i++) ui_palette_offer(&app->palette, study_colour_names[i], NULL);
}
ON(on_log) {
    UNUSED;
    heat_own(app)->even = !heat_own(app)->even;
    return true;
}
ON(on_sort) {
    UNUSED;
    heat_part *own = heat_own(app);
    int row = row_here(app);
    own->by_sum = !own->by_sum;
    own->stale = true;
    heat_refresh(own);
    for (int i = 0; i < app->view_count; i++) // the cursor stays on its layer
        for (int at = 0; row >= 0 && strcmp(app->views[i].widget, "heat") == 0 && at < own->row_count; at++)
            if (own->order[at] == row) ui_scroll_to(&app->views[i].scroll, at);
    ui_say(app, UI_NORMAL, own->by_sum ? "Most sensitive layers first." : "Layers in the order of the network.");
    return true;
}
static bool other_table(ui_app *app, int by, base_err *err) {
    heat_part *own = heat_own(app);
    int to = own->shown + by;
    if (!table_or(app, err)) return false;
    if (to < 0 || to >= own->count)
        return base_fail(err, by < 0 ? "there is no older table" : "this is the newest table");
    show(own, to);
    const heat_table *t = own->table[to];
    ui_say(app, UI_NORMAL, "%s%s%s%s: %d layers, %d options, %s.", t->metric, t->unit[0] ? " (" : "", t->unit,
           t->unit[0] ? ")" : "", t->rows, t->cols, t->from);
    return true;
}
ON(on_older) {
    (void)argument;
    return other_table(app, -1, err);
}
ON(on_newer) {
    (void)argument;
    return other_table(app, 1, err);
}
ON(on_send) {
    (void)argument;
    return heat_send(app, err);
}
static const char *needs_no_run(const ui_app *app) {
    return app->state.job == UI_RUNNING      ? "a run is going; Esc stops it"
           : app->state.job == UI_INSPECTING ? "the model is being opened; try again in a moment"
                                             : NULL;
}
ON(on_sensitivity) {
    return heat_measure(app, argument, err);
}
OFFER(metric_offer) {
    (void)typed;
    for (size_t i = 0; i < study_metric_count; i++)
        if (study_metrics[i]->by_option)
            ui_palette_offer(&app->palette, study_metrics[i]->name, study_metrics[i]->help);
}

static const ui_command commands[] = {
    {"sensitivity", "[METRIC]", "measure the sensitivity of every layer to every width, on this model and its data",
     on_sensitivity, needs_no_run, metric_offer},
    {"cell-left", "", "to the option on the left", on_left, NULL, NULL},
    {"cell-right", "", "to the option on the right", on_right, NULL, NULL},
    {"choose", "", "choose this option for this layer, or take the choice back", on_choose, NULL, NULL},
    {"under", "[VALUE]", "choose each layer's smallest option whose value is at most this", on_under, NULL, NULL},
    {"within", "[BITS]", "choose the least sum of values within so many bits a weight, by the exact solver", on_budget,
     NULL, NULL},
    {"choose-none", "", "take all choices back", on_clear, NULL, NULL},
    {"choose-undo", "", "the choices as they were before the last change", on_undo, NULL, NULL},
    {"send", "", "give the choices to the recipe: each layer gets the steps of its option", on_send, NULL, NULL},
    {"colours", "[MAP]", "the next map of colours: viridis, diverging", on_colours, NULL, colour_offer},
    {"log-scale", "", "colours by the logarithm, or even", on_log, NULL, NULL},
    {"sort-layers", "", "layers in the order of the network, or the most sensitive first", on_sort, NULL, NULL},
    {"older-table", "", "the sensitivity table before this one, of this session or the history", on_older, NULL, NULL},
    {"newer-table", "", "the sensitivity table after this one", on_newer, NULL, NULL},
};

static const ui_binding bindings[] = {
    {"Left", "cell-left", "heat", NULL}, {"h", "cell-left", "heat", NULL},      {"Right", "cell-right", "heat", NULL},
    {"l", "cell-right", "heat", NULL},   {"Space", "choose", "heat", "choose"}, {"Enter", "choose", "heat", NULL},
    {"t", "under", "heat", "threshold"}, {"b", "within", "heat", "budget"},     {"w", "send", "heat", "to recipe"},
    {"c", "colours", "heat", "colours"}, {"L", "log-scale", "heat", "log"},     {"s", "sort-layers", "heat", "sort"},
    {"x", "choose-none", "heat", NULL},  {"u", "choose-undo", "heat", NULL},    {"m", "sensitivity", "heat", "measure"},
    {"<", "older-table", "heat", NULL},  {">", "newer-table", "heat", NULL},
};

static const script_function functions[] = {
    {"heat", "() the sensitivity table as a heat map, with its legend, sums and choices", h_heat},
};
static const ui_place places[] = {{"heat", "Keys on a heat map"}, {NULL, NULL}};

const ui_part ui_part_heat = {.name = "heat",
                              UI_LIST(command, commands),
                              UI_LIST(binding, bindings),
                              UI_LIST(function, functions),
                              UI_LIST(source, sources),
                              .bytes = sizeof(heat_part),
                              .close = on_close,
                              .event = on_event,
                              .click = on_click,
                              .places = places};
