// The Pareto front of points with a cost and a figure, and its chart: every point with its interval, the front drawn
// as the step line below which (or above which) nothing was found. Also points against a line of equal values.
#include "study/svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 760, HEIGHT = 470, LEFT = 76, RIGHT = 20, TOP = 52, BOTTOM = 54, MOST_LABELS = 24 };

typedef struct ranked {
    const study_dot *dot;
    size_t place;
    bool higher;
} ranked;

// By cost, of equal cost the better figure first, then the order given.
static int by_cost(const void *left, const void *right) {
    const ranked *a = left, *b = right;
    if (a->dot->x != b->dot->x) return a->dot->x < b->dot->x ? -1 : 1;
    if (a->dot->y != b->dot->y) return (a->dot->y > b->dot->y) == a->higher ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

static ranked *rank_dots(const study_dot *dots, size_t count, bool higher, size_t *kept) {
    ranked *order = base_calloc(count + 1, sizeof *order);
    *kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(dots[i].x) && !isnan(dots[i].y)) order[(*kept)++] = (ranked){&dots[i], i, higher};
    qsort(order, *kept, sizeof *order, by_cost);
    return order;
}

void study_front(study_dot *dots, size_t count, bool higher) {
    size_t kept;
    for (size_t i = 0; i < count; i++) dots[i].front = false;
    ranked *order = rank_dots(dots, count, higher, &kept);
    const study_dot *last = NULL; // the front's point before
    for (size_t i = 0; i < kept; i++) {
        const study_dot *d = order[i].dot;
        bool better = !last || (higher ? d->y > last->y : d->y < last->y);
        bool tie = last && d->x == last->x && d->y == last->y;
        if (!better && !tie) continue;
        dots[order[i].place].front = true;
        last = d;
    }
    free(order);
}

// An interval that reaches a thousand times farther than the points would leave nothing else to see.
static void limits(const study_scatter *s, double x[2], double y[2]) {
    x[0] = y[0] = INFINITY;
    x[1] = y[1] = -INFINITY;
    for (size_t i = 0; i < s->count; i++) {
        const study_dot *d = &s->dots[i];
        if (!isfinite(d->x) || !isfinite(d->y)) continue;
        x[0] = fmin(x[0], d->x);
        x[1] = fmax(x[1], d->x);
        y[0] = fmin(y[0], isfinite(d->low) && !(s->y_log && d->low <= 0) ? fmin(d->low, d->y) : d->y);
        y[1] = fmax(y[1], isfinite(d->high) ? fmax(d->high, d->y) : d->y);
    }
}

static void draw_front(base_buf *b, const study_scatter *s, const svg_axis *x, const svg_axis *y) {
    size_t kept, drawn = 0;
    ranked *order = rank_dots(s->dots, s->count, s->higher, &kept);
    for (size_t i = 0; i < kept; i++) {
        const study_dot *d = order[i].dot;
        if (!d->front || !isfinite(d->x) || !isfinite(d->y)) continue;
        double px = svg_axis_at(x, d->x), py = svg_axis_at(y, d->y);
        if (drawn++)
            base_buf_printf(b, " H%.1f V%.1f", px, py);
        else
            base_buf_printf(b, "<path fill=\"none\" stroke=\"" SVG_RED "\" stroke-width=\"1.5\" d=\"M%.1f %.1f", px,
                            py);
    }
    if (drawn) base_buf_printf(b, " H%.1f\"/>\n", x->to);
    free(order);
}

static void draw_dot(base_buf *b, const study_dot *d, const svg_axis *x, const svg_axis *y) {
    double px = svg_axis_at(x, d->x), py = svg_axis_at(y, d->y);
    const char *colour = d->front ? SVG_RED : SVG_BLUE;
    base_buf_puts(b, "<g><title>");
    svg_escape(b, d->label ? d->label : "");
    base_buf_puts(b, "</title>\n");
    if (isfinite(d->low) && isfinite(d->high)) {
        double low = svg_axis_at(y, d->low), high = svg_axis_at(y, d->high);
        base_buf_printf(
            b,
            "<path d=\"M%.1f %.1f V%.1f M%.1f %.1f h6 M%.1f %.1f h6\" stroke=\"%s\" stroke-opacity=\"0.55\" "
            "fill=\"none\"/>",
            px, low, high, px - 3, low, px - 3, high, colour);
    }
    base_buf_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/></g>\n", px, py, d->front ? "4.5" : "3.5",
                    colour);
}

