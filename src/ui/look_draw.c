// The pages of a layer: histogram, maps, singular values, second moment, grid, codes, outliers. Each fills the area
// below the line of pages and says what it shows in words.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/look.h"
#include "ui/term.h"

const char *const look_page_names[LOOK_PAGES] = {"weights", "|W|",  "error", "singular",
                                                 "Hessian", "grid", "codes", "outliers"};

static const char no_after[] =
    "This layer is not compressed yet: run a recipe, and what it made of the layer stands here.";

static double largest(const double *v, int n) {
    double most = 0;
    for (int i = 0; i < n; i++)
        if (v[i] > most) most = v[i];
    return most;
}

static void logs(double *v, int n) {
    for (int i = 0; i < n; i++) v[i] = log1p(v[i]);
}

static void stats_line(ui_area a, int y, const char *what, const look_stats *s) {
    char text[200], bad[48] = "";
    if (s->bad) snprintf(bad, sizeof bad, "  %lld NaN or infinite", (long long)s->bad);
    snprintf(text, sizeof text, "mean %.3g  sigma %.4g  %.4g to %.4g  zeros %lld%s", s->mean, s->sigma, s->low, s->high,
             (long long)s->zeros, bad);
    int x = ui_fit(a, 0, y, 7, UI_LEFT, UI_STRONG, what);
    ui_fit(a, x, y, a.r.w - x, UI_LEFT, UI_NORMAL, text);
}

// ---- weights -------------------------------------------------------------------------------------------

static void draw_weights(ui_area a, const look_view *v, const look_figures *f) {
    char dots = a.grid->ascii ? 'a' : v->dots;
    int n = look_columns(a.r.w, dots), words = f->has_after ? 3 : 2, room = a.r.h - words - 1;
    if (n < 1 || room < 2) return;
    double *up = base_calloc((size_t)n, sizeof *up), *down = base_calloc((size_t)n, sizeof *down);
    look_gather(f->bins_before, LOOK_BINS, up, n);
    look_gather(f->bins_after, LOOK_BINS, down, n);
    if (v->log) logs(up, n), logs(down, n);
    // Bars go up before and down after, from one axis and by one scale each: a grid's few levels would hide the rest.
    int above = f->has_after ? (room + 1) / 2 : room;
    stats_line(a, 0, "before", &f->before);
    look_bars(ui_sub(a, 0, 1, a.r.w, above), up, largest(up, n), false, dots, UI_MARK);
    look_axis(a, 1 + above, f->low, f->high);
    if (f->has_after) {
        look_bars(ui_sub(a, 0, 2 + above, a.r.w, room - above), down, largest(down, n), true, dots, UI_MARK + 1);
        stats_line(a, a.r.h - 2, "after", &f->after);
    }
    char text[200];
    if (f->has_after)
        snprintf(text, sizeof text, "relative weight error %.3g; %s counts, before up, after down, each to its own top",
                 f->weight_error, v->log ? "logarithmic" : "even");
    else
        snprintf(text, sizeof text, "%s counts. %s", v->log ? "logarithmic" : "even", no_after);
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM, text);
    free(up);
    free(down);
}

// ---- maps ----------------------------------------------------------------------------------------------

static void draw_map(ui_area a, const look_view *v, const look_figures *f, const look_map *m, const char *what) {
    if (!m->most) {
        ui_wrap(a, 0, UI_DIM, no_after);
        return;
    }
    heat_scale scale = {.empty = true};
    char text[240];
    look_map_draw(ui_sub(a, 0, 0, a.r.w, a.r.h - 2), m, v->mean, v->map, v->log, &scale);
    int x = heat_legend(a, 0, a.r.h - 2, a.r.w < 60 ? a.r.w : 50, v->map, &scale);
    snprintf(text, sizeof text, "%s %s", scale.log ? "log" : "even", study_colour_names[v->map]);
    ui_fit(a, x + 2, a.r.h - 2, a.r.w - x - 2, UI_LEFT, UI_DIM, text);
    snprintf(text, sizeof text, "%s: outputs down (%lld), inputs across (%lld), the %s of a tile", what,
             (long long)f->rows, (long long)f->cols, v->mean ? "mean" : "largest value");
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM, text);
}

// ---- spectra -------------------------------------------------------------------------------------------

