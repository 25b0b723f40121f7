// Private to engine/: row loops with e^x in them that measuring stands on, vectorised (see vecmath.h).
#ifndef VISE_ENGINE_VEXP_H
#define VISE_ENGINE_VEXP_H

#include "base/base.h"

float vexp_max(const float *x, int64_t n);               // largest; NaN are passed over
double vexp_sum(const float *x, int64_t n, float shift); // sum of exp(x - shift)
// KL(p || q) in nats of two softmax distributions, given as logits and the logarithms of their sums.
double vexp_divergence(const float *p, double p_total, const float *q, double q_total, int64_t n);

#endif
