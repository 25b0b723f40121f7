// Rotary position embedding (Su et al. 2021): pair i of a head turns by position * base^(-2i/head_dim). Pairs are
// (i, i + head_dim/2), or (2i, 2i+1) when interleaved.
#include "engine/ops.h"

#include <math.h>

size_t engine_rope_scratch(const engine_args *a) {
    return (size_t)(a->in_shape[0].dim[1] * op_attr(a, ROPE_HEAD_DIM));
}

// table[t][0..half) = cos, table[t][half..2 half) = sin.
static void rope_table(const engine_args *a, int64_t positions, float *table) {
    const int64_t half = op_attr(a, ROPE_HEAD_DIM) / 2;
    for (int64_t i = 0; i < half; i++) {
        const double angle = pow(a->node->attr[ROPE_BASE], -(double)i / (double)half);
        const double step_cos = cos(angle), step_sin = sin(angle);
        double c = 1, s = 0;
        for (int64_t t = 0; t < positions; t++) {
            // Steps of one position by the addition theorem, started afresh now and then to bound rounding.
            if (t % 64 == 0) {
                c = cos(angle * (double)t);
                s = sin(angle * (double)t);
            }
            table[t * 2 * half + i] = (float)c;
            table[t * 2 * half + half + i] = (float)s;
            const double next = c * step_cos - s * step_sin;
            s = s * step_cos + c * step_sin;
            c = next;
        }
    }
}

static void rope_turn(const engine_args *a, const float *from, float *to, float direction, bool add) {
    const model_shape *s = &a->in_shape[0];
    const int64_t positions = s->dim[1], width = s->dim[2], dim = op_attr(a, ROPE_HEAD_DIM), half = dim / 2;
    const bool interleaved = op_attr(a, ROPE_INTERLEAVED) != 0;
    const int64_t second = interleaved ? 1 : half, step = interleaved ? 2 : 1;
    rope_table(a, positions, a->scratch);
    for (int64_t r = 0; r < s->dim[0] * positions; r++) {
        const float *cosine = a->scratch + r % positions * dim, *sine = cosine + half;
        for (int64_t h = 0; h < width; h += dim) {
            const float *x = from + r * width + h;
            float *y = to + r * width + h;
            for (int64_t i = 0; i < half; i++) {
                const float u = x[i * step], v = x[i * step + second], turn = direction * sine[i];
                const float p = u * cosine[i] - v * turn, q = u * turn + v * cosine[i];
                y[i * step] = add ? y[i * step] + p : p;
                y[i * step + second] = add ? y[i * step + second] + q : q;
            }
        }
    }
}

void engine_rope_forward(const engine_args *a) {
    rope_turn(a, a->in[0], a->out[0], 1, false);
}

void engine_rope_backward(const engine_args *a) {
    if (a->din[0]) rope_turn(a, a->dout[0], a->din[0], -1, true);
}
