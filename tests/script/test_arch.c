// Architectures: the real models open without a flag, checkpoints made here open through each road (metadata,
// config.json, a .lua file beside, --arch, names and shapes), and files that are wrong say why.
#include "compress/compress.h"
#include "script/arch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/support.h"

static model *open_or_fail(const char *path, const char *arch) {
    base_err err = {0};
    model *m = script_model_open(path, arch, &err);
    if (!m) fail_msg("%s: %s", path, err.text);
    return m;
}

static void expect_error(const char *path, const char *arch, const char *message) {
    base_err err = {0};
    model *m = script_model_open(path, arch, &err);
    if (m) fail_msg("%s as %s opened, expected '%s'", path, arch ? arch : "anything", message);
    if (!strstr(err.text, message)) fail_msg("the error is '%s', expected '%s' in it", err.text, message);
}

static void check_shape(const model_shape *s, const char *expect) {
    char text[48];
    assert_string_equal(model_shape_text(text, s), expect);
}

static void check_layer(const model *m, int k, const char *name, const char *kind, const char *shape) {
    assert_true(k < m->layer_count);
    assert_string_equal(m->layers[k].name, name);
    assert_string_equal(m->layers[k].kind, kind);
    check_shape(&m->layers[k].shape, shape);
}

static model *real(const char *name) {
    char leaf[128];
    snprintf(leaf, sizeof leaf, "models/%s", name);
    const char *path = support_real(leaf);
    if (!path) skip();
    return open_or_fail(path, NULL);
}

// ---- real models -------------------------------------------------------------------------------

static void real_resnet20(void **state) {
    (void)state;
    model *m = real("resnet20_cifar10.safetensors");
    assert_string_equal(m->arch, "resnet-cifar");
    assert_int_equal(m->layer_count, 20);
    check_layer(m, 0, "conv1", "conv2d", "16x3x3x3");
    check_layer(m, 7, "layer2.0.conv1", "conv2d", "32x16x3x3");
    check_layer(m, 19, "linear", "linear", "10x64");
    check_shape(&m->graph->input, "1x3x32x32");
    check_shape(model_graph_shape(m->graph, m->graph->output), "1x10");
    assert_int_equal(m->graph->param_count, m->tensors->count);
    // 40.55 million multiply-accumulates in convolutions and the head (He et al. 2016 count 0.04 G): twice that, and
    // what norms, relus, additions and pooling add.
    double flops = model_graph_flops(m->graph, 1, 0);
    assert_true(flops > 81.1e6 && flops < 83e6);
    model_close(m);
}

static void real_resnet8(void **state) {
    (void)state;
    model *m = real("resnet8_mlperftiny_cifar10.safetensors");
    assert_string_equal(m->arch, "resnet-cifar");
    assert_int_equal(m->layer_count, 10);
    assert_true(model_find_layer(m, "layer3.0.downsample.0") > 0);
    int norms = 0, odd = 0;
    for (int k = 0; k < m->graph->node_count; k++) {
        const model_node *n = &m->graph->nodes[k];
        norms += n->op == MODEL_BATCH_NORM && n->attr[NORM_EPS] == 1e-3;
        odd += n->op == MODEL_CONV2D && n->attr[CONV_PAD_TOP] == 0 && n->attr[CONV_PAD_BOTTOM] == 1;
    }
    assert_int_equal(norms, 7);
    assert_int_equal(odd, 2);
    assert_int_equal(m->graph->param_count, m->tensors->count);
    model_close(m);
}

