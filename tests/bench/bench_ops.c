// Speed of each op on one thread at the shapes of real networks: GFLOP/s and its share of this machine's measured sgemm
// peak, or for ops bound by memory GB/s (each operand read or written once) and its share of the measured triad
// bandwidth at that size. Usage: bench_ops [WORD] runs the rows whose name holds WORD.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/kernels.h"

typedef struct row {
    const char *name;
    model_op op;
    const char *attrs, *shapes; // as in tests/support/op_check.h
    bool memory;                // measured in bytes, not operations
} row;

#define SAME " pad_top=1 pad_left=1 pad_bottom=1 pad_right=1"
static const row rows[] = {
    {"conv 3>16 @32 (resnet-20)", MODEL_CONV2D, "out=16 bias=0" SAME, "4x3x32x32", false},
    {"conv 16>16 @32 (resnet-20)", MODEL_CONV2D, "out=16 bias=0" SAME, "4x16x32x32", false},
    {"conv 16>32 /2 @32 (resnet-20)", MODEL_CONV2D, "out=32 stride_h=2 stride_w=2 bias=0" SAME, "4x16x32x32", false},
    {"conv 32>32 @16 (resnet-20)", MODEL_CONV2D, "out=32 bias=0" SAME, "4x32x16x16", false},
    {"conv 32>64 /2 @16 (resnet-20)", MODEL_CONV2D, "out=64 stride_h=2 stride_w=2 bias=0" SAME, "4x32x16x16", false},
    {"conv 64>64 @8 (resnet-20)", MODEL_CONV2D, "out=64 bias=0" SAME, "4x64x8x8", false},
    {"conv 256>256 @14 (resnet-50)", MODEL_CONV2D, "out=256 bias=0" SAME, "1x256x14x14", false},
    {"conv 512>512 @7 (resnet-50)", MODEL_CONV2D, "out=512 bias=0" SAME, "1x512x7x7", false},
    {"conv 7x7 3>64 /2 @224", MODEL_CONV2D,
     "out=64 kernel_h=7 kernel_w=7 stride_h=2 stride_w=2 pad_top=3 pad_left=3 pad_bottom=3 pad_right=3", "1x3x224x224",
     false},
    {"conv 1x1 64>256 @56", MODEL_CONV2D, "out=256 kernel_h=1 kernel_w=1", "1x64x56x56", false},
    {"conv 1x1 512>128 @28", MODEL_CONV2D, "out=128 kernel_h=1 kernel_w=1", "1x512x28x28", false},
    {"conv 1x1 256>512 /2 @14", MODEL_CONV2D, "out=512 kernel_h=1 kernel_w=1 stride_h=2 stride_w=2", "1x256x14x14",
     false},
    {"conv depthwise 96 @56", MODEL_CONV2D, "out=96 groups=96" SAME, "1x96x56x56", false},
    {"conv depthwise 192 /2 @28", MODEL_CONV2D, "out=192 groups=192 stride_h=2 stride_w=2" SAME, "1x192x28x28", false},
    {"conv 5x5 1>6 @28 (lenet)", MODEL_CONV2D,
     "out=6 kernel_h=5 kernel_w=5 pad_top=2 pad_left=2 pad_bottom=2 pad_right=2", "8x1x28x28", false},
    {"conv 5x5 6>16 @14 (lenet)", MODEL_CONV2D, "out=16 kernel_h=5 kernel_w=5", "8x6x14x14", false},
    {"conv 16>32 @8 (digits)", MODEL_CONV2D, "out=32" SAME, "8x16x8x8", false},
    {"conv 3x3 64>64 @2", MODEL_CONV2D, "out=64" SAME, "16x64x2x2", false},
    {"linear 400>120 (lenet), 8 rows", MODEL_LINEAR, "out=120", "8x400", false},
    {"linear 288>768, 256 rows", MODEL_LINEAR, "out=768 bias=0", "1x256x288", false},
    {"linear 768>3072, 128 rows", MODEL_LINEAR, "out=3072", "1x128x768", false},
    {"linear 1024>1024, 1 row", MODEL_LINEAR, "out=1024 bias=0", "1x1024", true},
    {"linear 768>3072, 4 rows", MODEL_LINEAR, "out=3072", "4x768", true},
    {"batch norm 16 @32", MODEL_BATCH_NORM, "", "4x16x32x32", true},
    {"layer norm 768", MODEL_LAYER_NORM, "", "1x128x768", true},
    {"rms norm 288", MODEL_RMS_NORM, "", "1x256x288", true},
    {"embedding 32000x288", MODEL_EMBEDDING, "count=32000 width=288", "1x256", true},
    {"position 768", MODEL_POSITION, "count=128 width=768", "1x128x768", true},
    {"relu", MODEL_RELU, "", "4x16x32x32", true},
    {"gelu", MODEL_GELU, "", "1x64x3072", true},
    {"gelu (tanh)", MODEL_GELU_TANH, "", "1x64x3072", true},
    {"silu", MODEL_SILU, "", "1x256x768", true},
    {"tanh", MODEL_TANH, "", "1x256x768", true},
    {"sigmoid", MODEL_SIGMOID, "", "1x256x768", true},
    {"softmax 512 last axis", MODEL_SOFTMAX, "axis=-1", "1x256x512", true},
    {"softmax over channels", MODEL_SOFTMAX, "axis=1", "1x32x64x64", true},
    {"add", MODEL_ADD, "", "4x16x32x32 4x16x32x32", true},
    {"mul by channel", MODEL_MUL, "", "4x16x32x32 4x16x1x1", true},
    {"concat", MODEL_CONCAT, "axis=1", "4x16x32x32 4x16x32x32", true},
    {"split", MODEL_SPLIT, "axis=-1 parts=3", "1x128x2304", true},
    {"reshape", MODEL_RESHAPE, "shape_0=-1 shape_count=1", "4x16x32x32", true},
    {"transpose", MODEL_TRANSPOSE, "a=1 b=2", "1x512x512", true},
    {"slice", MODEL_SLICE, "axis=1 step=2", "4x32x32x32", true},
    {"pad channels", MODEL_PAD, "axis=1 before=8 after=8", "4x16x16x16", true},
    {"max pool 2x2", MODEL_MAX_POOL, "", "8x16x28x28", true},
    {"avg pool 2x2", MODEL_AVG_POOL, "", "8x16x28x28", true},
    {"max pool 3x3 /2", MODEL_MAX_POOL,
     "kernel_h=3 kernel_w=3 stride_h=2 stride_w=2 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1", "1x64x112x112", true},
    {"global pool", MODEL_GLOBAL_POOL, "", "4x64x8x8", true},
    {"rope 6 heads of 48", MODEL_ROPE, "head_dim=48", "1x256x288", true},
    {"attention 512, 8 heads of 64", MODEL_ATTENTION, "heads=8", "1x512x512 1x512x512 1x512x512", false},
    {"attention 512, all pairs", MODEL_ATTENTION, "heads=8 causal=0", "1x512x512 1x512x512 1x512x512", false},
    {"attention 256, 8 heads of 8, 4 kv", MODEL_ATTENTION, "heads=8 kv_heads=4", "1x256x64 1x256x32 1x256x32", false},
    {"attention 16, 4 heads of 32", MODEL_ATTENTION, "heads=4", "4x16x128 4x16x128 4x16x128", false},
    {"cross-entropy 1000", MODEL_CROSS_ENTROPY, "", "64x1000 64", true},
    {"mse", MODEL_MSE, "", "64x1000 64x1000", true},
};

