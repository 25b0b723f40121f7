// Private to compress/: the relaxed codes of gsq.
#ifndef VISE_COMPRESS_GSQ_H
#define VISE_COMPRESS_GSQ_H

#include "compress/layer.h"

enum { GSQ_MOST_LEVELS = 8 }; // candidates of a weight

// A run of weights; planes of `count` values, one a candidate.
typedef struct gsq_run {
    int64_t count, levels;
    const float *logits, *noise; // [levels x count]
    const float *base;           // [count] the first candidate's code
    float sharpness, temperature;
    float *share; // [levels x count] softmax((sharpness logits + noise) / temperature)
    float *code;  // [count] sum of shares times codes
    // [levels x count] value of each candidate, where levels are not even: `code` is then the sum of shares times
    // these.
    const float *value;
} gsq_run;
void gsq_soften(const gsq_run *g);
// out[levels x count]: the gradient for the logits where slope[count] is that for the codes.
void gsq_gradient(const gsq_run *g, const float *slope, float *out);

#endif
