// What the screen shows, kept up to date by events alone: the layers of the model, this session's runs, the log, the
// recipe's params.
#include "ui/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ui_state_init(ui_state *s) {
    *s = (ui_state){.current = -1, .held_layer = -1, .eta = NAN, .loss = NAN};
    s->log = base_calloc(UI_LOG_LINES, sizeof *s->log);
}

void ui_state_free(ui_state *s) {
    for (int i = 0; i < s->run_count; i++) free(s->runs[i].layers);
    free(s->runs);
    free(s->layers);
    free(s->log);
    free(s->params);
    free(s->recipes);
    *s = (ui_state){0};
}

ui_run *ui_state_run(ui_state *s) {
    return s->run_count ? &s->runs[s->run_count - 1] : NULL;
}

void ui_state_log(ui_state *s, base_level level, double time, const char *text) {
    if (s->log_count == UI_LOG_LINES) { // forget the older half at once: cheaper than a line at a time
        int keep = UI_LOG_LINES / 2;
        memmove(s->log, s->log + (UI_LOG_LINES - keep), (size_t)keep * sizeof *s->log);
        s->log_dropped += UI_LOG_LINES - keep;
        s->log_count = keep;
    }
    ui_log_line *line = &s->log[s->log_count++];
    line->time = time;
    line->level = level;
    base_clean(line->text, sizeof line->text, text ? text : "");
}

void ui_state_params(ui_state *s, const base_param_row *params, size_t count) {
    free(s->params);
    s->params = base_calloc(count ? count : 1, sizeof *s->params);
    if (count) memcpy(s->params, params, count * sizeof *params);
    s->param_count = (int)count;
}

char *ui_param_text(const base_param_row *p, char *out, size_t size) {
    if (p->choices[0])
        snprintf(out, size, "%s", p->text);
    else if (p->integer)
        snprintf(out, size, "%.0f", p->value);
    else
        snprintf(out, size, "%.6g", p->value);
    return out;
}

static bool step_choice(base_param_row *p, int direction) {
    const char *at = p->choices, *pick = NULL, *previous = NULL;
    size_t length = strlen(p->text);
    while (at && *at && !pick) {
        size_t n = strcspn(at, "|");
        const char *next = at[n] ? at + n + 1 : NULL;
        if (n == length && strncmp(at, p->text, n) == 0) {
            pick = direction > 0 ? next : previous;
            if (!pick) return false;
        }
        previous = at;
        at = next;
    }
    if (!pick) pick = p->choices;
    snprintf(p->text, sizeof p->text, "%.*s", (int)strcspn(pick, "|"), pick);
    return true;
}

bool ui_param_step(base_param_row *p, int direction) {
    if (p->choices[0]) return step_choice(p, direction);
    // Whole numbers of a small range go one by one; wide ranges and real numbers in about twenty steps, on a round
    // grid.
    double span = p->max - p->min, step = 1;
    if (!p->integer) {
        step = isfinite(span) && span > 0 ? span / 20 : fabs(p->def) > 0 ? fabs(p->def) / 10 : 0.1;
        double ten = pow(10, floor(log10(step)));
        step = step / ten < 1.5 ? ten : step / ten < 3.5 ? 2 * ten : step / ten < 7.5 ? 5 * ten : 10 * ten;
    } else if (isfinite(span) && span > 40) {
        step = pow(2, ceil(log2(span / 20)));
    }
    double to = direction > 0 ? floor(p->value / step + 1 + 1e-9) * step : ceil(p->value / step - 1 - 1e-9) * step;
    if (isfinite(p->min) && to < p->min) to = p->min;
    if (isfinite(p->max) && to > p->max) to = p->max;
    if (to == p->value) return false;
    p->value = to;
    return true;
}

// ---- a run -------------------------------------------------------------------------------------

