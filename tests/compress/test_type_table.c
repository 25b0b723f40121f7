// The whole table: every data type x what shares a scale x form of scales x solver. Each runs, takes the bytes that its
// description says, and comes back from a file with the same values - or is refused in a sentence that names it.
#include "compress/types/ggml.h"
#include "compress/types/types.h"
#include "tests/compress/compress_support.h"

#include <sys/stat.h>

enum { ROWS = 4, COLS = 40, BATCH = 256 };

typedef struct named_type {
    const char *text;
    int bits; // of a code; 0: not that simple
} named_type;
static const named_type types[] = {{"int bits=1", 1},
                                   {"int bits=2", 2},
                                   {"int bits=3", 3},
                                   {"int bits=5", 5},
                                   {"int bits=8", 8},
                                   {"int bits=11", 11},
                                   {"int bits=16", 16},
                                   {"int bits=1 sym=0", 0},
                                   {"int bits=4 sym=0", 0},
                                   {"int bits=16 sym=0", 0},
                                   {"ternary", 0},
                                   {"binary", 1},
                                   {"fp4", 4},
                                   {"fp6", 6},
                                   {"fp8", 8},
                                   {"e5m2", 0}, // its scales are too small for f16
                                   {"e1m0", 2},
                                   {"e4m3-inf", 0},
                                   {"e3m2-nan", 6},
                                   {"e4m3-all", 0},
                                   {"mxfp4", 0},
                                   {"mxfp6", 0},
                                   {"mxfp8", 0},
                                   {"mxint8", 0},
                                   {"nvfp4", 0},
                                   {"nf4", 4},
                                   {"nf bits=3", 3},
                                   {"af4", 4},
                                   {"fp4-bnb", 4},
                                   {"dynamic bits=4", 4},
                                   {"midrise bits=1", 1},
                                   {"lloyd bits=2", 2},
                                   {"power bits=4", 0},
                                   {"tanh bits=4", 0},
                                   {"quantile bits=3", 0},
                                   {"nf4 split=1", 0},
                                   {"q4_0", 0},
                                   {"q4_K", 0}};
static const char *const grans[] = {"",          " granularity=tensor", " group=8",
                                    " group=16", " group=12",           " granularity=rank1"};
static const int64_t scale_counts[] = {ROWS, 1, ROWS * 5, ROWS * 3, ROWS * 4, 0};
static const char *const forms[] = {"", " scale=f32", " scale=e8m0", " scale=e4m3", " scale=double", " scale=super"};
enum {
    TYPES = sizeof types / sizeof *types,
    GRANS = sizeof grans / sizeof *grans,
    FORMS = sizeof forms / sizeof *forms
};

// Bytes of `n` scales in each form.
static int64_t form_bytes(int form, int64_t n, int bits) {
    const int64_t bytes[] = {
        (bits > 8 ? 4 : 2) * n, 4 * n, n, n + 4, n + 4 * ((n + 255) / 256 + 1), (6 * n + 7) / 8 + 2 * ((n + 15) / 16)};
    return bytes[form];
}

// Like make_step, but what is refused is reported.
static bool try_step(const char *text, compress_step *s, base_err *err) {
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    *s = (compress_step){.kind = compress_step_find(strtok_r(copy, " ", &save))};
    base_arg_defaults(s->kind->args, s->kind->arg_count, s->value);
    for (char *word; (word = strtok_r(NULL, " ", &save));) {
        char *value = strchr(word, '='), *end;
        *value++ = 0;
        double number = strtod(value, &end);
        if (!(*end
                  ? base_arg_set_text(s->kind->name, s->kind->args, s->kind->arg_count, s->value, word, value, err)
                  : base_arg_set_number(s->kind->name, s->kind->args, s->kind->arg_count, s->value, word, number, err)))
            return false;
    }
    return !s->kind->check || s->kind->check(s, err);
}

typedef struct batch {
    model *m;
    compress_result *r;
    int count;
    const float *w, *h;
    int64_t ran, refused;
} batch;