static void real_small(void **state) {
    (void)state;
    model *m = real("mlp_mnist.safetensors");
    assert_string_equal(m->arch, "mlp");
    assert_int_equal(m->layer_count, 3);
    check_layer(m, 0, "fc1", "linear", "300x784");
    assert_int_equal(m->graph->task, MODEL_CLASSIFY);
    model_close(m);
    m = real("lenet5_mnist.safetensors");
    assert_string_equal(m->arch, "cnn");
    assert_int_equal(m->layer_count, 4);
    check_layer(m, 1, "conv2", "conv2d", "50x20x5x5");
    check_shape(&m->graph->input, "1x1x28x28");
    assert_int_equal(model_weight_count(m), 431080);
    model_close(m);
    m = real("autoencoder_ad01_mlperftiny.safetensors");
    assert_string_equal(m->arch, "mlp");
    assert_int_equal(m->graph->task, MODEL_RECONSTRUCT);
    assert_int_equal(m->layer_count, 10);
    check_layer(m, 9, "fc10", "linear", "640x128");
    assert_true(m->graph->nodes[1].op == MODEL_BATCH_NORM && m->graph->nodes[1].attr[NORM_EPS] == 1e-3);
    assert_string_equal(m->graph->nodes[1].name, "bn1");
    assert_int_equal(m->graph->param_count, m->tensors->count);
    model_close(m);
}

static void real_stories(void **state) {
    (void)state;
    static const char *const paths[] = {"stories260K", "stories260K/model.safetensors"};
    for (int k = 0; k < 2; k++) {
        model *m = real(paths[k]);
        assert_string_equal(m->arch, "llama");
        assert_string_equal(m->name, "stories260K");
        assert_int_equal(m->layer_count, 36); // 5 layers of 7, and the table that is also the head
        check_layer(m, 0, "model.embed_tokens", "embedding", "512x64");
        check_layer(m, 2, "model.layers.0.self_attn.k_proj", "linear", "32x64");
        assert_int_equal(m->graph->context, 512);
        assert_int_equal(m->graph->task, MODEL_LANGUAGE);
        check_shape(model_graph_shape(m->graph, m->graph->output), "1x512x512");
        const model_node *head = &m->graph->nodes[m->graph->node_count - 1];
        assert_int_equal(head->param[0], m->layers[0].weight);
        model_close(m);
    }
}

static void real_silero(void **state) {
    (void)state;
    model *m = real("silero_vad_16k.safetensors");
    assert_null(m->arch);
    assert_null(m->graph);
    assert_int_equal(m->layer_count, 8);
    check_layer(m, 0, "stft_conv.weight", "tensor", "258x1x256");
    static const char *const said[] = {"cnn: ", "gpt2: ", "llama: ", "mlp: ", "resnet-cifar: "};
    for (int k = 0; k < 5; k++) assert_non_null(strstr(m->why_no_arch, said[k]));
    model_close(m);
}

static void real_with_a_flag(void **state) {
    (void)state;
    const char *path = support_real("models/mlp_mnist.safetensors");
    if (!path) skip();
    model *m = open_or_fail(path, "mlp");
    assert_string_equal(m->arch, "mlp");
    model_close(m);
    expect_error(path, "llama", "there is no token table 'model.embed_tokens'");
    expect_error(path, "lama", "did you mean 'llama'");
    expect_error(path, "/nowhere/x.lua", "there is no architecture '/nowhere/x.lua'");
}

// ---- checkpoints made here ---------------------------------------------------------------------

typedef struct made {
    const char *name, *shape;
} made;

// A safetensors file of the given tensors with small values drawn from the name's position.
static const char *make(const char *file, const made *list, size_t count, const char *metadata) {
    model_tensor *items = calloc(count, sizeof *items);
    for (size_t k = 0; k < count; k++) {
        num_tensor *t = &items[k].t;
        size_t values = 1;
        items[k].name = (char *)list[k].name;
        for (const char *s = list[k].shape; *s; s += *s == 'x') {
            t->dim[t->ndim++] = strtoll(s, (char **)&s, 10);
            values *= (size_t)t->dim[t->ndim - 1];
        }
        float *x = malloc((values + 1) * sizeof *x);
        support_fill(x, values, k + 1);
        t->dtype = NUM_F32;
        t->data = x;
    }
    const char *path = support_temp_path(file);
    base_err err;
    bool saved = model_safetensors_save(path, items, (int)count, metadata, NULL, NULL, NULL, &err);
    if (!saved) fail_msg("%s", err.text);
    for (size_t k = 0; k < count; k++) free((void *)items[k].t.data);
    free(items);
    return path;
}
#define MAKE(file, list, meta) make(file, list, sizeof(list) / sizeof(list)[0], meta)

