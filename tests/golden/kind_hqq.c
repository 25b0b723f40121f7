// hqq files: codes in the reshaped layout, real-valued zeros.
//
// A variant's options are read from its arrays: the side of the groups and their length from the shapes, the largest
// code from the scale, which is the group's range over it, and whether zeros were searched from the zeros themselves.
#include "kinds.h"

#include "compress/solvers/hqq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct hqq_case {
    int64_t groups, length, bits;
    bool down, search; // groups run down the columns of the reshaped matrix; zeros were searched
    int64_t *code;
    float *scale, *zero;
} hqq_case;

// [rows x cols] to [cols x rows].
static void transpose(const float *x, int64_t rows, int64_t cols, float *out) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) out[c * rows + r] = x[r * cols + c];
}

static bool read_shape(const golden_file *f, const char *v, int64_t n, hqq_case *c, base_err *err) {
    const num_tensor *code = golden_array(f, v, "code"), *scale = golden_array(f, v, "scale");
    c->code = golden_codes(f, v, "code", n, 256, err);
    c->scale = c->code ? golden_reals(f, v, "scale", -1, err) : NULL;
    if (!c->scale) return false;
    if (code->ndim != 2 || scale->ndim != 2) return base_fail(err, "code and scale are not of two dimensions");
    if (scale->dim[0] == code->dim[0] && scale->dim[1] == 1)
        c->groups = code->dim[0];
    else if (scale->dim[1] == code->dim[1] && scale->dim[0] == 1)
        c->groups = code->dim[1], c->down = true;
    else
        return base_fail(err, "scale is %lld x %lld, which is neither a scale a row nor one a column of the codes",
                         (long long)scale->dim[0], (long long)scale->dim[1]);
    c->length = n / c->groups;
    c->zero = golden_reals(f, v, "zero", c->groups, err);
    return c->zero;
}

// x has one group a row. The scale of a group whose range is neither tiny nor cut off by the authors' guards is its
// range over the largest code.
static void read_options(const char *v, const float *x, hqq_case *c) {
    int64_t most = 0;
    c->bits = 0;
    for (int64_t g = 0; g < c->groups; g++) {
        float low = INFINITY, high = -INFINITY;
        for (int64_t i = 0; i < c->length; i++) {
            low = fminf(low, x[g * c->length + i]);
            high = fmaxf(high, x[g * c->length + i]);
        }
        double top = ((double)high - (double)low) / (double)c->scale[g];
        for (int64_t b = 1; b <= 8 && !c->bits && c->scale[g] > 6e-5f && high - low > 2e-4f; b++)
            if (fabs(top / (double)((1 << b) - 1) - 1) < 1e-4) c->bits = b;
        float plain = -low * (1 / c->scale[g]);
        c->search |= fabsf(c->zero[g] - plain) > 1e-5f * (fabsf(plain) + (high - low) / c->scale[g]);
    }
    for (int64_t i = 0; i < c->groups * c->length; i++) most = c->code[i] > most ? c->code[i] : most;
    if (golden_word(v, "opt")) c->search = true;
    if (golden_word(v, "rtn")) c->search = false;
    if (c->bits) return;
    // No group tells: the name, else the least width that holds the codes.
    while (c->bits < 8 && most >= (int64_t)1 << c->bits) c->bits++;
    int64_t named = golden_number(v, "b", 0);
    c->bits = named >= c->bits && named >= 1 && named <= 8 ? named : c->bits ? c->bits : 1;
}

static bool check(const golden_file *f, const char *v, hqq_case *c, const float *x, base_err *err) {
    int64_t n = c->groups * c->length, equal = 0;
    float *scales = base_calloc((size_t)c->groups, sizeof *scales),
          *zeros = base_calloc((size_t)c->groups, sizeof *zeros);
    grid_code *codes = base_calloc((size_t)n, sizeof *codes);
    hqq_options o = {0.7, 10, c->search ? 20 : 0};
    double error = 0, mae = golden_scalar(f, v, "mae");
    bool ok = hqq_solve(x, c->groups, c->length, c->bits, &o, codes, scales, zeros, NULL, err);
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t g = i / c->length;
        equal += codes[i] == c->code[c->down ? i % c->length * c->groups + g : i];
        error += fabs((double)x[i] - (double)(((float)codes[i] - zeros[g]) * scales[g]));
    }
    if (ok && !(mae >= 0)) ok = base_fail(err, "the mean error mae is missing");
    if (ok) {
        double share = (double)equal / (double)n, ratio = mae > 0 ? error / (double)n / mae : error > 0 ? INFINITY : 1;
        golden_verdict(f, v, share, ratio, (share >= 0.999 && fabs(ratio - 1) <= 1e-4) || ratio <= 1, NULL);
    }
    free(scales);
    free(zeros);
    free(codes);
    return ok;
}

static void check_variant(const golden_file *f, const float *w, int64_t n, const char *v) {
    hqq_case c = {0};
    base_err err = {0};
    float *x = base_calloc((size_t)n, sizeof *x);
    bool ok = read_shape(f, v, n, &c, &err);
    if (ok) {
        if (c.down)
            transpose(w, c.length, c.groups, x);
        else
            memcpy(x, w, (size_t)n * sizeof *x);
        read_options(v, x, &c);
        ok = check(f, v, &c, x, &err);
    }
    if (!ok) golden_verdict(f, v, NAN, NAN, false, err.text);
    free(x);
    free(c.code);
    base_big_free(c.scale);
    base_big_free(c.zero);
}

void golden_hqq(const golden_file *f) {
    int64_t rows = 0, cols = 0;
    size_t count;
    base_err err = {0};
    float *w = golden_matrix(f, "W", &rows, &cols, &err);
    if (!w) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
        return;
    }
    char **variants = golden_variants_of(f, (const char *const[]){"code", "scale", "mae"}, 3, &count);
    for (size_t i = 0; i < count; i++) check_variant(f, w, rows * cols, variants[i]);
    if (!count) golden_verdict(f, NULL, NAN, NAN, false, "the file has no variant");
    base_names_free(variants, count);
    base_big_free(w);
}
