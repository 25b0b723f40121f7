// Private to engine/: the numbers of one convolution, shared by its forward, backward and unfolding.
#ifndef VISE_ENGINE_CONV_H
#define VISE_ENGINE_CONV_H

#include "engine/ops.h"
#include "engine/tile.h"

typedef struct conv_shape {
    int64_t n, c, h, w; // input [N, C, H, W]
    int64_t oc, oh, ow; // output [N, OC, OH, OW]
    int64_t kh, kw, sh, sw, top, left, dh, dw, groups;
    int64_t cg, og, k; // channels in and out of a group, taps cg*kh*kw
} conv_shape;

conv_shape conv_shape_of(const model_node *node, const model_shape *in);
// Patches of output positions [from, to) of one image and one group: rows [to - from, k]; x is the group's first plane.
void conv_unfold(const conv_shape *s, const float *x, int64_t from, int64_t to, float *rows);
// The same of output rows [from, to), transposed: columns [k x (to - from) ow]; and back, added to dx.
void conv_columns(const conv_shape *s, const float *x, int64_t from, int64_t to, float *columns);
void conv_columns_add(const conv_shape *s, const float *columns, int64_t from, int64_t to, float *dx);

// Direct convolution (conv_direct.c), for planes of at least one vector of positions.
bool conv_direct_fits(const conv_shape *s);
size_t conv_direct_packed(const conv_shape *s); // floats of the packed weight
void conv_direct_pack(const conv_shape *s, const float *weight, float *packed);
size_t conv_direct_scratch(const conv_shape *s); // floats; without the packed weight
void conv_direct(const conv_shape *s, const float *x, const float *packed, const tile_finish *finish, float *y,
                 float *scratch);

// Second moments of the patches of `images` images (gram_conv.c): h [groups x k x k]. Where it fits.
bool gram_conv_fits(const conv_shape *s);
bool gram_conv(const conv_shape *s, const float *x, int64_t images, float *h, base_job *job,
               base_err *err) BASE_MUST_USE;

#endif
