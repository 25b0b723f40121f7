// Speed of the solvers: gptq and sparsegpt on a 4096 x 4096 layer with its second moment given, as a share of the sgemm
// speed measured here just before and after, wanda and magnitude as a share of the memory bandwidth, k-means on four
// million weights. Processor time, so that what others do on the machine does not count. Usage: bench_methods [WORD]
// runs the lines whose name holds WORD; VISE_BENCH_SIZE changes 4096.
#include "compress/layer.h"
#include "compress/solvers/gptq.h"
#include "compress/solvers/kmeans.h"
#include "compress/solvers/sparsegpt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench {
    int64_t n; // rows and columns
    float *w, *h, *out;
    grid_code *codes;
    float *scales, *zeros;
} bench;

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *room(size_t count, size_t size) {
    base_err err = {0};
    void *p = base_big_alloc(count, size, "bench", &err);
    if (!p) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return p;
}

static void check(bool ok, const base_err *err) {
    if (ok) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void open_bench(bench *b) {
    const char *size = getenv("VISE_BENCH_SIZE");
    int64_t n = b->n = size && atoi(size) > 0 ? atoi(size) : 4096;
    num_rng rng = num_rng_seed(1, 1);
    b->w = room((size_t)(n * n), sizeof(float));
    b->h = room((size_t)(n * n), sizeof(float));
    b->out = room((size_t)(n * n), sizeof(float));
    b->codes = room((size_t)(n * n), sizeof *b->codes);
    b->scales = room((size_t)(2 * n), sizeof(float));
    b->zeros = b->scales + n;
    for (int64_t i = 0; i < n * n; i++) b->w[i] = (float)(0.02 * num_rng_normal(&rng));
    // Inputs of n / 4 samples; a diagonal of its own stands for the others.
    for (int64_t i = 0; i < n / 4 * n; i++) b->out[i] = (float)num_rng_unit(&rng) - 0.3f;
    num_gram(n / 4, n, 4.0f / (float)n, b->out, n, b->h, n, true);
    for (int64_t i = 0; i < n; i++) b->h[i * n + i] += 0.1f;
}

// Floating-point operations a second of a product of 2048 matrices on one thread.
static double gemm_speed(void) {
    int64_t n = 2048;
    float *a = room((size_t)(3 * n * n), sizeof *a), best = 1e9f;
    for (int64_t i = 0; i < 2 * n * n; i++) a[i] = (float)(i % 17) * 0.1f;
    for (int k = 0; k < 3; k++) {
        double start = thread_seconds();
        num_gemm(false, false, n, n, n, 1, a, n, a + n * n, n, 0, a + 2 * n * n, n);
        float t = (float)(thread_seconds() - start);
        if (t < best) best = t;
    }
    base_big_free(a);
    return 2.0 * (double)(n * n * n) / (double)best;
}

static double copy_speed(const bench *b) {
    double best = 1e9;
    size_t bytes = (size_t)(b->n * b->n) * sizeof *b->w;
    for (int i = 0; i < 6; i++) {
        double start = thread_seconds();
        memcpy(b->out, b->w, bytes);
        double t = thread_seconds() - start;
        if (t < best) best = t;
    }
    return 2 * (double)bytes / best;
}

static bool run_gptq(bench *b, base_err *err) {
    solver_problem p = {.layer = "bench",
                        .r = b->w,
                        .h = b->h,
                        .rows = b->n,
                        .cols = b->n,
                        .groups = 1,
                        .grid = {.bits = 4, .scheme = UNIFORM_SYM, .group = GROUP_ROW, .scale = NUM_F16},
                        .codes = b->codes,
                        .scales = b->scales,
                        .zeros = b->zeros};
    gptq_options o = {.damp = 0.01, .block = 128};
    return gptq_solve(&p, &o, NULL, err);
}

static bool run_factor(bench *b, base_err *err) {
    double damping;
    return gptq_factor("bench", b->n, b->h, NULL, 0.01, b->out, &damping, NULL, err);
}

static bool run_sparsegpt(bench *b, base_err *err) {
    sparsegpt_problem p = {.layer = "bench",
                           .w = b->w,
                           .h = b->h,
                           .rows = b->n,
                           .cols = b->n,
                           .sparsity = 0.5,
                           .m = 1,
                           .damp = 0.01,
                           .block = 128,
                           .out = b->out,
                           .mask = (uint8_t *)b->codes};
    return sparsegpt_solve(&p, err);
}

typedef struct line {
    const char *name;
    bool (*run)(bench *b, base_err *err);
    double operations; // times n^3
} line;

// Of n rows and d inputs: n d^2 for the updates, 1/3 d^3 for the factor of H, as much again for the inverse's.
static const line lines[] = {{"inverse's factor", run_factor, 2.0 / 3},
                             {"gptq 4 bit", run_gptq, 1 + 1.0 / 3},
                             {"sparsegpt 50 %", run_sparsegpt, 1 + 1.0 / 3}};

// The best of three of each figure: a single one says more about what else the machine does.
static void bench_solvers(bench *b, const char *word) {
    base_err err = {0};
    double cube = (double)b->n * (double)b->n * (double)b->n;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (word && !strstr(lines[i].name, word)) continue;
        double speed = 0, cpu[3] = {0, 1e9, 1e9}, wall[3] = {0, 1e9, 1e9};
        for (int run = 0; run < 3; run++)
            for (int threads = 1; threads <= 2; threads++) {
                num_set_threads(1);
                double gemm = gemm_speed();
                if (gemm > speed) speed = gemm;
                num_set_threads(threads);
                double start = thread_seconds(), begin = base_now();
                check(lines[i].run(b, &err), &err);
                double t = thread_seconds() - start, w = base_now() - begin;
                if (t < cpu[threads]) cpu[threads] = t;
                if (w < wall[threads]) wall[threads] = w;
            }
        printf("%-24s %7.2f s %9.1f Gop/s %6.1f %% of sgemm (%.1f), n d^2 alone %5.1f %%; two threads %.2fx "
               "(less work for the first of them: %.2fx)\n",
               lines[i].name, cpu[1], lines[i].operations * cube / cpu[1] / 1e9,
               100 * lines[i].operations * cube / cpu[1] / speed, speed / 1e9, 100 * cube / cpu[1] / speed,
               wall[1] / wall[2], cpu[1] / cpu[2]);
    }
    num_set_threads(1);
}

