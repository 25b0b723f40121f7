// Maps: rotations are orthogonal, a mapped layer computes the same outputs, steps behind a map decode to the usual
// weight, and orders in which a map makes no sense are refused with a sentence.
#include "tests/compress/compress_support.h"

#include "compress/map.h"
#include "compress/solvers/gptq.h"

static const int64_t sizes[] = {76, 72, 56, 1, 2, 3, 7, 8, 12, 20, 24, 27, 28, 36, 40, 43, 44, 96, 144, 172, 192};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void rotations_are_orthogonal(void **state) {
    (void)state;
    base_err err = {0};
    for (int form = MAP_HADAMARD; form <= MAP_PALEY; form++)
        for (int k = 0; k < SIZES; k++) {
            int64_t n = sizes[k];
            rotation r;
            if (form == MAP_PALEY && map_hadamard_for(n) != form) continue;
            assert_true(rotation_open(&r, form, n, 5 + (uint64_t)k, &err));
            double *m = calloc((size_t)(n * n + 2 * n), sizeof *m), *x = m + n * n, *spare = x + n;
            for (int64_t i = 0; i < n; i++) {
                m[i * n + i] = 1;
                rotation_apply(&r, m + i * n, spare, false);
                memcpy(x, m + i * n, (size_t)n * sizeof *x);
                rotation_apply(&r, x, spare, true);
                for (int64_t j = 0; j < n; j++) assert_true(fabs(x[j] - (i == j)) < 1e-12);
            }
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j <= i; j++) {
                    double dot = 0;
                    for (int64_t c = 0; c < n; c++) dot += m[i * n + c] * m[j * n + c];
                    if (fabs(dot - (i == j)) > 1e-11) fail_msg("form %d side %lld", form, (long long)n);
                }
            // A true Hadamard matrix wherever there is one by Walsh or Paley: all entries of one size.
            bool second = n == 28 || n == 36 || n == 56 || n == 72 || n == 76 || n == 144; // by Paley's second
            assert_int_equal(map_hadamard_for(n), second ? MAP_PALEY : MAP_HADAMARD);
            bool even = (form == MAP_PALEY && second) || n == 1 || n == 2 || n == 8 || n == 12 || n == 20 || n == 24 ||
                        n == 44 || n == 96 || n == 192;
            for (int64_t i = 0; form != MAP_RANDOM && even && i < n * n; i++)
                assert_true(fabs(fabs(m[i]) * sqrt((double)n) - 1) < 1e-12);
            free(m);
            rotation_close(&r);
        }
}

static void too_large_is_refused(void **state) {
    (void)state;
    base_err err = {0};
    rotation r;
    assert_false(rotation_open(&r, MAP_HADAMARD, 2 * 10007, 1, &err));
    assert_non_null(strstr(err.text, "20014 = 2^k * 10007"));
    assert_false(rotation_open(&r, MAP_PALEY, 52, 1, &err));
    assert_non_null(strstr(err.text, "no Hadamard matrix of side 52 by Paley's second"));
    assert_false(rotation_open(&r, MAP_RANDOM, MAP_MOST_RANDOM + 1, 1, &err));
    assert_non_null(strstr(err.text, "use hadamard"));
}

// Figures of the inputs of random_gram's kind, so that scales have something to go by.
static layer_stats random_stats(int64_t n) {
    layer_stats s = {base_big_alloc((size_t)n, 4, "test", NULL), base_big_alloc((size_t)n, 4, "test", NULL),
                     base_big_alloc((size_t)n, 4, "test", NULL)};
    for (int64_t i = 0; i < n; i++) {
        s.mean[i] = 0.01f * (float)(i % 5) - 0.02f;
        s.mean_abs[i] = 0.01f * (float)(1 + i * i % 17);
        s.max_abs[i] = 5 * s.mean_abs[i];
    }
    return s;
}

static const char *const maps[] = {"scale method=smooth",
                                   "scale method=awq bits=4 group=8",
                                   "scale method=asvd",
                                   "scale method=gram alpha=0.7",
                                   "scale method=svdquant bits=3 grids=5",
                                   "scale method=svdquant bits=3 group=8 rank=2 sym=1 grids=4",
                                   "rotate",
                                   "rotate method=random seed=4",
                                   "rotate method=paley side=both",
                                   "rotate side=out",
                                   "rotate method=random side=both",
                                   "permute",
                                   "permute order=weight",
                                   "scale; rotate",
                                   "permute order=random; scale; rotate side=out"};
