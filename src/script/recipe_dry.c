// recipe_dry: what the functions that work do in a dry run: look at everything that could make them fail, tell what
// they will give, take and write, and do none of it.
#include "script/recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

script_estimate *recipe_dry(lua_State *L) {
    const recipe_run *run = recipe_of(L);
    return run->options ? run->options->dry : NULL;
}

void script_estimate_free(script_estimate *e) {
    for (size_t i = 0; i < e->saved_count; i++) free(e->saved[i].path);
    free(e->saved);
    base_buf_free(&e->studies);
    *e = (script_estimate){0};
}

static void note_peak(script_estimate *e, double bytes) {
    if (bytes > e->peak_bytes) e->peak_bytes = bytes;
}

// ---- speed -------------------------------------------------------------------------------------

enum { FEW = 32, FEW_SEQUENCES = 4 };
static const double calibration_seconds = 0.05;

// What carrying all samples of a view through a network holds: the original's values and the new one's.
static void note_samples(script_estimate *e, const model *m, const data_view *v) {
    double most = 0;
    if (!m->graph) return;
    for (int i = 0; i < m->graph->value_count; i++)
        most = fmax(most, (double)model_shape_count(model_graph_shape(m->graph, i)));
    note_peak(e, (double)base_big_now() + 2 * sizeof(float) * (double)v->count * most);
}

const data_view *recipe_dry_view(lua_State *L, const recipe_model *net, const recipe_view *view, data_view **owned,
                                 double *share) {
    *owned = NULL;
    *share = 1;
    if (!view || !view->v) return NULL;
    int64_t few = net->m->graph && net->m->graph->input_kind == DATA_TOKENS ? FEW_SEQUENCES : FEW;
    if (!recipe_dry(L)) return view->v;
    note_samples(recipe_dry(L), net->m, view->v);
    if (view->v->count <= few) return view->v;
    base_err err = {0};
    *owned = data_view_range(view->v, 0, few, &err);
    if (!*owned) script_raise(L, &err);
    *share = (double)few / (double)view->v->count;
    return *owned;
}

// Operations a second of a matrix product of the size that second moments and solvers work in.
static double product_speed(void) {
    static double speed;
    enum { N = 192 };
    if (speed > 0) return speed;
    base_err err = {0};
    float *a = base_big_alloc((size_t)N * N * 2, sizeof *a, "a product", &err);
    if (!a) return speed = 1e9;
    for (int i = 0; i < N * N; i++) a[i] = (float)(i % 7) - 3;
    double began = base_now(), best = INFINITY;
    do {
        double start = base_now();
        num_gemm(false, false, N, N, N, 1, a, N, a, N, 0, a + N * N, N);
        best = fmin(best, base_now() - start);
    } while (base_now() - began < calibration_seconds / 5);
    base_big_free(a);
    return speed = 2.0 * N * N * N / fmax(best, 1e-9);
}

// Seconds a sample of this view takes through the network: a few, then more, until the clock can tell.
static void measure_speed(lua_State *L, recipe_model *net, const recipe_view *view) {
    if (net->forward > 0 || !view || !view->v || !net->m->graph) return;
    base_err err = {0};
    double began = base_now();
    for (int64_t n = 16; net->forward == 0 || base_now() - began < calibration_seconds; n *= 2) {
        int64_t count = n < view->v->count ? n : view->v->count;
        data_view *few = data_view_range(view->v, 0, count, &err);
        base_model_row row = {0};
        double start = base_now();
        bool ok = few && engine_measure(net->m, net->m->weights, NULL, few, &row, recipe_of(L)->job, &err);
        net->forward = fmax((base_now() - start) / (double)count, 1e-9);
        data_view_free(few);
        if (!ok) script_raise(L, &err);
        if (count == view->v->count) break;
    }
    script_renew(L);
}

static double seconds_of(recipe_model *net, const recipe_view *view, double passes) {
    return view && view->v ? passes * (double)view->v->count * net->forward : 0;
}

// ---- what the functions do instead -------------------------------------------------------------

