// A scatter of the rows of a source: axes with round ticks and units, 95 % intervals as whiskers, a mark for each run
// that stays its own, a hollow one for the original. Coordinates stay double until the last step; what is not a number
// is skipped and counted.
#include "ui/dots.h"
#include "ui/widget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHART_POINTS = 512 };

typedef struct point {
    double x, y, low, high;
    int row; // -1: the original
} point;

typedef struct axis {
    double low, high;
    bool log;
} axis;

typedef struct plot {
    ui_area inner; // where points go
    axis x, y;
    ui_dots dots;
} plot;

uint32_t ui_chart_mark(int index) {
    static const uint32_t marks[UI_MARK_COUNT] = {0x25CF, 0x25B2, 0x25A0, 0x25C6, 0x25BC, 0x2605};
    return marks[index % UI_MARK_COUNT];
}

int ui_chart_ticks(double low, double high, int wanted, double *ticks, int limit) {
    if (!(high > low) || wanted < 1 || !isfinite(low) || !isfinite(high)) return 0;
    double step = (high - low) / wanted, ten = pow(10, floor(log10(step)));
    step = step / ten <= 1.0001 ? ten : step / ten <= 2.0001 ? 2 * ten : step / ten <= 5.0001 ? 5 * ten : 10 * ten;
    int count = 0;
    for (double n = ceil(low / step - 1e-9); n * step <= high + step * 1e-9 && count < limit; n++)
        ticks[count++] = n * step + 0.0; // no negative zero
    return count;
}

static double place(const axis *a, double v) {
    if (a->log) return (log(v) - log(a->low)) / (log(a->high) - log(a->low));
    return (v - a->low) / (a->high - a->low);
}

// ---- what is drawn -----------------------------------------------------------------------------

static double number_at(const ui_look *look, const ui_chart *c, int row, const base_field *f) {
    double v = NAN;
    if (f) ui_source_number(c->source, look->state, row, f, &v);
    return v;
}

// Rows that are points, and the original first where a row tells of it.
static int collect(const ui_look *look, const ui_chart *c, point *points, int *skipped) {
    int count = 0, rows = c->source->count(look->state);
    for (int i = 0; i < rows && c->base_x && c->base_y && count == 0; i++) {
        double x = number_at(look, c, i, c->base_x), y = number_at(look, c, i, c->base_y);
        if (isfinite(x) && isfinite(y) && x > 0) points[count++] = (point){x, y, NAN, NAN, -1};
    }
    for (int i = 0; i < rows && count < CHART_POINTS; i++) {
        point p = {number_at(look, c, i, c->x), number_at(look, c, i, c->y), number_at(look, c, i, c->low),
                   number_at(look, c, i, c->high), i};
        if (isfinite(p.x) && isfinite(p.y) && p.x > 0)
            points[count++] = p;
        else
            (*skipped)++;
    }
    return count;
}

static void widen(axis *a, double v) {
    if (!isfinite(v) || (a->log && v <= 0)) return;
    if (v < a->low) a->low = v;
    if (v > a->high) a->high = v;
}

// A little air on both sides; equal values get a range of their own.
static void finish(axis *a, bool from_zero) {
    if (a->log) {
        double air = a->high > a->low ? pow(a->high / a->low, 0.06) : 1.5;
        a->low /= air;
        a->high *= air;
        return;
    }
    if (from_zero && a->high > 0) a->low = 0;
    double span = a->high - a->low;
    if (!(span > 0)) span = fabs(a->high) > 0 ? fabs(a->high) * 0.1 : 1;
    a->high += span * 0.08;
    if (!from_zero) a->low -= span * 0.08;
}

static void ranges(plot *p, const ui_chart *c, const point *points, int count) {
    p->x = (axis){INFINITY, -INFINITY, c->x_log};
    p->y = (axis){INFINITY, -INFINITY, false};
    for (int i = 0; i < count; i++) {
        widen(&p->x, points[i].x);
        widen(&p->y, points[i].y);
        widen(&p->y, points[i].low);
        widen(&p->y, points[i].high);
    }
    finish(&p->x, !c->x_log);
    finish(&p->y, false);
}

