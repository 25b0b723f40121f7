// Every step with every value of its arguments, every solver with every data type, and every pair of steps, on every
// kind of layer, at odd sizes, with odd weights and odd inputs: each either works - finite, and a saved file gives back
// every bit - or says in one sentence why not. What is tried comes from the tables of steps, arguments, solvers and
// types, so that a new row is tried too.
//
// VISE_MATRIX=all tries every combination of configuration, layer and contents; the check takes each configuration on
// every third layer, its contents in turn. VISE_MATRIX=trace also prints each before it is tried. An argument names the
// group to try ("quantize", "pairs*").
#include "compress/types/types.h"
#include "tests/compress/compress_support.h"
#include "tests/engine/nets.h"

#include <signal.h>
#include <unistd.h>

// ---- layers ----------------------------------------------------------------------------------------

typedef struct subject {
    const char *name, *op;
    int64_t dim[3]; // of a sample; [0] 0: tokens, of a vocabulary of dim[1]
    const char *attrs;
} subject;
static const subject subjects[] = {
    {"linear 1x1", "linear", {1, 1, 1}, "1 1"},
    {"linear 3x7", "linear", {7, 1, 1}, "3 1"},
    {"linear 5x16", "linear", {16, 1, 1}, "5 1"},
    {"linear 40x9", "linear", {9, 1, 1}, "40 0"},
    {"conv 1x1", "conv2d", {1, 3, 3}, "1 1 1 1 1 0 0 0 0 1 1 1 1"},
    {"conv 3x2x3x3", "conv2d", {2, 5, 4}, "3 3 3 1 1 1 1 1 1 1 1 1 1"},
    {"conv 5x3x1x5", "conv2d", {3, 4, 6}, "5 1 5 1 2 0 2 0 2 1 1 1 0"},
    {"grouped 6x2x3x3", "conv2d", {4, 5, 4}, "6 3 3 2 1 1 1 1 1 1 1 2 1"},
    {"depthwise 4x1x3x3", "conv2d", {4, 4, 4}, "4 3 3 1 1 1 1 1 1 1 1 4 1"},
    {"depthwise 3x1x1x1", "conv2d", {3, 3, 3}, "3 1 1 1 1 0 0 0 0 1 1 3 0"},
    {"embedding 1x1", "embedding", {0, 1, 0}, "1 1"},
    {"embedding 7x3", "embedding", {0, 7, 0}, "7 3"},
    {"embedding 5x16", "embedding", {0, 5, 0}, "5 16"},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

enum contents {
    NORMAL,
    ZERO_ROWS,
    CONSTANT_ROWS,
    ALL_ZERO,
    DEAD_INPUTS,
    ONE_SAMPLE,
    TINY,
    HUGE_ONE,
    NAN_WEIGHT,
    CONTENTS
};
static const char *const contents_names[] = {"normal weights",   "zero rows",          "constant rows",
                                             "all zero",         "dead inputs",        "one sample",
                                             "weights of 1e-30", "one weight of 1e30", "a NaN"};

typedef struct bench {
    const subject *of;
    model *m;
    data_set *set, *dead_set;
    data_view *view, *one, *dead;
    float *normal; // the layer's weight as drawn
} bench;

static data_set *make_data(const subject *s, bool dead) {
    enum { COUNT = 6, LONG = 5 };
    num_rng rng = num_rng_seed(9, 4);
    data_spec *spec = data_spec_new();
    base_err err = {0};
    spec->name = base_strdup("made");
    spec->folder = base_strdup(support_temp_dir());
    spec->sources = base_calloc(1, sizeof *spec->sources);
    spec->source_count = 1;
    bool tokens = s->dim[0] == 0;
    spec->sources[0] = (data_source){
        .format = base_strdup(tokens ? "tokens" : "npy"), .path = base_strdup("x.npy"), .part = DATA_CALIB};
    char *path = base_join(spec->folder, "x.npy");
    if (tokens) {
        uint16_t ids[COUNT * LONG];
        for (int i = 0; i < COUNT * LONG; i++) ids[i] = dead ? 0 : (uint16_t)num_rng_below(&rng, (uint32_t)s->dim[1]);
        assert_true(num_npy_save(path, &(num_tensor){NUM_U16, 1, {COUNT * LONG}, ids}, &err));
        spec->window = LONG;
        spec->vocabulary_size = s->dim[1];
    } else {
        int64_t n = s->dim[0] * s->dim[1] * s->dim[2];
        float *x = base_calloc((size_t)(COUNT * n), sizeof *x);
        for (int64_t i = 0; i < COUNT * n; i++) x[i] = (float)num_rng_normal(&rng);
        // The first channels are dead; with one channel all of it.
        for (int64_t i = 0; dead && i < COUNT * n; i++)
            if (i % n < (n / 2 ? n / 2 : 1)) x[i] = 0;
        assert_true(num_npy_save(path, &(num_tensor){NUM_F32, 4, {COUNT, s->dim[0], s->dim[1], s->dim[2]}, x}, &err));
        free(x);
        int64_t labels[COUNT] = {0};
        char *beside = base_join(spec->folder, "y.npy");
        assert_true(num_npy_save(beside, &(num_tensor){NUM_I64, 1, {COUNT}, labels}, &err));
        free(beside);
        spec->sources[0].labels = base_strdup("y.npy");
        spec->classes = strtol(s->attrs, NULL, 10); // outputs
    }
    free(path);
    data_set *set = data_open(spec, NULL, &err);
    if (!set) fail_msg("%s: %s", s->name, err.text);
    data_spec_free(spec);
    return set;
}

static model *make_net(const subject *s) {
    bool tokens = s->dim[0] == 0;
    model_graph *g =
        tokens ? nets_start(DATA_TOKENS, 1, 5, 0, 0) : nets_start(DATA_FEATURES, 3, s->dim[0], s->dim[1], s->dim[2]);
    int x = 0;
    if (!strcmp(s->op, "linear")) x = nets_add(g, "reshape", "flat", x, -1, "-1 0 0 0 1", NULL);
    x = nets_add(g, s->op, "it", x, -1, s->attrs, NULL);
    if (!strcmp(s->op, "conv2d")) x = nets_add(g, "global_pool", "pool", x, -1, NULL, NULL);
    if (tokens) { // the output table is the same matrix
        char attrs[32];
        snprintf(attrs, sizeof attrs, "%lld 0", (long long)s->dim[1]);
        x = nets_add(g, "linear", "head", x, -1, attrs, "it.weight");
    }
    return nets_create(g, x, tokens ? MODEL_LANGUAGE : MODEL_CLASSIFY, 5);
}

static bench open_bench(const subject *s) {
    base_err err = {0};
    bench b = {.of = s, .m = make_net(s), .set = make_data(s, false), .dead_set = make_data(s, true)};
    b.view = data_view_part(b.set, DATA_CALIB, &err);
    b.dead = data_view_part(b.dead_set, DATA_CALIB, &err);
    b.one = b.view ? data_view_range(b.view, 0, 1, &err) : NULL;
    if (!b.one || !b.dead) fail_msg("%s: %s", s->name, err.text);
    const model_layer *l = &b.m->layers[0];
    b.normal = base_calloc((size_t)l->weights, sizeof *b.normal);
    memcpy(b.normal, b.m->weights[l->weight], (size_t)l->weights * sizeof *b.normal);
    return b;
}

static void close_bench(bench *b) {
    data_view_free(b->view);
    data_view_free(b->dead);
    data_view_free(b->one);
    data_close(b->set);
    data_close(b->dead_set);
    model_close(b->m);
    free(b->normal);
}

static void fill(const bench *b, enum contents c) {
    const model_layer *l = &b->m->layers[0];
    float *w = model_mutable(b->m)[l->weight];
    for (int64_t i = 0; i < l->weights; i++) {
        int64_t r = i / l->in;
        w[i] = b->normal[i];
        if (c == ZERO_ROWS && r % 2 == 0) w[i] = 0;
        if (c == CONSTANT_ROWS) w[i] = r % 2 ? 0.25f : -0.5f;
        if (c == ALL_ZERO) w[i] = 0;
        if (c == TINY) w[i] *= 1e-30f;
    }
    if (c == HUGE_ONE) w[0] = 1e30f;
    if (c == NAN_WEIGHT) w[l->weights - 1] = NAN;
}

// ---- trying ----------------------------------------------------------------------------------------

static char trying[512]; // what a crash is told about
static int ran, refused, wrong;
static bool trace;

static void crashed(int number) {
    ssize_t n = write(STDERR_FILENO, "crashed while trying ", 21);
    n = write(STDERR_FILENO, trying, strlen(trying));
    n = write(STDERR_FILENO, "\n", 1);
    (void)n;
    signal(number, SIG_DFL);
    raise(number);
}

static void complain(const char *what, const char *text) {
    if (wrong++ < 60) print_message("  WRONG: %s: %s%s%s\n", trying, what, *text ? ": " : "", text);
}

// One sentence: some words, one line, no leftovers of formatting.
static void check_sentence(const base_err *err) {
    const char *t = err->text;
    size_t n = strlen(t);
    if (n < 12 || n > 480 || strchr(t, '\n') || strstr(t, "(null)") || !strchr(t, ' ') || t[n - 1] == ' ')
        complain("a poor message", t);
}

static bool parse_step(char *text, compress_step *s, base_err *err) {
    char *save = NULL;
    *s = (compress_step){.kind = compress_step_find(strtok_r(text, " ", &save))};
    assert_non_null(s->kind);
    base_arg_defaults(s->kind->args, s->kind->arg_count, s->value);
    for (char *word; (word = strtok_r(NULL, " ", &save));) {
        char *value = strchr(word, '='), *end;
        assert_non_null(value);
        *value++ = 0;
        double number = strtod(value, &end);
        if (!(*end
                  ? base_arg_set_text(s->kind->name, s->kind->args, s->kind->arg_count, s->value, word, value, err)
                  : base_arg_set_number(s->kind->name, s->kind->args, s->kind->arg_count, s->value, word, number, err)))
            return false;
    }
    return true;
}

static bool make_plan(const char *text, compress_plan *plan, base_err *err) {
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    compress_rule *r = plan->rules = base_calloc(1, sizeof *r);
    plan->rule_count = 1;
    r->pattern = base_strdup("^it");
    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save)) {
        r->steps = base_realloc(r->steps, (size_t)r->step_count + 1, sizeof *r->steps);
        if (!parse_step(one + strspn(one, " "), &r->steps[r->step_count++], err)) return false;
    }
    return true;
}

