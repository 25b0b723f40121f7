// Pruning of whole units, criteria that rank them, trades under the quadratic model, shares by PQ index, and that a
// mask survives whatever comes after it.
#include "compress/solvers/icbs.h"
#include "compress/steps/prune.h"
#include "tests/compress/compress_support.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {8, 9}, {16, 36}, {40, 24}, {1, 65}, {33, 1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };
static const char *const patterns[] = {"rows", "columns", "groups length=4", "blocks height=3 length=5"};
static const char *const criteria[] = {"magnitude", "l1", "wanda", "taylor", "saliency", "gqsa"};

typedef struct sample {
    int64_t rows, cols;
    float *w, *h, *fisher, *taylor;
} sample;

static sample open_sample(int64_t rows, int64_t cols, uint64_t seed) {
    sample s = {rows,
                cols,
                random_matrix(rows, cols, seed),
                random_gram(cols, 5),
                random_matrix(rows, cols, seed + 1),
                random_matrix(rows, cols, seed + 2)};
    for (int64_t i = 0; i < rows * cols; i++) s.fisher[i] *= s.fisher[i], s.taylor[i] *= s.taylor[i];
    return s;
}

static void close_sample(sample *s) {
    free(s->w), free(s->h), free(s->fisher), free(s->taylor);
}

static layer layer_of(const sample *s, const compress_step *step) {
    layer l = open_layer(s->w, s->rows, s->cols, s->h);
    prune_unit u;
    l.fisher = s->fisher;
    l.taylor = s->taylor;
    if (prune_unit_of(step, s->rows, s->cols, 1, &u)) l.taylor_height = u.height, l.taylor_length = u.length;
    return l;
}

// The mean importance of a unit, written down once more: H is inverted by Gauss-Jordan elimination.
static double inverse_at(const float *h, int64_t n, int64_t at) {
    double *a = calloc((size_t)(n * (n + 1)), sizeof *a), mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)h[i * n + i] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) a[i * (n + 1) + j] = (double)h[i * n + j] + (i == j ? 0.01 * mean : 0);
        a[i * (n + 1) + n] = i == at;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < n; r++) {
            double f = r == i ? 0 : a[r * (n + 1) + i] / a[i * (n + 1) + i];
            for (int64_t j = i; f != 0 && j <= n; j++) a[r * (n + 1) + j] -= f * a[i * (n + 1) + j];
        }
    double x = a[at * (n + 1) + n] / a[at * (n + 1) + at];
    free(a);
    return x;
}

static double unit_score(const sample *s, int criterion, prune_unit u, int64_t index, const double *inverse) {
    double sum = 0;
    int64_t size = 0;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->cols; c++) {
            if (prune_unit_at(u, s->cols, r, c) != index) continue;
            double w = (double)s->w[r * s->cols + c];
            size++;
            sum += criterion == 0   ? w * w
                   : criterion == 1 ? fabs(w)
                   : criterion == 2 ? w * w * (double)s->h[c * s->cols + c]
                   : criterion == 4 ? w * w / inverse[c]
                   : criterion == 5 ? w * w / (inverse[c] * inverse[c])
                                    : 0;
        }
    return (criterion == 3 ? (double)s->taylor[index] : sum) / (double)size;
}

// Exactly floor(units * sparsity) units go, those with the least importance, as a whole.
static void the_least_units_go(void **state) {
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        sample s = open_sample(shapes[k][0], shapes[k][1], 20 + (uint64_t)k);
        double *inverse = calloc((size_t)s.cols, sizeof *inverse);
        for (int64_t c = 0; c < s.cols; c++) inverse[c] = inverse_at(s.h, s.cols, c);
        for (int c = 0; c < 5; c++)
            for (int p = 0; p < 4; p++) {
                char text[128];
                snprintf(text, sizeof text, "prune criterion=%s sparsity=0.4 pattern=%s", criteria[c], patterns[p]);
                compress_step step = make_step(text);
                layer l = layer_of(&s, &step);
                prune_unit u;
                assert_true(prune_unit_of(&step, s.rows, s.cols, 1, &u));
                free(apply_steps(&l, text));
                int64_t units = prune_unit_count(u, s.rows, s.cols), gone = 0;
                double most_gone = -1, least_kept = INFINITY;
                for (int64_t i = 0; i < units; i++) {
                    int kept = -1;
                    for (int64_t at = 0; at < s.rows * s.cols; at++) {
                        if (prune_unit_at(u, s.cols, at / s.cols, at % s.cols) != i) continue;
                        if (kept >= 0 && kept != l.mask[at]) fail_msg("%s: part of a unit went", text);
                        kept = l.mask[at];
                    }
                    double score = unit_score(&s, c, u, i, inverse);
                    gone += !kept;
                    if (kept && score < least_kept) least_kept = score;
                    if (!kept && score > most_gone) most_gone = score;
                }
                if (gone != (int64_t)floor((double)units * 0.4)) fail_msg("%s: %lld gone", text, (long long)gone);
                if (most_gone > least_kept * (1 + 1e-3))
                    fail_msg("%s: %g went, %g stayed", text, most_gone, least_kept);
                layer_close(&l);
            }
        free(inverse);
        close_sample(&s);
    }
}

