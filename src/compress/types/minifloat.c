// minifloat: floats of a few bits. Values and codes come from arithmetic on powers of two, which is exact; the tables
// that grids round to are built from it.
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

bool table_is_float(table_kind kind) {
    return kind == TABLE_MINIFLOAT || kind == TABLE_FLOAT_INF || kind == TABLE_FLOAT_NAN || kind == TABLE_FLOAT_ALL;
}

minifloat table_float(const table_type *type) {
    int special = type->kind == TABLE_FLOAT_INF   ? FLOAT_INF
                  : type->kind == TABLE_FLOAT_NAN ? FLOAT_NAN
                  : type->kind == TABLE_FLOAT_ALL ? FLOAT_ALL
                                                  : FLOAT_OCP;
    return (minifloat){type->bits - 1 - type->mantissa, type->mantissa, special};
}

static int lowest_exponent(minifloat f) { // of normal numbers; subnormals share it
    return 2 - (1 << (f.exponent - 1));
}

unsigned minifloat_top(minifloat f) {
    unsigned all = (1u << (f.exponent + f.mantissa)) - 1;
    if (f.special == FLOAT_INF) return all - (1u << f.mantissa);
    if (f.special == FLOAT_NAN) return all - 1;
    if (f.special == FLOAT_ALL) return all;
    if (f.exponent == 4 && f.mantissa == 3) return all - 1;
    if (f.exponent == 5 && f.mantissa == 2) return all - 4;
    return all;
}

float minifloat_value(minifloat f, unsigned code) {
    int width = f.exponent + f.mantissa;
    unsigned magnitude = code & ((1u << width) - 1), e = magnitude >> f.mantissa;
    float value;
    if (magnitude > minifloat_top(f)) {
        bool has_inf = f.special == FLOAT_INF || (f.special == FLOAT_OCP && f.exponent == 5);
        value = has_inf && magnitude == minifloat_top(f) + 1 ? INFINITY : NAN;
    } else {
        int fraction = (int)(magnitude & ((1u << f.mantissa) - 1));
        if (e > 0) fraction += 1 << f.mantissa;
        value = ldexpf((float)fraction, lowest_exponent(f) - f.mantissa + (e > 1 ? (int)e - 1 : 0));
    }
    return code >> width & 1 ? -value : value;
}

unsigned minifloat_code(minifloat f, float x) {
    unsigned sign = signbit(x) ? 1u << (f.exponent + f.mantissa) : 0, top = minifloat_top(f);
    float a = fabsf(x);
    if (!(a < minifloat_value(f, top))) return sign | top;
    int low = lowest_exponent(f), e = a > 0 ? ilogbf(a) : low;
    if (e < low) e = low;
    // In steps of this exponent: 2^mantissa .. 2^(mantissa+1) for a normal number, whose upper end is the next
    // exponent's first code, and below that for a subnormal one.
    float steps = nearbyintf(ldexpf(a, f.mantissa - e));
    unsigned magnitude = ((unsigned)(e - low) << f.mantissa) + (unsigned)steps;
    return sign | (magnitude < top ? magnitude : top);
}

float e8m0_value(unsigned code) {
    return code == 255 ? NAN : ldexpf(1, (int)code - 127);
}
