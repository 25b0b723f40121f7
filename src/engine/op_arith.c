// add and mul of two or more values with broadcasting: shapes are aligned at the last dimension and a size of 1
// repeats. The walk goes over all dimensions but the last, with a step of 0 or 1 along it.
#include "engine/ops.h"

// Element steps of one input along the output's dimensions: 0 where it repeats.
typedef struct steps {
    int64_t step[5];
} steps;

static steps steps_of(const model_shape *in, const model_shape *out) {
    steps s = {{0}};
    int64_t stride = 1;
    for (int i = in->ndim - 1; i >= 0; i--) {
        const int o = i + out->ndim - in->ndim;
        if (in->dim[i] > 1) s.step[o] = stride;
        stride *= in->dim[i];
    }
    return s;
}

typedef struct walk {
    int64_t rows, width;
    int last;
    const model_shape *shape;
} walk;

static walk walk_of(const model_shape *out) {
    const int last = out->ndim - 1;
    return (walk){op_rows(out), out->dim[last], last, out};
}

// Offset of an input at the start of output row r.
static int64_t row_offset(const walk *w, const steps *s, int64_t r) {
    int64_t offset = 0;
    for (int i = w->last - 1; i >= 0; i--) {
        offset += r % w->shape->dim[i] * s->step[i];
        r /= w->shape->dim[i];
    }
    return offset;
}

typedef void (*combine)(float *to, const float *x, const float *y, int64_t y_step, int64_t count);

BASE_CLONES static void add_rows(float *to, const float *x, const float *y, int64_t y_step, int64_t count) {
    if (y_step)
        for (int64_t i = 0; i < count; i++) to[i] = x[i] + y[i];
    else
        for (int64_t i = 0; i < count; i++) to[i] = x[i] + y[0];
}

BASE_CLONES static void mul_rows(float *to, const float *x, const float *y, int64_t y_step, int64_t count) {
    if (y_step)
        for (int64_t i = 0; i < count; i++) to[i] = x[i] * y[i];
    else
        for (int64_t i = 0; i < count; i++) to[i] = x[i] * y[0];
}

// out = in[0] (repeated as needed), then combined with each other input in turn. In place works because an input that
// is the output's own memory has the output's shape.
static void fold_inputs(const engine_args *a, combine with) {
    const model_shape *o = &a->out_shape[0];
    const int64_t count = op_count(o);
    const walk w = walk_of(o);
    for (int k = 1; k < a->node->in_count; k++) {
        const float *x = k == 1 ? a->in[0] : a->out[0];
        const bool whole = k > 1 || op_count(&a->in_shape[0]) == count;
        if (whole && op_count(&a->in_shape[k]) == count) {
            with(a->out[0], x, a->in[k], 1, count);
            continue;
        }
        const steps sx = steps_of(k == 1 ? &a->in_shape[0] : o, o), sy = steps_of(&a->in_shape[k], o);
        for (int64_t r = 0; r < w.rows; r++) {
            const float *xr = x + row_offset(&w, &sx, r), *yr = a->in[k] + row_offset(&w, &sy, r);
            float *to = a->out[0] + r * w.width;
            if (sx.step[w.last])
                with(to, xr, yr, sy.step[w.last], w.width);
            else if (sy.step[w.last])
                with(to, yr, xr, 0, w.width);
            else
                for (int64_t i = 0; i < w.width; i++) with(to + i, xr, yr, 0, 1);
        }
    }
    if (a->node->in_count == 1 && a->out[0] != a->in[0])
        for (int64_t i = 0; i < count; i++) a->out[0][i] = a->in[0][i];
}

void engine_add_forward(const engine_args *a) {
    fold_inputs(a, add_rows);
}
void engine_mul_forward(const engine_args *a) {
    fold_inputs(a, mul_rows);
}

// din[k] += dout, times the other inputs for mul, summed over what was repeated.
static void spread_gradient(const engine_args *a, bool product) {
    const model_shape *o = &a->out_shape[0];
    const walk w = walk_of(o);
    const int n = a->node->in_count;
    steps s[MODEL_MAX_IN];
    for (int k = 0; k < n; k++) s[k] = steps_of(&a->in_shape[k], o);
    for (int64_t r = 0; r < w.rows; r++) {
        const float *dy = a->dout[0] + r * w.width;
        int64_t at[MODEL_MAX_IN];
        for (int k = 0; k < n; k++) at[k] = row_offset(&w, &s[k], r);
        for (int k = 0; k < n; k++) {
            if (!a->din[k]) continue;
            float *dx = a->din[k] + at[k];
            const int64_t step = s[k].step[w.last];
            for (int64_t i = 0; i < w.width; i++) {
                float d = dy[i];
                for (int j = 0; product && j < n; j++)
                    if (j != k) d *= a->in[j][at[j] + i * s[j].step[w.last]];
                dx[i * step] += d;
            }
        }
    }
}

void engine_add_backward(const engine_args *a) {
    spread_gradient(a, false);
}
void engine_mul_backward(const engine_args *a) {
    spread_gradient(a, true);
}
