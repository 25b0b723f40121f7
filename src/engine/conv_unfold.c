// Unfolding: the patch of input values under the kernel at each output position, as a row ordered [channel, kh, kw]
// like the weight. Calibration sees a convolution as a matrix through it; backward computes with it.
#include "engine/conv.h"

#include <string.h>

conv_shape conv_shape_of(const model_node *node, const model_shape *in) {
    const double *t = node->attr;
    conv_shape s = {.n = in->dim[0], .c = in->dim[1], .h = in->dim[2], .w = in->dim[3]};
    s.oc = (int64_t)t[CONV_OUT];
    s.kh = (int64_t)t[CONV_KH];
    s.kw = (int64_t)t[CONV_KW];
    s.sh = (int64_t)t[CONV_STRIDE_H];
    s.sw = (int64_t)t[CONV_STRIDE_W];
    s.top = (int64_t)t[CONV_PAD_TOP];
    s.left = (int64_t)t[CONV_PAD_LEFT];
    s.dh = (int64_t)t[CONV_DILATION_H];
    s.dw = (int64_t)t[CONV_DILATION_W];
    s.groups = (int64_t)t[CONV_GROUPS];
    s.oh = (s.h + s.top + (int64_t)t[CONV_PAD_BOTTOM] - s.dh * (s.kh - 1) - 1) / s.sh + 1;
    s.ow = (s.w + s.left + (int64_t)t[CONV_PAD_RIGHT] - s.dw * (s.kw - 1) - 1) / s.sw + 1;
    s.cg = s.c / s.groups;
    s.og = s.oc / s.groups;
    s.k = s.cg * s.kh * s.kw;
    return s;
}

void conv_unfold(const conv_shape *s, const float *x, int64_t from, int64_t to, float *rows) {
    for (int64_t p = from; p < to; p++) {
        const int64_t y0 = p / s->ow * s->sh - s->top, x0 = p % s->ow * s->sw - s->left;
        for (int64_t c = 0; c < s->cg; c++)
            for (int64_t i = 0; i < s->kh; i++) {
                const int64_t y = y0 + i * s->dh;
                if (y < 0 || y >= s->h) {
                    memset(rows, 0, (size_t)s->kw * sizeof *rows);
                    rows += s->kw;
                    continue;
                }
                const float *line = x + (c * s->h + y) * s->w;
                for (int64_t j = 0; j < s->kw; j++) {
                    const int64_t at = x0 + j * s->dw;
                    *rows++ = at >= 0 && at < s->w ? line[at] : 0;
                }
            }
    }
}

// Columns [first, last) of an output row whose input column for kernel column j lies inside.
static void inside(const conv_shape *s, int64_t j, int64_t *first, int64_t *last) {
    const int64_t at = j * s->dw - s->left; // input column of output column 0
    *first = op_min(s->ow, at < 0 ? (-at + s->sw - 1) / s->sw : 0);
    *last = op_max(*first, op_min(s->ow, at < s->w ? (s->w - at + s->sw - 1) / s->sw : 0));
}

// One line of columns and back; both run along the width, which is what vectors can do.
BASE_CLONES static void take_line(float *restrict to, const float *restrict line, int64_t step, int64_t count) {
    if (step == 1)
        for (int64_t i = 0; i < count; i++) to[i] = line[i];
    else
        for (int64_t i = 0; i < count; i++) to[i] = line[i * step];
}

BASE_CLONES static void give_line(float *restrict line, const float *restrict from, int64_t step, int64_t count) {
    if (step == 1)
        for (int64_t i = 0; i < count; i++) line[i] += from[i];
    else
        for (int64_t i = 0; i < count; i++) line[i * step] += from[i];
}

typedef enum direction { TAKE, GIVE } direction;

// Every tap's line for output rows [from, to): columns [k x (to - from) ow].
static void walk_columns(const conv_shape *s, float *x, int64_t from, int64_t to, float *columns, direction way) {
    for (int64_t c = 0; c < s->cg; c++)
        for (int64_t i = 0; i < s->kh; i++)
            for (int64_t j = 0; j < s->kw; j++) {
                int64_t first, last;
                inside(s, j, &first, &last);
                for (int64_t oy = from; oy < to; oy++, columns += s->ow) {
                    const int64_t y = oy * s->sh - s->top + i * s->dh;
                    const bool there = y >= 0 && y < s->h && first < last;
                    if (way == TAKE && (!there || last - first < s->ow))
                        memset(columns, 0, (size_t)s->ow * sizeof *columns);
                    if (!there) continue;
                    float *line = x + (c * s->h + y) * s->w + first * s->sw + j * s->dw - s->left;
                    if (way == TAKE)
                        take_line(columns + first, line, s->sw, last - first);
                    else
                        give_line(line, columns + first, s->sw, last - first);
                }
            }
}

void conv_columns(const conv_shape *s, const float *x, int64_t from, int64_t to, float *columns) {
    walk_columns(s, (float *)x, from, to, columns, TAKE);
}

void conv_columns_add(const conv_shape *s, const float *columns, int64_t from, int64_t to, float *dx) {
    walk_columns(s, dx, from, to, (float *)columns, GIVE);
}

void engine_unfold(const model_node *node, const model_shape *in, const float *x, int64_t image, int64_t c0, int64_t cg,
                   float *rows) {
    conv_shape s = conv_shape_of(node, in);
    s.cg = cg;
    s.k = cg * s.kh * s.kw;
    conv_unfold(&s, x + (image * s.c + c0) * s.h * s.w, 0, s.oh * s.ow, rows);
}