enum { MAPS = sizeof maps / sizeof *maps };
static const int64_t shapes[][3] = {{1, 1, 1}, {3, 7, 1}, {8, 9, 4}, {16, 36, 2}, {40, 24, 1}, {6, 65, 6}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void scenario(int k, const char *steps, bool exact) {
    int64_t rows = shapes[k][0], cols = shapes[k][1], groups = shapes[k][2], per = rows / groups;
    float *w = random_matrix(rows, cols, 3), *h = calloc((size_t)(groups * cols * cols), sizeof *h);
    for (int64_t g = 0; g < groups; g++) {
        float *one = random_gram(cols, 17 + (uint64_t)g);
        memcpy(h + g * cols * cols, one, (size_t)(cols * cols) * sizeof *h);
        free(one);
    }
    layer_stats stats = random_stats(groups * cols);
    layer l = open_layer(w, rows, cols, h);
    l.groups = groups;
    l.stats = &stats;
    base_err err = {0};
    free(apply_steps(&l, steps));
    float *out = calloc((size_t)(rows * cols), sizeof *out), *wrapped = calloc((size_t)(rows * cols), sizeof *out);
    exact = exact && l.map_count; // a search may take no map at all
    if (exact) {
        // What the outputs weigh is the same on both sides of the map.
        double near = 0, far = 0;
        for (int64_t g = 0; g < groups; g++) {
            far += output_error(w + g * per * cols, wrapped, per, cols, h + g * cols * cols);
            near += output_error(l.w + g * per * cols, wrapped, per, cols, l.h + g * cols * cols);
        }
        if (fabs(near - far) > 1e-5 * far) fail_msg("%s on %d: %g behind the map, %g before", steps, k, near, far);
        memcpy(out, l.w, (size_t)(rows * cols) * sizeof *out);
        term *dense = term_dense_new(NUM_F32, l.w, rows, cols, &err);
        assert_true(layer_append(&l, dense, &err));
    }
    int64_t bytes = layer_bytes(&l);
    assert_true(layer_decode(&l, out, &err));
    assert_true(layer_wrap(&l, &err));
    assert_int_equal(l.map_count, 0);
    assert_int_equal(layer_bytes(&l), bytes);
    assert_true(terms_decode(l.terms, l.term_count, rows, cols, wrapped, &err));
    for (int64_t i = 0; i < rows * cols; i++) {
        assert_true(out[i] == wrapped[i]);
        assert_true(isfinite(out[i]));
        if (exact && fabsf(out[i] - w[i]) > 1e-6f)
            fail_msg("%s on %d: %g for %g", steps, k, (double)out[i], (double)w[i]);
    }
    free(out);
    free(wrapped);
    layer_close(&l);
    layer_stats_free(&stats);
    free(w);
    free(h);
}

static void maps_keep_the_layer(void **state) {
    (void)state;
    for (int k = 0; k < SHAPES; k++)
        for (int m = 0; m < MAPS; m++) scenario(k, maps[m], true);
}

static void steps_behind_maps(void **state) {
    (void)state;
    static const char *const steps[] = {"quantize bits=3 group=8 sym=0",
                                        "quantize solver=gptq bits=3",
                                        "quantize solver=awq bits=3 sym=0 group=8",
                                        "quantize solver=awq bits=4",
                                        "prune sparsity=0.5; quantize solver=awq bits=3 sym=0",
                                        "lowrank rank=1 method=whitened factors=f16; quantize bits=2",
                                        "prune criterion=sparsegpt sparsity=0.5 bits=4"};
    for (int k = 0; k < SHAPES; k++)
        for (int m = 0; m < MAPS; m++)
            for (int s = 0; s < 7; s++) {
                char text[256];
                snprintf(text, sizeof text, "%s; %s", maps[m], steps[s]);
                scenario(k, text, false);
            }
}

// permute{order=act} then gptq with groups is the authors' act-order with groups found on the way.
static void permuted_gptq_is_act_order(void **state) {
    (void)state;
    int64_t rows = 12, cols = 40;
    float *w = random_matrix(rows, cols, 5), *h = random_gram(cols, 6);
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = 0; j < cols; j++) h[i * cols + j] *= (1 + (float)(i % 7)) * (1 + (float)(j % 7));
    layer l = open_layer(w, rows, cols, h);
    free(apply_steps(&l, "permute; quantize solver=gptq bits=3 group=8 scale=f32"));
    base_err err = {0};
    float *ours = calloc((size_t)(rows * cols), sizeof *ours);
    assert_true(layer_decode(&l, ours, &err));
    int64_t order[40];
    grid_code codes[12 * 40];
    float scales[12 * 5], zeros[12 * 5];
    solver_problem p = {.layer = "test", .r = w, .h = h, .rows = rows, .cols = cols, .groups = 1, .codes = codes};
    p.grid = (grid_spec){.bits = 3, .scheme = UNIFORM_SYM, .group = 8, .scale = NUM_F32};
    p.scales = scales;
    p.zeros = zeros;
    assert_true(gptq_solve(&p, &(gptq_options){.damp = 0.01, .block = 128, .act_order = true}, order, &err));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++) {
            int64_t g = r * 5 + i / 8, at = r * cols + order[i];
            float theirs = grid_value(&p.grid, (grid_param){scales[g], zeros[g]}, codes[at]);
            assert_true(fabsf(theirs - ours[at]) < 1e-6f);
        }
    free(ours);
    layer_close(&l);
    free(w);
    free(h);
}

