// codebook{refine="lnq"}: never worse than the k-means it begins with, in the end at a place where no code and no value
// alone can be bettered (by plain sums), masks, groups, dead inputs, odd sizes, the same bytes at any thread count.
#include "compress/solvers/lnq.h"
#include "tests/compress/compress_support.h"

// (w - q) H (w - q)^T of one row, in double.
static double row_error(const lnq_work *k, int64_t row, const uint8_t *codes, const float *book) {
    double sum = 0;
    const float *h = k->h + row / (k->rows / k->groups) * k->cols * k->cols;
    for (int64_t i = 0; i < k->cols; i++)
        for (int64_t j = 0; j < k->cols; j++) {
            int64_t a = row * k->cols + i, b = row * k->cols + j;
            if (k->mask && (!k->mask[a] || !k->mask[b])) continue;
            sum += ((double)k->w[a] - (double)book[codes[i]]) * (double)h[i * k->cols + j] *
                   ((double)k->w[b] - (double)book[codes[j]]);
        }
    return sum;
}

static void check_local(const lnq_work *k) {
    for (int64_t r = 0; r < k->rows; r++) {
        uint8_t *codes = k->codes + r * k->cols;
        float *book = k->centers + r * k->levels;
        double least = row_error(k, r, codes, book), room = 1e-4 * least + 1e-9;
        for (int64_t j = 0; j < k->cols; j++) {
            uint8_t was = codes[j];
            for (int64_t c = 0; c < k->levels; c++) {
                codes[j] = (uint8_t)c;
                assert_true(row_error(k, r, codes, book) >= least - room);
            }
            codes[j] = was;
        }
        for (int64_t c = 0; c < k->levels; c++) {
            float was = book[c];
            for (int side = -1; side < 2; side += 2) {
                book[c] = was + (float)side * 0.01f;
                assert_true(row_error(k, r, codes, book) >= least - room);
            }
            book[c] = was;
        }
    }
}

static void test_local_optimum(void **state) {
    (void)state;
    enum { ROWS = 6, COLS = 24, LEVELS = 4 };
    base_err err = {0};
    for (int kind = 0; kind < 3; kind++) { // plain, masked, groups
        float *w = random_matrix(ROWS, COLS, 3), *h = calloc((size_t)ROWS * COLS * COLS, sizeof *h);
        for (int g = 0; g < 3; g++) {
            float *one = random_gram(COLS, (uint64_t)(g + 5));
            memcpy(h + g * COLS * COLS, one, COLS * COLS * sizeof *h);
            free(one);
        }
        float centers[ROWS * LEVELS];
        uint8_t codes[ROWS * COLS], mask[ROWS * COLS];
        for (int i = 0; i < ROWS * LEVELS; i++) centers[i] = -1.5f + (float)(i % LEVELS);
        for (int i = 0; i < ROWS * COLS; i++) {
            float best = INFINITY;
            mask[i] = i % 3 != 0;
            for (int c = 0; c < LEVELS; c++)
                if (fabsf(w[i] - centers[c]) < best) best = fabsf(w[i] - centers[c]), codes[i] = (uint8_t)c;
        }
        lnq_work k = {.layer = "x",
                      .w = w,
                      .mask = kind == 1 ? mask : NULL,
                      .h = h,
                      .rows = ROWS,
                      .cols = COLS,
                      .groups = kind == 2 ? 3 : 1,
                      .levels = LEVELS,
                      .centers = centers,
                      .codes = codes,
                      .damp = 0.01,
                      .turns = 200};
        double before = 0, after = 0;
        for (int64_t r = 0; r < ROWS; r++) before += row_error(&k, r, codes + r * COLS, centers + r * LEVELS);
        if (!lnq_solve(&k, &err)) fail_msg("%s", err.text);
        for (int64_t r = 0; r < ROWS; r++) after += row_error(&k, r, codes + r * COLS, centers + r * LEVELS);
        assert_true(fabs(k.before - before) < 1e-4 * before && fabs(k.after - after) < 1e-3 * after);
        assert_true(after < 0.5 * before && k.damping > 0);
        check_local(&k);
        free(w);
        free(h);
    }
}

