// Criteria of prune: what they choose, what they do to the weights that stay, and that no later step breaks a mask.
#include "tests/compress/compress_support.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {8, 9}, {16, 36}, {40, 24}, {1, 65}, {33, 1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const char *const criteria[] = {"magnitude", "wanda", "sparsegpt", "obs"};

static double error_of(const float *w, int64_t rows, int64_t cols, const char *steps, const float *h, int64_t *gone) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps);
    double e = output_error(w, out, rows, cols, h);
    assert_true(isfinite(e));
    if (gone) *gone = rows * cols - layer_kept(&l);
    free(out);
    layer_close(&l);
    return e;
}

static bool fails_with(const float *w, int64_t rows, int64_t cols, const float *h, const char *first,
                       const char *second, const char *word) {
    base_err err = {0};
    layer l = open_layer(w, rows, cols, h);
    free(apply_steps(&l, first));
    compress_step s = make_step(second);
    bool failed = !s.kind->apply(&s, &l, &err);
    if (failed && !strstr(err.text, word)) fail_msg("%s; %s: %s", first, second, err.text);
    layer_close(&l);
    return failed;
}

// The fraction that goes, for every criterion on every shape; wanda counts in each row.
static void the_sparsity_is_met(void **state) {
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int64_t rows = shapes[s][0], cols = shapes[s][1], gone;
        float *w = random_matrix(rows, cols, 3 + (uint64_t)s), *h = random_gram(cols, 5);
        for (int c = 0; c < 4; c++)
            for (int k = 0; k <= 4; k++) {
                char text[96];
                snprintf(text, sizeof text, "prune criterion=%s sparsity=%g", criteria[c], 0.25 * k);
                error_of(w, rows, cols, text, h, &gone);
                int64_t wanted = c == 1 ? rows * (int64_t)((double)cols * 0.25 * k)
                                        : (int64_t)floor((double)(rows * cols) * 0.25 * k);
                int64_t slack = c == 2 && k > 0 && k < 4; // sparsegpt takes the threshold itself too
                if (gone < wanted || gone > wanted + slack)
                    fail_msg("%s on %lldx%lld: %lld gone, expected %lld", text, (long long)rows, (long long)cols,
                             (long long)gone, (long long)wanted);
            }
        free(w);
        free(h);
    }
}

// Entry i of n goes when fewer than `count` come before it: smaller ones, and of equal ones those in front.
static bool should_go(const float *score, int64_t n, int64_t i, int64_t count) {
    int64_t before = 0;
    for (int64_t k = 0; k < n; k++) before += score[k] < score[i] || (score[k] == score[i] && k < i);
    return before < count;
}

// What the choice writes on its way - the stored positions, the kept values - says the same as the mask, in each form
// and at any number of threads; wanda's mask is the one that ranking each row by itself gives.
static void one_walk_writes_all(void **state) {
    (void)state;
    static const char *const steps[] = {
        "prune criterion=wanda sparsity=0.5",     "prune criterion=wanda sparsity=0.93 format=bitmap",
        "prune criterion=wanda sparsity=0.97",    "prune criterion=wanda sparsity=0.3 format=index",
        "prune criterion=magnitude sparsity=0.6", "prune criterion=magnitude sparsity=0.95"};
    static const int64_t wide[][2] = {{150, 520}, {70, 1030}, {3, 5}, {9, 2048}};
    base_err err = {0};
    for (size_t s = 0; s < sizeof wide / sizeof *wide; s++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            int64_t rows = wide[s][0], cols = wide[s][1], n = rows * cols, kept = 0;
            float *w = random_matrix(rows, cols, 8), *h = random_gram(cols, 5),
                  *score = calloc((size_t)cols, sizeof *score);
            for (int64_t i = 0; i < n; i += 3) w[i] = roundf(2 * w[i]); // equal ones, and zeros
            uint8_t *mask = calloc((size_t)n, 1), *first = NULL;
            for (int threads = 1; threads <= 2; threads++) {
                num_set_threads(threads);
                layer l = open_layer(w, rows, cols, h);
                float *out = apply_steps(&l, steps[k]);
                assert_true(positions_mask(l.container, mask, &err));
                assert_memory_equal(mask, l.mask, (size_t)n);
                for (int64_t i = 0; i < n; i++) assert_true(out[i] == (mask[i] ? w[i] : 0));
                if (first) assert_memory_equal(mask, first, (size_t)n);
                free(first), free(out);
                first = malloc((size_t)n);
                memcpy(first, mask, (size_t)n);
                layer_close(&l);
            }
            double sparsity = strtod(strstr(steps[k], "sparsity=") + 9, NULL);
            for (int64_t r = 0; k < 4 && r < rows; r += 1 + rows / 8) {
                for (int64_t c = 0; c < cols; c++) score[c] = fabsf(w[r * cols + c]) * sqrtf(h[c * cols + c]);
                for (int64_t c = 0; c < cols; c++)
                    assert_int_equal(mask[r * cols + c],
                                     !should_go(score, cols, c, (int64_t)((double)cols * sparsity)));
            }
            for (int64_t i = 0; i < n; i++) kept += mask[i];
            if (k > 3) assert_int_equal(kept, n - (int64_t)floor((double)n * sparsity));
            free(first), free(mask), free(score), free(w), free(h);
        }
    num_set_threads(1);
}

