// simvq, lr2vq: codes into a book that is a product of coefficients and a basis, found by alternating least squares.
#include "compress/steps/lattice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOOK_ARGS                                                                                                      \
    {"length", BASE_INT, 4, 1, BASIS_MOST_LENGTH, NULL, NULL, "neighbouring weights of a row that share a code"},      \
        {"bits", BASE_NUM, 2,    0.25,                                                                                 \
         8,      NULL,     NULL, "bits a weight; length * bits, the bits of a code, whole and at most 12"},            \
    {                                                                                                                  \
        "iterations", BASE_INT, 30, 0, 1000, NULL, NULL, "most turns of codes and book"                                \
    }

static const base_arg sim_args[] = {
    BOOK_ARGS,
    {"rank", BASE_INT, 0, 0, BASIS_MOST_RANK, NULL, NULL, "rows of the learned basis; 0: length"},
    {"seed", BASE_INT, 1, 0, INT32_MAX, NULL, NULL, "of the fixed normal coefficients, which are not stored"},
    LATTICE_ARGS,
};
static const base_arg low_args[] = {
    BOOK_ARGS,
    {"rank", BASE_INT, 3, 1, BASIS_MOST_LENGTH, NULL, NULL,
     "dimensions that the runs are clustered in, at most length"},
    LATTICE_ARGS,
};

typedef struct basis_work {
    basis_book b;
    int64_t size, runs;
    float *x, *weight, *book; // [runs x length] twice, [size x length]
    uint16_t *codes;          // [runs]
    double *normal, *right;   // [rank x rank], [rank]
    base_job *job;
} basis_work;

static bool check(const compress_step *s, base_err *err) {
    double length = compress_number(s, "length"), code = length * compress_number(s, "bits");
    if (!(code == floor(code) && code >= 1 && code <= BASIS_MOST_CODE))
        return base_fail(err, "%s: length * bits = %g, expected a whole number from 1 to %d", s->kind->name, code,
                         BASIS_MOST_CODE);
    if (s->kind == &step_lr2vq && compress_number(s, "rank") > length)
        return base_fail(err, "lr2vq: rank = %g is more than length = %g", compress_number(s, "rank"), length);
    return true;
}

static int nearest(const float *book, int64_t size, int64_t length, const float *x, const float *w, double *error) {
    int best = 0;
    float least = INFINITY;
    for (int64_t k = 0; k < size; k++) {
        float d = 0;
        for (int64_t c = 0; c < length; c++) {
            float e = x[c] - book[k * length + c];
            d += w[c] * e * e;
        }
        if (d < least) least = d, best = (int)k;
    }
    *error = (double)least;
    return best;
}

static bool assign(const basis_work *v, double *total, base_err *err) {
    enum { BLOCK = 2048 };
    int64_t n = v->b.length;
    *total = 0;
    for (int64_t first = 0; first < v->runs; first += BLOCK) {
        if (!base_go_on(v->job, err)) return false;
        for (int64_t i = first; i < v->runs && i < first + BLOCK; i++) {
            double e;
            v->codes[i] = (uint16_t)nearest(v->book, v->size, n, v->x + i * n, v->weight + i * n, &e);
            *total += e;
        }
    }
    return true;
}

// Solves normal [rank x rank] z = right, a little damped; right becomes z. What was there stays where it cannot.
static bool least_squares(const basis_work *v, int64_t rank) {
    double trace = 0;
    for (int64_t i = 0; i < rank; i++) trace += v->normal[i * rank + i];
    if (!(trace > 0)) return false;
    for (int64_t i = 0; i < rank; i++) v->normal[i * rank + i] += 1e-9 * trace;
    if (!num_dcholesky(rank, v->normal, rank)) return false;
    num_dtrsm(true, rank, 1, v->normal, rank, v->right, 1);
    num_dtrsm(false, rank, 1, v->normal, rank, v->right, 1);
    return true;
}

// The basis for the codes there are, column by column: each is a least-squares problem of its own.
static void fit_basis(const basis_work *v) {
    int64_t n = v->b.length, rank = v->b.rank;
    for (int64_t c = 0; c < n; c++) {
        memset(v->normal, 0, (size_t)(rank * rank) * sizeof *v->normal);
        memset(v->right, 0, (size_t)rank * sizeof *v->right);
        for (int64_t i = 0; i < v->runs; i++) {
            const float *z = v->b.coefficients + v->codes[i] * rank;
            double w = (double)v->weight[i * n + c], t = w * (double)v->x[i * n + c];
            for (int64_t a = 0; w > 0 && a < rank; a++) {
                v->right[a] += t * (double)z[a];
                for (int64_t b = 0; b < rank; b++) v->normal[a * rank + b] += w * (double)z[a] * (double)z[b];
            }
        }
        if (least_squares(v, rank))
            for (int64_t a = 0; a < rank; a++) v->b.basis[a * n + c] = (float)v->right[a];
    }
}

