// Numbers as text in the units people read, the glyphs of states, search patterns, scroll positions.
#include "ui/widget.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

static const char *const as_names[UI_AS_KINDS] = {
    [UI_AS_TEXT] = "text",       [UI_AS_NUMBER] = "number", [UI_AS_COUNT] = "count", [UI_AS_BYTES] = "bytes",
    [UI_AS_PERCENT] = "percent", [UI_AS_BITS] = "bits",     [UI_AS_RATIO] = "ratio", [UI_AS_SECONDS] = "seconds",
    [UI_AS_STATE] = "state",     [UI_AS_BAR] = "bar",
};

bool ui_as_find(const char *name, ui_as *as) {
    for (int i = 0; i < UI_AS_KINDS; i++)
        if (strcmp(as_names[i], name) == 0) {
            *as = (ui_as)i;
            return true;
        }
    return false;
}

// Digits in threes: 1 234 567.
static void grouped(double value, char *out, size_t size) {
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", value);
    size_t used = 0;
    for (int i = 0; i < n && used + 2 < size; i++) {
        if (i && (n - i) % 3 == 0) out[used++] = ' ';
        out[used++] = digits[i];
    }
    out[used] = 0;
}

// A fraction as per cent with two or three digits that mean something.
static void percent(double value, char *out, size_t size) {
    double p = value * 100;
    if (p == 0)
        snprintf(out, size, "0 %%");
    else if (fabs(p) < 0.0001)
        snprintf(out, size, "%.0e %%", p);
    else
        snprintf(out, size,
                 fabs(p) < 0.01 ? "%.4f %%"
                 : fabs(p) < 1  ? "%.3f %%"
                 : fabs(p) < 10 ? "%.2f %%"
                                : "%.1f %%",
                 p);
}

char *ui_format(ui_as as, double value, char *out, size_t size) {
    char text[24];
    bool none = isnan(value) || ((as == UI_AS_COUNT || as == UI_AS_BYTES) && value < 0);
    if (none) {
        snprintf(out, size, "\xe2\x80\x93"); // an en dash
    } else if (isinf(value)) {
        snprintf(out, size, value > 0 ? "inf" : "-inf");
    } else if (as == UI_AS_BYTES) {
        snprintf(out, size, "%s", base_bytes_text(text, value));
    } else if (as == UI_AS_SECONDS) {
        snprintf(out, size, "%s", base_seconds_text(text, value));
    } else if (as == UI_AS_COUNT) {
        grouped(value, out, size);
    } else if (as == UI_AS_PERCENT) {
        percent(value, out, size);
    } else if (as == UI_AS_BITS) {
        snprintf(out, size, "%.2f", value);
    } else if (as == UI_AS_RATIO) {
        snprintf(out, size, "%.2f\xc3\x97", value); // a multiplication sign
    } else {
        snprintf(out, size, "%.4g", value);
    }
    return out;
}

static const struct {
    const char *glyph;
    ui_style style;
} states[] = {
    [UI_WAITING] = {"\xc2\xb7", UI_DIM},        // middle dot
    [UI_WORKING] = {"\xe2\x96\xb6", UI_ACCENT}, // triangle
    [UI_DONE] = {"\xe2\x9c\x93", UI_GOOD},      // check mark
    [UI_LEFT_OVER] = {"\xe2\x97\x8c", UI_DIM},  // dotted circle
    [UI_BROKEN] = {"\xe2\x9c\x97", UI_BAD},     // cross
    [UI_HELD] = {"\xe2\x80\x96", UI_WARN},      // two strokes
};
static size_t state_index(int64_t state) {
    return state >= 0 && state < UI_LAYER_STATES ? (size_t)state : 0;
}
const char *ui_layer_glyph(int64_t state) {
    return states[state_index(state)].glyph;
}
ui_style ui_layer_style(int64_t state) {
    return states[state_index(state)].style;
}

// ---- search ------------------------------------------------------------------------------------

struct ui_search {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

ui_search *ui_search_new(const char *pattern, base_err *err) {
    bool capital = false;
    for (const char *p = pattern; *p; p++) capital |= isupper((unsigned char)*p) && (p == pattern || p[-1] != '\\');
    int number;
    PCRE2_SIZE offset;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, capital ? 0 : PCRE2_CASELESS, &number, &offset, NULL);
    if (!code) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(number, message, sizeof message);
        base_fail_as(err, BASE_USAGE, "bad pattern at character %zu: %s", (size_t)offset + 1, (const char *)message);
        return NULL;
    }
    ui_search *s = base_alloc(sizeof *s);
    s->code = code;
    s->match = pcre2_match_data_create_from_pattern(code, NULL);
    s->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(s->limits, 20000); // a pattern that backtracks for ever finds nothing instead
    return s;
}

void ui_search_free(ui_search *s) {
    if (!s) return;
    pcre2_match_context_free(s->limits);
    pcre2_match_data_free(s->match);
    pcre2_code_free(s->code);
    free(s);
}

bool ui_search_hit(const ui_search *s, const char *text) {
    return s && text && pcre2_match(s->code, (PCRE2_SPTR)text, strlen(text), 0, 0, s->match, s->limits) >= 0;
}

// ---- scrolling ---------------------------------------------------------------------------------

void ui_scroll_fit(ui_scroll *s, int count, int page) {
    if (s->at_end) s->cursor = count - 1;
    if (s->cursor >= count) s->cursor = count - 1;
    if (s->cursor < 0) s->cursor = 0;
    s->count = count;
    s->page = page > 0 ? page : 1;
    if (s->top > s->cursor) s->top = s->cursor;
    if (s->top < s->cursor - s->page + 1) s->top = s->cursor - s->page + 1;
    if (s->top > count - s->page) s->top = count - s->page; // no empty rows below while some are hidden above
    if (s->top < 0) s->top = 0;
}

void ui_scroll_to(ui_scroll *s, int row) {
    s->cursor = row < 0 ? 0 : row >= s->count ? s->count - 1 : row;
    if (s->cursor < 0) s->cursor = 0;
    s->at_end = s->follows = false;
}

void ui_scroll_move(ui_scroll *s, int delta) {
    int64_t to = (int64_t)s->cursor + delta;
    ui_scroll_to(s, to < 0 ? 0 : to > s->count ? s->count : (int)to);
}
