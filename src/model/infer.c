// infer: the shape rules of every op. Each takes the node with its attributes (already inside the ranges of the op
// table) and the shapes of its inputs, checks that they fit, and says what comes out. Dimension 0 is the batch and
// passes through untouched.
#include "model/ops.h"

#include <math.h>
#include <string.h>

bool ops_fail(const model_node *node, base_err *err, const char *fmt, ...) {
    char text[700];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return base_fail(err, "node '%s' (%s): %s", node->name, model_ops[node->op].name, text);
}

int ops_axis(double a, int ndim) {
    int axis = (int)a < 0 ? (int)a + ndim : (int)a;
    return axis >= 1 && axis < ndim ? axis : -1;
}

static int64_t whole(const model_node *node, int attr) {
    return (int64_t)node->attr[attr];
}

static bool want_ndim(const model_node *node, const model_shape *in, int from, int to, const char *what,
                      base_err *err) {
    if (in->ndim >= from && in->ndim <= to) return true;
    char text[48];
    return ops_fail(node, err, "its input is %s, expected %s", model_shape_text(text, in), what);
}

bool ops_infer_linear(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 2, 3, "[N, features] or [N, T, features]; flatten images first", err)) return false;
    *out = *in;
    out->dim[in->ndim - 1] = whole(node, LINEAR_OUT);
    return true;
}

// Places a window of `kernel` (spread by `dilation`) takes along an axis of `size` values.
static bool window(const model_node *node, const char *axis, int64_t size, int64_t kernel, int64_t stride,
                   int64_t dilation, int64_t before, int64_t after, int64_t *places, base_err *err) {
    int64_t span = dilation * (kernel - 1) + 1, room = size + before + after;
    if (span > room)
        return ops_fail(node, err, "its kernel covers %lld values of the %s, but the input with padding has %lld",
                        (long long)span, axis, (long long)room);
    *places = (room - span) / stride + 1;
    return true;
}

bool ops_infer_conv2d(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 4, 4, "an image [N, C, H, W]", err)) return false;
    int64_t groups = whole(node, CONV_GROUPS), to = whole(node, CONV_OUT);
    if (in->dim[1] % groups || to % groups)
        return ops_fail(node, err,
                        "%lld groups must divide both the %lld channels that come in and the %lld that go out",
                        (long long)groups, (long long)in->dim[1], (long long)to);
    *out = (model_shape){4, {in->dim[0], to}};
    return window(node, "height", in->dim[2], whole(node, CONV_KH), whole(node, CONV_STRIDE_H),
                  whole(node, CONV_DILATION_H), whole(node, CONV_PAD_TOP), whole(node, CONV_PAD_BOTTOM), &out->dim[2],
                  err) &&
           window(node, "width", in->dim[3], whole(node, CONV_KW), whole(node, CONV_STRIDE_W),
                  whole(node, CONV_DILATION_W), whole(node, CONV_PAD_LEFT), whole(node, CONV_PAD_RIGHT), &out->dim[3],
                  err);
}

bool ops_infer_pool(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 4, 4, "an image [N, C, H, W]", err)) return false;
    int64_t kh = whole(node, POOL_KH), kw = whole(node, POOL_KW);
    int64_t sh = whole(node, POOL_STRIDE_H), sw = whole(node, POOL_STRIDE_W);
    int64_t top = whole(node, POOL_PAD_TOP), bottom = whole(node, POOL_PAD_BOTTOM);
    int64_t left = whole(node, POOL_PAD_LEFT), right = whole(node, POOL_PAD_RIGHT);
    if (top >= kh || bottom >= kh || left >= kw || right >= kw)
        return ops_fail(node, err,
                        "padding %lld,%lld,%lld,%lld (top, left, bottom, right) must be smaller than the "
                        "%lldx%lld kernel, or a window would see padding only",
                        (long long)top, (long long)left, (long long)bottom, (long long)right, (long long)kh,
                        (long long)kw);
    *out = *in;
    return window(node, "height", in->dim[2], kh, sh ? sh : kh, 1, top, bottom, &out->dim[2], err) &&
           window(node, "width", in->dim[3], kw, sw ? sw : kw, 1, left, right, &out->dim[3], err);
}

bool ops_infer_global_pool(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 4, 4, "an image [N, C, H, W]", err)) return false;
    *out = (model_shape){2, {in->dim[0], in->dim[1]}};
    return true;
}

bool ops_infer_batch_norm(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (in->ndim != 2 && in->ndim != 4) {
        char text[48];
        return ops_fail(node, err, "its input is %s, expected [N, features] or [N, C, H, W]",
                        model_shape_text(text, in));
    }
    *out = *in;
    return true;
}

