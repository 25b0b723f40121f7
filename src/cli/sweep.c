// vise sweep: a recipe at every combination of some params. Each point is a run like any other - recorded, cached,
// replayable - so that whatever ends the process, the next one goes on from the history.
#include "cli/sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct sweep {
    const cli_options *o;
    script_recipe *recipe;
    study_axis *axes;
    size_t axis_count;
    study_sweep table;
    cli_run_request request; // what all points share
    session_history *history;
    cli_done *done; // NULL without --resume
    double began, budget, spent;
    size_t started, failed, taken; // points run now; of these failed; taken from the history
    char warned[256];              // the last warning told; equal ones are told once
    study_point *current;
    char cache_note[48];
} sweep;

// ---- what is asked -----------------------------------------------------------------------------------

static const base_param_row *declared(const script_recipe *r, const char *name) {
    for (size_t i = 0; i < r->param_count; i++)
        if (strcmp(r->params[i].name, name) == 0) return &r->params[i];
    return NULL;
}

static bool is_set(const cli_list *sets, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < sets->count; i++)
        if (strncmp(sets->items[i], name, n) == 0 && sets->items[i][n] == '=') return true;
    return false;
}

// Every value goes through the recipe's own check before anything is computed.
static bool check_values(script_recipe *r, const study_axis *a, base_err *err) {
    for (size_t i = 0; i < a->count; i++)
        if (!script_recipe_set(r, a->name, a->value[i], err)) {
            err->status = BASE_USAGE;
            return false;
        }
    return true;
}

static bool read_axis(sweep *s, const char *text, base_err *err) {
    char clean[128];
    base_clean(clean, sizeof clean, text);
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return base_fail_as(err, BASE_USAGE, "'%s' is not NAME=VALUES, as in bits=2..8 or group=32,64,128", clean);
    char *name = base_strndup(text, (size_t)(equals - text));
    const base_param_row *param = declared(s->recipe, name);
    bool ok = true;
    if (!param) {
        ok = script_recipe_set(s->recipe, name, equals + 1, err); // its message names the nearest
        err->status = BASE_USAGE;
    }
    for (size_t i = 0; ok && i < s->axis_count; i++)
        if (strcmp(s->axes[i].name, name) == 0)
            ok = base_fail_as(err, BASE_USAGE, "param %s is given twice; its values go into one list, as in %s=2,4",
                              name, name);
    if (ok && is_set(&s->o->sets, name))
        ok = base_fail_as(err, BASE_USAGE, "param %s is swept and --set at once", name);
    free(name);
    study_axis *a = &s->axes[s->axis_count];
    if (!ok || !study_axis_parse(param, equals + 1, a, err)) return false;
    s->axis_count++;
    return check_values(s->recipe, a, err);
}

static char *point_text(const sweep *s, size_t index, const char *between) {
    base_buf b = {0};
    for (size_t a = 0; a < s->axis_count; a++)
        base_buf_printf(&b, "%s%s=%s", a ? between : "", s->axes[a].name,
                        study_axes_value(s->axes, s->axis_count, index, a));
    return b.text;
}

static bool plan(sweep *s, base_err *err) {
    const cli_options *o = s->o;
    size_t all, part = 1, parts = 1;
    s->axes = base_calloc((size_t)o->arg_count, sizeof *s->axes);
    for (int i = 1; i < o->arg_count; i++)
        if (!read_axis(s, o->args[i], err)) return false;
    if (!study_axes_count(s->axes, s->axis_count, &all, err)) return false;
    if (o->shard && !study_shard_parse(o->shard, &part, &parts, err)) return false;
    s->budget = INFINITY;
    if (o->budget) {
        char *end;
        s->budget = strtod(o->budget, &end);
        if (end == o->budget || *end || !(s->budget > 0) || !isfinite(s->budget))
            return base_fail_as(err, BASE_USAGE, "--budget takes a number of seconds above 0, not '%s'", o->budget);
    }
    s->table = (study_sweep){.recipe = s->recipe->name,
                             .recipe_hash = s->recipe->hash,
                             .axes = s->axes,
                             .axis_count = s->axis_count,
                             .all = all,
                             .points = base_calloc(all / parts + 1, sizeof(study_point))};
    for (size_t i = part - 1; i < all; i += parts)
        s->table.points[s->table.count++] = (study_point){.index = i, .params = point_text(s, i, " "), .bytes = -1};
    return true;
}

// A file that cannot be written should be known before hours of work, not after.
static bool check_files(const cli_options *o, base_err *err) {
    const char *const files[] = {o->csv_file, o->json_file, o->svg_file};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        base_out out;
        if (!files[i]) continue;
        for (size_t k = 0; k < i; k++) {
            if (files[k] && strcmp(files[k], files[i]) == 0)
                return base_fail_as(err, BASE_USAGE, "two tables would be written to one file, %s", files[i]);
        }
        if (base_is_dir(files[i]))
            return base_fail(err, "%s: is a folder; the table needs the name of a file", files[i]);
        if (!base_out_open(&out, files[i], err)) return false;
        base_out_abort(&out);
    }
    return true;
}

