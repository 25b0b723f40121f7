// vq: runs of neighbouring weights as codes into books of vectors. The step decides the shape - run, books, scales,
// what of the inputs counts -, lets a solver find books and codes (solvers/books.h), and stores them in their last
// form: once scales and books are rounded, the codes are looked at again.
#include "compress/solvers/books.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KMEANS, VPTQ, VQ4DIT, AQLM };

static const base_arg args[] = {
    {"solver", BASE_TEXT, 0, 0, 0, "kmeans", "kmeans|vptq|vq4dit|aqlm", "how books and codes are found"},
    {"weight", BASE_TEXT, 0, 0, 0, "auto", "auto|none|hessian",
     "what an error costs: alike, or by the inputs; auto: none for kmeans, else hessian"},
    {"dim", BASE_INT, 4, 0, VQ_MOST_DIM, NULL, NULL,
     "neighbouring weights that share a code; 0: the most whose books take `share` of the codes' bytes"},
    {"bits", BASE_NUM, 2, 0.25, 8, NULL, NULL,
     "bits a weight; dim * bits / planes, the bits of a code, whole and at most 12"},
    {"planes", BASE_INT, 1, 1, BOOKS_MOST_PLANES, NULL, NULL, "books that are added up, a code each"},
    {"spaces", BASE_INT, 1, 1, BOOKS_MOST_SPACES, NULL, NULL,
     "stretches of a row with books of their own (product); as many as there are runs at most"},
    {"axis", BASE_TEXT, 0, 0, 0, "auto", "auto|in|out",
     "neighbours along a row (inputs) or down a column (outputs); auto: out for vptq, else in"},
    {"scale", BASE_TEXT, 0, 0, 0, "auto", "auto|none|row", "a scale for each output; auto: row for aqlm, else none"},
    {"scales", BASE_TEXT, 0, 0, 0, "f16", "f16|f32|e4m3", "stored type of the scales"},
    {"values", BASE_TEXT, 0, 0, 0, "f16", "f16|f32|i8", "stored type of the books (f32 where f16 cannot hold them)"},
    {"share", BASE_NUM, 0.05, 0, 1, NULL, NULL, "dim=0: bytes of the books, as a fraction of those of the codes"},
    {"iterations", BASE_INT, 50, 0, 10000, NULL, NULL, "k-means: most of Lloyd's turns"},
    {"turns", BASE_INT, -1, -1, 100000, NULL, NULL,
     "feedback, vptq, aqlm: most turns of least-squares books (aqlm: and codes); vq4dit: steps; -1: 1, 20 for aqlm, "
     "200 for vq4dit"},
    {"beam", BASE_INT, 8, 1, BOOKS_MOST_BEAM, NULL, NULL, "aqlm: hypotheses of the last passes over the codes"},
    {"candidates", BASE_INT, 4, 1, 16, NULL, NULL, "vq4dit: nearest vectors that are mixed"},
    {"outliers", BASE_NUM, 0, 0, 0.5, NULL, NULL,
     "fraction of the columns, those of the largest inputs, with books of their own"},
    {"feedback", BASE_TEXT, 0, 0, 0, "auto", "auto|ldlq|none",
     "kmeans: columns to come make up for errors, and books get their least squares, both under the whole H; auto: "
     "none"},
    {"damp", BASE_NUM, 0.01, 0, 10, NULL, NULL,
     "feedback, vptq, aqlm: added to the diagonal of H, as a fraction of its mean"},
};

static int solver_of(const compress_step *s) {
    static const char *const names[] = {"kmeans", "vptq", "vq4dit", "aqlm"};
    int i = 0;
    while (strcmp(compress_text(s, "solver"), names[i])) i++;
    return i;
}

static bool is(const compress_step *s, const char *arg, const char *text, bool automatic) {
    const char *given = compress_text(s, arg);
    return !strcmp(given, "auto") ? automatic : !strcmp(given, text);
}

// Codes with feedback and books by least squares, also for those that k-means began.
static bool feeds_back(const compress_step *s) {
    return solver_of(s) == VPTQ || solver_of(s) == AQLM || is(s, "feedback", "ldlq", false);
}

