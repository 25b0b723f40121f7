// What a variant asks for. The words of its name say it where they have the layout's form ("b4_asym_mm_g64_act") and
// the arrays do not contradict; what they leave open is worked out from the arrays: bits, scheme and range search are
// those that give the stored scales and zero points, groups and order those of g_idx and perm, patterns those of the
// mask.
#include "layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- codes on a grid -------------------------------------------------------------------------------

static bool read_groups(golden_quant *q, const golden_file *f, const char *v, int64_t cols, base_err *err) {
    int64_t named = golden_number(v, "g", 0), *size = base_calloc((size_t)q->groups, sizeof *size);
    if (golden_array(f, v, "g_idx")) {
        if (!(q->index = golden_codes(f, v, "g_idx", cols, q->groups, err))) {
            free(size);
            return false;
        }
        for (int64_t c = 0; c < cols; c++) size[q->index[c]]++;
        for (int64_t g = 0; g < q->groups; g++) q->group = size[g] > q->group ? size[g] : q->group;
    } else if (q->groups == 1) {
        q->group = cols;
    } else if (named > 0 && (cols + named - 1) / named == q->groups) {
        q->group = named;
    } else if (cols % q->groups == 0) {
        q->group = cols / q->groups;
    }
    free(size);
    if (q->groups == 1 && named >= cols) q->group = named;
    if (!q->index) q->index = base_calloc((size_t)cols, sizeof *q->index);
    for (int64_t c = 0; q->group && !golden_array(f, v, "g_idx") && c < cols; c++) q->index[c] = c / q->group;
    return true;
}

static bool read_order(golden_quant *q, const golden_file *f, const char *v, int64_t cols, base_err *err) {
    if (!golden_array(f, v, "perm")) return true;
    q->perm = golden_codes(f, v, "perm", cols, cols, err);
    bool *seen = base_calloc((size_t)cols, sizeof *seen), ok = q->perm;
    for (int64_t i = 0; ok && i < cols; i++) {
        if (seen[q->perm[i]]) ok = base_fail(err, "the array %s.perm has column %lld twice", v, (long long)q->perm[i]);
        seen[q->perm[i]] = true;
    }
    free(seen);
    return ok;
}

bool golden_quant_open(golden_quant *q, const golden_file *f, const char *v, int64_t rows, int64_t cols,
                       base_err *err) {
    *q = (golden_quant){0};
    const num_tensor *scale = golden_array(f, v, "scale");
    int64_t n = rows * cols;
    if (!(q->code = golden_codes(f, v, "code", n, 256, err)) || !(q->scale = golden_reals(f, v, "scale", -1, err)))
        return false;
    int64_t count = 1;
    for (int i = 0; i < scale->ndim; i++) count *= scale->dim[i];
    q->tensor = count == 1 && rows > 1;
    q->groups = q->tensor ? 1 : count / rows;
    if (!q->tensor && (count % rows || q->groups > cols))
        return base_fail(err, "the array %s.scale has %lld values, which is no number of groups for each of %lld rows",
                         v, (long long)count, (long long)rows);
    if (!(q->zero = golden_reals(f, v, "zero", count, err)) || !read_groups(q, f, v, cols, err) ||
        !read_order(q, f, v, cols, err))
        return false;
    q->q = base_big_alloc((size_t)n, sizeof *q->q, "the reference", err);
    for (int64_t i = 0; q->q && i < n; i++) {
        int64_t at = q->tensor ? 0 : i / cols * q->groups + q->index[i % cols];
        q->q[i] = q->scale[at] * ((float)q->code[i] - q->zero[at]);
        q->most = q->code[i] > q->most ? q->code[i] : q->most;
    }
    return q->q != NULL;
}

void golden_quant_close(golden_quant *q) {
    free(q->code);
    free(q->index);
    free(q->perm);
    base_big_free(q->scale);
    base_big_free(q->zero);
    base_big_free(q->q);
}

// ---- ranges ------------------------------------------------------------------------------------------

// sum |w - q|^2.4, the sum the mse search compares.
static double search_error(const grid_spec *s, grid_param p, const float *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        grid_code code;
        grid_encode(s, p, x + i, 1, &code);
        sum += pow(fabs((double)x[i] - (double)grid_value(s, p, code)), 2.4);
    }
    return sum;
}

static bool same_range(grid_param a, grid_param b) {
    return fabs((double)a.scale - (double)b.scale) <= 1e-5 * fabs((double)b.scale) && a.zero == b.zero;
}

static bool nothing_but_zeros(const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (x[i] != 0) return false;
    return true;
}

