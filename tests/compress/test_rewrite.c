// Rewrites: each on small random networks - grouped and depthwise convolutions, odd channel counts, dead channels,
// sequences - gives the logits it should, does to the weights what its paper says, and says what it cannot fold.
#include "compress/compress.h"

#include "tests/engine/nets.h"

typedef struct said {
    char text[8000];
} said;

static void hear(void *context, const base_event *e) {
    said *s = context;
    if (e->kind != BASE_EV_LOG) return;
    size_t have = strlen(s->text);
    snprintf(s->text + have, sizeof s->text - have, "%s\n", e->text);
}

// Weights at random, running variances and norm weights around 1.
static model *randomise(model *m, uint64_t seed) {
    num_rng rng = num_rng_seed(seed, 5);
    float **w = model_mutable(m);
    for (int k = 0; k < m->weight_count; k++) {
        const model_param *p = &m->graph->params[k];
        bool positive = strstr(p->name, "running_var") || strstr(p->name, "norm");
        double fan = p->shape.ndim > 1 ? sqrt((double)model_shape_count(&p->shape) / (double)p->shape.dim[0]) : 2;
        for (int64_t i = 0; i < model_shape_count(&p->shape); i++)
            w[k][i] = (float)(positive ? 0.3 + num_rng_unit(&rng) * 2 : num_rng_normal(&rng) / fan);
    }
    return m;
}

// 3x9x7: conv 7, norm, relu, depthwise 7 (padded), norm, relu, conv 5 without padding, norm without weights, relu, max
// pooling, flattened, linear 11 with a norm, relu, linear 4.
static model *chain(bool norms, uint64_t seed) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, 9, 7);
    int x = nets_add(g, "conv2d", "a", 0, -1, "7 3 3 1 1 1 1 1 1 1 1 1 0", NULL);
    if (norms) x = nets_add(g, "batch_norm", "norm_a", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "ra", x, -1, NULL, NULL);
    x = nets_add(g, "conv2d", "depth", x, -1, "7 3 3 1 1 1 1 1 1 1 1 7 1", NULL);
    if (norms) x = nets_add(g, "batch_norm", "norm_d", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "rd", x, -1, NULL, NULL);
    x = nets_add(g, "conv2d", "b", x, -1, "5 2 2 1 1 0 0 0 0 1 1 1 1", NULL);
    if (norms) x = nets_add(g, "batch_norm", "norm_b", x, -1, "0.001 0", NULL);
    x = nets_add(g, "relu", "rb", x, -1, NULL, NULL);
    x = nets_add(g, "max_pool", "pool", x, -1, NULL, NULL);
    x = nets_add(g, "reshape", "flat", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "fc", x, -1, "11", NULL);
    if (norms) x = nets_add(g, "batch_norm", "norm_f", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "rf", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "4", NULL);
    return randomise(nets_create(g, x, MODEL_CLASSIFY, seed), seed);
}

static const float *weight(const model *m, const char *param) {
    int k = model_graph_param(m->graph, param);
    if (k < 0) fail_msg("no %s", param);
    return m->weights[k];
}

// Runs a rewrite with options "name=number" or "name=text"; NULL with the sentence in err.
static model *run(const char *name, const model *m, const data_view *view, const char *options, said *log,
                  base_err *err) {
    const compress_rewrite *kind = compress_rewrite_find(name);
    assert_non_null(kind);
    base_value values[24] = {0};
    base_arg_defaults(kind->args, kind->arg_count, values);
    char *copy = strdup(options ? options : ""), *rest = copy, *at;
    while ((at = strsep(&rest, " ")) && *at) {
        char *is = strchr(at, '=');
        *is = 0;
        if (!base_arg_set_text(name, kind->args, kind->arg_count, values, at, is + 1, err)) fail_msg("%s", err->text);
    }
    free(copy);
    if (log) log->text[0] = 0;
    base_job job = {.emit = hear, .context = log};
    return compress_rewrite_model(kind, m, view, values, log ? &job : NULL, err);
}