// More weights than one part of the walk, of a few magnitudes only: which go, and that all others stay as they were,
// also where a mask was there before.
static void ties_go_in_order(void **state) {
    (void)state;
    enum { N = 97 };
    float *w = random_matrix(N, N, 21), *h = random_gram(N, 5), *score = malloc(N * N * sizeof *score);
    for (int i = 0; i < N * N; i++) w[i] = roundf(40 * w[i]) / 8;
    for (int c = 0; c < 2; c++)
        for (int k = 0; k <= 5; k++) {
            char text[160];
            double sparsity = k == 5 ? 1 : 0.05 + 0.23 * k;
            snprintf(text, sizeof text, "prune criterion=%s sparsity=%g; prune criterion=%s sparsity=%g", criteria[c],
                     sparsity, criteria[c], sparsity);
            if (k % 2 == 0) *strchr(text, ';') = 0;
            layer l = open_layer(w, N, N, h);
            float *out = apply_steps(&l, text);
            int64_t part = c ? N : N * N, count = (int64_t)((double)part * sparsity);
            for (int i = 0; i < N * N; i++) score[i] = fabsf(w[i]) * (c ? sqrtf(h[i % N * N + i % N]) : 1);
            for (int i = 0; i < N * N; i++) {
                bool goes = should_go(score + i / part * part, part, i % part, count);
                if (l.mask[i] == goes || out[i] != (goes ? 0 : w[i])) fail_msg("%s: weight %d is %g", text, i, out[i]);
            }
            free(out);
            layer_close(&l);
        }
    free(w);
    free(h);
    free(score);
}

// n of every m stay, exactly, also in a shorter last run; the masked form is then valid for every criterion.
static void patterns_hold(void **state) {
    (void)state;
    static const int patterns[][2] = {{2, 4}, {1, 4}, {4, 8}, {3, 5}};
    for (int s = 0; s < SHAPES; s++)
        for (int k = 0; k < 4; k++)
            for (int c = 0; c < 4; c++) {
                int64_t rows = shapes[s][0], cols = shapes[s][1];
                float *w = random_matrix(rows, cols, 30 + (uint64_t)s), *h = random_gram(cols, 5);
                char text[96];
                snprintf(text, sizeof text, "prune criterion=%s n=%d m=%d format=nm", criteria[c], patterns[k][0],
                         patterns[k][1]);
                layer l = open_layer(w, rows, cols, h);
                free(apply_steps(&l, text));
                if (!positions_fit_nm(l.mask, rows, cols, patterns[k][0], patterns[k][1]) ||
                    l.container->kind != &term_masked)
                    fail_msg("%s on %lldx%lld breaks its pattern", text, (long long)rows, (long long)cols);
                layer_close(&l);
                free(w);
                free(h);
            }
}

