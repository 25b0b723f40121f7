// half (private to numeric): bulk conversion of the two 16-bit float types, any alignment on the 16-bit side.
#ifndef VISE_NUMERIC_HALF_H
#define VISE_NUMERIC_HALF_H

#include <stddef.h>

void num_half_load(const void *src, float *dst, size_t count);
void num_half_store(const float *src, void *dst, size_t count);
void num_brain_load(const void *src, float *dst, size_t count);
void num_brain_store(const float *src, void *dst, size_t count);

#endif
