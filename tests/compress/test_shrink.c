// Networks made smaller: what is cut out computes what the whole network does with the readers' columns at zero, on
// small nets with every kind of coupling and on the shipped and real models; repaired readers are least-squares optima;
// blocks are ranked by what they do.
#include "compress/shrink/shrink.h"
#include "script/script.h"
#include "tests/compress/compress_support.h"
#include "tests/engine/nets.h"

static model *finish(model_draft *d) {
    base_err err = {0};
    model *m = model_draft_finish(d, &err);
    if (!m) fail_msg("%s", err.text);
    model_draft_free(d);
    return m;
}

static float *logits(const model *m, size_t *count) {
    base_err err = {0};
    data_batch batch = nets_batch(m, 3, 7, 5);
    const model_shape *s = model_graph_shape(m->graph, m->graph->output);
    *count = (size_t)(model_shape_count(s) / (batch.length ? s->dim[1] : 1) * 3 * (batch.length ? 7 : 1));
    float *out = calloc(*count, sizeof *out);
    if (!engine_forward(m, m->weights, &batch, out, NULL, &err)) fail_msg("%s", err.text);
    nets_batch_free(&batch);
    return out;
}

static double logit_difference(const model *a, const model *b) {
    size_t n, k;
    float *x = logits(a, &n), *y = logits(b, &k), most = 0;
    assert_int_equal(n, k);
    for (size_t i = 0; i < n; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    double d = support_max_diff(x, y, n) / (double)(most > 0 ? most : 1);
    free(x);
    free(y);
    return d;
}

// ---- nets with every kind of coupling ------------------------------------------------------------------

static int conv(model_graph *g, const char *name, int x, int out, int kernel, int stride, int groups) {
    char attrs[96];
    int pad = kernel / 2;
    snprintf(attrs, sizeof attrs, "%d %d %d %d %d %d %d %d %d 1 1 %d 1", out, kernel, kernel, stride, stride, pad, pad,
             pad, pad, groups);
    return nets_add(g, "conv2d", name, x, -1, attrs, NULL);
}

// Convolution, norm, pooling, flattened into linear layers; a depthwise convolution in between.
static model *flat_net(void) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 2, 12, 12);
    int x = conv(g, "c1", 0, 6, 3, 1, 1);
    x = nets_add(g, "batch_norm", "n1", x, -1, NULL, NULL);
    x = nets_add(g, "relu", "r1", x, -1, NULL, NULL);
    x = conv(g, "deep", x, 6, 3, 1, 6);
    x = nets_add(g, "silu", "r2", x, -1, NULL, NULL);
    x = nets_add(g, "max_pool", "p1", x, -1, "2 2", NULL);
    x = conv(g, "c2", x, 5, 3, 2, 1);
    x = nets_add(g, "reshape", "flat", x, -1, "-1 0 0 0 1", NULL);
    x = nets_add(g, "linear", "f1", x, -1, "8 1", NULL);
    x = nets_add(g, "gelu", "r3", x, -1, NULL, NULL);
    x = nets_add(g, "linear", "f2", x, -1, "4 1", NULL);
    return nets_create(g, x, MODEL_CLASSIFY, 3);
}

// Grouped convolutions: of two channels a group, with more outputs than inputs, after one another, in a residual sum.
static model *grouped_net(void) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, 12, 10);
    int x = nets_add(g, "relu", "r0", conv(g, "stem", 0, 8, 3, 1, 1), -1, NULL, NULL);
    int y = nets_add(g, "relu", "r1", conv(g, "a.0.c1", x, 12, 1, 1, 1), -1, NULL, NULL);
    y = nets_add(g, "batch_norm", "a.0.n", conv(g, "a.0.grouped", y, 12, 3, 1, 6), -1, NULL, NULL);
    y = nets_add(g, "relu", "r2", y, -1, NULL, NULL);
    x = nets_add(g, "add", "a.0.add", conv(g, "a.0.c3", y, 8, 1, 1, 1), x, NULL, NULL);
    x = nets_add(g, "relu", "a.0.r", x, -1, NULL, NULL);
    y = nets_add(g, "relu", "r3", conv(g, "b.0.c1", x, 6, 3, 2, 1), -1, NULL, NULL);
    y = nets_add(g, "relu", "r4", conv(g, "b.0.wide", y, 12, 3, 1, 3), -1, NULL, NULL);
    y = nets_add(g, "relu", "r5", conv(g, "b.0.narrow", y, 6, 3, 1, 3), -1, NULL, NULL);
    x = nets_add(g, "global_pool", "pool", conv(g, "b.0.c2", y, 8, 1, 1, 1), -1, NULL, NULL);
    return nets_create(g, nets_add(g, "linear", "head", x, -1, "5 1", NULL), MODEL_CLASSIFY, 6);
}

