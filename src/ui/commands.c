// Named commands: everything a key can do, what is typed after a colon and what scripts play go through this one table.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/layers.h"

// ---- moving ------------------------------------------------------------------------------------

static bool move_by(ui_app *app, int delta) {
    ui_scroll *s = ui_active_scroll(app);
    if (s) ui_scroll_move(s, delta);
    return true;
}
static int page_of(ui_app *app) {
    const ui_scroll *s = ui_active_scroll(app);
    return s && s->page > 1 ? s->page - 1 : 1;
}
ON(on_up) {
    UNUSED;
    return move_by(app, -1);
}
ON(on_down) {
    UNUSED;
    return move_by(app, 1);
}
ON(on_page_up) {
    UNUSED;
    return move_by(app, -page_of(app));
}
ON(on_page_down) {
    UNUSED;
    return move_by(app, page_of(app));
}
ON(on_top) {
    UNUSED;
    return move_by(app, -(1 << 28));
}
ON(on_bottom) {
    UNUSED;
    return move_by(app, 1 << 28);
}

static bool shown(const ui_app *app, int view) {
    return app->layout.panel[view].w > 0;
}

static void focus_step(ui_app *app, int direction) {
    int i = app->focus;
    do {
        i = (i + direction + app->view_count) % app->view_count;
    } while (i != app->focus && !ui_view_here(app, i));
    app->focus = i;
}
ON(on_next) {
    UNUSED;
    if (app->view_count) focus_step(app, 1);
    return true;
}
ON(on_previous) {
    UNUSED;
    if (app->view_count) focus_step(app, -1);
    return true;
}

// The nearest panel beside the focused one.
static void focus_beside(ui_app *app, int direction) {
    if (!app->view_count) return;
    ui_rect here = app->layout.panel[app->focus];
    int best = -1, least = 1 << 20;
    for (int i = 0; i < app->view_count; i++) {
        ui_rect r = app->layout.panel[i];
        if (!shown(app, i) || (direction > 0 ? r.x <= here.x : r.x >= here.x)) continue;
        int far = abs(r.y - here.y);
        if (far < least) best = i, least = far;
    }
    if (best >= 0) app->focus = best;
}
ON(on_left) {
    UNUSED;
    focus_beside(app, -1);
    return true;
}
ON(on_right) {
    UNUSED;
    focus_beside(app, 1);
    return true;
}

ON(on_view) {
    int i = ui_view_find(app, argument);
    if (i < 0) return base_fail(err, "there is no view \"%s\"", argument);
    ui_view_focus(app, i);
    return true;
}
static bool to_tab(ui_app *app, int tab) {
    if (tab != app->tab) app->message[0] = 0; // it was said of another place
    ui_tab_go(app, tab);
    return true;
}
ON(on_tab) {
    int i = ui_tab_find(app, argument);
    if (i < 0) return base_fail(err, "there is no tab \"%s\"; there are %d", argument, app->tab_count);
    return to_tab(app, i);
}
OFFER(tab_offer) {
    (void)typed;
    for (int i = 0; i < app->tab_count; i++) ui_palette_offer(&app->palette, app->tabs[i].title, NULL);
}
static bool tab_step(ui_app *app, int direction) {
    return !app->tab_count || to_tab(app, (app->tab + direction + app->tab_count) % app->tab_count);
}
ON(on_next_tab) {
    UNUSED;
    return tab_step(app, 1);
}
ON(on_previous_tab) {
    UNUSED;
    return tab_step(app, -1);
}
OFFER(view_offer) {
    (void)typed;
    for (int i = 0; i < app->view_count; i++) ui_palette_offer(&app->palette, app->views[i].name, app->views[i].title);
}
ON(on_layer) {
    for (int i = 0; i < app->state.layer_count; i++) {
        if (strcmp(app->state.layers[i].row.name, argument) != 0) continue;
        for (int v = 0; v < app->view_count; v++) {
            if (!app->views[v].source || strcmp(app->views[v].source->name, "layers") != 0) continue;
            ui_view_focus(app, v);
            ui_scroll_to(&app->views[v].scroll, i);
            return true;
        }
        return ui_layers_go(app, i, err);
    }
    return base_fail(err, "the model has no layer \"%s\"", argument);
}
OFFER(layer_offer) {
    (void)typed;
    for (int i = 0; i < app->state.layer_count; i++) {
        const base_layer_row *r = &app->state.layers[i].row;
        char note[160];
        snprintf(note, sizeof note, "%s %s", r->kind, r->shape);
        ui_palette_offer(&app->palette, r->name, note);
    }
}
ON(on_zoom) {
    UNUSED;
    app->zoom = !app->zoom;
    return true;
}

