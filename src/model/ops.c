// ops: the op table. One row an op: its attributes with ranges and help (from which the Lua builders, the argument
// checks and the reference pages come), how many inputs it takes, its parameters, and the functions of infer.c.
// Adding an op is one row here, one shape rule there, and one row of kernels in engine/.
#include "model/ops.h"

#include <math.h>
#include <string.h>

#define COUNT(a) (int)(sizeof(a) / sizeof(a)[0])
#define BIG 1e9
#define INT(n, d, lo, hi, h)                                                                                           \
    { n, BASE_INT, d, lo, hi, NULL, NULL, h }
#define NUM(n, d, lo, hi, h)                                                                                           \
    { n, BASE_NUM, d, lo, hi, NULL, NULL, h }
#define YES(n, d, h)                                                                                                   \
    { n, BASE_BOOL, d, 0, 1, NULL, NULL, h }

static const base_arg linear_args[] = {
    INT("out", 0, 1, BIG, "features that come out"),
    YES("bias", 1, "adds a bias"),
    YES("transposed", 0, "the checkpoint stores the weight as [in x out]"),
};
static const base_arg conv_args[] = {
    INT("out", 0, 1, BIG, "channels that come out"),
    INT("kernel_h", 3, 1, 4096, "kernel height, pixels"),
    INT("kernel_w", 3, 1, 4096, "kernel width, pixels"),
    INT("stride_h", 1, 1, 4096, "step down, pixels"),
    INT("stride_w", 1, 1, 4096, "step right, pixels"),
    INT("pad_top", 0, 0, 4096, "zero rows above"),
    INT("pad_left", 0, 0, 4096, "zero columns left"),
    INT("pad_bottom", 0, 0, 4096, "zero rows below"),
    INT("pad_right", 0, 0, 4096, "zero columns right"),
    INT("dilation_h", 1, 1, 4096, "pixels between kernel rows"),
    INT("dilation_w", 1, 1, 4096, "pixels between kernel columns"),
    INT("groups", 1, 1, BIG, "channel groups; as many as channels: depthwise"),
    YES("bias", 1, "adds a bias"),
};
static const base_arg batch_norm_args[] = {
    NUM("eps", 1e-5, 0, 1, "added to the variance"),
    YES("affine", 1, "has a weight and a bias"),
    NUM("momentum", 0.1, 0, 1, "share of a new batch in the running statistics"),
};
static const base_arg norm_args[] = {
    NUM("eps", 1e-5, 0, 1, "added to the variance or mean square"),
    YES("affine", 1, "has a weight (layer_norm: and a bias)"),
};
static const base_arg embedding_args[] = {
    INT("count", 0, 1, BIG, "entries of the table"),
    INT("width", 0, 1, BIG, "features of an entry"),
};
static const base_arg position_args[] = {
    INT("count", 0, 1, BIG, "positions of the table"),
    INT("width", 0, 1, BIG, "features of a position"),
};
static const base_arg axis_args[] = {INT("axis", -1, -4, 4, "axis; negative from the end, never 0 (the batch)")};
static const base_arg concat_args[] = {INT("axis", 1, -4, 4, "axis to join along; negative from the end, never 0")};
static const base_arg split_args[] = {
    INT("axis", -1, -4, 4, "axis to cut; negative from the end, never 0"),
    INT("parts", 2, 2, MODEL_MAX_OUT, "equal parts"),
};
static const base_arg reshape_args[] = {
    INT("shape_0", -1, -1, BIG, "first dimension after the batch; -1: what is left, 0: as before"),
    INT("shape_1", -1, -1, BIG, "second dimension"),
    INT("shape_2", -1, -1, BIG, "third dimension"),
    INT("shape_3", -1, -1, BIG, "fourth dimension"),
    INT("shape_count", 1, 1, 4, "dimensions after the batch"),
};
static const base_arg transpose_args[] = {
    INT("a", 1, -4, 4, "one axis, never 0"),
    INT("b", 2, -4, 4, "the axis it changes places with"),
};
static const base_arg slice_args[] = {
    INT("axis", 1, -4, 4, "axis; negative from the end, never 0"),
    INT("start", 0, -BIG, BIG, "first value taken; negative from the end"),
    INT("end", BIG, -BIG, BIG, "one past the last value; negative from the end"),
    INT("step", 1, 1, BIG, "takes every step-th value"),
};
static const base_arg pad_args[] = {
    INT("axis", 1, -4, 4, "axis; negative from the end, never 0"),
    INT("before", 0, 0, BIG, "values put before"),
    INT("after", 0, 0, BIG, "values put after"),
    NUM("value", 0, -1e30, 1e30, "the value put there"),
};
static const base_arg pool_args[] = {
    INT("kernel_h", 2, 1, 4096, "window height, pixels"),
    INT("kernel_w", 2, 1, 4096, "window width, pixels"),
    INT("stride_h", 0, 0, 4096, "step down, pixels; 0: the window's height"),
    INT("stride_w", 0, 0, 4096, "step right, pixels; 0: the window's width"),
    INT("pad_top", 0, 0, 4096, "padding rows above"),
    INT("pad_left", 0, 0, 4096, "padding columns left"),
    INT("pad_bottom", 0, 0, 4096, "padding rows below"),
    INT("pad_right", 0, 0, 4096, "padding columns right"),
    YES("count_pad", 1, "averages count padding as zeros (max_pool: no effect)"),
};
static const base_arg global_args[] = {YES("max", 0, "takes the maximum instead of the mean")};
static const base_arg rope_args[] = {
    INT("head_dim", 0, 2, BIG, "features of a head"),
    NUM("base", 10000, 1, 1e12, "base of the frequencies"),
    YES("interleaved", 0, "pairs are neighbours (i, i+1) instead of (i, i + head_dim/2)"),
};
static const base_arg attention_args[] = {
    INT("heads", 0, 1, 65536, "query heads"),
    INT("kv_heads", 0, 0, 65536, "key and value heads; 0: as heads"),
    YES("causal", 1, "a position sees only itself and what came before"),
    NUM("scale", 0, 0, 1e6, "factor of q k; 0: 1/sqrt(head_dim)"),
};

