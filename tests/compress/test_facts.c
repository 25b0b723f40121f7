// What must hold on every layer of every real model, whatever the numbers are: more bits are never worse, methods that
// see the inputs beat those that do not in output error, and a step on the remainder never adds to it.
#include "script/script.h"
#include "tests/compress/compress_support.h"

#include <unistd.h>

// ---- the facts -----------------------------------------------------------------------------------

// A ladder: each rung is the steps before it at a higher rate; the errors may not rise.
enum { RUNGS = 6 };
typedef struct ladder {
    const char *name, *steps; // with one %d
    int rung[RUNGS];          // ends with 0
} ladder;
static const ladder ladders[] = {
    {"rtn", "quantize bits=%d range=mse", {2, 3, 4, 5, 6, 8}},
    {"rtn asym g32", "quantize bits=%d range=mse sym=0 group=32", {2, 3, 4, 5, 6, 8}},
    {"gptq", "quantize solver=gptq bits=%d range=mse", {2, 3, 4, 5, 6, 8}},
    {"gptq minmax", "quantize solver=gptq bits=%d sym=0", {2, 3, 4, 6, 8}},
};
enum { LADDERS = sizeof ladders / sizeof *ladders };

// The first is at most the second, in output error.
typedef struct duel {
    const char *better, *worse;
} duel;
static const duel duels[] = {
    {"quantize solver=gptq bits=2 range=mse", "quantize bits=2 range=mse"},
    {"quantize solver=gptq bits=3 range=mse", "quantize bits=3 range=mse"},
    {"quantize solver=gptq bits=4 range=mse", "quantize bits=4 range=mse"},
    {"quantize solver=gptq bits=4 group=32", "quantize bits=4 group=32 range=minmax"},
    {"prune criterion=sparsegpt", "prune"},
    {"prune criterion=sparsegpt sparsity=0.7", "prune sparsity=0.7"},
    {"prune criterion=sparsegpt n=2 m=4", "prune n=2 m=4"},
    {"lowrank method=whitened fraction=0.25", "lowrank fraction=0.25"},
    {"lowrank method=whitened fraction=0.5", "lowrank fraction=0.5"},
};
enum { DUELS = sizeof duels / sizeof *duels };

// Steps one after another on what is left: the error each targets, of the weight or of the output, never rises.
typedef struct chain {
    const char *steps; // separated by ";", the error is taken behind each
    bool output;       // the output error is the target
} chain;
static const chain chains[] = {
    {"quantize bits=2; quantize bits=2; quantize bits=2; quantize bits=2", false},
    {"quantize bits=3 range=mse; lowrank rank=1; lowrank rank=2", false},
    {"quantize bits=3; lowrank method=whitened rank=1; lowrank method=whitened rank=2", true},
    {"lowrank method=whitened rank=1; lowrank method=whitened rank=2; lowrank method=whitened rank=3", true},
    {"codebook bits=2; codebook bits=2; codebook bits=2", false},
    {"signs; signs; signs", false},
    {"quantize solver=gptq bits=2; quantize solver=gptq bits=2; quantize solver=gptq bits=2", true},
    {"vq dim=2 bits=1; vq dim=2 bits=1; vq dim=2 bits=1", false},
    {"outliers; quantize bits=3 range=mse; quantize bits=3 range=mse", false},
};
enum { CHAINS = sizeof chains / sizeof *chains };

// ---- rules and their errors ------------------------------------------------------------------------

typedef struct facts {
    const model *m;
    compress_plan plan;
    const char **text;       // [rule]
    double *weight, *output; // [layer x rule]
    double *bits;
    int rules;
    int checks, exceptions, wrong;
} facts;

static int find_rule(facts *f, const char *text) {
    for (int i = 0; i < f->rules; i++)
        if (!strcmp(f->text[i], text)) return i;
    f->text = base_realloc(f->text, (size_t)f->rules + 1, sizeof *f->text);
    f->text[f->rules] = base_strdup(text);
    f->plan.rules = base_realloc(f->plan.rules, (size_t)f->rules + 1, sizeof *f->plan.rules);
    compress_rule r = {.pattern = base_strdup(".*")};
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save)) {
        r.steps = base_realloc(r.steps, (size_t)r.step_count + 1, sizeof *r.steps);
        r.steps[r.step_count++] = make_step(one + strspn(one, " "));
    }
    f->plan.rules[f->plan.rule_count++] = r;
    return f->rules++;
}

// The first `count` steps of a chain.
static const char *prefix(const char *steps, int count) {
    static char text[256];
    snprintf(text, sizeof text, "%s", steps);
    char *at = text;
    while (at && count--) at = strchr(at + (at != text), ';');
    if (at) *at = 0;
    return text;
}

static int steps_of(const char *text) {
    int n = 1;
    for (; *text; text++) n += *text == ';';
    return n;
}

static const char *rung_text(const ladder *l, int k) {
    static char text[128];
    snprintf(text, sizeof text, l->steps, l->rung[k]);
    return text;
}

