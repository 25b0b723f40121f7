// Training: a small network learns the shipped digits; the same seed gives the same bytes at any thread count; a
// cancelled run keeps the best weights so far; optimizers and the schedule against plain formulas.
#include "engine/train.h"
#include "tests/engine/nets.h"

static data_set *digits(void) {
    base_err err = {0};
    data_spec *spec = data_spec_new();
    spec->name = base_strdup("digits");
    spec->folder = base_sprintf("%s/data/digits", support_tree());
    spec->sources = base_calloc(1, sizeof *spec->sources);
    spec->source_count = 1;
    spec->sources[0] = (data_source){.path = base_strdup("digits.csv"), .part = DATA_ALL};
    spec->ndim = 3;
    spec->dim[0] = 1, spec->dim[1] = 8, spec->dim[2] = 8;
    spec->scale = 1.0 / 16;
    spec->header = 0;
    spec->seed = 1;
    data_set *set = data_open(spec, NULL, &err);
    if (!set) fail_msg("%s", err.text);
    data_spec_free(spec);
    return set;
}

static model *small_cnn(uint64_t seed) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 1, 8, 8);
    int x = nets_add(g, "conv2d", "conv", 0, -1, "24 3 3 1 1 1 1 1 1 1 1 1 0", NULL);
    x = nets_add(g, "batch_norm", "norm", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "relu", x, -1, NULL, NULL);
    x = nets_add(g, "max_pool", "pool", x, -1, NULL, NULL);
    x = nets_add(g, "reshape", "flat", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "10", NULL);
    return nets_create(g, x, MODEL_CLASSIFY, seed);
}

static engine_train_options options_of(const char *optimizer, double rate, int64_t epochs) {
    base_value values[32];
    engine_train_options o;
    base_arg_defaults(engine_train_args, engine_train_arg_count, values);
    engine_train_options_set(&o, values);
    assert_string_equal(o.optimizer, "adamw");
    assert_true(o.beta2 == 0.999 && o.batch == 32 && o.epochs == 10);
    snprintf(o.optimizer, sizeof o.optimizer, "%s", optimizer);
    o.rate = rate;
    o.epochs = epochs;
    return o;
}

static double top1(const model *m, const data_view *v) {
    base_model_row row = {0};
    base_err err = {0};
    if (!engine_measure(m, m->weights, NULL, v, &row, NULL, &err)) fail_msg("%s", err.text);
    return row.value;
}

static void all_weights(const model *m, char hash[33]) {
    base_hash *h = base_hash_new();
    for (int p = 0; p < m->graph->param_count; p++)
        base_hash_add(h, m->weights[p], (size_t)model_shape_count(&m->graph->params[p].shape) * sizeof(float));
    base_hash_end(h, hash);
}

static void test_learns(void **state) {
    (void)state;
    static const struct {
        const char *optimizer;
        double rate;
    } ways[] = {{"adamw", 3e-3}, {"sgd", 0.05}};
    base_err err = {0};
    data_set *set = digits();
    data_view *train = data_view_part(set, DATA_CALIB, &err), *check = data_view_part(set, DATA_SELECT, &err);
    data_view *test = data_view_part(set, DATA_TEST, &err);
    for (int k = 0; k < 2; k++) {
        char hash[2][33];
        for (int again = 0; again < 2; again++) {
            num_set_threads(again ? 3 : 1);
            model *m = small_cnn(5);
            engine_train_options o = options_of(ways[k].optimizer, ways[k].rate, 12);
            o.shift = 1;
            o.noise = 0.05;
            o.weight_decay = 1e-4;
            o.label_smoothing = 0.05;
            o.clip = 5;
            if (!engine_train(m, train, check, &o, NULL, &err)) fail_msg("%s", err.text);
            double got = top1(m, test);
            if (got < 92) fail_msg("%s: top-1 %g", ways[k].optimizer, got);
            all_weights(m, hash[again]);
            model_close(m);
        }
        num_set_threads(1);
        assert_string_equal(hash[0], hash[1]);
    }
    data_view_free(train);
    data_view_free(check);
    data_view_free(test);
    data_close(set);
}

// Stops the job at a given step and remembers what was measured best.
typedef struct stopper {
    base_job *job;
    int64_t step, seen;
    double loss; // of the best check so far
    double when;
} stopper;

static void listen(void *context, const base_event *e) {
    stopper *s = context;
    if (e->kind == BASE_EV_TRAIN) s->seen = e->index;
    if (e->kind == BASE_EV_LOG && strstr(e->text, "best so far"))
        assert_int_equal(sscanf(strstr(e->text, "loss "), "loss %lf", &s->loss), 1);
}

static bool stop_at(void *context, data_batch *batch, int64_t step, base_err *err) {
    (void)batch, (void)err;
    stopper *s = context;
    if (step == s->step) {
        s->when = base_now();
        atomic_store(&s->job->cancel, 1);
    }
    return true;
}

