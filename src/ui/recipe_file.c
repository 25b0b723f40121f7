// The recipe and its file: edited in the user's own editor, written with the values that the screen shows, and read
// again when anyone saves it. A shipped recipe's file is never written: a copy takes its place.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/inotify.h>
#endif

#include "ui/recipe.h"

enum { MOST_BYTES = 4 << 20 };

// ---- params as the recipe's own values -----------------------------------------------------------

static void add_value(base_buf *out, const base_param_row *p) {
    char number[40];
    snprintf(number, sizeof number, "%.15g", p->value);
    if (strtod(number, NULL) != p->value) snprintf(number, sizeof number, "%.17g", p->value);
    if (p->choices[0])
        ui_lua_quote(out, p->text);
    else
        base_buf_puts(out, number);
}

static ui_lua_token next_word(const char *text, size_t at) {
    ui_lua_token t = ui_lua_next(text, at);
    while (t.kind == UI_LUA_SPACE || t.kind == UI_LUA_COMMENT) t = ui_lua_next(text, t.to);
    return t;
}

// The params's declared value behind `param("name",` is one token; what is computed stays.
static const base_param_row *declared(const char *text, ui_lua_token t, const base_param_row *params, int count,
                                      ui_lua_token *value) {
    if (!ui_lua_is(text, t, "param")) return NULL;
    ui_lua_token open = next_word(text, t.to), name = next_word(text, open.to), comma = next_word(text, name.to);
    char *said = ui_lua_is(text, open, "(") && ui_lua_is(text, comma, ",") ? ui_lua_unquote(text, name) : NULL;
    const base_param_row *p = NULL;
    for (int i = 0; said && i < count; i++)
        if (strcmp(params[i].name, said) == 0) p = &params[i];
    free(said);
    *value = next_word(text, comma.to);
    if (ui_lua_is(text, *value, "-")) value->to = next_word(text, value->to).to;
    ui_lua_token after = next_word(text, value->to);
    return p && (ui_lua_is(text, after, ",") || ui_lua_is(text, after, ")")) ? p : NULL;
}

char *ui_recipe_with_values(const char *text, const base_param_row *params, int count) {
    base_buf out = {0};
    base_buf_puts(&out, "");
    size_t copied = 0;
    for (ui_lua_token t = {0}, value; (t = ui_lua_next(text, t.to)).kind != UI_LUA_END;) {
        const base_param_row *p = t.kind == UI_LUA_NAME ? declared(text, t, params, count, &value) : NULL;
        bool own = p && (p->choices[0] ? false : p->value == p->def);
        if (!p || own) continue;
        base_buf_add(&out, text + copied, value.from - copied);
        add_value(&out, p);
        copied = t.to = value.to;
    }
    base_buf_puts(&out, text + copied);
    return out.text;
}

// ---- writing -----------------------------------------------------------------------------------

static bool write_text(const char *path, const char *text, base_err *err) {
    base_out out;
    if (!base_out_open(&out, path, err)) return false;
    fputs(text, out.file);
    return base_out_commit(&out, err);
}