// A saved file decodes to the same bits.
static void check_file(const compress_result *r, const model_layer *l) {
    static const char *path;
    if (!path) path = support_temp_path("matrix.safetensors");
    base_err err = {0};
    compress_saved saved;
    int64_t bytes, header;
    if (!compress_save(r, path, NULL, &saved, &err)) return complain("it cannot be saved", err.text);
    if (!compress_sizes(r, &bytes, &header, &err)) return complain("it has no size", err.text);
    if (saved.file_bytes != bytes + header) complain("its size is not that of its file", "");
    model_tensors *t = model_tensors_open(path, &err);
    if (!t || !compress_unpack(t, &err)) {
        complain("its file does not open", err.text);
        model_tensors_close(t);
        return;
    }
    const model_tensor *w = model_tensors_find(t, "it.weight");
    const float *now = compress_weights(r)[l->weight];
    if (!w || w->t.dtype != NUM_F32 || memcmp(w->t.data, now, (size_t)l->weights * sizeof *now) != 0)
        complain("its file decodes to other values", "");
    model_tensors_close(t);
}

static void check_result(const compress_result *r, const bench *b, enum contents c) {
    const model_layer *l = &b->m->layers[0];
    const base_layer_row *row = compress_row(r, 0);
    if (!num_all_finite(compress_weights(r)[l->weight], (size_t)l->weights)) complain("NaN or Inf came out", "");
    if (c == NAN_WEIGHT) complain("a NaN went through", "");
    if (!(row->weight_error >= 0) || !(row->bytes > 0) || !(row->bits > 0) || !(row->output_error >= 0))
        complain("figures are missing", "");
    check_file(r, l);
}