typedef struct setup {
    model_node node;
    model_shape in[MODEL_MAX_IN], out[MODEL_MAX_OUT], param[MODEL_MAX_PARAM];
    engine_args a;
    double bytes;
} setup;

static void die(const char *what, const char *why) {
    fprintf(stderr, "bench_ops: %s: %s\n", what, why);
    exit(1);
}

static float *values(setup *s, const char *what, int64_t count, double low) {
    base_err err;
    float *x = base_big_alloc((size_t)count + 16, sizeof *x, what, &err);
    if (!x) die(what, err.text);
    num_rng rng = num_rng_seed(1, (uint64_t)count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(low + 0.1 * num_rng_normal(&rng));
    s->bytes += (double)count * sizeof *x;
    return x;
}

static void read_row(setup *s, const row *r) {
    const model_op_info *info = &model_ops[r->op];
    char text[512], *rest = text;
    *s = (setup){.node = {.op = r->op, .name = "bench", .out_count = 1}};
    for (int i = 0; i < info->attr_count; i++) s->node.attr[i] = info->attrs[i].def;
    snprintf(text, sizeof text, "%s", r->attrs);
    for (char *word; (word = strtok_r(rest, " =", &rest));) {
        int i = 0;
        while (i < info->attr_count && strcmp(info->attrs[i].name, word)) i++;
        if (i == info->attr_count) die(r->name, word);
        s->node.attr[i] = atof(strtok_r(rest, " =", &rest));
    }
    snprintf(text, sizeof text, "%s", r->shapes);
    rest = text;
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        model_shape *shape = &s->in[s->node.in_count++];
        for (char *dim; (dim = strtok_r(word, "x", &word));) shape->dim[shape->ndim++] = atol(dim);
    }
    if (r->op == MODEL_SPLIT) s->node.out_count = (int)s->node.attr[SPLIT_PARTS];
}

