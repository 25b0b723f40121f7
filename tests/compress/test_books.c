// Books of vectors: least squares against normal equations, the search against every code there is, the feedback
// against explicit inverses and against gptq, errors that never rise, odd shapes, hostile terms.
#include "compress/solvers/books.h"
#include "compress/solvers/gptq.h"
#include "tests/compress/compress_support.h"

static books_work open_books(const float *w, int64_t rows, int64_t cols, const float *h, books_shape shape) {
    books_work b = {.layer = "test", .r = w, .rows = rows, .cols = cols, .groups = 1, .h = h, .shape = shape};
    base_err err = {0};
    if (!books_open(&b, &err)) fail_msg("%s", err.text);
    return b;
}

static void fill_normal(float *x, int64_t n, uint64_t seed, double spread) {
    num_rng r = num_rng_seed(seed, 3);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(spread * num_rng_normal(&r));
}

static double error_of(const books_work *b, const float *h) {
    float *q = calloc((size_t)(b->rows * b->cols), sizeof *q);
    books_decode(b, b->book, q);
    double e = output_error(b->r, q, b->rows, b->cols, h);
    free(q);
    return e;
}

// ---- the search ----------------------------------------------------------------------------------

static double brute_force(books_work *b, const float *h) {
    int64_t places = b->lanes * b->units * b->shape.planes, size = (int64_t)1 << b->shape.bits, all = 1;
    for (int64_t i = 0; i < places; i++) all *= size;
    assert_true(all <= 1 << 16);
    double best = INFINITY;
    for (int64_t n = 0; n < all; n++) {
        int64_t left = n;
        for (int64_t i = 0; i < places; i++) b->codes[i] = (uint16_t)(left % size), left /= size;
        double e = error_of(b, h);
        if (e < best) best = e;
    }
    return best;
}

