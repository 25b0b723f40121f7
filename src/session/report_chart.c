// Charts of a report: what a smaller file costs, which layers hurt, and what theory expects against what came out.
#include "session/report.h"

#include "study/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- points over two axes ----------------------------------------------------------------------

typedef struct point {
    double x, y, low, high; // low..high: interval of y, NaN: none
    char label[96];
    bool best; // on the front
} point;
typedef struct chart {
    const char *title, *x_name, *y_name;
    point *points;
    size_t count;
    bool log_x, log_y, y_rises; // y_rises: more is better
    bool front, diagonal;       // join the best ones; draw y = x
} chart;

enum { WIDTH = 760, HEIGHT = 420, LEFT = 84, RIGHT = 30, TOP = 40, BOTTOM = 56 };

static double scaled(double v, bool by_log) {
    return by_log ? log10(v) : v;
}

typedef struct axis {
    double low, high;
    bool log;
} axis;

static void stretch(axis *a, double v) {
    if (!isfinite(v) || (a->log && v <= 0)) return;
    v = scaled(v, a->log);
    a->low = fmin(a->low, v);
    a->high = fmax(a->high, v);
}

static void widen(axis *a) {
    double by = a->high > a->low ? 0.06 * (a->high - a->low) : fmax(fabs(a->high) * 0.05, 0.5);
    a->low -= by;
    a->high += by;
}

static double across(const axis *a, double v) {
    return LEFT + (scaled(v, a->log) - a->low) / (a->high - a->low) * (WIDTH - LEFT - RIGHT);
}
static double down(const axis *a, double v) {
    return HEIGHT - BOTTOM - (scaled(v, a->log) - a->low) / (a->high - a->low) * (HEIGHT - TOP - BOTTOM);
}

static void put_grid(base_buf *out, const chart *c, const axis *x, const axis *y) {
    enum { LINES = 5 };
    for (int i = 0; i < LINES; i++) {
        double fx = x->low + (x->high - x->low) * (i + 0.5) / LINES,
               fy = y->low + (y->high - y->low) * (i + 0.5) / LINES;
        double vx = x->log ? pow(10, fx) : fx, vy = y->log ? pow(10, fy) : fy;
        base_buf_printf(out,
                        "<path d=\"M%.1f %dV%d\" stroke=\"#e4e4e4\"/><text text-anchor=\"middle\" x=\"%.1f\" "
                        "y=\"%d\">%.4g</text>\n<path d=\"M%d %.1fH%d\" stroke=\"#e4e4e4\"/><text text-anchor=\"end\" "
                        "x=\"%d\" y=\"%.1f\">%.4g</text>\n",
                        across(x, vx), TOP, HEIGHT - BOTTOM, across(x, vx), HEIGHT - BOTTOM + 16, vx, LEFT, down(y, vy),
                        WIDTH - RIGHT, LEFT - 6, down(y, vy) + 4, vy);
    }
    base_buf_printf(out,
                    "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#555\"/>\n<text text-anchor=\"middle\" x=\"%d\" "
                    "y=\"%d\">",
                    LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16);
    svg_lines(out, c->x_name);
    base_buf_printf(out, "</text>\n<text x=\"8\" y=\"%d\">", TOP - 8);
    svg_lines(out, c->y_name);
    base_buf_puts(out, "</text>\n");
}

static int by_x(const void *a, const void *b) {
    const point *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->y > q->y) - (p->y < q->y);
}

// The front: going up in bytes, each point that beats all smaller ones; on equal bytes the better one counts.
static void mark_front(chart *c) {
    qsort(c->points, c->count, sizeof *c->points, by_x);
    for (size_t i = 0; i < c->count; i++) {
        c->points[i].best = true;
        for (size_t k = 0; k < c->count && c->points[i].best; k++) {
            double gain = c->y_rises ? c->points[k].y - c->points[i].y : c->points[i].y - c->points[k].y;
            if (k != i && c->points[k].x <= c->points[i].x &&
                (gain > 0 || (gain == 0 && c->points[k].x < c->points[i].x)))
                c->points[i].best = false;
        }
    }
}

