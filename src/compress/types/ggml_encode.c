// ggml_encode: choosing the blocks of ggml's formats. Without importance the simple types scale by the extreme; the
// k types search (ggml_search.c), quantise the scales of their sub-blocks, and round once more to the scales as stored.
// With importance a weight counts by importance * sqrt(mean square + x^2).
#include "compress/types/ggml.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

static int within(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

// Cut towards zero; the inverse of a tiny scale may overflow.
static int cut(float v) {
    return (int)(v > -4e6f ? v < 4e6f ? v : 4e6f : -4e6f);
}

static float sum_squares(int n, const float *x) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static void importance(int n, const float *x, const float *weight, float mean_square, float *out) {
    for (int i = 0; i < n; i++) out[i] = weight[i] * sqrtf(mean_square + x[i] * x[i]);
}

static float total(int n, const float *x) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum;
}

static float largest(int n, const float *x) {
    float most = 0;
    for (int i = 0; i < n; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

// ---- blocks of 32 ----------------------------------------------------------------------------------

GGML_ENCODER(ggml_encode_q4_0) { // and q5_0
    uint8_t code[32];
    float d, w[32];
    if (weight) {
        importance(32, x, weight, mean_square, w);
        d = ggml_fit_symmetric(32, t->bias, x, w, code);
    } else {
        float most = 0, extreme = 0;
        for (int i = 0; i < 32; i++)
            if (fabsf(x[i]) > most) most = fabsf(x[i]), extreme = x[i];
        d = extreme / (float)-t->bias;
        float inverse = d != 0 ? 1 / d : 0;
        for (int i = 0; i < 32; i++)
            code[i] = (uint8_t)within(cut(x[i] * inverse + ((float)t->bias + 0.5f)), 0, 2 * t->bias - 1);
    }
    ggml_put_half(block, d);
    ggml_put_codes(t, code, block);
}

GGML_ENCODER(ggml_encode_q4_1) { // and q5_1
    static const ggml_steps steps = {-0.9f, 0.05f, 36, false};
    int top = t->field[1].width ? 31 : 15;
    uint8_t code[32];
    float d, low = x[0], high = x[0], w[32];
    if (weight) {
        importance(32, x, weight, mean_square, w);
        d = ggml_fit_range(32, top, x, w, &steps, code, &low);
        low = -low;
    } else {
        for (int i = 1; i < 32; i++) {
            low = x[i] < low ? x[i] : low;
            high = x[i] > high ? x[i] : high;
        }
        d = (high - low) / (float)top;
        float inverse = d != 0 ? 1 / d : 0;
        for (int i = 0; i < 32; i++) code[i] = (uint8_t)within(cut((x[i] - low) * inverse + 0.5f), 0, top);
    }
    ggml_put_half(block, d);
    ggml_put_half(block + 2, low);
    ggml_put_codes(t, code, block);
}

GGML_ENCODER(ggml_encode_q8_0) {
    (void)weight, (void)mean_square;
    uint8_t code[32];
    float d = largest(32, x) / 127, inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 32; i++) code[i] = (uint8_t)(within(cut(roundf(x[i] * inverse)), -128, 127) + 128);
    ggml_put_half(block, d);
    ggml_put_codes(t, code, block);
}

// Unsigned e4m3, halves up; from 256 on it is the largest.
static uint8_t unsigned_e4m3(float x) {
    if (!(x > 0)) return 0;
    if (x >= 256) return 126;
    int e = ilogbf(x);
    if (e < -6) return (uint8_t)within((int)(x * 512 + 0.5f), 0, 7);
    int code = ((e + 6) << 3) + (int)floorf(ldexpf(x, 3 - e) + 0.5f);
    return (uint8_t)(code >= 15 << 3 ? 126 : code);
}

GGML_ENCODER(ggml_encode_fp4) { // mxfp4, nvfp4
    (void)weight, (void)mean_square;
    uint8_t code[64];
    for (int s = 0; s < t->length; s += t->sub) {
        float most = largest(t->sub, x + s);
        if (t->sub == 32)
            block[0] = (uint8_t)(most > 0 ? within((int)floorf(log2f(most)) - 2 + 127, 0, 254) : 0);
        else
            block[s / t->sub] = unsigned_e4m3(most / 6);
    }
    ggml_block b = {0};
    t->scales(block, &b);
    for (int i = 0; i < t->length; i++) {
        float scale = b.scale[i / t->sub], least = INFINITY;
        for (int c = 0; c < 16; c++) {
            float error = fabsf((float)t->levels[c] * scale - x[i]);
            if (error < least) least = error, code[i] = (uint8_t)c;
        }
    }
    ggml_put_codes(t, code, block);
}

// ---- ternary ---------------------------------------------------------------------------------------

static void encode_ternary(const ggml_type *t, const float *x, uint8_t *block, int scale_at) {
    uint8_t code[256];
    float d = largest(256, x), inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 256; i++) code[i] = (uint8_t)(within(cut(roundf(x[i] * inverse)), -1, 1) + 1);
    ggml_put_half(block + scale_at, d);
    ggml_put_codes(t, code, block);
}

