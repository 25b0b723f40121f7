// Architectures against others' numbers: every real model, opened without a flag, gives PyTorch's logits within 1e-3,
// and a small GPT-2 those of straight loops in float64.
#include "engine/engine.h"
#include "script/script.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/support.h"

enum { IMAGES = 64, TOKENS = 64 };

static const char *need(const char *leaf) {
    const char *path = support_real(leaf);
    if (!path) skip();
    return path;
}

// Runs the model on the batch and compares with the float32 array of the reference file.
static void compare(const char *model_leaf, const char *reference_leaf, const data_batch *batch) {
    base_err err = {0};
    num_npz reference;
    const char *path = need(model_leaf);
    if (!num_npz_open(&reference, need(reference_leaf), &err)) fail_msg("%s", err.text);
    model *m = script_model_open(path, NULL, &err);
    if (!m) fail_msg("%s", err.text);
    assert_non_null(m->graph);
    const num_tensor *t = &reference.items[0].tensor;
    assert_int_equal(t->dtype, NUM_F32);
    size_t count = 1;
    for (int d = 0; d < t->ndim; d++) count *= (size_t)t->dim[d];
    const model_shape *s = model_graph_shape(m->graph, m->graph->output);
    assert_int_equal(t->dim[t->ndim - 1], s->dim[s->ndim - 1]);
    float *out = calloc(count, sizeof *out);
    if (!engine_forward(m, m->weights, batch, out, NULL, &err)) fail_msg("%s", err.text);
    double difference = support_max_diff(out, t->data, count);
    print_message("%s: largest difference %.2g over %zu logits\n", model_leaf, difference, count);
    assert_true(difference <= 1e-3);
    free(out);
    model_close(m);
    num_npz_close(&reference);
}

// `count` float images of `values` bytes each: (byte * scale - mean[channel]) / std[channel].
static float *images_of(const uint8_t *bytes, int64_t values, int channels, double scale, const double *mean,
                        const double *std) {
    float *x = malloc((size_t)(IMAGES * values) * sizeof *x);
    for (int64_t k = 0; k < IMAGES * values; k++) {
        int64_t c = k % values / (values / channels);
        x[k] = (float)((bytes[k] * scale - (mean ? mean[c] : 0)) / (std ? std[c] : 1));
    }
    return x;
}

static void mnist(void **state) {
    (void)state;
    base_err err = {0};
    size_t bytes;
    uint8_t *file = num_gunzip(need("datasets/mnist/t10k-images-idx3-ubyte.gz"), 1 << 30, &bytes, &err);
    if (!file) fail_msg("%s", err.text);
    data_batch batch = {.kind = DATA_FEATURES, .count = IMAGES};
    batch.x = images_of(file + 16, 784, 1, 1 / 255.0, NULL, NULL);
    compare("models/mlp_mnist.safetensors", "ref/mlp_mnist_test64_logits.npy", &batch);
    compare("models/lenet5_mnist.safetensors", "ref/lenet5_mnist_test64_logits.npy", &batch);
    free(batch.x);
    base_big_free(file);
}

static void cifar10(void **state) {
    (void)state;
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    base_err err = {0};
    num_npz images;
    if (!num_npz_open(&images, need("datasets/cifar10/test1k_images_u8_nchw.npy"), &err)) fail_msg("%s", err.text);
    const uint8_t *bytes = images.items[0].tensor.data;
    data_batch batch = {.kind = DATA_FEATURES, .count = IMAGES};
    batch.x = images_of(bytes, 3072, 3, 1 / 255.0, mean, std);
    compare("models/resnet20_cifar10.safetensors", "ref/resnet20_test64_logits.npy", &batch);
    free(batch.x);
    batch.x = images_of(bytes, 3072, 3, 1, NULL, NULL);
    compare("models/resnet8_mlperftiny_cifar10.safetensors", "ref/resnet8_test64_logits.npy", &batch);
    free(batch.x);
    num_npz_close(&images);
}

