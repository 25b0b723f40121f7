// The op table and graphs: the shape of every op with inputs that fit and inputs that do not.
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static model_graph *start(data_kind kind, const char *dims) {
    model_graph *g = model_graph_new();
    int64_t dim[4];
    int ndim = 0;
    base_err err;
    for (const char *s = dims; *s; s += *s == 'x') dim[ndim++] = strtoll(s, (char **)&s, 10);
    assert_true(model_graph_input(g, kind, ndim, dim, &err));
    return g;
}

// Attributes by name: "out=16 kernel_h=3"; the rest from the op table.
static void attributes(model_op op, const char *text, double *attr) {
    const model_op_info *info = &model_ops[op];
    for (int k = 0; k < info->attr_count; k++) {
        attr[k] = info->attrs[k].def;
        char key[40];
        snprintf(key, sizeof key, "%s=", info->attrs[k].name);
        for (const char *at = text; (at = strstr(at, key)); at++)
            if (at == text || at[-1] == ' ') attr[k] = strtod(at + strlen(key), NULL);
    }
}

// Adds `op` to values given by their shapes; values other than the input are made by slicing it with pad and reshape.
static bool add(model_graph *g, const char *op, const char *attrs, int in_count, const int *in, int *out,
                base_err *err) {
    double attr[MODEL_MAX_ATTR] = {0};
    int which = model_op_find(op);
    assert_true(which >= 0);
    attributes((model_op)which, attrs, attr);
    char name[32];
    snprintf(name, sizeof name, "%s_%d", op, g->node_count);
    return model_graph_add(g, (model_op)which, name, in_count, in, attr, NULL, out, err);
}

typedef struct shape_case {
    const char *op, *input, *attrs, *expect; // expect: a shape, or "!part of the message"
} shape_case;

