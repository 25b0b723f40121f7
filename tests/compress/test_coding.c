// The coders beside ANS: every array comes back to the bit, in about its entropy; broken forms are refused; a file
// coded against another checkpoint opens with that one only.
#include "compress/ans.h"
#include "compress/coding/base.h"
#include "compress/coding/cabac.h"
#include "tests/compress/compress_support.h"

#include <unistd.h>

// Codes around `centre`, each step away half as likely; `width` SYMBOLS_TRITS: ternary digits, mostly the middle one.
static uint8_t *make_codes(int64_t count, int width, int centre, uint64_t seed, int64_t *bytes) {
    num_rng r = num_rng_seed(seed, 9);
    int top = width ? (1 << width) - 1 : 2;
    uint16_t *codes = calloc((size_t)count + 8, sizeof *codes);
    uint8_t *narrow = calloc((size_t)count + 8, 1);
    for (int64_t i = 0; i < count; i++) {
        int v = centre, step = num_rng_below(&r, 2) ? 1 : -1;
        while (num_rng_below(&r, 2) && v + step >= 0 && v + step <= top) v += step;
        codes[i] = (uint16_t)v;
        narrow[i] = (uint8_t)v;
    }
    *bytes = (int64_t)(width ? num_packed_bytes((size_t)count, width) : uniform_code_bytes(count, 2, UNIFORM_TERNARY));
    uint8_t *out = calloc((size_t)*bytes + 8, 1);
    if (width)
        num_pack(codes, (size_t)count, width, out);
    else
        codes_pack(narrow, count, 2, UNIFORM_TERNARY, out);
    free(codes);
    free(narrow);
    return out;
}

static void test_round_trip(void **state) {
    (void)state;
    static const int64_t counts[] = {1, 2, 3, 7, 8, 21, 100, 4097, 30000};
    static const int widths[] = {SYMBOLS_TRITS, 1, 2, 3, 4, 5, 7, 8, 10, 12};
    base_err err = {0};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            for (size_t c = 0; c < coder_count; c++)
                for (int ordered = 0; ordered < 2; ordered++) {
                    int64_t bytes, coded = 0, back = 0, n = counts[k], rows = n % 3 == 0 ? 3 : 1;
                    int centre = widths[w] ? (1 << widths[w]) / 2 : 1;
                    uint8_t *in = make_codes(n, widths[w], centre, (uint64_t)(w + k), &bytes);
                    coding_view v = {in, bytes, widths[w], ordered, rows, n / rows};
                    uint8_t *out = coders[c]->encode(&v, &coded, &err);
                    if (coders[c] == &coder_dictionary && widths[w] != SYMBOLS_TRITS) {
                        assert_null(out);
                    } else {
                        assert_non_null(out);
                        uint8_t *now = coders[c]->decode(out, (size_t)coded, (uint64_t)bytes, &back, &err);
                        if (!now)
                            fail_msg("%s, width %d, %lld: %s", coders[c]->name, widths[w], (long long)n, err.text);
                        assert_true(back == bytes);
                        assert_memory_equal(now, in, (size_t)bytes);
                        base_big_free(now);
                        if (bytes > 1)
                            assert_null(coders[c]->decode(out, (size_t)coded, (uint64_t)bytes - 1, &back, &err));
                    }
                    base_big_free(out);
                    free(in);
                }
}

// What coders are rarely given: one symbol all over, one odd one out, two in turn, every symbol once, all as seldom as
// can be. Each comes back, and what has nothing to say takes next to nothing.
static uint8_t *hostile(int kind, int width, int64_t count, int64_t *bytes) {
    int top = width ? (1 << width) - 1 : 2;
    uint16_t *codes = calloc((size_t)count + 8, sizeof *codes);
    uint8_t *narrow = calloc((size_t)count + 8, 1);
    for (int64_t i = 0; i < count; i++) {
        int v = kind == 0   ? 0
                : kind == 1 ? top
                : kind == 2 ? (i == count / 2 ? top : 0)
                : kind == 3 ? (int)(i % 2) * top
                : kind == 4 ? (int)(i % (top + 1))
                            : (int)((i * i * 31 + i / 7) % (top + 1));
        codes[i] = (uint16_t)v;
        narrow[i] = (uint8_t)v;
    }
    *bytes = (int64_t)(width ? num_packed_bytes((size_t)count, width) : uniform_code_bytes(count, 2, UNIFORM_TERNARY));
    uint8_t *out = calloc((size_t)*bytes + 8, 1);
    if (width)
        num_pack(codes, (size_t)count, width, out);
    else
        codes_pack(narrow, count, 2, UNIFORM_TERNARY, out);
    free(codes);
    free(narrow);
    return out;
}

