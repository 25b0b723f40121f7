// Streams: carried through stretch by stretch they end at engine_forward's logits; second moments and output errors
// against plain sums over the rows; replaced weights; copies; bits at several thread counts.
#include "engine/kernels.h"
#include "tests/engine/nets.h"

typedef struct fixture {
    model *m;
    data_set *set;
    data_view *view;
} fixture;

static fixture open_fixture(bool tokens, int64_t count) {
    base_err err = {0};
    fixture f = {.m = tokens ? nets_language(1) : nets_images(1), .set = nets_data(tokens, count, 7)};
    f.view = data_view_part(f.set, DATA_TEST, &err);
    if (!f.view) fail_msg("%s", err.text);
    return f;
}

static void close_fixture(fixture *f) {
    data_view_free(f->view);
    data_close(f->set);
    model_close(f->m);
}

static engine_stream *open_stream(const fixture *f) {
    base_err err = {0};
    engine_stream *s = engine_stream_open(f->m, f->m->weights, f->view, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

static void advance(engine_stream *s, int node) {
    base_err err = {0};
    if (!engine_stream_advance(s, node, NULL, &err)) fail_msg("%s", err.text);
}

// Rows of the layer's X gathered by visiting.
typedef struct gathered {
    float *x;
    int64_t rows, in;
} gathered;

static bool gather(void *context, const float *x, int64_t rows, int64_t in, base_err *err) {
    (void)err;
    gathered *g = context;
    g->x = base_realloc(g->x, (size_t)((g->rows + rows) * in), sizeof *g->x);
    memcpy(g->x + g->rows * in, x, (size_t)(rows * in) * sizeof *x);
    g->rows += rows;
    g->in = in;
    return true;
}

static gathered rows_of(engine_stream *s, int node, int64_t group) {
    gathered g = {0};
    base_err err = {0};
    if (!engine_stream_visit(s, node, group, gather, &g, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(g.rows, engine_stream_rows(s, node));
    return g;
}

static void check_gram(engine_stream *s, const model_layer *layer) {
    size_t square = (size_t)(layer->in * layer->in), count = square * (size_t)layer->groups;
    float *h = base_calloc(count, sizeof *h), *again = base_calloc(count, sizeof *again);
    base_err err = {0};
    if (!engine_stream_gram(s, layer->node, h, NULL, &err)) fail_msg("%s: %s", layer->name, err.text);
    num_set_threads(3);
    assert_true(engine_stream_gram(s, layer->node, again, NULL, &err));
    num_set_threads(1);
    assert_memory_equal(h, again, count * sizeof *h);
    for (int64_t group = 0; group < layer->groups; group++) {
        gathered g = rows_of(s, layer->node, group);
        assert_int_equal(g.in, layer->in);
        for (int64_t i = 0; i < g.in; i++)
            for (int64_t j = 0; j < g.in; j++) {
                double sum = 0;
                for (int64_t r = 0; r < g.rows; r++) sum += (double)g.x[r * g.in + i] * (double)g.x[r * g.in + j];
                assert_true(fabs(sum / (double)g.rows - (double)h[(group * g.in + i) * g.in + j]) < 1e-4);
            }
        free(g.x);
    }
    free(h);
    free(again);
}

static void check_error(engine_stream *s, const fixture *f, const model_layer *layer) {
    const float *w = f->m->weights[layer->weight];
    int64_t out = layer->out / layer->groups, in = layer->in;
    float *wc = base_calloc((size_t)layer->weights, sizeof *wc);
    support_fill(wc, (size_t)layer->weights, 11);
    engine_error e, want = {0};
    base_err err = {0};
    if (!engine_stream_error(s, s, layer->node, w, wc, &e, NULL, &err)) fail_msg("%s", err.text);
    for (int64_t group = 0; group < layer->groups; group++) {
        gathered g = rows_of(s, layer->node, group);
        for (int64_t r = 0; r < g.rows; r++)
            for (int64_t o = group * out; o < (group + 1) * out; o++) {
                double y = 0, yc = 0;
                for (int64_t i = 0; i < in; i++) {
                    y += (double)g.x[r * in + i] * (double)w[o * in + i];
                    yc += (double)g.x[r * in + i] * (double)wc[o * in + i];
                }
                want.difference += (y - yc) * (y - yc);
                want.reference += y * y;
                want.product += y * yc;
                want.compressed += yc * yc;
            }
        free(g.x);
    }
    assert_true(fabs(e.difference - want.difference) < 1e-4 * want.difference);
    assert_true(fabs(e.reference - want.reference) < 1e-4 * want.reference);
    assert_true(fabs(e.compressed - want.compressed) < 1e-4 * want.compressed);
    assert_true(fabs(e.product - want.product) < 1e-4 * (want.reference + want.compressed));
    free(wc);
}

static void test_layers(void **state) {
    (void)state;
    for (int tokens = 0; tokens < 2; tokens++) {
        fixture f = open_fixture(tokens, 41);
        engine_stream *s = open_stream(&f);
        for (int l = 0; l < f.m->layer_count; l++) {
            const model_layer *layer = &f.m->layers[l];
            if (!strcmp(layer->kind, "embedding")) continue;
            advance(s, layer->node);
            check_gram(s, layer);
            check_error(s, &f, layer);
        }
        engine_stream_close(s);
        close_fixture(&f);
    }
}

static void test_embedding(void **state) {
    (void)state;
    fixture f = open_fixture(true, 41);
    engine_stream *s = open_stream(&f);
    float h[23];
    double sum = 0;
    base_err err = {0};
    assert_true(engine_stream_gram(s, 0, h, NULL, &err));
    for (int i = 0; i < 23; i++) sum += (double)h[i];
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(fabs((double)h[1] - 41.0 / (double)engine_stream_rows(s, 0)) <
                1e-6); // the start token, once a sequence
    assert_true(h[0] == 0);
    engine_error e;
    float *wc = base_calloc(23 * 12, sizeof *wc);
    assert_true(engine_stream_error(s, s, 0, f.m->weights[0], wc, &e, NULL, &err));
    assert_true(e.difference == e.reference && e.reference > 0 && e.compressed == 0);
    free(wc);
    engine_stream_close(s);
    close_fixture(&f);
}

// The logits at the end of a stream, visited as the input of nothing: compare through one more identity of the last
// layer, whose X times W^T + b are the logits.
static void logits_from(engine_stream *s, const fixture *f, float **out, int64_t *rows, int64_t *classes) {
    const model_graph *g = f->m->graph;
    const model_node *head = &g->nodes[g->node_count - 1];
    advance(s, g->node_count - 1);
    gathered x = rows_of(s, g->node_count - 1, 0);
    const model_shape *shape = model_graph_shape(g, g->output);
    *classes = shape->dim[shape->ndim - 1];
    *rows = x.rows;
    *out = base_calloc((size_t)(x.rows * *classes), sizeof **out);
    num_gemm(false, true, x.rows, *classes, x.in, 1, x.x, x.in, f->m->weights[head->param[0]], x.in, 0, *out, *classes);
    for (int64_t i = 0; head->param[1] >= 0 && i < x.rows * *classes; i++)
        (*out)[i] += f->m->weights[head->param[1]][i % *classes];
    free(x.x);
}

static void test_ends_at_forward(void **state) {
    (void)state;
    for (int tokens = 0; tokens < 2; tokens++) {
        fixture f = open_fixture(tokens, 41);
        engine_stream *s = open_stream(&f);
        for (int i = 1; i < f.m->graph->node_count; i += tokens ? 1 : 2) advance(s, i);
        float *got;
        int64_t rows, classes, row = 0;
        logits_from(s, &f, &got, &rows, &classes);
        data_batch b = {0};
        base_err err = {0};
        for (int64_t i = 0; i < f.view->count; i++) {
            float want[16 * 23];
            assert_true(data_fetch(f.view, i, 1, &b, &err));
            assert_true(engine_forward(f.m, f.m->weights, &b, want, NULL, &err));
            int64_t t = tokens ? b.length : 1;
            assert_true(support_max_diff(got + row * classes, want, (size_t)(t * classes)) < 1e-4);
            row += t;
        }
        assert_int_equal(row, rows);
        data_batch_free(&b);
        free(got);
        engine_stream_close(s);
        close_fixture(&f);
    }
}

static void test_replaced_weights(void **state) {
    (void)state;
    fixture f = open_fixture(true, 20);
    const model_graph *g = f.m->graph;
    engine_stream *s = open_stream(&f), *c;
    base_err err = {0};
    int down = model_find_layer(f.m, "down");
    advance(s, f.m->layers[down].node);
    c = engine_stream_copy(s, &err);
    assert_non_null(c);
    float *zero = base_calloc((size_t)f.m->layers[down].weights, sizeof *zero);
    engine_stream_set(c, f.m->layers[down].weight, zero);
    engine_error own, chained;
    int head = g->node_count - 1;
    size_t before = engine_stream_bytes(s);
    advance(s, head);
    advance(c, head);
    assert_true(engine_stream_bytes(s) < before);
    const float *w = f.m->weights[g->nodes[head].param[0]];
    assert_true(engine_stream_error(s, s, head, w, w, &own, NULL, &err));
    assert_true(own.difference == 0 && own.reference > 0);
    assert_true(engine_stream_error(s, c, head, w, w, &chained, NULL, &err));
    assert_true(chained.difference > 1e-6 * chained.reference);
    assert_false(engine_stream_visit(s, 3, 0, gather, &(gathered){0}, NULL, &err));
    assert_non_null(strstr(err.text, "is not held"));
    free(zero);
    engine_stream_close(s);
    engine_stream_close(c);
    close_fixture(&f);
}

// Both streams go on from one layer to the next while their outputs are compared: the figures are those of the pass
// that only compares, and the positions the same bits as when each stream advances alone.
static void check_pair(const fixture *f, engine_stream *s, engine_stream *c, const model_layer *from,
                       const model_layer *to) {
    base_err err = {0};
    engine_error want, e;
    bool done = false;
    const model_graph *g = f->m->graph;
    float *wc = base_calloc((size_t)from->weights, sizeof *wc);
    support_fill(wc, (size_t)from->weights, 11);
    advance(s, from->node);
    advance(c, from->node);
    assert_true(engine_stream_error(s, c, from->node, f->m->weights[from->weight], wc, &want, NULL, &err));
    engine_stream *alone[] = {engine_stream_copy(s, &err), engine_stream_copy(c, &err)}, *both[] = {s, c};
    engine_stream_set(c, from->weight, wc);
    engine_stream_set(alone[1], from->weight, wc);
    num_set_threads(3);
    if (!engine_stream_error_on(s, c, from->node, to->node, &e, &done, NULL, &err)) fail_msg("%s", err.text);
    num_set_threads(1);
    assert_true(done);
    assert_true(fabs(e.difference - want.difference) <= 1e-5 * want.difference);
    assert_true(fabs(e.reference - want.reference) <= 1e-5 * want.reference);
    assert_true(fabs(e.compressed - want.compressed) <= 1e-5 * want.compressed);
    assert_true(fabs(e.product - want.product) <= 1e-5 * (want.reference + want.compressed));
    for (int k = 0; k < 2; k++) {
        advance(alone[k], to->node);
        assert_true(engine_stream_bytes(alone[k]) == engine_stream_bytes(both[k]));
        for (int v = 0; v < g->value_count; v++) {
            size_t count, others;
            const float *x = engine_stream_value(both[k], v, &count), *y = engine_stream_value(alone[k], v, &others);
            assert_true(count == others);
            if (x) assert_memory_equal(x, y, count * sizeof *x);
        }
        engine_stream_close(alone[k]);
    }
    advance(c, g->node_count); // what it points to must outlive it
    free(wc);
}

static void test_pairs(void **state) {
    (void)state;
    for (int tokens = 0; tokens < 2; tokens++) {
        fixture f = open_fixture(tokens, 41);
        int pairs = 0;
        for (int l = 0; l + 1 < f.m->layer_count; l++) {
            const model_layer *from = &f.m->layers[l];
            if (!strcmp(from->kind, "embedding")) continue;
            engine_stream *s = open_stream(&f), *c = open_stream(&f);
            check_pair(&f, s, c, from, from + 1);
            engine_stream_close(s);
            engine_stream_close(c);
            pairs++;
        }
        assert_true(pairs >= 2);
        close_fixture(&f);
    }
}

static void test_threads_same_bits(void **state) {
    (void)state;
    fixture f = open_fixture(false, 50);
    gathered x[2];
    for (int k = 0; k < 2; k++) {
        num_set_threads(k ? 3 : 1);
        engine_stream *s = open_stream(&f);
        int node = f.m->layers[model_find_layer(f.m, "down")].node;
        advance(s, node);
        x[k] = rows_of(s, node, 0);
        engine_stream_close(s);
    }
    num_set_threads(1);
    assert_memory_equal(x[0].x, x[1].x, (size_t)(x[0].rows * x[0].in) * sizeof(float));
    free(x[0].x);
    free(x[1].x);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),          cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_ends_at_forward), cmocka_unit_test(test_replaced_weights),
        cmocka_unit_test(test_pairs),           cmocka_unit_test(test_threads_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