static bool size_by_values(const compress_plan *plan) {
    static const char *const names[] = {"code", "prune", "outliers", "lowrank"};
    for (int r = 0; r < plan->rule_count; r++)
        for (int k = 0; k < plan->rules[r].step_count; k++)
            for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                if (strcmp(plan->rules[r].steps[k].kind->name, names[i]) == 0) return true;
    return false;
}

void recipe_dry_compress(lua_State *L, recipe_model *net, const compress_plan *plan) {
    base_err err = {0};
    script_estimate *e = recipe_dry(L);
    recipe_view calib = {.v = (data_view *)plan->calib};
    measure_speed(L, net, &calib);
    double held = (double)base_big_now();
    compress_speed speed = {net->forward, product_speed()};
    recipe_of(L)->L = L;
    bool ok = compress_foretell(net->m, plan, &speed, recipe_of(L)->job, &net->result, &net->foretold, &err);
    recipe_done(L, ok, &err);
    if (net->guessed && net->foretold.sure == COMPRESS_EXACT && size_by_values(plan)) {
        net->foretold.sure = COMPRESS_ABOUT;
        snprintf(net->foretold.why, sizeof net->foretold.why,
                 "the weights come from samples, and their coded or sparse form depends on them");
    }
    if (e->guessed && net->foretold.sure != COMPRESS_ABOUT) {
        net->foretold.sure = COMPRESS_ABOUT;
        snprintf(net->foretold.why, sizeof net->foretold.why,
                 "sensitivity was not measured, and what is chosen from it may be something else");
    }
    e->compress_seconds += net->foretold.seconds;
    note_peak(e, held + net->foretold.peak_bytes);
}

// What measuring would take is told; bytes are foretold, and what is chosen from them may not be what is chosen then.
bool recipe_dry_sensitivity(lua_State *L, recipe_model *net, const study_subject *s, const study_metric *metric,
                            const base_value *values, study_table *t, base_err *err) {
    script_estimate *e = recipe_dry(L);
    const data_view *forward = s->select ? s->select : s->calib, *backward = s->calib;
    recipe_view speed_of = {.v = (data_view *)(uintptr_t)(forward ? forward : backward)};
    study_foretold f;
    char text[24];
    measure_speed(L, net, &speed_of);
    compress_speed speed = {net->forward, product_speed()};
    if (!study_sensitivity_foretell(s, metric, values, recipe_of(L)->options->store, &speed, t, &f, recipe_of(L)->job,
                                    err))
        return false;
    if (!f.missing) return true;
    // A backward pass takes about as long as two forward ones, and comes after one.
    double seconds = f.seconds + net->forward * (f.forward * (forward ? (double)forward->count : 0) +
                                                 3 * f.backward * (backward ? (double)backward->count : 0));
    e->study_seconds += seconds;
    e->guessed = true;
    base_buf_printf(&e->studies, "would measure sensitivity %s: %d of %d cells (%d layer%s x %d option%s), about %s\n",
                    metric->name, f.missing, t->rows * t->cols, t->rows, t->rows == 1 ? "" : "s", t->cols,
                    t->cols == 1 ? "" : "s", base_seconds_text(text, seconds));
    return true;
}

// Whole choices measured by a search: at most so many, each a pass over the samples.
void recipe_dry_search(lua_State *L, recipe_model *net, const recipe_view *view, const char *solver, double choices) {
    script_estimate *e = recipe_dry(L);
    char text[24];
    measure_speed(L, net, view);
    double seconds = seconds_of(net, view, choices);
    e->study_seconds += seconds;
    e->guessed = true;
    base_buf_printf(&e->studies, "would search by %s: at most %.0f whole choices measured, at most %s\n", solver,
                    choices, base_seconds_text(text, seconds));
}

void recipe_dry_evaluate(lua_State *L, recipe_model *net, const recipe_view *view, bool original) {
    script_estimate *e = recipe_dry(L);
    if (!view || !view->v || !net->m->graph) return;
    base_big_peak_reset();
    measure_speed(L, net, view);
    note_peak(e, (double)base_big_peak());
    e->evaluate_seconds += seconds_of(net, view, original ? 1 : 2);
}