// ---- a point -----------------------------------------------------------------------------------------

static void on_event(void *context, const base_event *e) {
    sweep *s = context;
    study_point *p = s->current;
    if (e->kind == BASE_EV_MODEL) cli_sweep_figure(p, e->model);
    if (e->kind == BASE_EV_SAVED) {
        snprintf(p->hash, sizeof p->hash, "%s", e->hash ? e->hash : "");
        if (!p->measured) p->bytes = e->done;
    }
    if (e->kind == BASE_EV_RUN_END) p->seconds = e->time;
    if (e->kind == BASE_EV_LOG && e->level >= BASE_WARN && strncmp(e->text, s->warned, sizeof s->warned - 1) != 0) {
        snprintf(s->warned, sizeof s->warned, "%s", e->text);
        fprintf(stderr, "%s: %s\n", p->params, e->text);
    }
}

// One folder a point, as its files have the same names at each: "bits=3,group=64".
static char *point_folder(const sweep *s, size_t index) {
    char *text = point_text(s, index, ",");
    bool usable = strlen(text) <= 200 && !strchr(text, '/');
    char *name = usable ? base_strdup(text) : base_sprintf("point-%zu", index + 1);
    char *folder = base_join(s->request.out, name);
    free(text);
    free(name);
    return folder;
}

static bool set_point(sweep *s, size_t index, base_err *err) {
    for (size_t a = 0; a < s->axis_count; a++)
        if (!script_recipe_set(s->recipe, s->axes[a].name, study_axes_value(s->axes, s->axis_count, index, a), err))
            return false;
    return true;
}

static base_status run_point(sweep *s, const cli_run_request *q, study_point *p) {
    base_err err = {0};
    base_cache_figures before = {0}, after = {0};
    if (q->cache) before = base_cache_look(q->cache);
    s->current = p;
    base_status status = cli_run_recipe(q, &p->run, &err);
    if (q->cache) after = base_cache_look(q->cache);
    int64_t hits = after.hits - before.hits, asked = hits + after.misses - before.misses;
    s->cache_note[0] = 0;
    if (asked) snprintf(s->cache_note, sizeof s->cache_note, ", cache %lld of %lld", (long long)hits, (long long)asked);
    if (status == BASE_OK) {
        p->state = STUDY_DONE;
    } else {
        p->measured = false;
        p->bytes = -1;
        p->hash[0] = 0;
    }
    if (status != BASE_OK && status != BASE_CANCELLED) {
        p->state = STUDY_FAILED;
        char clean[sizeof err.text];
        base_clean(clean, sizeof clean, err.text);
        p->error = base_strdup(clean);
    }
    return status;
}

static void tell_point(const sweep *s, size_t place, const study_point *p, bool taken) {
    if (s->o->quiet) return;
    printf("[%zu/%zu] %s: ", place + 1, s->table.count, p->params);
    if (p->state == STUDY_FAILED) {
        printf("failed: %s\n", p->error);
        return;
    }
    const base_model_row *f = &p->figure;
    bool top1 = p->measured && strcmp(f->metric, "top1") == 0;
    int digits = top1 ? 2 : 4;
    if (!p->measured) printf("no figure, ");
    if (p->measured) printf("%s %.*f%s", top1 ? "top-1" : f->metric, digits, f->value, top1 ? " %" : "");
    if (p->measured && isfinite(f->low) && isfinite(f->high)) printf(" [%.*f, %.*f]", digits, f->low, digits, f->high);
    if (p->measured) printf(", ");
    if (p->measured && !isnan(f->kl)) printf("KL %.5f, ", f->kl);
    if (p->bytes >= 0) printf("%lld bytes, ", (long long)p->bytes);
    if (taken)
        printf("as in run %lld\n", (long long)p->run);
    else
        printf("%.2f s%s\n", p->seconds, s->cache_note);
    fflush(stdout);
}

// ---- all points --------------------------------------------------------------------------------------

// Seconds the next point will take: the mean of those run now, before the first that of the history's.
static double expected(const sweep *s, const session_record *records, size_t count) {
    if (s->started) return s->spent / (double)s->started;
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += records[i].seconds;
    return count ? sum / (double)count : 0;
}

static bool within_budget(sweep *s) {
    if (isinf(s->budget)) return true;
    session_record *records = NULL;
    size_t count = 0;
    base_err ignored = {0};
    if (!s->started && !session_history_done(s->history, s->recipe->hash, &records, &count, &ignored)) count = 0;
    double next = expected(s, records, count);
    for (size_t i = 0; i < count; i++) session_record_free(&records[i]);
    free(records);
    return base_now() - s->began + next <= s->budget;
}