static void put_point(base_buf *out, const chart *c, const point *p, const axis *x, const axis *y) {
    double px = across(x, p->x), py = down(y, p->y);
    if (isfinite(p->low) && isfinite(p->high))
        base_buf_printf(out, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#888\"/>", px, down(y, p->low), down(y, p->high));
    base_buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"><title>", px, py,
                    p->best || !c->front ? "#1f5fa8" : "#b0b0b0");
    svg_lines(out, p->label);
    base_buf_printf(out, ": %.6g, %.6g</title></circle>", p->x, p->y);
    if (c->count <= 40) {
        char cut[28];
        base_clean(cut, sizeof cut, p->label);
        base_buf_printf(out, "<text font-size=\"10\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">",
                        px > WIDTH * 0.75 ? "end" : "start", px + (px > WIDTH * 0.75 ? -7 : 7), py - 5);
        svg_lines(out, cut);
        base_buf_puts(out, "</text>");
    }
    base_buf_puts(out, "\n");
}

static void put_chart(base_buf *out, chart *c) {
    axis x = {INFINITY, -INFINITY, c->log_x}, y = {INFINITY, -INFINITY, c->log_y};
    if (!c->count) return;
    for (size_t i = 0; i < c->count; i++) {
        stretch(&x, c->points[i].x);
        stretch(&y, c->points[i].y);
        stretch(&y, c->points[i].low);
        stretch(&y, c->points[i].high);
    }
    if (c->diagonal) {
        x.low = y.low = fmin(x.low, y.low);
        x.high = y.high = fmax(x.high, y.high);
    }
    widen(&x);
    widen(&y);
    base_buf_printf(out,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" viewBox=\"0 0 "
                    "%d %d\" font-family=\"sans-serif\" font-size=\"11\">\n<text font-size=\"14\" x=\"8\" y=\"18\">",
                    WIDTH, HEIGHT, WIDTH, HEIGHT);
    svg_lines(out, c->title);
    base_buf_puts(out, "</text>\n");
    put_grid(out, c, &x, &y);
    if (c->diagonal)
        base_buf_printf(out, "<path d=\"M%d %dL%d %d\" stroke=\"#c44\" stroke-dasharray=\"4 3\"/>\n", LEFT,
                        HEIGHT - BOTTOM, WIDTH - RIGHT, TOP);
    if (c->front) {
        mark_front(c);
        base_buf_puts(out, "<path fill=\"none\" stroke=\"#1f5fa8\" d=\"");
        bool first = true;
        for (size_t i = 0; i < c->count; i++) {
            if (!c->points[i].best) continue;
            base_buf_printf(out, "%c%.1f %.1f", first ? 'M' : 'L', across(&x, c->points[i].x),
                            down(&y, c->points[i].y));
            first = false;
        }
        base_buf_puts(out, "\"/>\n");
    }
    for (size_t i = 0; i < c->count; i++) put_point(out, c, &c->points[i], &x, &y);
    base_buf_puts(out, "</svg>\n");
}

// ---- size against the metric -------------------------------------------------------------------

// Every measured row with the metric and the data of the first one that has any; others cannot share the axis.
void report_size_chart(base_buf *out, const session_recorded *runs, int count) {
    const base_model_row *like = NULL;
    for (int i = 0; i < count && !like; i++) like = session_recorded_figure(&runs[i]);
    if (!like) return;
    size_t most = 0, left_out = 0;
    for (int i = 0; i < count; i++) most += runs[i].model_count;
    chart c = {.title = "Size and accuracy",
               .x_name = "bytes of the file, header included",
               .y_rises = session_metric_rises(like->metric),
               .log_x = true,
               .front = true};
    c.points = base_calloc(most + 1, sizeof *c.points);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < runs[i].model_count; k++) {
            const base_model_row *m = &runs[i].models[k];
            if (!isfinite(m->value) || m->bytes <= 0) continue;
            if (strcmp(m->metric, like->metric) != 0 || strcmp(m->data, like->data) != 0) {
                left_out++;
                continue;
            }
            point *p = &c.points[c.count++];
            *p = (point){(double)(m->bytes + m->header_bytes), m->value, m->low, m->high, "", false};
            snprintf(p->label, sizeof p->label, "%lld %.24s %.48s", (long long)runs[i].record.id, m->label,
                     runs[i].record.recipe);
        }
    char y_name[256];
    snprintf(y_name, sizeof y_name, "%s on %s, with 95 %% intervals (%s is better)", like->metric, like->data,
             c.y_rises ? "more" : "less");
    c.y_name = y_name;
    put_chart(out, &c);
    if (left_out) base_buf_printf(out, "<p>%zu figures of another metric or other data are not drawn.</p>\n", left_out);
    free(c.points);
}

