// prune_select: which weights go - selection by counting, ranks within rows and runs, and the criteria that only choose
// (magnitude, wanda). Criteria that also change the kept weights are in prune_update.c.
#include "compress/steps/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Magnitudes ordered as integers: the bits of |score|, above 0 so that entries already pruned come before a true zero.
static inline uint32_t key_of(float score, uint8_t alive) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return alive ? (bits & 0x7fffffffu) + 1 : 0;
}

// Selection by counting: a histogram of the keys' upper bits finds the bin the cut falls into, and the few keys of that
// bin are counted by the next bits, three times in all (11 + 11 + 10 bits).
typedef struct cut {
    uint32_t key; // entries with a smaller key go
    int64_t ties; // and so many of those equal to it, in order
} cut;

enum { BINS = 2048 };
static const int cut_shift[3] = {21, 10, 0};

typedef struct key_source {
    const float *const *score;
    const uint8_t *const *alive; // NULL: all are
    const int64_t *n;
    int parts;
} key_source;

static void count_part(const float *score, const uint8_t *alive, int64_t n, int level, uint32_t prefix, int64_t *bins) {
    int shift = cut_shift[level];
    uint32_t mask = level == 2 ? 1023 : BINS - 1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t key = key_of(score[i], alive ? alive[i] : 1);
        if (level == 0)
            bins[key >> shift]++;
        else if (key >> cut_shift[level - 1] == prefix)
            bins[key >> shift & mask]++;
    }
}

static cut find_cut(const key_source *s, int64_t count) {
    uint32_t prefix = 0;
    int64_t below = 0;
    for (int level = 0; level < 3; level++) {
        int64_t bins[BINS] = {0};
        for (int p = 0; p < s->parts; p++)
            count_part(s->score[p], s->alive ? s->alive[p] : NULL, s->n[p], level, prefix, bins);
        uint32_t b = 0, last = level == 2 ? 1023 : BINS - 1;
        while (b < last && below + bins[b] <= count) below += bins[b++];
        prefix = prefix << (level == 0 ? 0 : cut_shift[level - 1] - cut_shift[level]) | b;
    }
    return (cut){prefix, count - below};
}

BASE_CLONES static void clear_below(const float *score, int64_t n, uint32_t key, uint8_t *mask) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &score[i], sizeof bits);
        mask[i] &= (bits & 0x7fffffffu) + 1 >= key;
    }
}

BASE_CLONES static bool all_alive(const uint8_t *mask, int64_t n) {
    for (int64_t from = 0; from < n; from += 4096) {
        uint8_t all = 1;
        int64_t end = n - from < 4096 ? n : from + 4096;
        for (int64_t i = from; i < end; i++) all &= mask[i];
        if (!all) return false;
    }
    return true;
}

void prune_select(const float *score, int64_t n, int64_t count, uint8_t *mask) {
    if (count <= 0) return;
    if (count >= n) {
        memset(mask, 0, (size_t)n);
        return;
    }
    if (all_alive(mask, n)) {
        num_keep_largest(score, n, count, &(num_kept){.mask = mask});
        return;
    }
    const uint8_t *alive = mask;
    cut c = find_cut(&(key_source){&score, &alive, &n, 1}, count);
    clear_below(score, n, c.key, mask);
    for (int64_t i = 0; i < n && c.ties > 0; i++)
        if (mask[i] && key_of(score[i], 1) == c.key) {
            mask[i] = 0;
            c.ties--;
        }
}

void prune_global_counts(const float *const *w, const int64_t *n, int layers, double fraction, int64_t *counts) {
    int64_t total = 0;
    for (int l = 0; l < layers; l++) total += n[l];
    int64_t count = (int64_t)floor((double)total * fraction);
    if (count >= total) {
        for (int l = 0; l < layers; l++) counts[l] = n[l];
        return;
    }
    cut c = find_cut(&(key_source){w, NULL, n, layers}, count);
    for (int l = 0; l < layers; l++) {
        counts[l] = 0;
        for (int64_t i = 0; i < n[l]; i++) {
            uint32_t key = key_of(w[l][i], 1);
            counts[l] += key < c.key || (key == c.key && c.ties-- > 0);
        }
    }
}

// One run: an entry goes when fewer than `drop` come before it, smaller ones and of equal ones those in front.
static inline void prune_run(const float *score, int64_t run, int64_t drop, uint8_t *keep) {
    uint32_t key[256];
    for (int64_t i = 0; i < run; i++) key[i] = key_of(score[i], keep[i]);
    for (int64_t i = 0; i < run; i++) {
        int64_t before = 0;
        for (int64_t j = 0; j < i; j++) before += key[j] <= key[i];
        for (int64_t j = i + 1; j < run; j++) before += key[j] < key[i];
        keep[i] = keep[i] & (before >= drop);
    }
}

