// GQSA's two stages: derivatives of a layer's codes against the formulas on every weight, errors that fall and never
// rise, pruned groups that stay pruned, codes that stay where only scales move, files that hold what the run has.
#include "tests/compress/compress_support.h"
#include "tests/engine/nets.h"

#include "compress/tune.h"

static compress_result *compressed(const model *m, const char *prune, const char *quantize, const data_view *calib) {
    compress_step steps[2] = {make_step(prune ? prune : quantize), make_step(quantize)};
    compress_rule rule = {(char[]){".*"}, steps, prune ? 2 : 1};
    compress_plan plan = {.rules = &rule, .rule_count = 1, .about = "test", .calib = calib};
    base_err err = {0};
    compress_result *r;
    if (!compress_run(m, &plan, NULL, &r, &err)) fail_msg("%s", err.text);
    return r;
}

static void set_number(const base_arg *args, size_t count, base_value *values, const char *name, double x) {
    base_err err = {0};
    if (!base_arg_set_number("tune", args, count, values, name, x, &err)) fail_msg("%s", err.text);
}

static void set_text(const base_arg *args, size_t count, base_value *values, const char *name, const char *x) {
    base_err err = {0};
    if (!base_arg_set_text("tune", args, count, values, name, x, &err)) fail_msg("%s", err.text);
}

// ---- one layer ---------------------------------------------------------------------------------------

// The formulas, weight by weight: what stands where, its code and its derivatives.
static void check_layer(const char *prune, const char *quantize, int64_t group, bool zeros) {
    base_err err = {0};
    model *m = nets_images(3);
    data_set *set = nets_data(false, 24, 5);
    data_view *v = data_view_part(set, DATA_TEST, &err);
    compress_result *r = compressed(m, prune, quantize, v);
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *l = &m->layers[i];
        const float *was = compress_weights(r)[l->weight];
        size_t n = (size_t)(l->out * l->in);
        tuned t;
        assert_null(tune_why_not(r, i));
        if (!tune_open(&t, r, i, 0, false, &err)) fail_msg("%s", err.text);
        // As it was opened it stands for the run's weight, also when its weights are rounded again.
        for (size_t k = 0; k < n; k++) assert_true(t.soft[k] == was[k]);
        tune_round(&t, false);
        for (size_t k = 0; k < n; k++) assert_true(t.soft[k] == was[k]);
        assert_int_equal(t.zeros, zeros);
        // Weights pushed about, some beyond the range.
        num_rng rng = num_rng_seed(9, 9);
        for (size_t k = 0; k < t.n; k++) t.w[k] += (float)(4 * num_rng_normal(&rng)) * t.scale[t.group[k]];
        tune_round(&t, false);
        float *g = random_matrix(l->out, l->in, 7);
        double *ds = base_calloc(t.groups, sizeof *ds), *dz = base_calloc(t.groups, sizeof *dz);
        tune_clear(&t, false);
        tune_gather(&t, g, false);
        int beyond = 0;
        for (size_t k = 0; k < t.n; k++) {
            int64_t row = t.at[k] / l->in, col = t.at[k] % l->in, per_row = group ? (l->in + group - 1) / group : 1;
            int32_t at = t.group[k];
            if (!prune) assert_int_equal(at, row * per_row + (group ? col / group : 0));
            float s = t.scale_now[at], z = t.zero_now[at], x = rintf(t.w[k] / s + z);
            float code = x < 0 ? 0 : x > t.top ? t.top : x;
            assert_true(t.soft[t.at[k]] == s * (code - z));
            bool within = x == code;
            beyond += !within;
            ds[at] += (double)(g[t.at[k]] * (code - z - (within ? t.w[k] / s : 0)));
            dz[at] -= within ? 0 : (double)(s * g[t.at[k]]);
            assert_true(t.dw[k] == (within ? g[t.at[k]] : 0));
        }
        assert_true(beyond > 0);
        for (size_t k = 0; k < t.groups; k++) {
            assert_true(fabs((double)t.ds[k] - ds[k]) <= 1e-3 + 1e-4 * fabs(ds[k]));
            assert_true(fabs((double)t.dz[k] - dz[k]) <= 1e-5 + 1e-4 * fabs(dz[k]));
        }
        // Pruned weights are no part of it.
        for (size_t k = 0; k < n; k++)
            if (was[k] == 0 && prune) {
                bool kept = false;
                for (size_t j = 0; j < t.n; j++) kept |= t.at[j] == (int64_t)k;
                assert_true(kept || t.soft[k] == 0);
            }
        free(g);
        free(ds);
        free(dz);
        tune_close(&t);
    }
    compress_result_free(r);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

