// What a view may call: the functions of the Lua table `ui`. ui.top, bottom, left and right cut a piece off the panel
// and go into it, ui.rest leaves it; a widget takes all that is left of the piece, a row of text only its row.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/host.h"

// ---- space -------------------------------------------------------------------------------------

bool ui_host_drawing(const ui_app *app, base_err *err) {
    return app->drawing || base_fail(err, "this ui function draws, so it can be called in draw() only");
}

// All that is left of the innermost piece.
ui_area ui_host_take(ui_app *app) {
    ui_area *a = &app->piece[app->depth], all = *a;
    a->r.y += a->r.h;
    a->r.h = 0;
    return all;
}

// Rows off its top.
ui_area ui_host_take_rows(ui_app *app, int rows) {
    ui_area *a = &app->piece[app->depth], part = ui_sub(*a, 0, 0, a->r.w, rows);
    a->r.y += part.r.h;
    a->r.h -= part.r.h;
    return part;
}

// Cut a piece off a side of the innermost one and go into it.
static bool cut(ui_app *app, script_call *c, int side, base_err *err) {
    double n;
    if (!ui_host_drawing(app, err)) return false;
    if (!script_arg_number(c, 0, &n) || !(n >= 0))
        return base_fail(err, "a number of rows or columns from 0 was expected");
    if (app->depth + 1 >= UI_MAX_PIECES)
        return base_fail(err, "pieces are %d deep at most; ui.rest() leaves one", UI_MAX_PIECES);
    ui_rect *r = &app->piece[app->depth].r, part = *r;
    int size = side < 2 ? r->h : r->w, taken = n < size ? (int)n : size;
    if (side < 2)
        part.h = taken, r->h -= taken;
    else
        part.w = taken, r->w -= taken;
    if (side == 0) r->y += taken;
    if (side == 1) part.y = r->y + r->h;
    if (side == 2) r->x += taken;
    if (side == 3) part.x = r->x + r->w;
    app->piece[++app->depth] = (ui_area){&app->grid, part};
    return true;
}
HOST(h_top) {
    return cut(context, c, 0, err);
}
HOST(h_bottom) {
    return cut(context, c, 1, err);
}
HOST(h_left) {
    return cut(context, c, 2, err);
}
HOST(h_right) {
    return cut(context, c, 3, err);
}

HOST(h_rest) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    if (app->depth == 0) return base_fail(err, "ui.rest() without a ui.top, bottom, left or right before it");
    app->depth--;
    return true;
}

HOST(h_size) {
    APP;
    if (!ui_host_drawing(app, err)) return false;
    script_push_number(c, app->piece[app->depth].r.w);
    script_push_number(c, app->piece[app->depth].r.h);
    return true;
}

// ---- words -------------------------------------------------------------------------------------

bool ui_host_style(const char *name, ui_style *style, base_err *err) {
    static const struct {
        const char *name;
        ui_style style;
    } table[] = {{"normal", UI_NORMAL}, {"dim", UI_DIM},   {"strong", UI_STRONG}, {"accent", UI_ACCENT},
                 {"good", UI_GOOD},     {"warn", UI_WARN}, {"bad", UI_BAD},       {"key", UI_KEY}};
    const char *names[8];
    if (!name) {
        *style = UI_NORMAL;
        return true;
    }
    for (int i = 0; i < 8; i++) {
        names[i] = table[i].name;
        if (strcmp(name, table[i].name) == 0) {
            *style = table[i].style;
            return true;
        }
    }
    const char *near = base_nearest(name, names, 8);
    return base_fail(err, "there is no style \"%s\"%s%s", name, near ? ", did you mean " : "", near ? near : "");
}

bool ui_host_align(const char *name, ui_align *align, base_err *err) {
    *align = UI_LEFT;
    if (!name || strcmp(name, "left") == 0) return true;
    if (strcmp(name, "right") == 0)
        *align = UI_RIGHT;
    else if (strcmp(name, "centre") == 0)
        *align = UI_CENTRE;
    else if (strcmp(name, "tail") == 0)
        *align = UI_LEFT_TAIL;
    else
        return base_fail(err, "align is left, right, centre or tail, not \"%s\"", name);
    return true;
}

