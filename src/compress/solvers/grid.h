// Private to compress/: the parts of grids that have files of their own.
#ifndef VISE_COMPRESS_GRID_H
#define VISE_COMPRESS_GRID_H

#include "compress/layer.h"

void grid_table_encode(const grid_spec *g, grid_param p, const float *x, int64_t count, uint8_t *codes);
// The range of a table, or of an even grid with one of enum grid_search; the scale is not yet rounded to its stored
// form.
bool grid_search_fit(const grid_spec *g, const float *x, const float *weight, int64_t count, const base_job *job,
                     grid_param *p, base_err *err) BASE_MUST_USE;

#endif
