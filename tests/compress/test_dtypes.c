// Data types: every one with every solver, granularity and form of scales, on odd sizes; what rounding promises.
#include "compress/types/ggml.h"
#include "compress/types/scalar.h"
#include "compress/types/types.h"
#include "tests/compress/compress_support.h"

static const char *const types[] = {
    "nf4",
    "nf bits=2",
    "nf bits=3",
    "nf bits=8",
    "af4",
    "fp4",
    "fp4-bnb",
    "fp6",
    "fp8",
    "e1m2",
    "e2m0",
    "e3m0",
    "e5m2",
    "e7m0",
    "e1m6",
    "mxfp4",
    "mxfp6",
    "mxfp6-e2m3",
    "mxfp8",
    "mxfp8-e5m2",
    "mxint8",
    "nvfp4",
    "dynamic",
    "dynamic bits=8",
    "midrise bits=2",
    "lloyd bits=2",
    "lloyd bits=4",
    "power bits=4",
    "tanh",
    "dorefa bits=3",
    "seq bits=2",
    "seq bits=1",
    "quantile",
    "quantile bits=2",
    "int",
    "ternary",
    "binary",
    "int bits=8",
    "int bits=9",
    "int bits=16",
    "int3",
    "uint5",
    "int8 narrow=1",
};
enum { TYPES = sizeof types / sizeof *types };

static bool has_own_scales(const char *type) {
    return !strncmp(type, "mx", 2) || !strncmp(type, "nv", 2);
}

static bool is_even(const char *type) {
    return !strncmp(type, "int", 3) || !strncmp(type, "uint", 4) || !strcmp(type, "ternary") || !strcmp(type, "binary");
}

// Relative squared error of `steps`; everything finite.
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

static void every_type_everywhere(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {5, 33}};
    static const char *const grans[] = {
        "", " granularity=tensor", " group=5", " group=16 scale=f32", " scale=double group=8", " scale=super group=8"};
    for (size_t s = 0; s < 3; s++) {
        int64_t rows = sizes[s][0], cols = sizes[s][1];
        float *w = random_matrix(rows, cols, 3 + s), *h = random_gram(cols, 5);
        for (int t = 0; t < TYPES; t++)
            for (int g = 0; g < 6; g++) {
                char steps[160];
                if (has_own_scales(types[t]) && g) continue;
                static const char *const solvers[] = {"rtn", "gptq", "obq", "rtn refine=cd"};
                for (int solver = 0; solver < 4; solver++) {
                    snprintf(steps, sizeof steps, "quantize solver=%s dtype=%s%s", solvers[solver], types[t], grans[g]);
                    double e = error_of(w, rows, cols, h, steps);
                    if (!(e < 2)) fail_msg("%s on %lldx%lld: error %g", steps, (long long)rows, (long long)cols, e);
                }
            }
        free(w);
        free(h);
    }
}

static void gptq_is_not_worse(void **state) {
    (void)state;
    float *w = random_matrix(24, 64, 11), *h = random_gram(64, 12);
    for (int t = 0; t < TYPES; t++) {
        char steps[96];
        const char *range = is_even(types[t]) ? " range=minmax" : "";
        snprintf(steps, sizeof steps, "quantize solver=rtn dtype=%s%s", types[t], range);
        double rtn = error_of(w, 24, 64, h, steps);
        snprintf(steps, sizeof steps, "quantize solver=gptq dtype=%s%s", types[t], range);
        double gptq = error_of(w, 24, 64, h, steps);
        if (gptq > rtn) fail_msg("%s: gptq %g, rtn %g", types[t], gptq, rtn);
    }
    free(w);
    free(h);
}