static void write_text(const char *name, const char *text) {
    support_write(support_temp_path(name), text, strlen(text));
}

static const made gpt2_tensors[] = {
    {"wte.weight", "30x64"},
    {"wpe.weight", "16x64"},
    {"h.0.ln_1.weight", "64"},
    {"h.0.ln_1.bias", "64"},
    {"h.0.attn.bias", "1x1x16x16"},
    {"h.0.attn.c_attn.weight", "64x192"},
    {"h.0.attn.c_attn.bias", "192"},
    {"h.0.attn.c_proj.weight", "64x64"},
    {"h.0.attn.c_proj.bias", "64"},
    {"h.0.ln_2.weight", "64"},
    {"h.0.ln_2.bias", "64"},
    {"h.0.mlp.c_fc.weight", "64x256"},
    {"h.0.mlp.c_fc.bias", "256"},
    {"h.0.mlp.c_proj.weight", "256x64"},
    {"h.0.mlp.c_proj.bias", "64"},
    {"ln_f.weight", "64"},
    {"ln_f.bias", "64"},
};

static void gpt2_turns_its_weights(void **state) {
    (void)state;
    base_err err;
    const char *path = MAKE("gpt2.safetensors", gpt2_tensors, NULL);
    model *m = open_or_fail(path, NULL);
    assert_string_equal(m->arch, "gpt2");
    assert_int_equal(m->layer_count, 5);
    check_layer(m, 0, "wte", "embedding", "30x64");
    check_layer(m, 1, "h.0.attn.c_attn", "linear", "192x64");
    check_layer(m, 4, "h.0.mlp.c_proj", "linear", "64x256");
    assert_int_equal(m->layers[4].in, 256);
    check_shape(model_graph_shape(m->graph, m->graph->output), "1x16x30");
    const model_tensor *stored =
        model_tensors_find(m->tensors, "h.0.attn.c_proj.weight"); // square: only the flag tells
    const float *file = stored->t.data, *turned = m->weights[m->layers[2].weight];
    for (int o = 0; o < 64; o++)
        for (int i = 0; i < 64; i++) assert_true(turned[o * 64 + i] == file[i * 64 + o]);
    // Saved again it is stored as it came, and opens to the same values.
    const char *again = support_temp_path("gpt2-again.safetensors");
    assert_true(model_save(m, NULL, again, NULL, NULL, NULL, &err));
    model *n = open_or_fail(again, NULL);
    assert_string_equal(n->arch, "gpt2");
    assert_string_equal(n->config, m->config);
    const model_tensor *restored = model_tensors_find(n->tensors, "h.0.mlp.c_fc.weight");
    assert_int_equal(restored->t.dim[0], 64);
    for (int k = 0; k < m->weight_count; k++)
        assert_memory_equal(m->weights[k], n->weights[k],
                            sizeof(float) * (size_t)model_shape_count(&m->graph->params[k].shape));
    // A tensor put in place by a decoder is in the graph's order already.
    model_tensors *t = model_tensors_open(path, &err);
    float *x = base_big_alloc(64 * 64, sizeof *x, "x", &err);
    for (int k = 0; k < 4096; k++) x[k] = (float)k;
    model_tensors_put(t, "h.0.attn.c_proj.weight", NUM_F32, 2, (int64_t[]){64, 64}, x);
    assert_true(model_matches(m->graph, t, &err));
    model_tensors_close(t);
    model_close(n);
    model_close(m);
}

