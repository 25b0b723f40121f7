// Private to compress/: the parts of grids that have files of their own.
#ifndef VISE_COMPRESS_GRID_H
#define VISE_COMPRESS_GRID_H

#include "compress/layer.h"

void grid_table_encode(const grid_spec *g, grid_param p, const float *x, int64_t count, grid_code *codes);
// The range of a table, or of an even grid with one of enum grid_search; the scale is not yet rounded to its stored
// form.
bool grid_search_fit(const grid_spec *g, const float *x, const float *weight, int64_t count, const base_job *job,
                     grid_param *p, base_err *err) BASE_MUST_USE;
// The least stored scale that is not below `step` (scales of one byte are so coarse that rounding down would cut off
// the ends of a range).
float grid_step_up(const grid_spec *g, float step);

// Shared by the sums of |w - q|^2.4. a^(1/5) for a in [1e-30, 1e30]: Newton steps on a^(-1/5) from a guess made of the
// exponent bits (a fifth of them, in float arithmetic, which has vector forms where integer division has none).
static inline float grid_fifth_root(float a) {
    union {
        float f;
        int32_t i;
    } u = {.f = a};
    u.i = 0x4C2B8000 - (int32_t)((float)u.i * 0.2f);
    float y = u.f;
    for (int k = 0; k < 3; k++) {
        float y2 = y * y;
        y = y * (1.2f - 0.2f * (a * (y2 * y2 * y)));
    }
    float y2 = y * y;
    return a * (y2 * y2);
}

#endif
