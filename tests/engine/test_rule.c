// Other ways back: gradients of samples against differences, relevance against the textbook's sums.
#include "tests/engine/nets.h"

static double loss_of(const model *m, data_batch *batch) {
    base_err err = {0};
    double loss;
    if (!engine_backward(m, m->weights, batch, false, NULL, NULL, &loss, NULL, &err)) fail_msg("%s", err.text);
    return loss;
}

static double distance_of(const model *m, data_batch *batch) {
    base_err err = {0};
    double distance;
    if (!engine_norm_distance(m, m->weights, batch, NULL, &distance, NULL, &err)) fail_msg("%s", err.text);
    return distance;
}

// Slopes of `value` along a few coordinates against the gradient.
static void check_slopes(const model *m, data_batch *batch, const float *gradient, size_t count, float step,
                         double (*value)(const model *, data_batch *), double tolerance) {
    double scale = 0;
    for (size_t i = 0; i < count; i++) scale = fmax(scale, fabs((double)gradient[i]));
    assert_true(scale > 0);
    for (size_t i = 5; i < count; i += count / 23) {
        float keep = batch->x[i];
        batch->x[i] = keep + step;
        double up = value(m, batch), high = (double)batch->x[i];
        batch->x[i] = keep - step;
        double down = value(m, batch), slope = (up - down) / (high - (double)batch->x[i]);
        batch->x[i] = keep;
        if (fabs(slope - (double)gradient[i]) > tolerance * scale)
            fail_msg("sample value %zu: gradient %g, slope %g, largest %g", i, (double)gradient[i], slope, scale);
    }
}

static void samples_have_gradients(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_images(7);
    data_batch batch = nets_batch(m, 11, 1, 4);
    size_t count = (size_t)(11 * 360);
    float *dx = malloc(count * sizeof *dx);
    double loss, noise[64], repeat[64], distance;
    assert_true(m->graph->node_count < 64);
    if (!engine_backward_inputs(m, m->weights, &batch, dx, noise, &loss, NULL, &err)) fail_msg("%s", err.text);
    assert_true(fabs(loss - loss_of(m, &batch)) < 1e-12);
    check_slopes(m, &batch, dx, count, 4e-3f, loss_of, 0.02);
    double sum = 0; // only the stem reads the samples
    for (size_t i = 0; i < count; i++) sum += pow((double)dx[i] * (double)batch.x[i], 2);
    assert_true(fabs(noise[0] / sum - 1) < 1e-5);
    for (int i = 0; i < m->graph->node_count; i++)
        assert_true((noise[i] > 0) == (model_ops[m->graph->nodes[i].op].weight_param >= 0));
    num_set_threads(2);
    assert_true(engine_backward_inputs(m, m->weights, &batch, NULL, repeat, &loss, NULL, &err));
    num_set_threads(1);
    assert_memory_equal(noise, repeat, (size_t)m->graph->node_count * sizeof *noise);
    if (!engine_norm_distance(m, m->weights, &batch, dx, &distance, NULL, &err)) fail_msg("%s", err.text);
    assert_true(distance > 0 && distance == distance_of(m, &batch));
    check_slopes(m, &batch, dx, count, 1e-2f, distance_of, 0.02);
    free(dx);
    nets_batch_free(&batch);
    model_close(m);
}