// ---- parameters --------------------------------------------------------------------------------

static int linear_params(const model_node *node, const model_shape *in, model_shape *p) {
    int64_t out = (int64_t)node->attr[LINEAR_OUT];
    p[0] = (model_shape){2, {out, in->dim[in->ndim - 1]}};
    if (node->attr[LINEAR_BIAS] == 0) return 1;
    p[1] = (model_shape){1, {out}};
    return 2;
}

static int conv_params(const model_node *node, const model_shape *in, model_shape *p) {
    const double *a = node->attr;
    int64_t out = (int64_t)a[CONV_OUT], from = in->dim[1] / (int64_t)a[CONV_GROUPS];
    p[0] = (model_shape){4, {out, from, (int64_t)a[CONV_KH], (int64_t)a[CONV_KW]}};
    if (a[CONV_BIAS] == 0) return 1;
    p[1] = (model_shape){1, {out}};
    return 2;
}

static int batch_norm_params(const model_node *node, const model_shape *in, model_shape *p) {
    for (int k = node->attr[NORM_AFFINE] != 0 ? 0 : 2; k < 4; k++) p[k] = (model_shape){1, {in->dim[1]}};
    return 4;
}

static int layer_norm_params(const model_node *node, const model_shape *in, model_shape *p) {
    if (node->attr[NORM_AFFINE] == 0) return 0;
    p[0] = p[1] = (model_shape){1, {in->dim[in->ndim - 1]}};
    return 2;
}

static int rms_norm_params(const model_node *node, const model_shape *in, model_shape *p) {
    return layer_norm_params(node, in, p) ? (p[1] = (model_shape){0}, 1) : 0;
}

static int table_params(const model_node *node, const model_shape *in, model_shape *p) {
    (void)in;
    p[0] = (model_shape){2, {(int64_t)node->attr[EMBEDDING_COUNT], (int64_t)node->attr[EMBEDDING_WIDTH]}};
    return 1;
}

static int no_params(const model_node *node, const model_shape *in, model_shape *p) {
    (void)node, (void)in, (void)p;
    return 0;
}

// ---- floating-point operations -----------------------------------------------------------------
// A multiplication and an addition count one each. Element-wise functions count the usual textbook figure of their
// arithmetic (an exponential as one); moving values counts nothing.

static double values(const model_shape *s) {
    return (double)model_shape_count(s);
}