static void prune_row_runs(const float *score, int64_t cols, int64_t n, int64_t m, uint8_t *keep) {
    int64_t c = 0;
    // Lengths known to the compiler: a run is then a few comparisons without a branch.
    for (; m == 4 && c + 4 <= cols; c += 4) prune_run(score + c, 4, 4 - n, keep + c);
    for (; m == 8 && c + 8 <= cols; c += 8) prune_run(score + c, 8, 8 - n, keep + c);
    for (; c < cols; c += m) {
        int64_t run = cols - c < m ? cols - c : m;
        prune_run(score + c, run, run - n, keep + c);
    }
}

void prune_runs(const float *score, int64_t rows, int64_t cols, int64_t n, int64_t m, uint8_t *mask) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (rows * cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < rows; r++) prune_row_runs(score + r * cols, cols, n, m, mask + r * cols);
}

// ---- rows ------------------------------------------------------------------------------------------

void prune_rows(const float *score, int64_t rows, int64_t cols, double sparsity, uint8_t *mask) {
    int64_t count = (int64_t)((double)cols * sparsity);
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (rows * cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < rows; r++) prune_select(score + r * cols, cols, count, mask + r * cols);
}

// ---- wanda -----------------------------------------------------------------------------------------

BASE_CLONES static void score_row(const float *w, const float *norm, int64_t cols, float *score) {
    for (int64_t c = 0; c < cols; c++) score[c] = fabsf(w[c]) * norm[c];
}

void prune_wanda_scores(const float *w, const float *norm, int64_t rows, int64_t cols, float *score) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (rows * cols > TERM_PARALLEL)
#endif
    for (int64_t r = 0; r < rows; r++) score_row(w + r * cols, norm, cols, score + r * cols);
}

static num_kept row_of(const num_kept *all, int64_t r, int64_t cols, int64_t stay) {
    return (num_kept){all->mask + r * cols, all->bits ? all->bits + r * cols / 8 : NULL,
                      all->values ? all->values + r * stay : NULL};
}