bool ui_host_as(const char *name, ui_as otherwise, ui_as *as, base_err *err) {
    *as = otherwise;
    if (!name || ui_as_find(name, as)) return true;
    return base_fail(
        err, "there is no way to show a value \"%s\" (text number count bytes percent bits ratio seconds state bar)",
        name);
}

bool ui_host_source(const char *name, const ui_source **source, base_err *err) {
    *source = name ? ui_source_find(name) : NULL;
    if (*source) return true;
    char names[256] = "";
    const ui_source *s;
    for (size_t i = 0, n = 0; (s = ui_source_at(i)) && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", s->name);
    return base_fail(err, "source \"%s\" is not one of %s", name ? name : "", names);
}

bool ui_host_field(const ui_source *source, const char *name, const base_field **f, base_err *err) {
    *f = name ? ui_source_field(source, name) : NULL;
    return *f || base_fail(err, "%s has no field \"%s\"", source->name, name ? name : "");
}

// ---- text --------------------------------------------------------------------------------------

// ui.text("words") or ui.text{text=, style=}: wrapped over the rows it needs.
HOST(h_text) {
    APP;
    if (!ui_host_drawing(app, err)) return false;
    ui_style style = UI_NORMAL;
    const char *text = script_arg_text(c, 0);
    if (!text) text = script_field_text(c, 0, "text");
    if (!text) return base_fail(err, "ui.text takes a text or {text=...}");
    if (!ui_host_style(script_field_text(c, 0, "style"), &style, err)) return false;
    ui_host_take_rows(app, ui_wrap(app->piece[app->depth], 0, style, text));
    return true;
}

// ui.row{ {text=, width=, style=, align=}, ... }: one row of cells; a cell without a width is as wide as its text.
HOST(h_row) {
    APP;
    if (!ui_host_drawing(app, err)) return false;
    ui_area a = ui_host_take_rows(app, 1);
    int count = script_list_count(c, 0, NULL), x = 0;
    for (int i = 1; i <= count; i++) {
        ui_style style = UI_NORMAL;
        ui_align align;
        double width;
        const char *text = script_list_text(c, 0, NULL, i, "text");
        if (!text) text = "";
        if (!ui_host_style(script_list_text(c, 0, NULL, i, "style"), &style, err)) return false;
        if (!ui_host_align(script_list_text(c, 0, NULL, i, "align"), &align, err)) return false;
        bool fixed = script_list_number(c, 0, NULL, i, "width", &width) && width >= 0 && width < 1000;
        x = fixed
                ? ui_fit(a, x, 0, (int)width, align, style, text)
                : ui_fit(a, x, 0, base_columns(text) < a.r.w - x ? base_columns(text) : a.r.w - x, align, style, text);
        x++;
    }
    return true;
}

HOST(h_gap) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    ui_host_take_rows(app, 1);
    return true;
}

HOST(h_note) {
    APP;
    const char *text = script_arg_text(c, 0);
    if (!ui_host_drawing(app, err)) return false;
    if (!text) return base_fail(err, "ui.note takes a text");
    snprintf(app->drawing->note, sizeof app->drawing->note, "%s", text);
    return true;
}

// ---- widgets -----------------------------------------------------------------------------------

ui_look ui_host_look(ui_app *app, const char *widget, const ui_source *source) {
    ui_view *v = app->drawing;
    // The first widget with a cursor is the panel's main one; it gets the keys.
    static ui_scroll nobody;
    bool main = !v->widget[0];
    if (main) v->widget = widget, v->source = source;
    nobody = (ui_scroll){0};
    bool focused = main && app->view_count && v == &app->views[app->focus] && app->popup == UI_NO_POPUP;
    return (ui_look){&app->state, main ? &v->scroll : &nobody, main ? app->search : NULL, focused, ui_now(app),
                     app->dots};
}