static void bench_prune(bench *b, const char *word) {
    static const char *const criteria[] = {"magnitude", "wanda"};
    base_err err = {0};
    double weights = (double)b->n * (double)b->n;
    const compress_step_kind *kind = compress_step_find("prune");
    for (int k = 0; k < 2; k++) {
        if (word && !strstr(criteria[k], word)) continue;
        compress_step s = {.kind = kind};
        base_arg_defaults(kind->args, kind->arg_count, s.value);
        check(base_arg_set_text("prune", kind->args, kind->arg_count, s.value, "criterion", criteria[k], &err), &err);
        double best = 1e9, speed = copy_speed(b);
        for (int i = 0; i < 3; i++) {
            layer l = {
                .name = "bench", .rows = b->n, .cols = b->n, .groups = 1, .w = b->w, .h = b->h, .dtype = NUM_F32};
            double start = thread_seconds();
            check(kind->apply(&s, &l, &err), &err);
            double t = thread_seconds() - start;
            if (t < best) best = t;
            layer_close(&l);
        }
        // Read the weights for the cut (wanda: for the scores), write a byte of mask each; when the mask is whole read
        // them again, write half of them and a bit each.
        double bytes = weights * (4 + 1 + 4 + 2 + 0.125);
        printf("%-24s %7.2f s %9.1f Mw/s  %6.2f GB/s, %.1f %% of a copy (%.1f)\n", criteria[k], best,
               weights / best / 1e6, bytes / best / 1e9, 100 * bytes / best / speed, speed / 1e9);
    }
}

// Choosing alone, with the mask there: the least that must move is the weights twice (once for the cut, once for the
// mask) and a byte of mask each.
static void bench_select(bench *b, const char *word) {
    if (word && !strstr("magnitude select", word)) return;
    size_t n = (size_t)(b->n * b->n);
    uint8_t *mask = room(n, 1);
    double best = 1e9, speed = copy_speed(b);
    for (int i = 0; i < 4; i++) {
        memset(mask, 1, n);
        double start = thread_seconds();
        prune_select(b->w, (int64_t)n, (int64_t)n / 2, mask);
        double t = thread_seconds() - start;
        if (t < best) best = t;
    }
    printf("%-24s %7.3f s %9.1f Mw/s  %6.2f GB/s, %.1f %% of a copy (%.1f)\n", "magnitude select", best,
           (double)n / best / 1e6, 9.0 * (double)n / best / 1e9, 900.0 * (double)n / best / 1e9 / (speed / 1e9),
           speed / 1e9);
    base_big_free(mask);
}

static void bench_rtn(bench *b, const char *word) {
    if (word && !strstr("rtn 4 bit", word)) return;
    base_err err = {0};
    double best = 1e9;
    solver_problem p = {.layer = "bench",
                        .r = b->w,
                        .rows = b->n,
                        .cols = b->n,
                        .groups = 1,
                        .grid = {.bits = 4, .scheme = UNIFORM_SYM, .group = GROUP_ROW, .scale = NUM_F16},
                        .codes = b->codes,
                        .scales = b->scales,
                        .zeros = b->zeros};
    for (int i = 0; i < 5; i++) {
        double start = thread_seconds();
        check(compress_solver_find("rtn")->solve(&p, &err), &err);
        double t = thread_seconds() - start;
        if (t < best) best = t;
    }
    printf("%-24s %7.3f s %9.1f Mw/s a core\n", "rtn 4 bit", best, (double)(b->n * b->n) / best / 1e6);
}

static void bench_kmeans(const bench *b, const char *word) {
    if (word && !strstr("k-means", word)) return;
    int64_t n = b->n * b->n < 1 << 22 ? b->n * b->n : 1 << 22;
    base_err err = {0};
    float centers[16];
    double inertia, start = thread_seconds();
    kmeans_options o = {16, true, 100};
    uint16_t *labels = room((size_t)n, sizeof *labels);
    check(kmeans_solve(b->w, NULL, n, &o, centers, labels, &inertia, NULL, &err), &err);
    printf("%-24s %7.2f s for %lld weights, mean error %.4g\n", "k-means 16 levels", thread_seconds() - start,
           (long long)n, inertia / (double)n);
    base_big_free(labels);
}

int main(int argc, char **argv) {
    num_setup(argv);
    num_set_threads(1);
    bench b = {0};
    const char *word = argc > 1 ? argv[1] : NULL;
    open_bench(&b);
    bench_solvers(&b, word);
    bench_select(&b, word);
    bench_prune(&b, word);
    bench_rtn(&b, word);
    bench_kmeans(&b, word);
    base_big_free(b.w), base_big_free(b.h), base_big_free(b.out), base_big_free(b.codes), base_big_free(b.scales);
    return 0;
}
