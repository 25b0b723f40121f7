// Windows of blocks against naive sums: the Fisher weights of a perceptron worked out by hand, every loss and its
// gradient against differences, inputs that come through the compressed prefix.
#include "tests/compress/compress_support.h"
#include "tests/engine/nets.h"

#include "compress/blockwise.h"

static compress_result *compressed(const model *m, const char *text) {
    compress_step step = make_step(text);
    compress_rule rule = {(char[]){".*"}, &step, 1};
    compress_plan plan = {.rules = &rule, .rule_count = 1, .about = "test"};
    base_err err = {0};
    compress_result *r;
    if (!compress_run(m, &plan, NULL, &r, &err)) fail_msg("%s", err.text);
    return r;
}

// 360 inputs (the images as they lie) to 7, 6 and 5 classes, relu between.
static model *perceptron(void) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, 12, 10);
    int x = nets_add(g, "reshape", "flat", 0, -1, "360", NULL);
    x = nets_add(g, "linear", "a", x, -1, "7", NULL);
    x = nets_add(g, "relu", "ra", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "b", x, -1, "6", NULL);
    x = nets_add(g, "relu", "rb", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "c", x, -1, "5", NULL);
    return nets_create(g, x, MODEL_CLASSIFY, 4);
}

static const float *named(const model *m, engine_weights w, const char *name) {
    int p = model_graph_param(m->graph, name);
    assert_true(p >= 0);
    return w[p];
}

static void layer_forward(const float *w, const float *bias, int out, int in, const double *x, bool relu, double *y) {
    for (int o = 0; o < out; o++) {
        y[o] = (double)bias[o];
        for (int i = 0; i < in; i++) y[o] += (double)w[o * in + i] * x[i];
        if (relu && y[o] < 0) y[o] = 0;
    }
}

static void softmax(const double *x, int n, double *p) {
    double sum = 0, most = x[0];
    for (int i = 1; i < n; i++) most = fmax(most, x[i]);
    for (int i = 0; i < n; i++) sum += p[i] = exp(x[i] - most);
    for (int i = 0; i < n; i++) p[i] /= sum;
}

static void close_to(double got, double want, double within) {
    if (!(fabs(got - want) <= within)) fail_msg("%g, expected %g within %g", got, want, within);
}

// Gradient of KL(own || now) with respect to the 7 values after the first relu, the layers behind as they were.
static void by_hand(const model *m, engine_weights w, const float *image, double *gradient) {
    double x[360], h[2][7], k[6], z[2][5], p[2][5], dk[6];
    for (int i = 0; i < 360; i++) x[i] = (double)image[i];
    for (int which = 0; which < 2; which++) {
        engine_weights a = which ? w : (engine_weights)m->weights;
        layer_forward(named(m, a, "a.weight"), named(m, a, "a.bias"), 7, 360, x, true, h[which]);
        layer_forward(named(m, m->weights, "b.weight"), named(m, m->weights, "b.bias"), 6, 7, h[which], true, k);
        layer_forward(named(m, m->weights, "c.weight"), named(m, m->weights, "c.bias"), 5, 6, k, false, z[which]);
        softmax(z[which], 5, p[which]);
    }
    for (int i = 0; i < 6; i++) { // k is that of the compressed prefix
        dk[i] = 0;
        for (int o = 0; o < 5; o++)
            dk[i] += k[i] > 0 ? (double)named(m, m->weights, "c.weight")[o * 6 + i] * (p[1][o] - p[0][o]) : 0;
    }
    for (int i = 0; i < 7; i++) {
        gradient[i] = 0;
        for (int o = 0; o < 6; o++) gradient[i] += (double)named(m, m->weights, "b.weight")[o * 7 + i] * dk[o];
    }
}

enum { SAMPLES = 21 };

