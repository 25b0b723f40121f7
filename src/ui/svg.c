// Cells of the screen as an SVG picture. Letters are text; lines, blocks, shades and braille dots are drawn as shapes,
// so that the picture is the same whatever font shows it.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/app.h"

#define CELL_W 8.43 // pixels: 0.602 of the size of the letters, as in the fonts named below
#define CELL_H 17.0
enum { FONT_SIZE = 14, BASELINE = 13 };

typedef struct picture {
    FILE *file;
    const ui_theme *theme;
    bool colours;
} picture;

static const ui_cell *cell_at(const ui_grid *g, ui_rect r, int x, int y) {
    return &g->cells[(r.y + y) * g->w + r.x + x];
}

// What a run of cells with one look is drawn with.
typedef struct ink {
    int32_t text, ground; // ground -1: the paper
    bool bold, underline;
} ink;

static ink ink_of(const picture *p, const ui_cell *c) {
    if (c->style == UI_PAINTED) {
        int32_t fg = p->colours && c->fg >= 0 ? c->fg : p->theme->ink, bg = p->colours ? c->bg : -1;
        return (ink){c->reverse ? bg >= 0 ? bg : p->theme->paper : fg, c->reverse ? fg : bg, false, false};
    }
    const ui_tint *t = &p->theme->tint[c->style];
    int bits = p->colours ? t->with : t->without;
    int32_t colour = p->colours && t->rgb >= 0 ? t->rgb : p->theme->ink;
    bool reverse = ((bits & UI_REVERSE) != 0) != (c->reverse != 0);
    return (ink){reverse ? p->theme->paper : colour, reverse ? colour : -1, bits & UI_BOLD, bits & UI_UNDERLINE};
}

static bool same_ink(ink a, ink b) {
    return a.text == b.text && a.ground == b.ground && a.bold == b.bold && a.underline == b.underline;
}

// ---- shapes ------------------------------------------------------------------------------------

// Part of a cell, in shares of its width and height.
typedef struct part {
    double x, y, w, h;
} part;

static void put_part(base_buf *path, int column, int row, part s) {
    base_buf_printf(path, "M%.2f %.2fh%.2fv%.2fh%.2fz", (column + s.x) * CELL_W, (row + s.y) * CELL_H, s.w * CELL_W,
                    s.h * CELL_H, -s.w * CELL_W);
}

static void put_braille(base_buf *path, int column, int row, uint32_t dots) {
    static const struct { int x, y; } place[8] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}};
    for (int i = 0; i < 8; i++)
        if (dots >> i & 1)
            put_part(path, column, row, (part){0.13 + 0.5 * place[i].x, 0.06 + 0.25 * place[i].y, 0.26, 0.13});
}

// Lines by the sides of the cell that they reach from its middle: left, right, up, down.
static void put_line(base_buf *path, int column, int row, const char *sides, double thick) {
    double tx = thick / CELL_W, ty = thick / CELL_H;
    for (; *sides; sides++) switch (*sides) { // a side a letter
        case 'l':
            put_part(path, column, row, (part){0, 0.5 - ty / 2, 0.5 + tx / 2, ty});
            break;
        case 'r':
            put_part(path, column, row, (part){0.5 - tx / 2, 0.5 - ty / 2, 0.5 + tx / 2, ty});
            break;
        case 'u':
            put_part(path, column, row, (part){0.5 - tx / 2, 0, tx, 0.5 + ty / 2});
            break;
        default:
            put_part(path, column, row, (part){0.5 - tx / 2, 0.5 - ty / 2, tx, 0.5 + ty / 2});
            break;
        }
}

