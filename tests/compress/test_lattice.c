// E8P and trellis codes: tables against what defines them, searches against exhaustive ones, distortion of N(0, 1)
// against the published figures, feedback that lowers the output error, every size, and the stored form.
#include "compress/types/lattice.h"
#include "compress/types/scalar.h"
#include "tests/compress/compress_support.h"

static void normals(float *x, int64_t n, uint64_t seed) {
    num_rng r = num_rng_seed(seed, 3);
    for (int64_t i = 0; i < n; i++) x[i] = (float)num_rng_normal(&r);
}

// ---- E8P -----------------------------------------------------------------------------------------

static void test_e8_points(void **state) {
    (void)state;
    const e8_code *e = e8_open();
    float(*points)[8] = malloc(65536 * sizeof *points);
    int far = 0;
    for (int c = 0; c < 65536; c++) {
        uint16_t code[2] = {(uint16_t)c, 0};
        e8_decode(e, 2, code, points[c]);
        // In E8 + 1/4: less the move all coordinates are halves of odd numbers with an even sum.
        double move = c & 1 ? 0.25 : -0.25, sum = 0, norm = 0;
        for (int i = 0; i < 8; i++) {
            double v = (double)points[c][i] * 1.03 - move;
            assert_true(fabs(v - 0.5 - floor(v)) < 1e-5);
            sum += v;
            norm += v * v;
        }
        assert_true(fabs(fmod(sum, 2)) < 1e-4 || fabs(fabs(fmod(sum, 2)) - 2) < 1e-4);
        assert_true(norm < 12.001);
        far += norm > 11;
    }
    assert_int_equal(far, 29 * 256);
    // The search finds the nearest of all of them.
    float x[8], q[8];
    uint16_t code[2];
    for (uint64_t k = 0; k < 100; k++) {
        normals(x, 8, 100 + k);
        for (int i = 0; k % 10 == 0 && i < 8; i++) x[i] *= 3;
        e8_encode(e, 2, x, code, q);
        double best = INFINITY, got = num_diff_squares(x, q, 8);
        for (int c = 0; c < 65536; c++) best = fmin(best, num_diff_squares(x, points[c], 8));
        assert_true(got <= best * (1 + 1e-5));
        assert_memory_equal(q, points[code[0]], sizeof q);
    }
    for (int a = 1; a < 65536; a += 257) // no point twice
        for (int b = 0; b < 65536; b++) assert_true(a == b || memcmp(points[a], points[b], sizeof *points));
    free(points);
}

static double e8_error(int bits) {
    enum { N = 1 << 14 };
    float x[8], q[8];
    uint16_t code[2];
    double sum = 0;
    for (uint64_t k = 0; k < N; k++) {
        normals(x, 8, k);
        e8_encode(e8_open(), bits, x, code, q);
        sum += num_diff_squares(x, q, 8);
    }
    return sum / (8.0 * N);
}

// The nearest of all points at the authors' scale: 0.0915 (QTIP's table says 0.089).
static void test_e8_distortion(void **state) {
    (void)state;
    double two = e8_error(2), three = e8_error(3), four = e8_error(4);
    print_message("E8P error of N(0,1): %.4f at 2 bits, %.4f at 3, %.5f at 4\n", two, three, four);
    assert_true(fabs(two - 0.089) < 0.003);
    assert_true(two < 0.1175 && two > scalar_rate_distortion(2));
    assert_true(three < 0.035 && three > scalar_rate_distortion(3)); // Lloyd-Max at 3 bits: 0.0345
    assert_true(four < 0.0098 && four > scalar_rate_distortion(4));  // Lloyd-Max at 4 bits: 0.0095
}

// ---- trellis -------------------------------------------------------------------------------------

