// tables: the levels of data types that are given by a list or by a construction, and the names recipes use.
//
// normal: Dettmers et al., QLoRA, NeurIPS 2023 (arXiv 2305.14314), section 3, in the construction of its authors' code:
// quantiles of N(0, 1) at evenly spaced probabilities, one more above zero than below, a zero, divided by the largest.
// af4: Yoshida, NF4 Isn't Information Theoretically Optimal (arXiv 2306.06965). fp4-bnb: the FP4 of bitsandbytes, e2m1
// with a subnormal of its own. dynamic: Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022 (arXiv
// 2110.02861).
#include "compress/types/ggml.h"
#include "compress/types/scalar.h"
#include "compress/types/types.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const float table_af4[16] = {1.0f,        0.72424863f,  0.55496234f,  0.42563882f,  0.31675666f,  0.21961274f,
                             0.12934483f, 0.04273164f,  0.0f,         -0.04934812f, -0.14982478f, -0.25607552f,
                             -0.3736951f, -0.51243739f, -0.69441008f, -1.0f};
// In the order of the codes: sign bit, then 0, subnormal, 2/3, 1, 1/3, 1/2, 1/6, 1/4.
const float table_fp4_bnb[16] = {0.0f,       0.0625f / 12, 8.0f / 12,  12.0f / 12,    4.0f / 12,  6.0f / 12,
                                 2.0f / 12,  3.0f / 12,    -0.0f,      -0.0625f / 12, -8.0f / 12, -12.0f / 12,
                                 -4.0f / 12, -6.0f / 12,   -2.0f / 12, -3.0f / 12};

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

// Point i of `parts` even ones from a to b, in float32 from the nearer end as the authors' library has it.
static float between(float a, float b, int i, int parts) {
    float step = (b - a) / (float)parts;
    return i < (parts + 1) / 2 ? a + step * (float)i : b - step * (float)(parts - i);
}

void table_normal(int bits, float *out) {
    int n = 1 << bits, half = n / 2, k = 0;
    // The largest probability: the mean of 1 - 1/(2n) and 1 - 1/(2(n-1)), to seven digits as the authors write it.
    double edge = floor((1 - (1 / (2.0 * n) + 1 / (2.0 * (n - 1))) / 2) * 1e7) / 1e7;
    out[k++] = 0;
    for (int i = 0; i < half; i++) // half values above zero
        out[k++] = (float)scalar_normal_quantile((double)between((float)edge, 0.5f, i, half));
    for (int i = 0; i < half - 1; i++) // and one fewer below
        out[k++] = -(float)scalar_normal_quantile((double)between((float)edge, 0.5f, i, half - 1));
    qsort(out, (size_t)n, sizeof *out, rising);
    float top = out[n - 1];
    for (int i = 0; i < n; i++) out[i] /= top;
}

float table_dynamic_magnitude(int exponent, int exponents, int i) {
    int parts = 1 << exponent; // fractions of this exponent
    return (float)pow(10, exponent - (exponents - 1)) *
           ((between(0.1f, 1, i, parts) + between(0.1f, 1, i + 1, parts)) / 2);
}

// For each number of leading zeros, even fractions between 0.1 and 1, at a tenth a zero; then 0 and 1.
void table_dynamic(int bits, float *out) {
    int exponents = bits - 1, k = 0;
    for (int e = 0; e < exponents; e++)
        for (int i = 0; i < 1 << e; i++) {
            float level = table_dynamic_magnitude(e, exponents, i);
            out[k++] = level;
            out[k++] = -level;
        }
    out[k++] = 0;
    out[k++] = 1;
    qsort(out, (size_t)k, sizeof *out, rising);
}

// ---- names ---------------------------------------------------------------------------------------

typedef struct type_name {
    const char *name;
    table_kind kind;
    int bits, mantissa; // bits 0: as the step's argument says
    int group, form;
} type_name;

static const type_name names[] = {
    {"nf4", TABLE_NORMAL, 4, 0, 0, -1},
    {"nf", TABLE_NORMAL, 0, 0, 0, -1},
    {"af4", TABLE_AF4, 4, 0, 0, -1},
    {"fp4-bnb", TABLE_FP4_BNB, 4, 0, 0, -1},
    {"dynamic", TABLE_DYNAMIC, 0, 0, 0, -1},
    {"midrise", TABLE_MIDRISE, 0, 0, 0, -1},
    {"lloyd", TABLE_LLOYD, 0, 0, 0, -1},
    {"dorefa", TABLE_DOREFA, 0, 0, 0, -1},
    {"seq", TABLE_SEQ, 0, 0, 0, -1},
    {"power", TABLE_POWER, 0, 0, 0, -1},
    {"tanh", TABLE_TANH, 0, 0, 0, -1},
    {"quantile", TABLE_QUANTILE, 0, 0, 0, -1},
    {"fp4", TABLE_MINIFLOAT, 4, 1, 0, -1},
    {"fp6", TABLE_MINIFLOAT, 6, 2, 0, -1},
    {"fp8", TABLE_MINIFLOAT, 8, 3, 0, -1},
    {"mxfp4", TABLE_MINIFLOAT, 4, 1, 32, SCALE_E8M0},
    {"mxfp6", TABLE_MINIFLOAT, 6, 2, 32, SCALE_E8M0},
    {"mxfp6-e2m3", TABLE_MINIFLOAT, 6, 3, 32, SCALE_E8M0},
    {"mxfp8", TABLE_MINIFLOAT, 8, 3, 32, SCALE_E8M0},
    {"mxfp8-e5m2", TABLE_MINIFLOAT, 8, 2, 32, SCALE_E8M0},
    {"mxint8", TABLE_INT, 8, 0, 32, SCALE_E8M0},
    {"nvfp4", TABLE_MINIFLOAT, 4, 1, 16, SCALE_E4M3},
};

