// Every op's kernels against float64 definitions and central differences (see tests/support/op_check.c), at sizes that
// do not divide by any vector or block length. An op of the table without a case here fails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/op_check.h"

static const op_case cases[] = {
    {MODEL_LINEAR, "out=7", "3x5"},
    {MODEL_LINEAR, "out=19 bias=0", "2x3x37"},
    {MODEL_LINEAR, "out=33", "1x70"},
    {MODEL_LINEAR, "out=5", "11x1"},
    {MODEL_LINEAR, "out=1 bias=0", "1x1"},

    {MODEL_CONV2D, "out=5 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "2x3x7x9"},
    {MODEL_CONV2D, "out=8 bias=0 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "2x4x16x16"},
    {MODEL_CONV2D, "out=9 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "1x3x5x32"},
    {MODEL_CONV2D, "out=17 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "3x8x8x8"},
    {MODEL_CONV2D, "out=6 stride_h=2 stride_w=2 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "2x3x8x8"},
    {MODEL_CONV2D, "out=12 stride_h=2 stride_w=2 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "1x4x32x32"},
    {MODEL_CONV2D, "out=4 kernel_h=5 kernel_w=3 stride_h=3 stride_w=2 pad_top=2 pad_right=1", "2x3x11x10"},
    {MODEL_CONV2D, "out=3 kernel_h=2 kernel_w=4 dilation_h=3 dilation_w=2 pad_left=3 pad_bottom=4", "1x2x9x13"},
    {MODEL_CONV2D, "out=3 dilation_h=2 dilation_w=3 stride_h=2 stride_w=2 pad_top=2 pad_left=3", "1x2x12x17"},
    {MODEL_CONV2D, "out=6 groups=3 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "2x9x6x5"},
    {MODEL_CONV2D, "out=7 groups=7 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "2x7x9x17"},
    {MODEL_CONV2D, "out=10 groups=5 stride_h=2 stride_w=2 bias=0", "1x5x9x9"},
    {MODEL_CONV2D, "out=20 kernel_h=1 kernel_w=1", "2x13x4x5"},
    {MODEL_CONV2D, "out=9 kernel_h=1 kernel_w=1 bias=0", "2x6x8x6"},
    {MODEL_CONV2D, "out=9 kernel_h=1 kernel_w=1 stride_h=2 stride_w=2", "2x6x7x9"},
    {MODEL_CONV2D, "out=6 kernel_h=4 kernel_w=4", "3x5x4x4"},
    {MODEL_CONV2D, "out=5 kernel_h=5 kernel_w=5 pad_top=4 pad_left=4 pad_bottom=4 pad_right=4", "1x2x2x3"},
    {MODEL_CONV2D, "out=1 bias=0", "1x1x3x3"},
    {MODEL_CONV2D, "out=10 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "1x80x5x7"},
    {MODEL_CONV2D, "out=3 kernel_h=1 kernel_w=1", "1x1170x4x5"},
    {MODEL_CONV2D, "out=2 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "1x130x4x5"},
    {MODEL_CONV2D, "out=2 stride_h=4 stride_w=3 kernel_h=2 kernel_w=2", "2x3x17x14"},
    {MODEL_CONV2D, "out=2 stride_h=1 stride_w=3 pad_top=1 pad_left=1 pad_bottom=2 pad_right=3", "2x3x9x14"},
    {MODEL_CONV2D, "out=2 stride_h=3 stride_w=2 kernel_w=5 pad_left=3 pad_bottom=2 dilation_w=2", "2x3x13x40"},
    {MODEL_CONV2D, "out=2 kernel_h=1 kernel_w=1 pad_left=2 pad_top=1", "2x3x6x6"},
    {MODEL_CONV2D, "out=2 kernel_w=7 pad_left=3 pad_right=3 pad_top=1 pad_bottom=1", "2x2x9x5"},
    {MODEL_CONV2D, "out=2 pad_left=6 pad_right=6 pad_top=7 pad_bottom=7", "1x2x3x4"},

    {MODEL_BATCH_NORM, "", "3x5"},
    {MODEL_BATCH_NORM, "affine=0", "2x3x4x5"},
    {MODEL_BATCH_NORM, "training=1", "4x3x5x7"},
    {MODEL_BATCH_NORM, "momentum=0.3 eps=0.001 training=1", "5x4"},
    {MODEL_BATCH_NORM, "affine=0 training=1", "2x2x3x17"},
    {MODEL_LAYER_NORM, "", "3x19"},
    {MODEL_LAYER_NORM, "affine=0", "2x3x35"},
    {MODEL_LAYER_NORM, "eps=0.1", "2x2x3x2x5"},
    {MODEL_RMS_NORM, "", "3x19"},
    {MODEL_RMS_NORM, "affine=0 eps=1e-6", "2x3x33"},

    {MODEL_EMBEDDING, "count=7 width=5", "3x11"},
    {MODEL_EMBEDDING, "count=2 width=17", "1x1"},
    {MODEL_POSITION, "count=9 width=5", "3x7x5"},
    {MODEL_POSITION, "count=4 width=3", "2x4x3"},

    {MODEL_RELU, "", "3x17"},
    {MODEL_RELU, "", "2x3x5x7"},
    {MODEL_GELU, "", "3x17"},
    {MODEL_GELU, "", "1x5x33"},
    {MODEL_GELU_TANH, "", "3x17"},
    {MODEL_GELU_TANH, "", "1x5x33"},
    {MODEL_SILU, "", "3x17"},
    {MODEL_SILU, "", "1x5x33"},
    {MODEL_TANH, "", "3x17"},
    {MODEL_TANH, "", "1x5x33"},
    {MODEL_SIGMOID, "", "3x17"},
    {MODEL_SIGMOID, "", "1x5x33"},
    {MODEL_SOFTMAX, "axis=-1", "3x17"},
    {MODEL_SOFTMAX, "axis=1", "2x5x3x7"},
    {MODEL_SOFTMAX, "axis=2", "2x3x33x2"},
    {MODEL_SOFTMAX, "axis=1", "2x1"},

    {MODEL_ADD, "", "2x3x17 2x3x17"},
    {MODEL_ADD, "", "2x3x5x7 2x3x1x1"},
    {MODEL_ADD, "", "2x1x5 2x3x1 2x3x5"},
    {MODEL_ADD, "", "2x3x1 2x3x4"},
    {MODEL_MUL, "", "2x3x17 2x3x17"},
    {MODEL_MUL, "", "2x3x5x7 2x3x1x1"},
    {MODEL_MUL, "", "2x1x5 2x3x1 2x3x5"},
    {MODEL_MUL, "", "2x3x1 2x3x4"},
    {MODEL_MUL, "", "2x3x1 2x1x1"},

    {MODEL_CONCAT, "axis=1", "2x3x4 2x1x4 2x5x4"},
    {MODEL_CONCAT, "axis=-1", "2x3x4 2x3x7"},
    {MODEL_SPLIT, "axis=1 parts=3", "2x6x5"},
    {MODEL_SPLIT, "axis=-1 parts=2", "3x2x14"},
    {MODEL_RESHAPE, "shape_0=-1 shape_count=1", "2x3x5"},
    {MODEL_RESHAPE, "shape_0=5 shape_1=6 shape_count=2", "2x3x10"},
    {MODEL_TRANSPOSE, "a=1 b=2", "2x3x5"},
    {MODEL_TRANSPOSE, "a=-1 b=1", "2x3x4x5"},
    {MODEL_TRANSPOSE, "a=1 b=2", "2x3x4x5"},
    {MODEL_SLICE, "axis=1 start=1 end=4", "2x5x3"},
    {MODEL_SLICE, "axis=-1 start=-6 end=-1 step=2", "2x3x7"},
    {MODEL_SLICE, "axis=2 step=2", "2x3x8x5"},
    {MODEL_PAD, "axis=1 before=2 after=1 value=1.5", "2x3x4"},
    {MODEL_PAD, "axis=-1 after=3", "2x3x4"},

    {MODEL_MAX_POOL, "", "2x3x6x8"},
    {MODEL_MAX_POOL, "kernel_h=3 kernel_w=3 stride_h=2 stride_w=2 pad_top=1 pad_left=1", "2x2x9x7"},
    {MODEL_MAX_POOL, "kernel_h=3 kernel_w=2 stride_h=1 stride_w=1 pad_bottom=2 pad_right=1", "1x2x5x6"},
    {MODEL_AVG_POOL, "", "2x3x6x9"},
    {MODEL_AVG_POOL, "kernel_h=3 kernel_w=3 stride_h=2 stride_w=2 pad_top=1 pad_left=1", "2x2x9x7"},
    {MODEL_AVG_POOL, "kernel_h=3 kernel_w=3 stride_h=2 stride_w=2 pad_right=2 pad_bottom=1 count_pad=0", "2x2x8x7"},
    {MODEL_GLOBAL_POOL, "", "2x3x5x7"},
    {MODEL_GLOBAL_POOL, "max=1", "2x3x5x7"},

    {MODEL_ROPE, "head_dim=6", "2x5x12"},
    {MODEL_ROPE, "head_dim=4 interleaved=1 base=500", "2x7x12"},
    {MODEL_ROPE, "head_dim=2", "1x70x2"},
    {MODEL_ATTENTION, "heads=2", "2x5x6 2x5x6 2x5x6"},
    {MODEL_ATTENTION, "heads=4 kv_heads=2 causal=0", "2x7x20 2x7x10 2x7x10"},
    {MODEL_ATTENTION, "heads=3 kv_heads=1 scale=0.7", "1x9x9 1x9x3 1x9x3"},
    {MODEL_ATTENTION, "heads=1", "1x135x3 1x135x3 1x135x3"},
    {MODEL_ATTENTION, "heads=1 causal=0", "1x150x2 1x150x2 1x150x2"},

    {MODEL_CROSS_ENTROPY, "", "6x5 6"},
    {MODEL_CROSS_ENTROPY, "smoothing=0.1", "2x4x17 2x4"},
    {MODEL_MSE, "", "3x5 3x5"},
    {MODEL_MSE, "", "2x3x7 2x3x7"},
};
enum { CASES = sizeof cases / sizeof *cases };

static void test_every_op_has_cases(void **state) {
    (void)state;
    for (int op = 0; op < MODEL_OPS; op++) {
        int count = 0;
        for (int i = 0; i < CASES; i++) count += cases[i].op == (model_op)op;
        if (count < 2) fail_msg("op '%s' has %d cases here, expected at least 2", model_ops[op].name, count);
    }
}

static void test_op(void **state) {
    const model_op op = (model_op)(intptr_t)*state;
    for (int i = 0; i < CASES; i++)
        if (cases[i].op == op) op_check(&cases[i]);
}

int main(void) {
    struct CMUnitTest tests[MODEL_OPS + 1];
    tests[MODEL_OPS] = (struct CMUnitTest)cmocka_unit_test(test_every_op_has_cases);
    for (int op = 0; op < MODEL_OPS; op++)
        tests[op] = (struct CMUnitTest){model_ops[op].name, test_op, NULL, NULL, (void *)(intptr_t)op};
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