// Coefficients of one vector for the runs that have its code (`next` links them); an unused vector stays.
static void fit_vector(const basis_work *v, int64_t k, const int64_t *head, const int64_t *next) {
    int64_t n = v->b.length, rank = v->b.rank;
    memset(v->normal, 0, (size_t)(rank * rank) * sizeof *v->normal);
    memset(v->right, 0, (size_t)rank * sizeof *v->right);
    for (int64_t i = head[k]; i >= 0; i = next[i])
        for (int64_t c = 0; c < n; c++) {
            double w = (double)v->weight[i * n + c], t = w * (double)v->x[i * n + c];
            for (int64_t a = 0; w > 0 && a < rank; a++) {
                double va = (double)v->b.basis[a * n + c];
                v->right[a] += t * va;
                for (int64_t b = 0; b < rank; b++) v->normal[a * rank + b] += w * va * (double)v->b.basis[b * n + c];
            }
        }
    if (head[k] >= 0 && least_squares(v, rank))
        for (int64_t a = 0; a < rank; a++) v->b.coefficients[k * rank + a] = (float)v->right[a];
}

static void fit_coefficients(const basis_work *v) {
    int64_t *head = base_calloc((size_t)v->size, sizeof *head), *next = base_calloc((size_t)v->runs, sizeof *next);
    for (int64_t k = 0; k < v->size; k++) head[k] = -1;
    for (int64_t i = v->runs - 1; i >= 0; i--) {
        next[i] = head[v->codes[i]];
        head[v->codes[i]] = i;
    }
    for (int64_t k = 0; k < v->size; k++) fit_vector(v, k, head, next);
    free(head);
    free(next);
}

// ---- starts --------------------------------------------------------------------------------------

// lr2vq: the first `rank` principal directions of the runs, and runs of large distance to each other (k-means++) in
// them as coefficients.
static bool start_low(const basis_work *v, uint64_t seed, base_err *err) {
    int64_t n = v->b.length, rank = v->b.rank;
    double *square = base_calloc((size_t)(n * n), sizeof *square), *value = base_calloc((size_t)n, sizeof *value);
    double *vectors = base_calloc((size_t)(n * n), sizeof *vectors), *far = base_calloc((size_t)v->runs, sizeof *far);
    for (int64_t i = 0; i < v->runs; i++)
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b < n; b++) square[a * n + b] += (double)v->x[i * n + a] * (double)v->x[i * n + b];
    bool ok = num_deigh(n, square, value, vectors, err);
    for (int64_t a = 0; ok && a < rank; a++)
        for (int64_t c = 0; c < n; c++) v->b.basis[a * n + c] = (float)vectors[(n - 1 - a) * n + c];
    num_rng rng = num_rng_seed(seed, 89);
    int64_t pick = (int64_t)num_rng_below(&rng, (uint32_t)v->runs);
    for (int64_t i = 0; i < v->runs; i++) far[i] = INFINITY;
    for (int64_t k = 0; ok && k < v->size; k++) {
        float *z = v->b.coefficients + k * rank, *book = v->book + k * n;
        for (int64_t a = 0; a < rank; a++) {
            double sum = 0;
            for (int64_t c = 0; c < n; c++) sum += (double)v->x[pick * n + c] * (double)v->b.basis[a * n + c];
            z[a] = (float)sum;
        }
        basis_product(z, v->b.basis, 1, rank, n, book);
        if (k % 16 == 0) ok = base_go_on(v->job, err);
        double total = 0;
        for (int64_t i = 0; i < v->runs; i++) {
            double e;
            nearest(book, 1, n, v->x + i * n, v->weight + i * n, &e);
            if (e < far[i]) far[i] = e;
            total += far[i];
        }
        double at = num_rng_unit(&rng) * total;
        for (pick = 0; pick < v->runs - 1 && at >= far[pick]; pick++) at -= far[pick];
    }
    free(square);
    free(value);
    free(vectors);
    free(far);
    return ok;
}

// simvq: fixed normal coefficients; the first `length` rows of the basis are the unit matrix, the rest nothing yet.
static void start_normal(const basis_work *v) {
    basis_normal(v->b.seed, v->size, v->b.rank, v->b.coefficients);
    for (int64_t a = 0; a < v->b.rank; a++)
        for (int64_t c = 0; c < v->b.length; c++) v->b.basis[a * v->b.length + c] = a == c;
}