// The distance of known statistics, and what has none.
static void distance_is_of_channels(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_images(7);
    data_batch batch = nets_batch(m, 6, 1, 4);
    double want = 0;
    for (int c = 0; c < 3; c++) { // the input's part, by hand
        double sum = 0, square = 0;
        for (int i = 0; i < 6; i++)
            for (int k = 0; k < 120; k++) {
                double x = (double)batch.x[(i * 3 + c) * 120 + k];
                sum += x / 720, square += x * x / 720;
            }
        double deviation = sqrt(square - sum * sum + 1e-6) - 1;
        want += (sum * sum + deviation * deviation) / 3;
    }
    int norm = model_graph_param(m->graph, "norm.running_mean"), stem = model_graph_param(m->graph, "stem.weight");
    assert_true(norm >= 0 && stem >= 0);
    memset(model_mutable(m)[stem], 0, (size_t)model_shape_count(&m->graph->params[stem].shape) * sizeof(float));
    for (int c = 0; c < 8; c++) model_mutable(m)[norm][c] = 2; // mean 0 against 2, deviation 0.001 against 1
    assert_true(fabs(distance_of(m, &batch) - want - 4 - pow(sqrt(1 + 1e-6) - 1e-3, 2)) < 1e-4);
    nets_batch_free(&batch);
    model *language = nets_language(1);
    batch = nets_batch(language, 2, 9, 1);
    double distance, noise[64], loss;
    float x[1];
    assert_false(engine_norm_distance(language, language->weights, &batch, NULL, &distance, NULL, &err));
    assert_non_null(strstr(err.text, "no batch norm"));
    assert_false(engine_backward_inputs(language, language->weights, &batch, x, NULL, &loss, NULL, &err));
    assert_non_null(strstr(err.text, "tokens"));
    assert_true(engine_backward_inputs(language, language->weights, &batch, NULL, noise, &loss, NULL, &err));
    assert_true(isnan(noise[0]) && noise[2] > 0);
    nets_batch_free(&batch);
    model_close(language);
    model_close(m);
}

enum { IN = 7, MID = 6, OUT = 4, COUNT = 5 };

static void relevance_is_the_textbooks(void **state) {
    (void)state;
    base_err err = {0};
    model_graph *g = nets_start(DATA_FEATURES, 1, IN, 0, 0);
    int x = nets_add(g, "linear", "first", 0, -1, "6 0", NULL);
    x = nets_add(g, "relu", "act", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "second", x, -1, "4 0", NULL);
    model *m = nets_create(g, x, MODEL_CLASSIFY, 3);
    data_batch batch = nets_batch(m, COUNT, 1, 8);
    const float *w1 = m->weights[0], *w2 = m->weights[1];
    for (int e = 0; e < 2; e++) {
        double epsilon = e ? 0.3 : 0, r1[MID * IN] = {0}, r2[OUT * MID] = {0}, logits = 0, total[2] = {0};
        for (int n = 0; n < COUNT; n++) {
            double z1[MID] = {0}, r_mid[MID] = {0}, z2 = 0;
            int label = batch.labels[n];
            const float *a = batch.x + n * IN;
            for (int j = 0; j < MID; j++)
                for (int i = 0; i < IN; i++) z1[j] += (double)a[i] * (double)w1[j * IN + i];
            for (int j = 0; j < MID; j++) z2 += fmax(0, z1[j]) * (double)w2[label * MID + j];
            logits += z2 / COUNT;
            for (int j = 0; j < MID; j++) {
                r_mid[j] = fmax(0, z1[j]) * (double)w2[label * MID + j] * z2 / (z2 + (z2 < 0 ? -epsilon : epsilon));
                r2[label * MID + j] += r_mid[j] / COUNT;
            }
            for (int j = 0; j < MID; j++)
                for (int i = 0; i < IN; i++)
                    r1[j * IN + i] += (double)a[i] * (double)w1[j * IN + i] * r_mid[j] /
                                      (z1[j] + (z1[j] < 0 ? -epsilon : epsilon)) / COUNT;
        }
        float got1[MID * IN], got2[OUT * MID], *got[2] = {got1, got2};
        if (!engine_relevance(m, m->weights, &batch, &(engine_relevance_rule){.epsilon = epsilon}, got, NULL, &err))
            fail_msg("%s", err.text);
        for (int i = 0; i < MID * IN; i++) {
            assert_true(fabs((double)got1[i] - r1[i]) < 1e-5);
            total[0] += (double)got1[i];
        }
        for (int i = 0; i < OUT * MID; i++) {
            assert_true(fabs((double)got2[i] - r2[i]) < 1e-5);
            total[1] += (double)got2[i];
        }
        if (!e) assert_true(fabs(total[0] - logits) < 1e-4 && fabs(total[1] - logits) < 1e-4); // nothing is lost
    }
    nets_batch_free(&batch);
    model_close(m);
}