// Residual stages whose shortcut takes every second pixel and pads channels; a concatenation at the end.
static model *padded_net(void) {
    model_graph *g = nets_start(DATA_FEATURES, 3, 3, 8, 8);
    int x = nets_add(g, "relu", "r0", conv(g, "stem", 0, 4, 3, 1, 1), -1, NULL, NULL);
    int y = nets_add(g, "relu", "r1", conv(g, "a.0.c1", x, 4, 3, 1, 1), -1, NULL, NULL);
    x = nets_add(g, "add", "a.0.add", conv(g, "a.0.c2", y, 4, 3, 1, 1), x, NULL, NULL);
    x = nets_add(g, "relu", "a.0.r", x, -1, NULL, NULL);
    y = nets_add(g, "relu", "b.0.r1", conv(g, "b.0.c1", x, 7, 3, 2, 1), -1, NULL, NULL);
    y = conv(g, "b.0.c2", y, 8, 3, 1, 1);
    int s = nets_add(g, "slice", "rows", x, -1, "2 0 8 2", NULL);
    s = nets_add(g, "slice", "cols", s, -1, "3 0 8 2", NULL);
    s = nets_add(g, "pad", "chan", s, -1, "1 2 2 0", NULL);
    x = nets_add(g, "add", "b.0.add", y, s, NULL, NULL);
    x = nets_add(g, "relu", "b.0.r", x, -1, NULL, NULL);
    y = nets_add(g, "sigmoid", "side.r", conv(g, "side", x, 5, 1, 1, 1), -1, NULL, NULL);
    x = nets_add(g, "concat", "join", x, y, "1", NULL);
    x = nets_add(g, "global_pool", "pool", x, -1, NULL, NULL);
    return nets_create(g, nets_add(g, "linear", "head", x, -1, "4 1", NULL), MODEL_CLASSIFY, 5);
}

static int attend(model_graph *g, const char *name, int q, int k, int v, double heads, double kv) {
    double attr[MODEL_MAX_ATTR] = {heads, kv, 1, 0};
    int in[3] = {q, k, v}, out[1];
    base_err err = {0};
    if (!model_graph_add(g, MODEL_ATTENTION, name, 3, in, attr, NULL, out, &err)) fail_msg("%s", err.text);
    return out[0];
}