static void round_book(basis_work *v) {
    int64_t n = v->b.rank * v->b.length, m = v->b.form == BASIS_STORED ? v->size * v->b.rank : 0;
    v->b.dtype = NUM_F16;
    for (int64_t i = 0; i < n; i++)
        if (fabsf(v->b.basis[i]) > 60000) v->b.dtype = NUM_F32;
    for (int64_t i = 0; i < m; i++)
        if (fabsf(v->b.coefficients[i]) > 60000) v->b.dtype = NUM_F32;
    for (int64_t i = 0; v->b.dtype == NUM_F16 && i < n; i++)
        v->b.basis[i] = num_f16_to_f32(num_f32_to_f16(v->b.basis[i]));
    for (int64_t i = 0; v->b.dtype == NUM_F16 && i < m; i++)
        v->b.coefficients[i] = num_f16_to_f32(num_f32_to_f16(v->b.coefficients[i]));
    basis_product(v->b.coefficients, v->b.basis, v->size, v->b.rank, v->b.length, v->book);
}

static bool fit_book(basis_work *v, int64_t turns, uint64_t seed, base_err *err) {
    double before = INFINITY, now;
    if (v->b.form == BASIS_STORED) {
        if (!start_low(v, seed, err)) return false;
    } else {
        start_normal(v);
    }
    for (int64_t t = 0; t < turns; t++) {
        basis_product(v->b.coefficients, v->b.basis, v->size, v->b.rank, v->b.length, v->book);
        if (!assign(v, &now, err)) return false;
        if (now >= before * (1 - 1e-4)) break;
        before = now;
        if (v->b.form == BASIS_STORED) fit_coefficients(v);
        fit_basis(v);
    }
    round_book(v);
    return true;
}

// ---- the step ------------------------------------------------------------------------------------

static void encode(const void *context, const feedback_run *run, uint16_t *words, float *q, void *room) {
    (void)room;
    const basis_work *v = context;
    double error;
    words[0] = (uint16_t)nearest(v->book, v->size, v->b.length, run->x, run->weight, &error);
    memcpy(q, v->book + words[0] * v->b.length, (size_t)v->b.length * sizeof *q);
}

static bool reserve(basis_work *v, base_err *err) {
    size_t n = (size_t)(v->runs * v->b.length), book = (size_t)(v->size * v->b.length);
    const char *what = "a codebook";
    return (v->x = base_big_alloc(n, sizeof *v->x, what, err)) &&
           (v->weight = base_big_alloc(n, sizeof *v->weight, what, err)) &&
           (v->book = base_big_alloc(book, sizeof *v->book, what, err)) &&
           (v->codes = base_big_alloc((size_t)v->runs, sizeof *v->codes, what, err)) &&
           (v->b.coefficients = base_big_alloc((size_t)(v->size * v->b.rank), sizeof(float), what, err)) &&
           (v->b.basis = base_big_alloc((size_t)(v->b.rank * v->b.length), sizeof(float), what, err)) &&
           (v->normal = base_big_alloc((size_t)(v->b.rank * v->b.rank), sizeof(double), what, err)) &&
           (v->right = base_big_alloc((size_t)v->b.rank, sizeof(double), what, err));
}

// Runs over their scales; what an error costs before anything is known of the rest: the second moment of its input.
static void gather(const basis_work *v, const feedback_problem *p) {
    int64_t n = v->b.length, per_block = lattice_runs_of_block(&p->runs), cols = p->runs.cols, row, col;
    double mean = 0;
    for (int64_t g = 0; p->h && g < p->groups; g++)
        for (int64_t c = 0; c < cols; c++) mean += (double)p->h[(g * cols + c) * cols + c] / (double)(p->groups * cols);
    for (int64_t i = 0; i < v->runs; i++) {
        feedback_gather(p, i / per_block, i % per_block, p->w, v->x + i * n);
        for (int64_t k = 0; k < n; k++) {
            v->weight[i * n + k] = 0;
            if (!lattice_place(&p->runs, i / per_block, i % per_block, k, &row, &col)) continue;
            int64_t g = row / (p->runs.rows / p->groups);
            v->weight[i * n + k] =
                mean > 0 ? (float)((double)p->h[(g * cols + col) * cols + col] / mean + p->damp + 1e-6) : 1;
        }
    }
}