GGML_ENCODER(ggml_encode_tq1) {
    (void)weight, (void)mean_square;
    encode_ternary(t, x, block, 52);
}

GGML_ENCODER(ggml_encode_tq2) {
    (void)weight, (void)mean_square;
    encode_ternary(t, x, block, 64);
}

// ---- uneven levels ---------------------------------------------------------------------------------

static float fit_iq4(const float *x, const float *weight, float mean_square) {
    float w[32];
    if (weight)
        importance(32, x, weight, mean_square, w);
    else
        for (int i = 0; i < 32; i++) w[i] = x[i] * x[i];
    return ggml_fit_levels(32, ggml_levels_iq4, x, w);
}

GGML_ENCODER(ggml_encode_iq4_nl) {
    (void)mean_square;
    uint8_t code[32];
    float d = fit_iq4(x, weight, sum_squares(32, x) * (2.0f / 32)), inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 32; i++) code[i] = (uint8_t)ggml_nearest_level(t->levels, inverse * x[i]);
    ggml_put_half(block, d);
    ggml_put_codes(t, code, block);
}

GGML_ENCODER(ggml_encode_iq4_xs) {
    (void)mean_square;
    uint8_t code[256];
    float scale[8], sigma = sum_squares(256, x) * (2.0f / 256), most = 0, extreme = 0;
    for (int j = 0; j < 8; j++) {
        scale[j] = fit_iq4(x + 32 * j, weight ? weight + 32 * j : NULL, sigma);
        if (fabsf(scale[j]) > most) most = fabsf(scale[j]), extreme = scale[j];
    }
    float d = -extreme / 32, inverse = d != 0 ? 1 / d : 0;
    ggml_put_half(block, d);
    for (int j = 0; j < 8; j++) {
        int l = within(ggml_nearest(inverse * scale[j]), -32, 31);
        float sub = d * (float)l, one = sub != 0 ? 1 / sub : 0;
        for (int i = 0; i < 32; i++) code[32 * j + i] = (uint8_t)ggml_nearest_level(t->levels, one * x[32 * j + i]);
        l += 32;
        block[4 + j / 2] |= (uint8_t)((l & 15) << (4 * (j % 2)));
        block[2 + j / 4] |= (uint8_t)(l >> 4 << (2 * (j % 4)));
    }
    ggml_put_codes(t, code, block);
}

// ---- super-blocks of 256 ---------------------------------------------------------------------------

// Codes for the scales as they were stored; a sub-block whose scale is 0 keeps those of its search.
static void round_again(const ggml_type *t, const float *x, int low, int high, int from, const uint8_t *block,
                        uint8_t *code) {
    ggml_block b = {0};
    t->scales(block, &b);
    for (int i = 0; i < 256; i++) {
        float d = b.scale[i / t->sub];
        if (d != 0) code[i] = (uint8_t)(within(ggml_nearest((x[i] + b.min[i / t->sub]) / d), low, high) + from);
    }
}

// Scales and minima of the sub-blocks of q2_K, q4_K and q5_K, in `bits` bits each.
typedef struct range_fit {
    float scale[16], min[16], count[16]; // count: the weight of a sub-block
    uint8_t scale_code[16], min_code[16];
    float d, dmin;
} range_fit;

static void fit_ranges(const ggml_type *t, const float *x, const float *weight, int top, const ggml_steps *plain,
                       range_fit *r, uint8_t *code) {
    static const ggml_steps steps = {-0.9f, 0.05f, 36, false};
    float mean = sum_squares(256, x), w[32];
    mean = t->sub == 16 ? mean / 256 : 2 * mean / 256;
    for (int j = 0, n = t->sub; j < 256 / n; j++) {
        const float *part = x + n * j;
        if (weight) {
            importance(n, part, weight + n * j, mean, w);
        } else {
            float base = n == 16 ? 0 : sqrtf(sum_squares(32, part) / 32);
            for (int i = 0; i < n; i++) w[i] = base + fabsf(part[i]);
        }
        r->count[j] = total(n, w);
        r->scale[j] = ggml_fit_range(n, top, part, w, weight ? &steps : plain, code + n * j, &r->min[j]);
    }
}