static void fill(setup *s, const row *r) {
    base_err err = {0};
    const model_op_info *info = &model_ops[r->op];
    if (!info->infer(&s->node, s->in, s->out, &err)) die(r->name, err.text);
    s->node.param_count = info->param_shapes(&s->node, s->in, s->param);
    s->a = (engine_args){.node = &s->node, .in_shape = s->in, .out_shape = s->out, .param_shape = s->param};
    const int64_t targets = model_shape_count(&s->in[r->op == MODEL_EMBEDDING ? 0 : s->node.in_count - 1]);
    if (r->op == MODEL_EMBEDDING || r->op == MODEL_CROSS_ENTROPY) {
        int32_t *ids = base_calloc((size_t)targets, sizeof *ids);
        for (int64_t i = 0; i < targets; i++) ids[i] = (int32_t)(i * 7919 % 1000);
        s->a.tokens = s->a.labels = ids;
    }
    for (int k = 0; k < s->node.param_count; k++)
        if (s->param[k].ndim) s->a.param[k] = values(s, "parameter", model_shape_count(&s->param[k]), 1);
    if (r->op == MODEL_EMBEDDING) s->bytes = (double)model_shape_count(&s->out[0]) * sizeof(float);
    for (int k = 0; k < s->node.in_count; k++)
        if (r->op != MODEL_EMBEDDING && !(r->op == MODEL_CROSS_ENTROPY && k == 1))
            s->a.in[k] = values(s, "input", model_shape_count(&s->in[k]), 0);
    for (int k = 0; k < s->node.out_count; k++) s->a.out[k] = values(s, "output", model_shape_count(&s->out[k]), 0);
    const double bytes = s->bytes;
    const engine_kernel *k = &engine_kernels[r->op];
    const size_t prepared = k->prepared ? k->prepared(&s->a) : 0;
    if (prepared) {
        float *packed = values(s, "prepared weight", (int64_t)prepared, 0);
        k->prepare(&s->a, packed);
        s->a.prepared = packed;
    }
    if (k->scratch) s->a.scratch = values(s, "scratch", (int64_t)k->scratch(&s->a), 0);
    s->bytes = bytes;
}