static model *must(const char *name, const model *m, const data_view *view, const char *options, said *log) {
    base_err err = {0};
    model *now = run(name, m, view, options, log, &err);
    if (!now) fail_msg("%s", err.text);
    return now;
}

static void must_fail(const char *name, const model *m, const data_view *view, const char *options, const char *part) {
    base_err err = {0};
    model *now = run(name, m, view, options, NULL, &err);
    if (now) fail_msg("%s ran", name);
    if (!strstr(err.text, part)) fail_msg("%s\nwanted: %s", err.text, part);
}

static void says(const said *s, const char *part) {
    if (!strstr(s->text, part)) fail_msg("%swanted: %s", s->text, part);
}

// ---- order -----------------------------------------------------------------------------------------

// Every channel of the chain in order: "a" and the depthwise behind it by what "b" reads, "b" by what "fc" reads of its
// pixels. No sum, norm or output channel moves.
static void ordered(void **state) {
    (void)state;
    said log;
    model *m = chain(true, 3), *now = must("permute_channels", m, NULL, NULL, &log);
    says(&log, "3 folded, 0 left");
    const float *b = weight(now, "b.weight"), *fc = weight(now, "fc.weight");
    double last = INFINITY;
    for (int c = 0; c < 7; c++) {
        double most = 0;
        for (int o = 0; o < 5; o++)
            for (int k = 0; k < 4; k++) most = fmax(most, fabs((double)b[(o * 7 + c) * 4 + k]));
        assert_true(most <= last);
        last = most;
    }
    int pixels = (int)(model_shape_count(&now->graph->params[model_graph_param(now->graph, "fc.weight")].shape) / 55);
    last = INFINITY;
    for (int c = 0; c < 5; c++) {
        double most = 0;
        for (int o = 0; o < 11; o++)
            for (int k = 0; k < pixels; k++) most = fmax(most, fabs((double)fc[(o * 5 + c) * pixels + k]));
        assert_true(most <= last);
        last = most;
    }
    model *random = must("permute_channels", m, NULL, "order=random", NULL);
    assert_memory_not_equal(weight(random, "b.weight"), weight(m, "b.weight"), 140 * sizeof(float));
    model_close(random), model_close(now), model_close(m);
    must_fail("permute_channels", m = chain(true, 3), NULL, "order=act", "order = \"act\" needs samples");
    model_close(m);
    m = randomise(nets_language(4), 6); // up and gate's hidden units move together; the stream stays
    now = must("permute_channels", m, NULL, NULL, &log);
    assert_memory_equal(weight(now, "embed.weight"), weight(m, "embed.weight"), 23 * 12 * sizeof(float));
    assert_memory_not_equal(weight(now, "up.weight"), weight(m, "up.weight"), 20 * 12 * sizeof(float));
    model_close(now), model_close(m);
    model_graph *g = nets_start(DATA_FEATURES, 1, 6, 0, 0);
    m = nets_create(g, nets_add(g, "linear", "only", 0, -1, "4 1", NULL), MODEL_CLASSIFY, 4);
    must_fail("permute_channels", m, NULL, NULL, "no layer's outputs can be put in another order");
    model_close(m);
}

// ---- batch norms -----------------------------------------------------------------------------------

static void norms(void **state) {
    (void)state;
    said log;
    model *m = chain(true, 3), *less = must("fold_batch_norms", m, NULL, NULL, &log);
    says(&log, "4 folded, 0 left");
    assert_int_equal(less->graph->node_count, m->graph->node_count - 4);
    assert_true(less->rewritten);
    // Channel 4 of the first: by hand.
    double s = (double)weight(m, "norm_a.weight")[4] / sqrt((double)weight(m, "norm_a.running_var")[4] + 1e-5);
    for (int i = 0; i < 27; i++)
        assert_true(fabs((double)weight(less, "a.weight")[4 * 27 + i] - s * (double)weight(m, "a.weight")[4 * 27 + i]) <
                    1e-6);
    assert_true(fabs((double)weight(less, "a.bias")[4] -
                     ((double)weight(m, "norm_a.bias")[4] - s * (double)weight(m, "norm_a.running_mean")[4])) < 1e-6);
    double difference = 1;
    base_err err = {0};
    assert_true(compress_rewrite_compare(m, less, NULL, &difference, NULL, &err));
    assert_true(difference < 1e-5);
    must_fail("fold_batch_norms", less, NULL, NULL, "has no batch norm");
    model_close(less);
    model_close(m);
}

