// Curvature against brute force: Gauss-Newton blocks from the definition, Hessian blocks from second differences of the
// gradient, entry by entry, on networks small enough for it; seeds, cancelling and errors.
#include "study/curve.h"
#include "tests/compress/compress_support.h"
#include "tests/engine/nets.h"

// Images 3x12x10 to 5 classes, piecewise linear: convolution, batch norm, relu, residual, pooling, linear.
static model *relu_net(uint64_t seed) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, 12, 10);
    int x = nets_add(g, "conv2d", "stem", 0, -1, "3 3 3 2 2 1 1 1 1 1 1 1 1", NULL);
    x = nets_add(g, "batch_norm", "norm", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "act", x, -1, NULL, NULL);
    int y = nets_add(g, "conv2d", "mid", x, -1, "3 3 3 1 1 1 1 1 1 1 1 3 0", NULL);
    x = nets_add(g, "add", "sum", x, y, NULL, NULL);
    x = nets_add(g, "relu", "act2", x, -1, NULL, NULL);
    x = nets_add(g, "global_pool", "pool", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "5", NULL);
    return nets_create(g, x, MODEL_CLASSIFY, seed);
}

typedef struct setting {
    model *m;
    data_set *set;
    data_view *view;
    study_subject s;
} setting;

static setting open_setting(model *m, bool tokens, int64_t count) {
    base_err err = {0};
    setting k = {.m = m, .set = nets_data(tokens, count, 5)};
    k.view = data_view_part(k.set, DATA_TEST, &err);
    assert_non_null(k.view);
    k.s = (study_subject){.m = m, .calib = k.view, .seed = 3};
    return k;
}

static void close_setting(setting *k) {
    data_view_free(k->view);
    data_close(k->set);
    model_close(k->m);
}

// Arguments "method=hutchinson probes=300".
static study_table measure_with(const study_subject *s, const char *name, const char *text) {
    const study_metric *metric = study_metric_find(name);
    base_value v[16];
    base_err err = {0};
    char copy[256], *save = NULL;
    study_table t;
    assert_non_null(metric);
    base_arg_defaults(metric->args, metric->arg_count, v);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '='), *end;
        *value++ = 0;
        double number = strtod(value, &end);
        if (!(*end ? base_arg_set_text(name, metric->args, metric->arg_count, v, word, value, &err)
                   : base_arg_set_number(name, metric->args, metric->arg_count, v, word, number, &err)))
            fail_msg("%s", err.text);
    }
    if (!study_sensitivity(s, metric, v, &t, NULL, &err)) fail_msg("%s", err.text);
    return t;
}

// The gradient of the mean loss in layer l's weights at w, summed in double over single samples.
static void gradient(const setting *k, const model_layer *l, const float **w, double *g) {
    float **grad = base_calloc((size_t)k->m->graph->param_count + 1, sizeof *grad);
    grad[l->weight] = base_calloc((size_t)l->weights, sizeof **grad);
    double loss, targets = 0;
    base_err err = {0};
    data_batch b = {0};
    memset(g, 0, (size_t)l->weights * sizeof *g);
    for (int64_t i = 0; i < k->view->count; i++) {
        assert_true(data_fetch(k->view, i, 1, &b, &err));
        assert_true(engine_backward(k->m, w, &b, false, grad, NULL, &loss, NULL, &err));
        double own = 0;
        for (int64_t j = 0; j < (b.kind == DATA_TOKENS ? b.length : 1); j++) own += b.labels[j] >= 0;
        for (int64_t j = 0; j < l->weights; j++) g[j] += own * (double)grad[l->weight][j];
        targets += own;
    }
    for (int64_t j = 0; j < l->weights; j++) g[j] /= targets;
    data_batch_free(&b);
    free(grad[l->weight]);
    free(grad);
}

// The whole Hessian block [n x n], column by column, symmetrised.
static double *brute_hessian(const setting *k, const model_layer *l, double move) {
    int64_t n = l->weights;
    double *h = base_calloc((size_t)(n * n), sizeof *h), *up = base_calloc((size_t)(2 * n), sizeof *up), *down = up + n;
    const float **w = base_calloc((size_t)k->m->weight_count, sizeof *w);
    float *own = base_calloc((size_t)n, sizeof *own);
    for (int p = 0; p < k->m->weight_count; p++) w[p] = k->m->weights[p];
    w[l->weight] = own;
    memcpy(own, k->m->weights[l->weight], (size_t)n * sizeof *own);
    for (int64_t i = 0; i < n; i++) {
        float at = own[i];
        own[i] = (float)((double)at + move);
        double span = (double)own[i];
        gradient(k, l, w, up);
        own[i] = (float)((double)at - move);
        span -= (double)own[i];
        gradient(k, l, w, down);
        own[i] = at;
        for (int64_t j = 0; j < n; j++) {
            h[i * n + j] += 0.5 * (up[j] - down[j]) / span;
            h[j * n + i] += 0.5 * (up[j] - down[j]) / span;
        }
    }
    free(w);
    free(own);
    free(up);
    return h;
}