static base_status one_point(sweep *s, size_t place, bool *over, base_err *err) {
    study_point *p = &s->table.points[place];
    if (!set_point(s, p->index, err)) return cli_failed(err);
    cli_run_request q = s->request;
    char *folder = q.out ? point_folder(s, p->index) : NULL;
    q.out = folder;
    bool taken = s->done && cli_done_find(s->done, &q, p);
    base_status status = BASE_OK;
    if (taken) {
        s->taken++;
    } else if (base_cancelled(cli_job())) {
        status = BASE_CANCELLED;
    } else if (*over || !within_budget(s)) {
        *over = true; // later points may still be in the history
    } else {
        double start = base_now();
        status = run_point(s, &q, p);
        s->spent += base_now() - start;
        s->started++;
        s->failed += p->state == STUDY_FAILED;
    }
    free(folder);
    if (p->state != STUDY_NOT_RUN) tell_point(s, place, p, taken);
    return status == BASE_CANCELLED ? status : BASE_OK;
}

static bool write_file(const char *path, const study_sweep *t, void (*write)(const study_sweep *, FILE *),
                       base_err *err) {
    base_out out;
    if (!path) return true;
    if (!base_out_open(&out, path, err)) return false;
    write(t, out.file);
    return base_out_commit(&out, err);
}

static base_status finish(sweep *s, base_status status, base_err *err) {
    const cli_options *o = s->o;
    study_sweep_judge(&s->table);
    study_sweep_table(&s->table, stdout);
    size_t left = s->table.count;
    for (size_t i = 0; i < s->table.count; i++) left -= s->table.points[i].state != STUDY_NOT_RUN;
    if (!o->quiet)
        printf("%zu points run in %.1f s, %zu failed, %zu were done before, %zu not run%s\n", s->started, s->spent,
               s->failed, s->taken, left, left ? "; --resume goes on" : "");
    bool ok = write_file(o->csv_file, &s->table, study_sweep_csv, err) &&
              write_file(o->json_file, &s->table, study_sweep_json, err) &&
              write_file(o->svg_file, &s->table, study_sweep_svg, err);
    if (!ok) return cli_failed(err);
    if (status == BASE_CANCELLED) {
        base_fail_as(err, BASE_CANCELLED,
                     "stopped; the finished points are in the history, --resume goes on from them");
        return BASE_CANCELLED;
    }
    if (s->failed) {
        base_fail(err, "%zu of %zu points failed; the table has their errors", s->failed, s->table.count);
        return BASE_FAILED;
    }
    return status;
}

static base_status run_all(sweep *s, base_err *err) {
    base_status status = BASE_OK;
    bool over = false;
    s->began = base_now();
    if (s->o->resume && !(s->done = cli_done_open(s->history, s->recipe, err))) return cli_failed(err);
    for (size_t i = 0; i < s->table.count && status == BASE_OK; i++) status = one_point(s, i, &over, err);
    if (status != BASE_OK && status != BASE_CANCELLED) return status;
    return finish(s, status, err);
}

static bool hash_base(const char *base, char hash[33], base_err *err) {
    hash[0] = 0;
    if (!base) return true;
    model_tensors *t = model_tensors_open(base, err);
    if (!t) return false;
    snprintf(hash, 33, "%s", t->hash);
    model_tensors_close(t);
    return true;
}

static base_status sweep_recipe(sweep *s, base_err *err) {
    const cli_options *o = s->o;
    if (!cli_apply_sets(s->recipe, &o->sets, err) || !plan(s, err) || !check_files(o, err) ||
        !cli_check_out(o->out, err))
        return cli_failed(err);
    char *path = base_absolute(o->model), *data = base_absolute(o->data), *out = base_absolute(o->out);
    char *base = base_absolute(o->base), hash[33];
    base_status status = BASE_FAILED;
    s->history = session_history_open(o->state, err);
    if (s->history && hash_base(base, hash, err)) {
        cli_job(); // from here on signals end the sweep cleanly
        s->request = (cli_run_request){.recipe = s->recipe,
                                       .model = path,
                                       .data = data,
                                       .arch = o->arch,
                                       .base = base,
                                       .base_hash = base ? hash : NULL,
                                       .out = out,
                                       .seed = o->seed,
                                       .cache = cli_open_cache(o),
                                       .silent = true,
                                       .quiet = true,
                                       .no_save = !out,
                                       .history = s->history,
                                       .listener = {on_event, s}};
        status = run_all(s, err);
        base_cache_close(s->request.cache);
    }
    cli_done_close(s->done);
    session_history_close(s->history);
    free(path);
    free(data);
    free(out);
    free(base);
    return status;
}

base_status cli_sweep(const cli_options *o, base_err *err) {
    cli_use_threads(o);
    sweep s = {.o = o, .recipe = script_recipe_load(o->args[0], err)};
    if (!s.recipe) return cli_failed(err);
    base_status status = sweep_recipe(&s, err);
    for (size_t i = 0; i < s.axis_count; i++) study_axis_free(&s.axes[i]);
    free(s.axes);
    study_points_free(s.table.points, s.table.count);
    script_recipe_free(s.recipe);
    return status;
}