static bool solve(const compress_step *s, layer *l, basis_work *v, feedback_problem *p, term **t, base_err *err) {
    feedback_coder coder = {.words = 1, .context = v, .encode = encode};
    v->runs = lattice_run_count(&p->runs);
    if (v->runs > INT32_MAX) return base_fail(err, "%s: %lld runs are too many", s->kind->name, (long long)v->runs);
    if (!feedback_scales(p, err) || !reserve(v, err)) return false;
    gather(v, p);
    if (!fit_book(v, (int64_t)compress_number(s, "iterations"), l->seed, err)) return false;
    p->coder = &coder;
    if (!feedback_solve(p, err)) return false;
    *t = term_basis_new(&p->runs, &v->b, p->codes, p->scales, p->scale_count, p->scale_dtype, err);
    return *t != NULL;
}

// How many of the book's vectors a run stands for in the end.
static void describe_use(layer *l, const basis_work *v, const feedback_problem *p) {
    uint8_t *seen = base_calloc((size_t)v->size, 1);
    int64_t used = 0;
    for (int64_t i = 0; i < v->runs; i++) {
        used += !seen[p->codes[i]];
        seen[p->codes[i]] = 1;
    }
    base_buf_printf(&l->did, "; %lld of %lld vectors used", (long long)used, (long long)v->size);
    free(seen);
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    int64_t length = (int64_t)compress_number(s, "length"), rank = (int64_t)compress_number(s, "rank");
    basis_work v = {.b = {.length = length,
                          .code = (int64_t)(compress_number(s, "length") * compress_number(s, "bits")),
                          .rank = rank ? rank : length,
                          .form = s->kind == &step_simvq ? BASIS_NORMAL : BASIS_STORED},
                    .job = l->job};
    if (v.b.form == BASIS_NORMAL) v.b.seed = (int64_t)compress_number(s, "seed");
    v.size = (int64_t)1 << v.b.code;
    lattice_runs runs = {l->rows, l->cols, length, length, true};
    feedback_problem p = {0};
    float *owned;
    term *t = NULL;
    bool ok = lattice_open(s, l, &runs, &p, &owned, err) && solve(s, l, &v, &p, &t, err);
    ok = ok && lattice_close(l, &p, t, err);
    if (ok) describe_use(l, &v, &p);
    feedback_free(&p);
    void *all[] = {v.x, v.weight, v.book, v.codes, v.b.coefficients, v.b.basis, v.normal, v.right, owned};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) base_big_free(all[i]);
    return ok;
}

const compress_step_kind step_simvq = {
    .name = "simvq",
    .help = "codes into a book of fixed normal vectors turned by a learned basis",
    .about =
        "book = C B: C [2^(length bits) x rank] fixed normal values of a seed, B [rank x length] learned: codes and B\n"
        "take turns at the least squared error, weighted by diag H; every vector moves with B, so none dies. Only B "
        "is\n"
        "stored: 32 bytes for runs of four, where a book of its own takes 2 kB at 2 bits. A scale a row; feedback and\n"
        "passes as in e8. rule(\".*\", rotate{}, simvq{length=4, bits=2}). Not after prune.",
    .source = "SimVQ (Zhu et al., Addressing Representation Collapse in Vector Quantized Models with One Linear Layer, "
              "arXiv 2411.02038), equation 4, here by least squares in place of gradients",
    .cost = "calibration inputs for weights and feedback; weights 2^(length bits) operations a turn and pass",
    .args = sim_args,
    .arg_count = sizeof sim_args / sizeof *sim_args,
    .needs = lattice_needs,
    .check = check,
    .apply = apply,
};

const compress_step_kind step_lr2vq = {
    .name = "lr2vq",
    .help = "runs clustered in fewer dimensions than they have: a book of low rank",
    .about =
        "Runs of `length` weights are clustered in `rank` dimensions: book = C B, C [2^(length bits) x rank] and the\n"
        "projection B [rank x length] both stored. Start: principal directions and k-means++ in them; then codes, C\n"
        "and B take turns at the least squared error, weighted by diag H. A smaller book, and less of a run that it "
        "can\n"
        "follow: rank trades the error of the projection against that of the clusters. A scale a row; feedback and\n"
        "passes as in e8. rule(\".*\", lr2vq{length=4, bits=2, rank=3}). Not after prune.",
    .source = "LR2VQ (Zhu et al., Learning Low-Rank Representations for Model Compression, arXiv 2211.11397): k, m and "
              "the clustering dimension there; without its training of the network",
    .cost = "calibration inputs for weights and feedback; weights 2^(length bits) operations a turn and pass",
    .args = low_args,
    .arg_count = sizeof low_args / sizeof *low_args,
    .needs = lattice_needs,
    .check = check,
    .apply = apply,
};