bool ops_infer_last_norm(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    *out = *in;
    return want_ndim(node, in, 2, 5, "at least [N, features]", err);
}

bool ops_infer_embedding(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 2, 2, "token ids [N, T]", err)) return false;
    *out = (model_shape){3, {in->dim[0], in->dim[1], whole(node, EMBEDDING_WIDTH)}};
    return true;
}

bool ops_infer_position(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 3, 3, "a sequence [N, T, features]", err)) return false;
    if (in->dim[2] != whole(node, EMBEDDING_WIDTH))
        return ops_fail(node, err, "its rows are %lld wide, but the sequence has %lld features",
                        (long long)whole(node, EMBEDDING_WIDTH), (long long)in->dim[2]);
    if (in->dim[1] > whole(node, EMBEDDING_COUNT))
        return ops_fail(node, err, "it has %lld positions, but the sequence is %lld long",
                        (long long)whole(node, EMBEDDING_COUNT), (long long)in->dim[1]);
    *out = *in;
    return true;
}

bool ops_infer_same(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    (void)node, (void)err;
    *out = *in;
    return true;
}

static bool want_axis(const model_node *node, double attr, const model_shape *in, int *axis, base_err *err) {
    *axis = ops_axis(attr, in->ndim);
    if (*axis > 0) return true;
    char text[48];
    return ops_fail(node, err, "axis %g of %s: expected 1 to %d, or -%d to -1 (0 is the batch)", attr,
                    model_shape_text(text, in), in->ndim - 1, in->ndim - 1);
}

bool ops_infer_softmax(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int axis;
    *out = *in;
    return want_axis(node, node->attr[SOFTMAX_AXIS], in, &axis, err);
}

// add, mul: equal shapes, or each dimension after the batch equal or 1 (numpy's broadcast at equal ranks).
bool ops_infer_broadcast(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    *out = in[0];
    for (int k = 1; k < node->in_count; k++) {
        bool fit = in[k].ndim == out->ndim && in[k].dim[0] == out->dim[0];
        for (int d = 1; fit && d < out->ndim; d++) {
            if (in[k].dim[d] == out->dim[d] || in[k].dim[d] == 1) continue;
            fit = out->dim[d] == 1;
            out->dim[d] = in[k].dim[d];
        }
        char a[48], b[48];
        if (!fit)
            return ops_fail(node, err, "its inputs are %s and %s, expected equal shapes (or 1 where they differ)",
                            model_shape_text(a, &in[0]), model_shape_text(b, &in[k]));
    }
    return true;
}

bool ops_infer_concat(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int axis;
    if (!want_axis(node, node->attr[CONCAT_AXIS], in, &axis, err)) return false;
    *out = in[0];
    for (int k = 1; k < node->in_count; k++) {
        bool fit = in[k].ndim == out->ndim;
        for (int d = 0; fit && d < out->ndim; d++) fit = d == axis || in[k].dim[d] == out->dim[d];
        char a[48], b[48];
        if (!fit)
            return ops_fail(node, err, "its inputs are %s and %s, expected the same shape except along axis %d",
                            model_shape_text(a, &in[0]), model_shape_text(b, &in[k]), axis);
        out->dim[axis] += in[k].dim[axis];
    }
    return true;
}

bool ops_infer_split(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int axis;
    int64_t parts = whole(node, SPLIT_PARTS);
    if (!want_axis(node, node->attr[SPLIT_AXIS], in, &axis, err)) return false;
    if (in->dim[axis] % parts)
        return ops_fail(node, err, "axis %d has %lld values, which %lld equal parts do not divide", axis,
                        (long long)in->dim[axis], (long long)parts);
    for (int k = 0; k < parts; k++) {
        out[k] = *in;
        out[k].dim[axis] = in->dim[axis] / parts;
    }
    return true;
}

bool ops_infer_reshape(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int ndim = (int)whole(node, RESHAPE_NDIM), open = 0;
    int64_t have = model_shape_count(in) / (in->dim[0] ? in->dim[0] : 1), fixed = 1;
    *out = (model_shape){ndim + 1, {in->dim[0]}};
    for (int d = 1; d <= ndim; d++) {
        int64_t size = whole(node, RESHAPE_0 + d - 1);
        if (size == 0) {
            if (d >= in->ndim) return ops_fail(node, err, "dimension %d is 0 (as before), but the input has none", d);
            size = in->dim[d];
        }
        if (size < 0) {
            if (open) return ops_fail(node, err, "only one dimension can be -1 (what is left)");
            open = d;
            continue;
        }
        out->dim[d] = size;
        if (__builtin_mul_overflow(fixed, size, &fixed)) return ops_fail(node, err, "its dimensions are too large");
    }
    if (open && fixed && have % fixed == 0) {
        out->dim[open] = have / fixed;
        fixed = have;
    }
    char text[48];
    if (fixed != have)
        return ops_fail(node, err, "its input %s has %lld values a sample, which its dimensions (%lld) do not fit",
                        model_shape_text(text, in), (long long)have, (long long)fixed);
    return true;
}

