// The samples that a run changed: asked for when a run has ended and the panel is looked at, sorted and chosen from.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/recipe.h"
#include "ui/samples.h"

ui_samples *ui_samples_of(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_samples);
}

// ---- the rows shown ----------------------------------------------------------------------------

static bool wanted(const ui_samples *s, const ui_sample *row) {
    if (s->result->task != MODEL_CLASSIFY || s->which == UI_ALL_FLIPS) return true;
    return strcmp(row->what, s->which == UI_NEWLY_WRONG ? "newly wrong" : "newly right") == 0;
}
static double rank(const ui_sample *row, bool by_change) {
    double x = by_change || isnan(row->kl) ? fabs(row->change) : row->kl;
    return isnan(x) ? -1 : x;
}
static int by_kl(const void *a, const void *b) {
    double x = rank(a, false), y = rank(b, false);
    return x != y ? (x < y) - (x > y) : (((const ui_sample *)a)->number > ((const ui_sample *)b)->number) * 2 - 1;
}
static int by_change(const void *a, const void *b) {
    double x = rank(a, true), y = rank(b, true);
    return x != y ? (x < y) - (x > y) : (((const ui_sample *)a)->number > ((const ui_sample *)b)->number) * 2 - 1;
}

static void choose(ui_app *app) {
    ui_samples *s = ui_samples_of(app);
    const ui_samples_result *r = s->result;
    s->shown_count = 0;
    if (!r) return;
    s->shown = base_realloc(s->shown, (size_t)r->count + 1, sizeof *s->shown);
    for (int i = 0; i < r->count; i++)
        if (wanted(s, &r->row[i])) s->shown[s->shown_count++] = r->row[i];
    bool typed_first = r->task == MODEL_LANGUAGE; // prompts stay in their order, the typed one first
    if (!typed_first) qsort(s->shown, (size_t)s->shown_count, sizeof *s->shown, s->by_change ? by_change : by_kl);
    for (int i = 0; i < app->view_count; i++)
        if (app->views[i].source && strcmp(app->views[i].source->name, "samples") == 0) app->views[i].scroll.cursor = 0;
}

// ---- the task ----------------------------------------------------------------------------------

static void ask_free(ui_samples_ask *ask) {
    free(ask->model);
    free(ask->arch);
    free(ask->data);
    free(ask->saved);
    free(ask->prompt);
    ui_samples_result_free(ask->result);
    free(ask);
}

static void on_done(ui_app *app, void *own, base_status status, const char *message) {
    ui_samples_ask *ask = own;
    ui_samples *s = ui_samples_of(app);
    if (s && status == BASE_OK) {
        ui_samples_result_free(s->result);
        s->result = ask->result;
        ask->result = NULL;
        s->trouble[0] = 0;
        choose(app);
    } else if (s && status != BASE_CANCELLED) {
        base_clean(s->trouble, sizeof s->trouble, message);
        s->shown_count = 0;
        ui_samples_result_free(s->result);
        s->result = NULL;
    }
    if (s && status != BASE_CANCELLED) s->of = 0;
    ask_free(ask);
}

static void on_progress(ui_app *app, void *own, const base_event *e) {
    ui_samples *s = ui_samples_of(app);
    (void)own;
    if (!s || e->kind != BASE_EV_PROGRESS) return;
    s->done = e->done;
    s->of = e->of;
}

void ui_samples_begin(ui_app *app) {
    ui_samples *s = ui_samples_of(app);
    s->asked = true;
    if (!s->saved) return;
    ui_samples_ask *ask = base_alloc(sizeof *ask);
    *ask = (ui_samples_ask){.model = base_strdup(s->model),
                            .arch = base_strdup(app->arch),
                            .data = base_strdup(s->data),
                            .saved = base_strdup(s->saved),
                            .prompt = base_strdup(s->prompt),
                            .temperature = s->temperature,
                            .seed = s->seed,
                            .result = base_alloc(sizeof *ask->result)};
    snprintf(ask->result->run, sizeof ask->result->run, "%s", s->run);
    ui_task task = {.kind = "samples",
                    .what = "comparing samples",
                    .own = ask,
                    .work = ui_samples_work,
                    .done = on_done,
                    .event = on_progress};
    s->done = 0;
    s->of = 1;
    ui_task_start(app, &task);
}

static char *or_null(const char *text) {
    return text && text[0] ? base_strdup(text) : NULL;
}