// A packed file opens with the weights it was made from, bit for bit, also where a plain file stores them turned.
static void packed_files_open(void **state) {
    (void)state;
    base_err err = {0};
    model *m = open_or_fail(MAKE("to-pack.safetensors", gpt2_tensors, NULL), NULL);
    compress_step step = {.kind = compress_step_find("quantize")};
    assert_non_null(step.kind);
    base_arg_defaults(step.kind->args, step.kind->arg_count, step.value);
    assert_true(base_arg_set_number("quantize", step.kind->args, step.kind->arg_count, step.value, "bits", 5, &err));
    compress_rule rule = {.pattern = "attn", .steps = &step, .step_count = 1}; // the mlp stays as it is
    compress_plan plan = {.rules = &rule, .rule_count = 1};
    compress_result *r = NULL;
    if (!compress_run(m, &plan, NULL, &r, &err)) fail_msg("%s", err.text);
    const char *first = support_temp_path("packed.safetensors"),
               *second = support_temp_path("packed-again.safetensors");
    compress_saved saved;
    if (!compress_save(r, first, "test", &saved, &err)) fail_msg("%s", err.text);
    model *n = open_or_fail(first, NULL);
    assert_string_equal(n->arch, "gpt2");
    assert_non_null(n->packed);
    assert_null(m->packed);
    assert_int_equal(model_stored_bytes(n) + n->tensors->header_bytes, saved.file_bytes);
    assert_int_equal(n->layer_count, m->layer_count);
    for (int k = 0; k < m->weight_count; k++) {
        size_t bytes = sizeof(float) * (size_t)model_shape_count(&m->graph->params[k].shape);
        assert_memory_equal(compress_weights(r)[k], n->weights[k], bytes);
    }
    assert_memory_not_equal(m->weights[m->layers[2].weight], n->weights[n->layers[2].weight], 64 * 64 * sizeof(float));
    // Saved as a plain file it is a GPT-2 checkpoint again.
    assert_true(model_save(n, NULL, second, NULL, NULL, NULL, &err));
    model *plain = open_or_fail(second, NULL);
    assert_null(plain->packed);
    assert_int_equal(model_tensors_find(plain->tensors, "h.0.mlp.c_fc.weight")->t.dim[0], 64);
    for (int k = 0; k < m->weight_count; k++)
        assert_memory_equal(plain->weights[k], n->weights[k],
                            sizeof(float) * (size_t)model_shape_count(&m->graph->params[k].shape));
    model_close(plain);
    model_close(n);
    compress_result_free(r);
    model_close(m);
}

static const made llama_tensors[] = {
    {"model.embed_tokens.weight", "20x16"},
    {"model.layers.0.input_layernorm.weight", "16"},
    {"model.layers.0.self_attn.q_proj.weight", "16x16"},
    {"model.layers.0.self_attn.k_proj.weight", "8x16"},
    {"model.layers.0.self_attn.v_proj.weight", "8x16"},
    {"model.layers.0.self_attn.o_proj.weight", "16x16"},
    {"model.layers.0.post_attention_layernorm.weight", "16"},
    {"model.layers.0.mlp.gate_proj.weight", "24x16"},
    {"model.layers.0.mlp.up_proj.weight", "24x16"},
    {"model.layers.0.mlp.down_proj.weight", "16x24"},
    {"model.norm.weight", "16"},
    {"lm_head.weight", "20x16"},
};

