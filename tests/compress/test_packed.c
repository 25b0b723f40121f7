// Packed files: every combination of terms saved and opened again bit for bit, sizes equal to the file's, and hostile
// files refused with one sentence.
#include "tests/compress/compress_support.h"

#include <jansson.h>
#include <sys/stat.h>

// A model without a graph: weights of many shapes, a bias, an integer table, a float16 and a bfloat16 tensor.
static const int64_t shapes[][4] = {{1, 1}, {3, 7}, {8, 9}, {16, 36}, {8, 4, 3, 3}, {1, 65}, {64, 40}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const char *source_file(void) {
    static const char *path;
    if (path) return path;
    path = support_temp_path("source.safetensors");
    static char names[SHAPES + 4][32];
    model_tensor items[SHAPES + 4] = {0};
    int n = 0;
    for (; n < SHAPES; n++) {
        snprintf(names[n], sizeof names[n], "w%d.weight", n);
        int ndim = shapes[n][3] ? 4 : 2;
        items[n] = (model_tensor){.name = names[n], .t = {.dtype = NUM_F32, .ndim = ndim}};
        int64_t count = 1;
        for (int d = 0; d < ndim; d++) count *= items[n].t.dim[d] = shapes[n][d];
        items[n].t.data = random_matrix(1, count, 50 + (uint64_t)n);
    }
    static float bias[5] = {1, -2, 3, 4, 5};
    static int64_t table[3] = {7, -8, 1ll << 40};
    static uint16_t half[6 * 10], brain[6 * 10];
    for (int i = 0; i < 60; i++)
        half[i] = num_f32_to_f16(0.01f * (float)(i * i % 23 - 11)),
        brain[i] = num_f32_to_bf16(0.02f * (float)(i % 7 - 3));
    items[n++] = (model_tensor){.name = "a.bias", .t = {NUM_F32, 1, {5}, bias}};
    items[n++] = (model_tensor){.name = "a.table", .t = {NUM_I64, 1, {3}, table}};
    items[n++] = (model_tensor){.name = "half.weight", .t = {NUM_F16, 2, {6, 10}, half}};
    items[n++] = (model_tensor){.name = "brain.weight", .t = {NUM_BF16, 2, {6, 10}, brain}};
    base_err err = {0};
    if (!model_safetensors_save(path, items, n, "{\"origin\":\"a test\",\"format\":\"pt\"}", NULL, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < SHAPES; i++) free((void *)items[i].t.data);
    return path;
}

static model *open_model(const char *path) {
    base_err err = {0};
    model_tensors *t = model_tensors_open(path, &err);
    if (!t) fail_msg("%s", err.text);
    if (!compress_unpack(t, &err)) fail_msg("%s", err.text);
    model *m = model_bind(NULL, t, NULL, &err);
    if (!m) fail_msg("%s", err.text);
    return m;
}

// Runs `steps` on all layers; the result belongs to the caller, as does the model.
static compress_result *compress_with(const model *m, const char *steps) {
    compress_step list[8];
    int count = 0;
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", steps);
    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save))
        list[count++] = make_step(one + strspn(one, " "));
    compress_rule rule = {"", list, count};
    rule.pattern = (char[]){".*"};
    compress_plan plan = {.rules = &rule, .rule_count = 1, .about = "test"};
    base_err err = {0};
    compress_result *r;
    if (!compress_run(m, &plan, NULL, &r, &err)) fail_msg("%s: %s", steps, err.text);
    return r;
}