bool ui_host_column(script_call *c, int item, const ui_source *source, ui_column *col, base_err *err) {
    const char *name = script_list_text(c, 0, "columns", item, "field");
    const char *with = script_list_text(c, 0, "columns", item, "with");
    const char *title = script_list_text(c, 0, "columns", item, "title");
    const char *align = script_list_text(c, 0, "columns", item, "align");
    *col = (ui_column){.low = 0, .high = 1};
    if (!ui_host_field(source, name, &col->field, err)) return false;
    if (with && !ui_host_field(source, with, &col->with, err)) return false;
    bool is_text = col->field->type == BASE_F_TEXT;
    if (!ui_host_as(script_list_text(c, 0, "columns", item, "as"), is_text ? UI_AS_TEXT : UI_AS_NUMBER, &col->as, err))
        return false;
    if (!ui_host_align(align, &col->align, err)) return false;
    if (!align && !is_text && col->as != UI_AS_STATE) col->align = UI_RIGHT;
    base_clean(col->title, sizeof col->title, title ? title : name);
    double n;
    col->width =
        script_list_number(c, 0, "columns", item, "width", &n) && n >= 1 && n < 500 ? (int)n : base_columns(col->title);
    col->grow = script_list_number(c, 0, "columns", item, "grow", &n) && n >= 0 && n < 100 ? (int)n : 0;
    col->drop = script_list_number(c, 0, "columns", item, "drop", &n) && n >= 0 && n < 1000 ? (int)n : 0;
    if (script_list_number(c, 0, "columns", item, "low", &n)) col->low = n;
    if (script_list_number(c, 0, "columns", item, "high", &n)) col->high = n;
    if (!(col->high > col->low)) return base_fail(err, "column %s: low must be below high", name);
    return true;
}

HOST(h_table) {
    APP;
    const ui_source *source;
    static ui_column columns[UI_MAX_COLUMNS];
    if (!ui_host_drawing(app, err) || !ui_host_source(script_field_text(c, 0, "source"), &source, err)) return false;
    int count = script_list_count(c, 0, "columns");
    if (count < 1 || count > UI_MAX_COLUMNS)
        return base_fail(err, "a table has 1 to %d columns, not %d", UI_MAX_COLUMNS, count);
    for (int i = 0; i < count; i++)
        if (!ui_host_column(c, i + 1, source, &columns[i], err)) return false;
    const char *empty = script_field_text(c, 0, "empty");
    ui_look look = ui_host_look(app, "table", source);
    if (look.scroll->follows && app->state.current >= 0 && strcmp(source->name, "layers") == 0)
        look.scroll->cursor = app->state.current;
    ui_table_draw(ui_host_take(app), &look, source, columns, count, empty ? empty : "Nothing here yet.");
    return true;
}

HOST(h_log) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    ui_look look = ui_host_look(app, "log", ui_source_find("log"));
    ui_log_draw(ui_host_take(app), &look);
    return true;
}

HOST(h_params) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    ui_look look = ui_host_look(app, "params", ui_source_find("params"));
    ui_params_draw(ui_host_take(app), &look);
    return true;
}

HOST(h_progress) {
    APP;
    double done = 0, of = 1;
    ui_style style = UI_NORMAL;
    const char *text = script_field_text(c, 0, "text");
    if (!ui_host_drawing(app, err) || !ui_host_style(script_field_text(c, 0, "style"), &style, err)) return false;
    script_field_number(c, 0, "done", &done);
    script_field_number(c, 0, "of", &of);
    ui_progress_draw(ui_host_take_rows(app, 1), style, done, of, text ? text : "");
    return true;
}

static bool optional_field(script_call *c, const ui_source *source, const char *key, const base_field **f,
                           base_err *err) {
    const char *name = script_field_text(c, 0, key);
    *f = NULL;
    return !name || ui_host_field(source, name, f, err);
}

HOST(h_chart) {
    APP;
    ui_chart chart = {0};
    if (!ui_host_drawing(app, err) || !ui_host_source(script_field_text(c, 0, "source"), &chart.source, err))
        return false;
    if (!ui_host_field(chart.source, script_field_text(c, 0, "x"), &chart.x, err) ||
        !ui_host_field(chart.source, script_field_text(c, 0, "y"), &chart.y, err) ||
        !optional_field(c, chart.source, "low", &chart.low, err) ||
        !optional_field(c, chart.source, "high", &chart.high, err) ||
        !optional_field(c, chart.source, "base_x", &chart.base_x, err) ||
        !optional_field(c, chart.source, "base_y", &chart.base_y, err) ||
        !ui_host_as(script_field_text(c, 0, "x_as"), UI_AS_NUMBER, &chart.x_as, err) ||
        !ui_host_as(script_field_text(c, 0, "y_as"), UI_AS_NUMBER, &chart.y_as, err))
        return false;
    const char *x_title = script_field_text(c, 0, "x_title"), *y_title = script_field_text(c, 0, "y_title");
    base_clean(chart.x_title, sizeof chart.x_title, x_title ? x_title : chart.x->name);
    base_clean(chart.y_title, sizeof chart.y_title, y_title ? y_title : chart.y->name);
    double log_axis = 0;
    chart.x_log = script_field_number(c, 0, "x_log", &log_axis) && log_axis > 0;
    ui_look look = ui_host_look(app, "chart", chart.source);
    if (look.scroll->follows) look.scroll->cursor = chart.source->count(&app->state) - 1; // the newest
    ui_chart_draw(ui_host_take(app), &look, &chart);
    return true;
}

