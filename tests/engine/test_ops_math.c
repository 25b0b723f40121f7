// The vector functions against libm in float64 over their whole ranges, in units in the last place; the ends and what
// is not finite; and tokens outside a table.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/kernels.h"
#include "engine/vecmath.h"

static float run_exp(float x) {
    return vec_exp(x);
}
static float run_tanh(float x) {
    return vec_tanh(x);
}
static float run_sigmoid(float x) {
    return vec_sigmoid(x);
}
static float run_erf(float x) {
    return vec_erf(x);
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

typedef struct function {
    const char *name;
    float (*fast)(float);
    double (*exact)(double);
    float low, high;
    double ulp;  // largest error, in units in the last place of the result...
    bool of_one; // ...or of 1
} function;

static const function functions[] = {
    {"exp", run_exp, exp, -103.0f, 88.7f, 2, false},
    {"tanh", run_tanh, tanh, -12.0f, 12.0f, 2, false},
    {"sigmoid", run_sigmoid, sigmoid, -87.0f, 40.0f, 2.5, false},
    {"erf", run_erf, erf, -6.0f, 6.0f, 2.5, true},
};

static double spacing(double y) {
    const float a = fabsf((float)y);
    return (double)nextafterf(a, INFINITY) - (double)a;
}

static void check(const function *f, float x) {
    const double want = f->exact((double)x), unit = f->of_one ? 0x1p-24 : spacing(want);
    const double error = fabs((double)f->fast(x) - want) / unit;
    if (error > f->ulp)
        fail_msg("%s(%.9g) = %.9g, expected %.12g: %.2f units off", f->name, (double)x, (double)f->fast(x), want,
                 error);
}

static void test_accuracy(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const function *f = &functions[i];
        for (int k = 0; k <= 400000; k++) check(f, f->low + (f->high - f->low) * (float)k / 400000.0f);
        for (float x = 1e-30f; x < 1; x *= 1.01f) {
            check(f, x);
            check(f, -x);
        }
    }
}

static void test_ends(void **state) {
    (void)state;
    assert_true(isinf(vec_exp(100)) && isinf(vec_exp(INFINITY)));
    assert_true(vec_exp(-120) == 0 && vec_exp(-INFINITY) == 0 && vec_exp(0) == 1);
    assert_true(vec_tanh(INFINITY) == 1 && vec_tanh(-INFINITY) == -1 && vec_tanh(0) == 0);
    assert_true(vec_sigmoid(INFINITY) == 1 && vec_sigmoid(-INFINITY) == 0 && vec_sigmoid(0) == 0.5f);
    assert_true(vec_erf(INFINITY) == 1 && vec_erf(-INFINITY) == -1 && vec_erf(0) == 0);
    assert_true(isnan(vec_exp(NAN)) && isnan(vec_tanh(NAN)) && isnan(vec_sigmoid(NAN)) && isnan(vec_erf(NAN)));
}

// Every activation keeps NaN, so that the executor can name the node that made it.
static void test_nan_stays(void **state) {
    (void)state;
    static const model_op ops[] = {MODEL_RELU, MODEL_GELU,    MODEL_GELU_TANH, MODEL_SILU,
                                   MODEL_TANH, MODEL_SIGMOID, MODEL_SOFTMAX,   MODEL_MAX_POOL};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const model_node node = {.op = ops[i], .attr = {2, 2}};
        const model_shape shape = {4, {1, 1, 4, 8}};
        model_shape out = {4, {1, 1, 4, 8}};
        if (ops[i] == MODEL_MAX_POOL) out = (model_shape){4, {1, 1, 2, 4}};
        float x[32] = {0}, y[32] = {0}, scratch[64];
        bool seen = false;
        x[17] = NAN;
        const engine_args a = {
            .node = &node, .in_shape = &shape, .out_shape = &out, .in = {x}, .out = {y}, .scratch = scratch};
        engine_kernels[ops[i]].forward(&a);
        for (int k = 0; k < 32; k++) seen = seen || isnan(y[k]);
        if (!seen) fail_msg("%s hides NaN", model_ops[ops[i]].name);
    }
}

static void test_token_outside(void **state) {
    (void)state;
    const model_node node = {.op = MODEL_EMBEDDING, .attr = {3, 2}};
    const model_shape in = {2, {1, 4}}, out = {3, {1, 4, 2}};
    const int32_t tokens[4] = {2, 3, -1, 0};
    const float table[6] = {1, 2, 3, 4, 5, 6};
    float y[8];
    const engine_args a = {
        .node = &node, .in_shape = &in, .out_shape = &out, .tokens = tokens, .param = {table}, .out = {y}};
    engine_kernels[MODEL_EMBEDDING].forward(&a);
    assert_true(y[0] == 5 && y[1] == 6 && y[6] == 1 && y[7] == 2);
    for (int i = 2; i < 6; i++) assert_true(isnan(y[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_token_outside),
    };
    return cmocka_run_group_tests_name("ops_math", tests, NULL, NULL);
}