// ---- errors of layers --------------------------------------------------------------------------

enum { MOST_ROWS = 256, MOST_COLS = 32 };

static double error_of(const session_recorded *r, const char *layer) {
    for (size_t i = r->layer_count; i-- > 0;)
        if (strcmp(r->layers[i].name, layer) == 0)
            return isfinite(r->layers[i].output_error) ? r->layers[i].output_error : r->layers[i].weight_error;
    return NAN;
}

static int layer_names(const session_recorded *runs, int count, const char **names) {
    int n = 0;
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < runs[i].layer_count && n < MOST_ROWS; k++) {
            bool known = false;
            for (int j = 0; j < n && !known; j++) known = strcmp(names[j], runs[i].layers[k].name) == 0;
            if (!known) names[n++] = runs[i].layers[k].name;
        }
    return n;
}

static void heat_of_runs(base_buf *out, const session_recorded *runs, int count) {
    const char *names[MOST_ROWS], *columns[MOST_COLS];
    char text[MOST_COLS][32];
    int cols = count < MOST_COLS ? count : MOST_COLS, rows = layer_names(runs, cols, names);
    double *value = base_calloc((size_t)(rows * cols) + 1, sizeof *value);
    for (int c = 0; c < cols; c++) {
        snprintf(text[c], sizeof text[c], "%lld %.20s", (long long)runs[c].record.id, runs[c].record.recipe);
        columns[c] = text[c];
        for (int r = 0; r < rows; r++) value[r * cols + c] = error_of(&runs[c], names[r]);
    }
    svg_heat h = {.title = "Relative output error of each layer (weight error where no outputs were measured)",
                  .rows = rows,
                  .cols = cols,
                  .row = names,
                  .col = columns,
                  .value = value,
                  .log = true};
    svg_heat_put(out, &h);
    free(value);
}

static void heat_of_figures(base_buf *out, const session_recorded *run) {
    static const char *const columns[] = {"weight", "output", "held-out", "arriving", "arriv. held"};
    enum { COLS = 5 };
    int rows = run->layer_count < MOST_ROWS ? (int)run->layer_count : MOST_ROWS;
    const char *names[MOST_ROWS];
    double *value = base_calloc((size_t)(rows * COLS) + 1, sizeof *value);
    for (int r = 0; r < rows; r++) {
        const base_layer_row *l = &run->layers[r];
        const double row[COLS] = {l->weight_error, l->output_error, l->output_error_held, l->chained_error,
                                  l->chained_error_held};
        names[r] = l->name;
        memcpy(value + r * COLS, row, sizeof row);
    }
    svg_heat h = {.title = "Relative errors of each layer",
                  .rows = rows,
                  .cols = COLS,
                  .row = names,
                  .col = columns,
                  .value = value,
                  .log = true};
    svg_heat_put(out, &h);
    free(value);
}

void report_heat(base_buf *out, const session_recorded *runs, int count) {
    if (count == 1)
        heat_of_figures(out, runs);
    else
        heat_of_runs(out, runs, count);
}

// ---- the bound ---------------------------------------------------------------------------------

void report_bound_chart(base_buf *out, const session_recorded *run) {
    chart c = {.title = "Weight error: what independent Gaussian weights allow, and what came out",
               .x_name = "bound 2^(-2 bits) at the layer's stored bits",
               .y_name = "relative weight error (the line: equal)",
               .log_x = true,
               .log_y = true,
               .diagonal = true};
    c.points = base_calloc(run->layer_count + 1, sizeof *c.points);
    for (size_t i = 0; i < run->layer_count; i++) {
        const base_layer_row *l = &run->layers[i];
        if (!(l->weight_error > 0) || !(l->d_of_r > 1e-15) || !isfinite(l->weight_error) || !isfinite(l->d_of_r))
            continue;
        point *p = &c.points[c.count++];
        *p = (point){l->d_of_r, l->weight_error, NAN, NAN, "", false};
        base_clean(p->label, sizeof p->label, l->name);
    }
    put_chart(out, &c);
    free(c.points);
}