// Each decoded weight is a level of its group, and no other level is nearer.
static void rounding_is_nearest(void **state) {
    (void)state;
    float *w = random_matrix(6, 48, 21);
    for (int t = 0; t < TYPES; t++) {
        if (is_even(types[t])) continue;
        char steps[96];
        snprintf(steps, sizeof steps, "quantize dtype=%s%s", types[t], has_own_scales(types[t]) ? "" : " scale=f32");
        layer l = open_layer(w, 6, 48, NULL);
        float *out = apply_steps(&l, steps), value[TABLE_MOST];
        const term *q = l.terms[0];
        table_type type = {(table_kind)q->attr[TABLE_KIND], (int)q->attr[TABLE_BITS], (int)q->attr[TABLE_MANTISSA], 0};
        if (table_has_param(type.kind)) type.param = *(const float *)q->blob[TABLE_LEVELS].data;
        base_err err = {0};
        assert_true(table_values(&type, q->blob[TABLE_LEVELS].data, value, &err));
        int64_t group = q->attr[TABLE_GROUP] ? q->attr[TABLE_GROUP] : 48;
        scale_place at = {TABLE_SCALES, TABLE_OUTER, q->attr[TABLE_FORM]};
        for (int64_t i = 0; i < 6 * 48; i++) {
            float scale = scales_at(q, at, i / 48 * uniform_groups_per_row(48, group) + i % 48 / group);
            double least = INFINITY, mine = fabs((double)w[i] - (double)out[i]);
            for (int c = 0; c < 1 << type.bits; c++) {
                double d = fabs((double)w[i] - (double)(scale * value[c]));
                if (isfinite(value[c]) && d < least) least = d;
            }
            if (mine > least * (1 + 1e-5) + 1e-9)
                fail_msg("%s: weight %lld is %g off, a level is %g off", types[t], (long long)i, mine, least);
        }
        free(out);
        layer_close(&l);
    }
    free(w);
}

static void zeros_constants_and_masks(void **state) {
    (void)state;
    float w[4 * 40] = {0};
    for (int i = 0; i < 40; i++) w[40 + i] = 0.25f, w[80 + i] = -3e-4f, w[120 + i] = i % 3 ? 0 : 1e4f;
    float *h = calloc(40 * 40, sizeof *h); // inputs that never fire but one
    h[0] = 1;
    for (int t = 0; t < TYPES; t++) {
        static const char *const before[] = {"", "prune sparsity=0.5; ", "quantize bits=2; "};
        for (int k = 0; k < 3; k++)
            for (int solver = 0; solver < 2; solver++) {
                char steps[160];
                snprintf(steps, sizeof steps, "%squantize solver=%s dtype=%s", before[k], solver ? "gptq" : "rtn",
                         types[t]);
                error_of(w, 4, 40, h, steps);
            }
    }
    free(h);
    layer l = open_layer(w, 4, 40, NULL);
    float *out = apply_steps(&l, "quantize dtype=nf4 scale=f32");
    for (int i = 0; i < 40; i++) assert_true(out[i] == 0 && out[40 + i] == 0.25f && out[80 + i] == -3e-4f);
    free(out);
    layer_close(&l);
}

// Each asymmetric half of the weights gets what it needs: never worse than one scale on one-sided data.
static void split_scales(void **state) {
    (void)state;
    float *w = random_matrix(8, 64, 31);
    for (int i = 0; i < 512; i++)
        if (w[i] > 0) w[i] *= 6;
    double one = error_of(w, 8, 64, NULL, "quantize dtype=fp4 group=32"),
           two = error_of(w, 8, 64, NULL, "quantize dtype=fp4 group=32 split=1");
    if (!(two < one)) fail_msg("split %g, single %g", two, one);
    layer l = open_layer(w, 8, 64, NULL);
    float *out = apply_steps(&l, "quantize dtype=nf4 group=32 split=1");
    assert_int_equal(layer_bytes(&l), 512 / 2 + 2 * 16 * 2); // codes, and an f16 scale for each side of 16 groups
    free(out);
    layer_close(&l);
    free(w);
}