static unsigned needs(const compress_step *s) {
    bool whole = is(s, "feedback", "ldlq", false); // H then counts in k-means too
    return is(s, "weight", "hessian", solver_of(s) != KMEANS) || whole ? COMPRESS_NEEDS_GRAM : 0;
}

static double code_bits(const compress_step *s, int64_t dim) {
    return (double)dim * compress_number(s, "bits") / compress_number(s, "planes");
}

static bool whole_code(const compress_step *s, int64_t dim) {
    double code = code_bits(s, dim);
    return code == floor(code) && code >= 1 && code <= VQ_MOST_BITS;
}

static bool check(const compress_step *s, base_err *err) {
    int64_t dim = (int64_t)compress_number(s, "dim");
    bool several = compress_number(s, "planes") > 1;
    if (solver_of(s) == VQ4DIT && several)
        return base_fail(err, "vq: solver vq4dit mixes vectors of one book, not planes");
    if (solver_of(s) != KMEANS && strcmp(compress_text(s, "feedback"), "auto"))
        return base_fail(err, "vq: feedback = \"%s\" is for solver kmeans; %s", compress_text(s, "feedback"),
                         solver_of(s) == VQ4DIT ? "vq4dit learns codes without" : "the others always have it");
    if (dim && !whole_code(s, dim))
        return base_fail(err, "vq: dim * bits%s = %g, expected a whole number from 1 to %d", several ? " / planes" : "",
                         code_bits(s, dim), VQ_MOST_BITS);
    for (dim = dim ? dim : 1; dim <= VQ_MOST_DIM; dim++)
        if (whole_code(s, dim)) return true;
    return base_fail(err, "vq: no dim makes dim * bits / planes a whole number from 1 to %d with bits %g", VQ_MOST_BITS,
                     compress_number(s, "bits"));
}

static books_shape shape_of(const compress_step *s, int64_t dim, int64_t cols) {
    books_shape p = {dim, (int64_t)code_bits(s, dim), (int64_t)compress_number(s, "planes"),
                     (int64_t)compress_number(s, "spaces"), is(s, "axis", "out", solver_of(s) == VPTQ)};
    int64_t units = books_units(&p, cols);
    if (p.spaces > units) p.spaces = units;
    return p;
}

// The given shape, or the longest run whose books stay small beside the codes; the shortest there is if none does.
static books_shape choose_shape(const compress_step *s, int64_t rows, int64_t cols) {
    int64_t dim = (int64_t)compress_number(s, "dim");
    double width = !strcmp(compress_text(s, "values"), "i8") ? 1 : !strcmp(compress_text(s, "values"), "f16") ? 2 : 4;
    books_shape best = {0};
    for (int64_t d = dim ? dim : 1; d <= (dim ? dim : VQ_MOST_DIM); d++) {
        if (!whole_code(s, d)) continue;
        books_shape p = shape_of(s, d, cols);
        double codes = (double)(books_lanes(&p, rows) * books_units(&p, cols) * p.planes * p.bits) / 8;
        if (!best.dim || (double)books_values(&p) * width <= compress_number(s, "share") * codes) best = p;
    }
    return best;
}

// ---- solving -------------------------------------------------------------------------------------

static int64_t turns_of(const compress_step *s) {
    static const int64_t usual[] = {1, 1, 200, 20};
    double given = compress_number(s, "turns");
    return given < 0 ? usual[solver_of(s)] : (int64_t)given;
}

enum { FIT_TURNS = 40, QUICK_TURNS = 10, SETTLE_PASSES = 6 }; // of least squares: to the end, between searches

// Books, scales and codes in turn; the search is wide only near the end, where it still finds what descent does not.
static bool alternate(const compress_step *s, books_work *b, base_err *err) {
    int64_t turns = turns_of(s), wide = (int64_t)compress_number(s, "beam"), changed;
    double last = INFINITY, now = INFINITY;
    for (int64_t t = 0, beam = 1; t < turns; t++) {
        if (!books_fit(b, QUICK_TURNS, &now, err)) return false;
        if (b->scaled) books_fit_scales(b, &now);
        if (!books_search(b, beam, &changed, err)) return false;
        if (now < last * (1 - 1e-3) && changed) {
            last = now;
            continue;
        }
        if (beam == wide) return true;
        beam = wide;
        last = INFINITY;
    }
    return true;
}