static void fisher(void **state) {
    (void)state;
    base_err err = {0};
    model *m = perceptron();
    data_set *set = nets_data(false, SAMPLES, 5);
    data_view *v = data_view_part(set, DATA_TEST, &err);
    compress_result *r = compressed(m, "quantize bits=2");
    data_batch batch = {0};
    assert_true(data_fetch(v, 0, v->count, &batch, &err));
    double g[SAMPLES][7], mean = 0;
    for (int i = 0; i < SAMPLES; i++) {
        by_hand(m, compress_weights(r), batch.x + i * 360, g[i]);
        for (int c = 0; c < 7; c++) mean += g[i][c] * g[i][c] / (7 * SAMPLES);
    }
    assert_true(mean > 0);
    bool *want = base_calloc((size_t)m->weight_count, sizeof *want);
    for (int which = 0; which < 2; which++) {
        blockwise b;
        block_window w;
        if (!blockwise_open(&b, r, v, NULL, &err)) fail_msg("%s", err.text);
        assert_int_equal(b.blocks, 3);
        if (!block_window_open(&w, &b, 0, 0, which ? BLOCK_FISHER : BLOCK_BARE, 4, want, &err))
            fail_msg("%s", err.text);
        assert_int_equal(w.width, 7);
        for (int i = 0; i < SAMPLES; i++)
            for (int c = 0; c < 7; c++) {
                double expected = which ? pow(1 + fabs(g[i][c]) / 4, 2) : g[i][c] * g[i][c] / mean;
                close_to((double)w.fisher[i * 7 + c], expected, 1e-3 * fmax(expected, 0.01));
            }
        // The error: weighted differences over weighted squares.
        double error, up = 0, down = 0;
        assert_true(block_window_error(&w, &error, &err));
        for (int i = 0; i < SAMPLES; i++) {
            double x[360], h[2][7];
            for (int k = 0; k < 360; k++) x[k] = (double)batch.x[i * 360 + k];
            for (int k = 0; k < 2; k++) {
                engine_weights a = k ? compress_weights(r) : (engine_weights)m->weights;
                layer_forward(named(m, a, "a.weight"), named(m, a, "a.bias"), 7, 360, x, true, h[k]);
            }
            for (int c = 0; c < 7; c++) {
                up += (double)w.fisher[i * 7 + c] * pow(h[1][c] - h[0][c], 2);
                down += (double)w.fisher[i * 7 + c] * h[0][c] * h[0][c];
            }
        }
        close_to(error, up / down, 1e-4 * up / down);
        block_window_close(&w);
        blockwise_close(&b);
    }
    free(want);
    data_batch_free(&batch);
    compress_result_free(r);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

// Gradients against differences of the loss.
typedef struct gathered {
    int param;
    size_t n;
    double *sum;
} gathered;

static void gather(void *context, const engine_apart *a, int64_t samples) {
    gathered *to = context;
    for (int64_t j = 0; j < samples; j++)
        for (size_t i = 0; i < to->n; i++) to->sum[i] += (double)engine_apart_gradient(a, j, to->param)[i];
}

static void check_gradients(model *m, data_set *set, int from, int to) {
    base_err err = {0};
    data_view *v = data_view_part(set, DATA_TEST, &err);
    compress_result *r = compressed(m, "quantize bits=3");
    bool *want = base_calloc((size_t)m->weight_count, sizeof *want);
    blockwise b;
    if (!blockwise_open(&b, r, v, NULL, &err)) fail_msg("%s", err.text);
    int which = 0;
    while (b.block_of[m->layers[which].node] != to) which++;
    const model_layer *l = &m->layers[which];
    want[l->weight] = true;
    size_t n = (size_t)(l->out * l->in);
    float *moved = base_calloc(n, sizeof *moved);
    gathered g = {l->weight, n, base_calloc(n, sizeof(double))};
    for (enum block_loss loss = BLOCK_FISHER; loss <= BLOCK_KL; loss++) {
        block_window w;
        double error;
        if (!block_window_open(&w, &b, from, to, loss, 32, want, &err)) fail_msg("%s", err.text);
        memset(g.sum, 0, n * sizeof *g.sum);
        assert_true(block_window_gradients(&w, 2, 11, gather, &g, &error, &err));
        double *of = base_calloc(n, sizeof *of);
        memcpy(of, g.sum, n * sizeof *of);
        double most = 0;
        for (size_t i = 0; i < n; i++) most = fmax(most, fabs(of[i]));
        const float *was = b.w[l->weight];
        b.w[l->weight] = moved;
        for (size_t i = 0; i < n; i += 1 + n / 7) {
            double at[2];
            for (int k = 0; k < 2; k++) {
                memcpy(moved, was, n * sizeof *moved);
                moved[i] += k ? 2e-3f : -2e-3f;
                assert_true(block_window_gradients(&w, 2, 11, gather, &g, &at[k], &err));
            }
            close_to((at[1] - at[0]) / 4e-3, of[i], 0.03 * most);
        }
        b.w[l->weight] = was;
        free(of);
        block_window_close(&w);
    }
    free(g.sum);
    free(moved);
    free(want);
    blockwise_close(&b);
    compress_result_free(r);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

static void gradients(void **state) {
    (void)state;
    check_gradients(nets_images(3), nets_data(false, 24, 5), 0, 1);
    check_gradients(nets_images(3), nets_data(false, 24, 5), 2, 2);
    check_gradients(nets_language(3), nets_data(true, 24, 5), 1, 1);
    check_gradients(nets_language(3), nets_data(true, 24, 5), 0, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fisher), cmocka_unit_test(gradients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