// sparsegpt <= wanda-like choices <= nothing; obs, which is exact and greedy, beats choosing by size.
static void updates_lower_the_output_error(void **state) {
    (void)state;
    for (int s = 3; s < 5; s++) {
        int64_t rows = shapes[s][0], cols = shapes[s][1];
        float *w = random_matrix(rows, cols, 9), *h = random_gram(cols, 5);
        static const char *const forms[] = {"sparsity=0.5", "sparsity=0.7", "n=2 m=4"};
        for (int k = 0; k < 3; k++) {
            double e[4];
            for (int c = 0; c < 4; c++) {
                char text[96];
                snprintf(text, sizeof text, "prune criterion=%s %s", criteria[c], forms[k]);
                e[c] = error_of(w, rows, cols, text, h, NULL);
            }
            if (!(e[2] < e[0] && e[2] < e[1] && e[3] < e[0] && e[3] < e[1]))
                fail_msg("%s: magnitude %g, wanda %g, sparsegpt %g, obs %g", forms[k], e[0], e[1], e[2], e[3]);
        }
        free(w);
        free(h);
    }
}

// Pruning and quantising in one sweep beats quantising the pruned weights to nearest, and decodes to the codes it
// chose.
static void joint_is_one_step(void **state) {
    (void)state;
    float *w = random_matrix(40, 24, 9), *h = random_gram(24, 5);
    static const char *const forms[] = {"sparsity=0.5", "n=2 m=4", "sparsity=0.3"};
    for (int k = 0; k < 3; k++)
        for (int sym = 0; sym < 2; sym++) {
            char joint[128], apart[128], backwards[128];
            snprintf(joint, sizeof joint, "prune criterion=sparsegpt %s bits=4 sym=%d", forms[k], sym);
            snprintf(apart, sizeof apart, "prune criterion=magnitude %s; quantize bits=4 sym=%d", forms[k], sym);
            snprintf(backwards, sizeof backwards, "quantize bits=4 sym=%d; prune criterion=wanda %s", sym, forms[k]);
            double a = error_of(w, 40, 24, joint, h, NULL), b = error_of(w, 40, 24, apart, h, NULL),
                   c = error_of(w, 40, 24, backwards, h, NULL);
            if (!(a < b && a < c)) fail_msg("%s: joint %g, apart %g, the other order %g", forms[k], a, b, c);
        }
    layer l = open_layer(w, 40, 24, h);
    float *out = apply_steps(&l, "prune criterion=sparsegpt sparsity=0.5 bits=3 group=10 sym=0");
    assert_ptr_equal(l.container->child[0]->kind, &term_uniform);
    assert_int_equal(l.container->child[0]->attr[UNIFORM_BITS], 3);
    assert_int_equal(l.container->child[0]->stored, layer_kept(&l));
    free(out);
    layer_close(&l);
    free(w);
    free(h);
}

// Weights that sparsegpt changed are what later steps round, and a residual goes on towards them.
static void later_steps_aim_at_the_update(void **state) {
    (void)state;
    float *w = random_matrix(16, 36, 4), *h = random_gram(36, 5);
    layer l = open_layer(w, 16, 36, h);
    float *pruned = apply_steps(&l, "prune criterion=sparsegpt sparsity=0.5");
    layer_close(&l);
    static const char *const later[] = {"quantize bits=8", "keep dtype=f16", "quantize bits=4; quantize bits=5"};
    for (int k = 0; k < 3; k++) {
        char text[128];
        snprintf(text, sizeof text, "prune criterion=sparsegpt sparsity=0.5; %s", later[k]);
        l = open_layer(w, 16, 36, h);
        float *out = apply_steps(&l, text);
        double off = output_error(pruned, out, 16, 36, NULL), size = output_error(pruned, w, 16, 36, NULL);
        if (!(off < 1e-3 * size)) fail_msg("%s: %g from the updated weights, which moved by %g", text, off, size);
        free(out);
        layer_close(&l);
    }
    assert_true(fails_with(w, 16, 36, h, "quantize bits=4", "prune criterion=sparsegpt", "prune first"));
    assert_true(fails_with(w, 16, 36, h, "prune sparsity=0.2; quantize bits=4", "prune criterion=obs", "prune first"));
    free(pruned);
    free(w);
    free(h);
}