static void test_viterbi_exhaustive(void **state) {
    (void)state;
    static const int shapes[][4] = {{5, 2, 1, 6}, {4, 1, 1, 12}, {6, 3, 2, 4},
                                    {3, 3, 4, 3}, {7, 2, 1, 5},  {6, 2, 2, 6}};
    base_err err = {0};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        int bits = shapes[k][0], step = shapes[k][1], values = shapes[k][2], steps = shapes[k][3], n = steps * values;
        trellis_code t;
        assert_true(trellis_open(&t, TRELLIS_NORMAL, bits, step, values, &err));
        void *room = malloc(trellis_room(&t, steps));
        float x[32], w[32], v[32];
        uint16_t states[16], codes[16], all[16];
        normals(x, n, 7 + k);
        for (int i = 0; i < n; i++) w[i] = 0.5f + (float)(i % 3);
        int64_t before = (int64_t)1 << (bits - step);
        double ring = INFINITY;
        for (int64_t overlap = -1; overlap < before; overlap++) {
            double least = INFINITY, got = trellis_viterbi(&t, steps, x, w, overlap, states, room);
            for (int64_t word = 0; word < (int64_t)1 << (bits - step + steps * step); word++) {
                int64_t first = word >> (steps * step);
                double cost = 0;
                uint32_t s = (uint32_t)first;
                if (overlap >= 0 && first != overlap) continue;
                for (int i = 0; i < steps; i++) {
                    s = (s << step | (uint32_t)(word >> ((steps - 1 - i) * step) & ((1 << step) - 1))) &
                        ((1u << bits) - 1);
                    for (int j = 0; j < values; j++) {
                        double d = (double)x[i * values + j] - (double)t.value[(j << bits) + (int64_t)s];
                        cost += (double)w[i * values + j] * d * d;
                    }
                }
                if ((overlap < 0 || (s & (before - 1)) == overlap) && cost < least) least = cost;
            }
            assert_true(fabs(got - least) <= 1e-5 * least);
            if (overlap >= 0) ring = fmin(ring, least);
        }
        // The ring: what is coded decodes to the cost that was told, never below the best of all rings.
        double told = trellis_encode(&t, steps, x, w, codes, room), cost = 0;
        trellis_decode(&t, steps, codes, v);
        for (int i = 0; i < n; i++) cost += (double)(w[i] * (x[i] - v[i]) * (x[i] - v[i]));
        assert_true(fabs(told - cost) <= 1e-5 * cost && cost >= ring * (1 - 1e-5) && cost < 3 * ring + 1);
        // Each ring of bits is a sequence of its own.
        for (int i = 0; i < steps; i++) all[i] = (uint16_t)(i % (1 << step));
        trellis_decode(&t, steps, all, v);
        free(room);
        trellis_close(&t);
    }
}

static double trellis_error(int form, int bits, int step, int values, int runs) {
    enum { N = 256 };
    base_err err = {0};
    trellis_code t;
    assert_true(trellis_open(&t, form, bits, step, values, &err));
    int steps = N / values;
    void *room = malloc(trellis_room(&t, steps));
    float x[N], w[N], v[N];
    uint16_t codes[N];
    double sum = 0, told = 0;
    for (int i = 0; i < N; i++) w[i] = 1;
    for (int k = 0; k < runs; k++) {
        normals(x, N, (uint64_t)k);
        told += trellis_encode(&t, steps, x, w, codes, room);
        trellis_decode(&t, steps, codes, v);
        sum += num_diff_squares(x, v, N);
    }
    assert_true(fabs(told - sum) < 1e-3 * sum);
    free(room);
    trellis_close(&t);
    return sum / (N * (double)runs);
}

// QTIP, table 1 (2 bits, L = 16, length 256, tail-biting): 1mad 0.069, 3inst 0.069, random permutation 0.068; hyb, of
// two values a step, 0.071.
static void test_trellis_distortion(void **state) {
    (void)state;
    static const char *const names[] = {"normal", "1mad", "3inst", "hyb"};
    for (int form = 0; form < 4; form++) {
        double begin = base_now(),
               wide = trellis_error(form, 16, form == TRELLIS_HYB ? 4 : 2, form == TRELLIS_HYB ? 2 : 1, 8),
               seconds = base_now() - begin;
        double narrow = trellis_error(form, 12, form == TRELLIS_HYB ? 4 : 2, form == TRELLIS_HYB ? 2 : 1, 64);
        print_message("%s: error of N(0,1) at 2 bits %.4f (L 16, %.1f ms a run of 256), %.4f (L 12)\n", names[form],
                      wide, seconds * 125, narrow);
        assert_true(wide < 0.0735 && wide > 0.0625 && narrow < 0.080 && narrow > 0.0625);
    }
    static const struct {
        int step, values;
        double worst; // over D(R), dB
    } rates[] = {{1, 1, 0.8}, {3, 2, 0.9}, {5, 2, 1.2}, {3, 1, 1.2},
                 {5, 4, 0.9}, {4, 1, 1.6}, {7, 4, 1.0}, {1, 2, 0.8}};
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
        double rate = (double)rates[k].step / rates[k].values;
        double error = trellis_error(TRELLIS_NORMAL, 12, rates[k].step, rates[k].values, 32);
        double over = 10 * log10(error / scalar_rate_distortion(rate));
        print_message("%.2f bits: %.4f, %.2f dB over D(R)\n", rate, error, over);
        assert_true(over > -0.15 && over < rates[k].worst);
    }
}

