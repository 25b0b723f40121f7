// vexp: loops over rows with e^x in them, compiled for several instruction sets. Sums go into a fixed number of lanes,
// so that they are the same bits whichever is chosen.
#include "engine/vexp.h"

#include "engine/vecmath.h"

enum { LANES = 16 };

BASE_CLONES
float vexp_max(const float *x, int64_t n) {
    float lane[LANES], top = x[0];
    int64_t i = 0;
    for (int k = 0; k < LANES; k++) lane[k] = x[0];
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    for (int k = 0; k < LANES; k++) top = lane[k] > top ? lane[k] : top;
    return top;
}

BASE_CLONES
double vexp_sum(const float *x, int64_t n, float shift) {
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += (double)vec_exp(x[i + k] - shift);
    for (; i < n; i++) lane[0] += (double)vec_exp(x[i] - shift);
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

static inline double divergence_term(float p, double p_total, float q, double q_total) {
    const double log_p = (double)p - p_total;
    return (double)vec_exp((float)log_p) * (log_p - ((double)q - q_total));
}

BASE_CLONES
double vexp_divergence(const float *p, double p_total, const float *q, double q_total, int64_t n) {
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += divergence_term(p[i + k], p_total, q[i + k], q_total);
    for (; i < n; i++) lane[0] += divergence_term(p[i], p_total, q[i], q_total);
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}
