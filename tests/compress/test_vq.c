// Vector codebooks: exact where the book has room, better with more bits, weighted by the inputs, residual, any size.
#include "tests/compress/compress_support.h"

// sum h_c (w - decoded)^2 after the steps; h NULL: all 1.
static double error_after(const char *steps, const float *w, int64_t rows, int64_t cols, const float *h) {
    base_err err = {0};
    layer l = open_layer(w, rows, cols, h);
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", steps);
    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save)) {
        compress_step s = make_step(one + strspn(one, " "));
        if (!s.kind->apply(&s, &l, &err)) fail_msg("%s: %s", steps, err.text);
    }
    float *out = malloc((size_t)(rows * cols) * sizeof *out);
    assert_non_null(out);
    assert_true(terms_decode(l.terms, l.term_count, rows, cols, out, &err));
    double sum = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        double d = (double)w[i] - (double)out[i];
        sum += d * d * (h ? (double)h[i % cols * cols + i % cols] : 1);
    }
    free(out);
    layer_close(&l);
    return sum;
}

static void test_exact(void **state) {
    (void)state;
    float w[8 * 6];
    for (int i = 0; i < 48; i++) w[i] = (float)(i / 3 % 4) - 0.25f * (float)(i % 3); // four different runs of three
    assert_true(error_after("vq dim=3 bits=1 values=f32", w, 8, 6, NULL) == 0);
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {5, 2}, {1, 9}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        float *x = random_matrix(sizes[k][0], sizes[k][1], k + 1);
        assert_true(error_after("vq dim=4 bits=2 values=f32", x, sizes[k][0], sizes[k][1], NULL) == 0);
        memset(x, 0, (size_t)(sizes[k][0] * sizes[k][1]) * sizeof *x);
        assert_true(error_after("vq dim=4 bits=2; vq dim=2", x, sizes[k][0], sizes[k][1], NULL) == 0);
        free(x);
    }
}

static void test_better(void **state) {
    (void)state;
    float *w = random_matrix(32, 72, 9), *h = random_gram(72, 5);
    for (int64_t c = 0; c < 72; c++) h[c * 72 + c] *= c % 5 ? 1.0f : 20.0f;
    double one = error_after("vq dim=4 bits=1", w, 32, 72, NULL), two = error_after("vq dim=4 bits=2", w, 32, 72, NULL);
    double residual = error_after("vq dim=4 bits=1; vq dim=4 bits=1", w, 32, 72, NULL);
    assert_true(two < 0.5 * one && residual < 0.6 * one && two < residual);
    // Lloyd's turns improve on the start.
    double start = error_after("vq dim=4 bits=1 iterations=0", w, 32, 72, NULL);
    assert_true(one < start);
    double plain = error_after("vq dim=4 bits=1", w, 32, 72, h);
    double weighted = error_after("vq dim=4 bits=1 weight=hessian", w, 32, 72, h);
    assert_true(weighted < 0.9 * plain);
    num_set_threads(1);
    double single = error_after("vq dim=4 bits=1 weight=hessian", w, 32, 72, h);
    num_set_threads(0);
    assert_true(single == weighted);
    memset(h, 0, 72 * 72 * sizeof *h); // no input was ever active
    layer l = open_layer(w, 32, 72, h);
    compress_step s = make_step("vq dim=4 bits=1 weight=hessian");
    base_err err = {0};
    if (!s.kind->apply(&s, &l, &err)) fail_msg("%s", err.text);
    layer_close(&l);
    free(w);
    free(h);
}

static void test_refuses(void **state) {
    (void)state;
    base_err err = {0};
    compress_step s = make_step("vq dim=4");
    assert_true(base_arg_set_number("vq", s.kind->args, s.kind->arg_count, s.value, "bits", 3.5, &err));
    assert_false(s.kind->check(&s, &err));
    assert_non_null(strstr(err.text, "dim * bits = 14, expected a whole number from 1 to 12"));
    float *w = random_matrix(8, 8, 2);
    layer l = open_layer(w, 8, 8, NULL);
    compress_step prune = make_step("prune sparsity=0.5"), vq = make_step("vq");
    assert_true(prune.kind->apply(&prune, &l, &err));
    assert_false(vq.kind->apply(&vq, &l, &err));
    assert_non_null(strstr(err.text, "would not keep pruned ones at 0"));
    layer_close(&l);
    free(w);
}

// Every step that fits a book says how much of it is used and what was reached beside D(R).
static void test_told(void **state) {
    (void)state;
    static const struct {
        const char *step, *used, *rate;
    } cases[] = {{"vq dim=2 bits=1", "4 of 4 vectors used", "where a Gaussian has"},
                 {"codebook bits=2", "48 of 48 values used", "where a Gaussian has"},
                 {"codebook bits=2 scope=layer", "4 of 4 values used", "where a Gaussian has"},
                 {"prune sparsity=0.5; codebook bits=1 scope=layer", "2 of 2 values used", "where a Gaussian has"},
                 {"lr2vq length=2 rank=1 bits=1", "4 of 4 vectors used", "D(R) "},
                 {"simvq length=2 bits=1", "of 4 vectors used", "D(R) "}};
    float *w = random_matrix(12, 20, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        layer l = open_layer(w, 12, 20, NULL);
        free(apply_steps(&l, cases[i].step));
        if (!strstr(l.did.text, cases[i].used) || !strstr(l.did.text, cases[i].rate))
            fail_msg("%s: %s", cases[i].step, l.did.text);
        layer_close(&l);
    }
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact), cmocka_unit_test(test_better),
                                       cmocka_unit_test(test_refuses), cmocka_unit_test(test_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
