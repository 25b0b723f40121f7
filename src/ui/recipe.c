// The recipe as a text: what is shown, its errors and their lines, undo and redo of every change to its text and its
// params, and texts that other panels bring.
#include "ui/recipe.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ui_recipe_own *ui_recipe_of(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_recipe);
}
const char *ui_recipe_text(const ui_app *app) {
    const ui_recipe_own *own = ui_recipe_of(app);
    return own && own->draft ? own->draft : app->recipe ? app->recipe->text : "";
}
const char *ui_recipe_path(const ui_app *app) {
    const ui_recipe_own *own = ui_recipe_of(app);
    return own && own->draft ? own->draft_path : app->recipe ? app->recipe->path : "";
}

// ---- errors ------------------------------------------------------------------------------------

int ui_recipe_error_line(const char *message, const char *path) {
    size_t n = strlen(path);
    for (const char *at = message; n && (at = strstr(at, path)); at++) {
        char *end;
        if (at[n] != ':') continue;
        long line = strtol(at + n + 1, &end, 10);
        if (end > at + n + 1 && *end == ':' && line > 0 && line < 10000000) return (int)line;
    }
    return 0;
}

static void set_error(ui_recipe_own *own, const char *message, const char *path) {
    char place[32];
    own->error_line = ui_recipe_error_line(message, path);
    // It stands at its line: the words in front that say where are left out.
    size_t n = strlen(path), k = (size_t)snprintf(place, sizeof place, ":%d: ", own->error_line);
    if (own->error_line && strncmp(message, path, n) == 0 && strncmp(message + n, place, k) == 0) message += n + k;
    base_clean(own->error, sizeof own->error, message);
    own->jump = true;
}

static void drop_draft(ui_recipe_own *own) {
    free(own->draft);
    free(own->draft_path);
    own->draft = own->draft_path = NULL;
    own->error[0] = 0;
    own->error_line = 0;
    own->version++;
}

bool ui_recipe_ready(const ui_app *app, base_err *err) {
    const ui_recipe_own *own = ui_recipe_of(app);
    if (!own || !own->draft) return true;
    return own->error_line ? base_fail(err, "%s:%d: %s", own->draft_path, own->error_line, own->error)
                           : base_fail(err, "%s", own->error);
}

void ui_recipe_ran(ui_app *app) {
    ui_recipe_own *own = ui_recipe_of(app);
    if (!own) return;
    free(own->running);
    own->running = base_strdup(app->recipe->text);
    own->error[0] = 0;
    own->error_line = 0;
}

static void on_event(ui_app *app, void *state, const base_event *e) {
    ui_recipe_own *own = state;
    bool failed = e->status == BASE_FAILED || e->status == BASE_USAGE;
    if (e->kind != BASE_EV_RUN_END || !failed || !own->running || !app->recipe || !e->text) return;
    if (strcmp(own->running, app->recipe->text) == 0 && !own->draft) set_error(own, e->text, app->recipe->path);
}

// ---- changes -----------------------------------------------------------------------------------

static void keep_values(ui_app *app, const base_param_row *old, int count) {
    for (int i = 0; i < count; i++) {
        char value[96];
        base_err gone;
        if (!ui_param_set(app, old[i].name, ui_param_text(&old[i], value, sizeof value), &gone)) continue;
    }
}

bool ui_recipe_change(ui_app *app, const char *path, const char *text, base_err *err) {
    script_recipe *r = script_recipe_text(path, text, err);
    if (!r) return false;
    // A param whose own value was changed in the text shows that; the others stay as they were set.
    int count = app->state.param_count, kept = 0;
    base_param_row *old = base_calloc((size_t)count + 1, sizeof *old);
    for (int i = 0; i < count; i++) {
        const base_param_row *p = &app->state.params[i];
        for (size_t k = 0; k < r->param_count; k++) {
            const base_param_row *q = &r->params[k];
            if (strcmp(p->name, q->name) == 0 && (p->choices[0] || p->def == q->def)) old[kept++] = *p;
        }
    }
    ui_recipe_take(app, r);
    keep_values(app, old, kept);
    free(old);
    if (ui_recipe_of(app)) drop_draft(ui_recipe_of(app));
    return true;
}

bool ui_recipe_show(ui_app *app, const char *path, const char *text, base_err *err) {
    ui_recipe_own *own = ui_recipe_of(app);
    if (ui_recipe_change(app, path, text, err)) return true;
    if (!own) return false;
    char *new_path = base_strdup(path), *new_text = base_strdup(text);
    drop_draft(own);
    own->draft = new_text;
    own->draft_path = new_path;
    set_error(own, err->text, path);
    return false;
}

