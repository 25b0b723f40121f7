// kmeans: scalar codebooks. On sorted values with running sums the cost of a run of neighbours is one subtraction, so a
// turn of Lloyd's algorithm costs k binary searches, and the exact optimum comes from dynamic programming.
//
// Exact: clusters of an optimal 1-D solution are runs of the sorted values; D[c][j] = min_i D[c-1][i] + cost(i, j),
// whose best i rises with j, so each layer is solved by divide and conquer in n log n (Wang and Song, Ckmeans.1d.dp, R
// Journal 2011; Gronlund et al., arXiv 1701.07204). Weighted: Kim et al., SqueezeLLM, ICML 2024 (arXiv 2306.07629).
#include "compress/solvers/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct sort_entry {
    uint32_t key; // rises with the value
    uint32_t index;
} sort_entry;

typedef struct sorted_values {
    int64_t count;
    sort_entry *room;        // owned: both sides of the sort
    const sort_entry *entry; // [count] values rising, and where each stood
    double *wx, *wxx;        // [count + 1] running sums, weighted
    double *w, *unweighted;  // [count + 1] running sums of the weights and of x: NULL where all weights are 1
} sorted_values;

static uint32_t key_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_at(const sorted_values *s, int64_t i) {
    uint32_t key = s->entry[i].key, bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Three passes of eleven bits: stable, and the order does not depend on the threads.
static void radix_sort(sort_entry *a, sort_entry *b, int64_t count) {
    for (int pass = 0; pass < 3; pass++) {
        int64_t at[2049] = {0};
        int shift = 11 * pass;
        for (int64_t i = 0; i < count; i++) at[(a[i].key >> shift & 2047) + 1]++;
        for (int k = 0; k < 2048; k++) at[k + 1] += at[k];
        for (int64_t i = 0; i < count; i++) b[at[a[i].key >> shift & 2047]++] = a[i];
        sort_entry *swap = a;
        a = b;
        b = swap;
    }
}

static bool sort_values(const float *x, const float *weight, int64_t count, sorted_values *s, base_err *err) {
    size_t n = (size_t)count;
    s->count = count;
    s->room = base_big_alloc(2 * n, sizeof *s->room, "sorted weights", err);
    s->wx = s->room ? base_big_alloc((weight ? 4 : 2) * (n + 1), sizeof *s->wx, "running sums", err) : NULL;
    if (!s->wx) return false;
    s->wxx = s->wx + n + 1;
    if (weight) {
        s->w = s->wxx + n + 1;
        s->unweighted = s->w + n + 1;
    }
    for (int64_t i = 0; i < count; i++) s->room[i] = (sort_entry){key_of(x[i]), (uint32_t)i};
    radix_sort(s->room, s->room + n, count);
    s->entry = s->room + n;
    for (int64_t i = 0; i < count; i++) {
        double v = (double)value_at(s, i), w = weight ? (double)weight[s->entry[i].index] : 1;
        s->wx[i + 1] = s->wx[i] + w * v;
        s->wxx[i + 1] = s->wxx[i] + w * v * v;
        if (!weight) continue;
        s->w[i + 1] = s->w[i] + w;
        s->unweighted[i + 1] = s->unweighted[i] + v;
    }
    return true;
}

static void sorted_free(sorted_values *s) {
    base_big_free(s->room);
    base_big_free(s->wx);
}

static double weight_between(const sorted_values *s, int64_t i, int64_t j) {
    return s->w ? s->w[j] - s->w[i] : (double)(j - i);
}

// Of the sorted values [i, j): weighted squared distance from their mean, and that mean.
static double cost(const sorted_values *s, int64_t i, int64_t j) {
    double w = weight_between(s, i, j), wx = s->wx[j] - s->wx[i];
    if (w <= 0) return 0;
    double c = s->wxx[j] - s->wxx[i] - wx * wx / w;
    return c > 0 ? c : 0;
}

static double mean(const sorted_values *s, int64_t i, int64_t j) {
    double w = weight_between(s, i, j);
    if (w > 0) return (s->wx[j] - s->wx[i]) / w;
    return j > i ? (s->unweighted[j] - s->unweighted[i]) / (double)(j - i)
                 : (double)value_at(s, i < s->count ? i : s->count - 1);
}

// ---- exact ---------------------------------------------------------------------------------------

typedef struct program {
    const sorted_values *s;
    const double *last; // D[c-1][0..n]
    double *next;       // D[c][0..n]
    uint32_t *split;    // best i of each j
} program;

static void solve_range(const program *p, int64_t low, int64_t high, int64_t first, int64_t end) {
    while (low <= high) {
        int64_t j = low + (high - low) / 2, best = first;
        double least = INFINITY;
        int64_t most = j < end ? j : end;
        for (int64_t i = first; i <= most; i++) {
            double d = p->last[i] + cost(p->s, i, j);
            if (d < least) least = d, best = i;
        }
        p->next[j] = least;
        p->split[j] = (uint32_t)best;
        solve_range(p, low, j - 1, first, best);
        low = j + 1;
        first = best;
    }
}

// Boundaries bound[0..k] of the optimal runs.
static bool exact_bounds(const sorted_values *s, int64_t k, int64_t *bound, base_job *job, base_err *err) {
    int64_t n = s->count;
    double *d = base_big_alloc((size_t)(2 * (n + 1)), sizeof *d, "k-means costs", err);
    uint32_t *split = d ? base_big_alloc((size_t)(k * (n + 1)), sizeof *split, "k-means splits", err) : NULL;
    bool ok = split != NULL;
    double *last = d, *next = ok ? d + n + 1 : NULL;
    for (int64_t j = 0; ok && j <= n; j++) last[j] = cost(s, 0, j);
    for (int64_t c = 1; ok && c < k; c++) {
        ok = base_go_on(job, err);
        if (!ok) break;
        program p = {s, last, next, split + c * (n + 1)};
        solve_range(&p, 0, n, 0, n);
        double *swap = last;
        last = next;
        next = swap;
    }
    if (ok) {
        bound[k] = n;
        for (int64_t c = k - 1; c > 0; c--) bound[c] = split[c * (n + 1) + bound[c + 1]];
        bound[0] = 0;
    }
    base_big_free(d);
    base_big_free(split);
    return ok;
}

// ---- Lloyd ---------------------------------------------------------------------------------------

// First sorted value above `t`.
static int64_t above(const sorted_values *s, double t) {
    int64_t low = 0, high = s->count;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if ((double)value_at(s, mid) <= t)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

// Two starts, levels at equal steps and levels over equal counts of values; the better end is kept.
static bool lloyd_bounds(const sorted_values *s, int64_t k, int64_t iterations, int64_t *bound, base_job *job,
                         base_err *err) {
    double *center = base_calloc((size_t)k, sizeof *center);
    double low = (double)value_at(s, 0), high = (double)value_at(s, s->count - 1), best = INFINITY;
    int64_t *try_bound = base_calloc((size_t)k + 1, sizeof *try_bound);
    bool ok = true;
    for (int start = 0; ok && start < 2; start++) {
        for (int64_t c = 0; c < k; c++)
            center[c] = start ? (double)value_at(s, (2 * c + 1) * s->count / (2 * k))
                              : low + (high - low) * ((double)c + 0.5) / (double)k;
        double total = INFINITY;
        for (int64_t it = 0; ok && it < iterations; it++) {
            ok = base_go_on(job, err);
            try_bound[0] = 0;
            try_bound[k] = s->count;
            for (int64_t c = 1; c < k; c++) {
                try_bound[c] = above(s, 0.5 * (center[c - 1] + center[c]));
                if (try_bound[c] < try_bound[c - 1]) try_bound[c] = try_bound[c - 1];
            }
            double now = 0;
            for (int64_t c = 0; c < k; c++) {
                now += cost(s, try_bound[c], try_bound[c + 1]);
                if (try_bound[c + 1] > try_bound[c]) center[c] = mean(s, try_bound[c], try_bound[c + 1]);
            }
            if (now < best) {
                best = now;
                memcpy(bound, try_bound, ((size_t)k + 1) * sizeof *bound);
            }
            if (!(now < total * (1 - 1e-9))) break;
            total = now;
        }
    }
    free(center);
    free(try_bound);
    return ok;
}

bool kmeans_solve(const float *x, const float *weight, int64_t count, const kmeans_options *o, float *centers,
                  uint16_t *labels, double *inertia, base_job *job, base_err *err) {
    BASE_CHECK(count >= 1 && o->centers >= 1 && o->centers <= 65536);
    sorted_values s = {0};
    int64_t *bound = base_calloc((size_t)o->centers + 1, sizeof *bound);
    bool ok = sort_values(x, weight, count, &s, err);
    if (ok)
        ok = o->exact && count <= KMEANS_EXACT_MOST ? exact_bounds(&s, o->centers, bound, job, err)
                                                    : lloyd_bounds(&s, o->centers, o->iterations, bound, job, err);
    double total = 0;
    for (int64_t c = 0; ok && c < o->centers; c++) {
        total += cost(&s, bound[c], bound[c + 1]);
        centers[c] = (float)mean(&s, bound[c], bound[c + 1]);
        for (int64_t i = bound[c]; i < bound[c + 1]; i++) labels[s.entry[i].index] = (uint16_t)c;
    }
    if (ok && inertia) *inertia = total;
    sorted_free(&s);
    free(bound);
    return ok;
}
