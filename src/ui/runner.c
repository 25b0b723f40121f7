// Recipes, inputs and the job: what Enter starts, what Esc stops, and how events of the job thread reach the state.
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ui/part.h"

// What the job thread reads: its own copies, so that the screen may change params and paths while it works.
typedef struct ui_work {
    script_recipe *recipe; // NULL: only look at the model
    char *model, *data, *arch, *out;
    uint64_t seed;
    base_cache *cache; // lent by the options
    study_store store; // the history's; get is NULL without a cache
    session_recorder *recorder;
    ui_inputs *inputs;
    session_body body; // instead of the recipe, for tests
    void *body_context;
    void *looks;   // where finished layers are kept for looking into; NULL: nowhere
    bool run_next; // a run was asked for while this looks at the model
    // Of a recorded run done again:
    char *base;                                     // checkpoint that others are stored against
    bool no_save;                                   // sizes and hashes are told, nothing is written
    void (*ended)(ui_app *app, base_status status); // told at the end; NULL: nobody
} ui_work;

// ---- on the job thread -------------------------------------------------------------------------

static void on_inputs(void *context, const char *path, const char *hash, const char *data, const char *data_hash) {
    ui_work *w = context;
    if (w->recorder) session_recorder_inputs(w->recorder, path, hash, data, data_hash);
    pthread_mutex_lock(&w->inputs->lock);
    if (path && path[0]) snprintf(w->inputs->model, sizeof w->inputs->model, "%s", path);
    if (data && data[0]) snprintf(w->inputs->data, sizeof w->inputs->data, "%s", data);
    w->inputs->fresh = true;
    pthread_mutex_unlock(&w->inputs->lock);
}

static void layer_row(const model *m, int index, base_layer_row *row) {
    const model_layer *l = &m->layers[index];
    *row = (base_layer_row){.index = index, .weights = l->weights};
    snprintf(row->name, sizeof row->name, "%s", l->name);
    snprintf(row->kind, sizeof row->kind, "%s", l->kind);
    size_t used = 0;
    for (int i = 0; i < l->shape.ndim && used + 24 < sizeof row->shape; i++)
        used += (size_t)snprintf(row->shape + used, sizeof row->shape - used, "%s%lld", i ? "x" : "",
                                 (long long)l->shape.dim[i]);
    int tensor = m->param_tensor ? m->param_tensor[l->weight] : l->weight;
    if (tensor >= 0 && tensor < m->tensors->count) row->bytes_before = (int64_t)m->tensors->items[tensor].bytes;
}

static bool look_at_model(const ui_work *w, base_job *job, base_err *err) {
    base_progress(job, "opening the model", 0, 0, 0);
    model *m = script_model_open(w->model, w->arch, err);
    if (!m) return false;
    for (int i = 0; i < m->layer_count; i++) {
        base_layer_row row;
        layer_row(m, i, &row);
        base_emit(job, (base_event){.kind = BASE_EV_PLAN, .layer = &row, .index = i, .total = m->layer_count});
    }
    if (!m->arch) base_log(job, BASE_WARN, "%s", m->why_no_arch ? m->why_no_arch : "no architecture fits this model");
    model_close(m);
    return true;
}

static bool do_work(ui_work *w, base_job *job, base_err *err) {
    if (!w->recipe) return look_at_model(w, job, err);
    if (w->body) return w->body(w->body_context, job, err);
    script_run_options o = {.model = w->model,
                            .data = w->data,
                            .arch = w->arch,
                            .out = w->out,
                            .base = w->base,
                            .no_save = w->no_save,
                            .seed = w->seed,
                            .cache = w->cache,
                            .baseline = true,
                            .store = w->store.put ? &w->store : NULL,
                            .made = w->looks ? look_store_made : NULL,
                            .made_context = w->looks,
                            .inputs = on_inputs,
                            .inputs_context = w};
    return script_recipe_run(w->recipe, &o, job, err);
}

static bool work_body(void *context, base_job *job, base_err *err) {
    // A little less eager than the screen's thread, so that a key is answered at once on a machine that is all busy.
    // On Linux this is the calling thread's own niceness; where it cannot be changed nothing is lost.
    setpriority(PRIO_PROCESS, 0, 2);
    void *guard = ui_term_guard();
    bool ok = do_work(context, job, err);
    ui_term_unguard(guard);
    return ok;
}

// ---- starting and ending -----------------------------------------------------------------------

static void work_free(ui_work *w) {
    if (!w) return;
    script_recipe_free(w->recipe);
    free(w->model);
    free(w->data);
    free(w->arch);
    free(w->out);
    free(w->base);
    free(w);
}

