// Data types under every solver: the learning ones on levels that are not even, what each promises of its result, and
// scales of one byte on every width of integers.
#include "compress/solvers/levels.h"
#include "compress/types/types.h"
#include "tests/compress/compress_support.h"

static const char *const uneven[] = {"nf4",          "nf bits=2",
                                     "nf bits=3",    "af4",
                                     "fp4",          "fp4-bnb",
                                     "fp8",          "e1m2",
                                     "e3m0",         "e2m1-nan",
                                     "e5m2-inf",     "mxfp4",
                                     "mxfp6",        "mxint8",
                                     "nvfp4",        "dynamic",
                                     "ternary",      "binary",
                                     "int bits=1",   "midrise bits=2",
                                     "lloyd bits=3", "power",
                                     "tanh",         "quantile bits=3",
                                     "nf4 split=1",  "fp4 split=1 group=16"};
enum { TYPES = sizeof uneven / sizeof *uneven };

static double error_of(const float *w, int64_t rows, int64_t cols, const float *h, const char *steps) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps), *zero = calloc((size_t)(rows * cols), sizeof *zero);
    for (int64_t i = 0; i < rows * cols; i++)
        if (!isfinite(out[i])) fail_msg("%s: weight %lld decodes to %g", steps, (long long)i, (double)out[i]);
    double whole = output_error(w, zero, rows, cols, h), error = output_error(w, out, rows, cols, h);
    free(zero);
    free(out);
    layer_close(&l);
    return whole > 0 ? error / whole : error;
}

// Solvers that keep the best they saw, rounding to nearest among it; adaround by its last pass, awq by not clipping.
static void never_worse_than_nearest(void **state) {
    (void)state;
    enum { R = 12, C = 48 };
    static const char *const solvers[] = {"adaround iterations=60",
                                          "adaquant iterations=60",
                                          "signround iterations=60",
                                          "gsq iterations=40",
                                          "decoupleq",
                                          "awq"};
    float *w = random_matrix(R, C, 71), *h = random_gram(C, 72);
    double better[6] = {0};
    for (int t = 0; t < TYPES; t++)
        for (int s = 0; s < 6; s++) {
            char steps[160];
            snprintf(steps, sizeof steps, "quantize dtype=%s", uneven[t]);
            double rtn = error_of(w, R, C, h, steps);
            snprintf(steps, sizeof steps, "quantize solver=%s dtype=%s", solvers[s], uneven[t]);
            double e = error_of(w, R, C, h, steps);
            // awq looks at each group's own inputs, which for blocks is not the whole row.
            bool blocks = strstr(uneven[t], "mx") || strstr(uneven[t], "nv") || strstr(uneven[t], "group");
            if (e > rtn * (s == 5 && blocks ? 1.2 : 1 + 1e-6)) fail_msg("%s: %g, rtn %g", steps, e, rtn);
            better[s] += e / rtn / TYPES;
        }
    for (int s = 0; s < 6; s++) {
        print_message("%s: mean error %.3f of rounding to nearest over %d types\n", solvers[s], better[s], TYPES);
        if (!(better[s] < (s == 5 ? 0.97 : 0.75))) fail_msg("%s: mean error %g of rtn", solvers[s], better[s]);
    }
    free(w);
    free(h);
}

