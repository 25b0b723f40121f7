// Speed of the study: every layer of ResNet-20 alone at seven widths on 1,000 images (140 evaluations of the network
// with one layer compressed), against 140 whole evaluations with the reference, without a cache; and allocation of
// tables of 19 x 7 and 1,000 x 20. Of the whole evaluations ten, spread over layers and widths, are run and must give
// the same figures to the bit; all take the same time, so the time of 140 is 14 times theirs. VISE_BENCH_ALL=1 runs
// all.
#include "script/script.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTHS = 7, IMAGES = 1000, SAMPLED = 10 };

// Seconds on the clock and of all processors: the latter says what work was done while others use the machine too.
typedef struct spent {
    double wall, cpu;
} spent;

static spent now(void) {
    return (spent){base_now(), (double)clock() / CLOCKS_PER_SEC};
}

static spent since(spent t) {
    spent n = now();
    return (spent){n.wall - t.wall, n.cpu - t.cpu};
}

static void check(bool ok, const base_err *err) {
    if (ok) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

// What a cell's evaluation needs: the decoded weight of every layer under every width.
typedef struct cells {
    const model *m;
    float *decoded[256];
} cells;

static bool hold(void *context, int layer, int rule, const float *decoded, const base_layer_row *row, base_err *err) {
    cells *c = context;
    (void)row;
    size_t n = (size_t)c->m->layers[layer].weights;
    float *copy = base_big_alloc(n, sizeof *copy, "bench", err);
    if (!copy) return false;
    memcpy(copy, decoded, n * sizeof *copy);
    c->decoded[layer * WIDTHS + rule] = copy;
    return true;
}

static void sensitivity(const model *m, const data_view *view) {
    compress_step steps[WIDTHS] = {0};
    study_option options[WIDTHS];
    compress_rule rules[WIDTHS];
    base_err err = {0};
    for (int o = 0; o < WIDTHS; o++) {
        const compress_step_kind *k = compress_step_find("quantize");
        steps[o].kind = k;
        base_arg_defaults(k->args, k->arg_count, steps[o].value);
        check(base_arg_set_number(k->name, k->args, k->arg_count, steps[o].value, "bits", o + 2, &err), &err);
        options[o] = (study_option){"width", &steps[o], 1};
        rules[o] = (compress_rule){(char *)(uintptr_t) "width", &steps[o], 1};
    }
    study_subject s = {.m = m, .options = options, .option_count = WIDTHS, .select = view, .seed = 1};
    study_table t;
    base_job job = {.start = base_now()};
    spent began = now();
    check(study_sensitivity(&s, study_metric_find("measured"), NULL, &t, &job, &err), &err);
    spent quick = since(began);
    cells c = {.m = m};
    compress_plan plan = {.rules = rules, .rule_count = WIDTHS, .seed = 1};
    check(compress_options(m, &plan, NULL, 0, hold, &c, &job, &err), &err);
    const float **w = base_calloc((size_t)m->weight_count + 1, sizeof *w);
    memcpy(w, m->weights, (size_t)m->weight_count * sizeof *w);
    double difference = 0;
    spent whole = {0, 0};
    int all = t.rows * WIDTHS, timed = 0, apart = getenv("VISE_BENCH_ALL") || all < SAMPLED ? 1 : all / SAMPLED;
    for (int i = 0; i < all; i++) {
        // Stretches of `apart` cells, one cell of each; later ones at other widths.
        bool look = i % apart == i / apart % apart % WIDTHS;
        base_model_row row = {0};
        int p = m->layers[i / WIDTHS].weight;
        w[p] = c.decoded[i];
        began = now();
        if (look) {
            check(engine_measure(m, w, m->weights, view, &row, &job, &err), &err);
            spent one = since(began);
            whole.wall += one.wall, whole.cpu += one.cpu, timed++;
            difference = fmax(difference, fabs(row.kl - t.value[i]));
        }
        w[p] = m->weights[p];
        base_big_free(c.decoded[i]);
    }
    double scale = (double)all / timed;
    printf("one-on sensitivity, %d layers x %d widths, %lld images: %.2f s (processors %.2f s)\n"
           "  %d of %d whole evaluations, network and reference, run; all: %.2f s (processors %.2f s)\n"
           "  %.3f of the time, %.3f of the processors' time; largest difference of KL %.1e\n",
           t.rows, WIDTHS, (long long)view->count, quick.wall, quick.cpu, timed, all, scale * whole.wall,
           scale * whole.cpu, quick.wall / whole.wall / scale, quick.cpu / whole.cpu / scale, difference);
    if (!(difference <= 0)) exit(1);
    free(w);
    study_table_free(&t);
}

static void allocation(int layers, int options) {
    size_t cells_all = (size_t)layers * (size_t)options;
    double *loss = base_calloc(cells_all, sizeof *loss);
    int64_t *cost = base_calloc(cells_all, sizeof *cost), most = 0;
    const double **losses = base_calloc((size_t)layers, sizeof *losses);
    const int64_t **costs = base_calloc((size_t)layers, sizeof *costs);
    int *count = base_calloc((size_t)layers, sizeof *count);
    num_rng rng = num_rng_seed(5, 1);
    for (int i = 0; i < layers; i++) {
        double weights = 1000 + floor(100000 * num_rng_unit(&rng)), scale = num_rng_unit(&rng);
        for (int o = 0; o < options; o++) {
            double bits = 1 + 0.5 * o;
            cost[i * options + o] = (int64_t)(weights * bits / 8) + (int64_t)(30 * num_rng_unit(&rng));
            loss[i * options + o] = scale * pow(4, -bits) * (0.7 + 0.6 * num_rng_unit(&rng));
        }
        most += cost[i * options + options / 3];
        losses[i] = &loss[i * options];
        costs[i] = &cost[i * options];
        count[i] = options;
    }
    study_problem p = {.layers = layers, .options = count, .loss = losses, .cost = costs, .budget = most};
    study_answer a;
    base_err err = {0};
    check(study_allocate(&p, study_allocator_find("exact"), NULL, &a, NULL, &err), &err);
    printf("exact allocation, %d layers x %d options: %.2f ms, %s, %lld of %lld bytes\n", layers, options,
           1e3 * a.seconds, a.optimal ? "proved" : "not proved", (long long)a.cost, (long long)most);
    study_answer_free(&a);
    free(loss);
    free(cost);
    free(losses);
    free(costs);
    free(count);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    allocation(19, 7);
    allocation(1000, 20);
    const char *path = support_real("models/resnet20_cifar10.safetensors");
    char *data = base_join(support_tree(), "tests/real/cifar10.lua");
    base_err err = {0};
    if (!path) {
        printf("one-on sensitivity: the real models are not here (VISE_REAL)\n");
        return 0;
    }
    model *m = script_model_open(path, NULL, &err);
    check(m != NULL, &err);
    data_set *set = script_dataset_open(data, NULL, &err);
    check(set != NULL, &err);
    data_view *all = data_view_part(set, DATA_ALL, &err);
    check(all != NULL, &err);
    const char *fewer = getenv("VISE_BENCH_IMAGES");
    data_view *view = data_view_range(all, 0, fewer && atoi(fewer) > 0 ? atoi(fewer) : IMAGES, &err);
    check(view != NULL, &err);
    sensitivity(m, view);
    data_view_free(view);
    data_view_free(all);
    data_close(set);
    model_close(m);
    free(data);
    return 0;
}