// Without biases relevance is kept by gates, attention and norms too: what the last layer's weights have, the blocks
// before have between them and the residual.
static void gates_and_norms_keep_relevance(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_language(5);
    data_batch batch = nets_batch(m, 3, 8, 2);
    float *got[64] = {0};
    assert_true(m->graph->param_count < 64);
    for (int p = 0; p < m->graph->param_count; p++)
        got[p] = calloc((size_t)model_shape_count(&m->graph->params[p].shape), sizeof **got);
    if (!engine_relevance(m, m->weights, &batch, &(engine_relevance_rule){0}, got, NULL, &err))
        fail_msg("%s", err.text);
    double sum[64] = {0};
    for (int p = 0; p < m->graph->param_count; p++) {
        int64_t n = model_shape_count(&m->graph->params[p].shape);
        for (int64_t i = 0; i < n; i++) sum[p] += (double)got[p][i];
        free(got[p]);
    }
    const char *down = "down.weight", *up = "up.weight", *gate = "gate.weight", *v = "v.weight", *o = "o.weight";
    double whole = sum[model_graph_param(m->graph, down)];
    double halves = sum[model_graph_param(m->graph, up)] + sum[model_graph_param(m->graph, gate)];
    assert_true(fabs(whole) > 1e-9 && fabs(halves / whole - 1) < 1e-4);
    assert_true(fabs(sum[model_graph_param(m->graph, v)] / sum[model_graph_param(m->graph, o)] - 1) < 1e-4);
    assert_true(sum[model_graph_param(m->graph, "q.weight")] == 0); // attention's weights are constants
    nets_batch_free(&batch);
    model_close(m);
}

// z+ and z- of one output with their shares, by the sums of the paper: r_in gets what each input, r_w what each weight
// is given.
static void share_out(const double *a, const float *w, double bias, int count, double r, double alpha, double *r_in,
                      double *r_w) {
    double up = fmax(bias, 0), down = fmin(bias, 0);
    for (int i = 0; i < count; i++) {
        up += fmax(0, a[i] * (double)w[i]);
        down += fmin(0, a[i] * (double)w[i]);
    }
    for (int i = 0; i < count; i++) {
        double z = a[i] * (double)w[i];
        double given = z > 0 ? alpha * r * z / up : z < 0 ? (1 - alpha) * r * z / down : 0;
        r_in[i] += given;
        r_w[i] += given / COUNT;
    }
}