// A norm of the input, one behind a relu, one whose input is read twice, one behind a shared weight.
static void norms_left(void **state) {
    (void)state;
    said log;
    model_graph *g = nets_start(DATA_FEATURES, 1, 6, 0, 0);
    int x = nets_add(g, "batch_norm", "first", 0, -1, NULL, NULL);
    int a = nets_add(g, "linear", "a", x, -1, "6 0", NULL), y = nets_add(g, "batch_norm", "twice", a, -1, NULL, NULL);
    y = nets_add(g, "add", "sum", a, y, NULL, NULL);
    y = nets_add(g, "relu", "act", y, -1, NULL, NULL);
    y = nets_add(g, "batch_norm", "behind", y, -1, NULL, NULL);
    y = nets_add(g, "linear", "b", y, -1, "6 0", "a.weight");
    y = nets_add(g, "batch_norm", "shared", y, -1, NULL, NULL);
    model *m = randomise(nets_create(g, y, MODEL_RECONSTRUCT, 1), 1);
    must_fail("fold_batch_norms", m, NULL, NULL, "first reads the network's input");
    run("fold_batch_norms", m, NULL, NULL, &log, &(base_err){0});
    says(&log, "twice: what 'a' gives is read elsewhere too");
    says(&log, "behind reads 'act' (relu), not a convolution or linear layer");
    says(&log, "shared: the weight of 'b' serves other layers too");
    model_close(m);
}

// ---- equalisation ----------------------------------------------------------------------------------

static double row_range(const float *w, int row, int each) {
    double most = 0;
    for (int i = 0; i < each; i++) most = fmax(most, fabs((double)w[row * each + i]));
    return most;
}

static void equal_ranges(void **state) {
    (void)state;
    said log;
    model *m = chain(false, 4);
    float **w = model_mutable(m);
    // Channel 2 of `a` is dead, and nothing reads channel 3 of `depth`.
    for (int i = 0; i < 27; i++) w[model_graph_param(m->graph, "a.weight")][2 * 27 + i] = 0;
    for (int o = 0; o < 5; o++)
        for (int i = 0; i < 4; i++) w[model_graph_param(m->graph, "b.weight")][o * 28 + 12 + i] = 0;
    // One channel a thousand times the others.
    for (int i = 0; i < 27; i++) w[model_graph_param(m->graph, "a.weight")][5 * 27 + i] *= 1000;
    model *now = must("equalise", m, NULL, NULL, &log);
    says(&log, "folded: a -> depth (7 of 7 channels)");
    says(&log, "folded: b -> fc (5 of 5 channels)");
    assert_false(now->rewritten); // the same graph
    const float *a = weight(now, "a.weight"), *depth = weight(now, "depth.weight"), *b = weight(now, "b.weight");
    for (int c = 0; c < 7; c++) {
        double r1 = row_range(a, c, 27), r2 = row_range(depth, c, 9), r3 = 0;
        for (int o = 0; o < 5; o++)
            for (int i = 0; i < 4; i++) r3 = fmax(r3, fabs((double)b[o * 28 + c * 4 + i]));
        if (c == 2) {
            assert_true(r1 == 0);
            assert_true(fabs(r2 / r3 - 1) < 1e-3);
        } else if (c == 3) {
            assert_true(fabs(r1 / r2 - 1) < 1e-3);
            assert_true(r3 == 0);
        } else {
            assert_true(fabs(r1 / r2 - 1) < 1e-3);
            assert_true(fabs(r2 / r3 - 1) < 1e-3);
        }
    }
    model_close(now);
    // alpha 0: s = 1 / r2, so the columns of the last pair have range 1.
    now = must("equalise", m, NULL, "alpha=0", &log);
    for (int c = 0; c < 11; c++) {
        double most = 0;
        for (int o = 0; o < 4; o++) most = fmax(most, fabs((double)weight(now, "head.weight")[o * 11 + c]));
        assert_true(fabs(most - 1) < 1e-3);
    }
    model_close(now);
    now = must("equalise", m, NULL, "range=rms", NULL);
    model_close(now);
    model_close(m);
}