static void test_hostile(void **state) {
    (void)state;
    static const int widths[] = {SYMBOLS_TRITS, 1, 2, 3, 8, 11, 12};
    static const int64_t counts[] = {1, 5, 4096, 12345};
    base_err err = {0};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            for (int kind = 0; kind < 6; kind++)
                for (size_t c = 0; c < coder_count; c++)
                    for (int ordered = 0; ordered < 2; ordered++) {
                        int64_t bytes, coded = 0, back = 0;
                        uint8_t *in = hostile(kind, widths[w], counts[k], &bytes);
                        coding_view v = {in, bytes, widths[w], ordered, 1, counts[k]};
                        uint8_t *out = coders[c]->encode(&v, &coded, &err);
                        if (out) {
                            uint8_t *now = coders[c]->decode(out, (size_t)coded, (uint64_t)bytes, &back, &err);
                            if (!now || back != bytes || memcmp(now, in, (size_t)bytes))
                                fail_msg("%s, width %d, %lld codes of kind %d: %s", coders[c]->name, widths[w],
                                         (long long)counts[k], kind, now ? "other bytes" : err.text);
                            if (kind == 0 && counts[k] == 12345 && coders[c] != &coder_dictionary &&
                                coded > (coders[c] == &coder_ans ? 300 : 120))
                                fail_msg("%s, width %d: %lld bytes for one symbol", coders[c]->name, widths[w],
                                         (long long)coded);
                            base_big_free(now);
                        } else if (coders[c] != &coder_dictionary || widths[w] == SYMBOLS_TRITS) {
                            fail_msg("%s, width %d: %s", coders[c]->name, widths[w], err.text);
                        }
                        base_big_free(out);
                        free(in);
                    }
}

static double entropy_bytes(const uint8_t *in, int64_t n, int width) {
    double counts[4096] = {0}, bits = 0;
    uint16_t *codes = calloc((size_t)n + 8, sizeof *codes);
    num_unpack(in, (size_t)n, width, codes);
    for (int64_t i = 0; i < n; i++) counts[codes[i]]++;
    for (int s = 0; s < 4096; s++)
        if (counts[s] > 0) bits -= counts[s] * log2(counts[s] / (double)n);
    free(codes);
    return bits / 8;
}

// Independent symbols: within 2 % of the entropy and no less than it but for what a small sample tells of itself. Codes
// whose share changes halfway: below the entropy of the whole, which ANS with its one table cannot reach.
static void test_reaches_entropy(void **state) {
    (void)state;
    base_err err = {0};
    int64_t bytes, coded = 0, n = 100000;
    uint8_t *in = make_codes(n, 4, 8, 5, &bytes);
    double least = entropy_bytes(in, n, 4);
    base_big_free(coder_cabac.encode(&(coding_view){in, bytes, 4, true, 1, n}, &coded, &err));
    if (!((double)coded < 1.02 * least + 16 && (double)coded > 0.99 * least))
        fail_msg("%lld bytes, entropy %.0f", (long long)coded, least);
    int64_t half;
    uint8_t *other = make_codes(n / 2, 4, 3, 6, &half);
    memcpy(in, other, (size_t)half);
    least = entropy_bytes(in, n, 4);
    base_big_free(coder_cabac.encode(&(coding_view){in, bytes, 4, true, 1, n}, &coded, &err));
    assert_true((double)coded < 0.9 * least);
    base_big_free(coder_ans.encode(&(coding_view){in, bytes, 4, true, 1, n}, &coded, &err));
    assert_true((double)coded >= least);
    free(in);
    free(other);
}

