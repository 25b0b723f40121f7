// bench_numeric: what this machine's products reach - sgemm peak, memory bandwidth, products and Gram matrices of the
// shapes networks have, Cholesky - at one thread and at all. Each has a roof at the same thread count (Williams,
// Waterman, Patterson: Roofline, 2009): the peak, or what memory brings where a product has few operations for each
// byte that it must move; the line names which it is, and how near it comes. One thread is measured in processor time,
// so that what others do on the machine counts less.
#include "numeric/numeric.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAST_SECONDS 0.25 // of repetition for each figure; the best repetition counts

typedef struct bench {
    float *a, *b, *c;
    double peak[2], bandwidth[2]; // GFLOP/s and GB/s at one thread, at all
    int threads[2];
    bool alone; // what runs now has one thread
} bench;

typedef struct shape {
    const char *what;
    bool ta, tb;
    int64_t m, n, k;
} shape;

static double now(const bench *w) {
    struct timespec t;
    if (!w->alone || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) return base_now();
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double gemm_seconds(const bench *w, const shape *s) {
    double start = now(w);
    num_gemm(s->ta, s->tb, s->m, s->n, s->k, 1, w->a, s->ta ? s->m : s->k, w->b, s->tb ? s->k : s->n, 0, w->c, s->n);
    return now(w) - start;
}

static double gram_seconds(const bench *w, const shape *s) {
    memset(w->c, 0, (size_t)(s->n * s->n) * sizeof *w->c);
    double start = now(w);
    num_gram(s->k, s->n, 1, w->a, s->n, w->c, s->n, true);
    return now(w) - start;
}

static double cholesky_seconds(const bench *w, const shape *s) {
    memcpy(w->c, w->b, (size_t)(s->n * s->n) * sizeof *w->c); // b was made positive definite
    double start = now(w);
    BASE_CHECK(num_cholesky(s->n, w->c, s->n));
    return now(w) - start;
}

static double best_of(double (*run)(const bench *, const shape *), const bench *w, const shape *s) {
    double best = 1e30, total = 0;
    for (int i = 0; i < 3 || (total < LEAST_SECONDS && i < 10000); i++) {
        double t = run(w, s);
        total += t;
        if (t < best) best = t;
    }
    return best;
}

// Bytes that must move: both factors in, the result out.
static double bytes_of(const shape *s) {
    return 4.0 * ((double)s->m * (double)s->k + (double)s->k * (double)s->n + (double)s->m * (double)s->n);
}

// One line: the rate at one thread and at all, each with its share of the roof.
static void line(bench *w, const char *what, const shape *s, double flops, double bytes,
                 double (*run)(const bench *, const shape *)) {
    char dims[48];
    num_shape_text(dims, 3, (int64_t[]){s->m, s->n, s->k});
    printf("%-22s %c%c %-18s", what, s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', dims);
    double rate[2];
    const char *bound[2];
    for (int t = 0; t < 2; t++) {
        double by_bytes = flops / bytes * w->bandwidth[t], roof = w->peak[t] < by_bytes ? w->peak[t] : by_bytes;
        num_set_threads(w->threads[t]);
        w->alone = w->threads[t] == 1;
        bound[t] = roof < w->peak[t] ? "bytes" : "flops";
        rate[t] = flops / best_of(run, w, s) * 1e-9;
        printf("  %7.1f GFLOP/s %4.0f %% of %s", rate[t], 100 * rate[t] / roof, bound[t]);
    }
    printf("  x%.2f\n", rate[1] / rate[0]);
}

// McCalpin's STREAM triad, a = b + s c: three floats moved for each result.
BASE_CLONES static void triad(float *a, const float *b, const float *c, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) a[i] = b[i] + 3 * c[i];
}

static void triad_line(bench *w, int64_t count) {
    enum { BLOCK = 1 << 16 };
    printf("%-44s", "memory bandwidth, triad");
    for (int t = 0; t < 2; t++) {
        double best = 1e30;
        w->alone = w->threads[t] == 1;
        for (int i = 0; i < 8; i++) {
            double start = now(w);
#ifdef _OPENMP
#pragma omp parallel for num_threads(w->threads[t])
#endif
            for (int64_t j = 0; j < count; j += BLOCK)
                triad(w->c, w->a, w->b, j, j + BLOCK < count ? j + BLOCK : count);
            double seconds = now(w) - start;
            if (seconds < best) best = seconds;
        }
        w->bandwidth[t] = 12.0 * (double)count / best * 1e-9;
        printf("  %7.1f GB/s          ", w->bandwidth[t]);
    }
    printf("  x%.2f\n", w->bandwidth[1] / w->bandwidth[0]);
}

static const shape products[] = {
    {"square", false, false, 2048, 2048, 2048},
    {"square, transposed", true, true, 2048, 2048, 2048},
    {"square", false, false, 512, 512, 512},
    {"square", false, false, 256, 256, 256},
    {"square", false, false, 128, 128, 128},
    {"tall", false, false, 100000, 64, 64},
    {"wide", false, false, 64, 100000, 64},
    {"gradient, long sum", true, false, 64, 64, 100000},
    {"linear, 512 tokens", false, true, 512, 4096, 1024},
    {"linear, 1 token", false, true, 1, 4096, 1024},
    {"3x3 conv, 16 to 16", false, false, 16, 32768, 144},
    {"3x3 conv, 64 to 64", false, false, 64, 8192, 576},
    {"1x1 conv, 256 to 64", false, false, 64, 3136, 256},
};
static const shape grams[] = {
    {"Gram", true, false, 64, 64, 100000},   {"Gram", true, false, 144, 144, 65536},
    {"Gram", true, false, 576, 576, 16384},  {"Gram", true, false, 1152, 1152, 8192},
    {"Gram", true, false, 4096, 4096, 4096},
};

static bool get_room(bench *w, size_t count) {
    base_err err;
    w->a = base_big_alloc(count, sizeof *w->a, "the benchmark", &err);
    w->b = base_big_alloc(count, sizeof *w->b, "the benchmark", &err);
    w->c = base_big_alloc(count, sizeof *w->c, "the benchmark", &err);
    if (!w->a || !w->b || !w->c) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    num_rng rng = num_rng_seed(1, 1);
    for (size_t i = 0; i < count; i++) {
        w->a[i] = (float)num_rng_unit(&rng) - 0.5f;
        w->b[i] = (float)num_rng_unit(&rng) - 0.5f;
    }
    return true;
}

int main(int argc, char **argv) {
    (void)argc;
    num_setup(argv);
    bench w = {.threads = {1, num_threads()}};
    enum { COUNT = 32 << 20, CHOLESKY = 4096 };
    if (!get_room(&w, COUNT)) return 1;
    printf("OpenBLAS kernel %s, %s\n", num_blas_kernel(), num_blas_version());
    static const int64_t sides[] = {512, 1024, 2048};
    for (int t = 0; t < 2; t++) {
        num_set_threads(w.threads[t]);
        w.alone = w.threads[t] == 1;
        for (int i = 0; i < 6; i++) {
            const shape square = {"peak", false, false, sides[i % 3], sides[i % 3], sides[i % 3]};
            double cube = (double)square.n * (double)square.n * (double)square.n;
            double p = 2 * cube / best_of(gemm_seconds, &w, &square) * 1e-9;
            if (p > w.peak[t]) w.peak[t] = p;
        }
    }
    printf("%-44s  %7.1f GFLOP/s 100 %%  %7.1f GFLOP/s 100 %%  x%.2f\n", "sgemm peak (squares), 1 thread and all",
           w.peak[0], w.peak[1], w.peak[1] / w.peak[0]);
    triad_line(&w, COUNT);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const shape *s = &products[i];
        line(&w, s->what, s, 2.0 * (double)s->m * (double)s->n * (double)s->k, bytes_of(s), gemm_seconds);
    }
    for (size_t i = 0; i < sizeof grams / sizeof *grams; i++) // the triangle's work: n^2 k
        line(&w, grams[i].what, &grams[i], (double)grams[i].n * (double)grams[i].n * (double)grams[i].k,
             4.0 * ((double)grams[i].n * (double)grams[i].k + (double)grams[i].n * (double)grams[i].n), gram_seconds);
    memset(w.b, 0, (size_t)CHOLESKY * CHOLESKY * sizeof *w.b);
    num_gram(5000, CHOLESKY, 1.0f / 5000, w.a, CHOLESKY, w.b, CHOLESKY, true);
    for (size_t i = 0; i < CHOLESKY; i++) w.b[i * CHOLESKY + i] += 0.01f;
    const shape factor = {"Cholesky", false, false, CHOLESKY, CHOLESKY, CHOLESKY};
    line(&w, factor.what, &factor, (double)CHOLESKY * CHOLESKY * CHOLESKY / 3, 8.0 * CHOLESKY * CHOLESKY,
         cholesky_seconds);
    base_big_free(w.a);
    base_big_free(w.b);
    base_big_free(w.c);
    return 0;
}