// Grouped queries with rotary positions and a gated network; then fused q k v, split.
static model *text_net(void) {
    model_graph *g = nets_start(DATA_TOKENS, 1, 16, 0, 0);
    int x = nets_add(g, "embedding", "embed", 0, -1, "23 16", NULL);
    int n = nets_add(g, "rms_norm", "h.0.n1", x, -1, NULL, NULL);
    int q = nets_add(g, "rope", "h.0.qr", nets_add(g, "linear", "h.0.q", n, -1, "24 1", NULL), -1, "4", NULL);
    int k = nets_add(g, "rope", "h.0.kr", nets_add(g, "linear", "h.0.k", n, -1, "12 0", NULL), -1, "4", NULL);
    int v = nets_add(g, "linear", "h.0.v", n, -1, "12 0", NULL);
    x = nets_add(g, "add", "h.0.s1", x,
                 nets_add(g, "linear", "h.0.o", attend(g, "h.0.att", q, k, v, 6, 3), -1, "16 0", NULL), NULL, NULL);
    n = nets_add(g, "rms_norm", "h.0.n2", x, -1, NULL, NULL);
    int a = nets_add(g, "silu", "h.0.act", nets_add(g, "linear", "h.0.gate", n, -1, "20 0", NULL), -1, NULL, NULL);
    a = nets_add(g, "mul", "h.0.mul", a, nets_add(g, "linear", "h.0.up", n, -1, "20 0", NULL), NULL, NULL);
    x = nets_add(g, "add", "h.0.s2", nets_add(g, "linear", "h.0.down", a, -1, "16 0", NULL), x, NULL, NULL);
    n = nets_add(g, "layer_norm", "h.1.n1", x, -1, NULL, NULL);
    n = nets_add(g, "linear", "h.1.qkv", n, -1, "48 1", NULL);
    double attr[MODEL_MAX_ATTR] = {-1, 3};
    int out[3];
    base_err err = {0};
    if (!model_graph_add(g, MODEL_SPLIT, "h.1.split", 1, &n, attr, NULL, out, &err)) fail_msg("%s", err.text);
    n = nets_add(g, "linear", "h.1.o", attend(g, "h.1.att", out[0], out[1], out[2], 4, 0), -1, "16 1", NULL);
    x = nets_add(g, "add", "h.1.s1", x, n, NULL, NULL);
    n = nets_add(g, "rms_norm", "norm", x, -1, NULL, NULL);
    return nets_create(g, nets_add(g, "linear", "head", n, -1, "23 0", "embed.weight"), MODEL_LANGUAGE, 4);
}

// Cuts units chosen at random from every group, and compares with the network whose readers have zeros there.
// Returns how many groups there were.
static int check_cut(const model *m, uint64_t seed, double share) {
    base_err err = {0};
    couple c;
    int count;
    assert_true(couple_make(&c, m, &err));
    couple_group *g = couple_groups(&c, &count);
    model_draft *zero = model_draft_new(m, &err), *less = model_draft_new(m, &err);
    uint8_t *gone = calloc((size_t)c.at[m->graph->value_count] + 1, 1);
    num_rng rng = num_rng_seed(seed, 3);
    int64_t removed = 0;
    for (int k = 0; k < count; k++) {
        uint8_t *out = calloc((size_t)g[k].unit_count, 1);
        for (int u = 1; u < g[k].unit_count; u++) {
            out[u] = num_rng_unit(&rng) < share && couple_may_go(&c, &g[k], out, u);
            if (out[u]) gone[g[k].unit[u]] = 1, removed++;
        }
        for (int r = 0; r < g[k].reader_count; r++) {
            int p = m->graph->nodes[g[k].reader[r]].param[0];
            const model_shape *s = &m->graph->params[p].shape;
            int64_t rows = s->dim[0], cols = model_shape_count(s) / rows;
            int32_t *unit = calloc((size_t)cols, sizeof *unit);
            couple_inputs(&c, &g[k], g[k].reader[r], unit);
            float *w = model_draft_write(zero, p, &err);
            for (int64_t o = 0; o < rows; o++)
                for (int64_t i = 0; i < cols; i++)
                    if (unit[i] >= 0 && out[unit[i]]) w[o * cols + i] = 0;
            free(unit);
        }
        free(out);
    }
    if (!couple_cut(&c, gone, less, &err)) fail_msg("%s: %s", m->name, err.text);
    model *a = finish(zero), *b = finish(less);
    double d = logit_difference(a, b);
    if (d > 2e-5) fail_msg("%s: %lld pieces cut, logits differ by %g", m->name, (long long)removed, d);
    if (removed) assert_true(model_weight_count(b) < model_weight_count(m));
    if (removed && logit_difference(m, b) < 1e-6) fail_msg("%s: nothing changed", m->name);
    model_close(a), model_close(b);
    couple_groups_free(g, count);
    couple_free(&c);
    free(gone);
    return count;
}