// Units cost a bit each; gathered, their values decode to the same and no scale is stored for what went.
static void units_are_stored_as_such(void **state) {
    (void)state;
    static const char *const values[] = {"",
                                         "; quantize bits=4 group=16",
                                         "; quantize bits=3 sym=0 group=8",
                                         "; quantize bits=4 group=16; quantize bits=2 group=8",
                                         "; quantize bits=4 group=16 scale=e4m3",
                                         "; quantize bits=4 group=16; code"};
    base_err err = {0};
    sample s = open_sample(24, 64, 4);
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
        char text[160];
        snprintf(text, sizeof text, "prune criterion=saliency pattern=groups sparsity=0.5%s", values[k]);
        layer l = open_layer(s.w, s.rows, s.cols, s.h);
        float *before = apply_steps(&l, text), *after = calloc((size_t)(s.rows * s.cols), sizeof *after);
        assert_ptr_equal(l.container->kind, &term_units);
        assert_int_equal(l.container->blob[POSITIONS_MAP].bytes, 24 * 64 / 16 / 8);
        int64_t bytes = layer_bytes(&l);
        assert_true(units_gather(l.container, &err));
        assert_true(terms_decode(l.terms, l.term_count, s.rows, s.cols, after, &err));
        assert_memory_equal(before, after, (size_t)(s.rows * s.cols) * sizeof *after);
        assert_true(layer_check_mask(&l, after, &err));
        if (k == 1) assert_int_equal(bytes - layer_bytes(&l), 48 * 2); // f16 scales of 48 of 96 groups
        if (k == 4) assert_int_equal(layer_bytes(&l), bytes);          // one array a tensor: left alone
        assert_true(layer_bytes(&l) <= bytes);
        free(before), free(after);
        layer_close(&l);
    }
    close_sample(&s);
}

static void units_may_be_cut_before(void **state) {
    (void)state;
    sample s = open_sample(12, 24, 9);
    layer l = open_layer(s.w, s.rows, s.cols, s.h);
    free(apply_steps(&l, "prune sparsity=0.3; prune criterion=l1 pattern=groups length=4 sparsity=0.5 format=units"));
    assert_ptr_not_equal(l.container->kind, &term_units);
    assert_true(layer_kept(&l) < 12 * 24 / 2);
    layer_close(&l);
    close_sample(&s);
}

// ---- icbs ----------------------------------------------------------------------------------------------

static double energy(const float *w, const float *h, int64_t n, const uint8_t *mask) {
    double e = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (!mask[i] && !mask[j]) e += (double)w[i] * (double)h[i * n + j] * (double)w[j];
    return e;
}

// The least energy of all masks of a row that keep as many weights in each run of m.
static double best_energy(const float *w, const float *h, int64_t n, int64_t m, int64_t keep) {
    double best = INFINITY;
    for (unsigned bits = 0; bits < 1u << n; bits++) {
        uint8_t mask[16];
        bool fits = true;
        for (int64_t i = 0; i < n; i++) mask[i] = bits >> i & 1;
        for (int64_t c = 0; c < n; c += m) {
            int64_t kept = 0;
            for (int64_t i = c; i < n && i < c + m; i++) kept += mask[i];
            fits = fits && kept == (n - c < keep ? n - c : keep);
        }
        double e = fits ? energy(w, h, n, mask) : INFINITY;
        if (e < best) best = e;
    }
    return best;
}

