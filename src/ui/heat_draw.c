// The heat map on the screen: option names above, layers down, a cell a value with its sign of choice, sums at the
// right and below, the legend, and what the cursor is on in words.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/heat.h"
#include "ui/term.h"

typedef struct frame {
    ui_area a;
    const heat_look *h;
    const heat_table *t;
    heat_scale scale;
    int label, cell, shown;   // columns of names and of a cell; cells across
    int top, rows;            // first line of cells, how many
    bool sums, below, legend; // a column and a line of sums; the legend
    int detail;               // lines of words at the bottom
    const char *unit;
} frame;

enum { SUM = 9, LEAST_CELL = 3, BEST_CELL = 8, MOST_CELL = 11 };

static int longest_row(const heat_table *t) {
    int n = 5;
    for (int r = 0; r < t->rows; r++) {
        int w = base_columns(t->row[r]);
        if (w > n) n = w;
    }
    return n;
}

static int longest_col(const heat_table *t) {
    int n = 0;
    for (int c = 0; c < t->cols; c++) {
        int w = base_columns(t->col[c]);
        if (w > n) n = w;
    }
    return n;
}

static void fit_frame(frame *f) {
    const heat_table *t = f->t;
    int w = f->a.r.w, h = f->a.r.h;
    f->label = longest_row(t);
    int most = w / 3 > 8 ? w / 3 : 8;
    if (f->label > most) f->label = most;
    int room = w - f->label - 2, want = longest_col(t) + 2;
    f->sums = t->cols > 1 && room >= SUM + 4 * LEAST_CELL;
    if (f->sums) room -= SUM;
    if (want < BEST_CELL) want = BEST_CELL;
    if (want > MOST_CELL) want = MOST_CELL;
    f->cell = room / t->cols;
    if (f->cell > want) f->cell = want;
    // Numbers read better than all columns at once, as long as a few of them are seen.
    if (f->cell < LEAST_CELL) f->cell = LEAST_CELL;
    f->shown = room / f->cell;
    if (f->shown > t->cols) f->shown = t->cols;
    if (f->shown < 1) f->shown = 1;
    f->detail = h >= 10 ? 3 : h >= 6 ? 1 : 0;
    f->legend = h >= 8;
    f->below = h >= 9 && t->rows > 1 && f->cell > 5;
    f->top = 1;
    f->rows = h - f->top - f->below - f->legend - f->detail;
    if (f->rows < 1) f->rows = 1;
}

static void keep_in_sight(const frame *f) {
    int *col = f->h->col, *left = f->h->left;
    if (*col >= f->t->cols) *col = f->t->cols - 1;
    if (*col < 0) *col = 0;
    if (*left > *col) *left = *col;
    if (*left < *col - f->shown + 1) *left = *col - f->shown + 1;
    if (*left > f->t->cols - f->shown) *left = f->t->cols - f->shown;
    if (*left < 0) *left = 0;
}

static int cell_x(const frame *f, int c) {
    return f->label + 2 + (c - *f->h->left) * f->cell;
}

// Names of options; where some are out of sight, how many.
static void draw_head(const frame *f) {
    char text[24];
    const heat_look *h = f->h;
    int right = f->t->cols - *h->left - f->shown;
    ui_fit(f->a, 0, 0, f->label, UI_LEFT, UI_DIM, "layer");
    if (*h->left > 0) {
        snprintf(text, sizeof text, "\xe2\x80\xb9%d", *h->left);
        ui_fit(f->a, f->label - 3, 0, 4, UI_RIGHT, UI_WARN, text);
    }
    for (int i = 0; i < f->shown; i++) {
        int c = *h->left + i;
        bool fits = base_columns(f->t->col[c]) < f->cell; // names often differ at their ends
        ui_fit(f->a, cell_x(f, c), 0, f->cell - 1, fits ? UI_RIGHT : UI_LEFT_TAIL, c == *h->col ? UI_STRONG : UI_DIM,
               f->t->col[c]);
    }
    if (f->sums) ui_fit(f->a, f->a.r.w - SUM, 0, SUM, UI_RIGHT, UI_DIM, "sum");
    int x = cell_x(f, *h->left + f->shown);
    if (right > 0) {
        snprintf(text, sizeof text, "%d\xe2\x80\xba", right);
        ui_put(f->a, x, 0, UI_WARN, text);
    }
}