static void cut_is_zeroed(void **state) {
    (void)state;
    model *nets[] = {nets_images(3), nets_language(4), flat_net(), padded_net(), text_net(), grouped_net()};
    static const int groups[] = {2, 1, 3, 4, 3, 4};
    for (int k = 0; k < 6; k++) {
        for (uint64_t seed = 1; seed < 6; seed++) {
            int found = check_cut(nets[k], seed, 0.2 * (double)seed);
            if (found != groups[k]) fail_msg("net %d has %d groups, expected %d", k, found, groups[k]);
        }
        model_close(nets[k]);
    }
}

// Units in any order: the same function, other weights.
static void order_does_not_matter(void **state) {
    (void)state;
    model *nets[] = {nets_images(3), nets_language(4), flat_net(), padded_net(), text_net(), grouped_net()};
    for (int k = 0; k < 6; k++) {
        base_err err = {0};
        couple c;
        int count;
        assert_true(couple_make(&c, nets[k], &err));
        couple_group *g = couple_groups(&c, &count);
        int64_t places = c.at[nets[k]->graph->value_count];
        for (uint64_t seed = 1; seed < 6; seed++) {
            int32_t *rank = calloc((size_t)places + 1, sizeof *rank);
            num_rng rng = num_rng_seed(seed, 3);
            model_draft *d = model_draft_new(nets[k], &err);
            for (int i = 0; i < count; i++) {
                int32_t layout[64];
                int layouts = couple_layouts(&c, &g[i], layout);
                assert_int_equal(layouts, k == 3 && g[i].residual ? 2 : 1);
                for (int l = 0; l < layouts; l++) {
                    for (int64_t p = 0; p < places; p++) rank[p] = -1;
                    for (int u = 0; u < g[i].unit_count; u++)
                        if (layout[u] == l) rank[g[i].unit[u]] = (int32_t)num_rng_below(&rng, 1000);
                    if (!couple_reorder(&c, rank, d, &err)) fail_msg("net %d: %s", k, err.text);
                }
            }
            model *m = finish(d);
            double difference = logit_difference(nets[k], m), moved = 0;
            if (difference > 2e-5) fail_msg("net %d: logits differ by %g", k, difference);
            for (int p = 0; p < m->graph->param_count; p++)
                for (int64_t i = 0; i < model_shape_count(&m->graph->params[p].shape); i++)
                    moved += fabs((double)m->weights[p][i] - (double)nets[k]->weights[p][i]);
            assert_true(moved > 0);
            model_close(m);
            free(rank);
        }
        couple_groups_free(g, count);
        couple_free(&c);
        model_close(nets[k]);
    }
}

static void real_models(void **state) {
    (void)state;
    static const struct {
        const char *path;
        bool shipped;
        int groups;
    } files[] = {{"data/models/digits-cnn.safetensors", true, 0},
                 {"data/models/text-llama.safetensors", true, 0},
                 {"models/resnet20_cifar10.safetensors", false, 10},
                 {"models/resnet8_mlperftiny_cifar10.safetensors", false, 0},
                 {"models/lenet5_mnist.safetensors", false, 3},
                 {"models/mlp_mnist.safetensors", false, 2},
                 {"models/autoencoder_ad01_mlperftiny.safetensors", false, 9},
                 {"models/stories260K/model.safetensors", false, 10}};
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        base_err err = {0};
        char *own = base_sprintf("%s/%s", support_tree(), files[k].path);
        const char *path = files[k].shipped ? own : support_real(files[k].path);
        model *m = path ? script_model_open(path, NULL, &err) : NULL;
        if (path && !m) fail_msg("%s", err.text);
        if (m && m->graph) {
            int found = check_cut(m, 3, 0.3);
            if (files[k].groups ? found != files[k].groups : found < 1)
                fail_msg("%s has %d groups, expected %d", files[k].path, found, files[k].groups);
        }
        if (m) model_close(m);
        free(own);
    }
}

// ---- the call ---------------------------------------------------------------------------------------

typedef struct setup {
    model *m;
    data_set *set;
    data_view *calib;
} setup;