// The numbers of a logarithmic axis at the left; returns the area right of it.
static ui_area log_axis(ui_area a, double low, double high) {
    char text[24];
    if (a.r.w < 20 || a.r.h < 3) return a;
    for (int y = 0; y < a.r.h; y++) {
        bool named = y == 0 || y == a.r.h - 1 || y == a.r.h / 2;
        double v = exp(log(high) + (log(low) - log(high)) * y / (a.r.h - 1));
        if (named) ui_fit(a, 0, y, 8, UI_RIGHT, UI_DIM, heat_number(v, 8, text));
        ui_char(a, 9, y, UI_RULE, named ? 0x253C : 0x2502);
    }
    return ui_sub(a, 10, 0, a.r.w - 10, a.r.h);
}

// From the largest value down to the smallest that is not rounding, at most twelve decades.
static void range_of(const double *v, int n, double *low, double *high) {
    for (int i = 0; i < n; i++)
        if (v[i] > *high) *high = v[i];
    for (int i = 0; i < n; i++)
        if (v[i] > *high * 1e-7 && v[i] < *low) *low = v[i];
}

static double half_energy(const double *s, int n, double share) {
    double all = 0, part = 0;
    for (int i = 0; i < n; i++) all += s[i] * s[i];
    for (int i = 0; i < n; i++) {
        part += s[i] * s[i];
        if (part >= share * all) return i + 1;
    }
    return n;
}

static void draw_singular(ui_area a, const look_view *v, const look_figures *f) {
    static const char *const names[] = {"o W", "+ Wc", "x W-Wc"};
    static const uint32_t marks[] = {'o', '+', 'x'};
    (void)v;
    if (!f->spectrum[0]) {
        ui_wrap(a, 0, UI_DIM, v->busy ? "Computing singular values ..." : "No singular values yet.");
        return;
    }
    double low = INFINITY, high = 0;
    for (int i = 0; i < 3; i++)
        if (f->spectrum[i]) range_of(f->spectrum[i], f->spectrum_count, &low, &high);
    ui_area plot = ui_sub(a, 0, 0, a.r.w, a.r.h - 2);
    if (!(high > 0)) {
        ui_wrap(a, 0, UI_DIM, "Every singular value is 0.");
        return;
    }
    if (!(low < high)) low = high / 10;
    plot = log_axis(plot, low, high);
    for (int i = 2; i >= 0; i--)
        if (f->spectrum[i])
            look_dots(plot, f->spectrum[i], f->spectrum_count, low, high, marks[i], UI_MARK + (ui_style)i);
    int x = 0;
    for (int i = 0; i < 3; i++)
        if (f->spectrum[i])
            x = ui_putf(a, x, a.r.h - 2, UI_MARK + (ui_style)i, "%s %.4g   ", names[i], f->spectrum[i][0]);
    char text[200];
    snprintf(text, sizeof text, "singular values, falling, log axis; %d of them, 90 %% of W's energy in %.0f%s%s",
             f->spectrum_count, half_energy(f->spectrum[0], f->spectrum_count, 0.9), f->spectrum_note[0] ? "; " : "",
             f->spectrum_note);
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM, text);
}

static void draw_hessian(ui_area a, const look_view *v, const look_figures *f) {
    if (!f->diagonal) {
        ui_wrap(
            a, 0, UI_DIM,
            v->busy ? "Running calibration samples through the network up to this layer ..."
            : f->hessian_note[0]
                ? f->hessian_note
                : "H = X^T X / n of the layer's inputs. H computes it from calibration samples (:hessian SAMPLES).");
        return;
    }
    double low = INFINITY, high = 0, trace = 0, dead = 0;
    for (int i = 0; i < f->diagonal_count; i++) trace += f->diagonal[i], dead += f->diagonal[i] == 0;
    int half = (a.r.h - 3) / 2;
    ui_area top = ui_sub(a, 0, 1, a.r.w, half), bottom = ui_sub(a, 0, half + 2, a.r.w, a.r.h - half - 3);
    ui_putf(a, 0, 0, UI_DIM, "diagonal by input, log axis (%d inputs, %.0f always 0)", f->diagonal_count, dead);
    range_of(f->diagonal, f->diagonal_count, &low, &high);
    if (!(low < high)) low = high / 10;
    if (high > 0) look_dots(log_axis(top, low, high), f->diagonal, f->diagonal_count, low, high, '.', UI_MARK);
    char text[200];
    snprintf(text, sizeof text, "eigenvalues, falling, log axis: %d, trace %.4g, largest %.4g, half of the trace in %d",
             f->eigen_count, trace, f->eigen_count ? f->eigen[0] : NAN, 0);
    if (f->eigen_count) {
        double part = 0;
        int n = 0;
        while (n < f->eigen_count && part < trace / 2) part += f->eigen[n++];
        snprintf(text, sizeof text, "eigenvalues, falling, log axis: %d, largest %.4g, trace %.4g, half of it in %d",
                 f->eigen_count, f->eigen[0], trace, n);
        low = INFINITY, high = 0;
        range_of(f->eigen, f->eigen_count, &low, &high);
        if (!(low < high)) low = high / 10;
        if (high > 0) look_dots(log_axis(bottom, low, high), f->eigen, f->eigen_count, low, high, 'o', UI_MARK + 1);
    } else {
        snprintf(text, sizeof text, "trace %.4g; no eigenvalues: they are computed up to 1024 inputs a group", trace);
    }
    ui_fit(a, 0, half + 1, a.r.w, UI_LEFT, UI_DIM, text);
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM, f->hessian_note);
}