static void try_one(const bench *b, const char *text, enum contents c) {
    base_err err = {0};
    compress_plan plan = {.calib = c == DEAD_INPUTS ? b->dead : c == ONE_SAMPLE ? b->one : b->view, .seed = 1};
    compress_result *r = NULL;
    snprintf(trying, sizeof trying, "%s on %s, %s", text, b->of->name, contents_names[c]);
    if (trace) fprintf(stderr, "%s\n", trying);
    double began = base_now();
    bool ok = make_plan(text, &plan, &err) && compress_run(b->m, &plan, NULL, &r, &err);
    ran++;
    if (ok) {
        check_result(r, b, c);
    } else {
        refused++;
        if (trace) fprintf(stderr, "    %s\n", err.text);
        check_sentence(&err);
        if (r) complain("it failed and left a result", err.text);
    }
    if (base_now() - began > 2) print_message("  slow (%.1f s): %s\n", base_now() - began, trying);
    compress_result_free(r);
    compress_plan_free(&plan);
}

// ---- what is tried ---------------------------------------------------------------------------------

typedef struct list {
    char **text;
    size_t count;
} list;

static void add(list *l, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    char text[400];
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    l->text = base_realloc(l->text, l->count + 1, sizeof *l->text);
    l->text[l->count++] = base_strdup(text);
}

