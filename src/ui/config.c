// The configuration: config.lua of the user's own folder, read once at the start in a sandbox and never written. What
// cannot be used is told of in one sentence; everything else holds.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

typedef struct config_key {
    const char *name;
    bool (*take)(ui_app *app, const script_setting *s, base_err *err);
} config_key;

static bool take_truth(const script_setting *s, bool *out, base_err *err) {
    if (s->part[1][0] || !s->truth) return base_fail(err, "true or false was expected");
    *out = s->number > 0;
    return true;
}

static bool is_text(const script_setting *s, const char *what, base_err *err) {
    return (!s->part[1][0] && s->text && s->text[0]) || base_fail(err, "%s was expected", what);
}

// The command line counts more than any of these.
static bool take_theme(ui_app *app, const script_setting *s, base_err *err) {
    if (!is_text(s, "the name of a theme", err)) return false;
    return app->options->theme || ui_theme_read(&app->theme, s->text, app->own_themes, err);
}
static bool take_colour(ui_app *app, const script_setting *s, base_err *err) {
    ui_colours colours;
    if (!is_text(s, "auto, 16M, 256, 16, 8 or none", err) || !ui_colours_parse(s->text, &colours, err)) return false;
    if (app->choice.colours == UI_COLOURS_AUTO) app->choice.colours = colours;
    return true;
}
static bool take_dots(ui_app *app, const script_setting *s, base_err *err) {
    static const char *const kinds[] = {"braille", "block", "ascii"};
    if (!is_text(s, "braille, block or ascii", err)) return false;
    for (int i = 0; i < 3; i++)
        if (strcmp(s->text, kinds[i]) == 0) {
            app->dots = "bla"[i];
            return true;
        }
    return base_fail(err, "braille, block or ascii was expected, not \"%s\"", s->text);
}
static bool take_mouse(ui_app *app, const script_setting *s, base_err *err) {
    bool mouse = false;
    if (!take_truth(s, &mouse, err)) return false;
    if (!mouse) app->choice.no_mouse = true;
    return true;
}
static bool take_ascii(ui_app *app, const script_setting *s, base_err *err) {
    bool ascii = false;
    if (!take_truth(s, &ascii, err)) return false;
    if (ascii) app->choice.ascii = true;
    return true;
}
static bool take_fresh(ui_app *app, const script_setting *s, base_err *err) {
    bool fresh = false;
    if (!take_truth(s, &fresh, err)) return false;
    if (fresh) app->choice.fresh = true;
    return true;
}

// start = { "tab 3", "columns name bits" }: commands run when everything is open.
static bool take_start(ui_app *app, const script_setting *s, base_err *err) {
    if (!s->text || atoi(s->part[1]) < 1 || s->part[2][0])
        return base_fail(err, "a list of texts was expected, each a command");
    char *all = base_sprintf("%s%s\n", app->start ? app->start : "", s->text);
    free(app->start);
    app->start = all;
    return true;
}

// keys = { x = "zoom", params = { x = "reset" } }: a key, or a place with keys of its own; "" takes a key's meaning
// away.
static bool take_key(ui_app *app, const script_setting *s, base_err *err) {
    (void)app;
    const char *key = s->part[2][0] ? s->part[2] : s->part[1], *place = NULL;
    if (!s->text || !key[0]) return base_fail(err, "the text of a command was expected");
    const ui_binding *b;
    for (size_t i = 0; s->part[2][0] && !place && (b = ui_binding_at(i)); i++)
        if (b->context && strcmp(b->context, s->part[1]) == 0) place = b->context;
    if (s->part[2][0] && !place) return base_fail(err, "there is no place \"%s\" with keys of its own", s->part[1]);
    int code = ui_key_parse(key);
    if (code == UI_KEY_NONE) return base_fail(err, "there is no key \"%s\" (a letter, C-s, Tab, F5, PgUp, ...)", key);
    char name[64], room[16];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(s->text, " "), s->text);
    if (name[0] && !ui_command_find(name)) return base_fail(err, "there is no command \"%s\"", name);
    return ui_own_key_add(ui_key_name(code, room), s->text, place) || base_fail(err, "there are too many keys");
}

static const config_key keys[] = {{"theme", take_theme}, {"colour", take_colour}, {"dots", take_dots},
                                  {"mouse", take_mouse}, {"ascii", take_ascii},   {"fresh", take_fresh},
                                  {"start", take_start}, {"keys", take_key}};
enum { KEYS = sizeof keys / sizeof *keys };

static bool take(ui_app *app, const script_setting *s, base_err *err) {
    const char *names[KEYS];
    for (int i = 0; i < KEYS; i++) {
        names[i] = keys[i].name;
        if (strcmp(names[i], s->part[0]) == 0) return keys[i].take(app, s, err);
    }
    const char *near = base_nearest(s->part[0], names, KEYS);
    return base_fail(err, "there is no such setting%s%s%s", near ? "; did you mean \"" : "", near ? near : "",
                     near ? "\"" : "");
}

void ui_config_read(ui_app *app) {
    const char *asked = app->options->config;
    if (!asked && app->options->body) return; // in the tests' place nobody's configuration holds
    char *path = asked ? base_strdup(asked) : base_join(app->config_dir, "config.lua");
    script_settings settings = {0};
    base_err err = {0};
    if ((asked || base_is_file(path)) && !script_settings_read(path, "configuration", &settings, &err))
        ui_say(app, UI_BAD, "%s", err.text);
    for (size_t i = 0; i < settings.count; i++) {
        const script_setting *s = &settings.item[i];
        base_err why = {0};
        if (!take(app, s, &why))
            ui_say(app, UI_BAD, "%s: %s%s%s%s%s: %s.", path, s->part[0], s->part[1][0] ? "." : "", s->part[1],
                   s->part[2][0] ? "." : "", s->part[2], why.text);
    }
    script_settings_free(&settings);
    free(path);
}

void ui_config_start(ui_app *app) {
    char *rest = NULL;
    for (char *line = app->start ? strtok_r(app->start, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
        ui_command_run(app, line);
}

// ---- the user's keys ---------------------------------------------------------------------------

// The one table of keys that is not constant: filled once at the start, before anything reads it.
enum { OWN_KEYS = 128 };
static ui_binding own[OWN_KEYS];
static struct { char key[16], command[120]; } own_text[OWN_KEYS];
ui_part ui_part_own_keys = {.name = "own keys", .bindings = own};

bool ui_own_key_add(const char *key, const char *command, const char *context) {
    size_t i = ui_part_own_keys.binding_count;
    if (i == OWN_KEYS) return false;
    snprintf(own_text[i].key, sizeof own_text[i].key, "%s", key);
    snprintf(own_text[i].command, sizeof own_text[i].command, "%s", command);
    own[i] = (ui_binding){own_text[i].key, own_text[i].command, context, NULL};
    ui_part_own_keys.binding_count++;
    return true;
}

void ui_own_keys_clear(void) {
    ui_part_own_keys.binding_count = 0;
}
