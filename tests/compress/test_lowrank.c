// Low rank beyond the plain product: split kernels, LoRD, factors of any data type. Compared with naive computations.
#include "compress/steps/lowrank.h"
#include "tests/compress/compress_support.h"

enum { OUT = 10, IN = 6, KH = 3, KW = 3, COLS = IN * KH * KW };

static layer open_conv(const float *w, const float *h) {
    layer l = open_layer(w, OUT, COLS, h);
    l.shape = (model_shape){4, {OUT, IN, KH, KW}};
    return l;
}

static double distance(const float *a, const float *b, int64_t n) {
    double sum = 0, all = 0;
    for (int64_t i = 0; i < n; i++) sum += pow((double)a[i] - (double)b[i], 2), all += pow((double)a[i], 2);
    return sqrt(sum / all);
}

// Kernels that are sums of two products v (y, channel) times h (x, out) are exactly of spatial rank 2; likewise
// channel.
static void test_exact(void **state) {
    (void)state;
    float *p = random_matrix(2, OUT * COLS, 1), *w = calloc(OUT * COLS, sizeof *w);
    for (int split = 0; split < 2; split++) {
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < IN; i++)
                for (int y = 0; y < KH; y++)
                    for (int x = 0; x < KW; x++) {
                        float sum = 0;
                        for (int k = 0; k < 2; k++) {
                            const float *v = p + k * OUT * COLS, *u = v + 200;
                            sum += split ? v[i] * u[(o * KH + y) * KW + x] : v[i * KH + y] * u[o * KW + x];
                        }
                        w[((o * IN + i) * KH + y) * KW + x] = 10 * sum;
                    }
        layer l = open_conv(w, NULL);
        float *wc = apply_steps(&l, split ? "lowrank split=channel rank=2" : "lowrank split=spatial rank=2");
        if (distance(w, wc, OUT * COLS) > 1e-5) fail_msg("split %d: %g", split, distance(w, wc, OUT * COLS));
        int64_t values = split ? 2 * (OUT * KH * KW + IN) : 2 * (OUT * KW + IN * KH);
        assert_int_equal(layer_bytes(&l), 4 * values);
        free(wc);
        layer_close(&l);
    }
    free(p);
    free(w);
}

static void test_split_whitened(void **state) {
    (void)state;
    static const char *const splits[] = {"spatial", "channel"};
    for (uint64_t seed = 1; seed < 5; seed++)
        for (int k = 0; k < 2; k++)
            for (int rank = 1; rank < 6; rank++) {
                float *w = random_matrix(OUT, COLS, seed), *h = random_gram(COLS, seed + 50);
                char plain[80], whitened[80];
                snprintf(plain, sizeof plain, "lowrank split=%s rank=%d", splits[k], rank);
                snprintf(whitened, sizeof whitened, "lowrank split=%s rank=%d method=whitened", splits[k], rank);
                layer a = open_conv(w, h), b = open_conv(w, h);
                float *pc = apply_steps(&a, plain), *wc = apply_steps(&b, whitened);
                double least = output_error(w, wc, OUT, COLS, h);
                assert_true(least <= output_error(w, pc, OUT, COLS, h) * (1 + 1e-6));
                // No other first factor does better: small moves of any of its values only add error.
                term *u = b.terms[0]->child[0]->child[0];
                float *values = u->blob[0].owned;
                base_err err;
                for (int64_t i = 0; i < u->rows * u->cols; i += 7)
                    for (int side = -1; side < 2; side += 2) {
                        float kept = values[i];
                        values[i] += (float)side * 1e-2f;
                        memset(wc, 0, OUT * COLS * sizeof *wc);
                        assert_true(term_decode(b.terms[0], wc, &err));
                        if (output_error(w, wc, OUT, COLS, h) < least * (1 - 1e-6))
                            fail_msg("%s: value %lld is not the best", whitened, (long long)i);
                        values[i] = kept;
                    }
                free(w), free(h), free(pc), free(wc);
                layer_close(&a);
                layer_close(&b);
            }
}

// U U^T W with U the leading eigenvectors of W C W^T, C = H - m m^T, by power iteration with deflation.
static void naive_lord(const float *w, const float *h, const float *mean, int rows, int cols, int rank, float *out) {
    double *g = calloc((size_t)(rows * rows), sizeof *g), *u = calloc((size_t)rows, sizeof *u),
           *next = calloc((size_t)rows, sizeof *next);
    memset(out, 0, (size_t)(rows * cols) * sizeof *out);
    for (int a = 0; a < rows; a++)
        for (int b = 0; b < rows; b++)
            for (int i = 0; i < cols; i++)
                for (int j = 0; j < cols; j++)
                    g[a * rows + b] += (double)w[a * cols + i] * (double)w[b * cols + j] *
                                       ((double)h[i * cols + j] - (double)mean[i] * (double)mean[j]);
    for (int k = 0; k < rank; k++) {
        double length = 0;
        for (int i = 0; i < rows; i++) u[i] = 1 + 0.1 * i * (k + 1);
        for (int turn = 0; turn < 20000; turn++) {
            length = 0;
            for (int i = 0; i < rows; i++) {
                next[i] = 0;
                for (int j = 0; j < rows; j++) next[i] += g[i * rows + j] * u[j];
                length += next[i] * next[i];
            }
            length = sqrt(length);
            for (int i = 0; i < rows; i++) u[i] = next[i] / length;
        }
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < rows; j++) g[i * rows + j] -= length * u[i] * u[j];
        for (int c = 0; c < cols; c++) {
            double dot = 0;
            for (int i = 0; i < rows; i++) dot += u[i] * (double)w[i * cols + c];
            for (int i = 0; i < rows; i++) out[i * cols + c] += (float)(u[i] * dot);
        }
    }
    free(g), free(u), free(next);
}

