// Codebooks and outliers: best books, weights of errors, masks, packed forms, and outliers with what follows them.
#include "tests/compress/compress_support.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {8, 9}, {16, 36}, {1, 65}, {33, 1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static double error_of(const float *w, int64_t rows, int64_t cols, const char *steps, const float *h,
                       const float *fisher) {
    layer l = open_layer(w, rows, cols, h);
    l.fisher = fisher;
    float *out = apply_steps(&l, steps);
    double e = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        double d = (double)w[i] - (double)out[i];
        e += (fisher ? (double)fisher[i] : 1) * d * d;
    }
    if (!isfinite(e)) fail_msg("%s: the error is %g", steps, e);
    free(out);
    layer_close(&l);
    return e;
}

// More bits, a book a row instead of one, the exact book instead of Lloyd's: never worse. Better than an even grid.
static void better_books(void **state) {
    (void)state;
    for (int s = 0; s < SHAPES; s++) {
        int64_t rows = shapes[s][0], cols = shapes[s][1];
        float *w = random_matrix(rows, cols, 50 + (uint64_t)s);
        double last = INFINITY;
        for (int bits = 1; bits <= 8; bits++) {
            char text[3][96], grid[96];
            static const char *const forms[] = {"values=f32", "exact=0 values=f32", "scope=layer values=f32"};
            double e[3];
            for (int k = 0; k < 3; k++) {
                snprintf(text[k], sizeof text[k], "codebook bits=%d %s", bits, forms[k]);
                e[k] = error_of(w, rows, cols, text[k], NULL, NULL);
            }
            snprintf(grid, sizeof grid, "quantize bits=%d scale=f32 sym=0", bits);
            double even = error_of(w, rows, cols, grid, NULL, NULL), slack = 1e-9;
            if (e[0] > last + slack || e[0] > e[1] + slack || e[0] > e[2] + slack || e[0] > even + slack)
                fail_msg("%lldx%lld %d bits: exact %g, lloyd %g, layer %g, grid %g, fewer bits %g", (long long)rows,
                         (long long)cols, bits, e[0], e[1], e[2], even, last);
            last = e[0];
        }
        free(w);
    }
}

// A book weighted by what errors cost is best by that cost, a plain one by the plain error.
static void weights_count(void **state) {
    (void)state;
    int64_t rows = 16, cols = 36;
    float *w = random_matrix(rows, cols, 3), *h = random_gram(cols, 5), *cost = malloc(16 * 36 * sizeof *cost);
    for (int i = 0; i < 16 * 36; i++) cost[i] = h[i % 36 * 37];
    for (int c = 0; c < 36; c += 5) h[c * 37] *= 9;
    for (int i = 0; i < 16 * 36; i++) cost[i] = h[i % 36 * 37];
    double plain = error_of(w, rows, cols, "codebook bits=3 values=f32", h, cost),
           hessian = error_of(w, rows, cols, "codebook bits=3 values=f32 weight=hessian", h, cost),
           fisher = error_of(w, rows, cols, "codebook bits=3 values=f32 weight=fisher", h, cost);
    assert_true(hessian < plain);
    assert_true(fabs(hessian - fisher) <= 1e-9 * fisher);
    // No gradient anywhere: as if all weighed the same.
    memset(cost, 0, 16 * 36 * sizeof *cost);
    layer a = open_layer(w, rows, cols, h), b = open_layer(w, rows, cols, h);
    a.fisher = cost;
    float *x = apply_steps(&a, "codebook weight=fisher"), *y = apply_steps(&b, "codebook");
    assert_memory_equal(x, y, 16 * 36 * sizeof *x);
    free(x), free(y);
    layer_close(&a), layer_close(&b);
    free(w), free(h), free(cost);
}

