// Ops that only move values: concat, split, reshape, transpose, slice, pad. Around an axis a value is
// [outer, axis, inner] and runs of `inner` values stay together.
#include "engine/ops.h"

#include <string.h>

static void copy_run(float *to, const float *from, int64_t count) {
    memcpy(to, from, (size_t)count * sizeof *to);
}

static void add_run(float *to, const float *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

typedef void (*move_run)(float *to, const float *from, int64_t count);

void engine_concat_forward(const engine_args *a) {
    const model_shape *o = &a->out_shape[0];
    const int axis = op_axis(o, op_attr(a, CONCAT_AXIS));
    const int64_t outer = op_span(o, 0, axis), row = op_span(o, axis, o->ndim);
    float *to = a->out[0];
    for (int k = 0; k < a->node->in_count; k++) {
        const int64_t part = op_span(&a->in_shape[k], axis, o->ndim);
        for (int64_t r = 0; r < outer; r++) copy_run(to + r * row, a->in[k] + r * part, part);
        to += part;
    }
}

void engine_concat_backward(const engine_args *a) {
    const model_shape *o = &a->out_shape[0];
    const int axis = op_axis(o, op_attr(a, CONCAT_AXIS));
    const int64_t outer = op_span(o, 0, axis), row = op_span(o, axis, o->ndim);
    const float *from = a->dout[0];
    for (int k = 0; k < a->node->in_count; k++) {
        const int64_t part = op_span(&a->in_shape[k], axis, o->ndim);
        for (int64_t r = 0; a->din[k] && r < outer; r++) add_run(a->din[k] + r * part, from + r * row, part);
        from += part;
    }
}

void engine_split_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = op_axis(s, op_attr(a, SPLIT_AXIS));
    const int64_t outer = op_span(s, 0, axis), row = op_span(s, axis, s->ndim);
    const float *from = a->in[0];
    for (int k = 0; k < a->node->out_count; k++) {
        const int64_t part = op_span(&a->out_shape[k], axis, s->ndim);
        for (int64_t r = 0; r < outer; r++) copy_run(a->out[k] + r * part, from + r * row, part);
        from += part;
    }
}

void engine_split_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0];
    const int axis = op_axis(s, op_attr(a, SPLIT_AXIS));
    const int64_t outer = op_span(s, 0, axis), row = op_span(s, axis, s->ndim);
    float *to = a->din[0];
    for (int k = 0; to && k < a->node->out_count; k++) {
        const int64_t part = op_span(&a->out_shape[k], axis, s->ndim);
        // An output nothing reads has no gradient.
        for (int64_t r = 0; a->dout[k] && r < outer; r++) add_run(to + r * row, a->dout[k] + r * part, part);
        to += part;
    }
}

void engine_reshape_forward(const engine_args *a) {
    if (a->out[0] != a->in[0]) copy_run(a->out[0], a->in[0], op_count(&a->in_shape[0]));
}

void engine_reshape_backward(const engine_args *a) {
    if (a->din[0]) add_run(a->din[0], a->dout[0], op_count(&a->in_shape[0]));
}

// to[j][i] = from[i][j], or added to it, in squares that both sides read and write whole cache lines of.
BASE_CLONES static void turn(const float *restrict from, int64_t from_pitch, float *restrict to, int64_t to_pitch,
                             int64_t rows, int64_t columns, bool add) {
    enum { SIDE = 16 };
    for (int64_t i = 0; i < rows; i += SIDE)
        for (int64_t j = 0; j < columns; j += SIDE)
            for (int64_t q = j; q < op_min(j + SIDE, columns); q++)
                for (int64_t p = i; p < op_min(i + SIDE, rows); p++) {
                    const float value = from[p * from_pitch + q];
                    to[q * to_pitch + p] = add ? to[q * to_pitch + p] + value : value;
                }
}