// A sequence model: value -> output through grouped attention, up -> down through the product; nothing else.
static void through_attention(void **state) {
    (void)state;
    said log;
    model *m = randomise(nets_language(4), 6), *now = must("equalise", m, NULL, NULL, &log);
    says(&log, "folded: v -> o (6 of 6 channels)");
    says(&log, "folded: up -> down (20 of 20 channels)");
    says(&log, "not folded: q: 'rope_q' (rope), which reads it, lets no factor pass");
    says(&log, "not folded: gate: 'silu' (silu)");
    says(&log, "not folded: o: it goes into the sum 'sum1'");
    const float *v = weight(now, "v.weight"), *o = weight(now, "o.weight");
    for (int c = 0; c < 6; c++) {
        double r2 = 0;
        for (int i = 0; i < 12; i++) r2 = fmax(r2, fmax(fabs((double)o[i * 12 + c]), fabs((double)o[i * 12 + 6 + c])));
        assert_true(fabs(row_range(v, c, 12) / r2 - 1) < 1e-3);
    }
    model_close(now);
    model_close(m);
}

static void nothing(void **state) {
    (void)state;
    model_graph *g = nets_start(DATA_FEATURES, 1, 6, 0, 0);
    int x = nets_add(g, "linear", "a", 0, -1, "6", NULL);
    x = nets_add(g, "gelu", "act", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "b", x, -1, "3", NULL);
    model *m = randomise(nets_create(g, x, MODEL_CLASSIFY, 1), 1);
    must_fail("equalise", m, NULL, NULL, "there is nothing to fold in test: a: 'act' (gelu), which reads it");
    must_fail("smooth", m, NULL, NULL, "it needs samples");
    model_close(m);
}

// ---- what needs samples ----------------------------------------------------------------------------

typedef struct samples {
    data_set *set;
    data_view *view;
} samples;

// `count` rows of 6 normal values, with the third column 20 times as large.
static samples features(int count) {
    samples s;
    base_err err = {0};
    base_buf text = {0};
    num_rng rng = num_rng_seed(8, 1);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 7; k++)
            base_buf_printf(&text, k < 6 ? "%.6f," : "%.0f\n",
                            k < 6 ? num_rng_normal(&rng) * (k == 2 ? 20 : 1) : (double)(i % 3));
    const char *path = support_temp_path("features.csv");
    support_write(path, text.text, text.length);
    base_buf_free(&text);
    data_spec *spec = data_spec_guess(path, &err);
    if (!spec) fail_msg("%s", err.text);
    s.set = data_open(spec, NULL, &err);
    if (!s.set) fail_msg("%s", err.text);
    data_spec_free(spec);
    s.view = data_view_part(s.set, DATA_ALL, &err);
    if (!s.view) fail_msg("%s", err.text);
    return s;
}

static void samples_free(samples *s) {
    data_view_free(s->view);
    data_close(s->set);
}

