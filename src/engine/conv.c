// Convolution: directly (conv_direct.c) where a plane fills a vector, else through unfolded patches and matrix
// products; backward through patches, in tiles of output positions that stay in cache.
#include "engine/conv.h"

// Values of a tile of patches (256 KiB).
enum { TILE = 65536 };

// Output rows whose columns make a tile.
static int64_t tile_rows(const conv_shape *s) {
    return op_max(1, op_min(s->oh, TILE / (s->k * s->ow)));
}

// Images whose patches are multiplied together when planes are small.
static int64_t tile_images(const conv_shape *s) {
    return op_max(1, op_min(s->n, TILE / (s->k * s->oh * s->ow)));
}

size_t engine_conv2d_scratch(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    const size_t backward = 2 * (size_t)(tile_rows(&s) * s.ow * s.k);
    size_t forward = (size_t)(tile_images(&s) * s.oh * s.ow * (s.k + s.og));
    if (conv_direct_fits(&s)) forward = conv_direct_scratch(&s) + (a->prepared ? 0 : conv_direct_packed(&s) + 16);
    return forward > backward ? forward : backward;
}

size_t engine_conv2d_prepared(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    return conv_direct_fits(&s) ? conv_direct_packed(&s) : 0;
}

void engine_conv2d_prepare(const engine_args *a, float *prepared) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    if (conv_direct_fits(&s)) conv_direct_pack(&s, a->param[0], prepared);
}

// Patches of several images as rows, one product a group, and the results dealt out to their planes.
static void forward_unfolded(const engine_args *a, const conv_shape *s) {
    const int64_t positions = s->oh * s->ow, most = tile_images(s);
    float *patches = a->scratch, *product = patches + most * positions * s->k;
    const float *bias = a->param[1];
    for (int64_t n = 0; n < s->n; n += most) {
        const int64_t images = op_min(most, s->n - n), rows = images * positions;
        for (int64_t g = 0; g < s->groups; g++) {
            for (int64_t i = 0; i < images; i++)
                conv_unfold(s, a->in[0] + ((n + i) * s->c + g * s->cg) * s->h * s->w, 0, positions,
                            patches + i * positions * s->k);
            num_gemm1(false, true, rows, s->og, s->k, 1, patches, s->k, a->param[0] + g * s->og * s->k, s->k, 0,
                      product, s->og);
            for (int64_t r = 0; r < rows; r++) {
                float *y = a->out[0] + ((n + r / positions) * s->oc + g * s->og) * positions + r % positions;
                for (int64_t o = 0; o < s->og; o++)
                    y[o * positions] = product[r * s->og + o] + (bias ? bias[g * s->og + o] : 0);
            }
        }
    }
}

static void finish_unfolded(const engine_args *a, const conv_shape *s) {
    const tile_unit *u = tile_best_unit();
    const engine_fuse *f = a->fuse;
    const int64_t positions = s->oh * s->ow, count = s->n * s->oc * positions;
    float *y = a->out[0];
    for (int64_t p = 0; f->scale && p < s->n * s->oc; p++)
        u->affine(y + p * positions, y + p * positions, f->scale[p % s->oc], f->shift[p % s->oc], positions);
    for (int64_t i = 0; f->add && i < count; i++) y[i] += f->add[i];
    for (int64_t i = 0; f->relu && i < count; i++) y[i] = y[i] < 0 ? 0 : y[i];
}

void engine_conv2d_forward(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    if (!conv_direct_fits(&s)) {
        forward_unfolded(a, &s);
        if (a->fuse) finish_unfolded(a, &s);
        return;
    }
    tile_finish finish = {.bias = a->param[1]};
    if (a->fuse) {
        finish.scale = a->fuse->scale;
        finish.shift = a->fuse->shift;
        finish.add = a->fuse->add;
        finish.relu = a->fuse->relu;
    }
    const float *packed = a->prepared;
    float *rest = a->scratch;
    if (!packed) {
        const size_t count = (conv_direct_packed(&s) + 15) / 16 * 16;
        conv_direct_pack(&s, a->param[0], a->scratch);
        packed = a->scratch;
        rest += count;
    }
    conv_direct(&s, a->in[0], packed, &finish, a->out[0], rest);
}

void engine_conv2d_backward(const engine_args *a) {
    const conv_shape s = conv_shape_of(a->node, &a->in_shape[0]);
    const int64_t plane = s.h * s.w, positions = s.oh * s.ow, tile = tile_rows(&s);
    float *columns = a->scratch, *dcolumns = columns + tile * s.ow * s.k;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t g = 0; g < s.groups; g++) {
            const int64_t in_at = (n * s.c + g * s.cg) * plane, w_at = g * s.og * s.k;
            for (int64_t y = 0; y < s.oh; y += tile) {
                const int64_t end = op_min(y + tile, s.oh), count = (end - y) * s.ow;
                const float *dy = a->dout[0] + (n * s.oc + g * s.og) * positions + y * s.ow;
                if (a->dparam[0]) {
                    conv_columns(&s, a->in[0] + in_at, y, end, columns);
                    num_gemm1(false, true, s.og, s.k, count, 1, dy, positions, columns, count, 1, a->dparam[0] + w_at,
                              s.k);
                }
                if (a->din[0]) {
                    num_gemm1(true, false, s.k, count, s.og, 1, a->param[0] + w_at, s.k, dy, positions, 0, dcolumns,
                              count);
                    conv_columns_add(&s, dcolumns, y, end, a->din[0] + in_at);
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
