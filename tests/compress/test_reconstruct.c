// Codes learned on the outputs of blocks: errors fall and never rise, codes stay beside the weight, the file holds
// them, threads change nothing, and what cannot take part is said.
#include "tests/compress/compress_support.h"
#include "tests/engine/nets.h"

#include "script/script.h"

static compress_result *compressed(const model *m, const char *text) {
    compress_step step = make_step(text);
    compress_rule rule = {(char[]){".*"}, &step, 1};
    compress_plan plan = {.rules = &rule, .rule_count = 1, .about = "test"};
    base_err err = {0};
    compress_result *r;
    if (!compress_run(m, &plan, NULL, &r, &err)) fail_msg("%s", err.text);
    return r;
}

enum { MOST_ARGS = 16 };
static void options(base_value *values, double iterations, double window) {
    base_err err = {0};
    base_arg_defaults(compress_reconstruct_args, compress_reconstruct_arg_count, values);
    assert_true(base_arg_set_number("reconstruct", compress_reconstruct_args, compress_reconstruct_arg_count, values,
                                    "iterations", iterations, &err));
    assert_true(base_arg_set_number("reconstruct", compress_reconstruct_args, compress_reconstruct_arg_count, values,
                                    "window", window, &err));
}

// Squared error of the network's outputs.
static double distance(const model *m, const compress_result *r, const data_view *v) {
    base_err err = {0};
    data_batch b = {0};
    assert_true(data_fetch(v, 0, v->count, &b, &err));
    int64_t width = m->graph->input_kind == DATA_TOKENS ? b.length : 1;
    for (int d = m->graph->input_kind == DATA_TOKENS ? 2 : 1; d < m->graph->shapes[m->graph->output].ndim; d++)
        width *= m->graph->shapes[m->graph->output].dim[d];
    size_t n = (size_t)(v->count * width);
    float *own = base_calloc(n, sizeof *own), *now = base_calloc(n, sizeof *now);
    assert_true(engine_forward(m, m->weights, &b, own, NULL, &err));
    assert_true(engine_forward(m, compress_weights(r), &b, now, NULL, &err));
    double sum = 0;
    for (int64_t i = 0; i < v->count; i++) {
        int64_t valid = b.lengths ? width / b.length * b.lengths[i] : width;
        sum += num_diff_squares(own + i * width, now + i * width, (size_t)valid);
    }
    free(own);
    free(now);
    data_batch_free(&b);
    return sum;
}