// No trade of a kept for a dropped weight lowers the error, and on rows small enough to try all masks it is the optimum
// or close.
static void trades_end_where_none_helps(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t cols, run, keep;
    } cases[] = {{"sparsity=0.5", 12, 12, 6},
                 {"sparsity=0.75", 12, 12, 3},
                 {"sparsity=0.5 block=4", 12, 12, 6},
                 {"n=2 m=4", 12, 4, 2},
                 {"n=2 m=4", 10, 4, 2},
                 {"sparsity=0.5 block=2", 7, 7, 4},
                 {"sparsity=0.5 passes=1 block=8", 0, 0, 0},
                 {"sparsity=0.4 block=16", 40, 40, 0}};
    int optimal = 0, rows_tried = 0;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int64_t rows = 12, cols = cases[k].cols ? cases[k].cols : 20, run = cases[k].run ? cases[k].run : cols;
        float *w = random_matrix(rows, cols, 30 + k), *h = random_gram(cols, 8);
        char text[96], start[96];
        snprintf(text, sizeof text, "prune criterion=icbs %s", cases[k].text);
        // What follows the sparsity is icbs's own.
        bool runs = !strncmp(cases[k].text, "n=", 2);
        snprintf(start, sizeof start, "prune criterion=wanda %.*s",
                 (int)(runs ? strlen(cases[k].text) : strcspn(cases[k].text, " ")), cases[k].text);
        layer l = open_layer(w, rows, cols, h), a = open_layer(w, rows, cols, h);
        free(apply_steps(&l, text));
        free(apply_steps(&a, start));
        assert_int_equal(layer_kept(&l), layer_kept(&a));
        for (int64_t r = 0; r < rows; r++) {
            uint8_t mask[64];
            memcpy(mask, l.mask + r * cols, (size_t)cols);
            double e = energy(w + r * cols, h, cols, mask), before = energy(w + r * cols, h, cols, a.mask + r * cols);
            assert_true(e <= before * (1 + 1e-9));
            for (int64_t i = 0; cases[k].run && i < cols; i++)
                for (int64_t j = i / run * run; j < cols && j < i / run * run + run; j++) {
                    if (mask[i] || !mask[j]) continue;
                    mask[i] = 1, mask[j] = 0;
                    if (energy(w + r * cols, h, cols, mask) < e * (1 - 1e-6))
                        fail_msg("%s: row %lld: %lld for %lld lowers the error", text, (long long)r, (long long)i,
                                 (long long)j);
                    mask[i] = 0, mask[j] = 1;
                }
            if (!cases[k].keep) continue;
            rows_tried++;
            optimal += e <= best_energy(w + r * cols, h, cols, run, cases[k].keep) * (1 + 1e-6);
        }
        layer_close(&l), layer_close(&a);
        free(w), free(h);
    }
    if (optimal < rows_tried * 8 / 10) fail_msg("%d of %d rows are optimal", optimal, rows_tried);
}

static void trades_respect_what_went(void **state) {
    (void)state;
    sample s = open_sample(9, 30, 6);
    layer l = open_layer(s.w, s.rows, s.cols, s.h);
    free(apply_steps(&l, "prune sparsity=0.3"));
    uint8_t before[270];
    memcpy(before, l.mask, sizeof before);
    free(apply_steps(&l, "prune criterion=icbs sparsity=0.6 update=1; quantize solver=gptq bits=3"));
    for (int i = 0; i < 270; i++) assert_true(before[i] || !l.mask[i]);
    layer_close(&l);
    close_sample(&s);
}

// An update never raises the output error of the same mask.
static void updates_help_any_mask(void **state) {
    (void)state;
    static const char *const masks[] = {"criterion=magnitude", "criterion=wanda n=2 m=4", "criterion=icbs",
                                        "criterion=l1 pattern=columns", "criterion=saliency pattern=groups length=4"};
    sample s = open_sample(20, 36, 11);
    for (size_t k = 0; k < sizeof masks / sizeof *masks; k++) {
        double e[2];
        uint8_t mask[720];
        for (int update = 0; update < 2; update++) {
            char text[128];
            layer l = open_layer(s.w, s.rows, s.cols, s.h);
            snprintf(text, sizeof text, "prune %s update=%d", masks[k], update);
            float *out = apply_steps(&l, text);
            e[update] = output_error(s.w, out, s.rows, s.cols, s.h);
            if (update) assert_memory_equal(mask, l.mask, sizeof mask);
            memcpy(mask, l.mask, sizeof mask);
            free(out);
            layer_close(&l);
        }
        if (!(e[1] < e[0])) fail_msg("%s: %g, updated %g", masks[k], e[0], e[1]);
    }
    close_sample(&s);
}

// ---- PQ index -------------------------------------------------------------------------------------------