// adaround: every weight is at one of the two levels around it, and no single change to the other one lowers the error.
static void down_or_up(void **state) {
    (void)state;
    enum { R = 3, C = 24 };
    float *w = random_matrix(R, C, 73), *h = random_gram(C, 74);
    static const char *const types[] = {"nf4", "e2m1", "lloyd bits=2", "ternary", "binary"};
    for (int t = 0; t < 5; t++) {
        char steps[96];
        layer l = open_layer(w, R, C, h), again = open_layer(w, R, C, h);
        snprintf(steps, sizeof steps, "quantize scale=f32 dtype=%s", types[t]);
        free(apply_steps(&again, steps));
        snprintf(steps, sizeof steps, "quantize scale=f32 solver=adaround iterations=100 dtype=%s", types[t]);
        float *out = apply_steps(&l, steps);
        for (int i = 0; i < R * C; i++) {
            // The levels around w, from the finer table: all values a row takes in ten thousand steps of w.
            const term *made = again.terms[0];
            grid_spec g = {0};
            grid_table table;
            table_type type = {0};
            base_err err = {0};
            bool is_table = made->kind == &term_table;
            if (is_table) {
                type = (table_type){(table_kind)made->attr[TABLE_KIND], (int)made->attr[TABLE_BITS],
                                    (int)made->attr[TABLE_MANTISSA], 0};
                assert_true(table_build(&type, NULL, &table, &err));
                g.table = &table;
            } else {
                g.scheme = made->attr[UNIFORM_SCHEME];
                g.bits = made->attr[UNIFORM_BITS];
            }
            level_list list;
            assert_true(levels_of(&g, &list));
            scale_place at = {is_table ? (int)TABLE_SCALES : (int)UNIFORM_SCALES, 3, SCALE_PLAIN};
            float scale = scales_at(made, at, i / C);
            int below = levels_below(&list, w[i] / scale);
            float low = list.level[below] * scale, high = list.level[below + 1] * scale, now = out[i];
            bool is_low = fabsf(now - low) < 1e-6f * fabsf(high - low);
            if (!is_low && !(fabsf(now - high) < 1e-6f * fabsf(high - low)))
                fail_msg("%s: %g became %g, the levels around it are %g and %g", types[t], (double)w[i], (double)now,
                         (double)low, (double)high);
            double before = output_error(w, out, R, C, h);
            out[i] = is_low ? high : low;
            double after = output_error(w, out, R, C, h);
            out[i] = now;
            if (after < before * (1 - 1e-4))
                fail_msg("%s: weight %d: %g, the other way %g", types[t], i, before, after);
        }
        free(out);
        layer_close(&l);
        layer_close(&again);
    }
    free(w);
    free(h);
}

// decoupleq's scales are the minimum for its codes: no scale of a group, of either sign, is better a little away.
static void scales_are_the_minimum(void **state) {
    (void)state;
    enum { R = 4, C = 32, G = 16 };
    float *w = random_matrix(R, C, 75), *h = random_gram(C, 76);
    static const char *const types[] = {"nf4", "nf4 split=1", "e2m1", "e2m1 split=1", "ternary"};
    for (int t = 0; t < 5; t++) {
        char steps[96];
        snprintf(steps, sizeof steps, "quantize solver=decoupleq scale=f32 group=16 dtype=%s", types[t]);
        layer l = open_layer(w, R, C, h);
        float *out = apply_steps(&l, steps);
        double found = output_error(w, out, R, C, h);
        bool split = strstr(types[t], "split");
        for (int r = 0; r < R; r++)
            for (int g = 0; g < C / G; g++)
                for (int move = 0; move < (split ? 4 : 2); move++) {
                    float copy[R * C], factor = move % 2 ? 1.004f : 0.996f;
                    memcpy(copy, out, sizeof copy);
                    for (int c = g * G; c < (g + 1) * G; c++)
                        if (!split || (copy[r * C + c] < 0) == (move / 2)) copy[r * C + c] *= factor;
                    double e = output_error(w, copy, R, C, h);
                    if (e < found * (1 - 1e-5))
                        fail_msg("%s, row %d group %d: %g, with scale times %g %g", types[t], r, g, found,
                                 (double)factor, e);
                }
        free(out);
        layer_close(&l);
    }
    free(w);
    free(h);
}

// Scales of one byte for integers of every width, with and without a zero point: the step is at most twice (e8m0), or a
// sixteenth more than (e4m3), that of a float scale, and nothing of the range is cut off.
static void scales_of_a_byte(void **state) {
    (void)state;
    enum { R = 8, C = 64 };
    float *w = random_matrix(R, C, 77), *h = random_gram(C, 78);
    for (int bits = 1; bits <= 16; bits++)
        for (int sym = 0; sym < 2; sym++)
            for (int form = 0; form < 2; form++) {
                static const char *const solvers[] = {"rtn", "gptq", "obq", "adaround iterations=20",
                                                      "deepcabac lambda=0"};
                for (int s = 0; s < 5; s++) {
                    char steps[160];
                    snprintf(steps, sizeof steps, "quantize solver=%s range=minmax bits=%d sym=%d group=16 scale=f32",
                             solvers[s], bits, sym);
                    double plain = error_of(w, R, C, h, steps);
                    snprintf(steps, sizeof steps, "quantize solver=%s range=minmax bits=%d sym=%d group=16 scale=%s",
                             solvers[s], bits, sym, form ? "e4m3" : "e8m0");
                    double e = error_of(w, R, C, h, steps);
                    double limit = bits < 4 ? 3 : plain * (form ? 2.5 : 6) + 1e-11;
                    if (!(e < limit)) fail_msg("%s: error %g, with float scales %g", steps, e, plain);
                }
            }
    double hqq = error_of(w, R, C, h, "quantize solver=hqq bits=8 sym=0 group=16 scale=e8m0");
    assert_true(hqq < 1e-3);
    free(w);
    free(h);
}