static setup open_setup(model *m, bool tokens) {
    base_err err = {0};
    setup s = {.m = m};
    s.set = nets_data(tokens, 24, 5);
    s.calib = data_view_part(s.set, DATA_TEST, &err);
    assert_non_null(s.calib);
    return s;
}

static void close_setup(setup *s) {
    data_view_free(s->calib);
    data_close(s->set);
    model_close(s->m);
}

// "what=heads by=l1 fraction=0.5"
static void set_values(base_value *v, const char *text) {
    char copy[256], *save = NULL;
    base_err err = {0};
    base_arg_defaults(compress_shrink_args, compress_shrink_arg_count, v);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '='), *end;
        *value++ = 0;
        double number = strtod(value, &end);
        bool ok =
            *end
                ? base_arg_set_text("shrink", compress_shrink_args, compress_shrink_arg_count, v, word, value, &err)
                : base_arg_set_number("shrink", compress_shrink_args, compress_shrink_arg_count, v, word, number, &err);
        if (!ok) fail_msg("%s: %s", text, err.text);
    }
}

static model *shrink_of(const setup *s, const char *text, compress_shrunk *f, base_err *err) {
    base_value v[24] = {0};
    set_values(v, text);
    return compress_shrink(s->m, s->calib, v, f, NULL, err);
}

// Every criterion on every kind of piece; fewer parameters, bytes and operations, and the file opens with the same
// logits.
static void every_criterion(void **state) {
    (void)state;
    static const char *const channel_by[] = {"l1", "l2", "wanda", "flap", "gram", "taylor"};
    static const char *const kinds[] = {"what=heads", "what=rows", "what=channels coupled=1", "what=channels"};
    setup nets[] = {open_setup(text_net(), true), open_setup(nets_images(3), false), open_setup(grouped_net(), false)};
    for (int k = 0; k < 4; k++)
        for (int b = 0; b < 6; b++)
            for (int repair = 0; repair < 2; repair++) {
                const setup *s = &nets[k < 2 ? 0 : k - 1];
                char text[128];
                base_err err = {0};
                compress_shrunk f;
                snprintf(text, sizeof text, "%s by=%s fraction=0.4 repair=%d", kinds[k], channel_by[b], repair);
                model *m = shrink_of(s, text, &f, &err);
                if (!m) fail_msg("%s: %s", text, err.text);
                assert_true(f.removed > 0 && f.removed < f.units);
                assert_true(f.after_values < f.before_values && f.after_flops < f.before_flops);
                assert_true(f.after_bytes < f.before_bytes || repair); // a bias may come
                char hash[33];
                size_t bytes;
                const char *path = support_temp_path("small.safetensors");
                if (!model_save(m, NULL, path, NULL, hash, &bytes, &err)) fail_msg("%s", err.text);
                model *back = script_model_open(path, NULL, &err);
                if (!back || !back->graph) fail_msg("%s: %s", text, back ? back->why_no_arch : err.text);
                assert_true(logit_difference(m, back) == 0);
                model_close(back);
                model_close(m);
            }
    close_setup(&nets[0]);
    close_setup(&nets[1]);
    close_setup(&nets[2]);
}

// l1 by hand: the channels of `down` whose filters have the least sums go.
static void least_filters_go(void **state) {
    (void)state;
    setup s = open_setup(nets_images(3), false);
    base_err err = {0};
    compress_shrunk f;
    model *m = shrink_of(&s, "by=l1 fraction=0.5 repair=0 layers=down", &f, &err);
    if (!m) fail_msg("%s", err.text);
    const model_layer *was = &s.m->layers[model_find_layer(s.m, "down")],
                      *now = &m->layers[model_find_layer(m, "down")];
    assert_int_equal(now->out, 6);
    const float *w = s.m->weights[was->weight], *x = m->weights[now->weight];
    int64_t at = 0;
    for (int64_t r = 0; r < was->out; r++) {
        int below = 0;
        double sum[2] = {0};
        for (int64_t k = 0; k < was->out; k++) {
            sum[1] = sum[0] = 0;
            for (int64_t i = 0; i < was->in; i++)
                sum[0] += fabs((double)w[k * was->in + i]), sum[1] += fabs((double)w[r * was->in + i]);
            below += sum[0] < sum[1];
        }
        if (below < 6) continue;
        assert_memory_equal(x + at * was->in, w + r * was->in, (size_t)was->in * sizeof *x);
        at++;
    }
    assert_int_equal(at, 6);
    model_close(m);
    close_setup(&s);
}