static const shape_case one_input[] = {
    {"linear", "20", "out=5", "1x5"},
    {"linear", "7x20", "out=5", "1x7x5"},
    {"linear", "3x8x8", "out=5", "!flatten images first"},
    {"linear", "20", "", "!out is 0, expected a whole number from 1"},
    {"linear", "20", "out=2.5", "!out is 2.5"},
    {"conv2d", "3x32x32", "out=16 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "1x16x32x32"},
    {"conv2d", "3x32x32", "out=16 stride_h=2 stride_w=2 pad_bottom=1 pad_right=1", "1x16x16x16"},
    {"conv2d", "3x9x7", "out=4 kernel_h=5 kernel_w=1 stride_h=2", "1x4x3x7"},
    {"conv2d", "3x9x9", "out=4 dilation_h=2 dilation_w=3", "1x4x5x3"},
    {"conv2d", "6x8x8", "out=12 groups=6", "1x12x6x6"},
    {"conv2d", "6x8x8", "out=12 groups=4", "!4 groups must divide both the 6 channels"},
    {"conv2d", "6x2x8", "out=12", "!its kernel covers 3 values of the height, but the input with padding has 2"},
    {"conv2d", "6x8x8", "out=12 dilation_w=8", "!its kernel covers 17 values of the width"},
    {"conv2d", "20", "out=12", "!its input is 1x20, expected an image"},
    {"conv2d", "3x8x8", "out=4 stride_h=0", "!stride_h is 0"},
    {"batch_norm", "16x8x8", "", "1x16x8x8"},
    {"batch_norm", "16", "", "1x16"},
    {"batch_norm", "7x16", "", "!expected [N, features] or [N, C, H, W]"},
    {"layer_norm", "7x16", "", "1x7x16"},
    {"rms_norm", "7x16", "eps=2", "!eps is 2, expected a number from 0 to 1"},
    {"rms_norm", "7x16", "", "1x7x16"},
    {"embedding", "7", "count=50 width=8", "1x7x8"},
    {"embedding", "7x3", "count=50 width=8", "!expected token ids [N, T]"},
    {"position", "7x8", "count=9 width=8", "1x7x8"},
    {"position", "7x8", "count=6 width=8", "!it has 6 positions, but the sequence is 7 long"},
    {"position", "7x8", "count=9 width=4", "!its rows are 4 wide"},
    {"relu", "3x4x5", "", "1x3x4x5"},
    {"gelu", "3", "", "1x3"},
    {"gelu_tanh", "3x4", "", "1x3x4"},
    {"silu", "3x4", "", "1x3x4"},
    {"tanh", "3x4", "", "1x3x4"},
    {"sigmoid", "3x4", "", "1x3x4"},
    {"softmax", "3x4", "axis=-1", "1x3x4"},
    {"softmax", "3x4", "axis=0", "!axis 0 of 1x3x4: expected 1 to 2"},
    {"softmax", "3x4", "axis=-3", "!axis -3"},
    {"split", "7x24", "parts=3", "1x7x8"},
    {"split", "7x24", "parts=5", "!axis 2 has 24 values, which 5 equal parts do not divide"},
    {"split", "7x24", "parts=9", "!parts is 9"},
    {"reshape", "3x4x5", "", "1x60"},
    {"reshape", "3x4x5", "shape_0=0 shape_1=-1 shape_count=2", "1x3x20"},
    {"reshape", "3x4x5", "shape_0=7 shape_1=-1 shape_count=2", "!do not fit"},
    {"reshape", "3x4x5", "shape_0=-1 shape_1=-1 shape_count=2", "!only one dimension can be -1"},
    {"reshape", "60", "shape_0=1e9 shape_1=1e9 shape_2=1e9 shape_count=3", "!too large"},
    {"reshape", "60", "shape_0=60 shape_1=0 shape_count=2", "!dimension 2 is 0"},
    {"transpose", "3x4x5", "a=1 b=-1", "1x5x4x3"},
    {"transpose", "3x4x5", "a=0 b=1", "!axis 0"},
    {"slice", "3x32x32", "axis=2 step=2", "1x3x16x32"},
    {"slice", "10", "start=-3", "1x3"},
    {"slice", "10", "start=2 end=9 step=3", "1x3"},
    {"slice", "10", "start=5 end=5", "!are none"},
    {"pad", "16x8x8", "axis=1 before=8 after=8", "1x32x8x8"},
    {"pad", "16x8x8", "axis=1 before=-8", "!before is -8"},
    {"pad", "16x8x8", "axis=4 before=1", "!axis 4"},
    {"max_pool", "3x9x8", "", "1x3x4x4"},
    {"max_pool", "3x9x8", "kernel_h=3 kernel_w=3 stride_h=2 stride_w=2 pad_top=1 pad_left=1", "1x3x4x4"},
    {"max_pool", "3x9x8", "pad_top=2", "!must be smaller than the 2x2 kernel"},
    {"avg_pool", "3x9x8", "kernel_h=9 kernel_w=8", "1x3x1x1"},
    {"avg_pool", "3x9x8", "kernel_h=10", "!its kernel covers 10 values"},
    {"global_pool", "3x9x8", "max=1", "1x3"},
    {"global_pool", "9", "", "!expected an image"},
    {"rope", "7x64", "head_dim=8", "1x7x64"},
    {"rope", "7x64", "head_dim=7", "!head_dim 7 must be even"},
    {"rope", "7x64", "head_dim=24", "!no whole number of heads"},
    {"rope", "64", "head_dim=8", "!expected a sequence"},
};

static void shapes_of_one_input(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof one_input / sizeof one_input[0]; k++) {
        const shape_case *c = &one_input[k];
        bool tokens = !strcmp(c->op, "embedding") && !strchr(c->input, 'x');
        model_graph *g = start(tokens ? DATA_TOKENS : DATA_FEATURES, c->input);
        base_err err = {0};
        int out[MODEL_MAX_OUT], in = 0, nodes = g->node_count;
        bool ok = add(g, c->op, c->attrs, 1, &in, out, &err);
        char text[48] = "";
        if (ok) model_shape_text(text, model_graph_shape(g, out[0]));
        bool right = *c->expect == '!' ? !ok && strstr(err.text, c->expect + 1) && strstr(err.text, c->op)
                                       : ok && !strcmp(text, c->expect);
        if (!right)
            fail_msg("%s of %s with '%s': got '%s%s', expected %s", c->op, c->input, c->attrs, text, err.text,
                     c->expect);
        assert_int_equal(g->node_count, nodes + ok); // a refused node leaves nothing behind
        model_graph_free(g);
    }
}

