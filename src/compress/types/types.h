// Private to compress/: data types whose levels are not evenly spaced, as tables of values, and the rounding to them.
//
// A type is a few numbers (its kind, bits, mantissa bits, one parameter), from which its table is built the same way
// when a layer is compressed and when the file is read, so that tables cost nothing in the file. Only a type of kind
// TABLE_LEVELS carries its own values.
#ifndef VISE_COMPRESS_TYPES_H
#define VISE_COMPRESS_TYPES_H

#include "compress/layer.h"

enum { TABLE_MOST = 256 };

typedef enum table_kind {
    TABLE_MINIFLOAT, // sign, bits - 1 - mantissa exponent bits, mantissa bits
    TABLE_INT,       // -2^(bits-1) .. 2^(bits-1) - 1
    TABLE_NORMAL,    // quantiles of the normal distribution (NF4 and its relatives)
    TABLE_AF4,
    TABLE_FP4_BNB,
    TABLE_DYNAMIC,   // dynamic-tree: the number of leading zeros is the exponent
    TABLE_MIDRISE,   // even levels without a zero
    TABLE_LLOYD,     // Lloyd-Max levels for N(0, 1)
    TABLE_POWER,     // sign(k) |k|^(1/param): even after x -> sign(x) |x|^param
    TABLE_TANH,      // atanh of even levels in [-param, param]: even after x -> tanh(x)
    TABLE_QUANTILE,  // fitted to the layer: quantiles of the normalised weights (stored)
    TABLE_FLOAT_INF, // minifloats whose last exponent is Inf and NaN, whose last code is NaN, all of whose codes are
    TABLE_FLOAT_NAN, // numbers
    TABLE_FLOAT_ALL,
    TABLE_NARROW, // integers without the lowest: -(2^(bits-1) - 1) .. 2^(bits-1) - 1
    TABLE_DOREFA, // as tanh, but 2^bits levels without a zero
    TABLE_SEQ,    // the middles of 2^bits even parts of -1 .. 1
    TABLE_KINDS
} table_kind;
#define TABLE_NAMES                                                                                                    \
    "minifloat|int|normal|af4|fp4-bnb|dynamic|midrise|lloyd|power|tanh|quantile|minifloat-inf|"                        \
    "minifloat-nan|minifloat-all|narrow|dorefa|seq"

typedef struct table_type {
    table_kind kind;
    int bits, mantissa; // code width; mantissa bits of a minifloat
    float param;        // of power, tanh and dorefa
} table_type;

struct grid_table {
    table_type type;
    int codes;                // values[0 .. codes)
    float value[TABLE_MOST];  // of each code; NaN: a code no weight gets
    float top;                // the largest magnitude: what absmax / scale is
    bool signed_magnitude;    // code = sign bit, then the position of |t|
    int positions;            // distinct values that encoding may choose (of |t| when signed_magnitude)
    float edge[TABLE_MOST];   // ascending: t > edge[k] goes beyond position k
    uint8_t code[TABLE_MOST]; // of each position
};

// Builds the table; `levels` (2^bits floats) only for TABLE_QUANTILE. False when the type is impossible.
bool table_build(const table_type *type, const void *levels, grid_table *t, base_err *err) BASE_MUST_USE;
// Only the values of the codes, as a table has them: all that decoding needs.
bool table_values(const table_type *type, const void *levels, float value[TABLE_MOST], base_err *err) BASE_MUST_USE;
// Codes of x / scale, nearest level; ties as the type's definition has them. scale > 0.
void table_encode(const grid_table *t, float scale, const float *x, int64_t count, grid_code *codes);
void table_describe(const table_type *type, base_buf *b);
// One number of the layer is stored with it.
static inline bool table_has_param(table_kind kind) {
    return kind == TABLE_POWER || kind == TABLE_TANH || kind == TABLE_DOREFA;
}
// How many codes the type has; 0 when it cannot have these bits.
int table_codes(const table_type *type);

// ---- minifloats ----------------------------------------------------------------------------------

// eXmY with the usual bias 2^(X-1) - 1 and subnormals. e4m3 keeps its last code for NaN, e5m2 its last exponent for Inf
// and NaN (OCP 8-bit floating point, 2023); all others use every code for a number (OCP MX, 2023). That is FLOAT_OCP;
// any format may have its top codes the other way.
enum float_top {
    FLOAT_OCP,
    FLOAT_INF, // the last exponent: Inf and NaN, as IEEE 754 has it
    FLOAT_NAN, // the last code: NaN (the "fn" of e4m3fn)
    FLOAT_ALL  // numbers
};
typedef struct minifloat {
    int exponent, mantissa; // bits
    int special;            // enum float_top
} minifloat;
bool table_is_float(table_kind kind);
minifloat table_float(const table_type *type); // of a type of these kinds
float minifloat_value(minifloat f, unsigned code);
unsigned minifloat_code(minifloat f, float x); // nearest, ties to even, saturating; the sign of zero is kept
unsigned minifloat_top(minifloat f);           // code of the largest magnitude

// The e8m0 scale 2^(code - 127); 255 is NaN.
float e8m0_value(unsigned code);

// ---- tables of their own -------------------------------------------------------------------------

// Each writes the levels in the order of their codes.
void table_normal(int bits, float *out);  // [2^bits]
void table_dynamic(int bits, float *out); // [2^bits]
// Magnitude i of 2^exponent of the dynamic map with `exponents` of them.
float table_dynamic_magnitude(int exponent, int exponents, int i);
extern const float table_af4[16], table_fp4_bnb[16];

// ---- names ---------------------------------------------------------------------------------------

struct ggml_type;
// What a recipe's dtype="..." asks for.
typedef struct type_choice {
    table_type type;
    bool even;                     // int, ternary, binary: an even grid of the uniform term
    bool integer;                  // even: int, intN or uintN
    int bits;                      // that the name states, of intN and uintN; else 0
    bool asym;                     // uintN
    int64_t group;                 // the block a standard fixes; 0: free
    int form;                      // enum scale_form the standard fixes; -1: free
    const struct ggml_type *block; // one of ggml's block formats, which nothing else of this describes; NULL: none
} type_choice;
bool type_find(const char *name, int bits, type_choice *out, base_err *err) BASE_MUST_USE;
const char *type_list(void); // every name, for messages and help

#endif