// ---- grid ----------------------------------------------------------------------------------------------

static void row_density(const look_figures *f, const float *row, double low, double high, double *out, int n) {
    for (int i = 0; i < n; i++) out[i] = 0;
    for (int64_t j = 0; j < f->cols; j++) {
        if (!isfinite(row[j])) continue;
        int at = high > low ? (int)((row[j] - low) / (high - low) * n) : n / 2;
        out[at < 0 ? 0 : at >= n ? n - 1 : at]++;
    }
}

// Lines of the levels above the bars, and how often each is used below.
static void draw_levels(ui_area a, int bars, double low, double high, const float *level, const int64_t *uses, int n) {
    int64_t most = 1;
    for (int i = 0; i < n; i++)
        if (uses[i] > most) most = uses[i];
    for (int i = 0; i < n; i++) {
        int x = high > low ? (int)((level[i] - low) / (high - low) * (a.r.w - 1) + 0.5) : a.r.w / 2;
        for (int y = 0; y < bars; y++) {
            const ui_cell *c = &a.grid->cells[(a.r.y + y) * a.grid->w + a.r.x + x];
            if (c->ch == ' ') ui_char(a, x, y, UI_WARN, 0x2502);
        }
        ui_char(a, x, bars, UI_WARN, 0x253C);
        int below = a.r.h - bars - 1, height = (int)((double)uses[i] / (double)most * below + 0.999);
        for (int y = 0; y < height && y < below; y++)
            ui_char(a, x, bars + 1 + y, UI_MARK + 1, a.grid->ascii ? '#' : 0x2588);
    }
}

static void draw_grid(ui_area a, const look_view *v, const look_figures *f) {
    if (!f->row_after) {
        ui_wrap(a, 0, UI_DIM, no_after);
        return;
    }
    enum { MOST = LOOK_LEVELS };
    static float level[MOST];
    static int64_t uses[MOST];
    int64_t row = v->row < f->row_count ? v->row : f->row_count - 1;
    const float *w = f->row_before + row * f->cols, *wc = f->row_after + row * f->cols;
    int n = look_levels(wc, f->cols, level, uses, MOST);
    double low = INFINITY, high = -INFINITY;
    for (int64_t j = 0; j < f->cols; j++) {
        if (isfinite(w[j])) low = fmin(low, w[j]), high = fmax(high, w[j]);
        if (isfinite(wc[j])) low = fmin(low, wc[j]), high = fmax(high, wc[j]);
    }
    char dots = a.grid->ascii ? 'a' : v->dots, text[240];
    int columns = look_columns(a.r.w, dots), room = a.r.h - 3, bars = room * 2 / 3;
    if (room < 3) return;
    double *density = base_calloc((size_t)columns + 1, sizeof *density);
    row_density(f, w, low, high, density, columns);
    ui_area plot = ui_sub(a, 0, 0, a.r.w, room + 1);
    look_bars(ui_sub(plot, 0, 0, a.r.w, bars), density, largest(density, columns), false, dots, UI_MARK);
    look_axis(plot, bars, low, high);
    if (n <= a.r.w) draw_levels(plot, bars, low, high, level, uses, n);
    free(density);
    snprintf(text, sizeof text,
             "output %lld of %lld (+ - another%s): %lld weights before as bars, %d levels after as lines",
             (long long)(row * f->row_step), (long long)f->rows, f->row_step > 1 ? ", not all are kept" : "",
             (long long)f->cols, n);
    ui_fit(a, 0, a.r.h - 2, a.r.w, UI_LEFT, UI_NORMAL, text);
    double least = INFINITY;
    for (int i = 1; i < n; i++) least = fmin(least, (double)level[i] - level[i - 1]);
    if (n > a.r.w)
        snprintf(text, sizeof text, "more levels than columns: the lines are left out; smallest step %.3g", least);
    else
        snprintf(text, sizeof text, "below the axis how often a level is used; smallest step %.3g; %s", least,
                 n >= f->cols ? "every weight has a level of its own" : "groups of a row have grids of their own");
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM, text);
}