bool ui_run_recipe_text(ui_app *app, const char *name, const char *text, base_err *err) {
    if (app->state.job == UI_RUNNING) return base_fail(err, "a run is going; Esc stops it");
    return ui_recipe_show(app, name, text, err) && ui_run_start(app, err);
}

// ---- undo --------------------------------------------------------------------------------------

static void snapshot_free(ui_snapshot *s) {
    free(s->path);
    free(s->text);
    free(s->params);
    *s = (ui_snapshot){0};
}

static ui_snapshot snapshot_of(const ui_app *app) {
    ui_snapshot s = {.path = base_strdup(app->recipe->path),
                     .text = base_strdup(app->recipe->text),
                     .count = app->state.param_count};
    s.params = base_calloc((size_t)s.count + 1, sizeof *s.params);
    if (s.count) memcpy(s.params, app->state.params, (size_t)s.count * sizeof *s.params);
    return s;
}

static bool same(const ui_app *app, const ui_snapshot *s) {
    if (!s->text || strcmp(s->text, app->recipe->text) != 0 || strcmp(s->path, app->recipe->path) != 0) return false;
    if (s->count != app->state.param_count) return false;
    for (int i = 0; i < s->count; i++) {
        const base_param_row *a = &s->params[i], *b = &app->state.params[i];
        if (a->choices[0] ? strcmp(a->text, b->text) != 0 : a->value != b->value) return false;
    }
    return true;
}

static void push(ui_snapshot *list, int *count, ui_snapshot s) {
    if (*count == UI_UNDO_STEPS) {
        snapshot_free(&list[0]);
        memmove(list, list + 1, (UI_UNDO_STEPS - 1) * sizeof *list);
        --*count;
    }
    list[(*count)++] = s;
}

bool ui_recipe_is_shipped(const char *path) {
    char *recipes = base_join(base_home(), "recipes"), *folder = base_dirname(path);
    char *a = realpath(recipes, NULL), *b = realpath(folder, NULL);
    bool shipped = a && b && strcmp(a, b) == 0;
    free(a);
    free(b);
    free(recipes);
    free(folder);
    return shipped;
}

static void look_at_file(ui_app *app, ui_recipe_own *own) {
    base_err ignored;
    size_t bytes;
    const char *path = app->recipe->path;
    char *text = base_is_file(path) ? base_read_file(path, 1 << 24, &bytes, &ignored) : NULL;
    own->changed = !text || strcmp(text, app->recipe->text) != 0;
    free(text);
    own->shipped = ui_recipe_is_shipped(path);
    // A run of it is not one of the file: "gptq*" in the title, the chart and the history.
    size_t n = strlen(app->state.recipe);
    if (own->changed && n > 0 && app->state.recipe[n - 1] != '*' && n + 1 < sizeof app->state.recipe)
        memcpy(app->state.recipe + n, "*", 2);
}

void ui_recipe_settle(ui_app *app) {
    ui_recipe_own *own = ui_recipe_of(app);
    if (!own || !app->recipe) return;
#ifndef __linux__ // nothing tells of saves: looked at whenever something is done
    static bool looking;
    if (!looking) {
        looking = true;
        ui_recipe_file_changed(app);
        looking = false;
    }
#endif
    if (same(app, &own->now)) return;
    bool text = !own->now.text || strcmp(own->now.text, app->recipe->text) || strcmp(own->now.path, app->recipe->path);
    if (own->now.text)
        push(own->undo, &own->undo_count, own->now);
    else
        snapshot_free(&own->now);
    own->now = snapshot_of(app);
    while (own->redo_count > 0) snapshot_free(&own->redo[--own->redo_count]);
    if (!text) return;
    drop_draft(own);
    look_at_file(app, own);
    ui_recipe_watch(app);
}