static void settings_text(const ui_state *s, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < s->param_count && used + 1 < size; i++) {
        char value[96];
        int n = snprintf(out + used, size - used, "%s%s=%s", i ? " " : "", s->params[i].name,
                         ui_param_text(&s->params[i], value, sizeof value));
        used += n > 0 ? (size_t)n : 0;
    }
}

// Figures that nobody has yet: dashes on the screen.
static void unmeasured(ui_layer *l) {
    base_layer_row *r = &l->row;
    l->baseline = NAN;
    r->bytes = -1;
    r->steps[0] = 0;
    r->bits = r->weight_error = r->output_error = r->output_error_held = NAN;
    r->chained_error = r->chained_error_held = r->sqnr_db = r->cosine = NAN;
    r->damping = r->d_of_r = r->seconds = NAN;
}

void ui_state_begin(ui_state *s, double now) {
    s->runs = base_realloc(s->runs, (size_t)s->run_count + 1, sizeof *s->runs);
    ui_run *r = &s->runs[s->run_count++];
    *r = (ui_run){.number = s->run_count,
                  .status = -1,
                  .flips = -1,
                  .samples = -1,
                  .bytes = -1,
                  .bytes_before = -1,
                  .peak_bytes = -1};
    r->before = r->before_low = r->before_high = r->value = r->low = r->high = NAN;
    r->kl = r->kl_low = r->kl_high = r->ratio = r->bits = r->seconds = NAN;
    snprintf(r->recipe, sizeof r->recipe, "%s", s->recipe);
    snprintf(r->model, sizeof r->model, "%s", base_basename(s->model));
    snprintf(r->data, sizeof r->data, "%s", base_basename(s->data));
    snprintf(r->state, sizeof r->state, "running");
    settings_text(s, r->settings, sizeof r->settings);
    for (int i = 0; i < s->layer_count; i++) {
        ui_layer *l = &s->layers[i];
        l->state = UI_WAITING;
        l->changed = 0;
        unmeasured(l);
    }
    s->paused = s->pausing = false;
    s->held_layer = -1;
    s->held = 0;
    s->changes++;
    s->began = now;
    s->current = -1;
    s->finished = 0;
    s->done = s->of = 0;
    s->job_time = 0;
    s->eta = s->loss = NAN;
    s->phase[0] = 0;
    s->stopping = false;
}

static ui_layer *layer_at(ui_state *s, const base_layer_row *row, bool add) {
    for (int i = 0; i < s->layer_count; i++)
        if (strcmp(s->layers[i].row.name, row->name) == 0) return &s->layers[i];
    if (!add) return NULL;
    if (s->layer_count == s->layer_capacity) {
        s->layer_capacity = s->layer_capacity ? s->layer_capacity * 2 : 64;
        s->layers = base_realloc(s->layers, (size_t)s->layer_capacity, sizeof *s->layers);
    }
    ui_layer *l = &s->layers[s->layer_count++];
    *l = (ui_layer){.row = *row, .state = UI_WAITING, .baseline = NAN};
    return l;
}

static void on_plan(ui_state *s, const base_event *e, double now) {
    (void)now;
    if (!e->layer) return;
    if (e->index == 0) s->layer_count = 0; // a plan starts: the table is the model's, from its first layer on
    ui_layer *l = layer_at(s, e->layer, true);
    l->row = *e->layer;
    unmeasured(l);
    l->state = UI_WAITING;
}

static void on_layer_begin(ui_state *s, const base_event *e, double now) {
    (void)now;
    if (!e->layer) return;
    ui_layer *l = layer_at(s, e->layer, true);
    l->state = UI_WORKING;
    s->current = (int)(l - s->layers);
    snprintf(s->phase, sizeof s->phase, "compressing");
    s->done = e->index;
    s->of = e->total;
}

static void on_layer(ui_state *s, const base_event *e, double now) {
    (void)now;
    if (!e->layer) return;
    ui_layer *l = layer_at(s, e->layer, true);
    l->row = *e->layer;
    if (e->kind == BASE_EV_STEP) return;
    l->state = UI_DONE;
    s->finished++;
    s->done = e->index + 1;
    s->of = e->total;
}