// ---- runs --------------------------------------------------------------------------------------

static const char *needs_no_run(const ui_app *app) {
    return app->state.job == UI_RUNNING ? "a run is going; Esc stops it" : NULL;
}
static const char *needs_run(const ui_app *app) {
    return app->state.job == UI_RUNNING ? NULL : "no run is going";
}

ON(on_run) {
    (void)argument;
    return ui_run_start(app, err);
}

ON(on_stop) {
    UNUSED;
    if (app->state.stopping) return true;
    ui_run_cancel(app);
    ui_say(app, UI_WARN, "Stopping; finished layers are kept. Ctrl-C again quits at once.");
    return true;
}

ON(on_recipes) {
    (void)argument;
    if (app->state.recipe_count == 0) return base_fail(err, "no recipes were found below %s", base_home());
    app->popup = UI_RECIPES;
    app->popup_scroll = (ui_scroll){.count = app->state.recipe_count};
    for (int i = 0; i < app->state.recipe_count; i++)
        if (strcmp(app->state.recipes[i].name, app->state.recipe) == 0) app->popup_scroll.cursor = i;
    return true;
}
ON(on_recipe) {
    if (!argument[0]) return on_recipes(app, argument, err);
    if (!ui_recipe_open(app, argument, err)) return false;
    ui_say(app, UI_NORMAL, "%s: %s", app->state.recipe, app->state.recipe_about);
    return true;
}
OFFER(recipe_offer) {
    (void)typed;
    for (int i = 0; i < app->state.recipe_count; i++)
        ui_palette_offer(&app->palette, app->state.recipes[i].name, app->state.recipes[i].about);
}
ON(on_pick) {
    (void)argument;
    app->popup = UI_NO_POPUP;
    int i = app->popup_scroll.cursor;
    return i >= app->state.recipe_count || on_recipe(app, app->state.recipes[i].name, err);
}

ON(on_model) {
    (void)err;
    if (!argument[0])
        ui_say(app, UI_NORMAL, "%s", app->model ? app->model : "the recipe's own model");
    else
        ui_use_model(app, argument);
    return true;
}
ON(on_data) {
    (void)err;
    ui_use_data(app, argument);
    ui_say(app, UI_NORMAL, "%s", app->data ? app->data : "The recipe's own data, or what belongs to the model.");
    return true;
}

// ---- params ------------------------------------------------------------------------------------

static base_param_row *param_here(ui_app *app) {
    if (!app->view_count || strcmp(app->views[app->focus].widget, "params") != 0) return NULL;
    int i = app->views[app->focus].scroll.cursor;
    return i < app->state.param_count ? &app->state.params[i] : NULL;
}

static bool change_param(ui_app *app, int direction) {
    base_param_row *p = param_here(app);
    if (!p) return true;
    char value[96];
    if (!ui_param_step(p, direction))
        ui_say(app, UI_WARN, "%s ends at %s.", p->name, ui_param_text(p, value, sizeof value));
    else
        ui_say(app, UI_NORMAL, "%s = %s; Enter runs with it.", p->name, ui_param_text(p, value, sizeof value));
    return true;
}
ON(on_less) {
    UNUSED;
    return change_param(app, -1);
}
ON(on_more) {
    UNUSED;
    return change_param(app, 1);
}

