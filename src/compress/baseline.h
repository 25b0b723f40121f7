// Private to compress/: the error of round to nearest in as many bytes as a layer took.
#ifndef VISE_COMPRESS_BASELINE_H
#define VISE_COMPRESS_BASELINE_H

#include "compress/result.h"

typedef struct baseline_request {
    const layer *blank; // as its steps found it
    const model_layer *ml;
    const compress_rule *rule;
    int64_t bytes; // that its own steps took
    const measure_streams *streams;
    const float *h; // second moment of its inputs, NULL: the error is measured on the samples
    base_job *job;
} baseline_request;
// *error NaN: nothing fits. *bits: what was rounded to.
bool baseline_measure(const baseline_request *q, double *error, int *bits, base_err *err);
bool baseline_is_itself(const compress_rule *rule); // the layer is rounded to nearest already

#endif
