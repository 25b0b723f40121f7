// codebook: values of a layer as codes into books of any values, found by one-dimensional k-means - plain, or weighted
// by what an error in each weight costs.
#include "compress/solvers/kmeans.h"
#include "compress/solvers/lnq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const base_arg args[] = {
    {"weight", BASE_TEXT, 0, 0, 0, "none", "none|hessian|fisher",
     "what an error costs: alike, the mean square of its input, or the squared gradient of the loss"},
    {"bits", BASE_INT, 4, 1, 8, NULL, NULL, "bits a code: 2^bits values a book"},
    {"scope", BASE_TEXT, 0, 0, 0, "row", "row|layer", "a book for every output row, or one for the layer"},
    {"exact", BASE_BOOL, 1, 0, 1, NULL, NULL,
     "the best book by dynamic programming, up to 16,384 weights a book; else Lloyd's turns"},
    {"iterations", BASE_INT, 100, 1, 100000, NULL, NULL, "most of Lloyd's turns"},
    {"values", BASE_TEXT, 0, 0, 0, "f16", "f16|f32", "stored type of the books (f32 where f16 cannot hold them)"},
    {"samples", BASE_INT, 128, 1, 1000000, NULL, NULL, "fisher: calibration samples whose gradients are squared"},
    {"refine", BASE_TEXT, 0, 0, 0, "none", "none|lnq",
     "lnq: then codes and books of rows in turn under the whole second moment of the inputs"},
    {"turns", BASE_INT, 10, 0, 10000, NULL, NULL, "lnq: turns of books and codes"},
    {"damp", BASE_NUM, 0.01, 0, 10, NULL, NULL,
     "lnq: added to the diagonal of H for the first codes, as a fraction of its mean"},
};

static bool refined(const compress_step *s) {
    return strcmp(compress_text(s, "refine"), "none") != 0;
}

static unsigned needs(const compress_step *s) {
    const char *weight = compress_text(s, "weight");
    unsigned whole = refined(s) ? COMPRESS_NEEDS_GRAM : 0;
    if (!strcmp(weight, "fisher")) return whole | COMPRESS_NEEDS_GRADIENT;
    return !strcmp(weight, "hessian") ? COMPRESS_NEEDS_GRAM : whole;
}

static bool check(const compress_step *s, base_err *err) {
    return !refined(s) || !strcmp(compress_text(s, "scope"), "row") ||
           base_fail(err, "codebook: refine = \"lnq\" finds a book for every row; a book for the layer is what "
                          "vq{ solver = \"aqlm\", dim = 1 } finds so");
}

// A layer's books being made.
typedef struct book_work {
    const layer *l;
    const float *target;
    bool hessian, fisher;
    kmeans_options o;
    float *centers; // [books x levels]
    uint8_t *codes; // [rows x cols], kept ones side by side within each row's place
} book_work;

static float weight_of(const book_work *k, int64_t row, int64_t col) {
    const layer *l = k->l;
    if (k->fisher) return l->fisher[row * l->cols + col];
    if (!k->hessian) return 1;
    if (l->diagonal) return l->h[row];
    return l->h[(row / (l->rows / l->groups) * l->cols + col) * l->cols + col];
}

// One book for rows [first, end); values and weights gathered into x and weight.
static bool make_book(const book_work *k, int64_t first, int64_t end, float *centers, float *x, float *weight,
                      uint16_t *labels, base_err *err) {
    const layer *l = k->l;
    int64_t n = 0;
    double sum = 0;
    for (int64_t r = first; r < end; r++)
        for (int64_t c = 0; c < l->cols; c++) {
            int64_t at = r * l->cols + c;
            if (l->mask && !l->mask[at]) continue;
            weight[n] = weight_of(k, r, c);
            sum += (double)weight[n];
            x[n++] = k->target[at];
        }
    if (!n) return true; // nothing kept: a book of zeros that no code uses
    bool weighted = (k->hessian || k->fisher) && sum > 0;
    if (!kmeans_solve(x, weighted ? weight : NULL, n, &k->o, centers, labels, NULL, l->job, err)) return false;
    n = 0;
    for (int64_t at = first * l->cols; at < end * l->cols; at++)
        if (!l->mask || l->mask[at]) k->codes[at] = (uint8_t)labels[n++];
    return true;
}

