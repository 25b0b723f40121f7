// The session: what the screen looked at when it was left - inputs, params, tab, layout, what parts keep - in a file of
// the state folder, found again by the next start unless it is told otherwise. Nothing in it is believed.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

enum { SESSION_BYTES = 4 << 20 };

static char *session_path(const ui_app *app) {
    return app->state_dir ? base_join(app->state_dir, "screen.json") : NULL;
}

// A script of keys must see the same screen wherever it is played.
static bool wanted(const ui_app *app) {
    return app->state_dir && !app->options->fresh && !app->options->script;
}

static const char *text_of(const json_t *o, const char *key) {
    const char *t = json_string_value(json_object_get(o, key));
    return t && t[0] ? t : NULL;
}

static bool there(const char *path) {
    return !path || base_is_file(path) || base_is_dir(path);
}

static void take_inputs(ui_app *app) {
    ui_options *o = &app->choice;
    const char *net = text_of(app->kept, "model"), *data = text_of(app->kept, "data");
    const char *recipe = text_of(app->kept, "recipe");
    base_err err = {0};
    if (!there(net) || !there(data)) {
        ui_say(app, UI_WARN, "The last session's %s is gone: %s.", there(net) ? "data" : "model",
               there(net) ? data : net);
        return;
    }
    o->model = net;
    o->data = data;
    if (!o->arch) o->arch = text_of(app->kept, "arch");
    script_recipe *r = recipe ? script_recipe_load(recipe, &err) : NULL;
    if (r) o->recipe = recipe;
    if (recipe && !r) ui_say(app, UI_WARN, "The last session's recipe cannot be read: %s", err.text);
    script_recipe_free(r);
}

void ui_session_read(ui_app *app) {
    const ui_options *o = app->options;
    char *path = session_path(app);
    base_err err = {0};
    size_t bytes;
    char *text = wanted(app) && base_is_file(path) ? base_read_file(path, SESSION_BYTES, &bytes, &err) : NULL;
    if (text) app->kept = json_loadb(text, bytes, 0, NULL);
    if (text && !json_is_object(app->kept)) {
        ui_say(app, UI_WARN, "%s does not hold a session; the screen starts afresh.", path);
        json_decref(app->kept);
        app->kept = NULL;
    }
    free(text);
    free(path);
    // What is asked for on the command line is another piece of work.
    if (app->kept && !o->model && !o->data && !o->recipe && o->set_count == 0) take_inputs(app);
}

static void restore_params(ui_app *app) {
    const char *name;
    json_t *value, *params = json_object_get(app->kept, "params");
    json_object_foreach(params, name, value) {
        base_err gone; // the recipe may have changed since
        if (json_string_value(value) && !ui_param_set(app, name, json_string_value(value), &gone)) continue;
    }
}

void ui_session_restore(ui_app *app) {
    base_err err = {0};
    if (!app->kept) return;
    const char *recipe = text_of(app->kept, "recipe"), *theme = text_of(app->kept, "theme");
    const char *tab = text_of(app->kept, "tab"), *view = text_of(app->kept, "view"), *dots = text_of(app->kept, "dots");
    if (recipe && app->options->recipe == recipe) restore_params(app);
    if (theme && !app->options->theme && ui_theme_read(&app->theme, theme, app->own_themes, &err))
        app->theme_chosen = true;
    if (dots && strchr("bla", dots[0])) app->dots = dots[0];
    if (tab) ui_tab_go(app, ui_tab_find(app, tab));
    int focus = view ? ui_view_find(app, view) : -1;
    if (focus >= 0 && ui_view_here(app, focus)) app->focus = focus;
    app->zoom = json_is_true(json_object_get(app->kept, "zoom"));
    ui_parts_restore(app, json_object_get(app->kept, "parts"));
}

static void put(json_t *o, const char *key, const char *text) {
    if (text && text[0]) json_object_set_new(o, key, json_string(text));
}

static json_t *session_of(const ui_app *app) {
    json_t *o = json_object(), *params = json_object();
    char dots[2] = {app->dots, 0};
    put(o, "model", app->model);
    put(o, "data", app->data);
    put(o, "arch", app->arch);
    put(o, "recipe", app->recipe ? app->recipe->path : NULL);
    for (int i = 0; i < app->state.param_count; i++) {
        char value[96];
        const base_param_row *p = &app->state.params[i];
        json_object_set_new(params, p->name, json_string(ui_param_text(p, value, sizeof value)));
    }
    json_object_set_new(o, "params", params);
    put(o, "theme", app->theme_chosen ? app->theme.name : NULL);
    put(o, "dots", dots);
    put(o, "tab", app->tab_count ? app->tabs[app->tab].title : NULL);
    put(o, "view", app->views[app->focus].name);
    json_object_set_new(o, "zoom", json_boolean(app->zoom));
    json_object_set_new(o, "parts", ui_parts_keep(app));
    return o;
}

void ui_session_write(ui_app *app) {
    char *path = session_path(app);
    if (path && wanted(app) && app->view_count) {
        json_t *o = session_of(app);
        char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        base_err full = {0}; // no reason to keep the user from leaving
        base_out out;
        if (text && base_out_open(&out, path, &full)) {
            fprintf(out.file, "%s\n", text);
            if (!base_out_commit(&out, &full)) fprintf(stderr, "vise: %s\n", full.text);
        }
        free(text);
        json_decref(o);
    }
    free(path);
}