// ---- repair -------------------------------------------------------------------------------------------

typedef struct residual {
    const shrink_reader *r;
    const float *w;
    const double *shift;
    double *moment, *mean; // [rows x cols] of residual times input; [rows]
    double before, after;  // squared difference without the repair's weights, with them
    const int32_t *unit;
    int gone;
    int64_t n;
} residual;

static bool add_rows(void *context, const float *x, int64_t rows, int64_t in, base_err *err) {
    residual *d = context;
    (void)err;
    for (int64_t k = 0; k < rows; k++, d->n++)
        for (int64_t o = 0; o < d->r->rows; o++) {
            double e = -d->shift[o], plain = 0;
            for (int64_t i = 0; i < in; i++) {
                e += ((double)d->w[o * in + i] - d->r->w[o * in + i]) * (double)x[k * in + i];
                if (d->unit[i] == d->gone) plain += (double)d->w[o * in + i] * (double)x[k * in + i];
            }
            d->mean[o] += e;
            d->after += e * e;
            d->before += plain * plain;
            for (int64_t i = 0; i < in; i++) d->moment[o * in + i] += e * (double)x[k * in + i];
        }
    return true;
}

// With next to no damping what is left is uncorrelated with every input that stays, and 0 on average: the least-squares
// optimum; its size is what reader_cost foretold.
static void repair_is_least_squares(void **state) {
    (void)state;
    setup s = open_setup(nets_images(3), false);
    base_err err = {0};
    base_value v[24] = {0};
    set_values(v, "damp=1e-9");
    shrink k = {.m = s.m, .calib = s.calib, .value = v};
    couple c;
    int count;
    assert_true(couple_make(&c, s.m, &err));
    couple_group *g = couple_groups(&c, &count);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < g[i].reader_count; j++) {
            int node = g[i].reader[j];
            const float *w = s.m->weights[s.m->graph->nodes[node].param[0]];
            engine_stream *stream = engine_stream_open(s.m, s.m->weights, s.calib, &err);
            assert_true(engine_stream_advance(stream, node, NULL, &err));
            shrink_reader r;
            if (!reader_open(&r, &k, node, w, stream, &err)) fail_msg("%s", err.text);
            couple_inputs(&c, &g[i], node, r.unit);
            int32_t *unit = calloc((size_t)r.cols, sizeof *unit);
            memcpy(unit, r.unit, (size_t)r.cols * sizeof *unit);
            int gone = g[i].unit_count > 2 ? 2 : 1;
            double cost = reader_cost(&r, gone);
            if (!reader_remove(&r, gone, true, &err)) fail_msg("%s", err.text);
            residual d = {.r = &r, .w = w, .unit = unit, .gone = gone};
            double *shift = calloc((size_t)r.rows, sizeof *shift);
            for (int64_t o = 0; o < r.rows; o++)
                for (int64_t q = 0; q < r.cols; q++)
                    shift[o] += ((double)w[o * r.cols + q] - r.w[o * r.cols + q]) * (double)r.mean[q];
            d.shift = shift;
            d.moment = calloc((size_t)(r.rows * r.cols), sizeof *d.moment);
            d.mean = calloc((size_t)r.rows, sizeof *d.mean);
            assert_true(engine_stream_visit(stream, node, 0, add_rows, &d, NULL, &err));
            double scale = sqrt(d.before / (double)d.n);
            for (int64_t o = 0; o < r.rows; o++) {
                assert_true(fabs(d.mean[o]) / (double)d.n < 1e-4 * scale);
                for (int64_t q = 0; q < r.cols; q++) {
                    if (unit[q] == gone) assert_true(r.w[o * r.cols + q] == 0);
                    if (unit[q] != gone && fabs(d.moment[o * r.cols + q]) / (double)d.n > 1e-3 * scale)
                        fail_msg("%s: input %lld still tells something: %g of %g", r.name, (long long)q,
                                 d.moment[o * r.cols + q] / (double)d.n, scale);
                }
            }
            assert_true(d.after <= d.before);
            if (fabs(d.after / (double)d.n - cost) > 1e-3 * cost + 1e-9)
                fail_msg("%s: foretold %g, is %g", r.name, cost, d.after / (double)d.n);
            free(unit), free(shift), free(d.moment), free(d.mean);
            reader_close(&r);
            engine_stream_close(stream);
        }
    couple_groups_free(g, count);
    couple_free(&c);
    close_setup(&s);
}