// awq once kept its codes in bytes.
static void awq_of_many_bits(void **state) {
    (void)state;
    float *w = random_matrix(6, 32, 79), *h = random_gram(32, 80);
    double last = 1;
    for (int bits = 4; bits <= 16; bits++) {
        char steps[80];
        snprintf(steps, sizeof steps, "quantize solver=awq sym=0 bits=%d scale=f32", bits);
        double e = error_of(w, 6, 32, h, steps);
        if (!(e < last)) fail_msg("%s: error %g, a bit fewer %g", steps, e, last);
        last = e;
    }
    assert_true(last < 1e-8);
    free(w);
    free(h);
}

// ---- grids as they are published -------------------------------------------------------------------

static float most_of(const float *w, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(w[i]));
    return most;
}

// ParetoQ's stretched elastic quantiser: (round(clip(w / a) L - shift) + shift) / L, L = 2^(b-1) and shift 1/2, for
// ternary 3/2 and 0, a the largest magnitude of the row.
static void stretched_elastic(void **state) {
    (void)state;
    enum { R = 4, C = 40 };
    float *w = random_matrix(R, C, 81);
    for (int bits = 0; bits <= 4; bits++) {
        char steps[96];
        if (bits)
            snprintf(steps, sizeof steps, "quantize dtype=seq bits=%d scale=f32", bits);
        else
            snprintf(steps, sizeof steps, "quantize dtype=ternary range=absmax scale=f32");
        layer l = open_layer(w, R, C, NULL);
        float *out = apply_steps(&l, steps);
        for (int i = 0; i < R * C; i++) {
            float a = most_of(w + i / C * C, C), n = bits ? (float)(1 << bits) / 2 : 1.5f, shift = bits ? 0.5f : 0;
            float x = fmaxf(-0.99f, fminf(0.99f, w[i] / a));
            float want = (nearbyintf(x * n - shift) + shift) / n * a;
            if (fabsf(out[i] - want) > 1e-5f * a)
                fail_msg("%s: %g became %g, expected %g", steps, (double)(w[i] / a), (double)(out[i] / a),
                         (double)(want / a));
        }
        free(out);
        layer_close(&l);
    }
    free(w);
}

// DoReFa, equation 9: 2 round((2^k - 1)(tanh w / (2 max |tanh|) + 1/2)) / (2^k - 1) - 1 are the levels in tanh(w); the
// weights take the nearest one, which may be the next where two are nearly as far.
static void dorefa_levels(void **state) {
    (void)state;
    enum { N = 200 };
    float *w = random_matrix(1, N, 82);
    for (int i = 0; i < N; i++) w[i] *= 15;
    for (int bits = 2; bits <= 6; bits++) {
        char steps[96];
        snprintf(steps, sizeof steps, "quantize dtype=dorefa bits=%d granularity=tensor scale=f32", bits);
        layer l = open_layer(w, 1, N, NULL);
        float *out = apply_steps(&l, steps);
        double top = tanh((double)most_of(w, N)), parts = (1 << bits) - 1;
        int same = 0;
        for (int i = 0; i < N; i++) {
            double place = (tanh((double)out[i]) / top + 1) / 2 * parts,
                   want = (tanh((double)w[i]) / top + 1) / 2 * parts;
            if (fabs(place - nearbyint(place)) > 1e-3) fail_msg("%s: %g is no level", steps, (double)out[i]);
            if (fabs(nearbyint(place) - nearbyint(want)) > 1) fail_msg("%s: %g far off", steps, (double)out[i]);
            same += nearbyint(place) == nearbyint(want);
        }
        if (same < N * 70 / 100) fail_msg("%s: only %d of %d as by rounding in tanh", steps, same, N);
        free(out);
        layer_close(&l);
    }
    free(w);
}