// Feedback is the better start where damping does not spoil it.
static bool start_codes(const compress_step *s, books_work *b, base_err *err) {
    size_t codes = (size_t)(b->lanes * b->units * b->shape.planes);
    double before = books_error(b);
    uint16_t *plain = base_big_alloc(codes, sizeof *plain, "codes of a layer", err);
    if (!plain) return false;
    memcpy(plain, b->codes, codes * sizeof *plain);
    bool ok = books_feedback(b, compress_number(s, "damp"), err);
    if (ok && books_error(b) > before) memcpy(b->codes, plain, codes * sizeof *plain);
    base_big_free(plain);
    return ok;
}

static bool solve(const compress_step *s, books_work *b, base_err *err) {
    double error;
    if (!books_start(b, (int64_t)compress_number(s, "iterations"), err)) return false;
    switch (solver_of(s)) {
    case VQ4DIT:
        return books_mix(b, (int64_t)compress_number(s, "candidates"), turns_of(s), &error, err) &&
               books_fit(b, FIT_TURNS, &error, err);
    case AQLM:
        return start_codes(s, b, err) && alternate(s, b, err);
    default:
        return !feeds_back(s) ||
               (start_codes(s, b, err) && (!turns_of(s) || books_fit(b, FIT_TURNS * turns_of(s), &error, err)));
    }
}

// ---- storing -------------------------------------------------------------------------------------

typedef struct stored {
    books_parts parts;
    float one; // the factor of i8 books without row scales
} stored;

// float16 keeps eleven bits from 6.1e-5 up to 65504.
static bool fits_f16(const float *x, int64_t n, float least) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most == 0 || (most >= least && most <= 65504);
}

static void round_scales(const compress_step *s, books_work *b, stored *out) {
    books_parts *p = &out->parts;
    const char *type = compress_text(s, "scales");
    float most = 0, least = INFINITY;
    for (int64_t r = 0; r < b->rows; r++) {
        most = b->scales[r] > most ? b->scales[r] : most;
        if (b->scales[r] > 0) least = b->scales[r] < least ? b->scales[r] : least;
    }
    p->scale_form = !strcmp(type, "e4m3") ? SCALE_E4M3 : SCALE_PLAIN;
    p->scale_dtype = !strcmp(type, "f16") && most <= 65504 && least >= 6.104e-5f ? NUM_F16 : NUM_F32;
    p->outer = most / 448;
    for (int64_t r = 0; r < b->rows; r++)
        b->scales[r] = scales_round(p->scale_form, p->scale_dtype, p->outer, b->scales[r]);
    p->scales = b->scales;
    p->scale_count = b->rows;
}

// Books in units of their largest value / 127; the scales take the unit.
static float normalise(books_work *b) {
    float most = 0;
    for (int64_t i = 0; i < b->values; i++) most = fabsf(b->book[i]) > most ? fabsf(b->book[i]) : most;
    float unit = most > 0 ? most / 127 : 1;
    for (int64_t i = 0; i < b->values; i++) b->book[i] /= unit;
    for (int64_t r = 0; r < b->rows; r++) b->scales[r] *= unit;
    return unit;
}

static num_dtype round_values(books_work *b, const char *type) {
    if (!strcmp(type, "i8")) {
        for (int64_t i = 0; i < b->values; i++) b->book[i] = rintf(fminf(fmaxf(b->book[i], -127), 127));
        return NUM_I8;
    }
    if (!strcmp(type, "f32") || !fits_f16(b->book, b->values, 1e-3f)) return NUM_F32;
    for (int64_t i = 0; i < b->values; i++) b->book[i] = num_f16_to_f32(num_f32_to_f16(b->book[i]));
    return NUM_F16;
}

// Scales as stored, books fitted to those and rounded, codes chosen for both.
static bool settle(const compress_step *s, books_work *b, stored *out, base_err *err) {
    books_parts *p = &out->parts;
    bool whole = !strcmp(compress_text(s, "values"), "i8");
    if (whole) out->one = normalise(b);
    if (b->scaled) {
        round_scales(s, b, out);
    } else if (whole) {
        p->scales = &out->one;
        p->scale_count = 1;
        p->scale_dtype = NUM_F32;
    }
    double error;
    if (solver_of(s) == AQLM && b->scaled && !books_fit(b, FIT_TURNS, &error, err)) return false;
    p->values = round_values(b, compress_text(s, "values"));
    p->shape = b->shape;
    p->codes = b->codes;
    p->book = b->book;
    if (solver_of(s) == KMEANS && !feeds_back(s)) return books_nearest(b, err);
    int64_t changed = solver_of(s) == AQLM;
    for (int pass = 0; changed && pass < SETTLE_PASSES; pass++)
        if (!books_search(b, (int64_t)compress_number(s, "beam"), &changed, err)) return false;
    return true;
}

