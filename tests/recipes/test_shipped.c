// Every shipped recipe, end to end, on the shipped models and on real ones: it runs, what it saves is what it reported,
// and one thread and two write the same bytes.
#include "tests/script/recipe_support.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

enum { CALIB = 12, TEST = 12, TOKENS = 1000 };

// ---- small data --------------------------------------------------------------------------------

static void write_npy(const char *path, const char *descr, const char *shape, const void *values, size_t bytes) {
    char header[118];
    int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    memset(header + n, ' ', sizeof header - (size_t)n);
    header[117] = '\n';
    char *file = malloc(10 + sizeof header + bytes);
    assert_non_null(file);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(file + 10, header, sizeof header);
    memcpy(file + 10 + sizeof header, values, bytes);
    support_write(path, file, 10 + sizeof header + bytes);
    free(file);
}

// The first samples of a part, already normalised, as npy files NAME-x.npy and NAME-y.npy in `folder`.
static void cut_part(const data_set *set, data_part part, int64_t count, const char *folder, const char *name) {
    base_err err;
    data_view *view = data_view_part(set, part, &err);
    assert_non_null(view);
    data_batch batch = {0};
    assert_true(data_fetch(view, 0, count, &batch, &err));
    char shape[96] = "";
    int n = snprintf(shape, sizeof shape, "%lld", (long long)count);
    for (int d = 0; d < set->ndim; d++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, ", %lld", (long long)set->dim[d]);
    char *x = base_sprintf("%s/%s-x.npy", folder, name), *y = base_sprintf("%s/%s-y.npy", folder, name);
    write_npy(x, "<f4", shape, batch.x, (size_t)(count * set->sample_values) * sizeof(float));
    snprintf(shape, sizeof shape, "%lld,", (long long)count);
    write_npy(y, "<i4", shape, batch.labels, (size_t)count * sizeof(int32_t));
    free(x);
    free(y);
    data_batch_free(&batch);
    data_view_free(view);
}

