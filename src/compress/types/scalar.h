// Private to compress/: quantisers of N(0, 1) in closed form, pyramid vector quantisation, and the lattice E8: what the
// codebook methods and their comparisons with theory stand on.
#ifndef VISE_COMPRESS_SCALAR_H
#define VISE_COMPRESS_SCALAR_H

#include "base/base.h"

enum { SCALAR_MOST = 1024 }; // levels

double scalar_normal_quantile(double p); // x with Phi(x) = p, 0 < p < 1
// The quantiser of N(0, 1) with n <= SCALAR_MOST levels and the least squared error (Max 1960, Lloyd 1982).
typedef struct scalar_figures {
    double mse, entropy; // entropy of the codes, bits
} scalar_figures;
scalar_figures scalar_lloyd_max(int n, double *levels, double *thresholds); // [n], [n - 1] or NULL
// Step and error of the best quantiser with n even levels around 0 that saturates.
double scalar_uniform(int n, double *mse);
// The least squared error of any code at `bits` a value of N(0, 1): 2^(-2 bits).
double scalar_rate_distortion(double bits);

// Integer vectors of length n with sum |y| = k (Fischer, A Pyramid Vector Quantizer, IEEE Trans. Inf. Theory 1986).
__extension__ typedef unsigned __int128 pvq_number;
enum { PVQ_MOST = 256 }; // n and k
// Table of counts for all lengths up to n and sums up to k; false when one does not fit 128 bits.
typedef struct pvq_table {
    int n, k;
    pvq_number *count; // [(n + 1) x (k + 1)]
} pvq_table;
bool pvq_open(pvq_table *t, int n, int k, base_err *err) BASE_MUST_USE;
void pvq_close(pvq_table *t);
pvq_number pvq_count(const pvq_table *t, int n, int k);
int pvq_bits(const pvq_table *t, int n, int k);                       // that an index takes
pvq_number pvq_index(const pvq_table *t, int n, int k, const int *y); // 0 .. count - 1
void pvq_vector(const pvq_table *t, int n, int k, pvq_number index, int *y);
// The y of sum k whose direction is near that of x: scaled, rounded, then single steps that raise the cosine.
void pvq_nearest(int n, int k, const float *x, int *y);
char *pvq_text(pvq_number v, char out[44]); // decimal

// The nearest point of E8 (D8 and D8 + 1/2; Conway and Sloane, IEEE Trans. Inf. Theory 1982, algorithm 5).
void e8_nearest(const double x[8], double out[8]);

#endif