// The restricted range: no solver uses the lowest code, which all of them use where they may.
static void narrow_integers(void **state) {
    (void)state;
    enum { R = 16, C = 64 };
    float *w = random_matrix(R, C, 83), *h = random_gram(C, 84);
    static const char *const solvers[] = {"gptq", "adaround iterations=30", "adaquant iterations=50", "obq",
                                          "decoupleq"};
    int lowest[2] = {0};
    for (int narrow = 0; narrow < 2; narrow++)
        for (int s = 0; s < 5; s++) {
            char steps[128];
            snprintf(steps, sizeof steps, "quantize dtype=int3 range=mse scale=f32 solver=%s narrow=%d", solvers[s],
                     narrow);
            layer l = open_layer(w, R, C, h);
            free(apply_steps(&l, steps));
            const term *t = l.terms[0];
            grid_code codes[R * C];
            grid_codes_unpack(t->blob[0].data, 0, R * C, 3, UNIFORM_SYM, codes);
            for (int i = 0; i < R * C; i++) lowest[narrow] += codes[i] == 0;
            layer_close(&l);
        }
    assert_true(lowest[0] > 0);
    assert_int_equal(lowest[1], 0);
    double absmax = error_of(w, R, C, NULL, "quantize bits=8"),
           narrow = error_of(w, R, C, NULL, "quantize bits=8 narrow=1");
    assert_true(absmax == narrow); // extremes of both signs are levels, the lowest is never needed
    free(w);
    free(h);
}

// A scale an input: plainly; bytes; gptq, masks and the searches on it.
static void columns(void **state) {
    (void)state;
    enum { R = 24, C = 18 };
    float *w = random_matrix(R, C, 85), *h = random_gram(C, 86), most[C] = {0};
    for (int i = 0; i < R * C; i++) w[i] *= 1 + (float)(i % C % 5) * 3;
    for (int i = 0; i < R * C; i++) most[i % C] = fmaxf(most[i % C], fabsf(w[i]));
    layer l = open_layer(w, R, C, h);
    float *out = apply_steps(&l, "quantize dtype=int4 granularity=column scale=f32");
    for (int i = 0; i < R * C; i++) {
        float scale = most[i % C] / 7, want = nearbyintf(w[i] / scale) * scale;
        if (fabsf(out[i] - want) > 1e-5f * most[i % C])
            fail_msg("weight %d: %g, expected %g", i, (double)out[i], (double)want);
    }
    assert_int_equal(layer_bytes(&l), R * C / 2 + 4 + 4 * C);
    layer_close(&l);
    free(out);
    double column = error_of(w, R, C, NULL, "quantize bits=4 granularity=column"),
           row = error_of(w, R, C, NULL, "quantize bits=4");
    if (!(column < 0.9 * row)) fail_msg("columns %g, rows %g", column, row);
    static const char *const types[] = {"int4", "nf4", "e2m1", "ternary", "binary", "seq bits=3"};
    for (int t = 0; t < 6; t++) {
        static const char *const solvers[] = {"gptq range=absmax",
                                              "obq range=absmax",
                                              "adaround iterations=50 range=absmax",
                                              "adaquant iterations=50 range=absmax",
                                              "signround iterations=50 range=absmax",
                                              "gsq iterations=40 range=absmax",
                                              "decoupleq range=absmax"};
        char steps[160];
        snprintf(steps, sizeof steps, "quantize granularity=column range=absmax dtype=%s", types[t]);
        double rtn = error_of(w, R, C, h, steps);
        for (int s = 0; s < 7; s++) {
            snprintf(steps, sizeof steps, "quantize granularity=column dtype=%s solver=%s", types[t], solvers[s]);
            double e = error_of(w, R, C, h, steps);
            if (!(e <= rtn)) fail_msg("%s: %g, rtn %g", steps, e, rtn);
        }
        snprintf(steps, sizeof steps, "prune sparsity=0.5; quantize granularity=column solver=gptq dtype=%s", types[t]);
        assert_true(error_of(w, R, C, h, steps) < 1);
    }
    double plain = error_of(w, R, C, NULL, "quantize bits=3 granularity=column"),
           mse = error_of(w, R, C, NULL, "quantize bits=3 granularity=column range=mse");
    assert_true(mse < plain);
    free(w);
    free(h);
}

// ---- what searches weigh by ------------------------------------------------------------------------

