// Speed of whole networks on their test data at 1 and 2 threads: samples or tokens a second, GFLOP/s and its share of
// the measured sgemm peak at the same thread count, how much two threads gain, and the most memory held. The best of
// several passes counts, since anything else on the machine only ever slows one down.
// Usage: bench_models [WORD] runs the models whose name holds WORD. Real models are left out where they are absent.
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "script/script.h"
#include "tests/support/support.h"

typedef struct row {
    const char *model, *data;
    bool real;       // below the folder of real models, data in tests/real; else both below the source tree
    int64_t samples; // at most this many of the test part
} row;

static const row rows[] = {
    {"models/resnet20_cifar10.safetensors", "tests/real/cifar10.lua", true, 1000},
    {"models/resnet8_mlperftiny_cifar10.safetensors", "tests/real/cifar10.lua", true, 1000},
    {"models/mlp_mnist.safetensors", "tests/real/mnist.lua", true, 10000},
    {"models/lenet5_mnist.safetensors", "tests/real/mnist.lua", true, 10000},
    {"models/stories260K", "tests/real/tinystories.lua", true, 100},
    {"data/models/digits-mlp.safetensors", "data/digits", false, 1000},
    {"data/models/digits-cnn.safetensors", "data/digits", false, 1000},
    {"data/models/text-llama.safetensors", "data/text", false, 100},
};

enum { MAX_THREADS = 2 };
static const double budget = 2; // seconds a model and thread count

static double flops_of(const model *m, const data_view *v) {
    double flops = 0;
    if (m->graph->input_kind == DATA_FEATURES) return model_graph_flops(m->graph, v->count, 1);
    for (int64_t i = 0; i < v->count; i++) flops += model_graph_flops(m->graph, 1, data_longest(v, i, 1));
    return flops;
}

static bool pass(const model *m, const data_view *v, double *seconds, size_t *peak, base_err *err) {
    base_model_row result = {0};
    base_big_peak_reset();
    double begun = base_now();
    if (!engine_measure(m, m->weights, NULL, v, &result, NULL, err)) return false;
    *seconds = base_now() - begun;
    *peak = base_big_peak();
    return true;
}

// The ceiling is measured again between passes: what slows them down for a while slows it down as well.
static bool measure(const model *m, const data_view *v, double *ceiling, base_err *err) {
    double flops = flops_of(m, v), best[MAX_THREADS];
    bool tokens = m->graph->input_kind == DATA_TOKENS;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        size_t bytes = 0;
        num_set_threads(threads);
        double begun = base_now();
        best[threads - 1] = 1e30;
        for (int k = 0; k < 3 || base_now() - begun < budget; k++) {
            double seconds;
            if (!pass(m, v, &seconds, &bytes, err)) return false;
            if (seconds < best[threads - 1]) best[threads - 1] = seconds;
            double peak_now = num_peak_gflops();
            if (peak_now > ceiling[threads - 1]) ceiling[threads - 1] = peak_now;
        }
        double seconds = best[threads - 1], rate = flops / seconds / 1e9;
        char memory[24];
        printf("%-28.28s %d thread%s %9.0f %s/s %7.1f GFLOP/s %5.1f %% of %5.1f %6s %s", m->name, threads,
               threads == 1 ? " " : "s", (double)data_view_targets(v) / seconds, tokens ? "tokens" : "images", rate,
               100 * rate / ceiling[threads - 1], ceiling[threads - 1], "peak", base_bytes_text(memory, (double)bytes));
        if (threads > 1) printf("  x %.2f", best[0] / seconds);
        printf("\n");
        fflush(stdout);
    }
    return true;
}

static bool run_row(const row *r, double *ceiling, base_err *err) {
    char *path = r->real ? base_strdup(support_real(r->model)) : base_join(support_tree(), r->model);
    if (!path || (!base_is_file(path) && !base_is_dir(path))) {
        printf("%-28.28s absent\n", base_basename(r->model));
        free(path);
        return true;
    }
    char *descriptor = base_join(support_tree(), r->data);
    model *m = script_model_open(path, NULL, err);
    data_set *set = m ? script_dataset_open(descriptor, NULL, err) : NULL;
    data_view *test = set ? data_view_part(set, DATA_TEST, err) : NULL;
    data_view *v = test ? data_view_range(test, 0, r->samples < test->count ? r->samples : test->count, err) : NULL;
    bool ok = v && measure(m, v, ceiling, err);
    data_view_free(v);
    data_view_free(test);
    data_close(set);
    model_close(m);
    free(descriptor);
    free(path);
    return ok;
}

int main(int argc, char **argv) {
    num_setup(argv);
    double ceiling[MAX_THREADS] = {0};
    base_err err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (argc < 2 || strstr(rows[i].model, argv[1]))
            if (!run_row(&rows[i], ceiling, &err)) {
                fprintf(stderr, "%s: %s\n", rows[i].model, err.text);
                return 1;
            }
    return 0;
}