static double linear_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    return values(out) * (2.0 * (double)in->dim[in->ndim - 1] + (node->attr[LINEAR_BIAS] != 0));
}
static double conv_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    const double *a = node->attr;
    double taps = (double)in->dim[1] / a[CONV_GROUPS] * a[CONV_KH] * a[CONV_KW];
    return values(out) * (2.0 * taps + (a[CONV_BIAS] != 0));
}
static double pool_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)in;
    return values(out) * node->attr[POOL_KH] * node->attr[POOL_KW];
}
static double in_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)node, (void)out;
    return values(in);
}
static double add_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)in;
    return values(out) * (node->in_count - 1);
}
static double norm_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)node, (void)out;
    return values(in) * 5;
}
static double batch_norm_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)node, (void)out;
    return values(in) * 2; // one scale and one shift when the statistics are fixed
}
static double function_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)node, (void)out;
    return values(in) * 4;
}
static double rope_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)node, (void)out;
    return values(in) * 3;
}
static double attention_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)out;
    double n = (double)in->dim[0], t = (double)in->dim[1], width = (double)in->dim[2];
    double pairs = node->attr[ATTENTION_CAUSAL] != 0 ? t * (t + 1) / 2 : t * t;
    return n * pairs * (4 * width + 4 * node->attr[ATTENTION_HEADS]);
}
static double no_flops(const model_node *node, const model_shape *in, const model_shape *out) {
    (void)node, (void)in, (void)out;
    return 0;
}

// ---- the table ---------------------------------------------------------------------------------

#define ARGS(a) a, COUNT(a)
#define NONE NULL, 0
#define WB                                                                                                             \
    { "weight", "bias" }
#define BN                                                                                                             \
    { "weight", "bias", "running_mean", "running_var" }