static void make_rules(facts *f) {
    for (int i = 0; i < LADDERS; i++)
        for (int k = 0; k < RUNGS && ladders[i].rung[k]; k++) find_rule(f, rung_text(&ladders[i], k));
    for (int i = 0; i < DUELS; i++) {
        find_rule(f, duels[i].better);
        find_rule(f, duels[i].worse);
    }
    for (int i = 0; i < CHAINS; i++)
        for (int k = 1; k <= steps_of(chains[i].steps); k++) find_rule(f, prefix(chains[i].steps, k));
}

static bool note(void *context, int i, int rule, const float *decoded, const compress_stored *stored,
                 const base_layer_row *row, base_err *err) {
    (void)stored;
    (void)decoded;
    (void)err;
    facts *f = context;
    size_t at = (size_t)i * (size_t)f->rules + (size_t)rule;
    f->weight[at] = row->weight_error;
    f->output[at] = row->output_error;
    f->bits[at] = row->bits;
    if (!(row->weight_error >= 0 && row->output_error >= 0 && row->bits > 0))
        fail_msg("%s, %s: errors %g, %g at %g bits", row->name, f->text[rule], row->weight_error, row->output_error,
                 row->bits);
    return true;
}

// ---- checks --------------------------------------------------------------------------------------

// Errors that differ by a part in 10^5 are equal: they are sums of float32 products.
static bool above(double a, double b) {
    return a > b * (1 + 1e-5) + 1e-12;
}

static size_t at(facts *f, int index, const char *text) {
    return (size_t)index * (size_t)f->rules + (size_t)find_rule(f, text);
}

// Where a fact does not hold, and why. Only methods that do not look at the inputs may be here: what they target, the
// weight error, must have fallen all the same.
static const struct exception {
    const char *model, *layer, *ladder;
    int bits;
    const char *cause;
} exceptions[] = {
    {"resnet8_mlperftiny_cifar10", "linear", "rtn asym g32", 6,
     "inputs are means of relus, all positive, so an output's error is the sum of its 64 weight errors: by chance "
     "these cancel better at 5 bits, rounding to nearest does not see it"},
};

static const struct exception *find_exception(const facts *f, int i, const ladder *l, int bits) {
    for (size_t k = 0; k < sizeof exceptions / sizeof *exceptions; k++) {
        const struct exception *e = &exceptions[k];
        if (!strcmp(e->model, f->m->name) && !strcmp(e->layer, f->m->layers[i].name) && !strcmp(e->ladder, l->name) &&
            e->bits == bits)
            return e;
    }
    return NULL;
}

static void check_ladder(facts *f, int i, const ladder *l) {
    for (int k = 1; k < RUNGS && l->rung[k]; k++) {
        size_t b = at(f, i, rung_text(l, k)), a = at(f, i, rung_text(l, k - 1));
        f->checks++;
        if (!above(f->output[b], f->output[a])) continue;
        const struct exception *e = find_exception(f, i, l, l->rung[k]);
        bool known = e && !above(f->weight[b], f->weight[a]);
        print_message("  %s %s, %s, %d bits: output error %g after %g, weight error %g after %g: %s\n",
                      known ? "exception:" : "WRONG:", f->m->layers[i].name, l->name, l->rung[k], f->output[b],
                      f->output[a], f->weight[b], f->weight[a], known ? e->cause : "not known");
        f->exceptions += known;
        f->wrong += !known;
    }
}

static void check_duel(facts *f, int i, const duel *d) {
    size_t a = at(f, i, d->better), b = at(f, i, d->worse);
    f->checks++;
    if (!above(f->output[a], f->output[b])) return;
    print_message("  WRONG: %s: output error %g of %s, %g of %s\n", f->m->layers[i].name, f->output[a], d->better,
                  f->output[b], d->worse);
    f->wrong++;
}

static void check_chain(facts *f, int i, const chain *c) {
    for (int k = 2; k <= steps_of(c->steps); k++) {
        size_t b = at(f, i, prefix(c->steps, k)), a = at(f, i, prefix(c->steps, k - 1));
        const double *e = c->output ? f->output : f->weight;
        f->checks++;
        if (!above(e[b], e[a])) continue;
        print_message("  WRONG: %s, %s: %s error %g after %g\n", f->m->layers[i].name, prefix(c->steps, k),
                      c->output ? "output" : "weight", e[b], e[a]);
        f->wrong++;
    }
}

// A line a rule: mean rate, and how far its weight error lies above D(R) = 2^(-2R), in dB, over the layers.
static void print_rates(const facts *f) {
    for (int r = 0; r < f->rules; r++) {
        double bits = 0, db = 0, most = -INFINITY, least = INFINITY;
        for (int i = 0; i < f->m->layer_count; i++) {
            size_t k = (size_t)i * (size_t)f->rules + (size_t)r;
            double above_bound = 10 * log10(f->weight[k]) + 20 * log10(2) * f->bits[k];
            bits += f->bits[k] / f->m->layer_count;
            db += above_bound / f->m->layer_count;
            most = above_bound > most ? above_bound : most;
            least = above_bound < least ? above_bound : least;
        }
        print_message("  %6.2f bits, above D(R) %6.1f dB (%.1f .. %.1f): %s\n", bits, db, least, most, f->text[r]);
    }
}