static void stories(void **state) {
    (void)state;
    base_err err = {0};
    num_npz file;
    if (!num_npz_open(&file, need("datasets/tinystories_val/tok512_u16.npy"), &err)) fail_msg("%s", err.text);
    int32_t tokens[TOKENS], lengths[1] = {TOKENS};
    for (int k = 0; k < TOKENS; k++) tokens[k] = ((const uint16_t *)file.items[0].tensor.data)[k];
    num_npz_close(&file);
    data_batch batch = {.kind = DATA_TOKENS, .count = 1, .length = TOKENS, .tokens = tokens, .lengths = lengths};
    compare("models/stories260K", "ref/stories260K_first64tokens_logits.npy", &batch);
}

// ---- GPT-2 in straight loops -------------------------------------------------------------------
// One block of width D with HEADS heads on T tokens, in float64, reading the weights as the file stores them: [in x
// out].

enum { D = 32, HEADS = 4, FFN = 128, WORDS = 20, T = 7 };

static const struct {
    const char *name;
    int rows, columns; // columns 0: a vector
} gpt2_tensors[] = {
    {"transformer.wte.weight", WORDS, D},
    {"transformer.wpe.weight", 9, D},
    {"transformer.h.0.ln_1.weight", D, 0},
    {"transformer.h.0.ln_1.bias", D, 0},
    {"transformer.h.0.attn.c_attn.weight", D, 3 * D},
    {"transformer.h.0.attn.c_attn.bias", 3 * D, 0},
    {"transformer.h.0.attn.c_proj.weight", D, D},
    {"transformer.h.0.attn.c_proj.bias", D, 0},
    {"transformer.h.0.ln_2.weight", D, 0},
    {"transformer.h.0.ln_2.bias", D, 0},
    {"transformer.h.0.mlp.c_fc.weight", D, FFN},
    {"transformer.h.0.mlp.c_fc.bias", FFN, 0},
    {"transformer.h.0.mlp.c_proj.weight", FFN, D},
    {"transformer.h.0.mlp.c_proj.bias", D, 0},
    {"transformer.ln_f.weight", D, 0},
    {"transformer.ln_f.bias", D, 0},
};
enum { GPT2_TENSORS = sizeof gpt2_tensors / sizeof gpt2_tensors[0] };
enum { WTE, WPE, LN1W, LN1B, QKVW, QKVB, PROJW, PROJB, LN2W, LN2B, FCW, FCB, OUTW, OUTB, LNFW, LNFB };

static void norm(const double *x, const float *w, const float *b, double *y) {
    double mean = 0, var = 0;
    for (int k = 0; k < D; k++) mean += x[k] / D;
    for (int k = 0; k < D; k++) var += (x[k] - mean) * (x[k] - mean) / D;
    for (int k = 0; k < D; k++) y[k] = (x[k] - mean) / sqrt(var + 1e-5) * w[k] + b[k];
}

static void conv1d(const double *x, int in, const float *w, const float *b, int out, double *y) {
    for (int o = 0; o < out; o++) {
        y[o] = b[o];
        for (int i = 0; i < in; i++) y[o] += x[i] * w[i * out + o];
    }
}

// Attention of position t over positions 0..t; q, k, v are the thirds of each row.
static void attend(const double qkv[T][3 * D], int t, double *y) {
    for (int h = 0; h < HEADS; h++) {
        double p[T], sum = 0;
        int at = h * (D / HEADS);
        for (int s = 0; s <= t; s++) {
            double dot = 0;
            for (int k = 0; k < D / HEADS; k++) dot += qkv[t][at + k] * qkv[s][D + at + k];
            p[s] = exp(dot / sqrt(D / HEADS));
            sum += p[s];
        }
        for (int k = 0; k < D / HEADS; k++) {
            y[at + k] = 0;
            for (int s = 0; s <= t; s++) y[at + k] += p[s] / sum * qkv[s][2 * D + at + k];
        }
    }
}

