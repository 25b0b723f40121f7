// vise run, and what replay shares with it: load the recipe, set its params, run it on this thread with progress and
// history listening.
#include "cli/run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct run_body {
    const script_recipe *recipe;
    script_run_options options;
} run_body;

static bool body(void *context, base_job *job, base_err *err) {
    run_body *b = context;
    return script_recipe_run(b->recipe, &b->options, job, err);
}

static void on_inputs(void *context, const char *path, const char *hash, const char *data, const char *data_hash) {
    session_recorder_inputs(context, path, hash, data, data_hash);
}

bool cli_apply_sets(script_recipe *recipe, const cli_list *sets, base_err *err) {
    for (size_t i = 0; i < sets->count; i++) {
        const char *equals = strchr(sets->items[i], '=');
        if (!equals || equals == sets->items[i])
            return base_fail_as(err, BASE_USAGE, "--set takes NAME=VALUE, not '%s'", sets->items[i]);
        char *name = base_strndup(sets->items[i], (size_t)(equals - sets->items[i]));
        bool ok = script_recipe_set(recipe, name, equals + 1, err);
        free(name);
        if (!ok) {
            err->status = BASE_USAGE;
            return false;
        }
    }
    return true;
}

static void put(json_t *object, const char *key, const char *text) {
    if (text) json_object_set_new(object, key, json_string(text));
}

// Everything a replay needs beside the recipe's text and params.
static char *settings_text(const cli_run_request *q) {
    json_t *o = json_object();
    put(o, "model", q->model);
    put(o, "data", q->data);
    put(o, "arch", q->arch);
    put(o, "base", q->base);
    put(o, "base_hash", q->base_hash);
    put(o, "out", q->out);
    if (q->no_save) json_object_set_new(o, "no_save", json_true());
    json_object_set_new(o, "seed", json_integer((json_int_t)q->seed));
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    return text;
}

base_status cli_run_recipe(const cli_run_request *q, int64_t *run, base_err *err) {
    session_history *opened = NULL;
    session_recorder *recorder = NULL;
    study_store store = {0};
    if (!q->no_history) {
        session_history *history = q->history ? q->history : (opened = session_history_open(q->state, err));
        if (!history) return cli_failed(err);
        char *settings = settings_text(q);
        session_start_info info = {.recipe = q->recipe->name,
                                   .recipe_path = q->recipe->path,
                                   .recipe_text = q->recipe->text,
                                   .model = q->model,
                                   .data = q->data,
                                   .settings = settings,
                                   .threads = num_threads()};
        recorder = session_recorder_new(history, &info, err);
        free(settings);
        store = session_history_store(history);
        if (!q->cache) store.get = NULL; // --no-cache computes everything; what is measured is kept in any case
        if (!recorder) {
            session_history_close(opened);
            return cli_failed(err);
        }
    }
    cli_progress *progress = cli_progress_new(q->json, q->quiet);
    session_listener listeners[3];
    size_t count = 0;
    if (recorder) listeners[count++] = (session_listener){session_recorder_event, recorder};
    if (!q->silent) listeners[count++] = (session_listener){cli_progress_event, progress};
    if (q->listener.event) listeners[count++] = q->listener;
    run_body b = {q->recipe,
                  {.model = q->model,
                   .data = q->data,
                   .arch = q->arch,
                   .base = q->base,
                   .out = q->out,
                   .seed = (uint64_t)q->seed,
                   .no_save = q->no_save,
                   .cache = q->cache,
                   .store = store.put ? &store : NULL,
                   .inputs = recorder ? on_inputs : NULL,
                   .inputs_context = recorder}};
    base_status status = session_job_run(body, &b, listeners, count, cli_job(), err);
    if (run) *run = recorder ? session_recorder_id(recorder) : 0;
    if (recorder && !q->json && !q->quiet && !q->silent)
        printf("recorded as run %lld\n", (long long)session_recorder_id(recorder));
    cli_progress_free(progress);
    session_recorder_free(recorder);
    session_history_close(opened);
    return status;
}

base_status cli_run(const cli_options *o, base_err *err) {
    cli_use_threads(o);
    script_recipe *recipe = script_recipe_load(o->args[0], err);
    if (!recipe) return cli_failed(err);
    base_status status;
    char *path = base_absolute(o->model), *data = base_absolute(o->data), *out = base_absolute(o->out);
    char *base = base_absolute(o->base);
    if (!cli_apply_sets(recipe, &o->sets, err) || !cli_check_out(o->out, err)) {
        status = cli_failed(err);
    } else {
        cli_run_request q = {.recipe = recipe,
                             .model = path,
                             .data = data,
                             .arch = o->arch,
                             .base = base,
                             .out = out,
                             .state = o->state,
                             .seed = o->seed,
                             .json = o->json,
                             .quiet = o->quiet,
                             .no_history = o->no_history,
                             .cache = o->dry_run ? NULL : cli_open_cache(o)};
        status = o->dry_run ? cli_dry_run(&q, err) : cli_run_recipe(&q, NULL, err);
        base_cache_close(q.cache);
    }
    free(path);
    free(data);
    free(out);
    free(base);
    script_recipe_free(recipe);
    return status;
}