// After prune the pruned stay 0; before prune the codes at kept places stay; residuals; embeddings; rows all pruned.
static void books_with_masks(void **state) {
    (void)state;
    float *w = random_matrix(8, 9, 3), *h = random_gram(9, 5), counts[8] = {0, 0.5f, 0, 0.25f, 0, 0, 0.25f, 0};
    static const char *const forms[] = {"prune sparsity=0.5; codebook bits=3",
                                        "codebook bits=3; prune sparsity=0.5",
                                        "prune n=1 m=4; codebook bits=2 scope=layer; quantize bits=2",
                                        "quantize bits=2; codebook bits=2",
                                        "prune sparsity=1; codebook bits=2",
                                        "lowrank rank=1; codebook bits=1",
                                        "codebook bits=2; codebook bits=2"};
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) error_of(w, 8, 9, forms[k], h, NULL);
    assert_true(error_of(w, 8, 9, "codebook bits=2; codebook bits=2", h, NULL) <
                error_of(w, 8, 9, "codebook bits=2", h, NULL));
    layer l = open_layer(w, 8, 9, counts);
    l.diagonal = true;
    free(apply_steps(&l, "codebook bits=2 weight=hessian; outliers criterion=obs fraction=0.1"));
    assert_int_equal(l.terms[0]->blob[1].dtype, NUM_F16);
    layer_close(&l);
    // Tiny values would vanish in float16.
    for (int i = 0; i < 72; i++) w[i] *= 1e-6f;
    l = open_layer(w, 8, 9, NULL);
    float *out = apply_steps(&l, "codebook bits=4");
    assert_int_equal(l.terms[0]->blob[1].dtype, NUM_F32);
    float nothing[72] = {0};
    assert_true(output_error(w, out, 8, 9, NULL) < 0.1 * output_error(w, nothing, 8, 9, NULL));
    free(out);
    layer_close(&l);
    free(w), free(h);
}

// What a stranger's file can get wrong.
static void bad_books_are_refused(void **state) {
    (void)state;
    base_err err = {0};
    float *w = random_matrix(3, 7, 3);
    layer l = open_layer(w, 3, 7, NULL);
    free(apply_steps(&l, "codebook bits=3 values=f32"));
    term *t = l.terms[0];
    assert_true(t->kind->check(t, &err));
    ((float *)t->blob[1].owned)[5] = NAN;
    assert_false(t->kind->check(t, &err));
    ((float *)t->blob[1].owned)[5] = 0;
    ((uint8_t *)t->blob[0].owned)[7] |= 0x80;
    assert_false(t->kind->check(t, &err));
    assert_non_null(strstr(err.text, "unused bits"));
    ((uint8_t *)t->blob[0].owned)[7] &= 0x7f;
    t->attr[CODEBOOK_SCOPE] = CODEBOOK_LAYER;
    assert_false(t->kind->check(t, &err));
    layer_close(&l);
    free(w);
}

// Outliers taken out narrow the grid of the rest: the error falls, and by obs more in outputs than by magnitude alone.
static void outliers_help_the_rest(void **state) {
    (void)state;
    float *w = random_matrix(16, 36, 3), *h = random_gram(36, 5);
    for (int i = 0; i < 16; i++) w[i * 36 + (7 * i) % 36] *= 12;
    static const char *const rest[] = {"quantize bits=3", "quantize bits=3 sym=0 group=12", "codebook bits=2",
                                       "quantize solver=gptq bits=3", "keep dtype=f16"};
    for (int k = 0; k < 5; k++)
        for (int c = 0; c < 2; c++) {
            char text[160];
            snprintf(text, sizeof text, "outliers criterion=%s fraction=0.05; %s", c ? "obs" : "magnitude", rest[k]);
            double with = error_of(w, 16, 36, text, h, NULL), without = error_of(w, 16, 36, rest[k], h, NULL);
            if (!(with < without || k == 4)) fail_msg("%s: %g, without %g", text, with, without);
            if (k == 4 && !(with < 1e-4)) fail_msg("%s: %g", text, with);
        }
    layer l = open_layer(w, 16, 36, h);
    free(apply_steps(&l, "outliers fraction=0.05 values=f32; quantize bits=4; quantize bits=4"));
    assert_int_equal(l.term_count, 3);
    assert_ptr_equal(l.terms[0]->kind, &term_sparse);
    assert_int_equal(l.terms[0]->child[0]->stored, 28);
    layer_close(&l);
    free(w), free(h);
}

