// Data types: every half-precision value against arithmetic done another way, conversion, packing, shapes.
#include "numeric/numeric.h"
#include "tests/support/support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

// The value of a 16-bit float from the definition: fields and powers of two, in double. Finite values only.
static double value_by_definition(unsigned h, int fraction_bits, int bias) {
    int exponent = (int)(h >> fraction_bits & ((1u << (15 - fraction_bits)) - 1));
    double fraction = (double)(h & ((1u << fraction_bits) - 1));
    double magnitude = exponent == 0 ? ldexp(fraction, 1 - bias - fraction_bits)
                                     : ldexp(fraction + ldexp(1, fraction_bits), exponent - bias - fraction_bits);
    return h & 0x8000u ? -magnitude : magnitude;
}

typedef struct half_kind {
    int fraction_bits, bias;
    unsigned infinity;
    num_dtype dtype;
    float (*to_float)(uint16_t);
    uint16_t (*from_float)(float);
} half_kind;
static const half_kind kinds[] = {
    {10, 15, 0x7C00, NUM_F16, num_f16_to_f32, num_f32_to_f16},
    {7, 127, 0x7F80, NUM_BF16, num_bf16_to_f32, num_f32_to_bf16},
};

static void all_halves(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (unsigned h = 0; h < 65536; h++) {
            const half_kind *kind = &kinds[k];
            float f = kind->to_float((uint16_t)h);
            unsigned magnitude = h & 0x7FFF;
            if (magnitude > kind->infinity)
                assert_true(isnan(f));
            else if (magnitude == kind->infinity)
                assert_true(isinf(f) && (f < 0) == (h >= 0x8000));
            else
                assert_true((double)f == value_by_definition(h, kind->fraction_bits, kind->bias));
            assert_int_equal(signbit(f) != 0, h >> 15);
            assert_int_equal(kind->from_float(f), h); // and back, NaN payloads too
        }
}

// Between each two neighbours: the midpoint goes to the even one, the floats just beside it to the nearer one.
static void all_midpoints(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++)
        for (unsigned h = 0; h + 1 <= kinds[k].infinity; h++) {
            const half_kind *kind = &kinds[k];
            double low = value_by_definition(h, kind->fraction_bits, kind->bias);
            // Beyond the largest finite value lies what the next exponent would begin with.
            double high = h + 1 == kind->infinity ? ldexp(1, kind->bias + 1)
                                                  : value_by_definition(h + 1, kind->fraction_bits, kind->bias);
            float middle = (float)(low / 2 + high / 2);
            assert_true((double)middle == low / 2 + high / 2);
            unsigned even = h & 1 ? h + 1 : h;
            for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
                float s = sign ? -1.0f : 1.0f;
                assert_int_equal(kind->from_float(s * middle), even | sign);
                assert_int_equal(kind->from_float(s * nextafterf(middle, 0)), h | sign);
                assert_int_equal(kind->from_float(s * nextafterf(middle, INFINITY)), (h + 1) | sign);
            }
        }
}

// The nearest half to an arbitrary float, found by search instead of bit tricks.
static unsigned nearest_by_search(double x, const half_kind *kind) {
    unsigned low = 0, high = kind->infinity; // magnitudes as codes are ordered
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (value_by_definition(middle, kind->fraction_bits, kind->bias) <= x)
            low = middle;
        else
            high = middle;
    }
    double below = value_by_definition(low, kind->fraction_bits, kind->bias);
    double above =
        high == kind->infinity ? ldexp(1, kind->bias + 1) : value_by_definition(high, kind->fraction_bits, kind->bias);
    if (x - below != above - x) return x - below < above - x ? low : high;
    return low & 1 ? high : low;
}

static void random_floats(void **state) {
    (void)state;
    num_rng rng = num_rng_seed(3, 3);
    for (int i = 0; i < 200000; i++) {
        uint32_t u = num_rng_next(&rng);
        if (i % 2) u = (u & 0x807FFFFFu) | (100 + num_rng_below(&rng, 45)) << 23; // around half's range
        float f = float_of(u);
        for (int k = 0; k < 2; k++) {
            uint16_t got = kinds[k].from_float(f);
            if (isnan(f))
                assert_true(isnan(kinds[k].to_float(got)));
            else if (isinf(f))
                assert_int_equal(got & 0x7FFF, kinds[k].infinity);
            else
                assert_int_equal(got, nearest_by_search(fabs((double)f), &kinds[k]) | (u >> 16 & 0x8000));
        }
    }
}

