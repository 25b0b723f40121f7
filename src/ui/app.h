// Private to ui/: the running screen - its state, views, prompt, popups and job, and the functions its files share.
#ifndef VISE_UI_APP_H
#define VISE_UI_APP_H

#include <jansson.h>
#include <pthread.h>

#include "ui/layout.h"
#include "ui/palette.h"
#include "ui/prompt.h"
#include "ui/state.h"
#include "ui/term.h"
#include "ui/theme.h"
#include "ui/widget.h"

enum { UI_MAX_PIECES = 8 }; // pieces of a panel inside each other
enum { UI_MAX_TABS = 12 };

typedef struct ui_view {
    char *path, name[32], title[40], note[64];
    script_view *lua; // NULL when it could not be loaded
    char error[1024]; // why it is not drawn; "" when all is well
    ui_slot slot;
    double order;
    uint32_t tabs;    // a bit a tab it stands on
    int home_tab;     // the first it names
    int want_h;       // rows that the user gave it, 0: none
    ui_scroll scroll; // of its main widget
    ui_rect inside;   // of its panel, as last drawn
    // Its main widget as last drawn: what movement keys act on and which bindings hold: "table", "log", "params",
    // "chart", or one of a part's; "" none.
    const char *widget;
    const ui_source *source; // its rows, NULL when it has none
} ui_view;

// A tab: the panels that stand together on the screen.
typedef struct ui_tab {
    char title[24];
    int focus;    // the view that had the focus, -1: none yet
    double split; // share of the left column that the user chose, 0: none
} ui_tab;

typedef enum ui_popup { UI_NO_POPUP, UI_HELP, UI_METHOD, UI_RECIPES, UI_COLUMNS, UI_CONFIRM_QUIT } ui_popup;

typedef struct ui_page_line {
    ui_style style;
    char *text;
} ui_page_line;
typedef struct ui_page { // of a popup, wrapped to `width`
    ui_page_line *line;
    int count, capacity, width;
} ui_page;

// An edge held with the mouse: 'w' between the columns, 'h' between two panels, 0 none.
typedef struct ui_drag {
    char kind;
    int upper, lower;
} ui_drag;

// Inputs of the run as found out on the job thread.
typedef struct ui_inputs {
    pthread_mutex_t lock;
    char model[256], data[256];
    bool fresh;
} ui_inputs;

struct ui_player;

typedef struct ui_app {
    const ui_options *options; // `choice`: as asked for, then as configured, then as the last session left it
    ui_options choice;
    json_t *kept; // what the last session left, NULL: nothing
    char *start;  // lines of commands that the configuration runs first; NULL: none
    ui_state state;
    ui_grid grid;
    ui_layout layout;
    int width, height;
    ui_view views[UI_MAX_VIEWS];
    int view_count, focus;
    ui_tab tabs[UI_MAX_TABS];
    int tab_count, tab;
    int tab_x[UI_MAX_TABS], tab_end[UI_MAX_TABS]; // columns in the title bar, as last drawn; 0: not there
    bool zoom;
    ui_drag drag;
    // The view being drawn, and the pieces of its panel: widgets draw into the innermost.
    ui_view *drawing;
    ui_area piece[UI_MAX_PIECES];
    int depth;

    ui_popup popup;
    ui_scroll popup_scroll;
    ui_rect popup_box; // as last drawn
    ui_page page;
    char topic[200]; // what the method page tells of
    ui_prompt prompt;
    ui_palette palette;
    ui_theme theme;
    bool theme_chosen;             // by a command, so the session keeps it
    char *config_dir, *own_themes; // folders of the user's, which need not exist
    char *state_dir;               // of typed lines and the session; NULL: nothing is kept
    ui_search *search;
    char pattern[256];
    char message[512];
    ui_style message_style;
    int interrupts; // Ctrl-C pressed while nothing was left to stop
    char dots;      // 'b', 'l', 'a'

    script_recipe *recipe;
    char *model, *data, *arch, *out; // absolute paths or NULL: what the next run opens
    session_history *history;
    session_queue *queue;
    session_job *job;
    session_recorder *recorder;
    struct ui_work *work;   // what the job thread reads
    struct ui_tasks *tasks; // work beside the job, see task.h
    ui_inputs inputs;

    bool dirty, quit, mark_wanted, quit_now;
    double last_frame;
    struct ui_player *player; // the script of keys, NULL when done
} ui_app;

double ui_now(const ui_app *app);
// One line for the status row; the newest wins.
void ui_say(ui_app *app, ui_style style, const char *fmt, ...) BASE_PRINTF(3, 4);
// The scroll position that movement acts on: the popup's, or the focused panel's.
ui_scroll *ui_active_scroll(ui_app *app);
// Which bindings hold, most particular first: the popup's ("help", "recipes"); else the view's name ("layers") and its
// main widget ("table", "params"). Index from 0; NULL after the last.
const char *ui_context(const ui_app *app, int index);
bool ui_context_has(const ui_app *app, const char *context);

