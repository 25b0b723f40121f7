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

void conv_fold_add(const conv_shape *s, const float *rows, int64_t from, int64_t to, float *dx) {
    for (int64_t p = from; p < to; p++) {
        const int64_t y0 = p / s->ow * s->sh - s->top, x0 = p % s->ow * s->sw - s->left;
        for (int64_t c = 0; c < s->cg; c++)
            for (int64_t i = 0; i < s->kh; i++, rows += s->kw) {
                const int64_t y = y0 + i * s->dh;
                if (y < 0 || y >= s->h) continue;
                float *line = dx + (c * s->h + y) * s->w;
                for (int64_t j = 0; j < s->kw; j++) {
                    const int64_t at = x0 + j * s->dw;
                    if (at >= 0 && at < s->w) line[at] += rows[j];
                }
            }
    }
}

void engine_unfold(const model_node *node, const model_shape *in, const float *x, int64_t image, int64_t c0, int64_t cg,
                   float *rows) {
    conv_shape s = conv_shape_of(node, in);
    s.cg = cg;
    s.k = cg * s.kh * s.kw;
    conv_unfold(&s, x + (image * s.c + c0) * s.h * s.w, 0, s.oh * s.ow, rows);
}