static void free_list(list *l) {
    for (size_t i = 0; i < l->count; i++) free(l->text[i]);
    free(l->text);
}

// A step as short as it may be; long searches cut short.
static const char *start(const compress_step_kind *k) {
    static char text[200];
    static const char *const set[][2] = {{"iterations", "3"}, {"beam", "2"}, {"passes", "3"}};
    size_t used = (size_t)snprintf(text, sizeof text, "%s%s", k->name, strcmp(k->name, "lowrank") ? "" : " rank=1");
    for (size_t i = 0; i < k->arg_count; i++)
        for (size_t n = 0; n < sizeof set / sizeof *set; n++)
            if (!strcmp(k->args[i].name, set[n][0]) && k != &step_prune)
                used += (size_t)snprintf(text + used, sizeof text - used, " %s=%s", set[n][0], set[n][1]);
    return text;
}

// `choices` is "a|b, c": every word of it.
static void each_word(const char *choices, const char *between, void (*one)(void *, const char *), void *context) {
    char copy[1024], *save = NULL;
    snprintf(copy, sizeof copy, "%s", choices);
    for (char *w = strtok_r(copy, between, &save); w; w = strtok_r(NULL, between, &save)) one(context, w);
}

typedef struct growing {
    list *to;
    const char *before, *arg;
} growing;

static void add_value(void *context, const char *value) {
    const growing *g = context;
    add(g->to, "%s %s=%s", g->before, g->arg, strcmp(value, "eXmY") ? value : "e3m2");
}

// `before` with each value worth trying of one argument: every word of a choice, every data type, the ends of a range
// and small numbers in it.
static void add_values(list *l, const char *before, const base_arg *a) {
    growing g = {l, before, a->name};
    if (a->type == BASE_TEXT && a->choices) {
        each_word(a->choices, "|", add_value, &g);
    } else if (a->type == BASE_TEXT) {
        each_word(!strcmp(a->name, "dtype") || !strcmp(a->name, "factors") ? type_list() : "none nothing/there", ", ",
                  add_value, &g);
    } else if (a->type == BASE_BOOL) {
        add(l, "%s %s=0", before, a->name);
        add(l, "%s %s=1", before, a->name);
    } else {
        const double numbers[] = {a->min, a->max, 0, 0.3, 1, 2, 3, 5, 8};
        bool whole = a->type == BASE_INT, open = a->min == a->max;
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            double v = numbers[i];
            bool long_search = v > 100 && whole && strcmp(a->name, "group") && strcmp(a->name, "rank") &&
                               strcmp(a->name, "length") && strcmp(a->name, "height");
            if (!isfinite(v) || (i < 2 && open) || long_search || (whole && v != floor(v))) continue;
            if (!open && (v < a->min || v > a->max || (i > 1 && (v == a->min || v == a->max)))) continue;
            add(l, "%s %s=%.15g", before, a->name, v);
        }
    }
}