HOST(h_strip) {
    APP;
    const ui_source *source;
    const base_field *f;
    double low = 0, high = 1;
    if (!ui_host_drawing(app, err) || !ui_host_source(script_field_text(c, 0, "source"), &source, err) ||
        !ui_host_field(source, script_field_text(c, 0, "field"), &f, err))
        return false;
    script_field_number(c, 0, "low", &low);
    script_field_number(c, 0, "high", &high);
    if (!(high > low)) return base_fail(err, "ui.strip: low must be below high");
    ui_scroll none = {0};
    ui_look look = {&app->state, &none, NULL, false, ui_now(app), app->dots};
    ui_strip_draw(ui_host_take_rows(app, 1), &look, source, f, low, high);
    return true;
}

// ---- data --------------------------------------------------------------------------------------

HOST(h_count) {
    APP;
    const ui_source *source;
    if (!ui_host_source(script_arg_text(c, 0), &source, err)) return false;
    script_push_number(c, source->count(&app->state));
    return true;
}

// ui.value(source, row, field): a number or a text; nil where there is none. Rows count from 1.
HOST(h_value) {
    APP;
    const ui_source *source;
    const base_field *f;
    double row, number;
    if (!ui_host_source(script_arg_text(c, 0), &source, err)) return false;
    if (!script_arg_number(c, 1, &row)) return base_fail(err, "ui.value takes a source, a row from 1 and a field");
    if (!ui_host_field(source, script_arg_text(c, 2), &f, err)) return false;
    int index = row >= 1 && row < 1e9 ? (int)row - 1 : -1;
    const char *text = ui_source_text(source, &app->state, index, f);
    if (text)
        script_push_text(c, text);
    else if (ui_source_number(source, &app->state, index, f, &number) && !isnan(number))
        script_push_number(c, number);
    else
        script_push_nil(c);
    return true;
}

HOST(h_format) {
    double number;
    ui_as as;
    char text[64];
    (void)context;
    if (!ui_host_as(script_arg_text(c, 1), UI_AS_NUMBER, &as, err)) return false;
    script_push_text(c, ui_format(as, script_arg_number(c, 0, &number) ? number : NAN, text, sizeof text));
    return true;
}

// ui.cursor(): the row of the panel's main widget, from 1; 0 when it has none. Of layers as a tree: the layer's row in
// `layers` (0: a module), then the line in `tree`.
HOST(h_cursor) {
    APP;
    (void)err;
    const ui_view *v = app->drawing ? app->drawing : app->view_count ? &app->views[app->focus] : NULL;
    double line = v && v->scroll.count > 0 ? v->scroll.cursor + 1 : 0, row = line;
    const base_field *f = v && v->source ? ui_source_field(v->source, "source") : NULL;
    if (f) row = line > 0 && ui_source_number(v->source, &app->state, (int)line - 1, f, &row) ? row + 1 : 0;
    script_push_number(c, row);
    script_push_number(c, line);
    return true;
}

HOST(h_mark) {
    double index;
    char text[5] = "";
    (void)context;
    if (!script_arg_number(c, 0, &index) || index < 1 || index > 1e6)
        return base_fail(err, "ui.mark takes a run from 1");
    ui_encode(ui_chart_mark((int)index - 1), text);
    script_push_text(c, text);
    return true;
}

HOST(h_glyph) {
    double state;
    (void)context;
    if (!script_arg_number(c, 0, &state)) return base_fail(err, "ui.glyph takes a layer's state");
    script_push_text(c, ui_layer_glyph((int64_t)state));
    return true;
}