// The bulk loops, vectorised, agree with the single functions at any alignment and length.
static void bulk_halves(void **state) {
    (void)state;
    uint8_t *raw = malloc(2 * 65536 + 3);
    float *wide = malloc(65536 * sizeof *wide);
    for (int k = 0; k < 2; k++)
        for (size_t shift = 0; shift < 3; shift++) {
            for (unsigned h = 0; h < 65536; h++) {
                uint16_t code = (uint16_t)h;
                memcpy(raw + shift + 2 * h, &code, 2);
            }
            size_t count = 65536 - shift;
            num_to_f32(kinds[k].dtype, raw + shift, wide, count);
            for (size_t h = 0; h < count; h++)
                assert_int_equal(bits_of(wide[h]), bits_of(kinds[k].to_float((uint16_t)h)));
            memset(raw, 0, 2 * 65536 + 3);
            num_from_f32(kinds[k].dtype, wide, raw + shift, count);
            for (size_t h = 0; h < count; h++) {
                uint16_t code;
                memcpy(&code, raw + shift + 2 * h, 2);
                assert_int_equal(code, h);
            }
        }
    free(raw);
    free(wide);
}

static void other_types(void **state) {
    (void)state;
    static const float in[] = {0,      1,        -1,        0.5f, 1.5f,   2.5f,  -0.5f,   -1.5f, 127,
                               128,    -129,     255,       256,  65535,  65536, 3e9f,    -3e9f, 1e19f,
                               -1e19f, INFINITY, -INFINITY, NAN,  1e-45f, -0.0f, 16777216};
    enum { N = sizeof in / sizeof *in };
    static const double want[NUM_DTYPES][N] = {
        [NUM_I8] = {0,   1,   -1,  0,    2,   2,    0,   -2,   127, 127, -128, 127, 127,
                    127, 127, 127, -128, 127, -128, 127, -128, 0,   0,   0,    127},
        [NUM_U8] = {0, 1, 0, 0, 2, 2, 0, 0, 127, 128, 0, 255, 255, 255, 255, 255, 0, 255, 0, 255, 0, 0, 0, 0, 255},
        [NUM_I16] = {0,     1,     -1,    0,      2,     2,      0,     -2,     127, 128, -129, 255,  256,
                     32767, 32767, 32767, -32768, 32767, -32768, 32767, -32768, 0,   0,   0,    32767},
        [NUM_U16] = {0,     1,     0,     0, 2,     2, 0,     0, 127, 128, 0, 255,  256,
                     65535, 65535, 65535, 0, 65535, 0, 65535, 0, 0,   0,   0, 65535},
        [NUM_I32] = {0,
                     1,
                     -1,
                     0,
                     2,
                     2,
                     0,
                     -2,
                     127,
                     128,
                     -129,
                     255,
                     256,
                     65535,
                     65536,
                     2147483647,
                     -2147483648.0,
                     2147483647,
                     -2147483648.0,
                     2147483647,
                     -2147483648.0,
                     0,
                     0,
                     0,
                     16777216},
        [NUM_BOOL] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1},
    };
    static const num_dtype tried[] = {NUM_I8, NUM_U8, NUM_I16, NUM_U16, NUM_I32, NUM_BOOL};
    uint8_t raw[N * 8 + 1];
    float back[N];
    for (size_t t = 0; t < sizeof tried / sizeof *tried; t++) {
        num_from_f32(tried[t], in, raw + 1, N); // not aligned
        num_to_f32(tried[t], raw + 1, back, N);
        for (int i = 0; i < N; i++) assert_true(back[i] == (float)want[tried[t]][i]);
    }
    int64_t wide[N];
    num_from_f32(NUM_I64, in, wide, N);
    assert_true(wide[17] == INT64_MAX && wide[18] == INT64_MIN && wide[19] == INT64_MAX && wide[21] == 0);
    assert_true(wide[15] == 3000000000);
    double exact[N];
    num_from_f32(NUM_F64, in, exact, N);
    num_to_f32(NUM_F64, exact, back, N);
    for (int i = 0; i < N; i++) assert_int_equal(bits_of(back[i]), bits_of(in[i]));
    num_to_f32(NUM_F32, in, back, N);
    assert_memory_equal(back, in, sizeof in);
    // Wide values round to the nearest float, ties to even.
    const int64_t big[] = {16777217, 16777219, -16777217, INT64_MAX, INT64_MIN, (1LL << 40) + 1};
    num_to_f32(NUM_I64, big, back, 6);
    assert_true(back[0] == 16777216 && back[1] == 16777220 && back[2] == -16777216 &&
                back[3] == 9223372036854775808.0f);
    assert_true(back[4] == -9223372036854775808.0f && back[5] == 1099511627776.0f);
    const double fine[] = {1.0 + 0x1p-24, 1.0 + 0x1.8p-23, 1e300, 1e-300};
    num_to_f32(NUM_F64, fine, back, 4);
    assert_true(back[0] == 1 && back[1] == 1.0f + 0x1p-22f && isinf(back[2]) && back[3] == 0);
    for (int d = 0; d < NUM_DTYPES; d++) {
        num_to_f32((num_dtype)d, NULL, NULL, 0);
        num_from_f32((num_dtype)d, NULL, NULL, 0);
    }
}