static void smoothed(void **state) {
    (void)state;
    said log;
    samples s = features(90);
    model_graph *g = nets_start(DATA_FEATURES, 1, 6, 0, 0);
    int n = nets_add(g, "layer_norm", "norm", 0, -1, NULL, NULL);
    int a = nets_add(g, "linear", "a", n, -1, "5", NULL), b = nets_add(g, "linear", "b", n, -1, "5", NULL);
    int x = nets_add(g, "mul", "product", a, b, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "3", NULL);
    model *m = randomise(nets_create(g, x, MODEL_CLASSIFY, 1), 1);
    float *head = model_mutable(m)[model_graph_param(m->graph, "a.weight")];
    for (int o = 0; o < 5; o++) head[o * 6 + 1] = 0; // column 1 is zero in both
    head = model_mutable(m)[model_graph_param(m->graph, "b.weight")];
    for (int o = 0; o < 5; o++) head[o * 6 + 1] = 0;
    model *now = must("smooth", m, s.view, "alpha=0.6", &log);
    says(&log, "folded: norm -> a, b (6 of 6 channels)");
    // The norm's outputs by hand.
    double most[6] = {0};
    data_batch batch = {0};
    base_err err = {0};
    assert_true(data_fetch(s.view, 0, s.view->count, &batch, &err));
    for (int64_t i = 0; i < batch.count; i++) {
        double mean = 0, square = 0;
        const float *row = batch.x + i * 6;
        for (int k = 0; k < 6; k++) mean += (double)row[k] / 6;
        for (int k = 0; k < 6; k++) square += ((double)row[k] - mean) * ((double)row[k] - mean) / 6;
        for (int k = 0; k < 6; k++)
            most[k] =
                fmax(most[k], fabs(((double)row[k] - mean) / sqrt(square + 1e-5) * (double)weight(m, "norm.weight")[k] +
                                   (double)weight(m, "norm.bias")[k]));
    }
    data_batch_free(&batch);
    for (int k = 0; k < 6; k++) {
        double w = 0;
        for (int o = 0; o < 5; o++)
            w = fmax(w, fmax(fabs((double)weight(m, "a.weight")[o * 6 + k]),
                             fabs((double)weight(m, "b.weight")[o * 6 + k])));
        double want = k == 1 ? 1 : pow(most[k], 0.6) / pow(w, 0.4);
        assert_true(fabs((double)weight(m, "norm.weight")[k] / (double)weight(now, "norm.weight")[k] / want - 1) <
                    1e-4);
        if (k != 1)
            assert_true(fabs((double)weight(now, "b.weight")[k] / (double)weight(m, "b.weight")[k] / want - 1) < 1e-4);
    }
    model_close(now);
    model_close(m);
    samples_free(&s);
}

// relu units that never switch off give up their constant; the logits stay where nothing lies below it.
static void absorbed(void **state) {
    (void)state;
    said log;
    samples s = features(90);
    model_graph *g = nets_start(DATA_FEATURES, 1, 6, 0, 0);
    int x = nets_add(g, "linear", "a", 0, -1, "5", NULL);
    x = nets_add(g, "relu", "act", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "b", x, -1, "3 0", NULL);
    model *m = randomise(nets_create(g, x, MODEL_CLASSIFY, 1), 1);
    float *bias = model_mutable(m)[model_graph_param(m->graph, "a.bias")];
    model *same = must("absorb_bias", m, s.view, NULL, &log);
    says(&log, "no channel stays 3 deviations above zero");
    model_close(same);
    bias[0] = 400;
    bias[3] = 300;
    model *now = must("absorb_bias", m, s.view, "tolerance=1e-5 sigmas=4", &log);
    says(&log, "1 folded, 0 left");
    assert_true(now->rewritten); // b has a bias now
    double c0 = 400 - (double)weight(now, "a.bias")[0], c3 = 300 - (double)weight(now, "a.bias")[3];
    assert_true(c0 > 0 && c3 > 0);
    for (int k = 1; k < 5; k++)
        if (k != 3) assert_true(weight(now, "a.bias")[k] == weight(m, "a.bias")[k]);
    for (int o = 0; o < 3; o++) {
        double want = c0 * (double)weight(m, "b.weight")[o * 5] + c3 * (double)weight(m, "b.weight")[o * 5 + 3];
        assert_true(fabs((double)weight(now, "b.bias")[o] - want) < 1e-3);
    }
    model_close(now);
    must_fail("absorb_bias", m, s.view, "sigmas=0 tolerance=1e-7", "more than the 1.0e-07 allowed");
    model_close(m);
    samples_free(&s);
}

// ---- rotations -------------------------------------------------------------------------------------

