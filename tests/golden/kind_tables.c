// tables files: the levels of data types, and rounding to minifloats.
#include "kinds.h"

#include "compress/types/types.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool same_value(float a, float b) {
    return a == b || (isnan(a) && isnan(b)); // the sign of zero is left to each list
}

// ---- lists of levels -------------------------------------------------------------------------------

// All of ours against the file's list; `tolerance` relative, 0: the same bits.
static void compare_list(const golden_file *f, const char *name, const float *ours, int64_t n, double tolerance) {
    size_t count = 0;
    if (!golden_array(f, NULL, name)) return; // this folder has no such list
    float *theirs = golden_floats(f, NULL, name, &count);
    int64_t equal = 0;
    if ((int64_t)count == n)
        for (int64_t i = 0; i < n; i++)
            equal += same_value(ours[i], theirs[i]) || (tolerance > 0 && fabs((double)ours[i] - (double)theirs[i]) <=
                                                                             tolerance * fabs((double)theirs[i]));
    double share = count ? (double)equal / (double)count : 0;
    golden_verdict(f, name, share, NAN, (int64_t)count == n && equal == n, NULL);
    base_big_free(theirs);
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

// What the authors' create_fp8_map gives: the values of a minifloat over the largest, each once, rising.
static int64_t distinct_scaled(minifloat m, float *out) {
    int codes = 2 << (m.exponent + m.mantissa);
    float top = minifloat_value(m, minifloat_top(m));
    int64_t n = 0;
    for (int c = 0; c < codes; c++) out[c] = minifloat_value(m, (unsigned)c) / top;
    qsort(out, (size_t)codes, sizeof *out, rising);
    for (int c = 0; c < codes; c++)
        if (!n || out[c] != out[n - 1]) out[n++] = out[c];
    return n;
}

static void check_lists(const golden_file *f) {
    float level[TABLE_MOST] = {0};
    table_normal(4, level);
    compare_list(f, "bnb_nf4", level, 16, 0);
    compare_list(f, "bnb_create_normal_map_first16_sorted", level, 16, 0);
    compare_list(f, "bnb_fp4", table_fp4_bnb, 16, 0);
    compare_list(f, "bnb_af4", table_af4, 16, 0);
    table_dynamic(8, level);
    compare_list(f, "bnb_dynamic_map_256", level, 256, 1e-6); // theirs has the rounding of a vector unit's ramp
    for (unsigned c = 0; c < 256; c++) level[c] = e8m0_value(c);
    compare_list(f, "e8m0_decode", level, 256, 0);
    // Their map of a 4-bit e2m1 puts the subnormal at 1/8 of where the format has it; the rest is the format's.
    int64_t n = distinct_scaled((minifloat){.exponent = 2, .mantissa = 1}, level);
    for (int64_t i = 0; i < n; i++)
        if (fabsf(level[i]) == 0.5f / 6) level[i] /= 4;
    compare_list(f, "bnb_create_fp8_map_e2m1_unique", level, n, 1e-6);
}

// ---- minifloats ------------------------------------------------------------------------------------

// "fp6_e3m2_decode": which format an array's name speaks of.
static bool format_of(const char *name, minifloat *m) {
    const char *p = strstr(name, "_e");
    if (!p || p[2] < '1' || p[2] > '7' || p[3] != 'm' || p[4] < '0' || p[4] > '6') return false;
    *m = (minifloat){.exponent = p[2] - '0', .mantissa = p[4] - '0'};
    return true;
}

static void check_decode(const golden_file *f, const char *name, minifloat m) {
    float level[TABLE_MOST];
    int codes = 2 << (m.exponent + m.mantissa);
    for (int c = 0; c < codes; c++) level[c] = minifloat_value(m, (unsigned)c);
    compare_list(f, name, level, codes, 0);
}

// Both ways of rounding: the arithmetic one, and the table that grids use.
static void check_probe(const golden_file *f, const char *name, minifloat m) {
    char *code_name = base_sprintf("%s_code", name);
    size_t count = 0, bytes;
    const num_tensor *probe = golden_array(f, NULL, name);
    base_err err = {0};
    (void)num_count(probe->ndim, probe->dim, probe->dtype, &count, &bytes);
    float *x = golden_floats(f, NULL, name, NULL); // infinities are among what overflows
    int64_t *wanted =
        x && count ? golden_codes(f, NULL, code_name, (int64_t)count, 2 << (m.exponent + m.mantissa), &err) : NULL;
    grid_table t;
    table_type type = {.kind = TABLE_MINIFLOAT, .bits = 1 + m.exponent + m.mantissa, .mantissa = m.mantissa};
    if (wanted && table_build(&type, NULL, &t, &err)) {
        size_t equal = 0;
        for (size_t i = 0; i < count; i++) {
            grid_code code;
            table_encode(&t, 1, x + i, 1, &code);
            equal += minifloat_code(m, x[i]) == wanted[i] && code == wanted[i];
        }
        golden_verdict(f, name, (double)equal / (double)count, NAN, equal == count, NULL);
    } else {
        golden_verdict(f, name, NAN, NAN, false, err.text[0] ? err.text : "the probe is empty");
    }
    free(code_name);
    free(wanted);
    base_big_free(x);
}

void golden_tables(const golden_file *f) {
    check_lists(f);
    for (size_t i = 0; i < f->z.count; i++) {
        const char *name = f->z.items[i].name, *end = strrchr(name, '_');
        minifloat m;
        if (!end || strncmp(name, "fp", 2) != 0 || !format_of(name, &m)) continue;
        if (!strcmp(end, "_decode")) check_decode(f, name, m);
        if (!strcmp(end, "_probe")) check_probe(f, name, m);
    }
}