ON(on_set) {
    const char *equals = strchr(argument, '=');
    if (!equals || equals == argument) return base_fail(err, "set takes NAME=VALUE");
    char *name = base_strndup(argument, (size_t)(equals - argument));
    bool ok = ui_param_set(app, name, equals + 1, err);
    free(name);
    return ok;
}
// The values one would try: each choice, or the range's ends with what the recipe has and the screen shows between.
static void offer_values(ui_app *app, const base_param_row *p) {
    char text[200], value[96];
    for (const char *at = p->choices; *at; at += strcspn(at, "|") + (at[strcspn(at, "|")] == '|')) {
        snprintf(text, sizeof text, "%s=%.*s", p->name, (int)strcspn(at, "|"), at);
        ui_palette_offer(&app->palette, text, "");
    }
    if (p->choices[0]) return;
    const struct {
        double value;
        const char *note;
    } ends[] = {{p->value, "as it is"}, {p->def, "the recipe's own"}, {p->min, "least"}, {p->max, "most"}};
    for (int i = 0; i < 4; i++) {
        base_param_row there = *p;
        there.value = ends[i].value;
        bool seen = !isfinite(there.value);
        for (int j = 0; j < i; j++) seen |= ends[j].value == there.value;
        snprintf(text, sizeof text, "%s=%s", p->name, ui_param_text(&there, value, sizeof value));
        if (!seen) ui_palette_offer(&app->palette, text, ends[i].note);
    }
}
OFFER(param_offer) {
    const char *equals = strchr(typed, '=');
    for (int i = 0; i < app->state.param_count; i++) {
        const base_param_row *p = &app->state.params[i];
        char text[160];
        snprintf(text, sizeof text, "%s=", p->name);
        if (!equals)
            ui_palette_offer(&app->palette, text, p->help);
        else if (strncmp(typed, text, strlen(text)) == 0)
            offer_values(app, p);
    }
}
ON(on_edit) {
    UNUSED;
    base_param_row *p = param_here(app);
    char text[160];
    if (!p) return true;
    snprintf(text, sizeof text, "set %s=", p->name);
    ui_typing_start(app, UI_PROMPT_COMMAND, text, false);
    return true;
}
ON(on_reset) {
    (void)argument;
    if (!app->recipe) return base_fail(err, "there is no recipe");
    script_recipe *r = script_recipe_text(app->recipe->path, app->recipe->text, err);
    if (r) ui_recipe_take(app, r);
    if (r) ui_say(app, UI_NORMAL, "Params are the recipe's own again.");
    return r != NULL;
}

// ---- chart -------------------------------------------------------------------------------------

ON(on_previous_point) {
    UNUSED;
    return move_by(app, -1);
}
ON(on_next_point) {
    UNUSED;
    return move_by(app, 1);
}

static const char *const dot_kinds[] = {"braille", "block", "ascii", NULL};
ON(on_dots) {
    for (int i = 0; dot_kinds[i]; i++)
        if (strcmp(argument, dot_kinds[i]) == 0) {
            app->dots = i == 1 ? 'l' : argument[0];
            return true;
        }
    return base_fail(err, "dots takes braille, block or ascii");
}
OFFER(dots_offer) {
    (void)typed;
    for (int i = 0; dot_kinds[i]; i++) ui_palette_offer(&app->palette, dot_kinds[i], NULL);
}

// ---- the screen --------------------------------------------------------------------------------

ON(on_search) {
    (void)err;
    if (argument[0])
        ui_search_set(app, argument, true);
    else
        ui_typing_start(app, UI_PROMPT_SEARCH, "", false);
    return true;
}
ON(on_next_match) {
    UNUSED;
    ui_search_step(app, 1);
    return true;
}
ON(on_previous_match) {
    UNUSED;
    ui_search_step(app, -1);
    return true;
}
ON(on_command) {
    UNUSED;
    ui_typing_start(app, UI_PROMPT_COMMAND, "", false);
    return true;
}
ON(on_palette) {
    UNUSED;
    ui_typing_start(app, UI_PROMPT_COMMAND, "", true);
    return true;
}
ON(on_help) {
    UNUSED;
    if (app->popup == UI_HELP)
        app->popup = UI_NO_POPUP;
    else
        ui_page_open(app, UI_HELP);
    return true;
}
ON(on_method) {
    return ui_method_open(app, argument, err);
}
OFFER(method_offer) {
    (void)typed;
    for (size_t i = 0; i < compress_step_count; i++)
        ui_palette_offer(&app->palette, compress_steps[i]->name, compress_steps[i]->help);
    for (size_t i = 0; i < compress_rewrite_count; i++)
        ui_palette_offer(&app->palette, compress_rewrites[i]->name, compress_rewrites[i]->help);
    for (size_t i = 0; i < compress_method_count; i++)
        ui_palette_offer(&app->palette, compress_methods[i].name, compress_methods[i].help);
}
ON(on_theme) {
    if (!argument[0]) {
        ui_say(app, UI_NORMAL, "%s: %s", app->theme.name, app->theme.about);
        return true;
    }
    if (!ui_theme_read(&app->theme, argument, app->own_themes, err)) return false;
    ui_theme_set(&app->theme);
    app->theme_chosen = true;
    ui_term_forget();
    ui_say(app, UI_NORMAL, "%s: %s", app->theme.name, app->theme.about);
    return true;
}
OFFER(theme_offer) {
    (void)typed;
    size_t count = 0;
    char **names = ui_theme_names(app->own_themes, &count);
    for (size_t i = 0; i < count; i++) {
        ui_theme t = {.about = ""};
        base_err why = {0};
        bool seen = i > 0 && strcmp(names[i], names[i - 1]) == 0;
        if (!seen)
            ui_palette_offer(&app->palette, names[i],
                             ui_theme_read(&t, names[i], app->own_themes, &why) ? t.about : why.text);
    }
    base_names_free(names, count);
}
ON(on_redraw) {
    UNUSED;
    ui_term_forget();
    return true;
}
ON(on_suspend) {
    UNUSED;
    ui_term_suspend(true);
    return true;
}
ON(on_reload) {
    (void)argument;
    ui_views_reload(app);
    if (!app->recipe || !base_is_file(app->recipe->path)) { // one that was put together here has no file yet
        ui_say(app, UI_NORMAL, "Views were read again.");
        return true;
    }
    // The recipe's file anew, with the values the screen shows where they still fit.
    char *path = base_strdup(app->recipe->path);
    int count = app->state.param_count;
    base_param_row *old = base_calloc((size_t)count + 1, sizeof *old);
    if (count) memcpy(old, app->state.params, (size_t)count * sizeof *old);
    bool ok = ui_recipe_open(app, path, err);
    for (int i = 0; ok && i < count; i++) {
        char value[96];
        base_err gone;
        if (!ui_param_set(app, old[i].name, ui_param_text(&old[i], value, sizeof value), &gone)) continue;
    }
    free(old);
    free(path);
    if (ok) ui_say(app, UI_NORMAL, "Views and recipe were read again.");
    return ok;
}
ON(on_mark) {
    UNUSED;
    app->mark_wanted = true;
    return true;
}

