// Scores from ways back through the network, and divergence on samples made up from it.
#include "tests/study/study_support.h"

// Noise on the input of the head, whose gradient has a closed form.
static void taylor_is_a_change_of_loss(void **state) {
    (void)state;
    bench b;
    bench_open(&b, false);
    int r = model_find_layer(b.m, "head");
    const model_layer *l = &b.m->layers[r];
    study_table t = run_metric(&b.s, "taylor", "samples=6");
    base_err err = {0};
    data_batch batch = {0};
    double want = 0;
    for (int n = 0; n < 6; n++) {
        data_view *one = data_view_range(b.calib, n, 1, &err);
        assert_true(one && data_fetch(one, 0, 1, &batch, &err));
        engine_stream *s = engine_stream_open(b.m, b.m->weights, one, &err);
        assert_true(engine_stream_advance(s, l->node, NULL, &err));
        size_t count;
        const float *x = engine_stream_value(s, b.m->graph->nodes[l->node].in[0], &count), *w = b.m->weights[l->weight];
        float logits[5];
        assert_true(count == 12 && engine_forward(b.m, b.m->weights, &batch, logits, NULL, &err));
        double sum = 0, square = 0;
        for (int c = 0; c < 5; c++) sum += exp((double)logits[c]);
        for (int i = 0; i < 12; i++) {
            double slope = 0; // softmax minus one-hot, through the weights
            for (int c = 0; c < 5; c++)
                slope += (exp((double)logits[c]) / sum - (c == batch.labels[0])) * (double)w[c * 12 + i];
            square += pow((double)x[i] * slope, 2);
        }
        want += sqrt(square) / 6;
        engine_stream_close(s);
        data_view_free(one);
    }
    near(t.value[r], want, 1e-5);
    for (int i = 0; i < t.rows; i++) assert_true(t.value[i] > 0 && t.error[i] > 0);
    data_batch_free(&batch);
    study_table_free(&t);
    repeats(&b.s, "taylor", "samples=5");
    bench_close(&b);
    bench_open(&b, true);
    t = run_metric(&b.s, "taylor", "");
    assert_true(isnan(t.value[model_find_layer(b.m, "embed")]) && t.value[model_find_layer(b.m, "down")] > 0);
    study_table_free(&t);
    bench_close(&b);
}

static void relevance_is_summed(void **state) {
    (void)state;
    for (int tokens = 0; tokens < 2; tokens++) {
        bench b;
        bench_open(&b, tokens);
        study_table t = run_metric(&b.s, "relevance", "samples=4 epsilon=0.05");
        base_err err = {0};
        for (int r = 0; r < t.rows; r++) {
            const model_layer *l = &b.m->layers[r];
            double *sum = calloc((size_t)l->weights, sizeof *sum), total = 0;
            float *one = calloc((size_t)l->weights, sizeof *one), *all[64] = {0};
            data_batch batch = {0};
            all[l->weight] = one;
            for (int n = 0; n < 4; n++) {
                assert_true(data_fetch(b.calib, n, 1, &batch, &err));
                assert_true(engine_relevance(b.m, b.m->weights, &batch, &(engine_relevance_rule){.epsilon = 0.05}, all,
                                             NULL, &err));
                for (int64_t i = 0; i < l->weights; i++) sum[i] += (double)one[i] / 4;
            }
            for (int64_t i = 0; i < l->weights; i++) total += fabs(sum[i]);
            near(t.value[r], total, 1e-9);
            data_batch_free(&batch);
            free(sum);
            free(one);
        }
        study_table_free(&t);
        repeats(&b.s, "relevance", "samples=3");
        bench_close(&b);
    }
}

static double distance_of_noise(const bench *b) {
    base_err err = {0};
    data_batch batch = {.kind = DATA_FEATURES, .count = 8};
    num_rng rng = num_rng_seed(b->s.seed, 2001);
    float x[8 * 360];
    for (int i = 0; i < 8 * 360; i++) x[i] = (float)num_rng_normal(&rng);
    batch.x = x;
    double distance;
    assert_true(engine_norm_distance(b->m, b->m->weights, &batch, NULL, &distance, NULL, &err));
    return distance;
}

static double told[2];
static void listen(void *context, const base_event *event) {
    (void)context;
    const char *from = event->kind == BASE_EV_LOG ? strstr(event->text, "fell from") : NULL;
    if (from) assert_true(sscanf(from, "fell from %lf to %lf", &told[0], &told[1]) == 2);
}

static void made_up_samples_tell_layers_apart(void **state) {
    (void)state;
    bench b;
    bench_open(&b, false);
    const study_metric *k = study_metric_find("distilled");
    base_value v[8];
    base_err err = {0};
    base_arg_defaults(k->args, k->arg_count, v);
    assert_true(base_arg_set_number("t", k->args, k->arg_count, v, "samples", 8, &err));
    study_subject s = b.s;
    s.calib = s.select = NULL; // no data at all
    study_table t;
    base_job job = {.emit = listen};
    if (!study_sensitivity(&s, k, v, &t, &job, &err)) fail_msg("%s", err.text);
    near(told[0], distance_of_noise(&b), 1e-3);
    assert_true(told[1] < 0.2 * told[0]);
    for (int i = 0; i < t.rows * 2; i++) assert_true(t.value[i] > 0 && t.error[i] >= 0);
    study_table_free(&t);
    // Plain noise (steps = 0): the divergence taken by hand.
    t = run_metric(&s, "distilled", "samples=8 steps=0");
    data_batch batch = {.kind = DATA_FEATURES, .count = 8};
    num_rng rng = num_rng_seed(b.s.seed, 2001);
    float x[8 * 360], p[40], q[40];
    for (int i = 0; i < 8 * 360; i++) x[i] = (float)num_rng_normal(&rng);
    batch.x = x;
    const float *w[64];
    for (int i = 0; i < b.m->weight_count; i++) w[i] = b.m->weights[i];
    float *head = made(&b, model_find_layer(b.m, "head"), 0);
    assert_true(engine_forward(b.m, w, &batch, p, NULL, &err));
    w[b.m->layers[model_find_layer(b.m, "head")].weight] = head;
    assert_true(engine_forward(b.m, w, &batch, q, NULL, &err));
    double kl = 0;
    for (int n = 0; n < 8; n++) {
        double zp = 0, zq = 0;
        for (int c = 0; c < 5; c++) zp += exp((double)p[n * 5 + c]), zq += exp((double)q[n * 5 + c]);
        for (int c = 0; c < 5; c++) {
            double share = exp((double)p[n * 5 + c]) / zp;
            kl += share * log(share / (exp((double)q[n * 5 + c]) / zq)) / 8;
        }
    }
    near(t.value[model_find_layer(b.m, "head") * 2], kl, 1e-6);
    free(head);
    study_table_free(&t);
    repeats(&s, "distilled", "samples=4 steps=5");
    bench_close(&b);
}

static void what_is_missing_is_named(void **state) {
    (void)state;
    bench b;
    bench_open(&b, true);
    study_subject s = b.s;
    s.calib = NULL;
    refused(&s, "taylor", "", "calibration samples");
    refused(&s, "relevance", "", "calibration samples");
    refused(&b.s, "distilled", "", "has no batch norm");
    refused(&b.s, "relevance", "epsilon=-1", "epsilon");
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taylor_is_a_change_of_loss), cmocka_unit_test(relevance_is_summed),
        cmocka_unit_test(made_up_samples_tell_layers_apart), cmocka_unit_test(what_is_missing_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
