// Dots in cells: two by four in braille, upper and lower halves where braille cannot be shown.
#include "ui/dots.h"

#include <math.h>
#include <stdlib.h>

void ui_dots_open(ui_dots *d, ui_area area) {
    size_t cells = (size_t)(area.r.w > 0 ? area.r.w : 0) * (size_t)(area.r.h > 0 ? area.r.h : 0);
    d->area = area;
    d->bits = base_calloc(cells + 1, 2);
    d->style = d->bits + cells;
}

void ui_dots_close(ui_dots *d) {
    free(d->bits);
    *d = (ui_dots){0};
}

void ui_dot(ui_dots *d, int dx, int dy, ui_style style) {
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    int x = dx / 2, y = dy / 4;
    if (dx < 0 || dy < 0 || x >= d->area.r.w || y >= d->area.r.h) return;
    d->bits[y * d->area.r.w + x] |= bit[dy % 4][dx % 2];
    d->style[y * d->area.r.w + x] = (uint8_t)style;
}

// The part of a line's parameter 0..1 on the inner side of one edge: from + t * step >= 0.
static void clip(double from, double step, double *low, double *high) {
    if (step > 0)
        *low = fmax(*low, -from / step);
    else if (step < 0)
        *high = fmin(*high, -from / step);
    else if (from < 0)
        *high = -1;
}

void ui_dots_line(ui_dots *d, int x0, int y0, int x1, int y1, ui_style style) {
    // Liang and Barsky: what is far outside costs nothing.
    double low = 0, high = 1, dx = (double)x1 - x0, dy = (double)y1 - y0;
    clip(x0, dx, &low, &high);
    clip(d->area.r.w * 2 - 1 - x0, -dx, &low, &high);
    clip(y0, dy, &low, &high);
    clip(d->area.r.h * 4 - 1 - y0, -dy, &low, &high);
    if (!(low <= high)) return;
    double length = fmax(fabs(dx), fabs(dy)) * (high - low);
    int steps = length < 1 ? 1 : (int)length + 1;
    for (int i = 0; i <= steps; i++) {
        double t = low + (high - low) * i / steps;
        ui_dot(d, (int)lround(x0 + t * dx), (int)lround(y0 + t * dy), style);
    }
}

void ui_dots_send(const ui_dots *d, char glyphs) {
    for (int y = 0; y < d->area.r.h; y++)
        for (int x = 0; x < d->area.r.w; x++) {
            uint8_t b = d->bits[y * d->area.r.w + x];
            if (!b) continue;
            bool upper = b & 0x1B, lower = b & 0xE4;
            uint32_t ch = 0x2800u + b;
            if (glyphs == 'a') ch = upper && lower ? ':' : upper ? '\'' : '.';
            if (glyphs == 'l') ch = upper && lower ? 0x2502 : upper ? 0x2575 : 0x2577;
            ui_char(d->area, x, y, (ui_style)d->style[y * d->area.r.w + x], ch);
        }
}
