// The trade-off drawn: axes with ticks, intervals, the front as a staircase of what can be had, the budget's line, a
// crosshair on the selected run. Coordinates stay double until the last step.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/dots.h"
#include "ui/trade.h"

enum { MARKED = 150, WHISKERS = 60, LABELS = 10 }; // points with marks, with intervals; columns of the y axis

typedef struct plot {
    const trade_own *o;
    ui_area inner;
    ui_dots dots;
    bool ascii;
} plot;

static int dot_x(const plot *p, double v) {
    double at = trade_place(&p->o->x, v) * (p->inner.r.w * 2 - 1);
    return isfinite(at) ? (int)lround(fmax(-1e6, fmin(1e6, at))) : -1000000;
}
static int dot_y(const plot *p, double v) {
    double at = (1 - trade_place(&p->o->y, v)) * (p->inner.r.h * 4 - 1);
    return isfinite(at) ? (int)lround(fmax(-1e6, fmin(1e6, at))) : 1000000;
}
static bool in_sight(const plot *p, const trade_point *q) {
    int x = dot_x(p, q->x), y = dot_y(p, q->y);
    return x >= 0 && x < p->inner.r.w * 2 && y >= 0 && y < p->inner.r.h * 4;
}

// ---- axes --------------------------------------------------------------------------------------

static void tick_text(ui_as as, double v, double step, bool log, char *out, size_t size) {
    if (as != UI_AS_NUMBER) {
        ui_format(as, v, out, size);
    } else if (log) {
        snprintf(out, size, "%.4g", v);
    } else {
        int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
        if (digits > 9 || fabs(v) >= 1e9)
            snprintf(out, size, "%.6g", v);
        else
            snprintf(out, size, "%.*f", digits, fabs(v) < step * 1e-6 ? 0.0 : v);
    }
}

// In between two ticks more digits may be needed than bytes are told with.
static void x_text(const trade_own *o, double v, double step, char *out, size_t size) {
    if (o->bits)
        tick_text(UI_AS_NUMBER, v, step, o->x.log, out, size);
    else if (step >= 1e5 || v < 1e3 || step <= 0)
        ui_format(UI_AS_BYTES, v, out, size);
    else { // kB with as many digits as the steps need
        int digits = step >= 1e3 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
        snprintf(out, size, "%.*f kB", digits, v / 1e3);
    }
}

static void draw_y_axis(ui_area a, const plot *p) {
    double ticks[64];
    const trade_own *o = p->o;
    int left = p->inner.r.x - a.r.x, count = trade_ticks(&o->y, p->inner.r.h / 3 + 1, ticks, 64), before = -2;
    for (int y = 0; y < p->inner.r.h; y++) ui_char(a, left - 1, 1 + y, UI_RULE, 0x2502);
    double step = count > 1 ? fabs(ticks[1] - ticks[0]) : 1;
    for (int i = count - 1; i >= 0; i--) {
        int at = dot_y(p, ticks[i]), y = at / 4;
        if (at < 0 || y >= p->inner.r.h || y == before) continue;
        char text[32];
        tick_text(UI_AS_NUMBER, ticks[i], step, o->y.log && o->y.high >= o->y.low * 3, text, sizeof text);
        ui_fit(a, 0, 1 + y, left - 2, UI_RIGHT, UI_DIM, text);
        ui_char(a, left - 1, 1 + y, UI_RULE, 0x2524);
        before = y;
    }
}

static void draw_x_axis(ui_area a, const plot *p) {
    double ticks[64];
    const trade_own *o = p->o;
    int left = p->inner.r.x - a.r.x, y = 1 + p->inner.r.h, end = 0;
    int count = trade_ticks(&o->x, p->inner.r.w / 12 + 1, ticks, 64);
    ui_char(a, left - 1, y, UI_RULE, 0x2514);
    for (int x = 0; x < p->inner.r.w; x++) ui_char(a, left + x, y, UI_RULE, 0x2500);
    double step = count > 1 ? ticks[1] - ticks[0] : 0;
    for (int i = 0; i < count; i++) {
        int at = dot_x(p, ticks[i]), x = left + at / 2;
        if (at < 0 || x >= left + p->inner.r.w) continue;
        char text[32];
        x_text(o, ticks[i], step, text, sizeof text);
        int width = base_columns(text), from = x - width / 2;
        ui_char(a, x, y, UI_RULE, 0x252C);
        if (from < end || from < 0 || from + width > a.r.w) continue;
        ui_put(a, from, y + 1, UI_DIM, text);
        end = from + width + 1;
    }
}

