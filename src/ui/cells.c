// A grid of character cells: text cut to columns on character boundaries, fills, bars, and the table of ASCII
// characters that stand in where the terminal has no UTF-8.
#include "ui/cells.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

void ui_grid_resize(ui_grid *g, int w, int h) {
    free(g->cells);
    g->w = w;
    g->h = h;
    g->cells = base_calloc((size_t)w * (size_t)h, sizeof *g->cells);
    ui_grid_clear(g);
}

void ui_grid_clear(ui_grid *g) {
    for (int i = 0; i < g->w * g->h; i++) g->cells[i] = (ui_cell){.ch = ' ', .style = UI_NORMAL};
}

void ui_grid_free(ui_grid *g) {
    free(g->cells);
    *g = (ui_grid){0};
}

static ui_rect clip(ui_rect r, ui_rect to) {
    int x2 = r.x + r.w, y2 = r.y + r.h;
    if (r.x < to.x) r.x = to.x;
    if (r.y < to.y) r.y = to.y;
    if (x2 > to.x + to.w) x2 = to.x + to.w;
    if (y2 > to.y + to.h) y2 = to.y + to.h;
    r.w = x2 > r.x ? x2 - r.x : 0;
    r.h = y2 > r.y ? y2 - r.y : 0;
    return r;
}

ui_area ui_grid_area(ui_grid *g, ui_rect r) {
    return (ui_area){g, clip(r, (ui_rect){0, 0, g->w, g->h})};
}

ui_area ui_sub(ui_area a, int x, int y, int w, int h) {
    return (ui_area){a.grid, clip((ui_rect){a.r.x + x, a.r.y + y, w, h}, a.r)};
}

uint32_t ui_next_char(const char **text) {
    const unsigned char *s = (const unsigned char *)*text;
    if (!*s) return 0;
    int more = s[0] < 0x80 ? 0 : s[0] >= 0xF0 && s[0] < 0xF5 ? 3 : s[0] >= 0xE0 ? 2 : s[0] >= 0xC2 ? 1 : -1;
    if (s[0] >= 0xF5) more = -1;
    uint32_t ch = more <= 0 ? s[0] : s[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            more = -1;
            break;
        }
        ch = ch << 6 | (s[i] & 0x3Fu);
    }
    *text += more < 0 ? 1 : more + 1;
    return more < 0 || ch < 0x20 || ch == 0x7F || (ch >= 0x80 && ch < 0xA0) ? '?' : ch;
}

int ui_char_width(uint32_t ch) {
    if (ch < 0x7F) return 1;
    if (ch >= 0x2500 && ch < 0x2A00) return 1; // lines, blocks, braille: one column whatever the locale's table says
    int w = wcwidth((wchar_t)ch);
    return w < 0 ? 1 : w;
}

