// The arithmetic of a layer's page: histograms on one axis, tiles of magnitudes, outliers, kept rows, singular values,
// the second moment of the inputs. Runs on a task's thread.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/look.h"

enum { BLOCK = 1 << 20 }; // values between looks at the cancel flag

// ---- one pass for the axis -----------------------------------------------------------------------------

static bool stats_of(const float *x, int64_t n, look_stats *s, base_job *job, base_err *err) {
    double sum = 0, squares = 0;
    int64_t finite = 0;
    *s = (look_stats){.low = INFINITY, .high = -INFINITY};
    for (int64_t i = 0; i < n; i++) {
        if (i % BLOCK == 0 && !base_go_on(job, err)) return false;
        if (!isfinite(x[i])) {
            s->bad++;
            continue;
        }
        double v = x[i];
        finite++;
        sum += v;
        s->zeros += v == 0;
        s->low = fmin(s->low, v);
        s->high = fmax(s->high, v);
    }
    if (!finite) {
        s->mean = s->sigma = s->low = s->high = NAN;
        return true;
    }
    s->mean = sum / (double)finite;
    for (int64_t i = 0; i < n; i++) {
        double d = x[i] - s->mean;
        if (isfinite(d)) squares += d * d;
    }
    s->sigma = sqrt(squares / (double)finite);
    return base_go_on(job, err);
}

static int bin_of(const look_figures *f, double v) {
    if (!(f->high > f->low)) return LOOK_BINS / 2;
    int at = (int)((v - f->low) / (f->high - f->low) * LOOK_BINS);
    return at < 0 ? 0 : at >= LOOK_BINS ? LOOK_BINS - 1 : at;
}

static void count_bins(const look_figures *f, const float *x, int64_t n, int64_t *bins) {
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) bins[bin_of(f, x[i])]++;
}

// ---- tiles -----------------------------------------------------------------------------------------------

static bool map_new(look_map *m, int64_t rows, int64_t cols, base_err *err) {
    m->rows = rows < LOOK_TILES ? (int)rows : LOOK_TILES;
    m->cols = cols < LOOK_TILES ? (int)cols : LOOK_TILES;
    size_t n = (size_t)m->rows * (size_t)m->cols;
    m->most = base_big_alloc(n, sizeof(float), "the map of a layer", err);
    m->mean = m->most ? base_big_alloc(n, sizeof(float), "the map of a layer", err) : NULL;
    return m->mean != NULL;
}

// The tile of row i of n in m tiles, such that each tile has some.
static int tile_of(int64_t i, int64_t n, int m) {
    return (int)(i * m / n);
}

// |a| or |a - b| into tiles. NaN counts as nothing.
static bool map_fill(look_map *m, const float *a, const float *b, int64_t rows, int64_t cols, base_job *job,
                     base_err *err) {
    size_t tiles = (size_t)m->rows * (size_t)m->cols;
    double *sum = base_calloc(tiles, sizeof *sum);
    int64_t *count = base_calloc(tiles, sizeof *count), seen = 0;
    bool ok = true;
    for (int64_t i = 0; ok && i < rows; i++) {
        int tr = tile_of(i, rows, m->rows);
        for (int64_t j = 0; j < cols; j++) {
            double v = fabs(b ? (double)a[i * cols + j] - b[i * cols + j] : (double)a[i * cols + j]);
            size_t t = (size_t)tr * (size_t)m->cols + (size_t)tile_of(j, cols, m->cols);
            if (isnan(v)) continue;
            if (v > m->most[t]) m->most[t] = (float)v;
            sum[t] += v;
            count[t]++;
        }
        seen += cols;
        if (seen >= BLOCK) ok = base_go_on(job, err), seen = 0;
    }
    for (size_t t = 0; t < tiles; t++) {
        m->mean[t] = count[t] ? (float)(sum[t] / (double)count[t]) : NAN;
        if (!count[t]) m->most[t] = NAN;
    }
    free(sum);
    free(count);
    return ok;
}

void look_shrink(const look_map *m, bool mean, int rows, int cols, float *out) {
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++) {
            int y0 = (int)((int64_t)y * m->rows / rows), y1 = (int)((int64_t)(y + 1) * m->rows / rows);
            int x0 = (int)((int64_t)x * m->cols / cols), x1 = (int)((int64_t)(x + 1) * m->cols / cols), n = 0;
            double all = mean ? 0 : -1;
            for (int i = y0; i < (y1 > y0 ? y1 : y0 + 1); i++)
                for (int j = x0; j < (x1 > x0 ? x1 : x0 + 1); j++) {
                    double v = (mean ? m->mean : m->most)[i * m->cols + j];
                    if (isnan(v)) continue;
                    all = mean ? all + v : fmax(all, v);
                    n++;
                }
            out[y * cols + x] = n ? (float)(mean ? all / n : all) : NAN;
        }
}