// Reads code i bit by bit from the stream, as the layout is defined.
static unsigned code_by_definition(const uint8_t *stream, size_t i, int width) {
    unsigned code = 0;
    for (int b = 0; b < width; b++) {
        size_t bit = i * (size_t)width + (size_t)b;
        code |= (unsigned)(stream[bit / 8] >> bit % 8 & 1) << b;
    }
    return code;
}

static void packing(void **state) {
    (void)state;
    num_rng rng = num_rng_seed(5, 5);
    static const size_t counts[] = {0, 1, 2, 3, 5, 7, 8, 9, 15, 17, 63, 64, 65, 1001};
    for (int width = 1; width <= 16; width++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            size_t count = counts[c], bytes = num_packed_bytes(count, width);
            assert_int_equal(bytes, (count * (size_t)width + 7) / 8);
            uint16_t *codes = calloc(count + 1, sizeof *codes), *back = calloc(count + 1, sizeof *back);
            uint8_t *stream = malloc(bytes + 1);
            stream[bytes] = 0xA5;
            back[count] = 0xBEEF;
            for (size_t i = 0; i < count; i++) codes[i] = (uint16_t)num_rng_next(&rng); // high bits are to be dropped
            num_pack(codes, count, width, stream);
            assert_int_equal(stream[bytes], 0xA5);
            for (size_t i = 0; i < count; i++)
                assert_int_equal(code_by_definition(stream, i, width), codes[i] & ((1u << width) - 1));
            num_unpack(stream, count, width, back);
            assert_int_equal(back[count], 0xBEEF);
            for (size_t i = 0; i < count; i++) assert_int_equal(back[i], codes[i] & ((1u << width) - 1));
            if (bytes && count * (size_t)width % 8) // bits behind the last code are 0
                assert_int_equal(stream[bytes - 1] >> count * (size_t)width % 8, 0);
            free(codes);
            free(back);
            free(stream);
        }
    assert_true(num_packed_bytes((size_t)1 << 62, 3) == ((size_t)1 << 62) / 8 * 3); // no overflow on the way
}

static void shapes(void **state) {
    (void)state;
    size_t count, bytes;
    char text[48];
    assert_true(num_count(0, NULL, NUM_F32, &count, &bytes));
    assert_true(count == 1 && bytes == 4);
    assert_true(num_count(3, (int64_t[]){2, 3, 4}, NUM_F64, &count, &bytes));
    assert_true(count == 24 && bytes == 192);
    assert_true(num_count(2, (int64_t[]){0, 7}, NUM_U8, &count, &bytes));
    assert_true(count == 0 && bytes == 0);
    assert_false(num_count(2, (int64_t[]){-1, 7}, NUM_U8, &count, &bytes));
    assert_false(num_count(2, (int64_t[]){INT64_MAX, 3}, NUM_U8, &count, &bytes));
    assert_false(num_count(3, (int64_t[]){INT64_MAX, 3, 0}, NUM_U8, &count, &bytes));
    assert_false(num_count(1, (int64_t[]){INT64_MAX / 2}, NUM_F64, &count, &bytes));
    assert_false(num_count(9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, NUM_F64, &count, &bytes));
    assert_false(num_count(0, NULL, NUM_DTYPES, &count, &bytes));
    assert_string_equal(num_shape_text(text, 4, (int64_t[]){64, 16, 3, 3}), "64x16x3x3");
    assert_string_equal(num_shape_text(text, 0, NULL), "scalar");
    int64_t huge[8] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    assert_int_equal(strlen(num_shape_text(text, 8, huge)), 47);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_halves),  cmocka_unit_test(all_midpoints), cmocka_unit_test(random_floats),
        cmocka_unit_test(bulk_halves), cmocka_unit_test(other_types),   cmocka_unit_test(packing),
        cmocka_unit_test(shapes),
    };
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