// Before or after prune, floats or codes: nothing is counted twice, and the mask check still passes.
static void outliers_with_masks(void **state) {
    (void)state;
    float *w = random_matrix(16, 36, 3), *h = random_gram(36, 5);
    for (int i = 0; i < 16; i++) w[i * 36 + (7 * i) % 36] *= 12;
    static const char *const exact[] = {"keep dtype=f32; outliers fraction=0.1",
                                        "prune sparsity=0; outliers fraction=0.1",
                                        "prune sparsity=0.0; outliers fraction=0.1; keep dtype=f32",
                                        "outliers fraction=1 values=f32", "outliers fraction=0.1; keep dtype=f32"};
    for (size_t k = 0; k < sizeof exact / sizeof *exact; k++) {
        double e = error_of(w, 16, 36, exact[k], h, NULL);
        if (e > 1e-9) fail_msg("%s: %g, expected nothing lost", exact[k], e);
    }
    static const char *const forms[] = {
        "outliers fraction=0.1; prune sparsity=0.5; quantize bits=4",
        "prune sparsity=0.5; outliers fraction=0.1; quantize bits=4",
        "prune sparsity=0.95; outliers fraction=0.1; quantize bits=4",
        "outliers fraction=0.1; prune criterion=sparsegpt sparsity=0.5 bits=4",
        "prune criterion=sparsegpt sparsity=0.5; outliers fraction=0.1; quantize bits=4",
        "quantize bits=2; outliers fraction=0.1"};
    double before = 0;
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        double e = error_of(w, 16, 36, forms[k], h, NULL);
        for (int i = 0; !k && i < 16 * 36; i++) before += (double)w[i] * (double)w[i];
        if (!(e < 0.5 * before)) fail_msg("%s: %g of %g", forms[k], e, before);
    }
    // Outliers of a pruned layer are kept weights.
    layer l = open_layer(w, 16, 36, h);
    free(apply_steps(&l, "prune sparsity=0.9; outliers fraction=0.5; quantize bits=4"));
    uint8_t mask[16 * 36];
    base_err err = {0};
    assert_true(positions_mask(l.terms[1]->stays ? l.terms[1] : l.terms[0], mask, &err));
    for (int i = 0; i < 16 * 36; i++) assert_true(mask[i] <= l.mask[i]);
    layer_close(&l);
    assert_true(error_of(w, 1, 1, "outliers fraction=0.5; quantize bits=4", h, NULL) < 1);
    free(w), free(h);
}

// SpQR's marks once more, as its authors' code has them: every leave-one-out grid fitted anew, H inverted by
// Gauss-Jordan, its Cholesky factor upper triangular.
static void inverse_factor(const float *h, int n, double damp, double *u) {
    double *a = calloc((size_t)(2 * n * n), sizeof *a), *x = a + n * n, mean = 0;
    for (int i = 0; i < n; i++) mean += (double)h[i * n + i] / n;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) a[i * n + j] = (double)h[i * n + j];
        bool dead = a[i * n + i] == 0;
        a[i * n + i] = dead ? 1 : a[i * n + i] + damp * mean;
        x[i * n + i] = 1;
    }
    for (int c = 0; c < n; c++) {
        double pivot = a[c * n + c];
        for (int j = 0; j < n; j++) a[c * n + j] /= pivot, x[c * n + j] /= pivot;
        for (int r = 0; r < n; r++) {
            double f = a[r * n + c];
            for (int j = 0; r != c && j < n; j++) a[r * n + j] -= f * a[c * n + j], x[r * n + j] -= f * x[c * n + j];
        }
    }
    memset(u, 0, (size_t)(n * n) * sizeof *u); // x = u^T u
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            double sum = x[i * n + j];
            for (int k = 0; k < i; k++) sum -= u[k * n + i] * u[k * n + j];
            u[i * n + j] = j == i ? sqrt(sum) : sum / u[i * n + i];
        }
    free(a);
}

typedef struct plain_grid {
    double scale, zero, top;
} plain_grid;

