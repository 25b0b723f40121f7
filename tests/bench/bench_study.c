// Speed of the study: every layer of ResNet-20 alone at seven widths on 1,000 images, 140 cells, against 140
// evaluations of the network with one layer compressed, without a cache, told three ways: as runs of their own (a
// recipe that compresses the layer and evaluates: the network, the reference beside it, and the original's own
// figures), as measurements in one process (network and reference), and as bare passes of the network alone. Of these
// ten each, spread over layers and widths, are run and must give the same divergence to the bit; VISE_BENCH_ALL=1 runs
// all. Then allocation of tables of 19 x 7 and 1,000 x 20.
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

static bool hold(void *context, int layer, int rule, const float *decoded, const compress_stored *stored,
                 const base_layer_row *row, base_err *err) {
    cells *c = context;
    (void)stored, (void)row;
    size_t n = (size_t)c->m->layers[layer].weights;
    float *copy = base_big_alloc(n, sizeof *copy, "bench", err);
    if (!copy) return false;
    memcpy(copy, decoded, n * sizeof *copy);
    c->decoded[layer * WIDTHS + rule] = copy;
    return true;
}

static compress_step width(int bits) {
    base_err err = {0};
    const compress_step_kind *k = compress_step_find("quantize");
    compress_step s = {.kind = k};
    base_arg_defaults(k->args, k->arg_count, s.value);
    check(base_arg_set_number(k->name, k->args, k->arg_count, s.value, "bits", bits, &err), &err);
    return s;
}

static void hear_kl(void *context, const base_event *e) {
    if (e->kind == BASE_EV_MODEL && e->model->kl == e->model->kl) *(double *)context = e->model->kl;
}

// The divergence that a recipe's run reports, everything from the files on.
static double whole_run(const model *m, const char *path, const char *data, int layer, int bits, int64_t images) {
    base_err err = {0};
    double kl = NAN;
    char *text = base_sprintf("recipe{ name = 'one', about = 'one layer', source = 'bench' }\n"
                              "local net, data = model(arg.model), dataset(arg.data)\n"
                              "compress(net, { held = false, rule('^%s$', quantize{ bits = %d }) })\n"
                              "report(evaluate(net, data.all:first(%lld)))\n",
                              m->layers[layer].name, bits, (long long)images);
    script_recipe *r = script_recipe_text("one.lua", text, &err);
    check(r != NULL, &err);
    script_run_options o = {.model = path, .data = data, .out = support_temp_dir()};
    base_job job = {.emit = hear_kl, .context = &kl, .start = base_now()};
    check(script_recipe_run(r, &o, &job, &err), &err);
    script_recipe_free(r);
    free(text);
    return kl;
}

typedef struct baseline {
    const char *name;
    spent sum;
} baseline;
enum { RUNS, MEASURED, BARE, BASELINES };

static void add_spent(baseline *b, spent began) {
    spent one = since(began);
    b->sum.wall += one.wall, b->sum.cpu += one.cpu;
}

static void sensitivity(const model *m, const char *path, const char *data, const data_view *view) {
    compress_step steps[WIDTHS];
    study_option options[WIDTHS];
    compress_rule rules[WIDTHS];
    base_err err = {0};
    for (int o = 0; o < WIDTHS; o++) {
        steps[o] = width(o + 2);
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
    baseline base[BASELINES] = {
        {.name = "runs of their own"}, {.name = "network and reference"}, {.name = "bare passes"}};
    double difference = 0;
    int all = t.rows * WIDTHS, timed = 0, apart = getenv("VISE_BENCH_ALL") || all < SAMPLED ? 1 : all / SAMPLED;
    for (int i = 0; i < all; i++) {
        // Stretches of `apart` cells, one cell of each; later ones at other widths.
        if (i % apart == i / apart % apart % WIDTHS) {
            base_model_row row = {0}, bare = {0};
            int p = m->layers[i / WIDTHS].weight;
            w[p] = c.decoded[i];
            began = now();
            check(engine_measure(m, w, NULL, view, &bare, &job, &err), &err);
            add_spent(&base[BARE], began);
            began = now();
            check(engine_measure(m, w, m->weights, view, &row, &job, &err), &err);
            add_spent(&base[MEASURED], began);
            w[p] = m->weights[p];
            began = now();
            double kl = whole_run(m, path, data, i / WIDTHS, i % WIDTHS + 2, view->count);
            add_spent(&base[RUNS], began);
            difference = fmax(difference, fmax(fabs(row.kl - t.value[i]), fabs(kl - t.value[i])));
            timed++;
        }
        base_big_free(c.decoded[i]);
    }
    printf("one-on sensitivity, %d layers x %d widths, %lld images: %.2f s (processors %.2f s)\n", t.rows, WIDTHS,
           (long long)view->count, quick.wall, quick.cpu);
    for (int k = 0; k < BASELINES; k++) {
        double wall = base[k].sum.wall * all / timed, cpu = base[k].sum.cpu * all / timed;
        printf("  %3d evaluations (%d run), %-22s %7.2f s (processors %.2f s): %.3f of the time, %.3f of the "
               "processors'\n",
               all, timed, base[k].name, wall, cpu, quick.wall / wall, quick.cpu / cpu);
    }
    printf("  largest difference of KL %.1e\n", difference);
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
    spent began = now();
    check(study_allocate(&p, study_allocator_find("exact"), NULL, &a, NULL, &err), &err);
    printf("exact allocation, %d layers x %d options: %.2f ms (processors %.2f ms), %s, %lld of %lld bytes\n", layers,
           options, 1e3 * a.seconds, 1e3 * since(began).cpu, a.optimal ? "proved" : "not proved", (long long)a.cost,
           (long long)most);
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
    char *path = support_real("models/resnet20_cifar10.safetensors")
                     ? base_strdup(support_real("models/resnet20_cifar10.safetensors"))
                     : NULL;
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
    sensitivity(m, path, data, view);
    data_view_free(view);
    data_view_free(all);
    data_close(set);
    model_close(m);
    free(data);
    free(path);
    return 0;
}
