// table: building the table of a data type, and rounding to it. Encoding counts the edges that a value exceeds, so a
// tie is decided by which side of its edge the middle lies on.
#include "compress/types/scalar.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

int table_codes(const table_type *t) {
    int least = 1, most = 8;
    switch (t->kind) {
    case TABLE_MINIFLOAT:
    case TABLE_FLOAT_INF:
    case TABLE_FLOAT_NAN:
    case TABLE_FLOAT_ALL: {
        // Something finite but 0 must be left: an exponent beside the one for Inf, a code beside the one for NaN.
        int exponent = t->bits - 1 - t->mantissa, fewest = t->kind == TABLE_FLOAT_INF ? 2 : 1;
        if (t->kind == TABLE_FLOAT_NAN && t->mantissa == 0) fewest = 2;
        return t->mantissa >= 0 && exponent >= fewest && t->bits <= 8 ? 1 << t->bits : 0;
    }
    case TABLE_AF4:
    case TABLE_FP4_BNB:
        least = most = 4;
        break;
    case TABLE_NORMAL:
    case TABLE_DYNAMIC:
    case TABLE_INT:
    case TABLE_POWER:
    case TABLE_TANH:
    case TABLE_NARROW:
    case TABLE_DOREFA:
        least = 2;
        break;
    case TABLE_SEQ:
    case TABLE_MIDRISE:
    case TABLE_LLOYD:
    case TABLE_QUANTILE:
        break;
    case TABLE_KINDS:
        return 0;
    }
    return t->bits >= least && t->bits <= most ? 1 << t->bits : 0;
}

static void lloyd_levels(int n, float *out) {
    double levels[TABLE_MOST];
    scalar_lloyd_max(n, levels, NULL);
    for (int i = 0; i < n; i++) out[i] = (float)levels[i];
}

// Levels of the kinds that are even after a map: 2^bits - 1 of them around zero (the first code repeats the second).
static void mapped_levels(const table_type *type, int n, float *out) {
    int half = n / 2 - 1;
    for (int i = 0; i < n; i++) {
        int k = i < 1 ? -half : i - 1 - half;
        double u = fabs((double)k) / half, level;
        if (type->kind == TABLE_POWER)
            level = pow(u, 1 / (double)type->param);
        else
            level = k ? atanh((double)type->param * u) / atanh((double)type->param) : 0;
        out[i] = (float)(k < 0 ? -level : level);
    }
}

// 2^bits levels, even in tanh(w), none of them 0.
static void dorefa_levels(const table_type *type, int n, float *out) {
    double a = (double)type->param;
    for (int i = 0; i < n; i++) {
        double u = (double)(2 * i + 1 - n) / (n - 1);
        out[i] = (float)copysign(atanh(a * fabs(u)) / atanh(a), u);
    }
}

static void fill(const table_type *type, const void *levels, int n, float *value) {
    switch (type->kind) {
    case TABLE_MINIFLOAT:
    case TABLE_FLOAT_INF:
    case TABLE_FLOAT_NAN:
    case TABLE_FLOAT_ALL:
        for (int i = 0; i < n; i++) value[i] = minifloat_value(table_float(type), (unsigned)i);
        break;
    case TABLE_INT:
        for (int i = 0; i < n; i++) value[i] = (float)(i - n / 2);
        break;
    case TABLE_NORMAL:
        table_normal(type->bits, value);
        break;
    case TABLE_AF4:
        memcpy(value, table_af4, sizeof table_af4);
        break;
    case TABLE_FP4_BNB:
        memcpy(value, table_fp4_bnb, sizeof table_fp4_bnb);
        break;
    case TABLE_DYNAMIC:
        table_dynamic(type->bits, value);
        break;
    case TABLE_MIDRISE:
        for (int i = 0; i < n; i++) value[i] = (float)(2 * i + 1 - n) / (float)(n - 1);
        break;
    case TABLE_LLOYD:
        lloyd_levels(n, value);
        break;
    case TABLE_POWER:
    case TABLE_TANH:
        mapped_levels(type, n, value);
        break;
    case TABLE_NARROW:
        for (int i = 0; i < n; i++) value[i] = i ? (float)(i - n / 2) : NAN;
        break;
    case TABLE_SEQ:
        for (int i = 0; i < n; i++) value[i] = (float)(2 * i + 1 - n) / (float)n;
        break;
    case TABLE_DOREFA:
        dorefa_levels(type, n, value);
        break;
    case TABLE_QUANTILE:
        memcpy(value, levels, (size_t)n * sizeof *value);
        break;
    case TABLE_KINDS:
        break;
    }
}