static void llama_needs_its_heads(void **state) {
    (void)state;
    const char *path = MAKE("llama.safetensors", llama_tensors, NULL);
    model *m = open_or_fail(path, NULL);
    assert_null(m->graph);
    assert_non_null(strstr(m->why_no_arch, "they do not say how many heads"));
    model_close(m);
    write_text("llama.lua", "return { arch = 'llama', heads = 4, context = 32, vocabulary = 'abcdefghijklmnopqrst' }");
    m = open_or_fail(path, NULL);
    assert_string_equal(m->arch, "llama");
    assert_string_equal(m->vocabulary, "abcdefghijklmnopqrst");
    assert_int_equal(m->layer_count, 9); // an output head of its own
    assert_int_equal(m->graph->context, 32);
    model_close(m);
    write_text("tied.lua", "return { arch = 'llama', heads = 4, tie_word_embeddings = true }");
    m = open_or_fail(path, support_temp_path("tied.lua"));
    assert_int_equal(m->layer_count, 8);
    model_close(m);
    write_text("llama.lua", "return { arch = 'llama', heads = 3 }");
    m = open_or_fail(path, NULL);
    assert_null(m->graph);
    assert_non_null(strstr(m->why_no_arch, "llama: "));
    model_close(m);
    support_write(support_temp_path("llama.lua"), "return {", 8);
    m = open_or_fail(path, NULL);
    assert_null(m->graph);
    assert_non_null(strstr(m->why_no_arch, "llama.lua"));
    model_close(m);
    remove(support_temp_path("llama.lua"));
    write_text("config.json", "{\"model_type\":\"llama\",\"num_attention_heads\":4,\"hidden_act\":\"gelu\"}");
    m = open_or_fail(path, NULL);
    assert_non_null(strstr(m->why_no_arch, "only silu is known"));
    model_close(m);
    write_text("config.json", "{\"model_type\":\"llama\",\"num_attention_heads\":4,\"rms_norm_eps\":1e-6}");
    m = open_or_fail(path, NULL);
    assert_string_equal(m->arch, "llama");
    assert_true(m->graph->nodes[1].attr[NORM_EPS] == 1e-6);
    model_close(m);
    write_text("config.json", "{\"num_attention_heads\":4,");
    m = open_or_fail(path, NULL);
    assert_null(m->graph);
    assert_non_null(strstr(m->why_no_arch, "config.json: "));
    model_close(m);
    remove(support_temp_path("config.json"));
}

static const made chain_tensors[] = {{"a.weight", "8x6"}, {"a.bias", "8"}, {"b.weight", "3x8"}};

static void other_roads(void **state) {
    (void)state;
    const char *path = MAKE("chain.safetensors", chain_tensors, NULL);
    model *m = open_or_fail(path, NULL);
    assert_string_equal(m->arch, "mlp");
    assert_int_equal(m->layers[0].bias >= 0, 1);
    assert_int_equal(m->layers[1].bias, -1);
    model_close(m);
    // A whole architecture beside the file comes before recognition.
    write_text("chain.lua", "return { name = 'own', build = function(g, config)\n"
                            "  local x = g:tanh(g:linear(g:input{6}, 'a', {out = 8}))\n"
                            "  return g:linear(x, 'b', {out = 3, bias = false}) end }");
    m = open_or_fail(path, NULL);
    assert_string_equal(m->arch, "chain");
    assert_int_equal(m->graph->nodes[1].op, MODEL_TANH);
    model_close(m);
    remove(support_temp_path("chain.lua"));
    // A list of layers as config for cnn.
    write_text("list.lua", "return { arch = 'cnn', input = {6}, layers = {\n"
                           "  {'linear', 'a', out = 8}, 'sigmoid', {'linear', 'b', out = 3, bias = false} } }");
    m = open_or_fail(path, support_temp_path("list.lua"));
    assert_string_equal(m->arch, "cnn");
    const char *saved = support_temp_path("list-saved.safetensors");
    base_err err;
    assert_true(model_save(m, NULL, saved, "{\"recipe\":\"none\"}", NULL, NULL, &err));
    model *n = open_or_fail(saved, NULL); // the config comes back from the metadata
    assert_string_equal(n->arch, "cnn");
    assert_string_equal(n->config, m->config);
    assert_int_equal(n->graph->nodes[1].op, MODEL_SIGMOID);
    model_close(n);
    model_close(m);
}

typedef struct bad_arch {
    const char *text, *message;
} bad_arch;