// From the definition: every sample against every class, weighed by what the network says.
static double *brute_gauss_newton(const setting *k, const model_layer *l) {
    int64_t n = l->weights, classes = model_graph_shape(k->m->graph, k->m->graph->output)->dim[1];
    double *h = base_calloc((size_t)(n * n), sizeof *h), loss;
    float **grad = base_calloc((size_t)k->m->graph->param_count + 1, sizeof *grad), out[16];
    float *g = grad[l->weight] = base_calloc((size_t)n, sizeof **grad);
    base_err err = {0};
    data_batch b = {0};
    for (int64_t s = 0; s < k->view->count; s++) {
        assert_true(data_fetch(k->view, s, 1, &b, &err));
        assert_true(engine_forward(k->m, k->m->weights, &b, out, NULL, &err));
        double sum = 0;
        for (int64_t c = 0; c < classes; c++) sum += exp((double)out[c]);
        for (int64_t c = 0; c < classes; c++) {
            double p = exp((double)out[c]) / sum / (double)k->view->count;
            b.labels[0] = (int32_t)c;
            assert_true(engine_backward(k->m, k->m->weights, &b, false, grad, NULL, &loss, NULL, &err));
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++) h[i * n + j] += p * (double)g[i] * (double)g[j];
        }
    }
    data_batch_free(&b);
    free(g);
    free(grad);
    return h;
}

static double trace_of(const double *h, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += h[i * n + i];
    return sum;
}

// The eigenvalue largest in absolute value; destroys h.
static double top_of(double *h, int64_t n) {
    double *w = base_calloc((size_t)n, sizeof *w);
    base_err err = {0};
    assert_true(num_deigh(n, h, w, NULL, &err));
    double top = fabs(w[0]) > fabs(w[n - 1]) ? w[0] : w[n - 1];
    free(w);
    return top;
}

static bool near(double x, double want, double relative) {
    if (fabs(x - want) <= relative * fabs(want)) return true;
    print_message("%.9g, expected %.9g\n", x, want);
    return false;
}

static void exact_is_the_definition(void **state) {
    (void)state;
    setting k = open_setting(relu_net(3), false, 21);
    study_table total = measure_with(&k.s, "hessian_trace", "method=gauss_newton figure=total drop=0");
    study_table mean = measure_with(&k.s, "hessian_trace", "drop=0"); // auto: the same, as averages
    study_table top = measure_with(&k.s, "top_eigenvalue", "drop=0 tolerance=1e-9");
    for (int r = 0; r < total.rows; r++) {
        const model_layer *l = &k.m->layers[r];
        double *gn = brute_gauss_newton(&k, l);
        assert_true(near(total.value[r], trace_of(gn, l->weights), 1e-5));
        assert_true(near(mean.value[r] * (double)l->weights, total.value[r], 1e-12) && isnan(total.error[r]));
        assert_true(near(top.value[r], top_of(gn, l->weights), 1e-5));
        free(gn);
    }
    study_table_free(&total);
    study_table_free(&mean);
    study_table_free(&top);
    close_setting(&k);
}

// With two samples few moves of one weight take a unit across its kink: columns without one are the Hessian's.
static void gauss_newton_is_the_hessian(void **state) {
    (void)state;
    setting k = open_setting(relu_net(3), false, 2);
    for (int r = 0; r < k.m->layer_count; r++) {
        const model_layer *l = &k.m->layers[r];
        double *gn = brute_gauss_newton(&k, l), *h = brute_hessian(&k, l, 2e-4);
        double mean = trace_of(gn, l->weights) / (double)l->weights;
        int64_t same = 0;
        for (int64_t i = 0; i < l->weights * l->weights; i++) same += fabs(gn[i] - h[i]) <= 0.02 * mean;
        print_message("%s: %.1f %% of the entries equal\n", l->name,
                      100 * (double)same / (double)(l->weights * l->weights));
        assert_true((double)same >= 0.8 * (double)(l->weights * l->weights));
        free(gn);
        free(h);
    }
    close_setting(&k);
}

