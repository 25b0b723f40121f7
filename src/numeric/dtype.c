// dtype: the table of data types, conversion of any of them to and from float32, shapes and their sizes.
#include "numeric/half.h"
#include "numeric/numeric.h"

#include <math.h>
#include <string.h>

const num_dtype_info num_dtypes[NUM_DTYPES] = {
    [NUM_F64] = {"f64", "F64", "<f8", 8},    [NUM_F32] = {"f32", "F32", "<f4", 4},
    [NUM_F16] = {"f16", "F16", "<f2", 2},    [NUM_BF16] = {"bf16", "BF16", NULL, 2},
    [NUM_I64] = {"i64", "I64", "<i8", 8},    [NUM_I32] = {"i32", "I32", "<i4", 4},
    [NUM_I16] = {"i16", "I16", "<i2", 2},    [NUM_I8] = {"i8", "I8", "|i1", 1},
    [NUM_U16] = {"u16", "U16", "<u2", 2},    [NUM_U8] = {"u8", "U8", "|u1", 1},
    [NUM_BOOL] = {"bool", "BOOL", "|b1", 1},
};

// One loop for each type: load without assuming alignment, convert.
#define LOADER(name, type, expression)                                                                                 \
    BASE_CLONES static void load_##name(const void *src, float *dst, size_t count) {                                   \
        const uint8_t *bytes = src;                                                                                    \
        for (size_t i = 0; i < count; i++) {                                                                           \
            type v;                                                                                                    \
            memcpy(&v, bytes + i * sizeof v, sizeof v);                                                                \
            dst[i] = expression;                                                                                       \
        }                                                                                                              \
    }
LOADER(f64, double, (float)v)
LOADER(i64, int64_t, (float)v)
LOADER(i32, int32_t, (float)v)
LOADER(i16, int16_t, (float)v)
LOADER(i8, int8_t, (float)v)
LOADER(u16, uint16_t, (float)v)
LOADER(u8, uint8_t, (float)v)
LOADER(bool, uint8_t, v ? 1.0f : 0.0f)
#undef LOADER

static void load_f32(const void *src, float *dst, size_t count) {
    if (count) memmove(dst, src, count * sizeof *dst);
}

// Nearest (ties to even) whole number inside [low, high]; NaN gives 0. The limits are exact in double.
static double saturate(float f, double low, double high) {
    double x = isnan(f) ? 0 : rint((double)f);
    return x < low ? low : x > high ? high : x;
}

static int64_t to_i64(float f) {
    if (isnan(f)) return 0;
    if (f >= 9223372036854775808.0f) return INT64_MAX;
    if (f < -9223372036854775808.0f) return INT64_MIN;
    return (int64_t)rintf(f);
}

#define STORER(name, type, expression)                                                                                 \
    static void store_##name(const float *src, void *dst, size_t count) {                                              \
        uint8_t *bytes = dst;                                                                                          \
        for (size_t i = 0; i < count; i++) {                                                                           \
            type v = expression;                                                                                       \
            memcpy(bytes + i * sizeof v, &v, sizeof v);                                                                \
        }                                                                                                              \
    }
STORER(f64, double, (double)src[i])
STORER(i64, int64_t, to_i64(src[i]))
STORER(i32, int32_t, (int32_t)saturate(src[i], -2147483648.0, 2147483647.0))
STORER(i16, int16_t, (int16_t)saturate(src[i], -32768, 32767))
STORER(i8, int8_t, (int8_t)saturate(src[i], -128, 127))
STORER(u16, uint16_t, (uint16_t)saturate(src[i], 0, 65535))
STORER(u8, uint8_t, (uint8_t)saturate(src[i], 0, 255))
STORER(bool, uint8_t, src[i] != 0.0f)
#undef STORER

static void store_f32(const float *src, void *dst, size_t count) {
    if (count) memmove(dst, src, count * sizeof *src);
}

static void (*const loaders[NUM_DTYPES])(const void *, float *, size_t) = {
    [NUM_F64] = load_f64, [NUM_F32] = load_f32, [NUM_F16] = num_half_load, [NUM_BF16] = num_brain_load,
    [NUM_I64] = load_i64, [NUM_I32] = load_i32, [NUM_I16] = load_i16,      [NUM_I8] = load_i8,
    [NUM_U16] = load_u16, [NUM_U8] = load_u8,   [NUM_BOOL] = load_bool,
};
static void (*const storers[NUM_DTYPES])(const float *, void *, size_t) = {
    [NUM_F64] = store_f64, [NUM_F32] = store_f32, [NUM_F16] = num_half_store, [NUM_BF16] = num_brain_store,
    [NUM_I64] = store_i64, [NUM_I32] = store_i32, [NUM_I16] = store_i16,      [NUM_I8] = store_i8,
    [NUM_U16] = store_u16, [NUM_U8] = store_u8,   [NUM_BOOL] = store_bool,
};

void num_to_f32(num_dtype from, const void *src, float *dst, size_t count) {
    BASE_CHECK(from < NUM_DTYPES);
    loaders[from](src, dst, count);
}

void num_from_f32(num_dtype to, const float *src, void *dst, size_t count) {
    BASE_CHECK(to < NUM_DTYPES);
    storers[to](src, dst, count);
}

bool num_count(int ndim, const int64_t *dim, num_dtype dtype, size_t *count, size_t *bytes) {
    if (ndim < 0 || ndim > NUM_MAX_DIM || (unsigned)dtype >= NUM_DTYPES) return false;
    size_t n = 1, total;
    bool empty = false;
    for (int d = 0; d < ndim; d++) {
        if (dim[d] < 0) return false;
        if (dim[d] == 0) empty = true;
        // The other dims must still be sane when one is 0, so the product skips it.
        if (dim[d] > 0 && !base_mul(n, (size_t)dim[d], &n)) return false;
    }
    if (!base_mul(n, num_dtypes[dtype].bytes, &total) || total > (size_t)INT64_MAX) return false;
    if (count) *count = empty ? 0 : n;
    if (bytes) *bytes = empty ? 0 : total;
    return true;
}

char *num_shape_text(char out[48], int ndim, const int64_t *dim) {
    if (ndim == 0) snprintf(out, 48, "scalar");
    size_t used = 0;
    for (int d = 0; d < ndim && used < 48; d++)
        used += (size_t)snprintf(out + used, 48 - used, d ? "x%lld" : "%lld", (long long)dim[d]);
    return out;
}