// ---- codes ---------------------------------------------------------------------------------------------

static void draw_codes(ui_area a, const look_view *v, const look_figures *f) {
    if (!f->code_count) {
        ui_wrap(a, 0, UI_DIM,
                !f->has_after  ? no_after
                : f->stored[0] ? f->stored
                               : "The layer holds no arrays of codes (floats, low rank, or it stayed as it was).");
        return;
    }
    const compress_codes *c = &f->codes[v->array % f->code_count];
    int codes = 1 << c->bits, used = 0, top = 0;
    for (int i = 0; i < codes; i++) {
        used += c->use[i] > 0;
        if (c->use[i] > c->use[top]) top = i;
    }
    char dots = a.grid->ascii ? 'a' : v->dots, text[240];
    int n = look_columns(a.r.w, dots), each = n / codes > 0 ? n / codes : 1,
        shown = each * codes < n ? each * codes : n;
    if (dots == 'b' && each > 1) each &= ~1, shown = each * codes; // whole cells a code
    double *bar = base_calloc((size_t)n + 1, sizeof *bar);
    for (int i = 0; i < shown; i++) {
        int from = (int)((int64_t)i * codes / shown), to = (int)((int64_t)(i + 1) * codes / shown);
        for (int k = from; k < (to > from ? to : from + 1); k++) bar[i] += (double)c->use[k];
        if (each > 3 && i % each >= each - (dots == 'b' ? 2 : 1)) bar[i] = 0; // a gap between bars
    }
    if (v->log) logs(bar, n);
    int room = a.r.h - 4;
    if (room >= 1) {
        look_bars(ui_sub(a, 0, 0, a.r.w, room), bar, largest(bar, n), false, dots, UI_MARK);
        int cells = dots == 'b' ? each / 2 : each;
        for (int k = 0; cells >= 3 && k < codes; k++) ui_putf(a, k * cells, room, UI_DIM, "%d", k);
        if (cells < 3) ui_fit(a, 0, room, a.r.w, UI_LEFT, UI_DIM, "codes from 0, rising");
    }
    free(bar);
    snprintf(text, sizeof text,
             "%s, array %d of %d: %lld codes of %d bits; entropy %.3f bits a code, %.1f %% of what is stored", c->what,
             v->array % f->code_count + 1, f->code_count, (long long)c->count, c->bits, c->entropy,
             c->bits ? 100 * c->entropy / c->bits : 0);
    ui_fit(a, 0, a.r.h - 3, a.r.w, UI_LEFT, UI_NORMAL, text);
    snprintf(text, sizeof text, "%d of %d codes are used; most often %d: %.1f %%%s", used, codes, top,
             100.0 * (double)c->use[top] / (double)c->count, f->code_count > 1 ? "; + - another array" : "");
    ui_fit(a, 0, a.r.h - 2, a.r.w, UI_LEFT, UI_NORMAL, text);
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM,
           v->log ? "logarithmic counts; an entropy coder could save the difference (code{})"
                  : "even counts; an entropy coder could save the difference (code{})");
}

// ---- outliers ------------------------------------------------------------------------------------------

// The place in the stored tensor: a convolution's inputs are channel, row, column of the kernel.
static void place_text(const look_figures *f, const look_outlier *o, char *out, size_t size) {
    const model_shape *s = &f->shape;
    if (s->ndim == 4 && s->dim[2] * s->dim[3] > 0 && s->dim[0] == f->rows) {
        int64_t k = s->dim[2] * s->dim[3], in = o->col % k;
        snprintf(out, size, "[%lld, %lld, %lld, %lld]", (long long)o->row, (long long)(o->col / k),
                 (long long)(in / s->dim[3]), (long long)(in % s->dim[3]));
    } else {
        snprintf(out, size, "[%lld, %lld]", (long long)o->row, (long long)o->col);
    }
}

