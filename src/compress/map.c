// map: the arithmetic of maps - rotations that a seed describes, and how weights and moments change under a map.
//
// hadamard: R = D (H_2^k x B) / 2^(k/2), D random signs, H_2^k by the fast Walsh-Hadamard transform, B the orthogonal
// matrix of the odd rest m of n = 2^k m: none for m = 1; Paley's Hadamard matrix of side 4m where k >= 2 and 4m - 1
// is prime (Paley 1933; QuaRot, Ashkboos et al. 2024, uses the same sizes from a table); else the Hartley matrix
// cos + sin of (2 pi i j / m), over sqrt(m), whose entries are all of about the same size too.
// paley: the same with B Paley's second Hadamard matrix of side 4m, where 2m - 1 is a prime of 4k + 1 and the first has
// none (28, 36, 76, ..: sides that QuaRot has tables for).
// random: the product of n - 1 reflections, each taking the first axis left to the direction of a normal random vector:
// Haar distributed up to signs (Stewart 1980).
// All of it in float64; only the results are rounded to float32.
#include "compress/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double two_pi = 6.283185307179586;

// ---- rotations -------------------------------------------------------------------------------------

static bool is_prime(int64_t q) {
    if (q < 2) return false;
    for (int64_t d = 2; d * d <= q; d++)
        if (q % d == 0) return false;
    return true;
}

// Paley's first construction for a prime q = 3 mod 4: I + S, S the bordered matrix of quadratic residues.
static void paley(int64_t side, double *b) {
    int64_t q = side - 1;
    double over = 1 / sqrt((double)side);
    signed char *residue = base_calloc((size_t)q, 1);
    for (int64_t i = 1; i < q; i++) residue[i] = -1;
    for (int64_t i = 1; i < q; i++) residue[i * i % q] = 1;
    for (int64_t i = 0; i < side; i++)
        for (int64_t j = 0; j < side; j++) {
            double s = i == 0 ? (j > 0) : j == 0 ? -1 : residue[(j - i + q) % q];
            b[i * side + j] = (s + (i == j)) * over;
        }
    free(residue);
}

// Paley's second construction for a prime q = 1 mod 4: C the bordered, symmetric matrix of quadratic residues mod q,
// [[C + I, C - I], [C - I, -C - I]] of side 2 (q + 1).
static void paley_second(int64_t side, double *b) {
    int64_t half = side / 2, q = half - 1;
    double over = 1 / sqrt((double)side);
    signed char *residue = base_calloc((size_t)q, 1);
    for (int64_t i = 1; i < q; i++) residue[i] = -1;
    for (int64_t i = 1; i < q; i++) residue[i * i % q] = 1;
    for (int64_t i = 0; i < side; i++)
        for (int64_t j = 0; j < side; j++) {
            int64_t r = i % half, c = j % half;
            double s = !r || !c ? (r != c) : residue[(c - r + q) % q], one = r == c;
            b[i * side + j] = (i < half ? (j < half ? s + one : s - one) : (j < half ? s - one : -s - one)) * over;
        }
    free(residue);
}

// The odd rest of n.
static int64_t odd_rest(int64_t n) {
    while (n % 2 == 0) n /= 2;
    return n;
}

static bool has_paley_second(int64_t n) {
    int64_t m = odd_rest(n), q = 2 * m - 1;
    return m > 1 && n % (4 * m) == 0 && 4 * m <= MAP_MOST_BASE && q % 4 == 1 && is_prime(q);
}

int map_hadamard_for(int64_t n) {
    int64_t m = n > 0 ? odd_rest(n) : 1;
    return n > 0 && has_paley_second(n) && !is_prime(4 * m - 1) ? MAP_PALEY : MAP_HADAMARD;
}

static void hartley(int64_t side, double *b) {
    double over = 1 / sqrt((double)side);
    for (int64_t i = 0; i < side; i++)
        for (int64_t j = 0; j < side; j++) {
            double angle = two_pi * (double)(i * j % side) / (double)side;
            b[i * side + j] = (cos(angle) + sin(angle)) * over;
        }
}

// Vectors of reflections one after another: the i-th has n - i values and unit length.
static void reflections(int64_t n, num_rng *rng, double *v) {
    for (int64_t i = 0; i + 1 < n; v += n - i, i++) {
        double sum = 0;
        for (int64_t k = 0; k < n - i; k++) {
            v[k] = num_rng_normal(rng);
            sum += v[k] * v[k];
        }
        // Householder's vector: the reflection takes the first axis to the normal vector's direction, not past it.
        double first = v[0], length = sqrt(sum);
        v[0] += first < 0 ? -length : length;
        sum += v[0] * v[0] - first * first;
        for (int64_t k = 0; k < n - i; k++) v[k] = sum > 0 ? v[k] / sqrt(sum) : 0;
    }
}