// ---- what is drawn with dots -------------------------------------------------------------------

static void whisker(plot *p, const trade_point *q, ui_style style) {
    if (!isfinite(q->low) || !isfinite(q->high)) return;
    int x = dot_x(p, q->x), top = dot_y(p, q->high), bottom = dot_y(p, q->low);
    if (p->o->y_log && q->low <= 0) bottom = p->inner.r.h * 4;
    ui_dots_line(&p->dots, x, top, x, bottom, style);
    ui_dots_line(&p->dots, x - 1, top, x + 1, top, style);
    ui_dots_line(&p->dots, x - 1, bottom, x + 1, bottom, style);
}

// From a point of the front on, its y can be had at every larger size: a staircase.
static void draw_front(plot *p) {
    const trade_own *o = p->o;
    const trade_point *last = NULL;
    for (int i = 0; i < o->count; i++) {
        const trade_point *q = &o->points[i];
        if (!q->front || (last && q->x == last->x)) continue;
        if (last) {
            int x = dot_x(p, q->x), y = dot_y(p, last->y);
            ui_dots_line(&p->dots, dot_x(p, last->x), y, x, y, UI_GOOD);
            ui_dots_line(&p->dots, x, y, x, dot_y(p, q->y), UI_GOOD);
        }
        last = q;
    }
    if (last)
        ui_dots_line(&p->dots, dot_x(p, last->x), dot_y(p, last->y), p->inner.r.w * 2, dot_y(p, last->y), UI_GOOD);
}

static void draw_dots(plot *p, const trade_point *selected, const trade_point *base) {
    const trade_own *o = p->o;
    int y = dot_y(p, o->before), many = o->count > WHISKERS;
    if (isfinite(o->before) && y >= 0)
        for (int x = 0; x < p->inner.r.w * 2; x += 4) ui_dot(&p->dots, x, y, UI_DIM); // the original
    for (int i = 0; i < o->count; i++) {
        const trade_point *q = &o->points[i];
        if (!in_sight(p, q)) continue;
        if (o->count > MARKED) ui_dot(&p->dots, dot_x(p, q->x), dot_y(p, q->y), UI_ACCENT);
        if (!many || q->front || q == selected || q == base) whisker(p, q, q->front ? UI_GOOD : UI_DIM);
    }
    draw_front(p);
    if (isfinite(o->budget)) {
        int x = dot_x(p, o->budget);
        for (int k = 0; k < p->inner.r.h * 4; k++)
            if (k % 4 != 3) ui_dot(&p->dots, x, k, UI_WARN);
    }
    if (selected) { // the crosshair
        int cx = dot_x(p, selected->x), cy = dot_y(p, selected->y);
        for (int k = 0; k < p->inner.r.w * 2; k += 2) ui_dot(&p->dots, k, cy, UI_STRONG);
        for (int k = 0; k < p->inner.r.h * 4; k += 2) ui_dot(&p->dots, cx, k, UI_STRONG);
    }
}

// ---- marks -------------------------------------------------------------------------------------

static void draw_mark(const plot *p, const trade_point *q, const trade_point *base, bool here, const char *name) {
    if (!in_sight(p, q)) return;
    int x = dot_x(p, q->x) / 2, y = dot_y(p, q->y) / 4;
    uint32_t mark = q == base ? 0x25C6 : q->session ? 0x25B2 : q->front ? 0x25CF : 0x25CB;
    ui_char(p->inner, x, y, q == base ? UI_WARN : q->front ? UI_GOOD : UI_ACCENT, mark);
    if (here) ui_reverse(p->inner, x, y, 1);
    if (!name) return;
    int width = base_columns(name), at = x + 2 + width <= p->inner.r.w ? x + 2 : x - 1 - width;
    if (here) ui_put(p->inner, at, y, UI_STRONG, name);
}

