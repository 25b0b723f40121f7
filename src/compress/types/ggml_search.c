// ggml_search: how ggml chooses scales and codes of a sub-block. Each search tries a handful of inverse scales around
// the one that puts the extreme on the last level, takes the closed-form (weighted least squares) scale of the codes
// that come out, and keeps the best; for three bits and for scales of scales a descent over single codes follows.
//
// Sums are in float32 and in the order of the weights, as in the original: other orders give other last digits, and now
// and then another code.
#include "compress/types/ggml.h"

#include <math.h>
#include <string.h>

static const float TINY = 1e-15f; // a group whose largest magnitude is below this is zero

// Half to even, exact below 2^22; what lies beyond (the inverse of a scale may overflow) is held there.
int ggml_nearest(float v) {
    v = v > -4e6f ? v < 4e6f ? v : 4e6f : -4e6f;
    return (int)((v + 12582912.0f) - 12582912.0f);
}

static void clear(uint8_t *code, int n) {
    for (int i = 0; i < n; i++) code[i] = 0;
}

static int within(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

static float extreme_of(int n, const float *x) { // the value of largest magnitude, the first of equals
    float most = 0, value = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]), value = x[i];
    return value;
}

typedef struct line_sums { // of w x l and w l l
    float cross, square;
} line_sums;

static line_sums symmetric_sums(int n, int top, const float *x, const float *weight, float inverse, uint8_t *code) {
    line_sums s = {0, 0};
    for (int i = 0; i < n; i++) {
        int l = within(ggml_nearest(inverse * x[i]), -top, top - 1);
        if (code) code[i] = (uint8_t)(l + top);
        float w = weight ? weight[i] : x[i] * x[i], level = (float)l;
        s.cross += w * x[i] * level;
        s.square += w * level * level;
    }
    return s;
}

// Levels -top .. top - 1, codes from 0; weights x^2 where none are given.
float ggml_fit_symmetric(int n, int top, const float *x, const float *weight, uint8_t *code) {
    float extreme = extreme_of(n, x);
    clear(code, n);
    if (fabsf(extreme) < TINY) return 0;
    line_sums s = symmetric_sums(n, top, x, weight, (float)-top / extreme, code);
    float scale = s.square != 0 ? s.cross / s.square : 0, best = scale * s.cross;
    for (int k = -9; k <= 9; k++) {
        if (k == 0) continue;
        float inverse = -((float)top + 0.1f * (float)k) / extreme;
        s = symmetric_sums(n, top, x, weight, inverse, NULL);
        if (!(s.square > 0 && s.cross * s.cross > best * s.square)) continue;
        symmetric_sums(n, top, x, weight, inverse, code);
        scale = s.cross / s.square;
        best = scale * s.cross;
    }
    return scale;
}

// The same grid with weights x^2, then up to five rounds in which each code moves where that lowers the error of the
// best common scale. (Codes of an all-zero group stay 0, which is its lowest level.)
float ggml_fit_descent(int n, int top, const float *x, uint8_t *code) {
    float extreme = extreme_of(n, x), inverse;
    int level[GGML_MOST];
    clear(code, n);
    if (fabsf(extreme) < TINY) return 0;
    inverse = (float)-top / extreme;
    line_sums s = symmetric_sums(n, top, x, NULL, inverse, code);
    for (int i = 0; i < n; i++) level[i] = code[i] - top;
    bool changed = true;
    for (int round = 0; round < 5 && changed; round++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            float w = x[i] * x[i], l = (float)level[i], cross = s.cross - w * x[i] * l;
            if (!(cross > 0)) continue;
            float square = s.square - w * l * l;
            int next = within(ggml_nearest(x[i] * square / cross), -top, top - 1);
            if (next == level[i]) continue;
            cross += w * x[i] * (float)next;
            square += w * (float)next * (float)next;
            if (square > 0 && cross * cross * s.square > s.cross * s.cross * square) {
                level[i] = next;
                s = (line_sums){cross, square};
                changed = true;
            }
        }
    }
    for (int i = 0; i < n; i++) code[i] = (uint8_t)(level[i] + top);
    return s.square > 0 ? s.cross / s.square : 0;
}

// ---- a scale and a minimum -------------------------------------------------------------------------

static float range_error(int n, const float *x, const float *weight, const uint8_t *code, float scale, float min,
                         bool absolute) {
    float error = 0;
    for (int i = 0; i < n; i++) {
        float d = scale * (float)code[i] + min - x[i];
        error += weight[i] * (absolute ? fabsf(d) : d * d);
    }
    return error;
}

