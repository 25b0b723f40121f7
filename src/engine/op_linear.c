// Linear: y[rows x out] = x[rows x in] W^T + bias, over the last dimension; rows are all the others together. The
// weight may be shared with other nodes (tied embeddings): gradients are added, never stored.
#include "engine/ops.h"
#include "engine/tile.h"

// Up to so many rows reading the weight once is what costs, and a product that packs it reads it twice.
enum { FEW_ROWS = 4 };

void engine_linear_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), in = s->dim[s->ndim - 1], out = op_attr(a, LINEAR_OUT);
    float *y = a->out[0];
    if (rows <= FEW_ROWS)
        tile_best_unit()->dots(y, a->in[0], a->param[0], rows, out, in);
    else
        num_gemm1(false, true, rows, out, in, 1, a->in[0], in, a->param[0], in, 0, y, out);
    if (!a->param[1]) return;
    const float *bias = a->param[1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) y[r * out + o] += bias[o];
}

void engine_linear_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t rows = op_rows(s), in = s->dim[s->ndim - 1], out = op_attr(a, LINEAR_OUT);
    const float *dy = a->dout[0];
    if (a->din[0]) num_gemm1(false, false, rows, in, out, 1, dy, out, a->param[0], in, 1, a->din[0], in);
    if (a->dparam[0]) num_gemm1(true, false, out, in, rows, 1, dy, out, a->in[0], in, 1, a->dparam[0], in);
    if (!a->dparam[1]) return;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) a->dparam[1][o] += dy[r * out + o];
}