// A second prune keeps what the first took away.
static void masks_only_shrink(void **state) {
    (void)state;
    float *w = random_matrix(16, 36, 4), *h = random_gram(36, 5);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            char one[96], two[192];
            snprintf(one, sizeof one, "prune criterion=%s sparsity=0.4", criteria[a]);
            snprintf(two, sizeof two, "%s; prune criterion=%s sparsity=0.6", one, criteria[b]);
            layer l = open_layer(w, 16, 36, h), k = open_layer(w, 16, 36, h);
            free(apply_steps(&l, one));
            free(apply_steps(&k, two));
            for (int i = 0; i < 16 * 36; i++)
                if (k.mask[i] > l.mask[i]) fail_msg("%s: weight %d came back", two, i);
            int64_t gone = 16 * 36 - layer_kept(&k);
            if (gone < 336 || (double)gone > 16 * 36 * 0.62) fail_msg("%s: %lld gone", two, (long long)gone);
            layer_close(&l);
            layer_close(&k);
        }
    free(w);
    free(h);
}

// Two convolution groups, each with its own second moment, give what two layers give.
static void groups_are_separate(void **state) {
    (void)state;
    float *w = random_matrix(8, 9, 4), *h = malloc(2 * 81 * sizeof *h), *a = random_gram(9, 5), *b = random_gram(9, 6);
    memcpy(h, a, 81 * sizeof *h);
    memcpy(h + 81, b, 81 * sizeof *h);
    static const char *const steps[] = {"prune criterion=wanda sparsity=0.5",
                                        "prune criterion=sparsegpt n=2 m=4 bits=4",
                                        "prune criterion=sparsegpt sparsity=0.5", "prune criterion=obs sparsity=0.5"};
    for (int k = 0; k < 4; k++) {
        layer l = open_layer(w, 8, 9, h), first = open_layer(w, 4, 9, a), second = open_layer(w + 36, 4, 9, b);
        l.groups = 2;
        float *all = apply_steps(&l, steps[k]), *x = apply_steps(&first, steps[k]), *y = apply_steps(&second, steps[k]);
        assert_memory_equal(all, x, 36 * sizeof *x);
        assert_memory_equal(all + 36, y, 36 * sizeof *y);
        free(all), free(x), free(y);
        layer_close(&l), layer_close(&first), layer_close(&second);
    }
    free(w), free(h), free(a), free(b);
}

// Inputs that never fire, rows of zeros, an embedding's counts: never a crash, never a NaN, dead weights go first.
static void dead_inputs_and_embeddings(void **state) {
    (void)state;
    float *w = random_matrix(8, 12, 4), *h = random_gram(12, 5), counts[8] = {0, 0.5f, 0, 0.25f, 0, 0, 0.25f, 0};
    for (int i = 0; i < 12; i++) h[3 * 12 + i] = h[i * 12 + 3] = w[12 + i] = 0;
    for (int c = 1; c < 4; c++) {
        char text[96];
        snprintf(text, sizeof text, "prune criterion=%s sparsity=0.5", criteria[c]);
        layer l = open_layer(w, 8, 12, h);
        free(apply_steps(&l, text));
        for (int r = 0; r < 8; r++) assert_int_equal(l.mask[r * 12 + 3], 0);
        layer_close(&l);
        l = open_layer(w, 8, 12, counts);
        l.diagonal = true;
        free(apply_steps(&l, text));
        for (int r = 0; r < 8; r++) {
            int kept = 0;
            for (int i = 0; i < 12; i++) kept += l.mask[r * 12 + i];
            assert_int_equal(kept, 6);
        }
        layer_close(&l);
    }
    float *nothing = calloc(12 * 12, sizeof *nothing);
    for (int c = 1; c < 4; c++) {
        char text[96];
        snprintf(text, sizeof text, "prune criterion=%s sparsity=0.5; quantize solver=gptq", criteria[c]);
        error_of(w, 8, 12, text, nothing, NULL);
    }
    free(w), free(h), free(nothing);
}

