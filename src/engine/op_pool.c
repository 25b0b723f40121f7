// Pooling over windows of H x W (maximum, average) and over the whole plane. Padding never wins a maximum; an average
// counts it only when POOL_COUNT_PAD is set (then also what a window reaches beyond the padding is left out, as in
// PyTorch).
#include "engine/ops.h"

#include <math.h>
#include <string.h>

typedef struct window {
    int64_t y0, y1, x0, x1; // inside the plane
    int64_t full;           // positions counting padding
} window;

typedef struct pool {
    int64_t planes, h, w, oh, ow;
    int64_t kh, kw, sh, sw, top, left, bottom, right;
} pool;

static pool pool_of(const engine_args *a) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    return (pool){.planes = s->dim[0] * s->dim[1],
                  .h = s->dim[2],
                  .w = s->dim[3],
                  .oh = o->dim[2],
                  .ow = o->dim[3],
                  .kh = op_attr(a, POOL_KH),
                  .kw = op_attr(a, POOL_KW),
                  .sh = op_attr(a, POOL_STRIDE_H) ? op_attr(a, POOL_STRIDE_H) : op_attr(a, POOL_KH),
                  .sw = op_attr(a, POOL_STRIDE_W) ? op_attr(a, POOL_STRIDE_W) : op_attr(a, POOL_KW),
                  .top = op_attr(a, POOL_PAD_TOP),
                  .left = op_attr(a, POOL_PAD_LEFT),
                  .bottom = op_attr(a, POOL_PAD_BOTTOM),
                  .right = op_attr(a, POOL_PAD_RIGHT)};
}

static window window_of(const pool *p, int64_t oy, int64_t ox) {
    const int64_t y = oy * p->sh - p->top, x = ox * p->sw - p->left;
    const int64_t y_end = op_min(y + p->kh, p->h + p->bottom), x_end = op_min(x + p->kw, p->w + p->right);
    return (window){op_max(y, 0), op_min(y_end, p->h), op_max(x, 0), op_min(x_end, p->w), (y_end - y) * (x_end - x)};
}

// Index of the first maximum of the window; -1 when it holds padding only. NaN wins, so that it is seen.
static int64_t window_max(const pool *p, const float *x, window v) {
    int64_t best = -1;
    for (int64_t y = v.y0; y < v.y1; y++)
        for (int64_t c = v.x0; c < v.x1; c++) {
            const int64_t i = y * p->w + c;
            if (best < 0 || x[i] > x[best] || (isnan(x[i]) && !isnan(x[best]))) best = i;
        }
    return best;
}

// Rows of windows are pooled in two steps that vectors can do: down the columns into `line` [left | w | right], filled
// with `edge` where there is padding, then along it.
BASE_CLONES static void line_max(float *restrict line, const float *restrict x, int64_t count) {
    // The second comparison is true for NaN only.
    for (int64_t i = 0; i < count; i++) line[i] = x[i] > line[i] || x[i] != x[i] ? x[i] : line[i];
}

BASE_CLONES static void line_add(float *restrict line, const float *restrict x, int64_t count) {
    for (int64_t i = 0; i < count; i++) line[i] += x[i];
}

BASE_CLONES static void take_max(float *restrict out, const float *restrict line, int64_t step, int64_t count) {
    if (step == 2)
        for (int64_t i = 0; i < count; i++) {
            const float v = line[2 * i];
            out[i] = v > out[i] || v != v ? v : out[i];
        }
    else
        for (int64_t i = 0; i < count; i++) {
            const float v = line[i * step];
            out[i] = v > out[i] || v != v ? v : out[i];
        }
}

BASE_CLONES static void take_add(float *restrict out, const float *restrict line, int64_t step, int64_t count) {
    if (step == 2)
        for (int64_t i = 0; i < count; i++) out[i] += line[2 * i];
    else
        for (int64_t i = 0; i < count; i++) out[i] += line[i * step];
}

typedef struct pooling {
    void (*down)(float *restrict line, const float *restrict x, int64_t count);
    void (*along)(float *restrict out, const float *restrict line, int64_t step, int64_t count);
    float edge;
} pooling;

size_t engine_pool_scratch(const engine_args *a) {
    const pool p = pool_of(a);
    return (size_t)((p.ow - 1) * p.sw + p.kw + p.left + p.w);
}

