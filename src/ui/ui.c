// The screen's loop: keys, signals and events wake it, a frame is drawn when something changed, at most sixty a second,
// and nothing happens in between.
#include "ui/ui.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ui/task.h"

#define FRAME_SECONDS (1.0 / 60)
enum { TICK_MS = 250 }; // while a job goes on: elapsed time and the turning sign

double ui_now(const ui_app *app) {
    return app->options->clock ? app->options->clock() : base_now();
}

void ui_say(ui_app *app, ui_style style, const char *fmt, ...) {
    char text[sizeof app->message];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    base_clean(app->message, sizeof app->message, text);
    app->message_style = style;
    app->dirty = true;
}

ui_scroll *ui_active_scroll(ui_app *app) {
    if (app->popup == UI_HELP || app->popup == UI_METHOD || app->popup == UI_RECIPES || app->popup == UI_COLUMNS)
        return &app->popup_scroll;
    return app->view_count ? &app->views[app->focus].scroll : NULL;
}

const char *ui_context(const ui_app *app, int index) {
    static const char *const popups[] = {[UI_HELP] = "help",
                                         [UI_METHOD] = "help",
                                         [UI_RECIPES] = "recipes",
                                         [UI_COLUMNS] = "columns",
                                         [UI_CONFIRM_QUIT] = "quit"};
    if (app->popup != UI_NO_POPUP) return index == 0 ? popups[app->popup] : NULL;
    if (!app->view_count || index > 1) return NULL;
    const ui_view *v = &app->views[app->focus];
    return index == 0 ? v->name : v->widget;
}

bool ui_context_has(const ui_app *app, const char *context) {
    const char *c;
    for (int i = 0; (c = ui_context(app, i)); i++)
        if (strcmp(c, context) == 0) return true;
    return false;
}

bool ui_colours_parse(const char *text, ui_colours *colours, base_err *err) {
    static const char *const names[] = {"auto", "16M", "256", "16", "8", "none"};
    for (int i = 0; i < 6; i++)
        if (strcmp(names[i], text) == 0) {
            *colours = (ui_colours)i;
            return true;
        }
    return base_fail_as(err, BASE_USAGE, "Colours are auto, 16M, 256, 16, 8 or none, not \"%s\".", text);
}

// ---- the loop ----------------------------------------------------------------------------------

static void take_signals(ui_app *app) {
    unsigned s = ui_term_signals();
    if (s & UI_SIGNAL_STOP) ui_term_suspend(false);
    if (s & UI_SIGNAL_INTERRUPT) ui_command_run(app, "interrupt");
    if (s & UI_SIGNAL_END) app->quit = app->quit_now = true;
    if (s) app->dirty = true;
}

static void take_keys(ui_app *app) {
    ui_mouse mouse;
    int key;
    while (!app->quit && (key = ui_term_key(&mouse)) != UI_KEY_NONE) {
        if (key == UI_KEY_MOUSE)
            ui_mouse_press(app, &mouse);
        else
            ui_key_press(app, key);
    }
}

// How long to sleep: until the next frame may be drawn, the next tick, or for ever.
static int sleep_ms(const ui_app *app) {
    if (app->player && !app->dirty && !ui_player_waiting(app)) return 0;
    if (app->dirty || app->mark_wanted) {
        double left = app->last_frame + FRAME_SECONDS - base_now();
        return left <= 0 ? 0 : (int)(left * 1000) + 1;
    }
    return app->state.job != UI_IDLE && !app->state.paused ? TICK_MS : -1;
}

static void draw_if_due(ui_app *app) {
    if (!app->dirty || base_now() < app->last_frame + FRAME_SECONDS) return;
    app->dirty = false;
    double from = base_now();
    ui_frame(app);
    app->last_frame = base_now();
    ui_frame_took(app, app->last_frame - from);
}