static void layers(void **state) {
    (void)state;
    check_layer(NULL, "quantize bits=3", 0, false);
    check_layer(NULL, "quantize bits=3 sym=0 group=5", 5, true);
    check_layer("prune pattern=groups length=4 sparsity=0.4", "quantize bits=3 sym=0 group=4", 4, true);
    check_layer("prune pattern=groups length=9 sparsity=0.4", "quantize bits=4 group=9", 9, false);
    check_layer("prune n=2 m=4", "quantize bits=4 sym=0", 0, true);
    check_layer("prune sparsity=0.5", "quantize bits=2 sym=0 group=8", 8, true);
}

// ---- stages ------------------------------------------------------------------------------------------

static double distance(const model *m, const compress_result *r, const data_view *v) {
    base_err err = {0};
    base_model_row row;
    if (!engine_measure(m, compress_weights(r), m->weights, v, &row, NULL, &err)) fail_msg("%s", err.text);
    return row.kl;
}

static void check_stages(model *m, data_set *set, const char *prune, const char *quantize, double most) {
    enum { MOST = 16 };
    base_err err = {0};
    data_view *v = data_view_part(set, DATA_TEST, &err);
    compress_result *r[2] = {compressed(m, prune, quantize, v), compressed(m, prune, quantize, v)};
    base_value blocks[MOST] = {0}, scales[MOST] = {0};
    const base_arg *ab = compress_tune_blocks_args, *as = compress_tune_scales_args;
    size_t nb = compress_tune_blocks_arg_count, ns = compress_tune_scales_arg_count;
    base_arg_defaults(ab, nb, blocks);
    base_arg_defaults(as, ns, scales);
    set_number(ab, nb, blocks, "epochs", 12);
    set_number(ab, nb, blocks, "rate", 3e-3);
    set_number(ab, nb, blocks, "quant_rate", 1e-3);
    set_number(as, ns, scales, "epochs", 12);
    set_number(as, ns, scales, "batch", 8);
    set_number(as, ns, scales, "rate", 1e-3);
    set_text(as, ns, scales, "loss", "kl");
    int64_t bytes[2], header;
    double kl[3];
    assert_true(compress_sizes(r[0], &bytes[0], &header, &err));
    kl[0] = distance(m, r[0], v);
    bool *zero = NULL;
    const model_layer *l = &m->layers[1];
    size_t n = (size_t)(l->out * l->in);
    zero = base_calloc(n, sizeof *zero);
    for (size_t i = 0; i < n; i++) zero[i] = prune && compress_weights(r[0])[l->weight][i] == 0;
    for (int k = 0; k < 2; k++) {
        int changed = 0;
        if (k) num_set_threads(1);
        if (!compress_tune_blocks(r[k], v, blocks, &changed, NULL, &err)) fail_msg("%s", err.text);
        assert_true(changed > 0);
        if (!k) kl[1] = distance(m, r[k], v);
        if (!compress_tune_scales(r[k], v, scales, &changed, NULL, &err)) fail_msg("%s", err.text);
    }
    num_set_threads(0);
    kl[2] = distance(m, r[0], v);
    print_message("%s%s%s: KL %.4g, blocks %.4g, scales %.4g\n", prune ? prune : "", prune ? "; " : "", quantize, kl[0],
                  kl[1], kl[2]);
    assert_true(kl[1] < most * kl[0] && kl[2] <= kl[1] * 1.0001);
    assert_true(compress_sizes(r[0], &bytes[1], &header, &err));
    assert_int_equal(bytes[0], bytes[1]);
    int kept = 0;
    for (size_t i = 0; i < n; i++) kept += zero[i] && compress_weights(r[0])[l->weight][i] != 0;
    if (prune) assert_true(kept < (int)n / 8); // kept ones that were 0 on the grid may move, pruned ones not
    const char *path[] = {support_temp_path("one.safetensors"), support_temp_path("two.safetensors")};
    compress_saved saved[2];
    for (int k = 0; k < 2; k++) assert_true(compress_save(r[k], path[k], NULL, &saved[k], &err));
    assert_string_equal(saved[0].hash, saved[1].hash);
    model_tensors *t = model_tensors_open(path[0], &err);
    if (!t || !compress_unpack(t, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < m->layer_count; i++) {
        const model_tensor *w = model_tensors_find(t, m->graph->params[m->layers[i].weight].name);
        if (w && w->t.dtype == NUM_F32 && !m->graph->params[m->layers[i].weight].transposed)
            assert_memory_equal(w->t.data, compress_weights(r[0])[m->layers[i].weight],
                                (size_t)(m->layers[i].out * m->layers[i].in) * sizeof(float));
    }
    model_tensors_close(t);
    free(zero);
    compress_result_free(r[0]);
    compress_result_free(r[1]);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

static void stages(void **state) {
    (void)state;
    check_stages(nets_images(3), nets_data(false, 24, 5), "prune pattern=groups length=4 sparsity=0.3",
                 "quantize bits=3 sym=0 group=4", 0.8);
    check_stages(nets_images(4), nets_data(false, 24, 5), NULL, "quantize bits=3", 0.8);
    check_stages(nets_language(3), nets_data(true, 24, 5), "prune pattern=groups length=6 sparsity=0.3",
                 "quantize bits=3 sym=0 group=6", 0.95);
}

// The scales stage leaves codes alone: every weight is the old one with another scale and zero point.
static void codes_stay(void **state) {
    (void)state;
    base_err err = {0};
    model *m = nets_images(5);
    data_set *set = nets_data(false, 24, 5);
    data_view *v = data_view_part(set, DATA_TEST, &err);
    compress_result *r = compressed(m, NULL, "quantize bits=3", v);
    base_value values[16] = {0};
    base_arg_defaults(compress_tune_scales_args, compress_tune_scales_arg_count, values);
    set_number(compress_tune_scales_args, compress_tune_scales_arg_count, values, "rate", 3e-3);
    set_number(compress_tune_scales_args, compress_tune_scales_arg_count, values, "epochs", 10);
    const model_layer *l = &m->layers[0];
    size_t n = (size_t)(l->out * l->in);
    float *was = malloc(n * sizeof *was);
    memcpy(was, compress_weights(r)[l->weight], n * sizeof *was);
    base_model_row before, after;
    assert_true(engine_measure(m, compress_weights(r), NULL, v, &before, NULL, &err));
    int changed = 0;
    if (!compress_tune_scales(r, v, values, &changed, NULL, &err)) fail_msg("%s", err.text);
    assert_true(engine_measure(m, compress_weights(r), NULL, v, &after, NULL, &err));
    assert_true(changed > 0 && after.loss < before.loss);
    const float *now = compress_weights(r)[l->weight];
    for (int64_t row = 0; row < l->out; row++) {
        double ratio = 0;
        for (int64_t c = 0; c < l->in; c++) {
            int64_t k = row * l->in + c;
            if (was[k] == 0) assert_true(now[k] == 0);
            if (was[k] == 0) continue;
            if (ratio == 0) ratio = (double)(now[k] / was[k]);
            assert_true(fabs((double)(now[k] / was[k]) - ratio) < 1e-5);
        }
    }
    // Refusals.
    compress_result *other = compressed(m, NULL, "quantize dtype=nf4", v);
    assert_false(compress_tune_scales(other, v, values, &changed, NULL, &err));
    assert_non_null(strstr(err.text, "even integer codes"));
    assert_false(compress_tune_scales(r, NULL, values, &changed, NULL, &err));
    base_job job = {.cancel = 1};
    double had = distance(m, r, v);
    assert_false(compress_tune_scales(r, v, values, &changed, &job, &err));
    assert_true(distance(m, r, v) == had);
    free(was);
    compress_result_free(other);
    compress_result_free(r);
    data_view_free(v);
    data_close(set);
    model_close(m);
}

// Biases learned on the divergence: weights stay, the divergence falls and never rises, bytes and types stay.
static void learned_biases(void **state) {
    (void)state;
    base_err err = {0};
    for (int which = 0; which < 2; which++) {
        model *m = nets_images(5);
        data_set *set = nets_data(false, 24, 5);
        data_view *v = data_view_part(set, DATA_TEST, &err);
        compress_result *r = compressed(m, NULL, "quantize bits=2", v);
        base_value values[16] = {0};
        base_arg_defaults(compress_tune_biases_args, compress_tune_biases_arg_count, values);
        set_number(compress_tune_biases_args, compress_tune_biases_arg_count, values, "batch", 8);
        set_number(compress_tune_biases_args, compress_tune_biases_arg_count, values, "rate", which ? 1 : 1e-2);
        const float **before = base_calloc((size_t)m->weight_count, sizeof *before);
        int64_t bytes[2], header;
        for (int p = 0; p < m->weight_count; p++) before[p] = compress_weights(r)[p];
        assert_true(compress_sizes(r, &bytes[0], &header, &err));
        double had = distance(m, r, v);
        int changed = 0, moved = 0;
        if (!compress_tune_biases(r, v, values, &changed, NULL, &err)) fail_msg("%s", err.text);
        double now = distance(m, r, v);
        print_message("biases, rate %g: KL %.4g -> %.4g\n", which ? 1 : 1e-2, had, now);
        if (!which) assert_true(changed > 0 && now < 0.8 * had);
        if (which) assert_true(now <= had * 1.0001); // far too fast: never worse all the same
        for (int p = 0; p < m->weight_count; p++) {
            const char *name = m->graph->params[p].name;
            size_t length = strlen(name);
            bool bias = length > 5 && !strcmp(name + length - 5, ".bias");
            if (!bias) assert_ptr_equal(before[p], compress_weights(r)[p]);
            moved += before[p] != compress_weights(r)[p];
        }
        if (!which) assert_int_equal(moved, changed);
        assert_true(compress_sizes(r, &bytes[1], &header, &err));
        assert_int_equal(bytes[0], bytes[1]);
        free(before);
        compress_result_free(r);
        data_view_free(v);
        data_close(set);
        model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers), cmocka_unit_test(stages), cmocka_unit_test(codes_stay),
                                       cmocka_unit_test(learned_biases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