// Every scale as a share of the largest.
static float share(int n, int top, const float *x, uint8_t *code) {
    float most = 0;
    for (int i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    float inverse = most > 0 ? (float)top / most : 0;
    for (int i = 0; i < n; i++) code[i] = (uint8_t)within(ggml_nearest(inverse * x[i]), 0, top);
    return most / (float)top;
}

static void fit_scales(range_fit *r, int n, int top, bool searched) {
    if (searched) {
        r->d = ggml_fit_positive(n, top, r->scale, r->count, r->scale_code);
        r->dmin = ggml_fit_positive(n, top, r->min, r->count, r->min_code);
    } else {
        r->d = share(n, top, r->scale, r->scale_code);
        r->dmin = share(n, top, r->min, r->min_code);
    }
}

GGML_ENCODER(ggml_encode_q2_k) {
    (void)mean_square;
    static const ggml_steps plain = {-0.5f, 0.1f, 15, true};
    uint8_t code[256];
    range_fit r;
    fit_ranges(t, x, weight, 3, &plain, &r, code);
    fit_scales(&r, 16, 15, weight != NULL);
    for (int j = 0; j < 16; j++) block[j] = (uint8_t)(r.scale_code[j] | r.min_code[j] << 4);
    ggml_put_half(block + 80, r.d);
    ggml_put_half(block + 82, r.dmin);
    round_again(t, x, 0, 3, 0, block, code);
    ggml_put_codes(t, code, block);
}

GGML_ENCODER(ggml_encode_q4_k) { // and q5_K
    (void)mean_square;
    static const ggml_steps four = {-1, 0.1f, 20, false}, five = {-0.5f, 0.1f, 15, false};
    bool is_five = t->field[1].width != 0;
    int top = is_five ? 31 : 15;
    uint8_t code[256], *q = block + 4;
    range_fit r;
    fit_ranges(t, x, weight, top, is_five ? &five : &four, &r, code);
    fit_scales(&r, 8, 63, weight != NULL);
    for (int j = 0; j < 8; j++) {
        unsigned scale = r.scale_code[j], min = r.min_code[j];
        if (j < 4) {
            q[j] = (uint8_t)scale;
            q[j + 4] = (uint8_t)min;
        } else {
            q[j + 4] = (uint8_t)((scale & 15) | (min & 15) << 4);
            q[j - 4] |= (uint8_t)(scale >> 4 << 6);
            q[j] |= (uint8_t)(min >> 4 << 6);
        }
    }
    ggml_put_half(block, r.d);
    ggml_put_half(block + 2, r.dmin);
    round_again(t, x, 0, top, 0, block, code);
    ggml_put_codes(t, code, block);
}

static void put_q3_scale(uint8_t *block, int j, int l) { // l: 0 .. 63
    block[96 + j % 8] |= (uint8_t)((l & 15) << (j < 8 ? 0 : 4));
    block[104 + j % 4] |= (uint8_t)(l >> 4 << (2 * (j / 4)));
}

GGML_ENCODER(ggml_encode_q3_k) {
    (void)mean_square;
    uint8_t code[256], scale_code[16];
    float scale[16], count[16], w[16], mean = 2 * sum_squares(256, x) / 256, most = 0, extreme = 0, d = 0;
    for (int j = 0; j < 16; j++) {
        if (weight) {
            importance(16, x + 16 * j, weight + 16 * j, mean, w);
            count[j] = total(16, w);
            scale[j] = ggml_fit_symmetric(16, 4, x + 16 * j, w, code + 16 * j);
        } else {
            scale[j] = ggml_fit_descent(16, 4, x + 16 * j, code + 16 * j);
        }
        if (fabsf(scale[j]) > most) most = fabsf(scale[j]), extreme = scale[j];
    }
    if (weight) {
        d = ggml_fit_symmetric(16, 32, scale, count, scale_code);
        for (int j = 0; j < 16; j++) put_q3_scale(block, j, scale_code[j]);
    } else if (extreme != 0) {
        float inverse = -32.0f / extreme;
        for (int j = 0; j < 16; j++) put_q3_scale(block, j, within(ggml_nearest(inverse * scale[j]), -32, 31) + 32);
        d = 1 / inverse;
    }
    ggml_put_half(block + 108, d);
    round_again(t, x, -4, 3, 4, block, code);
    ggml_put_codes(t, code, block);
}

GGML_ENCODER(ggml_encode_q6_k) {
    (void)mean_square;
    uint8_t code[256];
    float scale[16], most = 0, extreme = 0;
    for (int j = 0; j < 16; j++) {
        scale[j] = ggml_fit_symmetric(16, 32, x + 16 * j, weight ? weight + 16 * j : NULL, code + 16 * j);
        if (fabsf(scale[j]) > most) most = fabsf(scale[j]), extreme = scale[j];
    }
    if (most < 1e-15f) return; // all bytes stay 0
    float inverse = -128.0f / extreme;
    ggml_put_half(block + 208, 1 / inverse);
    for (int j = 0; j < 16; j++) block[192 + j] = (uint8_t)(int8_t)within(ggml_nearest(inverse * scale[j]), -128, 127);
    round_again(t, x, -32, 31, 32, block, code);
    ggml_put_codes(t, code, block);
}