// Smooth networks, a language model among them: differences find the Hessian itself.
static void differences_are_the_hessian(void **state) {
    (void)state;
    for (int tokens = 0; tokens < 2; tokens++) {
        setting k = open_setting(tokens ? nets_language(3) : nets_images(3), tokens, 9);
        int row = model_find_layer(k.m, tokens ? "down" : "head");
        const model_layer *l = &k.m->layers[row];
        k.s.layers = &row;
        k.s.layer_count = 1;
        double *h = brute_hessian(&k, l, 2e-3), trace = trace_of(h, l->weights), top = top_of(h, l->weights);
        study_table t = measure_with(&k.s, "hessian_trace", "method=hutchinson figure=total probes=40 tolerance=0");
        study_table e = measure_with(&k.s, "top_eigenvalue", "method=difference step=0.01");
        print_message("trace %.5g, found %.5g +- %.2g; top %.5g, found %.5g\n", trace, t.value[0], t.error[0], top,
                      e.value[0]);
        assert_true(t.rows == 1 && t.error[0] > 0 && fabs(t.value[0] - trace) <= 4 * t.error[0]);
        assert_true(near(e.value[0], top, 5e-3));
        free(h);
        study_table_free(&t);
        study_table_free(&e);
        close_setting(&k);
    }
}

// Drawn classes have the exact sum as their mean; a language model's is drawn too.
static void samples_are_unbiased(void **state) {
    (void)state;
    setting k = open_setting(relu_net(3), false, 21);
    study_table exact = measure_with(&k.s, "hessian_trace", "drop=0");
    study_table drawn = measure_with(&k.s, "hessian_trace", "method=sampled probes=150 tolerance=0");
    for (int r = 0; r < exact.rows; r++) {
        assert_true(drawn.error[r] > 0 && drawn.error[r] < 0.2 * drawn.value[r]);
        assert_true(fabs(drawn.value[r] - exact.value[r]) <= 4 * drawn.error[r]);
    }
    study_table_free(&exact);
    study_table_free(&drawn);
    close_setting(&k);
    k = open_setting(nets_language(3), true, 9);
    drawn = measure_with(&k.s, "hessian_trace", "method=sampled probes=8");
    for (int r = 0; r < drawn.rows; r++) assert_true(drawn.value[r] > 0 && drawn.error[r] > 0);
    study_table_free(&drawn);
    close_setting(&k);
}

// Every subset's own eigenvalue, from a view of those samples.
static void spread_is_over_subsets(void **state) {
    (void)state;
    setting k = open_setting(relu_net(4), false, 10);
    study_table t = measure_with(&k.s, "eigenvalue_spread", "subsets=3 drop=0 tolerance=1e-9");
    double top[3][8];
    for (int part = 0; part < 3; part++) {
        data_view *view = data_view_copy(k.view);
        view->count = 0;
        for (int64_t i = part; i < 10; i += 3) view->index[view->count++] = k.view->index[i];
        study_subject s = k.s;
        s.calib = view;
        study_table e = measure_with(&s, "top_eigenvalue", "drop=0 tolerance=1e-9");
        for (int r = 0; r < e.rows; r++) top[part][r] = e.value[r];
        study_table_free(&e);
        data_view_free(view);
    }
    for (int r = 0; r < t.rows; r++) {
        double mean = (top[0][r] + top[1][r] + top[2][r]) / 3, squares = 0;
        for (int part = 0; part < 3; part++) squares += (top[part][r] - mean) * (top[part][r] - mean);
        assert_true(near(t.value[r], mean + sqrt(squares / 2), 1e-5));
        assert_true(near(t.error[r], sqrt(squares / 2 / 3), 1e-3));
    }
    study_table_free(&t);
    close_setting(&k);
}

static void noise_is_trace_times_change(void **state) {
    (void)state;
    setting k = open_setting(relu_net(3), false, 12);
    compress_step steps[2] = {make_step("quantize bits=2"), make_step("quantize bits=4")};
    study_option options[2] = {{"2 bit", &steps[0], 1}, {"4 bit", &steps[1], 1}};
    k.s.options = options;
    k.s.option_count = 2;
    study_table noise = measure_with(&k.s, "trace_noise", ""), trace = measure_with(&k.s, "hessian_trace", "");
    study_table error = measure_with(&k.s, "weight_error", "");
    for (int r = 0; r < noise.rows; r++)
        for (int o = 0; o < 2; o++) {
            const model_layer *l = &k.m->layers[r];
            double change = error.value[r * 2 + o] * num_sum_squares(k.m->weights[l->weight], (size_t)l->weights);
            assert_true(near(noise.value[r * 2 + o], trace.value[r] * change, 1e-5) && noise.bytes[r * 2 + o] > 0);
        }
    study_table_free(&noise);
    study_table_free(&trace);
    study_table_free(&error);
    close_setting(&k);
}