static ui_work *work_new(ui_app *app) {
    ui_work *w = base_alloc(sizeof *w);
    w->model = base_strdup(app->model);
    w->data = base_strdup(app->data);
    w->arch = base_strdup(app->arch);
    w->out = base_strdup(app->out);
    w->seed = app->options->seed;
    w->cache = app->options->cache;
    if (app->history) w->store = session_history_store(app->history);
    if (!w->cache) w->store.get = NULL;
    w->inputs = &app->inputs;
    app->inputs.model[0] = app->inputs.data[0] = 0; // no job is going: nobody else looks
    return w;
}

static bool job_start(ui_app *app, ui_job_kind kind, base_err *err) {
    session_listener listeners[2] = {{session_queue_push, app->queue}};
    size_t count = 1;
    if (app->recorder) listeners[count++] = (session_listener){session_recorder_event, app->recorder};
    app->job = session_job_start(work_body, app->work, listeners, count, err);
    if (app->job) {
        app->state.job = kind;
        return true;
    }
    work_free(app->work);
    app->work = NULL;
    session_recorder_free(app->recorder);
    app->recorder = NULL;
    return false;
}

static void put(json_t *object, const char *key, const char *text) {
    if (text) json_object_set_new(object, key, json_string(text));
}

// The history's row of this run; without one the run goes on all the same.
static void recorder_open(ui_app *app) {
    if (!app->history) return;
    json_t *o = json_object();
    put(o, "model", app->model);
    put(o, "data", app->data);
    put(o, "arch", app->arch);
    put(o, "out", app->out);
    json_object_set_new(o, "seed", json_integer((json_int_t)app->options->seed));
    char *settings = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    session_start_info info = {.recipe = app->state.recipe, // with a * when its text is not the file's
                               .recipe_path = app->recipe->path,
                               .recipe_text = app->recipe->text,
                               .model = app->model,
                               .data = app->data,
                               .settings = settings,
                               .threads = num_threads()};
    base_err err = {0};
    app->recorder = session_recorder_new(app->history, &info, &err);
    free(settings);
    if (!app->recorder) ui_state_log(&app->state, BASE_WARN, 0, err.text);
}

// With the inputs of a recorded run; everything is computed, nothing is kept.
static void work_again(ui_work *w, const ui_again *a) {
    char **own[] = {&w->model, &w->data, &w->arch, &w->base};
    const char *const recorded[] = {a->model, a->data, a->arch, a->base};
    for (int i = 0; i < 4; i++) {
        free(*own[i]);
        *own[i] = base_strdup(recorded[i]);
    }
    w->seed = a->seed;
    w->cache = NULL;
    w->store = (study_store){0};
    w->no_save = true;
    w->ended = a->ended;
}

static bool run_start(ui_app *app, const ui_again *again, base_err *err) {
    if (!app->recipe) return base_fail(err, "there is no recipe to run; o chooses one");
    if (app->state.job == UI_RUNNING) return base_fail(err, "a run is going; Esc stops it");
    if (!ui_recipe_ready(app, err)) return false;
    if (app->state.job == UI_INSPECTING) { // it ends in a moment, then the run begins
        if (again) return base_fail(err, "the model is still being read; try again in a moment");
        app->work->run_next = true;
        return true;
    }
    ui_work *w = work_new(app);
    if (again) work_again(w, again);
    w->recipe = script_recipe_text(app->recipe->path, app->recipe->text, err);
    if (!w->recipe) {
        work_free(w);
        return false;
    }
    for (size_t i = 0; i < w->recipe->param_count && i < (size_t)app->state.param_count; i++)
        w->recipe->params[i] = app->state.params[i];
    w->looks = ui_look_begin(app);
    w->body = app->options->body;
    w->body_context = app->options->body_context;
    if (!w->body && !again) recorder_open(app);
    w->recorder = app->recorder;
    app->work = w;
    ui_state_begin(&app->state, ui_now(app));
    ui_recipe_ran(app);
    for (int i = 0; i < app->view_count; i++) app->views[i].scroll.follows = true;
    if (!job_start(app, UI_RUNNING, err)) return false;
    ui_say(app, UI_NORMAL, "Running %s. Esc stops and keeps what is finished.", app->state.recipe);
    return true;
}

bool ui_run_start(ui_app *app, base_err *err) {
    return run_start(app, NULL, err);
}
bool ui_run_again(ui_app *app, const ui_again *again, base_err *err) {
    return run_start(app, again, err);
}

void ui_inspect_start(ui_app *app) {
    if (!app->model || app->job || app->options->body) return;
    base_err err = {0};
    app->work = work_new(app);
    app->state.began = ui_now(app);
    app->state.layer_count = 0;
    if (!job_start(app, UI_INSPECTING, &err)) ui_say(app, UI_BAD, "%s", err.text);
}