static void check_round_trip(const char *steps) {
    base_err err = {0};
    model *m = open_model(source_file());
    compress_result *r = compress_with(m, steps);
    const char *path = support_temp_path("packed.safetensors"), *again = support_temp_path("again.safetensors");
    compress_saved saved, second;
    int64_t bytes, header, of_layers = 0, of_rest = 0;
    assert_true(compress_sizes(r, &bytes, &header, &err));
    if (!compress_save(r, path, NULL, &saved, &err)) fail_msg("%s: %s", steps, err.text);
    assert_true(compress_save(r, again, NULL, &second, &err));
    assert_string_equal(saved.hash, second.hash);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    if (st.st_size != bytes + header || st.st_size != saved.file_bytes || header != saved.header_bytes)
        fail_msg("%s: file %lld bytes, sizes %lld + %lld", steps, (long long)st.st_size, (long long)bytes,
                 (long long)header);
    for (int i = 0; i < compress_row_count(r); i++) of_layers += compress_row(r, i)->bytes;
    for (int i = 0; i < m->tensors->count; i++) of_rest += (int64_t)m->tensors->items[i].bytes;
    for (int i = 0; i < compress_row_count(r); i++) of_rest -= compress_row(r, i)->bytes_before;
    assert_int_equal(bytes, of_layers + of_rest);
    model *back = open_model(path);
    for (int i = 0; i < m->tensors->count; i++) {
        const model_tensor *a = &m->tensors->items[i], *b = model_tensors_find(back->tensors, a->name);
        assert_non_null(b);
        int at = (int)(b - back->tensors->items);
        size_t count, n;
        assert_true(num_count(a->t.ndim, a->t.dim, NUM_F32, &count, &n));
        assert_int_equal(a->t.ndim, b->t.ndim);
        if (!m->weights[i])
            assert_memory_equal(a->t.data, b->t.data, a->bytes);
        else
            assert_memory_equal(compress_weights(r)[i], back->weights[at], n);
    }
    char *origin = model_tensors_meta(back->tensors, "origin");
    assert_string_equal(origin, "a test");
    free(origin);
    model_close(back);
    compress_result_free(r);
    model_close(m);
}