static term *store(const compress_step *s, books_work *b, base_err *err) {
    stored out = {0};
    if (!settle(s, b, &out, err)) return NULL;
    const books_parts *p = &out.parts;
    // The plainest shape has a term of its own with less to say.
    if (p->shape.planes == 1 && p->shape.spaces == 1 && !p->shape.down && !p->scale_count)
        return term_vq_new(b->rows, b->cols, p->shape.dim, p->shape.bits, b->codes, b->book, p->values, err);
    return term_books_new(b->rows, b->cols, p, err);
}

static void count_used(const books_work *b, int64_t *used, int64_t *all) {
    int64_t per_space = b->shape.planes << b->shape.bits;
    *all += b->shape.spaces * per_space;
    uint8_t *seen = base_calloc((size_t)(b->shape.spaces * per_space), 1);
    for (int64_t lane = 0; lane < b->lanes; lane++)
        for (int64_t u = 0; u < b->units; u++)
            for (int64_t m = 0; m < b->shape.planes; m++) {
                int64_t book = books_space(&b->shape, u, b->units) * b->shape.planes + m;
                uint16_t code = b->codes[(lane * b->units + u) * b->shape.planes + m];
                uint8_t *one = seen + (book << b->shape.bits) + code;
                *used += !*one;
                *one = 1;
            }
    free(seen);
}

// A matrix to be coded with one set of books: a layer's, or some of its columns.
typedef struct part {
    const float *r, *h; // [rows x cols]; [groups x cols x cols], or as the layer's when diagonal
    int64_t cols;
    float *q; // [rows x cols] what was stored
} part;
typedef struct figures {
    int64_t used, all; // vectors
} figures;

static term *make_term(const compress_step *s, layer *l, const part *a, figures *f, base_err *err) {
    books_work b = {.layer = l->name,
                    .job = l->job,
                    .seed = l->seed,
                    .r = a->r,
                    .rows = l->rows,
                    .cols = a->cols,
                    .groups = l->groups,
                    .h = needs(s) ? a->h : NULL,
                    .diagonal = l->diagonal,
                    .shape = choose_shape(s, l->rows, a->cols),
                    .scaled = is(s, "scale", "row", solver_of(s) == AQLM)};
    term *t = NULL;
    if (b.rows * b.cols > INT32_MAX)
        base_fail(err, "vq: a layer of %lld weights is too large", (long long)(b.rows * b.cols));
    else if (books_open(&b, err) && solve(s, &b, err))
        t = store(s, &b, err);
    if (t) {
        count_used(&b, &f->used, &f->all);
        memset(a->q, 0, (size_t)(b.rows * b.cols) * sizeof *a->q);
        if (!(l->damping > b.damping)) l->damping = b.damping; // NaN at first
        if (!term_decode(t, a->q, err)) {
            term_free(t);
            t = NULL;
        }
    }
    books_close(&b);
    return t;
}

// ---- outlier columns -----------------------------------------------------------------------------

typedef struct split {
    layer *l;
    const float *r;    // [rows x cols]
    int64_t outliers;  // columns
    int64_t *col;      // [cols] the outlier columns, rising, then the others, rising
    uint8_t *class;    // [cols] 0 for outlier columns, 1 for others
    part wide, narrow; // outlier columns; the others
    float *room;
} split;

static double column_score(const layer *l, const float *r, const float *h, int64_t col) {
    double sum = 0;
    for (int64_t g = 0; h && !l->diagonal && g < l->groups; g++) sum += (double)h[(g * l->cols + col) * l->cols + col];
    for (int64_t i = 0; (!h || l->diagonal) && i < l->rows; i++)
        sum += (double)r[i * l->cols + col] * (double)r[i * l->cols + col];
    return sum;
}

