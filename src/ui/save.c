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

static bool write_svg(const ui_app *app, ui_rect r, const char *path, base_err *err) {
    base_out out;
    if (!may_write(path, ".svg", err) || !base_out_open(&out, path, err)) return false;
    ui_svg_write(out.file, &app->grid, r, &app->theme, ui_theme_coloured());
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