// The same numbers at any thread count and memory; others with another seed where there is chance.
static void seeds_decide(void **state) {
    (void)state;
    static const char *const calls[][2] = {{"hessian_trace", "method=hutchinson probes=9"},
                                           {"hessian_trace", "method=sampled probes=9"},
                                           {"hessian_trace", "method=gauss_newton"},
                                           {"top_eigenvalue", "method=gauss_newton"}};
    setting k = open_setting(relu_net(3), false, 12);
    for (int i = 0; i < 4; i++) {
        k.s.seed = 3;
        num_set_threads(1);
        study_table a = measure_with(&k.s, calls[i][0], calls[i][1]);
        num_set_threads(3);
        study_table b = measure_with(&k.s, calls[i][0], calls[i][1]);
        k.s.seed = 4;
        study_table c = measure_with(&k.s, calls[i][0], calls[i][1]);
        for (int r = 0; r < a.rows; r++) {
            assert_true(a.value[r] == b.value[r]);
            if (i < 2) assert_true(a.value[r] != c.value[r]);
        }
        // A layer alone has the figure it has among others, where nothing is drawn.
        int last = a.rows - 1;
        study_subject one = k.s;
        one.seed = 3;
        one.layers = &last;
        one.layer_count = 1;
        study_table d = measure_with(&one, calls[i][0], calls[i][1]);
        if (i >= 2) assert_true(d.value[0] == a.value[last]);
        study_table_free(&a);
        study_table_free(&b);
        study_table_free(&c);
        study_table_free(&d);
    }
    num_set_threads(1);
    close_setting(&k);
}

static void refuses_and_stops(void **state) {
    (void)state;
    base_err err = {0};
    study_table t;
    base_value v[16];
    base_job job = {0};
    setting k = open_setting(relu_net(3), false, 12);
    const study_metric *top = study_metric_find("top_eigenvalue"), *trace = study_metric_find("hessian_trace");
    base_arg_defaults(top->args, top->arg_count, v);
    v[5].number = 1e-6; // memory
    assert_false(study_sensitivity(&k.s, top, v, &t, NULL, &err));
    assert_non_null(strstr(err.text, "memory"));
    const study_metric *spread = study_metric_find("eigenvalue_spread");
    base_arg_defaults(spread->args, spread->arg_count, v);
    v[6].number = 13; // subsets
    assert_false(study_sensitivity(&k.s, spread, v, &t, NULL, &err));
    assert_non_null(strstr(err.text, "subsets"));
    atomic_store(&job.cancel, 1);
    static const char *const methods[] = {"gauss_newton", "hutchinson", "sampled"};
    for (int i = 0; i < 3; i++) {
        base_err stop = {0};
        base_arg_defaults(trace->args, trace->arg_count, v);
        assert_true(base_arg_set_text("x", trace->args, trace->arg_count, v, "method", methods[i], &err));
        assert_false(study_sensitivity(&k.s, trace, v, &t, &job, &stop));
        assert_int_equal(stop.status, BASE_CANCELLED);
    }
    close_setting(&k);
    k = open_setting(nets_language(3), true, 5);
    base_arg_defaults(trace->args, trace->arg_count, v);
    assert_true(base_arg_set_text("x", trace->args, trace->arg_count, v, "method", "gauss_newton", &err));
    assert_false(study_sensitivity(&k.s, trace, v, &t, NULL, &err));
    assert_non_null(strstr(err.text, "classifies"));
    close_setting(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact_is_the_definition),
                                       cmocka_unit_test(gauss_newton_is_the_hessian),
                                       cmocka_unit_test(differences_are_the_hessian),
                                       cmocka_unit_test(samples_are_unbiased),
                                       cmocka_unit_test(spread_is_over_subsets),
                                       cmocka_unit_test(noise_is_trace_times_change),
                                       cmocka_unit_test(seeds_decide),
                                       cmocka_unit_test(refuses_and_stops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