// As many hypotheses as there are sets of codes: the search is exhaustive. Fewer: never below the optimum, never above
// the start.
static void test_search(void **state) {
    (void)state;
    static const struct {
        int64_t rows, cols;
        books_shape shape;
        int64_t beam;
    } cases[] = {{1, 6, {1, 1, 1, 1, false}, 64}, {1, 5, {2, 2, 1, 1, false}, 64}, {1, 6, {2, 1, 2, 1, false}, 64},
                 {1, 6, {2, 1, 2, 3, false}, 64}, {3, 3, {3, 2, 1, 1, true}, 64},  {2, 3, {3, 1, 2, 1, true}, 64},
                 {1, 9, {2, 2, 1, 1, false}, 4},  {1, 4, {1, 1, 4, 1, false}, 8},  {2, 7, {2, 1, 1, 2, false}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float *w = random_matrix(cases[i].rows, cases[i].cols, 20 + i), *h = random_gram(cases[i].cols, 30 + i);
        books_work b = open_books(w, cases[i].rows, cases[i].cols, h, cases[i].shape);
        fill_normal(b.book, b.values, 40 + i, 0.05);
        for (int64_t r = 0; r < b.rows; r++) b.scales[r] = 1 + 0.25f * (float)r;
        double best = brute_force(&b, h);
        memset(b.codes, 0, (size_t)(b.lanes * b.units * b.shape.planes) * sizeof *b.codes);
        double start = error_of(&b, h);
        int64_t changed;
        base_err err = {0};
        assert_true(books_search(&b, cases[i].beam, &changed, &err));
        double found = error_of(&b, h);
        if (cases[i].beam == 64 && found > best * (1 + 1e-5)) fail_msg("case %zu: %g, the best is %g", i, found, best);
        assert_true(found >= best * (1 - 1e-5) && found <= start * (1 + 1e-6));
        books_close(&b);
        free(w);
        free(h);
    }
}

// ---- least squares -------------------------------------------------------------------------------

// The normal matrix and right side by decoding one unit value at a time, solved in float64.
static void normal_equations(books_work *b, const float *h, double *x) {
    int64_t n = b->values, cells = b->rows * b->cols;
    double *design = calloc((size_t)(n * cells), sizeof *design), *moved = calloc((size_t)(n * cells), sizeof *moved),
           *a = calloc((size_t)(n * n), sizeof *a);
    float *one = calloc((size_t)n, sizeof *one), *q = calloc((size_t)cells, sizeof *q);
    for (int64_t v = 0; v < n; v++) {
        one[v] = 1;
        books_decode(b, one, q);
        one[v] = 0;
        for (int64_t i = 0; i < cells; i++) design[v * cells + i] = (double)q[i];
        for (int64_t r = 0; r < b->rows; r++)
            for (int64_t c = 0; c < b->cols; c++)
                for (int64_t j = 0; j < b->cols; j++)
                    moved[v * cells + r * b->cols + c] += (double)q[r * b->cols + j] * (double)h[j * b->cols + c];
    }
    for (int64_t u = 0; u < n; u++)
        for (int64_t v = 0; v < n; v++)
            for (int64_t i = 0; i < cells; i++) a[u * n + v] += design[u * cells + i] * moved[v * cells + i];
    assert_true(num_dspd_inverse(n, a, n));
    for (int64_t u = 0; u < n; u++) {
        x[u] = 0;
        for (int64_t v = 0; v < n; v++)
            for (int64_t i = 0; i < cells; i++) x[u] += a[u * n + v] * moved[v * cells + i] * (double)b->r[i];
    }
    free(design);
    free(moved);
    free(a);
    free(one);
    free(q);
}

static void test_fit(void **state) {
    (void)state;
    // One plane: with more, books are only known up to what moves from one to the other.
    static const books_shape shapes[] = {{2, 2, 1, 1, false}, {3, 1, 1, 2, false}, {4, 2, 1, 1, true}};
    for (size_t i = 0; i < 3; i++) {
        float *w = random_matrix(12, 10, 3 + i), *h = random_gram(10, 5 + i);
        books_work b = open_books(w, 12, 10, h, shapes[i]);
        num_rng rng = num_rng_seed(i, 1);
        for (int64_t k = 0; k < b.lanes * b.units; k++) b.codes[k] = (uint16_t)num_rng_below(&rng, 1u << b.shape.bits);
        for (int64_t r = 0; r < 12; r++) b.scales[r] = 0.5f + 0.1f * (float)r;
        double x[64], error;
        assert_true(b.values <= 64);
        normal_equations(&b, h, x);
        base_err err = {0};
        assert_true(books_fit(&b, 200, &error, &err));
        for (int64_t v = 0; v < b.values; v++) assert_true(fabs((double)b.book[v] - x[v]) < 1e-4 * 0.05);
        assert_true(fabs(error - error_of(&b, h)) < 1e-5 * error);
        // No scale of a row can do better either.
        b.scaled = true;
        double after;
        float before[12];
        memcpy(before, b.scales, sizeof before);
        books_fit_scales(&b, &after);
        assert_true(after <= error * (1 + 1e-6));
        for (int64_t r = 0; r < 12; r++)
            for (int side = -1; side <= 1; side += 2) {
                float keep = b.scales[r];
                if (keep == before[r]) continue; // its codes, drawn at random, point away from it
                b.scales[r] *= 1 + 0.02f * (float)side;
                assert_true(error_of(&b, h) >= after * (1 - 1e-6));
                b.scales[r] = keep;
            }
        books_close(&b);
        free(w);
        free(h);
    }
}

// Whatever is done in whatever turn, the output error does not rise.
static void test_monotone(void **state) {
    (void)state;
    static const books_shape shapes[] = {{2, 4, 1, 1, false}, {4, 4, 2, 1, false}, {3, 3, 2, 4, false},
                                         {4, 4, 1, 1, true},  {1, 2, 1, 1, false}, {2, 3, 2, 2, true}};
    float *w = random_matrix(24, 36, 1), *h = random_gram(36, 2);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        books_work b = open_books(w, 24, 36, h, shapes[i]);
        b.scaled = i % 2 == 0;
        base_err err = {0};
        assert_true(books_start(&b, 20, &err));
        double first = error_of(&b, h), last = first, error;
        for (int t = 0; t < 6; t++) {
            int64_t changed;
            assert_true(books_fit(&b, 40, &error, &err));
            assert_true(error <= last * (1 + 1e-6));
            if (b.scaled) books_fit_scales(&b, &error);
            assert_true(books_search(&b, t < 4 ? 1 : 6, &changed, &err));
            double now = error_of(&b, h);
            if (now > error * (1 + 1e-6)) fail_msg("shape %zu: %g after %g", i, now, error);
            last = now;
        }
        assert_true(last < 0.7 * first);
        books_close(&b);
    }
    free(w);
    free(h);
}