// A cell: the sign of choice, then its value, or a digit 0..9 of its place on the scale where that does not fit; few
// colours: a shade before it.
static void draw_cell(const frame *f, int y, int row, int c) {
    const heat_table *t = f->t;
    double v = t->value[row * t->cols + c], share = heat_share(&f->scale, v);
    bool shades = ui_theme_depth() < 256, chosen = t->choice[row] == c;
    int x = cell_x(f, c), wide = f->cell, room = wide - 1 - (shades ? 1 : 0);
    char text[24];
    if (isnan(v))
        snprintf(text, sizeof text, t->growing ? "\xc2\xb7" : "-");
    else if (room >= 4)
        heat_number(v, room - (wide > 5), text);
    else
        snprintf(text, sizeof text, "%d", (int)fmin(share * 10, 9));
    int n = base_columns(text), gap = wide > 5; // wide cells end in an empty column
    for (int i = 0; i < wide; i++) {
        int at = i - (wide - gap - n);
        uint32_t ch = ' ';
        if (at >= 0 && at < n && isnan(share)) {
            const char *p = text;
            ch = ui_next_char(&p);
        } else if (at >= 0 && at < n) {
            ch = (uint32_t)(unsigned char)text[at];
        }
        if (i == 0 && chosen) ch = f->a.grid->ascii ? (uint32_t)'X' : 0x2713;
        bool shade = shades && i == 1 && !isnan(share);
        heat_paint(f->a, x + i, y, f->h->map, share, shade ? 0 : ch);
    }
}

static void draw_rows(const frame *f) {
    const heat_look *h = f->h;
    const ui_scroll *s = h->look->scroll;
    for (int i = 0; i < f->rows && s->top + i < f->t->rows; i++) {
        int at = s->top + i, row = h->order[at], y = f->top + i;
        bool here = at == s->cursor, hit = ui_search_hit(h->look->search, f->t->row[row]);
        ui_fit(f->a, 0, y, f->label, UI_LEFT_TAIL, hit ? UI_FOUND : here ? UI_STRONG : UI_NORMAL, f->t->row[row]);
        if (here) ui_char(f->a, f->label, y, UI_ACCENT, 0x25B8);
        for (int c = 0; c < f->shown; c++) draw_cell(f, y, row, *h->left + c);
        if (here) ui_reverse(f->a, cell_x(f, *h->col), y, f->cell);
        char text[24];
        if (f->sums)
            ui_fit(f->a, f->a.r.w - SUM, y, SUM, UI_RIGHT, UI_DIM, heat_number(heat_row_sum(f->t, row), SUM - 1, text));
    }
}

static void draw_below(const frame *f) {
    char text[24];
    int y = f->top + (f->rows < f->t->rows ? f->rows : f->t->rows);
    ui_fit(f->a, 0, y, f->label, UI_LEFT, UI_DIM, "sum");
    for (int i = 0; i < f->shown; i++) {
        int c = *f->h->left + i;
        ui_fit(f->a, cell_x(f, c), y, f->cell - (f->cell > 5), UI_RIGHT, UI_DIM,
               heat_number(heat_col_sum(f->t, c), f->cell - 2, text));
    }
}

static void draw_legend(const frame *f, int y) {
    const heat_scale *s = &f->scale;
    int x = heat_legend(f->a, 0, y, f->a.r.w < 60 ? f->a.r.w : 50, f->h->map, s);
    char text[160];
    int n = snprintf(text, sizeof text, "%s%s%s %s", f->unit, *f->unit ? ", " : "", s->log ? "log" : "even",
                     study_colour_names[f->h->map]);
    if (s->diverging && n > 0 && n < 100)
        n += snprintf(text + n, sizeof text - (size_t)n, ", middle %s",
                      !s->log && s->low < 0 && s->high > 0 ? "0" : "median");
    if (s->below && n > 0 && n < 120) n += snprintf(text + n, sizeof text - (size_t)n, ", %d at or below 0", s->below);
    if (s->missing && n > 0 && n < 140)
        snprintf(text + n, sizeof text - (size_t)n, ", %d %s", s->missing, f->t->growing ? "to come" : "without value");
    ui_fit(f->a, x + 2, y, f->a.r.w - x - 2, UI_LEFT, UI_DIM, text);
}

// ---- words -------------------------------------------------------------------------------------