static void check_model(const model *m, const data_view *calib) {
    facts f = {.m = m, .plan = {.calib = calib, .seed = 1}};
    base_err err = {0};
    make_rules(&f);
    size_t cells = (size_t)m->layer_count * (size_t)f.rules;
    f.weight = base_calloc(cells, sizeof *f.weight);
    f.output = base_calloc(cells, sizeof *f.output);
    f.bits = base_calloc(cells, sizeof *f.bits);
    if (!compress_options(m, &f.plan, NULL, 0, note, &f, NULL, &err)) fail_msg("%s", err.text);
    print_message("%s:\n", m->name);
    print_rates(&f);
    for (int i = 0; i < m->layer_count; i++) {
        for (int k = 0; k < LADDERS; k++) check_ladder(&f, i, &ladders[k]);
        for (int k = 0; k < DUELS; k++) check_duel(&f, i, &duels[k]);
        for (int k = 0; k < CHAINS; k++) check_chain(&f, i, &chains[k]);
    }
    print_message("%s: %d facts, %d exceptions\n", m->name, f.checks, f.exceptions);
    if (f.wrong) fail_msg("%s: %d of %d facts do not hold", m->name, f.wrong, f.checks);
    for (int r = 0; r < f.rules; r++) free((char *)f.text[r]);
    free(f.text);
    free(f.weight);
    free(f.output);
    free(f.bits);
    f.plan.calib = NULL;
    compress_plan_free(&f.plan);
}

// ---- models --------------------------------------------------------------------------------------

// No recordings come with the autoencoder: smooth random curves of its 640 inputs.
static data_set *curves(void) {
    enum { COUNT = 256, WIDTH = 640 };
    base_err err = {0};
    float *x = base_calloc((size_t)COUNT * WIDTH, sizeof *x);
    num_rng rng = num_rng_seed(3, 1);
    for (int64_t i = 0; i < COUNT; i++) {
        double level = 0;
        for (int64_t k = 0; k < WIDTH; k++) {
            level = 0.9 * level + 3 * num_rng_normal(&rng);
            x[i * WIDTH + k] = (float)(-20 + level);
        }
    }
    data_spec *spec = data_spec_new();
    spec->name = base_strdup("curves");
    spec->folder = base_strdup(support_temp_dir());
    spec->sources = base_calloc(1, sizeof *spec->sources);
    spec->source_count = 1;
    spec->sources[0] =
        (data_source){.format = base_strdup("npy"), .path = base_strdup("curves.npy"), .part = DATA_CALIB};
    spec->unlabelled = true;
    char *path = base_join(spec->folder, "curves.npy");
    assert_true(num_npy_save(path, &(num_tensor){NUM_F32, 2, {COUNT, WIDTH}, x}, &err));
    data_set *set = data_open(spec, NULL, &err);
    if (!set) fail_msg("%s", err.text);
    data_spec_free(spec);
    free(path);
    free(x);
    return set;
}

static void check_real(const char *file, const char *data, int64_t samples) {
    const char *path = support_real(file);
    if (!path) skip();
    base_err err = {0};
    model *m = script_model_open(path, NULL, &err);
    if (!m) fail_msg("%s", err.text);
    data_set *set = data ? script_dataset_open(data, NULL, &err) : curves();
    if (!set) fail_msg("%s", err.text);
    data_view *part = data_view_part(set, DATA_CALIB, &err),
              *calib = part ? data_view_sample(part, samples, 1, &err) : NULL;
    if (!calib) fail_msg("%s", err.text);
    check_model(m, calib);
    data_view_free(part);
    data_view_free(calib);
    data_close(set);
    model_close(m);
}

static void resnet20(void **state) {
    (void)state;
    check_real("models/resnet20_cifar10.safetensors", "tests/real/cifar10.lua", 32);
}
static void resnet8(void **state) {
    (void)state;
    check_real("models/resnet8_mlperftiny_cifar10.safetensors", "tests/real/cifar10.lua", 32);
}
static void lenet(void **state) {
    (void)state;
    check_real("models/lenet5_mnist.safetensors", "tests/real/mnist.lua", 64);
}
static void mlp(void **state) {
    (void)state;
    check_real("models/mlp_mnist.safetensors", "tests/real/mnist.lua", 128);
}
static void autoencoder(void **state) {
    (void)state;
    check_real("models/autoencoder_ad01_mlperftiny.safetensors", NULL, 256);
}
static void stories(void **state) {
    (void)state;
    check_real("models/stories260K", "tests/real/tinystories.lua", 8);
}

int main(void) {
    if (chdir(support_tree()) != 0) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(resnet20),    cmocka_unit_test(resnet8),
                                       cmocka_unit_test(lenet),       cmocka_unit_test(mlp),
                                       cmocka_unit_test(autoencoder), cmocka_unit_test(stories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