// ---- feedback ------------------------------------------------------------------------------------

// One run after another in float64, each time with the inverse of H over the columns not yet done.
static void naive_feedback(const books_work *b, const float *h, double damp, uint16_t *codes) {
    int64_t n = b->cols, dim = b->shape.dim;
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)h[i * n + i] / (double)n;
    double *w = calloc((size_t)(b->rows * n), sizeof *w);
    for (int64_t i = 0; i < b->rows * n; i++) w[i] = (double)b->r[i];
    for (int64_t u = 0; u < b->units; u++) {
        int64_t from = u * dim, m = n - from, k = m < dim ? m : dim;
        double *inverse = calloc((size_t)(m * m), sizeof *inverse), *block = calloc((size_t)(k * k), sizeof *block);
        for (int64_t i = 0; i < m * m; i++)
            inverse[i] = (double)h[(from + i / m) * n + from + i % m] + (i / m == i % m ? damp * mean : 0);
        assert_true(num_dspd_inverse(m, inverse, m));
        for (int64_t i = 0; i < k * k; i++) block[i] = inverse[i / k * m + i % k];
        assert_true(num_dspd_inverse(k, block, k));
        for (int64_t r = 0; r < b->rows; r++) {
            double best = INFINITY, e[8], least[8] = {0};
            for (int64_t c = 0; c < (int64_t)1 << b->shape.bits; c++) {
                double d = 0;
                for (int64_t i = 0; i < k; i++)
                    e[i] = w[r * n + from + i] - (double)b->scales[r] * (double)b->book[c * dim + i];
                for (int64_t i = 0; i < k * k; i++) d += e[i / k] * block[i] * e[i % k];
                if (d >= best) continue;
                best = d;
                codes[r * b->units + u] = (uint16_t)c;
                memcpy(least, e, sizeof e);
            }
            for (int64_t j = k; j < m; j++)
                for (int64_t i = 0; i < k * k; i++)
                    w[r * n + from + j] -= least[i / k] * block[i] * inverse[i % k * m + j];
        }
        free(inverse);
        free(block);
    }
    free(w);
}

static void test_feedback(void **state) {
    (void)state;
    for (int64_t dim = 1; dim <= 5; dim += 2) {
        float *w = random_matrix(6, 13, (uint64_t)dim), *h = random_gram(13, 8);
        books_work b = open_books(w, 6, 13, h, (books_shape){dim, 3, 1, 1, false});
        fill_normal(b.book, b.values, 4, 0.05);
        for (int64_t r = 0; r < 6; r++) b.scales[r] = 0.8f + 0.1f * (float)r;
        uint16_t codes[6 * 13];
        base_err err = {0};
        assert_true(books_feedback(&b, 0.01, &err));
        naive_feedback(&b, h, 0.01, codes);
        assert_memory_equal(codes, b.codes, (size_t)(b.lanes * b.units) * sizeof *codes);
        books_close(&b);
        free(w);
        free(h);
    }
}

