// Plots of a layer's page: bars in braille, blocks or ASCII, spectra as marks, maps of magnitudes in half cells.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/look.h"
#include "ui/term.h"

int look_columns(int width, char dots) {
    return dots == 'b' ? 2 * width : width;
}

// Dots of braille, from the bottom: left column 7 3 2 1, right column 8 6 5 4.
static uint32_t braille(int left, int right, bool down) {
    static const uint8_t up_left[5] = {0, 0x40, 0x44, 0x46, 0x47}, up_right[5] = {0, 0x80, 0xA0, 0xB0, 0xB8};
    static const uint8_t down_left[5] = {0, 0x01, 0x03, 0x07, 0x47}, down_right[5] = {0, 0x08, 0x18, 0x38, 0xB8};
    return 0x2800u + (down ? down_left[left] | down_right[right] : up_left[left] | up_right[right]);
}

// Filled steps 0..most of the cell `from_base` cells away from the base of a bar of `steps`.
static int filled(int steps, int from_base, int most) {
    int n = steps - from_base * most;
    return n < 0 ? 0 : n > most ? most : n;
}

static int steps_of(double v, double top, int all) {
    if (!(v > 0) || !(top > 0)) return 0;
    int n = (int)lround(v / top * all);
    return n < 1 ? 1 : n > all ? all : n; // what is there is seen
}

void look_bars(ui_area a, const double *v, double top, bool down, char dots, ui_style style) {
    int each = dots == 'b' ? 4 : dots == 'l' ? (down ? 2 : 8) : 1;
    for (int x = 0; x < a.r.w; x++)
        for (int y = 0; y < a.r.h; y++) {
            int from_base = down ? y : a.r.h - 1 - y, all = a.r.h * each;
            uint32_t ch = ' ';
            if (dots == 'b') {
                int l = filled(steps_of(v[2 * x], top, all), from_base, 4);
                int r = filled(steps_of(v[2 * x + 1], top, all), from_base, 4);
                if (l || r) ch = braille(l, r, down);
            } else {
                int n = filled(steps_of(v[x], top, all), from_base, each);
                if (n && dots == 'a')
                    ch = '#';
                else if (n)
                    ch = down ? (n == 2 ? 0x2588 : 0x2580) : 0x2580 + (uint32_t)n;
            }
            if (ch != ' ') ui_char(a, x, y, style, ch);
        }
}

void look_axis(ui_area a, int y, double low, double high) {
    double tick[16];
    for (int x = 0; x < a.r.w; x++) ui_char(a, x, y, UI_RULE, 0x2500);
    if (!isfinite(low) || !isfinite(high)) return;
    if (!(high > low)) {
        ui_putf(a, a.r.w / 2, y, UI_DIM, "%.4g", low);
        return;
    }
    int n = ui_chart_ticks(low, high, a.r.w / 10 > 3 ? a.r.w / 10 : 3, tick, 16), end = -1;
    for (int i = 0; i < n; i++) {
        char text[24];
        int x = (int)((tick[i] - low) / (high - low) * (a.r.w - 1) + 0.5);
        double value = fabs(tick[i]) < (high - low) * 1e-9 ? 0 : tick[i];
        snprintf(text, sizeof text, "%.4g", value);
        int width = (int)strlen(text), from = x - width / 2;
        if (from <= end || from + width > a.r.w || from < 0) {
            if (x > end && x < a.r.w) ui_char(a, x, y, UI_RULE, 0x253C);
            continue;
        }
        ui_put(a, from, y, UI_NORMAL, text);
        end = from + width;
    }
}

void look_dots(ui_area a, const double *v, int count, double low, double high, uint32_t mark, ui_style style) {
    if (!(high > low) || count < 1 || a.r.w < 1 || a.r.h < 1) return;
    for (int i = 0; i < count; i++) {
        if (!(v[i] > 0) || !isfinite(v[i])) continue;
        double up = (log(v[i]) - log(low)) / (log(high) - log(low));
        if (up < 0 || up > 1 + 1e-9) continue;
        int x = count > 1 ? (int)((double)i * (a.r.w - 1) / (count - 1)) : 0;
        int y = a.r.h - 1 - (int)lround(fmin(up, 1) * (a.r.h - 1));
        const ui_cell *c = &a.grid->cells[(a.r.y + y) * a.grid->w + a.r.x + x];
        bool other = c->ch != ' ' && c->ch != mark;
        ui_char(a, x, y, style, other ? '*' : mark);
    }
}

void look_map_draw(ui_area a, const look_map *m, bool mean, study_colours map, bool log_scale, heat_scale *scale) {
    int fine = ui_theme_depth() >= 256 && !a.grid->ascii ? 2 : 1, w = a.r.w, h = a.r.h * fine;
    if (w < 1 || h < 1 || !m->most) return;
    if (w > m->cols * 8) w = m->cols * 8; // small matrices as blocks, not as one stretched colour
    if (h > m->rows * 4 * fine) h = m->rows * 4 * fine;
    size_t n = (size_t)w * (size_t)h;
    float *tile = base_calloc(n, sizeof *tile);
    double *value = base_calloc(n, sizeof *value);
    look_shrink(m, mean, h, w, tile);
    for (size_t i = 0; i < n; i++) value[i] = tile[i];
    *scale = heat_scale_of(value, n, log_scale, map == STUDY_DIVERGING);
    for (int y = 0; y < (h + fine - 1) / fine; y++)
        for (int x = 0; x < w; x++) {
            double top = heat_share(scale, value[(y * fine) * w + x]);
            if (fine == 1) {
                heat_paint(a, x, y, map, top, 0);
                continue;
            }
            double low = y * 2 + 1 < h ? heat_share(scale, value[(y * 2 + 1) * w + x]) : NAN;
            ui_paint(a, x, y, 0x2580, isnan(top) ? -1 : study_colour(map, top),
                     isnan(low) ? -1 : study_colour(map, low));
        }
    free(tile);
    free(value);
}
