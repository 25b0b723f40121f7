// numeric: data types, tensors, BLAS/LAPACK, random numbers, statistics, npy/npz files.
//
// The only room that includes BLAS and LAPACK headers. Matrices are row-major. All threading is ours:
// OpenBLAS is held at one thread and products are cut into blocks whose sizes do not depend on the
// number of threads, so results are the same bits at any thread count on one machine.
#ifndef VISE_NUMERIC_H
#define VISE_NUMERIC_H

#include "base/base.h"

// ---- data types --------------------------------------------------------------------------------

typedef enum num_dtype {
    NUM_F64,
    NUM_F32,
    NUM_F16,
    NUM_BF16,
    NUM_I64,
    NUM_I32,
    NUM_I16,
    NUM_I8,
    NUM_U16,
    NUM_U8,
    NUM_BOOL,
    NUM_DTYPES
} num_dtype;

typedef struct num_dtype_info {
    const char *name;        // "f32"
    const char *safetensors; // "F32"
    const char *npy;         // "<f4"; NULL where npy has none (bf16)
    size_t bytes;
} num_dtype_info;
extern const num_dtype_info num_dtypes[NUM_DTYPES];

float num_f16_to_f32(uint16_t h);
uint16_t num_f32_to_f16(float f); // round to nearest even; overflow gives Inf
float num_bf16_to_f32(uint16_t h);
uint16_t num_f32_to_bf16(float f); // round to nearest even; NaN stays NaN
// Convert `count` values of any dtype (unaligned source allowed) to float32 and back. f64 and wide integers round
// to nearest; integers saturate on the way back.
void num_to_f32(num_dtype from, const void *src, float *dst, size_t count);
void num_from_f32(num_dtype to, const float *src, void *dst, size_t count);
// Packed sub-byte codes, little-endian bit order: code i occupies bits [i*width, (i+1)*width) of the stream.
// width 1..16. Bytes = ceil(count*width/8).
size_t num_packed_bytes(size_t count, int width);
void num_pack(const uint16_t *codes, size_t count, int width, uint8_t *out);
void num_unpack(const uint8_t *in, size_t count, int width, uint16_t *codes);

#define NUM_MAX_DIM 8

// A view of values with a shape; does not own `data`.
typedef struct num_tensor {
    num_dtype dtype;
    int ndim;
    int64_t dim[NUM_MAX_DIM];
    const void *data;
} num_tensor;
// Product of dims; false when it or the byte count overflows or a dim is negative.
bool num_count(int ndim, const int64_t *dim, num_dtype dtype, size_t *count, size_t *bytes);
char *num_shape_text(char out[48], int ndim, const int64_t *dim); // "64x16x3x3", "scalar"

// ---- threads and kernels -----------------------------------------------------------------------

// Called once at the start of main, before any product: where OpenBLAS has picked a slow fallback kernel for a CPU it
// does not know, sets OPENBLAS_CORETYPE to the best kernel this CPU can run and re-executes the program (once).
void num_setup(char **argv);
void num_set_threads(int threads); // 0 = all cores
int num_threads(void);
// For threads that share out work themselves: while true, products called on this thread stay on it. Returns what held
// before.
bool num_stay_on_thread(bool yes);
const char *num_blas_kernel(void); // "SkylakeX"
const char *num_blas_version(void);

// ---- products and factorisations ---------------------------------------------------------------

// C[m x n] = alpha op(A) op(B) + beta C, row-major, leading dimensions in elements. Threaded unless called inside an
// OpenMP parallel region. ta/tb: true = transposed as stored.
void num_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
              const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
// The same on the calling thread only: for use inside parallel loops.
void num_gemm1(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void num_dgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, int64_t lda,
               const double *b, int64_t ldb, double beta, double *c, int64_t ldc);
// C[n x n] += alpha A^T A for A[rows x n] (full symmetric matrix is written when `finish`, upper triangle else).
void num_gram(int64_t rows, int64_t n, float alpha, const float *a, int64_t lda, float *c, int64_t ldc, bool finish);
// C[n x n] += A A^T, upper triangle, for A[n x count]: the same sum from columns. On the calling thread only.
void num_gram_columns(int64_t n, int64_t count, const float *a, int64_t lda, float *c, int64_t ldc);
// Cholesky of the n x n symmetric `a` in place: upper factor U, A = U^T U, strict lower part zeroed. False when not
// positive definite.
bool num_cholesky(int64_t n, float *a, int64_t lda);
bool num_dcholesky(int64_t n, double *a, int64_t lda);
// Inverse of a symmetric positive definite matrix, in place, full.
bool num_dspd_inverse(int64_t n, double *a, int64_t lda);
// Solve op(U) X = B in place in B[n x m], U upper triangular n x n.
void num_dtrsm(bool transposed, int64_t n, int64_t m, const double *u, int64_t ldu, double *b, int64_t ldb);
// Thin SVD A[m x n] = U diag(s) Vt, k = min(m, n): u [m x k], s [k] descending, vt [k x n]. `a` is destroyed.
bool num_dsvd(int64_t m, int64_t n, double *a, double *u, double *s, double *vt, base_err *err) BASE_MUST_USE;
// Eigenvalues ascending and vectors (rows of v: v[i] belongs to w[i]) of a symmetric matrix; `a` destroyed, v may be
// NULL.
bool num_deigh(int64_t n, double *a, double *w, double *v, base_err *err) BASE_MUST_USE;

