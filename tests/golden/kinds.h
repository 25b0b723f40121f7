// Private to the golden runner: the checks of each kind of file.
#ifndef VISE_TESTS_GOLDEN_KINDS_H
#define VISE_TESTS_GOLDEN_KINDS_H

#include "golden.h"

#include <jansson.h>

// ---- arrays.c: what a file holds, checked. NULL with err where it is not as it should be --------------------

// The values of an array, all finite, `wanted` of them (-1: any number but 0). base_big_free / free.
float *golden_reals(const golden_file *f, const char *v, const char *array, int64_t wanted, base_err *err);
double *golden_doubles(const golden_file *f, const char *v, const char *array, int64_t wanted, base_err *err);
// Whole numbers 0 .. below - 1. free.
int64_t *golden_codes(const golden_file *f, const char *v, const char *array, int64_t wanted, int64_t below,
                      base_err *err);
// An array of two dimensions without a variant. base_big_free.
float *golden_matrix(const golden_file *f, const char *array, int64_t *rows, int64_t *cols, base_err *err);
// Variants that have one of several arrays, each once. base_names_free.
char **golden_variants_of(const golden_file *f, const char *const *arrays, size_t array_count, size_t *count);
// The JSON object of the file; NULL after a failed line. json_decref.
json_t *golden_json(const golden_file *f);

// ---- the kinds ----------------------------------------------------------------------------------------------

void golden_gptq(const golden_file *f);
void golden_rtn(const golden_file *f);
void golden_adaround(const golden_file *f);
void golden_obq(const golden_file *f);
void golden_squeezellm(const golden_file *f);
void golden_hqq(const golden_file *f);
void golden_sparsegpt(const golden_file *f);
void golden_wanda(const golden_file *f);
void golden_tables(const golden_file *f);
void golden_bnb(const golden_file *f);
void golden_scalar_quantisers(const golden_file *f);
void golden_pvq_sizes(const golden_file *f);
void golden_ggml(const golden_file *f);
void golden_hawq(const golden_file *f);
void golden_hessian(const golden_file *f);
void golden_awq(const golden_file *f);
void golden_svdllm(const golden_file *f);

#endif