static const bad_arch bad_archs[] = {
    {"return 3", "returns a number, expected a table"},
    {"return { build = 3 }", "names no architecture"},
    {"return { arch = 'nothing' }", "there is no architecture 'nothing'"},
    {"return { arch = function() end }", "a function cannot be stored"},
    {"local x = = 3", "bad.lua"},
    {"while true do end", "bad.lua"},
    {"return { build = function(g) while true do end end }", "bad.lua"},
    {"return { build = function(g) local t = {} for i = 1, 1e9 do t[i] = {i} end end }", "memory"},
    {"return { build = function(g) return io.open('/etc/passwd') end }", "io"},
    {"return { build = function(g) end }", "build returned no value of the graph"},
    {"return { build = function(g) return 7 end }", "build returned no value"},
    {"return { build = function(g) return g:relu(0) end }", "no input yet"},
    {"return { build = function(g) return g:input{} end }", "0 dimensions"},
    {"return { build = function(g) return g:input(6) end }", "expected the shape of one sample"},
    {"return { build = function(g) return g:linaer(g:input{6}, 'a') end }", "the nearest is 'linear'"},
    {"return { build = function(g) return g:linear(g:input{6}, 'a', {ot = 8}) end }", "the nearest is 'out'"},
    {"return { build = function(g) return g:linear(g:input{6}, 'a', {out = 'x'}) end }", "out is a string"},
    {"return { build = function(g) return g:linear(g:input{6}, 'a', {8}) end }", "by name"},
    {"return { build = function(g) return g.linear(g:input{6}, 'a', {out = 8}) end }", "with a colon"},
    {"return { build = function(g) return g:linear(g:input{6}, {out = 8}, 'a') end }", "argument 3 is a string"},
    {"return { build = function(g) return g:conv2d(g:input{6, 4, 4}, 'a', {out = 8, pad = {1, 2}}) end }",
     "pad has 2 values, expected 4"},
    {"return { build = function(g) return g:linear(g:input{6}, 'a', {out = 8}) end }", "has no tensor 'b.weight'"},
    {"return { build = function(g) return g:linear(g:input{7}, 'a', {out = 8}) end }",
     "tensor 'a.weight' has shape 8x6, expected 8x7"},
    {"return { build = function(g) return g:linear(g:input{6}, 'aa', {out = 8}) end }",
     "tensor 'aa.weight' of shape 8x6 is missing"},
    {"return { recognise = function(t) return nil, 'not\\27[2J mine' end, build = function(g) end }", "not?[2J mine"},
    {"return { recognise = function(t) error('deep trouble') end, build = function(g) end }", "deep trouble"},
};

static void bad_architectures_say_why(void **state) {
    (void)state;
    const char *path = MAKE("plain.safetensors", chain_tensors, NULL), *file = support_temp_path("bad.lua");
    for (size_t k = 0; k < sizeof bad_archs / sizeof bad_archs[0]; k++) {
        support_write(file, bad_archs[k].text, strlen(bad_archs[k].text));
        expect_error(path, file, bad_archs[k].message);
    }
}

static void broken_weights_are_errors(void **state) {
    (void)state;
    float x[2] = {1, NAN};
    model_tensor item = {.name = "a.weight", .t = {NUM_F32, 2, {1, 2}, x}};
    const char *path = support_temp_path("broken.safetensors");
    base_err err;
    assert_true(model_safetensors_save(path, &item, 1, NULL, NULL, NULL, NULL, &err));
    expect_error(path, NULL, "value 1 of tensor 'a.weight' is NaN");
    expect_error(support_temp_path("absent.safetensors"), NULL, "absent.safetensors");
}

// ---- new models --------------------------------------------------------------------------------

static model *new_model(const char *arch, const char *config, uint64_t seed, base_err *err) {
    lua_State *L = script_state_new("recipe", SCRIPT_MEMORY, NULL);
    assert_non_null(L);
    bool ran = script_load(L, "config.lua", config, err) && script_pcall(L, 0, 1, 1, err);
    if (!ran) fail_msg("%s", err->text);
    model *m = script_model_new(arch, L, -1, "fresh", seed, err);
    script_state_free(L);
    return m;
}

static double deviation(const model *m, const char *param) {
    int p = model_graph_param(m->graph, param);
    assert_true(p >= 0);
    size_t count = (size_t)model_shape_count(&m->graph->params[p].shape);
    return sqrt(num_sum_squares(m->weights[p], count) / (double)count);
}