// imatrix weighs by the diagonal of H for every granularity and solver that searches ranges: under an H of very
// different diagonal entries it beats the plain least-squares search in the error it weighs.
static void searches_weigh(void **state) {
    (void)state;
    enum { R = 10, C = 60 };
    float *w = random_matrix(R, C, 87), *h = calloc((size_t)C * C, sizeof *h);
    for (int i = 0; i < C; i++) h[i * (C + 1)] = i % 6 ? 0.002f : 5;
    for (int i = 0; i < R * C; i++) w[i] *= i % C % 6 ? 4 : 1; // what counts is small
    static const char *const grids[] = {"bits=3",        "bits=3 sym=0", "dtype=nf4",
                                        "dtype=ternary", "dtype=binary", "bits=1"};
    static const char *const ways[] = {"", "granularity=tensor", "group=30", "solver=obq", "solver=gptq"};
    for (int g = 0; g < 6; g++)
        for (int k = 0; k < 5; k++) {
            char steps[128];
            snprintf(steps, sizeof steps, "quantize %s %s range=mse", grids[g], ways[k]);
            double plain = error_of(w, R, C, h, steps);
            snprintf(steps, sizeof steps, "quantize %s %s range=imatrix", grids[g], ways[k]);
            double weighed = error_of(w, R, C, h, steps);
            // gptq and obq on a diagonal H only round.
            if (!(weighed < 0.9 * plain)) fail_msg("%s: %g, without weights %g", steps, weighed, plain);
        }
    free(w);
    free(h);
}

// near: of the hundred and one ranges of SliM-LLM's calibration none has a smaller sum |w - q|^2.4.
static void ranges_near_the_extremes(void **state) {
    (void)state;
    enum { C = 48 };
    float *w = random_matrix(1, C, 89);
    grid_spec g = {.scheme = UNIFORM_ASYM, .bits = 2, .search = SEARCH_NEAR, .scale = NUM_F32};
    grid_param p;
    base_err err = {0};
    assert_true(grid_fit(&g, w, C, NULL, &p, &err));
    float low = 0, high = 0;
    for (int i = 0; i < C; i++) low = fminf(low, w[i]), high = fmaxf(high, w[i]);
    double found = 0, least = INFINITY;
    for (int k = 0; k <= 101; k++) {
        float f = k <= 50 ? 1 + 0.002f * (float)k : 1 - 0.002f * (float)(k - 50),
              s = k > 100 ? p.scale : f * (high - low) / 3;
        float z = k > 100 ? p.zero : nearbyintf(-f * low / s);
        double e = 0;
        for (int i = 0; i < C; i++)
            e += pow(fabs((double)(s * (fmaxf(0, fminf(3, nearbyintf(w[i] / s) + z)) - z) - w[i])), 2.4);
        if (k > 100) found = e;
        least = fmin(least, e);
    }
    if (!(found <= least * (1 + 1e-4))) fail_msg("error %g, the least %g", found, least);
    free(w);
}

// Ternary under weights: no scale on a fine grid is better than the one found.
static void ternary_is_exact(void **state) {
    (void)state;
    enum { C = 50 };
    float *w = random_matrix(1, C, 88), weight[C];
    num_rng rng = num_rng_seed(5, 6);
    for (int i = 0; i < C; i++) weight[i] = (float)(0.01 + num_rng_unit(&rng));
    grid_spec g = {.scheme = UNIFORM_TERNARY, .bits = 2, .search = SEARCH_IMATRIX, .scale = NUM_F32};
    grid_param p;
    base_err err = {0};
    assert_true(grid_fit_weighted(&g, w, weight, C, NULL, &p, &err));
    double found = 0, least = INFINITY;
    for (int k = 0; k <= 4000; k++) {
        double s = k ? 0.2 * k / 4000 : (double)p.scale, e = 0;
        for (int i = 0; i < C; i++) {
            double a = fabs((double)w[i]), d = a > s / 2 ? a - s : a;
            e += (double)weight[i] * d * d;
        }
        if (!k) found = e;
        least = e < least ? e : least;
    }
    if (found > least * (1 + 1e-6)) fail_msg("error %g, the best %g", found, least);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_worse_than_nearest),
        cmocka_unit_test(down_or_up),
        cmocka_unit_test(scales_are_the_minimum),
        cmocka_unit_test(scales_of_a_byte),
        cmocka_unit_test(awq_of_many_bits),
        cmocka_unit_test(stretched_elastic),
        cmocka_unit_test(dorefa_levels),
        cmocka_unit_test(narrow_integers),
        cmocka_unit_test(columns),
        cmocka_unit_test(searches_weigh),
        cmocka_unit_test(ternary_is_exact),
        cmocka_unit_test(ranges_near_the_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
