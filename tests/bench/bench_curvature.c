// Hessian trace and largest eigenvalue of every layer of ResNet-20 on 256 images, against the usual way of sampling:
// one layer at a time, power iteration and Hutchinson's random signs, each product with the Hessian two gradients of
// all images in ordinary batches (differences of gradients here; PyHessian differentiates the gradient, which takes
// about as long). How many products that way takes is read from the vectors that PyHessian and the exact sum left
// (VISE_GOLDEN): the probes of each trace, which reached standard errors of 3 to 18 percent, and the iterations of each
// eigenvalue, at most 40. Of the products two a layer are run and timed; the others take as long.
#include "script/script.h"
#include "study/study.h"
#include "tests/support/support.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMAGES = 256, TIMED = 2, MOST_ITERATIONS = 40 };

static void check(bool ok, const base_err *err) {
    if (ok) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static double processors(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

static json_t *vectors(const char *name) {
    const char *folder = getenv("VISE_GOLDEN");
    char *path = folder ? base_join(folder, name) : NULL;
    json_t *root = path ? json_load_file(path, 0, NULL) : NULL;
    free(path);
    return root;
}

static double figure(const json_t *root, const char *layer, const char *key) {
    return json_number_value(json_object_get(json_object_get(json_object_get(root, "layers"), layer), key));
}

// ---- ours ------------------------------------------------------------------------------------------

typedef struct ours {
    study_table t;
    double wall, cpu;
} ours;

static ours measure(const model *m, const data_view *view, const char *name) {
    base_err err = {0};
    ours o;
    base_job job = {.start = base_now()};
    study_subject s = {.m = m, .calib = view, .seed = 1};
    double wall = base_now(), cpu = processors();
    check(study_sensitivity(&s, study_metric_find(name), NULL, &o.t, &job, &err), &err);
    o.wall = base_now() - wall;
    o.cpu = processors() - cpu;
    return o;
}

static double worst_against(const ours *o, const json_t *exact, const char *key) {
    double worst = 0;
    for (int r = 0; r < o->t.rows; r++) {
        double want = figure(exact, o->t.row[r], key);
        worst = fmax(worst, fabs(o->t.value[r] - want) / want);
    }
    return worst;
}

// ---- the usual way ---------------------------------------------------------------------------------

typedef struct usual {
    const model *m;
    const data_batch *batch;
    const float **w;   // the model's, but for the layer's
    float **grad;      // [params], of the layer only
    float *moved, *up; // the layer's weights moved, gradient at one place
} usual;

// out = (g(W + e v) - g(W - e v)) / 2e, ||e v|| = ||W|| / 100
static void product(usual *u, const model_layer *l, const double *v, double *out) {
    base_err err = {0};
    int64_t n = l->weights;
    const float *was = u->m->weights[l->weight];
    double vv = 0, loss;
    for (int64_t i = 0; i < n; i++) vv += v[i] * v[i];
    double move = 0.01 * sqrt(num_sum_squares(was, (size_t)n) / vv);
    float *low = u->grad[l->weight];
    for (int side = 1; side >= -1; side -= 2) {
        for (int64_t i = 0; i < n; i++) u->moved[i] = (float)((double)was[i] + side * move * v[i]);
        u->w[l->weight] = u->moved;
        check(engine_backward(u->m, u->w, u->batch, false, u->grad, NULL, &loss, NULL, &err), &err);
        if (side > 0) memcpy(u->up, low, (size_t)n * sizeof *low);
    }
    u->w[l->weight] = was;
    for (int64_t i = 0; i < n; i++) out[i] = ((double)u->up[i] - (double)low[i]) / (2 * move);
}

typedef struct cost {
    double wall, cpu;
} cost;

// Seconds of one product, of the mean of TIMED.
static cost of_product(usual *u, const model_layer *l) {
    int64_t n = l->weights;
    double *v = base_calloc((size_t)(2 * n), sizeof *v);
    num_rng rng = num_rng_seed(3, (uint64_t)n);
    u->moved = base_calloc((size_t)n, sizeof *u->moved);
    u->up = base_calloc((size_t)n, sizeof *u->up);
    u->grad[l->weight] = base_calloc((size_t)n, sizeof(float));
    for (int64_t i = 0; i < n; i++) v[i] = num_rng_next(&rng) >> 31 ? 1 : -1;
    double wall = base_now(), cpu = processors();
    for (int k = 0; k < TIMED; k++) product(u, l, v, v + n);
    cost c = {(base_now() - wall) / TIMED, (processors() - cpu) / TIMED};
    free(u->grad[l->weight]);
    u->grad[l->weight] = NULL;
    free(u->up);
    free(u->moved);
    free(v);
    return c;
}

static void compare(const model *m, const data_view *view, const json_t *sampled, const json_t *exact) {
    base_err err = {0};
    ours trace = measure(m, view, "hessian_trace"), top = measure(m, view, "top_eigenvalue");
    for (int r = 0; r < trace.t.rows; r++) trace.t.value[r] *= trace.t.weights[r];
    printf("all %d layers, %lld images: traces %.2f s (processors %.2f s), worst %.1e off; largest eigenvalues %.2f s "
           "(%.2f s), worst %.1e off\n",
           trace.t.rows, (long long)view->count, trace.wall, trace.cpu, worst_against(&trace, exact, "trace_exact"),
           top.wall, top.cpu, worst_against(&top, exact, "top_eig_exact"));
    data_batch batch = {0};
    check(data_fetch(view, 0, view->count, &batch, &err), &err);
    usual u = {.m = m, .batch = &batch};
    u.w = base_calloc((size_t)m->weight_count + 1, sizeof *u.w);
    u.grad = base_calloc((size_t)m->graph->param_count + 1, sizeof *u.grad);
    memcpy(u.w, m->weights, (size_t)m->weight_count * sizeof *u.w);
    cost traces = {0, 0}, tops = {0, 0};
    double probes = 0, iterations = 0;
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *l = &m->layers[i];
        cost one = of_product(&u, l);
        double draws = figure(sampled, l->name, "samples"),
               turns = fmin(MOST_ITERATIONS, figure(exact, l->name, "power_iters"));
        traces.wall += draws * one.wall, traces.cpu += draws * one.cpu, probes += draws;
        tops.wall += turns * one.wall, tops.cpu += turns * one.cpu, iterations += turns;
    }
    printf("  random signs, %.0f products: %.0f s (processors %.0f s): %.0f times ours (processors %.0f), at standard "
           "errors of 3 to 18 %%\n  power iteration, %.0f products: %.0f s (processors %.0f s): %.1f times ours "
           "(processors %.1f)\n",
           probes, traces.wall, traces.cpu, traces.wall / trace.wall, traces.cpu / trace.cpu, iterations, tops.wall,
           tops.cpu, tops.wall / top.wall, tops.cpu / top.cpu);
    data_batch_free(&batch);
    free(u.w);
    free(u.grad);
    study_table_free(&trace.t);
    study_table_free(&top.t);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *path = support_real("models/resnet20_cifar10.safetensors");
    json_t *sampled = vectors("pyhessian_resnet20.json"), *exact = vectors("hessian_exact_resnet20.json");
    if (!path || !sampled || !exact) {
        printf("curvature: the real models (VISE_REAL) or the vectors of others (VISE_GOLDEN) are not here\n");
        json_decref(sampled);
        json_decref(exact);
        return 0;
    }
    base_err err = {0};
    char *data = base_join(support_tree(), "tests/real/cifar10.lua");
    model *m = script_model_open(path, NULL, &err);
    check(m != NULL, &err);
    data_spec *spec = script_dataset_spec(data, &err);
    check(spec != NULL, &err);
    for (size_t i = 0; i < spec->source_count; i++) // the training images as a part of their own, unsplit
        spec->sources[i].part = strstr(spec->sources[i].path, "calib2k") ? DATA_CALIB : DATA_TEST;
    data_set *set = data_open(spec, NULL, &err);
    check(set != NULL, &err);
    data_view *all = data_view_part(set, DATA_CALIB, &err);
    check(all != NULL, &err);
    data_view *view = data_view_range(all, 0, IMAGES, &err);
    check(view != NULL, &err);
    for (int i = 0; i < IMAGES; i++) view->index[i] = i; // in the order of the file
    compare(m, view, sampled, exact);
    data_view_free(view);
    data_view_free(all);
    data_close(set);
    data_spec_free(spec);
    model_close(m);
    json_decref(sampled);
    json_decref(exact);
    free(data);
    return 0;
}