static void new_models(void **state) {
    (void)state;
    base_err err = {0};
    static const struct {
        const char *arch, *config;
        int layers;
    } cases[] = {
        {"mlp", "return { input = {1, 8, 8}, hidden = {32, 16}, classes = 10, norm = true }", 3},
        {"cnn",
         "return { input = {1, 8, 8}, layers = { {'conv2d', 'c1', out = 8, kernel = 3, pad = 1}, 'relu', {'max_pool', "
         "kernel = 2}, 'flatten', {'linear', 'fc', out = 10} } }",
         2},
        {"resnet-cifar", "return { depth = 8, classes = 10, channels = 8 }", 8},
        {"llama",
         "return { vocabulary = 'abcdefgh', dim = 32, layers = 2, heads = 4, kv_heads = 2, ffn = 48, context = 16 }",
         15},
        {"gpt2", "return { vocabulary = 'abcdefgh', dim = 32, layers = 2, heads = 4, context = 16 }", 9},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        model *m = new_model(cases[k].arch, cases[k].config, 5, &err);
        if (!m) fail_msg("%s: %s", cases[k].arch, err.text);
        assert_int_equal(m->layer_count, cases[k].layers);
        assert_string_equal(m->name, "fresh");
        assert_non_null(model_mutable(m));
        char leaf[64], hash[33], again[33];
        snprintf(leaf, sizeof leaf, "new-%s.safetensors", cases[k].arch);
        assert_true(model_save(m, NULL, support_temp_path(leaf), NULL, hash, NULL, &err));
        model *opened = open_or_fail(support_temp_path(leaf), NULL);
        assert_string_equal(opened->arch, cases[k].arch);
        assert_string_equal(opened->tensors->hash, hash);
        assert_null(model_mutable(opened));
        assert_true((m->vocabulary == NULL) == (opened->vocabulary == NULL));
        for (int p = 0; p < m->weight_count; p++)
            assert_memory_equal(m->weights[p], opened->weights[p],
                                sizeof(float) * (size_t)model_shape_count(&m->graph->params[p].shape));
        // The same seed gives the same file, another seed another.
        model *twin = new_model(cases[k].arch, cases[k].config, 5, &err),
              *other = new_model(cases[k].arch, cases[k].config, 6, &err);
        assert_true(model_save(twin, NULL, support_temp_path("twin.safetensors"), NULL, again, NULL, &err));
        assert_string_equal(hash, again);
        assert_true(model_save(other, NULL, support_temp_path("twin.safetensors"), NULL, again, NULL, &err));
        assert_string_not_equal(hash, again);
        model_close(twin);
        model_close(other);
        model_close(opened);
        model_close(m);
    }
    model *m = new_model("mlp", "return { input = 400, hidden = {300}, classes = 200 }", 1, &err);
    assert_true(fabs(deviation(m, "fc1.weight") / sqrt(2.0 / 400) - 1) < 0.02); // before a relu
    assert_true(fabs(deviation(m, "fc2.weight") / sqrt(1.0 / 300) - 1) < 0.02);
    assert_true(deviation(m, "fc1.bias") == 0);
    model_close(m);
    m = new_model("llama", "return { entries = 300, dim = 64, layers = 1, heads = 4, ffn = 96, context = 16 }", 1,
                  &err);
    assert_true(fabs(deviation(m, "model.embed_tokens.weight") / 0.02 - 1) < 0.03);
    assert_true(deviation(m, "model.norm.weight") == 1);
    model_close(m);
}