static void round_trips(void **state) {
    (void)state;
    static const char *const forms[] = {"keep dtype=f16",
                                        "keep dtype=bf16",
                                        "quantize bits=4 group=8",
                                        "quantize bits=3 sym=0",
                                        "quantize bits=1",
                                        "quantize dtype=ternary",
                                        "quantize bits=5 granularity=tensor scale=bf16",
                                        "prune sparsity=0.5",
                                        "prune sparsity=0.9 format=delta",
                                        "prune sparsity=0.8 format=index",
                                        "prune n=2 m=4",
                                        "prune n=1 m=3 format=nm",
                                        "lowrank fraction=0.3 factors=f16",
                                        "lowrank rank=2 factors=int4",
                                        "prune sparsity=1",
                                        "prune sparsity=0 format=bitmap"};
    enum { FORMS = sizeof forms / sizeof *forms };
    for (int a = 0; a < FORMS; a++) {
        check_round_trip(forms[a]);
        for (int b = 2; b < FORMS; b++) {
            char text[256];
            snprintf(text, sizeof text, "%s; %s", forms[a], forms[b]);
            check_round_trip(text);
        }
    }
    static const char *const types[] = {"nf4",   "af4",      "fp4-bnb", "e3m2", "fp8",     "mxfp4",   "mxint8", "nvfp4",
                                        "power", "quantile", "lloyd",   "tanh", "dynamic", "midrise", "e2m0"};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        static const char *const more[] = {"",
                                           "; quantize bits=2",
                                           "; prune sparsity=0.5",
                                           " scale=double",
                                           " scale=super",
                                           " split=1",
                                           " granularity=tensor split=1 scale=e4m3"};
        bool fixed = !strncmp(types[t], "mx", 2) || !strncmp(types[t], "nv", 2);
        for (size_t k = 0; k < (fixed ? 3 : sizeof more / sizeof *more); k++) {
            char text[256];
            snprintf(text, sizeof text, "quantize dtype=%s%s", types[t], more[k]);
            check_round_trip(text);
            snprintf(text, sizeof text, "prune sparsity=0.6; quantize dtype=%s%s", types[t], more[k]);
            check_round_trip(text);
        }
    }
    static const char *const blocks[] = {"q4_0",       "q4_1",       "q5_0",  "q5_1", "q8_0",   "q2_K",
                                         "q3_K",       "q4_K",       "q5_K",  "q6_K", "iq4_nl", "iq4_xs",
                                         "ggml-mxfp4", "ggml-nvfp4", "tq1_0", "tq2_0"};
    for (size_t t = 0; t < sizeof blocks / sizeof *blocks; t++) {
        char text[128];
        snprintf(text, sizeof text, "quantize dtype=%s; quantize bits=2", blocks[t]);
        check_round_trip(text);
    }
    check_round_trip("quantize bits=4 group=8 scale=double sym=0");
    check_round_trip("quantize bits=4 group=8 scale=super");
    check_round_trip("quantize bits=4 group=8 scale=e8m0");
    check_round_trip("quantize bits=4 group=8 scale=e8m0 sym=0");
    check_round_trip("quantize bits=12 group=8 scale=e4m3 sym=0");
    check_round_trip("quantize dtype=ternary scale=e4m3");
    check_round_trip("quantize bits=4 granularity=column; quantize bits=2");
    check_round_trip("prune sparsity=0.5; quantize dtype=nf4 granularity=column; code");
    check_round_trip("quantize dtype=seq bits=2; prune sparsity=0.5");
    check_round_trip("quantize dtype=dorefa bits=3; code");
    check_round_trip("quantize dtype=int8 narrow=1; prune sparsity=0.5");
    check_round_trip("quantize bits=3; code");
    check_round_trip("quantize bits=3 group=8 sym=0 scale=double; quantize dtype=ternary; code");
    check_round_trip("quantize dtype=nf4; lowrank rank=1; code");
    check_round_trip("codebook bits=5; outliers; code");
    check_round_trip("prune sparsity=0.7; quantize bits=4; code; quantize bits=2");
    check_round_trip("prune sparsity=0.9 format=delta; code");
    check_round_trip("vq dim=3 bits=1; vq dim=4 bits=0.5; code");
    check_round_trip("vq dim=4 bits=2.25 values=f32; lowrank rank=1");
    check_round_trip("trellis bits=1.25 state=7 length=30");
    check_round_trip("rotate; trellis bits=3 state=6 code=1mad; trellis bits=1 state=6 code=3inst scales=layer; code");
    check_round_trip("e8; e8 bits=3 along=row");
    check_round_trip("pvq; pvq length=3 pulses=60 gain=0 scales=layer; code");
    check_round_trip("rotate method=random; quantize dtype=lloyd bits=2; qjl");
    check_round_trip("qjl signs=0.5; simvq length=3 bits=1; lr2vq length=4 bits=1.5 rank=2");
    check_round_trip("rotate side=both; e8 bits=4 along=row scales=layer; lowrank rank=1");
    check_round_trip("vq dim=3 planes=2 scale=row scales=e4m3 values=i8; code");
    check_round_trip("vq dim=4 bits=1 axis=out spaces=2; vq dim=2 values=i8");
    check_round_trip("vq dim=2 outliers=0.2 scale=row; lowrank rank=1");
    check_round_trip("keep");
    check_round_trip("rotate; quantize bits=4 group=8; lowrank rank=1 factors=f16");
    check_round_trip("rotate method=random side=both seed=9; prune sparsity=0.5; quantize bits=3 sym=0");
    check_round_trip("permute order=weight; quantize bits=2 group=4");
    check_round_trip("permute order=random; rotate side=out; keep dtype=bf16");
    check_round_trip("rotate");
    check_round_trip(
        "quantize bits=2; quantize bits=2; quantize bits=2; lowrank rank=1; prune sparsity=0.5; quantize bits=2");
}

static void identity_is_the_file(void **state) {
    (void)state;
    base_err err = {0};
    model *m = open_model(source_file());
    compress_result *r = compress_identity(m, &err);
    compress_saved saved;
    const char *path = support_temp_path("identity.safetensors");
    assert_true(compress_save(r, path, "x", &saved, &err));
    assert_int_equal(compress_row_count(r), m->layer_count);
    assert_int_equal(saved.file_bytes - saved.header_bytes, (int64_t)model_stored_bytes(m));
    model *back = open_model(path);
    for (int i = 0; i < m->tensors->count; i++) {
        const model_tensor *a = &m->tensors->items[i], *b = model_tensors_find(back->tensors, a->name);
        assert_int_equal(a->t.dtype, b->t.dtype);
        assert_memory_equal(a->t.data, b->t.data, a->bytes);
    }
    model_close(back);
    compress_result_free(r);
    model_close(m);
}

