// Values to colours and shades: the scale of a map (plain or logarithmic, from low to high or from a middle outwards),
// its legend, and numbers short enough for a cell.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/heat.h"
#include "ui/term.h"

// ---- the scale ---------------------------------------------------------------------------------

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// The middle of a diverging map: 0 where values have both signs, else the median.
static double middle_of(const double *value, size_t count, const heat_scale *s) {
    if (!s->log && s->low < 0 && s->high > 0) return 0;
    double *v = base_calloc(count ? count : 1, sizeof *v);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(value[i]) && (!s->log || value[i] > 0)) v[n++] = value[i];
    qsort(v, n, sizeof *v, by_value);
    double middle = n ? n % 2 ? v[n / 2] : v[n / 2 - 1] + (v[n / 2] - v[n / 2 - 1]) / 2 : NAN;
    free(v);
    return middle;
}

heat_scale heat_scale_of(const double *value, size_t count, bool log, bool diverging) {
    heat_scale s = {.low = INFINITY, .high = -INFINITY, .log = log, .diverging = diverging};
    for (size_t i = 0; i < count; i++) {
        if (isnan(value[i])) s.missing++;
        if (!isfinite(value[i])) continue;
        if (log && value[i] <= 0) {
            s.below++;
            continue;
        }
        s.low = fmin(s.low, value[i]);
        s.high = fmax(s.high, value[i]);
    }
    s.empty = !(s.low <= s.high);
    if (s.empty) s.low = s.high = NAN;
    s.middle = s.empty || !diverging ? NAN : middle_of(value, count, &s);
    return s;
}

// On the axis that the colours are even on.
static double axis(const heat_scale *s, double v) {
    return s->log ? log(v) : v;
}

double heat_share(const heat_scale *s, double v) {
    if (isnan(v)) return NAN;
    if (isinf(v)) return v > 0 ? 1 : 0;
    if (s->log && v <= 0) return 0;
    if (s->empty || !(s->low < s->high)) return 0.5;
    double low = axis(s, s->low), high = axis(s, s->high), at = axis(s, v);
    if (s->diverging) {
        double middle = axis(s, s->middle), reach = fmax(high - middle, middle - low);
        return fmin(fmax(0.5 + 0.5 * (at - middle) / reach, 0), 1);
    }
    double share = (at - low) / (high - low); // the span of huge values may be infinite
    return isfinite(share) ? fmin(fmax(share, 0), 1) : 0.5;
}

double heat_value_at(const heat_scale *s, double share) {
    if (s->empty) return NAN;
    double low = axis(s, s->low), high = axis(s, s->high);
    if (s->diverging) {
        double middle = axis(s, s->middle), reach = fmax(high - middle, middle - low);
        low = middle - reach;
        high = middle + reach;
    }
    double at = low + share * (high - low);
    return s->log ? exp(at) : at;
}

// ---- numbers -----------------------------------------------------------------------------------

// "1.2e-03" as "1.2e-3".
static void short_exponent(char *text) {
    char *e = strchr(text, 'e');
    if (!e) return;
    char *to = e + 1, *from = e + 1;
    if (*from == '-') *to++ = '-';
    if (*from == '-' || *from == '+') from++;
    while (*from == '0' && from[1]) from++;
    memmove(to, from, strlen(from) + 1);
}

char *heat_number(double v, int width, char out[24]) {
    static const char *const forms[] = {"%.4g", "%.3g", "%.2g", "%.1e", "%.1g", "%.0e"};
    if (isnan(v) || width < 1) {
        snprintf(out, 24, "-");
        return out;
    }
    if (isinf(v)) {
        snprintf(out, 24, v > 0 ? "inf" : "-inf");
        out[width < 23 ? width : 23] = 0;
        return out;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(out, 24, forms[i], v); // one of a fixed list
        short_exponent(out);
        if (out[0] == '0' && out[1] == '.' && (int)strlen(out) == width + 1) memmove(out, out + 1, strlen(out));
        if ((int)strlen(out) <= width) return out;
    }
    snprintf(out, 24, "%s", v < 0 ? "-" : "+"); // there is a value, and no room for it
    return out;
}

// ---- cells -------------------------------------------------------------------------------------

static const char ascii_shades[] = ".:-=+*#%@";
static const uint32_t block_shades[] = {0xB7, 0x2591, 0x2592, 0x2593, 0x2588};

uint32_t heat_shade(double share, bool ascii) {
    if (isnan(share)) return ' ';
    int levels = ascii ? (int)sizeof ascii_shades - 1 : (int)(sizeof block_shades / sizeof *block_shades);
    int at = (int)(share * levels);
    if (at < 0) at = 0;
    if (at >= levels) at = levels - 1;
    return ascii ? (uint32_t)ascii_shades[at] : block_shades[at];
}

int32_t heat_ink(int32_t rgb) {
    double light = 0.299 * (rgb >> 16 & 255) + 0.587 * (rgb >> 8 & 255) + 0.114 * (rgb & 255);
    return light > 128 ? 0x000000 : 0xFFFFFF;
}

static ui_style ramp_of(double share) {
    int at = isnan(share) ? 0 : (int)(share * UI_RAMP_COUNT);
    return UI_RAMP + (ui_style)(at < 0 ? 0 : at >= UI_RAMP_COUNT ? UI_RAMP_COUNT - 1 : at);
}

void heat_paint(ui_area a, int x, int y, study_colours map, double share, uint32_t ch) {
    if (isnan(share)) {
        ui_char(a, x, y, UI_DIM, ch ? ch : ' ');
    } else if (ui_theme_depth() >= 256) {
        int32_t rgb = study_colour(map, share);
        ui_paint(a, x, y, ch ? ch : ' ', heat_ink(rgb), rgb);
    } else if (ch) {
        ui_char(a, x, y, UI_NORMAL, ch);
    } else {
        ui_char(a, x, y, ui_theme_depth() ? ramp_of(share) : UI_NORMAL, heat_shade(share, a.grid->ascii));
    }
}

int heat_legend(ui_area a, int x, int y, int width, study_colours map, const heat_scale *s) {
    char low[24], high[24], middle[24];
    if (s->empty) return ui_fit(a, x, y, width, UI_LEFT, UI_DIM, "no values");
    heat_number(heat_value_at(s, 0), 8, low);
    heat_number(heat_value_at(s, 1), 8, high);
    heat_number(heat_value_at(s, 0.5), 8, middle);
    if (!(s->low < s->high)) return ui_putf(a, x, y, UI_DIM, "all values are %s", low);
    int bar = width - (int)strlen(low) - (int)strlen(high) - 2;
    if (bar > 30) bar = 30;
    if (bar < 3) return ui_putf(a, x, y, UI_DIM, "%s to %s", low, high);
    x = ui_put(a, x, y, UI_DIM, low) + 1;
    for (int i = 0; i < bar; i++) heat_paint(a, x + i, y, map, bar > 1 ? (double)i / (bar - 1) : 0.5, 0);
    int m = (int)strlen(middle);
    if (m + 4 <= bar)
        for (int i = 0; i < m; i++) {
            int at = (bar - m) / 2 + i;
            heat_paint(a, x + at, y, map, (double)at / (bar - 1), (uint32_t)(unsigned char)middle[i]);
        }
    return ui_put(a, x + bar + 1, y, UI_DIM, high);
}