static bool make_part(const book_work *k, int64_t first, int64_t end, float *centers, base_err *err) {
    size_t n = (size_t)((end - first) * k->l->cols);
    float *x = base_big_alloc(2 * n, sizeof *x, "weights of a codebook", err);
    uint16_t *labels = x ? base_big_alloc(n, sizeof *labels, "codes of a codebook", err) : NULL;
    bool ok = labels && make_book(k, first, end, centers, x, x + n, labels, err);
    base_big_free(x);
    base_big_free(labels);
    return ok;
}

static bool make_rows(const book_work *k, base_err *err) {
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) if (k->l->rows * k->l->cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < k->l->rows; r++) {
        base_err own = {0};
        bool going;
#ifdef _OPENMP
#pragma omp atomic read
#endif
        going = ok;
        if (going && !make_part(k, r, r + 1, k->centers + r * k->o.centers, &own)) {
#ifdef _OPENMP
#pragma omp critical(codebook_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
    }
    return ok;
}

// float16 keeps 11 bits from 6.1e-5 up: books of smaller values, or beyond its range, are stored wide.
static bool fits_half(const float *centers, int64_t count) {
    float most = 0;
    for (int64_t i = 0; i < count; i++) most = fabsf(centers[i]) > most ? fabsf(centers[i]) : most;
    return most == 0 || (most >= 1e-3f && most <= 65504);
}

static num_dtype book_dtype(const compress_step *s, const layer *l, const float *centers, int64_t count) {
    if (!strcmp(compress_text(s, "values"), "f32")) return NUM_F32;
    if (fits_half(centers, count)) return NUM_F16;
    base_log(l->job, BASE_INFO, "%s: the values of its books do not fit f16, stored as f32", l->name);
    return NUM_F32;
}

// Rows of an embedding do not meet in a second moment: theirs are done.
static bool refine(const compress_step *s, layer *l, book_work *k, base_err *err) {
    if (!refined(s) || !l->h || l->diagonal) return true;
    lnq_work w = {.layer = l->name,
                  .job = l->job,
                  .w = k->target,
                  .mask = l->mask,
                  .h = l->h,
                  .rows = l->rows,
                  .cols = l->cols,
                  .groups = l->groups,
                  .levels = k->o.centers,
                  .centers = k->centers,
                  .codes = k->codes,
                  .half = strcmp(compress_text(s, "values"), "f32") && fits_half(k->centers, l->rows * k->o.centers),
                  .damp = compress_number(s, "damp"),
                  .turns = (int64_t)compress_number(s, "turns")};
    bool ok = lnq_solve(&w, err);
    l->damping = w.damping;
    return ok;
}

static term *pack(const compress_step *s, book_work *k, int64_t scope, base_err *err) {
    const layer *l = k->l;
    int64_t kept = layer_kept(l), count = (scope == CODEBOOK_ROW ? l->rows : 1) * k->o.centers, n = 0;
    int64_t bits = (int64_t)compress_number(s, "bits");
    term *t = term_codebook_new(l->rows, l->cols, kept, bits, scope, book_dtype(s, l, k->centers, count), err);
    if (!t) return NULL;
    for (int64_t i = 0; l->mask && i < l->rows * l->cols; i++)
        if (l->mask[i]) k->codes[n++] = k->codes[i];
    codes_pack(k->codes, kept, bits, UNIFORM_SYM, t->blob[0].owned);
    num_from_f32(t->blob[1].dtype, k->centers, t->blob[1].owned, (size_t)count);
    return t;
}