// ---- the steps -----------------------------------------------------------------------------------

static double step_error(const char *steps, const float *w, int64_t rows, int64_t cols, const float *h) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps);
    double e = output_error(w, out, rows, cols, h);
    layer_close(&l);
    free(out);
    return e;
}

// Feedback lowers the output error, the descent lowers it further, both beat the same bits of gptq, and threads change
// nothing.
static void test_feedback(void **state) {
    (void)state;
    enum { ROWS = 32, COLS = 96 };
    float *w = random_matrix(ROWS, COLS, 11), *h = random_gram(COLS, 12);
    static const char *const coders[] = {"trellis bits=2 state=9",
                                         "e8 bits=2 along=column",
                                         "e8 bits=2 along=row",
                                         "trellis bits=1.5 state=8",
                                         "trellis bits=2 state=10 code=hyb",
                                         "e8 bits=2 code=lattice along=column",
                                         "e8 bits=1.5 code=lattice along=row"};
    double gptq = step_error("quantize solver=gptq bits=2 order=act range=mse", w, ROWS, COLS, h);
    for (size_t k = 0; k < sizeof coders / sizeof *coders; k++) {
        char text[3][128];
        snprintf(text[0], sizeof *text, "%s feedback=none passes=0", coders[k]);
        snprintf(text[1], sizeof *text, "%s passes=0", coders[k]);
        snprintf(text[2], sizeof *text, "%s passes=3", coders[k]);
        double none = step_error(text[0], w, ROWS, COLS, h), swept = step_error(text[1], w, ROWS, COLS, h),
               down = step_error(text[2], w, ROWS, COLS, h);
        print_message("%s: %.5f alone, %.5f with feedback, %.5f after descent; gptq %.5f\n", coders[k], none, swept,
                      down, gptq);
        assert_true(swept < 0.8 * none && down < swept);
        assert_true(strstr(coders[k], "bits=1.5") || down < 0.8 * gptq);
        num_set_threads(1);
        assert_true(step_error(text[2], w, ROWS, COLS, h) == down);
        num_set_threads(0);
    }
    free(w);
    free(h);
}

// More bits, less error; and every size, with dead inputs, rows of zeros and constants, one sample.
static void test_sizes(void **state) {
    (void)state;
    static const char *const steps[] = {"trellis bits=1 state=8",
                                        "trellis bits=2 state=8",
                                        "trellis bits=1.75 state=10",
                                        "trellis bits=4 state=8",
                                        "trellis bits=2 state=9 code=hyb",
                                        "e8 bits=2.5 code=lattice",
                                        "e8 bits=2 along=row",
                                        "e8 bits=3",
                                        "e8 bits=4"};
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {1, 65}, {10, 5}, {64, 9}, {5, 31}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t rows = sizes[i][0], cols = sizes[i][1];
        float *w = random_matrix(rows, cols, 20 + i), *h = random_gram(cols, 30 + i);
        double before = INFINITY;
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            float *zero = calloc((size_t)(rows * cols), sizeof *zero);
            double e = step_error(steps[k], w, rows, cols, h), all = output_error(w, zero, rows, cols, h);
            assert_true(e >= 0 && e < 0.6 * all);
            if (k == 3) assert_true(e <= before);
            if (k == 0) before = e;
            free(zero);
        }
        for (int64_t c = 0; c < cols; c++) // a dead input, a row of zeros, a constant row
            for (int64_t r = 0; r < cols; r++) h[(cols / 2) * cols + r] = h[r * cols + cols / 2] = 0;
        for (int64_t c = 0; c < cols; c++) {
            w[c] = 0;
            if (rows > 1) w[cols + c] = 0.25f;
        }
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            assert_true(isfinite(step_error(steps[k], w, rows, cols, h)));
            memset(h, 0, (size_t)(cols * cols) * sizeof *h);
            for (int64_t c = 0; c < cols; c++) h[c * cols + c] = c == 0; // one sample that fires one input
            assert_true(isfinite(step_error(steps[k], w, rows, cols, h)));
            memset(h, 0, (size_t)(cols * cols) * sizeof *h);
            assert_true(isfinite(step_error(steps[k], w, rows, cols, h)));
        }
        free(w);
        free(h);
    }
}