// ---- dots --------------------------------------------------------------------------------------

static void dot(plot *p, int dx, int dy, ui_style style) {
    ui_dot(&p->dots, dx, dy, style);
}

static int dot_x(const plot *p, double v) {
    return (int)lround(place(&p->x, v) * (p->inner.r.w * 2 - 1));
}
static int dot_y(const plot *p, double v) {
    return (int)lround((1 - place(&p->y, v)) * (p->inner.r.h * 4 - 1));
}

static void whisker(plot *p, const point *q, ui_style style) {
    if (!isfinite(q->low) || !isfinite(q->high)) return;
    int x = dot_x(p, q->x), top = dot_y(p, q->high), bottom = dot_y(p, q->low);
    for (int y = top; y <= bottom; y++) dot(p, x, y, style);
    for (int i = -1; i <= 1; i++) {
        dot(p, x + i, top, style);
        dot(p, x + i, bottom, style);
    }
}

// The level of the original, as a dotted line to compare with.
static void level(plot *p, double v) {
    int y = dot_y(p, v);
    for (int x = 0; x < p->inner.r.w * 2; x += 4) dot(p, x, y, UI_DIM);
}

// ---- axes --------------------------------------------------------------------------------------

enum { Y_LABELS = 8 };

static void tick_text(ui_as as, double v, double step, char *out, size_t size) {
    if (as != UI_AS_NUMBER) {
        ui_format(as, v, out, size);
        return;
    }
    int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    snprintf(out, size, "%.*f", digits > 6 ? 6 : digits, fabs(v) < step * 1e-6 ? 0.0 : v);
}

static void y_axis(ui_area a, const plot *p, const ui_chart *c) {
    double ticks[32];
    int left = p->inner.r.x - a.r.x, count = ui_chart_ticks(p->y.low, p->y.high, p->inner.r.h / 3 + 1, ticks, 32);
    for (int y = 0; y < p->inner.r.h; y++) ui_char(a, left - 1, p->inner.r.y - a.r.y + y, UI_RULE, 0x2502);
    double step = count > 1 ? ticks[1] - ticks[0] : 1;
    int before = -2;
    for (int i = count - 1; i >= 0; i--) {
        int y = dot_y(p, ticks[i]) / 4;
        if (y < 0 || y >= p->inner.r.h || y == before) continue;
        char text[32];
        tick_text(c->y_as, ticks[i], step, text, sizeof text);
        ui_fit(a, 0, p->inner.r.y - a.r.y + y, left - 2, UI_RIGHT, UI_DIM, text);
        ui_char(a, left - 1, p->inner.r.y - a.r.y + y, UI_RULE, 0x2524);
        before = y;
    }
}

// Ticks of the x axis: round values, or on a logarithmic axis 1, 2 and 5 times the powers of ten.
static int x_ticks(const plot *p, double *ticks, int limit) {
    if (!p->x.log) return ui_chart_ticks(p->x.low, p->x.high, p->inner.r.w / 12 + 1, ticks, limit);
    int count = 0;
    for (double ten = pow(10, floor(log10(p->x.low))); ten <= p->x.high; ten *= 10)
        for (int m = 0; m < 3; m++) {
            double v = ten * (m == 0 ? 1 : m == 1 ? 2 : 5);
            if (v >= p->x.low && v <= p->x.high && count < limit) ticks[count++] = v;
        }
    return count;
}