bool num_all_finite(const float *x, size_t count);
double num_dot(const float *x, const float *y, size_t count); // accumulated in double, blocked
double num_sum_squares(const float *x, size_t count);
double num_diff_squares(const float *x, const float *y, size_t count); // sum (x-y)^2
// to[cols x rows] = from[rows x cols] with rows as columns, on the calling thread; the two must not overlap.
void num_turn(int64_t rows, int64_t cols, const float *from, int64_t ld, float *to, int64_t ld_to);
int64_t num_count_ones(const uint8_t *x, int64_t n); // of bytes that are 0 or 1
// The values whose byte is 1, moved together; there are `kept` of them (or more: the first go).
void num_compact(const float *x, const uint8_t *keep, int64_t n, float *out, int64_t kept);
// The bits of |x| of rank k (from 0) among n, and how many are less. NaN ranks above everything.
uint32_t num_kth_magnitude(const float *x, int64_t n, int64_t k, int64_t *less);
// Of n values the `gone` with the least |x| go, of equal ones the first (NaN stays longest); what is known of the
// others:
typedef struct num_kept {
    uint8_t *mask; // [n] 1 = stays
    uint8_t *bits; // [(n + 7) / 8] the same as bits, lowest first; NULL: not wanted
    float *values; // [n - gone] those that stay, moved together; NULL: not wanted
} num_kept;
void num_keep_largest(const float *x, int64_t n, int64_t gone, const num_kept *out);
// The same by the scores |x| by, on the calling thread; score [n] is room.
void num_keep_largest_by(const float *x, const float *by, int64_t n, int64_t gone, float *score, const num_kept *out);
// sgemm GFLOP/s of this machine at the current thread count (best of several 1024^3 products).
double num_peak_gflops(void);

// ---- random numbers ----------------------------------------------------------------------------

// PCG32 (O'Neill 2014): small, seedable, the same everywhere.
typedef struct num_rng {
    uint64_t state, stream;
} num_rng;
num_rng num_rng_seed(uint64_t seed, uint64_t stream);
uint32_t num_rng_next(num_rng *r);
uint32_t num_rng_below(num_rng *r, uint32_t bound); // unbiased
double num_rng_unit(num_rng *r);                    // [0, 1)
double num_rng_normal(num_rng *r);
void num_rng_shuffle(num_rng *r, int64_t *items, size_t count);

// ---- statistics --------------------------------------------------------------------------------

typedef struct num_interval {
    double value, low, high;
} num_interval;
num_interval num_wilson(int64_t hits, int64_t count); // proportion, 95 % (Wilson 1927)
// Sums over clusters (an image; a sequence of tokens, whose losses depend on each other): each holds n values with sum
// y.
typedef struct num_clusters {
    int64_t count;
    double n, y, nn, yn, yy; // sums of n, y, n^2, y n, y^2
} num_clusters;
void num_clusters_add(num_clusters *c, int64_t n, double y); // a cluster without values is left out
void num_clusters_merge(num_clusters *into, const num_clusters *from);
num_interval num_clusters_mean(const num_clusters *c); // mean of a value, 95 % normal, clusters independent
double num_log_factorial(double n);                    // ln n!, n real; C's lgamma writes a global that threads share
double num_mcnemar_p(int64_t only_a, int64_t only_b);  // exact two-sided
int num_half_even(double x);                           // rint with the current mode, for grids

// ---- npy, npz, gz ------------------------------------------------------------------------------

// A set of named arrays read from .npy (one, named "") or .npz (stored or deflated members). Owns everything.
typedef struct num_npz_item {
    char *name;
    num_tensor tensor;
} num_npz_item;
typedef struct num_npz {
    num_npz_item *items;
    size_t count;
    base_map map;
    void **owned; // inflated or converted members
    size_t owned_count;
} num_npz;
bool num_npz_open(num_npz *z, const char *path, base_err *err) BASE_MUST_USE; // .npy, .npz; Fortran order transposed
const num_tensor *num_npz_find(const num_npz *z, const char *name);
void num_npz_close(num_npz *z);
bool num_npy_save(const char *path, const num_tensor *t, base_err *err) BASE_MUST_USE;
bool num_npz_save(const char *path, const num_npz_item *items, size_t count, bool compress,
                  base_err *err) BASE_MUST_USE;
// Inflate a whole .gz file (or read a plain one), at most `limit` bytes. base_big_free the result.
uint8_t *num_gunzip(const char *path, size_t limit, size_t *bytes, base_err *err) BASE_MUST_USE;
// A zlib stream (RFC 1950) at its highest level, and what exactly one such stream holds, at most `limit` bytes, with a
// 0 behind it that *inflated does not count. base_big_free the result.
uint8_t *num_deflate(const void *data, size_t bytes, size_t *packed, base_err *err) BASE_MUST_USE;
uint8_t *num_inflate(const void *data, size_t bytes, size_t limit, size_t *inflated, base_err *err) BASE_MUST_USE;

#endif