static plain_grid plain_fit(const double *x, int n, int bits, bool sym) {
    double low = INFINITY, high = -INFINITY, top = (1 << bits) - 1;
    for (int i = 0; i < n; i++) low = fmin(low, x[i]), high = fmax(high, x[i]);
    if (!n) low = high = 0;
    if (sym) {
        high = fmax(fabs(low), high);
        if (low < 0) low = -high;
    }
    if (low == high) low = -1, high = 1;
    double scale = (high - low) / top;
    return (plain_grid){scale, sym ? (top + 1) / 2 : -low / scale, top};
}

static double plain_round(plain_grid g, double x) {
    return g.scale * (fmin(fmax(rint(x / fmax(g.scale, 1e-9) + g.zero), 0), g.top) - g.zero);
}

static double plain_error(const double *x, const double *d, int n, int bits, bool sym) {
    plain_grid g = plain_fit(x, n, bits, sym);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += pow((x[i] - plain_round(g, x[i])) / d[i], 2);
    return sum;
}

static plain_grid without_likely(const double *x, const double *d, int n, int bits, bool sym, double limit) {
    double base = plain_error(x, d, n, bits, sym), other[64], cost[64], mean = 0, filled[64];
    bool stays[64];
    int stay = 0;
    for (int i = 0; i < n; i++) {
        for (int j = 0, k = 0; j < n; j++)
            if (j != i) other[k] = x[j], cost[k++] = d[j];
        stays[i] = !(base - plain_error(other, cost, n - 1, bits, sym) > limit);
        if (stays[i]) mean += x[i], stay++;
    }
    mean /= stay ? stay : 1;
    for (int i = 0; i < n; i++) filled[i] = stays[i] ? x[i] : mean;
    return plain_fit(filled, n, bits, sym);
}

static int plain_marks(const float *w, const float *h, int rows, int cols, int bits, int group, bool sym,
                       double threshold, uint8_t *mask) {
    double *u = calloc((size_t)(cols * cols + 2 * cols), sizeof *u), *x = u + cols * cols, *d = x + cols, scale = 0;
    int found = 0;
    inverse_factor(h, cols, 0.01, u);
    for (int c = 0; c < cols; c++) {
        double mean = 0, sum = 0;
        d[c] = u[c * cols + c];
        for (int r = 0; r < rows; r++) mean += h[c * cols + c] == 0 ? 0 : (double)w[r * cols + c] / rows;
        for (int r = 0; r < rows; r++) sum += h[c * cols + c] == 0 ? 0 : pow((double)w[r * cols + c] - mean, 2);
        scale += sum / (rows - 1) / (d[c] * d[c]) / cols;
    }
    for (int r = 0; r < rows; r++) {
        plain_grid g = {0, 0, 0};
        for (int c = 0; c < cols; c++) x[c] = h[c * cols + c] == 0 ? 0 : (double)w[r * cols + c];
        for (int c = 0; c < cols; c++) {
            int left = cols - c < group ? cols - c : group;
            if (c % group == 0) g = without_likely(x + c, d + c, left, bits, sym, threshold * scale);
            double e = (x[c] - plain_round(g, x[c])) / d[c];
            mask[r * cols + c] = e * e > threshold * scale && h[c * cols + c] != 0;
            found += mask[r * cols + c];
            for (int j = c + 1; !mask[r * cols + c] && j < cols; j++) x[j] -= e * u[c * cols + j];
        }
    }
    free(u);
    return found;
}