static double after(const char *steps, const float *w, int64_t rows, int64_t cols, const float *h) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps);
    double e = output_error(w, out, rows, cols, h);
    free(out);
    layer_close(&l);
    return e;
}

static void test_better(void **state) {
    (void)state;
    float *w = random_matrix(48, 72, 9), *h = random_gram(72, 5);
    double plain = after("codebook bits=2 weight=hessian", w, 48, 72, h),
           gptq = after("quantize solver=gptq bits=2", w, 48, 72, h),
           start = after("codebook bits=2 weight=hessian refine=lnq turns=0", w, 48, 72, h),
           ten = after("codebook bits=2 weight=hessian refine=lnq", w, 48, 72, h);
    if (!(start < plain && ten < start && ten < 0.7 * gptq && ten < 0.5 * plain))
        fail_msg("k-means %g, gptq %g, begun %g, ten turns %g", plain, gptq, start, ten);
    assert_true(after("codebook bits=2 refine=lnq values=f32", w, 48, 72, h) < 0.6 * plain);
    assert_true(after("codebook bits=3 weight=hessian refine=lnq", w, 48, 72, h) < 0.5 * ten);
    float *out[2];
    for (int t = 0; t < 2; t++) {
        num_set_threads(t + 1);
        layer l = open_layer(w, 48, 72, h);
        out[t] = apply_steps(&l, "codebook bits=2 refine=lnq");
        layer_close(&l);
    }
    num_set_threads(0);
    assert_memory_equal(out[0], out[1], 48 * 72 * sizeof(float));
    free(out[0]);
    free(out[1]);
    free(w);
    free(h);
}

// One sample, none, dead inputs, groups, an embedding, rows of zeros; pruned weights stay 0.
static void test_edges(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {6, 2}, {12, 18}};
    static const char *const steps[] = {"codebook bits=1 refine=lnq", "codebook bits=8 weight=hessian refine=lnq",
                                        "prune sparsity=0.5; codebook bits=2 refine=lnq"};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 4; k++)
            for (int kind = 0; kind < 5; kind++) {
                int64_t rows = sizes[k][0], cols = sizes[k][1], groups = kind == 3 ? rows : 1;
                float *w = random_matrix(rows, cols, i + k);
                float *h = calloc((size_t)(groups * cols * cols + rows), sizeof *h);
                for (int64_t g = 0; kind != 4 && g < groups; g++)
                    for (int64_t a = 0; a < cols * cols; a++)
                        h[g * cols * cols + a] = kind == 1                                     ? 0
                                                 : kind == 2 && (a / cols < 2 || a % cols < 2) ? 0
                                                 : kind >= 2 && a / cols == a % cols           ? 2.0f
                                                                                               : 1.0f;
                for (int64_t r = 0; kind == 4 && r < rows; r++) h[r] = (float)(r % 3);
                for (int64_t c = 0; c < cols; c++) w[c] = kind == 2 ? 0 : w[c];
                layer l = open_layer(w, rows, cols, h);
                l.groups = groups;
                l.diagonal = kind == 4;
                float *out = apply_steps(&l, steps[i]);
                assert_true(num_all_finite(out, (size_t)(rows * cols)));
                for (int64_t c = 0; l.mask && c < rows * cols; c++) assert_true(l.mask[c] || out[c] == 0);
                free(out);
                layer_close(&l);
                free(w);
                free(h);
            }
    base_err err = {0};
    compress_step s = make_step("codebook bits=2 scope=layer");
    assert_true(base_arg_set_text("codebook", s.kind->args, s.kind->arg_count, s.value, "refine", "lnq", &err));
    assert_false(s.kind->check(&s, &err));
    assert_non_null(strstr(err.text, "finds a book for every row"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_local_optimum), cmocka_unit_test(test_better),
                                       cmocka_unit_test(test_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