// The lattice with an entropy coder: the bits that were asked for are what is stored, and at them the error is below
// that of Lloyd-Max levels with any coder (scalar quantisers stay 1.53 dB above D(R), E8 can come to 0.88).
static void test_lattice_rate(void **state) {
    (void)state;
    enum { ROWS = 64, COLS = 512 };
    float *w = random_matrix(ROWS, COLS, 61);
    static const double rates[] = {1, 2, 3, 4.5};
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
        char text[96];
        snprintf(text, sizeof text, "e8 code=lattice bits=%g feedback=none scales=layer; code coder=%s", rates[k],
                 k % 2 ? "cabac" : "ans");
        layer l = open_layer(w, ROWS, COLS, NULL);
        float *out = apply_steps(&l, text);
        double rate = 8 * (double)term_bytes(l.terms[0]) / (ROWS * COLS), all = num_sum_squares(w, ROWS * COLS);
        double error = num_diff_squares(w, out, ROWS * COLS) / all;
        double over = 10 * log10(error / scalar_rate_distortion(rate));
        print_message("%g bits asked, %.3f stored, error %.5f, %.2f dB over D(R)\n", rates[k], rate, error, over);
        assert_true(fabs(rate - rates[k]) < 0.04 + 0.01 * rates[k]);
        // Even levels with any coder: 1.49 dB at 2 bits, 1.53 at many; what the tables of the coder take is counted
        // here.
        assert_true(over < (rates[k] < 2 ? 1.6 : 1.35));
        free(out);
        layer_close(&l);
    }
    // A weight far outside: it is drawn in to what is stored, and all others stay.
    w[7] = 1000;
    layer l = open_layer(w, ROWS, COLS, NULL);
    float *out = apply_steps(&l, "e8 code=lattice bits=5 feedback=none");
    for (int i = COLS; i < ROWS * COLS; i++) assert_true(fabsf(out[i] - w[i]) < 0.02f);
    free(out);
    layer_close(&l);
    free(w);
}

// Each group of a grouped convolution has its own inputs; depthwise: one row each. An embedding has none.
static void test_groups(void **state) {
    (void)state;
    enum { GROUPS = 8, COLS = 9 };
    float *w = random_matrix(GROUPS, COLS, 41), *h = malloc(GROUPS * COLS * COLS * sizeof *h);
    for (int g = 0; g < GROUPS; g++) {
        float *one = random_gram(COLS, 50 + (uint64_t)g);
        for (int i = 0; i < COLS * COLS; i++) h[g * COLS * COLS + i] = one[i] * (g % 2 ? 1.0f : 9.0f);
        free(one);
    }
    static const char *const steps[] = {"trellis state=8 passes=0",
                                        "trellis state=8",
                                        "trellis state=9 code=hyb",
                                        "e8 code=lattice",
                                        "e8 along=column",
                                        "e8 along=row",
                                        "pvq pulses=7",
                                        "simvq",
                                        "lr2vq"};
    enum { STEPS = sizeof steps / sizeof *steps };
    double error[STEPS];
    for (int k = 0; k < STEPS; k++) {
        layer l = open_layer(w, GROUPS, COLS, h);
        l.groups = GROUPS;
        float *out = apply_steps(&l, steps[k]);
        error[k] = 0;
        for (int g = 0; g < GROUPS; g++)
            error[k] += output_error(w + g * COLS, out + g * COLS, 1, COLS, h + g * COLS * COLS);
        free(out);
        layer_close(&l);
        l = open_layer(w, GROUPS, COLS, h); // h: counts of rows
        l.diagonal = true;
        out = apply_steps(&l, steps[k]);
        double lost = output_error(w, out, GROUPS, COLS, NULL);
        memset(out, 0, GROUPS * COLS * sizeof *out);
        assert_true(lost < 0.25 * output_error(w, out, GROUPS, COLS, NULL));
        free(out);
        layer_close(&l);
    }
    assert_true(error[1] <= error[0]);
    free(w);
    free(h);
}