// Inputs of both signs, a bias, a relu and a second layer without.
static void halves_are_the_textbooks(void **state) {
    (void)state;
    base_err err = {0};
    model_graph *g = nets_start(DATA_FEATURES, 1, IN, 0, 0);
    int x = nets_add(g, "linear", "first", 0, -1, "6 1", NULL);
    x = nets_add(g, "relu", "act", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "second", x, -1, "4 0", NULL);
    model *m = nets_create(g, x, MODEL_CLASSIFY, 3);
    data_batch batch = nets_batch(m, COUNT, 1, 8);
    const float *w1 = m->weights[model_graph_param(m->graph, "first.weight")];
    float *b1 = (float *)(uintptr_t)m->weights[model_graph_param(m->graph, "first.bias")];
    const float *w2 = m->weights[model_graph_param(m->graph, "second.weight")];
    for (int j = 0; j < MID; j++) b1[j] = 0.2f * (float)(j - 2);
    for (int k = 0; k < 3; k++) {
        double alpha = 1 + k * 0.5, r1[MID * IN] = {0}, r2[OUT * MID] = {0};
        for (int n = 0; n < COUNT; n++) {
            double a[IN], mid[MID], z2 = 0, r_mid[MID] = {0}, r_in[IN] = {0};
            int label = batch.labels[n];
            for (int i = 0; i < IN; i++) a[i] = (double)batch.x[n * IN + i];
            for (int j = 0; j < MID; j++) {
                double z = (double)b1[j];
                for (int i = 0; i < IN; i++) z += a[i] * (double)w1[j * IN + i];
                mid[j] = fmax(0, z);
            }
            for (int j = 0; j < MID; j++) z2 += mid[j] * (double)w2[label * MID + j];
            share_out(mid, w2 + label * MID, 0, MID, z2, alpha, r_mid, r2 + label * MID);
            for (int j = 0; j < MID; j++)
                share_out(a, w1 + j * IN, (double)b1[j], IN, r_mid[j], alpha, r_in, r1 + j * IN);
        }
        float got1[MID * IN], got2[OUT * MID], *got[3] = {0};
        got[model_graph_param(m->graph, "first.weight")] = got1;
        got[model_graph_param(m->graph, "second.weight")] = got2;
        engine_relevance_rule rule = {.alpha_beta = true, .alpha = alpha};
        if (!engine_relevance(m, m->weights, &batch, &rule, got, NULL, &err)) fail_msg("%s", err.text);
        for (int i = 0; i < MID * IN; i++) assert_true(fabs((double)got1[i] - r1[i]) < 1e-5 * (1 + fabs(r1[i])));
        for (int i = 0; i < OUT * MID; i++) assert_true(fabs((double)got2[i] - r2[i]) < 1e-5 * (1 + fabs(r2[i])));
    }
    nets_batch_free(&batch);
    model_close(m);
}

// Convolutions without biases hand on all that they are given, where there are parts of both signs (27 of them) or only
// the positive ones count: both layers have the label's logit.
static void convolutions_keep_relevance(void **state) {
    (void)state;
    static const struct {
        const char *conv;
        double alpha;
    } cases[] = {{"9 3 3 1 1 1 1 1 1 1 1 3 0", 1}, {"9 3 3 2 1 0 0 0 0 1 1 1 0", 2}};
    for (size_t k = 0; k < 2; k++) {
        base_err err = {0};
        model_graph *g = nets_start(DATA_FEATURES, 3, 3, 9, 9);
        int x = nets_add(g, "conv2d", "first", 0, -1, cases[k].conv, NULL);
        x = nets_add(g, "relu", "act", x, -1, NULL, NULL);
        x = nets_add(g, "global_pool", "pool", x, -1, NULL, NULL);
        x = nets_add(g, "linear", "second", x, -1, "4 0", NULL);
        model *m = nets_create(g, x, MODEL_CLASSIFY, 3);
        data_batch batch = nets_batch(m, COUNT, 1, 8);
        float *got[4] = {0}, out[COUNT * OUT];
        for (int p = 0; p < m->graph->param_count; p++)
            got[p] = calloc((size_t)model_shape_count(&m->graph->params[p].shape), sizeof **got);
        double logits = 0;
        assert_true(engine_forward(m, m->weights, &batch, out, NULL, &err));
        for (int n = 0; n < COUNT; n++) logits += (double)out[n * OUT + batch.labels[n]] / COUNT;
        engine_relevance_rule rule = {.alpha_beta = true, .alpha = cases[k].alpha};
        if (!engine_relevance(m, m->weights, &batch, &rule, got, NULL, &err)) fail_msg("%s", err.text);
        for (int p = 0; p < m->graph->param_count; p++) {
            double sum = 0;
            int64_t n = model_shape_count(&m->graph->params[p].shape);
            for (int64_t i = 0; i < n; i++) sum += (double)got[p][i];
            if (fabs(sum - logits) > 1e-4 * (1 + fabs(logits))) fail_msg("param %d: %g, not %g", p, sum, logits);
            free(got[p]);
        }
        nets_batch_free(&batch);
        model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_have_gradients),     cmocka_unit_test(distance_is_of_channels),
        cmocka_unit_test(relevance_is_the_textbooks), cmocka_unit_test(gates_and_norms_keep_relevance),
        cmocka_unit_test(halves_are_the_textbooks),   cmocka_unit_test(convolutions_keep_relevance)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
