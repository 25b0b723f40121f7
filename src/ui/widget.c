// The smaller widgets: the log, the params as controls, the progress bar.
#include "ui/widget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void ui_log_draw(ui_area a, const ui_look *look) {
    static const struct {
        const char *sign;
        ui_style style;
    } levels[] = {{".", UI_DIM}, {" ", UI_NORMAL}, {"!", UI_WARN}, {"E", UI_BAD}};
    const ui_state *s = look->state;
    bool last = look->scroll->cursor >= look->scroll->count - 1;
    if (last) look->scroll->at_end = true;
    int count = ui_state_log_count(s);
    ui_scroll_fit(look->scroll, count, a.r.h);
    for (int i = 0; i < a.r.h && look->scroll->top + i < count; i++) {
        int row = look->scroll->top + i;
        const ui_log_line *line = &s->log[ui_state_log_row(s, row)];
        int level = line->level < 0 ? 0 : line->level > 3 ? 3 : (int)line->level;
        bool hit = ui_search_hit(look->search, line->text);
        char time[24];
        snprintf(time, sizeof time, "%7.2f", line->time);
        int x = ui_fit(a, 0, i, 7, UI_RIGHT, UI_DIM, time);
        ui_put(a, x + 1, i, levels[level].style, levels[level].sign);
        ui_fit(a, x + 3, i, a.r.w - x - 3, UI_LEFT, hit ? UI_FOUND : levels[level].style, line->text);
        if (look->focused && row == look->scroll->cursor) ui_reverse(a, 0, i, a.r.w);
    }
}

// "‹ 4 ›" and, for numbers in a closed range, a slider under the same line's end.
static void draw_control(ui_area a, int x, int y, const base_param_row *p, bool here) {
    char value[96];
    ui_param_text(p, value, sizeof value);
    bool bounded = !p->choices[0] && isfinite(p->min) && isfinite(p->max) && p->max > p->min;
    x = ui_put(a, x, y, here ? UI_KEY : UI_DIM, here ? "< " : "  ");
    int width = a.r.w - x - 2 < 10 ? a.r.w - x - 2 : 10;
    bool changed = p->choices[0] ? false : p->value != p->def;
    x = ui_fit(a, x, y, width, UI_CENTRE, changed || here ? UI_STRONG : UI_NORMAL, value);
    x = ui_put(a, x, y, here ? UI_KEY : UI_DIM, here ? " >" : "  ");
    if (!bounded) {
        if (p->choices[0]) ui_fit(a, x + 1, y, a.r.w - x - 1, UI_LEFT, UI_DIM, p->choices);
        return;
    }
    char low[24], high[24];
    snprintf(low, sizeof low, "%.6g", p->min);
    snprintf(high, sizeof high, "%.6g", p->max);
    int track = a.r.w - x - (int)strlen(low) - (int)strlen(high) - 4;
    if (track < 4) return;
    if (track > 24) track = 24;
    x = ui_put(a, x + 1, y, UI_DIM, low) + 1;
    int at = (int)((p->value - p->min) / (p->max - p->min) * (track - 1) + 0.5);
    for (int i = 0; i < track; i++) ui_char(a, x + i, y, i == at ? UI_ACCENT : UI_RULE, i == at ? 0x25CF : 0x2500);
    ui_put(a, x + track + 1, y, UI_DIM, high);
}

void ui_params_draw(ui_area a, const ui_look *look) {
    const ui_state *s = look->state;
    int name_width = 0, each = a.r.h >= s->param_count * 2 ? 2 : 1; // with its help below when there is room
    for (int i = 0; i < s->param_count; i++) {
        int n = base_columns(s->params[i].name);
        if (n > name_width) name_width = n;
    }
    if (name_width > a.r.w / 3) name_width = a.r.w / 3;
    ui_scroll_fit(look->scroll, s->param_count, a.r.h / each);
    for (int i = 0; look->scroll->top + i < s->param_count && i * each < a.r.h; i++) {
        int row = look->scroll->top + i;
        const base_param_row *p = &s->params[row];
        bool here = row == look->scroll->cursor, hit = ui_search_hit(look->search, p->name);
        ui_fit(a, 0, i * each, name_width, UI_LEFT, hit ? UI_FOUND : here ? UI_STRONG : UI_NORMAL, p->name);
        if (here && look->focused) ui_reverse(a, 0, i * each, name_width);
        draw_control(a, name_width + 1, i * each, p, here && look->focused);
        if (each == 2) ui_fit(a, 2, i * each + 1, a.r.w - 2, UI_LEFT, UI_DIM, p->help);
    }
    if (s->param_count == 0) ui_wrap(a, 0, UI_DIM, "This recipe declares no params.");
}

void ui_progress_draw(ui_area a, ui_style style, double done, double of, const char *text) {
    double fraction = of > 0 ? done / of : 0;
    int width = a.r.w - base_columns(text) - 1;
    if (width < 6) width = a.r.w;
    for (int i = 0; i < width; i++) ui_char(a, i, 0, UI_RULE, 0x2500);
    int full = (int)((fraction > 1 ? 1 : fraction > 0 ? fraction : 0) * width + 0.5);
    for (int i = 0; i < full; i++) ui_char(a, i, 0, style, 0x2588);
    if (width < a.r.w) ui_put(a, width + 1, 0, UI_NORMAL, text);
}