static const char *source_file(const float *w) {
    const char *path = support_temp_path("table-source.safetensors");
    static char names[BATCH][16];
    static model_tensor items[BATCH];
    for (int i = 0; i < BATCH; i++) {
        snprintf(names[i], sizeof names[i], "w%03d", i);
        items[i] = (model_tensor){.name = names[i], .t = {NUM_F32, 2, {ROWS, COLS}, w}};
    }
    base_err err = {0};
    if (!model_safetensors_save(path, items, BATCH, NULL, NULL, NULL, NULL, &err)) fail_msg("%s", err.text);
    return path;
}

static model *open_model(const char *path) {
    base_err err = {0};
    model_tensors *t = model_tensors_open(path, &err);
    if (!t || !compress_unpack(t, &err)) fail_msg("%s", err.text);
    model *m = model_bind(NULL, t, NULL, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

static int layer_at(const batch *b, int i) {
    char name[16];
    snprintf(name, sizeof name, "w%03d", i);
    for (int k = 0; k < b->m->layer_count; k++)
        if (!strcmp(b->m->layers[k].name, name) || !strcmp(result_tensor(b->m, &b->m->layers[k])->name, name)) return k;
    fail_msg("no layer %s", name);
    return -1;
}

// Everything of the batch to a file and back.
static void close_batch(batch *b) {
    base_err err = {0};
    const char *path = support_temp_path("table-packed.safetensors");
    compress_saved saved;
    int64_t bytes, header;
    struct stat st;
    assert_true(compress_sizes(b->r, &bytes, &header, &err));
    if (!compress_save(b->r, path, NULL, &saved, &err)) fail_msg("%s", err.text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, bytes + header);
    model *back = open_model(path);
    for (int i = 0; i < b->count; i++) {
        int k = layer_at(b, i);
        const model_tensor *a = result_tensor(b->m, &b->m->layers[k]), *t = model_tensors_find(back->tensors, a->name);
        assert_non_null(t);
        if (memcmp(back->weights[t - back->tensors->items], b->r->layers[k].decoded, ROWS * COLS * sizeof(float)) != 0)
            fail_msg("%s (%s) comes back with other values", a->name, b->r->layers[k].terms[0]->kind->name);
    }
    model_close(back);
    compress_result_free(b->r);
    model_close(b->m);
    b->m = NULL;
}

static void open_batch(batch *b, const char *path) {
    b->m = open_model(path);
    b->r = result_new(b->m);
    b->count = 0;
}

// What the term says of its bytes, and the layer's output error.
static void keep(batch *b, layer *l, const char *text, int64_t want) {
    base_err err = {0};
    float *out = base_big_alloc(ROWS * COLS, sizeof *out, "a weight", &err);
    if (!terms_decode(l->terms, l->term_count, ROWS, COLS, out, &err)) fail_msg("%s: %s", text, err.text);
    double whole = 0, error = output_error(b->w, out, ROWS, COLS, b->h);
    for (int i = 0; i < ROWS * COLS; i++) {
        if (!isfinite(out[i])) fail_msg("%s: weight %d decodes to %g", text, i, (double)out[i]);
        whole += (double)b->w[i] * (double)b->w[i];
    }
    if (!(error < 3 * whole)) fail_msg("%s: output error %g", text, error);
    if (want && layer_bytes(l) != want)
        fail_msg("%s: %lld bytes, expected %lld", text, (long long)layer_bytes(l), (long long)want);
    int k = layer_at(b, b->count++);
    result_layer *to = &b->r->layers[k];
    to->terms = base_calloc(1, sizeof *to->terms);
    assert_int_equal(l->term_count, 1);
    to->terms[0] = l->terms[0];
    to->term_count = 1;
    to->decoded = out;
    l->term_count = 0;
    b->ran++;
}

static void one(batch *b, const compress_solver *solver, int type, int gran, int form) {
    char text[256];
    bool own = !strncmp(types[type].text, "mx", 2) || !strncmp(types[type].text, "nv", 2) ||
               !strncmp(types[type].text, "q", 1);
    bool learned = strcmp(solver->name, "rtn") && strcmp(solver->name, "gptq") && strcmp(solver->name, "obq") &&
                   strcmp(solver->name, "hqq") && strcmp(solver->name, "awq");
    snprintf(text, sizeof text, "quantize solver=%s%s%s%s%s", solver->name, learned ? " iterations=20" : "",
             !strcmp(solver->name, "hqq") && !strncmp(types[type].text, "int", 3) ? " " : " dtype=",
             strncmp(types[type].text, "int", 3) || strcmp(solver->name, "hqq") ? types[type].text
                                                                                : types[type].text + 4,
             grans[gran]);
    strncat(text, forms[form], sizeof text - strlen(text) - 1);
    compress_step s;
    base_err err = {0};
    layer l = open_layer(b->w, ROWS, COLS, b->h);
    if (!try_step(text, &s, &err) || !s.kind->apply(&s, &l, &err)) {
        b->refused++;
        // Nothing is refused for rtn and gptq but what contradicts itself.
        bool even = !strncmp(types[type].text, "int bits=1", 11) || strstr(types[type].text, "sym=0") ||
                    !strcmp(types[type].text, "ternary") || !strcmp(types[type].text, "binary") ||
                    strstr(types[type].text, "split");
        bool plain = form < 2 && !own && !(gran == GRANS - 1 && even);
        if (strlen(err.text) < 12) fail_msg("%s is refused with '%s'", text, err.text);
        if (plain && (!strcmp(solver->name, "rtn") || !strcmp(solver->name, "gptq")))
            fail_msg("%s: %s", text, err.text);
    } else {
        bool told = types[type].bits && gran < GRANS - 1 && !strcmp(solver->name, "rtn");
        keep(b, &l, text,
             told ? (types[type].bits * ROWS * COLS + 7) / 8 + form_bytes(form, scale_counts[gran], types[type].bits)
                  : 0);
    }
    layer_close(&l);
}

static void whole_table(void **state) {
    (void)state;
    float *w = random_matrix(ROWS, COLS, 3), *h = random_gram(COLS, 4);
    const char *path = source_file(w);
    num_set_threads(1); // nothing here is worth two
    for (size_t s = 0; s < compress_solver_count; s++) {
        batch b = {.w = w, .h = h};
        double start = base_now();
        open_batch(&b, path);
        for (int t = 0; t < TYPES; t++)
            for (int g = 0; g < GRANS; g++)
                for (int f = 0; f < FORMS; f++) {
                    if (compress_solvers[s] == &solver_obq && g % 3) continue; // slow
                    if (b.count == BATCH) {
                        close_batch(&b);
                        open_batch(&b, path);
                    }
                    one(&b, compress_solvers[s], t, g, f);
                }
        close_batch(&b);
        print_message("%-14s %lld ran, %lld refused, %.2f s\n", compress_solvers[s]->name, (long long)b.ran,
                      (long long)b.refused, base_now() - start);
        assert_true(b.ran > 20 || compress_solvers[s]->make); // those that make terms of their own take no dtype
    }
    num_set_threads(0);
    free(w), free(h);
}

// Scales that are stored together: no solver does worse than its codes would have on the stored scales, and each close
// to what it reaches with scales of its own.
static void scales_stored_together(void **state) {
    (void)state;
    float *w = random_matrix(32, 256, 5), *h = random_gram(256, 6);
    for (int i = 0; i < 32 * 256; i++) w[i] *= 0.3f + (float)(i / 256 % 5); // scales that differ
    static const char *const solvers[] = {"gptq", "obq", "awq", "rtn", "rtn refine=cd"};
    for (int form = 4; form < 6; form++)
        for (size_t s = 0; s < 5; s++) {
            double error[2];
            for (int k = 0; k < 2; k++) {
                char text[128];
                snprintf(text, sizeof text, "quantize solver=%s bits=4 group=32%s", solvers[s], forms[k ? form : 1]);
                layer l = open_layer(w, 32, 256, h);
                float *out = apply_steps(&l, text);
                error[k] = output_error(w, out, 32, 256, h);
                layer_close(&l);
                free(out);
            }
            print_message("%-14s%s: output error %.4g, with scales of f32 %.4g\n", solvers[s], forms[form], error[1],
                          error[0]);
            assert_true(error[1] < error[0] * 1.25);
        }
    free(w), free(h);
}

// Every format's values from its definition, one code after another, and nearest rounding by trying them all.
static void minifloats_by_definition(void **state) {
    (void)state;
    static const char *const tops[] = {"", "-inf", "-nan", "-all", "fn"};
    int seen = 0;
    for (int e = 1; e <= 7; e++)
        for (int m = 0; e + m <= 7; m++)
            for (int k = 0; k < 5; k++) {
                char name[16];
                snprintf(name, sizeof name, "e%dm%d%s", e, m, tops[k]);
                type_choice c;
                base_err err = {0};
                bool can = (k != 1 || e > 1) && ((k != 2 && k != 4) || e > 1 || m > 0);
                assert_int_equal(type_find(name, 4, &c, &err), can);
                if (!can) continue;
                grid_table t;
                assert_true(table_build(&c.type, NULL, &t, &err));
                int half = 1 << (e + m), numbers = half, ocp = e == 5 && m == 2 ? 4 : e == 4 && m == 3 ? 1 : 0;
                numbers -= k == 0 ? ocp : k == 1 ? 1 << m : k == 3 ? 0 : 1;
                double largest = 0;
                for (int i = 0; i < half; i++) {
                    int power = i >> m, rest = i & ((1 << m) - 1), bias = (1 << (e - 1)) - 1;
                    double v = power ? ldexp(1 + ldexp(rest, -m), power - bias) : ldexp(ldexp(rest, -m), 1 - bias);
                    if (i >= numbers) {
                        assert_false(isfinite(t.value[i]));
                        continue;
                    }
                    assert_true((double)t.value[i] == v && (double)t.value[half + i] == -v);
                    largest = v > largest ? v : largest;
                }
                assert_true((double)t.top == largest);
                float *x = random_matrix(1, 50, (uint64_t)seen++);
                grid_code code[50];
                for (int i = 0; i < 50; i++) x[i] *= (float)largest * 12; // some beyond the top
                table_encode(&t, 1, x, 50, code);
                for (int i = 0; i < 50; i++) {
                    double least = INFINITY;
                    for (int q = 0; q < 2 * half; q++)
                        if (isfinite(t.value[q])) least = fmin(least, fabs((double)t.value[q] - (double)x[i]));
                    assert_true(fabs((double)t.value[code[i]] - (double)x[i]) <= least);
                }
                free(x);
            }
    assert_int_equal(seen, 28 * 5 - 7 - 2);
}

static void ternary_by_median(void **state) {
    (void)state;
    static const float w[] = {0.1f, -0.7f, 0.3f, 0.2f, -0.4f, 0, 0, 0, 0.5f, 0};
    base_err err = {0};
    layer l = open_layer(w, 2, 5, NULL);
    float *out = apply_steps(&l, "quantize dtype=ternary range=median scale=f32");
    // Row 0: the median of |w| is 0.3. Row 1: it is 0, so the mean 0.1 is taken.
    static const float want[] = {0, -0.3f, 0.3f, 0.3f, -0.3f, 0, 0, 0, 0.1f, 0};
    for (int i = 0; i < 10; i++) assert_true(fabsf(out[i] - want[i]) < 1e-6f);
    free(out);
    layer_close(&l);
    compress_step s;
    assert_false(try_step("quantize bits=4 range=median", &s, &err));
    assert_non_null(strstr(err.text, "ternary"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_table), cmocka_unit_test(minifloats_by_definition),
                                       cmocka_unit_test(ternary_by_median), cmocka_unit_test(scales_stored_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