// The authors' symmetric range of weights none of which is negative is 0 to the largest, half of what it is otherwise,
// with the zero point in the middle all the same.
static bool half_range(const grid_spec *s, grid_param file, const float *x, int64_t count) {
    float high = 0, top = (float)((1 << s->bits) - 1);
    for (int64_t i = 0; i < count; i++) {
        if (x[i] < 0) return false;
        high = x[i] > high ? x[i] : high;
    }
    double least = INFINITY, error = 0, step = 100 * (1 - (double)file.scale * (double)top / (double)high);
    if (s->scheme != UNIFORM_SYM || file.zero != (float)(1 << (s->bits - 1)) || fabs(step - rint(step)) > 0.01)
        return false;
    for (int i = 0; i < (s->mse ? 80 : 1); i++) {
        double e = search_error(s, (grid_param){(float)(1 - i / 100.0) * high / top, file.zero}, x, count);
        least = e < least ? e : least;
        if (i == (int)rint(step)) error = e;
    }
    return rint(step) >= 0 && rint(step) < (s->mse ? 80 : 1) && error <= least * (1 + 1e-5);
}

// 1 where ours is the file's, or equally good (then *p becomes the file's and *taken counts); 0 where it is not, -1
// where the values say nothing.
static int settle_range(const grid_spec *s, grid_param file, const float *x, int64_t count, grid_param *p,
                        int64_t *taken) {
    base_err err = {0};
    if (!grid_fit(s, x, count, NULL, p, &err)) return 0;
    if (nothing_but_zeros(x, count)) return -1;
    if (same_range(*p, file)) return 1;
    if (half_range(s, file, x, count)) {
        *p = file;
        ++*taken;
        return 1;
    }
    if (!s->mse) return 0;
    double ours = search_error(s, *p, x, count), theirs = search_error(s, file, x, count);
    grid_spec whole = *s;
    grid_param most;
    whole.mse = false;
    // A step of the search is p = 1 - i/100 of the whole range, i < 80.
    if (!grid_fit(&whole, x, count, NULL, &most, &err)) return 0;
    double step = 100 * (1 - (double)file.scale / (double)most.scale);
    if (!(fabs(step - rint(step)) < 0.01 && step > -0.5 && step < 79.5) || !(theirs <= ours * (1 + 1e-5))) return 0;
    *p = file;
    ++*taken;
    return 1;
}

double golden_ranges(const golden_quant *q, const golden_grid *g, const float *w, int64_t rows, int64_t cols,
                     float *scales, float *zeros, int64_t *taken) {
    int64_t told = 0, same = 0,
            group = q->tensor         ? rows * cols
                    : q->group < cols ? q->group
                                      : cols,
            per = q->tensor ? 1 : rows;
    *taken = 0;
    for (int64_t r = 0; r < per; r++)
        for (int64_t k = 0; k < q->groups; k++) {
            int64_t at = r * q->groups + k, from = k * group, all = q->tensor ? rows * cols : cols;
            grid_param p = {0, 0};
            int found = settle_range(&g->spec, (grid_param){q->scale[at], q->zero[at]}, w + r * cols + from,
                                     all - from < group ? all - from : group, &p, taken);
            told += found >= 0;
            same += found == 1;
            scales[at] = p.scale;
            zeros[at] = p.zero;
        }
    return told ? (double)same / (double)told : 1;
}

// The same for moving groups, of which only the first of the processing order is known beforehand.
static double first_ranges(const golden_quant *q, const golden_grid *g, const float *w, int64_t rows, int64_t cols) {
    int64_t told = 0, same = 0, taken = 0;
    if (g->act && !q->perm) return 1;
    float *x = base_calloc((size_t)q->group, sizeof *x);
    for (int64_t r = 0; r < rows; r++) {
        grid_param p;
        for (int64_t i = 0; i < q->group; i++) x[i] = w[r * cols + (g->act ? q->perm[i] : i)];
        int64_t at = r * q->groups + q->index[g->act ? q->perm[0] : 0];
        int found = settle_range(&g->spec, (grid_param){q->scale[at], q->zero[at]}, x, q->group, &p, &taken);
        told += found >= 0;
        same += found == 1;
    }
    free(x);
    return told ? (double)same / (double)told : 1;
}

// ---- which grids come into question ------------------------------------------------------------------

// Whether g_idx is that of groups of the original columns (fixed), or of the processing order.
static bool index_allows(const golden_quant *q, int64_t cols, bool act, bool fixed) {
    if (!act || !q->perm) return true;
    for (int64_t i = 0; i < cols; i++)
        if (q->index[q->perm[i]] != (fixed ? q->perm[i] : i) / q->group) return false;
    return true;
}

// What the words of a name leave open.
typedef struct name_words {
    int64_t first, last; // bits
    bool sym, asym, mm, mse, act, fixed, row, wide;
    bool stated; // bits, scheme and search, so that what it leaves out is said too
} name_words;