// The nearest ASCII character, by ranges; what is not here becomes '?'.
uint32_t ui_ascii_of(uint32_t ch) {
    static const struct {
        uint32_t from, to;
        char ascii;
    } table[] = {
        {0x20, 0x7E, 0},       {0xB7, 0xB7, '.'},     {0xD7, 0xD7, 'x'},      {0xB1, 0xB1, '~'},
        {0xB2, 0xB2, '2'},     {0x2013, 0x2015, '-'}, {0x2018, 0x2019, '\''}, {0x201C, 0x201D, '"'},
        {0x2016, 0x2016, '|'}, {0x2022, 0x2022, '*'}, {0x2026, 0x2026, '~'},  {0x2190, 0x2190, '<'},
        {0x2191, 0x2191, '^'}, {0x2192, 0x2192, '>'}, {0x2193, 0x2193, 'v'},  {0x2248, 0x2248, '~'},
        {0x2264, 0x2264, '<'}, {0x2265, 0x2265, '>'}, {0x2500, 0x2500, '-'},  {0x2501, 0x2501, '='},
        {0x2502, 0x2503, '|'}, {0x250C, 0x254B, '+'}, {0x254C, 0x254D, '-'},  {0x254E, 0x254F, '|'},
        {0x256D, 0x2570, '+'}, {0x2574, 0x2574, '-'}, {0x2580, 0x2588, '#'},  {0x2589, 0x258D, '#'},
        {0x258E, 0x258F, ' '}, {0x2590, 0x2590, '#'}, {0x2591, 0x2591, '.'},  {0x2592, 0x2592, ':'},
        {0x2593, 0x2593, '#'}, {0x25A0, 0x25A0, '#'}, {0x25A1, 0x25A1, 'n'},  {0x25B2, 0x25B2, 'A'},
        {0x25B6, 0x25B8, '>'}, {0x25BC, 0x25BC, 'V'}, {0x25BE, 0x25BE, 'v'},  {0x25C0, 0x25C2, '<'},
        {0x25C6, 0x25C6, '+'}, {0x25C7, 0x25C7, '+'}, {0x25CB, 0x25CC, 'o'},  {0x25CF, 0x25CF, '*'},
        {0x2605, 0x2605, '*'}, {0x2713, 0x2713, '+'}, {0x2717, 0x2717, 'x'},  {0x2800, 0x2800, ' '},
        {0x2801, 0x28FF, '.'},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (ch >= table[i].from && ch <= table[i].to) return table[i].ascii ? (uint32_t)table[i].ascii : ch;
    return '?';
}

size_t ui_encode(uint32_t ch, char out[5]) {
    size_t n = 0;
    if (ch < 0x80) {
        out[n++] = (char)ch;
    } else if (ch < 0x800) {
        out[n++] = (char)(0xC0 | ch >> 6);
        out[n++] = (char)(0x80 | (ch & 0x3F));
    } else if (ch < 0x10000) {
        out[n++] = (char)(0xE0 | ch >> 12);
        out[n++] = (char)(0x80 | (ch >> 6 & 0x3F));
        out[n++] = (char)(0x80 | (ch & 0x3F));
    } else {
        out[n++] = (char)(0xF0 | ch >> 18);
        out[n++] = (char)(0x80 | (ch >> 12 & 0x3F));
        out[n++] = (char)(0x80 | (ch >> 6 & 0x3F));
        out[n++] = (char)(0x80 | (ch & 0x3F));
    }
    out[n] = 0;
    return n;
}

static ui_cell *cell_at(ui_area a, int x, int y) {
    if (x < 0 || y < 0 || x >= a.r.w || y >= a.r.h) return NULL;
    return &a.grid->cells[(a.r.y + y) * a.grid->w + a.r.x + x];
}

void ui_char(ui_area a, int x, int y, ui_style style, uint32_t ch) {
    ui_cell *c = cell_at(a, x, y);
    if (!c) return;
    // Writing over one half of a wide character leaves no half behind.
    if (c->ch == 0 && x > 0) c[-1].ch = ' ';
    if (x + 1 < a.r.w && c[1].ch == 0) c[1].ch = ' ';
    int wide = ui_char_width(ch);
    if (a.grid->ascii) {
        ch = ui_ascii_of(ch);
    } else if (wide == 2 && x + 1 >= a.r.w) {
        ch = ' ';
    }
    *c = (ui_cell){.ch = ch, .style = (uint8_t)style, .reverse = c->reverse};
    if (wide == 2 && x + 1 < a.r.w)
        c[1] = (ui_cell){.ch = a.grid->ascii ? '?' : 0, .style = (uint8_t)style, .reverse = c->reverse};
}

void ui_paint(ui_area a, int x, int y, uint32_t ch, int32_t fg, int32_t bg) {
    ui_cell *c = cell_at(a, x, y);
    ui_char(a, x, y, UI_PAINTED, ch);
    if (c) c->fg = fg, c->bg = bg;
}

static int text_columns(const char *text) {
    int columns = 0;
    for (uint32_t ch; (ch = ui_next_char(&text));) columns += ui_char_width(ch);
    return columns;
}

int ui_put(ui_area a, int x, int y, ui_style style, const char *text) {
    for (uint32_t ch; (ch = ui_next_char(&text));) {
        int wide = ui_char_width(ch);
        if (wide == 0) continue;
        if (x >= a.r.w) break;
        ui_char(a, x, y, style, ch);
        x += wide;
    }
    return x;
}

int ui_putf(ui_area a, int x, int y, ui_style style, const char *fmt, ...) {
    char text[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    return ui_put(a, x, y, style, text);
}

// Text in at most `width` columns from the left, a mark at the end when cut.
static void put_cut(ui_area a, int x, int y, int width, ui_style style, const char *text) {
    bool cut = text_columns(text) > width;
    int end = x + width - (cut ? 1 : 0);
    while (true) {
        const char *before = text;
        uint32_t ch = ui_next_char(&text);
        int wide = ch ? ui_char_width(ch) : 0;
        if (!ch || x + wide > end) break;
        if (wide) ui_char(a, x, y, style, ch);
        x += wide;
        (void)before;
    }
    if (cut) ui_char(a, x, y, style, 0x2026);
}

// The end of the text, a mark before it.
static void put_tail(ui_area a, int x, int y, int width, ui_style style, const char *text) {
    int skip = text_columns(text) - (width - 1);
    while (skip > 0) {
        uint32_t ch = ui_next_char(&text);
        skip -= ui_char_width(ch);
    }
    ui_char(a, x, y, style, 0x2026);
    ui_put(a, x + 1, y, style, text);
}

int ui_fit(ui_area a, int x, int y, int width, ui_align align, ui_style style, const char *text) {
    if (width <= 0) return x;
    int columns = text_columns(text);
    ui_area part = ui_sub(a, x, y, width, 1);
    int shift = x < 0 ? x : 0; // the part is clipped on the left too
    ui_fill(part, shift, 0, width, 1, style, ' ');
    if (columns > width && align == UI_LEFT_TAIL) {
        put_tail(part, shift, 0, width, style, text);
    } else if (columns > width) {
        put_cut(part, shift, 0, width, style, text);
    } else {
        int before = align == UI_RIGHT ? width - columns : align == UI_CENTRE ? (width - columns) / 2 : 0;
        ui_put(part, shift + before, 0, style, text);
    }
    return x + width;
}

void ui_fill(ui_area a, int x, int y, int w, int h, ui_style style, uint32_t ch) {
    for (int j = 0; j < h; j++)
        for (int i = 0; i < w; i++) ui_char(a, x + i, y + j, style, ch);
}

void ui_reverse(ui_area a, int x, int y, int w) {
    for (int i = 0; i < w; i++) {
        ui_cell *c = cell_at(a, x + i, y);
        if (c) c->reverse = 1;
    }
}

int ui_wrap(ui_area a, int y, ui_style style, const char *text) {
    int lines = 0;
    while (*text && a.r.w > 0) {
        // The longest piece that fits, ending at a space when there is one.
        const char *at = text, *space = NULL;
        int columns = 0;
        while (*at && *at != '\n') {
            const char *next = at;
            int wide = ui_char_width(ui_next_char(&next));
            if (columns + wide > a.r.w) break;
            if (*at == ' ') space = at;
            columns += wide;
            at = next;
        }
        if (at == text && *at && *at != '\n') break; // not even one wide character fits
        const char *end = *at && *at != '\n' && *at != ' ' && space ? space : at;
        char *line = base_strndup(text, (size_t)(end - text));
        ui_put(a, 0, y + lines, style, line);
        free(line);
        lines++;
        text = end;
        while (*text == ' ' || *text == '\n') text++;
    }
    return lines;
}

void ui_bar_draw(ui_area a, int x, int y, int width, ui_style style, double fraction, double more) {
    if (!(fraction > 0)) fraction = 0;
    if (!(more > fraction)) more = fraction;
    if (fraction > 1) fraction = 1;
    if (more > 1) more = 1;
    int eighths = (int)(fraction * width * 8 + 0.5), shade = (int)(more * width + 0.5);
    for (int i = 0; i < width; i++) {
        int left = eighths - i * 8;
        if (left >= 8)
            ui_char(a, x + i, y, style, 0x2588);
        else if (left > 0)
            ui_char(a, x + i, y, style, 0x2590 - (uint32_t)left); // 0x2589 is seven eighths, 0x258F one
        else if (i < shade)
            ui_char(a, x + i, y, style, 0x2591);
        else
            ui_char(a, x + i, y, UI_DIM, ' ');
    }
}
