// scales: how the scales of uniform and table terms are stored, and read one by one.
//
//   plain   f32, f16 or bf16
//   e8m0    one byte: 2^(byte - 127) (OCP Microscaling Formats, 2023)
//   e4m3    one byte, times one f32 for the whole matrix (NVFP4)
//   double  one byte: a point of the 8-bit dynamic map, times an f32 for each 256 scales, plus the mean of all scales
//           (an f32, the last): double quantisation, QLoRA, arXiv 2305.14314, section 3
//   super   six bits, times an f16 for each 16 scales: the super-blocks of ggml's k-quants
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

enum { DOUBLE_BLOCK = 256, SUPER_BLOCK = 16, SUPER_TOP = 63 };

static int64_t outer_count(int64_t form, int64_t count) {
    switch ((enum scale_form)form) {
    case SCALE_E4M3:
        return 1;
    case SCALE_DOUBLE:
        return (count + DOUBLE_BLOCK - 1) / DOUBLE_BLOCK + 1;
    case SCALE_SUPER:
        return (count + SUPER_BLOCK - 1) / SUPER_BLOCK;
    case SCALE_PLAIN:
    case SCALE_E8M0:
        break;
    }
    return 0;
}

static int64_t code_bytes(int64_t form, int64_t count) {
    return form == SCALE_SUPER ? (int64_t)num_packed_bytes((size_t)count, 6) : count;
}

static float float_at(const term_blob *b, int64_t index) {
    float v;
    num_to_f32(b->dtype, (const uint8_t *)b->data + (size_t)index * num_dtypes[b->dtype].bytes, &v, 1);
    return v;
}

// Point `code` of table_dynamic(8): 127 is 0, 255 is 1, the others rise in magnitude on both sides.
static float dynamic_value(unsigned code) {
    if (code == 255) return 1;
    if (code == 127) return 0;
    unsigned rank = code > 127 ? code - 128 : 126 - code; // of the magnitude, from 0
    int exponent = 0;
    for (unsigned n = rank + 1; n > 1; n >>= 1) exponent++;
    unsigned parts = 1u << exponent, i = rank + 1 - parts;
    float magnitude = table_dynamic_magnitude(exponent, 7, (int)i);
    return code > 127 ? magnitude : -magnitude;
}

float scales_at(const term *t, scale_place at, int64_t index) {
    const term_blob *codes = &t->blob[at.codes], *outer = &t->blob[at.outer];
    unsigned code = at.form == SCALE_PLAIN || at.form == SCALE_SUPER ? 0 : ((const uint8_t *)codes->data)[index];
    uint8_t six;
    float s;
    switch ((enum scale_form)at.form) {
    case SCALE_PLAIN:
        break;
    case SCALE_E8M0:
        return e8m0_value(code);
    case SCALE_E4M3:
        return minifloat_value((minifloat){.exponent = 4, .mantissa = 3}, code) * float_at(outer, 0);
    case SCALE_DOUBLE:
        s = dynamic_value(code) * float_at(outer, index / DOUBLE_BLOCK) + float_at(outer, outer->count - 1);
        return s > 0 ? s : 0;
    case SCALE_SUPER:
        codes_unpack(codes->data, index, 1, 6, UNIFORM_SYM, &six);
        return (float)six * float_at(outer, index / SUPER_BLOCK);
    }
    return float_at(codes, index);
}

bool scales_check(const term *t, scale_place at, int64_t count, base_err *err) {
    const term_blob *b = &t->blob[at.codes];
    const char *kind = t->kind->name;
    if (at.form == SCALE_PLAIN) {
        if (b->dtype != NUM_F32 && b->dtype != NUM_F16 && b->dtype != NUM_BF16)
            return base_fail(err, "scales of a %s term are %s, expected f32, f16 or bf16", kind,
                             num_dtypes[b->dtype].name);
        if (!term_blob_is(t, at.codes, b->dtype, count, err)) return false;
    } else if (!term_blob_is(t, at.codes, NUM_U8, code_bytes(at.form, count), err)) {
        return false;
    }
    num_dtype outer = at.form == SCALE_SUPER ? NUM_F16 : NUM_F32;
    if (!term_blob_is(t, at.outer, outer, outer_count(at.form, count), err)) return false;
    if (at.form == SCALE_SUPER && count * 6 % 8 && ((const uint8_t *)b->data)[b->count - 1] >> (count * 6 % 8))
        return base_fail(err, "unused bits at the end of the scales of a %s term are not zero", kind);
    for (int64_t i = 0; i < count; i++) {
        float s = scales_at(t, at, i);
        if (!isfinite(s) || s < 0)
            return base_fail(err, "scale %lld of a %s term is %g, expected a finite number >= 0", (long long)i, kind,
                             (double)s);
    }
    return true;
}

