// nets: small networks and datasets that the engine's test programs share. Header-only, so that each test program
// takes what it needs.
#ifndef VISE_TESTS_NETS_H
#define VISE_TESTS_NETS_H

#include "engine/engine.h"
#include "tests/support/support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NETS_UNUSED __attribute__((unused))

// Adds a node with attributes by position "16 3 3" (the rest from the op table); returns its first value.
NETS_UNUSED static int nets_add(model_graph *g, const char *op, const char *name, int a, int b, const char *attrs,
                                const char *tied) {
    int which = model_op_find(op);
    assert_true(which >= 0);
    double attr[MODEL_MAX_ATTR] = {0};
    for (int k = 0; k < model_ops[which].attr_count; k++) attr[k] = model_ops[which].attrs[k].def;
    char *at = (char *)attrs;
    for (int k = 0; at && *at && k < MODEL_MAX_ATTR; k++) attr[k] = strtod(at, &at);
    int in[2] = {a, b}, out[MODEL_MAX_OUT];
    base_err err = {0};
    if (!model_graph_add(g, (model_op)which, name, b < 0 ? 1 : 2, in, attr, tied, out, &err)) fail_msg("%s", err.text);
    return out[0];
}

NETS_UNUSED static model_graph *nets_start(data_kind kind, int ndim, int64_t a, int64_t b, int64_t c) {
    model_graph *g = model_graph_new();
    int64_t dim[3] = {a, b, c};
    base_err err = {0};
    if (!model_graph_input(g, kind, ndim, dim, &err)) fail_msg("%s", err.text);
    return g;
}

NETS_UNUSED static model *nets_create(model_graph *g, int output, model_task task, uint64_t seed) {
    base_err err = {0};
    g->output = output;
    g->task = task;
    model *m = model_create(g, "test", "test", seed, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

// Images 3x12x10 to 5 classes: convolutions (one grouped), batch norm, a residual, pooling, linear.
NETS_UNUSED static model *nets_images(uint64_t seed) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, 12, 10);
    int x = nets_add(g, "conv2d", "stem", 0, -1, "8 3 3 1 1 1 1 1 1 1 1 1 0", NULL);
    x = nets_add(g, "batch_norm", "norm", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "act", x, -1, NULL, NULL);
    int y = nets_add(g, "conv2d", "grouped", x, -1, "8 3 3 1 1 1 1 1 1 1 1 2 1", NULL);
    x = nets_add(g, "add", "sum", x, y, NULL, NULL);
    x = nets_add(g, "conv2d", "down", x, -1, "12 3 3 2 2 0 0 1 1 1 1 1 1", NULL);
    x = nets_add(g, "gelu", "act2", x, -1, NULL, NULL);
    x = nets_add(g, "global_pool", "pool", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "5", NULL);
    return nets_create(g, x, MODEL_CLASSIFY, seed);
}

// A small causal language model over 23 tokens with the embedding tied to the head; context 16.
NETS_UNUSED static model *nets_language(uint64_t seed) {
    model_graph *g = nets_start(DATA_TOKENS, 1, 16, 0, 0);
    int x = nets_add(g, "embedding", "embed", 0, -1, "23 12", NULL);
    int n = nets_add(g, "rms_norm", "norm1", x, -1, NULL, NULL);
    int q = nets_add(g, "linear", "q", n, -1, "12 0", NULL), k = nets_add(g, "linear", "k", n, -1, "6 0", NULL);
    int v = nets_add(g, "linear", "v", n, -1, "6 0", NULL);
    q = nets_add(g, "rope", "rope_q", q, -1, "6", NULL);
    k = nets_add(g, "rope", "rope_k", k, -1, "6", NULL);
    double attr[MODEL_MAX_ATTR] = {2, 1, 1, 0};
    int in[3] = {q, k, v}, out[1];
    base_err err = {0};
    if (!model_graph_add(g, MODEL_ATTENTION, "attention", 3, in, attr, NULL, out, &err)) fail_msg("%s", err.text);
    int a = nets_add(g, "linear", "o", out[0], -1, "12 0", NULL);
    x = nets_add(g, "add", "sum1", x, a, NULL, NULL);
    n = nets_add(g, "rms_norm", "norm2", x, -1, NULL, NULL);
    int up = nets_add(g, "linear", "up", n, -1, "20 0", NULL),
        gate = nets_add(g, "linear", "gate", n, -1, "20 0", NULL);
    gate = nets_add(g, "silu", "silu", gate, -1, NULL, NULL);
    up = nets_add(g, "mul", "gated", gate, up, NULL, NULL);
    a = nets_add(g, "linear", "down", up, -1, "12 0", NULL);
    x = nets_add(g, "add", "sum2", x, a, NULL, NULL);
    x = nets_add(g, "rms_norm", "norm3", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "23 0", "embed.weight");
    return nets_create(g, x, MODEL_LANGUAGE, seed);
}

