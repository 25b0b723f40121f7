// Speed of the methods: gptq and sparsegpt on a 4096 x 4096 layer with its second moment given, as a share of the sgemm
// speed measured here in between; whole prune steps by magnitude and wanda, and rounding, as a share of what a copy of
// as many bytes takes, measured in turn with them; k-means on four million weights. Every line says what bounds it.
// Processor time of the first thread, so that what others do on the machine counts less. Usage: bench_methods [WORD]
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
        printf("%-18s %7.2f s %7.1f Gop/s; bound by operations: %5.1f %% of sgemm (%.1f), n d^2 alone %5.1f %%; two "
               "threads: %.2fx less work for the first, %.2fx by the clock\n",
               lines[i].name, cpu[1], lines[i].operations * cube / cpu[1] / 1e9,
               100 * lines[i].operations * cube / cpu[1] / speed, speed / 1e9, 100 * cube / cpu[1] / speed,
               cpu[1] / cpu[2], wall[1] / wall[2]);
    }
    num_set_threads(1);
}

// ---- bound by bytes ----------------------------------------------------------------------------------

// A step that has nothing to do but move bytes, and how many a weight it must: read (again, where it can only begin
// when all were seen) and written.
typedef struct mover {
    const char *name;
    const char *what; // the bytes, for the reader
    double bytes;     // a weight
    bool (*run)(bench *b, base_err *err);
} mover;

// The whole step as a run takes it, on a layer without terms yet: mask, mask as bits, kept weights, the term.
static bool run_prune(bench *b, const char *criterion, base_err *err) {
    const compress_step_kind *kind = compress_step_find("prune");
    compress_step s = {.kind = kind};
    base_arg_defaults(kind->args, kind->arg_count, s.value);
    layer l = {.name = "bench", .rows = b->n, .cols = b->n, .groups = 1, .w = b->w, .h = b->h, .dtype = NUM_F32};
    bool ok = base_arg_set_text("prune", kind->args, kind->arg_count, s.value, "criterion", criterion, err) &&
              kind->apply(&s, &l, err);
    layer_close(&l);
    return ok;
}
static bool run_magnitude(bench *b, base_err *err) {
    return run_prune(b, "magnitude", err);
}
static bool run_wanda(bench *b, base_err *err) {
    return run_prune(b, "wanda", err);
}
static bool run_select(bench *b, base_err *err) {
    (void)err;
    num_keep_largest(b->w, b->n * b->n, b->n * b->n / 2, &(num_kept){.mask = (uint8_t *)b->codes});
    return true;
}
static bool run_rtn(bench *b, base_err *err) {
    solver_problem p = {.layer = "bench",
                        .r = b->w,
                        .rows = b->n,
                        .cols = b->n,
                        .groups = 1,
                        .grid = {.bits = 4, .scheme = UNIFORM_SYM, .group = GROUP_ROW, .scale = NUM_F16},
                        .codes = b->codes,
                        .scales = b->scales,
                        .zeros = b->zeros};
    return compress_solver_find("rtn")->solve(&p, err);
}
static bool run_copy(bench *b, base_err *err) {
    (void)err;
    memcpy(b->out, b->w, (size_t)(b->n * b->n) * sizeof *b->w);
    return true;
}

static const mover movers[] = {
    {"magnitude select", "weights twice, mask", 4 + 4 + 1, run_select},
    {"magnitude step", "weights twice, mask, bits, half the weights", 4 + 4 + 1 + 0.125 + 2, run_magnitude},
    {"wanda step", "weights once, mask, bits, half the weights", 4 + 1 + 0.125 + 2, run_wanda},
    {"rtn 4 bit", "weights once, codes", 4 + sizeof(grid_code), run_rtn}};

static double seconds_of(bench *b, bool (*run)(bench *b, base_err *err), int threads, double best) {
    base_err err = {0};
    num_set_threads(threads);
    double start = thread_seconds();
    check(run(b, &err), &err);
    double t = thread_seconds() - start;
    num_set_threads(1);
    return t < best ? t : best;
}

static void bench_movers(bench *b, const char *word) {
    double weights = (double)b->n * (double)b->n;
    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++) {
        const mover *m = &movers[i];
        if (word && !strstr(m->name, word)) continue;
        double copy = 1e9, one = 1e9, two = 1e9;
        for (int k = 0; k < 12; k++) {
            copy = seconds_of(b, run_copy, 1, copy);
            one = seconds_of(b, m->run, 1, one);
            two = seconds_of(b, m->run, 2, two);
        }
        double speed = 2 * sizeof(float) * weights / copy, reached = m->bytes * weights / one;
        printf("%-18s %7.2f ms %7.0f Mw/s a core; bound by bytes (%s: %.4g a weight): %5.1f GB/s, %5.1f %% of a copy "
               "(%.1f); two threads: %.2fx less work for the first\n",
               m->name, 1e3 * one, weights / one / 1e6, m->what, m->bytes, reached / 1e9, 100 * reached / speed,
               speed / 1e9, one / two);
    }
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
    double t = thread_seconds() - start;
    printf("%-18s %7.2f s for %lld weights (%.1f Mw/s), target 1 s for four million; bound by sorting them; mean error "
           "%.4g\n",
           "k-means 16 levels", t, (long long)n, (double)n / t / 1e6, inertia / (double)n);
    base_big_free(labels);
}

int main(int argc, char **argv) {
    num_setup(argv);
    num_set_threads(1);
    bench b = {0};
    const char *word = argc > 1 ? argv[1] : NULL;
    open_bench(&b);
    bench_solvers(&b, word);
    bench_movers(&b, word);
    bench_kmeans(&b, word);
    base_big_free(b.w), base_big_free(b.h), base_big_free(b.out), base_big_free(b.codes), base_big_free(b.scales);
    return 0;
}