static void loop(ui_app *app) {
    struct pollfd fds[4 + UI_PART_FDS] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                          {.fd = session_queue_fd(app->queue), .events = POLLIN},
                                          {.fd = ui_term_wake_fd(), .events = POLLIN},
                                          {.fd = ui_tasks_fd(app), .events = POLLIN}};
    app->dirty = true;
    while (!app->quit) {
        int parts = ui_parts_fds(app, fds + 4);
        int ready = poll(fds, 4 + (nfds_t)parts, sleep_ms(app));
        if (ready < 0 && errno != EINTR) break;
        if (ready == 0 && app->state.job != UI_IDLE) app->dirty = true;
        if (ready > 0 && ui_term_gone(fds[0].revents)) {
            app->quit = app->quit_now = true;
            break;
        }
        take_signals(app);
        take_keys(app);
        if (ui_events_drain(app)) app->dirty = true;
        if (ui_tasks_drain(app)) app->dirty = true;
        if (ready > 0 && ui_parts_ready(app, fds + 4, parts)) app->dirty = true;
        if (!app->dirty) ui_player_step(app);
        draw_if_due(app);
        // Everything pressed and everything that came is on the screen.
        if (app->mark_wanted && !app->dirty) {
            app->mark_wanted = false;
            ui_term_mark();
        }
    }
}

// ---- start and end -----------------------------------------------------------------------------

// A theme that cannot be read is told of in the status line; the built-in one stays.
static void open_theme(ui_app *app) {
    base_err err = {0};
    if (app->options->theme && !ui_theme_read(&app->theme, app->options->theme, app->own_themes, &err))
        ui_say(app, UI_BAD, "%s", err.text);
}

static bool app_open(ui_app *app, base_err *err) {
    app->dots = 'b';
    // A run in the tests' place leaves nothing behind unless a folder is named.
    const ui_options *o = app->options;
    app->state_dir = o->state_dir ? base_strdup(o->state_dir) : o->body ? NULL : base_state_dir();
    app->config_dir = base_config_dir();
    app->own_themes = base_join(app->config_dir, "themes");
    ui_state_init(&app->state);
    if (app->options->script && !(app->player = ui_player_open(app->options->script, err))) return false;
    ui_theme_default(&app->theme);
    ui_config_read(app);
    ui_session_read(app);
    if (!ui_runner_open(app, err)) return false;
    if (!ui_tasks_open(app, err)) return false;
    ui_views_open(app);
    ui_parts_open(app);
    ui_typing_load(app);
    open_theme(app);
    ui_session_restore(app);
    bool runs = app->state.recipe[0] && ui_tab_find(app, "Run") == app->tab;
    if (!app->message[0])
        ui_say(app, UI_NORMAL, "%s%s%s? shows every key.", runs ? "Enter runs " : "", runs ? app->state.recipe : "",
               runs ? ". " : "");
    return true;
}

static void app_close(ui_app *app) {
    if (app->quit) ui_session_write(app);
    ui_tasks_close(app);
    if (app->queue) ui_runner_close(app);
    ui_parts_close(app);
    ui_views_close(app);
    ui_player_close(app->player);
    ui_search_free(app->search);
    ui_typing_save(app);
    ui_palette_clear(&app->palette);
    ui_page_clear(&app->page);
    free(app->state_dir);
    free(app->config_dir);
    free(app->start);
    json_decref(app->kept);
    ui_own_keys_clear();
    free(app->own_themes);
    ui_prompt_free(&app->prompt);
    ui_state_free(&app->state);
    ui_grid_free(&app->grid);
    free(app);
}

base_status ui_main(const ui_options *options, base_err *err) {
    ui_app *app = base_alloc(sizeof *app);
    app->choice = *options;
    app->options = &app->choice;
    *err = (base_err){0};
    // Mistakes in what was asked for are told before the screen is touched.
    if (!app_open(app, err)) {
        app_close(app);
        return err->status ? err->status : BASE_FAILED;
    }
    if (!ui_term_open(app->options, &app->theme, err)) {
        app_close(app);
        return err->status ? err->status : BASE_FAILED;
    }
    ui_config_start(app);
    loop(app);
    ui_term_close();
    app_close(app); // a closing window sends SIGHUP more than once: the run's last row is written all the same
    int end = ui_term_end_signal();
    ui_term_free();
    if (end) { // the caller of kill sees the end it asked for
        signal(end, SIG_DFL);
        raise(end);
    }
    return BASE_OK;
}
