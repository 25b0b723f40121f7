// Private to ui/: the recipe as a text that is shown, changed, undone and kept in files.
//
// app->recipe is always one that loads. A text that does not load (a file saved half-way, what another panel asked for)
// is kept beside it as a draft with its error, is what the screen shows, and nothing runs until it is mended.
#ifndef VISE_UI_RECIPE_H
#define VISE_UI_RECIPE_H

#include "ui/part.h"
#include "ui/rules.h"

enum { UI_UNDO_STEPS = 200 };

typedef struct ui_snapshot {
    char *path, *text;
    base_param_row *params;
    int count;
} ui_snapshot;

typedef struct ui_code_line { // a row of the source "code"
    int64_t number;
    char text[240]; // of the beginning
    size_t from, to;
} ui_code_line;

typedef struct ui_recipe_own {
    ui_snapshot undo[UI_UNDO_STEPS], redo[UI_UNDO_STEPS], now; // now: as last looked at
    int undo_count, redo_count;
    char *draft, *draft_path; // NULL: what app->recipe has is shown
    char error[1024];         // of the draft, or of the last run of this text
    int error_line;           // 0: none
    char *running;            // text of the run that goes on or ended last
    bool changed, shipped;    // its text is not that of its file; its file is one of Vise's own
    bool again;               // run when its file was saved
    char *watched;            // file whose saves are told of; NULL: none
    int watch_fd, watch_of;   // -1: none
    char stamp[64];           // of the file as last looked at
    uint64_t version;         // counts the texts shown: what is made from one knows when it is old
    bool jump;                // the cursor is to go to the line of the error
    int shift;                // columns that the text is shifted to the left
    // Made from the text shown, by recipe_code.c.
    uint64_t painted; // version they were made from; 0: none yet
    uint8_t *paint;   // a ui_lua_kind a byte
    ui_code_line *line;
    int line_count;
} ui_recipe_own;

extern const ui_part ui_part_recipe;
ui_recipe_own *ui_recipe_of(const ui_app *app);
const char *ui_recipe_text(const ui_app *app); // shown; "" when there is none
const char *ui_recipe_path(const ui_app *app);

// Makes a text the recipe. Values of params that are in both stay. On failure nothing changed.
bool ui_recipe_change(ui_app *app, const char *path, const char *text, base_err *err);
// The same, but a text that does not load becomes the draft; false then, err says why.
bool ui_recipe_show(ui_app *app, const char *path, const char *text, base_err *err);
// The text with the values of the params as the recipe's own: what a file gets, so that it runs the same without the
// screen. Caller frees.
char *ui_recipe_with_values(const char *text, const base_param_row *params, int count);
// The line that an error names as PATH:LINE:, 0: none.
int ui_recipe_error_line(const char *message, const char *path);
bool ui_recipe_is_shipped(const char *path);
// A whole recipe with one rule, for the model and data at hand; caller frees.
char *ui_recipe_fresh(const ui_app *app);

// recipe_file.c: in the user's editor, written to files, read again when they are saved
bool ui_recipe_file_changed(ui_app *app); // when the file watched was saved it is read; true: it was
void ui_recipe_watch(ui_app *app);        // the file of the recipe shown, from now on
void ui_recipe_watch_end(ui_recipe_own *own);

#endif