static void described(void **state) {
    (void)state;
    base_err err = {0};
    model *m = open_model(source_file());
    compress_result *r = compress_with(m, "quantize bits=4 sym=0 group=8; lowrank rank=2 factors=f16");
    compress_saved saved;
    const char *path = support_temp_path("packed.safetensors");
    assert_true(compress_save(r, path, NULL, &saved, &err));
    model_tensors *t = model_tensors_open(path, &err);
    assert_true(compress_is_packed(t));
    char *text = compress_describe(t, "w6.weight");
    assert_string_equal(text, "uniform 4 bit asym g8 + lowrank r2 (dense f16)");
    free(text);
    assert_null(compress_describe(t, "a.bias"));
    model_tensors_close(t);
    compress_result_free(r);
    model_close(m);
}

// The example of docs/formats.md, byte by byte.
static void worked_example(void **state) {
    (void)state;
    static const float w[] = {0, 0.3f, 0.6f, 1.5f, -0.7f, -0.1f, 0.2f, 0.8f};
    static const struct {
        const char *name;
        size_t count;
        uint8_t bytes[8];
    } want[] = {{"w:0.codes", 4, {0x30, 0xf6, 0x60, 0xf9}},
                {"w:0.scales", 8, {0xcd, 0xcc, 0xcc, 0x3d, 0xcd, 0xcc, 0xcc, 0x3d}},
                {"w:0.zeros", 1, {0x70}}};
    base_err err = {0};
    model_tensor item = {.name = "w", .t = {NUM_F32, 2, {2, 4}, w}};
    const char *plain = support_temp_path("example.safetensors"),
               *path = support_temp_path("example-packed.safetensors");
    assert_true(model_safetensors_save(plain, &item, 1, NULL, NULL, NULL, NULL, &err));
    model *m = open_model(plain);
    compress_result *r = compress_with(m, "quantize bits=4 sym=0 scale=f32");
    compress_saved saved;
    assert_true(compress_save(r, path, "", &saved, &err));
    assert_int_equal(saved.file_bytes - saved.header_bytes, 13);
    model_tensors *t = model_tensors_open(path, &err);
    for (int i = 0; i < 3; i++) {
        const model_tensor *array = model_tensors_find(t, want[i].name);
        assert_non_null(array);
        assert_int_equal(array->bytes, want[i].count);
        assert_memory_equal(array->t.data, want[i].bytes, want[i].count);
    }
    char *text = model_tensors_meta(t, PACKED_KEY);
    assert_string_equal(
        text, "{\"version\":1,\"recipe\":\"\",\"layers\":[{\"tensor\":\"w\",\"dtype\":\"F32\",\"shape\":[2,4],"
              "\"rows\":2,\"bytes\":13,\"text\":\"uniform 4 bit asym\",\"terms\":[{\"kind\":\"uniform\","
              "\"bits\":4,\"scheme\":\"asym\",\"group\":0}]}]}");
    free(text);
    model_tensors_close(t);
    compress_result_free(r);
    model_close(m);
}

// ---- hostile files ---------------------------------------------------------------------------------

// Writes the packed file of `steps` again with its description changed by `from` -> `to` (NULL: as it is), the array
// whose name ends in `blob` given other bytes or left out, and checks the refusal.
typedef struct attack {
    const char *steps, *from, *to, *blob;
    int at, value; // byte `at` of the array becomes value; at -1: the array is left out; -2: one value shorter
    const char *want;
} attack;

