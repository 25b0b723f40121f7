// What is on the screen as a file: text and SVG from the cells, CSV from the rows behind a panel. Each file appears
// whole or not at all.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/app.h"

// A file that exists is replaced only when its name says that it is of the same kind: a slip of the finger is not to
// cost a model.
static bool may_write(const char *path, const char *kinds, base_err *err) {
    const char *extension = base_extension(path);
    if (!base_is_file(path) || (extension[0] && strstr(kinds, extension))) return true;
    return base_fail(err, "%s exists and is no %s file; give another name, or remove it first", path, kinds + 1);
}

static const ui_cell *cell_at(const ui_grid *g, ui_rect r, int x, int y) {
    return &g->cells[(r.y + y) * g->w + r.x + x];
}

static bool write_text(const ui_grid *g, ui_rect r, const char *path, base_err *err) {
    base_out out;
    if (!may_write(path, ".txt .text", err) || !base_out_open(&out, path, err)) return false;
    for (int y = 0; y < r.h; y++) {
        base_buf line = {0};
        for (int x = 0; x < r.w; x++) {
            uint32_t ch = cell_at(g, r, x, y)->ch;
            char text[5];
            if (ch) base_buf_add(&line, text, ui_encode(ch, text));
        }
        while (line.length > 0 && line.text[line.length - 1] == ' ') line.text[--line.length] = 0;
        fprintf(out.file, "%s\n", line.text ? line.text : "");
        base_buf_free(&line);
    }
    return base_out_commit(&out, err);
}

// ---- SVG ---------------------------------------------------------------------------------------

#define CELL_W 8.43 // pixels: 0.602 of the size of the letters, as in the fonts named below
#define CELL_H 17.0
enum { FONT_SIZE = 14, BASELINE = 13 };

typedef struct picture {
    FILE *file;
    const ui_theme *theme;
    bool colours;
} picture;

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

static void put_run(const picture *p, int x, int y, int width, ink look, const base_buf *text, bool blank) {
    if (look.ground >= 0)
        fprintf(p->file, "<rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\" fill=\"#%06x\"/>\n", x * CELL_W,
                y * CELL_H, width * CELL_W, CELL_H, (unsigned)look.ground);
    if (blank && !look.underline) return;
    fprintf(p->file, "<text x=\"%.1f\" y=\"%.0f\" textLength=\"%.1f\" fill=\"#%06x\"%s%s>%s</text>\n", x * CELL_W,
            y * CELL_H + BASELINE, width * CELL_W, (unsigned)look.text, look.bold ? " font-weight=\"bold\"" : "",
            look.underline ? " text-decoration=\"underline\"" : "", text->text ? text->text : "");
}

static void put_row(const picture *p, const ui_grid *g, ui_rect r, int y) {
    int x = 0;
    while (x < r.w) {
        ink look = ink_of(p, cell_at(g, r, x, y));
        base_buf text = {0};
        bool blank = true;
        int from = x;
        for (; x < r.w && same_ink(look, ink_of(p, cell_at(g, r, x, y))); x++) {
            uint32_t ch = cell_at(g, r, x, y)->ch;
            if (ch && ch != ' ') blank = false;
            put_char(&text, ch);
        }
        put_run(p, from, y, x - from, look, &text, blank);
        base_buf_free(&text);
    }
}

static bool write_svg(const ui_app *app, ui_rect r, const char *path, base_err *err) {
    base_out out;
    if (!may_write(path, ".svg", err) || !base_out_open(&out, path, err)) return false;
    picture p = {out.file, &app->theme, ui_theme_coloured()};
    fprintf(out.file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.1f %.0f\" "
            "font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"%d\" xml:space=\"preserve\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#%06x\"/>\n",
            ceil(r.w * CELL_W), r.h * CELL_H, r.w * CELL_W, r.h * CELL_H, FONT_SIZE, (unsigned)app->theme.paper);
    for (int y = 0; y < r.h; y++) put_row(&p, &app->grid, r, y);
    fprintf(out.file, "</svg>\n");
    return base_out_commit(&out, err);
}

// ---- CSV ---------------------------------------------------------------------------------------

// RFC 4180: quotes around what holds a comma, a quote or a line end.
static void put_quoted(FILE *file, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"') fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static void put_value(FILE *file, const ui_app *app, const ui_source *source, int row, const base_field *f) {
    double number;
    const char *text = ui_source_text(source, &app->state, row, f);
    if (text)
        put_quoted(file, text);
    else if (ui_source_number(source, &app->state, row, f, &number) && isfinite(number))
        fprintf(file, "%.17g", number); // every bit of it
}

bool ui_save_csv(const ui_app *app, const char *path, base_err *err) {
    const ui_view *v = app->view_count ? &app->views[app->focus] : NULL;
    const ui_source *source = v ? v->source : NULL;
    // Where a panel's rows stand for more, such as a line of cells, a source NAME-all has them.
    char all[64];
    snprintf(all, sizeof all, "%s-all", source ? source->name : "");
    if (ui_source_find(all)) source = ui_source_find(all);
    if (source && strcmp(source->name, "tree") == 0) source = ui_source_find("layers"); // all of them, none folded away
    base_out out;
    if (!source) return base_fail(err, "the panel %s shows no rows that could be saved", v ? v->title : "in focus");
    if (!may_write(path, ".csv", err) || !base_out_open(&out, path, err)) return false;
    const base_field *f;
    for (int i = 0; (f = ui_source_field_at(source, i)); i++) {
        if (i) fputc(',', out.file);
        put_quoted(out.file, f->name);
    }
    fputs("\r\n", out.file);
    for (int row = 0; row < source->count(&app->state); row++) {
        for (int i = 0; (f = ui_source_field_at(source, i)); i++) {
            if (i) fputc(',', out.file);
            put_value(out.file, app, source, row, f);
        }
        fputs("\r\n", out.file);
    }
    return base_out_commit(&out, err);
}

// ---- what is saved -----------------------------------------------------------------------------

// The screen as it is without the line that asked for this, or its focused panel alone.
static bool area_of(ui_app *app, bool whole, ui_rect *r, base_err *err) {
    app->message[0] = 0;
    ui_compose(app);
    *r = whole             ? (ui_rect){0, 0, app->grid.w, app->grid.h}
         : app->view_count ? app->layout.panel[app->focus]
                           : (ui_rect){0};
    if (app->popup != UI_NO_POPUP && !whole) *r = app->popup_box; // the page that is open is what is seen
    return (r->w > 0 && r->h > 0) || base_fail(err, "the screen is too small to show a panel that could be saved");
}

bool ui_save_text(ui_app *app, bool whole, const char *path, base_err *err) {
    ui_rect r;
    return area_of(app, whole, &r, err) && write_text(&app->grid, r, path, err);
}

bool ui_save_svg(ui_app *app, bool whole, const char *path, base_err *err) {
    ui_rect r;
    return area_of(app, whole, &r, err) && write_svg(app, r, path, err);
}