// views.c: the panels
void ui_views_open(ui_app *app);
void ui_views_close(ui_app *app);
void ui_views_reload(ui_app *app);
void ui_view_draw(ui_app *app, int index, ui_area area);
bool ui_view_key(ui_app *app, const char *key);        // true: the view took it
int ui_view_find(const ui_app *app, const char *name); // by name, -1
void ui_view_focus(ui_app *app, int index);            // on the tab it stands on
bool ui_view_here(const ui_app *app, int index);       // it stands on the tab that is shown
int ui_tab_find(const ui_app *app, const char *name);  // by name, its beginning, or number from 1; -1
void ui_tab_go(ui_app *app, int tab);
// draw.c
void ui_frame_took(ui_app *app, double seconds); // frames.c
void ui_frame(ui_app *app);                      // lay out, draw everything, send what changed
void ui_compose(ui_app *app); // the same without sending: what panels offer to the keys is up to date again

// save.c: the whole screen or the focused panel as text or picture, the rows behind the panel as CSV
bool ui_save_text(ui_app *app, bool whole, const char *path, base_err *err);
bool ui_save_svg(ui_app *app, bool whole, const char *path, base_err *err);
bool ui_save_csv(const ui_app *app, const char *path, base_err *err);
// svg.c: the cells of `r` as a picture in the theme's colours
void ui_svg_write(FILE *file, const ui_grid *g, ui_rect r, const ui_theme *theme, bool colours);

// page.c: text in a popup
void ui_page_open(ui_app *app, ui_popup popup);
void ui_page_fit(ui_app *app, int width);
int ui_page_width(const ui_app *app);
void ui_page_add(ui_page *p, ui_style style, int hang, const char *text);
void ui_page_clear(ui_page *p);
bool ui_method_open(ui_app *app, const char *name, base_err *err); // "": what is under the cursor
// help.c: lines made from the tables
void ui_help_page(const ui_app *app, ui_page *p);

// runner.c: recipes, inputs and the job
bool ui_runner_open(ui_app *app, base_err *err);
void ui_runner_close(ui_app *app);
bool ui_recipe_open(ui_app *app, const char *name, base_err *err);
void ui_recipe_take(ui_app *app, script_recipe *recipe); // becomes the recipe; owned from now on
bool ui_param_set(ui_app *app, const char *name, const char *value, base_err *err);
bool ui_run_start(ui_app *app, base_err *err);
// The screen's recipe with other inputs: everything is computed, files are told of but not written, nothing is
// recorded.
typedef struct ui_again {
    const char *model, *data, *arch, *base; // NULL: the recipe's own
    uint64_t seed;
    void (*ended)(ui_app *app, base_status status); // after it ended
} ui_again;
bool ui_run_again(ui_app *app, const ui_again *again, base_err *err);
_Noreturn void ui_leave_now(void);  // without waiting for threads that do not stop
void ui_inspect_start(ui_app *app); // list the layers of the model before any run
void ui_run_cancel(ui_app *app);
bool ui_events_drain(ui_app *app); // true: something came
void ui_use_model(ui_app *app, const char *path);
void ui_use_data(ui_app *app, const char *path);

// commands.c
typedef struct ui_command {
    const char *name, *args, *help; // args in brackets may be left out
    bool (*run)(ui_app *app, const char *argument, base_err *err);
    // Why it cannot be used now, NULL when it can. May be NULL.
    const char *(*refuse)(const ui_app *app);
    // Offers the palette what the argument may be. May be NULL.
    void (*offer)(ui_app *app, const char *typed);
} ui_command;
const ui_command *ui_command_find(const char *name);
void ui_command_run(ui_app *app, const char *line); // "recipe w8"; errors go to the status row

// config.c: the user's config.lua
void ui_config_read(ui_app *app);
void ui_config_start(ui_app *app); // its commands
// session.c: what the next start finds again
void ui_session_read(ui_app *app);    // before the runner opens: inputs
void ui_session_restore(ui_app *app); // after everything is open: the layout and what the parts keep
void ui_session_write(ui_app *app);
// resize.c: edges of panels under the mouse. press: true when one is there
bool ui_resize_press(ui_app *app, int x, int y);
void ui_resize_drag(ui_app *app, int x, int y);

// typing.c: the line at the bottom, its choices and its lines of earlier sessions
void ui_typing_start(ui_app *app, ui_prompt_kind kind, const char *text, bool eager);
void ui_typing_key(ui_app *app, int key);
void ui_typing_refresh(ui_app *app);
void ui_typing_load(ui_app *app);
void ui_typing_save(ui_app *app);

// search.c: looking through the rows of the focused panel
void ui_search_set(ui_app *app, const char *pattern, bool move); // a bad pattern colours the prompt and changes nothing
void ui_search_step(ui_app *app, int direction);

// keys.c
typedef struct ui_binding {
    const char *key, *command, *context; // context NULL: everywhere
    const char *hint;                    // in the line of keys at the bottom; NULL: not there
} ui_binding;
const char *ui_key_name(int key, char out[16]); // "j", "C-l", "Tab", "PgDn"
int ui_key_parse(const char *name);             // UI_KEY_NONE: no such key
// All keys that run a command, "z", "j Down".
char *ui_command_keys(const ui_app *app, const ui_command *command, char *out, size_t size);
const ui_binding *ui_binding_find(const char *key, const char *context); // in that context alone; NULL: everywhere
const ui_binding *ui_binding_here(const ui_app *app, const char *key);   // what the key does now, NULL: nothing
void ui_key_press(ui_app *app, int key);
void ui_mouse_press(ui_app *app, const ui_mouse *mouse);

// player.c: the script of keys
struct ui_player *ui_player_open(const char *path, base_err *err);
void ui_player_step(ui_app *app); // plays one line when its time has come
bool ui_player_waiting(const ui_app *app);
void ui_player_close(struct ui_player *p);

#endif
