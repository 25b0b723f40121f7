// pvq: pyramid vector quantisation - how many integer vectors have sum |y| = k, the number of each, and the one nearest
// in direction; and the nearest point of E8.
//
// N(n, k) = N(n - 1, k) + N(n, k - 1) + N(n - 1, k - 1). Vectors are numbered by their first entry in the order 0, 1,
// -1, 2, -2, ..., then by the rest.
#include "compress/types/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool pvq_open(pvq_table *t, int n, int k, base_err *err) {
    *t = (pvq_table){n, k, NULL};
    if (n < 1 || k < 0 || n > PVQ_MOST || k > PVQ_MOST)
        return base_fail(err, "pyramid of length %d and sum %d: expected 1 .. %d and 0 .. %d", n, k, PVQ_MOST,
                         PVQ_MOST);
    size_t width = (size_t)k + 1;
    t->count = base_calloc((size_t)(n + 1) * width, sizeof *t->count);
    t->count[0] = 1;
    for (int i = 1; i <= n; i++) {
        pvq_number *now = t->count + (size_t)i * width;
        const pvq_number *before = now - width;
        now[0] = 1;
        for (int j = 1; j <= k; j++) {
            pvq_number sum = before[j] + now[j - 1];
            bool over = sum < before[j];
            now[j] = sum + before[j - 1];
            if (over || now[j] < sum) {
                pvq_close(t);
                return base_fail(err, "the number of vectors of length %d and sum %d does not fit 128 bits", i, j);
            }
        }
    }
    return true;
}

void pvq_close(pvq_table *t) {
    free(t->count);
    t->count = NULL;
}

pvq_number pvq_count(const pvq_table *t, int n, int k) {
    BASE_CHECK(n >= 0 && k >= 0 && n <= t->n && k <= t->k);
    return t->count[(size_t)n * (size_t)(t->k + 1) + (size_t)k];
}

int pvq_bits(const pvq_table *t, int n, int k) {
    int bits = 0;
    for (pvq_number v = pvq_count(t, n, k) - 1; v; v >>= 1) bits++;
    return bits;
}

pvq_number pvq_index(const pvq_table *t, int n, int k, const int *y) {
    pvq_number index = 0;
    for (int i = 0; i < n; i++) {
        int rest = n - i - 1, a = abs(y[i]);
        if (a) index += pvq_count(t, rest, k);
        for (int m = 1; m < a; m++) index += 2 * pvq_count(t, rest, k - m);
        if (y[i] < 0) index += pvq_count(t, rest, k - a);
        k -= a;
    }
    return index;
}

void pvq_vector(const pvq_table *t, int n, int k, pvq_number index, int *y) {
    for (int i = 0; i < n; i++) {
        int rest = n - i - 1, value = 0;
        pvq_number here = pvq_count(t, rest, k);
        while (index >= here && abs(value) <= k) {
            index -= here;
            value = value > 0 ? -value : 1 - value;
            here = pvq_count(t, rest, k - abs(value));
        }
        y[i] = value;
        k -= abs(value);
    }
}

// The gain in cosine^2 of a step by one in entry i: (dot + |x_i|)^2 / (norm + 2 y_i + 1), compared without division.
static int best_step(int n, const float *x, const int *y, double dot, double norm) {
    int best = 0;
    double top = -1, below = 1;
    for (int i = 0; i < n; i++) {
        double d = dot + fabs((double)x[i]), a = d * d, b = norm + 2.0 * y[i] + 1;
        if (a * below > top * b) best = i, top = a, below = b;
    }
    return best;
}

void pvq_nearest(int n, int k, const float *x, int *y) {
    double sum = 0, dot = 0, norm = 0;
    int left = k;
    for (int i = 0; i < n; i++) sum += fabs((double)x[i]);
    for (int i = 0; i < n; i++) { // rounded towards zero, so that only steps up remain
        double a = fabs((double)x[i]);
        y[i] = sum > 0 ? (int)floor(a / sum * k) : 0;
        if (y[i] > left) y[i] = left;
        left -= y[i];
        dot += a * y[i];
        norm += (double)y[i] * y[i];
    }
    for (; left > 0; left--) {
        int i = best_step(n, x, y, dot, norm);
        dot += fabs((double)x[i]);
        norm += 2.0 * y[i] + 1;
        y[i]++;
    }
    for (int i = 0; i < n; i++)
        if (x[i] < 0) y[i] = -y[i];
}

char *pvq_text(pvq_number v, char out[44]) {
    char *p = out + 43;
    *p = 0;
    do *--p = (char)('0' + (int)(v % 10));
    while (v /= 10);
    return memmove(out, p, strlen(p) + 1);
}

// Nearest point of D8 (integers with an even sum) to x - shift, and its squared distance. Where the rounded point has
// an odd sum, the coordinate that was furthest from its integer goes to the other side.
static double d8_nearest(const double x[8], double shift, double out[8]) {
    double sum = 0, worst = -1, distance = 0;
    int flip = 0;
    for (int i = 0; i < 8; i++) {
        double v = x[i] - shift;
        out[i] = nearbyint(v);
        sum += out[i];
        if (fabs(v - out[i]) > worst) worst = fabs(v - out[i]), flip = i;
    }
    if (fmod(sum, 2) != 0) out[flip] += x[flip] - shift < out[flip] ? -1 : 1;
    for (int i = 0; i < 8; i++) {
        out[i] += shift;
        distance += (x[i] - out[i]) * (x[i] - out[i]);
    }
    return distance;
}

void e8_nearest(const double x[8], double out[8]) {
    double half[8];
    double a = d8_nearest(x, 0, out), b = d8_nearest(x, 0.5, half);
    if (b < a) memcpy(out, half, sizeof half);
}
