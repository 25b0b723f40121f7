// hessian files: traces and largest eigenvalues of the Hessian blocks of a model's layers on some images, exact
// ("trace_exact", "top_eig_exact") or by another program's random probes ("trace" with "trace_se", "top_eig"). The file
// names the model and the images ("calib2k[0:256]"); both are looked for below $VISE_REAL, else real/ beside the
// folder of vectors, and the file is left where they are absent. VISE_SLOW=1 adds our own random probes (some minutes).
#include "kinds.h"

#include "script/script.h"
#include "study/study.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct hessian {
    const golden_file *f;
    const json_t *layers;
    model *m;
    data_set *set;
    data_view *view;
    int *rows, count;         // layers of the model
    bool exact, traces, tops; // the figures that the file has
} hessian;

// Below $VISE_REAL, else below real/ beside the folder of vectors, else where the tests look: ../shared/real.
static char *real_path(const golden_file *f, const char *relative) {
    const char *real = getenv("VISE_REAL");
    char *folder = base_sprintf("%.*s", (int)(strlen(f->path) - strlen(base_basename(f->path))), f->path);
    char *beside = base_join(folder[0] ? folder : ".", "../real");
    const char *const bases[] = {real ? real : beside, "../shared/real"};
    char *path = base_join(bases[0], relative);
    if (!real && !base_is_file(path)) {
        free(path);
        path = base_join(bases[1], relative);
    }
    free(folder);
    free(beside);
    return path;
}

// "calib2k[0:256]": samples 0..255 of the files calib2k_*, as tests/real describes them.
static bool open_images(hessian *h, const char *images, base_err *err) {
    int from = 0, to = 0;
    if (!images || sscanf(strchr(images, '[') ? strchr(images, '[') : "", "[%d:%d]", &from, &to) != 2 || from < 0 ||
        to <= from)
        return base_fail(err, "images is \"%s\", and \"calib2k[0:256]\" was expected", images ? images : "");
    char *descriptor = base_join(base_home(), "tests/real/cifar10.lua");
    data_spec *spec = script_dataset_spec(descriptor, err);
    free(descriptor);
    if (!spec) return false;
    // The named files first, so that sample i of them is sample i of the set.
    size_t first = 0;
    for (size_t i = 0; i < spec->source_count; i++) {
        data_source one = spec->sources[i];
        bool wanted = !strncmp(base_basename(one.path), images, (size_t)(strchr(images, '[') - images));
        one.part = wanted ? DATA_CALIB : DATA_TEST;
        spec->sources[i] = wanted ? spec->sources[first] : one;
        if (wanted) spec->sources[first++] = one;
    }
    h->set = data_open(spec, NULL, err);
    data_spec_free(spec);
    if (h->set && to > h->set->part_count[DATA_CALIB])
        return base_fail(err, "images %d to %d are asked for, and the files have %lld", from, to - 1,
                         (long long)h->set->part_count[DATA_CALIB]);
    data_view *all = h->set ? data_view_part(h->set, DATA_CALIB, err) : NULL;
    if (all) h->view = data_view_range(all, 0, to - from, err);
    data_view_free(all);
    for (int i = from; h->view && i < to; i++) h->view->index[i - from] = i; // in the order of the file
    return h->view;
}

// Each layer has the figures of the first: exact ones, or a trace with its standard error.
static bool open_layers(hessian *h, base_err *err) {
    static const char *const known[] = {"trace_exact", "trace", "trace_se", "top_eig_exact", "top_eig"};
    const char *name;
    json_t *layer, *first = json_object_iter_value(json_object_iter((json_t *)h->layers));
    h->rows = base_calloc(json_object_size(h->layers) + 1, sizeof *h->rows);
    h->exact = json_object_get(first, "trace_exact") || json_object_get(first, "top_eig_exact");
    h->traces = json_object_get(first, h->exact ? "trace_exact" : "trace");
    h->tops = json_object_get(first, h->exact ? "top_eig_exact" : "top_eig");
    if (!h->traces && !h->tops) return base_fail(err, "its layers have neither traces nor largest eigenvalues");
    json_object_foreach((json_t *)h->layers, name, layer) {
        int l = model_find_layer(h->m, name);
        char shown[64];
        base_clean(shown, sizeof shown, name);
        if (l < 0) return base_fail(err, "the model has no layer %s", shown);
        h->rows[h->count++] = l;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            const json_t *value = json_object_get(layer, known[k]);
            if (!value != !json_object_get(first, known[k]) || (value && !(json_number_value(value) > 0)))
                return base_fail(err, "layer %s has no %s above 0, and each is to have the figures of the first", shown,
                                 known[k]);
        }
    }
    return true;
}

static double figure(const hessian *h, int row, const char *key) {
    return json_number_value(json_object_get(json_object_get(h->layers, h->m->layers[h->rows[row]].name), key));
}