// The end check: a mask that the stored form or the decoded weight contradicts fails the run.
static void a_broken_mask_is_caught(void **state) {
    (void)state;
    base_err err = {0};
    float *w = random_matrix(8, 12, 4), *h = random_gram(12, 5);
    layer l = open_layer(w, 8, 12, h);
    float *out = apply_steps(&l, "prune criterion=wanda sparsity=0.5; quantize solver=gptq bits=3; quantize bits=2");
    int at = 0;
    while (l.mask[at]) at++;
    out[at] = 0.5f;
    assert_false(layer_check_mask(&l, out, &err));
    assert_non_null(strstr(err.text, "pruned but decodes"));
    out[at] = 0;
    assert_true(layer_check_mask(&l, out, &err));
    l.mask[at] = 1;
    assert_false(layer_check_mask(&l, out, &err));
    assert_non_null(strstr(err.text, "positions"));
    free(out);
    layer_close(&l);
    free(w), free(h);
}

static void wrong_arguments(void **state) {
    (void)state;
    static const struct {
        const char *arg;
        double value;
        const char *criterion, *word;
    } bad[] = {{"bits", 4, "wanda", "sparsegpt"},   {"variant", 1, "magnitude", "wanda"},
               {"damp", 0.1, "wanda", "sparsegpt"}, {"block", 65, "obs", "64"},
               {"n", 4, "wanda", "together"},       {"group", 8, "obs", "sparsegpt"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        base_err err = {0};
        compress_step s = make_step("prune");
        const compress_step_kind *k = s.kind;
        assert_true(base_arg_set_text("prune", k->args, k->arg_count, s.value, "criterion", bad[i].criterion, &err));
        assert_true(base_arg_set_number("prune", k->args, k->arg_count, s.value, bad[i].arg, bad[i].value, &err));
        assert_false(k->check(&s, &err));
        assert_non_null(strstr(err.text, bad[i].word));
    }
}

// Weights that stay grow beyond the range they had: a grid made for what pruning leaves loses less than the authors',
// in as many bytes.
static void test_swept_range(void **state) {
    (void)state;
    enum { ROWS = 24, COLS = 64 };
    static const struct {
        int bits;
        double most;
    } cases[] = {{4, 1}, {8, 0.98}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double error[2] = {0, 0};
        for (uint64_t seed = 1; seed <= 8; seed++)
            for (int swept = 0; swept < 2; swept++) {
                float *w = random_matrix(ROWS, COLS, seed), *h = random_gram(COLS, seed + 20);
                layer l = open_layer(w, ROWS, COLS, h);
                char text[96];
                snprintf(text, sizeof text, "prune criterion=sparsegpt bits=%d range=%s", cases[k].bits,
                         swept ? "swept" : "minmax");
                float *out = apply_steps(&l, text);
                error[swept] += output_error(w, out, ROWS, COLS, h);
                layer_close(&l);
                free(out);
                free(w);
                free(h);
            }
        if (!(error[1] < cases[k].most * error[0]))
            fail_msg("%d bits: swept %g, minmax %g", cases[k].bits, error[1], error[0]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sparsity_is_met),
        cmocka_unit_test(one_walk_writes_all),
        cmocka_unit_test(ties_go_in_order),
        cmocka_unit_test(patterns_hold),
        cmocka_unit_test(updates_lower_the_output_error),
        cmocka_unit_test(joint_is_one_step),
        cmocka_unit_test(later_steps_aim_at_the_update),
        cmocka_unit_test(masks_only_shrink),
        cmocka_unit_test(groups_are_separate),
        cmocka_unit_test(dead_inputs_and_embeddings),
        cmocka_unit_test(a_broken_mask_is_caught),
        cmocka_unit_test(test_swept_range),
        cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