static void bytes_are_exact(void **state) {
    (void)state;
    static const struct {
        const char *steps;
        int64_t bytes; // of a 16 x 64 matrix
    } want[] = {
        {"quantize dtype=nf4 group=32", 512 + 32 * 2},
        {"quantize dtype=mxfp4", 512 + 32},
        {"quantize dtype=mxfp6", 768 + 32},
        {"quantize dtype=mxfp8", 1024 + 32},
        {"quantize dtype=nvfp4", 512 + 64 + 4},
        {"quantize dtype=fp8 granularity=tensor scale=f32", 1024 + 4},
        {"quantize dtype=nf4 group=32 scale=double", 512 + 32 + 2 * 4},
        {"quantize bits=4 group=4 scale=super", 512 + 256 * 6 / 8 + 16 * 2},
        {"quantize dtype=quantile bits=3", 384 + 16 * 2 + 8 * 4},
        {"quantize dtype=power bits=4", 512 + 16 * 2 + 4},
        {"quantize dtype=e2m0", 384 + 16 * 2},
        {"quantize bits=4 scale=e8m0 group=32", 512 + 32},
    };
    float *w = random_matrix(16, 64, 41);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        layer l = open_layer(w, 16, 64, NULL);
        float *out = apply_steps(&l, want[i].steps);
        if (layer_bytes(&l) != want[i].bytes)
            fail_msg("%s: %lld bytes, expected %lld", want[i].steps, (long long)layer_bytes(&l),
                     (long long)want[i].bytes);
        free(out);
        layer_close(&l);
    }
    free(w);
}

// Searches end no worse, in the error they search by, than the range they start from; more bits never hurt.
static void searches_help(void **state) {
    (void)state;
    float *w = random_matrix(16, 128, 51), *h = random_gram(128, 52);
    for (int i = 0; i < 16; i++) w[i * 128 + i] *= 4; // an outlier a row
    static const char *const grids[] = {"bits=3",    "bits=3 sym=0", "dtype=nf4",
                                        "dtype=fp4", "dtype=mxfp4",  "dtype=nf4 split=1"};
    float *diagonal = calloc(128 * 128, sizeof *diagonal);
    for (int i = 0; i < 128; i++) diagonal[i * 129] = h[i * 129];
    for (int g = 0; g < 6; g++) {
        static const char *const searches[] = {"mse", "fast", "golden", "imatrix"};
        double base[2] = {0, 0};
        for (int s = -1; s < 3; s++) {
            char steps[128];
            snprintf(steps, sizeof steps, "quantize %s range=%s", grids[g], s < 0 ? "absmax" : searches[s]);
            const float *by = s >= 2 ? diagonal : NULL;
            double e = error_of(w, 16, 128, by ? by : diagonal, steps), plain = error_of(w, 16, 128, NULL, steps);
            if (s < 0) base[0] = plain, base[1] = e;
            // The 2.4-norm of mse and fast is not the squared error, so these may be a little off.
            double ours = by ? e : plain, start = base[by != NULL] * (by ? 1 : 1.05);
            if (ours > start) fail_msg("%s: %g, from the extremes %g", steps, ours, start);
        }
    }
    double wide = error_of(w, 16, 128, NULL, "quantize bits=8 scale=f32; quantize bits=8 scale=f32");
    assert_true(wide < 1e-8); // sixteen bits in two steps
    double last = INFINITY;
    for (int bits = 2; bits <= 8; bits++) {
        char steps[64];
        snprintf(steps, sizeof steps, "quantize dtype=nf bits=%d", bits);
        double e = error_of(w, 16, 128, NULL, steps);
        if (e > last) fail_msg("nf: %d bits %g, one fewer %g", bits, e, last);
        last = e;
    }
    double clipped = error_of(w, 16, 128, NULL, "quantize bits=3 range=percentile percentile=99"),
           all = error_of(w, 16, 128, NULL, "quantize bits=3 range=percentile percentile=100"),
           absmax = error_of(w, 16, 128, NULL, "quantize bits=3 range=absmax");
    assert_true(clipped != all);
    assert_true(all == absmax);
    free(diagonal);
    free(w);
    free(h);
}