// add, mul, concat, attention and the losses: values are cut from one input of [T, 24] features.
static void shapes_of_many_inputs(void **state) {
    (void)state;
    base_err err;
    model_graph *g = start(DATA_FEATURES, "6x24");
    int in = 0, half, row, sum, v, q[3];
    assert_true(add(g, "slice", "axis=2 end=12", 1, &in, &half, &err));
    assert_true(add(g, "slice", "axis=1 end=1", 1, &in, &row, &err));
    assert_true(add(g, "add", "", 2, (int[]){in, row}, &sum, &err));
    assert_int_equal(model_graph_shape(g, sum)->dim[1], 6);
    assert_true(add(g, "mul", "", 2, (int[]){row, in}, &sum, &err));
    assert_int_equal(model_graph_shape(g, sum)->dim[1], 6);
    assert_false(add(g, "add", "", 2, (int[]){in, half}, &v, &err));
    assert_non_null(strstr(err.text, "its inputs are 1x6x24 and 1x6x12"));
    assert_false(add(g, "add", "", 1, &in, &v, &err));
    assert_non_null(strstr(err.text, "it has 1 inputs, expected 2 to 8"));
    assert_false(add(g, "relu", "", 1, (int[]){99}, &v, &err));
    assert_non_null(strstr(err.text, "value 99"));
    assert_true(add(g, "concat", "axis=-1", 3, (int[]){half, in, half}, &v, &err));
    assert_int_equal(model_graph_shape(g, v)->dim[2], 48);
    assert_false(add(g, "concat", "axis=1", 2, (int[]){half, in}, &v, &err));
    assert_non_null(strstr(err.text, "except along axis 1"));
    assert_true(add(g, "attention", "heads=6 kv_heads=3", 3, (int[]){in, half, half}, &v, &err));
    assert_int_equal(model_graph_shape(g, v)->dim[2], 24);
    assert_false(add(g, "attention", "heads=6 kv_heads=4", 3, (int[]){in, half, half}, &v, &err));
    assert_non_null(strstr(err.text, "multiple of the 4 kv_heads"));
    assert_false(add(g, "attention", "heads=6 kv_heads=2", 3, (int[]){in, half, half}, &v, &err));
    assert_non_null(strstr(err.text, "k and v need 8 features"));
    assert_true(add(g, "split", "parts=2 axis=1", 1, &in, q, &err));
    assert_int_equal(q[1], q[0] + 1);
    assert_int_equal(model_graph_shape(g, q[1])->dim[1], 3);
    assert_true(add(g, "mse", "", 2, (int[]){q[0], q[1]}, &v, &err));
    assert_int_equal(model_graph_shape(g, v)->ndim, 1);
    assert_false(add(g, "mse", "", 2, (int[]){in, q[1]}, &v, &err));
    assert_false(add(g, "cross_entropy", "", 2, (int[]){in, in}, &v, &err));
    assert_non_null(strstr(err.text, "one target for each row"));
    model_graph_free(g);
}

static void parameters(void **state) {
    (void)state;
    base_err err;
    model_graph *g = start(DATA_FEATURES, "8x6x6");
    int in = 0, c, n, f, out;
    assert_true(add(g, "conv2d", "out=12 groups=4 bias=0 kernel_w=1", 1, &in, &c, &err));
    assert_true(add(g, "batch_norm", "affine=0", 1, &c, &n, &err));
    assert_true(add(g, "reshape", "", 1, &n, &f, &err));
    assert_true(add(g, "linear", "out=10", 1, &f, &out, &err));
    const model_node *conv = &g->nodes[0], *norm = &g->nodes[1], *linear = &g->nodes[3];
    char text[48];
    assert_int_equal(conv->param_count, 1);
    assert_string_equal(model_shape_text(text, &g->params[conv->param[0]].shape), "12x2x3x1");
    assert_string_equal(g->params[conv->param[0]].name, "conv2d_0.weight");
    assert_int_equal(norm->param_count, 4);
    assert_int_equal(norm->param[0], -1);
    assert_string_equal(g->params[norm->param[2]].name, "batch_norm_1.running_mean");
    assert_true(g->params[norm->param[3]].buffer);
    assert_int_equal(linear->param_count, 2);
    assert_string_equal(model_shape_text(text, &g->params[linear->param[0]].shape), "10x288");
    // 12 channels of 4x6 places, 2*3 taps each, a multiplication and an addition; then norm and linear
    assert_true(model_graph_flops(g, 2, 0) == 2.0 * (12 * 24 * 12 + 288 * 2 + 10 * (2 * 288 + 1)));
    model_graph_free(g);
}