static void check_net(model *m, data_set *set, const char *step, double most, int window) {
    base_err err = {0};
    data_view *v = data_view_part(set, DATA_TEST, &err);
    base_value values[MOST_ARGS] = {0};
    options(values, 150, window);
    compress_result *r = compressed(m, step), *other = compressed(m, step);
    double before = distance(m, r, v);
    float **former = base_calloc((size_t)m->layer_count, sizeof *former);
    for (int i = 0; i < m->layer_count; i++) {
        size_t n = (size_t)(m->layers[i].out * m->layers[i].in) * sizeof(float);
        former[i] = malloc(n);
        memcpy(former[i], compress_weights(r)[m->layers[i].weight], n);
    }
    int changed = 0, again = 0;
    if (!compress_reconstruct(r, v, values, &changed, NULL, &err)) fail_msg("%s", err.text);
    double after = distance(m, r, v);
    print_message("%s, window %d: %d better, error of the outputs %.5g -> %.5g\n", step, window, changed, before,
                  after);
    assert_true(changed > 0 && after < most * before);
    // A code moved by one at most, towards the weight or to its other side (asymmetric ranges end up to half a step
    // before their largest weight).
    int moved = 0;
    for (int i = 0; i < m->layer_count; i++) {
        const float *now = compress_weights(r)[m->layers[i].weight], *w = m->weights[m->layers[i].weight];
        float low = 0, high = 0;
        for (int64_t k = 0; k < m->layers[i].out * m->layers[i].in; k++) {
            low = fminf(low, former[i][k]);
            high = fmaxf(high, former[i][k]);
        }
        for (int64_t k = 0; k < m->layers[i].out * m->layers[i].in; k++) {
            if (now[k] == former[i][k] || w[k] < low || w[k] > high)
                continue; // beyond the grid both codes are on one side
            moved++;
            float step_size = fabsf(now[k] - former[i][k]);
            assert_true(fabsf(now[k] - w[k]) <= 1.51f * step_size + 1e-6f ||
                        fabsf(now[k] - w[k]) <= fabsf(former[i][k] - w[k]) + 1e-6f);
        }
        free(former[i]);
    }
    free(former);
    assert_true(moved > 0);
    num_set_threads(1);
    if (!compress_reconstruct(other, v, values, &again, NULL, &err)) fail_msg("%s", err.text);
    num_set_threads(0);
    const char *one = support_temp_path("one.safetensors"), *two = support_temp_path("two.safetensors");
    compress_saved saved[2];
    assert_true(compress_save(r, one, NULL, &saved[0], &err) && compress_save(other, two, NULL, &saved[1], &err));
    assert_int_equal(changed, again);
    assert_string_equal(saved[0].hash, saved[1].hash);
    model_tensors *t = model_tensors_open(one, &err);
    if (!t || !compress_unpack(t, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < m->layer_count; i++) {
        const model_tensor *w = model_tensors_find(t, m->graph->params[m->layers[i].weight].name);
        if (w && w->t.dtype == NUM_F32 && !m->graph->params[m->layers[i].weight].transposed)
            assert_memory_equal(w->t.data, compress_weights(r)[m->layers[i].weight],
                                (size_t)(m->layers[i].out * m->layers[i].in) * sizeof(float));
    }
    model_tensors_close(t);
    compress_result_free(r);
    compress_result_free(other);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

static void images(void **state) {
    (void)state;
    check_net(nets_images(3), nets_data(false, 24, 5), "quantize bits=3", 0.6, 1);
    check_net(nets_images(3), nets_data(false, 24, 5), "quantize bits=3 sym=0 group=8", 0.7, 2);
    check_net(nets_images(4), nets_data(false, 24, 5), "quantize bits=2 granularity=tensor range=mse", 0.8, 3);
}

static void sequences(void **state) {
    (void)state;
    check_net(nets_language(3), nets_data(true, 24, 5), "quantize bits=3", 0.9, 1);
}

static void expect(const char *step, const data_view *v, model *m, const char *want) {
    base_err err = {0};
    base_value values[MOST_ARGS] = {0};
    options(values, 2, 1);
    compress_result *r = compressed(m, step);
    int changed;
    assert_false(compress_reconstruct(r, v, values, &changed, NULL, &err));
    if (!strstr(err.text, want)) fail_msg("wanted '%s', got: %s", want, err.text);
    compress_result_free(r);
}

static void refusals(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_images(3);
    data_set *set = nets_data(false, 24, 5);
    data_view *v = data_view_part(set, DATA_TEST, &err), *one = data_view_range(v, 0, 1, &err);
    expect("quantize bits=3", NULL, m, "no samples");
    expect("quantize dtype=nf4", v, m, "no layer has a single term of integer codes");
    expect("keep dtype=f16", v, m, "no layer has a single term of integer codes");
    // One sample is enough; a stopped job leaves the codes as they were.
    base_value values[MOST_ARGS] = {0};
    options(values, 5, 1);
    compress_result *r = compressed(m, "quantize bits=3");
    int changed;
    if (!compress_reconstruct(r, one, values, &changed, NULL, &err)) fail_msg("%s", err.text);
    compress_result_free(r);
    r = compressed(m, "quantize bits=3");
    double before = distance(m, r, v);
    base_job job = {.cancel = 1};
    assert_false(compress_reconstruct(r, v, values, &changed, &job, &err));
    assert_true(distance(m, r, v) == before);
    compress_result_free(r);
    data_view_free(one);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(images), cmocka_unit_test(sequences),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
