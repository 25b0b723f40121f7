// A convolution that takes over the batch norm, add and relu after it gives the same bits as those nodes one by one:
// planes that fill vectors, ragged ones and tiny ones; values that something else reads too are left alone.
#include "engine/kernels.h"
#include "tests/engine/nets.h"

enum { IMAGES = 5 };

// Every node by itself, each value in memory of its own.
static void run_plainly(const model *m, const data_batch *b, float *out) {
    const model_graph *g = m->graph;
    float **value = calloc((size_t)g->value_count, sizeof *value);
    model_shape *shapes = calloc((size_t)g->value_count, sizeof *shapes);
    base_err err = {0};
    assert_true(model_graph_shapes(g, b->count, 0, shapes, &err));
    value[0] = b->x;
    for (int i = 0; i < g->node_count; i++) {
        const model_node *node = &g->nodes[i];
        model_shape in[MODEL_MAX_IN], param[MODEL_MAX_PARAM] = {{0}};
        engine_args a = {.node = node, .in_shape = in, .out_shape = &shapes[node->out[0]], .param_shape = param};
        for (int k = 0; k < node->in_count; k++) {
            in[k] = shapes[node->in[k]];
            a.in[k] = value[node->in[k]];
        }
        for (int k = 0; k < node->param_count; k++)
            if (node->param[k] >= 0) a.param[k] = m->weights[node->param[k]];
        a.out[0] = value[node->out[0]] = calloc((size_t)model_shape_count(a.out_shape), sizeof(float));
        const engine_kernel *k = &engine_kernels[node->op];
        const size_t scratch = k->scratch ? k->scratch(&a) : 0;
        a.scratch = aligned_alloc(64, (scratch * sizeof(float) + 127) / 64 * 64);
        k->forward(&a);
        free(a.scratch);
    }
    memcpy(out, value[g->output], (size_t)model_shape_count(&shapes[g->output]) * sizeof *out);
    for (int v = 1; v < g->value_count; v++) free(value[v]);
    free(value);
    free(shapes);
}

// Two residual blocks with a norm in each convolution, one of them without relu, at h x w.
static model *blocks(int64_t h, int64_t w, bool shared) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, h, w);
    int x = nets_add(g, "conv2d", "stem", 0, -1, "11 3 3 1 1 1 1 1 1 1 1 1 0", NULL);
    x = nets_add(g, "batch_norm", "n0", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "r0", x, -1, NULL, NULL);
    int y = nets_add(g, "conv2d", "c1", x, -1, "11 3 3 1 1 1 1 1 1 1 1 1 1", NULL);
    int n = nets_add(g, "batch_norm", "n1", y, -1, "1e-3", NULL);
    if (shared) n = nets_add(g, "add", "again", n, y, NULL, NULL); // the convolution's own result has two readers
    x = nets_add(g, "add", "a1", x, n, NULL, NULL);
    x = nets_add(g, "relu", "r1", x, -1, NULL, NULL);
    y = nets_add(g, "conv2d", "c2", x, -1, "11 1 1 1 1 0 0 0 0 1 1 11 0", NULL);
    y = nets_add(g, "add", "a2", y, x, NULL, NULL);
    y = nets_add(g, "batch_norm", "n2", y, -1, NULL, NULL);
    int s = nets_add(g, "conv2d", "c3", y, -1, "7 3 3 2 2 1 1 1 1 1 1 1 0", NULL);
    int late = nets_add(g, "conv2d", "c4", x, -1, "7 1 1 2 2 0 0 0 0 1 1 1 0", NULL);
    s = nets_add(g, "add", "a3", s, late, NULL, NULL); // its second operand is computed after c3
    s = nets_add(g, "relu", "r3", s, -1, NULL, NULL);
    s = nets_add(g, "conv2d", "c5", s, -1, "4 1 1 1 1 0 0 0 0 1 1 1 1", NULL);
    s = nets_add(g, "relu", "r5", s, -1, NULL, NULL);
    model *m = nets_create(g, s, MODEL_RECONSTRUCT, 5);
    float **weights = model_mutable(m);
    for (int p = 0; p < m->graph->param_count; p++) {
        const size_t count = (size_t)model_shape_count(&m->graph->params[p].shape);
        support_fill(weights[p], count, (uint64_t)p);
        for (size_t i = 0; i < count && strstr(m->graph->params[p].name, "running_var"); i++) weights[p][i] += 1.5f;
    }
    return m;
}

static void check(int64_t h, int64_t w, bool shared) {
    model *m = blocks(h, w, shared);
    const size_t outputs = IMAGES * (size_t)model_shape_count(model_graph_shape(m->graph, m->graph->output));
    float *want = calloc(outputs, sizeof *want), *got = calloc(outputs, sizeof *got);
    data_batch b = {.kind = DATA_FEATURES, .count = IMAGES};
    b.x = calloc((size_t)(IMAGES * 3 * h * w), sizeof *b.x);
    support_fill(b.x, (size_t)(IMAGES * 3 * h * w), 9);
    base_err err = {0};
    // One image at a time, as the executor does with so few: products of other sizes round otherwise.
    for (int i = 0; i < IMAGES; i++) {
        data_batch one = {.kind = DATA_FEATURES, .count = 1, .x = b.x + i * 3 * h * w};
        run_plainly(m, &one, want + (size_t)i * (outputs / IMAGES));
    }
    if (!engine_forward(m, m->weights, &b, got, NULL, &err)) fail_msg("%s", err.text);
    double size = 0;
    for (size_t i = 0; i < outputs; i++) size += fabs((double)want[i]);
    assert_true(size > 0);
    if (memcmp(want, got, outputs * sizeof *want))
        fail_msg("%lldx%lld: %g apart", (long long)h, (long long)w, support_max_diff(want, got, outputs));
    free(want);
    free(got);
    free(b.x);
    model_close(m);
}

static void test_same_bits(void **state) {
    (void)state;
    check(16, 16, false);
    check(8, 8, false);
    check(9, 7, false);
    check(13, 32, true);
    check(3, 3, false);
    check(1, 2, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
}
