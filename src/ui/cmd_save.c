// Commands that write what is seen into files.
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

static bool saved(ui_app *app, bool ok, const char *what, const char *path) {
    if (ok) ui_say(app, UI_GOOD, "Saved %s in %s.", what, path);
    return ok;
}
// A path as people type it; caller frees.
static char *file_named(const char *argument, base_err *err) {
    const char *home = getenv("HOME");
    if (!argument[0]) base_fail(err, "a file name was expected");
    return !argument[0]                                       ? NULL
           : argument[0] == '~' && argument[1] == '/' && home ? base_sprintf("%s%s", home, argument + 1)
                                                              : base_strdup(argument);
}
ON(on_save) {
    char *path = file_named(argument, err);
    if (!path) return false;
    bool picture = strcmp(base_extension(path), ".svg") == 0;
    bool ok = picture ? ui_save_svg(app, true, path, err) : ui_save_text(app, true, path, err);
    saved(app, ok, picture ? "a picture of this screen" : "this screen as text", path);
    free(path);
    return ok;
}
ON(on_save_text) {
    char *path = file_named(argument, err);
    bool ok = path && saved(app, ui_save_text(app, false, path, err), "this panel as text", path);
    free(path);
    return ok;
}
ON(on_save_svg) {
    char *path = file_named(argument, err);
    bool ok = path && saved(app, ui_save_svg(app, false, path, err), "a picture of this panel", path);
    free(path);
    return ok;
}
ON(on_save_csv) {
    char *path = file_named(argument, err);
    bool ok = path && saved(app, ui_save_csv(app, path, err), "the rows of this panel", path);
    free(path);
    return ok;
}

static const ui_command commands[] = {
    {"save", "FILE", "save the whole screen, as a picture when the name ends in .svg, else as text", on_save, NULL,
     NULL},
    {"save-text", "FILE", "save this panel as text", on_save_text, NULL, NULL},
    {"save-svg", "FILE", "save this panel as a picture (SVG) in the colours of the theme", on_save_svg, NULL, NULL},
    {"save-csv", "FILE", "save all rows and fields behind this panel as CSV", on_save_csv, NULL, NULL},
};

const ui_part ui_part_save = {.name = "save", UI_LIST(command, commands)};