// CBQ's coarse-to-fine outliers, every parting tried by sums of its own.
static float without_outliers(const float *w, int n) {
    double x[300], best = -INFINITY;
    float most = 0;
    for (int i = 0; i < n; i++) x[i] = fabs((double)w[i]);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (x[j] < x[i]) {
                double t = x[i];
                x[i] = x[j];
                x[j] = t;
            }
    double q[2];
    for (int k = 0; k < 2; k++) {
        double at = (k ? 0.75 : 0.25) * (n - 1);
        int i = (int)at;
        q[k] = x[i] + (at - i) * (x[i + 1] - x[i]);
    }
    int first = 0;
    while (first < n && x[first] <= q[1] + 1.5 * (q[1] - q[0])) first++;
    most = (float)x[n - 1];
    for (int i = first; i < n; i++) {
        double mean = 0, spread = 0;
        for (int j = first; j < i; j++) mean += x[j] / (i - first);
        for (int j = first; j < i; j++) spread += (x[j] - mean) * (x[j] - mean) / (i - first);
        double gain = (x[i] - x[i - 1]) * (x[i] - x[i - 1]) - spread;
        if (gain > best) best = gain, most = (float)x[i - 1];
    }
    return most;
}

static void coarse_to_fine(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int n = 5 + (int)(seed * 37 % 290);
        float *w = random_matrix(1, n, seed), most = 0;
        for (int i = 0; i < n; i++) w[i] *= i % 17 == 3 ? 1 + (float)(seed % 5) * 2 : 1;
        if (seed % 7 == 0) w[0] = 40;
        compress_step step = make_step("quantize bits=4 range=cfp granularity=channel scale=f32 sym=0");
        layer l = open_layer(w, 1, n, NULL);
        base_err err = {0};
        if (!step.kind->apply(&step, &l, &err)) fail_msg("%s", err.text);
        float *out = calloc((size_t)n, sizeof *out), low = 0, high = 0;
        assert_true(term_decode(l.terms[0], out, &err));
        float limit = without_outliers(w, n);
        for (int i = 0; i < n; i++) {
            low = fminf(low, fmaxf(w[i], -limit));
            high = fmaxf(high, fminf(w[i], limit));
        }
        float scale;
        memcpy(&scale, l.terms[0]->blob[UNIFORM_SCALES].data, sizeof scale);
        if (fabsf(scale - (high - low) / 15) > 1e-5f * scale) fail_msg("%g, expected %g", scale, (high - low) / 15);
        for (int i = 0; i < n; i++) most = fmaxf(most, fabsf(out[i]));
        assert_true(most <= limit + scale);
        layer_close(&l);
        free(out);
        free(w);
    }
}