float scales_round(int64_t form, num_dtype plain, float outer, float scale) {
    if (form == SCALE_E8M0) {
        // The nearest power in ratio.
        int e = scale > 0 ? ilogbf(scale) : -127;
        if (scale > 0 && ldexpf(scale, -e) > 1.41421356f) e++;
        return ldexpf(1, e < -127 ? -127 : e > 127 ? 127 : e);
    }
    if (form == SCALE_E4M3) {
        minifloat f = {.exponent = 4, .mantissa = 3};
        return outer > 0 ? minifloat_value(f, minifloat_code(f, scale / outer)) * outer : 0;
    }
    if (form != SCALE_PLAIN) return scale;
    if (plain == NUM_F16) return num_f16_to_f32(num_f32_to_f16(scale));
    if (plain == NUM_BF16) return num_bf16_to_f32(num_f32_to_bf16(scale));
    return scale;
}

static unsigned nearest_of(const float *map, float v) { // map rises, 256 values
    unsigned low = 0, high = 255;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (v > (map[middle] + map[middle + 1]) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void store_double(const float *scales, int64_t count, uint8_t *codes, float *outer) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)scales[i];
    float mean = (float)(sum / (double)count), map[256];
    table_dynamic(8, map);
    for (int64_t b = 0; b * DOUBLE_BLOCK < count; b++) {
        int64_t from = b * DOUBLE_BLOCK, end = count - from < DOUBLE_BLOCK ? count : from + DOUBLE_BLOCK;
        float most = 0;
        for (int64_t i = from; i < end; i++) most = fabsf(scales[i] - mean) > most ? fabsf(scales[i] - mean) : most;
        outer[b] = most;
        for (int64_t i = from; i < end; i++)
            codes[i] = (uint8_t)(most > 0 ? nearest_of(map, (scales[i] - mean) / most) : 127);
    }
    outer[outer_count(SCALE_DOUBLE, count) - 1] = mean;
}

static bool store_super(const float *scales, int64_t count, uint8_t *packed, uint16_t *outer, base_err *err) {
    uint8_t *codes = base_big_alloc((size_t)count + 1, 1, "codes of scales", err);
    if (!codes) return false;
    for (int64_t b = 0; b * SUPER_BLOCK < count; b++) {
        int64_t from = b * SUPER_BLOCK, end = count - from < SUPER_BLOCK ? count : from + SUPER_BLOCK;
        float most = 0;
        for (int64_t i = from; i < end; i++) most = scales[i] > most ? scales[i] : most;
        outer[b] = num_f32_to_f16(most / SUPER_TOP);
        float d = num_f16_to_f32(outer[b]);
        if (!isfinite(d)) {
            base_big_free(codes);
            return base_fail(err, "a scale of %g is too large for super-blocks, whose scales are f16", (double)most);
        }
        for (int64_t i = from; i < end; i++) {
            float c = d > 0 ? nearbyintf(scales[i] / d) : 0;
            codes[i] = (uint8_t)(c > SUPER_TOP ? SUPER_TOP : c);
        }
    }
    codes_pack(codes, count, 6, UNIFORM_SYM, packed);
    base_big_free(codes);
    return true;
}

bool scales_store(term *t, scale_place at, num_dtype plain, const float *scales, int64_t count, float outer,
                  base_err *err) {
    if (at.form == SCALE_PLAIN) {
        void *out = term_blob_new(t, at.codes, plain, count, err);
        if (out) num_from_f32(plain, scales, out, (size_t)count);
        return out != NULL;
    }
    int64_t outers = outer_count(at.form, count);
    uint8_t *codes = term_blob_new(t, at.codes, NUM_U8, code_bytes(at.form, count), err);
    void *more =
        codes && outers ? term_blob_new(t, at.outer, at.form == SCALE_SUPER ? NUM_F16 : NUM_F32, outers, err) : codes;
    if (!more) return false;
    if (at.form == SCALE_SUPER) return store_super(scales, count, codes, more, err);
    if (at.form == SCALE_DOUBLE) {
        store_double(scales, count, codes, more);
        return true;
    }
    if (at.form == SCALE_E4M3) *(float *)more = outer;
    for (int64_t i = 0; i < count; i++)
        codes[i] = (uint8_t)(at.form == SCALE_E8M0 ? (unsigned)(ilogbf(scales[i]) + 127)
                             : outer > 0 ? minifloat_code((minifloat){.exponent = 4, .mantissa = 3}, scales[i] / outer)
                                         : 0);
    return true;
}

void scales_describe(int64_t form, base_buf *b) {
    static const char *const said[] = {"", ", scales e8m0", ", scales e4m3", ", scales double", ", scales super"};
    base_buf_puts(b, said[form]);
}
