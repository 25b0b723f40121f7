// What is done with one run: its recipe opened with its params, the whole run done again and its bytes compared, its
// recipe or a report of it written to a file. All of it begins by reading the run on the task thread.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/past.h"
#include "ui/recipe.h"
#include "ui/task.h"

typedef enum purpose { OPEN, REPLAY, EXPORT } purpose;

typedef struct past_replay {
    int64_t key;
    char **paths, **hashes; // as recorded
    size_t count, seen, equal;
    char *first_difference;
} past_replay;

// A run on its way from the history.
typedef struct fetching {
    purpose why;
    int64_t key;
    char *folder, *file;
    session_recorded run; // of a run that is not in the history: recipe path and text, params
    script_recipe *recipe;
    past_replay *replay;
} fetching;

static void replay_free(past_replay *r) {
    if (!r) return;
    base_names_free(r->paths, r->count);
    base_names_free(r->hashes, r->count);
    free(r->first_difference);
    free(r);
}
void past_replay_free(past_own *o) {
    replay_free(o->replay);
    o->replay = NULL;
}

// ---- a recipe with its params ------------------------------------------------------------------

// A value as Lua writes it.
static char *literal(const json_t *value) {
    if (json_is_boolean(value)) return base_strdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value)) return base_sprintf("%lld", (long long)json_integer_value(value));
    if (json_is_number(value)) {
        char text[32];
        return base_strdup(study_number_text(text, json_number_value(value)));
    }
    base_buf b = {0};
    base_buf_puts(&b, "\"");
    for (const char *c = json_is_string(value) ? json_string_value(value) : ""; *c; c++) {
        if (*c == '"' || *c == '\\')
            base_buf_printf(&b, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            base_buf_printf(&b, "\\%03d", *c);
        else
            base_buf_add(&b, c, 1);
    }
    base_buf_puts(&b, "\"");
    return b.text;
}

// The recipe's own text under a `param` of its own that puts the recorded values in the place of the defaults: what the
// recipe does stays as it was written, whatever way it calls param.
static char *with_params(const char *text, const json_t *params) {
    base_buf b = {0};
    const char *name;
    json_t *value;
    if (json_object_size(params) == 0) return base_strdup(text);
    base_buf_puts(&b, "-- The values that the run had are the defaults of the params below.\nlocal recorded = { ");
    json_object_foreach((json_t *)(uintptr_t)params, name, value) {
        json_t *key = json_string(name);
        char *quoted = literal(key), *v = literal(value);
        base_buf_printf(&b, "[%s] = %s, ", quoted, v);
        json_decref(key);
        free(quoted);
        free(v);
    }
    base_buf_puts(&b, "}\nlocal declare = param\nlocal function param(name, default, ...)\n"
                      "  if recorded[name] ~= nil then default = recorded[name] end\n"
                      "  return declare(name, default, ...)\nend\n\n");
    base_buf_puts(&b, text);
    return b.text;
}

// The first param that a text does not declare with the value of `r`; NULL: all are there.
static const char *not_taken(const char *text, const script_recipe *r, base_err *err) {
    script_recipe *check = script_recipe_text(r->path, text, err);
    const char *missed = check ? NULL : "";
    for (size_t i = 0; check && !missed && i < r->param_count; i++) {
        const base_param_row *p = &r->params[i];
        missed = p->name;
        for (size_t k = 0; missed && k < check->param_count; k++) {
            const base_param_row *q = &check->params[k];
            bool same = p->choices[0] ? strcmp(p->text, q->text) == 0 : p->value == q->value;
            if (strcmp(p->name, q->name) == 0 && same) missed = NULL;
        }
    }
    script_recipe_free(check);
    return missed;
}

// The values are written where the defaults stand; a recipe that computes its defaults, or declares params in a way of
// its own, gets them by a `param` of its own instead. What is written is read back before it is believed.
char *past_recipe_with(const session_record *record, base_err *err) {
    script_recipe *r = script_recipe_recorded(record, err);
    if (!r) return NULL;
    base_err why = {0};
    char *text = ui_recipe_with_values(record->recipe_text, r->params, (int)r->param_count);
    const char *missed = not_taken(text, r, &why);
    if (missed) {
        json_t *params = json_loads(record->params, 0, NULL);
        free(text);
        text = with_params(record->recipe_text, params);
        missed = not_taken(text, r, &why);
        json_decref(params);
    }
    if (missed) {
        base_fail(err, "%s: its param %s cannot be given the recorded value%s%s", record->recipe_path, missed,
                  why.text[0] ? ": " : "", why.text);
        free(text);
        text = NULL;
    }
    script_recipe_free(r);
    return text;
}

// ---- on the task thread ------------------------------------------------------------------------