static void test_lord(void **state) {
    (void)state;
    enum { ROWS = 7, WIDE = 12 };
    float *w = random_matrix(ROWS, WIDE, 3), *h = random_gram(WIDE, 4), mean[WIDE], expected[ROWS * WIDE];
    for (int i = 0; i < WIDE; i++) mean[i] = 0.02f + 0.01f * (float)(i % 3);
    for (int i = 0; i < WIDE * WIDE; i++) h[i] += mean[i / WIDE] * mean[i % WIDE]; // second moment about 0
    layer_stats stats = {.mean = mean};
    for (int rank = 1; rank <= 4; rank++) {
        layer l = open_layer(w, ROWS, WIDE, h);
        l.stats = &stats;
        char step[64];
        snprintf(step, sizeof step, "lowrank method=lord rank=%d", rank);
        float *wc = apply_steps(&l, step);
        naive_lord(w, h, mean, ROWS, WIDE, rank, expected);
        if (distance(expected, wc, ROWS * WIDE) > 2e-3)
            fail_msg("rank %d: %g", rank, distance(expected, wc, ROWS * WIDE));
        free(wc);
        layer_close(&l);
    }
    layer l = open_layer(w, ROWS, WIDE, h); // no mean: behind a rotation
    compress_step s = make_step("lowrank method=lord rank=2");
    base_err err = {0};
    assert_false(s.kind->apply(&s, &l, &err));
    assert_non_null(strstr(err.text, "mean of its inputs"));
    layer_close(&l);
    free(w), free(h);
}

static void test_factor_types(void **state) {
    (void)state;
    static const struct {
        const char *type;
        double most; // relative error of the whole that its rounding may add
    } types[] = {{"f16", 1e-3}, {"int8", 0.02}, {"fp8", 0.08}, {"nf4", 0.25},     {"mxfp4", 0.3},
                 {"int4", 0.3}, {"e3m2", 0.15}, {"int", 0.3},  {"ternary", 0.75}, {"binary", 0.9}};
    float *w = random_matrix(48, 40, 5);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        layer l = open_layer(w, 48, 40, NULL);
        char step[64];
        snprintf(step, sizeof step, "lowrank rank=40 factors=%s", types[i].type);
        float *wc = apply_steps(&l, step);
        if (!(distance(w, wc, 48 * 40) < types[i].most)) fail_msg("%s: %g", types[i].type, distance(w, wc, 48 * 40));
        free(wc);
        layer_close(&l);
    }
    compress_step s = make_step("lowrank rank=2");
    base_err err;
    static const char *const refused[] = {"q4_K", "int17", "f64", "nonsense", ""};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_true(
            base_arg_set_text("lowrank", s.kind->args, s.kind->arg_count, s.value, "factors", refused[i], &err));
        assert_false(s.kind->check(&s, &err));
        assert_non_null(strstr(err.text, "factors"));
    }
    free(w);
}

// Layers of other shapes: no kernel, depthwise, a row or column of one, zero rows, dead inputs.
static void test_edges(void **state) {
    (void)state;
    static const struct {
        model_shape shape;
        int64_t groups;
    } cases[] = {{{2, {8, 12}}, 1},      {{4, {8, 1, 3, 3}}, 8}, {{4, {1, 1, 1, 1}}, 1},
                 {{4, {8, 4, 1, 1}}, 1}, {{4, {6, 2, 5, 1}}, 3}, {{4, {3, 1, 1, 7}}, 1}};
    static const char *const steps[] = {"lowrank split=spatial rank=2 method=whitened",
                                        "lowrank split=channel fraction=0.5 method=whitened factors=int8",
                                        "lowrank split=channel ratio=0.6"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            int64_t rows = cases[i].shape.dim[0], cols = 1, groups = cases[i].groups;
            for (int d = 1; d < cases[i].shape.ndim; d++) cols *= cases[i].shape.dim[d];
            float *w = random_matrix(rows, cols, 6), *h = calloc((size_t)(groups * cols * cols), sizeof *h);
            for (int64_t g = 0; g < groups; g++) {
                float *one = random_gram(cols, (uint64_t)g);
                memcpy(h + g * cols * cols, one, (size_t)(cols * cols) * sizeof *h);
                for (int64_t c = 0; cols > 1 && c < cols; c++) h[g * cols * cols + c] = h[(g * cols + c) * cols] = 0;
                free(one);
            }
            if (rows > 1) memset(w, 0, (size_t)cols * sizeof *w);
            layer l = open_layer(w, rows, cols, h);
            l.groups = groups;
            l.shape = cases[i].shape;
            float *wc = apply_steps(&l, steps[k]);
            for (int64_t c = 0; c < rows * cols; c++) assert_true(isfinite(wc[c]));
            free(wc), free(w), free(h);
            layer_close(&l);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),        cmocka_unit_test(test_split_whitened), cmocka_unit_test(test_lord),
        cmocka_unit_test(test_factor_types), cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