// GPT-2's form: positions, layer norms with biases, one layer for q, k and v, everything biased, a tied output.
static model *with_layer_norms(uint64_t seed) {
    model_graph *g = nets_start(DATA_TOKENS, 1, 16, 0, 0);
    int x = nets_add(g, "embedding", "embed", 0, -1, "23 12", NULL), split[MODEL_MAX_OUT];
    x = nets_add(g, "position", "where", x, -1, "16 12", NULL);
    int n = nets_add(g, "layer_norm", "norm1", x, -1, NULL, NULL);
    n = nets_add(g, "linear", "qkv", n, -1, "36", NULL);
    double attr[MODEL_MAX_ATTR] = {-1, 3};
    base_err err = {0};
    if (!model_graph_add(g, MODEL_SPLIT, "split", 1, &n, attr, NULL, split, &err)) fail_msg("%s", err.text);
    double heads[MODEL_MAX_ATTR] = {2, 0, 1, 0};
    if (!model_graph_add(g, MODEL_ATTENTION, "attention", 3, split, heads, NULL, &n, &err)) fail_msg("%s", err.text);
    n = nets_add(g, "linear", "o", n, -1, "12", NULL);
    x = nets_add(g, "add", "sum1", x, n, NULL, NULL);
    n = nets_add(g, "layer_norm", "norm2", x, -1, NULL, NULL);
    n = nets_add(g, "linear", "up", n, -1, "20", NULL);
    n = nets_add(g, "gelu", "act", n, -1, NULL, NULL);
    n = nets_add(g, "linear", "down", n, -1, "12", NULL);
    x = nets_add(g, "add", "sum2", x, n, NULL, NULL);
    x = nets_add(g, "layer_norm", "norm3", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "head", x, -1, "23 0", "embed.weight");
    return randomise(nets_create(g, x, MODEL_LANGUAGE, seed), seed);
}

// The logits were compared by the rewrite itself. Q is orthogonal and not the identity: the lengths of the table's rows
// (less their means) stay, the values do not.
static void check_lengths(const model *m, const model *now, bool centred) {
    const float *a = weight(m, "embed.weight"), *b = weight(now, "embed.weight");
    double moved = 0;
    for (int row = 0; row < 23; row++) {
        double x = 0, y = 0, mean = 0;
        for (int i = 0; i < 12; i++) mean += centred ? (double)a[row * 12 + i] / 12 : 0;
        for (int i = 0; i < 12; i++) {
            x += ((double)a[row * 12 + i] - mean) * ((double)a[row * 12 + i] - mean);
            y += (double)b[row * 12 + i] * (double)b[row * 12 + i];
            moved = fmax(moved, fabs((double)a[row * 12 + i] - (double)b[row * 12 + i]));
        }
        assert_true(fabs(x - y) < 1e-5 * x);
    }
    assert_true(moved > 0.05);
}

static void rotated(void **state) {
    (void)state;
    static const char *const kinds[] = {"kind=hadamard seed=1", "kind=random seed=3 heads=false"};
    for (int k = 0; k < 2; k++) {
        said log;
        model *m = randomise(nets_language(4), 6), *now = must("rotate_stream", m, NULL, kinds[k], &log);
        says(&log, "12 channels; the weights of 3 norms are in the layers behind them; 3 layers and tables write");
        says(&log, "no longer shared: head");
        assert_true(now->rewritten);
        assert_int_equal(model_graph_param(now->graph, "norm2.weight"), -1);
        check_lengths(m, now, false);
        model_close(now);
        model_close(m);
        m = with_layer_norms(5);
        now = must("rotate_stream", m, NULL, kinds[k], &log);
        says(&log, "layer norms became RMS norms");
        check_lengths(m, now, true);
        assert_int_equal(now->graph->nodes[2].op, MODEL_RMS_NORM);
        if (k == 0) says(&log, "the values of 'attention' do not come from and go to a linear layer alone");
        model *again = must("rotate_stream", now, NULL, "seed=9", NULL); // without norm weights, and biases in place
        model_close(again);
        model_close(now);
        model_close(m);
    }
}