static const attack attacks[] = {
    {"quantize bits=4", "\"version\":1", "\"version\":9", NULL, 0, 0, "version 9"},
    {"quantize bits=4", "\"layers\":[", "\"layers\":7,\"x\":[", NULL, 0, 0, "not valid JSON with a list"},
    {"quantize bits=4", "{", "{{", NULL, 0, 0, "not valid JSON"},
    {"quantize bits=4", "\"uniform\"", "\"unicorn\"", NULL, 0, 0, "kind of a term is 'unicorn'"},
    {"quantize bits=4", "\"bits\":4", "\"bits\":40", NULL, 0, 0, "integer from 1 to 16"},
    {"quantize bits=4", "\"bits\":4", "\"bits\":8", NULL, 0, 0, "array codes"},
    {"quantize bits=4", "\"bits\":4,", "", NULL, 0, 0, "'bits' is missing"},
    {"quantize bits=4", "\"bits\":4", "\"bits\":4,\"evil\":1", NULL, 0, 0, "unknown member 'evil'"},
    {"quantize bits=4", "\"scheme\":\"sym\"", "\"scheme\":\"sideways\"", NULL, 0, 0, "expected one of sym|asym"},
    {"quantize bits=4", "\"scheme\":\"sym\"", "\"scheme\":\"sign\"", NULL, 0, 0, "scheme sign"},
    {"quantize bits=4", "\"group\":0", "\"group\":-5", NULL, 0, 0, "integer from -1"},
    {"quantize bits=4", "\"group\":0", "\"group\":1", NULL, 0, 0, "array scales"},
    {"quantize bits=4", "\"shape\":[3,7]", "\"shape\":[3,8]", NULL, 0, 0, "w1.weight"},
    {"quantize bits=4", "\"shape\":[3,7]", "\"shape\":[3,-7]", NULL, 0, 0, "not positive"},
    {"quantize bits=4", "\"shape\":[3,7]", "\"shape\":[3000000000,3000000000,3000000000]", NULL, 0, 0, "too large"},
    {"quantize bits=4", "\"shape\":[3,7]", "\"shape\":\"3x7\"", NULL, 0, 0, "list of 1 to 5"},
    {"quantize bits=4", "\"rows\":3", "\"rows\":2", NULL, 0, 0, "does not divide"},
    {"quantize bits=4", "\"bytes\":17", "\"bytes\":18", NULL, 0, 0, "description says 18"},
    {"quantize bits=4", "\"tensor\":\"w1.weight\"", "\"tensor\":\"w0.weight\"", NULL, 0, 0, "w"},
    {"quantize bits=4", "\"tensor\":\"w1.weight\"", "\"tensor\":\"a.bias\"", NULL, 0, 0, "also holds it as a plain"},
    {"quantize bits=4", "\"tensor\":\"w1.weight\"", "\"tensor\":3", NULL, 0, 0, "names no tensor"},
    {"quantize bits=4", NULL, NULL, "w1.weight:0.codes", -1, 0, "array codes of a uniform term holds 0"},
    {"quantize bits=4", NULL, NULL, "w1.weight:0.codes", -2, 0, "array codes"},
    {"quantize bits=4", NULL, NULL, "w1.weight:0.codes", 10, 255, "unused bits"},
    {"quantize bits=4 granularity=rank1", NULL, NULL, "w1.weight:0.rows", -1, 0, "its arrays take"},
    {"quantize bits=4 granularity=rank1", NULL, NULL, "w1.weight:0.columns", 1, 255, "columns of a rank1 term"},
    {"quantize bits=12", NULL, NULL, "w1.weight:0.codes", 31, 255, "unused bits"},
    {"quantize bits=4 scale=f32", NULL, NULL, "w1.weight:0.scales", 3, 255, "scale 0"},
    {"quantize bits=4", NULL, NULL, "w1.weight:0.scales", -1, 0, "scales"},
    {"quantize dtype=nf4", "\"type\":\"normal\"", "\"type\":\"abnormal\"", NULL, 0, 0, "expected one of minifloat"},
    {"quantize dtype=nf4", "\"type\":\"normal\"", "\"type\":\"power\"", NULL, 0, 0, "array levels"},
    {"quantize dtype=nf4", "\"bits\":4", "\"bits\":1", NULL, 0, 0, "which its type cannot have"},
    {"quantize dtype=e3m2", "\"mantissa\":2", "\"mantissa\":5", NULL, 0, 0, "which its type cannot have"},
    {"quantize dtype=e3m2 granularity=tensor", NULL, NULL, "w1.weight:0.codes", 15, 255, "unused bits"},
    {"quantize dtype=power scale=f32", NULL, NULL, "w1.weight:0.levels", 3, 255, "exponent of a power table"},
    {"quantize dtype=fp8", NULL, NULL, "w1.weight:0.codes", 3, 255, "NaN or Inf"},
    {"quantize dtype=nvfp4", NULL, NULL, "w1.weight:0.scales", 0, 255, "scale 0"},
    {"quantize dtype=mxfp4", NULL, NULL, "w1.weight:0.scales", 0, 255, "scale 0"},
    {"quantize dtype=nf4 scale=double", NULL, NULL, "w1.weight:0.outer", -1, 0, "array outer"},
    {"quantize dtype=q4_K", "\"format\":\"q4_K\"", "\"format\":\"q5_K\"", NULL, 0, 0, "array data"},
    {"quantize dtype=q4_0", NULL, NULL, "w1.weight:0.data", 1, 127, "NaN or Inf"},
    {"quantize dtype=nf4 split=1", "\"split\":1", "\"split\":0", NULL, 0, 0, "array scales"},
    {"quantize dtype=ternary", NULL, NULL, "w1.weight:0.codes", 2, 250, "at most 242"},
    {"prune sparsity=0.5 format=bitmap", NULL, NULL, "w1.weight:0.map", 2, 255, "unused bits"},
    {"prune sparsity=0.5 format=bitmap", NULL, NULL, "w1.weight:0.map", 0, 255, "array data"},
    {"prune sparsity=0.5 format=index", NULL, NULL, "w1.weight:0.columns", 0, 200, "out of order or beyond"},
    {"prune sparsity=0.5 format=index", NULL, NULL, "w1.weight:0.counts", 0, 200, "keeps 200 of 7"},
    {"prune sparsity=0.5 format=delta", NULL, NULL, "w1.weight:0.columns", 0, 200, "run past"},
    {"prune sparsity=0.5 format=delta", NULL, NULL, "w1.weight:0.columns", -2, 0, "end early"},
    {"prune n=2 m=4 format=nm", "\"n\":2", "\"n\":7", NULL, 0, 0, "pattern 7:4"},
    {"prune n=2 m=4 format=nm", NULL, NULL, "w1.weight:0.map", 0, 0, "out of order"},
    {"prune sparsity=0.5", "\"kind\":\"dense\"", "\"kind\":\"lowrank\",\"rank\":2", NULL, 0, 0, "holds 0 terms"},
    {"prune sparsity=0.5", ",\"terms\":[{\"kind\":\"dense\"}]", "", NULL, 0, 0, "holds 0 terms"},
    {"lowrank rank=2", "\"rank\":2", "\"rank\":0", NULL, 0, 0, "integer from 1"},
    {"lowrank rank=2", "\"rank\":2", "\"rank\":2000000000", NULL, 0, 0, "array data"},
    {"lowrank rank=2", "{\"kind\":\"dense\"}",
     "{\"kind\":\"lowrank\",\"rank\":1,\"terms\":[{\"kind\":\"lowrank\",\"rank\":1,\"terms\":[{\"kind\":\"lowrank\","
     "\"rank\":1,\"terms\":[{\"kind\":\"lowrank\",\"rank\":1,\"terms\":[]}]}]}]}",
     NULL, 0, 0, "terms"},
    {"permute order=weight; keep dtype=f16", NULL, NULL, "w1.weight:0.order", 0, 6, "no permutation"},
    {"permute order=weight; keep dtype=f16", NULL, NULL, "w1.weight:0.order", 1, 255, "no permutation"},
    {"permute order=weight; keep dtype=f16", NULL, NULL, "w1.weight:0.order", -1, 0, "array order"},
    {"rotate; keep dtype=f16", "\"groups\":1", "\"groups\":2", NULL, 0, 0, "do not divide"},
    {"rotate; keep dtype=f16", "\"seed\":1", "\"seed\":-1", NULL, 0, 0, "integer from 0"},
    {"rotate; keep dtype=f16", "\"hadamard\"", "\"scale\"", NULL, 0, 0, "array scales"},
    {"rotate; keep dtype=f16", "\"hadamard\"", "\"mirror\"", NULL, 0, 0, "expected one of scale"},
    {"rotate method=random; keep dtype=f16", "\"haar\"", "\"random\"", NULL, 0, 0, "an earlier version wrote"},
    {"keep dtype=f16", NULL, NULL, "w1.weight:0.data", 1, 127, "NaN or Inf"},
    {"trellis state=6", "\"state\":6", "\"state\":17", NULL, 0, 0, "integer from 1 to 16"},
    {"trellis state=6", "\"state\":6", "\"state\":1", NULL, 0, 0, "state bits, expected 2 to"},
    {"trellis state=6", "\"values\":\"1\"", "\"values\":\"2\"", NULL, 0, 0, "a trellis term codes"},
    {"trellis state=6", "\"block\":7", "\"block\":8", NULL, 0, 0, "blocks of 8 columns"},
    {"trellis state=6", "\"length\":21", "\"length\":4000", NULL, 0, 0, "runs of 4000"},
    {"trellis state=6", NULL, NULL, "w1.weight:0.codes", -1, 0, "array codes"},
    {"trellis state=6", NULL, NULL, "w1.weight:0.codes", 5, 255, "unused bits"},
    {"trellis state=6", NULL, NULL, "w1.weight:0.scales", 1, 255, "expected a number from 0"},
    {"pvq", "\"pulses\":6", "\"pulses\":9", NULL, 0, 0, "array index"},
    {"pvq", "\"length\":8", "\"length\":256", NULL, 0, 0, "pvq"},
    {"pvq length=3 pulses=2", NULL, NULL, "w1.weight:0.index", 0, 255, "beyond its 18 vectors"},
    {"pvq", NULL, NULL, "w1.weight:0.levels", 1, 255, "expected a number from 0"},
    {"pvq gain=3", NULL, NULL, "w1.weight:0.gains", 1, 255, "unused bits"},
    {"qjl", "\"signs\":7", "\"signs\":9", NULL, 0, 0, "array signs"},
    {"qjl", NULL, NULL, "w1.weight:0.norms", -2, 0, "array norms"},
    {"qjl", NULL, NULL, "w1.weight:0.signs", 2, 255, "unused bits"},
    {"simvq", "\"coefficients\":\"normal\"", "\"coefficients\":\"stored\"", NULL, 0, 0, "array coefficients"},
    {"simvq", "\"seed\":1", "\"seed\":-1", NULL, 0, 0, "integer from 0"},
    {"lr2vq", "\"rank\":3", "\"rank\":4", NULL, 0, 0, "array coefficients"},
    {"lr2vq", NULL, NULL, "w1.weight:0.basis", 1, 127, "not finite"},
    {"e8 bits=3", "\"bits\":3", "\"bits\":4", NULL, 0, 0, "array second"},
    {"e8 bits=3", "\"along\":\"row\"", "\"along\":\"column\"", NULL, 0, 0, "array codes"},
    {"trellis state=9 code=hyb", "\"state\":9", "\"state\":7", NULL, 0, 0, "code hyb has 7 state bits"},
    {"trellis state=9 code=hyb", "\"code\":\"hyb\"", "\"code\":\"1mad\"", NULL, 0, 0, "which its code cannot"},
    {"e8 code=lattice", "\"along\":\"row\"", "\"along\":\"column\"", NULL, 0, 0, "array codes"},
    {"e8 code=lattice", "\"low\":-", "\"low\":-900", NULL, 0, 0, "integer from -128"},
    {"e8 code=lattice", NULL, NULL, "w1.weight:0.half", 0, 255, "unused bits"},
    {"e8 code=lattice", NULL, NULL, "w1.weight:0.last", -2, 0, "array last"},
    {"e8", NULL, NULL, "w1.weight:0.codes", -2, 0, "array codes"},
    {"e8", NULL, NULL, "w1.weight:0.scales", -2, 0, "array scales"},
};