// Runs of one weight, along a row or down a column, into a book of even levels: gptq, code for code.
static void test_feedback_is_gptq(void **state) {
    (void)state;
    enum { ROWS = 8, COLS = 40 };
    float *w = random_matrix(ROWS, COLS, 3), *h = random_gram(COLS, 4), scales[ROWS], zeros[ROWS];
    grid_code codes[ROWS * COLS];
    solver_problem p = {.layer = "test",
                        .r = w,
                        .h = h,
                        .rows = ROWS,
                        .cols = COLS,
                        .groups = 1,
                        .grid = {.bits = 2, .scheme = UNIFORM_SYM, .scale = NUM_F32},
                        .codes = codes,
                        .scales = scales,
                        .zeros = zeros};
    for (int r = 0; r < ROWS; r++) scales[r] = 0.04f, zeros[r] = 2;
    gptq_options o = {.damp = 0.01, .block = 128, .fitted = true};
    base_err err = {0};
    if (!gptq_solve(&p, &o, NULL, &err)) fail_msg("%s", err.text);
    for (int down = 0; down < 2; down++) {
        books_work b = open_books(w, ROWS, COLS, h, (books_shape){1, 2, 1, 1, down});
        for (int c = 0; c < 4; c++) b.book[c] = 0.04f * (float)(c - 2);
        assert_true(books_feedback(&b, 0.01, &err));
        for (int i = 0; i < ROWS * COLS; i++) assert_int_equal(b.codes[i], codes[i]);
        books_close(&b);
    }
    free(w);
    free(h);
}

// ---- the step ------------------------------------------------------------------------------------

static double after(const char *steps, const float *w, int64_t rows, int64_t cols, const float *h) {
    layer l = open_layer(w, rows, cols, h);
    float *out = apply_steps(&l, steps);
    double e = output_error(w, out, rows, cols, h);
    assert_true(isfinite(e));
    free(out);
    layer_close(&l);
    return e;
}

static void test_better(void **state) {
    (void)state;
    float *w = random_matrix(48, 72, 9), *h = random_gram(72, 5);
    double plain = after("vq dim=2 weight=hessian", w, 48, 72, h),
           gptq = after("quantize solver=gptq bits=2 range=mse", w, 48, 72, h);
    double vptq = after("vq solver=vptq dim=2", w, 48, 72, h),
           along = after("vq solver=vptq dim=2 axis=in", w, 48, 72, h);
    double mixed = after("vq solver=vq4dit dim=2", w, 48, 72, h), aqlm = after("vq solver=aqlm dim=2", w, 48, 72, h);
    assert_true(vptq < 0.7 * plain && along < 0.7 * plain && mixed < 0.7 * plain);
    assert_true(aqlm < 0.8 * gptq && vptq < gptq);
    // Feedback for books of k-means is what vptq does along rows; the mixtures end with least-squares books.
    double fed = after("vq dim=2 feedback=ldlq", w, 48, 72, h);
    assert_true(fed == along && after("vq dim=2 feedback=ldlq turns=0", w, 48, 72, h) < plain);
    assert_true(after("vq dim=4 planes=2 feedback=ldlq", w, 48, 72, h) <
                0.8 * after("vq dim=4 planes=2 weight=hessian", w, 48, 72, h));
    assert_true(mixed < 0.55 * plain);
    // More of anything is no worse: bits, planes, hypotheses (within chance), stored types change little.
    double more = after("vq solver=aqlm dim=2 bits=3", w, 48, 72, h);
    assert_true(more < 0.5 * aqlm);
    assert_true(after("vq solver=aqlm dim=4 bits=3 planes=2", w, 48, 72, h) <
                after("vq solver=aqlm dim=4 bits=1.5", w, 48, 72, h));
    assert_true(after("vq solver=aqlm dim=2 beam=1", w, 48, 72, h) < 1.1 * gptq);
    assert_true(after("vq solver=aqlm dim=2 values=i8 scales=e4m3", w, 48, 72, h) < 1.1 * aqlm);
    assert_true(after("vq solver=vptq dim=2 values=i8", w, 48, 72, h) < 1.1 * vptq);
    // Columns of large inputs with books of their own.
    for (int64_t c = 0; c < 72; c++)
        for (int64_t k = 0; k < 72; k++) h[c * 72 + k] *= (c % 24 ? 1.0f : 10.0f) * (k % 24 ? 1.0f : 10.0f);
    assert_true(after("vq solver=vptq dim=2 outliers=0.04", w, 48, 72, h) <
                after("vq solver=vptq dim=2", w, 48, 72, h));
    free(w);
    free(h);
}