static void on_model(ui_state *s, const base_event *e, double now) {
    (void)now;
    ui_run *r = ui_state_run(s);
    const base_model_row *m = e->model;
    if (!r || r->status >= 0 || !m) return;
    snprintf(r->metric, sizeof r->metric, "%s", m->metric);
    r->samples = m->samples;
    if (strcmp(m->label, "original") == 0) {
        r->before = m->value;
        r->before_low = m->low;
        r->before_high = m->high;
        r->bytes_before = m->bytes;
    } else {
        r->value = m->value;
        r->low = m->low;
        r->high = m->high;
        r->kl = m->kl;
        r->kl_low = m->kl_low;
        r->kl_high = m->kl_high;
        r->flips = m->flips;
        r->bytes = m->bytes;
        r->bits = m->bits;
    }
    if (r->bytes > 0 && r->bytes_before > 0) r->ratio = (double)r->bytes_before / (double)r->bytes;
    if (m->peak_bytes > r->peak_bytes) r->peak_bytes = m->peak_bytes;
    if (m->data[0]) snprintf(r->data, sizeof r->data, "%s", m->data);
}

static void on_saved(ui_state *s, const base_event *e, double now) {
    (void)now;
    ui_run *r = ui_state_run(s);
    char text[400], size[24];
    snprintf(text, sizeof text, "saved %s, %s", e->text ? e->text : "", base_bytes_text(size, (double)e->done));
    ui_state_log(s, BASE_INFO, e->time, text);
    if (!r || r->status >= 0) return;
    snprintf(r->saved, sizeof r->saved, "%s", e->text ? e->text : "");
    snprintf(r->hash, sizeof r->hash, "%s", e->hash ? e->hash : "");
}

static void on_progress(ui_state *s, const base_event *e, double now) {
    snprintf(s->phase, sizeof s->phase, "%s", e->text ? e->text : "");
    s->done = e->done;
    s->of = e->of;
    s->eta = e->eta;
    s->eta_at = now;
}

static void on_train(ui_state *s, const base_event *e, double now) {
    snprintf(s->phase, sizeof s->phase, "training");
    s->done = e->index;
    s->of = e->total;
    s->loss = e->value;
    s->eta = e->eta;
    s->eta_at = now;
}

static void on_log(ui_state *s, const base_event *e, double now) {
    (void)now;
    ui_state_log(s, e->level, e->time, e->text);
}

static void on_seed(ui_state *s, const base_event *e, double now) {
    (void)now;
    char text[200];
    snprintf(text, sizeof text, "seed %lld: %s", (long long)e->done, e->text ? e->text : "");
    ui_state_log(s, BASE_DEBUG, e->time, text);
}

static const char *status_word(base_status status) {
    return status == BASE_OK ? "done" : status == BASE_CANCELLED ? "stopped" : "failed";
}

double ui_state_clock(const ui_state *s, double now) {
    return s->paused ? s->paused_at : now;
}
double ui_state_elapsed(const ui_state *s, double now) {
    return ui_state_clock(s, now) - s->began - s->held;
}

int ui_state_log_row(const ui_state *s, int index) {
    if (s->log_level <= 0) return index < s->log_count ? index : -1;
    for (int i = 0; i < s->log_count; i++)
        if (s->log[i].level >= s->log_level && index-- == 0) return i;
    return -1;
}
int ui_state_log_count(const ui_state *s) {
    int count = 0;
    for (int i = 0; i < s->log_count; i++) count += s->log[i].level >= s->log_level;
    return count;
}

static void go_on(ui_state *s, double now) {
    if (!s->paused) return;
    s->held += now - s->paused_at;
    s->eta_at += now - s->paused_at;
    s->paused = false;
    if (s->held_layer >= 0 && s->layers[s->held_layer].state == UI_HELD) s->layers[s->held_layer].state = UI_WAITING;
    s->held_layer = -1;
}