// Their dictionary stores 88.5 % of zeros in about 0.8 bits (paper, table 5: 20x over 16 bit); entropy 0.629.
static void test_dictionary_rate(void **state) {
    (void)state;
    enum { ROWS = 64, COLS = 3072 };
    base_err err = {0};
    num_rng r = num_rng_seed(3, 1);
    uint8_t *codes = malloc(ROWS * COLS), *in = calloc(ROWS * COLS / 5 + 8, 1);
    for (int i = 0; i < ROWS * COLS; i++)
        codes[i] = num_rng_below(&r, 1000) < 885 ? 1 : 2 * (uint8_t)num_rng_below(&r, 2);
    int64_t bytes = (int64_t)uniform_code_bytes(ROWS * COLS, 2, UNIFORM_TERNARY), coded = 0;
    codes_pack(codes, ROWS * COLS, 2, UNIFORM_TERNARY, in);
    base_big_free(coder_dictionary.encode(&(coding_view){in, bytes, SYMBOLS_TRITS, true, ROWS, COLS}, &coded, &err));
    double bits = 8.0 * (double)coded / (ROWS * COLS);
    if (!(bits > 0.629 && bits < 0.85)) fail_msg("%.3f bits a code", bits);
    free(codes);
    free(in);
}

// The number price that rate-distortion decisions use is what coding then takes.
static void test_price(void **state) {
    (void)state;
    base_err err = {0};
    cabac_numbers a, b;
    cabac_writer w;
    num_rng r = num_rng_seed(8, 2);
    cabac_numbers_start(&a);
    cabac_numbers_start(&b);
    cabac_open(&w);
    double bits = 0;
    for (int i = 0; i < 20000; i++) {
        int v = (int)num_rng_below(&r, i % 7 == 0 ? 60 : 5) - (i % 7 == 0 ? 30 : 2);
        bits += (double)cabac_cost(&a, v);
        cabac_learn(&a, v);
        cabac_put_number(&w, &b, v);
    }
    assert_true(cabac_finish(&w, &err));
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(fabs((double)w.length * 8 - bits) < 0.002 * bits + 60);
    base_big_free(w.out);
}