static bool measure(const hessian *h, const char *name, const char *method, study_table *t, base_err *err) {
    const study_metric *metric = study_metric_find(name);
    base_value v[16];
    study_subject s = {.m = h->m, .layers = h->rows, .layer_count = h->count, .calib = h->view, .seed = 1};
    base_arg_defaults(metric->args, metric->arg_count, v);
    return base_arg_set_text(name, metric->args, metric->arg_count, v, "method", method, err) &&
           study_sensitivity(&s, metric, v, t, NULL, err);
}

// Within 3 standard errors of both estimates together, or 1e-3 where both are exact.
static void check_traces(const hessian *h, const char *method, const char *name) {
    base_err err = {0};
    study_table t, want = {.rows = h->count, .cols = 1};
    double start = base_now(), worst = 0, sum = 0;
    char why[160];
    if (!measure(h, "hessian_trace", method, &t, &err)) {
        golden_verdict(h->f, name, NAN, NAN, false, err.text);
        return;
    }
    int inside = 0;
    want.value = base_calloc((size_t)h->count, sizeof *want.value);
    for (int r = 0; r < h->count; r++) {
        double trace = figure(h, r, h->exact ? "trace_exact" : "trace"), ours = t.value[r] * t.weights[r];
        double se = h->exact ? 0 : figure(h, r, "trace_se"), own = isnan(t.error[r]) ? 0 : t.error[r] * t.weights[r];
        double off = fabs(ours - trace), limit = fmax(1e-3 * trace, 3 * hypot(se, own));
        inside += off <= limit;
        worst = fmax(worst, off / trace);
        sum += ours / trace / h->count;
        want.value[r] = trace / t.weights[r];
    }
    // Three standard errors are left by one layer of 370, and few sampled layers may change places within theirs.
    double rank = h->count > 2 ? study_rank_correlation(&t, &want) : 1;
    bool many = h->count >= 20, ordered = rank >= 0.95 || (!h->exact && !many);
    bool pass = inside >= h->count - (many && !h->exact) && ordered;
    snprintf(why, sizeof why, "%d of %d layers, worst %.2g, Spearman %.4f, %.1f s", inside, h->count, worst, rank,
             base_now() - start);
    golden_verdict(h->f, name, (double)inside / h->count, sum, pass, why);
    free(want.value);
    study_table_free(&t);
}

static void check_tops(const hessian *h) {
    base_err err = {0};
    study_table t;
    double start = base_now(), worst = 0, sum = 0;
    char why[160];
    if (!measure(h, "top_eigenvalue", "auto", &t, &err)) {
        golden_verdict(h->f, "top_eig", NAN, NAN, false, err.text);
        return;
    }
    int inside = 0;
    for (int r = 0; r < h->count; r++) {
        double top = figure(h, r, h->exact ? "top_eig_exact" : "top_eig"), off = fabs(t.value[r] - top) / top;
        inside += off <= 1e-3;
        worst = fmax(worst, off);
        sum += t.value[r] / top / h->count;
    }
    snprintf(why, sizeof why, "%d of %d layers, worst %.2g, %.1f s", inside, h->count, worst, base_now() - start);
    golden_verdict(h->f, "top_eig", (double)inside / h->count, sum, inside == h->count, why);
    study_table_free(&t);
}

void golden_hessian(const golden_file *f) {
    json_t *root = golden_json(f);
    if (!root) return;
    hessian h = {.f = f, .layers = json_object_get(root, "layers")};
    const char *name = json_string_value(json_object_get(root, "model"));
    char shown[64], *relative = base_sprintf("models/%s.safetensors", name ? name : "?"),
                    *path = real_path(f, relative);
    base_err err = {0};
    base_clean(shown, sizeof shown, name ? name : "?");
    if (!name || strchr(name, '/') || !json_object_size(h.layers)) {
        golden_verdict(f, NULL, NAN, NAN, false, "no model by its name, or no layers");
    } else if (!base_is_file(path)) {
        char *why = base_sprintf("the model %s is not there", shown);
        golden_skip(f, NULL, why);
        free(why);
    } else if (!(h.m = script_model_open(path, NULL, &err)) ||
               !open_images(&h, json_string_value(json_object_get(root, "images")), &err) || !open_layers(&h, &err)) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        if (h.traces) check_traces(&h, "auto", "trace");
        if (h.tops) check_tops(&h);
        if (h.traces && getenv("VISE_SLOW")) {
            check_traces(&h, "sampled", "trace_sampled");
            check_traces(&h, "hutchinson", "trace_hutchinson");
        }
    }
    free(h.rows);
    data_view_free(h.view);
    data_close(h.set);
    model_close(h.m);
    free(relative);
    free(path);
    json_decref(root);
}