static char *with_change(const char *metadata, const char *from, const char *to) {
    json_t *o = json_loads(metadata, 0, NULL);
    const char *text = json_string_value(json_object_get(o, PACKED_KEY)), *at = from ? strstr(text, from) : text;
    // Changes aim at the entry of w1 (3x7) unless the words come only elsewhere.
    const char *entry = strstr(text, "\"tensor\":\"w1.weight\"");
    if (from && entry && strstr(entry, from)) at = strstr(entry, from);
    if (!strcmp(from ? from : "", "{")) at = text;
    assert_non_null(at);
    char *changed = base_sprintf("%.*s%s%s", (int)(at - text), text, to ? to : "", at + (from ? strlen(from) : 0));
    json_object_set_new(o, PACKED_KEY, json_string(changed));
    char *all = json_dumps(o, JSON_COMPACT);
    free(changed);
    json_decref(o);
    return all;
}

static void attack_file(const attack *a) {
    base_err err = {0};
    model *m = open_model(source_file());
    compress_result *r = compress_with(m, a->steps);
    const char *path = support_temp_path("victim.safetensors"), *bad = support_temp_path("bad.safetensors");
    compress_saved saved;
    assert_true(compress_save(r, path, NULL, &saved, &err));
    compress_result_free(r);
    model_close(m);
    model_tensors *t = model_tensors_open(path, &err);
    assert_non_null(t);
    char *metadata = with_change(t->metadata, a->from, a->to);
    model_tensor *items = calloc((size_t)t->count, sizeof *items);
    uint8_t *copy = NULL;
    int n = 0;
    bool hit = !a->blob;
    for (int i = 0; i < t->count; i++) {
        items[n] = t->items[i];
        if (a->blob && !strcmp(items[n].name, a->blob)) {
            hit = true;
            if (a->at == -1) continue;
            copy = malloc(items[n].bytes + 8);
            memcpy(copy, items[n].t.data, items[n].bytes);
            items[n].t.data = copy;
            if (a->at == -2)
                items[n].t.dim[0]--;
            else
                copy[a->at] = (uint8_t)a->value;
            if (a->value == 127) copy[0] = 0, copy[1] = 0x7c;
            if (!strcmp(a->want, "scale 0")) copy[2] = 0xff;
        }
        n++;
    }
    assert_true(hit);
    if (!model_safetensors_save(bad, items, n, metadata, NULL, NULL, NULL, &err)) fail_msg("%s", err.text);
    model_tensors_close(t);
    t = model_tensors_open(bad, &err);
    if (!t) fail_msg("%s", err.text);
    int before = t->count;
    if (compress_unpack(t, &err))
        fail_msg("accepted: %s (%s -> %s)", a->steps, a->from ? a->from : a->blob, a->to ? a->to : "");
    if (!strstr(err.text, a->want)) fail_msg("wanted '%s', got: %s", a->want, err.text);
    assert_int_equal(t->count, before); // nothing half replaced
    model_tensors_close(t);
    free(items);
    free(copy);
    free(metadata);
}