static void test_malformed(void **state) {
    (void)state;
    base_err err = {0};
    for (size_t c = 0; c < coder_count; c++) {
        int width = coders[c] == &coder_dictionary ? SYMBOLS_TRITS : 4;
        int64_t bytes, coded = 0, back;
        uint8_t *in = make_codes(500, width, width ? 8 : 1, 5, &bytes);
        uint8_t *out = coders[c]->encode(&(coding_view){in, bytes, width, true, 5, 100}, &coded, &err);
        assert_non_null(out);
        for (int64_t cut = 0; cut < coded; cut++) {
            err.text[0] = 0;
            assert_null(coders[c]->decode(out, (size_t)cut, 1 << 20, &back, &err));
            assert_true(err.text[0]);
        }
        int unseen = 0, wrong = 0;
        for (int64_t i = 0; i < 8 * coded; i++) {
            out[i / 8] ^= (uint8_t)(1 << i % 8);
            err.text[0] = 0;
            uint8_t *now = coders[c]->decode(out, (size_t)coded, 1 << 20, &back, &err);
            unseen += now != NULL;
            if (now && width == SYMBOLS_TRITS)
                for (int64_t k = 0; k < back; k++) wrong += now[k] > 242;
            if (!now) assert_true(err.text[0]);
            base_big_free(now);
            out[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        assert_int_equal(wrong, 0);
        assert_true(unseen <= coded / 50);
        base_big_free(out);
        free(in);
    }
    static const struct {
        const coder *c;
        uint8_t bytes[8];
        size_t size;
        const char *part;
    } cases[] = {
        {&coder_cabac, {0}, 0, "its form is -1"},
        {&coder_cabac, {2}, 1, "its form is 2"},
        {&coder_cabac, {2, 13, 1}, 3, "its symbols have 13 bits"},
        {&coder_cabac, {2, 4, 0}, 3, "stands for 0 bytes"},
        {&coder_cabac, {2, 4, 9, 16}, 4, "its middle symbol is 16"},
        {&coder_cabac, {3, 4, 9}, 3, "it ends"},
        {&coder_cabac, {3, 4, 255, 255, 255, 127}, 6, "expected 1 to 1048576"},
        {&coder_dictionary, {4}, 1, "its form is 4"},
        {&coder_dictionary, {5, 2, 1, 11}, 4, "codes do not take"},
        {&coder_dictionary, {5, 2, 1, 10, 1, 0}, 6, "bytes are there"},
        {&coder_dictionary, {5, 2, 1, 10, 1, 0, 0}, 7, "ends after"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t back;
        uint8_t *out = cases[i].c->decode(cases[i].bytes, cases[i].size, 1 << 20, &back, &err);
        if (out || !strstr(err.text, cases[i].part)) fail_msg("case %zu: %s", i, out ? "(accepted)" : err.text);
    }
}

// ---- whole models ----------------------------------------------------------------------------------

static const char *write_model(const char *name, float *w[2]) {
    static char names[2][16] = {"a.weight", "b.weight"};
    const char *path = support_temp_path(name);
    base_err err;
    model_tensor items[2];
    for (int i = 0; i < 2; i++)
        items[i] = (model_tensor){.name = names[i],
                                  .t = {.dtype = NUM_F32, .ndim = 2, .dim = {40, 60}, .data = w[i]},
                                  .bytes = 40 * 60 * sizeof(float)};
    assert_true(model_safetensors_save(path, items, 2, NULL, NULL, NULL, NULL, &err));
    return path;
}

static model *open_plain(const char *path) {
    base_err err;
    model_tensors *t = model_tensors_open(path, &err);
    if (!t || !compress_unpack(t, &err)) fail_msg("%s", err.text);
    model *m = model_bind(NULL, t, NULL, &err);
    assert_non_null(m);
    return m;
}

// Compresses `from` by the steps of every layer and saves; returns the file's bytes.
static int64_t pack_model(const char *from, const char *to, int count, compress_step *steps) {
    base_err err = {0};
    model *m = open_plain(from);
    compress_rule rule = {.pattern = ".*", .steps = steps, .step_count = count};
    compress_plan plan = {.rules = &rule, .rule_count = 1};
    compress_result *r = NULL;
    base_job job = {0};
    if (!compress_run(m, &plan, &job, &r, &err)) fail_msg("%s", err.text);
    compress_saved saved;
    if (!compress_save(r, to, NULL, &saved, &err)) fail_msg("%s", err.text);
    int64_t bytes, header;
    assert_true(compress_sizes(r, &bytes, &header, &err));
    assert_true(bytes + header == saved.file_bytes);
    // What a file decodes to is what the run computed with.
    model_tensors *t = model_tensors_open(to, &err);
    const char *against = count > 1 ? compress_text(&steps[count - 1], "against") : "";
    if (!compress_unpack_on(t, *against ? against : NULL, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++) {
        const model_tensor *item = model_tensors_find(t, i ? "b.weight" : "a.weight");
        assert_memory_equal(item->t.data, compress_weights(r)[m->layers[i].weight], item->bytes);
        if (count > 1) assert_true(item->coders[0] && (item->entropy[0] || steps->kind == &step_keep));
    }
    model_tensors_close(t);
    compress_result_free(r);
    model_close(m);
    return saved.file_bytes;
}

static void tune(float *const w[2], float *out[2], double by) {
    num_rng r = num_rng_seed(77, 4);
    for (int i = 0; i < 2; i++) {
        out[i] = malloc(40 * 60 * sizeof *out[i]);
        for (int k = 0; k < 40 * 60; k++) out[i][k] = w[i][k] * (1 + (float)(by * num_rng_normal(&r)));
    }
}

static void test_against(void **state) {
    (void)state;
    base_err err = {0};
    float *w[2] = {random_matrix(40, 60, 1), random_matrix(40, 60, 2)}, *tuned[2], *other[2];
    tune(w, tuned, 0.01);
    tune(w, other, 0.5);
    char *base = base_strdup(write_model("base.safetensors", w)), *fine = base_strdup(write_model("fine.st", tuned));
    char *wrong = base_strdup(write_model("wrong.safetensors", other));
    char *out = base_strdup(support_temp_path("delta.safetensors"));
    char *packed = base_strdup(support_temp_path("packed.safetensors"));
    compress_step steps[2] = {make_step("quantize bits=6 sym=0"), make_step("code coder=cabac")};
    int64_t alone = pack_model(fine, out, 2, steps);
    snprintf(steps[1].value[1].text, sizeof steps[1].value[1].text, "%s", base);
    int64_t plain_base = pack_model(fine, out, 2, steps);
    if (!(plain_base < alone - 1200)) fail_msg("%lld against %lld bytes", (long long)plain_base, (long long)alone);

    // Beside the file, given, missing, another one, and as a base itself.
    model_close(open_plain(out));
    model_tensors *t = model_tensors_open(out, &err);
    assert_false(compress_unpack_on(t, wrong, &err));
    assert_non_null(strstr(err.text, "is another one"));
    assert_false(compress_unpack_on(t, "/nowhere/x", &err));
    assert_non_null(strstr(err.text, "--base"));
    model_tensors_close(t);
    assert_null(coding_base_open(out, &err));
    assert_non_null(strstr(err.text, "only a whole one"));
    char *moved = base_sprintf("%s.moved", base);
    assert_int_equal(rename(base, moved), 0);
    t = model_tensors_open(out, &err);
    assert_false(compress_unpack(t, &err));
    assert_non_null(strstr(err.text, "base.safetensors"));
    if (!compress_unpack_on(t, moved, &err)) fail_msg("%s", err.text);
    model_tensors_close(t);
    assert_int_equal(rename(moved, base), 0);

    // A base packed alike predicts codes, scales and zero points; floats close to the base's take fewer bytes too.
    (void)pack_model(base, packed, 1, steps);
    snprintf(steps[1].value[1].text, sizeof steps[1].value[1].text, "%s", packed);
    assert_true(pack_model(fine, out, 2, steps) < alone - 1200);
    compress_step keep[2] = {make_step("keep dtype=f32"), steps[1]};
    snprintf(keep[1].value[1].text, sizeof keep[1].value[1].text, "%s", base);
    assert_true((double)pack_model(fine, out, 2, keep) < 2 * 40 * 60 * 4 * 0.85);
    // The same checkpoint as its own base: next to nothing is left.
    snprintf(keep[1].value[1].text, sizeof keep[1].value[1].text, "%s", fine);
    assert_true(pack_model(fine, out, 2, keep) < 2000);
    for (int i = 0; i < 2; i++) free(w[i]), free(tuned[i]), free(other[i]);
    free(base);
    free(fine);
    free(wrong);
    free(out);
    free(packed);
    free(moved);
}

// Every kind of term: coding changes no value, and what is told of it counts every array of codes.
static void test_terms(void **state) {
    (void)state;
    static const struct {
        const char *steps, *told;
    } cases[] = {
        {"quantize bits=3 group=7", ""},
        {"quantize dtype=ternary; code coder=dictionary", ""},
        {"quantize dtype=nf4 group=16", ""},
        {"quantize bits=4 sym=0", "zeros"},
        {"codebook bits=3", ""},
        {"vq dim=3 bits=2", ""},
        {"vq dim=3 bits=3", ""},
        {"prune sparsity=0.6; quantize bits=4", "positions"},
        {"outliers fraction=0.01; quantize bits=4", "positions"},
        {"lowrank rank=4 factors=int4", ""},
        {"quantize dtype=q4_K", "data"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int best = 0; best < 2; best++) {
            float *w = random_matrix(24, 64, 4);
            layer l = open_layer(w, 24, 64, NULL);
            float *before = apply_steps(&l, cases[i].steps);
            int64_t plain = layer_bytes(&l);
            float *after = apply_steps(&l, best ? "code coder=best" : "code coder=cabac");
            assert_memory_equal(before, after, 24 * 64 * sizeof *before);
            assert_true(layer_bytes(&l) <= plain);
            base_buf b = {0};
            for (int k = 0; k < l.term_count; k++) coding_describe(l.terms[k], &b);
            if (!b.text || !strstr(b.text, cases[i].told)) fail_msg("%s: %s", cases[i].steps, b.text ? b.text : "");
            base_buf_free(&b);
            free(before);
            free(after);
            free(w);
            layer_close(&l);
        }
}

// Rate-distortion rounding: lambda 0 without feedback is rounding to nearest; the coded bytes fall with lambda while
// the weighted error rises; feedback has the lower output error at no more bytes.
static void test_deepcabac(void **state) {
    (void)state;
    enum { ROWS = 48, COLS = 96 };
    float *w = random_matrix(ROWS, COLS, 4), *h = random_gram(COLS, 5);
    layer a = open_layer(w, ROWS, COLS, NULL), b = open_layer(w, ROWS, COLS, NULL);
    float *nearest = apply_steps(&a, "quantize bits=5 granularity=tensor");
    float *same = apply_steps(&b, "quantize solver=deepcabac bits=5 granularity=tensor range=absmax lambda=0");
    // A tie between two levels may go either way, which is the same error.
    assert_true(fabs(output_error(w, nearest, ROWS, COLS, NULL) - output_error(w, same, ROWS, COLS, NULL)) < 1e-9);
    free(nearest), free(same);
    layer_close(&a);
    layer_close(&b);
    for (int feedback = 0; feedback < 2; feedback++) {
        double error = 0;
        int64_t bytes = INT64_MAX;
        static const char *const lambdas[] = {"0", "0.05", "0.1", "0.3", "1", "1000000"};
        for (int k = 0; k < 6; k++) {
            char step[160];
            snprintf(step, sizeof step,
                     "quantize solver=deepcabac bits=8 granularity=tensor step=0.4 lambda=%s feedback=%d", lambdas[k],
                     feedback);
            layer l = open_layer(w, ROWS, COLS, h), other = open_layer(w, ROWS, COLS, h);
            float *wc = apply_steps(&l, step);
            free(apply_steps(&l, "code coder=cabac"));
            double e = output_error(w, wc, ROWS, COLS, h);
            assert_true(layer_bytes(&l) <= bytes);
            assert_true(e > error);
            bytes = layer_bytes(&l);
            error = e;
            if (feedback && k < 5) {
                snprintf(step + strlen(step) - 1, 2, "0");
                float *plain = apply_steps(&other, step);
                assert_true(e < output_error(w, plain, ROWS, COLS, h));
                free(plain);
            }
            free(wc);
            layer_close(&l);
            layer_close(&other);
        }
        assert_true(bytes < 60); // everything is 0 in the end
    }
    free(w), free(h);
    static const char *const odd[] = {"quantize solver=deepcabac bits=3",
                                      "quantize solver=deepcabac bits=4 sym=0 group=5",
                                      "quantize solver=deepcabac dtype=ternary", "quantize solver=deepcabac bits=1",
                                      "prune sparsity=0.5; quantize solver=deepcabac bits=4 granularity=tensor"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (int size = 0; size < 2; size++) {
            int64_t rows = size ? 3 : 1, cols = size ? 7 : 1;
            float *x = random_matrix(rows, cols, 8);
            layer l = open_layer(x, rows, cols, NULL);
            free(apply_steps(&l, odd[i]));
            free(x);
            layer_close(&l);
        }
}

// A step for each row, and errors counted in it: rows in other units get the same codes. A row of zeros stays so.
static void test_row_steps(void **state) {
    (void)state;
    enum { ROWS = 6, COLS = 40 };
    static const char step[] = "quantize solver=deepcabac bits=8 granularity=channel step=0.8 lambda=0.2";
    for (int with_h = 0; with_h < 2; with_h++) {
        float *w = random_matrix(ROWS, COLS, 4), *h = with_h ? random_gram(COLS, 5) : NULL;
        memset(w + 2 * COLS, 0, COLS * sizeof *w);
        layer a = open_layer(w, ROWS, COLS, h);
        float *plain = apply_steps(&a, step);
        for (int i = 0; i < ROWS * COLS; i++) w[i] = ldexpf(w[i], i / COLS - 3);
        layer b = open_layer(w, ROWS, COLS, h);
        float *turned = apply_steps(&b, step);
        for (int i = 0; i < ROWS * COLS; i++) assert_true(turned[i] == ldexpf(plain[i], i / COLS - 3));
        for (int i = 0; i < COLS; i++) assert_true(plain[2 * COLS + i] == 0);
        free(plain);
        free(turned);
        free(w);
        free(h);
        layer_close(&a);
        layer_close(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_hostile), cmocka_unit_test(test_reaches_entropy),
        cmocka_unit_test(test_dictionary_rate), cmocka_unit_test(test_price),   cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_terms),           cmocka_unit_test(test_against), cmocka_unit_test(test_deepcabac),
        cmocka_unit_test(test_row_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
