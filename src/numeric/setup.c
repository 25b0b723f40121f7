// setup: how many threads we use, and which of OpenBLAS's kernels runs.
//
// OpenBLAS picks its kernels by CPU model number. A release older than the CPU does not know the number and falls back
// to code from before AVX, several times slower than what the same release would run if told a related model through
// OPENBLAS_CORETYPE. That is read once, when the library is loaded, hence the re-execution.
#include "numeric/numeric.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int wanted_threads; // 0 = all cores

__attribute__((constructor)) static void hold_blas_at_one_thread(void) {
    openblas_set_num_threads(1);
}

// The affinity mask counts, OMP_NUM_THREADS does not. Also without OpenMP: the engine has threads of its own.
static int available_cores(void) {
#ifdef _OPENMP
    return omp_get_num_procs();
#else
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < 1024 ? (int)n : 1;
#endif
}

void num_set_threads(int threads) {
    atomic_store(&wanted_threads, threads > 0 ? threads : 0);
#ifdef _OPENMP
    omp_set_num_threads(num_threads());
#endif
}

int num_threads(void) {
    int wanted = atomic_load(&wanted_threads);
    if (wanted > 0) return wanted;
    static atomic_int cores;
    int n = atomic_load(&cores);
    if (n == 0) atomic_store(&cores, n = available_cores());
    return n;
}

const char *num_blas_kernel(void) {
    return openblas_get_corename();
}
const char *num_blas_version(void) {
    return openblas_get_config();
}

#if defined(__x86_64__) && defined(__linux__)

#define GUARD "VISE_BLAS_ATTEMPT"

// Kernels from before AVX, in OpenBLAS's spelling.
static bool is_old_kernel(const char *name) {
    static const char *const old[] = {"Prescott", "Core2",  "Penryn",  "Dunnington",   "Nehalem",    "Atom",
                                      "Katmai",   "Banias", "Athlon",  "Opteron",      "Barcelona",  "Bobcat",
                                      "Generic",  "Nano",   "Unknown", "Opteron_SSE3", "Coppermine", "Northwood"};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        if (strcasecmp(name, old[i]) == 0) return true;
    return false;
}

static const char *best_kernel(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return __builtin_cpu_is("amd") ? "Zen" : "Haswell";
    return NULL;
}

// A kernel chosen by us must prove itself on odd sizes, both triangles of transposition.
static bool products_are_right(void) {
    enum { M = 67, N = 45, K = 89 };
    float *a = base_calloc(M * K, sizeof *a), *b = base_calloc(K * N, sizeof *b), *c = base_calloc(M * N, sizeof *c);
    num_rng rng = num_rng_seed(1, 2);
    for (int i = 0; i < M * K; i++) a[i] = (float)num_rng_unit(&rng) - 0.5f;
    for (int i = 0; i < K * N; i++) b[i] = (float)num_rng_unit(&rng) - 0.5f;
    bool right = true;
    for (int form = 0; form < 4 && right; form++) {
        bool ta = form & 1, tb = form & 2;
        num_gemm1(ta, tb, M, N, K, 1, a, ta ? M : K, b, tb ? K : N, 0, c, N);
        for (int i = 0; i < M * N && right; i++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += (double)a[ta ? k * M + i / N : i / N * K + k] * (double)b[tb ? i % N * K + k : k * N + i % N];
            right = fabs(sum - (double)c[i]) < 1e-4;
        }
    }
    free(a);
    free(b);
    free(c);
    return right;
}

static void run_again(char **argv, const char *attempt, const char *kernel) {
    setenv(GUARD, attempt, 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1); // spares the threads it would start and we never use
    if (kernel)
        setenv("OPENBLAS_CORETYPE", kernel, 1);
    else
        unsetenv("OPENBLAS_CORETYPE");
    fflush(NULL);
    execv("/proc/self/exe", argv);
    unsetenv(GUARD); // not possible here: go on with what there is
}

void num_setup(char **argv) {
    hold_blas_at_one_thread(); // a caller that is a constructor itself may come before ours
    const char *guard = getenv(GUARD);
    int attempt = guard ? atoi(guard) : 0;
    if (attempt == 0) {
        const char *kernel = best_kernel();
        if (!getenv("OPENBLAS_CORETYPE") && kernel && is_old_kernel(openblas_get_corename()))
            run_again(argv, "1", kernel);
        return;
    }
    unsetenv(GUARD);
    if (attempt > 2 || products_are_right()) return;
    if (attempt == 1 && strcmp(openblas_get_corename(), "Haswell") != 0)
        run_again(argv, "2", "Haswell");
    else
        run_again(argv, "3", NULL);
}

#else

void num_setup(char **argv) {
    (void)argv;
}

#endif