static bool write_file(const char *path, const char *text, size_t length, base_err *err) {
    base_out out;
    if (!base_out_open(&out, path, err)) return false;
    fwrite(text, 1, length, out.file);
    return base_out_commit(&out, err);
}

static bool export_work(const fetching *f, base_err *err) {
    const session_record *r = &f->run.record;
    if (strcmp(base_extension(f->file), ".lua") == 0) {
        char *text = past_recipe_with(r, err);
        bool ok = text && write_file(f->file, text, strlen(text), err);
        free(text);
        return ok;
    }
    base_buf page = {0};
    session_report_html(&page, &f->run, 1);
    bool ok = write_file(f->file, page.text, page.length, err);
    base_buf_free(&page);
    return ok;
}

static bool replay_work(fetching *f, session_history *h, base_err *err) {
    past_replay *r = base_alloc(sizeof *r);
    f->replay = r;
    r->key = f->key;
    return session_history_saved(h, f->key, &r->paths, &r->hashes, &r->count, err) &&
           script_same_inputs(&f->run.record, err);
}

static bool fetch_work(void *own, base_job *job, base_err *err) {
    fetching *f = own;
    session_history *h = NULL;
    bool ok = true;
    (void)job;
    if (f->key > 0) {
        h = session_history_open(f->folder, err);
        ok = h && session_recorded_read(h, f->key, &f->run, err);
    }
    if (ok && f->why != EXPORT) {
        f->recipe = script_recipe_recorded(&f->run.record, err);
        ok = f->recipe != NULL;
    }
    if (ok && f->why == REPLAY) ok = replay_work(f, h, err);
    if (ok && f->why == EXPORT) ok = export_work(f, err);
    session_history_close(h);
    return ok;
}

// ---- on the screen's thread --------------------------------------------------------------------

static void fetch_free(fetching *f) {
    session_recorded_free(&f->run);
    script_recipe_free(f->recipe);
    replay_free(f->replay);
    free(f->folder);
    free(f->file);
    free(f);
}

static void say_name(const ui_app *app, int64_t key, char *out, size_t size) {
    const ui_past *p = past_find(past_of(&app->state), key);
    snprintf(out, size, "%s", p ? p->name : "?");
}

static void opened(ui_app *app, fetching *f) {
    char name[24];
    const ui_past *p = past_find(past_of(&app->state), f->key);
    int view = ui_view_find(app, "params");
    say_name(app, f->key, name, sizeof name);
    if (app->state.job == UI_RUNNING) {
        ui_say(app, UI_WARN, "A run is going; run %s was not opened.", name);
        return;
    }
    ui_recipe_take(app, f->recipe);
    f->recipe = NULL;
    if (view >= 0) ui_view_focus(app, view);
    bool other = p && p->row.model[0] && app->state.model[0] && strcmp(p->row.model, base_basename(app->state.model));
    if (other)
        ui_say(app, UI_WARN, "%s of run %s is open; that run's model was %s, the one here is %s.", app->state.recipe,
               name, p->row.model, base_basename(app->state.model));
    else
        ui_say(app, UI_GOOD, "%s of run %s is open with its params; Enter runs it.", app->state.recipe, name);
}

static void replay_ended(ui_app *app, base_status status) {
    past_own *o = past_of(&app->state);
    past_replay *r = o ? o->replay : NULL;
    if (!r) return;
    char name[24];
    say_name(app, r->key, name, sizeof name);
    if (status == BASE_CANCELLED)
        ui_say(app, UI_WARN, "The replay of run %s was stopped: nothing can be said of its bytes.", name);
    else if (status == BASE_OK && r->count == 0 && r->seen == 0)
        ui_say(app, UI_NORMAL, "Run %s replayed; it saved no file whose bytes could be compared.", name);
    else if (status == BASE_OK && r->equal == r->count && r->seen == r->count)
        ui_say(app, UI_GOOD, "Run %s replayed: %zu of %zu files have the same bytes as recorded.", name, r->equal,
               r->count);
    else if (status == BASE_OK)
        ui_say(app, UI_BAD, "Run %s replayed: DIFFERENT bytes, %zu of %zu files are as recorded%s%s.", name, r->equal,
               r->count, r->first_difference ? "; " : "", r->first_difference ? r->first_difference : "");
    past_replay_free(o);
}

void past_replay_event(past_own *o, const base_event *e) {
    past_replay *r = o->replay;
    if (!r || e->kind != BASE_EV_SAVED) return;
    if (r->seen < r->count) {
        bool equal = e->hash && strcmp(e->hash, r->hashes[r->seen]) == 0;
        r->equal += equal;
        if (!equal && !r->first_difference) {
            char file[120];
            base_clean(file, sizeof file, base_basename(r->paths[r->seen]));
            r->first_difference =
                base_sprintf("%s was %.8s, is %.8s", file, r->hashes[r->seen], e->hash ? e->hash : "-");
        }
    }
    r->seen++;
}