// A descriptor of a few samples of an image dataset.
static const char *small_images(const char *descriptor, const char *name) {
    base_err err;
    data_set *set = script_dataset_open(descriptor, NULL, &err);
    if (!set) fail_msg("%s: %s", descriptor, err.text);
    const char *folder = support_temp_path(name);
    assert_true(base_mkdirs(folder, &err));
    cut_part(set, DATA_CALIB, 2 * CALIB, folder, "calib");
    cut_part(set, DATA_TEST, TEST, folder, "test");
    char shape[96] = "";
    int n = 0;
    for (int d = 0; d < set->ndim; d++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%lld", d ? ", " : "", (long long)set->dim[d]);
    data_close(set);
    char *path = base_join(folder, "dataset.lua");
    char *text =
        base_sprintf("return { name = '%s', calib = { images = 'calib-x.npy', labels = 'calib-y.npy' },\n"
                     "  test = { images = 'test-x.npy', labels = 'test-y.npy' }, shape = { %s }, classes = 10,\n"
                     "  split = { calib = 1, select = 1 } }\n",
                     name, shape);
    support_write(path, text, strlen(text));
    free(text);
    free(path);
    return folder;
}

static const char *cifar(void) {
    return small_images("tests/real/cifar10.lua", "small-cifar");
}
static const char *mnist(void) {
    return small_images("tests/real/mnist.lua", "small-mnist");
}
static const char *digits(void) {
    return small_images("data/digits", "small-digits");
}

static const char *stories(void) {
    const char *real = support_real("datasets/tinystories_val/tok512_u16.npy"),
               *folder = support_temp_path("small-stories");
    size_t bytes;
    char *file = support_read(real, &bytes);
    size_t header = 10 + (size_t)(uint8_t)file[8] + 256 * (size_t)(uint8_t)file[9];
    base_err err;
    assert_true(base_mkdirs(folder, &err));
    char *tokens = base_join(folder, "tokens.npy"), *path = base_join(folder, "dataset.lua");
    char shape[24];
    snprintf(shape, sizeof shape, "%d,", TOKENS);
    write_npy(tokens, "<u2", shape, file + header, 2 * TOKENS);
    static const char text[] = "return { name = 'small-stories', data = { file = 'tokens.npy', format = 'tokens' },\n"
                               "  bos = 1, vocabulary_size = 512, split = { 1, 1, 1 } }\n";
    support_write(path, text, sizeof text - 1);
    free(file);
    free(tokens);
    free(path);
    return folder;
}

static const char *austen(void) {
    const char *folder = support_temp_path("small-austen");
    base_err err;
    assert_true(base_mkdirs(folder, &err));
    data_spec *spec = script_dataset_spec("data/text", &err);
    assert_non_null(spec);
    size_t bytes;
    char *book = support_read("data/text/pride-and-prejudice.txt", &bytes);
    char *text_path = base_join(folder, "text.txt"), *path = base_join(folder, "dataset.lua");
    support_write(text_path, book + 20000, 1200);
    base_buf b = {0};
    base_buf_puts(&b,
                  "return { name = 'small-austen', data = 'text.txt', level = 'char', window = 64, vocabulary = \"");
    for (const char *c = spec->vocabulary; *c; c++)
        if (*c == '\n')
            base_buf_puts(&b, "\\n");
        else
            base_buf_printf(&b, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    base_buf_puts(&b, "\", split = { 1, 1, 1 } }\n");
    support_write(path, b.text, b.length);
    base_buf_free(&b);
    free(book);
    free(text_path);
    free(path);
    data_spec_free(spec);
    return folder;
}

// ---- running -----------------------------------------------------------------------------------

static said run_shipped(const char *name, const char *path, const char *data, int threads) {
    said s = {0};
    num_set_threads(threads);
    script_recipe *r = script_recipe_load(name, &s.err);
    if (!r) fail_msg("%s: %s", name, s.err.text);
    // Long optimisations are cut short: that they run, and run alike, does not need them whole.
    static const char *const shorter[][2] = {
        {"samples", "6"}, {"iterations", "10"},  {"steps", "10"},    {"passes", "4"}, {"turns", "2"},
        {"beam", "2"},    {"generations", "2"},  {"offspring", "4"}, {"look", "20"},  {"widest", "4"},
        {"probes", "2"},  {"traces", "sampled"}, {"state", "9"}};
    for (size_t i = 0; i < r->param_count; i++)
        for (size_t k = 0; k < sizeof shorter / sizeof *shorter; k++)
            if (!strcmp(r->params[i].name, shorter[k][0]) && !(r->params[i].min > atof(shorter[k][1])))
                assert_true(script_recipe_set(r, shorter[k][0], shorter[k][1], &s.err));
    char *out = base_sprintf("%s/%d", support_temp_path("out"), threads);
    script_run_options o = {.model = path, .data = data, .out = out};
    base_job job = {.emit = hear, .context = &s, .start = base_now()};
    s.ok = script_recipe_run(r, &o, &job, &s.err);
    script_recipe_free(r);
    free(out);
    num_set_threads(0);
    return s;
}

static void check_figures(const char *name, const said *s, bool measured) {
    assert_true(s->rows >= 2);
    // What was saved is what was measured last before it: recipes may go on and cut it.
    assert_true(s->saved_rows >= 2);
    const base_model_row *last = &s->row[s->saved_rows - 1], *original = &s->row[0];
    assert_string_equal(original->label, "original");
    // A network that is smaller, not compressed, is saved with the recipe's name in its header.
    int64_t header = s->layers ? last->header_bytes : s->saved_header;
    if (last->bytes + header != s->saved_bytes || header > last->header_bytes + 200)
        fail_msg("%s: reports %lld + %lld bytes, saves %lld", name, (long long)last->bytes,
                 (long long)last->header_bytes, (long long)s->saved_bytes);
    if (last->bytes >= original->bytes) fail_msg("%s: %lld bytes are no fewer", name, (long long)last->bytes);
    assert_true(last->bits > 0 && last->bits <= 32); // fewer weights, or fewer bits a weight
    assert_true(isnan(last->value) == !measured && isnan(last->kl) == !measured);
    for (int i = 0; i < s->layers; i++) {
        const base_layer_row *l = &s->layer[i];
        // Six samples leave most directions of a layer's inputs open, and what aims at outputs may err far there.
        if (!(l->weight_error >= 0 && l->weight_error <= 4 && l->bytes > 0))
            fail_msg("%s: layer %s has weight error %g in %lld bytes", name, l->name, l->weight_error,
                     (long long)l->bytes);
    }
}

// Recipes that fold maps say so where a network has no place for theirs.
static bool has_no_place(const said *s) {
    static const char *const reasons[] = {"there is nothing to fold", "has no batch norm", "has no residual stream",
                                          "has no layer norm or RMS norm", "has no graph to rewrite"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (!s->ok && strstr(s->err.text, reasons[i])) return true;
    return false;
}

// The exact greedy order costs the cube of a layer's inputs for every output: on the small models only. Those that
// learn on every weight leave out the networks of wide layers.
static bool too_long(const char *recipe, const char *path) {
    static const char *const learners[] = {"gsq", "adaquant", "bpdq", "aqlm", "vptq", "residual-vq", "simvq", "pvq"};
    if (!strcmp(recipe, "obq") || !strcmp(recipe, "obs")) return !strstr(path, "digits");
    bool wide = strstr(path, "mnist") != NULL;
    for (size_t i = 0; wide && i < sizeof learners / sizeof *learners; i++)
        if (strcmp(recipe, learners[i]) == 0) return true;
    return false;
}

// What takes seconds on real networks is compared between thread counts on those of the digits and on the one without
// a graph, whose layers are larger; on the others with VISE_SLOW=1 only.
static bool runs_once(const char *recipe, const char *path) {
    static const char *const slow[] = {
        "cbq",        "gqsa",     "brecq", "e8",      "evopress", "group-residual-vq", "mixed-precision", "qtip",
        "quip-sharp", "smallest", "simvq", "trellis", "vq"};
    if (getenv("VISE_SLOW") || strstr(path, "digits") || strstr(path, "silero")) return false;
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        if (strcmp(recipe, slow[i]) == 0) return true;
    return false;
}

// Studies report and save nothing; tests/script/test_study.c runs what they are made of.
static bool saves_nothing(const char *name) {
    base_err err;
    script_recipe *r = script_recipe_load(name, &err);
    if (!r) fail_msg("%s: %s", name, err.text);
    bool nothing = !strstr(r->text, "save(");
    script_recipe_free(r);
    return nothing;
}

// Not every network has what a recipe needs: inputs of layers, an architecture, a place for its maps, what it takes
// out.
static bool does_not_apply(const said *s, bool measured) {
    static const char *const unmeasured[] = {"needs calibration data", "there are no samples",
                                             "needs the layers' inputs", "no architecture fits"};
    if (s->ok) return false;
    for (size_t i = 0; !measured && i < sizeof unmeasured / sizeof *unmeasured; i++)
        if (strstr(s->err.text, unmeasured[i])) return true;
    return has_no_place(s) || strstr(s->err.text, "that could go");
}

// Two runs, of one thread and of two.
static void check_alike(const char *name, const char *path, const said *one, const said *two, bool measured) {
    if (does_not_apply(one, measured) && does_not_apply(two, measured)) return;
    if (!one->ok || !two->ok) fail_msg("%s on %s: %s", name, path, one->ok ? two->err.text : one->err.text);
    check_figures(name, one, measured);
    if (strcmp(one->hash, two->hash) != 0) fail_msg("%s on %s: one thread and two write different bytes", name, path);
    for (int k = 0; k < one->rows; k++)
        if (measured && (one->row[k].value != two->row[k].value || one->row[k].loss != two->row[k].loss))
            fail_msg("%s on %s: one thread measures %.17g, two %.17g", name, path, one->row[k].loss, two->row[k].loss);
}

// Every recipe on one model, or VISE_RECIPE's; recipes that make models are no compression.
static void run_all(const char *path, const char *data, bool measured) {
    base_err err;
    size_t count;
    char **names = script_recipe_names(&count, &err);
    assert_non_null(names);
    for (size_t i = 0; i < count; i++) {
        const char *only = getenv("VISE_RECIPE");
        if (strncmp(names[i], "train-", 6) == 0 || (only && strcmp(only, names[i]) != 0)) continue;
        if (too_long(names[i], path) || saves_nothing(names[i])) continue;
        clock_t began = clock();
        bool once = runs_once(names[i], path);
        said two = run_shipped(names[i], path, data, 2), one = once ? two : run_shipped(names[i], path, data, 1);
        double took = (double)(clock() - began) / CLOCKS_PER_SEC; // processor time: this machine may be busy
        if (took > 1) print_message("  %s: %.1f s\n", names[i], took);
        check_alike(names[i], path, &one, &two, measured);
        said_free(&two);
        if (!once) said_free(&one);
    }
    base_names_free(names, count);
}

static void run_real(const char *relative, const char *(*data)(void)) {
    const char *path = support_real(relative);
    if (!path) skip();
    run_all(path, data ? data() : NULL, data != NULL);
}

static void test_resnet20(void **state) {
    (void)state;
    run_real("models/resnet20_cifar10.safetensors", cifar);
}
// Layers of hundreds of inputs make every learning solver slow: these two take minutes, and only with VISE_SLOW=1.
static void test_lenet(void **state) {
    (void)state;
    if (!getenv("VISE_SLOW")) skip();
    run_real("models/lenet5_mnist.safetensors", mnist);
}
static void test_mlp(void **state) {
    (void)state;
    if (!getenv("VISE_SLOW")) skip();
    run_real("models/mlp_mnist.safetensors", mnist);
}
static void test_stories(void **state) {
    (void)state;
    run_real("models/stories260K", stories);
}
static void test_no_graph(void **state) {
    (void)state;
    run_real("models/silero_vad_16k.safetensors", NULL);
}

static void run_own(const char *relative, const char *(*data)(void)) {
    if (!base_is_file(relative)) skip();
    run_all(relative, data(), true);
}

static void test_digits_cnn(void **state) {
    (void)state;
    run_own("data/models/digits-cnn.safetensors", digits);
}
static void test_digits_mlp(void **state) {
    (void)state;
    run_own("data/models/digits-mlp.safetensors", digits);
}

// The language model is large for 24 runs of everything: the recipes that differ most.
static void test_austen(void **state) {
    (void)state;
    const char *path = "data/models/text-llama.safetensors";
    if (!base_is_file(path)) skip();
    const char *data = austen();
    static const char *const names[] = {"w4-group", "prune-then-w4", "sequential-vs-parallel"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        said s = run_shipped(names[i], path, data, 2);
        if (!s.ok) fail_msg("%s: %s", names[i], s.err.text);
        check_figures(names[i], &s, true);
        said_free(&s);
    }
}

// Without --model and --data a recipe opens what ships.
static void test_defaults(void **state) {
    (void)state;
    if (!base_is_file("data/models/digits-cnn.safetensors")) skip();
    said s = run_shipped("w8", NULL, NULL, 2), again = run_shipped("w8", NULL, NULL, 2);
    if (!s.ok) fail_msg("%s", s.err.text);
    assert_string_equal(s.hash, again.hash);
    assert_string_equal(s.row[0].data, "digits/test");
    assert_true(s.row[0].value >= 98 && s.row[1].value >= s.row[0].value - 1);
    said_free(&s);
    said_free(&again);
}

int main(void) {
    if (chdir(support_tree()) != 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_digits_cnn), cmocka_unit_test(test_digits_mlp),
        cmocka_unit_test(test_austen),   cmocka_unit_test(test_mlp),        cmocka_unit_test(test_lenet),
        cmocka_unit_test(test_no_graph), cmocka_unit_test(test_resnet20),   cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
