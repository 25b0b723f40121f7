// Scores of a layer's outputs: against the outputs themselves, which a stream holds, and another way to the canonical
// correlations (Cholesky factors instead of eigenvectors).
#include "tests/study/study_support.h"

// A layer's output on the calibration samples with weights w (bias aside it is what the metric sees), rows are
// positions: [rows x out]; convolutions only.
static double *outputs(const bench *b, int row, const float *w, int64_t *rows) {
    base_err err = {0};
    const model_layer *l = &b->m->layers[row];
    int value = b->m->graph->nodes[l->node].out[0];
    engine_stream *s = engine_stream_open(b->m, b->m->weights, b->calib, &err);
    assert_true(s && engine_stream_advance(s, l->node, NULL, &err));
    engine_stream_set(s, l->weight, w);
    assert_true(engine_stream_advance(s, l->node + 1, NULL, &err));
    size_t count;
    const float *y = engine_stream_value(s, value, &count);
    assert_non_null(y);
    int64_t n = b->calib->count, area = (int64_t)count / n / l->out;
    *rows = n * area;
    double *out = malloc(count * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < l->out; c++)
            for (int64_t p = 0; p < area; p++)
                out[(i * area + p) * l->out + c] = (double)y[(i * l->out + c) * area + p];
    engine_stream_close(s);
    return out;
}

// Covariance of columns [from, from + n) of a with those of b.
static void covariance(const double *a, const double *b, int64_t rows, int64_t out, int64_t from, int n, double *c) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double xy = 0, x = 0, y = 0;
            for (int64_t r = 0; r < rows; r++) {
                double p = a[r * out + from + i], q = b[r * out + from + j];
                xy += p * q, x += p, y += q;
            }
            c[i * n + j] = xy / (double)rows - x / (double)rows * y / (double)rows;
        }
}

// Mean canonical correlation of full-rank outputs, plain or by Morcos' weights.
static double correlation(const double *a, const double *b, int64_t rows, int64_t out, int64_t from, int n,
                          bool weighted) {
    double aa[144] = {0}, ab[144], bb[144], u[144], k[144], v[144], half[144], square[12], sum = 0, weights = 0;
    base_err err = {0};
    covariance(a, a, rows, out, from, n, aa);
    covariance(a, b, rows, out, from, n, ab);
    covariance(b, b, rows, out, from, n, bb);
    memcpy(u, aa, sizeof u);
    assert_true(num_dcholesky(n, u, n) && num_dspd_inverse(n, bb, n));
    num_dtrsm(true, n, n, u, n, ab, n); // U^-T Cab
    num_dgemm(false, false, n, n, n, 1, ab, n, bb, n, 0, half, n);
    num_dgemm(false, true, n, n, n, 1, half, n, ab, n, 0, k, n);
    assert_true(num_deigh(n, k, square, v, &err));
    for (int i = 0; i < n; i++) {
        double weight = 0;
        for (int j = 0; j < n; j++) { // Caa a = U^T v: covariance of the canonical variate with each output
            double along = 0;
            for (int d = 0; d < n; d++) along += u[d * n + j] * v[i * n + d];
            weight += fabs(along);
        }
        if (!weighted) weight = 1;
        sum += weight * sqrt(fmin(1, fmax(0, square[i])));
        weights += weight;
    }
    return sum / weights;
}

static void outputs_agree(void **state) {
    (void)state;
    bench b;
    bench_open(&b, false);
    study_table variance = run_metric(&b.s, "activation_variance", ""),
                plain = run_metric(&b.s, "canonical_correlation", "form=cca");
    study_table weighted = run_metric(&b.s, "canonical_correlation", "form=pwcca"),
                whole = run_metric(&b.s, "canonical_correlation", "keep=1");
    for (int r = 0; r < 3; r++) { // stem, grouped, down
        const model_layer *l = &b.m->layers[r];
        int64_t rows;
        double *y = outputs(&b, r, b.m->weights[l->weight], &rows), mean = 0, c[1];
        for (int64_t o = 0; o < l->out; o++) {
            covariance(y, y, rows, l->out, o, 1, c);
            mean += c[0] / (double)l->out;
        }
        near(variance.value[r], mean, 1e-4);
        int n = (int)(l->out / l->groups);
        for (int o = 0; o < 2; o++) {
            float *w = made(&b, r, o);
            double *z = outputs(&b, r, w, &rows), p = 0, q = 0;
            for (int g = 0; g < l->groups; g++) {
                p += 1 - correlation(y, z, rows, l->out, g * n, n, false);
                q += 1 - correlation(y, z, rows, l->out, g * n, n, true);
            }
            near(plain.value[r * 2 + o], p / (double)l->groups, 1e-3);
            near(weighted.value[r * 2 + o], q / (double)l->groups, 1e-3);
            near(whole.value[r * 2 + o], plain.value[r * 2 + o], 1e-9);
            free(z);
            free(w);
        }
        free(y);
    }
    study_table_free(&variance);
    study_table_free(&plain);
    study_table_free(&weighted);
    study_table_free(&whole);
    repeats(&b.s, "canonical_correlation", "");
    bench_close(&b);
}

// The ratio by hand, from the rows of inputs of a linear layer and of a grouped convolution.
typedef struct seen {
    float most[1 << 16];
    int64_t at, count;
} seen;