// Swapping axes p < q: the value is [outer, P, middle, Q, inner]. Forward goes from there to [outer, Q, middle, P,
// inner]; `back` is the way home with the same loops.
static void swap_axes(const engine_args *a, const float *from, float *to, move_run move, bool back) {
    const model_shape *s = &a->in_shape[0];
    const int one = op_axis(s, op_attr(a, TRANSPOSE_A)), two = op_axis(s, op_attr(a, TRANSPOSE_B));
    const int p = one < two ? one : two, q = one < two ? two : one;
    if (p == q) {
        move(to, from, op_count(s));
        return;
    }
    const int64_t outer = op_span(s, 0, p), np = s->dim[p], middle = op_span(s, p + 1, q), nq = s->dim[q];
    const int64_t inner = op_span(s, q + 1, s->ndim), block = np * middle * nq * inner;
    if (inner == 1) {
        for (int64_t o = 0; o < outer * middle; o++) {
            const int64_t x = o / middle * block + o % middle * nq, y = o / middle * block + o % middle * np;
            if (back)
                turn(from + y, middle * np, to + x, middle * nq, nq, np, true);
            else
                turn(from + x, middle * nq, to + y, middle * np, np, nq, false);
        }
        return;
    }
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < np; i++)
            for (int64_t m = 0; m < middle; m++)
                for (int64_t j = 0; j < nq; j++) {
                    const int64_t x = o * block + ((i * middle + m) * nq + j) * inner;
                    const int64_t y = o * block + ((j * middle + m) * np + i) * inner;
                    if (back)
                        move(to + x, from + y, inner);
                    else
                        move(to + y, from + x, inner);
                }
}

void engine_transpose_forward(const engine_args *a) {
    swap_axes(a, a->in[0], a->out[0], copy_run, false);
}

void engine_transpose_backward(const engine_args *a) {
    if (a->din[0]) swap_axes(a, a->dout[0], a->din[0], add_run, true);
}

// Calls for each run that slice keeps: offset in the input, offset in the output.
static void slice_runs(const engine_args *a, const float *from, float *to, bool back) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int axis = op_axis(s, op_attr(a, SLICE_AXIS));
    const int64_t outer = op_span(s, 0, axis), inner = op_span(s, axis + 1, s->ndim);
    const int64_t size = s->dim[axis], kept = o->dim[axis], step = op_attr(a, SLICE_STEP);
    int64_t start = op_attr(a, SLICE_START);
    if (start < 0) start = op_max(0, start + size);
    for (int64_t r = 0; r < outer; r++)
        for (int64_t i = 0; i < kept; i++) {
            const int64_t x = (r * size + start + i * step) * inner, y = (r * kept + i) * inner;
            if (back)
                add_run(to + x, from + y, inner);
            else
                copy_run(to + y, from + x, inner);
        }
}

void engine_slice_forward(const engine_args *a) {
    slice_runs(a, a->in[0], a->out[0], false);
}

void engine_slice_backward(const engine_args *a) {
    if (a->din[0]) slice_runs(a, a->dout[0], a->din[0], true);
}

void engine_pad_forward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int axis = op_axis(s, op_attr(a, PAD_AXIS));
    const int64_t outer = op_span(s, 0, axis), inner = op_span(s, axis + 1, s->ndim);
    const int64_t size = s->dim[axis], wide = o->dim[axis], before = op_attr(a, PAD_BEFORE);
    const float value = (float)a->node->attr[PAD_VALUE];
    for (int64_t r = 0; r < outer; r++)
        for (int64_t i = 0; i < wide; i++) {
            float *to = a->out[0] + (r * wide + i) * inner;
            const int64_t x = i - before;
            if (x >= 0 && x < size)
                copy_run(to, a->in[0] + (r * size + x) * inner, inner);
            else
                for (int64_t j = 0; j < inner; j++) to[j] = value;
        }
}

void engine_pad_backward(const engine_args *a) {
    const model_shape *s = &a->in_shape[0], *o = &a->out_shape[0];
    const int axis = op_axis(s, op_attr(a, PAD_AXIS));
    const int64_t outer = op_span(s, 0, axis), inner = op_span(s, axis + 1, s->ndim);
    const int64_t size = s->dim[axis], wide = o->dim[axis], before = op_attr(a, PAD_BEFORE);
    if (!a->din[0]) return;
    for (int64_t r = 0; r < outer; r++)
        for (int64_t x = 0; x < size; x++) {
            const int64_t i = x + before;
            if (i >= 0 && i < wide)
                add_run(a->din[0] + (r * size + x) * inner, a->dout[0] + (r * wide + i) * inner, inner);
        }
}