static void spqr_as_its_authors(void **state) {
    (void)state;
    static const struct {
        int rows, cols, bits, group;
        bool sym;
        double threshold;
    } cases[] = {{16, 48, 3, 16, false, 0.2}, {16, 48, 3, 16, true, 0.2}, {12, 37, 2, 8, false, 0.05},
                 {5, 40, 4, 16, false, 0.01}, {3, 7, 3, 16, false, 0.1},  {9, 21, 1, 5, false, 0.3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int rows = cases[k].rows, cols = cases[k].cols, n = rows * cols;
        float *w = random_matrix(rows, cols, 3 + k), *h = random_gram(cols, 5 + k);
        for (int i = 0; i < rows; i++) w[i * cols + (7 * i) % cols] *= 6;
        for (int j = 0; j < cols; j++) h[2 * cols + j] = h[j * cols + 2] = 0; // a dead input
        uint8_t *theirs = calloc((size_t)n, 1), *ours = calloc((size_t)n, 1);
        int found =
            plain_marks(w, h, rows, cols, cases[k].bits, cases[k].group, cases[k].sym, cases[k].threshold, theirs);
        char text[160];
        snprintf(text, sizeof text, "outliers criterion=spqr threshold=%g bits=%d group=%d sym=%d values=f32",
                 cases[k].threshold, cases[k].bits, cases[k].group, cases[k].sym);
        layer l = open_layer(w, rows, cols, h);
        free(apply_steps(&l, text));
        base_err err = {0};
        assert_int_equal(l.term_count, found > 0);
        if (found) assert_true(positions_mask(l.terms[0], ours, &err));
        for (int i = 0; i < n; i++)
            if (ours[i] != theirs[i]) fail_msg("%s: weight %d of %d x %d", text, i, rows, cols);
        assert_true(found > 0 && found < n / 2);
        layer_close(&l);
        free(ours), free(theirs), free(w), free(h);
    }
}

// One row, one weight, zero rows, nothing left by a mask, a threshold that all or none pass.
static void spqr_edges(void **state) {
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 9}, {3, 7}, {4, 1}};
    static const char *const steps[] = {"outliers criterion=spqr", "outliers criterion=spqr threshold=0",
                                        "outliers criterion=spqr threshold=1000000 group=0",
                                        "prune sparsity=1; outliers criterion=spqr threshold=0",
                                        "prune sparsity=0.5; outliers criterion=spqr threshold=0.01; quantize bits=4"};
    for (int k = 0; k < 4; k++)
        for (int zero = 0; zero < 2; zero++)
            for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
                int64_t rows = sizes[k][0], cols = sizes[k][1];
                float *w = random_matrix(rows, cols, 3), *h = random_gram(cols, 5);
                if (zero) memset(w, 0, (size_t)(rows * cols) * sizeof *w);
                layer l = open_layer(w, rows, cols, h);
                float *out = apply_steps(&l, steps[i]);
                assert_true(num_all_finite(out, (size_t)(rows * cols)));
                layer_close(&l);
                free(out), free(w), free(h);
            }
    compress_step s = make_step("outliers criterion=spqr");
    base_err err = {0};
    assert_true(base_arg_set_number("outliers", s.kind->args, s.kind->arg_count, s.value, "fraction", 0.1, &err));
    assert_false(s.kind->check(&s, &err));
    assert_string_equal(err.text, "outliers: fraction belongs to criterion magnitude, obs or fisher, the criterion is "
                                  "spqr");
    s = make_step("outliers criterion=obs");
    assert_true(base_arg_set_number("outliers", s.kind->args, s.kind->arg_count, s.value, "threshold", 0.1, &err));
    assert_false(s.kind->check(&s, &err));
}

// SqueezeLLM's sensitive weights are those of the largest squared gradients, whatever their size.
static void fisher_outliers(void **state) {
    (void)state;
    float *w = random_matrix(8, 20, 3), *fisher = calloc(160, sizeof *fisher);
    uint8_t mask[160];
    base_err err = {0};
    for (int i = 0; i < 160; i++) fisher[i] = (float)((i * 37) % 160);
    w[5] = 100;
    layer l = open_layer(w, 8, 20, NULL);
    l.fisher = fisher;
    free(apply_steps(&l, "outliers criterion=fisher fraction=0.1"));
    assert_true(positions_mask(l.terms[0], mask, &err));
    for (int i = 0; i < 160; i++) assert_int_equal(mask[i], fisher[i] >= 144);
    layer_close(&l);
    free(fisher), free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spqr_as_its_authors),   cmocka_unit_test(spqr_edges),
        cmocka_unit_test(fisher_outliers),       cmocka_unit_test(better_books),
        cmocka_unit_test(weights_count),         cmocka_unit_test(books_with_masks),
        cmocka_unit_test(bad_books_are_refused), cmocka_unit_test(outliers_help_the_rest),
        cmocka_unit_test(outliers_with_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
