// svg_heat: a table of numbers as coloured cells, layers down and options (or runs, or figures) across.
#include "study/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_WIDTH = 84, CELL_HEIGHT = 20, LEFT = 230, TOP = 62, CHARACTERS = 32 };

// One line; control characters are gone after base_clean.
static void put_line(base_buf *out, const char *line, size_t length) {
    char *raw = base_strndup(line, length), *clean = base_alloc(3 * length + 1);
    for (char *c = raw; *c; c++)
        if (*c == '\t') *c = ' ';
    base_clean(clean, 3 * length + 1, raw);
    for (const char *c = clean; *c; c++) {
        const char *entity = *c == '&'    ? "&amp;"
                             : *c == '<'  ? "&lt;"
                             : *c == '>'  ? "&gt;"
                             : *c == '"'  ? "&quot;"
                             : *c == '\'' ? "&#39;"
                                          : NULL;
        if (entity)
            base_buf_puts(out, entity);
        else
            base_buf_add(out, c, 1);
    }
    free(raw);
    free(clean);
}

void svg_lines(base_buf *out, const char *text) {
    while (text && *text) {
        size_t n = strcspn(text, "\n");
        put_line(out, text, n);
        if (text[n] == '\n') base_buf_puts(out, "\n"), n++;
        text += n;
    }
}

const char *const study_colour_names[STUDY_COLOUR_MAPS] = {"viridis", "diverging"};

// viridis (van der Walt and Smith, 2015) at nine even places, from dark blue over green to yellow. The diverging map is
// ColorBrewer's PuOr (Brewer, Hatchard and Harrower 2003), purple to orange: one of those that colour-blind people
// read.
enum { STOPS = 9 };
static const uint8_t stops[STUDY_COLOUR_MAPS][STOPS][3] = {
    {{68, 1, 84},
     {71, 44, 122},
     {59, 81, 139},
     {44, 113, 142},
     {33, 144, 141},
     {39, 173, 129},
     {92, 200, 99},
     {170, 220, 50},
     {253, 231, 37}},
    {{84, 39, 136},
     {128, 115, 172},
     {178, 171, 210},
     {216, 218, 235},
     {247, 247, 247},
     {254, 224, 182},
     {253, 184, 99},
     {224, 130, 20},
     {179, 88, 6}},
};

int32_t study_colour(study_colours map, double share) {
    double at = share > 0 ? fmin(share, 1) * (STOPS - 1) : 0;
    int k = at >= STOPS - 1 ? STOPS - 2 : (int)at, rgb = 0;
    for (int i = 0; i < 3; i++) {
        double a = stops[map][k][i], b = stops[map][k + 1][i];
        rgb = rgb << 8 | (int)lround(a + (at - k) * (b - a));
    }
    return rgb;
}

static bool range_of(const svg_heat *h, double *low, double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < h->rows * h->cols; i++) {
        double v = h->value[i];
        if (!isfinite(v) || (h->log && v <= 0)) continue;
        *low = fmin(*low, v);
        *high = fmax(*high, v);
    }
    return *low <= *high;
}

static double share_of(const svg_heat *h, double v, double low, double high) {
    if (low >= high) return 0.5;
    if (!h->log) return (v - low) / (high - low);
    return v <= 0 ? 0 : (log(v) - log(low)) / (log(high) - log(low));
}

// A label cut to fit, whole in its tooltip.
static void put_label(base_buf *out, const char *format_open, double x, double y, const char *text, size_t most) {
    char clean[512], cut[160];
    base_clean(clean, sizeof clean, text ? text : "");
    base_clean(cut, most + 1 < sizeof cut ? most + 1 : sizeof cut, clean);
    base_buf_printf(out, "<text %s x=\"%g\" y=\"%g\"><title>", format_open, x, y);
    svg_lines(out, clean);
    base_buf_puts(out, "</title>");
    svg_lines(out, cut);
    if (strlen(cut) < strlen(clean)) base_buf_puts(out, "..");
    base_buf_puts(out, "</text>\n");
}

static void put_cell(base_buf *out, const svg_heat *h, int r, int c, double low, double high) {
    double v = h->value[r * h->cols + c];
    int x = LEFT + c * CELL_WIDTH, y = TOP + r * CELL_HEIGHT;
    if (!isfinite(v)) {
        base_buf_printf(out,
                        "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#f4f4f4\" stroke=\"#fff\"/>"
                        "<text text-anchor=\"middle\" fill=\"#777\" x=\"%d\" y=\"%d\">-</text>\n",
                        x, y, CELL_WIDTH, CELL_HEIGHT, x + CELL_WIDTH / 2, y + 14);
        return;
    }
    double share = share_of(h, v, low, high);
    int32_t rgb = study_colour(STUDY_VIRIDIS, share);
    base_buf_printf(out,
                    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"rgb(%d,%d,%d)\" stroke=\"#fff\"/>"
                    "<text text-anchor=\"middle\" fill=\"%s\" x=\"%d\" y=\"%d\">%.3g</text>\n",
                    x, y, CELL_WIDTH, CELL_HEIGHT, rgb >> 16, rgb >> 8 & 255, rgb & 255, share > 0.6 ? "#000" : "#fff",
                    x + CELL_WIDTH / 2, y + 14, v);
}

void svg_heat_put(base_buf *out, const svg_heat *h) {
    double low, high;
    if (h->rows < 1 || h->cols < 1) return;
    if (!range_of(h, &low, &high)) low = high = 0;
    int width = LEFT + h->cols * CELL_WIDTH + 10, height = TOP + h->rows * CELL_HEIGHT + 10;
    base_buf_printf(out,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" viewBox=\"0 0 "
                    "%d %d\" font-family=\"sans-serif\" font-size=\"11\">\n<text font-size=\"14\" x=\"8\" y=\"20\">",
                    width, height, width, height);
    svg_lines(out, h->title);
    if (h->unit && *h->unit) {
        base_buf_puts(out, " [");
        svg_lines(out, h->unit);
        base_buf_puts(out, "]");
    }
    base_buf_printf(out, "</text>\n<text fill=\"#555\" x=\"8\" y=\"36\">%.3g (dark) to %.3g (light)%s</text>\n", low,
                    high, h->log ? ", logarithmic" : "");
    for (int c = 0; c < h->cols; c++)
        put_label(out, "text-anchor=\"middle\"", LEFT + (c + 0.5) * CELL_WIDTH, TOP - 6, h->col[c], 13);
    for (int r = 0; r < h->rows; r++) {
        put_label(out, "text-anchor=\"end\"", LEFT - 6, TOP + r * CELL_HEIGHT + 14, h->row[r], CHARACTERS);
        for (int c = 0; c < h->cols; c++) put_cell(out, h, r, c, low, high);
    }
    base_buf_puts(out, "</svg>\n");
}