static void pq_index(void **state) {
    (void)state;
    float even[16], one[16] = {0};
    for (int i = 0; i < 16; i++) even[i] = i % 2 ? 0.25f : -0.25f;
    one[3] = 7;
    assert_true(fabs(prune_pq_index(even, 16, 0.5, 1)) < 1e-12);
    assert_true(fabs(prune_pq_index(one, 16, 0.5, 1) - (1 - 1.0 / 16)) < 1e-12); // 1 - d^(1/q - 1/p)
    assert_true(prune_pq_index((float[4]){0}, 4, 0.5, 1) == 0);
    const float three[3] = {4, 1, 0};
    assert_true(fabs(prune_pq_index(three, 3, 0.5, 1) - (1 - 9.0 / 5 / 3)) < 1e-12); // (2 + 1)^2 / 5 / d
}

// Counts of some rounds, written down once more on copies of what is left; a stated sparsity is met in all.
static void pq_shares(void **state) {
    (void)state;
    base_err err = {0};
    const float *w[3];
    int64_t n[3] = {200, 331, 64}, counts[3];
    for (int i = 0; i < 3; i++) {
        float *x = random_matrix(1, n[i], 50 + (uint64_t)i);
        for (int64_t k = 0; k < n[i]; k++) x[k] = powf(x[k] * 20, (float)(1 + 2 * i)); // ever fewer large ones
        w[i] = x;
    }
    compress_step s = make_step("prune scope=pq rounds=3 eta=0.1 gamma=0.8 beta=0.5");
    assert_true(prune_pq_counts(&s, w, n, 3, counts, &err));
    for (int i = 0; i < 3; i++) {
        float *left = malloc((size_t)n[i] * sizeof *left);
        int64_t d = n[i];
        memcpy(left, w[i], (size_t)d * sizeof *left);
        for (int round = 0; round < 3; round++) {
            double need = ceil((double)d * pow(1.1, -2) * (1 - prune_pq_index(left, d, 0.5, 1)));
            double share = fmin(0.8 * (1 - need / (double)d), 0.5);
            for (int64_t go = (int64_t)((double)d * share); go > 0; go--) {
                int64_t least = 0;
                for (int64_t k = 1; k < d; k++)
                    if (fabsf(left[k]) < fabsf(left[least])) least = k;
                left[least] = left[--d];
            }
        }
        assert_true(llabs(n[i] - d - counts[i]) <= 1); // powers of scaled weights round differently
        free(left);
    }
    assert_true((double)counts[1] / (double)n[1] > (double)counts[0] / (double)n[0]);
    s = make_step("prune scope=pq sparsity=0.4");
    assert_true(prune_pq_counts(&s, w, n, 3, counts, &err));
    assert_true(llabs(counts[0] + counts[1] + counts[2] - (int64_t)(595 * 0.4)) <= 3);
    for (int i = 0; i < 3; i++) free((void *)w[i]);
}

// ---- masks survive --------------------------------------------------------------------------------------

static void masks_survive(void **state) {
    (void)state;
    static const char *const firsts[] = {"prune sparsity=0.5", "prune criterion=wanda n=2 m=4",
                                         "prune criterion=saliency pattern=groups length=8 sparsity=0.5",
                                         "prune criterion=l1 pattern=rows", "prune criterion=icbs update=1"};
    static const char *const later[] = {"quantize solver=rtn bits=4",
                                        "quantize solver=gptq bits=3 order=act group=8",
                                        "quantize solver=gptq bits=4 group=8 static=1 order=act",
                                        "quantize solver=adaround bits=3 iterations=30",
                                        "quantize solver=obq bits=3",
                                        "quantize solver=hqq bits=3 group=8",
                                        "quantize solver=awq bits=4 group=8",
                                        "quantize solver=gptq bits=2 refine=cd",
                                        "quantize dtype=ternary",
                                        "quantize dtype=nf4 group=8",
                                        "quantize dtype=mxfp4",
                                        "quantize dtype=nvfp4",
                                        "quantize bits=4 group=8 scale=double",
                                        "quantize bits=4 sym=0 range=mse",
                                        "quantize bits=4; quantize bits=3; quantize solver=gptq bits=2",
                                        "keep dtype=f16",
                                        "codebook bits=3",
                                        "codebook bits=3 weight=hessian",
                                        "outliers fraction=0.02; quantize bits=3",
                                        "quantize bits=4; code",
                                        "lowrank rank=2",
                                        "lowrank rank=2; quantize bits=4",
                                        "prune criterion=wanda sparsity=0.7; quantize solver=gptq bits=4",
                                        "prune criterion=sparsegpt sparsity=0.7",
                                        "prune criterion=obs sparsity=0.7"};
    sample s = open_sample(24, 32, 2);
    for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++)
        for (size_t k = 0; k < sizeof later / sizeof *later; k++) {
            base_err err = {0};
            layer l = open_layer(s.w, s.rows, s.cols, s.h);
            uint8_t before[24 * 32];
            free(apply_steps(&l, firsts[f]));
            memcpy(before, l.mask, sizeof before);
            float *out = apply_steps(&l, later[k]); // fails where layer_check_mask does
            assert_non_null(l.mask);
            bool adds = strstr(later[k], "lowrank") != NULL;
            for (size_t i = 0; i < sizeof before; i++)
                if (!before[i] && (l.mask[i] || (!adds && out[i] != 0)))
                    fail_msg("%s; %s: weight %zu came back", firsts[f], later[k], i);
            if (!adds) {
                size_t at = 0;
                while (before[at]) at++;
                out[at] = 1e-3f;
                if (layer_check_mask(&l, out, &err)) fail_msg("%s; %s: not looked at", firsts[f], later[k]);
            }
            free(out);
            layer_close(&l);
        }
    close_sample(&s);
}