bool ops_infer_transpose(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int a, b;
    if (!want_axis(node, node->attr[TRANSPOSE_A], in, &a, err) ||
        !want_axis(node, node->attr[TRANSPOSE_B], in, &b, err))
        return false;
    *out = *in;
    out->dim[a] = in->dim[b];
    out->dim[b] = in->dim[a];
    return true;
}

static int64_t slice_bound(double at, int64_t size) {
    int64_t v = (int64_t)at < 0 ? (int64_t)at + size : (int64_t)at;
    return v < 0 ? 0 : v > size ? size : v;
}

bool ops_infer_slice(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int axis;
    if (!want_axis(node, node->attr[SLICE_AXIS], in, &axis, err)) return false;
    int64_t from = slice_bound(node->attr[SLICE_START], in->dim[axis]);
    int64_t to = slice_bound(node->attr[SLICE_END], in->dim[axis]), step = whole(node, SLICE_STEP);
    if (from >= to)
        return ops_fail(node, err, "values %g to %g of axis %d (which has %lld) are none", node->attr[SLICE_START],
                        node->attr[SLICE_END], axis, (long long)in->dim[axis]);
    *out = *in;
    out->dim[axis] = (to - from + step - 1) / step;
    return true;
}

bool ops_infer_pad(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    int axis;
    if (!want_axis(node, node->attr[PAD_AXIS], in, &axis, err)) return false;
    *out = *in;
    out->dim[axis] += whole(node, PAD_BEFORE) + whole(node, PAD_AFTER);
    return true;
}

bool ops_infer_rope(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    if (!want_ndim(node, in, 3, 3, "a sequence [N, T, heads*head_dim]", err)) return false;
    int64_t d = whole(node, ROPE_HEAD_DIM);
    if (d % 2) return ops_fail(node, err, "head_dim %lld must be even: rotation works on pairs", (long long)d);
    if (in->dim[2] % d)
        return ops_fail(node, err, "%lld features are no whole number of heads of %lld", (long long)in->dim[2],
                        (long long)d);
    *out = *in;
    return true;
}

bool ops_infer_attention(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    char q[48], k[48], v[48];
    for (int i = 0; i < 3; i++)
        if (!want_ndim(node, &in[i], 3, 3, "q, k and v as sequences [N, T, features]", err)) return false;
    int64_t heads = whole(node, ATTENTION_HEADS), kv = whole(node, ATTENTION_KV_HEADS);
    if (!kv) kv = heads;
    if (heads % kv || in[0].dim[2] % heads)
        return ops_fail(node, err, "%lld heads must be a multiple of the %lld kv_heads and divide q's %lld features",
                        (long long)heads, (long long)kv, (long long)in[0].dim[2]);
    int64_t want = in[0].dim[2] / heads * kv;
    bool fit = in[1].dim[2] == want && in[2].dim[2] == want;
    for (int i = 1; i < 3; i++) fit = fit && in[i].dim[0] == in[0].dim[0] && in[i].dim[1] == in[0].dim[1];
    if (!fit)
        return ops_fail(node, err,
                        "q, k, v are %s, %s, %s; with %lld heads and %lld kv_heads k and v need %lld features",
                        model_shape_text(q, &in[0]), model_shape_text(k, &in[1]), model_shape_text(v, &in[2]),
                        (long long)heads, (long long)kv, (long long)want);
    *out = in[0];
    return true;
}

bool ops_infer_cross_entropy(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    bool fit = in[0].ndim >= 2 && in[1].ndim == in[0].ndim - 1;
    for (int d = 0; fit && d < in[1].ndim; d++) fit = in[1].dim[d] == in[0].dim[d];
    char a[48], b[48];
    if (!fit)
        return ops_fail(node, err, "logits %s and targets %s: expected one target for each row of logits",
                        model_shape_text(a, &in[0]), model_shape_text(b, &in[1]));
    *out = (model_shape){1, {1}};
    return true;
}

bool ops_infer_mse(const model_node *node, const model_shape *in, model_shape *out, base_err *err) {
    bool fit = in[0].ndim == in[1].ndim;
    for (int d = 0; fit && d < in[0].ndim; d++) fit = in[0].dim[d] == in[1].dim[d];
    char a[48], b[48];
    if (!fit)
        return ops_fail(node, err, "prediction %s and target %s must have the same shape", model_shape_text(a, &in[0]),
                        model_shape_text(b, &in[1]));
    *out = (model_shape){1, {1}};
    return true;
}