// Sequences of 8 tokens below 23.
static samples tokens(int count) {
    samples s;
    base_err err = {0};
    char header[118];
    int64_t n = count * 8;
    uint8_t *file = calloc(1, (size_t)(128 + 2 * n));
    int used =
        snprintf(header, sizeof header, "{'descr': '<u2', 'fortran_order': False, 'shape': (%lld,), }", (long long)n);
    memset(header + used, ' ', sizeof header - (size_t)used);
    header[117] = '\n';
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(file + 10, header, sizeof header);
    num_rng rng = num_rng_seed(8, 2);
    for (int64_t i = 0; i < n; i++) file[128 + 2 * i] = i % 8 ? (uint8_t)(1 + num_rng_below(&rng, 22)) : 0;
    const char *path = support_temp_path("tokens.npy");
    support_write(path, file, (size_t)(128 + 2 * n));
    free(file);
    data_spec *spec = data_spec_guess(path, &err);
    if (!spec) fail_msg("%s", err.text);
    spec->bos = 0;
    s.set = data_open(spec, NULL, &err);
    if (!s.set) fail_msg("%s", err.text);
    data_spec_free(spec);
    s.view = data_view_part(s.set, DATA_ALL, &err);
    if (!s.view) fail_msg("%s", err.text);
    return s;
}

static void learned(void **state) {
    (void)state;
    said log;
    samples s = tokens(6);
    static const char *const options[] = {"bits=3 steps=12", "bits=3 steps=12 start=identity scales=false group=5",
                                          "steps=4 start=random objective=kl"};
    for (int k = 0; k < 6; k++) {
        model *m = k % 2 ? with_layer_norms(5) : randomise(nets_language(4), 6);
        model *now = must("learn_rotation", m, s.view, options[k / 2], &log);
        says(&log, "QSUR");
        double before, after;
        const char *at = strstr(log.text, "-bit rounding over ");
        if (!at || sscanf(at, "-bit rounding over %*d layers %lf -> %lf", &before, &after) != 2)
            fail_msg("%s", log.text);
        if (k < 4) assert_true(after < 0.99 * before);
        check_lengths(m, now, k % 2);
        assert_int_equal(model_graph_param(now->graph, "norm2.weight") >= 0, k / 2 != 1);
        model_close(now);
        model_close(m);
    }
    samples_free(&s);
}

static void not_rotated(void **state) {
    (void)state;
    model *m = chain(false, 1);
    must_fail("rotate_stream", m, NULL, NULL, "no residual stream that starts at an embedding");
    model_close(m);
    model_graph *g = nets_start(DATA_TOKENS, 1, 16, 0, 0);
    int x = nets_add(g, "embedding", "embed", 0, -1, "23 12", NULL), n = nets_add(g, "relu", "act", x, -1, NULL, NULL);
    x = nets_add(g, "add", "sum", x, n, NULL, NULL);
    n = nets_add(g, "rms_norm", "norm", x, -1, NULL, NULL);
    n = nets_add(g, "linear", "head", n, -1, "23", NULL);
    m = nets_create(g, n, MODEL_LANGUAGE, 1);
    must_fail("rotate_stream", m, NULL, NULL, "'act' (relu) reads the residual stream");
    model_close(m);
    g = nets_start(DATA_TOKENS, 1, 16, 0, 0);
    x = nets_add(g, "embedding", "embed", 0, -1, "23 12", NULL);
    n = nets_add(g, "rms_norm", "norm", x, -1, NULL, NULL);
    int a = nets_add(g, "linear", "a", n, -1, "23", NULL);
    n = nets_add(g, "tanh", "t", n, -1, NULL, NULL);
    n = nets_add(g, "linear", "b", n, -1, "23", NULL);
    x = nets_add(g, "add", "sum", a, n, NULL, NULL);
    m = nets_create(g, x, MODEL_LANGUAGE, 1);
    must_fail("rotate_stream", m, NULL, NULL, "the norm 'norm' is read by 't' (tanh)");
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordered),           cmocka_unit_test(norms),
        cmocka_unit_test(norms_left),        cmocka_unit_test(equal_ranges),
        cmocka_unit_test(through_attention), cmocka_unit_test(nothing),
        cmocka_unit_test(smoothed),          cmocka_unit_test(absorbed),
        cmocka_unit_test(rotated),           cmocka_unit_test(not_rotated),
        cmocka_unit_test(learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