// Steps that cannot respect a mask say so.
static void others_refuse(void **state) {
    (void)state;
    static const char *const bad[] = {"scale method=smooth", "rotate", "permute", "vq dim=4 bits=2",
                                      "quantize dtype=q4_0"};
    sample s = open_sample(16, 32, 3);
    float stats[3][32];
    for (int i = 0; i < 32; i++) stats[0][i] = 0, stats[1][i] = 1, stats[2][i] = 2;
    layer_stats st = {stats[0], stats[1], stats[2]};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        base_err err = {0};
        layer l = open_layer(s.w, s.rows, s.cols, s.h);
        l.stats = &st;
        free(apply_steps(&l, "prune criterion=l1 pattern=rows"));
        compress_step step = make_step(bad[k]);
        if (step.kind->apply(&step, &l, &err)) fail_msg("%s took a pruned layer", bad[k]);
        if (!strstr(err.text, "prune")) fail_msg("%s: %s", bad[k], err.text);
        layer_close(&l);
    }
    close_sample(&s);
}

static void wrong_arguments(void **state) {
    (void)state;
    static const struct {
        const char *texts[3][2];
        const char *arg;
        double value;
        const char *word;
    } bad[] = {{{{"criterion", "sparsegpt"}, {"pattern", "rows"}}, NULL, 0, "pattern rows goes with"},
               {{{"pattern", "rows"}}, "length", 8, "length belongs"},
               {{{"pattern", "groups"}}, "height", 8, "height belongs"},
               {{{"pattern", "groups"}, {"scope", "global"}}, NULL, 0, "single weights"},
               {{{"format", "units"}}, NULL, 0, "needs a pattern"},
               {{{"scope", "pq"}}, "p", 2, "p < q"},
               {{{"criterion", "magnitude"}}, "gamma", 2, "scope pq"},
               {{{"criterion", "icbs"}}, "block", 1, "trades two"},
               {{{"criterion", "l1"}}, "samples", 4, "taylor"},
               {{{"criterion", "wanda"}, {"scope", "global"}}, NULL, 0, "global"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        base_err err = {0};
        compress_step s = make_step("prune");
        const compress_step_kind *k = s.kind;
        for (int t = 0; t < 3 && bad[i].texts[t][0]; t++)
            assert_true(base_arg_set_text("prune", k->args, k->arg_count, s.value, bad[i].texts[t][0],
                                          bad[i].texts[t][1], &err));
        if (bad[i].arg)
            assert_true(base_arg_set_number("prune", k->args, k->arg_count, s.value, bad[i].arg, bad[i].value, &err));
        assert_false(k->check(&s, &err));
        if (!strstr(err.text, bad[i].word)) fail_msg("%s", err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_units_go),
        cmocka_unit_test(units_are_stored_as_such),
        cmocka_unit_test(units_may_be_cut_before),
        cmocka_unit_test(trades_end_where_none_helps),
        cmocka_unit_test(trades_respect_what_went),
        cmocka_unit_test(updates_help_any_mask),
        cmocka_unit_test(pq_index),
        cmocka_unit_test(pq_shares),
        cmocka_unit_test(masks_survive),
        cmocka_unit_test(others_refuse),
        cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