// ---- blocks -------------------------------------------------------------------------------------------

static void blocks_go(void **state) {
    (void)state;
    setup s = open_setup(text_net(), true);
    static const struct {
        const char *text;
        int removed, units;
    } cases[] = {{"what=blocks fraction=0.5", 1, 2},
                 {"what=blocks by=taylor fraction=0.5", 1, 2},
                 {"what=blocks by=gate fraction=0.5 epochs=2", 1, 2},
                 {"what=branches fraction=0.67", 2, 3},
                 {"what=branches by=taylor fraction=0.34", 1, 3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        base_err err = {0};
        compress_shrunk f;
        model *m = shrink_of(&s, cases[k].text, &f, &err);
        if (!m) fail_msg("%s: %s", cases[k].text, err.text);
        assert_int_equal(f.removed, cases[k].removed);
        assert_int_equal(f.units, cases[k].units);
        assert_true(f.after_values < f.before_values && f.after_flops < f.before_flops);
        free(logits(m, &(size_t){0}));
        model_close(m);
    }
    // A branch that adds nothing goes first, and nothing changes.
    static const char *const by[] = {"cosine", "taylor"};
    base_err err = {0};
    model_draft *d = model_draft_new(s.m, &err);
    float *w = model_draft_write(d, model_draft_param_of(d, model_draft_find(d, "h.0.down"), "weight"), &err);
    memset(w, 0, 16 * 20 * sizeof *w);
    setup quiet = {.m = finish(d), .calib = s.calib};
    for (int k = 0; k < 2; k++) {
        char text[96];
        compress_shrunk f;
        snprintf(text, sizeof text, "what=branches by=%s fraction=0.34", by[k]);
        model *m = shrink_of(&quiet, text, &f, &err);
        if (!m) fail_msg("%s", err.text);
        assert_int_equal(model_find_layer(m, "h.0.down"), -1);
        assert_true(logit_difference(m, quiet.m) < 1e-6);
        model_close(m);
    }
    model_close(quiet.m);
    close_setup(&s);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
        bool samples;
    } bad[] = {{"what=blocks by=l1", "ranked by cosine", true},
               {"what=heads by=cosine", "ranks blocks", true},
               {"by=gram", "needs samples", false},
               {"by=l1 repair=1", "repair needs samples", false},
               {"what=channels layers=nowhere", "has no channels", true},
               {"what=heads", "has no heads", true},
               {"what=channels layers=(", "does not compile", true},
               {"what=blocks", "expected two at least", true}};
    setup s = open_setup(nets_images(3), false);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        base_err err = {0};
        compress_shrunk f;
        setup t = s;
        if (!bad[k].samples) t.calib = NULL;
        assert_null(shrink_of(&t, bad[k].text, &f, &err));
        if (!strstr(err.text, bad[k].word)) fail_msg("%s: %s", bad[k].text, err.text);
    }
    close_setup(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(cut_is_zeroed),
        cmocka_unit_test(real_models),
        cmocka_unit_test(every_criterion),
        cmocka_unit_test(least_filters_go),
        cmocka_unit_test(repair_is_least_squares),
        cmocka_unit_test(blocks_go),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
