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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_worse_than_nearest), cmocka_unit_test(down_or_up),
        cmocka_unit_test(scales_are_the_minimum),   cmocka_unit_test(scales_of_a_byte),
        cmocka_unit_test(awq_of_many_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
