// vq: runs of neighbouring weights as codes into a book of vectors, found by k-means: started by k-means++ (Arthur and
// Vassilvitskii, SODA 2007), improved by Lloyd's turns, each coordinate weighted by the mean square of its input.
#include "compress/layer.h"

#include <math.h>
#include <string.h>

static const base_arg args[] = {
    {"weight", BASE_TEXT, 0, 0, 0, "none", "none|hessian",
     "what an error costs: alike, or the mean square of its input"},
    {"dim", BASE_INT, 4, 1, VQ_MOST_DIM, NULL, NULL, "neighbouring weights of a row that share a code"},
    {"bits", BASE_NUM, 2, 0.25, 8, NULL, NULL, "bits a weight; dim * bits, the bits of a code, whole and at most 12"},
    {"iterations", BASE_INT, 50, 0, 10000, NULL, NULL, "most of Lloyd's turns"},
    {"values", BASE_TEXT, 0, 0, 0, "f16", "f16|f32", "stored type of the book (f32 where f16 cannot hold it)"},
};

typedef struct vq_work {
    layer *l;
    int64_t dim, runs, size; // size: vectors of the book
    float *x, *weight;       // [runs x dim], what lies past the end of a row has weight 0
    float *book;             // [size x dim]
    double *sum, *total;     // [size x dim]
    uint16_t *codes;         // [runs]
    float *error;            // [runs] to its vector
} vq_work;

static unsigned needs(const compress_step *s) {
    return !strcmp(compress_text(s, "weight"), "hessian") ? COMPRESS_NEEDS_GRAM : 0;
}

static bool check(const compress_step *s, base_err *err) {
    double code = compress_number(s, "dim") * compress_number(s, "bits");
    if (code == floor(code) && code >= 1 && code <= VQ_MOST_BITS) return true;
    return base_fail(err, "vq: dim * bits = %g, expected a whole number from 1 to %d", code, VQ_MOST_BITS);
}

static float input_weight(const layer *l, int64_t row, int64_t col) {
    if (l->diagonal) return l->h[row];
    return l->h[(row / (l->rows / l->groups) * l->cols + col) * l->cols + col];
}

// The weights' own share keeps coordinates whose input never was active from being anything at all.
static void gather(const vq_work *v, const float *target, bool hessian) {
    const layer *l = v->l;
    int64_t per_row = v->runs / l->rows;
    double mean = 0;
    for (int64_t r = 0; hessian && r < l->rows; r++)
        for (int64_t c = 0; c < l->cols; c++) mean += (double)input_weight(l, r, c);
    mean /= (double)(l->rows * l->cols);
    bool weighted = hessian && mean > 0;
    for (int64_t r = 0; r < l->rows; r++)
        for (int64_t c = 0; c < l->cols; c++) {
            int64_t at = (r * per_row + c / v->dim) * v->dim + c % v->dim;
            v->x[at] = target[r * l->cols + c];
            v->weight[at] = weighted ? (float)((double)input_weight(l, r, c) / mean + 1e-6) : 1;
        }
}

static inline float distance(const float *x, const float *w, const float *center, int64_t dim) {
    float d = 0;
    for (int64_t k = 0; k < dim; k++) d += w[k] * (x[k] - center[k]) * (x[k] - center[k]);
    return d;
}

enum { BLOCK = 4096 }; // runs between two looks at the cancel flag

// Every run to its nearest vector; of equal ones the first.
static bool assign(const vq_work *v, base_err *err) {
    for (int64_t first = 0; first < v->runs; first += BLOCK) {
        int64_t end = first + BLOCK < v->runs ? first + BLOCK : v->runs;
        if (!base_go_on(v->l->job, err)) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
        for (int64_t i = first; i < end; i++) {
            const float *x = v->x + i * v->dim, *w = v->weight + i * v->dim;
            float best = INFINITY;
            for (int64_t c = 0; c < v->size; c++) {
                float d = distance(x, w, v->book + c * v->dim, v->dim);
                if (d < best) best = d, v->codes[i] = (uint16_t)c;
            }
            v->error[i] = best;
        }
    }
    return true;
}

