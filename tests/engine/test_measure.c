// Measuring against plain sums over engine_forward's logits; the reference's divergence and flips; generated text.
#include "tests/engine/nets.h"

static base_model_row measured(const model *m, engine_weights w, engine_weights reference, const data_view *v) {
    base_model_row row = {0};
    base_err err = {0};
    if (!engine_measure(m, w, reference, v, &row, NULL, &err)) fail_msg("%s", err.text);
    return row;
}

// The half width of a 95 % interval whose clusters are the samples, in two passes: losses and tokens [samples].
static double half_width(const double *losses, const double *tokens, int64_t samples) {
    double loss = 0, count = 0, squares = 0, n = (double)samples;
    for (int64_t i = 0; i < samples; i++) loss += losses[i], count += tokens[i];
    for (int64_t i = 0; i < samples; i++) squares += pow(losses[i] - loss / count * tokens[i], 2);
    return 1.959964 * sqrt(squares * n / (n - 1)) / count;
}

// log(sum(exp)) and the largest entry.
static double log_sum(const float *x, int64_t n, int64_t *best) {
    double sum = 0;
    *best = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp((double)x[i]);
        if (x[i] > x[*best]) *best = i;
    }
    return log(sum);
}

static void check_measure(bool tokens) {
    base_err err = {0};
    model *m = tokens ? nets_language(1) : nets_images(1), *other = tokens ? nets_language(9) : nets_images(9);
    data_set *set = nets_data(tokens, 61, 3);
    data_view *v = data_view_part(set, DATA_TEST, &err);
    const model_shape *s = model_graph_shape(m->graph, m->graph->output);
    int64_t classes = s->dim[s->ndim - 1], targets = 0, hits = 0, flips = 0, best, ref_best;
    double loss = 0, kl = 0, losses[64] = {0}, sizes[64] = {0};
    data_batch b = {0};
    assert_in_range(v->count, 2, 64);
    for (int64_t i = 0; i < v->count; i++) {
        assert_true(data_fetch(v, i, 1, &b, &err));
        int64_t rows = tokens ? b.length : 1;
        sizes[i] = (double)rows;
        float x[16 * 23], ref[16 * 23];
        assert_true(engine_forward(m, m->weights, &b, x, NULL, &err));
        assert_true(engine_forward(m, other->weights, &b, ref, NULL, &err));
        for (int64_t r = 0; r < rows; r++) {
            double total = log_sum(x + r * classes, classes, &best);
            double ref_total = log_sum(ref + r * classes, classes, &ref_best);
            targets++;
            loss += total - (double)x[r * classes + b.labels[r]];
            losses[i] += total - (double)x[r * classes + b.labels[r]];
            hits += best == b.labels[r];
            flips += best != ref_best;
            for (int64_t k = r * classes; k < (r + 1) * classes; k++)
                kl += exp((double)ref[k] - ref_total) * ((double)ref[k] - ref_total - (double)x[k] + total);
        }
    }
    data_batch_free(&b);
    base_model_row row = measured(m, m->weights, other->weights, v), alone = measured(m, m->weights, NULL, v);
    assert_int_equal(row.samples, targets);
    assert_int_equal(row.flips, flips);
    assert_true(fabs(row.loss - loss / (double)targets) < 1e-5);
    assert_true(fabs(row.kl - kl / (double)targets) < 1e-5);
    assert_true(row.kl_low < row.kl && row.kl < row.kl_high);
    double want = tokens ? exp(loss / (double)targets) : 100 * (double)hits / (double)targets;
    assert_true(fabs(row.value - want) < 1e-4 * want);
    assert_true(row.low < row.value && row.value < row.high);
    if (tokens) assert_true(fabs(log(row.high) - row.loss - half_width(losses, sizes, v->count)) < 1e-5);
    assert_string_equal(row.metric, tokens ? "perplexity" : "top1");
    assert_string_equal(row.data, "made/test");
    assert_true(alone.loss == row.loss && isnan(alone.kl) && alone.flips == -1);
    num_set_threads(3);
    base_model_row many = measured(m, m->weights, other->weights, v);
    num_set_threads(1);
    assert_true(many.loss == row.loss && many.kl == row.kl && many.kl_high == row.kl_high && many.flips == row.flips);
    base_model_row self = measured(m, m->weights, m->weights, v);
    assert_true(fabs(self.kl) < 1e-7 && self.flips == 0);
    data_view_free(v);
    data_close(set);
    model_close(m);
    model_close(other);
}

static void test_measure(void **state) {
    (void)state;
    check_measure(false);
    check_measure(true);
}

static void test_wrong_data(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_images(1);
    data_set *set = nets_data(true, 5, 3);
    data_view *v = data_view_part(set, DATA_TEST, &err);
    base_model_row row;
    assert_false(engine_measure(m, m->weights, NULL, v, &row, NULL, &err));
    assert_non_null(strstr(err.text, "made/test holds sequences of tokens but the network reads features"));
    data_view_free(v);
    data_close(set);
    model_close(m);
}

static void test_generate(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_language(1);
    int32_t a[40] = {1, 2, 3}, b[40] = {1, 2, 3}, c[40] = {1, 2, 3};
    int64_t na = 3, nb = 3, nc = 3;
    assert_true(engine_generate(m, m->weights, a, &na, 40, 0, 1, NULL, &err));
    assert_int_equal(na, 40); // beyond the context of 16: the window moves
    assert_true(engine_generate(m, m->weights, b, &nb, 40, 1.5, 5, NULL, &err));
    assert_true(engine_generate(m, m->weights, c, &nc, 40, 1.5, 5, NULL, &err));
    assert_memory_equal(b, c, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    // Greedy: each token is the largest logit of the forward pass over what stands before it.
    float x[16 * 23];
    for (int64_t i = 4; i < 16; i++) {
        data_batch batch = {.kind = DATA_TOKENS, .count = 1, .length = i, .tokens = a};
        int64_t best;
        assert_true(engine_forward(m, m->weights, &batch, x, NULL, &err));
        log_sum(x + (i - 1) * 23, 23, &best);
        assert_int_equal(a[i], best);
    }
    int64_t none = 0;
    assert_false(engine_generate(m, m->weights, a, &none, 40, 0, 1, NULL, &err));
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure),
        cmocka_unit_test(test_wrong_data),
        cmocka_unit_test(test_generate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