// Back: out of a popup, then away with the search, then stop the run.
ON(on_back) {
    UNUSED;
    if (app->popup != UI_NO_POPUP)
        app->popup = UI_NO_POPUP;
    else if (ui_layers_back(app))
        return true;
    else if (app->state.job == UI_RUNNING)
        return on_stop(app, argument, err);
    else if (app->search) {
        ui_search_free(app->search);
        app->search = NULL;
    } else if (app->zoom)
        app->zoom = false;
    app->message[0] = 0;
    return true;
}
ON(on_interrupt) {
    if (app->state.job == UI_RUNNING && !app->state.stopping) return on_stop(app, argument, err);
    if (app->state.stopping || app->interrupts++ > 0)
        app->quit = app->quit_now = true;
    else
        ui_say(app, UI_WARN, "Ctrl-C again quits; so does q.");
    return true;
}
ON(on_quit) {
    UNUSED;
    if (app->state.job == UI_RUNNING && strcmp(argument, "now") != 0)
        app->popup = UI_CONFIRM_QUIT;
    else
        app->quit = true;
    return true;
}
ON(on_no) {
    UNUSED;
    app->popup = UI_NO_POPUP;
    return true;
}

static const ui_command commands[] = {
    {"run", "", "run the recipe with these params", on_run, needs_no_run, NULL},
    {"stop", "", "stop the run, keep the layers that are finished", on_stop, needs_run, NULL},
    {"recipe", "[NAME]", "open a recipe: a shipped one by name, or a file", on_recipe, needs_no_run, recipe_offer},
    {"recipes", "", "list the shipped recipes to choose from", on_recipes, needs_no_run, NULL},
    {"model", "[PATH]", "open a model: a safetensors or npz file, or a folder", on_model, needs_no_run, NULL},
    {"data", "[PATH]", "use a dataset: a folder, its dataset.lua, or one file; nothing: the recipe's own", on_data,
     needs_no_run, NULL},
    {"set", "NAME=VALUE", "set a param of the recipe", on_set, NULL, param_offer},
    {"edit", "", "type a value for the param under the cursor", on_edit, NULL, NULL},
    {"less", "", "the param under the cursor one step down", on_less, NULL, NULL},
    {"more", "", "the param under the cursor one step up", on_more, NULL, NULL},
    {"reset", "", "params back to the recipe's own values", on_reset, NULL, NULL},
    {"tab", "NAME", "go to a tab by name or number", on_tab, NULL, tab_offer},
    {"next-tab", "", "go to the next tab", on_next_tab, NULL, NULL},
    {"previous-tab", "", "go to the tab before", on_previous_tab, NULL, NULL},
    {"view", "NAME", "go to a panel by the name of its file", on_view, NULL, view_offer},
    {"layer", "NAME", "go to a layer", on_layer, NULL, layer_offer},
    {"next", "", "go to the next panel", on_next, NULL, NULL},
    {"previous", "", "go to the panel before", on_previous, NULL, NULL},
    {"zoom", "", "this panel alone, or all of them again", on_zoom, NULL, NULL},
    {"up", "", "one row up", on_up, NULL, NULL},
    {"down", "", "one row down", on_down, NULL, NULL},
    {"left", "", "go to the panel on the left", on_left, NULL, NULL},
    {"right", "", "go to the panel on the right", on_right, NULL, NULL},
    {"page-up", "", "one page up", on_page_up, NULL, NULL},
    {"page-down", "", "one page down", on_page_down, NULL, NULL},
    {"top", "", "to the first row", on_top, NULL, NULL},
    {"bottom", "", "to the last row", on_bottom, NULL, NULL},
    {"previous-point", "", "select the run before", on_previous_point, NULL, NULL},
    {"next-point", "", "select the next run", on_next_point, NULL, NULL},
    {"search", "[PATTERN]", "find rows by a regular expression; small letters find capitals too", on_search, NULL,
     NULL},
    {"next-match", "", "to the next row that matches", on_next_match, NULL, NULL},
    {"previous-match", "", "to the row before that matches", on_previous_match, NULL, NULL},
    {"command", "", "type a command", on_command, NULL, NULL},
    {"palette", "", "choose a command: Enter takes the one that stands out", on_palette, NULL, NULL},
    {"help", "", "the keys of this panel, all keys, all commands; / searches the page", on_help, NULL, NULL},
    {"method", "[NAME]", "formula and paper of a method; of the one under the cursor without a name", on_method, NULL,
     method_offer},
    {"back", "", "close what is open; else stop the run", on_back, NULL, NULL},
    {"interrupt", "", "stop the run; a second time, or with no run, quit", on_interrupt, NULL, NULL},
    {"pick", "", "open the recipe under the cursor", on_pick, NULL, NULL},
    {"no", "", "close the question and go on", on_no, NULL, NULL},
    {"theme", "[NAME]", "colours from lua/themes, your own folder of themes, or a file", on_theme, NULL, theme_offer},
    {"dots", "KIND", "draw charts with braille, block or ascii characters", on_dots, NULL, dots_offer},
    {"reload", "", "read the views and the recipe from their files again", on_reload, needs_no_run, NULL},
    {"redraw", "", "draw the whole screen again", on_redraw, NULL, NULL},
    {"suspend", "", "give the terminal back to the shell; fg returns", on_suspend, NULL, NULL},
    {"mark", "", "tell a driving program that the screen is up to date (an invisible OSC 777)", on_mark, NULL, NULL},
    {"quit", "", "leave; asks when a run is going", on_quit, NULL, NULL},
};
const ui_part ui_part_commands = {.name = "commands", UI_LIST(command, commands)};