void ui_run_cancel(ui_app *app) {
    if (!app->job) return;
    session_job_cancel(app->job);
    app->state.stopping = true;
}

static void job_ended(ui_app *app, const base_event *e, ui_job_kind kind) {
    base_err err = {0};
    session_job_wait(app->job, &err); // its last event was this one
    session_job_free(app->job);
    app->job = NULL;
    bool run_next = app->work->run_next && e->status == BASE_OK;
    void (*ended)(ui_app *, base_status) = app->work->ended;
    work_free(app->work);
    app->work = NULL;
    session_recorder_free(app->recorder);
    app->recorder = NULL;
    const ui_run *r = ui_state_run(&app->state);
    char took[24] = "", waited[24] = "";
    if (r) base_seconds_text(took, r->seconds);
    if (r && r->held >= 0.1) base_seconds_text(waited, r->held);
    if (e->status == BASE_FAILED || e->status == BASE_USAGE)
        ui_say(app, UI_BAD, "%s", e->text ? e->text : "The run failed.");
    else if (e->status == BASE_CANCELLED)
        ui_say(app, UI_WARN, "Stopped after %s; %d finished layer%s kept.", took, app->state.finished,
               app->state.finished == 1 ? " is" : "s are");
    else if (kind == UI_RUNNING && r)
        ui_say(app, UI_GOOD, "Run %d done in %s%s%s%s.", (int)r->number, took, waited[0] ? ", and " : "", waited,
               waited[0] ? " paused" : "");
    if (ended) ended(app, e->status);
    if (run_next && !ui_run_start(app, &err)) ui_say(app, UI_BAD, "%s", err.text);
}

static void take_inputs(ui_app *app) {
    pthread_mutex_lock(&app->inputs.lock);
    if (app->inputs.fresh) {
        // Each is told as soon as it is known, so one of them may still be empty.
        if (app->inputs.model[0]) snprintf(app->state.model, sizeof app->state.model, "%s", app->inputs.model);
        if (app->inputs.data[0]) snprintf(app->state.data, sizeof app->state.data, "%s", app->inputs.data);
        app->inputs.fresh = false;
        ui_run *r = ui_state_run(&app->state);
        if (r && r->status < 0) snprintf(r->model, sizeof r->model, "%s", base_basename(app->state.model));
    }
    pthread_mutex_unlock(&app->inputs.lock);
}

enum { DRAIN_AT_ONCE = 2000 }; // then keys are looked at again

bool ui_events_drain(ui_app *app) {
    session_item *item;
    int count = 0;
    while (count < DRAIN_AT_ONCE && (item = session_queue_pop(app->queue))) {
        ui_job_kind kind = app->state.job;
        ui_state_event(&app->state, &item->event, ui_now(app));
        ui_parts_event(app, &item->event);
        if (item->event.kind == BASE_EV_RUN_END) job_ended(app, &item->event, kind);
        session_item_free(item);
        count++;
    }
    if (count) take_inputs(app);
    return count > 0;
}

// ---- recipes and inputs ------------------------------------------------------------------------

static char *absolute(const char *path) {
    if (!path || !path[0]) return NULL;
    const char *home = getenv("HOME");
    if (path[0] == '~' && (path[1] == '/' || !path[1]) && home) return base_sprintf("%s%s", home, path + 1);
    char here[PATH_MAX];
    if (path[0] == '/' || !getcwd(here, sizeof here)) return base_strdup(path);
    return base_join(here, path);
}

static void show_inputs(ui_app *app) {
    snprintf(app->state.model, sizeof app->state.model, "%s", app->model ? app->model : "");
    snprintf(app->state.data, sizeof app->state.data, "%s", app->data ? app->data : "");
}

void ui_use_model(ui_app *app, const char *path) {
    free(app->model);
    app->model = absolute(path);
    show_inputs(app);
    ui_inspect_start(app);
}

void ui_use_data(ui_app *app, const char *path) {
    free(app->data);
    app->data = absolute(path);
    show_inputs(app);
}

void ui_recipe_take(ui_app *app, script_recipe *r) {
    script_recipe_free(app->recipe);
    app->recipe = r;
    const char *title = r->name && r->name[0] ? r->name : base_basename(r->path);
    snprintf(app->state.recipe, sizeof app->state.recipe, "%s", title);
    snprintf(app->state.recipe_about, sizeof app->state.recipe_about, "%s", r->about ? r->about : "");
    ui_state_params(&app->state, r->params, r->param_count);
}

bool ui_recipe_open(ui_app *app, const char *name, base_err *err) {
    script_recipe *r = script_recipe_load(name, err);
    if (r) ui_recipe_take(app, r);
    return r != NULL;
}

