// The executor: a forward pass against the kernels called one by one on the whole batch, bits at several thread counts,
// the node that makes a NaN is named, gradients of whole networks against differences, cancelling.
#include "engine/exec.h"
#include "tests/engine/nets.h"

static float *forward(const model *m, const data_batch *b, int threads) {
    const model_shape *s = model_graph_shape(m->graph, m->graph->output);
    int64_t each = b->kind == DATA_TOKENS ? b->length * s->dim[s->ndim - 1] : model_shape_count(s);
    float *out = base_calloc((size_t)(b->count * each), sizeof *out);
    base_err err = {0};
    num_set_threads(threads);
    if (!engine_forward(m, m->weights, b, out, NULL, &err)) fail_msg("%s", err.text);
    num_set_threads(1);
    return out;
}

// Every node over the whole batch with memory of its own: slow and plain.
static float *plain(const model *m, const data_batch *b, size_t *count) {
    const model_graph *g = m->graph;
    model_shape *shapes = base_calloc((size_t)g->value_count, sizeof *shapes);
    float **value = base_calloc((size_t)g->value_count, sizeof *value);
    base_err err = {0};
    assert_true(model_graph_shapes(g, b->count, b->kind == DATA_TOKENS ? b->length : 1, shapes, &err));
    for (int v = 1; v < g->value_count; v++)
        value[v] = base_calloc((size_t)model_shape_count(&shapes[v]), sizeof(float));
    value[0] = b->x;
    for (int i = 0; i < g->node_count; i++) {
        exec_call call;
        exec_call_fill(&call, g, i, shapes, m->weights);
        const engine_kernel *k = &engine_kernels[g->nodes[i].op];
        for (int p = 0; p < g->nodes[i].in_count; p++) call.a.in[p] = value[g->nodes[i].in[p]];
        for (int p = 0; p < g->nodes[i].out_count; p++) call.a.out[p] = value[g->nodes[i].out[p]];
        call.a.tokens = b->tokens;
        size_t scratch = k->scratch ? k->scratch(&call.a) : 0;
        call.a.scratch = base_big_alloc(scratch + 1, sizeof(float), "scratch", &err);
        k->forward(&call.a);
        base_big_free(call.a.scratch);
    }
    float *out = value[g->output];
    *count = (size_t)model_shape_count(&shapes[g->output]);
    for (int v = 1; v < g->value_count; v++)
        if (v != g->output) free(value[v]);
    free(value);
    free(shapes);
    return out;
}

static void check_forward(model *m, int64_t n, int64_t t) {
    data_batch b = nets_batch(m, n, t, 3);
    size_t count;
    float *want = plain(m, &b, &count), *one = forward(m, &b, 1);
    assert_true(support_max_diff(want, one, count) < 2e-5);
    for (int threads = 2; threads <= 3; threads++) {
        float *many = forward(m, &b, threads);
        assert_memory_equal(one, many, count * sizeof(float));
        free(many);
    }
    free(want);
    free(one);
    nets_batch_free(&b);
    model_close(m);
}

static void test_forward(void **state) {
    (void)state;
    check_forward(nets_images(1), 37, 1);
    check_forward(nets_images(2), 1, 1);
    check_forward(nets_language(1), 21, 16);
    check_forward(nets_language(2), 1, 1);
}

static void test_places(void **state) {
    (void)state;
    enum { N = 60 };
    size_t size[N], at[N], sum = 0;
    int start[N], end[N];
    num_rng rng = num_rng_seed(5, 0);
    for (int i = 0; i < N; i++) {
        size[i] = 1 + num_rng_below(&rng, 100);
        start[i] = (int)num_rng_below(&rng, 40);
        end[i] = start[i] + (int)num_rng_below(&rng, 6);
        sum += size[i];
    }
    size_t whole = exec_place(N, size, start, end, at);
    assert_true(whole < sum / 2);
    for (int i = 0; i < N; i++) {
        assert_true(at[i] + size[i] <= whole);
        for (int j = 0; j < i; j++) {
            bool together = start[i] <= end[j] && start[j] <= end[i];
            assert_true(!together || at[i] + size[i] <= at[j] || at[j] + size[j] <= at[i]);
        }
    }
}

static void test_not_finite(void **state) {
    (void)state;
    model *m = nets_images(1);
    data_batch b = nets_batch(m, 9, 1, 3);
    float out[9 * 5];
    base_err err = {0};
    int p = model_graph_param(m->graph, "grouped.weight");
    model_mutable(m)[p][7] = NAN;
    assert_false(engine_forward(m, m->weights, &b, out, NULL, &err));
    assert_non_null(strstr(err.text, "grouped (conv2d) produced a value that is not finite"));
    double loss;
    assert_false(engine_backward(m, m->weights, &b, false, NULL, NULL, &loss, NULL, &err));
    assert_non_null(strstr(err.text, "grouped (conv2d)"));
    nets_batch_free(&b);
    model_close(m);
}

