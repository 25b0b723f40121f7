// Private to ui/: parts - what one feature of the screen adds to it: commands, keys, functions for views, rows to show,
// state of its own. A new feature is a file with a ui_part and a line in parts.c.
#ifndef VISE_UI_PART_H
#define VISE_UI_PART_H

#include <jansson.h>

#include "ui/app.h"

typedef struct ui_place {
    const char *context, *title;
} ui_place;

typedef struct ui_part {
    const char *name;
    const ui_command *commands;
    size_t command_count;
    const ui_binding *bindings;
    size_t binding_count;
    const script_function *functions; // of the Lua table `ui`
    size_t function_count;
    const ui_source *sources;
    size_t source_count;
    size_t bytes; // of its state: zeroed before open, freed after close
    // All may be NULL. `own` is the state. open may leave a message and must not fail: the screen goes on without.
    void (*open)(ui_app *app, void *own); // after the runner and the views
    void (*close)(ui_app *app, void *own);
    void (*event)(ui_app *app, void *own, const base_event *e); // of the job, after the state took it
    // A click into a panel that has the focus now, x and y within its inside; true: taken.
    bool (*click)(ui_app *app, void *own, ui_view *view, int x, int y);
    // A file to wait for beside keys and events, -1: none; what to do when it can be read. The screen is drawn after.
    int (*fd)(void *own);
    void (*ready)(ui_app *app, void *own);
    // A title for the help page's keys of each context that this part's bindings name, NULL after the last.
    const ui_place *places;
    // What the next start is to find again, as a JSON value (NULL: nothing), and that value given back; it may be of
    // another version or made by hand, so check all of it.
    json_t *(*keep)(const ui_app *app, const void *own);
    void (*restore)(ui_app *app, void *own, const json_t *kept);
} ui_part;

// A part's table of one kind with its length: UI_LIST(command, commands).
#define UI_LIST(kind, table) .kind##s = table, .kind##_count = sizeof table / sizeof *table

// A command's function, what it offers the palette, and the arguments that it has no use for.
#define ON(name) static bool name(ui_app *app, const char *argument, base_err *err)
#define OFFER(name) static void name(ui_app *app, const char *typed)
#define UNUSED (void)app, (void)argument, (void)err

extern const ui_part *const ui_parts[]; // core first
extern const size_t ui_part_count;

// The state of a part; NULL before it was opened.
void *ui_part_own(const ui_state *s, const ui_part *part);
void ui_parts_open(ui_app *app);
void ui_parts_close(ui_app *app);
void ui_parts_event(ui_app *app, const base_event *e);
enum { UI_PART_FDS = 4 };
struct pollfd;
int ui_parts_fds(const ui_app *app, struct pollfd *fds);               // up to UI_PART_FDS; how many; before each poll
bool ui_parts_ready(ui_app *app, const struct pollfd *fds, int count); // after it; true: something came
json_t *ui_parts_keep(const ui_app *app);                              // an object with a value a part
void ui_parts_restore(ui_app *app, const json_t *kept);

// Everything of all parts, in order; NULL after the last.
const ui_command *ui_command_at(size_t index);
const ui_binding *ui_binding_at(size_t index);
const script_function *ui_function_at(size_t index);
const ui_source *ui_part_source(size_t index);
// The functions as one array, for script_view_open; lives as long as the program.
const script_function *ui_functions(size_t *count);

// The core in three: commands.c, keys.c, host.c.
extern const ui_part ui_part_commands, ui_part_keys, ui_part_host;
// The others, a file each.
extern const ui_part ui_part_save;
extern const ui_part ui_part_past, ui_part_trade;
extern const ui_part ui_part_control;
extern const ui_part ui_part_past;
extern const ui_part ui_part_resize;
extern const ui_part ui_part_start;
extern const ui_part ui_part_frames;

// Keys of the user's configuration, which count before all others.
extern ui_part ui_part_own_keys;
bool ui_own_key_add(const char *key, const char *command, const char *context); // false: too many
void ui_own_keys_clear(void);
extern const ui_part ui_part_recipe, ui_part_recipe_code, ui_part_recipe_file;
extern const ui_part ui_part_composer, ui_part_samples;
extern const ui_part ui_part_heat; // sensitivity tables as a heat map
extern const ui_part ui_part_look; // a layer's weights, spectrum, codes
// Where layers of the run that begins are kept for looking into, a context for look_store_made; NULL: nowhere.
void *ui_look_begin(const ui_app *app);
void look_store_made(void *store, const compress_made *layer);

// What parts offer each other.
// This layer (its exact name) gets these steps, "quantize{ bits = 3 }, lowrank{ rank = 8 }", by a rule of its own
// before all others in the recipe; again: it is replaced. "keep{}" leaves the layer as it is. A recipe whose rules
// cannot be changed gives way to a new one. Many calls in one command are one step of undo. On failure nothing changed;
// the error is the recipe loader's, with the line.
bool ui_composer_set(ui_app *app, const char *layer, const char *steps_lua, base_err *err);
// Makes a text the recipe and runs it; `name` stands for its file in messages.
bool ui_run_recipe_text(ui_app *app, const char *name, const char *text, base_err *err);
void ui_recipe_settle(ui_app *app);                     // what changed since the last call becomes a step of undo
bool ui_recipe_ready(const ui_app *app, base_err *err); // false: the text that is shown does not load
void ui_recipe_ran(ui_app *app);                        // the recipe begins to run

// A part's own sources keep rows in its state: `ui_part_own(s, &ui_part_NAME)`.

#endif
