// Networks that others trained: reference logits, published accuracies and perplexities, and greedy text, each equal to
// what their own frameworks measured. Skipped where the folder of real models is absent; VISE_SLOW=1 adds the whole of
// TinyStories.
#include "engine/engine.h"
#include "script/script.h"
#include "tests/engine/nets.h"

static char *descriptor(const char *name) {
    return base_sprintf("%s/tests/real/%s.lua", support_tree(), name);
}

static model *open_model(const char *relative) {
    const char *path = support_real(relative);
    if (!path) skip();
    base_err err = {0};
    model *m = script_model_open(path, NULL, &err);
    if (!m) fail_msg("%s", err.text);
    if (!m->graph) fail_msg("%s: %s", relative, m->why_no_arch);
    return m;
}

static data_set *open_data(const char *name) {
    char *path = descriptor(name);
    base_err err = {0};
    data_set *set = script_dataset_open(path, NULL, &err);
    if (!set) fail_msg("%s", err.text);
    free(path);
    return set;
}

static data_view *part_of(const data_set *set, data_part part) {
    base_err err = {0};
    data_view *v = data_view_part(set, part, &err);
    if (!v) fail_msg("%s", err.text);
    return v;
}

static base_model_row measured(const model *m, const data_view *v) {
    base_model_row row = {0};
    base_err err = {0};
    if (!engine_measure(m, m->weights, NULL, v, &row, NULL, &err)) fail_msg("%s", err.text);
    return row;
}

// Logits of a batch against a file of references [rows x columns].
static void check_logits(const model *m, const data_batch *b, const char *reference) {
    base_err err = {0};
    num_npz z;
    if (!num_npz_open(&z, support_real(reference), &err)) fail_msg("%s", err.text);
    const num_tensor *t = num_npz_find(&z, "");
    size_t count = 0, bytes;
    assert_true(t && t->dtype == NUM_F32 && num_count(t->ndim, t->dim, t->dtype, &count, &bytes));
    const model_shape *s = model_graph_shape(m->graph, m->graph->output);
    int64_t rows = b->kind == DATA_TOKENS ? b->count * b->length : b->count;
    assert_int_equal(count, (size_t)(rows * s->dim[s->ndim - 1]));
    float *out[2];
    for (int k = 0; k < 2; k++) {
        out[k] = base_calloc(count, sizeof(float));
        num_set_threads(k + 1);
        if (!engine_forward(m, m->weights, b, out[k], NULL, &err)) fail_msg("%s", err.text);
    }
    num_set_threads(0);
    double worst = (double)support_max_diff(out[0], t->data, count);
    if (worst > 1e-3) fail_msg("%s: largest difference %g", reference, worst);
    assert_memory_equal(out[0], out[1], bytes);
    free(out[0]);
    free(out[1]);
    num_npz_close(&z);
}

typedef struct classifier {
    const char *model, *data, *reference;
    double top1, loss;
    bool raw; // pixels 0..255, whatever the descriptor scales
} classifier;

static const classifier classifiers[] = {
    {"models/resnet20_cifar10.safetensors", "cifar10", "ref/resnet20_test64_logits.npy", 91.50, 0.3842, false},
    {"models/resnet8_mlperftiny_cifar10.safetensors", "cifar10", "ref/resnet8_test64_logits.npy", 88.10, 0.3990, true},
    {"models/mlp_mnist.safetensors", "mnist", "ref/mlp_mnist_test64_logits.npy", 98.19, 0.05603, false},
    {"models/lenet5_mnist.safetensors", "mnist", "ref/lenet5_mnist_test64_logits.npy", 99.48, 0.01795, false},
};

static data_set *open_raw(const char *name) {
    char *path = descriptor(name);
    base_err err = {0};
    data_spec *spec = script_dataset_spec(path, &err);
    if (!spec) fail_msg("%s", err.text);
    spec->scale = 1;
    spec->channels = 0;
    data_set *set = data_open(spec, NULL, &err);
    if (!set) fail_msg("%s", err.text);
    data_spec_free(spec);
    free(path);
    return set;
}