static void draw_marks(const plot *p, const past_own *past, const trade_point *selected, const trade_point *base) {
    const trade_own *o = p->o;
    for (int pass = 0; pass < 2; pass++) // the front over the others
        for (int i = 0; i < o->count; i++) {
            const trade_point *q = &o->points[i];
            if (q->front == (pass == 1) && o->count <= MARKED) draw_mark(p, q, base, false, NULL);
        }
    if (base) draw_mark(p, base, base, false, NULL);
    if (selected && selected->index < past->count) draw_mark(p, selected, base, true, past->all[selected->index].name);
}

static void draw_legend(ui_area a, const trade_own *o) {
    char y[64], text[300];
    static const struct {
        const char *metric, *title;
    } titles[] = {{"top1", "top-1, %"}, {"perplexity", "perplexity, less is better"}, {"mse", "mse, less is better"}};
    snprintf(y, sizeof y, "%s", o->metric[0] ? o->metric : "metric");
    for (int i = 0; i < 3; i++)
        if (strcmp(o->metric, titles[i].metric) == 0) snprintf(y, sizeof y, "%s", titles[i].title);
    int n = snprintf(text, sizeof text, "%s%s against %s%s", o->kl ? "KL, nats, less is better" : y,
                     o->y_log ? " (log)" : "", o->bits ? "bits a weight" : "bytes", o->x_log ? " (log)" : "");
    size_t used = n > 0 ? (size_t)n : 0;
    if (o->unmeasured)
        used += (size_t)snprintf(text + used, sizeof text - used, "; %d without these figures", o->unmeasured);
    if (o->others && used < sizeof text)
        used += (size_t)snprintf(text + used, sizeof text - used, "; %d of other content or metric", o->others);
    int end = ui_fit(a, 0, 0, base_columns(text) < a.r.w ? base_columns(text) : a.r.w, UI_LEFT, UI_DIM, text);
    static const char *const marks[] = {"\xe2\x97\x8f front", "\xe2\x97\x8b other", "\xe2\x96\xb2 this session",
                                        "\xe2\x97\x86 base"};
    static const ui_style styles[] = {UI_GOOD, UI_ACCENT, UI_ACCENT, UI_WARN};
    for (int i = 0; i < 4; i++) {
        if (end + 2 + base_columns(marks[i]) > a.r.w) return;
        end = ui_put(a, end + 2, 0, styles[i], marks[i]);
    }
}

void trade_draw(ui_app *app, ui_area a, const ui_look *look) {
    trade_own *o = trade_of(&app->state);
    past_own *past = past_of(&app->state);
    plot p = {.o = o, .inner = ui_sub(a, LABELS + 1, 1, a.r.w - LABELS - 1, a.r.h - 3), .ascii = a.grid->ascii};
    o->inner =
        (ui_rect){p.inner.r.x - app->drawing->inside.x, p.inner.r.y - app->drawing->inside.y, p.inner.r.w, p.inner.r.h};
    draw_legend(a, o);
    if (p.inner.r.w < 10 || p.inner.r.h < 4) {
        ui_wrap(ui_sub(a, 0, 1, a.r.w, a.r.h - 1), 0, UI_DIM, "More room is needed: z shows this panel alone.");
        return;
    }
    ui_dots_open(&p.dots, p.inner);
    draw_y_axis(a, &p);
    draw_x_axis(a, &p);
    const trade_point *selected = trade_selected(o), *base = NULL;
    for (int i = 0; i < o->count; i++)
        if (past->base && o->points[i].key == past->base) base = &o->points[i];
    draw_dots(&p, selected, base);
    ui_dots_send(&p.dots, a.grid->ascii ? 'a' : look->dots);
    draw_marks(&p, past, selected, base);
    if (!o->count)
        ui_wrap(ui_sub(p.inner, 1, 1, p.inner.r.w - 2, p.inner.r.h - 2), 0, UI_DIM,
                past->loading    ? "Reading the history..."
                : past->error[0] ? past->error
                : o->filter[0]   ? "No run matches; f changes the filter."
                                 : "No runs of this model with figures yet: each finished run that measures the model "
                                   "is a point here; m shows those of all models.");
    ui_dots_close(&p.dots);
}
