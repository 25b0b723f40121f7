// ggml files: blocks of every type decoded bit for bit, and encoded within what their own compilers differ by.
#include "kinds.h"

#include "compress/types/ggml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ggml_case {
    const golden_file *f;
    const float *w, *importance;
    int64_t rows, cols;
} ggml_case;

// Types whose arithmetic leaves no room: with contraction off every byte must be right.
static double least_share(const char *type, bool importance) {
    static const char *const exact[] = {"q8_0", "mxfp4", "tq1_0", "tq2_0"}, *const plain[] = {"q4_0", "q4_1", "q5_0",
                                                                                              "q5_1", "q6_K"};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (!strcmp(type, exact[i])) return 1;
    for (size_t i = 0; !importance && i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(type, plain[i])) return 1;
    return !strcmp(type, "q2_K") ? 0.92 : 0.96;
}

static double error_of(const ggml_case *c, const float *q, bool weighted) {
    double sum = 0;
    for (int64_t i = 0; i < c->rows * c->cols; i++) {
        double d = (double)c->w[i] - (double)q[i];
        sum += d * d * (weighted ? (double)c->importance[i % c->cols] : 1);
    }
    return sum;
}

static void check_decode(const ggml_case *c, const char *v, const ggml_type *t, const uint8_t *blocks, float *out) {
    const num_tensor *wanted = golden_array(c->f, v, "deq");
    int64_t count = c->rows * c->cols, equal = 0;
    ggml_decode(t, blocks, count / t->length, out);
    if (!wanted) return; // this variant has none
    const float *values = wanted->data;
    for (int64_t i = 0; i < count; i++) equal += memcmp(out + i, values + i, sizeof *out) == 0;
    char *name = base_sprintf("%s decode", v);
    golden_verdict(c->f, name, (double)equal / (double)count, NAN, equal == count, NULL);
    free(name);
}

static void check_variant(const ggml_case *c, const char *v) {
    const num_tensor *blocks = golden_array(c->f, v, "blocks");
    char type[32];
    const char *dot = strrchr(v, '.');
    snprintf(type, sizeof type, "%.*s", (int)(dot ? dot - v : (long)strlen(v)), v);
    const ggml_type *t = ggml_find(type);
    bool importance = dot && !strcmp(dot, ".im");
    if (!t || c->cols % t->length || blocks->ndim != 2 || blocks->dim[0] != c->rows ||
        blocks->dim[1] != c->cols / t->length * t->bytes || (importance && !c->importance)) {
        golden_verdict(c->f, v, NAN, NAN, false, t ? "blocks of another size" : "a type that is not known");
        return;
    }
    int64_t bytes = c->rows * blocks->dim[1], equal = 0;
    uint8_t *ours = base_calloc((size_t)bytes, 1);
    float *theirs_out = base_calloc((size_t)(c->rows * c->cols), sizeof *theirs_out);
    float *out = base_calloc((size_t)(c->rows * c->cols), sizeof *out);
    check_decode(c, v, t, blocks->data, theirs_out);
    for (int64_t r = 0; r < c->rows; r++)
        ggml_encode(t, c->w + r * c->cols, importance ? c->importance : NULL, c->cols, ours + r * blocks->dim[1]);
    ggml_decode(t, ours, c->rows * c->cols / t->length, out);
    for (int64_t i = 0; i < bytes; i++) equal += ours[i] == ((const uint8_t *)blocks->data)[i];
    double share = (double)equal / (double)bytes, reference = error_of(c, theirs_out, importance),
           ratio = reference > 0 ? error_of(c, out, importance) / reference : 1;
    bool close = share >= least_share(type, importance) && fabs(ratio - 1) <= 5e-3;
    golden_verdict(c->f, v, share, ratio, close || (ratio <= 1 && share >= 0.9), close ? NULL : "");
    free(ours);
    free(out);
    free(theirs_out);
}

void golden_ggml(const golden_file *f) {
    const num_tensor *w = golden_array(f, NULL, "W");
    size_t count, importances = 0;
    float *weights = golden_floats(f, NULL, "W", NULL), *importance = golden_floats(f, NULL, "imatrix", &importances);
    ggml_case c = {f, weights, importance, w->dim[0], w->ndim > 1 ? w->dim[1] : 1};
    if (importance && (int64_t)importances != c.cols) c.importance = NULL;
    char **variants = golden_variants(f, "blocks", &count);
    for (size_t i = 0; weights && i < count; i++) check_variant(&c, variants[i]);
    base_names_free(variants, count);
    base_big_free(weights);
    base_big_free(importance);
}