// The error after steps, of a layer whose inputs' mean and largest magnitudes are one and the same figure.
static double error_after(const char *steps, const float *w, int64_t rows, int64_t cols, const float *h,
                          const layer_stats *stats) {
    layer l = open_layer(w, rows, cols, h);
    l.stats = stats;
    base_err err = {0};
    float *out = apply_steps(&l, steps);
    assert_true(layer_decode(&l, out, &err));
    double e = output_error(w, out, rows, cols, h);
    free(out);
    layer_close(&l);
    return e;
}

// SVDQuant's grid: none of its pairs, each tried as steps of its own, does better than the one it takes.
static void svdquant_takes_the_best_pair(void **state) {
    (void)state;
    static const struct {
        int rows, cols, rank, group;
        bool sym;
    } cases[] = {{24, 40, 0, 0, false}, {24, 40, 3, 0, true}, {40, 24, 2, 8, false}, {5, 9, 1, 0, false}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int64_t rows = cases[k].rows, cols = cases[k].cols;
        float *w = random_matrix(rows, cols, 8 + k), *h = random_gram(cols, 9 + k);
        for (int64_t i = 0; i < cols; i++)
            for (int64_t j = 0; j < cols; j++) h[i * cols + j] *= (i % 9 ? 1 : 20.0f) * (j % 9 ? 1 : 20.0f);
        layer_stats stats = random_stats(cols);
        for (int64_t i = 0; i < cols; i++) stats.mean_abs[i] = stats.max_abs[i] = 3 * sqrtf(h[i * cols + i]);
        char behind[160], text[320], branch[40] = "";
        if (cases[k].rank) snprintf(branch, sizeof branch, "; lowrank rank=%d", cases[k].rank);
        snprintf(behind, sizeof behind, "%s; quantize bits=3 group=%d sym=%d", branch, cases[k].group, cases[k].sym);
        snprintf(text, sizeof text, "scale method=svdquant bits=3 group=%d sym=%d rank=%d%s", cases[k].group,
                 cases[k].sym, cases[k].rank, behind);
        double got = error_after(text, w, rows, cols, h, &stats), best = INFINITY;
        best = error_after(behind[0] ? behind + 2 : behind, w, rows, cols, h, &stats); // no scales
        double plain = best;
        for (int i = 1; i < 20; i++)
            for (int both = 0; both < 2; both++) {
                snprintf(text, sizeof text, "scale method=%s alpha=%g%s", both ? "smooth" : "asvd", i / 20.0, behind);
                best = fmin(best, error_after(text, w, rows, cols, h, &stats));
            }
        if (!(fabs(got - best) < 0.02 * best)) fail_msg("%zu: %g, the best pair %g, no scales %g", k, got, best, plain);
        assert_true(best < plain);
        layer_stats_free(&stats);
        free(w), free(h);
    }
}