// A bin that lies over several columns is shared out by how much of it lies over each, so that no comb appears.
void look_gather(const int64_t *from, int bins, double *out, int count) {
    for (int i = 0; i < count; i++) out[i] = 0;
    for (int k = 0; k < bins; k++) {
        double a = (double)k * count / bins, b = (double)(k + 1) * count / bins;
        for (int i = (int)a; i < count && i < b; i++)
            out[i] += (double)from[k] * (fmin(b, i + 1) - fmax(a, i)) / (b - a);
    }
}

// ---- outliers and rows -----------------------------------------------------------------------------------

// The farthest from the mean, farthest first; equal ones in the order of the matrix.
static void note_outlier(look_figures *f, const look_outlier *o) {
    int at = f->outlier_count;
    if (at == LOOK_OUTLIERS && o->sigmas <= f->outlier[at - 1].sigmas) return;
    if (at == LOOK_OUTLIERS) at--;
    while (at > 0 && f->outlier[at - 1].sigmas < o->sigmas) {
        f->outlier[at] = f->outlier[at - 1];
        at--;
    }
    f->outlier[at] = *o;
    if (f->outlier_count < LOOK_OUTLIERS) f->outlier_count++;
}

static bool find_outliers(look_figures *f, const float *w, const float *wc, base_job *job, base_err *err) {
    if (!(f->before.sigma > 0)) return true;
    for (int64_t i = 0; i < f->rows * f->cols; i++) {
        if (i % BLOCK == 0 && !base_go_on(job, err)) return false;
        double far = fabs(w[i] - f->before.mean) / f->before.sigma;
        for (int k = 0; k < 4; k++) f->beyond[k] += far > k + 3;
        if (far > 2 && isfinite(far)) {
            look_outlier o = {i / f->cols, i % f->cols, w[i], wc ? wc[i] : NAN, far};
            note_outlier(f, &o);
        }
    }
    return true;
}

static bool keep_rows(look_figures *f, const float *w, const float *wc, base_err *err) {
    int64_t most = LOOK_ROW_VALUES / (f->cols > 0 ? f->cols : 1);
    if (most < 1) most = 1;
    f->row_step = (f->rows + most - 1) / most;
    if (f->row_step < 1) f->row_step = 1;
    f->row_count = (f->rows + f->row_step - 1) / f->row_step;
    size_t n = (size_t)(f->row_count * f->cols), bytes = (size_t)f->cols * sizeof(float);
    f->row_before = base_big_alloc(n, sizeof(float), "rows of a layer", err);
    if (f->row_before && wc) f->row_after = base_big_alloc(n, sizeof(float), "rows of a layer", err);
    if (!f->row_before || (wc && !f->row_after)) return false;
    for (int64_t i = 0; i < f->row_count; i++) {
        memcpy(f->row_before + i * f->cols, w + i * f->row_step * f->cols, bytes);
        if (wc) memcpy(f->row_after + i * f->cols, wc + i * f->row_step * f->cols, bytes);
    }
    return true;
}

static int by_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

int look_levels(const float *row, int64_t count, float *level, int64_t *uses, int most) {
    float *sorted = base_calloc((size_t)count + 1, sizeof *sorted);
    int64_t finite = 0;
    int n = 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(row[i])) sorted[finite++] = row[i] + 0.0f; // -0 and 0 are one level
    qsort(sorted, (size_t)finite, sizeof *sorted, by_float);
    for (int64_t i = 0; i < finite; i++) {
        if (n && sorted[i] == level[n - 1]) {
            uses[n - 1]++;
            continue;
        }
        if (n == most) break;
        level[n] = sorted[i];
        uses[n++] = 1;
    }
    free(sorted);
    return n;
}

// ---- all of it -------------------------------------------------------------------------------------------

bool look_figure(look_figures *f, const float *before, const float *after, base_job *job, base_err *err) {
    int64_t n = f->rows * f->cols;
    f->has_after = after != NULL;
    bool ok = stats_of(before, n, &f->before, job, err) && (!after || stats_of(after, n, &f->after, job, err));
    if (!ok) return false;
    f->low = after ? fmin(f->before.low, f->after.low) : f->before.low;
    f->high = after ? fmax(f->before.high, f->after.high) : f->before.high;
    count_bins(f, before, n, f->bins_before);
    if (!base_go_on(job, err)) return false;
    if (after) count_bins(f, after, n, f->bins_after);
    double reference = num_sum_squares(before, (size_t)n);
    f->weight_error = after && reference > 0 ? num_diff_squares(before, after, (size_t)n) / reference : NAN;
    ok = map_new(&f->weight, f->rows, f->cols, err) && map_fill(&f->weight, before, NULL, f->rows, f->cols, job, err);
    if (ok && after)
        ok =
            map_new(&f->error, f->rows, f->cols, err) && map_fill(&f->error, before, after, f->rows, f->cols, job, err);
    return ok && find_outliers(f, before, after, job, err) && keep_rows(f, before, after, err);
}

void look_figures_free(look_figures *f) {
    base_big_free(f->weight.most);
    base_big_free(f->weight.mean);
    base_big_free(f->error.most);
    base_big_free(f->error.mean);
    base_big_free(f->row_before);
    base_big_free(f->row_after);
    for (int i = 0; i < f->code_count; i++) free((void *)(uintptr_t)f->codes[i].use);
    for (int i = 0; i < 3; i++) free(f->spectrum[i]);
    free(f->diagonal);
    free(f->eigen);
    *f = (look_figures){0};
}