// k-means++: each next vector is a run drawn with the chance of its squared distance to those there are.
static bool start(const vq_work *v, base_err *err) {
    num_rng rng = num_rng_seed(v->l->seed, 71);
    int64_t pick = (int64_t)num_rng_below(&rng, (uint32_t)v->runs);
    for (int64_t i = 0; i < v->runs; i++) v->error[i] = INFINITY;
    for (int64_t c = 0; c < v->size; c++) {
        float *center = v->book + c * v->dim;
        memcpy(center, v->x + pick * v->dim, (size_t)v->dim * sizeof *center);
        if (c % 16 == 0 && !base_go_on(v->l->job, err)) return false;
        double sum = 0;
        for (int64_t i = 0; i < v->runs; i++) {
            float d = distance(v->x + i * v->dim, v->weight + i * v->dim, center, v->dim);
            if (d < v->error[i]) v->error[i] = d;
            sum += (double)v->error[i];
        }
        double at = num_rng_unit(&rng) * sum;
        for (pick = 0; pick < v->runs - 1 && at >= (double)v->error[pick]; pick++) at -= (double)v->error[pick];
    }
    return true;
}

// Vectors to the weighted means of their runs; an unused one to the run that is worst off.
static void move(const vq_work *v) {
    size_t n = (size_t)(v->size * v->dim);
    memset(v->sum, 0, n * sizeof *v->sum);
    memset(v->total, 0, n * sizeof *v->total);
    for (int64_t i = 0; i < v->runs; i++)
        for (int64_t k = 0; k < v->dim; k++) {
            double w = (double)v->weight[i * v->dim + k];
            v->sum[v->codes[i] * v->dim + k] += w * (double)v->x[i * v->dim + k];
            v->total[v->codes[i] * v->dim + k] += w;
        }
    for (int64_t c = 0; c < v->size; c++) {
        float *center = v->book + c * v->dim;
        // The first coordinate of a run is never past the end of its row.
        if (v->total[c * v->dim] > 0) {
            for (int64_t k = 0; k < v->dim; k++)
                center[k] =
                    v->total[c * v->dim + k] > 0 ? (float)(v->sum[c * v->dim + k] / v->total[c * v->dim + k]) : 0;
            continue;
        }
        int64_t worst = 0;
        for (int64_t i = 1; i < v->runs; i++)
            if (v->error[i] > v->error[worst]) worst = i;
        memcpy(center, v->x + worst * v->dim, (size_t)v->dim * sizeof *center);
        v->error[worst] = 0;
    }
}

static double total_error(const vq_work *v) {
    double sum = 0;
    for (int64_t i = 0; i < v->runs; i++) sum += (double)v->error[i];
    return sum;
}

static bool solve(const vq_work *v, int64_t turns, base_err *err) {
    if (!start(v, err) || !assign(v, err)) return false;
    double before = total_error(v);
    for (int64_t t = 0; t < turns && before > 0; t++) {
        move(v);
        if (!assign(v, err)) return false;
        double now = total_error(v);
        if (now >= before * (1 - 1e-5)) break;
        before = now;
    }
    return true;
}

static num_dtype book_dtype(const compress_step *s, const vq_work *v) {
    float most = 0;
    for (int64_t i = 0; i < v->size * v->dim; i++) most = fabsf(v->book[i]) > most ? fabsf(v->book[i]) : most;
    if (strcmp(compress_text(s, "values"), "f32") && (most == 0 || (most >= 1e-3f && most <= 65504))) return NUM_F16;
    return NUM_F32;
}