// Draws a character that is a shape; false: it is a letter. Shades go to `shade` [3], light to dark.
static bool put_shape(base_buf *path, base_buf *shade, int column, int row, uint32_t ch) {
    static const struct {
        uint32_t ch;
        const char *sides;
        double thick;
    } lines[] = {{0x2500, "lr", 1},  {0x2501, "lr", 2.2}, {0x2502, "ud", 1},  {0x250C, "rd", 1},
                 {0x2510, "ld", 1},  {0x2514, "ru", 1},   {0x2518, "lu", 1},  {0x251C, "udr", 1},
                 {0x2524, "udl", 1}, {0x252C, "lrd", 1},  {0x2534, "lru", 1}, {0x253C, "lrud", 1}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (lines[i].ch == ch) {
            put_line(path, column, row, lines[i].sides, lines[i].thick);
            return true;
        }
    if (ch >= 0x2800 && ch <= 0x28FF) {
        put_braille(path, column, row, ch - 0x2800);
    } else if (ch == 0x2580) {
        put_part(path, column, row, (part){0, 0, 1, 0.5});
    } else if (ch >= 0x2581 && ch <= 0x2588) { // from below, in eighths
        double h = (ch - 0x2580) / 8.0;
        put_part(path, column, row, (part){0, 1 - h, 1, h});
    } else if (ch >= 0x2589 && ch <= 0x258F) { // from the left
        put_part(path, column, row, (part){0, 0, (0x2590 - ch) / 8.0, 1});
    } else if (ch == 0x2590) {
        put_part(path, column, row, (part){0.5, 0, 0.5, 1});
    } else if (ch >= 0x2591 && ch <= 0x2593) {
        put_part(&shade[ch - 0x2591], column, row, (part){0, 0, 1, 1});
    } else if (ch >= 0x2596 && ch <= 0x259F) { // quadrants: upper left 1, upper right 2, lower left 4, lower right 8
        static const uint8_t quadrants[] = {4, 8, 1, 13, 9, 7, 11, 2, 6, 14};
        for (int q = 0; q < 4; q++)
            if (quadrants[ch - 0x2596] >> q & 1)
                put_part(path, column, row, (part){q & 1 ? 0.5 : 0, q & 2 ? 0.5 : 0, 0.5, 0.5});
    } else {
        return false;
    }
    return true;
}

// ---- rows --------------------------------------------------------------------------------------

static void put_char(base_buf *text, uint32_t ch) {
    char bytes[5];
    if (ch == '&')
        base_buf_puts(text, "&amp;");
    else if (ch == '<')
        base_buf_puts(text, "&lt;");
    else if (ch == '>')
        base_buf_puts(text, "&gt;");
    else if (ch >= 0x20)
        base_buf_add(text, bytes, ui_encode(ch, bytes));
}

static void put_path(const picture *p, int32_t colour, double opacity, base_buf *path) {
    if (path->length) {
        fprintf(p->file, "<path fill=\"#%06x\"", (unsigned)colour);
        if (opacity < 1) fprintf(p->file, " fill-opacity=\"%g\"", opacity);
        fprintf(p->file, " d=\"%s\"/>\n", path->text);
    }
    base_buf_free(path);
}

// A stretch of letters without more than one blank between them, where it stands.
static void put_words(const picture *p, int x, int y, int width, ink look, const base_buf *text) {
    fprintf(p->file, "<text x=\"%.1f\" y=\"%.0f\" textLength=\"%.1f\" fill=\"#%06x\"%s%s>%s</text>\n", x * CELL_W,
            y * CELL_H + BASELINE, width * CELL_W, (unsigned)look.text, look.bold ? " font-weight=\"bold\"" : "",
            look.underline ? " text-decoration=\"underline\"" : "", text->text);
}

// Cells [from, to) of row y, all of one look.
static void put_run(const picture *p, const ui_grid *g, ui_rect r, int y, int from, int to, ink look) {
    base_buf text = {0}, path = {0}, shade[3] = {{0}, {0}, {0}};
    int begin = from;
    if (look.ground >= 0)
        fprintf(p->file, "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\" fill=\"#%06x\"/>\n", from * CELL_W,
                y * CELL_H, (to - from) * CELL_W, CELL_H, (unsigned)look.ground);
    for (int x = from; x <= to; x++) {
        uint32_t ch = x < to ? cell_at(g, r, x, y)->ch : 0;
        bool blank = ch == ' ' || ch == 0, wide = x < to && ch == 0; // the right half of a wide one belongs to it
        bool letter = x < to && (wide ? text.length > 0 : !blank && !put_shape(&path, shade, x, y, ch));
        // One blank between letters stays with them; text that is to be underlined keeps all of them.
        bool between = x < to && text.length > 0 && ch == ' ' &&
                       (look.underline || (x + 1 < to && cell_at(g, r, x + 1, y)->ch > ' '));
        if (letter || between || (look.underline && x < to)) {
            if (!text.length) begin = x;
            if (ch) put_char(&text, ch);
        } else if (text.length) {
            put_words(p, begin, y, x - begin, look, &text);
            base_buf_free(&text);
            text = (base_buf){0};
        }
    }
    base_buf_free(&text);
    put_path(p, look.text, 1, &path);
    for (int i = 0; i < 3; i++) put_path(p, look.text, 0.25 * (i + 1), &shade[i]);
}

void ui_svg_write(FILE *file, const ui_grid *g, ui_rect r, const ui_theme *theme, bool colours) {
    picture p = {file, theme, colours};
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.1f %.0f\" "
            "font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"%d\" xml:space=\"preserve\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#%06x\"/>\n",
            ceil(r.w * CELL_W), r.h * CELL_H, r.w * CELL_W, r.h * CELL_H, FONT_SIZE, (unsigned)theme->paper);
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w;) {
            ink look = ink_of(&p, cell_at(g, r, x, y));
            int from = x;
            while (x < r.w && same_ink(look, ink_of(&p, cell_at(g, r, x, y)))) x++;
            put_run(&p, g, r, y, from, x, look);
        }
    fprintf(file, "</svg>\n");
}