static void pool_row(const pool *p, const pooling *how, const float *x, int64_t oy, float *line, float *out) {
    const window v = window_of(p, oy, 0);
    const int64_t reach = op_max((p->ow - 1) * p->sw + p->kw, p->left + p->w);
    for (int64_t i = 0; i < reach; i++) line[i] = how->edge;
    for (int64_t y = v.y0; y < v.y1; y++) how->down(line + p->left, x + y * p->w, p->w);
    for (int64_t i = 0; i < p->ow; i++) out[i] = how->edge;
    for (int64_t j = 0; j < p->kw; j++) how->along(out, line + j, p->sw, p->ow);
}

void engine_max_pool_forward(const engine_args *a) {
    const pool p = pool_of(a);
    const pooling how = {line_max, take_max, -INFINITY};
    for (int64_t n = 0; n < p.planes; n++)
        for (int64_t oy = 0; oy < p.oh; oy++)
            pool_row(&p, &how, a->in[0] + n * p.h * p.w, oy, a->scratch, a->out[0] + (n * p.oh + oy) * p.ow);
}

void engine_max_pool_backward(const engine_args *a) {
    const pool p = pool_of(a);
    const float *dy = a->dout[0];
    if (!a->din[0]) return;
    for (int64_t n = 0; n < p.planes; n++) {
        const float *x = a->in[0] + n * p.h * p.w;
        float *dx = a->din[0] + n * p.h * p.w;
        for (int64_t oy = 0; oy < p.oh; oy++)
            for (int64_t ox = 0; ox < p.ow; ox++, dy++) {
                const int64_t best = window_max(&p, x, window_of(&p, oy, ox));
                if (best >= 0) dx[best] += *dy;
            }
    }
}

static float share_of(const engine_args *a, window v) {
    const int64_t count = op_attr(a, POOL_COUNT_PAD) ? v.full : (v.y1 - v.y0) * (v.x1 - v.x0);
    return count > 0 ? 1 / (float)count : 0;
}

void engine_avg_pool_forward(const engine_args *a) {
    const pool p = pool_of(a);
    const pooling how = {line_add, take_add, 0};
    for (int64_t n = 0; n < p.planes; n++)
        for (int64_t oy = 0; oy < p.oh; oy++) {
            float *out = a->out[0] + (n * p.oh + oy) * p.ow;
            pool_row(&p, &how, a->in[0] + n * p.h * p.w, oy, a->scratch, out);
            for (int64_t ox = 0; ox < p.ow; ox++) out[ox] *= share_of(a, window_of(&p, oy, ox));
        }
}

void engine_avg_pool_backward(const engine_args *a) {
    const pool p = pool_of(a);
    const float *dy = a->dout[0];
    if (!a->din[0]) return;
    for (int64_t n = 0; n < p.planes; n++) {
        float *dx = a->din[0] + n * p.h * p.w;
        for (int64_t oy = 0; oy < p.oh; oy++)
            for (int64_t ox = 0; ox < p.ow; ox++) {
                const window v = window_of(&p, oy, ox);
                const float d = *dy++ * share_of(a, v);
                for (int64_t y = v.y0; y < v.y1; y++)
                    for (int64_t c = v.x0; c < v.x1; c++) dx[y * p.w + c] += d;
            }
    }
}

static int64_t first_max(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best] || (isnan(x[i]) && !isnan(x[best]))) best = i;
    return best;
}

void engine_global_pool_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t planes = s->dim[0] * s->dim[1], size = op_span(s, 2, s->ndim);
    for (int64_t n = 0; n < planes; n++) {
        const float *x = a->in[0] + n * size;
        if (op_attr(a, GLOBAL_MAX)) {
            a->out[0][n] = x[first_max(x, size)];
            continue;
        }
        // Sixteen partial sums: one vector register, and rounding that grows with size / 16.
        float lane[16] = {0}, sum = 0;
        int64_t i = 0;
        for (; i + 16 <= size; i += 16)
            for (int j = 0; j < 16; j++) lane[j] += x[i + j];
        for (; i < size; i++) sum += x[i];
        for (int j = 0; j < 16; j++) sum += lane[j];
        a->out[0][n] = sum / (float)size;
    }
}

void engine_global_pool_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t planes = s->dim[0] * s->dim[1], size = op_span(s, 2, s->ndim);
    if (!a->din[0]) return;
    for (int64_t n = 0; n < planes; n++) {
        float *dx = a->din[0] + n * size;
        if (op_attr(a, GLOBAL_MAX)) {
            dx[first_max(a->in[0] + n * size, size)] += a->dout[0][n];
            continue;
        }
        const float d = a->dout[0][n] / (float)size;
        for (int64_t i = 0; i < size; i++) dx[i] += d;
    }
}