// Scales found for a grid never make it worse (ratio 0 is among those tried), nor does clipping.
static void awq_helps(void **state) {
    (void)state;
    int64_t rows = 32, cols = 64;
    float *w = random_matrix(rows, cols, 8), *h = random_gram(cols, 9);
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = 0; j < cols; j++) h[i * cols + j] *= (i % 9 ? 1 : 20.0f) * (j % 9 ? 1 : 20.0f);
    layer_stats stats = random_stats(cols);
    for (int64_t i = 0; i < cols; i++) stats.mean_abs[i] = sqrtf(h[i * cols + i]);
    static const char *const steps[] = {"quantize bits=3 sym=0 group=16", "quantize solver=awq bits=3 sym=0 group=16",
                                        "scale method=awq bits=3 group=16; quantize bits=3 sym=0 group=16",
                                        "scale method=awq bits=3 group=16; quantize solver=awq bits=3 sym=0 group=16"};
    double e[4];
    for (int k = 0; k < 4; k++) {
        layer l = open_layer(w, rows, cols, h);
        l.stats = &stats;
        base_err err = {0};
        float *out = apply_steps(&l, steps[k]);
        assert_true(layer_decode(&l, out, &err));
        e[k] = output_error(w, out, rows, cols, h);
        free(out);
        layer_close(&l);
    }
    if (!(e[1] < e[0] && e[2] < 0.7 * e[0] && e[3] < 0.7 * e[0]))
        fail_msg("rtn %g, clipped %g, scaled %g, both %g", e[0], e[1], e[2], e[3]);
    layer_stats_free(&stats);
    free(w);
    free(h);
}

// A rotation spreads a row with outliers, so that few bits lose less.
static void rotation_helps_outliers(void **state) {
    (void)state;
    int64_t rows = 16, cols = 96;
    float *w = random_matrix(rows, cols, 12);
    for (int64_t r = 0; r < rows; r++) w[r * cols + (r * 7) % cols] = 2;
    double e[2];
    static const char *const steps[] = {"quantize bits=3", "rotate; quantize bits=3"};
    for (int k = 0; k < 2; k++) {
        layer l = open_layer(w, rows, cols, NULL);
        base_err err = {0};
        float *out = apply_steps(&l, steps[k]);
        assert_true(layer_decode(&l, out, &err));
        e[k] = output_error(w, out, rows, cols, NULL);
        free(out);
        layer_close(&l);
    }
    if (!(e[1] < 0.5 * e[0])) fail_msg("plain %g, rotated %g", e[0], e[1]);
    free(w);
}

static void refusals(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"prune sparsity=0.5", "rotate", "comes after prune"},
        {"quantize bits=4", "permute order=weight", "before quantize"},
        {"lowrank rank=1", "rotate", "before quantize, prune and lowrank"},
        {"rotate; rotate; rotate", "rotate", "at most 3 maps"},
        {"rotate", "scale", "scale goes before rotate"},
    };
    float *w = random_matrix(4, 8, 1), *h = random_gram(8, 2);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        layer_stats stats = random_stats(8);
        layer l = open_layer(w, 4, 8, h);
        l.stats = &stats;
        free(apply_steps(&l, cases[k][0]));
        compress_step s = make_step(cases[k][1]);
        base_err err = {0};
        assert_false(s.kind->apply(&s, &l, &err));
        if (!strstr(err.text, cases[k][2])) fail_msg("%s", err.text);
        layer_close(&l);
        layer_stats_free(&stats);
    }
    free(w);
    free(h);
}

// Inputs that never fire, zero and constant rows: finite, and the fitted columns keep their values.
static void dead_inputs(void **state) {
    (void)state;
    int64_t rows = 6, cols = 10;
    float *w = random_matrix(rows, cols, 1), *h = random_gram(cols, 2);
    layer_stats stats = random_stats(cols);
    for (int64_t i = 0; i < cols; i++) {
        w[i] = 0;
        w[cols + i] = 0.25f;
        h[3 * cols + i] = h[i * cols + 3] = 0;
    }
    stats.mean_abs[3] = stats.max_abs[3] = stats.mean[3] = 0;
    for (int m = 0; m < MAPS; m++) {
        layer l = open_layer(w, rows, cols, h);
        l.stats = &stats;
        char text[256];
        base_err err = {0};
        snprintf(text, sizeof text, "%s; quantize solver=awq bits=4 sym=0", maps[m]);
        float *out = apply_steps(&l, text);
        assert_true(layer_decode(&l, out, &err));
        assert_true(num_all_finite(out, (size_t)(rows * cols)));
        free(out);
        layer_close(&l);
    }
    layer_stats_free(&stats);
    free(w);
    free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotations_are_orthogonal),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(maps_keep_the_layer),
        cmocka_unit_test(steps_behind_maps),
        cmocka_unit_test(permuted_gptq_is_act_order),
        cmocka_unit_test(awq_helps),
        cmocka_unit_test(rotation_helps_outliers),
        cmocka_unit_test(svdquant_takes_the_best_pair),
        cmocka_unit_test(refusals),
        cmocka_unit_test(dead_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
