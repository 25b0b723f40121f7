// Convolution through unfolded patches and matrix products, in tiles of output positions that stay in cache.
#include "engine/conv.h"

// Values of a tile of patches (256 KiB).
enum { TILE = 65536 };

static int64_t tile_rows(const conv_shape *s) {
    return op_max(1, op_min(s->oh * s->ow, op_max(16, TILE / s->k)));
}

size_t engine_conv2d_scratch(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    return 2 * (size_t)(tile_rows(&s) * s.k);
}

void engine_conv2d_forward(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    const int64_t plane = s.h * s.w, positions = s.oh * s.ow, tile = tile_rows(&s);
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t g = 0; g < s.groups; g++) {
            const float *x = a->in[0] + (n * s.c + g * s.cg) * plane;
            float *y = a->out[0] + (n * s.oc + g * s.og) * positions;
            for (int64_t p = 0; p < positions; p += tile) {
                const int64_t rows = op_min(tile, positions - p);
                conv_unfold(&s, x, p, p + rows, a->scratch);
                num_gemm1(false, true, s.og, rows, s.k, 1, a->param[0] + g * s.og * s.k, s.k, a->scratch, s.k, 0, y + p,
                          positions);
            }
        }
    if (!a->param[1]) return;
    for (int64_t p = 0; p < s.n * s.oc; p++)
        for (int64_t i = 0; i < positions; i++) a->out[0][p * positions + i] += a->param[1][p % s.oc];
}

void engine_conv2d_backward(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    const int64_t plane = s.h * s.w, positions = s.oh * s.ow, tile = tile_rows(&s);
    float *patches = a->scratch, *dpatches = patches + tile * s.k;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t g = 0; g < s.groups; g++) {
            const int64_t in_at = (n * s.c + g * s.cg) * plane, w_at = g * s.og * s.k;
            const float *dy = a->dout[0] + (n * s.oc + g * s.og) * positions;
            for (int64_t p = 0; p < positions; p += tile) {
                const int64_t rows = op_min(tile, positions - p);
                if (a->dparam[0]) {
                    conv_unfold(&s, a->in[0] + in_at, p, p + rows, patches);
                    num_gemm1(false, false, s.og, s.k, rows, 1, dy + p, positions, patches, s.k, 1, a->dparam[0] + w_at,
                              s.k);
                }
                if (a->din[0]) {
                    num_gemm1(true, false, rows, s.k, s.og, 1, dy + p, positions, a->param[0] + w_at, s.k, 0, dpatches,
                              s.k);
                    conv_fold_add(&s, dpatches, p, p + rows, a->din[0] + in_at);
                }
            }
        }
    if (!a->dparam[1]) return;
    for (int64_t p = 0; p < s.n * s.oc; p++) {
        double sum = 0;
        for (int64_t i = 0; i < positions; i++) sum += (double)a->dout[0][p * positions + i];
        a->dparam[1][p % s.oc] += (float)sum;
    }
}