// Does the middle of two neighbouring values go to the upper one?
static bool tie_goes_up(const grid_table *t, float middle, uint8_t lower, uint8_t upper) {
    if (t->signed_magnitude) return minifloat_code(table_float(&t->type), middle) == upper;
    if (t->type.kind == TABLE_INT || t->type.kind == TABLE_NARROW) return upper % 2 == 0;
    return upper < lower; // the first of the codes, as a search for the least distance finds it
}

static void make_edges(grid_table *t) {
    int n = 0;
    for (int c = 0; c < t->codes; c++) { // insertion by value; equal values keep the first code
        float v = t->value[c];
        if (!isfinite(v) || (t->signed_magnitude && signbit(v))) continue;
        int at = n;
        while (at > 0 && t->value[t->code[at - 1]] > v) at--;
        if (at > 0 && t->value[t->code[at - 1]] == v) continue;
        memmove(t->code + at + 1, t->code + at, (size_t)(n - at));
        t->code[at] = (uint8_t)c;
        n++;
    }
    t->positions = n;
    for (int k = 0; k + 1 < n; k++) {
        double a = (double)t->value[t->code[k]], b = (double)t->value[t->code[k + 1]];
        float middle = (float)((a + b) / 2);
        t->edge[k] = tie_goes_up(t, middle, t->code[k], t->code[k + 1]) ? nextafterf(middle, -INFINITY) : middle;
    }
}

bool table_values(const table_type *type, const void *levels, float value[TABLE_MOST], base_err *err) {
    int codes = table_codes(type);
    if (!codes) return base_fail(err, "a table of kind %d cannot have %d bits", (int)type->kind, type->bits);
    if (type->kind == TABLE_POWER && !(type->param >= 0.0625f && type->param <= 16))
        return base_fail(err, "the exponent of a power table is %g, expected 1/16 .. 16", (double)type->param);
    if ((type->kind == TABLE_TANH || type->kind == TABLE_DOREFA) && !(type->param > 0 && type->param < 1))
        return base_fail(err, "the parameter of a tanh table is %g, expected between 0 and 1", (double)type->param);
    fill(type, levels, codes, value);
    return true;
}

bool table_build(const table_type *type, const void *levels, grid_table *t, base_err *err) {
    memset(t, 0, sizeof *t);
    if (!table_values(type, levels, t->value, err)) return false;
    t->type = *type;
    t->codes = table_codes(type);
    t->signed_magnitude = table_is_float(type->kind);
    for (int c = 0; c < t->codes; c++)
        if (isfinite(t->value[c]) && fabsf(t->value[c]) > t->top) t->top = fabsf(t->value[c]);
    if (type->kind == TABLE_INT) t->top = t->value[t->codes - 1]; // so that the largest weight is a level on both sides
    if (type->kind == TABLE_SEQ) t->top = 1; // the parts reach to the largest weight, their middles do not
    if (!(t->top > 0)) return base_fail(err, "all levels of a table are zero or none is finite");
    make_edges(t);
    return true;
}

// ---- encoding --------------------------------------------------------------------------------------

enum { RUN = 64, LINEAR = 40 };

// How many edges each of `count` <= RUN values exceeds.
BASE_CLONES static void count_edges(const float *edge, int edges, const float *v, int32_t *position) {
    for (int i = 0; i < RUN; i++) position[i] = 0;
    for (int k = 0; k < edges; k++)
        for (int i = 0; i < RUN; i++) position[i] += v[i] > edge[k];
}

static int32_t search_edges(const float *edge, int edges, float v) {
    int32_t low = 0, high = edges;
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if (v > edge[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void table_encode(const grid_table *t, float scale, const float *x, int64_t count, grid_code *codes) {
    float v[RUN];
    int32_t position[RUN];
    unsigned sign = (unsigned)t->codes / 2;
    for (int64_t at = 0; at < count; at += RUN) {
        int n = count - at < RUN ? (int)(count - at) : RUN;
        for (int i = 0; i < RUN; i++) {
            float s = i < n ? x[at + i] / scale : 0;
            v[i] = t->signed_magnitude ? fabsf(s) : s;
        }
        if (t->positions <= LINEAR)
            count_edges(t->edge, t->positions - 1, v, position);
        else
            for (int i = 0; i < n; i++) position[i] = search_edges(t->edge, t->positions - 1, v[i]);
        for (int i = 0; i < n; i++) {
            unsigned code = t->code[position[i]];
            if (t->signed_magnitude && signbit(x[at + i])) code |= sign;
            codes[at + i] = (grid_code)code;
        }
    }
}
