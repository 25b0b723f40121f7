// Tables over a source: columns that give way by their own order when the panel is narrow, bars inside cells, a cursor
// row in reverse, and marks on what the search found. Also the one-row strip of shaded cells.
#include "ui/widget.h"

#include <math.h>
#include <string.h>

static int columns_need(const ui_column *columns, int count, const bool *shown) {
    int need = 0;
    for (int i = 0; i < count; i++)
        if (shown[i]) need += columns[i].width + (need ? 1 : 0);
    return need;
}

void ui_columns_fit(const ui_column *columns, int count, int room, int *widths) {
    bool shown[UI_MAX_COLUMNS];
    for (int i = 0; i < count; i++) shown[i] = true;
    while (columns_need(columns, count, shown) > room) {
        int worst = -1;
        for (int i = 0; i < count; i++)
            if (shown[i] && columns[i].drop > 0 && (worst < 0 || columns[i].drop >= columns[worst].drop)) worst = i;
        if (worst < 0) break; // what may not go is cut at the edge
        shown[worst] = false;
    }
    int spare = room - columns_need(columns, count, shown), share = 0;
    for (int i = 0; i < count; i++) {
        widths[i] = shown[i] ? columns[i].width : 0;
        if (shown[i]) share += columns[i].grow;
    }
    for (int i = 0; i < count && spare > 0; i++) {
        if (!shown[i] || !columns[i].grow) continue;
        int extra = spare * columns[i].grow / share;
        share -= columns[i].grow;
        spare -= extra;
        widths[i] += extra;
    }
}

double ui_fraction(double value, double low, double high) {
    if (low > 0) {
        if (value <= 0) return isnan(value) ? NAN : 0;
        return log(value / low) / log(high / low);
    }
    return (value - low) / (high - low);
}

// The step of the ramp for a place in a range.
static ui_style ramp(double fraction) {
    int step = isfinite(fraction) ? (int)(fraction * (UI_RAMP_COUNT - 1) + 0.5) : 0;
    if (step < 0) step = 0;
    if (step >= UI_RAMP_COUNT) step = UI_RAMP_COUNT - 1;
    return (ui_style)(UI_RAMP + step);
}

static void draw_bar(ui_area a, int x, int y, int width, const ui_look *look, const ui_source *source, int row,
                     const ui_column *c) {
    double value = NAN, more = NAN;
    ui_source_number(source, look->state, row, c->field, &value);
    if (c->with) ui_source_number(source, look->state, row, c->with, &more);
    if (isnan(value)) {
        ui_fit(a, x, y, width, UI_LEFT, UI_DIM, "");
        return;
    }
    double place = ui_fraction(value, c->low, c->high);
    if (place > 0 && place * width < 0.13) place = 0.13 / width; // what is not nothing shows
    ui_bar_draw(a, x, y, width, ramp(place), place, ui_fraction(more, c->low, c->high));
}

// What search looks at when the column shows it: its own text, or of a label the whole name.
static const char *searched(const ui_look *look, const ui_source *source, int row, const ui_column *c) {
    if (!source->key || (strcmp(c->field->name, source->key) != 0 && strcmp(c->field->name, "label") != 0)) return NULL;
    return ui_source_text(source, look->state, row, ui_source_field(source, source->key));
}

static void draw_cell(ui_area a, int x, int y, int width, const ui_look *look, const ui_source *source, int row,
                      const ui_column *c) {
    double number;
    char text[64];
    if (c->as == UI_AS_BAR) {
        draw_bar(a, x, y, width, look, source, row, c);
    } else if (c->field->type == BASE_F_TEXT) {
        const char *s = ui_source_text(source, look->state, row, c->field);
        const char *found = searched(look, source, row, c);
        bool hit = found && ui_search_hit(look->search, found);
        ui_fit(a, x, y, width, c->align, hit ? UI_FOUND : UI_NORMAL, s ? s : "");
    } else if (ui_source_number(source, look->state, row, c->field, &number)) {
        if (c->as == UI_AS_STATE) {
            ui_fit(a, x, y, width, c->align, ui_layer_style((int64_t)number), ui_layer_glyph((int64_t)number));
        } else {
            ui_format(c->as, number, text, sizeof text);
            ui_fit(a, x, y, width, c->align, isnan(number) ? UI_DIM : UI_NORMAL, text);
        }
    }
}

static void draw_row(ui_area a, int y, const ui_look *look, const ui_source *source, int row, const ui_column *columns,
                     int count, const int *widths) {
    bool here = row == look->scroll->cursor;
    int x = 0;
    for (int i = 0; i < count; i++) {
        if (!widths[i]) continue;
        draw_cell(a, x, y, widths[i], look, source, row, &columns[i]);
        if (here && columns[i].as != UI_AS_BAR) ui_reverse(a, x, y, look->focused ? widths[i] + 1 : 0);
        x += widths[i] + 1;
    }
    if (here && !look->focused) { // where the cursor will be: bold names, without colour
        ui_cell *cells = a.grid->cells + (a.r.y + y) * a.grid->w + a.r.x;
        for (int i = 0; i < a.r.w && y < a.r.h; i++)
            if (cells[i].style == UI_NORMAL) cells[i].style = UI_STRONG;
    }
}

void ui_table_draw(ui_area a, const ui_look *look, const ui_source *source, const ui_column *columns, int count,
                   const char *empty) {
    int widths[UI_MAX_COLUMNS], rows = source->count(look->state), x = 0;
    ui_columns_fit(columns, count, a.r.w, widths);
    for (int i = 0; i < count; i++) {
        if (!widths[i]) continue;
        ui_fit(a, x, 0, widths[i], columns[i].as == UI_AS_BAR ? UI_LEFT : columns[i].align, UI_DIM, columns[i].title);
        x += widths[i] + 1;
    }
    ui_scroll_fit(look->scroll, rows, a.r.h - 1);
    if (rows == 0) ui_wrap(ui_sub(a, 0, 1, a.r.w, a.r.h - 1), 0, UI_DIM, empty);
    ui_area body = ui_sub(a, 0, 1, a.r.w, a.r.h - 1);
    for (int i = 0; i < body.r.h && look->scroll->top + i < rows; i++)
        draw_row(body, i, look, source, look->scroll->top + i, columns, count, widths);
}

void ui_strip_draw(ui_area a, const ui_look *look, const ui_source *source, const base_field *field, double low,
                   double high) {
    static const uint32_t shades[] = {0x2591, 0x2592, 0x2593, 0x2588};
    const base_field *state = ui_source_field(source, "state");
    int rows = source->count(look->state), width = a.r.w;
    for (int x = 0; x < width && x < rows; x++) {
        // More rows than columns: a column shows the worst of its rows.
        int from = rows <= width ? x : (int)((int64_t)x * rows / width);
        int to = rows <= width ? x + 1 : (int)((int64_t)(x + 1) * rows / width);
        double worst = NAN, number, working = 0;
        for (int i = from; i < to; i++) {
            if (ui_source_number(source, look->state, i, field, &number) && !(number <= worst)) worst = number;
            if (state && ui_source_number(source, look->state, i, state, &number) && (int)number == UI_WORKING)
                working = 1;
        }
        double place = ui_fraction(worst, low, high);
        int shade = !isfinite(place) || place < 0 ? 0 : place >= 1 ? 3 : (int)(place * 4);
        if (working > 0)
            ui_char(a, x, 0, UI_ACCENT, 0x25B6);
        else if (isnan(worst))
            ui_char(a, x, 0, UI_DIM, 0xB7);
        else
            ui_char(a, x, 0, ramp(place), shades[shade]);
    }
}
