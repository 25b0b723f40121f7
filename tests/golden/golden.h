// golden: Vise's methods against vectors computed with the original authors' code.
//
// The runner opens every case file of a folder, finds the kind that fits by the start of its name and by the arrays it
// holds, and asks the kind to check each variant. Nothing here knows a layer, a size, a seed or a variant by name:
// variants are whatever "<variant>.<array>" names a file has. Their options are read from the words of the name where
// it has the layout's form, and else worked out from the arrays (options.c).
#ifndef VISE_TESTS_GOLDEN_H
#define VISE_TESTS_GOLDEN_H

#include "compress/compress.h"

typedef struct golden_file {
    const char *path, *name; // name without folder and extension
    num_npz z;               // empty for .json files
} golden_file;

typedef struct golden_kind {
    const char *prefix;    // "gptq_conv_" before "gptq_": the first that fits is used
    const char *extension; // ".npz" or ".json"
    const char *needs;     // an array the file must have ("W"); NULL: none
    void (*run)(const golden_file *f);
} golden_kind;
extern const golden_kind golden_kinds[];
extern const size_t golden_kind_count;

// ---- what kinds use ------------------------------------------------------------------------------

// One line of the report. equal: fraction of codes (or mask entries) equal, NaN where not compared; ratio: our error
// over the reference's, NaN where not compared. `why` may be NULL.
void golden_verdict(const golden_file *f, const char *variant, double equal, double ratio, bool pass, const char *why);

// A line for a variant that cannot be checked, counted apart: its options are neither in its name nor in its arrays.
void golden_skip(const golden_file *f, const char *variant, const char *why);

// Variants that have an array of this name, sorted: "code" finds "b4_sym_mm_gall" of "b4_sym_mm_gall.code". Caller
// frees with base_names_free.
char **golden_variants(const golden_file *f, const char *array, size_t *count);
// An array as float32 (or NULL when absent); variant NULL: a plain name. Caller frees with base_big_free.
float *golden_floats(const golden_file *f, const char *variant, const char *array, size_t *count);
// A single value, of no dimension or [1]; NaN when absent or not one.
double golden_scalar(const golden_file *f, const char *variant, const char *array);
const num_tensor *golden_array(const golden_file *f, const char *variant, const char *array);
// Does the variant's name contain this word between underscores ("act" in "b4_sym_mm_g64_act_static")?
bool golden_word(const char *variant, const char *word);
// The number behind a prefix word: golden_number("b4_asym_mm_g64", "b") = 4; `otherwise` when there is none.
int64_t golden_number(const char *variant, const char *prefix, int64_t otherwise);
// sum ((W - Q) x)^2 over the rows of X [n x in] in float64, for W, Q [out x in].
double golden_output_error(const float *w, const float *q, const float *x, int64_t out, int64_t in, int64_t n);
// X of the file: "X", or "X_u8" / 255. [n x in]. Caller frees with base_big_free.
float *golden_inputs(const golden_file *f, int64_t *n, int64_t *in);
// H = X^T X / n in float32 accumulated in float64.
float *golden_gram(const float *x, int64_t n, int64_t in);

#endif