// x ~ scale * code - *min, codes 0 .. top, *min >= 0.
float ggml_fit_range(int n, int top, const float *x, const float *weight, const ggml_steps *steps, uint8_t *code,
                     float *min) {
    float low = x[0], high = x[0], sum_w = weight[0], sum_x = sum_w * x[0];
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sum_w += weight[i];
        sum_x += weight[i] * x[i];
    }
    if (low > 0) low = 0;
    clear(code, n);
    *min = -low;
    if (high <= low) return 0;
    float inverse = (float)top / (high - low), scale = 1 / inverse;
    for (int i = 0; i < n; i++) code[i] = (uint8_t)within(ggml_nearest(inverse * (x[i] - low)), 0, top);
    float best = range_error(n, x, weight, code, scale, low, steps->absolute), found = low;
    for (int k = 0; k <= steps->count; k++) {
        uint8_t tried[GGML_MOST];
        float sum_l = 0, sum_l2 = 0, sum_xl = 0;
        // The original measures each try from the minimum found so far.
        inverse = (steps->first + steps->step * (float)k + (float)top) / (high - found);
        for (int i = 0; i < n; i++) {
            tried[i] = (uint8_t)within(ggml_nearest(inverse * (x[i] - found)), 0, top);
            float w = weight[i], l = (float)tried[i];
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * x[i];
        }
        float determinant = sum_w * sum_l2 - sum_l * sum_l;
        if (!(determinant > 0)) continue;
        float this_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant,
              this_min = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        if (this_min > 0) {
            this_min = 0;
            this_scale = sum_xl / sum_l2;
        }
        float error = range_error(n, x, weight, tried, this_scale, this_min, steps->absolute);
        if (!(error < best)) continue;
        memcpy(code, tried, (size_t)n);
        best = error;
        scale = this_scale;
        found = this_min;
    }
    *min = -found;
    return scale;
}

// ---- scales of scales ------------------------------------------------------------------------------

// x >= 0 ~ scale * code, codes 0 .. top.
float ggml_fit_positive(int n, int top, const float *x, const float *weight, uint8_t *code) {
    float most = 0;
    for (int i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    clear(code, n);
    if (most < TINY) return 0;
    float chosen = (float)top / most, least = 0;
    for (int k = 0; k <= 8; k++) {
        // The plain inverse first, then eight around it.
        int step = k == 0 ? 0 : k <= 4 ? k - 5 : k - 4;
        float inverse = k == 0 ? chosen : (0.1f * (float)step + (float)top) / most, scale = 1 / inverse, error = 0;
        for (int i = 0; i < n; i++) {
            int l = ggml_nearest(inverse * x[i]);
            float d = x[i] - scale * (float)(l < top || k == 0 ? l : top);
            error += weight[i] * d * d;
        }
        if (k == 0 || error < least) least = error, chosen = inverse;
    }
    line_sums s = {0, 0};
    for (int i = 0; i < n; i++) {
        int l = ggml_nearest(chosen * x[i]);
        code[i] = (uint8_t)(l < top ? l : top);
        float level = (float)code[i];
        s.cross += weight[i] * x[i] * level;
        s.square += weight[i] * level * level;
    }
    bool changed = true;
    for (int round = 0; round < 5 && changed; round++) {
        changed = false;
        for (int i = 0; i < n; i++) {
            float w = weight[i], l = (float)code[i], cross = s.cross - w * x[i] * l, square = s.square - w * l * l;
            if (!(cross > 0 && square > 0)) continue;
            int next = ggml_nearest(x[i] * square / cross);
            if (next > top) next = top;
            if (next == code[i]) continue;
            cross += w * x[i] * (float)next;
            square += w * (float)next * (float)next;
            if (cross * cross * s.square > s.cross * s.cross * square) {
                code[i] = (uint8_t)next;
                s = (line_sums){cross, square};
                changed = true;
            }
        }
    }
    return s.square > 0 ? s.cross / s.square : 0;
}

// ---- sixteen uneven levels -------------------------------------------------------------------------

int ggml_nearest_level(const int8_t *levels, float v) {
    if (v <= levels[0]) return 0;
    if (v >= levels[15]) return 15;
    int low = 0, high = 15;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (v < levels[middle])
            high = middle;
        else
            low = middle;
    }
    return v - (float)levels[high - 1] < (float)levels[high] - v ? high - 1 : high;
}

static line_sums level_sums(int n, const int8_t *levels, const float *x, const float *weight, float inverse) {
    line_sums s = {0, 0};
    for (int i = 0; i < n; i++) {
        float level = (float)levels[ggml_nearest_level(levels, inverse * x[i])];
        s.cross += weight[i] * level * x[i];
        s.square += weight[i] * level * level;
    }
    return s;
}

// The scale only: the caller rounds once more with the scale as stored.
float ggml_fit_levels(int n, const int8_t *levels, const float *x, const float *weight) {
    float extreme = extreme_of(n, x);
    if (fabsf(extreme) < TINY) return 0;
    line_sums s = level_sums(n, levels, x, weight, 1 / (-extreme / (float)levels[0]));
    if (!(s.square > 0)) return 0; // importance is zero wherever a weight is not
    float scale = s.cross / s.square, best = scale * s.cross;
    for (int k = -7; k <= 7; k++) {
        s = level_sums(n, levels, x, weight, (float)(k + levels[0]) / extreme);
        if (s.square > 0 && s.cross * s.cross > best * s.square) {
            scale = s.cross / s.square;
            best = scale * s.cross;
        }
    }
    return scale;
}