// ---- singular values -------------------------------------------------------------------------------------

// Eigenvalues of a symmetric matrix, falling; destroyed.
static bool eigen_down(int64_t n, double *a, double *w, base_err *err) {
    if (!num_deigh(n, a, w, NULL, err)) return false;
    for (int64_t i = 0; i < n / 2; i++) {
        double t = w[i];
        w[i] = w[n - 1 - i];
        w[n - 1 - i] = t;
    }
    return true;
}

// Of every step-th row and column of x - y; y NULL: of x.
static double *singular_values(const float *x, const float *y, int64_t cols, const int64_t step[2],
                               const int64_t size[2], base_err *err) {
    int64_t m = size[0], n = size[1], k = m < n ? m : n;
    double *a = base_big_alloc((size_t)(m * n), sizeof *a, "a layer's values", err);
    double *g = a ? base_big_alloc((size_t)(k * k), sizeof *g, "a layer's Gram matrix", err) : NULL;
    double *s = base_calloc((size_t)k + 1, sizeof *s);
    bool ok = g != NULL;
    for (int64_t i = 0; ok && i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t at = i * step[0] * cols + j * step[1];
            a[i * n + j] = y ? (double)x[at] - y[at] : (double)x[at];
            if (!isfinite(a[i * n + j])) a[i * n + j] = 0;
        }
    if (ok && m <= n) num_dgemm(false, true, m, m, n, 1, a, n, a, n, 0, g, m);
    if (ok && m > n) num_dgemm(true, false, n, n, m, 1, a, n, a, n, 0, g, n);
    ok = ok && eigen_down(k, g, s, err);
    for (int64_t i = 0; ok && i < k; i++) s[i] = sqrt(fmax(s[i], 0));
    base_big_free(a);
    base_big_free(g);
    if (ok) return s;
    free(s);
    return NULL;
}

bool look_spectrum(look_figures *f, const float *before, const float *after, base_job *job, base_err *err) {
    int64_t step[2] = {1, 1}, size[2] = {f->rows, f->cols};
    int small = f->rows <= f->cols ? 0 : 1;
    if (size[small] > LOOK_SPECTRUM) {
        for (int d = 0; d < 2; d++) {
            step[d] = (size[d] + LOOK_SPECTRUM - 1) / LOOK_SPECTRUM;
            size[d] = (size[d] + step[d] - 1) / step[d];
        }
    } else if (size[1 - small] > 16 * (int64_t)LOOK_SPECTRUM) { // a long matrix of few columns: every n-th row
        int d = 1 - small;
        step[d] = (size[d] + 16 * LOOK_SPECTRUM - 1) / (16 * LOOK_SPECTRUM);
        size[d] = (size[d] + step[d] - 1) / step[d];
    }
    if (step[0] > 1 || step[1] > 1)
        snprintf(f->spectrum_note, sizeof f->spectrum_note,
                 "of a part, %lld x %lld: every %lld. row, every %lld. column", (long long)size[0], (long long)size[1],
                 (long long)step[0], (long long)step[1]);
    const float *x[3] = {before, after, before}, *y[3] = {NULL, NULL, after};
    for (int i = 0; i < (after ? 3 : 1); i++) {
        if (!base_go_on(job, err)) return false;
        f->spectrum[i] = singular_values(x[i], y[i], f->cols, step, size, err);
        if (!f->spectrum[i]) return false;
    }
    f->spectrum_count = (int)(size[0] < size[1] ? size[0] : size[1]);
    return true;
}

// ---- second moments --------------------------------------------------------------------------------------

static int by_double_down(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

enum { EIGEN_SIDE = 1024, EIGEN_MOST = 4096 };

bool look_moments(look_figures *f, const float *h, int64_t groups, int64_t n, bool counts, base_job *job,
                  base_err *err) {
    int64_t all = counts ? n : groups * n;
    f->diagonal = base_calloc((size_t)all + 1, sizeof *f->diagonal);
    f->diagonal_count = (int)all;
    for (int64_t i = 0; i < all; i++) f->diagonal[i] = counts ? h[i] : h[(i / n) * n * n + (i % n) * (n + 1)];
    if (counts || n > EIGEN_SIDE || all > EIGEN_MOST) return true; // the caller says so
    f->eigen = base_calloc((size_t)all + 1, sizeof *f->eigen);
    double *a = base_big_alloc((size_t)(n * n), sizeof *a, "a second moment", err);
    bool ok = a != NULL;
    for (int64_t g = 0; ok && g < groups; g++) {
        for (int64_t i = 0; i < n * n; i++) a[i] = h[g * n * n + i];
        ok = base_go_on(job, err) && eigen_down(n, a, f->eigen + g * n, err);
    }
    base_big_free(a);
    if (!ok) return false;
    f->eigen_count = (int)all;
    qsort(f->eigen, (size_t)all, sizeof *f->eigen, by_double_down);
    return true;
}
