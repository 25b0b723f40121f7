// Solvers of quantize: hqq's real zero points, obq, and coordinate descent after any of them - masks, groups, odd
// shapes, and that the output error only falls.
#include "compress/solvers/gptq.h"
#include "compress/solvers/hqq.h"
#include "tests/compress/compress_support.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {8, 9}, {16, 36}, {40, 24}, {1, 65}, {33, 1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double error_of(const float *w, int64_t rows, int64_t cols, const char *steps, const float *h,
                       const float *under) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps);
    double e = output_error(w, out, rows, cols, under);
    if (!isfinite(e)) fail_msg("%s: the error is %g", steps, e);
    free(out);
    layer_close(&l);
    return e;
}

static const char *const solvers[] = {
    "solver=rtn bits=3",
    "solver=rtn bits=2 sym=0 group=5",
    "solver=rtn bits=1",
    "solver=rtn dtype=ternary granularity=tensor",
    "solver=gptq bits=3",
    "solver=gptq bits=2 group=8 order=act",
    "solver=gptq bits=2 group=8 order=group",
    "solver=gptq bits=4 granularity=tensor",
    "solver=rtn dtype=ternary range=median",
    "solver=obq bits=3",
    "solver=obq bits=2 group=5 sym=0",
    "solver=obq bits=3 granularity=tensor",
    "solver=hqq bits=4 group=8",
    "solver=hqq bits=2",
    "solver=hqq bits=3 granularity=tensor",
};
enum { SOLVERS = sizeof solvers / sizeof *solvers };

// Descent never raises the output error, with and without a mask, and more passes never undo fewer.
static void descent_only_lowers(void **state) {
    (void)state;
    int better = 0;
    for (int s = 0; s < SHAPES; s++)
        for (int k = 0; k < SOLVERS; k++)
            for (int masked = 0; masked < 2; masked++) {
                int64_t rows = shapes[s][0], cols = shapes[s][1];
                float *w = random_matrix(rows, cols, 70 + (uint64_t)s), *h = random_gram(cols, 5);
                const char *first = masked ? "prune sparsity=0.4; " : "";
                double last = INFINITY;
                for (int passes = 0; passes <= 4; passes += 1 + passes) {
                    char text[192];
                    if (passes)
                        snprintf(text, sizeof text, "%squantize %s refine=cd passes=%d", first, solvers[k], passes);
                    else
                        snprintf(text, sizeof text, "%squantize %s", first, solvers[k]);
                    double e = error_of(w, rows, cols, text, h, h);
                    // A plain rtn or hqq step aims at the kept weights alone, the refined one at the outputs: both are
                    // measured by the outputs.
                    if (e > last * (1 + 1e-4) + 1e-9)
                        fail_msg("%s on %lldx%lld: %g after %g", text, (long long)rows, (long long)cols, e, last);
                    better += e < last * 0.999 && passes;
                    last = e;
                }
                free(w);
                free(h);
            }
    assert_true(better > 20);
}

// obq <= gptq <= rtn in output error on correlated inputs.
static void better_solvers_are_better(void **state) {
    (void)state;
    float *w = random_matrix(40, 36, 3), *h = random_gram(36, 5);
    for (int bits = 2; bits <= 4; bits++) {
        double e[3];
        static const char *const names[] = {"rtn", "gptq", "obq"};
        for (int k = 0; k < 3; k++) {
            char text[96];
            snprintf(text, sizeof text, "quantize solver=%s bits=%d range=minmax", names[k], bits);
            e[k] = error_of(w, 40, 36, text, h, h);
        }
        if (!(e[1] < e[0] && e[2] < e[0] && e[2] < e[1] * 1.05))
            fail_msg("%d bits: rtn %g, gptq %g, obq %g", bits, e[0], e[1], e[2]);
    }
    free(w);
    free(h);
}

// More bits, never a larger error.
static void more_bits_are_better(void **state) {
    (void)state;
    float *w = random_matrix(24, 36, 3), *h = random_gram(36, 5);
    static const char *const forms[] = {"solver=hqq bits=%d group=12", "solver=obq bits=%d",
                                        "solver=gptq bits=%d refine=cd"};
    for (int k = 0; k < 3; k++) {
        double last = INFINITY;
        for (int bits = 2; bits <= 8; bits++) {
            char form[96], text[96];
            snprintf(form, sizeof form, "quantize %s", forms[k]);
            char *at = strstr(form, "%d");
            snprintf(text, sizeof text, "%.*s%d%s", (int)(at - form), form, bits, at + 2);
            double e = error_of(w, 24, 36, text, h, h);
            if (e > last) fail_msg("%s: %g after %g", text, e, last);
            last = e;
        }
    }
    free(w);
    free(h);
}