const char *type_list(void) {
    return "int, intN, uintN, ternary, binary, nf4, nf, af4, fp4, fp4-bnb, fp6, fp8, eXmY, eXmY-inf, eXmY-nan, "
           "eXmY-all, mxfp4, "
           "mxfp6, mxfp6-e2m3, mxfp8, "
           "mxfp8-e5m2, mxint8, nvfp4, dynamic, midrise, seq, lloyd, power, tanh, dorefa, quantile, q4_0, q4_1, q5_0, "
           "q5_1, q8_0, "
           "q2_K, q3_K, q4_K, q5_K, q6_K, iq4_nl, iq4_xs, ggml-mxfp4, ggml-nvfp4, tq1_0, tq2_0";
}

// "e3m2": one to seven exponent bits, with the sign at most eight in all; what the top codes are may follow.
static bool find_minifloat(const char *name, type_choice *out) {
    static const struct {
        const char *suffix;
        table_kind kind;
    } tops[] = {{"", TABLE_MINIFLOAT},
                {"-inf", TABLE_FLOAT_INF},
                {"-nan", TABLE_FLOAT_NAN},
                {"fn", TABLE_FLOAT_NAN},
                {"-all", TABLE_FLOAT_ALL}};
    if (strlen(name) < 4 || name[0] != 'e' || name[2] != 'm') return false;
    int e = name[1] - '0', m = name[3] - '0';
    if (e < 1 || e > 7 || m < 0 || m > 6 || e + m > 7) return false;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
        if (strcmp(name + 4, tops[i].suffix) != 0) continue;
        out->type = (table_type){.kind = tops[i].kind, .bits = 1 + e + m, .mantissa = m};
        return table_codes(&out->type) > 0;
    }
    return false;
}

// "int4", "uint8": the width stated, u for a zero point.
static bool find_integer(const char *name, type_choice *out) {
    const char *at = name + (*name == 'u');
    if (strncmp(at, "int", 3) != 0 || at[3] < '1' || at[3] > '9' || strlen(at) > 5) return false;
    char *end;
    long bits = strtol(at + 3, &end, 10);
    if (*end || bits > GRID_MOST_BITS) return false;
    *out = (type_choice){.form = -1, .even = true, .integer = true, .bits = (int)bits, .asym = at != name};
    return true;
}

// Floats that a byte does not hold.
static bool wide_float(const char *name) {
    int e = 0, m = 0, end = 0;
    return sscanf(name, "e%2dm%2d%n", &e, &m, &end) == 2 && !name[end] && e >= 0 && m >= 0;
}

bool type_find(const char *name, int bits, type_choice *out, base_err *err) {
    *out = (type_choice){.form = -1};
    if (find_integer(name, out)) return true;
    out->integer = !strcmp(name, "int");
    if (!strcmp(name, "int") || !strcmp(name, "ternary") || !strcmp(name, "binary")) {
        out->even = true;
        return true;
    }
    if (find_minifloat(name, out)) return true;
    // Two of ggml's formats share their names with standards that lie otherwise in memory: those need the prefix.
    const char *bare = !strncmp(name, "ggml-", 5) ? name + 5 : name;
    bool standard = bare == name && (!strcmp(name, "mxfp4") || !strcmp(name, "nvfp4"));
    if (!standard && (out->block = ggml_find(bare))) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const type_name *n = &names[i];
        if (strcmp(n->name, name) != 0) continue;
        out->type = (table_type){.kind = n->kind, .bits = n->bits ? n->bits : bits, .mantissa = n->mantissa};
        out->group = n->group;
        out->form = n->form;
        if (!table_codes(&out->type)) return base_fail(err, "quantize: dtype %s cannot have %d bits", name, bits);
        return true;
    }
    char clean[64];
    base_clean(clean, sizeof clean, name);
    if (wide_float(name))
        return base_fail(err,
                         "quantize: dtype %s: a float here has 1 to 7 exponent bits, 0 to 6 mantissa bits and with "
                         "its sign 2 to 8 bits (keep{dtype=\"f16\"} and \"bf16\" store wider ones)",
                         clean);
    return base_fail(err, "quantize: there is no data type '%s'; known are %s", clean, type_list());
}

void table_describe(const table_type *type, base_buf *b) {
    static const char *const kinds[] = {"minifloat", "int",   "nf",         "af4",    "fp4-bnb",  "dynamic",
                                        "midrise",   "lloyd", "power",      "tanh",   "quantile", "-inf",
                                        "-nan",      "-all",  "narrow int", "dorefa", "seq"};
    if (table_is_float(type->kind))
        base_buf_printf(b, "e%dm%d%s", type->bits - 1 - type->mantissa, type->mantissa,
                        type->kind == TABLE_MINIFLOAT ? "" : kinds[type->kind]);
    else if (type->kind == TABLE_AF4 || type->kind == TABLE_FP4_BNB)
        base_buf_puts(b, kinds[type->kind]);
    else
        base_buf_printf(b, "%s%d", kinds[type->kind], type->bits);
}