// The columns of the largest inputs (largest weights where the inputs are not known); of equal ones the first.
static void choose_columns(split *p, const float *h) {
    int64_t cols = p->l->cols, other = p->outliers, out = 0;
    double *score = base_calloc((size_t)cols, sizeof *score);
    memset(p->class, 1, (size_t)cols);
    for (int64_t c = 0; c < cols; c++) score[c] = column_score(p->l, p->r, h, c);
    for (int64_t k = 0; k < p->outliers; k++) {
        int64_t best = -1;
        for (int64_t c = 0; c < cols; c++)
            if (p->class[c] && (best < 0 || score[c] > score[best])) best = c;
        p->class[best] = 0;
    }
    for (int64_t c = 0; c < cols; c++) p->col[p->class[c] ? other++ : out++] = c;
    free(score);
}

static void copy_columns(const float *from, int64_t rows, int64_t ld, const int64_t *col, int64_t n, float *to) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) to[r * n + i] = from[r * ld + col[i]];
}

static bool open_split(split *p, const float *h, base_err *err) {
    const layer *l = p->l;
    int64_t k = p->outliers, n = l->cols - k;
    bool full = h && !l->diagonal;
    size_t values = (size_t)(2 * l->rows * l->cols), squares = full ? (size_t)(l->groups * (k * k + n * n)) : 0;
    p->col = base_big_alloc((size_t)l->cols, sizeof *p->col, "outlier columns", err);
    p->class = p->col ? base_big_alloc((size_t)l->cols, 1, "outlier columns", err) : NULL;
    p->room = p->class ? base_big_alloc(values + squares, sizeof *p->room, "outlier columns", err) : NULL;
    if (!p->room) return false;
    choose_columns(p, h);
    float *wide = p->room, *narrow = wide + 2 * l->rows * k, *hw = p->room + values, *hn = hw + l->groups * k * k;
    copy_columns(p->r, l->rows, l->cols, p->col, k, wide);
    copy_columns(p->r, l->rows, l->cols, p->col + k, n, narrow);
    for (int64_t g = 0; full && g < l->groups; g++)
        for (int64_t i = 0; i < l->cols; i++) {
            const float *row = h + (g * l->cols + p->col[i]) * l->cols;
            if (i < k)
                copy_columns(row, 1, 0, p->col, k, hw + (g * k + i) * k);
            else
                copy_columns(row, 1, 0, p->col + k, n, hn + (g * n + i - k) * n);
        }
    p->wide = (part){wide, full ? hw : h, k, wide + l->rows * k};
    p->narrow = (part){narrow, full ? hn : h, n, narrow + l->rows * n};
    return true;
}

// The other columns make up for what the outlier columns got wrong: R += E H_on H_nn^-1 (H_nn damped).
static bool compensate(const compress_step *s, split *p, int64_t g, const float *h, base_err *err) {
    layer *l = p->l;
    int64_t k = p->wide.cols, n = p->narrow.cols, rows = l->rows / l->groups, first = g * rows;
    double *u = base_big_alloc((size_t)(n * n), sizeof *u, "a factorisation in float64", err), damping;
    double *x = u ? base_big_alloc((size_t)(n * rows), sizeof *x, "a factorisation in float64", err) : NULL;
    bool ok =
        x && damped_cholesky(l->name, n, p->narrow.h + g * n * n, compress_number(s, "damp"), u, &damping, l->job, err);
    for (int64_t i = 0; ok && i < n; i++)
        for (int64_t r = 0; r < rows; r++) {
            double sum = 0;
            for (int64_t j = 0; j < k; j++) {
                int64_t at = (first + r) * k + j;
                sum += ((double)p->wide.r[at] - (double)p->wide.q[at]) *
                       (double)h[(g * l->cols + p->col[j]) * l->cols + p->col[k + i]];
            }
            x[i * rows + r] = sum;
        }
    if (ok) {
        num_dtrsm(true, n, rows, u, n, x, rows);
        num_dtrsm(false, n, rows, u, n, x, rows);
        float *target = p->room + 2 * l->rows * k + first * n;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < n; i++) target[r * n + i] += (float)x[i * rows + r];
    }
    base_big_free(u);
    base_big_free(x);
    return ok;
}