// Rounds the book to its stored type and gives every run the best of what is stored.
static term *finish(const compress_step *s, const vq_work *v, base_err *err) {
    int64_t used = 0, bits = (int64_t)(compress_number(s, "dim") * compress_number(s, "bits"));
    num_dtype dtype = book_dtype(s, v);
    for (int64_t i = 0; dtype == NUM_F16 && i < v->size * v->dim; i++)
        v->book[i] = num_f16_to_f32(num_f32_to_f16(v->book[i]));
    if (!assign(v, err)) return NULL;
    memset(v->total, 0, (size_t)v->size * sizeof *v->total);
    for (int64_t i = 0; i < v->runs; i++) v->total[v->codes[i]] = 1;
    for (int64_t c = 0; c < v->size; c++) used += v->total[c] > 0;
    term *t = term_vq_new(v->l->rows, v->l->cols, v->dim, bits, v->codes, v->book, dtype, err);
    if (t) {
        t->kind->describe(t, &v->l->did);
        base_buf_printf(&v->l->did, ", %lld of %lld vectors used", (long long)used, (long long)v->size);
    }
    return t;
}

static bool reserve(vq_work *v, base_err *err) {
    size_t n = (size_t)(v->runs * v->dim), m = (size_t)(v->size * v->dim);
    return (v->x = base_big_alloc(n, sizeof *v->x, "runs of weights", err)) &&
           (v->weight = base_big_alloc(n, sizeof *v->weight, "runs of weights", err)) &&
           (v->error = base_big_alloc((size_t)v->runs, sizeof *v->error, "runs of weights", err)) &&
           (v->codes = base_big_alloc((size_t)v->runs, sizeof *v->codes, "codes of a layer", err)) &&
           (v->book = base_big_alloc(m, sizeof *v->book, "a codebook", err)) &&
           (v->sum = base_big_alloc(m, sizeof *v->sum, "a codebook", err)) &&
           (v->total = base_big_alloc(m, sizeof *v->total, "a codebook", err));
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    if (l->mask)
        return base_fail(err, "vq codes whole runs of weights and would not keep pruned ones at 0; codebook{} does");
    vq_work v = {.l = l, .dim = (int64_t)compress_number(s, "dim")};
    v.runs = vq_runs(l->rows, l->cols, v.dim);
    v.size = (int64_t)1 << (int64_t)(compress_number(s, "dim") * compress_number(s, "bits"));
    const float *target;
    float *owned;
    term *t = NULL;
    if (v.runs > INT32_MAX) return base_fail(err, "vq: %lld runs are too many", (long long)v.runs);
    if (layer_target(l, &target, &owned, err) && reserve(&v, err)) {
        gather(&v, target, needs(s) != 0);
        if (solve(&v, (int64_t)compress_number(s, "iterations"), err)) t = finish(s, &v, err);
    }
    base_big_free(owned);
    void *all[] = {v.x, v.weight, v.error, v.codes, v.book, v.sum, v.total};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) base_big_free(all[i]);
    return t && layer_put_values(l, t, err);
}

const compress_step_kind step_vq = {
    .name = "vq",
    .help = "codes into a book of vectors, a code a run of neighbouring weights",
    .about =
        "Minimises sum h_i (w_i - book[code]_i)^2 over a book of 2^(dim bits) vectors and the codes of all runs of\n"
        "dim neighbours; h is 1, or the diagonal of H (hessian). k-means++ start, Lloyd's turns; an unused vector\n"
        "moves to the run that is worst off. The step says how many vectors are used. A second vq codes the\n"
        "remainder (residual): rule(\".*\", vq{bits=1}, vq{bits=1}). Not after prune.",
    .source = "vector quantisation with H-diagonal weights as in VPTQ's initial books (Liu et al., EMNLP 2024, arXiv "
              "2409.17066); k-means++: Arthur and Vassilvitskii, SODA 2007",
    .cost = "none: no data; hessian: calibration inputs; weights 2^(dim bits) operations a turn",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
};