static void refused(const char *text, const char *before, const char *want) {
    base_err err = {0};
    float *w = random_matrix(6, 9, 2);
    layer l = open_layer(w, 6, 9, NULL);
    if (before) free(apply_steps(&l, before));
    compress_step s = make_step(text);
    assert_false(s.kind->apply(&s, &l, &err));
    if (!strstr(err.text, want)) fail_msg("wanted '%s', got: %s", want, err.text);
    layer_close(&l);
    free(w);
}

static void test_refuses(void **state) {
    (void)state;
    base_err err = {0};
    refused("trellis", "prune sparsity=0.5", "would not keep pruned ones at 0");
    refused("e8", "prune sparsity=0.5", "would not keep pruned ones at 0");
    refused("pvq", "prune sparsity=0.5", "would not keep pruned ones at 0");
    refused("qjl", "prune sparsity=0.5", "would not keep pruned weights at 0");
    refused("simvq", "prune sparsity=0.5", "would not keep pruned ones at 0");
    refused("e8 along=row pad=error", NULL, "6 x 9 weights do not divide into runs of 8 in blocks of 8 columns");
    compress_step s = make_step("trellis");
    assert_true(base_arg_set_number("trellis", s.kind->args, s.kind->arg_count, s.value, "bits", 2.1, &err));
    assert_false(s.kind->check(&s, &err));
    assert_non_null(strstr(err.text, "bits = 2.1, expected quarters"));
    s = make_step("trellis bits=1.5");
    assert_true(base_arg_set_text("trellis", s.kind->args, s.kind->arg_count, s.value, "code", "3inst", &err));
    assert_false(s.kind->check(&s, &err));
    assert_non_null(strstr(err.text, "gives one value a step"));
}

// A job that was stopped leaves no term behind.
static void test_cancelled(void **state) {
    (void)state;
    static const char *const steps[] = {"trellis", "e8", "pvq", "simvq", "lr2vq", "qjl"};
    float *w = random_matrix(16, 32, 1), *h = random_gram(32, 2);
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        base_err err = {0};
        base_job job = {0};
        layer l = open_layer(w, 16, 32, h);
        l.job = &job;
        atomic_store(&job.cancel, 1);
        compress_step s = make_step(steps[k]);
        assert_false(s.kind->apply(&s, &l, &err));
        assert_int_equal(err.status, BASE_CANCELLED);
        assert_int_equal(l.term_count, 0);
        layer_close(&l);
    }
    free(w);
    free(h);
}

// A term for what others leave over never adds to the output error, however badly its codes suit it.
static void test_remainders(void **state) {
    (void)state;
    static const char *const steps[] = {"simvq length=2 bits=1",
                                        "lr2vq bits=1",
                                        "trellis bits=0.5 state=6",
                                        "e8",
                                        "pvq pulses=1",
                                        "simvq length=2 bits=1 scales=layer"};
    enum { ROWS = 16, COLS = 48 };
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
        for (uint64_t seed = 1; seed <= 12; seed++) {
            float *w = random_matrix(ROWS, COLS, seed), *h = random_gram(COLS, seed + 50);
            // A few inputs carry nearly all, and what is left of their weights is small.
            for (int i = 0; i < COLS; i++)
                for (int j = 0; j < COLS; j++) h[i * COLS + j] *= (i % 12 ? 0.02f : 1.0f) * (j % 12 ? 0.02f : 1.0f);
            for (int i = 0; i < ROWS * COLS; i++) w[i] *= i % COLS % 12 ? 1.0f : 0.001f;
            layer l = open_layer(w, ROWS, COLS, h);
            float *out = apply_steps(&l, steps[k]);
            double none = output_error(w, (float[ROWS * COLS]){0}, ROWS, COLS, h),
                   with = output_error(w, out, ROWS, COLS, h);
            if (!(with <= none * (1 + 1e-6))) fail_msg("%s, seed %d: %g, without %g", steps[k], (int)seed, with, none);
            free(out);
            free(w);
            free(h);
            layer_close(&l);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_e8_points),
                                       cmocka_unit_test(test_e8_distortion),
                                       cmocka_unit_test(test_lattice_rate),
                                       cmocka_unit_test(test_viterbi_exhaustive),
                                       cmocka_unit_test(test_trellis_distortion),
                                       cmocka_unit_test(test_feedback),
                                       cmocka_unit_test(test_sizes),
                                       cmocka_unit_test(test_groups),
                                       cmocka_unit_test(test_refuses),
                                       cmocka_unit_test(test_remainders),
                                       cmocka_unit_test(test_cancelled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