static void on_pause(ui_state *s, const base_event *e, double now) {
    if (!e->index) {
        go_on(s, now);
        return;
    }
    if (!s->paused) s->paused_at = now;
    s->paused = true;
    s->pausing = false;
    ui_layer *l = e->layer ? layer_at(s, e->layer, false) : NULL;
    s->held_layer = l ? (int)(l - s->layers) : -1;
    if (!l) return;
    l->state = UI_HELD;
    s->current = s->held_layer;
}

static void on_change(ui_state *s, const base_event *e, double now) {
    (void)now;
    ui_layer *l = e->layer ? layer_at(s, e->layer, false) : NULL;
    if (!l || e->status != BASE_OK) {
        ui_state_log(s, BASE_ERROR, e->time, e->text);
        return;
    }
    memcpy(l->row.steps, e->layer->steps, sizeof l->row.steps);
    l->changed = 1;
}

static void on_baseline(ui_state *s, const base_event *e, double now) {
    (void)now;
    ui_layer *l = e->layer ? layer_at(s, e->layer, false) : NULL;
    if (l) l->baseline = e->value;
}

static void on_run_end(ui_state *s, const base_event *e, double now) {
    go_on(s, now);
    s->pausing = false;
    for (int i = 0; i < s->layer_count; i++) {
        ui_layer *l = &s->layers[i];
        if (l->state == UI_HELD) l->state = UI_WAITING;
        if (l->state == UI_WORKING) {
            l->state = e->status == BASE_FAILED ? UI_BROKEN : UI_LEFT_OVER;
            unmeasured(l); // what it had so far is not kept
        }
        if (l->state == UI_WAITING && s->job == UI_RUNNING && e->status != BASE_OK) l->state = UI_LEFT_OVER;
    }
    if (e->status != BASE_OK && e->text)
        ui_state_log(s, e->status == BASE_FAILED ? BASE_ERROR : BASE_WARN, e->time, e->text);
    s->current = -1;
    s->eta = NAN;
    ui_run *r = ui_state_run(s);
    if (s->job == UI_RUNNING && r && r->status < 0) {
        r->status = e->status;
        r->held = s->held;
        r->seconds = now - s->began - s->held;
        snprintf(r->state, sizeof r->state, "%s", status_word(e->status));
        base_clean(r->message, sizeof r->message, e->text ? e->text : "");
        r->layers = base_calloc((size_t)s->layer_count + 1, sizeof *r->layers);
        if (s->layer_count) memcpy(r->layers, s->layers, (size_t)s->layer_count * sizeof *r->layers);
        r->layer_count = s->layer_count;
    }
    s->job = UI_IDLE;
    s->stopping = false;
}

typedef void (*event_function)(ui_state *s, const base_event *e, double now);
static const event_function on_event[BASE_EV_KINDS] = {
    [BASE_EV_LOG] = on_log,           [BASE_EV_PLAN] = on_plan,
    [BASE_EV_PROGRESS] = on_progress, [BASE_EV_LAYER_BEGIN] = on_layer_begin,
    [BASE_EV_STEP] = on_layer,        [BASE_EV_LAYER_END] = on_layer,
    [BASE_EV_TRAIN] = on_train,       [BASE_EV_MODEL] = on_model,
    [BASE_EV_SAVED] = on_saved,       [BASE_EV_SEED] = on_seed,
    [BASE_EV_RUN_END] = on_run_end,   [BASE_EV_PAUSE] = on_pause,
    [BASE_EV_CHANGE] = on_change,     [BASE_EV_BASELINE] = on_baseline,
};

void ui_state_event(ui_state *s, const base_event *e, double now) {
    s->job_time = e->time;
    if (e->layer || e->kind == BASE_EV_RUN_END) s->changes++;
    if ((int)e->kind >= 0 && e->kind < BASE_EV_KINDS && on_event[e->kind]) on_event[e->kind](s, e, now);
}