static void gpt2_by_hand(float *const *w, const int32_t *tokens, double logits[T][WORDS]) {
    double x[T][D], y[D], z[FFN], qkv[T][3 * D];
    for (int t = 0; t < T; t++) {
        for (int k = 0; k < D; k++) x[t][k] = w[WTE][tokens[t] * D + k] + w[WPE][t * D + k];
        norm(x[t], w[LN1W], w[LN1B], y);
        conv1d(y, D, w[QKVW], w[QKVB], 3 * D, qkv[t]);
    }
    for (int t = 0; t < T; t++) {
        double a[D];
        attend(qkv, t, a);
        conv1d(a, D, w[PROJW], w[PROJB], D, y);
        for (int k = 0; k < D; k++) x[t][k] += y[k];
        norm(x[t], w[LN2W], w[LN2B], y);
        conv1d(y, D, w[FCW], w[FCB], FFN, z);
        for (int k = 0; k < FFN; k++)
            z[k] = 0.5 * z[k] * (1 + tanh(0.7978845608028654 * (z[k] + 0.044715 * z[k] * z[k] * z[k])));
        conv1d(z, FFN, w[OUTW], w[OUTB], D, y);
        for (int k = 0; k < D; k++) x[t][k] += y[k];
        norm(x[t], w[LNFW], w[LNFB], y);
        for (int o = 0; o < WORDS; o++) {
            logits[t][o] = 0;
            for (int k = 0; k < D; k++) logits[t][o] += y[k] * w[WTE][o * D + k];
        }
    }
}

static void gpt2(void **state) {
    (void)state;
    base_err err = {0};
    model_tensor items[GPT2_TENSORS];
    float *w[GPT2_TENSORS];
    for (int k = 0; k < GPT2_TENSORS; k++) {
        int rows = gpt2_tensors[k].rows, columns = gpt2_tensors[k].columns;
        size_t count = (size_t)rows * (size_t)(columns ? columns : 1);
        w[k] = malloc(count * sizeof(float));
        support_fill(w[k], count, (uint64_t)k + 1);
        items[k] = (model_tensor){.name = (char *)gpt2_tensors[k].name,
                                  .t = {NUM_F32, columns ? 2 : 1, {rows, columns}, w[k]}};
    }
    char path[512];
    const char *dir = support_temp_path("gpt2"), *config = "{\"model_type\":\"gpt2\",\"n_head\":4}";
    assert_true(base_mkdirs(dir, &err));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_true(model_safetensors_save(path, items, GPT2_TENSORS, NULL, NULL, NULL, NULL, &err));
    snprintf(path, sizeof path, "%s/config.json", dir);
    support_write(path, config, strlen(config));
    model *m = script_model_open(dir, NULL, &err);
    if (!m) fail_msg("%s", err.text);
    assert_string_equal(m->arch, "gpt2");
    int32_t tokens[T] = {3, 1, 19, 3, 0, 7, 12}, lengths[1] = {T};
    data_batch batch = {.kind = DATA_TOKENS, .count = 1, .length = T, .tokens = tokens, .lengths = lengths};
    float out[T * WORDS];
    double expect[T][WORDS], worst = 0, largest = 0;
    if (!engine_forward(m, m->weights, &batch, out, NULL, &err)) fail_msg("%s", err.text);
    gpt2_by_hand(w, tokens, expect);
    for (int k = 0; k < T * WORDS; k++) {
        worst = fmax(worst, fabs(out[k] - expect[k / WORDS][k % WORDS]));
        largest = fmax(largest, fabs(out[k]));
    }
    print_message("gpt2: largest difference %.2g, largest logit %.2g\n", worst, largest);
    assert_true(worst < 1e-4 && largest > 0.1);
    for (int k = 0; k < GPT2_TENSORS; k++) free(w[k]);
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(mnist), cmocka_unit_test(cifar10), cmocka_unit_test(stories),
                                       cmocka_unit_test(gpt2)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