static void tied_parameters(void **state) {
    (void)state;
    base_err err;
    model_graph *g = start(DATA_TOKENS, "5");
    int in = 0, e, out;
    double attr[MODEL_MAX_ATTR] = {0};
    assert_true(add(g, "embedding", "count=30 width=8", 1, &in, &e, &err));
    attributes(MODEL_LINEAR, "out=30 bias=0", attr);
    assert_false(model_graph_add(g, MODEL_LINEAR, "head", 1, &e, attr, "nothing.weight", &out, &err));
    assert_non_null(strstr(err.text, "nothing.weight"));
    attr[LINEAR_OUT] = 31;
    assert_false(model_graph_add(g, MODEL_LINEAR, "head", 1, &e, attr, "embedding_0.weight", &out, &err));
    assert_non_null(strstr(err.text, "of shape 30x8, but needs a weight of shape 31x8"));
    attr[LINEAR_OUT] = 30;
    assert_true(model_graph_add(g, MODEL_LINEAR, "head", 1, &e, attr, "embedding_0.weight", &out, &err));
    assert_int_equal(g->param_count, 1);
    assert_false(model_graph_add(g, MODEL_LINEAR, "head", 1, &e, attr, NULL, &out, &err));
    assert_non_null(strstr(err.text, "two nodes are named 'head'"));
    g->task = MODEL_LANGUAGE;
    model *m = model_create(g, "test", "tied", 3, &err);
    assert_non_null(m);
    assert_int_equal(m->layer_count, 1);
    assert_string_equal(m->layers[0].kind, "embedding");
    assert_int_equal(model_weight_count(m), 240);
    model_close(m);
}

static void shapes_of_a_batch(void **state) {
    (void)state;
    base_err err;
    model_graph *g = start(DATA_TOKENS, "9");
    int in = 0, e;
    assert_true(add(g, "embedding", "count=30 width=8", 1, &in, &e, &err));
    model_shape s[2];
    assert_true(model_graph_shapes(g, 4, 7, s, &err));
    assert_int_equal(s[1].dim[0], 4);
    assert_int_equal(s[1].dim[1], 7);
    assert_false(model_graph_shapes(g, 4, 10, s, &err));
    assert_non_null(strstr(err.text, "the model's context, 9"));
    assert_false(model_graph_shapes(g, 0, 7, s, &err));
    model_graph_free(g);
}

static void table_is_complete(void **state) {
    (void)state;
    for (int k = 0; k < MODEL_OPS; k++) {
        const model_op_info *info = &model_ops[k];
        assert_non_null(info->name);
        assert_true(strlen(info->help) > 4);
        assert_int_equal(model_op_find(info->name), k);
        assert_true(info->attr_count <= MODEL_MAX_ATTR && info->max_in <= MODEL_MAX_IN && info->min_in >= 1);
        assert_non_null(info->infer);
        assert_non_null(info->param_shapes);
        assert_non_null(info->flops);
        for (int a = 0; a < info->attr_count; a++) {
            assert_true(strlen(info->attrs[a].help) > 4);
            assert_true(info->attrs[a].min <= info->attrs[a].max);
        }
    }
    assert_int_equal(model_op_find("conv3d"), -1);
}

static void bad_inputs(void **state) {
    (void)state;
    base_err err;
    int out, in = 0;
    double attr[MODEL_MAX_ATTR] = {0};
    model_graph *g = model_graph_new();
    assert_false(model_graph_add(g, MODEL_RELU, "r", 1, &in, attr, NULL, &out, &err));
    assert_non_null(strstr(err.text, "no input yet"));
    assert_false(model_graph_input(g, DATA_FEATURES, 0, NULL, &err));
    assert_false(model_graph_input(g, DATA_FEATURES, 2, (int64_t[]){3, -1}, &err));
    assert_false(model_graph_input(g, DATA_FEATURES, 3, (int64_t[]){1 << 20, 1 << 20, 1 << 20}, &err));
    assert_false(model_graph_input(g, DATA_TOKENS, 2, (int64_t[]){3, 4}, &err));
    assert_true(model_graph_input(g, DATA_FEATURES, 2, (int64_t[]){3, 4}, &err));
    assert_false(model_graph_input(g, DATA_FEATURES, 2, (int64_t[]){3, 4}, &err));
    assert_false(model_graph_add(g, MODEL_RELU, "", 1, &in, attr, NULL, &out, &err));
    model_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_of_one_input), cmocka_unit_test(shapes_of_many_inputs),
        cmocka_unit_test(parameters),          cmocka_unit_test(tied_parameters),
        cmocka_unit_test(shapes_of_a_batch),   cmocka_unit_test(table_is_complete),
        cmocka_unit_test(bad_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