static void set_run(ui_samples *s, const char *net, const char *data, const char *saved, const char *run) {
    free(s->model);
    free(s->data);
    free(s->saved);
    s->model = or_null(net);
    s->data = or_null(data);
    s->saved = or_null(saved);
    snprintf(s->run, sizeof s->run, "%s", run);
    s->ended = true;
    s->asked = false;
    s->shown_count = 0;
    s->trouble[0] = 0;
    ui_samples_result_free(s->result);
    s->result = NULL;
}

static void on_event(ui_app *app, void *own, const base_event *e) {
    const ui_run *run = ui_state_run(&app->state);
    char name[64];
    if (e->kind != BASE_EV_RUN_END || e->status != BASE_OK || !run || run->status < 0 ||
        app->state.job == UI_INSPECTING)
        return;
    snprintf(name, sizeof name, "run %d, %.40s", (int)run->number, run->recipe);
    pthread_mutex_lock(&app->inputs.lock);
    const char *net = app->inputs.model[0] ? app->inputs.model : app->model;
    set_run(own, net, app->inputs.data[0] ? app->inputs.data : app->data, run->saved, name);
    pthread_mutex_unlock(&app->inputs.lock);
}

// ---- commands ----------------------------------------------------------------------------------

ON(on_samples) {
    ui_samples *s = ui_samples_of(app);
    if (argument[0]) {
        char *file = base_absolute(argument);
        const char *net = s->model ? s->model : app->model;
        char *keep = base_strdup(net), *data = base_strdup(s->data ? s->data : app->data);
        bool there = base_is_file(file) || base_fail(err, "%s: there is no such file", file);
        if (there && !keep) there = base_fail(err, "the original is not known; :model PATH names it");
        if (there) set_run(s, keep, data, file, base_basename(file));
        free(file);
        free(keep);
        free(data);
        if (!there) return false;
    }
    if (!s->ended)
        return base_fail(err, "no run has ended yet; Enter runs the recipe, or :samples FILE takes a saved model");
    int view = ui_view_find(app, "samples");
    if (view >= 0) ui_view_focus(app, view);
    ui_samples_begin(app);
    return true;
}
// The name behind `compress(`, "net" in most recipes; caller frees, NULL: none.
static char *compressed_name(const char *text) {
    bool call = false, open = false;
    for (ui_lua_token t = {0}; (t = ui_lua_next(text, t.to)).kind != UI_LUA_END;) {
        if (t.kind == UI_LUA_SPACE || t.kind == UI_LUA_COMMENT) continue;
        if (open && t.kind == UI_LUA_NAME) return base_strndup(text + t.from, t.to - t.from);
        open = call && ui_lua_is(text, t, "(");
        call = t.kind == UI_LUA_NAME && ui_lua_is(text, t, "compress");
    }
    return NULL;
}
static const char *has_saved(const ui_app *app) {
    const ui_samples *s = ui_samples_of(app);
    return app->state.job == UI_RUNNING ? "a run is going"
           : !s->ended                  ? "no run has ended yet"
           : s->saved                   ? "the run saved its model"
                                        : NULL;
}
ON(on_keep) {
    (void)argument;
    char *name = app->recipe ? compressed_name(app->recipe->text) : NULL, stem[64];
    if (!name) return base_fail(err, "the recipe has no compress(net, ...) whose result could be saved");
    snprintf(stem, sizeof stem, "%s", app->recipe->name ? app->recipe->name : "mine");
    for (char *c = stem; *c; c++)
        if (!strchr("-_.", *c) && !((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')))
            *c = '-';
    char *text = base_sprintf("%s\nsave(%s, \"%s.safetensors\")\n", app->recipe->text, name, stem);
    bool ok = ui_recipe_change(app, app->recipe->path, text, err) && ui_run_start(app, err);
    free(text);
    free(name);
    return ok;
}
ON(on_which) {
    static const char *const names[] = {"newly wrong", "newly right", "every changed decision"};
    ui_samples *s = ui_samples_of(app);
    (void)argument, (void)err;
    s->which = (ui_samples_which)((s->which + 1) % UI_SAMPLES_WHICH);
    choose(app);
    ui_say(app, UI_NORMAL, "Samples: %s.", names[s->which]);
    return true;
}
ON(on_sort) {
    ui_samples *s = ui_samples_of(app);
    UNUSED;
    s->by_change = !s->by_change;
    choose(app);
    ui_say(app, UI_NORMAL,
           s->by_change ? "Sorted by the change of the label's probability." : "Sorted by KL divergence.");
    return true;
}
ON(on_prompt) {
    ui_samples *s = ui_samples_of(app);
    if (!argument[0]) {
        ui_typing_start(app, UI_PROMPT_COMMAND, "prompt ", false);
        return true;
    }
    if (!s->ended) return base_fail(err, "no run of a language model has ended yet");
    free(s->prompt);
    s->prompt = base_strdup(argument);
    ui_samples_begin(app);
    return true;
}
ON(on_draws) {
    ui_samples *s = ui_samples_of(app);
    char *end = NULL;
    if (!argument[0]) { // the likeliest, or drawn with the next seed
        s->temperature = s->temperature > 0 ? 0 : 0.8;
        s->seed++;
    } else {
        s->seed = strtoull(argument, &end, 10);
        if (*end || argument[0] == '-')
            return base_fail(err, "a seed is a whole number from 0, not \"%.40s\"", argument);
        s->temperature = 0.8;
    }
    if (s->temperature > 0)
        ui_say(app, UI_NORMAL, "Tokens are drawn at temperature 0.8 with seed %llu.", (unsigned long long)s->seed);
    else
        ui_say(app, UI_NORMAL, "The likeliest token each time.");
    if (s->saved && s->ended) ui_samples_begin(app);
    return true;
}

// ---- the part ----------------------------------------------------------------------------------

static void on_close(ui_app *app, void *own) {
    ui_samples *s = own;
    (void)app;
    ui_samples_result_free(s->result);
    free(s->shown);
    free(s->model);
    free(s->data);
    free(s->saved);
    free(s->prompt);
}

#define F(name, type, unit, help)                                                                                      \
    { #name, unit, help, type, offsetof(ui_sample, name), sizeof(((ui_sample *)0)->name) }
static const base_field fields[] = {
    F(number, BASE_F_INT, "", "in the test part, from 1; 0: typed"),
    F(what, BASE_F_TEXT, "", "newly wrong, newly right, other"),
    F(label_name, BASE_F_TEXT, "", "what it is, or the prompt"),
    F(before_name, BASE_F_TEXT, "", "what the original says"),
    F(after_name, BASE_F_TEXT, "", "what the compressed network says"),
    F(own_before, BASE_F_REAL, "", "probability of the label, original (a prediction: squared error)"),
    F(own_after, BASE_F_REAL, "", "the same, compressed"),
    F(kl, BASE_F_REAL, "nat", "KL divergence from the original"),
    F(change, BASE_F_REAL, "", "fall of the label's probability (a prediction: distance of the outputs)"),
    F(same, BASE_F_INT, "", "text: tokens before the first difference, -1: none differs"),
    F(label, BASE_F_INT, "", "class"),
    F(before, BASE_F_INT, "", "class, original"),
    F(after, BASE_F_INT, "", "class, compressed"),
};
static int count_rows(const ui_state *state) {
    return ((ui_samples *)ui_part_own(state, &ui_part_samples))->shown_count;
}
static const void *rows_of(const ui_state *state) {
    return ((ui_samples *)ui_part_own(state, &ui_part_samples))->shown;
}
#define COUNT(a) (sizeof(a) / sizeof *(a))
static const ui_source sources[] = {
    {"samples", fields, COUNT(fields), sizeof(ui_sample), count_rows, rows_of, "label_name"}};

static const ui_command commands[] = {
    {"samples", "[FILE]", "compare sample by sample: the run that ended, or a saved model", on_samples, NULL, NULL},
    {"samples-keep", "", "add save() to a recipe that saved nothing, and run it again", on_keep, has_saved, NULL},
    {"samples-which", "", "newly wrong, newly right, or every changed decision", on_which, NULL, NULL},
    {"samples-sort", "", "sort by KL divergence or by the change of the label's probability", on_sort, NULL, NULL},
    {"prompt", "[TEXT]", "continue this text with the original and the compressed model", on_prompt, NULL, NULL},
    {"draws", "[SEED]", "text: the likeliest token each time, or drawn with a seed", on_draws, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"f", "samples-which", "samples", "which"}, {"s", "samples-sort", "samples", "sort"},
    {"c", "samples", "samples", "compare"},     {"p", "prompt", "samples", "prompt"},
    {"d", "draws", "samples", "draws"},         {"S", "samples-keep", "samples", NULL},
};
static const ui_place places[] = {{"samples", "Keys on samples"}, {NULL, NULL}};

const ui_part ui_part_samples = {.name = "samples",
                                 UI_LIST(command, commands),
                                 UI_LIST(binding, bindings),
                                 .functions = ui_samples_functions,
                                 .function_count = UI_SAMPLES_FUNCTIONS,
                                 UI_LIST(source, sources),
                                 .bytes = sizeof(ui_samples),
                                 .close = on_close,
                                 .event = on_event,
                                 .places = places};
