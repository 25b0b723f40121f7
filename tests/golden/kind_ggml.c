// ggml files: blocks of every type decoded bit for bit, and encoded within what their own compilers differ by.
//
// A variant is "<type>.no" or "<type>.im" (with the importance of the file's imatrix). Where the words say neither, the
// type is the one of this size whose blocks decode to deq, or nearest to W, and importance what encodes more alike.
// README, 9: decoding bit for bit; encoding byte for byte for the simple types, else 96 % of bytes (q2_K 92 %) and the
// (weighted) error within 0.5 %, or better in error.
#include "kinds.h"

#include "compress/types/ggml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ggml_case {
    const golden_file *f;
    float *w, *importance;
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

static bool has_size(const ggml_case *c, const ggml_type *t, size_t bytes) {
    return c->cols % t->length == 0 && (size_t)(c->rows * c->cols / t->length * t->bytes) == bytes;
}

// How many values decode to those of deq, bit for bit; without deq the negative error.
static double decoded(const ggml_case *c, const ggml_type *t, const uint8_t *blocks, const float *deq, float *out) {
    int64_t count = c->rows * c->cols, equal = 0;
    ggml_decode(t, blocks, count / t->length, out);
    for (int64_t i = 0; deq && i < count; i++) equal += memcmp(out + i, deq + i, sizeof *out) == 0;
    return deq ? (double)equal : -error_of(c, out, false);
}

// The type that a word of the name is, else the one that decodes best.
static const ggml_type *find_type(const ggml_case *c, const char *v, const uint8_t *blocks, size_t bytes,
                                  const float *deq, float *out) {
    const ggml_type *found = NULL;
    double best = -INFINITY;
    char *word = base_strndup(v, strcspn(v, "."));
    if (!(found = ggml_find(word)))
        for (int k = 0; k < ggml_type_count; k++) {
            if (!has_size(c, &ggml_types[k], bytes)) continue;
            double score = decoded(c, &ggml_types[k], blocks, deq, out);
            if (score > best || !found) best = score, found = &ggml_types[k];
        }
    free(word);
    return found;
}

static int64_t encode(const ggml_case *c, const ggml_type *t, const uint8_t *theirs, bool importance, uint8_t *ours) {
    int64_t row = c->cols / t->length * t->bytes, equal = 0;
    memset(ours, 0, (size_t)(c->rows * row));
    for (int64_t r = 0; r < c->rows; r++)
        ggml_encode(t, c->w + r * c->cols, importance ? c->importance : NULL, c->cols, ours + r * row);
    for (int64_t i = 0; i < c->rows * row; i++) equal += ours[i] == theirs[i];
    return equal;
}

static void check_encode(const ggml_case *c, const char *v, const ggml_type *t, const uint8_t *theirs, float *out) {
    int64_t bytes = c->rows * (c->cols / t->length) * t->bytes;
    uint8_t *ours = base_calloc((size_t)bytes, 1);
    bool importance = golden_word(v, "im"), told = importance || golden_word(v, "no");
    if (!told && c->importance) importance = encode(c, t, theirs, true, ours) > encode(c, t, theirs, false, ours);
    if (importance && !c->importance) {
        golden_verdict(c->f, v, NAN, NAN, false, "imatrix is missing, or has not an importance a column");
        free(ours);
        return;
    }
    double share = (double)encode(c, t, theirs, importance, ours) / (double)bytes;
    ggml_decode(t, theirs, c->rows * c->cols / t->length, out);
    double reference = error_of(c, out, importance);
    ggml_decode(t, ours, c->rows * c->cols / t->length, out);
    double error = error_of(c, out, importance);
    // Where the scale overflows float16 both are infinite, and the bytes alone tell.
    double ratio = share == 1             ? 1
                   : !isfinite(reference) ? 0
                   : reference > 0        ? error / reference
                   : error > 0            ? INFINITY
                                          : 1;
    bool close = share >= least_share(t->name, importance) && fabs(ratio - 1) <= 5e-3;
    golden_verdict(c->f, v, share, ratio, close || (ratio <= 1 && isfinite(error)), NULL);
    free(ours);
}

static void check_variant(const ggml_case *c, const char *v) {
    const num_tensor *blocks = golden_array(c->f, v, "blocks");
    size_t bytes = 0, whole, count = (size_t)(c->rows * c->cols), values = 0;
    float *out = base_calloc(count, sizeof *out), *deq = golden_floats(c->f, v, "deq", &values);
    const ggml_type *t = NULL;
    const char *why = NULL;
    if (!blocks || blocks->dtype != NUM_U8 || !num_count(blocks->ndim, blocks->dim, blocks->dtype, &bytes, &whole))
        why = "blocks are missing, or not bytes";
    else if (deq && values != count)
        why = "deq has another size than W";
    else if (!(t = find_type(c, v, blocks->data, bytes, deq, out)))
        why = "blocks of a size that no known type has";
    else if (!has_size(c, t, bytes))
        why = "blocks of another size than its type's";
    if (why) {
        golden_verdict(c->f, v, NAN, NAN, false, why);
    } else {
        if (deq) {
            char *name = base_sprintf("%s decode", v);
            double equal = decoded(c, t, blocks->data, deq, out);
            golden_verdict(c->f, name, equal / (double)count, NAN, equal == (double)count, NULL);
            free(name);
        }
        check_encode(c, v, t, blocks->data, out);
    }
    free(out);
    base_big_free(deq);
}

void golden_ggml(const golden_file *f) {
    ggml_case c = {.f = f};
    size_t count;
    base_err err = {0};
    c.w = golden_matrix(f, "W", &c.rows, &c.cols, &err);
    if (c.w && golden_array(f, NULL, "imatrix")) c.importance = golden_reals(f, NULL, "imatrix", c.cols, &err);
    char **variants = golden_variants_of(f, (const char *const[]){"blocks", "deq"}, 2, &count);
    if (!err.text[0] && !count) base_fail(&err, "the file has no variant");
    if (err.text[0]) golden_verdict(f, NULL, NAN, NAN, false, err.text);
    for (size_t i = 0; !err.text[0] && i < count; i++) check_variant(&c, variants[i]);
    base_names_free(variants, count);
    base_big_free(c.w);
    base_big_free(c.importance);
}
