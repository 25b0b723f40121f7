// Solvers of quantize that learn: never worse than rounding to nearest on the same grid, the same codes at any number
// of threads, close to the best codes there are on sizes where all can be tried, and their parts against computations
// of another kind.
#include "compress/map.h"
#include "compress/solvers/decoupleq.h"
#include "compress/solvers/dual.h"
#include "compress/solvers/gsq.h"
#include "tests/compress/compress_support.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {8, 9}, {17, 36}, {1, 65}, {33, 1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double error_of(const float *w, int64_t rows, int64_t cols, const char *steps, const float *h) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps);
    base_err err = {0};
    if (l.map_count && !layer_decode(&l, out, &err)) fail_msg("%s: %s", steps, err.text);
    double e = output_error(w, out, rows, cols, h);
    if (!isfinite(e)) fail_msg("%s: the error is %g", steps, e);
    free(out);
    layer_close(&l);
    return e;
}

// Each with what rounds to nearest on the same grid.
static const char *const pairs[][2] = {
    {"solver=adaquant iterations=40", "solver=rtn range=minmax"},
    {"solver=adaquant iterations=40 group=5 sym=0", "solver=rtn group=5 sym=0"},
    {"solver=adaquant iterations=40 granularity=tensor", "solver=rtn range=minmax granularity=tensor"},
    {"solver=signround iterations=40", "solver=rtn range=minmax"},
    {"solver=signround iterations=40 group=5 sym=0", "solver=rtn group=5 sym=0"},
    {"solver=signround iterations=40 granularity=tensor sym=0", "solver=rtn granularity=tensor sym=0"},
    {"solver=gsq iterations=40", "solver=rtn range=minmax"},
    {"solver=gsq iterations=40 group=5 sym=0", "solver=rtn group=5 sym=0"},
    {"solver=gsq iterations=40 granularity=tensor", "solver=rtn range=minmax granularity=tensor"},
    {"solver=decoupleq", "solver=rtn range=minmax"},
    {"solver=decoupleq group=5 sym=0", "solver=rtn group=5 sym=0"},
    {"solver=decoupleq granularity=tensor", "solver=rtn range=minmax granularity=tensor"},
    {"solver=bpdq scale=f32", "solver=rtn sym=0 scale=f32"},
    {"solver=bpdq group=5 scale=f32", "solver=rtn group=5 sym=0 scale=f32"},
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

static void never_worse_than_nearest(void **state) {
    (void)state;
    int better = 0;
    for (int s = 0; s < SHAPES; s++)
        for (int k = 0; k < PAIRS; k++)
            for (int variant = 0; variant < 6; variant++) {
                int64_t rows = shapes[s][0], cols = shapes[s][1];
                int bits = 2 + variant / 2;
                float *w = random_matrix(rows, cols, 70 + (uint64_t)s), *h = random_gram(cols, 5);
                const char *first = variant % 2 ? "prune sparsity=0.4; " : "", *tail = variant % 2 ? " refine=cd" : "";
                for (int64_t c = 0; c < cols && rows > 2; c++) w[2 * cols + c] = 0; // a row of zeros
                char text[192], plain[192];
                snprintf(text, sizeof text, "%squantize %s bits=%d%s", first, pairs[k][0], bits, tail);
                snprintf(plain, sizeof plain, "%squantize %s bits=%d%s", first, pairs[k][1], bits, "");
                double e = error_of(w, rows, cols, text, h), least = error_of(w, rows, cols, plain, h);
                if (e > least * (1 + 1e-4) + 1e-9)
                    fail_msg("%s on %lldx%lld: %g, nearest %g", text, (long long)rows, (long long)cols, e, least);
                better += e < least * 0.95;
                free(w);
                free(h);
            }
    assert_true(better > 200);
}

static void descent_goes_on_after_each(void **state) {
    (void)state;
    float *w = random_matrix(19, 40, 3), *h = random_gram(40, 5);
    for (int k = 0; k < PAIRS; k++) {
        double last = INFINITY;
        for (int passes = 0; passes <= 4; passes += 1 + passes) {
            char text[160];
            snprintf(text, sizeof text, passes ? "quantize %s bits=3 refine=cd passes=%d" : "quantize %s bits=3",
                     pairs[k][0], passes);
            double e = error_of(w, 19, 40, text, h);
            if (e > last * (1 + 1e-5)) fail_msg("%s: %g after %g", text, e, last);
            last = e;
        }
    }
    free(w);
    free(h);
}

// The least error of one row over all codes of a grid that is given.
static double best_codes(const grid_spec *g, grid_param q, const float *w, const float *h, int64_t cols) {
    int64_t levels = grid_max_code(g) + 1, total = 1;
    double best = INFINITY;
    for (int64_t i = 0; i < cols; i++) total *= levels;
    for (int64_t code = 0; code < total; code++) {
        float out[8];
        int64_t rest = code;
        for (int64_t i = 0; i < cols; i++, rest /= levels) out[i] = grid_value(g, q, (unsigned)(rest % levels));
        best = fmin(best, output_error(w, out, 1, cols, h));
    }
    return best;
}

// Every code tried, for the scale each solver ended with: no solver is below that, and descent from it is near.
static void close_to_the_best_codes(void **state) {
    (void)state;
    static const char *const solvers[] = {"adaquant", "signround", "gsq", "decoupleq"};
    for (int k = 0; k < 4; k++) {
        double reached = 0, least = 0;
        for (uint64_t seed = 1; seed <= 12; seed++) {
            int64_t cols = 4 + (int64_t)(seed % 3), rows = 1 + (int64_t)(seed % 2);
            float *w = random_matrix(rows, cols, seed), *h = random_gram(cols, seed + 50);
            char text[96];
            snprintf(text, sizeof text, "quantize solver=%s bits=2 scale=f32", solvers[k]);
            layer l = open_layer(w, rows, cols, h);
            float *out = apply_steps(&l, text);
            const term *t = l.terms[0];
            grid_spec g = {.bits = 2, .scheme = UNIFORM_SYM};
            for (int64_t r = 0; r < rows; r++) {
                grid_param q = {((const float *)t->blob[UNIFORM_SCALES].data)[r], 2};
                double e = output_error(w + r * cols, out + r * cols, 1, cols, h);
                double best = best_codes(&g, q, w + r * cols, h, cols);
                assert_true(e >= best * (1 - 1e-4) - 1e-12);
                reached += e;
                least += best;
            }
            free(out);
            layer_close(&l);
            free(w);
            free(h);
        }
        if (reached > 1.35 * least) fail_msg("%s: %g, the best codes for its scales %g", solvers[k], reached, least);
    }
}

// gsq's gradient of the output error for its logits, against differences.
static void gsq_gradient_is_the_slope(void **state) {
    (void)state;
    enum { COLS = 6, LEVELS = 4 };
    float *h = random_gram(COLS, 3), *w = random_matrix(1, COLS, 4), logits[LEVELS * COLS], noise[LEVELS * COLS];
    float base[COLS] = {0}, share[LEVELS * COLS], code[COLS], slope[COLS], gradient[LEVELS * COLS];
    num_rng rng = num_rng_seed(9, 1);
    for (int i = 0; i < LEVELS * COLS; i++) {
        logits[i] = (float)(0.02 * num_rng_normal(&rng));
        noise[i] = (float)num_rng_normal(&rng);
    }
    gsq_run g = {.count = COLS,
                 .levels = LEVELS,
                 .logits = logits,
                 .noise = noise,
                 .base = base,
                 .sharpness = 40,
                 .temperature = 1.3f,
                 .share = share,
                 .code = code};
    const float scale = 0.07f, zero = 2;
    gsq_soften(&g);
    for (int c = 0; c < COLS; c++) {
        double sum = 0;
        for (int j = 0; j < COLS; j++)
            sum += (double)h[c * COLS + j] * ((double)(scale * (code[j] - zero)) - (double)w[j]);
        slope[c] = (float)(2 * sum * (double)scale);
    }
    gsq_gradient(&g, slope, gradient);
    for (int i = 0; i < LEVELS * COLS; i++) {
        double e[2];
        float kept = logits[i];
        for (int side = 0; side < 2; side++) {
            float q[COLS];
            logits[i] = kept + (side ? 1e-3f : -1e-3f);
            gsq_soften(&g);
            for (int c = 0; c < COLS; c++) q[c] = scale * (code[c] - zero);
            e[side] = output_error(w, q, 1, COLS, h);
        }
        logits[i] = kept;
        double slope_here = (e[1] - e[0]) / 2e-3;
        if (fabs(slope_here - (double)gradient[i]) > 1e-5 + 0.02 * fabs(slope_here))
            fail_msg("logit %d: gradient %g, difference %g", i, (double)gradient[i], slope_here);
    }
    // The shares are a softmax.
    gsq_soften(&g);
    for (int c = 0; c < COLS; c++) {
        double sum = 0, total = 0;
        for (int l = 0; l < LEVELS; l++)
            total += exp(((double)logits[l * COLS + c] * 40 + (double)noise[l * COLS + c]) / 1.3);
        for (int l = 0; l < LEVELS; l++) {
            double p = exp(((double)logits[l * COLS + c] * 40 + (double)noise[l * COLS + c]) / 1.3) / total;
            assert_true(fabs(p - (double)share[l * COLS + c]) < 1e-5);
            sum += p * l;
        }
        assert_true(fabs(sum - (double)code[c]) < 1e-5);
    }
    free(h);
    free(w);
}

// decoupleq's scales and zeros: no small move of any of them lowers the error, which a convex problem needs only there.
static void decoupleq_floats_are_the_minimum(void **state) {
    (void)state;
    enum { COLS = 13, GROUP = 5, GROUPS = 3 };
    float *w = random_matrix(1, COLS, 4), *h = random_gram(COLS, 8);
    uint8_t mask[COLS];
    grid_code codes[COLS];
    num_rng rng = num_rng_seed(2, 2);
    double *room = malloc(decoupleq_room(COLS, GROUPS) * sizeof *room);
    for (int variant = 0; variant < 4; variant++) {
        for (int i = 0; i < COLS; i++) {
            codes[i] = (grid_code)num_rng_below(&rng, 8);
            w[i] = 0.03f * ((float)codes[i] - 4) + (float)(0.006 * num_rng_normal(&rng));
            mask[i] = variant < 2 || i % 4 != 1;
        }
        bool free_zero = variant % 2;
        solver_problem p = {.layer = "test",
                            .r = w,
                            .h = h,
                            .mask = mask,
                            .rows = 1,
                            .cols = COLS,
                            .groups = 1,
                            .grid = {.bits = 3, .scheme = free_zero ? UNIFORM_REAL : UNIFORM_SYM, .group = GROUP}};
        float scales[GROUPS] = {0.03f, 0.03f, 0.03f}, zeros[GROUPS] = {4, 4, 4}, q[COLS];
        assert_true(decoupleq_floats(&p, 0, codes, free_zero, scales, zeros, room));
        double found = 0;
        for (int move = -1; move < GROUPS * 4; move++) {
            float s[GROUPS], z[GROUPS];
            memcpy(s, scales, sizeof s);
            memcpy(z, zeros, sizeof z);
            if (move >= 0 && move / 2 < GROUPS) s[move / 2] *= move % 2 ? 1.003f : 0.997f;
            if (move / 2 >= GROUPS && free_zero) z[move / 2 - GROUPS] += move % 2 ? 0.01f : -0.01f;
            for (int i = 0; i < COLS; i++) q[i] = mask[i] ? s[i / GROUP] * ((float)codes[i] - z[i / GROUP]) : 0;
            double e = output_error(w, q, 1, COLS, h);
            if (move < 0) found = e;
            if (e < found * (1 - 1e-6)) fail_msg("variant %d: move %d leads from %g to %g", variant, move, found, e);
        }
    }
    free(room);
    free(w);
    free(h);
}

// A grid search over two planes and an offset with all codes: bpdq comes near what is possible, and beats any even grid
// on weights that are two clusters.
static void bpdq_fits_uneven_levels(void **state) {
    (void)state;
    enum { COLS = 24 };
    float w[2 * COLS];
    for (int i = 0; i < 2 * COLS; i++) {
        static const float levels[] = {-1, -0.9f, 0.3f, 0.4f}; // offset -1, planes 0.1 and 1.3
        w[i] = levels[(i * 7 + i / 5) % 4];
    }
    float *h = random_gram(COLS, 5);
    double planes = error_of(w, 2, COLS, "quantize solver=bpdq bits=2 refine=cd scale=f32", h);
    double even = error_of(w, 2, COLS, "quantize solver=decoupleq bits=2 sym=0 refine=cd scale=f32", h);
    if (!(planes < 1e-6 * even)) fail_msg("planes %g, even %g", planes, even);
    layer l = open_layer(w, 2, COLS, h);
    free(apply_steps(&l, "quantize solver=bpdq bits=2 group=8"));
    base_err err = {0};
    assert_true(l.terms[0]->kind == &term_planes);
    assert_true(l.terms[0]->kind->check(l.terms[0], &err));
    // 2 bits a weight, three f16 a group
    assert_int_equal(term_bytes(l.terms[0]), 2 * COLS * 2 / 8 + 2 * 3 * 3 * 2);
    layer_close(&l);
    free(h);
}

// The whole output error: golden is not above the search that sees only the diagonal (imatrix, mse), for all groups.
static void golden_looks_at_the_output(void **state) {
    (void)state;
    float *w = random_matrix(20, 48, 3), *h = random_gram(48, 5);
    static const char *const grids[] = {"bits=3", "bits=2 group=16", "bits=3 sym=0 group=7", "dtype=nf4 group=16",
                                        "dtype=mxfp4"};
    for (int k = 0; k < 5; k++) {
        char golden[96], plain[96];
        snprintf(golden, sizeof golden, "quantize solver=rtn range=golden %s", grids[k]);
        snprintf(plain, sizeof plain, "quantize solver=rtn range=mse %s", grids[k]);
        double a = error_of(w, 20, 48, golden, h), b = error_of(w, 20, 48, plain, h);
        if (!(a < b)) fail_msg("%s: %g, mse %g", golden, a, b);
    }
    // One weight and one input a row: the error is a parabola, its minimum is known.
    float one[3] = {0.5f, -0.25f, 2}, unit = 1;
    assert_true(error_of(one, 3, 1, "quantize solver=rtn range=golden bits=2 scale=f32", &unit) < 1e-6);
    free(w);
    free(h);
}

// The column factors are where the slope of the error is 0, and on weights made of row and column scales the search
// finds a grid that holds them.
static void dual_scales_fit(void **state) {
    (void)state;
    enum { ROWS = 6, COLS = 9 };
    float *w = random_matrix(ROWS, COLS, 4), *q = random_matrix(ROWS, COLS, 5), *h = random_gram(COLS, 6);
    double c[COLS];
    bool solved;
    base_err err = {0};
    for (int i = 0; i < COLS; i++) c[i] = 1;
    for (int i = 0; i < ROWS * COLS; i++) q[i] = w[i] + 0.3f * q[i];
    assert_true(dual_fit(ROWS, COLS, w, q, h, c, &solved, &err) && solved);
    double found = 0;
    for (int move = -1; move < 2 * COLS; move++) {
        float out[ROWS * COLS];
        for (int i = 0; i < ROWS * COLS; i++) {
            double factor = c[i % COLS];
            if (move >= 0 && move / 2 == i % COLS) factor += move % 2 ? 0.02 : -0.02;
            out[i] = (float)((double)q[i] * factor);
        }
        double e = output_error(w, out, ROWS, COLS, h);
        if (move < 0) found = e;
        if (e < found * (1 - 1e-6)) fail_msg("move %d leads from %g to %g", move, found, e);
    }
    // Integers times row and column scales.
    float made[16 * COLS];
    num_rng rng = num_rng_seed(4, 4);
    for (int i = 0; i < 16 * COLS; i++) {
        int level = (int)num_rng_below(&rng, 7) - 3;
        // A largest level in every row, and in every column one in a row of the largest scale.
        if (i % COLS == i / COLS % COLS || (i / COLS % 4 == 3 && i / COLS / 4 == i % COLS % 4)) level = 3;
        made[i] = (float)(level * 0.1 * (1 + i / COLS % 4) * exp(1.5 * sin(3.0 * (i % COLS))));
    }
    double plain = error_of(made, 16, COLS, "quantize bits=3 scale=f32", h);
    double both = error_of(made, 16, COLS, "scale method=dual bits=3 sym=1; quantize bits=3 scale=f32", h);
    if (!(both < 1e-3 * plain)) fail_msg("dual %g, plain %g", both, plain);
    // 1 is among the candidates: never above plain rounding.
    for (int64_t seed = 0; seed < 8; seed++) {
        float *x = random_matrix(7, COLS, 60 + (uint64_t)seed);
        for (int i = 0; i < COLS; i++) x[3 * COLS + i] = x[i * COLS % (7 * COLS)] = 0;
        plain = error_of(x, 7, COLS, "quantize bits=2 group=4 scale=f32", h);
        both = error_of(x, 7, COLS, "scale method=dual bits=2 group=4 sym=1; quantize bits=2 group=4 scale=f32", h);
        if (both > plain * 1.002 + 1e-9) fail_msg("dual %g, plain %g", both, plain); // the map is stored as f16
        free(x);
    }
    free(w);
    free(q);
    free(h);
}

static void same_codes_at_any_thread_count(void **state) {
    (void)state;
#ifdef _OPENMP
    float *w = random_matrix(40, 33, 3), *h = random_gram(33, 5);
    int before = omp_get_max_threads();
    for (int k = 0; k < PAIRS; k++) {
        float *out[2];
        for (int threads = 1; threads <= 3; threads += 2) {
            char text[128];
            omp_set_num_threads(threads);
            snprintf(text, sizeof text, "quantize %s bits=2", pairs[k][0]);
            layer l = open_layer(w, 40, 33, h);
            out[threads / 2] = apply_steps(&l, text);
            layer_close(&l);
        }
        assert_memory_equal(out[0], out[1], 40 * 33 * sizeof(float));
        free(out[0]);
        free(out[1]);
    }
    omp_set_num_threads(before);
    free(w);
    free(h);
#endif
}

// Two convolution groups give what two layers give (gsq draws other noise); an embedding; inputs that never fire; one
// sample, where H has rank 1.
static void groups_embeddings_dead_inputs(void **state) {
    (void)state;
    float *w = random_matrix(8, 9, 4), *h = malloc(2 * 81 * sizeof *h), *a = random_gram(9, 5), *b = random_gram(9, 6);
    for (int i = 0; i < 9; i++) a[2 * 9 + i] = a[i * 9 + 2] = 0;
    memcpy(h, a, 81 * sizeof *h);
    memcpy(h + 81, b, 81 * sizeof *h);
    float counts[8] = {0, 0.5f, 0, 0.25f, 0, 0, 0.25f, 0}, one[81];
    for (int i = 0; i < 81; i++) one[i] = w[i / 9] * w[i % 9] * 100;
    for (int k = 0; k < PAIRS; k++) {
        char text[128];
        snprintf(text, sizeof text, "quantize %s bits=3", pairs[k][0]);
        layer l = open_layer(w, 8, 9, h), first = open_layer(w, 4, 9, a), second = open_layer(w + 36, 4, 9, b);
        l.groups = 2;
        float *all = apply_steps(&l, text), *x = apply_steps(&first, text), *y = apply_steps(&second, text);
        if (!strstr(text, "gsq") && !strstr(text, "tensor")) {
            assert_memory_equal(all, x, 36 * sizeof *x);
            assert_memory_equal(all + 36, y, 36 * sizeof *y);
        }
        free(all), free(x), free(y);
        layer_close(&l), layer_close(&first), layer_close(&second);
        l = open_layer(w, 8, 9, counts);
        l.diagonal = true;
        free(apply_steps(&l, text));
        layer_close(&l);
        error_of(w, 8, 9, text, one);
    }
    free(w), free(h), free(a), free(b);
}

static void refuses_what_it_cannot_do(void **state) {
    (void)state;
    base_err err = {0};
    float *w = random_matrix(4, 8, 4), *h = random_gram(8, 5);
    static const char *const steps[][2] = {{"quantize solver=bpdq granularity=tensor", "bpdq"},
                                           {"quantize solver=bpdq bits=9", "bpdq"}};
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        layer l = open_layer(w, 4, 8, h);
        compress_step s = make_step(steps[k][0]);
        if (s.kind->apply(&s, &l, &err)) fail_msg("%s was taken", steps[k][0]);
        if (!strstr(err.text, steps[k][1])) fail_msg("%s: %s", steps[k][0], err.text);
        layer_close(&l);
    }
    compress_step s = make_step("quantize solver=bpdq");
    const compress_step_kind *k = s.kind;
    assert_true(base_arg_set_number("quantize", k->args, k->arg_count, s.value, "sym", 1, &err));
    assert_false(k->check(&s, &err));
    assert_non_null(strstr(err.text, "bpdq"));
    free(w);
    free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_worse_than_nearest),         cmocka_unit_test(descent_goes_on_after_each),
        cmocka_unit_test(close_to_the_best_codes),          cmocka_unit_test(gsq_gradient_is_the_slope),
        cmocka_unit_test(decoupleq_floats_are_the_minimum), cmocka_unit_test(bpdq_fits_uneven_levels),
        cmocka_unit_test(golden_looks_at_the_output),       cmocka_unit_test(dual_scales_fit),
        cmocka_unit_test(same_codes_at_any_thread_count),   cmocka_unit_test(groups_embeddings_dead_inputs),
        cmocka_unit_test(refuses_what_it_cannot_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