static bool look(void *context, const float *x, int64_t rows, int64_t in, base_err *err) {
    seen *k = context;
    (void)err;
    for (int64_t r = 0; r < rows; r++, k->at++) {
        if (k->at >= k->count) k->most[k->at] = 0, k->count = k->at + 1;
        for (int64_t c = 0; c < in; c++)
            if (fabsf(x[r * in + c]) > k->most[k->at]) k->most[k->at] = fabsf(x[r * in + c]);
    }
    return true;
}

static void spikes_stand_out(void **state) {
    (void)state;
    for (int tokens = 0; tokens < 2; tokens++) {
        bench b;
        bench_open(&b, tokens);
        study_table t = run_metric(&b.s, "activation_spike", "");
        seen *k = malloc(sizeof *k);
        base_err err = {0};
        for (int r = 0; r < t.rows; r++) {
            const model_layer *l = &b.m->layers[r];
            if (b.m->graph->nodes[l->node].op == MODEL_EMBEDDING) {
                assert_true(t.value[r] == 1);
                continue;
            }
            engine_stream *s = engine_stream_open(b.m, b.m->weights, b.calib, &err);
            assert_true(engine_stream_advance(s, l->node, NULL, &err));
            k->count = 0;
            for (int64_t g = 0; g < l->groups; g++) {
                k->at = 0;
                assert_true(engine_stream_visit(s, l->node, g, look, k, NULL, &err));
            }
            engine_stream_close(s);
            float most = 0, low = INFINITY;
            int64_t alive = 0, below;
            for (int64_t i = 0; i < k->count; i++) most = fmaxf(most, k->most[i]), alive += k->most[i] > 0;
            for (int64_t i = 0; i < k->count; i++) { // the least value that at least half are not above
                below = 0;
                for (int64_t j = 0; j < k->count; j++) below += k->most[j] > 0 && k->most[j] <= k->most[i];
                if (k->most[i] > 0 && 2 * below >= alive) low = fminf(low, k->most[i]);
            }
            float next = INFINITY;
            for (int64_t i = 0; i < k->count; i++) {
                below = 0;
                for (int64_t j = 0; j < k->count; j++) below += k->most[j] > 0 && k->most[j] < k->most[i];
                if (2 * below <= alive && k->most[i] > low) next = fminf(next, k->most[i]);
            }
            int64_t upto = 0;
            for (int64_t j = 0; j < k->count; j++) upto += k->most[j] > 0 && k->most[j] <= low;
            double median = 2 * upto == alive && isfinite(next) ? ((double)low + (double)next) / 2 : (double)low;
            near(t.value[r], (double)most / median, 1e-6);
            assert_true(t.value[r] >= 1);
        }
        free(k);
        study_table_free(&t);
        repeats(&b.s, "activation_spike", "");
        bench_close(&b);
    }
}

// Embedding, linear layers of sequences: finite, within [0, 1]; the embedding against rows drawn by its tokens.
static void sequences_have_scores(void **state) {
    (void)state;
    bench b;
    bench_open(&b, true);
    study_table t = run_metric(&b.s, "canonical_correlation", ""), v = run_metric(&b.s, "activation_variance", "");
    for (int i = 0; i < t.rows * 2; i++) assert_true(t.value[i] >= 0 && t.value[i] <= 1);
    int r = model_find_layer(b.m, "embed");
    assert_true(r >= 0 && b.m->layers[r].in == 12);
    double sum[12] = {0}, square[12] = {0}, count = 0, mean = 0;
    data_batch batch = {0};
    base_err err = {0};
    for (int64_t i = 0; i < b.calib->count; i++) {
        assert_true(data_fetch(b.calib, i, 1, &batch, &err));
        for (int k = 0; k < batch.lengths[0]; k++, count++)
            for (int c = 0; c < 12; c++) {
                double x = (double)b.m->weights[b.m->layers[r].weight][batch.tokens[k] * 12 + c];
                sum[c] += x, square[c] += x * x;
            }
    }
    data_batch_free(&batch);
    for (int c = 0; c < 12; c++) mean += (square[c] / count - sum[c] * sum[c] / count / count) / 12;
    near(v.value[r], mean, 1e-4);
    study_table_free(&v);
    v = run_metric(&b.s, "activation_variance", "of=input");
    assert_true(isnan(v.value[r]) && v.value[r ? 0 : 1] > 0);
    study_table_free(&v);
    study_table_free(&t);
    bench_close(&b);
}

// A layer of zeros: it loses nothing by being compressed; what comes out does not vary.
static void dead_layers_lose_nothing(void **state) {
    (void)state;
    bench b;
    bench_open(&b, false);
    int r = model_find_layer(b.m, "grouped");
    memset(model_mutable(b.m)[b.m->layers[r].weight], 0, (size_t)b.m->layers[r].weights * sizeof(float));
    study_table t = run_metric(&b.s, "canonical_correlation", ""), v = run_metric(&b.s, "activation_variance", "");
    assert_true(t.value[r * 2] == 0 && t.value[r * 2 + 1] == 0 && v.value[r] == 0);
    study_table_free(&t);
    study_table_free(&v);
    study_subject s = b.s;
    s.calib = NULL;
    refused(&s, "canonical_correlation", "", "calibration samples");
    refused(&s, "activation_variance", "", "calibration samples");
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(spikes_stand_out), cmocka_unit_test(outputs_agree),
                                       cmocka_unit_test(sequences_have_scores),
                                       cmocka_unit_test(dead_layers_lose_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
