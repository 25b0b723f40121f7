// npy (private to numeric): one array in NumPy's .npy form, in memory.
#ifndef VISE_NUMERIC_NPY_H
#define VISE_NUMERIC_NPY_H

#include "numeric/numeric.h"

// Reads one array from `bytes` of memory. `tensor` points into `data` where its layout allows; otherwise into `*owned`
// (free with base_big_free), which is NULL in the first case. Errors do not name the file.
bool npy_parse(const uint8_t *data, size_t bytes, num_tensor *tensor, void **owned, base_err *err) BASE_MUST_USE;
// The header that precedes the values of `t` in a file, a multiple of 64 bytes; false when npy has no such type.
bool npy_header(const num_tensor *t, base_buf *header, base_err *err) BASE_MUST_USE;

#endif
