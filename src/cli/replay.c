// vise replay: a recorded run again, from the recorded recipe text, model, data, params and seeds; the hashes of what
// it saves are compared with the recorded ones.
#include "cli/run.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// What the replayed run saved, beside what was recorded.
typedef struct comparison {
    char **paths, **hashes;
    size_t count, seen, equal;
    bool ended; // the recorded run did; what a stopped one saved is another file
} comparison;

static void on_event(void *context, const base_event *e) {
    comparison *c = context;
    if (e->kind != BASE_EV_SAVED) return;
    if (c->ended && c->seen < c->count) {
        bool equal = e->hash && strcmp(e->hash, c->hashes[c->seen]) == 0;
        c->equal += equal;
        printf("%s: %s recorded %s, now %s\n", equal ? "same bytes" : "DIFFERENT", base_basename(c->paths[c->seen]),
               c->hashes[c->seen], e->hash ? e->hash : "-");
    }
    c->seen++;
}

static base_status replay(const session_record *r, comparison *c, const cli_options *o, base_err *err) {
    script_recipe *recipe = script_recipe_recorded(r, err);
    if (!recipe) return cli_failed(err);
    json_t *settings = json_loads(r->settings, 0, NULL);
    base_status status = BASE_FAILED;
    if (!settings) {
        base_fail(err, "run %lld: its recorded settings are not JSON", (long long)r->id);
    } else if (script_same_inputs(r, err)) {
        char *out = base_absolute(o->out);
        cli_run_request q = {.recipe = recipe,
                             .model = json_string_value(json_object_get(settings, "model")),
                             .data = json_string_value(json_object_get(settings, "data")),
                             .arch = json_string_value(json_object_get(settings, "arch")),
                             .base = json_string_value(json_object_get(settings, "base")),
                             .out = out,
                             .seed = json_integer_value(json_object_get(settings, "seed")),
                             .quiet = true,
                             .no_history = true,
                             .no_save = o->check || !o->out,
                             .listener = {on_event, c}};
        status = cli_run_recipe(&q, NULL, err);
        free(out);
    }
    json_decref(settings);
    script_recipe_free(recipe);
    return status;
}

base_status cli_replay(const cli_options *o, base_err *err) {
    cli_use_threads(o);
    char *end;
    errno = 0;
    long long id = strtoll(o->args[0], &end, 10);
    if (errno || end == o->args[0] || *end || id < 1) {
        base_fail_as(err, BASE_USAGE, "vise replay takes the number of a run (`vise history` lists them), not '%s'",
                     o->args[0]);
        return BASE_USAGE;
    }
    if (!cli_check_out(o->out, err)) return cli_failed(err);
    session_history *h = session_history_open(o->state, err);
    if (!h) return cli_failed(err);
    session_record r;
    comparison c = {0};
    base_status status = BASE_FAILED;
    if (session_history_get(h, id, &r, err)) {
        if (session_history_saved(h, id, &c.paths, &c.hashes, &c.count, err)) {
            c.ended = strcmp(r.status, "done") == 0;
            if (!c.ended)
                printf("run %lld %s; replaying it in full\n", id,
                       strcmp(r.status, "running") == 0 ? "is still running" : r.status);
            status = replay(&r, &c, o, err);
            if (status == BASE_OK && !c.ended) {
                base_fail(err,
                          "run %lld did not end (%s), so there are no bytes to compare; its replay did, with %zu "
                          "file%s saved",
                          id, r.status, c.seen, c.seen == 1 ? "" : "s");
                status = BASE_FAILED;
            } else if (status == BASE_OK && (c.equal != c.count || c.seen != c.count)) {
                base_fail(err,
                          "run %lld: %zu of %zu recorded files came out with the same bytes (%zu were saved now); a "
                          "different processor, BLAS or Vise version can be the cause: recorded %s",
                          id, c.equal, c.count, c.seen, r.environment);
                status = BASE_FAILED;
            } else if (status == BASE_OK) {
                printf("run %lld replayed: %zu of %zu files have the recorded bytes\n", id, c.equal, c.count);
            }
            base_names_free(c.paths, c.count);
            base_names_free(c.hashes, c.count);
        }
        session_record_free(&r);
    }
    session_history_close(h);
    return status;
}