bool rotation_open(rotation *r, int form, int64_t n, uint64_t seed, base_err *err) {
    *r = (rotation){.n = n, .base = n, .random = form == MAP_RANDOM};
    num_rng rng = num_rng_seed(seed, 61);
    int64_t values = n * (n + 1) / 2;
    if (r->random && n > MAP_MOST_RANDOM)
        return base_fail(err, "a random rotation of %lld values is too large (at most %d); use hadamard", (long long)n,
                         MAP_MOST_RANDOM);
    if (!r->random) {
        r->base = odd_rest(n);
        int64_t wide = 4 * r->base;
        if (form == MAP_PALEY && !has_paley_second(n))
            return base_fail(err, "there is no Hadamard matrix of side %lld by Paley's second construction",
                             (long long)n);
        if (form == MAP_PALEY) r->base = wide;
        if (r->base > 1 && form == MAP_HADAMARD && n % wide == 0 && wide <= MAP_MOST_BASE && is_prime(wide - 1))
            r->base = wide;
        if (r->base > MAP_MOST_BASE)
            return base_fail(err, "%lld = 2^k * %lld: a hadamard rotation needs the odd part to be at most %d",
                             (long long)n, (long long)r->base, MAP_MOST_BASE);
        values = r->base * r->base;
    }
    r->sign = base_big_alloc((size_t)n, sizeof(double), "a rotation", err);
    r->matrix = r->sign ? base_big_alloc((size_t)values, sizeof(double), "a rotation", err) : NULL;
    if (!r->matrix) {
        rotation_close(r);
        return false;
    }
    for (int64_t i = 0; i < n; i++) r->sign[i] = num_rng_next(&rng) >> 31 ? -1 : 1;
    if (r->random)
        reflections(n, &rng, r->matrix);
    else if (form == MAP_PALEY)
        paley_second(r->base, r->matrix);
    else if (r->base % 4 == 0)
        paley(r->base, r->matrix);
    else
        hartley(r->base, r->matrix);
    return true;
}

void rotation_close(rotation *r) {
    base_big_free(r->sign);
    base_big_free(r->matrix);
    *r = (rotation){0};
}

// The i-th reflection leaves the first i values alone; it is its own inverse.
static void reflect(const double *v, int64_t count, double *x) {
    double dot = 0;
    for (int64_t k = 0; k < count; k++) dot += v[k] * x[k];
    for (int64_t k = 0; k < count; k++) x[k] -= 2 * dot * v[k];
}

static void apply_random(const rotation *r, double *x, bool back) {
    int64_t n = r->n;
    const double *end = r->matrix + (n * (n + 1) / 2 - 1), *v = back ? end : r->matrix;
    for (int64_t k = 0; k + 1 < n; k++) {
        int64_t i = back ? n - 2 - k : k;
        if (back) v -= n - i;
        reflect(v, n - i, x + i);
        if (!back) v += n - i;
    }
}

// x seen as [2^k x base]: butterflies down the first index.
static void walsh_hadamard(double *x, int64_t n, int64_t base) {
    for (int64_t half = base; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t j = i; j < i + half; j++) {
                double a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
    double over = sqrt((double)base / (double)n);
    for (int64_t i = 0; i < n; i++) x[i] *= over;
}

// Every run of `base` values times B, or times its transpose.
static void apply_base(const rotation *r, double *x, double *spare, bool back) {
    int64_t m = r->base;
    for (int64_t at = 0; m > 1 && at < r->n; at += m) {
        const double *in = x + at;
        double *out = spare + at;
        for (int64_t j = 0; j < m; j++) out[j] = 0;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < m; j++) {
                if (back)
                    out[i] += in[j] * r->matrix[i * m + j];
                else
                    out[j] += in[i] * r->matrix[i * m + j];
            }
    }
    if (m > 1) memcpy(x, spare, (size_t)r->n * sizeof *x);
}

void rotation_apply(const rotation *r, double *x, double *spare, bool back) {
    for (int64_t i = 0; !back && i < r->n; i++) x[i] *= r->sign[i];
    if (r->random) {
        apply_random(r, x, back);
    } else {
        walsh_hadamard(x, r->n, r->base); // commutes with the other factor
        apply_base(r, x, spare, back);
    }
    for (int64_t i = 0; back && i < r->n; i++) x[i] *= r->sign[i];
}