static name_words read_name(const golden_quant *q, const char *v, int64_t cols) {
    int64_t bits = golden_number(v, "b", 0);
    name_words n = {.first = 1,
                    .last = 8,
                    .sym = golden_word(v, "sym"),
                    .asym = golden_word(v, "asym"),
                    .mm = golden_word(v, "mm"),
                    .mse = golden_word(v, "mse"),
                    .act = q->perm || golden_word(v, "act"),
                    .fixed = golden_word(v, "static"),
                    .row = golden_word(v, "gall"),
                    .wide = golden_number(v, "g", 0) >= cols};
    while (n.first < 8 && q->most >> n.first) n.first++;
    if (bits >= n.first && bits <= 8) n.first = n.last = bits;
    n.stated = n.first == n.last && (n.sym || n.asym) && (n.mm || n.mse);
    n.row |= n.stated;
    return n;
}

// Whether the name and the arrays leave room for this grid. early: one group a row that is as wide, and sees dead
// inputs as 0; otherwise one group a row is the row.
static bool possible(const golden_quant *q, const name_words *n, const golden_grid *g, bool early, bool plain,
                     int64_t cols) {
    bool sym = g->spec.scheme == UNIFORM_SYM, mse = g->spec.mse, grouped = q->groups > 1;
    if ((n->sym && !sym) || (n->asym && sym) || (n->mm && mse) || (n->mse && !mse)) return false;
    if (plain) return !g->fixed && !early;
    if (!grouped) return !g->fixed && !(early && q->tensor) && (!(n->wide || n->row) || early == n->wide || q->tensor);
    return !early && (!n->stated || g->fixed == n->fixed) && index_allows(q, cols, g->act, g->fixed);
}

static int find_grids(const golden_quant *q, const char *v, const float *w, const float *zeroed, int64_t rows,
                      int64_t cols, bool plain, golden_grid *grids) {
    name_words n = read_name(q, v, cols);
    int count = 0, kept = 0;
    double best = 0;
    float *scales = base_calloc((size_t)(rows * q->groups), 2 * sizeof *scales);
    for (int64_t i = 16 * n.first; i < 16 * (n.last + 1); i++) {
        bool early = i & 8, grouped = q->groups > 1, zero = !plain && (grouped || early);
        int64_t group = grouped || early ? q->group : GROUP_ROW, taken;
        golden_grid g = {.spec = {.bits = i / 16,
                                  .scheme = i & 1 ? UNIFORM_SYM : UNIFORM_ASYM,
                                  .mse = i & 2,
                                  .group = q->tensor ? GROUP_TENSOR : group,
                                  .scale = NUM_F32},
                         .act = n.act,
                         .fixed = i & 4};
        if (!possible(q, &n, &g, early, plain, cols)) continue;
        if (plain || !grouped || g.fixed)
            g.fit = golden_ranges(q, &g, zero ? zeroed : w, rows, cols, scales, scales + rows * q->groups, &taken);
        else
            g.fit = first_ranges(q, &g, zeroed, rows, cols);
        best = g.fit > best ? g.fit : best;
        if (count < GOLDEN_GRIDS) grids[count++] = g;
    }
    free(scales);
    if (count == 1 && n.stated) return 1; // nothing is left open
    for (int i = 0; i < count; i++)
        if (grids[i].fit >= 0.9 * best && grids[i].fit >= 0.5) grids[kept++] = grids[i];
    return kept;
}

// A name whose words happen to be those of the layout, and mean something else, gives no grid: the arrays decide alone.
int golden_grids(const golden_quant *q, const char *v, const float *w, const float *zeroed, int64_t rows, int64_t cols,
                 bool plain, golden_grid *grids) {
    int count = find_grids(q, v, w, zeroed, rows, cols, plain, grids);
    return count ? count : find_grids(q, "", w, zeroed, rows, cols, plain, grids);
}

// ---- what goes -----------------------------------------------------------------------------------------

bool golden_pair(const char *v, const char *prefix, int64_t *a, int64_t *b) {
    size_t n = strlen(prefix);
    for (const char *p = v; *p;) {
        char *end, *last;
        if (strncmp(p, prefix, n) == 0 && p[n] >= '1' && p[n] <= '9') {
            long long one = strtoll(p + n, &end, 10);
            if (*end == '_' && end[1] >= '0' && end[1] <= '9') {
                long long two = strtoll(end + 1, &last, 10);
                if (*last == '_' || *last == '.' || !*last) {
                    *a = one;
                    *b = two;
                    return one < 65536 && two < 65536;
                }
            }
        }
        p += strcspn(p, "_.");
        p += *p != 0;
    }
    return false;
}

bool golden_runs(const int64_t *mask, int64_t rows, int64_t cols, int64_t *n, int64_t *m) {
    for (int64_t size = 2; size <= 64 && 2 * size <= cols; size++) {
        int64_t gone = -1;
        bool even = true;
        for (int64_t r = 0; even && r < rows; r++)
            for (int64_t c = 0; even && c + size <= cols; c += size) {
                int64_t here = 0;
                for (int64_t i = c; i < c + size; i++) here += mask[r * cols + i];
                even = gone < 0 || here == gone;
                gone = here;
            }
        if (even && gone > 0 && gone < size) {
            *n = gone;
            *m = size;
            return true;
        }
    }
    return false;
}