// The screen's recipe becomes the recorded one, so that its params and the run's row say what runs.
static void replay_begin(ui_app *app, fetching *f) {
    past_own *o = past_of(&app->state);
    base_err err = {0};
    json_t *s = json_loads(f->run.record.settings, 0, NULL);
    if (app->state.job == UI_RUNNING || o->replay) {
        ui_say(app, UI_WARN, "A run is going; the replay was not started.");
        json_decref(s);
        return;
    }
    ui_recipe_take(app, f->recipe);
    f->recipe = NULL;
    o->replay = f->replay;
    f->replay = NULL;
    ui_again again = {.model = json_string_value(json_object_get(s, "model")),
                      .data = json_string_value(json_object_get(s, "data")),
                      .arch = json_string_value(json_object_get(s, "arch")),
                      .base = json_string_value(json_object_get(s, "base")),
                      .seed = (uint64_t)json_integer_value(json_object_get(s, "seed")),
                      .ended = replay_ended};
    char name[24];
    say_name(app, f->key, name, sizeof name);
    if (ui_run_again(app, &again, &err)) {
        ui_say(app, UI_NORMAL, "Replaying run %s; nothing is written. Esc stops.", name);
    } else {
        past_replay_free(o);
        ui_say(app, UI_BAD, "%s", err.text);
    }
    json_decref(s);
}

static void fetch_done(ui_app *app, void *own, base_status status, const char *message) {
    fetching *f = own;
    if (status == BASE_OK && f->why == OPEN)
        opened(app, f);
    else if (status == BASE_OK && f->why == REPLAY)
        replay_begin(app, f);
    else if (status == BASE_OK)
        ui_say(app, UI_GOOD, "Exported %s.", f->file);
    else if (status != BASE_CANCELLED)
        ui_say(app, UI_BAD, "%s", message);
    fetch_free(f);
}

// A run of this session that is not in the history has its recipe kept here, and its params as words.
static bool fetch_session(const ui_app *app, fetching *f, base_err *err) {
    const past_own *o = past_of(&app->state);
    int64_t i = -f->key - 1;
    if (i >= o->session_count || !o->session[i].text) return base_fail(err, "the recipe of this run is not known");
    session_record *r = &f->run.record;
    r->id = f->key;
    r->recipe = base_strdup(app->state.runs[i].recipe);
    r->recipe_path = base_strdup(o->session[i].path);
    r->recipe_text = base_strdup(o->session[i].text);
    json_t *params = json_object();
    char *words = base_strdup(app->state.runs[i].settings);
    char *rest;
    for (char *at = strtok_r(words, " ", &rest); at; at = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(at, '='), *end;
        if (!equals) continue;
        *equals = 0;
        double number = strtod(equals + 1, &end);
        json_object_set_new(params, at, *end ? json_string(equals + 1) : json_real(number));
    }
    r->params = json_dumps(params, JSON_COMPACT);
    json_decref(params);
    free(words);
    return true;
}

static bool fetch(ui_app *app, purpose why, int64_t key, const char *file, base_err *err) {
    static const char *const what[] = {"opening a run", "reading a run", "exporting a run"};
    fetching *f = base_alloc(sizeof *f);
    *f = (fetching){.why = why, .key = key, .folder = base_strdup(past_folder(app)), .file = base_strdup(file)};
    if (key < 0 && !fetch_session(app, f, err)) {
        fetch_free(f);
        return false;
    }
    ui_task_start(app, &(ui_task){"run", what[why], f, fetch_work, fetch_done, NULL});
    return true;
}

bool past_open(ui_app *app, int64_t key, base_err *err) {
    return fetch(app, OPEN, key, NULL, err);
}

bool past_replay_start(ui_app *app, int64_t key, base_err *err) {
    if (key < 0) return base_fail(err, "this run is not in the history, so there are no bytes to compare");
    return fetch(app, REPLAY, key, NULL, err);
}

bool past_export(ui_app *app, int64_t key, const char *path, base_err *err) {
    const char *extension = base_extension(path), *home = getenv("HOME");
    if (strcmp(extension, ".lua") != 0 && strcmp(extension, ".html") != 0)
        return base_fail(err, "export takes a file that ends in .lua (the recipe with its params) or .html (a report)");
    if (key < 0 && strcmp(extension, ".html") == 0)
        return base_fail(err, "this run is not in the history, so there is no report of it");
    char *whole = path[0] == '~' && path[1] == '/' && home ? base_sprintf("%s%s", home, path + 1) : base_strdup(path);
    bool ok = fetch(app, EXPORT, key, whole, err);
    free(whole);
    return ok;
}