// Seconds this thread has run: other work on the machine then disturbs the figures less.
static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Seconds of one call: the best of several batches of calls of at least 3 ms each.
static double seconds_of(void (*call)(void *), void *context) {
    double best = INFINITY;
    int64_t count = 1;
    for (int batch = 0; batch < 30;) {
        const double start = thread_seconds();
        for (int64_t i = 0; i < count; i++) call(context);
        const double took = thread_seconds() - start;
        if (took < 0.003) {
            count *= took < 0.0003 ? 8 : 2;
            continue;
        }
        best = fmin(best, took / (double)count);
        batch++;
    }
    return best;
}

static void call_forward(void *context) {
    const setup *s = context;
    engine_kernels[s->node.op].forward(&s->a);
}

enum { PRODUCT = 768 };

static void call_product(void *context) {
    float *const *m = context;
    num_gemm1(false, false, PRODUCT, PRODUCT, PRODUCT, 1, m[0], PRODUCT, m[1], PRODUCT, 0, m[2], PRODUCT);
}

// GFLOP/s of a large sgemm on this thread.
static double product_peak(void) {
    setup s = {.bytes = 0};
    float *m[3];
    for (int i = 0; i < 3; i++) m[i] = values(&s, "product", PRODUCT * PRODUCT, 0);
    double best = seconds_of(call_product, m);
    for (int i = 0; i < 5; i++) best = fmin(best, seconds_of(call_product, m));
    for (int i = 0; i < 3; i++) base_big_free(m[i]);
    return 2e-9 * PRODUCT * PRODUCT * PRODUCT / best;
}

typedef struct triad {
    float *x, *y, *z;
    int64_t count;
} triad;

BASE_CLONES static void triad_loop(float *restrict x, const float *restrict y, const float *restrict z, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = y[i] + 3 * z[i];
}

static void call_triad(void *context) {
    const triad *t = context;
    triad_loop(t->x, t->y, t->z, t->count);
}

// GB/s of x = y + 3 z over operands that together are as large as the op's.
static double triad_bandwidth(double bytes) {
    setup s = {.bytes = 0};
    triad t = {.count = (int64_t)(bytes / 12)};
    t.x = values(&s, "triad", t.count, 0);
    t.y = values(&s, "triad", t.count, 0);
    t.z = values(&s, "triad", t.count, 0);
    const double seconds = seconds_of(call_triad, &t);
    base_big_free(t.x);
    base_big_free(t.y);
    base_big_free(t.z);
    return 12e-9 * (double)t.count / seconds;
}

static void release(setup *s) {
    for (int k = 0; k < s->node.in_count; k++) base_big_free((void *)s->a.in[k]);
    for (int k = 0; k < s->node.out_count; k++) base_big_free(s->a.out[k]);
    for (int k = 0; k < s->node.param_count; k++) base_big_free((void *)s->a.param[k]);
    base_big_free((void *)s->a.prepared);
    base_big_free(s->a.scratch);
    free((void *)s->a.tokens);
}

int main(int argc, char **argv) {
    num_setup(argv);
    num_set_threads(1);
    const double peak = product_peak();
    printf("sgemm peak, 1 thread (%s): %.1f GFLOP/s\n", num_blas_kernel(), peak);
    printf("%-36s %12s %10s %8s\n", "op", "us", "", "of peak");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const row *r = &rows[i];
        if (argc > 1 && !strstr(r->name, argv[1])) continue;
        setup s;
        read_row(&s, r);
        fill(&s, r);
        const double seconds = seconds_of(call_forward, &s);
        double rate = model_ops[r->op].flops(&s.node, s.in, s.out) / seconds * 1e-9, most = peak;
        if (r->memory) {
            rate = s.bytes / seconds * 1e-9;
            most = triad_bandwidth(s.bytes);
        }
        printf("%-36s %12.2f %7.1f %s %6.0f %%\n", r->name, seconds * 1e6, rate, r->memory ? "GB/s" : "GF/s",
               100 * rate / most);
        fflush(stdout);
        release(&s);
    }
    return 0;
}