// hqq's term stores real zeros, packs and reads back; constant and all-zero groups, groups far from zero, masks.
static void hqq_stores_real_zeros(void **state) {
    (void)state;
    float w[4 * 8] = {0};
    for (int i = 0; i < 8; i++) {
        w[8 + i] = 3;                        // constant
        w[16 + i] = 100 + 0.001f * (float)i; // far from zero: its zero point does not fit float16
        w[24 + i] = 0.3f * (float)i - 1 + 0.01f * (float)(i * i);
    }
    layer l = open_layer(w, 4, 8, NULL);
    float *out = apply_steps(&l, "quantize solver=hqq bits=4 scale=f32");
    const term *t = l.terms[0];
    assert_int_equal(t->attr[UNIFORM_SCHEME], UNIFORM_REAL);
    assert_int_equal(t->blob[UNIFORM_ZEROS].count, 4);
    assert_int_equal(t->blob[UNIFORM_ZEROS].dtype, NUM_F32);
    base_err err = {0};
    assert_true(t->kind->check(t, &err));
    for (int i = 0; i < 8; i++) {
        assert_true(fabsf(out[i]) < 1e-3f);
        assert_true(fabsf(out[8 + i] - 3) < 1e-2f);
        assert_true(fabsf(out[16 + i] - 100) < 0.02f);
        assert_true(fabsf(out[24 + i] - w[24 + i]) < 0.12f);
    }
    free(out);
    layer_close(&l);
    float *r = random_matrix(6, 10, 8);
    l = open_layer(r, 6, 10, NULL);
    out = apply_steps(&l, "quantize solver=hqq bits=4 group=5; prune sparsity=0.5; quantize solver=hqq bits=3 group=5");
    assert_int_equal(l.container->child[0]->blob[UNIFORM_ZEROS].dtype, NUM_F16);
    assert_int_equal(l.container->child_count, 2);
    free(out);
    layer_close(&l);
    free(r);
}

// The authors' guards: a range of at most 1e-4 is one constant, a scale is at least 1 / 20000.
static void hqq_guards_small_ranges(void **state) {
    (void)state;
    float x[2 * 8];
    for (int i = 0; i < 8; i++) {
        x[i] = 0.25f + 1e-5f * (float)i; // range 7e-5
        x[8 + i] = 2e-4f * (float)i;     // range 1.4e-3, finer than 8 bits of 1 / 20000 tell
    }
    grid_code codes[16] = {1};
    float scales[2] = {0}, zeros[2] = {0};
    base_err err = {0};
    assert_true(hqq_solve(x, 2, 8, 8, &(hqq_options){0.7, 10, 0}, codes, scales, zeros, NULL, &err));
    for (int i = 0; i < 8; i++) assert_int_equal(codes[i], 0);
    assert_true(scales[0] == 1 && zeros[0] == -0.25f);
    assert_true(scales[1] == 1 / 2e4f);
    assert_int_equal(codes[15], 28); // 1.4e-3 in steps of 1 / 20000
}

// The zero that minimises a sparse norm does better on that norm than the ends of the range.
static void hqq_beats_its_start(void **state) {
    (void)state;
    float *w = random_matrix(16, 64, 8);
    for (int i = 0; i < 16; i++) w[i * 64 + 5] *= 6; // outliers
    double sum[2];
    for (int k = 0; k < 2; k++) {
        layer l = open_layer(w, 16, 64, NULL);
        float *out = apply_steps(&l, k ? "quantize solver=hqq bits=3" : "quantize solver=hqq bits=3 turns=0");
        sum[k] = 0;
        for (int i = 0; i < 16 * 64; i++) sum[k] += pow(fabs((double)out[i] - (double)w[i]), 0.7);
        free(out);
        layer_close(&l);
    }
    assert_true(sum[1] < sum[0]);
    free(w);
}

static void obq_says_what_is_too_large(void **state) {
    (void)state;
    base_err err = {0};
    int64_t cols = 2049;
    float *w = calloc((size_t)cols, sizeof *w), *h = calloc((size_t)(cols * cols), sizeof *h);
    layer l = open_layer(w, 1, cols, h);
    compress_step s = make_step("quantize solver=obq");
    assert_false(s.kind->apply(&s, &l, &err));
    assert_non_null(strstr(err.text, "2048"));
    layer_close(&l);
    free(w);
    free(h);
}

static void hqq_refuses_another_grid(void **state) {
    (void)state;
    base_err err = {0};
    compress_step s = make_step("quantize solver=hqq");
    const compress_step_kind *k = s.kind;
    assert_true(base_arg_set_number("quantize", k->args, k->arg_count, s.value, "sym", 1, &err));
    assert_false(k->check(&s, &err));
    assert_non_null(strstr(err.text, "sym"));
}