static void test_threads(void **state) {
    (void)state;
    static const char *const steps[] = {"vq solver=aqlm dim=4 planes=2", "vq solver=vptq dim=4 outliers=0.1",
                                        "vq solver=vq4dit dim=2 turns=20"};
    float *w = random_matrix(64, 90, 9), *h = random_gram(90, 5);
    for (size_t i = 0; i < 3; i++) {
        float *out[2];
        for (int t = 0; t < 2; t++) {
            num_set_threads(t + 1);
            layer l = open_layer(w, 64, 90, h);
            out[t] = apply_steps(&l, steps[i]);
            layer_close(&l);
        }
        num_set_threads(0);
        assert_memory_equal(out[0], out[1], 64 * 90 * sizeof(float));
        free(out[0]);
        free(out[1]);
    }
    free(w);
    free(h);
}

// Every solver on shapes smaller than a run, dead and equal inputs, rows of zeros, one sample, several groups, an
// embedding.
static void test_edges(void **state) {
    (void)state;
    static const char *const steps[] = {"vq solver=aqlm dim=4 planes=2",
                                        "vq solver=aqlm dim=2 axis=out scale=none",
                                        "vq solver=vptq dim=4",
                                        "vq solver=vptq dim=3 axis=in bits=1",
                                        "vq solver=vptq dim=4 outliers=0.4",
                                        "vq solver=vq4dit dim=2 turns=5",
                                        "vq solver=aqlm dim=0 bits=2 values=i8",
                                        "vq dim=2 planes=2 bits=3 scale=row spaces=9",
                                        "vq dim=4 values=i8 axis=out",
                                        "vq solver=aqlm weight=none dim=2",
                                        "vq dim=2 planes=2 spaces=3 feedback=ldlq outliers=0.2"};
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {1, 9}, {6, 2}, {12, 18}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (size_t k = 0; k < 5; k++)
            for (int kind = 0; kind < 5; kind++) {
                int64_t rows = sizes[k][0], cols = sizes[k][1], groups = kind == 3 ? rows : 1;
                float *w = random_matrix(rows, cols, i + k),
                      *h = calloc((size_t)(groups * cols * cols + rows), sizeof *h);
                for (int64_t g = 0; kind != 4 && g < groups; g++)
                    for (int64_t a = 0; a < cols * cols; a++) // 0: one sample; 1: none; 2: two dead; 3: groups
                        h[g * cols * cols + a] = kind == 1 ? 0
                                                 : kind == 2 && (a / cols < 2 || a % cols < 2)
                                                     ? 0
                                                     : (kind >= 2 && a / cols == a % cols ? 2.0f : 1.0f);
                for (int64_t r = 0; kind == 4 && r < rows; r++) h[r] = (float)(r % 3);
                for (int64_t c = 0; c < cols; c++) w[c] = kind == 2 ? 0 : w[c];
                layer l = open_layer(w, rows, cols, h);
                l.groups = groups;
                l.diagonal = kind == 4;
                float *out = apply_steps(&l, steps[i]);
                assert_true(num_all_finite(out, (size_t)(rows * cols)));
                for (int64_t c = 0; kind == 2 && strstr(steps[i], "scale=row") && c < cols; c++)
                    assert_true(out[c] == 0);
                free(out);
                layer_close(&l);
                free(w);
                free(h);
            }
}

static void refuses(const char *text, const char *sentence) {
    base_err err = {0};
    compress_step s = {.kind = compress_step_find("vq")};
    base_arg_defaults(s.kind->args, s.kind->arg_count, s.value);
    char copy[128], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '='), *end;
        *value++ = 0;
        double number = strtod(value, &end);
        assert_true(*end ? base_arg_set_text("vq", s.kind->args, s.kind->arg_count, s.value, word, value, &err)
                         : base_arg_set_number("vq", s.kind->args, s.kind->arg_count, s.value, word, number, &err));
    }
    assert_false(s.kind->check(&s, &err));
    if (!strstr(err.text, sentence)) fail_msg("%s: %s", text, err.text);
}