HOST(h_command) {
    APP;
    const char *line = script_arg_text(c, 0);
    if (!line) return base_fail(err, "ui.command takes a command line");
    if (app->drawing) return base_fail(err, "ui.command can be called in key() only");
    ui_command_run(app, line);
    return true;
}

// ui.run(name): what the job is doing.
HOST(h_run) {
    APP;
    const ui_state *s = &app->state;
    const char *name = script_arg_text(c, 0);
    static const char *const kinds[] = {"idle", "opening", "running"};
    double left = isnan(s->eta) ? NAN : s->eta - (ui_state_clock(s, ui_now(app)) - s->eta_at);
    bool fake = app->options->clock != NULL; // a story's figures are told, not measured
    static const char *const shown[] = {"all", "info", "warnings", "errors"};
    const struct {
        const char *name, *text;
        double number;
    } table[] = {
        {"state",
         s->stopping  ? "stopping"
         : s->paused  ? "paused"
         : s->pausing ? "pausing"
                      : kinds[s->job],
         0},
        {"recipe", s->recipe, 0},
        {"about", s->recipe_about, 0},
        {"model", s->model, 0},
        {"data", s->data, 0},
        {"phase", s->phase, 0},
        {"done", NULL, (double)s->done},
        {"of", NULL, (double)s->of},
        {"eta", NULL, left < 0 ? 0 : left},
        {"elapsed", NULL, s->job == UI_IDLE ? NAN : ui_state_elapsed(s, ui_now(app))},
        {"held", NULL, s->held_layer >= 0 ? (double)s->held_layer + 1 : (double)NAN},
        {"level", shown[s->log_level & 3], 0},
        {"memory", NULL, fake ? 2097152 : (double)base_big_now()},
        {"peak", NULL, fake ? 3145728 : (double)base_big_peak()},
        {"loss", NULL, s->loss},
        {"layer", NULL, s->current >= 0 ? (double)s->current + 1 : (double)NAN},
        {"finished", NULL, s->finished},
        {"dropped", NULL, (double)(app->queue ? session_queue_dropped(app->queue) + s->log_dropped : s->log_dropped)},
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
    return base_fail(err, "ui.run knows no \"%s\"", name ? name : "");
}

static const script_function functions[] = {
    {"top", "(rows) cut these rows off the top and draw there until ui.rest()", h_top},
    {"bottom", "(rows) the same from the bottom", h_bottom},
    {"left", "(columns) the same from the left", h_left},
    {"right", "(columns) the same from the right", h_right},
    {"rest", "() leave the piece that was cut", h_rest},
    {"size", "() columns and rows left", h_size},
    {"text", "(text) or {text=, style=}: words wrapped over the rows they need", h_text},
    {"row", "{ {text=, width=, align=, style=}, ... }: one row of cells", h_row},
    {"gap", "() an empty row", h_gap},
    {"note", "(text) shown at the right of the panel's title", h_note},
    {"table", "{source=, columns={ {field=, title=, as=, width=, grow=, drop=, with=, low=, high=}, ... }, empty=}",
     h_table},
    {"log", "() what the run said", h_log},
    {"params", "() the recipe's params as controls", h_params},
    {"progress", "{done=, of=, text=, style=}", h_progress},
    {"chart", "{source=, x=, y=, low=, high=, base_x=, base_y=, x_as=, y_as=, x_title=, y_title=, x_log=}", h_chart},
    {"strip", "{source=, field=, low=, high=}: a shaded cell for each row", h_strip},
    {"count", "(source) number of rows", h_count},
    {"value", "(source, row, field) a value, or nil", h_value},
    {"format", "(number, as) text with its unit", h_format},
    {"cursor", "() row of the panel's cursor, from 1; of ui.layers 0 on a module, and its line in the source tree",
     h_cursor},
    {"mark", "(run) the run's mark in charts", h_mark},
    {"glyph", "(state) the glyph of a layer's state", h_glyph},
    {"run", "(name) what the job is doing: state phase done of eta elapsed layer finished recipe model data ...",
     h_run},
    {"command", "(line) run a command, in key() only", h_command},
};
const ui_part ui_part_host = {.name = "host", UI_LIST(function, functions)};