// Values that a code names, and what was reached beside what a Gaussian source allows at these bytes.
static void describe(const book_work *k, const term *t, int64_t scope, base_buf *did) {
    const layer *l = k->l;
    int64_t levels = k->o.centers, books = scope == CODEBOOK_ROW ? l->rows : 1, used = 0, n = 0;
    uint8_t *seen = base_calloc((size_t)(books * levels), 1);
    double error = 0, norm = 0;
    for (int64_t at = 0; at < l->rows * l->cols; at++) {
        if (l->mask && !l->mask[at]) continue;
        int64_t one = (scope == CODEBOOK_ROW ? at / l->cols * levels : 0) + k->codes[l->mask ? n : at];
        double d = (double)k->target[at] - (double)k->centers[one];
        used += !seen[one];
        seen[one] = 1;
        error += d * d;
        norm += (double)k->target[at] * (double)k->target[at];
        n++;
    }
    free(seen);
    t->kind->describe(t, did);
    base_buf_printf(did, ", %lld of %lld values used", (long long)used, (long long)(books * levels));
    if (!n || !(norm > 0)) return;
    double bits = 8 * (double)term_bytes(t) / (double)n;
    base_buf_printf(did, ", distortion %.3g where a Gaussian has %.3g at %.3g bits", error / norm, pow(2, -2 * bits),
                    bits);
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    int64_t levels = (int64_t)1 << (int64_t)compress_number(s, "bits");
    int64_t scope = !strcmp(compress_text(s, "scope"), "row") ? CODEBOOK_ROW : CODEBOOK_LAYER;
    book_work k = {.l = l,
                   .hessian = !strcmp(compress_text(s, "weight"), "hessian"),
                   .fisher = !strcmp(compress_text(s, "weight"), "fisher"),
                   .o = {levels, compress_number(s, "exact") != 0, (int64_t)compress_number(s, "iterations")}};
    float *owned = NULL;
    bool ok = layer_target(l, &k.target, &owned, err);
    int64_t books = scope == CODEBOOK_ROW ? l->rows : 1;
    k.centers = ok ? base_big_alloc((size_t)(books * levels), sizeof *k.centers, "codebooks", err) : NULL;
    k.codes = k.centers ? base_big_alloc((size_t)(l->rows * l->cols), 1, "codes of a layer", err) : NULL;
    ok = k.codes && (scope == CODEBOOK_ROW ? make_rows(&k, err) : make_part(&k, 0, l->rows, k.centers, err)) &&
         refine(s, l, &k, err);
    term *t = ok ? pack(s, &k, scope, err) : NULL;
    if (t) describe(&k, t, scope, &l->did);
    base_big_free(owned);
    base_big_free(k.centers);
    base_big_free(k.codes);
    if (!t) return false;
    return layer_put_values(l, t, err);
}

const compress_step_kind step_codebook = {
    .name = "codebook",
    .help = "codes into a book of any values, by k-means",
    .about =
        "Minimises sum cost_i (w_i - book[code_i])^2 over the book and the codes: cost 1 (none), H_ii of the input\n"
        "(hessian), or the sum of the squared gradients of the loss over calibration samples (fisher). exact: the\n"
        "global optimum of each book by dynamic programming; else the better of two starts of Lloyd's algorithm.\n"
        "Alone or first: codes of the weight. After other terms: of the remainder. After prune: of the kept weights.\n"
        "refine=\"lnq\": from there each value moves to its optimum and each code to the best with all others held, "
        "in\n"
        "turn, under the whole second moment of the inputs. codebook{bits=4, weight=\"fisher\"}",
    .source =
        "SqueezeLLM (Kim et al., ICML 2024, arXiv 2306.07629); one book a layer: Deep Compression (Han et al., ICLR "
        "2016, arXiv 1510.00149); lnq: GuidedQuant (Kim et al., ICML 2025, arXiv 2505.07004)",
    .cost =
        "none: no data; a sort and 2^bits n log n operations a book (exact); hessian: calibration inputs; fisher: a "
        "backward pass a sample; lnq: calibration inputs, out in^2 operations a turn",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
};