static void contradictions(void **state) {
    (void)state;
    static const struct {
        const char *arg[4][2];
        const char *want;
    } cases[] = {
        {{{"dtype", "nf5"}}, "no data type 'nf5'"},
        {{{"dtype", "e8m3"}}, "1 to 7 exponent bits"},
        {{{"dtype", "e5m10"}}, "2 to 8 bits"},
        {{{"dtype", "int17"}}, "no data type"},
        {{{"dtype", "uint"}}, "no data type"},
        {{{"dtype", "int4"}, {"bits", "3"}}, "has 4 bits"},
        {{{"dtype", "uint4"}, {"sym", "1"}}, "has a zero point"},
        {{{"dtype", "uint4"}, {"narrow", "1"}}, "symmetric integers"},
        {{{"dtype", "int"}, {"bits", "1"}, {"narrow", "1"}}, "2 to 8 bits"},
        {{{"dtype", "nf4"}, {"narrow", "1"}}, "narrow is for integers"},
        {{{"solver", "deepcabac"}, {"narrow", "1"}}, "grid of its own"},
        {{{"solver", "awq"}, {"range", "mse"}}, "by clipping"},
        {{{"granularity", "column"}, {"sym", "0"}}, "no zero points"},
        {{{"granularity", "column"}, {"range", "golden"}}, "every row"},
        {{{"granularity", "column"}, {"solver", "hqq"}}, "itself"},
        {{{"granularity", "column"}, {"group", "8"}}, "contradicts"},
        {{{"dtype", "nf4"}, {"bits", "3"}}, "contradicts"},
        {{{"dtype", "nf4"}, {"sym", "0"}}, "no zero points"},
        {{{"dtype", "mxfp4"}, {"group", "64"}}, "groups of 32"},
        {{{"dtype", "mxfp4"}, {"scale", "f16"}}, "scales of its own"},
        {{{"dtype", "nvfp4"}, {"granularity", "tensor"}}, "contradicts"},
        {{{"dtype", "int"}, {"split", "1"}}, "split needs"},
        {{{"dtype", "nf4"}, {"solver", "deepcabac"}}, "levels of its own"},
        {{{"dtype", "ternary"}, {"sym", "0"}}, "symmetric"},
        {{{"dtype", "q4_K"}, {"group", "64"}}, "group does not go with it"},
        {{{"dtype", "q4_K"}, {"solver", "gptq"}}, "search of its own"},
        {{{"dtype", "q4_K"}, {"range", "mse"}}, "imatrix"},
        {{{"dtype", "dynamic"}, {"bits", "1"}}, "cannot have 1 bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const compress_step_kind *k = compress_step_find("quantize");
        compress_step s = {.kind = k};
        base_err err = {0};
        bool ok = true;
        base_arg_defaults(k->args, k->arg_count, s.value);
        for (int a = 0; a < 4 && cases[i].arg[a][0]; a++) {
            const char *name = cases[i].arg[a][0], *value = cases[i].arg[a][1];
            ok = ok && (value[0] >= '0' && value[0] <= '9'
                            ? base_arg_set_number(k->name, k->args, k->arg_count, s.value, name, atof(value), &err)
                            : base_arg_set_text(k->name, k->args, k->arg_count, s.value, name, value, &err));
        }
        assert_true(ok);
        assert_false(k->check(&s, &err));
        if (!strstr(err.text, cases[i].want)) fail_msg("case %zu says: %s", i, err.text);
    }
}

// ---- ggml's blocks ---------------------------------------------------------------------------------

// Relative root mean square errors of N(0, 1) as ggml's own code has them.
static void block_errors(void **state) {
    (void)state;
    static const struct {
        const char *type;
        double error, bits;
    } want[] = {{"q8_0", 0.00535, 8.5},  {"q6_K", 0.0177, 6.5625}, {"q5_K", 0.0361, 5.5},
                {"q4_K", 0.0713, 4.5},   {"q4_0", 0.0859, 4.5},    {"iq4_nl", 0.0762, 4.5},
                {"q3_K", 0.151, 3.4375}, {"q2_K", 0.296, 2.625},   {"ggml-mxfp4", 0.115, 4.25}};
    float *w = random_matrix(64, 1024, 61);
    for (int i = 0; i < 64 * 1024; i++) w[i] *= 20; // to a deviation of 1: powers of two see the difference
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char steps[64];
        snprintf(steps, sizeof steps, "quantize dtype=%s", want[i].type);
        double e = sqrt(error_of(w, 64, 1024, NULL, steps));
        if (fabs(e / want[i].error - 1) > 0.02) fail_msg("%s: error %g, known %g", want[i].type, e, want[i].error);
        layer l = open_layer(w, 64, 1024, NULL);
        free(apply_steps(&l, steps));
        assert_int_equal(layer_bytes(&l), (int64_t)(64 * 1024 * want[i].bits / 8));
        layer_close(&l);
    }
    // Importance helps where it counts.
    float *diagonal = calloc(1024 * 1024, sizeof *diagonal);
    for (int i = 0; i < 1024; i++) diagonal[i * 1025] = i % 5 ? 0.01f : 4;
    double plain = error_of(w, 64, 1024, diagonal, "quantize dtype=q4_K"),
           weighed = error_of(w, 64, 1024, diagonal, "quantize dtype=q4_K range=imatrix");
    if (!(weighed < 0.8 * plain)) fail_msg("with importance %g, without %g", weighed, plain);
    free(diagonal);
    free(w);
}