const ui_command *ui_command_find(const char *name) {
    const ui_command *c;
    for (size_t i = 0; (c = ui_command_at(i)); i++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

static void say_unknown(ui_app *app, const char *name) {
    const char *names[256];
    size_t count = 0;
    for (const ui_command *c; count < 256 && (c = ui_command_at(count)); count++) names[count] = c->name;
    const char *near = base_nearest(name, names, count);
    ui_say(app, UI_BAD, "There is no command \"%s\"%s%s%s; ? lists them.", name, near ? "; did you mean \"" : "",
           near ? near : "", near ? "\"" : "");
}

void ui_command_run(ui_app *app, const char *text) {
    char *line = base_strdup(text + strspn(text, " "));
    size_t end = strlen(line);
    while (end > 0 && line[end - 1] == ' ') line[--end] = 0;
    char *argument = line + strcspn(line, " ");
    if (*argument) *argument++ = 0;
    argument += strspn(argument, " ");
    const ui_command *c = ui_command_find(line);
    base_err err = {0};
    app->dirty = true;
    if (!line[0]) {
        app->message[0] = 0;
    } else if (!c) {
        say_unknown(app, line);
    } else if (c->refuse && c->refuse(app)) {
        ui_say(app, UI_WARN, "%s: %s.", c->name, c->refuse(app));
    } else if (!c->run(app, argument, &err)) {
        ui_say(app, UI_BAD, "%s", err.text);
    }
    ui_recipe_settle(app);
    free(line);
}