static void test_refuses(void **state) {
    (void)state;
    refuses("dim=4 bits=1.25 planes=2", "dim * bits / planes = 2.5, expected a whole number from 1 to 12");
    refuses("solver=vq4dit dim=4 planes=2", "vq4dit mixes vectors of one book");
    refuses("dim=0 bits=7.9", "no dim makes");
    refuses("solver=vptq feedback=none", "feedback = \"none\" is for solver kmeans; the others always have it");
    refuses("solver=vq4dit feedback=ldlq", "vq4dit learns codes without");
}

// ---- the terms -----------------------------------------------------------------------------------

static term *some_books(void) {
    static uint16_t codes[6 * 4 * 2];
    static float book[2 * 2 * 8 * 2], scales[6] = {1, 0.5f, 0, 2, 1, 3};
    for (int i = 0; i < 48; i++) codes[i] = (uint16_t)(i * 5 % 8);
    for (int i = 0; i < 64; i++) book[i] = (float)(i % 13 - 6);
    base_err err = {0};
    books_parts p = {.shape = {2, 3, 2, 2, false},
                     .codes = codes,
                     .book = book,
                     .values = NUM_I8,
                     .scales = scales,
                     .scale_count = 6,
                     .scale_dtype = NUM_F16};
    term *t = term_books_new(6, 7, &p, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static void test_term(void **state) {
    (void)state;
    base_err err = {0};
    term *t = some_books();
    float out[42];
    memset(out, 0, sizeof out);
    assert_true(term_decode(t, out, &err));
    for (int r = 0; r < 6; r++)
        for (int c = 0; c < 7; c++) {
            static const float scales[6] = {1, 0.5f, 0, 2, 1, 3};
            float sum = 0;
            for (int m = 0; m < 2; m++) {
                int code = ((r * 4 + c / 2) * 2 + m) * 5 % 8, at = ((c / 4 * 2 + m) * 8 + code) * 2 + c % 2;
                sum += (float)(at % 13 - 6);
            }
            assert_true(out[r * 7 + c] == scales[r] * sum);
        }
    base_buf b = {0};
    t->kind->describe(t, &b);
    assert_string_equal(b.text, "books 2 x 3 bit a run of 2, 2 spaces, row scales, values i8");
    base_buf_free(&b);
    // Each thing a file can get wrong.
    static const struct {
        int attr;
        int64_t value;
        const char *says;
    } wrong[] = {{BOOKS_SPACES, 5, "5 spaces for 4 runs"}, {BOOKS_DIM, 3, "array codes"},
                 {BOOKS_BITS, 4, "array codes"},           {BOOKS_PLANES, 1, "array codes"},
                 {BOOKS_AXIS, 1, "array codes"},           {BOOKS_SPACES, 1, "array values"},
                 {BOOKS_SCALE, SCALE_E8M0, "array scales"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t keep = t->attr[wrong[i].attr];
        t->attr[wrong[i].attr] = wrong[i].value;
        assert_false(t->kind->check(t, &err));
        if (!strstr(err.text, wrong[i].says)) fail_msg("%zu: %s", i, err.text);
        t->attr[wrong[i].attr] = keep;
    }
    int64_t count = t->blob[2].count;
    t->blob[2].count = 0;
    assert_false(t->kind->check(t, &err));
    assert_non_null(strstr(err.text, "has no scales"));
    t->blob[2].count = 2;
    assert_false(t->kind->check(t, &err));
    t->blob[2].count = count;
    ((uint16_t *)t->blob[2].owned)[1] = 0x7c00; // Inf
    assert_false(t->kind->check(t, &err));
    ((uint16_t *)t->blob[2].owned)[1] = 0x3800;
    t->stored = 3;
    assert_false(t->kind->check(t, &err));
    t->stored = 42;
    assert_true(t->kind->check(t, &err));
    term_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_search),           cmocka_unit_test(test_fit),
                                       cmocka_unit_test(test_monotone),         cmocka_unit_test(test_feedback),
                                       cmocka_unit_test(test_feedback_is_gptq), cmocka_unit_test(test_better),
                                       cmocka_unit_test(test_threads),          cmocka_unit_test(test_edges),
                                       cmocka_unit_test(test_refuses),          cmocka_unit_test(test_term)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