// A batch of made-up samples for either network; sequences are of full length t.
NETS_UNUSED static data_batch nets_batch(const model *m, int64_t n, int64_t t, uint64_t seed) {
    const model_graph *g = m->graph;
    const model_shape *out = model_graph_shape(g, g->output);
    num_rng rng = num_rng_seed(seed, 1);
    data_batch b = {.kind = g->input_kind, .count = n};
    base_err err = {0};
    bool tokens = g->input_kind == DATA_TOKENS;
    int64_t labels = tokens ? n * t : n;
    if (tokens) {
        b.length = t;
        b.tokens = base_big_alloc((size_t)labels, sizeof *b.tokens, "tokens", &err);
        b.lengths = base_big_alloc((size_t)n, sizeof *b.lengths, "lengths", &err);
        for (int64_t i = 0; i < n; i++) b.lengths[i] = (int32_t)t;
        for (int64_t i = 0; i < labels; i++) b.tokens[i] = (int32_t)num_rng_below(&rng, 23);
    } else {
        size_t count = (size_t)(n * model_shape_count(&g->input));
        b.x = base_big_alloc(count, sizeof *b.x, "images", &err);
        for (size_t i = 0; i < count; i++) b.x[i] = (float)num_rng_normal(&rng);
    }
    b.labels = base_big_alloc((size_t)labels, sizeof *b.labels, "labels", &err);
    for (int64_t i = 0; i < labels; i++) b.labels[i] = (int32_t)num_rng_below(&rng, (uint32_t)out->dim[out->ndim - 1]);
    return b;
}

NETS_UNUSED static void nets_batch_free(data_batch *b) {
    base_big_free(b->x);
    base_big_free(b->tokens);
    base_big_free(b->labels);
    base_big_free(b->lengths);
}

// Images (uint8 npy, 3x12x10) or sequences of differing lengths (u16 npy with a start token) as a dataset.
NETS_UNUSED static data_set *nets_data(bool tokens, int64_t count, uint64_t seed) {
    num_rng rng = num_rng_seed(seed, 2);
    data_spec *spec = data_spec_new();
    base_err err = {0};
    spec->name = base_strdup("made");
    spec->folder = base_strdup(support_temp_dir());
    spec->sources = base_calloc(1, sizeof *spec->sources);
    spec->source_count = 1;
    char *path = base_join(spec->folder, "x.npy"), *labels = base_join(spec->folder, "y.npy");
    spec->sources[0] = (data_source){
        .format = base_strdup(tokens ? "tokens" : "npy"), .path = base_strdup("x.npy"), .part = DATA_TEST};
    if (tokens) {
        uint16_t *ids = base_calloc((size_t)count * 17, sizeof *ids);
        int64_t used = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t length = 3 + num_rng_below(&rng, 14); // start token and 2..15 more
            ids[used++] = 1;
            for (int64_t k = 1; k < length; k++) ids[used++] = (uint16_t)(2 + num_rng_below(&rng, 21));
        }
        num_tensor t = {NUM_U16, 1, {used}, ids};
        assert_true(num_npy_save(path, &t, &err));
        free(ids);
        spec->bos = 1;
        spec->vocabulary_size = 23;
    } else {
        uint8_t *x = base_calloc((size_t)count * 360, 1), *y = base_calloc((size_t)count, 1);
        for (int64_t i = 0; i < count * 360; i++) x[i] = (uint8_t)num_rng_below(&rng, 256);
        for (int64_t i = 0; i < count; i++) y[i] = (uint8_t)num_rng_below(&rng, 5);
        num_tensor tx = {NUM_U8, 4, {count, 3, 12, 10}, x}, ty = {NUM_U8, 1, {count}, y};
        assert_true(num_npy_save(path, &tx, &err) && num_npy_save(labels, &ty, &err));
        free(x);
        free(y);
        spec->sources[0].labels = base_strdup("y.npy");
        spec->scale = 1.0 / 64;
        spec->channels = 1;
        spec->mean[0] = 2;
        spec->std[0] = 1;
        spec->classes = 5;
    }
    data_set *set = data_open(spec, NULL, &err);
    if (!set) fail_msg("%s", err.text);
    data_spec_free(spec);
    free(path);
    free(labels);
    return set;
}

#endif