bool ui_param_set(ui_app *app, const char *name, const char *value, base_err *err) {
    if (!app->recipe) return base_fail(err, "there is no recipe whose params could be set");
    // The recipe checks; its own rows start from what the screen shows.
    for (size_t i = 0; i < app->recipe->param_count && i < (size_t)app->state.param_count; i++)
        app->recipe->params[i] = app->state.params[i];
    if (!script_recipe_set(app->recipe, name, value, err)) return false;
    for (size_t i = 0; i < app->recipe->param_count && i < (size_t)app->state.param_count; i++)
        app->state.params[i] = app->recipe->params[i];
    return true;
}

// Name and first line about each shipped recipe. One that does not load is listed with its error.
static void list_recipes(ui_app *app) {
    base_err err = {0};
    size_t count = 0;
    char **names = script_recipe_names(&count, &err);
    if (!names) {
        ui_state_log(&app->state, BASE_WARN, 0, err.text);
        return;
    }
    app->state.recipes = base_calloc(count ? count : 1, sizeof *app->state.recipes);
    for (size_t i = 0; i < count; i++) {
        ui_recipe_name *n = &app->state.recipes[app->state.recipe_count++];
        snprintf(n->name, sizeof n->name, "%s", names[i]);
        script_recipe *r = script_recipe_load(names[i], &err);
        base_clean(n->about, sizeof n->about, r ? (r->about ? r->about : "") : err.text);
        script_recipe_free(r);
    }
    base_names_free(names, count);
}

static bool first_recipe(ui_app *app, base_err *err) {
    const ui_options *o = app->options;
    if (!ui_recipe_open(app, o->recipe ? o->recipe : "w4", err)) {
        if (o->recipe) return false;
        ui_say(app, UI_BAD, "%s", err->text);
        return true;
    }
    for (int i = 0; i < o->set_count; i++) {
        const char *equals = strchr(o->sets[i], '=');
        if (!equals || equals == o->sets[i])
            return base_fail_as(err, BASE_USAGE, "A param is set as NAME=VALUE, not \"%s\".", o->sets[i]);
        char *name = base_strndup(o->sets[i], (size_t)(equals - o->sets[i]));
        bool ok = ui_param_set(app, name, equals + 1, err);
        free(name);
        if (!ok) {
            err->status = BASE_USAGE;
            return false;
        }
    }
    return true;
}

bool ui_runner_open(ui_app *app, base_err *err) {
    const ui_options *o = app->options;
    pthread_mutex_init(&app->inputs.lock, NULL);
    app->queue = session_queue_new(err);
    if (!app->queue) return false;
    base_err trouble = {0};
    if (!o->body) app->history = session_history_open(o->state_dir, &trouble);
    if (!o->body && !app->history) {
        ui_state_log(&app->state, BASE_WARN, 0, trouble.text);
        ui_say(app, UI_WARN, "Runs are not recorded: %s", trouble.text);
    }
    app->model = absolute(o->model);
    app->data = absolute(o->data);
    app->arch = base_strdup(o->arch);
    app->out = absolute(o->out);
    if (!app->model && !o->recipe) { // the shipped network is what an empty command line opens
        char *shipped = base_join(base_home(), "data/models/digits-cnn.safetensors");
        if (base_is_file(shipped))
            app->model = shipped;
        else
            free(shipped);
    }
    show_inputs(app);
    if (!first_recipe(app, err)) return false;
    list_recipes(app);
    ui_inspect_start(app);
    return true;
}

enum { PATIENCE = 2 }; // seconds a cancelled job gets before the program leaves without it

// A job that does not stop still uses everything we would free; the process ends with it. The history has each finished
// layer already, and the terminal is given back.
_Noreturn void ui_leave_now(void) {
    int end = ui_term_end_signal();
    if (end) {
        signal(end, SIG_DFL);
        raise(end);
    }
    _exit(BASE_CANCELLED);
}

void ui_runner_close(ui_app *app) {
    if (app->job) {
        session_job_cancel(app->job);
        double until = base_now() + PATIENCE;
        while (!session_job_done(app->job) && base_now() < until) usleep(2000);
        if (!session_job_done(app->job)) ui_leave_now();
        while (ui_events_drain(app)) {}
    }
    if (app->job) {
        base_err ignored;
        session_job_wait(app->job, &ignored);
        session_job_free(app->job);
        session_recorder_free(app->recorder);
        work_free(app->work);
    }
    session_queue_free(app->queue);
    session_history_close(app->history);
    script_recipe_free(app->recipe);
    free(app->model);
    free(app->data);
    free(app->arch);
    free(app->out);
    pthread_mutex_destroy(&app->inputs.lock);
}