static void odd_blocks(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {2, 33}, {2, 300}};
    for (size_t s = 0; s < 4; s++)
        for (int t = 0; t < ggml_type_count; t++) {
            int64_t n = sizes[s][0] * sizes[s][1];
            float *w = random_matrix(sizes[s][0], sizes[s][1], 71);
            for (int kind = 0; kind < 4; kind++) {
                for (int64_t i = 0; i < n && kind; i++) w[i] = kind == 1 ? 0 : kind == 2 ? -2.5f : 1e-38f * (float)i;
                char steps[64];
                snprintf(steps, sizeof steps, "quantize dtype=ggml-%s", ggml_types[t].name);
                error_of(w, sizes[s][0], sizes[s][1], NULL, steps);
            }
            free(w);
        }
    float wide[32] = {3e38f, -3e38f};
    layer l = open_layer(wide, 1, 32, NULL);
    base_err err = {0};
    compress_step s = make_step("quantize dtype=q4_0"), pruned = make_step("prune sparsity=0.5");
    assert_false(s.kind->apply(&s, &l, &err));
    assert_non_null(strstr(err.text, "float16"));
    assert_true(pruned.kind->apply(&pruned, &l, &err));
    assert_false(s.kind->apply(&s, &l, &err));
    assert_non_null(strstr(err.text, "pruned layer"));
    layer_close(&l);
}

// ---- pyramids and E8 -------------------------------------------------------------------------------

static void pyramids(void **state) {
    (void)state;
    pvq_table t;
    base_err err = {0};
    assert_true(pvq_open(&t, 6, 5, &err));
    for (int n = 1; n <= 6; n++)
        for (int k = 0; k <= 5; k++)
            for (pvq_number i = 0; i < pvq_count(&t, n, k); i++) {
                int y[6], sum = 0;
                pvq_vector(&t, n, k, i, y);
                for (int c = 0; c < n; c++) sum += abs(y[c]);
                assert_int_equal(sum, k);
                assert_true(pvq_index(&t, n, k, y) == i);
            }
    // The nearest by direction, against all of them.
    num_rng r = num_rng_seed(4, 4);
    int good = 0;
    for (int trial = 0; trial < 100; trial++) {
        float x[6];
        int y[6], best[6];
        double most = -1;
        for (int c = 0; c < 6; c++) x[c] = (float)num_rng_normal(&r);
        pvq_nearest(6, 5, x, best);
        double mine = 0, norm = 0;
        for (int c = 0; c < 6; c++) mine += (double)x[c] * best[c], norm += (double)best[c] * best[c];
        mine /= sqrt(norm);
        for (pvq_number i = 0; i < pvq_count(&t, 6, 5); i++) {
            double dot = 0, length = 0;
            pvq_vector(&t, 6, 5, i, y);
            for (int c = 0; c < 6; c++) dot += (double)x[c] * y[c], length += (double)y[c] * y[c];
            if (dot / sqrt(length) > most) most = dot / sqrt(length);
        }
        good += mine >= most - 1e-9;
    }
    if (good < 95) fail_msg("%d of 100 found the best direction", good); // single steps are not an exact search
    pvq_close(&t);
    assert_false(pvq_open(&t, 256, 256, &err));
    assert_non_null(strstr(err.text, "128 bits"));
}

static void normal_quantisers(void **state) {
    (void)state;
    double level[256], last = 1;
    for (int n = 2; n <= 256; n *= 2) {
        scalar_figures f = scalar_lloyd_max(n, level, NULL);
        double even, bits = log2(n);
        scalar_uniform(n, &even);
        assert_true(f.mse < last && f.mse <= even + 1e-12 && f.mse > scalar_rate_distortion(bits));
        assert_true(f.entropy <= bits + 1e-12 && f.mse > scalar_rate_distortion(f.entropy));
        last = f.mse;
    }
    for (int i = 1; i < 1000; i++) {
        double p = i / 1000.0, x = scalar_normal_quantile(p);
        assert_true(fabs(0.5 * erfc(-x * 0.70710678118654752440) - p) < 1e-14);
    }
}