// ---- maps of vectors -------------------------------------------------------------------------------

static int64_t length_of(const map *m) {
    return m->side == MAP_IN ? m->cols : m->rows / m->groups;
}

// Inverse of a diagonal map, or forward or back along a permutation or rotation.
static void apply(const map *m, const rotation *r, int64_t group, bool back, double *x, double *spare) {
    int64_t n = length_of(m);
    if (m->form == MAP_SCALE) {
        const float *s = m->scale + group * n;
        for (int64_t i = 0; i < n; i++) x[i] = back ? x[i] / (double)s[i] : x[i] * (double)s[i];
    } else if (m->form == MAP_PERMUTE) {
        const int32_t *from = m->from + group * n;
        for (int64_t i = 0; i < n; i++) spare[back ? from[i] : i] = x[back ? i : from[i]];
        memcpy(x, spare, (size_t)n * sizeof *x);
    } else {
        rotation_apply(r, x, spare, back);
    }
}

// Maps `count` vectors of w: vector v begins at first + v * between, its values are `step` apart.
typedef struct batch {
    float *w;
    int64_t count, between, step, group;
} batch;
enum { PARTS = 16 }; // fixed, so that nothing depends on the number of threads

static bool map_batch(const map *m, const rotation *r, bool back, const batch *b, base_err *err) {
    int64_t n = length_of(m), parts = b->count < PARTS ? b->count : PARTS;
    double *memory = base_big_alloc((size_t)(2 * n * parts), sizeof *memory, "a mapped weight", err);
    if (!memory) return false;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (n * b->count > TERM_PARALLEL)
#endif
    for (int64_t part = 0; part < parts; part++) {
        double *x = memory + 2 * n * part, *spare = x + n;
        for (int64_t v = part * b->count / parts; v < (part + 1) * b->count / parts; v++) {
            float *at = b->w + v * b->between;
            for (int64_t i = 0; i < n; i++) x[i] = (double)at[i * b->step];
            apply(m, r, b->group, back, x, spare);
            for (int64_t i = 0; i < n; i++) at[i * b->step] = (float)x[i];
        }
    }
    base_big_free(memory);
    return true;
}

static bool open_rotation(const map *m, rotation *r, base_err *err) {
    *r = (rotation){0};
    return m->form < MAP_HADAMARD || rotation_open(r, m->form, length_of(m), m->seed, err);
}

bool map_weight(const map *m, bool back, float *w, base_err *err) {
    rotation r;
    if (!open_rotation(m, &r, err)) return false;
    int64_t rows = m->rows / m->groups;
    bool ok = true;
    for (int64_t g = 0; ok && g < m->groups; g++) {
        batch b = {w + g * rows * m->cols, rows, m->cols, 1, g};
        if (m->side == MAP_OUT) b = (batch){b.w, m->cols, 1, m->cols, g};
        ok = map_batch(m, &r, back, &b, err);
    }
    rotation_close(&r);
    return ok;
}

bool map_gram(const map *m, float *h, base_err *err) {
    rotation r;
    if (m->side == MAP_OUT) return true; // inputs are as they were
    if (!open_rotation(m, &r, err)) return false;
    bool ok = true, back = m->form == MAP_SCALE; // A^-1 H A^-T; an orthogonal A has A^-1 = A^T
    for (int64_t g = 0; ok && g < m->groups; g++) {
        float *square = h + g * m->cols * m->cols;
        ok = map_batch(m, &r, back, &(batch){square, m->cols, m->cols, 1, g}, err) &&
             map_batch(m, &r, back, &(batch){square, m->cols, 1, m->cols, g}, err);
        // Rounding of the two passes differs between the halves; solvers want a symmetric matrix.
        for (int64_t i = 0; ok && i < m->cols; i++)
            for (int64_t j = 0; j < i; j++) square[i * m->cols + j] = square[j * m->cols + i];
    }
    rotation_close(&r);
    return ok;
}

bool map_vector(const map *m, float *x, base_err *err) {
    rotation r;
    if (m->side == MAP_OUT) return true;
    if (!open_rotation(m, &r, err)) return false;
    bool ok = true;
    for (int64_t g = 0; ok && g < m->groups; g++)
        ok = map_batch(m, &r, m->form == MAP_SCALE, &(batch){x + g * m->cols, 1, m->cols, 1, g}, err);
    rotation_close(&r);
    return ok;
}