static char *text_to_write(const ui_app *app) {
    if (ui_recipe_of(app)->draft) return base_strdup(ui_recipe_of(app)->draft);
    return ui_recipe_with_values(app->recipe->text, app->state.params, app->state.param_count);
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

// Writes the recipe and goes on with that file.
static bool write_recipe(ui_app *app, const char *path, base_err *err) {
    if (ui_recipe_is_shipped(path))
        return base_fail(err, "%s is one of Vise's own recipes; give a name of your own", path);
    if (strcmp(base_extension(path), ".lua") != 0)
        return base_fail(err, "a recipe's file ends in .lua, not as %s", path);
    if (base_is_file(path) && !same_file(path, ui_recipe_path(app)))
        return base_fail(err, "%s exists and is not this recipe's file; give another name, or remove it first", path);
    char *text = text_to_write(app), *full = base_absolute(path);
    bool ok = write_text(full, text, err);
    base_err trouble = {0};
    if (ok && !ui_recipe_show(app, full, text, &trouble)) ui_say(app, UI_BAD, "%s", trouble.text);
    if (ok) ui_recipe_watch(app);
    if (ok && !trouble.text[0]) ui_say(app, UI_GOOD, "Wrote %s; `vise run` takes it too.", full);
    free(full);
    free(text);
    return ok;
}
ON(on_write) {
    const ui_recipe_own *own = ui_recipe_of(app);
    const char *home = getenv("HOME");
    if (!app->recipe) return base_fail(err, "there is no recipe to write");
    if (!argument[0] && (own->shipped || !base_is_file(ui_recipe_path(app)))) {
        ui_typing_start(app, UI_PROMPT_COMMAND, "write ", false);
        return true;
    }
    char *path = !argument[0]                                       ? base_strdup(ui_recipe_path(app))
                 : argument[0] == '~' && argument[1] == '/' && home ? base_sprintf("%s%s", home, argument + 1)
                                                                    : base_strdup(argument);
    if (!base_extension(path)[0]) {
        char *named = base_sprintf("%s.lua", path);
        free(path);
        path = named;
    }
    bool ok = write_recipe(app, path, err);
    free(path);
    return ok;
}

// ---- the editor --------------------------------------------------------------------------------

// A file of the user's for a recipe that has none: NAME.lua, NAME-2.lua ... in the folder of the configuration.
static char *own_copy(const ui_app *app, const char *text) {
    char *folder = base_join(app->config_dir, "recipes"), stem[80], *path = NULL;
    const char *name = base_basename(ui_recipe_path(app));
    base_clean(stem, sizeof stem, name);
    char *dot = strrchr(stem, '.');
    if (dot && dot > stem) *dot = 0;
    for (int i = 1; i < 1000 && !path; i++) {
        char *file = i == 1 ? base_sprintf("%s/%s.lua", folder, stem) : base_sprintf("%s/%s-%d.lua", folder, stem, i);
        base_err ignored;
        size_t bytes;
        char *there = base_is_file(file) ? base_read_file(file, MOST_BYTES, &bytes, &ignored) : NULL;
        if (!base_is_file(file) || (there && strcmp(there, text) == 0)) path = base_strdup(file);
        free(there);
        free(file);
    }
    free(folder);
    return path;
}

static bool read_again(ui_app *app, const char *path, base_err *err) {
    size_t bytes = 0;
    char *text = base_read_file(path, MOST_BYTES, &bytes, err);
    bool ok = text && (!memchr(text, 0, bytes) || base_fail(err, "%s: is not text (it holds a zero byte)", path));
    if (ok && (strcmp(text, ui_recipe_text(app)) != 0 || strcmp(path, ui_recipe_path(app)) != 0))
        ok = ui_recipe_show(app, path, text, err);
    free(text);
    ui_recipe_of(app)->jump = ui_recipe_of(app)->error_line > 0;
    return ok;
}

ON(on_edit_recipe) {
    const char *editor = getenv("VISUAL");
    if (!editor || !editor[0]) editor = getenv("EDITOR");
    if (!editor || !editor[0]) editor = "vi";
    if (!app->recipe) return base_fail(err, "there is no recipe to edit; o chooses one");
    ui_recipe_own *own = ui_recipe_of(app);
    bool theirs = base_is_file(ui_recipe_path(app)) && !ui_recipe_is_shipped(ui_recipe_path(app));
    char *text = text_to_write(app);
    char *path = argument[0] ? base_absolute(argument)
                 : theirs    ? base_strdup(ui_recipe_path(app))
                             : own_copy(app, text);
    bool ok = path || base_fail(err, "no name is free for a copy below %s", app->config_dir);
    if (ok && argument[0]) ok = write_recipe(app, path, err);
    // The file is as the screen shows it; the same text is not written again, so that its time stays.
    else if (ok && (own->changed || !theirs))
        ok = write_text(path, text, err);
    free(text);
    if (ok) {
        char *command = base_sprintf("%s \"$1\"", editor);
        int status = ui_term_run(command, path);
        free(command);
        char before[33] = "";
        if (app->recipe->hash) snprintf(before, sizeof before, "%s", app->recipe->hash);
        ok = read_again(app, path, err);
        ui_recipe_watch(app);
        bool differs = ok && strcmp(before, app->recipe->hash) != 0;
        if (ok && status == 127)
            ui_say(app, UI_BAD, "The editor \"%s\" was not found; set VISUAL or EDITOR.", editor);
        else if (ok)
            ui_say(app, UI_NORMAL, "%s%s", path, differs ? " was read; Enter runs it." : " is as it was.");
        if (differs && own->again && app->state.job != UI_RUNNING) ok = ui_run_start(app, err);
    }
    free(path);
    return ok;
}

// ---- told of saves -------------------------------------------------------------------------------

static void stamp_of(const char *path, char out[64]) {
    struct stat s;
    out[0] = 0;
    if (stat(path, &s) == 0)
        snprintf(out, 64, "%lld.%09ld %lld", (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec, (long long)s.st_size);
}

void ui_recipe_watch_end(ui_recipe_own *own) {
    if (own->watch_fd >= 0) close(own->watch_fd);
    own->watch_fd = own->watch_of = -1;
    free(own->watched);
    own->watched = NULL;
}

void ui_recipe_watch(ui_app *app) {
    ui_recipe_own *own = ui_recipe_of(app);
    const char *path = ui_recipe_path(app);
    if (own->watched && strcmp(own->watched, path) == 0) {
        stamp_of(path, own->stamp);
        return;
    }
    ui_recipe_watch_end(own);
    if (!base_is_file(path)) return;
    own->watched = base_strdup(path);
    stamp_of(path, own->stamp);
#ifdef __linux__
    // The folder: editors write a new file and rename it.
    char *folder = base_dirname(path);
    own->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (own->watch_fd >= 0) own->watch_of = inotify_add_watch(own->watch_fd, folder, IN_CLOSE_WRITE | IN_MOVED_TO);
    free(folder);
#endif
}

bool ui_recipe_file_changed(ui_app *app) {
    ui_recipe_own *own = ui_recipe_of(app);
    char now[64];
    base_err err = {0};
    if (!own->watched || strcmp(own->watched, ui_recipe_path(app)) != 0) return false;
    stamp_of(own->watched, now);
    if (!now[0] || strcmp(now, own->stamp) == 0) return false;
    memcpy(own->stamp, now, sizeof own->stamp);
    char *before = base_strdup(ui_recipe_text(app)), *path = base_strdup(own->watched);
    bool ok = read_again(app, path, &err), differs = strcmp(before, ui_recipe_text(app)) != 0;
    free(before);
    if (!ok)
        ui_say(app, UI_BAD, "%s", err.text);
    else if (!differs)
        ok = false;
    else if (!own->again)
        ui_say(app, UI_NORMAL, "%s was saved and read; Enter runs it.", base_basename(path));
    else if (app->state.job == UI_RUNNING)
        ui_say(app, UI_WARN, "%s was saved and read; the run that is going has the text before.", base_basename(path));
    else if (!ui_run_start(app, &err))
        ui_say(app, UI_BAD, "%s", err.text);
    free(path);
    ui_recipe_settle(app);
    return true;
}

ON(on_again) {
    UNUSED;
    ui_recipe_own *own = ui_recipe_of(app);
    own->again = !own->again;
    ui_say(app, UI_NORMAL,
           own->again ? "The recipe runs whenever its file is saved." : "Saving the recipe's file only reads it.");
    return true;
}
ON(on_new_recipe) {
    (void)argument;
    char *text = ui_recipe_fresh(app);
    bool ok = ui_recipe_change(app, "composed.lua", text, err);
    free(text);
    if (ok) ui_say(app, UI_NORMAL, "A new recipe; u goes back to the one before.");
    return ok;
}

static const ui_command commands[] = {
    {"edit-recipe", "[FILE]", "the recipe in $VISUAL or $EDITOR; a shipped one as a copy of your own", on_edit_recipe,
     NULL, NULL},
    {"write", "[FILE]", "write the recipe with the params as they are to a file of your own", on_write, NULL, NULL},
    {"run-on-save", "", "run the recipe whenever its file is saved, or no longer", on_again, NULL, NULL},
    {"new-recipe", "", "begin a recipe for this model with one rule for all layers", on_new_recipe, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"e", "edit-recipe", "code", "edit"}, {"w", "write", "code", "write"}, {"A", "run-on-save", "code", "run on save"},
    {"u", "undo", "code", "undo"},        {"C-r", "redo", "code", NULL},
};

const ui_part ui_part_recipe_file = {.name = "recipe-file", UI_LIST(command, commands), UI_LIST(binding, bindings)};