// One step from one list to the other; both hold what was before and after.
static bool go(ui_app *app, ui_snapshot *from, int *from_count, ui_snapshot *to, int *to_count, base_err *err) {
    ui_recipe_own *own = ui_recipe_of(app);
    ui_snapshot *s = &from[*from_count - 1];
    script_recipe *r = script_recipe_text(s->path, s->text, err);
    if (!r) return false;
    ui_recipe_take(app, r);
    keep_values(app, s->params, s->count);
    push(to, to_count, own->now);
    own->now = snapshot_of(app);
    snapshot_free(s);
    --*from_count;
    drop_draft(own);
    look_at_file(app, own);
    ui_recipe_watch(app);
    return true;
}
ON(on_undo) {
    (void)argument;
    ui_recipe_own *own = ui_recipe_of(app);
    if (own->draft) { // what does not load goes first
        drop_draft(own);
        ui_say(app, UI_NORMAL, "The recipe as it was before the text that does not load.");
        return true;
    }
    if (own->undo_count == 0) return base_fail(err, "nothing to undo in the recipe");
    if (!go(app, own->undo, &own->undo_count, own->redo, &own->redo_count, err)) return false;
    ui_say(app, UI_NORMAL, "Undone; %d more step%s back.", own->undo_count, own->undo_count == 1 ? "" : "s");
    return true;
}
ON(on_redo) {
    (void)argument;
    ui_recipe_own *own = ui_recipe_of(app);
    if (own->redo_count == 0) return base_fail(err, "nothing to do again in the recipe");
    if (!go(app, own->redo, &own->redo_count, own->undo, &own->undo_count, err)) return false;
    ui_say(app, UI_NORMAL, "Done again; %d more step%s forward.", own->redo_count, own->redo_count == 1 ? "" : "s");
    return true;
}

// ---- texts -------------------------------------------------------------------------------------

char *ui_recipe_fresh(const ui_app *app) {
    char *home = base_sprintf("%s/", base_home());
    const char *net = app->model ? app->model : "data/models/digits-cnn.safetensors";
    if (strncmp(net, home, strlen(home)) == 0) net += strlen(home); // found from anywhere
    base_buf b = {0};
    base_buf_puts(&b, "-- Put together on the screen; the rules are yours to change here too.\n"
                      "recipe{\n"
                      "  name   = \"composed\",\n"
                      "  about  = \"layers chosen one by one, each with steps of its own\",\n"
                      "  source = \"composed in Vise\",\n"
                      "}\n"
                      "local samples = param(\"samples\", 128, {1, 100000}, \"calibration samples\")\n\n"
                      "local net  = model(arg.model or ");
    ui_lua_quote(&b, net);
    base_buf_puts(&b, ")\nlocal data = dataset(arg.data or ");
    if (app->data)
        ui_lua_quote(&b, app->data);
    else
        base_buf_puts(&b, "default_data(net)");
    base_buf_puts(&b, ")\n\n"
                      "compress(net, {\n"
                      "  calibrate = data.calib:sample(samples, 1),\n"
                      "  rule(\".*\", quantize{ bits = 4 }),\n"
                      "})\n\n"
                      "report(evaluate(net, data.test))\n"
                      "save(net, \"composed.safetensors\")\n");
    free(home);
    return b.text;
}

// ---- the part ----------------------------------------------------------------------------------

static void on_open(ui_app *app, void *state) {
    ui_recipe_own *own = state;
    own->watch_fd = own->watch_of = -1;
    ui_recipe_settle(app);
}

static void on_close(ui_app *app, void *state) {
    ui_recipe_own *own = state;
    (void)app;
    drop_draft(own);
    ui_recipe_watch_end(own);
    for (int i = 0; i < own->undo_count; i++) snapshot_free(&own->undo[i]);
    for (int i = 0; i < own->redo_count; i++) snapshot_free(&own->redo[i]);
    snapshot_free(&own->now);
    free(own->running);
    free(own->paint);
    free(own->line);
}

static int on_fd(void *state) {
    return ((ui_recipe_own *)state)->watch_fd;
}
static void on_ready(ui_app *app, void *state) {
    char sink[4096]; // whose names do not matter: the file's stamp tells
    while (read(((ui_recipe_own *)state)->watch_fd, sink, sizeof sink) > 0) {}
    ui_recipe_file_changed(app);
}

static const ui_command commands[] = {
    {"undo", "", "take back the last change of the recipe or its params", on_undo, NULL, NULL},
    {"redo", "", "do again what was taken back", on_redo, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"u", "undo", "params", NULL},
    {"C-r", "redo", "params", NULL},
};

const ui_part ui_part_recipe = {.name = "recipe",
                                UI_LIST(command, commands),
                                UI_LIST(binding, bindings),
                                .bytes = sizeof(ui_recipe_own),
                                .open = on_open,
                                .close = on_close,
                                .event = on_event,
                                .fd = on_fd,
                                .ready = on_ready};
