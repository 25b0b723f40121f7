// stats: intervals and tests for comparing models.
#include "numeric/numeric.h"

#include <limits.h>
#include <math.h>

#define Z95 1.959963984540054 // two-sided 95 % point of the normal distribution

// Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
num_interval num_wilson(int64_t hits, int64_t count) {
    if (count <= 0) return (num_interval){NAN, 0, 1};
    double n = (double)count, p = (double)hits / n, z2 = Z95 * Z95;
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    return (num_interval){p, hits == 0 ? 0 : fmax(0, middle - half), hits == count ? 1 : fmin(1, middle + half)};
}

void num_clusters_add(num_clusters *c, int64_t n, double y) {
    if (n <= 0) return;
    double size = (double)n;
    c->count++;
    c->n += size, c->y += y, c->nn += size * size, c->yn += y * size, c->yy += y * y;
}

void num_clusters_merge(num_clusters *into, const num_clusters *from) {
    into->count += from->count;
    into->n += from->n, into->y += from->y, into->nn += from->nn, into->yn += from->yn, into->yy += from->yy;
}

// The ratio estimator of cluster sampling (Cochran, "Sampling Techniques", 3rd ed., sections 2.11 and 9A.1): the
// variance of y / n is that of the clusters' residuals y_i - mean n_i. With one value a cluster it is the usual one.
num_interval num_clusters_mean(const num_clusters *c) {
    if (c->count <= 0) return (num_interval){NAN, NAN, NAN};
    double clusters = (double)c->count, mean = c->y / c->n;
    if (c->count == 1) return (num_interval){mean, NAN, NAN};
    double residual = fmax(0, c->yy - 2 * mean * c->yn + mean * mean * c->nn);
    double half = Z95 * sqrt(residual * clusters / (clusters - 1)) / c->n;
    return (num_interval){mean, mean - half, mean + half};
}

double num_log_factorial(double n) {
    int sign;
    return lgamma_r(n + 1, &sign);
}

// McNemar's test in its exact form: under the null, only_a ~ Binomial(only_a + only_b, 1/2).
double num_mcnemar_p(int64_t only_a, int64_t only_b) {
    int64_t n = only_a + only_b, k = only_a < only_b ? only_a : only_b;
    if (n <= 0 || k < 0) return 1;
    double log_term = num_log_factorial((double)n) - num_log_factorial((double)k) - num_log_factorial((double)(n - k)) -
                      (double)n * log(2);
    // Terms relative to the largest, which is the k-th; each one lower is the last times i / (n - i + 1).
    double sum = 1, term = 1;
    for (int64_t i = k; i > 0 && term > 1e-17 * sum; i--) {
        term *= (double)i / (double)(n - i + 1);
        sum += term;
    }
    return fmin(1, 2 * exp(log_term + log(sum)));
}

int num_half_even(double x) {
    if (isnan(x)) return 0;
    double r = rint(x);
    return r >= INT_MAX ? INT_MAX : r <= INT_MIN ? INT_MIN : (int)r;
}