static void test_cancel_keeps_best(void **state) {
    (void)state;
    base_err err = {0};
    data_set *set = digits();
    data_view *train = data_view_part(set, DATA_CALIB, &err), *check = data_view_part(set, DATA_SELECT, &err);
    model *m = small_cnn(5);
    engine_train_options o = options_of("adamw", 3e-3, 50);
    base_job job = {.emit = listen, .start = base_now()};
    stopper s = {.job = &job, .step = 95}; // in the third epoch of 39 steps
    job.context = &s;
    o.augment = stop_at;
    o.augment_context = &s;
    assert_false(engine_train(m, train, check, &o, &job, &err));
    assert_true(base_now() - s.when < 0.2);
    assert_int_equal(err.status, BASE_CANCELLED);
    base_model_row row = {0};
    assert_true(engine_measure(m, m->weights, NULL, check, &row, NULL, &err));
    assert_true(fabs(row.loss - s.loss) < 1e-4 && row.value > 60);
    model_close(m);
    data_view_free(train);
    data_view_free(check);
    data_close(set);
}

static void test_language_learns(void **state) {
    (void)state;
    base_err err = {0};
    data_set *set = nets_data(true, 64, 3);
    data_view *v = data_view_part(set, DATA_TEST, &err);
    model *m = nets_language(5);
    base_model_row before = {0}, after = {0};
    engine_train_options o = options_of("adamw", 1e-2, 1);
    o.steps = 150;
    o.batch = 64;
    assert_true(engine_measure(m, m->weights, NULL, v, &before, NULL, &err));
    if (!engine_train(m, v, NULL, &o, NULL, &err)) fail_msg("%s", err.text);
    assert_true(engine_measure(m, m->weights, NULL, v, &after, NULL, &err));
    assert_true(after.loss < before.loss - 0.7); // made-up sequences can only be learnt by heart
    model_close(m);
    data_view_free(v);
    data_close(set);
}

static void test_updates(void **state) {
    (void)state;
    base_err err = {0};
    float grad[3] = {0.5f, -2, 0}, w[3] = {1, 2, 3}, a[3] = {0}, b[3] = {0};
    float *states[2] = {a, b};
    train_update u = {.rate = 0.1,
                      .momentum = 0.9,
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .epsilon = 1e-8,
                      .decay = 0.5,
                      .step = 1,
                      .scale = 0.5f};
    train_optimizer_find("sgd", &err)->update(&u, 3, grad, w, states);
    assert_true(fabs((double)w[0] - (1 - 0.1 * (0.25 + 0.5))) < 1e-6);
    assert_true(fabs((double)w[2] - (3 - 0.1 * 1.5)) < 1e-6);
    float w2[3] = {1, 2, 3};
    memset(a, 0, sizeof a);
    // Adam's first step has the size of the rate whatever the gradient; decay stands beside it.
    train_optimizer_find("adamw", &err)->update(&u, 3, grad, w2, states);
    assert_true(fabs((double)w2[0] - (0.95 - 0.1)) < 1e-5);
    assert_true(fabs((double)w2[1] - (1.9 + 0.1)) < 1e-5);
    assert_true(fabs((double)w2[2] - 2.85) < 1e-5);
    assert_null(train_optimizer_find("adam", &err));
    engine_train_options o = {.rate = 2, .warmup = 0.1, .final_rate = 0.25};
    assert_true(fabs(train_rate(&o, 0, 100) - 0.2) < 1e-12 && fabs(train_rate(&o, 9, 100) - 2) < 1e-12);
    assert_true(fabs(train_rate(&o, 55, 100) - 1.25) < 1e-12);
    assert_true(train_rate(&o, 99, 100) > 0.5 && train_rate(&o, 99, 100) < 0.51);
}

static void test_refusals(void **state) {
    (void)state;
    base_err err = {0};
    data_set *set = nets_data(true, 8, 3), *images = nets_data(false, 8, 3);
    data_view *v = data_view_part(set, DATA_TEST, &err), *vi = data_view_part(images, DATA_TEST, &err);
    model *m = nets_images(1);
    engine_train_options o = options_of("adamw", 1e-2, 1);
    assert_false(engine_train(m, v, NULL, &o, NULL, &err));
    assert_non_null(strstr(err.text, "holds sequences of tokens"));
    o.rate = 1e30;
    snprintf(o.optimizer, sizeof o.optimizer, "sgd");
    o.epochs = 20;
    assert_false(engine_train(m, vi, NULL, &o, NULL, &err));
    assert_non_null(strstr(err.text, "training step"));
    assert_non_null(strstr(err.text, "not finite"));
    model_close(m);
    data_view_free(v);
    data_view_free(vi);
    data_close(set);
    data_close(images);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),          cmocka_unit_test(test_cancel_keeps_best),
        cmocka_unit_test(test_language_learns), cmocka_unit_test(test_updates),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