static void test_bad_batches(void **state) {
    (void)state;
    model *m = nets_language(1), *images = nets_images(1);
    data_batch b = nets_batch(m, 2, 16, 3);
    float *out = base_calloc(2 * 17 * 23, sizeof *out);
    base_err err = {0};
    b.tokens[5] = 23;
    assert_false(engine_forward(m, m->weights, &b, out, NULL, &err));
    assert_string_equal(err.text, "token 23 is outside 0..22");
    b.tokens[5] = -1;
    assert_false(engine_forward(m, m->weights, &b, out, NULL, &err));
    b.tokens[5] = 1;
    assert_false(engine_forward(images, images->weights, &b, out, NULL, &err));
    b.count = 1;
    b.length = 17;
    assert_false(engine_forward(m, m->weights, &b, out, NULL, &err));
    assert_string_equal(err.text, "a sequence of 17 tokens is longer than the network's context of 16");
    free(out);
    nets_batch_free(&b);
    model_close(m);
    model_close(images);
}

static void test_cancel(void **state) {
    (void)state;
    model *m = nets_images(1);
    data_batch b = nets_batch(m, 9, 1, 3);
    float out[9 * 5];
    base_err err = {0};
    base_job job = {0};
    atomic_init(&job.cancel, 1);
    assert_false(engine_forward(m, m->weights, &b, out, &job, &err));
    assert_int_equal(err.status, BASE_CANCELLED);
    nets_batch_free(&b);
    model_close(m);
}

// ---- gradients of whole networks ---------------------------------------------------------------

static float **new_grads(const model_graph *g) {
    float **grad = base_calloc((size_t)g->param_count, sizeof *grad);
    for (int p = 0; p < g->param_count; p++)
        grad[p] = base_calloc((size_t)model_shape_count(&g->params[p].shape), sizeof(float));
    return grad;
}

static void free_grads(const model_graph *g, float **grad) {
    for (int p = 0; p < g->param_count; p++) free(grad[p]);
    free(grad);
}

static double loss_of(const model *m, const data_batch *b, bool training, float **grad) {
    base_err err = {0};
    double loss;
    if (!engine_backward(m, m->weights, b, training, grad, NULL, &loss, NULL, &err)) fail_msg("%s", err.text);
    return loss;
}

static void check_gradients(model *m, int64_t n, int64_t t, bool training) {
    const model_graph *g = m->graph;
    data_batch b = nets_batch(m, n, t, 4);
    float **grad = new_grads(g), **again = new_grads(g);
    num_set_threads(1);
    double loss = loss_of(m, &b, training, grad);
    num_set_threads(3);
    assert_true(loss == loss_of(m, &b, training, again));
    num_set_threads(1);
    for (int p = 0; p < g->param_count; p++) {
        int64_t count = model_shape_count(&g->params[p].shape);
        assert_memory_equal(grad[p], again[p], (size_t)count * sizeof(float));
        if (g->params[p].buffer) continue;
        float *w = model_mutable(m)[p];
        // The derivative along the gradient itself is its length: one difference checks all values of a parameter.
        double length = sqrt(num_sum_squares(grad[p], (size_t)count)), step = 2e-3;
        assert_true(length > 1e-6);
        float *kept = base_calloc((size_t)count, sizeof *kept);
        memcpy(kept, w, (size_t)count * sizeof *w);
        for (int64_t i = 0; i < count; i++) w[i] = (float)((double)kept[i] + step * (double)grad[p][i] / length);
        double up = loss_of(m, &b, training, NULL);
        for (int64_t i = 0; i < count; i++) w[i] = (float)((double)kept[i] - step * (double)grad[p][i] / length);
        double down = loss_of(m, &b, training, NULL);
        memcpy(w, kept, (size_t)count * sizeof *w);
        free(kept);
        double measured = (up - down) / (2 * step);
        if (fabs(measured - length) > 0.02 * length + 1e-3)
            fail_msg("%s: gradient %g, differences %g", g->params[p].name, length, measured);
    }
    free_grads(g, grad);
    free_grads(g, again);
    nets_batch_free(&b);
    model_close(m);
}

static void test_gradients(void **state) {
    (void)state;
    check_gradients(nets_images(1), 19, 1, true);
    check_gradients(nets_images(1), 19, 1, false);
    check_gradients(nets_images(1), 3, 1, true);
    check_gradients(nets_language(1), 11, 9, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),     cmocka_unit_test(test_places), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_bad_batches), cmocka_unit_test(test_cancel), cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
