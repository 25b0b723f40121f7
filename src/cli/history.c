// vise history: recorded runs as a table, and one run in full.
#include "cli/command.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

json_t *cli_record_json(const session_record *r) {
    json_t *o = json_object();
    const struct {
        const char *key, *text;
    } texts[] = {{"recipe", r->recipe},       {"recipe_path", r->recipe_path}, {"recipe_hash", r->recipe_hash},
                 {"model", r->model},         {"model_hash", r->model_hash},   {"data", r->data},
                 {"data_hash", r->data_hash}, {"output", r->output},           {"output_hash", r->output_hash},
                 {"status", r->status},       {"message", r->message}};
    const struct {
        const char *key, *text;
    } objects[] = {
        {"params", r->params}, {"settings", r->settings}, {"seeds", r->seeds}, {"environment", r->environment}};
    json_object_set_new(o, "id", json_integer((json_int_t)r->id));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        json_object_set_new(o, texts[i].key, json_string(texts[i].text));
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        json_t *value = json_loads(objects[i].text, 0, NULL);
        json_object_set_new(o, objects[i].key, value ? value : json_null());
    }
    json_object_set_new(o, "output_bytes", json_integer((json_int_t)r->output_bytes));
    json_object_set_new(o, "output_header_bytes", json_integer((json_int_t)r->output_header_bytes));
    json_object_set_new(o, "started", json_integer((json_int_t)r->started));
    json_object_set_new(o, "seconds", json_real(r->seconds));
    json_object_set_new(o, "peak_bytes", json_integer((json_int_t)r->peak_bytes));
    return o;
}

static void print_json(const session_record *r) {
    json_t *o = cli_record_json(r);
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

static void started_text(char out[24], int64_t started) {
    time_t when = (time_t)started;
    struct tm local;
    if (!localtime_r(&when, &local) || !strftime(out, 24, "%Y-%m-%d %H:%M", &local)) snprintf(out, 24, "?");
}

static bool list_runs(session_history *h, const cli_options *o, base_err *err) {
    session_record *records;
    size_t count;
    if (!session_history_list(h, o->limit, &records, &count, err)) return false;
    if (!count && !o->json) printf("no runs yet\n");
    if (count && !o->json)
        printf("%5s  %-16s %-18s %-20s %-10s %8s %10s  %s\n", "run", "started", "recipe", "model", "status", "seconds",
               "bytes", "params");
    for (size_t i = 0; i < count; i++) {
        session_record *r = &records[i];
        char started[24], recipe[64], model_name[64];
        started_text(started, r->started);
        base_clean(recipe, sizeof recipe, r->recipe);
        base_clean(model_name, sizeof model_name, base_basename(r->model));
        if (o->json)
            print_json(r);
        else
            printf("%5lld  %-16s %-18.18s %-20.20s %-10s %8.2f %10lld  %s\n", (long long)r->id, started, recipe,
                   model_name, r->status, r->seconds, (long long)r->output_bytes, r->params);
        session_record_free(r);
    }
    free(records);
    return true;
}

static const char *figure(char out[16], double value) {
    if (isnan(value))
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, "%.2e", value);
    return out;
}

static void print_layers(const base_layer_row *rows, size_t count) {
    printf("\n%-28s %9s %9s %6s  %9s %9s %9s %7s  %s\n", "layer", "weights", "bytes", "bits", "w error", "out error",
           "arriving", "s", "steps");
    for (size_t i = 0; i < count; i++) {
        char a[16], b[16], c[16], name[64];
        base_clean(name, sizeof name, rows[i].name);
        printf("%-28s %9lld %9lld %6.3f  %9s %9s %9s %7.3f  %s\n", name, (long long)rows[i].weights,
               (long long)rows[i].bytes, rows[i].bits, figure(a, rows[i].weight_error), figure(b, rows[i].output_error),
               figure(c, rows[i].chained_error), rows[i].seconds, rows[i].steps);
    }
}

// A run that ended early has not read all of them.
static void print_source(const char *what, const char *path, const char *hash) {
    if (!*path)
        printf("%-7s none was opened\n", what);
    else
        cli_say(stdout, *hash ? "%-7s %s  xxh128 %s\n" : "%-7s %s, not read\n", what, path, hash);
}

static void print_run(session_history *h, const session_record *r) {
    char started[24], peak[24];
    started_text(started, r->started);
    cli_say(stdout, "run %lld: %s, %s, %s, %.2f s, peak memory %s\n%s\n", (long long)r->id, r->recipe, started,
            r->status, r->seconds, base_bytes_text(peak, (double)r->peak_bytes), r->message);
    print_source("recipe", r->recipe_path, r->recipe_hash);
    print_source("model", r->model, r->model_hash);
    print_source("data", r->data, r->data_hash);
    cli_say(stdout, "params  %s\nseeds   %s\nmade by %s\n", r->params, r->seeds, r->environment);
    base_err err = {0};
    base_model_row *models;
    base_layer_row *layers;
    size_t count;
    if (session_history_models(h, r->id, &models, &count, &err)) {
        for (size_t i = 0; i < count; i++) {
            char *text = session_figures_text(&models[i]);
            cli_say(stdout, "%s: %s\n", models[i].label, text);
            free(text);
        }
        free(models);
    }
    if (r->output[0])
        cli_say(stdout, "saved   %s: %lld bytes, of which header %lld, xxh128 %s\n", r->output,
                (long long)r->output_bytes, (long long)r->output_header_bytes, r->output_hash);
    if (session_history_layers(h, r->id, &layers, &count, &err)) {
        if (count) print_layers(layers, count);
        free(layers);
    }
    if (err.text[0]) fprintf(stderr, "vise: %s\n", err.text);
    cli_say(stdout, "\nrecipe text:\n%s", r->recipe_text);
}

base_status cli_history(const cli_options *o, base_err *err) {
    char *end = NULL;
    errno = 0;
    long long id = o->arg_count ? strtoll(o->args[0], &end, 10) : 0;
    if (o->arg_count && (errno || end == o->args[0] || *end || id < 1)) {
        base_fail_as(err, BASE_USAGE, "vise history takes the number of a run, not '%s'", o->args[0]);
        return BASE_USAGE;
    }
    session_history *h = session_history_open(o->state, err);
    if (!h) return cli_failed(err);
    bool ok;
    if (!o->arg_count) {
        ok = list_runs(h, o, err);
    } else {
        session_record r;
        ok = session_history_get(h, id, &r, err);
        if (ok) {
            if (o->json)
                print_json(&r);
            else
                print_run(h, &r);
            session_record_free(&r);
        }
    }
    session_history_close(h);
    return ok ? BASE_OK : cli_failed(err);
}
