// A run in hand: pause it, go on, one layer at a time, other steps for the layer it waits before, and which lines of
// its log are shown.
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

static const char *needs_run(const ui_app *app) {
    const ui_state *s = &app->state;
    return s->job != UI_RUNNING ? "no run is going" : s->stopping ? "the run is being stopped" : NULL;
}

static const char *not_stopping(const ui_app *app) {
    return app->state.stopping ? "the run is being stopped" : NULL;
}

static const char *needs_wait(const ui_app *app) {
    const char *why = needs_run(app);
    if (why) return why;
    return app->state.held_layer >= 0 ? NULL : "the run does not wait before a layer; . takes it there";
}

ON(on_pause) {
    UNUSED;
    ui_state *s = &app->state;
    bool on = !s->paused && !s->pausing;
    session_job_pause(app->job, on);
    s->pausing = on;
    if (on)
        ui_say(app, UI_WARN, "Pausing. p goes on, . goes to the next layer, Esc stops.");
    else
        ui_say(app, UI_NORMAL, "Going on.");
    return true;
}

// With no run one begins, and waits before its first layer.
ON(on_step_layer) {
    (void)argument;
    if (app->state.job == UI_INSPECTING) return base_fail(err, "the model is being opened; again in a moment");
    if (app->state.job == UI_IDLE && !ui_run_start(app, err)) return false;
    session_job_step(app->job);
    app->state.pausing = true;
    ui_say(app, UI_NORMAL, "To the next layer.");
    return true;
}

ON(on_step) {
    if (!argument[0]) {
        ui_typing_start(app, UI_PROMPT_COMMAND, "step ", false);
        return true;
    }
    return session_job_change(app->job, argument) || base_fail(err, "the run went on meanwhile; nothing was changed");
}

static const base_arg *arg_at(const compress_step_kind *kind, size_t i) {
    return i < kind->arg_count ? &kind->args[i] : NULL;
}

// The step whose braces are open at the end of the text; NULL: none are.
static const compress_step_kind *open_step(const char *text) {
    const char *brace = strrchr(text, '{'), *shut = strrchr(text, '}');
    if (!brace || (shut && shut > brace)) return NULL;
    const char *from = brace;
    while (from > text && strchr("abcdefghijklmnopqrstuvwxyz_0123456789", from[-1])) from--;
    char *name = base_strndup(from, (size_t)(brace - from));
    const compress_step_kind *kind = compress_step_find(name);
    free(name);
    return kind;
}

// The names of steps, and inside the braces of one those of its arguments.
OFFER(step_offer) {
    char *before = base_strndup(app->prompt.text, (size_t)app->prompt.cursor);
    const compress_step_kind *kind = open_step(before);
    size_t lead = strlen(typed); // what of the word stays in front of a choice
    while (lead > 0 && !strchr("{,", typed[lead - 1])) lead--;
    const base_arg *a;
    for (size_t i = 0; kind && (a = arg_at(kind, i)); i++) {
        char *text = base_sprintf("%.*s%s=", (int)lead, typed, a->name);
        ui_palette_offer(&app->palette, text, a->help);
        free(text);
    }
    for (size_t i = 0; !kind && i < compress_step_count; i++) {
        char *text = base_sprintf("%.*s%s{", (int)lead, typed, compress_steps[i]->name);
        ui_palette_offer(&app->palette, text, compress_steps[i]->help);
        free(text);
    }
    free(before);
}

static const char *const levels[] = {"all", "info", "warnings", "errors"};
ON(on_log_level) {
    ui_state *s = &app->state;
    if (!argument[0]) s->log_level = (s->log_level + 1) % 4;
    int found = -1;
    for (int i = 0; i < 4; i++)
        if (strcmp(argument, levels[i]) == 0) found = i;
    if (argument[0] && found < 0) return base_fail(err, "log-level is all, info, warnings or errors");
    if (found >= 0) s->log_level = found;
    ui_say(app, UI_NORMAL, "The log shows %s%s.", s->log_level ? levels[s->log_level] : "everything",
           s->log_level == 1 || s->log_level == 2 ? " and worse" : "");
    return true;
}
OFFER(level_offer) {
    (void)typed;
    for (int i = 0; i < 4; i++) ui_palette_offer(&app->palette, levels[i], NULL);
}

static void on_event(ui_app *app, void *own, const base_event *e) {
    (void)own;
    const ui_state *s = &app->state;
    if (e->kind == BASE_EV_PAUSE && e->index && s->held_layer >= 0)
        ui_say(app, UI_WARN, "Paused before %s. c gives it other steps, . runs it alone, p goes on.",
               s->layers[s->held_layer].row.name);
    else if (e->kind == BASE_EV_PAUSE && e->index)
        ui_say(app, UI_WARN, "Paused. p goes on, . goes to the next layer, Esc stops.");
    if (e->kind != BASE_EV_CHANGE || !e->layer) return;
    if (e->status == BASE_OK)
        ui_say(app, UI_GOOD, "%s: %s. . runs it alone, p goes on.", e->layer->name, e->layer->steps);
    else
        ui_say(app, UI_BAD, "Nothing was changed: %s", e->text ? e->text : "");
}

static const ui_command commands[] = {
    {"pause", "", "pause the run, or go on", on_pause, needs_run, NULL},
    {"step-layer", "", "to the next layer, paused before it; begins a run when none is going", on_step_layer,
     not_stopping, NULL},
    {"step", "[STEPS...]", "other steps for the layer the run waits before", on_step, needs_wait, step_offer},
    {"log-level", "[LEVEL]", "lines of the log to show: all, info, warnings, errors", on_log_level, NULL, level_offer},
};
static const ui_binding bindings[] = {
    {"p", "pause", NULL, NULL},         {".", "step-layer", NULL, NULL},
    {"c", "step", NULL, NULL},          {"v", "log-level", "log", "level"},
    {"p", "pause", "running", "pause"}, {".", "step-layer", "running", "next layer"},
    {"c", "step", "waiting", "change"},
};
static const ui_place places[] = {
    {"log", "Keys on the log"}, {"waiting", "Keys while a run waits before a layer"}, {NULL, NULL}};

const ui_part ui_part_control = {
    .name = "control", UI_LIST(command, commands), UI_LIST(binding, bindings), .event = on_event, .places = places};