static void hostile_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) attack_file(&attacks[i]);
}

static void cancel_and_patterns(void **state) {
    (void)state;
    base_err err = {0};
    model *m = open_model(source_file());
    compress_step s = make_step("quantize bits=4");
    static const struct {
        const char *pattern, *want;
    } bad[] = {{"w1.wieght", "nearest name is 'w1.weight'"},
               {"w(", "does not compile"},
               {"(", "offset"},
               {"zzzzzzzzzz", "matches no layer"}};
    for (int i = 0; i < 4; i++) {
        compress_rule rule = {(char *)bad[i].pattern, &s, 1};
        compress_plan plan = {.rules = &rule, .rule_count = 1};
        compress_result *r = (compress_result *)&err;
        assert_false(compress_run(m, &plan, NULL, &r, &err));
        assert_null(r);
        if (!strstr(err.text, bad[i].want)) fail_msg("%s", err.text);
    }
    // First and last, and first match wins.
    compress_rule rules[2] = {{(char *)"first|last", &s, 1}, {(char *)".*", NULL, 0}};
    compress_plan plan = {.rules = rules, .rule_count = 2};
    int *rule = calloc((size_t)m->layer_count, sizeof *rule);
    assert_true(compress_match(m, &plan, rule, &err));
    for (int i = 0; i < m->layer_count; i++) assert_int_equal(rule[i], i == 0 || i == m->layer_count - 1 ? 0 : 1);
    free(rule);
    // A cancelled run keeps the finished layers.
    base_job job = {0};
    job.cancel = 1;
    compress_result *r = NULL;
    assert_false(compress_run(m, &plan, &job, &r, &err));
    assert_int_equal(err.status, BASE_CANCELLED);
    assert_non_null(r);
    assert_int_equal(compress_row_count(r), 0);
    compress_result_free(r);
    // Steps that need data cannot run on a model without a graph.
    compress_step white = make_step("lowrank method=whitened rank=1");
    compress_rule one = {(char *)".*", &white, 1};
    plan = (compress_plan){.rules = &one, .rule_count = 1};
    assert_false(compress_run(m, &plan, NULL, &r, &err));
    assert_non_null(strstr(err.text, "no graph"));
    model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),    cmocka_unit_test(identity_is_the_file), cmocka_unit_test(described),
        cmocka_unit_test(worked_example), cmocka_unit_test(hostile_files),        cmocka_unit_test(cancel_and_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
