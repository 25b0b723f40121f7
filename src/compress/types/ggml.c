// ggml: where the bits of ggml's block formats lie, and decoding them. All formats are described by one table: codes of
// one or two fields of bits, a scale (and a minimum) for each sub-block. Decoding takes a block apart and multiplies
// out, in float32, in the order that gives the same bits as ggml itself: scale first, then times level, less minimum.
#include "compress/types/ggml.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

const int8_t ggml_levels_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t ggml_levels_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; // e2m1, doubled

float ggml_half(const uint8_t *p) {
    return num_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

void ggml_put_half(uint8_t *p, float v) {
    uint16_t h = num_f32_to_f16(v);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

// ---- scales ----------------------------------------------------------------------------------------

static void scales_one(const uint8_t *b, ggml_block *o) { // d
    o->scale[0] = ggml_half(b);
}
static void scales_pair(const uint8_t *b, ggml_block *o) { // d, m
    o->scale[0] = ggml_half(b);
    o->min[0] = -ggml_half(b + 2);
}
static void scales_q2_k(const uint8_t *b, ggml_block *o) {
    float d = ggml_half(b + 80), m = ggml_half(b + 82);
    for (int j = 0; j < 16; j++) {
        o->scale[j] = d * (float)(b[j] & 15);
        o->min[j] = m * (float)(b[j] >> 4);
    }
}
static void scales_q3_k(const uint8_t *b, ggml_block *o) {
    const uint8_t *low = b + 96, *high = b + 104;
    float d = ggml_half(b + 108);
    for (int j = 0; j < 16; j++) {
        int four = j < 8 ? low[j] & 15 : low[j - 8] >> 4, two = high[j % 4] >> (2 * (j / 4)) & 3;
        o->scale[j] = d * (float)((four | two << 4) - 32);
    }
}
// Twelve bytes hold eight 6-bit scales and eight 6-bit minima.
void ggml_k4_scale(const uint8_t *q, int j, uint8_t *scale, uint8_t *min) {
    if (j < 4) {
        *scale = q[j] & 63;
        *min = q[j + 4] & 63;
    } else {
        *scale = (uint8_t)((q[j + 4] & 15) | (q[j - 4] >> 6) << 4);
        *min = (uint8_t)(q[j + 4] >> 4 | (q[j] >> 6) << 4);
    }
}
static void scales_q4_k(const uint8_t *b, ggml_block *o) { // q5_K too
    float d = ggml_half(b), m = ggml_half(b + 2);
    for (int j = 0; j < 8; j++) {
        uint8_t scale, min;
        ggml_k4_scale(b + 4, j, &scale, &min);
        o->scale[j] = d * (float)scale;
        o->min[j] = m * (float)min;
    }
}
static void scales_q6_k(const uint8_t *b, ggml_block *o) {
    float d = ggml_half(b + 208);
    for (int j = 0; j < 16; j++) o->scale[j] = d * (float)(int8_t)b[192 + j];
}
static void scales_iq4_xs(const uint8_t *b, ggml_block *o) {
    float d = ggml_half(b);
    int high = b[2] | b[3] << 8;
    for (int j = 0; j < 8; j++) {
        int l = (b[4 + j / 2] >> (4 * (j % 2)) & 15) | (high >> (2 * j) & 3) << 4;
        o->scale[j] = d * (float)(l - 32);
    }
}
static void scales_mxfp4(const uint8_t *b, ggml_block *o) {
    o->scale[0] = ldexpf(1, (int)b[0] - 128); // half of 2^(e - 127), as the levels are doubled
}
static void scales_nvfp4(const uint8_t *b, ggml_block *o) {
    // Unsigned e4m3; its NaN counts as 0.
    for (int j = 0; j < 4; j++)
        o->scale[j] = b[j] == 127 ? 0 : minifloat_value((minifloat){.exponent = 4, .mantissa = 3}, b[j] & 127) * 0.5f;
}
static void scales_tq1(const uint8_t *b, ggml_block *o) {
    o->scale[0] = ggml_half(b + 52);
}
static void scales_tq2(const uint8_t *b, ggml_block *o) {
    o->scale[0] = ggml_half(b + 64);
}

// ---- the table -------------------------------------------------------------------------------------

const ggml_type ggml_types[] = {
    {"q4_0", 32, 18, 32, 8, NULL, {{2, 4, 16, 0}}, scales_one, ggml_encode_q4_0},
    {"q4_1", 32, 20, 32, 0, NULL, {{4, 4, 16, 0}}, scales_pair, ggml_encode_q4_1},
    {"q5_0", 32, 22, 32, 16, NULL, {{6, 4, 16, 0}, {2, 1, 1, 4}}, scales_one, ggml_encode_q4_0},
    {"q5_1", 32, 24, 32, 0, NULL, {{8, 4, 16, 0}, {4, 1, 1, 4}}, scales_pair, ggml_encode_q4_1},
    {"q8_0", 32, 34, 32, 128, NULL, {{2, 8, 1, 0}}, scales_one, ggml_encode_q8_0},
    {"q2_K", 256, 84, 16, 0, NULL, {{16, 2, 32, 0}}, scales_q2_k, ggml_encode_q2_k},
    {"q3_K", 256, 110, 16, 4, NULL, {{32, 2, 32, 0}, {0, 1, 32, 2}}, scales_q3_k, ggml_encode_q3_k},
    {"q4_K", 256, 144, 32, 0, NULL, {{16, 4, 32, 0}}, scales_q4_k, ggml_encode_q4_k},
    {"q5_K", 256, 176, 32, 0, NULL, {{48, 4, 32, 0}, {16, 1, 32, 4}}, scales_q4_k, ggml_encode_q4_k},
    {"q6_K", 256, 210, 16, 32, NULL, {{0, 4, 64, 0}, {128, 2, 32, 4}}, scales_q6_k, ggml_encode_q6_k},
    {"iq4_nl", 32, 18, 32, 0, ggml_levels_iq4, {{2, 4, 16, 0}}, scales_one, ggml_encode_iq4_nl},
    {"iq4_xs", 256, 136, 32, 0, ggml_levels_iq4, {{8, 4, 16, 0}}, scales_iq4_xs, ggml_encode_iq4_xs},
    {"mxfp4", 32, 17, 32, 0, ggml_levels_fp4, {{1, 4, 16, 0}}, scales_mxfp4, ggml_encode_fp4},
    {"nvfp4", 64, 36, 16, 0, ggml_levels_fp4, {{4, 4, 8, 0}}, scales_nvfp4, ggml_encode_fp4},
    {"tq1_0", 256, 54, 256, 1, NULL, {{0, 0, 0, 0}}, scales_tq1, ggml_encode_tq1},
    {"tq2_0", 256, 66, 256, 1, NULL, {{0, 2, 32, 0}}, scales_tq2, ggml_encode_tq2},
};
const int ggml_type_count = sizeof ggml_types / sizeof *ggml_types;

const ggml_type *ggml_find(const char *name) {
    for (int i = 0; i < ggml_type_count; i++)
        if (!strcmp(ggml_types[i].name, name)) return &ggml_types[i];
    return NULL;
}

// ---- codes -----------------------------------------------------------------------------------------

// q8_0 stores signed bytes; everywhere else codes are unsigned.
static unsigned stored_form(const ggml_type *t, unsigned code) {
    return t->field[0].width == 8 ? code ^ 128 : code;
}

// Three-valued digits: five to a byte, spread over 0 .. 255 so that the next digit is the top of 3 q / 256. 160 weights
// lie in bytes 0 .. 31, 80 in the next 16, 16 in the last 4, which hold four each.
typedef struct trit_run {
    int byte, stride, digits, first;
} trit_run;
static const trit_run trit_runs[] = {{0, 32, 5, 0}, {32, 16, 5, 160}, {48, 4, 4, 240}};

static void get_trits(const uint8_t *b, uint8_t *code) {
    for (int r = 0; r < 3; r++) {
        const trit_run *run = &trit_runs[r];
        for (int m = 0; m < run->stride; m++) {
            uint8_t q = b[run->byte + m];
            for (int n = 0; n < run->digits; n++) {
                code[run->first + n * run->stride + m] = (uint8_t)((unsigned)q * 3 >> 8);
                q = (uint8_t)(q * 3);
            }
        }
    }
}

static void put_trits(const uint8_t *code, uint8_t *b) {
    for (int r = 0; r < 3; r++) {
        const trit_run *run = &trit_runs[r];
        for (int m = 0; m < run->stride; m++) {
            unsigned q = 0;
            for (int n = 0; n < 5; n++) q = q * 3 + (n < run->digits ? code[run->first + n * run->stride + m] : 0);
            b[run->byte + m] = (uint8_t)((q * 256 + 242) / 243);
        }
    }
}

static void get_codes(const ggml_type *t, const uint8_t *block, uint8_t *code) {
    if (!t->field[0].width) {
        get_trits(block, code);
        return;
    }
    memset(code, 0, (size_t)t->length);
    for (int k = 0; k < 2 && t->field[k].width; k++) {
        const ggml_field *f = &t->field[k];
        int run = f->stride * (8 / f->width), mask = (1 << f->width) - 1;
        for (int i = 0; i < t->length; i++) {
            int at = f->offset + i / run * f->stride + i % run % f->stride, shift = i % run / f->stride * f->width;
            code[i] |= (uint8_t)((block[at] >> shift & mask) << f->shift);
        }
    }
    for (int i = 0; i < t->length; i++) code[i] = (uint8_t)stored_form(t, code[i]);
}

void ggml_put_codes(const ggml_type *t, const uint8_t *code, uint8_t *block) {
    if (!t->field[0].width) {
        put_trits(code, block);
        return;
    }
    for (int k = 0; k < 2 && t->field[k].width; k++) {
        const ggml_field *f = &t->field[k];
        int run = f->stride * (8 / f->width), mask = (1 << f->width) - 1;
        for (int i = 0; i < t->length; i++) {
            int at = f->offset + i / run * f->stride + i % run % f->stride, shift = i % run / f->stride * f->width;
            block[at] |= (uint8_t)(((int)stored_form(t, code[i]) >> f->shift & mask) << shift);
        }
    }
}

// ---- whole rows ------------------------------------------------------------------------------------

void ggml_decode(const ggml_type *t, const uint8_t *blocks, int64_t count, float *out) {
    for (int64_t k = 0; k < count; k++, blocks += t->bytes, out += t->length) {
        ggml_block b = {0};
        get_codes(t, blocks, b.code);
        t->scales(blocks, &b);
        for (int i = 0; i < t->length; i++) {
            float level = t->levels ? (float)t->levels[b.code[i]] : (float)((int)b.code[i] - t->bias);
            out[i] = b.scale[i / t->sub] * level - b.min[i / t->sub];
        }
    }
}

void ggml_encode(const ggml_type *t, const float *x, const float *weight, int64_t cols, uint8_t *blocks) {
    float sum = 0;
    for (int64_t i = 0; i < cols; i++) sum += x[i] * x[i];
    float mean_square = sum / (float)cols;
    memset(blocks, 0, (size_t)(cols / t->length * t->bytes));
    for (int64_t i = 0; i + t->length <= cols; i += t->length, blocks += t->bytes)
        t->encode(t, x + i, weight ? weight + i : NULL, mean_square, blocks);
}