static void check_classifier(const classifier *c) {
    base_err err = {0};
    model *m = open_model(c->model);
    data_set *set = c->raw ? open_raw(c->data) : open_data(c->data);
    data_view *test = part_of(set, DATA_TEST);
    data_batch b = {0};
    assert_true(data_fetch(test, 0, 64, &b, &err));
    check_logits(m, &b, c->reference);
    base_model_row row = measured(m, test);
    if (fabs(row.value - c->top1) > 0.005 || fabs(row.loss - c->loss) > 2e-4)
        fail_msg("%s: top-1 %.3f (%.3f), loss %.5f (%.5f)", c->model, row.value, c->top1, row.loss, c->loss);
    data_batch_free(&b);
    data_view_free(test);
    data_close(set);
    model_close(m);
}

static void test_resnet20(void **state) {
    (void)state, check_classifier(&classifiers[0]);
}
static void test_resnet8(void **state) {
    (void)state, check_classifier(&classifiers[1]);
}
static void test_mlp(void **state) {
    (void)state, check_classifier(&classifiers[2]);
}
static void test_lenet(void **state) {
    (void)state, check_classifier(&classifiers[3]);
}

// ---- the language model ------------------------------------------------------------------------

static void test_stories(void **state) {
    (void)state;
    base_err err = {0};
    model *m = open_model("models/stories260K");
    data_set *set = open_data("tinystories");
    data_view *all = part_of(set, DATA_ALL), *first = data_view_range(all, 0, 100, &err);
    data_batch b = {0};
    assert_true(data_fetch(all, 0, 1, &b, &err));
    b.length = 64; // of one sequence: the first 64 tokens
    check_logits(m, &b, "ref/stories260K_first64tokens_logits.npy");
    base_model_row row = measured(m, first);
    assert_int_equal(row.samples, 32533);
    if (fabs(row.loss - 1.22363) > 1e-4) fail_msg("first 100 stories: loss %.6f", row.loss);
    if (getenv("VISE_SLOW")) {
        row = measured(m, all);
        assert_int_equal(row.samples, 191147);
        if (fabs(row.loss - 1.31554) > 1e-4) fail_msg("all stories: loss %.6f", row.loss);
    }
    data_batch_free(&b);
    data_view_free(all);
    data_view_free(first);
    data_close(set);
    model_close(m);
}

// The vocabulary of llama2.c: int32 longest; then for each token float32 score, int32 length, bytes.
static char *decode(const char *vocabulary, size_t bytes, const int32_t *tokens, int64_t count) {
    base_buf text = {0};
    for (int64_t i = 1; i < count; i++) {
        size_t at = 4;
        int32_t length = 0;
        for (int32_t id = 0; id <= tokens[i]; id++) {
            at += (size_t)length + 4;
            assert_true(at + 4 <= bytes);
            memcpy(&length, vocabulary + at, 4);
            at += 4;
        }
        const char *piece = vocabulary + at;
        int byte = 0;
        if (length == 6 && sscanf(piece, "<0x%02X>", &byte) == 1) {
            char raw = (char)byte;
            base_buf_add(&text, &raw, 1);
        } else if (tokens[i - 1] == 1 && piece[0] == ' ') {
            base_buf_add(&text, piece + 1, (size_t)length - 1); // the space in front that encoding adds
        } else {
            base_buf_add(&text, piece, (size_t)length);
        }
    }
    return text.text;
}

static void test_greedy(void **state) {
    (void)state;
    base_err err = {0};
    model *m = open_model("models/stories260K");
    size_t bytes, want_bytes;
    char *vocabulary = support_read(support_real("models/stories260K/tok512.bin"), &bytes);
    char *want = support_read(support_real("ref/stories260K_greedy256.txt"), &want_bytes);
    int32_t tokens[257] = {1};
    int64_t count = 1;
    if (!engine_generate(m, m->weights, tokens, &count, 257, 0, 1, NULL, &err)) fail_msg("%s", err.text);
    char *text = decode(vocabulary, bytes, tokens, count);
    if (strncmp(text, want, strlen(want)) != 0) fail_msg("got: %s", text);
    assert_true(strlen(text) <= want_bytes + 16);
    free(text);
    free(want);
    free(vocabulary);
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet20), cmocka_unit_test(test_resnet8), cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_lenet),    cmocka_unit_test(test_stories), cmocka_unit_test(test_greedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