typedef struct box {
    double left, right, top, bottom;
} box;

static bool overlaps(const box *a, const box *placed, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (a->left < placed[i].right && placed[i].left < a->right && a->top < placed[i].bottom &&
            placed[i].top < a->bottom)
            return true;
    return false;
}

static void draw_equal(base_buf *b, const svg_axis *x, const svg_axis *y) {
    base_buf_printf(b, "<path d=\"M%.1f %.1f L%.1f %.1f\" stroke=\"" SVG_RED "\" stroke-dasharray=\"4 3\"/>\n", x->from,
                    y->from, x->to, y->to);
}

// Names of the front's points (of all, where there is none) where there is room beside them; the others are told by
// their <title> alone.
static void draw_labels(base_buf *b, const study_scatter *s, const svg_axis *x, const svg_axis *y) {
    static const double offsets[] = {15, -8, 27, -20, 39, -32};
    enum { SIZE = 10 };
    box placed[MOST_LABELS];
    size_t count = 0, kept;
    ranked *order = rank_dots(s->dots, s->count, s->higher, &kept);
    for (size_t i = 0; i < kept && count < MOST_LABELS; i++) {
        const study_dot *d = order[i].dot;
        if ((!d->front && !s->equal) || !d->label || !isfinite(d->x) || !isfinite(d->y)) continue;
        double px = svg_axis_at(x, d->x), py = svg_axis_at(y, d->y);
        double width = 0.58 * SIZE * base_columns(d->label); // of common sans-serif letters
        for (size_t k = 0; k < 2 * sizeof offsets / sizeof *offsets; k++) {
            bool right = k % 2 == 0;
            double left = right ? px + 7 : px - 7 - width, base = py + offsets[k / 2];
            box at = {left, left + width, base - SIZE, base + 2};
            if (at.left < x->from + 2 || at.right > x->to || at.top < y->to || at.bottom > y->from - 2) continue;
            if (overlaps(&at, placed, count)) continue;
            placed[count++] = at;
            svg_text(b, right ? px + 7 : px - 7, base, right ? "start" : "end", SIZE, SVG_INK, d->label);
            break;
        }
    }
    free(order);
}

char *study_scatter_svg(const study_scatter *s) {
    base_buf b = {0};
    double xs[2], ys[2];
    limits(s, xs, ys);
    if (s->equal) {
        xs[0] = ys[0] = fmin(xs[0], ys[0]);
        xs[1] = ys[1] = fmax(xs[1], ys[1]);
    }
    svg_axis x = {.label = s->x_label, .log = xs[0] > 0 && xs[1] / xs[0] > 20, .from = LEFT, .to = WIDTH - RIGHT};
    svg_axis y = {.label = s->y_label, .log = s->y_log && ys[0] > 0, .from = HEIGHT - BOTTOM, .to = TOP};
    if (s->equal) x.log = y.log;
    svg_axis_fit(&x, xs[0], xs[1]);
    svg_axis_fit(&y, ys[0], ys[1]);
    svg_begin(&b, WIDTH, HEIGHT, s->title);
    svg_text(&b, LEFT, 22, "start", 15, SVG_INK, s->title);
    svg_text(&b, LEFT, 40, "start", 11, SVG_GREY, s->note ? s->note : "");
    svg_axes(&b, &x, &y);
    if (s->equal)
        draw_equal(&b, &x, &y);
    else
        draw_front(&b, s, &x, &y);
    for (int front = 0; front < 2; front++)
        for (size_t i = 0; i < s->count; i++)
            if (s->dots[i].front == front && isfinite(s->dots[i].x) && isfinite(s->dots[i].y))
                draw_dot(&b, &s->dots[i], &x, &y);
    draw_labels(&b, s, &x, &y);
    svg_end(&b);
    return b.text;
}