// Both parts as one term; the figures count both.
static term *make_split(const compress_step *s, layer *l, const float *r, const float *h, int64_t outliers, figures *f,
                        base_err *err) {
    split p = {.l = l, .r = r, .outliers = outliers};
    term *t = NULL;
    bool ok = open_split(&p, h, err) &&
              (t = term_mixed_new(l->rows, l->cols, MIXED_COLUMNS, 1, 2, false, p.class, err)) &&
              term_mixed_add(t, make_term(s, l, &p.wide, f, err), err);
    bool full = h && !l->diagonal && (solver_of(s) != KMEANS || feeds_back(s));
    for (int64_t g = 0; full && ok && g < l->groups; g++) ok = compensate(s, &p, g, h, err);
    ok = ok && term_mixed_add(t, make_term(s, l, &p.narrow, f, err), err);
    base_big_free(p.col);
    base_big_free(p.class);
    base_big_free(p.room);
    if (ok) return t;
    term_free(t);
    return NULL;
}

// ---- the step ------------------------------------------------------------------------------------

// What was reached beside what a Gaussian source allows at these bytes.
static void describe(layer *l, const term *t, const float *r, const float *q, const figures *f) {
    int64_t n = l->rows * l->cols;
    double bits = 8 * (double)term_bytes(t) / (double)n, norm = num_sum_squares(r, (size_t)n);
    t->kind->describe(t, &l->did);
    base_buf_printf(&l->did, ", %lld of %lld vectors used", (long long)f->used, (long long)f->all);
    if (norm > 0)
        base_buf_printf(&l->did, ", distortion %.3g where a Gaussian has %.3g at %.3g bits",
                        num_diff_squares(r, q, (size_t)n) / norm, pow(2, -2 * bits), bits);
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    if (l->mask)
        return base_fail(err, "vq codes whole runs of weights and would not keep pruned ones at 0; codebook{} does");
    size_t n = (size_t)(l->rows * l->cols);
    int64_t outliers = (int64_t)ceil(compress_number(s, "outliers") * (double)l->cols);
    const float *r, *h = needs(s) ? l->h : NULL;
    float *owned, *q = NULL;
    figures f = {0};
    term *t = NULL;
    if (layer_target(l, &r, &owned, err) && (q = base_big_alloc(n, sizeof *q, "a layer as stored", err))) {
        part whole = {r, h, l->cols, q};
        t = outliers && outliers < l->cols ? make_split(s, l, r, h, outliers, &f, err)
                                           : make_term(s, l, &whole, &f, err);
    }
    if (t) memset(q, 0, n * sizeof *q);
    bool ok = t && term_decode(t, q, err);
    if (ok) describe(l, t, r, q, &f);
    base_big_free(owned);
    base_big_free(q);
    if (ok) return layer_put_values(l, t, err);
    term_free(t);
    return false;
}

const compress_step_kind step_vq = {
    .name = "vq",
    .help = "codes into books of vectors, a code a run of neighbouring weights and book",
    .about =
        "w_run ~ scale_row sum_m book_m[code_m] for runs of dim neighbours; books have 2^(dim bits / planes) vectors.\n"
        "kmeans   k-means++ start, Lloyd's turns; an error counts by the diagonal of H (weight=\"hessian\") or alike;\n"
        "         stage by stage when there are several planes. feedback=\"ldlq\": then codes as vptq finds them\n"
        "vptq     codes column by column with the errors carried to the columns to come (as gptq), then books by "
        "least\n"
        "         squares under the whole H\n"
        "vq4dit   candidates mixed by learned ratios on the output error\n"
        "aqlm     beam search over codes and least-squares books and scales in turn, both under the whole H\n"
        "spaces: stretches of a row with books of their own. outliers: the columns of the largest inputs are coded\n"
        "apart. The step says how many vectors are used and its distortion beside D(R). A further vq codes the\n"
        "remainder (residual): rule(\".*\", vq{bits=1}, vq{bits=1}). Not after prune.",
    .source = "VPTQ (arXiv 2409.17066), VQ4DiT (arXiv 2408.17131), AQLM (arXiv 2401.06118); k-means++: Arthur and "
              "Vassilvitskii, SODA 2007",
    .cost = "kmeans: no data, or calibration inputs; weights 2^(dim bits) operations a turn; the others: calibration "
            "inputs, out in^2 operations a turn",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
};