void recipe_dry_adjust(lua_State *L, recipe_model *net, const recipe_view *view) {
    measure_speed(L, net, view);
    note_samples(recipe_dry(L), net->m, view->v);
    recipe_dry(L)->other_seconds += seconds_of(net, view, 2);
}

// Forward, backward and update take about as long as three to four forward passes.
void recipe_dry_train(lua_State *L, recipe_model *net, const recipe_view *train, const recipe_view *check,
                      const engine_train_options *o) {
    script_estimate *e = recipe_dry(L);
    net->guessed = true;
    measure_speed(L, net, train);
    double count = (double)train->v->count, batch = (double)(o->batch > 0 ? o->batch : 1), values = 0;
    double epochs = o->steps > 0 ? (double)o->steps * batch / count : (double)o->epochs;
    e->train_seconds += seconds_of(net, train, 4 * epochs) + seconds_of(net, check, o->steps > 0 ? 20 : epochs);
    const model_graph *g = net->m->graph;
    for (int v = 0; v < g->value_count; v++) values += (double)model_shape_count(model_graph_shape(g, v));
    double weights = (double)model_weight_count(net->m);
    note_peak(e, (double)base_big_now() + 8 * batch * values + 4 * 5 * weights);
}

// ---- save --------------------------------------------------------------------------------------

// The nearest folder of `path` that is there. Caller frees.
static char *parent_of(const char *path) {
    char *at = base_dirname(path);
    while (access(at, F_OK) != 0 && strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
        char *up = base_dirname(at);
        free(at);
        at = up;
    }
    return at;
}

// Asking for permission is not enough (read-only file systems, root): a nameless or at once removed file tells.
static bool can_write(const char *path, int64_t bytes, base_err *err) {
    char *folder = parent_of(path), *probe = base_sprintf("%s/.vise-dry-%ld", folder, (long)getpid());
    bool ok = base_is_dir(folder) || base_fail(err, "save: %s cannot be written: %s is not a folder", path, folder);
    if (ok) {
        int file = open(probe, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (file < 0) ok = base_fail(err, "save: %s cannot be written: %s: %s", path, folder, strerror(errno));
        if (file >= 0) {
            close(file);
            unlink(probe);
        }
    }
    struct statvfs s;
    if (ok && statvfs(folder, &s) == 0 && (double)s.f_bavail * (double)s.f_frsize < (double)bytes)
        ok = base_fail(err, "save: %s will take %lld bytes, and only %.0f are free in %s", path, (long long)bytes,
                       (double)s.f_bavail * (double)s.f_frsize, folder);
    free(folder);
    free(probe);
    return ok;
}

// A model that is not compressed is written as it is; its header with the notes is known only by writing it.
static bool plain_size(recipe_model *net, compress_saved *saved, base_err *err) {
    if (!net->identity) net->identity = compress_identity(net->m, err);
    int64_t bytes = 0;
    if (!net->identity || !compress_sizes(net->identity, &bytes, &saved->header_bytes, err)) return false;
    saved->file_bytes = bytes + saved->header_bytes;
    return true;
}

void recipe_dry_save(lua_State *L, recipe_model *net, const char *path, compress_saved *saved) {
    script_estimate *e = recipe_dry(L);
    base_err err = {0};
    script_saving s = {0};
    if (net->result) {
        int64_t bytes = 0;
        recipe_done(L, compress_sizes(net->result, &bytes, &saved->header_bytes, &err), &err);
        saved->file_bytes = bytes + saved->header_bytes;
        s.sure = net->foretold.sure;
        memcpy(s.why, net->foretold.why, sizeof s.why);
    } else {
        recipe_done(L, plain_size(net, saved, &err), &err);
        s.sure = COMPRESS_ABOUT;
        snprintf(s.why, sizeof s.why, "the header holds the recipe's notes");
    }
    recipe_done(L, can_write(path, saved->file_bytes, &err), &err);
    s.path = base_strdup(path);
    s.bytes = saved->file_bytes;
    s.header_bytes = saved->header_bytes;
    e->saved = base_realloc(e->saved, e->saved_count + 1, sizeof *e->saved);
    e->saved[e->saved_count++] = s;
}