static void draw_far(ui_area a, const look_view *v, const look_figures *f) {
    char text[200];
    (void)v;
    ui_fit(a, 0, 0, a.r.w, UI_LEFT, UI_DIM,
           f->has_after ? "   sigmas      before       after   position" : "   sigmas      before   position");
    int shown = f->outlier_count < a.r.h - 2 ? f->outlier_count : a.r.h - 2;
    for (int i = 0; i < shown; i++) {
        const look_outlier *o = &f->outlier[i];
        char place[80];
        place_text(f, o, place, sizeof place);
        if (f->has_after)
            snprintf(text, sizeof text, "%9.2f %11.4g %11.4g   %s", o->sigmas, o->value, o->after, place);
        else
            snprintf(text, sizeof text, "%9.2f %11.4g   %s", o->sigmas, o->value, place);
        int x = ui_fit(a, 0, i + 1, 66 < a.r.w ? 66 : a.r.w, UI_LEFT, UI_NORMAL, text);
        if (a.r.w - x > 12)
            ui_bar_draw(a, x, i + 1, a.r.w - x - 1, UI_MARK,
                        f->outlier[0].sigmas > 0 ? o->sigmas / f->outlier[0].sigmas : 0, 0);
    }
    if (!f->outlier_count) ui_fit(a, 0, 1, a.r.w, UI_LEFT, UI_DIM, "no weight is more than 2 sigmas from the mean");
    snprintf(text, sizeof text, "beyond 3 sigmas %lld, 4: %lld, 5: %lld, 6: %lld of %lld weights",
             (long long)f->beyond[0], (long long)f->beyond[1], (long long)f->beyond[2], (long long)f->beyond[3],
             (long long)(f->rows * f->cols));
    ui_fit(a, 0, a.r.h - 1, a.r.w, UI_LEFT, UI_DIM, text);
}

// ---- the panel -----------------------------------------------------------------------------------------

// The pages by name, the open one in brackets: it must be seen without colours.
static void draw_tabs(ui_area a, int page) {
    int all = 0, x = 0;
    for (int i = 0; i < LOOK_PAGES; i++) all += base_columns(look_page_names[i]) + 2;
    bool names = all <= a.r.w;
    for (int i = 0; i < LOOK_PAGES; i++) {
        if (i == page)
            x = ui_putf(a, x, 0, UI_STRONG, "[%s]", look_page_names[i]);
        else if (names)
            x = ui_putf(a, x, 0, UI_DIM, " %s ", look_page_names[i]);
    }
    if (!names) ui_putf(a, x + 1, 0, UI_DIM, "%d/%d", page + 1, LOOK_PAGES);
}

static void draw_magnitude(ui_area a, const look_view *v, const look_figures *f) {
    draw_map(a, v, f, &f->weight, "|W|");
}
static void draw_error(ui_area a, const look_view *v, const look_figures *f) {
    draw_map(a, v, f, &f->error, "|W - Wc|");
}

static void (*const pages[LOOK_PAGES])(ui_area, const look_view *, const look_figures *) = {
    [LOOK_WEIGHTS] = draw_weights, [LOOK_MAGNITUDE] = draw_magnitude,
    [LOOK_ERROR] = draw_error,     [LOOK_SINGULAR] = draw_singular,
    [LOOK_HESSIAN] = draw_hessian, [LOOK_GRID] = draw_grid,
    [LOOK_CODES] = draw_codes,     [LOOK_FAR] = draw_far,
};

void look_draw(ui_area a, const look_view *v, const look_figures *f) {
    char shape[48], text[300];
    snprintf(text, sizeof text, "%s%s%s; %s %s as %lld x %lld", f->from, v->busy ? ", " : "", v->busy ? v->busy : "",
             f->kind, model_shape_text(shape, &f->shape), (long long)f->rows, (long long)f->cols);
    int x = ui_fit(a, 0, 0, base_columns(f->layer) < a.r.w ? base_columns(f->layer) : a.r.w, UI_LEFT_TAIL, UI_STRONG,
                   f->layer);
    ui_fit(a, x + 1, 0, a.r.w - x - 1, UI_LEFT, UI_DIM, text);
    draw_tabs(ui_sub(a, 0, 1, a.r.w, 1), v->page);
    ui_area below = ui_sub(a, 0, 2, a.r.w, a.r.h - 2);
    if (below.r.h < 4) return;
    pages[v->page](below, v, f);
}