static void add_step(list *l, const compress_step_kind *k) {
    add(l, "%s", start(k));
    char *plain = base_strdup(start(k));
    for (size_t i = 0; i < k->arg_count; i++) add_values(l, plain, &k->args[i]);
    // The first choice of a step (its solver, criterion, method) with every other argument.
    const base_arg *first = k->arg_count ? &k->args[0] : NULL;
    if (first && first->type == BASE_TEXT && first->choices) {
        list heads = {0};
        add_values(&heads, plain, first);
        for (size_t h = 1; h < heads.count; h++)
            for (size_t i = 1; i < k->arg_count; i++) add_values(l, heads.text[h], &k->args[i]);
        free_list(&heads);
    }
    free(plain);
}

static void add_pairs(list *l) {
    for (size_t a = 0; a < compress_step_count; a++)
        for (size_t b = 0; b < compress_step_count; b++) {
            char *before = base_strdup(start(compress_steps[a]));
            add(l, "%s; %s", before, start(compress_steps[b]));
            const base_arg *first = compress_steps[b]->args;
            char *both = base_sprintf("%s; %s", before, start(compress_steps[b]));
            if (compress_steps[b]->arg_count && first->type == BASE_TEXT && first->choices) add_values(l, both, first);
            free(both);
            free(before);
        }
}

// Solvers with data types in groups that do not divide, and at each width with and without zero points.
static void add_solvers(list *l) {
    for (size_t s = 0; s < compress_solver_count; s++) {
        char *head = base_sprintf("%s solver=%s group=4", start(&step_quantize), compress_solvers[s]->name);
        for (size_t i = 0; i < step_quantize.arg_count; i++)
            if (!strcmp(step_quantize.args[i].name, "dtype")) add_values(l, head, &step_quantize.args[i]);
        for (int bits = 1; bits <= 16; bits++)
            for (int sym = 0; sym < 2; sym++) add(l, "%s bits=%d sym=%d range=mse", head, bits, sym);
        add(l, "prune; %s", head);
        add(l, "prune n=2 m=4; %s sym=0", head);
        add(l, "prune pattern=rows; %s", head);
        add(l, "scale; rotate; %s", head);
        add(l, "keep dtype=f16; %s", head);
        add(l, "quantize bits=2; %s; %s", head, head);
        free(head);
    }
}

static void try_list(const list *l, bool all) {
    for (int s = 0; s < SUBJECTS; s++) {
        bench b = open_bench(&subjects[s]);
        for (int c = 0; c < CONTENTS; c++) {
            fill(&b, (enum contents)c);
            for (size_t i = 0; i < l->count; i++)
                if (all || ((i + (size_t)s) % 3 == 0 && (i / 3 + (size_t)s) % CONTENTS == (size_t)c))
                    try_one(&b, l->text[i], (enum contents)c);
        }
        close_bench(&b);
    }
    print_message("%zu configurations, %d runs, %d of them refused, %d wrong\n", l->count, ran, refused, wrong);
}

static void matrix(void **state) {
    const compress_step_kind *k = *state;
    const char *mode = getenv("VISE_MATRIX");
    list l = {0};
    ran = refused = wrong = 0;
    num_set_threads(1); // the layers are small
    // After cmocka has set its own, which do not say what was tried.
    static const int signals[] = {SIGSEGV, SIGFPE, SIGABRT, SIGBUS, SIGILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], crashed);
    trace = mode && !strcmp(mode, "trace");
    if (k) {
        add_step(&l, k);
    } else {
        add_pairs(&l);
        add_solvers(&l);
    }
    try_list(&l, mode && !strcmp(mode, "all"));
    free_list(&l);
    if (wrong) fail_msg("%d runs went wrong", wrong);
    if (refused == ran) fail_msg("nothing of %s worked", k ? k->name : "pairs");
}

int main(int argc, char **argv) {
    enum { MOST = 64 };
    static struct CMUnitTest tests[MOST];
    size_t n = 0;
    if (compress_step_count >= MOST) return 1;
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    for (; n < compress_step_count; n++)
        tests[n] = (struct CMUnitTest){compress_steps[n]->name, matrix, NULL, NULL, (void *)compress_steps[n]};
    tests[n++] = (struct CMUnitTest){"pairs and solvers", matrix, NULL, NULL, NULL};
    return _cmocka_run_group_tests("matrix", tests, n, NULL, NULL);
}