// The same networks without a word of metadata are known by their tensors, and come out node for node.
static void recognised_by_shapes(void **state) {
    (void)state;
    base_err err = {0};
    static const struct {
        const char *arch, *config;
    } cases[] = {
        {"mlp", "return { input = 20, hidden = {32, 16, 24}, classes = 10, norm = true }"},
        {"resnet-cifar", "return { depth = 14, classes = 7, channels = 8 }"},
        {"resnet-cifar",
         "return { depth = 8, classes = 10, projection = 'shortcut', projection_norm = true, bias = true }"},
        {"gpt2", "return { entries = 50, dim = 128, layers = 2, heads = 2, context = 16 }"},
        {"cnn", "return { input = {1, 28, 28}, layers = { {'conv2d', 'c1', out = 3, kernel = 5}, 'relu', {'max_pool'}, "
                "{'conv2d', 'c2', out = 4, kernel = 5}, 'relu', {'max_pool'}, 'flatten', {'linear', 'f', out = 5} } }"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const char *path = support_temp_path("bare.safetensors");
        model *m = new_model(cases[k].arch, cases[k].config, 1, &err);
        if (!m) fail_msg("%s: %s", cases[k].arch, err.text);
        assert_true(model_safetensors_save(path, m->tensors->items, m->tensors->count, NULL, NULL, NULL, NULL, &err));
        // gpt2's created weights lie as [out x in]; a plain file has them turned.
        if (!strcmp(cases[k].arch, "gpt2")) {
            const char *plain = support_temp_path("bare-plain.safetensors");
            assert_true(model_save(m, NULL, plain, NULL, NULL, NULL, &err));
            model_tensors *t = model_tensors_open(plain, &err);
            assert_true(model_safetensors_save(path, t->items, t->count, NULL, NULL, NULL, NULL, &err));
            model_tensors_close(t);
        }
        model *n = open_or_fail(path, NULL);
        if (!n->arch || strcmp(n->arch, cases[k].arch)) fail_msg("%s: %s", cases[k].arch, n->why_no_arch);
        assert_int_equal(n->graph->node_count, m->graph->node_count);
        for (int i = 0; i < m->graph->node_count; i++) {
            assert_int_equal(n->graph->nodes[i].op, m->graph->nodes[i].op);
            assert_memory_equal(n->graph->nodes[i].attr, m->graph->nodes[i].attr, sizeof m->graph->nodes[i].attr);
        }
        model_close(n);
        model_close(m);
    }
}

static void new_models_refused(void **state) {
    (void)state;
    static const struct {
        const char *arch, *config, *message;
    } cases[] = {
        {"mlp", "return { hidden = {3}, classes = 2 }", "input is nil"},
        {"mlp", "return { input = 4, hidden = {3}, classes = 2.5 }", "classes is 2.5"},
        {"mlp", "return { input = 4, hidden = {3}, classes = 2, activation = 'rleu' }", "no activation 'rleu'"},
        {"llama", "return { dim = 32 }", "num_attention_heads is nil, expected a whole number"},
        {"cnn", "return { input = {1, 8, 8} }", "layers is missing"},
        {"cnn", "return { input = {1, 8, 8}, layers = {{'conv3d'}} }",
         "there is no op 'conv3d'; the nearest is 'conv2d'"},
        {"resnet-cifar", "return { depth = 9, classes = 10 }", "expected 6n + 2"},
        {"mpl", "return {}", "there is no architecture 'mpl'"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        base_err err = {0};
        model *m = new_model(cases[k].arch, cases[k].config, 1, &err);
        if (m) fail_msg("%s %s was accepted", cases[k].arch, cases[k].config);
        if (!strstr(err.text, cases[k].message)) fail_msg("'%s' has no '%s'", err.text, cases[k].message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_resnet20),
        cmocka_unit_test(real_resnet8),
        cmocka_unit_test(real_small),
        cmocka_unit_test(real_stories),
        cmocka_unit_test(real_silero),
        cmocka_unit_test(real_with_a_flag),
        cmocka_unit_test(gpt2_turns_its_weights),
        cmocka_unit_test(packed_files_open),
        cmocka_unit_test(llama_needs_its_heads),
        cmocka_unit_test(other_roads),
        cmocka_unit_test(bad_architectures_say_why),
        cmocka_unit_test(broken_weights_are_errors),
        cmocka_unit_test(new_models),
        cmocka_unit_test(recognised_by_shapes),
        cmocka_unit_test(new_models_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