static void x_axis(ui_area a, const plot *p, const ui_chart *c) {
    double ticks[32];
    int left = p->inner.r.x - a.r.x, y = p->inner.r.y - a.r.y + p->inner.r.h;
    ui_char(a, left - 1, y, UI_RULE, 0x2514);
    for (int x = 0; x < p->inner.r.w; x++) ui_char(a, left + x, y, UI_RULE, 0x2500);
    int count = x_ticks(p, ticks, 32), end = 0;
    double step = count > 1 ? ticks[1] - ticks[0] : 1;
    for (int i = 0; i < count; i++) {
        int x = left + dot_x(p, ticks[i]) / 2;
        char text[32];
        tick_text(c->x_as, ticks[i], step, text, sizeof text);
        int width = base_columns(text), at = x - width / 2;
        ui_char(a, x, y, UI_RULE, 0x252C);
        if (at < end || at < 0 || at + width > a.r.w) continue;
        ui_put(a, at, y + 1, UI_DIM, text);
        end = at + width + 1;
    }
}

// ---- the chart ---------------------------------------------------------------------------------

static void draw_points(const plot *p, const ui_look *look, const point *points, int count) {
    for (int i = 0; i < count; i++) {
        const point *q = &points[i];
        int x = dot_x(p, q->x) / 2, y = dot_y(p, q->y) / 4;
        if (q->row < 0) {
            ui_char(p->inner, x, y, UI_STRONG, 0x25CB);
            if (x >= 9) ui_put(p->inner, x - 9, y, UI_DIM, "original ");
            continue;
        }
        ui_style style = (ui_style)(UI_MARK + q->row % UI_MARK_COUNT);
        bool here = q->row == look->scroll->cursor;
        ui_char(p->inner, x, y, style, ui_chart_mark(q->row));
        char number[16];
        int width = snprintf(number, sizeof number, "%d", q->row + 1);
        int at = x + 1 + width <= p->inner.r.w ? x + 1 : x - width; // on the other side at the edge
        ui_put(p->inner, at, y, here ? UI_STRONG : UI_DIM, number);
        if (here) ui_reverse(p->inner, at < x ? at : x, y, width + 1);
    }
}

static void draw_legend(ui_area a, const ui_chart *c, int skipped) {
    char text[160];
    if (skipped)
        snprintf(text, sizeof text, "%s against %s%s (%d without figures)", c->y_title, c->x_title,
                 c->x_log ? ", log" : "", skipped);
    else
        snprintf(text, sizeof text, "%s against %s%s", c->y_title, c->x_title, c->x_log ? ", log" : "");
    ui_fit(a, 0, 0, a.r.w, UI_LEFT, UI_DIM, text);
}

void ui_chart_draw(ui_area a, const ui_look *look, const ui_chart *c) {
    point *points = base_calloc(CHART_POINTS + 1, sizeof *points);
    int skipped = 0, count = collect(look, c, points, &skipped);
    ui_scroll_fit(look->scroll, c->source->count(look->state), 1);
    draw_legend(a, c, skipped);
    plot p = {.inner = ui_sub(a, Y_LABELS + 1, 1, a.r.w - Y_LABELS - 1, a.r.h - 3)};
    if (count == 0) {
        ui_wrap(ui_sub(a, 0, 1, a.r.w, a.r.h - 1), 0, UI_DIM, "No figures yet: each finished run is a point here.");
    } else if (p.inner.r.w < 8 || p.inner.r.h < 3) {
        ui_wrap(ui_sub(a, 0, 1, a.r.w, a.r.h - 1), 0, UI_DIM, "More room is needed: z shows this panel alone.");
    } else {
        ranges(&p, c, points, count);
        ui_dots_open(&p.dots, p.inner);
        y_axis(a, &p, c);
        x_axis(a, &p, c);
        if (points[0].row < 0) level(&p, points[0].y);
        for (int i = 0; i < count; i++)
            if (points[i].row >= 0) whisker(&p, &points[i], (ui_style)(UI_MARK + points[i].row % UI_MARK_COUNT));
        ui_dots_send(&p.dots, a.grid->ascii ? 'a' : look->dots);
        draw_points(&p, look, points, count);
        ui_dots_close(&p.dots);
    }
    free(points);
}