void prune_wanda_rows(const float *w, const float *norm, int64_t rows, int64_t cols, double sparsity, bool first,
                      const num_kept *out) {
    int64_t count = (int64_t)((double)cols * sparsity);
#ifdef _OPENMP
#pragma omp parallel if (rows * cols > TERM_PARALLEL)
#endif
    {
        float *score = base_calloc((size_t)cols, sizeof *score);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (int64_t r = 0; r < rows; r++) {
            const num_kept row = row_of(out, r, cols, cols - count);
            if (first) {
                num_keep_largest_by(w + r * cols, norm, cols, count, score, &row);
                continue;
            }
            score_row(w + r * cols, norm, cols, score);
            prune_select(score, cols, count, row.mask);
        }
        free(score);
    }
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

// The scores of each row in rising order, their running sums, and the sum before anything goes.
typedef struct row_sums {
    int64_t rows, cols;
    const float *score;
    float *sorted, *running; // [rows x cols]
    float *total;            // [rows]
} row_sums;

static void sum_row(const row_sums *s, int64_t r) {
    float *sorted = s->sorted + r * s->cols, *running = s->running + r * s->cols;
    memcpy(sorted, s->score + r * s->cols, (size_t)s->cols * sizeof *sorted);
    qsort(sorted, (size_t)s->cols, sizeof *sorted, rising);
    double sum = 0;
    for (int64_t c = 0; c < s->cols; c++) running[c] = (float)(sum += (double)sorted[c]);
    s->total[r] = (float)sum;
}

// The largest score that goes from row r when its share of the sum is alpha; -1: none.
static float row_threshold(const row_sums *s, int64_t r, double alpha) {
    const float *running = s->running + r * s->cols;
    float limit = s->total[r] * (float)alpha;
    int64_t low = 0, high = s->cols;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (running[mid] <= limit)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? s->sorted[r * s->cols + low - 1] : -1;
}

static double share_gone(const row_sums *s, double alpha) {
    int64_t gone = 0;
    for (int64_t r = 0; r < s->rows; r++) {
        float t = row_threshold(s, r, alpha);
        for (int64_t c = 0; c < s->cols; c++) gone += s->score[r * s->cols + c] <= t;
    }
    return (double)gone / (double)(s->rows * s->cols);
}

bool prune_wanda_variant(const float *score, int64_t rows, int64_t cols, double sparsity, uint8_t *mask,
                         base_err *err) {
    row_sums s = {.rows = rows, .cols = cols, .score = score};
    s.sorted = base_big_alloc((size_t)(2 * rows * cols), sizeof *s.sorted, "sorted scores of weights", err);
    if (!s.sorted) return false;
    s.running = s.sorted + rows * cols;
    s.total = base_calloc((size_t)rows, sizeof *s.total);
    for (int64_t r = 0; r < rows; r++) sum_row(&s, r);
    // The authors' bisection: from 0.4 between 0 and 0.8, until the sparsity is met within 0.001.
    double alpha = 0.4, low = 0, high = 0.8, now = share_gone(&s, alpha);
    while (fabs(now - sparsity) > 0.001 && high - low >= 0.001) {
        if (now > sparsity)
            high = alpha;
        else
            low = alpha;
        alpha = (low + high) / 2;
        now = share_gone(&s, alpha);
    }
    for (int64_t r = 0; r < rows; r++) {
        float t = row_threshold(&s, r, alpha);
        for (int64_t c = 0; c < cols; c++)
            if (score[r * cols + c] <= t) mask[r * cols + c] = 0;
    }
    base_big_free(s.sorted);
    free(s.total);
    return true;
}

// ---- criteria that only choose -----------------------------------------------------------------------

static bool pattern(const prune_work *p, const float *score) {
    int64_t m = (int64_t)compress_number(p->step, "m");
    if (m) prune_runs(score, p->l->rows, p->l->cols, (int64_t)compress_number(p->step, "n"), m, p->mask);
    return m > 0;
}

static bool has_units(const prune_work *p) {
    prune_unit u;
    return prune_unit_of(p->step, p->l->rows, p->l->cols, p->l->groups, &u);
}

// The mask is there before anything is chosen, unless the choice writes all of it.
static void start_mask(prune_work *p) {
    if (p->first) memset(p->mask, 1, (size_t)(p->l->rows * p->l->cols));
    p->first = false;
}

// Where the mask as bits and the kept weights go while they are chosen; NULL: they are made later. Bits where no other
// form of the positions can be smaller (lists take a byte a weight at least), or none is asked for; a row of `width`
// weights that are written apart must start on a byte.
static bool rooms(prune_work *p, int64_t kept, int64_t width, num_kept *out, base_err *err) {
    int64_t rows = p->l->rows, cols = p->l->cols;
    const char *format = compress_text(p->step, "format");
    *out = (num_kept){.mask = p->mask};
    if (width % 8 == 0 && (!strcmp(format, "bitmap") || (!strcmp(format, "auto") && kept >= (rows * cols + 7) / 8))) {
        p->positions = positions_bitmap(rows, cols, &out->bits, err);
        if (!p->positions) return false;
    }
    if (!p->gather || kept == 0) return true;
    p->kept = term_new(&term_dense, rows, cols);
    p->kept->stored = kept;
    out->values = term_blob_room(p->kept, 0, NUM_F32, kept, err);
    return out->values != NULL;
}

bool prune_by_magnitude(prune_work *p, base_err *err) {
    if (has_units(p) || compress_number(p->step, "m") > 0) start_mask(p);
    if (has_units(p)) return prune_by_score(p, err);
    int64_t total = p->l->rows * p->l->cols;
    if (pattern(p, p->target)) return true;
    int64_t count = p->l->planned ? *(const int64_t *)p->l->planned
                                  : (int64_t)floor((double)total * compress_number(p->step, "sparsity"));
    if (!p->first) {
        prune_select(p->target, total, count, p->mask);
        return true;
    }
    num_kept out;
    if (!rooms(p, total - (count < total ? count : total), 8, &out, err)) return false;
    num_keep_largest(p->target, total, count, &out);
    return true;
}

bool prune_by_wanda(prune_work *p, base_err *err) {
    if (has_units(p) || compress_number(p->step, "m") > 0 || compress_number(p->step, "variant") != 0) start_mask(p);
    if (has_units(p)) return prune_by_score(p, err);
    const layer *l = p->l;
    int64_t rows = l->rows, cols = l->cols, groups = l->diagonal ? 1 : l->groups, per = rows / groups;
    double sparsity = compress_number(p->step, "sparsity");
    bool plain = compress_number(p->step, "m") == 0 && compress_number(p->step, "variant") == 0, ok = true;
    float *score = plain ? NULL : base_big_alloc((size_t)(rows * cols), sizeof *score, "scores of weights", err);
    if (!plain && !score) return false;
    int64_t stay = cols - (int64_t)((double)cols * sparsity); // of every row
    num_kept out = {.mask = p->mask};
    if (plain && p->first && !rooms(p, rows * stay, cols, &out, err)) return false;
    float *norm = base_calloc((size_t)cols, sizeof *norm);
    for (int64_t g = 0; g < groups; g++) {
        int64_t at = g * per * cols;
        // An embedding's row has one input norm for all its weights, which does not change their order.
        for (int64_t c = 0; c < cols; c++)
            norm[c] =
                l->diagonal ? 1 : sqrtf(l->h[(g * cols + c) * cols + c] > 0 ? l->h[(g * cols + c) * cols + c] : 0);
        const num_kept part = row_of(&out, g * per, cols, stay);
        if (plain)
            prune_wanda_rows(p->target + at, norm, per, cols, sparsity, p->first, &part);
        else
            prune_wanda_scores(p->target + at, norm, per, cols, score + at);
    }
    if (!plain && !pattern(p, score)) ok = prune_wanda_variant(score, rows, cols, sparsity, p->mask, err);
    free(norm);
    base_big_free(score);
    return ok;
}