const model_op_info model_ops[MODEL_OPS] = {
    [MODEL_LINEAR] = {"linear", "y = x W^T + b over the last axis", ARGS(linear_args), 1, 1, WB, 0, ops_infer_linear,
                      linear_params, linear_flops},
    [MODEL_CONV2D] = {"conv2d", "convolution of an image, in groups", ARGS(conv_args), 1, 1, WB, 0, ops_infer_conv2d,
                      conv_params, conv_flops},
    [MODEL_BATCH_NORM] = {"batch_norm", "normalises channels by running statistics", ARGS(batch_norm_args), 1, 1, BN,
                          -1, ops_infer_batch_norm, batch_norm_params, batch_norm_flops},
    [MODEL_LAYER_NORM] = {"layer_norm", "normalises the last axis to mean 0, variance 1", ARGS(norm_args), 1, 1, WB, -1,
                          ops_infer_last_norm, layer_norm_params, norm_flops},
    [MODEL_RMS_NORM] = {"rms_norm",
                        "divides the last axis by its root mean square",
                        ARGS(norm_args),
                        1,
                        1,
                        {"weight"},
                        -1,
                        ops_infer_last_norm,
                        rms_norm_params,
                        norm_flops},
    [MODEL_EMBEDDING] = {"embedding",
                         "a table's row for each token id",
                         ARGS(embedding_args),
                         1,
                         1,
                         {"weight"},
                         0,
                         ops_infer_embedding,
                         table_params,
                         no_flops},
    [MODEL_POSITION] = {"position",
                        "adds a table's row for each position",
                        ARGS(position_args),
                        1,
                        1,
                        {"weight"},
                        -1,
                        ops_infer_position,
                        table_params,
                        in_flops},
    [MODEL_RELU] = {"relu", "max(x, 0)", NONE, 1, 1, {NULL}, -1, ops_infer_same, no_params, in_flops},
    [MODEL_GELU] = {"gelu", "x Phi(x), exact", NONE, 1, 1, {NULL}, -1, ops_infer_same, no_params, function_flops},
    [MODEL_GELU_TANH] = {"gelu_tanh",
                         "x Phi(x), the tanh form of GPT-2",
                         NONE,
                         1,
                         1,
                         {NULL},
                         -1,
                         ops_infer_same,
                         no_params,
                         function_flops},
    [MODEL_SILU] = {"silu", "x sigmoid(x)", NONE, 1, 1, {NULL}, -1, ops_infer_same, no_params, function_flops},
    [MODEL_TANH] = {"tanh", "hyperbolic tangent", NONE, 1, 1, {NULL}, -1, ops_infer_same, no_params, function_flops},
    [MODEL_SIGMOID] =
        {"sigmoid", "1 / (1 + exp(-x))", NONE, 1, 1, {NULL}, -1, ops_infer_same, no_params, function_flops},
    [MODEL_SOFTMAX] = {"softmax",
                       "exp(x) over its sum along an axis",
                       ARGS(axis_args),
                       1,
                       1,
                       {NULL},
                       -1,
                       ops_infer_softmax,
                       no_params,
                       function_flops},
    [MODEL_ADD] =
        {"add", "sum of values", NONE, 2, MODEL_MAX_IN, {NULL}, -1, ops_infer_broadcast, no_params, add_flops},
    [MODEL_MUL] =
        {"mul", "product of values", NONE, 2, MODEL_MAX_IN, {NULL}, -1, ops_infer_broadcast, no_params, add_flops},
    [MODEL_CONCAT] = {"concat",
                      "joins values along an axis",
                      ARGS(concat_args),
                      2,
                      MODEL_MAX_IN,
                      {NULL},
                      -1,
                      ops_infer_concat,
                      no_params,
                      no_flops},
    [MODEL_SPLIT] = {"split",
                     "cuts an axis in equal parts",
                     ARGS(split_args),
                     1,
                     1,
                     {NULL},
                     -1,
                     ops_infer_split,
                     no_params,
                     no_flops},
    [MODEL_RESHAPE] = {"reshape",
                       "other dimensions for the same values",
                       ARGS(reshape_args),
                       1,
                       1,
                       {NULL},
                       -1,
                       ops_infer_reshape,
                       no_params,
                       no_flops},
    [MODEL_TRANSPOSE] = {"transpose",
                         "two axes change places",
                         ARGS(transpose_args),
                         1,
                         1,
                         {NULL},
                         -1,
                         ops_infer_transpose,
                         no_params,
                         no_flops},
    [MODEL_SLICE] = {"slice",
                     "every step-th value of a range of an axis",
                     ARGS(slice_args),
                     1,
                     1,
                     {NULL},
                     -1,
                     ops_infer_slice,
                     no_params,
                     no_flops},
    [MODEL_PAD] = {"pad",
                   "puts a value before and after along an axis",
                   ARGS(pad_args),
                   1,
                   1,
                   {NULL},
                   -1,
                   ops_infer_pad,
                   no_params,
                   no_flops},
    [MODEL_MAX_POOL] =
        {"max_pool", "maximum of windows", ARGS(pool_args), 1, 1, {NULL}, -1, ops_infer_pool, no_params, pool_flops},
    [MODEL_AVG_POOL] =
        {"avg_pool", "mean of windows", ARGS(pool_args), 1, 1, {NULL}, -1, ops_infer_pool, no_params, pool_flops},
    [MODEL_GLOBAL_POOL] = {"global_pool",
                           "mean (or maximum) of each channel",
                           ARGS(global_args),
                           1,
                           1,
                           {NULL},
                           -1,
                           ops_infer_global_pool,
                           no_params,
                           in_flops},
    [MODEL_ROPE] = {"rope",
                    "rotary position embedding (Su et al. 2021)",
                    ARGS(rope_args),
                    1,
                    1,
                    {NULL},
                    -1,
                    ops_infer_rope,
                    no_params,
                    rope_flops},
    [MODEL_ATTENTION] = {"attention",
                         "softmax(q k^T scale) v by heads, grouped-query",
                         ARGS(attention_args),
                         3,
                         3,
                         {NULL},
                         -1,
                         ops_infer_attention,
                         no_params,
                         attention_flops},
    [MODEL_CROSS_ENTROPY] = {"cross_entropy",
                             "sum of -log softmax(logits)[target]",
                             NONE,
                             2,
                             2,
                             {NULL},
                             -1,
                             ops_infer_cross_entropy,
                             no_params,
                             function_flops},
    [MODEL_MSE] = {"mse", "sum of squared differences", NONE, 2, 2, {NULL}, -1, ops_infer_mse, no_params, norm_flops},
};

int model_op_find(const char *name) {
    for (int k = 0; k < MODEL_OPS; k++)
        if (!strcmp(model_ops[k].name, name)) return k;
    return -1;
}

int64_t model_shape_count(const model_shape *s) {
    int64_t count = 1;
    for (int d = 0; d < s->ndim; d++) count *= s->dim[d];
    return count;
}

char *model_shape_text(char out[48], const model_shape *s) {
    return num_shape_text(out, s->ndim, s->dim);
}