// Two convolution groups give what two layers give; an embedding needs only its rows; inputs that never fire.
static void groups_embeddings_dead_inputs(void **state) {
    (void)state;
    float *w = random_matrix(8, 9, 4), *h = malloc(2 * 81 * sizeof *h), *a = random_gram(9, 5), *b = random_gram(9, 6);
    for (int i = 0; i < 9; i++) a[2 * 9 + i] = a[i * 9 + 2] = 0;
    memcpy(h, a, 81 * sizeof *h);
    memcpy(h + 81, b, 81 * sizeof *h);
    float counts[8] = {0, 0.5f, 0, 0.25f, 0, 0, 0.25f, 0};
    static const char *const steps[] = {"quantize solver=obq bits=3 group=4", "quantize solver=hqq bits=3 refine=cd",
                                        "quantize solver=gptq bits=2 refine=cd"};
    for (int k = 0; k < 3; k++) {
        layer l = open_layer(w, 8, 9, h), first = open_layer(w, 4, 9, a), second = open_layer(w + 36, 4, 9, b);
        l.groups = 2;
        float *all = apply_steps(&l, steps[k]), *x = apply_steps(&first, steps[k]), *y = apply_steps(&second, steps[k]);
        if (k != 1) { // hqq's stop rule looks at the whole tensor
            assert_memory_equal(all, x, 36 * sizeof *x);
            assert_memory_equal(all + 36, y, 36 * sizeof *y);
        }
        free(all), free(x), free(y);
        layer_close(&l), layer_close(&first), layer_close(&second);
        l = open_layer(w, 8, 9, counts);
        l.diagonal = true;
        free(apply_steps(&l, steps[k]));
        layer_close(&l);
    }
    free(w), free(h), free(a), free(b);
}

// order=group is gptq on columns put in that order, whose groups are then runs again: the same codes, stored where the
// columns stood.
static void group_order_keeps_groups(void **state) {
    (void)state;
    enum { R = 9, GROUP = 8 };
    static const int64_t widths[] = {24, 29, 5};
    for (int k = 0; k < 3; k++) {
        int64_t n = widths[k], groups = (n + GROUP - 1) / GROUP, order[32];
        float *w = random_matrix(R, n, 40 + (uint64_t)k), *h = random_gram(n, 41), scales[R * 4], zeros[R * 4];
        for (int64_t i = 0; i < n * n; i++) h[i] *= (float)(1 + i / n * 5 % 7) * (float)(1 + i % n * 5 % 7);
        if (k == 0)
            for (int64_t i = 0; i < n; i++) h[3 * n + i] = h[i * n + 3] = 0; // a dead input
        grid_code codes[R * 32], other[R * 32];
        base_err err = {0};
        solver_problem p = {.layer = "test", .r = w, .h = h, .rows = R, .cols = n, .groups = 1, .codes = codes};
        p.grid = (grid_spec){.bits = 3, .scheme = UNIFORM_ASYM, .group = GROUP, .scale = NUM_F32};
        p.scales = scales, p.zeros = zeros;
        assert_true(gptq_solve(&p, &(gptq_options){.damp = 0.01, .block = 16, .group_order = true}, order, &err));
        // Groups stay together, the short one last; the largest diagonals never rise.
        double last = INFINITY;
        for (int64_t g = 0; g < groups; g++) {
            int64_t from = g * GROUP, here = n - from < GROUP ? n - from : GROUP;
            for (int64_t i = 0; i < here; i++) {
                assert_int_equal(order[from + i] / GROUP, order[from] / GROUP);
                if (i && h[order[from + i - 1] * (n + 1)] > 0)
                    assert_true(h[order[from + i] * (n + 1)] <= h[order[from + i - 1] * (n + 1)]);
            }
            if (here < GROUP) break;
            assert_true((double)h[order[from] * (n + 1)] <= last);
            last = (double)h[order[from] * (n + 1)];
        }
        float *moved = malloc((size_t)(R * n) * sizeof *moved), *turned = malloc((size_t)(n * n) * sizeof *turned);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t r = 0; r < R; r++) moved[r * n + i] = w[r * n + order[i]];
            for (int64_t j = 0; j < n; j++) turned[i * n + j] = h[order[i] * n + order[j]];
        }
        float own[R * 4], own_zeros[R * 4];
        p.r = moved, p.h = turned, p.codes = other, p.scales = own, p.zeros = own_zeros;
        assert_true(gptq_solve(&p, &(gptq_options){.damp = 0.01, .block = 16}, NULL, &err));
        for (int64_t r = 0; r < R; r++)
            for (int64_t i = 0; i < n; i++) {
                int64_t mine = r * groups + order[i] / GROUP, theirs = r * groups + i / GROUP;
                assert_int_equal(codes[r * n + order[i]], other[r * n + i]);
                assert_true(fabsf(scales[mine] - own[theirs]) < 1e-6f && zeros[mine] == own_zeros[theirs]);
            }
        free(moved), free(turned), free(w), free(h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_order_keeps_groups),  cmocka_unit_test(descent_only_lowers),
        cmocka_unit_test(better_solvers_are_better), cmocka_unit_test(more_bits_are_better),
        cmocka_unit_test(hqq_stores_real_zeros),     cmocka_unit_test(hqq_guards_small_ranges),
        cmocka_unit_test(hqq_beats_its_start),       cmocka_unit_test(obq_says_what_is_too_large),
        cmocka_unit_test(hqq_refuses_another_grid),  cmocka_unit_test(groups_embeddings_dead_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
