// Embedding (a row of the table for each token) and learned positions (row t of the table added to position t).
#include "engine/ops.h"

#include <math.h>
#include <string.h>

void engine_embedding_forward(const engine_args *a) {
    const int64_t count = op_count(&a->in_shape[0]);
    const int64_t entries = op_attr(a, EMBEDDING_COUNT), width = op_attr(a, EMBEDDING_WIDTH);
    for (int64_t i = 0; i < count; i++) {
        float *y = a->out[0] + i * width;
        const int64_t token = a->tokens[i];
        if (token >= 0 && token < entries)
            memcpy(y, a->param[0] + token * width, (size_t)width * sizeof *y);
        else
            for (int64_t j = 0; j < width; j++) y[j] = NAN;
    }
}

void engine_embedding_backward(const engine_args *a) {
    const int64_t count = op_count(&a->in_shape[0]);
    const int64_t entries = op_attr(a, EMBEDDING_COUNT), width = op_attr(a, EMBEDDING_WIDTH);
    if (!a->dparam[0]) return;
    for (int64_t i = 0; i < count; i++) {
        const int64_t token = a->tokens[i];
        if (token < 0 || token >= entries) continue;
        float *d = a->dparam[0] + token * width;
        const float *dy = a->dout[0] + i * width;
        for (int64_t j = 0; j < width; j++) d[j] += dy[j];
    }
}

// x is [N, T, width]; the first T rows of the table are used.
void engine_position_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t block = s->dim[1] * s->dim[2];
    for (int64_t n = 0; n < s->dim[0]; n++)
        for (int64_t i = 0; i < block; i++) a->out[0][n * block + i] = a->in[0][n * block + i] + a->param[0][i];
}

void engine_position_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int64_t block = s->dim[1] * s->dim[2];
    for (int64_t n = 0; n < s->dim[0]; n++) {
        const float *dy = a->dout[0] + n * block;
        if (a->din[0])
            for (int64_t i = 0; i < block; i++) a->din[0][n * block + i] += dy[i];
        if (a->dparam[0])
            for (int64_t i = 0; i < block; i++) a->dparam[0][i] += dy[i];
    }
}