static int put_figure(ui_area a, int x, int y, const char *what, const char *value) {
    if (x + base_columns(what) + base_columns(value) + 2 > a.r.w) return x;
    x = ui_put(a, x, y, UI_DIM, what);
    return ui_put(a, x + (what[0] ? 1 : 0), y, UI_NORMAL, value) + 2;
}

// The cell under the cursor: value, unit, standard error, bytes, time.
static void draw_here(const frame *f, int y) {
    const heat_table *t = f->t;
    int row = f->h->order[f->h->look->scroll->cursor], at = row * t->cols + *f->h->col;
    char text[64], number[32];
    int x = ui_putf(f->a, 0, y, UI_STRONG, "%.60s", t->row[row]);
    x = ui_putf(f->a, x + 1, y, UI_ACCENT, "%.60s", t->col[*f->h->col]) + 2;
    if (isnan(t->value[at])) {
        ui_fit(f->a, x, y, f->a.r.w - x, UI_LEFT, UI_DIM, t->growing ? "not measured yet" : "could not be measured");
        return;
    }
    snprintf(text, sizeof text, "%.6g%s%s", t->value[at], *f->unit ? " " : "", f->unit);
    x = ui_fit(f->a, x, y, base_columns(text) < f->a.r.w - x ? base_columns(text) : f->a.r.w - x, UI_LEFT, UI_STRONG,
               text) +
        2;
    if (isfinite(t->error[at])) {
        snprintf(text, sizeof text, "%.2g", t->error[at]);
        x = put_figure(f->a, x, y, "\xc2\xb1", text);
    }
    if (isfinite(t->bytes[at])) {
        x = put_figure(f->a, x, y, "", base_bytes_text(number, t->bytes[at]));
        if (t->weights[row] > 0) {
            snprintf(text, sizeof text, "%.3f bits a weight", 8 * t->bytes[at] / t->weights[row]);
            x = put_figure(f->a, x, y, "", text);
        }
    }
    if (isfinite(t->seconds[at])) put_figure(f->a, x, y, "in", base_seconds_text(number, t->seconds[at]));
}

static void draw_choice(const frame *f, int y) {
    const heat_table *t = f->t;
    heat_total sum = heat_choice_total(t, t->choice);
    char text[160], bytes[24];
    if (!sum.chosen) {
        ui_fit(f->a, 0, y, f->a.r.w, UI_LEFT, UI_DIM,
               "Nothing is chosen: Space chooses, t by a threshold, b by a budget of bits.");
        return;
    }
    base_bytes_text(bytes, sum.bytes);
    int n =
        snprintf(text, sizeof text, "%s %d of %d layers chosen: sum %.4g%s%s", f->a.grid->ascii ? "X" : "\xe2\x9c\x93",
                 sum.chosen, t->rows, sum.loss, *f->unit ? " " : "", f->unit);
    if (isfinite(sum.bytes) && n > 0 && n < 130) n += snprintf(text + n, sizeof text - (size_t)n, ", %s", bytes);
    if (isfinite(sum.bytes) && sum.weights > 0 && n > 0 && n < 130)
        snprintf(text + n, sizeof text - (size_t)n, ", %.3f bits a weight", 8 * sum.bytes / sum.weights);
    ui_fit(f->a, 0, y, f->a.r.w, UI_LEFT, UI_NORMAL, text);
}

void heat_draw(ui_area a, const heat_look *h, const heat_table *t, heat_place *place) {
    frame f = {.a = a, .h = h, .t = t, .unit = t->unit};
    f.scale = heat_scale_of(t->value, (size_t)t->rows * (size_t)t->cols, h->log, h->map == STUDY_DIVERGING);
    fit_frame(&f);
    ui_scroll_fit(h->look->scroll, t->rows, f.rows);
    keep_in_sight(&f);
    *place = (heat_place){cell_x(&f, *h->left), f.top, f.cell, f.shown, f.rows};
    draw_head(&f);
    draw_rows(&f);
    if (f.below) draw_below(&f);
    // The words follow the last row; a short table leaves a line between.
    int used = f.rows < t->rows ? f.rows : t->rows, y = f.top + used + f.below + f.legend;
    if (y + f.detail < a.r.h) y++;
    if (f.legend) draw_legend(&f, y - 1);
    if (f.detail >= 1) draw_here(&f, y);
    if (f.detail >= 2) draw_choice(&f, y + 1);
    if (f.detail >= 3) ui_fit(a, 0, y + 2, a.r.w, UI_LEFT, UI_ACCENT, h->told);
}