// min(r_i, c_j) over top, plainly; and gptq on it, masks, bytes, files of two kinds of codes.
static void rows_and_columns(void **state) {
    (void)state;
    enum { R = 6, C = 40 };
    float *w = random_matrix(R, C, 31), *h = random_gram(C, 32), row[R] = {0}, column[C] = {0};
    for (int j = 0; j < C; j++) w[2 * C + j] = 0, w[3 * C + j] *= 9, w[j * 7 % R * C + 5] *= 11;
    for (int i = 0; i < R * C; i++) {
        row[i / C] = fmaxf(row[i / C], fabsf(w[i]));
        column[i % C] = fmaxf(column[i % C], fabsf(w[i]));
    }
    layer l = open_layer(w, R, C, h);
    float *out = apply_steps(&l, "quantize bits=4 granularity=rank1 scale=f32");
    for (int i = 0; i < R * C; i++) {
        float scale = fminf(row[i / C], column[i % C]) / 7;
        float want = scale > 0 ? nearbyintf(w[i] / scale) * scale : 0;
        if (!(fabsf(out[i] - want) <= 1e-6f * fabsf(want)))
            fail_msg("weight %d: %g, expected %g", i, (double)out[i], (double)want);
    }
    assert_int_equal(layer_bytes(&l), R * C / 2 + 4 + 4 * (R + C));
    layer_close(&l);
    free(out);
    double rank1 = error_of(w, R, C, NULL, "quantize bits=4 granularity=rank1"),
           rows = error_of(w, R, C, NULL, "quantize bits=4");
    if (!(rank1 < rows)) fail_msg("rank1 %g, rows %g", rank1, rows);
    static const char *const types_here[] = {"int", "midrise", "nf4", "fp4", "lloyd"};
    for (int t = 0; t < 5; t++) {
        char steps[256], gptq_steps[128];
        snprintf(steps, sizeof steps, "quantize granularity=rank1 dtype=%s bits=4", types_here[t]);
        snprintf(gptq_steps, sizeof gptq_steps, "quantize granularity=rank1 dtype=%s bits=4 solver=gptq",
                 types_here[t]);
        double rtn = error_of(w, R, C, h, steps), gptq = error_of(w, R, C, h, gptq_steps);
        if (!(gptq <= rtn)) fail_msg("%s: gptq %g, rtn %g", types_here[t], gptq, rtn);
        snprintf(steps, sizeof steps, "prune sparsity=0.5; %s", gptq_steps);
        assert_true(error_of(w, R, C, h, steps) < 1);
        snprintf(steps, sizeof steps, "%s; prune sparsity=0.5; quantize bits=3", gptq_steps);
        assert_true(error_of(w, R, C, h, steps) < 1);
    }
    assert_true(error_of(w, R, C, h, "quantize granularity=rank1 solver=obq bits=3") < 1);
    assert_true(error_of(w, R, C, h, "quantize granularity=rank1 solver=adaround iterations=50 bits=3") < 1);
    assert_true(error_of(w, 1, 1, h, "quantize granularity=rank1 solver=gptq bits=16") < 1e-8);
    free(w), free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_columns),
        cmocka_unit_test(every_type_everywhere),
        cmocka_unit_test(gptq_is_not_worse),
        cmocka_unit_test(rounding_is_nearest),
        cmocka_unit_test(zeros_constants_and_masks),
        cmocka_unit_test(split_scales),
        cmocka_unit_test(bytes_are_exact),
        cmocka_unit_test(searches_help),
        cmocka_unit_test(coarse_to_fine),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(block_errors),
        cmocka_unit_test(odd_blocks),
        cmocka_unit_test(pyramids),
        cmocka_unit_test(normal_quantisers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
